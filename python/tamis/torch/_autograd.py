"""Backwards of the operators that have a gradient operator, or bring gradients, from contracts.

A contract that says `gradient_of` is that of a gradient: its tensors and attributes that the
forward names, too, are taken from the call of the forward; the tensor that is itself `gradient_of`
an output is what autograd brings; outputs are `gradient_of` the tensors whose gradients they hold.
What the forward takes and that contract does not has no gradient, and is refused where one is
wanted.

A contract that does not say so, and some of whose outputs are `gradient_of` its own inputs, is that
of a loss which comes with its gradients: they are kept, and the backward multiplies.
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
    "key_shadow",
    "pruning",
    "selection",
    "sparse_count",
    "strict",
    "topk_mask",
    "value_dtype",
}

Contract = dict[str, Any]


def register(operator: str) -> None:
    """Tell PyTorch the backward of an operator's forward, if it is a gradient, or its own.

    Parameters
    ----------
    operator : str
        Registered with PyTorch already, as its forward is.
    """
    contract = tamis.describe(operator)
    if brings_gradients(contract):
        loss = Loss(contract)
        torch.library.register_autograd(
            f"tamis::{operator}", loss.backward, setup_context=loss.setup_context
        )
        return
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


def brings_gradients(contract: Contract) -> bool:
    """Whether an operator gives gradients of its own inputs beside a loss."""
    outputs = (field for field in contract["arguments"] if _is_output(field))
    return contract["gradient_of"] is None and any(f["gradient_of"] for f in outputs)


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
        self.inputs, self.outputs = _tensors(forward)
        # An output of the forward that the gradient can do without is not kept for it.
        needed = {name for name, field in taken.items() if field["role"] == "input"}
        kept = (*(n for n in self.inputs if n in taken), *(n for n in self.outputs if n in needed))
        self.saved = kept
        (self._incoming,) = (n for n in needed if taken[n]["gradient_of"] is not None)
        self._differentiable: str = taken[self._incoming]["gradient_of"]
        # Which attribute asks for it, where one does.
        self._asked_by: str | None = fields[self._differentiable]["wanted_by"]
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
        if asked_for:  # what was not asked for cannot be read
            return [True] if any(output in self.saved for output in asked_for) else None
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
        ctx.set_materialize_grads(False)
        if self._asked_by is not None and not keyword_only_inputs[self._asked_by]:
            ctx.mark_non_differentiable(*_as_tuple(output))  # such as a selection without scores
            return
        tensors = dict(zip(self.inputs, inputs, strict=True))
        # The dispatcher leaves out absent tensors at the end, here and in `backward`.
        needed = zip(self.inputs, ctx.needs_input_grad, strict=False)
        self.check(tensors, keyword_only_inputs, [name for name, need in needed if need])
        results = dict(zip(self.outputs, _as_tuple(output), strict=True))
        others = (tensor for name, tensor in results.items() if name != self._differentiable)
        ctx.mark_non_differentiable(*others)
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
                _refuse_tensor(name, self.gradient)

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
        _refuse_second_backward(self.gradient)

    def _refuse(self, name: str, expected: str, got: str) -> NoReturn:
        raise NotImplementedError(
            f"{name}: expected {expected} where a gradient is wanted ({self.gradient} takes no "
            f"other: call it under torch.no_grad() or pass .detach()), got {got}"
        )


class Loss:
    """The backward of a loss that comes with its gradients.

    Parameters
    ----------
    contract : dict
        The operator's. Its required output is the loss.

    Attributes
    ----------
    operator : str
        Its name.
    inputs, outputs : tuple of str
        Its tensors, as its schema orders them.
    """

    def __init__(self, contract: Contract) -> None:
        self.operator: str = contract["name"]
        self.inputs, self.outputs = _tensors(contract)
        outputs = [field for field in contract["arguments"] if _is_output(field)]
        (self._loss,) = (field["name"] for field in outputs if field["role"] == "output")
        # Which output holds the gradient of a tensor, and which attribute asks for it.
        self._gradients = {
            field["gradient_of"]: (field["name"], field["wanted_by"])
            for field in outputs
            if field["gradient_of"] is not None
        }

    def setup_context(
        self, ctx: Any, inputs: Any, keyword_only_inputs: dict[str, Any], output: Any
    ) -> None:
        """Keep the gradients that are wanted, or refuse: a tensor of the call requires grad."""
        tensors = dict(zip(self.inputs, inputs, strict=True))
        needs = zip(self.inputs, ctx.needs_input_grad, strict=False)
        ctx.needed = [name for name, need in needs if need]
        self.check(keyword_only_inputs, ctx.needed)
        results = dict(zip(self.outputs, output, strict=True))
        ctx.mark_non_differentiable(*(t for name, t in results.items() if name != self._loss))
        ctx.set_materialize_grads(False)
        kept = [results[self._gradients[name][0]] for name in ctx.needed]
        ctx.save_for_backward(*kept, *(tensors[name] for name in ctx.needed))

    def check(self, attributes: dict[str, Any], needed: list[str]) -> None:
        """Refuse a call whose loss cannot be differentiated with respect to what is wanted.

        Parameters
        ----------
        attributes : dict
            All of them.
        needed : list of str
            Tensors that require grad.

        Raises
        ------
        NotImplementedError
            Says which argument, what is expected where a gradient is wanted, and what came.
        """
        for name in needed:
            if name not in self._gradients:
                _refuse_tensor(name, self.operator)
            ask = self._gradients[name][1]
            if ask is not None and not attributes[ask]:
                raise NotImplementedError(
                    f"{ask}: expected True where a gradient of {name} is wanted (the call computes "
                    "it: call it under torch.no_grad() or pass .detach()), got False"
                )

    def backward(self, ctx: Any, *grads: Any) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the tensors that want one: those of the call, times that of its loss."""
        incoming = grads[self.outputs.index(self._loss)]
        found: dict[str, torch.Tensor] = {}
        if incoming is not None:
            saved = ctx.saved_tensors
            count = len(ctx.needed)
            for name, gradient, tensor in zip(
                ctx.needed, saved[:count], saved[count:], strict=True
            ):
                product = (gradient.float() * incoming).to(gradient.dtype)
                if torch.is_grad_enabled():  # the backward itself is recorded
                    product = _Once.apply(product, tensor, self.operator)
                found[name] = product
        return tuple(found.get(name) for name in self.inputs[: len(ctx.needs_input_grad)])


class _Once(torch.autograd.Function):
    """A gradient as it is; who differentiates it is refused."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, _tensor: torch.Tensor, name: str) -> torch.Tensor:
        ctx.name = name
        return gradient.clone()

    @staticmethod
    def backward(ctx: Any, *_: Any) -> NoReturn:
        _refuse_second_backward(ctx.name)


def _tensors(contract: Contract) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Inputs and results, as the operator's schema orders them."""
    fields = {field["name"]: field for field in contract["arguments"]}
    # Required inputs first; what is alike keeps its order.
    inputs = [name for name, field in fields.items() if field["role"].endswith("input")]
    inputs.sort(key=lambda name: fields[name]["role"] != "input")
    return tuple(inputs), tuple(name for name, field in fields.items() if _is_output(field))


def _refuse_tensor(name: str, operator: str) -> NoReturn:
    raise NotImplementedError(
        f"{name}: expected a tensor without gradient ({operator} gives none for it: pass "
        ".detach()), got one that requires grad"
    )


def _refuse_second_backward(operator: str) -> NoReturn:
    raise NotImplementedError(
        f"{operator}: expected to be differentiated no further (it has no gradient operator of its "
        "own), got a second backward"
    )


def _is_output(field: Contract) -> bool:
    return field["role"] in ("output", "optional_output")


def _as_tuple(output: Any) -> tuple[torch.Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
