"""What trains the indexer by its names on the device: float64's formulas, and one operator each."""

from __future__ import annotations

import importlib
import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import tamis.npu_compat
from tamis.npu_compat.options import options

torch_npu = importlib.import_module("torch_npu")

B, S1, S2, N1, D, ROPE, NI, DI, K = 2, 3, 5, 4, 16, 8, 3, 16, 4
SCALE = 0.25
LAYOUTS = ["BSND", "TND"]
INDEX = ("query_index", "key_index", "weights")
NONE = dict.fromkeys(("sparse_mode", "pre_tokens", "next_tokens"))


@pytest.fixture(autouse=True)
def _as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for option, value in vars(options).items():
        monkeypatch.setattr(options, option, value)


def made(kv_heads: int) -> dict[str, Tensor]:
    """Tensors of a padded call in fp32."""
    generator = torch.Generator().manual_seed(6)
    shapes = {
        "query": (B, S1, N1, D),
        "key": (B, S2, kv_heads, D),
        "query_index": (B, S1, NI, DI),
        "key_index": (B, S2, 1, DI),
        "weights": (B, S1, NI),
        "query_rope": (B, S1, N1, ROPE),
        "key_rope": (B, S2, kv_heads, ROPE),
    }
    tensors = {n: torch.randn(s, generator=generator) for n, s in shapes.items()}
    tensors["weights"] /= 4  # no probability is so small that the loss is clamped
    return tensors


def in_layout(tensors: dict[str, Tensor], layout: str) -> dict[str, Any]:
    """The same sequences packed, with their lengths as the device has them."""
    if layout == "BSND":
        return {**tensors, "layout": layout}
    packed = {n: t.flatten(0, 1) for n, t in tensors.items()}
    sums = {"actual_seq_qlen": [S1, 2 * S1], "actual_seq_klen": [S2, 2 * S2]}
    return {**packed, **sums, "layout": layout}


def of(call: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The arguments of these names, and what all calls have."""
    common = ("actual_seq_qlen", "actual_seq_klen", "layout")
    return {n: call[n] for n in (*names, *common) if n in call}


def visible() -> Tensor:
    """[S1, S2]: causal from the end."""
    return torch.ones(S1, S2).tril(S2 - S1).bool()


def main_scores(tensors: dict[str, Tensor]) -> Tensor:
    """[B, N1, S1, S2] in float64, -inf where a token sees no key."""
    group = N1 // tensors["key"].shape[2]
    query = torch.cat([tensors["query"], tensors["query_rope"]], -1).double()
    key = torch.cat([tensors["key"], tensors["key_rope"]], -1).double()
    scores = torch.einsum("bihd,bjhd->bhij", query, key.repeat_interleave(group, 2)) * SCALE
    return scores.masked_fill(~visible(), -math.inf)


def index_scores(tensors: dict[str, Tensor]) -> Tensor:
    """[B, S1, S2] in float64, of tensors that require grad."""
    products = torch.einsum("bigd,bjd->bgij", tensors["query_index"], tensors["key_index"][:, :, 0])
    scores = torch.einsum("big,bgij->bij", tensors["weights"], products.relu())
    return scores.masked_fill(~visible(), -math.inf)


def statistics(scores: Tensor, kv_heads: int, layout: str) -> dict[str, Tensor]:
    """Maxima and sums [B, N1, S1] as the device has them, N2 heads of groups."""
    maximum = scores.amax(-1)
    total = (scores - maximum[..., None]).exp().sum(-1)
    found = {}
    for name, values in (("softmax_max", maximum), ("softmax_sum", total)):
        grouped = values.unflatten(1, (kv_heads, -1)).transpose(2, 3)  # [B, N2, S1, G]
        packed = grouped.transpose(0, 1).flatten(1, 2)  # [N2, T1, G]
        found[name] = (grouped if layout == "BSND" else packed).float().contiguous()
    return found


def divergence(p: Tensor, index: Tensor) -> Tensor:
    """Over keys that p weighs."""
    logs = torch.log_softmax(index, -1).masked_fill(p == 0, 0)
    return (p * (p.clamp_min(1e-8).log() - logs)).sum()


def expected_of(loss: Tensor, leaves: dict[str, Tensor], like: dict[str, Any]) -> list[Tensor]:
    gradients = torch.autograd.grad(loss, [leaves[n] for n in INDEX])
    shaped = [g.reshape(like[n].shape) for g, n in zip(gradients, INDEX, strict=True)]
    return [*shaped, loss.detach().view(1)]


def index_leaves(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {n: tensors[n].double().requires_grad_() for n in INDEX}


def near(found: Any, expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.shape, one.dtype) == (other.shape, torch.float32)
        assert (one - other).abs().max() <= 1e-5 * max(1.0, float(other.abs().max()))


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def dense_call(layout: str, kv_heads: int) -> tuple[dict[str, Any], list[Tensor]]:
    """A call of the dense loss, and what float64 makes of it."""
    tensors = made(kv_heads)
    given, scores = in_layout(tensors, layout), main_scores(tensors)
    maximum, total = torch_npu.npu_dense_lightning_indexer_softmax_lse(**of(given, INDEX))
    given |= statistics(scores, kv_heads, layout) | {"scale_value": SCALE}
    given |= {"softmax_max_index": maximum, "softmax_sum_index": total}
    leaves = index_leaves(tensors)
    loss = divergence(torch.softmax(scores, -1).mean(1), index_scores(leaves))
    return given, expected_of(loss, leaves, given)


def sparse_call(layout: str, *, sinks: bool = False) -> tuple[dict[str, Any], list[Tensor]]:
    """A call of the sparse loss, whose statistics the device's attention makes, and float64's."""
    tensors = made(1)
    ids = torch.full((B, S1, 1, K), -1, dtype=torch.int32)
    picked = torch.zeros(B, S1, S2, dtype=torch.bool)
    for i in range(S1):  # every key but one that the token sees
        seen = [j for j in range(S2 - S1 + i + 1) if j != i]
        ids[:, i, 0, : len(seen)] = torch.tensor(seen).flip(0)
        picked[:, i, seen] = True
    given = in_layout(tensors | {"sparse_indices": ids}, layout) | {"scale_value": SCALE}
    lengths = {}
    if layout == "TND":
        for name, sums in (("query", "actual_seq_qlen"), ("kv", "actual_seq_klen")):
            lengths[f"actual_seq_lengths_{name}"] = torch.tensor(given[sums], dtype=torch.int32)
    extra = {"sinks": torch.linspace(-1, 1, N1)} if sinks else {}
    names = ("query", "key", "sparse_indices", "query_rope", "key_rope", "scale_value")
    _, maximum, total = torch_npu.npu_sparse_flash_attention(
        **{n: given[n] for n in names},
        value=given["key"],
        layout_query=layout,
        layout_kv=layout,
        return_softmax_lse=True,
        **lengths,
        **extra,
    )
    given |= {"softmax_max": maximum, "softmax_sum": total, **extra}
    weights = main_scores(tensors).masked_fill(~picked[:, None], -math.inf)
    if sinks:
        column = extra["sinks"].double().view(1, N1, 1, 1).expand(B, N1, S1, 1)
        p = torch.softmax(torch.cat([weights, column], -1), -1)[..., :-1].sum(1)
        p = p / p.sum(-1, keepdim=True)
    else:
        p = torch.softmax(weights, -1).mean(1)
    leaves = index_leaves(tensors)
    loss = divergence(p, index_scores(leaves).masked_fill(~picked, -math.inf))
    return given, expected_of(loss, leaves, given)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_statistics_are_those_of_all_keys(layout: str) -> None:
    tensors = made(1)
    given = of(in_layout(tensors, layout), INDEX)
    scores = index_scores({n: tensors[n].double() for n in INDEX})
    maximum = scores.amax(-1)
    total = (scores - maximum[..., None]).exp().sum(-1)
    rows = (B, 1, S1) if layout == "BSND" else (1, B * S1)
    expected = [maximum.reshape(rows), total.reshape(rows)]
    found = torch_npu.npu_dense_lightning_indexer_softmax_lse(**given)
    near(found, expected)
    operator = torch.ops.npu.npu_dense_lightning_indexer_softmax_lse
    assert equal(operator(**given), found)
    assert equal(operator(**given, **NONE), found)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_dense_loss_is_the_formulas(layout: str, kv_heads: int) -> None:
    given, expected = dense_call(layout, kv_heads)
    found = torch_npu.npu_dense_lightning_indexer_grad_kl_loss(**given)
    near(found, expected)
    operator = torch.ops.npu.npu_dense_lightning_indexer_grad_kl_loss
    assert equal(operator(**given), found)
    assert equal(operator(**given, **NONE), found)


@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_sparse_loss_is_the_formulas(layout: str, sinks: bool) -> None:
    given, expected = sparse_call(layout, sinks=sinks)
    found = torch_npu.npu_sparse_lightning_indexer_grad_kl_loss(**given)
    near(found, expected)
    operator = torch.ops.npu.npu_sparse_lightning_indexer_grad_kl_loss
    assert equal(operator(**given), found)
    assert equal(operator(**given, **NONE), found)


CALLS = {"dense": lambda layout: dense_call(layout, N1), "sparse": sparse_call}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", CALLS)
def test_results_have_the_dtypes_of_their_inputs(kind: str, layout: str) -> None:
    """16 bits, and weights in 16 or in 32, as on the device; fake tensors tell the same."""
    call = getattr(torch_npu, f"npu_{kind}_lightning_indexer_grad_kl_loss")
    given, expected = CALLS[kind](layout)
    narrow = {n: given[n].half() for n in given if n.startswith(("query", "key"))}
    for dtype in (torch.float16, torch.float32):
        half = given | narrow | {"weights": given["weights"].to(dtype)}
        found = call(**half)
        assert [t.dtype for t in found] == [torch.float16, torch.float16, dtype, torch.float32]
        assert abs(float(found[3] / expected[3]) - 1) < 0.01
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            fake = {n: mode.from_tensor(t) if isinstance(t, Tensor) else t for n, t in half.items()}
            told = call(**fake)
        for one, other in zip(told, found, strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype)


@pytest.mark.parametrize("kind", CALLS)
def test_the_losses_compile_to_one_graph(kind: str) -> None:
    operator = getattr(torch.ops.npu, f"npu_{kind}_lightning_indexer_grad_kl_loss")
    given, _ = CALLS[kind]("TND")
    compiled = torch.compile(lambda **named: operator(**named), backend="aot_eager", fullgraph=True)
    assert equal(compiled(**given), operator(**given))


@pytest.mark.parametrize(
    ("kind", "change", "line"),
    [
        ("dense", {"layout": "SBND"}, "layout: expected BSND or TND, got SBND"),
        (
            "sparse",
            {"pre_tokens": 4},
            "pre_tokens: expected at least the 5 keys (no window), got 4",
        ),
        (
            "dense",
            {"next_tokens": 0},
            "next_tokens: expected at least the 5 keys (no window), got 0",
        ),
        (
            "dense",
            {"actual_seq_klen": [5, 8]},
            "actual_seq_klen: expected None or [5, 10] (all rows count with BSND), got [5, 8]",
        ),
        (
            "dense",
            {"softmax_max": torch.ones(2, 3, 4)},
            "softmax_max: expected shape [B, N2, S1, N1 / N2], got [2, 3, 4]",
        ),
        (
            "sparse",
            {"softmax_sum": torch.ones(2, 1, 4, 4)},
            "softmax_sum: expected ",
        ),
        (
            "dense",
            {"softmax_sum_index": torch.ones(2, 3)},
            "softmax_sum_index: expected shape [B, 1, S1], got [2, 3]",
        ),
    ],
)
def test_what_a_loss_does_not_take_is_refused(kind: str, change: dict[str, Any], line: str) -> None:
    given, _ = CALLS[kind]("BSND")
    call = getattr(torch_npu, f"npu_{kind}_lightning_indexer_grad_kl_loss")
    with pytest.raises(ValueError, match=f"^{re.escape(line)}"):
        call(**given | change)


def test_lengths_that_say_what_a_padded_call_says_change_nothing() -> None:
    given, _ = dense_call("BSND", N1)
    lengths = {"actual_seq_qlen": [S1, 2 * S1], "actual_seq_klen": [S2, 2 * S2]}
    wide = {"pre_tokens": 65536, "next_tokens": 65536}  # as the device's tests have it
    call = torch_npu.npu_dense_lightning_indexer_grad_kl_loss
    assert equal(call(**given, **lengths, **wide), call(**given))


@pytest.mark.parametrize("kind", CALLS)
def test_complaints_name_lengths_as_the_call_does(kind: str) -> None:
    given, _ = CALLS[kind]("TND")
    call = getattr(torch_npu, f"npu_{kind}_lightning_indexer_grad_kl_loss")
    with pytest.raises(ValueError, match=r"^actual_seq_klen\[1\]: "):
        call(**given | {"actual_seq_klen": [S2, 3]})


@pytest.mark.parametrize("kind", CALLS)
def test_strict_has_the_limits_of_the_pages(kind: str) -> None:
    given, _ = CALLS[kind]("BSND")
    narrow = {n: given[n].half() for n in given if n.startswith(("query", "key"))}
    call = getattr(torch_npu, f"npu_{kind}_lightning_indexer_grad_kl_loss")
    call(**given | narrow)
    tamis.npu_compat.enable(strict=True)
    with pytest.raises(ValueError, match=r"^query: expected \(strict\) N to be 32 or 64 or 128"):
        call(**given | narrow)
    with pytest.raises(ValueError, match=r"^query_index: expected \(strict\) Ni to be 8 or 16"):
        torch_npu.npu_dense_lightning_indexer_softmax_lse(**of(given | narrow, INDEX))
