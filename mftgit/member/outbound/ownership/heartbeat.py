"""Renew this member's session in a thread that does nothing else, so that nothing that takes long keeps it waiting."""

from threading import Event, Thread

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import Coordinator, SessionLostError
from mftgit.errors import MftgitError
from mftgit.member.outbound.ownership.own import Term
from mftgit.model.ownership.lease import renew_every_s, watch_every_s


class Heartbeat:
    """Renews one term at a time. A term that is lost, or was not renewed in time, is never renewed again."""

    def __init__(self, coordinator: Coordinator, *, clock: Clock) -> None:
        """Nothing is renewed before `begin`."""
        self._coordinator = coordinator
        self._clock = clock
        self._term: Term | None = None
        self._due = 0.0
        self._wake = Event()
        self._stopping = False
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin the thread."""
        self._thread.start()

    def begin(self, term: Term) -> None:
        """Renew ``term`` from now on, and no other."""
        self._term = term
        self._due = term.session.sent_at + renew_every_s(term.session.ttl_s)
        self._wake.set()

    def stop(self) -> None:
        """Renew nothing any more, and hang up. What is under way is not waited for: it may hang."""
        self._stopping = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            term = self._term
            if term is None or not term.valid():
                self._wake.wait()
            elif (pause_s := self._due - self._clock.boottime()) > 0:
                self._wake.wait(pause_s)
            else:
                self._renew(term)
                continue
            self._wake.clear()
        self._coordinator.hang_up()  # nobody asks any more

    def _renew(self, term: Term) -> None:
        ttl_s = term.session.ttl_s
        try:
            session = self._coordinator.renew(term.session)
        except SessionLostError as error:
            term.lose(str(error))
            return
        except MftgitError as error:
            logger.warning("the session was not renewed", reason=str(error))
        except Exception:  # noqa: BLE001  what nobody foresaw must not end the heartbeat
            logger.opt(exception=True).error("a renewal failed unexpectedly")
        else:
            term.prolong(session)
            if term is self._term:
                self._due = session.sent_at + renew_every_s(ttl_s)
            return
        if term is self._term:
            self._due = self._clock.boottime() + watch_every_s(ttl_s)
