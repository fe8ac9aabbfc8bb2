"""DeepSeek's sparse attention: latent keys, and an indexer that selects among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from proof.attention import (
    BEFORE,
    Attention,
    begin_alike,
    linear,
    rotate_all,
    rotate_half,
    with_those_before,
)
from proof.kernels import Index, Kernels


@dataclass(frozen=True)
class LatentSizes:
    """Of latent attention and of its indexer.

    Parameters
    ----------
    latent, rope : int
        channels of a key that are its value too, and those that turn with the position
    index_heads, index_dim : int
        Ni, Di
    selected : int
        keys that a token selects
    """

    latent: int = 64
    rope: int = 16
    index_heads: int = 4
    index_dim: int = 64
    selected: int = 128


@dataclass(frozen=True)
class Choice:
    """What a layer's indexer chooses, by the attention that all keys would get.

    Means over heads and over those tokens that have twice as many keys as they select, or more.

    Parameters
    ----------
    mass : float
        share of dense attention that goes to the keys selected
    best, recent : float
        the same of the keys with most of it, and of the last ones: as many keys
    divergence : float
        the indexer's loss
    """

    mass: float
    best: float
    recent: float
    divergence: float


class LatentAttention(Attention):
    """Attention to one latent key for all heads, trained in three stages.

    "dense" trains all but the indexer; "warmup" trains the indexer alone, to say what dense
    attention weighs; "sparse" attends to what the indexer selects, and trains both, each by its own
    loss. The indexer reads what no gradient comes back from. In evaluation a model that is past
    "dense" attends to what its indexer selects.

    As `tamis.nn.DeepSeekSparseAttention.attend_training`, written out on kernels that can be
    exchanged.

    Parameters
    ----------
    kernels : Kernels
        what computes it
    width, heads : int
        of hidden states; N
    sizes : LatentSizes
        of keys and of the indexer

    Attributes
    ----------
    choice : Choice or None
        of the last evaluation
    """

    stages = "dense", "warmup", "sparse"

    def __init__(self, kernels: Kernels, *, width: int, heads: int, sizes: LatentSizes) -> None:
        super().__init__(kernels)
        self.heads, self.sizes = heads, sizes
        seen, dim = (1 + BEFORE) * width, sizes.latent + sizes.rope
        self.q_proj, self.kv_proj = linear(seen, heads * dim), linear(seen, dim)
        self.norm = nn.RMSNorm(sizes.latent)
        self.o_proj = linear(heads * sizes.latent, width)
        begin_alike(self.q_proj, self.kv_proj, heads, 1)
        # Not named as the matrices that Muon trains: AdamW learns an indexer within fewer steps.
        self.index_query = linear(seen, sizes.index_heads * sizes.index_dim)
        self.index_key = linear(seen, sizes.index_dim)
        self.index_norm = nn.LayerNorm(sizes.index_dim)
        self.index_weights = linear(width, sizes.index_heads)
        self.choice: Choice | None = None

    def indexer(self) -> Iterator[nn.Parameter]:
        """What the indexer's loss trains."""
        for part in (self.index_query, self.index_key, self.index_norm, self.index_weights):
            yield from part.parameters()

    def trained(self) -> Iterable[nn.Parameter]:
        """What the stage trains."""
        index = {id(p) for p in self.indexer()}
        for parameter in self.parameters():
            if self.stage == "sparse" or (id(parameter) in index) == (self.stage == "warmup"):
                yield parameter

    def alone(self) -> bool:
        """Whether the stage trains nothing but indexers."""
        return self.stage == "warmup"

    def forward(self, x: Tensor) -> Tensor:
        """Attention of [B, T, width]."""
        seen = with_those_before(x)
        query, key = self._main(seen)
        rope = self.sizes.rope
        self.own_loss = self.choice = None
        if self.stage == "dense":
            out = self.kernels.near(query, key, key[..., :-rope], x.shape[1])
        elif self.stage == "warmup" and self.training:
            index = self._index(x.detach(), seen.detach())
            out, self.own_loss = self.kernels.indexed(query, key, rope, index)
        else:
            index = self._index(x.detach(), seen.detach())
            out, self.own_loss, keys = self.kernels.listed(
                query, key, rope, index, self.sizes.selected
            )
            if not self.training:
                self.choice = choice(query, key, keys, float(self.own_loss))
        hidden: Tensor = self.o_proj(out.flatten(2))
        return hidden

    def _main(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [B, T, N, D] and keys [B, T, 1, D]; the last channels turn."""
        parts = self.sizes.latent, self.sizes.rope
        query = self.q_proj(seen).unflatten(-1, (self.heads, -1))
        still, turned = query.split(parts, -1)
        query = torch.cat((still, rotate_all(turned)), -1)
        latent, turned = self.kv_proj(seen)[:, :, None].split(parts, -1)
        return query, torch.cat((self.norm(latent), rotate_all(turned)), -1)

    def _index(self, x: Tensor, seen: Tensor) -> Index:
        sizes = self.sizes
        query = self.index_query(seen).unflatten(-1, (sizes.index_heads, -1))
        key = self.index_norm(self.index_key(seen))[:, :, None]
        scale = (sizes.index_heads * sizes.index_dim) ** -0.5
        return Index(rotate_half(query), rotate_half(key), self.index_weights(x) * scale)


def choice(query: Tensor, key: Tensor, keys: Tensor, divergence: float) -> Choice:
    """Dense attention's mass in lists of keys, from the formula: T x T memory, to look at only."""
    length, count = query.shape[1], keys.shape[-1]
    far = torch.ones(length, length, dtype=torch.bool)
    scores = torch.einsum("btnd,bsd->bnts", query, key[:, :, 0]) * query.shape[-1] ** -0.5
    share = scores.masked_fill(far.triu(1), -torch.inf).softmax(-1).mean(1)
    mass = share.gather(-1, keys.long().clamp(min=0)).masked_fill(keys < 0, 0.0)
    best = share.topk(min(count, length)).values
    recent = share.masked_fill(far.tril(-count), 0.0)
    late = slice(2 * count - 1, None)

    def mean(part: Tensor) -> float:
        return float(part.sum(-1)[:, late].double().mean())

    return Choice(mean(mass), mean(best), mean(recent), divergence)


def crossing(attentions: Iterable[LatentAttention], own: Tensor, others: Tensor) -> int:
    """How many weights get a gradient from a loss that is not theirs; all require one.

    Parameters
    ----------
    attentions : iterable of LatentAttention
        of a model
    own, others : Tensor
        the indexers' loss and the model's, of one forward in the sparse stage

    Returns
    -------
    int
        weights of indexers with a gradient of `others`, and others of attention with one of `own`
    """
    index = [p for a in attentions for p in a.indexer()]
    inside = {id(p) for p in index}
    rest = [p for a in attentions for p in a.parameters() if id(p) not in inside]
    found = torch.autograd.grad(others, index, retain_graph=True, allow_unused=True)
    found += torch.autograd.grad(own, rest, retain_graph=True, allow_unused=True)
    return sum(gradient is not None for gradient in found)
