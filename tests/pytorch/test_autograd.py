"""Backwards of torch.ops.tamis: float64's gradients, PyTorch's own checks, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch_calls import arguments, overload
from window_formula import Window, formula

import tamis
import tamis.torch
from tamis.case import Case
from tamis.torch._autograd import _WITHOUT_EFFECT, Derivative

ops = torch.ops.tamis
BOUNDS = {torch.bfloat16: 2**-8, torch.float16: 2**-11, torch.float32: 1e-5}
NAMES = ("query", "key", "value")


def attend(tensors: dict[str, Tensor], window: Window) -> Any:
    return ops.sliding_window_attention(**tensors, **window.arguments())


def inputs(window: Window, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """Tensors that require grad."""
    made = window.random(dtype)
    return {name: tensor.requires_grad_() for name, tensor in made.items()}


def gradients(tensors: dict[str, Tensor], window: Window, grad: Tensor) -> dict[str, Tensor]:
    out = attend(tensors, window)[0]
    found = torch.autograd.grad(out, list(tensors.values()), grad.to(out.dtype))
    return dict(zip(tensors, found, strict=True))


def squares(window: Window) -> Any:
    """A loss of the operator, of plain tensors."""

    def loss(*tensors: Tensor) -> Tensor:
        out = attend(dict(zip(NAMES, tensors, strict=True)), window)[0]
        total: Tensor = out.float().square().sum()
        return total

    return loss


class Spy(TorchDispatchMode):
    """The calls of one operator of Tamis meanwhile: their attributes."""

    def __init__(self, op: str) -> None:
        super().__init__()
        self.op = op
        self.calls: list[dict[str, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Notes the call, and makes it."""
        if func is overload(self.op):
            self.calls.append(dict(kwargs or {}))
        return func(*args, **(kwargs or {}))


# --- numbers ------------------------------------------------------------------------------------


RAGGED = Window("TND", queries=[3, 40, 0, 1], keys=[25, 61, 9, 5])
CALLS = {
    "packed, as many keys as tokens": Window("TND", [70], [70]),
    "packed, ragged": RAGGED,
    "packed, a part of the rows": Window("TND", [12, 7], [30, 7], padding=5),
    "padded": Window("BSND", [30, 30], [50, 50]),
    "padded, ragged": Window("BSND", [3, 40, 0], [25, 61, 9]),
    "keys hidden": Window("TND", [40, 9], [60, 80], starts=[13, 75], limited=True),
    "keys hidden, padded": Window("BSND", [40, 9], [60, 80], starts=[13], limited=True),
    "one head of keys": Window("TND", [33, 5], [80, 5], heads=(5, 1), dims=(48, 17)),
}


@pytest.mark.parametrize("size", [0, 1, 7, 64, 1000])
@pytest.mark.parametrize("label", CALLS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_gradients_are_those_of_the_formula(dtype: torch.dtype, label: str, size: int) -> None:
    window = CALLS[label].of_size(size)
    tensors = inputs(window, dtype)
    wide = {name: t.detach().double().requires_grad_() for name, t in tensors.items()}
    expected_out = formula(wide, window)
    torch.manual_seed(5)
    grad = torch.randn(expected_out.shape).to(dtype)
    expected = torch.autograd.grad(expected_out, list(wide.values()), grad.double())
    found = gradients(tensors, window, grad)
    for (name, value), wanted in zip(found.items(), expected, strict=True):
        assert value.dtype == dtype, name
        assert value.shape == tensors[name].shape, name
        assert value.is_contiguous(), name
        largest = wanted.abs().max().item()
        assert (value.double() - wanted).abs().max().item() <= BOUNDS[dtype] * largest, name


def test_the_formula_is_what_it_says() -> None:
    window = Window("TND", [3, 2], [5, 4], heads=(4, 2), dims=(3, 2), limited=True).of_size(3)
    tensors = {n: t.double().requires_grad_() for n, t in window.random(torch.float64).items()}
    assert torch.autograd.gradcheck(
        lambda *given: formula(dict(zip(NAMES, given, strict=True)), window),
        tuple(tensors.values()),
    )


@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_any_strides_of_what_comes_back_give_the_same_bits(layout: str) -> None:
    window = Window(layout, [20, 20], [20, 20]).of_size(9)
    tensors = inputs(window)
    shape = attend(tensors, window)[0].shape
    torch.manual_seed(6)
    turned = torch.randn(shape[::-1]).bfloat16().permute(*reversed(range(len(shape))))
    strided = torch.randn(*shape, 2).bfloat16()[..., 1]
    expanded = torch.randn(shape[-1]).bfloat16().expand(shape)
    for grad in (turned, strided, expanded, torch.ones(()).bfloat16().expand(shape)):
        assert not grad.is_contiguous()
        expected = gradients(tensors, window, grad.contiguous())
        found = gradients(tensors, window, grad)
        assert all(torch.equal(found[name], expected[name]) for name in NAMES)


# --- PyTorch ------------------------------------------------------------------------------------


def pairs() -> list[tuple[str, str]]:
    """Every forward and its gradient operator."""
    found = [(tamis.describe(op)["gradient_of"], op) for op in tamis.operators()]
    return [(forward, op) for forward, op in found if forward is not None]


@pytest.mark.parametrize(("forward", "gradient"), pairs())
def test_every_operator_that_has_a_gradient_has_a_backward(forward: str, gradient: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "pytorch.md"
    assert f"| `{forward}` | `{gradient}` |" in page.read_text()
    for op in (forward, gradient):
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"tamis::{op}", "Autograd")
    derivative = Derivative(tamis.describe(forward), tamis.describe(gradient))
    schema = overload(forward)._schema
    assert list(derivative.inputs) == [a.name for a in schema.arguments if not a.kwarg_only]
    assert list(derivative.outputs) == [a.name for a in schema.returns]


@pytest.mark.parametrize("label", CALLS)
def test_pytorchs_own_checks_pass_where_gradients_are_wanted(label: str) -> None:
    window = CALLS[label].of_size(9)
    case = Case("sliding_window_attention", inputs(window), window.arguments())
    case.tensors |= {n: t for n, t in case.attributes.items() if isinstance(t, Tensor)}
    case.attributes = {n: v for n, v in case.attributes.items() if n not in case.tensors}
    positional, named = arguments(case)
    outcome = torch.library.opcheck(overload(case.op), positional, named)
    assert outcome == dict.fromkeys(
        (
            "test_schema",
            "test_autograd_registration",
            "test_faketensor",
            "test_aot_dispatch_dynamic",
        ),
        "SUCCESS",
    )


def test_a_compiled_model_has_the_bits_of_an_eager_one_forward_and_backward() -> None:
    how = {"scale_value": 0.25, "window_size": 20}

    def layer(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        out, _, total = ops.sliding_window_attention(2 * query, key, value, **how)
        return -out, total

    compiled = torch.compile(layer, fullgraph=True, dynamic=True)
    for length in (70, 90, 131):
        tensors = list(inputs(Window("BSND", [length], [length])).values())
        found, expected = compiled(*tensors), layer(*tensors)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])
        assert found[0].requires_grad
        assert not found[1].requires_grad
        grad = torch.randn_like(expected[0])
        for one, other in zip(
            torch.autograd.grad(found[0], tensors, grad),
            torch.autograd.grad(expected[0], tensors, grad),
            strict=True,
        ):
            assert torch.equal(one, other)


def test_a_checkpoint_gives_the_same_bits() -> None:
    window = RAGGED.of_size(9)
    tensors = list(inputs(window).values())
    loss = squares(window)
    expected = torch.autograd.grad(loss(*tensors), tensors)
    found = torch.autograd.grad(checkpoint(loss, *tensors, use_reentrant=False), tensors)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("wanted", [("query",), ("key",), ("value",), ("query", "value"), NAMES])
def test_a_gradient_that_nobody_wants_is_not_computed(wanted: tuple[str, ...]) -> None:
    window = RAGGED.of_size(9)
    whole = inputs(window)
    grad = torch.ones_like(attend(whole, window)[0])
    expected = gradients(whole, window, grad)
    tensors = {n: t.detach().requires_grad_(n in wanted) for n, t in whole.items()}
    with Spy("sliding_window_attention_grad") as spy:
        attend(tensors, window)[0].backward(grad)
    (call,) = spy.calls
    assert {n for n in NAMES if call.get(f"return_{n}_grad", True)} == set(wanted)
    for name, tensor in tensors.items():
        assert tensor.grad is None or torch.equal(tensor.grad, expected[name])
        assert (tensor.grad is not None) == (name in wanted)


def test_nothing_comes_back_where_nothing_comes_in() -> None:
    forward, gradient = "sliding_window_attention", "sliding_window_attention_grad"
    derivative = Derivative(tamis.describe(forward), tamis.describe(gradient))
    ctx = SimpleNamespace(needs_input_grad=(True, True, False))
    with Spy(gradient) as spy:
        assert derivative.backward(ctx, None, None, None) == (None, None, None)
    assert spy.calls == []


def test_statistics_do_not_require_grad() -> None:
    window = RAGGED.of_size(9)
    out, top, total = attend(inputs(window), window)
    assert out.requires_grad
    assert not top.requires_grad
    assert not total.requires_grad


def test_what_the_gradient_takes_is_kept_and_nothing_else() -> None:
    window = CALLS["keys hidden"].of_size(9)
    given = window.arguments()
    kept: list[Tensor] = []
    unpacked: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    def unpack(tensor: Tensor) -> Tensor:
        unpacked.append(tensor)
        return tensor

    tensors = inputs(window)
    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        out, top, total = ops.sliding_window_attention(**tensors, **given)
    lists = ("actual_seq_lengths_query", "actual_seq_lengths_kv", "key_starts", "key_limits")
    expected = [*tensors.values(), *(given[name] for name in lists), top, total]
    assert [t.data_ptr() for t in kept] == [t.data_ptr() for t in expected]
    out.sum().backward()
    assert len(unpacked) == len(kept)  # each once: a checkpoint has it no second time


def test_a_backward_may_be_recorded_and_has_no_backward() -> None:
    window = RAGGED.of_size(9)
    tensors = list(inputs(window).values())
    expected = torch.autograd.grad(squares(window)(*tensors), tensors)
    found = torch.autograd.grad(squares(window)(*tensors), tensors, create_graph=True)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    with pytest.raises(
        NotImplementedError,
        match=r"^sliding_window_attention_grad: expected to be differentiated no further \(.*\), "
        "got a second backward$",
    ):
        found[0].float().sum().backward()


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_without_gradients_a_call_is_what_it_was(off: Any) -> None:
    window = RAGGED.of_size(9)
    tensors = inputs(window)
    expected = attend({n: t.detach() for n, t in tensors.items()}, window)
    before = tamis.torch.plan_counts()
    with off(), Spy("sliding_window_attention") as spy:
        found = attend(tensors, window)
    after = tamis.torch.plan_counts()
    assert len(spy.calls) == 1
    assert (after.made, after.renewed, after.reused) == (
        before.made,
        before.renewed,
        before.reused + 1,
    )
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
        assert not one.requires_grad


def test_a_step_plans_forward_and_backward_once_for_layers_that_are_alike() -> None:
    window = RAGGED.of_size(9)
    tensors = list(inputs(window).values())
    torch.autograd.grad(squares(window)(*tensors), tensors)
    before = tamis.torch.plan_counts()
    torch.autograd.grad(sum(squares(window)(*tensors) for _ in range(3)), tensors)
    after = tamis.torch.plan_counts()
    assert after.made == before.made
    assert after.renewed == before.renewed
    assert after.reused == before.reused + 6


# --- what is refused ----------------------------------------------------------------------------


def refused(match: str, tensors: dict[str, Tensor], **changes: Any) -> None:
    """One line, where gradients are wanted; the call itself is fine."""
    how = {"scale_value": 0.25, "window_size": 5} | changes
    call = ops.sliding_window_attention
    with torch.no_grad():
        call(**tensors, **how)
    with pytest.raises(NotImplementedError, match=match) as caught:
        call(**tensors, **how)
    assert "\n" not in str(caught.value)
    call(**{name: tensor.detach() for name, tensor in tensors.items()}, **how)


WAY_OUT = r"where a gradient is wanted \(sliding_window_attention_grad takes no other: call it "
WAY_OUT += r"under torch\.no_grad\(\) or pass \.detach\(\)\)"


def test_outputs_of_another_dtype_have_no_gradient() -> None:
    tensors = inputs(Window("BSND", [6], [6]))
    refused(f"^out_dtype: expected input {WAY_OUT}, got float32$", tensors, out_dtype="float32")


def test_pages_have_no_gradient() -> None:
    window = Window("BSND", [6, 6], [32, 32])
    pages = {
        "block_table": torch.tensor([[0], [1]], dtype=torch.int32),
        "actual_seq_lengths_kv": torch.tensor([30, 20]),
        "layout_kv": "PA_BSND",
    }
    refused(f"^layout_kv: expected BSND or TND {WAY_OUT}, got PA_BSND$", inputs(window), **pages)


NO_GRADIENT = r"^query: expected a tensor without gradient \(.*\), got one that requires grad$"


def test_ways_without_a_backward_say_which_has_one() -> None:
    window = Window("BSND", [6], [6])
    how: dict[str, Any] = {"scale_value": 0.25, "window_size": 5}
    tensors = inputs(window)
    plain = {name: tensor.detach() for name, tensor in tensors.items()}
    results = ops.sliding_window_attention(**plain, **how)
    out = dict(zip(("attention_out", "softmax_max", "softmax_sum"), results, strict=True))
    plan = tamis.torch.plan("sliding_window_attention", **plain, **how)
    calls: dict[str, Any] = {
        "tamis.torch gives a backward to torch.ops.tamis.sliding_window_attention, not to this": (
            lambda **given: ops.sliding_window_attention.out(**given, **out, **how)
        ),
        "a plan has no backward": lambda **given: plan.run(**given, **out),
        "backwards are those of torch.ops.tamis": (
            lambda **given: tamis.sliding_window_attention(**given, **how)
        ),
    }
    for says, call in calls.items():
        with pytest.raises(RuntimeError, match=NO_GRADIENT) as caught:
            call(**tensors)
        assert says in str(caught.value)
        call(**plain)


def test_graphs_refuse_as_calls_do() -> None:
    tensors = inputs(Window("BSND", [6], [6]))
    how = {"scale_value": 0.25, "window_size": 5, "out_dtype": "float32"}

    def call(**given: Tensor) -> Any:
        return ops.sliding_window_attention(**given, **how)

    with pytest.raises(RuntimeError, match="out_dtype: expected input where a gradient is wanted"):
        torch.compile(call, fullgraph=True)(**tensors)


# --- from contracts of any operator -------------------------------------------------------------


def field(name: str, role: str, **more: Any) -> dict[str, Any]:
    tensor = {"type": "tensor", "wanted_by": None, "gradient_of": None}
    attribute = {"type": "choice", "required": False}
    return {"name": name, "role": role} | (attribute if role == "attribute" else tensor) | more


FORWARD = {
    "name": "f",
    "arguments": [
        field("x", "input"),
        field("mask", "optional_input"),
        field("ids", "input"),
        field("topk_mask", "optional_input"),
        field("pages", "optional_input"),
        field("size", "attribute", type="int", required=True),
        field("stride", "attribute", type="int", required=True),
        field("kind", "attribute", default="a", choices=["a", "b", "c"]),
        field("format", "attribute", default="plain", choices=["plain", "bytes"]),
        field("lengths", "attribute", type="ints", default=None),
        field("accuracy", "attribute", default="storage", choices=["storage", "fp32"]),
        field("return_sums", "attribute", type="bool", default=False),
        field("return_blocks", "attribute", type="bool", default=False),
        field("out", "output"),
        field("blocks", "optional_output", wanted_by="return_blocks"),
        field("sums", "optional_output", wanted_by="return_sums"),
    ],
}
GRADIENT = {
    "name": "f_grad",
    "arguments": [
        field("x", "input"),
        field("ids", "input"),
        field("out_grad", "input", gradient_of="out"),
        field("sums", "input"),
        field("mask", "optional_input"),
        field("out", "optional_input"),
        field("size", "attribute", type="int", required=True),
        field("kind", "attribute", default="a", choices=["a", "b"]),
        field("x_grad", "output", gradient_of="x"),
    ],
}
FINE = {
    "size": 2,
    "stride": 3,
    "kind": "b",
    "format": "plain",
    "lengths": None,
    "accuracy": "fp32",
    "return_sums": True,
    "return_blocks": True,
}


def test_contracts_say_what_is_kept() -> None:
    derivative = Derivative(FORWARD, GRADIENT)
    assert derivative.inputs == ("x", "ids", "mask", "topk_mask", "pages")
    assert derivative.outputs == ("out", "blocks", "sums")
    assert derivative.saved == ("x", "ids", "mask", "sums")  # not out, which it can do without


def test_contracts_say_what_is_refused() -> None:
    derivative = Derivative(FORWARD, GRADIENT)
    tensors = dict.fromkeys(derivative.inputs) | {n: torch.ones(2) for n in ("x", "topk_mask")}
    derivative.check(tensors, FINE, ["x"])
    pages = tensors | {"pages": torch.ones(2)}
    for name, given, attributes, expected, got in (
        ("kind", tensors, {"kind": "c"}, "a or b", "c"),
        ("format", tensors, {"format": "bytes"}, "plain", "bytes"),
        ("lengths", tensors, {"lengths": [2]}, "none", "[2]"),
        ("return_sums", tensors, {"return_sums": False}, "True", "False"),
        ("pages", pages, {}, "none", "a tensor"),
    ):
        with pytest.raises(NotImplementedError) as caught:
            derivative.check(given, FINE | attributes, ["x"])
        assert str(caught.value) == (
            f"{name}: expected {expected} where a gradient is wanted (f_grad takes no other: call "
            f"it under torch.no_grad() or pass .detach()), got {got}"
        )
    with pytest.raises(NotImplementedError) as caught:
        derivative.check(tensors, FINE, ["x", "topk_mask"])
    assert str(caught.value) == (
        "topk_mask: expected a tensor without gradient (f_grad gives none for it: pass .detach()), "
        "got one that requires grad"
    )


def test_arguments_without_effect_on_a_gradient_are_some_operators() -> None:
    names = {a["name"] for op in tamis.operators() for a in tamis.describe(op)["arguments"]}
    assert names >= _WITHOUT_EFFECT
