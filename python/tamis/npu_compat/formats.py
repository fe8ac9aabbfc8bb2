"""Which weights hold NZ bytes, and which went through `npu_format_cast`.

A tensor on the device has a format beside its shape. Here every tensor is row-major, and a cast to
NZ changes nothing but a mark on the tensor's storage: "its elements lie where its shape says". A
tensor without the mark, given to a call that takes NZ weights, is what the device would see: bytes
that lie in panels of 16 columns, whatever the shape says.

The mark lives on the storage, so views, `Parameter`, `detach` and modules keep it; `device.py`
hands it on where PyTorch copies (`clone`, `contiguous`, `to`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from tamis.npu_compat.options import options

ACL_FORMAT_ND = 2
ACL_FORMAT_FRACTAL_NZ = 29

_MARK = "_tamis_row_major_nz"


class Graphs:
    """Whether compiled graphs hand weights to calls as they came: torchair's backends check it."""

    read_marks = False


def is_cast(tensor: Tensor) -> bool:
    """Whether the tensor, or what it is a view of, went through `npu_format_cast` to NZ."""
    return hasattr(tensor.untyped_storage(), _MARK)


def hand_on(source: Tensor, result: Tensor) -> None:
    """Marks a copy of a marked tensor."""
    if result is not source and is_cast(source):
        setattr(result.untyped_storage(), _MARK, True)


def npu_format_cast(tensor: Tensor, acl_format: int, customize_dtype: int | None = None) -> Tensor:
    """A tensor of the same shape and elements, known to be in the device's format.

    To NZ (29) it is the tensor itself, marked. From NZ back to another format it is a copy without
    the mark. All other casts return what they were given.
    """
    if customize_dtype is not None:
        raise ValueError(
            f"customize_dtype: expected None (no 8-bit formats here), got {customize_dtype}"
        )
    if acl_format == ACL_FORMAT_FRACTAL_NZ:
        setattr(tensor.untyped_storage(), _MARK, True)
    elif is_cast(tensor):
        copy = torch.empty_like(tensor)
        copy.copy_(tensor)
        return copy
    return tensor


def npu_format_cast_(tensor: Tensor, acl_format: int | Tensor) -> Tensor:
    """`npu_format_cast` in place; a tensor in place of the number means its format."""
    if isinstance(acl_format, Tensor):
        acl_format = get_npu_format(acl_format)
    if acl_format == ACL_FORMAT_FRACTAL_NZ:
        return npu_format_cast(tensor, acl_format)
    if is_cast(tensor):
        delattr(tensor.untyped_storage(), _MARK)
    return tensor


def get_npu_format(tensor: Tensor) -> int:
    """29 (NZ) for what went through such a cast, else 2 (ND)."""
    return ACL_FORMAT_FRACTAL_NZ if is_cast(tensor) else ACL_FORMAT_ND


def row_major(call: str, weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The weights of a call that takes NZ, and the `weight_format` in which they now are.

    As `enable(weight_format=...)` says. "tagged": weights that were cast are row-major, others are
    NZ bytes; where both are given, the bytes are unpacked for this call.
    """
    if options.weight_format != "tagged":
        return weights, options.weight_format
    if any(isinstance(weight, FakeTensor) or weight.is_meta for weight in weights.values()):
        if not Graphs.read_marks:
            raise RuntimeError(
                f"{call}: a graph may lose what npu_format_cast left on a weight; before compiling "
                "call tamis.npu_compat.enable(weight_format='ND'), or 'NZ' for weights of NZ bytes"
            )
        return weights, "ND"  # shapes alone: the elements are read when the call runs
    cast = {name for name, weight in weights.items() if is_cast(weight)}
    for name in weights.keys() - cast:
        # Without cast weights the operator sees the strides, and a strict call is its to refuse.
        if not weights[name].is_contiguous() and (cast or not options.strict):
            raise ValueError(
                f"{name}: expected a contiguous tensor of NZ bytes, got strides "
                f"{list(weights[name].stride())}; cast row-major weights: npu_format_cast(w, 29)"
            )
    if not cast:
        return weights, "NZ"
    return {
        name: weight if name in cast else torch.ops.tamis.nz_to_nd(weight)
        for name, weight in weights.items()
    }, "ND"
