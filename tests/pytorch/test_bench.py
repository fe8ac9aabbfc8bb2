"""The harness of `./dev bench`: what it times is what it says, and so are its rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from harness import __main__ as bench
from harness import (
    checks,
    growth,
    ours,
    peers,
    pruning,
    rounds,
    rows,
    shapes,
    training,
    training_cases,
)
from harness.call import Call
from harness.rounds import Contender, Peaks
from harness.shapes import Shape

KEYS = {
    "operator",
    "shape",
    "dtype",
    "level",
    "threads",
    "impl",
    "median_ms",
    "gflops",
    "gbytes_per_s",
    "bound",
    "percent_of_bound",
    "ratio_to_tamis",
    "ratio_min",
    "ratio_max",
    "max_error",
    "fma_gflops",
    "read_gbytes_per_s",
}
SMALL = {f"{shape.operator}, {shape.name}": shape for shape in shapes.small_shapes()}


@pytest.fixture(autouse=True)
def _as_before() -> Any:
    """Processors, threads and level are the process's."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAMIS_LEVEL", "auto")
        yield
    rounds.all_processors()
    torch.set_num_threads(threads)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small shapes, one call a sample."""
    monkeypatch.setattr(bench, "shapes", shapes.small_shapes)
    monkeypatch.setattr(rounds, "SAMPLE_SECONDS", 0)


@pytest.mark.usefixtures("_quick")
def test_every_shape_is_timed_and_every_peer_agrees(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    arguments = ["--peers", "eager", "--rounds", "2", "--threads", "1", "--json", str(path)]
    assert bench.main(arguments) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert all(row.keys() == KEYS for row in found)
    assert all(row["level"] == rounds.levels()[-1] for row in found)
    named = {f"{row['operator']}, {row['shape']}" for row in found}
    assert named == SMALL.keys()
    assert all(row["ratio_to_tamis"] == 1 for row in found if row["impl"] == "tamis")
    for row in found:
        assert row["median_ms"] > 0
        assert row["ratio_min"] <= row["ratio_to_tamis"] <= row["ratio_max"]
        assert row["max_error"] is not None
        assert row["bound"] in ("fma", "read")
    impls = {row["impl"] for row in found}
    assert {f"torch eager, {dtype}" for dtype in peers.DTYPES} < impls
    assert {ours.PARTS, "tamis, attention alone", "torch SDPA, bfloat16"} < impls
    with_peers = {row["operator"] for row in found if row["impl"].startswith("torch")}
    assert with_peers == peers.PEERS.keys()


@pytest.mark.usefixtures("_quick")
def test_levels_and_threads_are_those_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    both = list(dict.fromkeys([rounds.levels()[0], rounds.levels()[-1]]))
    arguments = ["--operator", "lightning_indexer", "--peers", "none", "--rounds", "1"]
    count = str(len(rounds._PROCESSORS))
    bench.main([*arguments, "--threads", "1", count, "--level", *both, "--json", str(path)])
    found = json.loads(path.read_text(encoding="utf-8"))
    runs = [(level, threads) for level in both for threads in (1, int(count))]
    ours_alone = [row for row in found if row["impl"] == "tamis"]
    assert [(row["level"], row["threads"]) for row in ours_alone] == runs


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_of_every_peer_are_those_of_tamis(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.json"
    small = training_cases.small_cases()
    monkeypatch.setattr(training, "cases", lambda: small)
    monkeypatch.setattr(rounds, "SAMPLE_SECONDS", 0)
    given = ["--peers", "eager", "--rounds", "1", "--threads", "1", "--dtype", dtype]
    assert bench.main([*given, "--training", str(path)]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert all(row.keys() == KEYS | {"extra_bytes"} for row in found)
    of_ours = [row for row in found if row["impl"] == "tamis"]
    assert [row["shape"] for row in of_ours] == [case.shape.name for case in small]
    assert all(row["max_error"] == 0 and row["ratio_to_tamis"] == 1 for row in of_ours)
    eager = sum(not name.startswith("compile") for case in small for name in case.peers)
    assert len(found) == len(small) + eager


def test_a_peer_with_other_gradients_ends_the_run(tmp_path: Path) -> None:
    case = training_cases.window(48)
    case.peers = {"other": lambda c: case.ours(c) + 0 * c["query"].sum() + c["value"].mean()}
    options = bench.arguments(["--training", str(tmp_path / "rows.json"), "--threads", "1"])
    with pytest.raises(SystemExit, match="sliding_window_attention, torch other: output 0"):
        list(training.measure(case, "float32", rounds.Calibration(), options))


def test_training_times_what_is_tested() -> None:
    of = [{case.shape.operator for case in cases} for cases in both_lists()]
    assert of[0] == of[1]
    dense = training_cases.window(8).shape
    # 36 pairs of 16 heads: two products forward, five backward, of 128 dims.
    assert dense.flops == 7 * 2 * 16 * 36 * 128
    latents = training_cases.latents(4, 2).shape
    assert latents.flops == 2 * 16 * 7 * (4 * 576 + 3 * 512)
    loss = training_cases.index_loss(3, heads=2, index_heads=4, dim=8).shape
    assert loss.flops == 2 * 6 * (2 * 576 + 3 * 4 * 8)


def both_lists() -> tuple[list[training_cases.Case], list[training_cases.Case]]:
    """What is timed, and what is tested."""
    return training_cases.cases(), training_cases.small_cases()


def test_shapes_that_are_timed_are_those_that_are_tested() -> None:
    def kinds(of: list[Shape]) -> set[tuple[str, bool, bool]]:
        return {(shape.operator, shape.largest, shape.peers) for shape in of}

    assert kinds(shapes.shapes()) == kinds(shapes.small_shapes())


def test_what_a_call_reads_and_multiplies() -> None:
    one = shapes.selection(1, 128)
    assert one.flops == 2 * 128 * 2048 * (576 + 512)
    assert shapes.prefill(65536, 4096, causal=False).flops == 2 * 64 * 65536 * 4096 * 320
    causal = shapes.prefill(48, 2, causal=True)
    # Window 0 ends with token 31, window 1 with token 47.
    assert causal.flops == 2 * 64 * 320 * (17 + 1)
    assert shapes.mla(1, "NZ").read_bytes == 2 * (
        7168 * 1536 + 1536 * 128 * 192 + 128 * 128 * 512 + 7168 * 576
    )
    assert shapes.compress(65536).read_bytes == 65536 * 4 * 192 * 2
    # With two blocks: all keys of the first 128 tokens, then a whole block and part of one.
    assert shapes.select(130, count=2).flops == 2 * 64 * 320 * (128 * 129 // 2 + 65 + 66)
    assert shapes.select_decode(20, 4096).flops == 2 * 64 * 320 * 20 * 1024


@pytest.mark.parametrize("shared", [1, 64])
def test_lists_hold_the_first_block_the_own_and_the_one_before(shared: int) -> None:
    torch.manual_seed(1)
    pool = shapes.select(640, shared=shared, count=5).make(torch.bfloat16)
    lists = pool.sets[0]["topk_indices"]
    for token, of_heads in enumerate(lists.tolist()):
        own = token // 64
        for of_head in of_heads:
            named = [block for block in of_head if block >= 0]
            assert len(set(named)) == len(named) == min(own + 1, 5)
            assert {0, max(own - 1, 0), own} <= set(named) <= set(range(own + 1))
            assert of_head[len(named) :] == [-1] * (5 - len(named))
    per_block = lists.view(10, 64, 4, 5)
    same = [bool((part == part[0]).all()) for part in per_block[5:]]
    assert same == [shared == 64] * 5


def test_sets_do_not_repeat_and_share_what_they_may() -> None:
    torch.manual_seed(1)
    pool = shapes.selection(1, 16, rows=512, selected=64, sets=4).make(torch.bfloat16)
    assert len({id(tensors["key"]) for tensors in pool.sets}) == 1
    ids = [tuple(tensors["sparse_indices"].flatten().tolist()) for tensors in pool.sets]
    assert len(set(ids)) == 4
    prepared = peers.prepared(peers.PEERS["sparse_flash_attention"][0], pool.sets, torch.float32)
    assert len({id(tensors["rows"]) for tensors in prepared}) == 1
    assert len({id(tensors["query"]) for tensors in prepared}) == 4


def test_forms_of_a_dtype_share_their_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    shape = next(s for s in SMALL.values() if s.operator == "sparse_flash_attention")
    pool = shape.make(torch.bfloat16)
    made: list[torch.dtype] = []
    prepared = peers.prepared

    def noting(peer: peers.Peer, sets: list[Any], dtype: torch.dtype) -> list[Any]:
        made.append(dtype)
        return prepared(peer, sets, dtype)

    monkeypatch.setattr(peers, "prepared", noting)
    both = peers.Peers(shape.operator, pool.sets, pool.attributes, "float16")
    names = [contender.name for contender in both.contenders(compiled=True)]
    assert [contender.name for contender in both.contenders(compiled=True)] == names
    assert len(names) == 8
    assert made == [torch.float16, torch.bfloat16, torch.float32]


@pytest.mark.parametrize("operator", ["mla_prolog", "indexer_prolog"])
def test_prologs_of_peers_write_the_same_rows(operator: str) -> None:
    torch.manual_seed(1)
    shape = next(s for s in SMALL.values() if s.operator == operator and s.peers)
    pool = shape.make(torch.bfloat16)
    ours.contender(shape, pool).call(0)
    peer = peers.PEERS[operator][0]
    (own, *_) = peers.prepared(peer, pool.sets, torch.bfloat16)
    caches = [name for name in own if name.endswith("_cache")]
    assert caches
    peer.function(Call(own, pool.attributes, torch.bfloat16))
    for name in caches:
        written = pool.sets[0][name]
        assert written.any()
        assert checks.disagreement((written,), (own[name],)) is None
        assert checks.disagreement((written,), (torch.zeros_like(own[name]),)) is not None


@pytest.mark.parametrize(
    ("operator", "form"), [("nsa_compress", "compile"), ("sparse_flash_attention", "FlexAttention")]
)
def test_compiled_peers_agree(operator: str, form: str) -> None:
    torch.manual_seed(1)
    shape = next(s for s in SMALL.values() if s.operator == operator)
    pool = shape.make(torch.bfloat16)
    found = peers.Peers(operator, pool.sets, pool.attributes, "bfloat16").contenders(compiled=True)
    peer = next(contender for contender in found if form in contender.name)
    assert checks.disagreement(ours.contender(shape, pool).call(0), peer.call(0)) is None


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(SystemExit, match=r"C\+\+ compiler.*--peers eager"):
        peers.need_compiler()


def test_disagreement_is_found() -> None:
    one = torch.randn(64)
    assert checks.disagreement((one,), (one * 1.001,)) is None
    assert checks.disagreement((one,), (one * 1.1,)) is not None
    assert checks.disagreement((one,), (one[:32],)) is not None
    assert checks.disagreement((one,), (torch.full_like(one, torch.nan),)) is not None
    chosen = torch.arange(20)[None]
    assert checks.disagreement((chosen,), (chosen.flip(-1),)) is None
    assert checks.disagreement((chosen,), (chosen + 3,)) is not None


def test_errors_are_those_of_the_rows_asked_for() -> None:
    torch.manual_seed(1)
    for name in ("sparse_flash_attention, 3 x 16 heads", "nsa_compress_attention, 1K x 63"):
        shape = next(s for full, s in SMALL.items() if full.startswith(name))
        pool = shape.make(torch.float16)
        error = checks.error_of(shape, pool)
        outputs = ours.contender(shape, pool).call(0)
        assert error(outputs) < 2e-3
        assert error((outputs[0] + 1, *outputs[1:])) == pytest.approx(1, abs=1e-2)


def test_a_worse_selection_has_an_error() -> None:
    torch.manual_seed(1)
    shape = SMALL["lightning_indexer, 1 x 64 heads x 512, top 64"]
    pool = shape.make(torch.bfloat16)
    error = checks.error_of(shape, pool)
    best = ours.contender(shape, pool).call(0)[0]
    assert error((best,)) < 1e-3
    worst = torch.arange(512)[~torch.isin(torch.arange(512), best)][:64]
    assert error((worst,)) > 0.1


def counting(name: str, log: list[str], times: list[float]) -> Contender:
    """A contender whose samples are given."""
    contender = Contender(name, lambda i: None)
    remaining = iter(times)

    def sample() -> float:
        log.append(name)
        return next(remaining)

    contender.sample = sample  # type: ignore[method-assign]
    return contender


def test_rounds_are_interleaved_and_ratios_are_of_the_same_round() -> None:
    log: list[str] = []
    tamis = counting("tamis", log, [1, 1, 2, 4, 8])
    first = counting("first", log, [1, 2, 2])
    second = counting("second", log, [1, 6, 8])

    def peaks() -> Peaks:
        log.append("peaks")
        return Peaks(100, 10)

    found = rounds.run([tamis, first, second], peaks, 2)
    turn = ["peaks", "tamis", "first", "tamis", "second"]
    assert log[3:] == turn * 2
    assert len(found) == 2
    assert tamis.times == [1.5, 6]
    assert rounds.ratios(first) == rounds.Ratios(1.25, 0.5, 2)
    assert rounds.ratios(second) == rounds.Ratios(2, 1, 3)
    assert rounds.ratios(tamis) == rounds.Ratios(1, 1, 1)


def test_slow_calls_are_timed_in_one_round() -> None:
    log: list[str] = []
    tamis = counting("tamis", log, [1, 1, 1, 1])
    slow = counting("slow", log, [3000, 3000])
    rounds.run([tamis, slow], lambda: Peaks(1, 1), 3)
    assert (len(tamis.times), slow.times) == (3, [3000])


def test_the_largest_are_called_once() -> None:
    log: list[str] = []

    def noting(name: str) -> Contender:
        def call(i: int) -> int:
            log.append(name)
            return i

        return Contender(name, call)

    both = [noting("one"), noting("two")]
    peaks, outputs = rounds.run_once(both, lambda: Peaks(1, 1))
    assert (log, peaks, outputs) == (["one", "two"], [Peaks(1, 1)], [0, 0])
    assert both[0].own == both[1].own == both[0].times
    assert both[1].times != both[0].times


def test_a_row_is_of_its_rounds() -> None:
    shape = Shape("op", "shape", flops=4e9, read_bytes=1e6, make=lambda _: shapes.Pool([], {}))
    contender = Contender("peer", lambda i: None, times=[50, 100, 80], own=[50, 50, 20])
    peaks = [Peaks(100, 10), Peaks(80, 10), Peaks(100, 10)]
    row = rows.row_of(shape, contender, peaks, 0.5, dtype="bfloat16", level="avx2", threads=2)
    assert row.keys() == KEYS
    assert (row["bound"], row["median_ms"], row["gflops"]) == ("fma", 80, 50)
    assert row["percent_of_bound"] == pytest.approx(50)  # of 80, 50 and 50
    assert (row["ratio_to_tamis"], row["ratio_min"], row["ratio_max"]) == (2, 1, 4)
    assert (row["max_error"], row["fma_gflops"]) == (0.5, 100)
    reads = Shape("op", "shape", 1e6, 4e9, shape.make)
    read_row = rows.row_of(reads, contender, peaks, None, dtype="d", level="avx2", threads=2)
    assert read_row["bound"] == "read"
    assert "peer" in rows.line_of(row)


def test_peaks_of_every_level() -> None:
    calibration = rounds.Calibration()
    for level in rounds.levels():
        peaks = calibration.peaks(level, 1)
        assert peaks.fma_gflops > 0.1
        assert peaks.read_gbytes_per_s > 0.1


def test_growth_has_points_and_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "growth.json"
    monkeypatch.setattr(growth, "CURVES", growth.CURVES[:4])
    bench.main(["--growth", str(path), "--most", "11", "--threads", "1"])
    found = json.loads(path.read_text(encoding="utf-8"))
    assert len(found["curves"]) == len(growth.CURVES)
    assert len(found["points"]) == 2 * len(growth.CURVES)
    for point in found["points"]:
        assert point["median_ms"] > 0
        assert point["resident_bytes"] > point["extra_bytes"]
        assert point["workspace_bytes"] > 0


def test_exponents_and_steps() -> None:
    contexts = [1024, 2048, 4096]
    assert growth.exponent(contexts, [n**1.5 for n in contexts]) == pytest.approx(1.5)
    assert growth.worst_step([1, 2, 8, 9]) == 4


@pytest.mark.usefixtures("_quick")
def test_the_scan_is_timed_beside_the_plain_way_over_every_kind_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    small = ["--most", "12", "--rounds", "1", "--threads", "1", "--level", "scalar"]
    assert bench.main(["--pruning", str(path), *small]) == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [row["impl"] for row in found[:3]] == ["plain", "scan", "scan of a shadow"]
    assert len(found) == 3 * 2 * len(pruning.KINDS)
    assert all(row["speedup"] > 0 and row["percent_of_fma"] > 0 for row in found)
