"""The three NSA operators in float64 numpy, written from their formulas and from nothing else.

Obvious loops over sequences, query tokens and kv heads; no code is shared with the library. Next to
every value stands what its error bound is made of, see precision.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Importance = Literal["cann", "exact_overlap"]
MaskedRows = Literal["uniform", "zero"]
Selection = Literal["device", "causal"]
Statistics = tuple[Floats, Floats]  # the largest score, and the sum of e^(score - largest)

FLT_MAX = float(np.finfo(np.float32).max)


# --- nsa_compress -------------------------------------------------------------------------------


def window_count(length: int, block: int, stride: int) -> int:
    """Windows of `block` tokens, `stride` apart, that fit into a sequence."""
    return 0 if length < block else (length - block) // stride + 1


def compress(
    tokens: Floats, weight: Floats, lengths: list[int], stride: int
) -> tuple[Floats, Floats]:
    """Weighted window sums [Tc, N, D], and the sums of the terms' absolute values."""
    block = weight.shape[0]
    sums, magnitudes = [], []
    begin = 0
    for length in lengths:
        for i in range(window_count(length, block, stride)):
            window = tokens[begin + i * stride : begin + i * stride + block]
            terms = weight[:, :, None] * window
            sums.append(terms.sum(axis=0))
            magnitudes.append(np.abs(terms).sum(axis=0))
        begin += length
    empty = np.zeros((0, *tokens.shape[1:]))
    return (np.stack(sums), np.stack(magnitudes)) if sums else (empty, empty)


def compress_grad(
    grad: Floats, tokens: Floats, weight: Floats, lengths: list[int], stride: int
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
    """Gradients of tokens and of the weight, each with the sums of its terms' absolute values.

    Every product weight * token of the forward sends the window's gradient to both factors.
    """
    block = weight.shape[0]
    by_token = (np.zeros_like(tokens), np.zeros_like(tokens))
    by_weight = (np.zeros_like(weight), np.zeros_like(weight))
    begin = window = 0
    for length in lengths:
        for i in range(window_count(length, block, stride)):
            for w in range(block):
                t = begin + i * stride + w
                to_token = weight[w, :, None] * grad[window]
                to_weight = tokens[t] * grad[window]
                by_token[0][t] += to_token
                by_token[1][t] += np.abs(to_token)
                by_weight[0][w] += to_weight.sum(axis=-1)
                by_weight[1][w] += np.abs(to_weight).sum(axis=-1)
            window += 1
        begin += length
    return by_token, by_weight


# --- importance of select blocks ----------------------------------------------------------------


@dataclass(frozen=True)
class Blocks:
    """Sizes in raw tokens: l, d and l'."""

    compress: int
    stride: int
    select: int

    def training_count(self, n: int) -> int:
        """Candidate select blocks over n compressed tokens, as training counts them."""
        return -(-n // (self.select // self.stride))

    def infer_count(self, n: int) -> int:
        """Candidate select blocks over n compressed tokens, as decoding counts them."""
        return -(-((n - 1) * self.stride + self.compress) // self.select) if n > 0 else 0

    def causal_count(self, visible: int) -> int:
        """Select blocks that hold one of the first `visible` raw tokens."""
        return len({token // self.select for token in range(visible)})


def causal_forced(count: int) -> Bools:
    """The first block, the last, which is the query's own, and the one before: [count]."""
    return np.array([j == 0 or j >= count - 2 for j in range(count)], bool)


def importance(p: Floats, blocks: Blocks, count: int, kind: Importance = "cann") -> Floats:
    """The double sum S[j] = sum_m sum_q P[M (j + 1) - m - q - shift], P being 0 outside."""
    m_count = blocks.select // blocks.stride
    q_count = blocks.compress // blocks.stride
    shift = 1 if kind == "exact_overlap" else 0
    scores = np.zeros(count)
    for j in range(count):
        for m in range(m_count):
            for q in range(q_count):
                x = m_count * (j + 1) - m - q - shift
                if 0 <= x < len(p):
                    scores[j] += p[x]
    return scores


# --- attention over compressed keys -------------------------------------------------------------


@dataclass
class Row:
    """One query token and kv head: what comes out, and the exact quantities behind its bounds."""

    out: Floats  # [G, D2]
    maximum: Floats  # [G]
    total: Floats  # [G]
    scores: Floats  # [J], forced blocks at infinity
    importance: Floats  # [J]: the same before any is forced
    score_magnitude: Floats  # [G]: the largest sum |scale q k| of a visible key
    value_magnitude: Floats  # [G, D2]: sum P |v|
    storage: Floats  # [G]: what accuracy "storage" may add to an error
    whole_magnitude: Floats | None  # [G]: |largest score of all keys|, where importance is of all
    whole_share: Floats  # [G]: at most what a key can have of the importance
    qk_dim: int
    n: int
    band: int  # terms that a block's score sums


def storage_error(probabilities: Floats, values: Floats, tile: int) -> Floats:
    """What accuracy "storage" may add to an error, per head: P [heads, n], values [n, dim].

    A value has 15 bits below the largest of its key; weights of a tile share 65280 steps.
    """
    error = np.zeros(len(probabilities))
    weights = probabilities * np.abs(values).max(axis=1, initial=0)
    for begin in range(0, weights.shape[1], tile):
        w = weights[:, begin : begin + tile]
        step = np.maximum(w.max(axis=1) / 32767, w.sum(axis=1) / 65280)
        error += w.sum(axis=1) / 2**15 + w.shape[1] * step
    return error


def storage_score_error(query: Floats, key: Floats, scale: float) -> Floats:
    """How far accuracy "storage" may move a score, [heads, n].

    Elements are rounded by half of a step of at most their row's norm / 2^14, unless that is
    expected to move scores by more than 1e-3.
    """
    dims = query.shape[1]
    norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(key, axis=1)
    most = 1e-3 * np.sqrt(12)
    one = np.minimum(abs(scale) * np.sqrt(dims) * norms / 2**14, np.sqrt(dims / 2) * most)
    both = np.minimum(abs(scale) * dims / 4 * norms / 2**28, dims * most / 2**16)
    return np.asarray(one + both)


def attend(
    query: Floats,
    key: Floats,
    value: Floats,
    scale: float,
    hidden: Bools,
    forced: Bools,
    blocks: Blocks,
    kind: Importance,
    masked_rows: MaskedRows,
    whole: Statistics | None = None,
    selection: Selection = "device",
) -> Row:
    """One row from query [G, D], key [n, D], value [n, D2], hidden [n] and forced [J].

    Where these keys are a part of all, `whole` [G] twice is of the softmax over all of them.
    """
    group, n = len(query), len(key)
    band = (blocks.select // blocks.stride) * (blocks.compress // blocks.stride)
    row = Row(
        out=np.zeros((group, value.shape[1])),
        maximum=np.full(group, -np.inf),
        total=np.zeros(group),
        scores=np.zeros(len(forced)),
        importance=np.zeros(len(forced)),
        score_magnitude=np.zeros(group),
        value_magnitude=np.zeros((group, value.shape[1])),
        storage=np.zeros(group),
        whole_magnitude=None if whole is None else np.zeros(group),
        whole_share=np.ones(group),
        qk_dim=key.shape[1],
        n=n,
        band=group * band,
    )
    row.scores[forced] = np.inf
    if n == 0:
        return row
    x = scale * (query @ key.T)
    x[:, hidden] = -FLT_MAX
    row.maximum = x.max(axis=1)
    if hidden.all() and masked_rows == "zero":
        return row
    e = np.exp(x - row.maximum[:, None])
    row.total = e.sum(axis=1)
    p = e / row.total[:, None]
    row.out = p @ value
    row.value_magnitude = p @ np.abs(value)
    row.storage = storage_error(p, value, 64)
    if not hidden.all():
        row.score_magnitude = (np.abs(scale) * (np.abs(query) @ np.abs(key.T)))[:, ~hidden].max(1)
    if whole is not None:
        p = np.exp(x - whole[0][:, None]) / whole[1][:, None]
        row.whole_magnitude = np.zeros(group) if hidden.all() else np.abs(whole[0])
        row.whole_share = np.exp(row.maximum - whole[0]) / whole[1]
    if selection == "causal" and hidden.all():
        return row  # nothing that the token sees is important
    for head in range(group):
        row.importance += importance(p[head], blocks, len(forced), kind)
    row.scores = np.where(forced, np.inf, row.importance)
    return row


def spans(lengths: list[int]) -> list[tuple[int, int]]:
    """(begin, length) of packed sequences."""
    ends = np.cumsum([0, *lengths]).tolist()
    return list(zip(ends[:-1], lengths, strict=True))


def hidden_keys(
    t: int,
    n: int,
    blocks: Blocks,
    atten_mask: Bools | None = None,
    limit: int | None = None,
    position: int | None = None,
) -> Bools:
    """Compressed keys [n] that token t of a sequence does not see.

    `position` is that of the token among the raw ones, and only where the call is causal.
    """
    hidden = np.zeros(n, bool) if atten_mask is None else atten_mask[t, :n].copy()
    for i in range(n):
        if limit is not None and i >= limit:
            hidden[i] = True
        if position is not None:
            last = i * blocks.stride + blocks.compress - 1
            hidden[i] |= last > position
    return hidden


def compress_attention(
    query: Floats,
    key: Floats,
    value: Floats,
    scale: float,
    q_lengths: list[int],
    kv_lengths: list[int],
    blocks: Blocks,
    atten_mask: Bools | None = None,
    topk_mask: Bools | None = None,
    kind: Importance = "cann",
    masked_rows: MaskedRows = "uniform",
    key_limits: Ints | None = None,
    raw_lengths: list[int] | None = None,
    whole: Statistics | None = None,
    selection: Selection = "device",
) -> list[list[Row]]:
    """nsa_compress_attention: a Row per query token [Tq] and kv head [N2].

    `raw_lengths` only where the call is causal, and always where its selection is.
    """
    kv_heads = key.shape[1]
    group = query.shape[1] // kv_heads
    rows = []
    places = zip(spans(q_lengths), spans(kv_lengths), strict=True)
    for b, ((q_begin, q_len), (k_begin, n)) in enumerate(places):
        count = blocks.training_count(n)
        for t in range(q_len):
            hidden = hidden_keys(
                t,
                n,
                blocks,
                atten_mask,
                None if key_limits is None else int(key_limits[q_begin + t]),
                None if raw_lengths is None else raw_lengths[b] - q_len + t,
            )
            forced = np.zeros(count, bool) if topk_mask is None else topk_mask[t, :count]
            if selection == "causal":
                assert raw_lengths is not None
                forced = causal_forced(blocks.causal_count(raw_lengths[b] - q_len + t + 1))
            rows.append(
                [
                    attend(
                        query[q_begin + t, g * group : (g + 1) * group],
                        key[k_begin : k_begin + n, g],
                        value[k_begin : k_begin + n, g],
                        scale,
                        hidden,
                        forced,
                        blocks,
                        kind,
                        masked_rows,
                        of_heads(whole, q_begin + t, g, group),
                        selection,
                    )
                    for g in range(kv_heads)
                ]
            )
    return rows


def of_heads(whole: Statistics | None, t: int, g: int, group: int) -> Statistics | None:
    """Of statistics [T, N] those of one row."""
    if whole is None:
        return None
    heads = slice(g * group, (g + 1) * group)
    return whole[0][t, heads], whole[1][t, heads]


def gather_pages(cache: Floats, table: Ints, n: int, kv_heads: int) -> Floats:
    """The first n rows of one sequence, out of pages [pages, page, N2 D]: [n, N2, D]."""
    page = cache.shape[1]
    rows = [cache[table[i // page], i % page] for i in range(n)]
    return np.array(rows).reshape(n, kv_heads, cache.shape[2] // kv_heads)


def compress_attention_infer(
    query: Floats,
    key: Floats,
    value: Floats,
    block_table: Ints,
    scale: float,
    kv_heads: int,
    q_lengths: list[int],
    cmp_lengths: list[int],
    blocks: Blocks,
    sel_lengths: list[int] | None = None,
    kind: Importance = "cann",
    masked_rows: MaskedRows = "uniform",
    key_limits: Ints | None = None,
    whole: Statistics | None = None,
    selection: Selection = "device",
) -> list[list[Row]]:
    """nsa_compress_attention_infer, queries packed.

    `sel_lengths` only where a mask is given or selection is causal.
    """
    group = query.shape[1] // kv_heads
    rows = []
    for b, (q_begin, q_len) in enumerate(spans(q_lengths)):
        n = cmp_lengths[b]
        count = blocks.infer_count(n)
        keys = gather_pages(key, block_table[b], n, kv_heads)
        values = gather_pages(value, block_table[b], n, kv_heads)
        forced = np.zeros(count, bool)
        for j in (0, count - 2, count - 1):
            if 0 <= j < count:
                forced[j] = True
        for t in range(q_len):
            hidden = np.zeros(n, bool)
            if sel_lengths is not None:
                seen = sel_lengths[b] - (q_len - 1 - t)
                for i in range(n):
                    hidden[i] = i * blocks.stride + blocks.compress > seen
                if selection == "causal":
                    forced = causal_forced(blocks.causal_count(seen))
            if key_limits is not None:
                hidden |= np.arange(n) >= key_limits[q_begin + t]
            rows.append(
                [
                    attend(
                        query[q_begin + t, g * group : (g + 1) * group],
                        keys[:, g],
                        values[:, g],
                        scale,
                        hidden,
                        forced,
                        blocks,
                        kind,
                        masked_rows,
                        of_heads(whole, q_begin + t, g, group),
                        selection,
                    )
                    for g in range(kv_heads)
                ]
            )
    return rows
