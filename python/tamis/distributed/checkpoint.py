"""Dealt caches in checkpoints of torch.distributed.checkpoint, for any number of ranks.

Every shard of a tensor is saved as a tensor of its own, by the rank that holds it. A DTensor would
cut by ranks, and as torch.chunk does, where a `Layout` cuts otherwise; shards are the same on any
number of ranks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from tamis.distributed.cache import DealtCache
from tamis.distributed.layout import Layout
from tamis.distributed.saved import Checkpoint, Saved
from tamis.distributed.step import shard_pool
from tamis.distributed.table import DealtRows, DealtTable

# Beside the caches: shards and page size; tokens of each sequence.
_LAYOUT, _LENGTHS, _TABLE = "layout", "lengths", "table"


def cache_state(table: DealtTable, caches: Mapping[str, DealtCache]) -> dict[str, Tensor]:
    """What a checkpoint needs of the caches of a model: a collective.

    Save it beside the model, `dcp.save({"model": model, "caches": cache_state(table, caches)})`,
    and get it back by `load_caches`. It holds copies of all rows that sequences have, so takes as
    much memory as those; where there is less, save some layers at a time, in folders of their own.

    Parameters
    ----------
    table : DealtTable
    caches : mapping of str to DealtCache
        those of the table's layers, by name

    Returns
    -------
    dict of str to Tensor
        "layout", [2]: shards and page size; "lengths", [B]; of every tensor of a cache and shard of
        this rank "<cache>.<tensor>.shard<i>", [rows, ...]: those of all sequences, one after the
        other; of a tensor that every rank has "<cache>.<tensor>"

    Raises
    ------
    ValueError
        A cache has another table.
    RemoteError, RankLost
        As `Call`; or ranks differ in their lengths, or in what caches there are.
    """
    layout = table.group.layout
    with table.group.alike(0) as call:
        _require_table(table, caches)
        lengths = torch.tensor(table.lengths)
        parts = list(_parts(table, caches, lengths))
        call.agree((table.lengths, list(caches)))
    state = {_LAYOUT: torch.tensor([layout.shards, layout.page_size]), _LENGTHS: lengths}
    state |= {f"{_TABLE}.{of}": tensor.clone() for of, tensor in table.beside().items()}
    return state | {part.key: part.pool[part.pages, part.rows] for part in parts}


def load_caches(
    checkpoint: Checkpoint,
    table: DealtTable,
    caches: Mapping[str, DealtCache],
    prefix: str = "caches.",
) -> None:
    """Fills empty caches with what `cache_state` gave, on any number of ranks: a collective.

    Rows have the same bytes as on the ranks that saved them. Pages may be others: sequences that
    shared some have their own. Ranks agree after every cache, so that none waits for another longer
    than one takes to read.

    Parameters
    ----------
    checkpoint : path or StorageReader
        what `dcp.save` wrote; with more in it than caches, if need be
    table : DealtTable
        without tokens, of a group with as many shards and pages of the same size
    caches : mapping of str to DealtCache
        those of the table's layers, by the names that they were saved by
    prefix : str, default "caches."
        of names in the checkpoint: where the state was put

    Raises
    ------
    ValueError
        The table is not empty; or shards, page size, number of sequences, caches, their tensors,
        dtypes or shapes of rows are others than those saved; or a file cannot be read.
    MemoryError
        The table has too few pages.
    RemoteError, RankLost
        As `Call`: some ranks cannot read a file, or have another checkpoint. After any error the
        table is empty.
    """
    group = table.group
    with group.alike(0) as call:
        _require_table(table, caches)
        saved = Saved(checkpoint, prefix, (_LAYOUT, _LENGTHS))
        rows = _room(saved, table)
        parts = {name: list(_parts(table, {name: caches[name]}, rows.lengths)) for name in caches}
        saved.require([*_names(caches, group.layout), *(f"{_TABLE}.{of}" for of in table.beside())])
        for part in (part for of_cache in parts.values() for part in of_cache):
            saved.require_alike(part.key, part.empty())
        call.agree((rows.lengths.tolist(), list(caches)))
    for name, of_cache in parts.items():
        with group.alike(0) as call:
            for part in of_cache:
                part.pool[part.pages, part.rows] = saved.read(part.key, part.empty())
            call.agree(name)
    with group.alike(0) as call:
        beside = {
            of: saved.read(f"{_TABLE}.{of}", tensor.clone())
            for of, tensor in table.beside().items()
        }
        call.agree()
    table.commit(rows)
    for of, tensor in table.beside().items():
        tensor.copy_(beside[of])


class _Part(NamedTuple):
    """A tensor of the checkpoint, and where its rows lie."""

    key: str
    pool: Tensor  # [pages, page_size, ...]
    pages: Tensor
    rows: Tensor  # in its page

    def empty(self) -> Tensor:
        """As what is saved, without values."""
        return self.pool.new_empty(len(self.rows), *self.pool.shape[2:])


def _parts(table: DealtTable, caches: Mapping[str, DealtCache], lengths: Tensor) -> Iterator[_Part]:
    """What a rank saves of sequences of these lengths."""
    layout, rank = table.group.layout, table.group.rank
    places = {
        shard: _places(
            table.own.block_table(), layout.shard_length(lengths, shard), layout.page_size
        )
        for shard in layout.held(rank)
    }
    if table.whole is not None:
        replicas = torch.tensor([table.replicas(length) for length in lengths.tolist()])
        whole = _places(table.whole.block_table(), replicas, layout.page_size)
    sequences = torch.arange(len(lengths))
    for name, cache in caches.items():
        for of, pool in cache.tensors.items():
            if of in cache.replicated:
                yield _Part(f"{name}.{of}", pool, *whole)
            else:
                for shard in layout.held(rank):
                    held = shard_pool(layout, rank, shard, pool)
                    yield _Part(_shard_name(name, of, shard), held, *places[shard])
        for of, tensor in cache.beside().items():
            yield _Part(f"{name}.{of}", tensor[None], torch.zeros_like(sequences), sequences)


def _places(block_table: Tensor, lengths: Tensor, page_size: int) -> tuple[Tensor, Tensor]:
    """Pages of the rows of all sequences, and places in those."""
    lengths = lengths.long()
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    row = torch.arange(len(sequence)) - (lengths.cumsum(0) - lengths)[sequence]
    return block_table[sequence, row // page_size].long(), row % page_size


def _shard_name(cache: str, tensor: str, shard: int) -> str:
    return f"{cache}.{tensor}.shard{shard}"


def _names(caches: Mapping[str, DealtCache], layout: Layout) -> Iterator[str]:
    """Of all tensors of the checkpoint, whoever saves them."""
    for name, cache in caches.items():
        for of in cache.tensors:
            if of in cache.replicated:
                yield f"{name}.{of}"
            else:
                yield from (_shard_name(name, of, shard) for shard in range(layout.shards))
        yield from (f"{name}.{of}" for of in cache.beside())


def _require_table(table: DealtTable, caches: Mapping[str, DealtCache]) -> None:
    for name, cache in caches.items():
        if cache.table is not table:
            raise ValueError(f"caches: expected those of the given table, got {name} of another")


def _room(saved: Saved, table: DealtTable) -> DealtRows:
    """For all tokens saved, in a table that has none."""
    layout, sequences = table.group.layout, len(table.lengths)
    if any(table.lengths):
        raise ValueError(f"table: expected an empty one, got lengths {table.lengths}")
    found = saved.read(_LAYOUT, torch.zeros(2, dtype=torch.int64)).tolist()
    for name, has, wants in zip(
        ("shards", "page_size"), (layout.shards, layout.page_size), found, strict=True
    ):
        if has != wants:
            raise ValueError(f"{name}: expected {wants}, as saved, got {has}")
    (saved_sequences,) = saved.shape(_LENGTHS)
    if sequences != saved_sequences:
        raise ValueError(f"table: expected {saved_sequences} sequences, as saved, got {sequences}")
    lengths = saved.read(_LENGTHS, torch.zeros(sequences, dtype=torch.int64))
    try:
        return table.reserve(lengths)
    except MemoryError as error:
        raise MemoryError(f"table: expected room for what was saved, got {error}") from error
