"""tamis.torch.plan: plans that a loop holds, by name and in order."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from python_calls import call, integers_of, same_bits, updated_of
from torch_calls import results, to_torch
from torch_cases import attention_case, in_fp32, indexer_case
from torch_forms import forms

import tamis.torch
from tamis.case import Case


def tensors_of(case: Case) -> dict[str, torch.Tensor]:
    """A case's tensors that a run brings."""
    return {n: t for n, t in to_torch(case).items() if n not in integers_of(case.op)}


def made(case: Case, **outputs: torch.Tensor) -> tamis.torch.Plan:
    return tamis.torch.plan(case.op, **to_torch(case), **case.attributes, **outputs)


def indexer() -> tuple[tamis.torch.Plan, dict[str, torch.Tensor], torch.Tensor]:
    case = indexer_case("BSND", "PA_BSND")
    plan = made(case)
    return plan, tensors_of(case), plan.run(**tensors_of(case)).sparse_indices


def in_order(plan: tamis.torch.Plan, tensors: dict[str, torch.Tensor]) -> None:
    plan.run_in_order([tensors[n] for n in plan.inputs], [tensors[n] for n in plan.written])


def check(found: dict[str, torch.Tensor], expected: dict[str, Any], way: tuple[str, str]) -> None:
    for output, value in expected.items():
        assert same_bits(found[output], value), (way, output)


def test_every_form_gives_the_functions_bits(tmp_path: Path) -> None:
    """Outputs allocated, given by name, and given in order."""
    for name, case in forms(tmp_path):
        before = {n: t.clone() for n, t in tensors_of(case).items()}
        expected = call(case) | updated_of(case.op, case.tensors)
        plan = made(case)

        tensors = {n: t.clone() for n, t in before.items()}
        allocated = plan.run(**tensors)
        by_name = {} if allocated is None else results(case.op, allocated)
        by_name = {n: t for n, t in by_name.items() if t is not None}
        check(tensors | by_name, expected, (name, "allocated"))

        outputs = {n: torch.zeros_like(t) for n, t in by_name.items()}
        tensors = {n: t.clone() for n, t in before.items()}
        plan.run(**tensors, **outputs)
        check(tensors | outputs, expected, (name, "given"))

        outputs = {n: torch.zeros_like(t) for n, t in by_name.items()}
        tensors = {n: t.clone() for n, t in before.items()}
        in_order(plan, tensors | outputs)
        check(tensors | outputs, expected, (name, "in order"))


def test_a_renewed_plan_sees_new_lengths() -> None:
    plan, tensors, out = indexer()
    lengths = torch.tensor([5, 20], dtype=torch.int32)
    plan.renew(actual_seq_lengths_key=lengths)
    in_order(plan, tensors | {"sparse_indices": out})
    case = indexer_case("BSND", "PA_BSND")
    case.tensors["actual_seq_lengths_key"] = lengths
    assert same_bits(out, call(case)["sparse_indices"])


def test_threads_run_one_plan_at_once() -> None:
    plan, tensors, expected = indexer()
    wrong: list[int] = []

    def run(thread: int) -> None:
        out = torch.empty_like(expected)
        for _ in range(200):
            out.zero_()
            in_order(plan, tensors | {"sparse_indices": out})
            if not torch.equal(out, expected):
                wrong.append(thread)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def other_shape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["query"] = tensors["query"][:, :-1]


def other_dtype(tensors: dict[str, torch.Tensor]) -> None:
    tensors["key"] = tensors["key"].to(torch.float16)


def unknown_dtype(tensors: dict[str, torch.Tensor]) -> None:
    tensors["query"] = tensors["query"].to(torch.complex64)


def overlap(tensors: dict[str, torch.Tensor]) -> None:
    flat = tensors["query"].view(torch.int32).reshape(-1)
    tensors["sparse_indices"] = flat[: tensors["sparse_indices"].numel()].reshape(
        tensors["sparse_indices"].shape
    )


def spread(tensors: dict[str, torch.Tensor]) -> None:
    out = tensors["sparse_indices"]
    tensors["sparse_indices"] = torch.zeros(*out.shape, 2, dtype=out.dtype)[..., 0]


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (other_shape, "query: expected"),
        (other_dtype, "key: expected"),
        (unknown_dtype, "query: expected a dtype"),
        (overlap, "sparse_indices: expected"),
        (spread, "sparse_indices: expected a contiguous last dimension"),
    ],
)
@pytest.mark.parametrize("by_name", [True, False])
def test_what_the_plan_was_not_made_for_is_refused_and_nothing_written(
    harm: Any, line: str, by_name: bool
) -> None:
    plan, tensors, out = indexer()
    tensors["sparse_indices"] = out.fill_(-7)
    harm(tensors)
    kept = tensors["sparse_indices"].clone()
    with pytest.raises(ValueError, match=line):
        plan.run(**tensors) if by_name else in_order(plan, tensors)
    assert torch.equal(tensors["sparse_indices"], kept)


def test_a_tensor_too_few_or_too_many_is_refused() -> None:
    plan, tensors, out = indexer()
    inputs = [tensors[n] for n in plan.inputs]
    with pytest.raises(
        ValueError, match=r"inputs: expected 3 tensors \(query, key, weights\), got 2"
    ):
        plan.run_in_order(inputs[:2], [out])
    with pytest.raises(ValueError, match=r"written: expected 1 tensors \(sparse_indices\), got 2"):
        plan.run_in_order(inputs, [out, out])
    with pytest.raises(TypeError, match="foo: expected one of"):
        plan.run(**tensors, foo=out)
    with pytest.raises(TypeError, match="block_table: expected none"):
        plan.run(**tensors, block_table=out)
    with pytest.raises(TypeError, match=r"sparse_indices: expected a torch\.Tensor"):
        plan.run(**tensors, sparse_indices=out.numpy())
    del tensors["key"]
    with pytest.raises(ValueError, match="key: required, but absent"):
        plan.run(**tensors, sparse_indices=out)


def test_a_number_whose_plan_is_gone_is_refused() -> None:
    plan, tensors, out = indexer()
    number = plan._number
    inputs = [tensors[n] for n in plan.inputs]
    torch.ops.tamis.run_plan(number, inputs, [out])
    del plan
    gc.collect()
    for gone in (number, 0, -1, 2**40):
        with pytest.raises(ValueError, match="plan: expected the number of a plan that lives"):
            torch.ops.tamis.run_plan(gone, inputs, [out])


def test_a_tensor_that_requires_grad_is_refused_unless_gradients_are_off() -> None:
    case = in_fp32(attention_case("BSND", "BSND"))
    tensors = tensors_of(case)
    plan = made(case)
    out = plan.run(**tensors).out
    expected = out.clone()
    tensors["query"].requires_grad_()
    with pytest.raises(RuntimeError, match="query: expected a tensor without gradient"):
        plan.run(**tensors, out=out)
    out.zero_()
    with torch.no_grad():
        assert plan.run(**tensors, out=out).out is out
    assert torch.equal(out, expected)


def test_the_operator_says_what_it_writes() -> None:
    plan, tensors, out = indexer()
    torch.library.opcheck(
        torch.ops.tamis.run_plan.default,
        (plan._number, [tensors[n] for n in plan.inputs], [out]),
        test_utils=("test_schema", "test_faketensor"),
    )
