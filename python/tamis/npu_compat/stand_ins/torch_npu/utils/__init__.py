"""What scripts ask about the device's software."""

from __future__ import annotations

from ..npu.utils import get_cann_version as get_cann_version
