"""One training: steps, evaluations, checkpoints, and going on where it was interrupted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from proof import checkpoint
from proof.evaluation import Score, evaluate
from proof.latent import Choice
from proof.model import Model
from proof.needles import Batch, Needles
from proof.objective import objective
from proof.optimisers import Optimisers
from proof.plan import Course

_FOUND = 1.5  # a loss of needles: longer sequences follow
_UNKNOWN = 8.0  # above what anybody loses who guesses


@dataclass(frozen=True)
class Row:
    """An evaluation: after how many steps, tokens, and seconds of processor time in steps."""

    step: int
    tokens: int
    seconds: float
    length: int
    score: Score


@dataclass
class Progress:
    """Where a training is, beside its tensors.

    Parameters
    ----------
    step : int
        steps done; the next batch has this number
    place : int
        of its length among the course's
    smooth : float
        the needles' loss of the last steps at that length
    seconds : float
        processor time of all steps
    rows : list of Row
        evaluations so far
    """

    step: int = 0
    place: int = 0
    smooth: float = _UNKNOWN
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Progress:
        """Of what `asdict` made, and JSON."""
        rows = []
        for row in found.pop("rows"):
            score = row.pop("score")
            score["selected"] = tuple(score["selected"])
            score["choices"] = tuple(Choice(**choice) for choice in score["choices"])
            rows.append(Row(**row, score=Score(**score)))
        return cls(**found, rows=rows)


class Training:
    """A model on its course.

    Parameters
    ----------
    model : Model
        learns; what the stage of its attention does not train gets no gradient
    course : Course
        how
    needles : Needles
        from what
    held : list of Batch
        what it is evaluated on
    path : Path, optional
        of its checkpoint; where there is one, the training goes on from it, to the same bits
    origin : str, optional
        what else the checkpoint must be of: plan and text
    """

    def __init__(
        self,
        model: Model,
        course: Course,
        needles: Needles,
        held: list[Batch],
        path: Path | None = None,
        origin: str = "",
    ) -> None:
        self.model, self.course, self.path = model, course, path
        self._origin = f"{course}, {origin}"
        self._needles, self._held = needles, held
        trained = set(_trained(model))
        for parameter in model.parameters():
            parameter.requires_grad_(parameter in trained)
        self.optimisers = Optimisers(model, trained, course.rates)
        self.progress = Progress()
        if path is not None and path.exists():
            header = checkpoint.read_header(path)
            if header["origin"] != self._origin:
                raise ValueError(f"{path}: expected a checkpoint of {self._origin}, got another's")
            checkpoint.load(path, model, self.optimisers)
            self.progress = Progress.from_json(header["progress"])

    def run(self, last: int | None = None) -> list[Row]:
        """To the end, or to step `last`; returns all evaluations."""
        course, progress = self.course, self.progress
        end = course.steps if last is None else last
        with tqdm(total=course.steps, initial=progress.step, desc=course.name, disable=None) as bar:
            while progress.step < end:
                if progress.step % course.every == 0:
                    self._evaluate()
                bar.set_postfix(loss=f"{self.step():.3f}", length=self.length, refresh=False)
                bar.update()
        if progress.step == course.steps and progress.rows[-1].step < course.steps:
            self._evaluate()
        return progress.rows

    @property
    def length(self) -> int:
        """Tokens of a sequence, at the next step."""
        return self.course.lengths[self.progress.place]

    def step(self) -> float:
        """One step; returns its loss."""
        course, progress = self.course, self.progress
        begin = time.process_time()
        batch = self._needles.batch(progress.step, course.tokens // self.length, self.length)
        loss, each = objective(self.model, batch)
        loss.backward()
        self.optimisers.step(progress.step / course.steps, progress.step)
        progress.seconds += time.process_time() - begin
        progress.step += 1
        progress.smooth += 0.1 * (float(each[batch.marked].mean()) - progress.smooth)
        if progress.smooth < _FOUND and progress.place + 1 < len(course.lengths):
            progress.place, progress.smooth = progress.place + 1, _UNKNOWN
        return float(loss.detach())

    def _evaluate(self) -> None:
        progress = self.progress
        if not progress.rows or progress.rows[-1].step < progress.step:
            score = evaluate(self.model, self._held)
            tokens = progress.step * self.course.tokens
            row = Row(progress.step, tokens, progress.seconds, self.length, score)
            progress.rows.append(row)
            tqdm.write(line(self.course.name, row))
        if self.path is not None:
            header = {"origin": self._origin, "progress": asdict(progress)}
            checkpoint.save(self.path, self.model, self.optimisers, header)


def line(name: str, row: Row) -> str:
    """An evaluation in words."""
    score = row.score
    text = (
        f"{name} step {row.step}: needles {score.needles:.3f}, text {score.text:.3f}, "
        f"{row.seconds:.0f} s"
    )
    if score.selected:
        shares = ", ".join(f"{share:.3f}" for share in score.selected)
        text += f"; source selected {shares} (chance {score.chance:.3f})"
    if score.choices:
        shares = ", ".join(f"{choice.mass:.3f} of {choice.best:.3f}" for choice in score.choices)
        text += f"; dense attention's mass selected {shares}"
    return text


def _trained(model: Model) -> Iterator[torch.nn.Parameter]:
    """What the stage of the model's attention trains."""
    attentions = model.attentions()
    inside = {id(p) for a in attentions for p in a.parameters()}
    if not any(a.alone() for a in attentions):
        yield from (p for p in model.parameters() if id(p) not in inside)
    for attention in attentions:
        yield from attention.trained()
