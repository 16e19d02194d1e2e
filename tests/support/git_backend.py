"""`git http-backend`, which is C git's own server, behind a small HTTP server: the oracle for ours."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from git_cli import environment, git_ok
from git_site import FIRST, NOW

from mftgit.adapters.git.store import GitStore

SETTINGS = {
    "http.receivepack": "true",
    "receive.fsckObjects": "true",
    "receive.denyNonFastForwards": "true",
    "receive.denyDeletes": "true",
}
"""What C git does only where it is told to, and ours always."""

_PRE_RECEIVE = """#!/bin/sh
while read old new ref; do
  if git grep -q bad "$new" -- 2>/dev/null; then echo "holds the word bad"; exit 1; fi
done
"""
_UPDATE = """#!/bin/sh
case "$1" in refs/heads/main|refs/heads/change/*) exit 0;; *) echo "only main"; exit 1;; esac
"""
_POST_RECEIVE = "#!/bin/sh\nwhile read old new ref; do echo $new >> happened; done\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.root = root
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.requests: list[dict[str, str]] = []


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _serve(self, body: bytes) -> None:
        self.server.requests.append({name.lower(): value for name, value in self.headers.items()})
        target = urlsplit(self.path)
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env=environment(self.server.root)
            | {
                "GIT_PROJECT_ROOT": str(self.server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REMOTE_USER": "ann",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": target.path,
                "QUERY_STRING": target.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
            capture_output=True,
            check=False,
            timeout=120,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        self.send_response(int(fields.pop("Status", "200").split()[0]) if fields else 500)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True


@contextmanager
def backend(folder: Path) -> Iterator[tuple[str, Path, list[dict[str, str]]]]:
    """Serve a repository with the first revision; give its URL, its folder, and the headers of every request."""
    path = folder / "config.git"
    with GitStore.create(path) as store:
        store.commit_documents(
            FIRST, message="Begin", author="mftgit <mftgit@example.org>", now=NOW, parent=None
        )
    for name, value in SETTINGS.items():
        git_ok(path, "config", name, value)
    for name, script in (
        ("pre-receive", _PRE_RECEIVE),
        ("update", _UPDATE),
        ("post-receive", _POST_RECEIVE),
    ):
        (path / "hooks").mkdir(exist_ok=True)
        (path / "hooks" / name).write_text(script, encoding="ascii")
        (path / "hooks" / name).chmod(0o755)
    with _serving(folder) as server:
        yield f"{server.url}/config.git", path, server.requests


@contextmanager
def http_backend(root: Path) -> Iterator[str]:
    """Serve the repositories in ``root`` as they are, to everybody; give the address."""
    with _serving(root) as server:
        yield server.url


@contextmanager
def _serving(root: Path) -> Iterator[_Server]:
    server = _Server(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
