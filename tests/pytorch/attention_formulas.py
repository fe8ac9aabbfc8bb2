"""Operators that have a gradient in plain torch, from their formulas alone, for autograd.

A call knows its tensors, its other arguments, and what the operator gives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor


class Call(Protocol):
    """A call of an operator that has a gradient."""

    op: ClassVar[str]

    def random(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The tensors that have a gradient."""

    def arguments(self) -> dict[str, Any]:
        """All of the operator's other arguments."""

    def formula(self, tensors: dict[str, Tensor]) -> Tensor:
        """The first of its results."""


def weigh(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    seen: Tensor,
    scale: float,
    *,
    uniform: bool = False,
    sinks: Tensor | None = None,
) -> Tensor:
    """Attention of the tokens of one sequence.

    Parameters
    ----------
    query, key, value : Tensor [q, N, D], [n, N2, D], [n, N2, D2]
    seen : Tensor [q, N2 or 1, n]
        how often a token sees a key
    scale : float
        of scores
    uniform : bool
        a token that sees no key gets the mean of all values; else 0
    sinks : Tensor [N], optional
        scores without a value
    """
    group = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(group, 1) for t in (key, value))
    seen = seen.expand(-1, key.shape[1] // group, -1).repeat_interleave(group, 1)
    scores = scale * torch.einsum("ihd,jhd->ihj", query, key) + seen.clamp(min=1).log()
    scores = scores.masked_fill(seen == 0, torch.finfo(scores.dtype).min)
    if sinks is not None:
        scores = torch.cat([scores, sinks[None, :, None].expand(len(scores), -1, 1)], -1)
    p = torch.softmax(scores, -1)[..., : seen.shape[-1]]
    shown = seen > 0
    if uniform:
        shown = shown | ~shown.any(-1, keepdim=True)
    return torch.einsum("ihj,jhd->ihd", p * shown, value)


def attention_tensors(
    queries: tuple[int, ...],
    keys: tuple[int, ...],
    heads: tuple[int, int],
    dims: tuple[int, int],
    dtype: torch.dtype,
) -> dict[str, Tensor]:
    """Query, key and value of these leading dimensions."""
    generator = torch.Generator().manual_seed(sum(keys))
    shapes = {
        "query": (*queries, heads[0], dims[0]),
        "key": (*keys, heads[1], dims[0]),
        "value": (*keys, heads[1], dims[1]),
    }
    return {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}


@dataclass(frozen=True)
class Ragged:
    """Tokens and keys of every sequence, packed or padded, and what is hidden of them."""

    layout: str
    queries: list[int]
    keys: list[int]
    starts: list[int] | None = None  # per sequence, or one for all
    limited: bool = False
    padding: int = 0  # rows past the last sequence, packed
    scale: float = 0.25

    def rows(self, counts: list[int]) -> tuple[int, ...]:
        """The leading dimensions of a tensor."""
        if self.layout == "TND":
            return (sum(counts) + self.padding,)
        return (len(counts), max(counts))

    def limits(self) -> Tensor:
        """Of every query row, some below 0 and some past the keys."""
        return random_limits(self.rows(self.queries), max(self.keys))

    def hiding(self) -> dict[str, Any]:
        """Lengths, layouts, what is hidden, and the scale."""

        def lengths(counts: list[int]) -> Tensor:
            return torch.tensor(list(accumulate(counts)) if self.layout == "TND" else counts)

        given: dict[str, Any] = {
            "actual_seq_lengths_query": lengths(self.queries),
            "actual_seq_lengths_kv": lengths(self.keys),
            "scale_value": self.scale,
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

    def ends(self, b: int, *, causal: bool = True) -> Tensor:
        """Keys before this one may be seen, of every token of sequence b."""
        q, n = self.queries[b], self.keys[b]
        end = torch.arange(q) + n - q + 1 if causal else torch.full((q,), n)
        if self.limited:
            end = torch.minimum(end, self.part(self.limits(), self.queries, b).long())
        return end

    def start(self, b: int) -> int:
        """The first key of sequence b that counts."""
        return 0 if self.starts is None else self.starts[b % len(self.starts)]

    def laid(self, outs: list[Tensor]) -> Tensor:
        """What all sequences give, 0 where there is no token."""
        if self.layout == "BSND":
            longest = max(self.queries)
            rows = [torch.nn.functional.pad(o, (0, 0, 0, 0, 0, longest - len(o))) for o in outs]
            return torch.stack(rows)
        return torch.nn.functional.pad(torch.cat(outs), (0, 0, 0, 0, 0, self.padding))


@dataclass(frozen=True)
class Window(Ragged):
    """Sliding windows: which keys a token sees."""

    op: ClassVar[str] = "sliding_window_attention"
    size: int = 20
    heads: tuple[int, int] = (4, 2)  # of queries, of keys
    dims: tuple[int, int] = (32, 24)  # of keys, of values

    def of_size(self, size: int) -> Window:
        """The same with windows of so many keys."""
        return replace(self, size=size)

    def random(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Query, key and value."""
        queries, keys = self.rows(self.queries), self.rows(self.keys)
        return attention_tensors(queries, keys, self.heads, self.dims, dtype)

    def arguments(self) -> dict[str, Any]:
        """Lengths, what is hidden, and how."""
        return self.hiding() | {"window_size": self.size}

    def seen(self, b: int) -> Tensor:
        """Which keys of sequence b every token sees: [tokens, 1, keys]."""
        at, end = torch.arange(self.keys[b]), self.ends(b)[:, None]
        shown = (at < end) & (at >= end - self.size) & (at >= self.start(b))
        return shown[:, None].double()

    def formula(self, tensors: dict[str, Tensor]) -> Tensor:
        """The attention of every token; 0 where it sees no key, and where there is no token."""
        outs = []
        for b in range(len(self.queries)):
            q = self.part(tensors["query"], self.queries, b)
            k, v = (self.part(tensors[name], self.keys, b) for name in ("key", "value"))
            outs.append(weigh(q, k, v, self.seen(b), self.scale))
        return self.laid(outs)


@dataclass(frozen=True)
class Listed(Ragged):
    """Lists of keys, one for each token: in any order, with keys twice and of the future."""

    op: ClassVar[str] = "sparse_flash_attention"
    mode: int = 3
    block: int = 1
    slots: int = 20
    heads: int = 4
    dims: tuple[int, int] = (32, 8)  # latent and rotary; 0: none
    valued: bool = False  # values of their own
    sinks: bool = False

    def random(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Query and key, and what else the call has."""
        queries, keys = self.rows(self.queries), self.rows(self.keys)
        latent, rope = self.dims
        shapes: dict[str, tuple[int, ...]] = {
            "query": (*queries, self.heads, latent),
            "key": (*keys, 1, latent),
        }
        if self.valued:
            shapes["value"] = (*keys, 1, latent)
        if rope > 0:
            shapes |= {"query_rope": (*queries, self.heads, rope), "key_rope": (*keys, 1, rope)}
        generator = torch.Generator().manual_seed(sum(keys))
        made = {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}
        if self.sinks:
            made["sinks"] = torch.randn(self.heads, generator=generator)
        return made

    def ids(self) -> Tensor:
        """The list of every token; some are empty, some end early."""
        generator = torch.Generator().manual_seed(17)
        shape = (*self.rows(self.queries), 1, self.slots)
        ids = torch.randint(0, max(self.keys) // self.block + 3, shape, generator=generator)
        ends = torch.rand(shape, generator=generator) < 0.04
        return ids.masked_fill(ends, -1).int()

    def arguments(self) -> dict[str, Any]:
        """Lists, lengths, what is hidden, and how; statistics, which a gradient is made from."""
        return self.hiding() | {
            "sparse_indices": self.ids(),
            "sparse_block_size": self.block,
            "sparse_mode": self.mode,
            "return_softmax_lse": True,
        }

    def seen(self, b: int) -> Tensor:
        """How often every token sees every key of sequence b: [tokens, 1, keys]."""
        q, n = self.queries[b], self.keys[b]
        lists = self.part(self.ids(), self.queries, b)[:, 0].tolist()
        ends = self.ends(b, causal=self.mode == 3).clamp(0, n).tolist()
        seen = torch.zeros(q, 1, n, dtype=torch.double)
        for t, (named, end) in enumerate(zip(lists, ends, strict=True)):
            for i in named[: -(-end // self.block)]:
                if i < 0:
                    break
                seen[t, 0, i * self.block : min((i + 1) * self.block, end)] += 1
        seen[..., : self.start(b)] = 0
        return seen

    def formula(self, tensors: dict[str, Tensor]) -> Tensor:
        """The attention of every token; 0 where it sees no key, and where there is no token."""
        outs = []
        for b in range(len(self.queries)):

            def whole(name: str, counts: list[int], b: int = b) -> Tensor:
                names = [n for n in (name, f"{name}_rope") if n in tensors]
                return torch.cat([self.part(tensors[n], counts, b) for n in names], -1)

            value = self.part(tensors["value" if self.valued else "key"], self.keys, b)
            q, k = whole("query", self.queries), whole("key", self.keys)
            sinks = tensors.get("sinks")
            outs.append(weigh(q, k, value, self.seen(b), self.scale, sinks=sinks))
        return self.laid(outs)


def random_limits(rows: tuple[int, ...], keys: int) -> Tensor:
    """How many keys a query row may see, some below 0 and some past the keys."""
    generator = torch.Generator().manual_seed(7)
    return torch.randint(-3, keys + 10, rows, generator=generator, dtype=torch.int32)


@dataclass(frozen=True)
class Selected:
    """Selected blocks: lists in any order, with blocks twice, of the future, and ended early."""

    op: ClassVar[str] = "nsa_selected_attention"
    queries: list[int]
    keys: list[int]
    mode: int = 2
    block: int = 5
    slots: int = 6
    heads: tuple[int, int] = (4, 2)
    dims: tuple[int, int] = (32, 24)
    scale: float = 0.25

    def random(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Query, key and value."""
        return attention_tensors(
            (sum(self.queries),), (sum(self.keys),), self.heads, self.dims, dtype
        )

    def ids(self) -> Tensor:
        """The list of every token and kv head."""
        generator = torch.Generator().manual_seed(11)
        shape = (sum(self.queries), self.heads[1], self.slots)
        blocks = max(self.keys) // self.block + 3
        ids = torch.randint(0, blocks, shape, generator=generator, dtype=torch.int32)
        if self.slots > 3:
            ids[::2, :, 3] = ids[::2, :, 0]  # twice
            ids[::3, :, 1] = 2**31 - 1
            ids[1::5, :, 2] = -1  # in between: what follows is not looked at
            ids[4::9, :, 0] = -1
        return ids

    def arguments(self) -> dict[str, Any]:
        """Lists, lengths, and how."""
        return {
            "topk_indices": self.ids(),
            "scale_value": self.scale,
            "head_num": self.heads[0],
            "select_block_size": self.block,
            "select_block_count": self.slots,
            "actual_seq_qlen": list(accumulate(self.queries)),
            "actual_seq_kvlen": list(accumulate(self.keys)),
            "sparse_mode": self.mode,
        }

    def seen(self, b: int) -> Tensor:
        """How often a token's list names each key of sequence b: [tokens, N2, keys]."""
        q, n = self.queries[b], self.keys[b]
        begin, lists = sum(self.queries[:b]), self.ids().tolist()
        seen = torch.zeros(q, self.heads[1], n, dtype=torch.double)
        for t in range(q):
            end = {0: n, 2: min(t + 1, n), 3: min(max(n - q + t + 1, 0), n)}[self.mode]
            for g, named in enumerate(lists[begin + t]):
                for block in named:
                    if block < 0:
                        break
                    seen[t, g, block * self.block : min((block + 1) * self.block, end)] += 1
        return seen

    def formula(self, tensors: dict[str, Tensor]) -> Tensor:
        """The attention of every token; 0 where it sees no key."""
        parts = packed_parts(tensors, self.queries, self.keys)
        return torch.cat([weigh(*p, self.seen(b), self.scale) for b, p in enumerate(parts)])


def packed_parts(
    tensors: dict[str, Tensor], queries: list[int], keys: list[int]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Query, key and value of every sequence."""
    parts = [tensors["query"].split(queries)]
    parts += [tensors[name].split(keys) for name in ("key", "value")]
    return list(zip(*parts, strict=True))


@dataclass(frozen=True)
class Compressed:
    """Compressed keys, hidden by a mask, by causality and by limits."""

    op: ClassVar[str] = "nsa_compress_attention"
    queries: list[int]
    keys: list[int]
    masked: bool = False
    causal: bool = False
    raw: list[int] | None = None  # tokens of each sequence, where a part of them asks
    limited: bool = False
    masked_rows: str = "uniform"
    heads: tuple[int, int] = (4, 2)
    dims: tuple[int, int] = (32, 24)
    scale: float = 0.25
    sizes: tuple[int, int] = (8, 4)  # of windows, and from one to the next

    def random(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Query, key and value."""
        return attention_tensors(
            (sum(self.queries),), (sum(self.keys),), self.heads, self.dims, dtype
        )

    def mask(self) -> Tensor:
        """By positions in the sequence; of some tokens it hides every key."""
        generator = torch.Generator().manual_seed(13)
        mask = torch.rand(max(self.queries), max(self.keys), generator=generator) < 0.4
        mask[::7] = True
        return mask

    def limits(self) -> Tensor:
        """Of every token."""
        return random_limits((sum(self.queries),), max(self.keys))

    def arguments(self) -> dict[str, Any]:
        """Lengths, what is hidden, and how."""
        given: dict[str, Any] = {
            "scale_value": self.scale,
            "head_num": self.heads[0],
            "compress_block_size": self.sizes[0],
            "compress_stride": self.sizes[1],
            "select_block_size": 4 * self.sizes[1],
            "select_block_count": 2,
            "actual_seq_qlen": list(accumulate(self.queries)),
            "actual_cmp_seq_kvlen": list(accumulate(self.keys)),
            "masked_rows": self.masked_rows,
            "causal": self.causal,
        }
        if self.masked:
            given["atten_mask"] = self.mask()
        if self.limited:
            given["key_limits"] = self.limits()
        if self.raw is not None:
            given["actual_raw_seq_kvlen"] = list(accumulate(self.raw))
        return given

    def seen(self, b: int) -> Tensor:
        """Which keys of sequence b every token sees: [tokens, 1, keys]."""
        q, n = self.queries[b], self.keys[b]
        at, token = torch.arange(n), torch.arange(q)[:, None]
        seen = torch.ones(q, n, dtype=torch.bool)
        if self.masked:
            seen &= ~self.mask()[:q, :n]
        if self.causal:
            before = 0 if self.raw is None else self.raw[b] - q
            seen &= at * self.sizes[1] + self.sizes[0] <= before + token + 1
        if self.limited:
            seen &= at < self.limits().split(self.queries)[b][:, None]
        return seen[:, None].double()

    def formula(self, tensors: dict[str, Tensor]) -> Tensor:
        """The attention of every token."""
        parts = packed_parts(tensors, self.queries, self.keys)
        uniform = self.masked_rows == "uniform"
        outs = [
            weigh(*part, self.seen(b), self.scale, uniform=uniform) for b, part in enumerate(parts)
        ]
        return torch.cat(outs)


@dataclass(frozen=True)
class Compress:
    """Sums over windows of tokens."""

    op: ClassVar[str] = "nsa_compress"
    tokens: list[int]
    heads: int = 2
    dim: int = 24
    sizes: tuple[int, int] = (8, 4)  # of windows, and from one to the next

    def random(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Tokens, and the weight of each in a window."""
        generator = torch.Generator().manual_seed(len(self.tokens))
        shapes = {
            "input": (sum(self.tokens), self.heads, self.dim),
            "weight": (self.sizes[0], self.heads),
        }
        return {n: torch.randn(s, generator=generator).to(dtype) for n, s in shapes.items()}

    def arguments(self) -> dict[str, Any]:
        """Lengths and sizes."""
        return {
            "act_seq_len": list(accumulate(self.tokens)),
            "compress_block_size": self.sizes[0],
            "compress_stride": self.sizes[1],
        }

    def formula(self, tensors: dict[str, Tensor]) -> Tensor:
        """The sums of all sequences; none of one that is shorter than a window."""
        parts = [part for part in tensors["input"].split(self.tokens) if len(part) >= self.sizes[0]]
        return torch.cat(
            [
                torch.einsum("nhcw,wh->nhc", part.unfold(0, *self.sizes), tensors["weight"])
                for part in parts
            ]
        )
