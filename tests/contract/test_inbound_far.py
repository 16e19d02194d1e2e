"""Clients of a member's real processes in virtual folders that lie on servers: a partner's sshd, and one that hangs."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import argon2
import paramiko
import pytest
import ssh_keys
from cut_line import cut_line
from ftps_server import make_certificates
from inbound_site import HOMES, IN_ROUNDS, WAIT_S, InboundSite, inbound_site, until
from member_folder import NODE
from secret_documents import make_key, sealed
from sshd import Sshd, running_sshd

from mftgit.errors import ConfigError
from mftgit.model.events.event import EventName
from mftgit.model.inbound.service_status import ServiceState
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

pytestmark = [pytest.mark.needs("sftp"), pytest.mark.needs("sshd")]

HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("correct horse")
FOLDERS = "folders: [{at: /partner, location: partner, path: in}, {at: /hung, location: hung}]\n"


@pytest.fixture(scope="module")
def partner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        (server.folder / "in").mkdir()
        yield server


@pytest.fixture
def site(tmp_path: Path, partner: Sshd) -> Iterator[InboundSite]:
    for path in (partner.folder / "in").iterdir():
        path.unlink(missing_ok=True)
    with inbound_site(tmp_path) as made:
        _secret(made, "client", (partner.secrets_dir / "client").read_bytes())
        yield made


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Give a server that lets clients connect and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_S)
        yield listener


def _secret(site: InboundSite, name: str, content: bytes) -> None:
    path = site.folder.secrets / name
    path.write_bytes(content)
    path.chmod(0o600)


def documents(site: InboundSite, partner: Sshd, hung_port: int) -> dict[str, str]:
    there = partner.location()
    login = f"username: {there.username}\nauth: [{{private_key: {{file: client}}}}]\n"
    keys = f"host_keys: ['{there.host_keys[0]}', '{there.host_keys[1]}']\n"
    return HOMES | {
        "services/sftp.yaml": site.service(),
        "accounts/acme.yaml": site.account("acme", FOLDERS),
        "locations/partner.yaml": f"type: sftp\nhost: 127.0.0.1\nport: {partner.port}\n"
        f"path: {partner.folder}\n{login}{keys}",
        "locations/hung.yaml": f"type: sftp\nhost: 127.0.0.1\nport: {hung_port}\npath: .\n{login}{keys}",
    }


def _lists(client: paramiko.SFTPClient, path: str) -> bool:
    try:
        client.listdir(path)
    except OSError:
        return False
    return True


def _in_vain(file: paramiko.SFTPFile) -> None:
    """Close ``file``, of which nobody hears that it is there."""
    with suppress(OSError, EOFError, paramiko.SSHException):
        file.close()


def test_a_client_works_in_a_folder_of_a_partner(
    site: InboundSite, partner: Sshd, silent: socket.socket
) -> None:
    site.apply(documents(site, partner, silent.getsockname()[1]))
    (site.root / "report").write_text("content", encoding="utf-8")

    done = site.sftp(
        "acme",
        "ls /",
        "put report /partner/report",
        "mkdir /partner/new",
        "rename /partner/report /partner/new/report",
        "ls -l /partner/new",
        "get /partner/new/report back",
    )

    assert done.returncode == 0, done.stdout
    assert {"/partner", "/hung"} <= set(done.stdout.split())  # and nobody was asked for that
    assert (partner.folder / "in" / "new" / "report").read_text(encoding="utf-8") == "content"
    assert (site.root / "back").read_text(encoding="utf-8") == "content"
    (upload,) = site.events(EventName.UPLOAD_FINISHED)
    assert (upload["path"], upload["file"]) == ("/partner/report", "partner:in/report")
    (download,) = until("it is told", lambda: site.events(EventName.DOWNLOAD_FINISHED))
    assert (download["path"], download["sent_bytes"]) == ("/partner/new/report", 7)
    assert site.sftp("acme", "rm /partner/new/report", "rmdir /partner/new").returncode == 0
    assert list((partner.folder / "in").iterdir()) == []
    assert list(site.home("acme").iterdir()) == []


def test_a_partner_that_hangs_stops_nobody_else(
    site: InboundSite, partner: Sshd, silent: socket.socket
) -> None:
    site.apply(documents(site, partner, silent.getsockname()[1]))
    (partner.folder / "in" / "there").write_bytes(b"x")
    failed: list[OSError] = []
    with (
        site.client("acme", ciphers=IN_ROUNDS) as one,
        site.client("acme", ciphers=IN_ROUNDS) as other,
    ):
        other.chdir("/")

        def ask() -> None:
            try:
                one.stat("/hung/report")
            except OSError as error:
                failed.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        held, _ = silent.accept()  # the partner is being asked, and does not answer
        with held:
            for _ in range(3):
                assert other.listdir("/partner") == ["there"]
                assert {"hung", "partner"} <= set(other.listdir("/"))
                other.open("mine", "w").close()
            assert asking.is_alive()
        silent.close()
        asking.join(WAIT_S)
        assert not asking.is_alive()
        assert "cannot be reached" in str(failed[0])
        assert "mine" in one.listdir("/")  # its session goes on


def test_what_logs_in_to_a_partner_has_to_be_there(
    site: InboundSite, partner: Sshd, silent: socket.socket
) -> None:
    (site.folder.secrets / "client").unlink()
    with pytest.raises(ConfigError, match=r"account acme cannot be let in: .*client"):
        site.prepare(documents(site, partner, silent.getsockname()[1]))


@pytest.mark.needs("curl")
def test_a_page_shows_the_folder_of_a_partner(
    site: InboundSite, partner: Sshd, silent: socket.socket
) -> None:
    certificates = make_certificates("127.0.0.1")
    (site.root / "ca.pem").write_bytes(certificates.authority.certificate)
    _secret(site, "acme", HASHED.encode())
    _secret(site, "web.pem", certificates.server.certificate + certificates.server.key)
    web = (
        f"type: https\nlisten: {{address: 127.0.0.1, port: {site.port}}}\n"
        "certificate: {file: web.pem}\nprocesses: 1\n"
    )
    made = documents(site, partner, silent.getsockname()[1])
    made |= {
        "services/sftp.yaml": web,
        "accounts/acme.yaml": "home: {location: homes, path: acme}\nlogin: {password: {file: acme}}\n"
        + FOLDERS,
    }
    site.apply(made)
    until("it serves", lambda: site.status().state is ServiceState.SERVING)

    def curl(*words: str, path: str = "/partner/web.csv") -> bytes:
        return subprocess.run(
            [
                "curl", "-sS", "--fail-with-body", "--cacert", str(site.root / "ca.pem"),
                "-u", "acme:correct horse", *words, f"https://127.0.0.1:{site.port}{path}",
            ],
            input=b"content",
            capture_output=True,
            timeout=WAIT_S,
            check=True,
        ).stdout  # fmt: skip

    assert b"7 bytes" in curl("-T", "-")
    assert (partner.folder / "in" / "web.csv").read_bytes() == b"content"
    assert b"web.csv" in curl(path="/partner/")
    assert curl("-r", "3-") == b"tent"
    curl("-X", "DELETE")
    assert not (partner.folder / "in" / "web.csv").exists()


def test_a_secret_of_the_repository_logs_in_and_a_new_one_is_used_by_sessions_that_are_there(
    site: InboundSite, partner: Sshd, silent: socket.socket
) -> None:
    key = (partner.secrets_dir / "client").read_text(encoding="ascii")
    ssh_keys.make_key(site.root / "other", "ed25519")
    other = (site.root / "other").read_text(encoding="ascii")
    member = make_key(site.root, "age")
    made = documents(site, partner, silent.getsockname()[1]) | {
        f"members/{NODE}.yaml": f"role: node\nage_recipient: {member.public}\n",
        "secrets/partner.yaml": sealed("partner", "not looked into here", member),
    }
    for name in ("partner", "hung"):
        path = f"locations/{name}.yaml"
        made[path] = made[path].replace("{file: client}", "{secret: partner}")
    site.apply(made, secrets={SecretName("partner"): SecretValue(other)})
    with site.client("acme", ciphers=IN_ROUNDS) as client:
        with pytest.raises(OSError, match="cannot be reached"):
            client.listdir("/partner")
        site.apply(made, secrets={SecretName("partner"): SecretValue(key)})
        until("it is told", lambda: _lists(client, "/partner"))


def test_a_client_that_leaves_while_its_file_is_sent_on_leaves_no_file_there(
    site: InboundSite, partner: Sshd, silent: socket.socket
) -> None:
    with cut_line(partner.port) as line:
        made = documents(site, partner, silent.getsockname()[1])
        path = "locations/partner.yaml"
        site.apply(made | {path: made[path].replace(f"port: {partner.port}", f"port: {line.port}")})
        with site.client("acme", ciphers=IN_ROUNDS) as client:
            file = client.open("/partner/report", "w")
            file.write(b"x" * 4_000_000)
            client.stat("/partner/report")  # all of it has come
            line.mend(hang_up=500_000)
            closing = threading.Thread(target=_in_vain, args=(file,))
            closing.start()
            assert line.stuck.wait(WAIT_S)
            channel = client.get_channel()
            assert channel is not None
            transport = channel.get_transport()
            transport.sock.shutdown(socket.SHUT_WR)
            until("the member sees it", lambda: not transport.is_active())
            closing.join(WAIT_S)
        line.resume()
        until("the session is over", lambda: site.events(EventName.SESSION_CLOSED))
    assert not (partner.folder / "in" / "report").exists()
    assert site.events(EventName.UPLOAD_FINISHED) == []
    (left,) = site.home("acme").iterdir()
    assert left.stat().st_size == 4_000_000
