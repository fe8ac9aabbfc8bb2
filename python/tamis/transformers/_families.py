"""The families of models, and where they differ."""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from tamis.transformers import _indexer, _training
from tamis.transformers._indexer import Indexer
from tamis.transformers._masks import Visible
from tamis.transformers._mistral import MistralIndexer
from tamis.transformers._paged import Paged


@dataclass(frozen=True)
class Family:
    """One family.

    Parameters
    ----------
    prefix : str
        Of its classes.
    sources : tuple of str
        Digests of its code that this was written for: see `digest`.
    indexer : Indexer
        How it makes index queries and keys.
    """

    prefix: str
    sources: tuple[str, ...]
    indexer: Indexer = field(default_factory=Indexer)


INTERLEAVED = Indexer(rope="apply_rotary_pos_emb_interleave")
FAMILIES = {
    "deepseek_v32": Family("DeepseekV32", ("31a97d89b872e1d2",)),
    "glm_moe_dsa": Family("GlmMoeDsa", ("98db669319ae3bce",), INTERLEAVED),
    "axk2": Family("AXK2", ("f2f2159d08e9d703",)),
    "hy_v4": Family("HYV4", ("7e691499cfe28fac",), Indexer(rope_last=True)),
    "dots3_note": Family("Dots3NoteText", ("2ca9ddba145914bd",), INTERLEAVED),
    "mistral_large4": Family(
        "MistralLarge4Text",
        ("e93fe64126ea3c3b",),
        MistralIndexer(rope="apply_rotary_pos_emb_interleave"),
    ),
}

# Classes of attention that `patch` has found as it knows them.
known: set[type] = set()


def digest(*functions: Any) -> str:
    """Of the source text of functions, by which a family is known."""
    text = "".join(inspect.getsource(inspect.unwrap(function)) for function in functions)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def patch(name: str) -> bool:
    """Let a family's classes do otherwise where their model's implementation is "tamis".

    Returns whether the installed transformers has the family, in code that is known.
    """
    family = FAMILIES[name]
    try:
        module = importlib.import_module(f"transformers.models.{name}.modeling_{name}")
        indexer = getattr(module, f"{family.prefix}Indexer")
        attention = getattr(module, f"{family.prefix}Attention")
        found = digest(indexer.forward, attention.forward, attention.expand_kv)
    except (ImportError, AttributeError, OSError):
        return False
    if found not in family.sources:
        return False
    known.add(attention)
    _patch_indexer(indexer, module, family.indexer)
    _patch_expansion(attention)
    return True


def selects(attention: Any) -> bool:
    """Whether the layer attends to selected tokens: all that have an indexer or use another's."""
    return attention.indexer is not None or hasattr(attention, "skip_topk")


def _patch_indexer(cls: Any, module: ModuleType, how: Indexer) -> None:
    stock = cls.forward
    _, *names = inspect.signature(inspect.unwrap(stock)).parameters

    @functools.wraps(stock)
    def forward(self: Any, *positional: Any, **named: Any) -> Any:
        call = dict(zip(names, positional, strict=False)) | named
        # The mask tells, not the configuration: that of a layer may be a copy.
        if not Visible.is_packed(call["attention_mask"]):
            return stock(self, *positional, **named)
        stage = _training.stage_of(self)
        if stage is not None:
            return _training.select(stage, how, module, self, call)
        with torch.no_grad():
            query, key = how.inputs(module, self, call)
            cache = call.get("cache")
            if cache is not None:
                key = cache.update_indexer(key, self.layer_idx)
            weight = _indexer.weights(self, call["hidden_states"])
            visible = Visible.unpack(call["attention_mask"])
            return _indexer.select(query, key, weight, visible, self.index_topk)

    cls.forward = forward


def _patch_expansion(cls: Any) -> None:
    stock = cls.expand_kv

    @functools.wraps(stock)
    def expand_kv(self: Any, kv_nope: Tensor | Paged, k_rot: Tensor | Paged) -> Any:
        if self.config._attn_implementation == "tamis" and selects(self):
            return kv_nope, k_rot
        if isinstance(kv_nope, Paged):
            raise ValueError(
                'cache: expected attn_implementation="tamis" with a tamis.transformers.Cache, got '
                f'"{self.config._attn_implementation}"'
            )
        return stock(self, kv_nope, k_rot)

    cls.expand_kv = expand_kv
