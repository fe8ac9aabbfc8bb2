"""Selected attention over cached latents, its up-projections absorbed."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tamis.transformers._families import FAMILIES, known, selects
from tamis.transformers._masks import require_visible
from tamis.transformers._refuse import refuse

# Absorbed queries and outputs, 512 wide per head, are made for so many bytes at a time.
CHUNK_BYTES = 64 << 20


def mla_sparse_attention(
    query: Tensor,
    query_rope: Tensor,
    latent: Tensor,
    key_rope: Tensor,
    indices: Tensor,
    up_projection: Tensor,
    scale: float,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention of multi-head latent attention over selected tokens.

    Keys and values are never expanded: what `kv_b_proj` would do to every cached latent is done to
    queries and outputs.

    Parameters
    ----------
    query, query_rope : Tensor
        [B, S, heads, D] without position and [B, S, heads, R] rotated; fp16, bf16 or fp32.
    latent, key_rope : Tensor
        [B, T, L] and [B, T, R], as cached; dtype of query.
    indices : Tensor
        [B, S, K] int32, tokens of `latent` that each query attends to; -1 ends a list.
    up_projection : Tensor
        Weight of `kv_b_proj`: [heads (D + Dv), L].
    scale : float
        Of scores.
    sinks : Tensor, optional
        [heads] fp32: a logit in each head's softmax that has no value.

    Returns
    -------
    Tensor
        [B, S, heads, Dv].
    """
    batch, tokens, heads, dim = query.shape
    latent_dim = latent.shape[-1]
    weight = up_projection.view(heads, -1, latent_dim)
    to_latent, to_value = weight[:, :dim], weight[:, dim:].transpose(1, 2)
    out = query.new_empty(batch, tokens, heads, to_value.shape[-1])
    row_bytes = batch * heads * latent_dim * query.element_size()
    rotated = key_rope.shape[-1] > 0
    step = max(1, CHUNK_BYTES // max(1, row_bytes))
    for begin in range(0, tokens, step):
        part = slice(begin, begin + step)
        absorbed = torch.einsum("bshd,hdl->bshl", query[:, part], to_latent)
        attended = torch.ops.tamis.sparse_flash_attention(
            absorbed,
            latent.unsqueeze(2),
            indices[:, part].unsqueeze(2),
            query_rope=query_rope[:, part] if rotated else None,
            key_rope=key_rope.unsqueeze(2) if rotated else None,
            sinks=sinks,
            scale_value=scale,
            sparse_mode=0,
        )[0]
        out[:, part] = torch.einsum("bshl,hlv->bshv", attended, to_value)
    return out


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    indices: Tensor | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Transformers' attention function of the implementation "tamis".

    `key` and `value` are what `expand_kv` left alone: latents [B, 1, T, L] and rotated keys
    [B, 1, T, R].
    """
    if type(module) not in known:
        refuse("model", f"one of {', '.join(FAMILIES)} as known here", type(module).__name__)
    if kwargs.get("output_attentions", module.config.output_attentions):
        refuse("output_attentions", "False", "True")
    if module.training and dropout > 0:
        refuse("attention_dropout", "0 in training", str(dropout))
    if torch.is_grad_enabled() and query.requires_grad:
        refuse("gradients", "torch.no_grad(), as there is no backward yet", "gradients enabled")
    if not selects(module):
        stock: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
        return stock
    require_visible(attention_mask)
    query = query.transpose(1, 2)
    rope = value.shape[-1]
    plain, rotated = query.split([query.shape[-1] - rope, rope], dim=-1)
    out = mla_sparse_attention(
        plain,
        rotated,
        key[:, 0],
        value[:, 0],
        cast(Tensor, indices),
        module.kv_b_proj.weight,
        scaling,
        None if s_aux is None else s_aux.float(),
    )
    return out, None
