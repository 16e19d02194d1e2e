"""A member takes a verified revision when it is its turn, by its own settings, and at once when it runs nothing."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mftgit.member.turn import waits_for_turn
from mftgit.model.configuration.config import Cluster
from mftgit.model.members.messages import Head, RolloutState, Turn
from mftgit.model.members.record import Wait
from mftgit.model.names import MemberName, Revision
from mftgit.model.rollout.cohorts import Rollout
from mftgit.model.rollout.windows import Window, Windows

ME = MemberName("node-1")
OID, NEWER = Revision("a" * 40), Revision("b" * 40)
TURN = Turn(member=ME, cohort="rest", due=True, state=RolloutState.RUNNING)
HEAD = Head(oid=OID, seq=1, issued_at="then", turn=TURN)
PLAIN = Cluster(name="c")
COHORTS = replace(PLAIN, rollout=Rollout())
SHUT = replace(COHORTS, windows=Windows(deny=(Window(),)))


def waits_for(
    head: Head = HEAD,
    *,
    revision: Revision = OID,
    cluster: Cluster | None = COHORTS,
    is_first: bool = False,
) -> tuple[Wait, str] | None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return waits_for_turn(
        head, revision, active=cluster, is_first=is_first, me=ME, now=now, zones=ZoneInfo
    )


def waits(head: Head = HEAD, **more: Any) -> str | None:
    found = waits_for(head, **more)
    return None if found is None else found[1]


def test_whose_turn_it_is_takes_it() -> None:
    assert waits() is None
    assert waits(cluster=PLAIN) is None


@pytest.mark.parametrize("cluster", [PLAIN, COHORTS])
def test_whose_turn_it_is_not_waits_for_the_reason_that_it_was_told(cluster: Cluster) -> None:
    later = replace(TURN, due=False, reason="the roll-out is halted")
    assert waits(replace(HEAD, turn=later), cluster=cluster) == "the roll-out is halted"
    paused = replace(TURN, due=False, state=RolloutState.PAUSED)
    assert waits(replace(HEAD, turn=paused), cluster=cluster) == "the roll-out is paused"


def test_a_turn_of_another_member_or_for_another_revision_is_none() -> None:
    other = replace(HEAD, turn=replace(TURN, member=MemberName("node-2")))
    assert waits(other) == "the turn is that of node-2"
    assert waits(revision=NEWER) == "the turn is for revision aaaaaaaaaaaa"


def test_without_a_turn_only_a_member_whose_revision_has_no_roll_out_goes_on() -> None:
    assert waits(replace(HEAD, turn=None)) == "the controller gives no turn"
    assert waits(replace(HEAD, turn=None), cluster=PLAIN) is None
    shut = replace(SHUT, rollout=None)
    assert "windows.deny" in str(waits(replace(HEAD, turn=None), cluster=shut))


def test_a_closed_window_keeps_it_waiting_but_for_a_promotion_that_says_so() -> None:
    assert "windows.deny" in str(waits(cluster=SHUT))
    assert waits(replace(HEAD, turn=replace(TURN, regardless=True)), cluster=SHUT) is None


def test_a_member_waits_for_its_turn_before_it_waits_for_a_window() -> None:
    later = replace(HEAD, turn=replace(TURN, due=False))
    assert [(found or (None,))[0] for found in (waits_for(later, cluster=SHUT), waits_for(cluster=SHUT))] == [
        Wait.TURN, Wait.WINDOW,
    ]  # fmt: skip


def test_a_member_takes_its_first_revision_at_once() -> None:
    later = replace(HEAD, turn=replace(TURN, due=False))
    assert waits(later, cluster=SHUT, is_first=True) is None


def test_a_member_whose_settings_cannot_be_read_takes_no_other_turn_than_its_own() -> None:
    later = replace(HEAD, turn=replace(TURN, due=False, reason="later"))
    assert waits(later, cluster=None) == "later"
    assert waits(cluster=None) is None
    assert waits(replace(HEAD, turn=None), cluster=None) is None
