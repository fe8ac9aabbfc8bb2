"""Calls of the two attention operators: how they are run, and checked against the formulation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from case_file import Half, HalfName, Tensor
from formulation import (
    Blocks,
    Bools,
    Importance,
    Ints,
    MaskedRows,
    Row,
    compress_attention,
    compress_attention_infer,
)
from precision import assert_attention
from runner import Implementation, Outputs, Runner

NSA = Blocks(compress=32, stride=16, select=64)


def exact_scale(dim: int) -> float:
    """1 / sqrt(dim) as float32 holds it, so that both sides scale by the same number."""
    return float(np.float32(1 / np.sqrt(dim)))


def random_half(rng: np.random.Generator, shape: tuple[int, ...], dtype: HalfName) -> Half:
    """Standard normal."""
    return Half.round(rng.standard_normal(shape), dtype)


@dataclass
class Training:
    """One call of nsa_compress_attention."""

    query: Half
    key: Half
    value: Half
    q_lengths: list[int]
    kv_lengths: list[int]
    blocks: Blocks = NSA
    top_k: int = 16
    scale: float = 1.0
    atten_mask: Bools | None = None
    topk_mask: Bools | None = None
    kind: Importance = "cann"
    masked_rows: MaskedRows = "uniform"
    mask_dtype: type = np.bool_
    accuracy: str = "fp32"

    def run(self, runner: Runner, implementation: Implementation, *options: str) -> Outputs:
        """Through the binary."""
        tensors: dict[str, Tensor] = {"query": self.query, "key": self.key, "value": self.value}
        if self.atten_mask is not None:
            tensors["atten_mask"] = self.atten_mask.astype(self.mask_dtype)
        if self.topk_mask is not None:
            tensors["topk_mask"] = self.topk_mask.astype(self.mask_dtype)
        attributes = {
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
            "accuracy": self.accuracy,
        }
        return runner.run("nsa_compress_attention", implementation, tensors, attributes, *options)

    def rows(self) -> list[list[Row]]:
        """Of the formulation."""
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
        )

    def check(self, runner: Runner, implementation: Implementation) -> Outputs:
        """Runs, and compares all four outputs."""
        outputs = self.run(runner, implementation)
        out, topk = outputs.half("attention_out"), outputs.ints("topk_indices")
        tokens, heads = self.query.values.shape[:2]
        assert out.dtype == self.query.dtype
        assert out.values.shape == (tokens, heads, self.value.values.shape[2])
        assert topk.shape == (tokens, self.key.values.shape[1], self.top_k)
        assert_attention(
            self.rows(),
            out,
            topk,
            implementation.family,
            outputs.floats("softmax_max"),
            outputs.floats("softmax_sum"),
            accuracy=self.accuracy,
        )
        return outputs


@dataclass
class Infer:
    """One call of nsa_compress_attention_infer. Queries are packed here; BSND pads them."""

    query: Half  # [T, N, D]
    key: Half  # [pages, page, N2 D]
    value: Half
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
    accuracy: str = "fp32"
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Absent query lengths mean one query per sequence."""
        self.counts = [1] * len(self.cmp_lengths) if self.q_lengths is None else self.q_lengths

    def real_rows(self) -> Bools:
        """[B, S]: which rows of a padded batch hold a query."""
        return np.arange(max(self.counts))[None, :] < np.array(self.counts)[:, None]

    def run(self, runner: Runner, implementation: Implementation, *options: str) -> Outputs:
        """Through the binary."""
        query = self.query
        if self.layout == "BSND":
            real = self.real_rows()
            padded = np.full((*real.shape, *query.values.shape[1:]), np.nan)
            padded[real] = query.values
            query = Half(padded, query.dtype)
        tensors: dict[str, Tensor] = {
            "query": query,
            "key": self.key,
            "value": self.value,
            "block_table": self.block_table.astype(np.int32),
        }
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
            "accuracy": self.accuracy,
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
            self.sel_lengths if self.masked else None,
            self.kind,
            self.masked_rows,
        )

    def check(self, runner: Runner, implementation: Implementation) -> Outputs:
        """Runs, and compares both outputs; padding rows hold 0 and -1."""
        outputs = self.run(runner, implementation)
        out, topk = outputs.half("attention_out"), outputs.ints("topk_indices")
        if self.layout == "BSND":
            real = self.real_rows()
            assert np.all(out.values[~real] == 0)
            assert np.all(topk[~real] == -1)
            out, topk = Half(out.values[real], out.dtype), topk[real]
        tokens, heads = self.query.values.shape[:2]
        assert out.dtype == self.query.dtype
        assert out.values.shape == (tokens, heads, self.value.values.shape[2] // self.kv_heads)
        assert topk.shape == (tokens, self.kv_heads, self.top_k)
        assert_attention(self.rows(), out, topk, implementation.family, accuracy=self.accuracy)
        return outputs


def paged(
    rng: np.random.Generator,
    dense: list[tuple[Half, Half]],
    page: int,
    spare: int = 3,
) -> tuple[Half, Half, Ints]:
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
        caches.append(Half(cache, dtype))
    return caches[0], caches[1], table
