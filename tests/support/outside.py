"""A controller as a process, seen from outside only: its port, its process id, its folder on disk."""

import base64
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cluster import Cluster, cluster

HERE = "127.0.0.1"
PATIENCE_S = 120
"""How long anything may take before a test calls it hung; nothing is measured by this."""

SLOW_S = 10
"""A request that takes milliseconds is not kept waiting as long as this, even on a busy machine."""

FIRST = {"cluster.yaml": b"name: c\n", "members/controller.yaml": b"role: controller\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode("utf-8", "replace")


@dataclass(slots=True, kw_only=True)
class Outside:
    """Where a controller is, and how an operator gets in."""

    cluster: Cluster
    port: int
    context: ssl.SSLContext
    basic: str
    opened: list[socket.socket] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Return the process id of the controller."""
        return self.cluster.running["controller"].pid

    @property
    def repository(self) -> Path:
        """Return the folder of the hosted repository, for C git to look at."""
        return self.cluster.dir("controller") / "repository.git"

    # Talking

    def plain(self, source: str = HERE, receives_bytes: int = 0) -> socket.socket:
        """Open a connection on which nothing is said; it is closed with the test.

        With ``receives_bytes`` the kernel takes no more for a client that does not read.
        """
        wire = socket.socket()
        if receives_bytes:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives_bytes)
        wire.settimeout(PATIENCE_S)
        if source != HERE:
            wire.bind((source, 0))  # this takes a port from among those that servers are given
        wire.connect((HERE, self.port))
        self.opened.append(wire)
        return wire

    def secure(
        self,
        context: ssl.SSLContext | None = None,
        *,
        source: str = HERE,
        receives_bytes: int = 0,
    ) -> ssl.SSLSocket:
        """Open a connection and finish the TLS handshake."""
        wire = (context or self.context).wrap_socket(
            self.plain(source, receives_bytes), server_hostname=HERE
        )
        self.opened.append(wire)
        return wire

    def client(self) -> http.client.HTTPSConnection:
        """Return an honest client that keeps its connection."""
        return http.client.HTTPSConnection(
            HERE, self.port, context=self.context, timeout=PATIENCE_S
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        client: http.client.HTTPSConnection | None = None,
    ) -> Answer:
        """Ask as the operator, on a new connection or on that of ``client``."""
        if client is None:
            with closing(self.client()) as fresh:
                return self.ask(method, path, body=body, headers=headers, client=fresh)
        client.request(method, path, body, {"Authorization": self.basic, **(headers or {})})
        answer = client.getresponse()
        return Answer(
            status=answer.status,
            headers={name.lower(): value for name, value in answer.getheaders()},
            body=answer.read(),
        )

    def post(self, service: str, body: bytes, **headers: str) -> Answer:
        """Send the body of a git request."""
        kind = {"Content-Type": f"application/x-{service}-request"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/config.git/{service}", body=body, headers=kind | named)

    def head(self) -> dict[str, Any]:
        """Return the head pointer."""
        answer = self.ask("GET", "/api/head")
        assert answer.status == 200, answer
        found: dict[str, Any] = json.loads(answer.body)
        return found

    # Looking at the process

    def memory_mib(self, what: str = "VmRSS") -> float:
        """Return the resident memory of the controller, or with ``VmHWM`` its highest since `forget_peak`."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) / 1024
        raise AssertionError(f"no {what}")

    def forget_peak(self) -> float:
        """Let the highest memory count from now on; return what is resident now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")
        return self.memory_mib()

    @contextmanager
    def unharmed(self, *, mib: float) -> Iterator[None]:
        """See that an honest client is served all through the block, and the process takes at most ``mib`` more.

        Served means within ten times what is usual here, or within `SLOW_S` where that is longer: a thread or a loop
        that an attacker holds is told from a machine that is busy.
        """
        usual = max(self._honest() for _ in range(5))
        before, pid, over = self.forget_peak(), self.pid, threading.Event()
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(self._ask_until, over)
            try:
                yield
            finally:
                over.set()
            slowest = max(waits.result())
        took = self.memory_mib("VmHWM") - before
        assert slowest <= max(SLOW_S, 10 * usual), f"an honest client waited {slowest:.1f} s"
        assert took <= mib, f"the controller took {took:.0f} MiB"
        assert self.cluster.running["controller"].poll() is None
        assert self.pid == pid

    def _ask_until(self, over: threading.Event) -> list[float]:
        waits = [self._honest()]
        while not over.wait(0.02):
            waits.append(self._honest())
        return [*waits, self._honest()]

    def _honest(self) -> float:
        began = time.monotonic()
        assert self.ask("GET", "/api/head").status == 200
        return time.monotonic() - began

    def close(self) -> None:
        """Close what the tests have left open."""
        for wire in self.opened:
            with suppress(OSError):
                wire.close()
        self.opened.clear()


@contextmanager
def outside(root: Path, *before: str) -> Iterator[Outside]:
    """Run a controller of a small configuration for the time of the block; see `Cluster.start` for ``before``."""
    documents = root / "documents"
    for path, content in FIRST.items():
        (documents / path).parent.mkdir(parents=True, exist_ok=True)
        (documents / path).write_bytes(content)
    with cluster(root) as made:
        made.init(documents)
        made.start_controller(*before)
        secret = f"{made.access['username']}:{made.access['password']}".encode()
        port = urlsplit(made.url).port
        assert port is not None
        found = Outside(
            cluster=made,
            port=port,
            context=ssl.create_default_context(cafile=made.access["ca_file"]),
            basic=f"Basic {base64.b64encode(secret).decode()}",
        )
        try:
            yield found
        finally:
            found.close()
