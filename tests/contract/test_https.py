"""HTTPS servers that lie, hang, and show other certificates; and what a real one takes as a login."""

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Thread
from traceback import format_exception

import pytest
from clocks import SetClock
from cryptography.hazmat.primitives import serialization
from dav_servers import PASSWORD, Dav, Shown, running_apache
from ftps_server import issue_client
from outbound_site import LARGE, SOURCE, TARGET, Crash, Owner, Site, site
from rogue_https import Asked, HangUpError, Reply, Rogue, answer, good, rogue_server, told

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.endpoint.contract import (
    Endpoint,
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
    HostKeyError,
    LoginError,
    Traits,
)
from mftgit.adapters.https import dav_files
from mftgit.adapters.https.connection import Line
from mftgit.adapters.https.endpoint import HttpsEndpoint, connect
from mftgit.adapters.https.login import prepare
from mftgit.adapters.https.requests import Requests
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.outbound.places import opening
from mftgit.model.configuration.config import AfterSuccess
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.locations.location import Location
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import LocationName, SecretName
from mftgit.model.secrets.value import SecretValue

LOCATION = LocationName("partner")
TOKEN = TlsAuth(token=SecretRef(secret=SecretName("t")))


def silent(_: int) -> None:
    pass


@pytest.fixture(scope="module")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dav]:
    folder = tmp_path_factory.mktemp("files")
    with running_apache(tmp_path_factory.mktemp("apache"), folder=folder) as server:
        yield server


@pytest.fixture
def place(apache: Dav, tmp_path: Path) -> Iterator[tuple[HttpsEndpoint, Path]]:
    root = apache.folder / tmp_path.name
    root.mkdir()
    location = apache.location(path=f"/{tmp_path.name}")
    with closing(connect(location, secrets_dir=apache.secrets_dir)) as endpoint:
        yield endpoint, root


def instead(method: str, path: str, *pieces: bytes, hangs_up: bool = False) -> Reply:
    """Answer one request with ``pieces``, and all others well."""

    def reply(asked: Asked) -> Iterable[bytes]:
        if (asked.method, asked.path) != (method, path):
            yield from good(asked)
            return
        yield from pieces
        if hangs_up:
            raise HangUpError

    return reply


def entered(rogue: Rogue, *, timeout_s: float = 20.0) -> HttpsEndpoint:
    return connect(rogue.location(timeout_s=timeout_s), secrets_dir=rogue.secrets_dir)


def read(endpoint: Endpoint, path: str) -> bytes:
    with endpoint.open_read(path) as stream:
        return b"".join(iter(lambda: stream.read(4), b""))


# --- certificates ---


def test_a_certificate_of_another_authority_is_not_talked_to(tmp_path: Path) -> None:
    with rogue_server(tmp_path, good) as rogue:
        others = Shown.for_hosts("127.0.0.1").authority.certificate.decode()
        for ca in (others, None):
            location = replace(rogue.location(), ca=ca)
            with pytest.raises(HostKeyError, match="name its authority in ca"):
                connect(location, secrets_dir=rogue.secrets_dir)
        assert rogue.asked == []


def test_a_certificate_for_another_host_is_not_talked_to(tmp_path: Path) -> None:
    with rogue_server(tmp_path, good, shown=Shown.for_hosts("elsewhere.example")) as rogue:
        with pytest.raises(HostKeyError, match=r"127\.0\.0\.1"):
            entered(rogue)
        assert rogue.asked == []


def test_a_certificate_that_is_named_is_talked_to_and_no_other(tmp_path: Path) -> None:
    with rogue_server(tmp_path, good, shown=Shown.for_hosts("elsewhere.example")) as rogue:
        right = replace(rogue.location(), ca=None, fingerprints=(rogue.shown.fingerprint.lower(),))
        with closing(connect(right, secrets_dir=rogue.secrets_dir)) as endpoint:
            assert read(endpoint, "a") == b"12345"
        rogue.asked.clear()
        wrong = replace(right, fingerprints=(Shown.for_hosts("127.0.0.1").fingerprint,))
        with pytest.raises(HostKeyError, match=rogue.shown.fingerprint):
            connect(wrong, secrets_dir=rogue.secrets_dir)
        assert rogue.asked == []


def test_another_certificate_later_on_is_not_talked_to_either(tmp_path: Path) -> None:
    def once(asked: Asked) -> Iterable[bytes]:
        yield from good(asked)
        raise HangUpError

    with rogue_server(tmp_path, once) as rogue:
        location = replace(rogue.location(), ca=None, fingerprints=(rogue.shown.fingerprint,))
        with closing(connect(location, secrets_dir=rogue.secrets_dir)) as endpoint:
            object.__setattr__(location, "fingerprints", ("AB",))
            with pytest.raises(HostKeyError):
                endpoint.stat("a")
        assert rogue.methods() == ["PROPFIND"]


def test_nothing_older_than_tls_1_2_is_spoken(tmp_path: Path) -> None:
    with rogue_server(tmp_path, good, most=ssl.TLSVersion.TLSv1_1) as rogue:
        with pytest.raises(MftgitError, match=r"(?i)version|protocol|alert"):
            entered(rogue)
        assert rogue.asked == []


def test_a_ca_that_is_no_certificate_is_told(tmp_path: Path) -> None:
    location = HttpsLocation(
        name=LOCATION, host="h", auth=TlsAuth(), ca="-----BEGIN CERTIFICATE-----"
    )
    with pytest.raises(ConfigError, match=r"ca of locations/partner.yaml"):
        opening.prepare(location, secrets_dir=tmp_path, secrets={})


# --- logins ---


@pytest.mark.needs("apache2")
def test_a_wrong_password_is_told_and_shown_nowhere(apache: Dav, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("tr0ub4dor&3", encoding="utf-8")
    (tmp_path / "password").chmod(0o600)
    with pytest.raises(LoginError, match="does not let us in") as caught:
        connect(apache.location(), secrets_dir=tmp_path)
    assert "tr0ub4dor" not in "".join(format_exception(caught.value))


def test_a_token_is_shown(tmp_path: Path) -> None:
    with rogue_server(tmp_path, good) as rogue:
        location = replace(rogue.location(), username=None, auth=TOKEN)
        secrets = {SecretName("t"): SecretValue("abc.DEF-123==\n")}
        connect(location, secrets_dir=tmp_path, secrets=secrets).close()
        assert rogue.asked[0].headers["authorization"] == "Bearer abc.DEF-123=="


@pytest.mark.parametrize("token", ["two words", "line\r\nX-Evil: 1", "ü"])
def test_what_is_no_token_is_told_and_not_shown(tmp_path: Path, token: str) -> None:
    location = HttpsLocation(name=LOCATION, host="h", auth=TOKEN)
    with pytest.raises(ConfigError, match="no token") as caught:
        connect(location, secrets_dir=tmp_path, secrets={SecretName("t"): SecretValue(token)})
    assert token not in str(caught.value)


@pytest.mark.needs("apache2")
@pytest.mark.parametrize("spoken", ["TLSv1.2", "TLSv1.3"])
def test_a_client_certificate_lets_in_and_its_key_is_only_in_memory(
    tmp_path: Path, spoken: str
) -> None:
    authority = Shown.for_hosts("anything").authority
    client = issue_client(authority)
    (tmp_path / "files").mkdir()
    work = tmp_path / "apache"
    work.mkdir()
    (work / "clients.pem").write_bytes(authority.certificate)
    options = (
        f"SSLProtocol {spoken}",
        "SSLVerifyClient require",
        "SSLVerifyDepth 3",
        f"SSLCACertificateFile {work}/clients.pem",
    )
    locked = serialization.load_pem_private_key(client.key, password=None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"open sesame"),
    )
    shown = TlsAuth(
        password=SecretRef(file="password"),
        private_key=SecretRef(secret=SecretName("k")),
        passphrase=SecretRef(secret=SecretName("p")),
        certificate=client.certificate.decode(),
    )
    secrets = {
        SecretName("k"): SecretValue(locked.decode()),
        SecretName("p"): SecretValue("open sesame"),
    }
    with running_apache(work, folder=tmp_path / "files", options=options) as server:
        location = replace(server.location(), auth=shown)
        with closing(
            connect(location, secrets_dir=server.secrets_dir, secrets=secrets)
        ) as endpoint:
            assert endpoint.write("a", iter([b"1"]), on_chunk=silent) == 1
        # By TLS 1.3 the server says so after the handshake, and may end the connection before that is read.
        told = (LoginError,) if spoken == "TLSv1.2" else (LoginError, EndpointLostError)
        with pytest.raises(told):
            connect(server.location(), secrets_dir=server.secrets_dir)
    wrong = secrets | {SecretName("p"): SecretValue("guess")}
    with pytest.raises(ConfigError, match=r"secrets/k.yaml does not open") as caught:
        connect(location, secrets_dir=server.secrets_dir, secrets=wrong)
    assert "PRIVATE KEY" not in str(caught.value)


# --- answers ---


@pytest.mark.parametrize(
    ("pieces", "error", "words"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123"], EndpointLostError, "'a'"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n"], EndpointLostError, "'a'"),
        ([b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n123"], EndpointLostError, "2 bytes before"),
        ([answer(200, b"123456")], EndpointBusyError, "has 6 bytes, and had 5"),
        ([answer(200, b"123")], EndpointBusyError, "has 3 bytes, and had 5"),
        ([b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100_000], EndpointLostError, "beyond the size"),
        ([answer(200, b"12345", Content_Encoding="gzip")], EndpointRefusedError, "packs"),
        ([answer(206, b"12345")], EndpointRefusedError, "HTTP 206"),
        ([answer(404)], FileMissingError, "HTTP 404"),
        ([answer(302, Location="https://elsewhere.example/a")], EndpointRefusedError, "elsewhere"),
        ([answer(302, Location="http://127.0.0.1/" + "x" * 9000)], EndpointRefusedError, "no redirects"),
        ([b"SSH-2.0-OpenSSH_9.7\r\n"], EndpointLostError, "'a'"),
        ([b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n"], EndpointLostError, "'a'"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000], EndpointLostError, "'a'"),
        ([], EndpointLostError, "'a'"),
    ],
    ids=range(15),
)  # fmt: skip
def test_a_file_is_read_as_the_server_told_of_it_or_not(
    tmp_path: Path, pieces: list[bytes], error: type[MftgitError], words: str
) -> None:
    reply = instead("GET", "/a", *pieces, hangs_up=True)
    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        with pytest.raises(error, match=words) as caught:
            read(endpoint, "a")
        assert len(str(caught.value)) < 600
        assert PASSWORD not in str(caught.value)
        assert endpoint.is_open == (error is not EndpointLostError)


@pytest.mark.parametrize(
    ("piece", "expected"),
    [
        (answer(200, b"12345"), b"345"),
        (answer(206, b"345", Content_Range="bytes 2-4/5"), b"345"),
        (answer(206, b"345", Content_Range="Bytes  2-4/*"), b"345"),
        (answer(206, b"234", Content_Range="bytes 1-3/5"), EndpointRefusedError),
        (answer(206, b"3456", Content_Range="bytes 2-5/6"), EndpointRefusedError),
        (answer(206, b"345"), EndpointRefusedError),
        (answer(206, b"34", Content_Range="bytes 2-4/5"), EndpointBusyError),
        (answer(200, b"123456"), EndpointBusyError),
        (answer(416), EndpointBusyError),
        (answer(404), FileMissingError),
    ],
    ids=range(10),
)
def test_a_part_of_a_file_is_what_was_asked_for_or_the_whole_is_read(
    tmp_path: Path, piece: bytes, expected: bytes | type[MftgitError]
) -> None:
    with (
        rogue_server(tmp_path, instead("GET", "/a", piece, hangs_up=True)) as rogue,
        closing(entered(rogue)) as endpoint,
    ):
        if isinstance(expected, bytes):
            with endpoint.open_read("a", 2) as stream:
                assert stream.read() == expected
        else:
            with pytest.raises(expected), endpoint.open_read("a", 2):
                pass
        asked = [each.headers for each in rogue.asked if each.method == "GET"]
        assert [each["range"] for each in asked] == ["bytes=2-"]


ENOUGH_BYTES = 64 << 20


@pytest.mark.parametrize("method", ["GET", "PROPFIND"])
def test_a_chunk_of_less_than_no_bytes_is_not_everything_that_comes(
    tmp_path: Path, method: str
) -> None:
    sent_bytes = 0

    def reply(asked: Asked) -> Iterable[bytes]:
        nonlocal sent_bytes
        if (asked.method, asked.path) != (method, "/a"):
            yield from good(asked)
            return
        yield b"HTTP/1.1 207 M\r\n" if method == "PROPFIND" else b"HTTP/1.1 200 OK\r\n"
        yield b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"
        while sent_bytes < ENOUGH_BYTES:
            yield bytes(1 << 20)
            sent_bytes += 1 << 20
        raise HangUpError

    with (
        rogue_server(tmp_path, reply) as rogue,
        closing(entered(rogue)) as endpoint,
        pytest.raises(EndpointLostError, match="'a'"),
    ):
        read(endpoint, "a")
    assert sent_bytes < ENOUGH_BYTES


BOMB = b"""<!DOCTYPE b [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;">]>
<d:multistatus xmlns:d="DAV:"><d:response><d:href>&b;</d:href></d:response></d:multistatus>"""


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (answer(207, BOMB), "document type"),
        (answer(207, b"<html/>"), "no multistatus"),
        (answer(200, b"<html>Log in</html>"), "HTTP 200"),
        (told(("/b", 5)), "other files than was asked"),
        (told(("/a", None)), "is a folder"),
        (answer(207, b" " * (1 << 21)), "larger than 1 MiB"),
        (answer(301, Location="/elsewhere/"), "points to '/elsewhere/'"),
        (answer(301, Location="https://evil.example/a"), "points to"),
        (
            told(("/a", 5)).replace(b"getlastmodified>", b"getlastmodifiee>"),
            "when a file was changed",
        ),
        (told(("/a", "-")), "no size"),
    ],
    ids=range(10),
)
def test_what_a_server_tells_of_a_file_is_not_believed(
    tmp_path: Path, reply: bytes, words: str
) -> None:
    rogue_reply = instead("PROPFIND", "/a", reply)
    with rogue_server(tmp_path, rogue_reply) as rogue, closing(entered(rogue)) as endpoint:
        with pytest.raises(EndpointRefusedError, match=words):
            endpoint.stat("a")
        assert endpoint.list_names(".") == ["a"]


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (told(("/", None), ("/b/c", 5)), "not in that folder"),
        (told(("/", None), ("/%2e%2e", 5)), "not in that folder"),
        (told(("/", None), ("/x%2Fy", 5)), "not in that folder"),
        (told(("/", None), ("/b", "")), "no size"),
        (told(("/", 5), ("/b", 5)), "is not there"),
    ],
    ids=range(5),
)
def test_a_list_that_tells_of_other_places_is_refused(
    tmp_path: Path, reply: bytes, words: str
) -> None:
    with rogue_server(tmp_path, good) as rogue, closing(entered(rogue)) as endpoint:
        rogue.reply = instead("PROPFIND", "/", reply)
        with pytest.raises((EndpointRefusedError, FileMissingError), match=words):
            list(endpoint.list_files(".", recursive=False))


def test_a_list_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dav_files, "_LIST_BYTES", 1 << 20)

    def endless() -> Iterator[bytes]:
        entry = told(("/b", 1)).partition(b"<d:response>")[2].rpartition(b"</d:multistatus>")[0]
        yield b'HTTP/1.1 207 M\r\n\r\n<d:multistatus xmlns:d="DAV:">'
        while True:
            yield (b"<d:response>" + entry) * 100

    def reply(asked: Asked) -> Iterable[bytes]:
        return endless() if asked.headers.get("depth") == "1" else good(asked)

    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        with pytest.raises(EndpointRefusedError, match="larger than"):
            endpoint.list_names(".")
        assert endpoint.stat("a").size_bytes == 5


def test_folders_without_end_are_not_gone_through(tmp_path: Path) -> None:
    def reply(asked: Asked) -> Iterable[bytes]:
        yield told((asked.path, None), (f"{asked.path}deeper/", None), (f"{asked.path}file", 1))

    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        found = list(endpoint.list_files(".", recursive=True))
        assert len(found) == 33
        assert len(list(endpoint.list_files(".", recursive=True, depth=3))) == 4


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, EndpointRefusedError),
        (401, LoginError),
        (403, EndpointRefusedError),
        (409, FileMissingError),
        (411, EndpointRefusedError),
        (412, FileExistsAtEndpointError),
        (413, EndpointRefusedError),
        (423, EndpointBusyError),
        (429, EndpointBusyError),
        (500, EndpointBusyError),
        (502, EndpointLostError),
        (503, EndpointBusyError),
        (507, EndpointFullError),
        (599, EndpointBusyError),
    ],
)
def test_what_a_status_means(tmp_path: Path, status: int, error: type[MftgitError]) -> None:
    reply = instead("PUT", "/b", answer(status, b"why"))
    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        with pytest.raises(error, match=f"'b'.*HTTP {status}"):
            endpoint.write("b", iter([b"1"]), on_chunk=silent)
        (ended,) = endpoint.write_all([("b", b"1")]) if endpoint.is_open else [None]
        assert ended is None or type(ended) is error
        puts = [each for each in rogue.asked if each.method == "PUT"]
        assert all(each.headers["if-none-match"] == "*" for each in puts)
        assert puts[0].headers["transfer-encoding"] == "chunked"
        assert all(each.headers["content-length"] == "1" for each in puts[1:])


def test_a_file_of_which_not_all_was_sent_is_not_there(tmp_path: Path) -> None:
    over, sent = Event(), [0]

    def reply(_asked: Asked) -> Iterable[bytes]:
        yield told(("/new", sent[-1])) if over.is_set() else answer(404)

    def chunks() -> Iterator[bytes]:
        yield b"first"
        over.wait(60)
        while True:
            Event().wait(0.05)
            yield b"more"

    with rogue_server(tmp_path, good) as rogue, closing(entered(rogue)) as endpoint:
        rogue.reply, rogue.hung_up = reply, over
        with pytest.raises(EndpointLostError, match="before all of it was sent"):
            endpoint.write("new", chunks(), on_chunk=sent.append)


def test_a_server_that_keeps_less_than_it_was_sent_is_found_out(tmp_path: Path) -> None:
    there: list[bytes] = []

    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.method == "PUT":
            there.append(asked.body)
            yield answer(201)
        elif there and asked.path == "/b":
            yield told(("/b", 2))
        else:
            yield from good(asked)

    with (
        rogue_server(tmp_path, reply) as rogue,
        closing(entered(rogue)) as endpoint,
        pytest.raises(EndpointFullError, match="2 bytes after 6 were sent"),
    ):
        endpoint.write("b", iter([b"123", b"456"]), on_chunk=silent)
    assert there == [b"123456"]


@pytest.mark.parametrize("status", [200, 404, 405, 501])
def test_a_server_without_webdav_is_refused_at_login(tmp_path: Path, status: int) -> None:
    with rogue_server(tmp_path, lambda _: [answer(status)]) as rogue:
        if status == 404:  # the folder is missing, which the first use of it tells
            with closing(entered(rogue)) as endpoint, pytest.raises(FileMissingError):
                endpoint.list_names(".")
            return
        with pytest.raises(EndpointRefusedError, match=f"HTTP {status}"):
            entered(rogue)


# --- time ---


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 207 M\r\nX: "])
def test_an_answer_that_does_not_come_to_its_end_is_given_up(tmp_path: Path, drip: bytes) -> None:
    over = Event()

    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.path == "/":
            yield from good(asked)
            return
        while not over.is_set():
            yield drip[:17] if drip.endswith(b"X: ") else drip
            over.wait(0.1)

    with rogue_server(tmp_path, reply) as rogue:
        location = rogue.location()
        with closing(connect(location, secrets_dir=rogue.secrets_dir)) as endpoint:
            object.__setattr__(
                location, "timeout_s", 1.0
            )  # no sooner: a busy machine logs in first
            with pytest.raises(EndpointLostError, match="'a'"):
                endpoint.stat("a")
            assert not endpoint.is_open
            with pytest.raises(EndpointLostError, match="connect again"):
                endpoint.stat("a")
            assert not endpoint.is_alive()
        over.set()


def test_what_follows_a_file_comes_to_its_end_in_time(tmp_path: Path) -> None:
    clock = SetClock()

    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.method != "GET":
            yield from good(asked)
            return
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n"
        for _ in range(3000):  # until the client hangs up, whenever it comes to read it
            Event().wait(0.02)
            clock.pass_s(10)
            yield b"X: y\r\n"
        yield b"\r\n"

    with rogue_server(tmp_path, reply) as rogue:
        endpoint = connect(rogue.location(), secrets_dir=rogue.secrets_dir, clock=clock)
        with closing(endpoint), pytest.raises(EndpointLostError, match="in time"):
            read(endpoint, "a")


def test_a_file_that_trickles_is_given_up(tmp_path: Path) -> None:
    clock, is_read = SetClock(), Event()

    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.method == "PROPFIND" and asked.path == "/a":
            yield told(("/a", 5000))
            return
        if asked.method != "GET":
            yield from good(asked)
            return
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
        is_read.wait(60)  # the head has a time of its own
        for _ in range(5000):
            clock.pass_s(4)
            yield b"x"
            Event().wait(0.001)

    with rogue_server(tmp_path, reply) as rogue:
        endpoint = connect(rogue.location(), secrets_dir=rogue.secrets_dir, clock=clock)
        with closing(endpoint), endpoint.open_read("a") as stream:
            is_read.set()
            with pytest.raises(EndpointLostError, match="too few"):
                stream.read()


def test_a_file_may_take_longer_than_an_answer(tmp_path: Path) -> None:
    clock, is_read = SetClock(), Event()

    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.method != "GET":
            yield from good(asked)
            return
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
        is_read.wait(60)  # the head has a time of its own
        for piece in (b"1", b"2", b"3", b"4", b"5"):
            clock.pass_s(10)  # and 20 s are the time of an answer
            yield piece

    with rogue_server(tmp_path, reply) as rogue:
        endpoint = connect(rogue.location(), secrets_dir=rogue.secrets_dir, clock=clock)
        with closing(endpoint), endpoint.open_read("a") as stream:
            is_read.set()
            assert stream.read() == b"12345"


def test_a_close_ends_what_another_thread_waits_for(tmp_path: Path) -> None:
    waiting, over = Event(), Event()

    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.path == "/":
            yield from good(asked)
            return
        waiting.set()
        over.wait()

    caught: list[BaseException] = []
    with rogue_server(tmp_path, reply) as rogue:
        endpoint = entered(rogue, timeout_s=3600.0)

        def ask() -> None:
            try:
                endpoint.stat("a")
            except EndpointLostError as error:
                caught.append(error)

        thread = Thread(target=ask)
        thread.start()
        waiting.wait()
        endpoint.close()
        thread.join(60)
        over.set()
        assert not thread.is_alive()
    assert len(caught) == 1
    with pytest.raises(EndpointLostError, match="connect again"):
        endpoint.stat("a")


def test_a_close_ends_a_handshake_that_another_thread_waits_for(tmp_path: Path) -> None:
    with (
        rogue_server(tmp_path, good) as rogue,
        closing(socket.create_server(("127.0.0.1", 0))) as silent_door,
    ):
        location = replace(rogue.location(), port=silent_door.getsockname()[1], timeout_s=120.0)
        login = prepare(location, secrets_dir=rogue.secrets_dir, values={})
        requests = Requests(Line(location, login, SystemClock()))
        caught: list[BaseException] = []

        def ask() -> None:
            try:
                requests.ask("PROPFIND", "/", what=".")
            except EndpointLostError as error:
                caught.append(error)

        thread = Thread(target=ask)
        thread.start()
        accepted, _ = silent_door.accept()
        accepted.recv(1)  # of the handshake
        requests.close()
        thread.join(60)
        accepted.close()
        assert len(caught) == 1
        thread.join()


def test_a_connection_that_was_closed_meanwhile_is_made_anew(tmp_path: Path) -> None:
    def reply(asked: Asked) -> Iterable[bytes]:
        yield from good(asked)
        raise HangUpError

    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        for _ in range(5):
            assert read(endpoint, "a") == b"12345"
        assert endpoint.is_alive()


def test_what_no_answer_came_to_is_asked_again_once(tmp_path: Path) -> None:
    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.method == "GET" and rogue.methods().count("GET") <= silent_times:
            raise HangUpError
        return good(asked)

    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        silent_times = 1
        assert read(endpoint, "a") == b"12345"
        silent_times = 9
        with pytest.raises(EndpointLostError):
            read(endpoint, "a")
        assert rogue.methods().count("GET") == 4


def test_a_server_that_takes_no_notice_of_overwrite_replaces_nothing(tmp_path: Path) -> None:
    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.method == "MOVE":
            yield answer(204)
        elif asked.path == "/b":
            yield told(("/b", 5))
        else:
            yield from good(asked)

    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        with pytest.raises(FileExistsAtEndpointError, match="'b' is there already"):
            endpoint.rename("a", "b", replace=False)
        assert "MOVE" not in rogue.methods()


def test_a_folder_of_many_files_is_made_by_one(tmp_path: Path) -> None:
    there: dict[str, int | None] = {"/": None}
    making = Lock()

    def reply(asked: Asked) -> Iterable[bytes]:
        path = asked.path.rstrip("/") or "/"
        match asked.method:
            case "PROPFIND":
                yield told((path, there[path])) if path in there else answer(404)
            case "MKCOL" if making.acquire(blocking=False):
                Event().wait(0.2)
                there[path] = None
                making.release()
                yield answer(201)
            case "MKCOL":
                yield answer(423)
            case "PUT" if "/many" in there:
                there[path] = len(asked.body)
                yield answer(201)
            case _:
                yield answer(409)

    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        assert endpoint.write_all((f"many/{name}", b"x") for name in "abcd") == [1, 1, 1, 1]


def test_what_a_server_may_have_done_is_not_asked_again(tmp_path: Path) -> None:
    def reply(asked: Asked) -> Iterable[bytes]:
        if asked.method == "MOVE":
            raise HangUpError
        return good(asked)

    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        with pytest.raises(EndpointLostError):
            endpoint.rename("a", "b", replace=False)
        assert rogue.methods().count("MOVE") == 1


# --- what a server would take along ---


def test_a_server_that_replaces_whatever_is_there_is_not_asked_to(tmp_path: Path) -> None:
    def reply(asked: Asked) -> Iterable[bytes]:
        match asked.method, asked.path:
            case "PROPFIND", "/folder":
                yield told(("/folder/", None))
            case "PROPFIND", _:
                yield from good(asked)
            case _:
                yield answer(201)

    with rogue_server(tmp_path, reply) as rogue, closing(entered(rogue)) as endpoint:
        with pytest.raises(FileExistsAtEndpointError, match="'a'"):
            endpoint.write("a", iter([b"1"]), on_chunk=silent)
        (ended,) = endpoint.write_all([("a", b"1")])
        assert isinstance(ended, FileExistsAtEndpointError)
        with pytest.raises(EndpointRefusedError, match="'folder' is a folder"):
            endpoint.rename("a", "folder", replace=True)
        assert set(rogue.methods()) == {"PROPFIND"}


@pytest.mark.needs("apache2")
def test_a_folder_is_neither_replaced_nor_removed_as_a_file(
    place: tuple[HttpsEndpoint, Path],
) -> None:
    endpoint, root = place
    (root / "folder").mkdir()
    (root / "folder/kept").write_bytes(b"kept")
    (root / "a").write_bytes(b"1")
    for replaces, error in ((True, EndpointRefusedError), (False, FileExistsAtEndpointError)):
        with pytest.raises(error, match="'folder'"):
            endpoint.rename("a", "folder", replace=replaces)
    with pytest.raises(EndpointRefusedError, match="is a folder"):
        endpoint.remove("folder")
    assert (root / "folder/kept").read_bytes() == b"kept"
    assert (root / "a").read_bytes() == b"1"


def before(
    monkeypatch: pytest.MonkeyPatch, endpoint: HttpsEndpoint, method: str, do: Callable[[], object]
) -> None:
    """Have ``do`` happen at the server at the last moment before the first request of ``method``."""
    ask, left = endpoint._requests.ask, [do]

    def late(asked: str, url: str, **options: object) -> object:
        if asked == method and left:
            left.pop()()
        return ask(asked, url, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(endpoint._requests, "ask", late)


@pytest.mark.needs("apache2")
def test_what_comes_into_a_folder_while_it_is_removed_is_kept(
    place: tuple[HttpsEndpoint, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, root = place
    (root / "claims/7").mkdir(parents=True)
    before(monkeypatch, endpoint, "MOVE", lambda: (root / "claims/7/late").write_bytes(b"late"))
    assert not endpoint.remove_folder("claims/7")
    assert (root / "claims/7/late").read_bytes() == b"late"
    assert [path.name for path in (root / "claims").iterdir()] == ["7"]


@pytest.mark.needs("apache2")
def test_nothing_comes_into_a_folder_any_more_once_it_is_about_to_go(
    place: tuple[HttpsEndpoint, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, root = place
    (root / "claims/7").mkdir(parents=True)
    (root / "a").write_bytes(b"1")
    refused: list[OSError] = []

    def claim_late() -> None:
        try:
            (root / "a").rename(root / "claims/7/a")
        except OSError as error:
            refused.append(error)

    before(monkeypatch, endpoint, "DELETE", claim_late)
    assert endpoint.remove_folder("claims/7")
    assert len(refused) == 1
    assert (root / "a").read_bytes() == b"1"
    assert list((root / "claims").iterdir()) == []
    with pytest.raises(FileMissingError):
        endpoint.rename("a", "claims/7/a", replace=True)


@pytest.mark.needs("apache2")
def test_times_and_modes_are_refused(place: tuple[HttpsEndpoint, Path]) -> None:
    endpoint, root = place
    (root / "a").write_bytes(b"1")
    times, nothing, gone = endpoint.set_all(
        [("a", Traits(mtime_ns=10**18)), ("a", Traits()), ("b", Traits())]
    )
    assert isinstance(times, EndpointRefusedError)
    assert nothing is None
    assert isinstance(gone, FileMissingError)


def reach(made: Site, far: str, server: Dav) -> None:
    """Have one side of ``made`` opened through ``server``."""
    folder = made.source if far == SOURCE else made.target
    location = server.location(path=f"/{folder.relative_to(server.folder)}")
    opened = made.open

    def open_either(at: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
        if at.name != far:
            return opened(at, make)
        return opening.connect(location, secrets_dir=server.secrets_dir, secrets={})

    made.open = open_either  # type: ignore[method-assign,assignment]


@pytest.mark.needs("apache2")
@pytest.mark.parametrize("far", [SOURCE, TARGET])
@pytest.mark.parametrize("after", [AfterSuccess.DELETE, AfterSuccess.ARCHIVE])
def test_a_transfer_runs_from_and_to_it(
    apache: Dav, tmp_path: Path, far: str, after: AfterSuccess
) -> None:
    deletes = after is AfterSuccess.DELETE  # an archive lies below the source
    made = site(apache.folder / tmp_path.name, after=after, recursive=deletes)
    for folder in (made.source, made.target):
        folder.mkdir(parents=True)
    made.put(f"{'deep/' if deletes else ''}small ü.csv", b"small")
    made.put("large.bin", LARGE)
    wanted = {path.name: path.read_bytes() for path in made.source.rglob("*.*") if path.is_file()}
    reach(made, far, apache)
    outcome = made.run(1)
    assert (outcome.files, outcome.errors) == (2, ())
    assert {
        path.name: path.read_bytes() for path in made.target.rglob("*") if path.is_file()
    } == wanted
    left = set() if deletes else {"small ü.csv", "large.bin"}
    assert set(made.left_at_source()) == left
    assert made.records() == []
    assert made.run(2).files == 0
    assert made.delivered() == 2


@pytest.mark.needs("apache2")
@pytest.mark.parametrize("far", [SOURCE, TARGET])
def test_whoever_comes_next_goes_on_where_an_owner_died(
    apache: Dav, tmp_path: Path, far: str
) -> None:
    def die() -> None:
        raise Crash

    for at in range(1, 30):
        made = site(apache.folder / tmp_path.name / str(at))
        for folder in (made.source, made.target):
            folder.mkdir(parents=True)
        made.put("small.csv", b"small")
        reach(made, far, apache)
        owner = Owner(1, at=at, then=die)
        try:
            made.run(owner)
        except Crash:
            made.run(2)
        assert [path.name for path in made.target.iterdir()] == ["small.csv"], at
        assert (made.target / "small.csv").read_bytes() == b"small"
        assert (made.left_at_source(), made.records(), made.delivered()) == ([], [], 1), at
        if owner.effects < at:
            return
    raise AssertionError("the run has more steps than were tried")
