"""What clients ask for by SFTP is read as the draft has it, whatever they send."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sftp_requests import (
    ALL_ATTRIBUTES,
    NO_ATTRIBUTES,
    VALID,
    extended,
    framed,
    hostile,
    request,
    text,
    u32,
    u64,
)

from mftgit.model.sftp.asked import (
    Check,
    Close,
    Copy,
    Expand,
    Flush,
    HomeFolder,
    Init,
    Limits,
    MakeFolder,
    Malformed,
    Open,
    OpenFolder,
    Owners,
    Read,
    ReadFolder,
    Remove,
    RemoveFolder,
    Rename,
    Request,
    Resolve,
    Set,
    SetOpen,
    Space,
    SpaceOpen,
    Stat,
    StatOpen,
    Unsupported,
    Write,
)
from mftgit.model.sftp.fields import Wanted
from mftgit.model.sftp.frames import MOST_PACKET_BYTES, Frames
from mftgit.model.sftp.request import decode

ONE = b"\0\0\0\1"
ALL = Wanted(size_bytes=12, owners=True, mode=0o640, atime_s=1_700_000_000, mtime_s=1_700_000_001)
MEANT: tuple[Request | Init, ...] = (
    Init(version=3),
    Open(number=7, path="/in/a.csv", write=True, create=True, truncate=True, wanted=ALL),
    Close(number=7, handle=ONE),
    Read(number=7, handle=ONE, offset=32768, length=32768),
    Write(number=7, handle=ONE, offset=0, data=memoryview(b"content" * 20)),
    Stat(number=7, path="/in"),
    StatOpen(number=7, handle=ONE),
    Set(number=7, path="/in/a.csv", wanted=ALL),
    SetOpen(number=7, handle=ONE, wanted=ALL),
    OpenFolder(number=7, path="/in"),
    ReadFolder(number=7, handle=ONE),
    Remove(number=7, path="/in/a.csv"),
    MakeFolder(number=7, path="/in/new", wanted=Wanted()),
    RemoveFolder(number=7, path="/in/old"),
    Resolve(number=7, path="."),
    Stat(number=7, path="/in"),
    Rename(number=7, old="/a", new="/b", replace=False),
    Unsupported(number=7, why="links are neither made nor followed here"),
    Unsupported(number=7, why="links are neither made nor followed here"),
    Rename(number=7, old="/a", new="/b", replace=True),
    Space(number=7, path="/"),
    SpaceOpen(number=7, handle=ONE),
    Flush(number=7, handle=ONE),
    Set(number=7, path="/a", wanted=ALL),
    Limits(number=7),
    Expand(number=7, path="~/in"),
    Unsupported(number=7, why="there is no extension 'hardlink@openssh.com' here"),
    Copy(number=7, source=b"1", source_offset=0, length=0, target=b"2", target_offset=0),
    HomeFolder(number=7, user=""),
    Owners(number=7, users=(0, 7), groups=(0,)),
    Check(
        number=7,
        path="/a",
        algorithms=("md5", "sha256"),
        offset=0,
        length=0,
        block_bytes=0,
    ),
    Check(number=7, handle=b"1", algorithms=("sha256",), offset=1, length=2, block_bytes=512),
    Check(
        number=7,
        handle=b"1",
        algorithms=("sha256",),
        offset=0,
        length=0,
        block_bytes=0,
        named=True,
    ),
)  # fmt: skip


def told(packet: bytes) -> Request | Init:
    return decode(memoryview(packet))


@pytest.mark.parametrize(("packet", "meant"), list(zip(VALID, MEANT, strict=True)))
def test_a_request_is_read_as_the_draft_has_it(packet: bytes, meant: Request | Init) -> None:
    assert told(packet) == meant


@pytest.mark.parametrize("packet", VALID)
def test_a_request_that_is_cut_anywhere_is_told_to_be_malformed(packet: bytes) -> None:
    whole = told(packet)
    for length in range(len(packet)):
        try:
            found = told(packet[:length])
        except ValueError:
            assert length < 5
        else:
            assert length >= 5
            assert isinstance(found, Malformed | Unsupported | MakeFolder | Limits), length
            assert found.number == getattr(whole, "number", None)


@pytest.mark.parametrize("packet", VALID)
def test_what_comes_behind_a_request_is_passed_over(packet: bytes) -> None:
    assert told(packet + b"more") == told(packet)


def test_a_folder_can_be_made_without_telling_attributes() -> None:
    assert told(request(14, text("/new"))) == MakeFolder(number=7, path="/new", wanted=None)


def test_a_name_that_is_no_utf_8_keeps_its_bytes() -> None:
    found = told(request(13, text(b"/\xff\xfe")))
    assert found == Remove(number=7, path="/\udcff\udcfe")


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (request(17, text(b"/a\0b")), "a zero byte"),
        (request(17, text(b"/" * 4097)), "4097 bytes where at most 4096"),
        (request(4, text(b"h" * 257)), "257 bytes where at most 256"),
        (request(4, u32(0xFFFFFFFF), b"h"), "a field of 4294967295 bytes where 1 are left"),
        (request(5, text(ONE), u64(1 << 63), u32(1)), "beyond the end that a file can have"),
        (request(6, text(ONE), u64((1 << 64) - 1), text(b"1")), "beyond the end"),
        (request(9, text("/a"), u32(0x1), u64(1 << 63)), "beyond the end"),
        (request(9, text("/a"), u32(0x80000000), u32(0xFFFFFFFF)), "4294967295 extended"),
        (
            extended("check-file-handle", text(ONE), text("md5"), u64(0), u64(0), u32(255)),
            "blocks of 255 bytes; from 256 on",
        ),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_is_told_with_what_is_wrong(packet: bytes, why: str) -> None:
    found = told(packet)
    assert isinstance(found, Malformed)
    assert why in found.why
    assert found.number == 7


@pytest.mark.parametrize("sort", [0, 2, 21, 101, 199, 201, 255])
def test_a_request_that_version_3_has_not_is_not_supported(sort: int) -> None:
    found = told(request(sort, text("/a")))
    assert found == Unsupported(number=7, why=f"there is no request {sort} in version 3")


def test_the_name_of_an_unknown_extension_is_told_in_short() -> None:
    found = told(extended("\x1b[2J" + "x" * 1000))
    assert isinstance(found, Unsupported)
    assert "\x1b" not in found.why
    assert len(found.why) < 200


def test_of_a_list_of_algorithms_only_the_first_ones_are_looked_at() -> None:
    names = ",".join(str(each) for each in range(60))
    found = told(extended("check-file", text(ONE), text(names), u64(0), u64(0), u32(0)))
    assert isinstance(found, Check)
    assert found.algorithms == tuple(map(str, range(20)))


@pytest.mark.parametrize(
    ("bit", "name"),
    [
        (0x01, "read"),
        (0x02, "write"),
        (0x04, "append"),
        (0x08, "create"),
        (0x10, "truncate"),
        (0x20, "exclusive"),
    ],
)
def test_each_flag_of_open_is_its_own(bit: int, name: str) -> None:
    found = told(request(3, text("/a"), u32(bit | 0xFFFF0000), NO_ATTRIBUTES))
    plain = {"read", "write", "append", "create", "truncate", "exclusive"} - {name}
    assert getattr(found, name)
    assert not any(getattr(found, other) for other in plain)


@given(st.binary(max_size=200))
def test_no_packet_at_all_raises_anything_but_a_value_error(packet: bytes) -> None:
    try:
        told(packet)
    except ValueError:
        assert len(packet) < 5


@given(st.integers(0, 255), st.lists(st.binary(max_size=20) | st.integers(0, (1 << 64) - 1)))
def test_no_row_of_fields_raises(sort: int, fields: list[bytes | int]) -> None:
    packed = [u64(each) if isinstance(each, int) else text(each) for each in fields]
    told(request(sort, *packed))
    told(request(9, text("/a"), *packed))


def put_through_the_decoder(seed: int, count: int) -> None:
    """Decode hostile packets; nothing but ValueError comes of them, and no memory is taken for what they announce."""
    sorts = set()
    tracemalloc.start()
    try:
        for packet in hostile(seed, count):
            try:
                sorts.add(type(told(packet)))
            except ValueError:
                assert len(packet) < 5, packet
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sorts == {type(each) for each in MEANT} | {Malformed}
    assert most_bytes < 1 << 20


def test_twenty_thousand_spoilt_packets_are_read_or_refused() -> None:
    put_through_the_decoder(seed=20, count=20_000)


@pytest.mark.soak
def test_a_million_spoilt_packets_are_read_or_refused() -> None:
    put_through_the_decoder(seed=1_000_000, count=1_000_000)


@given(st.data())
def test_packets_are_the_same_however_the_stream_is_cut(data: st.DataObject) -> None:
    packets = data.draw(st.lists(st.binary(min_size=1, max_size=40), max_size=8))
    stream = b"".join(map(framed, packets))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    frames, found = Frames(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += [bytes(packet) for packet in frames.feed(stream[start:end])]
    assert found == packets
    assert len(frames) == 0


@pytest.mark.parametrize("length", [0, MOST_PACKET_BYTES + 1, 0xFFFFFFFF])
@pytest.mark.parametrize("cut", [0, 2, 4])
def test_a_packet_that_is_too_long_or_empty_ends_the_stream(length: int, cut: int) -> None:
    frames = Frames()
    stream = framed(b"a good one") + u32(length)
    whole = list(frames.feed(stream[: len(stream) - 4 + cut])) if cut < 4 else []
    with pytest.raises(ValueError, match=f"a packet of {length} bytes; from 1 to 263168"):
        whole += list(frames.feed(stream[len(stream) - 4 + cut :] if cut < 4 else stream))


def test_a_packet_that_was_only_announced_takes_no_room() -> None:
    frames = Frames()
    assert not list(frames.feed(u32(MOST_PACKET_BYTES) + b"but little of it"))
    assert len(frames) == 20


def test_the_longest_packet_is_taken() -> None:
    frames = Frames()
    whole = framed(request(6, text(ONE), u64(0), text(bytes(256 << 10))))
    found = [
        packet
        for at in range(0, len(whole), 32768)
        for packet in frames.feed(whole[at : at + 32768])
    ]
    assert len(found) == 1
    assert isinstance(decode(found[0]), Write)


def test_attributes_that_are_not_told_are_not_wanted() -> None:
    assert told(request(9, text("/a"), NO_ATTRIBUTES)) == Set(number=7, path="/a", wanted=Wanted())
    assert told(request(9, text("/a"), ALL_ATTRIBUTES)) == Set(number=7, path="/a", wanted=ALL)
