"""Speak git with a server by OpenSSH's client, which knows the server by one pinned key and nothing else."""

import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from dulwich.client import TraditionalGitClient
from dulwich.protocol import Protocol

from mftgit.errors import ConfigError
from mftgit.model.printable import printable

_MESSAGE_BYTES = 500
_OPTIONS = (
    "BatchMode=yes", "StrictHostKeyChecking=yes", "GlobalKnownHostsFile=/dev/null", "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no", "CheckHostIP=no", "CanonicalizeHostname=no", "IdentitiesOnly=yes", "IdentityAgent=none",
    "PasswordAuthentication=no", "KbdInteractiveAuthentication=no", "GSSAPIAuthentication=no", "ForwardAgent=no",
    "ClearAllForwardings=yes", "PermitLocalCommand=no", "ControlMaster=no", "ControlPath=none", "ProxyCommand=none",
    "RequestTTY=no", "ConnectTimeout=15", "ServerAliveInterval=10", "ServerAliveCountMax=2",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SshServer:
    """A repository at ``url``; ``key`` is the private key that opens it, ``host_key`` the line of its own."""

    url: str
    key: Path
    host_key: str


class SshClient(TraditionalGitClient):
    """dulwich's client over a process; what it may take in and how long is bounded by who makes it."""

    def __init__(
        self, words: list[str], read: Callable[[bytes], bytes], running: "Running"
    ) -> None:
        super().__init__()
        self._words = words
        self._read = read
        self._running = running
        self._wires: list[Protocol] = []

    def close(self) -> None:
        """Close what was opened: dulwich leaves it open where the other side says nothing."""
        for wire in self._wires:
            wire.close()

    def _connect(self, cmd: bytes, path: str | bytes, protocol_version: int | None = None) -> Any:
        del protocol_version
        name = path.decode() if isinstance(path, bytes) else path
        process = self._running.start([*self._words, f"git-{cmd.decode()} {shlex.quote(name)}"])
        stdin = cast("IO[bytes]", process.stdin)
        stdout = cast("IO[bytes]", process.stdout)

        def write(data: bytes) -> int:
            stdin.write(data)
            stdin.flush()
            return len(data)

        wire = Protocol(lambda size: self._read(stdout.read(size)), write, stdin.close)
        self._wires.append(wire)
        return wire, lambda: False, None


class Running:
    """The process of one conversation, which ends with it or with its time."""

    def __init__(self, complaints: IO[bytes], timeout_s: float) -> None:
        self._complaints = complaints
        self._timer = threading.Timer(timeout_s, self.kill)
        self._timer.daemon = True
        self._process: subprocess.Popen[bytes] | None = None
        self.late = False

    def start(self, words: list[str]) -> subprocess.Popen[bytes]:
        """Start it, with nothing of this process's environment."""
        self._process = subprocess.Popen(  # noqa: S603  no shell; every word was checked or is ours
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"},
        )
        self._timer.start()
        return self._process

    def kill(self) -> None:
        """End it, because it takes too long."""
        self.late = True
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """See that nothing is left of it."""
        self._timer.cancel()
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def complaint(self) -> str:
        """Return the last line of what ssh said: that is its reason."""
        size = self._complaints.seek(0, 2)
        self._complaints.seek(max(0, size - _MESSAGE_BYTES))
        lines = self._complaints.read().decode("utf-8", "replace").splitlines()
        return next((printable(line) for line in reversed(lines) if line.strip()), "")


@contextmanager
def ssh_client(
    server: SshServer, read: Callable[[bytes], bytes], *, timeout_s: float
) -> Iterator[tuple[SshClient, Running]]:
    """Give a client of ``server``; each piece that comes goes through ``read``.

    Raises:
        ConfigError: there is no ssh.
    """
    with (
        tempfile.TemporaryFile() as complaints,
        tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".known") as known,
    ):
        known.write(f"* {server.host_key}\n")
        known.flush()
        running = Running(complaints, timeout_s)
        client = SshClient(_words(server, Path(known.name)), read, running)
        try:
            yield client, running
        finally:
            with suppress(OSError):
                client.close()
            running.end()


def _words(server: SshServer, known: Path) -> list[str]:
    ssh = shutil.which("ssh")
    if ssh is None:
        raise ConfigError("the program ssh is not installed: install OpenSSH's client")
    parts = urlsplit(server.url)
    options = [
        *_OPTIONS,
        f'UserKnownHostsFile="{_quoted(known)}"',
        f'IdentityFile="{_quoted(server.key)}"',
    ]
    port = ["-p", str(parts.port)] if parts.port else []
    user = ["-l", parts.username] if parts.username else []
    return [
        ssh, "-F", "none", *(word for each in options for word in ("-o", each)),
        *port, *user, "--", parts.hostname or "",
    ]  # fmt: skip


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%%")
