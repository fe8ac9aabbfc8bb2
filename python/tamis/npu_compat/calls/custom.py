"""The calls of the custom operators: documents 003 and 004, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from tamis.npu_compat.calls import mla_prolog
from tamis.npu_compat.calls.arguments import expect, expect_absent, run
from tamis.npu_compat.calls.dsa import index
from tamis.npu_compat.formats import row_major
from tamis.npu_compat.options import options

_LATER = (  # arguments of torch_npu.npu_mla_prolog_v3 alone
    "token_x_dtype",
    "weight_dq_dtype",
    "weight_uq_qr_dtype",
    "weight_dkv_kr_dtype",
    "kv_cache_dtype",
)


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
    indices, _ = index(
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
    )
    return indices


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
        accuracy=options.accuracy,
        strict=options.strict,
    )[0]
    return out


def npu_sparse_flash_attention_antiquant(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    sparse_indices: Tensor,
    scale_value: float,
    sparse_block_size: int,
    key_quant_mode: int,
    value_quant_mode: int,
    *,
    key_dequant_scale: Tensor | None = None,
    value_dequant_scale: Tensor | None = None,
    block_table: Tensor | None = None,
    actual_seq_lengths_query: Tensor | None = None,
    actual_seq_lengths_kv: Tensor | None = None,
    layout_query: str = "BSND",
    layout_kv: str = "BSND",
    sparse_mode: int = 3,
    attention_mode: int = 0,
    quant_scale_repo_mode: int = 0,
    tile_size: int = 0,
    rope_head_dim: int = 0,
) -> Tensor:
    """`tamis.sparse_flash_attention` over rows of bytes, `cann656`: latent int8, rope, scales.

    The last `rope_head_dim` channels of `query` are its rotary part. `value` has a row for each of
    `key` and is not read, as on the device: keys are the values. Both quantisation modes are 2 (a
    scale for every 128 channels), as is `attention_mode`; `quant_scale_repo_mode` is 1 (scales in
    the rows), `tile_size` 128.
    """
    expect("key_quant_mode", key_quant_mode, 2)
    expect("value_quant_mode", value_quant_mode, 2)
    expect("attention_mode", attention_mode, 2)
    expect("quant_scale_repo_mode", quant_scale_repo_mode, 1)
    expect("tile_size", tile_size, 128)
    expect_absent("scales lie in the rows of key", key_dequant_scale=key_dequant_scale)
    expect_absent("scales lie in the rows of key", value_dequant_scale=value_dequant_scale)
    if value.shape[:-1] != key.shape[:-1]:
        raise ValueError(
            f"value: expected rows {list(key.shape[:-1])} as key, got {list(value.shape[:-1])}"
        )
    if not 0 <= rope_head_dim < query.shape[-1]:
        raise ValueError(
            f"rope_head_dim: expected at least 0 and below query's {query.shape[-1]} channels, "
            f"got {rope_head_dim}"
        )
    latent = query.shape[-1] - rope_head_dim
    out: Tensor = run(
        {"query_rope": "query"},
        torch.ops.tamis.sparse_flash_attention,
        query=query[..., :latent],
        key=key,
        sparse_indices=sparse_indices,
        scale_value=scale_value,
        block_table=block_table,
        actual_seq_lengths_query=actual_seq_lengths_query,
        actual_seq_lengths_kv=actual_seq_lengths_kv,
        query_rope=query[..., latent:] if rope_head_dim else None,
        sparse_block_size=sparse_block_size,
        layout_query=layout_query,
        layout_kv=layout_kv,
        sparse_mode=sparse_mode,
        kv_format="cann656",
        accuracy=options.accuracy,
    )[0]
    return out


@mla_prolog.same_arguments(mla_prolog.npu_mla_prolog_v3, without=_LATER)
def npu_mla_prolog_v3(*tensors: Tensor, **others: Any) -> tuple[Tensor, ...]:
    """`torch_npu.npu_mla_prolog_v3`; results that are not used have one element, 0."""
    return _with_one_element(mla_prolog.npu_mla_prolog_v3(*tensors, **others))


@mla_prolog.same_arguments(mla_prolog.npu_mla_prolog_v3, without=_LATER)
def npu_mla_prolog_v3_functional(*tensors: Tensor, **others: Any) -> tuple[Tensor, ...]:
    """`torch_npu.npu_mla_prolog_v3_functional`; results that are not used have one element, 0."""
    *results, kv_cache, kr_cache = mla_prolog.npu_mla_prolog_v3_functional(*tensors, **others)
    return *_with_one_element(results), kv_cache, kr_cache


def _with_one_element(results: Iterable[Tensor]) -> tuple[Tensor, ...]:
    return tuple(t.new_zeros(1) if t.shape == (0,) else t for t in results)


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

    Its six weights are NZ, as `tamis.npu_compat.formats` reads them; `w_uk` is row-major.
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
        accuracy=options.accuracy,
        strict=options.strict,
    )[0]
    return out
