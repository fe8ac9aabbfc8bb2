"""A whole run: a control, dense attention from scratch, then each kind from its weights."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from proof import checkpoint
from proof.comparison import Agreement, compare
from proof.kernels import TamisKernels
from proof.kinds import KINDS, convert, new_model
from proof.needles import Batch
from proof.plan import Plan
from proof.reading import Reading
from proof.report import Result
from proof.training import Training

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
    needles = reading.needles(_seed(plan, _TRAINED))
    agreements = [_compared(plan, kind, reading) for kind in ("dense", "nsa")]
    model = new_model(plan, "dense", TamisKernels())
    path = folder / "dense.safetensors"
    length = plan.dense.lengths[-1]
    kept, origin = held(plan, reading, length), f"{plan}, text {reading.digest}"
    training = Training(model, plan.dense, needles, kept, path, origin)
    scratch = training.run()
    dense = checkpoint.read_model(path)
    needles = reading.needles(_seed(plan, _CONTINUED))
    continued = {}
    for kind in KINDS:
        course = plan.continued_as(f"{kind}, continued")
        training = Training(
            convert(plan, kind, TamisKernels(), dense),
            course,
            needles,
            held(plan, reading, course.lengths[-1]),
            folder / f"continued-{kind}.safetensors",
            origin,
        )
        continued[kind] = training.run()
    return Result(plan, agreements, scratch, continued)


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
