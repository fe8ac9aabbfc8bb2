"""sparse_flash_attention against its formula: positions of list and window, then plain softmax."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from attention_calls import product_accuracy, random_limits
from case_file import Real, RealName, Tensor
from formulation import Bools, Floats, Ints, storage_error, storage_score_error
from precision import Family, assert_close
from runner import Implementation, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
LAYOUTS = ["BSND/BSND", "TND/TND", "BSND/PA_BSND", "TND/PA_BSND"]
FORMATS = ["split", "cann656", "flashmla656", "flashmla584"]
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
            table = self.table()
            for b, row in enumerate(table):
                row[: self.first(b, len(call.queries[b])) // self.page] = 1 << 30
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
        parts = [np.where(s[:, None], part, unseen) for s, part in zip(seen, parts, strict=True)]
        width = parts[0].shape[1]
        if layout == "TND":
            return np.concatenate([*parts, np.full((3, width), fill)])[:, None]
        if layout == "BSND":
            rows = np.full((len(parts), max([*(len(p) for p in parts), 1]), 1, width), fill)
            for row, part in zip(rows, parts, strict=True):
                row[: len(part), 0] = part
            return rows
        table = self.table()
        cache = np.full((int(table.max(initial=0)) + 2, self.page, 1, width), fill)
        for b, part in enumerate(parts):
            for j, row in enumerate(part):
                cache[table[b, j // self.page], j % self.page, 0] = row
        return cache

    def table(self) -> npt.NDArray[np.int32]:
        """Pages dealt from the last one down; -1 past the end."""
        needed = [-(-len(k.latent) // self.page) for k in self.keys]
        table = np.full((len(needed), max([*needed, 1])), -1, dtype=np.int32)
        free = sum(needed)
        for b, count in enumerate(needed):
            for i in range(count):
                table[b, i] = free
                free -= 1
        return table


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
        if layout == "TND":
            return np.concatenate(parts)
        longest = max([*(len(p) for p in parts), 1])
        padded = np.full((len(parts), longest, *parts[0].shape[1:]), fill)
        for row, part in zip(padded, parts, strict=True):
            row[: len(part)] = part
        return padded

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


def random_keys(
    rng: np.random.Generator,
    n: int,
    dim: int,
    rope_dim: int,
    dtype: RealName,
    kind: str,
    valued: bool,
) -> Keys:
    """Of one sequence; with values of their own where they are not rows of bytes."""
    if kind != "split":
        return random_rows(rng, n, dim, rope_dim, dtype, kind)

    def normal(width: int) -> Floats:
        return Real.round(rng.standard_normal((n, width)), dtype).values

    return Keys(normal(dim), normal(rope_dim), None, normal(dim) if valued else None)


def random_call(seed: int, dtype: RealName, kind: str = "split") -> Call:
    rng = np.random.default_rng(seed)
    heads = int(rng.integers(1, 40))
    dim = int(rng.choice([1, 30, 64])) if kind == "split" else 128 * int(rng.integers(1, 5))
    rope_dim = int(rng.choice([1, 8, 64]))
    if kind == "flashmla584":
        dim, rope_dim = 64 * int(rng.integers(2, 10)), 0
    batch = int(rng.integers(1, 4))
    q_lengths = rng.integers(0, 6, batch)
    q_lengths[0] += 1
    n_lengths = rng.integers(0, 120, batch)
    n_lengths[rng.random(batch) < 0.15] = 0
    n_lengths[-1] += 1
    block = int(rng.choice([1, 1, 4, 7]))

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    valued = seed % 4 < 2
    keys = [random_keys(rng, n, dim, rope_dim, dtype, kind, valued) for n in n_lengths.tolist()]
    ids = []
    count = int(rng.integers(0, 70))
    for q, n in zip(q_lengths.tolist(), n_lengths.tolist(), strict=True):
        some = rng.integers(0, n // block + 2, (q, count))
        some[rng.random((q, count)) < 0.01] = -1
        some[rng.random((q, count)) < 0.01] = 2**31 - 1
        ids.append(some)
    starts = limits = tokens = None
    if rng.random() < 0.4:
        starts = [int(rng.integers(0, n // 3 + 1)) for n in n_lengths]
        if rng.random() < 0.3:
            starts = [min(starts)]
    if rng.random() < 0.6:
        pairs = zip(q_lengths, n_lengths, strict=True)
        limits = [random_limits(rng, np.full(q, n)) for q, n in pairs]
    ratio = int(rng.choice([1, 1, 1, 2, 4]))
    if ratio > 1 and rng.random() < 0.8:
        pairs = zip(q_lengths, n_lengths, strict=True)
        tokens = [int(q + rng.integers(n * ratio // 2, n * ratio + 1)) for q, n in pairs]
    return Call(
        queries=[normal(int(q), heads, dim + rope_dim) for q in q_lengths],
        listed=Source(keys, int(rng.integers(1, 30)), starts),
        ids=ids,
        dim=dim,
        dtype=dtype,
        scale=float(rng.uniform(0.05, 0.3)),
        mode=int(rng.choice([0, 3])),
        block=block,
        kind=kind,
        sinks=rng.standard_normal(heads).astype(np.float32).astype(float) if seed % 2 else None,
        limits=limits,
        ratio=ratio,
        tokens=tokens,
        out_dtype=str(rng.choice(["input", "float32"])),
    )


def without_rope(call: Call) -> Call:
    """The call of latent parts alone."""
    keys = [replace(k, rope=k.rope[:, :0]) for k in call.listed.keys]
    queries = [query[..., : call.dim] for query in call.queries]
    return replace(call, queries=queries, listed=replace(call.listed, keys=keys))


def with_window(seed: int, call: Call) -> Call:
    """The call with a window of any size beside its list, in pages of another size."""
    rng = np.random.default_rng(seed)
    if call.kind == "split" and rng.random() < 0.3:
        call = without_rope(call)
    lengths = [0 if rng.random() < 0.2 else int(rng.integers(1, 60)) for _ in call.queries]
    rope_dim, valued = call.listed.keys[0].rope.shape[1], call.listed.keys[0].value is not None
    keys = [random_keys(rng, n, call.dim, rope_dim, call.dtype, call.kind, valued) for n in lengths]
    starts = None
    if rng.random() < 0.5:
        starts = [n if rng.random() < 0.1 else int(rng.integers(0, n // 2 + 1)) for n in lengths]
        if rng.random() < 0.3:
            starts = [min(starts)]
    page = call.listed.page + int(rng.integers(1, 9))
    size = int(rng.choice([-1, -1, 0, 1, *rng.integers(2, 20, 3).tolist()]))
    # What must not be seen would make a score NaN, or outweigh what is.
    unseen = float(rng.choice([np.nan, 1000.0]))
    return replace(call, window=Window(keys, page, starts, size), unseen=unseen)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(15))
def test_equals_the_formula_over_random_ragged_batches(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = random_call(900 + seed, DTYPES[seed % 3])
    check(call, call.run(runner, implementation, layout), implementation.family)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_storage_accuracy_stays_within_its_bound(
    runner: Runner, implementation: Implementation, dtype: RealName, statistics: bool, kind: str
) -> None:
    call = replace(random_call(940, dtype, kind), accuracy="storage", statistics=statistics)
    check(call, call.run(runner, implementation, "TND/PA_BSND"), implementation.family)


@pytest.mark.parametrize("kind", FORMATS[1:])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["BSND/BSND", "TND/TND", "BSND/PA_BSND"])
def test_rows_of_bytes_mean_what_their_parts_mean(
    runner: Runner, implementation: Implementation, layout: str, dtype: RealName, kind: str
) -> None:
    call = random_call(920, dtype, kind)
    check(call, call.run(runner, implementation, layout), implementation.family)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_a_single_key_of_any_scale_is_the_output(
    runner: Runner, implementation: Implementation, dtype: RealName
) -> None:
    # DeepSeek-V4's sizes: key j has ones of scale j, and its own number in the rotary channels.
    codes, scales = np.full((256, 448), 0x38), np.arange(256)
    rope = Real.round(np.repeat(scales[:, None] - 100.0, ROTARY, axis=1), "bfloat16")
    rope_bytes = np.frombuffer(rope.to_bytes(), np.uint8).reshape(256, -1)
    scale_bytes = np.repeat(scales[:, None], 8, axis=1)
    rows = np.concatenate([codes, rope_bytes, scale_bytes], axis=1).astype(np.uint8)
    assert rows.shape[1] == 584
    value = np.append(np.exp2(np.arange(-127, 128.0)), np.nan)
    key = np.concatenate([np.repeat(value[:, None], 448, axis=1), rope.values], axis=1)
    listed = Source([Keys(key, np.zeros((256, 0)), rows)], page=64)
    call = Call([np.zeros((256, 1, 512))], listed, [scales[:, None]], 512, dtype, 1.0, mode=0)
    call.kind = "flashmla584"
    ((out, _, _),) = call.run(runner, implementation, "TND/PA_BSND")
    assert np.array_equal(out[:255, 0], key[:255])
    assert np.all(np.isnan(out[255]))  # its score is, too


def test_a_long_selection_in_segments_of_its_own(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(930)
    n, heads = 1500, 5

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), "bfloat16").values

    ids = np.stack([rng.permutation(n)[:1300] for _ in range(2)])
    keys = Source([Keys(normal(n, 40), normal(n, 8))])
    call = Call([normal(2, heads, 48)], keys, [ids], 40, "bfloat16", 0.15, mode=0)
    check(call, call.run(runner, implementation, "BSND/BSND"), implementation.family)


# --- a window beside the list -------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("seed", range(9))
def test_keys_of_a_window_join_the_softmax(
    runner: Runner, implementation: Implementation, seed: int, layout: str
) -> None:
    call = with_window(1010 + seed, random_call(980 + seed, DTYPES[seed % 3]))
    check(call, call.run(runner, implementation, layout), implementation.family)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_window_with_storage_accuracy_stays_within_its_bound(
    runner: Runner, implementation: Implementation, dtype: RealName, kind: str
) -> None:
    call = with_window(1000, random_call(1001, dtype, kind))
    call = replace(call, accuracy="storage", statistics=False)
    layout = "BSND/BSND" if dtype == "float16" else "TND/PA_BSND"
    check(call, call.run(runner, implementation, layout), implementation.family)


@pytest.mark.parametrize("kind", FORMATS[1:])
@pytest.mark.parametrize(("layout", "dtype"), list(zip(LAYOUTS, [*DTYPES, "float32"], strict=True)))
def test_rows_of_bytes_in_list_and_window(
    runner: Runner, implementation: Implementation, layout: str, dtype: RealName, kind: str
) -> None:
    call = with_window(1023, random_call(923, dtype, kind))
    check(call, call.run(runner, implementation, layout), implementation.family)


@pytest.mark.parametrize("kind", FORMATS[:2])
@pytest.mark.parametrize("dtype", DTYPES[:2])
def test_scores_in_fp32_are_those_that_statistics_have(
    runner: Runner, implementation: Implementation, dtype: RealName, kind: str
) -> None:
    call = with_window(1000, random_call(1001, dtype, kind))
    with_statistics = replace(call, accuracy="storage", statistics=True)
    without = replace(call, accuracy="fp32_scores", statistics=False)
    expected = with_statistics.run(runner, implementation, "TND/PA_BSND")
    check(with_statistics, expected, implementation.family)
    found = without.run(runner, implementation, "TND/PA_BSND")
    for (out, top, _), (wanted, _, _) in zip(found, expected, strict=True):
        assert top is None
        assert out.tobytes() == wanted.tobytes()


def test_a_long_window_beside_a_long_list(runner: Runner, implementation: Implementation) -> None:
    rng = np.random.default_rng(1010)
    heads, n, m = 5, 900, 1400

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), "bfloat16").values

    ids = np.stack([rng.permutation(n)[:700] for _ in range(3)])
    listed = Source([Keys(normal(n, 40), normal(n, 8))])
    window = Window([Keys(normal(m, 40), normal(m, 8))], page=48, size=1100)
    call = Call([normal(3, heads, 48)], listed, [ids], 40, "bfloat16", 0.15, window=window)
    check(call, call.run(runner, implementation, "TND/PA_BSND"), implementation.family)


# Without a query all scores are equal: with a channel of its own for every key, the output shows
# how often each counts. List keys have the first channels, those of the window the others.
LISTED, NEAR = 6, 5


def still_call() -> Call:
    """Three sequences: keys in both, none in the list, none in the window."""
    channels, no_rope = np.eye(LISTED + NEAR), np.zeros((LISTED, 0))

    def keys(first: int, n: int) -> Keys:
        return Keys(channels[first : first + n], no_rope[:n])

    return Call(
        queries=[np.zeros((q, 2, LISTED + NEAR)) for q in (3, 2, 2)],
        listed=Source([keys(0, 6), keys(0, 0), keys(0, 4)], page=2),
        ids=[np.array([[0, 5, 3]] * 3), np.array([[0, 1, 2]] * 2), np.array([[2, 2, -1]] * 2)],
        dim=LISTED + NEAR,
        dtype="bfloat16",
        scale=1.0,
        window=Window([keys(LISTED, 5), keys(LISTED, 1), keys(LISTED, 0)], page=3),
    )


Positions = list[list[list[int]]]  # per sequence and token
# What causality leaves of the lists, and of the window: the last 2 before each token.
LISTS: Positions = [[[0, 3], [0, 3], [0, 3, 5]], [[], []], [[2, 2], [2, 2]]]
LAST_TWO: Positions = [[[1, 2], [2, 3], [3, 4]], [[], [0]], [[], []]]


def counted(
    call: Call, runner: Runner, implementation: Implementation, layout: str
) -> tuple[Positions, Positions]:
    """The positions that a token's mean is of, in the list and in the window."""
    listed: Positions = []
    near: Positions = []
    for out, top, total in call.run(runner, implementation, layout):
        assert top is not None
        assert total is not None
        assert np.array_equal(top, np.where(total > 0, 0, -np.inf))
        times = np.rint(out * total[..., None])
        assert np.array_equal(times.sum(-1), total)
        mean = times / np.maximum(total, 1)[..., None]
        assert np.array_equal(out, Real.round(mean, call.dtype).values)
        assert np.array_equal(times[:, 0], times[:, 1]), "both heads see the same"
        rows = [np.repeat(np.arange(call.dim), row.astype(int)) for row in times[:, 0]]
        listed.append([row[row < LISTED].tolist() for row in rows])
        near.append([(row[row >= LISTED] - LISTED).tolist() for row in rows])
    return listed, near


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_seen_of_a_window_by_hand(
    runner: Runner, implementation: Implementation, layout: str
) -> None:
    # The first sequence's tokens are at 2, 3 and 4 of the window, the second's at -1 and 0.
    call = still_call()
    all_before: Positions = [[[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3, 4]], [[], [0]], [[], []]]
    from_third: Positions = [[[2], [2, 3], [3, 4]], [[], []], [[], []]]
    nothing: Positions = [[[], [], []], [[], []], [[], []]]
    cases: list[tuple[int, list[int] | None, Positions]] = [
        (-1, None, all_before),
        (9, None, all_before),
        (2, None, LAST_TWO),
        (2, [2, 1, 0], from_third),
        (0, None, nothing),
    ]
    for size, starts, near in cases:
        assert call.window is not None
        call.window = replace(call.window, size=size, starts=starts)
        assert counted(call, runner, implementation, layout) == (LISTS, near), size


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_hides_keys_of_the_list_hides_none_of_the_window(
    runner: Runner, implementation: Implementation, layout: str
) -> None:
    call = still_call()
    assert call.window is not None
    call.window.size = 2
    limits = [np.array([0, 4, -5]), np.array([0, 0]), np.array([3, 0])]
    limited = replace(call, limits=limits, mode=0)
    lists: Positions = [[[], [0, 3], []], [[], []], [[2, 2], []]]
    assert counted(limited, runner, implementation, layout) == (lists, LAST_TWO)
    # Keys of 4 raw tokens: the first sequence's see 1, 1 and 2 of them, the third's 2.
    compressed = replace(call, ratio=4, tokens=[8, 2, 9])
    lists = [[[0], [0], [0]], [[], []], [[], []]]
    assert counted(compressed, runner, implementation, layout) == (lists, LAST_TWO)
