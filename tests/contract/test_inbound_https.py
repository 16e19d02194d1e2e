"""A service of HTTPS with its real processes, and curl."""

import base64
import subprocess
from collections.abc import Sequence
from http.client import HTTPSConnection
from pathlib import Path
from ssl import create_default_context

import argon2
import pytest
from cryptography.x509 import load_pem_x509_certificate
from ftps_server import make_certificates
from haproxy import FROM, running_haproxy
from inbound_site import HOMES, WAIT_S, InboundSite, inbound_site, until
from ports import own_port

from mftgit.adapters.clock import rfc3339
from mftgit.errors import ConfigError
from mftgit.model.events.event import EventName
from mftgit.model.inbound.service_status import ServiceState
from mftgit.model.names import ServiceName

pytestmark = [pytest.mark.needs("curl"), pytest.mark.needs("ssh-keygen")]

HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("correct horse")


def _documents(site: InboundSite) -> dict[str, str]:
    return HOMES | {
        "services/web.yaml": f"type: https\nlisten: {{address: 127.0.0.1, port: {site.port}}}\n"
        "certificate: {file: web.pem}\nprocesses: 1\n",
        "accounts/acme.yaml": "home: {location: homes, path: acme}\nlogin: {password: {file: acme}}\n",
        "accounts/other.yaml": "home: {location: homes, path: other}\nlogin: {password: {file: acme}}\n",
    }


def _secret(site: InboundSite, name: str, content: bytes) -> None:
    path = site.folder.secrets / name
    path.write_bytes(content)
    path.chmod(0o600)


def test_files_come_by_https_as_by_sftp_and_a_removed_account_is_shown_out(tmp_path: Path) -> None:
    certificates = make_certificates("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(certificates.authority.certificate)
    with inbound_site(tmp_path) as site:
        _secret(site, "acme", HASHED.encode())
        _secret(site, "web.pem", certificates.server.certificate)  # and no key
        with pytest.raises(ConfigError, match=r"service web: .*certificate"):
            site.prepare(_documents(site))
        _secret(site, "web.pem", certificates.server.certificate + certificates.server.key)
        site.apply(_documents(site))
        until("it serves", lambda: site.status().state is ServiceState.SERVING)
        shown = load_pem_x509_certificate(certificates.server.certificate)
        assert site.status().certificate_until == rfc3339(shown.not_valid_after_utc)

        done = subprocess.run(
            [
                "curl", "-sS", "--cacert", str(tmp_path / "ca.pem"), "-u", "acme:correct horse",
                "-T", "-", "-w", "%{http_code}", f"https://127.0.0.1:{site.port}/report",
            ],
            input=b"content",
            capture_output=True,
            timeout=WAIT_S,
            check=True,
        )  # fmt: skip
        assert done.stdout.endswith(b"201")
        assert (site.home("acme") / "report").read_bytes() == b"content"
        (upload,) = site.events(EventName.UPLOAD_FINISHED)
        assert (upload["account"], upload["path"], upload["service"]) == ("acme", "/report", "web")
        assert [finished.path for _, finished in site.arrived] == ["/report"]

        context = create_default_context(cadata=certificates.ca)
        staying = HTTPSConnection("127.0.0.1", site.port, context=context, timeout=WAIT_S)
        leaving = HTTPSConnection("127.0.0.1", site.port, context=context, timeout=WAIT_S)
        assert (_get(staying, "other"), _get(leaving, "acme")) == (200, 200)
        site.apply({path: text for path, text in _documents(site).items() if "acme" not in path})
        assert leaving.sock.recv(1) == b""
        assert _get(staying, "other") == 200

        sending = HTTPSConnection("127.0.0.1", site.port, context=context, timeout=WAIT_S)
        site.may_write.clear()
        sending.request("PUT", "/report", b"content", _basic("other"))
        until("the file is there", (site.home("other") / "report").exists)
        site.inbound._services.running[ServiceName("web")].end_idle("the member stops")
        assert staying.sock.recv(1) == b""
        site.may_write.set()
        assert sending.getresponse().status == 201
        sending.close()
        for each in (staying, leaving):
            each.close()


@pytest.mark.needs("haproxy")
def test_haproxy_passes_https_on_and_tells_the_client_s_own_address(tmp_path: Path) -> None:
    certificates = make_certificates("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(certificates.authority.certificate)
    with own_port() as health, inbound_site(tmp_path) as site:
        _secret(site, "acme", HASHED.encode())
        _secret(site, "web.pem", certificates.server.certificate + certificates.server.key)
        documents = _documents(site)
        documents["services/web.yaml"] += (
            f"proxy_protocol: {{from: [{FROM}]}}\nhealth: {{address: 127.0.0.1, port: {health}}}\n"
        )
        site.apply(documents)
        until("it serves", lambda: site.status().state is ServiceState.SERVING)
        member = ("node-1", site.port, health)
        with running_haproxy(tmp_path, [member], kind="https") as balancer:
            until("it was asked", lambda: balancer.is_up("node-1"))
            assert _put(tmp_path, balancer.port, client="127.0.0.7") == (0, b"201")
            (opened,) = site.events(EventName.SESSION_OPENED)
            assert (opened["account"], opened["source"]) == ("acme", "127.0.0.7")
            assert (site.home("acme") / "report").read_bytes() == b"content"
            # Who comes past the balancer may tell no address, and who comes from it has to.
            assert _put(tmp_path, site.port, client="127.0.0.7") == (0, b"200")  # it is there
            assert (
                _put(tmp_path, site.port, client="127.0.0.7", more=["--haproxy-protocol"])[0] != 0
            )
            assert _put(tmp_path, site.port, client=FROM)[0] != 0
            assert len(site.events(EventName.SESSION_OPENED)) == 2


def _put(work: Path, port: int, *, client: str, more: Sequence[str] = ()) -> tuple[int, bytes]:
    """Upload from ``client``, an address; return the status of curl and the end of what it says, that of HTTP."""
    done = subprocess.run(
        [
            "curl", "-sS", "--cacert", str(work / "ca.pem"), "-u", "acme:correct horse", "--interface", client,
            *more, "-T", "-", "-w", "%{http_code}", f"https://127.0.0.1:{port}/report",
        ],
        input=b"content",
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout[-3:]


def _basic(name: str) -> dict[str, str]:
    shown = base64.b64encode(f"{name}:correct horse".encode()).decode()
    return {"Authorization": f"Basic {shown}", "Accept": "application/json"}


def _get(connection: HTTPSConnection, name: str) -> int:
    connection.request("GET", "/", headers=_basic(name))
    answer = connection.getresponse()
    answer.read()
    return answer.status
