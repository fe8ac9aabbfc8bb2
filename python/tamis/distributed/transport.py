"""Bytes between ranks, and who is to blame when they do not come."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Backend, ProcessGroup, ProcessGroupGloo, Store

from tamis.distributed.errors import RankLost, RemoteError

# How long a rank that noticed a failure waits for others to say that they live, and how often each
# looks whether somebody asks.
_GRACE, _LOOK = 1.0, 0.2


def as_bytes(tensor: Tensor) -> Tensor:
    """[nbytes] of uint8; a view where the tensor is contiguous."""
    return tensor.contiguous().view(-1).view(torch.uint8)


class Transport:
    """One collective, an exchange of bytes, over a process group of torch.

    Every byte goes straight from its rank to the one that wants it: gloo's rings of world - 1 hops
    would wait for each neighbour in turn. gloo knows neither int16 nor float8, so all is bytes.

    Parameters
    ----------
    group : ProcessGroup, optional
        whose ranks these are; None: there is one. Of a gloo group the connections are new ones,
        which may fail and end without it; of another its own
    timeout, join_timeout : float
        seconds to wait for a rank, over gloo: in an exchange, and here

    Raises
    ------
    RankLost
        A rank did not come.
    """

    def __init__(self, group: ProcessGroup | None, timeout: float, join_timeout: float) -> None:
        self.rank = 0 if group is None else dist.get_rank(group)
        self.world = 1 if group is None else dist.get_world_size(group)
        self.step = 0
        self.sent = 0  # bytes handed over for other ranks
        self.dead: RankLost | RemoteError | None = None
        self.store: Store | None = None
        self.group: Backend | ProcessGroup | None = group
        if group is not None and dist.get_backend(group) == "gloo":
            self.store = _join(group, self.rank, self.world, join_timeout)
            self.group = ProcessGroupGloo(
                self.store, self.rank, self.world, timedelta(seconds=timeout)
            )
            threading.Thread(target=_answer, args=(weakref.ref(self),), daemon=True).start()

    def exchange(self, send: Tensor, to: Sequence[int], of: Sequence[int]) -> Tensor:
        """What every rank has for this one.

        Parameters
        ----------
        send : Tensor [sum(to)] of uint8
            by destination
        to, of : sequence of int
            bytes for each rank, and from each; the ranks must agree on them

        Returns
        -------
        Tensor [sum(of)] of uint8

        Raises
        ------
        RankLost
            Some rank does not answer: the group is dead.
        RemoteError
            A rank gave up in the middle of a call: the group is dead.
        """
        if self.dead is not None:
            raise self.dead
        if self.group is None:
            return send
        got = torch.empty(sum(of), dtype=torch.uint8)
        try:
            self.group.alltoall_base(got, send, list(of), list(to)).wait()
        except RuntimeError as error:
            self.dead = self._blame(error)
            raise self.dead from error
        self.sent += sum(to) - to[self.rank]
        return got

    def give_up(self, error: BaseException) -> None:
        """The others wait for what will not come: tells them why, and ends the group."""
        if self.group is None or self.dead is not None:
            return
        self.dead = RemoteError({self.rank: said(error)})
        if self.store is not None:
            with contextlib.suppress(RuntimeError):  # its host may be what is lost
                self.store.set(f"failed/{self.rank}", said(error))
        self._abort()

    def close(self) -> None:
        """Ends the connections; every later exchange is an error."""
        if self.dead is None:
            self.dead = RemoteError({self.rank: "the group is closed"})
        if self.store is not None:
            self.group = None

    def _blame(self, error: RuntimeError) -> RankLost | RemoteError:
        """Who neither noticed the failure nor lives is lost."""
        reason = str(error).splitlines()[0]
        if self.store is None:
            return RankLost((), self.step, reason)
        self._abort()
        end, silent = time.monotonic() + _GRACE, list(range(self.world))
        try:
            self.store.set_timeout(timedelta(seconds=_GRACE))
            self.store.set(f"lives/{self.rank}", "")
            self.store.set("asked", "")
            while silent and time.monotonic() < end:
                failed = {
                    rank: self.store.get(f"failed/{rank}").decode()
                    for rank in range(self.world)
                    if self.store.check([f"failed/{rank}"])
                }
                if failed:
                    return RemoteError(failed)
                silent = [rank for rank in silent if not self.store.check([f"lives/{rank}"])]
                time.sleep(_LOOK / 10)
        except RuntimeError as unreachable:
            gone = str(unreachable).splitlines()[0]
            return RankLost((), self.step, f"{reason}; nor does the store that knows: {gone}")
        return RankLost(silent, self.step, reason)

    def _abort(self) -> None:
        """Closes connections, so that others notice at once."""
        if self.store is not None:
            self.group = None


def _answer(of: weakref.ref[Transport]) -> None:
    """Says that this process lives, whatever else it is busy with, when somebody asks."""
    while (transport := of()) is not None and transport.dead is None:
        store, rank = transport.store, transport.rank
        del transport
        assert store is not None
        with contextlib.suppress(RuntimeError):
            if store.check(["asked"]):
                store.set(f"lives/{rank}", "")
                return
        time.sleep(_LOOK)


def _join(group: ProcessGroup, rank: int, world: int, timeout: float) -> Store:
    """Waits for all ranks; part of the store that they met by, which nothing else uses.

    The n-th transport of a rank is the n-th of all others.
    """
    store = group.get_group_store()
    number = store.add(f"tamis/joins/{rank}", 1)
    own = dist.PrefixStore(f"tamis/transport/{number}", store)
    own.set(f"joined/{rank}", "")
    end, missing = time.monotonic() + timeout, list(range(world))
    while missing := [rank for rank in missing if not own.check([f"joined/{rank}"])]:
        if time.monotonic() > end:
            raise RankLost(missing, 0, f"did not join within {timeout:g} s")
        time.sleep(_LOOK / 10)
    return own


def said(error: BaseException) -> str:
    """One line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
