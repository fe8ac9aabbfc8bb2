"""tamis.plan: the functions' results from plans that are made once."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from python_calls import (
    SHAPES,
    Array,
    call,
    integers_of,
    libraries,
    make_case,
    same_bits,
    to_library,
    updated_of,
)

import tamis
from tamis.case import Case


def tensors_of(case: Case) -> dict[str, Any]:
    """A case's tensors that a run brings."""
    return {n: t for n, t in case.tensors.items() if n not in integers_of(case.op)}


def by_name(op: str, returned: Any) -> dict[str, Any]:
    if hasattr(returned, "_asdict"):
        return {n: v for n, v in returned._asdict().items() if v is not None}
    fields = tamis.describe(op)["arguments"]
    names = [f["name"] for f in fields if f["role"] == "output"]
    return dict(zip(names, [] if returned is None else [returned], strict=True))


def shapes_of(case: Case) -> dict[str, Any]:
    return {n: tamis.Shape(t.shape, t.dtype) for n, t in tensors_of(case).items()}


@pytest.mark.parametrize("op", SHAPES)
def test_a_plan_of_shapes_gives_the_functions_bits(tmp_path: Path, op: str) -> None:
    case = make_case(tmp_path, op, "bfloat16")
    other = make_case(tmp_path, op, "bfloat16")
    expected = call(other) | updated_of(op, other.tensors)
    given = case.tensors | case.attributes | shapes_of(case)
    plan = tamis.plan(op, **given)
    found = by_name(op, plan.run(**tensors_of(case))) | updated_of(op, case.tensors)
    assert found.keys() == {name for name in expected if name in found}
    for name, value in found.items():
        assert same_bits(value, expected[name]), name


def test_results_are_of_the_library_of_the_runs_tensors(tmp_path: Path) -> None:
    case = make_case(tmp_path, "nsa_compress", "bfloat16")
    plan = tamis.plan("nsa_compress", **case.tensors, **case.attributes)
    expected = call(make_case(tmp_path, "nsa_compress", "bfloat16"))["output"]
    for library in libraries():
        given = {n: to_library(library, t) for n, t in case.tensors.items()}
        result = plan.run(**given)
        assert type(result) is type(given["input"]), library
        assert same_bits(result, expected)


def test_shapes_of_other_libraries_are_shapes(tmp_path: Path) -> None:
    """Torch's meta tensors and JAX's ShapeDtypeStruct, where those are installed."""
    case = make_case(tmp_path, "nsa_compress", "float16")
    expected = call(case)["output"]
    kinds: dict[str, Any] = {
        "numpy": lambda shape: tamis.Shape(shape, "float16"),
        "torch": lambda shape: sys.modules["torch"].empty(
            shape, dtype=sys.modules["torch"].float16, device="meta"
        ),
        "jax": lambda shape: sys.modules["jax"].ShapeDtypeStruct(shape, "float16"),
    }
    for library in libraries():
        importlib.import_module(library)
        shapes = {n: kinds[library](t.shape) for n, t in case.tensors.items()}
        plan = tamis.plan("nsa_compress", **shapes, **case.attributes)
        assert same_bits(plan.run(**case.tensors), expected)


def indexer(lengths: list[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and the rest of a small paged call."""
    random = np.random.default_rng(5)
    tensors: dict[str, Any] = {
        name: random.standard_normal(shape).astype(np.float16)
        for name, shape in (
            ("query", (2, 1, 4, 32)),
            ("key", (6, 16, 1, 32)),
            ("weights", (2, 1, 4)),
        )
    }
    others = {
        "actual_seq_lengths_key": np.array(lengths, np.int32),
        "block_table": np.array([[2, 0, 5], [1, 3, 4]], np.int32),
        "layout_key": "PA_BSND",
        "sparse_count": 8,
    }
    return tensors, others


def test_a_renewed_plan_gives_what_the_function_gives() -> None:
    tensors, others = indexer([20, 33])
    plan = tamis.plan("lightning_indexer", **tensors, **others)
    for step in range(1, 13):
        lengths = [20 + step, 33 + step]
        table = np.roll(others["block_table"], step, axis=1)
        plan.renew(actual_seq_lengths_key=lengths, block_table=table)
        new = others | {"actual_seq_lengths_key": lengths, "block_table": table}
        expected = tamis.lightning_indexer(**tensors, **new)
        assert same_bits(plan.run(**tensors).sparse_indices, expected.sparse_indices)


def test_what_is_not_renewed_stays() -> None:
    tensors, others = indexer([20, 33])
    plan = tamis.plan("lightning_indexer", **tensors, **others)
    plan.renew(actual_seq_lengths_key=[40, 7])
    plan.renew(block_table=others["block_table"][:, ::-1].copy())
    new = others | {
        "actual_seq_lengths_key": [40, 7],
        "block_table": others["block_table"][:, ::-1].copy(),
    }
    expected = tamis.lightning_indexer(**tensors, **new)
    assert same_bits(plan.run(**tensors).sparse_indices, expected.sparse_indices)


def test_lists_are_renewed(tmp_path: Path) -> None:
    case = make_case(tmp_path, "nsa_compress_attention_infer", "bfloat16")
    plan = tamis.plan(case.op, **case.tensors, **case.attributes)
    lists = {n: v for n, v in case.attributes.items() if n.startswith("actual_")}
    assert lists
    plan.renew(**lists)
    expected = call(case)
    for name, value in by_name(case.op, plan.run(**tensors_of(case))).items():
        assert same_bits(value, expected[name])


def test_a_plan_keeps_nothing_of_its_tensors_but_what_it_reads() -> None:
    tensors, others = indexer([20, 33])
    expected = tamis.lightning_indexer(**tensors, **others).sparse_indices
    plan = tamis.plan("lightning_indexer", **{n: t.copy() for n, t in tensors.items()}, **others)
    others["block_table"][:] = -1
    others["actual_seq_lengths_key"][:] = 10_000
    gc.collect()
    assert same_bits(plan.run(**tensors).sparse_indices, expected)


def test_outputs_are_written_where_they_are_given() -> None:
    tensors, others = indexer([20, 33])
    plan = tamis.plan("lightning_indexer", **tensors, **others)
    expected = plan.run(**tensors).sparse_indices
    mine = np.full_like(expected, 77)
    assert plan.run(**tensors, sparse_indices=mine).sparse_indices is mine
    assert same_bits(mine, expected)


def test_outputs_that_the_plan_was_made_without_are_none(tmp_path: Path) -> None:
    case = make_case(tmp_path, "nsa_compress_attention", "bfloat16")
    plan = tamis.plan(case.op, **case.tensors, **case.attributes, softmax_max=False)
    result = plan.run(**tensors_of(case))
    assert result.softmax_max is None
    assert same_bits(result.softmax_sum, call(case)["softmax_sum"])


def test_threads_run_one_plan_at_once() -> None:
    tensors, others = indexer([20, 33])
    plan = tamis.plan("lightning_indexer", **tensors, **others)
    expected = plan.run(**tensors).sparse_indices
    found: list[Array] = []

    def work() -> None:
        mine = {n: t.copy() for n, t in tensors.items()}
        found.extend(plan.run(**mine).sparse_indices for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200
    assert all(same_bits(value, expected) for value in found)


def test_a_plan_says_what_it_is() -> None:
    tensors, others = indexer([20, 33])
    plan = tamis.plan("lightning_indexer", **tensors, **others, implementation="reference")
    text = "reference: float64, as asked; also here: cpu"
    assert repr(plan) == f"Plan(lightning_indexer: {text})"
    assert plan.workspace_bytes == 0
    assert tamis.plan("lightning_indexer", **tensors, **others, threads=1).workspace_bytes > 0


def test_the_decoding_loop_of_the_examples_runs() -> None:
    script = Path(__file__).parents[2] / "examples" / "decode" / "decode.py"
    done = subprocess.run(
        [sys.executable, script, "2", "4096", "64"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "64 steps of 2 layers at 4160 tokens" in done.stdout


# --- what is refused ----------------------------------------------------------------------------


def test_wrong_names_are_refused() -> None:
    tensors, others = indexer([20, 33])
    with pytest.raises(ValueError, match=r"operator: expected one of .*mla_prolog, .*, got 'x'"):
        tamis.plan("x")
    with pytest.raises(TypeError, match=r"keys: expected one of actual_seq_lengths_key, .*another"):
        tamis.plan("lightning_indexer", **tensors, **others, keys=1)
    plan = tamis.plan("lightning_indexer", **tensors, **others)
    with pytest.raises(
        TypeError, match=r"block_table: expected none .the plan has read it; `renew`"
    ):
        plan.run(**tensors, block_table=others["block_table"])
    with pytest.raises(TypeError, match="sparse_count: expected none"):
        plan.run(**tensors, sparse_count=3)
    with pytest.raises(TypeError, match=r"table: expected one of key, .*, got another name"):
        plan.run(**tensors, table=1)
    with pytest.raises(
        TypeError, match="query: expected one of actual_seq_lengths_key, actual_seq"
    ):
        plan.renew(query=tensors["query"])


def test_wrong_tensors_of_a_run_are_refused_and_nothing_is_written() -> None:
    tensors, others = indexer([20, 33])
    plan = tamis.plan("lightning_indexer", **tensors, **others)
    out = np.full_like(plan.run(**tensors).sparse_indices, 77)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"query": None}, "query: required, but absent"),
        (
            {"query": tensors["query"][:1]},
            r"query: expected shape \[2, 1, 4, 32\] of the plan, got",
        ),
        (
            {"key": tensors["key"].astype(np.float32)},
            "key: expected dtype float16 of the plan, got",
        ),
        ({"sparse_values": np.zeros((2, 1, 1, 8), np.float16)}, "sparse_values: expected none, as"),
    ]
    for change, line in wrong:
        with pytest.raises(ValueError, match=line):
            plan.run(**tensors | {"sparse_indices": out} | change)
    assert (out == 77).all()
    with pytest.raises(ValueError, match="sparse_indices: expected memory of its own"):
        plan.run(
            **tensors,
            sparse_indices=tensors["key"].view(np.int32).reshape(-1)[:16].reshape(2, 1, 1, 8),
        )


def test_a_failed_renewal_stops_runs_until_one_succeeds() -> None:
    tensors, others = indexer([20, 33])
    plan = tamis.plan("lightning_indexer", **tensors, **others)
    expected = plan.run(**tensors).sparse_indices
    with pytest.raises(
        ValueError, match=r"actual_seq_lengths_key: expected shape \[2\] of the plan"
    ):
        plan.renew(actual_seq_lengths_key=[20, 33, 1])
    assert same_bits(plan.run(**tensors).sparse_indices, expected)  # shapes are looked at first
    with pytest.raises(ValueError, match=r"actual_seq_lengths_key\[1\]: expected a length of at"):
        plan.renew(actual_seq_lengths_key=[20, -1])
    with pytest.raises(ValueError, match="plan: expected a renewal that succeeds"):
        plan.run(**tensors)
    plan.renew()  # what it had
    assert same_bits(plan.run(**tensors).sparse_indices, expected)
