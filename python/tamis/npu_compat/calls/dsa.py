"""DeepSeek sparse attention as `torch_npu` has it, and what its other forms are made of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tamis.npu_compat.calls.arguments import UNBOUNDED, expect, run
from tamis.npu_compat.options import options


def index(query: Tensor, key: Tensor, weights: Tensor, **others: Any) -> tuple[Tensor, Tensor]:
    """`tamis.lightning_indexer`; weights may have the last dimension 1 that some callers keep."""
    if weights.dim() == query.dim() and weights.shape[-1] == 1:
        weights = weights.squeeze(-1)
    indices, values = torch.ops.tamis.lightning_indexer(query, key, weights, **others)
    return indices, values


def npu_lightning_indexer(
    query: Tensor,
    key: Tensor,
    weights: Tensor,
    *,
    actual_seq_lengths_query: Tensor | None = None,
    actual_seq_lengths_key: Tensor | None = None,
    block_table: Tensor | None = None,
    layout_query: str = "BSND",
    layout_key: str = "BSND",
    sparse_count: int = 2048,
    sparse_mode: int = 3,
    pre_tokens: int = UNBOUNDED,
    next_tokens: int = UNBOUNDED,
    return_value: bool = False,
) -> tuple[Tensor, Tensor]:
    """`tamis.lightning_indexer`: positions of the best keys and, with `return_value`, their scores.

    Positions come best first, then -1; scores in the dtype of `query`, then -inf; without
    `return_value` an empty tensor. `weights` is [B, S, N] or [T, N], or either with a last
    dimension 1.
    """
    expect("pre_tokens", pre_tokens, UNBOUNDED)
    expect("next_tokens", next_tokens, UNBOUNDED)
    indices, values = index(
        query,
        key,
        weights,
        actual_seq_lengths_query=actual_seq_lengths_query,
        actual_seq_lengths_key=actual_seq_lengths_key,
        block_table=block_table,
        layout_query=layout_query,
        layout_key=layout_key,
        sparse_count=sparse_count,
        sparse_mode=sparse_mode,
        return_value=return_value,
    )
    return indices, values.to(query.dtype)


def npu_lightning_indexer_grad(
    query: Tensor,
    key: Tensor,
    dy: Tensor,
    sparse_indices: Tensor,
    weights: Tensor,
    actual_seq_lengths_query: Tensor | None = None,
    actual_seq_lengths_key: Tensor | None = None,
    layout: str | None = "BSND",
    sparse_mode: int | None = 3,
    pre_tokens: int | None = UNBOUNDED,
    next_tokens: int | None = UNBOUNDED,
) -> tuple[Tensor, Tensor, Tensor]:
    """`tamis.lightning_indexer_grad`: gradients of query, key and weights.

    `dy` and `sparse_indices` are [B, S, 1, K] or [T, 1, K], or either without the dimension 1;
    `weights`, as in the forward, may have a last one. None means the default of the arguments that
    may be None and have another.
    """
    expect("pre_tokens", pre_tokens, UNBOUNDED, None)
    expect("next_tokens", next_tokens, UNBOUNDED, None)
    layout = "BSND" if layout is None else layout
    expect("layout", layout, "BSND", "TND")
    dims = query.dim()
    lists = [t.unsqueeze(-2) if t.dim() == dims - 1 else t for t in (dy, sparse_indices)]
    kept = weights.dim() == dims and weights.shape[-1] == 1
    query_grad, key_grad, weights_grad = run(
        {"sparse_values_grad": "dy", "layout_query": "layout", "layout_key": "layout"},
        torch.ops.tamis.lightning_indexer_grad,
        query=query,
        key=key,
        sparse_values_grad=lists[0],
        sparse_indices=lists[1],
        weights=weights.squeeze(-1) if kept else weights,
        actual_seq_lengths_query=actual_seq_lengths_query,
        actual_seq_lengths_key=actual_seq_lengths_key,
        layout_query=layout,
        layout_key=layout,
        sparse_mode=3 if sparse_mode is None else sparse_mode,
    )
    return query_grad, key_grad, weights_grad.unsqueeze(-1) if kept else weights_grad


def npu_sparse_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sparse_indices: Tensor,
    scale_value: float,
    *,
    block_table: Tensor | None = None,
    actual_seq_lengths_query: Tensor | None = None,
    actual_seq_lengths_kv: Tensor | None = None,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    sparse_block_size: int = 1,
    layout_query: str = "BSND",
    layout_kv: str = "BSND",
    sparse_mode: int = 3,
    pre_tokens: int = UNBOUNDED,
    next_tokens: int = UNBOUNDED,
    attention_mode: int = 0,
    return_softmax_lse: bool = False,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`tamis.sparse_flash_attention`: attention, softmax maximum and sum.

    The statistics are [B, 1, S1, N] or [1, T1, N] in fp32, Tamis's with a dimension for the one
    key head, or empty without `return_softmax_lse`.
    `attention_mode` 0 and 2 are the same: the rotary parts join the scores where they are given.
    """
    expect("pre_tokens", pre_tokens, UNBOUNDED)
    expect("next_tokens", next_tokens, UNBOUNDED)
    expect("attention_mode", attention_mode, 0, 2)
    out, maximum, total = torch.ops.tamis.sparse_flash_attention(
        query,
        key,
        sparse_indices,
        scale_value=scale_value,
        value=value,
        block_table=block_table,
        actual_seq_lengths_query=actual_seq_lengths_query,
        actual_seq_lengths_kv=actual_seq_lengths_kv,
        query_rope=query_rope,
        key_rope=key_rope,
        sinks=sinks,
        sparse_block_size=sparse_block_size,
        layout_query=layout_query,
        layout_kv=layout_kv,
        sparse_mode=sparse_mode,
        return_softmax_lse=return_softmax_lse,
        accuracy=options.accuracy,
    )
    if return_softmax_lse:  # the device counts the one key head, before the tokens
        at = 1 if layout_query == "BSND" else 0
        maximum, total = maximum.unsqueeze(at), total.unsqueeze(at)
    return out, maximum, total


def npu_sparse_flash_attention_grad(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sparse_indices: Tensor,
    d_out: Tensor,
    out: Tensor,
    softmax_max: Tensor,
    softmax_sum: Tensor,
    scale_value: float,
    sparse_block_size: int,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    actual_seq_qlen: Tensor | None = None,
    actual_seq_kvlen: Tensor | None = None,
    layout: str | None = "BSND",
    sparse_mode: int | None = 3,
    pre_tokens: int | None = UNBOUNDED,
    next_tokens: int | None = UNBOUNDED,
    attention_mode: int | None = 0,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`tamis.sparse_flash_attention_grad`: gradients of query, key, value and the rotary parts.

    Those of rotary parts are empty where there are none. Statistics are those of
    `npu_sparse_flash_attention`, [B, 1, S1, N] or [1, T1, N]. `out` is not read. None means the
    default of the arguments that may be None and have another.
    """
    expect("pre_tokens", pre_tokens, UNBOUNDED, None)
    expect("next_tokens", next_tokens, UNBOUNDED, None)
    expect("attention_mode", attention_mode, 0, 2, None)
    layout = "BSND" if layout is None else layout
    expect("layout", layout, "BSND", "TND")
    found: tuple[Tensor, ...] = run(
        {
            "out_grad": "d_out",
            "actual_seq_lengths_query": "actual_seq_qlen",
            "actual_seq_lengths_kv": "actual_seq_kvlen",
            "layout_query": "layout",
            "layout_kv": "layout",
        },
        torch.ops.tamis.sparse_flash_attention_grad,
        query=query,
        key=key,
        sparse_indices=sparse_indices,
        out_grad=d_out,
        softmax_max=_of_one_key_head("softmax_max", softmax_max, layout),
        softmax_sum=_of_one_key_head("softmax_sum", softmax_sum, layout),
        value=value,
        actual_seq_lengths_query=actual_seq_qlen,
        actual_seq_lengths_kv=actual_seq_kvlen,
        query_rope=query_rope,
        key_rope=key_rope,
        scale_value=scale_value,
        sparse_block_size=sparse_block_size,
        layout_query=layout,
        layout_kv=layout,
        sparse_mode=3 if sparse_mode is None else sparse_mode,
    )
    query_grad, key_grad, value_grad, *of_ropes, _ = found
    query_rope_grad, key_rope_grad = (grad.to(query.dtype) for grad in of_ropes)  # empty ones
    return query_grad, key_grad, value_grad, query_rope_grad, key_rope_grad


def _of_one_key_head(name: str, statistics: Tensor, layout: str) -> Tensor:
    """[B, 1, S1, N] or [1, T1, N] without the dimension of the one key head."""
    shape, at = ("[B, 1, S1, N]", 1) if layout == "BSND" else ("[1, T1, N]", 0)
    if statistics.dim() != shape.count(",") + 1 or statistics.shape[at] != 1:
        raise ValueError(f"{name}: expected shape {shape}, got {list(statistics.shape)}")
    return statistics.squeeze(at)
