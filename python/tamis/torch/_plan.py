"""Plans that a loop over layers holds, run on PyTorch's threads."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch

import tamis
from tamis._call import planned_tensor
from tamis.torch._loaded import loaded

# The kernel itself refuses tensors that require grad; the dispatcher need not ask.
_library = torch.library.Library("tamis", "IMPL")
_library.impl("run_plan", torch.library.fallthrough_kernel, "Autograd")
_run_plan = torch.ops.tamis.run_plan.default


class Plan(tamis.Plan):
    """A call that passed every check, on PyTorch's threads: of `tamis.torch.plan`.

    All that `tamis.Plan` has, and runs that have less to do. There are as many threads as
    `torch.get_num_threads` said when it was made. Several threads may run one plan at once.

    Attributes
    ----------
    inputs, written : tuple of str
        Names of the tensors of a run that gives all of its outputs: those that it reads, and those
        that it writes.
    """

    def __init__(self, operator: str, arguments: dict[str, Any]) -> None:
        super().__init__(operator, arguments, loaded.tamis_torch_context())
        given = [slot for slot in self._tensors if arguments.get(slot.name) is not None]
        outputs = [slot for slot in self._operator.outputs if planned_tensor(self._plan, slot)[0]]
        self.inputs = tuple(slot.name for slot in given if not slot.writable)
        self.written = tuple(slot.name for slot in (*given, *outputs) if slot.writable)
        names = [name.encode() for name in (*self.inputs, *self.written)]
        self._finalizer.detach()  # the number owns the library's plan
        number = loaded.tamis_torch_bind_plan(
            self._plan,
            operator.encode(),
            (ctypes.c_char_p * len(names))(*names),
            len(names),
            len(self.written),
        )
        if number == 0:
            raise MemoryError(f"{operator}: expected memory for a plan, got none")
        self._number = number
        self._finalizer = weakref.finalize(self, loaded.tamis_torch_release_plan, number)
        self._run: Callable[[Sequence[Any], Sequence[Any]], None] = functools.partial(
            _run_plan, number
        )

    @property
    def run_in_order(self) -> Callable[[Sequence[torch.Tensor], Sequence[torch.Tensor]], None]:
        """A function of two lists of tensors, in the order of `inputs` and of `written`.

        The way from Python that takes least: names are not looked at, nothing is allocated. It
        raises as `run`: ValueError where there are more or fewer, or one is not what the plan was
        made for; and RuntimeError, PyTorch's own, where one is no tensor.
        """
        return self._run

    def run(self, **tensors: Any) -> Any:
        """Compute on these tensors.

        Parameters
        ----------
        **tensors : torch.Tensor
            As of `tamis.Plan.run`; where all outputs are given, it is `run_in_order` that runs.

        Returns
        -------
        torch.Tensor or named tuple of torch.Tensor
            As the operator's function.

        Raises
        ------
        TypeError
            A name is none of the operator's tensors, or one that the plan has read; or one is no
            tensor.
        ValueError
            A tensor is not what the plan was made for, or one that is written shares memory with
            another; nothing was written.
        RuntimeError
            A tensor requires grad, and gradients are on.
        """
        if len(tensors) != len(self.inputs) + len(self.written) or self._strict:
            return super().run(**tensors)
        try:
            inputs = [tensors[name] for name in self.inputs]
            written = [tensors[name] for name in self.written]
        except KeyError:
            return super().run(**tensors)
        try:
            self._run(inputs, written)
        except RuntimeError:
            self._refuse_other_types(inputs, written)
            raise
        return self._give([tensors.get(slot.name) for slot in self._operator.outputs])

    def _refuse_other_types(self, inputs: list[Any], written: list[Any]) -> None:
        for name, value in zip((*self.inputs, *self.written), (*inputs, *written), strict=True):
            if not isinstance(value, torch.Tensor):
                raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")


def plan(operator: str, /, **arguments: Any) -> Plan:
    """Check a call once, to run it many times on PyTorch's threads.

    ::

        attend = tamis.torch.plan("sparse_flash_attention", query=query, key=pool, ..., out=out)
        for step in steps:
            attend.renew(actual_seq_lengths_kv=lengths)
            for layer in layers:
                attend.run(query=layer.query, key=layer.pool, ..., out=layer.out)

    Parameters
    ----------
    operator : str
        Its name.
    **arguments
        As of `tamis.plan`. The level is that of `TAMIS_LEVEL`, or of this processor.

    Returns
    -------
    Plan

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As `tamis.plan`.
    """
    return Plan(operator, arguments)
