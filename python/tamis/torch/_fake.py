"""What the operators give where nothing is computed: shapes and dtypes, from the contracts.

Sizes may be symbolic and stay so: no size is compared with another here. The library itself checks
them when the call is made.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

import tamis
from tamis.torch._autograd import brings_gradients

Sizes = dict[str, Any]  # dimensions and attributes by name; int or torch.SymInt


def register(operator: str) -> None:
    """Tell PyTorch the shapes of an operator's results.

    Parameters
    ----------
    operator : str
        Registered with PyTorch already.
    """
    contract = tamis.describe(operator)
    overloads = getattr(torch.ops.tamis, operator)
    # One that only updates tensors in place has no results, and no overload `out`.
    give = {"default": _results, "out": _nothing} if _outputs(contract) else {"default": _nothing}
    contract["has_backward"] = operator in _differentiable()
    for name, kernel in give.items():
        overload = getattr(overloads, name)
        order = [argument.name for argument in overload._schema.arguments]
        torch.library.register_fake(overload, functools.partial(kernel, contract, order))


def register_run_plan() -> None:
    """Tell PyTorch that `run_plan` gives nothing: it writes."""
    torch.library.register_fake("tamis::run_plan", lambda *_: None)


@functools.cache
def _differentiable() -> set[str]:
    """Operators that have a gradient operator, or bring their gradients."""
    contracts = [tamis.describe(operator) for operator in tamis.operators()]
    own = {contract["name"] for contract in contracts if brings_gradients(contract)}
    return own | {contract["gradient_of"] for contract in contracts}


def _outputs(contract: dict[str, Any]) -> list[dict[str, Any]]:
    return [f for f in contract["arguments"] if f["role"] in ("output", "optional_output")]


def _called(contract: dict[str, Any], order: list[str], positional: Any, named: Any) -> _Call:
    # The dispatcher passes whatever stands before the schema's "*" by position, None for what is
    # absent, and leaves out what a default stands for.
    return _Call(contract, dict(zip(order, positional, strict=False)) | named)


def _nothing(contract: dict[str, Any], order: list[str], *positional: Any, **named: Any) -> None:
    _called(contract, order, positional, named)


def _results(contract: dict[str, Any], order: list[str], *positional: Any, **named: Any) -> Any:
    call = _called(contract, order, positional, named)
    results = tuple(call.result(field) for field in _outputs(contract))
    return results[0] if len(results) == 1 else results


class _Call:
    """Arguments by name, and what is known of the sizes."""

    def __init__(self, contract: dict[str, Any], given: dict[str, Any]) -> None:
        self.contract = contract
        self.fields = {field["name"]: field for field in contract["arguments"]}
        defaults = {n: f["default"] for n, f in self.fields.items() if "default" in f}
        self.given = defaults | given
        self.tensors = {n: self.given[n] for n in self.fields if _is_tensor(self.given.get(n))}
        self.sizes: Sizes = {
            n: v for n, v in self.given.items() if self.fields[n]["type"] != "tensor"
        }
        for name, tensor in self.tensors.items():
            self.refuse_gradient(name, tensor)
            self.check_device(name, tensor)
            self.bind(name, tensor)
        derive = _DERIVED.get(contract["name"])
        if derive is not None:
            derive(self.sizes)

    def form(self, field: dict[str, Any]) -> list[str]:
        """The shape that this call's layout selects; entries are products of names and numbers."""
        forms = {form["when"]: list(form["dims"]) for form in field["shapes"]}
        if len(forms) == 1:
            return next(iter(forms.values()))
        leader = self.contract["layout_tensor"]
        if leader is None:
            return forms[self.given[field["layout"]]]
        # The layout's name is that of the leader's form with as many entries as it has dimensions.
        rank = self.tensors[leader].dim()
        leading = self.fields[leader]["shapes"]
        return forms[next((f["when"] for f in leading if len(f["dims"]) == rank), "")]

    def refuse_gradient(self, name: str, tensor: torch.Tensor) -> None:
        """As the kernel does. Below a backward that is registered, grad mode is off."""
        if not tensor.requires_grad or not torch.is_grad_enabled():
            return
        operator = self.contract["name"]
        why = f"{operator} has no backward"
        if self.contract["has_backward"]:
            why = f"tamis.torch gives a backward to torch.ops.tamis.{operator}, not to this"
        raise NotImplementedError(
            f"{name}: expected a tensor without gradient ({why}: call it under torch.no_grad() or "
            "pass .detach()), got one that requires grad"
        )

    def check_device(self, name: str, tensor: torch.Tensor) -> None:
        """One device holds all tensors of a call."""
        first, leader = next(iter(self.tensors.items()))
        if tensor.device != leader.device:
            raise ValueError(
                f"{name}: expected memory of {leader.device} as {first}, got {tensor.device}"
            )

    def bind(self, name: str, tensor: torch.Tensor) -> None:
        """Give names of the tensor's dimensions their sizes, those that have none yet."""
        form = self.form(self.fields[name])
        if tensor.dim() != len(form):
            expected = ", ".join(form)
            raise ValueError(f"{name}: expected shape [{expected}], got {list(tensor.shape)}")
        for entry, size in zip(form, tensor.shape, strict=True):
            known: Any = 1
            unknown = ""
            for term in entry.split("*"):  # of "*", any size, two empty terms
                if term in self.sizes or term.isdigit():
                    known = known * self.value(term)
                else:
                    unknown = term
            if unknown:
                self.sizes[unknown] = size // known

    def value(self, term: str) -> Any:
        return int(term) if term.isdigit() else self.sizes[term]

    def result(self, field: dict[str, Any]) -> torch.Tensor:
        like = next(iter(self.tensors.values()))
        asked = field["wanted_by"] is None or self.given[field["wanted_by"]]
        if not asked or any(need not in self.tensors for need in field["needs"]):
            return like.new_empty((0,), dtype=torch.float32)
        shape = []
        for entry in self.form(field):
            size: Any = 1
            for term in entry.split("*"):
                size = size * self.value(term)
            shape.append(size)
        return like.new_empty(shape, dtype=self.dtype(field))

    def dtype(self, field: dict[str, Any]) -> torch.dtype:
        attribute = field["dtype_attribute"]
        if attribute is not None:
            choice = self.fields[attribute]["choices"].index(self.given[attribute])
            if field["dtype_choices"][choice] is not None:
                return _dtype_named(field["dtype_choices"][choice])
        if field["dtype_as"] is not None:
            dtype: torch.dtype = self.tensors[field["dtype_as"]].dtype
            return dtype
        return _dtype_named(field["dtypes"][0])


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _dtype_named(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype


# --- dimensions that no input has ---------------------------------------------------------------


def _counts(prefix_sums: list[Any]) -> list[Any]:
    return [end - begin for begin, end in zip([0, *prefix_sums], prefix_sums, strict=False)]


def _longest(lengths: list[Any]) -> Any:
    return functools.reduce(torch.sym_max, lengths) if lengths else 0


def _nsa_compress(sizes: Sizes) -> None:
    """Windows of every sequence: none where it is shorter than one."""
    lengths = list(sizes["act_seq_len"])
    if sizes["act_seq_len_type"] == 0:
        lengths = _counts(lengths)
    block, stride = sizes["compress_block_size"], sizes["compress_stride"]
    windows: Any = 0
    for length in lengths:
        windows = windows + torch.sym_max(0, (length - block) // stride + 1)
    sizes["Tc"] = windows


def _nsa_compress_attention(sizes: Sizes) -> None:
    """Select blocks of the longest sequence, where block scores are wanted."""
    if sizes["return_block_scores"]:
        select = sizes["select_block_size"]
        if sizes["selection"] == "causal":
            raw = sizes.get("actual_raw_seq_kvlen") or sizes["actual_seq_qlen"]
            tokens = _longest(_counts(list(raw)))
        else:
            keys = _longest(_counts(list(sizes["actual_cmp_seq_kvlen"])))
            tokens = keys * sizes["compress_stride"]
        sizes["blocks"] = (tokens + select - 1) // select


def _nsa_compress_attention_infer(sizes: Sizes) -> None:
    """The same, up to the last token or to the end of the last window: none without a window."""
    if sizes["return_block_scores"]:
        select, block = sizes["select_block_size"], sizes["compress_block_size"]
        if sizes["selection"] == "causal":
            sizes["blocks"] = (_longest(list(sizes["actual_sel_seq_kvlen"])) + select - 1) // select
            return
        keys = _longest(list(sizes["actual_cmp_seq_kvlen"]))
        tokens = (keys - 1) * sizes["compress_stride"] + block
        sizes["blocks"] = torch.sym_min(keys, 1) * ((tokens + select - 1) // select)


def _indexer_prolog(sizes: Sizes) -> None:
    """Heads come with w_idx_proj, else from the columns of w_idx_qb."""
    if "Ni" not in sizes and "qb_width" in sizes:
        sizes["Ni"] = sizes["qb_width"] // sizes["Di"]


def _pack_kv_rows(sizes: Sizes) -> None:
    """A byte per latent channel, four per 128 of them for their scale, two per rope channel.

    With flashmla584 a byte per 64 channels for their scale, and another.
    """
    apart = sizes["kv_format"] == "flashmla584"
    scales = sizes["D"] // 64 + 1 if apart else sizes["D"] // 128 * 4
    sizes["width"] = sizes["D"] + scales + 2 * sizes["Dr"]


def _unpack_kv_rows(sizes: Sizes) -> None:
    latent = sizes["width"] - 2 * sizes["rope_dim"]  # with its scales
    apart = sizes["kv_format"] == "flashmla584"
    sizes["D"] = (latent - 1) // 65 * 64 if apart else latent // 132 * 128


def _quantize_index_keys(sizes: Sizes) -> None:
    """Panels of 16 keys: a byte per dim, of 64 at a time, and 12 bytes of bounds per key."""
    keys = next(sizes[name] for name in ("S2", "T2", "page_size") if name in sizes)
    sizes["panels"] = (keys + 15) // 16
    sizes["panel_bytes"] = 16 * ((sizes["D"] + 63) // 64 * 64 + 12)


_DERIVED: dict[str, Callable[[Sizes], None]] = {
    "nsa_compress": _nsa_compress,
    "nsa_compress_attention": _nsa_compress_attention,
    "nsa_compress_attention_infer": _nsa_compress_attention_infer,
    "indexer_prolog": _indexer_prolog,
    "pack_kv_rows": _pack_kv_rows,
    "unpack_kv_rows": _unpack_kv_rows,
    "quantize_index_keys": _quantize_index_keys,
}
