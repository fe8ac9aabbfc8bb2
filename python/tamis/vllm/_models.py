"""vLLM's models with an indexer, which select exactly."""

from __future__ import annotations

from typing import Any

from torch import nn
from vllm.model_executor.models import deepseek_v2

from tamis.vllm._indexer import ExactIndexer


def select_exactly(model: nn.Module) -> None:
    """Exchange the indexers of a model's layers; a layer that uses another's selection has none."""
    for module in list(model.modules()):
        if isinstance(module, deepseek_v2.DeepseekV2MLAAttention) and module.indexer is not None:
            indexer = ExactIndexer(module.indexer)
            module.indexer = indexer
            module.mla_attn.indexer = indexer
            module.mla_attn.mla_attn.indexer = indexer


class DeepseekV32ForCausalLM(deepseek_v2.DeepseekV3ForCausalLM):
    """DeepSeek-V3.2."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        select_exactly(self)


class GlmMoeDsaForCausalLM(deepseek_v2.GlmMoeDsaForCausalLM):
    """GLM-5."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        select_exactly(self)
