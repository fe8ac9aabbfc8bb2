"""The decoding loop of a DeepSeek-style model, in Python.

    python decode.py [LAYERS [CONTEXT [STEPS]]]

In every layer the lightning indexer selects keys and sparse attention looks at them. One plan per
operator; a step renews both, and all layers run them on tensors of their own. The model is
61 131072 64: 12 GB of caches. The queries here are random numbers.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import ml_dtypes
import numpy as np

import tamis

HEADS, LATENT, ROPE = 128, 512, 64  # of attention
INDEX_HEADS, INDEX_DIM, TOP_K = 64, 128, 2048
PAGE = 64  # tokens


def main(layers: int = 4, context: int = 8192, steps: int = 64) -> None:
    """Decode `steps` tokens after `context`."""
    pages = -(-(context + steps) // PAGE)
    random = np.random.default_rng(1)

    def numbers(*shape: int) -> Any:
        few = random.uniform(-1, 1, 1 << 16).astype(ml_dtypes.bfloat16)
        return np.resize(few, shape)

    # The caches of a layer, in pages, and what its prologs would write into a step's tensors.
    model = [
        {
            "select": {
                "query": numbers(1, 1, INDEX_HEADS, INDEX_DIM),
                "key": numbers(pages, PAGE, 1, INDEX_DIM),
                "weights": numbers(1, 1, INDEX_HEADS),
            },
            "attend": {
                "query": numbers(1, 1, HEADS, LATENT),
                "query_rope": numbers(1, 1, HEADS, ROPE),
                "key": numbers(pages, PAGE, 1, LATENT),
                "key_rope": numbers(pages, PAGE, 1, ROPE),
            },
        }
        for _ in range(layers)
    ]
    # One sequence, whose pages lie in any order. The table has its full width from the start, so
    # that its shape stays what the plans know.
    table = random.permutation(pages).astype(np.int32)[None]
    length = np.array([context])
    selected = np.empty((1, 1, 1, TOP_K), np.int32)
    out = np.empty((1, 1, HEADS, LATENT), ml_dtypes.bfloat16)

    # Shapes, attributes, lengths and pages, for all layers.
    selecting = tamis.plan(
        "lightning_indexer",
        **model[0]["select"],
        actual_seq_lengths_key=length,
        block_table=table,
        layout_key="PA_BSND",
        sparse_count=TOP_K,
    )
    attending = tamis.plan(
        "sparse_flash_attention",
        **model[0]["attend"],
        sparse_indices=selected,
        actual_seq_lengths_kv=length,
        block_table=table,
        layout_kv="PA_BSND",
        scale_value=192**-0.5,
    )
    print(f"select: {selecting.explanation}\nattend: {attending.explanation}")

    checksum = 0.0
    begin = time.perf_counter()
    for _ in range(steps):
        length += 1  # here a model appends the new token's rows to the caches of every layer
        selecting.renew(actual_seq_lengths_key=length)
        attending.renew(actual_seq_lengths_kv=length)
        for layer in model:
            selecting.run(**layer["select"], sparse_indices=selected)
            attending.run(**layer["attend"], sparse_indices=selected, out=out)
            checksum += float(out[0, 0, 0, 0])
    seconds = time.perf_counter() - begin
    print(
        f"{steps} steps of {layers} layers at {length[0]} tokens: "
        f"{seconds * 1e3 / steps:.2f} ms a step, sum {checksum:.6f}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
