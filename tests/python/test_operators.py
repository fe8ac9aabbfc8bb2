"""Every operator gives from Python what the command line gives, bit for bit."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from python_calls import (
    SHAPES,
    call,
    command_line,
    extended,
    in_fp32,
    libraries,
    make_case,
    same_bits,
    takes_fp32,
    to_library,
    updated,
    updated_of,
)

import tamis
from tamis.case import Case


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert same_bits(found[name], value), name


def assert_gives_the_command_lines(case: Case, folder: Path, library: str) -> None:
    """Of a case that lies in the folder, too; its tensors become arrays of the library."""
    expected = command_line(folder)
    case.tensors = {name: to_library(library, t) for name, t in case.tensors.items()}
    first = next(iter(updated(case.op)), None)
    if library == "jax" and first is not None:
        with pytest.raises(ValueError, match=f"{first}: expected a writable array"):
            call(case)
        return
    found = call(case)
    for output in found.values():
        assert type(output) is type(next(iter(case.tensors.values())))
    found.update(updated_of(case.op, case.tensors))
    assert_same(found, expected)


def test_every_operator_of_the_library_is_a_function_and_tested() -> None:
    assert sorted(tamis.operators()) == sorted(SHAPES)
    for op in tamis.operators():
        assert inspect.isfunction(getattr(tamis, op))
        assert op in tamis.__all__


@pytest.mark.parametrize("library", list(libraries()))
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("op", SHAPES)
def test_results_equal_the_command_lines(tmp_path: Path, op: str, dtype: str, library: str) -> None:
    assert_gives_the_command_lines(make_case(tmp_path, op, dtype), tmp_path, library)


@pytest.mark.parametrize("library", list(libraries()))
@pytest.mark.parametrize("op", [op for op in SHAPES if takes_fp32(op)])
def test_results_in_fp32_equal_the_command_lines(tmp_path: Path, op: str, library: str) -> None:
    case = in_fp32(extended(make_case(tmp_path, op, "bfloat16")))
    tamis.case.write(tmp_path / "case.safetensors", case)
    assert_gives_the_command_lines(case, tmp_path, library)


@pytest.mark.parametrize("op", SHAPES)
def test_level_and_implementation_are_those_asked_for(tmp_path: Path, op: str) -> None:
    for options, arguments in (
        (["--level", "scalar"], {"level": "scalar"}),
        (["--impl", "reference"], {"implementation": "reference"}),
    ):
        case = make_case(tmp_path, op, "bfloat16")
        found = call(case, **arguments)
        found.update(updated_of(op, case.tensors))
        assert_same(found, command_line(tmp_path, *options))


@pytest.mark.parametrize("op", SHAPES)
def test_results_do_not_depend_on_threads(tmp_path: Path, op: str) -> None:
    results = []
    for threads in (1, 2, 7):
        case = make_case(tmp_path, op, "bfloat16")
        results.append(call(case, threads=threads))
        results[-1].update(updated_of(op, case.tensors))
    assert_same(results[1], results[0])
    assert_same(results[2], results[0])


@pytest.mark.parametrize("op", SHAPES)
def test_given_outputs_are_written_and_returned(tmp_path: Path, op: str) -> None:
    first = make_case(tmp_path, op, "float16")
    expected = call(first)
    second = make_case(tmp_path, op, "float16")
    given = {name: np.full_like(value, 1) for name, value in expected.items()}
    found = call(second, **given)
    assert_same(found, expected)
    assert all(found[name] is given[name] for name in given)


@pytest.mark.parametrize("op", SHAPES)
def test_signatures_say_what_the_contract_says(op: str) -> None:
    arguments = {a["name"]: a for a in tamis.describe(op)["arguments"]}
    parameters = dict(inspect.signature(getattr(tamis, op)).parameters)
    for how in ("level", "implementation", "threads"):
        assert parameters.pop(how).default is None
    assert parameters.keys() == arguments.keys() - set()
    for name, argument in arguments.items():
        default = parameters[name].default
        if argument["type"] != "tensor" and not argument["required"]:
            assert default == argument["default"], name
        elif argument["role"] in ("input", "inout") or argument.get("required"):
            assert default is inspect.Parameter.empty, name
        else:
            assert default is None, name


@pytest.mark.parametrize("op", SHAPES)
def test_help_names_every_argument_with_its_shape(op: str) -> None:
    text = inspect.getdoc(getattr(tamis, op)) or ""
    for argument in tamis.describe(op)["arguments"]:
        assert argument["name"] in text
        for form in argument.get("shapes", []):
            assert f"[{', '.join(form['dims'])}]" in " ".join(text.split()), argument["name"]
