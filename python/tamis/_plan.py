"""Plans: calls that are checked once and run on the tensors of every run."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

from tamis import _integers, _library
from tamis._call import (
    Attributes,
    Operator,
    allocate_outputs,
    as_library,
    check,
    context_of,
    pack_outputs,
    run,
)
from tamis._tensors import Slot, library_of
from tamis._typing import Implementation, Level


class Shape(NamedTuple):
    """A tensor that a plan needs no values of, for `plan`.

    Parameters
    ----------
    shape : tuple of int
        Sizes.
    dtype : dtype
        numpy's, or what `numpy.dtype` takes.
    """

    shape: tuple[int, ...]
    dtype: Any


class Plan:
    """A call that passed every check: of `plan`.

    It knows shapes, dtypes, attributes, and the values of lengths, page tables and cache slots.
    Runs change nothing in it: several threads may run one plan at once.
    """

    def __init__(
        self,
        operator: str,
        arguments: Mapping[str, Any],
        context: int | None,
    ) -> None:
        if operator not in Operator.by_name:
            known = ", ".join(sorted(Operator.by_name))
            raise ValueError(f"operator: expected one of {known}, got {operator!r}")
        self._operator = op = Operator.by_name[operator]
        self._strict = bool(arguments.get("strict", False))
        slots = op.input_slots(self._strict)
        outputs = [arguments.get(slot.name) for slot in op.outputs]
        attributes = {name: value for name, value in arguments.items() if name in op.types}
        known_names = {slot.name for slot in (*slots, *op.outputs)} | op.types.keys()
        self._refuse_unknown(arguments, known_names)
        self._tensors = [slot for slot in slots if slot.name not in op.read_by_plan]
        self._lists = {n: v for n, v in attributes.items() if op.types[n] == "ints"}
        # Those that a renewal does not name are given again.
        self._integers = {
            slot.name: self._pack(slot, arguments.get(slot.name))
            for slot in slots
            if slot.name in op.read_by_plan
        }
        keep: list[object] = []
        shapes = [self._pack_shape(slot, arguments.get(slot.name), keep) for slot in self._tensors]
        packed = Attributes(tuple((name, op.types[name]) for name in attributes))
        self._plan = op.plan(
            [
                *(view for view, _ in self._integers.values()),
                *shapes,
                *pack_outputs(op.outputs, outputs, keep),
            ],
            packed.pack(tuple(attributes.values()), keep),
            len(packed),
            context,
        )
        destroy = _library.library().tamis_plan_destroy
        self._finalizer = weakref.finalize(self, destroy, ctypes.c_void_p(self._plan.value))

    def __repr__(self) -> str:
        """What runs, and how."""
        return f"Plan({self._operator.name}: {self.explanation})"

    @property
    def explanation(self) -> str:
        """One line: which implementation runs, with what blocking, and why."""
        text: bytes = _library.library().tamis_plan_explanation(self._plan)
        return text.decode()

    @property
    def workspace_bytes(self) -> int:
        """Bytes of scratch of a run; the library keeps them for a thread's next run."""
        size: int = _library.library().tamis_plan_workspace_bytes(self._plan)
        return size

    def run(self, **tensors: Any) -> Any:
        """Compute on these tensors.

        Parameters
        ----------
        **tensors : array
            All that the plan was made with but those that it has read, with the same shapes and
            dtypes. Outputs: where to write, never copied; allocated where there is none.

        Returns
        -------
        array or named tuple of arrays
            As the operator's function.

        Raises
        ------
        TypeError
            A name is none of the operator's tensors, or one that the plan has read.
        ValueError
            A tensor is not what the plan was made for, or an output shares memory with another
            tensor; nothing was written.
        """
        op = self._operator
        for name in tensors:
            if name in op.read_by_plan or name in op.types:
                raise TypeError(
                    f"{name}: expected none (the plan has read it; `renew` changes lengths, page "
                    f"tables and slots), got {_integers.shown(tensors[name])}"
                )
        self._refuse_unknown(tensors, {slot.name for slot in (*self._tensors, *op.outputs)})
        keep: list[object] = []
        views = [self._pack_into(slot, tensors.get(slot.name), keep) for slot in self._tensors]
        library = library_of(next((t for t in tensors.values() if t is not None), None))
        outputs = [tensors.get(slot.name) for slot in op.outputs]
        results = allocate_outputs(self._plan, op.outputs, outputs, library)
        run(self._plan, [*views, *pack_outputs(op.outputs, results, keep)])
        return self._give(as_library(library, outputs, results))

    def renew(self, **integers: Any) -> None:
        """Give the plan new lengths, page tables or cache slots.

        One owner renews: no run may be in flight.

        Parameters
        ----------
        **integers : array or sequence of int
            Those that change; as many as before, in tensors of the same shapes and dtypes. An array
            that was changed in place is given again.

        Raises
        ------
        TypeError
            A name is none of lengths, page tables and slots.
        ValueError
            They do not fit; the plan then refuses to run until a renewal succeeds.
        """
        op = self._operator
        self._refuse_unknown(integers, {*self._integers, *self._lists})
        tensors = dict(self._integers)
        lists = dict(self._lists)
        for slot in op.input_slots(self._strict):
            if slot.name in tensors and slot.name in integers:
                tensors[slot.name] = self._pack(slot, integers[slot.name])
        lists |= {name: integers[name] for name in lists if name in integers}
        keep: list[object] = []
        packed = Attributes(tuple((name, "ints") for name in lists))
        check(
            _library.library().tamis_plan_renew_by_name(
                self._plan,
                b"".join(view for view, _ in tensors.values()),
                len(tensors),
                packed.pack(tuple(lists.values()), keep),
                len(packed),
                None,
            )
        )
        self._integers, self._lists = tensors, lists

    def _give(self, outputs: list[Any]) -> Any:
        op = self._operator
        if not outputs:
            return None
        return outputs[0] if op.results is None else op.results(*outputs)

    def _refuse_unknown(self, given: Mapping[str, Any], known: set[str]) -> None:
        for name in given:
            if name not in known:
                raise TypeError(
                    f"{name}: expected one of {', '.join(sorted(known))} of {self._operator.name}, "
                    "got another name"
                )

    def _pack(self, slot: Slot, value: Any) -> tuple[bytes, list[object]]:
        """A view, and what must outlive it."""
        keep: list[object] = []
        return self._pack_into(slot, value, keep), keep

    def _pack_into(self, slot: Slot, value: Any, keep: list[object]) -> bytes:
        if value is None:
            return slot.absent
        return slot.pack(value, keep, self._operator.is_contiguous(slot.name, self._strict))

    def _pack_shape(self, slot: Slot, value: Any, keep: list[object]) -> bytes:
        return slot.pack_shape(value) or self._pack_into(slot, value, keep)


def plan(
    operator: str,
    /,
    *,
    level: Level | None = None,
    implementation: Implementation | None = None,
    threads: int | None = None,
    **arguments: Any,
) -> Plan:
    """Check a call once, to run it many times.

    ::

        attend = tamis.plan("sparse_flash_attention", query=query, key=pool, ...)
        for layer in layers:
            out = attend.run(query=layer.query, key=layer.pool, ...)

    Parameters
    ----------
    operator : str
        Its name.
    level, implementation, threads : optional
        As of the operator's function.
    **arguments
        Those of the operator's function, by name. Of tensors other than lengths, page tables and
        cache slots shapes and dtypes count: a `Shape`, a torch tensor on the device "meta" or a
        `jax.ShapeDtypeStruct` will do. Outputs need not be given: False is one that is not
        computed.

    Returns
    -------
    Plan

    Raises
    ------
    TypeError
        A name is none of the operator's arguments.
    ValueError
        An argument is absent or wrong; the message says which, what was expected and what came.
    NotImplementedError
        The call is well formed, but nothing here can run it.
    """
    return Plan(operator, arguments, context_of(threads, level, implementation))
