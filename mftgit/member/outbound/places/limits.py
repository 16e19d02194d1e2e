"""Bandwidth limits: one for each transfer's run, and one for each location, which all runs of the member share."""

from collections.abc import Callable, Mapping
from threading import Lock

from mftgit.adapters.clock import Clock
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.model.configuration.config import Transfer
from mftgit.model.locations.location import Location
from mftgit.model.names import LocationName
from mftgit.model.transfers.throttle import Throttle

Wait = Callable[[float], object]
"""Wait so many seconds, or until the run is to stop."""

_LOOK_S = 1.0


class Limits:
    """The limits of a member's locations. For any thread."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._throttles: dict[LocationName, Throttle] = {}

    def of(
        self, bytes_per_s: int | None, *ends: Location, ownership: Ownership, wait: Wait
    ) -> Callable[[int], None]:
        """Return what to call with the bytes that were just moved between ``ends``; it waits where they are too many.

        ``bytes_per_s`` is the transfer's own limit. It raises OwnershipEndedError where ``ownership`` ends meanwhile.
        """
        throttles = [each for end in ends if (each := self._at(end)) is not None]
        if bytes_per_s is not None:
            throttles.append(Throttle(bytes_per_s))
        clock = self._clock

        def moved(size_bytes: int) -> None:
            with self._lock:
                now = clock.boottime()
                until = now + max((each.wait_s(size_bytes, now) for each in throttles), default=0.0)
            while (left := until - clock.boottime()) > 0:
                ownership.check()
                if wait(
                    min(left, _LOOK_S)
                ):  # it is to stop after this file, which need not be slow any more
                    return

        return moved

    def between(
        self,
        transfer: Transfer,
        locations: Mapping[LocationName, Location],
        *,
        ownership: Ownership,
        wait: Wait,
    ) -> Callable[[LocationName, int], None]:
        """Return the same for a run of ``transfer``, to be called with where the bytes went: only that one's counts."""
        source, *others = transfer.locations
        made = {
            to: self.of(
                transfer.bytes_per_s,
                locations[source],
                locations[to],
                ownership=ownership,
                wait=wait,
            )
            for to in others
        }

        def moved(to: LocationName, size_bytes: int) -> None:
            if to in made:
                made[to](size_bytes)

        return moved

    def _at(self, location: Location) -> Throttle | None:
        """Return the limit of ``location``, the same for all that use it while its document says so."""
        if location.bytes_per_s is None:
            return None
        with self._lock:
            known = self._throttles.get(location.name)
            if known is None or known.bytes_per_s != location.bytes_per_s:
                known = self._throttles[location.name] = Throttle(location.bytes_per_s)
            return known
