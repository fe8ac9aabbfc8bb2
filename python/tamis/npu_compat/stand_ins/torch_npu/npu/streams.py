"""Streams and events, where every call has finished when it returns."""

from __future__ import annotations

import time
from typing import Any

import torch


class Event:
    """A point in time; with `enable_timing` its distance to another can be asked for."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ) -> None:
        self.enable_timing = enable_timing
        self._seconds: float | None = None

    def record(self, stream: Stream | None = None) -> None:
        """Takes the time."""
        self._seconds = time.perf_counter()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to the other."""
        for event in (self, end_event):
            if not event.enable_timing:
                raise RuntimeError("Event: expected enable_timing=True for elapsed_time, got False")
            if event._seconds is None:
                raise RuntimeError("Event: expected a recorded event, got one without record()")
        assert self._seconds is not None
        assert end_event._seconds is not None
        return 1000 * (end_event._seconds - self._seconds)

    def query(self) -> bool:
        """True: all before it is done."""
        return True

    def synchronize(self) -> None:
        """Nothing."""

    def wait(self, stream: Stream | None = None) -> None:
        """Nothing."""


class Stream:
    """An order of calls; calls here run in the order of the script."""

    def __init__(self, device: Any = None, priority: int = 0, **_more: Any) -> None:
        self.priority = priority
        self._outer: Stream | None = None

    @property
    def device(self) -> torch.device:
        """The one there is."""
        return torch.device("npu:0")

    def __enter__(self) -> Stream:
        """Makes it current."""
        self._outer = _Current.stream
        set_stream(self)
        return self

    def __exit__(self, *_error: object) -> None:
        """Makes the one before current again."""
        assert self._outer is not None
        set_stream(self._outer)

    def query(self) -> bool:
        """True: all in it is done."""
        return True

    def synchronize(self) -> None:
        """Nothing."""

    def wait_event(self, event: Event) -> None:
        """Nothing."""

    def wait_stream(self, stream: Stream) -> None:
        """Nothing."""

    def record_event(self, event: Event | None = None) -> Event:
        """Records the event, or a new one."""
        event = Event() if event is None else event
        event.record(self)
        return event


class _Current:
    default = Stream()
    stream = default


def stream(stream: Stream | None) -> Stream:
    """A context in which the stream is current."""
    return _Current.stream if stream is None else stream


def current_stream(device: Any = None) -> Stream:
    """The stream that is current."""
    return _Current.stream


def default_stream(device: Any = None) -> Stream:
    """The stream that is current at first."""
    return _Current.default


def set_stream(stream: Stream) -> None:
    """Makes a stream current."""
    _Current.stream = stream


def synchronize(device: Any = None) -> None:
    """Nothing: a call's results are there when it returns."""
