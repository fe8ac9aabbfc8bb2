"""A layer of Native Sparse Attention over ranks, beside the layer of one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch
from ranks import as_processes, as_threads
from torch import Tensor

from tamis.distributed import ContextGroup, DealtNativeAttention, RemoteError, unzigzag, zigzag
from tamis.distributed.states import merge_over_ranks
from tamis.nn import Branches, NativeSparseAttention
from tamis.nn.rope import rotate, turn

SIZES: dict[str, Any] = {
    "hidden": 96, "heads": 8, "kv_heads": 2, "qk_dim": 48, "v_dim": 32, "compress_block_size": 8,
    "compress_stride": 4, "select_block_size": 8, "select_block_count": 6, "window_size": 40,
    "rope_dim": 16,
}  # fmt: skip
# New tokens of three sequences: one starts late; chunks that go around all shards, or lie on one.
STEPS = ([0, 130, 5], [3, 1, 260], [1, 1, 1], [4, 0, 2], [0, 0, 0], [1, 40, 0])
DTYPES = [torch.bfloat16, torch.float32]
WORLDS = [1, 2, 3, 8]


def layer_of(dtype: torch.dtype, **changed: Any) -> NativeSparseAttention:
    torch.manual_seed(3)
    layer = NativeSparseAttention(**SIZES | changed, dtype=dtype)
    for weight in layer.compressed.parameters():
        weight.copy_(torch.randn(weight.shape) / 3)
    layer.q_proj.weight.mul_(4)
    return layer


def hidden(dtype: torch.dtype, steps: Sequence[list[int]] = STEPS) -> list[Tensor]:
    random = torch.Generator().manual_seed(4)
    return [2 * torch.randn(sum(counts), 96, generator=random).to(dtype) for counts in steps]


class Run(NamedTuple):
    """What a rank has in the end, after the steps."""

    outs: list[Branches]
    windows: dict[str, list[Tensor]]


def over_ranks(
    layer: NativeSparseAttention, *, shards: int | None = None, page_size: int = 16, **how: Any
) -> Run:
    dealt = DealtNativeAttention(layer, ContextGroup(page_size=page_size, shards=shards), **how)
    table = dealt.make_table(sequences=3, tokens=640)
    cache = dealt.make_cache(table)
    steps = zip(hidden(layer.q_proj.weight.dtype), STEPS, strict=True)
    outs = [dealt.attend(x, counts, cache) for x, counts in steps]
    assert table.whole is not None
    pages = table.whole.block_table().long()
    return Run(outs, windows_of(layer, cache.tensors, pages, table.lengths))


def windows_of(
    layer: NativeSparseAttention, pools: dict[str, Tensor], pages: Tensor, lengths: list[int]
) -> dict[str, list[Tensor]]:
    """Compressed keys and values of each sequence."""
    return {
        name: [
            pools[name][of_sequence].flatten(0, 1)[: max(n - 8 + 4, 0) // 4]
            for of_sequence, n in zip(pages, lengths, strict=True)
        ]
        for name in layer.compressed.cache_strides
    }


def on_one(layer: NativeSparseAttention) -> Run:
    cache = layer.make_cache(sequences=3, pages=60, page_size=16)
    steps = zip(hidden(layer.q_proj.weight.dtype), STEPS, strict=True)
    outs = [layer.attend(*layer.project(x), counts, cache) for x, counts in steps]
    pages = cache.block_table().long()
    return Run(outs, windows_of(layer, cache.tensors, pages, cache.lengths))


def by_sequence(steps: Sequence[Tensor]) -> list[Tensor]:
    """Rows of all steps, sequence by sequence."""
    parts = [rows.split(counts) for rows, counts in zip(steps, STEPS, strict=True)]
    return [torch.cat(of_sequence) for of_sequence in zip(*parts, strict=True)]


def exact(layer: NativeSparseAttention, blocks: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The selected and the window branch in float64, of the blocks of each sequence."""
    rope = layer.rope
    projected = zip(*map(layer.project, hidden(layer.q_proj.weight.dtype)), strict=True)
    queries, keys, values = (by_sequence(part) for part in projected)
    found: list[tuple[Tensor, Tensor]] = []
    for query, key, value, listed in zip(queries, keys, values, blocks, strict=True):
        at = torch.arange(len(query))
        angles = turn(at, rope.frequencies, rope.attention_factor, torch.float32)
        query, key = (rotate(part, *angles).double() for part in (query, key[:, 1:]))
        before = at <= at[:, None]
        chosen = (listed[..., None] == at // 8).any(2).transpose(0, 1) & before  # [N2, T, n]
        near = before & (at > at[:, None] - 40)
        found.append(
            (
                softmax(query, key[:, 0], value[:, 1], chosen),
                softmax(query, key[:, 1], value[:, 2], near.expand_as(chosen)),
            )
        )
    selected, window = (torch.cat(part) for part in zip(*found, strict=True))
    return selected, window


def softmax(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    scores = torch.einsum("tgqd,ngd->gqtn", query.unflatten(1, (2, 4)), key) * 48**-0.5
    p = scores.masked_fill(~seen[:, None], -torch.inf).softmax(-1)
    return torch.einsum("gqtn,ngd->tgqd", p, value.double()).flatten(1, 2)


def together(runs: list[Run], branch: str) -> list[Tensor]:
    """A branch of all heads, from those of each rank, by step."""
    steps = zip(*(run.outs for run in runs), strict=True)
    return [torch.cat([getattr(out, branch) for out in step], 1) for step in steps]


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def layer(request: Any) -> NativeSparseAttention:
    return layer_of(request.param)


@pytest.fixture(scope="module")
def one(layer: NativeSparseAttention) -> Run:
    return on_one(layer)


@pytest.fixture(scope="module")
def worlds(layer: NativeSparseAttention) -> dict[int, list[Run]]:
    return {world: as_threads(world, over_ranks, layer, shards=8) for world in WORLDS}


@pytest.mark.parametrize("world", WORLDS)
def test_compressing_and_selecting_is_that_of_one_rank(
    worlds: dict[int, list[Run]], one: Run, world: int
) -> None:
    runs = worlds[world]
    for got, want in zip(together(runs, "compressed"), one.outs, strict=True):
        assert torch.equal(got, want.compressed)
    for run in runs:
        for got, want in zip(run.outs, one.outs, strict=True):
            assert torch.equal(got.blocks, want.blocks)
        for name, sequences in one.windows.items():
            for got, want in zip(run.windows[name], sequences, strict=True):
                assert torch.equal(got, want)


@pytest.mark.parametrize("branch", ["selected", "window"])
def test_errors_are_like_those_of_one_rank(
    layer: NativeSparseAttention, worlds: dict[int, list[Run]], one: Run, branch: str
) -> None:
    blocks = by_sequence([out.blocks for out in one.outs])
    want = exact(layer, blocks)[0 if branch == "selected" else 1]

    def errors(steps: Sequence[Tensor]) -> tuple[float, float]:
        off = (torch.cat(by_sequence(steps)).double() - want).abs()
        return float(off.max()), float(off.square().mean().sqrt())

    allowed = errors([getattr(out, branch) for out in one.outs])
    got = errors(together(worlds[8], branch))
    print(branch, got, allowed)
    assert all(a <= 1.1 * b for a, b in zip(got, allowed, strict=True))


@pytest.mark.parametrize("branch", ["selected", "window"])
def test_the_number_of_ranks_moves_no_bit(worlds: dict[int, list[Run]], branch: str) -> None:
    for runs in worlds.values():
        for got, want in zip(together(runs, branch), together(worlds[1], branch), strict=True):
            assert torch.equal(got, want)


@pytest.mark.parametrize(("world", "page_size"), [(2, 64), (3, 8), (5, 24)])
def test_ranks_may_have_a_shard_each_and_pages_of_many_blocks(
    layer: NativeSparseAttention, one: Run, world: int, page_size: int
) -> None:
    runs = as_threads(world, over_ranks, layer, page_size=page_size)
    for got, want in zip(together(runs, "compressed"), one.outs, strict=True):
        assert torch.equal(got, want.compressed)
    for branch in ("selected", "window"):
        for got, out in zip(together(runs, branch), one.outs, strict=True):
            assert_near(got, getattr(out, branch))


def test_every_rank_may_compute_all_of_the_compressed_branch(
    layer: NativeSparseAttention, worlds: dict[int, list[Run]], one: Run
) -> None:
    runs = as_threads(3, over_ranks, layer, shards=8, compressed="whole")
    for branch in ("compressed", "selected", "window"):
        for got, want in zip(together(runs, branch), together(worlds[3], branch), strict=True):
            assert torch.equal(got, want)
    for run in runs:
        for got, out in zip(run.outs, one.outs, strict=True):
            assert torch.equal(got.blocks, out.blocks)


def assert_near(got: Tensor, want: Tensor) -> None:
    """Two roundings of nearly the same: twice the error that fp32 was found to have above."""
    assert torch.allclose(got, want, rtol=torch.finfo(want.dtype).eps, atol=1.4e-5)


def test_page_tables_of_many_tokens_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_of(torch.float32)
    want = over_ranks(layer, shards=2).outs
    monkeypatch.setattr("tamis.distributed.native_attention._TABLE_ENTRIES", 30)
    for got, out in zip(over_ranks(layer, shards=2).outs, want, strict=True):
        assert torch.equal(got.selected, out.selected)


def test_nothing_is_rounded_before_states_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, found = layer_of(torch.bfloat16), []

    def merge(*given: Any) -> Tensor:
        found.append(merge_over_ranks(*given))
        return found[-1]

    monkeypatch.setattr("tamis.distributed.native.merge_over_ranks", merge)
    blocks = by_sequence([out.blocks for out in over_ranks(layer, shards=8).outs])
    wanted = exact(layer, blocks)
    steps = [merged.view(2, len(merged) // 2, 8, 32) for merged in found]
    for branch, want in enumerate(wanted):
        got = torch.cat(by_sequence([step[branch] for step in steps]))
        assert got.dtype == torch.float32
        assert (got - want).abs().max() < 2.0**-16


def test_processes_have_the_bits_of_threads() -> None:
    layer = layer_of(torch.bfloat16)
    far = as_processes(2, over_ranks, layer, shards=8)
    near = as_threads(2, over_ranks, layer, shards=8)
    for branch in ("compressed", "selected", "window"):
        for got, want in zip(together(far, branch), together(near, branch), strict=True):
            assert torch.equal(got, want)


def hidden_over_ranks(layer: NativeSparseAttention, *, layers: int, prefill: int) -> list[Tensor]:
    """Hidden states after so many layers, which share a table, of every step.

    Of the first `prefill` steps those of this rank's share.
    """
    group = ContextGroup(page_size=16, shards=8)
    dealt = DealtNativeAttention(layer, group)
    table = dealt.make_table(sequences=3, tokens=640)
    caches = [dealt.make_cache(table) for _ in range(layers)]
    outs = []
    for i, (x, counts) in enumerate(zip(hidden(layer.q_proj.weight.dtype), STEPS, strict=True)):
        step = dealt.step(counts, table)
        if i < prefill:
            x = x[zigzag(counts, group.rank, group.world)]
        for cache in caches:
            x = (dealt.prefill if i < prefill else dealt)(x, step, cache)
        outs.append(x)
    return outs


def test_layers_share_a_table() -> None:
    layer = layer_of(torch.float32)
    found = as_threads(3, hidden_over_ranks, layer, layers=2, prefill=0)
    alone = layer.make_cache(sequences=3, pages=60, page_size=16).table
    caches = [layer.make_cache(alone) for _ in range(2)]
    for i, (x, counts) in enumerate(zip(hidden(torch.float32), STEPS, strict=True)):
        step, want = layer.step(counts, alone), x
        for cache in caches:
            want = layer(want, step, cache)
        for outs in found:
            assert torch.equal(outs[i], found[0][i])
            assert torch.allclose(outs[i], want, atol=1e-5)


def exact_layer(branch: int) -> NativeSparseAttention:
    """Whose projections have no rounding, whose gates open one branch, and which puts out heads."""
    layer = layer_of(torch.float32, hidden=256)
    for weight in (layer.q_proj, layer.k_proj, layer.v_proj):
        weight.weight.copy_(torch.randint(-2, 3, weight.weight.shape) / 8)
    layer.g_proj.weight.zero_()
    bias = torch.full((8, 3), -200.0)  # a sigmoid of 0
    bias[:, branch] = 40  # of 1
    layer.g_proj.bias.copy_(bias.flatten())
    layer.o_proj.weight.copy_(torch.eye(256))
    return layer


def shares_and_all(layer: NativeSparseAttention, prefill: int) -> list[tuple[Tensor, Tensor]]:
    """Of every step what ranks give that share its tokens, or all have them."""
    group = ContextGroup(page_size=16, shards=8)
    dealt = DealtNativeAttention(layer, group)
    caches = [dealt.make_cache(dealt.make_table(sequences=3, tokens=640)) for _ in range(2)]
    outs = []
    for i, counts in enumerate(STEPS):
        random = torch.Generator().manual_seed(i)
        x = torch.randint(-3, 4, (sum(counts), 256), generator=random).float()
        own = zigzag(counts, group.rank, group.world)
        want = dealt(x, counts, caches[0])
        if i < prefill:
            outs.append((dealt.prefill(x[own], counts, caches[1]), want[own]))
        else:
            outs.append((dealt(x, counts, caches[1]), want))
    return outs


@pytest.mark.parametrize("branch", range(3), ids=["compressed", "selected", "window"])
@pytest.mark.parametrize("world", [2, 5])
def test_a_prefill_by_shares_has_the_bits_of_all_tokens_everywhere(world: int, branch: int) -> None:
    for outs in as_threads(world, shares_and_all, exact_layer(branch), 5):
        for got, want in outs:
            assert torch.equal(got, want)
        assert all(want.any() for _, want in outs if len(want) > 20)


def test_hidden_states_of_shares_are_those_of_one_rank() -> None:
    layer = layer_of(torch.float32)
    found = as_threads(3, hidden_over_ranks, layer, layers=1, prefill=2)
    cache = layer.make_cache(sequences=3, pages=60, page_size=16)
    for i, (x, counts) in enumerate(zip(hidden(torch.float32), STEPS, strict=True)):
        want = layer(x, counts, cache)
        parts = [outs[i] for outs in found]
        got = unzigzag(parts, counts) if i < 2 else parts[0]
        assert torch.allclose(got, want, atol=1e-5)


# --- lengths that go back ----------------------------------------------------------------------

BACK = 6


class Act(NamedTuple):
    """Something that happens to three sequences, and a number for each, or one of them."""

    kind: str
    numbers: list[int]


def acts(count: int) -> list[Act]:
    """Any, of which none is refused."""
    random, found = torch.Generator().manual_seed(9), []

    def numbers(end: int) -> list[int]:
        drawn: list[int] = torch.randint(0, end, (3,), generator=random).tolist()
        return drawn

    lengths, most = [0, 0, 0], [0, 0, 0]  # now, and since a sequence was empty
    for i in range(count):
        kind = ("append", "truncate", "append", "truncate", "append", "reorder", "free")[i % 7]
        if kind == "append":
            given = [n * k for n, k in zip(numbers(50), numbers(2), strict=True)]
            lengths = [n + k for n, k in zip(lengths, given, strict=True)]
        elif kind == "truncate":
            back = zip(lengths, most, numbers(BACK + 1), strict=True)
            given = lengths = [min(n, max(m - BACK, n - k, 0)) for n, m, k in back]
        elif kind == "reorder":
            given = numbers(3)
            lengths, most = ([of[s] for s in given] for of in (lengths, most))
        else:
            given = numbers(3)[:1]
            lengths = [0 if b == given[0] else n for b, n in enumerate(lengths)]
        most = [max(n, m) if n else 0 for n, m in zip(lengths, most, strict=True)]
        found.append(Act(kind, given))
    return found


def acted(layer: NativeSparseAttention, what: list[Act], xs: dict[int, Tensor]) -> list[Branches]:
    """Branches of all new tokens, of this rank's heads."""
    dealt = DealtNativeAttention(layer, ContextGroup(page_size=16, shards=5))
    table = dealt.make_table(sequences=3, tokens=4096, rollback=BACK)
    cache, outs = dealt.make_cache(table), []
    for i, (kind, numbers) in enumerate(what):
        if kind == "append":
            outs.append(dealt.attend(xs[i], numbers, cache))
        elif kind == "free":
            table.free(numbers[0])
        else:
            getattr(table, kind)(numbers)
    return outs


def test_sequences_that_go_back_and_part_are_those_that_never_did(
    layer: NativeSparseAttention,
) -> None:
    what, dtype = acts(70), layer.q_proj.weight.dtype
    xs = {i: torch.randn(sum(n), 96).to(dtype) for i, (kind, n) in enumerate(what)}
    ranks = as_threads(3, acted, layer, what, xs)
    found = iter(zip(*ranks, strict=True))
    nothing = [part[:0] for part in layer.project(xs[0])]
    held = [nothing] * 3  # queries, keys and values of each sequence
    for i, (kind, numbers) in enumerate(what):
        if kind == "append":
            new = zip(*(part.split(numbers) for part in layer.project(xs[i])), strict=True)
            held = [
                [torch.cat(pair) for pair in zip(old, more, strict=True)]
                for old, more in zip(held, new, strict=True)
            ]
            check_last_rows(layer, held, numbers, next(found))
        elif kind == "truncate":
            held = [[part[:n] for part in of] for of, n in zip(held, numbers, strict=True)]
        elif kind == "reorder":
            held = [held[s] for s in numbers]
        else:
            held[numbers[0]] = nothing
    assert max(len(of[0]) for of in held) > 8 * 16


def check_last_rows(
    layer: NativeSparseAttention, held: list[list[Tensor]], new: list[int], got: Sequence[Branches]
) -> None:
    """Branches of new tokens, beside a prefill of all that the sequences hold."""
    lengths = [len(of[0]) for of in held]
    cache = layer.make_cache(sequences=3, pages=sum(lengths) // 16 + 3, page_size=16)
    query, key, value = (torch.cat(part) for part in zip(*held, strict=True))
    found = layer.attend(query, key, value, lengths, cache)
    ends = zip(torch.tensor(lengths).cumsum(0).tolist(), new, strict=True)
    places = torch.cat([torch.arange(end - count, end) for end, count in ends])
    last = Branches(*(part[places] for part in found))
    assert torch.equal(torch.cat([out.compressed for out in got], 1), last.compressed)
    assert all(torch.equal(out.blocks, last.blocks) for out in got)
    for branch in ("selected", "window"):
        assert_near(torch.cat([getattr(out, branch) for out in got], 1), getattr(last, branch))


def test_tokens_that_are_no_longer_kept_cannot_come_back() -> None:
    layer = layer_of(torch.float32)
    dealt = DealtNativeAttention(layer, ContextGroup(page_size=16, shards=2))
    table = dealt.make_table(sequences=2, tokens=640, rollback=4)
    cache = dealt.make_cache(table)
    dealt(torch.randn(103, 96), [3, 100], cache)
    assert cache.recent["key"].shape == (2, 11, 2, 48)
    # 11 are kept, from 89 on: windows begin at 92 and 96, those before end within 95 tokens.
    table.truncate([3, 96])
    message = (
        "^lengths: expected at least 96 for sequence 1, of which tokens from 89 on are kept, or 0, "
        "got 95$"
    )
    with pytest.raises(ValueError, match=message):
        table.truncate([0, 95])
    assert table.lengths == [3, 96]
    with pytest.raises(ValueError, match=r"^lengths: expected at most \[3, 96\], got \[3, 97\]$"):
        table.truncate([3, 97])
    table.truncate([2, 0])
    assert table.lengths == [2, 0]
    dealt(torch.randn(5, 96), [0, 5], cache)
    table.truncate([2, 1])


# --- what is refused ---------------------------------------------------------------------------


def refusal(layers: list[NativeSparseAttention], page_size: int) -> str:
    """What every rank says of the layers of all."""
    group = ContextGroup(page_size=page_size)
    with pytest.raises(ValueError, match=r"expected .* got ") as found:
        DealtNativeAttention(layers[group.rank], group)
    return str(found.value)


def test_layers_that_differ_and_pages_that_cut_blocks_are_refused() -> None:
    layer, other = (layer_of(torch.float32) for _ in range(2))
    other.g_proj.bias[3] += 1
    for message in as_threads(2, refusal, [layer, other], 16):
        assert message.startswith("weights: expected the same on all ranks, got ")
    wide = layer_of(torch.float32, window_size=41)
    for message in as_threads(2, refusal, [layer, wide], 16):
        assert message.startswith("layer: expected the same on all ranks, got ")
    for message in as_threads(2, refusal, [layer, layer], 12):
        assert message == (
            "group: expected pages of a multiple of 8, the layer's select_block_size, "
            "got page_size 12"
        )
    dealt = DealtNativeAttention(layer, ContextGroup(page_size=16))
    with pytest.raises(ValueError, match=r"^compressed: expected heads, whole, got tokens$"):
        DealtNativeAttention(layer, dealt.group, compressed="tokens")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^rollback: expected at least 0, got -1$"):
        dealt.make_table(sequences=1, tokens=64, rollback=-1)


def disturbed(layer: NativeSparseAttention) -> list[Tensor]:
    """Steps, before each of which a rank is given something else."""
    group = ContextGroup(page_size=16, shards=4)
    dealt = DealtNativeAttention(layer, group)
    table = dealt.make_table(sequences=3, tokens=640)
    cache, outs = dealt.make_cache(table), []
    odd = group.rank == 1
    for x, counts in zip(hidden(torch.float32), STEPS, strict=True):
        before = table.lengths
        with pytest.raises(RemoteError, match=r"^rank 1: ValueError: x: expected \d+ rows"):
            dealt(torch.cat([x, x.new_ones(1, 96)]) if odd else x, counts, cache)
        with pytest.raises(RemoteError, match=r"^rank 1: makes another call"):
            dealt(x, [n + 40 * odd for n in counts], cache)
        own = x[zigzag(counts, group.rank, group.world)]
        with pytest.raises(RemoteError, match=r"^rank 1: ValueError: x: expected \d+ rows, this"):
            dealt.prefill(torch.cat([own, own.new_ones(1, 96)]) if odd else own, counts, cache)
        assert table.lengths == before
        outs.append(dealt(x, counts, cache))
    return outs


def test_a_step_after_one_that_failed_is_right() -> None:
    layer = layer_of(torch.float32)
    want = as_threads(2, hidden_over_ranks, layer, layers=1, prefill=0)[0]
    for outs in as_threads(2, disturbed, layer):
        for got, of_one in zip(outs, want, strict=True):
            assert torch.allclose(got, of_one, atol=1e-5)


def test_raw_keys_lie_on_one_rank_and_windows_on_all() -> None:
    def held(layer: NativeSparseAttention) -> dict[str, int]:
        dealt = DealtNativeAttention(layer, ContextGroup(page_size=64))
        cache = dealt.make_cache(dealt.make_table(sequences=1, tokens=8192))
        return {name: pool.nbytes for name, pool in [*cache.tensors.items(), *cache.recent.items()]}

    layer = layer_of(torch.bfloat16)
    row = 2 * 48 * 2  # bytes of a key
    for of_rank in as_threads(4, held, layer):
        assert of_rank["selected_key"] == of_rank["window_key"] == 8192 // 4 * row
        assert of_rank["key_windows"] == 8192 // 4 * row  # one for every 4 tokens
        assert of_rank["key"] == (7 + 64) * row
