"""Answers of SFTP are what clients read; here it is paramiko's client side that reads them."""

import paramiko
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paramiko.sftp_attr import SFTPAttributes

from mftgit.model.sftp import answer as sftp_answer
from mftgit.model.sftp.answer import Told
from mftgit.model.sftp.fields import Status

FILE = Told(size_bytes=12, mode=0o100640, atime_s=1_700_000_000, mtime_s=1_700_000_001)
FOLDER = Told(size_bytes=4096, mode=0o040755, atime_s=0, mtime_s=0)


def opened(answer: bytes) -> tuple[int, int, paramiko.Message]:
    """Return sort and number of an answer, and what follows."""
    message = paramiko.Message(answer)
    assert message.get_int() == len(answer) - 4
    return message.get_byte()[0], message.get_int(), message


def read(message: paramiko.Message) -> SFTPAttributes:
    attributes: SFTPAttributes = SFTPAttributes._from_msg(message)  # type: ignore[attr-defined]
    return attributes


def test_the_version_is_3_with_extensions() -> None:
    sort, number, message = opened(sftp_answer.version({"limits@openssh.com": "1"}))
    assert (sort, number) == (2, 3)
    assert (message.get_text(), message.get_text()) == ("limits@openssh.com", "1")
    assert not message.get_remainder()


def test_a_status_has_words_for_people() -> None:
    sort, number, message = opened(sftp_answer.status(9, Status.FAILURE, "no \udcff room"))
    assert (sort, number, message.get_int()) == (101, 9, 4)
    assert message.get_text() == "no \\udcff room"
    assert message.get_text() == ""


def test_a_handle_and_the_head_of_data_are_as_long_as_they_say() -> None:
    sort, number, message = opened(sftp_answer.handle(9, b"\0\1"))
    assert (sort, number, message.get_string()) == (102, 9, b"\0\1")
    sort, number, message = opened(sftp_answer.data_head(9, 5) + b"12345")
    assert (sort, number, message.get_string()) == (103, 9, b"12345")


def test_attributes_are_read_by_a_client() -> None:
    sort, number, message = opened(sftp_answer.attributes(9, FILE))
    found = read(message)
    assert (sort, number) == (105, 9)
    assert (found.st_size, found.st_mode, found.st_uid) == (12, 0o100640, None)
    assert (found.st_atime, found.st_mtime) == (1_700_000_000, 1_700_000_001)


@given(st.integers(), st.integers(), st.integers())
def test_no_value_of_a_file_system_breaks_an_answer(size: int, mode: int, time: int) -> None:
    odd = Told(size_bytes=size, mode=mode, atime_s=time, mtime_s=time)
    opened(sftp_answer.attributes(1, odd))
    opened(sftp_answer.names(1, [sftp_answer.entry("a", odd, owner="me", now_s=0)]))
    opened(
        sftp_answer.space(1, block_bytes=size, blocks=size, free=mode, files=time, files_free=time)
    )


def test_names_come_with_the_line_that_ls_prints() -> None:
    entries = [
        sftp_answer.entry(name, told, owner="acme", now_s=1_700_000_100)
        for name, told in (("a.csv", FILE), ("\udcff", FOLDER))
    ]
    sort, number, message = opened(sftp_answer.names(9, entries))
    assert (sort, number, message.get_int()) == (104, 9, 2)
    assert message.get_string() == b"a.csv"
    assert message.get_text() == ("-rw-r-----    1 acme     acme           12 Nov 14 22:13 a.csv")
    assert read(message).st_size == 12
    assert message.get_string() == b"\xff"
    assert message.get_string() == (b"drwxr-xr-x    1 acme     acme         4096 Jan  1  1970 \xff")


@pytest.mark.parametrize(
    ("now_s", "day"),
    [
        (1_700_000_001, "Nov 14 22:13"),
        (1_700_000_000, "Nov 14  2023"),  # a time that is to come
        (1_700_000_001 + 182 * 86_400, "Nov 14  2023"),
        (1_700_000_000 + 182 * 86_400, "Nov 14 22:13"),
    ],
)
def test_a_time_that_is_not_of_late_has_its_year(now_s: int, day: str) -> None:
    assert f" {day} a" in sftp_answer.line("a", FILE, owner="acme", now_s=now_s)


def test_a_path_is_a_name_without_attributes() -> None:
    sort, number, message = opened(sftp_answer.path(9, "/a"))
    assert (sort, number, message.get_int()) == (104, 9, 1)
    assert (message.get_text(), message.get_text(), message.get_int()) == ("/a", "/a", 0)


def test_room_is_told_as_openssh_has_it() -> None:
    answer = sftp_answer.space(9, block_bytes=4096, blocks=100, free=40, files=30, files_free=20)
    sort, number, message = opened(answer)
    told = [message.get_int64() for _ in range(11)]
    assert (sort, number) == (201, 9)
    assert told == [4096, 4096, 100, 40, 40, 30, 20, 20, 0, 0, 255]
    assert not message.get_remainder()


def test_limits_are_told_as_openssh_has_them() -> None:
    sort, number, message = opened(
        sftp_answer.limits(9, packet_bytes=1000, data_bytes=900, handles=10)
    )
    assert (sort, number) == (201, 9)
    assert [message.get_int64() for _ in range(4)] == [1000, 900, 900, 10]


def test_owners_are_told_as_openssh_has_them() -> None:
    sort, number, message = opened(sftp_answer.owners(9, ["acme", ""], ["acme"]))
    assert (sort, number) == (201, 9)
    assert message.get_binary() == b"\0\0\0\4acme\0\0\0\0"
    assert message.get_binary() == b"\0\0\0\4acme"


@pytest.mark.parametrize("named", [True, False])
def test_digests_come_with_their_algorithm(*, named: bool) -> None:
    sort, number, message = opened(sftp_answer.digests(9, "sha256", [b"one", b"two"], named=named))
    assert (sort, number) == (201, 9)
    if named:
        assert message.get_text() == "check-file"
    assert message.get_text() == "sha256"
    assert message.get_remainder() == b"onetwo"
