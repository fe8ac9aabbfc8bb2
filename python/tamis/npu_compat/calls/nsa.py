"""Native Sparse Attention: documents 000, 001 and 002, and what op-plugin has beside them."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from tamis.npu_compat.calls.arguments import required, run
from tamis.npu_compat.options import options


def _device_statistics(values: Tensor, prefix_sums: list[int]) -> Tensor:
    """[T, N] in the device's order: [T, N, 8] by its shape, [N, S, 8] per sequence in memory.

    As `tamis.case.device_statistics`, which has numpy alone, in operators that can be traced.
    """
    slabs = [values[begin:end].T.reshape(-1) for begin, end in pairwise([0, *prefix_sums])]
    flat = torch.cat([values.new_empty(0), *slabs])
    return flat[:, None].repeat(1, 8).reshape(*values.shape, 8)


def npu_nsa_compress(
    input: Tensor,  # noqa: A002  (the document's name)
    weight: Tensor,
    compress_block_size: int,
    compress_stride: int,
    *,
    actual_seq_len: list[int] | None = None,
) -> Tensor:
    """`tamis.nsa_compress`; `actual_seq_len` holds inclusive prefix sums, and is required."""
    out: Tensor = run(
        {"act_seq_len": "actual_seq_len"},
        torch.ops.tamis.nsa_compress,
        input=input,
        weight=weight,
        act_seq_len=required("actual_seq_len", actual_seq_len),
        compress_block_size=compress_block_size,
        compress_stride=compress_stride,
        strict=options.strict,
    )
    return out


def npu_nsa_compress_grad(
    grad: Tensor,
    input: Tensor,  # noqa: A002  (the device's name)
    weight: Tensor,
    compress_block_size: int,
    compress_stride: int,
    *,
    actual_seq_len: list[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """`tamis.nsa_compress_grad`: gradients of input and weight; lengths as in the forward."""
    found: tuple[Tensor, Tensor] = run(
        {"act_seq_len": "actual_seq_len", "output_grad": "grad"},
        torch.ops.tamis.nsa_compress_grad,
        output_grad=grad,
        input=input,
        weight=weight,
        act_seq_len=required("actual_seq_len", actual_seq_len),
        compress_block_size=compress_block_size,
        compress_stride=compress_stride,
        strict=options.strict,
    )
    return found


def npu_nsa_compress_infer(
    input: Tensor,  # noqa: A002  (the device's name)
    weight: Tensor,
    slot_mapping: Tensor,
    compress_block_size: int,
    compress_stride: int,
    page_block_size: int,
    *,
    block_table: Tensor | None = None,
    actual_seq_len: list[int] | None = None,
    cache: Tensor,
) -> Tensor:
    """`tamis.nsa_compress_infer` of one new token per sequence: `cache`, updated in place.

    `block_table` and `actual_seq_len`, lengths of the sequences, are required.
    """
    run(
        {"act_seq_len": "actual_seq_len"},
        torch.ops.tamis.nsa_compress_infer,
        input=input,
        weight=weight,
        slot_mapping=slot_mapping,
        block_table=required("block_table", block_table),
        cache=cache,
        act_seq_len=required("actual_seq_len", actual_seq_len),
        compress_block_size=compress_block_size,
        compress_stride=compress_stride,
        page_block_size=page_block_size,
        strict=options.strict,
    )
    return cache


def npu_nsa_compress_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale_value: float,
    head_num: int,
    compress_block_size: int,
    compress_stride: int,
    select_block_size: int,
    select_block_count: int,
    topk_mask: Tensor | None = None,
    atten_mask: Tensor | None = None,
    actual_seq_qlen: list[int] | None = None,
    actual_cmp_seq_kvlen: list[int] | None = None,
    actual_sel_seq_kvlen: list[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`tamis.nsa_compress_attention`: attention, selected blocks, softmax maximum and sum.

    Lengths are inclusive prefix sums; the first two are required, the third is not used. The
    statistics are [T, N, 8] in the device's order; `tamis.case.statistics` makes [T, N] of them.
    """
    q_prefix = required("actual_seq_qlen", actual_seq_qlen)
    out, blocks, maximum, total, _ = torch.ops.tamis.nsa_compress_attention(
        query,
        key,
        value,
        scale_value=scale_value,
        head_num=head_num,
        compress_block_size=compress_block_size,
        compress_stride=compress_stride,
        select_block_size=select_block_size,
        select_block_count=select_block_count,
        actual_seq_qlen=q_prefix,
        actual_cmp_seq_kvlen=required("actual_cmp_seq_kvlen", actual_cmp_seq_kvlen),
        actual_sel_seq_kvlen=actual_sel_seq_kvlen,
        atten_mask=atten_mask,
        topk_mask=topk_mask,
        accuracy=options.accuracy,
        strict=options.strict,
    )
    return (
        out,
        blocks,
        _device_statistics(maximum, q_prefix),
        _device_statistics(total, q_prefix),
    )


def npu_nsa_compress_attention_infer(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale_value: float,
    head_num: int,
    key_value_head_num: int,
    select_block_size: int,
    select_block_count: int,
    page_block_size: int,
    compress_block_size: int,
    compress_stride: int,
    atten_mask: Tensor | None = None,
    block_table: Tensor | None = None,
    topk_mask: Tensor | None = None,
    actual_seq_qlen: list[int] | None = None,
    actual_cmp_seq_kvlen: list[int] | None = None,
    actual_sel_seq_kvlen: list[int] | None = None,
    *,
    layout: str = "TND",
) -> tuple[Tensor, Tensor]:
    """`tamis.nsa_compress_attention_infer`: attention and selected blocks.

    Lengths are counts per sequence. `block_table` and `actual_cmp_seq_kvlen` are required;
    `topk_mask` has no effect, as on the device.
    """
    out, blocks, *_ = torch.ops.tamis.nsa_compress_attention_infer(
        query,
        key,
        value,
        required("block_table", block_table),
        scale_value=scale_value,
        head_num=head_num,
        key_value_head_num=key_value_head_num,
        select_block_size=select_block_size,
        select_block_count=select_block_count,
        page_block_size=page_block_size,
        compress_block_size=compress_block_size,
        compress_stride=compress_stride,
        actual_cmp_seq_kvlen=required("actual_cmp_seq_kvlen", actual_cmp_seq_kvlen),
        atten_mask=atten_mask,
        layout=layout,
        actual_seq_qlen=actual_seq_qlen,
        actual_sel_seq_kvlen=actual_sel_seq_kvlen,
        accuracy=options.accuracy,
        strict=options.strict,
    )
    return out, blocks
