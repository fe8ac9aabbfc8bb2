"""`tamis.case` reads and writes what the command line reads and writes."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from python_calls import (
    BINARY,
    ROOT,
    SHAPES,
    call,
    layer_case,
    libraries,
    make_case,
    run_tamis,
    same_bits,
    to_library,
    updated_of,
)

import tamis
from tamis.case import Case


@pytest.mark.parametrize("library", list(libraries()))
def test_a_written_case_reads_back(tmp_path: Path, library: str) -> None:
    path = tmp_path / "case.safetensors"
    arrays: dict[str, npt.NDArray[Any]] = {
        "flags": np.array([True, False, True]),
        "half": np.array([[1, 2, 3]], np.float16),
        "brain": np.array([1.5, -2], ml_dtypes.bfloat16),
        "single": np.array(3.25, np.float32),
        "bytes": np.array([], np.uint8),
        "small": np.array([-1], np.int8),
        "counts": np.array([1, 2, 3], np.int32),
        "strided": np.arange(8, dtype=np.float32)[::2],
    }
    attributes = {"count": 3, "scale": 0.5, "flag": True, "name": "TND", "lengths": [1, 2]}
    tensors = {name: to_library(library, array) for name, array in arrays.items()}
    expected = {"out": arrays["half"], "none": None}
    tamis.case.write(
        path, Case("nsa_compress", {**tensors, "absent": None}, attributes, expected, "here")
    )
    found = tamis.case.read(path)
    assert (found.op, found.source, found.attributes) == ("nsa_compress", "here", attributes)
    assert found.tensors.keys() == arrays.keys()
    for name, array in arrays.items():
        assert same_bits(found.tensors[name], array), name
        assert found.tensors[name].flags.aligned
    assert same_bits(found.expected["out"], arrays["half"])
    assert found.expected.keys() == {"out"}


def test_a_read_tensor_may_be_written_to_and_the_file_stays(tmp_path: Path) -> None:
    case = make_case(tmp_path, "mla_prolog", "bfloat16")
    path = tmp_path / "case.safetensors"
    before = path.read_bytes()
    call(case)
    cache = case.tensors["kv_cache"].copy()
    assert not same_bits(cache, tamis.case.read(path).tensors["kv_cache"])
    assert path.read_bytes() == before
    tamis.case.write(path, Case("nsa_compress", {}))  # a new file; the old one stays mapped
    assert same_bits(case.tensors["kv_cache"], cache)


def test_attributes_of_numpy_are_written_as_plain_numbers(tmp_path: Path) -> None:
    path = tmp_path / "case.safetensors"
    attributes = {"lengths": np.array([4, 9]), "count": np.int64(3), "absent": None}
    tamis.case.write(path, Case("merge_topk", {}, attributes))
    assert tamis.case.read(path).attributes == {"lengths": [4, 9], "count": 3}


@pytest.mark.parametrize("library", [name for name in libraries() if name != "jax"])
@pytest.mark.parametrize("op", ["nsa_compress_attention", "sparse_attention_pto"])
def test_a_dumped_call_verifies(tmp_path: Path, op: str, library: str) -> None:
    case = make_case(tmp_path, op, "bfloat16")
    tensors = {name: to_library(library, t) for name, t in case.tensors.items()}
    before = {name: to_library(library, t) for name, t in case.tensors.items()}
    outputs = call(Case(op, tensors, case.attributes))
    outputs.update(updated_of(op, tensors))
    path = tmp_path / "dump.safetensors"
    tamis.case.dump(path, op, before, case.attributes, outputs)
    run_tamis("verify", path, "--against", "expected")
    name = next(iter(outputs))
    outputs[name] = outputs[name] + 1
    tamis.case.dump(path, op, before, case.attributes, outputs)
    with pytest.raises(AssertionError):
        run_tamis("verify", path, "--against", "expected")


def updated_before(case: Case) -> Case:
    """The case with tensors of its own, as a dump wants caches from before the call."""
    return Case(case.op, {n: t.copy() for n, t in case.tensors.items()}, case.attributes)


@pytest.mark.parametrize("op", SHAPES)
def test_what_the_laptop_runs_may_be_dumped_and_verifies(tmp_path: Path, op: str) -> None:
    case = make_case(tmp_path, op, "float16")
    before = updated_before(case)
    outputs = call(case)
    outputs.update(updated_of(op, case.tensors))
    path = tmp_path / "dump.safetensors"
    tamis.case.dump(path, op, before.tensors, case.attributes, outputs)
    run_tamis("verify", path, "--against", "expected", "--tolerance", "bits")


OTHER_DTYPES = (np.float16, np.float32, np.float64, np.int8, np.int32, np.bool_)
OTHER_VALUES: tuple[Any, ...] = (
    None,
    True,
    3,
    -(2**70),
    2.5,
    float("nan"),
    "TND",
    "other",
    [1, 2],
    [1.5],
    {},
    b"",
)


def refuses(path: Path, case: Case) -> bool:
    """Whether dump refuses the case, in one line that begins with a name, and writes nothing."""
    try:
        tamis.case.dump(path, case.op, case.tensors, case.attributes, case.expected)
    except ValueError as error:
        text = str(error)
        names = [argument["name"] for argument in tamis.describe(case.op)["arguments"]]
        assert text.partition(":")[0].removeprefix("expected.") in names, text
        assert "\n" not in text
        assert not path.exists()
        return True
    path.unlink()
    return False


def written(path: Path, case: Case) -> bool:
    """Whether a file can hold the case."""
    try:
        tamis.case.write(path, case)
    except ValueError:
        return False
    return True


def laptop_refuses(path: Path) -> bool:
    """Whether `tamis verify` refuses the file, which goes."""
    done = subprocess.run([BINARY, "verify", path], capture_output=True, text=True, check=False)
    path.unlink()
    return done.returncode == 2


@pytest.mark.parametrize("op", SHAPES)
def test_what_dump_refuses_the_laptop_would_have_refused(tmp_path: Path, op: str) -> None:
    """Every argument with something wrong about it. The laptop knows more: it may refuse alone."""
    sound = make_case(tmp_path, op, "bfloat16")
    run_on = updated_before(sound)
    outputs = call(run_on) or updated_of(op, run_on.tensors)
    sound.expected = {name: value for name, value in outputs.items() if value is not None}
    assert sound.expected
    path = tmp_path / "dump.safetensors"
    refused = 0

    def judge(name: str, **changed: dict[str, Any]) -> None:
        nonlocal refused
        case = Case(
            op,
            changed.get("tensors", sound.tensors),
            changed.get("attributes", sound.attributes),
            changed.get("expected", sound.expected),
        )
        if refuses(path, case):
            refused += 1
            if written(path, case):
                assert laptop_refuses(path), f"{name} {changed}"

    for name, tensor in sound.tensors.items():
        judge(name, tensors={n: t for n, t in sound.tensors.items() if n != name})
        for dtype in OTHER_DTYPES:
            judge(name, tensors=sound.tensors | {name: np.zeros(tensor.shape, dtype)})
        judge(name, tensors=sound.tensors | {name: tensor[None]})
    for name in sound.attributes:
        judge(name, attributes={n: v for n, v in sound.attributes.items() if n != name})
        for value in OTHER_VALUES:
            judge(name, attributes=sound.attributes | {name: value})
    for name, tensor in sound.expected.items():
        for dtype in OTHER_DTYPES:
            judge(name, expected=sound.expected | {name: np.zeros(tensor.shape, dtype)})
        judge(name, expected=sound.expected | {name: tensor[None]})
        grown = np.repeat(tensor, 2, axis=0)
        judge(name, expected=sound.expected | {name: grown})
    assert refused > 10


def dumpable() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    rng = np.random.default_rng(0)
    query = rng.standard_normal((5, 4, 64)).astype(np.float16)
    key = rng.standard_normal((20, 2, 64)).astype(np.float16)
    tensors = {"query": query, "key": key, "value": key}
    attributes = {
        "scale_value": 0.125,
        "head_num": 4,
        "compress_block_size": 32,
        "compress_stride": 16,
        "select_block_size": 64,
        "select_block_count": 2,
        "actual_seq_qlen": [2, 5],
        "actual_cmp_seq_kvlen": [8, 20],
    }
    return tensors, attributes, call(Case("nsa_compress_attention", tensors, attributes))


# What was changed, and how the complaint goes on.
SLIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "queery: expected an input .*did you mean query": ("tensors", {"queery": np.zeros(1)}),
    "scale: expected an attribute .*did you mean scale_value": ("attributes", {"scale": 1.0}),
    "attention_out: expected an input .* got an output": (
        "tensors",
        {"attention_out": np.zeros(1)},
    ),
    "head_num: expected an input .* got an attribute": ("tensors", {"head_num": 4}),
    "key: required, but absent": ("tensors", {"key": None}),
    "scale_value: required, but absent": ("attributes", {"scale_value": None}),
    "scale_value: expected a finite number, in float32 too, got nan": (
        "attributes",
        {"scale_value": float("nan")},
    ),
    "scale_value: expected a finite number, in float32 too, got 1e": (
        "attributes",
        {"scale_value": 1e39},
    ),
    "scale_value: expected a number, got a list of integers": ("attributes", {"scale_value": [1]}),
    "head_num: expected an integer, got a number": ("attributes", {"head_num": 4.0}),
    "head_num: expected an integer, got a boolean": ("attributes", {"head_num": True}),
    "strict: expected a boolean, got an integer": ("attributes", {"strict": 1}),
    "actual_seq_qlen: expected a list of integers, got a list with 1.5": (
        "attributes",
        {"actual_seq_qlen": [1.5, 5]},
    ),
    "importance: expected one of cann, exact_overlap, got 'can'": (
        "attributes",
        {"importance": "can"},
    ),
    "query: expected dtype float16 or bfloat16 or float32, got int32": (
        "tensors",
        {"query": np.zeros((5, 4, 64), np.int32)},
    ),
    "key: expected dtype float16 as query, got float32": (
        "tensors",
        {"key": np.zeros((20, 2, 64), np.float32)},
    ),
    r"value: expected shape \[Tc = 20, N2 = 2, D2\], got \[20, 4, 64\]": (
        "tensors",
        {"value": np.zeros((20, 4, 64), np.float16)},
    ),
    "query: expected an array without a mask": (
        "tensors",
        {"query": np.ma.masked_less(np.zeros((5, 4, 64), np.float16), 1)},
    ),
    r"expected.softmax_max: expected shape .*T = 5, N = 4.*case.statistics.*got \[5, 4, 8\]": (
        "outputs",
        {"softmax_max": np.zeros((5, 4, 8), np.float32)},
    ),
    "expected.topk_indices: expected an integer dtype for int32, got float32": (
        "outputs",
        {"topk_indices": np.zeros((5, 2, 2), np.float32)},
    ),
    "attention: expected an output .*did you mean attention_out": (
        "outputs",
        {"attention": np.zeros(1)},
    ),
}


@pytest.mark.parametrize("complaint", SLIPS)
def test_slips_are_found_where_the_call_was_made(tmp_path: Path, complaint: str) -> None:
    places: dict[str, Any] = dict(
        zip(("tensors", "attributes", "outputs"), dumpable(), strict=True)
    )
    path = tmp_path / "call.safetensors"
    tamis.case.dump(path, "nsa_compress_attention", **places)
    whole = path.read_bytes()
    place, changed = SLIPS[complaint]
    places[place] = {**places[place], **changed}
    with pytest.raises(ValueError, match=f"^{complaint}") as caught:
        tamis.case.dump(path, "nsa_compress_attention", **places)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_an_operator_with_a_typo_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"op: expected .*did you mean nsa_compress_attention"):
        tamis.case.dump(tmp_path / "x", "nsa_compres_attention", {}, {})
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_the_call_does_not_have_are_refused(tmp_path: Path) -> None:
    case = make_case(tmp_path, "lightning_indexer", "bfloat16")
    outputs = {"sparse_values": np.zeros(case.tensors["query"].shape[:2], np.float32)}
    case.attributes["return_value"] = False
    with pytest.raises(ValueError, match=r"sparse_values: expected none without return_value"):
        tamis.case.dump(tmp_path / "x", case.op, case.tensors, case.attributes, outputs)


def test_attributes_come_from_numpy_and_from_tuples(tmp_path: Path) -> None:
    tensors, attributes, outputs = dumpable()
    attributes |= {
        "head_num": np.int64(4),
        "scale_value": np.float32(0.125),
        "actual_seq_qlen": np.array([2, 5]),
        "actual_cmp_seq_kvlen": (8, 20),
        "strict": np.bool_(False),
    }
    path = tmp_path / "call.safetensors"
    tamis.case.dump(path, "nsa_compress_attention", tensors, attributes, outputs)
    run_tamis("verify", path)


def test_attributes_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="attributes: expected finite numbers"):
        tamis.case.write(tmp_path / "x", Case("merge_topk", {}, {"scale": float("inf")}))
    assert list(tmp_path.iterdir()) == []


def test_statistics_of_the_device_are_turned_there_and_back() -> None:
    values = np.arange(5 * 3, dtype=np.float32).reshape(5, 3)
    lengths = [2, 0, 3]
    device = tamis.case.device_statistics(values, lengths)
    assert device.shape == (5, 3, 8)
    # Sequence 2 is tokens 2, 3, 4; it lies as [N, S, 8] behind the 2 x 3 values of sequence 0.
    second = device.reshape(-1, 8)[6:].reshape(3, 3, 8)
    assert (second == values[2:].T[:, :, None]).all()
    assert same_bits(tamis.case.statistics(device, lengths, 3), values)
    with pytest.raises(ValueError, match="seq_lengths: expected 5 tokens in all, got 4"):
        tamis.case.device_statistics(values, [4])
    with pytest.raises(ValueError, match="dumped: expected 4 tokens of 3 heads"):
        tamis.case.statistics(device, [4], 3)


def test_the_module_works_alone(tmp_path: Path) -> None:
    """On a device machine there is neither Tamis nor ml_dtypes."""
    script = """
import sys
sys.modules["ml_dtypes"] = None
import case, numpy
indices = numpy.arange(3, dtype="i4")[None, None]
tensors = {"values": numpy.ones((1, 1, 3), "f4"), "indices": indices}
case.dump("a.safetensors", "merge_topk", tensors, {"sparse_count": 3})
assert case.read("a.safetensors").tensors["values"].sum() == 3
assert "tamis" not in sys.modules
"""
    (tmp_path / "case.py").write_bytes((ROOT / "python/tamis/case.py").read_bytes())
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def hostile_headers() -> dict[str, bytes]:
    def header(**changes: object) -> bytes:
        return json.dumps({"x": ENTRY | changes}).encode()

    return {
        "no JSON": b"{",
        "expected a JSON object": b"[]",
        "got one twice": b'{"x": 1, "x": 1}',
        "dtype, shape and data_offsets": b'{"x": 1}',
        "expected a dtype": header(dtype="F8_E4M3"),
        "got 0 to 12": header(data_offsets=[0, 12]),
        "expected 12 bytes": header(shape=[3]),
        "expected 8 bytes within the 8 of data, got 8 to 16": header(data_offsets=[8, 16]),
        "x: expected dtype": header(shape=[-2]),
        "x: expected dtype, shape": header(shape=[2.0]),
        "x: expected dtype, shape and": header(data_offsets=[8]),
        "got 8 to 0": header(data_offsets=[8, 0]),
        "tamis.attrs": b'{"__metadata__": {"tamis.attrs": "[1]"}}',
        "__metadata__": b'{"__metadata__": 1}',
        "header: ": b"[" * 100_000,
    }


@pytest.mark.parametrize("complaint", hostile_headers())
def test_hostile_files_are_refused(tmp_path: Path, complaint: str) -> None:
    path, header = tmp_path / "case.safetensors", hostile_headers()[complaint]
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    complaint = "header: " if complaint == "no JSON" else complaint
    with pytest.raises(ValueError, match=f"case.safetensors: .*{complaint}"):
        tamis.case.read(path)


@pytest.mark.parametrize("layout", ["BSND", "TND"])
def test_statistics_with_the_devices_key_heads_are_told_how_to_lose_them(
    tmp_path: Path, layout: str
) -> None:
    tokens, at, sizes = {"BSND": ((2, 3), 1, "B = 2, S1 = 3"), "TND": ((6,), 0, "T1 = 6")}[layout]
    tensors = {
        "query": np.zeros((*tokens, 8, 16), np.float16),
        "key": np.zeros((*tokens, 1, 16), np.float16),
        "sparse_indices": np.zeros((*tokens, 1, 4), np.int32),
    }
    attributes = {
        "scale_value": 0.5,
        "layout_query": layout,
        "layout_kv": layout,
        "return_softmax_lse": True,
    }
    path = tmp_path / "call.safetensors"
    theirs = np.zeros((*tokens[:at], 1, *tokens[at:], 8), np.float32)
    line = (
        f"expected.softmax_max: expected shape [{sizes}, N = 8] "
        f"(squeeze({at}) takes out the device's one key head), got {list(theirs.shape)}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        tamis.case.dump(
            path, "sparse_flash_attention", tensors, attributes, {"softmax_max": theirs}
        )
    assert not path.exists()
    ours = {"softmax_max": theirs.squeeze(at)}
    tamis.case.dump(path, "sparse_flash_attention", tensors, attributes, ours)
    assert tamis.case.read(path).expected["softmax_max"].shape == (*tokens, 8)


@pytest.mark.parametrize("content", [b"", b"1234567", struct.pack("<Q", 2**63), bytes(7) + b"\x01"])
def test_files_that_are_cut_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "case.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"case\.safetensors: expected a"):
        tamis.case.read(path)


def test_dtypes_that_no_case_holds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"x: expected a dtype of float16.*, got complex64"):
        tamis.case.write(tmp_path / "a.safetensors", Case("", {"x": np.zeros(1, np.complex64)}))
    assert list(tmp_path.iterdir()) == []


def test_layers_are_the_same_for_a_seed() -> None:
    one, other = layer_case("bfloat16"), layer_case("bfloat16")
    assert all(same_bits(one.tensors[name], other.tensors[name]) for name in one.tensors)
