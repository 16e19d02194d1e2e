"""The controller's part in review: what may be published, what may be said, and what is written down of both."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from loguru import logger

from mftgit.adapters.git.commit_signature import Examiner
from mftgit.adapters.git.review_log import KeptReviews, ReviewLog
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.registry.registry import BrokenGlass
from mftgit.controller.review.answers import introduce, no_record, not_approved, not_proposed
from mftgit.controller.review.reading import ReviewReading, Rules, Seen, read_rules
from mftgit.controller.review.room import Room
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.access import OperatorRole
from mftgit.model.configuration.changes import MemberChange
from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import CHANGES, MAIN, REVIEWS, Revision
from mftgit.model.review.record import (
    GIVEN,
    Entry,
    Record,
    Said,
    Via,
    read_link,
)
from mftgit.model.revisions.mirror import unmirrored
from mftgit.model.revisions.push import ACCEPTED, Push, RefUpdate, Verdict
from mftgit.model.trust.trust import Outcome, judge_commit, read_policy

MAX_PUSHED: Final = 20
"""So many records come with one push at most."""
_RECENT: Final = 100  # revisions of main that a crash may have kept from the log

Written = Callable[[EventName, Revision | None, Mapping[str, Fact]], None]
"""Writes one event of this member."""

Compare = Callable[[Revision, Revision], Sequence[MemberChange]]
"""Returns what another revision changes on each member."""


class ReviewGate:
    """Judges pushes where review is asked for, and keeps the log; `Receive` and `Reviews` call it, in any thread."""

    def __init__(
        self,
        store: GitStore,
        kept: KeptReviews,
        *,
        operators: Callable[[], Mapping[str, OperatorRole]],
        broken: Callable[[BrokenGlass], None],
        known_broken: Callable[[], BrokenGlass | None],
        compare: Compare,
        record: Written,
        now: Callable[[], datetime],
    ) -> None:
        """Ask ``operators`` who there is, whenever approvals are counted; tell ``broken`` what passes without.

        ``known_broken`` returns what that was told last.
        """
        self._store = store
        self.kept = kept
        self.reading = ReviewReading(store, ReviewLog(store))
        self._operators = operators
        self._broken = broken
        self._known_broken = known_broken
        self.compare = compare
        self._record = record
        self._now = now
        self.room = Room(kept, now=now)
        self.rebased: dict[Revision, tuple[str, Revision]] = {}
        """What `Reviews` makes of proposals that main has moved on from: name and tip of each."""

    def reviewers(self) -> frozenset[str]:
        """Return the operators who may propose."""
        return frozenset(
            name for name, role in self._operators().items() if role.may(OperatorRole.PROPOSE)
        )

    def see(self, name: str, *, rules: Rules | None = None) -> Seen:
        """Return the proposal ``name``; raises as `ReviewReading.see`."""
        return self.reading.see(name, operators=self.reviewers(), rules=rules)

    # What may move

    def judge_main(self, push: Push) -> Verdict:
        """Return whether main may move there, by what the revision that is published says."""
        published, new = push.published(), push.update.new
        if push.update.old is None or new is None:
            return ACCEPTED
        rules = Rules(
            main=push.update.old, review=read_rules(published), trust=read_policy(published)
        )
        if not rules.reviewed or new == push.update.old:
            return ACCEPTED
        if self._glass(push, rules) is not None:
            return ACCEPTED
        refused = not_proposed(rules)
        for place, (name, tip) in enumerate(self._proposals(new)):
            obstacles = self._obstacles(name, tip, rules)
            if not obstacles:
                return ACCEPTED
            if place == 0:
                refused = not_approved(name, obstacles)
        return refused

    def judge_mirrored(self, push: Push) -> Verdict:
        """Return whether main may move to where a forge's branch is: ``review`` was that forge's work.

        Members that want to see approvals signed would take nothing of it, so it stays outside.
        """
        files = (push.published(), push.tree()) if push.update.old is not None else (push.tree(),)
        return unmirrored() if any(read_policy(each).approvals for each in files) else ACCEPTED

    def _obstacles(self, name: str, tip: Revision, rules: Rules) -> tuple[str, ...]:
        try:
            seen = self.reading.see(name, operators=self.reviewers(), rules=rules, tip=tip)
        except MftgitError as error:
            return (str(error),)
        return seen.obstacles

    def judge_records(self, push: Push) -> Verdict:
        """Return whether what somebody says may be written down: in his own name, of what is proposed now."""
        commits = list(islice(push.commits(), MAX_PUSHED + 1))
        if len(commits) > MAX_PUSHED:
            return no_record(f"more than {MAX_PUSHED} at once")
        before = push.update.old
        try:
            for revision, raw in reversed(commits):
                entry, parent = read_link(revision, raw)
                if parent != before:
                    return no_record(f"{revision[:12]} does not follow on the one before")
                before = revision
                if wrong := self._wrong(push, entry, raw):
                    return no_record(wrong)
        except (ValueError, MftgitError) as error:
            return no_record(str(error))
        return ACCEPTED

    def _wrong(self, push: Push, entry: Entry, raw: bytes) -> str | None:
        """Return why somebody may not say that; None when they may."""
        record, by = entry.record, operator_of(push.who)
        rules = self.reading.rules()
        if record.said not in GIVEN or record.via is not Via.GIT:
            return f"{record.said.value!r} is for the controller to say"
        if record.by != by:
            return f"{by} cannot speak for {record.by}"
        signs = record.said in {Said.APPROVE, Said.BREAK_GLASS}
        if signs and rules.trust.approvals and (flaw := _flaw(rules, entry, raw)):
            return f"members want to see it signed: {flaw}"
        if record.said is Said.BREAK_GLASS:
            return self._wrong_glass(push, record, rules)
        return self._wrong_opinion(record, rules)

    def _wrong_opinion(self, record: Record, rules: Rules) -> str | None:
        tip = self.reading.tip(record.change)
        if record.commit != tip:
            return f"change/{record.change} is at {tip[:12]} now, not at {record.commit[:12]}: look at it again"
        if full := self.room.full(record.change, record.by):
            return full
        if record.said is Said.COMMENT:
            return None
        base, _ = self.reading.span(rules.main, tip)
        said = record.base or base
        if not self._store.is_ancestor(said, base):
            return f"it was compared with {said[:12]}, and has to be with {base[:12]}: look at it again"
        content, _ = self.reading.compare(said, tip)
        if record.content != content:
            return f"it is of another content than what changes from {said[:12]}: look at it again"
        return None

    def judge_proposed(self, push: Push) -> Verdict:
        """Return whether it may be written down that somebody proposes this."""
        much = self.room.much(operator_of(push.who)) if push.update.new is not None else None
        return Verdict(reason="too much was said", explanation=(much,)) if much else ACCEPTED

    def _wrong_glass(self, push: Push, record: Record, rules: Rules) -> str | None:
        if not push.role.may(OperatorRole.PUBLISH):
            return "only who may publish can break the glass"
        if rules.review is not None and not rules.review.break_glass:
            return "review.break_glass of the published cluster.yaml says that nobody may"
        if record.base != rules.main:
            return f"main is at {rules.main[:12]} now: fetch first"
        return None

    def _glass(self, push: Push, rules: Rules) -> Entry | None:
        """Return by what record of who pushes this may be published in an emergency, from just here."""
        if rules.review is not None and not rules.review.break_glass:
            return None
        return next(
            (
                each
                for each in reversed(self.kept.entries())
                if each.record.said is Said.BREAK_GLASS
                and each.record.commit == push.update.new
                and each.record.base == push.update.old
                and each.record.by == operator_of(push.who)
            ),
            None,
        )

    def _proposals(self, revision: Revision) -> tuple[tuple[str, Revision], ...]:
        """Return name and tip of each proposal that main moves to: anybody may propose the same commit once more."""
        if revision in self.rebased:
            return (self.rebased[revision],)
        tips = sorted(self._store.tips(CHANGES).items())
        return tuple((ref.removeprefix(CHANGES), tip) for ref, tip in tips if tip == revision)

    # What is written down

    def begin(self) -> None:
        """See that there is a log to push to, where review is asked for, and write down what a crash kept from it."""
        main = self._store.head(MAIN)
        if main is None:
            return
        self._glass_untold(main)
        if not self.reading.rules(main).reviewed:
            return
        self._came_along({each.revision for each in self._store.log(_RECENT)}, main, "mftgit")
        if self._store.head(REVIEWS) is None:
            self.kept.append(
                Record(said=Said.BEGIN, change="", commit=main, by="mftgit", via=Via.CONTROLLER)
            )

    def _came_along(self, published: Collection[Revision], main: Revision, by: str) -> None:
        """Write down of each proposal whose tip is among what was ``published`` that it was merged."""
        for ref, tip in sorted(self._store.tips(CHANGES).items()):
            if tip in published:
                self._merged(ref.removeprefix(CHANGES), tip, main, by)

    def settled(self, push: Push) -> tuple[str, ...]:
        """Write down what a ref that moved means for review; return the lines that who pushed is told."""
        update = push.update
        if update.ref == MAIN:
            self._published(push)
        elif update.ref == REVIEWS:
            self._said(push)
        elif update.new is None:
            self._closed(push)
        else:
            return self._proposed(push)
        return ()

    def _published(self, push: Push) -> None:
        new, old = push.update.new, push.update.old
        if new is None:
            return
        by = operator_of(push.who)
        rules = None if old is None else self.reading.rules(old)
        glass = self._glass(push, rules) if rules is not None and rules.reviewed else None
        if glass is not None:  # first of all: what goes wrong below does not keep it quiet
            self._tell_glass(glass.record)
        for found in self._proposals(new):
            self._merged(*found, new, by)
        if old is not None and rules is not None and rules.reviewed:
            self._came_along(self._store.history(old, new), new, by)
        self.begin()

    def _tell_glass(self, record: Record) -> None:
        new, by, reason = record.commit, record.by, record.text
        logger.bind(who=by, reason=reason).critical("published by a broken glass", revision=new)
        facts: dict[str, Fact] = {"who": by, "reason": reason, "previous": record.base}
        self._record(EventName.GLASS_BROKEN, new, facts)
        self._broken(BrokenGlass(revision=new, who=by, reason=reason))

    def _glass_untold(self, main: Revision) -> None:
        """Tell of a glass that was broken just before a crash, which nobody was told of."""
        known = self._known_broken()
        if known is not None and known.revision == main:
            return
        for each in (each.record for each in reversed(self.kept.entries())):
            if each.said is Said.MERGE and each.result == main:
                return
            if each.said is Said.BREAK_GLASS and each.commit == main:
                self._tell_glass(each)
                return

    def _merged(self, name: str, tip: Revision, new: Revision, by: str) -> None:
        record = Record(
            said=Said.MERGE, change=name, commit=tip, by=by, via=Via.CONTROLLER, result=new
        )
        self.kept.append(record)
        self._store.move([RefUpdate(ref=f"{CHANGES}{name}", old=tip, new=None)])
        self._record(EventName.CHANGE_MERGED, new, {"change": name, "who": by, "proposed": tip})

    def _closed(self, push: Push) -> None:
        if push.update.old is not None:
            self.kept.append(
                Record(
                    said=Said.CLOSE,
                    change=push.update.ref.removeprefix(CHANGES),
                    commit=push.update.old,
                    by=operator_of(push.who),
                    via=Via.CONTROLLER,
                )
            )

    def _proposed(self, push: Push) -> tuple[str, ...]:
        tip, name = push.update.new, push.update.ref.removeprefix(CHANGES)
        if tip is None:
            return ()
        rules, wrong = self.reading.rules(), ""
        try:
            base, _ = self.reading.span(rules.main, tip)
        except (
            ConfigError
        ) as error:  # who pushed it is on record all the same: more may come on top
            base, wrong = rules.main, str(error)
        content, _ = self.reading.compare(base, tip)
        self.kept.append(
            Record(
                said=Said.PROPOSE,
                change=name,
                commit=tip,
                by=operator_of(push.who),
                via=Via.CONTROLLER,
                base=base,
                content=content,
            )
        )
        self.room.noted(operator_of(push.who))
        if wrong:
            return (f"proposal {name} cannot be merged: {wrong}",)
        return tuple(introduce(self.see(name), self.compare(base, tip)))

    def _said(self, push: Push) -> None:
        old, new = push.update.old, push.update.new
        if old is None or new is None:
            return
        for revision in reversed(tuple(self._store.history(old, new))):
            entry, _ = read_link(revision, self._store.raw_commit(revision))
            self.told(entry)

    def told(self, entry: Entry) -> None:
        """Write the event of what somebody said; of a broken glass there is one when something is published by it."""
        record = entry.record
        if record.said is Said.BREAK_GLASS:
            return
        self.room.noted(record.by)
        facts: dict[str, Fact] = {
            "change": record.change,
            "said": record.said.value,
            "who": record.by,
            "via": record.via.value,
            "record": entry.oid,
        }
        self._record(EventName.REVIEW_GIVEN, record.commit, facts)


def operator_of(who: str) -> str:
    """Return the name of the operator who pushes, as a principal or by its name alone."""
    return who.removeprefix("operator ")


def _flaw(rules: Rules, entry: Entry, raw: bytes) -> str | None:
    with Examiner() as examine:
        finding = judge_commit(rules.trust, examine(rules.trust, entry.oid, raw))
    return None if finding.outcome is Outcome.SIGNED else str(finding)
