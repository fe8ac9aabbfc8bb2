"""examples/transformers run as their first lines say."""

from __future__ import annotations

import os
import string
import subprocess
import sys
from pathlib import Path

import hf_models as models
import transformers
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples" / "transformers"


def save(folder: Path) -> None:
    """A model of 96 letters, and its tokenizer."""
    letters = ["<pad>", "<s>", " ", *string.printable[:93]]
    tokenizer = Tokenizer(WordLevel({c: i for i, c in enumerate(letters)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    models.make("glm_moe_dsa").save_pretrained(folder)


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_model_writes_what_it_writes_without_tamis(tmp_path: Path) -> None:
    save(tmp_path)
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("To be, or not to be: " * 30, encoding="utf-8")
    command = [str(EXAMPLES / "generate.py"), str(tmp_path), "--file", str(prompt)]
    command += ["--tokens", "20"]
    stock, own = (run(*command, *more).splitlines() for more in (["--stock"], []))
    assert own[:-1] == stock[:-1]
    assert own[-1].startswith("630 tokens read and 20 written in ")
