"""One transfer between two folders, run by owners that crash and wake: what `test_outbound` and others go by."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from owned import term

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.endpoint.contract import (
    Content,
    Digest,
    Endpoint,
    FileEntry,
    Traits,
)
from mftgit.adapters.endpoint.one_by_one import each
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import Memory, RunContext
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.member.outbound.places.digests import SMALL_BYTES
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.member.outbound.runs.run import run_once
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.configuration.config import (
    AfterSuccess,
    Cluster,
    Destination,
    Generation,
    Member,
    Overwrite,
    Role,
    Source,
    Transfer,
)
from mftgit.model.events.event import EventName, Fact
from mftgit.model.locations.location import LocalLocation, Location
from mftgit.model.names import Epoch, LocationName, MemberName, TransferName
from mftgit.model.transfers.triggers import IntervalTrigger, WatchTrigger

SOURCE, TARGET = LocationName("here"), LocationName("there")
CLOCK = SystemClock()
LARGE = bytes(SMALL_BYTES + 1)  # is sent alone, piece by piece


class Crash(BaseException):
    """The process is gone at this point: nothing after it happens."""


class Owner(Ownership):
    """An owner whose deadline never comes, and that does something just before its ``at``-th effect."""

    def __init__(self, epoch: int, *, at: int = 0, then: Callable[[], None] = lambda: None) -> None:
        super().__init__(Epoch(epoch), term(CLOCK))
        self.effects = 0
        self._at = at
        self._then = then

    def check(self) -> None:
        super().check()
        self.effects += 1
        if self.effects == self._at:
            self._then()


class Consumer:
    """A partner that takes every file away the moment it is visible, and remembers how often it came."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.got: Counter[tuple[str, bytes]] = Counter()

    def take(self) -> None:
        for path in sorted(self._folder.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                self.got[path.name, path.read_bytes()] += 1
                path.unlink()


class Watched:
    """A real endpoint. The consumer looks after every rename; ``after`` may fail a call that has been carried out."""

    def __init__(self, root: Path, consumer: Consumer | None, after: Callable[[str], None]) -> None:
        self.root = root
        self._real = LocalEndpoint(root)
        self._consumer = consumer
        self._after = after
        self.closed = False

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        return self._real.list_files(folder, recursive=recursive, depth=depth)

    def list_names(self, folder: str) -> list[str]:
        return self._real.list_names(folder)

    def stat(self, path: str) -> FileEntry:
        return self._real.stat(path)

    @property
    def resumes(self) -> bool:
        return self._real.resumes

    def open_read(self, path: str, offset: int = 0) -> AbstractContextManager[BinaryIO]:
        return self._real.open_read(path, offset)

    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,
    ) -> int:
        size = self._real.write(path, chunks, on_chunk=on_chunk, resume_at=resume_at)
        self._after("write")
        return size

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        self._real.rename(old, new, replace=replace)
        if self._consumer is not None:
            self._consumer.take()
        self._after("rename")

    def remove(self, path: str) -> None:
        self._real.remove(path)
        self._after("remove")

    def make_folder(self, path: str) -> None:
        self._real.make_folder(path)
        self._after("make_folder")

    def remove_folder(self, path: str) -> bool:
        removed = self._real.remove_folder(path)
        self._after("remove_folder")
        return removed

    def stat_all(self, paths: Iterable[str]) -> list[FileEntry | MftgitError]:
        return self._real.stat_all(paths)

    def read_all(self, paths: Iterable[str], *, most_bytes: int) -> list[Content | MftgitError]:
        """Read, and then look at each file again, as if the last look of reading came that late."""
        asked = list(paths)
        found = self._real.read_all(asked, most_bytes=most_bytes)
        self._after("read")
        return [
            replace(content, after=self._real.stat(path))
            if isinstance(content, Content)
            else content
            for path, content in zip(asked, found, strict=True)
        ]

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        return self._real.digest_all(paths)

    def write_all(self, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
        return each(
            lambda file: self.write(file[0], iter([file[1]]), on_chunk=lambda _: None), files
        )

    def rename_all(
        self, moves: Iterable[tuple[str, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        return each(lambda move: self.rename(*move, replace=replace), moves)

    def set_all(self, changes: Iterable[tuple[str, Traits]]) -> list[MftgitError | None]:
        ended = self._real.set_all(changes)
        self._after("set")
        return ended

    def remove_all(self, paths: Iterable[str]) -> list[MftgitError | None]:
        return each(self.remove, paths)

    def close(self) -> None:
        self._real.close()
        self.closed = True


@dataclass
class Site:
    """Source, destination and shared storage, a transfer between them, and what was recorded."""

    root: Path
    transfer: Transfer
    consumer: Consumer | None = None
    after: Callable[[str], None] = lambda _: None
    events: list[tuple[EventName, dict[str, Fact]]] = field(default_factory=list)
    opened: list[Watched] = field(default_factory=list)
    partner: Watched | None = None
    """What the destination is instead of a folder of its own."""
    broken: dict[LocationName, Exception] = field(default_factory=dict)
    paths: dict[LocationName, str] = field(
        default_factory=lambda: {SOURCE: "source", TARGET: "target"}
    )
    elsewhere: dict[MemberName, dict[LocationName, Location]] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        return self.root / "source"

    @property
    def target(self) -> Path:
        return self.root / "target"

    @property
    def state(self) -> Path:
        return self.root / "state" / "t"

    def put(self, name: str, content: bytes, *, mtime_ns: int | None = None) -> None:
        fresh = self.root / "fresh"
        fresh.write_bytes(content)
        if mtime_ns is not None:
            os.utime(fresh, ns=(mtime_ns, mtime_ns))
        (self.source / name).parent.mkdir(parents=True, exist_ok=True)
        fresh.rename(self.source / name)

    def open(self, location: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
        if location.name in self.broken:
            raise self.broken[location.name]
        if self.partner is not None and location.name == TARGET:
            return self.partner
        folder = self.root / location.path
        if make:
            folder.mkdir(exist_ok=True)
        consumer = self.consumer if location.name == TARGET else None
        self.opened.append(Watched(folder, consumer, self.after))
        return self.opened[-1]

    def generation(self, member: MemberName) -> Generation:
        return Generation(
            cluster=Cluster(name="c"),
            member=Member(name=member, role=Role.NODE),
            locations={
                name: LocalLocation(name=name, path=path) for name, path in self.paths.items()
            },
            transfers={self.transfer.name: self.transfer},
            elsewhere=self.elsewhere,
            declared=frozenset({self.transfer.name}),
        )

    def context(
        self, ownership: Ownership | int, memory: Memory | None = None, *, member: str = "m1"
    ) -> RunContext:
        if isinstance(ownership, int):
            ownership = Owner(ownership)
        return RunContext(
            ownership=ownership,
            member=MemberName(member),
            revision=None,
            generation=self.generation(MemberName(member)),
            state=self.state,
            clock=CLOCK,
            open_endpoint=self.open,
            record=lambda event, *facts: self.events.extend((event, dict(one)) for one in facts),
            memory=memory or self.memory(),
        )

    def memory(self) -> Memory:
        return Memory(ledger=Ledger(self.state))

    def run(self, ownership: Ownership | int, memory: Memory | None = None) -> RunOutcome:
        return run_once(self.transfer, self.context(ownership, memory))

    def delivered(self) -> int:
        ledger = Ledger(self.state)
        ledger.refresh()
        return ledger.delivered

    def happened(self, event: EventName) -> list[dict[str, Fact]]:
        return [facts for name, facts in self.events if name is event]

    def left_at_target(self) -> list[str]:
        return sorted(path.name for path in self.target.rglob("*") if path.is_file())

    def left_at_source(self) -> list[str]:
        walked = os.walk(self.source)  # passes over a folder that an owner is just removing
        return sorted(name for _, _, names in walked for name in names)

    def records(self) -> list[Path]:
        return list(self.state.glob("intents/*/*"))


def site(
    root: Path,
    *,
    after: AfterSuccess = AfterSuccess.DELETE,
    overwrite: Overwrite = Overwrite.FAIL,
    recursive: bool = False,
    include: tuple[str, ...] = ("*",),
    stable_s: float = 0.0,
    watch: bool = True,
) -> Site:
    transfer = Transfer(
        name=TransferName("t"),
        source=Source(location=SOURCE, recursive=recursive, include=include, stable_s=stable_s),
        destination=Destination(location=TARGET, overwrite=overwrite),
        trigger=WatchTrigger() if watch else IntervalTrigger(every_s=3600),
        after_success=after,
        archive_path="old" if after is AfterSuccess.ARCHIVE else None,
    )
    return Site(root=root, transfer=transfer)


def consumed(root: Path, **options: AfterSuccess | Overwrite) -> Site:
    """Return a site whose partner takes deliveries away at once."""
    made = site(root, **options)  # type: ignore[arg-type]
    made.consumer = Consumer(made.target)
    return made
