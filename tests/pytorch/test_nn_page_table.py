"""PageTable: one for all layers, changed in place, at a cost that no context makes grow."""

from __future__ import annotations

import time

import pytest
import torch
from test_nn_deepseek import LENGTHS, SMALL, new_cache, tokens

from tamis.nn import DeepSeekSparseAttention, PagedCache, PageTable


def test_the_table_is_one_tensor_changed_in_place() -> None:
    pages = PageTable(sequences=2, pages=6, page_size=4)
    table = pages.block_table()
    assert table.dtype == torch.int32
    assert table.shape == (2, 6)
    assert (table == -1).all()
    pages.append([5, 1])
    assert table.tolist() == [[0, 1, -1, -1, -1, -1], [2, -1, -1, -1, -1, -1]]
    pages.truncate([3, 1])
    pages.append([0, 5])
    assert table.tolist() == [[0, -1, -1, -1, -1, -1], [2, 1, -1, -1, -1, -1]]
    pages.free(1)
    assert table.tolist() == [[0, -1, -1, -1, -1, -1], [-1] * 6]
    assert pages.unused == 5
    assert pages.block_table() is table


def test_pages_never_have_two_owners() -> None:
    torch.manual_seed(1)
    table = PageTable(sequences=3, pages=12, page_size=4)
    refused = 0
    for _ in range(300):
        lengths, counts = table.lengths, torch.randint(0, 9, (3,)).tolist()
        try:
            table.append(counts)
        except MemoryError:
            refused += 1
            assert table.lengths == lengths
            table.truncate([int(torch.randint(0, n + 1, ())) for n in lengths])
        owned = [-(-n // 4) for n in table.lengths]
        rows = zip(table.block_table().tolist(), owned, strict=True)
        found = [page for row, n in rows for page in row[:n]]
        assert len(set(found)) == len(found) == sum(owned) == 12 - table.unused
        assert set(found) <= set(range(12))
    assert 20 < refused < 280


def test_a_sequence_may_be_given_few_columns() -> None:
    table = PageTable(sequences=2, pages=8, page_size=4, pages_per_sequence=2)
    assert table.block_table().shape == (2, 2)
    with pytest.raises(
        MemoryError, match=r"^counts: expected at most 2 pages for sequence 1, got 3$"
    ):
        table.append([1, 9])
    assert table.lengths == [0, 0]
    assert (table.block_table() == -1).all()
    assert table.append([8, 8])[0].tolist() == list(range(16))
    small = PageTable(sequences=1, pages=3, pages_per_sequence=9)
    assert small.block_table().shape == (1, 3)


def step_time(sequences: int, length: int) -> float:
    """Seconds of the fastest of many steps of one token per sequence."""
    table = PageTable(sequences=sequences, pages=sequences * (length // 64 + 20))
    table.append([length] * sequences)
    counts, fastest = [1] * sequences, float("inf")
    for _ in range(300):
        begin = time.perf_counter()
        table.append(counts)
        table.block_table()
        fastest = min(fastest, time.perf_counter() - begin)
    return fastest


@pytest.mark.parametrize("sequences", [1, 64])
def test_a_step_costs_at_10m_tokens_what_it_costs_at_10k(sequences: int) -> None:
    # A table that is made anew at every step costs 100 times as much and more.
    short, long = (step_time(sequences, total // sequences) for total in (10_000, 10_000_000))
    assert long < 5 * short


def test_reserved_rows_count_when_they_are_committed() -> None:
    table = PageTable(sequences=2, pages=6, page_size=4)
    table.append([3, 1])
    first, again = table.reserve([2, 4]), table.reserve([2, 4])
    assert all(map(torch.equal, first, again))
    assert (table.lengths, table.unused) == ([3, 1], 4)
    table.commit(again)
    assert (table.lengths, table.unused) == ([5, 5], 2)
    assert again.lengths.tolist() == [5, 5]
    assert again.ends.tolist() == [2, 6]


def test_layers_that_share_a_table_take_one_step_together() -> None:
    torch.manual_seed(2)
    layers = [DeepSeekSparseAttention(**SMALL) for _ in range(3)]
    table = PageTable(sequences=2, pages=20, page_size=16)
    shared = [layer.make_cache(table) for layer in layers]
    own = [new_cache(layer) for layer in layers]
    for counts in (LENGTHS, [1, 1], [3, 0]):
        x = y = torch.cat(tokens(SMALL["hidden"], counts))
        step = layers[0].step(counts, table)
        assert step.block_table is table.block_table()
        for layer, one, other in zip(layers, shared, own, strict=True):
            x, y = x + layer(x, step, one), y + layer(y, counts, other)
        assert torch.equal(x, y)
    assert table.lengths == [74, 34]
    assert all(cache.lengths == table.lengths for cache in (*shared, *own))


def test_layers_that_share_a_table_do_not_append_each() -> None:
    layer = DeepSeekSparseAttention(**SMALL)
    table = PageTable(sequences=2, pages=20, page_size=16)
    cache, x = layer.make_cache(table), torch.zeros(2, 256).bfloat16()
    with pytest.raises(ValueError, match=r"^counts: expected what step\(\) made of them"):
        layer(x, [1, 1], cache)
    step = layer.step([1, 1], table)
    with pytest.raises(ValueError, match=r"^counts: expected a step of the cache's table"):
        layer(x, step, new_cache(layer))
    assert table.lengths == [1, 1]
    with pytest.raises(TypeError, match=r"^pages: expected no sizes beside table"):
        PagedCache({"row": (1,)}, table, pages=3)
