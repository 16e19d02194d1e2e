"""Servers that are known by what an authority says of their host keys."""

import base64
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paramiko
import pytest
from clocks import SetClock
from sftp_server import PASSWORD, sftp_server
from ssh_keys import make_key, sign_key
from sshd import Sshd, running_sshd

from mftgit.adapters.endpoint.contract import HostKeyError
from mftgit.adapters.sftp.endpoint import connect
from mftgit.model.locations.location import SftpLocation

KINDS = {"ed25519": (), "ecdsa": (), "rsa": ("-b", "2048")}
UNTIL = datetime(2027, 1, 1, tzinfo=UTC)
WINDOW = ("-V", "20260101000000Z:20270101000000Z")
OTHER_CA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINqHPD5s9DAzoF9WfStHb8C+BV2oiFNN6Hwp1oAWaTtc other"

needs_sshd = pytest.mark.needs("sshd")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd whose ed25519 key an authority ``ca`` has certified for 127.0.0.1 during 2026."""
    work = tmp_path_factory.mktemp("sshd")
    make_key(work / "ca", "ed25519")
    make_key(work / "certified", "ed25519")
    cert = sign_key(work / "ca", work / "certified", "sftp.example,127.0.0.1", "-h", *WINDOW)
    options = [f"HostKey {work}/certified", f"HostCertificate {cert}"]
    with running_sshd(work, options=options) as server:
        yield server


def authority(server: Sshd, name: str = "ca") -> str:
    return (server.folder.parent / f"{name}.pub").read_text(encoding="utf-8").strip()


def look(server: Sshd, location: SftpLocation, *, at: datetime | None = None) -> None:
    clock = SetClock() if at is None else SetClock(moment=at)
    with closing(connect(location, secrets_dir=server.secrets_dir, clock=clock)) as endpoint:
        endpoint.list_names(".")


@needs_sshd
def test_a_certified_server_needs_no_pinned_key(sshd: Sshd) -> None:
    look(sshd, sshd.location(host_keys=(), host_ca=(OTHER_CA, authority(sshd))))
    in_time = UNTIL - timedelta(seconds=1)
    look(sshd, sshd.location(host_keys=(), host_ca=(authority(sshd),)), at=in_time)


@needs_sshd
@pytest.mark.parametrize("kind", KINDS)
def test_keys_and_authorities_are_of_every_kind(tmp_path: Path, kind: str) -> None:
    make_key(tmp_path / "ca", kind, options=KINDS[kind])
    make_key(tmp_path / "host", kind, options=KINDS[kind])
    cert = sign_key(tmp_path / "ca", tmp_path / "host", "127.0.0.*", "-h")
    with running_sshd(
        tmp_path, options=[f"HostKey {tmp_path}/host", f"HostCertificate {cert}"]
    ) as server:
        look(server, server.location(host_keys=(), host_ca=(authority(server),)))


@needs_sshd
def test_an_expired_certificate_gets_no_credential(sshd: Sshd) -> None:
    location = sshd.location(host_keys=(), host_ca=(authority(sshd),))
    with pytest.raises(HostKeyError) as caught:
        look(sshd, location, at=UNTIL)
    told = (
        "with the certificate 'id-of-certified' (it is valid from 2026-01-01T00:00:00Z until 2027"
    )
    assert told in str(caught.value)
    assert "expects a certificate by SHA256:" in str(caught.value)
    assert "host_ca of locations/partner.yaml" in str(caught.value)
    log = sshd.log.read_text(encoding="utf-8")
    assert "Accepted" not in log.rpartition("Connection from")[2]


@needs_sshd
def test_a_certificate_of_another_authority_does_not_count_but_a_pinned_key_still_does(
    sshd: Sshd,
) -> None:
    with pytest.raises(HostKeyError, match="is none of host_ca"):
        look(sshd, sshd.location(host_keys=(), host_ca=(OTHER_CA,)))
    look(sshd, sshd.location(host_keys=(sshd.host_keys["ecdsa"],), host_ca=(OTHER_CA,)))


@needs_sshd
def test_a_certificate_for_another_host_does_not_count(sshd: Sshd) -> None:
    location = sshd.location(host_keys=(), host_ca=(authority(sshd),), host="localhost")
    with pytest.raises(HostKeyError, match=r"it is for 'sftp.example, 127.0.0.1', and not for"):
        look(sshd, location)


class Certified(paramiko.ECDSAKey):
    """A host key that shows ``blob`` as its certificate, whatever that is."""

    blob: bytes

    def get_name(self) -> str:
        return "ecdsa-sha2-nistp256-cert-v01@openssh.com"

    def asbytes(self) -> bytes:
        return self.blob

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
        del algorithm
        return paramiko.ECDSAKey.from_private_key_file(str(self.source)).sign_ssh_data(data)

    source: Path


def certified(tmp_path: Path, *, spoilt: bool) -> Certified:
    make_key(tmp_path / "ca", "ed25519")
    make_key(tmp_path / "host", "ecdsa", options=("-b", "256"))
    line = sign_key(tmp_path / "ca", tmp_path / "host", "127.0.0.1", "-h").read_text("utf-8")
    blob = base64.b64decode(line.split()[1])
    key = Certified.from_private_key_file(str(tmp_path / "host"))
    assert isinstance(key, Certified)
    key.source = tmp_path / "host"
    key.blob = blob.replace(b"id-of-host", b"id-of-hosT") if spoilt else blob
    return key


@pytest.mark.parametrize("spoilt", [False, True])
@pytest.mark.needs("ssh-keygen")
def test_a_certificate_counts_only_with_the_authoritys_own_signature(
    tmp_path: Path, *, spoilt: bool
) -> None:
    key = certified(tmp_path, spoilt=spoilt)
    (tmp_path / "served").mkdir()
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    ca = (tmp_path / "ca.pub").read_text(encoding="utf-8").strip()
    with sftp_server(tmp_path / "served", keys=(key,)) as server:
        location = server.location(host_keys=(), host_ca=(ca,))
        if not spoilt:
            connect(location, secrets_dir=tmp_path).close()
            return
        with pytest.raises(HostKeyError, match="its signature is not by that authority"):
            connect(location, secrets_dir=tmp_path)
        assert server.logins == []


def test_a_server_without_a_certificate_is_told_with_the_key_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    with sftp_server(tmp_path) as server, pytest.raises(HostKeyError) as caught:
        connect(server.location(host_keys=(), host_ca=(OTHER_CA,)), secrets_dir=tmp_path)
    assert f"showed the host key ecdsa-sha2-nistp256 {server.host_key.fingerprint}, but" in str(
        caught.value
    )
