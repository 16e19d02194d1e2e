"""The roll-out of one revision: how far it is, what is known of each member, and how that is kept.

`rollout.advance` has what moves it, `rollout.orders` what operators say, `rollout.told` what is said of it. ``now_s``
is a clock that never jumps, and each start of the controller begins with fresh times.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum, unique
from functools import lru_cache
from typing import Any

from mftgit.model.members.messages import RolloutState
from mftgit.model.names import MemberName, Revision, parse_revision


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


def finished(progress: Progress) -> Progress:
    """Return it over: everybody may take the revision, which is the base of the next one."""
    return Progress(
        oid=progress.oid,
        base=progress.oid,
        done=True,
        control=progress.control if progress.control is Control.PAUSED else Control.NONE,
        cohorts=progress.cohorts,
        reports=progress.reports,
        excused=progress.excused,
    )


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
