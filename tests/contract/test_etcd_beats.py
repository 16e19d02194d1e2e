"""A silent session in etcd is ended by whoever watches it, before etcd would, and never against its owner's renewal."""

import base64
import math

import pytest
from clocks import Ahead
from coordination import Member
from etcd_cluster import Cluster

from mftgit.adapters.coordinator import SessionLostError
from mftgit.adapters.etcd.calls import Access
from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.etcd import Endpoint

pytestmark = pytest.mark.needs("etcd")

T = TransferName("t")
TTL_S = 60.0
"""What etcd itself ends does not end within a test."""

BEFORE_S = 20.0
"""How long before its end a session is looked at: what a busy machine takes for that."""


class Watched:
    """A member that owns something, and one that watches it by a clock of its own."""

    def __init__(
        self, etcds: Cluster, *, ttl_s: float = TTL_S, watcher_ttl_s: float = TTL_S
    ) -> None:
        self.etcds = etcds
        self.prefix = etcds.fresh_prefix()
        self.one = Member(etcds.coordinator("one", self.prefix, ttl_s=ttl_s))
        assert self.one.take(T) is not None
        self.clock = Ahead()
        ports = [each.gate.port for each in etcds.etcds]
        endpoints = tuple(Endpoint(scheme="http", host="127.0.0.1", port=each) for each in ports)
        self.two = Member(
            etcds.coordinator_by(
                Access(endpoints=endpoints),
                "two",
                self.prefix,
                ttl_s=watcher_ttl_s,
                clock=self.clock,
            )
        )
        assert self.owner() == "one"

    def owner(self) -> MemberName | None:
        return self.two.view(T).owner

    def after(self, seconds: float) -> MemberName | None:
        self.clock.pass_s(seconds)
        return self.owner()


@pytest.fixture
def watched(etcds: Cluster) -> Watched:
    return Watched(etcds)


def test_a_session_that_was_silent_for_a_ttl_is_ended_by_who_watches_it(watched: Watched) -> None:
    one, two = watched.one, watched.two
    assert watched.after(TTL_S - BEFORE_S) == "one"
    assert 0 < two.coordinator.due_in_s() < BEFORE_S

    assert watched.after(BEFORE_S) is None

    handover = two.view(T).handover
    assert handover is not None
    assert handover.why == f"one was silent for {TTL_S:g} s"
    assert two.coordinator.look().members.keys() == {"two"}
    assert two.coordinator.due_in_s() == math.inf
    assert two.take(T) is not None
    with pytest.raises(SessionLostError):
        one.renew()
    with pytest.raises(SessionLostError):
        one.take(T)


def test_who_renews_is_not_silent(watched: Watched) -> None:
    for _ in range(4):
        assert watched.after(TTL_S - BEFORE_S) == "one"
        watched.one.renew()
        assert watched.owner() == "one"


def test_the_longer_of_two_ttls_is_waited_for(etcds: Cluster) -> None:
    for ttl_s, watcher_ttl_s in ((TTL_S, 2.0), (30.0, TTL_S)):
        watched = Watched(etcds, ttl_s=ttl_s, watcher_ttl_s=watcher_ttl_s)
        assert watched.after(TTL_S - BEFORE_S) == "one"
        watched.one.renew()
        watched.two.renew()
        assert watched.owner() == "one"
        assert watched.after(TTL_S + 1) is None


def test_who_renews_in_the_moment_in_which_it_is_ended_goes_on(watched: Watched) -> None:
    """Its renewal comes after the look that found it silent, and before the end: the end finds another beat."""
    one, ended = watched.one, 0

    def seen(asked: bytes) -> None:
        nonlocal ended
        if b"request_delete_range" in asked and not ended:
            ended += 1
            one.renew()

    for each in watched.etcds.etcds:
        each.gate.seen = seen
    found = watched.after(TTL_S)
    for each in watched.etcds.etcds:
        each.gate.seen = lambda _asked: None
    assert (found, ended) == ("one", 1)
    one.renew()
    assert watched.two.take(T) is None


def test_an_end_whose_reply_was_lost_is_an_end(watched: Watched) -> None:
    first = watched.etcds.etcds[0].gate

    def seen(asked: bytes) -> None:
        if b"request_delete_range" in asked:
            first.shut(up=False)

    first.seen = seen
    found = watched.after(TTL_S)
    first.seen = lambda _asked: None
    assert found is None
    assert watched.two.take(T) is not None


def test_what_a_session_held_whose_end_stopped_half_way_is_free(watched: Watched) -> None:
    """Whoever ended it died in between."""
    name = watched.one.session.id.partition(".")[0]
    for folder in ("sessions", "beats"):
        key = base64.b64encode(f"{watched.prefix}/{folder}/{name}".encode()).decode()
        watched.etcds.etcds[0].ask("/kv/deleterange", {"key": key})
    view = watched.two.view(T)
    assert view.handover is not None
    assert view.handover.why == f"one was silent for {TTL_S:g} s"
    assert watched.two.take(T) is not None


@pytest.mark.parametrize("value", [None, b"x"])
def test_a_session_without_a_beat_is_left_to_etcd(watched: Watched, value: bytes | None) -> None:
    etcd = watched.etcds.etcds[0]
    name = watched.one.session.id.partition(".")[0]
    key = base64.b64encode(f"{watched.prefix}/beats/{name}".encode()).decode()
    if value is None:
        etcd.ask("/kv/deleterange", {"key": key})
    else:
        etcd.ask("/kv/put", {"key": key, "value": base64.b64encode(value).decode()})
    assert watched.after(TTL_S * 10) == "one"
    assert watched.two.coordinator.due_in_s() == math.inf
