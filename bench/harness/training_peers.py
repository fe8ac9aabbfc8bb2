"""Training by PyTorch: forms whose gradients autograd finds, in layouts that suit both ways.

What the forward's peers compute is called, not written again. Here is what they lack: windows over
chunks, selected latents with gradients, the indexer's loss; and checkpoints, without which what was
gathered for every token would stay in memory until the backward.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from harness import peers, selected_peers
from harness.call import Call, Tensors, batch_of_one
from harness.shapes import BLOCK, STRIDE

Function = Callable[[Call], Tensor]

_AT_A_TIME = 64  # tokens whose blocks are gathered
_LATENTS_AT_A_TIME = 16
_ROWS_AT_A_TIME = 256  # of the loss over all keys


@functools.cache
def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """By torch.compile, once."""
    made: Callable[..., Tensor] = torch.compile(function, dynamic=False)
    return made


def after(step: Callable[[Tensors], Tensors], function: Callable[[Call], Any]) -> Function:
    """A peer of the forward, with its layout made within the graph; its first output."""

    def call(c: Call) -> Tensor:
        found: Tensor = function(Call(c.tensors | step(c.tensors), c.attributes, c.products))[0]
        return found

    return call


# --- selected blocks ------------------------------------------------------------------------------

selected_masked = after(selected_peers.heads_as_batch, selected_peers.masked)
selected_unions = after(selected_peers.heads_as_batch, selected_peers.unions)


def selected_gathered(
    c: Call, part: Callable[..., Tensor] = selected_peers.gathered_part
) -> Tensor:
    """Blocks gathered for every token, again in the backward."""
    by_head = Call(selected_peers.blocks_by_head(c.tensors), c.attributes, c.products)
    tokens = torch.arange(len(c["query"]))
    parts = zip(
        *(x.split(_AT_A_TIME) for x in (c["query"], c["topk_indices"], tokens)), strict=True
    )
    outs = [checkpoint(part, by_head, *given, use_reentrant=False) for given in parts]
    return torch.cat(outs)


def selected_gathered_compiled(c: Call) -> Tensor:
    """The same, a part compiled."""
    return selected_gathered(c, compiled(selected_peers.gathered_part))


def fla_is_here() -> bool:
    """Whether fla-core can be imported: its kernels need a GPU, its plain form does not."""
    return all(importlib.util.find_spec(name) for name in ("fla", "triton", "einops"))


def selected_by_fla(c: Call) -> Tensor:
    """fla-core's plain form: token after token."""
    from fla.ops.nsa.naive import naive_nsa_selection

    query, key, value = (c[name][None] for name in ("query", "key", "value"))
    found: Tensor = naive_nsa_selection(
        query,
        key,
        value,
        c["topk_indices"].long()[None],
        c.attributes["select_block_size"],
        c.attributes["scale_value"],
    )
    return found[0]


# --- windows --------------------------------------------------------------------------------------


def _by_kv_head(x: Tensor, kv_heads: int) -> Tensor:
    """[1, tokens, heads, dim] as [kv heads, heads of each, tokens, dim]."""
    return x[0].unflatten(1, (kv_heads, -1)).permute(1, 2, 0, 3)


def _by_token(x: Tensor) -> Tensor:
    """And back."""
    return x.flatten(0, 1).transpose(0, 1)[None]


def dense(c: Call) -> Tensor:
    """SDPA's own causal rule."""
    query, key, value = (c[name].transpose(1, 2) for name in ("query", "key", "value"))
    out = functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=c.attributes["scale_value"], enable_gqa=True
    )
    return out.transpose(1, 2)


def window_masked(c: Call) -> Tensor:
    """Dense attention behind a mask."""
    at = torch.arange(c["query"].shape[1])
    back = at[:, None] - at
    query, key, value = (c[name].transpose(1, 2) for name in ("query", "key", "value"))
    out = functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=(back >= 0) & (back < c.attributes["window_size"]),
        scale=c.attributes["scale_value"],
        enable_gqa=True,
    )
    return out.transpose(1, 2)


def window_chunks(c: Call) -> Tensor:
    """Chunks as long as the window, each with its own keys and those of the chunk before."""
    size, groups = c.attributes["window_size"], c["key"].shape[2]
    query = _by_kv_head(c["query"], groups)
    heads, tokens = query.shape[1:3]
    # Heads of a kv head are rows of one call: [kv heads, chunks, heads x size, dim].
    rows = query.unflatten(2, (-1, size)).transpose(1, 2).flatten(2, 3)
    key, value = (
        functional.pad(c[name][0].transpose(0, 1), (0, 0, size, 0)).unfold(1, 2 * size, size).mT
        for name in ("key", "value")
    )
    ahead = torch.arange(2 * size) - torch.arange(size)[:, None]
    seen = (ahead > 0) & (ahead <= size)
    first = seen & (torch.arange(2 * size) >= size)
    masks = torch.stack([first] + [seen] * (tokens // size - 1)).repeat(1, heads, 1)
    out = functional.scaled_dot_product_attention(
        rows, key, value, attn_mask=masks, scale=c.attributes["scale_value"]
    )
    return _by_token(out.unflatten(2, (heads, size)).transpose(1, 2).flatten(2, 3))


# --- compressed keys ------------------------------------------------------------------------------

compressed = after(peers.heads_first, peers.nsa_compress_attention)


def compressed_sdpa(c: Call) -> Tensor:
    """Attention alone, behind a mask; a token that sees nothing is made to see one, and cleared."""
    blind = c["atten_mask"].all(dim=-1)
    hidden = c["atten_mask"] & ~blind[:, None]
    made = batch_of_one(c.tensors)
    out = functional.scaled_dot_product_attention(
        c["query"].transpose(0, 1)[None],
        made["key"],
        made["value"],
        attn_mask=~hidden,
        scale=c.attributes["scale_value"],
        enable_gqa=True,
    )
    return out[0].transpose(0, 1).masked_fill(blind[:, None, None], 0)


# --- selected latents -----------------------------------------------------------------------------


def _latents(c: Call) -> tuple[Tensor, Tensor]:
    """Queries [tokens, heads, 576] and keys [tokens, 576]."""
    query = torch.cat([c["query"], c["query_rope"]], dim=-1)[0]
    return query, torch.cat([c["key"], c["key_rope"]], dim=-1)[0, :, 0]


def latents_part(query: Tensor, keys: Tensor, ids: Tensor, scale: float, latent: int) -> Tensor:
    """Of some tokens: rows gathered, two products over them."""
    # An embedding's gradient adds its rows up faster than that of an indexed tensor.
    rows = functional.embedding(ids.clamp(min=0), keys)
    scores = torch.bmm(query * scale, rows.mT).masked_fill((ids < 0)[:, None], -math.inf)
    return torch.bmm(scores.softmax(dim=-1), rows[..., :latent])


def latents_gathered(c: Call, part: Callable[..., Tensor] = latents_part) -> Tensor:
    """Rows gathered for every token, again in the backward."""
    query, keys = _latents(c)
    ids, latent = c["sparse_indices"][0, :, 0], c["query"].shape[-1]
    parts = zip(*(x.split(_LATENTS_AT_A_TIME) for x in (query, ids)), strict=True)
    outs = [
        checkpoint(part, q, keys, i, c.attributes["scale_value"], latent, use_reentrant=False)
        for q, i in parts
    ]
    return torch.cat(outs)[None]


def latents_gathered_compiled(c: Call) -> Tensor:
    """The same, a part compiled."""
    return latents_gathered(c, compiled(latents_part))


def latents_masked(c: Call) -> Tensor:
    """Dense attention behind a mask; values as wide as keys, for the fast kernel."""
    query, keys = _latents(c)
    tokens, ids = len(query), c["sparse_indices"][0, :, 0].long()
    seen = torch.zeros(tokens, len(keys) + 1, dtype=torch.bool)
    seen.scatter_(1, ids.masked_fill(ids < 0, len(keys)), True)
    shared = keys.expand(1, query.shape[1], -1, -1)
    out = functional.scaled_dot_product_attention(
        query.transpose(0, 1)[None],
        shared,
        shared,
        attn_mask=seen[:, :-1],
        scale=c.attributes["scale_value"],
    )
    return out.transpose(1, 2)[..., : c["query"].shape[-1]]


# --- windows of tokens, compressed ----------------------------------------------------------------


def compress(c: Call) -> Tensor:
    """As the forward's eager peer."""
    return peers.nsa_compress(c)[0]


def compress_compiled(c: Call) -> Tensor:
    """As the forward's compiled peer."""
    return compiled(_compress_as_sum)(c["input"], c["weight"])


def _compress_as_sum(x: Tensor, weight: Tensor) -> Tensor:
    attributes = {"compress_block_size": BLOCK, "compress_stride": STRIDE}
    return peers.nsa_compress_as_sum(Call({"input": x, "weight": weight}, attributes, x.dtype))[0]


# --- the indexer's loss over all keys -------------------------------------------------------------


def _rows_of_loss(
    index: Tensor, index_keys: Tensor, weights: Tensor, query: Tensor, keys: Tensor, total: Tensor
) -> Tensor:
    """Of tokens that end with the last of the keys; `total` is the logarithm of their softmax."""
    end, rows = len(keys), len(query)
    hidden = torch.arange(end) > torch.arange(end - rows, end)[:, None]
    with torch.no_grad():
        scores = torch.matmul(query.transpose(0, 1), keys.T).float()
        target = torch.exp_(scores.sub_(total.T[..., None])).mean(dim=0).masked_fill_(hidden, 0)
    products = torch.matmul(index.transpose(0, 1), index_keys.T).relu()
    scores = torch.einsum("tg,gts->ts", weights, products).float().masked_fill(hidden, -1e30)
    return functional.kl_div(scores.log_softmax(dim=-1), target, reduction="sum")


def index_loss(c: Call, part: Callable[..., Tensor] = _rows_of_loss) -> Tensor:
    """By 256 tokens over the keys up to the last of them; scores are computed again."""
    query = torch.cat([c["query"], c["query_rope"]], dim=-1)[0] * c.attributes["scale_value"]
    keys = torch.cat([c["key"], c["key_rope"]], dim=-1)[0, :, 0]
    total = (c["softmax_max"] + c["softmax_sum"].log())[0]
    of_rows = (c["query_index"][0], c["weights"][0], query, total)
    loss, end = torch.zeros(1), 0
    for index, weights, main, its_total in zip(
        *(x.split(_ROWS_AT_A_TIME) for x in of_rows), strict=True
    ):
        end += len(index)
        given = (index, c["key_index"][0, :end, 0], weights, main, keys[:end], its_total)
        loss = loss + checkpoint(part, *given, use_reentrant=False)
    return loss
