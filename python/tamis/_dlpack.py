"""DLPack capsules as numpy arrays that share their memory.

numpy's own `from_dlpack` knows no bfloat16, and not every exporter's read-only flag.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64
from ctypes import c_void_p as pointer
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

_CPU = (1, 3, 11)  # plain, pinned by CUDA, pinned by ROCm
_READ_ONLY = 1

# By type code and bits: the name of the dtype.
_DTYPES: dict[tuple[int, int], npt.DTypeLike] = {
    (0, 8): np.int8,
    (0, 32): np.int32,
    (0, 64): np.int64,
    (1, 8): np.uint8,
    (2, 16): np.float16,
    (2, 32): np.float32,
    (2, 64): np.float64,
    (4, 16): ml_dtypes.bfloat16,
    (6, 8): np.bool_,
}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", pointer),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", c_uint32),
        ("minor", c_uint32),
        ("manager", pointer),
        ("deleter", pointer),
        ("flags", c_uint64),
        ("tensor", _Tensor),
    )


_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes = (ctypes.py_object, c_char_p)
_is_valid.restype = ctypes.c_int
_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.argtypes = (ctypes.py_object, c_char_p)
_get_pointer.restype = pointer


class _Memory:
    """What numpy makes an array of. It owns the capsule, whose end frees the exporter's memory."""

    def __init__(self, capsule: object, interface: dict[str, Any]) -> None:
        self.capsule = capsule
        self.__array_interface__ = interface


def _capsule(name: str, exporter: Any) -> object:
    device = tuple(exporter.__dlpack_device__())
    if device[0] not in _CPU:
        raise NotImplementedError(f"{name}: expected memory of the CPU, got DLPack device {device}")
    try:
        return exporter.__dlpack__(max_version=(1, 0))
    except TypeError:  # an exporter older than DLPack 1.0
        return exporter.__dlpack__()


def to_numpy(name: str, exporter: Any) -> npt.NDArray[Any]:
    """The exporter's memory as a numpy array, without a copy.

    Parameters
    ----------
    name : str
        The argument, for complaints.
    exporter : object
        Has `__dlpack__` and `__dlpack_device__`.

    Returns
    -------
    numpy.ndarray
        Keeps the memory alive; read-only where the exporter says so.

    Raises
    ------
    NotImplementedError
        The memory is not the CPU's.
    ValueError
        The dtype is none that Tamis knows.
    """
    capsule = _capsule(name, exporter)
    read_only = False
    if _is_valid(capsule, b"dltensor_versioned"):
        versioned = _Versioned.from_address(_get_pointer(capsule, b"dltensor_versioned"))
        if versioned.major != 1:
            raise NotImplementedError(f"{name}: expected DLPack 1, got {versioned.major}")
        tensor, read_only = versioned.tensor, bool(versioned.flags & _READ_ONLY)
    else:
        tensor = _Tensor.from_address(_get_pointer(capsule, b"dltensor"))
    kind = (tensor.code, tensor.bits)
    if kind not in _DTYPES or tensor.lanes != 1:
        raise ValueError(
            f"{name}: expected a dtype that Tamis knows, got DLPack type code {tensor.code} of "
            f"{tensor.bits} bits, {tensor.lanes} lanes"
        )
    dtype = np.dtype(_DTYPES[kind])
    shape = tuple(tensor.shape[: tensor.ndim])
    if 0 in shape:
        return np.empty(shape, dtype)
    interface = {
        "version": 3,
        "data": (tensor.data + tensor.byte_offset, read_only),
        "shape": shape,
        "typestr": dtype.str if dtype.kind != "V" else "<u2",
    }
    if tensor.strides:
        interface["strides"] = tuple(s * dtype.itemsize for s in tensor.strides[: tensor.ndim])
    array = np.asarray(_Memory(capsule, interface))
    return array if array.dtype == dtype else array.view(dtype)
