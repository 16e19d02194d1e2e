"""Many members in one process, each with a key and a store of its own: ``python bench/fleet_members.py < PLAN``.

All is the members' own code but the threads: these would be thousands here, so a few do what each member's do. The plan
is a list of state folders. Says ``ready`` when all have started; at each line with a revision it answers, as JSON, with
the wall clock times at which each had swapped to it, as soon as all have; it ends with its input.
"""

import json
import os
import random
import resource
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.event_store import EventStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.rules import make_validator
from mftgit.errors import MftgitError
from mftgit.member.app import DEFAULT_POLL_S
from mftgit.member.intake import Intake, Parts
from mftgit.member.outbound.service import Outbound
from mftgit.member.report import Reporter, back_off_s
from mftgit.member.upstream import RemoteUpstream
from mftgit.model.events import EventName
from mftgit.model.messages import MemberStatus
from mftgit.model.names import Revision

_LOOKERS, _REPORTERS = 4, 2
_STEP_S = 0.05
_SWITCH_S = 0.05  # with Python's own, waiting threads keep each other from working
_STACK_BYTES = 512 << 10

_clock = SystemClock()
_pause = threading.Event()


class Simulated:
    """One member, but for its threads; see `mftgit.member.app.Member` for what they do."""

    def __init__(
        self, folder: StateFolder, lookers: ThreadPoolExecutor, reporters: ThreadPoolExecutor
    ) -> None:
        """Nothing runs yet."""
        self._bootstrap = bootstrap = folder.read_bootstrap()
        self._lookers, self._reporters = lookers, reporters
        self._looking, self._queued, self._reporting = threading.Lock(), False, False
        self._failures = 0
        self.due_at = 0.0
        self.runs: dict[Revision, float] = {}
        self._upstream = upstream = RemoteUpstream(folder, bootstrap, now=_clock.now)
        parts = Parts(
            folder=folder,
            bootstrap=bootstrap,
            upstream=upstream,
            store=upstream.store,
            validator=make_validator(),
        )
        self._events = EventStore(folder.events, member=bootstrap.name, now=_clock.now)
        self._outbound = Outbound(
            folder=folder,
            bootstrap=bootstrap,
            record=self._tell,
            is_ancestor=upstream.store.is_ancestor,
        )
        self._intake = Intake(parts, self._outbound, told=self._tell, wake=self.wake)
        self._reporter = Reporter(upstream, self._events, status=self._status)

    def start(self) -> None:
        """Listen, which makes the first look due."""
        self._outbound.start()
        self._intake.resume()
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
            runs = self._intake.runs
            if runs is not None:
                self.runs.setdefault(runs, _clock.now().timestamp())
        self._report_soon()

    def _wait_s(self) -> float:
        try:
            self._intake.look()
        except MftgitError as error:
            self._failures += 1
            print(f"{self._bootstrap.name}: {error}", file=sys.stderr)
            return back_off_s(self._failures)
        self._failures = 0
        due_in_s = self._intake.due_in_s
        return DEFAULT_POLL_S * random.uniform(1.0, 1.2) if due_in_s is None else due_in_s

    def _listen(self) -> None:
        while True:
            try:
                for _ in self._upstream.wait():
                    self.wake()
            except MftgitError as error:
                print(f"{self._bootstrap.name}: {error}", file=sys.stderr)
            _pause.wait(back_off_s(1))

    def _tell(self, event: EventName, **rest: Any) -> None:
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

    def _status(self) -> MemberStatus:
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


def main() -> None:
    """Do what the plan on standard input says."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    threading.stack_size(_STACK_BYTES)
    sys.setswitchinterval(_SWITCH_S)
    lookers, reporters = ThreadPoolExecutor(_LOOKERS), ThreadPoolExecutor(_REPORTERS)
    folders = [StateFolder(Path(each)) for each in json.loads(sys.stdin.readline())]
    members = [Simulated(folder, lookers, reporters) for folder in folders]
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
