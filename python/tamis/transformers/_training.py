"""How models train: their attention by autograd, their indexers by losses of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple, cast, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tamis.nn.training import Index, Main, Stage, attend_to_all, attend_to_selected
from tamis.transformers import _indexer
from tamis.transformers._indexer import Indexer
from tamis.transformers._masks import Visible
from tamis.transformers._paged import Paged
from tamis.transformers._refuse import refuse

_STAGE = "tamis_stage"  # of a layer's attention and of its indexer
_MADE = "tamis_index"  # of what an indexer has selected: layers that use it learn with it


class _Made(NamedTuple):
    """What the indexer of a layer has made of a batch, [B, S, ...]."""

    layer: int
    parts: Index


# Of attention modules: whose indexer the loss of their last call in training is for, and the loss.
_losses: WeakKeyDictionary[nn.Module, tuple[int, Tensor]] = WeakKeyDictionary()


def training(model: nn.Module, stage: Stage | None) -> None:
    """Let a model train with `attn_implementation="tamis"`.

    It counts in `model.train()`. Attention has gradients by autograd. Each indexer has a loss of
    its own, which `indexer_losses` hands over: an indexer sees hidden states detached, so that the
    loss of the model never reaches it, nor its loss anything else.

    Parameters
    ----------
    model : PreTrainedModel
        of a family with an indexer
    stage : {"dense", "warmup", "sparse"} or None
        What layers attend to: all tokens, without losses of indexers; all tokens, and indexers
        learn what these weigh; what indexers select, and these learn what that weighs. None: no
        training, as at first.

    Raises
    ------
    ValueError
        another stage; a model without such layers
    """
    if stage is not None and stage not in get_args(Stage):
        raise ValueError(f"stage: expected {', '.join(get_args(Stage))} or None, got {stage}")
    for attention in _selecting(model):
        setattr(attention, _STAGE, stage)
        if attention.indexer is not None:
            setattr(attention.indexer, _STAGE, stage)


def indexer_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and parameters of all indexers: what the warm-up trains."""
    indexers = {attention.indexer for attention in _selecting(model)} - {None}
    for name, module in model.named_modules():
        if module in indexers:
            yield from module.named_parameters(prefix=name)


def indexer_losses(model: nn.Module) -> dict[int, Tensor]:
    """Losses of the indexers in the model's last call: to be added to the loss of the model.

    Each is the divergence of the indexer's softmax from the attention of its layer, the mean of its
    heads, per token that is no padding. An indexer whose selection other layers use has the mean
    over all of them. Losses are handed over once.

    Parameters
    ----------
    model : PreTrainedModel
        after a call in training: see `training`

    Returns
    -------
    dict of int to Tensor
        by the index of the indexer's layer; empty in the stage "dense"

    Raises
    ------
    RuntimeError
        there was no such call since, or one whose losses have no gradients
    """
    attentions = _selecting(model)
    found: dict[int, list[Tensor]] = {}
    for attention in attentions:
        if attention in _losses:
            layer, loss = _losses.pop(attention)
            found.setdefault(layer, []).append(loss)
    stage = getattr(attentions[0], _STAGE, None)
    if not found and stage != "dense":
        got = "no stage" if stage is None else "none"
        raise RuntimeError(f"indexer_losses: expected a call of the model in training, got {got}")
    learning = torch.is_grad_enabled() and any(
        p.requires_grad for _, p in indexer_parameters(model)
    )
    if learning and not all(loss.requires_grad for losses in found.values() for loss in losses):
        raise RuntimeError(
            "indexer_losses: expected a call with gradients (checkpoints with use_reentrant=False),"
            " got one without"
        )
    return {layer: torch.stack(losses).mean() for layer, losses in sorted(found.items())}


def stage_of(module: nn.Module) -> Stage | None:
    """How a layer's attention, or its indexer, trains in this call; None: not at all."""
    return getattr(module, _STAGE, None) if module.training else None


def select(
    stage: Stage, how: Indexer, module: ModuleType, indexer: Any, call: Mapping[str, Any]
) -> Tensor:
    """What `forward` of an indexer gives in training: [B, S, K], with K 0 where all is attended."""
    visible = Visible.unpack(call["attention_mask"])
    _require_whole(visible)
    hidden = call["hidden_states"]
    selected: Tensor = hidden.new_empty((*hidden.shape[:2], 0), dtype=torch.int32)
    if stage == "dense":
        return selected
    call = {name: _detached(value) for name, value in call.items()}
    query, key = how.inputs(module, indexer, call)
    weight = _indexer.weights(indexer, call["hidden_states"])
    if call.get("cache") is not None:
        call["cache"].update_indexer(key.detach(), indexer.layer_idx)
    if stage == "sparse":
        with torch.no_grad():
            selected = _indexer.select(query, key, weight, visible, indexer.index_topk)
    # Every family has these factors.
    weight = weight * (indexer.softmax_scale * indexer.n_heads**-0.5)
    setattr(selected, _MADE, _Made(indexer.layer_idx, Index(query, key.unsqueeze(2), weight)))
    return selected


def attend(
    stage: Stage,
    attention: Any,
    query: Tensor,
    key: Tensor | Paged,
    value: Tensor | Paged,
    visible: Visible,
    scaling: float,
    selected: Tensor,
    sinks: Tensor | None,
) -> Tensor:
    """What a layer's attention gives in training: [B, S, heads, Dv] of queries [B, S, heads, D].

    Padding gives zeros.
    """
    _require_whole(visible)
    if isinstance(key, Paged):
        refuse("cache", "none in training, or a new dynamic one", "a tamis.transformers.Cache")
    if key.shape[2] != query.shape[1]:
        got = f"one of {key.shape[2]} rows for {query.shape[1]} tokens"
        refuse("cache", "none in training, or a new dynamic one", got)
    if sinks is not None and stage != "sparse":
        refuse("stage", '"sparse" for a family with sinks', f'"{stage}"')
    at = torch.arange(query.shape[1])
    kept = (at >= visible.starts[:, None]) & (at < visible.ends[:, None])
    ends = kept.sum(dim=-1).cumsum(dim=0)
    to_latent, to_value = _up_projections(attention, query)
    main = _main(query[kept], key[:, 0][kept], cast(Tensor, value)[:, 0][kept], to_latent)
    made = None if stage == "dense" else _made(selected)
    index = None if made is None else Index(*(part[kept] for part in made.parts))
    if stage == "sparse":
        assert index is not None
        own = (selected - visible.starts[:, None, None])[kept]
        own = own.where(selected[kept] >= 0, -1).unsqueeze(1).int()
        latent, loss = attend_to_selected(main, index, own, ends, scaling, sinks)
    else:
        latent, loss = attend_to_all(main, index, ends, scaling)
    if made is not None and loss is not None:
        _keep(attention, made.layer, loss / max(len(main.query), 1))
    out = query.new_zeros(*query.shape[:-1], to_value.shape[-1])
    out[kept] = torch.einsum("tnl,nlv->tnv", latent, to_value)
    return out


def _selecting(model: nn.Module) -> list[Any]:
    """The attention of all layers that have an indexer or use another's."""
    from tamis.transformers._families import FAMILIES, known, selects

    found = [module for module in model.modules() if type(module) in known and selects(module)]
    if not found:
        refuse("model", f"one of {', '.join(FAMILIES)} as known here", type(model).__name__)
    return found


def _require_whole(visible: Visible) -> None:
    if bool(visible.positions.any()):
        tokens = int(visible.positions.max())
        refuse("cache", "none in training, or a new dynamic one", f"one of {tokens} tokens")


def _detached(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_detached(part) for part in value)
    return value.detach() if isinstance(value, Tensor) else value


def _up_projections(attention: Any, query: Tensor) -> tuple[Tensor, Tensor]:
    """Those of keys and of values: [heads, D, L] and [heads, L, Dv]."""
    heads = query.shape[2]
    weight = attention.kv_b_proj.weight
    weight = weight.view(heads, -1, weight.shape[-1])
    dim = attention.qk_nope_head_dim
    return weight[:, :dim], weight[:, dim:].transpose(1, 2)


def _main(query: Tensor, key: Tensor, key_rope: Tensor, to_latent: Tensor) -> Main:
    """Of tokens that count."""
    plain, rotated = query.split([to_latent.shape[1], key_rope.shape[-1]], dim=-1)
    absorbed = torch.einsum("tnd,ndl->tnl", plain, to_latent)
    return Main(absorbed, rotated, key.unsqueeze(1), key_rope.unsqueeze(1))


def _made(selected: Tensor) -> _Made:
    made = getattr(selected, _MADE, None)
    if made is None:
        refuse(
            "indices",
            "what an indexer of this call has selected (checkpoints with use_reentrant=False)",
            "others",
        )
    return cast(_Made, made)


def _keep(attention: nn.Module, layer: int, loss: Tensor) -> None:
    """Unless a backward recomputes the call, whose losses are handed over already."""
    if torch._C._current_graph_task_id() == -1:
        _losses[attention] = (layer, loss)
