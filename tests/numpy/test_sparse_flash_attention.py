"""sparse_flash_attention against its formula: positions of list and window, then plain softmax."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attention_calls import random_limits
from case_file import Real, RealName
from flash_calls import ROTARY, Call, Keys, Source, Window, check, random_rows
from formulation import Floats
from runner import Implementation, Runner

DTYPES: list[RealName] = ["bfloat16", "float16", "float32"]
LAYOUTS = ["BSND/BSND", "TND/TND", "BSND/PA_BSND", "TND/PA_BSND"]
FORMATS = ["split", "cann656", "flashmla656", "flashmla584"]


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
