from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.events.brake import (
    AT_ONCE,
    IN_ALL,
    MOST_SOURCES,
    PER_SOURCE,
    WINDOW_S,
    EventBrake,
)
from mftgit.model.inbound.account import Account, Factor, Login, Place, Quota
from mftgit.model.inbound.admission import Crowd, Sessions, Turned
from mftgit.model.inbound.permission import READ_ONLY, Rule
from mftgit.model.inbound.service import ServiceLimits
from mftgit.model.inbound.serving import Served
from mftgit.model.inbound.session_fate import Fate, fate
from mftgit.model.locations.far_place import FarPlace
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import AccountName, LocationName
from mftgit.model.secrets.value import SecretValue

NOW = datetime(2027, 1, 1, tzinfo=UTC)
IN = LocationName("in")
LOGIN = Login(require=(frozenset({Factor.KEY}),), keys=("one",))
ACCOUNT = Account(
    name=AccountName("acme"), home=Place(location=LocationName("in")), login=LOGIN, max_sessions=2
)
SERVED = Served(account=ACCOUNT, home="/srv/acme")
LIMITS = ServiceLimits(connections=5, per_source=2, unauthenticated=3)


@given(st.lists(st.tuples(st.sampled_from(["come", "in", "go"]), st.integers(0, 3)), max_size=80))
def test_there_are_never_more_connections_than_the_limits_allow(
    steps: list[tuple[str, int]],
) -> None:
    crowd = Crowd()
    there: list[tuple[str, bool]] = []
    for step, number in steps:
        if step == "come":
            source = f"192.0.2.{number}/32"
            turned = crowd.come(source, LIMITS)
            full = len(there) >= 5
            of_source = sum(each == source for each, _ in there) >= 2
            crowded = sum(not inside for _, inside in there) >= 3
            assert (turned is not None) == (full or of_source or crowded)
            if turned is None:
                there.append((source, False))
        elif there:
            source, inside = there.pop(number % len(there))
            if step == "go" or inside:
                crowd.go(source, logged_in=inside)
            else:
                crowd.log_in(source)
                there.append((source, True))
        assert crowd.connections == len(there)
        assert crowd.unauthenticated == sum(not inside for _, inside in there)
        assert crowd._sources == Counter(source for source, _ in there)


def test_whom_there_is_no_room_for_is_told_apart() -> None:
    crowd, limits = Crowd(), ServiceLimits(connections=3, per_source=2, unauthenticated=2)
    assert [crowd.come("one", limits) for _ in range(2)] == [None, None]
    assert crowd.come("one", limits) is Turned.SOURCE_FULL
    assert crowd.come("two", limits) is Turned.CROWDED
    crowd.log_in("one")
    assert crowd.come("two", limits) is None
    assert crowd.come("three", limits) is Turned.FULL


def test_a_source_with_all_there_may_be_that_have_not_logged_in_gives_way_to_others() -> None:
    crowd, limits = Crowd(), ServiceLimits(connections=9, per_source=4, unauthenticated=4)
    assert crowd.crowding("one") is None
    assert [crowd.come("one", limits) for _ in range(4)] == [None] * 4
    assert crowd.come("two", limits) is Turned.CROWDED
    assert crowd.crowding("one") is None  # its own next one is turned away
    assert crowd.crowding("two") == "one"
    crowd.go("one", logged_in=False)
    assert crowd.come("two", limits) is None
    crowd.go("one", logged_in=False)
    assert crowd.come("two", limits) is None
    assert (crowd.crowding("one"), crowd.crowding("two")) == (None, None)
    crowd.log_in("one")
    assert crowd.unauthenticated == 3
    assert crowd.crowding("three") == "two"


def begin(sessions: Sessions, *, heard_since: float = 0.0) -> Turned | None:
    return sessions.begin(SERVED, NOW, heard_since=heard_since)


def test_sessions_at_other_members_count_while_something_is_heard_of_them() -> None:
    sessions, name, other = Sessions(), ACCOUNT.name, AccountName("other")
    sessions.learn({name: 1, other: 9}, whole=True, at=10.0)

    assert begin(sessions, heard_since=10.0) is None
    assert begin(sessions, heard_since=10.0) is Turned.BUSY_ELSEWHERE
    sessions.learn({other: 8}, whole=False, at=20.0)
    assert begin(sessions, heard_since=20.0) is Turned.BUSY_ELSEWHERE
    assert begin(sessions, heard_since=21.0) is None
    assert begin(sessions, heard_since=21.0) is Turned.BUSY
    sessions.end(name)
    sessions.learn({name: 0, other: 8}, whole=False, at=25.0)
    assert begin(sessions, heard_since=25.0) is None
    sessions.end(name)
    sessions.learn({other: 8}, whole=True, at=30.0)
    assert begin(sessions, heard_since=30.0) is None
    assert sessions.counts() == {name: 2}


def test_an_account_has_no_more_sessions_than_it_may() -> None:
    sessions = Sessions()

    assert [begin(sessions) for _ in range(3)] == [None, None, Turned.BUSY]
    sessions.end(ACCOUNT.name)
    assert begin(sessions) is None
    sessions.end(ACCOUNT.name)
    sessions.end(ACCOUNT.name)
    assert not sessions._counts


def test_an_account_comes_in_until_it_expires() -> None:
    expires = replace(SERVED, account=replace(ACCOUNT, expires_at=NOW))

    before = NOW - timedelta(seconds=1)
    assert Sessions().begin(expires, before, heard_since=0.0) is None
    assert Sessions().begin(expires, NOW, heard_since=0.0) is Turned.EXPIRED


def _account(**changes: object) -> Served:
    return replace(SERVED, account=replace(ACCOUNT, **changes))  # type: ignore[arg-type]


def _login(**changes: object) -> Served:
    return _account(login=replace(LOGIN, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (None, Fate.GONE),
        (SERVED, None),
        (_account(max_sessions=1), None),
        (_account(expires_at=NOW), None),
        (_login(keys=("one", "two")), None),
        (_login(authorities=("ca",), principals=("acme",)), None),
        (_login(require=(frozenset({Factor.PASSWORD}), *LOGIN.require)), None),
        (_login(keys=("two",)), Fate.LOGIN),
        (_login(require=(frozenset({Factor.KEY, Factor.TOTP}),)), Fate.LOGIN),
        (_login(password=SecretRef(file="f")), Fate.LOGIN),
        (replace(SERVED, password=SecretValue("hash")), Fate.LOGIN),
        (replace(SERVED, totp=SecretValue("key")), Fate.LOGIN),
        (_account(sources=("192.0.2.0/24",)), Fate.LOGIN),
        (replace(SERVED, home="/srv/other"), Fate.PLACES),
        (replace(SERVED, folders={"/out": "/srv/out"}), Fate.PLACES),
        (replace(SERVED, far={"/out": FarPlace(location=IN, document="{}")}), Fate.PLACES),
        (_account(rules=(Rule(path="/", allow=READ_ONLY),)), Fate.RULES),
        (_account(quota=Quota(files=1)), Fate.RULES),
        (_account(max_file_bytes=1), Fate.RULES),
    ],
)
def test_a_session_goes_on_unless_something_of_its_account_was_taken_or_moved(
    now: Served | None, why: Fate | None
) -> None:
    assert fate(SERVED, now) is why


def test_of_many_events_of_a_source_the_first_are_told_and_the_others_counted() -> None:
    brake = EventBrake()

    told = [brake.offer("a", now) for now in range(PER_SOURCE + 3)]

    assert told == [0] * PER_SOURCE + [None] * 3
    assert brake.offer("b", 1.0) == 0
    assert brake.offer("a", WINDOW_S) == 3
    assert brake.offer("a", WINDOW_S) == 0


def test_of_many_sources_together_no_more_are_told_than_may_be() -> None:
    brake = EventBrake()

    told = [brake.offer(str(each), 0.0) for each in range(IN_ALL * 3)]

    assert told.count(0) == IN_ALL
    assert brake.offer("late", WINDOW_S) == 0


def test_what_was_only_counted_is_told_once_its_source_is_quiet() -> None:
    brake = EventBrake()
    for _ in range(PER_SOURCE + 2):
        brake.offer("a", 0.0)
    brake.offer("b", 0.0)

    assert brake.over(WINDOW_S - 1) == ()
    assert brake.over(WINDOW_S) == (("a", 2),)
    assert brake.over(WINDOW_S) == ()
    assert not brake._windows


def test_no_flood_of_sources_is_told_at_once_or_fills_the_memory() -> None:
    brake = EventBrake()
    for each in range(MOST_SOURCES + 10):
        brake.offer(str(each), 0.0)

    assert len(brake._windows) == MOST_SOURCES
    assert len(brake.over(WINDOW_S)) == AT_ONCE
