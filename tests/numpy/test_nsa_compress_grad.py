"""nsa_compress_grad against its formula, finite steps of the forward, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from case_file import Real, RealName
from formulation import Floats, compress, compress_grad, window_count
from precision import assert_close
from runner import Implementation, Runner

DTYPES: list[RealName] = ["float16", "bfloat16", "float32"]

Call = tuple[Real, Real, Real]  # gradient of the windows, tokens, weight


def random_call(
    seed: int, dtype: RealName, lengths: list[int], heads: int, dim: int, block: int, stride: int
) -> Call:
    rng = np.random.default_rng(seed)
    windows = sum(window_count(n, block, stride) for n in lengths)
    return (
        Real.round(rng.standard_normal((windows, heads, dim)), dtype),
        Real.round(rng.standard_normal((sum(lengths), heads, dim)), dtype),
        Real.round(rng.standard_normal((block, heads)) / block, dtype),
    )


def run(
    runner: Runner,
    implementation: Implementation,
    call: Call,
    lengths: list[int],
    stride: int,
    *options: str,
) -> tuple[Real, Real]:
    """Gradients of tokens and of the weight."""
    grad, tokens, weight = call
    attributes = {
        "act_seq_len": np.cumsum(lengths).tolist(),
        "compress_block_size": weight.values.shape[0],
        "compress_stride": stride,
    }
    tensors = {"output_grad": grad, "input": tokens, "weight": weight}
    outputs = runner.run("nsa_compress_grad", implementation, tensors, attributes, *options)
    return outputs.real("input_grad"), outputs.real("weight_grad")


def assert_gradients(
    found: tuple[Real, Real],
    call: Call,
    lengths: list[int],
    stride: int,
    implementation: Implementation,
) -> None:
    grad, tokens, weight = (tensor.values for tensor in call)
    expected = compress_grad(grad, tokens, weight, lengths, stride)
    # A token is in as many windows as overlap; a weight meets every window and channel.
    block = weight.shape[0]
    terms = (-(-block // stride), max(grad.shape[0] * grad.shape[2], 1))
    for what, got, sums, count in zip(("input", "weight"), found, expected, terms, strict=True):
        error = implementation.family.of_sum(count, sums[1])
        assert_close(f"{what}_grad", got.values, sums[0], error, got.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", range(8))
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, dtype: RealName
) -> None:
    rng = np.random.default_rng(100 + seed)
    block = int(rng.integers(1, 70))
    stride = int(rng.integers(1, block + 1))
    lengths = [int(n) for n in rng.integers(0, 4 * block, rng.integers(1, 7))]
    heads, dim = int(rng.integers(1, 9)), int(rng.choice([1, 7, 16, 18, 65, 128]))
    call = random_call(seed, dtype, lengths, heads, dim, block, stride)
    found = run(runner, implementation, call, lengths, stride)
    assert [result.dtype for result in found] == [dtype, dtype]
    assert_gradients(found, call, lengths, stride, implementation)


@pytest.mark.parametrize(("block", "stride"), [(32, 16), (32, 32), (48, 32), (40, 16), (6, 1)])
def test_windows_that_touch_overlap_or_end_off_the_stride(
    runner: Runner, implementation: Implementation, block: int, stride: int
) -> None:
    lengths = [block - 1, block, 0, 7 * block + 3]
    call = random_call(1, "bfloat16", lengths, 2, 24, block, stride)
    found = run(runner, implementation, call, lengths, stride)
    assert_gradients(found, call, lengths, stride, implementation)


def test_steps_of_the_forward_change_a_linear_loss_by_the_gradient(
    runner: Runner, implementation: Implementation
) -> None:
    """Integers: the loss sum(output * grad) is linear in each argument, and exact."""
    lengths, block, stride = [30, 5, 41], 8, 3
    rng = np.random.default_rng(2)

    def integers(*shape: int) -> Floats:
        return rng.integers(-3, 4, shape).astype(np.float64)

    windows = sum(window_count(n, block, stride) for n in lengths)
    grad, tokens = integers(windows, 2, 5), integers(76, 2, 5)
    weight = integers(block, 2)

    def loss(tokens: Floats, weight: Floats) -> float:
        return float(np.sum(compress(tokens, weight, lengths, stride)[0] * grad))

    by_token, by_weight = np.zeros_like(tokens), np.zeros_like(weight)
    for at in np.ndindex(tokens.shape):
        step = np.zeros_like(tokens)
        step[at] = 1
        by_token[at] = loss(tokens + step, weight) - loss(tokens, weight)
    for at in np.ndindex(weight.shape):
        step = np.zeros_like(weight)
        step[at] = 1
        by_weight[at] = loss(tokens, weight + step) - loss(tokens, weight)
    call = (Real.round(grad, "float32"), Real.round(tokens, "float32"), Real(weight, "float32"))
    token_grad, weight_grad = run(runner, implementation, call, lengths, stride)
    assert np.array_equal(token_grad.values, by_token)
    assert np.array_equal(weight_grad.values, by_weight)


def test_tokens_of_no_window_get_zero_and_are_not_read(
    runner: Runner, implementation: Implementation
) -> None:
    lengths = [31, 90]  # no window; windows up to token 80
    grad, tokens, weight = random_call(3, "float16", lengths, 2, 16, 32, 16)
    clean = run(runner, implementation, (grad, tokens, weight), lengths, 16)
    unseen = np.r_[0:31, 31 + 80 : 121]
    poisoned = tokens.values.copy()
    poisoned[unseen] = np.nan
    call = (grad, Real(poisoned, "float16"), weight)
    found = run(runner, implementation, call, lengths, 16)
    for before, after in zip(clean, found, strict=True):
        assert before.to_bytes() == after.to_bytes()
    assert np.all(found[0].values[unseen] == 0)


def test_nan_of_a_window_reaches_its_tokens_and_its_heads_weights(
    runner: Runner, implementation: Implementation
) -> None:
    grad, tokens, weight = random_call(4, "bfloat16", [96], 2, 16, 32, 16)
    poisoned = grad.values.copy()
    poisoned[1, 1, 3] = np.nan  # tokens 16 to 47
    call = (Real(poisoned, "bfloat16"), tokens, weight)
    token_grad, weight_grad = run(runner, implementation, call, [96], 16)
    expected = np.zeros((96, 2, 16), bool)
    expected[16:48, 1, 3] = True
    assert np.array_equal(np.isnan(token_grad.values), expected)
    assert np.array_equal(np.isnan(weight_grad.values), np.tile([False, True], (32, 1)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_thread_count_changes_no_bit(
    runner: Runner, implementation: Implementation, dtype: RealName
) -> None:
    lengths = [9000, 70, 2500]  # 561, 3 and 155 windows: runs of 256 end within sequences
    call = random_call(5, dtype, lengths, 4, 24, 32, 16)
    one, two, seven = (
        run(runner, implementation, call, lengths, 16, "--threads", count)
        for count in ("1", "2", "7")
    )
    for results in zip(one, two, seven, strict=True):
        assert len({result.to_bytes() for result in results}) == 1
