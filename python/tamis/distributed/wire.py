"""Bytes that a rank sends."""

from __future__ import annotations

from tamis.distributed.group import HEADER, padded
from tamis.distributed.layout import Layout
from tamis.distributed.selection import ENTRY, first_count
from tamis.distributed.states import heads_of, nodes_left, state_bytes


def step_bytes(world: int) -> int:
    """Of one rank's agreement with all others: 16 (W - 1)."""
    return HEADER * (world - 1)


def list_bytes(count: int, world: int, tokens: int, *, rounds: int = 2, again: int = 0) -> int:
    """Of one rank's lists of candidates.

    Parameters
    ----------
    count : int
        K positions to select
    world, tokens : int
        W ranks, T tokens
    rounds : {2, 1}
        of `Selection`
    again : int
        tokens whose other candidates this rank sends in the second round; few, in general

    Returns
    -------
    int
        With L = min(K, ceil(1.25 K / W) + 64) in two rounds and K in one, and p(n) the next
        multiple of 16: (W - 1) (p(8 T L) + p(8 again (K - L)))
    """
    first = first_count(count, world) if rounds == 2 else count
    of_each = padded(tokens * first * ENTRY) + padded(again * (count - first) * ENTRY)
    return (world - 1) * of_each


def decode_bytes(
    layout: Layout,
    rank: int,
    *,
    tokens: int,
    count: int,
    heads: int,
    latent: int,
    rope: int,
    values: int,
    itemsize: int = 2,
    mode: str = "states",
    index_keys: str = "dealt",
    rounds: int = 2,
    again: int = 0,
    selected: int = 0,
) -> int:
    """Of one rank in one layer's `DealtSparseAttention.forward`, all messages together.

    Parameters
    ----------
    layout : Layout
        W ranks and V shards
    rank : int
        with h of the N heads
    tokens, count, heads : int
        T tokens, K positions to select, N heads
    latent, rope, values : int
        D and R channels of cached rows, Dv of a head's values
    itemsize : int
        b bytes of an element
    mode, index_keys, rounds
        as `DealtSparseAttention`
    again : int
        as `list_bytes`
    selected : int
        for mode "rows": S different rows that tokens selected and this rank holds

    Returns
    -------
    int
        The sum, with p(n) the next multiple of 16, of

        * 16 (W - 1): a header,
        * `list_bytes`, with dealt index keys,
        * with mode "states", over the other ranks, p(4 M T h' (D + 2)): states in float32 of their
          h' heads, from M nodes of the tree over shards that this rank's shards leave; M = 1 where
          V = W,
        * with mode "rows", (W - 1) p(b S (D + R)),
        * (W - 1) p(b T h Dv): values of this rank's heads.

        `DealtSparseAttention.step` sends `step_bytes` for all layers; forward without it, too.
    """
    world, parts = layout.world, heads_of(heads, layout.world)
    of_heads = [part.stop - part.start for part in parts]
    sent = step_bytes(world)
    if index_keys == "dealt":
        sent += list_bytes(count, world, tokens, rounds=rounds, again=again)
    if mode == "states":
        nodes = len(nodes_left(layout.held(rank), layout.shards))
        others = [own for other, own in enumerate(of_heads) if other != rank]
        sent += sum(padded(nodes * state_bytes(tokens, own, latent)) for own in others)
    else:
        sent += (world - 1) * padded(selected * (latent + rope) * itemsize)
    return sent + (world - 1) * padded(tokens * of_heads[rank] * values * itemsize)
