"""Weights that must be the same on all ranks."""

from __future__ import annotations

import zlib

import torch

from tamis.distributed.transport import as_bytes


def checksum(layer: torch.nn.Module) -> int:
    """Of all weights, names, and places of their bytes."""
    found = 0
    for name, parameter in layer.named_parameters():
        found = zlib.crc32(name.encode(), found)
        found = zlib.crc32(as_bytes(parameter.detach()).numpy(), found)
    return found
