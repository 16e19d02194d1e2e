"""What a handler does with the events of a lane: hand them over piece by piece, or tell all of them by one mail."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

from mftgit.adapters.clock import Clock
from mftgit.adapters.handlers.smtp import Mail, Mailer
from mftgit.adapters.handlers.target import Target
from mftgit.model.events.event import Event
from mftgit.model.handlers.handler import EmailHandler
from mftgit.model.handlers.mail_digest import Digest, fill_subject, sort_of
from mftgit.model.handlers.mail_pace import Pace

Page = tuple[int, Sequence[tuple[int, Event]]]
"""Up to which position the log was read, and the events of the lane in it, with their positions."""

Done = Callable[[int, int, Event | None], None]
"""(position, count, last): so many events more are done, none is left up to the position, and this was the last."""


class Work(Protocol):
    """Handles the events of lanes."""

    workers: int
    """So many lanes may be handled at once."""

    def due_in_s(self, event: Event) -> float:
        """Return how long ``event``, which has just come, may wait for what comes with it."""

    def again_in_s(self) -> float:
        """Return how long what was left by a process before this one has to wait."""

    def take(self, pages: Iterator[Page], done: Done) -> None:
        """Handle what stands in ``pages``; raises TargetError."""

    def skip(self, pages: Iterator[Page], done: Done) -> int:
        """Leave out what is refused again and again, and return how many events that are."""

    def kept(self) -> Any:
        """Return what has to outlive this process."""

    def resume(self, kept: Any) -> None:
        """Go on from what `kept` gave."""

    def close(self) -> None:
        """Let whoever is in `take` meet a TargetError soon."""


class Pieces:
    """Hands events over to a target, one after the other or some at once."""

    def __init__(self, target: Target, *, workers: int = 1) -> None:
        self._target = target
        self.workers = workers

    def due_in_s(self, _event: Event) -> float:
        """See `Work.due_in_s`."""
        return 0.0

    def again_in_s(self) -> float:
        """See `Work.again_in_s`."""
        return 0.0

    def take(self, pages: Iterator[Page], done: Done) -> None:
        """See `Work.take`."""
        most = self._target.most_at_once
        for position, found in pages:
            for at in range(0, len(found), most):
                piece = found[at : at + most]
                self._target.send([event for _, event in piece])
                done(*_last(piece))
            done(position, 0, None)

    def skip(self, pages: Iterator[Page], done: Done) -> int:
        """See `Work.skip`."""
        for position, found in pages:
            if found:
                done(found[0][0], 1, None)
                return 1
            done(position, 0, None)
        return 0

    def kept(self) -> Any:
        """See `Work.kept`."""
        return None

    def resume(self, _kept: Any) -> None:
        """See `Work.resume`."""

    def close(self) -> None:
        """See `Work.close`."""
        self._target.close()


class Mails:
    """Tells events by mail, as seldom as the handler says."""

    workers = 1

    def __init__(
        self, handler: EmailHandler, mailer: Mailer, *, cluster: str, clock: Clock
    ) -> None:
        self._handler = handler
        self._mailer = mailer
        self._cluster = cluster
        self._clock = clock
        self._pace = Pace(
            settle_s=handler.settle_s,
            digest_s=handler.digest_s,
            at_most_per_hour=handler.at_most_per_hour,
        )

    def due_in_s(self, event: Event) -> float:
        """See `Work.due_in_s`."""
        return self._pace.due_in_s(sort_of(event), self._now())

    def again_in_s(self) -> float:
        """See `Work.again_in_s`."""
        return max(self._handler.settle_s, self._pace.held_back_s(self._now()))

    def take(self, pages: Iterator[Page], done: Done) -> None:
        """See `Work.take`."""
        digest, position, last = Digest(), 0, None
        for reached, found in pages:
            position = reached
            for _, event in found:
                digest.add(event)
                last = event
        if digest.count:
            self._mailer.send(digest_mail(digest, self._handler, cluster=self._cluster))
            self._pace.sent(digest.sorts, self._now())
        done(position, digest.count, last)

    def skip(self, pages: Iterator[Page], done: Done) -> int:
        """See `Work.skip`."""
        count, position = 0, 0
        for reached, found in pages:
            count, position = count + len(found), reached
        done(position, count, None)
        return count

    def kept(self) -> Any:
        """See `Work.kept`."""
        return self._pace.as_json()

    def resume(self, kept: Any) -> None:
        """See `Work.resume`."""
        with suppress(TypeError, ValueError):
            self._pace.resume(kept, self._now())

    def close(self) -> None:
        """See `Work.close`."""
        self._mailer.close()

    def _now(self) -> float:
        return self._clock.now().timestamp()


def digest_mail(digest: Digest, handler: EmailHandler, *, cluster: str) -> Mail:
    """Return the mail of ``handler`` that tells ``digest``."""
    values = {
        "cluster": cluster,
        "handler": handler.name,
        "summary": digest.summary(),
        "count": digest.count,
    }
    return Mail(subject=fill_subject(handler.subject, values), text=digest.text(cluster))


def _last(piece: Sequence[tuple[int, Event]]) -> tuple[int, int, Event]:
    position, event = piece[-1]
    return position, len(piece), event
