"""What programs do with models: padding, caches, chunks, beams, assistants, compilers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import hf_models as models
import pytest
import torch
from hf_models import generated, layers_of, logits, logits_of
from torch import Tensor
from transformers import DynamicCache, StaticCache

from tamis.transformers import Cache

pytestmark = pytest.mark.parametrize("family", models.FAMILIES)


def new_cache(model: Any, kind: str) -> Any:
    config = model.config.get_text_config(decoder=True)
    if kind == "own":
        return Cache(model, 2, 192)
    return DynamicCache(config=config) if kind == "dynamic" else StaticCache(config, 192)


def left_padded(ids: Tensor, padding: int) -> dict[str, Tensor]:
    mask = torch.ones_like(ids)
    mask[0, :padding] = 0
    return {"attention_mask": mask}


def test_a_left_padded_row_is_the_row_alone(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 60)
    padded = generated(model, "tamis", ids, max_new_tokens=24, **left_padded(ids, 13))
    alone = generated(model, "tamis", ids[:1, 13:], max_new_tokens=24)
    assert torch.equal(padded[:1, 13:], alone)
    assert torch.equal(
        padded, generated(model, "eager", ids, max_new_tokens=24, **left_padded(ids, 13))
    )


def test_selected_attention_of_a_left_padded_row_has_its_bits_alone(family: str) -> None:
    """Of the first layer that selects, whose inputs do not depend on other rows' padding."""
    model, ids = models.make(family), models.tokens(2, 60)
    positions = (torch.arange(60) - 13).clamp(min=0)[None].repeat(2, 1)
    found = logits(model, "tamis", ids, position_ids=positions, **left_padded(ids, 13))
    alone = logits(model, "tamis", ids[:1, 13:])
    torch.testing.assert_close(found[:1, 13:], alone, rtol=0, atol=2e-6)


def test_a_right_padded_row_is_the_row_alone(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 60)
    mask = torch.ones_like(ids)
    mask[0, 47:] = 0
    found = logits(model, "tamis", ids, attention_mask=mask)
    alone = logits(model, "tamis", ids[:1, :47])
    torch.testing.assert_close(found[:1, :47], alone, rtol=0, atol=2e-6)


def in_parts(model: Any, kind: str, ids: Tensor, sizes: list[int]) -> Tensor:
    model.set_attn_implementation("tamis")
    cache = new_cache(model, kind)
    with torch.no_grad():
        parts = [model(p, cache=cache, use_cache=True).logits for p in ids.split(sizes, dim=1)]
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("kind", ["dynamic", "static", "own"])
def test_chunks_and_single_tokens_are_the_whole(family: str, kind: str) -> None:
    model, ids = models.make(family), models.tokens(2, 70)
    whole = logits(model, "tamis", ids, use_cache=False)
    found = in_parts(model, kind, ids, [40, 25, 1, 1, 1, 1, 1])
    torch.testing.assert_close(found, whole, rtol=0, atol=2e-6)


def test_a_static_cache_gives_the_tokens_of_a_dynamic_one(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 40)
    dynamic = generated(model, "tamis", ids, max_new_tokens=24)
    static = generated(
        model, "tamis", ids, max_new_tokens=24, cache_implementation="static", disable_compile=True
    )
    assert torch.equal(static, dynamic)


def test_beams_are_those_of_eager(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 40)
    beams = {"num_beams": 3, "max_new_tokens": 12}
    assert torch.equal(
        generated(model, "tamis", ids, **beams), generated(model, "eager", ids, **beams)
    )


def test_prompt_lookup_gives_the_greedy_tokens(family: str) -> None:
    model = models.make(family)
    ids = models.tokens(1, 30).repeat(1, 2)
    greedy = generated(model, "tamis", ids, max_new_tokens=24)
    assert torch.equal(
        generated(model, "tamis", ids, max_new_tokens=24, prompt_lookup_num_tokens=3), greedy
    )


def test_an_assistant_gives_the_greedy_tokens(family: str) -> None:
    model, ids = models.make(family), models.tokens(1, 40)
    assistant = models.make(family)
    with torch.no_grad():
        for parameter in assistant.parameters():
            parameter.mul_(1.01)
    assistant.set_attn_implementation("tamis")
    greedy = generated(model, "tamis", ids, max_new_tokens=24)
    assert torch.equal(
        generated(model, "tamis", ids, max_new_tokens=24, assistant_model=assistant), greedy
    )


def test_selected_tokens_are_in_every_rows_sight(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 60)
    lists: list[Tensor] = []
    for layer in layers_of(model):
        if layer.self_attn.indexer is not None:
            layer.self_attn.indexer.register_forward_hook(lambda _m, _i, out: lists.append(out))
    logits(model, "tamis", ids, **left_padded(ids, 13))
    assert lists
    for chosen in lists:
        assert chosen.dtype == torch.int32
        for row, first in ((0, 13), (1, 0)):
            for token in range(first, 60):
                seen = chosen[row, token]
                given = seen[seen >= 0]
                assert len(given) == min(24, token + 1 - first)
                assert int(given.min()) >= first
                assert int(given.max()) <= token
                assert len(set(given.tolist())) == len(given)


def test_a_fresh_process_loads_and_generates(family: str, tmp_path: Any) -> None:
    model, ids = models.make(family), models.tokens(1, 30)
    expected = generated(model, "tamis", ids, max_new_tokens=8)
    model.save_pretrained(tmp_path)
    script = f"""
import sys, torch, transformers
import tamis.transformers
model = transformers.{type(model).__name__}.from_pretrained(
    sys.argv[1], attn_implementation="tamis", dtype=torch.float32)
ids = torch.tensor({ids.tolist()})
print(model.generate(ids, do_sample=False, max_new_tokens=8, suppress_tokens=[0]).tolist())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == str(expected.tolist())


def test_a_compiled_model_has_the_bits(family: str) -> None:
    """One graph with a cache; a mask of padding, whose holes are looked for, breaks it."""
    model, ids = models.make(family), models.tokens(2, 40)
    expected = logits(model, "tamis", ids)
    torch._dynamo.reset()
    whole = torch.compile(model, backend="eager", fullgraph=True)
    assert torch.equal(logits_of(whole, ids), expected)
    torch._dynamo.reset()
    parts = torch.compile(model, backend="eager")
    mask = torch.ones_like(ids)
    assert torch.equal(logits_of(parts, ids, attention_mask=mask), expected)
