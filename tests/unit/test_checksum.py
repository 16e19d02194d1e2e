"""Checksum files are those of sha256sum: it checks what we write."""

import hashlib
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mftgit.model.transfers.checksum import (
    ChecksumFormat,
    Expected,
    Sidecar,
    format_checksum,
    parse_checksum,
    sidecar_temporary,
)
from mftgit.model.transfers.claim import ClaimId, temporary_name

CLAIM = ClaimId("3-1-9f")

names = (
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
    | st.text(st.sampled_from("a\\\n\r \t*()= '\"-é\udcfc"), min_size=1, max_size=20)
).filter(
    lambda name: name not in {".", ".."} and len(name.encode("utf-8", "surrogateescape")) <= 255
)
forms = st.sampled_from(ChecksumFormat)


@pytest.mark.needs("sha256sum")
@settings(max_examples=40)
@given(st.lists(st.tuples(names, st.binary(max_size=20)), min_size=1, max_size=8), forms)
def test_sha256sum_finds_every_file_by_the_line_that_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[tuple[str, bytes]],
    form: ChecksumFormat,
) -> None:
    folder = tmp_path_factory.mktemp("sums")
    lines = []
    for name, content in dict(files).items():
        (folder / name).write_bytes(content)
        lines.append(format_checksum(name, hashlib.sha256(content).hexdigest(), form))
    ended = checked(folder, b"".join(lines))
    assert ended.returncode == 0, (lines, ended.stderr)
    shutil.rmtree(folder)


@pytest.mark.needs("sha256sum")
@pytest.mark.parametrize("form", ChecksumFormat)
def test_sha256sum_finds_another_content_wrong(tmp_path: Path, form: ChecksumFormat) -> None:
    (tmp_path / "a\nb").write_bytes(b"other")
    line = format_checksum("a\nb", hashlib.sha256(b"content").hexdigest(), form)
    assert checked(tmp_path, line).returncode == 1


@pytest.mark.needs("sha256sum")
@pytest.mark.parametrize(("form", "options"), [("sha256sum", []), ("bsd", ["--tag"])])
@pytest.mark.parametrize("name", ["a.csv", "a\\b\nc\rd", "m\udcfcn"])
def test_lines_are_those_that_sha256sum_writes(
    tmp_path: Path, form: str, options: list[str], name: str
) -> None:
    (tmp_path / name).write_bytes(b"content")
    command = ["sha256sum", *options, "--", name]
    written = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    digest = hashlib.sha256(b"content").hexdigest()
    assert format_checksum(name, digest, ChecksumFormat(form)) == written


def checked(folder: Path, lines: bytes) -> "subprocess.CompletedProcess[bytes]":
    command = ["sha256sum", "--check", "--strict"]
    return subprocess.run(command, cwd=folder, input=lines, capture_output=True, check=False)


def test_a_sidecar_names_the_file_without_its_folder() -> None:
    sidecar = Sidecar()
    assert sidecar.of("in/a.csv") == "in/a.csv.sha256"
    assert sidecar.content("in/a.csv", "0" * 64) == b"0" * 64 + b"  a.csv\n"


@pytest.mark.parametrize(
    ("final", "flaw"),
    [
        ("in/a.csv", None),
        ("in/a.sha256", "its name ends in .sha256"),
        ("in/" + "x" * 248, None),
        ("in/" + "x" * 249, "longer than 255 bytes"),
        ("in/" + "é" * 125, "longer than 255 bytes"),
    ],
)
def test_a_file_that_cannot_have_a_sidecar_is_known_before(final: str, flaw: str | None) -> None:
    found = Sidecar().flaw(final)
    assert found is None if flaw is None else flaw in (found or "")


@given(names, names, st.sampled_from(["", ".", "up-"]))
def test_the_temporary_of_a_sidecar_fits_and_is_one_for_each_name(
    first: str, second: str, prefix: str
) -> None:
    temporary = temporary_name(f"in/{first}", CLAIM, "3-ab", ".part", prefix=prefix)
    made = {final: sidecar_temporary(temporary, CLAIM, final) for final in (first, second)}
    assert len(set(made.values())) == len(made)
    for path in made.values():
        assert path != temporary
        assert path.startswith(f"in/{prefix}"[:4])
        assert path.endswith(f".{CLAIM}.3-ab.part")
        assert len(path.removeprefix("in/").encode("utf-8", "surrogateescape")) <= 255


MD5, SHA256, SHA512 = "0" * 31 + "a", "1" * 63 + "b", "2" * 127 + "c"


@given(names, forms)
def test_what_was_written_is_read(name: str, form: ChecksumFormat) -> None:
    assert parse_checksum(format_checksum(name, SHA256, form), name) == SHA256


@given(names, names)
def test_a_line_of_another_name_tells_nothing(name: str, other: str) -> None:
    if name not in {other, "-"}:
        with pytest.raises(ValueError, match="only of"):
            parse_checksum(format_checksum(name, SHA256, ChecksumFormat.SHA256SUM), other)


@given(st.binary(max_size=200) | st.text().map(str.encode), names)
def test_whatever_is_in_a_checksum_file_is_a_digest_or_an_error(content: bytes, name: str) -> None:
    with suppress(ValueError):
        found = parse_checksum(content, name)
        assert Expected(suffix=".x", digest=found).algorithm in {"md5", "sha256", "sha512"}


@pytest.mark.parametrize(
    "command",
    [
        ["sha256sum"],
        ["sha256sum", "--binary"],
        ["sha256sum", "--tag"],
        ["sha512sum"],
        ["md5sum"],
        ["openssl", "dgst", "-sha256"],
        ["openssl", "dgst", "-sha512", "-r"],
        ["openssl", "md5"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("name", ["a.csv", " (x) = *y", "m\udcfcn"])
@pytest.mark.needs("sha256sum", "sha512sum", "md5sum", "openssl")
def test_what_other_programs_write_is_read(tmp_path: Path, command: list[str], name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"content")
    written = subprocess.run([*command, path], capture_output=True, check=True).stdout
    digest = parse_checksum(written, name)
    algorithm = Expected(suffix=".x", digest=digest).algorithm
    assert digest == hashlib.new(algorithm, b"content", usedforsecurity=False).hexdigest()
    assert algorithm in " ".join(command).replace("-", "")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (SHA256, SHA256),
        (f"{SHA256.upper()}\r\n", SHA256),
        (f"\ufeff{MD5} *a.csv\r\n", MD5),
        (f"{SHA512}  -\n", SHA512),
        (f"# by hand\n\n{SHA256}  in/a.csv\n", SHA256),
        (f"{MD5}  b.csv\n{SHA256}  ./a.csv\n", SHA256),
        (f"{MD5}  a.csv\n{SHA256}  a.csv\n{SHA256}  a.csv\n", SHA256),
        (f"MD5 (a.csv) = {MD5}\nSHA512 (a.csv) = {SHA512}\n", SHA512),
    ],
)
def test_checksum_files_of_many_kinds_are_read(content: str, expected: str) -> None:
    assert parse_checksum(content.encode(), "a.csv") == expected


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "no digest"),
        ("a.csv", "no digest"),
        (SHA256[:-1], "no digest"),
        (f"SHA256 (a.csv) = {MD5}", "no digest"),
        (f"CRC32 (a.csv) = {SHA256}", "no digest"),
        (f"{SHA256}  b.csv", "only of 'b.csv'"),
        (f"{SHA256}\n{SHA256}\n", "only of ''"),
        (f"{SHA256}  a.csv\n{SHA256[::-1]}  a.csv\n", "several digests"),
    ],
)
def test_what_tells_no_digest_of_the_file_is_said(content: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        parse_checksum(content.encode(), "a.csv")
