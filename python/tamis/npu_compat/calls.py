"""What the device's calls do here: each is one operator of Tamis, and returns what the device does.

Names and arguments are those of `schemas.py`; registration refuses a function that differs.
Complaints are the library's line: the argument, what was expected, what came.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.npu_compat.formats import row_major
from tamis.npu_compat.options import options

_T = TypeVar("_T")


def _required(name: str, value: _T | None) -> _T:
    """An argument that the signature leaves open and the device needs."""
    if value is None:
        raise ValueError(f"{name}: required, but absent")
    return value


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
    out: Tensor = torch.ops.tamis.nsa_compress(
        input,
        weight,
        act_seq_len=_required("actual_seq_len", actual_seq_len),
        compress_block_size=compress_block_size,
        compress_stride=compress_stride,
        strict=options.strict,
    )
    return out


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
    q_prefix = _required("actual_seq_qlen", actual_seq_qlen)
    out, blocks, maximum, total = torch.ops.tamis.nsa_compress_attention(
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
        actual_cmp_seq_kvlen=_required("actual_cmp_seq_kvlen", actual_cmp_seq_kvlen),
        actual_sel_seq_kvlen=actual_sel_seq_kvlen,
        atten_mask=atten_mask,
        topk_mask=topk_mask,
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
    out, blocks = torch.ops.tamis.nsa_compress_attention_infer(
        query,
        key,
        value,
        _required("block_table", block_table),
        scale_value=scale_value,
        head_num=head_num,
        key_value_head_num=key_value_head_num,
        select_block_size=select_block_size,
        select_block_count=select_block_count,
        page_block_size=page_block_size,
        compress_block_size=compress_block_size,
        compress_stride=compress_stride,
        actual_cmp_seq_kvlen=_required("actual_cmp_seq_kvlen", actual_cmp_seq_kvlen),
        atten_mask=atten_mask,
        layout=layout,
        actual_seq_qlen=actual_seq_qlen,
        actual_sel_seq_kvlen=actual_sel_seq_kvlen,
        strict=options.strict,
    )
    return out, blocks


def npu_sparse_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sparse_indices: Tensor,
    scale_value: float,
    sparse_block_size: int,
    *,
    block_table: Tensor | None = None,
    actual_seq_lengths_query: Tensor | None = None,
    actual_seq_lengths_kv: Tensor | None = None,
    query_rope: Tensor | None = None,
    key_rope: Tensor | None = None,
    layout_query: str = "BSND",
    layout_kv: str = "BSND",
    sparse_mode: int = 3,
) -> Tensor:
    """`tamis.sparse_flash_attention`: attention over the selected keys, in the latent space."""
    out: Tensor = torch.ops.tamis.sparse_flash_attention(
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
        sparse_block_size=sparse_block_size,
        layout_query=layout_query,
        layout_kv=layout_kv,
        sparse_mode=sparse_mode,
        strict=options.strict,
    )[0]
    return out


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
) -> Tensor:
    """`tamis.lightning_indexer`: positions of the best keys, best first, then -1."""
    indices: Tensor = torch.ops.tamis.lightning_indexer(
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
        strict=options.strict,
    )[0]
    return indices


def npu_sparse_attention_pto(
    x: Tensor,
    w_dq: Tensor,
    w_uq_qr: Tensor,
    w_uk: Tensor,
    w_dkv_kr: Tensor,
    gamma_cq: Tensor,
    gamma_ckv: Tensor,
    sin: Tensor,
    cos: Tensor,
    cache_index: Tensor,
    kv_cache: Tensor,
    kr_cache: Tensor,
    block_table: Tensor,
    act_seqs: Tensor,
    w_idx_qb: Tensor,
    w_idx_k: Tensor,
    w_idx_proj: Tensor,
    in_gamma_k: Tensor,
    in_beta_k: Tensor,
    index_k_cache: Tensor,
) -> Tensor:
    """`tamis.sparse_attention_pto`, with its defaults; the three caches are updated in place.

    Its six weights are NZ, as `tamis.npu_compat.formats` reads them; w_uk is row-major.
    """
    weights, weight_format = row_major(
        "npu_sparse_attention_pto",
        {
            "w_dq": w_dq,
            "w_uq_qr": w_uq_qr,
            "w_dkv_kr": w_dkv_kr,
            "w_idx_qb": w_idx_qb,
            "w_idx_k": w_idx_k,
            "w_idx_proj": w_idx_proj,
        },
    )
    out: Tensor = torch.ops.tamis.sparse_attention_pto(
        x,
        weights["w_dq"],
        weights["w_uq_qr"],
        w_uk,
        weights["w_dkv_kr"],
        gamma_cq,
        gamma_ckv,
        sin,
        cos,
        cache_index,
        kv_cache,
        kr_cache,
        block_table,
        act_seqs,
        weights["w_idx_qb"],
        weights["w_idx_k"],
        weights["w_idx_proj"],
        in_gamma_k,
        in_beta_k,
        index_k_cache,
        weight_format=weight_format,
        strict=options.strict,
    )[0]
    return out
