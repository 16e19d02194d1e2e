"""What a WebDAV server says is believed only as far as RFC 4918 goes, and taken only up to a bound."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.https.dav_answer import Multistatus, NotDavError, Told

ONE = """<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:x="urn:x"><d:response>
<d:href> /in/a%20b </d:href>
<d:propstat><d:prop><d:resourcetype><x:collection/></d:resourcetype><x:getcontentlength>9</x:getcontentlength>
<d:getcontentlength>12</d:getcontentlength><d:getlastmodified>Sun, 29 Nov 2026 01:02:03 GMT</d:getlastmodified></d:prop>
<d:status>HTTP/1.1 200 OK</d:status></d:propstat>
<d:propstat><d:prop><d:getcontentlength>99</d:getcontentlength></d:prop><d:status>HTTP/1.1 404 no</d:status>
</d:propstat>
</d:response><d:response><d:href>/in/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype>
</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response>
<d:response><d:href>/in/secret</d:href><d:status>HTTP/1.1 403 Forbidden</d:status></d:response></d:multistatus>"""


def read(text: str | bytes, *, piece: int = 65_536) -> list[Told]:
    data = text.encode() if isinstance(text, str) else text
    reader = Multistatus()
    found = [
        told for at in range(0, len(data), piece) for told in reader.feed(data[at : at + piece])
    ]
    reader.end()
    return found


@pytest.mark.parametrize("piece", [1, 7, 65_536])
def test_an_answer_is_read_in_whatever_pieces_it_comes(piece: int) -> None:
    file, folder, refused = read(ONE, piece=piece)
    assert (file.href, file.is_folder, file.size_bytes) == ("/in/a%20b", False, 12)
    assert file.mtime_ns == 1_795_914_123 * 10**9
    assert (folder.href, folder.is_folder) == ("/in/", True)
    assert (refused.href, refused.status) == ("/in/secret", 403)


BOMB = """<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<d:multistatus xmlns:d="DAV:"><d:response><d:href>&b;</d:href></d:response></d:multistatus>"""
OUTSIDE = """<!DOCTYPE b SYSTEM "file:///etc/passwd"><d:multistatus xmlns:d="DAV:"/>"""


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (BOMB, "document type"),
        (OUTSIDE, "document type"),
        ("<html><body>Log in</body></html>", "no multistatus"),
        ("<multistatus/>", "no multistatus"),
        (ONE[:-20], "no XML"),
        (f"{ONE}Internal Server Error", "no XML"),
        (b"\xff\xfe\x00\x00", "no XML"),
        ('<?xml version="1.0" encoding="nonsense"?><a/>', "no XML"),
        ('<d:multistatus xmlns:d="DAV:">' + "<a>" * 100, "deep"),
        ('<d:multistatus xmlns:d="DAV:"><a b="' + "x" * (3 << 20), "1 MiB"),
        ("", "no XML"),
        (f'<d:multistatus xmlns:d="DAV:" xmlns:x="{"x" * 2000}"/>', "namespace"),
    ],
    ids=range(12),
)
def test_what_is_no_answer_of_webdav_is_refused(answer: str | bytes, words: str) -> None:
    with pytest.raises(NotDavError, match=words):
        read(answer)


@pytest.mark.parametrize("size", [None, "", "-1", "1e3", "x", "9" * 30, "\u0663"])
def test_a_size_is_a_number_or_nothing(size: str | None) -> None:
    with pytest.raises(NotDavError, match="size"):
        _ = Told(size=size).size_bytes


@pytest.mark.parametrize("changed", [None, "", "yesterday", "Sun, 99 Nov 2026 01:02:03 GMT"])
def test_a_time_is_a_date_or_nothing(changed: str | None) -> None:
    with pytest.raises(NotDavError, match="changed"):
        _ = Told(changed=changed).mtime_ns


def test_a_name_without_end_is_no_name() -> None:
    (told, *_) = read(ONE.replace("/in/a%20b", "/in/" + "x" * 20_000))
    assert told.href == ""


@given(st.binary(max_size=300))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    for text in (data, ONE.encode()[:200] + data + ONE.encode()[200:]):
        try:
            read(text, piece=50)
        except NotDavError:
            continue


def test_a_short_answer_does_not_become_much_by_its_names() -> None:
    def names() -> str:
        return "".join(f"<x:n{number}/>" for number in range(20_000))

    tracemalloc.start()
    try:
        read(f'<d:multistatus xmlns:d="DAV:" xmlns:x="{"x" * 1000}">{names()}</d:multistatus>')
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 4 << 20
