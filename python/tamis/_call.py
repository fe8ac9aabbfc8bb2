"""Calls an operator of libtamis by name.

What the C interface takes as arrays of structs is packed here with `struct`: one pack per tensor
and one for all attributes, much cheaper than filling structs of ctypes member by member.
"""

from __future__ import annotations

import ctypes
import struct
from array import array
from collections.abc import Callable, Sequence
from ctypes import byref
from typing import Any, ClassVar

from tamis import _integers, _library
from tamis._tensors import MAX_RANK, Slot, allocate, library_of, to_jax

_TENSOR = struct.Struct(f"=Qii{MAX_RANK}q{8 * MAX_RANK}x8x")  # tamis_tensor


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


class Attributes:
    """Attributes of an operator, by name and type: makes an array of `tamis_named_attribute`."""

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
    read_by_plan : tuple of str
        Those whose values a plan reads: a run of it brings none.
    attributes : tuple of (str, str)
        Name and type of each attribute.
    outputs : tuple of str
        Tensors that the call writes.
    results : type, optional
        The named tuple of several outputs.
    """

    by_name: ClassVar[dict[str, Operator]] = {}

    def __init__(
        self,
        name: str,
        inputs: tuple[str, ...],
        updated: tuple[str, ...],
        integers: dict[str, tuple[str, ...]],
        contiguous: tuple[str, ...],
        read_by_plan: tuple[str, ...],
        attributes: tuple[tuple[str, str], ...],
        outputs: tuple[str, ...],
        results: type[Any] | None,
    ) -> None:
        self.by_name[name] = self
        self.name = name
        self.read_by_plan = read_by_plan
        self.types = dict(attributes)
        self.results = results
        self._name = name.encode()
        # The document's limits speak of dtypes: a strict call is judged as it came.
        self._inputs, self._strict_inputs = (
            [Slot(n, _names[n], n in updated, integers.get(n, ()), narrows) for n in inputs]
            for narrows in (True, False)
        )
        self._contiguous = contiguous
        self.outputs = [Slot(n, _names[n], True) for n in outputs]
        self._attributes = Attributes(attributes)
        self._strict_at = [name for name, _ in attributes].index("strict")

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
        contiguous = self._contiguous if strict else ()
        views = [
            slot.absent if tensor is None else slot.pack(tensor, keep, slot.name in contiguous)
            for slot, tensor in zip(self.input_slots(strict), inputs, strict=True)
        ]
        given = len(views)
        views += pack_outputs(self.outputs, outputs, keep)
        plan = self.plan(
            views, packed, len(self._attributes), context_of(threads, level, implementation)
        )
        library = _library.library()
        try:
            if all(output is not None for output in outputs):
                check(library.tamis_plan_run(plan, None, 0, None))
                return [None if output is False else output for output in outputs]
            whose = library_of(next((t for t in inputs if t is not None), None))
            results = allocate_outputs(plan, self.outputs, outputs, whose)
            views[given:] = pack_outputs(self.outputs, results, keep)
            run(plan, views)
        finally:
            library.tamis_plan_destroy(plan)
        return as_library(whose, outputs, results)

    def input_slots(self, strict: object) -> list[Slot]:
        """The operator's inputs, which `strict` does not narrow."""
        return self._strict_inputs if strict else self._inputs

    def is_contiguous(self, name: str, strict: object) -> bool:
        """Whether the call takes the input contiguous only."""
        return bool(strict) and name in self._contiguous

    def plan(
        self,
        views: list[bytes],
        attributes: bytes,
        attribute_count: int,
        context: int | None,
    ) -> ctypes.c_void_p:
        """A plan of the library, for `tamis_plan_destroy`."""
        plan = ctypes.c_void_p()
        check(
            _library.library().tamis_plan_by_name(
                context,
                self._name,
                b"".join(views),
                len(views),
                attributes,
                attribute_count,
                byref(plan),
            )
        )
        return plan


def context_of(threads: int | None, level: str | None, implementation: str | None) -> int | None:
    """How a call is to run; `set_num_threads` speaks where `threads` is None."""
    wanted = _library.get_num_threads() if threads is None else threads
    return _library.context(wanted, level, implementation)


def check(status: int) -> None:
    """Raise where a call of the library has failed."""
    if status:
        raise _library.error_of(status)


def run(plan: ctypes.c_void_p, views: list[bytes]) -> None:
    """On these tensors."""
    check(
        _library.library().tamis_plan_run_by_name(plan, b"".join(views), len(views), None, 0, None)
    )


def pack_outputs(slots: list[Slot], outputs: Sequence[Any], keep: list[object]) -> list[bytes]:
    """Views of outputs: None is one that the plan is to find the shape of, False is absent."""
    return [
        slot.inferred
        if output is None
        else slot.absent
        if output is False
        else slot.pack(output, keep)
        for slot, output in zip(slots, outputs, strict=True)
    ]


def allocate_outputs(
    plan: ctypes.c_void_p, slots: list[Slot], outputs: Sequence[Any], library: str
) -> list[Any]:
    """The outputs, those that are None allocated; False where the call gives none."""
    results = list(outputs)
    for i, slot in enumerate(slots):
        if outputs[i] is None:
            code, shape = planned_tensor(plan, slot)
            results[i] = allocate(library, shape, code) if code else False
    return results


def planned_tensor(plan: ctypes.c_void_p, slot: Slot) -> tuple[int, tuple[int, ...]]:
    """Dtype and shape of a plan's tensor; dtype 0 where the call has none."""
    found = ctypes.create_string_buffer(_TENSOR.size)
    check(_library.library().tamis_plan_tensor(plan, slot.address, found))
    _, code, rank, *shape = _TENSOR.unpack(found)
    return code, tuple(shape[:rank])


def as_library(library: str, outputs: Sequence[Any], results: list[Any]) -> list[Any]:
    """Results as the caller's library has them; None where there is none."""
    if library == "jax":
        results = [
            to_jax(result) if given is None and result is not False else result
            for given, result in zip(outputs, results, strict=True)
        ]
    return [None if result is False else result for result in results]
