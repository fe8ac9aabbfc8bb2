"""What the device's calls do here: each runs one operator of Tamis and returns the same results.

A name may mean two calls: `torch.ops.npu` and `torch.ops.custom` have an
`npu_sparse_flash_attention` each. So functions are found by namespace and name. Names and arguments
are those of `schemas.py`; registration refuses a function that differs. Complaints are one line:
the argument as the call names it, what was expected, what came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tamis.torch  # noqa: F401  (registers torch.ops.tamis)
from tamis.npu_compat.calls import (
    custom,
    custom_pypto,
    dsa,
    indexer_losses,
    mla_prolog,
    nsa,
    nsa_select,
)

CALLS: dict[str, tuple[Callable[..., Any], ...]] = {
    "npu": (
        nsa.npu_nsa_compress,
        nsa.npu_nsa_compress_grad,
        nsa.npu_nsa_compress_infer,
        nsa.npu_nsa_compress_attention,
        nsa.npu_nsa_compress_attention_infer,
        nsa_select.npu_nsa_select_attention,
        nsa_select.npu_nsa_select_attention_grad,
        nsa_select.npu_nsa_select_attention_infer,
        dsa.npu_lightning_indexer,
        dsa.npu_lightning_indexer_grad,
        dsa.npu_sparse_flash_attention,
        dsa.npu_sparse_flash_attention_grad,
        indexer_losses.npu_dense_lightning_indexer_softmax_lse,
        indexer_losses.npu_dense_lightning_indexer_grad_kl_loss,
        indexer_losses.npu_sparse_lightning_indexer_grad_kl_loss,
        mla_prolog.npu_mla_prolog,
        mla_prolog.npu_mla_prolog_v2,
        mla_prolog.npu_mla_prolog_v3,
        mla_prolog.npu_mla_prolog_v3_functional,
    ),
    "custom": (
        custom.npu_lightning_indexer,
        custom.npu_sparse_flash_attention,
        custom.npu_sparse_flash_attention_antiquant,
        custom.npu_mla_prolog_v3,
        custom.npu_mla_prolog_v3_functional,
        custom.npu_sparse_attention_pto,
    ),
    "custom_pypto": (
        custom.npu_sparse_attention_pto,
        custom_pypto.npu_lightning_indexer_pto,
        custom_pypto.npu_lightning_indexer_prolog_pto,
    ),
}


def call(namespace: str, name: str) -> Callable[..., Any]:
    """The function of a call."""
    return {function.__name__: function for function in CALLS[namespace]}[name]
