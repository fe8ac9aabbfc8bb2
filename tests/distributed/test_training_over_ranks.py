"""Training over ranks, beside training in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
from ranks import as_processes, as_threads
from test_deepseek import SIZES
from torch import Tensor
from torch.nn import Parameter
from torch.utils.checkpoint import checkpoint as recomputed

from tamis.distributed import (
    ContextGroup,
    DealtSparseAttention,
    RemoteError,
    gradients,
    split_heads,
    sum_gradients,
    unzigzag,
    zigzag,
)
from tamis.nn import DeepSeekSparseAttention, Trained
from tamis.nn.training import Stage

STAGES: list[Stage] = ["dense", "warmup", "sparse"]
# Uneven, one of them for some ranks alone, one empty.
COUNTS = [131, 2, 0, 260]


def layer_of(
    dtype: torch.dtype = torch.float32, stage: Stage = "sparse"
) -> DeepSeekSparseAttention:
    torch.manual_seed(5)
    layer = DeepSeekSparseAttention(**SIZES, dtype=dtype)
    layer.requires_grad_(stage != "warmup")
    for _, parameter in layer.indexer_parameters():
        parameter.requires_grad_(stage != "dense")
    return layer


def hidden(counts: list[int], dtype: torch.dtype = torch.float32) -> Tensor:
    random = torch.Generator().manual_seed(6)
    return torch.randn(sum(counts), 96, generator=random).to(dtype)


def loss_of(out: Trained, places: Tensor, tokens: int) -> Tensor:
    """A sum over tokens that says of each something else, per token."""
    weights = (places[:, None] * 0.37 + torch.arange(96) * 0.11).sin()
    loss = (out.hidden.float() * weights).sum() / tokens
    return loss if out.index_loss is None else loss + out.index_loss


class Learnt(NamedTuple):
    """Of one step."""

    hidden: Tensor
    loss: Tensor
    x_grad: Tensor | None
    gradients: dict[str, Tensor]


def learnt(layer: DeepSeekSparseAttention, out: Trained, loss: Tensor, x: Tensor) -> Learnt:
    found = {name: p.grad for name, p in layer.named_parameters() if p.grad is not None}
    return Learnt(out.hidden.detach(), loss.detach(), x.grad, found)


def on_one(stage: Stage, counts: list[int]) -> Learnt:
    layer, x = layer_of(stage=stage), hidden(counts)
    x.requires_grad_(stage != "warmup")
    out = layer.attend_training(x, counts, stage)
    loss = loss_of(out, torch.arange(len(x)), len(x))
    loss.backward()
    return learnt(layer, out, loss, x)


def over_ranks(
    layer: DeepSeekSparseAttention, stage: Stage, counts: list[int], *, recompute: bool = False
) -> Learnt:
    layer, group = deepcopy(layer), ContextGroup()
    dealt = DealtSparseAttention(layer, group)
    own = zigzag(counts, group.rank, group.world)
    x = hidden(counts, layer.w_o.dtype)[own].requires_grad_(stage != "warmup")
    run: Callable[..., Trained] = dealt.attend_training
    if recompute:
        out = recomputed(run, x, counts, stage, use_reentrant=False)
    else:
        out = run(x, counts, stage)
    loss = loss_of(out, own, sum(counts))
    loss.backward()
    sum_gradients(layer.parameters(), group)
    return learnt(layer, out, loss, x)


def close(got: Tensor, want: Tensor, name: str) -> None:
    assert got.dtype == want.dtype
    assert (got - want).abs().max() <= 1e-5 * want.abs().max(), name


@pytest.mark.parametrize("counts", [COUNTS, [1], [3, 500]], ids=str)
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("stage", STAGES)
def test_gradients_are_those_of_one_process(stage: Stage, world: int, counts: list[int]) -> None:
    want = on_one(stage, counts)
    runs = as_threads(world, over_ranks, layer_of(stage=stage), stage, counts)
    close(unzigzag([run.hidden for run in runs], counts), want.hidden, "hidden")
    close(torch.stack([run.loss for run in runs]).sum(), want.loss, "loss")
    if stage != "warmup":
        assert want.x_grad is not None
        close(unzigzag([run.x_grad for run in runs], counts), want.x_grad, "x")
    for run in runs:
        assert run.gradients.keys() == want.gradients.keys()
        for name, gradient in want.gradients.items():
            close(run.gradients[name], gradient, name)
            assert torch.equal(run.gradients[name], runs[0].gradients[name]), name


def same(runs: list[Learnt], others: list[Learnt]) -> None:
    for run, other in zip(runs, others, strict=True):
        assert torch.equal(run.hidden, other.hidden)
        assert run.gradients.keys() == other.gradients.keys()
        for name, gradient in run.gradients.items():
            assert torch.equal(gradient, other.gradients[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_bits_are_the_same_every_time(dtype: torch.dtype) -> None:
    given = layer_of(dtype), "sparse", COUNTS
    runs = as_threads(3, over_ranks, *given)
    same(runs, as_threads(3, over_ranks, *given))
    same(runs, as_threads(3, over_ranks, *given, recompute=True))


def test_processes_do_what_threads_do() -> None:
    given = layer_of(), "sparse", COUNTS
    same(as_processes(2, over_ranks, *given), as_threads(2, over_ranks, *given))


def test_losses_of_the_sparse_stage_do_not_meet() -> None:
    def learns(layer: DeepSeekSparseAttention, index: bool) -> set[str]:
        layer, group = deepcopy(layer), ContextGroup()
        own = zigzag(COUNTS, group.rank, group.world)
        dealt = DealtSparseAttention(layer, group)
        out = dealt.attend_training(hidden(COUNTS)[own], COUNTS, "sparse")
        assert out.index_loss is not None
        (out.index_loss if index else out.hidden.square().sum()).backward()
        sum_gradients(layer.parameters(), group)
        return {name for name, p in layer.named_parameters() if p.grad is not None}

    indexer = {name for name, _ in layer_of().indexer_parameters()}
    rest = {name for name, _ in layer_of().named_parameters()} - indexer
    assert as_threads(2, learns, layer_of(), True) == [indexer] * 2
    assert as_threads(2, learns, layer_of(), False) == [rest] * 2


def test_gradients_are_added_in_the_order_of_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "_BUCKET", 7)
    shapes = [(3, 5), (), (2, 0), (4, 4), (1,)]

    def made(rank: int) -> list[Tensor]:
        random = torch.Generator().manual_seed(rank)
        found = [torch.randn(shape, generator=random) * 10**rank for shape in shapes]
        found[3] = found[3].T  # not contiguous
        return [*found[:-1], found[-1].bfloat16()]

    def summed() -> list[Tensor]:
        group = ContextGroup()
        parameters = [Parameter(torch.zeros_like(of)) for of in made(0)]
        for parameter, gradient in zip(parameters, made(group.rank), strict=True):
            parameter.grad = gradient
        alone = Parameter(torch.zeros(2))
        sum_gradients([*parameters, alone], group)
        assert alone.grad is None
        return [p.grad for p in parameters if p.grad is not None]

    every = [made(rank) for rank in range(4)]
    for run in as_threads(4, summed):
        for got, first, *others in zip(run, *every, strict=True):
            want = first.float()
            for other in others:
                want = want + other.float()
            assert torch.equal(got, want.to(got.dtype))


def refused(
    layer: DeepSeekSparseAttention, spoil: Callable[[DealtSparseAttention, int], Any]
) -> str:
    """How a call fails; the next one is right."""
    group = ContextGroup()
    dealt = DealtSparseAttention(deepcopy(layer), group)
    with pytest.raises((ValueError, RemoteError)) as caught:
        spoil(dealt, group.rank)
    x = hidden(COUNTS)[zigzag(COUNTS, group.rank, group.world)]
    dealt.attend_training(x, COUNTS, "sparse").hidden.sum().backward()
    sum_gradients(dealt.parameters(), group)
    return f"{type(caught.value).__name__}: {caught.value}"


def of(counts: list[int], rank: int, world: int = 2) -> Tensor:
    return hidden(counts)[zigzag(counts, rank, world)]


def spoil_gradient(dealt: DealtSparseAttention, rank: int) -> None:
    if rank == 1:
        dealt.layer.w_o.grad = torch.zeros_like(dealt.layer.w_o)
    try:
        sum_gradients(dealt.parameters(), dealt.group)
    finally:
        dealt.layer.w_o.grad = None


REFUSED: dict[str, tuple[Callable[[DealtSparseAttention, int], Any], str]] = {
    "stage": (
        lambda dealt, rank: dealt.attend_training(of(COUNTS, rank), COUNTS, "last"),  # type: ignore[arg-type]
        "ValueError: stage: expected dense, warmup, sparse, got last",
    ),
    "rows": (
        lambda dealt, rank: dealt.attend_training(of(COUNTS, rank)[rank:], COUNTS, "sparse"),
        "RemoteError: rank 1: ValueError: x: expected 197 rows, this rank's by zigzag, got 196",
    ),
    "counts": (
        lambda dealt, rank: dealt.attend_training(of([8 + rank], rank), [8 + rank], "sparse"),
        "RemoteError: rank 1: makes another call than rank 0, or has other counts or stage",
    ),
    "stages": (
        lambda dealt, rank: dealt.attend_training(of([8], rank), [8], STAGES[rank]),
        "RemoteError: rank 1: makes another call than rank 0, or has other counts or stage",
    ),
    "gradients": (
        spoil_gradient,
        "RemoteError: rank 1: makes another call than rank 0, or has other gradients",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_ranks_do_not_agree_on_is_refused_by_all(name: str) -> None:
    spoil, text = REFUSED[name]
    assert as_threads(2, refused, layer_of(), spoil) == [text] * 2


def test_split_heads_do_not_train() -> None:
    def trains(whole: DeepSeekSparseAttention) -> None:
        mesh = dist.init_device_mesh("cpu", (1, 2), mesh_dim_names=("cp", "tp"))
        tensor = ContextGroup(mesh["tp"])
        layer = split_heads(whole, tensor.rank, 2)
        dealt = DealtSparseAttention(layer, ContextGroup(mesh["cp"]), tensor)
        with pytest.raises(NotImplementedError, match=r"^tensor: expected None in training"):
            dealt.attend_training(hidden([8]), [8], "dense")

    as_threads(2, trains, layer_of())


def test_the_example_learns_what_a_process_alone_learns() -> None:
    script = Path(__file__).parents[2] / "examples" / "distributed" / "train.py"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, str(script), "--steps", "4", "1", "1"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["dense"] * 4 + ["warmup", "sparse"]
    assert "; losses of a process alone differ by " in lines[-1]
