"""The indexer of a layer: keys in the model's own dtype, exact selection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from vllm.forward_context import get_forward_context
from vllm.model_executor.models.deepseek_v2 import DeepseekV32IndexerCache
from vllm.v1.attention.backend import AttentionBackend

import tamis.torch  # noqa: F401  # its operators
from tamis.vllm._attention import Batch, BatchBuilder, store


class IndexKeysBackend(AttentionBackend):
    """What vLLM asks about a cache that only an indexer reads."""

    @staticmethod
    def get_name() -> str:
        """A name for messages."""
        return "TAMIS_INDEX_KEYS"

    @staticmethod
    def get_impl_cls() -> Any:
        """None: no attention layer has it."""
        raise NotImplementedError

    @staticmethod
    def get_builder_cls() -> type[BatchBuilder]:
        """The class that describes a step."""
        return BatchBuilder


class IndexKeys(DeepseekV32IndexerCache):
    """A layer's index keys, [pages, page_size, D], in the dtype that they are made in."""

    def get_attn_backend(self) -> type[AttentionBackend]:
        """Described as the latents are."""
        return IndexKeysBackend


def select(query: Tensor, key: Tensor, weight: Tensor, chosen: Tensor, layer: str) -> None:
    """Keep the index keys of a step's tokens, and select for each of them.

    Opaque to torch.compile, as vLLM's own attention is: what is cached where is known by step.

    Parameters
    ----------
    query, key, weight : Tensor
        [T, heads, D], [T, D] and [T, heads]; the step may have fewer tokens than T.
    chosen : Tensor
        [tokens, K] int32, of which the first rows are written: positions, then -1.
    layer : str
        The name of the cache.
    """
    context = get_forward_context()
    if not isinstance(context.attn_metadata, dict):
        return  # a run that only measures memory
    batch: Batch = context.attn_metadata[layer]
    keys = context.no_compile_layers[layer].kv_cache
    store(key, keys, batch.slot_mapping)
    tokens = batch.num_actual_tokens
    selected: Tensor = torch.ops.tamis.lightning_indexer(
        query[:tokens],
        keys.unsqueeze(2),
        weight[:tokens],
        actual_seq_lengths_query=batch.query_ends,
        actual_seq_lengths_key=batch.key_lengths,
        block_table=batch.block_table,
        layout_query="TND",
        layout_key="PA_BSND",
        sparse_count=chosen.shape[1],
        sparse_mode=3,
    )[0]
    chosen[:tokens] = selected[:, 0]


def trace(query: Tensor, key: Tensor, weight: Tensor, chosen: Tensor, layer: str) -> None:
    """What torch.compile needs to know of `select`: it returns nothing."""


torch.library.custom_op("tamis_vllm::select", select, mutates_args={"chosen"}).register_fake(trace)


class ExactIndexer(nn.Module):
    """Takes the place of vLLM's indexer, with its weights.

    vLLM's rounds queries and keys to 8 bits. Here they stay as the projections make them, and the
    selection is that of float64 on the same queries and keys.

    Parameters
    ----------
    stock : Module
        vLLM's indexer, whose cache this one's replaces.
    """

    def __init__(self, stock: Any) -> None:
        super().__init__()
        self.wq_b, self.wk_weights_proj, self.k_norm = (
            stock.wq_b,
            stock.wk_weights_proj,
            stock.k_norm,
        )
        self.heads, self.dim, self.rope_dim = stock.n_head, stock.head_dim, stock.rope_dim
        self.topk_tokens = stock.topk_tokens
        self.topk_indices_buffer = stock.topk_indices_buffer
        layers = stock.vllm_config.compilation_config.static_forward_context
        name = stock.k_cache.prefix
        del layers[name]
        self.k_cache = IndexKeys(
            self.dim, stock.vllm_config.model_config.dtype, name, stock.k_cache.cache_config
        )

    def forward(
        self, hidden_states: Tensor, qr: Tensor, positions: Tensor, rotary_emb: nn.Module
    ) -> Tensor:
        """Select for every token of [T, hidden]; returns the shared buffer."""
        query = self.wq_b(qr)[0].view(-1, self.heads, self.dim)
        projected = self.wk_weights_proj(hidden_states)[0]
        key, weight = projected.split([self.dim, self.heads], dim=-1)
        key = self.k_norm(key)
        sizes = [self.rope_dim, self.dim - self.rope_dim]
        query_rope, query_plain = query.split(sizes, dim=-1)
        key_rope, key_plain = key.split(sizes, dim=-1)
        query_rope, key_rope = rotary_emb(positions, query_rope, key_rope.unsqueeze(1))
        query = torch.cat([query_rope.reshape(-1, self.heads, self.rope_dim), query_plain], dim=-1)
        key = torch.cat([key_rope.reshape(-1, self.rope_dim), key_plain], dim=-1)
        # Positive factors of vLLM's code are left out: they change no order.
        torch.ops.tamis_vllm.select(
            query, key, weight, self.topk_indices_buffer, self.k_cache.prefix
        )
        chosen: Tensor = self.topk_indices_buffer
        return chosen
