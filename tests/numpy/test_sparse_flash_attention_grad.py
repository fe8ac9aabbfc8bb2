"""sparse_flash_attention_grad against the formula of gradients of attention."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attention_gradients import (
    Batch,
    assert_derivative,
    check,
    check_sinks,
    sequence,
    small_tensors,
)
from case_file import Real, RealName
from flash_calls import Call, Keys, Source
from formulation import Floats, Ints
from runner import Implementation, Runner
from test_sparse_flash_attention import DTYPES, random_call, without_rope

SEEDS = range(24)


def differentiable_call(seed: int) -> Call:
    """A random call of the forward, of what has a gradient."""
    call = random_call(seed, DTYPES[seed % 3])
    call = replace(call, ratio=1, tokens=None, out_dtype="input")
    return without_rope(call) if seed % 5 == 0 else call


def seen_keys(call: Call, b: int) -> Ints:
    """How often a token's list names each key: [q, 1, n]."""
    seen = np.zeros((len(call.queries[b]), 1, call.listed.count(b)), np.int64)
    for t in range(len(seen)):
        np.add.at(seen[t, 0], call.in_list(b, t), 1)
    return seen


def batch_of(rng: np.random.Generator, call: Call) -> Batch:
    """Ropes are the last channels of queries and keys."""
    batch = Batch([], float(np.float32(call.scale)), call.dtype)
    for b, (query, keys) in enumerate(zip(call.queries, call.listed.keys, strict=True)):
        key = np.concatenate([keys.latent, keys.rope], axis=1)
        value = keys.latent if keys.value is None else keys.value
        batch.sequences.append(
            sequence(
                rng,
                (query, key[:, None], value[:, None]),
                seen_keys(call, b),
                batch.scale,
                call.dtype,
                shared=keys.value is None,
                sinks=call.sinks,
            )
        )
    return batch


def check_call(runner: Runner, implementation: Implementation, call: Call, layout: str) -> None:
    """Every gradient that the call has, and no other."""
    batch = batch_of(np.random.default_rng(1800), call)
    laid = batch.tensors(layout)
    tensors = call.tensors(layout, layout) | {
        "out_grad": laid["attention_out_grad"],
        "softmax_max": laid["softmax_max"],
        "softmax_sum": laid["softmax_sum"],
    }
    attributes = {
        "scale_value": batch.scale,
        "sparse_block_size": call.block,
        "layout_query": layout,
        "layout_kv": layout,
        "sparse_mode": call.mode,
    }
    outputs = runner.run("sparse_flash_attention_grad", implementation, tensors, attributes)
    optional = {f"{n}_grad" for n in ("value", "query_rope", "key_rope", "sinks") if n in tensors}
    assert set(outputs.tensors) == {"query_grad", "key_grad"} | optional
    query_ends, key_ends = batch.lengths(layout)

    def gradient(name: str, ends: Ints) -> list[Floats]:
        parts = [batch.split_one(outputs, f"{name}_grad", ends, layout)]
        if f"{name}_rope_grad" in optional:
            parts.append(batch.split_one(outputs, f"{name}_rope_grad", ends, layout))
        return [np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)]

    query, key = gradient("query", query_ends), gradient("key", key_ends)
    value = [part[..., :0] for part in key]
    if "value_grad" in optional:
        value = gradient("value", key_ends)
    check(batch, list(zip(query, key, value, strict=True)), implementation.family)
    if call.sinks is not None:
        check_sinks(batch, outputs.real("sinks_grad").values, implementation.family)


@pytest.mark.parametrize("layout", ["BSND", "TND"])
@pytest.mark.parametrize("seed", SEEDS)
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    check_call(runner, implementation, differentiable_call(seed), layout)


def test_random_calls_have_everything_that_a_call_can_have() -> None:
    calls = [differentiable_call(seed) for seed in SEEDS]
    seen = [seen_keys(call, 0) for call in calls]
    assert any((of > 1).any() for of in seen)
    assert any((of.sum(axis=2) == 0).any() for of in seen)
    assert any(((of > 0).any() and not (of > 0).all()) for of in seen)
    assert any(call.listed.starts for call in calls)
    assert any(call.limits for call in calls)
    assert {call.block for call in calls} == {1, 4, 7}
    assert {call.mode for call in calls} == {0, 3}
    of_keys = {(c.listed.keys[0].value is None, c.listed.keys[0].rope.shape[1] > 0) for c in calls}
    assert len(of_keys) == 4
    assert len({(call.dtype, call.sinks is None) for call in calls}) == 6


@pytest.mark.parametrize("valued", [False, True])
def test_sums_of_keys_in_several_ranges_of_positions_and_channels(
    runner: Runner, implementation: Implementation, valued: bool
) -> None:
    rng = np.random.default_rng(1801)
    dtype: RealName = "bfloat16"
    n, dim = 1100, 200

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    keys = Source([Keys(normal(n, dim), normal(n, 10), None, normal(n, dim) if valued else None)])
    ids = rng.integers(0, n, (4, 300))
    call = Call([normal(4, 2, dim + 10)], keys, [ids], dim, dtype, 0.05, mode=0)
    check_call(runner, implementation, call, "TND")


@pytest.mark.parametrize("shared", [False, True])
def test_the_formula_is_the_derivative_of_attention(shared: bool) -> None:
    """With a sink, a key that counts twice, one that nobody sees, and a token that sees none."""
    seen = np.array([[1, 0, 2, 1, 0, 1], [0, 0, 0, 3, 1, 0], [0] * 6, [1, 0, 1, 1, 1, 1]])
    query, key, value = small_tensors(993)
    if shared:
        value = key[..., :2]
    rng, sinks = np.random.default_rng(993), np.array([0.3])
    made = sequence(
        rng, (query, key, value), seen[:, None], 0.4, "float32", shared=shared, sinks=sinks
    )
    assert_derivative(made, 0.4)
