"""Calls for the tests of the package: small cases, the command line, arrays of every library."""

from __future__ import annotations

import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

import tamis
from tamis.case import Case

ROOT = Path(__file__).resolve().parent.parent.parent
BINARY = Path(os.environ.get("TAMIS_BINARY", ROOT / "build/release/bin/tamis"))

# The smallest named example of each operator; None: made here.
SHAPES: dict[str, str | None] = {
    "nsa_compress": "ragged",
    "nsa_compress_grad": "ragged",
    "nsa_compress_infer": "small",
    "nsa_compress_attention": "ragged",
    "nsa_compress_attention_infer": "mtp",
    "nsa_compress_attention_grad": "small",
    "nsa_selected_attention": "small",
    "nsa_selected_attention_infer": "small",
    "nsa_selected_attention_grad": "small",
    "sliding_window_attention": "small",
    "sliding_window_attention_grad": "small",
    "mla_prolog": "small",
    "indexer_prolog": "small",
    "nd_to_nz": "small",
    "nz_to_nd": "small",
    "quantize_index_keys": "small",
    "lightning_indexer": "small",
    "lightning_indexer_grad": "small",
    "dense_lightning_indexer_softmax_lse": "small",
    "dense_lightning_indexer_grad_kl_loss": "small",
    "sparse_lightning_indexer_grad_kl_loss": "small",
    "sparse_flash_attention": "small",
    "sparse_flash_attention_grad": "small",
    "sparse_attention_pto": None,
    "pack_kv_rows": "small",
    "unpack_kv_rows": "small",
    "merge_attention_states": "small",
    "merge_topk": "small",
    "localize_indices": "small",
    "globalize_indices": "small",
}

Array = npt.NDArray[Any]


def takes_fp32(op: str) -> bool:
    """Whether an operator takes floats of 32 bits where it takes those of 16."""
    return {"float16", "float32"} <= set(tamis.describe(op)["arguments"][0]["dtypes"])


def run_tamis(*arguments: str | Path) -> None:
    """The command line, which must succeed."""
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def layer_case(dtype: str) -> Case:
    """A small call of sparse_attention_pto."""
    random = np.random.default_rng(7)
    scalar = np.dtype(dtype)

    def values(*shape: int) -> Array:
        return (random.standard_normal(shape) / 4).astype(scalar)

    hidden, low, heads, nope, latent, rope, index_heads, index_dim = 64, 48, 2, 16, 32, 16, 2, 32
    tensors = {
        "x": values(2, 2, hidden),
        "w_dq": values(hidden, low),
        "w_uq_qr": values(low, heads * (nope + rope)),
        "w_uk": values(heads, nope, latent),
        "w_dkv_kr": values(hidden, latent + rope),
        "gamma_cq": values(low),
        "gamma_ckv": values(latent),
        "sin": values(2, 2, rope),
        "cos": values(2, 2, rope),
        "cache_index": np.array([[18, 19], [36, 37]], np.int64),
        "kv_cache": values(4, 16, 1, latent),
        "kr_cache": values(4, 16, 1, rope),
        "block_table": np.array([[0, 1], [3, 2]], np.int32),
        "act_seqs": np.array([20, 22], np.int32),
        "w_idx_qb": values(low, index_heads * index_dim),
        "w_idx_k": values(hidden, index_dim),
        "w_idx_proj": values(hidden, index_heads),
        "in_gamma_k": values(index_dim),
        "in_beta_k": values(index_dim),
        "index_k_cache": values(4, 16, 1, index_dim),
    }
    return Case("sparse_attention_pto", tensors, {"sparse_count": 8, "scale_value": 0.2})


def make_case(folder: Path, op: str, dtype: str) -> Case:
    """A small call, as the command line makes it; also at `folder`/case.safetensors."""
    path, shape = folder / "case.safetensors", SHAPES[op]
    if shape is None:
        tamis.case.write(path, layer_case(dtype))
    else:
        run_tamis("case", "new", op, "--shape", shape, "--dtype", dtype, "-o", path)
    return tamis.case.read(path)


def window_beside(tensors: dict[str, Array]) -> dict[str, Array]:
    """The keys of sparse_flash_attention again, where they lie, as those of its window."""
    names = {f"window_{name}": name for name in ("key", "key_rope", "value", "block_table")}
    names["actual_seq_lengths_window"] = "actual_seq_lengths_kv"
    return {name: tensors[of].copy() for name, of in names.items() if of in tensors}


def extended(case: Case) -> Case:
    """With all that a call can be asked for, and keys hidden from tokens, where it takes that."""
    fields = {a["name"]: a for a in tamis.describe(case.op)["arguments"]}
    tensors, attributes = dict(case.tensors), dict(case.attributes)
    attributes |= {a["wanted_by"]: True for a in fields.values() if a.get("wanted_by")}
    if "key_limits" in fields:
        rows = tensors["query"].shape[:-2]
        tensors["key_limits"] = np.random.default_rng(9).integers(-1, 40, rows).astype(np.int32)
    if "key_starts" in fields:
        tensors["key_starts"] = np.array([1], np.int64)
    if "window_key" in fields:
        tensors |= window_beside(tensors)
        tensors["window_starts"] = np.array([2], np.int32)
        attributes["window_size"] = 4
    if "causal" in fields:
        attributes |= {"causal": True, "actual_raw_seq_kvlen": attributes["actual_seq_qlen"]}
    if "compress_ratio" in fields:
        attributes["compress_ratio"] = 2
        tensors["actual_seq_lengths_tokens"] = np.array([60], np.int32)
    return Case(case.op, tensors, attributes)


def in_fp32(case: Case) -> Case:
    """With its floats of 16 bits in 32."""
    halves = (np.float16, ml_dtypes.bfloat16)
    tensors = {n: t.astype(np.float32) if t.dtype in halves else t for n, t in case.tensors.items()}
    return Case(case.op, tensors, case.attributes)


def command_line(folder: Path, *options: str) -> dict[str, Array]:
    """The outputs of `folder`/case.safetensors by the command line."""
    run_tamis("run", folder / "case.safetensors", "-o", folder / "out.safetensors", *options)
    return tamis.case.read(folder / "out.safetensors").tensors


def updated(op: str) -> list[str]:
    """Tensors that the operator updates in place."""
    roles = ("inout", "optional_inout")
    return [a["name"] for a in tamis.describe(op)["arguments"] if a["role"] in roles]


def updated_of(op: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Those of them that a call has."""
    return {name: tensors[name] for name in updated(op) if name in tensors}


def outputs(op: str, result: Any) -> dict[str, Any]:
    """What an operator returned, by name."""
    if isinstance(result, tuple):
        named = result._asdict()  # type: ignore[attr-defined]
        return {name: value for name, value in named.items() if value is not None}
    names = [a["name"] for a in tamis.describe(op)["arguments"] if "output" in a["role"]]
    return dict(zip(names, [] if result is None else [result], strict=True))


def call(case: Case, **options: Any) -> dict[str, Any]:
    """The outputs of a case by the package."""
    function: Callable[..., Any] = getattr(tamis, case.op)
    return outputs(case.op, function(**case.tensors, **case.attributes, **options))


def libraries() -> Iterator[str]:
    """Those that are installed here."""
    for name in ("numpy", "torch", "jax"):
        if importlib.util.find_spec(name) is not None:
            yield name


def to_library(library: str, array: Array) -> Any:
    """A copy of the array in another library."""
    if library == "numpy":
        return array.copy()
    module = importlib.import_module(library)
    if library == "jax":
        return module.numpy.asarray(array)
    if array.dtype == ml_dtypes.bfloat16:
        return module.from_numpy(array.view(np.int16).copy()).view(module.bfloat16)
    return module.from_numpy(array.copy())


def to_numpy(array: Any) -> Array:
    """The values, whatever the library."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        if array.dtype == torch.bfloat16:
            bits: Array = array.contiguous().view(torch.int16).numpy()
            return bits.view(ml_dtypes.bfloat16)
        found: Array = array.numpy()
        return found
    return np.asarray(array)


def same_bits(one: Any, other: Any) -> bool:
    """Whether dtype, shape and every bit agree."""
    a, b = to_numpy(one), to_numpy(other)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def integers_of(op: str) -> set[str]:
    """Names of the tensors and lists that a plan reads."""
    fields = tamis.describe(op)["arguments"]
    return {f["name"] for f in fields if f.get("read_by_plan") or f["type"] == "ints"}
