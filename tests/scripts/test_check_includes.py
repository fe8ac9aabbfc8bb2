"""The include checker sees every breach that the rules name, and lets the allowed pass."""

from __future__ import annotations

from pathlib import Path

import check_includes
import pytest

HEADERS = [
    "include/tamis/status.hpp",
    "src/base/errors.h",
    "src/simd/simd.h",
    "src/parallel/parallel.h",
    "src/prim/call/room.h",
    "src/prim/call/kernel.h",
    "src/prim/blocks/attention-inl.h",
    "src/ops/left/problem.h",
    "src/ops/left/cpu/kernel.h",
    "src/ops/left/cpu/kernel-inl.h",
    "src/ops/right/problem.h",
    "src/registry/registry.h",
    "tools/describe/text.h",
    "tools/generate/fields.h",
    "tools/tamis/case.h",
    "include/tamis/compat/ascend/acl/acl.h",
    "examples/ascend/device.h",
]


def breaches(tmp_path: Path, path: str, *includes: str) -> list[str]:
    """Of a tree that has HEADERS, all empty, and one file with the given includes."""
    for header in HEADERS:
        (tmp_path / header).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / header).touch()
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("".join(f"#include {i}\n" for i in includes))
    return check_includes.check_tree(tmp_path)


@pytest.mark.parametrize(
    ("path", "include"),
    [
        ("include/tamis/plan.hpp", '"tamis/status.hpp"'),
        ("include/tamis/plan.hpp", "<vector>"),
        ("include/tamis/tamis.h", "<stdint.h>"),
        ("include/tamis/compat/ascend/acl/acl_rt.h", "<stdlib.h>"),
        ("src/base/a.cc", '"base/errors.h"'),
        ("src/base/a.cc", '"tamis/status.hpp"'),
        ("src/prim/a.cc", '"parallel/parallel.h"'),
        ("src/ops/left/plan.cc", '"ops/left/problem.h"'),
        ("src/ops/left/plan.cc", '"prim/call/room.h"'),
        ("src/ops/left/plan.cc", "<algorithm>"),
        ("src/ops/left/plan.cc", '"ops/left/cpu/kernel_units.h"'),
        ("src/ops/left/cpu/more-inl.h", '"prim/blocks/attention-inl.h"'),
        ("src/ops/left/cpu/more-inl.h", '"simd/simd.h"'),
        ("src/ops/left/cpu/more-inl.h", "<stddef.h>"),
        ("src/simd/avx2.h", "<immintrin.h>"),
        ("src/simd/scalar.h", "<math.h>"),
        ("src/ops/left/test.cc", '"ops/right/problem.h"'),
        ("src/registry/a.cc", '"ops/right/problem.h"'),
        ("src/capi/a.cc", '"registry/registry.h"'),
        ("tools/tamis/main.cc", '"tools/tamis/case.h"'),
        ("tools/tamis/main.cc", "<nlohmann/json.hpp>"),
        ("tools/tamis/main.cc", '"tools/describe/text.h"'),
        ("tools/generate/main.cc", '"tools/describe/text.h"'),
        ("tools/generate/main.cc", '"tools/generate/fields.h"'),
        ("tools/generate/main.cc", '"registry/registry.h"'),
        ("pytorch/a.cc", "<torch/csrc/stable/library.h>"),
        ("pytorch/a.cc", '"tamis/status.hpp"'),
        ("tests/a_test.cc", '"prim/call/room.h"'),
        ("examples/cpp/main.cc", '"tamis/status.hpp"'),
        ("examples/ascend/main.cc", '"device.h"'),
        ("examples/ascend/main.cc", '"acl/acl.h"'),
    ],
)
def test_allowed_include_passes(tmp_path: Path, path: str, include: str) -> None:
    assert breaches(tmp_path, path, include) == []


@pytest.mark.parametrize(
    ("path", "include", "reason"),
    [
        ("include/tamis/plan.hpp", '"base/errors.h"', "only themselves"),
        ("include/tamis/plan.hpp", "<nlohmann/json.hpp>", "tools/tamis and bench only"),
        ("include/tamis/plan.hpp", "<unistd.h>", "standard library"),
        ("include/tamis/tamis.h", "<stdlib.h>", "standard library"),
        ("include/tamis/compat/ascend/acl/acl_rt.h", "<unistd.h>", "standard library"),
        ("src/base/a.cc", '"prim/call/room.h"', "from below"),
        ("src/simd/a.h", '"parallel/parallel.h"', "only simd/"),
        ("src/parallel/a.cc", '"simd/simd.h"', "from below"),
        ("src/prim/a.cc", '"ops/left/problem.h"', "from below"),
        ("src/ops/left/plan.cc", '"ops/right/problem.h"', "another room"),
        ("src/ops/left/plan.cc", '"registry/registry.h"', "from below"),
        ("src/ops/left/plan.cc", '"tools/tamis/case.h"', "from below"),
        ("src/ops/left/plan.cc", '"ops/left/gone.h"', "no such file"),
        ("src/ops/left/plan.cc", "<CLI/CLI.hpp>", "tools/tamis and bench only"),
        ("src/ops/left/plan.cc", "<cuda_runtime.h>", "CUDA"),
        ("src/capi/a.cc", '"tools/describe/text.h"', "from below"),
        ("tools/describe/a.cc", '"tools/generate/fields.h"', "from below"),
        ("tools/generate/a.cc", '"tools/tamis/case.h"', "from below"),
        ("tools/generate/a.cc", "<nlohmann/json.hpp>", "tools/tamis and bench only"),
        ("tools/tamis/a.cc", '"tools/generate/fields.h"', "from below"),
        ("src/ops/left/plan.cc", "<format>", "g++ 12"),
        ("src/ops/left/cpu/kernel-inl.h", "<algorithm>", "leak"),
        ("src/ops/left/cpu/kernel-inl.h", '"base/errors.h"', "only simd/"),
        ("src/ops/left/cpu/more-inl.h", "<immintrin.h>", "leak"),
        ("src/ops/right/cpu/more-inl.h", '"ops/left/cpu/kernel.h"', "another room"),
        ("src/simd/avx2.h", "<math.h>", "leak"),
        ("examples/cpp/main.cc", '"base/errors.h"', "installed"),
        ("examples/cpp/main.cc", '"examples/ascend/device.h"', "installed"),
        ("pytorch/a.cc", "<ATen/ATen.h>", "no CUDA, torch"),
        ("pytorch/a.cc", "<torch/torch.h>", "no CUDA, torch"),
        ("pytorch/a.cc", '"registry/registry.h"', "installed"),
        ("src/capi/a.cc", "<torch/csrc/stable/library.h>", "no CUDA, torch"),
    ],
)
def test_breach_is_reported_with_its_reason(
    tmp_path: Path, path: str, include: str, reason: str
) -> None:
    (found,) = breaches(tmp_path, path, include)
    assert found.startswith(f"{path}:1: ")
    assert reason in found


def test_every_breach_of_a_file_is_reported(tmp_path: Path) -> None:
    found = breaches(
        tmp_path, "src/base/a.cc", '"prim/call/room.h"', "<vector>", '"registry/registry.h"'
    )
    assert [line.split(": ")[0] for line in found] == ["src/base/a.cc:1", "src/base/a.cc:3"]


def test_what_a_level_file_includes_is_held_to_its_rules(tmp_path: Path) -> None:
    (tmp_path / "src/ops/left/cpu").mkdir(parents=True)
    (tmp_path / "src/ops/left/cpu/shapes.h").write_text("#include <vector>\n")
    (found,) = breaches(tmp_path, "src/ops/left/cpu/kernel-inl.h", '"ops/left/cpu/shapes.h"')
    assert found.startswith("src/ops/left/cpu/shapes.h:1: ")


def test_a_header_of_a_cpu_folder_that_no_level_file_includes_is_free(tmp_path: Path) -> None:
    assert breaches(tmp_path, "src/prim/call/work.h", "<string>") == []
