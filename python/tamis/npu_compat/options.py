"""What `tamis.npu_compat.enable` chooses, for every call from then on."""

from __future__ import annotations

from dataclasses import dataclass

WEIGHT_FORMATS = ("tagged", "ND", "NZ")
ACCURACIES = ("storage", "fp32")
GRAPH_BACKENDS = ("eager", "inductor")


@dataclass
class Options:
    """The choices, with their defaults; `tamis.npu_compat.enable` describes each."""

    strict: bool = False
    accuracy: str = "storage"
    weight_format: str = "tagged"
    graph_backend: str = "eager"
    available: bool = False
    device_name: str = "Ascend910B (tamis on a CPU)"

    def choose(self, **chosen: object) -> None:
        """Sets what is not None; refuses what is not among the values of an option."""
        allowed = {
            "accuracy": ACCURACIES,
            "weight_format": WEIGHT_FORMATS,
            "graph_backend": GRAPH_BACKENDS,
        }
        given = {name: value for name, value in chosen.items() if value is not None}
        for name, value in given.items():
            kind = type(getattr(self, name))
            if not isinstance(value, kind):
                raise TypeError(f"{name}: expected {kind.__name__}, got {value!r}")
            if value not in allowed.get(name, (value,)):
                raise ValueError(f"{name}: expected one of {', '.join(allowed[name])}; got {value}")
        for name, value in given.items():
            setattr(self, name, value)


options = Options()
