"""The calls of `custom_pypto` beside document 003's: the two halves of its indexer."""

from __future__ import annotations

import torch
from torch import Tensor

from tamis.npu_compat.calls.arguments import expect, required, run
from tamis.npu_compat.calls.dsa import index
from tamis.npu_compat.formats import row_major

_PROLOG_NAMES = {  # of tamis.indexer_prolog, and of npu_lightning_indexer_prolog_pto
    "x": "token_x",
    "query_norm": "q_norm",
    "w_idx_qb": "wq_b",
    "w_idx_k": "wk",
    "w_idx_proj": "weights_proj",
    "in_gamma_k": "ln_gamma_k",
    "in_beta_k": "ln_beta_k",
    "cos": "cos_idx_rope",
    "sin": "sin_idx_rope",
    "index_k_cache": "idx_k_cache",
    "cache_index": "idx_k_cache_index",
    "epsilon": "layernorm_epsilon_k",
}


def npu_lightning_indexer_pto(
    query: Tensor,
    key: Tensor,
    weights: Tensor,
    *,
    actual_seq_lengths_query: Tensor | None = None,
    actual_seq_lengths_key: Tensor | None = None,
    block_table: Tensor | None = None,
    layout_query: str = "BSND",
    layout_key: str = "PA_BSND",
    sparse_count: int = 2048,
    sparse_mode: int = 3,
) -> Tensor:
    """`tamis.lightning_indexer` over paged keys: positions of the best keys, best first, then -1.

    `actual_seq_lengths_key` and `block_table` are required; `actual_seq_lengths_query` is not read,
    as on the device: all rows of `query` count.
    """
    expect("layout_query", layout_query, "BSND")
    expect("layout_key", layout_key, "PA_BSND")
    indices, _ = index(
        query,
        key,
        weights,
        actual_seq_lengths_key=required("actual_seq_lengths_key", actual_seq_lengths_key),
        block_table=required("block_table", block_table),
        layout_key=layout_key,
        sparse_count=sparse_count,
        sparse_mode=sparse_mode,
    )
    return indices


def npu_lightning_indexer_prolog_pto(
    token_x: Tensor,
    q_norm: Tensor,
    q_norm_scale: Tensor,
    wq_b: Tensor,
    wq_b_scale: Tensor,
    wk: Tensor,
    weights_proj: Tensor,
    ln_gamma_k: Tensor,
    ln_beta_k: Tensor,
    cos_idx_rope: Tensor,
    sin_idx_rope: Tensor,
    hadamard_q: Tensor,
    hadamard_k: Tensor,
    idx_k_cache: Tensor,
    idx_k_scale_cache: Tensor,
    idx_k_cache_index: Tensor,
    layernorm_epsilon_k: float,
    *,
    layout_query: str | None = "TND",
    layout_key: str | None = "PA_BSND",
) -> tuple[Tensor, Tensor, Tensor]:
    """`tamis.indexer_prolog`, 16 bits throughout: index queries, an empty tensor, head weights.

    The device's call takes and makes 8 bits, which no kernel does: here `q_norm`, `wq_b` and
    `idx_k_cache` have the dtype of `token_x`, and what belongs to 8 bits (the three scales, and the
    two Hadamard matrices, which change scores by rounding alone) is given as empty tensors. Head
    weights are unscaled, in the dtype of `token_x`, as `npu_lightning_indexer_pto` takes them.
    Index keys are written in place. `wq_b`, `wk` and `weights_proj` are NZ, as
    `tamis.npu_compat.formats` reads them.
    """
    expect("layout_query", layout_query or "TND", "TND")
    expect("layout_key", layout_key or "PA_BSND", "PA_BSND")
    for name, tensor in (("q_norm", q_norm), ("wq_b", wq_b), ("idx_k_cache", idx_k_cache)):
        if tensor.dtype != token_x.dtype:
            raise ValueError(
                f"{name}: expected dtype {_kind(token_x)} as token_x (no kernel takes 8 bits), "
                f"got {_kind(tensor)}"
            )
    for name, tensor in (
        ("q_norm_scale", q_norm_scale),
        ("wq_b_scale", wq_b_scale),
        ("hadamard_q", hadamard_q),
        ("hadamard_k", hadamard_k),
        ("idx_k_scale_cache", idx_k_scale_cache),
    ):
        if tensor.numel() != 0:
            raise ValueError(
                f"{name}: expected an empty tensor (16 bits need none), "
                f"got {_kind(tensor)} {list(tensor.shape)}"
            )
    weights, weight_format = row_major(
        "npu_lightning_indexer_prolog_pto",
        {"wq_b": wq_b, "wk": wk, "weights_proj": weights_proj},
    )
    query, head_weights = run(
        _PROLOG_NAMES,
        torch.ops.tamis.indexer_prolog,
        x=token_x,
        w_idx_k=weights["wk"],
        in_gamma_k=ln_gamma_k,
        in_beta_k=ln_beta_k,
        sin=sin_idx_rope,
        cos=cos_idx_rope,
        cache_index=idx_k_cache_index,
        index_k_cache=idx_k_cache,
        query_norm=q_norm,
        w_idx_qb=weights["wq_b"],
        w_idx_proj=weights["weights_proj"],
        epsilon=layernorm_epsilon_k,
        weight_format=weight_format,
    )
    return query, token_x.new_empty(0), head_weights


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
