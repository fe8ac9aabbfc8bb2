"""`tamis.case` reads and writes what the command line reads and writes."""

from __future__ import annotations

import json
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
    ROOT,
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
case.dump("a.safetensors", "merge_topk", {"values": numpy.ones(3, "f4")}, {"sparse_count": 3})
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
