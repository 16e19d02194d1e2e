"""The roll-out of one revision: whose turn it is, and what halts it.

A roll-out advances by what members report and by time; it halts by itself, and operators pause, resume, promote and
abort it. ``now_s`` is a clock that never jumps, and each start of the controller begins with fresh times.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum, unique
from functools import lru_cache
from typing import Any, Final

from mftgit.errors import MftgitError
from mftgit.model.cohorts import Cohort, Rollout
from mftgit.model.messages import SILENT_AFTER_S, RolloutState, Turn
from mftgit.model.names import MemberName, Revision, parse_revision

LINE_DOWN_S: Final = 45.0
"""A member whose line is down for longer is gone: it tries again after at most 30 s (`mftgit.member.report`)."""


@unique
class Outcome(Enum):
    """What became of the revision on a member."""

    ACTIVATED = "activated"
    REFUSED = "refused"
    ROLLED_BACK = "rolled back"


@unique
class Control(Enum):
    """What an operator said of the roll-out."""

    NONE = "none"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ABORTED = "aborted"


class NothingToDoError(MftgitError):
    """What an operator asks of the roll-out does not go with its state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A member as the controller sees it.

    ``heard_s`` is when it was last heard of, ``cut_off_s`` when the line that it listens on ended with no word that it
    stops and none after it, ``runs`` what it said that it runs.
    """

    name: MemberName
    labels: Mapping[str, str] = field(default_factory=dict)
    heard_s: float
    cut_off_s: float | None = None
    runs: Revision | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Halt:
    """Which member halted the roll-out, of which cohort, and why."""

    member: MemberName
    cohort: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a member reported of the revision; ``own``: in an event of its own, not in its status only."""

    outcome: Outcome
    reason: str | None = None
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the roll-out of ``oid`` is.

    ``base`` is the revision that was rolled out before, by whose settings it goes. ``due`` tells since when whose turn
    it is; ``excused`` members halt nothing any more. ``cohorts`` are all of them with their members, ``cohort`` the
    one under way, ``soaked`` those that are over, ``peopled`` those that had members while they were under way;
    ``soaks_since`` is set while all of the present one have it. ``waits`` tells why nobody begins. ``regardless``:
    members need not wait for a change window.
    """

    oid: Revision
    base: Revision
    done: bool = False
    control: Control = Control.NONE
    regardless: bool = False
    halt: Halt | None = None
    waits: str | None = None
    cohort: str | None = None
    soaks_since: float | None = None
    cohorts: tuple[tuple[str, tuple[MemberName, ...]], ...] = ()
    due: Mapping[MemberName, float] = field(default_factory=dict)
    reports: Mapping[MemberName, Report] = field(default_factory=dict)
    excused: frozenset[MemberName] = frozenset()
    soaked: frozenset[str] = frozenset()
    peopled: frozenset[str] = frozenset()

    @property
    def state(self) -> RolloutState:
        """Return it in one word; the first that holds."""
        table = (
            (self.control is Control.PROMOTED, RolloutState.PROMOTED),
            (self.done, RolloutState.DONE),
            (self.control is Control.ABORTED, RolloutState.ABORTED),
            (self.halt is not None, RolloutState.HALTED),
            (self.control is Control.PAUSED, RolloutState.PAUSED),
            (self.waits is not None, RolloutState.WAITING),
            (self.soaks_since is not None, RolloutState.SOAKING),
            (True, RolloutState.RUNNING),
        )
        return next(state for holds, state in table if holds)

    @property
    def begins(self) -> bool:
        """Tell whether a further member may begin."""
        return self.state in {RolloutState.RUNNING, RolloutState.SOAKING}

    def has(self, name: MemberName) -> bool:
        """Tell whether a member runs it, as far as is known."""
        found = self.reports.get(name)
        return found is not None and found.outcome is Outcome.ACTIVATED

    def is_through(self, name: MemberName) -> bool:
        """Tell whether nothing more is to be waited for from a member."""
        return self.has(name) or name in self.excused


# What moves it


def begin(before: Progress | None, oid: Revision) -> Progress:
    """Return the roll-out of ``oid``, which was just published, in the place of the one ``before``.

    A pause goes on. Where nothing was rolled out before, ``oid`` is what the members have.
    """
    if before is None:
        return Progress(oid=oid, base=oid, done=True)
    if before.oid == oid:
        return before
    paused = before.control is Control.PAUSED
    return Progress(oid=oid, base=before.base, control=Control.PAUSED if paused else Control.NONE)


def start_anew(progress: Progress, now_s: float) -> Progress:
    """Return it with all times beginning ``now_s``: nobody watched for as long as the controller was away."""
    soaks = None if progress.soaks_since is None else now_s
    return replace(progress, due=dict.fromkeys(progress.due, now_s), soaks_since=soaks)


def report(progress: Progress, member: MemberName, oid: Revision | None, told: Report) -> Progress:
    """Return it with what ``member`` reported of ``oid``; what is said of another revision plays no part."""
    if oid != progress.oid or progress.reports.get(member) == told:
        return progress
    return replace(progress, reports={**progress.reports, member: told})


def forget(progress: Progress, members: Iterable[MemberName]) -> Progress:
    """Return it with nothing known but of ``members``: a machine that comes under the name of one removed is another.

    What is done stays as it was.
    """
    if progress.done:
        return progress
    known = frozenset(members)
    reports = {name: told for name, told in progress.reports.items() if name in known}
    return replace(progress, reports=reports, excused=progress.excused & known)


def went_on(progress: Progress, member: MemberName, oid: Revision | None) -> Progress:
    """Return it with ``member``, which activated ``oid``, counting as rolled back where it had told of the revision.

    What it activated before it told of it comes later than the status that says that it runs it, and plays no part.
    """
    found = progress.reports.get(member)
    if (
        oid is None
        or oid == progress.oid
        or found is None
        or not (found.own and progress.has(member))
    ):
        return progress
    told = Report(outcome=Outcome.ROLLED_BACK, reason=f"went on to {oid[:12]}", own=True)
    return report(progress, member, progress.oid, told)


def advance(
    progress: Progress,
    settings: Rollout | None,
    peers: Sequence[Peer],
    *,
    now_s: float,
    closed: str | None,
) -> Progress:
    """Return it as it is ``now_s``, by the ``settings`` of its base; ``closed`` tells why the windows are shut."""
    if progress.done:
        return progress
    if settings is None:
        stopped = progress.control in {Control.PAUSED, Control.ABORTED}
        return replace(progress, waits=closed) if stopped else _finished(progress)
    progress = _take_note(progress, settings, peers, closed)
    watch = _Watch(now_s=now_s, peers={each.name: each for each in peers}, settings=settings)
    for cohort, members in settings.sort_out((each.name, each.labels) for each in peers):
        if cohort.name in progress.soaked and all(map(progress.is_through, members)):
            continue
        progress = _advance_cohort(progress, cohort, members, watch)
        if cohort.name not in progress.soaked:
            return progress
    return _finished(progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watch:
    now_s: float
    peers: Mapping[MemberName, Peer]
    settings: Rollout

    def down_s(self, name: MemberName) -> float | None:
        """Return for how long the line of a member has been down, None where it is up."""
        since_s = self.peers[name].cut_off_s
        return None if since_s is None else self.now_s - since_s


def _finished(progress: Progress) -> Progress:
    return Progress(
        oid=progress.oid,
        base=progress.oid,
        done=True,
        control=progress.control if progress.control is Control.PAUSED else Control.NONE,
        cohorts=progress.cohorts,
        reports=progress.reports,
        excused=progress.excused,
    )


def _take_note(
    progress: Progress, settings: Rollout, peers: Sequence[Peer], closed: str | None
) -> Progress:
    """Note who is in which cohort, who runs it already, and who failed."""
    for peer in peers:
        if peer.name not in progress.reports:
            progress = report(progress, peer.name, peer.runs, Report(outcome=Outcome.ACTIVATED))
    sorted_out = settings.sort_out((each.name, each.labels) for each in peers)
    cohorts = tuple((cohort.name, members) for cohort, members in sorted_out)
    failed = next(_failed(progress, cohorts), None)
    return replace(progress, cohorts=cohorts, waits=closed, halt=progress.halt or failed)


def _failed(
    progress: Progress, cohorts: Iterable[tuple[str, Sequence[MemberName]]]
) -> Iterator[Halt]:
    for cohort, members in cohorts:
        for name in members:
            told = progress.reports.get(name)
            if told is not None and not progress.is_through(name):
                text = f"{name} of the cohort {cohort}: {told.outcome.value}"
                yield Halt(
                    member=name,
                    cohort=cohort,
                    reason=f"{text}: {told.reason}" if told.reason else text,
                )


def _advance_cohort(
    progress: Progress, cohort: Cohort, members: Sequence[MemberName], watch: _Watch
) -> Progress:
    silent = next(_silent(progress, cohort, members, watch), None)
    peopled = progress.peopled | ({cohort.name} if members else set())
    progress = replace(progress, cohort=cohort.name, halt=progress.halt or silent, peopled=peopled)
    if all(map(progress.is_through, members)):
        watched = (each for each in members if each not in progress.excused)
        doubtful = any(watch.down_s(each) is not None for each in watched)
        return _soak(
            progress, cohort, watch.now_s, skip=cohort.name not in peopled, goes_on=doubtful
        )
    progress = replace(progress, soaks_since=None, soaked=progress.soaked - {cohort.name})
    if not progress.begins:
        return replace(progress, due={})
    waiting = [name for name in members if not progress.is_through(name)]
    due = {name: since for name, since in progress.due.items() if name in waiting}
    free = max(0, cohort.max_unavailable - len(due))
    following = [name for name in waiting if name not in due][:free]
    return replace(progress, due=due | dict.fromkeys(following, watch.now_s))


def _soak(
    progress: Progress, cohort: Cohort, now_s: float, *, skip: bool, goes_on: bool
) -> Progress:
    if progress.halt is not None or progress.control is Control.ABORTED:
        return replace(progress, due={}, soaks_since=None)
    since = now_s if progress.soaks_since is None else progress.soaks_since
    if skip or (now_s - since >= cohort.soak_s and not goes_on):
        return replace(progress, due={}, soaks_since=None, soaked=progress.soaked | {cohort.name})
    return replace(progress, due={}, soaks_since=since)


def _silent(
    progress: Progress, cohort: Cohort, members: Sequence[MemberName], watch: _Watch
) -> Iterator[Halt]:
    """Give who was due and told nothing, and who took it and is not heard of any more.

    The latter also while nobody begins: its cohort's soak goes on, and afterwards nobody watches it.
    """
    silence_s = watch.settings.silence_s
    lost_s = max(silence_s, SILENT_AFTER_S)
    for name in members:
        if name in progress.excused:
            continue
        text = None
        if progress.begins and watch.now_s - progress.due.get(name, watch.now_s) > silence_s:
            text = f"no outcome within {silence_s:g} s"
        elif progress.has(name) and watch.now_s - watch.peers[name].heard_s > lost_s:
            text = f"took it, and was not heard of for {lost_s:g} s"
        elif progress.has(name) and (watch.down_s(name) or 0.0) > LINE_DOWN_S:
            text = f"took it, and its line has been down for {LINE_DOWN_S:g} s"
        if text is not None:
            reason = f"{name} of the cohort {cohort.name}: {text}"
            yield Halt(member=name, cohort=cohort.name, reason=reason)


# What operators say


def pause(progress: Progress) -> Progress:
    """Return it with nobody beginning, this revision and the ones to come, until it is resumed or promoted.

    A promotion is taken back: resumed, the revision goes by its own settings.
    """
    if progress.control is Control.ABORTED:
        raise NothingToDoError(_ABORTED)
    done = progress.done and progress.control is not Control.PROMOTED
    return replace(progress, done=done, control=Control.PAUSED, regardless=False, due={})


def resume(progress: Progress) -> Progress:
    """Return it going on by its cohorts; who halted it is passed over."""
    if progress.control is Control.ABORTED:
        raise NothingToDoError(_ABORTED)
    if progress.halt is None and progress.control is not Control.PAUSED:
        raise NothingToDoError(
            f"the roll-out is {progress.state.value}: there is nothing to resume"
        )
    bad = {name for name in progress.reports if not progress.has(name)}
    halted_by = {progress.halt.member} if progress.halt else set()
    return replace(
        progress,
        control=Control.NONE,
        halt=None,
        excused=progress.excused | bad | halted_by,
    )


def promote(progress: Progress, *, regardless: bool) -> Progress:
    """Return it with everybody's turn at once, whatever stood in the way; ``regardless`` of change windows, too."""
    return replace(_finished(progress), control=Control.PROMOTED, regardless=regardless)


def abort(progress: Progress) -> Progress:
    """Return it ended: who has it keeps it, and nobody else takes it."""
    if progress.done:
        raise NothingToDoError(
            f"the roll-out of {progress.oid[:12]} is {progress.state.value}: there is nothing to abort"
        )
    return replace(progress, control=Control.ABORTED, due={}, soaks_since=None)


_ABORTED = "the roll-out was aborted: push a newer revision, or say `mftgit rollout promote`"


# What members are told


def turns(progress: Progress, members: Iterable[MemberName]) -> dict[MemberName, Turn]:
    """Return for each of ``members`` whether it may take the revision, and if not, why."""
    cohort_of = {name: cohort for cohort, names in progress.cohorts for name in names}
    state = progress.state
    return {name: _turn(progress, state, name, cohort_of.get(name)) for name in members}


def _turn(progress: Progress, state: RolloutState, name: MemberName, cohort: str | None) -> Turn:
    may = (
        progress.done
        or progress.has(name)
        or name in progress.due
        or (name in progress.excused and progress.begins)
    )
    return Turn(
        member=name,
        cohort=cohort,
        due=may,
        state=state,
        reason=None if may else _why_not(progress, cohort),
        regardless=progress.regardless,
    )


def _why_not(progress: Progress, cohort: str | None) -> str:
    if progress.state is RolloutState.HALTED and progress.halt is not None:
        return f"the roll-out is halted: {progress.halt.reason}"
    if progress.state in {RolloutState.PAUSED, RolloutState.ABORTED}:
        return f"the roll-out is {progress.state.value}"
    if progress.waits is not None:
        return progress.waits
    if cohort is None or progress.cohort is None:
        return "the roll-out begins"
    return f"it is the turn of the cohort {progress.cohort}; this member is in {cohort}"


def describe(progress: Progress) -> dict[str, Any]:
    """Return what ``rollout status --json`` prints."""
    halt = progress.halt.reason if progress.halt else None
    return {
        "revision": progress.oid,
        "base": progress.base,
        "state": progress.state.value,
        "paused": progress.control is Control.PAUSED,
        "cohort": progress.cohort,
        "reason": halt or progress.waits,
        "cohorts": [
            {
                "name": cohort,
                "members": [_describe_member(progress, name) for name in members],
            }
            for cohort, members in progress.cohorts
        ],
    }


def _describe_member(progress: Progress, name: MemberName) -> dict[str, Any]:
    told = progress.reports.get(name)
    due = progress.done or name in progress.due
    return {
        "name": name,
        "state": told.outcome.value if told else "due" if due else "not yet",
        "reason": told.reason if told else None,
        "passed_over": name in progress.excused,
    }


# How it is kept


def format_progress(progress: Progress) -> str:
    """Return ``progress`` as JSON."""
    value = asdict(progress) | {
        "control": progress.control.value,
        "reports": {
            name: {"outcome": told.outcome.value, "reason": told.reason, "own": told.own}
            for name, told in progress.reports.items()
        },
        "excused": sorted(progress.excused),
        "soaked": sorted(progress.soaked),
        "peopled": sorted(progress.peopled),
    }
    return json.dumps(value)


@lru_cache(2)
def parse_progress(text: str) -> Progress:
    """Return what ``format_progress`` gave ``text`` for; it is asked every second, and seldom for another one."""
    value: dict[str, Any] = json.loads(text)
    return Progress(
        **value
        | {
            "oid": parse_revision(value["oid"]),
            "base": parse_revision(value["base"]),
            "control": Control(value["control"]),
            "halt": None if value["halt"] is None else Halt(**value["halt"]),
            "cohorts": tuple((name, tuple(members)) for name, members in value["cohorts"]),
            "reports": {
                name: Report(**told | {"outcome": Outcome(told["outcome"])})
                for name, told in value["reports"].items()
            },
            "excused": frozenset(value["excused"]),
            "soaked": frozenset(value["soaked"]),
            "peopled": frozenset(value.get("peopled", ())),
        }
    )
