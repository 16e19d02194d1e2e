"""Clients of HTTPS that mean harm, before they have logged in and after, and other sites that use a browser for it."""

import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import argon2
import pytest
from inbound_web import WAIT_S, WebDoor, header, open_web
from ssh_door import account, served, serving

from mftgit.adapters.web.wire import hang_up
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.service import ServiceLimits
from mftgit.model.inbound.serving import Served

pytestmark = pytest.mark.needs("curl")

SECRET = "correct horse"
HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(SECRET)
ME = ("-u", f"acme:{SECRET}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def door(tmp_path: Path, home: Path) -> Iterator[WebDoor]:
    both = (
        served(account(name, (frozenset({Factor.PASSWORD}),)), password=HASHED)
        for name in ("acme", "other")
    )
    homes = [Served(account=each.account, home=str(home), password=each.password) for each in both]
    # A login may take ten minutes here: what ends sooner does not end by that.
    with open_web(tmp_path, serving(*homes), limits=ServiceLimits(login_s=600)) as door:
        yield door


@contextmanager
def _dial(door: WebDoor) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cadata=door.certificates.ca)
    plain = socket.create_connection(("127.0.0.1", door.port), timeout=WAIT_S)
    with closing(context.wrap_socket(plain, server_hostname="127.0.0.1")) as sock:
        yield sock


def test_who_trickles_after_an_answer_is_not_listened_to_for_long(door: WebDoor) -> None:
    with _dial(door) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 400"
        for _ in range(600):
            with suppress(OSError):
                sock.sendall(b"x")
            if door.connection().wait(0.1):
                return
    pytest.fail("it is still listened to")


def test_who_is_hung_up_on_while_keys_are_exchanged_is_gone(door: WebDoor) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=WAIT_S) as silent:
        silent.sendall(b"\x16\x03\x01")  # the beginning of a TLS record
        connection = door.connection()
        threading.Event().wait(0.1)
        connection.end("the source is banned")
        assert connection.wait(WAIT_S)


def test_nothing_is_sent_in_the_clear_by_a_thread_whose_connection_is_hung_up_on(
    door: WebDoor,
) -> None:
    with _dial(door) as sock:
        hang_up(sock)
        assert sock.cipher() is not None  # whoever is about to send still encrypts


def test_a_form_of_many_fields_is_answered(door: WebDoor) -> None:
    form = "&".join(f"f{number}=1" for number in range(100))
    assert door.curl("-d", form, f"{door.url}/.mftgit/login")[0] == 400


@pytest.mark.parametrize(
    "path", ["//evil.example/..", "//evil.example/../", "//sub", "//sub/", "/./sub", "/sub/../sub"]
)
def test_no_name_sends_a_browser_to_another_site(door: WebDoor, home: Path, path: str) -> None:
    (home / "sub").mkdir()
    status, answer = door.curl(*ME, "-i", "--path-as-is", f"{door.url}{path}")
    assert status == 301
    assert header(answer, "Location") == ["/sub/" if "sub" in path else "/"]


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("what", ["login", "logout"])
def test_another_site_logs_nobody_in_or_out(door: WebDoor, site: str, what: str) -> None:
    form = urlencode({"name": "acme", "password": SECRET})
    fetch = ("-H", f"Sec-Fetch-Site: {site}", "-d", form, "-i")
    status, answer = door.curl(*fetch, f"{door.url}/.mftgit/{what}")
    assert (status, header(answer, "Set-Cookie")) == (403, [])
    own = ("-H", "Sec-Fetch-Site: same-origin", "-d", form)
    assert door.curl(*own, f"{door.url}/.mftgit/{what}")[0] == 303


def test_a_connection_has_so_many_tries_as_the_limits_say(door: WebDoor) -> None:
    wrong = "Basic YWNtZTp3cm9uZw=="
    with closing(door.connect()) as connection:
        ends = []
        for _ in range(6):
            connection.request("GET", "/", headers={"Authorization": wrong})
            answer = connection.getresponse()
            assert (answer.status, answer.read() != b"") == (401, True)
            ends.append(answer.will_close)
    assert ends == [False] * 5 + [True]


@pytest.mark.parametrize("password", [SECRET, "a guess"])
def test_a_connection_of_one_account_tells_no_password_of_another(
    door: WebDoor, password: str
) -> None:
    with closing(door.connect()) as connection:
        for name, guess, expected in (("acme", SECRET, 200), ("other", password, 421)):
            value = b64encode(f"{name}:{guess}".encode()).decode()
            connection.request("GET", "/", headers={"Authorization": f"Basic {value}"})
            answer = connection.getresponse()
            assert (answer.status, answer.read() != b"") == (expected, True)
    assert door.failures() == []


def test_what_a_client_calls_itself_does_nothing_to_a_terminal(door: WebDoor) -> None:
    with closing(door.connect()) as connection:
        connection.request(
            "GET", "/", headers={"User-Agent": "curl\x9b2J\xad/8" + "x" * 300, "Authorization": _ME}
        )
        assert connection.getresponse().status == 200
    [(_, _, client)] = door.books[0].logins
    assert client.isprintable()
    assert client.startswith("curl\\x9b2J")
    assert len(client) <= 60


_ME = "Basic YWNtZTpjb3JyZWN0IGhvcnNl"
