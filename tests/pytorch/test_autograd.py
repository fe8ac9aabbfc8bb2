"""Backwards of torch.ops.tamis: float64's gradients, and PyTorch's own checks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from attention_formulas import Call, Compress, Compressed, Listed, Selected, Window, weigh
from autograd_calls import gradients, inputs, outputs, squares
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch_calls import Spy, arguments, overload

import tamis
import tamis.torch
from tamis.case import Case
from tamis.nn import mla_sparse_attention
from tamis.torch._autograd import Derivative

ops = torch.ops.tamis
BOUNDS = {torch.bfloat16: 2**-8, torch.float16: 2**-11, torch.float32: 1e-5}
NAMES = ("query", "key", "value")


# --- numbers ------------------------------------------------------------------------------------


RAGGED = Window("TND", queries=[3, 40, 0, 1], keys=[25, 61, 9, 5])
WINDOWS = {
    "packed, as many keys as tokens": Window("TND", [70], [70]),
    "packed, ragged": RAGGED,
    "packed, a part of the rows": Window("TND", [12, 7], [30, 7], padding=5),
    "padded": Window("BSND", [30, 30], [50, 50]),
    "padded, ragged": Window("BSND", [3, 40, 0], [25, 61, 9]),
    "keys hidden": Window("TND", [40, 9], [60, 80], starts=[13, 75], limited=True),
    "keys hidden, padded": Window("BSND", [40, 9], [60, 80], starts=[13], limited=True),
    "one head of keys": Window("TND", [33, 5], [80, 5], heads=(5, 1), dims=(48, 17)),
}


QUERIES, KEYS = [3, 40, 0, 9], [25, 61, 9, 5]
SELECTED = {
    **{f"sparse_mode {mode}": Selected(QUERIES, KEYS, mode) for mode in (0, 2, 3)},
    "as many keys as tokens": Selected([70], [70], block=8, slots=9),
    "large blocks, one head of keys": Selected(
        [33, 5], [80, 5], 3, block=64, slots=2, heads=(5, 1), dims=(48, 17)
    ),
    "many heads": Selected([20], [70], 3, block=16, heads=(32, 2)),
    "lists of nothing": Selected([4], [9], slots=0),
}
COMPRESSED = {
    "all keys": Compressed(QUERIES, KEYS),
    "a mask, mean rows": Compressed(QUERIES, KEYS, masked=True),
    "a mask, zero rows": Compressed(QUERIES, KEYS, masked=True, masked_rows="zero"),
    "causal, mean rows": Compressed([70], [16], causal=True),
    "causal, zero rows": Compressed([70, 3], [16, 0], causal=True, masked_rows="zero"),
    "causal by raw tokens": Compressed([3, 40], [24, 61], causal=True, raw=[100, 120]),
    "limits": Compressed(QUERIES, KEYS, limited=True),
    "hidden in every way": Compressed(
        QUERIES, KEYS, masked=True, causal=True, raw=[90, 120, 0, 30], limited=True
    ),
    "one head of keys": Compressed([33, 5], [80, 5], limited=True, heads=(5, 1), dims=(48, 17)),
}
LISTED = {
    "ropes": Listed("TND", QUERIES, KEYS),
    "no ropes, all keys": Listed("TND", QUERIES, KEYS, mode=0, dims=(40, 0)),
    "values of their own": Listed("TND", QUERIES, KEYS, valued=True, padding=4),
    "sinks, hidden keys": Listed(
        "TND", QUERIES, KEYS, starts=[3, 9, 9, 0], limited=True, sinks=True
    ),
    "blocks, all tensors": Listed("TND", [40, 9], [60, 80], block=7, valued=True, sinks=True),
    "padded": Listed("BSND", [3, 40, 0], [25, 61, 9], sinks=True, block=3),
    "padded, hidden keys": Listed("BSND", [40, 9], [60, 80], starts=[13], limited=True, mode=0),
    "one head, wide": Listed("TND", [33, 5], [80, 5], heads=1, dims=(200, 20)),
    "lists of nothing": Listed("TND", [4], [9], slots=0, sinks=True),
}
COMPRESS = {
    "ragged": Compress([70, 3, 41, 0, 8, 7]),
    "every stride of its own": Compress([64, 20], sizes=(16, 16), heads=3),
    "each token": Compress([30], sizes=(5, 1), dim=7),
}
# Sizes of windows below and above the lengths.
CALLS: dict[str, Call] = {
    **{
        f"window of {size}, {label}": window.of_size(size)
        for label, window in WINDOWS.items()
        for size in (0, 1, 7, 64, 1000)
    },
    **{f"selected, {label}": call for label, call in SELECTED.items()},
    **{f"compressed, {label}": call for label, call in COMPRESSED.items()},
    **{f"compress, {label}": call for label, call in COMPRESS.items()},
    **{f"listed, {label}": call for label, call in LISTED.items()},
}
# One call of every operator.
ONES: list[Call] = [
    RAGGED.of_size(9),
    Selected(QUERIES, KEYS, 3),
    Compressed(QUERIES, KEYS, masked=True),
    Compress([70, 3, 41]),
    Listed("TND", QUERIES, KEYS, block=3, valued=True, sinks=True),
]
of_every_operator = pytest.mark.parametrize("call", ONES, ids=lambda call: call.op)


@pytest.mark.parametrize("label", CALLS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_gradients_are_those_of_the_formula(dtype: torch.dtype, label: str) -> None:
    call = CALLS[label]
    tensors = inputs(call, dtype)
    wide = {name: t.detach().double().requires_grad_() for name, t in tensors.items()}
    expected_out = call.formula(wide)
    torch.manual_seed(5)
    grad = torch.randn(expected_out.shape).to(dtype)
    expected = torch.autograd.grad(expected_out, list(wide.values()), grad.double())
    found = gradients(tensors, call, grad)
    for (name, value), wanted in zip(found.items(), expected, strict=True):
        assert value.dtype == tensors[name].dtype, name
        assert value.shape == tensors[name].shape, name
        assert value.is_contiguous(), name
        largest = wanted.abs().max().item()
        assert (value.double() - wanted).abs().max().item() <= BOUNDS[value.dtype] * largest, name


SMALL: list[Call] = [
    Window("TND", [3, 2], [5, 4], heads=(4, 2), dims=(3, 2), limited=True).of_size(3),
    Selected([6, 2], [5, 7], block=2, slots=4, heads=(2, 1), dims=(3, 2)),
    Compressed([8, 2], [5, 4], masked=True, limited=True, heads=(2, 1), dims=(3, 2)),
    Compress([9, 3], dim=2, sizes=(4, 2)),
    Listed("TND", [3, 2], [5, 4], limited=True, slots=5, heads=2, dims=(3, 2), sinks=True),
]


@pytest.mark.parametrize("call", SMALL, ids=lambda call: call.op)
def test_the_formula_is_what_it_says(call: Call) -> None:
    """Its gradients are its differences, and its values are the operator's."""
    tensors = call.random(torch.float32)
    out = outputs(tensors, call)[0]
    wide = {name: t.double().requires_grad_() for name, t in tensors.items()}
    assert torch.allclose(out.double(), call.formula(wide), atol=1e-5)

    def function(*given: Tensor) -> Tensor:
        return call.formula(dict(zip(tensors, given, strict=True)))

    assert torch.autograd.gradcheck(function, tuple(wide.values()))


def test_lists_have_blocks_twice_blocks_of_the_future_and_early_ends() -> None:
    call = Selected(QUERIES, KEYS, 3)
    ids, seen = call.ids(), call.seen(1)
    assert (seen > 1).any()
    assert (ids.long() * call.block >= max(KEYS)).any()
    first, inside = ids[:, :, 0] < 0, (ids[:, :, :-1] < 0) & (ids[:, :, 1:] >= 0)
    assert first.any()
    assert (inside[:, :, 1:].any(-1) & ~first).any()
    assert (seen.sum((1, 2)) == 0).any()


def test_lists_of_keys_have_all_of_that_too() -> None:
    call = LISTED["ropes"]
    ids, seen = call.ids()[:, 0], call.seen(1)
    assert (seen > 1).any()
    assert (ids >= max(KEYS)).any()
    ended = ids < 0
    assert ended[:, 0].any()
    assert (ended.any(-1) & ~ended[:, 0]).any()
    assert (seen.sum((1, 2)) == 0).any()
    assert (seen.sum((0, 1)) == 0).any()


def test_a_key_that_is_its_own_value_has_the_gradient_of_both() -> None:
    call = LISTED["ropes"]
    tensors = inputs(call, torch.float32)
    grad = torch.randn_like(outputs(tensors, call)[0])
    once = gradients(tensors, call, grad)
    out = ops.sparse_flash_attention(**tensors, value=tensors["key"], **call.arguments())[0]
    (twice,) = torch.autograd.grad(out, tensors["key"], grad)
    largest = twice.abs().max().item()
    assert (twice - once["key"]).abs().max().item() <= BOUNDS[torch.float32] * largest


@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_any_strides_of_what_comes_back_give_the_same_bits(layout: str) -> None:
    window = Window(layout, [20, 20], [20, 20]).of_size(9)
    tensors = inputs(window)
    shape = outputs(tensors, window)[0].shape
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


CHECKED: dict[str, Call] = {
    **{f"window, {label}": window.of_size(9) for label, window in WINDOWS.items()},
    **{f"selected, mode {mode}": SELECTED[f"sparse_mode {mode}"] for mode in (0, 2, 3)},
    **{
        f"compressed, {label}": COMPRESSED[label]
        for label in ("all keys", "a mask, zero rows", "hidden in every way")
    },
    "compress": COMPRESS["ragged"],
    **{f"listed, {label}": call for label, call in LISTED.items() if label != "lists of nothing"},
}


@pytest.mark.parametrize("label", CHECKED)
def test_pytorchs_own_checks_pass_where_gradients_are_wanted(label: str) -> None:
    call = CHECKED[label]
    case = Case(call.op, inputs(call), call.arguments())
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


def window_layer(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    how = {"scale_value": 0.25, "window_size": 20}
    out, _, total = ops.sliding_window_attention(2 * query, key, value, **how)
    return -out, total


def selected_layer(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """All tokens read the first block and one more."""
    length = query.shape[0]
    ids = torch.arange(length, dtype=torch.int32)[:, None, None].expand(-1, 2, 2) // 16 * 4 // 5
    ids = ids * torch.arange(2, dtype=torch.int32)
    out, _, total = ops.nsa_selected_attention(
        2 * query,
        key,
        value,
        ids,
        scale_value=0.25,
        head_num=4,
        select_block_size=16,
        select_block_count=2,
        actual_seq_qlen=[length],
        actual_seq_kvlen=[length],
    )
    return -out, total


def compressed_layer(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    length = query.shape[0]
    out, blocks, _, total, _ = ops.nsa_compress_attention(
        2 * query,
        key,
        value,
        scale_value=0.25,
        head_num=4,
        compress_block_size=8,
        compress_stride=4,
        select_block_size=16,
        select_block_count=2,
        actual_seq_qlen=[length],
        actual_cmp_seq_kvlen=[key.shape[0]],
        causal=True,
    )
    return -out, blocks, total


def compress_layer(x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    sizes = {"compress_block_size": 8, "compress_stride": 4}
    return (-ops.nsa_compress(2 * x, weight, act_seq_len=[x.shape[0]], **sizes),)


def listed_layer(
    query: Tensor, key: Tensor, query_rope: Tensor, key_rope: Tensor, sinks: Tensor
) -> tuple[Tensor, ...]:
    """All tokens read the first keys and some of their last."""
    at = torch.arange(query.shape[1], dtype=torch.int32)[:, None] - 3
    ids = torch.cat([torch.arange(5, dtype=torch.int32).expand(query.shape[1], -1), at], 1)
    out, _, total = ops.sparse_flash_attention(
        2 * query,
        key,
        ids[None, :, None],
        query_rope=query_rope,
        key_rope=key_rope,
        sinks=sinks,
        scale_value=0.25,
        return_softmax_lse=True,
    )
    return -out, total


LAYERS: dict[Any, Any] = {
    window_layer: lambda n: Window("BSND", [n], [n]),
    selected_layer: lambda n: Selected([n], [n]),
    compressed_layer: lambda n: Compressed([n], [n // 4 - 1]),
    compress_layer: lambda n: Compress([n]),
    listed_layer: lambda n: Listed("BSND", [n], [n], sinks=True),
}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_a_compiled_model_has_the_bits_of_an_eager_one_forward_and_backward(layer: Any) -> None:
    compiled = torch.compile(layer, fullgraph=True, dynamic=True)
    for length in (70, 90, 131):
        tensors = list(inputs(LAYERS[layer](length)).values())
        found, expected = compiled(*tensors), layer(*tensors)
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one, other)
            assert one.requires_grad == (one is found[0])
        grad = torch.randn_like(expected[0])
        for one, other in zip(
            torch.autograd.grad(found[0], tensors, grad),
            torch.autograd.grad(expected[0], tensors, grad),
            strict=True,
        ):
            assert torch.equal(one, other)


@of_every_operator
def test_a_checkpoint_gives_the_same_bits(call: Call) -> None:
    tensors = list(inputs(call).values())
    loss = squares(call)
    expected = torch.autograd.grad(loss(*tensors), tensors)
    found = torch.autograd.grad(checkpoint(loss, *tensors, use_reentrant=False), tensors)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@of_every_operator
def test_a_gradient_that_nobody_wants_is_not_computed(call: Call) -> None:
    whole = inputs(call)
    grad = torch.ones_like(outputs(whole, call)[0])
    expected = gradients(whole, call, grad)
    names = list(whole)
    for wanted in (*((name,) for name in names), (names[0], names[-1]), names):
        tensors = {n: t.detach().requires_grad_(n in wanted) for n, t in whole.items()}
        with Spy(f"{call.op}_grad") as spy:
            outputs(tensors, call)[0].backward(grad)
        (made,) = spy.calls
        assert {n for n in names if made.get(f"return_{n}_grad", True)} == set(wanted)
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


@of_every_operator
def test_statistics_and_selections_do_not_require_grad(call: Call) -> None:
    out, *others = outputs(inputs(call), call)
    assert out.requires_grad
    assert not any(tensor.requires_grad for tensor in others)


def test_what_the_gradient_takes_is_kept_and_nothing_else() -> None:
    window = WINDOWS["keys hidden"].of_size(9)
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


@of_every_operator
def test_a_backward_may_be_recorded_and_has_no_backward(call: Call) -> None:
    tensors = list(inputs(call).values())
    loss = squares(call)
    expected = torch.autograd.grad(loss(*tensors), tensors)
    found = torch.autograd.grad(loss(*tensors), tensors, create_graph=True)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    with pytest.raises(
        NotImplementedError,
        match=rf"^{call.op}_grad: expected to be differentiated no further \(.*\), "
        "got a second backward$",
    ):
        found[0].float().sum().backward()


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_without_gradients_a_call_is_what_it_was(off: Any) -> None:
    window = RAGGED.of_size(9)
    tensors = inputs(window)
    expected = outputs({n: t.detach() for n, t in tensors.items()}, window)
    before = tamis.torch.plan_counts()
    with off(), Spy("sliding_window_attention") as spy:
        found = outputs(tensors, window)
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


# --- latents and their up-projection ------------------------------------------------------------


def test_attention_over_latents_has_the_gradients_of_its_formula() -> None:
    """With keys and values that are expanded, in float64."""
    shapes = {
        "query": (2, 5, 3, 4),
        "query_rope": (2, 5, 3, 2),
        "latent": (2, 9, 6),
        "key_rope": (2, 9, 2),
        "up_projection": (3 * (4 + 7), 6),
        "sinks": (3,),
    }
    torch.manual_seed(8)
    tensors = {name: torch.randn(shape).requires_grad_() for name, shape in shapes.items()}
    ids = torch.stack([torch.randperm(9)[:4] for _ in range(10)]).view(2, 5, 4)
    wide = {name: t.detach().double().requires_grad_() for name, t in tensors.items()}
    up = wide["up_projection"].view(3, 11, 6)
    seen = torch.zeros(2, 5, 9).scatter_(2, ids, 1.0).double()
    expected = []
    for b in range(2):
        expanded = torch.einsum("jl,hcl->jhc", wide["latent"][b], up)
        rope = wide["key_rope"][b, :, None].expand(-1, 3, -1)
        key = torch.cat([expanded[..., :4], rope], -1)
        query = torch.cat([wide["query"][b], wide["query_rope"][b]], -1)
        value = expanded[..., 4:]
        expected.append(weigh(query, key, value, seen[b][:, None], 0.3, sinks=wide["sinks"]))
    found = mla_sparse_attention(indices=ids.int(), scale=0.3, **tensors)
    grad = torch.randn_like(found)
    gradients_found = torch.autograd.grad(found, list(tensors.values()), grad)
    wanted = torch.autograd.grad(torch.stack(expected), list(wide.values()), grad.double())
    for name, one, other in zip(tensors, gradients_found, wanted, strict=True):
        assert (one.double() - other).abs().max() <= 1e-5 * other.abs().max(), name
