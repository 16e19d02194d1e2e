"""Three real etcds with TLS, each in a network namespace of its own."""

import json
import signal
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, Final

from dav_servers import Shown
from etcd_program import etcd_program
from netns import Part
from quick_folder import quick_folder

_CLIENTS: Final = 2379
_PEERS: Final = 2380
_ELECTION_MS: Final = 1000
_TRIES: Final = 600


@dataclass
class Etcds:
    """The servers, by the name of their part."""

    parts: dict[str, Part]
    folder: Path
    shown: Shown
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def coordinator(self) -> dict[str, Any]:
        """Return what ``coordinator`` of cluster.yaml says of them."""
        endpoints = [f"https://{part.address}:{_CLIENTS}" for part in self.parts.values()]
        ca = self.shown.authority.certificate.decode()
        return {"type": "etcd", "etcd": {"endpoints": endpoints, "ca": ca}}

    def start(self, name: str) -> None:
        part = self.parts[name]
        certificate, key = self.shown.write(self.folder)
        peers = ",".join(
            f"{each.name}=http://{each.address}:{_PEERS}" for each in self.parts.values()
        )
        command = [
            etcd_program(),
            f"--name={name}",
            f"--data-dir={self.folder / name}",
            f"--listen-client-urls=https://{part.address}:{_CLIENTS}",
            f"--advertise-client-urls=https://{part.address}:{_CLIENTS}",
            f"--cert-file={certificate}",
            f"--key-file={key}",
            f"--listen-peer-urls=http://{part.address}:{_PEERS}",
            f"--initial-advertise-peer-urls=http://{part.address}:{_PEERS}",
            f"--initial-cluster={peers}",
            f"--election-timeout={_ELECTION_MS}",
            "--logger=zap",
            "--log-outputs=stderr",
        ]
        with (self.folder / f"{name}.log").open("ab") as log, part.inside():
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGSTOP)

    def wake(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGCONT)

    def leader(self) -> str:
        """Return the name of the leader, once there is one of which it is known."""
        for _ in range(_TRIES):
            for name in self.running:
                told = self._ask(name, "/maintenance/status")
                if told is not None and told.get("leader") == told["header"]["member_id"]:
                    return name
            Event().wait(0.05)
        raise AssertionError("no leader was elected")

    def heal(self) -> None:
        """Bring everything back, and wait until each answers a question that needs the others."""
        for name in self.parts:
            if name in self.running:
                self.wake(name)
            else:
                self.start(name)
        for name in self.parts:
            self._settle(name)

    def close(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def _settle(self, name: str) -> None:
        for _ in range(_TRIES):
            if self._ask(name, "/kv/range", {"key": "YQ=="}) is not None:
                return
            Event().wait(0.05)
        raise AssertionError((self.folder / f"{name}.log").read_text(encoding="utf-8")[-2000:])

    def _ask(self, name: str, path: str, question: Any = None) -> Any:
        """Return what a server answers, from within its own namespace; None for no answer."""
        part = self.parts[name]
        context = ssl.create_default_context(cadata=self.shown.authority.certificate.decode())
        request = urllib.request.Request(
            f"https://{part.address}:{_CLIENTS}/v3{path}", json.dumps(question or {}).encode()
        )
        try:
            with (
                part.inside(),
                urllib.request.urlopen(request, timeout=1.0, context=context) as reply,
            ):
                return json.loads(reply.read())
        except OSError:
            return None


@contextmanager
def running_etcds(parts: Sequence[Part]) -> Iterator[Etcds]:
    """Give etcds in ``parts`` that work."""
    with quick_folder("etcd-") as folder:
        made = Etcds(
            parts={part.name: part for part in parts},
            folder=folder,
            shown=Shown.for_hosts(*(part.address for part in parts)),
        )
        try:
            made.heal()
            yield made
        finally:
            made.close()
