"""A million tokens of real text on several ranks, asked where phrases come from.

    torchrun --nproc-per-node 2 examples/distributed/long_context.py [--tokens N] [--questions Q]

Every rank keeps the keys of its share of the text, as DeepSeek-V3.2 does: a latent of 512 numbers,
64 with rope and an index key of 128 for every token, in pages that are dealt to the ranks. A
question is one decoding step: ranks select the 2048 best tokens of all together, attend each to
its own, and merge. There is no model. Keys and queries are made of the words by a fixed rule, and
the latents say which page they lie in, so what attention returns tells where a phrase comes from,
and can be checked by reading.

In the end rank 0 runs the same in a process alone, and compares answers and memory. The text is
Debian's licences, then the sources of Python's standard library and of torch. Exit code 1 if fewer
than 80% of the phrases are found, or if the lone process selects otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import normalize, pad

from tamis.distributed import ContextGroup, DealtCache, DealtTable, Latent, attend, select

HEADS, LATENT, ROPE, INDEX_HEADS, INDEX, TOPK = 16, 512, 64, 64, 128, 2048
PAGE = 64
CODE = 64  # channels of a latent that say which page it lies in
WINDOW = 4  # words that a key is made of
PHRASE = 12  # words of a question
LOUD = 60  # length of a query: a key along it has this score
CHUNK = 8192  # tokens whose rows are made at a time
WORD = re.compile(r"\w+")


def files() -> Iterator[Path]:
    """Real text, in an order that is the same everywhere on a machine."""
    yield from sorted(p for p in Path("/usr/share/common-licenses").glob("*") if not p.is_symlink())
    for folder in (sysconfig.get_path("stdlib"), Path(torch.__file__).parent):
        found = sorted(Path(folder).rglob("*.py"))
        yield from (path for path in found if path.parent.name != "encodings")  # tables


class Text:
    """Words as directions: random vectors, the longer the rarer."""

    def __init__(self, tokens: int) -> None:
        number: dict[str, int] = {}
        ids = array("i")
        for path in files():
            for word in WORD.findall(path.read_text(encoding="utf-8", errors="replace").lower()):
                ids.append(number.setdefault(word, len(number)))
            if len(ids) >= tokens:
                break
        else:
            raise SystemExit(f"--tokens: expected at most {len(ids)}, as there are here")
        self.words = list(number)
        self.ids = torch.frombuffer(ids, dtype=torch.int32)[:tokens]
        counts = torch.bincount(self.ids, minlength=len(number)).clamp(min=1)
        random = torch.Generator().manual_seed(0)
        rare = torch.log1p(tokens / counts)[:, None]
        self.vectors = torch.randn(len(number), INDEX, generator=random) * rare
        pages = -(-tokens // PAGE)
        self.codes = torch.randint(0, 2, (pages, CODE), generator=random) * 2.0 - 1.0

    def said(self, begin: int, end: int) -> str:
        """Words, as they stand there."""
        return " ".join(self.words[word] for word in self.ids[max(begin, 0) : end].tolist())

    def around(self, page: int) -> str:
        """The words of a page, and of a phrase that begins or ends in it."""
        return self.said(page * PAGE - PHRASE, (page + 1) * PAGE + PHRASE)

    def rows(self, begin: int, end: int) -> dict[str, Tensor]:
        """What a cache holds of tokens: the direction of the last words of each, and its page."""
        last = self.vectors[self.ids[max(begin - WINDOW + 1, 0) : end]]
        sums = pad(last.cumsum(0), (0, 0, WINDOW, 0))
        key = normalize((sums[WINDOW:] - sums[:-WINDOW])[len(last) - (end - begin) :])
        latent = pad(key, (0, LATENT - INDEX))
        latent[:, -CODE:] = self.codes[torch.arange(begin, end) // PAGE]
        rows = {"kv": latent, "kr": torch.zeros(end - begin, ROPE), "index_k": key}
        return {name: row[:, None].bfloat16() for name, row in rows.items()}

    def ask(self, begin: int, end: int) -> tuple[Tensor, Tensor]:
        """Index query [1, INDEX_HEADS, INDEX] and query [1, HEADS, LATENT] of a phrase."""
        index = normalize(self.vectors[self.ids[begin:end]].sum(0), dim=0)
        query = pad(LOUD * index, (0, LATENT - INDEX))  # its code is read, not looked for
        heads = index.expand(1, INDEX_HEADS, -1), query.expand(1, HEADS, -1)
        return heads[0].bfloat16(), heads[1].bfloat16()


class Answer(NamedTuple):
    """Of a question."""

    selected: list[int]
    page: int
    seconds: float


def fill(text: Text, table: DealtTable, cache: DealtCache) -> None:
    """Every rank makes the rows that it keeps."""
    for begin in range(0, len(text.ids), CHUNK):
        end = min(begin + CHUNK, len(text.ids))
        rows = table.reserve([end - begin])
        mine = rows.slots >= 0
        for name, new in text.rows(begin, end).items():
            cache.tensors[name].flatten(0, 1)[rows.slots[mine]] = new[mine]
        table.commit(rows)


def answer(group: ContextGroup, text: Text, cache: DealtCache, first: int) -> Answer:
    """One decoding step: which page the attention to the best tokens of all ranks points at."""
    index_query, query = text.ask(first, first + PHRASE)
    weights = torch.full((1, INDEX_HEADS), 1 / INDEX_HEADS, dtype=torch.bfloat16)
    no_turn = torch.zeros(1, HEADS, ROPE, dtype=torch.bfloat16)
    begin = time.perf_counter()
    rows = cache.table.reserve([1])  # the question's own token, whose row stays 0
    found = select(group, index_query, cache.tensors["index_k"], weights, rows, count=TOPK)
    latent = Latent(query, no_turn, cache.tensors["kv"], cache.tensors["kr"], scale=1.0)
    out = attend(group, latent, found.indices, rows)
    seconds = time.perf_counter() - begin
    page = int((text.codes @ out[0, :, -CODE:].float().mean(0)).argmax())
    return Answer(found.indices[0].tolist(), page, seconds)


def resident() -> float:
    """GB of this process's memory."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024 / 1e9


def run(tokens: int, questions: int) -> dict[str, Any]:
    """Fills, asks, prints; what rank 0 compares."""
    group = ContextGroup(page_size=PAGE)
    text = Text(tokens)
    table = DealtTable(group, sequences=1, tokens=tokens + 1)
    rows = {"kv": (1, LATENT), "kr": (1, ROPE), "index_k": (1, INDEX)}
    cache = DealtCache(rows, table)
    fill(text, table, cache)
    answers, found = [], 0
    for i in range(questions):
        first = (2 * i + 1) * tokens // (2 * questions)
        given = answer(group, text, cache, first)
        said = text.said(first, first + PHRASE)
        right = said in text.around(given.page)
        found += right
        answers.append(given.selected)
        if group.rank == 0:
            yes = "yes" if right else "NO"
            print(f"{given.seconds * 1e3:7.1f} ms  page {given.page:6} {yes:3}  {said[:80]}")
    memory = [resident()]
    if group.world > 1:
        memory = [0.0] * group.world
        dist.all_gather_object(memory, resident())
    if group.rank == 0:
        said = ", ".join(f"{gigabytes:.2f}" for gigabytes in memory)
        print(f"{found} of {questions} found in {tokens} words; GB of memory by rank: {said}")
    return {"answers": answers, "memory": memory, "found": found}


def alone(tokens: int, questions: int) -> dict[str, Any]:
    """The same in one process, without ranks."""
    outside = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}
    environment = {k: v for k, v in os.environ.items() if k not in outside}
    command = [sys.executable, __file__, "--json", f"--tokens={tokens}", f"--questions={questions}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> int:
    """Run, compare, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="a line for another process, too")
    options = parser.parse_args()
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group("gloo")
    result = run(options.tokens, options.questions)
    if options.json:
        print(json.dumps(result))
    good = result["found"] >= 0.8 * options.questions
    if dist.is_initialized():
        rank = dist.get_rank()
        dist.destroy_process_group()
        if rank == 0:
            one = alone(options.tokens, options.questions)
            same = one["answers"] == result["answers"]
            share = max(result["memory"]) / one["memory"][0]
            print(
                f"alone: {one['memory'][0]:.2f} GB; a rank has {share:.0%} of that; "
                f"selections {'are the same' if same else 'DIFFER'}"
            )
            good = good and same
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
