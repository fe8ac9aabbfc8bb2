"""What tests of the training example share: a text of this tree, and a small plan."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from proof.kernels import Sizes
from proof.plan import Course, Plan, Rates
from proof.reading import Reading, read

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES = Sizes(window=4, stride=2, block=8, selected=5)
SMALL = Plan(
    vocabulary=256,
    width=16,
    layers=2,
    heads=4,
    kv_heads=2,
    dim=8,
    window=12,
    sizes=SIZES,
    scratch=Course("scratch", 4, 256, (128,), Rates(0.02, 3e-3), every=2),
    continued=Course("continued", 2, 256, (128,), Rates(0.002, 4e-4), every=1),
    control_steps=2,
    control_tokens=256,
    held=2,
)


@cache
def reading() -> Reading:
    """Documents of this tree, cut into pieces of some pages."""
    text = "\n".join(p.read_text(encoding="utf-8") for p in sorted(ROOT.glob("docs/*.md")))
    return read(SMALL.vocabulary, [text[i : i + 3000] for i in range(0, len(text), 3000)])
