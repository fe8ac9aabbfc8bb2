"""torch.ops.tamis: the command line's bits, shapes known before the call, PyTorch's own checks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from python_calls import (
    SHAPES,
    call,
    command_line,
    make_case,
    same_bits,
    takes_fp32,
    updated_of,
)
from torch._subclasses.fake_tensor import FakeTensorMode
from torch_calls import arguments, by_position, overload, results
from torch_cases import torch_case
from torch_forms import forms


@pytest.fixture(scope="session", autouse=True)
def _note_in_the_report(record_testsuite_property: Callable[[str, object], None]) -> None:
    record_testsuite_property("libraries", "torch")


HALVES = [(op, dtype) for op in SHAPES for dtype in ("bfloat16", "float16")]
FP32 = [(op, "float32") for op in SHAPES if takes_fp32(op)]


@pytest.mark.parametrize(("op", "dtype"), HALVES + FP32)
def test_results_equal_the_command_lines(tmp_path: Path, op: str, dtype: str) -> None:
    case = torch_case(tmp_path, op, dtype)
    if dtype == "float32":
        assert all(t.element_size() != 2 for t in case.tensors.values())
    expected = command_line(tmp_path)
    positional, named = arguments(case)
    found = results(op, overload(op)(*positional, **named))
    found.update(updated_of(op, case.tensors))
    assert found.keys() >= expected.keys()
    for name, value in expected.items():
        assert same_bits(found[name], value), name
    for name in found.keys() - expected.keys():
        assert found[name].shape == (0,), name


@pytest.mark.parametrize("op", SHAPES)
def test_pytorchs_own_checks_pass(tmp_path: Path, op: str) -> None:
    positional, named = by_position(torch_case(tmp_path, op))
    outcome = torch.library.opcheck(overload(op), positional, named)
    assert set(outcome.values()) == {"SUCCESS"}
    assert "test_aot_dispatch_dynamic" in outcome


def test_every_form_of_a_call_is_checked_and_gives_the_functions_bits(tmp_path: Path) -> None:
    for name, case in forms(tmp_path):
        positional, named = arguments(case)
        outcome = torch.library.opcheck(overload(case.op), positional, named)
        assert set(outcome.values()) == {"SUCCESS"}, name
        positional, named = arguments(case)
        found = results(case.op, overload(case.op)(*positional, **named))
        expected = call(case)
        for output, value in found.items():
            assert (
                same_bits(value, expected[output]) if output in expected else (value.shape == (0,))
            ), (name, output)


def test_shapes_and_dtypes_are_known_without_running(tmp_path: Path) -> None:
    for name, case in forms(tmp_path):
        positional, named = arguments(case)
        real = results(case.op, overload(case.op)(*positional, **named))
        with FakeTensorMode() as mode:
            named = {
                n: mode.from_tensor(v) if isinstance(v, torch.Tensor) else v
                for n, v in named.items()
            }
            made = overload(case.op)(*map(mode.from_tensor, positional), **named)
        for output, value in results(case.op, made).items():
            assert value.shape == real[output].shape, (name, output)
            assert value.dtype == real[output].dtype, (name, output)
            assert value.is_contiguous(), (name, output)


def compress(*tensors: Any, **changes: Any) -> Any:
    how: dict[str, Any] = {"act_seq_len": [64], "compress_block_size": 32, "compress_stride": 16}
    return torch.ops.tamis.nsa_compress(*tensors, **(how | changes))


TOKENS = torch.ones(64, 4, 32, dtype=torch.bfloat16)
WEIGHT = torch.ones(32, 4, dtype=torch.bfloat16)


def test_bad_arguments_are_value_errors_with_the_librarys_line() -> None:
    with pytest.raises(ValueError, match=r"^compress_stride: expected at most .* 32, got 48$"):
        compress(TOKENS, WEIGHT, compress_stride=48)
    with pytest.raises(ValueError, match=r"^layout: expected TND, got BSH$"):
        compress(TOKENS, WEIGHT, layout="BSH")
    with pytest.raises(ValueError, match=r"^weight: expected a dtype of .*, got another$"):
        compress(TOKENS, WEIGHT.to(torch.complex64))
    with pytest.raises(ValueError, match=r"^weight: expected a rank of 0 to 8, got 9$"):
        compress(TOKENS, WEIGHT.view(32, 4, 1, 1, 1, 1, 1, 1, 1))


def test_tensors_of_other_backends_are_refused_by_pytorch() -> None:
    with pytest.raises(NotImplementedError, match="'SparseCPU' backend"):
        compress(TOKENS, WEIGHT.to_sparse())
    with pytest.raises(ValueError, match="weight: expected memory of cpu as input, got meta"):
        compress(TOKENS, WEIGHT.to("meta"))
    assert compress(TOKENS.to("meta"), WEIGHT.to("meta")).device.type == "meta"


def test_a_pytorch_that_is_too_old_is_refused_by_its_version() -> None:
    code = (
        "import torch\n"
        "torch.__version__ = '2.9.1'\n"
        "try:\n"
        "    import tamis.torch\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "tamis.torch: expected torch 2.10 or later, got 2.9.1\n"


def test_empty_tensors_and_lists_are_served() -> None:
    assert compress(TOKENS[:0], WEIGHT, act_seq_len=[]).shape == (0, 4, 32)
    assert compress(TOKENS[:0], WEIGHT, act_seq_len=[0, 0]).shape == (0, 4, 32)
    assert compress(TOKENS[:, :0], WEIGHT[:, :0]).shape == (3, 0, 32)


def test_tensors_that_require_grad_are_refused_unless_gradients_are_off() -> None:
    """By an operator that has no backward."""
    quantize = torch.ops.tamis.quantize_index_keys
    key = torch.ones(1, 20, 1, 32, dtype=torch.bfloat16)
    for tensor in (key.clone().requires_grad_(), key.clone().requires_grad_() * 2):
        with pytest.raises(RuntimeError, match=r"^key: expected .* \(quantize_index_keys has no "):
            quantize(tensor)
        expected = quantize(tensor.detach())
        for off in (torch.no_grad(), torch.inference_mode()):
            with off:
                found = quantize(tensor)
            assert not found.requires_grad
            assert torch.equal(found, expected)


def test_strides_that_the_library_cannot_read_are_copied_and_cannot_be_written(
    tmp_path: Path,
) -> None:
    expected = compress(TOKENS * 2, WEIGHT)
    turned = (TOKENS * 2).permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert turned.stride(-1) != 1
    assert torch.equal(compress(turned, WEIGHT), expected)
    case = torch_case(tmp_path, "indexer_prolog")
    cache = case.tensors["index_k_cache"]
    case.tensors["index_k_cache"] = cache.transpose(0, 3).contiguous().transpose(0, 3)
    positional, named = arguments(case)
    with pytest.raises(ValueError, match=r"^index_k_cache: expected a contiguous last dim"):
        torch.ops.tamis.indexer_prolog(*positional, **named)


def test_results_do_not_depend_on_pytorchs_threads(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        for op in ("nsa_compress_attention", "lightning_indexer", "sparse_flash_attention"):
            positional, named = arguments(torch_case(tmp_path, op))
            found = []
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                found.append(results(op, overload(op)(*positional, **named)))
            for other in found[1:]:
                assert all(same_bits(other[n], value) for n, value in found[0].items()), op
    finally:
        torch.set_num_threads(before)


def test_kernels_run_on_pytorchs_threads_and_start_none(tmp_path: Path) -> None:
    def threads() -> set[str]:
        return {task.name for task in Path("/proc/self/task").iterdir()}

    torch.ones(1 << 20).sqrt()  # PyTorch's pool stands
    before = threads()
    positional, named = arguments(torch_case(tmp_path, "nsa_compress_attention"))
    torch.ops.tamis.nsa_compress_attention(*positional, **named)
    assert threads() <= before


def test_a_case_of_the_package_and_of_torch_are_one(tmp_path: Path) -> None:
    """The package takes torch's tensors, too: the same bits by both ways."""
    case = make_case(tmp_path, "merge_topk", "bfloat16")
    expected = call(case)
    positional, named = arguments(case)
    for name, value in results("merge_topk", overload("merge_topk")(*positional, **named)).items():
        assert same_bits(value, expected[name])
