"""`python -m tamis.npu_compat SCRIPT [ARGUMENT...]`: runs a script for the device on this CPU.

As `import tamis.npu_compat` and `enable(available=True)` before its first line. `-m MODULE` in
place of SCRIPT runs a module.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

import tamis.npu_compat
from tamis.npu_compat.options import ACCURACIES, GRAPH_BACKENDS, WEIGHT_FORMATS


def main(arguments: list[str]) -> None:
    """Runs the script with the arguments that follow it."""
    parser = argparse.ArgumentParser(
        prog="python -m tamis.npu_compat",
        description="Run a script that was written for the device on this CPU.",
    )
    parser.add_argument("--strict", action="store_true", help="only what the documents allow")
    parser.add_argument("--accuracy", choices=ACCURACIES)
    parser.add_argument("--weight-format", choices=WEIGHT_FORMATS)
    parser.add_argument("--graph-backend", choices=GRAPH_BACKENDS)
    parser.add_argument("--device-name", help="what get_device_name() answers")
    parser.add_argument("-m", dest="module", action="store_true", help="SCRIPT names a module")
    parser.add_argument("script", metavar="SCRIPT")
    parser.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    tamis.npu_compat.enable(
        available=True,
        strict=given.strict,
        accuracy=given.accuracy,
        weight_format=given.weight_format,
        graph_backend=given.graph_backend,
        device_name=given.device_name,
    )
    sys.argv = [given.script, *given.arguments]
    if given.module:
        sys.path.insert(0, "")
        runpy.run_module(given.script, run_name="__main__", alter_sys=True)
        return
    if not Path(given.script).exists():
        parser.error(f"SCRIPT: expected a file, got {given.script}")
    sys.path[0] = str(Path(given.script).resolve().parent)
    runpy.run_path(given.script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
