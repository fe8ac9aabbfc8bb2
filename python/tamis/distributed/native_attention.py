"""The branches of Native Sparse Attention over raw keys, as one shard sees them."""

from __future__ import annotations

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.distributed.layout import Layout
from tamis.distributed.states import State
from tamis.distributed.step import sequences_of
from tamis.distributed.table import DealtRows

# Of page tables that are made for one call, a row for every token.
_TABLE_ENTRIES = 1 << 22


def attend_to_blocks(
    layout: Layout,
    shard: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    blocks: Tensor,
    block_size: int,
    rows: DealtRows,
) -> State:
    """The selected branch: attention to those of the selected blocks that a shard has.

    Parameters
    ----------
    layout, shard
        whose pages have a multiple of `block_size`
    query : Tensor [T, N, D]
    key, value : Tensor [pages, page_size, N2, D], [pages, page_size, N2, D2]
        of the shard
    blocks : Tensor [T, N2, K] of int32
        of the sequences, on all shards
    block_size : int
        keys in a block
    rows : DealtRows
        of the step
    """
    seen = layout.shard_length(rows.positions + 1, shard)
    listed = torch.ops.tamis.localize_indices(
        blocks.flatten(0, 1),
        rank=shard,
        world=layout.shards,
        interleave=layout.page_size // block_size,
    )[0].view_as(blocks)
    columns = -(-max(seen.tolist(), default=0) // layout.page_size)
    sequence = sequences_of(rows.ends)
    at_once = max(_TABLE_ENTRIES // max(columns, 1), 1)
    # What a token sees ends where it likes: each is a sequence of its own.
    parts = [
        torch.ops.tamis.nsa_selected_attention_infer(
            query[tokens],
            key.flatten(2),
            value.flatten(2),
            listed[tokens],
            rows.block_table[sequence[tokens], :columns],
            scale_value=query.shape[2] ** -0.5,
            head_num=query.shape[1],
            key_value_head_num=key.shape[2],
            select_block_size=block_size,
            select_block_count=blocks.shape[2],
            page_block_size=layout.page_size,
            actual_seq_kvlen=seen[tokens].tolist(),
            accuracy="fp32",
            out_dtype="float32",
            return_softmax_lse=True,
        )
        for tokens in torch.arange(len(query)).split(at_once)
    ]
    return State(*(torch.cat(part) for part in zip(*parts, strict=True)))


def attend_to_window(
    layout: Layout,
    shard: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    window_size: int,
    rows: DealtRows,
) -> State:
    """The window branch: attention to those of the last keys up to a token that a shard has.

    Parameters
    ----------
    layout, shard, query, key, value, rows
        of `attend_to_blocks`
    window_size : int
        keys, on all shards
    """
    ends = rows.positions + 1
    ends, starts = (
        layout.shard_length(n, shard) for n in (ends, (ends - window_size).clamp(min=0))
    )
    # Keys are counted from the page of a window's first one: a row of the table has few pages.
    first = starts // layout.page_size
    widths = -(-ends // layout.page_size) - first
    columns = max(widths.tolist(), default=0)
    pages = first[:, None] + torch.arange(columns)
    pages = pages.clamp(max=rows.block_table.shape[1] - 1)
    before = first * layout.page_size
    return State(
        *torch.ops.tamis.sliding_window_attention(
            query,
            key,
            value,
            rows.block_table[sequences_of(rows.ends)[:, None], pages],
            torch.arange(1, len(query) + 1, dtype=torch.int32),
            (ends - before).int(),
            (starts - before).int(),
            scale_value=query.shape[2] ** -0.5,
            window_size=columns * layout.page_size,
            layout_query="TND",
            layout_kv="PA_BSND",
            out_dtype="float32",
        )
    )
