"""Attention of latents over selected tokens, in vLLM's paged cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from vllm.model_executor.layers.attention.sparse_mla_attention import SharedTopkIndicesBuffer
from vllm.v1.attention.backend import (
    AttentionBackend,
    AttentionMetadata,
    AttentionMetadataBuilder,
    AttentionType,
    MLAAttentionImpl,
)

import tamis.torch  # noqa: F401  # its operators
from tamis.vllm._refuse import refuse


@dataclass
class Batch(AttentionMetadata):
    """The tokens of a step, all sequences one after the other, and where their keys lie.

    `num_decode_tokens` is what vLLM's layer asks: how many tokens go through `forward_mqa`. Here
    all do.
    """

    num_actual_tokens: int
    num_decode_tokens: int
    num_decodes: int
    num_prefills: int
    query_ends: Tensor
    key_lengths: Tensor
    block_table: Tensor
    slot_mapping: Tensor


class BatchBuilder(AttentionMetadataBuilder):
    """Makes a Batch of what vLLM says about a step."""

    def __init__(
        self, kv_cache_spec: Any, layer_names: list[str], vllm_config: Any, device: torch.device
    ) -> None:
        super().__init__(kv_cache_spec, layer_names, vllm_config, device)

    def build(
        self, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool = False
    ) -> Batch:
        """The same for all layers of a group."""
        common = common_attn_metadata
        return Batch(
            num_actual_tokens=common.num_actual_tokens,
            num_decode_tokens=common.num_actual_tokens,
            num_decodes=common.num_reqs,
            num_prefills=0,
            query_ends=common.query_start_loc[1:],
            key_lengths=common.seq_lens,
            block_table=common.block_table_tensor,
            slot_mapping=common.slot_mapping,
        )


def store(rows: Tensor, cache: Tensor, slots: Tensor) -> None:
    """Write rows [T, D] where `slots` [T] says; a slot below 0 is none.

    `cache` [pages, page_size, D] may have gaps between its pages.
    """
    kept = slots >= 0
    if not bool(kept.all()):
        slots, rows = slots[kept], rows[: slots.shape[0]][kept]
    page_size = cache.shape[1]
    cache[slots // page_size, slots % page_size] = rows[: slots.shape[0]].to(cache.dtype)


class SparseLatentBackend(AttentionBackend):
    """What vLLM asks about the attention of layers with selected tokens."""

    supported_dtypes: ClassVar[list[torch.dtype]] = [torch.float16, torch.bfloat16, torch.float32]
    supported_kv_cache_dtypes: ClassVar[list[str]] = ["auto", "float16", "bfloat16"]

    @staticmethod
    def get_name() -> str:
        """A name that vLLM keeps for backends that it does not bring."""
        return "CUSTOM"

    @staticmethod
    def get_impl_cls() -> type[SparseLatentAttention]:
        """The class that attends."""
        return SparseLatentAttention

    @staticmethod
    def get_builder_cls() -> type[BatchBuilder]:
        """The class that describes a step."""
        return BatchBuilder

    @classmethod
    def is_mla(cls) -> bool:
        """Keys are latents."""
        return True

    @classmethod
    def is_sparse(cls) -> bool:
        """Tokens are selected."""
        return True


class SparseLatentAttention(MLAAttentionImpl, SharedTopkIndicesBuffer):
    """Attends to the tokens that an indexer has left in the buffer that layers share."""

    is_sparse = True
    supports_dense_mha_prefill = False
    supports_quant_query_input = False
    supports_pcp = False

    def __init__(
        self,
        num_heads: int,
        head_size: int,
        scale: float,
        num_kv_heads: int,
        alibi_slopes: list[float] | None,
        sliding_window: int | None,
        kv_cache_dtype: str,
        logits_soft_cap: float | None,
        attn_type: str,
        kv_sharing_target_layer_name: str | None,
        topk_indices_buffer: Tensor | None = None,
        indexer: object | None = None,
        **latent: Any,
    ) -> None:
        for name, value in (
            ("alibi_slopes", alibi_slopes),
            ("sliding_window", sliding_window),
            ("logits_soft_cap", logits_soft_cap),
            ("kv_sharing_target_layer_name", kv_sharing_target_layer_name),
        ):
            if value:
                refuse(name, "none", str(value))
        if attn_type != AttentionType.DECODER:
            refuse("attn_type", AttentionType.DECODER, attn_type)
        self.num_heads = num_heads
        self.scale = scale
        self.kv_cache_dtype = kv_cache_dtype
        self.kv_lora_rank = latent["kv_lora_rank"]
        self.init_topk_indices_buffer(indexer, topk_indices_buffer)

    def record_logical_topk_ready(self) -> None:
        """Nobody waits: the indexer has run when it returns."""

    def do_kv_cache_update(
        self,
        kv_c_normed: Tensor,
        k_pe: Tensor,
        kv_cache: Tensor,
        slot_mapping: Tensor,
        kv_cache_dtype: str,
        k_scale: Tensor,
    ) -> None:
        """Write the latents [T, L] and rotated keys [T, 1, R] of new tokens, side by side."""
        if kv_cache.numel():
            rows = torch.cat([kv_c_normed, k_pe.flatten(1)], dim=-1)
            store(rows, kv_cache, slot_mapping.flatten())

    def forward_mqa(
        self,
        q: Tensor | tuple[Tensor, Tensor],
        kv_c_and_k_pe_cache: Tensor,
        attn_metadata: Batch,
        layer: object,
    ) -> tuple[Tensor, None]:
        """Latent outputs [T, heads, L] of absorbed queries, [T, heads, L] and [T, heads, R]."""
        latent = self.kv_lora_rank
        query, rope = q if isinstance(q, tuple) else (q[..., :latent], q[..., latent:])
        keys = kv_c_and_k_pe_cache.unsqueeze(2)
        chosen = self.topk_indices_buffer
        assert chosen is not None
        out: Tensor = torch.ops.tamis.sparse_flash_attention(
            query,
            keys[..., :latent],
            chosen[: query.shape[0]].unsqueeze(1),
            block_table=attn_metadata.block_table,
            actual_seq_lengths_query=attn_metadata.query_ends,
            actual_seq_lengths_kv=attn_metadata.key_lengths,
            query_rope=rope,
            key_rope=keys[..., latent:],
            scale_value=self.scale,
            layout_query="TND",
            layout_kv="PA_BSND",
            sparse_mode=3,
        )[0]
        return out, None
