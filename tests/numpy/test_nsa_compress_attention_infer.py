"""nsa_compress_attention_infer against its formulation, its hand examples and its properties."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from attention_calls import (
    MERGED,
    NSA,
    Infer,
    assert_scores_in_fp32,
    exact_scale,
    merge_states,
    paged,
    random_limits,
    random_real,
    random_whole,
)
from case_file import Real
from formulation import (
    Blocks,
    MaskedRows,
    compress_attention,
    compress_attention_infer,
    window_count,
)
from precision import assert_attention
from runner import Implementation, Runner
from test_nsa_compress_attention import DTYPES, keys_with_probabilities


def random_call(seed: int) -> Infer:
    """Any shape and options: paged, poisoned, one or many queries, TND or BSND, keys hidden."""
    rng = np.random.default_rng(1000 + seed)
    dtype = DTYPES[seed % 3]
    stride = int(rng.choice([1, 3, 16]))
    compress = int(rng.integers(stride, 5 * stride + 1))
    blocks = Blocks(compress, stride, stride * int(rng.integers(1, 7)))
    sequences = int(rng.integers(1, 5))
    sel_lengths = [int(n) for n in rng.integers(0, 60 * stride, sequences)]
    cmp_lengths = [window_count(s, blocks.compress, stride) for s in sel_lengths]
    kv_heads, group = int(rng.integers(1, 4)), int(rng.choice([1, 2, 5, 16]))
    qk_dim, v_dim = [(8, 7), (18, 18), (65, 18), (64, 64), (192, 128), (5, 33)][rng.integers(6)]
    multi = rng.random() < 0.6
    q_lengths = [int(n) for n in rng.integers(0, 7, sequences)] if multi else None
    if q_lengths is not None and sum(q_lengths) == 0:
        q_lengths[0] = 4
    dense = [
        (
            random_real(rng, (n, kv_heads, qk_dim), dtype),
            random_real(rng, (n, kv_heads, v_dim), dtype),
        )
        for n in cmp_lengths
    ]
    key, value, table = paged(rng, dense, page=int(rng.choice([1, 3, 16, 48])))
    counts = [1] * sequences if q_lengths is None else q_lengths
    tokens = sum(counts)
    key_limits = None
    if rng.random() < 0.4:
        key_limits = random_limits(rng, np.repeat(cmp_lengths, counts))
    call = Infer(
        query=random_real(rng, (tokens, kv_heads * group, qk_dim), dtype),
        key=key,
        value=value,
        block_table=table,
        cmp_lengths=cmp_lengths,
        kv_heads=kv_heads,
        q_lengths=q_lengths,
        sel_lengths=sel_lengths if multi else None,
        masked=bool(multi and rng.random() < 0.8),
        blocks=blocks,
        top_k=int(rng.integers(0, 13)),
        scale=exact_scale(qk_dim) * float(rng.choice([1, 4])),
        layout="BSND" if rng.random() < 0.5 else "TND",
        kind="exact_overlap" if rng.random() < 0.3 else "cann",
        masked_rows="zero" if rng.random() < 0.4 else "uniform",
        key_limits=key_limits,
        out_dtype="float32" if rng.random() < 0.5 else "input",
        statistics=bool(rng.random() < 0.6),
        block_scores=bool(rng.random() < 0.6),
    )
    if rng.random() < 0.4:
        call.selection, call.sel_lengths = "causal", sel_lengths
    if rng.random() < 0.4:
        call.whole = random_whole(rng, call.rows())
    return call


def simple_call(
    seed: int, cmp_lengths: list[int], top_k: int, blocks: Blocks = NSA, page: int = 16
) -> Infer:
    """One query per sequence, four heads of 16 over two kv heads."""
    rng = np.random.default_rng(seed)
    dense = [
        (random_real(rng, (n, 2, 16), "float16"), random_real(rng, (n, 2, 8), "float16"))
        for n in cmp_lengths
    ]
    key, value, table = paged(rng, dense, page)
    query = random_real(rng, (len(cmp_lengths), 4, 16), "float16")
    return Infer(query, key, value, table, cmp_lengths, 2, blocks=blocks, top_k=top_k, scale=0.25)


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_formulation_over_random_paged_batches(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    random_call(seed).check(runner, implementation)


@pytest.mark.parametrize("seed", range(12))
def test_storage_accuracy_stays_within_its_bound(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    dataclasses.replace(random_call(seed), accuracy="storage").check(runner, implementation)


@pytest.mark.parametrize("seed", range(2))
def test_scores_in_fp32_are_those_of_storage_accuracy(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    assert_scores_in_fp32(random_call(seed), runner, implementation)


@pytest.mark.parametrize("layout", ["TND", "BSND"])
def test_odd_head_dims_and_397_of_591_blocks_as_the_device_is_tested(
    runner: Runner, implementation: Implementation, layout: str
) -> None:
    rng = np.random.default_rng(590)
    dense = [
        (random_real(rng, (1180, 1, 65), "float16"), random_real(rng, (1180, 1, 18), "float16"))
    ]
    key, value, table = paged(rng, dense, page=48, spare=0)
    assert key.values.shape == (25, 48, 65)
    blocks = Blocks(32, 16, 32)
    assert blocks.infer_count(1180) == 591
    Infer(
        query=random_real(rng, (1, 32, 65), "float16"),
        key=key,
        value=value,
        block_table=table,
        cmp_lengths=[1180],
        kv_heads=1,
        blocks=blocks,
        top_k=397,
        scale=float(np.float32(0.01)),
        layout=layout,
        q_lengths=[1] if layout == "BSND" else None,
    ).check(runner, implementation)


# --- selection ----------------------------------------------------------------------------------


@pytest.mark.parametrize("top_k", range(1, 12))
def test_first_and_last_two_blocks_come_first_and_are_cut_in_that_order(
    runner: Runner, implementation: Implementation, top_k: int
) -> None:
    call = simple_call(seed=70, cmp_lengths=[40], top_k=top_k)
    assert NSA.infer_count(40) == 11
    topk = call.check(runner, implementation).ints("topk_indices")[0, 0].tolist()
    assert topk[:3] == [0, 9, 10][:top_k]
    assert len(set(topk)) == top_k


@pytest.mark.parametrize(
    ("n", "forced"), [(1, [0]), (3, [0]), (4, [0, 1]), (7, [0, 1]), (8, [0, 1, 2])]
)
def test_few_candidates_are_all_forced_then_minus_one(
    runner: Runner, implementation: Implementation, n: int, forced: list[int]
) -> None:
    call = simple_call(seed=71, cmp_lengths=[n], top_k=5)
    topk = call.check(runner, implementation).ints("topk_indices")
    assert topk[0].tolist() == [forced + [-1] * (5 - len(forced))] * 2


def test_between_forced_blocks_the_table_of_one_to_nine_decides(
    runner: Runner, implementation: Implementation
) -> None:
    query, key = keys_with_probabilities(np.arange(1.0, 10.0))
    cache = Real(key.values.reshape(1, 9, 4), "bfloat16")
    blocks = Blocks(32, 16, 32)  # scores 8, 16, 24, 32, 9
    call = Infer(query, cache, cache, np.zeros((1, 1), np.int64), [9], 1, blocks=blocks, top_k=5)
    topk = call.check(runner, implementation).ints("topk_indices")[0, 0].tolist()
    assert topk == [0, 3, 4, 2, 1]


@pytest.mark.parametrize("length", [64, 65, 79])
def test_tail_past_the_last_window_adds_no_candidate(
    runner: Runner, implementation: Implementation, length: int
) -> None:
    n = window_count(length, 32, 16)
    assert n == 3
    call = simple_call(seed=72, cmp_lengths=[n], top_k=2)
    topk = call.check(runner, implementation).ints("topk_indices")[0, 0].tolist()
    assert topk == [0, -1]


# --- several query tokens -----------------------------------------------------------------------


def step(seed: int, lengths: list[int], tokens: int, masked_rows: MaskedRows = "uniform") -> Infer:
    """`tokens` queries per sequence of `lengths` raw tokens, with the mask."""
    cmp_lengths = [window_count(s, 32, 16) for s in lengths]
    call = simple_call(seed, cmp_lengths, top_k=4)
    rng = np.random.default_rng(seed + 1)
    return dataclasses.replace(
        call,
        query=random_real(rng, (len(lengths) * tokens, 4, 16), "float16"),
        q_lengths=[tokens] * len(lengths),
        sel_lengths=lengths,
        masked=True,
        masked_rows=masked_rows,
    )


@pytest.mark.parametrize("tail", range(16))
def test_only_queries_before_the_end_of_the_last_window_do_not_see_it(
    runner: Runner, implementation: Implementation, tail: int
) -> None:
    length = 32 + 9 * 16 + tail
    call = step(80, [length], tokens=4)
    out = call.check(runner, implementation).real("attention_out").values
    without_mask = dataclasses.replace(call, masked=False)
    full = without_mask.check(runner, implementation).real("attention_out").values
    for q in range(4):
        assert np.array_equal(out[q], full[q]) == (4 - 1 - q <= tail)


def test_row_of_a_four_token_step_equals_the_single_token_call_at_its_length(
    runner: Runner, implementation: Implementation
) -> None:
    lengths = [176, 177, 178, 191, 500]
    call = step(81, lengths, tokens=4)
    outputs = call.run(runner, implementation)
    out = outputs.real("attention_out")
    for q in range(4):
        rows = compress_attention_infer(
            call.query.values[q::4],
            call.key.values,
            call.value.values,
            call.block_table,
            call.scale,
            2,
            [1] * 5,
            [window_count(s - (3 - q), 32, 16) for s in lengths],
            NSA,
        )
        # The selection may differ: forced blocks follow the step's own length.
        shown = Real(out.values[q::4], out.dtype)
        assert_attention(rows, shown, None, implementation.family)


def test_all_queries_of_a_step_share_the_forced_blocks(
    runner: Runner, implementation: Implementation
) -> None:
    call = step(82, [640], tokens=4)
    topk = call.check(runner, implementation).ints("topk_indices")
    count = NSA.infer_count(window_count(640, 32, 16))
    assert np.all(topk[:, :, :3] == [0, count - 2, count - 1])


@pytest.mark.parametrize("masked_rows", ["uniform", "zero"])
def test_hidden_single_key_gives_its_value_or_zero(
    runner: Runner, implementation: Implementation, masked_rows: MaskedRows
) -> None:
    call = step(83, [32], tokens=2, masked_rows=masked_rows)
    out = call.check(runner, implementation).real("attention_out").values
    page = int(call.block_table[0, 0])
    value = call.value.values[page, 0].reshape(2, 8).repeat(2, axis=0)
    assert np.array_equal(out[1], value)
    assert np.array_equal(out[0], value if masked_rows == "uniform" else 0 * value)


def test_many_queries_hide_more_than_the_last_window(
    runner: Runner, implementation: Implementation
) -> None:
    # 40 tokens at once: the first sees a text 39 tokens shorter, so three windows are hidden.
    call = step(84, [208], tokens=40)
    assert window_count(208, 32, 16) - window_count(208 - 39, 32, 16) == 3
    call.check(runner, implementation)


# --- pages --------------------------------------------------------------------------------------


def test_moving_pages_changes_no_bit(runner: Runner, implementation: Implementation) -> None:
    rng = np.random.default_rng(90)
    dense = [
        (random_real(rng, (n, 2, 16), "float16"), random_real(rng, (n, 2, 8), "float16"))
        for n in (50, 33, 7)
    ]
    query = random_real(rng, (3, 4, 16), "float16")
    results = []
    for seed in (1, 2):
        key, value, table = paged(np.random.default_rng(seed), dense, page=16, spare=seed)
        call = Infer(query, key, value, table, [50, 33, 7], kv_heads=2, top_k=4, scale=0.25)
        results.append(call.run(runner, implementation))
    assert results[0].same_bits(results[1])


def test_sequences_may_share_pages(runner: Runner, implementation: Implementation) -> None:
    call = simple_call(seed=91, cmp_lengths=[40, 40, 30], top_k=4)
    table = call.block_table.copy()
    table[1] = table[0]
    table[2, :2] = table[0, 1]  # the same page twice, within one sequence too
    table[2, 1] = table[0, 0]
    shared = dataclasses.replace(call, block_table=table)
    out = shared.check(runner, implementation).real("attention_out").values
    same = dataclasses.replace(
        shared, query=Real(np.repeat(call.query.values[:1], 3, 0), call.query.dtype)
    )
    out = same.check(runner, implementation).real("attention_out").values
    assert np.array_equal(out[0], out[1])
    assert not np.array_equal(out[0], out[2])


def test_single_token_on_contiguous_pages_is_the_last_row_of_training(
    runner: Runner, implementation: Implementation
) -> None:
    call = simple_call(seed=92, cmp_lengths=[47], top_k=3)
    outputs = call.check(runner, implementation)
    pages = call.block_table[0, :3]
    key, value = (
        np.concatenate(list(cache.values[pages])).reshape(48, 2, -1)[:47]
        for cache in (call.key, call.value)
    )
    rows = compress_attention(call.query.values, key, value, call.scale, [1], [47], NSA)
    assert NSA.training_count(47) == NSA.infer_count(47)
    for row in rows[0]:
        row.scores[[0, -2, -1]] = np.inf
    out = outputs.real("attention_out")
    assert_attention(rows, out, outputs.ints("topk_indices"), implementation.family)


def test_a_cache_dealt_over_two_calls_gives_the_blocks_of_one(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(96)
    blocks = Blocks(16, 16, 64)  # no block hears a key of its neighbour
    lengths, firsts = [41, 27, 12], [24, 8, 12]  # the second call has none of the last sequence
    dense = [
        (random_real(rng, (n, 2, 16), "bfloat16"), random_real(rng, (n, 2, 8), "bfloat16"))
        for n in lengths
    ]
    limits = np.array([41, 20, 5])
    query = random_real(rng, (3, 4, 16), "bfloat16")

    def call(begins: list[int], ends: list[int]) -> Infer:
        mine = [
            (Real(k.values[begin:end], k.dtype), Real(v.values[begin:end], v.dtype))
            for (k, v), begin, end in zip(dense, begins, ends, strict=True)
        ]
        key, value, table = paged(rng, mine, page=8)
        counts = [end - begin for begin, end in zip(begins, ends, strict=True)]
        return Infer(
            query,
            key,
            value,
            table,
            counts,
            kv_heads=2,
            blocks=blocks,
            top_k=0,
            scale=0.5,
            kind="exact_overlap",
            masked_rows="zero",
            key_limits=limits - np.array(begins),
            out_dtype="float32",
            statistics=True,
        )

    nothing = [0] * 3
    parts = [call(nothing, firsts), call(firsts, lengths)]
    states = [part.check(runner, implementation) for part in parts]
    merged = merge_states(runner, implementation, states)
    scores = np.zeros((3, 2, blocks.infer_count(max(lengths))))
    for part, begins in zip(parts, (nothing, firsts), strict=True):
        part.whole, part.block_scores = merged[1:], True
        found = part.check(runner, implementation).floats("block_scores")
        for t, begin in enumerate(begins):
            count = blocks.infer_count(part.cmp_lengths[t])
            scores[t, :, begin // 4 : begin // 4 + count] = found[t, :, :count]
    out, maximum, total = merged
    rows = call(nothing, lengths).rows()
    assert_attention(rows, Real(out, "float32"), None, MERGED, maximum, total, scores)


# --- edges --------------------------------------------------------------------------------------


def test_no_key_gives_zero_and_no_block(runner: Runner, implementation: Implementation) -> None:
    call = simple_call(seed=93, cmp_lengths=[0, 12], top_k=2)
    outputs = call.check(runner, implementation)
    assert np.all(outputs.real("attention_out").values[0] == 0)
    assert np.all(outputs.ints("topk_indices")[0] == -1)


def test_padded_queries_give_zero_and_minus_one_whatever_they_hold(
    runner: Runner, implementation: Implementation
) -> None:
    call = step(94, [200, 300, 100], tokens=4)
    ragged = dataclasses.replace(
        call,
        query=Real(call.query.values[:7], call.query.dtype),
        q_lengths=[4, 1, 2],
        layout="BSND",
    )
    outputs = ragged.check(runner, implementation)  # pads with NaN
    assert np.all(outputs.real("attention_out").values[1, 1:] == 0)
    assert np.all(outputs.ints("topk_indices")[1, 1:] == -1)


def test_without_selection_it_is_paged_dense_attention(
    runner: Runner, implementation: Implementation
) -> None:
    call = simple_call(seed=95, cmp_lengths=[100, 3], top_k=0, blocks=Blocks(1, 1, 1))
    assert call.check(runner, implementation).ints("topk_indices").shape == (2, 2, 0)


@pytest.mark.parametrize("seed", [2, 5, 11])
def test_thread_count_changes_no_bit(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    call = random_call(seed)
    one, two, seven = (call.run(runner, implementation, "--threads", n) for n in ("1", "2", "7"))
    assert one.same_bits(two)
    assert one.same_bits(seven)
