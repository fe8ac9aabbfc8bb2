"""A step of training of a layer: Native Sparse Attention beside dense attention by PyTorch.

    python bench/training_steps.py [--tokens 4096 8192 16384] [--threads 1] [--dtype float32]
    python bench/training_steps.py --repeat 1000 --tokens 128

Both layers have projections of 16 heads of 128 channels, 4 heads of keys and values, 1024 hidden:
`tamis.nn.NativeSparseAttention` with the paper's windows, blocks and window branch, and a dense
layer around `scaled_dot_product_attention`. A step is forward, backward, and SGD. They take turns;
seconds are of the process on one thread. `MiB` is what a step takes at its peak beside what was
resident before.

`--repeat` makes as many steps of Tamis's layer, and fails if the process grows by more than 1 %
after the first tenth of them.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
from harness.growth import forget_peak, resident
from torch import Tensor, nn
from torch.nn import functional

from tamis.nn import NativeSparseAttention

HIDDEN, HEADS, KV_HEADS, DIM = 1024, 16, 4, 128
GROWTH = 0.01  # of the resident memory; blocks of PyTorch's allocator come and go


class Dense(nn.Module):
    """Causal attention to all keys."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.qkv_proj = nn.Linear(HIDDEN, (HEADS + 2 * KV_HEADS) * DIM, bias=False, dtype=dtype)
        self.o_proj = nn.Linear(HEADS * DIM, HIDDEN, bias=False, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states [T, H]."""
        heads = self.qkv_proj(x).unflatten(-1, (-1, DIM)).transpose(0, 1)[None]
        query, key, value = heads.split((HEADS, KV_HEADS, KV_HEADS), 1)
        out = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=True
        )
        hidden: Tensor = self.o_proj(out[0].transpose(0, 1).flatten(1))
        return hidden


class Native(nn.Module):
    """Tamis's layer, of one sequence."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.layer = NativeSparseAttention(
            hidden=HIDDEN, heads=HEADS, kv_heads=KV_HEADS, qk_dim=DIM, v_dim=DIM, dtype=dtype
        ).requires_grad_()

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states [T, H]."""
        hidden: Tensor = self.layer(x, [len(x)])
        return hidden


def step(layer: nn.Module, x: Tensor) -> None:
    """Forward, backward, and a change of the weights."""
    layer(x).float().square().mean().backward()
    with torch.no_grad():
        for weight in layer.parameters():
            if weight.grad is not None:
                weight -= 1e-4 * weight.grad
                weight.grad = None


def times(layers: dict[str, nn.Module], x: Tensor, rounds: int) -> dict[str, tuple[float, int]]:
    """The median of a step's seconds, and the bytes of its first."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    extra: dict[str, int] = {}
    seconds: dict[str, list[float]] = {name: [] for name in layers}
    for name, layer in layers.items():
        forget_peak()
        before = resident("VmRSS")
        step(layer, x)
        extra[name] = resident("VmHWM") - before
    for _ in range(rounds):
        for name, layer in layers.items():
            begin = clock()
            step(layer, x)
            seconds[name].append(clock() - begin)
    return {name: (median(seconds[name]), extra[name]) for name in layers}


def repeat(layer: nn.Module, x: Tensor, steps: int) -> bool:
    """Whether the process keeps its size over as many steps."""
    begin = 0
    for number in range(steps):
        if number == max(steps // 10, 1):
            begin = resident("VmRSS")
        step(layer, x)
    end = resident("VmRSS")
    print(f"{steps} steps: {begin / 2**20:.1f} MiB after a tenth, {end / 2**20:.1f} at the end")
    return end <= (1 + GROWTH) * begin


def main() -> int:
    """Print a line for every length."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, nargs="+", default=[4096, 8192, 16384])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeat", type=int)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = getattr(torch, options.dtype)
    native = Native(dtype)
    if options.repeat is not None:
        x = torch.randn(options.tokens[0], HIDDEN, dtype=dtype)
        return 0 if repeat(native, x, options.repeat) else 1
    print(f"{'tokens':>7} {'dense s':>9} {'MiB':>6} {'NSA s':>9} {'MiB':>6} {'ratio':>6}")
    for tokens in options.tokens:
        x = torch.randn(tokens, HIDDEN, dtype=dtype)
        found = times({"dense": Dense(dtype), "native": native}, x, options.rounds)
        cells = " ".join(f"{took:9.3f} {extra / 2**20:6.0f}" for took, extra in found.values())
        print(f"{tokens:7} {cells} {found['dense'][0] / found['native'][0]:6.2f}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
