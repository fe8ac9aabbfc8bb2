"""Calls of the two attention operators: how they are run, and checked against the formulation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from case_file import Real, RealName, Tensor
from formulation import (
    FLT_MAX,
    Blocks,
    Bools,
    Floats,
    Importance,
    Ints,
    MaskedRows,
    Row,
    Selection,
    Statistics,
    compress_attention,
    compress_attention_infer,
)
from precision import FP32, Family, assert_attention
from runner import Implementation, Outputs, Runner

NSA = Blocks(compress=32, stride=16, select=64)
# Of numbers that are stored in between: each is evaluated, rounded, and evaluated on.
MERGED = Family(4 * FP32.unit, FP32.underflow)


def exact_scale(dim: int) -> float:
    """1 / sqrt(dim) as float32 holds it, so that both sides scale by the same number."""
    return float(np.float32(1 / np.sqrt(dim)))


def random_real(rng: np.random.Generator, shape: tuple[int, ...], dtype: RealName) -> Real:
    """Standard normal."""
    return Real.round(rng.standard_normal(shape), dtype)


def random_limits(rng: np.random.Generator, lengths: Ints) -> Ints:
    """A limit for every token, whose sequence has so many keys: any int32."""
    limits = rng.integers(-3, lengths + 4)
    edges = rng.choice([-(2**31), 0, 2**31 - 1], len(lengths))
    return np.asarray(np.where(rng.random(len(lengths)) < 0.2, edges, limits))


def random_whole(rng: np.random.Generator, rows: list[list[Row]]) -> Statistics:
    """Statistics [T, N] over the keys of these rows and any others, as float32 holds them."""
    largest = np.array([np.concatenate([row.maximum for row in heads]) for heads in rows])
    seen = np.isfinite(largest) & (largest > -FLT_MAX)
    # Of a row that sees nothing of its part the others may see something, or nothing either.
    nothing = np.where(rng.random(largest.shape) < 0.5, rng.normal(0, 3, largest.shape), -FLT_MAX)
    largest = np.where(seen, largest + rng.uniform(-2, 8, largest.shape), nothing)
    total = np.exp(rng.uniform(-1, 5, largest.shape))
    return Real.round(largest, "float32").values, Real.round(total, "float32").values


def product_accuracy(dtype: RealName, accuracy: str) -> str:
    """Inputs in float32 are never rounded, whatever is asked for."""
    return "fp32" if dtype == "float32" else accuracy


def merge_states(
    runner: Runner, implementation: Implementation, parts: list[Outputs]
) -> tuple[Floats, Floats, Floats]:
    """Attention and statistics over all keys of those over their parts, in fp32."""
    names = {
        "outs": "attention_out",
        "softmax_maxes": "softmax_max",
        "softmax_sums": "softmax_sum",
    }
    tensors: dict[str, Tensor] = {
        name: np.stack([part.floats(output) for part in parts]).astype(np.float32)
        for name, output in names.items()
    }
    got = runner.run("merge_attention_states", implementation, tensors, {})
    return got.floats("out"), got.floats("softmax_max"), got.floats("softmax_sum")


@dataclass
class Training:
    """One call of nsa_compress_attention."""

    query: Real
    key: Real
    value: Real
    q_lengths: list[int]
    kv_lengths: list[int]
    blocks: Blocks = NSA
    top_k: int = 16
    scale: float = 1.0
    atten_mask: Bools | None = None
    topk_mask: Bools | None = None
    kind: Importance = "cann"
    masked_rows: MaskedRows = "uniform"
    selection: Selection = "device"
    mask_dtype: type = np.bool_
    accuracy: str = "fp32"
    key_limits: Ints | None = None
    causal: bool = False
    raw_lengths: list[int] | None = None
    whole: Statistics | None = None
    out_dtype: str = "input"
    block_scores: bool = False

    def run(self, runner: Runner, implementation: Implementation, *options: str) -> Outputs:
        """Through the binary."""
        tensors: dict[str, Tensor] = {"query": self.query, "key": self.key, "value": self.value}
        if self.atten_mask is not None:
            tensors["atten_mask"] = self.atten_mask.astype(self.mask_dtype)
        if self.topk_mask is not None:
            tensors["topk_mask"] = self.topk_mask.astype(self.mask_dtype)
        if self.key_limits is not None:
            tensors["key_limits"] = self.key_limits.astype(np.int32)
        if self.whole is not None:
            for name, values in zip(("global_max", "global_sum"), self.whole, strict=True):
                tensors[name] = values.astype(np.float32)
        attributes: dict[str, object] = {
            "scale_value": self.scale,
            "head_num": self.query.values.shape[1],
            "compress_block_size": self.blocks.compress,
            "compress_stride": self.blocks.stride,
            "select_block_size": self.blocks.select,
            "select_block_count": self.top_k,
            "actual_seq_qlen": np.cumsum(self.q_lengths).tolist(),
            "actual_cmp_seq_kvlen": np.cumsum(self.kv_lengths).tolist(),
            "importance": self.kind,
            "masked_rows": self.masked_rows,
            "selection": self.selection,
            "accuracy": self.accuracy,
            "causal": self.causal,
            "out_dtype": self.out_dtype,
            "return_block_scores": self.block_scores,
        }
        if self.raw_lengths is not None:
            attributes["actual_raw_seq_kvlen"] = np.cumsum(self.raw_lengths).tolist()
        return runner.run("nsa_compress_attention", implementation, tensors, attributes, *options)

    def rows(self) -> list[list[Row]]:
        """Of the formulation."""
        raw_lengths = self.q_lengths if self.raw_lengths is None else self.raw_lengths
        return compress_attention(
            self.query.values,
            self.key.values,
            self.value.values,
            self.scale,
            self.q_lengths,
            self.kv_lengths,
            self.blocks,
            self.atten_mask,
            self.topk_mask,
            self.kind,
            self.masked_rows,
            self.key_limits,
            raw_lengths if self.causal else None,
            self.whole,
            self.selection,
        )

    def check(self, runner: Runner, implementation: Implementation) -> Outputs:
        """Runs, and compares all outputs."""
        outputs = self.run(runner, implementation)
        out, topk = outputs.real("attention_out"), outputs.ints("topk_indices")
        tokens, heads = self.query.values.shape[:2]
        assert out.dtype == (self.query.dtype if self.out_dtype == "input" else "float32")
        assert out.values.shape == (tokens, heads, self.value.values.shape[2])
        kv_heads = self.key.values.shape[1]
        assert topk.shape == (tokens, kv_heads, self.top_k)
        assert ("block_scores" in outputs.tensors) == self.block_scores
        block_scores = outputs.floats("block_scores") if self.block_scores else None
        if block_scores is not None:
            raw = self.q_lengths if self.raw_lengths is None else self.raw_lengths
            most = (
                self.blocks.causal_count(max(raw))
                if self.selection == "causal"
                else self.blocks.training_count(max(self.kv_lengths))
            )
            assert block_scores.shape == (tokens, kv_heads, most)
        assert_attention(
            self.rows(),
            out,
            topk,
            implementation.family,
            outputs.floats("softmax_max"),
            outputs.floats("softmax_sum"),
            block_scores,
            accuracy=product_accuracy(self.query.dtype, self.accuracy),
        )
        return outputs


@dataclass
class Infer:
    """One call of nsa_compress_attention_infer. Queries are packed here; BSND pads them."""

    query: Real  # [T, N, D]
    key: Real  # [pages, page, N2 D]
    value: Real
    block_table: Ints
    cmp_lengths: list[int]
    kv_heads: int
    q_lengths: list[int] | None = None
    sel_lengths: list[int] | None = None
    masked: bool = False
    blocks: Blocks = NSA
    top_k: int = 16
    scale: float = 1.0
    layout: str = "TND"
    kind: Importance = "cann"
    masked_rows: MaskedRows = "uniform"
    selection: Selection = "device"
    accuracy: str = "fp32"
    key_limits: Ints | None = None  # [T]
    whole: Statistics | None = None  # [T, N]
    out_dtype: str = "input"
    statistics: bool = False
    block_scores: bool = False
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Absent query lengths mean one query per sequence."""
        self.counts = [1] * len(self.cmp_lengths) if self.q_lengths is None else self.q_lengths

    def real_rows(self) -> Bools:
        """[B, S]: which rows of a padded batch hold a query."""
        return np.arange(max(self.counts))[None, :] < np.array(self.counts)[:, None]

    def lay(self, packed: Floats, fill: float) -> Floats:
        """What a call has of every query, in its layout."""
        if self.layout == "TND":
            return packed
        real = self.real_rows()
        padded = np.full((*real.shape, *packed.shape[1:]), fill)
        padded[real] = packed
        return padded

    def run(self, runner: Runner, implementation: Implementation, *options: str) -> Outputs:
        """Through the binary."""
        tensors: dict[str, Tensor] = {
            "query": Real(self.lay(self.query.values, np.nan), self.query.dtype),
            "key": self.key,
            "value": self.value,
            "block_table": self.block_table.astype(np.int32),
        }
        if self.key_limits is not None:
            limits = self.lay(self.key_limits.astype(float), 2**31 - 1)
            tensors["key_limits"] = limits.astype(np.int32)
        if self.whole is not None:
            for name, values in zip(("global_max", "global_sum"), self.whole, strict=True):
                tensors[name] = self.lay(values, np.nan).astype(np.float32)
        if self.masked:
            shape = (max(self.counts), max(self.cmp_lengths))
            tensors["atten_mask"] = np.zeros(shape, np.uint8)
        attributes: dict[str, object] = {
            "scale_value": self.scale,
            "head_num": self.query.values.shape[1],
            "key_value_head_num": self.kv_heads,
            "select_block_size": self.blocks.select,
            "select_block_count": self.top_k,
            "page_block_size": self.key.values.shape[1],
            "compress_block_size": self.blocks.compress,
            "compress_stride": self.blocks.stride,
            "layout": self.layout,
            "actual_cmp_seq_kvlen": self.cmp_lengths,
            "importance": self.kind,
            "masked_rows": self.masked_rows,
            "selection": self.selection,
            "accuracy": self.accuracy,
            "out_dtype": self.out_dtype,
            "return_softmax_lse": self.statistics,
            "return_block_scores": self.block_scores,
        }
        if self.q_lengths is not None:
            attributes["actual_seq_qlen"] = self.q_lengths
        if self.sel_lengths is not None:
            attributes["actual_sel_seq_kvlen"] = self.sel_lengths
        op = "nsa_compress_attention_infer"
        return runner.run(op, implementation, tensors, attributes, *options)

    def rows(self) -> list[list[Row]]:
        """Of the formulation, in the order of the packed queries."""
        return compress_attention_infer(
            self.query.values,
            self.key.values,
            self.value.values,
            self.block_table,
            self.scale,
            self.kv_heads,
            self.counts,
            self.cmp_lengths,
            self.blocks,
            self.sel_lengths if self.masked or self.selection == "causal" else None,
            self.kind,
            self.masked_rows,
            self.key_limits,
            self.whole,
            self.selection,
        )

    def check(self, runner: Runner, implementation: Implementation) -> Outputs:
        """Runs, and compares all outputs; padding rows hold 0, -1, and an empty softmax."""
        outputs = self.run(runner, implementation)
        out, topk = outputs.real("attention_out"), outputs.ints("topk_indices")
        out = Real(self.pack(out.values, 0), out.dtype)
        topk = self.pack(topk.astype(float), -1).astype(np.int64)
        wanted = {"attention_out", "topk_indices"}
        maximum = total = block_scores = None
        if self.statistics:
            wanted |= {"softmax_max", "softmax_sum"}
            maximum = self.pack(outputs.floats("softmax_max"), -np.inf)
            total = self.pack(outputs.floats("softmax_sum"), 0)
        if self.block_scores:
            wanted |= {"block_scores"}
            block_scores = self.pack(outputs.floats("block_scores"), 0)
        assert outputs.tensors.keys() == wanted
        tokens, heads = self.query.values.shape[:2]
        assert out.dtype == (self.query.dtype if self.out_dtype == "input" else "float32")
        assert out.values.shape == (tokens, heads, self.value.values.shape[2] // self.kv_heads)
        assert topk.shape == (tokens, self.kv_heads, self.top_k)
        if block_scores is not None:
            most = self.blocks.infer_count(max(self.cmp_lengths))
            if self.selection == "causal" and self.sel_lengths is not None:
                most = self.blocks.causal_count(max(self.sel_lengths))
            assert block_scores.shape == (tokens, self.kv_heads, most)
        assert_attention(
            self.rows(),
            out,
            topk,
            implementation.family,
            maximum,
            total,
            block_scores,
            accuracy=product_accuracy(self.query.dtype, self.accuracy),
        )
        return outputs

    def pack(self, output: Floats, empty: float) -> Floats:
        """An output without its padding rows, which hold nothing."""
        if self.layout == "TND":
            return output
        real = self.real_rows()
        assert np.all(output[~real] == empty)
        return np.asarray(output[real])


def assert_scores_in_fp32(
    call: Training | Infer, runner: Runner, implementation: Implementation
) -> None:
    """Accuracy "fp32_scores" changes no bit of accuracy "storage"."""
    found, expected = (
        replace(call, accuracy=accuracy).run(runner, implementation)
        for accuracy in ("fp32_scores", "storage")
    )
    assert found.same_bits(expected)


def paged(
    rng: np.random.Generator,
    dense: list[tuple[Real, Real]],
    page: int,
    spare: int = 3,
) -> tuple[Real, Real, Ints]:
    """Pages in random order for the keys and values [n, N2, D] of each sequence, and their table.

    Everything that must not be read is poison: `spare` pages, rows past the last key (NaN), and
    table entries past the last page (out of range).
    """
    dtype = dense[0][0].dtype
    needed = [-(-len(key.values) // page) for key, _ in dense]
    order = rng.permutation(sum(needed) + spare).tolist()
    columns = max([*needed, 0]) + 1
    table = np.where(rng.random((len(dense), columns)) < 0.5, -7, 1 << 30).astype(np.int64)
    caches = []
    for side in (0, 1):
        widths = dense[0][side].values.shape[1:]
        cache = np.full((len(order), page, int(np.prod(widths))), np.nan)
        used = 0
        for b, pair in enumerate(dense):
            rows = pair[side].values.reshape(-1, cache.shape[2])
            for p in range(needed[b]):
                chunk = rows[p * page : (p + 1) * page]
                table[b, p] = order[used]
                cache[order[used], : len(chunk)] = chunk
                used += 1
        caches.append(Real(cache, dtype))
    return caches[0], caches[1], table
