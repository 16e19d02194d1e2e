"""A large file to a server that is far away goes over several channels of one connection, and arrives as it was."""

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sshd import Sshd, running_sshd

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.adapters.sftp import session as sftp_session
from mftgit.adapters.sftp.endpoint import SftpEndpoint, connect
from mftgit.adapters.sftp.transfer import WIDEN_AFTER_BYTES
from mftgit.model.locations.location import Client

pytestmark = pytest.mark.needs("sshd")
CONTENT = os.urandom(2 * WIDEN_AFTER_BYTES + 12_345)
_CHUNK = 1 << 20


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every server for one that is far away."""
    monkeypatch.setattr(sftp_session, "FAR_S", 0.0)


def opened(sshd: Sshd, channels: int = 8) -> SftpEndpoint:
    return connect(replace(sshd.location(), channels=channels), secrets_dir=sshd.secrets_dir)


def pieces(content: bytes) -> Iterator[bytes]:
    return (content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK))


def sessions(sshd: Sshd) -> int:
    """Return how many sessions there were, over all connections."""
    return sshd.log.read_text(encoding="utf-8").count("Starting session: forced-command")


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("channels", [1, 3, 8])
def test_a_file_over_several_channels_arrives_as_it_was(sshd: Sshd, channels: int) -> None:
    before, name = sessions(sshd), f"over-{channels}"
    with closing(opened(sshd, channels)) as endpoint:
        for number in range(2):  # the second one goes over those that are there
            size = endpoint.write(f"{name}-{number}", pieces(CONTENT), on_chunk=lambda _: None)
            assert size == len(CONTENT)
            assert (sshd.folder / f"{name}-{number}").read_bytes() == CONTENT
        assert endpoint.write(f"{name}-small", iter([b"small"]), on_chunk=lambda _: None) == 5
    assert sessions(sshd) - before == channels


@pytest.mark.usefixtures("far")
def test_it_is_gone_on_with_over_several_channels(sshd: Sshd) -> None:
    (sshd.folder / "half").write_bytes(CONTENT[:_CHUNK])
    with closing(opened(sshd)) as endpoint:
        rest = pieces(CONTENT[_CHUNK:])
        endpoint.write("half", rest, on_chunk=lambda _: None, resume_at=_CHUNK)
    assert (sshd.folder / "half").read_bytes() == CONTENT


def test_to_a_server_that_is_near_it_goes_over_one(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp_session, "FAR_S", 60.0)  # loopback takes a busy machine a while, too
    before = sessions(sshd)
    with closing(opened(sshd)) as endpoint:
        assert 0 < endpoint.round_trip_s < sftp_session.FAR_S
        endpoint.write("near", pieces(CONTENT), on_chunk=lambda _: None)
    assert sessions(sshd) - before == 1


@pytest.mark.usefixtures("far")
def test_a_server_that_allows_one_channel_gets_the_file_over_that(tmp_path: Path) -> None:
    with (
        running_sshd(tmp_path, options=["MaxSessions 1"]) as sshd,
        closing(opened(sshd)) as endpoint,
    ):
        endpoint.write("a", pieces(CONTENT), on_chunk=lambda _: None)
        assert (sshd.folder / "a").read_bytes() == CONTENT


@pytest.mark.usefixtures("far")
def test_openssh_s_own_client_has_one(sshd: Sshd) -> None:
    location = replace(sshd.location(), client=Client.OPENSSH)
    with closing(connect(location, secrets_dir=sshd.secrets_dir)) as endpoint:
        endpoint.write("child", pieces(CONTENT), on_chunk=lambda _: None)
    assert (sshd.folder / "child").read_bytes() == CONTENT


@pytest.mark.usefixtures("far")
def test_a_connection_that_is_lost_on_several_channels_is_told(tmp_path: Path) -> None:
    with running_sshd(tmp_path) as sshd, closing(opened(sshd)) as endpoint:

        def hang_up(sent_bytes: int) -> None:
            if sent_bytes > 2 * WIDEN_AFTER_BYTES - _CHUNK:
                for process in sshd.sessions():
                    with suppress(ProcessLookupError):  # since the last chunk
                        os.kill(process, 9)

        with pytest.raises(EndpointLostError):
            endpoint.write("a", pieces(CONTENT * 3), on_chunk=hang_up)
        assert not endpoint.is_open
