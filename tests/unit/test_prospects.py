"""When a member takes what is free, and when it hands over what it has."""

from mftgit.member.outbound.ownership.prospects import (
    CALM_TTLS,
    LAST_RESORT_TTLS,
    PATIENCE_TTLS,
    STAND_IN_TTLS,
    Prospects,
)
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.spread import Want
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import Sight, View

ME, OTHER, THIRD = (MemberName(name) for name in ("me", "other", "third"))
T = TransferName("t")
TTL_S = 10.0
PREFERS_OTHER = {T: Want(prefer=(OTHER,))}


def sight(*others: MemberName, me: Standing | None = None, **view: object) -> Sight:
    members = dict.fromkeys(others, Standing()) | {ME: me or Standing()}
    return Sight(members=members, views={T: View(**view)} if view else {})  # type: ignore[arg-type]


def seen(wants: dict[TransferName, Want], what: Sight, now: float = 0.0) -> Prospects:
    made = Prospects(member=ME, ttl_s=TTL_S)
    made.see(what, wants, (), now)
    return made


def test_what_is_free_and_for_this_member_is_taken_at_once() -> None:
    found = seen({T: Want()}, sight())
    assert found.due(0.0) == [T]
    assert found.why(T) == "nobody had it"


def test_what_is_free_for_another_is_left_to_it_for_a_while() -> None:
    found = seen(PREFERS_OTHER, sight(OTHER))
    assert found.due(PATIENCE_TTLS * TTL_S - 0.1) == []
    assert found.due(PATIENCE_TTLS * TTL_S) == [T]
    assert found.waits


def test_who_stands_aside_takes_what_nobody_takes_in_the_end() -> None:
    found = seen({T: Want()}, sight(OTHER, me=Standing(aside=frozenset({T}))))
    assert found.due(LAST_RESORT_TTLS * TTL_S - 0.1) == []
    assert found.due(LAST_RESORT_TTLS * TTL_S) == [T]


def test_who_is_drained_takes_nothing_however_long_it_is_free() -> None:
    assert seen({T: Want()}, sight(OTHER, me=Standing(draining=True))).due(1e9) == []


def test_what_was_taken_for_one_that_did_not_come_is_kept_for_a_while() -> None:
    found = seen(PREFERS_OTHER, sight(OTHER))
    found.taken(T, 20.0)
    found.see(sight(OTHER, owner=ME, epoch=Epoch(1)), PREFERS_OTHER, [T], 20.0)
    later = 20.0 + STAND_IN_TTLS * TTL_S
    assert list(found.better([T], later - 0.1)) == []
    assert list(found.better([T], later)) == [(T, OTHER, "other is preferred")]


def test_nothing_is_handed_over_while_members_come_and_go() -> None:
    mine = sight(OTHER, owner=ME, epoch=Epoch(1))
    found = seen(PREFERS_OTHER, mine, 5.0)
    assert list(found.better([T], 5.0 + CALM_TTLS * TTL_S - 0.1)) == []
    assert list(found.better([T], 5.0 + CALM_TTLS * TTL_S))
    found.see(sight(OTHER, THIRD, owner=ME, epoch=Epoch(1)), PREFERS_OTHER, [T], 100.0)
    assert list(found.better([T], 101.0)) == []


def test_what_an_operator_moved_here_is_not_handed_over() -> None:
    words = Handover(epoch=Epoch(1), why="an operator moved it to me", to=ME, stays=True)
    found = seen(PREFERS_OTHER, sight(OTHER, epoch=Epoch(1), handover=words))
    assert found.due(0.0) == [T]
    assert found.why(T) == words.why
    found.taken(T, 0.0)
    found.see(sight(OTHER, owner=ME, epoch=Epoch(2)), PREFERS_OTHER, [T], 1.0)
    assert list(found.better([T], 1000.0)) == []
    found.lost(T)
    found.see(sight(OTHER, owner=ME, epoch=Epoch(3)), PREFERS_OTHER, [T], 1001.0)
    assert list(found.better([T], 2000.0)) == [(T, OTHER, "other is preferred")]


def test_others_that_stand_aside_are_not_willing() -> None:
    members = {ME: Standing(), OTHER: Standing(aside=frozenset({T})), THIRD: Standing()}
    found = seen({T: Want()}, Sight(members=members))
    assert found.willing_others(T) == {THIRD}
    assert found.able(TransferName("unknown")) == frozenset()
