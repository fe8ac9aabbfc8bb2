"""Bytes between ranks."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Backend, ProcessGroup, ProcessGroupGloo

from tamis.distributed.errors import RankLost, RemoteError
from tamis.distributed.watch import Place, Watch


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
    join_timeout : float
        seconds to wait here for all ranks to come, over gloo

    Raises
    ------
    RankLost
        A rank did not come in time.
    """

    def __init__(self, group: ProcessGroup | None, timeout: float, join_timeout: float) -> None:
        self.rank = 0 if group is None else dist.get_rank(group)
        self.world = 1 if group is None else dist.get_world_size(group)
        self.group: Backend | ProcessGroup | None = group
        self.step = 0
        self.sent = 0  # bytes handed over for other ranks
        self.dead: RankLost | RemoteError | None = None
        self._watch: Watch | None = None
        if group is not None and dist.get_backend(group) == "gloo":
            self._watch = Watch(group.get_group_store(), self.rank, self.world, timeout)
            weakref.finalize(self, self._watch.stop)
            store = self._watch.join(join_timeout)
            try:
                self.group = ProcessGroupGloo(
                    store, self.rank, self.world, timedelta(seconds=timeout)
                )
            except RuntimeError as error:
                raise self._end(_line(error)) from error

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
            A rank gave up in the middle of a call, or came too late: the group is dead.
        """
        watch = self._watch
        if self.dead is None and watch is not None and watch.settled:
            self.dead = self._end("")
        if self.dead is not None:
            raise self.dead
        if self.group is None:
            return send
        got = torch.empty(sum(of), dtype=torch.uint8)
        if watch is not None:
            watch.place = Place(self.step, True)
        try:
            self.group.alltoall_base(got, send, list(of), list(to)).wait()
        except RuntimeError as error:
            self.dead = self._end(_line(error))
            raise self.dead from error
        if watch is not None:
            watch.place = Place(self.step, False)
        self.sent += sum(to) - to[self.rank]
        return got

    def give_up(self, error: BaseException) -> None:
        """The others wait for what will not come: tells them why, and ends the group."""
        if self.group is not None and self.dead is None:
            self.dead = self._end("", said(error))

    def close(self) -> None:
        """Ends the connections; every later exchange is an error."""
        if self.dead is None:
            self.dead = RemoteError({self.rank: "has closed the group"})
        if self._watch is not None:
            self._watch.stop()
            self.group = None

    def _end(self, reason: str, error: str = "") -> RankLost | RemoteError:
        """Closes connections, so that others notice at once; who is to blame."""
        if self._watch is None:
            return RemoteError({self.rank: error}) if error else RankLost((), self.step, reason)
        self._watch.cry(reason, error)
        self.group = None
        return self._watch.verdict()


def said(error: BaseException) -> str:
    """One line."""
    return _line(f"{type(error).__name__}: {error}")


def _line(text: object) -> str:
    return (str(text).splitlines() or [""])[0]
