"""Calls for the tests of torch.ops.tamis: those of the package, and every layout and option."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from python_calls import SHAPES
from torch_cases import (
    attention_case,
    compress_case,
    compress_infer_case,
    compressed_case,
    in_fp32,
    indexer_case,
    infer_case,
    of_other_families,
    one_token_each,
    packed_attention,
    paged_bytes,
    plain_attention,
    prolog_case,
    random,
    selected_case,
    selected_pages,
    shadowed_indexer,
    torch_case,
    whole_attention,
    whole_compressed,
    whole_indexer,
    whole_infer,
    whole_window,
    window_case,
    with_window,
)
from torch_gradient_cases import (
    attention_grad,
    attention_grads,
    branch_grads,
    compress_grad_case,
    indexer_grads,
    warm_ups,
    whole_window_grad,
)

from tamis.case import Case


def forms(folder: Path) -> Iterator[tuple[str, Case]]:
    """Every layout, every option that changes what comes back, all optional tensors and none."""
    for op in SHAPES:
        yield f"{op}, its smallest example", torch_case(folder, op)
    yield "nsa_compress_attention without masks", compressed_case(folder)
    yield "nsa_compress_attention with all tensors", whole_compressed(folder)
    scores = compressed_case(folder)
    scores.attributes |= {"return_block_scores": True, "out_dtype": "float32"}
    yield "nsa_compress_attention, block scores", scores
    yield "nsa_compress_attention in fp32", in_fp32(scores)
    causal = {"causal": True, "selection": "causal"}
    raw = {"actual_raw_seq_kvlen": [300, 700, 711]}
    for options in (causal, causal | raw):
        case = Case(scores.op, scores.tensors, scores.attributes | options)
        yield f"nsa_compress_attention, causal selection, {len(options)} options", case
    yield "lightning_indexer with all tensors", whole_indexer()
    yield "lightning_indexer in fp32", in_fp32(indexer_case("TND", "TND", return_value=True))
    yield "sparse_flash_attention with all tensors", whole_attention()
    yield "sparse_flash_attention with the fewest tensors", plain_attention()
    for lengths, kind in (([20, 31, 100], 0), ([20, 47, 33], 1), ([100], 0)):
        yield f"nsa_compress of {lengths}, type {kind}", compress_case(lengths, kind)
        grad = compress_grad_case(lengths, kind)
        yield f"nsa_compress_grad of {lengths}, type {kind}", grad
    yield "nsa_compress_grad in fp32", in_fp32(compress_grad_case([20, 31, 100], 0))
    for absent in ("input_grad", "weight_grad"):
        case = compress_grad_case([20, 31, 100], 0, **{f"return_{absent}": False})
        yield f"nsa_compress_grad without {absent}", case
    yield "nsa_compress_infer, one token each", compress_infer_case()
    steps = compress_infer_case(actual_seq_qlen=[4, 2])
    steps.tensors["slot_mapping"] = torch.tensor([5, 5, 1, 5, 9, 1])
    yield "nsa_compress_infer, several tokens", steps
    yield "nsa_compress_infer in fp32", in_fp32(steps)
    for layout, key in (("BSND", "BSND"), ("BSND", "PA_BSND"), ("TND", "TND"), ("TND", "PA_BSND")):
        yield f"lightning_indexer {layout} {key}", indexer_case(layout, key)
        yield f"lightning_indexer {layout} {key}, a shadow", shadowed_indexer(layout, key)
        yield f"sparse_flash_attention {layout} {key}", attention_case(layout, key)
        statistics = attention_case(layout, key, return_softmax_lse=True)
        yield f"sparse_flash_attention {layout} {key}, statistics", statistics
        yield f"sliding_window_attention {layout} {key}", window_case(layout, key)
    for dtype in ("input", "float32"):
        case = indexer_case("BSND", "BSND", return_value=True, value_dtype=dtype)
        yield f"lightning_indexer, values of {dtype}", case
    yield "sparse_flash_attention of bytes", packed_attention()
    yield "sparse_flash_attention of bytes, a window", with_window(packed_attention(), 3)
    yield "sparse_flash_attention of pages of bytes, a window", paged_bytes()
    near = with_window(attention_case("TND", "TND", accuracy="fp32_scores"), -1)
    yield "sparse_flash_attention, a window", near
    yield "sparse_flash_attention in fp32, a window", in_fp32(near)
    wide = attention_case("TND", "TND", out_dtype="float32")
    yield "sparse_flash_attention to float32", wide
    yield "sparse_flash_attention in fp32", in_fp32(wide)
    for key, rows in (("BSND", (2, 20)), ("TND", (40,)), ("PA_BSND", (4, 16))):
        keys = {"key": random(*rows, 1, 40)}
        yield f"quantize_index_keys {key}", Case("quantize_index_keys", keys, {"layout_key": key})
    yield "sliding_window_attention with all tensors", whole_window()
    yield "sliding_window_attention in fp32", in_fp32(window_case("TND", "TND"))
    for layout in ("BSND", "TND"):
        grad = attention_grad(window_case(layout, layout))
        yield f"sliding_window_attention_grad {layout}", grad
        yield f"sliding_window_attention_grad {layout} in fp32", in_fp32(grad)
    yield "sliding_window_attention_grad with all tensors", whole_window_grad()
    yield from branch_grads(folder)
    yield from warm_ups()
    yield from attention_grads()
    yield from indexer_grads()
    for forward in (window_case("TND", "TND"), selected_case(3), compressed_case(folder)):
        for name in ("query", "key", "value"):
            grad = attention_grad(forward, **{f"return_{name}_grad": False})
            yield f"{grad.op} but for that of {name}", grad
    for layout in ("TND", "BSND"):
        yield f"nsa_compress_attention_infer {layout}", infer_case(layout)
        yield f"nsa_compress_attention_infer {layout} with all tensors", whole_infer(layout)
        statistics = infer_case(layout, return_softmax_lse=True, out_dtype="float32")
        yield f"nsa_compress_attention_infer {layout}, statistics", statistics
        scores = in_fp32(infer_case(layout, return_block_scores=True))
        yield f"nsa_compress_attention_infer {layout} in fp32, block scores", scores
        none = infer_case(layout, return_block_scores=True, actual_cmp_seq_kvlen=[0, 0])
        yield f"nsa_compress_attention_infer {layout}, block scores of no key", none
        causal = {"selection": "causal", "actual_sel_seq_kvlen": [340, 500]}
        case = infer_case(layout, return_block_scores=True, **causal)
        yield f"nsa_compress_attention_infer {layout}, causal selection", case
    for mode in (0, 2, 3):
        yield f"nsa_selected_attention, sparse_mode {mode}", selected_case(mode)
    yield "nsa_selected_attention to float32", selected_case(3, out_dtype="float32")
    yield "nsa_selected_attention in fp32", in_fp32(selected_case(3))
    for layout in ("TND", "BSND"):
        yield f"nsa_selected_attention_infer {layout}", selected_pages(layout)
        statistics = selected_pages(layout, return_softmax_lse=True, out_dtype="float32")
        yield f"nsa_selected_attention_infer {layout}, statistics", statistics
        yield f"nsa_selected_attention_infer {layout} in fp32", in_fp32(statistics)
        alone = one_token_each(selected_pages(layout, return_softmax_lse=True))
        yield f"nsa_selected_attention_infer {layout}, one token each", alone
    for rows in ((5,), (2, 3)):
        yield f"mla_prolog of {rows}", prolog_case("mla_prolog", folder, rows)
        yield f"indexer_prolog of {rows}", prolog_case("indexer_prolog", folder, rows)
    for op in ("mla_prolog", "indexer_prolog", "sparse_attention_pto"):
        yield f"{op} in fp32", in_fp32(torch_case(folder, op))
    for rows in ((5,), (2, 3)):
        yield f"mla_prolog of {rows}, biases and a norm", of_other_families(folder, rows)
        source = of_other_families(folder, rows)
        for name in ("w_dq", "bias_dq", "gamma_cq"):
            del source.tensors[name]
        source.tensors["query_source"] = random(*rows, len(source.tensors["w_uq_qr"]))
        yield f"mla_prolog of {rows}, of a source, biases and a norm", source
        least = {n: t for n, t in source.tensors.items() if n not in ("bias_dkv_kr", "gamma_kr")}
        yield f"mla_prolog of {rows}, of a source", Case("mla_prolog", least, {})
        last = prolog_case("indexer_prolog", folder, rows)
        last.attributes["rope_last"] = True
        yield f"indexer_prolog of {rows}, rope on the last channels", last
    keys_only = ("query_norm", "w_idx_qb", "w_idx_proj")
    yield "indexer_prolog, keys", prolog_case("indexer_prolog", folder, (5,), keys_only)
    shadowed = prolog_case("indexer_prolog", folder, (5,))
    shadowed.tensors["index_k_shadow"] = torch.ops.tamis.quantize_index_keys(
        shadowed.tensors["index_k_cache"], layout_key="PA_BSND"
    )
    yield "indexer_prolog with a shadow", shadowed
    no_weights = prolog_case("indexer_prolog", folder, (5,), ("w_idx_proj",))
    yield "indexer_prolog without weights", no_weights
    for dtype in ("bfloat16", "float16"):
        rows = torch.ops.tamis.pack_kv_rows(random(3, 256), random(3, 64))
        yield f"unpack_kv_rows to {dtype}", Case("unpack_kv_rows", {"rows": rows}, {"dtype": dtype})
    for kv_format in ("flashmla656", "flashmla584"):
        keys, how = {"latent": random(3, 256), "rope": random(3, 64)}, {"kv_format": kv_format}
        yield f"pack_kv_rows to {kv_format}", Case("pack_kv_rows", keys, how)
        rows = torch.ops.tamis.pack_kv_rows(**keys, **how)
        yield f"unpack_kv_rows of {kv_format}", Case("unpack_kv_rows", {"rows": rows}, how)
    for out in ("input", "float32"):
        merge = torch_case(folder, "merge_attention_states")
        merge.attributes["out_dtype"] = out
        yield f"merge_attention_states to {out}", merge
