"""How DeepSeek sparse attention trains: whole sequences without a cache, in three stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from tamis.nn.counts import Counts
from tamis.nn.deepseek_sources import linear, rms_norm
from tamis.nn.flavour import Flavour
from tamis.nn.rope import rotate
from tamis.nn.whole import whole

if TYPE_CHECKING:
    from tamis.nn.deepseek import DeepSeekSparseAttention

Stage: TypeAlias = Literal["dense", "warmup", "sparse"]

# What layers of other families may do otherwise here: how they turn, and an epsilon.
_TRAINS = ("rope_interleaved", "index_rope_last", "index_epsilon")


class Trained(NamedTuple):
    """What a layer gives in training.

    Parameters
    ----------
    hidden : Tensor [T, H]
        hidden states
    index_loss : Tensor of float32, optional
        divergence of the indexer's softmax from the main attention, the mean over tokens, to be
        added to the loss; None in the dense stage. Its gradient reaches the indexer alone
    """

    hidden: Tensor
    index_loss: Tensor | None


class Main(NamedTuple):
    """Queries of T tokens, and keys of S, in the latent space."""

    query: Tensor  # [T, N, latent]
    query_rope: Tensor  # [T, N, Dr]
    key: Tensor  # [S, 1, latent]
    key_rope: Tensor  # [S, 1, Dr]


class Index(NamedTuple):
    """Those of the indexer, and its weights of heads, scaled."""

    query: Tensor  # [T, Ni, Di]
    key: Tensor  # [S, 1, Di]
    weights: Tensor  # [T, Ni] of float32


def attend_training(
    layer: DeepSeekSparseAttention, x: Tensor, counts: Counts, stage: Stage
) -> Trained:
    """As `DeepSeekSparseAttention.attend_training` says."""
    require_trains(layer, stage)
    lengths = whole(counts, x=x)
    ends = torch.tensor(lengths.ends, dtype=torch.int64)
    main, index = training_prolog(layer, x, lengths.turn(layer.rope), stage)
    hidden, loss = attend_in_stage(layer, main, index, stage, ends, ends)
    return Trained(hidden, None if loss is None else loss / max(len(x), 1))


def require_trains(layer: DeepSeekSparseAttention, stage: Stage) -> None:
    """Whether a layer trains in a stage.

    Raises
    ------
    ValueError, NotImplementedError
        As `DeepSeekSparseAttention.attend_training`.
    """
    if stage not in get_args(Stage):
        raise ValueError(f"stage: expected {', '.join(get_args(Stage))}, got {stage}")
    _check(layer.flavour)


def training_prolog(
    layer: DeepSeekSparseAttention, x: Tensor, turn: tuple[Tensor, Tensor], stage: Stage
) -> tuple[Main, Index | None]:
    """Queries and keys of T tokens, and those of the indexer, where a stage has one.

    Parameters
    ----------
    layer : DeepSeekSparseAttention
    x : Tensor [T, H]
    turn : pair of Tensor [T, rope_dim]
        sine and cosine of each token's position
    stage : Stage
    """
    main, normed = _main(layer, x, turn)
    return main, None if stage == "dense" else _index(layer, x, normed, turn)


def attend_in_stage(
    layer: DeepSeekSparseAttention,
    main: Main,
    index: Index | None,
    stage: Stage,
    ends: Tensor,
    key_ends: Tensor,
) -> tuple[Tensor, Tensor | None]:
    """Hidden states [T, H] of B packed sequences, and the sum over tokens of the indexer's loss.

    Parameters
    ----------
    layer : DeepSeekSparseAttention
    main, index
        of `training_prolog`; keys may be more than queries, which are then the last tokens
    stage : Stage
    ends, key_ends : Tensor [B] of int64
        where the queries, and the keys, of each sequence end
    """
    if stage == "sparse":
        assert index is not None
        selected = _select(index, ends, key_ends, layer.topk)
        latent, loss = attend_to_selected(
            main, index, selected, ends, layer.scale_value, key_ends=key_ends
        )
    else:
        latent, loss = attend_to_all(main, index, ends, layer.scale_value, key_ends)
    values = torch.einsum("tnl,nlv->tnv", latent, layer.w_uv)
    return linear(values.flatten(1), layer.w_o, layer.bias_o), loss


def indexer_parameters(
    layer: DeepSeekSparseAttention,
) -> Iterator[tuple[str, torch.nn.Parameter]]:
    """Names and parameters of the indexer."""
    for name, parameter in layer.named_parameters():
        if name.startswith(("w_idx_", "in_")):
            yield name, parameter


def _check(flavour: Flavour) -> None:
    usual = Flavour()
    for name, value in vars(flavour).items():
        if name not in _TRAINS and value != getattr(usual, name):
            raise NotImplementedError(
                f"flavour: expected {name} {getattr(usual, name)} in training, got {value}"
            )


def _turned(x: Tensor, turn: tuple[Tensor, Tensor], interleaved: bool) -> Tensor:
    """[T, ..., D], the first channels turned; interleaved pairs become halves."""
    width = turn[0].shape[1]
    if interleaved:
        halves = x[..., :width].unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
        x = torch.cat((halves, x[..., width:]), -1)
    return rotate(x, *turn)


def _main(
    layer: DeepSeekSparseAttention, x: Tensor, turn: tuple[Tensor, Tensor]
) -> tuple[Main, Tensor]:
    """And low-rank queries [T, rank], of which index queries are made."""
    heads, nope, rank = layer.w_uk.shape
    interleaved = layer.flavour.rope_interleaved
    low = x if layer.w_dq is None else x @ layer.w_dq
    normed = low if layer.w_dq is None else rms_norm(low, layer.gamma_cq, layer.epsilon)
    queries = (normed @ layer.w_uq_qr).unflatten(1, (heads, -1))
    absorbed = torch.einsum("tnd,ndl->tnl", queries[..., :nope], layer.w_uk)
    cached = x @ layer.w_dkv_kr
    main = Main(
        absorbed,
        _turned(queries[..., nope:], turn, interleaved),
        rms_norm(cached[:, :rank], layer.gamma_ckv, layer.epsilon)[:, None],
        _turned(cached[:, None, rank:], turn, interleaved),
    )
    return main, normed


def _index(
    layer: DeepSeekSparseAttention, x: Tensor, normed: Tensor, turn: tuple[Tensor, Tensor]
) -> Index:
    # The indexer learns from its own loss alone, and the rest never from that.
    x, normed = x.detach(), normed.detach()
    assert layer.w_idx_k is not None
    assert layer.w_idx_proj is not None
    dim = layer.w_idx_k.shape[1]
    epsilon = layer.epsilon if layer.flavour.index_epsilon is None else layer.flavour.index_epsilon
    query = (normed @ layer.w_idx_qb).unflatten(1, (-1, dim))
    norm = layer.in_gamma_k.float(), layer.in_beta_k.float()
    keys = x.float() @ layer.w_idx_k.float()  # not rounded before their norm
    key = layer_norm(keys, (dim,), *norm, epsilon).to(x.dtype)[:, None]
    weights = (x.to(layer.w_idx_proj.dtype) @ layer.w_idx_proj).float()
    scale = (query.shape[1] * dim) ** -0.5
    last = layer.flavour.index_rope_last

    def turned(part: Tensor) -> Tensor:
        width = turn[0].shape[1]
        shifted = part.roll(width, -1) if last else part
        shifted = _turned(shifted, turn, layer.rope_interleaved)
        return shifted.roll(-width, -1) if last else shifted

    return Index(turned(query), turned(key), weights * scale)


def attend_to_all(
    main: Main, index: Index | None, ends: Tensor, scale: float, key_ends: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Every token attends to all before it; with an indexer, how far that is from its softmax.

    Sequences end at `ends`; their keys, where those are more, at `key_ends`.
    """
    ops = torch.ops.tamis
    key_ends = ends if key_ends is None else key_ends
    query = torch.cat((main.query, main.query_rope), -1)
    key = torch.cat((main.key, main.key_rope), -1)
    latent, maximum, total = ops.sliding_window_attention(
        query,
        key,
        main.key,
        actual_seq_lengths_query=ends,
        actual_seq_lengths_kv=key_ends,
        scale_value=scale,
        window_size=max(len(key), 1),
        layout_query="TND",
        layout_kv="TND",
    )
    if index is None:
        return latent, None
    lengths = {
        "actual_seq_lengths_query": ends,
        "actual_seq_lengths_key": key_ends,
        "layout": "TND",
    }
    with torch.no_grad():
        statistics = ops.dense_lightning_indexer_softmax_lse(*index, **lengths)
    loss = ops.dense_lightning_indexer_grad_kl_loss(
        query.detach(),
        key.detach(),
        *index,
        maximum,
        total,
        *statistics,
        scale_value=scale,
        **lengths,
    )[0]
    return latent, loss.squeeze(0)


def _select(index: Index, ends: Tensor, key_ends: Tensor, count: int) -> Tensor:
    """[T, 1, count]: what the indexer selects of each token's sequence."""
    with torch.no_grad():
        selected: Tensor = torch.ops.tamis.lightning_indexer(
            *index,
            actual_seq_lengths_query=ends,
            actual_seq_lengths_key=key_ends,
            layout_query="TND",
            layout_key="TND",
            sparse_count=count,
        )[0]
    return selected


def attend_to_selected(
    main: Main,
    index: Index,
    selected: Tensor,
    ends: Tensor,
    scale: float,
    sinks: Tensor | None = None,
    key_ends: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Every token attends to what is selected, and the indexer learns what that weighs.

    Lengths as `attend_to_all`.
    """
    ops = torch.ops.tamis
    key_ends = ends if key_ends is None else key_ends
    ropes = main.query_rope.shape[-1] > 0
    latent, maximum, total = ops.sparse_flash_attention(
        main.query,
        main.key,
        selected,
        actual_seq_lengths_query=ends,
        actual_seq_lengths_kv=key_ends,
        query_rope=main.query_rope if ropes else None,
        key_rope=main.key_rope if ropes else None,
        sinks=sinks,
        scale_value=scale,
        layout_query="TND",
        layout_kv="TND",
        return_softmax_lse=True,
    )
    loss = ops.sparse_lightning_indexer_grad_kl_loss(
        main.query.detach(),
        main.key.detach(),
        *index,
        selected,
        maximum,
        total,
        query_rope=main.query_rope.detach() if ropes else None,
        key_rope=main.key_rope.detach() if ropes else None,
        sinks=None if sinks is None else sinks.detach(),
        scale_value=scale,
        actual_seq_lengths_query=ends,
        actual_seq_lengths_key=key_ends,
        layout="TND",
    )[0]
    return latent, loss.squeeze(0)
