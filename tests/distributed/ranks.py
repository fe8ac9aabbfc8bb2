"""Runs a function as several ranks: threads of this process, or processes over gloo."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

# As `./dev test --distributed` wants it: all numbers of ranks.
EVERYTHING = os.environ.get("TAMIS_TEST_DISTRIBUTED") == "long"


def as_threads(world: int, work: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """What `work(*arguments, **options)` returns on each rank of torch's multi-threaded group."""
    from torch.testing._internal.distributed.multi_threaded_pg import (
        ProcessLocalGroup,
        _install_threaded_pg,
        _uninstall_threaded_pg,
    )

    torch.set_num_threads(1)
    torch._C._distributed_c10d._set_thread_isolation_mode(True)
    _install_threaded_pg()
    ProcessLocalGroup.reset()  # of what failed before
    store = dist.HashStore()
    results: list[Any] = [None] * world
    failures: list[str] = []

    def rank_of(rank: int) -> None:
        try:
            dist.init_process_group("threaded", rank=rank, world_size=world, store=store)
            results[rank] = work(*arguments, **options)
        except BaseException as error:
            said = f"rank {rank}: {traceback.format_exc()}"
            # Who was only told of another's failure comes after that one.
            failures.insert(len(failures) if "SystemExit" in said else 0, said)
            ProcessLocalGroup.exception_handle(error)
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()

    threads = [threading.Thread(target=rank_of, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _uninstall_threaded_pg()
    torch._C._distributed_c10d._set_thread_isolation_mode(False)
    assert not failures, failures[0]
    return results


def _process(
    rank: int,
    enter: Callable[[], None] | None,
    world: int,
    address: tuple[str, int],
    path: str,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> None:
    if enter is not None:
        enter()
    torch.set_num_threads(1)
    store = dist.TCPStore(*address, world, is_master=False)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    try:
        result = ("returned", work(*arguments, **options))
    except BaseException:
        result = ("raised", traceback.format_exc())
    torch.save(result, path)


def new_context() -> Any:
    """How processes start."""
    context = multiprocessing.get_context("forkserver")
    # The first custom operator that is called imports _dynamo, for a second or more.
    context.set_forkserver_preload(["pytest", "torch._dynamo", "tamis.distributed"])
    return context


def new_store() -> Any:
    """By which ranks meet; it ends with this process."""
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def _serve(path: str) -> None:
    store = new_store()
    Path(path).write_text(f"{store.host} {store.port}")
    threading.Event().wait()


class StoreProcess:
    """A store whose host can be killed."""

    def __init__(self, folder: Path) -> None:
        path = folder / "store"
        self.process = new_context().Process(target=_serve, args=(str(path),), daemon=True)
        self.process.start()
        while not (path.exists() and path.read_text()):
            time.sleep(0.01)
        host, port = path.read_text().split()
        self.address = host, int(port)


class Processes:
    """Ranks that run, for tests that disturb them.

    The store outlives any rank, as torchrun's does, unless the caller has one, at `store`. Each
    rank calls its `enter` first.
    """

    def __init__(
        self,
        world: int,
        work: Callable[..., Any],
        *arguments: Any,
        store: tuple[str, int] | None = None,
        enter: Sequence[Callable[[], None]] | None = None,
        **options: Any,
    ) -> None:
        context = new_context()
        self._folder = tempfile.TemporaryDirectory()
        if store is None:
            self._store = new_store()
            store = self._store.host, self._store.port
        self._paths = [Path(self._folder.name) / str(rank) for rank in range(world)]
        self.ranks = [
            context.Process(
                target=_process,
                args=(
                    rank,
                    enter and enter[rank],
                    world,
                    store,
                    str(path),
                    work,
                    arguments,
                    options,
                ),
                daemon=True,
            )
            for rank, path in enumerate(self._paths)
        ]
        for process in self.ranks:
            process.start()

    def results(self, timeout: float = 120.0, of: Sequence[int] | None = None) -> list[Any]:
        """What each rank returned, or its traceback as text; None of one that was killed."""
        found = []
        for rank in range(len(self.ranks)) if of is None else of:
            self.ranks[rank].join(timeout)
            self.kill([rank])
            path = self._paths[rank]
            kind, result = torch.load(path, weights_only=False) if path.exists() else ("", None)
            assert kind != "raised", result
            found.append(result)
        return found

    def kill(self, ranks: Sequence[int] | None = None) -> None:
        """Ends those that still run."""
        for rank in range(len(self.ranks)) if ranks is None else ranks:
            if self.ranks[rank].exitcode is None:
                self.ranks[rank].kill()
                self.ranks[rank].join()


def as_processes(
    world: int, work: Callable[..., Any], *arguments: Any, **options: Any
) -> list[Any]:
    """What `work(*arguments, **options)` returns on each rank of a gloo group of processes."""
    return Processes(world, work, *arguments, **options).results()
