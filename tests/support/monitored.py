"""A controller and a node with pages of their own, work to do, and a real Prometheus that scrapes both."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from cluster import Cluster, cluster
from ftps_server import make_certificates
from ports import own_port
from ssh_keys import make_key, program

NODE, ACCOUNT = "node-1", "customer"


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: str


def ask(url: str, *, method: str = "GET") -> Said:
    """Return what ``url`` answers, whatever it is."""
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Said(
                status=answer.status, headers=dict(answer.headers), body=answer.read().decode()
            )
    except HTTPError as error:
        with error:
            return Said(status=error.code, headers=dict(error.headers), body=error.read().decode())


@dataclass(kw_only=True)
class Monitored:
    """What a test looks at; ``pages`` are the ports of the members' own pages."""

    made: Cluster
    clone: Path
    pages: Mapping[str, int]
    service: int
    prometheus: int

    def url(self, member: str, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.pages[member]}{path}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that Prometheus has for ``expression``; it has to take it."""
        asked = urlencode({"query": expression})
        said = ask(f"http://127.0.0.1:{self.prometheus}/api/v1/query?{asked}")
        answer = json.loads(said.body)
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, member: str, name: str) -> float | None:
        """Return a value of a member's metrics, called as it is written there."""
        for line in ask(self.url(member, "/metrics")).body.splitlines():
            found, _, value = line.rpartition(" ")
            if found == name:
                return float(value)
        return None


def _documents(root: Path, pages: Mapping[str, int], service: int, web: int) -> dict[str, str]:
    key = (root / f"{ACCOUNT}.pub").read_text(encoding="ascii").strip()
    own = {name: f"web: {{listen: {{port: {port}}}}}\n" for name, port in pages.items()}
    transfer = (
        "source: {location: homes, path: %s, stable_s: 0}\ndestination: {location: homes, path: %s}\n"
        "trigger: {%s}\nactive_on: nodes\n"
    )
    return {
        "cluster.yaml": f"name: acme\nrollout: {{cohorts: [{{name: all, members: [controller, {NODE}]}}]}}\n"
        "confirm: {within_s: 300}\n",  # a worker may take long to begin
        "members/controller.yaml": f"role: controller\n{own['controller']}",
        f"members/{NODE}.yaml": f"role: node\n{own[NODE]}",
        "locations/homes.yaml": "type: local\npath: .\n",
        "transfers/quick.yaml": transfer % ("in", "out", "watch: {every_s: 1}"),
        "transfers/nightly.yaml": transfer
        % ("night", "day", "cron: {expression: '0 3 * * *', timezone: UTC}"),
        "services/sftp.yaml": f"type: sftp\nlisten: {{address: 127.0.0.1, port: {service}}}\n"
        "host_keys: [{file: host}]\nprocesses: 1\nactive_on: controller\n",
        "services/web.yaml": f"type: https\nlisten: {{address: 127.0.0.1, port: {web}}}\n"
        "certificate: {file: web.pem}\nprocesses: 1\nactive_on: controller\n",
        "event-handlers/archive.yaml": "type: file\npath: archive.jsonl\nactive_on: all\n",
        f"accounts/{ACCOUNT}.yaml": f'home: {{location: homes, path: in}}\nlogin: {{keys: ["{key}"]}}\n',
    }


def upload(site: Monitored, name: str) -> None:
    """Send a file by OpenSSH's sftp, with which the transfer goes on at once, and fetch one that it leaves alone."""
    made = site.made
    (made.files / "in" / "kept").mkdir(parents=True, exist_ok=True)
    (made.files / "in" / "kept" / "old").write_text("content", encoding="utf-8")
    (made.root / name).write_text("content", encoding="utf-8")
    done = subprocess.run(
        [
            program("sftp"), "-q", "-F", "none", "-b", "-", "-P", str(site.service), "-i", str(made.root / ACCOUNT),
            "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no",
            "-o", "UserKnownHostsFile=/dev/null", f"{ACCOUNT}@127.0.0.1",
        ],
        input=f"put {made.root / name} {name}\nget kept/old {made.root / 'back'}\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@contextmanager
def monitored(root: Path) -> Iterator[Monitored]:
    """Run all of it for the time of the block; both members run what is published."""
    make_key(root / ACCOUNT, "ed25519")
    with cluster(root) as made, ExitStack() as ports:
        names = ("controller", NODE)
        pages = {name: ports.enter_context(own_port()) for name in names}
        service, web, port = (ports.enter_context(own_port()) for _ in range(3))
        documents = _documents(root, pages, service, web)
        for path, text in documents.items():
            place = root / "documents" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
        made.init(root / "documents")
        make_key(made.dir("controller") / "secrets" / "host", "ed25519")
        shown = make_certificates("127.0.0.1").server
        pem = made.dir("controller") / "secrets" / "web.pem"
        pem.write_bytes(shown.certificate + shown.key)
        pem.chmod(0o600)
        made.start_controller()
        made.add_node(NODE)
        clone = made.clone()
        revision = made.push(clone, {"cluster.yaml": documents["cluster.yaml"]})
        made.until_active(revision, *names)
        site = Monitored(made=made, clone=clone, pages=pages, service=service, prometheus=port)
        with _prometheus(root / "prometheus", pages.values(), port):
            made.until("Prometheus answers", lambda: _is_ready(port))
            yield site


def _is_ready(port: int) -> bool:
    try:
        return ask(f"http://127.0.0.1:{port}/-/ready").status == 200
    except OSError:
        return False


@contextmanager
def _prometheus(folder: Path, targets: Any, port: int) -> Iterator[None]:
    folder.mkdir()
    named = ", ".join(f'"127.0.0.1:{each}"' for each in targets)
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"
        f"  - {{job_name: mftgit, static_configs: [{{targets: [{named}]}}]}}\n",
        encoding="utf-8",
    )
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [
                program("prometheus"), f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )  # fmt: skip
    try:
        yield
    finally:
        process.kill()
        process.wait()
