"""The parameters of DeepSeek sparse attention, and those that other families add."""

from __future__ import annotations

import torch
from torch.nn import Parameter

from tamis.nn.flavour import Flavour


def parameters_of(
    *,
    hidden: int,
    heads: int,
    q_lora_rank: int | None,
    kv_lora_rank: int,
    rope_dim: int,
    nope_dim: int,
    v_dim: int,
    index_heads: int,
    index_dim: int,
    dtype: torch.dtype,
    flavour: Flavour,
) -> dict[str, Parameter | None]:
    """All of them by name, as the operators take them: weights random, norms as if there were none.

    None is what the flavour has not. Sizes are those of `DeepSeekSparseAttention`.
    """

    def weight(*shape: int) -> Parameter:
        scaled = torch.randn(shape, dtype=dtype) * shape[-2] ** -0.5
        return Parameter(scaled, requires_grad=False)

    def vector(value: float, size: int) -> Parameter:
        return Parameter(torch.full((size,), value, dtype=dtype), requires_grad=False)

    def numbers(*shape: int) -> Parameter:
        return Parameter(torch.zeros(shape), requires_grad=False)

    low, indexer, scaled = q_lora_rank is not None, flavour.indexer, flavour.scaled_queries
    rank = hidden if q_lora_rank is None else q_lora_rank
    source = 2 * rank if flavour.queries == "low_rank_twice" else rank
    gate_source = source if flavour.queries == "low_rank_twice" else hidden
    gates = heads * (v_dim if flavour.gate == "channels" else 1)
    return {
        "w_dq": weight(hidden, rank) if low else None,
        "w_uq_qr": weight(source, heads * (nope_dim + rope_dim)),
        "w_uk": weight(heads, nope_dim, kv_lora_rank),
        "w_dkv_kr": weight(hidden, kv_lora_rank + rope_dim),
        "gamma_cq": vector(1.0, rank) if low else None,
        "gamma_ckv": vector(1.0, kv_lora_rank),
        "w_idx_qb": weight(rank, index_heads * index_dim) if indexer else None,
        "w_idx_k": weight(hidden, index_dim) if indexer else None,
        "w_idx_proj": weight(hidden, index_heads) if indexer else None,
        "in_gamma_k": vector(1.0, index_dim) if indexer else None,
        "in_beta_k": vector(0.0, index_dim) if indexer else None,
        "w_uv": weight(heads, kv_lora_rank, v_dim),
        "w_o": weight(heads * v_dim, hidden),
        # Of other families.
        "in_gamma_q": vector(1.0, hidden) if indexer and not low else None,
        "in_beta_q": vector(0.0, hidden) if indexer and not low else None,
        "gamma_kr": vector(1.0, rope_dim) if flavour.norm_rope else None,
        "bias_dq": vector(0.0, rank) if flavour.bias and low else None,
        "bias_dkv_kr": vector(0.0, kv_lora_rank + rope_dim) if flavour.bias else None,
        "bias_o": vector(0.0, hidden) if flavour.bias else None,
        "sinks": numbers(heads) if flavour.sinks else None,
        "w_gate": weight(gate_source, gates) if flavour.gate != "none" else None,
        "query_scale": numbers(2, heads) if scaled else None,
        "index_query_scale": numbers(2, index_heads) if scaled and indexer else None,
    }
