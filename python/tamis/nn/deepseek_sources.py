"""What queries, index queries and gates of a DeepSeek layer are made of, where not by a prolog."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Places(Protocol):
    """Where T new tokens stand, and where their rows go: a `Step`, or part of one."""

    @property
    def slots(self) -> Tensor:
        """[T] of int64."""

    @property
    def sin(self) -> Tensor:
        """[T, rope_dim]."""

    @property
    def cos(self) -> Tensor:
        """[T, rope_dim]."""

    @property
    def positions(self) -> Tensor:
        """[T] of int64."""


class Sources(NamedTuple):
    """Of T new tokens.

    Parameters
    ----------
    queries : Tensor [T, ...], optional
        `query_source` of `mla_prolog`; None: it makes low-rank queries itself
    normed : Tensor [T, ...], optional
        `query_norm` of `indexer_prolog`; None: that of `mla_prolog`
    gates : Tensor [T, ...]
    """

    queries: Tensor | None
    normed: Tensor | None
    gates: Tensor


class MainQueries(NamedTuple):
    """Of T new tokens, to be attended with.

    Parameters
    ----------
    sources : Sources
    query, query_rope : Tensor [T, N, latent], [T, N, rope_dim]
    normed : Tensor [T, ...]
        what index queries are made of
    """

    sources: Sources
    query: Tensor
    query_rope: Tensor
    normed: Tensor


class IndexQueries(NamedTuple):
    """Of T new tokens, to select with.

    Parameters
    ----------
    query : Tensor [T, Ni, Di]
    weights : Tensor [T, Ni]
        of heads
    """

    query: Tensor
    weights: Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`x @ weight`, and the bias."""
    return x @ weight if bias is None else torch.addmm(bias, x, weight)


def rms_norm(x: Tensor, gamma: Tensor, epsilon: float) -> Tensor:
    """Over the last dimension, rounded once.

    One operator of torch: a compiler that sums in an order of its own would move bits.
    """
    wide = x.float()
    wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return (wide * gamma).to(x.dtype)


def _fake_rms_norm(x: Tensor, gamma: Tensor, epsilon: float) -> Tensor:
    return torch.empty_like(x)


torch.library.custom_op("tamis_nn::rms_norm", rms_norm, mutates_args=())
torch.library.register_fake("tamis_nn::rms_norm", _fake_rms_norm)


def scale_of(places: Places, scale: Tensor) -> Tensor:
    """[T, heads, 1]: `scale[0]` times the logarithm of a token's position, plus `scale[1]`."""
    logarithm = (places.positions + 1).float().log()[:, None]
    return (logarithm * scale[0] + scale[1])[..., None]
