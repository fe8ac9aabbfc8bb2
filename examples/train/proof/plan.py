"""How large the models are, and how long they learn."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from proof.kernels import Sizes
from proof.latent import LatentSizes


@dataclass(frozen=True)
class Rates:
    """Of the two optimisers, at their highest."""

    muon: float
    adam: float


@dataclass(frozen=True)
class Course:
    """One training.

    Parameters
    ----------
    name : str
        of its files and curves
    steps : int
    tokens : int
        of a step, in as many sequences as their length allows
    lengths : tuple of int
        of sequences; the next one is taken when needles are found at one
    rates : Rates
    every : int
        steps from one evaluation, and checkpoint, to the next
    """

    name: str
    steps: int
    tokens: int
    lengths: tuple[int, ...]
    rates: Rates
    every: int = 50


@dataclass(frozen=True)
class Plan:
    """All of a run. The defaults are those of the full one.

    Parameters
    ----------
    seed : int
        of weights and of what is drawn
    vocabulary, width, layers, heads, kv_heads, dim : int
        of the models
    window : int
        keys that a window has, where it is all and where it is a branch
    sizes : Sizes
        of the other branches of Native Sparse Attention
    scratch, continued : Course
        from random weights; then, with each kind of attention, from what dense attention learned
    scratch_kinds, continued_kinds : tuple of str
        what learns from random weights, dense attention among them, and what from dense ones
    latent : LatentSizes
        of DeepSeek's attention
    stages : tuple of (str, Course)
        of its training, in order
    control_steps, control_tokens : int
        with PyTorch's attention beside Tamis's, of the shortest length
    held : int
        sequences of an evaluation, of the last length
    reach : tuple of int
        lengths at which what came out is evaluated, those that it has not seen among them
    """

    seed: int = 0
    vocabulary: int = 2048
    width: int = 128
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    dim: int = 32
    window: int = 64
    sizes: Sizes = field(default_factory=Sizes)
    scratch: Course = Course("scratch", 300, 4096, (256, 512, 1024), Rates(0.02, 3e-3))
    continued: Course = Course("continued", 100, 4096, (1024,), Rates(0.002, 4e-4), every=10)
    scratch_kinds: tuple[str, ...] = ("dense", "nsa")
    continued_kinds: tuple[str, ...] = ("dense", "window", "nsa")
    latent: LatentSizes = field(default_factory=LatentSizes)
    stages: tuple[tuple[str, Course], ...] = (
        ("dense", Course("dsa, dense", 400, 4096, (256, 512, 1024, 2048), Rates(0.02, 3e-3))),
        ("warmup", Course("dsa, warm-up", 150, 4096, (2048,), Rates(0.0, 1e-2), every=25)),
        ("sparse", Course("dsa, sparse", 100, 4096, (2048,), Rates(0.002, 4e-4), every=25)),
    )
    control_steps: int = 20
    control_tokens: int = 1024
    held: int = 8
    reach: tuple[int, ...] = (1024, 2048, 4096)

    def courses(self, kind: str) -> tuple[Course, Course]:
        """Those from scratch and from dense weights, named after a kind of attention."""
        scratch = replace(self.scratch, name=f"{kind}, from scratch")
        return scratch, replace(self.continued, name=f"{kind}, continued")


FULL = Plan()

# The same in small: fewer words, shorter sequences, fewer steps.
QUICK = Plan(
    vocabulary=512,
    sizes=Sizes(selected=8),
    scratch=Course("scratch", 200, 2048, (256, 512), Rates(0.02, 3e-3)),
    continued=Course("continued", 40, 2048, (512,), Rates(0.002, 4e-4), every=10),
    scratch_kinds=("dense",),
    latent=LatentSizes(selected=64),
    stages=(
        ("dense", Course("dsa, dense", 200, 2048, (256, 512), Rates(0.02, 3e-3))),
        ("warmup", Course("dsa, warm-up", 120, 2048, (512,), Rates(0.0, 1e-2), every=20)),
        ("sparse", Course("dsa, sparse", 40, 2048, (512,), Rates(0.002, 4e-4), every=20)),
    ),
    reach=(512, 1024),
)
