"""Tamis's side: torch.ops.tamis, on PyTorch's threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

import tamis.torch
from harness.rounds import Contender
from harness.shapes import Attributes, Pool, Shape, Tensors

Outputs = tuple[torch.Tensor, ...]


def as_tuple(outputs: Any) -> Outputs:
    """A call's results, if there is but one, too."""
    return tuple(outputs) if isinstance(outputs, tuple | list) else (outputs,)


def operator_call(operator: str, tensors: Tensors, attributes: Attributes) -> Callable[[], Outputs]:
    """torch.ops.tamis.<operator> with these arguments."""
    function = getattr(torch.ops.tamis, operator).default
    given = tensors | attributes
    if function._schema.returns:
        return lambda: as_tuple(function(**given))
    written = tuple(tensors[name] for name in _updated(operator))

    def call() -> Outputs:
        function(**given)
        return written

    return call


def _updated(operator: str) -> list[str]:
    """What the operator updates in place."""
    fields = tamis.describe(operator)["arguments"]
    return [field["name"] for field in fields if field["role"] in ("inout", "optional_inout")]


def reference_call(operator: str, tensors: Tensors, attributes: Attributes) -> Outputs:
    """The float64 reference, on all processors."""
    own = {name: tensors[name].clone() for name in _updated(operator) if name in tensors}
    returned = getattr(tamis, operator)(
        **tensors | own, **attributes, implementation="reference", threads=0
    )
    return tuple(own.values()) if returned is None else as_tuple(returned)


def contender(shape: Shape, pool: Pool, name: str = "tamis", **changed: Any) -> Contender:
    """The operator over all sets; attributes may be changed."""
    attributes = pool.attributes | changed
    calls = [operator_call(shape.operator, tensors, attributes) for tensors in pool.sets]
    return Contender(name, lambda i: calls[i % len(calls)]())


def variants(shape: Shape, pool: Pool) -> list[Contender]:
    """The same operator otherwise; the parts of a composed one."""
    found = [contender(shape, pool, name, **changed) for name, changed in shape.variants.items()]
    if shape.operator == "sparse_attention_pto":
        found.append(parts_of_layer(pool))
    return found


PARTS = "mla_prolog + indexer_prolog + lightning_indexer + sparse_flash_attention"


def parts_of_layer(pool: Pool) -> Contender:
    """The four operators that sparse_attention_pto is made of, one after the other."""
    calls = [_layer_by_parts(tensors, pool.attributes) for tensors in pool.sets]
    return Contender(PARTS, lambda i: calls[i % len(calls)]())


def _layer_by_parts(t: Tensors, attributes: Attributes) -> Callable[[], Outputs]:
    scale = tamis.describe("sparse_attention_pto")["arguments"]
    scale_value = next(a["default"] for a in scale if a["name"] == "scale_value")
    weight_format = {"weight_format": attributes["weight_format"]}

    def named(*names: str) -> Tensors:
        return {name: t[name] for name in names}

    def call() -> Outputs:
        rotation = named("x", "sin", "cos", "cache_index")
        projections = named("w_dq", "w_uq_qr", "w_uk", "w_dkv_kr", "gamma_cq", "gamma_ckv")
        caches = named("kv_cache", "kr_cache")
        query, rope, norm = operator_call(
            "mla_prolog", rotation | projections | caches, weight_format
        )()
        index = named("w_idx_qb", "w_idx_k", "w_idx_proj", "in_gamma_k", "in_beta_k")
        index_query, weights = operator_call(
            "indexer_prolog",
            rotation | index | named("index_k_cache") | {"query_norm": norm},
            weight_format,
        )()
        chosen, _ = operator_call(
            "lightning_indexer",
            {
                "query": index_query,
                "key": t["index_k_cache"],
                "weights": weights,
                "block_table": t["block_table"],
                "actual_seq_lengths_key": t["act_seqs"],
            },
            {"layout_key": "PA_BSND", "sparse_count": attributes["sparse_count"]},
        )()
        out, _, _ = operator_call(
            "sparse_flash_attention",
            {
                "query": query,
                "query_rope": rope,
                "key": t["kv_cache"],
                "key_rope": t["kr_cache"],
                "sparse_indices": chosen,
                "block_table": t["block_table"],
                "actual_seq_lengths_kv": t["act_seqs"],
            },
            {"layout_kv": "PA_BSND", "scale_value": scale_value},
        )()
        return out, chosen

    return call
