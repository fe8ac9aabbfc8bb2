"""The modules that a script for the device imports, each where none of its name is importable."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from tamis.npu_compat.real import source_folders

_FOLDER = Path(__file__).parent / "stand_ins"
NAMES = tuple(sorted(entry.stem for entry in _FOLDER.iterdir() if entry.name[0] not in "._"))


class _StandIns(MetaPathFinder):
    """Finds the packages in `stand_ins`, after all that is importable otherwise."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return _spec(fullname) if path is None and fullname in NAMES else None


def _spec(name: str) -> ModuleSpec | None:
    package = _FOLDER / name / "__init__.py"
    if package.exists():
        return importlib.util.spec_from_file_location(
            name, package, submodule_search_locations=[str(package.parent)]
        )
    return importlib.util.spec_from_file_location(name, _FOLDER / f"{name}.py")


def install() -> ModuleType:
    """Makes the modules importable, and imports torch_npu, which it returns.

    Where sources of the device's torch_npu are importable (its tests need `torch_npu.testing`), the
    stand-in takes their place, and their submodules are found inside it.
    """
    sources = source_folders("torch_npu")
    sys.meta_path.append(_StandIns())
    spec = _spec("torch_npu")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["torch_npu"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules["torch_npu"]
        raise
    module.__path__[:0] = sources
    module.utils.__path__ += [str(Path(folder) / "utils") for folder in sources]
    return module


def absent(module: str, name: str) -> NoReturn:
    """Refuses a name that the device's module has and this one has not.

    Raises
    ------
    AttributeError
        one line, so that `hasattr` answers False
    """
    if name.startswith("__"):
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    there = vars(sys.modules[module])
    names = sorted({*there["__all__"], *(known for known in there if known.startswith("npu_"))})
    raise AttributeError(
        f"{module}.{name}: tamis.npu_compat has no such name; it has {', '.join(names)}"
    )
