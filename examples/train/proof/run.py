"""A whole run: controls, trainings from scratch, from the dense weights, and in stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from proof import checkpoint
from proof.comparison import Agreement, compare
from proof.evaluation import evaluate
from proof.kernels import TamisKernels
from proof.kinds import convert, new_model
from proof.latent import LatentAttention, crossing
from proof.model import Model
from proof.needles import Batch
from proof.plan import Course, Plan
from proof.reading import Reading
from proof.report import Result
from proof.stages import Staged, train_stages
from proof.training import Row, Training

# Batches to learn from, to be evaluated on, and for the control are of seeds of their own.
_TRAINED, _CONTINUED, _KEPT, _STAGED = 1, 2, 3, 4


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
    agreements += [_compared(plan, "dsa", reading, stage) for stage, _ in plan.stages]
    scratch = {}
    for kind in plan.scratch_kinds:
        course, _ = plan.courses(kind)
        model = new_model(plan, kind, TamisKernels())
        path = folder / f"scratch-{kind}.safetensors"
        scratch[kind] = _train(plan, model, course, reading, _TRAINED, path)
    dense = checkpoint.read_model(folder / "scratch-dense.safetensors")
    continued, reach = {}, {}
    for kind in plan.continued_kinds:
        _, course = plan.courses(kind)
        model = convert(plan, kind, TamisKernels(), dense)
        path = folder / f"continued-{kind}.safetensors"
        continued[kind] = _train(plan, model, course, reading, _CONTINUED, path)
        reach[kind] = _reach(plan, model, reading, continued[kind][-1])
    staged = _staged(plan, reading, folder)
    return Result(plan, agreements, scratch, continued, reach, staged)


def _train(
    plan: Plan, model: Model, course: Course, reading: Reading, part: int, path: Path
) -> list[Row]:
    needles, kept = reading.needles(_seed(plan, part)), held(plan, reading, course.lengths[-1])
    return Training(model, course, needles, kept, path, _origin(plan, reading)).run()


def _origin(plan: Plan, reading: Reading) -> str:
    return f"{plan}, text {reading.digest}"


def _staged(plan: Plan, reading: Reading, folder: Path) -> Staged:
    """DeepSeek's attention: dense, its indexer alone, then both."""
    model, needles = new_model(plan, "dsa", TamisKernels()), reading.needles(_seed(plan, _STAGED))
    kept = held(plan, reading, plan.stages[-1][1].lengths[-1])
    rows = train_stages(model, dict(plan.stages), needles, kept, folder, _origin(plan, reading))
    # After the last stage all weights require a gradient.
    loss = model.losses(kept[0].ids, kept[0].targets).mean()
    layers = [a for a in model.attentions() if isinstance(a, LatentAttention)]
    own = [a.own_loss for a in layers if a.own_loss is not None]
    cross = crossing(layers, torch.stack(own).sum(), loss)
    model.set_stage("dense")
    return Staged(rows, evaluate(model, kept), cross)


def _reach(plan: Plan, model: Model, reading: Reading, last: Row) -> list[Row]:
    return [
        replace(last, length=length, score=evaluate(model, held(plan, reading, length)))
        for length in plan.reach
    ]


def held(plan: Plan, reading: Reading, length: int) -> list[Batch]:
    """What all models are evaluated on, a few sequences at a time."""
    needles = reading.kept_needles(_seed(plan, _KEPT))
    return [needles.batch(i, 2, length) for i in range(plan.held // 2)]


def _compared(plan: Plan, kind: str, reading: Reading, stage: str | None = None) -> Agreement:
    found = compare(plan, kind, reading.needles(_seed(plan, _TRAINED)), stage)
    agree = f"losses differ by {found.loss:.1e}, cosine {found.cosine:.6f} at least"
    tqdm.write(f"control, {found.kind}: {agree}")
    return found


def _seed(plan: Plan, part: int) -> int:
    return 1000 * plan.seed + part
