"""Rotary positions from the keys of a checkpoint's config: numbers of transformers 5.24."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from test_nn_deepseek import LENGTHS, SMALL, checkpoint, new_cache, plain_attention, tokens

from tamis.nn import DeepSeekSparseAttention
from tamis.nn.rope import rope_of

YARN: dict[str, Any] = {
    "rope_type": "yarn",
    "factor": 40.0,
    "original_max_position_embeddings": 4096,
}
DEFAULT = [1.0, 0.3162278, 0.1, 0.03162278, 0.01, 0.003162278, 0.001, 0.0003162278]
STRETCHED = [1.0, 0.3162278, 0.1, 0.02391472, 0.005125, 0.0008498622, 2.5e-05, 7.905694e-06]
OTHER_BASE = [
    1.0,
    0.1778279,
    0.03162278,
    0.001738219,
    2.5e-05,
    4.445698e-06,
    7.905694e-07,
    1.405853e-07,
]

# Config, then of `DeepseekV32RotaryEmbedding` with 16 channels its frequencies and the factor of
# sines and cosines, and the scale of `DeepseekV32Attention` with heads of 48.
CONFIGS: dict[str, tuple[dict[str, Any] | None, list[float], float, float]] = {
    "none": (None, DEFAULT, 1.0, 0.14433756729740643),
    "default": ({"rope_type": "default"}, DEFAULT, 1.0, 0.14433756729740643),
    "linear": (
        {"type": "linear", "factor": 4},
        [f / 4 for f in DEFAULT],
        1.0,
        0.14433756729740643,
    ),
    "yarn": (YARN, STRETCHED, 1.3688879454113936, 0.14433756729740643),
    "the released model": (
        YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
        STRETCHED,
        1.0,
        0.2704675577217602,
    ),
    "two mscales": (
        YARN | {"mscale": 0.707, "mscale_all_dim": 0.5},
        STRETCHED,
        1.064468903941252,
        0.20249225922650435,
    ),
    "all keys": (
        YARN
        | {
            "rope_theta": 1e6,
            "attention_factor": 1.25,
            "truncate": False,
            "beta_fast": 16,
            "beta_slow": 2,
            "mscale": None,
        },
        OTHER_BASE,
        1.25,
        0.14433756729740643,
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_numbers_are_those_of_transformers(name: str) -> None:
    config, frequencies, attention_factor, scale = CONFIGS[name]
    layer = DeepSeekSparseAttention(**SMALL, rope_scaling=config)
    want = torch.tensor(frequencies, dtype=torch.float64)
    # Theirs are float32, printed with seven digits.
    assert ((layer.rope.frequencies - want).abs() <= 1e-6 * want).all()
    assert layer.rope.attention_factor == pytest.approx(attention_factor, rel=1e-14)
    assert layer.scale_value == pytest.approx(scale, rel=1e-14)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_layer_turns_and_scales_as_its_config_says(name: str) -> None:
    config, frequencies, attention_factor, scale = CONFIGS[name]
    torch.manual_seed(8)
    size = SMALL | {"topk": 128}
    weights, x = checkpoint(size), tokens(size["hidden"])
    layer = DeepSeekSparseAttention(**size, rope_scaling=config)
    layer.load_checkpoint(weights)
    got = layer(torch.cat(x), LENGTHS, new_cache(layer)).double()
    how = torch.tensor(frequencies, dtype=torch.float64), attention_factor, scale
    want = torch.cat([plain_attention(part, weights, size, *how) for part in x])
    # Eight roundings to bfloat16 on the way, 2^-9 each.
    assert (got - want).norm() <= 8 * 2.0**-9 * want.norm()


def test_a_default_rope_is_never_stretched() -> None:
    """However long the context is that a checkpoint was made for."""
    for config in (None, {}, {"rope_type": "default"}):
        assert DeepSeekSparseAttention(**SMALL, rope_scaling=config).scale_value == 48**-0.5


def test_the_inference_config_of_deepseek_gives_what_its_code_does() -> None:
    """mscale^2 on the scale, sines and cosines as they are, and yarn for long sequences alone."""
    config = {"original_seq_len": 4096, "rope_factor": 40, "beta_fast": 32, "mscale": 1.0}
    released = rope_of(YARN | {"mscale": 1.0, "mscale_all_dim": 1.0}, None, 16)
    for more in ({}, {"max_seq_len": 16384}, {"rope_theta": 10000.0}):
        found = rope_of(config | more, None, 16)
        assert found.attention_factor == 1
        assert found.softmax_factor == released.softmax_factor == (0.1 * math.log(40) + 1) ** 2
        assert torch.equal(found.frequencies, released.frequencies)
    assert rope_of(config | {"mscale": 0}, None, 16).softmax_factor == 1
    short = rope_of(config | {"max_seq_len": 4096}, None, 16)
    assert (short.kind, short.softmax_factor) == ("default", 1)


def test_a_base_stands_in_the_config_or_beside_it() -> None:
    beside = rope_of(None, 5e4, 16)
    within = rope_of({"rope_type": "default", "rope_theta": 5e4}, None, 16)
    both = rope_of({"rope_type": "default", "rope_theta": 5e4}, 5e4, 16)
    assert torch.equal(beside.frequencies, within.frequencies)
    assert torch.equal(beside.frequencies, both.frequencies)
    with pytest.raises(ValueError, match=r"^rope_theta: expected 50000, as rope_scaling has it"):
        rope_of({"rope_type": "default", "rope_theta": 5e4}, 1e4, 16)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a type": (
        {"rope_type": "llama3", "factor": 8},
        "a rope_type of default, linear, yarn, got ll",
    ),
    "no type": ({"factor": 40}, "a rope_type of default, linear, yarn, got none"),
    "two types": ({"rope_type": "yarn", "type": "linear"}, ".*, got linear and yarn"),
    "a key": (YARN | {"beta": 1}, r"keys of rope_type yarn \(factor, .*\), got beta"),
    "a key of another type": (YARN | {"rope_type": "linear"}, r".*\(factor\), got original_max"),
    "a key of none": ({"type": "default", "factor": 4}, r".*default \(none\), got factor"),
    "a key of the other config": (
        YARN | {"rope_factor": 4},
        ".*inference config .*, got rope_type",
    ),
    "no factor": ({"rope_type": "linear"}, "factor for rope_type linear, got none"),
    "no context": (
        {"rope_type": "yarn", "factor": 40},
        "original_max_position_embeddings for rope_type yarn, got none",
    ),
    "a factor below 1": (YARN | {"factor": 0.5}, "factor of at least 1, got 0.5"),
    "a factor that is none": (YARN | {"factor": True}, "factor of at least 1, got True"),
    "a string": (YARN | {"beta_fast": "32"}, "beta_fast above 0, got '32'"),
    "NaN": (YARN | {"mscale": math.nan}, "mscale of at least 0, got nan"),
    "a base": ({"rope_theta": 1}, "rope_theta above 1, got 1"),
    "a ramp that falls": (YARN | {"beta_slow": 64}, "beta_fast of at least 64, got 32"),
    "truncate": (YARN | {"truncate": 1}, "truncate of true or false, got 1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_config_should_not_say_is_refused_in_one_line(what: str) -> None:
    config, line = REFUSED[what]
    with pytest.raises(ValueError, match=f"^rope_scaling: expected {line}") as caught:
        DeepSeekSparseAttention(**SMALL, rope_scaling=config)
    assert "\n" not in str(caught.value)
