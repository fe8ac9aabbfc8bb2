"""Settings of the site that `./dev docs` makes.

The source folder is the whole tree: every page of the site is a Markdown file where it lies, so a
link between two of them works here, on a code host, and in an editor.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "python"))

project = "Tamis"
author = "The authors of Tamis"
version = release = (ROOT / "VERSION").read_text(encoding="utf-8").strip()

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "examples/**README.md", "src/ops/*/README.md"]
exclude_patterns = [".*", "build", "dist"]
html_theme = "furo"
html_title = f"Tamis {version}"
html_extra_path = ["site"]  # index.html, which leads to README.html
highlight_language = "text"  # what is indented is shown, whatever it is

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Signatures without types: the docstrings say them, and `Array` twice over says less.
autodoc_typehints = "none"
# The site is the same with and without torch, and nothing is installed in the device's names.
autodoc_mock_imports = ["torch", "tamis.torch", "tamis.npu_compat.stand_ins"]
numpydoc_show_class_members = False


def append_contents(_app: Any, name: str, source: list[str]) -> None:
    """The pages of the site, which the README does not list for its readers on a code host."""
    if name == root_doc:
        source[0] += "\n" + (ROOT / "docs/contents.txt").read_text(encoding="utf-8")


def escape_shapes(
    _app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]
) -> None:
    """In a shape, `[*, *]`, a star is a star and begins no emphasis."""
    lines[:] = [re.sub(r"(?<=[\[ ])\*(?=[\],])", r"\\*", line) for line in lines]


def own_signature(
    _app: Any, what: str, _name: str, obj: Any, _options: Any, signature: str | None, returns: str
) -> tuple[str, str] | None:
    """Of a class whose base is mocked: what its own constructor takes."""
    if what != "class" or signature != "(*args, **kwargs)":
        return None
    _, *parameters = inspect.signature(obj.__init__).parameters.values()
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(bare)), returns


def setup(app: Any) -> None:
    """What Sphinx calls when it has read these settings."""
    app.connect("source-read", append_contents)
    app.connect("autodoc-process-docstring", escape_shapes)
    app.connect("autodoc-process-signature", own_signature)
