"""How near selection and attention are to float64 and to the same models in fp32."""

from __future__ import annotations

from typing import Any

import hf_models as models
import pytest
import torch
from hf_models import logits, rms
from torch import Tensor

from tamis.transformers import _indexer

pytestmark = pytest.mark.parametrize("family", models.FAMILIES)

# Of two scores in fp32, as part of the sum of magnitudes: 16 roundings. Products of values of 16
# bits are exact, sums are made in lanes.
BOUND = 16 * 2.0**-24


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_selection_is_float64s_but_for_scores_within_the_bound(
    family: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []
    select = _indexer.select

    def recorded(*given: Any) -> Tensor:
        calls.append((*given, select(*given)))
        return calls[-1][-1]

    monkeypatch.setattr(_indexer, "select", recorded)
    model, ids = models.make(family, dtype), models.tokens(2, 150)
    logits(model, "tamis", ids)
    assert len(calls) >= 2
    differing = 0
    for query, key, weight, _, count, found in calls:
        products = torch.einsum("bshd,btd->bsht", query.double(), key.double())
        scores = torch.einsum("bsh,bsht->bst", weight.double(), products.relu())
        magnitudes = torch.einsum(
            "bsh,bshd,btd->bst", weight.double().abs(), query.double().abs(), key.double().abs()
        )
        tokens = scores.shape[1]
        hidden = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
        scores = scores.masked_fill(hidden, -torch.inf)
        for row in range(scores.shape[0]):
            for token in range(tokens):
                wanted = min(count, token + 1)
                best = set(scores[row, token].topk(wanted).indices.tolist())
                given = set(found[row, token][:wanted].tolist())
                assert len(given) == wanted
                if best == given:
                    continue
                differing += 1
                gap = scores[row, token][list(best - given)].max()
                gap = gap - scores[row, token][list(given - best)].min()
                assert gap <= BOUND * magnitudes[row, token, : token + 1].max()
    assert differing <= 2


def outputs_of_attention(model: Any, ids: Tensor, implementation: str) -> list[Tensor]:
    """What goes into each layer's output projection."""
    found: list[Tensor] = []
    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _m, given: found.append(given[0]))
        for layer in models.layers_of(model)
    ]
    logits(model, implementation, ids)
    for hook in hooks:
        hook.remove()
    return found


def test_attention_to_all_tokens_is_as_near_to_fp32_as_eager(family: str) -> None:
    """The first layer's: whose inputs are the same in every implementation."""
    ids = models.tokens(2, 100)
    model = models.make(family, torch.bfloat16, index_topk=128)
    exact = models.make(family, index_topk=128)
    exact.load_state_dict(model.state_dict())  # the weights that bf16 has, in fp32
    exact_output = outputs_of_attention(exact, ids, "eager")[0]
    scale = rms(exact_output)
    eager = rms(outputs_of_attention(model, ids, "eager")[0] - exact_output) / scale
    ours = rms(outputs_of_attention(model, ids, "tamis")[0] - exact_output) / scale
    assert ours <= 1.1 * eager
    assert ours <= 0.015


def test_bf16_logits_are_as_near_as_those_of_others(family: str) -> None:
    """Over several prompts: with random weights one selection that differs moves a prompt."""
    model = models.make(family, torch.bfloat16)
    exact = models.make(family)
    exact.load_state_dict(model.state_dict())
    prompts = [models.tokens(2, 150, seed) for seed in range(4)]
    of = {
        way: torch.cat([logits(model, way, ids).float() for ids in prompts])
        for way in ("eager", "tamis", *["sdpa"] * model._supports_sdpa)
    }
    fp32 = torch.cat([logits(exact, "eager", ids) for ids in prompts])
    if "sdpa" in of:  # HY-V4 has none
        assert rms(of["tamis"] - of["eager"]) <= 1.3 * rms(of["sdpa"] - of["eager"])
    assert rms(of["tamis"] - fp32) <= 1.1 * rms(of["eager"] - fp32)
