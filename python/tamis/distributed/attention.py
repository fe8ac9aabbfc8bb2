"""Attention to selected keys that lie on several ranks."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.distributed.group import Call, ContextGroup
from tamis.distributed.states import (
    State,
    gather_heads,
    heads_of,
    merge_over_ranks,
    states_message,
)
from tamis.distributed.step import sequences_of, shard_keys, shard_pool
from tamis.distributed.table import DealtRows

Mode: TypeAlias = Literal["states", "rows"]


class Latent(NamedTuple):
    """Queries and cached rows of attention in the latent space.

    Parameters
    ----------
    query, query_rope : Tensor [T, N, D], [T, N, R]
        R may be 0
    key, key_rope : Tensor [pages, page_size, 1, ...]
        this rank's pools
    scale : float
    sinks : Tensor [N] of float32, optional
    """

    query: Tensor
    query_rope: Tensor
    key: Tensor
    key_rope: Tensor
    scale: float
    sinks: Tensor | None = None

    def of_heads(self, heads: slice) -> Latent:
        """Some heads alone."""
        return self._replace(
            query=self.query[:, heads],
            query_rope=self.query_rope[:, heads],
            sinks=None if self.sinks is None else self.sinks[heads],
        )

    def of_tokens(self, tokens: Tensor) -> Latent:
        """Some tokens alone."""
        return self._replace(query=self.query[tokens], query_rope=self.query_rope[tokens])


def attend(
    group: ContextGroup, latent: Latent, selected: Tensor, rows: DealtRows, *, mode: Mode = "states"
) -> Tensor:
    """Attention of all tokens and heads, as a call of its own: a collective.

    Parameters
    ----------
    group : ContextGroup
    latent : Latent
        queries of all T tokens, the same on all ranks; this rank's pools
    selected : Tensor [T, K] of int32
        positions that each attends to, the same on all ranks
    rows : DealtRows
        of the step
    mode : {"states", "rows"}
        see `DealtSparseAttention`

    Returns
    -------
    Tensor [T, N, D]
        the same on all ranks

    Raises
    ------
    ValueError
        As `require_rows`.
    RemoteError, RankLost
        As `Call`.
    """
    tokens, heads, dim = latent.query.shape
    if mode == "states":
        with group.call(*states_message(group, tokens, heads, dim)) as call:
            own = attend_by_states(group, call, latent, selected, rows)
            return gather_heads(group, call, own, heads)
    require_rows(latent.query.dtype, heads, group.world)
    with group.alike(0) as call:
        call.agree()
        own = attend_by_rows(group, call, latent, selected, rows)
        return gather_heads(group, call, own, heads)


def attend_by_states(
    group: ContextGroup,
    call: Call,
    latent: Latent,
    selected: Tensor,
    rows: DealtRows,
    tokens: list[Tensor] | None = None,
) -> Tensor:
    """Every rank attends to its own keys; states are merged shard by shard, in one fixed tree.

    Errors are those of one call that rounds its output once; bits depend on the number of shards
    and not on how many ranks hold them.

    Parameters
    ----------
    group, call
        of all ranks
    latent : Latent
        queries of all T tokens, the same on all ranks
    selected : Tensor [T, K] of int32
        positions, the same on all ranks
    rows : DealtRows
        of the step
    tokens : list of Tensor, optional
        which of the T tokens each rank gets; by default all, but a share of the heads

    Returns
    -------
    Tensor [T or tokens, own heads or N, D]
        in the dtype of queries
    """
    leaves = {
        shard: _attend_to_shard(group, latent, selected, rows, shard)
        for shard in group.layout.held(group.rank)
    }
    return merge_over_ranks(group, call, leaves, tokens).to(latent.query.dtype)


def _attend_to_shard(
    group: ContextGroup,
    latent: Latent,
    selected: Tensor,
    rows: DealtRows,
    shard: int,
) -> State:
    layout = group.layout
    keys = shard_keys(layout, shard, rows)
    listed = torch.ops.tamis.localize_indices(
        selected, rank=shard, world=layout.shards, interleave=layout.page_size
    )[0]
    rotated = latent.query_rope.shape[-1] > 0
    pools = [shard_pool(layout, group.rank, shard, pool) for pool in (latent.key, latent.key_rope)]
    return State(
        *torch.ops.tamis.sparse_flash_attention(
            latent.query,
            pools[0],
            listed[:, None],
            scale_value=latent.scale,
            query_rope=latent.query_rope if rotated else None,
            key_rope=pools[1] if rotated else None,
            sinks=latent.sinks if shard == 0 else None,
            sparse_mode=0,
            block_table=keys.block_table,
            actual_seq_lengths_query=keys.ends,
            actual_seq_lengths_kv=keys.lengths,
            layout_query="TND",
            layout_kv="PA_BSND",
            return_softmax_lse=True,
            accuracy="fp32",
            out_dtype="float32",
        )
    )


# Fewer heads of 16 bits than these have products in fp32, whose bits are others'.
_LEAST_HEADS = 8


def require_rows(dtype: torch.dtype, heads: int, world: int) -> None:
    """Whether `attend_by_rows` has one rank's bits where ranks share the heads of a token.

    Raises
    ------
    ValueError
        A rank would have fewer heads than have those bits.
    """
    least = min(part.stop - part.start for part in heads_of(heads, world))
    if world > 1 and dtype != torch.float32 and least < _LEAST_HEADS:
        raise ValueError(
            f'mode: expected "states", or at least {_LEAST_HEADS} heads on every rank with "rows" '
            f"in {dtype}, got {least} of {heads} on one of {world}"
        )


def attend_by_rows(
    group: ContextGroup,
    call: Call,
    latent: Latent,
    selected: Tensor,
    rows: DealtRows,
    tokens: Tensor | None = None,
) -> Tensor:
    """Fetches selected rows from the ranks that hold them: attention with the bits of one call.

    Parameters
    ----------
    group, call
        of all ranks
    latent : Latent
        queries of all T tokens, the same on all ranks, or those of `tokens` alone
    selected : Tensor [T or tokens, K] of int32
        positions of the same
    rows : DealtRows
        of the step
    tokens : Tensor, optional
        which of the T tokens this rank computes, ascending; by default all, but a share of heads

    Returns
    -------
    Tensor [T or tokens, own heads or N, D]

    Raises
    ------
    ValueError
        As `require_rows`, without `tokens`.
    """
    layout, heads = group.layout, latent.query.shape[1]
    sequence = sequences_of(rows.ends, tokens)
    listed = selected >= 0
    codes = (sequence[:, None] << 32 | selected.long())[listed]
    wanted, places = torch.unique(codes, return_inverse=True)
    owner = layout.owner(wanted & 0xFFFFFFFF)
    asked = [wanted[owner == rank] for rank in range(group.world)]
    if tokens is None:
        latent = latent.of_heads(heads_of(heads, group.world)[group.rank])
        mine = [asked[group.rank]] * group.world  # all ask for the same
    else:
        counts = [torch.tensor([len(part)]) for part in asked]
        sizes = [int(part.view(torch.int64)) * 8 for part in call.exchange(counts)]
        mine = [part.view(torch.int64) for part in call.exchange(asked, sizes)]
    width = latent.key.shape[-1] + latent.key_rope.shape[-1]
    row_bytes = width * latent.key.element_size()
    got = call.exchange(
        [_rows_of(group, latent, part, rows) for part in mine],
        [len(part) * row_bytes for part in asked],
    )
    pool = latent.key.new_empty(len(wanted), width)
    for rank, part in enumerate(got):
        pool[owner == rank] = part.view(pool.dtype).view(len(asked[rank]), width)
    places_of = torch.full_like(selected, -1)
    places_of[listed] = places.int()
    key, key_rope = pool.split([latent.key.shape[-1], latent.key_rope.shape[-1]], 1)
    rotated = key_rope.shape[1] > 0
    out: Tensor = torch.ops.tamis.sparse_flash_attention(
        latent.query,
        key[:, None],
        places_of[:, None],
        scale_value=latent.scale,
        query_rope=latent.query_rope if rotated else None,
        key_rope=key_rope[:, None] if rotated else None,
        sinks=latent.sinks,
        sparse_mode=0,
        actual_seq_lengths_query=torch.tensor([len(selected)], dtype=torch.int32),
        actual_seq_lengths_kv=torch.tensor([len(wanted)], dtype=torch.int32),
        layout_query="TND",
        layout_kv="TND",
    )[0]
    return out


def _rows_of(group: ContextGroup, latent: Latent, codes: Tensor, rows: DealtRows) -> Tensor:
    """[n, D + R]: rows that this rank holds."""
    local = group.layout.local(codes & 0xFFFFFFFF, group.rank)
    page_size = latent.key.shape[1]
    page = rows.block_table[codes >> 32, local // page_size].long()
    slots = page * page_size + local % page_size
    pools = [pool.flatten(0, 2)[slots] for pool in (latent.key, latent.key_rope)]
    return torch.cat(pools, 1)
