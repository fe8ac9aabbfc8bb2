"""What a decoding step of many layers costs beside its kernels, from PyTorch.

    python bench/decode.py [LAYERS [CONTEXT [STEPS]]]     (61 131072 16 by default)

Every layer calls lightning_indexer and sparse_flash_attention at the sizes of DeepSeek-V3.2: 128
heads, 2048 selected keys, pages of 64. Layers share their memory, so that the machine need not hold
12 GB. Two ways in turns: plans that the loop holds (`tamis.torch.plan`), run in order, and
operators (`out` overloads). Prints how these came by their plans, and the time outside kernels.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

import tamis.torch
from tamis.torch import plan_counts

PAGE = 64


def main(layers: int = 61, context: int = 131072, steps: int = 16) -> None:
    """Print one line for each step, then the medians."""
    pages = -(-(context + steps) // PAGE)

    def numbers(*shape: int) -> Any:
        return torch.rand(shape, dtype=torch.bfloat16) - 0.5

    lengths = torch.tensor([context])
    table = torch.randperm(pages, dtype=torch.int32)[None]
    index_query, weights = numbers(1, 1, 64, 128), numbers(1, 1, 64)
    index_keys = numbers(pages, PAGE, 1, 128)
    query, query_rope = numbers(1, 1, 128, 512), numbers(1, 1, 128, 64)
    latents, rope_keys = numbers(pages, PAGE, 1, 512), numbers(pages, PAGE, 1, 64)
    indices = torch.empty(1, 1, 1, 2048, dtype=torch.int32)
    out = torch.empty_like(query)
    selection: dict[str, Any] = {
        "actual_seq_lengths_key": lengths,
        "block_table": table,
        "layout_key": "PA_BSND",
        "sparse_indices": indices,
    }
    attention: dict[str, Any] = {
        "block_table": table,
        "actual_seq_lengths_kv": lengths,
        "query_rope": query_rope,
        "key_rope": rope_keys,
        "scale_value": 192**-0.5,
        "layout_kv": "PA_BSND",
        "out": out,
    }
    select = tamis.torch.plan(
        "lightning_indexer", query=index_query, key=index_keys, weights=weights, **selection
    )
    attend = tamis.torch.plan(
        "sparse_flash_attention", query=query, key=latents, sparse_indices=indices, **attention
    )

    def planned() -> None:
        select.run_in_order([index_query, index_keys, weights], [indices])
        attend.run_in_order([query, latents, indices, query_rope, rope_keys], [out])

    def called() -> None:
        torch.ops.tamis.lightning_indexer.out(index_query, index_keys, weights, **selection)
        torch.ops.tamis.sparse_flash_attention.out(query, latents, indices, **attention)

    ways: dict[str, Callable[[], None]] = {"plans held": planned, "operators called": called}
    outside: dict[str, list[float]] = {way: [] for way in ways}  # of steps but the first
    with torch.no_grad():
        for step in range(steps):
            lengths += 1
            for way, layer in ways.items():
                first = plan_counts()
                begin = time.perf_counter()
                if way == "plans held":
                    select.renew(actual_seq_lengths_key=lengths)
                    attend.renew(actual_seq_lengths_kv=lengths)
                for _ in range(layers):
                    before = plan_counts()
                    layer_begin = time.perf_counter()
                    layer()
                    spent = time.perf_counter() - layer_begin
                    kernels = plan_counts().kernel_seconds - before.kernel_seconds
                    if step > 0:
                        outside[way].append((spent - kernels) * 1e6)
                counts = plan_counts()
                print(
                    f"step {step}, {way}: {(time.perf_counter() - begin) * 1e3:.1f} ms; plans made "
                    f"{counts.made - first.made}, renewed {counts.renewed - first.renewed}, "
                    f"reused {counts.reused - first.reused}"
                )
    for way, all_spent in outside.items():
        print(f"outside kernels, {way}, median: {statistics.median(all_spent):.1f} us a layer")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
