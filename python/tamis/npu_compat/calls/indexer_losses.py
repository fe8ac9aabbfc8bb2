"""What trains the indexer of DeepSeek sparse attention, as `torch_npu` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tamis.npu_compat.calls.arguments import UNBOUNDED, expect, run
from tamis.npu_compat.options import options

_NAMES = {
    "actual_seq_lengths_query": "actual_seq_qlen",
    "actual_seq_lengths_key": "actual_seq_klen",
}


def npu_dense_lightning_indexer_softmax_lse(
    query_index: Tensor,
    key_index: Tensor,
    weights: Tensor,
    *,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_klen: Sequence[int] | None = None,
    layout: str | None = "BSND",
    sparse_mode: int | None = 3,
    pre_tokens: int | None = UNBOUNDED,
    next_tokens: int | None = UNBOUNDED,
) -> tuple[Tensor, Tensor]:
    """`tamis.dense_lightning_indexer_softmax_lse`: maximum and sum of every token's index scores.

    [B, 1, S1] or [1, T1], Tamis's with a dimension for the one index head of keys. Lengths are
    inclusive prefix sums.
    """
    common = _common(
        query_index, key_index, actual_seq_qlen, actual_seq_klen, layout, sparse_mode,
        pre_tokens, next_tokens,
    )  # fmt: skip
    at = 1 if common["layout"] == "BSND" else 0
    maximum, total = run(
        _NAMES,
        torch.ops.tamis.dense_lightning_indexer_softmax_lse,
        query_index=query_index,
        key_index=key_index,
        weights=weights,
        **common,
    )
    return maximum.unsqueeze(at), total.unsqueeze(at)


def npu_dense_lightning_indexer_grad_kl_loss(
    query: Tensor,
    key: Tensor,
    query_index: Tensor,
    key_index: Tensor,
    weights: Tensor,
    softmax_max: Tensor,
    softmax_sum: Tensor,
    softmax_max_index: Tensor,
    softmax_sum_index: Tensor,
    scale_value: float,
    *,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_klen: Sequence[int] | None = None,
    layout: str | None = "BSND",
    sparse_mode: int | None = 3,
    pre_tokens: int | None = UNBOUNDED,
    next_tokens: int | None = UNBOUNDED,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`tamis.dense_lightning_indexer_grad_kl_loss`: gradients of the indexer's tensors, the loss.

    Statistics of the main attention are [B, N2, S1, N1 / N2] or [N2, T1, N1 / N2], those of the
    indexer as `npu_dense_lightning_indexer_softmax_lse` gives them. Lengths are inclusive prefix
    sums.
    """
    common = _common(
        query_index, key_index, actual_seq_qlen, actual_seq_klen, layout, sparse_mode,
        pre_tokens, next_tokens,
    )  # fmt: skip
    loss, *gradients, _ = run(
        _NAMES,
        torch.ops.tamis.dense_lightning_indexer_grad_kl_loss,
        query=query,
        key=key,
        query_index=query_index,
        key_index=key_index,
        weights=weights,
        softmax_max=_by_token("softmax_max", softmax_max, common["layout"]),
        softmax_sum=_by_token("softmax_sum", softmax_sum, common["layout"]),
        softmax_max_index=_of_one_head("softmax_max_index", softmax_max_index, common["layout"]),
        softmax_sum_index=_of_one_head("softmax_sum_index", softmax_sum_index, common["layout"]),
        query_rope=query_rope,
        key_rope=key_rope,
        scale_value=scale_value,
        **common,
    )
    return *gradients, loss


def npu_sparse_lightning_indexer_grad_kl_loss(
    query: Tensor,
    key: Tensor,
    query_index: Tensor,
    key_index: Tensor,
    weights: Tensor,
    sparse_indices: Tensor,
    softmax_max: Tensor,
    softmax_sum: Tensor,
    scale_value: float,
    *,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    actual_seq_qlen: Sequence[int] | None = None,
    actual_seq_klen: Sequence[int] | None = None,
    layout: str | None = "BSND",
    sparse_mode: int | None = 3,
    pre_tokens: int | None = UNBOUNDED,
    next_tokens: int | None = UNBOUNDED,
    sinks: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`tamis.sparse_lightning_indexer_grad_kl_loss`: the same over the keys that are selected.

    Statistics are those of `npu_sparse_flash_attention`, [B, 1, S1, N1] or [1, T1, N1]. Lengths are
    inclusive prefix sums.
    """
    common = _common(
        query_index, key_index, actual_seq_qlen, actual_seq_klen, layout, sparse_mode,
        pre_tokens, next_tokens,
    )  # fmt: skip
    loss, *gradients, _ = run(
        _NAMES,
        torch.ops.tamis.sparse_lightning_indexer_grad_kl_loss,
        query=query,
        key=key,
        query_index=query_index,
        key_index=key_index,
        weights=weights,
        sparse_indices=sparse_indices,
        softmax_max=_by_token("softmax_max", softmax_max, common["layout"]),
        softmax_sum=_by_token("softmax_sum", softmax_sum, common["layout"]),
        query_rope=query_rope,
        key_rope=key_rope,
        sinks=sinks,
        scale_value=scale_value,
        **common,
    )
    return *gradients, loss


def _common(
    query: Tensor,
    key: Tensor,
    query_lengths: Sequence[int] | None,
    key_lengths: Sequence[int] | None,
    layout: str | None,
    sparse_mode: int | None,
    pre_tokens: int | None,
    next_tokens: int | None,
) -> dict[str, Any]:
    """What all three calls say alike, as Tamis has it; None means the default."""
    layout = "BSND" if layout is None else layout
    expect("layout", layout, "BSND", "TND")
    keys = key.shape[1 if layout == "BSND" else 0]
    for name, tokens in (("pre_tokens", pre_tokens), ("next_tokens", next_tokens)):
        if tokens is not None and tokens < keys:  # what the device's own tests give hides nothing
            raise ValueError(f"{name}: expected at least the {keys} keys (no window), got {tokens}")
    return {
        "actual_seq_lengths_query": _lengths("actual_seq_qlen", query_lengths, query, layout),
        "actual_seq_lengths_key": _lengths("actual_seq_klen", key_lengths, key, layout),
        "layout": layout,
        "sparse_mode": 3 if sparse_mode is None else sparse_mode,
        "strict": options.strict,
    }


def _lengths(name: str, sums: Sequence[int] | None, rows: Tensor, layout: str) -> Tensor | None:
    """Prefix sums as Tamis reads them: with BSND none, as every row counts there."""
    if sums is None:
        return None
    if layout == "TND":
        return torch.as_tensor(sums, dtype=torch.int64)
    whole = [rows.shape[1] * (i + 1) for i in range(rows.shape[0])]
    if list(map(int, sums)) != whole:
        raise ValueError(
            f"{name}: expected None or {whole} (all rows count with BSND), got {list(sums)}"
        )
    return None


def _by_token(name: str, statistics: Tensor, layout: str) -> Tensor:
    """[B, N2, S1, G] as [B, S1, N2 G], [N2, T1, G] as [T1, N2 G]."""
    shape = "[B, N2, S1, N1 / N2]" if layout == "BSND" else "[N2, T1, N1 / N2]"
    if statistics.dim() != shape.count(",") + 1:
        raise ValueError(f"{name}: expected shape {shape}, got {list(statistics.shape)}")
    return statistics.transpose(-3, -2).flatten(-2)


def _of_one_head(name: str, statistics: Tensor, layout: str) -> Tensor:
    """[B, 1, S1] or [1, T1] without the dimension of the one head."""
    shape, at = ("[B, 1, S1]", 1) if layout == "BSND" else ("[1, T1]", 0)
    if statistics.dim() != shape.count(",") + 1 or statistics.shape[at] != 1:
        raise ValueError(f"{name}: expected shape {shape}, got {list(statistics.shape)}")
    return statistics.squeeze(at)
