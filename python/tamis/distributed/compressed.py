"""The compressed branch of Native Sparse Attention, over windows that every rank holds."""

from __future__ import annotations

import torch
from torch import Tensor

from tamis.distributed.group import Call, ContextGroup
from tamis.distributed.states import heads_of
from tamis.distributed.step import runs, sequences_of
from tamis.distributed.table import DealtRows
from tamis.distributed.transport import as_bytes
from tamis.distributed.windows import WindowCache, Windows
from tamis.nn.compressed import NativeCompressedAttention
from tamis.nn.native_step import attend_to_windows


class CompressedBranch:
    """Attention to windows, and the blocks that it selects, as one rank has them, bit for bit.

    Parameters
    ----------
    layer : NativeCompressedAttention
        the same weights on all ranks
    group : ContextGroup

    Attributes
    ----------
    windows : Windows
    """

    def __init__(self, layer: NativeCompressedAttention, group: ContextGroup) -> None:
        self._layer, self._group = layer, group
        self.windows = Windows(len(layer.key_weight), layer.how["compress_stride"])

    @property
    def weights(self) -> dict[str, Tensor]:
        """Of tokens in windows, by what those are of: [compress_block_size, N2]."""
        return {"key": self._layer.key_weight, "value": self._layer.value_weight}

    def attend(
        self,
        query: Tensor,
        rows: DealtRows,
        cache: WindowCache,
        *,
        tokens: Tensor | None = None,
        kv_heads: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """What this rank computes of it.

        Parameters
        ----------
        query : Tensor [T or tokens, N, D]
            not turned
        rows : DealtRows
            of the step
        cache : WindowCache
            with the windows that the step completes
        tokens : Tensor, optional
            which of the T tokens, ascending; by default all
        kv_heads : slice
            and of which kv heads

        Returns
        -------
        attention : Tensor [T or tokens, heads of kv_heads, D2]
        blocks : Tensor [T or tokens, kv_heads, select_block_count] of int32
        """
        assert rows.whole_block_table is not None
        positions = rows.positions if tokens is None else rows.positions[tokens]
        sequence = sequences_of(rows.ends, tokens)
        counts = runs(sequence, positions)
        last = torch.tensor(counts, dtype=torch.int64).cumsum(0) - 1
        lengths = (positions[last] + 1).tolist()
        return attend_to_windows(
            query.unflatten(1, (self._layer.kv_heads, -1))[:, kv_heads].flatten(1, 2),
            cache.tensors["key_windows"][:, :, kv_heads],
            cache.tensors["value_windows"][:, :, kv_heads],
            rows.whole_block_table[sequence[last]],
            counts,
            lengths,
            [self.windows.complete(length) for length in lengths],
            compress_block_size=self.windows.block,
            **self._layer.how,
        )

    def share_heads(
        self, call: Call, query: Tensor, rows: DealtRows, cache: WindowCache
    ) -> tuple[Tensor, Tensor]:
        """As `attend` for all tokens, but every rank computes its share of the kv heads: a message.

        `call` is of all ranks, its message of `message_bytes`.
        """
        layer, tokens = self._layer, len(query)
        group, count = layer.heads // layer.kv_heads, layer.how["select_block_count"]
        own = self._shares[self._group.rank]
        mine = torch.empty(0, dtype=torch.uint8)
        if own.stop > own.start:
            found = self.attend(query, rows, cache, kv_heads=own)
            mine = torch.cat([as_bytes(part) for part in found])
        attention, blocks = [], []
        got = call.gather(mine, self.message_bytes(tokens))
        for message, share in zip(got, self._shares, strict=True):
            heads = share.stop - share.start
            listed = 4 * tokens * heads * count
            parts = message.split([len(message) - listed, listed])
            attention.append(parts[0].view(query.dtype).view(tokens, heads * group, layer.v_dim))
            blocks.append(parts[1].view(torch.int32).view(tokens, heads, count))
        return torch.cat(attention, 1), torch.cat(blocks, 1)

    def message_bytes(self, tokens: int) -> list[int]:
        """What each rank sends to every other in `share_heads`."""
        layer = self._layer
        row = layer.heads // layer.kv_heads * layer.v_dim * layer.key_weight.itemsize
        head = row + 4 * layer.how["select_block_count"]
        return [tokens * (share.stop - share.start) * head for share in self._shares]

    @property
    def _shares(self) -> list[slice]:
        """The kv heads of each rank."""
        return heads_of(self._layer.kv_heads, self._group.world)
