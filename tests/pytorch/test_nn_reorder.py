"""PageTable.reorder: sequences that become others share full pages, and never write into one."""

from __future__ import annotations

import pytest
import torch

from tamis.nn import NativeSparseAttention, PagedCache, PageTable, mla_sparse_attention


def new_cache(sequences: int = 3, pages: int = 40) -> PagedCache:
    return PagedCache({"row": (1,)}, sequences=sequences, pages=pages, page_size=4)


def rows_of(cache: PagedCache) -> list[list[float]]:
    """What every sequence holds, read through the table."""
    flat, table = cache.tensors["row"].flatten(), cache.block_table()
    at = [
        [int(table[b, p // 4]) * 4 + p % 4 for p in range(n)] for b, n in enumerate(cache.lengths)
    ]
    return [[float(flat[slot]) for slot in slots] for slots in at]


def append(cache: PagedCache, held: list[list[float]], counts: list[int], first: float) -> None:
    slots, _ = cache.append(counts)
    new = torch.arange(len(slots)) + first
    cache.write(slots, row=new[:, None].bfloat16())
    for rows, part in zip(held, new.split(counts), strict=True):
        rows += part.tolist()


def test_full_pages_are_shared_and_the_last_is_copied() -> None:
    cache = new_cache()
    append(cache, [[], [], []], [10, 3, 0], 0)
    cache.reorder([0, 0, 0])
    table = cache.block_table()[:, :3]
    assert (table[:, :2] == table[0, :2]).all()
    assert len(set(table[:, 2].tolist())) == 3
    assert cache.table.unused == 40 - 2 - 3
    assert rows_of(cache) == [list(range(10))] * 3


def test_sequences_are_what_lists_would_be() -> None:
    """Any appending, truncating and reordering; a value is never another's."""
    torch.manual_seed(3)
    cache, refused = new_cache(), 0
    held: list[list[float]] = [[], [], []]
    for step in range(400):
        kind = int(torch.randint(0, 3, ()))
        try:
            if kind == 0:
                append(cache, held, torch.randint(0, 7, (3,)).tolist(), step % 200)
            elif kind == 1:
                kept = [int(torch.randint(0, len(rows) + 1, ())) for rows in held]
                cache.truncate(kept)
                held = [rows[:n] for rows, n in zip(held, kept, strict=True)]
            else:
                sources = torch.randint(-1, 3, (3,)).tolist()
                cache.reorder(sources)
                held = [[] if s < 0 else list(held[s]) for s in sources]
        except MemoryError:
            refused += 1
        assert rows_of(cache) == held
        pages = {
            int(page)
            for b, rows in enumerate(held)
            for page in cache.block_table()[b, : -(-len(rows) // 4)]
        }
        assert cache.table.unused == 40 - len(pages)
    assert refused < 200


def test_sources_that_there_are_not_are_refused() -> None:
    cache = new_cache(pages=3)
    append(cache, [[], [], []], [4, 6, 0], 0)
    for sources in ([0, 1], [0, 1, 3], [-2, 0, 0]):
        with pytest.raises(ValueError, match=r"^sources: expected 3 numbers from -1 to 2, got \["):
            cache.reorder(sources)
    with pytest.raises(MemoryError, match=r"^sources: expected at most 1 copies of pages, got 2$"):
        cache.reorder([1, 1, 1])
    assert cache.lengths == [4, 6, 0]


def test_a_table_does_not_keep_tensors_alive() -> None:
    table = PageTable(sequences=1, pages=2, page_size=4)
    for _ in range(2):
        PagedCache({"row": (1,)}, table)
    table.append([3])
    table.reorder([0])
    assert table.lengths == [3]


def test_a_shared_page_that_cannot_be_copied_is_not_cut() -> None:
    cache = new_cache(pages=2)
    append(cache, [[], [], []], [8, 0, 0], 0)
    cache.reorder([0, 0, -1])
    with pytest.raises(MemoryError, match=r"^lengths: expected at most 0 copies of pages, got 1$"):
        cache.truncate([8, 6, 0])
    assert rows_of(cache) == [list(range(8))] * 2 + [[]]


def test_packed_attention_wants_the_ends_of_sequences() -> None:
    query, rope = torch.zeros(2, 4, 8), torch.zeros(2, 4, 0)
    pages, table = torch.zeros(1, 4, 16), torch.zeros(1, 1, dtype=torch.int32)
    up, chosen = torch.zeros(4 * 16, 16), torch.zeros(2, 1, dtype=torch.int32)
    with pytest.raises(ValueError, match=r"^block_table: expected ends and lengths beside it"):
        mla_sparse_attention(query, rope, pages, pages[..., :0], chosen, up, 1.0, block_table=table)


@pytest.mark.parametrize("length", [16, 18, 23, 24, 37])
def test_windows_that_are_still_to_come_are_of_one_sequence(length: int) -> None:
    """A window lies in the page of its first token, and is written when its last one comes."""
    torch.manual_seed(0)
    layer = NativeSparseAttention(
        hidden=32, heads=4, kv_heads=1, qk_dim=16, v_dim=16, compress_block_size=8,
        compress_stride=4, select_block_size=8, select_block_count=3, window_size=8, rope_dim=8,
        dtype=torch.float32,
    )  # fmt: skip
    before, after = torch.randn(length, 32), torch.randn(18, 32)
    cache = layer.make_cache(sequences=3, pages=12, page_size=16)
    layer.attend(*layer.project(before), [length, 0, 0], cache)
    cache.reorder([0, 0, 0])
    got = layer.attend(*layer.project(after), [6, 6, 6], cache)
    for b in range(3):
        rows = slice(6 * b, 6 * b + 6)
        whole = torch.cat([before, after[rows]])
        alone = layer.make_cache(sequences=1, pages=12, page_size=16)
        want = layer.attend(*layer.project(whole), [length + 6], alone)
        for branch, expected in zip(got, want, strict=True):
            assert torch.allclose(branch[rows], expected[length:], atol=1e-6)
