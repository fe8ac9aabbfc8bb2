"""Document 003's weights: NZ bytes unless they went through npu_format_cast."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from python_calls import layer_case, to_library
from torch import Tensor

import tamis.npu_compat
from tamis.npu_compat import formats
from tamis.npu_compat.options import options

torch_npu = importlib.import_module("torch_npu")
custom = importlib.import_module("custom")
torchair = importlib.import_module("torchair")

NZ = ["w_dq", "w_uq_qr", "w_dkv_kr", "w_idx_qb", "w_idx_k", "w_idx_proj"]


@pytest.fixture(autouse=True)
def _as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for option, value in vars(options).items():
        monkeypatch.setattr(options, option, value)
    monkeypatch.setattr(formats.Graphs, "read_marks", False)


def tensors() -> dict[str, Tensor]:
    """A call of document 003 with row-major weights, whose sizes are multiples of 16."""
    made = {n: to_library("torch", a) for n, a in layer_case("bfloat16").tensors.items()}
    generator = torch.Generator().manual_seed(3)
    made["w_idx_qb"] = torch.randn(48, 16 * 32, generator=generator).bfloat16()
    made["w_idx_proj"] = torch.randn(64, 16, generator=generator).bfloat16()
    return made


def with_weights(change: Callable[[Tensor], Tensor], names: list[str] = NZ) -> list[Tensor]:
    """The call's arguments, of which some weights are changed."""
    return [change(t) if n in names else t for n, t in tensors().items()]


def cast(weight: Tensor) -> Tensor:
    found: Tensor = torch_npu.npu_format_cast(weight, 29)
    return found


def packed(weight: Tensor) -> Tensor:
    """NZ bytes in a tensor of the plain shape, as the document's example passes them."""
    k, n = weight.shape
    return weight.reshape(k, n // 16, 16).permute(1, 0, 2).reshape(k, n).contiguous()


def expected() -> Tensor:
    found: Tensor = torch.ops.tamis.sparse_attention_pto(*tensors().values())[0]
    return found


def test_weights_are_nz_bytes_unless_they_were_cast() -> None:
    layer = custom.npu_sparse_attention_pto
    assert torch.equal(layer(*with_weights(packed)), expected())
    assert torch.equal(layer(*with_weights(cast)), expected())
    assert not torch.equal(layer(*tensors().values()), expected())


def test_cast_weights_and_nz_bytes_may_stand_in_one_call() -> None:
    arguments = [
        cast(t) if n in NZ[:3] else packed(t) if n in NZ else t for n, t in tensors().items()
    ]
    assert torch.equal(custom.npu_sparse_attention_pto(*arguments), expected())


@pytest.mark.parametrize(("weight_format", "change"), [("ND", torch.clone), ("NZ", packed)])
def test_enable_says_what_all_weights_are(
    weight_format: str, change: Callable[[Tensor], Tensor]
) -> None:
    tamis.npu_compat.enable(weight_format=weight_format)
    assert torch.equal(custom.npu_sparse_attention_pto(*with_weights(change)), expected())


def deep_copied_module(weight: Tensor) -> Tensor:
    module: Any = torch.nn.Module()
    module.weight = torch.nn.Parameter(weight, requires_grad=False)
    moved: Tensor = copy.deepcopy(module).npu().to("npu").weight
    return moved


@pytest.mark.parametrize(
    "way",
    [
        lambda w: w.npu(),
        lambda w: w.to("npu:0"),
        lambda w: torch.nn.Parameter(w, requires_grad=False),
        lambda w: w.clone(),
        lambda w: torch.clone(w),
        lambda w: w.t().contiguous().t().contiguous(),
        lambda w: w.to(torch.float32).bfloat16(),
        lambda w: w.detach().view(w.shape),
        lambda w: w.cpu().npu(),
        deep_copied_module,
    ],
)
def test_a_cast_is_remembered(way: Callable[[Tensor], Tensor]) -> None:
    arguments = with_weights(lambda weight: way(cast(weight)))
    assert torch.equal(custom.npu_sparse_attention_pto(*arguments), expected())


def test_a_cast_keeps_the_elements_and_can_be_taken_back() -> None:
    weight = torch.ones(32, 32).bfloat16()
    assert torch_npu.get_npu_format(weight) == 2
    assert cast(weight) is weight
    assert torch_npu.get_npu_format(weight) == 29
    back = torch_npu.npu_format_cast(weight, 2)
    assert torch_npu.get_npu_format(back) == 2
    assert torch.equal(back, weight)
    assert torch_npu.get_npu_format(torch_npu.npu_format_cast_(weight, 2)) == 2
    assert torch_npu.get_npu_format(torch_npu.npu_format_cast_(back, 29)) == 29


def test_nz_bytes_have_no_gaps() -> None:
    with pytest.raises(ValueError, match=r"^w_dq: expected a contiguous tensor of NZ bytes, got"):
        custom.npu_sparse_attention_pto(*with_weights(lambda w: w.t().contiguous().t(), ["w_dq"]))


class Layer(torch.nn.Module):
    def forward(self, *arguments: Tensor) -> Tensor:
        out: Tensor = custom.npu_sparse_attention_pto(*arguments)
        return out


def test_graphs_of_torchair_read_weights_as_calls_do() -> None:
    config = torchair.CompilerConfig()
    config.experimental_config.frozen_parameter = True
    for backend in ("eager", "inductor"):
        tamis.npu_compat.enable(graph_backend=backend)
        graph = torch.compile(
            Layer(), backend=torchair.get_npu_backend(compiler_config=config), fullgraph=True
        )
        for change in (packed, cast):
            assert torch.equal(graph(*with_weights(change)), expected())


def test_graphs_that_may_lose_a_cast_ask_for_the_format() -> None:
    graph = torch.compile(Layer(), backend="aot_eager", fullgraph=True)
    with pytest.raises(RuntimeError, match=r"enable\(weight_format='ND'\)"):
        graph(*with_weights(cast))
    torch.compiler.reset()

    class Copies(Layer):
        def forward(self, *arguments: Tensor) -> Tensor:
            return super().forward(*(t.clone() for t in arguments))

    graph = torch.compile(Copies(), backend=torchair.get_npu_backend(), fullgraph=True)
    with pytest.raises(RuntimeError, match=r"w_dq: expected an input of the graph, got a result"):
        graph(*with_weights(cast))
    torch.compiler.reset()
    tamis.npu_compat.enable(weight_format="ND")
    assert torch.equal(graph(*with_weights(cast)), expected())
