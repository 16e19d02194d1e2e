"""What FTP servers tell of files is read as RFC 3659 has it, and nothing else is taken for it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.locations.ftp_facts import Facts, Sort, format_time, parse_entry

names = st.text(min_size=1).filter(lambda name: "\0" not in name and name not in {".", ".."})


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "type=file;size=25730;modify=19940728095854;perm=; cap60.pl198.tar.gz",
            Facts(sort=Sort.FILE, size_bytes=25730, mtime_ns=775389534 * 10**9),
        ),
        (
            "Type=File;Size=1;Modify=19700101000000.25;UNIX.mode=0644; a b",
            Facts(sort=Sort.FILE, size_bytes=1, mtime_ns=250_000_000, mode=0o644),
        ),
        ("type=dir;sizd=4096;UNIX.mode=02755; dir", Facts(sort=Sort.FOLDER, mode=0o755)),
        ("type=OS.unix=slink:/foobar; link", Facts(sort=Sort.OTHER)),
        ("size=1;UNIX.mode=rwx; odd", Facts(sort=Sort.OTHER, size_bytes=1)),
        (" bare", Facts(sort=Sort.OTHER)),
    ],
)
def test_facts_are_read(line: str, expected: Facts) -> None:
    assert parse_entry(line) == (line.partition(" ")[2], expected)


@pytest.mark.parametrize(
    "line",
    ["type=cdir;perm=el; /pub", "type=pdir;perm=e; /", "type=dir; .", "Type=file;size=1; .."],
)
def test_a_folder_itself_and_the_one_above_are_none_of_its_names(line: str) -> None:
    assert parse_entry(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "type=file;",
        "type=file; ",
        "drwxr-xr-x 2 root root 4096 a",
        "type=file;size=-1; a",
        "type=file;size=1e3; a",
        "type=file;size=9223372036854775808; a",
        "type=file;size=99999999999999999999; a",
        "type=file;size=\u0661; a",
        "type=file;modify=2024; a",
        "type=file;modify=20241301000000; a",
        "type=file;modify=00000101000000; a",
        "type=file; nul\0in",
    ],
)
def test_what_is_no_facts_is_none(line: str) -> None:
    with pytest.raises(ValueError, match=r"no |time|month|year|unconverted"):
        parse_entry(line)


def test_a_time_that_the_server_does_not_know_is_the_first_of_all() -> None:
    assert parse_entry("type=file;size=1;modify=00000000000000; a") == (
        "a",
        Facts(sort=Sort.FILE, size_bytes=1, mtime_ns=0),
    )


@given(st.text())
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        found = parse_entry(line)
    except ValueError:
        return
    assert found is None or line.endswith(f" {found[0]}")


@given(
    st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    names,
)
def test_times_are_read_as_they_are_written(moment: datetime, name: str) -> None:
    since = moment.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)
    mtime_ns = (since.days * 86_400 + since.seconds) * 10**9
    written = format_time(mtime_ns)
    assert parse_entry(f"modify={written}; {name}") == (
        name,
        Facts(sort=Sort.OTHER, mtime_ns=mtime_ns),
    )


def test_a_time_that_no_year_has_is_refused() -> None:
    with pytest.raises(OverflowError):
        format_time(10**21)
