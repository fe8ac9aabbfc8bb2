"""Attention over keys of all ranks, by states that are merged in one fixed tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.distributed.group import Call, ContextGroup


class State(NamedTuple):
    """Attention of rows to some keys.

    Parameters
    ----------
    out : Tensor [T, N, D] of float32
    maximum, total : Tensor [T, N] of float32
        largest score, natural logarithm, and sum of exp(score - maximum); -inf and 0 of no keys
    """

    out: Tensor
    maximum: Tensor
    total: Tensor

    def rows(self, tokens: slice | Tensor, heads: slice) -> State:
        """Of some tokens and heads."""
        return State(*(part[tokens][:, heads] for part in self))

    def packed(self) -> Tensor:
        """One message."""
        return torch.cat([part.reshape(-1) for part in self])


def state_bytes(tokens: int, heads: int, dim: int) -> int:
    """Of one packed state."""
    return tokens * heads * (dim + 2) * 4


def unpacked(message: Tensor, tokens: int, heads: int, dim: int) -> State:
    """The inverse of `State.packed`, from bytes."""
    flat, rows = message.view(torch.float32), tokens * heads
    out, maximum, total = flat.split([rows * dim, rows, rows])
    return State(
        out.view(tokens, heads, dim), maximum.view(tokens, heads), total.view(tokens, heads)
    )


class Node(NamedTuple):
    """One of a binary tree over shards: of the leaves from `place << level` to the next one's."""

    level: int
    place: int


def merged(first: State, second: State) -> State:
    """Attention to the keys of both."""
    parts = (torch.stack(pair) for pair in zip(first, second, strict=True))
    return State(*torch.ops.tamis.merge_attention_states(*parts))


def climb(states: Mapping[Node, State], shards: int) -> dict[Node, State]:
    """Merges neighbours as far as they go; what is left covers the same leaves.

    The tree is the same for every number of ranks: a node's state is that of its two children, or
    of one where the tree has no second.
    """
    left, level, width = dict(states), 0, shards
    while width > 1:
        for place in range((width + 1) // 2):
            children = Node(level, 2 * place), Node(level, 2 * place + 1)
            present = [child for child in children if child in left]
            if len(present) == (2 if children[1].place < width else 1):
                found = [left.pop(child) for child in present]
                left[Node(level + 1, place)] = merged(*found) if len(found) == 2 else found[0]
        level, width = level + 1, (width + 1) // 2
    return left


def nodes_left(held: range, shards: int) -> list[Node]:
    """Of `climb` over the leaves of one rank."""
    left, level, width = {Node(0, shard) for shard in held}, 0, shards
    while width > 1:
        for place in range((width + 1) // 2):
            children = {Node(level, i) for i in (2 * place, 2 * place + 1) if i < width}
            if children <= left:
                left = (left - children) | {Node(level + 1, place)}
        level, width = level + 1, (width + 1) // 2
    return sorted(left)


def heads_of(heads: int, world: int) -> list[slice]:
    """Heads of each rank, neighbours, as equal as they can be."""
    edges = [heads * rank // world for rank in range(world + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def root(parts: Sequence[Mapping[Node, State]], shards: int) -> State:
    """The state over all shards, from what every rank has left."""
    states = {node: state for part in parts for node, state in part.items()}
    (whole,) = climb(states, shards).values()
    return whole


def merge_over_ranks(
    group: ContextGroup,
    call: Call,
    leaves: Mapping[int, State],
    tokens: list[Tensor] | None = None,
) -> Tensor:
    """Attention over the keys of all shards, from states of each rank's own: one message.

    Parameters
    ----------
    group, call
        of all ranks
    leaves : mapping of int to State of T rows and N heads
        by shard, those that this rank holds
    tokens : list of Tensor, optional
        which of the T rows each rank gets; by default all, but a share of the heads

    Returns
    -------
    Tensor [T or tokens, own heads or N, D] of float32
    """
    layout, rank, world = group.layout, group.rank, group.world
    count, heads, dim = leaves[layout.held(rank).start].out.shape
    everything = slice(None)
    left = climb({Node(0, shard): state for shard, state in leaves.items()}, layout.shards)
    shares: list[tuple[slice | Tensor, slice]]
    if tokens is None:
        shares = [(everything, part) for part in heads_of(heads, world)]
        own = count, shares[rank][1].stop - shares[rank][1].start
    else:
        shares = [(part, everything) for part in tokens]
        own = len(tokens[rank]), heads
    nodes = [nodes_left(layout.held(other), layout.shards) for other in range(world)]
    got = call.exchange(
        [torch.cat([left[node].rows(*share).packed() for node in nodes[rank]]) for share in shares],
        [len(of) * state_bytes(*own, dim) for of in nodes],
    )
    parts = [
        {
            node: unpacked(message, *own, dim)
            for node, message in zip(of, part.chunk(len(of)), strict=True)
        }
        for of, part in zip(nodes, got, strict=True)
    ]
    return root(parts, layout.shards).out


def states_message(
    group: ContextGroup, tokens: int, heads: int, dim: int
) -> tuple[list[int], list[int]]:
    """Bytes of states for each rank and from each, where ranks share the heads of all tokens."""
    layout, world = group.layout, group.world
    nodes = [len(nodes_left(layout.held(rank), layout.shards)) for rank in range(world)]
    shares = [part.stop - part.start for part in heads_of(heads, world)]
    to = [nodes[group.rank] * state_bytes(tokens, share, dim) for share in shares]
    return to, [count * state_bytes(tokens, shares[group.rank], dim) for count in nodes]


def gather_heads(group: ContextGroup, call: Call, own: Tensor, heads: int) -> Tensor:
    """[T, heads, D] on all ranks, from [T, own heads, D] of each."""
    tokens, _, dim = own.shape
    shares = [part.stop - part.start for part in heads_of(heads, group.world)]
    sizes = [tokens * share * dim * own.element_size() for share in shares]
    parts = [part.view(own.dtype) for part in call.gather(own, sizes)]
    return torch.cat([p.view(tokens, n, dim) for p, n in zip(parts, shares, strict=True)], 1)
