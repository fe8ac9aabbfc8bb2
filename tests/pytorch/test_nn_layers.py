"""What the layers and their caches share: counts of any kind, and sizes that they print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import test_nn_compressed
import test_nn_deepseek
import torch

from tamis.nn import (
    DeepSeekSparseAttention,
    NativeCompressedAttention,
    NativeSparseAttention,
    PagedCache,
)

COUNTS: dict[str, Callable[[list[int]], Any]] = {
    "a tuple": tuple,
    "int64 of torch": torch.tensor,
    "int32 of torch": lambda counts: torch.tensor(counts, dtype=torch.int32),
    "int32 of numpy": lambda counts: np.array(counts, np.int32),
    "numbers of torch": lambda counts: list(torch.tensor(counts)),
}


@pytest.mark.parametrize("kind", COUNTS)
def test_counts_may_be_tensors(kind: str) -> None:
    make = COUNTS[kind]
    torch.manual_seed(1)
    layer = DeepSeekSparseAttention(**test_nn_deepseek.SMALL)
    x = torch.cat(test_nn_deepseek.tokens(256, [9, 4]))
    cache, other = (test_nn_deepseek.new_cache(layer) for _ in range(2))
    assert torch.equal(layer(x, make([9, 4]), cache), layer(x, [9, 4], other))
    cache.truncate(make([3, 4]))
    assert cache.lengths == [3, 4]
    assert all(type(length) is int for length in cache.lengths)
    pool = PagedCache({"row": (1,)}, sequences=2, pages=2)
    assert pool.append(make([2, 1]))[1].tolist() == [0, 1, 0]

    part = test_nn_compressed.new_layer()
    parts = test_nn_compressed.pack(test_nn_compressed.tokens())
    pools = [test_nn_compressed.new_cache(part) for _ in range(2)]
    for counts in (test_nn_compressed.LENGTHS, [1, 2]):
        new = [kind[: sum(counts)] for kind in parts]
        found, want = part(*new, make(counts), pools[0]), part(*new, counts, pools[1])
        assert all(map(torch.equal, found, want))


NO_COUNTS: dict[str, Any] = {
    "booleans": [True, False],
    "a mask": torch.tensor([True, False]),
    "floats": torch.tensor([1.0, 0.0]),
    "a number": 1,
    "None": None,
}


@pytest.mark.parametrize("what", NO_COUNTS)
def test_counts_that_are_no_integers_are_refused(what: str) -> None:
    pool = PagedCache({"row": (1,)}, sequences=2, pages=2)
    for name, call in (("counts", pool.append), ("lengths", pool.truncate)):
        with pytest.raises(TypeError, match=f"^{name}: expected a sequence of integers, got "):
            call(NO_COUNTS[what])
    assert pool.lengths == [0, 0]


def test_layers_print_their_sizes() -> None:
    with torch.device("meta"):
        released = DeepSeekSparseAttention()
    assert repr(released) == (
        "DeepSeekSparseAttention(hidden=7168, heads=128, q_lora_rank=1536, kv_lora_rank=512, "
        "rope_dim=64, nope_dim=128, v_dim=128, index_heads=64, index_dim=128, topk=2048, "
        "rope=yarn, scale_value=0.135234, dtype=torch.bfloat16, bytes=383.5 MiB, "
        "cache_bytes_per_token=1.375 KiB)"
    )
    assert sum(p.nbytes for p in released.parameters()) == pytest.approx(383.5 * 2**20, rel=1e-3)
    part = repr(NativeCompressedAttention(heads=8, kv_heads=2))
    assert part == (
        "NativeCompressedAttention(heads=8, kv_heads=2, qk_dim=192, v_dim=128, "
        "compress_block_size=32, compress_stride=16, select_block_size=64, select_block_count=16, "
        "importance=exact_overlap, dtype=torch.bfloat16, bytes=256 B, "
        "cache_bytes_per_token=1.328 KiB)"
    )
    with torch.device("meta"):
        paper = NativeSparseAttention()
    assert repr(paper).startswith(
        "NativeSparseAttention(\n  hidden=2560, window_size=512, rope=default, "
    )


def test_caches_print_their_sizes_and_what_is_left() -> None:
    layer = NativeCompressedAttention(heads=8, kv_heads=2)
    cache = layer.make_cache(sequences=2, pages=4, page_size=16)
    cache.append([17, 3])
    assert repr(cache) == (
        "PagedCache(sequences=2, lengths=[17, 3], page_size=16, pages=4, unused=1, "
        "dtype=torch.bfloat16, bytes=85 KiB, rows={'key': [2, 192], 'value': [2, 128], "
        "'key_windows': [2, 192], 'value_windows': [2, 128]})"
    )
