"""Importing it makes a script for CUDA mean this CPU: `.cuda()`, device "cuda", `torch.cuda`."""

from __future__ import annotations

import torch

from tamis.npu_compat import device

from .. import npu

device.transfer()
for _name in npu.__all__:
    setattr(torch.cuda, _name, getattr(npu, _name))
