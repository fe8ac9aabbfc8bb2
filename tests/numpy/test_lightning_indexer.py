"""lightning_indexer against its formula: scores by one matrix product, order by a stable sort."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from case_file import Real, RealName, Tensor
from formulation import Floats
from precision import Family, assert_close, assert_ranking
from runner import Implementation, Runner

LAYOUTS = ["BSND/BSND", "TND/TND", "BSND/PA_BSND", "TND/PA_BSND"]


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

    def run(
        self, runner: Runner, implementation: Implementation, layout: str
    ) -> list[tuple[Floats, Floats]]:
        """Indices and values [q, count] of every sequence."""
        query_layout, key_layout = layout.split("/")
        tensors: dict[str, Tensor] = {}
        lengths = [len(q) for q in self.queries]
        longest = max([*lengths, 1])

        def pack(parts: list[Floats]) -> Real:
            if query_layout == "TND":
                return Real.round(np.concatenate(parts), self.dtype)
            padded = np.full((len(parts), longest, *parts[0].shape[1:]), np.nan)
            for row, part in zip(padded, parts, strict=True):
                row[: len(part)] = part
            return Real.round(padded, self.dtype)

        tensors["query"], tensors["weights"] = pack(self.queries), pack(self.weights)
        q_lengths = np.cumsum(lengths) if query_layout == "TND" else np.array(lengths)
        tensors["actual_seq_lengths_query"] = q_lengths.astype(np.int32)
        n_lengths = np.array([len(k) for k in self.keys])
        if key_layout == "PA_BSND":
            tensors["key"], tensors["block_table"] = self.paged()
        elif key_layout == "TND":
            tensors["key"] = Real.round(np.concatenate(self.keys)[:, None], self.dtype)
            n_lengths = np.cumsum(n_lengths)
        else:
            rows = np.full((len(self.keys), max([*n_lengths, 1]), 1, self.dim), np.nan)
            for row, part in zip(rows, self.keys, strict=True):
                row[: len(part), 0] = part
            tensors["key"] = Real.round(rows, self.dtype)
        tensors["actual_seq_lengths_key"] = n_lengths.astype(np.int64)
        attributes = {
            "layout_query": query_layout,
            "layout_key": key_layout,
            "sparse_count": self.count,
            "sparse_mode": self.mode,
            "return_value": True,
            "value_dtype": "float32",
            "pruning": self.pruning,
        }
        outputs = runner.run("lightning_indexer", implementation, tensors, attributes)
        indices, values = outputs.ints("sparse_indices"), outputs.floats("sparse_values")
        if query_layout == "BSND":
            for b, length in enumerate(lengths):
                assert np.all(indices[b, length:] == -1)
                assert np.all(values[b, length:] == -np.inf)
            found = [(indices[b, :q, 0], values[b, :q, 0]) for b, q in enumerate(lengths)]
        else:
            ends = np.cumsum(lengths)
            found = [
                (indices[end - q : end, 0], values[end - q : end, 0])
                for end, q in zip(ends, lengths, strict=True)
            ]
        return [(i.astype(np.float64), v) for i, v in found]

    @property
    def dim(self) -> int:
        """Of a head."""
        return int(self.keys[0].shape[1])

    def paged(self) -> tuple[Real, Tensor]:
        """Keys dealt to pages from the last page down; what is not a key is NaN."""
        needed = [-(-len(k) // self.page) for k in self.keys]
        cache = np.full((sum(needed) + 1, self.page, 1, self.dim), np.nan)
        table = np.full((len(self.keys), max([*needed, 1])), -1, dtype=np.int32)
        free = len(cache) - 1
        for b, part in enumerate(self.keys):
            for i in range(needed[b]):
                rows = part[i * self.page : (i + 1) * self.page]
                cache[free, : len(rows), 0] = rows
                table[b, i] = free
                free -= 1
        return Real.round(cache, self.dtype), table


def random_call(seed: int, dtype: RealName) -> Call:
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


def check(call: Call, found: list[tuple[Floats, Floats]], family: Family) -> None:
    """Every row: the ranking, and the value at every place."""
    for b, (indices, values) in enumerate(found):
        query, weight, key = call.queries[b], call.weights[b], call.keys[b]
        dots = np.einsum("tgc,jc->tgj", query, key)
        sizes = np.einsum("tgc,jc->tgj", np.abs(query), np.abs(key))
        scores = np.einsum("tg,tgj->tj", weight, np.maximum(dots, 0))
        error = np.einsum("tg,tgj->tj", np.abs(weight), family.of_sum(query.shape[2], sizes))
        error = error + family.of_sum(
            query.shape[1], np.einsum("tg,tgj->tj", np.abs(weight), np.maximum(dots, 0))
        )
        for t in range(len(query)):
            visible = len(key)
            if call.mode == 3:
                visible = max(0, len(key) - len(query) + t + 1)
            where = f"[{b}, {t}]"
            chosen = indices[t].astype(np.int64)
            seen = slice(visible)
            assert_ranking(f"sparse_indices{where}", chosen, scores[t, seen], error[t, seen])
            filled = min(call.count, visible)
            assert np.all(values[t, filled:] == -np.inf)
            at = chosen[:filled]
            assert_close(
                f"sparse_values{where}", values[t, :filled], scores[t, at], error[t, at], "float32"
            )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    dtype: RealName = "bfloat16" if seed % 2 == 0 else "float16"
    call = random_call(700 + seed, dtype)
    check(call, call.run(runner, implementation, layout), implementation.family)


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
