"""What the indexer of Mistral Large 4 does otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tamis.transformers._indexer import Indexer


@dataclass(frozen=True)
class MistralIndexer(Indexer):
    """Queries of the hidden states themselves, scaled by position; some layers do not rotate."""

    def query(self, indexer: Any, call: Mapping[str, Any]) -> Tensor:
        """From normalised hidden states."""
        query: Tensor = indexer.wq_b(indexer.q_input_norm(call["hidden_states"]))
        return query

    def scaled(self, indexer: Any, query: Tensor, call: Mapping[str, Any]) -> Tensor:
        """By the logarithm of the position."""
        positions = call["position_ids"]
        scaled: Tensor = indexer.softmax_scaling(query, positions, head_dim_first=False)
        return scaled

    def rotates(self, indexer: Any) -> bool:
        """As the configuration says."""
        return bool(indexer.use_rope)
