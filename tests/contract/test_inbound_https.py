"""A service of HTTPS with its real processes, and curl."""

import base64
import subprocess
from http.client import HTTPSConnection
from pathlib import Path
from ssl import create_default_context

import argon2
import pytest
from ftps_server import make_certificates
from inbound_site import HOMES, WAIT_S, InboundSite, inbound_site, until

from mftgit.errors import ConfigError
from mftgit.model.events import EventName
from mftgit.model.service_status import ServiceState

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
        for each in (staying, leaving):
            each.close()


def _get(connection: HTTPSConnection, name: str) -> int:

    shown = base64.b64encode(f"{name}:correct horse".encode()).decode()
    headers = {"Authorization": f"Basic {shown}", "Accept": "application/json"}
    connection.request("GET", "/", headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer.status
