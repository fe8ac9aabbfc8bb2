"""Backwards of the operators that have a gradient operator, from the contracts of both.

A contract that says `gradient_of` is that of a gradient: its tensors and attributes that the
forward names, too, are taken from the call of the forward; the tensor that is itself `gradient_of`
an output is what autograd brings; outputs are `gradient_of` the tensors whose gradients they hold.
What the forward takes and that contract does not has no gradient, and is refused where one is
wanted.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch

import tamis

# Arguments that a gradient does without, whatever they say: they decide how the forward is rounded,
# what it checks, or what it selects, and a selection has no gradient. No contract tells.
_WITHOUT_EFFECT = {
    "accuracy",
    "actual_sel_seq_kvlen",
    "global_max",
    "global_sum",
    "importance",
    "selection",
    "strict",
    "topk_mask",
}

Contract = dict[str, Any]


def register(operator: str) -> None:
    """Tell PyTorch the backward of an operator's forward, if the operator is a gradient.

    Parameters
    ----------
    operator : str
        Registered with PyTorch already, as its forward is.
    """
    contract = tamis.describe(operator)
    if contract["gradient_of"] is None:
        return
    derivative = Derivative(tamis.describe(contract["gradient_of"]), contract)
    torch.library.register_autograd(
        f"tamis::{derivative.forward}",
        derivative.backward,
        setup_context=derivative.setup_context,
    )
    # A backward may be recorded (create_graph=True); only who differentiates it is refused.
    torch.library.register_autograd(f"tamis::{operator}", derivative.second_backward)


class Derivative:
    """What goes from a call of the forward into its gradient operator, and from there back.

    Parameters
    ----------
    forward, gradient : dict
        Their contracts.

    Attributes
    ----------
    forward, gradient : str
        Their names.
    inputs, outputs : tuple of str
        Tensors of the forward, as its schema orders them.
    saved : tuple of str
        Those of them that the gradient operator takes.
    """

    def __init__(self, forward: Contract, gradient: Contract) -> None:
        self.forward, self.gradient = forward["name"], gradient["name"]
        fields = {field["name"]: field for field in forward["arguments"]}
        taken = {field["name"]: field for field in gradient["arguments"]}
        # As in schemas, required ones first; what is alike keeps its order.
        inputs = [name for name, field in fields.items() if field["role"].endswith("input")]
        self.inputs = tuple(sorted(inputs, key=lambda name: fields[name]["role"] != "input"))
        self.outputs = tuple(name for name, field in fields.items() if _is_output(field))
        # An output of the forward that the gradient can do without is not kept for it.
        needed = {name for name, field in taken.items() if field["role"] == "input"}
        kept = (*(n for n in self.inputs if n in taken), *(n for n in self.outputs if n in needed))
        self.saved = kept
        (self._incoming,) = (n for n in needed if taken[n]["gradient_of"] is not None)
        self._differentiable: str = taken[self._incoming]["gradient_of"]
        # Of which tensor the gradient's results are, and which attribute asks for each.
        gradients = [field for field in taken.values() if _is_output(field)]
        self._gradients = {f["gradient_of"]: f["wanted_by"] for f in gradients}
        self._passed = taken.keys() & fields.keys()
        self._allowed = {
            name: self._values(name, field, taken.get(name), fields)
            for name, field in fields.items()
            if field["role"] == "attribute"
        }

    def _values(
        self, name: str, field: Contract, taken: Contract | None, fields: Contract
    ) -> list[Any] | None:
        """Values of an attribute of the forward that have a gradient; None for all."""
        asked_for = [n for n in self.outputs if fields[n]["wanted_by"] == name]
        if asked_for:  # what was not asked for can be neither read nor differentiated
            needed = (*self.saved, self._differentiable)
            return [True] if any(output in needed for output in asked_for) else None
        if taken is not None:
            return taken.get("choices")
        # What every call must say, and the gradient need not know, does not bear on it.
        if name in _WITHOUT_EFFECT or field["required"]:
            return None
        return [field["default"]]

    def setup_context(
        self, ctx: Any, inputs: Any, keyword_only_inputs: dict[str, Any], output: Any
    ) -> None:
        """Keep what the gradient operator takes, or refuse: a tensor of the call requires grad."""
        tensors = dict(zip(self.inputs, inputs, strict=True))
        # The dispatcher leaves out absent tensors at the end, here and in `backward`.
        needed = zip(self.inputs, ctx.needs_input_grad, strict=False)
        self.check(tensors, keyword_only_inputs, [name for name, need in needed if need])
        results = dict(zip(self.outputs, _as_tuple(output), strict=True))
        others = (tensor for name, tensor in results.items() if name != self._differentiable)
        ctx.mark_non_differentiable(*others)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*((tensors | results)[name] for name in self.saved))
        ctx.attributes = {n: v for n, v in keyword_only_inputs.items() if n in self._passed}

    def check(self, tensors: dict[str, Any], attributes: dict[str, Any], needed: list[str]) -> None:
        """Refuse a call that the forward takes, and whose gradient there is not.

        Parameters
        ----------
        tensors : dict
            The forward's by name, None for those that are absent.
        attributes : dict
            All of them.
        needed : list of str
            Tensors that require grad.

        Raises
        ------
        NotImplementedError
            Says which argument, what is expected where a gradient is wanted, and what came.
        """
        for name, value in attributes.items():
            allowed = self._allowed[name]
            if allowed is not None and value not in allowed:
                self._refuse(name, " or ".join(map(_text, allowed)), _text(value))
        for name, tensor in tensors.items():
            if tensor is not None and name not in self.saved and name not in _WITHOUT_EFFECT:
                self._refuse(name, "none", "a tensor")
        for name in needed:
            if name not in self._gradients:
                raise NotImplementedError(
                    f"{name}: expected a tensor without gradient ({self.gradient} gives none for "
                    "it: pass .detach()), got one that requires grad"
                )

    def backward(self, ctx: Any, *grads: Any) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the forward's tensors, those that are wanted."""
        names = self.inputs[: len(ctx.needs_input_grad)]
        incoming = grads[self.outputs.index(self._differentiable)]
        if incoming is None:
            return (None,) * len(names)
        wanted = {name for name, need in zip(names, ctx.needs_input_grad, strict=True) if need}
        asks = {ask: of in wanted for of, ask in self._gradients.items() if ask is not None}
        tensors = dict(zip(self.saved, ctx.saved_tensors, strict=True))
        # Contiguous, as strict calls want it: who calls has no say in its strides.
        tensors[self._incoming] = incoming.contiguous()
        operator = getattr(torch.ops.tamis, self.gradient)
        found = _as_tuple(operator(**tensors, **ctx.attributes, **asks))
        gradients = dict(zip(self._gradients, found, strict=True))
        return tuple(gradients[name] if name in wanted else None for name in names)

    def second_backward(self, *_: Any) -> NoReturn:
        """Say that there is none."""
        raise NotImplementedError(
            f"{self.gradient}: expected to be differentiated no further (it has no gradient "
            "operator of its own), got a second backward"
        )

    def _refuse(self, name: str, expected: str, got: str) -> NoReturn:
        raise NotImplementedError(
            f"{name}: expected {expected} where a gradient is wanted ({self.gradient} takes no "
            f"other: call it under torch.no_grad() or pass .detach()), got {got}"
        )


def _is_output(field: Contract) -> bool:
    return field["role"] in ("output", "optional_output")


def _as_tuple(output: Any) -> tuple[torch.Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
