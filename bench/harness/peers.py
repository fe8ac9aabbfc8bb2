"""The same calls by PyTorch, each in the strongest form that a user would write.

A peer has two parts. Its steps are what a model does once: weights as `F.linear` has them, caches
laid out for the products. The function is what is timed. Both see tensors in the peer's own dtype.
Where there is a choice, the form is the one that was fastest here; docs/benchmarks.md says which
were tried.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from harness import selected_peers
from harness.call import Attributes, Call, Outputs, Tensors, batch_of_one
from harness.rounds import Contender


@functools.cache
def _flex_attention() -> Callable[..., Tensor]:
    """Compiled alone: its kernel for CPUs takes no views that the compiler has fused."""
    from torch.nn.attention.flex_attention import flex_attention

    compiled: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=False)
    return compiled


# --- sparse_flash_attention -----------------------------------------------------------------------


def _one_row_per_key(t: Tensors) -> Tensors:
    """Latent and rope side by side, one gather for both."""
    return {"rows": torch.cat([t["key"].flatten(0, 2), t["key_rope"].flatten(0, 2)], dim=-1)}


def _queries_and_ids(t: Tensors) -> Tensors:
    return {n: t[n][0] for n in ("query", "query_rope")} | {"ids": t["sparse_indices"].flatten()}


def _selected(c: Call) -> tuple[Tensor, Tensor]:
    """Queries [tokens, heads, 576], scaled, and rows [tokens, selected, 576]."""
    query = torch.cat([c["query"], c["query_rope"]], dim=-1) * c.attributes["scale_value"]
    rows = c["rows"].index_select(0, c["ids"])
    return c.wide(query), c.wide(rows).view(len(query), -1, rows.shape[-1])


def sparse_flash_attention(c: Call) -> Outputs:
    """Token by token: rows gathered once for all heads, two products over them in cache."""
    query = torch.cat([c["query"], c["query_rope"]], dim=-1) * c.attributes["scale_value"]
    latent, outs = c["query"].shape[-1], []
    for token, ids in zip(c.wide(query), c["ids"].view(len(query), -1), strict=True):
        rows = c.wide(c["rows"].index_select(0, ids))
        outs.append(torch.mm(torch.mm(token, rows.T).softmax(dim=-1), rows[:, :latent]))
    return (torch.stack(outs)[None].to(query.dtype),)


def sparse_flash_attention_sdpa(c: Call) -> Outputs:
    """Heads as the queries of one dense attention over the gathered rows."""
    query, rows = _selected(c)
    rows = rows[:, None]
    out = functional.scaled_dot_product_attention(query[:, None], rows, rows, scale=1.0)
    return (out[None, :, 0, :, : c["query"].shape[-1]],)


def sparse_flash_attention_flex(c: Call) -> Outputs:
    """The same by FlexAttention."""
    query, rows = _selected(c)
    rows = rows[:, None]
    out = _flex_attention()(query[:, None], rows, rows, scale=1.0)
    return (out[None, :, 0, :, : c["query"].shape[-1]],)


# --- lightning_indexer ----------------------------------------------------------------------------


def _index_scores(c: Call, keys: Tensor) -> Tensor:
    query, weights = c.wide(c["query"][0, 0].T), c.wide(c["weights"][0, 0])
    return torch.mv(torch.mm(c.wide(keys), query).relu_(), weights)


def lightning_indexer(c: Call) -> Outputs:
    """Products, relu and the weighted sum of the heads, over keys whose scores fit L2; topk."""
    scores = torch.cat([_index_scores(c, part) for part in c["key"][0, :, 0].split(4096)])
    return (scores.topk(c.attributes["sparse_count"]).indices.int()[None, None, None],)


def lightning_indexer_at_once(c: Call) -> Outputs:
    """Over all keys, for the compiler."""
    scores = _index_scores(c, c["key"][0, :, 0])
    return (scores.topk(c.attributes["sparse_count"]).indices.int()[None, None, None],)


# --- nsa_compress ---------------------------------------------------------------------------------


def nsa_compress(c: Call) -> Outputs:
    """A sum over the places of a window, all windows at once."""
    tokens, heads, dim = c["input"].shape
    size, stride = c.attributes["compress_block_size"], c.attributes["compress_stride"]
    shape = ((tokens - size) // stride + 1, size, heads, dim)
    windows = c["input"].as_strided(shape, (stride * heads * dim, heads * dim, dim, 1))
    weight = c["weight"][:, :, None]
    out = c["input"].new_zeros((shape[0], heads, dim))
    for place in range(size):
        out.addcmul_(windows[:, place], weight[place])
    return (out,)


def nsa_compress_as_sum(c: Call) -> Outputs:
    """One sum of products, for the compiler: window j takes strides j and j + 1."""
    stride = c.attributes["compress_stride"]
    strides = c["input"].unflatten(0, (-1, stride))
    weight = c["weight"][:, :, None]
    first = (strides[:-1] * weight[:stride]).sum(dim=1, dtype=torch.float32)
    second = (strides[1:] * weight[stride:]).sum(dim=1, dtype=torch.float32)
    return ((first + second).to(c["input"].dtype),)


def nsa_compress_infer(c: Call) -> Outputs:
    """The last window of every sequence, which its last token ends, gathered for one product."""
    size, page = c.attributes["compress_block_size"], c.attributes["page_block_size"]
    ends = torch.tensor(c.attributes["act_seq_len"])[:, None]
    places = ends - size + torch.arange(size)
    rows = c["block_table"].gather(1, places // page) * page + places % page
    windows = c["input"].flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, rows.shape)
    sums = torch.einsum("bwhd,wh->bhd", c.wide(windows), c.wide(c["weight"]))
    return (c["cache"].index_copy_(0, c["slot_mapping"], sums.to(c["cache"].dtype)),)


# --- attention over compressed keys ---------------------------------------------------------------


def _importance(probabilities: Tensor, blocks: int) -> Tensor:
    """[.., keys] to [.., blocks]: 1 2 2 2 1 over windows 4j to 4j + 4, the device's rule."""
    wide = functional.pad(probabilities, (0, 4 * blocks + 4 - probabilities.shape[-1]))
    part = wide.unflatten(-1, (-1, 4))
    here, first_of_next = part[..., :blocks, :].sum(dim=-1), part[..., 1 : blocks + 1, 0]
    return 2 * here - part[..., :blocks, 0] + first_of_next


def heads_first(t: Tensors) -> Tensors:
    """Keys and values by head."""
    return {n: t[n].transpose(0, 1).contiguous() for n in ("key", "value")}


def _visible(c: Call, end: int) -> int:
    """Keys that the token before `end` may see."""
    keys: int = c["key"].shape[1]
    return max(1, min(keys, (end - 16) // 16)) if "atten_mask" in c.tensors else keys


def nsa_compress_attention(c: Call) -> Outputs:
    """Products per kv head, softmax, sums for the blocks, topk.

    By 128 tokens: probabilities stay in the caches, keys that none of them sees are left out.
    """
    return _by_tokens(c, 128)


def nsa_compress_attention_by_quarters(c: Call) -> Outputs:
    """In four parts, for the compiler, which writes code for each."""
    return _by_tokens(c, -(-len(c["query"]) // 4))


def _by_tokens(c: Call, at_a_time: int) -> Outputs:
    groups, dim = len(c["key"]), c["key"].shape[-1]
    count = c.attributes["select_block_count"]
    outs, blocks, end = [], [], 0
    # Split, not sliced: the gradient of a slice is as large as what it is a slice of.
    for query in c["query"].split(at_a_time):
        begin, end = end, end + len(query)
        keys = _visible(c, end)
        heads = query.shape[1] // groups
        rows = query.view(-1, groups, heads, dim).permute(1, 0, 2, 3).reshape(groups, -1, dim)
        rows = c.wide(rows * c.attributes["scale_value"])
        scores = torch.bmm(rows, c.wide(c["key"][:, :keys]).mT).view(groups, -1, heads, keys)
        blind = None
        if "atten_mask" in c.tensors:
            seen_by_all = _visible(c, begin + 1) - 1
            mask = c["atten_mask"][begin:end, None, seen_by_all:keys]
            # Finite: a row of -inf would be NaN, and so would the gradients of all keys.
            scores[..., seen_by_all:].masked_fill_(mask, torch.finfo(scores.dtype).min)
            blind = mask.all(dim=-1, keepdim=True) if seen_by_all == 0 else None
        probabilities = scores.softmax(dim=-1)
        value = c.wide(c["value"][:, :keys])
        out = torch.bmm(probabilities.view(groups, -1, keys), value).unflatten(1, (-1, heads))
        weights = probabilities.detach().sum(dim=2)
        if blind is not None:
            out, weights = out.masked_fill(blind, 0), weights.masked_fill(blind[..., 0], 0)
        outs.append(out.permute(1, 0, 2, 3).flatten(1, 2).to(query.dtype))
        weights = functional.pad(weights, (0, c["key"].shape[1] - keys))
        importance = _importance(weights, -(-weights.shape[-1] // 4))
        if "topk_mask" in c.tensors:
            importance.masked_fill_(c["topk_mask"][begin:end], math.inf)
        blocks.append(importance.topk(count, dim=-1).indices.transpose(0, 1).int())
    return torch.cat(outs), torch.cat(blocks)


def _sees(t: Tensors) -> Tensors:
    """SDPA's mask says what is seen."""
    return {"sees": ~t["atten_mask"]} if t else {}


def _attention_alone(c: Call, attend: Callable[..., Tensor]) -> Outputs:
    query = c["query"].transpose(0, 1)[None]
    out = attend(query, c["key"], c["value"], scale=c.attributes["scale_value"], enable_gqa=True)
    return (torch.nan_to_num(out[0].transpose(0, 1)[..., : c["narrow"].shape[-1]], 0.0),)


def nsa_compress_attention_sdpa(c: Call) -> Outputs:
    """Attention without importance."""
    mask = c.tensors.get("sees")

    def attend(query: Tensor, key: Tensor, value: Tensor, **named: Any) -> Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, **named)

    return _attention_alone(c, attend)


def nsa_compress_attention_flex(c: Call) -> Outputs:
    """Attention without importance, blocks that are masked left out."""
    mask = c.attributes.get("block_mask")
    return _attention_alone(c, functools.partial(_flex_attention(), block_mask=mask))


def block_mask(tokens: int, keys: int) -> Any:
    """FlexAttention's form of the causal mask over windows."""
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(_: Tensor, __: Tensor, token: Tensor, window: Tensor) -> Tensor:
        return window * 16 + 31 <= token

    return create_block_mask(sees, None, None, tokens, keys, device="cpu")


def nsa_compress_attention_infer(c: Call) -> Outputs:
    """By sequence and kv head: its keys gathered from the pages, two products; blocks by topk."""
    batch, heads, dim = c["query"].shape
    groups = c.attributes["key_value_head_num"]
    query = c.wide(c["query"].view(batch, groups, -1, dim) * c.attributes["scale_value"])
    outs, weights = [], []
    key, value = (c[name].unflatten(-1, (groups, -1)) for name in ("key", "value"))
    for b in range(batch):
        pages = c["block_table"][b]
        for g in range(groups):
            own_key = c.wide(key[:, :, g].index_select(0, pages)).flatten(0, 1)
            own_value = c.wide(value[:, :, g].index_select(0, pages)).flatten(0, 1)
            probabilities = torch.mm(query[b, g], own_key.T).softmax(dim=-1)
            outs.append(torch.mm(probabilities, own_value))
            weights.append(probabilities.sum(dim=0))
    # To the end of the last window: one block more where the keys fill the last.
    importance = _importance(torch.stack(weights).view(batch, groups, -1), len(own_key) // 4 + 1)
    importance[..., [0, -2, -1]] = math.inf
    blocks = importance.topk(c.attributes["select_block_count"], dim=-1).indices
    return torch.cat(outs).view(batch, heads, -1).to(c["query"].dtype), blocks.int()


# --- prologs --------------------------------------------------------------------------------------

# What torch keeps as [out, in].
TRANSPOSED = ("w_dq", "w_uq_qr", "w_dkv_kr", "w_idx_qb", "w_idx_k", "w_idx_proj")
_MLA = ("x", "sin", "cos", "gamma_cq", "gamma_ckv", "cache_index")
_INDEX = ("x", "sin", "cos", "query_norm", "in_gamma_k", "in_beta_k", "cache_index")
_CACHES = ("kv_cache", "kr_cache", "index_k_cache")


def _linear_weights(t: Tensors) -> Tensors:
    """Weights of F.linear, from panels of 16 columns; per-head ones transposed for bmm."""
    found = {n: _row_major(t[n]).T.contiguous() for n in TRANSPOSED if n in t}
    if "w_uk" in t:
        found["w_uk"] = t["w_uk"].mT.contiguous().mT
    return found


def _row_major(panels: Tensor) -> Tensor:
    """[columns / 16, rows, 16] or, in Tamis's form, [rows, columns] of the same bytes."""
    rows, columns = panels.shape
    return panels.view(columns // 16, rows, 16).transpose(0, 1).reshape(rows, columns)


def _packed_weights(t: Tensors) -> Tensors:
    """As oneDNN wants them for this many tokens: what torch.compile does when it freezes.

    Left as they are where oneDNN has no products of their dtype on this processor.
    """
    found, x = _linear_weights(t), t["x"]
    mkldnn = torch.ops.mkldnn
    supported = {
        torch.bfloat16: mkldnn._is_mkldnn_bf16_supported,
        torch.float16: mkldnn._is_mkldnn_fp16_supported,
    }
    if x.dtype in supported and not supported[x.dtype]():
        return found
    tokens = len(x)
    pack = torch.ops.mkldnn._reorder_linear_weight
    return {n: pack(w, tokens) if n in TRANSPOSED else w for n, w in found.items()}


def _own_caches(t: Tensors) -> Tensors:
    """Caches that Tamis does not write to."""
    return {n: x.clone() for n, x in t.items()}


def _rotated(x: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
    """Pairs side by side become halves, and turn."""
    first, second = x[..., 0::2], x[..., 1::2]
    half = first.shape[-1]
    return torch.cat(
        [
            first * cos[..., :half] - second * sin[..., :half],
            second * cos[..., half:] + first * sin[..., half:],
        ],
        dim=-1,
    )


def _linear(c: Call, x: Tensor, name: str) -> Tensor:
    """A projection; a single token's is fast in every dtype, those of more may convert."""
    weight = c[name]
    if weight.is_mkldnn:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return product
    if len(x) > 1 and c.products != x.dtype:
        return functional.linear(c.wide(x), c.wide(weight)).to(x.dtype)
    return functional.linear(x, weight)


def _per_head(c: Call, x: Tensor, weight: Tensor) -> Tensor:
    if x.shape[1] > 1:
        return torch.bmm(c.wide(x), c.wide(weight)).to(x.dtype)
    return torch.bmm(x, weight)


def _write(cache: Tensor, index: Tensor, rows: Tensor) -> None:
    cache.view(-1, cache.shape[-1]).index_copy_(0, index, rows)


def mla_prolog(c: Call) -> Outputs:
    """F.linear with weights as torch has them, a product per head, rows into the caches."""
    heads, nope, latent = c["w_uk"].shape
    x, sin, cos = c["x"], c["sin"], c["cos"]
    low = _linear(c, x, "w_dq")
    norm = functional.rms_norm(low, low.shape[-1:], c["gamma_cq"], 1e-5)
    query = _linear(c, norm, "w_uq_qr").view(len(x), heads, -1)
    absorbed = _per_head(c, query[..., :nope].transpose(0, 1), c["w_uk"]).transpose(0, 1)
    rope = _rotated(query[..., nope:], sin[:, None], cos[:, None])
    both = _linear(c, x, "w_dkv_kr")
    rows = functional.rms_norm(both[:, :latent], (latent,), c["gamma_ckv"], 1e-5)
    _write(c["kv_cache"], c["cache_index"], rows)
    _write(c["kr_cache"], c["cache_index"], _rotated(both[:, latent:], sin, cos))
    return absorbed, rope, norm


def indexer_prolog(c: Call) -> Outputs:
    """F.linear with weights as torch has them, rows into the cache."""
    x, sin, cos = c["x"], c["sin"], c["cos"]
    rope, dim = sin.shape[-1], len(c["in_gamma_k"])
    query = _linear(c, c["query_norm"], "w_idx_qb").view(len(x), -1, dim)
    turned = _rotated(query[..., :rope], sin[:, None], cos[:, None])
    key = _linear(c, x, "w_idx_k")
    key = functional.layer_norm(key, (dim,), c["in_gamma_k"], c["in_beta_k"], 1e-6)
    key = torch.cat([_rotated(key[:, :rope], sin, cos), key[:, rope:]], dim=-1)
    _write(c["index_k_cache"], c["cache_index"], key)
    return torch.cat([turned, query[..., rope:]], dim=-1), _linear(c, x, "w_idx_proj")


# --- all ------------------------------------------------------------------------------------------

Step = tuple[tuple[str, ...], Callable[[Tensors], Tensors]]  # tensors that it takes, what it makes


@dataclass(frozen=True)
class Peer:
    """A way to do an operator's call.

    Parameters
    ----------
    form : str
        Its name in the table.
    function : callable
        What is timed.
    keeps : tuple of str
        Tensors that it takes as they are.
    steps : tuple of Step
        What is done once.
    compiled : bool
        By torch.compile.
    flex : bool
        With FlexAttention, which is compiled by itself.
    own_dtype : bool
        In the shape's dtype alone, not in all.
    """

    form: str
    function: Callable[[Call], Outputs]
    keeps: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    compiled: bool = False
    flex: bool = False
    own_dtype: bool = False


def _pair(
    eager: Callable[[Call], Outputs],
    compiled: Callable[[Call], Outputs],
    keeps: tuple[str, ...] = (),
    steps: tuple[Step, ...] = (),
) -> list[Peer]:
    return [
        Peer("eager", eager, keeps, steps),
        Peer("compile", compiled, keeps, steps, compiled=True),
    ]


_ROWS: tuple[Step, ...] = (
    (("key", "key_rope"), _one_row_per_key),
    (("query", "query_rope", "sparse_indices"), _queries_and_ids),
)
_BY_HEAD: Step = (("key", "value"), heads_first)
_MASKS = ("query", "atten_mask", "topk_mask")
_ONE: tuple[Step, ...] = ((("key", "value"), batch_of_one), (("atten_mask",), _sees))
_WEIGHTS = (*TRANSPOSED, "w_uk")
_LINEAR: tuple[Step, ...] = ((_WEIGHTS, _linear_weights), (_CACHES, _own_caches))
_PACKED: tuple[Step, ...] = (((*_WEIGHTS, "x"), _packed_weights), (_CACHES, _own_caches))
_PAGED = ("query", "key", "value", "block_table")
_LISTS = ("query", "topk_indices")
_BLOCKS: Step = (("key", "value"), selected_peers.blocks_by_head)
_HEADS_AS_BATCH: Step = (("key", "value"), selected_peers.heads_as_batch)

PEERS: dict[str, list[Peer]] = {
    "sparse_flash_attention": [
        *_pair(sparse_flash_attention, sparse_flash_attention, (), _ROWS),
        Peer("SDPA", sparse_flash_attention_sdpa, (), _ROWS, own_dtype=True),
        Peer(
            "FlexAttention",
            sparse_flash_attention_flex,
            (),
            _ROWS,
            flex=True,
            own_dtype=True,
        ),
    ],
    "lightning_indexer": _pair(
        lightning_indexer, lightning_indexer_at_once, ("query", "key", "weights")
    ),
    "nsa_compress": _pair(nsa_compress, nsa_compress_as_sum, ("input", "weight")),
    "nsa_compress_infer": _pair(
        nsa_compress_infer,
        nsa_compress_infer,
        ("input", "weight", "slot_mapping", "block_table"),
        ((("cache",), _own_caches),),
    ),
    "nsa_compress_attention": [
        *_pair(nsa_compress_attention, nsa_compress_attention_by_quarters, _MASKS, (_BY_HEAD,)),
        Peer("SDPA, attention alone", nsa_compress_attention_sdpa, _MASKS, _ONE, own_dtype=True),
        Peer(
            "FlexAttention, attention alone",
            nsa_compress_attention_flex,
            _MASKS,
            _ONE,
            flex=True,
            own_dtype=True,
        ),
    ],
    "nsa_compress_attention_infer": _pair(
        nsa_compress_attention_infer, nsa_compress_attention_infer, _PAGED
    ),
    "nsa_selected_attention": [
        Peer("eager", selected_peers.gathered, _LISTS, (_BLOCKS,), own_dtype=True),
        Peer(
            "SDPA, masked",
            selected_peers.masked,
            _LISTS,
            (_HEADS_AS_BATCH,),
            own_dtype=True,
        ),
        Peer(
            "SDPA, unions of 64 tokens",
            selected_peers.unions,
            _LISTS,
            (_HEADS_AS_BATCH,),
            own_dtype=True,
        ),
    ],
    "nsa_selected_attention_infer": [
        *_pair(
            selected_peers.infer,
            selected_peers.infer,
            (*_PAGED, "topk_indices"),
        ),
        Peer(
            "SDPA",
            selected_peers.infer_sdpa,
            (*_PAGED, "topk_indices"),
            own_dtype=True,
        ),
    ],
    "mla_prolog": [
        *_pair(mla_prolog, mla_prolog, _MLA, _LINEAR),
        Peer("prepacked", mla_prolog, _MLA, _PACKED, own_dtype=True),
    ],
    "indexer_prolog": [
        *_pair(indexer_prolog, indexer_prolog, _INDEX, _LINEAR),
        Peer("prepacked", indexer_prolog, _INDEX, _PACKED, own_dtype=True),
    ],
}


def prepared(peer: Peer, sets: list[Tensors], dtype: torch.dtype) -> list[Tensors]:
    """Every set as the peer has it; what sets share stays shared."""
    own: dict[int, Tensor] = {}
    made: dict[tuple[int, ...], Tensors] = {}

    def convert(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        if id(tensor) not in own:
            own[id(tensor)] = tensor.to(dtype)
        return own[id(tensor)]

    found = []
    for tensors in sets:
        mine = {n: convert(tensors[n]) for n in peer.keeps if n in tensors}
        for number, (names, step) in enumerate(peer.steps):
            taken = {n: tensors[n] for n in names if n in tensors}
            key = (number, *(id(t) for t in taken.values()))
            if key not in made:
                made[key] = step({n: convert(t) for n, t in taken.items()})
            mine |= made[key]
        found.append(mine)
    return found


DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


@functools.cache
def product_dtype(dtype: torch.dtype) -> torch.dtype:
    """In which attention of this dtype multiplies.

    Where a processor has no float16 products, oneDNN's take a hundred times as long as conversions
    to float32 and its products; a user notices.
    """
    if dtype != torch.float16:
        return dtype
    x = torch.randn(4, 128, 128).to(dtype)

    def seconds(products: torch.dtype) -> float:
        begin = time.perf_counter()
        torch.bmm(x.to(products), x.to(products))
        return time.perf_counter() - begin

    for products in (torch.float16, torch.float32):
        seconds(products)  # the first call makes the kernel
    return min(torch.float16, torch.float32, key=seconds)


def need_compiler() -> None:
    """Stop where torch.compile would."""
    compilers = [os.environ.get("CXX", ""), "g++", "clang++"]
    if not any(compiler and shutil.which(compiler) for compiler in compilers):
        raise SystemExit(
            "bench: torch.compile and FlexAttention need a C++ compiler, and none is here: install "
            "g++, or leave them out with --peers eager"
        )


class Peers:
    """All forms of a call: in every dtype, the shape's own first.

    Forms that want tensors of the same layout and dtype share them, and keep them for the next
    number of threads: copies of a long cache would not fit the memory.

    Parameters
    ----------
    operator : str
        Whose peers.
    sets : list of dict
        Tamis's argument sets.
    attributes : dict
        Tamis's attributes.
    dtype : str
        The shape's.
    """

    def __init__(
        self, operator: str, sets: list[Tensors], attributes: Attributes, dtype: str
    ) -> None:
        self._peers = PEERS.get(operator, [])
        self._sets, self._attributes = sets, attributes
        self._dtypes = sorted(DTYPES, key=lambda other: other != dtype)
        self._prepared: dict[tuple[Any, ...], list[Tensors]] = {}

    def contenders(self, *, compiled: bool) -> Iterator[Contender]:
        """One for each form and dtype; those that need a compiler if wanted."""
        torch.compiler.reset()
        for dtype in self._dtypes:
            for peer in self._peers:
                if (peer.compiled or peer.flex) and not compiled:
                    continue
                if not peer.own_dtype or dtype == self._dtypes[0]:
                    yield self._contender(peer, dtype)

    def _contender(self, peer: Peer, dtype: str) -> Contender:
        layout = (peer.keeps, peer.steps, dtype)
        if layout not in self._prepared:
            self._prepared[layout] = prepared(peer, self._sets, DTYPES[dtype])
        own_sets = self._prepared[layout]
        products = product_dtype(DTYPES[dtype])
        attributes = self._attributes
        if peer.flex and "atten_mask" in own_sets[0]:
            attributes = attributes | {"block_mask": block_mask(*own_sets[0]["atten_mask"].shape)}

        def run(tensors: Tensors) -> Outputs:
            return peer.function(Call(tensors, attributes, products))

        if peer.compiled:
            # Code of its own: the compiler keeps one list of variants for each code object, and
            # beyond some runs what it was given as it is.
            run.__code__ = run.__code__.replace(co_name=f"{peer.function.__name__}_{dtype}")
            run = torch.compile(run, dynamic=False, fullgraph=True)

        def call(i: int) -> Outputs:
            return run(own_sets[i % len(own_sets)])

        return Contender(f"torch {peer.form}, {dtype}", call)
