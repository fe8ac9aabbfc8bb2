"""Attention over the selected blocks of Native Sparse Attention, as `torch_npu` has it."""

from __future__ import annotations

import torch
from torch import Tensor

from tamis.npu_compat.calls.arguments import expect, required, run
from tamis.npu_compat.options import options


def npu_nsa_select_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    topk_indices: Tensor,
    scale_value: float,
    head_num: int,
    select_block_size: int,
    select_block_count: int,
    *,
    atten_mask: Tensor | None = None,
    actual_seq_qlen: list[int] | None = None,
    actual_seq_kvlen: list[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`tamis.nsa_selected_attention`: attention, softmax maximum and sum.

    Of `atten_mask` only the presence counts, as on the device: with one, token i of a sequence sees
    the keys up to i (`sparse_mode` 2), without one all keys (0). Lengths are inclusive prefix sums
    and required. The statistics are [T, N, 8], every number eight times, in the order that this
    shape says.
    """
    out, maximum, total = torch.ops.tamis.nsa_selected_attention(
        query,
        key,
        value,
        topk_indices,
        scale_value=scale_value,
        head_num=head_num,
        select_block_size=select_block_size,
        select_block_count=select_block_count,
        actual_seq_qlen=required("actual_seq_qlen", actual_seq_qlen),
        actual_seq_kvlen=required("actual_seq_kvlen", actual_seq_kvlen),
        sparse_mode=0 if atten_mask is None else 2,
        accuracy=options.accuracy,
        strict=options.strict,
    )
    return out, maximum[..., None].repeat(1, 1, 8), total[..., None].repeat(1, 1, 8)


def npu_nsa_select_attention_grad(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_out: Tensor,
    softmax_max: Tensor,
    softmax_sum: Tensor,
    topk_indices: Tensor,
    scale_value: float,
    head_num: int,
    select_block_size: int,
    select_block_count: int,
    *,
    atten_mask: Tensor | None = None,
    actual_seq_qlen: list[int] | None = None,
    actual_seq_kvlen: list[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`tamis.nsa_selected_attention_grad`: gradients of query, key and value.

    Statistics are those of `npu_nsa_select_attention`, [T, N, 8], of which one in eight is read.
    `attention_out` is not read. `atten_mask` counts as in the forward, by its presence: the device
    computes the gradient causally always, so without one its two calls disagree.
    """
    found: tuple[Tensor, Tensor, Tensor] = run(
        {"attention_out_grad": "grad"},
        torch.ops.tamis.nsa_selected_attention_grad,
        query=query,
        key=key,
        value=value,
        attention_out_grad=grad,
        softmax_max=_one_of_eight("softmax_max", softmax_max),
        softmax_sum=_one_of_eight("softmax_sum", softmax_sum),
        topk_indices=topk_indices,
        scale_value=scale_value,
        head_num=head_num,
        select_block_size=select_block_size,
        select_block_count=select_block_count,
        actual_seq_qlen=required("actual_seq_qlen", actual_seq_qlen),
        actual_seq_kvlen=required("actual_seq_kvlen", actual_seq_kvlen),
        sparse_mode=0 if atten_mask is None else 2,
        strict=options.strict,
    )
    return found


def _one_of_eight(name: str, statistics: Tensor) -> Tensor:
    """[T, N, 8], every number eight times, as [T, N]."""
    if statistics.dim() != 3 or statistics.shape[2] != 8:
        raise ValueError(f"{name}: expected shape [T, N, 8], got {list(statistics.shape)}")
    return statistics[..., 0].contiguous()


def _by_head(query: Tensor, heads: int) -> Tensor:
    """[B, S, N D] as [B, S, N, D]."""
    if heads < 1:
        raise ValueError(f"head_num: expected at least 1, got {heads}")
    if query.dim() != 3 or query.shape[2] % heads != 0:
        raise ValueError(
            f"query: expected shape [B, S, head_num*D] of head_num = {heads}, "
            f"got {list(query.shape)}"
        )
    return query.unflatten(2, (heads, query.shape[2] // heads))


def _heads_together(name: str, cache: Tensor, heads: int) -> Tensor:
    """[pages, page_block_size, N2, D] as [pages, page_block_size, N2 D]."""
    if cache.dim() != 4 or cache.shape[2] != heads:
        raise ValueError(
            f"{name}: expected shape [pages, page_block_size, key_value_head_num = {heads}, D], "
            f"got {list(cache.shape)}"
        )
    return cache.flatten(2)


def npu_nsa_select_attention_infer(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    topk_indices: Tensor,
    scale_value: float,
    head_num: int,
    key_value_head_num: int,
    select_block_size: int,
    select_block_count: int,
    page_block_size: int,
    *,
    layout: str = "BSND",
    atten_mask: Tensor | None = None,
    block_table: Tensor | None = None,
    actual_seq_qlen: list[int] | None = None,
    actual_seq_kvlen: list[int] | None = None,
) -> Tensor:
    """`tamis.nsa_selected_attention_infer`: attention over the selected blocks of a paged cache.

    `query` and the result are [B, S, N D] (BSH), [B, S, N, D] (BSND) or [T, N, D] (TND), pages
    [pages, page_block_size, N2, D] with BSND, else [pages, page_block_size, N2 D]. `topk_indices`
    are [B, S, N2, K], or [B, N2, K] where S is 1; with TND [T, N2, K]. Every key head has a list of
    its own; the device reads that of the first for all. Lengths are counts per sequence;
    `block_table` and `actual_seq_kvlen` are required, `actual_seq_qlen` may be absent: one query
    each. `atten_mask` has no effect, as on the device.
    """
    expect("layout", layout, "BSH", "BSND", "TND")
    if layout == "BSH":
        query = _by_head(query, head_num)
    elif layout == "BSND":
        key = _heads_together("key", key, key_value_head_num)
        value = _heads_together("value", value, key_value_head_num)
    if layout != "TND" and topk_indices.dim() == 3:
        topk_indices = topk_indices.unsqueeze(1)
    out, _, _ = torch.ops.tamis.nsa_selected_attention_infer(
        query,
        key,
        value,
        topk_indices,
        required("block_table", block_table),
        scale_value=scale_value,
        head_num=head_num,
        key_value_head_num=key_value_head_num,
        select_block_size=select_block_size,
        select_block_count=select_block_count,
        page_block_size=page_block_size,
        layout="TND" if layout == "TND" else "BSND",
        actual_seq_qlen=actual_seq_qlen,
        actual_seq_kvlen=required("actual_seq_kvlen", actual_seq_kvlen),
        accuracy=options.accuracy,
        strict=options.strict,
    )
    return out.flatten(2) if layout == "BSH" else out
