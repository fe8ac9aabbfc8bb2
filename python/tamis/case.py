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

import difflib
import json
import math
import os
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

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
_LARGEST_FLOAT32 = (2 - 2**-23) * 2.0**127


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
        if np.ma.is_masked(tensor):
            raise ValueError(f"{name}: expected an array without a mask, got a masked one")
        array = np.asarray(tensor)
        dtype = array.dtype.name
    if dtype not in _CODES:
        raise ValueError(f"{name}: expected a dtype of {', '.join(_CODES)}, got {dtype}")
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    return _CODES[dtype], list(array.shape), little


def _plain(value: Any) -> Any:
    """An attribute as JSON has it: no numpy, no torch, no tuples."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, (tuple, range)) else value


def _given(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if value is not None}


_Encoded = dict[str, tuple[str, list[int], npt.NDArray[Any]]]


def _encode_all(tensors: Mapping[str, Any]) -> _Encoded:
    return {name: _encode(name, tensor) for name, tensor in tensors.items()}


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
        A tensor has a dtype that no case can hold, or a mask; an attribute is not finite.
    """
    attributes = {name: _plain(value) for name, value in _given(case.attributes).items()}
    named = {**case.tensors, **{_EXPECTED + name: t for name, t in case.expected.items()}}
    _write(path, case.op, _encode_all(_given(named)), attributes, case.source)


def _write(
    path: str | PathLike[str], op: str, encoded: _Encoded, attributes: dict[str, Any], source: str
) -> None:
    try:
        attrs = json.dumps(attributes, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"attributes: expected finite numbers and plain values: {error}") from None
    header: dict[str, Any] = {
        "__metadata__": {"tamis.op": op, "tamis.attrs": attrs, "tamis.source": source}
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


class _Field(NamedTuple):
    """An argument of an operator.

    `role` is input, optional_input, inout, optional_inout, output or optional_output of a tensor,
    required or optional of an attribute; `type` a tensor's dtypes or "as another", or int, float,
    bool, choice, ints; `forms` a tensor's shapes or a choice's names. `by` is what selects among
    forms (an attribute, or the tensor whose rank does), of an optional attribute its default;
    `needs` is without what an output must be absent.
    """

    role: str
    type: str
    forms: str = ""
    by: str = ""
    needs: str = ""

    @property
    def is_attribute(self) -> bool:
        return self.role in ("required", "optional")

    @property
    def is_input(self) -> bool:
        return self.role.endswith(("input", "inout"))

    @property
    def is_output(self) -> bool:
        return self.role.endswith(("output", "inout"))

    @property
    def is_required(self) -> bool:
        return self.role in ("input", "inout", "required")


# --- contracts: begin (made by `dev generate`, do not edit)
_CONTRACTS: dict[str, dict[str, _Field]] = {
    "nsa_compress": {
        "input": _Field("input", "float16 bfloat16 float32", "T, N, D"),
        "weight": _Field("input", "as input", "compress_block_size, N"),
        "act_seq_len": _Field("required", "ints"),
        "compress_block_size": _Field("required", "int"),
        "compress_stride": _Field("required", "int"),
        "layout": _Field("optional", "choice", "TND", "TND"),
        "act_seq_len_type": _Field("optional", "int", "", "0"),
        "strict": _Field("optional", "bool", "", "False"),
        "output": _Field("output", "as input", "Tc, N, D"),
    },
    "nsa_compress_grad": {
        "output_grad": _Field("input", "float16 bfloat16 float32", "Tc, N, D"),
        "input": _Field("input", "as output_grad", "T, N, D"),
        "weight": _Field("input", "as output_grad", "compress_block_size, N"),
        "act_seq_len": _Field("required", "ints"),
        "compress_block_size": _Field("required", "int"),
        "compress_stride": _Field("required", "int"),
        "layout": _Field("optional", "choice", "TND", "TND"),
        "act_seq_len_type": _Field("optional", "int", "", "0"),
        "return_input_grad": _Field("optional", "bool", "", "True"),
        "return_weight_grad": _Field("optional", "bool", "", "True"),
        "strict": _Field("optional", "bool", "", "False"),
        "input_grad": _Field("optional_output", "as input", "T, N, D", "", "return_input_grad"),
        "weight_grad": _Field(
            "optional_output",
            "as weight",
            "compress_block_size, N",
            "",
            "return_weight_grad",
        ),
    },
    "nsa_compress_infer": {
        "input": _Field("input", "float16 bfloat16 float32", "pages, page_block_size, N, D"),
        "weight": _Field("input", "as input", "compress_block_size, N"),
        "slot_mapping": _Field("input", "int32 int64", "T"),
        "block_table": _Field("input", "int32", "B, max_pages"),
        "cache": _Field("inout", "as input", "R, N, D"),
        "act_seq_len": _Field("required", "ints"),
        "compress_block_size": _Field("required", "int"),
        "compress_stride": _Field("required", "int"),
        "page_block_size": _Field("required", "int"),
        "actual_seq_qlen": _Field("optional", "ints"),
        "strict": _Field("optional", "bool", "", "False"),
    },
    "nsa_compress_attention": {
        "query": _Field("input", "float16 bfloat16 float32", "T, N, D"),
        "key": _Field("input", "as query", "Tc, N2, D"),
        "value": _Field("input", "as query", "Tc, N2, D2"),
        "atten_mask": _Field("optional_input", "bool uint8", "max_q, max_n"),
        "topk_mask": _Field("optional_input", "bool uint8", "max_q, max_blocks"),
        "key_limits": _Field("optional_input", "int32", "T"),
        "global_max": _Field("optional_input", "float32", "T, N"),
        "global_sum": _Field("optional_input", "float32", "T, N"),
        "scale_value": _Field("required", "float"),
        "head_num": _Field("required", "int"),
        "compress_block_size": _Field("required", "int"),
        "compress_stride": _Field("required", "int"),
        "select_block_size": _Field("required", "int"),
        "select_block_count": _Field("required", "int"),
        "actual_seq_qlen": _Field("required", "ints"),
        "actual_cmp_seq_kvlen": _Field("required", "ints"),
        "actual_sel_seq_kvlen": _Field("optional", "ints"),
        "causal": _Field("optional", "bool", "", "False"),
        "actual_raw_seq_kvlen": _Field("optional", "ints"),
        "importance": _Field("optional", "choice", "cann exact_overlap", "cann"),
        "masked_rows": _Field("optional", "choice", "uniform zero", "uniform"),
        "selection": _Field("optional", "choice", "device causal", "device"),
        "accuracy": _Field("optional", "choice", "storage fp32 fp32_scores", "storage"),
        "out_dtype": _Field("optional", "choice", "input float32", "input"),
        "return_block_scores": _Field("optional", "bool", "", "False"),
        "strict": _Field("optional", "bool", "", "False"),
        "attention_out": _Field("output", "as query", "T, N, D2"),
        "topk_indices": _Field("optional_output", "int32", "T, N2, select_block_count"),
        "softmax_max": _Field("optional_output", "float32", "T, N"),
        "softmax_sum": _Field("optional_output", "float32", "T, N"),
        "block_scores": _Field(
            "optional_output",
            "float32",
            "T, N2, blocks",
            "",
            "return_block_scores",
        ),
    },
    "nsa_compress_attention_infer": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "TND: T, N, D; BSND: B, S, N, D",
            "layout",
        ),
        "key": _Field("input", "as query", "pages, page_block_size, key_value_head_num*D"),
        "value": _Field("input", "as query", "pages, page_block_size, key_value_head_num*D2"),
        "block_table": _Field("input", "int32", "B, max_pages"),
        "atten_mask": _Field("optional_input", "bool uint8", "*, *"),
        "key_limits": _Field("optional_input", "int32", "TND: T; BSND: B, S", "layout"),
        "global_max": _Field("optional_input", "float32", "TND: T, N; BSND: B, S, N", "layout"),
        "global_sum": _Field("optional_input", "float32", "TND: T, N; BSND: B, S, N", "layout"),
        "scale_value": _Field("required", "float"),
        "head_num": _Field("required", "int"),
        "key_value_head_num": _Field("required", "int"),
        "select_block_size": _Field("required", "int"),
        "select_block_count": _Field("required", "int"),
        "page_block_size": _Field("required", "int"),
        "compress_block_size": _Field("required", "int"),
        "compress_stride": _Field("required", "int"),
        "layout": _Field("optional", "choice", "TND BSND", "TND"),
        "actual_seq_qlen": _Field("optional", "ints"),
        "actual_cmp_seq_kvlen": _Field("required", "ints"),
        "actual_sel_seq_kvlen": _Field("optional", "ints"),
        "importance": _Field("optional", "choice", "cann exact_overlap", "cann"),
        "masked_rows": _Field("optional", "choice", "uniform zero", "uniform"),
        "selection": _Field("optional", "choice", "device causal", "device"),
        "accuracy": _Field("optional", "choice", "storage fp32 fp32_scores", "storage"),
        "out_dtype": _Field("optional", "choice", "input float32", "input"),
        "return_softmax_lse": _Field("optional", "bool", "", "False"),
        "return_block_scores": _Field("optional", "bool", "", "False"),
        "strict": _Field("optional", "bool", "", "False"),
        "attention_out": _Field("output", "as query", "TND: T, N, D2; BSND: B, S, N, D2", "layout"),
        "topk_indices": _Field(
            "optional_output",
            "int32",
            "TND: T, key_value_head_num, select_block_count; "
            "BSND: B, S, key_value_head_num, select_block_count",
            "layout",
        ),
        "softmax_max": _Field(
            "optional_output",
            "float32",
            "TND: T, N; BSND: B, S, N",
            "layout",
            "return_softmax_lse",
        ),
        "softmax_sum": _Field(
            "optional_output",
            "float32",
            "TND: T, N; BSND: B, S, N",
            "layout",
            "return_softmax_lse",
        ),
        "block_scores": _Field(
            "optional_output",
            "float32",
            "TND: T, key_value_head_num, blocks; BSND: B, S, key_value_head_num, blocks",
            "layout",
            "return_block_scores",
        ),
    },
    "nsa_compress_attention_grad": {
        "query": _Field("input", "float16 bfloat16 float32", "T, N, D"),
        "key": _Field("input", "as query", "Tc, N2, D"),
        "value": _Field("input", "as query", "Tc, N2, D2"),
        "attention_out_grad": _Field("input", "as query", "T, N, D2"),
        "softmax_max": _Field("input", "float32", "T, N"),
        "softmax_sum": _Field("input", "float32", "T, N"),
        "atten_mask": _Field("optional_input", "bool uint8", "max_q, max_n"),
        "key_limits": _Field("optional_input", "int32", "T"),
        "scale_value": _Field("required", "float"),
        "head_num": _Field("required", "int"),
        "actual_seq_qlen": _Field("required", "ints"),
        "actual_cmp_seq_kvlen": _Field("required", "ints"),
        "causal": _Field("optional", "bool", "", "False"),
        "compress_block_size": _Field("optional", "int", "", "0"),
        "compress_stride": _Field("optional", "int", "", "0"),
        "actual_raw_seq_kvlen": _Field("optional", "ints"),
        "masked_rows": _Field("optional", "choice", "uniform zero", "uniform"),
        "return_query_grad": _Field("optional", "bool", "", "True"),
        "return_key_grad": _Field("optional", "bool", "", "True"),
        "return_value_grad": _Field("optional", "bool", "", "True"),
        "strict": _Field("optional", "bool", "", "False"),
        "query_grad": _Field("optional_output", "as query", "T, N, D", "", "return_query_grad"),
        "key_grad": _Field("optional_output", "as key", "Tc, N2, D", "", "return_key_grad"),
        "value_grad": _Field("optional_output", "as value", "Tc, N2, D2", "", "return_value_grad"),
    },
    "nsa_selected_attention": {
        "query": _Field("input", "float16 bfloat16 float32", "T, N, D"),
        "key": _Field("input", "as query", "Tk, N2, D"),
        "value": _Field("input", "as query", "Tk, N2, D2"),
        "topk_indices": _Field("input", "int32", "T, N2, K"),
        "scale_value": _Field("required", "float"),
        "head_num": _Field("required", "int"),
        "select_block_size": _Field("required", "int"),
        "select_block_count": _Field("required", "int"),
        "actual_seq_qlen": _Field("required", "ints"),
        "actual_seq_kvlen": _Field("required", "ints"),
        "sparse_mode": _Field("optional", "int", "", "2"),
        "accuracy": _Field("optional", "choice", "storage fp32 fp32_scores", "storage"),
        "out_dtype": _Field("optional", "choice", "input float32", "input"),
        "strict": _Field("optional", "bool", "", "False"),
        "attention_out": _Field("output", "as query", "T, N, D2"),
        "softmax_max": _Field("optional_output", "float32", "T, N"),
        "softmax_sum": _Field("optional_output", "float32", "T, N"),
    },
    "nsa_selected_attention_infer": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "TND: T, N, D; BSND: B, S, N, D",
            "layout",
        ),
        "key": _Field("input", "as query", "pages, page_block_size, key_value_head_num*D"),
        "value": _Field("input", "as query", "pages, page_block_size, key_value_head_num*D2"),
        "topk_indices": _Field(
            "input",
            "int32",
            "TND: T, key_value_head_num, K; BSND: B, S, key_value_head_num, K",
            "layout",
        ),
        "block_table": _Field("input", "int32", "B, max_pages"),
        "scale_value": _Field("required", "float"),
        "head_num": _Field("required", "int"),
        "key_value_head_num": _Field("required", "int"),
        "select_block_size": _Field("required", "int"),
        "select_block_count": _Field("required", "int"),
        "page_block_size": _Field("required", "int"),
        "layout": _Field("optional", "choice", "TND BSND", "TND"),
        "actual_seq_qlen": _Field("optional", "ints"),
        "actual_seq_kvlen": _Field("required", "ints"),
        "accuracy": _Field("optional", "choice", "storage fp32 fp32_scores", "storage"),
        "out_dtype": _Field("optional", "choice", "input float32", "input"),
        "return_softmax_lse": _Field("optional", "bool", "", "False"),
        "strict": _Field("optional", "bool", "", "False"),
        "attention_out": _Field("output", "as query", "TND: T, N, D2; BSND: B, S, N, D2", "layout"),
        "softmax_max": _Field(
            "optional_output",
            "float32",
            "TND: T, N; BSND: B, S, N",
            "layout",
            "return_softmax_lse",
        ),
        "softmax_sum": _Field(
            "optional_output",
            "float32",
            "TND: T, N; BSND: B, S, N",
            "layout",
            "return_softmax_lse",
        ),
    },
    "nsa_selected_attention_grad": {
        "query": _Field("input", "float16 bfloat16 float32", "T, N, D"),
        "key": _Field("input", "as query", "Tk, N2, D"),
        "value": _Field("input", "as query", "Tk, N2, D2"),
        "attention_out_grad": _Field("input", "as query", "T, N, D2"),
        "softmax_max": _Field("input", "float32", "T, N"),
        "softmax_sum": _Field("input", "float32", "T, N"),
        "topk_indices": _Field("input", "int32", "T, N2, K"),
        "scale_value": _Field("required", "float"),
        "head_num": _Field("required", "int"),
        "select_block_size": _Field("required", "int"),
        "select_block_count": _Field("required", "int"),
        "actual_seq_qlen": _Field("required", "ints"),
        "actual_seq_kvlen": _Field("required", "ints"),
        "sparse_mode": _Field("optional", "int", "", "2"),
        "return_query_grad": _Field("optional", "bool", "", "True"),
        "return_key_grad": _Field("optional", "bool", "", "True"),
        "return_value_grad": _Field("optional", "bool", "", "True"),
        "strict": _Field("optional", "bool", "", "False"),
        "query_grad": _Field("optional_output", "as query", "T, N, D", "", "return_query_grad"),
        "key_grad": _Field("optional_output", "as key", "Tk, N2, D", "", "return_key_grad"),
        "value_grad": _Field("optional_output", "as value", "Tk, N2, D2", "", "return_value_grad"),
    },
    "sliding_window_attention": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout_query",
        ),
        "key": _Field(
            "input",
            "as query",
            "BSND: Bk, S2, N2, D; TND: T2, N2, D; PA_BSND: pages, page_size, N2, D",
            "layout_kv",
        ),
        "value": _Field(
            "input",
            "as query",
            "BSND: Bk, S2, N2, D2; TND: T2, N2, D2; PA_BSND: pages, page_size, N2, D2",
            "layout_kv",
        ),
        "block_table": _Field("optional_input", "int32", "*, *"),
        "actual_seq_lengths_query": _Field("optional_input", "int32 int64", "*"),
        "actual_seq_lengths_kv": _Field("optional_input", "int32 int64", "*"),
        "key_starts": _Field("optional_input", "int32 int64", "*"),
        "key_limits": _Field("optional_input", "int32", "BSND: B, S1; TND: T1", "layout_query"),
        "scale_value": _Field("required", "float"),
        "window_size": _Field("required", "int"),
        "layout_query": _Field("optional", "choice", "BSND TND", "BSND"),
        "layout_kv": _Field("optional", "choice", "BSND TND PA_BSND", "BSND"),
        "out_dtype": _Field("optional", "choice", "input float32", "input"),
        "strict": _Field("optional", "bool", "", "False"),
        "attention_out": _Field(
            "output",
            "as query",
            "BSND: B, S1, N, D2; TND: T1, N, D2",
            "layout_query",
        ),
        "softmax_max": _Field(
            "optional_output",
            "float32",
            "BSND: B, S1, N; TND: T1, N",
            "layout_query",
        ),
        "softmax_sum": _Field(
            "optional_output",
            "float32",
            "BSND: B, S1, N; TND: T1, N",
            "layout_query",
        ),
    },
    "sliding_window_attention_grad": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout_query",
        ),
        "key": _Field("input", "as query", "BSND: Bk, S2, N2, D; TND: T2, N2, D", "layout_kv"),
        "value": _Field("input", "as query", "BSND: Bk, S2, N2, D2; TND: T2, N2, D2", "layout_kv"),
        "attention_out_grad": _Field(
            "input",
            "as query",
            "BSND: B, S1, N, D2; TND: T1, N, D2",
            "layout_query",
        ),
        "softmax_max": _Field("input", "float32", "BSND: B, S1, N; TND: T1, N", "layout_query"),
        "softmax_sum": _Field("input", "float32", "BSND: B, S1, N; TND: T1, N", "layout_query"),
        "actual_seq_lengths_query": _Field("optional_input", "int32 int64", "*"),
        "actual_seq_lengths_kv": _Field("optional_input", "int32 int64", "*"),
        "key_starts": _Field("optional_input", "int32 int64", "*"),
        "key_limits": _Field("optional_input", "int32", "BSND: B, S1; TND: T1", "layout_query"),
        "scale_value": _Field("required", "float"),
        "window_size": _Field("required", "int"),
        "layout_query": _Field("optional", "choice", "BSND TND", "BSND"),
        "layout_kv": _Field("optional", "choice", "BSND TND", "BSND"),
        "return_query_grad": _Field("optional", "bool", "", "True"),
        "return_key_grad": _Field("optional", "bool", "", "True"),
        "return_value_grad": _Field("optional", "bool", "", "True"),
        "strict": _Field("optional", "bool", "", "False"),
        "query_grad": _Field(
            "optional_output",
            "as query",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout_query",
            "return_query_grad",
        ),
        "key_grad": _Field(
            "optional_output",
            "as key",
            "BSND: Bk, S2, N2, D; TND: T2, N2, D",
            "layout_kv",
            "return_key_grad",
        ),
        "value_grad": _Field(
            "optional_output",
            "as value",
            "BSND: Bk, S2, N2, D2; TND: T2, N2, D2",
            "layout_kv",
            "return_value_grad",
        ),
    },
    "mla_prolog": {
        "x": _Field("input", "float16 bfloat16 float32", "TH: T, H; BSH: B, S1, H", "x"),
        "query_source": _Field("optional_input", "as x", "TH: T, Lq; BSH: B, S1, Lq", "x"),
        "w_dq": _Field("optional_input", "as x", "H, Lq"),
        "w_uq_qr": _Field("input", "as x", "Lq, uq_width"),
        "w_uk": _Field("input", "as x", "N, nope, latent"),
        "w_dkv_kr": _Field("input", "as x", "H, kv_width"),
        "bias_dq": _Field("optional_input", "as x", "Lq"),
        "bias_dkv_kr": _Field("optional_input", "as x", "kv_width"),
        "gamma_cq": _Field("optional_input", "as x", "Lq"),
        "gamma_ckv": _Field("input", "as x", "latent"),
        "gamma_kr": _Field("optional_input", "as x", "rope"),
        "sin": _Field("input", "as x", "TH: T, rope; BSH: B, S1, rope", "x"),
        "cos": _Field("input", "as x", "TH: T, rope; BSH: B, S1, rope", "x"),
        "cache_index": _Field("input", "int32 int64", "TH: T; BSH: B, S1", "x"),
        "kv_cache": _Field("inout", "as x", "pages, page_size, 1, latent"),
        "kr_cache": _Field("inout", "as x", "pages, page_size, 1, rope"),
        "epsilon_cq": _Field("optional", "float", "", "1e-05"),
        "epsilon_ckv": _Field("optional", "float", "", "1e-05"),
        "epsilon_kr": _Field("optional", "float", "", "1e-05"),
        "rope_interleaved": _Field("optional", "bool", "", "True"),
        "weight_format": _Field("optional", "choice", "ND NZ", "ND"),
        "strict": _Field("optional", "bool", "", "False"),
        "query": _Field("optional_output", "as x", "TH: T, N, latent; BSH: B, S1, N, latent", "x"),
        "query_rope": _Field("optional_output", "as x", "TH: T, N, rope; BSH: B, S1, N, rope", "x"),
        "query_norm": _Field(
            "optional_output",
            "as x",
            "TH: T, Lq; BSH: B, S1, Lq",
            "x",
            "w_dq gamma_cq",
        ),
    },
    "indexer_prolog": {
        "x": _Field("input", "float16 bfloat16 float32", "TH: T, H; BSH: B, S1, H", "x"),
        "query_norm": _Field("optional_input", "as x", "TH: T, Lq; BSH: B, S1, Lq", "x"),
        "w_idx_qb": _Field("optional_input", "as x", "Lq, qb_width"),
        "w_idx_k": _Field("input", "as x", "H, Di"),
        "w_idx_proj": _Field("optional_input", "as x", "H, Ni"),
        "in_gamma_k": _Field("input", "as x", "Di"),
        "in_beta_k": _Field("input", "as x", "Di"),
        "sin": _Field("input", "as x", "TH: T, rope; BSH: B, S1, rope", "x"),
        "cos": _Field("input", "as x", "TH: T, rope; BSH: B, S1, rope", "x"),
        "cache_index": _Field("input", "int32 int64", "TH: T; BSH: B, S1", "x"),
        "index_k_cache": _Field("inout", "as x", "pages, page_size, 1, Di"),
        "index_k_shadow": _Field("optional_inout", "uint8", "pages, panels, panel_bytes"),
        "epsilon": _Field("optional", "float", "", "1e-06"),
        "rope_interleaved": _Field("optional", "bool", "", "True"),
        "rope_last": _Field("optional", "bool", "", "False"),
        "weight_format": _Field("optional", "choice", "ND NZ", "ND"),
        "strict": _Field("optional", "bool", "", "False"),
        "query": _Field(
            "optional_output",
            "as x",
            "TH: T, Ni, Di; BSH: B, S1, Ni, Di",
            "x",
            "query_norm w_idx_qb",
        ),
        "weights": _Field(
            "optional_output",
            "as x",
            "TH: T, Ni; BSH: B, S1, Ni",
            "x",
            "w_idx_proj",
        ),
    },
    "nd_to_nz": {
        "weight": _Field("input", "float16 bfloat16 float32", "rows, columns"),
        "strict": _Field("optional", "bool", "", "False"),
        "output": _Field("output", "as weight", "rows, columns"),
    },
    "nz_to_nd": {
        "weight": _Field("input", "float16 bfloat16 float32", "rows, columns"),
        "strict": _Field("optional", "bool", "", "False"),
        "output": _Field("output", "as weight", "rows, columns"),
    },
    "quantize_index_keys": {
        "key": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: Bk, S2, 1, D; TND: T2, 1, D; PA_BSND: pages, page_size, 1, D",
            "layout_key",
        ),
        "layout_key": _Field("optional", "choice", "BSND TND PA_BSND", "BSND"),
        "strict": _Field("optional", "bool", "", "False"),
        "key_shadow": _Field(
            "output",
            "uint8",
            "BSND: Bk, panels, panel_bytes; "
            "TND: panels, panel_bytes; "
            "PA_BSND: pages, panels, panel_bytes",
            "layout_key",
        ),
    },
    "lightning_indexer": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout_query",
        ),
        "key": _Field(
            "input",
            "as query",
            "BSND: Bk, S2, 1, D; TND: T2, 1, D; PA_BSND: pages, page_size, 1, D",
            "layout_key",
        ),
        "weights": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N; TND: T1, N",
            "layout_query",
        ),
        "actual_seq_lengths_query": _Field("optional_input", "int32 int64", "*"),
        "actual_seq_lengths_key": _Field("optional_input", "int32 int64", "*"),
        "block_table": _Field("optional_input", "int32", "*, *"),
        "key_shadow": _Field(
            "optional_input",
            "uint8",
            "BSND: Bk, panels, panel_bytes; "
            "TND: panels, panel_bytes; "
            "PA_BSND: pages, panels, panel_bytes",
            "layout_key",
        ),
        "key_starts": _Field("optional_input", "int32 int64", "*"),
        "key_limits": _Field("optional_input", "int32", "BSND: B, S1; TND: T1", "layout_query"),
        "actual_seq_lengths_tokens": _Field("optional_input", "int32 int64", "*"),
        "layout_query": _Field("optional", "choice", "BSND TND", "BSND"),
        "layout_key": _Field("optional", "choice", "BSND TND PA_BSND", "BSND"),
        "sparse_count": _Field("optional", "int", "", "2048"),
        "sparse_mode": _Field("optional", "int", "", "3"),
        "compress_ratio": _Field("optional", "int", "", "1"),
        "return_value": _Field("optional", "bool", "", "False"),
        "value_dtype": _Field("optional", "choice", "input float32", "input"),
        "pruning": _Field("optional", "choice", "auto off on", "auto"),
        "strict": _Field("optional", "bool", "", "False"),
        "sparse_indices": _Field(
            "output",
            "int32",
            "BSND: B, S1, 1, sparse_count; TND: T1, 1, sparse_count",
            "layout_query",
        ),
        "sparse_values": _Field(
            "optional_output",
            "as query",
            "BSND: B, S1, 1, sparse_count; TND: T1, 1, sparse_count",
            "layout_query",
            "return_value",
        ),
    },
    "lightning_indexer_grad": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout_query",
        ),
        "key": _Field("input", "as query", "BSND: Bk, S2, 1, D; TND: T2, 1, D", "layout_key"),
        "sparse_values_grad": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, 1, K; TND: T1, 1, K",
            "layout_query",
        ),
        "sparse_indices": _Field(
            "input",
            "int32",
            "BSND: B, S1, 1, K; TND: T1, 1, K",
            "layout_query",
        ),
        "weights": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N; TND: T1, N",
            "layout_query",
        ),
        "actual_seq_lengths_query": _Field("optional_input", "int32 int64", "*"),
        "actual_seq_lengths_key": _Field("optional_input", "int32 int64", "*"),
        "key_starts": _Field("optional_input", "int32 int64", "*"),
        "key_limits": _Field("optional_input", "int32", "BSND: B, S1; TND: T1", "layout_query"),
        "actual_seq_lengths_tokens": _Field("optional_input", "int32 int64", "*"),
        "layout_query": _Field("optional", "choice", "BSND TND", "BSND"),
        "layout_key": _Field("optional", "choice", "BSND TND", "BSND"),
        "sparse_mode": _Field("optional", "int", "", "3"),
        "compress_ratio": _Field("optional", "int", "", "1"),
        "return_query_grad": _Field("optional", "bool", "", "True"),
        "return_key_grad": _Field("optional", "bool", "", "True"),
        "return_weights_grad": _Field("optional", "bool", "", "True"),
        "strict": _Field("optional", "bool", "", "False"),
        "query_grad": _Field(
            "optional_output",
            "as query",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout_query",
            "return_query_grad",
        ),
        "key_grad": _Field(
            "optional_output",
            "as key",
            "BSND: Bk, S2, 1, D; TND: T2, 1, D",
            "layout_key",
            "return_key_grad",
        ),
        "weights_grad": _Field(
            "optional_output",
            "as weights",
            "BSND: B, S1, N; TND: T1, N",
            "layout_query",
            "return_weights_grad",
        ),
    },
    "dense_lightning_indexer_softmax_lse": {
        "query_index": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, Ni, Di; TND: T1, Ni, Di",
            "layout",
        ),
        "key_index": _Field(
            "input",
            "as query_index",
            "BSND: Bk, S2, 1, Di; TND: T2, 1, Di",
            "layout",
        ),
        "weights": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, Ni; TND: T1, Ni",
            "layout",
        ),
        "actual_seq_lengths_query": _Field("optional_input", "int32 int64", "*"),
        "actual_seq_lengths_key": _Field("optional_input", "int32 int64", "*"),
        "layout": _Field("optional", "choice", "BSND TND", "BSND"),
        "sparse_mode": _Field("optional", "int", "", "3"),
        "strict": _Field("optional", "bool", "", "False"),
        "softmax_max_index": _Field("output", "float32", "BSND: B, S1; TND: T1", "layout"),
        "softmax_sum_index": _Field("output", "float32", "BSND: B, S1; TND: T1", "layout"),
    },
    "dense_lightning_indexer_grad_kl_loss": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout",
        ),
        "key": _Field("input", "as query", "BSND: Bk, S2, N2, D; TND: T2, N2, D", "layout"),
        "query_index": _Field(
            "input",
            "as query",
            "BSND: B, S1, Ni, Di; TND: T1, Ni, Di",
            "layout",
        ),
        "key_index": _Field("input", "as query", "BSND: Bk, S2, 1, Di; TND: T2, 1, Di", "layout"),
        "weights": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, Ni; TND: T1, Ni",
            "layout",
        ),
        "softmax_max": _Field("input", "float32", "BSND: B, S1, N; TND: T1, N", "layout"),
        "softmax_sum": _Field("input", "float32", "BSND: B, S1, N; TND: T1, N", "layout"),
        "softmax_max_index": _Field("input", "float32", "BSND: B, S1; TND: T1", "layout"),
        "softmax_sum_index": _Field("input", "float32", "BSND: B, S1; TND: T1", "layout"),
        "query_rope": _Field(
            "optional_input",
            "as query",
            "BSND: B, S1, N, Dr; TND: T1, N, Dr",
            "layout",
        ),
        "key_rope": _Field(
            "optional_input",
            "as query",
            "BSND: Bk, S2, N2, Dr; TND: T2, N2, Dr",
            "layout",
        ),
        "row_scale": _Field("optional_input", "float32", "BSND: B, S1; TND: T1", "layout"),
        "actual_seq_lengths_query": _Field("optional_input", "int32 int64", "*"),
        "actual_seq_lengths_key": _Field("optional_input", "int32 int64", "*"),
        "scale_value": _Field("required", "float"),
        "layout": _Field("optional", "choice", "BSND TND", "BSND"),
        "sparse_mode": _Field("optional", "int", "", "3"),
        "return_query_index_grad": _Field("optional", "bool", "", "True"),
        "return_key_index_grad": _Field("optional", "bool", "", "True"),
        "return_weights_grad": _Field("optional", "bool", "", "True"),
        "return_row_loss": _Field("optional", "bool", "", "False"),
        "strict": _Field("optional", "bool", "", "False"),
        "loss": _Field("output", "float32", "1"),
        "query_index_grad": _Field(
            "optional_output",
            "as query_index",
            "BSND: B, S1, Ni, Di; TND: T1, Ni, Di",
            "layout",
            "return_query_index_grad",
        ),
        "key_index_grad": _Field(
            "optional_output",
            "as key_index",
            "BSND: Bk, S2, 1, Di; TND: T2, 1, Di",
            "layout",
            "return_key_index_grad",
        ),
        "weights_grad": _Field(
            "optional_output",
            "as weights",
            "BSND: B, S1, Ni; TND: T1, Ni",
            "layout",
            "return_weights_grad",
        ),
        "row_loss": _Field(
            "optional_output",
            "float32",
            "BSND: B, S1; TND: T1",
            "layout",
            "return_row_loss",
        ),
    },
    "sparse_lightning_indexer_grad_kl_loss": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout",
        ),
        "key": _Field("input", "as query", "BSND: Bk, S2, 1, D; TND: T2, 1, D", "layout"),
        "query_index": _Field(
            "input",
            "as query",
            "BSND: B, S1, Ni, Di; TND: T1, Ni, Di",
            "layout",
        ),
        "key_index": _Field("input", "as query", "BSND: Bk, S2, 1, Di; TND: T2, 1, Di", "layout"),
        "weights": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, Ni; TND: T1, Ni",
            "layout",
        ),
        "sparse_indices": _Field("input", "int32", "BSND: B, S1, 1, K; TND: T1, 1, K", "layout"),
        "softmax_max": _Field("input", "float32", "BSND: B, S1, N; TND: T1, N", "layout"),
        "softmax_sum": _Field("input", "float32", "BSND: B, S1, N; TND: T1, N", "layout"),
        "query_rope": _Field(
            "optional_input",
            "as query",
            "BSND: B, S1, N, Dr; TND: T1, N, Dr",
            "layout",
        ),
        "key_rope": _Field(
            "optional_input",
            "as query",
            "BSND: Bk, S2, 1, Dr; TND: T2, 1, Dr",
            "layout",
        ),
        "sinks": _Field("optional_input", "float32", "N"),
        "row_scale": _Field("optional_input", "float32", "BSND: B, S1; TND: T1", "layout"),
        "actual_seq_lengths_query": _Field("optional_input", "int32 int64", "*"),
        "actual_seq_lengths_key": _Field("optional_input", "int32 int64", "*"),
        "scale_value": _Field("required", "float"),
        "layout": _Field("optional", "choice", "BSND TND", "BSND"),
        "sparse_mode": _Field("optional", "int", "", "3"),
        "return_query_index_grad": _Field("optional", "bool", "", "True"),
        "return_key_index_grad": _Field("optional", "bool", "", "True"),
        "return_weights_grad": _Field("optional", "bool", "", "True"),
        "return_row_loss": _Field("optional", "bool", "", "False"),
        "strict": _Field("optional", "bool", "", "False"),
        "loss": _Field("output", "float32", "1"),
        "query_index_grad": _Field(
            "optional_output",
            "as query_index",
            "BSND: B, S1, Ni, Di; TND: T1, Ni, Di",
            "layout",
            "return_query_index_grad",
        ),
        "key_index_grad": _Field(
            "optional_output",
            "as key_index",
            "BSND: Bk, S2, 1, Di; TND: T2, 1, Di",
            "layout",
            "return_key_index_grad",
        ),
        "weights_grad": _Field(
            "optional_output",
            "as weights",
            "BSND: B, S1, Ni; TND: T1, Ni",
            "layout",
            "return_weights_grad",
        ),
        "row_loss": _Field(
            "optional_output",
            "float32",
            "BSND: B, S1; TND: T1",
            "layout",
            "return_row_loss",
        ),
    },
    "sparse_flash_attention": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout_query",
        ),
        "key": _Field(
            "input",
            "float16 bfloat16 float32 int8 uint8",
            "BSND: Bk, S2, 1, W; TND: T2, 1, W; PA_BSND: pages, page_size, 1, W",
            "layout_kv",
        ),
        "sparse_indices": _Field(
            "input",
            "int32",
            "BSND: B, S1, 1, K; TND: T1, 1, K",
            "layout_query",
        ),
        "value": _Field(
            "optional_input",
            "as key",
            "BSND: Bk, S2, 1, W; TND: T2, 1, W; PA_BSND: pages, page_size, 1, W",
            "layout_kv",
        ),
        "block_table": _Field("optional_input", "int32", "*, *"),
        "actual_seq_lengths_query": _Field("optional_input", "int32 int64", "*"),
        "actual_seq_lengths_kv": _Field("optional_input", "int32 int64", "*"),
        "query_rope": _Field(
            "optional_input",
            "as query",
            "BSND: B, S1, N, Dr; TND: T1, N, Dr",
            "layout_query",
        ),
        "key_rope": _Field(
            "optional_input",
            "as query",
            "BSND: Bk, S2, 1, Dr; TND: T2, 1, Dr; PA_BSND: pages, page_size, 1, Dr",
            "layout_kv",
        ),
        "sinks": _Field("optional_input", "float32", "N"),
        "key_starts": _Field("optional_input", "int32 int64", "*"),
        "key_limits": _Field("optional_input", "int32", "BSND: B, S1; TND: T1", "layout_query"),
        "actual_seq_lengths_tokens": _Field("optional_input", "int32 int64", "*"),
        "window_key": _Field(
            "optional_input",
            "as key",
            "BSND: Bw, S3, 1, W; TND: T3, 1, W; PA_BSND: window_pages, window_page_size, 1, W",
            "layout_kv",
        ),
        "window_key_rope": _Field(
            "optional_input",
            "as query",
            "BSND: Bw, S3, 1, Dr; TND: T3, 1, Dr; PA_BSND: window_pages, window_page_size, 1, Dr",
            "layout_kv",
        ),
        "window_value": _Field(
            "optional_input",
            "as key",
            "BSND: Bw, S3, 1, W; TND: T3, 1, W; PA_BSND: window_pages, window_page_size, 1, W",
            "layout_kv",
        ),
        "window_block_table": _Field("optional_input", "int32", "*, *"),
        "actual_seq_lengths_window": _Field("optional_input", "int32 int64", "*"),
        "window_starts": _Field("optional_input", "int32 int64", "*"),
        "scale_value": _Field("required", "float"),
        "sparse_block_size": _Field("optional", "int", "", "1"),
        "layout_query": _Field("optional", "choice", "BSND TND", "BSND"),
        "layout_kv": _Field("optional", "choice", "BSND TND PA_BSND", "BSND"),
        "sparse_mode": _Field("optional", "int", "", "3"),
        "compress_ratio": _Field("optional", "int", "", "1"),
        "window_size": _Field("optional", "int", "", "-1"),
        "return_softmax_lse": _Field("optional", "bool", "", "False"),
        "kv_format": _Field("optional", "choice", "split cann656 flashmla656 flashmla584", "split"),
        "accuracy": _Field("optional", "choice", "storage fp32 fp32_scores", "storage"),
        "out_dtype": _Field("optional", "choice", "input float32", "input"),
        "strict": _Field("optional", "bool", "", "False"),
        "out": _Field("output", "as query", "BSND: B, S1, N, D; TND: T1, N, D", "layout_query"),
        "softmax_max": _Field(
            "optional_output",
            "float32",
            "BSND: B, S1, N; TND: T1, N",
            "layout_query",
            "return_softmax_lse",
        ),
        "softmax_sum": _Field(
            "optional_output",
            "float32",
            "BSND: B, S1, N; TND: T1, N",
            "layout_query",
            "return_softmax_lse",
        ),
    },
    "sparse_flash_attention_grad": {
        "query": _Field(
            "input",
            "float16 bfloat16 float32",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout_query",
        ),
        "key": _Field("input", "as query", "BSND: Bk, S2, 1, D; TND: T2, 1, D", "layout_kv"),
        "sparse_indices": _Field(
            "input",
            "int32",
            "BSND: B, S1, 1, K; TND: T1, 1, K",
            "layout_query",
        ),
        "out_grad": _Field("input", "as query", "BSND: B, S1, N, D; TND: T1, N, D", "layout_query"),
        "softmax_max": _Field("input", "float32", "BSND: B, S1, N; TND: T1, N", "layout_query"),
        "softmax_sum": _Field("input", "float32", "BSND: B, S1, N; TND: T1, N", "layout_query"),
        "value": _Field(
            "optional_input",
            "as query",
            "BSND: Bk, S2, 1, D; TND: T2, 1, D",
            "layout_kv",
        ),
        "actual_seq_lengths_query": _Field("optional_input", "int32 int64", "*"),
        "actual_seq_lengths_kv": _Field("optional_input", "int32 int64", "*"),
        "query_rope": _Field(
            "optional_input",
            "as query",
            "BSND: B, S1, N, Dr; TND: T1, N, Dr",
            "layout_query",
        ),
        "key_rope": _Field(
            "optional_input",
            "as query",
            "BSND: Bk, S2, 1, Dr; TND: T2, 1, Dr",
            "layout_kv",
        ),
        "sinks": _Field("optional_input", "float32", "N"),
        "key_starts": _Field("optional_input", "int32 int64", "*"),
        "key_limits": _Field("optional_input", "int32", "BSND: B, S1; TND: T1", "layout_query"),
        "scale_value": _Field("required", "float"),
        "sparse_block_size": _Field("optional", "int", "", "1"),
        "layout_query": _Field("optional", "choice", "BSND TND", "BSND"),
        "layout_kv": _Field("optional", "choice", "BSND TND", "BSND"),
        "sparse_mode": _Field("optional", "int", "", "3"),
        "return_query_grad": _Field("optional", "bool", "", "True"),
        "return_key_grad": _Field("optional", "bool", "", "True"),
        "return_value_grad": _Field("optional", "bool", "", "True"),
        "return_query_rope_grad": _Field("optional", "bool", "", "True"),
        "return_key_rope_grad": _Field("optional", "bool", "", "True"),
        "return_sinks_grad": _Field("optional", "bool", "", "True"),
        "strict": _Field("optional", "bool", "", "False"),
        "query_grad": _Field(
            "optional_output",
            "as query",
            "BSND: B, S1, N, D; TND: T1, N, D",
            "layout_query",
            "return_query_grad",
        ),
        "key_grad": _Field(
            "optional_output",
            "as key",
            "BSND: Bk, S2, 1, D; TND: T2, 1, D",
            "layout_kv",
            "return_key_grad",
        ),
        "value_grad": _Field(
            "optional_output",
            "as value",
            "BSND: Bk, S2, 1, D; TND: T2, 1, D",
            "layout_kv",
            "value return_value_grad",
        ),
        "query_rope_grad": _Field(
            "optional_output",
            "as query_rope",
            "BSND: B, S1, N, Dr; TND: T1, N, Dr",
            "layout_query",
            "query_rope return_query_rope_grad",
        ),
        "key_rope_grad": _Field(
            "optional_output",
            "as key_rope",
            "BSND: Bk, S2, 1, Dr; TND: T2, 1, Dr",
            "layout_kv",
            "key_rope return_key_rope_grad",
        ),
        "sinks_grad": _Field("optional_output", "as sinks", "N", "", "sinks return_sinks_grad"),
    },
    "sparse_attention_pto": {
        "x": _Field("input", "bfloat16 float16 float32", "B, S1, H"),
        "w_dq": _Field("input", "as x", "H, Lq"),
        "w_uq_qr": _Field("input", "as x", "Lq, Q"),
        "w_uk": _Field("input", "as x", "N, Dq, D"),
        "w_dkv_kr": _Field("input", "as x", "H, C"),
        "gamma_cq": _Field("input", "as x", "Lq"),
        "gamma_ckv": _Field("input", "as x", "D"),
        "sin": _Field("input", "as x", "B, S1, Dr"),
        "cos": _Field("input", "as x", "B, S1, Dr"),
        "cache_index": _Field("input", "int32 int64", "B, S1"),
        "kv_cache": _Field("inout", "as x", "pages, page_size, 1, D"),
        "kr_cache": _Field("inout", "as x", "pages, page_size, 1, Dr"),
        "block_table": _Field("input", "int32", "B, max_pages"),
        "act_seqs": _Field("input", "int32 int64", "B"),
        "w_idx_qb": _Field("input", "as x", "Lq, I"),
        "w_idx_k": _Field("input", "as x", "H, Di"),
        "w_idx_proj": _Field("input", "as x", "H, Ni"),
        "in_gamma_k": _Field("input", "as x", "Di"),
        "in_beta_k": _Field("input", "as x", "Di"),
        "index_k_cache": _Field("inout", "as x", "pages, page_size, 1, Di"),
        "scale_value": _Field("optional", "float", "", "0.041666666666666664"),
        "epsilon_cq": _Field("optional", "float", "", "1e-05"),
        "epsilon_ckv": _Field("optional", "float", "", "1e-05"),
        "epsilon_k": _Field("optional", "float", "", "1e-06"),
        "rope_interleaved": _Field("optional", "bool", "", "True"),
        "sparse_count": _Field("optional", "int", "", "2048"),
        "weight_format": _Field("optional", "choice", "ND NZ", "ND"),
        "accuracy": _Field("optional", "choice", "storage fp32 fp32_scores", "storage"),
        "strict": _Field("optional", "bool", "", "False"),
        "out": _Field("output", "as x", "B, S1, N, D"),
        "sparse_indices": _Field("optional_output", "int32", "B, S1, 1, sparse_count"),
    },
    "pack_kv_rows": {
        "latent": _Field("input", "float16 bfloat16 float32", "R, D"),
        "rope": _Field("input", "as latent", "R, Dr"),
        "kv_format": _Field("optional", "choice", "cann656 flashmla656 flashmla584", "cann656"),
        "strict": _Field("optional", "bool", "", "False"),
        "rows": _Field("output", "uint8", "R, width"),
    },
    "unpack_kv_rows": {
        "rows": _Field("input", "uint8 int8", "R, width"),
        "rope_dim": _Field("optional", "int", "", "64"),
        "kv_format": _Field("optional", "choice", "cann656 flashmla656 flashmla584", "cann656"),
        "dtype": _Field("optional", "choice", "bfloat16 float16 float32", "bfloat16"),
        "strict": _Field("optional", "bool", "", "False"),
        "latent": _Field("output", "bfloat16", "R, D"),
        "rope": _Field("optional_output", "bfloat16", "R, rope_dim"),
    },
    "merge_attention_states": {
        "outs": _Field("input", "float16 bfloat16 float32", "parts, T, N, D"),
        "softmax_maxes": _Field("input", "float32", "parts, T, N"),
        "softmax_sums": _Field("input", "float32", "parts, T, N"),
        "out_dtype": _Field("optional", "choice", "input float32", "input"),
        "strict": _Field("optional", "bool", "", "False"),
        "out": _Field("output", "as outs", "T, N, D"),
        "softmax_max": _Field("optional_output", "float32", "T, N"),
        "softmax_sum": _Field("optional_output", "float32", "T, N"),
    },
    "merge_topk": {
        "values": _Field("input", "float32", "parts, T, K"),
        "indices": _Field("input", "int32", "parts, T, K"),
        "sparse_count": _Field("required", "int"),
        "strict": _Field("optional", "bool", "", "False"),
        "sparse_indices": _Field("output", "int32", "T, sparse_count"),
        "sparse_values": _Field("optional_output", "float32", "T, sparse_count"),
    },
    "localize_indices": {
        "indices": _Field("input", "int32", "T, K"),
        "rank": _Field("required", "int"),
        "world": _Field("required", "int"),
        "interleave": _Field("optional", "int", "", "1"),
        "ranks": _Field("optional", "int", "", "1"),
        "strict": _Field("optional", "bool", "", "False"),
        "sparse_indices": _Field("output", "int32", "T, K"),
        "counts": _Field("optional_output", "int32", "T"),
    },
    "globalize_indices": {
        "indices": _Field("input", "int32", "T, K"),
        "rank": _Field("required", "int"),
        "world": _Field("required", "int"),
        "interleave": _Field("optional", "int", "", "1"),
        "ranks": _Field("optional", "int", "", "1"),
        "strict": _Field("optional", "bool", "", "False"),
        "sparse_indices": _Field("output", "int32", "T, K"),
    },
}
# --- contracts: end


def _fail(name: str, expected: str, got: object) -> NoReturn:
    raise ValueError(f"{name}: expected {expected}, got {got}")


def _nearest(name: str, known: list[str]) -> str:
    found = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {found[0]}?)" if found else f" ({', '.join(known)})"


def _contract(op: str) -> dict[str, _Field]:
    if op not in _CONTRACTS:
        _fail("op", "an operator" + _nearest(str(op), list(_CONTRACTS)), repr(op))
    return _CONTRACTS[op]


def _check_names(op: str, given: Mapping[str, Mapping[str, Any]]) -> None:
    """That `tensors`, `attributes` and `outputs` hold what belongs there, and all that must."""
    contract = _contract(op)
    kinds = {
        "tensors": ("an input", [n for n, f in contract.items() if f.is_input]),
        "attributes": ("an attribute", [n for n, f in contract.items() if f.is_attribute]),
        "outputs": ("an output", [n for n, f in contract.items() if f.is_output]),
    }
    for place, names in given.items():
        what, known = kinds[place]
        for name in names:
            if name in known:
                continue
            other = next((kind for kind, there in kinds.values() if name in there), None)
            _fail(
                str(name),
                f"{what} of {op}{_nearest(str(name), known)}",
                other or "an unknown name",
            )
    for name, argument in contract.items():
        place = "attributes" if argument.is_attribute else "tensors"
        if argument.is_required and name not in given[place]:
            raise ValueError(f"{name}: required, but absent")


def _type_name(value: Any) -> str:
    if isinstance(value, list):
        odd = next((v for v in value if type(v) is not int), None)
        return "a list of integers" if odd is None else f"a list with {odd!r}"
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string"}
    return names.get(type(value), type(value).__name__)


def _check_attribute(name: str, field: _Field, value: Any) -> None:
    wanted = {
        "int": "an integer",
        "float": "a number",
        "bool": "a boolean",
        "choice": "a string",
        "ints": "a list of integers",
    }[field.type]
    got = _type_name(value)
    if got != wanted and not (got == "an integer" and field.type == "float"):
        _fail(name, wanted, got)
    if field.type == "float" and not abs(value) <= _LARGEST_FLOAT32:
        _fail(name, "a finite number, in float32 too", value)
    if field.type == "choice" and value not in field.forms.split():
        _fail(name, "one of " + ", ".join(field.forms.split()), repr(value))
    for number in value if field.type == "ints" else [value] if field.type == "int" else []:
        if not -(2**63) <= number < 2**63:
            _fail(name, "integers of 64 bits", number)


class _Shapes:
    """Dimensions of one call, bound as its tensors are looked at, in the contract's order."""

    def __init__(
        self, contract: dict[str, _Field], encoded: _Encoded, attributes: dict[str, Any]
    ) -> None:
        self.contract = contract
        self.encoded = encoded
        self.attributes = attributes
        self.sizes: dict[str, int] = {}
        for name, argument in contract.items():
            if argument.is_attribute and argument.type == "int":
                value = attributes.get(name, argument.by)
                if value != "":
                    self.sizes[name] = int(value)

    def _form(self, field: _Field) -> list[str]:
        forms = dict(self._pairs(field))
        if len(forms) == 1:
            return next(iter(forms.values()))
        by = self.contract[field.by]
        if by.is_attribute:
            return forms[str(self.attributes.get(field.by, by.by))]
        rank = len(self.encoded[field.by][1])
        selected = [when for when, dims in self._pairs(by) if len(dims) == rank]
        return forms[selected[0]] if selected else next(iter(forms.values()))

    @staticmethod
    def _pairs(field: _Field) -> list[tuple[str, list[str]]]:
        pairs = [form.rpartition(": ") for form in field.forms.split("; ")]
        return [(when, dims.split(", ")) for when, _, dims in pairs]

    def _size(self, term: str) -> int | None:
        return int(term) if term.isdigit() else self.sizes.get(term)

    def _text(self, form: list[str]) -> str:
        texts = []
        for entry in form:
            sizes = [self._size(term) for term in entry.split("*")] if entry != "*" else [None]
            known = [size for size in sizes if size is not None]
            told = entry.isdigit() or len(known) < len(sizes)
            texts.append(entry if told else f"{entry} = {math.prod(known)}")
        return f"[{', '.join(texts)}]"

    def check(self, name: str, shape: list[int], *, bind: bool) -> None:
        """Hold a shape against its form; an entry with one unknown name binds it."""
        field = self.contract[name.removeprefix(_EXPECTED)]
        form = self._form(field)
        hint = ""
        if name.startswith(f"{_EXPECTED}softmax_") and len(shape) == len(form) + 1:
            at = len(form) - 2  # sparse_flash_attention's key heads, on the device
            if "sparse_indices" in self.contract and shape[at] == 1:
                hint = f" (squeeze({at}) takes out the device's one key head)"
            elif shape[-1] == 8:
                hint = " (case.statistics turns the device's [T, N, 8])"
        wanted = f"shape {self._text(form)}{hint}"
        if len(shape) != len(form):
            _fail(name, wanted, shape)
        for dim, entry in enumerate(form):
            size = shape[dim]
            if entry == "*":
                continue
            terms = [(term, self._size(term)) for term in entry.split("*")]
            known = math.prod(s for _, s in terms if s is not None)
            unknown = [term for term, s in terms if s is None]
            if not unknown and size != known:
                _fail(name, wanted, shape)
            if unknown and (known <= 0 or size % known != 0):
                _fail(name, wanted, shape)
            if unknown and bind:
                self.sizes[unknown[0]] = size // known


def _check_dtype(name: str, field: _Field, encoded: _Encoded) -> None:
    dtype = _NAMES[encoded[name][0]]
    if field.type.startswith("as "):
        other = field.type.removeprefix("as ")
        wanted = _NAMES[encoded[other][0]]
        if dtype != wanted:
            _fail(name, f"dtype {wanted} as {other}", dtype)
    elif dtype not in field.type.split():
        _fail(name, "dtype " + " or ".join(field.type.split()), dtype)


def _check_output(name: str, contract: dict[str, _Field], encoded: _Encoded) -> None:
    """A floating result may have any floating dtype, an integer one any integer dtype."""
    field = contract[name.removeprefix(_EXPECTED)]
    if field.type.startswith("as "):
        own = _NAMES[encoded[field.type.removeprefix("as ")][0]]
    else:
        own = field.type.split()[0]
    got = _NAMES[encoded[name][0]]
    if ("float" in own) != ("float" in got):
        _fail(name, f"{'a floating' if 'float' in own else 'an integer'} dtype for {own}", got)


def _check_call(op: str, encoded: _Encoded, attributes: dict[str, Any]) -> None:
    """What can be known without the operator: types, dtypes, ranks, sizes that belong together."""
    contract = _contract(op)
    for name, value in attributes.items():
        _check_attribute(name, contract[name], value)
    shapes = _Shapes(contract, encoded, attributes)
    for name, argument in contract.items():
        if argument.is_input and name in encoded:
            _check_dtype(name, argument, encoded)
            shapes.check(name, encoded[name][1], bind=True)
    for name, argument in contract.items():
        result = _EXPECTED + name
        if not argument.is_output or result not in encoded:
            continue
        for need in [name] if argument.is_input else argument.needs.split():
            asked = attributes.get(need, contract[need].by == "True")
            if need not in encoded and asked is not True:
                _fail(result, f"none without {need}", "a tensor")
        _check_output(result, contract, encoded)
        shapes.check(result, encoded[result][1], bind=False)


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

    Everything that can be known without the operator is checked before anything is written, since
    the call may be hard to come by again.

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

    Raises
    ------
    ValueError
        An operator, a tensor or an attribute that is not known, absent or of another type, a shape
        that does not fit the others; one line that names it.
    """
    given = {
        "tensors": _given(tensors),
        "attributes": {n: _plain(v) for n, v in _given(attributes).items()},
        "outputs": _given(outputs or {}),
    }
    _check_names(op, given)
    named = {_EXPECTED + name: tensor for name, tensor in given["outputs"].items()}
    encoded = _encode_all({**given["tensors"], **named})
    _check_call(op, encoded, given["attributes"])
    _write(path, op, encoded, given["attributes"], source)


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
