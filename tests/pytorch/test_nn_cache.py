"""PagedCache: where rows lie, and when there is no room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from tamis.nn import PagedCache, empty_in_huge_pages


def cache(pages: int = 4) -> PagedCache:
    return PagedCache({"row": (1, 3)}, sequences=2, pages=pages, page_size=4)


def test_slots_and_table_agree() -> None:
    pool = cache()
    rows: list[list[int]] = [[], []]
    for counts in ([3, 0], [2, 1], [0, 6], [1, 1]):
        slots, positions = pool.append(counts)
        begin = 0
        for b, count in enumerate(counts):
            rows[b] += slots[begin : begin + count].tolist()
            ends = range(len(rows[b]) - count, len(rows[b]))
            assert positions[begin : begin + count].tolist() == list(ends)
            begin += count
    assert pool.lengths == [6, 8]
    table = pool.block_table()
    assert table.dtype == torch.int32
    for b, found in enumerate(rows):
        assert found == [int(table[b, p // 4]) * 4 + p % 4 for p in range(len(found))]
    assert len({*rows[0], *rows[1]}) == 14
    assert pool.tensors["row"].shape == (4, 4, 1, 3)


def test_freed_pages_are_used_again() -> None:
    pool = cache()
    pool.append([12, 4])
    pool.free(0)
    assert pool.lengths == [0, 4]
    assert pool.block_table().tolist() == [[-1] * 4, [3, -1, -1, -1]]
    slots, _ = pool.append([0, 12])
    assert sorted(slots.tolist()) == list(range(12))


def test_rows_that_are_taken_back_free_their_pages() -> None:
    pool = cache()
    pool.append([9, 4])
    pool.truncate([4, 3])
    assert pool.lengths == [4, 3]
    assert pool.block_table().tolist() == [[0, -1, -1, -1], [3, -1, -1, -1]]
    slots, positions = pool.append([1, 1])
    assert positions.tolist() == [4, 3]
    assert slots.tolist() == [4, 15]
    for wrong in ([5], [6, 0], [-1, 0]):
        with pytest.raises(ValueError, match=r"lengths: expected at most \[5, 4\]"):
            pool.truncate(wrong)
    assert pool.lengths == [5, 4]


def test_a_pool_that_is_too_small_stays_as_it_was() -> None:
    pool = cache()
    pool.append([5, 0])
    before = pool.block_table().clone()
    with pytest.raises(MemoryError, match="counts: expected at most 2 new pages, got 3"):
        pool.append([0, 9])
    assert pool.lengths == [5, 0]
    assert torch.equal(pool.block_table(), before)
    assert pool.append([3, 8])[0].shape == (11,)


@pytest.mark.parametrize("counts", [[1], [1, 2, 3], [-1, 1]])
def test_counts_are_one_per_sequence(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="counts: expected 2 numbers of at least 0"):
        cache().append(counts)


def test_nothing_new_changes_nothing() -> None:
    pool = cache()
    slots, positions = pool.append([0, 0])
    assert slots.shape == positions.shape == (0,)
    assert (pool.block_table() == -1).all()


def test_a_large_cache_asks_for_huge_pages() -> None:
    tensor = empty_in_huge_pages((4096, 2048), torch.bfloat16).zero_()
    assert tensor.shape == (4096, 2048)
    assert tensor.dtype == torch.bfloat16
    if not Path("/sys/kernel/mm/transparent_hugepage").exists():
        return  # a kernel without them: the tensor alone is what there is
    middle = tensor.data_ptr() + tensor.nbytes // 2
    flags = ""
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="ascii").splitlines():
        span = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if span:
            inside = int(span[1], 16) <= middle < int(span[2], 16)
        elif inside and line.startswith("VmFlags:"):
            flags = line
    assert " hg" in flags


def test_a_small_tensor_needs_no_huge_page() -> None:
    assert empty_in_huge_pages((3, 5), torch.float16).zero_().sum() == 0
    assert empty_in_huge_pages((0, 5), torch.float16).numel() == 0
