"""Models that train with Tamis: against eager's autograd and the indexers' loss in float64."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import hf_models as models
import pytest
import torch
import transformers
from hf_models import layers_of
from torch import Tensor
from transformers import StaticCache
from transformers.models.glm_moe_dsa import modeling_glm_moe_dsa

import tamis.transformers
from tamis.nn.training import Stage
from tamis.transformers import indexer_losses, indexer_parameters, training

TOKENS = 40  # of which layers select 24, or all 64
STAGES: list[Stage] = ["dense", "warmup", "sparse"]
SOURCES = {0: [0, 1], 2: [2]}  # layers that use each indexer's selection


@functools.cache
def _small(topk: int, family: str) -> Any:
    return models.make(family, index_topk=topk)


def small(topk: int = 24, family: str = "glm_moe_dsa") -> Any:
    """In training mode; the second of three layers uses the first's selection."""
    model = copy.deepcopy(_small(topk, family)).train()
    model.set_attn_implementation("tamis")
    return model


def gradients(model: Any) -> dict[str, Tensor]:
    """Of parameters that have one, which are then forgotten."""
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def language_loss(model: Any, ids: Tensor, **named: Any) -> Tensor:
    found: Tensor = model(ids, labels=ids, use_cache=False, **named).loss
    return found


def near(found: dict[str, Tensor], expected: dict[str, Tensor], bound: float = 1e-4) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= bound * value.abs().max() + 1e-9, name


def _stages(family: str) -> list[tuple[str, Stage, int]]:
    """Those in which a family trains, and how many tokens are selected."""
    found: list[tuple[str, Stage, int]] = [(family, "sparse", 24), (family, "sparse", 64)]
    if family != "hy_v4":  # its sinks
        found += [(family, "dense", 64), (family, "warmup", 64)]
    return found


@pytest.mark.parametrize(
    ("family", "stage", "topk"),
    [each for f in dict.fromkeys([*models.FAMILIES, "deepseek_v32"]) for each in _stages(f)],
)
def test_gradients_of_the_models_loss_are_those_of_eager(
    family: str, stage: Stage, topk: int
) -> None:
    model, ids = small(topk, family), models.tokens(2, TOKENS)
    training(model, stage)
    found_loss = language_loss(model, ids)
    found_loss.backward()
    found = gradients(model)
    model.set_attn_implementation("eager")
    loss = language_loss(model, ids)
    loss.backward()
    assert abs(float(found_loss.detach() - loss.detach())) < 1e-5
    near(found, gradients(model))
    indexer = dict(indexer_parameters(model))
    assert len(indexer) >= 2 * 5
    assert not found.keys() & indexer.keys()
    if family in ("deepseek_v32", "glm_moe_dsa"):  # others have parts that this does not call
        assert found.keys() == dict(model.named_parameters()).keys() - indexer.keys()


def formula(model: Any, ids: Tensor) -> tuple[dict[int, Tensor], dict[str, Tensor]]:
    """Losses of the indexers in float64 and their gradients: attention as eager weighs it."""
    model.set_attn_implementation("eager")
    indexers = {i: layer.self_attn.indexer for i, layer in enumerate(layers_of(model))}
    seen: dict[int, tuple[Any, ...]] = {}
    hooks = [
        indexer.register_forward_pre_hook(lambda _m, given, i=i: seen.update({i: given}))
        for i, indexer in indexers.items()
        if indexer is not None
    ]
    with torch.no_grad():
        weighed = model(ids, output_attentions=True, use_cache=False).attentions
    for hook in hooks:
        hook.remove()
    losses: dict[int, Tensor] = {}
    found: dict[str, Tensor] = {}
    for i, layers in SOURCES.items():
        indexer = copy.deepcopy(indexers[i]).double()
        hidden, low, (cos, sin) = seen[i][0].double(), seen[i][1].double(), seen[i][2]
        width = indexer.qk_rope_head_dim
        query = indexer.wq_b(low).unflatten(-1, (indexer.n_heads, -1))
        key = indexer.k_norm(indexer.wk(hidden)).unsqueeze(2)
        turned = modeling_glm_moe_dsa.apply_rotary_pos_emb_interleave(
            query[..., :width], key[..., :width], cos.double(), sin.double(), unsqueeze_dim=2
        )
        query = torch.cat([turned[0], query[..., width:]], -1)
        key = torch.cat([turned[1], key[..., width:]], -1).squeeze(2)
        products = torch.einsum("bihd,bjd->bhij", query, key).relu()
        weights = indexer.weights_proj(hidden) * (indexer.n_heads * indexer.head_dim) ** -0.5
        scores = torch.einsum("bih,bhij->bij", weights, products)
        of_layers = []
        for layer in layers:
            p = weighed[layer].double().mean(1)
            # Attention of a selected key is never 0 here.
            logs = torch.log_softmax(scores.masked_fill(p == 0, -math.inf), -1)
            logs = logs.masked_fill(p == 0, 0)
            of_layers.append((p * (p.clamp_min(1e-8).log() - logs)).sum() / ids.numel())
        losses[i] = torch.stack(of_layers).mean()
        losses[i].backward()
        prefix = f"model.layers.{i}.self_attn.indexer."
        found |= {prefix + n: p.grad.float() for n, p in indexer.named_parameters()}
    return losses, found


@pytest.mark.parametrize(("stage", "topk"), [("warmup", 64), ("sparse", 24), ("sparse", 64)])
def test_losses_of_indexers_and_their_gradients_are_the_formulas(stage: Stage, topk: int) -> None:
    model, ids = small(topk), models.tokens(2, TOKENS)
    training(model, stage)
    language_loss(model, ids)
    losses = indexer_losses(model)
    sum(losses.values()).backward()
    found = gradients(model)
    expected_losses, expected = formula(model, ids)
    assert losses.keys() == expected_losses.keys()
    for layer, loss in losses.items():
        assert abs(float(loss.detach() - expected_losses[layer].detach())) < 1e-5
    near(found, expected, 1e-3)
    assert found.keys() == dict(indexer_parameters(model)).keys()


def test_a_sum_of_both_losses_has_both_gradients() -> None:
    model, ids = small(), models.tokens(2, TOKENS)
    training(model, "sparse")
    language_loss(model, ids).backward()
    sum(indexer_losses(model).values()).backward()
    apart = gradients(model)
    (language_loss(model, ids) + sum(indexer_losses(model).values())).backward()
    together = gradients(model)
    assert together.keys() == dict(model.named_parameters()).keys()
    near(together, apart, 1e-6)


@pytest.mark.parametrize("stage", ["warmup", "sparse"])
def test_a_few_steps_lower_the_losses(stage: Stage) -> None:
    model, ids = small(), models.tokens(2, TOKENS)
    training(model, stage)
    model.requires_grad_(stage == "sparse")
    for _, parameter in indexer_parameters(model):
        parameter.requires_grad_()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    language, indexers = [], []
    for _ in range(8):
        optimizer.zero_grad()
        loss = language_loss(model, ids)
        extra = torch.stack([*indexer_losses(model).values()]).sum()
        (loss + extra if stage == "sparse" else extra).backward()
        optimizer.step()
        language.append(float(loss.detach()))
        indexers.append(float(extra.detach()))
    if stage == "sparse":
        assert language[-1] < language[0] - 1
    else:
        assert indexers[-1] < 0.7 * indexers[0]
        assert language[-1] == language[0]  # nothing else has changed


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("stage", STAGES)
def test_padding_counts_nothing(stage: Stage, side: str) -> None:
    """A padded batch is its rows alone, weighed by their tokens."""
    model, ids = small(), models.tokens(2, TOKENS)
    training(model, stage)
    mask = torch.ones_like(ids)
    part = slice(0, 13) if side == "left" else slice(TOKENS - 13, TOKENS)
    mask[0, part] = 0
    labels = ids.masked_fill(mask == 0, -100)
    labels[0, mask[0].argmax()] = -100  # predicted by padding otherwise
    rows = [ids[:1, mask[0] == 1], ids[1:]]
    named = {"attention_mask": mask, "use_cache": False}
    if side == "left":
        positions = (torch.arange(TOKENS) - 13).clamp(min=0)
        named["position_ids"] = torch.stack([positions, torch.arange(TOKENS)])
    loss = model(ids, labels=labels, **named).loss
    extra = sum(indexer_losses(model).values())
    (loss + extra).backward()
    found, lengths = gradients(model), [len(row[0]) for row in rows]
    for row, length in zip(rows, lengths, strict=True):
        own = language_loss(model, row) * ((length - 1) / (sum(lengths) - 2))
        losses = indexer_losses(model).values()
        (own + sum(loss * (length / sum(lengths)) for loss in losses)).backward()
    near(found, gradients(model), 1e-3)


@pytest.mark.parametrize("stage", STAGES)
def test_checkpoints_change_no_gradient(stage: Stage) -> None:
    model, ids = small(), models.tokens(2, TOKENS)
    training(model, stage)
    found = []
    for _ in range(2):
        (language_loss(model, ids) + sum(indexer_losses(model).values())).backward()
        found.append(gradients(model))
        if stage != "dense":  # what a backward recomputes leaves no losses
            with pytest.raises(
                RuntimeError, match=r"^indexer_losses: expected a call of the model"
            ):
                indexer_losses(model)
        model.activation_checkpointing_enable()
    near(found[1], found[0], 0)


def test_bfloat16_is_near_float32() -> None:
    exact, ids = small(64), models.tokens(2, TOKENS)
    model = copy.deepcopy(exact).bfloat16()
    exact.load_state_dict(model.state_dict())
    losses = []
    for each in (exact, model):
        training(each, "warmup")
        language = language_loss(each, ids)
        losses.append([language, *indexer_losses(each).values()])
        sum(losses[-1]).backward()
    for one, other in zip(*losses, strict=True):
        assert abs(float(one.detach()) / float(other.detach()) - 1) < 0.05
    first, second = gradients(exact), gradients(model)
    assert first.keys() == second.keys()
    ones = torch.cat([g.flatten() for g in first.values()])
    others = torch.cat([second[n].float().flatten() for n in first])
    assert torch.nn.functional.cosine_similarity(ones, others, dim=0) > 0.98


def test_evaluation_and_no_stage_are_as_before() -> None:
    model, ids = small(), models.tokens(1, TOKENS)
    fresh = copy.deepcopy(model).eval()
    expected = models.logits_of(fresh, ids)
    training(model, "warmup")
    model.eval()
    assert torch.equal(models.logits_of(model, ids), expected)
    training(model, None)
    with pytest.raises(ValueError, match=r"^gradients: expected torch.no_grad\(\), or tamis.trans"):
        model.train()(ids)


def test_sinks_train_where_layers_select() -> None:
    """Of HY-V4: its indexers learn in the sparse stage alone."""
    model, ids = small(24, "hy_v4"), models.tokens(2, TOKENS)
    training(model, "sparse")
    (language_loss(model, ids) + sum(indexer_losses(model).values())).backward()
    found = gradients(model)
    assert found.keys() >= dict(indexer_parameters(model)).keys()
    assert any(name.endswith("sinks") for name in found)
    training(model, "warmup")
    with pytest.raises(ValueError, match=r'^stage: expected "sparse" for a family with sinks'):
        language_loss(model, ids)


class TestRefused:
    """What is not right is said in one line."""

    def test_other_stages(self) -> None:
        with pytest.raises(
            ValueError, match=r"^stage: expected dense, warmup, sparse or None, got"
        ):
            training(small(), "last")  # type: ignore[arg-type]

    def test_models_without_an_indexer(self) -> None:
        config = transformers.LlamaConfig(
            vocab_size=96, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
            num_attention_heads=2,
        )  # fmt: skip
        with pytest.raises(ValueError, match=r"^model: expected one of deepseek_v32, .* got Llama"):
            training(transformers.AutoModelForCausalLM.from_config(config), "sparse")

    def test_losses_without_a_call(self) -> None:
        model = small()
        with pytest.raises(RuntimeError, match=r"^indexer_losses: .* got no stage$"):
            indexer_losses(model)

    def test_losses_without_gradients(self) -> None:
        model, ids = small(), models.tokens(1, TOKENS)
        training(model, "sparse")
        with torch.no_grad():
            language_loss(model, ids)
            assert len(indexer_losses(model)) == 2
            language_loss(model, ids)
        with pytest.raises(RuntimeError, match=r"^indexer_losses: expected a call with gradients"):
            indexer_losses(model)

    def test_checkpoints_that_forget_graphs(self) -> None:
        model, ids = small(family="deepseek_v32"), models.tokens(1, TOKENS)
        training(model, "sparse")
        model.activation_checkpointing_enable({"use_reentrant": True})
        model.enable_input_require_grads()
        language_loss(model, ids)
        with pytest.raises(RuntimeError, match=r"use_reentrant=False"):
            indexer_losses(model)

    @pytest.mark.parametrize("kind", ["own", "static", "later"])
    def test_caches(self, kind: str) -> None:
        model, ids = small(), models.tokens(1, TOKENS)
        training(model, "sparse")
        cache: Any = None
        if kind == "own":
            cache = tamis.transformers.Cache(model, 1, 64)
        elif kind == "static":
            cache = StaticCache(model.config, 64)
        else:
            cache = model(ids).cache  # a new one is taken
        with pytest.raises(ValueError, match=r"^cache: expected none in training"):
            model(ids, cache=cache)

    def test_selections_from_elsewhere(self) -> None:
        model, ids = small(), models.tokens(1, TOKENS)
        training(model, "sparse")
        layer = layers_of(model)[0].self_attn
        layer.indexer.register_forward_hook(lambda _m, _i, out: out.clone())
        with pytest.raises(ValueError, match=r"^indices: expected what an indexer of this call"):
            language_loss(model, ids)

    def test_up_projections_that_are_more_than_a_weight(self) -> None:
        class Adapted(torch.nn.Linear):
            pass

        model, ids = small(), models.tokens(1, TOKENS)
        training(model, "sparse")
        layers_of(model)[0].self_attn.kv_b_proj.__class__ = Adapted
        with pytest.raises(
            ValueError, match=r"^kv_b_proj: expected torch.nn.Linear .* got Adapted"
        ):
            language_loss(model, ids)
