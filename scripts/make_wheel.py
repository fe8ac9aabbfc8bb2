"""Makes the wheel of the Python package.

It is a zip of python/tamis, libtamis, PyTorch's operators, the command line, and what pip wants to
know. No build backend: nothing is compiled against CPython, so one wheel serves every Python 3, and
the native files come from CMake (python/CMakeLists.txt). The same content gives the same bytes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import platform
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

METADATA = """\
Metadata-Version: 2.1
Name: tamis
Version: {version}
Summary: Sparse-attention operators (NSA, DSA) for any CPU
License: Apache-2.0
Requires-Python: >=3.11
Requires-Dist: numpy>=2
Requires-Dist: ml_dtypes>=0.5
Provides-Extra: torch
Requires-Dist: torch>=2.10; extra == "torch"
Description-Content-Type: text/markdown

{readme}"""

WHEEL = """\
Wheel-Version: 1.0
Generator: tamis
Root-Is-Purelib: false
Tag: {tag}
"""


def tag() -> str:
    """Any Python 3, Linux with glibc 2.34 or later, this processor."""
    return f"py3-none-manylinux_2_34_{platform.machine()}"


def digest(data: bytes) -> str:
    """As RECORD writes it."""
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def contents(root: Path, native: Path) -> dict[str, bytes]:
    """The files of the wheel but for RECORD, by their names in it."""
    version = (root / "VERSION").read_text().strip()
    info = f"tamis-{version}.dist-info"
    package = root / "python"
    files = {
        path.relative_to(package).as_posix(): path.read_bytes()
        for path in sorted((package / "tamis").rglob("*"))
        if path.suffix == ".py" or path.name == "py.typed"
    }
    for library in ("libtamis.so", "libtamis_torch.so"):
        files[f"tamis/lib/{library}"] = (native / library).read_bytes()
    files["tamis/bin/tamis"] = (native / "tamis").read_bytes()
    readme = (root / "README.md").read_text(encoding="utf-8")
    files[f"{info}/METADATA"] = METADATA.format(version=version, readme=readme).encode()
    files[f"{info}/WHEEL"] = WHEEL.format(tag=tag()).encode()
    files[f"{info}/licenses/LICENSE"] = (root / "LICENSE").read_bytes()
    return files


def make(root: Path, native: Path, output: Path) -> Path:
    """Write the wheel into the folder `output`, and give its path."""
    files = contents(root, native)
    info = next(name for name in files if name.endswith("METADATA")).rpartition("/")[0]
    record = "".join(f"{name},{digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{info.removesuffix('.dist-info')}-{tag()}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            executable = name.startswith(("tamis/bin/", "tamis/lib/"))
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return path


def main() -> int:
    """Make it, and print where it is."""
    parser = argparse.ArgumentParser(description="make the wheel")
    parser.add_argument(
        "--native", type=Path, required=True, help="folder of the libraries and the binary"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    print(make(ROOT, arguments.native, arguments.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
