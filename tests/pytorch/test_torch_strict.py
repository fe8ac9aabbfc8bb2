"""`strict` through torch.ops.tamis and the device's names: tensors are judged before any copy."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from python_calls import same_bits, to_library, updated
from strict_calls import (
    DOCUMENT_004_CONTIGUOUS,
    document_001,
    document_002,
    document_003,
    document_004,
    spread,
)
from torch_calls import arguments, overload, results

import tamis.npu_compat
from tamis.case import Case

torch_npu = importlib.import_module("torch_npu")
custom = importlib.import_module("custom")

REFUSED = r": expected \(strict\) a contiguous tensor, got shape \[.*\] and strides \[.*\]$"
NAMES_003 = list(document_003().tensors)


def run(case: Case, *, strict: bool) -> dict[str, torch.Tensor]:
    positional, named = arguments(case)
    return results(case.op, overload(case.op)(*positional, **named, strict=strict))


def strided(case: Case, name: str, axis: int) -> Case:
    case.tensors[name] = spread(to_library("torch", case.tensors[name]), axis)
    return case


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(same_bits(one[name], other[name]) for name in one)


@pytest.mark.parametrize("name", NAMES_003)
def test_document_003_takes_no_tensor_that_is_not_contiguous(name: str) -> None:
    assert same(run(document_003(), strict=True), run(document_003(), strict=False))
    last = document_003().tensors[name].ndim - 1
    for axis in {0, last}:
        case = strided(document_003(), name, axis)
        with pytest.raises(ValueError, match="^" + name + REFUSED):
            run(case, strict=True)
        if name not in updated(case.op) or axis < last:
            assert same(run(case, strict=False), run(document_003(), strict=False))


@pytest.mark.parametrize("name", DOCUMENT_004_CONTIGUOUS)
def test_document_004_takes_no_tensor_that_is_not_contiguous(name: str) -> None:
    exact = run(document_004(), strict=True)
    for axis in range(4):
        case = strided(document_004(), name, axis)
        with pytest.raises(ValueError, match="^" + name + REFUSED):
            run(case, strict=True)
        assert same(run(case, strict=False), exact)


@pytest.mark.parametrize("document", [document_001, document_002, document_004])
def test_what_the_documents_do_not_ask_to_be_contiguous_is_taken_as_it_is(document: Any) -> None:
    exact = run(document(), strict=True)
    for name, array in document().tensors.items():
        if document is document_004 and name in DOCUMENT_004_CONTIGUOUS:
            continue
        for axis in range(array.ndim):
            assert same(run(strided(document(), name, axis), strict=True), exact), (name, axis)


# --- the device's names ---------------------------------------------------------------------------


@pytest.fixture
def _strict() -> Iterator[None]:
    tamis.npu_compat.enable(strict=True)
    yield
    tamis.npu_compat.enable(strict=False, weight_format="tagged")


def device_call_004(tensors: dict[str, torch.Tensor], **changed: Any) -> torch.Tensor:
    named = dict(document_004().attributes) | tensors | changed
    positional = ("query", "key", "value", "sparse_indices", "scale_value", "sparse_block_size")
    first = [named.pop(name) for name in positional]
    found: torch.Tensor = custom.npu_sparse_flash_attention(*first, **named)
    return found


def tensors_of(case: Case) -> dict[str, torch.Tensor]:
    return {name: to_library("torch", array) for name, array in case.tensors.items()}


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("name", DOCUMENT_004_CONTIGUOUS)
def test_the_devices_call_of_document_004_is_refused_before_anything_is_copied(name: str) -> None:
    tensors = tensors_of(document_004())
    exact = device_call_004(tensors)
    strided_tensor = spread(tensors[name], 3)
    with pytest.raises(ValueError, match="^" + name + REFUSED):
        device_call_004(tensors, **{name: strided_tensor})
    tamis.npu_compat.enable(strict=False)
    assert torch.equal(device_call_004(tensors, **{name: strided_tensor}), exact)


@pytest.mark.usefixtures("_strict")
@pytest.mark.parametrize("name", NAMES_003)
def test_the_devices_call_of_document_003_is_refused_before_anything_is_copied(name: str) -> None:
    tensors = tensors_of(document_003())
    tensors[name] = spread(tensors[name], tensors[name].ndim - 1)
    before = {n: t.clone() for n, t in tensors.items()}
    with pytest.raises(ValueError, match="^" + name + REFUSED):
        custom.npu_sparse_attention_pto(*tensors.values())
    assert all(torch.equal(before[n], t) for n, t in tensors.items())


@pytest.mark.usefixtures("_strict")
def test_the_devices_call_of_document_002_takes_strided_tensors_and_masks_of_bools() -> None:
    tensors, named = tensors_of(document_002()), dict(document_002().attributes)
    order = ["query", "key", "value", "scale_value", "head_num", "compress_block_size"]
    order += ["compress_stride", "select_block_size", "select_block_count"]

    def device_call(**changed: Any) -> Any:
        given = named | tensors | changed
        first = [given.pop(n) for n in order]
        return torch_npu.npu_nsa_compress_attention(*first, **given)

    exact = device_call()
    for name in tensors:
        found = device_call(**{name: spread(tensors[name], tensors[name].ndim - 1)})
        assert all(torch.equal(a, b) for a, b in zip(found, exact, strict=True)), name
    for name in ("atten_mask", "topk_mask"):
        with pytest.raises(
            ValueError, match=rf"^{name}: expected \(strict\) dtype bool, got uint8"
        ):
            device_call(**{name: tensors[name].byte()})
    with pytest.raises(ValueError, match=r"^actual_sel_seq_kvlen: expected \(strict\) a list"):
        device_call(actual_sel_seq_kvlen=None)


@pytest.mark.usefixtures("_strict")
def test_the_devices_calls_of_documents_003_and_004_compile_under_strict() -> None:
    sparse, layer = tensors_of(document_004()), tensors_of(document_003())

    scale, block, layout = document_004().attributes.values()

    def attend(q: Any, k: Any, v: Any, ids: Any, **tensors: torch.Tensor) -> Any:
        found = custom.npu_sparse_flash_attention(
            q, k, v, ids, scale, block, **tensors, layout_kv=layout
        )
        return found * 2

    def front_half(*tensors: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = custom.npu_sparse_attention_pto(*tensors)
        return found * 2

    first = [sparse.pop(n) for n in ("query", "key", "value", "sparse_indices")]
    compiled = torch.compile(attend, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(*first, **sparse), attend(*first, **sparse))
    tamis.npu_compat.enable(weight_format="ND")
    own, eager = [[t.clone() for t in layer.values()] for _ in range(2)]
    compiled = torch.compile(front_half, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(*own), front_half(*eager))
    assert all(torch.equal(a, b) for a, b in zip(own, eager, strict=True))
