"""A model of transformers as it comes and with Tamis: prefill, decoding, memory.

    python bench/models.py [--size mid|wide] [--context 4096] [--threads 1] [--rounds 2]

Two layers of DeepSeek-V3.2's shape with random weights in bf16: `mid` has 16 heads, 16 index heads
and selects 1024 tokens, `wide` 32, 64 and 2048; latent 512, rope 64. The prompt is read in chunks
of 512 tokens, transformers' best case. Every implementation has a process of its own, so that its
peak of memory is its own; processes take turns, as often as `--rounds` says.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SIZES = {"mid": (16, 16, 1024), "wide": (32, 64, 2048)}
CHUNK = 512
WAYS = ("eager", "sdpa", "tamis")


def model_of(size: str, implementation: str) -> Any:
    """The model, the same in every process."""
    import torch
    import transformers

    if implementation == "tamis":
        import tamis.transformers  # noqa: F401
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
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.set_attn_implementation(implementation)
    return model.eval()


def megabytes(field: str) -> float:
    """What Linux says of this process's memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split(f"{field}:")[1].split()[0]) / 1024


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of the prefill, milliseconds of a step, megabytes above the model."""
    import torch
    import transformers

    torch.set_num_threads(options.threads)
    model = model_of(options.size, options.way)
    ids = torch.randint(256, (1, options.context))
    with torch.no_grad():
        model(ids[:, :32])
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        base = megabytes("VmRSS")
        cache = transformers.DynamicCache(config=model.config)
        begin = time.perf_counter()
        for chunk in ids.split(CHUNK, dim=1):
            token = model(chunk, cache=cache).logits[:, -1:].argmax(dim=-1)
        prefill = time.perf_counter() - begin
        steps = []
        for _ in range(options.steps):
            begin = time.perf_counter()
            token = model(token, cache=cache).logits[:, -1:].argmax(dim=-1)
            steps.append(time.perf_counter() - begin)
    return {
        "prefill_s": prefill,
        "step_ms": statistics.median(steps) * 1e3,
        "memory_mb": megabytes("VmHWM") - base,
    }


def main() -> None:
    """Print a line for every implementation: medians of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--size", choices=SIZES, default="mid")
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--way", choices=WAYS, help="measure it here, once, and print JSON")
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options)))
        return
    found: dict[str, list[dict[str, float]]] = {way: [] for way in options.ways}
    for _ in range(options.rounds):
        for way in options.ways:
            command = [sys.executable, *sys.argv, "--way", way]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    print(f"{options.size}, {options.context} tokens, threads {options.threads}")
    for way, rounds in found.items():
        prefill, step, memory = (
            statistics.median(r[name] for r in rounds)
            for name in ("prefill_s", "step_ms", "memory_mb")
        )
        print(f"{way:6} prefill {prefill:7.2f} s, step {step:8.1f} ms, {memory:6.0f} MB above")


if __name__ == "__main__":
    main()
