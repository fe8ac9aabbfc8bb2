"""What the device's calls do here: names, results, order of statistics, complaints."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from python_calls import layer_case, to_library
from torch import Tensor
from torch_calls import accuracies_of

import tamis.npu_compat
from tamis.npu_compat.options import options

torch_npu = importlib.import_module("torch_npu")
custom = importlib.import_module("custom")

SIZES = (32, 16, 64, 2)  # l, d, l', selected blocks


@pytest.fixture(autouse=True)
def _as_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for option, value in vars(options).items():
        monkeypatch.setattr(options, option, value)


def random(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator).bfloat16()


def attention(query: Tensor, key: Tensor, q_prefix: list[int], n_prefix: list[int]) -> Any:
    return torch_npu.npu_nsa_compress_attention(
        query,
        key,
        key,
        0.125,
        query.shape[1],
        *SIZES,
        actual_seq_qlen=q_prefix,
        actual_cmp_seq_kvlen=n_prefix,
    )


def test_modules_and_namespaces_lead_to_the_same_calls() -> None:
    code = (  # in another process: this import changes torch_npu
        "import tamis.npu_compat, custom, custom_ops\n"
        "print(custom_ops.npu_lightning_indexer is custom.npu_lightning_indexer)\n"
    )
    assert run_python(code, PYTHONPATH=os.pathsep.join(sys.path)) == "True"
    x, weight = random(80, 2, 16), random(32, 2)
    expected = tamis.nsa_compress(
        x, weight, act_seq_len=[80], compress_block_size=32, compress_stride=16
    )
    for compress in (torch_npu.npu_nsa_compress, torch.ops.npu.npu_nsa_compress):
        assert torch.equal(compress(x, weight, 32, 16, actual_seq_len=[80]), expected)


def test_the_gradient_of_compression_is_that_of_the_forward() -> None:
    x, weight = random(80, 2, 16).requires_grad_(), random(32, 2).requires_grad_()
    out = torch_npu.npu_nsa_compress(x, weight, 32, 16, actual_seq_len=[40, 80])
    grad = random(*out.shape)
    expected = torch.autograd.grad(out, [x, weight], grad)
    for call in (torch_npu.npu_nsa_compress_grad, torch.ops.npu.npu_nsa_compress_grad):
        # A leading 0, as the device's own test has it, is a sequence without tokens.
        for lengths in ([40, 80], [0, 40, 80]):
            found = call(grad, x.detach(), weight.detach(), 32, 16, actual_seq_len=lengths)
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    with pytest.raises(ValueError, match=r"^grad: "):
        torch_npu.npu_nsa_compress_grad(grad[1:], x, weight, 32, 16, actual_seq_len=[40, 80])


def test_decoding_compresses_into_the_cache_that_it_returns() -> None:
    pages, weight = random(5, 16, 2, 16), random(32, 2)
    table = torch.tensor([[2, 0, 4], [1, 3, -1]], dtype=torch.int32)
    cache = random(6, 2, 16)
    before = cache.clone()
    how: dict[str, Any] = {"block_table": table, "actual_seq_len": [48, 31]}
    slots = torch.tensor([4, 1], dtype=torch.int32)
    for compress in (torch_npu.npu_nsa_compress_infer, torch.ops.npu.npu_nsa_compress_infer.cache):
        cache.copy_(before)
        assert compress(pages, weight, slots, 32, 16, 16, **how, cache=cache) is cache
        rows = torch.cat([pages[0], pages[4]])  # tokens 16 to 47 of the first sequence
        window = tamis.nsa_compress(
            rows, weight, act_seq_len=[32], compress_block_size=32, compress_stride=16
        )
        assert torch.equal(cache[4:5], window)
        rest = torch.tensor([0, 1, 2, 3, 5])  # the second sequence is too short
        assert torch.equal(cache[rest], before[rest])
    for name in how:
        with pytest.raises(ValueError, match=rf"^{name}: required, but absent$"):
            torch_npu.npu_nsa_compress_infer(
                pages, weight, slots, 32, 16, 16, **(how | {name: None}), cache=cache
            )
    with pytest.raises(ValueError, match=r"^actual_seq_len: expected one entry per sequence"):
        torch_npu.npu_nsa_compress_infer(
            pages, weight, slots, 32, 16, 16, **(how | {"actual_seq_len": [48]}), cache=cache
        )


def test_statistics_lie_as_the_device_lays_them_down() -> None:
    lengths, heads = [2, 3], 2
    query, key = random(5, heads, 32), random(20, heads, 32)
    _, _, *found = attention(query, key, [2, 5], [9, 20])
    _, _, maximum, total, _ = torch.ops.tamis.nsa_compress_attention(
        query,
        key,
        key,
        scale_value=0.125,
        head_num=heads,
        compress_block_size=32,
        compress_stride=16,
        select_block_size=64,
        select_block_count=2,
        actual_seq_qlen=[2, 5],
        actual_cmp_seq_kvlen=[9, 20],
    )
    for dumped, values in zip(found, (maximum, total), strict=True):
        assert dumped.shape == (5, heads, 8)
        assert dumped.is_contiguous()
        flat = dumped.flatten()
        assert (flat[40:48] == values[3, 0]).all()  # sequence 1, head 0, its token 1
        for b, begin in enumerate((0, 2)):
            for h in range(heads):
                for t in range(lengths[b]):
                    at = (begin * heads + h * lengths[b] + t) * 8
                    assert (flat[at : at + 8] == values[begin + t, h]).all()
        assert np.array_equal(dumped, tamis.case.device_statistics(values.numpy(), lengths))
        assert np.array_equal(tamis.case.statistics(dumped, lengths, heads), values)


def test_calls_of_training_have_the_backwards_of_the_operators() -> None:
    """Those behind them; results in other shapes and order stand in no way."""
    tensors = [random(70, 2, 32), random(70, 1, 32), random(70, 1, 32), random(16, 1)]
    query, key, value, weight = (t.requires_grad_() for t in tensors)
    lengths = {"actual_seq_qlen": [70], "actual_seq_kvlen": [70]}
    short = {"actual_seq_qlen": [70], "actual_cmp_seq_kvlen": [55]}
    ids = torch.tensor([3, 0], dtype=torch.int32).expand(70, 1, 2).contiguous()
    selected = {"scale_value": 0.125, "head_num": 2, "select_block_size": 16}
    windows = {"compress_block_size": 16, "compress_stride": 1}
    attend = torch.ops.tamis.nsa_compress_attention
    for call, same in (
        (
            torch_npu.npu_nsa_compress(key, weight, 16, 1, actual_seq_len=[70]),
            torch.ops.tamis.nsa_compress(key, weight, act_seq_len=[70], **windows),
        ),
        (
            torch_npu.npu_nsa_compress_attention(
                query, key[:55], value[:55], 0.125, 2, 16, 1, 16, 2, **short
            )[0],
            attend(
                query,
                key[:55],
                value[:55],
                select_block_count=2,
                **selected,
                **windows,
                **short,
            )[0],
        ),
        (
            torch_npu.npu_nsa_select_attention(query, key, value, ids, 0.125, 2, 16, 2, **lengths)[
                0
            ],
            torch.ops.tamis.nsa_selected_attention(
                query, key, value, ids, select_block_count=2, sparse_mode=0, **selected, **lengths
            )[0],
        ),
    ):
        grad = random(*call.shape)
        found, expected = (
            torch.autograd.grad(out, (query, key, value, weight), grad, allow_unused=True)
            for out in (call, same)
        )
        assert sum(g is not None for g in found) >= 2
        for one, other in zip(found, expected, strict=True):
            assert (one is None) == (other is None)
            assert one is None or torch.equal(one, other)


def test_sequences_without_queries_or_keys_are_taken() -> None:
    query, key = random(3, 2, 32), random(4, 1, 32)
    out, blocks, maximum, total = attention(query, key, [0, 3], [4, 4])
    assert not out.any()
    assert (blocks == -1).all()
    assert (maximum == -torch.inf).all()
    assert not total.any()
    assert attention(query[:0], key[:0], [], [])[2].shape == (0, 2, 8)


def infer(layout: str, query: Tensor, **options: Any) -> Any:
    cache, table = random(3, 16, 2 * 32), torch.tensor([[2, 0], [1, -1]], dtype=torch.int32)
    options = {"block_table": table, "actual_cmp_seq_kvlen": [19, 7], **options}
    return torch_npu.npu_nsa_compress_attention_infer(
        query, cache, cache, 0.125, 4, 2, 64, 3, 16, 32, 16, layout=layout, **options
    )


def test_decoding_takes_both_layouts_and_ignores_topk_mask() -> None:
    query = random(2, 4, 32)
    out, blocks = infer("TND", query)
    assert out.shape == (2, 4, 32)
    assert blocks.shape == (2, 2, 3)
    padded = infer("BSND", query[:, None], topk_mask=torch.ones(1, 5, dtype=torch.bool))
    assert torch.equal(padded[0][:, 0], out)
    assert torch.equal(padded[1][:, 0], blocks)
    # Counts per sequence, not prefix sums: three tokens, two of them in the first sequence.
    many, _ = infer("TND", random(3, 4, 32), actual_seq_qlen=[2, 1])
    assert many.shape == (3, 4, 32)


@pytest.mark.parametrize("accuracy", ["storage", "fp32"])
def test_accuracy_is_the_users_choice(accuracy: str) -> None:
    tamis.npu_compat.enable(accuracy=accuracy)
    query, key = random(3, 4, 32), random(5, 2, 32)
    given = {"query": query, "key": key, "q_prefix": [3], "n_prefix": [5]}
    assert accuracies_of(attention, given) == [accuracy]
    assert accuracies_of(infer, {"layout": "TND", "query": query[:2]}) == [accuracy]


def test_inputs_need_not_be_contiguous() -> None:
    query, key = random(5, 2, 32), random(20, 2, 32)
    strided = query.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not strided.is_contiguous()
    one, other = attention(query, key, [5], [20]), attention(strided, key, [5], [20])
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_complaints_are_the_librarys_line() -> None:
    x, weight = random(80, 2, 16), random(32, 2)
    with pytest.raises(ValueError, match=r"^actual_seq_len: required, but absent$"):
        torch_npu.npu_nsa_compress(x, weight, 32, 16)
    with pytest.raises(ValueError, match=r"^block_table: required, but absent$"):
        infer("TND", random(2, 4, 32), block_table=None)
    with pytest.raises(ValueError, match=r"^actual_cmp_seq_kvlen: required, but absent$"):
        infer("TND", random(2, 4, 32), actual_cmp_seq_kvlen=None)
    wrong_shape = r"weight: expected shape \[.* = 32, heads N = 2\], got \[16, 2\]"
    with pytest.raises(ValueError, match=wrong_shape):
        torch_npu.npu_nsa_compress(x, weight[:16], 32, 16, actual_seq_len=[80])


def test_strict_refuses_what_the_documents_forbid() -> None:
    x, weight = random(80, 2, 24), random(24, 2)  # document 001: multiples of 16

    def compress() -> Tensor:
        found: Tensor = torch_npu.npu_nsa_compress(x, weight, 24, 8, actual_seq_len=[80])
        return found

    def decode() -> Any:  # document 000: a key dim of 192
        return infer("TND", random(2, 4, 32))

    def attend() -> Any:  # document 004: a latent dim of 512
        query, ids = random(1, 2, 3, 64), torch.zeros(1, 2, 1, 4, dtype=torch.int32)
        key = random(1, 5, 1, 64)
        return custom.npu_sparse_flash_attention(query, key, key, ids, 0.1, 1)

    def wide() -> list[Any]:
        return [compress(), *decode(), attend()]

    before = wide()
    tamis.npu_compat.enable(strict=True)
    for call in (compress, decode, attend):
        with pytest.raises(ValueError, match="strict"):
            call()
    tamis.npu_compat.enable(strict=False)
    assert all(torch.equal(a, b) for a, b in zip(before, wide(), strict=True))


def test_calls_compile_to_the_operators_inside() -> None:
    query, key = random(5, 2, 32), random(20, 2, 32)
    operators: list[str] = []

    def backend(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Any:
        operators.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    def call(query: Tensor, key: Tensor) -> Any:
        return attention(query, key, [2, 5], [9, 20])

    found = torch.compile(call, backend=backend, fullgraph=True)(query, key)
    assert all(torch.equal(a, b) for a, b in zip(found, call(query, key), strict=True))
    assert any(name.startswith("tamis.nsa_compress_attention") for name in operators)


def test_compiled_and_exported_programs_update_the_caches() -> None:
    class Layer(torch.nn.Module):
        def forward(self, *arguments: Tensor) -> Tensor:
            out: Tensor = torch.ops.custom.npu_sparse_attention_pto(*arguments)
            return out + 1

    tamis.npu_compat.enable(weight_format="ND")
    case = layer_case("bfloat16")
    arguments = [to_library("torch", array) for array in case.tensors.values()]
    caches = [list(case.tensors).index(f"{name}_cache") for name in ("kv", "kr", "index_k")]
    layer = Layer()
    exported = torch.export.export(layer, tuple(arguments)).module()
    runs = [layer, torch.compile(layer, backend="aot_eager", fullgraph=True), exported]
    results = []
    for run in runs:
        own = [tensor.clone() for tensor in arguments]
        results.append([run(*own), *(own[i] for i in caches)])
        assert not any(torch.equal(own[i], arguments[i]) for i in caches)
    for found in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found, results[0], strict=True))


def run_python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_nothing_is_touched_where_the_real_module_is_importable(tmp_path: Path) -> None:
    (tmp_path / "torch_npu.py").write_text("REAL = True\n", encoding="utf-8")
    code = (
        "import sys, torch, tamis.npu_compat as compat\n"
        "assert 'torch_npu' not in sys.modules and 'tamis.torch' not in sys.modules\n"
        "compat.enable(strict=True)\n"
        "assert not hasattr(torch, 'npu') and not hasattr(torch.Tensor, 'npu')\n"
        "assert 'custom' not in sys.modules and 'custom_ops' not in sys.modules\n"
        "assert not hasattr(torch.ops.npu, 'npu_nsa_compress')\n"
        "import torch_npu\n"
        "print(compat.REAL, torch_npu.REAL)\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    assert run_python(code, PYTHONPATH=path) == "torch_npu True"


def test_operators_that_others_registered_stay_theirs() -> None:
    code = (
        "import torch\n"
        "theirs = torch.library.Library('custom', 'DEF')\n"
        "theirs.define('npu_lightning_indexer(Tensor query) -> Tensor')\n"
        "import tamis.npu_compat, importlib.util\n"
        "assert importlib.util.find_spec('torch_npu') is None\n"
        "print(tamis.npu_compat.REAL)\n"
    )
    path = os.pathsep.join(sys.path)
    assert run_python(code, PYTHONPATH=path) == "torch.ops.custom.npu_lightning_indexer"


def test_a_module_named_custom_stays_the_users(tmp_path: Path) -> None:
    (tmp_path / "custom.py").write_text("MINE = True\n", encoding="utf-8")
    code = (
        "import tamis.npu_compat, custom, custom_ops\n"
        "assert tamis.npu_compat.REAL is None\n"
        "print(custom.MINE, hasattr(custom, 'npu_lightning_indexer'),"
        " hasattr(custom_ops, 'npu_lightning_indexer'))\n"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    assert run_python(code, PYTHONPATH=path) == "True False True"


def test_tamis_alone_brings_no_torch_and_no_device() -> None:
    code = (
        "import sys, tamis, numpy as np\n"
        "tamis.nsa_compress(np.ones((32, 1, 8), np.float16), np.ones((32, 1), np.float16),"
        " act_seq_len=[32], compress_block_size=32, compress_stride=16)\n"
        "print([m for m in ('torch', 'torch_npu', 'custom') if m in sys.modules])\n"
    )
    assert run_python(code, PYTHONPATH=os.pathsep.join(sys.path)) == "[]"
