"""What is read out of a server's answers, whatever they are, and what its statuses mean."""

import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    LoginError,
)
from mftgit.adapters.smb import requests
from mftgit.adapters.smb.requests import Found
from mftgit.adapters.smb.status import BrokenAnswerError, kind_of, words_of
from mftgit.adapters.smb.transport import MOST_BYTES, Transport

YEAR_2000_NS = 946_684_800_000_000_000
YEAR_2000 = 125_911_584_000_000_000  # in units of 100 ns since 1601


def entry(name: str, *, following: int, written: int = YEAR_2000, tag: int = 0) -> bytes:
    raw = name.encode("utf-16-le", "surrogatepass")
    fixed = struct.pack("<IIQQQQQQIII", following, 0, 0, 0, written, 0, 7, 0, 0x20, len(raw), tag)
    return (fixed + raw).ljust(following, b"\0")


def listed(*entries: bytes, offset: int = 72) -> bytes:
    block = b"".join(entries)
    return struct.pack("<HHI", 9, offset, len(block)) + block


def test_the_names_of_a_list_are_read_with_what_they_are() -> None:
    answer = listed(entry("a", following=80), entry("b\ud800", following=0, written=YEAR_2000 + 3))
    assert list(requests.read_entries(answer)) == [
        ("a", Found(size_bytes=7, mtime_ns=YEAR_2000_NS, attributes=0x20)),
        ("b\ud800", Found(size_bytes=7, mtime_ns=YEAR_2000_NS + 300, attributes=0x20)),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        listed(),
        listed(entry("a", following=4)),
        listed(entry("a", following=1 << 20)[:80]),
        listed(entry("a" * 10, following=0)[:-2]),
        listed(entry("a", following=0), offset=0),
        listed(entry("a", following=0), offset=60_000),
    ],
)
def test_a_list_that_is_cut_short_is_no_list(answer: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        list(requests.read_entries(answer))


@given(st.binary(max_size=300))
def test_no_answer_makes_more_of_it_than_it_is(answer: bytes) -> None:
    for read in (
        requests.read_opened,
        requests.read_closed,
        requests.read_written,
        lambda each: requests.read_data(each, 10),
        lambda each: list(requests.read_entries(each)),
    ):
        try:
            read(answer)
        except BrokenAnswerError:
            continue


@given(st.integers(0, (1 << 64) - 1))
def test_every_time_fits_into_64_bits(written: int) -> None:
    ((_, found),) = requests.read_entries(listed(entry("a", following=0, written=written)))
    assert abs(found.mtime_ns) < 1 << 63


def data(count: int, content: bytes, offset: int = 80) -> bytes:
    return struct.pack("<HBBIII", 17, offset, 0, count, 0, 0) + content


def test_the_content_that_was_read_is_as_long_as_said_and_as_asked_for() -> None:
    assert requests.read_data(data(3, b"abc"), 5) == b"abc"
    for answer in (data(3, b"ab"), data(0, b""), data(6, b"abcdef"), data(3, b"abc", offset=63)):
        with pytest.raises(BrokenAnswerError, match="where 5 were asked for"):
            requests.read_data(answer, 5)


@pytest.mark.parametrize(
    ("attributes", "tag", "what"),
    [
        (0x20, 0, "file"),
        (0x80, 0x2000_0000, "file"),  # extended attributes of that length, and no tag
        (0x10, 0, "folder"),
        (0x400, 0x8000_0013, "file"),  # deduplicated
        (0x410, 0x9000_001A, "folder"),  # of a cloud
        (0x400, 0xA000_000C, "other"),  # a link
        (0x410, 0xA000_0003, "other"),  # a mount point
        (0x400, 0x8000_0024, "other"),  # a pipe
        (0x400, 0x8000_0014, "other"),  # something of NFS
    ],
)
def test_links_and_devices_are_told_from_files_that_are_kept_otherwise(
    attributes: int, tag: int, what: str
) -> None:
    found = Found(size_bytes=0, mtime_ns=0, attributes=attributes, tag=tag)
    assert (found.is_file, found.is_folder) == (what == "file", what == "folder")


def test_statuses_say_what_to_do() -> None:
    assert kind_of(0xC000006D) is LoginError
    assert kind_of(0xC0000043) is EndpointBusyError
    assert kind_of(0xC0000044) is EndpointFullError
    assert kind_of(0xC00000C9) is EndpointLostError
    assert kind_of(0xC0000257) is EndpointRefusedError
    assert kind_of(0xC0FFEE00) is EndpointRefusedError
    assert words_of(0xC0FFEE00) == "the server says no (status 0xc0ffee00)"
    assert words_of(0xC0000022) == "access denied (status 0xc0000022)"


@pytest.fixture
def silent_server() -> Iterator[tuple[Transport, socket.socket]]:
    """Give a connection to somebody who neither reads nor says anything."""
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        transport = Transport("127.0.0.1", door.getsockname()[1], connect_s=10, send_s=0.2)
        transport.connect()
        there, _ = door.accept()
        with closing(there):
            yield transport, there
        transport.close()
        transport.release()


MUCH = bytes(64 << 20)


def test_who_takes_nothing_is_given_up(silent_server: tuple[Transport, socket.socket]) -> None:
    transport, _ = silent_server
    with pytest.raises(TimeoutError, match="took nothing"):
        transport.send(MUCH)


def test_closing_wakes_who_sends_and_who_receives() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        transport = Transport("127.0.0.1", door.getsockname()[1], connect_s=10, send_s=600)
        transport.connect()
        ended: list[object] = []

        def send() -> None:
            try:
                transport.send(MUCH)
            except OSError as error:
                ended.append(error)

        threads = [Thread(target=send), Thread(target=lambda: ended.append(transport.recv(0)))]
        for thread in threads:
            thread.start()
        transport.close()
        for thread in threads:
            thread.join()
        transport.release()
        assert b"" in ended
        assert len(ended) == 2
        with pytest.raises(ConnectionAbortedError):
            transport.send(b"late")
        transport.close()


def test_a_message_that_is_too_large_is_not_taken(
    silent_server: tuple[Transport, socket.socket],
) -> None:
    transport, there = silent_server
    there.sendall((MOST_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(BrokenAnswerError, match=f"at most {MOST_BYTES}"):
        transport.recv(0)
