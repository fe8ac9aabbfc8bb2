"""Models of Tamis's operators compile and export."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import tamis.torch  # noqa: F401  registers the operators

ops = torch.ops.tamis


def bf16(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).bfloat16()


class Compressed(nn.Module):
    """Keys made shorter, attention over them: the length of the sequence is the tensors'."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(bf16(8, 2) / 8, requires_grad=False)
        self.project = nn.Linear(64, 4 * 32, bias=False, dtype=torch.bfloat16)
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor, key: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        length = x.shape[0]
        query = self.project(x).view(length, 4, 32)
        windows = {"compress_block_size": 8, "compress_stride": 4}
        short = ops.nsa_compress(key, self.weight, act_seq_len=[length], **windows)
        out, blocks, *_ = ops.nsa_compress_attention(
            query,
            short,
            short,
            scale_value=0.2,
            head_num=4,
            select_block_size=16,
            select_block_count=2,
            actual_seq_qlen=[length],
            actual_cmp_seq_kvlen=[short.shape[0]],
            **windows,
        )
        return torch.relu(out.flatten(1)), blocks


class Scored(nn.Module):
    """What every block counts for: as many as the keys make."""

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        *_, scores = ops.nsa_compress_attention(
            query,
            key,
            key,
            scale_value=0.2,
            head_num=4,
            compress_block_size=8,
            compress_stride=4,
            select_block_size=16,
            select_block_count=0,
            actual_seq_qlen=[query.shape[0]],
            actual_cmp_seq_kvlen=[key.shape[0]],
            causal=True,
            actual_raw_seq_kvlen=[4 * key.shape[0]],
            return_block_scores=True,
        )
        found: torch.Tensor = 2 * scores
        return found


class Masked(nn.Module):
    """Masks by position and by keyword, one of them absent."""

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        how: dict[str, Any] = {
            "scale_value": 0.2,
            "head_num": 4,
            "compress_block_size": 32,
            "compress_stride": 16,
            "select_block_size": 32,
            "select_block_count": 2,
            "actual_seq_qlen": [query.shape[0]],
            "actual_cmp_seq_kvlen": [key.shape[0]],
        }
        hidden, *_ = ops.nsa_compress_attention(query, key, key, mask, **how)
        _, blocks, *_ = ops.nsa_compress_attention(query, key, key, None, mask[:, ::2], **how)
        _, same, *_ = ops.nsa_compress_attention(query, key, key, topk_mask=mask[:, ::2], **how)
        return hidden, blocks, same


class Cached(nn.Module):
    """A cache that is written and then read in one graph."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(bf16(64, 32) / 8, requires_grad=False)
        self.head = nn.Parameter(bf16(64, 4), requires_grad=False)
        self.gamma = nn.Parameter(torch.ones(32).bfloat16(), requires_grad=False)
        self.beta = nn.Parameter(torch.zeros(32).bfloat16(), requires_grad=False)

    def forward(
        self, x: torch.Tensor, rope: torch.Tensor, slots: torch.Tensor, cache: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        before = cache.float().sum()
        _, weights = ops.indexer_prolog(
            x,
            self.weight,
            self.gamma,
            self.beta,
            rope,
            rope,
            slots,
            cache,
            w_idx_proj=self.head,
        )
        return before, cache.float().sum() + weights.float().sum()


def compressed_inputs(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    return bf16(length, 64), bf16(length, 2, 32)


def masked_inputs(length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    mask = torch.arange(20) > torch.arange(length)[:, None] % 17 + 2
    return bf16(length, 4, 32), bf16(20, 2, 32), mask


def cached_inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    slots = torch.tensor([3, 17, 4, -1, 20, 9])
    return bf16(6, 64), bf16(6, 16), slots, torch.zeros(2, 16, 1, 32, dtype=torch.bfloat16)


def assert_equal(found: Any, expected: Any) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_a_model_compiles_into_one_graph_at_any_length() -> None:
    model = Compressed()
    compiled = torch.compile(model, fullgraph=True)
    for length in (40, 56, 72):
        inputs = compressed_inputs(length)
        assert_equal(compiled(*inputs), model(*inputs))


def test_block_scores_have_as_many_as_the_keys_make() -> None:
    model = Scored()
    compiled = torch.compile(model, fullgraph=True)
    keys = torch.export.Dim("keys", min=5, max=4096)  # two blocks: one is a case of its own
    shapes = {"query": None, "key": {0: keys}}
    query = bf16(3, 4, 32)
    example = (query, bf16(40, 2, 32))
    program = torch.export.export(model, example, dynamic_shapes=shapes).module()
    for length in (5, 40, 57, 300):
        inputs = (query, bf16(length, 2, 32))
        expected = model(*inputs)
        assert expected.shape == (3, 2, -(-length // 4))
        assert torch.equal(program(*inputs), expected)
        assert torch.equal(compiled(*inputs), expected)


def test_optional_tensors_are_bound_in_graphs_by_position_and_by_keyword() -> None:
    model = Masked()
    compiled = torch.compile(model, fullgraph=True)
    shapes = {"query": {0: torch.export.Dim("length", min=2, max=4096)}, "key": None}
    shapes["mask"] = shapes["query"]
    program = torch.export.export(model, masked_inputs(40), dynamic_shapes=shapes).module()
    for length in (40, 57):
        inputs = masked_inputs(length)
        hidden, blocks, same = model(*inputs)
        unmasked, free, _ = model(*inputs[:2], torch.zeros_like(inputs[2]))
        assert not torch.equal(hidden, unmasked)
        assert not torch.equal(blocks, free)
        assert torch.equal(blocks, same)
        assert_equal(compiled(*inputs), (hidden, blocks, same))
        assert_equal(program(*inputs), (hidden, blocks, same))


def test_a_compiled_model_updates_its_cache() -> None:
    model, inputs = Cached(), cached_inputs()
    expected = model(*inputs)
    again = cached_inputs()
    assert_equal(torch.compile(model, fullgraph=True)(*again), expected)
    assert torch.equal(again[-1], inputs[-1])
    assert inputs[-1].any()


def test_a_model_exports_with_a_length_that_stays_free() -> None:
    model = Compressed()
    length = torch.export.Dim("length", min=16, max=4096)
    shapes = {"x": {0: length}, "key": {0: length}}
    program = torch.export.export(model, compressed_inputs(40), dynamic_shapes=shapes).module()
    for other in (16, 57, 300):
        inputs = compressed_inputs(other)
        assert_equal(program(*inputs), model(*inputs))


def test_an_exported_model_updates_its_cache() -> None:
    model, inputs = Cached(), cached_inputs()
    expected = model(*inputs)
    program = torch.export.export(model, cached_inputs()).module()
    again = cached_inputs()
    assert_equal(program(*again), expected)
    assert torch.equal(again[-1], inputs[-1])


def test_tracing_refuses_tensors_that_require_grad() -> None:
    """Of an operator that has no backward."""
    key, weight = bf16(1, 40, 1, 32), bf16(32).requires_grad_()

    def shadow(key: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = ops.quantize_index_keys(key * weight)
        return found

    with pytest.raises(RuntimeError, match="key: expected a tensor without gradient"):
        torch.compile(shadow, fullgraph=True)(key, weight)
    with torch.no_grad():
        assert torch.equal(
            torch.compile(shadow, fullgraph=True)(key, weight), shadow(key, weight.detach())
        )
