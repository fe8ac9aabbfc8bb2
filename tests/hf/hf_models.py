"""Small models of transformers' families, with random weights."""

from __future__ import annotations

import os
from typing import Any

import torch
import transformers
from torch import Tensor

# Small models want one thread: two, whose pool waits by spinning, are slower beside other work.
torch.set_num_threads(1)

# Three layers: dense, mixture of experts, and one that shares where the family shares.
LAYERS = 3
SIZES = {
    "vocab_size": 96,
    "hidden_size": 128,
    "intermediate_size": 192,
    "moe_intermediate_size": 48,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "kv_lora_rank": 64,
    "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 32,
    "v_head_dim": 24,
    "index_n_heads": 16,
    "index_head_dim": 32,
    "index_topk": 24,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
}
SHARED = {"indexer_types": ["full", "shared", "full"]}
LATENT_QUERIES = {"q_lora_rank": 96, "mlp_layer_types": ["dense", "sparse", "sparse"]}


def _text(config: Any, **changes: Any) -> Any:
    return config(**SIZES | LATENT_QUERIES | changes)


def _dots(**changes: Any) -> Any:
    layers = ["sliding_attention", "indexed_attention", "indexed_attention"]
    config = transformers.Dots3NoteTextConfig
    return _text(config, layer_types=layers, sliding_window=20, **changes)


def _mistral(**changes: Any) -> Any:
    text = (
        SIZES | SHARED | {"no_rope_layers": [1, 1, 0], "mlp_layer_types": ["dense"] * 3} | changes
    )
    return transformers.MistralLarge4Config(
        text_config=text,
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "model_type": "pixtral",
        },
    )


MAKERS = {
    "deepseek_v32": lambda **c: _text(transformers.DeepseekV32Config, **c),
    "glm_moe_dsa": lambda **c: _text(transformers.GlmMoeDsaConfig, **SHARED | c),
    "axk2": lambda **c: _text(transformers.AXK2Config, **c),
    "hy_v4": lambda **c: _text(transformers.HYV4Config, **SHARED | c),
    "dots3_note": _dots,
    "mistral_large4": _mistral,
}
CLASSES = {
    "dots3_note": "Dots3NoteForCausalLM",
    "mistral_large4": "MistralLarge4ForConditionalGeneration",
}
# All in the scheduled part `families`; by default two that differ most.
_chosen = os.environ.get("TAMIS_TEST_FAMILIES", "glm_moe_dsa,hy_v4")
FAMILIES = list(MAKERS) if _chosen == "all" else _chosen.split(",")


def make(family: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Any:
    """A model in evaluation mode, the same each time."""
    torch.manual_seed(7)
    config = MAKERS[family](**changes)
    if family in CLASSES:
        model = getattr(transformers, CLASSES[family])(config)
    else:
        model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("sinks"):
                parameter.normal_()
            elif name.endswith(("softmax_scaling.scale", "softmax_scaling.bias")):
                parameter.uniform_(0.5, 1.0)
    return model.to(dtype).eval()


def tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    """Token ids that are no special ones."""
    random = torch.Generator().manual_seed(seed)
    return torch.randint(2, 96, (rows, length), generator=random)


def layers_of(model: Any) -> Any:
    """The decoder layers."""
    return model.get_decoder().layers


def rms(difference: Tensor) -> float:
    """Root of the mean square."""
    return float(difference.double().pow(2).mean().sqrt())


def logits_of(model: Any, ids: Tensor, **named: Any) -> Tensor:
    """What a model says, by the implementation that it has."""
    with torch.no_grad():
        found: Tensor = model(ids, **named).logits
    return found


def logits(model: Any, implementation: str, ids: Tensor, **named: Any) -> Tensor:
    """What a model says by an implementation."""
    model.set_attn_implementation(implementation)
    return logits_of(model, ids, **named)


def generated(model: Any, implementation: str, ids: Tensor, **named: Any) -> Tensor:
    """The greedy continuation, 64 tokens unless `named` says otherwise."""
    model.set_attn_implementation(implementation)
    # Token 0 is padding: its embedding is zero, its index queries score all keys alike.
    named = {"max_new_tokens": 64, "do_sample": False, "suppress_tokens": [0]} | named
    with torch.no_grad():
        found: Tensor = model.generate(ids, **named)
    return found
