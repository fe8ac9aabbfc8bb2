"""Calls of training: a shape, whose gradients are wanted, how Tamis computes it, and the peers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch
from torch import Tensor

from harness import ours, training_peers
from harness.call import Call
from harness.shapes import (
    BLOCK,
    LATENT,
    ROPE,
    STRIDE,
    TRAINED,
    Attributes,
    Heads,
    Pool,
    Shape,
    compress,
    prefill,
    random,
    select,
    spell,
)
from harness.training_peers import Function

BOTH_WAYS = 7 / 2  # products of the forward and the backward, over those of the forward


@dataclass
class Case:
    """A call, forward and backward.

    Parameters
    ----------
    shape : Shape
        Its floors are those of both ways.
    wanted : tuple of str
        Tensors whose gradients are.
    peers : dict
        Forward functions by name. Those that begin with "compile" need a C++ compiler.
    forward : callable, optional
        Tamis's; the operator's first output if it is not given.
    """

    shape: Shape
    wanted: tuple[str, ...]
    peers: dict[str, Function] = field(default_factory=dict)
    forward: Function | None = None

    def ours(self, c: Call) -> Tensor:
        """By Tamis."""
        if self.forward is not None:
            return self.forward(c)
        return ours.operator_call(self.shape.operator, c.tensors, c.attributes)()[0]


def both_ways(shape: Shape, times: float = BOTH_WAYS) -> Shape:
    """Products of both ways; inputs are read by either."""
    return dataclasses.replace(
        shape, flops=times * shape.flops, read_bytes=2 * shape.read_bytes, variants={}
    )


_QKV = ("query", "key", "value")


def selected(tokens: int, *, shared: int = 1, count: int = 16, all_forms: bool = False) -> Case:
    """Attention over selected blocks; gathers are for few tokens, they are the slowest."""
    peers: dict[str, Function] = {"SDPA, unions of 64 tokens": training_peers.selected_unions}
    if tokens <= 1024:
        peers["SDPA, masked"] = training_peers.selected_masked
    if all_forms:
        peers["gather"] = training_peers.selected_gathered
        peers["compile, gather"] = training_peers.selected_gathered_compiled
        if training_peers.fla_is_here():
            peers["fla-core, plain"] = training_peers.selected_by_fla
    shape = select(tokens, shared=shared, count=count, heads=TRAINED)
    return Case(both_ways(shape), _QKV, peers)


def window(tokens: int, size: int | None = None, heads: Heads = TRAINED) -> Case:
    """Attention to the last keys, or to all of them."""

    def make(dtype: torch.dtype) -> Pool:
        tensors = {
            "query": random(dtype, 1, tokens, heads.query, heads.dim),
            "key": random(dtype, 1, tokens, heads.kv, heads.dim),
            "value": random(dtype, 1, tokens, heads.kv, heads.v_dim),
        }
        return Pool([tensors], {"scale_value": heads.dim**-0.5, "window_size": seen})

    seen = size or tokens
    pairs = sum(min(token + 1, seen) for token in range(tokens))
    width = heads.dim + heads.v_dim
    shape = Shape(
        "sliding_window_attention",
        f"{spell(tokens)}, " + (f"window of {size}" if size else "all keys"),
        2.0 * heads.query * pairs * width,
        2.0 * tokens * (heads.query * heads.dim + heads.kv * width),
        make,
    )
    peers: dict[str, Function] = {"SDPA, causal": training_peers.dense}
    if size:
        peers = {"SDPA, chunks": training_peers.window_chunks}
        if tokens <= 2048:
            peers["SDPA, masked"] = training_peers.window_masked
    return Case(both_ways(shape), _QKV, peers)


def compressed(tokens: int, count: int = 16) -> Case:
    """Attention over compressed keys, with importance and selection."""
    keys = (tokens - BLOCK) // STRIDE + 1
    peers: dict[str, Function] = {
        "eager, with top-k": training_peers.compressed,
        "SDPA, masked, attention alone": training_peers.compressed_sdpa,
    }
    shape = prefill(tokens, keys, causal=True, count=count, heads=TRAINED)
    return Case(both_ways(shape), _QKV, peers, _compressed)


def _compressed(c: Call) -> Tensor:
    """By its own causal rule, which is that of the mask."""
    tensors = {name: tensor for name, tensor in c.tensors.items() if name != "atten_mask"}
    attributes = c.attributes | {"causal": True}
    return ours.operator_call("nsa_compress_attention", tensors, attributes)()[0]


def causal_lists(tokens: int, count: int) -> Tensor:
    """For every token, so many of the positions up to its own, ended by -1: [tokens, count]."""
    parts = []
    for at in torch.arange(tokens).split(1024):
        rank = torch.rand(len(at), tokens).masked_fill_(torch.arange(tokens) > at[:, None], -1)
        best = rank.topk(count, dim=-1)
        parts.append(best.indices.masked_fill_(best.values < 0, -1).int())
    return torch.cat(parts)


def latents_shape(tokens: int, count: int, heads: int = 16) -> Shape:
    """Attention of a sequence over itself, each token over a selection."""

    def make(dtype: torch.dtype) -> Pool:
        tensors = {
            "query": random(dtype, 1, tokens, heads, LATENT),
            "query_rope": random(dtype, 1, tokens, heads, ROPE),
            "key": random(dtype, 1, tokens, 1, LATENT),
            "key_rope": random(dtype, 1, tokens, 1, ROPE),
            "sparse_indices": causal_lists(tokens, count).view(1, tokens, 1, count),
        }
        scale = (LATENT + ROPE) ** -0.5
        return Pool([tensors], {"scale_value": scale, "return_softmax_lse": True})

    pairs = sum(min(token + 1, count) for token in range(tokens))
    return Shape(
        "sparse_flash_attention",
        f"{spell(tokens)} x {heads} heads, {count} of them",
        2.0 * heads * pairs * (2 * LATENT + ROPE),
        2.0 * tokens * (heads + 1) * (LATENT + ROPE),
        make,
    )


def latents_grad(tokens: int, count: int) -> Shape:
    """Its gradient operator alone, for time against context."""
    forward = latents_shape(tokens, count)

    def make(dtype: torch.dtype) -> Pool:
        pool = forward.make(dtype)
        (tensors,), attributes = pool.sets, dict(pool.attributes)
        out, most, total = ours.operator_call(forward.operator, tensors, attributes)()
        del attributes["return_softmax_lse"]
        given = {"out_grad": torch.randn_like(out), "softmax_max": most, "softmax_sum": total}
        return Pool([tensors | given], attributes)

    times = (3 * (LATENT + ROPE) + 2 * LATENT) / (2 * LATENT + ROPE)
    return dataclasses.replace(
        forward, operator="sparse_flash_attention_grad", flops=times * forward.flops, make=make
    )


def latents(tokens: int, count: int) -> Case:
    """The same in training: three products of 576 dims, and two of 512."""
    times = 1 + (3 * (LATENT + ROPE) + 2 * LATENT) / (2 * LATENT + ROPE)
    peers: dict[str, Function] = {
        "SDPA, masked": training_peers.latents_masked,
        "gather": training_peers.latents_gathered,
        "compile, gather": training_peers.latents_gathered_compiled,
    }
    wanted = ("query", "query_rope", "key", "key_rope")
    return Case(both_ways(latents_shape(tokens, count), times), wanted, peers)


def compression(tokens: int) -> Case:
    """Windows of all tokens: a product forward, two backward, which reads output_grad, too."""
    shape = compress(tokens, TRAINED.kv, TRAINED.dim)
    shape = dataclasses.replace(both_ways(shape, 3), read_bytes=(2 + 1 / STRIDE) * shape.read_bytes)
    peers: dict[str, Function] = {
        "eager": training_peers.compress,
        "compile": training_peers.compress_compiled,
    }
    return Case(shape, ("input", "weight"), peers)


def index_loss(tokens: int, heads: int = 16, index_heads: int = 16, dim: int = 128) -> Case:
    """The indexer's loss over all keys, beside a main attention of latents."""

    def make(dtype: torch.dtype) -> Pool:
        tensors = {
            "query": random(dtype, 1, tokens, heads, LATENT),
            "query_rope": random(dtype, 1, tokens, heads, ROPE),
            "key": random(dtype, 1, tokens, 1, LATENT),
            "key_rope": random(dtype, 1, tokens, 1, ROPE),
            "query_index": random(dtype, 1, tokens, index_heads, dim),
            "key_index": random(dtype, 1, tokens, 1, dim),
            "weights": random(dtype, 1, tokens, index_heads) / (index_heads * dim**0.5),
        }
        attributes: Attributes = {"scale_value": (LATENT + ROPE) ** -0.5}
        main = {
            "query": torch.cat([tensors["query"], tensors["query_rope"]], dim=-1),
            "key": torch.cat([tensors["key"], tensors["key_rope"]], dim=-1),
            "value": tensors["key"],
        }
        _, most, total = ours.operator_call(
            "sliding_window_attention", main, attributes | {"window_size": tokens}
        )()
        return Pool([tensors | {"softmax_max": most, "softmax_sum": total}], attributes)

    pairs = tokens * (tokens + 1) // 2
    shape = Shape(
        "dense_lightning_indexer_grad_kl_loss",
        f"{spell(tokens)} x {heads} heads, {index_heads} of the indexer",
        # The main scores once; the index scores, and the gradients of both their factors.
        2.0 * pairs * (heads * (LATENT + ROPE) + 3 * index_heads * dim),
        2.0 * tokens * ((heads + 1) * (LATENT + ROPE) + (index_heads + 1) * dim),
        make,
    )
    peers: dict[str, Function] = {"chunks of 256, checkpointed": training_peers.index_loss}
    return Case(shape, ("query_index", "key_index", "weights"), peers, _index_loss)


def _index_loss(c: Call) -> Tensor:
    """The statistics of the indexer's scores, then the loss with its gradients."""
    index = {n: c[n].detach() for n in ("query_index", "key_index", "weights")}
    most, total = ours.operator_call("dense_lightning_indexer_softmax_lse", index, {})()
    statistics = {"softmax_max_index": most, "softmax_sum_index": total}
    operator = "dense_lightning_indexer_grad_kl_loss"
    return ours.operator_call(operator, c.tensors | statistics, c.attributes)()[0]


def cases() -> list[Case]:
    """What `./dev bench --training` times."""
    return [
        selected(1024, all_forms=True),
        selected(4096),
        selected(4096, shared=64),
        selected(8192),
        selected(8192, shared=64),
        window(2048, 512),
        window(8192, 512),
        window(8192),
        compressed(2048),
        compressed(8192),
        latents(1024, 512),
        latents(2048, 1024),
        index_loss(2048),
        compression(65536),
    ]


def small_cases() -> list[Case]:
    """The same, small enough for tests."""
    return [
        selected(256, count=3, all_forms=True),
        selected(256, shared=64, count=3),
        window(64, 16),
        window(48),
        compressed(256, count=4),
        latents(40, 24),
        index_loss(40, heads=3, index_heads=2, dim=20),
        compression(256),
    ]
