"""DeepSeekSparseAttention.attend_training: against inference and float64, stage by stage."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from test_nn_deepseek import LENGTHS, SMALL, checkpoint, new_cache, tokens
from torch import Tensor
from torch.utils.checkpoint import checkpoint as recomputed

from tamis.nn import DeepSeekSparseAttention
from tamis.nn.flavour import Flavour
from tamis.nn.training import Stage

DTYPES = [torch.float32, torch.bfloat16]
STAGES: list[Stage] = ["dense", "warmup", "sparse"]


def small(dtype: torch.dtype = torch.float32, **sizes: Any) -> DeepSeekSparseAttention:
    torch.manual_seed(11)
    layer = DeepSeekSparseAttention(**SMALL | sizes, rope_scaling=None, dtype=torch.bfloat16)
    layer.load_checkpoint(checkpoint(SMALL))
    layer.to(dtype)
    return layer


def hidden(dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(12)
    return torch.cat(tokens(SMALL["hidden"])).to(dtype)


def in_stage(layer: DeepSeekSparseAttention, stage: Stage) -> DeepSeekSparseAttention:
    """What a stage trains requires grad."""
    layer.requires_grad_(stage != "warmup")
    for _, parameter in layer.indexer_parameters():
        parameter.requires_grad_(stage != "dense")
    return layer


def learns(layer: DeepSeekSparseAttention) -> set[str]:
    return {name for name, p in layer.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stage", STAGES)
def test_training_gives_what_inference_gives(stage: Stage, dtype: torch.dtype) -> None:
    topk = 24 if stage == "sparse" else 128
    layer, x = small(dtype, topk=topk), hidden(dtype)
    want = layer(x, LENGTHS, new_cache(layer)).float()
    got = layer.attend_training(x, LENGTHS, stage).hidden.float()
    # In 16 bits rows whose selection differs by a rounding are exempt, one in a thousand elements.
    off = (got - want).abs() > (1e-5 if dtype == torch.float32 else 0.03) * want.abs().max() + 1e-4
    assert off.float().mean() <= 1e-3


def test_a_selection_of_all_keys_is_the_dense_stage() -> None:
    layer, x = small(topk=128), hidden()
    dense = layer.attend_training(x, LENGTHS, "dense").hidden
    sparse = layer.attend_training(x, LENGTHS, "sparse").hidden
    torch.testing.assert_close(sparse, dense, rtol=1e-5, atol=1e-6)


def plain_loss(layer: DeepSeekSparseAttention, x: Tensor) -> Tensor:
    """The dense stage's divergence per token of one sequence, from the checkpoint's formulas."""
    weights = {n: p.detach().double() for n, p in layer.named_parameters()}
    weights |= {n: p.double() for n, p in layer.indexer_parameters()}
    x, t = x.double(), len(x)
    nope, width = SMALL["nope_dim"], SMALL["rope_dim"]
    angles = torch.arange(t)[:, None] * layer.rope.frequencies
    turn = torch.polar(torch.ones_like(angles), angles)

    def rms(y: Tensor, gamma: Tensor) -> Tensor:
        return y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6) * gamma

    def turned(y: Tensor, interleaved: bool) -> Tensor:
        pairs = y.unflatten(-1, (-1, 2)) if interleaved else y.unflatten(-1, (2, -1)).mT
        out = torch.view_as_complex(pairs.contiguous()) * turn.view(t, *[1] * (y.dim() - 2), -1)
        return torch.view_as_real(out).flatten(-2)

    qr = rms(x @ weights["w_dq"], weights["gamma_cq"])
    q = (qr @ weights["w_uq_qr"]).unflatten(1, (SMALL["heads"], -1))
    kv = x @ weights["w_dkv_kr"]
    key = rms(kv[:, :-width], weights["gamma_ckv"])
    s = torch.einsum("tnd,ndl,sl->nts", q[..., :nope], weights["w_uk"], key)
    s = s + torch.einsum("tnr,sr->nts", turned(q[..., nope:], True), turned(kv[:, -width:], True))
    qi = (qr @ weights["w_idx_qb"]).unflatten(1, (SMALL["index_heads"], -1))
    qi = torch.cat((turned(qi[..., :width], False), qi[..., width:]), -1)
    norm = weights["in_gamma_k"], weights["in_beta_k"]
    ki = torch.nn.functional.layer_norm(x @ weights["w_idx_k"], (SMALL["index_dim"],), *norm, 1e-6)
    ki = torch.cat((turned(ki[..., :width], False), ki[..., width:]), -1)
    scale = (SMALL["index_heads"] * SMALL["index_dim"]) ** -0.5
    index = torch.einsum(
        "tg,gts->ts", x @ weights["w_idx_proj"] * scale, torch.einsum("tgd,sd->gts", qi, ki).relu()
    )
    later = torch.ones(t, t, dtype=torch.bool).triu(1)
    p = torch.softmax((s * layer.scale_value).masked_fill(later, -math.inf), -1).mean(0)
    q_index = torch.log_softmax(index.masked_fill(later, -math.inf), -1)
    return (p * (p.clamp_min(1e-8).log() - q_index.masked_fill(later, 0))).sum() / t


def test_the_indexers_loss_and_its_gradients_are_those_of_the_formulas() -> None:
    layer = in_stage(small(), "warmup")
    x = hidden()[:70]
    loss = layer.attend_training(x, [70], "warmup").index_loss
    assert loss is not None
    names, parameters = zip(*layer.indexer_parameters(), strict=True)
    got = torch.autograd.grad(loss, parameters)
    expected = plain_loss(layer, x)
    assert abs(float(loss.detach()) - float(expected.detach())) < 1e-5
    want = torch.autograd.grad(expected, parameters)
    for name, one, other in zip(names, got, want, strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max(), name


def test_each_stage_trains_its_own() -> None:
    indexer = {name for name, _ in small().indexer_parameters()}
    assert indexer == {"w_idx_qb", "w_idx_k", "w_idx_proj", "in_gamma_k", "in_beta_k"}
    rest = {name for name, _ in small().named_parameters()} - indexer
    x = hidden()
    dense = in_stage(small(), "dense")
    out = dense.attend_training(x, LENGTHS, "dense")
    assert out.index_loss is None
    out.hidden.square().mean().backward()
    assert learns(dense) == rest
    warm = in_stage(small(), "warmup")
    loss = warm.attend_training(x, LENGTHS, "warmup").index_loss
    assert loss is not None
    loss.backward()
    assert learns(warm) == indexer


def test_losses_of_the_sparse_stage_do_not_meet() -> None:
    layer, x = in_stage(small(), "sparse"), hidden().requires_grad_()
    indexer = {name for name, _ in layer.indexer_parameters()}
    out = layer.attend_training(x, LENGTHS, "sparse")
    out.hidden.square().mean().backward()
    assert x.grad is not None
    assert learns(layer) == {n for n, _ in layer.named_parameters()} - indexer
    layer.zero_grad()
    x.grad = None
    loss = layer.attend_training(x, LENGTHS, "sparse").index_loss
    assert loss is not None
    loss.backward()
    assert x.grad is None
    assert learns(layer) == indexer


@pytest.mark.parametrize("stage", STAGES)
def test_recomputed_activations_give_the_same_gradients(stage: Stage) -> None:
    def gradients(recompute: bool) -> list[Tensor]:
        layer, x = in_stage(small(), stage), hidden()
        run = layer.attend_training
        args = (x, LENGTHS, stage)
        out = recomputed(run, *args, use_reentrant=False) if recompute else run(*args)
        loss = out.hidden.square().mean() if stage == "dense" else out.index_loss
        assert loss is not None
        loss.backward()
        return [p.grad for p in layer.parameters() if p.grad is not None]

    for one, other in zip(gradients(True), gradients(False), strict=True):
        assert torch.equal(one, other)


def test_what_it_does_not_train_is_refused() -> None:
    layer, x = small(), hidden()
    with pytest.raises(ValueError, match=r"^stage: expected dense, warmup, sparse, got last$"):
        layer.attend_training(x, LENGTHS, "last")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^x: "):
        layer.attend_training(x[1:], LENGTHS, "dense")
    layer.flavour = Flavour(sinks=True)
    with pytest.raises(NotImplementedError, match=r"^flavour: expected sinks False in training"):
        layer.attend_training(x, LENGTHS, "dense")
