"""`DeepSeekSparseAttention.from_transformers` beside the module that it was made of."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from typing import Any

import hf_models as models
import pytest
import torch
import transformers
from hf_models import layers_of, rms
from torch import Tensor

from tamis.nn import DeepSeekSparseAttention, PageTable

LENGTHS = [150, 97]  # of two sequences; index_topk is 24
LINEAR = torch.nn.Linear(1, 1)
# Prompts in chunks, then decoding, one token and a few at a time.
STEPS = [(80, 1), (0, 60), (40, 0), (24, 30), *[(1, 1)] * 5, (1, 1)]
assert [sum(part) for part in zip(*STEPS, strict=True)] == LENGTHS


def randomise(module: Any, random: torch.Generator) -> None:
    """Weights that make softmax peaked, norms and biases that are not 1 and 0."""
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


def modules(family: str, **changes: Any) -> tuple[list[Any], Any]:
    """The attention of every layer, in fp32, and rotary_emb."""
    model = models.make(family, **changes)
    found = [layer.self_attn for layer in layers_of(model)]
    rotary = model.get_decoder().rotary_emb
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for module in found:
            randomise(module, random)
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


YARN = {
    "rope_type": "yarn",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 1024,
    "mscale": 1.0,
    "mscale_all_dim": 0.7,
}


@pytest.mark.parametrize(
    "changes", [{}, {"attention_bias": True}, {"rope_parameters": YARN}], ids=["", "bias", "yarn"]
)
@pytest.mark.parametrize("family", models.FAMILIES)
def test_fp32_layers_are_eagers(family: str, changes: dict[str, Any]) -> None:
    every, rotary = modules(family, **copy.deepcopy(changes))
    found = usable(every)
    layers = [
        DeepSeekSparseAttention.from_transformers(m, rotary_of(family, rotary)) for m in found
    ]
    x = hidden(found[0], torch.float32)
    expected = stack_eager(found, x, rotary)
    got = stack_tamis(layers, x)
    for one, other in zip(got, expected, strict=True):
        assert rms(one - other) <= 1e-5 * rms(other)


@pytest.mark.parametrize("family", [f for f in models.FAMILIES if f in ("axk2", "hy_v4")])
def test_fp32_layers_of_released_sizes_are_eagers(family: str) -> None:
    """Those of the models that have few parameters: heads of 256 channels, latents of 128, 512."""
    small, rotary = modules(family)
    config = type(small[0].config)(index_topk=24)
    with torch.no_grad():
        module = type(small[0])(config, 0).eval()
        randomise(module, torch.Generator().manual_seed(4))
    layer = DeepSeekSparseAttention.from_transformers(module)
    x = hidden(module, torch.float32)
    (expected,) = stack_eager([module], x, type(rotary)(config))
    (got,) = stack_tamis([layer], x)
    assert rms(got - expected) <= 1e-5 * rms(expected)


def test_layers_do_not_import_transformers() -> None:
    script = "import sys, tamis.nn; sys.exit('transformers' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def narrowed(family: str, module: Any, dtype: torch.dtype) -> Any:
    """In 16 bits, but for what a model that is loaded keeps in fp32."""
    kept = ["k_norm", "weights_proj", "sinks"] if family == "hy_v4" else []
    if dtype == torch.float16 and family != "dots3_note":
        kept.append("weights_proj")
    narrow = copy.deepcopy(module)
    for name, parameter in narrow.named_parameters():
        if not any(part in name for part in kept):
            parameter.data = parameter.data.to(dtype)
    return narrow


def errors_in_16_bits(family: str, dtype: torch.dtype, seeds: int, **changes: Any) -> Tensor:
    """Of layers and of eager, [layers, 2], relative to fp32, root mean square over prompts."""
    exact, rotary = modules(family, **changes)
    found = [narrowed(family, m, dtype) for m in exact]
    for narrow, wide in zip(found, exact, strict=True):
        wide.load_state_dict(narrow.state_dict())  # the weights that 16 bits have
    found, exact = usable(found), usable(exact)
    layers = [
        DeepSeekSparseAttention.from_transformers(m, rotary_of(family, rotary)) for m in found
    ]
    squares = torch.zeros(len(layers), 2, dtype=torch.float64)
    for seed in range(seeds):
        x = hidden(found[0], dtype, seed)
        fp32 = stack_eager(exact, [part.float() for part in x], rotary)
        ways = stack_tamis(layers, x), stack_eager(found, x, rotary)
        for i, whole in enumerate(fp32):
            for j, way in enumerate(ways):
                squares[i, j] += (rms(way[i].float() - whole) / rms(whole)) ** 2 / seeds
    return squares.sqrt()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", models.FAMILIES)
def test_16_bit_layers_are_as_near_to_fp32_as_eager(family: str, dtype: torch.dtype) -> None:
    """Where all tokens are selected: attention alone, layer by layer."""
    ours, eagers = errors_in_16_bits(family, dtype, 1, index_topk=256).T
    assert (ours <= 1.1 * eagers).all(), (ours, eagers)


@pytest.mark.parametrize("family", models.FAMILIES)
def test_16_bit_layers_that_select_are_as_near_to_fp32_as_eager(family: str) -> None:
    """Over several prompts and all layers: one key that is selected otherwise moves a row."""
    ours, eagers = errors_in_16_bits(family, torch.bfloat16, 6).square().mean(0).sqrt()
    assert ours <= 1.1 * eagers, (ours, eagers)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("family", models.FAMILIES)
def test_a_compiled_layer_has_the_bits(family: str, backend: str) -> None:
    """Prompt and steps, one graph each."""
    every, rotary = modules(family)
    module = narrowed(family, usable(every)[0], torch.bfloat16)
    layer = DeepSeekSparseAttention.from_transformers(module, rotary_of(family, rotary))
    one, other = (layer.make_cache(sequences=2, pages=40, page_size=8) for _ in range(2))
    x = hidden(module, torch.bfloat16)[0]
    torch.compiler.reset()
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    begin = 0
    for counts in ([50, 20], [30, 7], [1, 1], [2, 1]):
        new = x[begin : begin + sum(counts)]
        assert torch.equal(compiled(new, counts, one), layer(new, counts, other))
        begin += sum(counts)
    torch.compiler.reset()


def test_rotary_says_what_the_config_says() -> None:
    every, rotary = modules("glm_moe_dsa")
    by_config = DeepSeekSparseAttention.from_transformers(every[0])
    by_module = DeepSeekSparseAttention.from_transformers(every[0], rotary)
    torch.testing.assert_close(by_config.rope.frequencies, by_module.rope.frequencies)
    assert by_config.rope.attention_factor == by_module.rope.attention_factor


class TestRefused:
    """In one line: what was expected, what came."""

    def refuse(self, match: str, module: Any, rotary: Any = None) -> None:
        with pytest.raises(ValueError, match=match) as info:
            DeepSeekSparseAttention.from_transformers(module, rotary)
        assert "\n" not in str(info.value)

    def test_other_modules(self) -> None:
        self.refuse(r"^module: expected the attention of one of deepseek_v32, .*Linear$", LINEAR)
        config = transformers.LlamaConfig(hidden_size=32, num_attention_heads=2)
        llama = transformers.models.llama.modeling_llama.LlamaAttention(config, 0)
        self.refuse(r"^module: expected the attention of one of .*, got LlamaAttention$", llama)

    def test_windows(self) -> None:
        window = modules("dots3_note")[0][0]
        self.refuse(r"^module: expected .*, got layer 0 of Dots3NoteTextAttention with a", window)

    def test_keys_and_values_of_another_layer(self) -> None:
        every, rotary = modules("mistral_large4", kv_source_layers=[0, 0, 2])
        DeepSeekSparseAttention.from_transformers(every[0], rotary)
        self.refuse(r"^module: expected .* of its own, got layer 1 of Mistral", every[1], rotary)

    def test_frequencies_that_are_learnt(self) -> None:
        self.refuse(r"^rotary: expected the model's rotary_emb", modules("mistral_large4")[0][0])

    def test_another_rotary(self) -> None:
        every, _ = modules("glm_moe_dsa")
        rotary = modules("glm_moe_dsa", qk_rope_head_dim=8)[1]
        self.refuse(r"^rotary: expected 8 frequencies, got 4$", every[0], rotary)
        self.refuse(r"^rotary: expected a module with inv_freq, got Linear$", every[0], LINEAR)
        rotary.rope_type = "dynamic"
        self.refuse(r"^rotary: expected frequencies that .*, got rope_type dyn", every[0], rotary)

    def test_types_of_rope_that_only_rotary_knows(self) -> None:
        rope = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
        module = modules("glm_moe_dsa", rope_parameters=rope)[0][0]
        self.refuse(r"^rope_scaling: expected a rope_type of default, .*, got dynamic$", module)

    def test_weights_of_other_types_and_adapters(self) -> None:
        module = modules("glm_moe_dsa")[0][0]
        mixed = copy.deepcopy(module)
        mixed.o_proj.bfloat16()
        self.refuse(r"^module.o_proj: expected weights of .*, all alike, got bfloat16$", mixed)
        self.refuse(r"^module.q_a_proj: expected weights of .*, got float64$", module.double())
        module.float().q_b_proj = torch.nn.Sequential(module.q_b_proj)
        self.refuse(r"^module.q_b_proj: expected torch.nn.Linear, got Sequential$", module)
        other = modules("glm_moe_dsa")[0][0]
        other.kv_b_proj = torch.nn.Sequential(other.kv_b_proj)
        self.refuse(r"^module.kv_b_proj: expected torch.nn.Linear, got Sequential$", other)
        other.kv_b_proj = module.kv_b_proj
        self.refuse(r"^module.q_a_proj: expected weights on the CPU, got meta$", other.to("meta"))

    def test_no_selection_where_another_layers_is_used(self) -> None:
        layer = DeepSeekSparseAttention.from_transformers(modules("glm_moe_dsa")[0][1])
        cache = layer.make_cache(sequences=1, pages=2, page_size=8)
        with pytest.raises(ValueError, match=r"^selected: expected another layer's, .* got None$"):
            layer(torch.randn(3, 128), [3], cache)
        assert cache.lengths == [0]
