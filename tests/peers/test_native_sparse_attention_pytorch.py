"""SparseAttention of native-sparse-attention-pytorch beside Tamis, branch by branch.

Compared, on the tensors that hooks find in one causal forward pass:

* compressed keys: its module is given a compression that is Tamis's, a weight for every place of a
  window. Its first window ends with stride `d`, so that the input begins with `l - d` zeros here.
  Places have no positions of their own: their parameters stay zeros.
* attention to them, with its memory keys before them. It shows a window from the token after its
  last; `key_limits` says so here.
* fine attention, over the blocks that it selects, and the token's own.
* its window, which has `sliding_window_size` keys beside the token's own.
* all three through its gates.

Not compared is how it selects. That is by means of scores, before the softmax, not by sums of
probabilities: another rule than the paper's. Nor its other compressions, its decoding, its Triton
kernels and FlexAttention's form, which want a GPU.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from native_sparse_attention_pytorch import SparseAttention
from precision import FP32
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import tamis

from .peer_bounds import assert_agree, attention_error, unit

BATCH, TOKENS, HEADS, KV_HEADS, DIM = 2, 77, 8, 2, 16
MEMORY, WINDOW, COUNT = 2, 12, 3
SEEN = 1e-10  # it hides blocks of a smaller share

Way = dict[str, Any]


@dataclass(frozen=True)
class Rules:
    """What a run sets: windows of l every d, select blocks of l', lists per kv head or per head."""

    size: int
    stride: int
    block: int
    shared: bool
    dtype: torch.dtype

    def __str__(self) -> str:
        """Name of the parameter in test names."""
        lists = "kv heads" if self.shared else "heads"
        return f"{self.size} {self.stride} {self.block}, lists of {lists}, {self.dtype}"


RULES = [
    Rules(8, 8, 8, shared=True, dtype=torch.float32),
    Rules(8, 4, 16, shared=True, dtype=torch.float32),
    Rules(8, 4, 16, shared=True, dtype=torch.bfloat16),
    Rules(12, 4, 8, shared=False, dtype=torch.float32),
]


class WeightedSum(nn.Module):
    """A compression: a weight for every place of a window and kv head, summed in fp32."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, KV_HEADS))

    def forward(self, windows: Tensor) -> Tensor:
        """[batch, heads, windows, places, dim] without places."""
        found = torch.einsum("bhwnd,nh->bhwd", windows.float(), self.weight.float())
        return found.to(windows.dtype)


class Branches(TorchFunctionMode):
    """Notes what is selected, and the three outputs where they meet."""

    def __init__(self) -> None:
        super().__init__()
        self.selected: Any = None
        self.outputs: list[Tensor] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Calls it, and keeps what it gave or got."""
        result = function(*args, **(kwargs or {}))
        if function is Tensor.topk:
            self.selected = result
        if function is torch.stack and len(args[0]) == 3:
            self.outputs = list(args[0])
        return result


@dataclass
class Pass:
    """What a forward pass had: tensors are [batch, tokens, heads, dim]."""

    query: Tensor
    key: Tensor
    value: Tensor
    rotated_query: Tensor
    rotated_key: Tensor
    weights: tuple[Tensor, Tensor]
    compressed: tuple[Tensor, Tensor]
    memory: Tensor  # [2, heads, MEMORY, dim]
    lists: Tensor  # [batch, tokens, kv heads or heads, COUNT + 1]
    gates: Tensor  # [batch, tokens, heads, 3]
    branches: list[Tensor]
    gated: Tensor


def by_token(x: Tensor) -> Tensor:
    """[batch, heads, tokens, ..] as [batch, tokens, heads, ..]."""
    return x.transpose(1, 2).contiguous()


@functools.cache
def forward_pass(rules: Rules) -> Pass:
    """The module's, with random parameters."""
    torch.manual_seed(23)
    module: Any = SparseAttention(
        dim=64,
        dim_head=DIM,
        heads=HEADS,
        kv_heads=KV_HEADS,
        sliding_window_size=WINDOW,
        compress_block_size=rules.size,
        compress_block_sliding_stride=rules.stride,
        selection_block_size=rules.block,
        num_selected_blocks=COUNT,
        num_compressed_mem_kv=MEMORY,
        query_heads_share_selected_kv=rules.shared,
        causal=True,
        compress_mlp=WeightedSum(rules.size),
        strategy_combine_mlp=nn.Linear(64, 3 * HEADS),
    )
    for parameter in (module.compress_mem_kv, module.k_compress.weight, module.v_compress.weight):
        nn.init.normal_(parameter, std=rules.size**-0.5)
    module.to(rules.dtype)
    seen: dict[str, Any] = {}
    for name in ("to_qkv", "k_compress", "v_compress", "to_strategy_combine"):
        getattr(module, name).register_forward_hook(
            lambda _, __, output, name=name: seen.update({name: output})
        )
    for name in ("sliding_window", "combine_heads"):
        getattr(module, name).register_forward_pre_hook(
            lambda _, given, name=name: seen.update({name: given})
        )
    with torch.no_grad(), Branches() as noted:
        module(torch.randn(BATCH, TOKENS, 64).to(rules.dtype))
    query, key, value = (
        x.unflatten(-1, (-1, DIM)) for x in seen["to_qkv"].split(module.qkv_split, dim=-1)
    )
    rotated_query, rotated_key, _ = seen["sliding_window"]
    blocks = noted.selected.indices.where(
        noted.selected.values > SEEN, torch.full_like(noted.selected.indices, -1)
    )
    own = (torch.arange(TOKENS) // rules.block)[:, None].expand(*blocks.shape[:3], 1)
    return Pass(
        query,
        key,
        value,
        by_token(rotated_query),
        by_token(rotated_key[:, :: HEADS // KV_HEADS]),
        (module.k_compress.weight.detach(), module.v_compress.weight.detach()),
        (by_token(seen["k_compress"]), by_token(seen["v_compress"])),
        module.compress_mem_kv.detach(),
        by_token(torch.cat([own, blocks], dim=-1)).int(),
        by_token(seen["to_strategy_combine"]),
        [by_token(branch) for branch in noted.outputs],
        seen["combine_heads"][0].unflatten(-1, (HEADS, DIM)),
    )


# --- Tamis, by its rules ------------------------------------------------------------------------

SCALE = DIM**-0.5


def sums(length: int) -> list[int]:
    """Inclusive prefix sums of equal lengths."""
    return [length * (b + 1) for b in range(BATCH)]


def compress(x: Tensor, weight: Tensor, rules: Rules, way: Way) -> Tensor:
    """Windows that end with every stride."""
    whole = TOKENS // rules.stride * rules.stride
    zeros = x.new_zeros(BATCH, rules.size - rules.stride, KV_HEADS, DIM)
    padded = torch.cat([zeros, x[:, :whole]], dim=1)
    found: Tensor = tamis.nsa_compress(
        padded.flatten(0, 1),
        weight,
        act_seq_len=sums(padded.shape[1]),
        compress_block_size=rules.size,
        compress_stride=rules.stride,
        **way,
    )
    return found.unflatten(0, (BATCH, -1))


def with_memory(run: Pass) -> tuple[Tensor, ...]:
    """Keys and values of its compressed branch."""
    pairs = zip(run.memory.transpose(1, 2), run.compressed, strict=True)
    return tuple(torch.cat([m.expand(BATCH, -1, -1, -1), c], dim=1) for m, c in pairs)


def attend_compressed(run: Pass, rules: Rules, way: Way) -> Tensor:
    """Token p sees the memory and p / d windows."""
    key, value = with_memory(run)
    limits = MEMORY + torch.arange(TOKENS) // rules.stride
    found = tamis.nsa_compress_attention(
        run.query.flatten(0, 1),
        key.flatten(0, 1),
        value.flatten(0, 1),
        key_limits=limits.int().repeat(BATCH),
        scale_value=SCALE,
        head_num=HEADS,
        compress_block_size=1,
        compress_stride=1,
        select_block_size=1,
        select_block_count=0,
        actual_seq_qlen=sums(TOKENS),
        actual_cmp_seq_kvlen=sums(key.shape[1]),
        accuracy="fp32",
        **way,
    )
    return found.attention_out.unflatten(0, (BATCH, -1))


def attend_selected(run: Pass, rules: Rules, way: Way) -> Tensor:
    """Over its lists; where every head has its own, it is a kv head of its own."""
    key, value = run.rotated_key, run.value
    if not rules.shared:
        key, value = (x.repeat_interleave(HEADS // KV_HEADS, dim=2) for x in (key, value))
    found = tamis.nsa_selected_attention(
        run.rotated_query.flatten(0, 1),
        key.flatten(0, 1),
        value.flatten(0, 1),
        run.lists.flatten(0, 1),
        scale_value=SCALE,
        head_num=HEADS,
        select_block_size=rules.block,
        select_block_count=COUNT + 1,
        actual_seq_qlen=sums(TOKENS),
        actual_seq_kvlen=sums(TOKENS),
        accuracy="fp32",
        **way,
    )
    return found.attention_out.unflatten(0, (BATCH, -1))


def attend_window(run: Pass, way: Way) -> Tensor:
    """A token's own key and as many before it as its window has."""
    found = tamis.sliding_window_attention(
        run.rotated_query,
        run.rotated_key,
        run.value,
        scale_value=SCALE,
        window_size=WINDOW + 1,
        **way,
    )
    return found.attention_out


def both_errors(query: Tensor, key: Tensor, value: Tensor) -> float:
    """Tamis's and the module's, which in bfloat16 rounds a score twice, and probabilities."""
    rounded = 2 if query.dtype == torch.bfloat16 else 0
    own = attention_error(query, key, value, SCALE)
    return own + attention_error(query, key, value, SCALE, rounded=rounded)


# --- tests --------------------------------------------------------------------------------------


@pytest.fixture(params=RULES, ids=str)
def rules(request: pytest.FixtureRequest) -> Rules:
    """Each in turn."""
    found: Rules = request.param
    return found


def test_compressed_keys_agree(rules: Rules, way: Way) -> None:
    run = forward_pass(rules)
    for x, weight, expected in zip((run.key, run.value), run.weights, run.compressed, strict=True):
        size = (weight.double().abs().sum(0).max() * x.double().abs().max()).numpy()
        bound = 2 * float(FP32.of_sum(rules.size, size))
        assert_agree("compressed", compress(x, weight, rules, way), expected, bound)


def test_attention_to_compressed_keys_agrees(rules: Rules, way: Way) -> None:
    run = forward_pass(rules)
    bound = both_errors(run.query, *with_memory(run))
    assert_agree("compressed", attend_compressed(run, rules, way), run.branches[0], bound)


def test_fine_attention_to_its_blocks_agrees(rules: Rules, way: Way) -> None:
    run = forward_pass(rules)
    assert (run.lists[..., -1] >= 0).any(), "no token has selected as many blocks as it may"
    assert (run.lists < 0).any(), "all tokens have"
    bound = both_errors(run.rotated_query, run.rotated_key, run.value)
    assert_agree("fine", attend_selected(run, rules, way), run.branches[1], bound)


def test_sliding_windows_agree(rules: Rules, way: Way) -> None:
    run = forward_pass(rules)
    bound = both_errors(run.rotated_query, run.rotated_key, run.value)
    assert_agree("window", attend_window(run, way), run.branches[2], bound)


def test_all_branches_through_its_gates_agree(rules: Rules, way: Way) -> None:
    run = forward_pass(rules)
    branches = [
        attend_compressed(run, rules, way),
        attend_selected(run, rules, way),
        attend_window(run, way),
    ]
    found = torch.einsum("bnhs,sbnhd->bnhd", run.gates, torch.stack(branches))
    rotated = (run.rotated_query, run.rotated_key, run.value)
    bound = both_errors(run.query, *with_memory(run)) + 2 * both_errors(*rotated)
    # Gates are below 1: of either side every branch is rounded, and their sum has an error.
    size = torch.einsum("bnhs,sbnhd->bnhd", run.gates, torch.stack(run.branches).abs())
    magnitude = size.double().numpy()
    roundings = 2 * (unit(run.query.dtype) * magnitude + FP32.of_sum(3, magnitude))
    assert_agree("gated", found, run.gated, bound + roundings)
