"""A small HTTP server in front of `GitHttp`, for the tests of the git side alone."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

from mftgit.adapters.git.http import GitHttp, GitRequest
from mftgit.model.access import Kind, OperatorRole

PREFIX = "/config.git"


@dataclass(slots=True, kw_only=True)
class Served:
    """A running server and what it has answered."""

    url: str
    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for the requests under way
    request_queue_size = 128

    def __init__(self, app: GitHttp) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.app = app
        self.served = Served(url=f"http://127.0.0.1:{self.server_address[1]}{PREFIX}")


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        target = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.served.requests.append((self.command, target.path, headers))
        with tempfile.SpooledTemporaryFile(1 << 20) as body:
            self._receive(cast("BinaryIO", body), headers)
            body.seek(0)
            request = GitRequest(
                method=self.command,
                path=target.path.removeprefix(PREFIX),
                query=target.query,
                headers=headers,
                body=cast("BinaryIO", body),
                who=headers.get("x-who", "ann"),
                kind=Kind.OPERATOR,
                role=OperatorRole(headers.get("x-role", "publish")),
            )
            app = self.server.app
            response = app.at_once(request) or app.handle(request)
        self.server.served.statuses.append(response.status)
        with response.body:
            self.send_response(response.status)
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            while chunk := response.body.read(1 << 16):
                self.wfile.write(chunk)
        self.close_connection = True

    def _receive(self, body: BinaryIO, headers: dict[str, str]) -> None:
        if headers.get("transfer-encoding", "") == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body.write(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        else:
            body.write(self.rfile.read(int(headers.get("content-length", "0"))))


@contextmanager
def serving(app: GitHttp) -> Iterator[Served]:
    """Serve ``app`` on loopback for the time of the block."""
    server = _Server(app)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
