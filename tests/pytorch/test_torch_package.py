"""What an installed package says that has no operators for PyTorch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_package_built_without_torch_says_in_one_line_what_to_do(tmp_path: Path) -> None:
    installed = shutil.copytree(ROOT / "python/tamis", tmp_path / "site" / "tamis")
    environment = os.environ | {"PYTHONPATH": str(installed.parent), "TAMIS_TORCH_LIBRARY": ""}
    command = [sys.executable, "-c", "import tamis.torch"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    start = f"FileNotFoundError: libtamis_torch.so: not found at {installed}/lib/libtamis_torch.so"
    assert line.startswith(start)
    assert "install tamis again from its source where torch 2.10 or later is installed" in line
