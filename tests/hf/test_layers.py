"""`DeepSeekSparseAttention.from_transformers` beside the module that it was made of."""

from __future__ import annotations

import copy
from typing import Any

import hf_models as models
import pytest
import torch
from hf_models import layers_of, rms
from torch import Tensor

from tamis.nn import DeepSeekSparseAttention, PageTable

LENGTHS = [150, 97]  # of two sequences; index_topk is 24
# Prompts in chunks, then decoding, one token and a few at a time.
STEPS = [(80, 1), (0, 60), (40, 0), (24, 30), *[(1, 1)] * 5, (1, 1)]
assert [sum(part) for part in zip(*STEPS, strict=True)] == LENGTHS


def modules(family: str, **changes: Any) -> tuple[list[Any], Any]:
    """The attention of every layer, in fp32, with weights that make softmax peaked; rotary_emb."""
    model = models.make(family, **changes)
    found = [layer.self_attn for layer in layers_of(model)]
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in found:
            for name, p in module.named_parameters():
                noise = torch.randn(p.shape, generator=random)
                if p.dim() == 2:
                    gain = 2.0 if name.startswith(("q_b_proj", "q_proj", "q_gate_proj")) else 1.0
                    p.copy_(gain * noise * p.shape[1] ** -0.5)
                elif name.endswith("norm.weight"):
                    p.copy_(1 + 0.25 * noise)
                elif "softmax_scaling" in name:
                    p.copy_(0.25 + 0.05 * noise)
                else:
                    p.copy_(0.5 * noise)
        rotary = model.get_decoder().rotary_emb
        if hasattr(rotary, "alpha"):
            rotary.alpha.copy_(0.1 * torch.randn(rotary.alpha.shape, generator=random))
    return found, rotary


def usable(found: list[Any]) -> list[Any]:
    """Those that attend to selected tokens: not windows."""
    return [m for m in found if m.indexer is not None or getattr(m, "skip_topk", False)]


def rotary_of(family: str, rotary: Any) -> Any:
    """Where the layer's config does not tell."""
    return rotary if family == "mistral_large4" else None


def hidden(module: Any, dtype: torch.dtype, seed: int = 0) -> list[Tensor]:
    """Hidden states of both sequences."""
    random = torch.Generator().manual_seed(seed)
    size = module.hidden_size
    return [torch.randn(n, size, generator=random).to(dtype) for n in LENGTHS]


def eager(module: Any, x: Tensor, rotary: Any, selected: Tensor | None = None) -> tuple[Any, ...]:
    """A whole sequence by the module as it comes."""
    module.config._attn_implementation = "eager"
    positions = torch.arange(len(x))[None]
    kinds = {module.config.layer_types[module.layer_idx]} if hasattr(rotary, "layer_types") else ()
    cos, sin = rotary(x[None], positions, *kinds)
    least = torch.finfo(x.dtype).min
    mask = torch.full((len(x), len(x)), least, dtype=x.dtype).triu(1)[None, None]
    named: dict[str, Any] = {"position_ids": positions}
    if hasattr(module, "skip_topk"):
        named["prev_topk_indices"] = selected
    if hasattr(module, "store_full_length_kv"):
        named["shared_kv_states"] = {}
    with torch.no_grad():
        out, _, *others = module(x[None], (cos, sin), mask, **named)
    return out[0], *others


def stack_eager(found: list[Any], x: list[Tensor], rotary: Any) -> list[Tensor]:
    """What every layer makes of the same hidden states, packed."""
    outputs: list[list[Tensor]] = [[] for _ in found]
    for sequence in x:
        others: list[Any] = [None]
        for module, to in zip(found, outputs, strict=True):
            out, *others = eager(module, sequence, rotary, *others)
            to.append(out)
    return [torch.cat(to) for to in outputs]


def stack_tamis(layers: list[DeepSeekSparseAttention], x: list[Tensor]) -> list[Tensor]:
    """The same in chunks and steps over paged caches of one table."""
    table = PageTable(sequences=2, pages=40, page_size=8)
    caches = [layer.make_cache(table) for layer in layers]
    turned = next((layer for layer in layers if layer.cache_rows["kr"][1]), layers[0])
    parts: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in layers]
    begins = [0, 0]
    for counts in STEPS:
        ends = [begin + n for begin, n in zip(begins, counts, strict=True)]
        new = torch.cat([x[b][begins[b] : ends[b]] for b in (0, 1)])
        step = turned.step(counts, table)
        selected = None
        for layer, cache, to in zip(layers, caches, parts, strict=True):
            out, selected = layer.forward_and_select(new, step, cache, selected)
            for b, part in enumerate(out.split(list(counts))):
                to[b].append(part)
        begins = ends
    return [torch.cat([*first, *second]) for first, second in parts]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("family", models.FAMILIES)
def test_fp32_layers_are_eagers(family: str, bias: bool) -> None:
    every, rotary = modules(family, attention_bias=bias)
    found = usable(every)
    layers = [
        DeepSeekSparseAttention.from_transformers(m, rotary_of(family, rotary)) for m in found
    ]
    x = hidden(found[0], torch.float32)
    expected = stack_eager(found, x, rotary)
    got = stack_tamis(layers, x)
    for one, other in zip(got, expected, strict=True):
        assert rms(one - other) <= 1e-5 * rms(other)


def errors_in_16_bits(family: str, seeds: int, **changes: Any) -> Tensor:
    """Of layers and of eager, [layers, 2], relative to fp32, root mean square over prompts."""
    exact, rotary = modules(family, **changes)
    found = [copy.deepcopy(m).bfloat16() for m in exact]
    for narrow, wide in zip(found, exact, strict=True):
        wide.load_state_dict(narrow.state_dict())  # the weights that bf16 has
    found, exact = usable(found), usable(exact)
    layers = [
        DeepSeekSparseAttention.from_transformers(m, rotary_of(family, rotary)) for m in found
    ]
    squares = torch.zeros(len(layers), 2, dtype=torch.float64)
    for seed in range(seeds):
        x = hidden(found[0], torch.bfloat16, seed)
        fp32 = stack_eager(exact, [part.float() for part in x], rotary)
        ways = stack_tamis(layers, x), stack_eager(found, x, rotary)
        for i, whole in enumerate(fp32):
            for j, way in enumerate(ways):
                squares[i, j] += (rms(way[i].float() - whole) / rms(whole)) ** 2 / seeds
    return squares.sqrt()


@pytest.mark.parametrize("family", models.FAMILIES)
def test_16_bit_layers_are_as_near_to_fp32_as_eager(family: str) -> None:
    """Where all tokens are selected: attention alone, layer by layer."""
    ours, eagers = errors_in_16_bits(family, 1, index_topk=256).T
    print(family, ours, eagers)
    assert (ours <= 1.1 * eagers).all(), (ours, eagers)


@pytest.mark.parametrize("family", models.FAMILIES)
def test_16_bit_layers_that_select_are_as_near_to_fp32_as_eager(family: str) -> None:
    """Over several prompts and all layers: one key that is selected otherwise moves a row."""
    ours, eagers = errors_in_16_bits(family, 6).square().mean(0).sqrt()
    print(family, ours, eagers)
    assert ours <= 1.1 * eagers, (ours, eagers)
