"""The first steps of a training with Tamis's attention and with PyTorch's, side by side.

Both begin from the same weights and go their own ways: what differs in a step is there in all that
follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from proof.control import PlainKernels
from proof.kernels import TamisKernels
from proof.kinds import new_model
from proof.model import Model
from proof.needles import Needles
from proof.objective import objective
from proof.optimisers import Optimisers
from proof.plan import Plan


@dataclass(frozen=True)
class Agreement:
    """Of one kind of attention, the worst of all steps.

    Parameters
    ----------
    kind : str
        and its stage, where it has several
    steps : int
    loss : float
        relative difference of the losses
    cosine : float
        between the gradients of all weights
    """

    kind: str
    steps: int
    loss: float
    cosine: float


def compare(plan: Plan, kind: str, needles: Needles, stage: str | None = None) -> Agreement:
    """Train twice, `plan.control_steps` steps of the shortest length from scratch."""
    course, loss, cosine = plan.scratch, 0.0, 1.0
    models = [new_model(plan, kind, kernels) for kernels in (TamisKernels(), PlainKernels())]
    if stage is not None:
        for model in models:
            model.set_stage(stage)
    optimisers = [Optimisers(model, model.parameters(), course.rates) for model in models]
    length = course.lengths[0]
    for step in range(plan.control_steps):
        batch = needles.batch(step, plan.control_tokens // length, length)
        losses, gradients = [], []
        for model, optimiser in zip(models, optimisers, strict=True):
            mean, _ = objective(model, batch)
            mean.backward()
            losses.append(mean.item())
            gradients.append(_gradient(model))
            optimiser.step(step / course.steps, step)
        loss = max(loss, abs(losses[0] / losses[1] - 1))
        cosine = min(cosine, torch.cosine_similarity(*gradients, dim=0).item())
    name = kind if stage is None else f"{kind}, {stage}"
    return Agreement(name, plan.control_steps, loss, cosine)


def _gradient(model: Model) -> Tensor:
    """Of all weights, in one row of float64."""
    found = [p.grad.flatten().double() for p in model.parameters() if p.grad is not None]
    return torch.cat(found)
