"""Stands in for the device's module of extra operators: see `tamis.npu_compat`.

Importing it mounts its calls on `torch_npu`, as the device's module does. Where torch_npu has a
call of the same name, this one replaces it: `torch_npu.npu_sparse_flash_attention` returns one
tensor from then on, and three before.
"""

from __future__ import annotations

import sys

from tamis.npu_compat.register import calls_of

globals().update(calls_of("custom"))
sys.modules["torch_npu"].__dict__.update(calls_of("custom"))
