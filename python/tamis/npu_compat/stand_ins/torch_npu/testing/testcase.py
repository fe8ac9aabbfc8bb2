"""`TestCase` and `run_tests`, as the documents' example programs use them."""

from __future__ import annotations

import random
import unittest
from typing import Any

import numpy as np
import torch

# Relative and absolute error per dtype, where a test names none: the device's.
_TOLERANCES = {np.dtype(np.float16): 1e-3, np.dtype(np.float32): 1e-4}


class TestCase(unittest.TestCase):
    """A test case with the device's seed and its comparison."""

    def setUp(self) -> None:
        """Seeds the generators."""
        torch.manual_seed(666)
        random.seed(666)

    def assertRtolEqual(  # noqa: N802  (the device's name)
        self, x: Any, y: Any, prec: float = 1e-4, prec16: float = 1e-3
    ) -> None:
        """Fails unless every element of x and y is as near as the tolerance of their type."""
        first, second = (
            np.asarray(v.numpy() if isinstance(v, torch.Tensor) else v) for v in (x, y)
        )
        if first.shape != second.shape:
            self.fail(f"shapes differ: {first.shape} and {second.shape}")
        if first.dtype != second.dtype:
            self.fail(f"dtypes differ: {first.dtype} and {second.dtype}")
        if first.dtype.kind != "f":
            np.testing.assert_array_equal(first, second)
            return
        tolerance = prec16 if first.dtype == np.float16 else prec
        np.testing.assert_allclose(
            first.astype(np.float64), second.astype(np.float64), rtol=tolerance, atol=tolerance
        )


def run_tests() -> None:
    """Runs the tests of the script."""
    unittest.main()
