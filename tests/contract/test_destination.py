"""How files arrive: their names, what they keep, what happens to what is there, and how they are made sure of."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from outbound_site import LARGE, Site, Watched, site

from mftgit.adapters.endpoint.contract import Digest, EndpointRefusedError, FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.runs.run import run_once
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.configuration.config import (
    AfterSuccess,
    Overwrite,
    Preserve,
    Verify,
)
from mftgit.model.events.event import EventName
from mftgit.model.transfers.run import RunState

SIZES = pytest.mark.parametrize("content", [b"new", LARGE], ids=["small", "large"])


def to(there: Site, **rules: Any) -> Site:
    """Let the destination of ``there`` have these rules, too."""
    there.transfer = replace(
        there.transfer, destination=replace(there.transfer.destination, **rules)
    )
    return there


def skipped(outcome: RunOutcome, there: Site) -> bool:
    return outcome.outcome is RunState.IDLE and bool(there.happened(EventName.DELIVERY_SKIPPED))


def test_files_get_the_folders_and_names_of_a_pattern(root: Path) -> None:
    there = to(site(root, recursive=True), path="in/{folder}/{date:%Y}", name="x-{stem}{ending}")
    there.put("a/b.csv", b"1")
    there.put("c.csv", b"2")
    assert there.run(1).files == 2
    year = there.happened(EventName.DELIVERY_SUCCEEDED)[0]["final"]
    assert isinstance(year, str)
    found = sorted(str(path.relative_to(there.target)) for path in there.target.rglob("*.csv"))
    assert [path.split("/")[-1] for path in found] == ["x-c.csv", "x-b.csv"]
    assert found[1].startswith("in/a/20")


def test_an_archive_may_have_the_date_in_its_path(root: Path) -> None:
    there = site(root, after=AfterSuccess.ARCHIVE)
    there.transfer = replace(there.transfer, archive_path="old/{date:%Y}")
    there.put("a.csv", b"1")
    assert there.run(1).files == 1
    (kept,) = (there.source / "old").rglob("a.csv")
    assert kept.parent.name.startswith("20")


@SIZES
def test_files_are_sent_into_the_folder_for_temporaries(root: Path, content: bytes) -> None:
    there = to(site(root), temporary_folder="tmp", temporary_prefix="up-", path="in")
    there.put("a.csv", content)
    seen: list[str] = []

    def look(call: str) -> None:
        if call == "write":
            seen.extend(path.name for path in (there.target / "tmp").iterdir())

    there.after = look
    assert there.run(1).files == 1
    assert seen
    assert all(name.startswith("up-a.csv.") for name in seen)
    assert (there.target / "in/a.csv").read_bytes() == content
    assert not list((there.target / "tmp").iterdir())


def test_a_folder_that_is_removed_before_the_rename_is_no_proof_of_a_publication(
    root: Path,
) -> None:
    there = to(site(root), temporary_folder="tmp", path="in")
    there.put("a.csv", b"1")

    def remove(call: str) -> None:
        if call == "write":
            shutil.rmtree(there.target / "in")

    there.after = remove
    assert there.run(1).outcome is RunState.FAILED
    there.after = lambda _: None
    assert there.run(2).files == 1
    assert (there.target / "in/a.csv").read_bytes() == b"1"


@SIZES
@pytest.mark.parametrize(
    ("age_s", "sent"), [(-60, False), (0, False), (60, True)], ids=["older", "alike", "newer"]
)
def test_only_what_is_newer_replaces_a_file(
    root: Path, content: bytes, age_s: int, sent: int
) -> None:
    there = site(root, overwrite=Overwrite.IF_NEWER)
    (there.target / "a.csv").write_bytes(b"old")
    os.utime(there.target / "a.csv", (10**9, 10**9))
    there.put("a.csv", content, mtime_ns=(10**9 + age_s) * 10**9)
    outcome = there.run(1)
    assert outcome.files == sent
    assert skipped(outcome, there) is not bool(sent)
    assert (there.target / "a.csv").read_bytes() == (content if sent else b"old")
    assert there.left_at_source() == []


@SIZES
def test_only_what_is_different_replaces_a_file(root: Path, content: bytes) -> None:
    there = site(root, overwrite=Overwrite.IF_DIFFERENT)
    for name, had in {"a": content, "b": content + b"1", "c": content[:-1] + b"x"}.items():
        (there.target / name).write_bytes(had)
        there.put(name, content)
    inode = (there.target / "a").stat().st_ino
    assert there.run(1).files == 2
    assert {path.read_bytes() for path in there.target.iterdir()} == {content}
    assert (there.target / "a").stat().st_ino == inode
    assert len(there.happened(EventName.DELIVERY_SKIPPED)) == 1


@SIZES
def test_times_and_mode_are_kept_when_asked(root: Path, content: bytes) -> None:
    there = to(site(root), preserve=frozenset(Preserve))
    there.put("a.csv", content, mtime_ns=10**18)
    (there.source / "a.csv").chmod(0o640)
    assert there.run(1).files == 1
    found = (there.target / "a.csv").stat()
    assert (found.st_mtime_ns, found.st_mode & 0o777) == (10**18, 0o640)


class Corrupting(Watched):
    """A disk that turns a bit over after each file was written."""

    def read_all(self, paths: Any, *, most_bytes: int) -> Any:
        asked = list(paths)
        for path in asked:
            self._turn(path)
        return super().read_all(asked, most_bytes=most_bytes)

    def open_read(self, path: str, offset: int = 0) -> Any:
        self._turn(path)
        return super().open_read(path, offset)

    def _turn(self, path: str) -> None:
        with (self.root / path).open("r+b") as stream:
            stream.write(b"\xff")


@SIZES
@pytest.mark.parametrize("verify", [Verify.READ_BACK, Verify.DIGEST])
def test_what_is_read_back_otherwise_than_it_was_sent_is_not_published(
    root: Path, content: bytes, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = to(site(root), verify=verify)
    there.put("a.csv", content)
    opened = there.open
    monkeypatch.setattr(
        there,
        "open",
        lambda location, make=False: (
            Corrupting(root / "target", None, lambda _: None)
            if location.name == "there"
            else opened(location, make)
        ),
    )
    outcome = there.run(1)
    assert outcome.outcome is RunState.FAILED
    assert hashlib.sha256(content).hexdigest() in outcome.errors[0]
    assert there.left_at_target() == []
    monkeypatch.undo()
    assert there.run(1).files == 1
    assert (there.target / "a.csv").read_bytes() == content


class Working(Watched):
    """A partner that works digests out itself: of ``wrong`` files other ones, of ``unknown`` ones none."""

    wrong: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    def digest_all(self, paths: Any) -> list[Digest | MftgitError | None]:
        return [self._digest(path) for path in paths]

    def _digest(self, path: str) -> Digest | MftgitError | None:
        if any(name in path for name in self.unknown):
            return None
        if "gone" in path:
            return FileMissingError(f"no {path}")
        content = b"other" if any(name in path for name in self.wrong) else None
        found = (self.root / path).read_bytes() if content is None else content
        return Digest(sha256=hashlib.sha256(found).hexdigest(), by="check-file")

    def read_all(self, paths: Any, *, most_bytes: int) -> Any:
        asked = list(paths)
        self.read += tuple(asked)
        return super().read_all(asked, most_bytes=most_bytes)


def partner(there: Site, **fields: tuple[str, ...]) -> Working:
    """Let the destination of ``there`` be at such a partner."""
    made = Working(there.target, None, lambda _: None)
    for name, value in fields.items():
        setattr(made, name, value)
    there.partner = made
    return made


@SIZES
def test_a_partner_that_tells_digests_gives_nothing_back(root: Path, content: bytes) -> None:
    there = to(site(root), verify=Verify.DIGEST)
    there.put("a.csv", content)
    there.put("b.csv", content)
    at = partner(there, wrong=("b.csv",))
    outcome = there.run(1)
    assert (outcome.outcome, outcome.files) == (RunState.PARTLY, 1)
    assert hashlib.sha256(b"other").hexdigest() in outcome.errors[0]
    assert there.left_at_target() == ["a.csv"]
    assert at.read == ()


def test_what_a_partner_cannot_tell_the_digest_of_is_read_back(root: Path) -> None:
    there = to(site(root), verify=Verify.DIGEST)
    for name in ("a.csv", "b.csv", "gone.csv"):
        there.put(name, b"1")
    at = partner(there, unknown=("b.csv",))
    outcome = there.run(1)
    assert outcome.files == 2
    assert "no .gone.csv" in outcome.errors[0]
    (read,) = at.read
    assert read.startswith(".b.csv.")


def test_what_is_there_is_compared_by_the_digest_that_the_partner_tells(root: Path) -> None:
    there = to(site(root, overwrite=Overwrite.IF_DIFFERENT), verify=Verify.DIGEST)
    for name, had in {"same": b"1", "other": b"2", "gone": b"3"}.items():
        (there.target / name).write_bytes(had)
        there.put(name, b"1")
    at = partner(there)
    outcome = there.run(1)
    assert (outcome.files, len(there.happened(EventName.DELIVERY_SKIPPED))) == (1, 1)
    assert "no gone" in outcome.errors[0]
    assert at.read == ()


class Strict(Watched):
    """A partner that does not let times be set."""

    def set_all(self, changes: Any) -> Any:
        return [EndpointRefusedError("permission denied") for _ in changes]


def test_a_partner_that_forbids_times_is_told_with_the_way_out(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = to(site(root), preserve=frozenset({Preserve.TIMES}))
    there.put("a.csv", b"1")
    monkeypatch.setattr(
        there,
        "open",
        lambda location, _make=False: Strict(root / location.path, None, lambda _: None),
    )
    outcome = there.run(1)
    assert "take that out of destination.preserve of transfers/t.yaml" in outcome.errors[0]
    assert there.left_at_target() == []


def test_how_far_a_large_file_is_can_be_seen_while_it_is_sent(root: Path) -> None:
    there = site(root)
    there.put("a.csv", LARGE + LARGE)
    context = there.context(1)
    seen: list[int] = []
    endpoint_write = Watched.write

    class Looking(Watched):
        """A partner at whose every chunk somebody asks how far it is."""

        def write(
            self, path: str, chunks: Any, *, on_chunk: Any, resume_at: int | None = None
        ) -> int:
            def ask(written: int) -> None:
                on_chunk(written)
                (way,) = context.progress.under_way(there.transfer.name)
                assert (way.path, way.size_bytes) == ("a.csv", 2 * len(LARGE))
                seen.append(way.done_bytes)

            return endpoint_write(self, path, chunks, on_chunk=ask, resume_at=resume_at)

    looking = replace(
        context,
        open_endpoint=lambda location, _make: Looking(root / location.path, None, lambda _: None),
    )
    assert run_once(there.transfer, looking).files == 1
    assert seen == sorted(set(seen))
    assert len(seen) > 1
    assert context.progress.under_way(there.transfer.name) == ()


@SIZES
def test_every_byte_that_is_sent_counts_for_the_limits(root: Path, content: bytes) -> None:
    there = site(root)
    there.put("a.csv", content)
    moved: list[int] = []
    context = replace(there.context(1), moved=lambda _to, size_bytes: moved.append(size_bytes))
    assert run_once(there.transfer, context).files == 1
    assert sum(moved) == len(content)
