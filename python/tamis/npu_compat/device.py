"""The device "npu", which is this CPU: what names it reaches the tensors that are here.

`torch.device("npu")` can be made, compared and asked for its type, as on the device. Wherever a
function of PyTorch takes it, the CPU is meant: `tensor.device` stays `cpu`, and a tensor moved to
"npu" is the tensor itself.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tamis.npu_compat import formats

_Movable = TypeVar("_Movable")

_NAMES = re.compile(r"(npu)(:\d+)?")
_CUDA_NAMES = re.compile(r"(npu|cuda)(:\d+)?")
_TYPE_NAME = re.compile(r"torch\.(npu|cuda)\.(\w+Tensor)")

# Functions that may copy a tensor whose elements keep their meaning.
_COPIES = {
    torch.clone,
    Tensor.__deepcopy__,
    Tensor.bfloat16,
    Tensor.clone,
    Tensor.contiguous,
    Tensor.cpu,
    Tensor.cuda,
    Tensor.half,
    Tensor.to,
    Tensor.type,
}


class _Names:
    """The device types that mean this CPU: "npu", and "cuda" after `transfer_to_npu`."""

    pattern = _NAMES
    types: tuple[str, ...] = ("npu",)


def on_cpu(device: Any) -> Any:
    """A device that was named, with the CPU in place of "npu"; anything else as it is."""
    if isinstance(device, torch.device):
        return torch.device("cpu") if device.type in _Names.types else device
    if isinstance(device, str) and _Names.pattern.fullmatch(device):
        return "cpu"
    return device


class _DeviceMode(TorchFunctionMode):
    """Rewrites devices in the arguments of PyTorch's functions, compiled ones too."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if "device" in kwargs:
            kwargs = {**kwargs, "device": on_cpu(kwargs["device"])}
        # A string in another place may be anything, the subscripts of einsum say.
        strings = func is Tensor.to
        args = tuple(
            on_cpu(value)
            if isinstance(value, torch.device | str if strings else torch.device)
            else value
            for value in args
        )
        if func is Tensor.to and isinstance(kwargs.get("device"), int):
            kwargs = {**kwargs, "device": "cpu"}  # a device index
        elif func is Tensor.to and len(args) > 1 and type(args[1]) is int:
            args = (args[0], "cpu", *args[2:])
        elif func is Tensor.type and len(args) > 1 and isinstance(args[1], str):
            args = (args[0], _TYPE_NAME.sub(r"torch.\2", args[1]), *args[2:])
        elif func is Tensor.pin_memory:
            return args[0]
        if func is Tensor.unflatten:
            func = torch.unflatten  # the method calls super(), which dynamo does not trace
        result = func(*args, **kwargs)
        if func in _COPIES and not torch.compiler.is_dynamo_compiling():
            formats.hand_on(args[0], result)
        return result


def install(device_module: Any) -> None:
    """Names the device, and rewrites it in every thread from now on."""
    torch.utils.rename_privateuse1_backend("npu")
    torch._register_device_module("npu", device_module)
    _DeviceMode().__enter__()
    _carry_into_threads()
    Tensor.npu = _itself
    Tensor.is_npu = property(lambda self: True, doc="True: every tensor lies where calls run.")
    torch.nn.Module.npu = _itself
    # The accelerator interface must not find a device by its name: nothing is behind it.
    torch.accelerator.current_accelerator = _no_accelerator
    torch.accelerator.is_available = _false
    torch.accelerator.device_count = _zero
    torch.set_default_device = _rewriting(torch.set_default_device)
    torch.serialization.register_package(0, lambda _storage: None, _restore)
    torch.load = _rewriting_keyword(torch.load, "map_location")
    torch.Generator = _Generator
    torch.autocast.__init__ = _rewriting_method(torch.autocast.__init__)
    torch.distributed.init_process_group = _with_gloo(torch.distributed.init_process_group)


def transfer() -> None:
    """What names "cuda" means this CPU, too."""
    _Names.pattern, _Names.types = _CUDA_NAMES, ("npu", "cuda")
    Tensor.cuda = torch.nn.Module.cuda = _itself


def _itself(self: _Movable, *_args: object, **_kwargs: object) -> _Movable:
    """The tensor or module itself: it lies where the calls run."""
    return self


def _no_accelerator(check_available: bool = False) -> torch.device | None:
    """None: tensors lie on the CPU."""
    return None


def _false() -> bool:
    return False


def _zero() -> int:
    return 0


def _carry_into_threads() -> None:
    """Modes belong to a thread: one that starts gets its own."""
    start = threading.Thread.start

    @functools.wraps(start)
    def start_in_mode(self: threading.Thread) -> None:
        run = self.run

        def run_in_mode() -> None:
            with _DeviceMode():
                run()

        self.run = run_in_mode  # type: ignore[method-assign]
        start(self)

    threading.Thread.start = start_in_mode  # type: ignore[method-assign]


def _rewriting(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(device: Any) -> Any:
        return function(on_cpu(device))

    return call


def _rewriting_method(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(self: Any, device_type: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, on_cpu(device_type), *args, **kwargs)

    return call


def _rewriting_keyword(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if name in kwargs:
            kwargs[name] = on_cpu(kwargs[name])
        return function(*args, **kwargs)

    return call


def _restore(storage: Any, location: str) -> Any:
    """A storage that was saved on the device."""
    return storage if _Names.pattern.fullmatch(location) else None


class _Generator(torch.Generator):
    """`torch.Generator`, where a device "npu" is this CPU."""

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made: _Generator = super().__new__(cls, on_cpu(device))
        return made


def _with_gloo(function: Callable[..., Any]) -> Callable[..., Any]:
    """Between processes of this machine gloo does what HCCL does between devices."""

    @functools.wraps(function)
    def call(backend: Any = None, *args: Any, **kwargs: Any) -> Any:
        if isinstance(backend, str):
            backend = re.sub(r"\b(hccl|lccl)\b", "gloo", re.sub(r"\bnpu:", "cpu:", backend))
        return function(backend, *args, **kwargs)

    return call
