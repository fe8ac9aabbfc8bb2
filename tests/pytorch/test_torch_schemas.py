"""The schemas of torch.ops.tamis: all tensors before the "*", attributes after it."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from python_calls import SHAPES, same_bits, updated, updated_of
from torch_calls import arguments, by_position, has_results, optional_tensors, overload, results
from torch_forms import forms

import tamis
from tamis.case import Case


@pytest.mark.parametrize("op", SHAPES)
def test_schemas_say_what_the_functions_say(op: str) -> None:
    schema = overload(op)._schema
    function = inspect.signature(getattr(tamis, op)).parameters
    fields = {a["name"]: a for a in tamis.describe(op)["arguments"]}
    left = [n for n in function if n not in ("level", "implementation", "threads")]
    left = [n for n in left if fields[n]["role"] not in ("output", "optional_output")]
    tensors = [n for n in left if fields[n]["type"] == "tensor"]
    attributes = [n for n in left if n not in tensors]
    assert [a.name for a in schema.arguments] == tensors + attributes
    for argument in schema.arguments:
        parameter = function[argument.name]
        assert argument.kwarg_only == (argument.name in attributes)
        assert argument.has_default_value() == (parameter.default is not inspect.Parameter.empty)
        if argument.has_default_value():
            assert argument.default_value == parameter.default
        written = argument.alias_info is not None and argument.alias_info.is_write
        assert written == (argument.name in updated(op))


# Of some optional tensors a call has one kind or the other: what it needs, what is refused beside.
ONE_OR_THE_OTHER: dict[str, list[tuple[set[str], set[str]]]] = {
    "mla_prolog": [
        ({"w_dq", "gamma_cq"}, {"query_source"}),
        ({"query_source"}, {"w_dq", "bias_dq", "gamma_cq"}),
    ]
}


def test_forms_have_all_optional_tensors_and_none_of_every_operator(tmp_path: Path) -> None:
    seen: dict[str, list[set[str]]] = {op: [] for op in tamis.operators()}
    for _, case in forms(tmp_path):
        seen[case.op].append(case.tensors.keys() & optional_tensors(case.op))
    for op, sets in seen.items():
        for needed, refused in ONE_OR_THE_OTHER.get(op, [(set(), set())]):
            assert needed in sets, op
            assert optional_tensors(op) - refused in sets, op


Arguments = Callable[[Case], tuple[tuple[Any, ...], dict[str, Any]]]


def run(case: Case, given: Arguments) -> dict[str, torch.Tensor]:
    """Results and updated tensors of a call on copies."""
    copied = {name: tensor.clone() for name, tensor in case.tensors.items()}
    positional, named = given(Case(case.op, copied, case.attributes))
    found = results(case.op, overload(case.op)(*positional, **named))
    return found | updated_of(case.op, copied)


def all_by_keyword(case: Case) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (), case.tensors | case.attributes


def test_tensors_by_position_and_by_keyword_give_the_same_bits(tmp_path: Path) -> None:
    for label, case in forms(tmp_path):
        expected = run(case, all_by_keyword)
        for given in (arguments, by_position):
            found = run(case, given)
            assert found.keys() == expected.keys(), label
            for name, value in expected.items():
                assert same_bits(found[name], value), (label, name)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What register_autograd said in a process of its own: what it registers stays."""
    command = [sys.executable, "-m", "torch_gradients", str(tmp_path_factory.mktemp("gradients"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_register_autograd_takes_every_operator_that_updates_nothing(
    registered: dict[str, Any],
) -> None:
    taken = {op for op, answer in registered["operators"].items() if answer == ""}
    assert taken == {op for op in tamis.operators() if not updated(op)}


def test_register_autograd_refuses_updates_and_nothing_else_of_a_schema(
    registered: dict[str, Any],
) -> None:
    for op in filter(updated, tamis.operators()):
        assert "non-functional operator" in registered["operators"][op], op
        if has_results(op):  # else there is nothing to differentiate
            assert registered["without_updates"][op] == "", op


def test_register_autograd_refuses_tensors_after_the_star(registered: dict[str, Any]) -> None:
    assert registered["tensor_after_the_star"].startswith("register_autograd with kwarg-only")


def test_a_registered_backward_gets_tensors_and_attributes_in_the_schemas_order(
    registered: dict[str, Any],
) -> None:
    calls = registered["calls"]
    assert calls.keys() == {op for op in tamis.operators() if not updated(op)}
    calls = {op: seen for op, seen in calls.items() if seen is not None}
    # A call of integers and bytes alone has no gradients to ask for.
    without = {"unpack_kv_rows", "localize_indices", "globalize_indices"}
    assert registered["calls"].keys() - calls.keys() == without
    for op, seen in calls.items():
        fields = overload(op)._schema.arguments
        assert seen["tensors"] == [f.name for f in fields if not f.kwarg_only], op
        assert seen["attributes"] == [f.name for f in fields if f.kwarg_only], op
        assert seen["same_bits"], op
        gives_bytes = op in ("quantize_index_keys", "pack_kv_rows")
        assert seen["gradient"] == (not gives_bytes), op
