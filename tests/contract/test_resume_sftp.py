"""A large file goes on over a line to a real sshd that breaks: counted on the wire, both ways, by both SSH clients."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pytest
from cut_line import CutLine
from outbound_far import Far
from outbound_site import CLOCK, SOURCE, TARGET, site
from sshd import Sshd
from waiting import WAIT_S

from mftgit.errors import MftgitError
from mftgit.member.outbound.copying import resume
from mftgit.member.outbound.runs.run import run_once
from mftgit.model.configuration.config import AfterSuccess
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import Client
from mftgit.model.names import LocationName
from mftgit.model.transfers.run import RunState

pytestmark = pytest.mark.needs("sshd")

MIB = 1 << 20
SIZE = 24 * MIB + 12_345
CONTENT = random.Random(20261129).randbytes(SIZE)
BESIDE = MIB // 2
"""What a connection costs besides the file."""


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder on a disk: in memory, what is on the way to a partner was seen to be there before it was held up."""
    with TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


Make = Callable[..., Far]


@pytest.fixture
def make(tmp_path: Path, sshd: Sshd, line: CutLine) -> Make:
    def made(
        *far: LocationName,
        client: Client = Client.BUILTIN,
        after: AfterSuccess = AfterSuccess.DELETE,
    ) -> Far:
        for folder in ("source", "target"):
            (tmp_path / folder).mkdir()
        there = Far(
            root=tmp_path,
            transfer=site(tmp_path, after=after).transfer,
            far=far,
            # One channel, also where so busy a machine looks far away: what is on the way is one connection's.
            there_at=replace(sshd.location(), port=line.port, client=client, channels=1),
            secrets_dir=sshd.secrets_dir,
        )
        there.put("a.bin", CONTENT)
        return there

    return made


def require_whole(there: Far, *, left: int = 0) -> None:
    assert there.left_at_target() == ["a.bin"]
    assert (there.target / "a.bin").read_bytes() == CONTENT
    assert there.delivered() == 1
    assert there.records() == []
    assert len(there.left_at_source()) == left


CLIENTS = pytest.mark.parametrize("client", list(Client), ids=lambda client: client.value)


@CLIENTS
def test_an_upload_goes_on_after_the_line_broke(make: Make, line: CutLine, client: Client) -> None:
    there = make(TARGET, client=client)
    line.mend(cut_up=16 * MIB)
    assert there.run(1).files == 0
    assert line.broken.is_set()
    line.mend()
    assert there.run(2).files == 1
    require_whole(there)
    assert 8 * MIB < line.up < SIZE - 6 * MIB
    assert 6 * MIB < line.down < 16 * MIB + BESIDE  # what had arrived is read back


@CLIENTS
def test_a_download_goes_on_after_the_line_broke(make: Make, line: CutLine, client: Client) -> None:
    there = make(SOURCE, client=client)
    line.mend(cut_down=20 * MIB)
    assert there.run(1).files == 0
    line.mend()
    assert there.run(2).files == 1
    require_whole(there)
    assert 4 * MIB < line.down < SIZE - 4 * MIB
    assert line.up < BESIDE


@dataclass
class Operator:
    """Who ends runs, once ``by`` says so."""

    by: str | None = None


@CLIENTS
def test_a_run_that_an_operator_ends_leaves_what_has_arrived_for_the_next_one(
    make: Make, line: CutLine, client: Client
) -> None:
    there, operator = make(TARGET, client=client), Operator()
    context = replace(there.context(1), stopped_by=lambda: operator.by)
    line.mend(hang_up=12 * MIB)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(run_once, there.transfer, context)
        line.stuck.wait()
        operator.by = "operator ann"
        line.resume()
        ended = run.result()
    assert (ended.outcome, ended.stopped_by, ended.errors) == (RunState.IDLE, "operator ann", ())
    assert there.happened(EventName.DELIVERY_FAILED) == []
    assert there.left_at_target() != ["a.bin"]
    assert line.up < SIZE - 4 * MIB  # of what was under way no more was begun
    operator.by = None
    line.mend()
    assert run_once(there.transfer, context).files == 1
    require_whole(there)
    assert line.up < SIZE - 6 * MIB


def test_what_was_read_back_is_not_read_back_again(make: Make, line: CutLine) -> None:
    there = make(TARGET)
    line.mend(cut_up=12 * MIB)
    there.run(1)
    line.mend(cut_up=8 * MIB)  # on to about 16 MiB
    there.run(2)
    first = line.down
    line.mend()
    assert there.run(3).files == 1
    require_whole(there)
    assert first > 6 * MIB
    assert line.down < 9 * MIB + BESIDE


def test_a_file_that_is_kept_at_a_partner_is_gone_on_with(make: Make, line: CutLine) -> None:
    there = make(SOURCE, after=AfterSuccess.KEEP)
    line.mend(cut_down=20 * MIB)
    there.run(1)
    line.mend()
    assert there.run(2).files == 1
    require_whole(there, left=1)
    assert line.down < SIZE - 4 * MIB


def test_a_file_at_a_partner_that_has_changed_is_sent_anew(make: Make, line: CutLine) -> None:
    there = make(SOURCE)
    line.mend(cut_down=20 * MIB)
    there.run(1)
    (claim,) = [path for path in there.source.rglob("*") if path.is_file()]
    before, other = claim.stat(), CONTENT[::-1]
    claim.write_bytes(other)
    os.utime(claim, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))
    line.mend()
    assert there.run(2).files == 1
    assert (there.target / "a.bin").read_bytes() == other
    assert line.down > SIZE


def test_a_file_from_partner_to_partner_is_not_sent_again(make: Make, line: CutLine) -> None:
    there = make(SOURCE, TARGET)
    line.mend(cut_up=16 * MIB)
    there.run(1)
    line.mend()
    assert there.run(2).files == 1
    require_whole(there)
    assert line.up < SIZE - 6 * MIB


def test_what_was_tampered_with_at_a_partner_is_never_published(make: Make, line: CutLine) -> None:
    there = make(TARGET)
    line.mend(cut_up=16 * MIB)
    there.run(1)
    (name,) = there.left_at_target()
    with (there.target / name).open("r+b") as file:
        file.write(b"wrong")
    line.mend()
    assert there.run(2).files == 1
    require_whole(there)
    assert line.up > SIZE


@CLIENTS
def test_the_next_owner_goes_on_where_one_was_killed(
    make: Make, line: CutLine, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = make(TARGET, client=client)
    monkeypatch.setattr(resume, "SAVE_S", 0.0)
    line.mend(hang_up=16 * MIB)
    process = get_context("fork").Process(target=own, args=(there,))
    process.start()
    assert line.stuck.wait(WAIT_S)
    process.kill()
    process.join()
    line.mend()
    assert there.run(2).files == 1
    require_whole(there)
    assert line.up < 16 * MIB + BESIDE
    (told,) = there.happened(EventName.DELIVERY_SUCCEEDED)
    assert told["resumed_from_bytes"]


@pytest.mark.parametrize("after", [AfterSuccess.DELETE, AfterSuccess.KEEP])
def test_an_owner_that_was_stopped_and_wakes_spoils_nothing_of_its_successor(
    make: Make, line: CutLine, monkeypatch: pytest.MonkeyPatch, after: AfterSuccess
) -> None:
    """What it had sent is on the way still, and gets to the partner after the file was published."""
    there = make(TARGET, after=after)
    monkeypatch.setattr(resume, "SAVE_S", 0.0)
    line.mend(hang_up=16 * MIB)
    process = get_context("fork").Process(target=own, args=(there,))
    process.start()
    assert process.pid is not None
    left = 1 if after is AfterSuccess.KEEP else 0
    try:
        assert line.stuck.wait(WAIT_S)
        line.filled()
        os.kill(process.pid, signal.SIGSTOP)
        assert there.run(2).files == 1
        (told,) = there.happened(EventName.DELIVERY_SUCCEEDED)
        assert told["resumed_from_bytes"]
        require_whole(there, left=left)
        published = (there.target / "a.bin").stat()
        line.resume()
        require_written(there.target / "a.bin", published)
        os.kill(process.pid, signal.SIGCONT)
        process.join(WAIT_S)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()
    line.emptied()
    require_whole(there, left=left)


def require_written(path: Path, published: os.stat_result) -> None:
    """Hold that the very file is written to after it was published."""
    until = CLOCK.boottime() + WAIT_S
    while path.stat().st_mtime_ns == published.st_mtime_ns and CLOCK.boottime() < until:
        Event().wait(0.02)
    assert path.stat().st_mtime_ns > published.st_mtime_ns
    assert path.stat().st_ino == published.st_ino


def own(there: Far) -> None:
    try:
        run_once(there.transfer, there.context(1))
    except MftgitError:
        return
