"""nsa_compress_attention_grad against the formula of gradients of attention."""

from __future__ import annotations

import numpy as np
import pytest
from attention_calls import Training
from attention_gradients import Batch, Gradients, assert_derivative, check, sequence, small_tensors
from case_file import Tensor
from formulation import Bools, hidden_keys, spans
from runner import Implementation, Runner
from test_nsa_compress_attention import random_call


def hidden_of(call: Training, b: int) -> Bools:
    """What the tokens of a sequence do not see: [q, n]."""
    q, n = call.q_lengths[b], call.kv_lengths[b]
    begin = sum(call.q_lengths[:b])
    raw = (call.q_lengths if call.raw_lengths is None else call.raw_lengths)[b]
    rows = [
        hidden_keys(
            t,
            n,
            call.blocks,
            call.atten_mask,
            None if call.key_limits is None else int(call.key_limits[begin + t]),
            raw - q + t if call.causal else None,
        )
        for t in range(q)
    ]
    return np.array(rows, bool).reshape(q, n)


def batch_of(rng: np.random.Generator, call: Training) -> Batch:
    scale, dtype = float(np.float32(call.scale)), call.query.dtype
    batch = Batch([], scale, dtype)
    places = zip(spans(call.q_lengths), spans(call.kv_lengths), strict=True)
    for b, ((begin, q), (key_begin, n)) in enumerate(places):
        hidden = hidden_of(call, b)
        keys = slice(key_begin, key_begin + n)
        batch.sequences.append(
            sequence(
                rng,
                (
                    call.query.values[begin : begin + q],
                    call.key.values[keys],
                    call.value.values[keys],
                ),
                ~hidden[:, None],
                scale,
                dtype,
                mean=np.asarray(hidden.all(axis=1) & (call.masked_rows == "uniform" and n > 0)),
            )
        )
    return batch


def run(
    runner: Runner, implementation: Implementation, call: Training, batch: Batch
) -> list[Gradients]:
    tensors: dict[str, Tensor] = batch.tensors()
    if call.atten_mask is not None:
        tensors["atten_mask"] = call.atten_mask.astype(call.mask_dtype)
    if call.key_limits is not None:
        tensors["key_limits"] = call.key_limits.astype(np.int32)
    query, key = batch.lengths("TND")
    attributes: dict[str, object] = {
        "scale_value": batch.scale,
        "head_num": call.query.values.shape[1],
        "actual_seq_qlen": query.tolist(),
        "actual_cmp_seq_kvlen": key.tolist(),
        "masked_rows": call.masked_rows,
    }
    if call.causal:
        attributes |= {
            "causal": True,
            "compress_block_size": call.blocks.compress,
            "compress_stride": call.blocks.stride,
        }
    if call.raw_lengths is not None:
        attributes["actual_raw_seq_kvlen"] = np.cumsum(call.raw_lengths).tolist()
    outputs = runner.run("nsa_compress_attention_grad", implementation, tensors, attributes)
    return batch.split(outputs)


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_formula_over_random_shapes(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    """Those of the forward: masks, limits, causal by raw tokens, rows of both kinds."""
    call, rng = random_call(seed), np.random.default_rng(1700 + seed)
    batch = batch_of(rng, call)
    check(batch, run(runner, implementation, call, batch), implementation.family)


def test_random_calls_have_tokens_that_see_no_key_of_both_kinds() -> None:
    rng = np.random.default_rng(0)
    kinds = set()
    for seed in range(40):
        call = random_call(seed)
        for s in batch_of(rng, call).sequences:
            if len(s.key) > 0 and not s.seen.any(axis=(1, 2)).all():
                kinds.add(call.masked_rows)
    assert kinds == {"uniform", "zero"}


def test_the_formula_is_the_derivative_of_attention() -> None:
    """With a key that nobody sees, and a token that took the mean."""
    rng = np.random.default_rng(992)
    seen = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 0, 1, 1, 0], [0] * 6, [1, 0, 1, 1, 1, 1]])
    mean = np.asarray(~seen.any(axis=1))
    s = sequence(rng, small_tensors(992), seen[:, None], 0.4, "float32", mean=mean)
    assert_derivative(s, 0.4)
