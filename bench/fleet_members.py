"""Many members in one process, each with a key and a store of its own: ``python bench/fleet_members.py < PLAN``.

All is the members' own code but the threads: these would be thousands here, so a few do what each member's do. With
``whole`` a member does all that a real one does; without, what the controller sees of it: it waits, asks for the head,
fetches, and reports, each over its own connections with its own key, and takes every revision for a good one, because
the work of a thousand machines has no room on the one that the controller is measured on. The plan is ``whole`` and the
state folders. Says ``ready`` when all have started; at each line with a revision it answers, as JSON, with the wall
clock times at which each had swapped to it, or had the whole pack, as soon as all have; it ends with its input.
"""

import hashlib
import json
import os
import random
import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from dulwich.object_store import BaseObjectStore, OverlayObjectStore
from dulwich.objects import ObjectID

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.git.fetch import Request, download
from mftgit.adapters.git.store import FETCHED, GitStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.rules import make_validator
from mftgit.errors import MftgitError
from mftgit.member.app import DEFAULT_POLL_S
from mftgit.member.handlers.handlers import Handlers
from mftgit.member.inbound.service import Inbound
from mftgit.member.intake import Intake, Parts
from mftgit.member.outbound.service import Outbound
from mftgit.member.report import Reporter, back_off_s
from mftgit.member.told import Told
from mftgit.member.upstream import RemoteUpstream, clone_url
from mftgit.model.events.event import EventName
from mftgit.model.members.messages import Head, MemberState, MemberStatus
from mftgit.model.names import MAIN, Revision

_LOOKERS, _REPORTERS = 4, 2
_STEP_S = 0.05
_SWITCH_S = 0.05  # with Python's own, waiting threads keep each other from working
_STACK_BYTES = 512 << 10

Wake = Callable[[], None]

_clock = SystemClock()
_pause = threading.Event()


def _forget(facts: object, *, flush: bool) -> None:
    """Write nothing down."""


class Work(Protocol):
    """What a member does about the published revision; see `mftgit.member.intake.Intake`."""

    @property
    def runs(self) -> Revision | None:
        """Return the revision that runs."""

    @property
    def due_in_s(self) -> float | None:
        """Return when a look is due before the next poll."""

    def resume(self) -> None:
        """Begin."""

    def look(self) -> None:
        """Look once; raises MftgitError."""

    def status(self) -> MemberStatus:
        """Return what is reported."""


class Whole:
    """All that a member does."""

    def __init__(
        self, folder: StateFolder, upstream: RemoteUpstream, tell: Told, wake: Wake
    ) -> None:
        """Nothing runs yet."""
        self._bootstrap = bootstrap = folder.read_bootstrap()
        self._outbound = Outbound(
            folder=folder,
            bootstrap=bootstrap,
            record=tell,
            is_ancestor=upstream.store.is_ancestor,
        )
        self._inbound = Inbound(folder=folder, bootstrap=bootstrap, write=_forget)
        parts = Parts(
            folder=folder,
            bootstrap=bootstrap,
            upstream=upstream,
            store=upstream.store,
            validator=make_validator(),
        )
        log = EventStore(folder.events, member=bootstrap.name, now=SystemClock().now)
        handlers = Handlers(folder=folder, bootstrap=bootstrap, log=log, told=tell)
        self._intake = Intake(parts, self._outbound, self._inbound, handlers, told=tell, wake=wake)
        self.look = self._intake.look

    @property
    def runs(self) -> Revision | None:
        """See `Work`."""
        return self._intake.runs

    @property
    def due_in_s(self) -> float | None:
        """See `Work`."""
        return self._intake.due_in_s

    def resume(self) -> None:
        """See `Work`."""
        self._outbound.start()
        self._intake.resume()

    def status(self) -> MemberStatus:
        """See `Work`."""
        record = self._intake.record
        return MemberStatus(
            name=self._bootstrap.name,
            role=self._bootstrap.role,
            state=self._intake.state(),
            active_revision=self._intake.runs or record.active,
            attempted_revision=record.attempted,
            reason=self._intake.reason(),
            lkg_revision=record.lkg,
            transfers=self._outbound.status(),
        )


class Shown:
    """What the controller sees of a member."""

    _first = threading.Lock()
    due_in_s = None

    def __init__(
        self, folder: StateFolder, upstream: RemoteUpstream, tell: Told, shared: GitStore
    ) -> None:
        """Nothing is asked yet. ``shared`` says, in each fetch, what a member has already."""
        self._folder, self._bootstrap = folder, folder.read_bootstrap()
        self._upstream, self._tell, self._shared = upstream, tell, shared
        self._head: Head | None = None
        self.runs: Revision | None = None

    def resume(self) -> None:
        """See `Work`."""

    def look(self) -> None:
        """See `Work`."""
        self._head = head = self._upstream.head(self._head) or self._head
        if head is None or head.oid == self.runs:
            return
        self._fetch(head.oid)
        self.runs = head.oid
        for event in (
            EventName.REVISION_FETCHED,
            EventName.REVISION_VERIFIED,
            EventName.REVISION_ACTIVATED,
        ):
            self._tell(event, revision=head.oid, facts={"head_seq": head.seq})

    def _fetch(self, tip: Revision) -> None:
        channel = self._upstream._channel  # noqa: SLF001  by the member's own line
        headers = self._upstream._prover.headers  # noqa: SLF001
        url, ca_file = clone_url(channel.url), self._folder.ca_file
        with self._first:
            if self._shared.head(FETCHED) != tip:
                self._shared.fetch(
                    url, ca_file=ca_file, headers=headers, tip=tip, connections=channel.connections
                )
                return
        request = Request(
            url=url,
            ca_file=ca_file,
            headers=headers,
            ref=MAIN,
            max_bytes=1 << 20,
            timeout_s=300,
            tip=ObjectID(tip.encode()),
            connections=channel.connections,
        )
        known = [] if self.runs is None else [ObjectID(self.runs.encode())]
        with (
            self._shared.repo() as repo,
            download(request, Lacking(repo.object_store), known) as found,
        ):
            pack = b"" if found.pack is None else found.pack.read()
        if hashlib.sha1(pack[:-20], usedforsecurity=False).digest() != pack[-20:]:
            raise MftgitError(f"no whole pack: {len(pack)} bytes")

    def status(self) -> MemberStatus:
        """See `Work`."""
        return MemberStatus(
            name=self._bootstrap.name,
            role=self._bootstrap.role,
            state=MemberState.ACTIVE if self.runs else MemberState.STARTING,
            active_revision=self.runs,
            attempted_revision=self.runs,
            reason=None,
            lkg_revision=self.runs,
        )


class Lacking(OverlayObjectStore):
    """A store that says of everything that it is not there, and gives it when asked."""

    def __init__(self, store: BaseObjectStore) -> None:
        """Give what ``store`` has."""
        super().__init__([store])

    def __contains__(self, _oid: object) -> bool:
        """Say no."""
        return False


class Simulated:
    """One member, but for its threads; see `mftgit.member.app.Member` for what they do."""

    def __init__(
        self,
        folder: StateFolder,
        lookers: ThreadPoolExecutor,
        reporters: ThreadPoolExecutor,
        *,
        shared: GitStore | None,
    ) -> None:
        """Nothing runs yet; one with a ``shared`` store is only what is shown."""
        self._bootstrap = bootstrap = folder.read_bootstrap()
        self._lookers, self._reporters = lookers, reporters
        self._looking, self._queued, self._reporting = threading.Lock(), False, False
        self._failures = 0
        self.due_at = 0.0
        self.runs: dict[Revision, float] = {}
        self._upstream = upstream = RemoteUpstream(folder, bootstrap, now=_clock.now)
        self._events = EventStore(folder.events, member=bootstrap.name, now=_clock.now)
        self._work: Work = (
            Whole(folder, upstream, self._tell, self.wake)
            if shared is None
            else Shown(folder, upstream, self._tell, shared)
        )
        self._reporter = Reporter(upstream, self._events, status=self._work.status)

    def start(self) -> None:
        """Listen, which makes the first look due."""
        self._work.resume()
        threading.Thread(target=self._listen, daemon=True).start()

    def wake(self) -> None:
        """Look as soon as there is a thread for it."""
        if not self._queued:
            self._queued = True
            self._lookers.submit(self._look)

    def _look(self) -> None:
        with self._looking:
            self._queued = False
            self.due_at = _clock.boottime() + self._wait_s()
            runs = self._work.runs
            if runs is not None:
                self.runs.setdefault(runs, _clock.now().timestamp())
        self._report_soon()

    def _wait_s(self) -> float:
        try:
            self._work.look()
        except MftgitError as error:
            self._failures += 1
            print(f"{self._bootstrap.name}: {error}", file=sys.stderr)
            return back_off_s(self._failures)
        self._failures = 0
        due_in_s = self._work.due_in_s
        return DEFAULT_POLL_S * random.uniform(1.0, 1.2) if due_in_s is None else due_in_s

    def _listen(self) -> None:
        while True:
            try:
                for _hint in self._upstream.wait():
                    self.wake()
            except MftgitError as error:
                print(f"{self._bootstrap.name}: {error}", file=sys.stderr)
            _pause.wait(back_off_s(1))

    def _tell(self, event: EventName, **rest: Any) -> None:
        if "each" in rest:
            self._events.append_each(event, rest.pop("each"), **rest)
        else:
            self._events.append(event, **rest)
        self._report_soon()

    def _report_soon(self) -> None:
        if not self._reporting:
            self._reporting = True
            self._reporters.submit(self._report)

    def _report(self) -> None:
        self._reporting = False
        try:
            self._reporter._send()  # noqa: SLF001  what its thread does
        except MftgitError as error:
            print(f"{self._bootstrap.name}: {error}", file=sys.stderr)


def main() -> None:
    """Do what the plan on standard input says."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    threading.stack_size(_STACK_BYTES)
    sys.setswitchinterval(_SWITCH_S)
    lookers, reporters = ThreadPoolExecutor(_LOOKERS), ThreadPoolExecutor(_REPORTERS)
    whole, *paths = json.loads(sys.stdin.readline())
    folders = [StateFolder(Path(each)) for each in paths]
    shared = None if whole else GitStore.create(folders[0].root / "shared.git")
    members = [Simulated(folder, lookers, reporters, shared=shared) for folder in folders]
    for member in members:
        member.start()
    threading.Thread(target=_poll, args=(members,), daemon=True).start()
    print("ready", flush=True)
    while revision := sys.stdin.readline().strip():
        until(lambda revision=revision: all(revision in each.runs for each in members))  # type: ignore[misc]
        print(json.dumps([each.runs[Revision(revision)] for each in members]), flush=True)
    os._exit(0)  # as if the machines went


def until(reached: Callable[[], bool]) -> None:
    """Wait for it."""
    while not reached():
        _pause.wait(_STEP_S)


def _poll(members: list[Simulated]) -> None:
    while True:
        now = _clock.boottime()
        for member in members:
            if 0 < member.due_at <= now:
                member.due_at = 0.0
                member.wake()
        _pause.wait(_STEP_S)


if __name__ == "__main__":
    main()
