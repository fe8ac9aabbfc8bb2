"""Selection over ranks is selection in one call, bit for bit."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from ranks import EVERYTHING, as_processes, as_threads
from torch import Tensor

from tamis.distributed import ContextGroup, DealtTable
from tamis.distributed.selection import Selected, Selection
from tamis.distributed.step import rank_keys

HEADS, DIM = 4, 32
KINDS = ("random", "ties", "equal", "nan", "mostly_nan", "inf", "skew")
COUNTS = (5, 64, 400, 2000)  # the last is more than there are keys
DTYPES = [torch.float16, torch.bfloat16, torch.float32]


class Case(NamedTuple):
    """Three sequences, one of them empty, and new tokens of two."""

    kind: str
    dtype: torch.dtype
    page_size: int
    shards: int
    before: list[int]
    new: list[int]

    def lengths(self) -> list[int]:
        return [a + b for a, b in zip(self.before, self.new, strict=True)]

    def keys(self) -> list[Tensor]:
        """[length, 1, DIM] of each sequence."""
        return [self._keys(length) for length in self.lengths()]

    def _keys(self, length: int) -> Tensor:
        random = torch.Generator().manual_seed(1)
        key = torch.randn(length, 1, DIM, generator=random).to(self.dtype)
        position = torch.arange(length)
        if self.kind == "ties":
            key = key[position % 7]
        elif self.kind == "equal":
            key[:] = key[:1]
        elif self.kind == "nan":
            key[5::7] = float("nan")
        elif self.kind == "mostly_nan":
            key[3:] = float("nan")
        elif self.kind == "inf":
            key[2::5] = float("inf")
            key[3::5] = -float("inf")
        elif self.kind == "skew":  # the best keys lie on one shard
            key[position // self.page_size % self.shards == self.shards - 1] *= 16
        return key

    def queries(self) -> tuple[Tensor, Tensor]:
        random, tokens = torch.Generator().manual_seed(2), sum(self.new)
        query = torch.randn(tokens, HEADS, DIM, generator=random).to(self.dtype)
        return query, torch.rand(tokens, HEADS, generator=random).to(self.dtype)


def one_call(case: Case, count: int) -> Selected:
    query, weights = case.queries()
    indices, values = torch.ops.tamis.lightning_indexer(
        query,
        torch.cat(case.keys()),
        weights,
        actual_seq_lengths_query=torch.tensor(case.new).cumsum(0),
        actual_seq_lengths_key=torch.tensor(case.lengths()).cumsum(0),
        layout_query="TND",
        layout_key="TND",
        sparse_count=count,
        return_value=True,
        value_dtype="float32",
    )
    return Selected(indices[:, 0], values[:, 0])


def fill(group: ContextGroup, case: Case) -> tuple[Tensor, Any]:
    """Index keys of this rank, NaN where no row lies, and the rows of the new tokens."""
    table = DealtTable(group, sequences=3, tokens=sum(case.lengths()) + 3 * group.layout.period)
    shape = table.own.pages, table.own.page_size, 1, DIM
    pool = torch.full(shape, float("nan"), dtype=case.dtype)
    first = [0, 0, 0]
    for counts in (case.before, case.new):
        rows = table.reserve(counts)
        new = torch.cat([k[f : f + n] for k, f, n in zip(case.keys(), first, counts, strict=True)])
        mine = rows.slots >= 0
        pool.flatten(0, 1)[rows.slots[mine]] = new[mine]
        table.commit(rows)
        first = counts
    return pool, rows


def over_ranks(cases: list[Case], rounds: int) -> list[tuple[Selected, int]]:
    """Selections of all counts for all cases, and how many tokens took a second round."""
    found = []
    for case in cases:
        group = ContextGroup(page_size=case.page_size, shards=case.shards)
        pool, rows = fill(group, case)
        query, weights = case.queries()
        for count in COUNTS:
            select = Selection(group, count, rounds)
            with group.alike(select.message_bytes(len(query))) as call:
                keys = rank_keys(group.layout, group.rank, rows)
                selected = select(call, query, pool, weights, keys)
            found.append((selected, select.second_rounds))
        group.close()
    return found


def check(cases: list[Case], results: list[list[tuple[Selected, int]]]) -> None:
    wanted = [one_call(case, count) for case in cases for count in COUNTS]
    for rank, result in enumerate(results):
        for i, ((found, _), want) in enumerate(zip(result, wanted, strict=True)):
            said = cases[i // len(COUNTS)], COUNTS[i % len(COUNTS)], rank
            assert torch.equal(found.indices, want.indices), said
            assert torch.equal(found.values.view(torch.int32), want.values.view(torch.int32)), said


def cases_of(world: int, shards: int, page_size: int, dtype: torch.dtype) -> list[Case]:
    """Lengths that are no multiple of anything; short ones leave ranks without keys."""
    long, short = [page_size * world + 160 * world, 0, 37], [3, 0, 1]
    kinds = KINDS if world <= 16 else ("nan", "skew")  # threads that wait for each other are slow
    found = [Case(kind, dtype, page_size, shards, long, [4, 0, 3]) for kind in kinds]
    found += [
        Case("random", dtype, page_size, shards, short, new) for new in ([1, 0, 0], [2, 0, 9])
    ]
    return [*found, Case("nan", dtype, page_size, shards, long, [100, 0, 1])]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("page_size", [1, 16, 64])
@pytest.mark.parametrize("world", [3, 8, 16, 64] if EVERYTHING else [8])
def test_ranks_as_threads(world: int, page_size: int, dtype: torch.dtype) -> None:
    cases = cases_of(world, world, page_size, dtype)
    results = as_threads(world, over_ranks, cases, 2)
    check(cases, results)
    # Skew forced the second round on the rank that has the best keys; three ranks send all at once.
    again = {cases[i // len(COUNTS)].kind for i, (_, rows) in enumerate(results[-1]) if rows}
    assert "skew" in again or world == 3


@pytest.mark.parametrize("page_size", [1, 16, 64] if EVERYTHING else [16])
@pytest.mark.parametrize("world", [1, 2, 3, 4] if EVERYTHING else [2])
def test_ranks_as_processes(world: int, page_size: int) -> None:
    cases = [case for dtype in DTYPES for case in cases_of(world, 5, page_size, dtype)]
    check(cases, as_processes(world, over_ranks, cases, 2))


def test_one_round_is_enough_for_the_same() -> None:
    cases = cases_of(3, 8, 16, torch.bfloat16)
    check(cases, as_threads(3, over_ranks, cases, 1))
