"""Let a model with an indexer write, with Tamis's attention on the CPU.

    python generate.py MODEL [--prompt TEXT | --file FILE] [--tokens 100] [--stock]

MODEL is a folder or a hub's name of a model of the families that docs/transformers.md lists. The
prompt is read in chunks, so that no mask and no score of all pairs is ever in memory. `--stock`
runs transformers' own attention instead, to compare. Needs `pip install 'tamis[transformers]'`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import transformers

import tamis.transformers


def main() -> None:
    """Load, read, write; print the text and the speed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--prompt", default="The quick brown fox")
    parser.add_argument("--file", type=Path, help="a text file instead of --prompt")
    parser.add_argument("--tokens", type=int, default=100, help="to write")
    parser.add_argument("--stock", action="store_true", help="without Tamis")
    options = parser.parse_args()

    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        options.model, attn_implementation="eager" if options.stock else "tamis"
    )
    text = options.file.read_text(encoding="utf-8") if options.file else options.prompt
    prompt = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    length = prompt.input_ids.shape[1]
    cache = None
    if not options.stock:
        cache = tamis.transformers.Cache(model, batch=1, tokens=length + options.tokens)
    begin = time.perf_counter()
    with torch.no_grad():
        written = model.generate(
            **prompt,
            cache=cache,
            do_sample=False,
            max_new_tokens=options.tokens,
            prefill_chunk_size=512,
            streamer=transformers.TextStreamer(tokenizer, skip_prompt=True),
        )
    seconds = time.perf_counter() - begin
    new = written.shape[1] - length
    print(f"{length} tokens read and {new} written in {seconds:.1f} s")


if __name__ == "__main__":
    main()
