from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.barrier import Ban, Barrier, source_of
from mftgit.model.inbound.service import Defence

RULES = Defence(failures=3, within_s=60.0, ban_s=100.0, delay_s=0.5)
ADDRESSES = st.ip_addresses().map(str)


@given(ADDRESSES)
def test_a_source_is_an_address_or_the_64_around_it(address: str) -> None:
    network = ip_network(source_of(address))

    assert ip_address(address) in network or network.version == 4
    assert network.prefixlen == {4: 32, 6: 64}[network.version]


def test_an_address_of_ipv4_is_one_source_however_it_is_written() -> None:
    assert source_of("::ffff:192.0.2.1") == source_of("192.0.2.1") == "192.0.2.1/32"
    assert source_of("fe80::1%eth0") == "fe80::/64"


def test_failures_are_answered_later_and_later_and_then_banned() -> None:
    barrier = Barrier("node-1")

    found = [barrier.failed("192.0.2.1", RULES, now) for now in (0.0, 1.0, 2.0)]

    assert [each.delay_s for each in found] == [0.5, 1.0, 1.5]
    assert [each.ban for each in found[:2]] == [None, None]
    assert found[2].ban == Ban(source="192.0.2.1/32", until=102.0, by="node-1")
    assert barrier.keeps_out("::ffff:192.0.2.1", 101.9) == found[2].ban
    assert barrier.keeps_out("192.0.2.2", 50.0) is None
    assert barrier.keeps_out("192.0.2.1", 102.0) is None


def test_after_a_ban_failures_are_counted_anew() -> None:
    barrier = Barrier("node-1")
    for now in (0.0, 1.0, 2.0):
        barrier.failed("192.0.2.1", RULES, now)

    assert barrier.failed("192.0.2.1", RULES, 3.0).failures == 1


def test_a_delay_is_at_most_ten_times_the_first() -> None:
    barrier, patient = Barrier("node-1"), Defence(failures=100, delay_s=0.5)

    assert max(barrier.failed("192.0.2.1", patient, 0.0).delay_s for _ in range(30)) == 5.0


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=40).map(sorted))
def test_a_ban_follows_exactly_when_so_many_failures_lie_in_the_time(times: list[float]) -> None:
    barrier, counted = Barrier("node-1"), list[float]()

    for now in times:
        counted = [each for each in counted if each > now - RULES.within_s] + [now]
        banned = barrier.failed("192.0.2.1", RULES, now).ban is not None
        assert banned == (len(counted) >= RULES.failures)
        if banned:
            counted = []


def test_who_is_exempt_is_slowed_and_never_banned() -> None:
    barrier = Barrier("node-1")
    rules = Defence(failures=2, exempt=("2001:db8::/32", "192.0.2.0/24"))

    found = [barrier.failed("192.0.2.1", rules, 0.0) for _ in range(5)]

    assert all(each.ban is None and each.delay_s > 0 for each in found)
    barrier.ban("192.0.0.0/16", until=9.0, by="node-2", now=0.0)
    assert barrier.keeps_out("192.0.2.1", 0.0, rules.exempt) is None
    assert barrier.keeps_out("192.0.3.1", 0.0, rules.exempt) is not None


def test_a_ban_of_another_member_holds_here_and_the_longer_one_counts() -> None:
    barrier = Barrier("node-1")
    barrier.ban("2001:db8::/48", until=50.0, by="node-2", now=0.0)
    barrier.ban("2001:db8::/48", until=20.0, by="node-3", now=0.0)

    ban = barrier.keeps_out("2001:db8:0:7::1", 30.0)

    assert ban == Ban(source="2001:db8::/48", until=50.0, by="node-2")
    assert barrier.bans() == (ban,)
    assert barrier.expire(49.0) == ()
    assert barrier.expire(50.0) == (ban,)
    assert barrier.bans() == ()


def test_a_ban_that_is_lifted_holds_no_more_and_its_failures_are_forgotten() -> None:
    barrier = Barrier("node-1")
    barrier.failed("192.0.2.1", RULES, 0.0)
    barrier.ban("192.0.2.1/32", until=50.0, by="node-2", now=0.0)

    assert barrier.lift("192.0.2.1/32")
    assert not barrier.lift("192.0.2.1/32")
    assert barrier.keeps_out("192.0.2.1", 0.0) is None
    assert barrier.failed("192.0.2.1", RULES, 0.0).failures == 1


@given(st.lists(st.tuples(ADDRESSES, st.floats(0, 100)), max_size=60))
def test_what_is_remembered_is_bounded(tries: list[tuple[str, float]]) -> None:
    barrier = Barrier("node-1", most=4)
    strict = Defence(failures=1, ban_s=10.0)

    for address, now in tries:
        barrier.failed(address, strict if now > 50 else RULES, now)
        assert len(barrier.bans()) <= 4
        assert len(barrier._failures) <= 4


def test_where_there_is_no_room_the_ban_that_ends_first_goes() -> None:
    barrier = Barrier("node-1", most=2)
    for host, until in ((1, 30.0), (2, 20.0), (3, 40.0)):
        barrier.ban(f"192.0.2.{host}", until=until, by="node-2", now=0.0)

    assert [each.source for each in barrier.bans()] == ["192.0.2.1", "192.0.2.3"]


@pytest.mark.parametrize("text", ["", "192.0.2", "host"])
def test_what_is_no_address_is_no_source(text: str) -> None:
    with pytest.raises(ValueError, match=r"address|network"):
        source_of(text)


BANNED = ("192.0.2.1/32", "192.0.2.0/24", "2001:db8::/64", "2001:db8::/32")


@given(
    st.lists(
        st.tuples(st.sampled_from(["ban", "lift", "expire"]), st.sampled_from(BANNED)), max_size=30
    )
)
def test_who_is_kept_out_is_who_has_a_ban_around_whatever_came_and_went(
    steps: list[tuple[str, str]],
) -> None:
    barrier = Barrier("node-1", most=3)
    for now, (step, source) in enumerate(steps):
        if step == "ban":
            barrier.ban(source, until=now + 4.0, by="node-2", now=now)
        elif step == "lift":
            barrier.lift(source)
        else:
            barrier.expire(now)
        bans = [ip_network(each.source) for each in barrier.bans() if each.until > now]
        for address in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:1::1", "10.0.0.1"):
            around = any(ip_address(address) in network for network in bans)
            assert (barrier.keeps_out(address, now) is not None) == around
        assert barrier._lengths.total() == len(barrier.bans())
