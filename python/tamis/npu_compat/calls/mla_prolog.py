"""The first step of a DeepSeek-V3 layer, in the four forms of `torch_npu`: 16 bits throughout.

`weight_dq`, `weight_uq_qr` and `weight_dkv_kr` are NZ, as `tamis.npu_compat.formats` reads them.
Whatever belongs to 8 bits is refused.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tamis.npu_compat.calls.arguments import expect, expect_absent, required, run
from tamis.npu_compat.formats import row_major

_NAMES = {  # of tamis.mla_prolog, and of these calls
    "x": "token_x",
    "w_dq": "weight_dq",
    "w_uq_qr": "weight_uq_qr",
    "w_uk": "weight_uk",
    "w_dkv_kr": "weight_dkv_kr",
    "gamma_cq": "rmsnorm_gamma_cq",
    "gamma_ckv": "rmsnorm_gamma_ckv",
    "sin": "rope_sin",
    "cos": "rope_cos",
    "epsilon_cq": "rmsnorm_epsilon_cq",
    "epsilon_ckv": "rmsnorm_epsilon_ckv",
}
_TENSORS = (*list(_NAMES.values())[:9], "kv_cache", "kr_cache")  # of the third form, in order
_WHY = "16-bit weights and caches only"
_PANEL = 16  # columns of a panel of NZ


def _scaled(name: str, scale: float, gamma_name: str, gamma: Tensor) -> Tensor:
    """The norm's gamma with the scale that follows the norm, where that changes no rounding."""
    if scale == 1:
        return gamma
    if not scale > 0 or math.frexp(scale)[0] != 0.5:
        raise ValueError(f"{name}: expected a power of two ({gamma_name} takes it), got {scale}")
    if gamma.dtype != torch.bfloat16:
        kind = str(gamma.dtype).removeprefix("torch.")
        raise ValueError(f"{gamma_name}: expected dtype bfloat16 with {name}, got {kind}")
    return gamma * scale


def _rows_of(name: str, cache: Tensor) -> Tensor:
    """A copy of a cache in PA_NZ as PA_BSND: a page's panels of 16 columns become rows."""
    if (
        cache.dim() != 4
        or cache.shape[2] != 1
        or cache.shape[3] % _PANEL
        or not cache.is_contiguous()
    ):
        raise ValueError(
            f"{name}: expected a contiguous tensor [pages, page_size, 1, a multiple of {_PANEL}] "
            f"with cache_mode PA_NZ, got {list(cache.shape)} with strides {list(cache.stride())}"
        )
    pages, size, _, width = cache.shape
    panels = cache.view(pages, width // _PANEL, size, _PANEL)
    return panels.transpose(1, 2).reshape(cache.shape)


def _panels_of(rows: Tensor) -> Tensor:
    """The way back."""
    pages, size, _, width = rows.shape
    return rows.view(pages, size, width // _PANEL, _PANEL).transpose(1, 2).reshape(rows.shape)


_PER_TOKEN = {
    "BSND": "[B, S, 1, width] and token_x [B, S, H]",
    "TND": "[T, 1, width] and token_x [T, H]",
}


def _one_row_per_token(name: str, cache: Tensor, token_x: Tensor, cache_mode: str) -> Tensor:
    """A cache in BSND or TND, as pages."""
    tokens = token_x.shape[:-1]
    if cache.dim() != len(cache_mode) or cache.shape[:-2] != tokens:
        raise ValueError(
            f"{name}: expected {_PER_TOKEN[cache_mode]} with cache_mode {cache_mode}, "
            f"got {list(cache.shape)} and {list(token_x.shape)}"
        )
    return cache if cache_mode == "BSND" else cache.unsqueeze(0)


def _prolog(
    token_x: Tensor,
    weight_dq: Tensor,
    weight_uq_qr: Tensor,
    weight_uk: Tensor,
    weight_dkv_kr: Tensor,
    rmsnorm_gamma_cq: Tensor,
    rmsnorm_gamma_ckv: Tensor,
    rope_sin: Tensor,
    rope_cos: Tensor,
    cache_index: Tensor | None,
    kv_cache: Tensor,
    kr_cache: Tensor,
    epsilon_cq: float,
    epsilon_ckv: float,
    cache_mode: str,
    qc_qr_scale: float,
    kc_scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """`tamis.mla_prolog`, over every layout of the caches: query, query_rope, query_norm.

    BSND and TND have a row for each token and take no `cache_index`. PA_NZ is turned into rows and
    back for the call, which costs time in proportion to the cache.
    """
    expect("cache_mode", cache_mode, "PA_BSND", "PA_NZ", "BSND", "TND")
    kv_rows, kr_rows = kv_cache, kr_cache
    if cache_mode in _PER_TOKEN:
        kv_rows = _one_row_per_token("kv_cache", kv_cache, token_x, cache_mode)
        kr_rows = _one_row_per_token("kr_cache", kr_cache, token_x, cache_mode)
        tokens = token_x.shape[:-1]
        cache_index = torch.arange(tokens.numel(), device=token_x.device).view(tokens)
    elif cache_mode == "PA_NZ":
        kv_rows, kr_rows = _rows_of("kv_cache", kv_cache), _rows_of("kr_cache", kr_cache)
    weights, weight_format = row_major(
        "npu_mla_prolog_v3",
        {"weight_dq": weight_dq, "weight_uq_qr": weight_uq_qr, "weight_dkv_kr": weight_dkv_kr},
    )
    query, query_rope, query_norm = run(
        _NAMES,
        torch.ops.tamis.mla_prolog,
        x=token_x,
        w_dq=weights["weight_dq"],
        w_uq_qr=weights["weight_uq_qr"],
        w_uk=weight_uk,
        w_dkv_kr=weights["weight_dkv_kr"],
        gamma_cq=_scaled("qc_qr_scale", qc_qr_scale, "rmsnorm_gamma_cq", rmsnorm_gamma_cq),
        gamma_ckv=_scaled("kc_scale", kc_scale, "rmsnorm_gamma_ckv", rmsnorm_gamma_ckv),
        sin=rope_sin,
        cos=rope_cos,
        cache_index=required("cache_index", cache_index),
        kv_cache=kv_rows,
        kr_cache=kr_rows,
        epsilon_cq=epsilon_cq,
        epsilon_ckv=epsilon_ckv,
        weight_format=weight_format,
    )
    if cache_mode == "PA_NZ":
        kv_cache.copy_(_panels_of(kv_rows))
        kr_cache.copy_(_panels_of(kr_rows))
    return query, query_rope, query_norm


def same_arguments(
    other: Callable[..., Any], *, without: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a function the signature of another, to which it hands its arguments."""
    found = inspect.signature(other)
    kept = [p for name, p in found.parameters.items() if name not in without]

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__signature__ = found.replace(parameters=kept)  # type: ignore[attr-defined]
        return function

    return wrap


def npu_mla_prolog_v2(
    token_x: Tensor,
    weight_dq: Tensor,
    weight_uq_qr: Tensor,
    weight_uk: Tensor,
    weight_dkv_kr: Tensor,
    rmsnorm_gamma_cq: Tensor,
    rmsnorm_gamma_ckv: Tensor,
    rope_sin: Tensor,
    rope_cos: Tensor,
    cache_index: Tensor,
    kv_cache: Tensor,
    kr_cache: Tensor,
    *,
    dequant_scale_x: Tensor | None = None,
    dequant_scale_w_dq: Tensor | None = None,
    dequant_scale_w_uq_qr: Tensor | None = None,
    dequant_scale_w_dkv_kr: Tensor | None = None,
    quant_scale_ckv: Tensor | None = None,
    quant_scale_ckr: Tensor | None = None,
    smooth_scales_cq: Tensor | None = None,
    rmsnorm_epsilon_cq: float = 1e-05,
    rmsnorm_epsilon_ckv: float = 1e-05,
    cache_mode: str = "PA_BSND",
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`tamis.mla_prolog`: query, its rotary part, both caches, and a scale that is not used.

    The caches, PA_BSND or PA_NZ, are updated in place and returned themselves.
    """
    expect("cache_mode", cache_mode, "PA_BSND", "PA_NZ")
    expect_absent(
        _WHY,
        dequant_scale_x=dequant_scale_x,
        dequant_scale_w_dq=dequant_scale_w_dq,
        dequant_scale_w_uq_qr=dequant_scale_w_uq_qr,
        dequant_scale_w_dkv_kr=dequant_scale_w_dkv_kr,
        quant_scale_ckv=quant_scale_ckv,
        quant_scale_ckr=quant_scale_ckr,
        smooth_scales_cq=smooth_scales_cq,
    )
    # The third form's operator: this one returns what it updates, and so cannot be opaque.
    query, query_rope, *_ = torch.ops.npu.npu_mla_prolog_v3(
        token_x,
        weight_dq,
        weight_uq_qr,
        weight_uk,
        weight_dkv_kr,
        rmsnorm_gamma_cq,
        rmsnorm_gamma_ckv,
        rope_sin,
        rope_cos,
        kv_cache,
        kr_cache,
        cache_index=cache_index,
        rmsnorm_epsilon_cq=rmsnorm_epsilon_cq,
        rmsnorm_epsilon_ckv=rmsnorm_epsilon_ckv,
        cache_mode=cache_mode,
    )
    return query, query_rope, kv_cache, kr_cache, token_x.new_zeros(1, dtype=torch.float32)


@same_arguments(npu_mla_prolog_v2)
def npu_mla_prolog(*tensors: Tensor, **others: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`npu_mla_prolog_v2` without its last result."""
    query, query_rope, kv_cache, kr_cache, _ = npu_mla_prolog_v2(*tensors, **others)
    return query, query_rope, kv_cache, kr_cache


def npu_mla_prolog_v3(
    token_x: Tensor,
    weight_dq: Tensor,
    weight_uq_qr: Tensor,
    weight_uk: Tensor,
    weight_dkv_kr: Tensor,
    rmsnorm_gamma_cq: Tensor,
    rmsnorm_gamma_ckv: Tensor,
    rope_sin: Tensor,
    rope_cos: Tensor,
    kv_cache: Tensor,
    kr_cache: Tensor,
    *,
    cache_index: Tensor | None = None,
    dequant_scale_x: Tensor | None = None,
    dequant_scale_w_dq: Tensor | None = None,
    dequant_scale_w_uq_qr: Tensor | None = None,
    dequant_scale_w_dkv_kr: Tensor | None = None,
    quant_scale_ckv: Tensor | None = None,
    quant_scale_ckr: Tensor | None = None,
    smooth_scales_cq: Tensor | None = None,
    actual_seq_len: Tensor | None = None,
    k_nope_clip_alpha: Tensor | None = None,
    rmsnorm_epsilon_cq: float = 1e-05,
    rmsnorm_epsilon_ckv: float = 1e-05,
    cache_mode: str = "PA_BSND",
    query_norm_flag: bool = False,
    weight_quant_mode: int = 0,
    kv_cache_quant_mode: int = 0,
    query_quant_mode: int = 0,
    ckvkr_repo_mode: int = 0,
    quant_scale_repo_mode: int = 0,
    tile_size: int = 128,
    qc_qr_scale: float = 1.0,
    kc_scale: float = 1.0,
    token_x_dtype: int | None = None,
    weight_dq_dtype: int | None = None,
    weight_uq_qr_dtype: int | None = None,
    weight_dkv_kr_dtype: int | None = None,
    kv_cache_dtype: int | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """`tamis.mla_prolog`: query, its rotary part, -, the normed low-rank query, -.

    The third and fifth result are scales of 8 bits, here empty; so is the fourth without
    `query_norm_flag`. The caches are updated in place: PA_BSND or PA_NZ at the slots of
    `cache_index`, BSND or TND a row for each token. `qc_qr_scale` and `kc_scale` are powers of two.
    `actual_seq_len` and `tile_size` belong to other modes and are not read.
    """
    expect_absent(
        _WHY,
        dequant_scale_x=dequant_scale_x,
        dequant_scale_w_dq=dequant_scale_w_dq,
        dequant_scale_w_uq_qr=dequant_scale_w_uq_qr,
        dequant_scale_w_dkv_kr=dequant_scale_w_dkv_kr,
        quant_scale_ckv=quant_scale_ckv,
        quant_scale_ckr=quant_scale_ckr,
        smooth_scales_cq=smooth_scales_cq,
        k_nope_clip_alpha=k_nope_clip_alpha,
    )
    expect("weight_quant_mode", weight_quant_mode, 0, why=_WHY)
    expect("kv_cache_quant_mode", kv_cache_quant_mode, 0, why=_WHY)
    expect("query_quant_mode", query_quant_mode, 0, why=_WHY)
    expect("ckvkr_repo_mode", ckvkr_repo_mode, 0, why=_WHY)
    expect("quant_scale_repo_mode", quant_scale_repo_mode, 0, why=_WHY)
    expect("token_x_dtype", token_x_dtype, None, why=_WHY)
    expect("weight_dq_dtype", weight_dq_dtype, None, why=_WHY)
    expect("weight_uq_qr_dtype", weight_uq_qr_dtype, None, why=_WHY)
    expect("weight_dkv_kr_dtype", weight_dkv_kr_dtype, None, why=_WHY)
    expect("kv_cache_dtype", kv_cache_dtype, None, why=_WHY)
    query, query_rope, query_norm = _prolog(
        token_x,
        weight_dq,
        weight_uq_qr,
        weight_uk,
        weight_dkv_kr,
        rmsnorm_gamma_cq,
        rmsnorm_gamma_ckv,
        rope_sin,
        rope_cos,
        cache_index,
        kv_cache,
        kr_cache,
        rmsnorm_epsilon_cq,
        rmsnorm_epsilon_ckv,
        cache_mode,
        qc_qr_scale,
        kc_scale,
    )
    if not query_norm_flag:
        query_norm = weight_uq_qr.new_empty(0)
    scale_q_nope = token_x.new_empty(0, dtype=torch.float32)
    scale_q_norm = token_x.new_empty(0, dtype=torch.float32)
    return query, query_rope, scale_q_nope, query_norm, scale_q_norm


@same_arguments(npu_mla_prolog_v3)
def npu_mla_prolog_v3_functional(*tensors: Tensor, **others: Any) -> tuple[Tensor, ...]:
    """`npu_mla_prolog_v3` on copies of the caches, which follow its five results."""
    given = {**dict(zip(_TENSORS, tensors, strict=False)), **others}
    for name in ("kv_cache", "kr_cache"):
        if name in given:
            given[name] = given[name].clone()
    results = npu_mla_prolog_v3(*tensors[len(_TENSORS) :], **given)
    return *results, given["kv_cache"], given["kr_cache"]
