"""The device's calls and names, on a CPU: scripts that were written for the device run.

    import tamis.npu_compat
    import torch
    import torch_npu

    x = torch.randn(1024, 4, 192, dtype=torch.bfloat16).npu()
    weight = torch.randn(32, 4, dtype=torch.bfloat16, device="npu")
    torch_npu.npu_nsa_compress(x, weight, 32, 16, actual_seq_len=[1024])

`python -m tamis.npu_compat SCRIPT` puts the import before a script that has none. It, and nothing
else, installs

* modules `torch_npu`, `torchair`, `custom`, `custom_ops` and `custom_pypto`, each where none is
  importable;
* operators in `torch.ops.npu`, `torch.ops.custom` and `torch.ops.custom_pypto`;
* the device "npu", which is this CPU: `torch.npu`, `.npu()`, `.to("npu")`, `device="npu"`.

Where the device's own software is installed nothing is touched, and `REAL` names it. Calls take all
that is well defined; `enable(strict=True)` restricts them to what the documents allow. The table of
signatures is `tamis.npu_compat.schemas.SCHEMAS`.
"""

from __future__ import annotations

from tamis.npu_compat.options import options
from tamis.npu_compat.real import find_real

__all__ = ["REAL", "enable"]

# What of the device's own software is here, so that nothing was installed; None: installed.
REAL: str | None = find_real()


def _install() -> None:
    from tamis.npu_compat import device, modules, register

    register.register()
    device.install(modules.install().npu)


if REAL is None:
    _install()


def enable(
    *,
    strict: bool | None = None,
    accuracy: str | None = None,
    weight_format: str | None = None,
    graph_backend: str | None = None,
    available: bool | None = None,
    device_name: str | None = None,
) -> None:
    """Chooses how calls behave from now on. What is not given stays as it was.

    Where the device's own software runs the calls (`REAL`), this changes nothing. Compiled and
    exported programs keep `strict` and `accuracy` as they were when they were traced.

    Parameters
    ----------
    strict : bool, at first False
        also enforce the limits that the documents print
    accuracy : {"storage", "fp32"}, at first "storage"
        how attention multiplies; see `tamis.sparse_flash_attention`
    weight_format : {"tagged", "ND", "NZ"}, at first "tagged"
        what the weights of prologs hold. "tagged": row-major elements where a weight went through
        `torch_npu.npu_format_cast(weight, 29)`, else NZ bytes, as the device reads them
    graph_backend : {"eager", "inductor"}, at first "eager"
        what runs graphs that were compiled with a backend of torchair
    available : bool, at first False
        what `torch.npu.is_available()` answers, and whether there is a device to count. Code that
        asks falls back to the CPU while it is False. `python -m tamis.npu_compat` makes it True
    device_name : str, at first "Ascend910B (tamis on a CPU)"
        what `torch.npu.get_device_name()` answers
    """
    options.choose(
        strict=strict,
        accuracy=accuracy,
        weight_format=weight_format,
        graph_backend=graph_backend,
        available=available,
        device_name=device_name,
    )
