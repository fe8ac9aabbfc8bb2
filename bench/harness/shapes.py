"""What is timed: calls of the documents' sizes, and the least that they can take.

Every factory takes sizes, so that the same call exists small, for tests, and along a curve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from tamis.nn import empty_in_huge_pages

Tensors = dict[str, Tensor]
Attributes = dict[str, Any]


@dataclass
class Pool:
    """Argument sets of one call, used in turn so that none is warm in the caches.

    Sets share tensors that are the same object.
    """

    sets: list[Tensors]
    attributes: Attributes


@dataclass
class Probe:
    """A call with a part of set 0's tokens: the outputs' rows `rows` along `dim`."""

    tensors: Tensors
    attributes: Attributes
    rows: Tensor | None = None
    dim: int = 0


def whole(pool: Pool) -> Probe:
    """All of set 0."""
    return Probe(pool.sets[0], pool.attributes)


@dataclass
class Shape:
    """A call.

    `flops` and `read_bytes` are what no way to compute it goes below: products and the inputs that
    one call reads, once. `probe` makes the call that the float64 reference is asked for: all of it,
    or rows of it where all would take minutes. `variants` are other calls timed in the same rounds:
    attributes by name.
    """

    operator: str
    name: str
    flops: float
    read_bytes: float
    make: Callable[[torch.dtype], Pool]
    dtypes: tuple[str, ...] = ("bfloat16",)
    peers: bool = True
    largest: bool = False  # one round
    probe: Callable[[Pool], Probe] = whole
    variants: dict[str, Attributes] = field(default_factory=dict)


def stored(shape: Shape, dtype: torch.dtype) -> Shape:
    """The shape in a dtype: `read_bytes` are of two bytes an element."""
    return replace(shape, read_bytes=shape.read_bytes * dtype.itemsize / 2)


def random(dtype: torch.dtype, *shape: int) -> Tensor:
    """Normal numbers."""
    return torch.randn(shape, dtype=torch.float32).to(dtype)


def table(dtype: torch.dtype, rows: int, width: int, huge: bool = False) -> Tensor:
    """Many random rows, made of few: only their addresses matter to the time."""
    some = random(dtype, min(rows, 65536), width)
    found = empty_in_huge_pages((rows, width), dtype) if huge else some.new_empty(rows, width)
    for begin in range(0, rows, len(some)):
        part = found[begin : begin + len(some)]
        part.copy_(some[: len(part)])
    return found


def some_rows(rows: int, most: int) -> Tensor:
    """Indices of at most so many, the first and the last among them."""
    return torch.linspace(0, rows - 1, min(rows, most)).long()


def spell(count: int) -> str:
    """1048576 as 1M."""
    for unit, name in ((1 << 20, "M"), (1 << 10, "K")):
        if count >= unit and count % unit == 0:
            return f"{count // unit}{name}"
    return str(count)


# --- DeepSeek sparse attention --------------------------------------------------------------------

LATENT, ROPE = 512, 64


def selection(
    tokens: int,
    heads: int,
    rows: int = 1 << 20,
    selected: int = 2048,
    sets: int = 32,
    huge: bool = False,
) -> Shape:
    """Attention of tokens, each over its own selected rows of a long cache."""

    def make(dtype: torch.dtype) -> Pool:
        shared = {
            "key": table(dtype, rows, LATENT, huge).view(1, rows, 1, LATENT),
            "key_rope": table(dtype, rows, ROPE, huge).view(1, rows, 1, ROPE),
        }
        own = [
            {
                "query": random(dtype, 1, tokens, heads, LATENT),
                "query_rope": random(dtype, 1, tokens, heads, ROPE),
                "sparse_indices": torch.stack(
                    [torch.randint(rows, (selected,), dtype=torch.int32) for _ in range(tokens)]
                ).view(1, tokens, 1, selected),
            }
            for _ in range(sets)
        ]
        attributes = {"scale_value": (LATENT + ROPE) ** -0.5, "sparse_mode": 0}
        return Pool([shared | tensors for tensors in own], attributes)

    def probe(pool: Pool) -> Probe:
        at = some_rows(tokens, 2)
        asked = {n: pool.sets[0][n][:, at] for n in ("query", "query_rope", "sparse_indices")}
        return Probe(pool.sets[0] | asked, pool.attributes, at, dim=1)

    return Shape(
        "sparse_flash_attention",
        f"{tokens} x {heads} heads, {selected} of {spell(rows)}"
        + (", in 2 MiB pages" if huge else ""),
        2.0 * tokens * heads * selected * (2 * LATENT + ROPE),
        2.0 * tokens * (selected * (LATENT + ROPE) + heads * (2 * LATENT + ROPE)),
        make,
        dtypes=("bfloat16", "float16"),
        probe=probe if tokens > 2 else whole,
        variants={"tamis, accuracy fp32": {"accuracy": "fp32"}},
    )


def indexer(
    keys: int, tokens: int = 1, heads: int = 64, dim: int = 128, count: int = 2048
) -> Shape:
    """The best keys of tokens over all keys before them."""

    def make(dtype: torch.dtype) -> Pool:
        sets = [
            {
                "query": random(dtype, 1, tokens, heads, dim),
                "key": table(dtype, keys, dim).view(1, keys, 1, dim),
                "weights": random(dtype, 1, tokens, heads),
            }
            for _ in range(max(2, min(32, (1 << 19) // (keys + tokens * heads))))
        ]
        return Pool(sets, {"sparse_count": count})

    pairs = tokens * keys - tokens * (tokens - 1) // 2  # causal from the end
    return Shape(
        "lightning_indexer",
        f"{tokens} x {heads} heads x {keys}, top {count}",
        2.0 * pairs * heads * dim,
        2.0 * (keys + tokens * heads) * dim,
        make,
        variants={"tamis, no scan": {"pruning": "off"}},
    )


# --- Native Sparse Attention ----------------------------------------------------------------------

HEADS, GROUPS, DIM, V_DIM = 64, 4, 192, 128


@dataclass(frozen=True)
class Heads:
    """Query heads, kv heads, dims of keys and of values."""

    query: int = HEADS
    kv: int = GROUPS
    dim: int = DIM
    v_dim: int = V_DIM


TRAINED = Heads(16, 4, 128, 128)
BLOCK, STRIDE, SELECT = 32, 16, 64
WINDOWS = {"compress_block_size": BLOCK, "compress_stride": STRIDE}
SELECTION = WINDOWS | {"select_block_size": SELECT}


def compress(tokens: int, heads: int = GROUPS, dim: int = DIM) -> Shape:
    """Windows of all tokens of a sequence."""
    windows = (tokens - BLOCK) // STRIDE + 1

    def make(dtype: torch.dtype) -> Pool:
        sets = [
            {
                "input": table(dtype, tokens, heads * dim).view(tokens, heads, dim),
                "weight": random(dtype, BLOCK, heads) / BLOCK,
            }
            for _ in range(2)
        ]
        return Pool(sets, {"act_seq_len": [tokens]} | WINDOWS)

    return Shape(
        "nsa_compress",
        f"{spell(tokens)} x {heads} x {dim}",
        2.0 * windows * BLOCK * heads * dim,
        2.0 * tokens * heads * dim,
        make,
    )


def compress_step(batch: int, tokens: int, page: int = 128, sets: int = 4) -> Shape:
    """The window that the last token of every sequence ends, from one cache into another."""
    pages, windows = batch * (tokens // page), (tokens - BLOCK) // STRIDE + 1

    def make(dtype: torch.dtype) -> Pool:
        own = [
            {
                "input": table(dtype, pages * page, GROUPS * DIM).view(pages, page, GROUPS, DIM),
                "weight": random(dtype, BLOCK, GROUPS) / BLOCK,
                "slot_mapping": torch.randperm(batch * windows)[:batch],
                "block_table": torch.randperm(pages).int().view(batch, -1),
                "cache": torch.zeros(batch * windows, GROUPS, DIM, dtype=dtype),
            }
            for _ in range(sets)
        ]
        attributes: Attributes = {"act_seq_len": [tokens] * batch, "page_block_size": page}
        return Pool(own, attributes | WINDOWS)

    size = batch * BLOCK * GROUPS * DIM
    return Shape("nsa_compress_infer", f"B {batch}, {tokens} tokens", 2.0 * size, 2.0 * size, make)


def decode(batch: int, keys: int, count: int = 16, page: int = 128, sets: int = 2) -> Shape:
    """A token of every sequence over its paged compressed keys."""
    pages = batch * (keys // page)

    def make(dtype: torch.dtype) -> Pool:
        own = [
            {
                "query": random(dtype, batch, HEADS, DIM),
                "key": table(dtype, pages * page, GROUPS * DIM).view(pages, page, -1),
                "value": table(dtype, pages * page, GROUPS * V_DIM).view(pages, page, -1),
                "block_table": torch.randperm(pages).int().view(batch, -1),
            }
            for _ in range(sets)
        ]
        attributes: Attributes = {
            "scale_value": DIM**-0.5,
            "head_num": HEADS,
            "key_value_head_num": GROUPS,
            "page_block_size": page,
            "select_block_count": count,
            "actual_cmp_seq_kvlen": [keys] * batch,
        }
        return Pool(own, attributes | SELECTION)

    size = batch * keys * (DIM + V_DIM)
    return Shape(
        "nsa_compress_attention_infer",
        f"B {batch}, {keys} keys",
        2.0 * HEADS * size,
        2.0 * GROUPS * size,
        make,
    )


def forced_blocks(tokens: int, blocks: int) -> Tensor:
    """Document 002's topk_mask: the first block, a token's own and the one before."""
    block, own = torch.arange(blocks), torch.arange(tokens)[:, None] // SELECT
    return (block == 0) | (block == own) | (block == own - 1)


def prefill(
    tokens: int,
    keys: int,
    *,
    causal: bool,
    largest: bool = False,
    count: int = 16,
    heads: Heads = Heads(),
) -> Shape:
    """Attention of all tokens over compressed keys, with importance and selection."""
    blocks = -(-keys * STRIDE // SELECT)

    def make(dtype: torch.dtype) -> Pool:
        tensors = {
            "query": table(dtype, tokens, heads.query * heads.dim).view(tokens, -1, heads.dim),
            "key": random(dtype, keys, heads.kv, heads.dim),
            "value": random(dtype, keys, heads.kv, heads.v_dim),
        }
        if causal:
            token, window = torch.arange(tokens)[:, None], torch.arange(keys)
            tensors["atten_mask"] = window * STRIDE + BLOCK - 1 > token
            tensors["topk_mask"] = forced_blocks(tokens, blocks)
        attributes: Attributes = {
            "scale_value": heads.dim**-0.5,
            "head_num": heads.query,
            "select_block_count": count,
            "actual_seq_qlen": [tokens],
            "actual_cmp_seq_kvlen": [keys],
            "masked_rows": "zero",
        }
        return Pool([tensors], attributes | SELECTION)

    def probe(pool: Pool) -> Probe:
        at = some_rows(tokens, 32)
        tensors = dict(pool.sets[0])
        for name in {"query", "atten_mask", "topk_mask"} & tensors.keys():
            tensors[name] = tensors[name][at]
        return Probe(tensors, pool.attributes | {"actual_seq_qlen": [len(at)]}, at)

    seen = [max(t + 1 - STRIDE, 0) // STRIDE for t in range(tokens)] if causal else []
    pairs = sum(min(n, keys) for n in seen) if causal else tokens * keys
    return Shape(
        "nsa_compress_attention",
        f"{spell(tokens)} x {keys}, " + ("causal" if causal else "no mask"),
        2.0 * heads.query * pairs * (heads.dim + heads.v_dim),
        2.0 * (tokens * heads.query * heads.dim + keys * heads.kv * (heads.dim + heads.v_dim)),
        make,
        peers=not largest,
        largest=largest,
        probe=probe,
        variants={"tamis, attention alone": {"select_block_count": 0}},
    )


def selected_pairs(tokens: int, count: int) -> int:
    """Keys that the tokens of a causal sequence see of their lists."""
    ends = (min(t // SELECT, count - 1) * SELECT + t % SELECT + 1 for t in range(tokens))
    return sum(ends)


def block_lists(own: Tensor, kv_heads: int, count: int) -> Tensor:
    """Blocks of tokens by their own: that, the one before, the first, and any of those between.

    [tokens, kv heads, count], ended by -1 where there are fewer.
    """
    rank = torch.rand(len(own), kv_heads, int(own.max()) + 1)
    block, last = torch.arange(rank.shape[-1]), own[:, None, None]
    forced = (block == 0) | (block == last) | (block == last - 1)
    rank.masked_fill_(forced, 2.0).masked_fill_(block > last, -1.0)
    best = rank.topk(min(count, rank.shape[-1]), dim=-1)
    lists = best.indices.masked_fill(best.values < 0, -1).int()
    return torch.nn.functional.pad(lists, (0, count - lists.shape[-1]), value=-1)


def select(
    tokens: int,
    *,
    shared: int = 1,
    largest: bool = False,
    count: int = 16,
    heads: Heads = Heads(),
) -> Shape:
    """Attention of all tokens over the blocks that were selected for them.

    `shared` tokens have the same lists. The largest has no peers: they take minutes there, and are
    no stronger than over fewer tokens.
    """

    def make(dtype: torch.dtype) -> Pool:
        own = torch.arange(0, tokens, shared) // SELECT
        lists = torch.cat([block_lists(part, heads.kv, count) for part in own.split(4096)])
        tensors = {
            "query": table(dtype, tokens, heads.query * heads.dim).view(tokens, -1, heads.dim),
            "key": table(dtype, tokens, heads.kv * heads.dim).view(tokens, -1, heads.dim),
            "value": table(dtype, tokens, heads.kv * heads.v_dim).view(tokens, -1, heads.v_dim),
            "topk_indices": lists.repeat_interleave(shared, dim=0),
        }
        attributes: Attributes = {
            "scale_value": heads.dim**-0.5,
            "head_num": heads.query,
            "select_block_size": SELECT,
            "select_block_count": count,
            "actual_seq_qlen": [tokens],
            "actual_seq_kvlen": [tokens],
        }
        return Pool([tensors], attributes)

    def probe(pool: Pool) -> Probe:
        """The last tokens: sparse_mode 3 knows where they stand."""
        at = torch.arange(max(tokens - 32, 0), tokens)
        asked = {name: pool.sets[0][name][at] for name in ("query", "topk_indices")}
        changed = {"actual_seq_qlen": [len(at)], "sparse_mode": 3}
        return Probe(pool.sets[0] | asked, pool.attributes | changed, at)

    lists = "lists of every token" if shared == 1 else f"lists of {shared} tokens"
    return Shape(
        "nsa_selected_attention",
        f"{spell(tokens)}, {count} blocks of {SELECT}, {lists}",
        2.0 * heads.query * selected_pairs(tokens, count) * (heads.dim + heads.v_dim),
        2.0 * tokens * (heads.query * heads.dim + heads.kv * (heads.dim + heads.v_dim)),
        make,
        peers=not largest,
        largest=largest,
        probe=probe,
        variants={"tamis, accuracy fp32": {"accuracy": "fp32"}},
    )


def select_decode(batch: int, keys: int, count: int = 16, page: int = 128, sets: int = 2) -> Shape:
    """A token of every sequence over the selected blocks of its paged keys."""
    pages = batch * (keys // page)

    def make(dtype: torch.dtype) -> Pool:
        own = [
            {
                "query": random(dtype, batch, HEADS, DIM),
                "key": table(dtype, pages * page, GROUPS * DIM).view(pages, page, -1),
                "value": table(dtype, pages * page, GROUPS * V_DIM).view(pages, page, -1),
                "topk_indices": block_lists(
                    torch.full((batch,), (keys - 1) // SELECT), GROUPS, count
                ),
                "block_table": torch.randperm(pages).int().view(batch, -1),
            }
            for _ in range(sets)
        ]
        attributes: Attributes = {
            "scale_value": DIM**-0.5,
            "head_num": HEADS,
            "key_value_head_num": GROUPS,
            "select_block_size": SELECT,
            "select_block_count": count,
            "page_block_size": page,
            "actual_seq_kvlen": [keys] * batch,
        }
        return Pool(own, attributes)

    size = batch * count * SELECT * (DIM + V_DIM)
    return Shape(
        "nsa_selected_attention_infer",
        f"B {batch}, {count} blocks of {SELECT} of {keys} keys",
        2.0 * HEADS * size,
        2.0 * GROUPS * size,
        make,
        variants={"tamis, accuracy fp32": {"accuracy": "fp32"}},
    )


# --- prologs and the layer ------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """Sizes of a layer; these are DeepSeek-V3.2's, 671B."""

    hidden: int = 7168
    low: int = 1536
    heads: int = 128
    nope: int = 128
    latent: int = LATENT
    rope: int = ROPE
    index_heads: int = 64
    index_dim: int = 128

    def mla_weights(self) -> dict[str, tuple[int, ...]]:
        """Of mla_prolog."""
        return {
            "w_dq": (self.hidden, self.low),
            "w_uq_qr": (self.low, self.heads * (self.nope + self.rope)),
            "w_uk": (self.heads, self.nope, self.latent),
            "w_dkv_kr": (self.hidden, self.latent + self.rope),
        }

    def index_weights(self) -> dict[str, tuple[int, ...]]:
        """Of indexer_prolog."""
        return {
            "w_idx_qb": (self.low, self.index_heads * self.index_dim),
            "w_idx_k": (self.hidden, self.index_dim),
            "w_idx_proj": (self.hidden, self.index_heads),
        }


LAYER = Model()
SMALL_LAYER = Model(64, 48, 4, 32, 32, 16, 16, 32)
PANELS = ("w_dq", "w_uq_qr", "w_dkv_kr", "w_idx_qb", "w_idx_k", "w_idx_proj")  # may be NZ


def size(shapes: dict[str, tuple[int, ...]]) -> int:
    """Elements of weights."""
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def weights(dtype: torch.dtype, shapes: dict[str, tuple[int, ...]], weight_format: str) -> Tensors:
    """Random projections, in row-major order or in panels of 16 columns."""
    made = {}
    for name, shape in shapes.items():
        made[name] = (torch.randn(shape) * shape[-2] ** -0.5).to(dtype)
        if weight_format == "NZ" and name in PANELS:
            made[name] = torch.ops.tamis.nd_to_nz(made[name])
    return made


def new_rows(dtype: torch.dtype, model: Model, *leading: int) -> Tensors:
    """Hidden states of new tokens and their rotations."""
    angle = torch.rand(*leading, model.rope)
    return {
        "x": random(dtype, *leading, model.hidden),
        "sin": angle.sin().to(dtype),
        "cos": angle.cos().to(dtype),
    }


def spell_tokens(tokens: int) -> str:
    """1 token, 2 tokens."""
    return f"{tokens} token" + ("s" if tokens > 1 else "")


def mla(tokens: int, weight_format: str, model: Model = LAYER) -> Shape:
    """Hidden states into queries and cache rows."""
    shapes = model.mla_weights()

    def make(dtype: torch.dtype) -> Pool:
        sets = []
        for _ in range(2):
            caches = {
                "gamma_cq": 1 + random(dtype, model.low) / 8,
                "gamma_ckv": 1 + random(dtype, model.latent) / 8,
                "cache_index": torch.randperm(256)[:tokens],
                "kv_cache": torch.zeros(4, 64, 1, model.latent, dtype=dtype),
                "kr_cache": torch.zeros(4, 64, 1, model.rope, dtype=dtype),
            }
            tensors = weights(dtype, shapes, weight_format) | caches
            sets.append(tensors | new_rows(dtype, model, tokens))
        return Pool(sets, {"weight_format": weight_format})

    return Shape(
        "mla_prolog",
        f"{spell_tokens(tokens)}, {weight_format}",
        2.0 * tokens * size(shapes),
        2.0 * size(shapes),
        make,
        peers=weight_format == "NZ",
    )


def index_prolog(tokens: int, weight_format: str, model: Model = LAYER) -> Shape:
    """Hidden states into index queries, weights of heads and index keys."""
    shapes = model.index_weights()

    def make(dtype: torch.dtype) -> Pool:
        sets = []
        for _ in range(4):
            caches = {
                "query_norm": random(dtype, tokens, model.low),
                "in_gamma_k": 1 + random(dtype, model.index_dim) / 8,
                "in_beta_k": random(dtype, model.index_dim) / 8,
                "cache_index": torch.randperm(256)[:tokens],
                "index_k_cache": torch.zeros(4, 64, 1, model.index_dim, dtype=dtype),
            }
            tensors = weights(dtype, shapes, weight_format) | caches
            sets.append(tensors | new_rows(dtype, model, tokens))
        return Pool(sets, {"weight_format": weight_format})

    return Shape(
        "indexer_prolog",
        f"{spell_tokens(tokens)}, {weight_format}",
        2.0 * tokens * size(shapes),
        2.0 * size(shapes),
        make,
        peers=weight_format == "NZ",
    )


def layer(
    batch: int, positions: int, model: Model = LAYER, count: int = 2048, page: int = 128
) -> Shape:
    """One new token of every sequence through prologs, indexer and attention."""
    shapes = model.mla_weights() | model.index_weights()
    each = -(-positions // page)
    rows = batch * each * page

    def make(dtype: torch.dtype) -> Pool:
        first = torch.arange(batch)[:, None] * each
        shared = {
            "kv_cache": table(dtype, rows, model.latent).view(-1, page, 1, model.latent),
            "kr_cache": table(dtype, rows, model.rope).view(-1, page, 1, model.rope),
            "index_k_cache": table(dtype, rows, model.index_dim).view(-1, page, 1, model.index_dim),
            "block_table": (first + torch.arange(each)).int(),
            "act_seqs": torch.full((batch,), positions, dtype=torch.int32),
            "cache_index": first * page + positions - 1,
        }
        sets = []
        for _ in range(2):
            norms = {
                "gamma_cq": 1 + random(dtype, model.low) / 8,
                "gamma_ckv": 1 + random(dtype, model.latent) / 8,
                "in_gamma_k": 1 + random(dtype, model.index_dim) / 8,
                "in_beta_k": random(dtype, model.index_dim) / 8,
            }
            tensors = weights(dtype, shapes, "NZ") | norms | new_rows(dtype, model, batch, 1)
            sets.append(shared | tensors)
        return Pool(sets, {"weight_format": "NZ", "sparse_count": count})

    picked, width = min(count, positions), model.latent + model.rope
    flops = batch * (
        size(shapes)
        + positions * model.index_heads * model.index_dim
        + picked * model.heads * (width + model.latent)
    )
    read = size(shapes) + batch * (positions * model.index_dim + picked * width)
    return Shape(
        "sparse_attention_pto",
        f"B {batch}, {spell_tokens(1)} of {positions}",
        2.0 * flops,
        2.0 * read,
        make,
    )


def shapes() -> list[Shape]:
    """What `./dev bench` times."""
    return [
        selection(1, 128),
        selection(1, 128, huge=True),
        selection(1, 64),
        selection(1, 16),
        selection(1, 16, huge=True),
        selection(32, 128, sets=4),
        selection(32, 128, sets=4, huge=True),
        indexer(131072),
        prefill(8192, 511, causal=True),
        prefill(65536, 4096, causal=False, largest=True),
        decode(20, 4096),
        select(8192),
        select(8192, shared=64),
        select(65536, largest=True),
        select(65536, shared=64, largest=True),
        select_decode(20, 4096),
        compress(65536),
        compress_step(64, 512),
        *(
            make(tokens, weight_format)
            for make in (mla, index_prolog)
            for tokens in (1, 64)
            for weight_format in ("NZ", "ND")
        ),
        layer(4, 131071),
    ]


def small_shapes() -> list[Shape]:
    """The same calls, one of each kind, small enough for tests."""
    return [
        selection(1, 16, rows=512, selected=64, sets=2),
        selection(3, 16, rows=512, selected=64, sets=2),
        indexer(512, count=64),
        prefill(1024, 63, causal=True, count=4),
        prefill(96, 40, causal=False, largest=True, count=4),
        decode(3, 256, count=8, page=64),
        select(256, count=3),
        select(256, shared=64, count=3),
        select(192, largest=True, count=4),
        select_decode(3, 256, count=3),
        compress(256),
        compress_step(3, 64, page=16, sets=2),
        *(
            make(tokens, weight_format, SMALL_LAYER)
            for make in (mla, index_prolog)
            for tokens in (1, 5)
            for weight_format in ("NZ", "ND")
        ),
        layer(2, 300, SMALL_LAYER, count=64, page=16),
    ]
