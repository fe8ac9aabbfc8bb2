"""Bytes that ranks send are those of the formulas."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
import torch
from ranks import as_threads
from test_deepseek import MODES, SIZES, STEPS, hidden, layer_of
from torch import Tensor

from tamis.distributed import (
    ContextGroup,
    DealtRows,
    DealtSparseAttention,
    DealtTable,
    decode_bytes,
    list_bytes,
    step_bytes,
)
from tamis.distributed.attention import attend_by_rows
from tamis.distributed.selection import Selection
from tamis.distributed.step import rank_keys
from tamis.nn import DeepSeekSparseAttention


def held_rows(group: ContextGroup, selected: Tensor, rows: DealtRows) -> int:
    """Different rows of this rank that some token selected."""
    found, first = set(), 0
    for b, end in enumerate(rows.ends.tolist()):
        found |= {(b, int(p)) for p in selected[first:end].flatten() if p >= 0}
        first = end
    return sum(group.layout.owner(position) == group.rank for _, position in found)


def sent_and_said(
    layer: DeepSeekSparseAttention, options: dict[str, Any], shards: int, selected: dict[int, int]
) -> None:
    """Every step of a small layer; counts of selected rows come from the attention's arguments."""
    group = ContextGroup(page_size=16, shards=shards)
    dealt = DealtSparseAttention(layer, group, **options)
    cache = dealt.make_cache(dealt.make_table(sequences=3, tokens=640))
    for x, counts in zip(hidden(torch.bfloat16), STEPS, strict=True):
        before, again = group.sent, dealt._selection.second_rounds
        dealt(x, counts, cache)
        said = decode_bytes(
            group.layout,
            group.rank,
            tokens=len(x),
            count=SIZES["topk"],
            heads=SIZES["heads"],
            latent=SIZES["kv_lora_rank"],
            rope=SIZES["rope_dim"],
            values=SIZES["v_dim"],
            again=dealt._selection.second_rounds - again,
            selected=selected.get(group.rank, 0),
            **options,
        )
        assert group.sent - before == said + step_bytes(group.world)


@pytest.mark.parametrize("options", [*MODES, MODES[0] | {"rounds": 1}], ids=str)
def test_what_is_sent_is_the_formula(options: dict[str, Any]) -> None:
    selected: dict[int, int] = {}

    def counting(group: ContextGroup, call: Any, latent: Any, chosen: Tensor, *rest: Any) -> Tensor:
        selected[group.rank] = held_rows(group, chosen, rest[0])
        return attend_by_rows(group, call, latent, chosen, *rest)

    with mock.patch("tamis.distributed.deepseek.attend_by_rows", counting):
        for world in (1, 2) if options["mode"] == "rows" else (1, 2, 5):
            as_threads(world, sent_and_said, layer_of(torch.bfloat16), options, 8, selected)


def lists_of_many(tokens: int, count: int) -> tuple[int, int]:
    """Bytes that a rank sends to select, and tokens that took a second round here."""
    group = ContextGroup()
    table = DealtTable(group, sequences=1, tokens=64 * 64 * 5)
    rows = table.reserve([64 * 64 * 4])
    table.commit(rows)
    step = table.reserve([tokens])
    random = torch.Generator().manual_seed(group.rank)
    key = torch.randn(table.own.pages, table.own.page_size, 1, 32, generator=random)
    random.manual_seed(0)
    query = torch.randn(tokens, 4, 32, generator=random)
    weights = torch.rand(tokens, 4, generator=random)
    selection, before = Selection(group, count), group.sent
    with group.alike(selection.message_bytes(tokens)) as call:
        selection(call, query, key, weights, rank_keys(group.layout, group.rank, step))
    return group.sent - before, selection.second_rounds


def test_lists_of_64_ranks_take_60_kilobytes_a_token() -> None:
    assert step_bytes(64) + list_bytes(2048, 64, 1) <= 60_000
    for sent, again in as_threads(64, lists_of_many, 2, 2048):
        assert sent == step_bytes(64) + list_bytes(2048, 64, 2, again=again)
