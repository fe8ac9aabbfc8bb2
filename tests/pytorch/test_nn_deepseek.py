"""DeepSeekSparseAttention: against plain attention with the checkpoint's weights, and in steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tamis.nn import DeepSeekSparseAttention, PagedCache

SMALL: dict[str, Any] = {
    "hidden": 256,
    "heads": 4,
    "q_lora_rank": 96,
    "kv_lora_rank": 64,
    "rope_dim": 16,
    "nope_dim": 32,
    "v_dim": 24,
    "index_heads": 8,
    "index_dim": 32,
    "topk": 24,
}
LENGTHS = [70, 33]


def checkpoint(size: dict[str, Any]) -> dict[str, Tensor]:
    """Random weights by the checkpoint's names, [out, in]."""

    def linear(out: int, inner: int) -> Tensor:
        return (torch.randn(out, inner) / math.sqrt(inner)).bfloat16()

    def gamma(n: int) -> Tensor:
        return torch.randn(n).div(8).add(1).bfloat16()

    head = size["nope_dim"] + size["rope_dim"]
    hidden, low, latent = size["hidden"], size["q_lora_rank"], size["kv_lora_rank"]
    return {
        "q_a_proj.weight": linear(low, hidden),
        "q_a_layernorm.weight": gamma(low),
        "q_b_proj.weight": linear(size["heads"] * head, low),
        "kv_a_proj_with_mqa.weight": linear(latent + size["rope_dim"], hidden),
        "kv_a_layernorm.weight": gamma(latent),
        "kv_b_proj.weight": linear(size["heads"] * (size["nope_dim"] + size["v_dim"]), latent),
        "o_proj.weight": linear(hidden, size["heads"] * size["v_dim"]),
        "indexer.wq_b.weight": linear(size["index_heads"] * size["index_dim"], low),
        "indexer.wk.weight": linear(size["index_dim"], hidden),
        "indexer.k_norm.weight": gamma(size["index_dim"]),
        "indexer.k_norm.bias": gamma(size["index_dim"]) - 1,
        "indexer.weights_proj.weight": linear(size["index_heads"], hidden),
    }


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """[T, .., rope]: pairs of neighbours as complex numbers, turned."""
    turn = torch.polar(torch.ones_like(angles), angles)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    turn = turn.reshape(len(x), *[1] * (x.ndim - 2), -1)
    return torch.view_as_real(pairs * turn).flatten(-2)


def norm(x: Tensor, gamma: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * gamma


def plain_attention(
    x: Tensor,
    weights: dict[str, Tensor],
    size: dict[str, Any],
    frequencies: Tensor,
    attention_factor: float,
    scale: float,
) -> Tensor:
    """One sequence [T, H] with heads of their own keys and values, causal, float64."""
    w = {name.removesuffix(".weight"): t.double() for name, t in weights.items()}
    x, heads, nope, latent = x.double(), size["heads"], size["nope_dim"], size["kv_lora_rank"]
    angles = torch.arange(len(x))[:, None] * frequencies
    q = norm(x @ w["q_a_proj"].T, w["q_a_layernorm"]) @ w["q_b_proj"].T
    q = q.reshape(len(x), heads, -1)
    kv = x @ w["kv_a_proj_with_mqa"].T
    both = norm(kv[:, :latent], w["kv_a_layernorm"]) @ w["kv_b_proj"].T
    both = both.reshape(len(x), heads, -1)
    k_rope = attention_factor * rotate(kv[:, None, latent:], angles).expand(-1, heads, -1)
    q_rope = attention_factor * rotate(q[..., nope:].contiguous(), angles)
    q = torch.cat([q[..., :nope], q_rope], -1)
    k = torch.cat([both[..., :nope], k_rope], -1)
    hidden = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    scores = torch.einsum("tnd,snd->nts", q, k) * scale
    p = torch.softmax(scores.masked_fill(hidden, -torch.inf), -1)
    return torch.einsum("nts,snv->tnv", p, both[..., nope:]).flatten(1) @ w["o_proj"].T


def tokens(hidden: int, lengths: Sequence[int] = LENGTHS) -> list[Tensor]:
    return [torch.randn(n, hidden).bfloat16() for n in lengths]


def new_cache(layer: DeepSeekSparseAttention) -> PagedCache:
    return layer.make_cache(sequences=2, pages=20, page_size=16)


def in_steps(
    layer: DeepSeekSparseAttention, x: list[Tensor], steps: list[tuple[int, int]], latent: bool
) -> Tensor:
    """The rows of both sequences, packed, from several calls."""
    cache, begins = new_cache(layer), [0, 0]
    parts: list[list[Tensor]] = [[], []]
    for counts in steps:
        ends = [begin + n for begin, n in zip(begins, counts, strict=True)]
        new = torch.cat([x[b][begins[b] : ends[b]] for b in (0, 1)])
        out = (layer.attend if latent else layer)(new, counts, cache)
        for b, part in enumerate(torch.split(out, list(counts))):
            parts[b].append(part)
        begins = ends
    assert begins == [len(part) for part in x]
    return torch.cat([*parts[0], *parts[1]])


def test_the_defaults_are_the_models() -> None:
    with torch.device("meta"):
        layer = DeepSeekSparseAttention()
    assert sum(p.numel() for p in layer.parameters()) == pytest.approx(201e6, rel=0.01)
    assert layer.scale_value == pytest.approx(0.135234, rel=1e-5)
    assert layer.w_uq_qr.shape == (1536, 24576)
    assert layer.w_o.shape == (16384, 7168)
    assert not any(p.requires_grad for p in layer.parameters())


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([(40, 20), (20, 1), (10, 12)], id="chunks"),
        pytest.param([(60, 30), (4, 0), (3, 2), (2, 1), (1, 0)], id="steps of 1 to 4 tokens"),
        pytest.param([(70, 0), (0, 33)], id="one after the other"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_prefill_then_decode_equals_one_prefill(
    steps: list[tuple[int, int]], dtype: torch.dtype
) -> None:
    torch.manual_seed(2)
    layer = DeepSeekSparseAttention(**SMALL, dtype=dtype)
    x = [part.to(dtype) for part in tokens(SMALL["hidden"])]
    whole = torch.cat(x), LENGTHS
    assert torch.equal(in_steps(layer, x, steps, True), layer.attend(*whole, new_cache(layer)))
    got, want = in_steps(layer, x, steps, False), layer(*whole, new_cache(layer))
    # torch multiplies other numbers of rows in another order: two roundings, and their sums.
    unit = torch.finfo(dtype).eps
    assert ((got - want).norm() <= 2 * unit * want.norm()).all()


def test_a_step_at_the_sizes_of_the_model() -> None:
    torch.manual_seed(3)
    layer = DeepSeekSparseAttention()
    x = torch.randn(6, 7168).bfloat16()
    whole = layer.attend(x, [6], layer.make_cache(sequences=1, pages=1))
    cache = layer.make_cache(sequences=1, pages=1)
    parts = [layer.attend(part, [len(part)], cache) for part in torch.split(x, [3, 1, 2])]
    assert torch.equal(torch.cat(parts), whole)
    assert layer(x[:1], [1], cache).shape == (1, 7168)
    assert cache.lengths == [7]


def test_a_freed_sequence_starts_anew() -> None:
    torch.manual_seed(4)
    layer = DeepSeekSparseAttention(**SMALL)
    x = tokens(SMALL["hidden"])
    cache = new_cache(layer)
    layer(torch.cat(x), LENGTHS, cache)
    cache.free(0)
    again = layer.attend(x[0], [70, 0], cache)
    assert torch.equal(again, layer.attend(x[0], [70, 0], new_cache(layer)))


def test_a_call_without_tokens_changes_nothing() -> None:
    layer = DeepSeekSparseAttention(**SMALL)
    cache = new_cache(layer)
    nothing = torch.zeros(0, 256).bfloat16()
    assert layer(nothing, [0, 0], cache).shape == (0, 256)
    layer(torch.zeros(3, 256).bfloat16(), [3, 0], cache)
    assert layer(nothing, [0, 0], cache).shape == (0, 256)
    assert cache.lengths == [3, 0]


def test_a_refused_call_leaves_the_cache_as_it_was() -> None:
    layer = DeepSeekSparseAttention(**SMALL)
    cache = new_cache(layer)
    layer(torch.zeros(5, 256).bfloat16(), [3, 2], cache)
    for wrong in (torch.zeros(40, 256), torch.zeros(40, 255).bfloat16()):
        with pytest.raises(ValueError, match="expected"):
            layer(wrong, [40, 0], cache)
        assert cache.lengths == [3, 2]
        assert cache.table.unused == 18


def test_tokens_taken_back_are_forgotten() -> None:
    torch.manual_seed(5)
    layer = DeepSeekSparseAttention(**SMALL)
    x = tokens(SMALL["hidden"])[0]
    cache = new_cache(layer)
    layer(x[:30], [30, 0], cache)
    layer(torch.randn(4, 256).bfloat16(), [4, 0], cache)  # a draft that is not accepted
    cache.truncate([30, 0])
    found = layer.attend(x[30:], [40, 0], cache)
    assert torch.equal(found, layer.attend(x, [70, 0], new_cache(layer))[30:])


def test_what_does_not_fit_is_refused_before_anything_changes() -> None:
    layer = DeepSeekSparseAttention(**SMALL)
    cache = new_cache(layer)
    with pytest.raises(ValueError, match="x: expected 3 rows, as counts, got 2"):
        layer(torch.zeros(2, 256).bfloat16(), [3, 0], cache)
    assert cache.lengths == [0, 0]
    x = torch.zeros(1, 256).bfloat16().requires_grad_()
    with pytest.raises(RuntimeError, match="requires grad"):
        layer(x, [1, 0], cache)
