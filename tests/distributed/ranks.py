"""Runs a function as several ranks: threads of this process, or processes over gloo."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist


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
    store = dist.HashStore()
    results: list[Any] = [None] * world
    failures: list[str] = []

    def rank_of(rank: int) -> None:
        try:
            dist.init_process_group("threaded", rank=rank, world_size=world, store=store)
            results[rank] = work(*arguments, **options)
        except BaseException as error:
            failures.append(f"rank {rank}: {traceback.format_exc()}")
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


# As `./dev test --distributed` wants it: all numbers of ranks, and long disturbances.
EVERYTHING = os.environ.get("TAMIS_TEST_DISTRIBUTED") == "all"

_begun: Callable[[], None] | None = None


def ready() -> None:
    """Tells the process that started this rank, one of `Processes`, that its steps have begun."""
    assert _begun is not None
    _begun()


def _process(
    rank: int,
    world: int,
    port: int,
    path: str,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> None:
    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, world, is_master=False)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    global _begun
    _begun = partial(store.set, f"ready/{rank}", "")
    try:
        result = ("returned", work(*arguments, **options))
    except BaseException:
        result = ("raised", traceback.format_exc())
    torch.save(result, path)


class Processes:
    """Ranks that run, for tests that disturb them.

    The store outlives any rank, as torchrun's does.
    """

    def __init__(
        self, world: int, work: Callable[..., Any], *arguments: Any, **options: Any
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch", "torch.distributed", "tamis.distributed"])
        self._folder = tempfile.TemporaryDirectory()
        self._store = dist.TCPStore("127.0.0.1", 0, world, is_master=True, wait_for_workers=False)
        self._paths = [Path(self._folder.name) / str(rank) for rank in range(world)]
        self.ranks = [
            context.Process(
                target=_process,
                args=(rank, world, self._store.port, str(path), work, arguments, options),
                daemon=True,
            )
            for rank, path in enumerate(self._paths)
        ]
        for process in self.ranks:
            process.start()

    def wait_until_ready(self, timeout: float = 60.0) -> None:
        """Returns when every rank has called `ready`."""
        keys = [f"ready/{rank}" for rank in range(len(self.ranks))]
        self._store.wait(keys, timedelta(seconds=timeout))

    def join(self, ranks: list[int], timeout: float) -> None:
        """Returns when these have ended, or after `timeout` seconds."""
        end = time.monotonic() + timeout
        for rank in ranks:
            self.ranks[rank].join(max(end - time.monotonic(), 0))

    def results(self, timeout: float = 120.0) -> list[Any]:
        """What each rank returned, or its traceback as text; None of one that was killed."""
        for process in self.ranks:
            process.join(timeout)
            if process.exitcode is None:
                process.kill()
                process.join()
        found = []
        for path in self._paths:
            kind, result = torch.load(path, weights_only=False) if path.exists() else ("", None)
            assert kind != "raised", result
            found.append(result)
        return found


def as_processes(
    world: int, work: Callable[..., Any], *arguments: Any, **options: Any
) -> list[Any]:
    """What `work(*arguments, **options)` returns on each rank of a gloo group of processes."""
    return Processes(world, work, *arguments, **options).results()
