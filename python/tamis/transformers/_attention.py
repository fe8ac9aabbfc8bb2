"""The attention function of the implementation "tamis"."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tamis.nn import mla_sparse_attention
from tamis.transformers import _training
from tamis.transformers._families import FAMILIES, known, selects
from tamis.transformers._masks import Visible, require_visible
from tamis.transformers._paged import Paged
from tamis.transformers._refuse import refuse
from tamis.transformers._training import stage_of


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor | Paged,
    value: Tensor | Paged,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    indices: Tensor | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Transformers' attention function of the implementation "tamis".

    `key` and `value` are what `expand_kv` left alone: latents [B, 1, T, L] and rotated keys
    [B, 1, T, R], or both in pages.
    """
    if type(module) not in known:
        refuse("model", f"one of {', '.join(FAMILIES)} as known here", type(module).__name__)
    if kwargs.get("output_attentions", module.config.output_attentions):
        refuse("output_attentions", "False", "True")
    if module.training and dropout > 0:
        refuse("attention_dropout", "0 in training", str(dropout))
    if not selects(module):
        stock: tuple[Tensor, Tensor | None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
        return stock
    stage = stage_of(module)
    if stage is None and torch.is_grad_enabled() and query.requires_grad:
        refuse(
            "gradients",
            "torch.no_grad(), or tamis.transformers.training(model, stage) and model.train(),",
            "gradients enabled",
        )
    require_visible(attention_mask)
    query = query.transpose(1, 2)
    if type(module.kv_b_proj) is not nn.Linear:  # its weight alone is read
        refuse("kv_b_proj", "torch.nn.Linear", type(module.kv_b_proj).__name__)
    weight, sinks = module.kv_b_proj.weight, None if s_aux is None else s_aux.float()
    indices = cast(Tensor, indices)
    if stage is not None:
        visible = Visible.unpack(cast(Tensor, attention_mask))
        train = _training.attend
        return train(stage, module, query, key, value, visible, scaling, indices, sinks), None
    if isinstance(key, Paged) and isinstance(value, Paged):
        plain, rotated = _split(query.flatten(0, 1), value.rows)
        out = mla_sparse_attention(
            plain,
            rotated,
            key.rows,
            value.rows,
            indices.flatten(0, 1),
            weight,
            scaling,
            sinks,
            ends=key.where.ends,
            lengths=key.where.lengths,
            block_table=key.block_table,
        )
        return out.unflatten(0, query.shape[:2]), None
    latent, key_rope = cast(Tensor, key)[:, 0], cast(Tensor, value)[:, 0]
    plain, rotated = _split(query, key_rope)
    out = mla_sparse_attention(plain, rotated, latent, key_rope, indices, weight, scaling, sinks)
    return out, None


def _split(query: Tensor, key_rope: Tensor) -> tuple[Tensor, Tensor]:
    """Channels without position, and those that are rotated."""
    rope = key_rope.shape[-1]
    plain, rotated = query.split([query.shape[-1] - rope, rope], dim=-1)
    return plain, rotated
