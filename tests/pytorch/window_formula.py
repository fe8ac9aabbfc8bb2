"""Attention over a sliding window in plain torch, from its formula alone, for autograd."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """A call: the tokens and keys of every sequence, and which of them a token sees."""

    layout: str
    queries: list[int]
    keys: list[int]
    size: int = 20
    heads: tuple[int, int] = (4, 2)  # of queries, of keys
    dims: tuple[int, int] = (32, 24)  # of keys, of values
    starts: list[int] | None = None  # per sequence, or one for all
    limited: bool = False
    padding: int = 0  # rows past the last sequence, packed
    scale: float = 0.25

    def of_size(self, size: int) -> Window:
        """The same with windows of so many keys."""
        return replace(self, size=size)

    def rows(self, counts: list[int]) -> tuple[int, ...]:
        """The leading dimensions of a tensor."""
        if self.layout == "TND":
            return (sum(counts) + self.padding,)
        return (len(counts), max(counts))

    def random(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Query, key and value."""
        generator = torch.Generator().manual_seed(sum(self.keys))
        shapes = {
            "query": (*self.rows(self.queries), self.heads[0], self.dims[0]),
            "key": (*self.rows(self.keys), self.heads[1], self.dims[0]),
            "value": (*self.rows(self.keys), self.heads[1], self.dims[1]),
        }
        return {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}

    def limits(self) -> Tensor:
        """Of every query row, some below 0 and some past the keys."""
        generator = torch.Generator().manual_seed(7)
        most = max(self.keys) + 10
        shape = self.rows(self.queries)
        return torch.randint(-3, most, shape, generator=generator, dtype=torch.int32)

    def arguments(self) -> dict[str, Any]:
        """All of the operator's arguments but query, key and value."""

        def lengths(counts: list[int]) -> Tensor:
            return torch.tensor(list(accumulate(counts)) if self.layout == "TND" else counts)

        given: dict[str, Any] = {
            "actual_seq_lengths_query": lengths(self.queries),
            "actual_seq_lengths_kv": lengths(self.keys),
            "scale_value": self.scale,
            "window_size": self.size,
            "layout_query": self.layout,
            "layout_kv": self.layout,
        }
        if self.starts is not None:
            given["key_starts"] = torch.tensor(self.starts)
        if self.limited:
            given["key_limits"] = self.limits()
        return given

    def part(self, tensor: Tensor, counts: list[int], b: int) -> Tensor:
        """The rows of sequence b."""
        if self.layout == "BSND":
            return tensor[b, : counts[b]]
        begin = sum(counts[:b])
        return tensor[begin : begin + counts[b]]

    def seen(self, b: int) -> Tensor:
        """Which keys of sequence b every token sees: [tokens, keys]."""
        q, n = self.queries[b], self.keys[b]
        end = torch.arange(q) + n - q + 1
        if self.limited:
            end = torch.minimum(end, self.part(self.limits(), self.queries, b).long())
        start = 0 if self.starts is None else self.starts[b % len(self.starts)]
        at, end = torch.arange(n), end[:, None]
        return (at < end) & (at >= end - self.size) & (at >= start)


def formula(tensors: dict[str, Tensor], window: Window) -> Tensor:
    """The attention of every token; 0 where it sees no key, and where there is no token."""
    query, key, value = tensors["query"], tensors["key"], tensors["value"]
    group = query.shape[-2] // key.shape[-2]
    outs = []
    for b in range(len(window.queries)):
        q = window.part(query, window.queries, b)
        k = window.part(key, window.keys, b).repeat_interleave(group, 1)
        v = window.part(value, window.keys, b).repeat_interleave(group, 1)
        seen = window.seen(b)[:, None]
        scores = window.scale * torch.einsum("ihd,jhd->ihj", q, k)
        hidden = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        outs.append(torch.einsum("ihj,jhd->ihd", torch.softmax(hidden, -1) * seen, v))
    if window.layout == "BSND":
        longest = max(window.queries)
        rows = [torch.nn.functional.pad(o, (0, 0, 0, 0, 0, longest - len(o))) for o in outs]
        return torch.stack(rows)
    packed = torch.cat(outs)
    return torch.nn.functional.pad(packed, (0, 0, 0, 0, 0, window.padding))
