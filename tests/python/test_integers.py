"""Lengths, positions, page tables and slots: of any kind, and never anything but integers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from check_docs import blocks_of
from python_calls import (
    ROOT,
    SHAPES,
    call,
    extended,
    libraries,
    make_case,
    same_bits,
    to_library,
    updated_of,
)

import tamis
from tamis.case import Case

Array = npt.NDArray[Any]


def integers(op: str) -> tuple[set[str], set[str]]:
    """Tensors of integers that an operator reads, and its attributes that are lists of them."""
    arguments = tamis.describe(op)["arguments"]
    tensors = {
        a["name"]
        for a in arguments
        if "input" in a["role"] and a["dtypes"] and set(a["dtypes"]) <= {"int32", "int64"}
    }
    return tensors, {a["name"] for a in arguments if a.get("type") == "ints"}


WITH_INTEGERS = [op for op in SHAPES if any(integers(op))]


def tuples(value: Any) -> Any:
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def of(library: str, dtype: npt.DTypeLike) -> Callable[[Array], Any]:
    return lambda values: to_library(library, values.astype(dtype))


def kinds() -> Iterator[tuple[str, Callable[[Array], Any]]]:
    """Ways to say the same integers, by name."""
    yield "a list", lambda values: values.tolist()
    yield "a tuple", lambda values: tuples(values.tolist())
    yield "a list of arrays", lambda values: list(values) if values.ndim > 1 else values.tolist()
    yield "a range", lambda v: range(v[0], v[0] + 1) if v.shape == (1,) else v.tolist()
    yield "a list of numpy's integers", lambda values: list(values.astype(np.int32))
    for library in libraries():
        for dtype in (np.int32, np.int64) if library != "jax" else (np.int32,):
            yield f"{np.dtype(dtype).name} of {library}", of(library, dtype)


KINDS = dict(kinds())


def restated(case: Case, make: Callable[[Array], Any]) -> Case:
    tensors, lists = integers(case.op)
    return Case(
        case.op,
        {n: make(t) if n in tensors else t.copy() for n, t in case.tensors.items()},
        {
            name: make(np.asarray(value)) if name in lists and value is not None else value
            for name, value in case.attributes.items()
        },
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("op", WITH_INTEGERS)
def test_every_operator_takes_integers_of_every_kind(tmp_path: Path, op: str, kind: str) -> None:
    case = extended(make_case(tmp_path, op, "float16"))
    exact = restated(case, np.copy)
    found = restated(case, KINDS[kind])
    wanted, got = call(exact), call(found)
    assert wanted.keys() == got.keys()
    assert all(same_bits(wanted[name], got[name]) for name in wanted)
    written = updated_of(op, found.tensors)
    assert all(same_bits(exact.tensors[name], tensor) for name, tensor in written.items())


def infer(**changes: Any) -> Any:
    """A call of nsa_compress_attention_infer: two sequences over three pages of 16 keys."""
    keys = np.ones((3, 16, 4 * 32), np.float16)
    arguments: dict[str, Any] = {
        "block_table": [[2], [1]],
        "scale_value": 0.1,
        "head_num": 4,
        "key_value_head_num": 4,
        "select_block_size": 64,
        "select_block_count": 1,
        "page_block_size": 16,
        "compress_block_size": 32,
        "compress_stride": 16,
        "actual_cmp_seq_kvlen": [9, 7],
    }
    arguments |= changes
    table = arguments.pop("block_table")
    return tamis.nsa_compress_attention_infer(
        np.ones((2, 4, 32), np.float16), keys, keys, table, **arguments
    )


def index(**changes: Any) -> Any:
    """A call of lightning_indexer with lengths, which may have 32 or 64 bits."""
    query, key = np.ones((2, 1, 4, 16), np.float16), np.ones((2, 5, 1, 16), np.float16)
    return tamis.lightning_indexer(query, key, query[..., 0], sparse_count=3, **changes)


TOO_LARGE: dict[str, tuple[Any, str]] = {
    "a list": ([[2], [2**31]], r"2147483648 at \[1, 0\]"),
    "a negative": ([[2], [-(2**31) - 1]], r"-2147483649 at \[1, 0\]"),
    "numpy": (np.array([[2], [2**40]]), r"1099511627776 at \[1, 0\]"),
}


@pytest.mark.parametrize("what", TOO_LARGE)
def test_integers_that_do_not_fit_int32_are_refused(what: str) -> None:
    table, line = TOO_LARGE[what]
    with pytest.raises(
        ValueError, match=f"^block_table: expected integers that fit int32, got {line}"
    ):
        infer(block_table=table)


def test_integers_that_do_not_fit_int64_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^block_table: expected integers that fit int32, got "):
        infer(block_table=[[2], [2**70]])
    with pytest.raises(TypeError, match=r"^actual_cmp_seq_kvlen: expected a sequence of integers"):
        infer(actual_cmp_seq_kvlen=[9, 2**63])
    with pytest.raises(ValueError, match=r"^actual_seq_lengths_key: expected integers that fit"):
        index(actual_seq_lengths_key=[2, 2**63])


def test_lengths_of_64_bits_are_judged_as_lengths() -> None:
    """Where 64 bits are taken, a list may need them."""
    with pytest.raises(ValueError, match=r"^actual_seq_lengths_key.*, got 4294967296"):
        index(actual_seq_lengths_key=[2, 2**32])


@pytest.mark.parametrize("library", [name for name in libraries() if name != "jax"])
def test_a_strict_call_judges_the_dtype_that_came(library: str) -> None:
    indices = np.zeros((1, 16), np.int64)
    with pytest.raises(ValueError, match=r"^indices: expected dtype int32, got int64"):
        tamis.localize_indices(to_library(library, indices), rank=0, world=1, strict=True)
    wide = tamis.localize_indices(to_library(library, indices), rank=0, world=1)
    assert same_bits(wide.sparse_indices, tamis.localize_indices(indices, rank=0, world=1)[0])


NO_INTEGERS: dict[str, Any] = {
    "booleans": [[True], [False]],
    "booleans among integers": [[2], [True]],
    "floats": [[2.0], [1.0]],
    "floats of numpy": [np.array([2.0]), np.array([1.0])],
    "booleans of numpy": [[np.True_], [1]],
    "None": [[2], [None]],
    "ragged lists": [[2, 1], [1]],
    "lists of different depth": [[2], 1],
    "strings": [["2"], ["1"]],
    "masked arrays": [np.ma.array([2], mask=[True]), np.array([1])],
}


@pytest.mark.parametrize("what", NO_INTEGERS)
def test_nothing_else_passes_for_integers_in_a_tensor(what: str) -> None:
    with pytest.raises(TypeError, match=r"^block_table: expected integers, nested") as caught:
        infer(block_table=NO_INTEGERS[what])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float32, np.bool_, np.float16, np.int8])
def test_arrays_of_another_dtype_are_refused_as_tensors_of_integers(dtype: Any) -> None:
    with pytest.raises(ValueError, match=r"^block_table: expected dtype int32, got"):
        infer(block_table=np.array([[1], [1]], dtype))


NO_LISTS: dict[str, Any] = {
    "booleans": [True, True],
    "a boolean among integers": [9, True],
    "booleans of numpy": np.array([True, True]),
    "floats": [9.0, 7.0],
    "floats of numpy": np.array([9.0, 7.0]),
    "bfloat16": np.array([9, 7], ml_dtypes.bfloat16),
    "a number": 9,
    "an array of no dimension": np.array(9),
    "two dimensions": np.array([[9], [7]]),
    "a masked array": np.ma.array([9, 7], mask=[False, True]),
    "a string": "97",
    "bytes, which are no machine words": b"12345678" * 2,
    "a set, which has no order": {9, 7},
    "a dictionary": {9: 1, 7: 1},
}


@pytest.mark.parametrize("what", NO_LISTS)
def test_nothing_else_passes_for_a_list_of_integers(what: str) -> None:
    line = "^actual_cmp_seq_kvlen: expected a sequence of integers, got "
    with pytest.raises(TypeError, match=line) as caught:
        infer(actual_cmp_seq_kvlen=NO_LISTS[what])
    assert "\n" not in str(caught.value)


def test_lists_may_be_empty() -> None:
    nothing = np.zeros((0, 4, 32), np.float16)
    assert tamis.nsa_compress(
        nothing,
        np.ones((32, 4), np.float16),
        act_seq_len=np.array([], np.int32),
        compress_block_size=32,
        compress_stride=16,
    ).shape == (0, 4, 32)
    values = np.ones((2, 1, 0), np.float32)
    merged = tamis.merge_topk(values, [[[]], [[]]], sparse_count=2)
    assert merged.sparse_indices.tolist() == [[-1, -1]]


def test_an_operator_of_integers_alone_takes_lists_and_gives_numpy() -> None:
    found = tamis.localize_indices([[0, 1, 2, 3]], rank=1, world=2)
    assert type(found.sparse_indices) is np.ndarray
    exact = tamis.localize_indices(np.arange(4, dtype=np.int32)[None], rank=1, world=2)
    assert same_bits(found.sparse_indices, exact.sparse_indices)


MASKED = np.ma.masked_less(np.arange(64 * 4 * 32).reshape(64, 4, 32).astype(np.float16), 9)


class Annotated(np.ndarray[Any, Any]):
    """A subclass whose elements are in units of its own."""


def compress(x: Any, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "act_seq_len": [64],
        "compress_block_size": 32,
        "compress_stride": 16,
    }
    return tamis.nsa_compress(x, np.ones((32, 4), np.float16), **(arguments | changes))


@pytest.mark.parametrize(
    ("array", "kind"),
    [(MASKED, "a masked array"), (np.ones((64, 4, 32), np.float16).view(Annotated), "Annotated")],
)
def test_arrays_that_mean_more_than_their_memory_are_refused(array: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=f"^input: expected a plain array .*, got {kind}$"):
        compress(array)
    with pytest.raises(TypeError, match=f"^output: expected a plain array .*, got {kind}$"):
        compress(np.ones((64, 4, 32), np.float16), output=array[:3])
    with pytest.raises(TypeError, match=r"^block_table: expected a plain array"):
        infer(block_table=type(array)((2, 1), np.int32))
    assert compress(np.asarray(array)).shape == (3, 4, 32)


def test_arrays_of_a_file_are_plain(tmp_path: Path) -> None:
    array = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float16, (64, 4, 32))
    array[:] = 1
    assert (compress(array) == 32).all()


if "jax" in libraries():

    def test_tracers_are_refused_by_a_line_that_names_pure_callback() -> None:
        jax = importlib.import_module("jax")
        x = jax.numpy.ones((64, 4, 32), jax.numpy.float16)
        for transformed in (jax.jit(compress), jax.vmap(compress), jax.grad(compress)):
            with pytest.raises(TypeError, match=r"^input: expected .*jax\.pure_callback") as caught:
                transformed(x if transformed.__name__ != "vmap" else x[None])
            assert "\n" not in str(caught.value)
        for name in ("act_seq_len", "compress_stride"):

            def traced(value: Any, name: str = name) -> Any:
                return compress(x, **{name: value})

            line = rf"^{name}: expected .*jax\.pure_callback"
            with pytest.raises(TypeError, match=line):
                jax.jit(traced)(jax.numpy.array([64]))

    def test_the_example_of_pure_callback_in_the_guide_runs() -> None:
        (block,) = (b for b in blocks_of(ROOT / "docs/guide.md") if b.needs == {"jax"})
        assert "jax.pure_callback(" in block.code
        exec(compile(block.code, "docs/guide.md", "exec"), {})
