"""Where softmax_max and softmax_sum lie: as the query's tokens and heads, in every operator.

Numbers are exact. Every query token and head has a score of its own, the same for all its keys: the
maximum is that score, the sum is the count of keys, and attention is the value that all keys of a
sequence and head have. Parts of the keys merge to the whole with no more than a reshape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from case_file import Real, Tensor
from formulation import Floats, Ints
from runner import Implementation, Runner

QUERIES, KEYS = (4, 0, 5, 2), (20, 9, 3, 30)  # tokens of each sequence; one has more than keys
HEADS, DIM, SCALE = 6, 8, 0.5
PADDING = 2  # rows past the tokens
STATE = ("out", "softmax_max", "softmax_sum")


@dataclass
class Laid:
    """Rows of every sequence in one tensor, by layout."""

    layout: str

    def rows(self, parts: list[Floats], fill: float, padding: int = PADDING) -> Floats:
        """[B, longest + padding, ...] or [all + padding, ...]."""
        inner = parts[0].shape[1:]
        if self.layout == "TND":
            return np.concatenate([*parts, np.full((padding, *inner), fill)])
        longest = max(len(part) for part in parts) + padding
        laid = np.full((len(parts), longest, *inner), fill)
        for row, part in zip(laid, parts, strict=True):
            row[: len(part)] = part
        return laid

    def lengths(self, counts: list[int]) -> Ints:
        """Counts, or where each sequence ends."""
        return np.array(counts if self.layout == "BSND" else np.cumsum(counts), np.int64)


def numbers(b: int) -> Floats:
    """Of every token and head of a sequence; no two are the same."""
    first = HEADS * sum(QUERIES[:b])
    count = HEADS * QUERIES[b]
    return np.arange(first + 1, first + 1 + count, dtype=np.float64).reshape(QUERIES[b], HEADS)


def queries() -> list[Floats]:
    """The number in channel 0, and zeros."""
    return [numbers(b)[..., None] * np.eye(1, DIM) for b in range(len(QUERIES))]


def keys(b: int, count: int, heads: int) -> tuple[Floats, Floats]:
    """Channel 0 of a key, and all of its value, say which kv head it is of; the value, whose."""
    head = np.arange(heads, dtype=np.float64)[:, None]
    key = np.tile((1 + head) * np.eye(1, DIM), (count, 1, 1))
    return key, np.tile(10.0 * b + head + 1 + np.zeros((heads, DIM)), (count, 1, 1))


def states(counts: list[Ints], kv_heads: int) -> list[list[Floats]]:
    """Out, max and sum of every sequence, whose tokens see as many keys."""
    head = np.arange(HEADS) // (HEADS // kv_heads)
    found: list[list[Floats]] = [[], [], []]
    for b, count in enumerate(counts):
        some = (count > 0)[:, None]
        value = np.broadcast_to(10.0 * b + head + 1, (len(count), HEADS))
        found[0].append(np.repeat(np.where(some, value, 0)[..., None], DIM, axis=2))
        found[1].append(np.where(some, SCALE * numbers(b) * (1 + head), -np.inf))
        found[2].append(np.repeat(count[:, None].astype(float), HEADS, axis=1))
    return found


def visible(b: int) -> Ints:
    """Keys up to each token's own position."""
    own = KEYS[b] - QUERIES[b] + 1 + np.arange(QUERIES[b])
    return np.maximum(own, 0)


def check(laid: Laid, found: list[Floats], counts: list[Ints], kv_heads: int) -> None:
    for name, got, parts, empty in zip(
        STATE, found, states(counts, kv_heads), (0.0, -np.inf, 0.0), strict=True
    ):
        expected = laid.rows(parts, empty)
        assert got.shape == expected.shape, name
        assert np.array_equal(got, expected), name


def common(laid: Laid) -> tuple[dict[str, Tensor], dict[str, object]]:
    tensors: dict[str, Tensor] = {
        "query": Real.round(laid.rows(queries(), np.nan), "bfloat16"),
        "actual_seq_lengths_query": laid.lengths(list(QUERIES)),
    }
    return tensors, {
        "scale_value": SCALE,
        "layout_query": laid.layout,
        "layout_kv": laid.layout,
    }


def sparse(
    runner: Runner, implementation: Implementation, laid: Laid, step: int, part: int
) -> list[Floats]:
    """Attention over the keys that are `part` modulo `step`."""
    tensors, attributes = common(laid)
    pairs = [keys(b, count, 1) for b, count in enumerate(KEYS)]
    tensors["key"] = Real.round(laid.rows([key for key, _ in pairs], np.nan, 0), "bfloat16")
    tensors["value"] = Real.round(laid.rows([value for _, value in pairs], np.nan, 0), "bfloat16")
    tensors["actual_seq_lengths_kv"] = laid.lengths(list(KEYS))
    lists = []
    for b, count in enumerate(QUERIES):
        ids = np.full((count, 1, max(KEYS)), -1)
        mine = np.arange(part, KEYS[b], step)
        ids[..., : len(mine)] = mine
        lists.append(ids)
    tensors["sparse_indices"] = laid.rows(lists, 0).astype(np.int32)
    attributes["return_softmax_lse"] = True
    got = runner.run("sparse_flash_attention", implementation, tensors, attributes)
    return [got.real("out").values, got.floats("softmax_max"), got.floats("softmax_sum")]


def window(
    runner: Runner,
    implementation: Implementation,
    laid: Laid,
    size: int,
    dropped: int = 0,
    by_limits: bool = False,
) -> list[Floats]:
    """Attention of two kv heads over the `size` keys that end `dropped` before the token's own."""
    tensors, attributes = common(laid)
    counts = [count if by_limits else max(count - dropped, 0) for count in KEYS]
    if by_limits:
        limits = [visible(b).astype(float) - dropped for b in range(len(QUERIES))]
        tensors["key_limits"] = laid.rows(limits, 2**31 - 1).astype(np.int32)
    pairs = [keys(b, count, 2) for b, count in enumerate(counts)]
    tensors["key"] = Real.round(laid.rows([key for key, _ in pairs], np.nan, 0), "bfloat16")
    tensors["value"] = Real.round(laid.rows([value for _, value in pairs], np.nan, 0), "bfloat16")
    tensors["actual_seq_lengths_kv"] = laid.lengths(counts)
    attributes["window_size"] = size
    got = runner.run("sliding_window_attention", implementation, tensors, attributes)
    return [
        got.real("attention_out").values,
        got.floats("softmax_max"),
        got.floats("softmax_sum"),
    ]


def merge(
    runner: Runner, implementation: Implementation, parts: list[list[Floats]]
) -> list[Floats]:
    """Parts as they came, one after the other; the result as they lie."""
    outs, maxes, sums = (np.stack(kind) for kind in zip(*parts, strict=True))
    tensors: dict[str, Tensor] = {
        "outs": Real.round(outs.reshape(len(parts), -1, HEADS, DIM), "bfloat16"),
        "softmax_maxes": maxes.reshape(len(parts), -1, HEADS).astype(np.float32),
        "softmax_sums": sums.reshape(len(parts), -1, HEADS).astype(np.float32),
    }
    got = runner.run("merge_attention_states", implementation, tensors, {})
    found = [got.real("out").values, got.floats("softmax_max"), got.floats("softmax_sum")]
    return [x.reshape(like.shape) for x, like in zip(found, parts[0], strict=True)]


@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_sparse_attention_over_parts_merges_without_a_transposition(
    runner: Runner, implementation: Implementation, layout: str
) -> None:
    laid, step = Laid(layout), 3
    seen = [visible(b) for b in range(len(QUERIES))]
    parts = []
    for part in range(step):
        parts.append(sparse(runner, implementation, laid, step, part))
        check(laid, parts[-1], [(count - part + step - 1) // step for count in seen], 1)
    check(laid, merge(runner, implementation, parts), seen, 1)
    check(laid, sparse(runner, implementation, laid, 1, 0), seen, 1)


@pytest.mark.parametrize("by_limits", [False, True], ids=["lengths", "limits"])
@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_windows_of_two_kv_heads_merge_without_a_transposition(
    runner: Runner, implementation: Implementation, layout: str, by_limits: bool
) -> None:
    laid, near, far = Laid(layout), 4, 7
    seen = [visible(b) for b in range(len(QUERIES))]
    parts = [
        window(runner, implementation, laid, near),
        window(runner, implementation, laid, far, near, by_limits),
    ]
    check(laid, parts[0], [np.minimum(count, near) for count in seen], 2)
    check(laid, parts[1], [np.clip(count - near, 0, far) for count in seen], 2)
    whole = [np.minimum(count, near + far) for count in seen]
    check(laid, merge(runner, implementation, parts), whole, 2)
    check(laid, window(runner, implementation, laid, near + far), whole, 2)


def test_compressed_attention_of_two_kv_heads_has_a_row_per_token(
    runner: Runner, implementation: Implementation
) -> None:
    laid = Laid("TND")
    pairs = [keys(b, count, 2) for b, count in enumerate(KEYS)]
    ends = np.cumsum(QUERIES).tolist()
    tensors: dict[str, Tensor] = {
        "query": Real.round(laid.rows(queries(), np.nan, 0), "bfloat16"),
        "key": Real.round(laid.rows([key for key, _ in pairs], np.nan, 0), "bfloat16"),
        "value": Real.round(laid.rows([value for _, value in pairs], np.nan, 0), "bfloat16"),
    }
    attributes = {
        "scale_value": SCALE,
        "head_num": HEADS,
        "compress_block_size": 32,
        "compress_stride": 16,
        "select_block_size": 64,
        "select_block_count": 1,
        "actual_seq_qlen": ends,
        "actual_cmp_seq_kvlen": np.cumsum(KEYS).tolist(),
    }
    got = runner.run("nsa_compress_attention", implementation, tensors, attributes)
    counts = [np.full(count, KEYS[b]) for b, count in enumerate(QUERIES)]
    out, maximum, total = (laid.rows(parts, 0, 0) for parts in states(counts, 2))
    assert np.array_equal(got.real("attention_out").values, out)
    assert np.array_equal(got.floats("softmax_max"), maximum)
    assert np.array_equal(got.floats("softmax_sum"), total)


@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_paged_compressed_attention_of_two_kv_heads_has_a_row_per_token(
    runner: Runner, implementation: Implementation, layout: str
) -> None:
    laid, page = Laid(layout), 8
    padding = PADDING if layout == "BSND" else 0
    needed = [-(-count // page) for count in KEYS]
    table = np.full((len(KEYS), max(needed)), -1, np.int32)
    caches = np.full((2, sum(needed), page, 2 * DIM), np.nan)
    for b, count in enumerate(KEYS):
        first = sum(needed[:b])
        table[b, : needed[b]] = np.arange(first, first + needed[b])
        for cache, rows in zip(caches, keys(b, count, 2), strict=True):
            cache[first : first + needed[b]].reshape(-1, 2 * DIM)[:count] = rows.reshape(count, -1)
    tensors: dict[str, Tensor] = {
        "query": Real.round(laid.rows(queries(), np.nan, padding), "bfloat16"),
        "key": Real.round(caches[0], "bfloat16"),
        "value": Real.round(caches[1], "bfloat16"),
        "block_table": table,
    }
    attributes = {
        "scale_value": SCALE,
        "head_num": HEADS,
        "key_value_head_num": 2,
        "page_block_size": page,
        "compress_block_size": 32,
        "compress_stride": 16,
        "select_block_size": 64,
        "select_block_count": 0,
        "layout": layout,
        "actual_seq_qlen": list(QUERIES),
        "actual_cmp_seq_kvlen": list(KEYS),
        "return_softmax_lse": True,
    }
    got = runner.run("nsa_compress_attention_infer", implementation, tensors, attributes)
    counts = [np.full(count, KEYS[b]) for b, count in enumerate(QUERIES)]
    found = [got.real("attention_out").values, got.floats("softmax_max"), got.floats("softmax_sum")]
    for name, output, parts, empty in zip(
        STATE, found, states(counts, 2), (0.0, -np.inf, 0.0), strict=True
    ):
        assert np.array_equal(output, laid.rows(parts, empty, padding)), name
