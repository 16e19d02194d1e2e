"""Files by HTTPS, with curl and with clients that do things in an odd order."""

import hashlib
import json
import re
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import argon2
import pytest
from inbound_web import WAIT_S, WebDoor, header, open_web
from ssh_door import account, served, serving

from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.permission import READ_ONLY, Rule
from mftgit.model.inbound.service import ServiceLimits
from mftgit.model.inbound.serving import Served
from mftgit.model.inbound.totp import STEP_S, code_at, read_key

pytestmark = pytest.mark.needs("curl")

SECRET, CODES = "correct horse", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(SECRET)
PASSWORD = frozenset({Factor.PASSWORD})
ME = ("-u", f"acme:{SECRET}")


def _served(home: Path) -> tuple[Served, ...]:
    def one(name: str, *require: frozenset[Factor], **said: object) -> Served:
        found = served(account(name, require, **said), password=HASHED, totp=CODES)
        return Served(
            account=found.account, home=str(home), password=found.password, totp=found.totp
        )

    return (
        one("acme", PASSWORD),
        one("reader", PASSWORD, rules=(Rule(path="/", allow=READ_ONLY),)),
        one("coded", PASSWORD | {Factor.TOTP}),
        one("keys", frozenset({Factor.KEY})),
        one("far", PASSWORD, sources=("192.0.2.0/24",)),
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def door(tmp_path: Path, home: Path) -> Iterator[WebDoor]:
    with open_web(tmp_path, serving(*_served(home))) as door:
        yield door


def _code(door: WebDoor) -> str:
    return code_at(read_key(CODES), int(door.clock.now().timestamp()) // STEP_S)


def _visible(home: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(home)): each.read_bytes()
        for each in sorted(home.rglob("*"))
        if each.is_file() and not each.name.startswith(".mftgit")
    }


def test_curl_uploads_a_file_and_downloads_it_again(
    door: WebDoor, home: Path, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4000
    (tmp_path / "up").write_bytes(content)
    status, said = door.curl(*ME, "-T", str(tmp_path / "up"), f"{door.url}/a%20b.bin")
    assert (status, said.split()[-1].decode()) == (201, hashlib.sha256(content).hexdigest())
    assert _visible(home) == {"a b.bin": content}
    assert door.curl(*ME, f"{door.url}/a%20b.bin") == (200, content)
    [done] = door.finished
    assert (done.path, done.size_bytes, done.account) == ("/a b.bin", len(content), "acme")
    downloaded = door.downloads.get(timeout=WAIT_S)
    assert (downloaded.path, downloaded.sent_bytes) == ("/a b.bin", len(content))
    assert (door.tally.uploads, door.tally.downloads) == (1, 1)


def test_a_file_that_comes_again_is_replaced_in_one_step(door: WebDoor, home: Path) -> None:
    assert door.curl(*ME, "-T", "-", f"{door.url}/f", stdin=b"first")[0] == 201
    assert door.curl(*ME, "-T", "-", f"{door.url}/f", stdin=b"second")[0] == 200
    assert _visible(home) == {"f": b"second"}
    only_new = ("-H", "If-None-Match: *")
    assert door.curl(*ME, *only_new, "-T", "-", f"{door.url}/f", stdin=b"third")[0] == 409
    assert _visible(home) == {"f": b"second"}


def test_parts_of_a_file_are_served(door: WebDoor, home: Path) -> None:
    (home / "f").write_bytes(b"0123456789")
    assert door.curl(*ME, "-r", "2-4", f"{door.url}/f") == (206, b"234")
    assert door.curl(*ME, "-r", "8-", f"{door.url}/f") == (206, b"89")
    assert door.curl(*ME, "-r", "-3", f"{door.url}/f") == (206, b"789")
    assert door.curl(*ME, "-r", "10-", f"{door.url}/f")[0] == 416
    _, answer = door.curl(*ME, "-i", "-r", "2-4", f"{door.url}/f")
    assert header(answer, "Content-Range") == ["bytes 2-4/10"]
    [tag] = header(answer, "ETag")
    assert door.curl(*ME, "-H", f"If-None-Match: {tag}", f"{door.url}/f") == (304, b"")
    again = ("-r", "2-4", "-H", 'If-Range: "another"')
    assert door.curl(*ME, *again, f"{door.url}/f") == (200, b"0123456789")


def test_curl_goes_on_with_a_download(door: WebDoor, home: Path, tmp_path: Path) -> None:
    (home / "f").write_bytes(b"0123456789")
    (tmp_path / "half").write_bytes(b"01234")
    words = (*ME, "-C", "-", "-o", str(tmp_path / "half"), f"{door.url}/f")
    assert door.curl(*words)[0] == 206
    assert (tmp_path / "half").read_bytes() == b"0123456789"


def test_an_upload_that_breaks_off_is_seen_by_nobody_and_goes_on(
    door: WebDoor, home: Path, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 1000
    connection = door.connect()
    connection.putrequest("PUT", "/f")
    connection.putheader("Authorization", _basic("acme"))
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders(content[:100_000])
    connection.close()
    assert door.connection().wait(WAIT_S)
    assert _visible(home) == {}
    ask = (*ME, "-i", "-X", "PUT", "-H", f"Content-Range: bytes */{len(content)}", f"{door.url}/f")
    status, answer = door.curl(*ask)
    offset = int(header(answer, "Upload-Offset")[0])
    assert (status, offset) == (202, 100_000)
    (tmp_path / "up").write_bytes(content)
    wrong = (*ME, "-C", "5", "-T", str(tmp_path / "up"), f"{door.url}/f")
    assert door.curl(*wrong)[0] == 409
    right = (*ME, "-C", str(offset), "-T", str(tmp_path / "up"), f"{door.url}/f")
    assert door.curl(*right)[0] == 201
    assert _visible(home) == {"f": content}
    assert (door.finished[0].digest, door.finished[0].resumed) == (
        hashlib.sha256(content).hexdigest(),
        True,
    )


def test_an_upload_in_pieces_is_seen_with_the_last_one(door: WebDoor, home: Path) -> None:
    def piece(span: str, data: bytes) -> int:
        place = ("-H", f"Content-Range: bytes {span}", "-H", "Transfer-Encoding:")
        return door.curl(
            *ME, "-X", "PUT", *place, "--data-binary", "@-", f"{door.url}/f", stdin=data
        )[0]

    assert piece("0-3/10", b"0123") == 202
    assert _visible(home) == {}
    assert piece("4-5/10", b"456") == 400  # longer than it says
    assert piece("4-9/10", b"45") == 400  # shorter
    assert _visible(home) == {}
    assert piece("nonsense", b"45") == 400
    at = int(
        header(
            door.curl(*ME, "-i", "-X", "PUT", "-H", "Content-Range: bytes */10", f"{door.url}/f")[
                1
            ],
            "Upload-Offset",
        )[0]
    )
    assert piece(f"{at}-9/10", b"0123456789"[at:]) == 201
    assert len(_visible(home)["f"]) == 10


def test_what_is_there_is_not_gone_on_with(door: WebDoor, home: Path) -> None:
    (home / "f").write_bytes(b"another file")
    place = ("-H", "Content-Range: bytes 4-9/10", "--data-binary", "@-", "-X", "PUT")
    assert door.curl(*ME, *place, f"{door.url}/f", stdin=b"456789")[0] == 409
    assert _visible(home) == {"f": b"another file"}


def test_folders_are_made_listed_and_removed(door: WebDoor, home: Path) -> None:
    assert door.curl(*ME, "-X", "MKCOL", f"{door.url}/sub")[0] == 201
    assert door.curl(*ME, "-X", "MKCOL", f"{door.url}/sub")[0] == 409
    assert door.curl(*ME, "-T", "-", f"{door.url}/sub/f", stdin=b"content")[0] == 201
    assert door.curl(*ME, f"{door.url}/sub")[0] == 301
    status, listed = door.curl(*ME, "-H", "Accept: application/json", f"{door.url}/")
    [entry] = json.loads(listed)
    assert (status, entry["name"], entry["folder"]) == (200, "sub", True)
    assert door.curl(*ME, "-X", "DELETE", f"{door.url}/sub")[0] == 409
    assert door.curl(*ME, "-X", "DELETE", f"{door.url}/sub/f")[0] == 204
    assert door.curl(*ME, "-X", "DELETE", f"{door.url}/sub")[0] == 204
    assert door.curl(*ME, "-H", "Accept: application/json", f"{door.url}/")[1] == b"[]\n"
    assert list(home.iterdir()) == []


def test_what_an_account_may_not_do_is_refused(door: WebDoor, home: Path) -> None:
    (home / "f").write_bytes(b"content")
    reader = ("-u", f"reader:{SECRET}")
    assert door.curl(*reader, f"{door.url}/f") == (200, b"content")
    assert door.curl(*reader, "-T", "-", f"{door.url}/g", stdin=b"x")[0] == 403
    assert door.curl(*reader, "-X", "DELETE", f"{door.url}/f")[0] == 403
    assert door.curl(*ME, "-X", "PATCH", f"{door.url}/f")[0] == 405
    assert door.curl(*ME, f"{door.url}/none")[0] == 404
    assert _visible(home) == {"f": b"content"}


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/link/passwd"])
def test_nothing_outside_of_the_home_is_reached(door: WebDoor, home: Path, path: str) -> None:
    (home / "link").symlink_to("/etc")
    status, said = door.curl(*ME, "--path-as-is", f"{door.url}{path}")
    assert status in {403, 404, 409}
    assert b"root:" not in said


def test_who_does_not_prove_to_be_an_account_is_told_no_more_than_that(door: WebDoor) -> None:
    answers = {
        door.curl("-i", "-u", who, f"{door.url}/")
        for who in (
            "acme:wrong", f"nobody:{SECRET}", f"far:{SECRET}", f"keys:{SECRET}", f"coded:{SECRET}",
        )
    }  # fmt: skip
    assert {status for status, _ in answers} == {401}
    assert len(answers) == 1
    assert [name for name, _ in door.failures()] == ["acme", "nobody", "far", "keys", "coded"]
    assert len({why for _, why in door.failures()}) == 5
    assert door.curl(f"{door.url}/")[0] == 401
    assert door.curl("-H", "Authorization: Bearer x", f"{door.url}/")[0] == 400


def test_a_one_time_code_is_taken_once(door: WebDoor) -> None:
    coded = ("-u", f"coded:{SECRET}", "-H", "Accept: application/json")
    code = ("-H", f"One-Time-Code: {_code(door)}")
    assert door.curl(*coded, *code, f"{door.url}/") == (200, b"[]\n")
    assert door.curl(*coded, *code, f"{door.url}/")[0] == 401


def test_who_has_tried_too_often_or_has_too_many_connections_is_hung_up_on(door: WebDoor) -> None:
    door.delay_s = None
    assert door.curl("-u", "acme:wrong", f"{door.url}/")[0] == 429
    door.welcome = False
    assert door.curl(*ME, f"{door.url}/")[0] == 503


def test_one_connection_is_one_accounts_alone(door: WebDoor) -> None:
    connection = door.connect()
    for name, expected in (("acme", 200), ("acme", 200), ("reader", 421)):
        connection.request(
            "GET", "/", headers={"Authorization": _basic(name), "Accept": "application/json"}
        )
        answer = connection.getresponse()
        answer.read()
        assert answer.status == expected
    connection.close()
    assert [login[0] for login in door.books[0].logins] == ["acme"]


def test_a_browser_logs_in_by_a_form_and_out_again(door: WebDoor, home: Path) -> None:
    (home / "a<b>&.txt").write_bytes(b"content")
    browser = ("-H", "Accept: text/html", "-i")
    status, login = door.curl(*browser, f"{door.url}/")
    assert (status, header(login, "WWW-Authenticate")) == (401, [])
    assert "default-src 'none'" in header(login, "Content-Security-Policy")[0]
    form = urlencode({"name": "coded", "password": SECRET, "code": _code(door), "path": "//evil/"})
    status, answer = door.curl(*browser, "-d", form, f"{door.url}/.mftgit/login")
    assert (status, header(answer, "Location")) == (303, ["/"])
    [cookie] = header(answer, "Set-Cookie")
    assert {"Secure", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    shown = ("-H", f"Cookie: other=1; {cookie.partition(';')[0]}")
    status, listed = door.curl(*browser, *shown, f"{door.url}/")
    assert (status, listed.count(b'href="./a%3Cb%3E%26.txt">a&lt;b&gt;&amp;.txt<')) == (200, 1)
    assert door.curl(*shown, f"{door.url}/a%3Cb%3E%26.txt") == (200, b"content")
    # Another site can have a browser send the cookie, but not the header.
    assert door.curl(*shown, "-X", "DELETE", f"{door.url}/a%3Cb%3E%26.txt")[0] == 403
    own = (*shown, "-H", "Mftgit-Page: 1")
    assert door.curl(*own, "-X", "DELETE", f"{door.url}/a%3Cb%3E%26.txt")[0] == 204
    _, out = door.curl("-i", *shown, "-X", "POST", f"{door.url}/.mftgit/logout")
    assert "Max-Age=0" in header(out, "Set-Cookie")[0]


def test_a_wrong_form_shows_the_page_again(door: WebDoor) -> None:
    form = urlencode({"name": "acme", "password": "wrong", "path": "/sub/"})
    status, answer = door.curl("-d", form, f"{door.url}/.mftgit/login")
    assert (status, b'role="alert"' in answer, b'value="/sub/"' in answer) == (401, True, True)
    assert door.curl("-d", "a" * 20_000, f"{door.url}/.mftgit/login")[0] == 413
    assert door.curl(f"{door.url}/.mftgit/login")[0] == 404


@pytest.mark.parametrize("spoil", ["acme", "until", "mark", "nothing"])
def test_a_pass_that_was_changed_or_is_too_old_lets_nobody_in(door: WebDoor, spoil: str) -> None:
    form = urlencode({"name": "acme", "password": SECRET})
    _, answer = door.curl("-i", "-d", form, f"{door.url}/.mftgit/login")
    cookie = header(answer, "Set-Cookie")[0].partition(";")[0]
    name, _, value = cookie.partition("=")
    version, who, factors, until_s, mark = value.split(".")
    changed = {
        "acme": f"{version}.reader.{factors}.{until_s}.{mark}",
        "until": f"{version}.{who}.{factors}.{int(until_s) + 1}.{mark}",
        "mark": f"{version}.{who}.{factors}.{until_s}.{mark[:-1]}{'1' if mark[-1] == '0' else '0'}",
        "nothing": value,
    }[spoil]
    json_wanted = ("-H", "Accept: application/json")
    shown = ("-H", f"Cookie: {name}={changed}", *json_wanted)
    assert door.curl(*shown, f"{door.url}/")[0] == (200 if spoil == "nothing" else 401)


def test_the_parts_of_the_pages_are_served_to_everybody(door: WebDoor) -> None:
    status, script = door.curl(f"{door.url}/.mftgit/files.js")
    assert (status, b"Upload-Offset" in script) == (200, True)
    assert door.curl(f"{door.url}/.mftgit/files.css")[0] == 200
    assert door.curl(*ME, f"{door.url}/.mftgit-upload-x")[0] in {400, 404}


def test_who_says_nothing_is_cut_off(tmp_path: Path, home: Path) -> None:
    what = serving(*_served(home))
    with (
        open_web(tmp_path, what, limits=ServiceLimits(login_s=0.5)) as door,
        socket.create_connection(("127.0.0.1", door.port)) as silent,
    ):
        silent.settimeout(WAIT_S)
        assert silent.recv(1) == b""
    # Those that follow shake hands first, which may take a busy machine a while.
    with open_web(tmp_path, what, limits=ServiceLimits(login_s=5, idle_s=0.5)) as door:
        context = ssl.create_default_context(cadata=door.certificates.ca)
        with (
            socket.create_connection(("127.0.0.1", door.port)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as slow,
        ):
            slow.settimeout(WAIT_S)
            slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
            assert slow.recv(100) == b""
        connection = door.connect()
        connection.request("GET", "/", headers={"Authorization": _basic("acme")})
        assert connection.getresponse().read()
        assert door.connection(1).wait(WAIT_S)  # after it was idle
        connection.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\x03",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET " + b"/a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT /f HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PUT /f HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_no_request_ends_its_connection_alone(
    door: WebDoor, home: Path, sent: bytes
) -> None:
    context = ssl.create_default_context(cadata=door.certificates.ca)
    with (
        socket.create_connection(("127.0.0.1", door.port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as odd,
    ):
        odd.settimeout(WAIT_S)
        odd.sendall(sent)
        answer = b""
        while piece := odd.recv(4096):
            answer += piece
    assert re.match(rb"HTTP/1\.1 4\d\d |$", answer)
    assert door.curl(*ME, f"{door.url}/")[0] == 200
    assert _visible(home) == {}


def _basic(name: str) -> str:
    return f"Basic {b64encode(f'{name}:{SECRET}'.encode()).decode()}"
