"""lightning_indexer against its formula: scores by one matrix product, order by a stable sort."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from attention_calls import random_limits
from case_file import Real, RealName, Tensor
from formulation import Floats, Ints
from key_shadow import shadow_of
from pages import block_table, deal, hide, pad
from precision import Family, assert_close, assert_ranking
from runner import Implementation, Outputs, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
LAYOUTS = ["BSND/BSND", "TND/TND", "BSND/PA_BSND", "TND/PA_BSND"]
SPARE = 2  # rows of padding past the packed tokens


@dataclass
class Call:
    """Sequences of query tokens with their keys; layouts are made when it runs."""

    queries: list[Floats]  # per sequence [q, heads, dim], values that the type holds
    weights: list[Floats]  # [q, heads]
    keys: list[Floats]  # [n, dim]
    dtype: RealName
    count: int
    mode: int
    page: int = 16
    pruning: str = "auto"
    shadow: bool = False
    weight_dtype: RealName | None = None  # as the queries
    value_dtype: str = "float32"
    starts: list[int] | None = None  # per sequence, or one for all
    limits: list[Ints] | None = None  # per sequence [q]
    ratio: int = 1
    tokens: list[int] | None = None  # raw ones; per sequence, or one for all
    unseen: float = np.nan  # in place of keys before those that count

    def start(self, b: int) -> int:
        """The first key of a sequence that counts."""
        return 0 if self.starts is None else self.starts[b % len(self.starts)]

    def end(self, b: int, t: int) -> int:
        """Keys before this one are seen by a token; not before the first that counts."""
        q, n = len(self.queries[b]), len(self.keys[b])
        end = n
        if self.mode == 3 and self.ratio == 1:
            end = n - q + t + 1
        elif self.mode == 3:
            raw = q if self.tokens is None else self.tokens[b % len(self.tokens)]
            position = raw - q + t
            end = min(n, (position + 1) // self.ratio)
        if self.limits is not None:
            end = min(end, int(self.limits[b][t]))
        return max(end, self.start(b))

    def stored(self) -> str:
        """The type of the values."""
        return self.dtype if self.value_dtype == "input" else self.value_dtype

    def pack(self, parts: list[Floats], layout: str, fill: float = np.nan) -> Floats:
        """What every token has, in one tensor."""
        if layout == "TND":
            return np.concatenate([*parts, np.full((SPARE, *parts[0].shape[1:]), fill)])
        return pad(parts, fill)

    def lay_keys(self, layout: str) -> Floats:
        """Keys in one tensor; what is not a key is NaN, those that do not count are `unseen`."""
        starts = [self.start(b) for b in range(len(self.keys))]
        parts = [part[:, None] for part in hide(self.keys, starts, self.unseen)]
        if layout == "TND":
            return np.concatenate(parts)
        return pad(parts) if layout == "BSND" else deal(parts, self.page)

    def tensors(self, query_layout: str, key_layout: str) -> dict[str, Tensor]:
        """All of a call."""
        weights = self.pack(self.weights, query_layout)
        key = Real.round(self.lay_keys(key_layout), self.dtype)
        lengths = np.array([len(q) for q in self.queries])
        n_lengths = np.array([len(k) for k in self.keys])
        found: dict[str, Tensor] = {
            "query": Real.round(self.pack(self.queries, query_layout), self.dtype),
            "weights": Real.round(weights, self.weight_dtype or self.dtype),
            "key": key,
            "actual_seq_lengths_query": (
                np.cumsum(lengths) if query_layout == "TND" else lengths
            ).astype(np.int32),
            "actual_seq_lengths_key": (
                np.cumsum(n_lengths) if key_layout == "TND" else n_lengths
            ).astype(np.int64),
        }
        if key_layout == "PA_BSND":
            unread = [self.start(b) // self.page for b in range(len(self.keys))]
            found["block_table"] = block_table(n_lengths.tolist(), self.page, unread)
        if self.shadow:
            found["key_shadow"] = shadow_of(key.values)
        # Lengths may be of either type: take one here, the other in another layout.
        counts = np.int32 if query_layout == "TND" else np.int64
        if self.starts is not None:
            found["key_starts"] = np.array(self.starts, counts)
        if self.limits is not None:
            limits = [row.astype(float) for row in self.limits]
            found["key_limits"] = self.pack(limits, query_layout, 2**31 - 1).astype(np.int32)
        if self.tokens is not None:
            found["actual_seq_lengths_tokens"] = np.array(self.tokens, counts)
        return found

    def run(
        self, runner: Runner, implementation: Implementation, layout: str
    ) -> list[tuple[Ints, Floats]]:
        """Indices and values [q, count] of every sequence."""
        query_layout, key_layout = layout.split("/")
        attributes = {
            "layout_query": query_layout,
            "layout_key": key_layout,
            "sparse_count": self.count,
            "sparse_mode": self.mode,
            "compress_ratio": self.ratio,
            "return_value": True,
            "value_dtype": self.value_dtype,
            "pruning": self.pruning,
        }
        tensors = self.tensors(query_layout, key_layout)
        outputs = runner.run("lightning_indexer", implementation, tensors, attributes)
        assert outputs.real("sparse_values").dtype == self.stored()
        return self.split(outputs, query_layout)

    def split(self, outputs: Outputs, layout: str) -> list[tuple[Ints, Floats]]:
        """Of every sequence; rows of padding hold nothing."""
        indices = outputs.ints("sparse_indices")[..., 0, :]
        values = outputs.real("sparse_values").values[..., 0, :]
        places = np.arange(indices[..., 0].size).reshape(indices.shape[:-1])
        lengths = [len(q) for q in self.queries]
        if layout == "TND":
            rows = np.split(places, np.cumsum(lengths))[:-1]
        else:
            rows = [row[:q] for row, q in zip(places, lengths, strict=True)]
        indices, values = indices.reshape(-1, self.count), values.reshape(-1, self.count)
        padding = np.setdiff1d(places, np.concatenate(rows))
        assert np.all(indices[padding] == -1)
        assert np.all(values[padding] == -np.inf)
        return [(indices[row], values[row]) for row in rows]


def random_call(seed: int, dtype: RealName) -> Call:
    """Any sizes; every key is seen, or what causality leaves."""
    rng = np.random.default_rng(seed)
    heads, dim = int(rng.integers(1, 70)), int(rng.choice([1, 7, 64, 128]))
    batch = int(rng.integers(1, 4))
    lengths = rng.integers(0, 6, batch)
    lengths[0] += 1

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    return Call(
        queries=[normal(int(q), heads, dim) for q in lengths],
        weights=[normal(int(q), heads) for q in lengths],
        keys=[normal(int(n), dim) for n in rng.integers(0, 120, batch)],
        dtype=dtype,
        count=int(rng.integers(1, 50)),
        mode=int(rng.choice([0, 3])),
        page=int(rng.integers(1, 30)),
        pruning=str(rng.choice(["auto", "on"])),
    )


def random_tokens(rng: np.random.Generator, call: Call) -> list[int]:
    """Raw tokens that end about where the keys do; the query's at least."""
    pairs = [
        (len(q), len(key) * call.ratio) for q, key in zip(call.queries, call.keys, strict=True)
    ]
    tokens = [q + int(rng.integers(n // 2, n + call.ratio)) for q, n in pairs]
    return [max(tokens)] if rng.random() < 0.3 else tokens


def hiding(seed: int, call: Call) -> Call:
    """The call with whatever may hide keys, and with other types and a shadow."""
    rng = np.random.default_rng(seed)
    pairs = [(len(q), len(key)) for q, key in zip(call.queries, call.keys, strict=True)]
    shadow = bool(rng.random() < 0.6)
    call = replace(
        call,
        mode=int(rng.choice([0, 3, 3])),
        pruning="on" if shadow else call.pruning,
        shadow=shadow,
        weight_dtype="float32" if rng.random() < 0.5 else call.dtype,
        value_dtype="input" if rng.random() < 0.3 else "float32",
        ratio=int(rng.choice([1, 2, 4, 7])),
        # What must not be seen would rank first, or would make a score NaN.
        unseen=float(rng.choice([np.nan, 1000.0])),
    )
    if rng.random() < 0.6:
        starts = [n if rng.random() < 0.1 else int(rng.integers(0, n // 2 + 1)) for _, n in pairs]
        call.starts = [min(starts)] if rng.random() < 0.3 else starts
    if rng.random() < 0.6:
        call.limits = [random_limits(rng, np.full(q, n)) for q, n in pairs]
    if call.ratio > 1 and rng.random() < 0.8:
        call.tokens = random_tokens(rng, call)
    return call


def scores_of(call: Call, b: int, family: Family) -> tuple[Floats, Floats]:
    """Scores [q, n] of a sequence and how far an evaluation may be from them."""
    query, weight, key = call.queries[b], call.weights[b], call.keys[b]
    dots = np.einsum("tgc,jc->tgj", query, key, optimize=True)
    sizes = np.einsum("tgc,jc->tgj", np.abs(query), np.abs(key), optimize=True)
    heads = np.maximum(dots, 0)
    scores = np.einsum("tg,tgj->tj", weight, heads)
    of_dots = np.einsum("tg,tgj->tj", np.abs(weight), family.of_sum(query.shape[2], sizes))
    of_heads = family.of_sum(query.shape[1], np.einsum("tg,tgj->tj", np.abs(weight), heads))
    return scores, of_dots + of_heads


def check(call: Call, found: list[tuple[Ints, Floats]], family: Family) -> None:
    """Every row: the ranking, and the value at every place."""
    for b, (indices, values) in enumerate(found):
        scores, error = scores_of(call, b, family)
        begin = call.start(b)
        for t in range(len(scores)):
            end = call.end(b, t)
            where = f"[{b}, {t}]"
            filled = min(call.count, end - begin)
            at = indices[t, :filled]
            assert np.all((at >= begin) & (at < end)), f"{where}: keys that are not seen: {at}"
            from_first = np.where(indices[t] < 0, -1, indices[t] - begin)
            seen = slice(begin, end)
            assert_ranking(f"sparse_indices{where}", from_first, scores[t, seen], error[t, seen])
            assert np.all(indices[t, filled:] == -1)
            assert np.all(values[t, filled:] == -np.inf)
            what = f"sparse_values{where}"
            assert_close(what, values[t, :filled], scores[t, at], error[t, at], call.stored())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(9))
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = random_call(700 + seed, DTYPES[seed % 3])
    check(call, call.run(runner, implementation, layout), implementation.family)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(12))
def test_keys_that_are_hidden_are_none_to_select(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = hiding(760 + seed, random_call(740 + seed, DTYPES[seed % 3]))
    check(call, call.run(runner, implementation, layout), implementation.family)


# --- which keys a token sees, exactly: without a query all scores are equal ---------------------


def listed(call: Call, found: list[tuple[Ints, Floats]]) -> list[list[list[int]]]:
    """The positions of every token of every sequence."""
    for _, values in found:
        assert set(np.unique(values)) <= {0, -np.inf}
    return [[row[row >= 0].tolist() for row in indices] for indices, _ in found]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(6))
def test_equal_scores_list_all_keys_that_are_seen(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = hiding(780 + seed, random_call(790 + seed, DTYPES[seed % 3]))
    call = replace(call, queries=[0 * query for query in call.queries], count=130, unseen=1.0)
    expected = [
        [list(range(call.start(b), call.end(b, t))) for t in range(len(query))]
        for b, query in enumerate(call.queries)
    ]
    assert listed(call, call.run(runner, implementation, layout)) == expected


def still_call(dtype: RealName, q_lengths: list[int], n_lengths: list[int]) -> Call:
    """Causal queries of zeros."""
    rng = np.random.default_rng(800)
    return Call(
        queries=[np.zeros((q, 2, 8)) for q in q_lengths],
        weights=[np.ones((q, 2)) for q in q_lengths],
        keys=[Real.round(rng.standard_normal((n, 8)), dtype).values for n in n_lengths],
        dtype=dtype,
        count=9,
        mode=3,
        page=3,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_staircase_by_hand(
    runner: Runner, implementation: Implementation, dtype: RealName, layout: str
) -> None:
    # Keys of 4 raw tokens. The first sequence has 14 of them, its queries are those at 7 to 13;
    # the second has 21, but keys for 16 only; the third's queries are all that there is.
    call = still_call(dtype, [7, 2, 5], [3, 4, 2])
    call = replace(call, ratio=4, tokens=[14, 21, 5])
    first, second, third = listed(call, call.run(runner, implementation, layout))
    assert first == [[0, 1]] * 4 + [[0, 1, 2]] * 3
    assert second == [[0, 1, 2, 3]] * 2
    assert third == [[], [], [], [0], [0]]
    call.tokens = None
    first, second, third = listed(call, call.run(runner, implementation, layout))
    assert first == [[], [], [], [0], [0], [0], [0]]
    assert second == [[], []]
    assert third == [[], [], [], [0], [0]]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_starts_and_limits_by_hand(
    runner: Runner, implementation: Implementation, dtype: RealName, layout: str
) -> None:
    # Causality leaves positions up to 3, 4 and 5 of the first sequence, up to 3 and 4 of the other.
    call = still_call(dtype, [3, 2], [6, 5])
    call = replace(call, starts=[2, 5], unseen=1.0)
    assert listed(call, call.run(runner, implementation, layout)) == [
        [[2, 3], [2, 3, 4], [2, 3, 4, 5]],
        [[], []],
    ]
    call = replace(call, starts=[1], limits=[np.array([9, 1, 4]), np.array([-(2**31), 2])])
    assert listed(call, call.run(runner, implementation, layout)) == [
        [[1, 2, 3], [], [1, 2, 3]],
        [[], [1]],
    ]
    call.mode = 0
    assert listed(call, call.run(runner, implementation, layout)) == [
        [[1, 2, 3, 4, 5], [], [1, 2, 3]],
        [[], [1]],
    ]


# --- many keys, many tokens ---------------------------------------------------------------------


def large_call(
    dtype: RealName, q_lengths: list[int], n_lengths: list[int], heads: int, dim: int
) -> Call:
    rng = np.random.default_rng(820)

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    return Call(
        queries=[normal(q, heads, dim) for q in q_lengths],
        weights=[normal(q, heads) for q in q_lengths],
        keys=[normal(n, dim) for n in n_lengths],
        dtype=dtype,
        count=20,
        mode=3,
        page=128,
        unseen=1000.0,
    )


@pytest.mark.parametrize("shadow", [False, True], ids=["plain", "shadow"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_hidden_keys_among_more_than_one_run_of_them(
    runner: Runner, implementation: Implementation, dtype: RealName, shadow: bool
) -> None:
    # Few tokens cut their keys into runs of 8192: one sequence begins in its second run, tokens of
    # the other end at the edge between its two, and a little after by the staircase.
    call = large_call(dtype, [3, 3], [9000, 8500], heads=16, dim=16)
    call = replace(call, ratio=4, tokens=[36002, 8 * 4096 + 22], starts=[8300, 5])
    call = replace(call, shadow=shadow, pruning="on" if shadow else "off")
    call.limits = [np.array([8310, 9000, 8000]), np.array([8192, 8193, 2**31 - 1])]
    assert [[call.end(b, t) for t in range(3)] for b in range(2)] == [
        [8310, 9000, 8300],
        [8192, 8193, 8197],
    ]
    check(call, call.run(runner, implementation, "TND/PA_BSND"), implementation.family)


@pytest.mark.parametrize("shadow", [False, True], ids=["plain", "shadow"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_hidden_keys_of_many_tokens(
    runner: Runner, implementation: Implementation, dtype: RealName, shadow: bool
) -> None:
    call = large_call(dtype, [50, 30], [120, 90], heads=16, dim=20)
    limits = np.random.default_rng(821)
    call = replace(
        call,
        ratio=2,
        tokens=[200, 190],
        starts=[30, 7],
        limits=[random_limits(limits, np.full(q, n)) for q, n in ((50, 120), (30, 90))],
        shadow=shadow,
        pruning="on" if shadow else "off",
    )
    check(call, call.run(runner, implementation, "BSND/BSND"), implementation.family)


# --- order --------------------------------------------------------------------------------------


def test_equal_scores_come_in_order_of_position(
    runner: Runner, implementation: Implementation
) -> None:
    key = np.zeros((90, 4))
    key[[11, 40, 41, 77]] = 1
    call = Call([np.ones((1, 3, 4))], [np.ones((1, 3))], [key], "float16", count=7, mode=0)
    ((indices, values),) = call.run(runner, implementation, "BSND/BSND")
    assert indices[0].tolist() == [11, 40, 41, 77, 0, 1, 2]
    assert values[0].tolist() == [12, 12, 12, 12, 0, 0, 0]


def test_a_key_that_no_token_may_see_changes_nothing(
    runner: Runner, implementation: Implementation
) -> None:
    call = random_call(711, "bfloat16")
    call.mode = 3
    before = call.run(runner, implementation, "BSND/PA_BSND")
    last = call.keys[0][-1].copy()
    call.keys[0][-1] = 100.0
    after = call.run(runner, implementation, "BSND/PA_BSND")
    call.keys[0][-1] = last
    for (was, _), (now, _) in zip(before, after, strict=True):
        assert np.array_equal(was[:-1], now[:-1])
