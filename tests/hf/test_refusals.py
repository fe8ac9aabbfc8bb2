"""What the implementation does not do is said in one line that names one that does."""

from __future__ import annotations

import dataclasses

import hf_models as models
import pytest
import torch
import transformers
from hf_models import logits

import tamis.transformers
from tamis.transformers import _families

SDPA = r'model\.set_attn_implementation\("sdpa"\) takes it'


@pytest.mark.parametrize("family", models.FAMILIES)
class TestOfAFamily:
    """Every family refuses these."""

    def test_masks_with_holes(self, family: str) -> None:
        model, ids = models.make(family), models.tokens(2, 30)
        mask = torch.ones_like(ids)
        mask[0, 3] = 0
        with pytest.raises(ValueError, match=f"attention_mask: .* zeros between ones; {SDPA}"):
            logits(model, "tamis", ids, attention_mask=mask)

    def test_masks_of_all_pairs(self, family: str) -> None:
        model, ids = models.make(family), models.tokens(2, 30)
        mask = torch.ones(2, 1, 30, 30).tril().bool()
        with pytest.raises(ValueError, match=f"attention_mask: .* got shape .*; {SDPA}"):
            logits(model, "tamis", ids, attention_mask=mask)

    def test_packed_sequences(self, family: str) -> None:
        model, ids = models.make(family), models.tokens(1, 30)
        positions = torch.cat([torch.arange(12), torch.arange(18)])[None]
        with pytest.raises(ValueError, match=f"attention_mask: .*; {SDPA}"):
            logits(model, "tamis", ids, position_ids=positions, use_cache=False)

    def test_attentions(self, family: str) -> None:
        model, ids = models.make(family), models.tokens(1, 30)
        with pytest.raises(ValueError, match=f"output_attentions: .*; {SDPA}"):
            logits(model, "tamis", ids, output_attentions=True)

    def test_dropout_in_training(self, family: str) -> None:
        model, ids = models.make(family, attention_dropout=0.1), models.tokens(1, 30)
        with pytest.raises(ValueError, match=f"attention_dropout: .* got 0.1; {SDPA}"):
            logits(model.train(), "tamis", ids)

    def test_gradients(self, family: str) -> None:
        model, ids = models.make(family), models.tokens(1, 30)
        model.set_attn_implementation("tamis")
        with pytest.raises(ValueError, match=f"gradients: .*; {SDPA}"):
            model(ids)


def test_a_family_without_an_indexer() -> None:
    config = transformers.LlamaConfig(
        vocab_size=96,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(ValueError, match=f"model: .* got LlamaAttention; {SDPA}"):
        logits(model, "tamis", models.tokens(1, 8))


def test_code_that_is_not_known_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(_families.FAMILIES["axk2"], sources=("0" * 16,))
    monkeypatch.setitem(_families.FAMILIES, "axk2", other)
    known = set(_families.known)
    assert not _families.patch("axk2")
    assert _families.known == known
    assert all(tamis.transformers.families().values())
