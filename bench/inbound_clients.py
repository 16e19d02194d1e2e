"""Clients of `inbound`: OpenSSH's sftp, one process for each, told what to do by its input and timed by its output."""

import os
import resource
import selectors
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ssh_keys import program

CIPHER: Final = "aes128-gcm@openssh.com"
KEX: Final = "curve25519-sha256"
"""The same for both servers: which one is picked by default depends on the client's age."""

_PROMPT: Final = b"sftp> "
_LONGEST_S: Final = 1800.0
_READ_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client: who it is, with which key, and what it does there, in words of sftp's batch files."""

    user: str
    key: Path
    commands: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What all of them took: seconds of wall clock and of their CPU, and how long each command of each took."""

    wall_s: float
    cpu_s: float
    commands_s: Sequence[Sequence[float]]


@dataclass(slots=True)
class _Running:
    process: "subprocess.Popen[bytes]"
    moments: list[float] = field(default_factory=list)
    rest: bytes = b""


def run(port: int, clients: Sequence[Client], *, at_once: int | None = None) -> Run:
    """Run ``clients``, all at once or so many; raises RuntimeError where one of them fails."""
    before, began = _children_s(), time.perf_counter()
    waiting = list(reversed(clients))
    running: dict[int, _Running] = {}
    ended: list[_Running] = []
    with selectors.DefaultSelector() as selector:
        while waiting or running:
            while waiting and len(running) < (at_once or len(clients)):
                started = _start(port, waiting.pop())
                assert started.process.stdout is not None
                running[started.process.stdout.fileno()] = started
                selector.register(started.process.stdout, selectors.EVENT_READ, started)
            for key, _ in selector.select(_LONGEST_S):
                one: _Running = key.data
                if not _take(one, key.fd):
                    selector.unregister(key.fileobj)
                    ended.append(running.pop(key.fd))
                    _finish(one)
    took_s = time.perf_counter() - began
    return Run(
        wall_s=took_s,
        cpu_s=_children_s() - before,
        commands_s=[
            [after - start for start, after in zip(each.moments, each.moments[1:], strict=False)]
            for each in ended
        ],
    )


def _start(port: int, client: Client) -> _Running:
    process = subprocess.Popen(
        [
            program("sftp"), "-q", "-F", "none", "-P", str(port), "-i", str(client.key), "-b", "-",
            "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
            "-o", f"UserKnownHostsFile={os.devnull}", "-o", f"Ciphers={CIPHER}", "-o", f"KexAlgorithms={KEX}",
            "-o", "GSSAPIAuthentication=no", "-o", "UpdateHostKeys=no", f"{client.user}@127.0.0.1",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write("".join(f"{each}\n" for each in client.commands).encode())
    process.stdin.close()
    return _Running(process)


def _take(one: _Running, descriptor: int) -> bool:
    """Note when each command began, which is when the one before was over; tell whether there may be more."""
    content = os.read(descriptor, _READ_BYTES)
    now = time.perf_counter()
    one.rest += content
    begun = one.rest.count(_PROMPT)
    one.moments += [now] * (begun - len(one.moments))
    if not content:
        one.moments.append(now)
    return bool(content)


def _finish(one: _Running) -> None:
    assert one.process.stdout is not None
    one.process.stdout.close()
    if one.process.wait(_LONGEST_S) != 0:
        raise RuntimeError(f"a client failed:\n{one.rest[-2000:].decode(errors='replace')}")


def _children_s() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime
