"""The same attention in plain PyTorch, from the formulas: masks over all keys.

It shares nothing with Tamis but the shapes, and costs T x T memory: a control for short runs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from proof.kernels import Index, Sizes

_ALWAYS = 1e9  # above every importance, which is at most the number of heads times l / d


class PlainKernels:
    """`Kernels` without an operator of Tamis."""

    def near(self, query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
        """Attention under the mask of a window."""
        distance = _token(query) - _token(query).T
        return _attend(query, key, value, (distance >= 0) & (distance < window))

    def compressed(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        weights: tuple[Tensor, Tensor],
        sizes: Sizes,
    ) -> tuple[Tensor, Tensor]:
        """Sums over windows, attention to them, and the blocks with most of it."""
        short_key, short_value = (
            torch.einsum("bngdl,lg->bngd", rows.unfold(1, sizes.window, sizes.stride), weight)
            for rows, weight in zip((key, value), weights, strict=True)
        )
        starts = torch.arange(short_key.shape[1]) * sizes.stride
        seen = starts + sizes.window - 1 <= _token(query)
        grouped = query.unflatten(2, (key.shape[2], -1))
        scores = torch.einsum("btgrd,bngd->btgrn", grouped, short_key) * query.shape[-1] ** -0.5
        hidden = ~seen[None, :, None, None]
        share = scores.masked_fill(hidden, -1e30).softmax(-1).masked_fill(hidden, 0.0)
        out = torch.einsum("btgrn,bngd->btgrd", share, short_value).flatten(2, 3)
        return out, _select(share.detach().sum(3), starts, sizes)

    def selected(
        self, query: Tensor, key: Tensor, value: Tensor, blocks: Tensor, block: int
    ) -> Tensor:
        """Attention under a mask of its own for every token and kv head."""
        length = query.shape[1]
        listed = functional.one_hot(blocks.long() + 1, -(-length // block) + 1).sum(3)[..., 1:] > 0
        visible = listed.repeat_interleave(block, -1)[..., :length].transpose(1, 2)
        mask = visible & (_token(query) >= _token(query).T)
        return _attend(query, key, value, mask.repeat_interleave(query.shape[2] // key.shape[2], 1))

    def indexed(self, query: Tensor, key: Tensor, rope: int, index: Index) -> tuple[Tensor, Tensor]:
        """Attention to all keys before a token, and the divergence of softmax from softmax."""
        seen = (_token(query) >= _token(query).T).expand(len(query), -1, -1)
        return _indexed(query, key, rope, _index_scores(index), seen)

    def listed(
        self, query: Tensor, key: Tensor, rope: int, index: Index, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same of the keys that have the highest scores."""
        scores = _index_scores(index)
        seen = _token(query) >= _token(query).T
        # Of equals the first.
        values, keys = (
            scores.detach()
            .masked_fill(~seen, -torch.inf)
            .sort(dim=-1, descending=True, stable=True)
        )
        keys = keys.masked_fill(values == -torch.inf, -1)[..., :count]
        visible = functional.one_hot(keys + 1, len(seen) + 1).sum(2)[..., 1:] > 0
        return *_indexed(query, key, rope, scores, visible), keys.int()


def _token(query: Tensor) -> Tensor:
    return torch.arange(query.shape[1])[:, None]


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    query, key, value = (t.transpose(1, 2) for t in (query, key, value))
    out = functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, enable_gqa=True
    )
    return out.transpose(1, 2)


def _index_scores(index: Index) -> Tensor:
    """Of every token and key, [B, T, T]."""
    each = torch.einsum("btnd,bsd->btns", index.query, index.key[:, :, 0]).relu()
    return torch.einsum("btns,btn->bts", each, index.weights)


def _indexed(
    query: Tensor, key: Tensor, rope: int, index: Tensor, visible: Tensor
) -> tuple[Tensor, Tensor]:
    """Attention under a mask [B, T, T], and the indexer's loss there."""
    key = key[:, :, 0]
    scores = torch.einsum("btnd,bsd->bnts", query, key) * query.shape[-1] ** -0.5
    share = scores.masked_fill(~visible[:, None], -torch.inf).softmax(-1)
    out = torch.einsum("bnts,bsd->btnd", share, key[..., :-rope])
    target = share.detach().mean(1)
    log = index.masked_fill(~visible, -torch.inf).log_softmax(-1).masked_fill(~visible, 0.0)
    return out, (torch.special.xlogy(target, target) - target * log).sum(-1).mean()


def _select(share: Tensor, starts: Tensor, sizes: Sizes) -> Tensor:
    """Blocks by the attention [B, T, N2, n] of windows, weighed by the tokens that they share."""
    length, block = share.shape[1], sizes.block
    number = torch.arange(-(-length // block))
    begin = torch.maximum(starts[:, None], number * block)
    end = torch.minimum(starts[:, None] + sizes.window, number * block + block)
    importance = share @ (end - begin).clamp(min=0).to(share.dtype)
    own = (torch.arange(length) // block)[:, None, None]
    always = (number == 0) | (number == own) | (number == own - 1)
    importance = importance.masked_fill(always, _ALWAYS).masked_fill(number > own, -1.0)
    # The same words twice weigh the same: of equals the first.
    values, blocks = importance.sort(dim=-1, descending=True, stable=True)
    blocks = blocks.masked_fill(values < 0, -1)[..., : sizes.selected]
    return functional.pad(blocks, (0, sizes.selected - blocks.shape[-1]), value=-1).int()
