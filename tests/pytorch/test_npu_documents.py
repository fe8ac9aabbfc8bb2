"""The calls of documents 002, 003 and 004 at their sizes, against formulations of their own.

All run under `enable(strict=True)`: they are what the documents allow.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attention_calls import NSA, exact_scale
from case_file import Real
from formulation import attend, storage_error, storage_score_error
from precision import FP32, assert_attention, assert_close
from torch import Tensor

import tamis.npu_compat

custom = importlib.import_module("custom")
torch_npu = importlib.import_module("torch_npu")


@pytest.fixture(autouse=True)
def _strict() -> Iterator[None]:
    tamis.npu_compat.enable(strict=True)
    yield
    tamis.npu_compat.enable(strict=False)


def uniform(low: float, high: float, *shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.bfloat16).uniform_(low, high)


# --- document 002 ---------------------------------------------------------------------------------


# The example's call multiplies 11 TFLOP: CI has an eighth of its queries, `./dev test --documents`
# all of them.
QUERIES = 65536 if os.environ.get("TAMIS_TEST_DOCUMENTS") == "whole" else 8192


def test_the_example_of_document_002_runs() -> None:
    text = (Path(__file__).parent / "document_002_example.txt").read_text(encoding="utf-8")
    text = text.replace("65536", str(QUERIES))
    *statements, call = (line.removeprefix(">>> ") for line in text.splitlines())
    names: dict[str, Any] = {}
    torch.manual_seed(2)
    exec("\n".join(statements), names)
    out, blocks, maximum, total = eval(call, names)
    assert (out.shape, out.dtype) == ((QUERIES, 64, 128), torch.bfloat16)
    assert (blocks.shape, blocks.dtype) == ((QUERIES, 4, 16), torch.int32)
    for statistics in (maximum, total):
        assert (statistics.shape, statistics.dtype) == ((QUERIES, 64, 8), torch.float32)
    tokens = [0, 31, 4095, QUERIES * 5 // 8, QUERIES - 1]
    key, value = names["key"].double().numpy(), names["value"].double().numpy()
    none, scale = np.zeros(4096, bool), exact_scale(192)
    rows = [
        [
            attend(
                names["query"][t, 16 * g : 16 * (g + 1)].double().numpy(),
                key[:, g],
                value[:, g],
                scale,
                hidden=none,
                forced=none[:1024],
                blocks=NSA,
                kind="cann",
                masked_rows="uniform",
            )
            for g in range(4)
        ]
        for t in tokens
    ]
    assert_attention(
        rows,
        Real(out[tokens].double().numpy(), "bfloat16"),
        blocks[tokens].long().numpy(),
        FP32,
        *(
            tamis.case.statistics(dumped, [QUERIES], 64)[tokens].astype(np.float64)
            for dumped in (maximum, total)
        ),
        accuracy="storage",
    )


# --- document 004 ---------------------------------------------------------------------------------

LATENT, ROPE, HEADS, SELECTED = 512, 64, 128, 2048
SCALE = 1 / 24  # 576^-0.5


def assert_attends(out: Tensor, query: Tensor, rows: Tensor) -> None:
    """One token's [N, 512] from its queries [N, 576] and the selected rows [K, 576]."""
    q, k = query.double(), rows.double()
    scale = float(np.float32(SCALE))
    p = torch.softmax(scale * (q @ k.T), dim=1)
    value = k[:, :LATENT]
    size = scale * (q.abs() @ k.abs().T).amax(1).numpy()
    of_score = FP32.of_sum(LATENT + ROPE, size) + 4 * FP32.unit * size
    terms = FP32.of_sum(2 * len(rows) + 16, np.ones(len(q)))
    moved = np.expm1(2 * storage_score_error(q.numpy(), k.numpy(), scale).max(axis=1))
    error = (2 * of_score + terms + moved)[:, None] * (p @ value.abs()).numpy()
    lost = FP32.underflow * len(rows) * float(value.abs().max())
    error += storage_error(p.numpy(), value.numpy(), 128)[:, None]
    assert_close("out", out.double().numpy(), (p @ value).numpy(), error + lost, "bfloat16")


def distinct(count: int, below: int) -> Tensor:
    return torch.randperm(below)[:count].int()


def test_sparse_flash_attention_of_padded_batches() -> None:
    torch.manual_seed(4)
    query, query_rope = uniform(-10, 10, 4, 1, HEADS, LATENT), uniform(-10, 10, 4, 1, HEADS, ROPE)
    key, key_rope = uniform(-5, 10, 4, 8192, 1, LATENT), uniform(-10, 10, 4, 8192, 1, ROPE)
    indices = torch.stack([distinct(SELECTED, 4096) for _ in range(4)]).reshape(4, 1, 1, SELECTED)
    out = custom.npu_sparse_flash_attention(
        query,
        key,
        key,
        indices,
        SCALE,
        1,
        actual_seq_lengths_query=torch.ones(4, dtype=torch.int32),
        actual_seq_lengths_kv=torch.full((4,), 4096, dtype=torch.int32),
        query_rope=query_rope,
        key_rope=key_rope,
        layout_query="BSND",
        layout_kv="BSND",
        sparse_mode=3,
    )
    assert (out.shape, out.dtype) == (query.shape, torch.bfloat16)
    for b in range(4):
        rows = torch.cat([key[b, :, 0], key_rope[b, :, 0]], dim=1)
        queries = torch.cat([query[b, 0], query_rope[b, 0]], dim=1)
        assert_attends(out[b, 0], queries, rows[indices[b, 0, 0].long()])


def test_sparse_flash_attention_of_packed_queries_over_pages() -> None:
    torch.manual_seed(5)
    prefix, page, lengths = [1, 3, 8, 10], 256, [4096, 8192, 5000, 300]
    query, query_rope = uniform(-10, 10, 10, HEADS, LATENT), uniform(-10, 10, 10, HEADS, ROPE)
    table = torch.randperm(4 * 32).reshape(4, 32).int()
    key, key_rope = uniform(-5, 10, 128, page, 1, LATENT), uniform(-10, 10, 128, page, 1, ROPE)
    begins = [0, *prefix[:-1]]
    indices = torch.full((10, 1, SELECTED), -1, dtype=torch.int32)
    for n, begin, end in zip(lengths, begins, prefix, strict=True):
        for t in range(begin, end):
            visible = n - (end - 1 - t)
            count = min(SELECTED, visible)
            indices[t, 0, :count] = distinct(count, visible)
    out = torch.ops.custom.npu_sparse_flash_attention(
        query,
        key,
        key,
        indices,
        SCALE,
        1,
        block_table=table,
        actual_seq_lengths_query=torch.tensor(prefix, dtype=torch.int32),
        actual_seq_lengths_kv=torch.tensor(lengths, dtype=torch.int32),
        query_rope=query_rope,
        key_rope=key_rope,
        layout_query="TND",
        layout_kv="PA_BSND",
    )
    rows = torch.cat([key.flatten(0, 2), key_rope.flatten(0, 2)], dim=1)
    for b, (begin, end) in enumerate(zip(begins, prefix, strict=True)):
        for t in range(begin, end):
            at = indices[t, 0][indices[t, 0] >= 0].long()
            slots = table[b].long()[at // page] * page + at % page
            assert_attends(out[t], torch.cat([query[t], query_rope[t]], dim=1), rows[slots])


# --- document 003 ---------------------------------------------------------------------------------

PAGE, INDEX_HEADS, INDEX_DIM = 128, 64, 128
LENGTHS = [768, 4097, 8192, 131071]
NAMES = list(inspect.signature(custom.npu_sparse_attention_pto).parameters)
Arguments = dict[str, Tensor]


@pytest.fixture(scope="module")
def weights() -> Arguments:
    torch.manual_seed(3)
    made = {
        "w_dq": uniform(-0.1, 0.1, 7168, 1536),
        "w_uq_qr": uniform(-0.1, 0.1, 1536, HEADS * 192),
        "w_uk": uniform(-0.1, 0.1, HEADS, 128, LATENT),
        "w_dkv_kr": uniform(-0.1, 0.1, 7168, LATENT + ROPE),
        "gamma_cq": uniform(-1, 1, 1536),
        "gamma_ckv": uniform(-1, 1, LATENT),
        "w_idx_qb": uniform(-1, 1, 1536, INDEX_HEADS * INDEX_DIM),
        "w_idx_k": uniform(-1, 1, 7168, INDEX_DIM),
        "w_idx_proj": uniform(-1, 1, 7168, INDEX_HEADS),
        "in_gamma_k": torch.ones(INDEX_DIM, dtype=torch.bfloat16),
        "in_beta_k": torch.zeros(INDEX_DIM, dtype=torch.bfloat16),
    }
    return {
        name: torch_npu.npu_format_cast(tensor, 29) if name.startswith("w_") else tensor
        for name, tensor in made.items()
    }


def step(tokens: int) -> Arguments:
    """New tokens, and caches that hold all before them."""
    needed = [-(-n // PAGE) for n in LENGTHS]
    pages = torch.randperm(sum(needed)).int()
    table = torch.full((4, max(needed)), -1, dtype=torch.int32)
    for b, part in enumerate(torch.split(pages, needed)):
        table[b, : len(part)] = part
    positions = torch.tensor(LENGTHS)[:, None] - tokens + torch.arange(tokens)
    slots = table.long().gather(1, positions // PAGE) * PAGE + positions % PAGE
    return {
        "x": uniform(-1, 1, 4, tokens, 7168),
        "sin": uniform(-0.1, 0.1, 4, tokens, ROPE),
        "cos": uniform(-0.1, 0.1, 4, tokens, ROPE),
        "cache_index": slots.int(),
        "kv_cache": uniform(-1, 1, sum(needed), PAGE, 1, LATENT),
        "kr_cache": uniform(-1, 1, sum(needed), PAGE, 1, ROPE),
        "block_table": table,
        "act_seqs": torch.tensor(LENGTHS, dtype=torch.int32),
        "index_k_cache": uniform(-1, 1, sum(needed), PAGE, 1, INDEX_DIM),
    }


def rounded(x: Tensor) -> Tensor:
    return x.bfloat16().float()


def rms_norm(x: Tensor, gamma: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gamma


def rope(x: Tensor, a: Arguments) -> Tensor:
    """Of [B, S, .., 64]: pairs to halves, then a rotation by halves."""
    sin, cos = (a[name].reshape(*x.shape[:2], *[1] * (x.ndim - 3), -1) for name in ("sin", "cos"))
    u = torch.cat([x[..., 0::2], x[..., 1::2]], -1)
    return rounded(u * cos + torch.cat([-u[..., 32:], u[..., :32]], -1) * sin)


@dataclass
class Layer:
    """What the four modules of document 003 compute for the new tokens, in fp32 with its roundings.

    Every array holds values of bfloat16; shapes are [B, S1, ..].
    """

    query: Tensor  # latent, then rope
    row: Tensor  # of the latent cache, then rope
    index_query: Tensor
    index_row: Tensor
    weights: Tensor

    @classmethod
    def of(cls, arguments: Arguments) -> Layer:
        a = {name: t.float() for name, t in arguments.items() if t.is_floating_point()}
        batch = a["x"].shape[:2]
        norm = rounded(rms_norm(rounded(a["x"] @ a["w_dq"]), a["gamma_cq"]))
        q = rounded(norm @ a["w_uq_qr"]).reshape(*batch, HEADS, 192)
        latent = rounded(torch.einsum("bshd,hdl->bshl", q[..., :128], a["w_uk"]))
        kv = rounded(a["x"] @ a["w_dkv_kr"])
        row = rounded(rms_norm(kv[..., :LATENT], a["gamma_ckv"]))
        index = rounded(norm @ a["w_idx_qb"]).reshape(*batch, INDEX_HEADS, INDEX_DIM)
        k = torch.nn.functional.layer_norm(
            a["x"] @ a["w_idx_k"], (INDEX_DIM,), a["in_gamma_k"], a["in_beta_k"], 1e-6
        )
        k = rounded(k)
        return cls(
            query=torch.cat([latent, rope(q[..., 128:], a)], -1),
            row=torch.cat([row, rope(kv[..., LATENT:], a)], -1),
            index_query=torch.cat([rope(index[..., :ROPE], a), index[..., ROPE:]], -1),
            index_row=torch.cat([rope(k[..., :ROPE], a), k[..., ROPE:]], -1),
            weights=rounded(a["x"] @ a["w_idx_proj"]),
        )


def assert_family(what: str, got: Tensor, expected: Tensor) -> None:
    """The operator's tolerance: 0.03 relative plus 1e-4 for all but one element in a thousand."""
    missed = (got.float() - expected).abs() > 1e-4 + 0.03 * expected.abs()
    assert missed.float().mean() <= 1e-3, f"{what}: {missed.sum()} of {missed.numel()} differ"


def assert_selection(chosen: Tensor, index: Tensor, weight: Tensor, keys: Tensor) -> None:
    """Every factor of a score may have been rounded the other way: 8 deviations of that."""
    scores = weight @ torch.relu(index @ keys.T)
    spread = (weight.square() @ index.square()) @ keys.square().T
    error = 8 * torch.sqrt(3 * spread) * 2.0**-9
    assert len(set(chosen.tolist())) == len(chosen)
    last = len(chosen) - 1
    lowest = (scores - error).sort(descending=True).values[last]
    highest = (scores + error).sort(descending=True).values[last]
    left_out = torch.ones(len(keys), dtype=torch.bool)
    left_out[chosen] = False
    assert ((scores + error)[chosen] >= lowest).all()
    assert ((scores - error)[left_out] <= highest).all()


@pytest.mark.parametrize("tokens", [1, 2])
def test_sparse_attention_pto_at_the_sizes_of_the_model(weights: Arguments, tokens: int) -> None:
    torch.manual_seed(30 + tokens)
    arguments = {**weights, **step(tokens)}
    before = {name: t.clone() for name, t in arguments.items()}
    out = custom.npu_sparse_attention_pto(*(arguments[name] for name in NAMES))
    assert (out.shape, out.dtype) == ((4, tokens, HEADS, LATENT), torch.bfloat16)

    # The caches: new rows at their slots, and nothing else.
    layer = Layer.of(before)
    slots = arguments["cache_index"].long()
    new = {
        "kv_cache": layer.row[..., :LATENT],
        "kr_cache": layer.row[..., LATENT:],
        "index_k_cache": layer.index_row,
    }
    caches = {name: arguments[name].flatten(0, 2) for name in new}
    for name, expected in new.items():
        assert_family(name, caches[name][slots], expected)
        caches[name] = caches[name].clone()
        restored = caches[name].clone()
        restored[slots] = before[name].flatten(0, 2)[slots]
        assert torch.equal(restored, before[name].flatten(0, 2)), name

    # The selection, which the device does not return, and attention over it.
    again, chosen = torch.ops.tamis.sparse_attention_pto(*(before[name] for name in NAMES))
    assert torch.equal(again, out)
    for b, s in np.ndindex(4, tokens):
        visible = LENGTHS[b] - (tokens - 1 - s)
        at = chosen[b, s, 0]
        assert (at[min(visible, SELECTED) :] == -1).all()
        at = at[: min(visible, SELECTED)].long()
        position = torch.arange(visible)
        flat = arguments["block_table"][b].long()[position // PAGE] * PAGE + position % PAGE
        keys = caches["index_k_cache"][flat].float()
        assert_selection(at, layer.index_query[b, s], layer.weights[b, s], keys)
        rows = torch.cat([caches["kv_cache"][flat[at]], caches["kr_cache"][flat[at]]], 1).float()
        p = torch.softmax(SCALE * (layer.query[b, s] @ rows.T), dim=1)
        assert_family(f"out[{b}, {s}]", out[b, s], p @ rows[:, :LATENT])


def test_the_layer_is_the_four_operators_bit_for_bit(weights: Arguments) -> None:
    torch.manual_seed(33)
    arguments = {**weights, **step(2)}
    a = {name: t.clone() for name, t in arguments.items()}
    out = torch.ops.custom_pypto.npu_sparse_attention_pto(*(arguments[name] for name in NAMES))
    turn = [a["sin"], a["cos"], a["cache_index"]]
    query, query_rope, norm = torch.ops.tamis.mla_prolog(
        a["x"],
        a["w_uq_qr"],
        a["w_uk"],
        a["w_dkv_kr"],
        a["gamma_ckv"],
        *turn,
        a["kv_cache"],
        a["kr_cache"],
        w_dq=a["w_dq"],
        gamma_cq=a["gamma_cq"],
    )
    index, head_weights = torch.ops.tamis.indexer_prolog(
        a["x"],
        a["w_idx_k"],
        a["in_gamma_k"],
        a["in_beta_k"],
        *turn,
        a["index_k_cache"],
        query_norm=norm,
        w_idx_qb=a["w_idx_qb"],
        w_idx_proj=a["w_idx_proj"],
    )
    indices = custom.npu_lightning_indexer(
        index,
        a["index_k_cache"],
        head_weights,
        actual_seq_lengths_key=a["act_seqs"],
        block_table=a["block_table"],
        layout_key="PA_BSND",
    )
    composed = custom.npu_sparse_flash_attention(
        query,
        a["kv_cache"],
        a["kv_cache"],
        indices,
        SCALE,
        1,
        block_table=a["block_table"],
        actual_seq_lengths_kv=a["act_seqs"],
        query_rope=query_rope,
        key_rope=a["kr_cache"],
        layout_kv="PA_BSND",
    )
    assert torch.equal(out, composed)
    for name in ("kv_cache", "kr_cache", "index_k_cache"):
        assert torch.equal(arguments[name], a[name]), name
