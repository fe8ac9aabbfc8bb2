"""What torch tensors can be that arrays of numpy cannot. Collected where torch is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch_calls import arguments, overload, results
from torch_forms import forms

import tamis


def compress(x: Any, weight: Any, **options: Any) -> Any:
    how: dict[str, Any] = {"act_seq_len": [64], "compress_block_size": 32, "compress_stride": 16}
    return tamis.nsa_compress(x, weight, **how, **options)


def tokens() -> Any:
    return torch.randn(64, 4, 32, generator=torch.Generator().manual_seed(1)).bfloat16()


def weights() -> Any:
    return torch.randn(32, 4, generator=torch.Generator().manual_seed(2)).bfloat16()


def test_tensors_that_require_grad_are_refused_but_under_no_grad() -> None:
    weight = weights().requires_grad_()
    with pytest.raises(NotImplementedError, match="weight: expected a tensor without gradient"):
        compress(tokens(), weight)
    with torch.no_grad():
        found = compress(tokens(), weight)
    assert torch.equal(found, compress(tokens(), weight.detach()))
    assert not found.requires_grad


def test_other_devices_are_refused() -> None:
    with pytest.raises(
        NotImplementedError, match=r"weight: expected memory of the CPU, got .*meta"
    ):
        compress(tokens(), weights().to("meta"))


def test_sparse_layouts_are_refused() -> None:
    with pytest.raises(ValueError, match="weight: expected a strided tensor"):
        compress(tokens(), weights().to_sparse())


def test_unknown_dtypes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weight: expected a dtype .* got torch\.complex64"):
        compress(tokens(), weights().to(torch.complex64))


def test_outputs_lie_on_the_cpu_whatever_the_default_device_is() -> None:
    x, w = tokens(), weights()
    exact = compress(x, w)
    with torch.device("meta"):
        found = compress(x, w)
    assert torch.equal(found, exact)


def test_a_negated_view_is_resolved() -> None:
    scores = torch.view_as_complex(torch.ones(1, 2, 3, 2)).conj().imag  # the bit, not the sign
    assert scores.is_neg()
    indices = torch.arange(6, dtype=torch.int32).reshape(1, 2, 3)
    found = tamis.merge_topk(scores, indices, sparse_count=2)
    assert torch.equal(found.sparse_values, torch.full((2, 2), -1.0))


def test_parameters_and_transposed_tensors_are_taken() -> None:
    weight = torch.nn.Parameter(weights(), requires_grad=False)
    assert torch.equal(compress(tokens(), weight), compress(tokens(), weights()))
    transposed = weights().T.contiguous().T
    assert torch.equal(compress(tokens(), transposed), compress(tokens(), weights()))


def test_outputs_are_written_into_views() -> None:
    wide = torch.zeros(3, 8, 32, dtype=torch.bfloat16)
    found = compress(tokens(), weights(), output=wide[:, ::2])
    assert found.data_ptr() == wide.data_ptr()
    assert torch.equal(wide[:, ::2], compress(tokens(), weights()))
    assert not wide[:, 1::2].any()
    with pytest.raises(ValueError, match="output: expected a contiguous last dimension"):
        compress(tokens(), weights(), output=torch.zeros(3, 4, 64).bfloat16()[:, :, ::2])


@pytest.mark.filterwarnings("ignore:The PyTorch API of")
def test_tensors_that_mean_more_than_their_memory_are_refused() -> None:
    ones = torch.ones(64, 4, 32)
    wrong = {
        "a nested one": torch.nested.nested_tensor([ones, ones]),
        "NestedTensor": torch.nested.nested_tensor([ones, ones], layout=torch.jagged),
        "MaskedTensor": torch.masked.masked_tensor(ones, ones > 0),
    }
    for kind, tensor in wrong.items():
        with pytest.raises(TypeError, match=f"^input: expected a plain tensor .*, got {kind}$"):
            compress(tensor, weights())


def is_table(name: str, tensor: torch.Tensor) -> bool:
    """Whether the contract has it in 32 bits alone."""
    names = ("block_table", "window_block_table", "sparse_indices", "indices")
    return tensor.dtype == torch.int32 and name in names


def test_torch_operators_take_integers_of_64_bits(tmp_path: Path) -> None:
    seen = set()
    for label, case in forms(tmp_path):
        exact = results(case.op, overload(case.op)(*arguments(case)[0], **arguments(case)[1]))
        wide = {n: t for n, t in case.tensors.items() if is_table(n, t)}
        for name, table in wide.items():
            strided = table.long().repeat_interleave(2, dim=-1)[..., ::2]
            case.tensors[name] = strided
            positional, named = arguments(case)
            found = results(case.op, overload(case.op)(*positional, **named))
            assert all(torch.equal(found[n], t) for n, t in exact.items()), label
            seen.add((case.op, name))
            if not case.op.startswith("sparse_"):  # strict has more to say there
                with pytest.raises(ValueError, match=f"^{name}: expected dtype int32, got int64"):
                    overload(case.op)(*positional, **{**named, "strict": True})
            case.tensors[name] = table
    assert len(seen) >= 4


def test_torch_operators_refuse_integers_that_do_not_fit() -> None:
    indices = torch.tensor([[1, 2**31]])
    with pytest.raises(ValueError, match=r"^indices: expected integers that fit int32, got 2147"):
        torch.ops.tamis.localize_indices(indices, rank=0, world=2)
    with pytest.raises(ValueError, match=r"^indices: expected integers that fit int32, got 2147"):
        tamis.localize_indices(indices, rank=0, world=2)


def test_lists_of_torch_operators_may_be_tensors() -> None:
    exact = compress(tokens(), weights())
    for lengths in (torch.tensor([64]), torch.tensor([64], dtype=torch.int32), (64,)):
        found = torch.ops.tamis.nsa_compress(
            tokens(), weights(), act_seq_len=lengths, compress_block_size=32, compress_stride=16
        )
        assert torch.equal(found, exact)
