"""What the functions take, what they refuse, and what they do with memory."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, assert_type

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from python_calls import (
    call,
    layer_case,
    libraries,
    make_case,
    same_bits,
    to_library,
    to_numpy,
)

import tamis

Array = npt.NDArray[Any]


def tokens(dtype: npt.DTypeLike = np.float16) -> Array:
    return np.random.default_rng(3).standard_normal((64, 4, 32)).astype(dtype)


def weights(dtype: npt.DTypeLike = np.float16) -> Array:
    return np.random.default_rng(4).standard_normal((32, 4)).astype(dtype)


def compress(x: Any, weight: Any, **options: Any) -> Any:
    arguments: dict[str, Any] = {
        "act_seq_len": [64],
        "compress_block_size": 32,
        "compress_stride": 16,
    }
    return tamis.nsa_compress(x, weight, **(arguments | options))


class Interface:
    """An array that only `__array_interface__` says something about."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


UNVERSIONED, VERSIONED = b"dltensor", b"dltensor_versioned"  # a capsule borrows its name
_make_capsule = ctypes.pythonapi.PyCapsule_New
_make_capsule.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_make_capsule.restype = ctypes.py_object


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    )


_CODES = {"f": 2, "i": 0, "u": 1, "b": 6, "V": 4, "c": 5}  # of DLPack, by numpy's kind


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint32 * 2),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


class Exporter:
    """An array of a foreign library: DLPack and nothing else."""

    def __init__(
        self, array: Array, *, versioned: bool = True, read_only: bool = False, device: int = 1
    ) -> None:
        self.array, self.versioned, self.read_only, self.device = (
            array,
            versioned,
            read_only,
            device,
        )
        sizes = ctypes.c_int64 * array.ndim
        self.shape = sizes(*array.shape)
        self.strides = sizes(*(s // array.itemsize for s in array.strides))

    def __dlpack_device__(self) -> tuple[int, int]:
        """Where the memory lies."""
        return (self.device, 0)

    def __dlpack__(self, **options: object) -> object:
        """The capsule; the data begins two bytes after the pointer that it holds."""
        if options and not self.versioned:
            raise TypeError("max_version")
        tensor = _Tensor(
            self.array.ctypes.data - 2,
            (self.device, 0),
            self.array.ndim,
            _CODES[self.array.dtype.kind],
            8 * self.array.itemsize,
            1,
            ctypes.addressof(self.shape),
            None if self.array.flags.c_contiguous else ctypes.addressof(self.strides),
            2,
        )
        self.managed: Any = tensor
        if self.versioned:
            self.managed = _Versioned((1, 1), None, None, int(self.read_only), tensor)
        capsule: object = _make_capsule(
            ctypes.addressof(self.managed), VERSIONED if self.versioned else UNVERSIONED, None
        )
        return capsule


def test_results_come_from_any_exporter_of_dlpack() -> None:
    for dtype in (np.float16, ml_dtypes.bfloat16):
        x, w = tokens(dtype), weights(dtype)
        for versioned in (True, False):
            found = compress(Exporter(x, versioned=versioned), Exporter(w, versioned=versioned))
            assert type(found) is np.ndarray
            assert same_bits(found, compress(x, w))
        wide = np.repeat(x, 2, axis=1)  # every other head is a view
        assert same_bits(compress(Exporter(wide[:, ::2]), w), compress(x, w))
    mask = np.zeros((3, 3), np.bool_)
    assert tamis._dlpack.to_numpy("mask", Exporter(mask)).dtype == np.bool_


def test_dlpack_results_may_be_written_where_the_exporter_allows() -> None:
    x, w, out = tokens(), weights(), np.zeros((3, 4, 32), np.float16)
    exporter = Exporter(out)
    assert compress(x, w, output=exporter) is exporter
    assert same_bits(out, compress(x, w))
    with pytest.raises(ValueError, match="output: expected a writable array"):
        compress(x, w, output=Exporter(out, read_only=True))


def test_memory_of_a_device_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="weight: expected memory of the CPU"):
        compress(tokens(), Exporter(weights(), device=2))


def test_dtypes_that_tamis_does_not_know_are_refused_by_name() -> None:
    for array in (
        Exporter(weights(np.complex64)),
        weights(np.complex64),
        weights().view(np.uint16),
    ):
        with pytest.raises(ValueError, match="weight: expected a dtype"):
            compress(tokens(), array)


def test_results_come_from_an_array_interface() -> None:
    x, w, out = tokens(), weights(), np.zeros((3, 4, 32), np.float16)
    exact = compress(x, w)
    assert same_bits(compress(Interface(x), Interface(w)), exact)
    compress(x, w, output=Interface(out))
    assert same_bits(out, exact)


@pytest.mark.parametrize("library", list(libraries()))
def test_strided_inputs_give_what_dense_ones_give(library: str) -> None:
    x, w = tokens(), weights()
    exact = compress(x, w)
    heads = to_library(library, np.repeat(x, 2, axis=1))[:, ::2]  # a view
    dims = to_library(library, np.repeat(x, 2, axis=2))[:, :, ::2]  # must be copied
    transposed = to_library(library, np.ascontiguousarray(w.T)).T
    for array in (heads, dims):
        assert same_bits(compress(array, transposed), exact)


def test_reversed_unaligned_and_foreign_byte_order_inputs_are_copied() -> None:
    x, w = tokens(), weights()
    exact = compress(x, w)
    unaligned = np.frombuffer(b"?" + x.tobytes(), np.uint8)[1:].view(np.float16).reshape(x.shape)
    assert not unaligned.flags.aligned
    for array in (x[::-1].copy()[::-1], unaligned, x.astype(">f2"), np.asfortranarray(x)):
        assert same_bits(compress(array, w), exact)


def test_strides_of_dimensions_of_one_element_do_not_matter() -> None:
    x, w = tokens()[:, :, :1], weights()
    odd = np.lib.stride_tricks.as_strided(x, strides=(x.strides[0], x.strides[1], -22))
    out = np.lib.stride_tricks.as_strided(np.zeros((3, 4, 9), np.float16), (3, 4, 1), (72, 18, 18))
    exact = compress(np.ascontiguousarray(x), w)
    assert same_bits(compress(odd, w, output=out), exact)


def test_strided_outputs_are_written_and_what_lies_between_stays() -> None:
    x, w, wide = tokens(), weights(), np.full((3, 8, 32), 5, np.float16)
    found = compress(x, w, output=wide[:, ::2])
    assert same_bits(wide[:, ::2], compress(x, w))
    assert found.base is wide
    assert (wide[:, 1::2] == 5).all()


def pages_of_bytes(pages: int, count: int) -> Array:
    """Pages of DeepSeek-V4's keys that a decoder filled one by one, each key with two copies."""
    random = np.random.default_rng(11)
    cache = np.zeros((pages, count * 584), np.uint8)
    for page in cache:
        latent = random.standard_normal((count, 448)).astype(np.float16)
        rope = random.standard_normal((count, 64)).astype(np.float16)
        for slot in range(count):
            one = slice(slot, slot + 1)
            row = tamis.pack_kv_rows(latent[one], rope[one], kv_format="flashmla584")[0]
            page[slot * 576 : (slot + 1) * 576] = row[:576]
            page[count * 576 + slot * 8 : count * 576 + (slot + 1) * 8] = row[576:]
        whole = tamis.pack_kv_rows(latent, rope, kv_format="flashmla584")
        assert same_bits(page.reshape(count, 584), whole)
    return cache


@pytest.mark.parametrize("library", list(libraries()))
def test_pages_of_rows_and_their_scales_may_have_gaps_between_them(library: str) -> None:
    dense = pages_of_bytes(3, 4)
    # Pages begin at multiples of 576 bytes, as FlashMLA has them.
    wide = to_library(library, np.pad(dense, ((0, 0), (0, 5 * 576 - 4 * 584)), constant_values=255))
    random = np.random.default_rng(12)
    arguments: dict[str, Array] = {
        "query": random.standard_normal((1, 2, 3, 512)).astype(np.float16),
        "sparse_indices": np.array([[[[8, 2, 5, 0]], [[7, 4, 9, 1]]]], np.int32),
        "block_table": np.array([[2, 0, 1]], np.int32),
        "actual_seq_lengths_kv": np.array([10], np.int32),
    }

    def attend(key: Any) -> Any:
        given = {name: to_library(library, array) for name, array in arguments.items()}
        return tamis.sparse_flash_attention(
            key=key.reshape(3, 4, 1, 584),
            **given,
            scale_value=0.05,
            layout_kv="PA_BSND",
            kv_format="flashmla584",
        )[0]

    exact = attend(to_library(library, dense))
    assert np.isfinite(to_numpy(exact)).all()
    assert same_bits(attend(wide[:, : 4 * 584]), exact)


def refused_outputs() -> dict[str, Array]:
    frozen = np.zeros((3, 4, 32), np.float16)
    frozen.flags.writeable = False
    return {
        "writable array": frozen,
        "contiguous last dimension": np.zeros((3, 4, 64), np.float16)[:, :, ::2],
        "negative strides": np.zeros((3, 4, 32), np.float16)[::-1],
        "byte order": np.zeros((3, 4, 32), ">f2"),
    }


@pytest.mark.parametrize("complaint", refused_outputs())
def test_outputs_are_never_copied(complaint: str) -> None:
    with pytest.raises(ValueError, match=f"output: expected .*{complaint}"):
        compress(tokens(), weights(), output=refused_outputs()[complaint])


@pytest.mark.parametrize("complaint", ["writable array", "contiguous last dimension"])
def test_tensors_updated_in_place_are_never_copied(complaint: str) -> None:
    case = layer_case("float16")
    cache = case.tensors["kv_cache"]
    if complaint == "writable array":
        cache.flags.writeable = False
    else:
        case.tensors["kv_cache"] = np.repeat(cache, 2, axis=3)[..., ::2]
    with pytest.raises(ValueError, match=f"kv_cache: expected .*{complaint}"):
        call(case)


@pytest.mark.parametrize("library", [name for name in libraries() if name != "jax"])
def test_strided_caches_are_updated_where_they_lie(library: str) -> None:
    exact, strided = layer_case("bfloat16"), layer_case("bfloat16")
    exact.tensors = {name: to_library(library, t) for name, t in exact.tensors.items()}
    strided.tensors = {name: to_library(library, t) for name, t in strided.tensors.items()}
    wide = to_library(library, np.repeat(layer_case("bfloat16").tensors["kv_cache"], 2, axis=1))
    strided.tensors["kv_cache"] = wide[:, ::2]
    found, expected = call(strided), call(exact)
    assert same_bits(found["out"], expected["out"])
    assert same_bits(wide[:, ::2], exact.tensors["kv_cache"])
    assert not same_bits(wide[:, ::2], layer_case("bfloat16").tensors["kv_cache"])
    assert same_bits(wide[:, 1::2], layer_case("bfloat16").tensors["kv_cache"])


@pytest.mark.parametrize("library", list(libraries()))
def test_optional_outputs_are_computed_unless_false(tmp_path: Path, library: str) -> None:
    case = make_case(tmp_path, "nsa_compress_attention", "float16")
    case.tensors = {name: to_library(library, t) for name, t in case.tensors.items()}
    everything = call(case)
    part = call(case, topk_indices=False, softmax_sum=False)
    assert set(everything) - set(part) == {"topk_indices", "softmax_sum"}
    assert all(same_bits(part[name], everything[name]) for name in part)


def test_flagged_outputs_are_none_without_their_flag(tmp_path: Path) -> None:
    case = make_case(tmp_path, "sparse_flash_attention", "float16")
    assert {"softmax_max", "softmax_sum"} <= set(call(case))
    case.attributes["return_softmax_lse"] = False
    assert set(call(case)) == {"out"}
    case = make_case(tmp_path, "nsa_compress_attention_infer", "float16")
    always, statistics = {"attention_out", "topk_indices"}, {"softmax_max", "softmax_sum"}
    assert set(call(case)) == always
    assert set(call(case, return_softmax_lse=True)) == always | statistics
    assert set(call(case, return_block_scores=True)) == always | {"block_scores"}


def test_outputs_that_lack_their_inputs_are_none(tmp_path: Path) -> None:
    case = make_case(tmp_path, "indexer_prolog", "float16")
    del case.tensors["w_idx_proj"]
    assert set(call(case)) == {"query"}


COMPLAINTS: dict[str, tuple[type[Exception], str, Callable[[], Any]]] = {
    "absent": (ValueError, "weight: ", lambda: compress(tokens(), None)),
    "refused output": (ValueError, "output: ", lambda: compress(tokens(), weights(), output=False)),
    "shape": (ValueError, "weight: expected shape", lambda: compress(tokens(), weights()[:5])),
    "dtype": (ValueError, "weight: expected", lambda: compress(tokens(), weights(np.float32))),
    "output shape": (
        ValueError,
        "output: expected shape",
        lambda: compress(tokens(), weights(), output=np.zeros((2, 4, 32), np.float16)),
    ),
    "rank": (
        ValueError,
        "weight: expected a rank",
        lambda: compress(tokens(), np.zeros((1,) * 9, np.float16)),
    ),
    "no array": (TypeError, "weight: expected an array", lambda: compress(tokens(), [1.0])),
    "integer": (
        TypeError,
        "compress_stride: expected an integer",
        lambda: compress(tokens(), weights(), compress_stride="16"),
    ),
    "beyond 64 bits": (
        TypeError,
        "compress_stride: expected an integer",
        lambda: compress(tokens(), weights(), compress_stride=2**63),
    ),
    "integers": (
        TypeError,
        "act_seq_len: expected a sequence of integers",
        lambda: compress(tokens(), weights(), act_seq_len=[64.0]),
    ),
    "boolean": (
        TypeError,
        "strict: expected True or False",
        lambda: compress(tokens(), weights(), strict=1),
    ),
    "string": (
        TypeError,
        "layout: expected a string",
        lambda: compress(tokens(), weights(), layout=0),
    ),
    "choice": (
        ValueError,
        "layout: expected TND",
        lambda: compress(tokens(), weights(), layout="BSH"),
    ),
    "value": (
        ValueError,
        "compress_stride: expected",
        lambda: compress(tokens(), weights(), compress_stride=-1),
    ),
    "limit": (
        ValueError,
        r"input: expected \(strict\)",
        lambda: compress(tokens()[:, :, :8], weights(), strict=True),
    ),
    "level": (ValueError, "level: expected", lambda: compress(tokens(), weights(), level="sse")),
    "threads": (ValueError, "threads: expected", lambda: compress(tokens(), weights(), threads=-1)),
    "kind of threads": (
        ValueError,
        "threads: expected an integer",
        lambda: compress(tokens(), weights(), threads="2"),
    ),
    "number of threads": (
        ValueError,
        "threads: expected an integer",
        lambda: compress(tokens(), weights(), threads=2**32 + 1),
    ),
    "implementation": (
        NotImplementedError,
        "implementation: ",
        lambda: compress(tokens(), weights(), implementation="cuda"),
    ),
    "memory": (
        MemoryError,
        "",
        lambda: tamis.nd_to_nz(
            np.lib.stride_tricks.as_strided(tokens(), (2**40, 2**10), (0, 2)), threads=1
        ),
    ),
}


@pytest.mark.parametrize("what", COMPLAINTS)
def test_complaints_name_the_argument(what: str) -> None:
    kind, line, make = COMPLAINTS[what]
    with pytest.raises(kind, match=f"^{line}") as caught:
        make()
    assert "\n" not in str(caught.value)


def test_types_of_results_are_those_of_arguments() -> None:
    """What mypy sees: numpy's dtypes are left open, as results have dtypes of their own."""
    x: npt.NDArray[np.float16] = np.zeros((16, 16), np.float16)
    assert_type(tamis.nd_to_nz(x), npt.NDArray[Any])
    values, indices = np.zeros((2, 1, 4), np.float32), np.zeros((2, 1, 4), np.int32)
    merged = tamis.merge_topk(values, indices, sparse_count=2)
    assert_type(merged, tamis.MergeTopk[npt.NDArray[Any]])
    assert_type(merged.sparse_indices, npt.NDArray[Any])


@pytest.mark.parametrize("library", list(libraries()))
def test_empty_tensors_are_read_and_written(library: str) -> None:
    none, weight = to_library(library, tokens()[:0]), to_library(library, weights())
    assert compress(none, weight, act_seq_len=[]).shape == (0, 4, 32)
    assert compress(none, weight, act_seq_len=[0, 0]).shape == (0, 4, 32)
    out = np.empty((0, 4, 32), np.float16)
    assert compress(none, weight, act_seq_len=[0], output=out) is out
    found = tamis.lightning_indexer(
        to_library(library, np.zeros((2, 3, 4, 16), np.float16)),
        to_library(library, np.zeros((2, 0, 1, 16), np.float16)),
        to_library(library, np.zeros((2, 3, 4), np.float16)),
        sparse_count=5,
    )
    assert (np.asarray(found.sparse_indices) == -1).all()


def test_absent_and_empty_lists_differ() -> None:
    none = compress(tokens()[:0], weights(), act_seq_len=[])
    assert none.shape == (0, 4, 32)
    with pytest.raises(ValueError, match="act_seq_len: required"):
        compress(tokens(), weights(), act_seq_len=None)
    cache, table = tokens().reshape(4, 16, 4 * 32), np.array([[2], [1]], np.int32)
    options: dict[str, Any] = {
        "scale_value": 0.1,
        "head_num": 4,
        "key_value_head_num": 4,
        "select_block_size": 64,
        "select_block_count": 1,
        "page_block_size": 16,
        "compress_block_size": 32,
        "compress_stride": 16,
        "actual_cmp_seq_kvlen": [9, 7],
    }
    query = tokens()[:2]  # without actual_seq_qlen, one per sequence
    absent = tamis.nsa_compress_attention_infer(query, cache, cache, table, **options)
    given = tamis.nsa_compress_attention_infer(
        query, cache, cache, table, actual_seq_qlen=[1, 1], **options
    )
    assert same_bits(absent.attention_out, given.attention_out)
    with pytest.raises(ValueError, match="actual_seq_qlen: expected one entry per sequence"):
        tamis.nsa_compress_attention_infer(
            query, cache, cache, table, actual_seq_qlen=[], **options
        )


def test_numbers_may_be_of_numpy() -> None:
    exact = compress(tokens(), weights())
    found = compress(
        tokens(), weights(), compress_stride=np.int32(16), strict=np.False_, act_seq_len_type=False
    )
    assert same_bits(found, exact)


def test_number_of_threads_can_be_set_and_wrong_ones_are_refused() -> None:
    assert tamis.get_num_threads() == 0
    try:
        tamis.set_num_threads(2)
        assert tamis.get_num_threads() == 2
        compress(tokens(), weights())
        with pytest.raises(ValueError, match="threads: expected"):
            tamis.set_num_threads(1025)
        assert tamis.get_num_threads() == 2
    finally:
        tamis.set_num_threads(0)


def test_several_python_threads_may_call_at_once() -> None:
    inputs = [(tokens() * n, weights()) for n in range(1, 5)]
    exact = [compress(x, w) for x, w in inputs]
    wrong: list[int] = []

    def work(index: int) -> None:
        for _ in range(200):
            if not same_bits(compress(*inputs[index]), exact[index]):
                wrong.append(index)

    workers = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_the_interpreter_runs_while_a_call_does() -> None:
    """The main thread counts while a call of many milliseconds is under way in another."""
    x, w = np.zeros((1 << 15, 4, 64), np.float16), np.zeros((128, 4), np.float16)
    how = {"act_seq_len": [1 << 15], "compress_block_size": 128, "implementation": "reference"}
    worker = threading.Thread(target=compress, args=(x, w), kwargs={**how, "threads": 1})
    worker.start()
    ticks = 0
    while worker.is_alive():
        worker.join(0.001)
        ticks += 1
    assert ticks > 5
