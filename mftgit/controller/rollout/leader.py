"""Lead each published revision through the members: one thread that sees what they report, and tells whose turn it is.

Where a roll-out stands is in the registry, so that the verbs beside a running controller change it there, and a
restart goes on with it.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.events.store import ROLLOUT, EventStore
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.registry.registry import Registry
from mftgit.controller.rollout.settings import ReadSettings, Settings
from mftgit.errors import MftgitError
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.members.messages import Head, MemberState, MemberStatus, RolloutState, Turn
from mftgit.model.names import MemberName, Revision
from mftgit.model.rollout import advance as rollout_advance
from mftgit.model.rollout import rollout
from mftgit.model.rollout import told as rollout_told
from mftgit.model.rollout.rollout import Outcome, Peer, Progress, Report
from mftgit.model.rules.validate import Validator

LOOK_EVERY_S = 1.0
"""What a verb beside the running controller says is noticed within this, and a soak ends so late at most."""

_STALLED_AFTER_S = 10.0  # as on a machine that was suspended
_GATHER_S = 0.2  # a herd of reports is one look
_BATCH = 1000
_MAX_REASON = 500
_OUTCOMES = {
    EventName.REVISION_ACTIVATED: Outcome.ACTIVATED,
    EventName.REVISION_REFUSED: Outcome.REFUSED,
    EventName.REVISION_ROLLED_BACK: Outcome.ROLLED_BACK,
    EventName.REVISION_RECALLED: Outcome.ROLLED_BACK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """By what the roll-out goes on."""

    now_s: float
    members: Sequence[MemberName]
    settings: Settings | None
    closed: str | None


class _OvertakenError(Exception):
    """An operator's word came between; what follows from it is to be seen anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What members are told, and by what; ``answers`` remembers it by member and by the head's number."""

    progress: Progress | None = None
    members: Sequence[MemberName] = ()
    turns: Mapping[MemberName, Turn] = field(default_factory=dict)
    answers: dict[tuple[MemberName, int], tuple[Head, str]] = field(default_factory=dict)

    def turn(self, member: MemberName, oid: Revision) -> Turn:
        """Return the turn of ``member`` for the revision ``oid``."""
        if self.progress is None or self.progress.oid != oid:
            return _not_yet(member)
        known = self.turns if member in self.turns else rollout_told.turns(self.progress, (member,))
        return known[member]


class Leader:
    """The one roll-out there is: that of the newest published revision."""

    def __init__(
        self,
        registry: Registry,
        events: EventStore,
        store: GitStore,
        validator: Validator,
        *,
        clock: Clock,
        wake: Callable[[Collection[MemberName]], None],
    ) -> None:
        """Keep it in ``registry``, take outcomes from ``events``, settings from ``store``; ``wake`` who comes due."""
        self._registry = registry
        self._events = events
        self._settings = ReadSettings(store, validator, clock=clock)
        self._clock = clock
        self._wake = wake
        self._began_s = self._moved_s = clock.boottime()
        self._heard: dict[MemberName, float] = {}
        self._cut_off: dict[MemberName, float] = {}
        self._stopped: set[MemberName] = set()
        self._runs: dict[MemberName, Revision | None] = {}
        self._told = _Told()
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollout", daemon=True)

    # What it is told

    def heard(self, member: MemberName) -> None:
        """Note a sign of life; callable from any thread, and cheap."""
        self._heard[member] = self._clock.boottime()
        self._cut_off.pop(member, None)

    def cut_off(self, member: MemberName) -> None:
        """Note that the line on which a member listens has ended; callable from any thread."""
        if member not in self._stopped:
            self._cut_off[member] = self._clock.boottime()

    def listens(self, member: MemberName) -> None:
        """Note that a member listens; callable from any thread."""
        self._cut_off.pop(member, None)

    def reported(self, status: MemberStatus) -> None:
        """Note what a member says that it runs."""
        active = status.state is MemberState.ACTIVE
        if status.state is MemberState.STOPPED:
            self._stopped.add(status.name)
        else:
            self._stopped.discard(status.name)
        self._runs[status.name] = status.active_revision if active else None
        self._due.set()

    def poke(self) -> None:
        """Say that there may be something new."""
        self._due.set()

    def published(self, revision: Revision) -> None:
        """Begin the roll-out of ``revision``, before any member hears of it."""
        with self._lock:
            self._move(lambda progress: rollout.begin(progress, revision))

    # What it tells

    def head_for(self, member: MemberName, head: Head) -> tuple[Head, str]:
        """Return ``head`` with the turn of ``member``, and its tag; from memory, for a herd asks at once."""
        told = self._told
        known = told.answers.get((member, head.seq))
        if known is None:
            whole = replace(head, turn=told.turn(member, head.oid))
            known = told.answers[member, head.seq] = (whole, whole.tag)
        return known

    # Its thread

    def resume(self) -> None:
        """Go on where the controller ended: with fresh times, for nobody was watched meanwhile."""
        for each in self._registry.members():
            if each.status is not None:
                self.reported(each.status)
        now_s = self._began_s
        with self._lock:
            if self._registry.rollout() is not None:
                self._move(
                    lambda progress: rollout.start_anew(progress, now_s) if progress else progress
                )

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; the roll-out stands still."""
        self._stopping.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Take in what was reported, see what follows from it and from the time, and wake who comes due.

        Raises:
            MftgitError: the records or the repository cannot be used; nothing is lost by looking again.
        """
        with self._lock:
            while True:
                found = self._events.after(self._events.progress(ROLLOUT), limit=_BATCH)
                events = [event for _, event in found]
                due = self._move(partial(_take_in, events))
                if found:
                    self._events.advance(ROLLOUT, found[-1][0])
                if due:
                    self._wake(due)
                if len(found) < _BATCH:
                    return

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._due.wait(LOOK_EVERY_S)
            self._stopping.wait(_GATHER_S)
            self._due.clear()
            if self._stopping.is_set():
                return
            try:
                self.look()
            except MftgitError as error:
                logger.warning("the roll-out was not looked at", error=str(error))
            except Exception:  # noqa: BLE001  it must go on with the next look
                logger.opt(exception=True).error("unexpected failure while leading the roll-out")

    def _move(self, step: Callable[[Progress | None], Progress | None]) -> Collection[MemberName]:
        """Do ``step``, then what follows from it; return whose turn it has become.

        Where nobody looked for a while, all times begin anew, as after a start.
        """
        now_s = self._clock.boottime()
        if now_s - self._moved_s > _STALLED_AFTER_S:
            self._began_s, told = now_s, step
            step = lambda before: told(before and rollout.start_anew(before, now_s))  # noqa: E731
        # Before it is asked who has joined; other threads add to these meanwhile.
        noted = (self._heard, self._runs, self._cut_off, self._stopped)
        known = {name for each in noted for name in tuple(each)}
        members = self._registry.joined()
        for name in known.difference(members):
            self._heard.pop(name, None)
            self._runs.pop(name, None)
            self._cut_off.pop(name, None)
            self._stopped.discard(name)
        # What takes long is done before the registry is locked.
        first = step(self._registry.rollout())
        settings = None if first is None or first.done else self._settings.of(first.base)
        closed = None if settings is None else self._settings.why_closed(settings)
        look = _Look(now_s=now_s, members=members, settings=settings, closed=closed)
        try:
            after = self._registry.change_rollout(
                lambda before: self._step(before, step(before), look)
            )
        except _OvertakenError:
            return self._move(step)
        self._moved_s = now_s
        if after is None or (after, members) == (self._told.progress, self._told.members):
            return ()
        turns = rollout_told.turns(after, members)
        before = self._told.turns
        self._told = _Told(progress=after, members=members, turns=turns)
        return {name for name, turn in turns.items() if _is_news(before.get(name), turn)}

    def _step(
        self,
        before: Progress | None,
        moved: Progress | None,
        look: _Look,
    ) -> Progress | None:
        if moved is None or moved.done:
            return moved
        settings = look.settings
        if settings is None or settings.revision != moved.base:
            raise _OvertakenError
        moved = rollout.forget(moved, look.members)
        after = rollout_advance.advance(
            moved,
            settings.rollout,
            [
                Peer(
                    name=name,
                    labels=settings.labels.get(name, {}),
                    heard_s=max(self._heard.get(name, 0.0), self._began_s),
                    cut_off_s=self._cut_off_s(name),
                    runs=self._runs.get(name),
                )
                for name in look.members
            ],
            now_s=look.now_s,
            closed=look.closed,
        )
        self._tell(before, after)
        return after

    def _cut_off_s(self, name: MemberName) -> float | None:
        since_s = self._cut_off.get(name)
        return None if since_s is None else max(since_s, self._began_s)

    def _tell(self, before: Progress | None, after: Progress) -> None:
        """Write down what has happened, before it is kept: rather twice than never."""
        begun = before is None or before.oid != after.oid
        if begun and not after.done:
            facts: Mapping[str, Fact] = {
                "base": after.base,
                "cohorts": [name for name, _ in after.cohorts],
            }
            self._events.append(EventName.ROLLOUT_STARTED, revision=after.oid, facts=facts)
        if after.halt is not None and (begun or before is None or before.halt is None):
            halt = after.halt
            self._events.append(
                EventName.ROLLOUT_HALTED,
                revision=after.oid,
                facts={"reason": halt.reason, "of": halt.member, "cohort": halt.cohort},
            )
            logger.critical("the roll-out is halted", revision=after.oid, reason=halt.reason)
        if after.done and not begun:
            self._events.append(EventName.ROLLOUT_FINISHED, revision=after.oid)
            logger.info("the roll-out is finished", revision=after.oid)


def _is_news(before: Turn | None, turn: Turn) -> bool:
    """Tell whether a member is to be woken; its state alone, which moves with every cohort, has nothing to take."""
    return turn.due and (
        before is None or (before.due, before.regardless) != (True, turn.regardless)
    )


def _not_yet(member: MemberName) -> Turn:
    return Turn(
        member=member,
        cohort=None,
        due=False,
        state=RolloutState.RUNNING,
        reason="the roll-out begins",
    )


def _take_in(events: Sequence[Event], progress: Progress | None) -> Progress | None:
    for each in events if progress is not None else ():
        if progress is not None and each.event in _OUTCOMES:
            reason = str(each.facts.get("reason") or "")[:_MAX_REASON] or None
            told = Report(outcome=_OUTCOMES[each.event], reason=reason, own=True)
            progress = rollout.report(progress, each.member, each.revision, told)
            if told.outcome is Outcome.ACTIVATED:
                progress = rollout.went_on(progress, each.member, each.revision)
    return progress
