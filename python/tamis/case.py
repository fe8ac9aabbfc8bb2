"""Case files: one call of an operator in one `.safetensors` file.

Tensors stand under the operator's own names; the metadata holds `tamis.op` (the operator),
`tamis.attrs` (a JSON object) and `tamis.source` (free text). Known results are tensors
`expected.<output>`.

This module needs numpy alone (ml_dtypes where a bfloat16 array of numpy is read or written), and
nothing else of Tamis: on a machine with a device, copy this one file beside your script.

    import case

    case.dump("call.safetensors", "nsa_compress", {"input": input, "weight": weight},
              {"act_seq_len": [64], "compress_block_size": 32, "compress_stride": 16},
              {"output": output})
"""

from __future__ import annotations

import json
import math
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Case", "device_statistics", "dump", "read", "statistics", "write"]

_CODES = {
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "int8": "I8",
    "uint8": "U8",
    "int32": "I32",
    "int64": "I64",
    "bool": "BOOL",
}
_NAMES = {code: name for name, code in _CODES.items()}
_ITEM_SIZES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "I8": 1, "U8": 1, "I32": 4, "I64": 8}
_ITEM_SIZES["BOOL"] = 1

_EXPECTED = "expected."
_MAX_HEADER_BYTES = 100_000_000


@dataclass
class Case:
    """One call, and its results where they are known.

    `getattr(tamis, case.op)(**case.tensors, **case.attributes)` runs it.

    Parameters
    ----------
    op : str
        The operator.
    tensors : dict of str to array
        Inputs by name.
    attributes : dict of str to object
        Numbers, booleans, strings and lists of integers by name.
    expected : dict of str to array
        Known outputs by name.
    source : str
        Where the case comes from.
    """

    op: str
    tensors: dict[str, Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    source: str = ""


def _dtype(code: str) -> np.dtype[Any]:
    if code != "BF16":
        return np.dtype(_NAMES[code])
    import ml_dtypes

    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found


def _encode(name: str, tensor: Any) -> tuple[str, list[int], npt.NDArray[Any]]:
    """Type code, shape and values of a tensor of numpy, torch or what numpy can read."""
    if hasattr(tensor, "detach"):  # torch, wherever the tensor lies
        tensor = tensor.detach().cpu().contiguous()
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype == "bfloat16":  # numpy cannot take it; its bits it can
            tensor = tensor.view(sys.modules["torch"].int16)
        array = tensor.numpy()
    else:
        array = np.asarray(tensor)
        dtype = array.dtype.name
    if dtype not in _CODES:
        raise ValueError(f"{name}: expected a dtype of {', '.join(_CODES)}, got {dtype}")
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    return _CODES[dtype], list(array.shape), little


def write(path: str | PathLike[str], case: Case) -> None:
    """Write a case to a file, which is whole or as before; cases read from it stay as they are.

    Parameters
    ----------
    path : path-like
        The file.
    case : Case
        Tensors of numpy or torch; those that are None are left out, and so are attributes.

    Raises
    ------
    ValueError
        A tensor has a dtype that no case can hold.
    """
    named = {**case.tensors, **{_EXPECTED + name: t for name, t in case.expected.items()}}
    encoded = {name: _encode(name, t) for name, t in named.items() if t is not None}
    attributes = {name: _plain(value) for name, value in case.attributes.items()}
    header: dict[str, Any] = {
        "__metadata__": {
            "tamis.op": case.op,
            "tamis.attrs": json.dumps({n: v for n, v in attributes.items() if v is not None}),
            "tamis.source": case.source,
        }
    }
    # By falling item size, so that each is aligned.
    order = sorted(encoded, key=lambda name: -encoded[name][2].itemsize)
    end = 0
    for name in order:
        code, shape, values = encoded[name]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [end, end + values.nbytes]}
        end += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    # Beside it first: who has the old file mapped keeps it.
    beside = Path(f"{os.fspath(path)}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in order:
                encoded[name][2].tofile(file)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """An attribute as JSON has it: no numpy, no torch, no tuples."""
    return value.tolist() if hasattr(value, "tolist") else value


def _check(condition: bool, path: object, complaint: str) -> None:
    if not condition:
        raise ValueError(f"{path}: {complaint}")


def _view(path: object, name: str, entry: Any, data: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    what = f"{name}: expected dtype, shape and data_offsets of a tensor"
    _check(
        isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}, path, what
    )
    code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    _check(code in _NAMES, path, f"{name}: expected a dtype of {', '.join(_NAMES)}, got {code!r}")
    for numbers in (shape, offsets):
        sound = isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)
        _check(sound, path, what)
    _check(len(offsets) == 2, path, what)
    begin, end = offsets
    size = math.prod(shape) * _ITEM_SIZES[code]
    _check(
        begin <= end <= data.size and end - begin == size,
        path,
        f"{name}: expected {size} bytes within the {data.size} of data, got {begin} to {end}",
    )
    return data[begin:end].view(_dtype(code)).reshape(shape)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("expected every name once, got one twice")
    return found


def _object(path: object, what: str, text: str | bytes) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {what}: {error}") from None
    _check(isinstance(found, dict), path, f"{what}: expected a JSON object")
    return dict(found)


def read(path: str | PathLike[str]) -> Case:
    """Read a case.

    The file is mapped, not loaded: tensors that an operator updates may be written to, and the
    file stays as it is. A result of `tamis run` can be read, too: its outputs are `tensors`.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Case
        Tensors of numpy, bfloat16 by ml_dtypes.

    Raises
    ------
    ValueError
        The file is no case; the message says why.
    OSError
        It cannot be read.
    """
    size = Path(path).stat().st_size
    _check(size >= 8, path, f"expected a safetensors file, got {size} bytes")
    mapped = np.memmap(path, np.uint8, "c")
    (length,) = struct.unpack("<Q", mapped[:8].tobytes())
    room = min(size - 8, _MAX_HEADER_BYTES)
    _check(length <= room, path, f"expected a header of at most {room} bytes, got {length}")
    header = _object(path, "header", mapped[8 : 8 + length].tobytes())
    metadata = header.pop("__metadata__", {})
    _check(isinstance(metadata, dict), path, "__metadata__: expected an object")
    data = np.asarray(mapped[8 + length :])
    case = Case(
        op=str(metadata.get("tamis.op", "")),
        tensors={},
        attributes=_object(path, "tamis.attrs", metadata.get("tamis.attrs", "{}")),
        source=str(metadata.get("tamis.source", "")),
    )
    for name, entry in header.items():
        tensor = _view(path, name, entry, data)
        if name.startswith(_EXPECTED):
            case.expected[name.removeprefix(_EXPECTED)] = tensor
        else:
            case.tensors[name] = tensor
    return case


def dump(
    path: str | PathLike[str],
    op: str,
    tensors: Mapping[str, Any],
    attributes: Mapping[str, Any],
    outputs: Mapping[str, Any] | None = None,
    *,
    source: str = "device dump",
) -> None:
    """Write down a call that was made elsewhere, with its results.

    Parameters
    ----------
    path : path-like
        The file.
    op : str
        The operator.
    tensors : mapping of str to tensor
        Inputs by name, of torch on any device or of numpy; None is left out. Caches that the call
        updates as they were before it: clone them.
    attributes : mapping of str to object
        Attributes by name; None is left out.
    outputs : mapping of str to tensor, optional
        Results by name, softmax statistics as `statistics` gives them.
    source : str
        Free text.
    """
    write(path, Case(op, dict(tensors), dict(attributes), dict(outputs or {}), source))


def statistics(dumped: Any, seq_lengths: Sequence[int], heads: int) -> npt.NDArray[np.float32]:
    """softmax_max or softmax_sum as it lies on the device, [T, N, 8], to [T, N].

    The device declares [T, N, 8], but each sequence lies as [N, S, 8], every value 8 times.

    Parameters
    ----------
    dumped : tensor [T, N, 8] of float32
        Of torch or numpy.
    seq_lengths : sequence of int
        Tokens of each sequence (not prefix sums).
    heads : int
        N.

    Returns
    -------
    numpy.ndarray [T, N] of float32
        The statistics that Tamis computes.
    """
    tokens = sum(seq_lengths)
    flat = _encode("dumped", dumped)[2].reshape(-1, 8)[:, 0]
    if flat.size != tokens * heads:
        raise ValueError(
            f"dumped: expected {tokens} tokens of {heads} heads, 8 times, got {flat.size} values"
        )
    found = np.empty((tokens, heads), np.float32)
    begin = 0
    for length in seq_lengths:
        part = flat[begin * heads : (begin + length) * heads]
        found[begin : begin + length] = part.reshape(heads, length).T
        begin += length
    return found


def device_statistics(
    values: npt.NDArray[np.float32], seq_lengths: Sequence[int]
) -> npt.NDArray[np.float32]:
    """The way back: [T, N] to [T, N, 8] as the device lays it down.

    Parameters
    ----------
    values : numpy.ndarray [T, N] of float32
        Statistics that Tamis computed.
    seq_lengths : sequence of int
        Tokens of each sequence (not prefix sums); T in all.

    Returns
    -------
    numpy.ndarray [T, N, 8] of float32
        Each sequence lies as [N, S, 8].
    """
    tokens, heads = values.shape
    if sum(seq_lengths) != tokens:
        raise ValueError(f"seq_lengths: expected {tokens} tokens in all, got {sum(seq_lengths)}")
    flat = np.empty(tokens * heads, np.float32)
    begin = 0
    for length in seq_lengths:
        flat[begin * heads : (begin + length) * heads] = values[begin : begin + length].T.ravel()
        begin += length
    return np.repeat(flat, 8).reshape(tokens, heads, 8)
