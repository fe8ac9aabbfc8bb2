"""Models that vLLM serves through Tamis beside transformers' eager attention, in fp32."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import engine_models as engines
import pytest


class Saved(NamedTuple):
    """A model on disk, its entry points, and what it should say."""

    model: Path
    installed: Path
    tokens: list[list[int]]


@pytest.fixture(scope="module", params=list(engines.PUBLISHED))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    folder = tmp_path_factory.mktemp(request.param)
    engines.install(folder / "installed")
    model = engines.make(request.param)
    model.save_pretrained(folder / "model")
    return Saved(folder / "model", folder / "installed", engines.expected(model))


def same_in_both_rounds(run: engines.Run, saved: Saved) -> bool:
    assert run.rounds is not None, run.said[-8000:]
    return [[tokens for tokens, _ in found] for found in run.rounds] == [saved.tokens] * 2


def test_greedy_tokens_are_those_of_eager(saved: Saved) -> None:
    run = engines.vllm(saved.model, saved.installed, enforce_eager=True)
    assert same_in_both_rounds(run, saved)


def test_prompts_in_parts_and_shared_prefixes_change_nothing(saved: Saved) -> None:
    run = engines.vllm(
        saved.model, saved.installed, enforce_eager=True, block_size=16, max_num_batched_tokens=32
    )
    assert same_in_both_rounds(run, saved)
    assert run.rounds is not None
    cached = [count for _, count in run.rounds[1]]
    assert cached == [(len(ids) - 1) // 16 * 16 for ids in engines.PROMPTS]


def test_traced_by_torch_compile_it_says_the_same(saved: Saved) -> None:
    environment = {"VLLM_USE_BREAKABLE_CUDAGRAPH": "0"}
    run = engines.vllm(saved.model, saved.installed, environment)
    assert same_in_both_rounds(run, saved)
    assert "DYNAMO_TRACE_ONCE" in run.said


def test_engine_and_worker_in_processes_of_their_own(saved: Saved) -> None:
    environment = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    run = engines.vllm(saved.model, saved.installed, environment, enforce_eager=True)
    assert same_in_both_rounds(run, saved)


def test_without_the_plugin_vllm_refuses_these_models(saved: Saved) -> None:
    run = engines.vllm(saved.model, saved.installed, {"VLLM_PLUGINS": ""}, enforce_eager=True)
    assert run.rounds is None
    assert "Sparse Attention is not supported on CPU" in run.said


def test_a_cache_of_8_bits_is_refused_in_one_line(saved: Saved) -> None:
    run = engines.vllm(saved.model, saved.installed, enforce_eager=True, kv_cache_dtype="fp8")
    assert run.rounds is None
    assert "kv_cache_dtype: expected auto with tamis.vllm, got fp8" in run.said
