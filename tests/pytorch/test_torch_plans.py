"""Plans of torch.ops.tamis: kept from call to call, and never seen in what comes back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from python_calls import call, same_bits
from torch_calls import arguments, has_results, overload, results
from torch_cases import attention_case, indexer_case
from torch_forms import forms

import tamis
from tamis.case import Case
from tamis.torch import PlanCounts, plan_counts


def found(case: Case) -> dict[str, torch.Tensor]:
    positional, named = arguments(case)
    return results(case.op, overload(case.op)(*positional, **named))


def assert_is_the_functions(case: Case, name: str = "") -> None:
    outputs = found(case)
    expected = call(case)
    for output, value in outputs.items():
        if output in expected:
            assert same_bits(value, expected[output]), (name, output)


def since(before: PlanCounts) -> PlanCounts:
    now = plan_counts()
    return PlanCounts(
        now.made - before.made,
        now.renewed - before.renewed,
        now.reused - before.reused,
        now.kernel_seconds - before.kernel_seconds,
    )


def paged(lengths: list[int]) -> Case:
    case = indexer_case("BSND", "PA_BSND")
    case.tensors["actual_seq_lengths_key"] = torch.tensor(lengths, dtype=torch.int32)
    return case


def test_every_form_called_again_gives_the_functions_bits(tmp_path: Path) -> None:
    """Forms of one operator follow each other, then all come again."""
    for _ in range(2):
        for name, case in forms(tmp_path):
            assert_is_the_functions(case, name)


def test_a_step_plans_once_and_its_layers_run_that_plan() -> None:
    before = plan_counts()
    for lengths in ([17, 20], [18, 21], [19, 22]):
        for _ in range(61):  # layers
            assert_is_the_functions(paged(lengths))
    assert since(before).made <= 1
    assert since(before).renewed <= 3
    assert since(before).reused >= 3 * 60


def test_integers_changed_in_place_are_seen_whoever_changes_them() -> None:
    case = paged([17, 20])
    assert_is_the_functions(case)
    case.tensors["actual_seq_lengths_key"][0] = 5
    assert_is_the_functions(case)
    case.tensors["block_table"].numpy()[:] = [[3, 1], [0, 2]]  # torch does not know
    assert_is_the_functions(case)


def test_a_plan_outlives_the_tensors_that_it_was_made_with() -> None:
    for step in range(20):
        case = paged([17 + step % 3, 20])
        assert_is_the_functions(case)
        del case
        torch.full((4, 64), step, dtype=torch.int32)  # where a table was


def test_strided_integers_are_read_where_they_lie() -> None:
    for seed in range(3):
        case = paged([17 + seed, 20])
        wide = torch.full((2, 6), 99, dtype=torch.int32)
        wide[:, :2] = torch.tensor([[2, seed], [1, 3]])
        case.tensors["block_table"] = wide[:, :2]
        assert_is_the_functions(case)


def test_a_value_that_is_the_key_and_one_that_is_not_have_plans_of_their_own() -> None:
    case = attention_case("TND", "PA_BSND")
    other = case.tensors["key"].flip(0)
    for value in (case.tensors["key"], other, case.tensors["key"], other):
        case.tensors["value"] = value
        assert_is_the_functions(case)


def test_what_is_wrong_is_said_as_if_nothing_had_come_before() -> None:
    assert_is_the_functions(paged([17, 20]))
    for lengths, line in (
        ([17, -1], r"actual_seq_lengths_key\[1\]: expected a length of at least 0, got -1"),
        ([17, 1000], r"block_table: expected at least 63 pages for the 1000 keys of sequence 1"),
    ):
        with pytest.raises(ValueError, match=line):
            found(paged(lengths))
        assert_is_the_functions(paged([17, 20]))


def test_lists_that_change_the_shape_of_results_are_planned_anew(tmp_path: Path) -> None:
    cases = [case for name, case in forms(tmp_path) if name.startswith("nsa_compress of")]
    assert len(cases) == 3
    for lengths in ([20, 100], [50, 100], [60, 100], [100, 100]):
        case = cases[0]
        case.attributes["act_seq_len"] = lengths
        assert_is_the_functions(case)


def test_threads_have_plans_of_their_own() -> None:
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for step in range(30):
                assert_is_the_functions(paged([1 + (first + step) % 20, 20]))
        except BaseException as error:  # a thread's own would be lost
            failures.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


# --- the overload out ---------------------------------------------------------------------------


def outputs_of(case: Case) -> dict[str, torch.Tensor]:
    """What the call gives, as memory to write to."""
    roles = {a["name"]: a["role"] for a in tamis.describe(case.op)["arguments"]}
    given = {n: v for n, v in found(case).items() if v.shape != (0,) or roles[n] == "output"}
    return {name: torch.full_like(value, 77) for name, value in given.items()}


def test_out_writes_what_the_results_are(tmp_path: Path) -> None:
    for name, case in forms(tmp_path):
        if not has_results(case.op):
            assert overload(case.op).overloadpacket.overloads() == ["default"], name
            continue
        expected = found(case)
        outputs = outputs_of(case)
        positional, named = arguments(case)
        out: Any = getattr(torch.ops.tamis, case.op).out
        assert out(*positional, **named, **outputs) is None
        for output, value in outputs.items():
            assert same_bits(value, expected[output]), (name, output)


def test_out_passes_pytorchs_own_checks(tmp_path: Path) -> None:
    seen = set()
    for name, case in forms(tmp_path):
        if case.op in seen or not has_results(case.op):
            continue
        seen.add(case.op)
        positional, named = arguments(case)
        out: Any = getattr(torch.ops.tamis, case.op).out
        outcome = torch.library.opcheck(out, positional, named | outputs_of(case))
        assert set(outcome.values()) == {"SUCCESS"}, (name, outcome)
    assert seen == {op for op in tamis.operators() if has_results(op)}


def test_out_writes_between_the_gaps_of_strided_outputs() -> None:
    case = paged([17, 20])
    expected = found(case)["sparse_indices"]
    wide = torch.full((*expected.shape[:-1], 20), 77, dtype=expected.dtype)
    positional, named = arguments(case)
    torch.ops.tamis.lightning_indexer.out(
        *positional, **named, sparse_indices=wide[..., : expected.shape[-1]]
    )
    assert same_bits(wide[..., : expected.shape[-1]], expected)
    assert (wide[..., expected.shape[-1] :] == 77).all()


def test_out_refuses_what_it_cannot_write() -> None:
    case = paged([17, 20])
    positional, named = arguments(case)
    right = torch.zeros_like(found(case)["sparse_indices"])
    out = torch.ops.tamis.lightning_indexer.out
    for wrong, line in (
        (right[..., :-1].contiguous(), "sparse_indices: expected shape"),
        (right.float(), "sparse_indices: expected dtype int32"),
        (right.new_zeros(2, 3, 8, 2)[..., 0].unsqueeze(2), "sparse_indices: expected a contiguous"),
    ):
        with pytest.raises(ValueError, match=line):
            out(*positional, **named, sparse_indices=wrong)
    key = case.tensors["key"].view(torch.int32).flatten()[: right.numel()].view(right.shape)
    with pytest.raises(ValueError, match="sparse_indices: expected memory of its own, got memory"):
        out(*positional, **named, sparse_indices=key)
