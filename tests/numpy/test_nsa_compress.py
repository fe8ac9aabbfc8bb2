"""nsa_compress against its formula, its hand examples and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from case_file import Real, RealName
from formulation import compress, window_count
from precision import assert_windows
from runner import Implementation, Runner

DTYPES: list[RealName] = ["float16", "bfloat16", "float32"]


def run(
    runner: Runner,
    implementation: Implementation,
    tokens: Real,
    weight: Real,
    lengths: list[int],
    stride: int,
    *options: str,
) -> Real:
    """The output of one call."""
    attributes = {
        "act_seq_len": np.cumsum(lengths).tolist(),
        "compress_block_size": weight.values.shape[0],
        "compress_stride": stride,
    }
    tensors = {"input": tokens, "weight": weight}
    outputs = runner.run("nsa_compress", implementation, tensors, attributes, *options)
    return outputs.real("output")


def random_call(
    seed: int, dtype: RealName, lengths: list[int], heads: int, dim: int, block: int
) -> tuple[Real, Real]:
    rng = np.random.default_rng(seed)
    tokens = Real.round(rng.standard_normal((sum(lengths), heads, dim)), dtype)
    return tokens, Real.round(rng.standard_normal((block, heads)) / block, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(8))
def test_equals_the_weighted_window_sums_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, dtype: RealName
) -> None:
    rng = np.random.default_rng(100 + seed)
    block = int(rng.integers(1, 70))
    stride = int(rng.integers(1, block + 1))
    lengths = [int(n) for n in rng.integers(0, 4 * block, rng.integers(1, 7))]
    heads, dim = int(rng.integers(1, 9)), int(rng.choice([1, 7, 16, 18, 65, 128, 192]))
    tokens, weight = random_call(seed, dtype, lengths, heads, dim, block)
    output = run(runner, implementation, tokens, weight, lengths, stride)
    sums, magnitudes = compress(tokens.values, weight.values, lengths, stride)
    assert output.dtype == dtype
    assert_windows(output, sums, magnitudes, block, implementation.family)


def test_48_random_lengths_below_100_as_the_device_is_tested(
    runner: Runner, implementation: Implementation
) -> None:
    lengths = [int(n) for n in np.random.default_rng(48).integers(0, 100, 48)]
    tokens, weight = random_call(48, "float16", lengths, heads=4, dim=128, block=16)
    output = run(runner, implementation, tokens, weight, lengths, 16)
    sums, magnitudes = compress(tokens.values, weight.values, lengths, 16)
    assert_windows(output, sums, magnitudes, 16, implementation.family)


def test_lengths_31_32_0_100_give_1_and_5_windows_packed(
    runner: Runner, implementation: Implementation
) -> None:
    lengths = [31, 32, 0, 100]
    assert [window_count(n, 32, 16) for n in lengths] == [0, 1, 0, 5]
    tokens, weight = random_call(1, "bfloat16", lengths, heads=2, dim=16, block=32)
    output = run(runner, implementation, tokens, weight, lengths, 16)
    assert output.values.shape == (6, 2, 16)
    first = (weight.values[:, :, None] * tokens.values[31:63]).sum(axis=0)
    last = (weight.values[:, :, None] * tokens.values[63 + 4 * 16 : 63 + 4 * 16 + 32]).sum(axis=0)
    assert np.allclose(output.values[0], first, rtol=2.0**-8, atol=2.0**-10)
    assert np.allclose(output.values[5], last, rtol=2.0**-8, atol=2.0**-10)


@pytest.mark.parametrize(("length", "windows"), [(65536, 4095), (64, 3), (80, 4), (31, 0)])
def test_window_counts_of_the_specification(
    runner: Runner, implementation: Implementation, length: int, windows: int
) -> None:
    tokens, weight = random_call(2, "float16", [length], heads=1, dim=1, block=32)
    output = run(runner, implementation, tokens, weight, [length], 16)
    assert output.values.shape == (windows, 1, 1)


def test_ones_times_ones_is_the_window_length(
    runner: Runner, implementation: Implementation
) -> None:
    tokens = Real.round(np.ones((64, 4, 32)), "float16")
    weight = Real.round(np.ones((32, 4)), "float16")
    output = run(runner, implementation, tokens, weight, [64], 32)
    assert output.values.shape == (2, 4, 32)
    assert np.all(output.values == 32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_hot_weight_copies_tokens_at_the_stride(
    runner: Runner, implementation: Implementation, dtype: RealName
) -> None:
    lengths, block, stride, hot = [50, 77], 32, 16, 5
    tokens, _ = random_call(3, dtype, lengths, heads=3, dim=40, block=block)
    weight = np.zeros((block, 3))
    weight[hot] = 1
    output = run(runner, implementation, tokens, Real.round(weight, dtype), lengths, stride)
    copies = [0 + hot, 16 + hot, 50 + hot, 66 + hot]
    assert np.array_equal(output.values[:4], tokens.values[copies])


def test_doubling_input_or_weight_doubles_the_output(
    runner: Runner, implementation: Implementation
) -> None:
    lengths = [130]
    tokens, weight = random_call(4, "bfloat16", lengths, heads=2, dim=20, block=32)
    once = run(runner, implementation, tokens, weight, lengths, 16)
    for doubled in (
        (Real(2 * tokens.values, tokens.dtype), weight),
        (tokens, Real(2 * weight.values, weight.dtype)),
    ):
        output = run(runner, implementation, *doubled, lengths, 16)
        assert np.array_equal(output.values, 2 * once.values)


def test_output_of_a_sum_of_inputs_is_the_sum_of_outputs(
    runner: Runner, implementation: Implementation
) -> None:
    # Small integers: every sum is exact, so linearity holds exactly.
    rng = np.random.default_rng(5)
    left, right = rng.integers(-4, 5, (2, 90, 2, 17)).astype(np.float64)
    weight = Real.round(rng.integers(-2, 3, (32, 2)), "float16")

    def output(tokens: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Real:
        return run(runner, implementation, Real.round(tokens, "float16"), weight, [90], 16)

    both = output(left + right).values
    assert np.array_equal(both, output(left).values + output(right).values)


def test_permuting_sequences_permutes_their_windows(
    runner: Runner, implementation: Implementation
) -> None:
    lengths = [40, 100, 33]
    tokens, weight = random_call(6, "float16", lengths, heads=2, dim=24, block=32)
    output = run(runner, implementation, tokens, weight, lengths, 16).values
    slabs = np.split(tokens.values, [40, 140])
    swapped = Real(np.concatenate([slabs[2], slabs[0], slabs[1]]), "float16")
    permuted = run(runner, implementation, swapped, weight, [33, 40, 100], 16).values
    parts = np.split(output, [1, 6])
    assert np.array_equal(permuted, np.concatenate([parts[2], parts[0], parts[1]]))


def test_stride_need_not_divide_the_window(runner: Runner, implementation: Implementation) -> None:
    tokens, weight = random_call(7, "bfloat16", [200], heads=2, dim=18, block=48)
    output = run(runner, implementation, tokens, weight, [200], 32)
    sums, magnitudes = compress(tokens.values, weight.values, [200], 32)
    assert_windows(output, sums, magnitudes, 48, implementation.family)


def test_tokens_in_no_window_are_not_read(runner: Runner, implementation: Implementation) -> None:
    tokens, weight = random_call(8, "float16", [31, 90], heads=2, dim=16, block=32)
    clean = run(runner, implementation, tokens, weight, [31, 90], 16).values
    poisoned = tokens.values.copy()
    poisoned[:31] = np.nan  # a sequence shorter than a window
    poisoned[31 + 80 :] = np.nan  # 90 tokens hold windows up to token 80
    output = run(runner, implementation, Real(poisoned, "float16"), weight, [31, 90], 16).values
    assert np.array_equal(output, clean)


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_stays_in_the_windows_and_channels_that_hold_it(
    runner: Runner, implementation: Implementation, dtype: RealName
) -> None:
    tokens, weight = random_call(9, dtype, [96], heads=2, dim=16, block=32)
    poisoned = tokens.values.copy()
    poisoned[20, 1, 3] = np.nan
    clean = run(runner, implementation, tokens, weight, [96], 16).values
    output = run(runner, implementation, Real(poisoned, dtype), weight, [96], 16).values
    expected = clean.copy()
    expected[0:2, 1, 3] = np.nan  # token 20 lies in windows 0 and 1
    assert np.array_equal(output, expected, equal_nan=True)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_thread_count_changes_no_bit(
    runner: Runner, implementation: Implementation, dtype: RealName
) -> None:
    lengths = [3000, 70, 2500]
    tokens, weight = random_call(10, dtype, lengths, heads=4, dim=64, block=32)
    one, two, seven = (
        run(runner, implementation, tokens, weight, lengths, 16, "--threads", count)
        for count in ("1", "2", "7")
    )
    assert one.to_bytes() == two.to_bytes() == seven.to_bytes()
