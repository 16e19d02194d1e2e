"""A forge's API is told of statuses in bounded time, whatever it answers, and its token goes nowhere else."""

from collections.abc import Iterable
from pathlib import Path
from threading import Event

import pytest
from rogue_https import Asked, Reply, answer, rogue_server

from mftgit.adapters.forge_status import ForgeAwayError, StatusNotTakenError, send_status
from mftgit.model.revisions.forge_status import StatusCall

TOKEN = "ghp_token-of-the-controller"
PIECES = 100  # one in 50 ms: who waits for each of them waits for long


def call_to(port: int) -> StatusCall:
    return StatusCall(
        url=f"https://127.0.0.1:{port}/api/v3/repos/acme/config/statuses/{'a' * 40}?x=y",
        token_header="Authorization",
        token_prefix="Bearer ",
        body={"state": "success"},
    )


def tell(work: Path, reply: Reply, *, timeout_s: float = 20.0, token: str = TOKEN) -> list[Asked]:
    with rogue_server(work, reply) as server:
        ca = server.shown.authority.certificate.decode()
        send_status(call_to(server.port), token, ca=ca, timeout_s=timeout_s)
        return server.asked


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        (b"HTTP/1.1 201 so\r\nX: ", b"\r\nContent-Length: 0\r\n\r\n"),
        (b"HTTP/1.1 201 so\r\nContent-Length: %d\r\n\r\n" % PIECES, b""),
    ],
    ids=["head", "body"],
)
def test_an_api_that_drips_bytes_is_not_waited_for(
    tmp_path: Path, begins: bytes, ends: bytes
) -> None:
    def reply(_: Asked) -> Iterable[bytes]:
        yield begins
        for _piece in range(PIECES):
            Event().wait(0.05)
            yield b"x"
        yield ends

    with pytest.raises(ForgeAwayError, match="timed out"):
        tell(tmp_path, reply, timeout_s=0.4)


def test_a_status_is_posted_with_the_token(tmp_path: Path) -> None:
    (asked,) = tell(tmp_path, lambda _: [answer(201, b"{}")])
    assert (asked.method, asked.body) == ("POST", b'{"state": "success"}')
    assert asked.path == f"/api/v3/repos/acme/config/statuses/{'a' * 40}?x=y"
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (answer(503, b"later"), ForgeAwayError, "answered 503: later"),
        (answer(403, f"no: {TOKEN}".encode()), StatusNotTakenError, "answered 403: no: …"),
        (answer(302, b"", Location="https://other.example/"), StatusNotTakenError, "answered 302"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ForgeAwayError, "does not answer as HTTP does"),
        (f"HTTP/1.1 {TOKEN}\r\n\r\n".encode(), ForgeAwayError, "does not answer as HTTP does"),
    ],
)
def test_what_is_no_success_is_told_without_the_token(
    tmp_path: Path, reply: bytes, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        tell(tmp_path, lambda _: [reply])
    assert words in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_token_that_no_header_takes_is_not_sent_nor_told(tmp_path: Path) -> None:
    with pytest.raises(StatusNotTakenError, match="no header") as caught:
        tell(tmp_path, lambda _: [answer(201)], token="two\nlines")
    assert "lines" not in str(caught.value)


def test_a_forge_that_is_not_there_may_come_back() -> None:
    with pytest.raises(ForgeAwayError, match="cannot be reached"):
        send_status(call_to(1), TOKEN, timeout_s=5.0)


def test_what_is_wrong_with_the_authorities_is_told() -> None:
    with pytest.raises(StatusNotTakenError, match="holds no certificates"):
        send_status(call_to(1), TOKEN, ca="none")
