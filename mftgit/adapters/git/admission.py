"""Let refs move to objects in a quarantine as far as the gate accepts it; whoever brought them is treated alike."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from loguru import logger

from mftgit.adapters.git.objects import (
    BrokenHistoryError,
    StoreBusyError,
    StoreError,
    TooLargeError,
)
from mftgit.adapters.git.quarantine import Quarantine
from mftgit.adapters.git.store import GitStore
from mftgit.model.access import OperatorRole
from mftgit.model.names import CHANGES, Revision
from mftgit.model.revisions.limits import Limits
from mftgit.model.revisions.push import ATOMIC, REPEATED, Push, RefUpdate, Verdict, stale
from mftgit.model.trust.trust import POLICY_FILES

Gate = Callable[[Push], Verdict]
"""Decides one ref of a push; may be called by several threads at once."""

Settled = Callable[[Push, Verdict], Sequence[str] | None]
"""Told the outcome of each ref, once, after it moved or was refused; one push at a time, in the order of moving.

What it returns is told to who pushed, in lines.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pusher:
    """Who pushes, and what they may."""

    who: str
    role: OperatorRole


Merge = Callable[[str, Revision, Pusher], Verdict]
"""Publishes a proposal of that name as it stood when its tip was seen, and tells what became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What every push to one repository has in common.

    ``limits`` is asked once for each push, at its start, and ``damage`` where something went wrong. Without ``merge``
    nobody can ask for that by a push.
    """

    store: GitStore
    gate: Gate
    settled: Settled
    limits: Callable[[], Limits]
    damage: Callable[[], str | None]
    merge: Merge | None = None
    one_at_a_time: threading.Lock = field(default_factory=threading.Lock)


class Admission:
    """One push by ``pusher``: git's, or one that was put together here."""

    def __init__(self, door: Door, pusher: Pusher, *, limits: Limits, atomic: bool = False) -> None:
        """Judge by ``limits``; an ``atomic`` push moves all of its refs or none."""
        self._door = door
        self._pusher = pusher
        self._limits = limits
        self._atomic = atomic

    def admit(self, quarantine: Quarantine, updates: Sequence[RefUpdate]) -> Sequence[Verdict]:
        """Move what the gate accepts, tell what became of each ref, and return that."""
        fresh = {each.ref for each in updates if each.new is not None}
        changes = self._door.store.names(CHANGES) | {
            ref for ref in fresh if ref.startswith(CHANGES)
        }
        pushes = [self._push(quarantine, update, changes) for update in updates]
        return self._settle(quarantine, pushes, self._decide(pushes))

    def refuse(self, updates: Sequence[RefUpdate], verdict: Verdict) -> Sequence[Verdict]:
        """Tell that all ``updates`` were refused by ``verdict``, and return that."""
        outcomes = [(undecided(self._pusher, update), verdict) for update in updates]
        return self._tell_settled(outcomes)

    def _push(self, quarantine: Quarantine, update: RefUpdate, changes: frozenset[str]) -> Push:
        """Find out what the gate needs to know of one ref."""
        if update.new is None:
            return undecided(self._pusher, update, self._door.store.head(update.ref))
        old, new = update.old, update.new
        fault = quarantine.fault(new)
        if fault is not None and self._door.damage() is not None:
            raise BrokenHistoryError(fault)
        is_commit = fault is None and quarantine.is_commit(new)
        grows = is_commit and (old is None or quarantine.grows(old, new))
        return Push(
            who=self._pusher.who,
            role=self._pusher.role,
            update=update,
            current=self._door.store.head(update.ref),
            changes=changes,
            limits=self._limits,
            fault=fault,
            is_commit=is_commit,
            is_fast_forward=grows,
            tree=lambda: quarantine.tree(new, self._limits),
            published=lambda: quarantine.pick(old, POLICY_FILES) if old else {},
            before=lambda: self._door.store.documents(old) if old else (),
            commits=lambda: quarantine.commits(old, new) if old else iter(()),
        )

    def _decide(self, pushes: Sequence[Push]) -> list[Verdict]:
        times = Counter(push.update.ref for push in pushes)
        verdicts = [self._ask(push) if times[push.update.ref] == 1 else REPEATED for push in pushes]
        if self._atomic and not all(v.accepted for v in verdicts):
            return [ATOMIC if verdict.accepted else verdict for verdict in verdicts]
        return verdicts

    def _ask(self, push: Push) -> Verdict:
        try:
            return self._door.gate(push)
        except StoreError as error:  # the tree is too large or broken, or the repository is
            if not isinstance(error, TooLargeError) and self._door.damage() is not None:
                raise
            return Verdict(reason="cannot be read", explanation=(str(error),))

    def _settle(
        self, quarantine: Quarantine, pushes: Sequence[Push], verdicts: Sequence[Verdict]
    ) -> list[Verdict]:
        """Move what was accepted, as far as it is still possible, and tell what became of each ref."""
        accepted = [p.update for p, v in zip(pushes, verdicts, strict=True) if v.accepted]
        groups = [accepted] if accepted and self._atomic else [[update] for update in accepted]
        refused: dict[str, Verdict] = {}
        quarantine.keep_only(update.new for update in accepted if update.new is not None)
        with self._door.one_at_a_time:
            for group in groups:
                refused |= self._move(quarantine, group)
            final = [
                refused.get(push.update.ref, verdict) if verdict.accepted else verdict
                for push, verdict in zip(pushes, verdicts, strict=True)
            ]
            return self._tell_settled(list(zip(pushes, final, strict=True)))

    def _move(self, quarantine: Quarantine, group: Sequence[RefUpdate]) -> dict[str, Verdict]:
        """Move a group of refs, all or none but for accidents; return the verdicts of those that did not."""
        store = self._door.store
        try:
            moved = store.move(group, quarantine)
        except (StoreBusyError, StoreError) as error:
            # Some may have moved nevertheless, and that is to be told.
            logger.warning("refs were not moved as they should", error=str(error))
            moved = tuple(update for update in group if store.head(update.ref) == update.new)
            what = "busy" if isinstance(error, StoreBusyError) else "not written"
            failed = Verdict(reason=f"{what}, push again", explanation=(str(error),))
            return {update.ref: failed for update in group if update not in moved}
        return {
            update.ref: stale(update.old, store.head(update.ref))
            for update in group
            if update not in moved
        }

    def _tell_settled(self, outcomes: Sequence[tuple[Push, Verdict]]) -> list[Verdict]:
        """Tell what became of each ref; return the verdicts with what there is to tell who pushed."""
        told = []
        for push, verdict in outcomes:
            lines: Sequence[str] = ()
            try:
                lines = self._door.settled(push, verdict) or ()
            except Exception:
                logger.exception("what became of a push could not be told", ref=push.update.ref)
            told.append(replace(verdict, explanation=(*verdict.explanation, *lines)))
        return told


def undecided(pusher: Pusher, update: RefUpdate, current: Revision | None = None) -> Push:
    """Return a push of which no object was looked at."""
    return Push(
        who=pusher.who,
        role=pusher.role,
        update=update,
        current=current,
        fault=None,
        is_commit=False,
        is_fast_forward=False,
        tree=dict,
        published=dict,
        before=tuple,
        commits=lambda: iter(()),
    )
