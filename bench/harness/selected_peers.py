"""Attention over selected blocks by PyTorch: gathered, behind a mask, over unions of lists."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from harness.call import Call, Outputs, Tensors, batch_of_one

_SELECT = 64  # keys in a block
_AT_A_TIME = 2  # tokens whose gathered blocks stay in the caches


def blocks_by_head(t: Tensors) -> Tensors:
    """A row for every block of every kv head, heads one after the other."""
    found = {}
    for name in ("key", "value"):
        by_head = t[name].transpose(0, 1)
        found[name] = by_head.reshape(-1, _SELECT * by_head.shape[-1])
    return found


def _rows_of_blocks(lists: Tensor, blocks: int) -> Tensor:
    """Rows of `blocks_by_head` for lists [.., kv heads, ids]; block 0 for an id of -1."""
    heads = torch.arange(lists.shape[-2])[:, None] * blocks
    return (lists.clamp(min=0) + heads).flatten()


def _in_the_list(lists: Tensor, token: Tensor) -> Tensor:
    """Which keys of its list [tokens, kv heads, ids] a token sees."""
    positions = lists[..., None] * _SELECT + torch.arange(_SELECT)
    seen = (lists >= 0)[..., None] & (positions <= token[:, None, None, None])
    return seen.flatten(-2)


def gathered(c: Call) -> Outputs:
    """By few tokens: blocks gathered for every token and kv head, two products over them."""
    tokens = torch.arange(len(c["query"]))
    parts = zip(
        *(x.split(_AT_A_TIME) for x in (c["query"], c["topk_indices"], tokens)), strict=True
    )
    return (torch.cat([gathered_part(c, *part) for part in parts]).to(c["query"].dtype),)


def gathered_part(c: Call, query: Tensor, lists: Tensor, token: Tensor) -> Tensor:
    """Of some tokens, with their positions."""
    groups, dim = lists.shape[1], query.shape[-1]
    rows = _rows_of_blocks(lists, len(c["key"]) // groups)
    key, value = (
        c.wide(c[name].index_select(0, rows)).view(
            len(lists) * groups, lists.shape[-1] * _SELECT, -1
        )
        for name in ("key", "value")
    )
    scaled = query * c.attributes["scale_value"]
    scores = torch.bmm(c.wide(scaled.view(len(key), -1, dim)), key.mT)
    seen = _in_the_list(lists, token).view(len(key), 1, -1)
    scores.masked_fill_(~seen, -math.inf)
    return torch.bmm(scores.softmax(dim=-1), value).view(*query.shape[:2], -1)


def heads_as_batch(t: Tensors) -> Tensors:
    """[kv heads, 1, tokens, dim], values as wide as keys: the fast kernel wants them so."""
    made = batch_of_one(t)
    by_head = {n: made[n][0][:, None] for n in ("key", "value")}
    return by_head | {"narrow": made["narrow"]}


def _by_tokens(c: Call, at_a_time: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Some tokens' queries [kv heads, heads of each, tokens, dim], lists, and positions.

    Split, not sliced: the gradient of a slice is as large as what it is a slice of.
    """
    token = torch.arange(len(c["query"]))
    parts = (x.split(at_a_time) for x in (c["query"], c["topk_indices"], token))
    for query, lists, at in zip(*parts, strict=True):
        yield query.unflatten(1, (len(c["key"]), -1)).permute(1, 2, 0, 3), lists, at


def _sdpa_by_head(c: Call, query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    """[tokens, heads, value dim] of one or all kv heads."""
    heads = query.shape[1]
    out = functional.scaled_dot_product_attention(
        query,
        key.expand(-1, heads, -1, -1),
        value.expand(-1, heads, -1, -1),
        attn_mask=seen,
        scale=c.attributes["scale_value"],
    )
    return out.flatten(0, 1).transpose(0, 1)[..., : c["narrow"].shape[-1]]


def _seen_blocks(lists: Tensor, blocks: int) -> Tensor:
    """[kv heads, tokens, blocks] of lists [tokens, kv heads, ids]."""
    seen = torch.zeros(*lists.shape[:2], blocks + 1, dtype=torch.bool)
    seen.scatter_(-1, lists.long().masked_fill(lists < 0, blocks), True)
    return seen[..., :blocks].transpose(0, 1)


def masked(c: Call) -> Outputs:
    """By 256 tokens: dense attention to all keys up to the last of them, behind a mask."""
    outs = []
    for query, lists, token in _by_tokens(c, 256):
        end = int(token[-1]) + 1
        seen = _seen_blocks(lists, -(-end // _SELECT)).repeat_interleave(_SELECT, dim=-1)
        seen = seen[..., :end] & (torch.arange(end) <= token[:, None])
        key, value = (c[name][:, :, :end] for name in ("key", "value"))
        outs.append(_sdpa_by_head(c, query, key, value, seen[:, None]))
    return (torch.cat(outs),)


def unions(c: Call) -> Outputs:
    """By 64 tokens and kv head: dense attention to the blocks that any of them has, masked."""
    outs = []
    of_heads = list(zip(c["key"].unbind(), c["value"].unbind(), strict=True))
    for queries, lists, token in _by_tokens(c, 64):
        by_token, heads = _seen_blocks(lists, -(-(int(token[-1]) + 1) // _SELECT)), []
        for query, whole, of_head in zip(queries.split(1), of_heads, by_token, strict=True):
            union = of_head.any(dim=0).nonzero().flatten()
            positions = (union[:, None] * _SELECT + torch.arange(_SELECT)).flatten()
            key, value = (
                x.unflatten(1, (-1, _SELECT)).index_select(1, union).flatten(1, 2)[None]
                for x in whole
            )
            seen = of_head[:, union].repeat_interleave(_SELECT, dim=-1)
            seen &= positions <= token[:, None]
            heads.append(_sdpa_by_head(c, query, key, value, seen))
        outs.append(torch.cat(heads, dim=1))
    return (torch.cat(outs),)


def _from_pages(c: Call) -> tuple[Tensor, Tensor, Tensor]:
    """Of every sequence and kv head: queries, keys and values of its list, rows from the pages.

    The lists of a decoding step are full, of keys that are all seen.
    """
    groups, page = c.attributes["key_value_head_num"], c.attributes["page_block_size"]
    lists = c["topk_indices"].long()
    positions = (lists[..., None] * _SELECT + torch.arange(_SELECT)).flatten(-2)
    table = c["block_table"].long()[:, None].expand(-1, groups, -1)
    tokens = table.gather(-1, positions // page) * page + positions % page
    rows = (tokens * groups + torch.arange(groups)[:, None]).flatten()
    key, value = (
        c[name]
        .view(-1, c[name].shape[-1] // groups)
        .index_select(0, rows)
        .view(len(lists) * groups, positions.shape[-1], -1)
        for name in ("key", "value")
    )
    return c["query"].view(len(key), -1, c["query"].shape[-1]), key, value


def infer(c: Call) -> Outputs:
    """Two products over gathered keys, all sequences and kv heads at once."""
    query, key, value = _from_pages(c)
    scaled = c.wide(query * c.attributes["scale_value"])
    weights = torch.bmm(scaled, c.wide(key).mT).softmax(dim=-1)
    out = torch.bmm(weights, c.wide(value)).to(query.dtype)
    return (out.view(*c["query"].shape[:2], -1),)


def infer_sdpa(c: Call) -> Outputs:
    """Heads as the queries of one dense attention over gathered keys."""
    query, key, value = _from_pages(c)
    wide = functional.pad(value, (0, key.shape[-1] - value.shape[-1]))
    out = functional.scaled_dot_product_attention(
        query[:, None], key[:, None], wide[:, None], scale=c.attributes["scale_value"]
    )
    return (out[..., : value.shape[-1]].reshape(*c["query"].shape[:2], -1),)
