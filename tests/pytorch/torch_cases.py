"""Small calls of every operator but gradients, for the tests of torch.ops.tamis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from python_calls import make_case, to_library

from tamis.case import Case


def torch_case(folder: Path, op: str, dtype: str = "bfloat16") -> Case:
    """The package's small case of an operator, of torch tensors."""
    case = make_case(folder, op, dtype)
    case.tensors = {name: to_library("torch", t) for name, t in case.tensors.items()}
    return case


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).bfloat16()


def indexer_case(layout: str, key: str, **options: Any) -> Case:
    """A small call of lightning_indexer over queries and keys of these layouts."""
    rows = (2, 3) if layout == "BSND" else (6,)
    keys = {"BSND": (2, 20), "TND": (40,), "PA_BSND": (4, 16)}[key]
    tensors = {
        "query": random(*rows, 4, 32),
        "key": random(*keys, 1, 32),
        "weights": random(*rows, 4),
    }
    if layout == "TND":
        tensors["actual_seq_lengths_query"] = torch.tensor([2, 6], dtype=torch.int32)
    if key == "TND":
        tensors["actual_seq_lengths_key"] = torch.tensor([20, 40], dtype=torch.int32)
    if key == "PA_BSND":
        tensors["actual_seq_lengths_key"] = torch.tensor([20, 17], dtype=torch.int32)
        tensors["block_table"] = torch.tensor([[2, 0], [1, 3]], dtype=torch.int32)
    attributes = {"layout_query": layout, "layout_key": key, "sparse_count": 8, **options}
    return Case("lightning_indexer", tensors, attributes)


def shadowed_indexer(layout: str, key: str) -> Case:
    case = indexer_case(layout, key, pruning="on")
    case.tensors["key_shadow"] = torch.ops.tamis.quantize_index_keys(
        case.tensors["key"], layout_key=key
    )
    return case


def whole_indexer() -> Case:
    """Every tensor that lightning_indexer can have."""
    case = shadowed_indexer("TND", "PA_BSND")
    case.tensors |= starts_and_limits()
    case.tensors["actual_seq_lengths_tokens"] = torch.tensor([40, 34])
    case.attributes["compress_ratio"] = 2
    return case


def attention_case(layout: str, kv: str, **options: Any) -> Case:
    """A small call of sparse_flash_attention over queries and keys of these layouts."""
    rows = (2, 3) if layout == "BSND" else (6,)
    indexer = indexer_case(layout, kv)
    tensors = {
        "query": random(*rows, 4, 128),
        "key": random(*indexer.tensors["key"].shape[:-2], 1, 128),
        "query_rope": random(*rows, 4, 16),
        "key_rope": random(*indexer.tensors["key"].shape[:-2], 1, 16),
        "sparse_indices": torch.arange(8, dtype=torch.int32).expand(*rows, 1, 8).contiguous(),
    }
    for name in ("actual_seq_lengths_query", "block_table"):
        if name in indexer.tensors:
            tensors[name] = indexer.tensors[name]
    if "actual_seq_lengths_key" in indexer.tensors:
        tensors["actual_seq_lengths_kv"] = indexer.tensors["actual_seq_lengths_key"]
    attributes = {"scale_value": 0.1, "layout_query": layout, "layout_kv": kv, **options}
    return Case("sparse_flash_attention", tensors, attributes)


def with_window(case: Case, size: int) -> Case:
    """A call of sparse_flash_attention with a window of fewer keys, in smaller pages."""
    layout = case.attributes["layout_kv"]

    def fewer(tensor: torch.Tensor) -> torch.Tensor:
        if layout == "PA_BSND":
            return tensor.reshape(8, 8, 1, -1)[1:6].clone()
        keys = tensor[:, 5:12] if layout == "BSND" else tensor[3:17]
        return keys.clone()

    for name in ("key", "key_rope", "value"):
        if name in case.tensors:
            case.tensors[f"window_{name}"] = fewer(case.tensors[name])
    if layout != "BSND":
        lengths = {"TND": [9, 14], "PA_BSND": [9, 0]}[layout]
        case.tensors["actual_seq_lengths_window"] = torch.tensor(lengths, dtype=torch.int32)
    if layout == "PA_BSND":
        table = torch.tensor([[4, 2], [-1, -1]], dtype=torch.int32)
        case.tensors["window_block_table"] = table
    case.attributes["window_size"] = size
    return case


def whole_attention() -> Case:
    """Every tensor that sparse_flash_attention can have."""
    case = attention_case("TND", "PA_BSND", return_softmax_lse=True, compress_ratio=2)
    case.tensors["value"] = random(*case.tensors["key"].shape)
    case = with_window(case, 6)
    case.tensors["window_starts"] = torch.tensor([4, 0])
    case.tensors["sinks"] = torch.tensor([0.5, -1.0, 2.0, 0.0])
    case.tensors |= starts_and_limits()
    case.tensors["actual_seq_lengths_tokens"] = torch.tensor([40, 34])
    return case


def starts_and_limits() -> dict[str, torch.Tensor]:
    """Of six packed query tokens of two sequences."""
    return {
        "key_starts": torch.tensor([1, 0]),
        "key_limits": torch.tensor([20, 3, -1, 9, 2**31 - 1, 0], dtype=torch.int32),
    }


def in_fp32(case: Case) -> Case:
    """The same call of floats of 32 bits."""
    tensors = {n: t.float() if t.is_floating_point() else t for n, t in case.tensors.items()}
    return Case(case.op, tensors, dict(case.attributes))


def plain_attention() -> Case:
    """No tensor that sparse_flash_attention can do without."""
    case = attention_case("BSND", "BSND")
    del case.tensors["query_rope"], case.tensors["key_rope"]
    return case


def compressed_case(folder: Path) -> Case:
    """nsa_compress_attention without masks; its smallest example has both."""
    case = torch_case(folder, "nsa_compress_attention")
    del case.tensors["atten_mask"], case.tensors["topk_mask"]
    return case


def packed_attention() -> Case:
    case = attention_case("BSND", "BSND", kv_format="cann656")
    key, rope = case.tensors.pop("key"), case.tensors.pop("key_rope")
    rows = torch.ops.tamis.pack_kv_rows(key.flatten(0, 2), rope.flatten(0, 2))
    case.tensors["key"] = rows.view(*key.shape[:-1], -1)
    return case


def _spaced_pages(key: torch.Tensor) -> torch.Tensor:
    """Pages of keys as rows of bytes and their scales, with other bytes between the pages."""
    packed = [
        torch.ops.tamis.pack_kv_rows(page[:, 0, :-64], page[:, 0, -64:], kv_format="flashmla584")
        for page in key
    ]
    pages = torch.stack(packed).flatten(1)
    memory = torch.full((len(key), pages.shape[1] + 9), 255, dtype=torch.uint8)
    memory[:, : pages.shape[1]] = pages
    return memory[:, : pages.shape[1]].view(*key.shape[:-1], -1)


def paged_bytes() -> Case:
    """Keys whose rotary part is in them, in list and window."""
    case = with_window(attention_case("TND", "PA_BSND", kv_format="flashmla584"), 6)
    for name in ("query_rope", "key_rope", "window_key_rope"):
        del case.tensors[name]
    for name in ("key", "window_key"):
        case.tensors[name] = _spaced_pages(case.tensors[name])
    return case


def whole_compressed(folder: Path) -> Case:
    """Every tensor that nsa_compress_attention can have."""
    case = torch_case(folder, "nsa_compress_attention")
    tokens, heads = case.tensors["query"].shape[:2]
    case.tensors["key_limits"] = torch.arange(tokens, dtype=torch.int32) % 20
    case.tensors["global_max"] = torch.full((tokens, heads), 2.0)
    case.tensors["global_sum"] = torch.full((tokens, heads), 9.0)
    case.attributes |= {"causal": True, "return_block_scores": True}
    return case


def window_case(layout: str, kv: str, **options: Any) -> Case:
    attention = attention_case(layout, kv)
    keys = attention.tensors["key"].shape[:-2]
    tensors = {
        name: tensor
        for name, tensor in attention.tensors.items()
        if name.startswith("actual_seq_lengths") or name == "block_table"
    }
    tensors["query"] = attention.tensors["query"]
    tensors["key"], tensors["value"] = random(*keys, 2, 128), random(*keys, 2, 24)
    attributes = {"scale_value": 0.1, "window_size": 5, "layout_query": layout, "layout_kv": kv}
    return Case("sliding_window_attention", tensors, attributes | options)


def whole_window() -> Case:
    """Every tensor that sliding_window_attention can have."""
    case = window_case("TND", "PA_BSND", out_dtype="float32")
    case.tensors |= starts_and_limits()
    return case


def selected_case(mode: int, **options: Any) -> Case:
    """A small call of nsa_selected_attention over two sequences, one shorter than its tokens."""
    ids = torch.tensor([[0, 2, -1], [3, 9, 1]], dtype=torch.int32)
    tensors = {
        "query": random(6, 4, 32),
        "key": random(22, 2, 32),
        "value": random(22, 2, 24),
        "topk_indices": ids.expand(6, 2, 3).contiguous(),
    }
    attributes = {
        "scale_value": 0.2,
        "head_num": 4,
        "select_block_size": 5,
        "select_block_count": 3,
        "actual_seq_qlen": [2, 6],
        "actual_seq_kvlen": [20, 22],
        "sparse_mode": mode,
    }
    return Case("nsa_selected_attention", tensors, attributes | options)


def selected_pages(layout: str, **options: Any) -> Case:
    """A small call of nsa_selected_attention_infer; of BSND a row is padding."""
    rows = (2, 2) if layout == "BSND" else (3,)
    tensors = {
        "query": random(*rows, 4, 32),
        "key": random(5, 16, 2 * 32),
        "value": random(5, 16, 2 * 24),
        "topk_indices": torch.arange(3, dtype=torch.int32).expand(*rows, 2, 3).contiguous(),
        "block_table": torch.tensor([[4, 1], [0, 3]], dtype=torch.int32),
    }
    attributes = {
        "scale_value": 0.2,
        "head_num": 4,
        "key_value_head_num": 2,
        "select_block_size": 8,
        "select_block_count": 3,
        "page_block_size": 16,
        "layout": layout,
        "actual_seq_qlen": [1, 2],
        "actual_seq_kvlen": [30, 20],
    }
    return Case("nsa_selected_attention_infer", tensors, attributes | options)


def one_token_each(case: Case) -> Case:
    """A call of nsa_selected_attention_infer without lengths of queries."""
    del case.attributes["actual_seq_qlen"]
    for name in ("query", "topk_indices"):
        case.tensors[name] = case.tensors[name][:2].clone()
    return case


def infer_case(layout: str, **options: Any) -> Case:
    rows = (2, 2) if layout == "BSND" else (4,)
    tensors = {
        "query": random(*rows, 4, 32),
        "key": random(5, 16, 2 * 32),
        "value": random(5, 16, 2 * 16),
        "block_table": torch.tensor([[4, 1], [0, 3]], dtype=torch.int32),
    }
    attributes = {
        "scale_value": 0.2,
        "head_num": 4,
        "key_value_head_num": 2,
        "select_block_size": 64,
        "select_block_count": 3,
        "page_block_size": 16,
        "compress_block_size": 32,
        "compress_stride": 16,
        "layout": layout,
        "actual_seq_qlen": [2, 2],
        "actual_cmp_seq_kvlen": [20, 30],
    }
    return Case("nsa_compress_attention_infer", tensors, attributes | options)


def whole_infer(layout: str) -> Case:
    """Every tensor that nsa_compress_attention_infer can have, and all that it can give."""
    case = infer_case(layout, return_softmax_lse=True, return_block_scores=True)
    rows = case.tensors["query"].shape[:-1]
    case.tensors["atten_mask"] = torch.ones(2, 30, dtype=torch.bool)
    case.attributes["actual_sel_seq_kvlen"] = [340, 500]
    limits = torch.tensor([20, 3, 0, 25], dtype=torch.int32)
    case.tensors["key_limits"] = limits.view(rows[:-1])
    case.tensors["global_max"] = torch.full(rows, 2.0)
    case.tensors["global_sum"] = torch.full(rows, 9.0)
    return case


def prolog_case(
    op: str, folder: Path, rows: tuple[int, ...], without: tuple[str, ...] = ()
) -> Case:
    case = torch_case(folder, op)
    per_row = ("x", "sin", "cos", "query_norm")
    count = 1
    for size in rows:
        count *= size
    for name in per_row:
        if name in case.tensors:
            width = case.tensors[name].shape[-1]
            case.tensors[name] = random(*rows, width)
    case.tensors["cache_index"] = torch.arange(count, dtype=torch.int64).view(rows)
    for name in without:
        del case.tensors[name]
    return case


def of_other_families(folder: Path, rows: tuple[int, ...]) -> Case:
    case = prolog_case("mla_prolog", folder, rows)
    case.tensors["bias_dq"] = random(*case.tensors["gamma_cq"].shape)
    case.tensors["bias_dkv_kr"] = random(case.tensors["w_dkv_kr"].shape[1])
    case.tensors["gamma_kr"] = random(case.tensors["sin"].shape[-1])
    case.attributes["rope_interleaved"] = False
    return case


def compress_infer_case(**options: Any) -> Case:
    """A small call of nsa_compress_infer: new tokens end a window in each sequence."""
    tensors = {
        "input": random(5, 16, 2, 20),
        "weight": random(8, 2),
        "slot_mapping": torch.tensor([99, 4], dtype=torch.int32),
        "block_table": torch.tensor([[4, 1], [0, 3]], dtype=torch.int32),
        "cache": random(6, 2, 20),
    }
    attributes = {
        "act_seq_len": [23, 20],
        "compress_block_size": 8,
        "compress_stride": 4,
        "page_block_size": 16,
    }
    return Case("nsa_compress_infer", tensors, attributes | options)


def compress_case(lengths: list[int], kind: int) -> Case:
    attributes = {
        "act_seq_len": lengths,
        "act_seq_len_type": kind,
        "compress_block_size": 32,
        "compress_stride": 16,
    }
    tensors = {"input": random(100, 2, 16), "weight": random(32, 2)}
    return Case("nsa_compress", tensors, attributes)
