"""Models with Tamis's attention beside the same models as they come."""

from __future__ import annotations

import hf_models as models
import pytest
import torch
from hf_models import generated, logits, rms

import tamis.transformers  # noqa: F401  # the implementation

pytestmark = pytest.mark.parametrize("family", models.FAMILIES)


def test_fp32_logits_are_those_of_eager(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 150)
    expected = logits(model, "eager", ids)
    assert rms(logits(model, "tamis", ids) - expected) <= 1e-4 * rms(expected)


def test_fp32_greedy_tokens_are_those_of_eager(family: str) -> None:
    model = models.make(family)
    for seed in range(8):
        ids = models.tokens(1, 20 + 9 * seed, seed)
        found = generated(model, "tamis", ids)
        assert found.shape[1] == ids.shape[1] + 64
        assert torch.equal(found, generated(model, "eager", ids)), seed


def test_eager_again_has_the_bits_of_a_model_that_never_changed(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 60)
    before = logits(model, "eager", ids)
    logits(model, "tamis", ids)
    assert torch.equal(logits(model, "eager", ids), before)
    assert torch.equal(logits(models.make(family), "eager", ids), before)
