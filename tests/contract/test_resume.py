"""A large file whose sending was cut goes on where it was, with the right bytes, whatever happens."""

import hashlib
import json
import os
import random
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from breaking_line import Line
from outbound_site import TARGET, Crash, Owner, Site, Watched, site

from mftgit.adapters.endpoint.contract import EndpointFullError, EndpointRefusedError
from mftgit.adapters.local import endpoint as local
from mftgit.adapters.local.confined import write_whole
from mftgit.errors import MftgitError
from mftgit.member.outbound.copying import resume
from mftgit.member.outbound.runs.run import run_once
from mftgit.model.configuration.config import AfterSuccess, Claiming, Overwrite
from mftgit.model.events.event import EventName
from mftgit.model.transfers.checksum import Sidecar
from mftgit.model.transfers.partial import UNSURE_BYTES
from mftgit.model.transfers.retry import Retry

MIB = 1 << 20
SIZE = 10 * MIB + 12_345
CUT_AT = 8 * MIB
CONTENT = random.Random(20261129).randbytes(SIZE)
OTHER = random.Random(20261130).randbytes(SIZE)


def cut(
    root: Path,
    *,
    error: MftgitError | None = None,
    checksum: Sidecar | None = None,
    claim: Claiming = Claiming.RENAME,
    **options: Any,
) -> tuple[Site, Line]:
    """Return a site where the first try of a large file was cut."""
    there = site(root, **options)
    rules = replace(there.transfer.destination, checksum=checksum)
    source = replace(there.transfer.source, claim=claim)
    there.transfer = replace(there.transfer, source=source, destination=rules)
    there.put("a.bin", CONTENT)
    line = Line(there, cut_at=CUT_AT, error=error)
    there.run(1)
    assert there.happened(EventName.DELIVERY_SUCCEEDED) == []
    return there, line


def temporary(there: Site) -> Path:
    (name,) = there.left_at_target()
    return there.target / name


def claimed(there: Site) -> Path:
    (found,) = [path for path in there.source.rglob("*") if path.is_file()]
    return found


def require_whole(there: Site, content: bytes = CONTENT, *, left: int = 0) -> None:
    """Hold that the file is there once, with this content and digest, and nothing else is anywhere."""
    sums = ["a.bin.sha256"] if there.transfer.destination.checksum else []
    assert there.left_at_target() == ["a.bin", *sums]
    assert (there.target / "a.bin").read_bytes() == content
    told = there.happened(EventName.DELIVERY_SUCCEEDED)
    assert len({each["id"] for each in told}) == 1
    assert told[0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert there.delivered() == 1
    assert there.records() == []
    assert len(there.left_at_source()) == left


def test_the_next_try_goes_on_where_the_last_one_was_cut(root: Path) -> None:
    there, line = cut(root)
    there.run(1)
    require_whole(there)
    assert line.sent[1] <= SIZE - CUT_AT + UNSURE_BYTES + 2 * MIB
    (told,) = there.happened(EventName.DELIVERY_SUCCEEDED)
    assert told["resumed_from_bytes"] == SIZE - line.sent[1]


def test_the_next_owner_goes_on_where_the_last_one_was_cut(root: Path) -> None:
    there, line = cut(root)
    there.run(2)
    require_whole(there)
    assert line.sent[1] <= SIZE - 2 * MIB


def test_what_is_cut_again_and_again_arrives(root: Path) -> None:
    there, line = cut(root)
    for epoch, at in enumerate((9 * MIB, 10 * MIB), 2):
        line.cut_at = at
        there.run(epoch)
    there.run(4)
    require_whole(there)
    assert len(line.sent) == 4
    assert sum(line.sent) < SIZE + 3 * (UNSURE_BYTES + 2 * MIB)


def test_a_full_destination_keeps_what_has_arrived(root: Path) -> None:
    there, line = cut(root, error=EndpointFullError("no room"))
    assert len(there.left_at_target()) == 1
    there.run(1)
    require_whole(there)
    assert line.sent[1] <= SIZE - 2 * MIB


def test_a_small_file_and_one_that_is_not_to_be_gone_on_with_are_sent_anew(root: Path) -> None:
    there = site(root)
    there.transfer = replace(
        there.transfer, destination=replace(there.transfer.destination, resume=False)
    )
    there.put("a.bin", CONTENT)
    line = Line(there, cut_at=CUT_AT)
    there.run(1)
    assert list(root.rglob("*.partial")) == []
    there.run(1)
    require_whole(there)
    assert line.sent[1] == SIZE


def test_resume_that_is_switched_off_meanwhile_leaves_nothing_behind(root: Path) -> None:
    there, line = cut(root)
    there.transfer = replace(
        there.transfer, destination=replace(there.transfer.destination, resume=False)
    )
    there.run(2)
    require_whole(there)
    assert line.sent[1] == SIZE


def test_files_that_were_cut_side_by_side_go_on_one_after_the_other(root: Path) -> None:
    there = site(root)
    there.transfer = replace(there.transfer, parallel=3)
    names = ["a.bin", "b.bin", "c.bin"]
    for name in names:
        there.put(name, CONTENT)
    line = Line(there, cut_at=CUT_AT)
    line.begun = Barrier(3)
    context = replace(there.context(1), open_more=line.open)
    run_once(there.transfer, context)
    left = [path.stat().st_size for path in there.target.iterdir()]
    assert len(left) == 3
    begun = len(line.sent)
    there.run(2)
    assert there.left_at_target() == names
    assert {(there.target / name).read_bytes() for name in names} == {CONTENT}
    assert there.delivered() == 3
    assert there.records() == []
    assert min(line.sent[begun:]) <= SIZE - 2 * MIB


# The source


def test_a_source_that_has_changed_is_sent_anew(root: Path) -> None:
    there, line = cut(root)
    claimed(there).write_bytes(OTHER)
    there.run(2)
    require_whole(there, OTHER)
    assert line.sent[1] == SIZE


def test_a_source_on_this_machine_that_changed_and_hides_it_is_sent_anew(root: Path) -> None:
    there, line = cut(root)
    before = claimed(there).stat()
    claimed(there).write_bytes(OTHER[:MIB] + CONTENT[MIB:])
    os.utime(claimed(there), ns=(before.st_mtime_ns, before.st_mtime_ns))
    there.run(2)
    require_whole(there, OTHER[:MIB] + CONTENT[MIB:])
    assert line.sent[1] == SIZE


def test_a_file_that_is_kept_goes_on_by_whoever_comes_next(root: Path) -> None:
    there, line = cut(root, after=AfterSuccess.KEEP)
    there.run(2)
    require_whole(there, left=1)
    assert line.sent[1] <= SIZE - 2 * MIB
    there.run(2)
    require_whole(there, left=1)


@pytest.mark.parametrize("changes", [False, True])
def test_a_file_that_its_record_alone_claims_goes_on_unless_it_has_changed(
    root: Path, *, changes: bool
) -> None:
    there, line = cut(root, claim=Claiming.RECORD)
    assert there.left_at_source() == ["a.bin"]
    if changes:
        there.put("a.bin", OTHER)
    there.run(2)
    require_whole(there, OTHER if changes else CONTENT)
    assert line.sent[1] == SIZE if changes else line.sent[1] <= SIZE - 2 * MIB


def test_a_file_that_is_kept_and_has_changed_is_sent_anew(root: Path) -> None:
    there, line = cut(root, after=AfterSuccess.KEEP)
    there.put("a.bin", OTHER)
    there.run(2)
    require_whole(there, OTHER, left=1)
    assert line.sent[1] == SIZE


def test_a_file_that_is_kept_and_is_gone_leaves_nothing_behind(root: Path) -> None:
    there, _ = cut(root, after=AfterSuccess.KEEP)
    (there.source / "a.bin").unlink()
    there.run(2)
    assert there.left_at_target() == []
    assert there.records() == []


# What has arrived


@pytest.mark.parametrize("at", [0, MIB + 7, 3 * MIB + 7])
@pytest.mark.parametrize("epoch", [1, 2])
def test_what_was_tampered_with_is_never_published(root: Path, at: int, epoch: int) -> None:
    there, line = cut(root)
    with temporary(there).open("r+b") as file:
        file.seek(at)
        file.write(b"wrong bytes")
    there.run(epoch)
    require_whole(there)
    assert line.sent[1] >= SIZE - at


def test_a_hole_in_what_was_sent_last_is_filled(root: Path) -> None:
    there, _ = cut(root)
    with temporary(there).open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(size - UNSURE_BYTES)
        file.write(bytes(UNSURE_BYTES - 5))
    there.run(2)
    require_whole(there)


@pytest.mark.parametrize("size_bytes", [0, MIB - 1, 3 * MIB + 5, SIZE + 1, 2 * SIZE])
def test_what_was_cut_short_or_made_longer_does_no_harm(root: Path, size_bytes: int) -> None:
    there, _ = cut(root)
    os.truncate(temporary(there), size_bytes)
    there.run(2)
    require_whole(there)


def test_what_somebody_removed_is_sent_anew(root: Path) -> None:
    there, line = cut(root)
    temporary(there).unlink()
    there.run(2)
    require_whole(there)
    assert line.sent[1] == SIZE


@pytest.mark.parametrize("told", [b"", b"{}", b"[]", b'{"mark": 1}'])
def test_a_record_that_cannot_be_read_is_as_none(root: Path, told: bytes) -> None:
    there, line = cut(root)
    (record,) = root.rglob("*.partial")
    record.write_bytes(told)
    there.run(2)
    require_whole(there)
    assert line.sent[1] == SIZE


def test_a_record_of_nothing_that_is_under_way_is_removed(root: Path) -> None:
    there, _ = cut(root)
    (record,) = root.rglob("*.partial")
    record.with_name("1-9-f.partial").write_bytes(record.read_bytes())
    there.run(2)
    require_whole(there)


def test_what_was_left_for_weeks_is_sent_anew(root: Path) -> None:
    there, line = cut(root)
    (record,) = root.rglob("*.partial")
    told = json.loads(record.read_bytes())
    record.write_text(json.dumps(told | {"saved_at": "2020-01-01T00:00:00Z"}), encoding="utf-8")
    there.run(2)
    require_whole(there)
    assert line.sent[1] == SIZE


def test_a_destination_that_cannot_go_on_is_sent_to_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, line = cut(root)
    monkeypatch.setattr(Watched, "resumes", False)
    there.run(2)
    require_whole(there)
    assert line.sent[1] == SIZE


def test_a_destination_that_lets_nothing_be_read_is_sent_to_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, line = cut(root)
    real = Watched.open_read

    def refuse(self: Watched, path: str, offset: int = 0) -> Any:
        if self.root == there.target:
            raise EndpointRefusedError("permission denied")
        return real(self, path, offset)

    monkeypatch.setattr(Watched, "open_read", refuse)
    there.run(2)
    require_whole(there)
    assert line.sent[1] == SIZE


# What happens to it when it is not gone on with


def test_what_has_arrived_of_a_file_that_is_given_up_is_removed(root: Path) -> None:
    there, line = cut(root, error=EndpointFullError("no room"))
    there.transfer = replace(there.transfer, retry=Retry(attempts=2))
    memory = there.memory()
    memory.retry = there.transfer.retry
    for _ in range(4):
        line.cut_at = CUT_AT
        memory.failures = {key: replace(each, until=0.0) for key, each in memory.failures.items()}
        there.run(2, memory)
    assert len(there.happened(EventName.DELIVERY_GIVEN_UP)) == 1
    assert there.left_at_target() == []
    assert there.records() == []
    assert (there.source / "quarantine/a.bin").read_bytes() == CONTENT


def test_what_has_arrived_of_a_kept_file_that_is_given_up_is_removed(root: Path) -> None:
    there, line = cut(root, error=EndpointFullError("no room"), after=AfterSuccess.KEEP)
    there.transfer = replace(there.transfer, retry=Retry(attempts=2))
    memory = there.memory()
    memory.retry = there.transfer.retry
    for _ in range(5):
        line.cut_at = CUT_AT
        memory.failures = {key: replace(each, until=0.0) for key, each in memory.failures.items()}
        there.run(2, memory)
    assert len(there.happened(EventName.DELIVERY_GIVEN_UP)) == 1
    assert there.left_at_target() == []
    assert there.records() == []


@pytest.mark.parametrize("rule", [Overwrite.FAIL, Overwrite.SKIP])
def test_what_has_arrived_is_removed_where_the_name_was_taken(root: Path, rule: Overwrite) -> None:
    there, _ = cut(root, overwrite=rule)
    (there.target / "a.bin").write_bytes(b"theirs")
    there.run(2)
    assert there.left_at_target() == ["a.bin"]
    assert (there.target / "a.bin").read_bytes() == b"theirs"
    assert there.records() == []


def test_what_has_arrived_is_gone_on_with_under_other_names(root: Path) -> None:
    there, line = cut(root)
    there.transfer = replace(
        there.transfer,
        destination=replace(
            there.transfer.destination, path="deep/down", temporary_folder="half", name="b.bin"
        ),
    )
    there.run(2)
    assert there.left_at_target() == ["b.bin"]
    assert (there.target / "deep/down/b.bin").read_bytes() == CONTENT
    assert line.sent[1] <= SIZE - 2 * MIB


def test_what_has_arrived_at_a_former_destination_is_removed(root: Path) -> None:
    there, _ = cut(root)
    first = temporary(there)
    there.paths[TARGET] = "elsewhere"
    there.run(2)
    assert (root / "elsewhere/a.bin").read_bytes() == CONTENT
    assert not first.exists()


# Owners that die or wake at any step


@pytest.mark.parametrize("checksum", [None, Sidecar()], ids=["plain", "checksum"])
def test_an_owner_that_dies_at_any_step_of_going_on_leaves_it_to_the_next_one(
    root: Path, checksum: Sidecar | None
) -> None:
    steps = 0
    for at in range(1, 200):
        work = root / str(at)
        for folder in ("source", "target"):
            (work / folder).mkdir(parents=True)
        there, line = cut(work, checksum=checksum)
        steps += 1
        owner = Owner(2, at=at, then=crash)
        try:
            there.run(owner)
        except Crash:
            there.run(3)
            require_whole(there)
            assert all(sent <= SIZE - 2 * MIB for sent in line.sent[1:])
            remove(work)
            continue
        require_whole(there)
        assert line.sent[1] <= SIZE - 2 * MIB
        break
    assert steps > 10


def crash() -> None:
    raise Crash


def remove(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()


@pytest.mark.parametrize("arrived", [3 * MIB, 7 * MIB, 9 * MIB])
def test_an_owner_that_wakes_in_the_middle_of_a_write_spoils_nothing_of_its_successor(
    root: Path, monkeypatch: pytest.MonkeyPatch, arrived: int
) -> None:
    """It writes one chunk into what is published by then; its clock is broken, and the fence alone stops it."""
    monkeypatch.setattr(resume, "SAVE_S", 0.0)
    there = site(root)
    there.put("a.bin", CONTENT)
    line = Line(there, cut_at=CUT_AT)
    line.cut_at = None
    write = write_whole
    woken: list[int] = []

    def freeze(descriptor: int, chunk: bytes) -> None:
        if not woken and os.lseek(descriptor, 0, os.SEEK_CUR) >= arrived:
            woken.append(os.fstat(descriptor).st_ino)
            assert there.run(2).files == 1
            require_whole(there)
        write(descriptor, chunk)

    monkeypatch.setattr(local, "write_whole", freeze)
    there.run(1)
    require_whole(there)
    in_place = (there.target / "a.bin").stat().st_ino == woken[0]
    assert in_place == (arrived - MIB > UNSURE_BYTES)
    assert (
        line.sent[0] <= arrived + 3 * MIB
    )  # it asked for one more, and was stopped before that was written
