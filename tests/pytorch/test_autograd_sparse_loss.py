"""The indexer's loss over lists of keys: float64's gradients, PyTorch's checks, compiled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch_calls import arguments, overload

import tamis.torch
from tamis.case import Case

assert tamis.torch.__name__ == "tamis.torch"
OP = "sparse_lightning_indexer_grad_kl_loss"
BOUNDS = {torch.bfloat16: 2**-8, torch.float16: 2**-11, torch.float32: 1e-5}
NAMES = ("query_index", "key_index", "weights")
TOKENS, KEYS, HEADS, DIM, ROPE = 9, 30, 4, 16, 8
SCALE = 0.25
ATTRIBUTES: dict[str, Any] = {"scale_value": SCALE, "sparse_mode": 0}


def lists() -> Tensor:
    """Of every token in turn: distinct keys, keys named twice, nothing, and few."""
    generator = torch.Generator().manual_seed(5)
    ids = torch.full((1, TOKENS, 1, 12), -1, dtype=torch.int32)
    for t in range(TOKENS):
        count = (12, 12, 0, 3)[t % 4]
        most = 6 if t % 4 == 1 else KEYS
        drawn = torch.randint(most, (count,), generator=generator)
        ids[0, t, 0, :count] = (
            drawn if t % 4 == 1 else torch.randperm(KEYS, generator=generator)[:count]
        )
    return ids


def made(dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    shapes = {
        "query": (1, TOKENS, HEADS, DIM),
        "key": (1, KEYS, 1, DIM),
        "query_index": (1, TOKENS, 3, 16),
        "key_index": (1, KEYS, 1, 16),
        "weights": (1, TOKENS, 3),
        "query_rope": (1, TOKENS, HEADS, ROPE),
        "key_rope": (1, KEYS, 1, ROPE),
    }
    tensors = {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}
    tensors["weights"] /= 4  # no probability is so small that the loss is clamped
    return tensors | {"sparse_indices": lists(), "row_scale": torch.linspace(0, 2, TOKENS)[None]}


def rows_of(tensors: dict[str, Tensor], t: int) -> tuple[Tensor, Tensor]:
    """Of token t: main scores [heads, list], index scores [list], by its list."""
    ids = tensors["sparse_indices"][0, t, 0].long()
    ids = ids[ids >= 0]
    of = {n: tensors[n][0, ids, 0] for n in ("key", "key_rope", "key_index")}
    main = tensors["query"][0, t] @ of["key"].T + tensors["query_rope"][0, t] @ of["key_rope"].T
    products = (tensors["query_index"][0, t] @ of["key_index"].T).relu()
    return SCALE * main, tensors["weights"][0, t] @ products


def whole(dtype: torch.dtype, *, sinks: bool) -> dict[str, Tensor]:
    """With the statistics of the main attention."""
    tensors = made(dtype)
    wide = {n: x if n == "sparse_indices" else x.double() for n, x in tensors.items()}
    top = torch.full((1, TOKENS, HEADS), torch.nan)
    total = top.clone()
    for t in range(TOKENS):
        main, _ = rows_of(wide, t)
        if main.shape[1] > 0:
            top[0, t] = main.amax(1)
            total[0, t] = (main - main.amax(1, keepdim=True)).exp().sum(1)
    if sinks:
        tensors["sinks"] = torch.zeros(HEADS)
        total = total + torch.exp(-top)
    tensors |= {"softmax_max": top, "softmax_sum": total}
    return {n: x.requires_grad_(n in NAMES) for n, x in tensors.items()}


def divergence(tensors: dict[str, Tensor], *, sinks: bool) -> Tensor:
    """In float64, as PyTorch differentiates it."""
    loss = torch.zeros((), dtype=torch.float64)
    for t in range(TOKENS):
        main, index = rows_of(tensors, t)
        top, total = (tensors[f"softmax_{n}"][0, t].double()[:, None] for n in ("max", "sum"))
        p = ((main - top).exp() / total).mean(0).detach()
        if p.numel() == 0:
            continue
        p = p / p.sum() if sinks else p
        row = (p * (p.log() - index.log_softmax(0))).sum()
        loss = loss + tensors["row_scale"][0, t].double() * row
    return loss


def call(tensors: dict[str, Tensor]) -> Tensor:
    loss: Tensor = overload(OP)(**tensors, **ATTRIBUTES)[0]
    return loss


@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_gradients_are_those_of_the_divergence(dtype: torch.dtype, *, sinks: bool) -> None:
    tensors = whole(dtype, sinks=sinks)
    wide = {n: x if n == "sparse_indices" else x.detach().double() for n, x in tensors.items()}
    for name in NAMES:
        wide[name].requires_grad_()
    loss, expected_loss = call(tensors), divergence(wide, sinks=sinks)
    assert abs(loss.item() - expected_loss.item()) <= 2e-5 * (1 + abs(expected_loss.item()))
    expected = torch.autograd.grad(expected_loss, [wide[name] for name in NAMES])
    found = torch.autograd.grad(3 * loss, [tensors[name] for name in NAMES])
    for name, one, other in zip(NAMES, found, expected, strict=True):
        assert one.dtype == dtype, name
        largest = 3 * other.abs().max().item()
        # The call rounds a gradient, and the backward what it multiplies.
        bound = 2 * BOUNDS[dtype] + 1e-5
        assert (one.double() - 3 * other).abs().max().item() <= bound * largest, name


def test_pytorchs_own_checks_pass() -> None:
    case = Case(OP, whole(torch.bfloat16, sinks=True), ATTRIBUTES | {"return_row_loss": True})
    positional, named = arguments(case)
    outcome = torch.library.opcheck(overload(OP), positional, named)
    assert set(outcome.values()) == {"SUCCESS"}


@pytest.mark.parametrize("way", ["compiled", "from a checkpoint"])
def test_it_has_the_bits_of_an_eager_call(way: str) -> None:
    tensors = whole(torch.bfloat16, sinks=False)

    def loss_of(*index: Tensor) -> Tensor:
        given = dict(zip(NAMES, index, strict=True))
        return 3 * call(tensors | given | {"query_index": 2 * given["query_index"]})

    index = [tensors[name] for name in NAMES]
    if way == "compiled":
        found = torch.compile(loss_of, fullgraph=True)(*index)
    else:
        found = checkpoint(loss_of, *index, use_reentrant=False)
    expected = loss_of(*index)
    assert torch.equal(found, expected)
    for one, other in zip(
        torch.autograd.grad(found, index),
        torch.autograd.grad(expected, index),
        strict=True,
    ):
        assert torch.equal(one, other)
