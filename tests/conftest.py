"""Tests of what this machine lacks are not collected."""

from __future__ import annotations

import importlib.util
import os

NEEDS = {
    "pytorch": ("torch",),
    "pytorch/test_train_models.py": ("safetensors", "tqdm"),
    "pytorch/test_train_run.py": ("matplotlib", "safetensors", "tqdm"),
    "peers": ("fla", "native_sparse_attention_pytorch", "triton"),
    "hf": ("torch", "transformers"),
    "engines": ("torch", "vllm"),
}
collect_ignore = [
    path
    for path, packages in NEEDS.items()
    if not all(importlib.util.find_spec(package) for package in packages)
]
# What takes minutes, and needs root: see .ci/scheduled.
if os.environ.get("TAMIS_TEST_DISTRIBUTED") != "long":
    collect_ignore_glob = ["distributed/test_long_*.py"]
