"""Inbound in a real Chromium, of the controller's own service: see a client that is logged in, and end its session."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import paramiko
import pytest
from accessible import check_page
from browser import browser
from cluster import Cluster, cluster
from manager_window import log_in
from patient_ssh import transport_to
from ports import own_port
from ssh_keys import make_key
from waiting import until

pytestmark = [
    pytest.mark.needs("git"),
    pytest.mark.needs("ssh-keygen"),
    pytest.mark.needs("chromium"),
    pytest.mark.needs("chromedriver"),
]

HOSTILE = "up <img src=x onerror=alert(1)>.csv"


@dataclass(frozen=True)
class Place:
    """Where the Web Manager is, and how to log in there."""

    url: str
    password: str


def documents(root: Path, port: int) -> dict[str, str]:
    key = (root / "acme.pub").read_text(encoding="ascii").strip()
    return {
        "cluster.yaml": "name: c\nconfirm: {within_s: 300}\n",  # a worker may take long to begin
        "members/controller.yaml": "role: controller\n",
        "locations/homes.yaml": "type: local\npath: .\n",
        "services/partners.yaml": f"type: sftp\nlisten: {{address: 127.0.0.1, port: {port}}}\n"
        "host_keys: [{file: host}]\nprocesses: 1\n",
        "accounts/acme.yaml": f'home: {{location: homes, path: acme}}\nlogin: {{keys: ["{key}"]}}\n',
    }


@dataclass
class Serving:
    made: Cluster
    port: int


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    make_key(tmp_path / "acme", "ed25519")
    with cluster(tmp_path) as made, own_port() as port:
        for path, text in documents(tmp_path, port).items():
            (tmp_path / "documents" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "documents" / path).write_text(text, encoding="utf-8")
        made.init(tmp_path / "documents")
        make_key(made.dir("controller") / "secrets" / "host", "ed25519")
        made.start_controller()
        made.until(
            "it serves",
            lambda: (
                [each["state"] for each in made.member("controller")["services"]] == ["serving"]
            ),
        )
        yield Serving(made, port)


def test_a_client_is_seen_while_it_is_there_and_shown_out(serving: Serving, tmp_path: Path) -> None:
    access = serving.made.access
    key = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "acme"))
    with (
        closing(transport_to(serving.port)) as client,
        browser(tmp_path / "window") as window,
    ):
        client.connect(username="acme", pkey=key)
        files = paramiko.SFTPClient.from_transport(client)
        assert files is not None
        with files.open(f"/{HOSTILE}", "w") as file:
            file.write(b"x" * 1000)
        log_in(window, Place(url=access["url"], password=access["password"]))
        window.open(f"{access['url']}/inbound")
        window.shows("acme: 1 session")
        window.shows("1 file, 1.")
        check_page(window, "inbound-session")
        button = "button[aria-label='End session 1 of acme at controller']"
        until(lambda: window.run("return document.querySelector(arguments[0]) !== null", button))
        window.type(button, "\ue007")
        window.shows("end-session is given to controller")
        until(lambda: not client.is_active())
        window.shows("carried out")
        window.shows("Nobody is logged in.")
        window.open(f"{access['url']}/inbound/history?of=upload")
        window.shows(HOSTILE)
        check_page(window, "uploads")
        until(lambda: _whys(serving.made) == ["ended by operator admin"])


def _whys(made: Cluster) -> list[object]:
    """Return why each session ended."""
    return [each["why"] for each in made.events() if each["event"] == "SessionClosed"]
