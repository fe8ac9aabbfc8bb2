"""The device "npu" is this CPU: every way in which scripts name it reaches the tensors here."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import tamis.npu_compat
from tamis.npu_compat.options import options

torch_npu = importlib.import_module("torch_npu")
npu: Any = importlib.import_module("torch_npu.npu")


@pytest.fixture(autouse=True)
def _as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for option, value in vars(options).items():
        monkeypatch.setattr(options, option, value)


def run(*arguments: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    path = os.pathsep.join([*environment.pop("before", "").split(), *sys.path])
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["npu", "npu:0", torch.device("npu"), torch.device("npu", 0)])
def test_a_tensor_moved_to_npu_is_the_tensor_itself(name: Any) -> None:
    x: Any = torch.ones(3)
    assert x.to(name) is x
    assert x.to(device=name) is x
    assert x.to(name, torch.float16).dtype == torch.float16
    assert x.npu() is x.npu("npu:0", non_blocking=True) is x
    assert x.is_npu
    assert x.device == torch.device("cpu")
    module: Any = torch.nn.Linear(2, 2, device=name).to(name)
    assert module.npu() is module
    assert module.weight.device.type == "cpu"


@pytest.mark.parametrize("name", ["npu", "npu:0", torch.device("npu:0")])
def test_factories_make_tensors_on_npu(name: Any) -> None:
    makers: list[Any] = [
        lambda: torch.zeros(2, device=name),
        lambda: torch.randn(2, 3, device=name, dtype=torch.float16),
        lambda: torch.arange(4, device=name),
        lambda: torch.tensor([1, 2], device=name),
        lambda: torch.full((2,), 3, device=name),
        lambda: torch.empty_like(torch.ones(2), device=name),
        lambda: torch.ones(2).new_zeros(3, device=name),
        lambda: torch.randperm(5, device=name),
        lambda: torch.rand(3, device=name, generator=torch.Generator(device=name)),
        lambda: torch.as_tensor([1.0], device=name),
    ]
    for make in makers:
        assert make().device.type == "cpu"


def test_devices_of_scripts_keep_their_names() -> None:
    device = torch.device("npu:0")
    assert (device.type, device.index, str(device)) == ("npu", 0, "npu:0")
    assert device != torch.device("cpu")


def test_default_devices_and_contexts_may_be_npu() -> None:
    torch.set_default_device("npu")
    try:
        assert torch.ones(2).device.type == "cpu"
    finally:
        torch.set_default_device(None)
    with torch.device("npu"):
        assert torch.ones(2).device.type == "cpu"
    with torch.autocast("npu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with npu.amp.autocast(dtype=torch.float16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float16


def test_threads_that_a_script_starts_know_the_device() -> None:
    found: list[torch.Tensor] = []
    thread = threading.Thread(target=lambda: found.append(torch.ones(2, device="npu")))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        found.append(pool.submit(torch.ones, 2, device="npu").result())
    assert [x.device.type for x in found] == ["cpu", "cpu"]


def test_subscripts_that_spell_the_device_stay_subscripts() -> None:
    x = torch.rand(2, 3, 4)
    assert torch.equal(torch.einsum("npu", x), x)
    assert torch.equal(torch.einsum("npu->unp", x), x.permute(2, 0, 1))


@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_compiled_functions_name_the_device(backend: str) -> None:
    def double(x: torch.Tensor) -> torch.Tensor:
        return 2 * (x.to("npu") + torch.ones(3, device="npu:0"))

    compiled = torch.compile(double, backend=backend, fullgraph=True)
    assert torch.equal(compiled(torch.ones(3)), torch.full((3,), 4.0))


def test_saved_tensors_are_loaded_on_npu(tmp_path: Path) -> None:
    torch.save(torch.ones(3), tmp_path / "x.pt")
    assert torch.equal(torch.load(tmp_path / "x.pt", map_location="npu:0"), torch.ones(3))


def test_there_is_a_device_to_ask_for_only_where_a_script_was_told_so() -> None:
    assert tamis.npu_compat.REAL is None
    assert getattr(torch, "npu") is torch_npu.npu is npu  # noqa: B009
    assert (npu.is_available(), npu.device_count()) == (False, 0)
    tamis.npu_compat.enable(available=True)
    assert (npu.is_available(), npu.device_count()) == (True, 1)
    assert not torch.accelerator.is_available()
    compiled = torch.compile(lambda x: x + 1, backend="eager", fullgraph=True)
    assert torch.equal(compiled(torch.zeros(2)), torch.ones(2))


def test_what_scripts_ask_and_set_is_there() -> None:
    assert torch_npu.__version__.endswith("+tamis")
    assert npu.set_device("npu:0") is None
    assert npu.current_device() == 0
    with pytest.raises(ValueError, match=r"^device: expected npu:0, the only one, got npu:1$"):
        npu.set_device(1)
    assert npu.get_device_name(0).startswith("Ascend910B")
    tamis.npu_compat.enable(device_name="Ascend950")
    assert npu.get_device_properties("npu:0").name == "Ascend950"
    free, total = npu.mem_get_info()
    assert 0 < free <= total == npu.get_device_properties(0).total_memory
    assert 0 < npu.memory_allocated() <= npu.max_memory_allocated() < total
    npu.empty_cache()
    npu.config.allow_internal_format = True
    npu.matmul.allow_hf32 = True
    npu.set_compile_mode(jit_compile=False)
    npu.set_option({"ACL_OP_COMPILER_CACHE_MODE": "enable"})


def test_seeds_are_those_of_the_cpu() -> None:
    npu.manual_seed(5)
    first = torch.rand(3, device="npu")
    torch.manual_seed(5)
    assert torch.equal(first, torch.rand(3))
    state = npu.get_rng_state()
    second = torch.rand(3)
    npu.set_rng_state(state)
    assert torch.equal(second, torch.rand(3))
    npu.manual_seed_all(7)
    assert npu.initial_seed() == 7


def test_streams_keep_the_order_of_the_script_and_events_the_time() -> None:
    start, end = npu.Event(enable_timing=True), npu.Event(enable_timing=True)
    side = npu.Stream()
    before = npu.current_stream()
    start.record()
    with npu.stream(side):
        assert npu.current_stream() is side
        side.wait_stream(before)
    end.record(side)
    end.synchronize()
    npu.synchronize()
    assert npu.current_stream() is before is npu.default_stream()
    assert start.elapsed_time(end) >= 0
    with pytest.raises(RuntimeError, match=r"^Event: expected a recorded event"):
        start.elapsed_time(npu.Event(enable_timing=True))


def test_what_is_absent_is_named_in_one_line() -> None:
    for module, name in ((torch_npu, "npu_rms_norm"), (npu, "graph_task_group_begin")):
        assert not hasattr(module, name)
        with pytest.raises(AttributeError) as error:
            getattr(module, name)
        line = str(error.value)
        assert line.startswith(f"{module.__name__}.{name}: ")
        assert "\n" not in line
    with pytest.raises(AttributeError, match=r"it has .*npu_nsa_compress_attention"):
        torch_npu.npu_rms_norm  # noqa: B018


def test_options_are_checked_and_stay_as_they_were_where_not_given() -> None:
    tamis.npu_compat.enable(strict=True)
    tamis.npu_compat.enable(available=True)
    assert options.strict
    with pytest.raises(ValueError, match=r"^weight_format: expected one of tagged, ND, NZ; got nz"):
        tamis.npu_compat.enable(strict=False, weight_format="nz")
    with pytest.raises(TypeError, match=r"^strict: expected bool, got 1$"):
        tamis.npu_compat.enable(strict=1)  # type: ignore[arg-type]
    assert options.strict


def test_scripts_for_cuda_run_after_transfer_to_npu() -> None:
    code = (
        "import tamis.npu_compat, torch, torch_npu\n"
        "from torch_npu.contrib import transfer_to_npu\n"
        "tamis.npu_compat.enable(available=True)\n"
        "x = torch.ones(2, device='cuda')\n"
        "assert x.cuda() is x and x.to('cuda:0') is x\n"
        "torch.cuda.synchronize()\n"
        "print(torch.cuda.is_available(), torch.cuda.get_device_name(0)[:10], x.device)\n"
    )
    assert run("-c", code) == "True Ascend910B cpu"


def test_custom_ops_replaces_calls_of_the_same_name(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch, torch_npu\n"
        "if len(sys.argv) > 1:\n"
        "    import custom_ops\n"
        "print(torch_npu.npu_lightning_indexer is torch.npu.is_available)\n",
        encoding="utf-8",
    )
    assert run("-m", "tamis.npu_compat", str(script), "custom_ops") == "False"
    code = (
        "import tamis.npu_compat, torch, torch_npu, custom\n"
        "query = torch.ones(1, 1, 1, 8).half()\n"
        "given = (query, query, query, torch.zeros(1, 1, 1, 1).int(), 1.0)\n"
        "before = torch_npu.npu_sparse_flash_attention(*given, return_softmax_lse=True)\n"
        "import custom_ops\n"
        "after = torch_npu.npu_sparse_flash_attention(*given, 1)\n"
        "print(len(before), [tuple(t.shape) for t in before[1:]], torch.equal(before[0], after))\n"
        "print(torch_npu.npu_sparse_flash_attention is custom.npu_sparse_flash_attention)\n"
    )
    assert run("-c", code).split("\n") == ["3 [(1, 1, 1, 1), (1, 1, 1, 1)] True", "True"]


def test_sources_of_torch_npu_are_no_device_and_lend_their_tests(tmp_path: Path) -> None:
    for name, text in {
        "torch_npu/__init__.py": "import torch_npu._C\n",
        "torch_npu/npu/__init__.py": "raise ImportError\n",
        "torch_npu/testing/__init__.py": "THEIRS = True\n",
        "torch_npu/testing/testcase.py": "from torch_npu.utils._paths import OURS\n",
        "torch_npu/utils/_paths.py": "OURS = False\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    code = (
        "import tamis.npu_compat, torch_npu, torch_npu.testing.testcase as testcase\n"
        "assert tamis.npu_compat.REAL is None\n"
        "torch_npu.npu.set_device(0)\n"
        "print(torch_npu.testing.THEIRS, testcase.OURS)\n"
    )
    assert run("-c", code, before=str(tmp_path)) == "True False"


def test_a_script_is_run_with_its_arguments_and_sees_a_device(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("VALUE = 7\n", encoding="utf-8")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, torch, torch_npu, beside\n"
        "print(__name__, sys.argv[1:], torch.npu.is_available(), beside.VALUE)\n",
        encoding="utf-8",
    )
    found = run(
        "-m", "tamis.npu_compat", "--device-name", "Ascend950", str(script), "--strict", "x"
    )
    assert found == "__main__ ['--strict', 'x'] True 7"
