"""vLLM's CPU platform, which also takes sparse attention."""

from __future__ import annotations

from typing import Any

import vllm
from vllm.logger import init_logger
from vllm.platforms.cpu import CpuPlatform

from tamis.vllm import MODELS
from tamis.vllm._refuse import refuse

# Of vLLM, whose parts that are used here change: docs/engines.md says what they are.
TRIED = "0.32.0"
logger = init_logger("vllm.tamis")


def selects(vllm_config: Any) -> bool:
    """Whether a configuration is one of a model whose layers have an indexer."""
    model = vllm_config.model_config
    return model is not None and bool(MODELS.keys() & set(model.architectures))


class TamisCpuPlatform(CpuPlatform):
    """The CPU, with an attention backend for layers that select their tokens."""

    @classmethod
    def get_attn_backend_cls(
        cls, selected_backend: Any, attn_selector_config: Any, num_heads: int | None = None
    ) -> str:
        """The dotted name of a layer's attention backend."""
        if attn_selector_config.use_sparse:
            return "tamis.vllm._attention.SparseLatentBackend"
        name: str = super().get_attn_backend_cls(selected_backend, attn_selector_config, num_heads)
        return name

    @classmethod
    def check_and_update_config(cls, vllm_config: Any) -> None:
        """What vLLM does for a CPU, without what only its own latent attention needs.

        That one has kernels for pages of 16 tokens, for whole prompts and no shared prefixes. Here
        pages have any size, prompts come in parts, prefixes are shared.
        """
        if not selects(vllm_config):
            super().check_and_update_config(vllm_config)
            return
        if vllm.__version__ != TRIED:
            logger.warning("tamis.vllm was tried with vLLM %s, this is %s", TRIED, vllm.__version__)
        cache, scheduler = vllm_config.cache_config, vllm_config.scheduler_config
        parallel = vllm_config.parallel_config
        if cache.cache_dtype not in ("auto", "float16", "bfloat16"):
            refuse("kv_cache_dtype", "auto", cache.cache_dtype)
        if vllm_config.speculative_config is not None:
            refuse("speculative_config", "none", vllm_config.speculative_config.method)
        for name in ("decode_context_parallel_size", "prefill_context_parallel_size"):
            if getattr(parallel, name) > 1:
                refuse(name, "1", str(getattr(parallel, name)))
        chunked, batched = scheduler.enable_chunked_prefill, scheduler.max_num_batched_tokens
        prefixes, block = cache.enable_prefix_caching, cache.block_size
        super().check_and_update_config(vllm_config)
        scheduler.enable_chunked_prefill, scheduler.max_num_batched_tokens = chunked, batched
        cache.enable_prefix_caching = prefixes
        cache.block_size = block if cache.user_specified_block_size else 128
        # vLLM's CPU kernel wants [tokens, heads D] and gets [tokens, heads, D], of which it
        # leaves heads as they were; vLLM's PyTorch code takes both.
        vllm_config.compilation_config.custom_ops.append("-rotary_embedding")
