"""Checks a wheel and the sources beside it, as a person meets them who has nothing else.

What the wheel holds and what its binaries want from the system, that pip installs it, that the
README's Python runs; with `--torch`, that PyTorch loads its operators from it, and that a model of
transformers generates. Of the sources, that they hold all that the tree does. What pip makes of
sources is checked by check_pip.py.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

from check_docs import ROOT, blocks_of

SYSTEM = {"libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "libpthread.so.0"}
Versions = dict[str, tuple[int, ...]]
GLIBC: Versions = {"GLIBC": (2, 34)}
# PyTorch brings these; the runtime is the one that goes with glibc 2.34 (gcc 11).
TORCH = {"libtamis.so", "libtorch_cpu.so", "libstdc++.so.6"}
CXX: Versions = {"GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13)}
# What each binary may want beyond the system: libraries, and versions of symbols.
BINARIES: dict[str, tuple[set[str], Versions]] = {
    "lib/libtamis.so": (SYSTEM, GLIBC),
    "bin/tamis": (SYSTEM, GLIBC),
    "lib/libtamis_torch.so": (SYSTEM | TORCH, GLIBC | CXX),
}
# Beside the package's Python, in any order: what a package that was built from nothing lacks.
HOLDS = (
    *(f"tamis/{binary}" for binary in BINARIES),
    "tamis/py.typed",
    "tamis-{version}.dist-info/entry_points.txt",
    "tamis-{version}.dist-info/licenses/LICENSE",
    "tamis-{version}.dist-info/licenses/licenses/CLI11.txt",
    "tamis-{version}.dist-info/licenses/licenses/nlohmann-json.txt",
)
# A program of transformers: a model is saved, loaded with Tamis's attention, and generates.
GENERATE = """
import tempfile, torch, transformers
import tamis.transformers

torch.manual_seed(0)
config = transformers.GlmMoeDsaConfig(
    vocab_size=64, hidden_size=64, intermediate_size=64, moe_intermediate_size=32,
    num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2, q_lora_rank=32,
    kv_lora_rank=64, qk_rope_head_dim=16, qk_nope_head_dim=16, v_head_dim=16, index_n_heads=8,
    index_head_dim=32, index_topk=16, n_routed_experts=4, num_experts_per_tok=2,
    pad_token_id=None, bos_token_id=None, eos_token_id=None,
)
ids = torch.randint(64, (1, 40))
with tempfile.TemporaryDirectory() as folder:
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    load = transformers.AutoModelForCausalLM.from_pretrained
    written = [
        load(folder, attn_implementation=name, dtype=torch.float32).generate(
            ids, do_sample=False, max_new_tokens=16
        )
        for name in ("eager", "tamis")
    ]
assert torch.equal(*written), written
"""
VERSIONED = re.compile(r"\((\w+?)_([0-9.]+)\)")
NEEDED = re.compile(r"NEEDED\s+(\S+)")


def demands(dump: str, libraries: set[str], newest: Versions) -> list[str]:
    """What `objdump -pT` shows that the system may lack."""
    found = [f"needs {name}" for name in NEEDED.findall(dump) if name not in libraries]
    for line in dump.splitlines():
        symbol = line.split()[-1] if line.split() else ""
        for family, version in VERSIONED.findall(line):
            if family not in ("GLIBC", "GLIBCXX", "CXXABI"):
                continue
            if family not in newest:
                found.append(f"{symbol} wants the C++ runtime")
            elif tuple(int(part) for part in version.split(".")) > newest[family]:
                found.append(f"{symbol} wants {family} {version}")
        if re.match(r".*\*UND\*.*\s_?Py[A-Z_]\w*$", line):
            found.append(f"{symbol} is of CPython")
    return found


def check_binaries(folder: Path) -> list[str]:
    """Complaints about the native files of an unpacked wheel."""
    complaints = []
    for name, (libraries, newest) in BINARIES.items():
        command: list[str | Path] = ["objdump", "-pT", folder / "tamis" / name]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        complaints += [f"{name}: {line}" for line in demands(done.stdout, libraries, newest)]
    return complaints


def run(command: list[str | Path], folder: Path, **changes: str) -> str | None:
    """What a failing command printed, or None."""
    hidden = ("PYTHONPATH", "TAMIS_LIBRARY", "TAMIS_BINARY")
    environment = {n: value for n, value in os.environ.items() if n not in hidden} | changes
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else f"{done.stdout}{done.stderr}"


def version() -> str:
    """The version of the tree."""
    return (ROOT / "VERSION").read_text(encoding="utf-8").strip()


def check_contents(names: set[str]) -> list[str]:
    """Complaints about the files of a wheel."""
    wanted = {name.format(version=version()) for name in HOLDS}
    package = ROOT / "python"
    wanted |= {p.relative_to(package).as_posix() for p in (package / "tamis").rglob("*.py")}
    odd = {name for name in names if not name.startswith(("tamis/", f"tamis-{version()}."))}
    return [f"the wheel lacks {name}" for name in sorted(wanted - names)] + [
        f"the wheel holds {name}" for name in sorted(odd)
    ]


def check_sources(names: set[str], tracked: set[str]) -> list[str]:
    """Complaints about the files of a source distribution, beside those that git knows."""
    wanted = {name for name in tracked if not name.startswith(".ci/")}
    have = {name.partition("/")[2] for name in names}
    return [f"the sources lack {name}" for name in sorted(wanted - have)] + [
        f"the sources hold {name}" for name in sorted(have - wanted - {"PKG-INFO"})
    ]


def install(folder: Path, arguments: list[str | Path], **changes: str) -> tuple[Path, str | None]:
    """Installs with pip in a fresh environment: its Python, and what pip said if it failed."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet"]
    failure = run([*pip, "--disable-pip-version-check", *arguments], folder, **changes)
    return python, failure


def check_python(python: Path, folder: Path, torch: Path | None) -> list[str]:
    """Complaints of code in an environment that has the package."""
    packages = "import sys, tamis; assert not {'torch', 'jax'} & sys.modules.keys()"
    failures = {"import": run([python, "-c", packages], folder)}
    for block in blocks_of(ROOT / "README.md"):
        there = {"torch"} if torch is not None else set()
        if block.language == "python" and block.needs <= there:
            beside = {"PYTHONPATH": str(torch.parent)} if torch and block.needs else {}
            name = f"README.md:{block.line}"
            failures[name] = run([python, "-c", block.code], folder, **beside)
    if torch is not None:
        generated = run([python, "-c", GENERATE], folder, PYTHONPATH=str(torch.parent))
        failures["a model of transformers"] = generated
    return [f"{name}: {failure}" for name, failure in failures.items() if failure]


def check_command(python: Path, folder: Path) -> list[str]:
    """Complaints about the command line, by both of its names."""
    commands: list[list[str | Path]] = [[python.parent / "tamis"], [python, "-m", "tamis"]]
    failures = [run([*command, "info"], folder) for command in commands]
    return [f"command line: {failure}" for failure in failures if failure]


def check_installation(wheel: Path, folder: Path, torch: Path | None) -> list[str]:
    """Complaints of pip and of code in a fresh environment."""
    python, failure = install(folder, [wheel.resolve()])
    if failure:
        return [f"pip: {failure}"]
    return check_command(python, folder) + check_python(python, folder, torch)


def main() -> int:
    """Check what is named."""
    parser = argparse.ArgumentParser(description="check a wheel and sources")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--torch", type=Path, help="folder of an installed torch package")
    arguments = parser.parse_args()
    wheel: Path = arguments.wheel
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "unpacked")
            complaints = check_contents(set(archive.namelist()))
        complaints = complaints or [
            *check_binaries(folder / "unpacked"),
            *check_installation(wheel, folder, arguments.torch),
        ]
    with tarfile.open(arguments.sources) as tar:
        held = {member.name for member in tar.getmembers() if not member.isdir()}
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True)
    complaints += check_sources(
        held, {n for n in tracked.stdout.split("\n") if (ROOT / n).is_file()}
    )
    for line in complaints:
        print(line, file=sys.stderr)
    if not complaints:
        size = wheel.stat().st_size / 1e6
        print(f"{wheel}: {size:.1f} MB, glibc 2.34 or later, installs and runs the README's Python")
        print(f"{arguments.sources}: {arguments.sources.stat().st_size / 1e6:.1f} MB")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
