"""Calls that the documents allow, and their tensors with other strides."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from python_calls import Array, layer_case

from tamis.case import Case


def _values(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(ml_dtypes.bfloat16)


def document_001() -> Case:
    return Case(
        "nsa_compress",
        {"input": _values(1, 80, 2, 32), "weight": _values(2, 32, 2)},
        {"act_seq_len": [48, 80], "compress_block_size": 32, "compress_stride": 16},
    )


def document_002() -> Case:
    return Case(
        "nsa_compress_attention",
        {
            "query": _values(3, 9, 4, 32),
            "key": _values(4, 23, 2, 32),
            "value": _values(5, 23, 2, 16),
            "atten_mask": np.zeros((9, 23), np.bool_),
            "topk_mask": np.zeros((9, 6), np.bool_),
        },
        {
            "scale_value": 0.2,
            "head_num": 4,
            "compress_block_size": 32,
            "compress_stride": 16,
            "select_block_size": 64,
            "select_block_count": 3,
            "actual_seq_qlen": [9],
            "actual_cmp_seq_kvlen": [23],
            "actual_sel_seq_kvlen": [6],
        },
    )


def document_003() -> Case:
    tensors = dict(layer_case("bfloat16").tensors)
    tensors["cache_index"] = tensors["cache_index"].astype(np.int32)
    return Case("sparse_attention_pto", tensors, {})


def document_004() -> Case:
    ids = np.random.default_rng(6).integers(0, 40, (2, 3, 1, 8)).astype(np.int32)
    return Case(
        "sparse_flash_attention",
        {
            "query": _values(7, 2, 3, 4, 512),
            "key": _values(8, 6, 16, 1, 512),
            "value": _values(9, 6, 16, 1, 512),
            "sparse_indices": ids,
            "query_rope": _values(10, 2, 3, 4, 64),
            "key_rope": _values(11, 6, 16, 1, 64),
            "block_table": np.array([[0, 5, 2], [4, 1, 3]], np.int32),
            "actual_seq_lengths_query": np.array([3, 2], np.int32),
            "actual_seq_lengths_kv": np.array([40, 37], np.int32),
        },
        {"scale_value": 0.04, "sparse_block_size": 1, "layout_kv": "PA_BSND"},
    )


DOCUMENT_004_CONTIGUOUS = ("query", "key", "value", "sparse_indices", "query_rope", "key_rope")


def spread(array: Any, axis: int) -> Any:
    """The same elements of a numpy array or torch tensor, every other one along an axis."""
    shape = list(array.shape)
    shape[axis] *= 2
    wide = np.empty(shape, array.dtype) if isinstance(array, np.ndarray) else array.new_empty(shape)
    every_other = [slice(None)] * len(shape)
    every_other[axis] = slice(None, None, 2)
    view = wide[tuple(every_other)]
    view[...] = array
    return view
