"""Rotary positions, as the config of a checkpoint names them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# Keys of each type: those that it needs, and those that it may have.
_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default": ((), ()),
    "linear": (("factor",), ()),
    "yarn": (
        ("factor", "original_max_position_embeddings"),
        ("beta_fast", "beta_slow", "mscale", "mscale_all_dim", "attention_factor", "truncate"),
    ),
}
# DeepSeek's own config: its keys, with the defaults of its `ModelArgs`.
_INFERENCE = {
    "original_seq_len": 4096,
    "rope_factor": 40,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
}


@dataclass(frozen=True)
class Rope:
    """How positions turn queries and keys.

    Parameters
    ----------
    kind : str
        "default", "linear" or "yarn"
    frequencies : Tensor [rope_dim / 2] of float64
        radians per position of each pair of channels
    attention_factor : float
        of sines and cosines
    softmax_factor : float
        of the scores' scale
    """

    kind: str
    frequencies: Tensor
    attention_factor: float = 1.0
    softmax_factor: float = 1.0


# Turns nothing.
NO_ROPE = Rope("default", torch.empty(0, dtype=torch.float64))


def rope_of(config: Mapping[str, Any] | None, theta: float | None, rope_dim: int) -> Rope:
    """What a config says of positions.

    Parameters
    ----------
    config : mapping or None
        `rope_scaling` or `rope_parameters` of a `config.json`: `rope_type` (or `type`) "default",
        "linear" or "yarn" and its keys; or keys of DeepSeek's own inference config
        (`original_seq_len`, `rope_factor`, ...). None and {} are the default type, keys that are
        None are absent
    theta : float or None
        base of the frequencies, unless `config` has `rope_theta`; None: 10000
    rope_dim : int
        channels that turn

    Returns
    -------
    Rope

    Raises
    ------
    ValueError
        A type or a key is unknown, a key is missing, or a value is none that it may have.
    """
    given = {key: value for key, value in (config or {}).items() if value is not None}
    base = _number(given, "rope_theta", 10000.0 if theta is None else theta, above=1)
    if theta is not None and theta != base:
        raise ValueError(f"rope_theta: expected {base:g}, as rope_scaling has it, got {theta:g}")
    given.pop("rope_theta", None)
    kind, given = _typed(given)
    frequencies = base ** (-torch.arange(0, rope_dim, 2, dtype=torch.float64) / rope_dim)
    if kind == "default":
        return Rope(kind, frequencies)
    factor = _number(given, "factor")
    if kind == "linear":
        return Rope(kind, frequencies / factor)
    return _yarn(given, frequencies, base, factor)


def _typed(given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The type, and its keys, all of them known."""
    if "original_seq_len" in given or "rope_factor" in given:
        return _from_inference(given)
    kinds = {given.pop(key) for key in ("rope_type", "type") if key in given}
    if not kinds and not given:
        return "default", given
    kind = " and ".join(sorted(map(str, kinds))) or "none"
    if kind not in _KEYS:
        raise ValueError(f"rope_scaling: expected a rope_type of {', '.join(_KEYS)}, got {kind}")
    needed, others = _KEYS[kind]
    _refuse_unknown(given, (*needed, *others), f"rope_type {kind}")
    missing = [key for key in needed if key not in given]
    if missing:
        raise ValueError(
            f"rope_scaling: expected {' and '.join(missing)} for rope_type {kind}, got none"
        )
    return kind, given


def _from_inference(given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """DeepSeek's inference code stretches where its sequences may be longer, and only there."""
    _refuse_unknown(given, (*_INFERENCE, "max_seq_len"), "DeepSeek's inference config")
    given = _INFERENCE | given
    original = _number(given, "original_seq_len")
    if "max_seq_len" in given and _number(given, "max_seq_len") <= original:
        return "default", {}
    return "yarn", {
        "factor": _number(given, "rope_factor"),
        "original_max_position_embeddings": original,
        "beta_fast": given["beta_fast"],
        "beta_slow": given["beta_slow"],
        "mscale_all_dim": given["mscale"],
        "attention_factor": 1.0,
    }


def _yarn(given: dict[str, Any], frequencies: Tensor, theta: float, factor: float) -> Rope:
    """Slow turns are `factor` slower, fast ones stay, a ramp between.

    A channel stays where it turns `beta_fast` times within the original context, and is stretched
    in full where it turns `beta_slow` times.
    """
    pairs = len(frequencies)
    original = _number(given, "original_max_position_embeddings")
    fast = _number(given, "beta_fast", 32, above=0)
    slow = _number(given, "beta_slow", 1, above=0)
    if fast < slow:
        raise ValueError(f"rope_scaling: expected beta_fast of at least {slow:g}, got {fast:g}")
    truncate = given.get("truncate", True)
    if not isinstance(truncate, bool):
        raise ValueError(f"rope_scaling: expected truncate of true or false, got {truncate!r}")

    def channel(turns: float) -> float:
        return pairs * math.log(original / (turns * 2 * math.pi)) / math.log(theta)

    low, high = channel(fast), channel(slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * pairs - 1)
    if low == high:
        high += 0.001
    ramp = ((torch.arange(pairs, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)

    def magnitude(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1

    mscale = _number(given, "mscale", 0, least=0)
    all_dim = _number(given, "mscale_all_dim", 0, least=0)
    attention = magnitude(mscale) / magnitude(all_dim) if mscale and all_dim else magnitude(1)
    return Rope(
        "yarn",
        frequencies * (1 - ramp) + frequencies / factor * ramp,
        _number(given, "attention_factor", attention, least=0),
        magnitude(all_dim) ** 2,
    )


def _refuse_unknown(given: dict[str, Any], known: tuple[str, ...], whose: str) -> None:
    unknown = [str(key) for key in given if key not in known]
    if unknown:
        keys = ", ".join(known) or "none"
        raise ValueError(
            f"rope_scaling: expected keys of {whose} ({keys}), got {', '.join(unknown)}"
        )


def _number(
    given: Mapping[str, Any],
    key: str,
    default: float | None = None,
    *,
    least: float = 1,
    above: float | None = None,
) -> float:
    value = given.get(key, default)
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not (value >= least if above is None else value > above):
        bound = f"of at least {least:g}" if above is None else f"above {above:g}"
        raise ValueError(f"rope_scaling: expected {key} {bound}, got {value!r}")
    return float(value)


def turn(
    positions: Tensor, frequencies: Tensor, attention_factor: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Sine and cosine of each position, [T, rope_dim] each: both halves are the same.

    One operator of torch: a compiler that makes sines of its own would move bits.
    """
    angles = (positions.double()[:, None] * frequencies).repeat(1, 2)
    sin, cos = (part * attention_factor for part in (angles.sin(), angles.cos()))
    return sin.to(dtype), cos.to(dtype)


def _fake_turn(
    positions: Tensor, frequencies: Tensor, attention_factor: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    sin = frequencies.new_empty((positions.shape[0], 2 * frequencies.shape[0]), dtype=dtype)
    return sin, torch.empty_like(sin)


torch.library.custom_op("tamis_nn::turn", turn, mutates_args=())
torch.library.register_fake("tamis_nn::turn", _fake_turn)


def rotate(x: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
    """The first channels of every head turned, in pairs of one half and the other.

    Parameters
    ----------
    x : Tensor [T, ..., D]
    sin, cos : Tensor [T, rope_dim] of float32
        of `turn`; rope_dim is even, at most D

    Returns
    -------
    Tensor [T, ..., D]
        rounded once
    """
    width = sin.shape[1]
    sin, cos = (part.reshape(len(x), *[1] * (x.dim() - 2), width) for part in (sin, cos))
    turned = x[..., :width].float()
    one, other = turned.chunk(2, -1)
    turned = turned * cos + torch.cat((-other, one), -1) * sin
    return torch.cat((turned.to(x.dtype), x[..., width:]), -1)
