"""A whole run: a control, trainings from scratch, then each kind from the dense weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from proof import checkpoint
from proof.comparison import Agreement, compare
from proof.evaluation import evaluate
from proof.kernels import TamisKernels
from proof.kinds import KINDS, convert, new_model
from proof.model import Model
from proof.needles import Batch
from proof.plan import Course, Plan
from proof.reading import Reading
from proof.report import Result
from proof.training import Row, Training

# Batches to learn from, to be evaluated on, and for the control are of seeds of their own.
_TRAINED, _CONTINUED, _KEPT = 1, 2, 3


def run(plan: Plan, reading: Reading, folder: Path) -> Result:
    """Do it all, or what is left of it: the folder has a checkpoint of every training.

    Parameters
    ----------
    plan : Plan
        what to do
    reading : Reading
        what to learn
    folder : Path
        of checkpoints

    Returns
    -------
    Result
    """
    agreements = [_compared(plan, kind, reading) for kind in ("dense", "nsa")]
    scratch = {}
    for kind in plan.scratch_kinds:
        course, _ = plan.courses(kind)
        model = new_model(plan, kind, TamisKernels())
        path = folder / f"scratch-{kind}.safetensors"
        scratch[kind] = _train(plan, model, course, reading, _TRAINED, path)
    dense = checkpoint.read_model(folder / "scratch-dense.safetensors")
    continued, reach = {}, {}
    for kind in KINDS:
        _, course = plan.courses(kind)
        model = convert(plan, kind, TamisKernels(), dense)
        path = folder / f"continued-{kind}.safetensors"
        continued[kind] = _train(plan, model, course, reading, _CONTINUED, path)
        reach[kind] = _reach(plan, model, reading, continued[kind][-1])
    return Result(plan, agreements, scratch, continued, reach)


def _train(
    plan: Plan, model: Model, course: Course, reading: Reading, part: int, path: Path
) -> list[Row]:
    needles, kept = reading.needles(_seed(plan, part)), held(plan, reading, course.lengths[-1])
    origin = f"{plan}, text {reading.digest}"
    return Training(model, course, needles, kept, path, origin).run()


def _reach(plan: Plan, model: Model, reading: Reading, last: Row) -> list[Row]:
    return [
        replace(last, length=length, score=evaluate(model, held(plan, reading, length)))
        for length in plan.reach
    ]


def held(plan: Plan, reading: Reading, length: int) -> list[Batch]:
    """What all models are evaluated on, a few sequences at a time."""
    needles = reading.kept_needles(_seed(plan, _KEPT))
    return [needles.batch(i, 2, length) for i in range(plan.held // 2)]


def _compared(plan: Plan, kind: str, reading: Reading) -> Agreement:
    found = compare(plan, kind, reading.needles(_seed(plan, _TRAINED)))
    tqdm.write(
        f"control, {kind}: losses differ by {found.loss:.1e}, cosine {found.cosine:.6f} at least"
    )
    return found


def _seed(plan: Plan, part: int) -> int:
    return 1000 * plan.seed + part
