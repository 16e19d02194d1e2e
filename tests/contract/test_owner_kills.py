"""The owner of a transfer is killed at random moments while files of mixed sizes move: each arrives once, and whole."""

import hashlib
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread
from typing import Self

import pytest
from outbound_site import CLOCK, SOURCE, TARGET, Owner, Site, site
from sftp_server import PASSWORD, OnlyReadsAndDeletes, sftp_server
from sshd import running_sshd

from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.adapters.sftp.endpoint import connect
from mftgit.errors import MftgitError
from mftgit.member.outbound.copying import resume
from mftgit.member.outbound.runs.run import run_once
from mftgit.model.configuration.config import Claiming
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import Location
from mftgit.model.transfers.partial import parse_partial

SIZES = (0, 1, 10_000, 10_000, 10_000, 200_000, 1_500_000)
LARGE_SIZES = (12_000_000, 20_000_000)  # are gone on with
FILES_A_KILL = 2

Open = Callable[[Location], Endpoint]


@contextmanager
def locally(root: Path) -> Iterator[Open]:
    yield lambda location: LocalEndpoint(root / location.path)


@contextmanager
def over_sftp(root: Path) -> Iterator[Open]:
    with running_sshd(root / "sshd") as server:
        partner = server.location(path=str(root / "target"))

        def opening(location: Location) -> Endpoint:
            if location.name == TARGET:
                return connect(partner, secrets_dir=server.secrets_dir)
            return LocalEndpoint(root / location.path)

        yield opening


class Partner:
    """Takes every file away as soon as it is visible, and remembers what it was."""

    def __init__(self, folder: Path) -> None:
        self.got: Counter[tuple[str, str]] = Counter()
        self._folder = folder
        self._over = Event()
        self._thread = Thread(target=self._take_away)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _take_away(self) -> None:
        while not self._over.wait(0.002):
            for path in self._folder.iterdir():
                if not path.name.startswith("."):
                    self.got[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] += 1
                    path.unlink()


def own(there: Site, opening: Open, epoch: int) -> None:
    """Own the transfer under ``epoch`` and run it until killed."""
    there.open = lambda location, make=False: opening(location)  # type: ignore[method-assign] # noqa: ARG005
    memory = there.memory()
    while True:
        memory.failures.clear()
        try:
            run_once(there.transfer, there.context(Owner(epoch), memory))
        except MftgitError:
            continue


def put(there: Site, number: int, chance: random.Random, sizes: tuple[int, ...]) -> tuple[str, str]:
    content = chance.randbytes(chance.choice(sizes))
    name = f"file {number:05} ü.dat"
    there.put(name, content)
    return name, hashlib.sha256(content).hexdigest()


def kill_at_random(
    tmp_path: Path,
    opening: Open,
    *,
    kills: int,
    longest_s: float,
    sizes: tuple[int, ...] = SIZES,
    files_a_kill: int = FILES_A_KILL,
    claim: Claiming = Claiming.RENAME,
) -> Site:
    for folder in ("source", "target"):
        (tmp_path / folder).mkdir()
    there = site(tmp_path)
    taken = replace(there.transfer.source, claim=claim)
    there.transfer = replace(there.transfer, source=taken)
    chance = random.Random(20261128)
    sent = Counter[tuple[str, str]]()
    with Partner(there.target) as partner:
        for epoch in range(1, kills + 1):
            for number in range(files_a_kill):
                sent[put(there, epoch * files_a_kill + number, chance, sizes)] += 1
            process = get_context("fork").Process(target=own, args=(there, opening, epoch))
            process.start()
            Event().wait(chance.uniform(0, longest_s))
            process.kill()
            process.join()
        there.open = lambda location, make=False: opening(location)  # type: ignore[method-assign] # noqa: ARG005
        until = CLOCK.boottime() + 300
        while there.left_at_source() and CLOCK.boottime() < until:
            there.run(kills + 1)
        until = CLOCK.boottime() + 60
        while partner.got.total() < sent.total() and CLOCK.boottime() < until:
            Event().wait(0.02)
        Event().wait(0.5)  # for what would come too much
    assert partner.got == sent
    assert there.delivered() == sent.total()
    assert os.listdir(there.target) == []  # noqa: PTH208  hidden ones too
    assert there.left_at_source() == []
    assert there.records() == []
    return there


WAYS = pytest.mark.parametrize(
    ("way", "longest_s"),
    [(locally, 0.06), pytest.param(over_sftp, 0.4, marks=pytest.mark.needs("sshd"))],
    ids=["local", "sftp"],
)


@pytest.mark.long
@WAYS
def test_an_owner_that_is_killed_at_random_moments_loses_and_repeats_no_file(
    tmp_path: Path, way: Callable[[Path], AbstractContextManager[Open]], longest_s: float
) -> None:
    with way(tmp_path) as opening:
        kill_at_random(tmp_path, opening, kills=60, longest_s=longest_s)


@contextmanager
def from_sftp(root: Path) -> Iterator[Open]:
    """Have the source at a partner where files may be read and deleted, and nothing else."""
    secrets = root / "secrets"
    secrets.mkdir()
    (secrets / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    (secrets / "password").chmod(0o600)
    with sftp_server(root / "source", OnlyReadsAndDeletes) as server:

        def opening(location: Location) -> Endpoint:
            if location.name == SOURCE:
                return connect(server.location(), secrets_dir=secrets)
            return LocalEndpoint(root / location.path)

        yield opening


@pytest.mark.long
@pytest.mark.parametrize(
    ("way", "longest_s"), [(locally, 0.06), (from_sftp, 0.3)], ids=["local", "sftp"]
)
def test_an_owner_that_is_killed_where_files_are_claimed_by_record_loses_and_repeats_no_file(
    tmp_path: Path, way: Callable[[Path], AbstractContextManager[Open]], longest_s: float
) -> None:
    with way(tmp_path) as opening:
        kill_at_random(tmp_path, opening, kills=20, longest_s=longest_s, claim=Claiming.RECORD)


@pytest.mark.long
@WAYS
def test_an_owner_that_is_killed_leaves_large_files_to_go_on_with(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[[Path], AbstractContextManager[Open]],
    longest_s: float,
) -> None:
    monkeypatch.setattr(resume, "SAVE_S", 0.0)
    with way(tmp_path) as opening:
        there = kill_at_random(
            tmp_path,
            opening,
            kills=30,
            longest_s=2 * longest_s,
            sizes=LARGE_SIZES,
            files_a_kill=1,
        )
        there.put("last.dat", os.urandom(2 * max(LARGE_SIZES)))
        for epoch in range(100, 200):  # until one was killed when some of it had arrived for sure
            process = get_context("fork").Process(target=own, args=(there, opening, epoch))
            process.start()
            while process.is_alive() and there.left_at_source() and not has_arrived(there):
                Event().wait(0.001)
            process.kill()
            process.join()
            if has_arrived(there):
                break
            there.put("last.dat", os.urandom(2 * max(LARGE_SIZES)))
            (there.target / "last.dat").unlink(missing_ok=True)
        there.open = lambda location, make=False: opening(location)  # type: ignore[method-assign] # noqa: ARG005
        there.run(200)
    told = there.happened(EventName.DELIVERY_SUCCEEDED)
    assert "resumed_from_bytes" in told[-1]


def has_arrived(there: Site) -> bool:
    """Tell whether it is written down that some of a file has arrived."""
    with suppress(FileNotFoundError):  # who takes over removes folders and files meanwhile
        for path in there.state.glob("intents/*/[!.]*.partial"):
            if parse_partial(path.read_bytes()).digests:
                return True
    return False


@pytest.mark.soak
@WAYS
def test_a_thousand_kills_of_the_owner_lose_and_repeat_no_file(
    tmp_path: Path, way: Callable[[Path], AbstractContextManager[Open]], longest_s: float
) -> None:
    with way(tmp_path) as opening:
        kill_at_random(tmp_path, opening, kills=1000, longest_s=longest_s)
