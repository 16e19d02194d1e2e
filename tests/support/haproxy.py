"""A real HAProxy on loopback, by the configuration that the docs give."""

import csv
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from ports import own_port
from ssh_keys import program

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "haproxy.md"
FROM = "127.0.0.9"
"""Where it comes from, so that it is told from its clients."""

_START_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """One that listens on ``port``."""

    port: int
    log: Path
    words: Path  # where it answers

    def ask(self, words: str) -> str:
        """Ask by its own socket (haproxy management guide, 9.3)."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.words))
            line.sendall(f"{words}\n".encode())
            return b"".join(iter(lambda: line.recv(65536), b"")).decode()

    def is_up(self, name: str) -> bool:
        """Tell whether it sends new clients to a member, and has asked it before: at first it takes all to be well."""
        found = self._row(name)
        return found["status"].startswith("UP") and found["check_status"] == "L7OK"

    def sessions(self, name: str) -> int:
        """Return how many clients of a member there are."""
        return int(self._row(name)["scur"])

    def _row(self, name: str) -> dict[str, str]:
        rows = csv.DictReader(self.ask("show stat").removeprefix("# ").splitlines())
        return next(row for row in rows if row["svname"] == name)


def documented(kind: str = "sftp") -> str:
    """Return the configuration that the page about HAProxy has for ``sftp`` or ``https``."""
    page = PAGE.read_text(encoding="utf-8")
    first, second = re.findall(r"```haproxy\n(.*?)```", page, re.DOTALL)
    for_all, begins, sftp = first.partition("listen sftp\n")
    return str(for_all + {"sftp": begins + sftp, "https": second}[kind])


@contextmanager
def running_haproxy(
    work: Path, members: Sequence[tuple[str, int, int]], *, kind: str = "sftp"
) -> Iterator[Balancer]:
    """Run it before ``members``, each with its name, its port and that of its health endpoint, on loopback."""
    with own_port() as port:
        words, log = work / "haproxy.sock", work / "haproxy.log"
        text = re.sub(r"(?m)^( *bind) .*$", rf"\1 127.0.0.1:{port}", documented(kind))
        text = text.replace("global\n", f"global\n    stats socket {words} mode 600\n")
        servers = "".join(
            f"    server {name} 127.0.0.1:{at} check port {health} source {FROM}\n"
            for name, at, health in members
        )
        text, found = re.subn(r"(?m)(^ *server .*\n)+", servers, text)
        assert found == 1
        file = work / "haproxy.cfg"
        file.write_text(text, encoding="utf-8")
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [program("haproxy"), "-db", "-f", str(file)], stdout=stream, stderr=stream
            )
        try:
            _wait(words, process, log)
            yield Balancer(port=port, log=log, words=words)
        finally:
            process.kill()
            process.wait()


def _wait(words: Path, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(int(_START_S / 0.05)):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        with suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.connect(str(words))  # it is there a moment before it is listened at
            return
        Event().wait(0.05)
    raise AssertionError("HAProxy does not start")
