"""The models of examples/train: their control, their conversion, and training that goes on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from proof import checkpoint, claims
from proof.attention import Attention
from proof.comparison import compare
from proof.control import PlainKernels
from proof.evaluation import Score, evaluate
from proof.kernels import Index, TamisKernels
from proof.kinds import KINDS, convert, new_model
from proof.latent import LatentAttention, choice, crossing
from proof.model import Model
from proof.muon import orthogonal
from proof.native import NativeAttention
from proof.needles import Batch
from proof.optimisers import Optimisers
from proof.plan import Course
from proof.stages import train_stages
from proof.training import Training
from torch import nn
from torch_calls import Spy
from train_tools import SIZES, SMALL, reading

GRADIENTS = (
    "nsa_compress_grad",
    "nsa_compress_attention_grad",
    "nsa_selected_attention_grad",
    "sliding_window_attention_grad",
)


def batch(number: int = 0) -> Batch:
    return reading().needles(1).batch(number, 2, 128)


@pytest.mark.parametrize(
    ("kind", "stage"),
    [(kind, None) for kind in KINDS if kind != "dsa"]
    + [("dsa", s) for s in LatentAttention.stages],
)
def test_the_control_agrees(kind: str, stage: str | None) -> None:
    found = compare(SMALL, kind, reading().needles(1), stage)
    assert found.steps == SMALL.control_steps
    assert all(claim.holds for claim in claims.of_control(found))
    if kind != "nsa":  # where blocks weigh nearly the same, rounding decides which is selected
        assert found.loss < 1e-6
        assert found.cosine > 0.999999


def test_the_control_selects_the_same_blocks() -> None:
    shape = 2, 75, 4, 8  # no multiple of a block
    torch.manual_seed(0)
    query, (key, value) = torch.randn(shape), torch.randn(2, 2, 75, 2, 8)
    weights = torch.rand(4, 2), torch.rand(4, 2)
    out, blocks = TamisKernels().compressed(query, key, value, weights, SIZES)
    plain_out, plain_blocks = PlainKernels().compressed(query, key, value, weights, SIZES)
    assert torch.equal(blocks.sort(-1).values, plain_blocks.sort(-1).values)
    assert torch.allclose(out, plain_out, atol=1e-5)


def test_the_control_selects_the_same_keys() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 75, 4, 12), torch.randn(2, 75, 1, 12)
    index = Index(torch.randn(2, 75, 2, 8), torch.randn(2, 75, 1, 8), torch.rand(2, 75, 2))
    out, loss, keys = TamisKernels().listed(query, key, 4, index, 16)
    plain_out, plain_loss, plain_keys = PlainKernels().listed(query, key, 4, index, 16)
    assert torch.equal(keys.sort(-1).values, plain_keys.sort(-1).values)
    assert torch.allclose(out, plain_out, atol=1e-5)
    assert torch.allclose(loss, plain_loss, rtol=1e-4)


def test_a_random_choice_is_no_better_than_the_best() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(1, 64, 2, 8), torch.randn(1, 64, 1, 8)
    everything = torch.arange(64, dtype=torch.int32).expand(1, 64, 64)
    whole = choice(query, key, everything[..., :16], 0.5)  # past token 30, the first 16 keys
    assert whole.divergence == 0.5
    assert 0 < whole.mass < whole.best < 1
    assert 0 < whole.recent < whole.best
    scores = torch.einsum("btnd,bsd->bnts", query, key[:, :, 0]) * 8**-0.5
    dense = scores.masked_fill(torch.ones(64, 64).triu(1) > 0, -torch.inf).softmax(-1).mean(1)
    assert whole.mass == pytest.approx(dense[:, 31:, :16].sum(-1).mean().item(), rel=1e-5)
    best = choice(query, key, dense.topk(16).indices.int(), 0.0)
    assert best.mass == pytest.approx(best.best, rel=1e-6)


def test_no_weight_of_an_indexer_learns_from_the_model() -> None:
    model = new_model(SMALL, "dsa", TamisKernels())
    model.set_stage("sparse")
    layers = [a for a in model.attentions() if isinstance(a, LatentAttention)]
    main = model.losses(batch().ids, batch().targets).mean()
    own = torch.stack([a.own_loss for a in layers if a.own_loss is not None]).sum()
    assert crossing(layers, own, main) == 0
    # With the losses exchanged all do: of each layer, five of its indexer and four others.
    assert crossing(layers, main, own) == 2 * 5 + 2 * 4


def test_every_backward_is_an_operator() -> None:
    model = new_model(SMALL, "nsa", TamisKernels())
    calls = []
    for name in GRADIENTS:
        with Spy(name) as spy:
            model.losses(batch().ids, batch().targets).mean().backward()
        calls.append(len(spy.calls))
    assert calls == [2 * SMALL.layers, SMALL.layers, SMALL.layers, SMALL.layers]


def test_of_a_converted_model_the_branches_are_dense_attention() -> None:
    """With all blocks selected and the selected branch alone, it says what the dense one said."""
    dense = new_model(SMALL, "dense", TamisKernels())
    plan = replace(SMALL, sizes=SIZES._replace(selected=128 // SIZES.block))
    converted = convert(plan, "nsa", TamisKernels(), dense.state_dict())
    for attention in converted.attentions():
        assert isinstance(attention, NativeAttention)
        assert attention.gate.bias.sigmoid().view(-1, 3)[0].tolist() == pytest.approx(
            [0.5, 0.982, 0.119], abs=1e-3
        )
        attention.open_gates((-30.0, 30.0, -30.0))
        nn.init.zeros_(attention.gate.weight)
    ids = batch().ids
    with torch.no_grad():
        assert torch.allclose(converted(ids), dense(ids), atol=1e-5)
    window = convert(SMALL, "window", TamisKernels(), dense.state_dict())
    assert window.state_dict().keys() == dense.state_dict().keys()


def test_muons_change_has_singular_values_near_1() -> None:
    torch.manual_seed(0)
    for shape in ((24, 8), (8, 24), (16, 16)):
        matrix = torch.randn(shape)
        found = orthogonal(matrix)
        values = torch.linalg.svdvals(found)
        assert values.min() > 0.3
        assert values.max() < 1.3
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        assert torch.nn.functional.cosine_similarity(found.flatten(), (u @ v).flatten(), 0) > 0.95


def test_every_weight_has_one_optimiser() -> None:
    model = new_model(SMALL, "nsa", TamisKernels())
    parts = Optimisers(model, model.parameters(), SMALL.scratch.rates).parts
    named = {name: set(part.param_groups[0]["param_names"]) for name, part in parts.items()}
    assert named["muon"] | named["adam"] == {name for name, _ in model.named_parameters()}
    assert not named["muon"] & named["adam"]
    kinds = ("q_proj", "k_proj", "v_proj", "o_proj", "up", "down")
    assert {name.split(".")[-2] for name in named["muon"]} == set(kinds)


def trained(path: Path, course: Course = SMALL.scratch, last: int | None = None) -> Training:
    training = Training(
        new_model(SMALL, "nsa", TamisKernels()), course, reading().needles(1), [batch(9)], path
    )
    training.run(last)
    return training


def contents(path: Path) -> dict[str, torch.Tensor]:
    return checkpoint._tensors(path, "")


def test_a_training_that_was_interrupted_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole.safetensors")
    trained(tmp_path / "parts.safetensors", last=3)  # the last checkpoint is of step 2
    torch.manual_seed(7)
    again = trained(tmp_path / "parts.safetensors")
    one, other = contents(tmp_path / "whole.safetensors"), contents(tmp_path / "parts.safetensors")
    assert one.keys() == other.keys()
    assert {name.split(".")[0] for name in one} == {"model", "muon", "adam", "random"}
    differ = [name for name in one if not torch.equal(one[name], other[name])]
    assert differ == []
    assert [(row.step, row.score) for row in whole.progress.rows] == [
        (row.step, row.score) for row in again.progress.rows
    ]
    assert [row.step for row in whole.progress.rows] == [0, 2, 4]
    assert again.run() == again.progress.rows  # done: nothing is left to do


def test_a_checkpoint_of_another_course_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    trained(path, last=1)
    with pytest.raises(ValueError, match=r"a.safetensors: expected a checkpoint of Course\("):
        trained(path, replace(SMALL.scratch, steps=5))


def test_sequences_grow_when_needles_are_found() -> None:
    course = replace(SMALL.scratch, lengths=(128, 256), tokens=256)
    model = new_model(SMALL, "window", TamisKernels())
    training = Training(model, course, reading().needles(1), [batch(9)])
    training.step()
    assert training.length == 128
    training.progress.smooth = 1.0
    training.step()
    assert training.length == 256
    assert training.progress.smooth > 5


class Staged(Attention):
    """Two matrices: one is trained by a loss of its own, as an indexer is."""

    stages = ("dense", "warmup", "sparse")

    def __init__(self) -> None:
        super().__init__(TamisKernels())
        self.main, self.index = (nn.Linear(SMALL.width, SMALL.width) for _ in range(2))

    def trained(self) -> Iterable[nn.Parameter]:
        parts = {"dense": [self.main], "warmup": [self.index], "sparse": [self.main, self.index]}
        return [p for part in parts[self.stage] for p in part.parameters()]

    def alone(self) -> bool:
        return self.stage == "warmup"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stage != "dense":
            self.own_loss = self.index(x.detach()).square().mean()
        out: torch.Tensor = self.main(x)
        return out


@pytest.mark.parametrize("stage", Staged.stages)
def test_attention_can_be_trained_in_stages(stage: str) -> None:
    torch.manual_seed(0)
    model = Model(SMALL.vocabulary, SMALL.width, 2, Staged)
    model.set_stage(stage)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    training = Training(model, SMALL.scratch, reading().needles(1), [batch(9)])
    loss = training.step()
    moved = {name for name, p in model.state_dict().items() if not torch.equal(p, before[name])}
    index = {name for name in before if ".index." in name}
    expected = {"dense": before.keys() - index, "warmup": index, "sparse": before.keys()}
    assert moved == expected[stage]
    assert {name for name, p in model.named_parameters() if p.requires_grad} == moved
    assert (loss < 3) is (stage == "warmup")


def test_stages_follow_each_other(tmp_path: Path) -> None:
    needles, held = reading().needles(1), [batch(9)]
    courses = {stage: replace(SMALL.scratch, name=stage, steps=2) for stage in Staged.stages}
    torch.manual_seed(0)
    model = Model(SMALL.vocabulary, SMALL.width, 2, Staged)
    rows = train_stages(model, courses, needles, held, tmp_path)
    assert list(rows) == ["dense", "warmup", "sparse"]
    # Warming up leaves the model as it is, and the next stage begins with it.
    assert rows["dense"][-1].score == rows["warmup"][0].score == rows["warmup"][-1].score
    assert rows["warmup"][-1].score == rows["sparse"][0].score != rows["sparse"][-1].score
    fresh = Model(SMALL.vocabulary, SMALL.width, 2, Staged)
    assert train_stages(fresh, courses, needles, held, tmp_path) == rows
    state = model.state_dict()
    assert all(torch.equal(state[name], p) for name, p in fresh.state_dict().items())


def test_a_score_is_of_needles_text_and_sources() -> None:
    model = new_model(SMALL, "nsa", TamisKernels())
    score = evaluate(model, [batch(3), batch(4)])
    assert score.needles == pytest.approx(5.55, abs=0.2)
    assert score.text == pytest.approx(5.55, abs=0.2)
    assert len(score.selected) == SMALL.layers
    assert 0 < score.chance < 1
    plan = replace(SMALL, sizes=SIZES._replace(selected=16))
    everything = evaluate(new_model(plan, "nsa", TamisKernels()), [batch(3)])
    assert everything.selected == (1.0, 1.0)
    assert everything.chance == 1.0
    dense = evaluate(new_model(SMALL, "dense", TamisKernels()), [batch(3)])
    assert dense == Score(dense.needles, dense.text)
