"""The backward of the indexer's scores: float64's gradients, PyTorch's checks, compiled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing._internal.optests import aot_autograd_check
from torch.utils.checkpoint import checkpoint
from torch_calls import Spy, arguments, overload
from torch_cases import indexer_case

import tamis.torch
from tamis.case import Case

assert tamis.torch.__name__ == "tamis.torch"
OP = "lightning_indexer"
BOUNDS = {torch.bfloat16: 2**-8, torch.float16: 2**-11, torch.float32: 1e-5}
NAMES = ("query", "key", "weights")
# Sequences of query tokens and keys; some tokens see fewer keys than are selected, some none.
QUERIES, KEYS, HEADS, DIM, COUNT = (3, 40, 9), (25, 61, 5), 5, 24, 12


def made(dtype: torch.dtype, weights: torch.dtype | None = None) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(9)
    shapes = {
        "query": (sum(QUERIES) + 2, HEADS, DIM),
        "key": (sum(KEYS), 1, DIM),
        "weights": (sum(QUERIES) + 2, HEADS),
    }
    tensors = {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}
    tensors["weights"] = tensors["weights"].to(weights or dtype)
    return {n: t.requires_grad_() for n, t in tensors.items()}


def attributes(mode: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "actual_seq_lengths_query": torch.tensor(QUERIES).cumsum(0),
        "actual_seq_lengths_key": torch.tensor(KEYS).cumsum(0),
        "layout_query": "TND",
        "layout_key": "TND",
        "sparse_count": COUNT,
        "sparse_mode": mode,
        "return_value": True,
        **more,
    }


def scores(tensors: dict[str, Tensor], indices: Tensor) -> Tensor:
    """In float64, of the positions that were selected; 0 in other slots."""
    sequence = torch.repeat_interleave(torch.arange(len(QUERIES)), torch.tensor(QUERIES))
    first = torch.tensor([0, *KEYS]).cumsum(0)[sequence]
    rows = indices[: len(sequence), 0].long()
    keys = tensors["key"][(rows.clamp(min=0) + first[:, None]), 0]
    query, weights = (tensors[name][: len(sequence)] for name in ("query", "weights"))
    found = torch.einsum("tg,tgj->tj", weights, torch.einsum("tgd,tjd->tgj", query, keys).relu())
    found = torch.where(rows < 0, 0, found)
    return torch.nn.functional.pad(found, (0, 0, 0, len(indices) - len(found)))[:, None]


@pytest.mark.parametrize("mode", [0, 3])
@pytest.mark.parametrize("values", ["input", "float32"])
@pytest.mark.parametrize("weights", [None, torch.float32])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_gradients_are_those_of_the_formula(
    dtype: torch.dtype, weights: torch.dtype | None, values: str, mode: int
) -> None:
    tensors = made(dtype, weights)
    indices, found = overload(OP)(**tensors, **attributes(mode, value_dtype=values))
    assert not indices.requires_grad
    wide = {name: t.detach().double().requires_grad_() for name, t in tensors.items()}
    expected = scores(wide, indices)
    shown = indices >= 0
    assert shown.any()
    assert not shown.all()
    largest = expected.abs().max()
    bound = BOUNDS[found.dtype] * largest
    assert (found.double() - expected)[shown].abs().max() <= bound
    grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(3)).to(found.dtype)
    wanted = torch.autograd.grad(expected, list(wide.values()), grad.double() * shown)
    # Slots that hold no position are not read.
    grad = grad.masked_fill(~shown, torch.nan)
    got = torch.autograd.grad(found, list(tensors.values()), grad)
    for name, one, other in zip(NAMES, got, wanted, strict=True):
        assert (one.dtype, one.shape) == (tensors[name].dtype, tensors[name].shape), name
        assert one.is_contiguous(), name
        difference = (one.double() - other).abs().max()
        assert difference <= BOUNDS[one.dtype] * other.abs().max(), name


@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_pytorchs_own_checks_pass_where_gradients_are_wanted(layout: str) -> None:
    case = indexer_case(layout, layout, return_value=True)
    for name in NAMES:
        case.tensors[name].requires_grad_()
    positional, named = arguments(case)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    outcome = torch.library.opcheck(overload(OP), positional, named, test_utils=checks)
    assert outcome == dict.fromkeys(checks, "SUCCESS")

    # The fourth adds all results up in place, in the dtype of the first: integers come last.
    def reversed_results(*given: Any, **more: Any) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = overload(OP)(*given, **more)[::-1]
        return found

    aot_autograd_check(reversed_results, positional, named, dynamic=True)


def layer(query: Tensor, key: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    indices, values = torch.ops.tamis.lightning_indexer(
        2 * query, key, weights, sparse_count=16, return_value=True
    )
    return indices, torch.where(indices < 0, 0, values).float().square().sum()


def layer_tensors(length: int) -> list[Tensor]:
    shapes = ((1, length, HEADS, DIM), (1, length, 1, DIM), (1, length, HEADS))
    return [torch.randn(shape).bfloat16().requires_grad_() for shape in shapes]


def test_a_compiled_model_has_the_bits_of_an_eager_one_forward_and_backward() -> None:
    compiled = torch.compile(layer, fullgraph=True, dynamic=True)
    for length in (70, 90, 131):
        tensors = layer_tensors(length)
        found, expected = compiled(*tensors), layer(*tensors)
        assert torch.equal(found[0], expected[0])
        for one, other in zip(
            torch.autograd.grad(found[1], tensors),
            torch.autograd.grad(expected[1], tensors),
            strict=True,
        ):
            assert torch.equal(one, other)


def test_a_checkpoint_gives_the_same_bits() -> None:
    tensors = layer_tensors(50)
    expected = torch.autograd.grad(layer(*tensors)[1], tensors)
    found = checkpoint(layer, *tensors, use_reentrant=False)
    for one, other in zip(torch.autograd.grad(found[1], tensors), expected, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("wanted", NAMES)
def test_a_gradient_that_nobody_wants_is_not_computed(wanted: str) -> None:
    whole = made(torch.bfloat16)
    values = overload(OP)(**whole, **attributes())[1]
    grad = torch.ones_like(values)
    expected = dict(
        zip(NAMES, torch.autograd.grad(values, list(whole.values()), grad), strict=True)
    )
    tensors = {n: t.detach().requires_grad_(n == wanted) for n, t in whole.items()}
    with Spy(f"{OP}_grad") as spy:
        overload(OP)(**tensors, **attributes())[1].backward(grad)
    (call,) = spy.calls
    assert {n for n in NAMES if call.get(f"return_{n}_grad", True)} == {wanted}
    assert torch.equal(tensors[wanted].grad, expected[wanted])


def test_a_selection_alone_asks_for_no_gradient() -> None:
    """Whatever its keys are made of: there is nothing to differentiate."""
    for key in ("BSND", "PA_BSND"):
        case = indexer_case("BSND", key)
        expected = overload(OP)(**case.tensors, **case.attributes)[0]
        for name in NAMES:
            case.tensors[name].requires_grad_()
        found = overload(OP)(**case.tensors, **case.attributes)
        assert torch.equal(found[0], expected)
        assert not any(t.requires_grad for t in found)


def test_a_shadow_and_pruning_change_no_gradient() -> None:
    tensors = made(torch.bfloat16)
    shadow = torch.ops.tamis.quantize_index_keys(tensors["key"].detach(), layout_key="TND")
    found = []
    for more in ({"pruning": "off"}, {"pruning": "on", "key_shadow": shadow}):
        values = overload(OP)(**tensors, **attributes(**more))[1]
        grad = torch.ones_like(values)
        found.append(torch.autograd.grad(values, list(tensors.values()), grad))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_pages_have_no_gradient() -> None:
    case: Case = indexer_case("BSND", "PA_BSND", return_value=True)
    plain = dict(case.tensors)
    case.tensors["query"] = case.tensors["query"].clone().requires_grad_()
    with pytest.raises(NotImplementedError) as caught:
        overload(OP)(**case.tensors, **case.attributes)
    assert str(caught.value) == (
        "layout_key: expected BSND or TND where a gradient is wanted (lightning_indexer_grad takes "
        "no other: call it under torch.no_grad() or pass .detach()), got PA_BSND"
    )
    overload(OP)(**plain, **case.attributes)
