"""Finds libtamis and declares the functions of tamis.h that the package calls."""

from __future__ import annotations

import ctypes
import functools
import os
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_void_p
from pathlib import Path

HERE = Path(__file__).resolve().parent

LEVELS = ("auto", "scalar", "avx2", "avx2_vnni", "avx512", "avx512_vnni", "avx512_bf16")
IMPLEMENTATIONS = ("auto", "reference", "cpu", "cuda")

_NULL_ARGUMENT, _INVALID_ARGUMENT = 161001, 161002
_ERRORS: dict[int, type[Exception]] = {
    1: NotImplementedError,
    2: MemoryError,
    3: RuntimeError,
    4: RuntimeError,
    _NULL_ARGUMENT: ValueError,
    _INVALID_ARGUMENT: ValueError,
}

_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "tamis_version": (c_char_p, []),
    "tamis_last_error": (c_char_p, []),
    "tamis_operator_count": (c_int64, []),
    "tamis_operator_name": (c_char_p, [c_int64]),
    "tamis_describe": (c_char_p, [c_char_p]),
    "tamis_context_create": (c_int32, [POINTER(c_void_p)]),
    "tamis_context_destroy": (None, [c_void_p]),
    "tamis_context_set_threads": (c_int32, [c_void_p, c_int32]),
    "tamis_context_set_level": (c_int32, [c_void_p, c_int32]),
    "tamis_context_set_implementation": (c_int32, [c_void_p, c_int32]),
    # Arrays of structs are passed as the bytes that _call.py packs.
    "tamis_outputs_by_name": (
        c_int32,
        [c_char_p, c_char_p, c_int64, c_char_p, c_int64, c_void_p, c_int64, c_void_p],
    ),
    "tamis_plan_by_name": (
        c_int32,
        [c_void_p, c_char_p, c_char_p, c_int64, c_char_p, c_int64, c_void_p],
    ),
    "tamis_plan_run": (c_int32, [c_void_p, c_void_p, c_int64, c_void_p]),
    "tamis_plan_run_by_name": (
        c_int32,
        [c_void_p, c_char_p, c_int64, c_void_p, c_int64, c_void_p],
    ),
    "tamis_plan_renew_by_name": (
        c_int32,
        [c_void_p, c_char_p, c_int64, c_char_p, c_int64, c_void_p],
    ),
    "tamis_plan_tensor": (c_int32, [c_void_p, c_void_p, c_void_p]),
    "tamis_plan_workspace_bytes": (c_int64, [c_void_p]),
    "tamis_plan_explanation": (c_char_p, [c_void_p]),
    "tamis_plan_destroy": (None, [c_void_p]),
}


def find(
    packaged: Path,
    variable: str,
    built: str,
    remedy: str = "install the wheel, build it with `./dev build`",
) -> Path:
    """The first of: what the environment names, what the wheel brought, what the tree built.

    Parameters
    ----------
    packaged : Path
        Where an installed package has the file.
    variable : str
        The environment variable that overrides.
    built : str
        The file's name in the folder `build/release` of a source tree.
    remedy : str
        What to do where there is none, but for naming it in `variable`.

    Returns
    -------
    Path
        A file that exists.

    Raises
    ------
    FileNotFoundError
        None of them exists; the message says where was looked.
    """
    named = os.environ.get(variable)
    if named:
        if Path(named).is_file():
            return Path(named)
        raise FileNotFoundError(f"{variable}: expected a file, got {named}")
    tree = HERE.parent.parent / "build" / "release" / built
    for path in (packaged, tree):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"{packaged.name}: not found at {packaged} nor at {tree}; {remedy}, "
        f"or name it in {variable}"
    )


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded libtamis; every call into it releases the GIL."""
    path = find(HERE / "lib" / "libtamis.so", "TAMIS_LIBRARY", "libtamis.so")
    loaded = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = arguments
    return loaded


def error_of(status: int) -> Exception:
    """The exception of a failed call, with the library's line."""
    line = library().tamis_last_error()
    return _ERRORS.get(status, RuntimeError)(line.decode(errors="replace"))


def _choose(argument: str, names: tuple[str, ...], name: str) -> int:
    if name not in names:
        raise ValueError(f"{argument}: expected one of {', '.join(names)}, got {name!r}")
    return names.index(name)


@functools.cache
def context(threads: int, level: str | None, implementation: str | None) -> int | None:
    """A context that says so, kept for good; None where nothing differs from the defaults."""
    if not isinstance(threads, int) or not -(2**31) <= threads < 2**31:
        raise ValueError(f"threads: expected an integer of 32 bits, got {threads!r}")
    if threads == 0 and level is None and implementation is None:
        return None
    made = c_void_p()
    loaded = library()
    status = loaded.tamis_context_create(ctypes.byref(made))
    if status == 0:
        status = loaded.tamis_context_set_threads(made, threads)
    if status == 0 and level is not None:
        status = loaded.tamis_context_set_level(made, _choose("level", LEVELS, level))
    if status == 0 and implementation is not None:
        index = _choose("implementation", IMPLEMENTATIONS, implementation)
        status = loaded.tamis_context_set_implementation(made, index)
    if status != 0:
        error = error_of(status)
        loaded.tamis_context_destroy(made)
        raise error
    return made.value


_num_threads = 0


def set_num_threads(threads: int) -> None:
    """Set how many threads the calls of this process use.

    Results do not depend on it. A call's own `threads` comes first.

    Parameters
    ----------
    threads : int
        1 to 1024; 0 for the default: `TAMIS_NUM_THREADS`, else this process's processors.

    Raises
    ------
    ValueError
        It is out of range.
    """
    global _num_threads
    context(threads, None, None)  # refuses what is out of range
    _num_threads = threads


def get_num_threads() -> int:
    """What `set_num_threads` set; 0 is the default.

    Returns
    -------
    int
        Threads.
    """
    return _num_threads
