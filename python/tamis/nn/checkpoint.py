"""The tensors of a checkpoint: all of them and no other, with the scales of 8 bits applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_BLOCK = 128  # rows and columns of a weight that share one scale
_DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)
_SCALES = (torch.float32, torch.bfloat16, torch.float16, torch.float8_e8m0fnu)
_FP8 = torch.float8_e4m3fn
_SUFFIX = "_scale_inv"


class Checkpoint:
    """Tensors by name, checked: what one layer has.

    Parameters
    ----------
    state : mapping of str to Tensor
        what a file holds
    shapes : mapping of str to sequence of int
        what the layer has: exactly these names. A weight in `torch.float8_e4m3fn` comes with
        `<name>_scale_inv`: one scale for every 128 x 128 of its elements, or, of shape [] or [1],
        one for all
    prefix : str
        only names that begin so are looked at, and without it

    Raises
    ------
    ValueError
        Something is missing, or is there and should not be, or has another shape or dtype; one
        line that names all of it.
    """

    def __init__(
        self, state: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]], prefix: str
    ) -> None:
        self._state = {
            name.removeprefix(prefix): tensor
            for name, tensor in state.items()
            if name.startswith(prefix)
        }
        scales = {
            name + _SUFFIX: shape
            for name, shape in shapes.items()
            if self._is_fp8(name) and len(shape) == 2
        }
        missing = [name for name in (*shapes, *scales) if name not in self._state]
        unknown = [name for name in self._state if name not in shapes and name not in scales]
        wrong = [line for name in shapes if (line := self._wrong(name, shapes[name]))]
        wrong += [line for name in scales if (line := self._wrong_scale(name, scales[name]))]
        found = {"missing": missing, "not expected": unknown, "wrong": wrong}
        lines = [f"{what}: {', '.join(names)}" for what, names in found.items() if names]
        if lines:
            where = f" below {prefix}" if prefix else ""
            raise ValueError(
                f"state: expected {len(shapes)} tensors of a layer{where}, got {'; '.join(lines)}"
            )

    def __getitem__(self, name: str) -> Tensor:
        """A tensor; of 8 bits, times its scales in float32."""
        tensor = self._state[name]
        if tensor.dtype != _FP8:
            return tensor
        scale = self._state[name + _SUFFIX].float()
        if scale.dim() == 2:
            rows, columns = tensor.shape
            scale = scale.repeat_interleave(_BLOCK, 0)[:rows]
            scale = scale.repeat_interleave(_BLOCK, 1)[:, :columns]
        return tensor.float() * scale

    def _is_fp8(self, name: str) -> bool:
        return name in self._state and self._state[name].dtype == _FP8

    def _wrong(self, name: str, shape: Sequence[int]) -> str | None:
        tensor = self._state.get(name)
        if tensor is None:
            return None
        if list(tensor.shape) != list(shape):
            return f"{name} {list(tensor.shape)} for {list(shape)}"
        if tensor.dtype not in _DTYPES and not (tensor.dtype == _FP8 and len(shape) == 2):
            return f"{name} of {_short(tensor.dtype)}"
        return None

    def _wrong_scale(self, name: str, shape: Sequence[int]) -> str | None:
        scale = self._state.get(name)
        if scale is None:
            return None
        blocks = [-(-size // _BLOCK) for size in shape]
        if list(scale.shape) not in ([], [1], blocks):
            return f"{name} {list(scale.shape)} for {blocks}"
        return None if scale.dtype in _SCALES else f"{name} of {_short(scale.dtype)}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
