"""sparse_flash_attention against its formula: a list of positions per row, then plain softmax."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from attention_calls import product_accuracy, random_limits
from case_file import Real, RealName, Tensor
from formulation import Floats, Ints, storage_error, storage_score_error
from precision import Family, assert_close
from runner import Implementation, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
LAYOUTS = ["BSND/BSND", "TND/TND", "BSND/PA_BSND", "TND/PA_BSND"]
FORMATS = ["split", "cann656", "flashmla656"]


def fp8(code: Ints) -> Floats:
    """The values of e4m3 codes without infinities; the largest of either sign is not a number."""
    exponent, mantissa = (code >> 3) & 15, code & 7
    size = np.where(exponent == 0, mantissa / 512.0, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    size = np.where(code & 127 == 127, np.nan, size)
    return np.asarray(np.where(code & 128, -size, size))


@dataclass
class Keys:
    """One sequence: latent [n, D], rope [n, Dr], and the rows of bytes that they came from."""

    latent: Floats
    rope: Floats
    rows: npt.NDArray[np.uint8] | None = None
    value: Floats | None = None


def random_rows(
    rng: np.random.Generator, n: int, dim: int, rope_dim: int, dtype: RealName, kind: str
) -> Keys:
    """Rows of bytes and what they mean, both from the list of their parts.

    Beside queries in fp32 the latent is not rounded, and rope is bfloat16.
    """
    groups = dim // 128
    scales = (rng.uniform(0.5, 2, (n, groups)) / 100).astype(np.float32)
    if kind == "cann656":
        codes = rng.integers(-128, 128, (n, dim))
        values = codes.astype(np.float32)
        quants = codes.astype(np.int8).view(np.uint8)
    else:
        codes = rng.integers(0, 256, (n, dim))
        codes[codes % 128 == 127] = 0
        values = fp8(codes).astype(np.float32)
        quants = codes.astype(np.uint8)
    product = values * np.repeat(scales, 128, axis=1)  # rounded to float32, then to the type
    rope_dtype = "bfloat16" if dtype == "float32" else dtype
    rope = Real.round(rng.standard_normal((n, rope_dim)), rope_dtype)
    rope_bytes = np.frombuffer(rope.to_bytes(), np.uint8).reshape(n, 2 * rope_dim)
    scale_bytes = scales.view(np.uint8).reshape(n, 4 * groups)
    parts = [quants, rope_bytes, scale_bytes]
    if kind == "flashmla656":
        parts = [quants, scale_bytes, rope_bytes]
    latent = Real.round(product.astype(np.float64), dtype).values
    return Keys(latent, rope.values, np.concatenate(parts, axis=1))


Found = tuple[Floats, Floats | None, Floats | None]


@dataclass
class Call:
    """Sequences of query tokens with their keys and ids; layouts are made when it runs."""

    queries: list[Floats]  # per sequence [q, heads, D + Dr]
    keys: list[Keys]
    ids: list[Ints]  # [q, K]
    dim: int
    dtype: RealName
    scale: float
    mode: int = 3
    block: int = 1
    page: int = 16
    kind: str = "split"
    sinks: Floats | None = None
    accuracy: str = "fp32"
    statistics: bool = True
    starts: list[int] | None = None  # per sequence, or one for all
    limits: list[Ints] | None = None  # per sequence [q]
    ratio: int = 1
    tokens: list[int] | None = None  # raw ones; per sequence, or one for all
    out_dtype: str = "input"

    def start(self, b: int) -> int:
        """The first key of a sequence that counts."""
        return 0 if self.starts is None else self.starts[b % len(self.starts)]

    def visible(self, b: int, t: int) -> int:
        """Keys before this one are seen by a token."""
        q, n = len(self.queries[b]), len(self.keys[b].latent)
        seen = n
        if self.mode == 3:
            raw = q if self.tokens is None else self.tokens[b % len(self.tokens)]
            own = (n if self.ratio == 1 else raw) - q + t
            seen = min(n, (own + 1) // self.ratio)
        return max(0, seen if self.limits is None else min(seen, int(self.limits[b][t])))

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

    def lay(self, parts: list[Floats], layout: str, fill: float) -> Floats:
        """Key-like parts [n, width] in one tensor; `fill` before those that count, too."""
        parts = [part.copy() for part in parts]
        for b, part in enumerate(parts):
            part[: self.start(b)] = fill
        if layout == "TND":
            return np.concatenate(parts)[:, None]
        width = parts[0].shape[1]
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

    def run(self, runner: Runner, implementation: Implementation, layout: str) -> list[Found]:
        """Out [q, heads, D], max and sum [q, heads], if wanted, of every sequence."""
        query_layout, kv_layout = layout.split("/")
        tensors: dict[str, Tensor] = {}

        def half(values: Floats) -> Real:
            return Real.round(values, self.dtype)

        tensors["query"] = half(
            self.pack([q[..., : self.dim] for q in self.queries], query_layout, np.nan)
        )
        tensors["query_rope"] = half(
            self.pack([q[..., self.dim :] for q in self.queries], query_layout, np.nan)
        )
        ids = self.pack([i[:, None].astype(float) for i in self.ids], query_layout, 0)
        tensors["sparse_indices"] = ids.astype(np.int32)
        if self.kind == "split":
            tensors["key"] = half(self.lay([k.latent for k in self.keys], kv_layout, np.nan))
            tensors["key_rope"] = half(self.lay([k.rope for k in self.keys], kv_layout, np.nan))
            values = [k.value for k in self.keys if k.value is not None]
            if values:
                tensors["value"] = half(self.lay(values, kv_layout, np.nan))
        else:
            rows = [k.rows.astype(float) for k in self.keys if k.rows is not None]
            tensors["key"] = self.lay(rows, kv_layout, 255).astype(np.uint8)
        if self.sinks is not None:
            tensors["sinks"] = self.sinks.astype(np.float32)
        q_lengths = np.array([len(q) for q in self.queries])
        n_lengths = np.array([len(k.latent) for k in self.keys])
        tensors["actual_seq_lengths_query"] = (
            np.cumsum(q_lengths) if query_layout == "TND" else q_lengths
        ).astype(np.int32)
        tensors["actual_seq_lengths_kv"] = (
            np.cumsum(n_lengths) if kv_layout == "TND" else n_lengths
        ).astype(np.int64)
        if kv_layout == "PA_BSND":
            table = self.table()
            for b, row in enumerate(table):
                row[: self.start(b) // self.page] = 1 << 30
            tensors["block_table"] = table
        if self.starts is not None:
            tensors["key_starts"] = np.array(self.starts, np.int32)
        if self.limits is not None:
            limits = self.pack([row.astype(float) for row in self.limits], query_layout, -(2**31))
            tensors["key_limits"] = limits.astype(np.int32)
        if self.tokens is not None:
            tensors["actual_seq_lengths_tokens"] = np.array(self.tokens, np.int64)
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
        outputs = runner.run("sparse_flash_attention", implementation, tensors, attributes)
        assert outputs.real("out").dtype == self.stored()
        out = outputs.real("out").values
        statistics = [
            outputs.floats(name) if self.statistics else None
            for name in ("softmax_max", "softmax_sum")
        ]
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


def chosen(ids: Ints, start: int, visible: int, block: int) -> list[int]:
    """The positions that a row attends to."""
    found: list[int] = []
    for name in ids[: min(len(ids), -(-visible // block))].tolist():
        if name < 0:
            break
        found += range(name * block, min(name * block + block, visible))
    return [position for position in found if position >= start]


def check(call: Call, found: list[Found], family: Family) -> None:
    """Every row and head within the bound of its evaluation."""
    scale = float(np.float32(call.scale))
    accuracy = product_accuracy(call.dtype, call.accuracy)
    for b, (out, top, total) in enumerate(found):
        query, keys = call.queries[b], call.keys[b]
        key = np.concatenate([keys.latent, keys.rope], axis=1)
        value = keys.latent if keys.value is None else keys.value
        for t in range(len(query)):
            at = chosen(call.ids[b][t], call.start(b), call.visible(b, t), call.block)
            where = f"[{b}, {t}]"
            heads = query.shape[1]
            score = scale * (query[t] @ key[at].T)
            size = (abs(scale) * (np.abs(query[t]) @ np.abs(key[at]).T)).max(axis=1, initial=0)
            sinks = call.sinks if call.sinks is not None else np.full(heads, -np.inf)
            want_top = np.maximum(score.max(axis=1, initial=-np.inf), sinks)
            shift = np.where(np.isfinite(want_top), want_top, 0)[:, None]
            e = np.exp(score - shift)
            want_total = e.sum(axis=1) + np.exp(sinks - shift[:, 0])
            safe = np.where(want_total > 0, want_total, 1)[:, None]
            want_out = (e / safe) @ value[at]
            weight = (e / safe) @ np.abs(value[at])
            of_score = family.of_sum(key.shape[1], size) + 2 * family.unit * size
            one = np.ones(heads)
            relative = 2 * of_score + 2 * family.unit * size + family.of_sum(len(at) + 16, one)
            error = (relative + family.of_sum(len(at) + 1, one))[:, None] * weight
            lost = family.underflow * len(at)
            error = error + lost * np.abs(value[at]).max(initial=1.0)
            if accuracy == "storage":
                error = error + storage_error(e / safe, value[at], 128)[:, None]
            if accuracy == "storage" and top is None:
                moved = storage_score_error(query[t], key[at], scale).max(axis=1, initial=0)
                error = error + np.expm1(2 * moved)[:, None] * weight
            assert_close(f"out{where}", out[t], want_out, error, call.stored())
            if top is None or total is None:
                continue
            assert_close(f"softmax_max{where}", top[t], want_top, of_score, "float32")
            assert_close(
                f"softmax_sum{where}", total[t], want_total, relative * want_total + lost, "float32"
            )


def random_call(seed: int, dtype: RealName, kind: str = "split") -> Call:
    rng = np.random.default_rng(seed)
    heads = int(rng.integers(1, 40))
    dim = int(rng.choice([1, 30, 64])) if kind == "split" else 128 * int(rng.integers(1, 5))
    rope_dim = int(rng.choice([1, 8, 64]))
    batch = int(rng.integers(1, 4))
    q_lengths = rng.integers(0, 6, batch)
    q_lengths[0] += 1
    n_lengths = rng.integers(0, 120, batch)
    n_lengths[-1] += 1
    block = int(rng.choice([1, 1, 4, 7]))

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), dtype).values

    keys = []
    for n in n_lengths.tolist():
        if kind == "split":
            value = normal(n, dim) if seed % 4 < 2 else None
            keys.append(Keys(normal(n, dim), normal(n, rope_dim), None, value))
        else:
            keys.append(random_rows(rng, n, dim, rope_dim, dtype, kind))
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
        keys=keys,
        ids=ids,
        dim=dim,
        dtype=dtype,
        scale=float(rng.uniform(0.05, 0.3)),
        mode=int(rng.choice([0, 3])),
        block=block,
        page=int(rng.integers(1, 30)),
        kind=kind,
        sinks=rng.standard_normal(heads).astype(np.float32).astype(float) if seed % 2 else None,
        starts=starts,
        limits=limits,
        ratio=ratio,
        tokens=tokens,
        out_dtype=str(rng.choice(["input", "float32"])),
    )


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
@pytest.mark.parametrize("layout", ["TND/TND", "BSND/PA_BSND"])
def test_rows_of_bytes_mean_what_their_parts_mean(
    runner: Runner, implementation: Implementation, layout: str, dtype: RealName, kind: str
) -> None:
    call = random_call(920, dtype, kind)
    check(call, call.run(runner, implementation, layout), implementation.family)


def test_a_long_selection_in_segments_of_its_own(
    runner: Runner, implementation: Implementation
) -> None:
    rng = np.random.default_rng(930)
    n, heads = 1500, 5

    def normal(*shape: int) -> Floats:
        return Real.round(rng.standard_normal(shape), "bfloat16").values

    ids = np.stack([rng.permutation(n)[:1300] for _ in range(2)])
    keys = Keys(normal(n, 40), normal(n, 8))
    call = Call([normal(2, heads, 48)], [keys], [ids], 40, "bfloat16", 0.15, mode=0)
    check(call, call.run(runner, implementation, "BSND/BSND"), implementation.family)
