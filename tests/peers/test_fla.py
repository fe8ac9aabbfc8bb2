"""Native Sparse Attention of fla-core: its plain form and its Triton kernels, beside Tamis.

Its rules in Tamis's words: windows do not overlap and are select blocks (`l = d = l'`), pooled by
their mean (weights `1 / l`), seen once they are whole (`causal`); a row that sees none is zero
(`masked_rows` zero). A block's importance is its own window's: `importance` exact_overlap; `cann`
would take the next one's. The first block, a token's own and the one before are always selected
(`topk_mask`). Three things are fla's alone: a block that a sequence has only begun can be selected,
for which Tamis needs a compressed key, a hidden one; blocks of the future leave its lists, where
Tamis has them last; and a token that sees nothing is NaN, so that here all see something.

Kernels run in Triton's interpreter, in float16 where the plain form runs in bfloat16: it multiplies
none. The sliding window of fla is FlashAttention's, which wants a GPU: not compared.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pytest
import torch
from fla.ops.nsa.compression import parallel_nsa_compression
from fla.ops.nsa.naive import (
    naive_nsa,
    naive_nsa_compression,
    naive_nsa_selection,
    naive_nsa_topk,
)
from fla.ops.nsa.parallel import parallel_nsa, parallel_nsa_topk
from fla.ops.utils.pooling import mean_pooling
from precision import FP32
from torch import Tensor

import tamis

from .peer_bounds import assert_agree, attention_error, unit

KV_HEADS, GROUP, DIM, VALUE_DIM = 2, 16, 40, 24
BLOCK, COUNT = 16, 8
LENGTHS = (32, 5, 170)  # whole blocks, less than one, and one that has begun
WHOLE = tuple(length // BLOCK for length in LENGTHS)
BEGUN = tuple(-(-length // BLOCK) for length in LENGTHS)
SCALE = DIM**-0.5
FORMS = {  # and what they run in
    "naive": (torch.float32, torch.bfloat16),
    "triton": (torch.float32, torch.float16),
}
RUNS = [(form, dtype) for form, dtypes in FORMS.items() for dtype in dtypes]
Way = dict[str, Any]

HEADS: Way = {"scale_value": SCALE, "head_num": KV_HEADS * GROUP}
BLOCKS: Way = {"select_block_size": BLOCK, "select_block_count": COUNT}
WINDOWS: Way = {"compress_block_size": BLOCK, "compress_stride": BLOCK}


def sums(lengths: tuple[int, ...]) -> list[int]:
    """Inclusive prefix sums."""
    return list(accumulate(lengths))


def boundaries(lengths: tuple[int, ...]) -> Tensor:
    """As fla has them: with a 0 before."""
    return torch.tensor([0, *sums(lengths)])


@dataclass
class Inputs:
    """Packed sequences, without fla's batch of one."""

    query: Tensor
    key: Tensor
    value: Tensor
    of_compressed: Tensor  # gates
    of_selected: Tensor

    def batch(self) -> tuple[Tensor, ...]:
        """As fla has them."""
        return tuple(x[None] for x in vars(self).values())


@functools.cache
def inputs(dtype: torch.dtype) -> Inputs:
    """The same numbers for every test."""
    generator = torch.Generator().manual_seed(17)
    tokens = sum(LENGTHS)

    def normal(*shape: int) -> Tensor:
        return torch.randn(tokens, *shape, generator=generator).to(dtype)

    return Inputs(
        normal(KV_HEADS * GROUP, DIM),
        normal(KV_HEADS, DIM),
        normal(KV_HEADS, VALUE_DIM),
        *(torch.rand(tokens, KV_HEADS * GROUP, generator=generator).to(dtype) for _ in range(2)),
    )


def positions() -> Tensor:
    """Of all tokens in their sequences."""
    return torch.cat([torch.arange(length) for length in LENGTHS])


# --- Tamis, by fla's rules ----------------------------------------------------------------------


def compress(x: Tensor, way: Way) -> Tensor:
    """The means of whole blocks."""
    weight = torch.full((BLOCK, KV_HEADS), 1 / BLOCK, dtype=x.dtype)
    return tamis.nsa_compress(x, weight, act_seq_len=sums(LENGTHS), **WINDOWS, **way)


def for_begun_blocks(x: Tensor) -> Tensor:
    """Rows of whole blocks, and zeros, to be hidden, for a block that has only begun."""
    zeros = x.new_zeros(1, *x.shape[1:])
    parts = zip(x.split(WHOLE), WHOLE, BEGUN, strict=True)
    return torch.cat([x for part, w, b in parts for x in (part, zeros[: b - w])])


def attend_compressed(case: Inputs, way: Way) -> Any:
    """Attention to the means, and the blocks that are selected by it.

    To Tamis's means in fp32. Those of 16 bits may differ by a unit in the last place, which a score
    would show: there to fla's.
    """
    if case.query.dtype == torch.float32:
        key, value = (for_begun_blocks(compress(x, way)) for x in (case.key, case.value))
    else:
        key, value = pooled(case.key), pooled(case.value)
    own, block = torch.arange(max(LENGTHS))[:, None] // BLOCK, torch.arange(max(BEGUN))
    return tamis.nsa_compress_attention(
        case.query,
        key,
        value,
        topk_mask=(block == 0) | (block == own) | (block == own - 1),
        actual_seq_qlen=sums(LENGTHS),
        actual_cmp_seq_kvlen=sums(BEGUN),
        causal=True,
        importance="exact_overlap",
        masked_rows="zero",
        accuracy="fp32",
        **HEADS,
        **WINDOWS,
        **BLOCKS,
        **way,
    )


def attend_selected(case: Inputs, lists: Tensor, way: Way) -> Tensor:
    """Attention to given blocks, causal."""
    out: Tensor = tamis.nsa_selected_attention(
        case.query,
        case.key,
        case.value,
        lists.int(),
        actual_seq_qlen=sums(LENGTHS),
        actual_seq_kvlen=sums(LENGTHS),
        accuracy="fp32",
        **HEADS,
        **BLOCKS,
        **way,
    )[0]
    return out


# --- fla ----------------------------------------------------------------------------------------


def pooled(x: Tensor) -> Tensor:
    """Means of all blocks, those that have only begun, too."""
    found: Tensor = mean_pooling(x[None], BLOCK, boundaries(LENGTHS))[0]
    return found


@functools.cache
def selection(form: str) -> Tensor:
    """Its blocks, in fp32: [tokens, kv heads, COUNT], -1 in places that are free."""
    case, cu = inputs(torch.float32), boundaries(LENGTHS)
    query, key = case.query[None], pooled(case.key)[None]
    if form == "naive":
        return naive_nsa_topk(query, key, COUNT, BLOCK, SCALE, cu)[0]
    return parallel_nsa_topk(query, key, max(LENGTHS), None, COUNT, BLOCK, SCALE, cu)[0].long()


@functools.cache
def given_lists() -> Tensor:
    """Any blocks in any order, the first seen by all: the future's, repeated ones, short lists."""
    generator = torch.Generator().manual_seed(18)
    shape = (sum(LENGTHS), KV_HEADS, COUNT)
    lists = torch.randint(0, 12, shape, generator=generator)
    lists[..., 0] = positions()[:, None] // BLOCK
    lengths = torch.randint(1, COUNT + 1, (*shape[:2], 1), generator=generator)
    return lists.where(torch.arange(COUNT) < lengths, torch.full_like(lists, -1))


@functools.cache
def compressed_attention(form: str, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Outputs, and the logarithms of the sums."""
    case, cu = inputs(dtype), boundaries(LENGTHS)
    arguments = (case.query[None], pooled(case.key)[None], pooled(case.value)[None])
    if form == "naive":
        out, lse = naive_nsa_compression(*arguments, BLOCK, SCALE, cu)
    else:
        out, lse = parallel_nsa_compression(*arguments, max(LENGTHS), BLOCK, SCALE, cu)
    return out[0], lse[0]


@functools.cache
def selected_attention(form: str, dtype: torch.dtype) -> Tensor:
    """Over given lists."""
    query, key, value, *_ = inputs(dtype).batch()
    named = {"block_size": BLOCK, "scale": SCALE, "cu_seqlens": boundaries(LENGTHS)}
    if form == "naive":
        out: Tensor = naive_nsa_selection(query, key, value, given_lists()[None], **named)
    else:
        out = parallel_nsa(query, key, value, block_indices=given_lists()[None], **named)
    return out[0]


@functools.cache
def layer(form: str, dtype: torch.dtype) -> Tensor:
    """Both branches through their gates, over the blocks that fla selects.

    Some are given what it selects: in 16 bits products that are rounded would select others, and
    the interpreter is slow to select a second time.
    """
    own = form == "naive" and dtype == torch.float32
    lists = None if own else selection(form)[None]
    named = {"block_counts": COUNT, "block_size": BLOCK, "scale": SCALE}
    function = naive_nsa if form == "naive" else parallel_nsa
    out: Tensor = function(
        *inputs(dtype).batch(),
        block_indices=lists,
        cu_seqlens=boundaries(LENGTHS),
        **named,
    )
    return out[0]


# --- errors -------------------------------------------------------------------------------------


def mean_error(x: Tensor) -> float:
    """Of a mean in fp32, before it is stored."""
    return float(FP32.of_sum(BLOCK, x.double().abs().max().numpy()))


def error(form: str, query: Tensor, key: Tensor, value: Tensor) -> float:
    """Of both sides together; Triton's kernels round scaled queries and probabilities."""
    rounded = int(form == "triton" and query.dtype != torch.float32)
    own = attention_error(query, key, value, SCALE)
    return own + attention_error(query, key, value, SCALE, rounded=rounded)


def compressed_error(form: str, case: Inputs) -> float:
    """The same of attention to the means; means of fp32 may differ, and scores by them."""
    key, value = pooled(case.key), pooled(case.value)
    found = error(form, case.query, key, value)
    if case.query.dtype == torch.float32:
        of_score = 2 * mean_error(case.key) * SCALE * float(case.query.abs().sum(-1).max())
        found += 2 * of_score * float(value.abs().max()) + 2 * mean_error(case.value)
    return found


# --- tests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_pooling_by_the_mean_is_compression_with_equal_weights(
    dtype: torch.dtype, way: Way
) -> None:
    case = inputs(dtype)
    for name in ("key", "value"):
        x = getattr(case, name)
        parts = pooled(x).split(BEGUN)
        whole = [part[:count] for part, count in zip(parts, WHOLE, strict=True)]
        assert_agree(name, compress(x, way), torch.cat(whole), 2 * mean_error(x))


@pytest.mark.parametrize(("form", "dtype"), RUNS)
def test_attention_to_the_means_agrees(form: str, dtype: torch.dtype, way: Way) -> None:
    case = inputs(dtype)
    out, lse = compressed_attention(form, dtype)
    found, bound = attend_compressed(case, way), compressed_error(form, case)
    sees = positions() >= BLOCK - 1
    assert_agree("out", found.attention_out, out, bound)
    assert found.attention_out[~sees].eq(0).all()
    assert found.softmax_sum[~sees].eq(0).all()
    if dtype == torch.float32:
        statistic = found.softmax_max + found.softmax_sum.log()
        # An output's bound is the largest value times that of weights, and so of their sum.
        largest = float(pooled(case.value).abs().max())
        assert_agree("lse", statistic[sees], lse[sees], bound / largest)


@pytest.mark.parametrize("form", FORMS)
def test_the_blocks_that_are_selected_are_the_same(form: str, way: Way) -> None:
    found = attend_compressed(inputs(torch.float32), way).topk_indices.long()
    own = positions()[:, None, None] // BLOCK
    found = found.where(found <= own, torch.full_like(found, -1))
    theirs = selection(form)
    assert theirs.amax() >= COUNT, "no token had more blocks to choose from than it may select"
    assert torch.equal(found.sort().values, theirs.sort().values)


@pytest.mark.parametrize(("form", "dtype"), RUNS)
def test_attention_to_given_blocks_agrees(form: str, dtype: torch.dtype, way: Way) -> None:
    case = inputs(dtype)
    found = attend_selected(case, given_lists(), way)
    bound = error(form, case.query, case.key, case.value)
    assert_agree("out", found, selected_attention(form, dtype), bound)


@pytest.mark.parametrize(("form", "dtype"), RUNS)
def test_both_branches_through_their_gates_agree(form: str, dtype: torch.dtype, way: Way) -> None:
    case = inputs(dtype)
    first = attend_compressed(case, way)
    # What Tamis selects may name the future's blocks, which a causal token does not see.
    lists = first.topk_indices if dtype == torch.float32 else selection(form)
    second = attend_selected(case, lists, way)
    gated = second * case.of_selected[..., None]
    found = torch.addcmul(gated, first.attention_out, case.of_compressed[..., None])
    # Gates are below 1. On either side outputs, products and their sum are rounded.
    size = gated.abs() + first.attention_out.abs() * case.of_compressed[..., None]
    roundings = 2 * 3 * unit(dtype) * size.double().numpy()
    bound = error(form, case.query, case.key, case.value) + compressed_error(form, case)
    assert_agree("out", found, layer(form, dtype), bound + roundings)


@functools.cache
def cached_attention(dtype: torch.dtype) -> Tensor:
    """Triton's kernels for the last tokens of every sequence."""
    case = inputs(dtype)
    both = (boundaries((STEP,) * len(LENGTHS)), boundaries(LENGTHS))
    out: Tensor = parallel_nsa(
        last(case.query)[None],
        case.key[None],
        case.value[None],
        block_indices=last(given_lists())[None],
        block_size=BLOCK,
        scale=SCALE,
        cu_seqlens=both,
    )
    return out[0]


STEP = 3
PAGE = 12  # blocks straddle pages


def last(x: Tensor) -> Tensor:
    """Rows of the last tokens of every sequence."""
    return torch.cat([part[-STEP:] for part in x.split(LENGTHS)])


def paged(x: Tensor) -> tuple[Tensor, Tensor]:
    """Pages [pages, PAGE, heads * dim], those of all sequences in turns, and their table."""
    counts = [-(-length // PAGE) for length in LENGTHS]
    order = torch.randperm(sum(counts), generator=torch.Generator().manual_seed(19)).int()
    table = torch.zeros(len(counts), max(counts), dtype=torch.int32)
    pages = x.new_full((sum(counts), PAGE, x[0].numel()), torch.nan)
    own = zip(x.split(LENGTHS), order.split(counts), table, strict=True)
    for part, numbers, row in own:
        row[: len(numbers)] = numbers
        for number, rows in zip(numbers.tolist(), part.flatten(1).split(PAGE), strict=True):
            pages[number, : len(rows)] = rows
    return pages, table


@pytest.mark.parametrize("dtype", FORMS["triton"])
def test_the_last_tokens_over_cached_keys_agree(dtype: torch.dtype, way: Way) -> None:
    case = inputs(dtype)
    steps = (STEP,) * len(LENGTHS)
    query, lists = last(case.query), last(given_lists()).int()
    bound = error("triton", case.query, case.key, case.value)
    packed = tamis.nsa_selected_attention(
        query,
        case.key,
        case.value,
        lists,
        actual_seq_qlen=sums(steps),
        actual_seq_kvlen=sums(LENGTHS),
        sparse_mode=3,
        accuracy="fp32",
        **HEADS,
        **BLOCKS,
        **way,
    )[0]
    assert_agree("packed", packed, cached_attention(dtype), bound)
    (key, table), (value, _) = paged(case.key), paged(case.value)
    infer = tamis.nsa_selected_attention_infer(
        query,
        key,
        value,
        lists,
        table,
        key_value_head_num=KV_HEADS,
        page_block_size=PAGE,
        actual_seq_qlen=list(steps),
        actual_seq_kvlen=list(LENGTHS),
        accuracy="fp32",
        **HEADS,
        **BLOCKS,
        **way,
    )[0]
    assert_agree("paged", infer, cached_attention(dtype), bound)
