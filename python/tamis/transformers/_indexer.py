"""The indexer of a family: its queries, keys and weights, and what it selects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tamis.transformers._masks import Visible
from tamis.transformers._paged import Paged


@dataclass(frozen=True)
class Indexer:
    """How the indexer of a family makes its queries and keys: that of DeepSeek-V3.2, and near it.

    All is computed by the operations of the family's own code, so that queries and keys have the
    bits that they have without Tamis.

    Parameters
    ----------
    rope : str
        The family's function that rotates them.
    rope_last : bool
        The last channels are rotated instead of the first.
    """

    rope: str = "apply_rotary_pos_emb"
    rope_last: bool = False

    def query(self, indexer: Any, call: Mapping[str, Any]) -> Tensor:
        """Queries that are not rotated yet, [B, S, heads D], of the arguments of a forward call."""
        query: Tensor = indexer.wq_b(call["q_resid"])
        return query

    def scaled(self, indexer: Any, query: Tensor, call: Mapping[str, Any]) -> Tensor:
        """What is done to queries [B, S, heads, D] before they are rotated."""
        del indexer, call
        return query

    def rotates(self, indexer: Any) -> bool:
        """Whether this layer rotates at all."""
        del indexer
        return True

    def inputs(
        self, module: ModuleType, indexer: Any, call: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """Queries [B, S, heads, D] and keys [B, S, D]."""
        hidden = call["hidden_states"]
        query = self.query(indexer, call)
        query = query.view(*hidden.shape[:2], indexer.n_heads, indexer.head_dim)
        query = self.scaled(indexer, query, call)
        norm = indexer.k_norm
        key = norm(indexer.wk(hidden).to(norm.weight.dtype)).to(hidden.dtype).unsqueeze(2)
        if self.rotates(indexer):
            rope = indexer.qk_rope_head_dim
            sizes = [rope, indexer.head_dim - rope]
            at = -1 if self.rope_last else 0
            queries, keys = (
                list(t.split(sizes[::-1] if self.rope_last else sizes, dim=-1))
                for t in (query, key)
            )
            cos, sin = call["position_embeddings"]
            rotate = getattr(module, self.rope)
            queries[at], keys[at] = rotate(queries[at], keys[at], cos, sin, unsqueeze_dim=2)
            query, key = torch.cat(queries, dim=-1), torch.cat(keys, dim=-1)
        return query, key.squeeze(2)


def weights(indexer: Any, hidden: Tensor) -> Tensor:
    """Weights of the heads, [B, S, heads] in fp32.

    Positive factors of the family's code are left out: they change no order.
    """
    projected: Tensor = indexer.weights_proj(hidden.to(indexer.weights_proj.weight.dtype))
    return projected.float()


def select(
    query: Tensor, key: Tensor | Paged, weight: Tensor, visible: Visible, count: int
) -> Tensor:
    """Exact top-k of the keys that every token sees, ties by index.

    Parameters
    ----------
    query, weight : Tensor
        [B, S, heads, D] and [B, S, heads]
    key : Tensor or Paged
        [B, T, D]; T may be more than what was written so far
    visible : Visible
        Which keys the tokens see.
    count : int
        Selected keys of a token.

    Returns
    -------
    Tensor
        [B, S, min(count, T)] int32; -1 after the last where a token sees fewer.
    """
    batch, tokens = query.shape[:2]
    if isinstance(key, Paged):
        return _select_in_pages(query, key, weight, visible, count)
    selected: Tensor = torch.ops.tamis.lightning_indexer(
        query,
        key.unsqueeze(2),
        weight,
        actual_seq_lengths_key=visible.lengths(tokens),
        key_starts=visible.starts,
        sparse_count=min(count, key.shape[1]),
        sparse_mode=3,
    )[0]
    return selected.view(batch, tokens, -1)


def _select_in_pages(
    query: Tensor, key: Paged, weight: Tensor, visible: Visible, count: int
) -> Tensor:
    lengths = key.where.lengths
    starts = torch.zeros_like(lengths)
    starts[: len(visible.starts)] = visible.starts  # a packed call has one row, and no padding
    selected: Tensor = torch.ops.tamis.lightning_indexer(
        query.flatten(0, 1),
        key.rows,
        weight.flatten(0, 1),
        actual_seq_lengths_query=key.where.ends,
        actual_seq_lengths_key=lengths,
        block_table=key.block_table,
        key_shadow=key.shadow,
        key_starts=starts,
        layout_query="TND",
        layout_key="PA_BSND",
        sparse_count=min(count, int(lengths.max())),
        sparse_mode=3,
    )[0]
    return selected.view(*query.shape[:2], -1)
