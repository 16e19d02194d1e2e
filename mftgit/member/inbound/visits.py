"""The connections of one process: met, asked about, served, and told of."""

import itertools
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from socket import socket
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.control_line import LineEndedError
from mftgit.adapters.home.account import open_home
from mftgit.adapters.home.contract import Home, HomeError
from mftgit.adapters.home.usage import Usages
from mftgit.adapters.hosting import Answering, Download, Hosting, Tally
from mftgit.adapters.proxy_protocol import visitor_of
from mftgit.adapters.ssh_server.reception import Connection
from mftgit.errors import MftgitError
from mftgit.member.inbound.asking import Asking, Reception, told_path
from mftgit.member.inbound.login import Logins
from mftgit.member.inbound.partners import Partners
from mftgit.member.inbound.speaking import Greet
from mftgit.model.inbound.messages import Downloaded, Ended, Traffic, Usage
from mftgit.model.inbound.serving import Serving
from mftgit.model.inbound.visitor import Visitor, read_visitor
from mftgit.model.names import AccountName

_HEADER_S: Final = 5.0
_MOST_MEETING: Final = 256
"""So many connections of a process are asked about at once; more are closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servant:
    """What new connections are served by."""

    number: int
    serving: Serving
    greet: Greet
    logins: Logins


@dataclass(slots=True, kw_only=True)
class _Visit:
    """One connection that was admitted; ``told`` is what was told of it last."""

    connection: Connection | None = None
    tally: Tally = field(default_factory=Tally)
    told: Usage | None = None
    homes: set[Home] = field(default_factory=set)
    answering: Answering = field(default_factory=Answering)
    end_why: str | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no file is open, nor is one closed of which the client has not heard."""
        # In this order: a file that was open a moment ago is being answered for by now.
        return all(home.is_idle for home in self.homes) and not self.answering.is_any


class Visits:
    """All connections of one process. ``meet`` is called by the one that accepts."""

    def __init__(self, asking: Asking, clock: Clock) -> None:
        """Nobody is there."""
        self._asking = asking
        self._clock = clock
        self._usages = Usages(clock)
        self.partners = Partners(clock)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._visits: dict[int, _Visit] = {}
        self._meeting = threading.BoundedSemaphore(_MOST_MEETING)
        self.servant: Servant | None = None

    def meet(self, sock: socket, address: str, port: int) -> None:
        """Look after a connection that was accepted, in a thread of its own."""
        servant = self.servant
        if servant is None or not self._meeting.acquire(blocking=False):
            sock.close()
            return
        thread = threading.Thread(
            target=self._receive, args=(servant, sock, address, port), name="meet", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # there are too many already; whoever accepts has to go on
            self._meeting.release()
            sock.close()

    def end(self, numbers: Collection[int] | None, why: str, *, idle: bool) -> None:
        """Hang up on these connections, None: on all; with ``idle`` only on those that are idle."""
        with self._lock:
            visits = [
                visit
                for number, visit in self._visits.items()
                if (numbers is None or number in numbers) and not (idle and not visit.is_idle)
            ]
            for visit in visits:
                visit.end_why = why
            connections = [each.connection for each in visits if each.connection is not None]
        for connection in connections:
            thread = threading.Thread(target=connection.end, args=(why,), name="end", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # there are too many already
                connection.end(why)

    def tell_traffic(self) -> None:
        """Tell what connections have done, of those that did something; raises LineEndedError."""
        usages = []
        with self._lock:
            for number, visit in self._visits.items():
                usage = _usage(number, visit.tally)
                if usage != (visit.told or Usage(connection=number)):
                    visit.told = usage
                    usages.append(usage)
        if usages:
            self._asking.tell(Traffic(usages=tuple(usages)))

    def _receive(self, servant: Servant, sock: socket, address: str, port: int) -> None:
        service = servant.serving.service
        try:
            visitor = visitor_of(
                sock,
                read_visitor(address, port),
                proxies=service.proxies,
                patience_s=_HEADER_S,
                monotonic=self._clock.boottime,
            )
            self._let_on(servant, sock, visitor)
        except (OSError, MftgitError) as error:  # it has gone, or a balancer does not say who it is
            logger.debug("a connection could not be received", error=str(error))
            sock.close()
        except Exception:  # noqa: BLE001  what an outsider sends must end its connection alone
            logger.opt(exception=True).error("a connection could not be received")
            sock.close()
        finally:
            self._meeting.release()

    def _let_on(self, servant: Servant, sock: socket, visitor: Visitor) -> None:
        number = next(self._numbers)
        visit = _Visit()
        with self._lock:
            self._visits[number] = visit
        reception = Reception(self._asking, number, servant.number, ended=self._ended)
        if not reception.admit(visitor):
            with self._lock:
                del self._visits[number]
            sock.close()
            return
        try:
            hosting = self._hosting(servant, number, reception, visit)
            connection = servant.greet(sock, visitor, servant.logins, reception, hosting)
        except BaseException:
            self._ended(number, "it could not be served")
            raise
        with self._lock:
            visit.connection = connection
            why = visit.end_why
        if why is not None:
            connection.end(why)

    def _hosting(
        self, servant: Servant, number: int, reception: Reception, visit: _Visit
    ) -> Hosting:
        def downloaded(download: Download) -> None:
            self._asking.tell(
                Downloaded(
                    connection=number,
                    path=told_path(download.path),
                    size_bytes=download.size_bytes,
                    sent_bytes=download.sent_bytes,
                    duration_s=download.duration_s,
                )
            )

        @contextmanager
        def enter(account: AccountName) -> Iterator[Home]:
            try:
                home = open_home(
                    servant.serving.accounts[account],
                    uploads=servant.serving.service.uploads,
                    finished=reception.uploaded,
                    clock=self._clock,
                    usages=self._usages,
                    lender=self.partners,
                )
            except HomeError as error:
                logger.warning(
                    "the home of an account cannot be opened",
                    account=account,
                    why=str(error.__cause__ or error),
                )
                raise
            with self._lock:
                visit.homes.add(home)
            try:
                yield home
            finally:
                with self._lock:
                    visit.homes.discard(home)

        return Hosting(
            enter=enter,
            tell_upload=reception.tell_uploaded,
            downloaded=downloaded,
            tally=visit.tally,
            answering=visit.answering,
            clock=self._clock,
        )

    def _ended(self, number: int, why: str) -> None:
        with self._lock:
            visit = self._visits.pop(number, None)
        if visit is None:
            return
        try:
            self._asking.tell(Ended(usage=_usage(number, visit.tally), why=why[:_MOST_WHY]))
        except LineEndedError:
            return  # and so does this process


_MOST_WHY: Final = 500


def _usage(number: int, tally: Tally) -> Usage:
    return Usage(
        connection=number,
        received_bytes=tally.received_bytes,
        sent_bytes=tally.sent_bytes,
        uploads=tally.uploads,
        downloads=tally.downloads,
    )
