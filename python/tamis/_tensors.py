"""Arrays of any library as the bytes of a `tamis_named_tensor`, and memory for outputs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from tamis import _dlpack, _integers

MAX_RANK = 8

# The values of tamis_dtype.
NUMPY_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float16),
    2: np.dtype(ml_dtypes.bfloat16),
    3: np.dtype(np.float32),
    4: np.dtype(np.float64),
    5: np.dtype(np.int8),
    6: np.dtype(np.uint8),
    7: np.dtype(np.int32),
    8: np.dtype(np.int64),
    9: np.dtype(np.bool_),
}
_INT64 = 8
_INFERRED = -1  # the rank of an output whose shape a plan is to find
_CODES = {dtype: code for code, dtype in NUMPY_DTYPES.items()}
_KNOWN = ", ".join(dtype.name for dtype in NUMPY_DTYPES.values())

# By rank: name, data, dtype, rank, shape, strides, device.
_NAMED = [
    Struct(f"=QQii{rank}q{8 * (MAX_RANK - rank)}x{rank}q{8 * (MAX_RANK - rank)}x8x")
    for rank in range(MAX_RANK + 1)
]
_ABSENT_BYTES = bytes(_NAMED[0].size - 8)

# numpy's own classes whose elements are all of what they mean.
_PLAIN = (np.ndarray, np.memmap, np.matrix, np.recarray)

# What an array has that has memory.
_MEMORY = ("__array_interface__", "__dlpack__", "__array__")

_IN_PLACE = "it is written to and never copied"


class Slot:
    """One tensor of an operator: makes a `tamis_named_tensor` of what the caller passes."""

    __slots__ = ("absent", "address", "inferred", "integers", "name", "narrows", "writable")

    def __init__(
        self,
        name: str,
        address: int,
        writable: bool,
        integers: tuple[str, ...] = (),
        narrows: bool = True,
    ) -> None:
        self.name = name
        self.address = address
        self.writable = writable
        self.integers = integers  # its dtypes, where it is a tensor of integers that is read
        self.narrows = narrows and integers == ("int32",)  # integers of 64 bits are copied
        self.absent = address.to_bytes(8, sys.byteorder) + _ABSENT_BYTES
        self.inferred = _NAMED[0].pack(address, 0, 0, _INFERRED)

    def pack(self, array: Any, keep: list[object], contiguous: bool = False) -> bytes:
        """The view of `array`; what must outlive it is appended to `keep`.

        `contiguous` refuses what is not, before anything could copy it.
        """
        if self.integers and _integers.is_sequence(array):
            array = _integers.to_numpy(self.name, array, self.integers)
        if type(array) is not np.ndarray:
            torch = sys.modules.get("torch")
            if torch is not None and isinstance(array, torch.Tensor):
                return self._pack_torch(torch, array, keep, contiguous)
            array = self._to_numpy(array)
        if contiguous and not array.flags.c_contiguous:
            raise self._strided(array.shape, [n // array.itemsize for n in array.strides])
        return self._pack_numpy(array, keep)

    def pack_shape(self, spec: Any) -> bytes | None:
        """The view of what has a shape and a dtype, and no memory; None where it has memory."""
        shape, dtype = getattr(spec, "shape", None), getattr(spec, "dtype", None)
        if shape is None or dtype is None:
            return None
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(spec, torch.Tensor):
            if spec.device.type != "meta":
                return None
            code = _torch_codes(torch).get(dtype)
        elif any(
            hasattr(spec, name) for name in ("__array_interface__", "__dlpack__", "__array__")
        ):
            return None
        else:
            code = _CODES.get(np.dtype(dtype))
        if code is None:
            raise self._unknown(dtype)
        strides = [1] * len(shape)
        for i in range(len(shape) - 1, 0, -1):
            strides[i - 1] = strides[i] * max(shape[i], 1)
        return self._pack(0, code, tuple(shape), strides)

    def _pack_numpy(self, array: npt.NDArray[Any], keep: list[object]) -> bytes:
        code = _CODES.get(array.dtype)
        flags = array.flags
        if code is None or not flags.aligned:
            return self._pack_numpy(self._native(array), keep)
        if self.narrows and code == _INT64:
            return self._pack_numpy(_integers.narrowed(self.name, array), keep)
        if self.writable and not flags.writeable:
            raise ValueError(f"{self.name}: expected a writable array, got a read-only one")
        keep.append(array)
        item = array.itemsize
        strides = [stride // item for stride in array.strides]
        data = array.__array_interface__["data"][0]
        return self._pack(data, code, array.shape, strides) or self._pack_numpy(
            self._dense(array, np.ascontiguousarray), keep
        )

    def _pack_torch(
        self, torch: Any, tensor: Any, keep: list[object], contiguous: bool = False
    ) -> bytes:
        self._refuse_other_meaning(torch, tensor)
        if tensor.device.type != "cpu":
            raise NotImplementedError(
                f"{self.name}: expected memory of the CPU, got device {tensor.device}"
            )
        if tensor.layout is not torch.strided:
            raise ValueError(f"{self.name}: expected a strided tensor, got {tensor.layout}")
        if contiguous and not tensor.is_contiguous():
            raise self._strided(tensor.shape, tensor.stride())
        if tensor.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError(
                f"{self.name}: expected a tensor without gradient (backwards are those of "
                "torch.ops.tamis: call it there, or under torch.no_grad(), or pass .detach()), got "
                "one that requires grad"
            )
        code = _torch_codes(torch).get(tensor.dtype)
        if code is None:
            raise self._unknown(tensor.dtype)
        if tensor.is_neg():
            tensor = self._dense(tensor, torch.resolve_neg)
        if self.narrows and code == _INT64:
            return self._pack_numpy(_integers.narrowed(self.name, tensor.numpy()), keep)
        keep.append(tensor)
        return self._pack(
            tensor.data_ptr(), code, tensor.shape, tensor.stride()
        ) or self._pack_torch(torch, self._dense(tensor, torch.Tensor.contiguous), keep)

    def _pack(
        self, data: int, code: int, shape: tuple[int, ...], strides: list[int] | tuple[int, ...]
    ) -> bytes | None:
        """None where the strides are none that the library takes."""
        rank = len(shape)
        if rank > MAX_RANK:
            raise ValueError(f"{self.name}: expected a rank of 0 to {MAX_RANK}, got {rank}")
        if rank and (strides[-1] != 1 or min(strides) < 0):
            # The stride of a dimension of one element means nothing, and may be anything; so may
            # all of an array without elements.
            empty = 0 in shape
            strides = [
                1 if empty or n == 1 else stride for n, stride in zip(shape, strides, strict=True)
            ]
            if strides[-1] != 1 or min(strides) < 0:
                return None
        return _NAMED[rank].pack(self.address, data, code, rank, *shape, *strides)

    def _dense(self, array: Any, copy: Callable[[Any], Any]) -> Any:
        if self.writable:
            raise ValueError(
                f"{self.name}: expected a contiguous last dimension and no negative strides "
                f"({_IN_PLACE}), got shape {list(array.shape)} with other strides"
            )
        return copy(array)

    def _strided(self, shape: Iterable[int], strides: Iterable[int]) -> ValueError:
        return ValueError(
            f"{self.name}: expected (strict) a contiguous tensor, got shape {list(shape)} and "
            f"strides {list(strides)}"
        )

    def _native(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A copy in this machine's byte order and alignment."""
        native = array.dtype.newbyteorder("=")
        if native not in _CODES:
            raise self._unknown(array.dtype)
        if self.writable:
            raise ValueError(
                f"{self.name}: expected aligned memory in this machine's byte order ({_IN_PLACE}), "
                "got other"
            )
        return np.array(array, dtype=native, order="C")

    def _to_numpy(self, array: Any) -> npt.NDArray[Any]:
        """The memory of a foreign array, not copied."""
        if isinstance(array, np.ndarray) and type(array) not in _PLAIN:
            raise TypeError(
                f"{self.name}: expected a plain array (a subclass may mean more than its memory "
                f"says; numpy.asarray drops that), got {_kind(array)}"
            )
        if _integers.is_tracer(array):
            raise TypeError(
                f"{self.name}: expected an array with values, got {_integers.shown(array)}"
            )
        interface = getattr(array, "__array_interface__", None)
        if interface is not None:
            found: npt.NDArray[Any] = np.asarray(array)
            moved = found.__array_interface__["data"][0] != interface["data"][0]
            if self.writable and moved:
                raise ValueError(
                    f"{self.name}: expected memory that numpy can share ({_IN_PLACE}), got "
                    f"{type(array).__name__}"
                )
            return found
        if not hasattr(array, "__dlpack__"):
            raise TypeError(
                f"{self.name}: expected an array (numpy, torch, or with __array_interface__ or "
                f"__dlpack__), got {_kind(array)}"
            )
        if library_of(array) == "jax":
            if self.writable:
                raise ValueError(f"{self.name}: expected a writable array, got one of JAX")
            array.block_until_ready()
        return _dlpack.to_numpy(self.name, array)

    def _refuse_other_meaning(self, torch: Any, tensor: Any) -> None:
        """A subclass that answers torch's calls itself, or a batch of ragged tensors."""
        plain = type(tensor).__torch_dispatch__ is torch.Tensor.__torch_dispatch__
        if not plain or tensor.is_nested:
            raise TypeError(
                f"{self.name}: expected a plain tensor (a subclass may mean more than its memory "
                f"says), got {'a nested one' if plain else type(tensor).__name__}"
            )

    def _unknown(self, dtype: object) -> ValueError:
        return ValueError(f"{self.name}: expected a dtype of {_KNOWN}, got {dtype}")


def _kind(array: object) -> str:
    return "a masked array" if _integers.is_masked(array) else type(array).__name__


def library_of(array: object) -> str:
    """Whose array it is: numpy, torch or jax; numpy where it is another's."""
    if type(array) is np.ndarray:
        return "numpy"
    for name, kind in (("torch", "Tensor"), ("jax", "Array")):
        module = sys.modules.get(name)
        if module is not None and isinstance(array, getattr(module, kind)):
            return name
    return "numpy"


_torch_dtypes: dict[int, Any] = {}
_torch_codes_: dict[Any, int] = {}


def _torch_codes(torch: Any) -> dict[Any, int]:
    """The values of tamis_dtype by torch's dtypes; made at the first tensor."""
    if not _torch_codes_:
        for code, dtype in NUMPY_DTYPES.items():
            _torch_dtypes[code] = getattr(torch, dtype.name)
        _torch_codes_.update((dtype, code) for code, dtype in _torch_dtypes.items())
    return _torch_codes_


def allocate(library: str, shape: tuple[int, ...], code: int) -> Any:
    """Memory for an output; what JAX gets is numpy's until `to_jax`."""
    if library == "torch":
        torch = sys.modules["torch"]
        _torch_codes(torch)
        return torch.empty(shape, dtype=_torch_dtypes[code], device="cpu")
    return np.empty(shape, NUMPY_DTYPES[code])


def to_jax(output: npt.NDArray[Any]) -> Any:
    """An output as JAX has it."""
    return sys.modules["jax"].numpy.asarray(output)
