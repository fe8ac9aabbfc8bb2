"""Models of transformers with Tamis's attention, on the CPU.

    import tamis.transformers

    model = AutoModelForCausalLM.from_pretrained(path, attn_implementation="tamis")

Layers with an indexer (DeepSeek Sparse Attention) select their tokens exactly, ties by index, and
attend to these alone, over the latents as the cache has them: keys and values are never expanded.
`model.set_attn_implementation` turns it on and off. `training` lets a model train in the stages of
DeepSeek-V3.2, its indexers by losses of their own, which `indexer_losses` gives. `families` tells
which families the installed transformers has in code that is known here; a family whose code has
changed is refused.
"""

from __future__ import annotations

try:
    import transformers
except ModuleNotFoundError as error:
    message = (
        "tamis.transformers: needs transformers, which is not installed here: "
        "pip install 'tamis[transformers]'"
    )
    raise ModuleNotFoundError(message, name=error.name) from error

from transformers.masking_utils import AttentionMaskInterface

import tamis.torch  # noqa: F401  # its operators
from tamis.nn import mla_sparse_attention
from tamis.transformers._attention import attend
from tamis.transformers._cache import Cache
from tamis.transformers._families import FAMILIES, patch
from tamis.transformers._masks import visible_mask
from tamis.transformers._training import indexer_losses, indexer_parameters, training

__all__ = [
    "Cache",
    "families",
    "indexer_losses",
    "indexer_parameters",
    "mla_sparse_attention",
    "training",
]

_patched = {name: patch(name) for name in FAMILIES}
transformers.AttentionInterface.register("tamis", attend)
AttentionMaskInterface.register("tamis", visible_mask)


def families() -> dict[str, bool]:
    """Names of the families, and whether the installed transformers has each as it is known here.

    The others are refused at their first call, in one line.
    """
    return dict(_patched)
