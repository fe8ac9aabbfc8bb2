"""Calls of sparse_flash_attention: how they are laid out, run, and checked against the formula.

A call has sequences of query tokens, a list of positions for each token, and keys: those that the
lists name, and where wanted those of a window. Its tensors are made when it runs, in any layout,
with keys as they are or as rows of bytes; the formula has the positions of list and window in two
short functions, and is plain softmax over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from attention_calls import product_accuracy
from case_file import Real, RealName, Tensor
from formulation import Bools, Floats, Ints, storage_error, storage_score_error
from pages import block_table, deal, pad
from precision import Family, assert_close
from runner import Implementation, Runner

ROTARY = 64  # the last channels of a key of flashmla584
TILE = 128  # keys of a list, or of a window, that accuracy "storage" has a scale for

Bytes = npt.NDArray[np.uint8]


def fp8(code: Ints) -> Floats:
    """The values of e4m3 codes without infinities; the largest of either sign is not a number."""
    exponent, mantissa = (code >> 3) & 15, code & 7
    size = np.where(exponent == 0, mantissa / 512.0, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    size = np.where(code & 127 == 127, np.nan, size)
    return np.asarray(np.where(code & 128, -size, size))


def random_fp8(rng: np.random.Generator, n: int, dim: int) -> Ints:
    """Codes of numbers."""
    codes = rng.integers(0, 256, (n, dim))
    codes[codes % 128 == 127] = 0
    return codes


def random_rope(
    rng: np.random.Generator, n: int, rope_dim: int, dtype: RealName
) -> tuple[Floats, Bytes]:
    """Rotary parts of keys, and their bytes: 16 bits, whatever the query."""
    rope = Real.round(
        rng.standard_normal((n, rope_dim)), "bfloat16" if dtype == "float32" else dtype
    )
    return rope.values, np.frombuffer(rope.to_bytes(), np.uint8).reshape(n, 2 * rope_dim)


@dataclass
class Keys:
    """One sequence: latent [n, D], rope [n, Dr], and the bytes of every key that they came from.

    Of flashmla584 latent is the whole key, and the bytes of a key end with its scales.
    """

    latent: Floats
    rope: Floats
    rows: Bytes | None = None
    value: Floats | None = None


def random_rows(
    rng: np.random.Generator, n: int, dim: int, rope_dim: int, dtype: RealName, kind: str
) -> Keys:
    """Rows of bytes and what they mean, both from the list of their parts.

    Beside queries in fp32 the latent is not rounded, and rope is bfloat16.
    """
    if kind == "flashmla584":
        return random_whole_rows(rng, n, dim, dtype)
    groups = dim // 128
    scales = (rng.uniform(0.5, 2, (n, groups)) / 100).astype(np.float32)
    if kind == "cann656":
        codes = rng.integers(-128, 128, (n, dim))
        values = codes.astype(np.float32)
        quants = codes.astype(np.int8).view(np.uint8)
    else:
        codes = random_fp8(rng, n, dim)
        values = fp8(codes).astype(np.float32)
        quants = codes.astype(np.uint8)
    product = values * np.repeat(scales, 128, axis=1)  # rounded to float32, then to the type
    rope, rope_bytes = random_rope(rng, n, rope_dim, dtype)
    scale_bytes = scales.view(np.uint8).reshape(n, 4 * groups)
    parts = [quants, rope_bytes, scale_bytes]
    if kind == "flashmla656":
        parts = [quants, scale_bytes, rope_bytes]
    latent = Real.round(product.astype(np.float64), dtype).values
    return Keys(latent, rope, np.concatenate(parts, axis=1))


def random_whole_rows(rng: np.random.Generator, n: int, dim: int, dtype: RealName) -> Keys:
    """Keys of flashmla584: a latent of fp8, their last channels in 16 bits, exponents of scales."""
    codes = random_fp8(rng, n, dim - ROTARY)
    exponents = rng.integers(-10, -6, (n, dim // 64 - 1))
    exponents[rng.random(exponents.shape) < 0.03] = -127
    scales = np.repeat(np.exp2(exponents), 64, axis=1).astype(np.float32)
    latent = Real.round(fp8(codes).astype(np.float32) * scales, dtype).values
    rope, rope_bytes = random_rope(rng, n, ROTARY, dtype)
    unused = rng.integers(0, 256, (n, 1))
    rows = np.concatenate([codes, rope_bytes, exponents + 127, unused], axis=1).astype(np.uint8)
    return Keys(np.concatenate([latent, rope], axis=1), np.zeros((n, 0)), rows)


def scales_apart(rows: Bytes) -> Bytes:
    """Pages [pages, keys, 1, W] with the scales of their keys after the last of them."""
    scales = (rows.shape[-1] - 2 * ROTARY) // 65 + 1  # 65 bytes per 64 channels, and an unused one
    parts = [rows[..., :-scales], rows[..., -scales:]]
    parts = [part.reshape(len(rows), -1) for part in parts]
    return np.concatenate(parts, axis=1).reshape(rows.shape)


@dataclass
class Source:
    """Keys of every sequence in tensors of their own: those that lists name."""

    keys: list[Keys]
    page: int = 16
    starts: list[int] | None = None  # per sequence, or one for all

    prefix: ClassVar[str] = ""
    lengths_name: ClassVar[str] = "actual_seq_lengths_kv"
    starts_name: ClassVar[str] = "key_starts"

    def count(self, b: int) -> int:
        """Keys of a sequence."""
        return len(self.keys[b].latent)

    def start(self, b: int) -> int:
        """The first key of a sequence that counts."""
        return 0 if self.starts is None else self.starts[b % len(self.starts)]

    def first(self, b: int, q: int) -> int:
        """No key before this one is looked up for the tokens of a sequence."""
        return self.start(b)

    def tensors(self, call: Call, layout: str, seen: list[Bools]) -> dict[str, Tensor]:
        """All of them, by their arguments' names; keys that no token sees are poison."""
        found: dict[str, Tensor] = {}
        if call.kind == "split":
            for name, parts in self.parts().items():
                values = self.lay(parts, layout, seen, call.unseen, np.nan)
                found[self.prefix + name] = Real.round(values, call.dtype)
        else:
            rows = [k.rows.astype(float) for k in self.keys if k.rows is not None]
            laid = self.lay(rows, layout, seen, 255, 255).astype(np.uint8)
            if call.kind == "flashmla584":
                laid = scales_apart(laid[None])[0] if layout == "TND" else scales_apart(laid)
            found[self.prefix + "key"] = laid
        if layout == "PA_BSND":
            pairs = enumerate(call.queries)
            unread = [self.first(b, len(query)) // self.page for b, query in pairs]
            table = block_table([len(k.latent) for k in self.keys], self.page, unread)
            found[self.prefix + "block_table"] = table
        # Lengths may be of either type, and so may starts.
        one, other = (np.int32, np.int64) if self.prefix else (np.int64, np.int32)
        lengths = np.array([self.count(b) for b in range(len(self.keys))])
        lengths = np.cumsum(lengths) if layout == "TND" else lengths
        found[self.lengths_name] = lengths.astype(one)
        if self.starts is not None:
            found[self.starts_name] = np.array(self.starts, other)
        return found

    def parts(self) -> dict[str, list[Floats]]:
        """What keys that are not rows of bytes consist of."""
        found = {"key": [k.latent for k in self.keys]}
        if self.keys[0].rope.shape[1] > 0:
            found["key_rope"] = [k.rope for k in self.keys]
        if self.keys[0].value is not None:
            found["value"] = [k.value for k in self.keys if k.value is not None]
        return found

    def lay(
        self, parts: list[Floats], layout: str, seen: list[Bools], unseen: float, fill: float
    ) -> Floats:
        """Key-like parts [n, width] in one tensor; `fill` where there is no key."""
        pairs = zip(seen, parts, strict=True)
        parts = [np.where(s[:, None], part, unseen)[:, None] for s, part in pairs]
        if layout == "TND":
            return np.concatenate([*parts, np.full((3, *parts[0].shape[1:]), fill)])
        return pad(parts, fill) if layout == "BSND" else deal(parts, self.page, fill)


@dataclass
class Window(Source):
    """Keys that tokens see by position."""

    size: int = -1

    prefix: ClassVar[str] = "window_"
    lengths_name: ClassVar[str] = "actual_seq_lengths_window"
    starts_name: ClassVar[str] = "window_starts"

    def positions(self, b: int, q: int, t: int) -> range:
        """What token t of q sees: its own position is the last."""
        end = self.count(b) - q + t + 1
        begin = self.start(b)
        if self.size >= 0:
            begin = max(begin, end - self.size)
        return range(begin, end)

    def first(self, b: int, q: int) -> int:
        """Pages that the first token's window has left are not looked up."""
        return self.positions(b, q, 0).start


Found = tuple[Floats, Floats | None, Floats | None]


@dataclass
class Call:
    """Sequences of query tokens with their keys and ids; layouts are made when it runs."""

    queries: list[Floats]  # per sequence [q, heads, D + Dr]
    listed: Source
    ids: list[Ints]  # [q, K]
    dim: int
    dtype: RealName
    scale: float
    mode: int = 3
    block: int = 1
    kind: str = "split"
    sinks: Floats | None = None
    accuracy: str = "fp32"
    statistics: bool = True
    limits: list[Ints] | None = None  # per sequence [q]
    ratio: int = 1
    tokens: list[int] | None = None  # raw ones; per sequence, or one for all
    out_dtype: str = "input"
    window: Window | None = None
    unseen: float = np.nan  # in place of keys that no token sees, unless they are bytes

    def visible(self, b: int, t: int) -> int:
        """Keys before this one are seen by a token, if its list has them."""
        q, n = len(self.queries[b]), self.listed.count(b)
        seen = n
        if self.mode == 3:
            raw = q if self.tokens is None else self.tokens[b % len(self.tokens)]
            own = (n if self.ratio == 1 else raw) - q + t
            seen = min(n, (own + 1) // self.ratio)
        return max(0, seen if self.limits is None else min(seen, int(self.limits[b][t])))

    def in_list(self, b: int, t: int) -> list[int]:
        """The positions that a token's list has, in its order."""
        visible, block = self.visible(b, t), self.block
        ids = self.ids[b][t]
        found: list[int] = []
        for name in ids[: min(len(ids), -(-visible // block))].tolist():
            if name < 0:
                break
            found += range(name * block, min(name * block + block, visible))
        return [position for position in found if position >= self.listed.start(b)]

    def in_window(self, b: int, t: int) -> list[int]:
        """The positions that a token sees of the window."""
        if self.window is None:
            return []
        return list(self.window.positions(b, len(self.queries[b]), t))

    def seen(self) -> tuple[list[Bools], list[Bools]]:
        """Whether any token sees a key of the list, and of the window."""
        listed = [np.zeros(len(k.latent), bool) for k in self.listed.keys]
        window = [] if self.window is None else self.window.keys
        near = [np.zeros(len(k.latent), bool) for k in window]
        for b, query in enumerate(self.queries):
            for t in range(len(query)):
                listed[b][self.in_list(b, t)] = True
                if near:
                    near[b][self.in_window(b, t)] = True
        return listed, near

    def stored(self) -> str:
        """The type of the output."""
        return self.dtype if self.out_dtype == "input" else "float32"

    def pack(self, parts: list[Floats], layout: str, fill: float) -> Floats:
        """Query-like parts in one tensor."""
        return np.concatenate(parts) if layout == "TND" else pad(parts, fill)

    def tensors(self, query_layout: str, kv_layout: str) -> dict[str, Tensor]:
        """All of a call, by their arguments' names."""
        listed, near = self.seen()
        tensors = self.listed.tensors(self, kv_layout, listed)
        if self.window is not None:
            tensors |= self.window.tensors(self, kv_layout, near)
        latent = [q[..., : self.dim] for q in self.queries]
        rope = [q[..., self.dim :] for q in self.queries]
        tensors["query"] = Real.round(self.pack(latent, query_layout, np.nan), self.dtype)
        if rope[0].shape[2] > 0:
            tensors["query_rope"] = Real.round(self.pack(rope, query_layout, np.nan), self.dtype)
        ids = self.pack([i[:, None].astype(float) for i in self.ids], query_layout, 0)
        tensors["sparse_indices"] = ids.astype(np.int32)
        if self.sinks is not None:
            tensors["sinks"] = self.sinks.astype(np.float32)
        lengths = np.array([len(q) for q in self.queries], np.int32)
        tensors["actual_seq_lengths_query"] = (
            np.cumsum(lengths, dtype=np.int32) if query_layout == "TND" else lengths
        )
        if self.limits is not None:
            limits = self.pack([row.astype(float) for row in self.limits], query_layout, -(2**31))
            tensors["key_limits"] = limits.astype(np.int32)
        if self.tokens is not None:
            tensors["actual_seq_lengths_tokens"] = np.array(self.tokens, np.int64)
        return tensors

    def run(self, runner: Runner, implementation: Implementation, layout: str) -> list[Found]:
        """Out [q, heads, D], max and sum [q, heads], if wanted, of every sequence."""
        query_layout, kv_layout = layout.split("/")
        attributes = {
            "scale_value": self.scale,
            "layout_query": query_layout,
            "layout_kv": kv_layout,
            "sparse_mode": self.mode,
            "sparse_block_size": self.block,
            "return_softmax_lse": self.statistics,
            "kv_format": self.kind,
            "accuracy": self.accuracy,
            "compress_ratio": self.ratio,
            "out_dtype": self.out_dtype,
        }
        if self.window is not None:
            attributes["window_size"] = self.window.size
        tensors = self.tensors(query_layout, kv_layout)
        outputs = runner.run("sparse_flash_attention", implementation, tensors, attributes)
        assert outputs.real("out").dtype == self.stored()
        out = outputs.real("out").values
        statistics = [
            outputs.floats(name) if self.statistics else None
            for name in ("softmax_max", "softmax_sum")
        ]
        return self.split(out, statistics, query_layout)

    def split(self, out: Floats, statistics: list[Floats | None], query_layout: str) -> list[Found]:
        """Of every sequence; rows of padding hold nothing."""
        q_lengths = [len(q) for q in self.queries]
        if query_layout == "TND":
            ends = np.cumsum(q_lengths)
            places = [slice(end - q, end) for end, q in zip(ends, q_lengths, strict=True)]
            tops, totals = ([None if x is None else x[at] for at in places] for x in statistics)
            return list(zip([out[at] for at in places], tops, totals, strict=True))
        for b, q in enumerate(q_lengths):
            assert np.all(out[b, q:] == 0)
            for x, empty in zip(statistics, (-np.inf, 0), strict=True):
                assert x is None or np.all(x[b, q:] == empty)
        tops, totals = (
            [None if x is None else x[b, :q] for b, q in enumerate(q_lengths)] for x in statistics
        )
        return list(zip([out[b, :q] for b, q in enumerate(q_lengths)], tops, totals, strict=True))


def attended(call: Call, b: int, t: int) -> tuple[Floats, Floats, int]:
    """Keys [n, D + Dr] and values [n, D] of a token, and how many are of its list."""
    listed = call.in_list(b, t)
    parts = [(call.listed.keys[b], listed)]
    if call.window is not None:
        parts.append((call.window.keys[b], call.in_window(b, t)))
    key = [np.concatenate([keys.latent, keys.rope], axis=1)[at] for keys, at in parts]
    value = [(keys.latent if keys.value is None else keys.value)[at] for keys, at in parts]
    return np.concatenate(key), np.concatenate(value), len(listed)


def check(call: Call, found: list[Found], family: Family) -> None:
    """Every row and head within the bound of its evaluation."""
    scale = float(np.float32(call.scale))
    accuracy = product_accuracy(call.dtype, call.accuracy)
    for b, (out, top, total) in enumerate(found):
        query = call.queries[b]
        for t in range(len(query)):
            key, value, listed = attended(call, b, t)
            where = f"[{b}, {t}]"
            heads = query.shape[1]
            score = scale * (query[t] @ key.T)
            size = (abs(scale) * (np.abs(query[t]) @ np.abs(key).T)).max(axis=1, initial=0)
            sinks = call.sinks if call.sinks is not None else np.full(heads, -np.inf)
            want_top = np.maximum(score.max(axis=1, initial=-np.inf), sinks)
            shift = np.where(np.isfinite(want_top), want_top, 0)[:, None]
            e = np.exp(score - shift)
            want_total = e.sum(axis=1) + np.exp(sinks - shift[:, 0])
            safe = np.where(want_total > 0, want_total, 1)[:, None]
            want_out = (e / safe) @ value
            weight = (e / safe) @ np.abs(value)
            of_score = family.of_sum(key.shape[1], size) + 2 * family.unit * size
            one = np.ones(heads)
            relative = 2 * of_score + 2 * family.unit * size + family.of_sum(len(key) + 16, one)
            error = (relative + family.of_sum(len(key) + 1, one))[:, None] * weight
            lost = family.underflow * len(key)
            error = error + lost * np.abs(value).max(initial=1.0)
            if accuracy != "fp32":
                # No tile has keys of both. A window's may begin anywhere: those here are one tile.
                for part in (slice(None, listed), slice(listed, None)):
                    stored = storage_error((e / safe)[:, part], value[part], TILE)
                    error = error + stored[:, None]
            if accuracy == "storage" and top is None:
                moved = storage_score_error(query[t], key, scale).max(axis=1, initial=0)
                error = error + np.expm1(2 * moved)[:, None] * weight
            assert_close(f"out{where}", out[t], want_out, error, call.stored())
            if top is None or total is None:
                continue
            assert_close(f"softmax_max{where}", top[t], want_top, of_score, "float32")
            assert_close(
                f"softmax_sum{where}", total[t], want_total, relative * want_total + lost, "float32"
            )
