"""The branches of Native Sparse Attention over paged caches, as operators of torch.

A graph of torch takes lengths of sequences as tensors; the operators of `torch.ops.tamis` that are
called here take them as integers, which a graph would hold fixed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)


def _counts(ends: Tensor) -> list[int]:
    counts: list[int] = torch.diff(ends, prepend=ends.new_zeros(1)).tolist()
    return counts


def _window_slots(
    ends: Tensor, lengths: Tensor, block_table: Tensor, page_size: int, block: int, stride: int
) -> Tensor:
    """By new token: where the window lies that ends with it; -1 where none does.

    Window `i` begins at token `i * stride`, and lies in the page of that token.
    """
    counts = torch.diff(ends, prepend=ends.new_zeros(1))
    sequence = torch.repeat_interleave(torch.arange(len(counts)), counts)
    begin = (torch.arange(len(sequence)) + (lengths - ends)[sequence]) + 1 - block
    window = begin // stride
    here = (begin >= 0) & (begin % stride == 0)
    page, row = window // (page_size // stride), window % (page_size // stride)
    slots = block_table[sequence, torch.where(here, page, 0)] * (page_size // stride) + row
    return torch.where(here, slots, -1)


def _compressed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_windows: Tensor,
    value_windows: Tensor,
    key_weight: Tensor,
    value_weight: Tensor,
    ends: Tensor,
    lengths: Tensor,
    block_table: Tensor,
    compress_stride: int,
    select_block_size: int,
    select_block_count: int,
    importance: str,
) -> tuple[Tensor, Tensor]:
    """Compresses the windows that new tokens end, and attends to all; see `compressed`."""
    block, page_size = len(key_weight), key.shape[1]
    counts, tokens = _counts(ends), lengths.tolist()
    windows = [max(n - block + compress_stride, 0) // compress_stride for n in tokens]
    sizes = {"compress_block_size": block, "compress_stride": compress_stride}
    slots = _window_slots(ends, lengths, block_table, page_size, block, compress_stride)
    for rows, weight, compressed in (
        (key, key_weight, key_windows),
        (value, value_weight, value_windows),
    ):
        torch.ops.tamis.nsa_compress_infer(
            rows,
            weight,
            slots,
            block_table,
            compressed.flatten(0, 1),
            act_seq_len=tokens,
            actual_seq_qlen=counts,
            page_block_size=page_size,
            **sizes,
        )
    return attend_to_windows(
        query,
        key_windows,
        value_windows,
        block_table,
        counts,
        tokens,
        windows,
        select_block_size=select_block_size,
        select_block_count=select_block_count,
        importance=importance,
        **sizes,
    )


def attend_to_windows(
    query: Tensor,
    key_windows: Tensor,
    value_windows: Tensor,
    block_table: Tensor,
    counts: list[int],
    tokens: list[int],
    windows: list[int],
    **how: Any,
) -> tuple[Tensor, Tensor]:
    """Attention and selected blocks of the last `counts` of so many tokens of each sequence."""
    out = torch.ops.tamis.nsa_compress_attention_infer(
        query,
        key_windows.flatten(2),
        value_windows.flatten(2),
        block_table,
        scale_value=query.shape[-1] ** -0.5,
        head_num=query.shape[1],
        key_value_head_num=key_windows.shape[2],
        page_block_size=key_windows.shape[1],
        actual_seq_qlen=counts,
        actual_cmp_seq_kvlen=windows,
        actual_sel_seq_kvlen=tokens,
        selection="causal",
        masked_rows="zero",
        **how,
    )
    return out[0], out[1]


def _fake_compressed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_windows: Tensor,
    value_windows: Tensor,
    key_weight: Tensor,
    value_weight: Tensor,
    ends: Tensor,
    lengths: Tensor,
    block_table: Tensor,
    compress_stride: int,
    select_block_size: int,
    select_block_count: int,
    importance: str,
) -> tuple[Tensor, Tensor]:
    """Shapes, and what is refused while tracing."""
    out = torch.ops.tamis.nsa_compress_attention_infer(
        query,
        key_windows.flatten(2),
        value_windows.flatten(2),
        block_table,
        scale_value=1.0,
        head_num=query.shape[1],
        key_value_head_num=key.shape[2],
        select_block_size=select_block_size,
        select_block_count=select_block_count,
        page_block_size=key_windows.shape[1],
        compress_block_size=key_weight.shape[0],
        compress_stride=compress_stride,
        actual_cmp_seq_kvlen=[],
    )
    return out[0], out[1]


def _selected_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor,
    ends: Tensor,
    lengths: Tensor,
    block_table: Tensor,
    select_block_size: int,
) -> Tensor:
    """Attention over selected blocks."""
    out: Tensor = torch.ops.tamis.nsa_selected_attention_infer(
        query,
        key.flatten(2),
        value.flatten(2),
        blocks,
        block_table,
        scale_value=query.shape[-1] ** -0.5,
        head_num=query.shape[1],
        key_value_head_num=key.shape[2],
        select_block_size=select_block_size,
        select_block_count=blocks.shape[2],
        page_block_size=key.shape[1],
        actual_seq_qlen=_counts(ends),
        actual_seq_kvlen=lengths.tolist(),
    )[0]
    return out


def _fake_selected_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor,
    ends: Tensor,
    lengths: Tensor,
    block_table: Tensor,
    select_block_size: int,
) -> Tensor:
    return query.new_empty((*query.shape[:2], value.shape[3]))


torch.library.custom_op(
    "tamis_nn::compressed_attention",
    _compressed_attention,
    mutates_args=("key_windows", "value_windows"),
)
torch.library.register_fake("tamis_nn::compressed_attention", _fake_compressed_attention)
torch.library.custom_op("tamis_nn::selected_attention", _selected_attention, mutates_args=())
torch.library.register_fake("tamis_nn::selected_attention", _fake_selected_attention)
