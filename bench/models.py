"""A model of transformers as it comes, with plain torch, and with Tamis: prefill, decoding, memory.

    python bench/models.py [--size mid|wide] [--context 4096] [--threads 1] [--dtype bfloat16]

Two layers of DeepSeek-V3.2's shape with random weights: `mid` has 16 heads, 16 index heads
and selects 1024 tokens, `wide` 32, 64 and 2048; latent 512, rope 64. `eager` and `sdpa` are stock;
`gather` is what a careful user would write in plain torch (bench/gather.py); `tamis` has a
`tamis.transformers.Cache`, `dynamic` transformers' own cache with Tamis.

All take turns in one process: a chunk of the prompt each, then a token each. `--filled` reads the
prompt with Tamis alone and copies the cache, where the prefill of the others would take too long.
Peaks of memory (`--memory`) are of a process for each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import gather
import torch
import transformers
from torch import Tensor

import tamis.transformers
from tamis.nn import mla_sparse_attention
from tamis.transformers import _attention, _indexer

SIZES = {"mid": (16, 16, 1024), "wide": (32, 64, 2048)}
STOCK = ("eager", "sdpa")
WAYS = (*STOCK, "gather", "tamis", "dynamic")


def model_of(size: str, dtype: str) -> Any:
    """The model, the same in every process."""
    heads, index_heads, count = SIZES[size]
    torch.manual_seed(0)
    config = transformers.DeepseekV32Config(
        vocab_size=256,
        hidden_size=1024,
        intermediate_size=2048,
        num_hidden_layers=2,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        q_lora_rank=512,
        index_n_heads=index_heads,
        index_topk=count,
        pad_token_id=None,
    )
    return transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


def megabytes(name: str) -> float:
    """What Linux says of this process's memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split(f"{name}:")[1].split()[0]) / 1024


@dataclass
class Runner:
    """One way of running the model, and its seconds: of calls, and of selection and attention."""

    model: Any
    way: str
    room: int
    seconds: list[float] = field(default_factory=list)
    core: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """An empty cache."""
        if self.way == "tamis":
            self.cache: Any = tamis.transformers.Cache(self.model, 1, self.room)
        else:
            self.cache = transformers.DynamicCache(config=self.model.config)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        plain = self.way == "gather"
        select = gather.select if plain else _indexer.select
        attend = gather.attend if plain else mla_sparse_attention
        self.core.append(0.0)

        def timed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
            def call(*given: Any, **named: Any) -> Tensor:
                begin = time.perf_counter()
                found = function(*given, **named)
                self.core[-1] += time.perf_counter() - begin
                return found

            return call

        with (
            mock.patch.object(_indexer, "select", timed(select)),
            mock.patch.object(_attention, "mla_sparse_attention", timed(attend)),
        ):
            yield

    def __call__(self, ids: Tensor) -> Tensor:
        """The next token."""
        self.model.set_attn_implementation(self.way if self.way in STOCK else "tamis")
        with torch.no_grad(), self._timed():
            begin = time.perf_counter()
            logits = self.model(ids, cache=self.cache, use_cache=True).logits
            self.seconds.append(time.perf_counter() - begin)
        return logits[:, -1:].argmax(dim=-1)

    def take(self, other: Runner) -> None:
        """The cache of one that read the prompt."""
        for layer, read in enumerate(other.cache.layers):
            self.cache.update(read.keys.clone(), read.values.clone(), layer)
            self.cache.update_indexer(read.indexer_keys.clone(), layer)


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds of the prompt, of its last chunk's core, of a step, and of a step's core."""
    model = model_of(options.size, options.dtype)
    ids = torch.randint(256, (1, options.context))
    room = options.context + options.steps + 1
    runners = [Runner(model, way, room) for way in options.ways]
    chunks = ids.split(options.chunk, dim=1)
    if options.filled:
        reader = Runner(model, "dynamic", room)
        for chunk in chunks[:-1]:
            reader(chunk)
        for runner in runners:
            runner.take(reader)
        del reader
        chunks = chunks[-1:]
    for chunk in chunks:
        tokens = [runner(chunk) for runner in runners]
    for _ in range(options.steps):
        tokens = [runner(token) for runner, token in zip(runners, tokens, strict=True)]
    parts = len(chunks)
    return {
        r.way: {
            "prefill_s": sum(r.seconds[:parts]),
            "chunk_s": r.seconds[parts - 1],
            "chunk_core_s": r.core[parts - 1],
            "step_ms": 1e3 * statistics.median(r.seconds[parts:]),
            "step_core_ms": 1e3 * statistics.median(r.core[parts:]),
        }
        for r in runners
    }


def peak(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Megabytes above the model, of the one way that is asked for."""
    (way,) = options.ways
    model = model_of(options.size, options.dtype)
    ids = torch.randint(256, (1, options.context))
    Runner(model, way, 64)(ids[:, :32])
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    base = megabytes("VmRSS")
    runner = Runner(model, way, options.context + options.steps + 1)
    for chunk in ids.split(options.chunk, dim=1):
        token = runner(chunk)
    for _ in range(options.steps):
        token = runner(token)
    return {way: {"memory_mb": megabytes("VmHWM") - base}}


def peaks(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The same of all, in a process each."""
    found: dict[str, dict[str, float]] = {}
    for way in options.ways:
        command = [sys.executable, *sys.argv, "--ways", way, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print a line for every way, and how many times Tamis's each takes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="mid")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--filled", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        found = peak(options) if options.json else peaks(options)
    else:
        found = measure(options)
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.size}, {options.dtype}, {options.context} tokens, threads {options.threads}")
    for way, values in found.items():
        shown = (
            f"{name} {value:8.2f} ({value / found['tamis'][name] if 'tamis' in found else 0:.2f}x)"
            for name, value in values.items()
            if value > 0
        )
        print(f"{way:8}", "  ".join(shown))


if __name__ == "__main__":
    main()
