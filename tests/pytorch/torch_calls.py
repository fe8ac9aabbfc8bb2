"""Calls for the tests of torch.ops.tamis: those of the package, and every layout and option."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from python_calls import SHAPES, make_case, to_library
from torch.utils._python_dispatch import TorchDispatchMode

import tamis
import tamis.torch
from tamis.case import Case


def overload(op: str) -> Any:
    return getattr(torch.ops.tamis, op).default


def arguments(case: Case) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A case's arguments: tensors that must be there by position, the others by keyword."""
    given = to_torch(case)
    fields = overload(case.op)._schema.arguments
    required = [f.name for f in fields if not f.kwarg_only and not f.has_default_value()]
    return tuple(given.pop(name) for name in required), given | case.attributes


def by_position(case: Case) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A case's arguments: all tensors by position, None for one that is absent."""
    given = to_torch(case)
    tensors = [f.name for f in overload(case.op)._schema.arguments if not f.kwarg_only]
    assert given.keys() <= set(tensors), case.op
    return tuple(given.get(name) for name in tensors), dict(case.attributes)


def to_torch(case: Case) -> dict[str, torch.Tensor]:
    """A case's tensors as torch's."""
    return {
        name: t if isinstance(t, torch.Tensor) else to_library("torch", t)
        for name, t in case.tensors.items()
    }


class Spy(TorchDispatchMode):
    """The calls of one operator of Tamis meanwhile: their attributes."""

    def __init__(self, op: str) -> None:
        super().__init__()
        self.op = op
        self.calls: list[dict[str, Any]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Notes the call, and makes it."""
        if func is overload(self.op):
            self.calls.append(dict(kwargs or {}))
        return func(*args, **(kwargs or {}))


class Accuracies(TorchDispatchMode):
    """Which `accuracy` the operators of Tamis are given meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Notes what is asked for, and runs the operator."""
        if any(argument.name == "accuracy" for argument in func._schema.arguments):
            self.found.append((kwargs or {}).get("accuracy", "storage"))  # defaults are left out
        return func(*args, **(kwargs or {}))


def accuracies_of(call: Any, arguments: dict[str, Any]) -> list[str]:
    """With which `accuracy` the operator inside a call is called."""
    mode = Accuracies()
    with mode:
        call(**arguments)
    return mode.found


def optional_tensors(op: str) -> set[str]:
    """Tensors that a call of the operator may leave out."""
    roles = ("optional_input", "optional_inout")
    return {a["name"] for a in tamis.describe(op)["arguments"] if a["role"] in roles}


def has_results(op: str) -> bool:
    """Whether the operator gives anything beside the tensors that it updates in place."""
    return bool(overload(op)._schema.returns)


def results(op: str, returned: Any) -> dict[str, torch.Tensor]:
    """What an operator returned, by the names of its schema."""
    values = returned if isinstance(returned, tuple) else () if returned is None else (returned,)
    names = [field.name for field in overload(op)._schema.returns]
    return dict(zip(names, values, strict=True))


def torch_case(folder: Path, op: str, dtype: str = "bfloat16") -> Case:
    """The package's small case of an operator, of torch tensors."""
    case = make_case(folder, op, dtype)
    case.tensors = {name: to_library("torch", t) for name, t in case.tensors.items()}
    return case


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).bfloat16()


def indexer_case(layout: str, key: str, **options: Any) -> Case:
    """A small call of lightning_indexer over queries and keys of these layouts."""
    rows = (2, 3) if layout == "BSND" else (6,)
    keys = {"BSND": (2, 20), "TND": (40,), "PA_BSND": (4, 16)}[key]
    tensors = {
        "query": random(*rows, 4, 32),
        "key": random(*keys, 1, 32),
        "weights": random(*rows, 4),
    }
    if layout == "TND":
        tensors["actual_seq_lengths_query"] = torch.tensor([2, 6], dtype=torch.int32)
    if key == "TND":
        tensors["actual_seq_lengths_key"] = torch.tensor([20, 40], dtype=torch.int32)
    if key == "PA_BSND":
        tensors["actual_seq_lengths_key"] = torch.tensor([20, 17], dtype=torch.int32)
        tensors["block_table"] = torch.tensor([[2, 0], [1, 3]], dtype=torch.int32)
    attributes = {"layout_query": layout, "layout_key": key, "sparse_count": 8, **options}
    return Case("lightning_indexer", tensors, attributes)


def _shadowed_indexer(layout: str, key: str) -> Case:
    case = indexer_case(layout, key, pruning="on")
    case.tensors["key_shadow"] = torch.ops.tamis.quantize_index_keys(
        case.tensors["key"], layout_key=key
    )
    return case


def _whole_indexer() -> Case:
    """Every tensor that lightning_indexer can have."""
    case = _shadowed_indexer("TND", "PA_BSND")
    case.tensors |= _starts_and_limits()
    case.tensors["actual_seq_lengths_tokens"] = torch.tensor([40, 34])
    case.attributes["compress_ratio"] = 2
    return case


def attention_case(layout: str, kv: str, **options: Any) -> Case:
    """A small call of sparse_flash_attention over queries and keys of these layouts."""
    rows = (2, 3) if layout == "BSND" else (6,)
    indexer = indexer_case(layout, kv)
    tensors = {
        "query": random(*rows, 4, 128),
        "key": random(*indexer.tensors["key"].shape[:-2], 1, 128),
        "query_rope": random(*rows, 4, 16),
        "key_rope": random(*indexer.tensors["key"].shape[:-2], 1, 16),
        "sparse_indices": torch.arange(8, dtype=torch.int32).expand(*rows, 1, 8).contiguous(),
    }
    for name in ("actual_seq_lengths_query", "block_table"):
        if name in indexer.tensors:
            tensors[name] = indexer.tensors[name]
    if "actual_seq_lengths_key" in indexer.tensors:
        tensors["actual_seq_lengths_kv"] = indexer.tensors["actual_seq_lengths_key"]
    attributes = {"scale_value": 0.1, "layout_query": layout, "layout_kv": kv, **options}
    return Case("sparse_flash_attention", tensors, attributes)


def with_window(case: Case, size: int) -> Case:
    """A call of sparse_flash_attention with a window of fewer keys, in smaller pages."""
    layout = case.attributes["layout_kv"]

    def fewer(tensor: torch.Tensor) -> torch.Tensor:
        if layout == "PA_BSND":
            return tensor.reshape(8, 8, 1, -1)[1:6].clone()
        keys = tensor[:, 5:12] if layout == "BSND" else tensor[3:17]
        return keys.clone()

    for name in ("key", "key_rope", "value"):
        if name in case.tensors:
            case.tensors[f"window_{name}"] = fewer(case.tensors[name])
    if layout != "BSND":
        lengths = {"TND": [9, 14], "PA_BSND": [9, 0]}[layout]
        case.tensors["actual_seq_lengths_window"] = torch.tensor(lengths, dtype=torch.int32)
    if layout == "PA_BSND":
        table = torch.tensor([[4, 2], [-1, -1]], dtype=torch.int32)
        case.tensors["window_block_table"] = table
    case.attributes["window_size"] = size
    return case


def _whole_attention() -> Case:
    """Every tensor that sparse_flash_attention can have."""
    case = attention_case("TND", "PA_BSND", return_softmax_lse=True, compress_ratio=2)
    case.tensors["value"] = random(*case.tensors["key"].shape)
    case = with_window(case, 6)
    case.tensors["window_starts"] = torch.tensor([4, 0])
    case.tensors["sinks"] = torch.tensor([0.5, -1.0, 2.0, 0.0])
    case.tensors |= _starts_and_limits()
    case.tensors["actual_seq_lengths_tokens"] = torch.tensor([40, 34])
    return case


def _starts_and_limits() -> dict[str, torch.Tensor]:
    """Of six packed query tokens of two sequences."""
    return {
        "key_starts": torch.tensor([1, 0]),
        "key_limits": torch.tensor([20, 3, -1, 9, 2**31 - 1, 0], dtype=torch.int32),
    }


def in_fp32(case: Case) -> Case:
    """The same call of floats of 32 bits."""
    tensors = {n: t.float() if t.is_floating_point() else t for n, t in case.tensors.items()}
    return Case(case.op, tensors, dict(case.attributes))


def _plain_attention() -> Case:
    """No tensor that sparse_flash_attention can do without."""
    case = attention_case("BSND", "BSND")
    del case.tensors["query_rope"], case.tensors["key_rope"]
    return case


def _compressed(folder: Path) -> Case:
    """nsa_compress_attention without masks; its smallest example has both."""
    case = torch_case(folder, "nsa_compress_attention")
    del case.tensors["atten_mask"], case.tensors["topk_mask"]
    return case


def _packed_attention() -> Case:
    case = attention_case("BSND", "BSND", kv_format="cann656")
    key, rope = case.tensors.pop("key"), case.tensors.pop("key_rope")
    rows = torch.ops.tamis.pack_kv_rows(key.flatten(0, 2), rope.flatten(0, 2))
    case.tensors["key"] = rows.view(*key.shape[:-1], -1)
    return case


def _spaced_pages(key: torch.Tensor) -> torch.Tensor:
    """Pages of keys as rows of bytes and their scales, with other bytes between the pages."""
    packed = [
        torch.ops.tamis.pack_kv_rows(page[:, 0, :-64], page[:, 0, -64:], kv_format="flashmla584")
        for page in key
    ]
    pages = torch.stack(packed).flatten(1)
    memory = torch.full((len(key), pages.shape[1] + 9), 255, dtype=torch.uint8)
    memory[:, : pages.shape[1]] = pages
    return memory[:, : pages.shape[1]].view(*key.shape[:-1], -1)


def _paged_bytes() -> Case:
    """Keys whose rotary part is in them, in list and window."""
    case = with_window(attention_case("TND", "PA_BSND", kv_format="flashmla584"), 6)
    for name in ("query_rope", "key_rope", "window_key_rope"):
        del case.tensors[name]
    for name in ("key", "window_key"):
        case.tensors[name] = _spaced_pages(case.tensors[name])
    return case


def _whole_compressed(folder: Path) -> Case:
    """Every tensor that nsa_compress_attention can have."""
    case = torch_case(folder, "nsa_compress_attention")
    tokens, heads = case.tensors["query"].shape[:2]
    case.tensors["key_limits"] = torch.arange(tokens, dtype=torch.int32) % 20
    case.tensors["global_max"] = torch.full((tokens, heads), 2.0)
    case.tensors["global_sum"] = torch.full((tokens, heads), 9.0)
    case.attributes |= {"causal": True, "return_block_scores": True}
    return case


def _window(layout: str, kv: str, **options: Any) -> Case:
    attention = attention_case(layout, kv)
    keys = attention.tensors["key"].shape[:-2]
    tensors = {
        name: tensor
        for name, tensor in attention.tensors.items()
        if name.startswith("actual_seq_lengths") or name == "block_table"
    }
    tensors["query"] = attention.tensors["query"]
    tensors["key"], tensors["value"] = random(*keys, 2, 128), random(*keys, 2, 24)
    attributes = {"scale_value": 0.1, "window_size": 5, "layout_query": layout, "layout_kv": kv}
    return Case("sliding_window_attention", tensors, attributes | options)


def _whole_window() -> Case:
    """Every tensor that sliding_window_attention can have."""
    case = _window("TND", "PA_BSND", out_dtype="float32")
    case.tensors |= _starts_and_limits()
    return case


def attention_grad(forward: Case, **options: Any) -> Case:
    """The gradient of a call of attention or the indexer, with what it gives."""
    positional, named = arguments(forward)
    found = results(forward.op, overload(forward.op)(*positional, **named))
    op = f"{forward.op}_grad"
    fields = tamis.describe(op)["arguments"]
    (incoming,) = (f for f in fields if f["role"] == "input" and f["gradient_of"] is not None)
    out = found[incoming["gradient_of"]]
    taken = {field["name"] for field in fields}
    given = {name: tensor for name, tensor in found.items() if name in taken}
    given[incoming["name"]] = random(*out.shape).to(out.dtype)
    tensors = {name: tensor for name, tensor in to_torch(forward).items() if name in taken}
    attributes = {name: value for name, value in forward.attributes.items() if name in taken}
    return Case(op, tensors | given, attributes | options)


def _whole_window_grad() -> Case:
    """Every tensor that sliding_window_attention_grad can have."""
    forward = _window("TND", "TND")
    forward.tensors |= _starts_and_limits()
    return attention_grad(forward)


def _whole_attention_grad() -> Case:
    """Every tensor that sparse_flash_attention_grad can have."""
    forward = attention_case("TND", "TND", return_softmax_lse=True)
    forward.tensors["value"] = random(*forward.tensors["key"].shape)
    forward.tensors["sinks"] = torch.tensor([0.5, -1.0, 2.0, 0.0])
    forward.tensors |= _starts_and_limits()
    return attention_grad(forward)


def _indexer_grads() -> Iterator[tuple[str, Case]]:
    """Gradients of the scores that the indexer selects."""
    op = "lightning_indexer_grad"
    forward = indexer_case("TND", "TND", return_value=True, compress_ratio=2)
    forward.tensors |= _starts_and_limits()
    forward.tensors["actual_seq_lengths_tokens"] = torch.tensor([40, 34])
    whole = attention_grad(forward)
    yield f"{op} with all tensors", whole
    for name in ("query", "key", "weights"):
        case = Case(op, whole.tensors, whole.attributes | {f"return_{name}_grad": False})
        yield f"{op} but for that of {name}", case
    for layout in ("BSND", "TND"):
        plain = indexer_case(layout, layout, return_value=True)
        yield f"{op} {layout}", attention_grad(plain)
        yield f"{op} {layout} in fp32", attention_grad(in_fp32(plain))


def _attention_grads() -> Iterator[tuple[str, Case]]:
    """Gradients over lists of single keys."""
    whole = _whole_attention_grad()
    yield "sparse_flash_attention_grad with all tensors", whole
    for name in ("query", "key", "value", "query_rope", "key_rope", "sinks"):
        case = Case(whole.op, whole.tensors, whole.attributes | {f"return_{name}_grad": False})
        yield f"sparse_flash_attention_grad but for that of {name}", case
    for layout in ("BSND", "TND"):
        case = attention_case(layout, layout, return_softmax_lse=True, sparse_block_size=3)
        yield f"sparse_flash_attention_grad {layout}", attention_grad(case)
    plain = _plain_attention()
    plain.attributes["return_softmax_lse"] = True
    yield "sparse_flash_attention_grad in fp32, the fewest tensors", attention_grad(in_fp32(plain))


def _selected(mode: int, **options: Any) -> Case:
    """A small call of nsa_selected_attention over two sequences, one shorter than its tokens."""
    ids = torch.tensor([[0, 2, -1], [3, 9, 1]], dtype=torch.int32)
    tensors = {
        "query": random(6, 4, 32),
        "key": random(22, 2, 32),
        "value": random(22, 2, 24),
        "topk_indices": ids.expand(6, 2, 3).contiguous(),
    }
    attributes = {
        "scale_value": 0.2,
        "head_num": 4,
        "select_block_size": 5,
        "select_block_count": 3,
        "actual_seq_qlen": [2, 6],
        "actual_seq_kvlen": [20, 22],
        "sparse_mode": mode,
    }
    return Case("nsa_selected_attention", tensors, attributes | options)


def _warm_up(op: str, layout: str, *, whole: bool = True, **options: Any) -> Case:
    """A small call of the indexer's warm-up, with all optional tensors or with none."""
    rows, keys = ((2, 3), (2, 20)) if layout == "BSND" else ((6,), (40,))
    tensors = {
        "query_index": random(*rows, 4, 32),
        "key_index": random(*keys, 1, 32),
        "weights": random(*rows, 4),
    }
    attributes: dict[str, Any] = {"layout": layout} | options
    if op.endswith("kl_loss"):
        tensors |= {"query": random(*rows, 4, 32), "key": random(*keys, 2, 32)}
        for name, shape in {"": (*rows, 4), "_index": rows}.items():
            tensors[f"softmax_max{name}"] = torch.full(shape, 2.0)
            tensors[f"softmax_sum{name}"] = torch.full(shape, 9.0)
        attributes["scale_value"] = 0.2
    if op.startswith("sparse"):
        for name in ("softmax_max_index", "softmax_sum_index"):
            del tensors[name]
        tensors["key"] = random(*keys, 1, 32)
        ids = torch.tensor([3, 0, 3, 7, 99, 1, -1, 2], dtype=torch.int32)
        tensors["sparse_indices"] = ids.expand(*rows, 1, 8).contiguous()
    if whole and op.endswith("kl_loss"):
        kv_heads = tensors["key"].shape[-2]
        tensors |= {"query_rope": random(*rows, 4, 8), "key_rope": random(*keys, kv_heads, 8)}
        if op.startswith("sparse"):
            tensors["sinks"] = random(4).float()
        tensors["row_scale"] = torch.arange(6.0).view(rows)
    if whole or layout == "TND":
        lengths = ([2, 6], [20, 40]) if layout == "TND" else ([2, 3], [20, 9])
        for name, counts in zip(("query", "key"), lengths, strict=True):
            tensors[f"actual_seq_lengths_{name}"] = torch.tensor(counts, dtype=torch.int32)
    return Case(op, tensors, attributes)


def _warm_ups() -> Iterator[tuple[str, Case]]:
    """The indexer's warm-up, and its loss over lists."""
    loss, sparse = (f"{of}_lightning_indexer_grad_kl_loss" for of in ("dense", "sparse"))
    for layout in ("BSND", "TND"):
        for op in ("dense_lightning_indexer_softmax_lse", loss, sparse):
            yield f"{op} {layout} with all tensors", _warm_up(op, layout)
            yield f"{op} {layout} with the fewest tensors", _warm_up(op, layout, whole=False)
            yield f"{op} {layout} in fp32", in_fp32(_warm_up(op, layout, sparse_mode=0))
    for name in ("query_index", "key_index", "weights"):
        for op in (loss, sparse):
            off = _warm_up(op, "TND", **{f"return_{name}_grad": False})
            yield f"{op} but for that of {name}", off
    yield f"{loss}, losses of tokens", _warm_up(loss, "BSND", return_row_loss=True)


def _branch_grads(folder: Path) -> Iterator[tuple[str, Case]]:
    """Gradients of selected and of compressed attention."""
    for mode in (0, 2, 3):
        yield f"nsa_selected_attention_grad, sparse_mode {mode}", attention_grad(_selected(mode))
    yield "nsa_selected_attention_grad in fp32", attention_grad(in_fp32(_selected(3)))
    plain, whole = _compressed(folder), _whole_compressed(folder)
    yield "nsa_compress_attention_grad without masks", attention_grad(plain)
    yield "nsa_compress_attention_grad in fp32", attention_grad(in_fp32(plain))
    raw = {"causal": True, "actual_raw_seq_kvlen": [300, 700, 711]}
    case = Case(plain.op, plain.tensors, plain.attributes | raw)
    yield "nsa_compress_attention_grad, causal by raw tokens", attention_grad(case)
    for rows in ("uniform", "zero"):
        for name, forward in (("all tensors", whole), ("no key to see", _blind(plain))):
            case = Case(plain.op, forward.tensors, forward.attributes | {"masked_rows": rows})
            yield f"nsa_compress_attention_grad, {name}, {rows}", attention_grad(case)


def _blind(case: Case) -> Case:
    """The same call, where no token may see a key."""
    tensors = to_torch(case)
    tensors["key_limits"] = torch.zeros(len(tensors["query"]), dtype=torch.int32)
    return Case(case.op, tensors, case.attributes)


def _selected_pages(layout: str, **options: Any) -> Case:
    """A small call of nsa_selected_attention_infer; of BSND a row is padding."""
    rows = (2, 2) if layout == "BSND" else (3,)
    tensors = {
        "query": random(*rows, 4, 32),
        "key": random(5, 16, 2 * 32),
        "value": random(5, 16, 2 * 24),
        "topk_indices": torch.arange(3, dtype=torch.int32).expand(*rows, 2, 3).contiguous(),
        "block_table": torch.tensor([[4, 1], [0, 3]], dtype=torch.int32),
    }
    attributes = {
        "scale_value": 0.2,
        "head_num": 4,
        "key_value_head_num": 2,
        "select_block_size": 8,
        "select_block_count": 3,
        "page_block_size": 16,
        "layout": layout,
        "actual_seq_qlen": [1, 2],
        "actual_seq_kvlen": [30, 20],
    }
    return Case("nsa_selected_attention_infer", tensors, attributes | options)


def _one_token_each(case: Case) -> Case:
    """A call of nsa_selected_attention_infer without lengths of queries."""
    del case.attributes["actual_seq_qlen"]
    for name in ("query", "topk_indices"):
        case.tensors[name] = case.tensors[name][:2].clone()
    return case


def _infer(layout: str, **options: Any) -> Case:
    rows = (2, 2) if layout == "BSND" else (4,)
    tensors = {
        "query": random(*rows, 4, 32),
        "key": random(5, 16, 2 * 32),
        "value": random(5, 16, 2 * 16),
        "block_table": torch.tensor([[4, 1], [0, 3]], dtype=torch.int32),
    }
    attributes = {
        "scale_value": 0.2,
        "head_num": 4,
        "key_value_head_num": 2,
        "select_block_size": 64,
        "select_block_count": 3,
        "page_block_size": 16,
        "compress_block_size": 32,
        "compress_stride": 16,
        "layout": layout,
        "actual_seq_qlen": [2, 2],
        "actual_cmp_seq_kvlen": [20, 30],
    }
    return Case("nsa_compress_attention_infer", tensors, attributes | options)


def _whole_infer(layout: str) -> Case:
    """Every tensor that nsa_compress_attention_infer can have, and all that it can give."""
    case = _infer(layout, return_softmax_lse=True, return_block_scores=True)
    rows = case.tensors["query"].shape[:-1]
    case.tensors["atten_mask"] = torch.ones(2, 30, dtype=torch.bool)
    case.attributes["actual_sel_seq_kvlen"] = [340, 500]
    limits = torch.tensor([20, 3, 0, 25], dtype=torch.int32)
    case.tensors["key_limits"] = limits.view(rows[:-1])
    case.tensors["global_max"] = torch.full(rows, 2.0)
    case.tensors["global_sum"] = torch.full(rows, 9.0)
    return case


def _prolog(op: str, folder: Path, rows: tuple[int, ...], without: tuple[str, ...] = ()) -> Case:
    case = torch_case(folder, op)
    per_row = ("x", "sin", "cos", "query_norm")
    count = 1
    for size in rows:
        count *= size
    for name in per_row:
        if name in case.tensors:
            width = case.tensors[name].shape[-1]
            case.tensors[name] = random(*rows, width)
    case.tensors["cache_index"] = torch.arange(count, dtype=torch.int64).view(rows)
    for name in without:
        del case.tensors[name]
    return case


def _of_other_families(folder: Path, rows: tuple[int, ...]) -> Case:
    case = _prolog("mla_prolog", folder, rows)
    case.tensors["bias_dq"] = random(*case.tensors["gamma_cq"].shape)
    case.tensors["bias_dkv_kr"] = random(case.tensors["w_dkv_kr"].shape[1])
    case.tensors["gamma_kr"] = random(case.tensors["sin"].shape[-1])
    case.attributes["rope_interleaved"] = False
    return case


def _compress_infer(**options: Any) -> Case:
    """A small call of nsa_compress_infer: new tokens end a window in each sequence."""
    tensors = {
        "input": random(5, 16, 2, 20),
        "weight": random(8, 2),
        "slot_mapping": torch.tensor([99, 4], dtype=torch.int32),
        "block_table": torch.tensor([[4, 1], [0, 3]], dtype=torch.int32),
        "cache": random(6, 2, 20),
    }
    attributes = {
        "act_seq_len": [23, 20],
        "compress_block_size": 8,
        "compress_stride": 4,
        "page_block_size": 16,
    }
    return Case("nsa_compress_infer", tensors, attributes | options)


def _compress(lengths: list[int], kind: int) -> Case:
    attributes = {
        "act_seq_len": lengths,
        "act_seq_len_type": kind,
        "compress_block_size": 32,
        "compress_stride": 16,
    }
    tensors = {"input": random(100, 2, 16), "weight": random(32, 2)}
    return Case("nsa_compress", tensors, attributes)


def _compress_grad(lengths: list[int], kind: int, **options: Any) -> Case:
    """The gradient of such a call, whose windows are counted here."""
    forward = _compress(lengths, kind)
    ends = [0, *(lengths if kind == 0 else itertools.accumulate(lengths))]
    windows = sum(max(0, (end - begin - 32) // 16 + 1) for begin, end in itertools.pairwise(ends))
    tensors = {"output_grad": random(windows, 2, 16)} | forward.tensors
    return Case("nsa_compress_grad", tensors, forward.attributes | options)


def forms(folder: Path) -> Iterator[tuple[str, Case]]:
    """Every layout, every option that changes what comes back, all optional tensors and none."""
    for op in SHAPES:
        yield f"{op}, its smallest example", torch_case(folder, op)
    yield "nsa_compress_attention without masks", _compressed(folder)
    yield "nsa_compress_attention with all tensors", _whole_compressed(folder)
    scores = _compressed(folder)
    scores.attributes |= {"return_block_scores": True, "out_dtype": "float32"}
    yield "nsa_compress_attention, block scores", scores
    yield "nsa_compress_attention in fp32", in_fp32(scores)
    causal = {"causal": True, "selection": "causal"}
    raw = {"actual_raw_seq_kvlen": [300, 700, 711]}
    for options in (causal, causal | raw):
        case = Case(scores.op, scores.tensors, scores.attributes | options)
        yield f"nsa_compress_attention, causal selection, {len(options)} options", case
    yield "lightning_indexer with all tensors", _whole_indexer()
    yield "lightning_indexer in fp32", in_fp32(indexer_case("TND", "TND", return_value=True))
    yield "sparse_flash_attention with all tensors", _whole_attention()
    yield "sparse_flash_attention with the fewest tensors", _plain_attention()
    for lengths, kind in (([20, 31, 100], 0), ([20, 47, 33], 1), ([100], 0)):
        yield f"nsa_compress of {lengths}, type {kind}", _compress(lengths, kind)
        grad = _compress_grad(lengths, kind)
        yield f"nsa_compress_grad of {lengths}, type {kind}", grad
    yield "nsa_compress_grad in fp32", in_fp32(_compress_grad([20, 31, 100], 0))
    for absent in ("input_grad", "weight_grad"):
        case = _compress_grad([20, 31, 100], 0, **{f"return_{absent}": False})
        yield f"nsa_compress_grad without {absent}", case
    yield "nsa_compress_infer, one token each", _compress_infer()
    steps = _compress_infer(actual_seq_qlen=[4, 2])
    steps.tensors["slot_mapping"] = torch.tensor([5, 5, 1, 5, 9, 1])
    yield "nsa_compress_infer, several tokens", steps
    yield "nsa_compress_infer in fp32", in_fp32(steps)
    for layout, key in (("BSND", "BSND"), ("BSND", "PA_BSND"), ("TND", "TND"), ("TND", "PA_BSND")):
        yield f"lightning_indexer {layout} {key}", indexer_case(layout, key)
        yield f"lightning_indexer {layout} {key}, a shadow", _shadowed_indexer(layout, key)
        yield f"sparse_flash_attention {layout} {key}", attention_case(layout, key)
        statistics = attention_case(layout, key, return_softmax_lse=True)
        yield f"sparse_flash_attention {layout} {key}, statistics", statistics
        yield f"sliding_window_attention {layout} {key}", _window(layout, key)
    for dtype in ("input", "float32"):
        case = indexer_case("BSND", "BSND", return_value=True, value_dtype=dtype)
        yield f"lightning_indexer, values of {dtype}", case
    yield "sparse_flash_attention of bytes", _packed_attention()
    yield "sparse_flash_attention of bytes, a window", with_window(_packed_attention(), 3)
    yield "sparse_flash_attention of pages of bytes, a window", _paged_bytes()
    near = with_window(attention_case("TND", "TND", accuracy="fp32_scores"), -1)
    yield "sparse_flash_attention, a window", near
    yield "sparse_flash_attention in fp32, a window", in_fp32(near)
    wide = attention_case("TND", "TND", out_dtype="float32")
    yield "sparse_flash_attention to float32", wide
    yield "sparse_flash_attention in fp32", in_fp32(wide)
    for key, rows in (("BSND", (2, 20)), ("TND", (40,)), ("PA_BSND", (4, 16))):
        keys = {"key": random(*rows, 1, 40)}
        yield f"quantize_index_keys {key}", Case("quantize_index_keys", keys, {"layout_key": key})
    yield "sliding_window_attention with all tensors", _whole_window()
    yield "sliding_window_attention in fp32", in_fp32(_window("TND", "TND"))
    for layout in ("BSND", "TND"):
        grad = attention_grad(_window(layout, layout))
        yield f"sliding_window_attention_grad {layout}", grad
        yield f"sliding_window_attention_grad {layout} in fp32", in_fp32(grad)
    yield "sliding_window_attention_grad with all tensors", _whole_window_grad()
    yield from _branch_grads(folder)
    yield from _warm_ups()
    yield from _attention_grads()
    yield from _indexer_grads()
    for forward in (_window("TND", "TND"), _selected(3), _compressed(folder)):
        for name in ("query", "key", "value"):
            grad = attention_grad(forward, **{f"return_{name}_grad": False})
            yield f"{grad.op} but for that of {name}", grad
    for layout in ("TND", "BSND"):
        yield f"nsa_compress_attention_infer {layout}", _infer(layout)
        yield f"nsa_compress_attention_infer {layout} with all tensors", _whole_infer(layout)
        statistics = _infer(layout, return_softmax_lse=True, out_dtype="float32")
        yield f"nsa_compress_attention_infer {layout}, statistics", statistics
        scores = in_fp32(_infer(layout, return_block_scores=True))
        yield f"nsa_compress_attention_infer {layout} in fp32, block scores", scores
        none = _infer(layout, return_block_scores=True, actual_cmp_seq_kvlen=[0, 0])
        yield f"nsa_compress_attention_infer {layout}, block scores of no key", none
        causal = {"selection": "causal", "actual_sel_seq_kvlen": [340, 500]}
        case = _infer(layout, return_block_scores=True, **causal)
        yield f"nsa_compress_attention_infer {layout}, causal selection", case
    for mode in (0, 2, 3):
        yield f"nsa_selected_attention, sparse_mode {mode}", _selected(mode)
    yield "nsa_selected_attention to float32", _selected(3, out_dtype="float32")
    yield "nsa_selected_attention in fp32", in_fp32(_selected(3))
    for layout in ("TND", "BSND"):
        yield f"nsa_selected_attention_infer {layout}", _selected_pages(layout)
        statistics = _selected_pages(layout, return_softmax_lse=True, out_dtype="float32")
        yield f"nsa_selected_attention_infer {layout}, statistics", statistics
        yield f"nsa_selected_attention_infer {layout} in fp32", in_fp32(statistics)
        alone = _one_token_each(_selected_pages(layout, return_softmax_lse=True))
        yield f"nsa_selected_attention_infer {layout}, one token each", alone
    for rows in ((5,), (2, 3)):
        yield f"mla_prolog of {rows}", _prolog("mla_prolog", folder, rows)
        yield f"indexer_prolog of {rows}", _prolog("indexer_prolog", folder, rows)
    for op in ("mla_prolog", "indexer_prolog", "sparse_attention_pto"):
        yield f"{op} in fp32", in_fp32(torch_case(folder, op))
    for rows in ((5,), (2, 3)):
        yield f"mla_prolog of {rows}, biases and a norm", _of_other_families(folder, rows)
        source = _of_other_families(folder, rows)
        for name in ("w_dq", "bias_dq", "gamma_cq"):
            del source.tensors[name]
        source.tensors["query_source"] = random(*rows, len(source.tensors["w_uq_qr"]))
        yield f"mla_prolog of {rows}, of a source, biases and a norm", source
        least = {n: t for n, t in source.tensors.items() if n not in ("bias_dkv_kr", "gamma_kr")}
        yield f"mla_prolog of {rows}, of a source", Case("mla_prolog", least, {})
        last = _prolog("indexer_prolog", folder, rows)
        last.attributes["rope_last"] = True
        yield f"indexer_prolog of {rows}, rope on the last channels", last
    keys_only = ("query_norm", "w_idx_qb", "w_idx_proj")
    yield "indexer_prolog, keys", _prolog("indexer_prolog", folder, (5,), keys_only)
    shadowed = _prolog("indexer_prolog", folder, (5,))
    shadowed.tensors["index_k_shadow"] = torch.ops.tamis.quantize_index_keys(
        shadowed.tensors["index_k_cache"], layout_key="PA_BSND"
    )
    yield "indexer_prolog with a shadow", shadowed
    no_weights = _prolog("indexer_prolog", folder, (5,), ("w_idx_proj",))
    yield "indexer_prolog without weights", no_weights
    for dtype in ("bfloat16", "float16"):
        rows = torch.ops.tamis.pack_kv_rows(random(3, 256), random(3, 64))
        yield f"unpack_kv_rows to {dtype}", Case("unpack_kv_rows", {"rows": rows}, {"dtype": dtype})
    for kv_format in ("flashmla656", "flashmla584"):
        keys, how = {"latent": random(3, 256), "rope": random(3, 64)}, {"kv_format": kv_format}
        yield f"pack_kv_rows to {kv_format}", Case("pack_kv_rows", keys, how)
        rows = torch.ops.tamis.pack_kv_rows(**keys, **how)
        yield f"unpack_kv_rows of {kv_format}", Case("unpack_kv_rows", {"rows": rows}, how)
    for out in ("input", "float32"):
        merge = torch_case(folder, "merge_attention_states")
        merge.attributes["out_dtype"] = out
        yield f"merge_attention_states to {out}", merge
