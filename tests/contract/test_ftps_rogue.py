"""Servers that lie, cut short, say too much or too little, and what stands between us and them."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event, Thread
from traceback import format_exception

import pytest
from clocks import SetClock
from ftps_server import PASSWORD, make_certificates
from rogue_ftp import RogueFtp, end_data, running_rogue, server_context

from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileMissingError,
    HostKeyError,
    LoginError,
    Traits,
)
from mftgit.adapters.ftps.endpoint import FtpsEndpoint, connect
from mftgit.adapters.ftps.folder import MAX_NAMES
from mftgit.errors import MftgitError


@pytest.fixture
def rogue(tmp_path: Path) -> Iterator[RogueFtp]:
    with running_rogue(tmp_path) as server:
        yield server


def open_at(rogue: RogueFtp) -> FtpsEndpoint:
    return connect(rogue.location(), secrets_dir=rogue.secrets_dir)


def read(endpoint: FtpsEndpoint, path: str) -> bytes:
    with endpoint.open_read(path) as stream:
        return b"".join(iter(lambda: stream.read(1 << 20), b""))


def write(endpoint: FtpsEndpoint, path: str, content: bytes = b"content") -> int:
    return endpoint.write(path, iter([content]), on_chunk=lambda _: None)


def test_a_server_that_does_as_it_should_is_used(rogue: RogueFtp) -> None:
    rogue.files["a"] = b"one"
    with closing(open_at(rogue)) as endpoint:
        assert read(endpoint, "a") == b"one"
        assert write(endpoint, "b", b"x" * 300_000) == 300_000
        assert [each.path for each in endpoint.list_files(".", recursive=True)] == ["a", "b"]
        assert endpoint.is_alive()
    assert rogue.in_plain_text == ["AUTH TLS"]
    assert f"PASS {PASSWORD}" in rogue.heard
    assert rogue.heard.index("PROT P") < rogue.heard.index("PASV")


def test_nothing_but_tls_is_spoken_to_a_server_without(rogue: RogueFtp) -> None:
    rogue.answers["AUTH"] = b"502 what is that?\r\n"
    with pytest.raises(EndpointRefusedError, match="does not begin TLS"):
        open_at(rogue)
    assert rogue.heard == ["AUTH TLS"]


def test_a_server_that_does_not_encrypt_files_is_not_used(rogue: RogueFtp) -> None:
    rogue.answers["PROT"] = b"534 no\r\n"
    with pytest.raises(EndpointRefusedError, match="PROT P"):
        open_at(rogue)


def test_what_is_slipped_in_before_tls_ends_the_connection(rogue: RogueFtp) -> None:
    rogue.answers["AUTH"] = b"234 go on\r\n331 password\r\n230 in\r\n"
    with pytest.raises(EndpointLostError, match="plain text"):
        open_at(rogue)
    assert rogue.heard == ["AUTH TLS"]


def test_no_login_is_told_to_a_server_with_another_certificate(rogue: RogueFtp) -> None:
    stranger = make_certificates()
    location = replace(rogue.location(), ca=stranger.ca)
    with pytest.raises(HostKeyError, match="is not trusted"):
        connect(location, secrets_dir=rogue.secrets_dir)
    location = replace(rogue.location(), ca=None, fingerprints=(stranger.fingerprint,))
    with pytest.raises(HostKeyError, match=rogue.shown.fingerprint):
        connect(location, secrets_dir=rogue.secrets_dir)
    location = replace(rogue.location(), host="localhost")
    with pytest.raises(HostKeyError, match=r"(?i)hostname"):
        connect(location, secrets_dir=rogue.secrets_dir)
    assert {*rogue.heard} == {"AUTH TLS"}


@pytest.mark.parametrize("pinned", [True, False])
def test_the_certificate_of_data_connections_is_checked_too(rogue: RogueFtp, pinned: bool) -> None:  # noqa: FBT001
    rogue.files["a"] = b"one"
    location = rogue.location()
    if pinned:
        location = replace(location, ca=None, fingerprints=(rogue.shown.fingerprint.lower(),))
    with closing(connect(location, secrets_dir=rogue.secrets_dir)) as endpoint:
        assert read(endpoint, "a") == b"one"
        rogue.on_data = server_context(make_certificates())
        with pytest.raises(HostKeyError, match="shows"):
            read(endpoint, "a")


def test_a_file_cut_short_is_a_loss(rogue: RogueFtp) -> None:
    """However many bytes came: who cuts the connection on the way may do so after the last one, too."""

    def cut(data: ssl.SSLSocket, content: bytes) -> None:
        data.sendall(content)

    rogue.files["a"] = bytes(100_000)
    rogue.send = cut
    with closing(open_at(rogue)) as endpoint:
        with pytest.raises(EndpointLostError, match=r"'a'.*EOF"):
            read(endpoint, "a")
        assert not endpoint.is_open


@pytest.mark.parametrize("more", [-1, 1])
def test_a_size_that_lies_is_found(rogue: RogueFtp, more: int) -> None:
    def lie(data: ssl.SSLSocket, content: bytes) -> None:
        data.sendall(bytes(len(content) + more))
        end_data(data)

    rogue.files["a"] = bytes(1000)
    rogue.send = lie
    expected = EndpointLostError if more < 0 else EndpointBusyError
    with closing(open_at(rogue)) as endpoint, pytest.raises(expected, match=r"too soon|more bytes"):
        read(endpoint, "a")


def test_a_file_without_an_end_is_not_read_for_ever(rogue: RogueFtp) -> None:
    def pour(data: ssl.SSLSocket, _content: bytes) -> None:
        while True:
            data.sendall(bytes(1 << 16))

    rogue.files["a"] = bytes(1000)
    rogue.send = pour
    with closing(open_at(rogue)) as endpoint, pytest.raises(EndpointBusyError):
        read(endpoint, "a")


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("426 cut", EndpointLostError),
        ("451 the disk cannot be read", EndpointBusyError),
        ("no FTP", EndpointLostError),
    ],
)
def test_a_file_counts_as_read_when_the_server_says_that_it_was_all(
    rogue: RogueFtp, last: str, expected: type[MftgitError]
) -> None:
    rogue.files["a"] = bytes(10)
    rogue.last = last
    with closing(open_at(rogue)) as endpoint, pytest.raises(expected, match=last):
        read(endpoint, "a")


def lines_without_end(data: ssl.SSLSocket, _content: bytes) -> None:
    while True:
        data.sendall(b"x" * 65_536)


def nonsense(data: ssl.SSLSocket, _content: bytes) -> None:
    data.sendall(b"drwxr-xr-x 2 root root 4096 folder\r\n")
    end_data(data)


def half_a_line(data: ssl.SSLSocket, _content: bytes) -> None:
    data.sendall(b"type=file;size=1;modify=20240101000000; a.c")
    end_data(data)


@pytest.mark.parametrize("send", [lines_without_end, nonsense, half_a_line])
def test_what_is_no_list_is_none(
    rogue: RogueFtp, send: Callable[[ssl.SSLSocket, bytes], None]
) -> None:
    rogue.send = send
    with closing(open_at(rogue)) as endpoint, pytest.raises(EndpointLostError, match=r"line|list"):
        endpoint.list_names(".")


def test_a_list_is_not_taken_in_for_ever(rogue: RogueFtp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mftgit.adapters.ftps.folder.MAX_NAMES", 1000)

    def pour(data: ssl.SSLSocket, _content: bytes) -> None:
        while True:
            data.sendall(b"type=file;size=1;modify=20240101000000; a\r\n" * 100)

    rogue.send = pour
    with closing(open_at(rogue)) as endpoint:
        with pytest.raises(EndpointRefusedError, match="more than 1000 names"):
            endpoint.list_names(".")
        rogue.send = None
        assert endpoint.list_names(".") == []
    assert MAX_NAMES > 1000


@pytest.mark.parametrize(
    "line",
    [b"type=cdir; .\r\n", b"type=file; a/b\r\n", b"type=file; " + b"x" * 16_000 + b"\r\n"],
    ids=range(3),
)
def test_a_list_is_no_longer_than_a_list_may_be(
    rogue: RogueFtp, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    monkeypatch.setattr("mftgit.adapters.ftps.folder.MAX_LIST_BYTES", 1 << 20)

    def pour(data: ssl.SSLSocket, _content: bytes) -> None:
        for _ in range(10):
            data.sendall(line * (1_000_000 // len(line)))
        end_data(data)

    rogue.send = pour
    with (
        closing(open_at(rogue)) as endpoint,
        pytest.raises(EndpointRefusedError, match="longer than"),
    ):
        endpoint.list_names(".")


def test_a_list_comes_to_its_end_in_time(rogue: RogueFtp) -> None:
    clock = SetClock()

    def drip(data: ssl.SSLSocket, _content: bytes) -> None:
        for _ in range(6000):  # until the client has gone, which may begin to read late
            clock.pass_s(100)
            data.sendall(b"type=file;size=1;modify=20240101000000; a\r\n")
            Event().wait(0.01)

    rogue.send = drip
    with (
        closing(connect(rogue.location(), secrets_dir=rogue.secrets_dir, clock=clock)) as endpoint,
        pytest.raises(EndpointLostError, match="in time"),
    ):
        endpoint.list_names(".")


def test_a_file_that_trickles_is_given_up(rogue: RogueFtp) -> None:
    clock = SetClock()

    def drip(data: ssl.SSLSocket, _content: bytes) -> None:
        for _ in range(60_000):
            clock.pass_s(40)
            data.sendall(b"x")
            Event().wait(0.001)

    rogue.files["a"] = bytes(100_000)
    rogue.send = drip
    with (
        closing(connect(rogue.location(), secrets_dir=rogue.secrets_dir, clock=clock)) as endpoint,
        endpoint.open_read("a") as stream,
        pytest.raises(EndpointLostError, match="too few"),
    ):
        stream.read()


@pytest.mark.parametrize(
    ("host", "reply"),
    [
        ("127.0.0.1", b"227 fine (1,2,3,4,99999,1)"),
        ("127.0.0.1", b"227 fine (1,2,3,4," + b"9" * 5000 + b",1)"),
        ("::1", b"229 fine (|||99999|)"),
        ("::1", b"229 fine (|||x|)"),
        ("::1", b"229 fine ("),
    ],
    ids=range(5),
)
def test_a_port_that_is_none_is_told(tmp_path: Path, host: str, reply: bytes) -> None:
    with running_rogue(tmp_path, host=host) as rogue, closing(open_at(rogue)) as endpoint:
        rogue.answers[{"227": "PASV", "229": "EPSV"}[reply[:3].decode()]] = reply + b"\r\n"
        with pytest.raises(EndpointLostError, match=r"'\.'"):
            endpoint.list_names(".")


@pytest.mark.parametrize("code", [b"500", b"421", b"331"])
def test_a_password_that_a_server_says_back_is_shown_to_nobody(
    rogue: RogueFtp, code: bytes
) -> None:
    rogue.answers["PASS"] = code + b" 'PASS " + PASSWORD.encode() + b"': not understood\r\n"
    with pytest.raises(MftgitError, match="not understood") as caught:
        open_at(rogue)
    assert PASSWORD not in "".join(format_exception(caught.value))


def test_a_time_that_no_year_has_is_refused(rogue: RogueFtp) -> None:
    rogue.answers["FEAT"] = b"211-Features:\r\n MLST size*;\r\n MFMT\r\n211 End\r\n"
    with closing(open_at(rogue)) as endpoint:
        (told,) = endpoint.set_all([("a", Traits(mtime_ns=1 << 80))])
    assert isinstance(told, EndpointRefusedError)


def test_names_that_no_path_can_have_are_passed_over(rogue: RogueFtp) -> None:
    rogue.files |= {"../../etc/passwd": b"", "..": b"", "good": b""}
    with closing(open_at(rogue)) as endpoint:
        assert [each.path for each in endpoint.list_files(".", recursive=True)] == ["good"]
        assert endpoint.list_names(".") == ["good"]


def test_a_reply_without_an_end_is_given_up(rogue: RogueFtp) -> None:
    with closing(open_at(rogue)) as endpoint:
        rogue.answers["MLST"] = b"250-" + b"x\r\n" * 5000
        with pytest.raises(EndpointLostError, match="lines"):
            endpoint.stat("a")
    with closing(open_at(rogue)) as endpoint:
        rogue.answers["MLST"] = b"250-" + b"x" * 50_000
        with pytest.raises(EndpointLostError, match="bytes"):
            endpoint.stat("a")


def test_a_reply_that_nobody_asked_for_is_not_taken_for_the_next(rogue: RogueFtp) -> None:
    rogue.answers["DELE"] = b"250 gone\r\n250 gone\r\n"
    with closing(open_at(rogue)) as endpoint:
        endpoint.remove("a")
        with pytest.raises(EndpointLostError, match="250 gone"):
            endpoint.remove("b")
    assert "DELE ./b" not in rogue.heard


@dataclass
class Leaping(SetClock):
    """Each time it is looked at it is later."""

    leap_s: float = 0.0

    def boottime(self) -> float:
        self.pass_s(self.leap_s)
        return super().boottime()


def test_a_server_that_says_nothing_is_given_up(rogue: RogueFtp) -> None:
    rogue.answers["MLST"] = b""
    location, clock = rogue.location(), Leaping()
    with closing(connect(location, secrets_dir=rogue.secrets_dir, clock=clock)) as endpoint:
        clock.leap_s = location.timeout_s - 0.2
        with pytest.raises(EndpointLostError):
            endpoint.stat("a")
        with pytest.raises(EndpointLostError, match="connect again"):
            endpoint.stat("a")


REPLIES: dict[str, type[MftgitError]] = {
    "421 bye": EndpointLostError,
    "425 no data connection": EndpointLostError,
    "426 cut": EndpointLostError,
    "451 my own trouble": EndpointBusyError,
    "452 no room": EndpointFullError,
    "530 who are you?": LoginError,
    "552 over quota": EndpointFullError,
    "553 not by this name": EndpointRefusedError,
    "550 permission denied": EndpointRefusedError,
    "550 I will not": EndpointRefusedError,
    "500 what?": EndpointRefusedError,
    "none of FTP": EndpointLostError,
}


@pytest.mark.parametrize("reply", REPLIES)
def test_each_reply_has_its_meaning(rogue: RogueFtp, reply: str) -> None:
    with closing(open_at(rogue)) as endpoint:
        rogue.answers["STOR"] = f"{reply}\r\n".encode()
        with pytest.raises(REPLIES[reply], match=reply.rsplit(maxsplit=1)[-1].rstrip("?")):
            write(endpoint, "a")
        assert endpoint.is_open == (REPLIES[reply] is not EndpointLostError)
        if endpoint.is_open:
            del rogue.answers["STOR"]
            assert write(endpoint, "a") == 7


def test_a_full_disk_in_the_middle_of_a_file_is_told(rogue: RogueFtp) -> None:
    def chunks() -> Iterator[bytes]:
        while True:
            yield bytes(1 << 20)

    rogue.most_bytes, rogue.last = 3 << 20, "552 the disk is full"
    with closing(open_at(rogue)) as endpoint:
        with pytest.raises(EndpointFullError, match="the disk is full"):
            endpoint.write("a", chunks(), on_chunk=lambda _: None)
        rogue.last = "226 that was all"
        assert endpoint.list_names(".") == ["a"]


def test_a_file_that_came_in_short_is_told(rogue: RogueFtp) -> None:
    with closing(open_at(rogue)) as endpoint:
        rogue.room_bytes = 1000
        with pytest.raises(EndpointFullError, match="1000 bytes after 1200"):
            write(endpoint, "a", bytes(1200))


def test_a_login_that_is_refused_is_told_without_the_password(rogue: RogueFtp) -> None:
    rogue.answers["PASS"] = b"530 no\r\n"
    with pytest.raises(LoginError, match="'acme'") as caught:
        open_at(rogue)
    assert PASSWORD not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_server_that_is_busy_is_tried_again(rogue: RogueFtp) -> None:
    rogue.greeting = b"421 too many of you\r\n"
    with pytest.raises(EndpointLostError, match="too many"):
        open_at(rogue)


def test_a_server_with_lists_for_people_only_is_not_used(rogue: RogueFtp) -> None:
    rogue.answers["FEAT"] = b"211-Features:\r\n SIZE\r\n211 End\r\n"
    with pytest.raises(EndpointRefusedError, match="MLSD"):
        open_at(rogue)


def test_ipv6_is_spoken(tmp_path: Path) -> None:
    with (
        running_rogue(tmp_path, host="::1") as rogue,
        closing(open_at(rogue)) as endpoint,
    ):
        assert write(endpoint, "a", b"one") == 3
        assert read(endpoint, "a") == b"one"
        assert "PASV" not in rogue.heard


NO_DATA = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
"""Has no certificate, so that no handshake ends well."""


def never(_data: ssl.SSLSocket, _content: bytes) -> None:
    HANGING.set()
    END.wait(60)


HANGING, END = Event(), Event()


@pytest.mark.parametrize("where", ["reply", "content"])
def test_a_close_ends_what_another_thread_waits_for(rogue: RogueFtp, where: str) -> None:
    """What it waits for would come to its end after an hour."""
    HANGING.clear()
    END.clear()
    rogue.files["a"] = b"one"
    location = replace(rogue.location(), timeout_s=3600)
    endpoint = connect(location, secrets_dir=rogue.secrets_dir)
    told: list[MftgitError] = []

    def wait() -> None:
        try:
            read(endpoint, "a")
        except MftgitError as error:
            told.append(error)

    if where == "reply":
        rogue.answers["MLST"] = b""
    else:
        rogue.send = never
    waiting = Thread(target=wait, daemon=True)
    waiting.start()
    while not (HANGING.is_set() or (where == "reply" and "MLST ./a" in rogue.heard)):
        HANGING.wait(0.01)
    endpoint.close()
    waiting.join(60)
    END.set()
    assert [type(error) for error in told] == [EndpointLostError]
    with pytest.raises(EndpointLostError, match="connect again"):
        endpoint.stat("a")
    with pytest.raises(EndpointLostError, match="connect again"), endpoint.open_read("a"):
        pass
    assert not endpoint.is_alive()


def test_more_is_asked_while_files_are_open_and_no_more_than_some(rogue: RogueFtp) -> None:
    rogue.files |= {name: name.encode() for name in "abcde"}
    with closing(open_at(rogue)) as endpoint, ExitStack() as open_files:
        streams = [open_files.enter_context(endpoint.open_read(name)) for name in "abcd"]
        with pytest.raises(EndpointRefusedError, match="4 files are open"):
            endpoint.stat("e")
        assert [stream.read(9) for stream in streams] == [b"a", b"b", b"c", b"d"]
    assert rogue.heard.count("AUTH TLS") == 4


def test_a_file_left_half_way_costs_a_session_and_nothing_else(rogue: RogueFtp) -> None:
    rogue.files["a"] = bytes(5_000_000)
    with closing(open_at(rogue)) as endpoint:
        with endpoint.open_read("a") as stream:
            assert stream.read(10) == bytes(10)
        assert endpoint.stat("a").size_bytes == 5_000_000
    assert rogue.heard.count("AUTH TLS") == 2


def test_a_server_that_tells_no_time_or_other_things_than_files_is_refused(
    rogue: RogueFtp,
) -> None:
    with closing(open_at(rogue)) as endpoint:
        for told, expected in {
            "type=file;size=1;": "size and time",
            "type=OS.unix=slink;size=1;": "no regular file",
            "type=dir;": "a folder",
            "type=cdir;": "a folder",
        }.items():
            rogue.answers["MLST"] = f"250-Facts\r\n {told} a\r\n250 End\r\n".encode()
            with pytest.raises(EndpointRefusedError, match=expected):
                endpoint.stat("a")
        rogue.answers["MLST"] = b"250 nothing\r\n"
        with pytest.raises(EndpointLostError, match="no facts"):
            endpoint.stat("a")


def test_times_are_not_set_where_the_server_has_no_word_for_it(rogue: RogueFtp) -> None:
    with closing(open_at(rogue)) as endpoint:
        (error,) = endpoint.set_all([("a", Traits(mtime_ns=0))])
        assert isinstance(error, EndpointRefusedError)
        (error,) = endpoint.set_all([("a", Traits(mode=0o600))])
        assert isinstance(error, FileMissingError)


def test_what_the_server_has_against_a_data_connection_is_told(rogue: RogueFtp) -> None:
    rogue.files["a"] = b"one"
    rogue.on_data = NO_DATA
    rogue.last = "522 come with the session that you have"
    with closing(open_at(rogue)) as endpoint:
        with pytest.raises(EndpointRefusedError, match="come with the session"):
            read(endpoint, "a")
        rogue.on_data, rogue.last = None, "226 that was all"
        assert read(endpoint, "a") == b"one"


def test_a_server_that_lets_no_second_session_in_is_told(rogue: RogueFtp) -> None:
    rogue.files["a"] = b"one"
    with closing(open_at(rogue)) as endpoint:
        with endpoint.open_read("a"):
            rogue.greeting = b"421 one of you is enough\r\n"
            with pytest.raises(EndpointLostError, match="is enough"):
                endpoint.stat("a")
        assert not endpoint.is_open


def test_a_rename_that_fails_for_now_may_be_one_to_a_folder_that_is_not_there(
    rogue: RogueFtp,
) -> None:
    rogue.files["there"] = b"one"
    rogue.answers["RNTO"] = b"451 no\r\n"
    with closing(open_at(rogue)) as endpoint:
        with pytest.raises(FileMissingError, match="gone"):
            endpoint.rename("there", "gone/new", replace=False)
        with pytest.raises(EndpointBusyError, match="451 no"):
            endpoint.rename("there", "new", replace=False)
        rogue.answers["RNTO"] = b"421 bye\r\n"
        with pytest.raises(EndpointLostError, match="bye"):
            endpoint.rename("there", "new", replace=False)
        assert not endpoint.is_open
