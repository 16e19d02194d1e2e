"""A large file whose content is changed on its way goes on where it was cut, where the steps make the same again."""

import gzip
import hashlib
import io
import os
import random
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from breaking_line import Line
from outbound_site import Crash, Owner, Site, site

from mftgit.model.configuration.config import AfterSuccess
from mftgit.model.events.event import EventName
from mftgit.model.locations.login import SecretRef
from mftgit.model.transfers.content import (
    Gunzip,
    Gzip,
    PgpDecrypt,
    PgpEncrypt,
    PgpSign,
    Step,
    Unzip,
    Zip,
)
from mftgit.model.transfers.partial import UNSURE_BYTES

MIB = 1 << 20
SIZE = 12 * MIB + 12_345
CUT_AT = 9 * MIB
CONTENT = random.Random(20261129).randbytes(SIZE)


def cut(
    root: Path,
    *steps: Step,
    content: bytes = CONTENT,
    cut_at: int = CUT_AT,
    name: str = "a.bin",
    **options: Any,
) -> tuple[Site, Line]:
    """Return a site where the first try of a large file was cut."""
    there = site(root, **options)
    there.transfer = replace(there.transfer, content=steps)
    there.put(name, content)
    line = Line(there, cut_at=cut_at)
    there.run(1)
    assert there.happened(EventName.DELIVERY_SUCCEEDED) == []
    return there, line


def require_whole(there: Site, made: bytes, name: str, *, left: int = 0) -> int:
    """Hold that the file arrived once, with the right size and digest in what is told; return where it went on."""
    assert there.left_at_target() == [name]
    assert (there.target / name).read_bytes() == made
    (told,) = there.happened(EventName.DELIVERY_SUCCEEDED)
    assert (told["size_bytes"], told["sha256"]) == (len(made), hashlib.sha256(made).hexdigest())
    assert there.records() == []
    assert len(there.left_at_source()) == left
    at = told.get("resumed_from_bytes", 0)
    assert isinstance(at, int)
    return at


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("a.bin", content)
    return out.getvalue()


def made_by(root: Path, step: Step, content: bytes, name: str, final: str) -> bytes:
    """Return what comes out where nothing is cut, of a file of the same time."""
    (root / "whole/source").mkdir(parents=True)
    (root / "whole/target").mkdir()
    there = site(root / "whole")
    there.transfer = replace(there.transfer, content=(step,))
    there.put(name, content, mtime_ns=1_700_000_000 * 10**9)
    there.run(1)
    return (there.target / final).read_bytes()


CASES = pytest.mark.parametrize(
    ("step", "content", "name", "final"),
    [
        (Gzip(level=1), CONTENT, "a.bin", "a.bin.gz"),
        (Gunzip(), gzip.compress(CONTENT, 1), "a.bin.gz", "a.bin"),
        (Zip(), CONTENT, "a.bin", "a.bin.zip"),
        (Unzip(), zipped(CONTENT), "a.bin.zip", "a.bin"),
    ],
    ids=["gzip", "gunzip", "zip", "unzip"],
)


@CASES
def test_what_is_packed_or_unpacked_goes_on_where_it_was_cut(
    root: Path, step: Step, content: bytes, name: str, final: str
) -> None:
    there = site(root)
    there.transfer = replace(there.transfer, content=(step,))
    there.put(name, content, mtime_ns=1_700_000_000 * 10**9)
    line = Line(there, cut_at=CUT_AT)
    there.run(1)
    there.run(2)
    made = made_by(root, step, content, name, final)
    at = require_whole(there, made, final)
    assert at >= CUT_AT - UNSURE_BYTES - 2 * MIB
    assert line.sent[1] == len(made) - at


def test_what_is_cut_again_and_again_arrives(root: Path) -> None:
    there, line = cut(root, Gzip(level=1))
    line.cut_at = 11 * MIB
    there.run(1)
    there.run(2)
    made = (there.target / "a.bin.gz").read_bytes()
    assert gzip.decompress(made) == CONTENT
    assert require_whole(there, made, "a.bin.gz") >= 5 * MIB
    assert len(line.sent) == 3


@pytest.mark.parametrize("hides_it", [False, True])
def test_a_source_that_has_changed_is_packed_anew(root: Path, *, hides_it: bool) -> None:
    there, line = cut(root, Gzip(level=1), after=AfterSuccess.KEEP)
    file = there.source / "a.bin"
    before, other = file.stat(), CONTENT[:MIB] + b"other" + CONTENT[MIB + 5 :]
    file.write_bytes(other)
    if hides_it:
        os.utime(file, ns=(before.st_mtime_ns, before.st_mtime_ns))
    there.run(2)
    made = (there.target / "a.bin.gz").read_bytes()
    assert gzip.decompress(made) == other
    assert require_whole(there, made, "a.bin.gz", left=1) == 0
    assert line.sent[1] == len(made)


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ((Gzip(level=1),), (Gzip(level=9),)),
        ((), (Gzip(level=1),)),
        ((Gzip(level=1),), ()),
    ],
    ids=["another level", "packed since", "not any more"],
)
def test_other_steps_than_before_send_it_anew(
    root: Path, first: tuple[Step, ...], then: tuple[Step, ...]
) -> None:
    there, line = cut(root, *first)
    assert len(list(root.rglob("*.partial"))) == 1
    there.transfer = replace(there.transfer, content=then)
    there.run(2)
    final = "a.bin.gz" if then else "a.bin"
    made = (there.target / final).read_bytes()
    assert (gzip.decompress(made) if then else made) == CONTENT
    assert require_whole(there, made, final) == 0
    assert line.sent[1] == len(made)


@pytest.mark.parametrize("size_bytes", [0, 3 * MIB + 5, 20 * MIB])
def test_what_was_cut_short_or_made_longer_does_no_harm(root: Path, size_bytes: int) -> None:
    """What comes out may be longer than its source, so that this shows at the end alone."""
    there, _ = cut(root, Gzip(level=1))
    (name,) = there.left_at_target()
    os.truncate(there.target / name, size_bytes)
    there.run(2)
    there.run(3)
    made = (there.target / "a.bin.gz").read_bytes()
    assert gzip.decompress(made) == CONTENT
    require_whole(there, made, "a.bin.gz")


@pytest.mark.parametrize("at", range(1, 40, 6))
def test_an_owner_that_dies_while_it_goes_on_leaves_it_to_the_next_one(root: Path, at: int) -> None:
    there, line = cut(root, Gzip(level=1))
    with pytest.raises(Crash):
        there.run(Owner(2, at=at, then=crash))
    there.run(3)
    made = (there.target / "a.bin.gz").read_bytes()
    require_whole(there, made, "a.bin.gz")
    assert gzip.decompress(made) == CONTENT
    assert all(sent <= len(made) - 2 * MIB for sent in line.sent[1:])


def test_what_has_chance_in_it_is_sent_anew(root: Path) -> None:
    there = site(root)
    key = SecretRef(file="key")
    assert replace(there.transfer, content=(Gzip(),)).resumes
    assert replace(there.transfer, content=(PgpDecrypt(private_key=key),)).resumes
    assert not replace(there.transfer, content=(Gzip(), PgpSign(signing_key=key))).resumes
    assert not replace(there.transfer, content=(PgpEncrypt(recipients=()),)).resumes


def crash() -> None:
    raise Crash
