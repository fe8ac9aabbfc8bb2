"""Selected attention over cached latents, their up-projection absorbed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)

# Absorbed queries and outputs, as wide as latents for every head, are made for so many bytes at a
# time.
_CHUNK_BYTES = 64 << 20


def mla_sparse_attention(
    query: Tensor,
    query_rope: Tensor,
    latent: Tensor,
    key_rope: Tensor,
    indices: Tensor,
    up_projection: Tensor,
    scale: float,
    sinks: Tensor | None = None,
    *,
    ends: Tensor | None = None,
    lengths: Tensor | None = None,
    block_table: Tensor | None = None,
) -> Tensor:
    """Multi-head latent attention of queries to the tokens that were selected for them.

    Keys and values are never expanded: what `kv_b_proj` would do to every cached latent is done to
    queries and to outputs. Sequences are padded, B of them of S query tokens over caches of T
    tokens; or, with `block_table`, packed, with caches in pages. The bits of a token's attention do
    not depend on the other tokens, nor on threads; the products around it are torch's. Padded calls
    have a gradient, of all tensors but `indices`.

    Parameters
    ----------
    query, query_rope : Tensor
        [B, S, heads, D] without position and [B, S, heads, R] rotated, R may be 0; packed [T,
        heads, ...]; fp16, bf16 or fp32
    latent, key_rope : Tensor
        [B, T, L] and [B, T, R], as cached; in pages [pages, page_size, ...]; dtype of query
    indices : Tensor
        [B, S, K] int32, packed [T, K]: tokens of its sequence that each query attends to; -1 ends
        a list
    up_projection : Tensor
        weight of `kv_b_proj`: [heads (D + Dv), L]
    scale : float
        of scores
    sinks : Tensor, optional
        [heads] fp32: a logit in each head's softmax that has no value
    ends, lengths : Tensor, optional
        [sequences] int32, packed only: where the queries of each sequence end among the T, and
        how many cached tokens it has
    block_table : Tensor, optional
        [sequences, most] int32: pages of each sequence, in order

    Returns
    -------
    Tensor
        [B, S, heads, Dv], packed [T, heads, Dv]; dtype of query

    Raises
    ------
    ValueError
        `block_table` without `ends` and `lengths`; and as
        `torch.ops.tamis.sparse_flash_attention`.
    """
    if block_table is not None and (ends is None or lengths is None):
        raise ValueError("block_table: expected ends and lengths beside it, got None")
    heads, dim = query.shape[-2:]
    weight = up_projection.view(heads, -1, latent.shape[-1])
    to_latent, to_value = weight[:, :dim], weight[:, dim:].transpose(1, 2)
    tokens = query.shape[-3]
    out = query.new_empty(*query.shape[:-1], to_value.shape[-1])
    token_bytes = heads * latent.shape[-1] * query.element_size()
    if block_table is None:
        token_bytes *= query.shape[0]
    step = max(1, _CHUNK_BYTES // max(1, token_bytes))
    rotated = key_rope.shape[-1] > 0
    inputs = (query, query_rope, latent, key_rope, up_projection, sinks)
    graded = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in inputs)
    for begin in range(0, tokens, step):
        part = ..., slice(begin, begin + step)
        where: dict[str, Any] = {}
        if ends is not None and block_table is not None:
            where = {
                "layout_query": "TND",
                "layout_kv": "PA_BSND",
                "block_table": block_table,
                "actual_seq_lengths_query": (ends - begin).clamp(0, min(step, tokens - begin)),
                "actual_seq_lengths_kv": lengths,
            }
        absorbed = torch.einsum("...hd,hdl->...hl", query[*part, :, :], to_latent)
        attended = torch.ops.tamis.sparse_flash_attention(
            absorbed,
            latent.unsqueeze(-2),
            indices[*part, :].unsqueeze(-2),
            query_rope=query_rope[*part, :, :] if rotated else None,
            key_rope=key_rope.unsqueeze(-2) if rotated else None,
            sinks=sinks,
            scale_value=scale,
            sparse_mode=0,
            return_softmax_lse=graded,  # what a backward is made from
            **where,
        )[0]
        out[*part, :, :] = torch.einsum("...hl,hlv->...hv", attended, to_value)
    return out
