"""A small model of DeepSeek's sparse attention learns to write licences, on several ranks.

    torchrun --nproc-per-node 2 examples/distributed/train.py [--steps DENSE WARMUP SPARSE]

Ranks share the tokens of every sequence by `zigzag`: each computes the queries of its own tokens
and sees the keys of all. Layers train in DeepSeek's three stages: attention to all keys, then the
indexer learns what that weighs, then attention to the keys that it selects. Gradients are summed in
the order of ranks, so all have the same model, bit for bit.

Before, the ranks train for a few steps of each stage; in the end a process alone does the same,
without ranks, and rank 0 compares the losses. The text is Debian's licences, in words that
examples/train knows how to tell apart. Exit code 1 if a loss differs by more than 1e-5 of it, or if
the model has not learnt.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu

from tamis.distributed import ContextGroup, DealtSparseAttention, sum_gradients, zigzag
from tamis.nn import DeepSeekSparseAttention
from tamis.nn.training import Stage

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

from proof import corpus
from proof.vocabulary import Vocabulary

STAGES: tuple[Stage, ...] = ("dense", "warmup", "sparse")
CHECKED = (2, 2, 2)  # steps of each that a process alone does, too
WIDTH, LAYERS, WORDS = 128, 2, 1024
SIZES: dict[str, Any] = {
    "hidden": WIDTH, "heads": 4, "q_lora_rank": 64, "kv_lora_rank": 64, "rope_dim": 16,
    "nope_dim": 16, "v_dim": 32, "index_heads": 4, "index_dim": 32, "topk": 64,
    "rope_scaling": None, "dtype": torch.float32,
}  # fmt: skip
TOKENS = 1024  # of a step
RATE = 2e-3

Attention: TypeAlias = DealtSparseAttention | DeepSeekSparseAttention


class Loss(NamedTuple):
    """Of a step: of the words that follow, and of the indexers."""

    words: float
    indexers: float


class Layer(nn.Module):
    """Attention, then what widens and narrows."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention
        self.norm, self.wide_norm = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor, counts: list[int], stage: Stage) -> tuple[Tensor, Tensor | None]:
        """Hidden states of the own tokens, and the indexer's loss."""
        hidden, loss = self.attention.attend_training(self.norm(x), counts, stage)
        x = x + hidden
        return x + self.down(gelu(self.up(self.wide_norm(x)))), loss


class Model(nn.Module):
    """From words to scores of the next one.

    Parameters
    ----------
    group : ContextGroup, optional
        ranks that share tokens; None: a process alone, with layers that know of no ranks
    """

    def __init__(self, group: ContextGroup | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(WORDS, WIDTH)
        nn.init.normal_(self.embedding.weight, std=0.02)
        attentions = [DeepSeekSparseAttention(**SIZES) for _ in range(LAYERS)]
        self.layers = nn.ModuleList(
            Layer(a if group is None else DealtSparseAttention(a, group)) for a in attentions
        )
        self.norm = nn.RMSNorm(WIDTH)
        self._indexers = {p for a in attentions for _, p in a.indexer_parameters()}

    def train_in(self, stage: Stage) -> None:
        """What the stage trains requires grad."""
        for parameter in self.parameters():
            index = parameter in self._indexers
            parameter.requires_grad_(stage == "sparse" or index == (stage == "warmup"))

    def forward(self, ids: Tensor, counts: list[int], stage: Stage) -> tuple[Tensor, Tensor]:
        """Scores of the own tokens, [own tokens, WORDS], and the sum of the indexers' losses."""
        x, index = self.embedding(ids), torch.zeros(())
        for layer in self.layers:
            x, loss = layer(x, counts, stage)
            index = index if loss is None else index + loss
        return self.norm(x) @ self.embedding.weight.T, index


class Batch(NamedTuple):
    """Packed sequences of different lengths, and what follows each word."""

    ids: Tensor
    targets: Tensor
    counts: list[int]


def batches(text: Tensor) -> Iterator[Batch]:
    """The same on all ranks."""
    random = torch.Generator().manual_seed(1)
    while True:
        cuts = torch.randint(1, TOKENS, (2,), generator=random).sort().values
        edges = [0, *cuts.tolist(), TOKENS]
        counts = [b - a for a, b in pairwise(edges)]
        begins = torch.randint(0, len(text) - TOKENS, (len(counts),), generator=random).tolist()
        pairs = list(zip(begins, counts, strict=True))
        ids, targets = (torch.cat([text[b + o : b + o + n] for b, n in pairs]) for o in (0, 1))
        yield Batch(ids, targets, counts)


def read() -> Tensor:
    """Licences in numbers of words."""
    paths = [path for path in corpus.files() if path.suffix != ".gz"]
    texts = [path.read_text(encoding="utf-8", errors="ignore") for path in paths]
    vocabulary = Vocabulary(texts, WORDS)
    return torch.cat([torch.from_numpy(vocabulary.encode(text)) for text in texts])


def train(
    text: Tensor, steps: tuple[int, ...], group: ContextGroup | None, *, say: bool
) -> list[Loss]:
    """Trains a new model; the loss of every step, of all ranks together."""
    model, given, losses = Model(group), batches(text), []
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE)
    ends = dict(zip(accumulate(steps), STAGES, strict=True))
    for step in range(sum(steps)):
        stage = next(stage for end, stage in ends.items() if step < end)
        model.train_in(stage)
        batch = next(given)
        own = torch.arange(TOKENS)
        if group is not None:
            own = zigzag(batch.counts, group.rank, group.world)
        scores, index = model(batch.ids[own], batch.counts, stage)
        words = cross_entropy(scores, batch.targets[own], reduction="sum") / TOKENS
        optimiser.zero_grad()
        (index if stage == "warmup" else words + index).backward()
        if group is not None:
            sum_gradients(model.parameters(), group)
        optimiser.step()
        both = torch.stack([words, index]).detach()
        if group is not None:
            dist.all_reduce(both)
        losses.append(Loss(*both.tolist()))
        if say:
            print(f"{stage:6} {step:4}: words {both[0]:.4f}, indexers {both[1]:.4f}", flush=True)
    return losses


def alone() -> list[Loss]:
    """The first steps of each stage in a process that knows of no ranks."""
    outside = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"}
    environment = {k: v for k, v in os.environ.items() if k not in outside}
    command = [sys.executable, __file__, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [Loss(*of_step) for of_step in json.loads(done.stdout.splitlines()[-1])]


def difference(losses: list[Loss], others: list[Loss]) -> float:
    """The largest, of a loss."""
    return max(
        abs(one - other) / max(abs(other), 1e-30)
        for of_step, of_other in zip(losses, others, strict=True)
        for one, other in zip(of_step, of_other, strict=True)
    )


def main() -> int:
    """Train, compare, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, nargs=3, default=(120, 40, 80))
    parser.add_argument("--json", action="store_true", help="be the process alone")
    options = parser.parse_args()
    text = read()
    if options.json:
        print(json.dumps(train(text, CHECKED, None, say=False)))
        return 0
    dist.init_process_group("gloo")
    group = ContextGroup()
    first = train(text, CHECKED, group, say=False)
    losses = train(text, tuple(options.steps), group, say=group.rank == 0)
    group.close()
    dist.destroy_process_group()
    if group.rank > 0:
        return 0
    off = difference(first, alone())
    fell = losses[-1].words < losses[0].words
    print(
        f"{len(text)} words of text; the loss of words went from {losses[0].words:.3f} to "
        f"{losses[-1].words:.3f}; losses of a process alone differ by {off:.1e} of them"
    )
    return 0 if off < 1e-5 and fell else 1


if __name__ == "__main__":
    sys.exit(main())
