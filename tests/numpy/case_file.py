"""Case files of Tamis, written and read without Tamis: one call in one safetensors file.

bfloat16 has no numpy type here: tensors of floats are `Real` arrays, float64 values that the type
holds exactly, with its name. Tensors of fp32 may be numpy's, too, and are so when read.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
RealName = Literal["float16", "bfloat16", "float32"]

_CODES: dict[np.dtype[Any], str] = {
    np.dtype(np.float32): "F32",
    np.dtype(np.int32): "I32",
    np.dtype(np.int64): "I64",
    np.dtype(np.uint8): "U8",
    np.dtype(np.bool_): "BOOL",
}
_DTYPES = {code: dtype for dtype, code in _CODES.items()}


def _to_bfloat16_bits(values: Floats) -> npt.NDArray[np.uint16]:
    """Rounds to nearest even, straight from float64."""
    single = values.astype(np.float32)
    bits = single.view(np.uint32)
    # The step to float32 may land on a tie of bfloat16 that the float64 value was not on: undo it.
    tie = (bits & 0xFFFF) == 0x8000
    inexact = single.astype(np.float64) != values
    away = np.abs(single.astype(np.float64)) > np.abs(values)
    with np.errstate(over="ignore"):
        bits = np.where(tie & inexact & away, bits - 1, bits)
        bits = np.where(tie & inexact & ~away, bits + 1, bits)
        rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def _from_bfloat16_bits(bits: npt.NDArray[np.uint16]) -> Floats:
    return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


@dataclass(frozen=True)
class Real:
    """A tensor of floats: its values, all representable, and its type."""

    values: Floats
    dtype: RealName

    @classmethod
    def round(cls, values: npt.ArrayLike, dtype: RealName) -> Real:
        """The nearest values of the type."""
        exact = np.asarray(values, dtype=np.float64)
        if dtype != "bfloat16":
            with np.errstate(over="ignore"):
                return cls(exact.astype(dtype).astype(np.float64), dtype)
        return cls(_from_bfloat16_bits(_to_bfloat16_bits(exact)), dtype)

    def to_bytes(self) -> bytes:
        """As it lies in a file."""
        if self.dtype == "bfloat16":
            return _to_bfloat16_bits(self.values).astype("<u2").tobytes()
        return self.values.astype(np.dtype(self.dtype).newbyteorder("<")).tobytes()


Tensor = Real | npt.NDArray[Any]
_REAL = {"float16": ("F16", 2), "bfloat16": ("BF16", 2), "float32": ("F32", 4)}


def _encode(tensor: Tensor) -> tuple[str, list[int], bytes, int]:
    """Type code, shape, bytes and item size."""
    if isinstance(tensor, Real):
        code, size = _REAL[tensor.dtype]
        return code, list(tensor.values.shape), tensor.to_bytes(), size
    return _CODES[tensor.dtype], list(tensor.shape), tensor.tobytes(), tensor.itemsize


def write_case(
    path: Path, op: str, tensors: Mapping[str, Tensor], attributes: Mapping[str, object]
) -> None:
    """Writes one call. Tensors lie in descending item size, so that each is aligned."""
    header: dict[str, Any] = {
        "__metadata__": {
            "tamis.op": op,
            "tamis.attrs": json.dumps(dict(attributes)),
            "tamis.source": "tests/numpy",
        }
    }
    encoded = {name: _encode(tensor) for name, tensor in tensors.items()}
    body = b""
    for name, (code, shape, data, _) in sorted(encoded.items(), key=lambda item: -item[1][3]):
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file."""
    raw = path.read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + size])
    body = raw[8 + size :]
    tensors: dict[str, Tensor] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        data, shape, code = body[begin:end], entry["shape"], entry["dtype"]
        if code == "F16":
            half = np.frombuffer(data, "<f2").astype(np.float64)
            tensors[name] = Real(half.reshape(shape), "float16")
        elif code == "BF16":
            half = _from_bfloat16_bits(np.frombuffer(data, "<u2"))
            tensors[name] = Real(half.reshape(shape), "bfloat16")
        else:
            tensors[name] = np.frombuffer(data, _DTYPES[code]).reshape(shape)
    return tensors
