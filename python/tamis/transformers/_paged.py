"""The cached rows of one layer, in pages."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers.cache_utils import CacheLayerMixin

from tamis.nn import PagedCache
from tamis.nn.page_table import Rows

if TYPE_CHECKING:
    from tamis.transformers._cache import Cache

PANEL = 16  # keys of a panel of the shadow


@dataclass(frozen=True)
class Paged:
    """Rows that `update` and `update_indexer` hand on where transformers' caches have a tensor.

    Parameters
    ----------
    rows : Tensor [pages, page_size, channels]
        of all sequences; index keys have a dimension more, of one head
    where : Rows
        of the call: which are new, and how many every sequence has
    block_table : Tensor [sequences, most] of int32
        pages of each sequence
    shadow : Tensor or None
        rows in 8 bits, of index keys
    """

    rows: Tensor
    where: Rows
    block_table: Tensor
    shadow: Tensor | None = None


class PagedLayer(CacheLayerMixin):
    """Latents and rotated keys, and index keys where the layer has an indexer of its own.

    Parameters
    ----------
    cache : Cache
        says where the rows of a call lie, for all layers
    attention : Module
        the layer's
    dtype : torch.dtype
        of rows
    shadow : bool
        whether index keys are kept in 8 bits, too
    """

    is_croppable = True
    is_sliding = False
    supports_early_init = False

    def __init__(self, cache: Cache, attention: Any, dtype: torch.dtype, shadow: bool) -> None:
        super().__init__()
        self.cache = cache
        rows: dict[str, tuple[int, ...]] = {
            "latent": (attention.kv_lora_rank,),
            "rope": (attention.qk_rope_head_dim,),
        }
        indexer = attention.indexer
        if indexer is not None:
            rows["index"] = (1, indexer.head_dim)
        self.pools = PagedCache(rows, cache.table, dtype=dtype)
        self.shadow: Tensor | None = None
        if indexer is not None and shadow:
            self.shadow = _in_8_bits(self.pools.tensors["index"])
            cache.table.attach([self.shadow])

    @property
    def nbytes(self) -> int:
        """Of all rows that there is room for."""
        shadow = 0 if self.shadow is None else self.shadow.nbytes
        nbytes: int = sum(pool.nbytes for pool in self.pools.tensors.values())
        return nbytes + shadow

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Paged, Paged]:
        """Writes latents [B, 1, S, L] and rotated keys [B, 1, S, R] of a call."""
        del args, kwargs
        where = self.cache.rows
        self.pools.write(
            where.slots, latent=key_states.flatten(0, 2), rope=value_states.flatten(0, 2)
        )
        return self._paged("latent", where), self._paged("rope", where)

    def update_indexer(self, indexer_key_states: Tensor) -> Paged:
        """Writes index keys [B, S, D] of the call whose latents are written."""
        where = self.cache.rows
        self.pools.write(where.slots, index=indexer_key_states.flatten(0, 1).unsqueeze(1))
        found = self._paged("index", where)
        if self.shadow is None:
            return found
        pages = self.cache.pages
        self.shadow[pages] = _in_8_bits(found.rows[pages])
        return replace(found, shadow=self.shadow)

    def _paged(self, name: str, where: Rows) -> Paged:
        return Paged(self.pools.tensors[name], where, self.pools.block_table())

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing is left to do."""

    def get_seq_length(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.cache.lengths)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Tokens after a call, and where they begin."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """Tokens that a sequence may have."""
        return self.cache.tokens


def _in_8_bits(keys: Tensor) -> Tensor:
    shadow: Tensor = torch.ops.tamis.quantize_index_keys(keys, layout_key="PA_BSND")
    return shadow
