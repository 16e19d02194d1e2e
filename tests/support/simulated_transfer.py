"""One transfer, its owners, storage and partner, as `simulation` has them; and what must hold of them."""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from clocks import SetClock
from outbound_site import SOURCE, TARGET, Owner, Site, site
from quick_folder import quick_folder
from simulation import Effect, Member, Plan, Stage, current, seam

from mftgit.adapters.endpoint.contract import Endpoint, EndpointLostError, FileEntry, Traits
from mftgit.adapters.endpoint.one_by_one import OneByOne
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.member.outbound.copying import copy, proving, resume
from mftgit.member.outbound.given.context import Memory, RunContext
from mftgit.member.outbound.places import ahead, digests
from mftgit.member.outbound.records import claims, intents
from mftgit.member.outbound.runs.run import run_once
from mftgit.member.outbound.taking import batches
from mftgit.model.configuration.config import AfterSuccess, Overwrite
from mftgit.model.locations.location import Location, SftpLocation
from mftgit.model.locations.login import KeyAuth
from mftgit.model.names import Epoch, LocationName
from mftgit.model.transfers import partial
from mftgit.model.transfers.run import RunState

T = TypeVar("T")

SMALL, LARGE = 12, 90
"""Sizes of files, in bytes; what product code takes for large begins between them, see `small_world`."""

MOST_RUNS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is simulated. ``eager``: the partner takes files away at once. ``blind``: no owner looks at its deadline.

    ``zombies_first``: once all is well again, who was frozen goes on before the last owner begins, and else after.
    """

    after: AfterSuccess = AfterSuccess.DELETE
    overwrite: Overwrite = Overwrite.OVERWRITE
    far_source: bool = False
    far_target: bool = False
    eager: bool = True
    blind: bool = True
    on_schedule: bool = False
    zombies_first: bool = False


class Blind(Owner):
    """An owner that never looks at its deadline, and never hears that it lost."""

    def valid(self) -> bool:
        return True


class Far(OneByOne):
    """A server that has the files below ``root``: each request is one step, and it may be lost, or late."""

    resumes = True

    def __init__(self, root: Path) -> None:
        self._root = root
        self._real = LocalEndpoint(root)
        self._is_lost = False

    def _ask(self, what: str, path: str, request: Callable[[], T], *, to: str | None = None) -> T:
        member = current()
        assert member is not None
        if self._is_lost:
            raise EndpointLostError("the connection is lost")
        place = self._root.name
        effect = Effect(what=what, path=f"{place}/{path}", to=f"{place}/{to}" if to else None)
        try:
            return member.call(effect, request, far=True)  # type: ignore[no-any-return]
        except OSError as error:
            self._is_lost = True
            raise EndpointLostError(str(error)) from error

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        def listed() -> list[FileEntry]:
            return list(self._real.list_files(folder, recursive=recursive, depth=depth))

        return iter(self._ask("list", folder, listed))

    def list_names(self, folder: str) -> list[str]:
        return self._ask("list", folder, lambda: self._real.list_names(folder))

    def stat(self, path: str) -> FileEntry:
        return self._ask("stat", path, lambda: self._real.stat(path))

    def open_read(self, path: str, offset: int = 0) -> Any:
        return self._ask("read", path, lambda: self._real.open_read(path, offset))

    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,
    ) -> int:
        """Write; here the steps are those of the server, which ends with the connection."""
        if self._is_lost:
            raise EndpointLostError("the connection is lost")
        try:
            return self._real.write(path, chunks, on_chunk=on_chunk, resume_at=resume_at)
        except EndpointLostError:
            self._is_lost = True
            raise

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        self._ask("rename", old, lambda: self._real.rename(old, new, replace=replace), to=new)

    def remove(self, path: str) -> None:
        self._ask("remove", path, lambda: self._real.remove(path))

    def set_traits(self, path: str, traits: Traits) -> None:
        self._ask("write", path, lambda: self._real.set_all([(path, traits)]))

    def make_folder(self, path: str) -> None:
        self._ask("mkdir", path, lambda: self._real.make_folder(path))

    def remove_folder(self, path: str) -> bool:
        return self._ask("rmdir", path, lambda: self._real.remove_folder(path))

    def close(self) -> None:
        """Nothing is held between calls."""


class Partner:
    """Sees what becomes visible, as often as it does; takes it away at once, or when it is told to."""

    def __init__(self, folder: Path, *, eager: bool) -> None:
        self.got: Counter[bytes] = Counter()
        self._folder = folder
        self._eager = eager
        self._known: set[tuple[str, int]] = set()

    def look(self) -> list[bytes]:
        """Return the contents of what was not there before."""
        there = set()
        fresh = []
        for path in sorted(self._folder.iterdir()):
            if path.name.startswith("."):
                continue
            mark = path.name, path.stat().st_ino
            if mark not in self._known:
                fresh.append(path.read_bytes())
            there.add(mark)
            if self._eager:
                path.unlink()
        self._known = set() if self._eager else there
        self.got.update(fresh)
        return fresh

    def take(self) -> None:
        """Take away what is there."""
        for path in self._folder.iterdir():
            if not path.name.startswith("."):
                path.unlink()
        self._known = set()


@dataclass
class World:
    """Members by their names, over one transfer of this ``shape``."""

    root: Path
    shape: Shape
    watches_fence: bool = True
    produced: dict[bytes, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.shape
        for folder in ("source", "target"):
            (self.root / folder).mkdir()
        self.site = _site(self.root, shape)
        self.partner = Partner(self.site.target, eager=shape.eager)
        self.stage = Stage(self.root)
        self.stage.watchers += [self._see_partner, self._see_fence, self._see_leftover]
        self.stage.repeats = self._may_repeat
        self.stage.tell(str(shape))
        self._clock = SetClock()
        self._nonces = itertools.count(1)
        self._epoch = 0
        self._excused: set[str] = set()
        self._members: dict[str, Member] = {}
        self._owners: dict[str, Owner] = {}
        self._count = 0

    # What the schedule does

    def produce(self, name: str, size: int) -> None:
        """Put a file into the source, unless one of that name waits there."""
        if (self.site.source / name).exists() or (
            self.shape.after is AfterSuccess.KEEP and name in self.produced.values()
        ):
            return
        self._count += 1
        content = f"{name}#{self._count};".encode().ljust(size, b".")
        self.site.put(
            name, content, mtime_ns=1_000_000_000 if self._is_moved else self._count * 10**9
        )
        self.produced[content] = name
        self.stage.tell(f"{name} is produced: {len(content)} bytes, number {self._count}")

    @property
    def _is_moved(self) -> bool:
        return self.shape.after is not AfterSuccess.KEEP

    def go(self, name: str, plan: Plan | None = None) -> None:
        """Let a member go on, as the next owner where it owns nothing; a new process where it has crashed."""
        if name not in self._members or self._members[name].is_over:
            self._members[name] = self.stage.member(name, self._live)
            self._owners.pop(name, None)
        if name not in self._owners and not self._is_under_way(name):
            self._succeed(name)
        self._members[name].go(plan)

    def _is_under_way(self, name: str) -> bool:
        member = self._members[name]
        return not member.is_idle and not member.is_over

    def _succeed(self, name: str) -> None:
        self._epoch += 1
        for other, owner in list(self._owners.items()):
            owner.lose()
            if not self.shape.blind:
                del self._owners[other]
        self._owners[name] = (Blind if self.shape.blind else Owner)(self._epoch)
        self._members[name].epoch = self._epoch
        self.stage.tell(f"{name} becomes the owner, epoch {self._epoch}")

    # What a member does

    def _live(self, me: Member) -> None:
        memory = self.site.memory()
        memory.chance = lambda: 0.5
        while True:
            owner = self._owners[me.name]
            self._clock.pass_s(10_000)
            outcome = run_once(self.site.transfer, self._context(me, owner, memory))
            self.stage.tell(f"{me} has run: {outcome.outcome.value} {'; '.join(outcome.errors)}")
            if outcome.outcome is RunState.ENDED and self._owners.get(me.name) is owner:
                del self._owners[me.name]
            me.park()

    def _context(self, me: Member, owner: Owner, memory: Memory) -> RunContext:
        made = self.site.context(owner, memory, member=me.name)
        return replace(
            made,
            generation=replace(made.generation, locations=self._locations(made)),
            clock=self._clock,
            open_endpoint=self._open,
            record=lambda *_: None,
            nonce=lambda: str(next(self._nonces)),
        )

    def _locations(self, made: RunContext) -> dict[LocationName, Location]:
        far = {SOURCE: self.shape.far_source, TARGET: self.shape.far_target}
        return {
            name: _far_location(name) if far[name] else location
            for name, location in made.generation.locations.items()
        }

    def _open(self, location: Location, _make: bool) -> Endpoint:  # noqa: FBT001
        root = self.root / self.site.paths[location.name]
        return Far(root) if isinstance(location, SftpLocation) else LocalEndpoint(root)

    def _may_repeat(self, effect: Effect) -> bool:
        """Tell whether storage may carry it out and say that there is no such file.

        Of a file that was made visible so, and that the partner has taken away before it is looked for, nothing is left
        to tell: such a storage does repeat files (docs/adr/0005).
        """
        return not (effect.what == "rename" and _is_visible(effect))

    # What must hold

    def _see_partner(self, who: Member, effect: Effect) -> None:
        if effect.what != "rename" or not _is_visible(effect):
            return
        for content in self.partner.look():
            self.stage.tell(f"    visible: {content!r}")
            if content not in self.produced:
                self.stage.wrong(f"torn: {who} made {content!r} visible")
            elif self.partner.got[content] > 1:
                self.stage.wrong(f"duplicate: {who} made {content!r} visible again")

    def _see_fence(self, who: Member, effect: Effect) -> None:
        """See that no lower epoch puts anything where a higher one's fence stands (I3)."""
        if effect.what not in {"rename", "create"}:
            return
        area = next((each for each in self.stage.fenced if f"/{each}/" in effect.target), None)
        if self.watches_fence and area is not None and who.epoch < self.stage.fenced[area]:
            self.stage.wrong(
                f"late: {who} did {effect}, and epoch {self.stage.fenced[area]} has fenced {area}"
            )

    def _see_leftover(self, who: Member, effect: Effect) -> None:
        """Excuse hidden files that an owner makes at the partner after its successor has cleared up (docs/adr/0005)."""
        is_made = effect.what in {"create", "rename"} and effect.target.startswith("target/.")
        if is_made and who.epoch < self.stage.fenced["intents"]:
            self._excused.add(effect.target)

    def heal(self, *, check: bool = True) -> None:
        """Let nothing go wrong any more; see that each file has arrived once by then, and nothing is left over."""
        self.stage.tell("all is well from here on")
        if self.shape.zombies_first:
            self._wake()
        self._own_until_quiet("last")
        self._wake()
        self._own_until_quiet("last")
        self._own_until_quiet("another")  # a restart changes nothing
        for name in list(self._members):  # what slept as an owner finds that it is none
            self.go(name)
        if check:
            self._check()

    def _wake(self) -> None:
        self.stage.arrive()
        for name in list(self._members):
            if self._is_under_way(name):
                self._members[name].go()

    def _own_until_quiet(self, name: str) -> None:
        self._members[name] = self.stage.member(name, self._live)
        self._owners.pop(name, None)
        for _ in range(MOST_RUNS):
            self.go(name)
            self.partner.take()
            if not self._left_to_do():
                break

    def _left_to_do(self) -> list[str]:
        left = [str(path.relative_to(self.root)) for path in self.site.records()]
        left += [
            str(path.relative_to(self.root))
            for path in self.site.source.glob(".mftgit/*/claims/*/*")
        ]
        names = {path.name for path in self.site.source.iterdir() if path.is_file()}
        if self.shape.after is AfterSuccess.KEEP:
            names = {
                name for content, name in self.produced.items() if not self.partner.got[content]
            }
        return left + sorted(names)

    def _check(self) -> None:
        for content, name in self.produced.items():
            if self.partner.got[content] != 1:
                self.stage.wrong(
                    f"lost: {name} has arrived {self.partner.got[content]} times: {content!r}"
                )
        hidden = {f"target/{name}" for name in os.listdir(self.site.target)}  # noqa: PTH208
        if left := [*self._left_to_do(), *sorted(hidden - self._excused)]:
            self.stage.wrong(f"left over: {left}")
        if self.site.delivered() != len(self.produced):
            self.stage.wrong(
                f"the ledger has {self.site.delivered()} of {len(self.produced)} deliveries"
            )
        if self.shape.after is AfterSuccess.ARCHIVE:
            kept = Counter(path.read_bytes() for path in (self.site.source / "old").glob("*"))
            if kept != Counter(self.produced.keys()):
                self.stage.wrong(f"the archive has {kept}")
        self.stage.check()


def _is_visible(effect: Effect) -> bool:
    return effect.target.startswith("target/") and not effect.target.startswith("target/.")


def _site(root: Path, shape: Shape) -> Site:
    return site(root, after=shape.after, overwrite=shape.overwrite, watch=not shape.on_schedule)


def _far_location(name: LocationName) -> SftpLocation:
    return SftpLocation(
        name=name,
        host="sftp.example",
        username="mft",
        path=".",
        host_keys=("SHA256:0",),
        auth=(KeyAuth(file="key"),),
    )


@contextmanager
def world(shape: Shape, *, watches_fence: bool = True) -> Iterator[World]:
    """Make a world on storage that is quick, and end it."""
    with quick_folder() as folder:
        made = World(folder, shape, watches_fence)
        try:
            yield made
        finally:
            made.stage.end()


@contextmanager
def small_world() -> Iterator[None]:
    """Let product code take tiny files for large, and pass each call of a member through the seam."""
    with pytest.MonkeyPatch.context() as patch, seam():
        for module in (digests, batches, copy):
            patch.setattr(module, "SMALL_BYTES", 32)
        for module in (ahead, proving):
            patch.setattr(module, "CHUNK_BYTES", 20)
        for module in (partial, resume):
            patch.setattr(module, "segment_bytes", lambda _size: 20)
        patch.setattr(partial, "UNSURE_BYTES", 20)
        patch.setattr(resume, "LEAST_BYTES", 32)
        for module in (resume, proving):
            patch.setattr(module, "SAVE_S", 0.0)
        for module in (intents, claims):
            patch.setattr(module, "take_over", _noted(module.take_over))
        yield


def _noted(real: Callable[[Endpoint, str, Epoch], None]) -> Callable[[Endpoint, str, Epoch], None]:
    def take_over(endpoint: Endpoint, base: str, epoch: Epoch) -> None:
        real(endpoint, base, epoch)
        if (member := current()) is not None:
            fenced = member.stage.fenced
            area = base.rpartition("/")[2]
            fenced[area] = max(fenced[area], epoch)

    return take_over
