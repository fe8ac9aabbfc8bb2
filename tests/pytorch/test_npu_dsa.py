"""Indexer and sparse attention by their names on the device: each is one operator, bit for bit."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
import torch
from python_calls import layer_case, to_library
from torch_calls import accuracies_of
from torch_cases import attention_case, indexer_case

import tamis.npu_compat
from tamis.npu_compat import calls
from tamis.npu_compat.options import options

torch_npu = importlib.import_module("torch_npu")
custom = importlib.import_module("custom")
custom_pypto = importlib.import_module("custom_pypto")

LAYOUTS = (("BSND", "BSND"), ("BSND", "PA_BSND"), ("TND", "TND"), ("TND", "PA_BSND"))


@pytest.fixture(autouse=True)
def _as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for option, value in vars(options).items():
        monkeypatch.setattr(options, option, value)


def equal(one: Any, other: Any) -> bool:
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(one, other, strict=True))


# --- lightning_indexer ----------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "key"), LAYOUTS)
def test_the_native_indexer_gives_positions_and_their_scores(layout: str, key: str) -> None:
    case = indexer_case(layout, key)
    given = {**case.tensors, **case.attributes}
    expected = torch.ops.tamis.lightning_indexer(**given, return_value=True)
    assert equal(torch_npu.npu_lightning_indexer(**given, return_value=True), expected)
    assert expected[1].dtype == torch.bfloat16
    indices, values = torch_npu.npu_lightning_indexer(**given)
    assert torch.equal(indices, expected[0])
    assert (values.shape, values.dtype) == ((0,), torch.bfloat16)
    assert torch.equal(custom.npu_lightning_indexer(**given), expected[0])
    operators = torch.ops.npu.npu_lightning_indexer(**given, return_value=True)
    assert equal(operators, expected)


@pytest.mark.parametrize(("layout", "key"), LAYOUTS)
def test_weights_may_keep_a_last_dimension_of_one(layout: str, key: str) -> None:
    case = indexer_case(layout, key)
    wide = {**case.tensors, **case.attributes, "weights": case.tensors["weights"][..., None]}
    expected = torch.ops.tamis.lightning_indexer(**case.tensors, **case.attributes)[0]
    assert torch.equal(torch_npu.npu_lightning_indexer(**wide)[0], expected)
    assert torch.equal(custom.npu_lightning_indexer(**wide), expected)
    if (layout, key) == ("BSND", "PA_BSND"):
        assert torch.equal(custom_pypto.npu_lightning_indexer_pto(**wide), expected)
    two = {**wide, "weights": wide["weights"].expand(*wide["weights"].shape[:-1], 2)}
    with pytest.raises(ValueError, match=r"^weights: expected shape"):
        custom.npu_lightning_indexer(**two)


def test_the_indexer_of_pypto_reads_all_rows_of_the_query() -> None:
    case = indexer_case("BSND", "PA_BSND")
    expected = torch.ops.tamis.lightning_indexer(**case.tensors, **case.attributes)[0]
    given = {**case.tensors, **case.attributes}
    given["actual_seq_lengths_query"] = torch.tensor([3, 6], dtype=torch.int32)  # prefix sums
    assert torch.equal(custom_pypto.npu_lightning_indexer_pto(**given), expected)
    for name in ("actual_seq_lengths_key", "block_table"):
        with pytest.raises(ValueError, match=rf"^{name}: required, but absent$"):
            custom_pypto.npu_lightning_indexer_pto(**{**given, name: None})
    for name, found in (("layout_query", "TND"), ("layout_key", "BSND")):
        with pytest.raises(ValueError, match=rf"^{name}: expected \w+, got {found}$"):
            custom_pypto.npu_lightning_indexer_pto(**{**given, name: found})


# --- sparse_flash_attention -----------------------------------------------------------------------


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize(("layout", "kv"), LAYOUTS)
def test_the_native_attention_gives_three_results(layout: str, kv: str, statistics: bool) -> None:
    case = attention_case(layout, kv, return_softmax_lse=statistics)
    given = {**case.tensors, **case.attributes, "value": case.tensors["key"].clone()}
    given["sinks"] = torch.tensor([0.5, -1.0, 2.0, 0.0])
    out, *ours = torch.ops.tamis.sparse_flash_attention(**given)
    expected = (out, *ours)
    if statistics:  # the device counts the one key head
        expected = (out, *(values.unsqueeze({"BSND": 1, "TND": 0}[layout]) for values in ours))
    for attention_mode in (0, 2):
        found = torch_npu.npu_sparse_flash_attention(**given, attention_mode=attention_mode)
        assert equal(found, expected)
    assert equal(torch.ops.npu.npu_sparse_flash_attention(**given), expected)
    rows = {"BSND": (2, 1, 3, 4), "TND": (1, 6, 4)}[layout]
    for values in found[1:]:
        assert values.is_contiguous()
        assert (values.shape, values.dtype) == (rows if statistics else (0,), torch.float32)


def test_the_custom_attention_gives_one_result() -> None:
    case = attention_case("TND", "PA_BSND", sparse_block_size=2)
    given = {**case.tensors, **case.attributes, "value": case.tensors["key"]}
    (expected, _, _) = torch.ops.tamis.sparse_flash_attention(**given)
    assert torch.equal(custom.npu_sparse_flash_attention(**given), expected)
    assert torch.equal(torch.ops.custom.npu_sparse_flash_attention(**given), expected)
    assert torch.equal(torch_npu.npu_sparse_flash_attention(**given)[0], expected)


@pytest.mark.parametrize(
    ("argument", "value", "line"),
    [
        ("pre_tokens", 5, "pre_tokens: expected 9223372036854775807, got 5"),
        ("next_tokens", 0, "next_tokens: expected 9223372036854775807, got 0"),
        ("attention_mode", 1, "attention_mode: expected 0 or 2, got 1"),
    ],
)
def test_what_the_device_does_not_take_is_refused(argument: str, value: int, line: str) -> None:
    case = attention_case("BSND", "BSND")
    given = {**case.tensors, **case.attributes, "value": case.tensors["key"], argument: value}
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        torch_npu.npu_sparse_flash_attention(**given)
    if argument != "attention_mode":
        indexer = indexer_case("BSND", "BSND")
        with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
            torch_npu.npu_lightning_indexer(
                **indexer.tensors, **indexer.attributes, **{argument: value}
            )


# --- rows of bytes --------------------------------------------------------------------------------


def antiquant(layout: str, kv: str, **given: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A call over 656-byte rows, as the device has it, and as Tamis has it."""
    case = attention_case(layout, kv)
    key, key_rope = case.tensors.pop("key"), case.tensors.pop("key_rope")
    packed = torch.ops.tamis.pack_kv_rows(key.flatten(0, -2), key_rope.flatten(0, -2))
    rows = packed.view(*key.shape[:-1], -1)
    query, query_rope = case.tensors.pop("query"), case.tensors.pop("query_rope")
    common = {**case.tensors, **case.attributes, "key": rows.view(torch.int8)}
    device = {
        **common,
        "query": torch.cat([query, query_rope], -1),
        "value": rows.view(torch.int8)[..., :128],  # upstream's example gives the latent bytes
        "sparse_block_size": 1,
        "key_quant_mode": 2,
        "value_quant_mode": 2,
        "attention_mode": 2,
        "quant_scale_repo_mode": 1,
        "tile_size": 128,
        "rope_head_dim": 16,
        **given,
    }
    return device, {**common, "query": query, "query_rope": query_rope, "kv_format": "cann656"}


@pytest.mark.parametrize(("layout", "kv"), LAYOUTS)
def test_rows_of_bytes_are_read_as_they_lie(layout: str, kv: str) -> None:
    device, ours = antiquant(layout, kv)
    expected = torch.ops.tamis.sparse_flash_attention(**ours)[0]
    assert torch.equal(custom.npu_sparse_flash_attention_antiquant(**device), expected)
    call = torch.ops.custom.npu_sparse_flash_attention_antiquant
    assert torch.equal(call(**device), expected)
    assert expected.abs().max() > 0.1


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"key_quant_mode": 0}, "key_quant_mode: expected 2, got 0"),
        ({"value_quant_mode": 1}, "value_quant_mode: expected 2, got 1"),
        ({"attention_mode": 0}, "attention_mode: expected 2, got 0"),
        ({"quant_scale_repo_mode": 0}, "quant_scale_repo_mode: expected 1, got 0"),
        ({"tile_size": 64}, "tile_size: expected 128, got 64"),
        (
            {"key_dequant_scale": torch.ones(2, 4)},
            "key_dequant_scale: expected None (scales lie in the rows of key), got float32 [2, 4]",
        ),
        (
            {"value_dequant_scale": torch.ones(3)},
            "value_dequant_scale: expected None (scales lie in the rows of key), got float32 [3]",
        ),
        (
            {"rope_head_dim": 144},
            "rope_head_dim: expected at least 0 and below query's 144 channels, got 144",
        ),
        (
            {"value": torch.zeros(2, 19, 1, 128, dtype=torch.int8)},
            "value: expected rows [2, 20, 1] as key, got [2, 19, 1]",
        ),
    ],
)
def test_other_rows_of_bytes_are_refused(change: dict[str, Any], line: str) -> None:
    device, _ = antiquant("BSND", "BSND", **change)
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        custom.npu_sparse_flash_attention_antiquant(**device)


# --- the gradient ---------------------------------------------------------------------------------


def training_call(layout: str, *, ropes: bool = True) -> dict[str, Any]:
    """A call of the forward whose tensors require grad."""
    case = attention_case(layout, layout, return_softmax_lse=True, sparse_block_size=2)
    given = {**case.tensors, **case.attributes, "value": case.tensors["key"] / 2}
    for name in ("query", "key", "value", "query_rope", "key_rope"):
        given[name] = given[name].requires_grad_()
    return given if ropes else {n: v for n, v in given.items() if not n.endswith("_rope")}


def gradient_call(given: dict[str, Any]) -> dict[str, Any]:
    """The gradient's arguments that the forward has, too, by the gradient's names."""
    renamed = {
        "actual_seq_lengths_query": "actual_seq_qlen",
        "actual_seq_lengths_kv": "actual_seq_kvlen",
        "layout_query": "layout",
    }
    plain = {renamed.get(n, n): v for n, v in given.items()}
    del plain["layout_kv"], plain["return_softmax_lse"]
    return {n: v.detach() if isinstance(v, torch.Tensor) else v for n, v in plain.items()}


@pytest.mark.parametrize("ropes", [True, False])
@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_the_gradient_is_that_of_the_forward(layout: str, ropes: bool) -> None:
    given = training_call(layout, ropes=ropes)
    names = ("query", "key", "value", *(("query_rope", "key_rope") if ropes else ()))
    out, maximum, total = torch_npu.npu_sparse_flash_attention(**given)
    assert not maximum.requires_grad
    grad = torch.randn_like(out)
    expected = list(torch.autograd.grad(out, [given[n] for n in names], grad))
    if not ropes:
        expected += [torch.empty(0, dtype=torch.bfloat16)] * 2
    plain = gradient_call(given)
    statistics = {"softmax_max": maximum, "softmax_sum": total}
    for call in (
        torch_npu.npu_sparse_flash_attention_grad,
        torch.ops.npu.npu_sparse_flash_attention_grad,
    ):
        # The output is not read.
        nothing = torch.full_like(grad, torch.nan)
        assert equal(call(d_out=grad, out=nothing, **statistics, **plain), expected)
        defaults = dict.fromkeys(("sparse_mode", "pre_tokens", "next_tokens", "attention_mode"))
        found = call(d_out=grad, out=nothing, **statistics, **plain, **defaults)
        assert equal(found, expected)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"pre_tokens": 5}, "pre_tokens: expected 9223372036854775807 or None, got 5"),
        ({"attention_mode": 1}, "attention_mode: expected 0 or 2 or None, got 1"),
        ({"layout": "PA_BSND"}, "layout: expected BSND or TND, got PA_BSND"),
        (
            {"softmax_sum": torch.ones(2, 3, 4)},
            "softmax_sum: expected shape [B, 1, S1, N], got [2, 3, 4]",
        ),
        ({"d_out": torch.ones(2, 2, 4, 128).bfloat16()}, "d_out: expected "),
    ],
)
def test_a_gradient_of_something_else_is_refused(change: dict[str, Any], line: str) -> None:
    given = training_call("BSND")
    out, maximum, total = torch_npu.npu_sparse_flash_attention(**given)
    results = {"d_out": out.detach(), "out": out.detach()}
    results |= {"softmax_max": maximum, "softmax_sum": total}
    with pytest.raises(ValueError, match=f"^{re.escape(line)}"):
        torch_npu.npu_sparse_flash_attention_grad(**(gradient_call(given) | results | change))


def test_a_backward_needs_the_statistics() -> None:
    given = training_call("BSND") | {"return_softmax_lse": False}
    with pytest.raises(NotImplementedError, match=r"^return_softmax_lse: expected True where"):
        torch_npu.npu_sparse_flash_attention(**given)


# --- the gradient of the indexer's scores ---------------------------------------------------------


def scores_call(layout: str) -> dict[str, Any]:
    """A call of the forward whose tensors require grad."""
    case = indexer_case(layout, layout, return_value=True)
    for name in ("query", "key", "weights"):
        case.tensors[name].requires_grad_()
    return {**case.tensors, **case.attributes}


def scores_grad_call(given: dict[str, Any]) -> dict[str, Any]:
    """What the gradient takes of it."""
    dropped = ("layout_query", "layout_key", "sparse_count", "return_value")
    taken = {n: v for n, v in given.items() if n not in dropped}
    plain = {n: v.detach() if isinstance(v, torch.Tensor) else v for n, v in taken.items()}
    return plain | {"layout": given["layout_query"]}


@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_the_gradient_of_scores_is_that_of_the_forward(layout: str) -> None:
    given = scores_call(layout)
    indices, values = torch_npu.npu_lightning_indexer(**given)
    assert not indices.requires_grad
    grad = torch.randn_like(values)
    names = ("query", "key", "weights")
    expected = torch.autograd.grad(values, [given[name] for name in names], grad)
    plain = scores_grad_call(given)
    for call in (torch_npu.npu_lightning_indexer_grad, torch.ops.npu.npu_lightning_indexer_grad):
        assert equal(call(dy=grad, sparse_indices=indices, **plain), expected)
        defaults = dict.fromkeys(("sparse_mode", "pre_tokens", "next_tokens"))
        found = call(dy=grad.squeeze(-2), sparse_indices=indices.squeeze(-2), **plain, **defaults)
        assert equal(found, expected)
    kept = plain | {"weights": plain["weights"].unsqueeze(-1)}
    found = torch_npu.npu_lightning_indexer_grad(dy=grad, sparse_indices=indices, **kept)
    assert equal(found, (*expected[:2], expected[2].unsqueeze(-1)))


def test_a_selection_without_scores_trains_nothing() -> None:
    indices, values = torch_npu.npu_lightning_indexer(
        **(scores_call("BSND") | {"return_value": False})
    )
    assert not indices.requires_grad
    assert not values.requires_grad


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"next_tokens": 5}, "next_tokens: expected 9223372036854775807 or None, got 5"),
        ({"layout": "PA_BSND"}, "layout: expected BSND or TND, got PA_BSND"),
        ({"dy": torch.ones(2, 3, 7).bfloat16()}, "dy: expected shape "),
        ({"sparse_mode": 1}, "sparse_mode: expected 0 or 3, got 1"),
    ],
)
def test_a_gradient_of_other_scores_is_refused(change: dict[str, Any], line: str) -> None:
    given = scores_call("BSND")
    indices, values = torch_npu.npu_lightning_indexer(**given)
    call = scores_grad_call(given) | {"dy": values.detach(), "sparse_indices": indices} | change
    with pytest.raises(ValueError, match=f"^{re.escape(line)}"):
        torch_npu.npu_lightning_indexer_grad(**call)


# --- enable ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("accuracy", ["storage", "fp32"])
def test_accuracy_reaches_every_call_that_attends_over_selected_keys(accuracy: str) -> None:
    tamis.npu_compat.enable(accuracy=accuracy, weight_format="ND")
    split = attention_case("BSND", "BSND")
    given = {**split.tensors, **split.attributes, "value": split.tensors["key"]}
    rows, ours = antiquant("BSND", "PA_BSND")
    layer = {n: to_library("torch", t) for n, t in layer_case("bfloat16").tensors.items()}
    pairs = (
        (torch_npu.npu_sparse_flash_attention, given),
        (custom.npu_sparse_flash_attention, {**given, "sparse_block_size": 1}),
        (custom.npu_sparse_flash_attention_antiquant, rows),
        # What these two names run: as operators they are opaque.
        (calls.call("custom", "npu_sparse_attention_pto"), layer),
        (calls.call("custom_pypto", "npu_sparse_attention_pto"), layer),
    )
    for call, arguments in pairs:
        assert accuracies_of(call, arguments) == [accuracy]
    found = custom.npu_sparse_flash_attention_antiquant(**rows)
    expected = torch.ops.tamis.sparse_flash_attention(**ours, accuracy=accuracy)[0]
    assert torch.equal(found, expected)


def test_an_accuracy_that_is_none_is_refused_and_changes_nothing() -> None:
    tamis.npu_compat.enable(accuracy="fp32")
    with pytest.raises(ValueError, match=r"^accuracy: expected one of storage, fp32; got exact$"):
        tamis.npu_compat.enable(accuracy="exact")
    case = attention_case("BSND", "BSND")
    given = {**case.tensors, **case.attributes, "value": case.tensors["key"]}
    assert accuracies_of(torch_npu.npu_sparse_flash_attention, given) == ["fp32"]


def test_strict_holds_for_the_calls_of_the_documents_alone() -> None:
    case = attention_case("BSND", "PA_BSND")  # document 004: D = 512
    given = {**case.tensors, **case.attributes, "value": case.tensors["key"]}
    before = torch_npu.npu_sparse_flash_attention(**given)
    tamis.npu_compat.enable(strict=True)
    with pytest.raises(ValueError, match="strict"):
        custom.npu_sparse_flash_attention(**given, sparse_block_size=1)
    assert equal(torch_npu.npu_sparse_flash_attention(**given), before)
