"""One step of compressed attention, on the tensors of a cache.

To a graph of torch this is one operator, `torch.ops.tamis_nn.compressed_attention`: how many
windows the new tokens complete differs from step to step and from sequence to sequence, and a graph
of the operators below it would hold for one such pattern only.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.nn.counts import Counts, counted
from tamis.nn.page_table import reserve


def run(
    counts: Counts,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_weight: Tensor,
    value_weight: Tensor,
    lengths: Tensor,
    key_rows: Tensor,
    value_rows: Tensor,
    key_windows: Tensor,
    value_windows: Tensor,
    window_lengths: Tensor,
    pool: Tensor,
    block_table: Tensor,
    page_size: int,
    heads: int,
    stride: int,
    select_block_size: int,
    select_block_count: int,
) -> tuple[Tensor, Tensor]:
    """Attention and selected blocks of new tokens, which the cache then holds.

    Lengths and the raw tokens that are kept change last: a step that fails leaves the cache as it
    was.

    Parameters
    ----------
    counts, query, key, value
        of `NativeCompressedAttention.forward`
    key_weight, value_weight, heads, stride, select_block_size, select_block_count
        of the layer
    lengths, ..., page_size
        `CompressedCache.state`

    Returns
    -------
    attention, blocks : Tensor
        of `NativeCompressedAttention.forward`
    """
    counts = counted(counts, len(lengths), query=query, key=key, value=value)
    length, before = len(key_weight), lengths.tolist()
    sizes = {"compress_block_size": length, "compress_stride": stride}
    sizes |= {"select_block_size": select_block_size, "select_block_count": select_block_count}
    complete = window_lengths.tolist()
    kept = [n - w * stride for n, w in zip(before, complete, strict=True)]
    tokens = [k + n for k, n in zip(kept, counts, strict=True)]
    windows = [max(n - length + stride, 0) // stride for n in tokens]
    raw = [_packed(rows, kept, new, counts) for rows, new in ((key_rows, key), (value_rows, value))]
    keys, values = (
        torch.ops.tamis.nsa_compress(
            packed,
            weight,
            act_seq_len=list(accumulate(tokens)),
            compress_block_size=length,
            compress_stride=stride,
        )
        for packed, weight in zip(raw, (key_weight, value_weight), strict=True)
    )
    if any(windows):
        slots = reserve(windows, window_lengths, pool, block_table, page_size).slots
        for pages, rows in ((key_windows, keys), (value_windows, values)):
            pages.flatten(0, 1)[slots] = rows.flatten(1)
        complete = [n + more for n, more in zip(complete, windows, strict=True)]
    if any(before):
        out = torch.ops.tamis.nsa_compress_attention_infer(
            query,
            key_windows,
            value_windows,
            block_table,
            scale_value=query.shape[-1] ** -0.5,
            head_num=heads,
            key_value_head_num=key_weight.shape[1],
            page_block_size=page_size,
            atten_mask=torch.ones(1, 1, dtype=torch.bool),  # a switch: hide what ends later
            actual_seq_qlen=counts,
            actual_cmp_seq_kvlen=complete,
            actual_sel_seq_kvlen=[n + more for n, more in zip(before, counts, strict=True)],
            masked_rows="zero",
            **sizes,
        )
    else:
        out = _prefill(query, keys, values, heads, counts, windows, sizes)
    # A window to come starts where the last one did, and a stride on.
    for rows, packed in zip((key_rows, value_rows), raw, strict=True):
        parts = zip(rows, torch.split(packed, tokens), tokens, windows, counts, strict=True)
        for row, part, n, w, new in parts:
            if new:
                row[: n - w * stride] = part[w * stride :]
    window_lengths.copy_(torch.tensor(complete))
    lengths += torch.tensor(counts)
    return out[0], out[1]


def _packed(rows: Tensor, kept: list[int], new: Tensor, counts: list[int]) -> Tensor:
    """Of every sequence the raw tokens that are kept, then the new ones."""
    pairs = zip(rows, kept, torch.split(new, counts), strict=True)
    return torch.cat([part for row, n, more in pairs for part in (row[:n], more)])


def _prefill(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    heads: int,
    counts: list[int],
    windows: list[int],
    sizes: dict[str, int],
) -> tuple[Tensor, ...]:
    """Windows that end later are hidden; first, own and previous block are selected."""
    stride, block = sizes["compress_stride"], sizes["select_block_size"]
    own = torch.arange(max(counts, default=0))[:, None] // block
    candidate = torch.arange(-(-max(windows, default=0) // (block // stride)))
    out: tuple[Tensor, ...] = torch.ops.tamis.nsa_compress_attention(
        query,
        keys,
        values,
        scale_value=query.shape[-1] ** -0.5,
        head_num=heads,
        actual_seq_qlen=list(accumulate(counts)),
        actual_cmp_seq_kvlen=list(accumulate(windows)),
        topk_mask=(candidate == 0) | (candidate == own) | (candidate == own - 1),
        causal=True,
        masked_rows="zero",
        **sizes,
    )
    return out


_SCHEMA = """(
    Tensor counts, Tensor query, Tensor key, Tensor value, Tensor key_weight, Tensor value_weight,
    Tensor(a!) lengths, Tensor(b!) key_rows, Tensor(c!) value_rows,
    Tensor(d!) key_windows, Tensor(e!) value_windows, Tensor(f!) window_lengths,
    Tensor pool, Tensor(g!) block_table, SymInt page_size, SymInt heads, SymInt stride,
    SymInt select_block_size, SymInt select_block_count
) -> (Tensor attention, Tensor blocks)"""
_CHANGED = (
    "lengths",
    "key_rows",
    "value_rows",
    "key_windows",
    "value_windows",
    "window_lengths",
    "block_table",
)


def _fake_run(
    counts: Tensor, query: Tensor, key: Tensor, value: Tensor, key_weight: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    """Shapes, and what is refused while tracing, as of a prefill over keys that are not shorter."""
    heads, stride, select_block_size, select_block_count = rest[-4:]
    attention, blocks, *_ = torch.ops.tamis.nsa_compress_attention(
        query,
        key,
        value,
        scale_value=1.0,
        head_num=heads,
        compress_block_size=key_weight.shape[0],
        compress_stride=stride,
        select_block_size=select_block_size,
        select_block_count=select_block_count,
        actual_seq_qlen=[query.shape[0]],
        actual_cmp_seq_kvlen=[query.shape[0]],
    )
    return attention, blocks


_NAME = "tamis_nn::compressed_attention"
torch.library.custom_op(_NAME, run, mutates_args=_CHANGED, schema=_SCHEMA)
torch.library.register_fake(_NAME, _fake_run)
