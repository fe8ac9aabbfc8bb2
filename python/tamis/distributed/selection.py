"""The best keys of all ranks, exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.distributed.group import Call, ContextGroup
from tamis.distributed.step import Keys, pick, rank_keys
from tamis.distributed.table import DealtRows

# Of every rank's candidates in the first round: its fair share, and what chance adds to it.
_SHARE, _MORE = 1.25, 64
_WORD, ENTRY = 4, 8  # bytes of a number in a message, and of a position with its score


class Selected(NamedTuple):
    """What each of T tokens attends to.

    Parameters
    ----------
    indices : Tensor [T, count] of int32
        positions in its sequence, best first, then -1
    values : Tensor [T, count] of float32
        their scores, then -inf
    """

    indices: Tensor
    values: Tensor

    def rows(self, tokens: Tensor) -> Selected:
        """Of some tokens."""
        return Selected(self.indices[tokens], self.values[tokens])

    def widened(self, count: int) -> Selected:
        """With places for `count`, empty ones behind."""
        more = (0, count - self.indices.shape[1])
        return Selected(pad(self.indices, more, value=-1), pad(self.values, more, value=-math.inf))

    def packed(self) -> Tensor:
        """One message, of int32."""
        flat = (self.indices.reshape(-1), self.values.reshape(-1).view(torch.int32))
        return torch.cat(flat)


def unpacked(message: Tensor, count: int) -> Selected:
    """The inverse of `Selected.packed`, from bytes."""
    indices, values = message.view(torch.int32).view(2, -1, count)
    return Selected(indices, values.view(torch.float32))


def first_count(count: int, world: int) -> int:
    """Candidates of a token that every rank sends in the first round, of `count` to be selected."""
    return count if world == 1 else min(count, math.ceil(_SHARE * count / world) + _MORE)


def best_of(
    query: Tensor, key: Tensor, weights: Tensor, keys: Keys, count: int, pruning: str = "auto"
) -> Selected:
    """Selects among keys that lie here: places among those."""
    indices, values = torch.ops.tamis.lightning_indexer(
        query,
        key,
        weights,
        actual_seq_lengths_query=keys.ends,
        actual_seq_lengths_key=keys.lengths,
        key_limits=keys.limits,
        block_table=keys.block_table,
        layout_query="TND",
        layout_key="PA_BSND",
        sparse_count=count,
        sparse_mode=0,
        return_value=True,
        value_dtype="float32",
        pruning=pruning,
    )
    return Selected(indices[:, 0], values[:, 0])


def select(
    group: ContextGroup,
    query: Tensor,
    key: Tensor,
    weights: Tensor,
    rows: DealtRows,
    *,
    count: int,
    rounds: Literal[2, 1] = 2,
) -> Selected:
    """The `count` best keys of all ranks for each token, as a call of its own: a collective.

    Parameters
    ----------
    group : ContextGroup
    query, weights : Tensor [T, N, D], [T, N]
        of the indexer, the same on all ranks
    key : Tensor [pages, page_size, 1, D]
        index keys that this rank holds, in the pages of the table that `rows` is of
    rows : DealtRows
        the T tokens' step
    count : int
        positions to select; more than there are leaves places empty
    rounds : {2, 1}
        see `Selection`

    Returns
    -------
    Selected
        the same on all ranks, and, bit for bit, that of one call over all keys

    Raises
    ------
    RemoteError, RankLost
        As `Call`.
    """
    selection = Selection(group, count, rounds)
    with group.alike(selection.message_bytes(len(query))) as call:
        return selection(call, query, key, weights, rank_keys(group.layout, group.rank, rows))


class Selection:
    """Selection among the keys of all ranks, for queries that all ranks have.

    Each rank lists its best: in the first round a little more than its share. Whatever was not sent
    is worse than the last entry that was; so only a rank whose last entry is among the best of all
    sends the rest of what it has, in a second round. The result is that of one call over all keys,
    bit for bit, ties by position and NaN last.

    Parameters
    ----------
    group : ContextGroup
    count : int
        positions to select
    rounds : {2, 1}
        1: all candidates at once

    Attributes
    ----------
    second_rounds : int
        tokens so far that this rank sent more than its first list of
    """

    def __init__(self, group: ContextGroup, count: int, rounds: int = 2) -> None:
        self.group, self.count = group, count
        self.first = first_count(count, group.world) if rounds == 2 else count
        self.second_rounds = 0

    def message_bytes(self, tokens: int) -> int:
        """Of the lists of so many tokens, the first message."""
        return tokens * self.first * ENTRY

    def __call__(
        self,
        call: Call,
        query: Tensor,
        key: Tensor,
        weights: Tensor,
        keys: Keys,
        shares: Sequence[Tensor] | None = None,
    ) -> Selected:
        """Selects.

        Parameters
        ----------
        call : Call
            the lists are its next message, of `message_bytes`
        query, weights : Tensor [T, N, D], [T, N]
            of the indexer, the same on all ranks
        key : Tensor [pages, ...]
            this rank's index keys
        keys : Keys
            `rank_keys` of this rank
        shares : sequence of Tensor, optional
            which tokens each rank wants to know of; by default all ranks of all

        Returns
        -------
        Selected
            of this rank's tokens
        """

        def best(tokens: Tensor | None, count: int) -> Selected:
            if tokens is None:
                found = best_of(query, key, weights, keys, count)
            else:
                found = best_of(query[tokens], key, weights[tokens], pick(keys, tokens), count)
            layout = self.group.layout
            held = layout.held(self.group.rank)
            indices = torch.ops.tamis.globalize_indices(
                found.indices,
                rank=held.start,
                ranks=len(held),
                world=layout.shards,
                interleave=layout.page_size,
            )
            return Selected(indices, found.values)

        world, rank = self.group.world, self.group.rank
        if world == 1:
            found = best(None, self.count)
            return found if shares is None else found.rows(shares[0])
        first = best(None, self.first)
        if shares is None:
            messages = [first.packed()] * world
        else:
            messages = [first.rows(share).packed() for share in shares]
        lists = [
            unpacked(part, self.first)
            for part in call.exchange(messages, [len(messages[rank]) * _WORD] * world)
        ]
        merged = _merge(lists, self.count)
        if self.first >= self.count:
            return merged
        more = self._ranks_with_more(lists, merged)
        if shares is not None:
            flags = call.exchange(list(more), [len(share) for share in shares])
            wanted = [share[part.bool()] for share, part in zip(shares, flags, strict=True)]
        elif more.any():
            wanted = [more[rank].nonzero().flatten()] * world
        else:
            return merged
        rest = self._rest(call, best, wanted, more)
        self._improve(merged, lists, more, rest)
        return merged

    def _ranks_with_more(self, lists: Sequence[Selected], merged: Selected) -> Tensor:
        """[world, T]: whose last entry was chosen."""
        last = torch.stack([part.indices[:, -1] for part in lists])
        return (last >= 0) & (last[..., None] == merged.indices).any(-1)

    def _rest(
        self,
        call: Call,
        best: Callable[[Tensor | None, int], Selected],
        wanted: Sequence[Tensor],
        more: Tensor,
    ) -> list[Selected]:
        """What ranks have after their first lists, for the tokens that `more` marks."""
        width = self.count - self.first
        tokens, places = torch.unique(torch.cat(list(wanted)), return_inverse=True)
        self.second_rounds += len(tokens)
        if len(tokens):
            tail = Selected(*(part[:, self.first :] for part in best(tokens, self.count)))
        else:
            tail = Selected(torch.empty(0, width, dtype=torch.int32), torch.empty(0, width))
        messages = [tail.rows(part).packed() for part in places.split(list(map(len, wanted)))]
        sizes = [int(rows) * width * ENTRY for rows in more.sum(1)]
        return [unpacked(part, width) for part in call.exchange(messages, sizes)]

    def _improve(
        self,
        merged: Selected,
        lists: Sequence[Selected],
        more: Tensor,
        rest: Sequence[Selected],
    ) -> None:
        """Selects again, in place, where a rank had more."""
        rows = more.any(0).nonzero().flatten()
        whole = []
        for known, has, new in zip(lists, more, rest, strict=True):
            part = known.rows(rows).widened(self.count)
            for to, of in zip(part, new, strict=True):
                to[has[rows], self.first :] = of
            whole.append(part)
        merged.indices[rows], merged.values[rows] = _merge(whole, self.count)


def _merge(lists: Sequence[Selected], count: int) -> Selected:
    indices, values = (torch.stack([part[i] for part in lists]) for i in range(2))
    return Selected(*torch.ops.tamis.merge_topk(values, indices, sparse_count=count))
