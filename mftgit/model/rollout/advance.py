"""How a roll-out advances by what members report and by time, and what halts it: turns of cohorts, soaks, silence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mftgit.model.members.messages import SILENT_AFTER_S
from mftgit.model.names import MemberName
from mftgit.model.rollout.cohorts import Cohort, Rollout
from mftgit.model.rollout.rollout import (
    Control,
    Halt,
    Outcome,
    Peer,
    Progress,
    Report,
    finished,
    report,
)

LINE_DOWN_S: Final = 45.0
"""A member whose line is down for longer is gone: it tries again after at most 30 s (`mftgit.member.report`)."""


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
        return replace(progress, waits=closed) if stopped else finished(progress)
    progress = _take_note(progress, settings, peers, closed)
    watch = _Watch(now_s=now_s, peers={each.name: each for each in peers}, settings=settings)
    for cohort, members in settings.sort_out((each.name, each.labels) for each in peers):
        if cohort.name in progress.soaked and all(map(progress.is_through, members)):
            continue
        progress = _advance_cohort(progress, cohort, members, watch)
        if cohort.name not in progress.soaked:
            return progress
    return finished(progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watch:
    now_s: float
    peers: Mapping[MemberName, Peer]
    settings: Rollout

    def down_s(self, name: MemberName) -> float | None:
        """Return for how long the line of a member has been down, None where it is up."""
        since_s = self.peers[name].cut_off_s
        return None if since_s is None else self.now_s - since_s


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
