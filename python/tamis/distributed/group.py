"""Ranks that hold one sequence's keys together."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.distributed_c10d import ProcessGroup

import tamis
from tamis.distributed.errors import RemoteError
from tamis.distributed.layout import Layout
from tamis.distributed.transport import Transport, as_bytes, said

# Of a call's first message: whether this rank failed, number of the call, checksum of what must be
# equal everywhere.
HEADER = 16
# Of what failed, in a message of its own.
_TEXT = 1024
_WHAT = "counts, lengths or sizes"


def padded(size: int) -> int:
    """Bytes that so many take in a message: whatever follows is aligned."""
    return -(-size // 16) * 16


class ContextGroup:
    """A process group whose ranks hold the keys of each sequence together.

    Making one is a collective: all ranks of `group` come, within `join_timeout`, and compare what
    results depend on.

    Parameters
    ----------
    group : ProcessGroup or DeviceMesh of one dimension, optional
        by default all processes, or this one alone where torch.distributed is not initialised
    shards : int, optional
        virtual shards, at least as many as ranks; by default as many. Results of `mode="states"`
        have the same bits on any number of ranks with the same number of shards
    page_size : int, default 64
        neighbouring positions that are dealt together
    timeout : float, default 30
        seconds that a rank waits for another in a call; more than the longest time that ranks are
        apart in their work
    join_timeout : float, default 600
        seconds to wait here for all ranks to come

    Attributes
    ----------
    rank, world : int
        of this process among the group's
    layout : Layout
    sent : int
        bytes that this rank has handed over for others

    Raises
    ------
    RankLost
        A rank did not come in time.
    ValueError
        Versions, levels or layouts differ; all ranks raise it, and it names them. Or there are
        fewer shards than ranks.
    """

    def __init__(
        self,
        group: ProcessGroup | DeviceMesh | None = None,
        *,
        shards: int | None = None,
        page_size: int = 64,
        timeout: float = 30.0,
        join_timeout: float = 600.0,
    ) -> None:
        given = group.get_group() if isinstance(group, DeviceMesh) else group
        if given is None and dist.is_available() and dist.is_initialized():
            given = dist.group.WORLD
        if given is not None and dist.get_world_size(given) == 1:
            given = None
        self._transport = Transport(given, timeout, join_timeout)
        self.rank, self.world = self._transport.rank, self._transport.world
        wanted = self.world if shards is None else shards
        self.layout = Layout(wanted, page_size, self.world)
        with self.alike(0) as call:
            level = _level()
            call.agree()
        self.require_equal(
            version=tamis.__version__,
            torch=torch.__version__.split("+")[0],
            level=level,
            shards=wanted,
            page_size=page_size,
        )
        self.layout.checked()

    @property
    def sent(self) -> int:
        """Bytes that this rank has handed over for others."""
        return self._transport.sent

    def require_equal(self, **values: Any) -> None:
        """A collective: raises where ranks differ.

        Parameters
        ----------
        **values
            what JSON can hold

        Raises
        ------
        ValueError
            On all ranks: the first value that differs, and who has which.
        """
        if self.world == 1:
            return
        texts = self._texts(json.dumps(values, sort_keys=True, default=str))
        found = [json.loads(text) for text in texts]
        for name in values:
            ranks: dict[str, list[int]] = {}
            for rank, of in enumerate(found):
                ranks.setdefault(json.dumps(of.get(name)), []).append(rank)
            if len(ranks) > 1:
                held = ", ".join(
                    f"{value} on rank {', '.join(map(str, who))}" for value, who in ranks.items()
                )
                raise ValueError(f"{name}: expected the same on all ranks, got {held}")

    def _texts(self, text: str) -> list[str]:
        """Of every rank; of any length."""
        mine = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
        length = torch.tensor([len(mine)])
        lengths = [int(n) for n in self._gather(length, [8] * self.world).view(torch.int64)]
        texts = self._gather(mine, lengths).split(lengths)
        return [bytes(part.tolist()).decode() for part in texts]

    def _gather(self, mine: Tensor, sizes: Sequence[int]) -> Tensor:
        part = as_bytes(mine)
        to = [len(part)] * self.world
        return self._transport.exchange(part.repeat(self.world), to, sizes)

    def call(self, to: Sequence[int], of: Sequence[int]) -> Call:
        """A call that all ranks make together; see `Call`."""
        return Call(self._transport, to, of)

    def alike(self, size: int) -> Call:
        """A call whose first message has as many bytes for and from all ranks."""
        return self.call([size] * self.world, [size] * self.world)

    def close(self) -> None:
        """Ends the group; the process group that was given stays."""
        self._transport.close()

    def __repr__(self) -> str:
        """What it is, not what it holds."""
        return f"ContextGroup(rank={self.rank}, world={self.world}, layout={self.layout})"


class Call:
    """What ranks do together between two agreements: a context manager.

    The first message carries a header. A rank whose work fails before sends it, too: then all
    ranks raise the same `RemoteError`, or each its own where all fail alike, and the next
    call is right. That is why sizes of the first message are wanted beforehand, from what all ranks
    know. A rank that fails later takes the group with it: the others raise a `RemoteError` that
    says why, at once.

    Parameters
    ----------
    to, of : sequence of int
        bytes of the first message for each rank, and from each
    """

    def __init__(self, transport: Transport, to: Sequence[int], of: Sequence[int]) -> None:
        self._transport, self._to, self._of = transport, to, of
        self._check, self._what = 0, ""  # of what must be equal on all ranks
        self._agreed = transport.world == 1
        self._told = False  # all ranks raise the same already

    def __enter__(self) -> Self:
        """Counts the call."""
        self._transport.step += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tells the others of what went wrong here."""
        if error is None:
            assert self._agreed, "a call ends without its first message"
        elif self._told or self._transport.dead is not None:
            return
        elif self._agreed:
            self._transport.give_up(error)
        else:
            zeros = [torch.zeros(size, dtype=torch.uint8) for size in self._to]
            self._first(zeros, error)

    def agree(self, check: object = None, what: str = _WHAT) -> None:
        """A first message of nothing but the header.

        Parameters
        ----------
        check : object
            what must be equal on all ranks, by its `repr`
        what : str
            that, in words
        """
        self.compare(check, what)
        self.exchange([torch.empty(0, dtype=torch.uint8)] * self._transport.world)

    def compare(self, check: object, what: str = _WHAT) -> None:
        """As `agree`, but with the first message, whatever it carries."""
        self._what = what
        self._check = zlib.crc32(repr(check).encode()) & 0x7FFFFFFF

    def exchange(self, parts: Sequence[Tensor], of: Sequence[int] | None = None) -> list[Tensor]:
        """What every rank has for this one.

        Parameters
        ----------
        parts : sequence of Tensor
            by destination
        of : sequence of int, optional
            bytes from each rank; by default as many as are sent to it

        Returns
        -------
        list of Tensor of uint8
            by rank
        """
        send = [as_bytes(part) for part in parts]
        if self._transport.world == 1:
            return send
        if not self._agreed:
            if [len(part) for part in send] != list(self._to):
                raise AssertionError("the first message has other sizes than were agreed")
            return self._first(send, None)
        return self._exchange(send, [len(part) for part in send] if of is None else of)

    def gather(self, mine: Tensor, sizes: Sequence[int] | None = None) -> list[Tensor]:
        """The same tensor for all: bytes of every rank's, which have `sizes` bytes."""
        return self.exchange([mine] * self._transport.world, sizes)

    def _exchange(
        self, send: Sequence[Tensor], of: Sequence[int], header: Tensor | None = None
    ) -> list[Tensor]:
        before = [] if header is None else [header]
        offset, pieces, to = len(before) * HEADER, [], []
        for part in send:
            size = offset + padded(len(part))
            pieces += [*before, part, part.new_zeros(size - offset - len(part))]
            to.append(size)
        sizes = [offset + padded(size) for size in of]
        got = self._transport.exchange(torch.cat(pieces), to, sizes).split(sizes)
        return [part[: offset + size] for part, size in zip(got, of, strict=True)]

    def _first(self, send: Sequence[Tensor], error: BaseException | None) -> list[Tensor]:
        transport = self._transport
        mine = torch.tensor([0 if error is None else 1, transport.step, self._check, 0])
        header = as_bytes(mine.to(torch.int32))
        got = self._exchange(send, self._of, header)
        self._agreed = True
        headers = torch.stack([part[:HEADER] for part in got]).view(torch.int32)
        failed = headers[:, 0].nonzero().flatten().tolist()
        self._told = bool(failed) or bool((headers != headers[0]).any())
        if failed:
            texts = self._texts(None if error is None else said(error))
            if len(failed) == transport.world and len({t.partition(":")[0] for t in texts}) == 1:
                return []  # one mistake, made everywhere: its own error is what a caller expects
            raise RemoteError({rank: texts[rank] for rank in failed}) from error
        if self._told:
            steps, checks = headers[:, 1].tolist(), headers[:, 2].tolist()
            raise RemoteError(
                {
                    rank: f"makes another call than rank 0: step {steps[rank]}, not {steps[0]}"
                    if steps[rank] != steps[0]
                    else f"makes another call than rank 0, or has other {self._what}"
                    for rank in range(transport.world)
                    if (steps[rank], checks[rank]) != (steps[0], checks[0])
                }
            )
        return [part[HEADER:] for part in got]

    def _texts(self, text: str | None) -> list[str]:
        mine = torch.zeros(_TEXT, dtype=torch.uint8)
        coded = (text or "").encode()[:_TEXT]
        mine[: len(coded)] = torch.tensor(list(coded), dtype=torch.uint8)
        got = self._exchange([mine] * self._transport.world, [_TEXT] * self._transport.world)
        return [bytes(part.tolist()).rstrip(b"\0").decode(errors="replace") for part in got]


def _level() -> str:
    """The level of this process's kernels, as a plan says it."""
    values, indices = (tamis.Shape((1, 1, 1), dtype) for dtype in ("float32", "int32"))
    found = tamis.plan("merge_topk", values=values, indices=indices, sparse_count=1)
    return found.explanation.split(",")[0].split()[-1]
