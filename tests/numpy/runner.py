"""Runs calls through the `tamis` binary."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from case_file import Real, Tensor, read_tensors, write_case
from formulation import Floats, Ints
from precision import FP32, REFERENCE, Family

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("TAMIS_BINARY", ROOT / "build/release/bin/tamis"))


@dataclass(frozen=True)
class Implementation:
    """One way to run a problem, as the command line names it."""

    name: str
    level: str = ""

    @property
    def family(self) -> Family:
        """How precisely it evaluates."""
        return REFERENCE if self.name == "reference" else FP32

    @property
    def options(self) -> list[str]:
        """Of `tamis run`."""
        return ["--impl", self.name] + (["--level", self.level] if self.level else [])

    def __str__(self) -> str:
        """Name of the parameter in test names."""
        return self.level or self.name


def info() -> dict[str, Any]:
    """What `tamis info --json` says."""
    text = subprocess.run([BINARY, "info", "--json"], check=True, capture_output=True).stdout
    found: dict[str, Any] = json.loads(text)
    return found


def implementations() -> list[Implementation]:
    """All that this machine has."""
    return [Implementation("reference")] + [Implementation("cpu", i) for i in info()["levels"]]


@dataclass
class Outputs:
    """The tensors that a run wrote."""

    tensors: dict[str, Tensor]

    def real(self, name: str) -> Real:
        """An output of whatever floats."""
        tensor = self.tensors[name]
        return tensor if isinstance(tensor, Real) else Real(self.floats(name), "float32")

    def floats(self, name: str) -> Floats:
        """A float32 output, widened."""
        tensor = self.tensors[name]
        assert not isinstance(tensor, Real)
        assert tensor.dtype == np.float32
        return tensor.astype(np.float64)

    def ints(self, name: str) -> Ints:
        """An int32 output, widened."""
        tensor = self.tensors[name]
        assert not isinstance(tensor, Real)
        assert tensor.dtype == np.int32
        return tensor.astype(np.int64)

    def array(self, name: str) -> Floats:
        """Any output, as float64."""
        tensor = self.tensors[name]
        return tensor.values if isinstance(tensor, Real) else tensor.astype(np.float64)

    def same_bits(self, other: Outputs) -> bool:
        """Whether two runs wrote the same, bit for bit."""
        return self.tensors.keys() == other.tensors.keys() and all(
            _bytes(tensor) == _bytes(other.tensors[name]) for name, tensor in self.tensors.items()
        )


def _bytes(tensor: Tensor) -> bytes:
    return tensor.to_bytes() if isinstance(tensor, Real) else tensor.tobytes()


@dataclass
class Runner:
    """Writes cases into a folder, runs them, and remembers what was run."""

    folder: Path
    operators: set[str] = field(default_factory=set)
    levels: set[str] = field(default_factory=set)

    def run(
        self,
        op: str,
        implementation: Implementation,
        tensors: Mapping[str, Tensor],
        attributes: Mapping[str, object],
        *options: str,
    ) -> Outputs:
        """One call that must succeed."""
        case, out = self.folder / "case.safetensors", self.folder / "out.safetensors"
        out.unlink(missing_ok=True)
        write_case(case, op, tensors, attributes)
        command: list[str | Path] = [
            BINARY,
            "run",
            case,
            "-o",
            out,
            *implementation.options,
            *options,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{op}: exit {done.returncode}: {done.stderr}"
        self.operators.add(op)
        if implementation.level:
            self.levels.add(implementation.level)
        return Outputs(read_tensors(out))
