"""What is kept in etcd, and what is seen in it."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.etcd_values import (
    CHANCES,
    FIRST,
    MAX_RAISED,
    NOTHING,
    STEP,
    Beat,
    Entry,
    Keys,
    Known,
    ToldLease,
    ToldSession,
    epoch_of,
    find_orphans,
    format_beat,
    format_lease,
    format_session,
    format_words,
    know,
    lease_s,
    parse_beat,
    parse_lease,
    parse_raised,
    parse_session,
    parse_words,
    raised_above,
)
from mftgit.model.ownership.lease import CLOCK_RATE_ERROR, deadline
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import FREE, View

ONE, TWO = MemberName("one"), MemberName("two")
T = TransferName("t")
texts = st.text(max_size=20)
names = st.sampled_from([ONE, TWO])
leases = st.builds(
    ToldLease,
    member=names,
    session=texts,
    raised=st.integers(0, MAX_RAISED - 1),
    why=texts,
    since=st.none() | texts,
)
sessions = st.builds(
    ToldSession,
    member=names,
    ttl_s=st.floats(2, 300),
    standing=st.builds(
        Standing, draining=st.booleans(), aside=st.frozensets(texts.map(TransferName))
    ),
)


def lease(created: int, *, owner: MemberName = ONE, raised: int = 0, key: str = "t") -> Entry:
    told = ToldLease(member=owner, session="s", raised=raised, why="w", since="then")
    return Entry(key=f"leases/{key}", value=format_lease(told), created=created, changed=created)


def session(created: int, *, owner: MemberName = ONE, draining: bool = False) -> Entry:
    told = ToldSession(member=owner, ttl_s=4.0, standing=Standing(draining=draining))
    return Entry(
        key=f"sessions/{created}", value=format_session(told), created=created, changed=created
    )


def words(epoch: int, why: str = "over") -> Entry:
    value = format_words(Handover(epoch=Epoch(epoch), why=why))
    return Entry(key="handovers/t", value=value, created=epoch, changed=epoch)


def seen(*entries: Entry, before: Known = NOTHING) -> Known:
    return know(entries, before, "", {})


@given(st.integers(0, MAX_RAISED // 2), st.integers(1, 1 << 40), st.integers(0, CHANCES - 1))
def test_what_is_raised_is_above_and_meets_no_epoch_of_a_shared_folder(
    above: int, created: int, chance: int
) -> None:
    epoch = epoch_of(created, raised_above(above) + chance)
    assert epoch > above
    assert epoch_of(created + 1, raised_above(above)) - epoch > STEP - CHANCES
    assert epoch_of(created, FIRST) > FIRST


@given(st.floats(2, 300), st.floats(-1, 1), st.floats(-1, 1))
def test_etcd_keeps_a_session_until_its_owner_has_stopped_on_whatever_clocks(
    ttl_s: float, owner: float, etcd: float
) -> None:
    stopped_s = deadline(0.0, ttl_s) / (1 + owner * CLOCK_RATE_ERROR)
    ended_s = lease_s(ttl_s) / (1 + etcd * CLOCK_RATE_ERROR)
    assert ended_s >= stopped_s
    assert lease_s(ttl_s) <= math.ceil(ttl_s)


def test_a_takeover_takes_hardly_longer_than_the_ttl() -> None:
    assert [lease_s(ttl_s) for ttl_s in (2.0, 3.0, 4.0, 5.0, 10.0, 30.0)] == [2, 3, 3, 4, 9, 27]


@given(leases)
def test_what_is_written_of_a_lease_is_read(told: ToldLease) -> None:
    assert parse_lease(format_lease(told)) == told


@given(sessions)
def test_what_is_written_of_a_session_is_read(told: ToldSession) -> None:
    assert parse_session(format_session(told)) == told


@given(
    st.binary(max_size=40)
    | st.recursive(st.none() | texts | st.integers(), st.lists).map(
        lambda value: json.dumps(value).encode()
    )
)
def test_what_is_damaged_tells_nothing(content: bytes) -> None:
    assert parse_lease(content) is None
    assert parse_session(content) is None
    assert parse_words(content) is None


def test_numbers_and_names_that_cannot_be_are_not_read() -> None:
    value = json.loads(format_lease(ToldLease(member=ONE, session="s")))
    for fields in ({"raised": -1}, {"raised": MAX_RAISED}, {"member": 5}, {"member": "../x"}):
        assert parse_lease(json.dumps(value | fields).encode()) is None
    assert parse_raised(b"7") == 7
    assert {parse_raised(value) for value in (b"", b"{", b"\xff", b"-1", b"9" * 30)} == {None}


def test_a_name_with_any_characters_has_a_key_of_its_own_below_the_prefix() -> None:
    keys = Keys(prefix="/p/")
    all_keys = [
        each(TransferName(name))
        for each in (keys.lease, keys.handover)
        for name in ("", "a/b", "..", "ü", "\udcff")
    ]
    assert len(set(all_keys)) == len(all_keys)
    start, end = keys.told
    assert all(
        start <= key < end for key in (*all_keys, keys.raised, keys.cluster, keys.session("x"))
    )
    assert not start <= b"/p" < end
    assert not start <= b"/pp/x" < end


def test_beats_are_below_the_prefix_and_beside_what_is_told() -> None:
    """They change all the time; what is told is read only where it has changed."""
    keys = Keys(prefix="/p/")
    (first, end), (told, _) = keys.beats, keys.told
    assert first <= keys.beat("1") <= keys.beat("f" * 16) < end <= told
    assert first.startswith(keys.all)


def test_a_beat_says_how_long_it_lasts() -> None:
    entry = Entry(key="beats/1f", value=format_beat(2.0 / 3), created=3, changed=7)
    assert parse_beat(entry) == Beat(session="1f", changed=7, ttl_s=2.0 / 3)


@pytest.mark.parametrize("value", [b"", b"x", b"nan", b"inf", b"0", b"-1", b"301", b"\xff"])
def test_a_beat_that_is_damaged_ends_no_session(value: bytes) -> None:
    assert parse_beat(Entry(key="beats/1f", value=value, created=3, changed=7)) is None


@pytest.mark.parametrize("name", ["", "x", "../1f", "1F", "f" * 17, "1f\n"])
def test_a_beat_of_no_session_ends_none(name: str) -> None:
    assert parse_beat(Entry(key=f"beats/{name}", value=b"2.0", created=3, changed=7)) is None


def test_an_owner_is_seen_with_its_epoch() -> None:
    known = seen(session(3), lease(7, raised=100))
    assert known.sight.views == {
        T: View(owner=ONE, epoch=Epoch(7_000_100), why="w", since="then"),
    }
    assert known.sight.members == {ONE: Standing()}


def test_the_later_of_two_sessions_counts() -> None:
    known = seen(session(9, draining=True), session(3))
    assert known.sight.members[ONE].draining


def test_a_lease_that_is_ours_without_our_knowing_is_free() -> None:
    known = know([lease(7)], NOTHING, "s", {})
    assert known.sight.views.get(T, FREE) == FREE
    assert known.unknown == {T: 7}
    assert not known.missing


@pytest.mark.parametrize(("key", "missing"), [("s", {T}), ("other", set())])
def test_a_lease_that_is_ours_is_missing_where_its_session_goes_on(
    key: str, missing: set[TransferName]
) -> None:
    told = ToldSession(member=ONE, ttl_s=4.0, standing=Standing())
    ours = Entry(key=f"sessions/{key}", value=format_session(told), created=3, changed=3)
    assert know([ours, lease(7)], NOTHING, "s", {T: 6}).missing == missing
    assert know([ours], NOTHING, "s", {T: 7}).missing == missing
    assert not know([ours, lease(7)], NOTHING, "s", {T: 7}).missing


def test_a_session_is_an_orphan_whose_leases_are_there_without_it() -> None:
    def held(key: str, by: str) -> Entry:
        told = ToldLease(member=ONE, session=by)
        return Entry(key=f"leases/{key}", value=format_lease(told), created=9, changed=9)

    entries = [session(10), held("a", "10"), held("b", "1f"), held("c", "1f"), held("d", "no name")]
    assert find_orphans(entries) == {"1f"}
    damaged = Entry(key="sessions/1f", value=b"{", created=3, changed=3)
    assert find_orphans([*entries, damaged]) == frozenset()


def test_whoever_is_gone_without_a_word_was_silent_until_there_is_another() -> None:
    first = seen(session(3), lease(7))
    second = seen(before=first)
    silence = View(
        epoch=Epoch(7_000_000),
        handover=Handover(epoch=Epoch(7_000_000), why="one was silent for 4 s"),
    )
    assert second.sight.views == {T: silence}
    assert seen(before=second).sight.views == {T: silence}
    third = seen(session(8, owner=TWO), lease(9, owner=TWO), before=second)
    assert third.sight.views[T].owner == TWO
    assert third.gone == {}


def test_words_count_more_than_silence() -> None:
    first = seen(session(3), lease(7))
    second = seen(words(7_000_000, "moved"), before=first)
    handover = second.sight.views[T].handover
    assert handover is not None
    assert handover.why == "moved"
    assert seen(before=second).sight.views.get(T, FREE) == FREE  # they are kept for a while


def test_who_was_not_seen_alive_was_silent_for_the_longest() -> None:
    handover = seen(before=seen(lease(7))).sight.views[T].handover
    assert handover is not None
    assert handover.why == "one was silent for 300 s"
