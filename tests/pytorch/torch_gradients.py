"""Registers a backward for every operator and says what came of it, as JSON.

A process of its own, `python -m torch_gradients FOLDER`: what is registered stays, in place of the
backward that an operator has. Gradients are ones; what counts is which arguments arrive where.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from python_calls import same_bits, updated
from torch_calls import by_position, optional_tensors, overload, results
from torch_forms import forms

import tamis
from tamis.case import Case

_seen: dict[str, Any] = {}  # what set-up was given last


def _set_up(ctx: Any, inputs: Any, keyword_only_inputs: Any, output: Any) -> None:
    _seen["tensors"], _seen["attributes"] = inputs, keyword_only_inputs
    ctx.save_for_backward(*(t for t in inputs if t is not None))
    ctx.given = [t is not None for t in inputs]


def _backward(ctx: Any, *_: Any) -> tuple[torch.Tensor | None, ...]:
    saved = iter(ctx.saved_tensors)
    inputs = [next(saved) if given else None for given in ctx.given]
    wanted = zip(inputs, ctx.needs_input_grad, strict=True)
    return tuple(torch.ones_like(t) if need else None for t, need in wanted)


def register(name: str) -> str:
    """Nothing, or why PyTorch takes no backward for the operator."""
    try:
        torch.library.register_autograd(name, _backward, setup_context=_set_up)
    except (NotImplementedError, RuntimeError) as error:
        return str(error)
    return ""


def define(schema: str) -> str:
    """An operator of this schema and nothing behind it; its name."""
    name = "tamis_schemas::" + schema.partition("(")[0]
    torch.library.define(name, schema[schema.index("(") :])
    return name


def without_updates(op: str) -> str:
    """The operator's schema as if it wrote nothing."""
    return re.sub(r"\([a-z]!\)", "", str(overload(op)._schema).removeprefix("tamis::"))


def _names(came: Any, tensors: dict[str, torch.Tensor]) -> list[str]:
    """What the tensors that came are called."""
    return [name for tensor in came for name, given in tensors.items() if given is tensor]


def call(case: Case) -> dict[str, Any] | None:
    """What the registered functions see of a call; nothing where no tensor can have a gradient."""
    floating = [t for t in case.tensors.values() if t.is_floating_point()]
    if not floating:
        return None
    positional, named = by_position(case)
    with torch.no_grad():
        expected = results(case.op, overload(case.op)(*positional, **named))
    floating[0].requires_grad_()
    found = results(case.op, overload(case.op)(*positional, **named))
    graded = [t for t in found.values() if t.requires_grad]
    if graded:
        graded[0].float().sum().backward()
    gradient = floating[0].grad
    return {
        "tensors": _names(_seen["tensors"], case.tensors),
        "attributes": list(_seen["attributes"]),
        "same_bits": all(same_bits(found[n].detach(), value) for n, value in expected.items()),
        "gradient": gradient is not None and bool((gradient == 1).all()),
    }


def main(folder: Path) -> None:
    answers: dict[str, Any] = {"operators": {}, "without_updates": {}, "calls": {}}
    # Made before anything is registered: making them calls operators, too.
    whole = {
        case.op: case
        for _, case in forms(folder)
        if case.tensors.keys() >= optional_tensors(case.op)
    }
    for op in tamis.operators():
        answers["operators"][op] = register(f"tamis::{op}")
        if updated(op):
            answers["without_updates"][op] = register(define(without_updates(op)))
        else:
            answers["calls"][op] = call(whole[op])
    after = define("after(Tensor query, *, Tensor? value=None) -> Tensor")
    answers["tensor_after_the_star"] = register(after)
    print(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
