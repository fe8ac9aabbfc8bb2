"""What a step makes smaller."""

from __future__ import annotations

import torch
from torch import Tensor

from proof.model import Model
from proof.needles import Batch


def objective(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """The loss of a batch in the stage of the model's attention, and that [B, T] of its tokens."""
    each = model.losses(batch.ids, batch.targets)
    attentions = model.attentions()
    own = [a.own_loss for a in attentions if a.own_loss is not None]
    alone = any(a.alone() for a in attentions)
    parts = own if alone else [each.mean(), *own]
    return torch.stack(parts).sum(), each.detach()
