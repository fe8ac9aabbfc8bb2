"""Small models of both engines, vLLM processes that see this tree as an installed package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hf_models
import torch

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
# What vLLM reads of the published configurations, where transformers has other names or defaults:
# dense layers first, routing with a bias, GLM's rope in the indexer and its shared selections.
PUBLISHED: dict[str, dict[str, Any]] = {
    "deepseek_v32": {},
    "glm_moe_dsa": {"index_topk_pattern": "FSF", "indexer_rope_interleave": True},
}
ROUTED = {"first_k_dense_replace": 1, "topk_method": "noaux_tc", "scoring_func": "sigmoid"}
PROMPTS = [hf_models.tokens(1, 20 + 9 * seed, seed)[0].tolist() for seed in range(8)]


def make(family: str) -> Any:
    """A model of transformers with random weights, the same each time."""
    return hf_models.make(family, **ROUTED | PUBLISHED[family])


def expected(model: Any) -> list[list[int]]:
    """The greedy continuations that transformers' eager attention gives."""
    found = []
    for ids in PROMPTS:
        model.set_attn_implementation("eager")
        with torch.no_grad():
            whole = model.generate(torch.tensor([ids]), max_new_tokens=64, do_sample=False)
        found.append(whole[0, len(ids) :].tolist())
    return found


def install(folder: Path) -> None:
    """The entry points of pyproject.toml, where Python looks for those of installed packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    information = folder / "tamis-0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tamis\nVersion: 0\n")
    lines: list[str] = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")


@dataclass
class Run:
    """What a process of vLLM came to.

    `rounds` has for each round and prompt the tokens, and how many were cached; None of a process
    that failed. `said` is all that it printed.
    """

    rounds: list[list[tuple[list[int], int]]] | None
    said: str


def vllm(
    model: Path, installed: Path, environment: dict[str, str] | None = None, **options: Any
) -> Run:
    """Run generate.py with the plugin that `install` has put into a folder."""
    paths = [str(installed), str(ROOT / "python")]
    variables = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_CI_ENV": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(HERE / "generate.py"), str(model)]
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "rounds.json"
        command += [json.dumps(PROMPTS), json.dumps(options), str(written)]
        done = subprocess.run(
            command,
            env=variables | (environment or {}),
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        ended = done.returncode == 0
        return Run(json.loads(written.read_text(encoding="utf-8")) if ended else None, said)
