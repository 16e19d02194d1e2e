"""What goes wrong with one of many files that are delivered together keeps no other back, and nothing overtakes."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import paramiko
import pytest
from outbound_site import CLOCK, SOURCE, TARGET, Crash, Owner, Site, Watched, site
from sftp_server import PASSWORD, File, Folder, RenameReplaces, sftp_server

from mftgit.adapters.endpoint.contract import (
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
)
from mftgit.adapters.sftp.endpoint import connect
from mftgit.member.outbound.runs.retention import tidy
from mftgit.model.configuration.config import AfterSuccess, Overwrite
from mftgit.model.events.event import EventName
from mftgit.model.names import LocationName
from mftgit.model.transfers.run import RunState
from mftgit.model.transfers.source import Order


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("source", "target", "secrets"):
        (tmp_path / name).mkdir()
    (tmp_path / "secrets").chmod(0o700)
    password = tmp_path / "secrets" / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    password.chmod(0o600)
    return tmp_path


def to(there: Site, **rules: Any) -> Site:
    there.transfer = replace(
        there.transfer, destination=replace(there.transfer.destination, **rules)
    )
    return there


@contextmanager
def partner(there: Site, kind: type[Folder], at: LocationName) -> Iterator[None]:
    """Let the files of ``at`` be those of an SFTP server of this kind."""
    real = there.open
    folder = there.root / ("source" if at == SOURCE else "target")
    with sftp_server(folder, kind) as server:
        there.open = lambda location, make=False: (  # type: ignore[method-assign]
            connect(server.location(), secrets_dir=there.root / "secrets")
            if location.name == at
            else real(location, make)
        )
        yield


def everything(there: Site) -> set[bytes]:
    folders = (there.source, there.target)
    return {path.read_bytes() for each in folders for path in each.rglob("*") if path.is_file()}


@pytest.mark.parametrize("rule", [Overwrite.FAIL, Overwrite.RENAME, Overwrite.SKIP])
def test_of_two_files_for_one_name_none_is_lost_where_renames_replace(
    root: Path, rule: Overwrite
) -> None:
    there = to(site(root, overwrite=rule), name="latest{ending}")
    there.put("a.csv", b"A", mtime_ns=10**18)
    there.put("b.csv", b"B", mtime_ns=2 * 10**18)
    with partner(there, RenameReplaces, TARGET):
        outcome = there.run(1)
    assert b"A" in everything(there)
    assert (there.target / "latest.csv").read_bytes() == b"A"
    assert (b"B" in everything(there)) == (rule is not Overwrite.SKIP), outcome


def test_of_two_files_for_one_name_the_newer_one_stays(root: Path) -> None:
    there = to(site(root, overwrite=Overwrite.IF_NEWER), name="latest{ending}")
    there.transfer = replace(
        there.transfer, source=replace(there.transfer.source, order=Order.NAME)
    )
    now = time.time_ns()
    there.put("a.csv", b"new", mtime_ns=now - 10**9)
    there.put("b.csv", b"old", mtime_ns=now - 10**12)
    # The temporary's own time is that of its sending, which is newer than both.
    there.run(1)
    assert (there.target / "latest.csv").read_bytes() == b"new"


def test_many_files_for_one_name_end_with_the_last_one(root: Path) -> None:
    there = to(site(root, overwrite=Overwrite.OVERWRITE), name="latest{ending}")
    for number in range(5):
        there.put(f"{number}.csv", b"v%d" % number, mtime_ns=(number + 1) * 10**17)
    with partner(there, Folder, TARGET):
        assert there.run(1).outcome is RunState.SUCCEEDED
    assert (there.target / "latest.csv").read_bytes() == b"v4"


def test_a_file_does_not_overtake_one_that_waits_for_the_same_name(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = to(site(root, overwrite=Overwrite.OVERWRITE), name="latest{ending}")
    there.put("1.csv", b"v1")
    memory = there.memory()
    with monkeypatch.context() as patched:
        real = Watched.rename

        def rename(self: Watched, old: str, new: str, *, replace: bool) -> None:
            if self.root == there.target:
                raise EndpointRefusedError("not now")
            real(self, old, new, replace=replace)

        patched.setattr(Watched, "rename", rename)
        there.run(1, memory)
    there.put("2.csv", b"v2")
    assert there.run(1, memory).files == 0
    memory.failures.clear()
    there.run(1, memory)
    memory.failures.clear()
    there.run(1, memory)
    assert (there.target / "latest.csv").read_bytes() == b"v2"
    assert there.left_at_source() == []


class NoSize(Folder):
    """A server that does not tell the size of an open file."""

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        del attr
        try:
            self.at(path).mkdir()
        except FileExistsError:
            return paramiko.sftp.SFTP_FAILURE
        return paramiko.sftp.SFTP_OK

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Any:
        opened = super().open(path, flags, attr)
        if isinstance(opened, File):

            def stat() -> paramiko.SFTPAttributes:
                told = paramiko.SFTPAttributes.from_stat(os.fstat(opened.descriptor))
                told._flags &= ~told.FLAG_SIZE  # type: ignore[attr-defined]
                told.st_size = None
                return told

            opened.stat = stat  # type: ignore[method-assign]
        return opened


def test_a_file_of_which_no_size_is_told_is_not_taken_for_empty(root: Path) -> None:
    there = site(root)
    there.put("a.csv", b"precious")
    with partner(there, NoSize, SOURCE):
        assert there.run(1).outcome is RunState.FAILED
    assert everything(there) == {b"precious"}


def run_again_and_again(there: Site) -> None:
    memory = there.memory()
    for _ in range(3):
        memory.failures.clear()
        there.run(1, memory)


def test_a_folder_that_cannot_be_made_keeps_no_other_file_back(root: Path) -> None:
    there = to(site(root, after=AfterSuccess.KEEP, recursive=True), temporary_folder="tmp")
    (there.target / "sub").write_bytes(b"a file")
    there.put("sub/a.csv", b"A")
    there.put("b.csv", b"B")
    run_again_and_again(there)
    assert (there.target / "b.csv").read_bytes() == b"B"


def test_a_file_that_cannot_be_compared_keeps_no_other_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = site(root, after=AfterSuccess.KEEP, overwrite=Overwrite.IF_DIFFERENT)
    (there.target / "a.csv").write_bytes(b"X")
    there.put("a.csv", b"A")
    there.put("b.csv", b"B")
    real = Watched.open_read

    def refuse(self: Watched, path: str, offset: int = 0) -> Any:
        if self.root == there.target:
            raise EndpointRefusedError("permission denied")
        return real(self, path, offset)

    monkeypatch.setattr(Watched, "open_read", refuse)
    run_again_and_again(there)
    assert (there.target / "b.csv").read_bytes() == b"B"


def test_a_folder_of_temporaries_that_is_gone_is_no_proof_of_a_publication(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = to(site(root), temporary_folder="tmp")
    there.put("a.csv", b"A")
    real = Watched.rename

    def crash(self: Watched, old: str, new: str, *, replace: bool) -> None:
        if self.root == there.target:
            raise Crash
        real(self, old, new, replace=replace)

    with monkeypatch.context() as patched:
        patched.setattr(Watched, "rename", crash)
        with pytest.raises(Crash):
            there.run(Owner(1))
    shutil.rmtree(there.target / "tmp")
    outcome = there.run(2)
    assert outcome.outcome is RunState.FAILED
    assert "cannot be told" in outcome.errors[0]
    assert everything(there) == {b"A"}


def test_a_connection_that_is_lost_while_clearing_up_ends_the_run_as_any(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = site(root)
    there.put("a.csv", b"A")

    def change(call: str) -> None:
        if call == "read":
            for path in (there.source / ".mftgit").rglob("*=a.csv"):
                path.write_bytes(b"changed")

    def lost(self: Watched, paths: Any) -> Any:
        if self.root == there.target:
            raise EndpointLostError("cut")
        return [None for _ in paths]

    there.after = change
    monkeypatch.setattr(Watched, "remove_all", lost)
    assert there.run(1).outcome is RunState.FAILED
    assert there.happened(EventName.RUN_FAILED)


def test_every_delivery_under_way_is_kept_in_the_ledger(root: Path) -> None:
    there = site(root, after=AfterSuccess.ARCHIVE, include=("*.csv",))
    (there.source / "old").write_bytes(b"a file where the archive should be")
    there.put("a.csv", b"A")
    there.put("b.csv", b"B")
    memory = there.memory()
    there.run(1, memory)

    class Later:
        """A clock of the year after next."""

        def __getattr__(self, name: str) -> Any:
            return getattr(CLOCK, name)

        def now(self) -> Any:
            return CLOCK.now() + timedelta(days=401)

    later = replace(there.context(1, memory), clock=Later())
    assert tidy(there.transfer, later) == 0
    (there.source / "old").unlink()
    there.run(2)
    assert there.delivered() == 2
    assert len(there.happened(EventName.DELIVERY_SUCCEEDED)) == 2


def test_a_temporary_that_cannot_be_removed_is_known_of_and_the_first_error_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = site(root, after=AfterSuccess.KEEP)
    there.put("a.csv", b"A")

    def half(self: Watched, files: Any) -> list[EndpointFullError]:
        ended = []
        for path, _ in files:
            (self.root / path).write_bytes(b"")
            ended.append(EndpointFullError("the disk is full"))
        return ended

    with monkeypatch.context() as patched:
        patched.setattr(
            Watched, "remove_all", lambda _, paths: [EndpointRefusedError("no") for _ in paths]
        )
        patched.setattr(Watched, "write_all", half)
        outcome = there.run(1)
    assert "the disk is full" in outcome.errors[0]
    assert there.records()
    there.run(1)
    assert there.left_at_target() == ["a.csv"]
