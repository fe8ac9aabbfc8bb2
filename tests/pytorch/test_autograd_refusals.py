"""What has no backward says so, and what contracts say of backwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attention_formulas import Listed, Window
from autograd_calls import inputs
from torch import Tensor

import tamis
import tamis.torch
from tamis.torch._autograd import _WITHOUT_EFFECT, Derivative

ops = torch.ops.tamis


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


def listed_rows(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The call's keys as rows of bytes."""
    rows = torch.randint(0, 9, (*tensors["key"].shape[:-1], 128 + 2 * 8 + 4)).to(torch.uint8)
    return {"query": tensors["query"], "query_rope": tensors["query_rope"], "key": rows}


LISTED_REFUSALS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "layout_kv": ("BSND or TND", "PA_BSND", {"block_table": torch.tensor([[0]]).int()}),
    "kv_format": ("split", "cann656", {}),
    "return_softmax_lse": ("True", "False", {}),
    "out_dtype": ("input", "float32", {}),
    "compress_ratio": ("1", "2", {}),
    "window_key": ("none", "a tensor", {"window_key_rope": torch.ones(1, 9, 1, 8).bfloat16()}),
}


@pytest.mark.parametrize("name", LISTED_REFUSALS)
def test_lists_of_keys_beyond_the_gradient_are_refused(name: str) -> None:
    expected, got, more = LISTED_REFUSALS[name]
    tensors = inputs(Listed("BSND", [6], [9], dims=(128, 8)))
    if name == "kv_format":
        tensors = listed_rows(tensors)
    given: Any = {"True": True, "False": False, "2": 2}.get(got, got)
    if name == "window_key":
        given = torch.ones(1, 9, 1, 128).bfloat16()
    how = {"return_softmax_lse": True, "actual_seq_lengths_kv": torch.tensor([9])}
    how |= {"scale_value": 0.25, "sparse_indices": torch.ones(1, 6, 1, 2).int()}
    how |= more | {name: given}
    call = ops.sparse_flash_attention
    with torch.no_grad():
        call(**tensors, **how)
    with pytest.raises(NotImplementedError) as caught:
        call(**tensors, **how)
    assert str(caught.value) == (
        f"{name}: expected {expected} where a gradient is wanted (sparse_flash_attention_grad "
        f"takes no other: call it under torch.no_grad() or pass .detach()), got {got}"
    )
    call(**{n: tensor.detach() for n, tensor in tensors.items()}, **how)


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
