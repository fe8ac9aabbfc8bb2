"""nsa_selected_attention_grad against the formula of gradients of attention."""

from __future__ import annotations

import numpy as np
import pytest
from attention_gradients import Batch, Gradients, assert_derivative, check, sequence, small_tensors
from formulation import Ints
from runner import Implementation, Runner
from test_nsa_selected_attention import FORMS, PAGED, Call, random_call

MODES = [form for form in FORMS if form not in PAGED]


def seen_keys(call: Call, form: str, b: int) -> Ints:
    """How often the lists of a sequence's tokens name each key: [q, N2, n]."""
    q, n, kv_heads = len(call.queries[b]), len(call.keys[b]), call.keys[b].shape[1]
    seen = np.zeros((q, kv_heads, n), np.int64)
    for t, g in np.ndindex(q, kv_heads):
        np.add.at(seen[t, g], call.positions(form, b, t, g), 1)
    return seen


def batch_of(rng: np.random.Generator, call: Call, form: str) -> Batch:
    """Keys that no list names may hold anything."""
    scale = float(np.float32(call.scale))
    batch = Batch([], scale, call.dtype)
    for b, parts in enumerate(zip(call.queries, call.keys, call.values, strict=True)):
        seen = seen_keys(call, form, b)
        unread = np.asarray(~seen.any(axis=0).T)
        batch.sequences.append(sequence(rng, parts, seen, scale, call.dtype, unread=unread))
    return batch


def run(
    runner: Runner, implementation: Implementation, call: Call, form: str, batch: Batch
) -> list[Gradients]:
    ids = np.concatenate(call.ids)
    query, key = batch.lengths("TND")
    attributes = {
        "scale_value": batch.scale,
        "head_num": call.queries[0].shape[1],
        "select_block_size": call.block,
        "select_block_count": ids.shape[-1],
        "actual_seq_qlen": query.tolist(),
        "actual_seq_kvlen": key.tolist(),
        "sparse_mode": int(form[-1]),
    }
    tensors = batch.tensors() | {"topk_indices": ids.astype(np.int32)}
    outputs = runner.run("nsa_selected_attention_grad", implementation, tensors, attributes)
    return batch.split(outputs)


@pytest.mark.parametrize("form", MODES)
@pytest.mark.parametrize("seed", range(15))
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, form: str
) -> None:
    call, rng = random_call(seed), np.random.default_rng(1600 + seed)
    batch = batch_of(rng, call, form)
    check(batch, run(runner, implementation, call, form, batch), implementation.family)


def test_random_lists_name_keys_twice_and_leave_keys_out() -> None:
    seen = [seen_keys(random_call(seed), MODES[0], 0) for seed in range(15)]
    assert any((of > 1).any() for of in seen)
    assert any(((of > 0).any() and not (of > 0).all()) for of in seen)


def test_the_formula_is_the_derivative_of_attention() -> None:
    """With a key that counts twice, one that nobody sees, and a token that sees none."""
    rng = np.random.default_rng(991)
    seen = np.array([[1, 0, 2, 1, 0, 1], [0, 0, 0, 3, 1, 0], [0] * 6, [1, 0, 1, 1, 1, 1]])
    assert_derivative(sequence(rng, small_tensors(991), seen[:, None], 0.4, "float32"), 0.4)
