"""Windows of tokens that every rank holds, and the last tokens, of which the next ones are made."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tamis.distributed.cache import DealtCache
from tamis.distributed.group import ContextGroup
from tamis.distributed.step import sequences_of
from tamis.distributed.table import DealtRows, DealtTable
from tamis.nn.counts import Counts, as_counts


class Windows(NamedTuple):
    """Window `i` of a sequence is of tokens from `i * stride` to `i * stride + block - 1`.

    Parameters
    ----------
    block, stride : int
        stride at most block
    """

    block: int
    stride: int

    def complete(self, length: int) -> int:
        """How many end within the first `length` tokens."""
        return max(length - self.block + self.stride, 0) // self.stride

    def needed(self, length: int) -> int:
        """The first token of a window that ends later; at most `length`."""
        return self.complete(length) * self.stride

    def least(self, first: int) -> int:
        """The length from which on no window that ends later has a token before `first`."""
        return max(-(-first // self.stride) - 1, 0) * self.stride + self.block


class WindowTable(DealtTable):
    """A `DealtTable` whose replicated rows are windows, one of so many tokens.

    Of the tokens themselves every rank holds the last ones of each sequence alone: token `p` is row
    `p % recent` of its sequence.

    Parameters
    ----------
    group, sequences, tokens
        of `DealtTable`
    windows : Windows
    rollback : int
        tokens that `truncate` can always take back

    Attributes
    ----------
    recent : int
        how many tokens of each sequence are kept
    """

    def __init__(
        self,
        group: ContextGroup,
        windows: Windows,
        *,
        sequences: int,
        tokens: int,
        rollback: int,
    ) -> None:
        if rollback < 0:
            raise ValueError(f"rollback: expected at least 0, got {rollback}")
        self.windows, self.recent = windows, max(windows.block - 1 + rollback, 1)
        super().__init__(group, sequences=sequences, tokens=tokens, replicated=True)
        self._first = torch.zeros(sequences, dtype=torch.int32)  # token that is kept
        self._tensors: list[weakref.ref[Tensor]] = []

    def beside(self) -> dict[str, Tensor]:
        """From which token on the last ones are kept."""
        return {"first": self._first}

    def replicas(self, length: int) -> int:
        """Windows of the first `length` tokens of a sequence."""
        return self.windows.complete(length)

    def attach(self, tensors: Iterable[Tensor]) -> None:
        """Names tensors [sequences, recent, ...] that `reorder` moves; they are not kept alive."""
        self._tensors += map(weakref.ref, tensors)

    def commit(self, rows: DealtRows) -> None:
        """Reserved rows are there, on all ranks."""
        super().commit(rows)
        torch.maximum(self._first, rows.lengths - self.recent, out=self._first)

    def truncate(self, lengths: Counts) -> None:
        """Forgets the last tokens of sequences: `rollback` of each, or all.

        Raises
        ------
        ValueError
            As `PageTable.truncate`; or windows that come would need tokens that are no longer kept.
            Nothing has changed.
        """
        kept, windows = as_counts("lengths", lengths), self.windows
        held = zip(kept, self.lengths, self._first.tolist(), strict=False)
        for b, (length, before, first) in enumerate(held):
            needed = windows.needed(length)
            if needed < min(length, first) and length < before:
                raise ValueError(
                    f"lengths: expected at least {windows.least(first)} for sequence {b}, of which "
                    f"tokens from {first} on are kept, or 0, got {length}"
                )
        super().truncate(kept)
        torch.minimum(self._first, self._lengths, out=self._first)

    def reorder(self, sources: Counts) -> None:
        """Every sequence becomes what another one was, as `PageTable.reorder`."""
        super().reorder(sources)
        becomes = torch.tensor(as_counts("sources", sources))
        self._first.copy_(torch.where(becomes < 0, 0, self._first[becomes]))
        for known in self._tensors:
            if (tensor := known()) is not None:
                tensor.copy_(tensor[becomes])


class WindowCache(DealtCache):
    """A `DealtCache` of windows, of the tokens that they are made of, and of dealt rows.

    Parameters
    ----------
    rows, table, dtype
        of `DealtCache`, the table a `WindowTable`
    windows : collection of str
        names of rows; `NAME_windows` are their windows, which every rank holds

    Attributes
    ----------
    recent : dict of str to Tensor [sequences, recent, ...]
        the last tokens of each sequence
    """

    def __init__(
        self,
        rows: Mapping[str, Sequence[int]],
        table: WindowTable,
        *,
        dtype: torch.dtype,
        windows: Sequence[str],
    ) -> None:
        pooled = {name: row for name, row in rows.items() if name not in windows}
        whole = [f"{name}_windows" for name in windows]
        super().__init__(pooled, table, dtype=dtype, replicated=whole)
        self._table, shape = table, (len(table.lengths), table.recent)
        self.recent = {name: torch.zeros(*shape, *rows[name], dtype=dtype) for name in windows}
        table.attach(self.recent.values())

    def beside(self) -> dict[str, Tensor]:
        """The last tokens of each sequence."""
        return {f"{name}_recent": tokens for name, tokens in self.recent.items()}

    def compress(
        self, rows: DealtRows, new: Mapping[str, Tensor], weights: Mapping[str, Tensor]
    ) -> None:
        """Makes the windows that new tokens complete; what is kept of tokens does not change.

        Parameters
        ----------
        rows : DealtRows
            of the step
        new : mapping of str to Tensor [T, ...]
            all new tokens
        weights : mapping of str to Tensor [block, kv heads]
        """
        assert rows.whole is not None
        if len(rows.whole.slots) == 0:
            return
        windows, recent = self._table.windows, self._table.recent
        counts = torch.diff(rows.ends, prepend=rows.ends.new_zeros(1))
        before = (rows.lengths - counts).long()
        first = torch.tensor([windows.needed(n) for n in before.tolist()])
        ends = (rows.lengths - first).cumsum(0)
        sequence = sequences_of(ends)
        positions = torch.arange(len(sequence)) + (rows.lengths - ends)[sequence]
        old = positions < before[sequence]
        for name, tokens in new.items():
            joined = tokens.new_empty(len(sequence), *tokens.shape[1:])
            joined[~old] = tokens
            joined[old] = self.recent[name][sequence[old], positions[old] % recent]
            made = torch.ops.tamis.nsa_compress(
                joined,
                weights[name],
                act_seq_len=ends.tolist(),
                compress_block_size=windows.block,
                compress_stride=windows.stride,
            )
            self.tensors[f"{name}_windows"].flatten(0, 1)[rows.whole.slots] = made

    def keep(self, rows: DealtRows, new: Mapping[str, Tensor]) -> None:
        """The last tokens, after a step that nothing can undo."""
        sequence, recent = sequences_of(rows.ends), self._table.recent
        last = rows.positions >= (rows.lengths - recent)[sequence]
        places = sequence[last], rows.positions[last] % recent
        for name, tokens in new.items():
            self.recent[name][places] = tokens[last]
