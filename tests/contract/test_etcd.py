"""Leases in etcd while its members die, stand still, or are cut off; three real ones, on loopback."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TypeVar

import pytest
from coordination import Member
from etcd_cluster import ELECTION_S, Cluster, Etcd
from gates import gate
from tls_script import Answer, answer, scripted
from waiting import WAIT_S

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.coordinator import CoordinatorUnavailableError, SessionLostError, Wish
from mftgit.adapters.etcd.calls import Access
from mftgit.adapters.etcd.coordinator import AT_ONCE, EtcdCoordinator
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.etcd import Endpoint
from mftgit.model.ownership.lease import deadline
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import FREE

pytestmark = pytest.mark.needs("etcd")

T, U = TransferName("t"), TransferName("u")
ONE, TWO = MemberName("one"), MemberName("two")
Said = TypeVar("Said")
TTL_S = 18.0
"""Long enough for an election in between, and each server has three seconds, on a machine that is busy."""


def member(etcds: Cluster, name: str, prefix: str, *, ttl_s: float = TTL_S) -> Member:
    return Member(etcds.coordinator(name, prefix, ttl_s=ttl_s))


def only(
    etcds: Cluster, etcd: Etcd, name: str, prefix: str, *, ttl_s: float = TTL_S
) -> EtcdCoordinator:
    """Return a coordinator that knows of one etcd alone."""
    access = Access(endpoints=(Endpoint(scheme="http", host="127.0.0.1", port=etcd.gate.port),))
    return etcds.coordinator_by(access, name, prefix, ttl_s=ttl_s)


def again(ask: Callable[[], Said]) -> Said:
    """Ask until there is an answer, as whoever calls a coordinator does."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return ask()
        except CoordinatorUnavailableError:
            assert time.monotonic() < until
        time.sleep(0.05)  # noqa: TID251  a test


def renew_until_deadline(one: Member) -> None:
    before = one.session
    while one.session is before:
        assert SystemClock().boottime() < deadline(before.sent_at, before.ttl_s), "not renewed"
        with suppress(CoordinatorUnavailableError):
            one.renew()


@pytest.mark.parametrize("fault", [Etcd.kill, Etcd.stop])
def test_a_leader_that_dies_or_stands_still_costs_nobody_a_lease(
    etcds: Cluster, fault: Callable[[Etcd], None]
) -> None:
    prefix = etcds.fresh_prefix()
    one, two = member(etcds, "one", prefix), member(etcds, "two", prefix)
    epoch = one.take(T)
    one.renew()

    fault(etcds.leader())

    renew_until_deadline(one)
    renew_until_deadline(two)
    view = again(lambda: two.view(T))
    assert (view.owner, view.epoch) == (ONE, epoch)
    assert again(lambda: two.take(T)) is None
    assert again(lambda: two.take(U)) is not None


def test_without_a_majority_nothing_is_renewed_taken_or_told(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    leader = etcds.leader()
    made = [only(etcds, leader, name, prefix, ttl_s=2.0) for name in ("one", "two")]
    one, two = (again(partial(Member, each)) for each in made)
    assert again(lambda: one.take(T)) is not None

    for each in etcds.etcds:
        if each is not leader:
            each.stop()
    time.sleep(0.1)  # noqa: TID251  what was asked before may be answered still

    for _ in range(3):
        with pytest.raises(CoordinatorUnavailableError):
            one.renew()
    with pytest.raises(CoordinatorUnavailableError):
        two.coordinator.look()
    with pytest.raises(CoordinatorUnavailableError):
        two.coordinator.take(two.session, {U: Wish(why="")})
    with pytest.raises(CoordinatorUnavailableError):
        one.coordinator.give_back(one.session, {T: Handover(epoch=Epoch(1))})
    with pytest.raises(CoordinatorUnavailableError):
        two.open()


def test_a_leader_that_was_left_behind_proves_nothing(etcds: Cluster) -> None:
    """It answers keep-alives still, by which the new one does not go."""
    told: list[str] = []
    for _ in range(5):
        one = left_behind(etcds)
        try:
            one.renew()
        except CoordinatorUnavailableError as error:
            told.append(str(error))
            if "agree about who leads" in told[-1]:
                renew_until_deadline(one)
                return
        etcds.heal()  # it had found out before it was asked, as it does after an election's time
    raise AssertionError(told)


def left_behind(etcds: Cluster) -> Member:
    """Give a member that asks a leader first which does not know yet that there is another one."""
    old = etcds.leader()
    one = Member(etcds.coordinator("one", etcds.fresh_prefix(), ttl_s=TTL_S, first=old))
    others = [each for each in etcds.etcds if each is not old]
    etcds.isolate(old)
    old.stop()  # it does not find out that it is alone
    etcds.clock.pass_s(ELECTION_S)
    while others[0].leader() in {0, old.id}:
        etcds.clock.pass_s(0.02)
    old.go_on()
    return one


def test_an_etcd_that_does_not_answer_is_asked_last(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    dead = etcds.etcds[0]
    coordinator = etcds.coordinator("one", prefix, ttl_s=TTL_S, first=dead)
    asked: list[bytes] = []
    dead.gate.seen = asked.append
    dead.gate.shut()
    coordinator.look()
    count = len(asked)
    for _ in range(5):
        coordinator.look()
    dead.gate.seen = lambda _data: None
    assert count == 1
    assert len(asked) == count


def test_what_was_done_without_a_reply_is_not_done_twice(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    first = etcds.etcds[0]
    one = Member(etcds.coordinator("one", prefix, ttl_s=TTL_S, first=first))
    two = member(etcds, "two", prefix)

    first.gate.shut(up=False)
    epoch = one.coordinator.take(one.session, {T: Wish(why="")})[T]

    view = two.view(T)
    assert (view.owner, view.epoch) == (ONE, epoch)
    assert one.coordinator.take(one.session, {T: Wish(why="")}) == {T: epoch}


def test_a_lease_that_was_taken_without_a_reply_is_free_for_whoever_took_it(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    etcd = etcds.etcds[0]
    one, two = Member(only(etcds, etcd, "one", prefix)), member(etcds, "two", prefix)
    etcd.gate.shut(up=False)
    with pytest.raises(CoordinatorUnavailableError):
        one.coordinator.take(one.session, {T: Wish(why="")})
    etcd.gate.open()

    owner = two.view(T)
    assert owner.owner == ONE
    assert again(lambda: one.view(T)) == FREE
    epoch = one.take(T)
    assert epoch is not None
    assert epoch > owner.epoch
    assert one.view(T).owner == ONE


@pytest.mark.parametrize("lost", ["open", "tell", "give_back", "close"])
def test_a_step_whose_reply_was_lost_may_be_done_again(etcds: Cluster, lost: str) -> None:
    prefix = etcds.fresh_prefix()
    etcd = etcds.etcds[0]
    one, two = Member(only(etcds, etcd, "one", prefix)), member(etcds, "two", prefix)
    epoch = one.take(T)
    assert epoch is not None
    steps: dict[str, Callable[[], object]] = {
        "open": one.open,
        "tell": lambda: one.coordinator.tell(one.session, Standing(draining=True)),
        "give_back": lambda: one.coordinator.give_back(
            one.session, {T: Handover(epoch=epoch, why="w")}
        ),
        "close": lambda: one.coordinator.close(one.session, "c"),
    }
    etcd.gate.shut(up=False)
    with pytest.raises(CoordinatorUnavailableError):
        steps[lost]()
    etcd.gate.open()

    again(steps[lost])

    seen = two.coordinator.look()
    if lost == "tell":
        assert seen.members[ONE].draining
    if lost in {"give_back", "close"}:
        assert two.take(T) is not None
    assert (ONE in seen.members) == (lost != "close")


def test_a_session_that_began_without_a_reply_is_gone_on_with(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    first = etcds.etcds[0]
    coordinator = etcds.coordinator("one", prefix, ttl_s=TTL_S, first=first)

    def shut(asked: bytes) -> None:
        if b"/kv/txn" in asked:
            first.gate.shut(up=False)

    first.gate.seen = shut
    one = Member(coordinator)
    first.gate.seen = lambda _asked: None
    assert one.take(T) is not None
    one.renew()
    assert list(one.coordinator.look().members) == [ONE]


def test_words_are_kept_also_where_what_kept_them_is_gone(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    one, two = member(etcds, "one", prefix), member(etcds, "two", prefix)
    ask = etcds.etcds[0].ask
    for why in ("first", "second"):
        epoch = one.take(T)
        assert epoch is not None
        one.coordinator.give_back(one.session, {T: Handover(epoch=epoch, why=why)})
        handover = two.view(T).handover
        assert handover is not None
        assert handover.why == why
        session = str(int(one.session.id.partition(".")[0], 16))
        mine = {session, str(int(two.session.id.partition(".")[0], 16))}
        for each in ask("/lease/leases", {}).get("leases", []):
            if each["ID"] not in mine:
                ask("/lease/revoke", {"ID": each["ID"]})
        assert two.view(T) == FREE
    one.renew()


def test_what_arrives_late_takes_away_nothing_that_came_after(etcds: Cluster) -> None:
    """The request to give a lease back stays on the line until the same session has the lease again."""
    prefix = etcds.fresh_prefix()
    first = etcds.etcds[0]
    one = Member(etcds.coordinator("one", prefix, ttl_s=TTL_S, first=first))
    two = member(etcds, "two", prefix)
    epoch = one.take(U)
    assert epoch is not None
    one.coordinator.give_back(one.session, {U: Handover(epoch=epoch)})  # words need a lease once
    epoch = one.take(T)
    assert epoch is not None
    first.gate.shut(down=False)

    one.coordinator.give_back(one.session, {T: Handover(epoch=epoch)})  # by another one
    later = one.take(T)
    first.gate.open()
    etcds.clock.pass_s(0.5)

    assert later is not None
    assert later > epoch
    assert two.view(T).epoch == later
    assert two.take(T) is None


def test_what_is_told_late_does_not_replace_what_was_told_after(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    first = etcds.etcds[0]
    one = Member(etcds.coordinator("one", prefix, ttl_s=TTL_S, first=first))
    two = member(etcds, "two", prefix)
    first.gate.shut(down=False)
    one.coordinator.tell(one.session, Standing())  # by another one
    one.coordinator.tell(one.session, Standing(draining=True))
    first.gate.open()
    etcds.clock.pass_s(0.5)
    assert two.coordinator.look().members[ONE].draining
    one.coordinator.tell(one.session, Standing())
    assert not two.coordinator.look().members[ONE].draining


@pytest.mark.parametrize(("up", "down"), [(True, True), (True, False), (False, True)])
def test_whoever_is_cut_off_stops_before_another_begins(
    etcds: Cluster, *, up: bool, down: bool
) -> None:
    """Where only answers are lost, what was asked while it owned keeps the session alive a little longer."""
    prefix = etcds.fresh_prefix()
    one = Member(only(etcds, etcds.etcds[0], "one", prefix, ttl_s=4.0))
    assert again(lambda: one.take(T)) is not None
    etcds.etcds[0].gate.shut(up=up, down=down)
    clock = SystemClock()
    until = deadline(one.session.sent_at, 4.0)
    two = member(etcds, "two", prefix)
    while again(lambda: two.take(T)) is None:
        with suppress(CoordinatorUnavailableError):
            two.renew()
        if clock.boottime() < until:
            with pytest.raises(CoordinatorUnavailableError):
                one.renew()
        assert clock.boottime() < until + WAIT_S
    assert clock.boottime() >= until
    etcds.etcds[0].gate.open()
    with pytest.raises(SessionLostError):
        again(one.renew)
    with pytest.raises(SessionLostError):
        again(lambda: one.take(T))
    with pytest.raises(SessionLostError):
        one.coordinator.tell(one.session, Standing())
    with pytest.raises(SessionLostError):
        one.coordinator.give_back(one.session, {T: Handover(epoch=Epoch(1))})
    one.coordinator.close(one.session, "it is over")


def test_a_history_that_etcd_drops_changes_nothing(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    one, two = member(etcds, "one", prefix), member(etcds, "two", prefix)
    epoch = one.take(T)
    revision = etcds.etcds[0].ask("/kv/range", {"key": "YQ=="})["header"]["revision"]
    etcds.etcds[0].ask("/kv/compaction", {"revision": revision, "physical": True})
    one.renew()
    assert two.view(T).epoch == epoch
    assert two.take(T) is None
    assert two.take(U) is not None


def test_more_keys_than_a_transaction_holds_are_taken_and_given_back(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    one, two = member(etcds, "one", prefix), member(etcds, "two", prefix)
    names = [TransferName(f"t{number}") for number in range(2 * AT_ONCE + 1)]
    two.take(names[5])
    taken = one.coordinator.take(one.session, {name: Wish(why="") for name in names})
    assert taken.keys() == {*names} - {names[5]}
    words = {name: Handover(epoch=epoch) for name, epoch in taken.items()}
    one.coordinator.give_back(one.session, words)
    assert {view.owner for view in two.coordinator.look().views.values()} == {None, TWO}
    assert one.coordinator.take(one.session, {names[0]: Wish(why="")}).keys() == {names[0]}
    one.coordinator.close(one.session, "done")


def test_epochs_rise_also_where_nobody_remembers_them(etcds: Cluster) -> None:
    """Storage may remember a higher epoch than etcd has revisions; who comes next need not know of it."""
    prefix = etcds.fresh_prefix()
    one, two = member(etcds, "one", prefix), member(etcds, "two", prefix)
    first = one.take(T, above=5_000_000_000)
    assert first is not None
    assert first > 5_000_000_000
    one.coordinator.close(one.session, "")
    second = two.take(T)
    assert second is not None
    assert second > first
    third = two.take(U, above=9_000_000_000)
    assert third is not None
    assert third > 9_000_000_000
    one.open()
    again = one.take(TransferName("v"))
    assert again is not None
    assert again > third


def test_many_failovers_leave_nothing_behind(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()

    def leases() -> int:
        return len(etcds.etcds[0].ask("/lease/leases", {}).get("leases", []))

    def keys() -> int:
        end = base64.b64encode(f"{prefix}0".encode()).decode()
        start = base64.b64encode(f"{prefix}/".encode()).decode()
        found = etcds.etcds[0].ask("/kv/range", {"key": start, "range_end": end})
        return int(found.get("count", 0))

    before = leases()
    one, two = member(etcds, "one", prefix), member(etcds, "two", prefix)
    for _ in range(20):
        for each in (one, two):
            each.renew()
            epoch = each.take(T)
            assert epoch is not None
            each.coordinator.give_back(each.session, {T: Handover(epoch=epoch)})
    for each in (one, two):
        each.take(U)
        each.coordinator.close(each.session, "over")
    assert leases() - before <= 2  # the words of each, for a few minutes
    assert keys() <= 2


def test_a_key_that_is_damaged_belongs_to_nobody_and_is_free_for_nobody(etcds: Cluster) -> None:
    prefix = etcds.fresh_prefix()
    for key in ("leases/t", "sessions/x", "handovers/u"):
        name = base64.b64encode(f"{prefix}/{key}".encode()).decode()
        etcds.etcds[0].ask("/kv/put", {"key": name, "value": base64.b64encode(b"{").decode()})
    one = member(etcds, "one", prefix)
    assert one.view(T) == FREE
    assert one.take(T) is None
    assert one.take(U) is not None
    assert one.coordinator.look().members.keys() == {ONE}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (answer("200 OK", b"<html>"), "Expecting value"),
        (answer("200 OK", b"[1]"), "none of etcd"),
        (answer("302 Found", b"", "Location: http://127.0.0.1:1/"), "redirect"),
        (answer("503 Service Unavailable", b'{"error": "no leader", "code": 14}'), "no leader"),
        (answer("503 Service Unavailable", b'{"code": 14, "message": "no leader"}'), ": no leader"),
        (answer("200 OK", b"{}", length=100), "IncompleteRead"),
        (answer("200 OK", b"{}"), "none of etcd"),
        (answer("200 OK", b'{"error": {"grpc_code": 14}}'), "grpc_code"),
    ],
)
def test_what_is_no_etcd_is_told(said: Answer, told: str) -> None:
    with scripted(None, said) as server, pytest.raises(CoordinatorUnavailableError, match=told):
        look_at(server.port)


def test_who_lets_an_answer_trickle_is_not_waited_for() -> None:
    def trickle() -> Iterator[bytes]:
        while True:
            time.sleep(0.05)  # noqa: TID251  a test
            yield b"x"

    with (
        scripted(None, trickle) as server,
        pytest.raises(CoordinatorUnavailableError, match=r"timed out|in time"),
    ):
        look_at(server.port, ttl_s=2.0)


def test_who_does_not_answer_is_told() -> None:
    with gate(0, 1) as line:
        line.shut()
        with pytest.raises(CoordinatorUnavailableError, match="Timeout"):
            look_at(line.port, ttl_s=2.0)


def look_at(port: int, *, ttl_s: float = TTL_S) -> None:
    access = Access(endpoints=(Endpoint(scheme="http", host="127.0.0.1", port=port),))
    made = EtcdCoordinator(access, prefix="/p", member=ONE, ttl_s=ttl_s, clock=SystemClock())
    try:
        made.look()
    finally:
        made.hang_up()
