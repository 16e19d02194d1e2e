"""The signs of life that sessions give in etcd, and how one that gives none any more is ended by whoever sees that.

etcd ends its leases itself, but in whole seconds, twice a second, and after another leader was elected from then on.
So each renewal changes a key, the beat of its session, in the transaction that proves the session. A watcher that saw
a beat unchanged for a ttl of its own clock removes the session in a transaction that wants that very beat: either the
owner's renewal comes first, and nothing is removed, or it finds its session gone, and its deadline has passed.
"""

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from mftgit.adapters.clock import Clock
from mftgit.adapters.etcd.calls import Answer, NotFoundError
from mftgit.adapters.etcd.wire import changed_at, delete, transaction
from mftgit.model.ownership.etcd_values import Beat, Entry, Keys, parse_beat
from mftgit.model.ownership.lease import Observation


class Beats:
    """The beats of other sessions than our own, as one thread has seen them; ``ask`` puts questions to etcd."""

    def __init__(
        self, keys: Keys, ask: Callable[[str, Any], Answer], *, ttl_s: float, clock: Clock
    ) -> None:
        """Nothing was seen yet; a session is waited for as long as it says, and no less than ``ttl_s``."""
        self._keys = keys
        self._ask = ask
        self._ttl_s = ttl_s
        self._clock = clock
        self._seen: dict[str, tuple[Beat, Observation]] = {}

    def see(self, entries: Iterable[Entry], *, but: str) -> None:
        """Take note of all beats there are now, ``but`` that of our own session."""
        now = self._clock.boottime()  # later than any of them was given
        beats = [beat for beat in map(parse_beat, entries) if beat and beat.session != but]
        self._seen = {beat.session: (beat, self._observed(beat, now)) for beat in beats}

    def end_silent(self) -> bool:
        """End the sessions that have been silent for too long, for everybody; tell whether there were any.

        What they held is there until `free` is called for it.

        Raises:
            CoordinatorUnavailableError
        """
        now = self._clock.boottime()
        due = [
            beat
            for beat, observation in self._seen.values()
            if observation.has_run_out(now, self._ttl_of(beat))
        ]
        for beat in due:
            self._end(beat)
        return bool(due)

    def free(self, sessions: Iterable[str]) -> None:
        """End the leases of etcd's of ``sessions``, which have ended, and all that was held by them.

        Raises:
            CoordinatorUnavailableError
        """
        for name in sessions:
            with suppress(NotFoundError):
                self._ask("/lease/revoke", {"ID": int(name, 16)})

    def due_in_s(self) -> float:
        """See `Coordinator.due_in_s`."""
        due = (each.runs_out_at(self._ttl_of(beat)) for beat, each in self._seen.values())
        return min(due, default=math.inf) - self._clock.boottime()

    def _end(self, beat: Beat) -> None:
        key = self._keys.beat(beat.session)
        steps = [delete(self._keys.session(beat.session)), delete(key)]
        self._ask("/kv/txn", transaction([changed_at(key, beat.changed)], steps, []))

    def _observed(self, beat: Beat, now: float) -> Observation:
        before = self._seen.get(beat.session)
        if before is None:
            return Observation(beat=beat.changed, since=now)
        return before[1].seen(beat.changed, now)

    def _ttl_of(self, beat: Beat) -> float:
        return max(self._ttl_s, beat.ttl_s)
