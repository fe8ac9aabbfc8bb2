"""Where attention layers of other families part from that of DeepSeek-V3.2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Queries: TypeAlias = Literal["low_rank", "low_rank_twice", "hidden"]
Gate: TypeAlias = Literal["none", "heads", "channels"]


@dataclass(frozen=True)
class Flavour:
    """What a layer does otherwise; the defaults are those of DeepSeek-V3.2.

    Parameters
    ----------
    queries : {"low_rank", "low_rank_twice", "hidden"}
        what queries are made of: low-rank queries, normed; these and, beside them, the same as they
        were before the norm; hidden states. Index queries are made of normed low-rank queries, or
        of hidden states after a layer norm of their own
    scaled_queries : bool
        queries, and index queries, times a number per head: `a log(position + 1) + b`
    rope_interleaved : bool
        rope of queries and keys takes interleaved pairs; else halves
    norm_rope : bool
        the keys' channels with positions have a norm, before they turn
    indexer : bool
        the layer selects; else it is given what another layer has selected
    index_rope_last : bool
        rope of the indexer turns the last channels of a head; else the first
    index_epsilon : float, optional
        of the indexer's norms, if it is not that of the others
    bias : bool
        projections of hidden states, and the one back, have biases
    sinks : bool
        heads have a logit in their softmax that has no value
    gate : {"none", "heads", "channels"}
        what heads give is weighed by a sigmoid of what queries are made of ("low_rank_twice") or
        of hidden states: one number per head, or per channel of its values
    """

    queries: Queries = "low_rank"
    scaled_queries: bool = False
    rope_interleaved: bool = True
    norm_rope: bool = False
    indexer: bool = True
    index_rope_last: bool = False
    index_epsilon: float | None = None
    bias: bool = False
    sinks: bool = False
    gate: Gate = "none"
