"""Everything that a training needs to go on, in one file of safetensors.

Tensors are the model's, the optimisers' and the state of PyTorch's random numbers; the header holds
the rest as JSON. Floats survive JSON bit for bit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from proof.model import Model
from proof.optimisers import Optimisers

_RANDOM = "random"


def save(path: Path, model: Model, optimisers: Optimisers, header: dict[str, Any]) -> None:
    """Write all of it, or leave the file as it was."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for part, optimiser in optimisers.parts.items():
        state = optimiser.state_dict()
        names = [name for group in state["param_groups"] for name in group["param_names"]]
        for number, values in state["state"].items():
            for field, value in values.items():
                tensors[f"{part}.{names[number]}.{field}"] = value
    tensors[_RANDOM] = torch.get_rng_state()
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    whole = path.with_suffix(".part")
    save_file(contiguous, whole, metadata={"header": json.dumps(header)})
    whole.replace(path)


def read_header(path: Path) -> dict[str, Any]:
    """What is no tensor."""
    with safe_open(path, framework="pt") as file:
        header: dict[str, Any] = json.loads(file.metadata()["header"])
    return header


def read_model(path: Path) -> dict[str, Tensor]:
    """The weights alone."""
    return _tensors(path, "model.")


def load(path: Path, model: Model, optimisers: Optimisers) -> None:
    """Put the tensors back where they came from."""
    model.load_state_dict(read_model(path))
    for part, optimiser in optimisers.parts.items():
        state = optimiser.state_dict()
        names = [name for group in state["param_groups"] for name in group["param_names"]]
        saved = _tensors(path, f"{part}.")
        state["state"] = {
            number: {
                field: saved[key]
                for key in saved
                for stem, _, field in [key.rpartition(".")]
                if stem == name
            }
            for number, name in enumerate(names)
        }
        optimiser.load_state_dict(state)
    torch.set_rng_state(_tensors(path, _RANDOM)[""])


def _tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    with safe_open(path, framework="pt") as file:
        return {
            name.removeprefix(prefix): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118 (the file is no mapping)
            if name.startswith(prefix)
        }
