"""Stands in for the device's module of extra operators: see `tamis.npu_compat`."""

from __future__ import annotations

from tamis.npu_compat.register import calls_of

globals().update(calls_of("custom"))
