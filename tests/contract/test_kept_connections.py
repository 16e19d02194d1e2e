"""Connections to partners outlive the run that made them, for a while and up to a number."""

import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from clocks import SetClock
from sshd import Sshd

from mftgit.adapters.endpoint.contract import EndpointLostError, RemoteEndpoint
from mftgit.adapters.sftp.endpoint import connect
from mftgit.member.outbound.places.connections import Connections
from mftgit.model.locations.location import SftpLocation
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

pytestmark = pytest.mark.needs("sshd")


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def kept(clock: SetClock) -> Iterator[Connections]:
    with closing(Connections(clock=clock)) as made:
        yield made


def lend(kept: Connections, sshd: Sshd, location: SftpLocation) -> RemoteEndpoint:
    """Lend one by ``location``, whose ``connect_timeout_s`` is for who waits for a place alone."""
    patient = replace(location, connect_timeout_s=60.0)
    return kept.lend(location, {}, lambda: connect(patient, secrets_dir=sshd.secrets_dir))


def is_closed(endpoint: RemoteEndpoint) -> bool:
    return not endpoint.is_open


def test_a_connection_is_used_again_by_the_next_run(kept: Connections, sshd: Sshd) -> None:
    first = lend(kept, sshd, sshd.location())
    kept.give_back(first)
    assert lend(kept, sshd, sshd.location()) is first
    assert first.list_names(".") is not None


def test_one_that_is_in_use_is_not_lent_again(kept: Connections, sshd: Sshd) -> None:
    first = lend(kept, sshd, sshd.location())
    second = lend(kept, sshd, sshd.location())
    assert first is not second
    for each in (first, second):
        kept.give_back(each)


def test_one_that_nobody_used_for_long_is_closed(
    kept: Connections, sshd: Sshd, clock: SetClock
) -> None:
    location = replace(sshd.location(), idle_s=60)
    first = lend(kept, sshd, location)
    kept.give_back(first)
    clock.pass_s(59)
    kept.sweep()
    assert first.is_open
    clock.pass_s(1)
    kept.sweep()
    assert is_closed(first)
    assert lend(kept, sshd, location) is not first


def test_without_idle_time_none_is_kept(kept: Connections, sshd: Sshd) -> None:
    first = lend(kept, sshd, replace(sshd.location(), idle_s=0))
    kept.give_back(first)
    assert is_closed(first)


def test_one_that_was_lost_meanwhile_is_replaced(kept: Connections, sshd: Sshd) -> None:
    first = lend(kept, sshd, sshd.location())
    kept.give_back(first)
    first._conversation._connection.transport.sock.close()  # type: ignore[attr-defined]
    second = lend(kept, sshd, sshd.location())
    assert second is not first
    assert second.is_alive()


def test_another_secret_is_another_connection(kept: Connections, sshd: Sshd) -> None:
    private = (sshd.secrets_dir / "client").read_text(encoding="utf-8")
    name = SecretName("key")
    (way,) = sshd.location().auth
    location = replace(sshd.location(), auth=(replace(way, file=None, secret=name),))

    def with_secret(text: str) -> RemoteEndpoint:
        secrets = {name: SecretValue(text)}
        return kept.lend(
            location,
            secrets,
            lambda: connect(location, secrets_dir=sshd.secrets_dir, secrets=secrets),
        )

    first = with_secret(private)
    kept.give_back(first)
    assert with_secret(private + "\n") is not first


def test_no_more_are_made_than_the_location_allows(kept: Connections, sshd: Sshd) -> None:
    location = replace(sshd.location(), max_connections=1, connect_timeout_s=1.0)
    first = lend(kept, sshd, location)
    with pytest.raises(EndpointLostError, match="raise max_connections of locations/"):
        lend(kept, sshd, location)
    waited: list[RemoteEndpoint] = []
    patient = replace(location, connect_timeout_s=60.0)
    kept.give_back(first)
    second = lend(kept, sshd, patient)  # the one of other options makes room
    assert is_closed(first)
    thread = threading.Thread(target=lambda: waited.append(lend(kept, sshd, patient)))
    thread.start()
    kept.give_back(second)
    thread.join(60)
    assert waited == [second]


def test_a_connection_that_cannot_be_made_takes_no_place(kept: Connections, sshd: Sshd) -> None:
    location = replace(sshd.location(), max_connections=1, connect_timeout_s=5.0)

    def fail() -> RemoteEndpoint:
        raise EndpointLostError("nobody there")

    for _ in range(3):
        with pytest.raises(EndpointLostError, match="nobody there"):
            kept.lend(location, {}, fail)
    assert lend(kept, sshd, location).is_alive()


def test_after_the_end_nothing_is_kept(kept: Connections, sshd: Sshd) -> None:
    first, second = (lend(kept, sshd, sshd.location()) for _ in range(2))
    kept.give_back(first)
    kept.close()
    assert is_closed(first)
    kept.give_back(second)
    assert is_closed(second)
