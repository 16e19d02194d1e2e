"""A small forge's API over HTTP: comments and statuses as GitHub, Gitea and GitLab take them, and faults at will."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Lock, Thread
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass(kw_only=True)
class ForgeApi:
    """What was asked, and what is kept: whoever has the ``token`` may do anything."""

    token: str
    url: str = ""
    calls: list[Call] = field(default_factory=list)
    answered: list[tuple[Call, int]] = field(default_factory=list)
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    fails: Callable[[Call], int] = lambda _call: 0
    """Returns the status to fail with, or 0."""
    lock: Lock = field(default_factory=Lock)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def statuses(self) -> list[tuple[str, str, str]]:
        """Return revision, state and description of each status that was taken, in the order in which they came."""
        return [
            (each.path.rpartition("/")[2], each.body["state"], each.body.get("description", ""))
            for each, status in list(self.answered)
            if each.method == "POST" and "/statuses/" in each.path and status < 300
        ]

    def answer(self, call: Call) -> tuple[int, Any]:
        """Return what a forge would."""
        with self.lock:
            self.calls.append(call)
            status, value = self._judge(call)
            self.answered.append((call, status))
        return status, value

    def _judge(self, call: Call) -> tuple[int, Any]:
        wrong = self.fails(call)
        if wrong:
            return wrong, {"message": "not now"}
        shown = {*call.headers.get("authorization", "").split(" ")[1:]}
        if self.token not in shown | {call.headers.get("private-token", "")}:
            return 401, {"message": "Bad credentials"}
        return self._do(call)

    def _do(self, call: Call) -> tuple[int, Any]:
        path, _, _query = call.path.partition("?")
        if "/statuses/" in path:
            return 201, {"id": next(self.numbers)}
        if call.method == "GET":
            return 200, list(self.comments.values())
        if call.method == "POST":
            number = next(self.numbers)
            made = {"id": number, "body": call.body["body"], "user": {"type": "Bot"}}
            self.comments[number] = made
            return 201, made
        number = int(path.rpartition("/")[2])
        self.comments[number]["body"] = call.body["body"]
        return 200, self.comments[number]


@contextmanager
def forge_api(token: str) -> Iterator[ForgeApi]:
    """Give a running one on loopback."""
    api = ForgeApi(token=token)

    class Answering(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size)
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(
                method=self.command,
                path=self.path,
                headers=headers,
                body=json.loads(body) if body else None,
            )
            status, value = api.answer(call)
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = _answer  # noqa: N815  as the base class calls them

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the base class has it
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
