"""Calls an operator of libtamis by name.

What the C interface takes as arrays of structs is packed here with `struct`: one pack per tensor
and one for all attributes, much cheaper than filling structs of ctypes member by member.
"""

from __future__ import annotations

import ctypes
import struct
from array import array
from collections.abc import Callable
from ctypes import byref
from typing import Any

from tamis import _integers, _library
from tamis._tensors import MAX_RANK, Slot, allocate, library_of, to_jax

_OUTPUT = struct.Struct(f"=Qii{MAX_RANK}q8x")  # tamis_output


class _Names(dict[str, int]):
    """Addresses of names as C strings, kept for good."""

    def __init__(self) -> None:
        super().__init__()
        self._strings: list[object] = []

    def __missing__(self, name: str) -> int:
        string = ctypes.create_string_buffer(name.encode())
        self._strings.append(string)
        self[name] = ctypes.addressof(string)
        return self[name]


_names = _Names()


_SOMEWHERE = array("q", [0])


def _scalar(value: Any, _keep: list[object]) -> tuple[Any, Any]:
    return value, 0  # struct judges it


def _is_bool(value: Any) -> bool:
    return type(value) is bool or type(value).__name__ in ("bool", "bool_")  # numpy's too


def _bool(value: Any, _keep: list[object]) -> tuple[Any, Any]:
    if _is_bool(value):
        return int(value), 0
    raise TypeError


def _choice(value: Any, _keep: list[object]) -> tuple[Any, Any]:
    if isinstance(value, str):
        return _names[value], 0
    raise TypeError


def _ints(value: Any, keep: list[object]) -> tuple[Any, Any]:
    if value is None:
        return 0, 0
    integers = _integers.to_list(value)
    keep.append(integers)
    # A null pointer would say that the list is absent; an empty list is none of that.
    return integers.buffer_info() if integers else (_SOMEWHERE.buffer_info()[0], 0)


# By type: the value of tamis_named_attribute's `type`, how its two words are packed, by whom, and
# what a complaint expects.
_TYPES: dict[str, tuple[int, str, Callable[[Any, list[object]], tuple[Any, Any]], str]] = {
    "int": (1, "qq", _scalar, "an integer of 64 bits"),
    "float": (2, "dq", _scalar, "a number"),
    "bool": (3, "qq", _bool, "True or False"),
    "choice": (4, "Qq", _choice, "a string"),
    "ints": (5, "Qq", _ints, "a sequence of integers"),
}


class _Attributes:
    """All attributes of an operator: makes an array of `tamis_named_attribute`."""

    def __init__(self, attributes: tuple[tuple[str, str], ...]) -> None:
        self._attributes = attributes
        self._packers = [(4 * i + 2, _TYPES[kind][2]) for i, (_, kind) in enumerate(attributes)]
        self._words: list[Any] = []
        layout = "="
        for name, kind in attributes:
            self._words += [_names[name], _TYPES[kind][0], 0, 0]
            layout += "Qi4x" + _TYPES[kind][1]
        self._struct = struct.Struct(layout)

    def __len__(self) -> int:
        return len(self._attributes)

    def pack(self, values: tuple[Any, ...], keep: list[object]) -> bytes:
        words = self._words.copy()
        try:
            for (at, packer), value in zip(self._packers, values, strict=True):
                words[at : at + 2] = packer(value, keep)
            return self._struct.pack(*words)
        except (TypeError, OverflowError, ValueError, struct.error):
            raise self._complaint(values) from None

    def _complaint(self, values: tuple[Any, ...]) -> TypeError:
        for (name, kind), value in zip(self._attributes, values, strict=True):
            _, layout, packer, expected = _TYPES[kind]
            try:
                struct.pack("=" + layout, *packer(value, []))
            except (TypeError, OverflowError, ValueError, struct.error):
                return TypeError(f"{name}: expected {expected}, got {_integers.shown(value)}")
        return TypeError("attributes: expected values that can be packed")


class Operator:
    """One operator, as its generated function calls it.

    Parameters
    ----------
    name : str
        The operator.
    inputs : tuple of str
        Tensors that are read, in the order in which the function passes them.
    updated : tuple of str
        Those among them that the call updates in place.
    integers : dict of str to tuple of str
        The dtypes of those that hold integers: given as sequences, too.
    contiguous : tuple of str
        Those that `strict` takes contiguous only: the library never sees what was copied.
    attributes : tuple of (str, str)
        Name and type of each attribute.
    outputs : tuple of str
        Tensors that the call writes.
    """

    def __init__(
        self,
        name: str,
        inputs: tuple[str, ...],
        updated: tuple[str, ...],
        integers: dict[str, tuple[str, ...]],
        contiguous: tuple[str, ...],
        attributes: tuple[tuple[str, str], ...],
        outputs: tuple[str, ...],
    ) -> None:
        self._name = name.encode()
        # The document's limits speak of dtypes: a strict call is judged as it came.
        self._inputs, self._strict_inputs = (
            [Slot(n, _names[n], n in updated, integers.get(n, ()), narrows) for n in inputs]
            for narrows in (True, False)
        )
        self._contiguous = contiguous
        self._outputs = [Slot(n, _names[n], True) for n in outputs]
        self._attributes = _Attributes(attributes)
        self._strict_at = [name for name, _ in attributes].index("strict")
        self._found_type = ctypes.c_char * (_OUTPUT.size * len(outputs))
        self._output_at: dict[int, int] = {}  # index of an output by the address of its name

    def __call__(
        self,
        inputs: tuple[Any, ...],
        attributes: tuple[Any, ...],
        outputs: tuple[Any, ...],
        level: str | None,
        implementation: str | None,
        threads: int | None,
    ) -> list[Any]:
        """Plan and run; an output that is None is allocated, one that is False left out."""
        keep: list[object] = []
        packed = self._attributes.pack(attributes, keep)
        strict = attributes[self._strict_at]
        slots = self._strict_inputs if strict else self._inputs
        contiguous = self._contiguous if strict else ()
        views = [
            slot.absent if tensor is None else slot.pack(tensor, keep, slot.name in contiguous)
            for slot, tensor in zip(slots, inputs, strict=True)
        ]
        library = library_of(next((t for t in inputs if t is not None), None))
        results: list[Any] = [None if given is False else given for given in outputs]
        if any(given is None for given in outputs):
            self._allocate_outputs(library, b"".join(views), packed, outputs, results)
        views += [
            slot.absent if tensor is None else slot.pack(tensor, keep)
            for slot, tensor in zip(self._outputs, results, strict=True)
        ]
        context = _library.context(
            _library.get_num_threads() if threads is None else threads, level, implementation
        )
        self._run(context, b"".join(views), packed)
        if library == "jax":
            return [
                to_jax(result) if given is None and result is not None else result
                for given, result in zip(outputs, results, strict=True)
            ]
        return results

    def _allocate_outputs(
        self,
        library: str,
        views: bytes,
        attributes: bytes,
        given: tuple[Any, ...],
        results: list[Any],
    ) -> None:
        found = self._found_type()
        count = ctypes.c_int64()
        status = _library.library().tamis_outputs_by_name(
            self._name,
            views,
            len(self._inputs),
            attributes,
            len(self._attributes),
            found,
            len(self._outputs),
            byref(count),
        )
        if status:
            raise _library.error_of(status)
        for i in range(count.value):
            name, code, rank, *shape = _OUTPUT.unpack_from(found, i * _OUTPUT.size)
            at = self._output_at.get(name)
            if at is None:
                at = self._output_at[name] = self._index(name)
            if given[at] is None:
                results[at] = allocate(library, tuple(shape[:rank]), code)

    def _index(self, address: int) -> int:
        name = ctypes.string_at(address).decode()
        return [slot.name for slot in self._outputs].index(name)

    def _run(self, context: int | None, views: bytes, attributes: bytes) -> None:
        library = _library.library()
        plan = ctypes.c_void_p()
        status = library.tamis_plan_by_name(
            context,
            self._name,
            views,
            len(self._inputs) + len(self._outputs),
            attributes,
            len(self._attributes),
            byref(plan),
        )
        if status:
            raise _library.error_of(status)
        try:
            status = library.tamis_plan_run(plan, None, 0, None)
            if status:
                raise _library.error_of(status)
        finally:
            library.tamis_plan_destroy(plan)
