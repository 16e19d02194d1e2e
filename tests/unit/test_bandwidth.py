"""Runs keep to the limits of their transfer and of the locations that they share."""

from dataclasses import replace
from pathlib import Path

import pytest
from clocks import SetClock
from outbound_site import site
from owned import owned

from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.places.limits import Limits
from mftgit.model.configuration.config import Destination, Fallback
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import LocationName

FAST = LocalLocation(name=LocationName("fast"), path="f")
SLOW = LocalLocation(name=LocationName("slow"), path="s", bytes_per_s=1000)


class Waiting:
    """A clock that goes on while somebody waits."""

    def __init__(self, *, ttl_s: float = 1e9) -> None:
        self.clock = SetClock()
        self.stopping = False
        self.ownership = owned(1, self.clock, ttl_s=ttl_s)

    def wait(self, seconds: float) -> bool:
        self.clock.pass_s(seconds)
        return self.stopping

    def took_s(self, limits: Limits, limit: int | None, *ends: LocalLocation, size: int) -> float:
        began = self.clock.boottime()
        limits.of(limit, *ends, ownership=self.ownership, wait=self.wait)(size)
        return self.clock.boottime() - began


def test_without_a_limit_nothing_waits() -> None:
    here = Waiting()
    assert here.took_s(Limits(clock=here.clock), None, FAST, size=10**9) == 0.0


@pytest.mark.parametrize(
    ("limit", "ends"), [(1000, (FAST,)), (None, (FAST, SLOW)), (5000, (SLOW,))]
)
def test_the_lowest_limit_counts(limit: int | None, ends: tuple[LocalLocation, ...]) -> None:
    here = Waiting()
    assert here.took_s(Limits(clock=here.clock), limit, *ends, size=4000) == pytest.approx(4.0)


def test_runs_of_two_transfers_share_the_limit_of_a_location() -> None:
    here = Waiting()
    limits = Limits(clock=here.clock)
    first = limits.of(None, SLOW, ownership=here.ownership, wait=lambda _: True)
    first(4000)  # it is to stop, and does not wait; but it has moved these
    assert here.took_s(limits, None, SLOW, size=1000) == pytest.approx(5.0)


def test_the_limit_of_a_fallback_counts_for_what_goes_there() -> None:
    here = Waiting()
    rules = Destination(location=FAST.name, fallback=Fallback(location=SLOW.name))
    made = site(Path()).transfer
    made = replace(made, source=replace(made.source, location=FAST.name), destination=rules)
    moved = Limits(clock=here.clock).between(
        made,
        {FAST.name: FAST, SLOW.name: SLOW},
        ownership=here.ownership,
        wait=here.wait,
    )
    began = here.clock.boottime()
    moved(FAST.name, 10**9)
    assert here.clock.boottime() == began
    moved(SLOW.name, 4000)
    assert here.clock.boottime() - began == pytest.approx(4.0)


def test_a_limit_that_was_changed_counts_from_then_on() -> None:
    here = Waiting()
    limits = Limits(clock=here.clock)
    limits.of(None, SLOW, ownership=here.ownership, wait=lambda _: True)(10**9)
    faster = LocalLocation(name=SLOW.name, path="s", bytes_per_s=10**6)
    assert here.took_s(limits, None, faster, size=10**6) == pytest.approx(1.0)


def test_whoever_waits_stops_when_its_ownership_ends() -> None:
    here = Waiting(ttl_s=10)
    with pytest.raises(OwnershipEndedError):
        here.took_s(Limits(clock=here.clock), 1, size=100)
