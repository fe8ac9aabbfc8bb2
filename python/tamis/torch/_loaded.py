"""libtamis_torch.so, whose operators are registered with PyTorch when this is imported."""

from __future__ import annotations

import ctypes

try:
    import torch
except ModuleNotFoundError as error:
    message = (
        "tamis.torch: needs torch 2.10 or later, which is not installed here: pip install torch"
    )
    raise ModuleNotFoundError(message, name=error.name) from error

from tamis import _library, operators
from tamis.torch import _autograd, _fake

# `pip install .` leaves the operators out where it finds no torch.
REMEDY = (
    "install tamis again from its source where torch 2.10 or later is installed, "
    "build it with `./dev test --torch`"
)


def _load() -> ctypes.CDLL:
    """Register the operators with PyTorch, once."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < (2, 10):
        raise ImportError(f"tamis.torch: expected torch 2.10 or later, got {torch.__version__}")
    _library.library()  # what libtamis_torch.so is linked with, found as ever
    packaged = _library.HERE / "lib" / "libtamis_torch.so"
    built = "pytorch/libtamis_torch.so"
    path = _library.find(packaged, "TAMIS_TORCH_LIBRARY", built, REMEDY)
    torch.ops.load_library(str(path))
    for operator in operators():
        _fake.register(operator)
    for operator in operators():
        _autograd.register(operator)
    _fake.register_run_plan()
    found = ctypes.CDLL(str(path))
    found.tamis_torch_context.restype = ctypes.c_void_p
    found.tamis_torch_bind_plan.restype = ctypes.c_int64
    found.tamis_torch_bind_plan.argtypes = [
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_int64,
        ctypes.c_int64,
    ]
    found.tamis_torch_release_plan.argtypes = [ctypes.c_int64]
    return found


loaded = _load()
