"""Attention over selected blocks by its names on the device: one operator, bit for bit."""

from __future__ import annotations

import importlib
import re
from typing import Any

import numpy as np
import pytest
import torch
from precision import FP32, assert_close
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch_calls import accuracies_of

import tamis.npu_compat
from tamis.npu_compat.options import options

torch_npu = importlib.import_module("torch_npu")

HEADS, KV_HEADS, BLOCK, COUNT, PAGE = 4, 2, 4, 3, 16
GROUP = HEADS // KV_HEADS
LAYOUTS = ("BSH", "BSND", "TND")


@pytest.fixture(autouse=True)
def _as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for option, value in vars(options).items():
        monkeypatch.setattr(options, option, value)


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator).bfloat16()


def lists(*rows: int) -> Tensor:
    """Blocks 0 to 4 in any order, another list for every row and key head; some end early."""
    generator = torch.Generator().manual_seed(len(rows))
    ids = torch.randint(-1, 5, (*rows, KV_HEADS, COUNT), generator=generator, dtype=torch.int32)
    assert not torch.equal(ids[..., 0, :], ids[..., 1, :])
    return ids


# --- npu_nsa_select_attention: packed, for training and prefill -----------------------------------

Q_PREFIX, KV_PREFIX = [3, 9], [9, 29]


def packed(dtype: torch.dtype = torch.bfloat16) -> dict[str, Any]:
    return {
        "query": random(9, HEADS, 32).to(dtype),
        "key": random(29, KV_HEADS, 32).to(dtype),
        "value": random(29, KV_HEADS, 16).to(dtype),
        "topk_indices": lists(9),
        "scale_value": 0.25,
        "head_num": HEADS,
        "select_block_size": BLOCK,
        "select_block_count": COUNT,
        "actual_seq_qlen": Q_PREFIX,
        "actual_seq_kvlen": KV_PREFIX,
    }


MASKS = {
    "none": None,
    "nothing hidden": torch.zeros(6, 20, dtype=torch.bool),
    "all hidden": torch.ones(6, 20, dtype=torch.bool),
    "any shape": torch.empty(0, dtype=torch.uint8),
}


@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_makes_it_causal_whatever_is_in_it(mask: str) -> None:
    given = packed()
    mode = 0 if MASKS[mask] is None else 2
    expected = torch.ops.tamis.nsa_selected_attention(**given, sparse_mode=mode)
    other = torch.ops.tamis.nsa_selected_attention(**given, sparse_mode=2 - mode)
    assert not torch.equal(expected[0], other[0])
    for call in (torch_npu.npu_nsa_select_attention, torch.ops.npu.npu_nsa_select_attention):
        out, *found = call(**given, atten_mask=MASKS[mask])
        assert torch.equal(out, expected[0])
        for dumped, values in zip(found, expected[1:], strict=True):
            assert dumped.shape == (9, HEADS, 8)
            assert dumped.dtype == torch.float32
            assert dumped.is_contiguous()
            # In the order of the shape, not a sequence at a time: 8 copies of every number.
            assert torch.equal(dumped.flatten(), values.flatten().repeat_interleave(8))


def seen(ids: Tensor, end: int) -> list[int]:
    """Positions that a list names, before `end`, by the words of the operator's page."""
    found: list[int] = []
    for block in ids.tolist():
        if block < 0:
            break
        found += range(block * BLOCK, min((block + 1) * BLOCK, end))
    return found


def expect_means(got: Tensor, value: Tensor, positions: list[int]) -> None:
    """Queries of zero see all positions alike: the mean of the values, of no positions 0."""
    rows = value[positions].double().numpy()
    mean = rows.mean(0) if positions else np.zeros(value.shape[1])
    size = np.abs(rows).mean(0) if positions else np.zeros(value.shape[1])
    for head in got.double().numpy():
        assert_close("attention", head, mean, FP32.of_sum(len(rows) + 1, size), "float32")


@pytest.mark.parametrize("mask", ["none", "all hidden"])
def test_every_key_head_sees_what_its_own_list_names(mask: str) -> None:
    given = packed(torch.float32)
    given["query"] = torch.zeros_like(given["query"])
    out, maximum, total = torch_npu.npu_nsa_select_attention(**given, atten_mask=MASKS[mask])
    rows = 0
    for begin, end, key_begin, key_end in ((0, 3, 0, 9), (3, 9, 9, 29)):
        value = given["value"][key_begin:key_end]
        for t in range(begin, end):
            for g in range(KV_HEADS):
                last = len(value) if mask == "none" else min(t - begin + 1, len(value))
                positions = seen(given["topk_indices"][t, g], last)
                heads = slice(g * GROUP, (g + 1) * GROUP)
                expect_means(out[t, heads], value[:, g], positions)
                assert (total[t, heads] == len(positions)).all()
                assert (maximum[t, heads] == (0 if positions else -torch.inf)).all()
                rows += len(positions) > 0
    assert rows > KV_HEADS  # not a call of empty lists


@pytest.mark.parametrize("mask", ["none", "all hidden"])
def test_the_gradient_is_that_of_the_forward(mask: str) -> None:
    given = packed(torch.float32) | {"atten_mask": MASKS[mask]}
    leaves = {n: given[n].requires_grad_() for n in ("query", "key", "value")}
    out, maximum, total = torch_npu.npu_nsa_select_attention(**given)
    assert not maximum.requires_grad
    grad = random(*out.shape).float()
    expected = torch.autograd.grad(out, list(leaves.values()), grad)
    plain = {n: v.detach() if isinstance(v, Tensor) else v for n, v in given.items()}
    for call in (
        torch_npu.npu_nsa_select_attention_grad,
        torch.ops.npu.npu_nsa_select_attention_grad,
    ):
        # The attention is not read.
        nothing = torch.full_like(grad, torch.nan)
        found = call(grad, attention_out=nothing, softmax_max=maximum, softmax_sum=total, **plain)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    with pytest.raises(
        ValueError, match=r"^softmax_sum: expected shape \[T, N, 8\], got \[9, 4\]$"
    ):
        torch_npu.npu_nsa_select_attention_grad(
            grad, attention_out=grad, softmax_max=maximum, softmax_sum=total[..., 0], **plain
        )
    with pytest.raises(ValueError, match=r"^grad: "):
        torch_npu.npu_nsa_select_attention_grad(
            grad[:3], attention_out=grad, softmax_max=maximum, softmax_sum=total, **plain
        )


def test_strict_takes_the_devices_sizes_and_no_others() -> None:
    call = torch_npu.npu_nsa_select_attention
    fits = (random(2, 4, 192), random(64, 2, 192), random(64, 2, 128), lists(2)[..., :2])
    sizes = (0.1, 4, 32, 2)
    lengths = {"actual_seq_qlen": [2], "actual_seq_kvlen": [64]}
    wide = call(*fits, *sizes, **lengths)
    call(**packed())
    tamis.npu_compat.enable(strict=True)
    strict = call(*fits, *sizes, **lengths)
    assert all(torch.equal(a, b) for a, b in zip(wide, strict, strict=True))
    with pytest.raises(ValueError, match=r"expected \(strict\)"):
        call(**packed())


# --- npu_nsa_select_attention_infer: over pages, for decoding -------------------------------------


def pages(layout: str, *, steps: int = 2, dtype: torch.dtype = torch.bfloat16) -> dict[str, Any]:
    """Two sequences of 30 and 20 keys, `steps` query tokens each: the same call in every layout."""
    rows = (2 * steps,) if layout == "TND" else (2, steps)
    tensors = {
        "query": random(2 * steps, HEADS, 32).reshape(*rows, HEADS, 32),
        "key": random(4, PAGE, KV_HEADS, 32),
        "value": random(4, PAGE, KV_HEADS, 16),
    }
    if layout == "BSH":
        tensors["query"] = tensors["query"].flatten(2)
    if layout != "BSND":
        tensors |= {name: tensors[name].flatten(2) for name in ("key", "value")}
    return {
        **{name: tensor.to(dtype) for name, tensor in tensors.items()},
        "topk_indices": lists(2 * steps).reshape(*rows, KV_HEADS, COUNT),
        "scale_value": 0.25,
        "head_num": HEADS,
        "key_value_head_num": KV_HEADS,
        "select_block_size": BLOCK,
        "select_block_count": COUNT,
        "page_block_size": PAGE,
        "layout": layout,
        "block_table": torch.tensor([[2, 0], [1, 3]], dtype=torch.int32),
        "actual_seq_qlen": [steps, steps],
        "actual_seq_kvlen": [30, 20],
    }


def native(**changed: Any) -> Tensor:
    """The operator's own result for the call of `pages`."""
    found: Tensor = torch.ops.tamis.nsa_selected_attention_infer(**pages("TND", **changed))[0]
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_views_of_one_call(layout: str) -> None:
    given, expected = pages(layout), native()
    for call in (
        torch_npu.npu_nsa_select_attention_infer,
        torch.ops.npu.npu_nsa_select_attention_infer,
    ):
        out = call(**given)
        assert out.shape == (*given["query"].shape[:-1], HEADS * 16 if layout == "BSH" else 16)
        assert torch.equal(out.reshape(expected.shape), expected)
        assert torch.equal(call(**given, atten_mask=torch.ones(1, dtype=torch.bool)), out)
    if layout == "BSND":  # the default
        del given["layout"]
        assert torch.equal(torch_npu.npu_nsa_select_attention_infer(**given), out)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_token_each_needs_no_lengths_and_lists_no_dimension_of_tokens(layout: str) -> None:
    given, expected = pages(layout, steps=1), native(steps=1)
    given["topk_indices"] = given["topk_indices"].reshape(2, KV_HEADS, COUNT)
    del given["actual_seq_qlen"]
    out = torch_npu.npu_nsa_select_attention_infer(**given)
    assert torch.equal(out.reshape(expected.shape), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_key_head_reads_its_own_list_through_the_pages(layout: str) -> None:
    given = pages(layout, dtype=torch.float32)
    given["query"] = torch.zeros_like(given["query"])
    out = torch_npu.npu_nsa_select_attention_infer(**given).reshape(2, 2, HEADS, 16)
    ids = given["topk_indices"].reshape(2, 2, KV_HEADS, COUNT)
    rows = 0
    for b, length in enumerate(given["actual_seq_kvlen"]):
        value = given["value"][given["block_table"][b].long()].reshape(-1, KV_HEADS, 16)
        for t in range(2):
            for g in range(KV_HEADS):
                positions = seen(ids[b, t, g], length - 1 + t)  # the last token sees all
                expect_means(out[b, t, g * GROUP : (g + 1) * GROUP], value[:, g], positions)
                rows += len(positions) > 0
    assert rows > KV_HEADS


def test_pages_may_lie_in_any_order() -> None:
    given, expected = pages("BSND"), native()
    for name in ("key", "value"):
        by_head = given[name].transpose(1, 2).contiguous().transpose(1, 2)
        assert not by_head.is_contiguous()
        given[name] = by_head
    out = torch_npu.npu_nsa_select_attention_infer(**given)
    assert torch.equal(out.reshape(expected.shape), expected)


def test_strict_takes_the_devices_sizes_over_pages_and_no_others() -> None:
    call = torch_npu.npu_nsa_select_attention_infer
    key, value = random(4, 64, KV_HEADS, 192), random(4, 64, KV_HEADS, 128)
    wide = {
        **pages("BSND"),
        "query": random(2, 2, HEADS, 192),
        "key": key,
        "value": value,
        "page_block_size": 64,
    }
    fits = {**wide, "select_block_size": 16}
    expected = call(**fits)
    call(**wide)
    tamis.npu_compat.enable(strict=True)
    assert torch.equal(call(**fits), expected)
    with pytest.raises(ValueError, match=r"^select_block_size: expected \(strict\)"):
        call(**wide)


# --- both -----------------------------------------------------------------------------------------


def call_of(form: str) -> tuple[Any, dict[str, Any]]:
    if form == "packed":
        return torch_npu.npu_nsa_select_attention, packed()
    return torch_npu.npu_nsa_select_attention_infer, pages(form)


@pytest.mark.parametrize("accuracy", ["storage", "fp32"])
def test_accuracy_is_the_users_choice(accuracy: str) -> None:
    tamis.npu_compat.enable(accuracy=accuracy)
    for form in ("packed", *LAYOUTS):
        assert accuracies_of(*call_of(form)) == [accuracy]


REFUSED = [
    ({"actual_seq_qlen": None}, "actual_seq_qlen: required, but absent"),
    ({"actual_seq_kvlen": None}, "actual_seq_kvlen: required, but absent"),
    ({"actual_seq_qlen": [3, 8]}, "actual_seq_qlen: expected a last prefix sum of T = 9, got 8"),
    ({"head_num": 3}, "head_num: expected"),
    ({"select_block_count": 2}, "select_block_count: expected"),
    ({"select_block_size": 0}, "select_block_size: expected at least 1, got 0"),
]

REFUSED_PAGES = [
    ("TND", {"layout": "BNSD"}, "layout: expected BSH or BSND or TND, got BNSD"),
    ("TND", {"block_table": None}, "block_table: required, but absent"),
    ("TND", {"actual_seq_kvlen": None}, "actual_seq_kvlen: required, but absent"),
    ("TND", {"actual_seq_kvlen": [30]}, "actual_seq_kvlen: expected one entry per sequence"),
    ("BSH", {"head_num": 0}, "head_num: expected at least 1, got 0"),
    (
        "BSH",
        {"head_num": 3},
        "query: expected shape [B, S, head_num*D] of head_num = 3, got [2, 2, 128]",
    ),
    (
        "BSH",
        {"query": random(2, HEADS * 32)},
        "query: expected shape [B, S, head_num*D] of head_num = 4, got [2, 128]",
    ),
    (
        "BSND",
        {"key": random(4, PAGE, KV_HEADS * 32)},
        "key: expected shape [pages, page_block_size, key_value_head_num = 2, D], got [4, 16, 64]",
    ),
    (
        "BSND",
        {"value": random(4, PAGE, 4, 8)},
        "value: expected shape [pages, page_block_size, key_value_head_num = 2, D], "
        "got [4, 16, 4, 8]",
    ),
    ("BSND", {"topk_indices": lists(2)}, "topk_indices: expected shape"),
]


@pytest.mark.parametrize(("changed", "line"), REFUSED, ids=lambda value: str(value)[:40])
def test_complaints_are_one_line(changed: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(line)) as raised:
        torch_npu.npu_nsa_select_attention(**{**packed(), **changed})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("layout", "changed", "line"), REFUSED_PAGES, ids=lambda v: str(v)[:40])
def test_complaints_over_pages_are_one_line(
    layout: str, changed: dict[str, Any], line: str
) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(line)) as raised:
        torch_npu.npu_nsa_select_attention_infer(**{**pages(layout), **changed})
    assert "\n" not in str(raised.value)


def test_decoding_refuses_tensors_that_require_grad() -> None:
    call, given = call_of("BSH")
    with pytest.raises(RuntimeError, match="grad"):
        call(**{**given, "query": given["query"].requires_grad_()})


@pytest.mark.parametrize("form", ["packed", *LAYOUTS])
def test_calls_are_traced_compiled_and_exported(form: str) -> None:
    call, given = call_of(form)
    tensors = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    rest = {name: value for name, value in given.items() if name not in tensors}

    class Model(torch.nn.Module):
        def forward(self, **tensors: Tensor) -> tuple[Tensor, ...]:
            found = call(**tensors, **rest)
            return found if isinstance(found, tuple) else (found,)

    model = Model()
    expected = model(**tensors)
    for run in (
        torch.compile(model, backend="aot_eager", fullgraph=True),
        torch.export.export(model, (), tensors).module(),
    ):
        found = run(**tensors)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    with FakeTensorMode() as mode:
        shapes = model(**{name: mode.from_tensor(tensor) for name, tensor in tensors.items()})
    for shaped, real in zip(shapes, expected, strict=True):
        assert (shaped.shape, shaped.dtype) == (real.shape, real.dtype)
        assert shaped.stride() == real.stride()


def test_the_printed_calls_run() -> None:
    """Sizes and arguments of the examples that op-plugin prints."""
    torch.manual_seed(0)
    query = torch.randn(256, 16, 192, dtype=torch.float16).npu()
    key = torch.randn(3072, 4, 192, dtype=torch.float16).npu()
    value = torch.randn(3072, 4, 128, dtype=torch.float16).npu()
    ids = torch.randn(256, 4, 16).int().npu()
    out, maximum, total = torch_npu.npu_nsa_select_attention(
        query,
        key,
        value,
        ids,
        1.0,
        16,
        64,
        16,
        atten_mask=torch.randn(512, 2048).bool().npu(),
        actual_seq_qlen=[128, 256],
        actual_seq_kvlen=[2048, 3072],
    )
    assert out.shape == (256, 16, 128)
    assert maximum.shape == total.shape == (256, 16, 8)
    assert out.isfinite().all()
    assert out.any()

    query = torch.randn([1, 1, 768], dtype=torch.float16).npu()
    key = torch.randn([246, 64, 384], dtype=torch.float16).npu()
    value = torch.randn([246, 64, 256], dtype=torch.float16).npu()
    ids = torch.tensor([[[0, -1], [0, -1]]], device="npu", dtype=torch.int32)
    table = torch.tensor([[1, 0]], device="npu", dtype=torch.int32)
    out = torch_npu.npu_nsa_select_attention_infer(
        query,
        key,
        value,
        ids,
        2.0,
        4,
        2,
        64,
        2,
        64,
        layout="BSH",
        atten_mask=None,
        block_table=table,
        actual_seq_qlen=None,
        actual_seq_kvlen=[82] * query.size(0),
    )
    expected = torch.ops.tamis.nsa_selected_attention_infer(
        query.reshape(1, 4, 192),
        key,
        value,
        ids,
        table,
        scale_value=2.0,
        head_num=4,
        key_value_head_num=2,
        select_block_size=64,
        select_block_count=2,
        page_block_size=64,
        actual_seq_kvlen=[82],
    )[0]
    assert torch.equal(out, expected.reshape(1, 1, 4 * 128))
