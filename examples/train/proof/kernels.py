"""What computes attention: Tamis's operators here, plain PyTorch in `control`.

Sequences of a batch are alike in length. Shapes: B sequences of T tokens, N heads, N2 heads of keys
and values, D channels.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)


class Sizes(NamedTuple):
    """Of the compressed and the selected branch of Native Sparse Attention.

    Parameters
    ----------
    window, stride : int
        l tokens become one compressed key, one every d tokens
    block, selected : int
        l' tokens of a select block, and how many blocks a token selects
    """

    window: int = 4
    stride: int = 2
    block: int = 16
    selected: int = 16


class Index(NamedTuple):
    """What a lightning indexer scores keys by.

    Parameters
    ----------
    query : Tensor [B, T, Ni, Di]
    key : Tensor [B, T, 1, Di]
    weights : Tensor [B, T, Ni]
        of its heads, scaled
    """

    query: Tensor
    key: Tensor
    weights: Tensor


class Kernels(Protocol):
    """Attentions; each scales scores by D^-1/2 and is differentiable in its tensors.

    The last two see latent keys, one for all heads, whose first channels are the values too. They
    bring the indexer's loss: the divergence of its softmax from the main attention's, which is the
    mean over heads and no variable of the loss; a mean over tokens.
    """

    def near(self, query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
        """Causal attention to the last `window` keys; to all where there are no more.

        Parameters
        ----------
        query, key, value : Tensor [B, T, N, D], [B, T, N2, D], [B, T, N2, D]
        window : int

        Returns
        -------
        Tensor [B, T, N, D]
        """

    def compressed(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        weights: tuple[Tensor, Tensor],
        sizes: Sizes,
    ) -> tuple[Tensor, Tensor]:
        """Attention to windows of keys, and the blocks that it points at.

        Parameters
        ----------
        query, key, value : Tensor
            as `near` takes them
        weights : Tensor [l, N2], Tensor [l, N2]
            of the tokens of a window, for keys and for values
        sizes : Sizes

        Returns
        -------
        attention : Tensor [B, T, N, D]
            0 where no window has ended yet
        blocks : Tensor [B, T, N2, selected] of int32
            the first, the one before and the token's own, then the best, then -1
        """

    def selected(
        self, query: Tensor, key: Tensor, value: Tensor, blocks: Tensor, block: int
    ) -> Tensor:
        """Causal attention to the keys of blocks, a list for every token and kv head."""

    def indexed(self, query: Tensor, key: Tensor, rope: int, index: Index) -> tuple[Tensor, Tensor]:
        """Causal attention to all keys, and how far the indexer's softmax over them is from it.

        Parameters
        ----------
        query, key : Tensor [B, T, N, D], [B, T, 1, D]
        rope : int
            the last channels, which are not values
        index : Index

        Returns
        -------
        attention : Tensor [B, T, N, D - rope]
        loss : Tensor
        """

    def listed(
        self, query: Tensor, key: Tensor, rope: int, index: Index, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Causal attention to the `count` keys that the indexer scores highest.

        Parameters
        ----------
        query, key, rope, index
            as `indexed` takes them
        count : int

        Returns
        -------
        attention : Tensor [B, T, N, D - rope]
        loss : Tensor
            of the softmax over those keys
        keys : Tensor [B, T, count] of int32
            positions; -1 past a token's last
        """


class TamisKernels:
    """Every forward and every backward by an operator of Tamis."""

    def near(self, query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
        """Sliding-window attention, dense where the window has all keys."""
        out: Tensor = torch.ops.tamis.sliding_window_attention(
            query, key, value, scale_value=query.shape[-1] ** -0.5, window_size=window
        )[0]
        return out

    def compressed(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        weights: tuple[Tensor, Tensor],
        sizes: Sizes,
    ) -> tuple[Tensor, Tensor]:
        """Compression of keys and of values, and attention that selects."""
        ends, windows = _ends(key, 1, 1), _ends(key, sizes.window, sizes.stride)
        short = [
            torch.ops.tamis.nsa_compress(
                rows.flatten(0, 1),
                weight,
                act_seq_len=ends,
                compress_block_size=sizes.window,
                compress_stride=sizes.stride,
            )
            for rows, weight in zip((key, value), weights, strict=True)
        ]
        attention, blocks, *_ = torch.ops.tamis.nsa_compress_attention(
            query.flatten(0, 1),
            *short,
            scale_value=query.shape[-1] ** -0.5,
            head_num=query.shape[2],
            compress_block_size=sizes.window,
            compress_stride=sizes.stride,
            select_block_size=sizes.block,
            select_block_count=sizes.selected,
            actual_seq_qlen=ends,
            actual_cmp_seq_kvlen=windows,
            causal=True,
            importance="exact_overlap",
            masked_rows="zero",
            selection="causal",
        )
        return attention.view_as(query), blocks.unflatten(0, query.shape[:2])

    def selected(
        self, query: Tensor, key: Tensor, value: Tensor, blocks: Tensor, block: int
    ) -> Tensor:
        """Attention to blocks of keys."""
        ends = _ends(key, 1, 1)
        out: Tensor = torch.ops.tamis.nsa_selected_attention(
            *(t.flatten(0, 1) for t in (query, key, value, blocks)),
            scale_value=query.shape[-1] ** -0.5,
            head_num=query.shape[2],
            select_block_size=block,
            select_block_count=blocks.shape[-1],
            actual_seq_qlen=ends,
            actual_seq_kvlen=ends,
            sparse_mode=3,
        )[0]
        return out.view_as(query)

    def indexed(self, query: Tensor, key: Tensor, rope: int, index: Index) -> tuple[Tensor, Tensor]:
        """Sliding-window attention to all keys, and the indexer's loss from its statistics."""
        ends = torch.tensor(_ends(key, 1, 1))
        lengths = {"actual_seq_lengths_query": ends, "actual_seq_lengths_key": ends}
        rows, keys = query.flatten(0, 1), key.flatten(0, 1)
        out, maximum, total = torch.ops.tamis.sliding_window_attention(
            rows,
            keys,
            keys[..., : keys.shape[-1] - rope],
            actual_seq_lengths_query=ends,
            actual_seq_lengths_kv=ends,
            scale_value=query.shape[-1] ** -0.5,
            window_size=query.shape[1],
            layout_query="TND",
            layout_kv="TND",
        )
        flat = Index(*(t.flatten(0, 1) for t in index))
        with torch.no_grad():
            statistics = torch.ops.tamis.dense_lightning_indexer_softmax_lse(
                *flat, **lengths, layout="TND"
            )
        loss = torch.ops.tamis.dense_lightning_indexer_grad_kl_loss(
            rows.detach(),
            keys.detach(),
            *flat,
            maximum,
            total,
            *statistics,
            scale_value=query.shape[-1] ** -0.5,
            **lengths,
            layout="TND",
        )[0]
        return out.unflatten(0, query.shape[:2]), loss.squeeze(0) / len(rows)

    def listed(
        self, query: Tensor, key: Tensor, rope: int, index: Index, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The lightning indexer, sparse attention to its choice, and its loss."""
        scale, latent = query.shape[-1] ** -0.5, query.shape[-1] - rope
        with torch.no_grad():
            chosen = torch.ops.tamis.lightning_indexer(*index, sparse_count=count)[0]
        query, query_rope = query.split((latent, rope), -1)
        key, key_rope = key.split((latent, rope), -1)
        out, maximum, total = torch.ops.tamis.sparse_flash_attention(
            query,
            key,
            chosen,
            query_rope=query_rope,
            key_rope=key_rope,
            scale_value=scale,
            return_softmax_lse=True,
        )
        loss = torch.ops.tamis.sparse_lightning_indexer_grad_kl_loss(
            query.detach(),
            key.detach(),
            *index,
            chosen,
            maximum,
            total,
            query_rope=query_rope.detach(),
            key_rope=key_rope.detach(),
            scale_value=scale,
        )[0]
        return out, loss.squeeze(0) / query.shape[:2].numel(), chosen.squeeze(2)


def _ends(rows: Tensor, window: int, stride: int) -> list[int]:
    """Where the windows of each sequence end among those of all; of 1 and 1: where tokens do."""
    sequences, length = rows.shape[:2]
    count = max(length - window + stride, 0) // stride
    return [count * (b + 1) for b in range(sequences)]
