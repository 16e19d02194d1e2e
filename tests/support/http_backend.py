"""``git http-backend`` behind a small HTTP server that calls it by CGI, as nginx with fcgiwrap or Apache would."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from git_cli import environment


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for the requests under way

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Cgi)
        self.root = root


class _Cgi(BaseHTTPRequestHandler):
    timeout = 60
    server: _Server

    def do_GET(self) -> None:
        self._call(b"")

    def do_POST(self) -> None:
        self._call(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _call(self, body: bytes) -> None:
        target, root = urlsplit(self.path), self.server.root
        told = {
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "ann",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": target.path,
            "QUERY_STRING": target.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        answer = subprocess.run(
            ["git", "http-backend"],
            input=body, env=environment(root) | told, check=True, capture_output=True, timeout=120,
        ).stdout  # fmt: skip
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def http_backend(root: Path) -> Iterator[str]:
    """Serve the repositories in ``root`` for the time of the block, to everybody; give the address."""
    server = _Server(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
