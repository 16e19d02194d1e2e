"""Carry out what an operator says of the roll-out: one path for the command line and for the Web Manager."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mftgit.adapters.events.store import EventStore
from mftgit.adapters.registry.registry import Registry
from mftgit.errors import ConfigError
from mftgit.model.events.event import EventName, Fact
from mftgit.model.printable import printable
from mftgit.model.rollout import orders as rollout_orders
from mftgit.model.rollout.rollout import Progress

_MIN_DIGITS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What is said of the roll-out: the step that it is, and the event that tells of it."""

    step: Callable[[Progress], Progress]
    event: EventName
    facts: Mapping[str, Fact] = field(default_factory=dict)


PAUSE: Final = Word(step=rollout_orders.pause, event=EventName.ROLLOUT_PAUSED)
RESUME: Final = Word(step=rollout_orders.resume, event=EventName.ROLLOUT_RESUMED)
ABORT: Final = Word(step=rollout_orders.abort, event=EventName.ROLLOUT_ABORTED)


def promote(*, regardless: bool) -> Word:
    """Return the word that gives everybody their turn; ``regardless`` of change windows, too."""
    step = partial(rollout_orders.promote, regardless=regardless)
    return Word(step=step, event=EventName.ROLLOUT_PROMOTED, facts={"now": regardless})


def steer(
    registry: Registry,
    events: EventStore,
    word: Word,
    *,
    rev: str | None = None,
    by: str | None = None,
) -> Progress:
    """Do what ``word`` says, and return where the roll-out stands then; ``by`` is who says it from afar.

    With ``rev``, an id or at least seven digits of one, it is refused where that is not the newest revision.

    Raises:
        NothingToDoError: it does not go with the state.
        ConfigError: there is no roll-out, or ``rev`` is another revision.
    """
    told = {} if by is None else {"by": by}

    def change(found: Progress | None) -> Progress:
        after = word.step(_meant(there(found), rev))
        # Written down before it is kept: rather twice than never.
        events.append(word.event, revision=after.oid, facts={**word.facts, **told})
        return after

    return there(registry.change_rollout(change))


def there(progress: Progress | None) -> Progress:
    """Return ``progress``; raises ConfigError where there is none."""
    if progress is None:
        raise ConfigError(
            "there is no roll-out yet: it begins when the controller runs (`mftgit run DIR`)"
        )
    return progress


def _meant(progress: Progress, rev: str | None) -> Progress:
    if rev is not None and not (len(rev) >= _MIN_DIGITS and progress.oid.startswith(rev)):
        raise ConfigError(
            f"the newest revision is {progress.oid[:12]}, not {printable(rev)}: look at "
            "`mftgit rollout status`, and name that, by at least seven digits, or none"
        )
    return progress
