"""What a model has learned: of needles, of text, and where its attention looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from proof.latent import Choice, LatentAttention
from proof.model import Model
from proof.native import NativeAttention
from proof.needles import Batch


@dataclass(frozen=True)
class Score:
    """Of held-out sequences.

    Parameters
    ----------
    needles : float
        mean loss of marked tokens; the logarithm of the vocabulary's size where none is found
    text : float
        median loss of the others; a mean would count the needles' first occurrences, which nobody
        can predict
    selected : tuple of float
        for each layer that selects: how often the block with a marked token's source is selected
    chance : float
        the same if blocks were drawn, beside those that are always selected; 0 where none selects
    choices : tuple of Choice
        for each layer with an indexer, past the dense stage
    """

    needles: float
    text: float
    selected: tuple[float, ...] = ()
    chance: float = 0.0
    choices: tuple[Choice, ...] = ()


def evaluate(model: Model, batches: Iterable[Batch]) -> Score:
    """The score of a model on batches of one length."""
    needles, text, selected, chance, choices = [], [], [], [], []
    was = model.training
    model.eval()
    for batch in batches:
        with torch.no_grad():
            loss = model.losses(batch.ids, batch.targets)
        needles.append(loss[batch.marked])
        text.append(loss[~batch.marked])
        layers = [a for a in model.attentions() if isinstance(a, NativeAttention)]
        selected.append([_found(layer, batch) for layer in layers])
        chance += [_chance(layer, batch) for layer in layers[:1]]
        indexed = (a for a in model.attentions() if isinstance(a, LatentAttention))
        choices.append([layer.choice for layer in indexed if layer.choice is not None])
    model.train(was)
    return Score(
        needles=torch.cat(needles).mean().item(),
        text=torch.cat(text).median().item(),
        selected=tuple(sum(layer) / len(layer) for layer in zip(*selected, strict=True)),
        chance=sum(chance) / len(chance) if chance else 0.0,
        choices=tuple(_mean_choice(layer) for layer in zip(*choices, strict=True)),
    )


def _found(layer: NativeAttention, batch: Batch) -> float:
    """Share of marked tokens and kv heads whose list has the source's block."""
    blocks = layer.blocks
    assert blocks is not None
    source = (batch.sources // layer.sizes.block)[..., None, None]
    return _mean((blocks == source).any(-1)[batch.marked])


def _chance(layer: NativeAttention, batch: Batch) -> float:
    """The same of a list with the first, the previous and the own block, and others at random."""
    size, count = layer.sizes.block, layer.sizes.selected
    own = (torch.arange(batch.ids.shape[1]) // size).expand_as(batch.sources)
    source = batch.sources // size
    always = (source == 0) | (source >= own - 1)
    drawn = ((count - 3) / (own - 2).clamp(min=1)).clamp(max=1.0)
    return _mean(torch.where(always, 1.0, drawn)[batch.marked])


def _mean_choice(found: Sequence[Choice]) -> Choice:
    parts = zip(*map(astuple, found), strict=True)
    return Choice(*(sum(part) / len(found) for part in parts))


def _mean(values: Tensor) -> float:
    return float(values.double().mean())
