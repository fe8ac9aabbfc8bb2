"""A small model of the GLM-5 family, trained here, then run as it comes and with Tamis.

    python train_small.py [--minutes 5] [--prompt 4000] [--text FILE...]

Heads and latents have the sizes of the large model (64 heads, latent 512, rope 64), the model three
layers; a token is a byte. It learns from the licence texts of this machine with plain PyTorch, is
saved, and loaded twice, in processes of their own: with transformers' attention and with Tamis's.
Both read the same long prompt and go on writing. Printed: the texts, tokens per second, and how
much memory each process took at most. Needs `pip install 'tamis[transformers]'`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

LICENCES = Path("/usr/share/common-licenses")
LENGTH, BATCH = 256, 8  # of training
NEW = 100  # tokens that are written


def configuration() -> Any:
    """Three layers, of which the last uses what the one before has selected."""
    return transformers.GlmMoeDsaConfig(
        vocab_size=256,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=3,
        mlp_layer_types=["dense"] * 3,
        indexer_types=["full", "full", "shared"],
        num_attention_heads=64,
        num_key_value_heads=64,
        q_lora_rank=256,
        kv_lora_rank=512,
        qk_nope_head_dim=64,
        qk_rope_head_dim=64,
        v_head_dim=64,
        index_n_heads=32,
        index_head_dim=128,
        index_topk=1024,
        max_position_embeddings=32768,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )


def read(files: list[Path]) -> Tensor:
    """The bytes of files, one after the other."""
    text = b"\n".join(path.read_bytes() for path in files)
    return torch.frombuffer(bytearray(text), dtype=torch.uint8).long()


def train(model: Any, text: Tensor, minutes: float) -> None:
    """Next bytes of random places. In prompts of this length everything is selected."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    random = torch.Generator().manual_seed(0)
    model.set_attn_implementation("sdpa")
    model.train()
    begin, step = time.monotonic(), 0
    while (spent := time.monotonic() - begin) < 60 * minutes:
        for group in optimizer.param_groups:  # from warm to cold
            group["lr"] = 1e-3 * min(1, (step + 1) / 40) * max(0.05, 1 - spent / (60 * minutes))
        starts = torch.randint(len(text) - LENGTH, (BATCH,), generator=random).tolist()
        ids = torch.stack([text[start : start + LENGTH] for start in starts])
        loss = model(ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}, {spent:.0f} s: {loss.item() / 0.6931:.2f} bits a byte", flush=True)
        step += 1
    model.eval()


def write(folder: str, implementation: str, prompt: Tensor) -> None:
    """Load the model, read the prompt in chunks, write greedily; print what it took."""
    if implementation == "tamis":
        import tamis.transformers
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation=implementation, dtype=torch.float32
    )
    base = start_of_peak()
    begin = time.perf_counter()
    if implementation == "tamis":
        cache: Any = tamis.transformers.Cache(model, batch=1, tokens=len(prompt) + NEW)
    else:
        cache = transformers.DynamicCache(config=model.config)
    with torch.no_grad():
        for chunk in prompt[None].split(512, dim=1):
            token = model(chunk, cache=cache).logits[:, -1:].argmax(dim=-1)
        read_seconds = time.perf_counter() - begin
        written = [token]
        begin = time.perf_counter()
        while len(written) < NEW:
            token = model(token, cache=cache).logits[:, -1:].argmax(dim=-1)
            written.append(token)
    write_seconds = time.perf_counter() - begin
    text = bytes(torch.cat(written, dim=1)[0].tolist()).decode(errors="replace")
    print(f"--- {implementation}: {text!r}")
    read_rate, write_rate = len(prompt) / read_seconds, (NEW - 1) / write_seconds
    memory = megabytes("VmHWM") - base
    print(
        f"    reading {read_rate:.0f} tokens a second, writing {write_rate:.1f}; "
        f"at most {memory:.0f} MB above the model"
    )


def megabytes(field: str) -> float:
    """What Linux says of this process's memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split(f"{field}:")[1].split()[0]) / 1024


def start_of_peak() -> float:
    """Memory now. Its peak (VmHWM) starts here."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return megabytes("VmRSS")


def main() -> None:
    """Train, save, and write twice."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--minutes", type=float, default=5, help="of training")
    parser.add_argument("--prompt", type=int, default=4000, help="bytes that are read first")
    parser.add_argument("--text", type=Path, nargs="+", help="what it learns")
    parser.add_argument("--write", nargs=2, metavar=("FOLDER", "IMPLEMENTATION"), help="only that")
    options = parser.parse_args()
    files = options.text or sorted(p for p in LICENCES.iterdir() if not p.is_symlink())
    text = read(files)
    prompt = text[: options.prompt]
    if options.write:
        folder, implementation = options.write
        write(folder, implementation, prompt)
        return
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(configuration())
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{count / 1e6:.1f} million weights, {len(text)} bytes of {len(files)} files")
    train(model, text, options.minutes)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        print(f"--- the prompt ends: {bytes(prompt[-120:].tolist()).decode(errors='replace')!r}")
        for implementation in ("sdpa", "tamis"):
            command = [sys.executable, *sys.argv, "--write", folder, implementation]
            subprocess.run(command, check=True, stdout=sys.stdout)


if __name__ == "__main__":
    main()
