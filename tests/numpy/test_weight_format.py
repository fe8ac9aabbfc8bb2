"""nd_to_nz and nz_to_nd against numpy's reshape and swapaxes."""

from __future__ import annotations

import numpy as np
import pytest
from approximate import to_nz
from case_file import Real, RealName
from runner import Implementation, Runner


@pytest.mark.parametrize("shape", [(16, 16), (48, 80), (128, 32)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_converters_are_each_others_inverse(
    runner: Runner, implementation: Implementation, shape: tuple[int, int], dtype: RealName
) -> None:
    weight = Real.round(np.random.default_rng(990).standard_normal(shape), dtype)
    nz = runner.run("nd_to_nz", implementation, {"weight": weight}, {}).real("output")
    assert np.array_equal(nz.values, to_nz(weight.values))
    nd = runner.run("nz_to_nd", implementation, {"weight": nz}, {}).real("output")
    assert np.array_equal(nd.values, weight.values)
