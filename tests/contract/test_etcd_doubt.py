"""Leases in etcd that their owner knows nothing of, etcds that are not one, and etcds that were set back."""

import time
from contextlib import suppress

import pytest
from coordination import Member
from etcd_cluster import Cluster, Etcd

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.coordinator import CoordinatorUnavailableError, Wish
from mftgit.adapters.etcd import EtcdCoordinator
from mftgit.adapters.etcd_calls import Access
from mftgit.model.etcd import Endpoint
from mftgit.model.names import MemberName, TransferName

pytestmark = pytest.mark.needs("etcd")

T = TransferName("t")
TTL_S = 6.0


def only(etcd: Etcd, name: str, prefix: str) -> Member:
    """Return a member that knows of one etcd alone."""
    access = Access(endpoints=(Endpoint(scheme="http", host="127.0.0.1", port=etcd.gate.port),))
    return Member(
        EtcdCoordinator(
            access, prefix=prefix, member=MemberName(name), ttl_s=TTL_S, clock=SystemClock()
        )
    )


def test_what_was_taken_without_a_reply_and_is_not_wanted_any_more_goes_to_another(
    etcds: Cluster,
) -> None:
    """Its owner is drained, say, and goes on renewing its session: nobody would ever have the key."""
    prefix = etcds.fresh_prefix()
    etcd = etcds.etcds[0]
    one = only(etcd, "one", prefix)
    two = Member(etcds.coordinator("two", prefix, ttl_s=TTL_S))
    etcd.gate.shut(up=False)
    with pytest.raises(CoordinatorUnavailableError):
        one.coordinator.take(one.session, {T: Wish(why="")})
    etcd.gate.open()
    until = time.monotonic() + 5.0
    while two.take(T) is None:
        assert time.monotonic() < until, "nobody has it, and nobody may have it"
        for each in (one, two):
            with suppress(CoordinatorUnavailableError):
                each.renew()
        with suppress(CoordinatorUnavailableError):
            one.coordinator.look()
    assert two.view(T).owner == "two"
