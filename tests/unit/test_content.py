"""What the steps that pack and unpack make of content: other programs agree, and what is odd is refused."""

import base64
import gzip as standard
import io
import os
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.content.armor import bare
from mftgit.adapters.content.gzip import gunzip, gzip
from mftgit.adapters.content.steps import UnfitError
from mftgit.adapters.content.unzip import unzip_one
from mftgit.adapters.content.zip import zip_one
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import SecretName
from mftgit.model.transfers.content import (
    Gunzip,
    Gzip,
    PgpDecrypt,
    PgpEncrypt,
    PgpSign,
    PgpVerify,
    Step,
    Unzip,
    Zip,
    build_content,
    key_texts,
    renamed,
    secrets_of_content,
)

MOST = 1 << 20
CONTENT = b"content " * 40

contents = st.binary(max_size=2000) | st.binary(max_size=40).map(lambda each: each * 1000)
sizes = st.integers(1, 3000)


def pieces(data: bytes, size: int = MOST) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def ungzipped(data: bytes, size: int = MOST, most: int = MOST) -> bytes:
    return b"".join(gunzip(pieces(data, size), most_bytes=most))


def unzipped(data: bytes, size: int = MOST, most: int = MOST) -> bytes:
    return b"".join(unzip_one(pieces(data, size), most_bytes=most))


def zipped(data: bytes, size: int = MOST, *, name: str = "a.csv", is_large: bool = False) -> bytes:
    return b"".join(zip_one(pieces(data, size), name=name, mtime_ns=10**18, is_large=is_large))


def archive(*members: tuple[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as made:
        for member in members:
            made.writestr(*member)
    return out.getvalue()


@given(contents, sizes, sizes, st.integers(1, 9))
def test_gzip_and_the_standard_library_read_each_other(
    data: bytes, one: int, other: int, level: int
) -> None:
    packed = b"".join(gzip(pieces(data, one), level=level))
    assert standard.decompress(packed) == data
    assert ungzipped(packed, other) == data
    assert ungzipped(standard.compress(data), other) == data


@given(contents, contents, sizes)
def test_several_members_are_one_file(one: bytes, other: bytes, size: int) -> None:
    assert ungzipped(standard.compress(one) + standard.compress(other), size) == one + other


def test_a_gzip_file_tells_nothing_but_its_content() -> None:
    packed = b"".join(gzip(iter([CONTENT]), level=6))
    assert packed == b"".join(gzip(pieces(CONTENT, 7), level=6))
    assert packed[3:8] == bytes(5)  # no flag, so no name, and no time


@given(st.data(), sizes)
def test_what_is_cut_off_or_has_something_behind_is_refused(data: st.DataObject, size: int) -> None:
    for packed, unpack in (
        (standard.compress(CONTENT), ungzipped),
        (zipped(CONTENT), unzipped),
        (zipped(CONTENT, is_large=True), unzipped),
        (archive(("a", CONTENT)), unzipped),
    ):
        at = data.draw(st.integers(0, len(packed) - 1))
        for broken in (packed[:at], packed + data.draw(st.binary(min_size=1, max_size=9))):
            with pytest.raises(UnfitError):
                unpack(broken, size)


@given(st.data())
def test_no_flipped_bit_changes_what_comes_out(data: st.DataObject) -> None:
    for packed, unpack in ((standard.compress(CONTENT), ungzipped), (zipped(CONTENT), unzipped)):
        flipped = bytearray(packed)
        at = data.draw(st.integers(0, len(packed) * 8 - 1))
        flipped[at // 8] ^= 1 << at % 8
        try:
            assert unpack(bytes(flipped)) == CONTENT  # what tells of a time, or of the mode
        except UnfitError:
            continue


@given(contents, sizes, sizes, st.booleans())
def test_zip_and_the_standard_library_read_each_other(
    data: bytes, one: int, other: int, is_large: int
) -> None:
    packed = zipped(data, one, name="ä.csv", is_large=bool(is_large))
    with zipfile.ZipFile(io.BytesIO(packed)) as found:
        assert found.testzip() is None
        (entry,) = found.infolist()
        assert (entry.filename, found.read(entry)) == ("ä.csv", data)
        assert entry.date_time == (2001, 9, 9, 1, 46, 40)
    assert unzipped(packed, other) == data
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert unzipped(archive(("folder/a", data), packed=how), other) == data


@pytest.mark.parametrize("mtime_ns", [-(10**20), 0, 10**20])
def test_a_time_that_an_archive_cannot_tell_is_the_nearest_that_it_can(mtime_ns: int) -> None:
    packed = b"".join(zip_one(iter([b"x"]), name="a", mtime_ns=mtime_ns, is_large=False))
    assert zipfile.ZipFile(io.BytesIO(packed)).infolist()[0].date_time[0] in {1980, 2107}


@pytest.mark.parametrize("name", ["..\\..\\x", "C:x", "a\\b"])
def test_a_name_that_is_a_path_on_windows_is_not_packed(name: str) -> None:
    with pytest.raises(UnfitError, match="on Windows"):
        zipped(b"x", name=name)


def test_a_name_that_no_archive_can_hold_is_refused() -> None:
    with pytest.raises(UnfitError, match="UTF-8"):
        zipped(b"x", name="\udcff")


def encrypted(data: bytes) -> bytes:
    """Say of the file in an archive that it is encrypted, at both places."""
    central = data.index(b"PK\1\2")
    made = bytearray(data)
    made[6] |= 1
    made[central + 8] |= 1
    return bytes(made)


def linked(data: bytes) -> bytes:
    made = bytearray(data)
    struct.pack_into("<I", made, data.index(b"PK\1\2") + 38, 0o120777 << 16)
    return bytes(made)


def listed_otherwise(data: bytes) -> bytes:
    at = data.index(b"PK\1\2")
    return data[: at + 46] + b"b" + data[at + 47 :]


def twice_listed(data: bytes) -> bytes:
    at, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    return data[:end] + data[at:end] + data[end:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (archive(), "holds no file"),
        (archive(("a", b"1"), ("b", b"2")), "more than one file"),
        (twice_listed(archive(("a", b"1"))), "more than one file"),
        (encrypted(archive(("a", b"1"))), "encrypted"),
        (archive(("../a", b"1")), "leads out"),
        (archive(("/a", b"1")), "leads out"),
        (archive(("x/../../a", b"1")), "leads out"),
        (archive(("C:a", b"1")), "leads out"),
        (archive((r"..\a", b"1")), "leads out"),
        (archive(("a/", b"")), "a folder"),
        (linked(archive(("a", b"/etc/passwd"))), "a link"),
        (listed_otherwise(archive(("a", b"1"))), "something else than its file"),
        (b"x" + archive(("a", b"1")), "no zip archive"),
        (archive(("a", b"1"), packed=zipfile.ZIP_BZIP2), "method 12"),
        (b"", "cut off"),
        (CONTENT, "no zip archive"),
    ],
)  # fmt: skip
def test_an_archive_that_is_not_one_plain_file_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(UnfitError, match=message):
        unzipped(data)


@pytest.mark.parametrize("data", [b"", CONTENT, b"\x1f\x8b"])
def test_what_is_no_gzip_file_is_refused(data: bytes) -> None:
    with pytest.raises(UnfitError, match=r"empty|damaged|cut off"):
        ungzipped(data)


@pytest.mark.parametrize("unpack", [gunzip, unzip_one])
def test_a_bomb_is_stopped_at_its_bound_in_little_memory(
    unpack: Callable[..., Iterator[bytes]],
) -> None:
    size = 64 << 20
    packed = {gunzip: standard.compress(bytes(size)), unzip_one: archive(("a", bytes(size)))}
    most = size - 1
    came: list[int] = []

    def unpack_all() -> None:
        came.extend(len(piece) for piece in unpack(iter([packed[unpack]]), most_bytes=most))

    tracemalloc.start()
    try:
        with pytest.raises(UnfitError, match="67,108,863 bytes: raise most_bytes"):
            unpack_all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(came) <= most
    assert peak < 8 << 20
    assert sum(map(len, unpack(iter([packed[unpack]]), most_bytes=size))) == size


def test_many_empty_members_take_no_time_that_grows_with_their_square() -> None:
    many = standard.compress(b"") * 200_000
    assert ungzipped(many) == b""


def test_an_archive_of_info_zip_from_a_pipe_is_read() -> None:
    """Its head has no sizes and a long field for them, and what is behind the content has a sign (`zip -fd -`)."""
    body = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = body.compress(CONTENT) + body.flush()
    extra = struct.pack("<2H2Q", 1, 16, 0, 0)
    head = struct.pack(
        "<4s5H3I2H", b"PK\3\4", 45, 8, 8, 0, 0, 0, 2**32 - 1, 2**32 - 1, 1, len(extra)
    )
    later = struct.pack("<4sI2Q", b"PK\7\x08", zlib.crc32(CONTENT), len(packed), len(CONTENT))
    front = head + b"-" + extra + packed + later
    listed = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 0x31E, 45, 8, 8, 0, 0, zlib.crc32(CONTENT), len(packed), len(CONTENT),
        1, 0, 0, 0, 0, 0o100600 << 16, 0,
    )  # fmt: skip
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(listed) + 1, len(front), 0)
    assert unzipped(front + listed + b"-" + end) == CONTENT


def with_long_end(data: bytes, *, files: int = 1, moved: int = 0) -> bytes:
    """Let the end of an archive stand in the long fields (4.3.14)."""
    end = data.index(b"PK\5\6")
    length, begins = struct.unpack_from("<2I", data, end + 12)
    long = struct.pack(
        "<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, files, files, length, begins + moved
    )
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, end + moved, 1)
    short = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 65535, 65535, 2**32 - 1, 2**32 - 1, 0)
    return data[:end] + long + locator + short


def test_an_end_in_long_fields_is_read_and_has_to_be_true() -> None:
    plain = archive(("a", CONTENT))
    assert unzipped(with_long_end(plain)) == CONTENT
    for wrong in (with_long_end(plain, files=2), with_long_end(plain, moved=1)):
        with pytest.raises(UnfitError, match="lies elsewhere"):
            unzipped(wrong)
    at = with_long_end(plain).index(b"PK\6\7") + 8
    with pytest.raises(UnfitError, match="not where it says"):
        unzipped(with_long_end(plain)[:at] + b"\0" + with_long_end(plain)[at + 1 :])


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (10, 2, "tells of 2 files"),
        (16, 1, "lies elsewhere"),
        (0, 0, "its end is not behind"),
    ],
)
def test_an_end_that_tells_something_else_is_refused(at: int, value: int, message: str) -> None:
    made = bytearray(archive(("a", b"1")))
    made[made.index(b"PK\5\6") + at] = value
    with pytest.raises(UnfitError, match=message):
        unzipped(bytes(made))


def test_a_stored_file_whose_size_comes_later_has_no_end_that_can_be_told() -> None:
    made = bytearray(archive(("a", b"1"), packed=zipfile.ZIP_STORED))
    made[6] |= 8
    with pytest.raises(UnfitError, match="without its size"):
        unzipped(bytes(made))


def test_a_long_size_that_is_missing_is_told() -> None:
    made = bytearray(zipped(CONTENT, is_large=True))
    made[28] = 4  # its field of sizes is cut short, and what follows is read as content
    with pytest.raises(UnfitError):
        unzipped(bytes(made))


@pytest.mark.parametrize(
    ("name", "steps", "expected"),
    [
        ("a.csv", (Gzip(),), "a.csv.gz"),
        ("a.csv.gz", (Gunzip(),), "a.csv"),
        ("a.csv.GZ", (Gunzip(),), "a.csv"),
        ("a.tgz", (Gunzip(),), "a.tar"),
        ("a.csv", (Gunzip(),), "a.csv"),
        (".gz", (Gunzip(),), ".gz"),
        ("a.csv", (Zip(), Unzip()), "a.csv"),
        ("a.csv.gz", (Gunzip(), Zip()), "a.csv.zip"),
        ("a", (), "a"),
        ("a.csv", (Gzip(), PgpEncrypt(recipients=())), "a.csv.gz.pgp"),
        ("a.csv", (PgpSign(signing_key=SecretRef(file="k"), armor=True),), "a.csv.asc"),
        ("a.csv.gz.GPG", (PgpDecrypt(private_key=SecretRef(file="k")), Gunzip()), "a.csv"),
        ("a.csv.asc", (PgpVerify(signed_by=()),), "a.csv"),
    ],
)
def test_a_step_adds_its_ending_or_takes_it_away(
    name: str, steps: tuple[Step, ...], expected: str
) -> None:
    assert renamed(name, steps) == expected


def test_random_content_is_bounded_while_it_is_packed() -> None:
    data = os.urandom(4 << 20)
    assert max(map(len, gzip(pieces(data), level=1))) < 2 << 20


def armored(data: bytes, *, head: str = "", width: int = 64, end: str = "\n") -> bytes:
    text = base64.b64encode(data).decode()
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    made = ["-----BEGIN PGP MESSAGE-----", *([head] if head else []), "", *lines, "=AbC1",
            "-----END PGP MESSAGE-----"]  # fmt: skip
    return (end.join(made) + end).encode()


@given(st.binary(max_size=5000), sizes, st.integers(1, 200), st.sampled_from(["\n", "\r\n"]))
def test_armour_is_taken_off(data: bytes, size: int, width: int, end: str) -> None:
    made = armored(data, head="Comment: x", width=width, end=end)
    assert b"".join(bare(pieces(made, size))) == data
    without = made.replace(f"=AbC1{end}".encode(), b"")
    assert b"".join(bare(pieces(without, size))) == data


@given(st.binary(min_size=1, max_size=2000), sizes)
def test_what_has_no_armour_stays_as_it_is(data: bytes, size: int) -> None:
    assert b"".join(bare(pieces(b"\x84" + data, size))) == b"\x84" + data


@given(st.binary(max_size=200), sizes, st.data())
def test_armour_that_is_cut_off_or_has_something_behind_is_refused(
    content: bytes, size: int, data: st.DataObject
) -> None:
    made = armored(content)
    at = data.draw(st.integers(len("-----"), len(made) - 2))
    for broken in (made[:at], made + b"x", made + bytes(9000), made.replace(b"=AbC1", b"=A_C1")):
        with pytest.raises(UnfitError):
            list(bare(pieces(broken, size)))


@pytest.mark.parametrize(
    "text", ["-----BEGIN PGP SIGNED MESSAGE-----\n\nx", "-----BEGIN PGP MESSAGE-----\nno head\n\nx"]
)
def test_another_kind_of_armour_is_refused(text: str) -> None:
    with pytest.raises(UnfitError, match="not armoured as PGP MESSAGE"):
        list(bare(iter([text.encode()])))


def test_steps_with_keys_are_built_and_tell_which_secrets_they_need() -> None:
    steps = build_content(
        [
            {"pgp_encrypt": {"recipients": ["R"], "signing_key": {"secret": "s"}, "armor": True}},
            {"pgp_sign": {"signing_key": {"file": "f"}, "passphrase": {"secret": "p"}}},
            {"pgp_decrypt": {"private_key": {"secret": "d"}, "signed_by": ["V"], "most_bytes": 9}},
            {"pgp_verify": {"signed_by": ["V", "W"]}},
            {"gzip": {}},
        ]
    )
    secret, passphrase = SecretRef(secret=SecretName("s")), SecretRef(secret=SecretName("p"))
    private = SecretRef(secret=SecretName("d"))
    assert steps == (
        PgpEncrypt(recipients=("R",), signing_key=secret, armor=True),
        PgpSign(signing_key=SecretRef(file="f"), passphrase=passphrase),
        PgpDecrypt(private_key=private, signed_by=("V",), most_bytes=9),
        PgpVerify(signed_by=("V", "W")),
        Gzip(),
    )
    assert dict(secrets_of_content(steps)) == {
        "/content/0/pgp_encrypt/signing_key/secret": "s",
        "/content/1/pgp_sign/passphrase/secret": "p",
        "/content/2/pgp_decrypt/private_key/secret": "d",
    }
    assert [key_texts(step) for step in steps if not isinstance(step, Gzip)] == [
        ("recipients", ("R",)),
        ("recipients", ()),
        ("signed_by", ("V",)),
        ("signed_by", ("V", "W")),
    ]
