"""Dealt caches that some ranks save and others load: the same bytes, and what follows of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from ranks import as_processes, as_threads
from test_deepseek import MODES, SIZES, check_caches, layer_of, rows_of
from torch import Tensor

from tamis.distributed import (
    ContextGroup,
    DealtCache,
    DealtSparseAttention,
    DealtTable,
    Layout,
    RemoteError,
    cache_state,
    load_caches,
)
from tamis.nn import DeepSeekSparseAttention

BEFORE = ([5, 130, 57], [60, 1, 200], [1, 1, 1])
AFTER = ([2, 1, 1], [1, 17, 1], [1, 1, 1])
ANOTHER = "rank 1: makes another call than rank 0, or has other counts, lengths or sizes"


class Model(NamedTuple):
    """Two layers, and their caches."""

    layers: list[DealtSparseAttention]
    table: DealtTable
    caches: dict[str, DealtCache]

    def attend(self, counts: list[int], step: int) -> list[Tensor]:
        """What this rank's heads give in both layers, of hidden states made from `step`."""
        random = torch.Generator().manual_seed(step)
        x = torch.randn(sum(counts), 96, generator=random).to(self.layers[0].layer.w_o.dtype)
        made = self.layers[0].step(counts, self.table)
        pairs = zip(self.layers, self.caches.values(), strict=True)
        return [layer.attend(x, made, cache) for layer, cache in pairs]


class Run(NamedTuple):
    """What a rank has in the end; as `test_deepseek.Run`, of one cache of several."""

    outs: list[list[Tensor]]
    layout: Layout
    lengths: list[int]
    block_table: Tensor
    tensors: dict[str, Tensor]
    whole_block_table: Tensor | None


def layers_of(dtype: torch.dtype) -> list[DeepSeekSparseAttention]:
    first = layer_of(dtype)
    return [first, DeepSeekSparseAttention(**SIZES, dtype=dtype)]


def model_of(
    layers: list[DeepSeekSparseAttention],
    options: dict[str, Any],
    *,
    shards: int = 8,
    page_size: int = 4,
    sequences: int = 3,
    tokens: int = 1200,
) -> Model:
    group = ContextGroup(shards=shards, page_size=page_size)
    dealt = [DealtSparseAttention(layer, group, **options) for layer in layers]
    table = dealt[0].make_table(sequences=sequences, tokens=tokens)
    names = [f"layer{i}" for i in range(len(dealt))]
    return Model(dealt, table, {name: dealt[0].make_cache(table) for name in names})


def filled(model: Model) -> None:
    """Sequences that grew, shrank, share pages and left holes."""
    for step, counts in enumerate(BEFORE):
        model.attend(counts, step)
    model.table.truncate([66, 100, 250])
    model.table.reorder([2, 1, 2])
    model.table.truncate([250, 100, 101])


def ended(model: Model) -> dict[str, Run]:
    """Steps that follow, and what there is then."""
    outs = [model.attend(counts, 10 + step) for step, counts in enumerate(AFTER)]
    table = model.table
    whole = None if table.whole is None else table.whole.block_table()
    return {
        name: Run(
            [of_layers[i] for of_layers in outs],
            table.group.layout,
            table.lengths,
            table.own.block_table(),
            cache.tensors,
            whole,
        )
        for i, (name, cache) in enumerate(model.caches.items())
    }


def saved(path: Path, layers: list[DeepSeekSparseAttention], **how: Any) -> dict[str, Run]:
    model = model_of(layers, **how)
    filled(model)
    state = {"model": layers[0].state_dict(), "caches": cache_state(model.table, model.caches)}
    dcp.save(state, checkpoint_id=path)
    return ended(model)


def loaded(
    path: Path,
    layers: list[DeepSeekSparseAttention],
    reader: Callable[[Path], Any] = lambda path: path,
    **how: Any,
) -> dict[str, Run]:
    model = model_of(layers, **how)
    load_caches(reader(path), model.table, model.caches)
    assert model.table.lengths == [250, 100, 101]
    return ended(model)


def whole_rows(runs: list[Run], options: dict[str, Any]) -> dict[str, list[Tensor]]:
    """Of every tensor, the rows of each sequence."""
    found = {}
    for name, pool in runs[0].tensors.items():
        if name == "index_k" and options["index_keys"] == "replicated":
            table = runs[0].whole_block_table
            assert table is not None
            pairs = enumerate(runs[0].lengths)
            found[name] = [pool[table[b].long()].flatten(0, 1)[:n] for b, n in pairs]
        else:
            found[name] = rows_of(runs, name)  # type: ignore[arg-type]
    return found


def check_same(runs: list[dict[str, Run]], wanted: list[dict[str, Run]], options: Any) -> None:
    for name in wanted[0]:
        of_cache, want = [run[name] for run in runs], [run[name] for run in wanted]
        check_caches(of_cache, whole_rows(want, options), options)  # type: ignore[arg-type]
        for i in range(len(AFTER)):
            got, same = (torch.cat([run.outs[i] for run in of], 1) for of in (of_cache, want))
            assert torch.equal(got, same), (name, i)


@pytest.mark.parametrize("options", MODES, ids=lambda o: "-".join(o.values()))
def test_any_number_of_ranks_goes_on_with_the_same_bits(
    options: dict[str, Any], tmp_path: Path
) -> None:
    # 16 bits where they do not ask for more heads than eight ranks have.
    layers = layers_of(torch.bfloat16 if options["mode"] == "states" else torch.float32)
    wanted = as_threads(4, saved, tmp_path, layers, options=options)
    for world in (1, 2, 3, 8):
        check_same(as_threads(world, loaded, tmp_path, layers, options=options), wanted, options)


def test_shards_that_no_number_of_ranks_divides(tmp_path: Path) -> None:
    layers, how = layers_of(torch.float16), {"options": MODES[0], "shards": 7, "page_size": 1}
    wanted = as_threads(5, saved, tmp_path, layers, **how)
    for world in (3, 4):
        runs = as_threads(world, loaded, tmp_path, layers, dcp.FileSystemReader, **how)
        check_same(runs, wanted, MODES[0])


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_processes_save_what_threads_load(tmp_path: Path) -> None:
    layers = layers_of(torch.bfloat16)
    wanted = as_processes(2, saved, tmp_path, layers, options=MODES[0])
    check_same(as_threads(3, loaded, tmp_path, layers, options=MODES[0]), wanted, MODES[0])
    model = layer_of(torch.bfloat16)
    state = {"model": {name: torch.zeros_like(of) for name, of in model.state_dict().items()}}
    dcp.load(state, checkpoint_id=tmp_path)
    assert all(torch.equal(state["model"][name], of) for name, of in layers[0].state_dict().items())


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_rows_of_a_shard_are_saved_sequence_by_sequence(tmp_path: Path) -> None:
    runs = as_threads(3, saved, tmp_path, layers_of(torch.bfloat16), options=MODES[1])
    whole = whole_rows([run["layer1"] for run in runs], MODES[1])
    lengths = (250, 100, 101)
    wanted = {
        "index_k": torch.cat([of[:n] for of, n in zip(whole["index_k"], lengths, strict=True)])
    }
    for name in ("kv", "kr"):
        for shard in range(8):
            wanted[f"{name}.shard{shard}"] = torch.cat(
                [
                    of[:n][torch.arange(n) // 4 % 8 == shard]
                    for of, n in zip(whole[name], lengths, strict=True)
                ]
            )
    found = dcp.FileSystemReader(tmp_path).read_metadata().state_dict_metadata
    assert {key for key in found if key.startswith("caches.layer1")} == {
        f"caches.layer1.{key}" for key in wanted
    }
    state = {f"caches.layer1.{key}": torch.zeros_like(of) for key, of in wanted.items()}
    dcp.load(state, checkpoint_id=tmp_path)
    assert all(torch.equal(state[f"caches.layer1.{key}"], of) for key, of in wanted.items())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint")
    as_threads(2, saved, path, layers_of(torch.bfloat16), options=MODES[0])
    return path


def refused(
    path: Callable[[int], Path],
    layers: list[DeepSeekSparseAttention],
    spoil: Callable[[Model], Any] = lambda model: None,
    prefix: str = "caches.",
    options: dict[str, Any] = MODES[0],
    **sizes: int,
) -> tuple[str, str]:
    """How loading fails, on one of several ranks; what else there is stays as it was."""
    model = model_of(layers, options, **sizes)
    spoil(model)
    lengths = model.table.lengths
    unused = model.table.own.unused
    with pytest.raises((ValueError, MemoryError, RemoteError)) as caught:
        load_caches(path(model.table.group.rank), model.table, model.caches, prefix)
    assert (model.table.lengths, model.table.own.unused) == (lengths, unused)
    model.attend([1] * len(lengths), 0)  # the group goes on
    return type(caught.value).__name__, str(caught.value)


def wide() -> list[DeepSeekSparseAttention]:
    return [DeepSeekSparseAttention(**SIZES | {"kv_lora_rank": 80}, dtype=torch.bfloat16)] * 2


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "shards": ({"shards": 6}, "ValueError shards: expected 8, as saved, got 6"),
    "page_size": ({"page_size": 8}, "ValueError page_size: expected 4, as saved, got 8"),
    "sequences": ({"sequences": 4}, "ValueError table: expected 3 sequences, as saved, got 4"),
    "dtype": (
        {"layers": layers_of(torch.float16)},
        "ValueError caches: expected torch.bfloat16 of shape [{rows}, 1, 64] for layer0.kv.shard"
        "{shard}, as saved, got torch.float16 of [{rows}, 1, 64]",
    ),
    "shape": (
        {"layers": wide()},
        "ValueError caches: expected torch.bfloat16 of shape [{rows}, 1, 64] for layer0.kv.shard"
        "{shard}, as saved, got torch.bfloat16 of [{rows}, 1, 80]",
    ),
    "missing": (
        {"layers": layers_of(torch.bfloat16)[:1]},
        "ValueError caches: expected those saved in {path}, got none besides and "
        "layer1.index_k, layer1.kr, layer1.kv missing",
    ),
    "besides": (
        {"layers": [*layers_of(torch.bfloat16), layer_of(torch.bfloat16)]},
        "ValueError caches: expected those saved in {path}, got "
        "layer2.index_k, layer2.kr, layer2.kv besides and none missing",
    ),
    "replicated": (
        {"options": MODES[1]},
        "ValueError caches: expected those saved in {path}, got "
        "layer0.index_k, layer1.index_k besides and layer0.index_k, layer1.index_k missing",
    ),
    "room": (
        {"tokens": 300},
        "MemoryError table: expected room for what was saved, got counts: expected at most 12 new "
        "pages, got 16",
    ),
    "filled": (
        {"spoil": lambda model: model.attend([1, 0, 2], 0)},
        "ValueError table: expected an empty one, got lengths [1, 0, 2]",
    ),
    "prefix": (
        {"prefix": "model."},
        "ValueError prefix: expected where caches are in {path}, got 'model.': no model.layout",
    ),
    "table": (
        {"spoil": lambda m: m.caches.update(layer0=m.layers[0].make_cache(
            m.layers[0].make_table(sequences=3, tokens=9)))},
        "ValueError caches: expected those of the given table, got layer0 of another",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_by_name(name: str, checkpoint: Path) -> None:
    options, wanted = REFUSED[name]
    how = {"layers": layers_of(torch.bfloat16)} | options
    found = as_threads(1, refused, lambda rank: checkpoint, **how)
    rows = sum(Layout(8, 4, 1).shard_length(n, 0) for n in (250, 100, 101))
    text = wanted.format(path=checkpoint, rows=rows, shard=0)
    assert found == [tuple(text.split(" ", 1))]
    several = as_threads(3, refused, lambda rank: checkpoint, **how)
    # One mistake, made everywhere, in each rank's own words: of its own shards.
    kinds = {(kind, said.partition(":")[0]) for kind, said in several}
    assert kinds == {(found[0][0], found[0][1].partition(":")[0])}


def damaged(checkpoint: Path, folder: Path, name: str, keep: int | None) -> Path:
    """A copy in which one file ends too early, or is not there."""
    shutil.copytree(checkpoint, folder)
    if keep is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes((folder / name).read_bytes()[:keep])
    return folder


@pytest.mark.parametrize("keep", [None, 0, 7000])
def test_damaged_metadata_is_named_by_all_ranks(
    keep: int | None, checkpoint: Path, tmp_path: Path
) -> None:
    path = damaged(checkpoint, tmp_path / "damaged", ".metadata", keep)
    found = as_threads(3, refused, lambda rank: path, layers_of(torch.bfloat16))
    assert found == [found[0]] * 3
    assert found[0][0] == "ValueError"
    assert found[0][1].startswith(f"checkpoint: expected one in {path}, got ")


@pytest.mark.parametrize("keep", [None, 0, 7000])
def test_a_damaged_file_is_named_by_all_ranks(
    keep: int | None, checkpoint: Path, tmp_path: Path
) -> None:
    metadata = dcp.FileSystemReader(checkpoint).read_metadata()
    files = {index.fqn: of.relative_path for index, of in metadata.storage_data.items()}
    file = files["caches.layer0.kv.shard7"]
    path = damaged(checkpoint, tmp_path / "damaged", file, keep)
    found = as_threads(3, refused, lambda rank: path, layers_of(torch.bfloat16))
    assert found == [found[0]] * 3
    kind, text = found[0]
    assert str(path / file) in text
    if files["caches.layout"] != file:  # else all ranks need it
        assert kind == "RemoteError"
        assert "rank 2: ValueError: checkpoint: expected caches.layer0.kv.shard5 in " in text
        assert "rank 0" not in text


def test_ranks_with_other_checkpoints_are_told_so(checkpoint: Path, tmp_path: Path) -> None:
    def other(layers: list[DeepSeekSparseAttention]) -> None:
        model = model_of(layers, MODES[0])
        model.attend([3, 0, 1], 0)
        dcp.save({"caches": cache_state(model.table, model.caches)}, checkpoint_id=tmp_path)

    as_threads(2, other, layers_of(torch.bfloat16))
    paths = [checkpoint, tmp_path]
    found = as_threads(2, refused, lambda rank: paths[rank], layers_of(torch.bfloat16))
    assert (
        found
        == [
            (
                "RemoteError",
                "rank 1: makes another call than rank 0, or has other counts, lengths or sizes",
            )
        ]
        * 2
    )


def test_ranks_that_differ_save_nothing() -> None:
    def differ(layers: list[DeepSeekSparseAttention]) -> str:
        model = model_of(layers, MODES[0])
        caches = dict(list(model.caches.items())[dist.get_rank() :])
        with pytest.raises(RemoteError) as caught:
            cache_state(model.table, caches)
        return str(caught.value)

    found = as_threads(2, differ, layers_of(torch.bfloat16))
    assert found == [ANOTHER] * 2
