"""Layers of Native Sparse Attention train: gradients of a float64 layer, and PyTorch's tools."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from attention_formulas import Compress, weigh
from test_nn_compile import Compiler
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from torch_calls import Spy

from tamis.nn import NativeCompressedAttention, NativeSparseAttention

BOUNDS = {torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11, torch.float32: 1e-5}
COUNTS = [40, 5, 70]  # one shorter than a window
SIZES = (8, 4)  # of windows, and from one to the next
BLOCK, WINDOW = 16, 10
SMALL: dict[str, Any] = {
    "hidden": 32,
    "heads": 4,
    "kv_heads": 2,
    "qk_dim": 24,
    "v_dim": 16,
    "compress_block_size": SIZES[0],
    "compress_stride": SIZES[1],
    "select_block_size": BLOCK,
    "select_block_count": 3,
    "window_size": WINDOW,
    "rope_dim": 8,
}


def new_layer(dtype: torch.dtype = torch.float32) -> NativeSparseAttention:
    """Of weights that nothing makes alike: the windows' are no means, and scores are sharp."""
    torch.manual_seed(0)
    layer = NativeSparseAttention(**SMALL, dtype=dtype)
    assert not any(p.requires_grad for p in layer.parameters())
    for weight in layer.compressed.parameters():
        weight.copy_(torch.rand(weight.shape) / 3)
    for linear in (layer.q_proj, layer.k_proj):
        linear.weight.mul_(2)
    layer.requires_grad_()
    return layer


def hidden(counts: list[int], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(sum(counts), 32).to(dtype).requires_grad_()


def new_cache(layer: Any, sequences: int = len(COUNTS)) -> Any:
    return layer.make_cache(sequences=sequences, pages=16, page_size=16)


def turned(x: Tensor, frequencies: Tensor) -> Tensor:
    """The first channels of one sequence's heads, in pairs of one half and the other."""
    angles = torch.arange(len(x)).double()[:, None] * frequencies
    half = angles.shape[1]
    pairs = torch.complex(x[..., :half], x[..., half : 2 * half])
    pairs = pairs * torch.polar(torch.ones_like(angles), angles)[:, None]
    return torch.cat((pairs.real, pairs.imag, x[..., 2 * half :]), -1)


class Stored(torch.autograd.Function):
    """Rounds to a type what is stored in it between two operators, and its gradient."""

    @staticmethod
    def forward(ctx: Any, wide: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype = dtype
        return wide.to(dtype).double()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].to(ctx.dtype).double(), None


def formula(
    layer: NativeSparseAttention, w: dict[str, Tensor], x: Tensor, blocks: Tensor
) -> Tensor:
    """The layer on one sequence; `w` are its weights, `blocks` what it selected.

    Rounded where the layer stores: a result, and the gradient from each of its uses.
    """

    def stored(wide: Tensor) -> Tensor:
        found: Tensor = Stored.apply(wide, layer.q_proj.weight.dtype)
        return found

    def turn(wide: Tensor) -> Tensor:
        return stored(turned(wide, layer.rope.frequencies))

    n, scale = len(x), 24**-0.5
    query = stored(stored(x) @ w["q_proj.weight"].T).reshape(n, 4, 24)
    key = stored(stored(x) @ w["k_proj.weight"].T).reshape(n, 3, 2, 24)
    value = stored(stored(x) @ w["v_proj.weight"].T).reshape(n, 3, 2, 16)
    gates = stored(stored(x) @ w["g_proj.weight"].T + w["g_proj.bias"])
    token, at = torch.arange(n)[:, None, None], torch.arange(n)
    compressed = torch.zeros(n, 4, 16, dtype=torch.double)
    if n >= SIZES[0]:
        windows = Compress([n], sizes=SIZES).formula
        short_key, short_value = (
            stored(windows({"input": t[:, 0], "weight": w[f"compressed.{name}"]}))
            for t, name in ((key, "key_weight"), (value, "value_weight"))
        )
        ends = torch.arange(len(short_key)) * SIZES[1] + SIZES[0] - 1
        compressed = weigh(stored(query), short_key, short_value, (ends <= token).double(), scale)
    query = turn(stored(query))
    listed = (blocks[..., None] == at // BLOCK).any(2) & (at <= token)
    selected = weigh(stored(query), turn(key[:, 1]), value[:, 1], listed.double(), scale)
    near = ((at <= token) & (at > token - WINDOW)).double()
    window = weigh(stored(query), turn(key[:, 2]), value[:, 2], near, scale)
    branches = stored(torch.stack((compressed, selected, window)))
    mixed = torch.einsum("thb,bthd->thd", gates.sigmoid().reshape(n, 4, 3), branches)
    return stored(mixed.flatten(1)) @ w["o_proj.weight"].T


@pytest.mark.parametrize("dtype", BOUNDS)
def test_gradients_are_those_of_a_layer_in_float64(dtype: torch.dtype) -> None:
    layer, x = new_layer(dtype), hidden(COUNTS, dtype)
    out = layer(x, COUNTS)
    grad = (16 * torch.randn(out.shape)).to(dtype)  # far from subnormals of float16
    out.backward(grad)
    blocks = layer.attend(*layer.project(x), COUNTS).blocks
    wide = {name: t.detach().double().requires_grad_() for name, t in layer.named_parameters()}
    wide_x = x.detach().double().requires_grad_()
    parts = zip(wide_x.split(COUNTS), blocks.split(COUNTS), strict=True)
    expected = torch.cat([formula(layer, wide, part, listed) for part, listed in parts])
    expected.backward(grad.double())
    assert (out.double() - expected).abs().max() <= BOUNDS[dtype] * expected.abs().max()
    found = dict(layer.named_parameters())
    if dtype == torch.float32:  # in 16 bits PyTorch rounds each time that it adds to it
        found["x"], wide["x"] = x, wide_x
    assert x.grad is not None
    assert found.keys() == wide.keys()
    for name, tensor in wide.items():
        assert found[name].grad is not None, name
        assert tensor.grad is not None, name
        largest = tensor.grad.abs().max().item()
        assert largest > 0, name
        error = (found[name].grad.double() - tensor.grad).abs().max().item()
        assert error <= BOUNDS[dtype] * largest, (name, error / largest)


@pytest.mark.parametrize("dtype", BOUNDS)
def test_training_computes_what_a_prefill_does(dtype: torch.dtype) -> None:
    layer, x = new_layer(dtype), hidden(COUNTS, dtype)
    found, branches = layer(x, COUNTS), layer.attend(*layer.project(x), COUNTS)
    with torch.no_grad():
        parts = layer.project(x)
        assert torch.equal(found, layer(x, COUNTS, new_cache(layer)))
        assert torch.equal(found, layer(x, COUNTS))
        for one, other in zip(
            branches, layer.attend(*parts, COUNTS, new_cache(layer)), strict=True
        ):
            assert torch.equal(one, other)


def test_a_selection_has_no_gradient() -> None:
    layer = new_layer()
    *attention, blocks = layer.attend(*layer.project(hidden(COUNTS)), COUNTS)
    assert all(branch.requires_grad for branch in attention)
    assert not blocks.requires_grad
    assert not layer.compressed(*(t.requires_grad_() for t in heads()), COUNTS)[1].requires_grad


def heads() -> list[Tensor]:
    """Query, key and value of the compressed branch."""
    return [torch.randn(sum(COUNTS), n, d) for n, d in ((4, 24), (2, 24), (2, 16))]


def test_the_compressed_branch_trains_alone() -> None:
    layer, tensors = new_layer().compressed, heads()
    out, blocks = layer(*(t.requires_grad_() for t in tensors), torch.tensor(COUNTS))
    assert isinstance(layer, NativeCompressedAttention)
    of = [*tensors, *layer.parameters()]
    assert all(grad.any() for grad in torch.autograd.grad(out.square().sum(), of))
    with torch.no_grad():
        assert all(map(torch.equal, layer(*tensors, COUNTS, new_cache(layer)), (out, blocks)))


def test_what_is_frozen_costs_no_gradient() -> None:
    layer, x = new_layer().requires_grad_(False), hidden(COUNTS).detach()
    layer.compressed.value_weight.requires_grad_()
    with (
        Spy("nsa_compress_grad") as compress,
        Spy("nsa_compress_attention_grad") as compressed,
        Spy("nsa_selected_attention_grad") as selected,
        Spy("sliding_window_attention_grad") as window,
    ):
        layer(x, COUNTS).sum().backward()
    assert layer.compressed.value_weight.grad is not None
    assert [len(spy.calls) for spy in (compress, compressed, selected, window)] == [1, 1, 0, 0]
    assert compress.calls[0]["return_input_grad"] is False
    assert compressed.calls[0]["return_query_grad"] is False
    assert compressed.calls[0]["return_key_grad"] is False


def gradients(
    call: Callable[..., Tensor], layer: NativeSparseAttention, x: Tensor, *arguments: Any
) -> tuple[Tensor, tuple[Tensor, ...]]:
    out = call(x, *arguments)
    return out, torch.autograd.grad(out.float().square().sum(), [x, *layer.parameters()])


def test_a_checkpoint_gives_the_same_bits() -> None:
    layer, x = new_layer(torch.bfloat16), hidden(COUNTS, torch.bfloat16)
    _, expected = gradients(layer, layer, x, COUNTS)
    again = partial(checkpoint, layer, use_reentrant=False)
    _, found = gradients(again, layer, x, COUNTS)
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_a_compiled_layer_trains(backend: str) -> None:
    """In one graph for all lengths of as many sequences.

    Operators give the same bits; inductor adds up some of PyTorch's own sums in other orders.
    """
    torch.compiler.reset()
    layer, compiler = new_layer(), Compiler(backend)
    compiled = torch.compile(layer, backend=compiler, fullgraph=True, dynamic=True)
    graphs = []
    for counts in ([40, 70], [33, 90], [64, 19]):
        x = hidden(counts)
        out, found = gradients(compiled, layer, x, counts)
        graphs.append(compiler.graphs)
        expected_out, expected = gradients(layer, layer, x, counts)
        for one, other in zip((out, *found), (expected_out, *expected), strict=True):
            if backend == "aot_eager":
                assert torch.equal(one, other)
            else:
                assert (one - other).abs().max() <= 1e-5 * other.abs().max()
    assert len(set(graphs)) == 1
    torch.compiler.reset()


def test_importance_and_rows_without_windows_are_as_training_wants_them() -> None:
    layer = NativeSparseAttention(**SMALL, dtype=torch.float32)
    assert layer.compressed.how["importance"] == "exact_overlap"
    with Spy("nsa_compress_attention") as spy:
        layer.attend(*layer.project(hidden(COUNTS).detach()), COUNTS)
    (call,) = spy.calls
    assert call["importance"] == "exact_overlap"
    assert call["masked_rows"] == "zero"
    assert call["selection"] == "causal"


CACHE = (
    r"^cache: expected none where a gradient is wanted \(leave it out to train, or call under "
    r"torch\.no_grad\(\)\), got one$"
)


def test_a_cache_is_for_inference() -> None:
    layer, x = new_layer(), hidden(COUNTS)
    cache, plain = new_cache(layer), x.detach()
    query, key, value = (t.detach() for t in layer.project(x))
    compressed = [query, key[:, 0], value[:, 0]]
    for call in (
        lambda: layer(plain, COUNTS, cache),
        lambda: layer.attend(query, key, value, COUNTS, cache),
        lambda: layer.compressed(*compressed, COUNTS, new_cache(layer.compressed)),
    ):
        with pytest.raises(NotImplementedError, match=CACHE):
            call()
        with torch.no_grad():
            call()
        cache.truncate([0] * len(COUNTS))
    layer.requires_grad_(False)
    with pytest.raises(NotImplementedError, match=CACHE):
        layer(x, COUNTS, cache)
    layer(plain, COUNTS, cache)
    assert cache.lengths == COUNTS


def test_lengths_that_are_none_are_refused_by_name() -> None:
    layer, x = new_layer(), hidden([3])
    with pytest.raises(ValueError, match="x: expected 4 rows, as counts, got 3"):
        layer(x, [3, 1])
    with pytest.raises(ValueError, match="counts: expected 2 numbers of at least 0"):
        layer(x, [4, -1])
    with pytest.raises(TypeError, match="counts: expected a sequence of integers"):
        layer(x, 3)
    cache = new_cache(layer, 1)
    step = layer.step([3], cache.table)
    with pytest.raises(
        ValueError, match="counts: expected tokens of each sequence where there is no"
    ):
        layer(x, step)
    assert layer(x[:0], [0, 0]).shape == (0, 32)
    assert layer(x[:0], []).shape == (0, 32)
