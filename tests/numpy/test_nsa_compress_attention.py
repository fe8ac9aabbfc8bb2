"""nsa_compress_attention against its formulation, its hand examples and its properties."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from attention_calls import (
    MERGED,
    NSA,
    Training,
    assert_scores_in_fp32,
    exact_scale,
    merge_states,
    random_limits,
    random_real,
    random_whole,
)
from case_file import Real, RealName
from formulation import FLT_MAX, Blocks, Bools, Floats, Importance, MaskedRows, window_count
from precision import assert_attention
from runner import Implementation, Outputs, Runner


def causal_mask(rows: int, keys: int, blocks: Blocks = NSA) -> Bools:
    """1 where the window of compressed key i ends after query t."""
    ends = np.arange(keys) * blocks.stride + blocks.compress - 1
    return np.asarray(ends[None, :] > np.arange(rows)[:, None])


DTYPES: list[RealName] = ["float16", "bfloat16", "float32"]


def random_call(seed: int) -> Training:
    """Any shape and options: ragged, empty sequences too, odd sizes, keys hidden in every way."""
    rng = np.random.default_rng(seed)
    dtype = DTYPES[seed % 3]
    stride = int(rng.choice([1, 2, 16]))
    compress = int(rng.integers(stride, 5 * stride + 1))
    blocks = Blocks(compress, stride, stride * int(rng.integers(1, 7)))
    sequences = int(rng.integers(1, 5))
    q_lengths = [int(n) for n in rng.integers(0, 20, sequences)]
    kv_lengths = [int(n) for n in rng.integers(0, rng.choice([6, 40, 150]), sequences)]
    kv_heads = int(rng.integers(1, 4))
    group = int(rng.choice([1, 2, 3, 4, 7, 16]))
    qk_dim, v_dim = [(8, 7), (18, 18), (65, 18), (64, 64), (192, 128), (5, 33)][rng.integers(6)]
    max_q, max_n = max(q_lengths), max(kv_lengths)
    atten_mask = topk_mask = None
    if rng.random() < 0.6:
        atten_mask = rng.random((max_q, max_n)) < rng.random()
        atten_mask[rng.random(max_q) < 0.2] = True  # rows with no key left
    if rng.random() < 0.5:
        topk_mask = rng.random((max_q, blocks.training_count(max_n))) < 0.2
    key_limits = raw_lengths = None
    if rng.random() < 0.3:
        key_limits = random_limits(rng, np.repeat(kv_lengths, q_lengths))
    if causal := bool(rng.random() < 0.35):
        tokens = stride * max_n + compress
        raw_lengths = [q + int(rng.integers(0, tokens)) for q in q_lengths]
    if causal and rng.random() < 0.4:
        raw_lengths = None
    call = Training(
        query=random_real(rng, (sum(q_lengths), kv_heads * group, qk_dim), dtype),
        key=random_real(rng, (sum(kv_lengths), kv_heads, qk_dim), dtype),
        value=random_real(rng, (sum(kv_lengths), kv_heads, v_dim), dtype),
        q_lengths=q_lengths,
        kv_lengths=kv_lengths,
        blocks=blocks,
        top_k=int(rng.integers(0, 13)),
        scale=exact_scale(qk_dim) * float(rng.choice([1, 4, -0.5])),
        atten_mask=atten_mask,
        topk_mask=topk_mask,
        kind="exact_overlap" if rng.random() < 0.3 else "cann",
        masked_rows="zero" if rng.random() < 0.4 else "uniform",
        mask_dtype=np.uint8 if rng.random() < 0.5 else np.bool_,
        key_limits=key_limits,
        causal=causal,
        raw_lengths=raw_lengths,
        out_dtype="float32" if rng.random() < 0.5 else "input",
        block_scores=bool(rng.random() < 0.6),
    )
    if causal and rng.random() < 0.6:
        call.selection, call.topk_mask = "causal", None
    if rng.random() < 0.4:
        call.whole = random_whole(rng, call.rows())
    return call


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_formulation_over_random_shapes(
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


@pytest.mark.parametrize("group", [1, 2, 4, 8, 16, 32, 64])
def test_equals_the_formulation_at_every_group_size(
    runner: Runner, implementation: Implementation, group: int
) -> None:
    rng = np.random.default_rng(group)
    Training(
        query=random_real(rng, (9, 2 * group, 192), "bfloat16"),
        key=random_real(rng, (70, 2, 192), "bfloat16"),
        value=random_real(rng, (70, 2, 128), "bfloat16"),
        q_lengths=[9],
        kv_lengths=[70],
        scale=exact_scale(192),
    ).check(runner, implementation)


def test_equals_the_formulation_over_a_long_sequence(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(5000)
    Training(
        query=random_real(rng, (3, 4, 64), "float16"),
        key=random_real(rng, (5000, 1, 64), "float16"),
        value=random_real(rng, (5000, 1, 32), "float16"),
        q_lengths=[3],
        kv_lengths=[5000],
        scale=exact_scale(64),
    ).check(runner, implementation)


def test_two_sequences_with_upper_triangular_mask_as_the_device_is_tested(
    runner: Runner, implementation: Implementation
) -> None:
    # The device's own test at a quarter of its lengths: seven heads of 8 and 7, scale 0.3.
    rng = np.random.default_rng(2633)
    q_lengths, kv_lengths = [346, 312], [566, 451]
    topk_mask = np.eye(346, 142, dtype=bool)
    topk_mask[:, 0] = True
    Training(
        query=random_real(rng, (658, 7, 8), "float16"),
        key=random_real(rng, (1017, 7, 8), "float16"),
        value=random_real(rng, (1017, 7, 7), "float16"),
        q_lengths=q_lengths,
        kv_lengths=kv_lengths,
        scale=float(np.float32(0.3)),
        atten_mask=np.triu(np.ones((346, 566), bool), 1),
        topk_mask=topk_mask,
    ).check(runner, implementation)


# --- importance, seen through the order of selected blocks --------------------------------------


def keys_with_probabilities(weights: Floats) -> tuple[Real, Real]:
    """A query and keys (one head, dim 4) whose softmax is proportional to the weights."""
    parts = []
    rest = np.log(weights)
    for _ in range(3):  # ln w as a sum of three bfloat16
        part = Real.round(rest, "bfloat16").values
        parts.append(part)
        rest = rest - part
    key = np.stack([*parts, np.zeros_like(rest)], axis=1)[:, None, :]
    return Real(np.ones((1, 1, 4)), "bfloat16"), Real(key, "bfloat16")


@pytest.mark.parametrize(
    ("blocks", "kind", "order"),
    [
        (Blocks(32, 16, 64), "cann", [1, 0, 2]),
        (Blocks(32, 16, 64), "exact_overlap", [1, 2, 0]),
        (Blocks(64, 16, 64), "cann", [1, 2, 0]),
        (Blocks(16, 16, 64), "cann", [1, 0, 2]),
        (Blocks(16, 16, 64), "exact_overlap", [1, 0, 2]),
        (Blocks(32, 16, 32), "cann", [3, 2, 1, 4, 0]),
        (Blocks(32, 16, 32), "exact_overlap", [3, 4, 2, 1, 0]),
        (Blocks(16, 16, 16), "cann", [7, 6, 5, 4, 3, 2, 1, 0, 8]),
        (Blocks(16, 16, 16), "exact_overlap", [8, 7, 6, 5, 4, 3, 2, 1, 0]),
    ],
)
def test_probabilities_one_to_nine_select_in_the_order_of_the_table(
    runner: Runner,
    implementation: Implementation,
    blocks: Blocks,
    kind: Importance,
    order: list[int],
) -> None:
    query, key = keys_with_probabilities(np.arange(1.0, 10.0))
    call = Training(
        query, key, Real(key.values[..., :2], "bfloat16"), [1], [9], blocks, len(order), kind=kind
    )
    assert call.check(runner, implementation).ints("topk_indices")[0, 0].tolist() == order


def test_causal_query_200_of_27_keys_finds_its_own_block_only_as_filler(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(27)
    key = rng.standard_normal((27, 1, 16)) / 8
    query = np.zeros((201, 2, 16))
    query[200] = key[6]  # block 1 hears compressed token 6 best
    key[6] *= 4
    call = Training(
        query=Real.round(query, "float16"),
        key=Real.round(key, "float16"),
        value=random_real(rng, (27, 1, 8), "float16"),
        q_lengths=[201],
        kv_lengths=[27],
        top_k=7,
        scale=8.0,
        atten_mask=causal_mask(201, 27),
    )
    assert call.atten_mask is not None
    assert np.flatnonzero(~call.atten_mask[200]).tolist() == list(range(11))
    order = call.check(runner, implementation).ints("topk_indices")[200, 0].tolist()
    assert order == [1, 0, 2, 3, 4, 5, 6]


def test_topk_mask_puts_forced_blocks_first_and_ascending(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(31)
    topk_mask = np.zeros((2, 10), bool)
    topk_mask[0, [7, 2, 9]] = True
    topk_mask[1, [1, 3, 5, 6, 8]] = True  # more than are wanted: the lowest win
    call = Training(
        query=random_real(rng, (2, 4, 8), "float16"),
        key=random_real(rng, (40, 2, 8), "float16"),
        value=random_real(rng, (40, 2, 8), "float16"),
        q_lengths=[2],
        kv_lengths=[40],
        top_k=4,
        topk_mask=topk_mask,
    )
    topk = call.check(runner, implementation).ints("topk_indices")
    assert topk[0, :, :3].tolist() == [[2, 7, 9]] * 2
    assert topk[1].tolist() == [[1, 3, 5, 6]] * 2


def test_fewer_candidates_than_asked_for_are_followed_by_minus_one(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(32)
    call = Training(
        query=random_real(rng, (1, 1, 8), "float16"),
        key=random_real(rng, (8, 1, 8), "float16"),
        value=random_real(rng, (8, 1, 8), "float16"),
        q_lengths=[1],
        kv_lengths=[8],
        top_k=5,
    )
    topk = call.check(runner, implementation).ints("topk_indices")[0, 0].tolist()
    assert sorted(topk[:2]) == [0, 1]
    assert topk[2:] == [-1, -1, -1]


# --- rows whose every key is hidden -------------------------------------------------------------


def hidden_call(masked_rows: MaskedRows, blocks: Blocks, keys: int, top_k: int) -> Training:
    rng = np.random.default_rng(40)
    return Training(
        query=random_real(rng, (1, 4, 16), "bfloat16"),
        key=random_real(rng, (keys, 1, 16), "bfloat16"),
        value=random_real(rng, (keys, 1, 8), "bfloat16"),
        q_lengths=[1],
        kv_lengths=[keys],
        blocks=blocks,
        top_k=top_k,
        atten_mask=np.ones((1, keys), bool),
        masked_rows=masked_rows,
    )


def test_fully_masked_row_is_the_mean_of_all_values(
    runner: Runner, implementation: Implementation
) -> None:
    call = hidden_call("uniform", NSA, keys=32, top_k=4)
    outputs = call.check(runner, implementation)
    assert np.all(outputs.floats("softmax_max") == -FLT_MAX)
    assert np.all(outputs.floats("softmax_sum") == 32)
    mean = call.value.values.mean(axis=0)
    assert np.allclose(outputs.real("attention_out").values, mean, rtol=2.0**-8, atol=2.0**-10)


def test_fully_masked_row_is_zero_where_so_asked(
    runner: Runner, implementation: Implementation
) -> None:
    outputs = hidden_call("zero", NSA, keys=32, top_k=4).check(runner, implementation)
    assert np.all(outputs.floats("softmax_max") == -FLT_MAX)
    assert np.all(outputs.floats("softmax_sum") == 0)
    assert np.all(outputs.real("attention_out").values == 0)
    assert outputs.ints("topk_indices")[0, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("compress", "order"), [(16, [0, 1, 2, 3]), (32, [0, 1, 2, 3]), (48, [1, 2, 3, 0])]
)
def test_fully_masked_row_selects_complete_blocks_in_order(
    runner: Runner, implementation: Implementation, compress: int, order: list[int]
) -> None:
    # 20 keys, 4 to a block: blocks 0 to 3 are complete, except that three windows to a token
    # (l = 48) cut block 0 on the left; block 4 is cut on the right.
    call = hidden_call("uniform", Blocks(compress, 16, 64), keys=20, top_k=5)
    topk = call.check(runner, implementation).ints("topk_indices")[0, 0].tolist()
    assert topk == [*order, 4]


# --- keys in parts ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_of_the_keys_add_up_to_all_of_them(
    runner: Runner, implementation: Implementation, dtype: RealName
) -> None:
    rng = np.random.default_rng(45)
    hidden = rng.random((6, 70)) < 0.3
    hidden[:, 0] = False
    call = Training(
        query=random_real(rng, (10, 6, 24), dtype),
        key=random_real(rng, (103, 2, 24), dtype),
        value=random_real(rng, (103, 2, 9), dtype),
        q_lengths=[4, 6],
        kv_lengths=[33, 70],
        scale=exact_scale(24) * 2,
        atten_mask=hidden,
        masked_rows="zero",
        out_dtype="float32",
    )
    owner = rng.integers(0, 3, hidden.shape)
    owner[2] = 0  # the other parts of these rows are empty
    parts = [dataclasses.replace(call, atten_mask=hidden | (owner != part)) for part in range(3)]
    states = [part.check(runner, implementation) for part in parts]
    merged = merge_states(runner, implementation, states)
    scores = np.zeros((10, 2, NSA.training_count(70)))
    for part in parts:
        part.whole, part.block_scores = merged[1:], True
        scores += part.check(runner, implementation).floats("block_scores")
    out, maximum, total = merged
    assert_attention(call.rows(), Real(out, "float32"), None, MERGED, maximum, total, scores)


# --- properties ---------------------------------------------------------------------------------


def test_single_key_gives_its_value(runner: Runner, implementation: Implementation) -> None:
    rng = np.random.default_rng(50)
    call = Training(
        query=random_real(rng, (3, 4, 24), "float16"),
        key=random_real(rng, (1, 2, 24), "float16"),
        value=random_real(rng, (1, 2, 8), "float16"),
        q_lengths=[3],
        kv_lengths=[1],
        top_k=1,
        scale=0.25,
    )
    outputs = call.check(runner, implementation)
    out = outputs.real("attention_out").values
    assert np.array_equal(out, np.repeat(call.value.values, 2, axis=1).repeat(3, axis=0))
    assert np.all(outputs.floats("softmax_sum") == 1)
    assert np.all(outputs.ints("topk_indices") == 0)


def test_equal_keys_share_the_mass_equally(runner: Runner, implementation: Implementation) -> None:
    rng = np.random.default_rng(51)
    call = Training(
        query=random_real(rng, (2, 2, 24), "bfloat16"),
        key=Real(np.repeat(random_real(rng, (1, 1, 24), "bfloat16").values, 21, 0), "bfloat16"),
        value=random_real(rng, (21, 1, 8), "bfloat16"),
        q_lengths=[2],
        kv_lengths=[21],
        top_k=6,
        scale=0.25,
    )
    outputs = call.check(runner, implementation)
    assert np.all(outputs.floats("softmax_sum") == 21)
    # Equal scores by lower index; block 4 hears tokens 16 to 20, block 5 token 20 alone.
    assert np.all(outputs.ints("topk_indices") == [0, 1, 2, 3, 4, 5])


def test_no_key_gives_zero_and_no_block(runner: Runner, implementation: Implementation) -> None:
    rng = np.random.default_rng(52)
    call = Training(
        query=random_real(rng, (5, 2, 8), "float16"),
        key=random_real(rng, (9, 1, 8), "float16"),
        value=random_real(rng, (9, 1, 8), "float16"),
        q_lengths=[2, 3],
        kv_lengths=[0, 9],
        top_k=2,
    )
    outputs = call.check(runner, implementation)
    assert np.all(outputs.real("attention_out").values[:2] == 0)
    assert np.all(outputs.ints("topk_indices")[:2] == -1)
    assert np.all(outputs.floats("softmax_max")[:2] == -np.inf)
    assert np.all(outputs.floats("softmax_sum")[:2] == 0)


def test_without_selection_it_is_dense_attention(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(53)
    call = Training(
        query=random_real(rng, (40, 4, 64), "bfloat16"),
        key=random_real(rng, (40, 2, 64), "bfloat16"),
        value=random_real(rng, (40, 2, 64), "bfloat16"),
        q_lengths=[40],
        kv_lengths=[40],
        blocks=Blocks(1, 1, 1),
        top_k=0,
        scale=exact_scale(64),
        atten_mask=np.triu(np.ones((40, 40), bool), 1),
    )
    outputs = call.check(runner, implementation)
    assert outputs.ints("topk_indices").shape == (40, 2, 0)


def test_nan_in_a_query_stays_in_its_row_and_its_blocks_rank_by_index(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(54)
    call = Training(
        query=random_real(rng, (5, 4, 16), "float16"),
        key=random_real(rng, (30, 2, 16), "float16"),
        value=random_real(rng, (30, 2, 8), "float16"),
        q_lengths=[5],
        kv_lengths=[30],
        top_k=6,
    )
    clean = call.run(runner, implementation)
    query = call.query.values.copy()
    query[1, 0, 2] = np.nan
    outputs = dataclasses.replace(call, query=Real(query, "float16")).run(runner, implementation)
    for name in ("attention_out", "topk_indices", "softmax_max", "softmax_sum"):
        got, expected = outputs.array(name).copy(), clean.array(name)
        if name == "topk_indices":
            assert got[1, 0].tolist() == [0, 1, 2, 3, 4, 5]
        else:
            assert np.isnan(got[1, 0]).all(), name
        got[1, 0] = expected[1, 0]
        assert np.array_equal(got, expected), name


@pytest.mark.parametrize("how", ["atten_mask", "causal", "key_limits"])
def test_nan_in_a_key_stays_in_the_rows_that_see_it(
    runner: Runner, implementation: Implementation, how: str
) -> None:
    rng = np.random.default_rng(55)
    call = Training(
        query=random_real(rng, (40, 4, 16), "float16"),
        key=random_real(rng, (30, 2, 16), "float16"),
        value=random_real(rng, (30, 2, 8), "float16"),
        q_lengths=[40],
        kv_lengths=[30],
        blocks=Blocks(4, 2, 8),
        top_k=6,
        masked_rows="zero",
        block_scores=True,
    )
    sees = np.arange(40) >= 13 * 2 + 4 - 1  # key 13 with the last token of its window
    if how == "atten_mask":
        call.atten_mask = causal_mask(40, 30, call.blocks)
    elif how == "causal":
        call.causal = True
    else:
        call.key_limits = np.where(sees, 30, 13)
    clean = call.run(runner, implementation)
    for tensor in ("key", "value"):
        poisoned = getattr(call, tensor).values.copy()
        poisoned[13, 0] = np.nan
        changed = dataclasses.replace(call)
        setattr(changed, tensor, Real(poisoned, "float16"))
        outputs = changed.run(runner, implementation)
        for name in ("attention_out", "topk_indices", "softmax_max", "softmax_sum", "block_scores"):
            got, expected = outputs.array(name), clean.array(name)
            assert np.array_equal(got[~sees], expected[~sees]), (tensor, name)
            other = slice(got.shape[1] // 2, None)  # heads of the other kv head
            assert np.array_equal(got[:, other], expected[:, other]), (tensor, name)
        assert np.isnan(outputs.array("attention_out")[sees, :2]).all()


def composed(
    runner: Runner,
    implementation: Implementation,
    raw: Floats,
    masked_rows: MaskedRows,
    by_positions: bool,
) -> Outputs:
    """Compress raw tokens [S, 1, 40] (24 channels of key, 16 of value), then attend causally."""
    weight = np.full((32, 1), 1 / 32)
    attributes = {"act_seq_len": [len(raw)], "compress_block_size": 32, "compress_stride": 16}
    halves = []
    for part in (raw[..., :24], raw[..., 24:]):
        tensors = {"input": Real.round(part, "float16"), "weight": Real.round(weight, "float16")}
        halves.append(
            runner.run("nsa_compress", implementation, tensors, attributes).real("output")
        )
    keys = window_count(len(raw), 32, 16)
    query = np.random.default_rng(60).standard_normal((len(raw), 2, 24))
    return Training(
        query=Real.round(query, "float16"),
        key=halves[0],
        value=halves[1],
        q_lengths=[len(raw)],
        kv_lengths=[keys],
        top_k=3,
        atten_mask=None if by_positions else causal_mask(len(raw), keys),
        causal=by_positions,
        masked_rows=masked_rows,
    ).run(runner, implementation)


@pytest.mark.parametrize("by_positions", [False, True], ids=["mask", "causal"])
@pytest.mark.parametrize("masked_rows", ["zero", "uniform"])
def test_causal_output_depends_on_no_later_token_except_through_uniform_rows(
    runner: Runner, implementation: Implementation, masked_rows: MaskedRows, by_positions: bool
) -> None:
    raw = np.random.default_rng(61).standard_normal((160, 1, 40))
    changed = raw.copy()
    changed[100:] += 1
    before, after = (
        composed(runner, implementation, tokens, masked_rows, by_positions)
        .real("attention_out")
        .values
        for tokens in (raw, changed)
    )
    assert np.array_equal(after[31:100], before[31:100])
    assert not np.array_equal(after[111:], before[111:])
    # No window ends before token 31: those rows see no key, and the uniform mean leaks the future.
    assert np.array_equal(after[:31], before[:31]) == (masked_rows == "zero")


def test_scores_of_the_selected_blocks_never_increase(
    runner: Runner, implementation: Implementation
) -> None:
    call = random_call(19)
    topk = call.check(runner, implementation).ints("topk_indices")
    checked = 0
    for t, heads in enumerate(call.rows()):
        for g, row in enumerate(heads):
            picked = topk[t, g][topk[t, g] >= 0]
            assert len(set(picked.tolist())) == len(picked) == min(call.top_k, len(row.scores))
            scores = row.scores[picked]
            finite = np.isfinite(scores)
            assert np.all(scores[finite][1:] <= scores[finite][:-1] * (1 + 2.0**-12))
            checked += len(picked)
    assert checked > 100


@pytest.mark.parametrize("seed", [3, 8, 21])
def test_thread_count_changes_no_bit(
    runner: Runner, implementation: Implementation, seed: int
) -> None:
    call = random_call(seed)
    one, two, seven = (call.run(runner, implementation, "--threads", n) for n in ("1", "2", "7"))
    assert one.same_bits(two)
    assert one.same_bits(seven)
