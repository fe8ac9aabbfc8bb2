"""Who is to blame when messages do not come: what ranks say of themselves in their store."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch.distributed.distributed_c10d import PrefixStore, Store

from tamis.distributed.errors import RankLost, RemoteError

# Seconds between looks at the store; in trouble, until a rank that has said nothing is lost; and
# after that, until the store is.
_LOOK, _GRACE, _MORE = 0.2, 1.0, 0.7


class Place(NamedTuple):
    """Where a rank is: in which call of its group, and whether it waits there for messages."""

    step: int
    waits: bool


class Verdict(NamedTuple):
    """Why a group is dead: the same on all ranks.

    Parameters
    ----------
    errors : dict of str to str
        of ranks that live, by their numbers
    lost : list of int
        ranks that do not answer, where there are no errors
    why : str
        what was noticed first
    """

    errors: Mapping[str, str]
    lost: Sequence[int]
    why: str


class Watch:
    """A thread that answers for its rank, whatever the rank is doing.

    That a connection broke, or that a message did not come, does not say whose fault it is: the
    neighbour may only have noticed before. So whoever notices something cries trouble; the thread
    of every rank that lives then says so, and the first to have heard all, or to have waited long
    enough, writes the verdict that all raise.

    Only the thread talks to the store, over a connection of its own: over a link that is cut the
    store never answers, and a thread that waits for ever does no harm.

    Parameters
    ----------
    store : Store
        by which the ranks of a process group met
    rank, world : int
    timeout : float
        seconds that ranks wait for messages
    """

    def __init__(self, store: Store, rank: int, world: int, timeout: float) -> None:
        self.place = Place(0, False)
        self._given, self._rank, self._world, self._timeout = store, rank, world, timeout
        self._prefix = self._reason = self._error = ""
        self._found: Verdict | None = None
        self._joined, self._alarm, self._ended = (threading.Event() for _ in range(3))
        self._stopped = False

    def join(self, timeout: float) -> Store:
        """Waits for all ranks; what they, and nobody else, have of the store.

        Raises
        ------
        RankLost
            Some did not come in time, or the store does not answer.
        """
        threading.Thread(target=self._run, args=(timeout,), daemon=True).start()
        self._joined.wait(timeout + _LOOK)
        if self._ended.is_set() or not self._joined.is_set():
            self._reason = f"no word of others within join_timeout={timeout:g} s"
            raise self.verdict()
        return PrefixStore(self._prefix, self._given)

    @property
    def settled(self) -> bool:
        """Whether the group is known to be dead."""
        return self._found is not None

    def cry(self, reason: str, error: str = "") -> None:
        """Trouble: what was noticed, or what went wrong here."""
        self._reason, self._error = reason, error
        self._alarm.set()

    def verdict(self) -> RankLost | RemoteError:
        """What all ranks raise, soon after one has cried."""
        self._ended.wait(_GRACE + _MORE)
        found, step = self._found, self.place.step
        if found is None:
            return RankLost((), step, f"{self._reason}; nor from the store, {_where(self._given)}")
        if found.errors:
            return RemoteError({int(rank): text for rank, text in found.errors.items()})
        return RankLost(found.lost, step, found.why)

    def stop(self) -> None:
        """Ends the thread; others who still expect something of this rank will know."""
        self._stopped = True
        self.cry("", "has closed the group")
        self._ended.wait(_MORE)

    # --- the thread ----------------------------------------------------------------------------

    def _run(self, timeout: float) -> None:
        try:
            number = self._given.add(f"tamis/groups/{self._rank}", 1)
            self._prefix = f"tamis/group/{number}"
            store = PrefixStore(self._prefix, self._given.clone())
            if self._meet(store, timeout):
                self._joined.set()
                while not self._alarm.wait(_LOOK) and not store.check(["trouble"]):
                    pass
                self._answer(store)
                if not self._stopped:
                    self._settle(store)
        except RuntimeError:
            pass  # the store does not answer: there is no verdict
        finally:
            self._ended.set()
            self._joined.set()

    def _meet(self, store: Store, timeout: float) -> bool:
        end, pause = time.monotonic() + timeout, 0.002
        store.set(f"join/{self._rank}", "")
        keys = [f"join/{rank}" for rank in range(self._world)]
        while not store.check(keys):
            if time.monotonic() > end:
                lost = [rank for rank, key in enumerate(keys) if not store.check([key])]
                self._publish(store, Verdict({}, lost, f"waited join_timeout={timeout:g} s"))
                return False
            pause = min(2 * pause, _LOOK)
            time.sleep(pause)
        if store.check(["verdict"]):  # of one that waited for less long
            self._publish(store, Verdict({}, (), ""))
        return not self.settled

    def _answer(self, store: Store) -> None:
        store.set(f"end/{self._rank}", json.dumps([self._error, self._reason, *self.place]))
        if self._error:
            store.set("error", "")
        if not self._stopped:
            store.set("trouble", "")

    def _settle(self, store: Store) -> None:
        """Waits until all is known that can be, or somebody else has judged."""
        end = time.monotonic() + _GRACE
        keys = [f"end/{rank}" for rank in range(self._world)]
        while time.monotonic() < end:
            if any(store.check(known) for known in (["verdict"], ["error"], keys)):
                break
            time.sleep(0.01)
        said = {
            rank: json.loads(store.get(key)) for rank, key in enumerate(keys) if store.check([key])
        }
        self._publish(store, self._judge(said))

    def _judge(self, said: Mapping[int, Sequence[Any]]) -> Verdict:
        errors = {str(rank): error for rank, (error, *_) in said.items() if error}
        lost = [rank for rank in range(self._world) if rank not in said]
        reasons = [f"rank {rank}: {reason}" for rank, (_, reason, *_) in said.items() if reason]
        if errors or lost:
            return Verdict(errors, lost, "".join(reasons[:1]))
        # All live: some take longer than others wait, or they wait for each other.
        places = {str(rank): Place(*place) for rank, (_, _, *place) in said.items()}
        late = {
            rank: f"at work since step {place.step}; others waited timeout={self._timeout:g} s"
            for rank, place in places.items()
            if not place.waits
        }
        waiting = {rank: f"waits for others in step {step}" for rank, (step, _) in places.items()}
        return Verdict(late or waiting, (), "")

    def _publish(self, store: Store, mine: Verdict) -> None:
        """The first one's verdict is that of all."""
        self._found = Verdict(*json.loads(store.compare_set("verdict", "", json.dumps(mine))))


def _where(store: Store) -> str:
    """A name for people."""
    while isinstance(store, PrefixStore):
        store = store.underlying_store
    host, port = (getattr(store, name, None) for name in ("host", "port"))
    return repr(store) if host is None else f"{host}:{port}"
