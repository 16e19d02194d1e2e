"""When the owner of a transfer on a schedule runs it: each slot once, also where owners change as it comes due."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from loguru import logger

from mftgit.adapters.clock import find_zone
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.records.intents import Intents, peek
from mftgit.model.configuration.config import Generation
from mftgit.model.names import Epoch
from mftgit.model.transfers.firing import (
    Fired,
    Firing,
    base_of,
    called_late_s,
    due_slot,
    is_absurd,
    schedule_of,
    wait_s,
)
from mftgit.model.transfers.triggers import CronTrigger, IntervalTrigger, Trigger, calendar_of

_CALLED = timedelta(minutes=1)
"""A schedule's own call is answered within this; no crontab expression has two slots in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What an owner knows of the schedule, once it has raised the fence.

    ``base`` is the last slot that was run, or from when on slots count.
    """

    epoch: Epoch
    schedule: str
    intents: Intents
    base: datetime


class Firings:
    """Those of one transfer on this member; used by one thread at a time.

    ``since`` is when a revision brought the schedule to the member, None where it had it when it started.
    """

    def __init__(self) -> None:
        self.since: datetime | None = None
        self._kept: _Kept | None = None
        self._due: float | None = None  # when the next slot of an interval is, by `Clock.boottime`

    def due(self, trigger: Trigger, context: RunContext, *, taken: bool) -> Firing | None:
        """Return the slot that is to be run now, None where none is.

        With ``taken`` it makes up for what came due since the slot that was run last, unless that is too long ago;
        without, it answers a call of this member's own scheduler, however late. A member that takes a thousand
        transfers over only reads, where nothing is due; the fence is raised before the first slot is run, and what was
        run last is read once more behind it.

        Raises:
            OwnershipEndedError: a successor is there.
            MftgitError: the members' storage does not answer; nothing counts as run.
        """
        schedule = schedule_of(trigger)
        if schedule is None or not isinstance(trigger, CronTrigger | IntervalTrigger):
            self._kept, self._due = None, None
            return None
        kept, now = self._kept, context.clock.now()
        known = kept is not None and kept.epoch == context.ownership.epoch
        if kept is None or not known or kept.schedule != schedule:
            self._kept = None
            if taken and self._is_quiet(trigger, schedule, context):
                return None
            kept = self._kept = self._begin(trigger, schedule, context)
        elif isinstance(trigger, IntervalTrigger):
            return self._called(trigger, context)
        elif is_absurd(kept.base, now):  # our own clock was set back: what is called for now is due
            kept = self._kept = replace(kept, base=now - _CALLED)
        slot = _due_slot(trigger, kept.base, context, taken=taken)
        if slot is None:
            if kept.base > now and not taken:
                logger.info("a clock that is ahead has run this firing", until=kept.base)
            if kept.base < now and not taken and is_off(trigger, context.generation, now):
                self._kept = replace(kept, base=now)  # or each call would go through all days off
            return None
        return Firing(due_at=slot, caught_up=taken)

    def begin(self, firing: Firing) -> None:
        """Write down that a run for ``firing`` begins: it is gone on with by whoever comes next, and no other is begun.

        Raises:
            OwnershipEndedError: a successor is there; the run is not ours.
            MftgitError: the members' storage does not take it; no run may begin.
        """
        kept = self._known()
        # First that a run is open: a crash between the two must lose no firing. Who finds both due runs once.
        kept.intents.open_run()
        self.pass_over(firing)

    def pass_over(self, firing: Firing) -> None:
        """Write down that ``firing`` is over, for no run was to be; raises as `begin`."""
        kept = self._known()
        self._kept = None  # unless it is written, it is read anew
        kept.intents.fired.write(Fired(due_at=firing.due_at, schedule=kept.schedule))
        self._kept = replace(kept, base=firing.due_at)

    def next_in_s(self, context: RunContext) -> float | None:
        """Return in how many seconds the next slot of an interval is due; None where the wall clock tells."""
        return None if self._due is None else max(0.0, self._due - context.clock.boottime())

    def forget(self) -> None:
        """Read anew what was run last, as where somebody has removed it."""
        self._kept = None

    def _known(self) -> _Kept:
        if self._kept is None:
            raise LookupError("no firing was due")
        return self._kept

    def _is_quiet(
        self, trigger: CronTrigger | IntervalTrigger, schedule: str, context: RunContext
    ) -> bool:
        """Tell whether nothing is due after what a predecessor has run, whatever it may still write down."""
        fired, now = peek(context.state), context.clock.now()
        if fired is None or fired.schedule != schedule:
            return False
        base = base_of(fired, schedule, since=self.since, now=now)
        self._reckon(trigger, base, context)
        return base == fired.due_at and _due_slot(trigger, base, context, taken=True) is None

    def _reckon(
        self, trigger: CronTrigger | IntervalTrigger, base: datetime, context: RunContext
    ) -> None:
        self._due = None
        if isinstance(trigger, IntervalTrigger):
            in_s = wait_s(trigger, base=base, now=context.clock.now())
            self._due = context.clock.boottime() + in_s

    def _begin(
        self, trigger: CronTrigger | IntervalTrigger, schedule: str, context: RunContext
    ) -> _Kept:
        intents = Intents(context.state, context.ownership)
        intents.take_over()
        fired, now = intents.fired.read(), context.clock.now()
        base = base_of(fired, schedule, since=self.since, now=now)
        begins = Fired(due_at=base, schedule=schedule)
        if fired != begins:
            intents.fired.write(begins)
        self._reckon(trigger, base, context)
        return _Kept(epoch=context.ownership.epoch, schedule=schedule, intents=intents, base=base)

    def _called(self, trigger: IntervalTrigger, context: RunContext) -> Firing | None:
        """Answer the scheduler, whose intervals are counted by a clock that nobody sets."""
        now = context.clock.boottime()
        due = now if self._due is None else self._due
        late_s = called_late_s(trigger, due=due, now=now)
        if late_s is None:
            return None
        self._due = max(now, due) - late_s + trigger.every_s
        slot = context.clock.now() - timedelta(seconds=late_s)
        return None if is_off(trigger, context.generation, slot) else Firing(due_at=slot)


def _due_slot(
    trigger: CronTrigger | IntervalTrigger, base: datetime, context: RunContext, *, taken: bool
) -> datetime | None:
    return due_slot(
        trigger,
        base=base,
        now=context.clock.now(),
        within_s=trigger.catch_up_s if taken else None,
        zones=find_zone,
        is_off=lambda moment: is_off(trigger, context.generation, moment),
    )


def is_off(trigger: Trigger, generation: Generation, moment: datetime) -> bool:
    """Tell whether the calendar of ``trigger``, where it names one, says that nothing runs on the day of ``moment``."""
    name = calendar_of(trigger)
    calendar = None if name is None else generation.cluster.calendars.get(name)
    return calendar is not None and calendar.is_off(moment, find_zone)
