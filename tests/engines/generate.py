"""A process of vLLM: greedy tokens of prompts, as JSON in a file.

`python generate.py MODEL PROMPTS OPTIONS FILE`: a folder, then JSON: a list of lists of token ids,
and named arguments of `vllm.LLM`; then what is written. The prompts run twice, so that the second
round may find prefixes in the cache.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Write a list of rounds, each a list of [tokens, how many were cached]."""
    import vllm

    model, prompts, options = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
    llm = vllm.LLM(
        model,
        skip_tokenizer_init=True,
        max_model_len=512,
        max_num_seqs=4,
        dtype="float32",
        **options,
    )
    sampling = vllm.SamplingParams(temperature=0, max_tokens=64, ignore_eos=True, detokenize=False)
    rounds: list[list[Any]] = []
    for _ in range(2):
        requests = [{"prompt_token_ids": ids} for ids in prompts]
        results = llm.generate(requests, sampling, use_tqdm=False)
        rounds.append([[list(r.outputs[0].token_ids), r.num_cached_tokens] for r in results])
    Path(sys.argv[4]).write_text(json.dumps(rounds), encoding="utf-8")


if __name__ == "__main__":
    main()
