"""What can go wrong between ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class RemoteError(RuntimeError):
    """A call failed on some ranks, and therefore on all; the group goes on.

    Attributes
    ----------
    messages : dict of int to str
        what went wrong, by rank of the group
    """

    def __init__(self, messages: Mapping[int, str]) -> None:
        self.messages = dict(messages)
        super().__init__("; ".join(f"rank {rank}: {text}" for rank, text in self.messages.items()))


class RankLost(RuntimeError):  # noqa: N818  (names the ranks, as torch names its)
    """Ranks no longer answer: they were killed, are stopped, or cut off. The group is dead.

    Start again from a checkpoint, at any number of ranks.

    Attributes
    ----------
    ranks : tuple of int
        ranks of the group that do not answer; empty where nobody could say
    step : int
        calls of the group that had begun, this one among them
    """

    def __init__(self, ranks: Sequence[int], step: int, why: str) -> None:
        self.ranks, self.step = tuple(ranks), step
        who = f"rank {', '.join(map(str, ranks))}" if ranks else "some rank"
        super().__init__(f"step {step}: no answer from {who} ({why})")
