"""Small calls of the gradients, for the tests of torch.ops.tamis."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch_calls import (
    arguments,
    overload,
    results,
    to_torch,
)
from torch_cases import (
    attention_case,
    compress_case,
    compressed_case,
    in_fp32,
    indexer_case,
    plain_attention,
    random,
    selected_case,
    starts_and_limits,
    whole_compressed,
    window_case,
)

import tamis
from tamis.case import Case


def attention_grad(forward: Case, **options: Any) -> Case:
    """The gradient of a call of attention or the indexer, with what it gives."""
    positional, named = arguments(forward)
    found = results(forward.op, overload(forward.op)(*positional, **named))
    op = f"{forward.op}_grad"
    fields = tamis.describe(op)["arguments"]
    (incoming,) = (f for f in fields if f["role"] == "input" and f["gradient_of"] is not None)
    out = found[incoming["gradient_of"]]
    taken = {field["name"] for field in fields}
    given = {name: tensor for name, tensor in found.items() if name in taken}
    given[incoming["name"]] = random(*out.shape).to(out.dtype)
    tensors = {name: tensor for name, tensor in to_torch(forward).items() if name in taken}
    attributes = {name: value for name, value in forward.attributes.items() if name in taken}
    return Case(op, tensors | given, attributes | options)


def whole_window_grad() -> Case:
    """Every tensor that sliding_window_attention_grad can have."""
    forward = window_case("TND", "TND")
    forward.tensors |= starts_and_limits()
    return attention_grad(forward)


def _whole_attention_grad() -> Case:
    """Every tensor that sparse_flash_attention_grad can have."""
    forward = attention_case("TND", "TND", return_softmax_lse=True)
    forward.tensors["value"] = random(*forward.tensors["key"].shape)
    forward.tensors["sinks"] = torch.tensor([0.5, -1.0, 2.0, 0.0])
    forward.tensors |= starts_and_limits()
    return attention_grad(forward)


def indexer_grads() -> Iterator[tuple[str, Case]]:
    """Gradients of the scores that the indexer selects."""
    op = "lightning_indexer_grad"
    forward = indexer_case("TND", "TND", return_value=True, compress_ratio=2)
    forward.tensors |= starts_and_limits()
    forward.tensors["actual_seq_lengths_tokens"] = torch.tensor([40, 34])
    whole = attention_grad(forward)
    yield f"{op} with all tensors", whole
    for name in ("query", "key", "weights"):
        case = Case(op, whole.tensors, whole.attributes | {f"return_{name}_grad": False})
        yield f"{op} but for that of {name}", case
    for layout in ("BSND", "TND"):
        plain = indexer_case(layout, layout, return_value=True)
        yield f"{op} {layout}", attention_grad(plain)
        yield f"{op} {layout} in fp32", attention_grad(in_fp32(plain))


def attention_grads() -> Iterator[tuple[str, Case]]:
    """Gradients over lists of single keys."""
    whole = _whole_attention_grad()
    yield "sparse_flash_attention_grad with all tensors", whole
    for name in ("query", "key", "value", "query_rope", "key_rope", "sinks"):
        case = Case(whole.op, whole.tensors, whole.attributes | {f"return_{name}_grad": False})
        yield f"sparse_flash_attention_grad but for that of {name}", case
    for layout in ("BSND", "TND"):
        case = attention_case(layout, layout, return_softmax_lse=True, sparse_block_size=3)
        yield f"sparse_flash_attention_grad {layout}", attention_grad(case)
    plain = plain_attention()
    plain.attributes["return_softmax_lse"] = True
    yield "sparse_flash_attention_grad in fp32, the fewest tensors", attention_grad(in_fp32(plain))


def _warm_up(op: str, layout: str, *, whole: bool = True, **options: Any) -> Case:
    """A small call of the indexer's warm-up, with all optional tensors or with none."""
    rows, keys = ((2, 3), (2, 20)) if layout == "BSND" else ((6,), (40,))
    tensors = {
        "query_index": random(*rows, 4, 32),
        "key_index": random(*keys, 1, 32),
        "weights": random(*rows, 4),
    }
    attributes: dict[str, Any] = {"layout": layout} | options
    if op.endswith("kl_loss"):
        tensors |= {"query": random(*rows, 4, 32), "key": random(*keys, 2, 32)}
        for name, shape in {"": (*rows, 4), "_index": rows}.items():
            tensors[f"softmax_max{name}"] = torch.full(shape, 2.0)
            tensors[f"softmax_sum{name}"] = torch.full(shape, 9.0)
        attributes["scale_value"] = 0.2
    if op.startswith("sparse"):
        for name in ("softmax_max_index", "softmax_sum_index"):
            del tensors[name]
        tensors["key"] = random(*keys, 1, 32)
        ids = torch.tensor([3, 0, 3, 7, 99, 1, -1, 2], dtype=torch.int32)
        tensors["sparse_indices"] = ids.expand(*rows, 1, 8).contiguous()
    if whole and op.endswith("kl_loss"):
        kv_heads = tensors["key"].shape[-2]
        tensors |= {"query_rope": random(*rows, 4, 8), "key_rope": random(*keys, kv_heads, 8)}
        if op.startswith("sparse"):
            tensors["sinks"] = random(4).float()
        tensors["row_scale"] = torch.arange(6.0).view(rows)
    if whole or layout == "TND":
        lengths = ([2, 6], [20, 40]) if layout == "TND" else ([2, 3], [20, 9])
        for name, counts in zip(("query", "key"), lengths, strict=True):
            tensors[f"actual_seq_lengths_{name}"] = torch.tensor(counts, dtype=torch.int32)
    return Case(op, tensors, attributes)


def warm_ups() -> Iterator[tuple[str, Case]]:
    """The indexer's warm-up, and its loss over lists."""
    loss, sparse = (f"{of}_lightning_indexer_grad_kl_loss" for of in ("dense", "sparse"))
    for layout in ("BSND", "TND"):
        for op in ("dense_lightning_indexer_softmax_lse", loss, sparse):
            yield f"{op} {layout} with all tensors", _warm_up(op, layout)
            yield f"{op} {layout} with the fewest tensors", _warm_up(op, layout, whole=False)
            yield f"{op} {layout} in fp32", in_fp32(_warm_up(op, layout, sparse_mode=0))
    for name in ("query_index", "key_index", "weights"):
        for op in (loss, sparse):
            off = _warm_up(op, "TND", **{f"return_{name}_grad": False})
            yield f"{op} but for that of {name}", off
    yield f"{loss}, losses of tokens", _warm_up(loss, "BSND", return_row_loss=True)


def branch_grads(folder: Path) -> Iterator[tuple[str, Case]]:
    """Gradients of selected and of compressed attention."""
    for mode in (0, 2, 3):
        yield (
            f"nsa_selected_attention_grad, sparse_mode {mode}",
            attention_grad(selected_case(mode)),
        )
    yield "nsa_selected_attention_grad in fp32", attention_grad(in_fp32(selected_case(3)))
    plain, whole = compressed_case(folder), whole_compressed(folder)
    yield "nsa_compress_attention_grad without masks", attention_grad(plain)
    yield "nsa_compress_attention_grad in fp32", attention_grad(in_fp32(plain))
    raw = {"causal": True, "actual_raw_seq_kvlen": [300, 700, 711]}
    case = Case(plain.op, plain.tensors, plain.attributes | raw)
    yield "nsa_compress_attention_grad, causal by raw tokens", attention_grad(case)
    for rows in ("uniform", "zero"):
        for name, forward in (("all tensors", whole), ("no key to see", _blind(plain))):
            case = Case(plain.op, forward.tensors, forward.attributes | {"masked_rows": rows})
            yield f"nsa_compress_attention_grad, {name}, {rows}", attention_grad(case)


def _blind(case: Case) -> Case:
    """The same call, where no token may see a key."""
    tensors = to_torch(case)
    tensors["key_limits"] = torch.zeros(len(tensors["query"]), dtype=torch.int32)
    return Case(case.op, tensors, case.attributes)


def compress_grad_case(lengths: list[int], kind: int, **options: Any) -> Case:
    """The gradient of such a call, whose windows are counted here."""
    forward = compress_case(lengths, kind)
    ends = [0, *(lengths if kind == 0 else itertools.accumulate(lengths))]
    windows = sum(max(0, (end - begin - 32) // 16 + 1) for begin, end in itertools.pairwise(ends))
    tensors = {"output_grad": random(windows, 2, 16)} | forward.tensors
    return Case("nsa_compress_grad", tensors, forward.attributes | options)
