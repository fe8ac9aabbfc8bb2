"""How DeepSeek sparse attention trains over ranks: queries stay, keys are gathered."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tamis.distributed.gradients import sum_in_order
from tamis.distributed.group import Call, ContextGroup
from tamis.distributed.shares import gather_rows
from tamis.distributed.zigzag import pieces, zigzag
from tamis.nn.counts import Counts, as_counts, counted
from tamis.nn.deepseek import DeepSeekSparseAttention
from tamis.nn.training import (
    Index,
    Main,
    Stage,
    Trained,
    attend_in_stage,
    require_trains,
    training_prolog,
)


def attend_training(
    layer: DeepSeekSparseAttention, group: ContextGroup, x: Tensor, counts: Counts, stage: Stage
) -> Trained:
    """As `DealtSparseAttention.attend_training` says."""
    with group.alike(0) as call:
        require_trains(layer, stage)
        shares = _shares_of(counts, group)
        own = shares.tokens[group.rank]
        if len(x) != len(own):
            raise ValueError(f"x: expected {len(own)} rows, this rank's by zigzag, got {len(x)}")
        turn = torch.ops.tamis_nn.turn(
            shares.positions, layer.rope.frequencies, layer.rope.attention_factor, torch.float32
        )
        main, index = training_prolog(layer, x, turn, stage)
        mine = [main.key, main.key_rope, *([] if index is None else [index.key])]
        call.agree((shares.counts, stage, [part.requires_grad for part in mine]), "counts or stage")
        keys = _GatherKeys.apply(group, call, shares, *mine)
    main = Main(main.query, main.query_rope, *keys[:2])
    index = None if index is None else Index(index.query, keys[2], index.weights)
    hidden, loss = attend_in_stage(layer, main, index, stage, shares.ends, shares.key_ends)
    return Trained(hidden, None if loss is None else loss / max(sum(shares.counts), 1))


class _Shares(NamedTuple):
    """Packed sequences, T tokens, as a rank computes them: pieces, each after all keys before it.

    Parameters
    ----------
    counts : list of int
        tokens of each sequence
    tokens : list of Tensor of int64
        by rank: places among the T of those that it computes
    positions : Tensor of int64
        of this rank's tokens in their sequences
    ends, key_ends : Tensor of int64
        where this rank's pieces, and their keys, end
    spans : list of range
        keys of each piece, among the T
    """

    counts: list[int]
    tokens: list[Tensor]
    positions: Tensor
    ends: Tensor
    key_ends: Tensor
    spans: list[range]


def _shares_of(counts: Counts, group: ContextGroup) -> _Shares:
    rank, world = group.rank, group.world
    found = as_counts("counts", counts)
    counted(found, len(found))
    spans, own, begin = [], [], 0
    for count in found:
        for piece in _joined(pieces(count, rank, world)):
            own.append(piece)
            spans.append(range(begin, begin + piece.stop))
        begin += count
    return _Shares(
        found,
        [zigzag(found, of, world) for of in range(world)],
        torch.cat([torch.arange(0), *(torch.arange(p.start, p.stop) for p in own)]),
        torch.tensor(list(accumulate(map(len, own))), dtype=torch.int64),
        torch.tensor(list(accumulate(map(len, spans))), dtype=torch.int64),
        spans,
    )


def _joined(of: list[range]) -> Iterator[range]:
    """Pieces that are not empty; neighbours are one, whose keys are needed once."""
    front, back = of
    if front.stop == back.start:
        front, back = range(front.start, back.stop), range(0)
    yield from (piece for piece in (front, back) if len(piece))


class _GatherKeys(torch.autograd.Function):
    """Keys of all ranks' tokens before each piece; its gradients are summed in the ranks' order."""

    @staticmethod
    def forward(
        ctx: Any, group: ContextGroup, call: Call, shares: _Shares, *mine: Tensor
    ) -> tuple[Tensor, ...]:
        """Packed keys [sum of spans, 1, ...], from those [own, 1, ...] of every rank."""
        ctx.group, ctx.shares, ctx.widths = group, shares, [part.shape[-1] for part in mine]
        ctx.dtype = mine[0].dtype
        ctx.set_materialize_grads(False)
        whole = gather_rows(call, shares.tokens, torch.cat(mine, -1))
        keys = torch.cat([whole[:0], *(whole[span.start : span.stop] for span in shares.spans)])
        return tuple(part.contiguous() for part in keys.split(ctx.widths, -1))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """What all ranks' losses say of this rank's keys."""
        group, shares = ctx.group, ctx.shares
        with group.alike(0) as call:
            known = [gradient for gradient in gradients if gradient is not None]
            call.agree([gradient is not None for gradient in gradients], "gradients")
            rows = torch.cat(known, -1).float()
            whole = rows.new_zeros(sum(shares.counts), *rows.shape[1:])
            for span, part in zip(
                shares.spans, rows.split(list(map(len, shares.spans))), strict=True
            ):
                whole[span.start : span.stop] += part
            own = sum_in_order(group, call, [whole[tokens] for tokens in shares.tokens])
        parts = iter(own.to(ctx.dtype).split([part.shape[-1] for part in known], -1))
        found = (None if gradient is None else next(parts) for gradient in gradients)
        return None, None, None, *found
