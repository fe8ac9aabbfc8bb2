"""Selection and selected attention in plain torch, as a careful user would write them.

The second baseline of bench/models.py: up-projections absorbed, selected latents gathered, products
in the model's dtype. The arguments are those of the functions that it stands in for.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# Query tokens whose selected rows are gathered at a time: 64 MB of latents in bf16.
GATHERED = 64 << 20


def select(query: Tensor, key: Tensor, weight: Tensor, visible: Any, count: int) -> Tensor:
    """Top-k of the keys that every token sees: [B, S, min(count, T)] int32."""
    tokens, keys = query.shape[1], key.shape[1]
    scores = torch.matmul(query.transpose(1, 2), key.transpose(1, 2).unsqueeze(1)).relu_()
    weights = weight.to(scores.dtype).unsqueeze(2)  # [B, S, 1, heads]
    total = torch.matmul(weights, scores.transpose(1, 2)).squeeze(2)
    if tokens > 1:
        seen = visible.lengths(tokens)[:, None] - tokens + torch.arange(tokens)
        total = total.masked_fill(torch.arange(keys) > seen[..., None], float("-inf"))
    found = total.topk(min(count, keys), dim=-1)
    return found.indices.masked_fill(found.values == float("-inf"), -1).int()


def attend(
    query: Tensor,
    query_rope: Tensor,
    latent: Tensor,
    key_rope: Tensor,
    indices: Tensor,
    up_projection: Tensor,
    scale: float,
    sinks: None = None,
) -> Tensor:
    """Attention of one sequence to gathered latents: [1, S, heads, Dv]."""
    del sinks
    heads, dim = query.shape[2:]
    weight = up_projection.view(heads, -1, latent.shape[-1])
    absorbed = torch.einsum("shd,hdl->shl", query[0], weight[:, :dim])
    out = torch.empty_like(absorbed)
    row_bytes = indices.shape[-1] * latent.shape[-1] * latent.element_size()
    step = max(1, GATHERED // row_bytes)
    for begin in range(0, len(absorbed), step):
        part = slice(begin, begin + step)
        chosen = indices[0, part].long()
        at = chosen.clamp(min=0)
        rows, turned = latent[0][at], key_rope[0][at]  # [S, K, L] and [S, K, R]
        scores = torch.matmul(absorbed[part], rows.mT)
        scores = (scores + torch.matmul(query_rope[0, part], turned.mT)) * scale
        scores = scores.masked_fill((chosen < 0).unsqueeze(1), float("-inf"))
        attention = torch.softmax(scores, dim=-1, dtype=torch.float32).to(rows.dtype)
        out[part] = torch.matmul(attention, rows)
    return torch.einsum("shl,hvl->shv", out, weight[:, dim:])[None]
