"""tamis.transformers.Cache: rows laid out beforehand give what transformers' caches give."""

from __future__ import annotations

from typing import Any

import hf_models as models
import pytest
import torch
from hf_models import generated, logits
from torch import Tensor

from tamis.transformers import Cache

pytestmark = pytest.mark.parametrize("family", models.FAMILIES)
SMALL = {"max_new_tokens": 24}


def packs(model: Any) -> bool:
    """Whether all layers have an indexer, or use another's."""
    try:
        Cache(model, 1, 16).pack({0: [1]})
    except ValueError:
        return False
    return True


def test_a_padded_batch_has_the_tokens_of_a_dynamic_cache(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 60)
    mask = torch.ones_like(ids)
    mask[0, :13] = 0
    named = SMALL | {"attention_mask": mask}
    cache = Cache(model, 2, 100)
    found = generated(model, "tamis", ids, cache=cache, **named)
    assert torch.equal(found, generated(model, "tamis", ids, **named))
    assert cache.lengths == [83, 83]
    cache.reset()
    assert torch.equal(generated(model, "tamis", ids, cache=cache, **named), found)


def test_beams_share_pages(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 40)
    beams = {"num_beams": 3, "max_new_tokens": 12}
    cache = Cache(model, 6, 64, page_size=16)
    found = generated(model, "tamis", ids, cache=cache, **beams)
    assert torch.equal(found, generated(model, "tamis", ids, **beams))
    # Of three full pages of a sequence two hold prompts, which beams have in common.
    assert cache.table.pages - cache.table.unused <= 2 * 2 + 6 * 2


def test_draft_tokens_are_forgotten(family: str) -> None:
    model = models.make(family)
    ids = models.tokens(1, 30).repeat(1, 2)
    greedy = generated(model, "tamis", ids, **SMALL)
    drafts = SMALL | {"prompt_lookup_num_tokens": 3, "cache": Cache(model, 1, 100)}
    assert torch.equal(generated(model, "tamis", ids, **drafts), greedy)


def test_the_shadow_changes_no_bit(family: str) -> None:
    model, ids = models.make(family), models.tokens(1, 60)
    with_shadow, without = (
        logits(model, "tamis", ids, cache=Cache(model, 1, 64, shadow=shadow), use_cache=True)
        for shadow in (True, False)
    )
    assert torch.equal(with_shadow, without)


def test_sequences_come_grow_and_go(family: str) -> None:
    """Prompts, parts of prompts and single tokens in the same call, as a server has them."""
    model = models.make(family)
    if not packs(model):
        with pytest.raises(ValueError, match=r"^cache: expected a model of layers with an indexer"):
            Cache(model, 1, 16).pack({0: [1]})
        return
    texts = [models.tokens(1, n, seed)[0] for seed, n in enumerate((70, 45, 30, 51))]
    alone = [logits(model, "tamis", text[None], use_cache=False)[0] for text in texts]
    cache = Cache(model, 3, 80, pages=10, page_size=16)  # 15 would hold three of 80
    free, waiting, heard = [0, 1, 2], [0, 1, 2, 3], {i: [] for i in range(4)}  # type: ignore[var-annotated]
    running: dict[int, int] = {}  # text by its sequence
    random = torch.Generator().manual_seed(5)
    while waiting or running:
        if free and waiting:
            running[free.pop()] = waiting.pop()
        new = {}
        for sequence, text in running.items():
            done = cache.lengths[sequence]
            most = int(torch.randint(1, 25, (), generator=random))
            new[sequence] = texts[text][done : done + most]
        inputs, last = cache.pack(new)
        with torch.no_grad():
            said = model(**inputs).logits[0]
        ends = dict(zip(sorted(new), last.tolist(), strict=True))
        for sequence, end in ends.items():
            heard[running[sequence]].append(said[end + 1 - len(new[sequence]) : end + 1])
        for sequence in [s for s, t in running.items() if cache.lengths[s] == len(texts[t])]:
            cache.free(sequence)
            free.append(sequence)
            del running[sequence]
    for text, parts in heard.items():
        torch.testing.assert_close(torch.cat(parts), alone[text], rtol=0, atol=3e-6)
    assert cache.table.unused == 10


def call(model: Any, ids: Tensor, cache: Cache) -> Tensor:
    return logits(model, "tamis", ids, cache=cache, use_cache=True)


def test_what_a_cache_has_no_room_for_is_refused(family: str) -> None:
    model, ids = models.make(family), models.tokens(2, 40)
    cache = Cache(model, 2, 48)
    call(model, ids, cache)
    with pytest.raises(MemoryError, match=r"^cache: expected at most 48 tokens a sequence"):
        call(model, ids, cache)
    assert cache.lengths == [40, 40]
    with pytest.raises(ValueError, match=r"^cache: expected a batch of sequences of one length"):
        call(model, models.tokens(3, 2), cache)
    cache.free(0)
    with pytest.raises(ValueError, match=r"^cache: .* 2 rows for sequences of \[0, 40\] tokens$"):
        call(model, ids[:, :2], cache)


def test_another_implementation_is_refused(family: str) -> None:
    model, ids = models.make(family), models.tokens(1, 20)
    with pytest.raises(ValueError, match=r'^cache: .* tamis.transformers.Cache, got "eager"'):
        logits(model, "eager", ids, cache=Cache(model, 1, 48), use_cache=True)


def test_a_call_that_failed_half_way_is_not_gone_on_with(family: str) -> None:
    model, ids = models.make(family), models.tokens(1, 20)
    cache, expected = Cache(model, 1, 48), call(model, ids, Cache(model, 1, 48))
    broken = models.layers_of(model)[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call(model, ids, cache)
    broken.remove()
    with pytest.raises(RuntimeError, match=r"^cache: expected layers that have had the same calls"):
        call(model, ids, cache)
    cache.reset()
    assert torch.equal(call(model, ids, cache), expected)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 16, 16), r"^batch: expected at least 1, got 0$"),
        ((1, 0, 16), r"^tokens: expected at least 1, got 0$"),
        ((1, 16, 24), r"^page_size: expected a multiple of 16, got 24$"),
    ],
)
def test_sizes_that_are_none(family: str, sizes: tuple[int, int, int], message: str) -> None:
    batch, tokens, page_size = sizes
    with pytest.raises(ValueError, match=message):
        Cache(models.make(family), batch, tokens, page_size=page_size)
