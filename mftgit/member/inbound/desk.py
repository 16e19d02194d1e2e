"""What one service answers its processes: who is let on, who is let in, and that a file is written down."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from loguru import logger

from mftgit.member.inbound.guest import Guest, Place, closed, downloaded, opened, uploaded
from mftgit.member.inbound.register import Register
from mftgit.model.events.event import EventName, Fact
from mftgit.model.inbound.account_use import KNOWN_S
from mftgit.model.inbound.admission import Crowd, Turned, has_expired
from mftgit.model.inbound.barrier import source_of
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.messages import (
    Admit,
    Downloaded,
    Ended,
    Failed,
    LoggedIn,
    Redeem,
    Request,
    Uploaded,
    Usage,
    Verdict,
)
from mftgit.model.inbound.serving import Serving
from mftgit.model.inbound.session_fate import Fate, fate

_KEPT_SERVINGS: Final = 16
_COMPLAINS_EVERY_S: Final = 60.0
_DOUBTS_S: Final = 2.0
_TOLD: Final = frozenset({Turned.FULL, Turned.SOURCE_FULL, Turned.CROWDED})

Answer = Callable[[Verdict], None]


class Desk:
    """The guests of one service. Any thread calls; ``hang_up`` ends connections, with a reason."""

    def __init__(
        self,
        serving: Serving,
        register: Register,
        hang_up: Callable[[Mapping[int, list[int]], str], None],
        *,
        workers: Callable[[], Collection[int]],
    ) -> None:
        """Let nobody in yet. ``workers`` are the numbers of the processes that may take more clients."""
        self._register = register
        self._hang_up = hang_up
        self._workers = workers
        self._loads: Counter[int] = Counter()
        self._crowd = Crowd()
        self._guests: dict[Place, Guest] = {}
        self._servings: dict[int, Serving] = {}
        self.serving = serving
        self._complains_at: dict[Turned, float] = {}
        self.open = False

    # What is true

    def guests(self) -> list[Guest]:
        """Return who is there."""
        with self._register.lock:
            return list(self._guests.values())

    @property
    def connections(self) -> int:
        """How many are there."""
        return self._crowd.connections

    @property
    def sessions(self) -> int:
        """How many of them have logged in."""
        with self._register.lock:
            return self._crowd.connections - self._crowd.unauthenticated

    # Changes

    def change(self, number: int, serving: Serving) -> None:
        """Go by ``serving``; whom it takes something from is hung up on."""
        with self._register.lock:
            self.serving = serving
            self._servings[number] = serving
            for old in sorted(self._servings)[:-_KEPT_SERVINGS]:
                del self._servings[old]
            ending: dict[Fate, list[Guest]] = {}
            for guest in self._guests.values():
                why = self._fate(guest)
                if why is not None:
                    ending.setdefault(why, []).append(guest)
        for why, guests in ending.items():
            self.end(guests, why.value)

    def _fate(self, guest: Guest) -> Fate | None:
        if guest.account is None or guest.served is None:
            return None  # that is seen when it logs in
        return fate(guest.served, self.serving.accounts.get(guest.account))

    def end(self, guests: Iterable[Guest], why: str) -> None:
        """Hang up on ``guests``."""
        places: dict[int, list[int]] = {}
        with self._register.lock:
            for guest in guests:
                if guest.why is None:
                    guest.why = why
                    places.setdefault(guest.place[0], []).append(guest.place[1])
        if places:
            self._hang_up(places, why)

    def end_expired(self) -> None:
        """Hang up on those whose account has expired."""
        now = self._register.clock.now()
        with self._register.lock:
            expired = [
                guest
                for guest in self._guests.values()
                if guest.account is not None
                and (served := self.serving.accounts.get(guest.account)) is not None
                and has_expired(served, now)
            ]
        self.end(expired, Fate.EXPIRED.value)

    # Questions

    def ask(self, process: int, request: Request, answer: Answer) -> None:
        """Answer ``request`` of ``process``, at once or when it can be answered."""
        match request:
            case Admit():
                answer(self._admit(process, request))
            case Failed():
                answer(self._failed(process, request))
            case Redeem():
                known = request.account in self.serving.accounts
                good = known and self._register.redeem(request.account, request.step)
                answer(Verdict(request=request.request, granted=good))
            case LoggedIn():
                self._log_in(process, request, answer, self._register.clock.boottime())
            case Uploaded():
                self._uploaded(process, request, answer)

    def _admit(self, process: int, asked: Admit) -> Verdict:
        leaving: list[Guest] = []
        with self._register.lock:
            verdict = self._decide(process, asked, leaving)
        for guest in leaving:
            self._hang_up({guest.place[0]: [guest.place[1]]}, Turned.CROWDED.value)
        if not verdict.granted:
            return verdict
        fewest = min((self._loads[each] for each in self._workers()), default=0)
        return replace(verdict, ahead=max(0, self._loads[process] - fewest))

    def _decide(self, process: int, asked: Admit, leaving: list[Guest]) -> Verdict:
        """Answer ``asked``; who has to go for it is added to ``leaving``."""
        clock = self._register.clock
        now = clock.boottime()
        serving = self._servings.get(asked.number)
        if serving is None:
            return _refused(asked.request, Turned.CHANGED.value)
        try:
            source = source_of(asked.source)
            turned = self._turned(asked.source, source, serving, now)
            if turned is Turned.CROWDED and (guest := self._make_room(source)) is not None:
                leaving.append(guest)
                turned = self._crowd.come(source, serving.service.limits)
        except ValueError:
            return _refused(asked.request, "no address")
        if turned is not None:
            self._complain(turned, now)
            return _refused(asked.request, turned.value)
        place = process, asked.connection
        self._loads[process] += 1
        self._guests[place] = Guest(
            session=next(self._register.numbers),
            place=place,
            address=asked.source,
            source=source,
            serving=serving,
            since=clock.now(),
            began_at=now,
        )
        return Verdict(request=asked.request, granted=True)

    def _turned(self, address: str, source: str, serving: Serving, now: float) -> Turned | None:
        service = serving.service
        if not self.open:
            return Turned.CLOSED
        if self._register.barrier.keeps_out(address, now, service.defence.exempt) is not None:
            return Turned.BANNED
        return self._crowd.come(source, service.limits)

    def _make_room(self, source: str) -> Guest | None:
        """Count the oldest one out that has not logged in, of the source that has most of them, if ``source`` has few.

        Whoever that is cannot log in any more: it is no guest.
        """
        crowding = self._crowd.crowding(source)
        if crowding is None:
            return None
        leaves = next(  # guests stand in the order in which they came
            guest
            for guest in self._guests.values()
            if guest.account is None and guest.source == crowding
        )
        del self._guests[leaves.place]
        self._count_out(leaves)
        return leaves

    def _count_out(self, guest: Guest) -> None:
        self._crowd.go(guest.source, logged_in=guest.account is not None)
        process = guest.place[0]
        self._loads[process] -= 1
        if not self._loads[process]:
            del self._loads[process]

    def _complain(self, turned: Turned, now: float) -> None:
        """Tell operators that clients are turned away, now and then."""
        if turned in _TOLD and now >= self._complains_at.get(turned, now):
            self._complains_at[turned] = now + _COMPLAINS_EVERY_S
            logger.warning(
                "connections are turned away", service=self.serving.service.name, why=turned.value
            )

    def _failed(self, process: int, asked: Failed) -> Verdict:
        guest = self._guests.get((process, asked.connection))
        if guest is None:
            return _refused(asked.request, "no such connection")
        service = guest.serving.service
        facts: dict[str, Fact] = {"account": asked.account, "why": asked.flaw.value}
        delay_s, ban = self._register.judge(service.name, guest.address, service.defence, facts)
        if ban is None:
            return Verdict(request=asked.request, granted=True, delay_s=delay_s)
        with self._register.lock:
            others = [
                each
                for each in self._guests.values()
                if each.account is None and each.source == guest.source and each is not guest
            ]
        self.end(others, Turned.BANNED.value)
        return replace(_refused(asked.request, Turned.BANNED.value), delay_s=delay_s)

    def _log_in(self, process: int, asked: LoggedIn, answer: Answer, since: float) -> None:
        """Answer ``asked``, which is so since then. Whom only sessions elsewhere stand against is looked at again.

        One of them may have ended just before, as where a client goes from one member to another. Where nothing is
        heard meanwhile of other members, they do not count.
        """
        now = self._register.clock.boottime()
        is_last = now >= since + _DOUBTS_S
        guest, turned = self._let_in(process, asked, since if is_last else now - KNOWN_S)
        if guest is None:
            answer(_refused(asked.request, "no such connection, or it has logged in"))
        elif turned is Turned.BUSY_ELSEWHERE and not is_last:
            self._register.doubt(partial(self._log_in, process, asked, answer, since))
        else:
            answer(self._logged_in(guest, asked, turned))

    def _let_in(
        self, process: int, asked: LoggedIn, heard_since: float
    ) -> tuple[Guest | None, Turned | None]:
        """Return who asks, None where nobody may, and why it is turned away; otherwise count it in."""
        with self._register.lock:
            guest = self._guests.get((process, asked.connection))
            if guest is None or guest.account is not None:
                return None, None
            turned = self._begin(guest, asked, heard_since)
            if turned is None:
                self._crowd.log_in(guest.source)
                guest.account, guest.factors = asked.account, asked.factors
                guest.client = asked.client
                guest.served = self.serving.accounts[asked.account]
        return guest, turned

    def _begin(self, guest: Guest, asked: LoggedIn, heard_since: float) -> Turned | None:
        if guest.why is not None or not self.open:
            return Turned.CLOSED
        before = guest.serving.accounts.get(asked.account)
        now = self.serving.accounts.get(asked.account)
        if before is None or now is None:
            return Turned.GONE
        if fate(before, now) is not None:
            return Turned.CHANGED
        register = self._register
        return register.sessions.begin(now, register.clock.now(), heard_since=heard_since)

    def _logged_in(self, guest: Guest, asked: LoggedIn, turned: Turned | None) -> Verdict:
        register = self._register
        if turned is not None:
            facts: dict[str, Fact] = {"account": asked.account, "why": turned.value}
            register.tell_refused(self.serving.service.name, guest.address, facts)
            return _refused(asked.request, turned.value)
        register.used()
        register.recorder.put(EventName.SESSION_OPENED, opened(guest), flush=False)
        return Verdict(request=asked.request, granted=True)

    def _uploaded(self, process: int, told: Uploaded, answer: Answer) -> None:
        guest, finished = self._guests.get((process, told.connection)), told.finished
        if guest is None or guest.account != finished.account:
            answer(_refused(told.request, "no such session"))
            return
        then = partial(self._written, told.request, finished, answer)
        self._register.recorder.put(
            EventName.UPLOAD_FINISHED,
            uploaded(guest, finished),
            then,
            flush=guest.serving.service.uploads.flush,
        )

    def _written(self, request: int, finished: Finished, answer: Answer, written: bool) -> None:  # noqa: FBT001  the last of a call back
        answer(Verdict(request=request, granted=written))
        if written:
            self._register.arrived(self.serving.service.name, finished)

    # What is told

    def downloaded(self, process: int, told: Downloaded) -> None:
        """Take down that a file was read."""
        guest = self._guests.get((process, told.connection))
        if guest is None or guest.account is None:
            return
        self._register.recorder.put(
            EventName.DOWNLOAD_FINISHED, downloaded(guest, told), flush=False
        )

    def used(self, process: int, usages: Iterable[Usage]) -> None:
        """Take note of what guests have done by now."""
        with self._register.lock:
            for usage in usages:
                guest = self._guests.get((process, usage.connection))
                if guest is not None:
                    guest.usage = usage

    def ended(self, process: int, told: Ended) -> None:
        """Count one out."""
        register = self._register
        with register.lock:
            guest = self._guests.pop((process, told.usage.connection), None)
            if guest is None:
                return
            self._count_out(guest)
            if guest.account is None:
                return
            register.sessions.end(guest.account)
        register.used()
        register.recorder.put(
            EventName.SESSION_CLOSED,
            closed(guest, told, register.clock.boottime()),
            flush=False,
        )

    def lost(self, process: int) -> None:
        """Count all of a process out that has ended."""
        for guest in self.guests():
            if guest.place[0] == process:
                usage = replace(guest.usage, connection=guest.place[1])
                self.ended(process, Ended(usage=usage, why="its process has ended"))


def _refused(request: int, why: str) -> Verdict:
    return Verdict(request=request, granted=False, why=why)
