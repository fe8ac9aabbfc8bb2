"""load_checkpoint: every tensor of the layer and no other, and the scales of 8-bit weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from python_calls import same_bits
from test_nn_deepseek import SMALL, checkpoint
from torch import Tensor

from tamis.nn import DeepSeekSparseAttention

FP8 = torch.float8_e4m3fn
# Rows and columns that fill no whole block of 128, and several blocks.
SIZE = SMALL | {"hidden": 320, "q_lora_rank": 160, "heads": 9}
WEIGHTS = [name for name, tensor in checkpoint(SIZE).items() if tensor.dim() == 2]


def blocks(weight: Tensor) -> Tensor:
    """A scale for each block, as a release has them: no powers of two."""
    rows, columns = (-(-size // 128) for size in weight.shape)
    return torch.rand(rows, columns) / 300 + 1e-3


def in_8_bits(
    state: dict[str, Tensor], names: list[str], scale: Callable[[Tensor], Tensor] = blocks
) -> dict[str, Tensor]:
    state = dict(state)
    for name in names:
        state[name] = (state[name].float() * 100).to(FP8)
        state[name + "_scale_inv"] = scale(state[name])
    return state


def by_elements(weight: Tensor, scale: Tensor) -> Tensor:
    """One product after the other in float32, then rounded to bfloat16; by numpy alone."""
    values = weight.view(torch.uint8).numpy().view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    scales = scale.float().numpy()
    product = np.empty_like(values)
    for (i, j), value in np.ndenumerate(values):
        factor = scales[i // 128, j // 128] if scales.ndim == 2 else scales.reshape(-1)[0]
        product[i, j] = value * factor
    return torch.from_numpy(product.astype(ml_dtypes.bfloat16).view(np.int16)).view(torch.bfloat16)


SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "blocks": blocks,
    "blocks in bfloat16": lambda weight: blocks(weight).bfloat16(),
    "blocks in powers of two": lambda weight: blocks(weight).to(torch.float8_e8m0fnu),
    "one": lambda _: torch.tensor(0.00317),
    "one of shape [1]": lambda _: torch.tensor([0.00317]),
}


@pytest.mark.parametrize("scales", SCALES)
def test_scales_of_8_bits_are_applied_to_every_bit(scales: str) -> None:
    torch.manual_seed(1)
    state = in_8_bits(checkpoint(SIZE), WEIGHTS, SCALES[scales])
    dense = {name: tensor for name, tensor in state.items() if not name.endswith("_scale_inv")}
    dense |= {name: by_elements(state[name], state[name + "_scale_inv"]) for name in WEIGHTS}
    found, want = DeepSeekSparseAttention(**SIZE), DeepSeekSparseAttention(**SIZE)
    found.load_checkpoint(state)
    want.load_checkpoint(dense)
    for name, parameter in found.named_parameters():
        assert same_bits(parameter.detach(), want.get_parameter(name).detach()), name


def test_a_prefix_selects_a_layer_of_a_whole_file() -> None:
    torch.manual_seed(2)
    state = checkpoint(SMALL)
    whole: dict[str, Tensor] = {"model.embed_tokens.weight": torch.zeros(1)}
    for layer in (3, 33):
        whole |= {f"model.layers.{layer}.self_attn.{n}": t * layer for n, t in state.items()}
    layer = DeepSeekSparseAttention(**SMALL)
    layer.load_checkpoint(whole, "model.layers.3.self_attn.")
    assert torch.equal(layer.w_dq, (state["q_a_proj.weight"] * 3).T)
    with pytest.raises(
        ValueError, match=r"^state: .* below model\.layers\.4\.self_attn\., got mis"
    ):
        layer.load_checkpoint(whole, "model.layers.4.self_attn.")


def changed(**changes: Any) -> dict[str, Tensor]:
    """A checkpoint with tensors replaced, or gone where None; `__` stands for a dot."""
    state = checkpoint(SMALL)
    for name, tensor in changes.items():
        key = name.replace("__", ".")
        if tensor is None:
            del state[key]
        else:
            state[key] = tensor
    return state


WRONG: dict[str, tuple[Callable[[], dict[str, Tensor]], str]] = {
    "missing": (
        lambda: changed(o_proj__weight=None, indexer__wk__weight=None),
        "missing: o_proj.weight, indexer.wk.weight",
    ),
    "unknown": (
        lambda: changed(o_proj__bias=torch.zeros(256), extra=torch.zeros(1)),
        "not expected: o_proj.bias, extra",
    ),
    "a norm of shape [1], which would be broadcast": (
        lambda: changed(q_a_layernorm__weight=torch.ones(1)),
        "wrong: q_a_layernorm.weight [1] for [96]",
    ),
    "a weight that is transposed": (
        lambda: changed(q_a_proj__weight=torch.ones(256, 96)),
        "wrong: q_a_proj.weight [256, 96] for [96, 256]",
    ),
    "kv_b_proj of other heads": (
        lambda: changed(kv_b_proj__weight=torch.ones(112, 64)),
        "wrong: kv_b_proj.weight [112, 64] for [224, 64]",
    ),
    "8 bits without scales": (
        lambda: changed(q_b_proj__weight=torch.ones(192, 96).to(FP8)),
        "missing: q_b_proj.weight_scale_inv",
    ),
    "scales without 8 bits": (
        lambda: changed(q_b_proj__weight_scale_inv=torch.ones(2, 1)),
        "not expected: q_b_proj.weight_scale_inv",
    ),
    "scales by another name": (
        lambda: changed(
            q_b_proj__weight=torch.ones(192, 96).to(FP8), q_b_proj__weight_scale=torch.ones(1)
        ),
        "missing: q_b_proj.weight_scale_inv; not expected: q_b_proj.weight_scale",
    ),
    "scales of other blocks": (
        lambda: changed(
            q_b_proj__weight=torch.ones(192, 96).to(FP8),
            q_b_proj__weight_scale_inv=torch.ones(3, 2),
        ),
        "wrong: q_b_proj.weight_scale_inv [3, 2] for [2, 1]",
    ),
    "scales of integers": (
        lambda: in_8_bits(
            checkpoint(SMALL), ["o_proj.weight"], lambda w: blocks(w).to(torch.int32)
        ),
        "wrong: o_proj.weight_scale_inv of int32",
    ),
    "a norm in 8 bits": (
        lambda: changed(q_a_layernorm__weight=torch.ones(96).to(FP8)),
        "wrong: q_a_layernorm.weight of float8_e4m3fn",
    ),
    "another 8-bit format": (
        lambda: changed(o_proj__weight=torch.ones(256, 96).to(torch.float8_e5m2)),
        "wrong: o_proj.weight of float8_e5m2",
    ),
    "integers": (
        lambda: changed(o_proj__weight=torch.ones(256, 96, dtype=torch.int8)),
        "wrong: o_proj.weight of int8",
    ),
    "all at once": (
        lambda: changed(
            o_proj__weight=None, extra=torch.ones(2), q_a_layernorm__weight=torch.ones(1)
        ),
        "missing: o_proj.weight; not expected: extra; wrong: q_a_layernorm.weight [1] for [96]",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_every_tensor_that_is_wrong_is_named_in_one_line(what: str) -> None:
    make, line = WRONG[what]
    layer = DeepSeekSparseAttention(**SMALL)
    before = {name: parameter.clone() for name, parameter in layer.named_parameters()}
    with pytest.raises(
        ValueError, match=f"^state: expected 12 tensors of a layer, got {re.escape(line)}$"
    ):
        layer.load_checkpoint(make())
    assert all(torch.equal(before[name], p) for name, p in layer.named_parameters())


def test_weights_that_require_grad_leave_no_graph_behind() -> None:
    layer = DeepSeekSparseAttention(**SMALL)
    layer.load_checkpoint({n: t.requires_grad_() for n, t in checkpoint(SMALL).items()})
    assert not any(p.requires_grad for p in layer.parameters())
