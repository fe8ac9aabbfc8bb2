"""What lets peers run on a CPU, and every way in which Tamis can run beside them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

os.environ["TRITON_INTERPRET"] = "1"  # before triton is imported: kernels run without a GPU

import triton
from harness.rounds import levels


class NoDevice:
    """What Triton's autotuner asks of a GPU's driver: that times kernels, which takes long here."""

    def get_benchmarker(self) -> Callable[..., list[float]]:
        """All variants of a kernel take equally long: the first is taken, without a run."""
        return lambda call, quantiles: [0.0 for _ in quantiles]


triton.runtime.driver.set_active(NoDevice())


@pytest.fixture(params=["reference", *levels()])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments of a call: the float64 reference, and every level."""
    if request.param == "reference":
        return {"implementation": "reference"}
    return {"implementation": "cpu", "level": request.param}
