"""Losses that come with their gradients: float64's gradients, PyTorch's checks, what is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch_calls import Spy, arguments, overload

import tamis
import tamis.torch
from tamis.case import Case
from tamis.torch._autograd import Loss, brings_gradients

ops = torch.ops.tamis
OP = "dense_lightning_indexer_grad_kl_loss"
BOUNDS = {torch.bfloat16: 2**-8, torch.float16: 2**-11, torch.float32: 1e-5}
NAMES = ("query_index", "key_index", "weights")


@dataclass(frozen=True)
class Call:
    """Sequences of tokens and keys, for the loss of the indexer's warm-up."""

    layout: str
    queries: list[int]
    keys: list[int]
    heads: tuple[int, int] = (4, 2)  # of the main attention: queries, keys
    dims: tuple[int, int] = (16, 0)  # without and with rope
    index: tuple[int, int] = (3, 16)  # heads, dims
    mode: int = 3
    sharpness: float = 1  # of the weights
    scaled: bool = False
    off: float = 0  # by how much the index statistics are those of other scores
    weights_dtype: torch.dtype | None = None
    scale: float = 0.25

    def rows(self, counts: list[int]) -> tuple[int, ...]:
        """The leading dimensions of a tensor."""
        return (sum(counts),) if self.layout == "TND" else (len(counts), max(counts))

    def part(self, tensor: Tensor, counts: list[int], b: int) -> Tensor:
        """The rows of sequence b."""
        if self.layout == "BSND":
            return tensor[b, : counts[b]]
        begin = sum(counts[:b])
        return tensor[begin : begin + counts[b]]

    def seen(self, b: int) -> Tensor:
        """Which keys of sequence b every token sees: [tokens, keys]."""
        q, n = self.queries[b], self.keys[b]
        end = torch.full((q,), n) if self.mode == 0 else torch.arange(q) + n - q + 1
        return torch.arange(n) < end[:, None]

    def random(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """All tensors but the statistics and lengths."""
        generator = torch.Generator().manual_seed(sum(self.keys))
        queries, keys = self.rows(self.queries), self.rows(self.keys)
        (heads, kv_heads), (dim, rope), (index_heads, index_dim) = self.heads, self.dims, self.index
        shapes = {
            "query": (*queries, heads, dim),
            "key": (*keys, kv_heads, dim),
            "query_index": (*queries, index_heads, index_dim),
            "key_index": (*keys, 1, index_dim),
            "weights": (*queries, index_heads),
        }
        if rope > 0:
            shapes |= {"query_rope": (*queries, heads, rope), "key_rope": (*keys, kv_heads, rope)}
        made = {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}
        made["weights"] = made["weights"] * self.sharpness / index_dim**0.5
        if self.weights_dtype is not None:
            made["weights"] = made["weights"].to(self.weights_dtype)
        if self.scaled:
            factors = torch.tensor([1.0, 0.0, 0.5, 3.0])
            made["row_scale"] = factors.repeat(99)[: torch.Size(queries).numel()].view(queries)
        return made

    def lengths(self) -> dict[str, Tensor]:
        """Of both kinds."""

        def of(counts: list[int]) -> Tensor:
            return torch.tensor(list(accumulate(counts)) if self.layout == "TND" else counts)

        return {
            "actual_seq_lengths_query": of(self.queries),
            "actual_seq_lengths_key": of(self.keys),
        }

    def attributes(self, **more: Any) -> dict[str, Any]:
        """All that are not tensors."""
        return {"scale_value": self.scale, "layout": self.layout, "sparse_mode": self.mode} | more

    def main_scores(self, tensors: dict[str, Tensor], b: int) -> Tensor:
        """Of sequence b: [tokens, heads, keys]."""
        total: Any = 0
        for end in ("", "_rope"):
            if f"query{end}" in tensors:
                query = self.part(tensors[f"query{end}"], self.queries, b)
                key = self.part(tensors[f"key{end}"], self.keys, b)
                key = key.repeat_interleave(self.heads[0] // self.heads[1], 1)
                total = total + torch.einsum("ihd,jhd->ihj", query, key)
        scores: Tensor = self.scale * total
        return scores.masked_fill(~self.seen(b)[:, None], -torch.inf)

    def index_scores(self, tensors: dict[str, Tensor], b: int) -> Tensor:
        """Of sequence b: [tokens, keys]."""
        query, weights = (
            self.part(tensors[name], self.queries, b) for name in ("query_index", "weights")
        )
        key = self.part(tensors["key_index"], self.keys, b)[:, 0]
        products = torch.einsum("igd,jd->igj", query, key).relu()
        scores = torch.einsum("ig,igj->ij", weights, products)
        return scores.masked_fill(~self.seen(b), -torch.inf)

    def whole(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """All tensors, the statistics of both distributions among them, in fp32."""
        made = self.random(dtype)
        wide = {name: tensor.double() for name, tensor in made.items()}
        rows = self.rows(self.queries)
        for suffix, heads in (("", (self.heads[0],)), ("_index", ())):
            found = [torch.full((*rows, *heads), torch.nan) for _ in range(2)]
            for b in range(len(self.queries)):
                scores = self.index_scores(wide, b) if suffix else self.main_scores(wide, b)
                if 0 in scores.shape:
                    continue
                top = scores.amax(-1) + (self.off if suffix else 0)
                total = (scores - top[..., None]).exp().sum(-1)
                for into, values in zip(found, (top, total), strict=True):
                    self.part(into, self.queries, b).copy_(values)
            made |= {f"softmax_max{suffix}": found[0], f"softmax_sum{suffix}": found[1]}
        return made | self.lengths()

    def losses(self, tensors: dict[str, Tensor], given: dict[str, Tensor]) -> Tensor:
        """A function whose gradients are those of the divergence, and not that of the clamp.

        The statistics of the index scores are what they are given as, and move with the scores:
        sum_j q_j I_j - p_j I_j with q, p constant has the gradient q - p.
        """
        total = torch.zeros((), dtype=torch.float64)
        for b in range(len(self.queries)):
            p, q = self.distributions(tensors, given, b)
            scores = self.index_scores(tensors, b)
            slope = (q - p).detach().masked_fill(~self.seen(b), 0)
            if self.scaled:
                slope = slope * self.part(given["row_scale"], self.queries, b).double()[:, None]
            total = total + (slope * scores.masked_fill(~self.seen(b), 0)).sum()
        return total

    def distributions(
        self, tensors: dict[str, Tensor], given: dict[str, Tensor], b: int
    ) -> tuple[Tensor, Tensor]:
        """P and q of sequence b, by the statistics that are given."""
        top, total, top_index, total_index = (
            self.part(given[f"softmax_{name}"], self.queries, b).double()[..., None]
            for name in ("max", "sum", "max_index", "sum_index")
        )
        p = ((self.main_scores(tensors, b) - top).exp() / total).mean(1)
        return p, (self.index_scores(tensors, b) - top_index).exp() / total_index

    def value(self, tensors: dict[str, Tensor], given: dict[str, Tensor]) -> Tensor:
        """The loss."""
        total = torch.zeros((), dtype=torch.float64)
        for b in range(len(self.queries)):
            p, q = (x.masked_fill(~self.seen(b), 0) for x in self.distributions(tensors, given, b))
            rows = (p * (p.clamp(min=1e-8).log() - q.clamp(min=1e-8).log())).sum(-1)
            if self.scaled:
                rows = rows * self.part(given["row_scale"], self.queries, b).double()
            total = total + rows.sum()
        return total


def tracked(call: Call, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """A call's tensors; those that have a gradient require grad."""
    made = call.whole(dtype)
    return {n: t.requires_grad_(n in NAMES) for n, t in made.items()}


def loss_of(call: Call, tensors: dict[str, Tensor]) -> Tensor:
    found: Tensor = overload(OP)(**tensors, **call.attributes())[0]
    return found


RAGGED = Call("TND", [3, 40, 0, 1], [25, 61, 9, 5])
CALLS = {
    "packed, as many keys as tokens": Call("TND", [70], [70]),
    "packed, ragged": RAGGED,
    "padded": Call("BSND", [30, 30], [50, 50]),
    "padded, all keys": Call("BSND", [30, 30], [50, 50], mode=0),
    "rope, a head of keys for each of queries": replace(RAGGED, heads=(4, 4), dims=(16, 8)),
    "a latent head": replace(RAGGED, heads=(6, 1), dims=(48, 8)),
    "factors of tokens": replace(RAGGED, scaled=True),
    "statistics of other scores": replace(RAGGED, off=0.5),
    "weights in fp32": replace(RAGGED, weights_dtype=torch.float32),
    "a clamped loss": replace(RAGGED, sharpness=60),
}


@pytest.mark.parametrize("label", CALLS)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_gradients_are_those_of_the_formula(dtype: torch.dtype, label: str) -> None:
    call = CALLS[label]
    tensors = tracked(call, dtype)
    wide = {n: t.detach().double() for n, t in tensors.items() if "seq" not in n}
    for name in NAMES:
        wide[name].requires_grad_()
    loss = loss_of(call, tensors)
    assert loss.shape == (1,)
    assert loss.dtype == torch.float32
    expected_loss = call.value(wide, tensors).item()
    assert abs(loss.item() - expected_loss) <= 2e-5 * (1 + abs(expected_loss))
    expected = torch.autograd.grad(call.losses(wide, tensors), [wide[name] for name in NAMES])
    found = torch.autograd.grad(3 * loss, [tensors[name] for name in NAMES])
    for name, one, other in zip(NAMES, found, expected, strict=True):
        assert one.dtype == tensors[name].dtype, name
        assert one.shape == tensors[name].shape, name
        largest = 3 * other.abs().max().item()
        # The call rounds a gradient, and the backward what it multiplies.
        bound = 2 * BOUNDS[one.dtype if name == "weights" else dtype] + 1e-5 * call.sharpness
        assert (one.double() - 3 * other).abs().max().item() <= bound * largest, name


def test_most_of_a_clamped_loss_is_clamped() -> None:
    call = CALLS["a clamped loss"]
    given = call.whole(torch.float32)
    _, q = call.distributions({n: t.double() for n, t in given.items()}, given, 1)
    assert 0.2 < (q < 1e-8).double().mean().item() < 1


def test_the_formula_is_the_gradient_of_the_divergence() -> None:
    """Where statistics are those of the scores, and nothing is clamped."""
    call = replace(RAGGED, queries=[4], keys=[6])
    given = {n: t.double() for n, t in call.whole(torch.float32).items() if "seq" not in n}
    leaves = [given[name].requires_grad_() for name in NAMES]
    p, _ = call.distributions(given, given, 0)
    shown = call.seen(0)
    q = torch.log_softmax(call.index_scores(given, 0), -1).masked_fill(~shown, 0)
    divergence = -(p.masked_fill(~shown, 0).detach() * q).sum()
    expected = torch.autograd.grad(divergence, leaves)
    found = torch.autograd.grad(call.losses(given, given), leaves)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


# --- PyTorch ------------------------------------------------------------------------------------


def losses() -> list[str]:
    return [op for op in tamis.operators() if brings_gradients(tamis.describe(op))]


@pytest.mark.parametrize("op", losses())
def test_every_loss_that_brings_gradients_has_a_backward(op: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "pytorch.md").read_text()
    assert f"| `{op}` | `loss` |" in page
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"tamis::{op}", "Autograd")
    loss, schema = Loss(tamis.describe(op)), overload(op)._schema
    assert list(loss.inputs) == [a.name for a in schema.arguments if not a.kwarg_only]
    assert list(loss.outputs) == [a.name for a in schema.returns]


CHECKED = ("packed, ragged", "padded", "rope, a head of keys for each of queries")


@pytest.mark.parametrize("label", [*CHECKED, "factors of tokens", "weights in fp32"])
def test_pytorchs_own_checks_pass_where_gradients_are_wanted(label: str) -> None:
    call = CALLS[label]
    case = Case(OP, tracked(call), call.attributes(return_row_loss=True))
    positional, named = arguments(case)
    outcome = torch.library.opcheck(overload(OP), positional, named)
    assert outcome == dict.fromkeys(
        (
            "test_schema",
            "test_autograd_registration",
            "test_faketensor",
            "test_aot_dispatch_dynamic",
        ),
        "SUCCESS",
    )


def warm_up(query: Tensor, key: Tensor, *index: Tensor) -> tuple[Tensor, Tensor]:
    """A loss of dense attention and the indexer, as a model has it."""
    query_index, key_index, weights = index
    how = {"scale_value": 0.25, "window_size": 1 << 30}
    _, top, total = ops.sliding_window_attention(query, key, key, **how)
    statistics = ops.dense_lightning_indexer_softmax_lse(
        query_index.detach(), key_index.detach(), weights.detach()
    )
    loss, *_, rows = ops.dense_lightning_indexer_grad_kl_loss(
        query,
        key,
        2 * query_index,
        key_index,
        weights,
        top,
        total,
        *statistics,
        scale_value=0.25,
        return_row_loss=True,
    )
    return loss.sum() / query.shape[1], rows


def layer_tensors(length: int) -> list[Tensor]:
    made = tracked(Call("BSND", [length], [length]))
    return [made[name] for name in ("query", "key", *NAMES)]


def test_a_compiled_model_has_the_bits_of_an_eager_one_forward_and_backward() -> None:
    compiled = torch.compile(warm_up, fullgraph=True, dynamic=True)
    for length in (70, 90, 131):
        tensors = layer_tensors(length)
        (found, rows), (expected, other_rows) = compiled(*tensors), warm_up(*tensors)
        assert torch.equal(found, expected)
        assert torch.equal(rows, other_rows)
        assert not rows.requires_grad
        for one, other in zip(
            torch.autograd.grad(found, tensors[2:]),
            torch.autograd.grad(expected, tensors[2:]),
            strict=True,
        ):
            assert torch.equal(one, other)


def test_a_checkpoint_gives_the_same_bits() -> None:
    tensors = layer_tensors(70)
    expected = torch.autograd.grad(warm_up(*tensors)[0], tensors[2:])
    loss, _ = checkpoint(warm_up, *tensors, use_reentrant=False)
    found = torch.autograd.grad(loss, tensors[2:])
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("wanted", [*((name,) for name in NAMES), NAMES])
def test_only_what_is_wanted_comes_back_and_nothing_is_computed_again(
    wanted: tuple[str, ...],
) -> None:
    whole = tracked(RAGGED)
    expected = dict(
        zip(
            NAMES,
            torch.autograd.grad(loss_of(RAGGED, whole), [whole[n] for n in NAMES]),
            strict=True,
        )
    )
    tensors = {n: t.detach().requires_grad_(n in wanted) for n, t in whole.items()}
    with Spy(OP) as spy:
        loss_of(RAGGED, tensors).backward()
    assert len(spy.calls) == 1
    for name in NAMES:
        grad = tensors[name].grad
        assert (grad is not None) == (name in wanted)
        assert grad is None or torch.equal(grad, expected[name])


def test_a_call_without_gradients_of_what_requires_none_is_differentiable() -> None:
    tensors = tracked(RAGGED)
    for name in ("query_index", "weights"):
        tensors[name] = tensors[name].detach()
    off = {"return_query_index_grad": False, "return_weights_grad": False}
    loss, *gradients = overload(OP)(**tensors, **RAGGED.attributes(**off))
    assert [g.numel() > 0 for g in gradients] == [False, True, False, False]
    loss.backward()
    assert torch.equal(tensors["key_index"].grad, gradients[1])


def test_other_outputs_are_not_differentiable() -> None:
    tensors = tracked(RAGGED)
    loss, *others = overload(OP)(**tensors, **RAGGED.attributes(return_row_loss=True))
    assert loss.requires_grad
    assert not any(tensor.requires_grad for tensor in others)


def test_nothing_comes_back_where_nothing_comes_in() -> None:
    loss = Loss(tamis.describe(OP))
    ctx = SimpleNamespace(needs_input_grad=(False, False, True), needed=["query_index"])
    assert loss.backward(ctx, *(None,) * 5) == (None, None, None)


def test_a_backward_may_be_recorded_and_has_no_backward() -> None:
    tensors = tracked(RAGGED)
    leaves = [tensors[name] for name in NAMES]
    expected = torch.autograd.grad(loss_of(RAGGED, tensors), leaves)
    found = torch.autograd.grad(loss_of(RAGGED, tensors), leaves, create_graph=True)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    with pytest.raises(
        NotImplementedError,
        match=rf"^{OP}: expected to be differentiated no further \(.*\), got a second backward$",
    ):
        found[0].float().sum().backward()


@pytest.mark.parametrize("name", ["query", "key", "row_scale"])
def test_the_main_attention_is_constant(name: str) -> None:
    call = replace(RAGGED, scaled=True)
    tensors = tracked(call)
    tensors[name].requires_grad_()
    with pytest.raises(NotImplementedError) as caught:
        loss_of(call, tensors)
    assert str(caught.value) == (
        f"{name}: expected a tensor without gradient ({OP} gives none for it: pass .detach()), got "
        "one that requires grad"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_that_was_not_asked_for_is_refused(name: str) -> None:
    tensors = tracked(RAGGED)
    with pytest.raises(NotImplementedError) as caught:
        overload(OP)(**tensors, **RAGGED.attributes(**{f"return_{name}_grad": False}))
    assert str(caught.value) == (
        f"return_{name}_grad: expected True where a gradient of {name} is wanted (the call "
        "computes it: call it under torch.no_grad() or pass .detach()), got False"
    )
    with torch.no_grad():
        overload(OP)(**tensors, **RAGGED.attributes(**{f"return_{name}_grad": False}))
