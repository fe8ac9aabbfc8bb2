"""`strict=True` against documents 001 to 004, where the package could hide what it copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from python_calls import call, libraries, same_bits, to_library, updated
from strict_calls import (
    DOCUMENT_004_CONTIGUOUS,
    document_001,
    document_002,
    document_003,
    document_004,
    spread,
)

from tamis.case import Case

ALLOWED = [document_001, document_002, document_003, document_004]
MUTABLE = [library for library in libraries() if library != "jax"]  # whose arrays have strides
NAMES_003 = list(document_003().tensors)


def of(library: str, case: Case, **changed: Any) -> Case:
    tensors = {name: to_library(library, array) for name, array in case.tensors.items()}
    return Case(case.op, tensors | changed, dict(case.attributes))


def strided(library: str, case: Case, name: str, axis: int) -> Case:
    return of(library, case, **{name: spread(to_library(library, case.tensors[name]), axis)})


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(same_bits(one[name], other[name]) for name in one)


def refused(case: Case, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected \(strict\) a contiguous tensor, got"):
        call(case, strict=True)


def last_stride_refused(case: Case, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected a contiguous last dimension"):
        call(case)


@pytest.mark.parametrize("document", ALLOWED)
@pytest.mark.parametrize("library", list(libraries()))
def test_what_the_documents_allow_runs_as_without_strict(
    library: str, document: Callable[[], Case]
) -> None:
    if library == "jax" and updated(document().op):
        return  # arrays of JAX are never written to
    wide, strict = of(library, document()), of(library, document())
    assert same(call(wide), call(strict, strict=True))


@pytest.mark.parametrize("library", MUTABLE)
@pytest.mark.parametrize("name", NAMES_003)
def test_document_003_takes_no_tensor_that_is_not_contiguous(library: str, name: str) -> None:
    rank = document_003().tensors[name].ndim
    for axis in {0, rank - 1}:
        case = strided(library, document_003(), name, axis)
        refused(case, name)
        if name in updated(case.op) and axis == rank - 1:
            last_stride_refused(case, name)
        else:
            assert same(call(of(library, document_003())), call(case))


@pytest.mark.parametrize("library", MUTABLE)
@pytest.mark.parametrize("name", DOCUMENT_004_CONTIGUOUS)
def test_document_004_takes_no_tensor_that_is_not_contiguous(library: str, name: str) -> None:
    for axis in range(4):
        case = strided(library, document_004(), name, axis)
        refused(case, name)
        assert same(call(of(library, document_004())), call(case))


@pytest.mark.parametrize("library", MUTABLE)
@pytest.mark.parametrize("document", [document_001, document_002, document_004])
def test_what_the_documents_do_not_ask_to_be_contiguous_is_taken_as_it_is(
    library: str, document: Callable[[], Case]
) -> None:
    exact = call(of(library, document()))
    for name in document().tensors:
        if document is document_004 and name in DOCUMENT_004_CONTIGUOUS:
            continue
        for axis in range(document().tensors[name].ndim):
            case = strided(library, document(), name, axis)
            assert same(exact, call(case, strict=True)), (name, axis)


def test_a_reversed_array_is_not_contiguous() -> None:
    case = document_004()
    reversed_query = np.ascontiguousarray(case.tensors["query"][..., ::-1])[..., ::-1]
    case.tensors["query"] = reversed_query
    refused(case, "query")
    assert same(call(document_004()), call(case))


def test_an_array_of_another_library_is_seen_before_it_is_copied() -> None:
    class Interface:
        def __init__(self, array: Any) -> None:
            self.array = array
            self.__array_interface__ = array.__array_interface__

    case = document_004()
    ids = spread(case.tensors["sparse_indices"], 3)
    foreign = case.tensors | {"sparse_indices": Interface(ids)}
    refused(Case(case.op, foreign, case.attributes), "sparse_indices")


def test_strides_of_single_elements_and_of_nothing_are_contiguous() -> None:
    case = document_004()
    one = np.lib.stride_tricks.as_strided(
        case.tensors["query"][:1, :1], (1, 1, 4, 512), (34, 58, 1024, 2)
    )
    table, ids = case.tensors["block_table"][:1], case.tensors["sparse_indices"][:1, :1]
    lengths = np.array([1], np.int32), np.array([40], np.int32)
    tensors = case.tensors | {
        "query": one,
        "query_rope": case.tensors["query_rope"][:1, :1].copy(),
        "sparse_indices": ids.copy(),
        "block_table": table,
        "actual_seq_lengths_query": lengths[0],
        "actual_seq_lengths_kv": lengths[1],
    }
    assert call(Case(case.op, tensors, case.attributes), strict=np.True_)["out"].shape[0] == 1


def test_masks_of_bytes_and_lengths_of_64_bits_are_for_wide_calls() -> None:
    masked = document_002()
    masked.tensors["atten_mask"] = masked.tensors["atten_mask"].astype(np.uint8)
    assert same(call(masked), call(document_002()))
    with pytest.raises(ValueError, match=r"^atten_mask: expected \(strict\) dtype bool, got uint8"):
        call(masked, strict=True)
    slots = document_003()
    slots.tensors["cache_index"] = slots.tensors["cache_index"].astype(np.int64)
    with pytest.raises(ValueError, match=r"^cache_index: expected \(strict\) dtype int32"):
        call(slots, strict=True)
