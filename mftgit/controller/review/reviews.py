"""Proposals as people see them: list and show them, say what you think, merge them; for the Web Manager and its API.

What is said here is attested by the controller: who had logged in. What comes by git can be signed as well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mftgit.adapters.git.admission import Admission, Door, Pusher
from mftgit.adapters.git.past import Past, read_past
from mftgit.adapters.git.rebase import RebaseError, replay
from mftgit.controller.committer import cluster_of, committer
from mftgit.controller.review.gate import Compare, ReviewGate, operator_of
from mftgit.controller.review.reading import Seen
from mftgit.errors import MftgitError, TransientError
from mftgit.model.access import Kind, OperatorRole, Principal
from mftgit.model.configuration.change_words import restarts
from mftgit.model.configuration.changes import MemberChange
from mftgit.model.names import CHANGES, MAIN, MemberName, Revision
from mftgit.model.review.record import (
    MAX_TEXT,
    Entry,
    Record,
    Said,
    Via,
    format_record,
    parse_record,
)
from mftgit.model.review.review import State, this_round
from mftgit.model.revisions.push import RefUpdate, Verdict

_FAST_FORWARD: Final = "fast-forward"
_REBASE: Final = "rebase"


class ReviewRefusedError(MftgitError):
    """It was not done, and nothing was changed; ``verdict`` says why, as git would tell who pushes."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__("\n".join((verdict.reason or "", *verdict.explanation)))
        self.verdict = verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSummary:
    """A proposal in a line; ``title`` is the first line of its last commit's message, ``by`` who pushed it last."""

    name: str
    tip: Revision
    base: Revision | None
    title: str
    author: str
    at: datetime
    by: str | None
    state: State
    needed: int
    given: int
    obstacles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeView:
    """A proposal as a whole.

    ``changes`` tell member by member what it does; ``restarts`` what is stopped and started again on which.
    ``merges_by`` is how it would be merged, None where that cannot be; ``obstacles`` say why, in whole sentences.
    """

    summary: ChangeSummary
    seen: Seen
    commits: tuple[Past, ...]
    changes: tuple[MemberChange, ...]
    restarts: tuple[tuple[MemberName, str], ...]
    merges_by: str | None
    obstacles: tuple[str, ...]

    @property
    def affected(self) -> tuple[MemberName, ...]:
        """Return the members on which something changes."""
        return tuple(each.member for each in self.changes if each)

    @property
    def comments(self) -> tuple[Entry, ...]:
        """Return what was said with words, the oldest first."""
        return tuple(each for each in self.seen.entries if each.record.text)


class Reviews:
    """Any thread may call."""

    def __init__(
        self,
        door: Door,
        gate: ReviewGate,
        *,
        compare: Compare,
        controller: MemberName,
        now: Callable[[], datetime],
    ) -> None:
        """Merge by ``door``, which is that of pushes too; ``compare`` keeps its answers, for each look asks it."""
        self._compare = compare
        self._door = door
        self._store = door.store
        self._gate = gate
        self._controller = controller
        self._now = now

    # Look

    def list(self) -> tuple[ChangeSummary, ...]:
        """Return the proposals there are, by name; one that cannot be looked at says why among its obstacles."""
        found = []
        for name in self._gate.reading.names():
            tip = self._store.head(f"{CHANGES}{name}")
            if tip is not None:
                found.append(self._summary(name, tip))
        return tuple(found)

    def show(self, name: str) -> ChangeView:
        """Return all about the proposal ``name``.

        Raises:
            ConfigError: there is none (NoSuchChangeError), or it grew from nothing that is published.
            StillWorkingError: what it changes takes long.
        """
        seen = self._gate.see(name)
        change = seen.change
        changes = tuple(self._compare(change.base, change.tip))
        way, why = self._way(seen)
        return ChangeView(
            summary=self._told(seen),
            seen=seen,
            commits=tuple(read_past(self._store, each) for each in seen.commits),
            changes=changes,
            restarts=tuple((each.member, what) for each in changes for what in restarts(each)),
            merges_by=None if seen.obstacles or why else way,
            obstacles=(*seen.obstacles, *why),
        )

    # Say something

    def approve(
        self, name: str, who: Principal, comment: str = "", *, tip: Revision | None = None
    ) -> Entry:
        """Approve of what the proposal holds now; with ``tip``, only where that is what ``who`` has seen.

        Raises:
            ReviewRefusedError: ``who`` may not.
            ConfigError: there is no such proposal.
        """
        return self._say(Said.APPROVE, name, who, comment, tip=tip)

    def request_changes(
        self, name: str, who: Principal, comment: str, *, tip: Revision | None = None
    ) -> Entry:
        """Keep the proposal from being merged until ``who`` approves, or it holds something else.

        Raises as `approve`.
        """
        return self._say(Said.REQUEST_CHANGES, name, who, comment, tip=tip)

    def comment(
        self,
        name: str,
        who: Principal,
        text: str,
        *,
        path: str | None = None,
        line: int | None = None,
        tip: Revision | None = None,
    ) -> Entry:
        """Say something of the proposal, or of a line of a file in it; raises as `approve`."""
        return self._say(Said.COMMENT, name, who, text, path=path, line=line, tip=tip)

    def _say(
        self,
        said: Said,
        name: str,
        who: Principal,
        text: str,
        *,
        path: str | None = None,
        line: int | None = None,
        tip: Revision | None = None,
    ) -> Entry:
        _needs(who, OperatorRole.PROPOSE)
        if said is not Said.APPROVE and not text.strip():
            raise _refused("nothing is said", "write what you think of it")
        if len(text) > MAX_TEXT:
            raise _refused("too long", f"found {len(text):,} characters, at most {MAX_TEXT:,}")
        if full := self._gate.room.full(name, who.name):
            raise _refused("not written down", full)
        change = self._gate.see(name).change
        _unmoved(name, change.tip, tip)
        record = Record(
            said=said,
            change=name,
            commit=change.tip,
            by=who.name,
            via=Via.WEB,
            base=change.base,
            content=change.content,
            text=text,
            path=path,
            line=line,
        )
        try:
            parse_record(format_record(record))
        except ValueError as error:
            raise _refused("not written down", str(error)) from error
        entry = self._gate.kept.append(record)
        self._gate.told(entry)
        return entry

    # End it

    def merge(self, name: str, who: Principal, *, tip: Revision | None = None) -> Revision:
        """Publish the proposal: main moves to its tip, or to new commits of the same content; return where it stands.

        With ``tip``, only where that is what ``who`` has seen.

        Raises:
            ReviewRefusedError: it is not approved, the gate does not take it, or main moved meanwhile.
            ConfigError: there is no such proposal.
        """
        _needs(who, OperatorRole.PUBLISH)
        seen = self._gate.see(name)
        _unmoved(name, seen.change.tip, tip)
        way, why = self._way(seen)
        if seen.obstacles or why:
            raise _refused(
                "not approved" if seen.obstacles else "cannot be merged", *seen.obstacles, *why
            )
        main, limits = seen.rules.main, self._door.limits()
        admission = Admission(self._door, Pusher(who=who.name, role=who.role), limits=limits)
        with self._store.quarantine() as quarantine:
            new = seen.change.tip
            if way == _REBASE:
                new = replay(
                    self._store,
                    quarantine,
                    tuple(reversed(seen.commits)),
                    onto=main,
                    committer=self._committer(main),
                    now=self._now(),
                )
                self._gate.rebased[new] = (name, seen.change.tip)
            try:
                (verdict,) = admission.admit(quarantine, [RefUpdate(ref=MAIN, old=main, new=new)])
            finally:
                self._gate.rebased.pop(new, None)
        if not verdict.accepted:
            raise ReviewRefusedError(verdict)
        return new

    def merge_pushed(self, name: str, tip: Revision, pusher: Pusher) -> Verdict:
        """Publish the proposal for who asked by a push, as `merge` does, and return what git is to tell them.

        Raises:
            TransientError: it may go through if it is tried again.
        """
        who = Principal(kind=Kind.OPERATOR, name=operator_of(pusher.who), role=pusher.role)
        try:
            new = self.merge(name, who, tip=tip)
        except TransientError:
            raise
        except ReviewRefusedError as error:
            return error.verdict
        except MftgitError as error:
            return Verdict(reason="cannot be merged", explanation=(str(error),))
        return Verdict(reason=None, explanation=(f"change/{name} is published: {new[:12]}",))

    def close(self, name: str, who: Principal) -> None:
        """Take the proposal away without publishing it: who pushed it may, and who may publish; raises as `merge`."""
        tip = self._gate.reading.tip(name)
        pushers = {
            each.record.by
            for each in this_round(self._gate.kept.entries(), name)
            if each.record.said is Said.PROPOSE
        }
        if pushers != {who.name}:
            _needs(who, OperatorRole.PUBLISH)
        admission = Admission(
            self._door,
            Pusher(who=who.name, role=OperatorRole.PUBLISH),
            limits=self._door.limits(),
        )
        with self._store.quarantine() as quarantine:
            update = RefUpdate(ref=f"{CHANGES}{name}", old=tip, new=None)
            (verdict,) = admission.admit(quarantine, [update])
        if not verdict.accepted:
            raise ReviewRefusedError(verdict)

    def _way(self, seen: Seen) -> tuple[str, tuple[str, ...]]:
        """Return how it would be merged, and what keeps it from that, in whole sentences."""
        if not seen.commits:
            return _FAST_FORWARD, ("everything in it is published already",)
        if not seen.behind:
            return _FAST_FORWARD, ()
        again = (
            "bring it up to date: git fetch && git merge origin/main, then "
            f"git push origin HEAD:change/{seen.change.name}"
        )
        if seen.rules.trust.required:
            return _REBASE, (
                "main has moved on, and commits that are to be signed are not made anew here",
                again,
            )
        try:
            with self._store.quarantine() as quarantine:
                replay(
                    self._store,
                    quarantine,
                    tuple(reversed(seen.commits)),
                    onto=seen.rules.main,
                    committer=self._committer(seen.rules.main),
                    now=self._now(),
                )
        except RebaseError as error:
            return _REBASE, (f"main has moved on: {error}", again)
        return _REBASE, ()

    def _committer(self, main: Revision) -> str:
        return committer(self._controller, cluster_of(self._store, main))

    def _summary(self, name: str, tip: Revision) -> ChangeSummary:
        try:
            return self._told(self._gate.see(name))
        except MftgitError as error:
            past = read_past(self._store, tip)
            return ChangeSummary(
                name=name,
                tip=tip,
                base=None,
                title=past.subject,
                author=past.author,
                at=past.authored_at,
                by=None,
                state=State.OPEN,
                needed=0,
                given=0,
                obstacles=(str(error),),
            )

    def _told(self, seen: Seen) -> ChangeSummary:
        change = seen.change
        past = read_past(self._store, change.tip)
        pushed = [each for each in seen.entries if each.record.said is Said.PROPOSE]
        return ChangeSummary(
            name=change.name,
            tip=change.tip,
            base=change.base,
            title=past.subject,
            author=past.author,
            at=datetime.fromtimestamp(pushed[-1].at_s, tz=UTC) if pushed else past.committed_at,
            by=pushed[-1].record.by if pushed else None,
            state=seen.standing.state,
            needed=seen.standing.needed,
            given=seen.standing.given,
            obstacles=seen.obstacles,
        )


def _needs(who: Principal, role: OperatorRole) -> None:
    if not who.role.may(role):
        raise _refused(
            "not allowed",
            f"{who.name} has the role {who.role.value!r}, and this takes {role.value!r}",
            f"the controller's administrator gives another: mftgit operator role {who.name} {role.value}",
        )


def _unmoved(name: str, now: Revision, seen: Revision | None) -> None:
    """Refuse what somebody says of a proposal that holds something else than they have seen."""
    if seen is not None and seen != now:
        raise _refused(
            "it has moved on",
            f"change/{name} is at {now[:12]} now, and you have looked at {seen[:12]}: look again",
        )


def _refused(reason: str, *explanation: str) -> ReviewRefusedError:
    return ReviewRefusedError(Verdict(reason=reason, explanation=explanation))
