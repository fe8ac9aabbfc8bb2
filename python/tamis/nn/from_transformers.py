"""What an attention module of transformers has: sizes, flavour, positions, weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor

from tamis.nn.flavour import Flavour
from tamis.nn.rope import NO_ROPE, Rope, rope_of

_DTYPES = (torch.bfloat16, torch.float16, torch.float32)
_CHANGING = ("dynamic", "longrope")  # types of rope whose frequencies follow the length


@dataclass(frozen=True)
class Found:
    """What a layer is made of.

    Parameters
    ----------
    sizes : dict
        keyword arguments of `DeepSeekSparseAttention`
    flavour : Flavour
    dtype : torch.dtype
        of the layer
    rope : Rope
    scale_value : float
        of the scores
    parameters : dict of str to Tensor
        by the layer's names, as the layer has them
    kept : set of str
        those that keep their own dtype
    """

    sizes: dict[str, Any]
    flavour: Flavour
    dtype: torch.dtype
    rope: Rope
    scale_value: float
    parameters: dict[str, Tensor]
    kept: set[str] = field(default_factory=set)


def read(module: torch.nn.Module, rotary: torch.nn.Module | None) -> Found:
    """All of it.

    Raises
    ------
    ValueError
        The module is none that the layer can be; one line.
    """
    family = _family(module)
    m: Any = module
    _check(m)
    flavour = _FLAVOURS[family](m)
    sizes = _sizes(m, family, flavour)
    weights = _Weights(m, flavour)
    rope = _rope(m, rotary, family, sizes["rope_dim"])
    parameters = weights.projections() | weights.norms()
    if flavour.indexer:
        parameters |= weights.indexer()
    scale = float(m.scaling) * float(getattr(m, "q_lora_scale", 1.0))
    kept = {"w_idx_proj"} & set(parameters)
    return Found(sizes, flavour, m.kv_b_proj.weight.dtype, rope, scale, parameters, kept)


def _refuse(argument: str, expected: str, got: object) -> NoReturn:
    raise ValueError(f"{argument}: expected {expected}, got {got}")


def _family(module: torch.nn.Module) -> str:
    """Its name, if the module's code is known here."""
    kind = type(module)
    found = kind.__module__.split(".")
    if kind.__module__.startswith("transformers.models.") and found[2] in _FLAVOURS:
        from tamis.transformers import _families  # not needed where nobody has a model

        if kind in _families.known:
            return found[2]
    known = ", ".join(_FLAVOURS)
    _refuse("module", f"the attention of one of {known} as known here", kind.__name__)


def _check(m: Any) -> None:
    """That the layer can do what the module does."""
    where = f"layer {m.layer_idx} of {type(m).__name__}"
    if m.indexer is None and not getattr(m, "skip_topk", False):
        _refuse("module", "a layer that attends to selected tokens", f"{where} with a window")
    if getattr(m, "is_kv_shared_layer", False):
        _refuse("module", "a layer with keys and values of its own", f"{where} with another's")
    linear = {
        name: child
        for name, child in m.named_modules()
        if name.endswith(("proj", "proj_with_mqa", "wq_b", "wk"))
    }
    for name, child in linear.items():
        if type(child) is not torch.nn.Linear:
            _refuse(f"module.{name}", "torch.nn.Linear", type(child).__name__)
    own = m.kv_b_proj.weight.dtype
    for name, child in linear.items():
        dtype = child.weight.dtype
        if child.weight.device.type != "cpu":
            _refuse(f"module.{name}", "weights on the CPU", child.weight.device)
        kept = name == "indexer.weights_proj" and dtype == torch.float32
        if own not in _DTYPES or (dtype != own and not kept):
            expected = "weights of bfloat16, float16 or float32, all alike"
            _refuse(f"module.{name}", expected, _short(dtype))
    if m.num_key_value_groups != 1:
        _refuse("module", "keys and values for every head", f"{where} with fewer")


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _sizes(m: Any, family: str, flavour: Flavour) -> dict[str, Any]:
    indexer = m.indexer
    epsilons = {
        norm.variance_epsilon
        for name in ("q_a_layernorm", "kv_a_layernorm", "k_rope_only_layernorm")
        if (norm := getattr(m, name, None)) is not None
    }
    if len(epsilons) > 1:
        _refuse("module", "one epsilon of all norms but the indexer's", sorted(epsilons))
    return {
        "hidden": m.hidden_size,
        "heads": m.num_heads,
        "q_lora_rank": None if flavour.queries == "hidden" else m.q_lora_rank,
        "kv_lora_rank": m.kv_lora_rank,
        "rope_dim": m.qk_rope_head_dim,
        "nope_dim": m.qk_nope_head_dim,
        "v_dim": m.v_head_dim,
        "index_heads": indexer.n_heads if indexer is not None else 0,
        "index_dim": indexer.head_dim if indexer is not None else 0,
        "topk": indexer.index_topk if indexer is not None else m.config.index_topk,
        "rope_interleaved": family in _INDEX_ROPE_INTERLEAVED,
        "epsilon": epsilons.pop(),
    }


_INDEX_ROPE_INTERLEAVED = ("glm_moe_dsa", "dots3_note", "mistral_large4")


def _common(m: Any) -> dict[str, Any]:
    return {
        "indexer": m.indexer is not None,
        "bias": m.o_proj.bias is not None,
        "index_epsilon": _index_epsilon(m),
    }


def _index_epsilon(m: Any) -> float | None:
    if m.indexer is None or m.indexer.k_norm.eps == m.kv_a_layernorm.variance_epsilon:
        return None
    return float(m.indexer.k_norm.eps)


_FLAVOURS: dict[str, Callable[[Any], Flavour]] = {
    "deepseek_v32": lambda m: Flavour(**_common(m)),
    "glm_moe_dsa": lambda m: Flavour(**_common(m)),
    "axk2": lambda m: Flavour(**_common(m), queries="low_rank_twice", gate="channels"),
    "hy_v4": lambda m: Flavour(
        **_common(m), rope_interleaved=False, index_rope_last=True, sinks=True, gate="channels"
    ),
    "dots3_note": lambda m: Flavour(**_common(m), norm_rope=True, gate="heads"),
    "mistral_large4": lambda m: Flavour(**_common(m), queries="hidden", scaled_queries=True),
}


class _Weights:
    """The module's weights by the layer's names; linear ones as `x @ w`."""

    def __init__(self, m: Any, flavour: Flavour) -> None:
        self.m, self.flavour = m, flavour

    def projections(self) -> dict[str, Tensor]:
        """Of queries, keys, values and outputs."""
        m, flavour = self.m, self.flavour
        found = {"w_dkv_kr": _in_out(m.kv_a_proj_with_mqa), "w_o": _in_out(m.o_proj)}
        biases = {"bias_dkv_kr": m.kv_a_proj_with_mqa.bias, "bias_o": m.o_proj.bias}
        if flavour.queries == "hidden":
            found["w_uq_qr"] = _in_out(m.q_proj)
        else:
            found["w_dq"] = _in_out(m.q_a_proj)
            biases["bias_dq"] = m.q_a_proj.bias
        if flavour.queries == "low_rank":
            found["w_uq_qr"] = _in_out(m.q_b_proj)
        if flavour.queries == "low_rank_twice":
            both = _in_out(m.q_gate_proj).unflatten(1, (m.num_heads, -1))
            found["w_uq_qr"] = both[..., : m.qk_head_dim].flatten(1)
            found["w_gate"] = both[..., m.qk_head_dim :].flatten(1)
        elif flavour.gate != "none":
            found["w_gate"] = _in_out(m.g_proj if flavour.gate == "heads" else m.gate_proj)
        # What follows the norm of latents, keys and values have alike.
        latent_scale = float(getattr(m, "kv_lora_scale", 1.0))
        both = m.kv_b_proj.weight.unflatten(0, (m.num_heads, -1))  # [N, nope + v, latent]
        if latent_scale != 1:
            both = both.float() * latent_scale
        found["w_uk"] = both[:, : m.qk_nope_head_dim]
        found["w_uv"] = both[:, m.qk_nope_head_dim :].mT
        return found | (biases if flavour.bias else {})

    def norms(self) -> dict[str, Tensor]:
        """And what else is small."""
        m, flavour = self.m, self.flavour
        found = {"gamma_ckv": m.kv_a_layernorm.weight}
        if flavour.queries != "hidden":
            found["gamma_cq"] = m.q_a_layernorm.weight
        if flavour.norm_rope:
            found["gamma_kr"] = m.k_rope_only_layernorm.weight
        if flavour.sinks:
            found["sinks"] = m.sinks
        if flavour.scaled_queries:
            found["query_scale"] = _scaling(m.softmax_scaling)
        return found

    def indexer(self) -> dict[str, Tensor]:
        """Of the indexer."""
        indexer, flavour = self.m.indexer, self.flavour
        found = {
            "w_idx_qb": _in_out(indexer.wq_b),
            "w_idx_k": _in_out(indexer.wk),
            "w_idx_proj": _in_out(indexer.weights_proj),
            "in_gamma_k": indexer.k_norm.weight,
            "in_beta_k": indexer.k_norm.bias,
        }
        if flavour.queries == "hidden":
            found["in_gamma_q"] = indexer.q_input_norm.weight
            found["in_beta_q"] = indexer.q_input_norm.bias
        if flavour.scaled_queries:
            found["index_query_scale"] = _scaling(indexer.softmax_scaling)
        return found


def _in_out(linear: torch.nn.Linear) -> Tensor:
    return linear.weight.detach().T


def _scaling(scaling: Any) -> Tensor:
    return torch.stack((scaling.scale.detach(), scaling.bias.detach())).float()


def _rope(m: Any, rotary: torch.nn.Module | None, family: str, rope_dim: int) -> Rope:
    if rope_dim == 0:
        return NO_ROPE
    kinds = m.config.rope_parameters
    kind = m.config.layer_types[m.layer_idx]
    nested = isinstance(kinds.get(kind), Mapping)
    if rotary is not None:
        return _rope_of_module(rotary, f"{kind}_" if nested else "", kind, rope_dim)
    if family == "mistral_large4":
        _refuse("rotary", "the model's rotary_emb, whose frequencies are learnt", None)
    config = dict(kinds[kind] if nested else kinds)
    config.pop("partial_rotary_factor", None)  # rope_dim has it already
    return rope_of(config, None, rope_dim)


def _rope_of_module(rotary: Any, prefix: str, kind: str, rope_dim: int) -> Rope:
    frequencies = getattr(rotary, f"{prefix}inv_freq", None)
    if frequencies is None:
        _refuse("rotary", f"a module with {prefix}inv_freq", type(rotary).__name__)
    name = rotary.rope_type[kind] if prefix else rotary.rope_type
    if name in _CHANGING:
        _refuse("rotary", "frequencies that do not follow the length", f"rope_type {name}")
    if 2 * len(frequencies) != rope_dim:
        _refuse("rotary", f"{rope_dim // 2} frequencies", len(frequencies))
    frequencies = frequencies.detach().double()
    if (alpha := getattr(rotary, "alpha", None)) is not None:
        frequencies = frequencies * alpha.detach().double().exp()
    return Rope(name, frequencies, float(getattr(rotary, f"{prefix}attention_scaling")))
