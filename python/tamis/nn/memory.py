"""Memory of large tensors."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor

_HUGE_PAGE = 2 << 20


def empty_in_huge_pages(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A tensor whose memory is in pages of 2 MiB, where the kernel has them.

    Rows that are read from random places of a large cache wait for the entries of their pages more
    than for the rows; huge pages make those entries few. Linux gives them on request
    (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise` or `always`); elsewhere, and for
    tensors smaller than a page, this is `torch.empty`.

    Parameters
    ----------
    shape : sequence of int
    dtype : torch.dtype

    Returns
    -------
    Tensor
        not initialised
    """
    tensor = torch.empty(*shape, dtype=dtype)
    begin = -(-tensor.data_ptr() // _HUGE_PAGE) * _HUGE_PAGE
    end = (tensor.data_ptr() + tensor.nbytes) // _HUGE_PAGE * _HUGE_PAGE
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is not None and end > begin:
        # Only advice: a kernel without huge pages refuses it, and nothing changes.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), advice)
    return tensor


def sizes(**named: object) -> str:
    """What `repr` says of a layer or a cache: names and values, bytes in the unit that suits."""
    return ", ".join(
        f"{name}={_bytes(value) if isinstance(value, int) and 'bytes' in name else value}"
        for name, value in named.items()
    )


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            break
        size /= 1024
    return f"{size:.4g} {unit}"
