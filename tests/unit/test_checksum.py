"""Checksum files are those of sha256sum: it checks what we write."""

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mftgit.model.checksum import ChecksumFormat, Sidecar, format_checksum, sidecar_temporary
from mftgit.model.claim import ClaimId, temporary_name

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
