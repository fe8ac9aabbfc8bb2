"""The layers compile into one graph, with the bits of eager calls, for all steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import test_nn_compressed
import test_nn_deepseek
import test_nn_native
import torch
from torch import Tensor

from tamis.nn import DeepSeekSparseAttention, PagedCache, PageTable, Step

BACKENDS = ["aot_eager", "inductor"]
# Every backend with every dtype and form of the counts, and every dtype with every form.
WAYS = [
    ("aot_eager", torch.bfloat16, list),
    ("aot_eager", torch.float16, torch.tensor),
    ("inductor", torch.bfloat16, torch.tensor),
    ("inductor", torch.float16, list),
]
# A prompt, a chunk, then steps of one or a few tokens: over the ends of pages and windows.
STEPS = [[50, 20], [31, 11], *[[1, 1]] * 8, [2, 3], [1, 4], [3, 0], [1, 1]]
# One graph for the first shape and one for all others; one of a single token would be a third.
GRAPHS = 2


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Compiler:
    """Makes one graph of a function, and counts the graphs that it makes."""

    def __init__(self, backend: str) -> None:
        self.graphs = 0
        self._backend = torch._dynamo.lookup_backend(backend)

    def __call__(self, graph: Any, inputs: Any) -> Any:
        self.graphs += 1
        return self._backend(graph, inputs)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = torch.compile(function, backend=self, fullgraph=True)
        return compiled


def deepseek(dtype: torch.dtype = torch.bfloat16) -> DeepSeekSparseAttention:
    return DeepSeekSparseAttention(**test_nn_deepseek.SMALL, dtype=dtype)


def hidden(counts: list[int], dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(sum(counts), 256).to(dtype)


def heads(counts: list[int], dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    """Query, key and value."""
    return [torch.randn(sum(counts), *shape).to(dtype) for shape in ((8, 48), (2, 48), (2, 32))]


def assert_same_caches(one: PagedCache, other: PagedCache) -> None:
    assert one.lengths == other.lengths
    assert torch.equal(one.block_table(), other.block_table())
    for name, pages in one.tensors.items():
        assert torch.equal(pages, other.tensors[name])


@pytest.mark.parametrize(("backend", "dtype", "form"), WAYS)
def test_deepseek_compiled_equals_eager(backend: str, dtype: torch.dtype, form: Any) -> None:
    torch.manual_seed(1)
    layer, compiler = deepseek(dtype), Compiler(backend)
    compiled = compiler.compile(layer)
    one, other = (test_nn_deepseek.new_cache(layer) for _ in range(2))
    for counts in STEPS:
        x = hidden(counts, dtype)
        assert torch.equal(compiled(x, form(counts), one), layer(x, counts, other))
    assert_same_caches(one, other)
    assert compiler.graphs == GRAPHS


@pytest.mark.parametrize(("backend", "dtype", "form"), WAYS)
def test_compressed_compiled_equals_eager(backend: str, dtype: torch.dtype, form: Any) -> None:
    torch.manual_seed(2)
    layer, compiler = test_nn_compressed.new_layer(dtype), Compiler(backend)
    compiled = compiler.compile(layer)
    one, other = (test_nn_compressed.new_cache(layer) for _ in range(2))
    for counts in STEPS:
        new = heads(counts, dtype)
        found, want = compiled(*new, form(counts), one), layer(*new, counts, other)
        assert all(map(torch.equal, found, want))
    assert_same_caches(one, other)
    assert compiler.graphs == GRAPHS


@pytest.mark.parametrize(("backend", "dtype", "form"), WAYS)
def test_native_compiled_equals_eager(backend: str, dtype: torch.dtype, form: Any) -> None:
    torch.manual_seed(6)
    layer, compiler = test_nn_native.new_layer(dtype), Compiler(backend)
    compiled = compiler.compile(layer)
    one, other = (test_nn_native.new_cache(layer) for _ in range(2))
    for counts in STEPS:
        x = torch.randn(sum(counts), 96).to(dtype)
        assert torch.equal(compiled(x, form(counts), one), layer(x, counts, other))
    assert_same_caches(one, other)
    assert compiler.graphs == GRAPHS


@pytest.mark.parametrize("whole", [False, True], ids=["layer by layer", "all layers in one graph"])
def test_layers_that_share_a_table_share_graphs(whole: bool) -> None:
    torch.manual_seed(3)
    layers = [deepseek() for _ in range(9)]  # more than the graphs that a function may have
    compiler = Compiler("aot_eager")

    def stack(parts: Any, x: Tensor, step: Step, caches: list[PagedCache]) -> Tensor:
        for part, cache in zip(parts, caches, strict=True):
            x = x + part(x, step, cache)
        return x

    parts = layers if whole else [compiler.compile(layer) for layer in layers]
    compiled = compiler.compile(stack) if whole else stack
    tables = [PageTable(sequences=2, pages=20, page_size=16) for _ in range(2)]
    one, other = ([layer.make_cache(table) for layer in layers] for table in tables)
    for counts in STEPS:
        x = hidden(counts)
        steps = [layers[0].step(counts, table) for table in tables]
        want = stack(layers, x, steps[1], other)
        assert torch.equal(compiled(parts, x, steps[0], one), want)
    assert compiler.graphs == GRAPHS


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_compiled_deepseek_call_that_is_refused_changes_nothing(backend: str) -> None:
    torch.manual_seed(4)
    layer = deepseek()
    compiled, cache = Compiler(backend).compile(layer), test_nn_deepseek.new_cache(layer)
    compiled(hidden([9, 4]), torch.tensor([9, 4]), cache)
    for x, counts, message in (
        (hidden([2, 3]), [2, 2], "x: expected 4 rows, as counts, got 5"),
        (hidden([2, 3]), [6, -1], "counts: expected 2 numbers of at least 0"),
        (hidden([2, 3])[:, 1:], [2, 3], "x: expected shape"),
        (hidden([400, 0]), [400, 0], "counts: expected at most 18 new pages, got 25"),
    ):
        with pytest.raises((ValueError, MemoryError), match=message):
            compiled(x, torch.tensor(counts), cache)
        assert (cache.lengths, cache.table.unused) == ([9, 4], 18)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_compiled_compressed_call_that_is_refused_changes_nothing(backend: str) -> None:
    torch.manual_seed(5)
    layer = test_nn_compressed.new_layer()
    compiled, cache = Compiler(backend).compile(layer), test_nn_compressed.new_cache(layer)
    compiled(*heads([40, 9]), torch.tensor([40, 9]), cache)
    query, key, value = heads([20, 3])
    for new, counts, message in (
        ([query, key, value], [20, 2], "query: expected 22 rows, as counts, got 23"),
        ([query[:, :, 1:], key, value], [20, 3], "query: expected shape"),
        (heads([900, 0]), [900, 0], "counts: expected at most 9 new pages"),
    ):
        with pytest.raises((ValueError, MemoryError), match=message):
            compiled(*new, torch.tensor(counts), cache)
        assert (cache.lengths, cache.table.unused) == ([40, 9], 9)


def test_the_operators_of_the_layers_do_what_their_schemas_say() -> None:
    layer, part = deepseek(), test_nn_compressed.new_layer()
    table, cache = PageTable(sequences=2, pages=20, page_size=4), test_nn_compressed.new_cache(part)
    table.append([3, 9])
    part(*heads([70, 30]), [70, 30], cache)
    rows = cache.table.reserve([9, 33])
    query, *_ = heads([9, 33])
    where = rows.ends, rows.lengths, cache.block_table()
    weights, blocks = (part.key_weight, part.value_weight), torch.zeros(42, 2, 4).int()
    key, value, *windows = cache.tensors.values()
    calls: dict[str, tuple[Any, ...]] = {
        "reserve": (torch.tensor([2, 5]), "x", 7, *table.state()),
        "commit": (*table.state()[:2], rows.lengths, rows.taken, [query]),
        "turn": (torch.arange(7), layer.rope.frequencies, 1.5, torch.bfloat16),
        "compressed_attention": (query, key, value, *windows, *weights, *where, *part.how.values()),
        "selected_attention": (query, key, value, blocks, *where, 64),
    }
    for name, arguments in calls.items():
        operator = getattr(torch.ops.tamis_nn, name).default
        assert set(torch.library.opcheck(operator, arguments).values()) == {"SUCCESS"}
