"""Leases in etcd that their owner knows nothing of, etcds that are not one, and etcds that were set back."""

import base64
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from coordination import Member
from etcd_cluster import Cluster, Etcd, lone_etcd
from tls_script import answer, scripted
from waiting import WAIT_S

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.coordinator import CoordinatorUnavailableError, SessionLostError, Wish
from mftgit.adapters.etcd.calls import Access
from mftgit.adapters.etcd.probe import try_etcd
from mftgit.errors import ConfigError
from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.etcd import Endpoint
from mftgit.model.ownership.etcd_values import FIRST, parse_raised
from mftgit.model.ownership.standing import Handover

pytestmark = pytest.mark.needs("etcd")

T = TransferName("t")
TTL_S = 18.0
Said = TypeVar("Said")


def again(ask: Callable[[], Said]) -> Said:
    """Ask until there is an answer."""
    for _ in range(int(WAIT_S / 0.05)):
        with suppress(CoordinatorUnavailableError):
            return ask()
        time.sleep(0.05)  # noqa: TID251  a test
    raise AssertionError("no answer")


def only(etcds: Cluster, etcd: Etcd, name: str, prefix: str) -> Member:
    """Return a member that knows of one etcd alone."""
    access = Access(endpoints=(Endpoint(scheme="http", host="127.0.0.1", port=etcd.gate.port),))
    return Member(etcds.coordinator_by(access, name, prefix, ttl_s=TTL_S))


def test_what_was_taken_without_a_reply_and_is_not_wanted_any_more_goes_to_another(
    etcds: Cluster,
) -> None:
    """Its owner is drained, say, and goes on renewing its session: nobody would ever have the key."""
    prefix = etcds.fresh_prefix()
    etcd = etcds.etcds[0]
    one = only(etcds, etcd, "one", prefix)
    two = Member(etcds.coordinator("two", prefix, ttl_s=TTL_S))
    etcd.gate.shut(up=False)
    with pytest.raises(CoordinatorUnavailableError):
        one.coordinator.take(one.session, {T: Wish(why="")})
    etcd.gate.open()
    until = time.monotonic() + WAIT_S
    while again(lambda: two.take(T)) is None:
        assert time.monotonic() < until, "nobody has it, and nobody may have it"
        for each in (one, two):
            with suppress(CoordinatorUnavailableError):
                each.renew()
        with suppress(CoordinatorUnavailableError):
            one.coordinator.look()
    assert two.view(T).owner == "two"


def test_a_full_etcd_keeps_nobody_from_giving_back_and_taking(etcds: Cluster) -> None:
    """It grants no lease of its own, such as the one for the words of a handover."""
    prefix = etcds.fresh_prefix()
    one, two = (Member(etcds.coordinator(name, prefix, ttl_s=TTL_S)) for name in ("one", "two"))
    epoch = one.take(T)
    assert epoch is not None
    etcd = etcds.etcds[0]
    alarm = {"memberID": str(etcd.id), "alarm": "NOSPACE"}
    etcd.ask("/maintenance/alarm", alarm | {"action": "ACTIVATE"})
    try:
        one.renew()
        with pytest.raises(CoordinatorUnavailableError, match="space"):
            one.open()
        one.coordinator.give_back(one.session, {T: Handover(epoch=epoch)})
        assert two.take(T) is not None
        two.coordinator.close(two.session, "over")
    finally:
        etcd.ask("/maintenance/alarm", alarm | {"action": "DEACTIVATE"})
    assert one.take(T) is not None


def kill_all(etcds: Cluster) -> dict[Path, Path]:
    """Return where the data of each is, and where a copy of it may be."""
    for each in etcds.etcds:
        each.kill()
    folders = [each.log.parent / each.name for each in etcds.etcds]
    return {folder: folder.with_suffix(".kept") for folder in folders}


def keep_copies(etcds: Cluster) -> None:
    for folder, copy in kill_all(etcds).items():
        shutil.copytree(folder, copy)
    etcds.heal()


def set_back(etcds: Cluster) -> None:
    for folder, copy in kill_all(etcds).items():
        shutil.rmtree(folder)
        copy.rename(folder)
    etcds.heal()


def test_who_owned_before_etcd_was_set_back_stands_down_and_no_epoch_comes_again(
    etcds: Cluster,
) -> None:
    """The session is in the copy and the lease is not; what another one takes instead has the same revision."""
    prefix = etcds.fresh_prefix()
    one, two = (Member(etcds.coordinator(name, prefix, ttl_s=60.0)) for name in ("one", "two"))
    keep_copies(etcds)
    epoch = again(lambda: one.take(T))
    assert again(lambda: one.view(T)).owner == "one"

    set_back(etcds)
    assert again(lambda: two.take(T)) not in {None, epoch}
    with pytest.raises(SessionLostError):
        again(one.coordinator.look)


def tried(*endpoints: Endpoint, prefix: str = "/tried", cluster_id: str = "c") -> str:
    return try_etcd(
        Access(endpoints=endpoints),
        prefix=prefix,
        member=MemberName("one"),
        cluster_id=cluster_id,
        clock=SystemClock(),
    )


def test_keys_of_another_cluster_are_refused(etcds: Cluster) -> None:
    """Two clusters may have one name, and their transfers too."""
    prefix = etcds.fresh_prefix()
    for _ in range(2):
        assert tried(*etcds.endpoints, prefix=prefix, cluster_id="ours")
    with pytest.raises(ConfigError, match=f"'ours', as {prefix}/cluster .* prefix of its own"):
        tried(*etcds.endpoints, prefix=prefix, cluster_id="theirs")
    assert tried(*etcds.endpoints, prefix=f"{prefix}-theirs", cluster_id="theirs")
    assert tried(*etcds.endpoints, prefix=prefix, cluster_id="ours")


@pytest.mark.parametrize("value", [b"{", b"-1", b"", b"\xff", b"9" * 30])
def test_a_damaged_number_that_epochs_begin_with_is_written_anew(
    etcds: Cluster, value: bytes
) -> None:
    prefix = etcds.fresh_prefix()
    key = base64.b64encode(f"{prefix}/raised".encode()).decode()
    etcds.etcds[0].ask("/kv/put", {"key": key, "value": base64.b64encode(value).decode()})
    one = Member(etcds.coordinator("one", prefix, ttl_s=TTL_S))
    epoch = one.take(T)
    assert epoch is not None
    assert epoch > FIRST
    (found,) = etcds.etcds[0].ask("/kv/range", {"key": key})["kvs"]
    assert parse_raised(base64.b64decode(found["value"])) == FIRST
    higher = one.take(TransferName("u"), above=epoch + 10**15)
    assert higher is not None
    assert higher > epoch + 10**15


def test_endpoints_of_two_etcds_are_refused(etcds: Cluster) -> None:
    """Each by itself works, and each would give the same transfer to somebody."""
    assert tried(*etcds.endpoints)
    with lone_etcd() as other, pytest.raises(ConfigError, match=f"{other.port}.*another etcd"):
        tried(*etcds.endpoints, other)


def test_an_etcd_of_which_one_server_is_away_is_taken(etcds: Cluster) -> None:
    for each in (etcds.etcds[0], etcds.etcds[2]):
        each.gate.shut()
        assert tried(*etcds.endpoints)
        each.gate.open()


@pytest.mark.parametrize("said", [b'{"header": {}}', b'{"header": 1}', b"[" * 100_000])
def test_whoever_answers_and_is_no_etcd_is_refused(said: bytes) -> None:
    with scripted(None, answer("200 OK", said)) as server, pytest.raises(ConfigError, match="etcd"):
        tried(Endpoint(scheme="http", host="127.0.0.1", port=server.port))
