"""The device's calls under the device's names, on a CPU.

    import tamis.npu_compat
    import torch
    import torch_npu

    x = torch.randn(1024, 4, 192, dtype=torch.bfloat16).npu()
    weight = torch.randn(32, 4, dtype=torch.bfloat16).npu()
    torch_npu.npu_nsa_compress(x, weight, 32, 16, actual_seq_len=[1024])

Importing this module, and nothing else, installs

* modules `torch_npu`, `custom`, `custom_ops` and `custom_pypto`, each where none is importable;
* operators in `torch.ops.npu`, `torch.ops.custom` and `torch.ops.custom_pypto`;
* `torch.npu`, and `.npu()` of tensors and modules, which is the tensor or module itself.

Where the device's own software is installed nothing is touched, and `REAL` names it. Calls take all
that is well defined; `enable(strict=True)` restricts them to what the documents allow. The table of
signatures is `tamis.npu_compat.schemas.SCHEMAS`.
"""

from __future__ import annotations

from tamis.npu_compat.real import find_real

__all__ = ["REAL", "enable"]

# What of the device's own software is here, so that nothing was installed; None: installed.
REAL: str | None = find_real()

if REAL is None:
    from tamis.npu_compat import stand_ins

    stand_ins.install()


def enable(*, strict: bool = False) -> None:
    """Chooses what the calls accept from now on; the import is `enable(strict=False)`.

    Where the device's own software runs the calls (`REAL`), this changes nothing. Compiled and
    exported programs keep what was chosen when they were traced.

    Parameters
    ----------
    strict : bool, default False
        also enforce the limits that the documents print
    """
    if REAL is None:
        from tamis.npu_compat import calls

        calls.strict = strict
