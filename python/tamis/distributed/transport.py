"""Bytes between ranks, and who is to blame when they do not come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Backend, ProcessGroup, ProcessGroupGloo, Store

from tamis.distributed.errors import RankLost, RemoteError

# How long ranks that noticed a failure wait for others to say that they noticed it, too.
_GRACE = 1.0


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
    timeout : float
        seconds to wait for a rank, over gloo
    """

    def __init__(self, group: ProcessGroup | None, timeout: float) -> None:
        self.rank = 0 if group is None else dist.get_rank(group)
        self.world = 1 if group is None else dist.get_world_size(group)
        self.store: Store | None = None
        self.group: Backend | ProcessGroup | None = group
        if group is not None and dist.get_backend(group) == "gloo":
            self.store = _own_store(group, self.rank)
            self.group = ProcessGroupGloo(
                self.store, self.rank, self.world, timedelta(seconds=timeout)
            )
        self.step = 0
        self.sent = 0  # bytes handed over for other ranks
        self.dead: RankLost | RemoteError | None = None

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
        self._note(f"error: {said(error)}")
        self._abort()

    def close(self) -> None:
        """Ends the connections; every later exchange is an error."""
        if self.dead is None:
            self.dead = RemoteError({self.rank: "the group is closed"})
        if self.store is not None:
            self.group = None

    def _blame(self, error: RuntimeError) -> RankLost | RemoteError:
        """Who noticed is alive; who does not say so in time is lost."""
        self._note("here")
        self._abort()
        end, reports = time.monotonic() + _GRACE, {self.rank: "here"}
        reason = str(error).splitlines()[0]
        while len(reports) < self.world and time.monotonic() < end:
            try:
                reports |= self._reports()
            except RuntimeError as unreachable:
                gone = str(unreachable).splitlines()[0]
                return RankLost((), self.step, f"{reason}; nor does the store: {gone}")
            time.sleep(0.02)
        failed = {
            rank: text.removeprefix("error: ")
            for rank, text in reports.items()
            if text.startswith("error: ")
        }
        if failed:
            return RemoteError(failed)
        lost = [rank for rank in range(self.world) if rank not in reports]
        return RankLost(lost, self.step, reason)

    def _reports(self) -> dict[int, str]:
        if self.store is None:
            raise RuntimeError("this kind of group has none")
        found = {}
        for rank in range(self.world):
            key = f"end/{rank}"
            if self.store.check([key]):
                found[rank] = self.store.get(key).decode()
        return found

    def _note(self, text: str) -> None:
        if self.store is None:
            return
        try:
            self.store.set_timeout(timedelta(seconds=_GRACE))
            self.store.set(f"end/{self.rank}", text)
        except RuntimeError:
            pass  # its host may be what is lost: `_blame` says so

    def _abort(self) -> None:
        """Closes connections, so that others notice at once."""
        if self.store is not None:
            self.group = None


def _own_store(group: ProcessGroup, rank: int) -> Store:
    """Part of the store that a group's ranks met by, which no other transport uses."""
    store, number = group.get_group_store(), torch.zeros(1, dtype=torch.int64)
    if rank == 0:
        number.fill_(store.add("tamis/transports", 1))
    dist.broadcast(number, group_src=0, group=group)
    return dist.PrefixStore(f"tamis/transport/{int(number)}", store)


def said(error: BaseException) -> str:
    """One line."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
