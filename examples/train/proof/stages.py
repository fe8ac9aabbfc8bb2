"""A training in stages: each begins with the weights of the one before, and trains its own part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proof.evaluation import Score
from proof.model import Model
from proof.needles import Batch, Needles
from proof.plan import Course
from proof.training import Row, Training


@dataclass(frozen=True)
class Staged:
    """What came of a training with an indexer.

    Parameters
    ----------
    rows : dict
        evaluations, by stage
    dense : Score
        of the model at the end, where it attends to all keys
    crossing : int
        weights of attention that got a gradient of a loss that is not theirs
    """

    rows: dict[str, list[Row]]
    dense: Score
    crossing: int


def train_stages(
    model: Model,
    courses: Mapping[str, Course],
    needles: Needles,
    held: list[Batch],
    folder: Path,
    origin: str = "",
) -> dict[str, list[Row]]:
    """Run a course for every stage of the model's attention.

    Parameters
    ----------
    model : Model
        with attention that has these stages
    courses : mapping of str to Course
        by stage, in the order of `Attention.stages`
    needles, held, origin
        as `Training` takes them
    folder : Path
        of a checkpoint per stage; those that are done are not done again

    Returns
    -------
    dict
        evaluations, by stage
    """
    rows = {}
    for stage, course in courses.items():
        model.set_stage(stage)
        path = folder / f"{stage}.safetensors"
        rows[stage] = Training(model, course, needles, held, path, origin).run()
    return rows
