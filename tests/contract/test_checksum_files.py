"""A checksum file comes beside each delivered file: after it, once, whole, and never beside another content."""

import hashlib
import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from outbound_site import LARGE, Consumer, Crash, Owner, Site, Watched, site

from mftgit.adapters.endpoint.contract import EndpointRefusedError
from mftgit.member.outbound.records.intents import Intents
from mftgit.model.configuration.config import AfterSuccess, Overwrite
from mftgit.model.events.event import EventName
from mftgit.model.transfers.checksum import ChecksumFormat, Sidecar
from mftgit.model.transfers.run import DeliveryState, RunState

OLD, NEW = b"old", b"new"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return empty(tmp_path)


def empty(folder: Path) -> Path:
    for name in ("source", "target"):
        (folder / name).mkdir(parents=True)
    return folder


def line(name: str, content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()


def to(there: Site, sidecar: Sidecar | None = None, **rules: Any) -> Site:
    rules = {"checksum": sidecar or Sidecar(), **rules}
    there.transfer = replace(
        there.transfer, destination=replace(there.transfer.destination, **rules)
    )
    return there


class Auditor(Consumer):
    """A partner that looks after each change: no checksum file may lie there without its file, or beside another."""

    def take(self) -> None:
        for path in self._folder.rglob("*.sha256"):
            if not path.name.startswith("."):
                of = path.with_suffix("")
                assert path.read_bytes() == line(of.name, of.read_bytes())


def audited(folder: Path, overwrite: Overwrite = Overwrite.OVERWRITE) -> Site:
    """Return a site whose destination has an older file with its checksum file, and is looked at."""
    there = to(site(empty(folder), overwrite=overwrite))
    there.consumer = Auditor(there.target)
    (there.target / "a.csv").write_bytes(OLD)
    (there.target / "a.csv.sha256").write_bytes(line("a.csv", OLD))
    there.put("a.csv", NEW)
    return there


@pytest.mark.needs("sha256sum")
@pytest.mark.parametrize("form", ChecksumFormat)
@pytest.mark.parametrize("names", [["a.csv", "line\nbreak", "back\\slash", "m\udcfcn"], ["large"]])
def test_sha256sum_checks_what_is_delivered(
    root: Path, names: list[str], form: ChecksumFormat
) -> None:
    there = to(site(root), Sidecar(suffix=".sum", format=form), path="in/{date:%Y}")
    for name in names:
        there.put(name, LARGE if name == "large" else os.fsencode(name))
    assert there.run(1).files == len(names)
    for name in names:
        (file,) = there.target.rglob(name.replace("\\", "[\\\\]"))
        command = ["sha256sum", "--check", "--strict", f"{name}.sum"]
        assert (
            subprocess.run(command, cwd=file.parent, capture_output=True, check=False).returncode
            == 0
        )
    assert len(there.left_at_target()) == 2 * len(names)
    assert there.records() == []


def test_the_checksum_file_comes_after_its_file(root: Path) -> None:
    there = to(site(root))
    seen: list[list[str]] = []

    def look(call: str) -> None:
        if call == "rename":
            seen.append([name for name in there.left_at_target() if name[0] != "."])

    there.after = look
    there.put("a.csv", NEW)
    assert there.run(1).files == 1
    assert seen[-2:] == [["a.csv"], ["a.csv", "a.csv.sha256"]]


@pytest.mark.parametrize("overwrite", [Overwrite.OVERWRITE, Overwrite.IF_DIFFERENT])
def test_that_of_a_replaced_file_is_replaced_and_never_lies_beside_another(
    tmp_path: Path, overwrite: Overwrite
) -> None:
    there = audited(tmp_path, overwrite)
    assert there.run(1).files == 1
    assert (there.target / "a.csv.sha256").read_bytes() == line("a.csv", NEW)


def test_that_of_a_file_that_is_not_replaced_stays(tmp_path: Path) -> None:
    there = audited(tmp_path, Overwrite.FAIL)
    assert there.run(1).outcome is RunState.FAILED
    assert there.left_at_target() == ["a.csv", "a.csv.sha256"]
    assert (there.target / "a.csv.sha256").read_bytes() == line("a.csv", OLD)


def test_one_without_a_file_is_replaced(root: Path) -> None:
    there = to(site(root))
    (there.target / "a.csv.sha256").write_bytes(b"?" * 5000)
    there.put("a.csv", NEW)
    assert there.run(1).files == 1
    assert (there.target / "a.csv.sha256").read_bytes() == line("a.csv", NEW)


@pytest.mark.parametrize("overwrite", [Overwrite.FAIL, Overwrite.RENAME, Overwrite.SKIP])
def test_a_file_that_comes_meanwhile_keeps_its_own(root: Path, overwrite: Overwrite) -> None:
    there = to(site(root, overwrite=overwrite))
    there.put("a.csv", NEW)

    def come(call: str) -> None:
        if call == "write":
            (there.target / "a.csv").write_bytes(OLD)
            (there.target / "a.csv.sha256").write_bytes(line("a.csv", OLD))

    there.after = come
    outcome = there.run(1)
    assert outcome.files == (overwrite is Overwrite.RENAME)
    assert (there.target / "a.csv.sha256").read_bytes() == line("a.csv", OLD)
    if overwrite is Overwrite.RENAME:
        final = there.happened(EventName.DELIVERY_SUCCEEDED)[0]["final"]
        assert (there.target / f"{final}.sha256").read_bytes() == line(str(final), NEW)
    if overwrite is Overwrite.FAIL:
        (there.target / "a.csv").unlink()
        there.after = lambda _: None
        assert there.run(2).files == 1
        assert (there.target / "a.csv.sha256").read_bytes() == line("a.csv", NEW)
    assert not [name for name in there.left_at_target() if name[0] == "."]
    assert there.records() == []


@pytest.mark.parametrize("name", ["a.sha256", "x" * 249])
def test_a_file_that_can_have_none_is_not_sent_and_keeps_no_other_back(
    root: Path, name: str
) -> None:
    there = to(site(root))
    there.put(name, b"1")
    there.put("a.csv", NEW)
    outcome = there.run(1)
    assert (outcome.outcome, outcome.files) == (RunState.PARTLY, 1)
    assert "can have no checksum file" in outcome.errors[0]
    assert there.left_at_target() == ["a.csv", "a.csv.sha256"]


def fill(folder: Path, after: AfterSuccess, overwrite: Overwrite) -> Site:
    there = to(site(empty(folder), after=after, overwrite=overwrite))
    there.consumer = Consumer(there.target)
    there.put("a.csv", b"1")
    there.put("c.csv", LARGE)
    return there


def once_each(there: Site) -> None:
    assert there.consumer is not None
    content = {"a.csv": b"1", "c.csv": LARGE}
    sums = {f"{name}.sha256": line(name, held) for name, held in content.items()}
    assert there.consumer.got == Counter((content | sums).items())
    assert there.delivered() == 2
    assert there.left_at_target() == []
    assert there.records() == []


MODES = [
    (AfterSuccess.DELETE, Overwrite.OVERWRITE),
    (AfterSuccess.ARCHIVE, Overwrite.FAIL),
    (AfterSuccess.KEEP, Overwrite.RENAME),
]


def crash() -> None:
    raise Crash


def effects(there: Site) -> int:
    owner = Owner(1)
    there.run(owner)
    return owner.effects


@pytest.mark.parametrize(("after", "overwrite"), MODES)
def test_a_crash_before_any_effect_ends_as_one_delivery_with_one_checksum_file(
    root: Path, after: AfterSuccess, overwrite: Overwrite
) -> None:
    for at in range(1, effects(fill(root / "count", after, overwrite)) + 1):
        there = fill(root / str(at), after, overwrite)
        with pytest.raises(Crash):
            there.run(Owner(1, at=at, then=crash))
        there.run(2)
        once_each(there)


@pytest.mark.parametrize(("after", "overwrite"), MODES)
def test_a_predecessor_that_wakes_before_any_effect_makes_no_second_one(
    root: Path, after: AfterSuccess, overwrite: Overwrite
) -> None:
    for at in range(1, effects(fill(root / "count", after, overwrite)) + 1):
        there = fill(root / str(at), after, overwrite)

        def succeed(there: Site = there) -> None:
            there.run(2)

        there.run(Owner(1, at=at, then=succeed))
        there.run(3)
        assert there.consumer is not None
        assert set(there.consumer.got.values()) == {1}, at
        assert len(there.consumer.got) == 4
        assert there.records() == []


def test_where_a_file_is_replaced_a_crash_before_any_effect_leaves_no_wrong_one(
    root: Path,
) -> None:
    for at in range(1, effects(audited(root / "count")) + 1):
        there = audited(root / str(at))
        with suppress(Crash):
            there.run(Owner(1, at=at, then=crash))
        there.run(2)
        assert there.left_at_target() == ["a.csv", "a.csv.sha256"]
        assert (there.target / "a.csv.sha256").read_bytes() == line("a.csv", NEW)
        assert there.delivered() == 1


def test_a_late_predecessor_puts_none_beside_what_came_after_its_successor(root: Path) -> None:
    for at in range(1, effects(audited(root / "count")) + 1):
        there = audited(root / str(at))

        def succeed(there: Site = there) -> None:
            there.run(2)
            there.put("a.csv", b"newer")
            there.run(2)

        there.run(Owner(1, at=at, then=succeed))
        there.run(3)
        last = (there.target / "a.csv").read_bytes()
        assert last == b"newer", at
        sums = there.target / "a.csv.sha256"
        assert not sums.exists() or sums.read_bytes() == line("a.csv", last), at


def test_one_that_fits_is_not_taken_away_for_a_moment(tmp_path: Path) -> None:
    there = audited(tmp_path)
    there.put("a.csv", OLD)
    seen: list[bool] = []
    there.after = lambda _: seen.append((there.target / "a.csv.sha256").exists())
    assert there.run(1).files == 1
    assert all(seen)


def test_what_came_after_a_delivery_that_has_to_be_ended_keeps_its_own(tmp_path: Path) -> None:
    there = audited(tmp_path)
    sums = there.target / "a.csv.sha256"

    def die(call: str) -> None:
        if call == "rename" and sums.exists() and sums.read_bytes() == line("a.csv", NEW):
            raise Crash

    there.after = die
    with pytest.raises(Crash):
        there.run(1)
    there.after = lambda _: None
    (there.target / "a.csv").write_bytes(b"theirs")
    sums.write_bytes(line("a.csv", b"theirs"))
    assert there.run(2).files == 1
    assert (there.target / "a.csv").read_bytes() == b"theirs"
    assert sums.read_bytes() == line("a.csv", b"theirs")


class Picky(Watched):
    """A partner that refuses one thing with checksum files, as long as it is told to."""

    call = ""

    def _one(self, call: str, path: str, do: Callable[[], Any]) -> Any:
        is_sum = re.search(r"[.]sha256$|[.]csv[.][0-9a-f]{8}[.]", path)
        return EndpointRefusedError("no") if is_sum and call == self.call else do()[0]

    def write_all(self, files: Any) -> Any:
        do = super().write_all
        return [self._one("write", each[0], partial(do, [each])) for each in files]

    def read_all(self, paths: Any, *, most_bytes: int) -> Any:
        do = partial(super().read_all, most_bytes=most_bytes)
        return [self._one("read", path, partial(do, [path])) for path in paths]

    def rename_all(self, moves: Any, *, replace: bool) -> Any:
        do = partial(super().rename_all, replace=replace)
        return [self._one("rename", each[1], partial(do, [each])) for each in moves]

    def remove_all(self, paths: Any) -> Any:
        do = super().remove_all
        return [self._one("remove", path, partial(do, [path])) for path in paths]


@pytest.mark.parametrize("call", ["write", "read", "remove", "rename"])
def test_a_partner_that_refuses_something_is_told_and_tried_again_without_a_second_delivery(
    root: Path, call: str
) -> None:
    there = audited(root / "site")
    there.partner = partner = Picky(there.target, None, lambda _: None)
    partner.call = call
    outcome = there.run(1)
    assert (outcome.outcome, outcome.files) == (RunState.FAILED, 0)
    assert there.happened(EventName.DELIVERY_SUCCEEDED) == []
    partner.call = ""
    assert there.run(2).files == 1
    assert (there.target / "a.csv.sha256").read_bytes() == line("a.csv", NEW)
    assert there.left_at_target() == ["a.csv", "a.csv.sha256"]
    assert there.delivered() == 1


def test_the_rule_is_written_down_with_the_delivery(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor whose revision has no checksum files any more still ends what was begun with one."""
    there = to(site(root))
    there.put("a.csv", NEW)
    write: Callable[..., Any] = Intents.write

    def die(self: Intents, intents: Any) -> None:
        write(self, intents)
        if any(each.state is DeliveryState.READY for each in intents):
            raise Crash

    monkeypatch.setattr(Intents, "write", die)
    with pytest.raises(Crash):
        there.run(1)
    monkeypatch.undo()
    there.transfer = replace(
        there.transfer, destination=replace(there.transfer.destination, checksum=None)
    )
    assert there.run(2).files == 1
    assert there.left_at_target() == ["a.csv", "a.csv.sha256"]
