"""What tests of the training example share: a text, and a small plan."""

from __future__ import annotations

from functools import cache

import numpy as np
from proof.kernels import Sizes
from proof.latent import LatentSizes
from proof.plan import Course, Plan, Rates
from proof.reading import Reading, read

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
    reach=(128, 256),
    latent=LatentSizes(latent=8, rope=4, index_heads=2, index_dim=8, selected=16),
    stages=(
        ("dense", Course("dense", 2, 256, (128,), Rates(0.02, 3e-3))),
        ("warmup", Course("warm-up", 2, 256, (128,), Rates(0.0, 2e-3), every=1)),
        ("sparse", Course("sparse", 2, 256, (128,), Rates(0.002, 4e-4), every=1)),
    ),
)


@cache
def reading() -> Reading:
    """Sentences of made-up words, frequent and rare ones."""
    random = np.random.default_rng(0)
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = ["".join(random.choice(letters, random.integers(2, 9))) for _ in range(400)]
    drawn = np.minimum(random.zipf(1.3, (64, 60, 8)) - 1, len(words) - 1)
    return read(
        SMALL.vocabulary,
        ["\n".join(" ".join(words[i] for i in line) for line in page) for page in drawn],
    )
