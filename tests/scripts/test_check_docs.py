"""The checker of documents finds dead links and the code to run."""

from __future__ import annotations

from pathlib import Path

import pytest
from check_docs import blocks_of, broken_links, documents, make_checks, summary


def document(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "page.md"
    path.write_text(text)
    return path


def test_fenced_code_is_found_with_language_and_line(tmp_path: Path) -> None:
    page = document(tmp_path, "a\n\n```cpp\nint main() {}\n```\n\n    shown\n\n```\nb\n```\n")
    found = [(block.language, block.line, block.code) for block in blocks_of(page)]
    assert found == [("cpp", 4, "int main() {}\n"), ("", 10, "b\n")]


def test_an_open_fence_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="never closed"):
        blocks_of(document(tmp_path, "```c\nint x;\n"))


def test_links_to_files_that_are_not_there_are_reported(tmp_path: Path) -> None:
    (tmp_path / "there.md").touch()
    text = "[a](there.md) [b](there.md#part)\n[c](gone.md) [d](https://example.org) [e](#here)\n"
    (found,) = broken_links(document(tmp_path, text))
    assert "page.md:2: link to gone.md" in found


def test_python_is_run_and_its_failure_reported(tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    prefix.mkdir()
    (prefix / "libtamis.so").touch()
    check = make_checks(tmp_path, prefix)["python"]
    good, bad = blocks_of(document(tmp_path, "```python\nx = 1\n```\n```python\n1 / 0\n```\n"))
    assert check(good, tmp_path) is None
    assert "ZeroDivisionError" in (check(bad, tmp_path) or "")


def test_build_folders_hold_no_documents(tmp_path: Path) -> None:
    page = document(tmp_path, "")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "other.md").touch()
    assert documents(tmp_path) == [page]


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        ("import torch\n", {"torch"}),
        ("import numpy as np\nfrom torch import nn\n", {"torch"}),
        ("def f():\n    import tamis.torch\n", {"torch"}),
        ("from tamis.nn import NativeCompressedAttention\n", {"torch"}),
        ("import jax.numpy as jnp\n", {"jax"}),
        ("import jax\nimport torch\n", {"jax", "torch"}),
        ("import tamis\n# import torch elsewhere\n", set()),
        ("import torchlike\n", set()),
    ],
)
def test_code_that_needs_a_module_is_told_apart(tmp_path: Path, code: str, needs: set[str]) -> None:
    (block,) = blocks_of(document(tmp_path, f"```python\n{code}```\n"))
    assert block.needs == needs


def test_the_summary_says_what_was_left_out_for_want_of_a_module() -> None:
    counts = {"torch": 3, "jax": 1}
    some = "20 blocks of code run, 3 more need torch, 1 of them with jax, 0 failures"
    assert some in summary(9, 20, counts, {"torch"}, 0)
    most = "23 blocks of code run, 3 of them with torch, 1 more need jax, 1 failures"
    assert most in summary(9, 23, counts, {"jax"}, 1)
