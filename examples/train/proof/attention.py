"""Attention of a layer: dense or a window, and what every attention of these models shares."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from proof.kernels import Kernels

# Every token sees as many before it: a head can find what once followed the same words.
BEFORE = 2
_BASE = 10000.0  # of rope
_SHARP = 2.0  # of weights that make scores; with 1 a match does not stand out


class Attention(nn.Module):
    """From hidden states to hidden states, and how it is trained.

    Attention that is trained in stages overrides what says so: DeepSeek's names the stages "dense",
    "warmup" and "sparse", trains only the indexer in the second, and adds its loss in the last two.

    Attributes
    ----------
    stages : tuple of str
        in the order in which they are run
    stage : str
        the one that runs
    own_loss : Tensor or None
        what the last call adds to the model's loss, as the indexer's
    blocks : Tensor [B, T, N2, k] or None
        what the last call selected, if it selects
    """

    stages: tuple[str, ...] = ("train",)

    def __init__(self, kernels: Kernels) -> None:
        super().__init__()
        self.kernels = kernels
        self.stage = self.stages[0]
        self.own_loss: Tensor | None = None
        self.blocks: Tensor | None = None

    def trained(self) -> Iterable[nn.Parameter]:
        """What the stage trains; a model trains its other parts unless `alone`."""
        yield from self.parameters()

    def alone(self) -> bool:
        """Whether the stage trains nothing but attention, by `own_loss` alone."""
        return False


class PlainAttention(Attention):
    """Causal attention to all keys, or to a window of the last ones.

    Parameters
    ----------
    kernels : Kernels
        what computes it
    width, heads, kv_heads, dim : int
        of hidden states; N, N2, D
    window : int, optional
        keys that a token sees; None: all
    """

    def __init__(
        self,
        kernels: Kernels,
        *,
        width: int,
        heads: int,
        kv_heads: int,
        dim: int,
        window: int | None = None,
    ) -> None:
        super().__init__(kernels)
        self.heads, self.kv_heads, self.window = heads, kv_heads, window
        self.q_proj = linear((1 + BEFORE) * width, heads * dim)
        self.k_proj = linear((1 + BEFORE) * width, kv_heads * dim)
        self.v_proj = linear((1 + BEFORE) * width, kv_heads * dim)
        self.o_proj = linear(heads * dim, width)
        begin_alike(self.q_proj, self.k_proj, heads, kv_heads)

    def forward(self, x: Tensor) -> Tensor:
        """Attention of [B, T, width]."""
        x = with_those_before(x)
        query = rotate_half(self.q_proj(x).unflatten(-1, (self.heads, -1)))
        key = rotate_half(self.k_proj(x).unflatten(-1, (self.kv_heads, -1)))
        value = self.v_proj(x).unflatten(-1, (self.kv_heads, -1))
        window = x.shape[1] if self.window is None else self.window
        out: Tensor = self.o_proj(self.kernels.near(query, key, value, window).flatten(2))
        return out


def linear(width: int, out: int) -> nn.Linear:
    """A matrix without a bias."""
    return nn.Linear(width, out, bias=False)


def begin_alike(query: nn.Linear, key: nn.Linear, heads: int, kv_heads: int) -> None:
    """Let keys say of the tokens before what queries say of their own: what followed is found.

    The first query head of a group and its key begin with the same weights, a token apart, and
    sharper than others, so that a match stands out among scores. Without, dense attention sat on a
    plateau for 350 steps of 4096 tokens before it looked back. `key` may have several branches of
    `kv_heads`.
    """
    dim, seen = query.out_features // heads, 1 + BEFORE
    parts = dim, seen, query.in_features // seen
    with torch.no_grad():
        query.weight.mul_(_SHARP)
        key.weight.mul_(_SHARP)
        queries = query.weight.view(kv_heads, heads // kv_heads, *parts)
        keys = key.weight.view(-1, kv_heads, *parts)
        keys[..., 1:, :] = queries[:, 0, :, :-1]


def with_those_before(x: Tensor) -> Tensor:
    """Every token's channels, then those of the tokens before it: [B, T, (1 + BEFORE) width]."""
    shifted = [functional.pad(x, (0, 0, i, 0))[:, : x.shape[1]] for i in range(1 + BEFORE)]
    return torch.cat(shifted, -1)


def rotate_half(x: Tensor) -> Tensor:
    """Rope on the first half of the channels of [B, T, N, D]; the rest match at any distance."""
    turned, still = x.chunk(2, -1)
    return torch.cat((rotate_all(turned), still), -1)


def rotate_all(x: Tensor) -> Tensor:
    """Rope on all channels of [B, T, N, D], in halves."""
    half = x.shape[-1] // 2
    position = torch.arange(x.shape[1])[:, None, None]
    angle = position * _BASE ** (-torch.arange(half) / half)
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
