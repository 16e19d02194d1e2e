"""Connections of HTTPS clients: each in a thread of its own, logged in, and served out of its account's home."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from loguru import logger

from mftgit.adapters.home.contract import HomeError, Refusal
from mftgit.adapters.hosting import Hosting
from mftgit.adapters.ssh_server.reception import Reception
from mftgit.adapters.web.files import Files, said
from mftgit.adapters.web.login import Entrance, Passes, WebDoorkeeper
from mftgit.adapters.web.page import OWN
from mftgit.adapters.web.wire import (
    Asked,
    NoRequestError,
    Told,
    Wire,
    WireError,
    hang_up,
    tls_context,
)
from mftgit.errors import ConfigError
from mftgit.model.inbound.service import ServiceLimits
from mftgit.model.inbound.visitor import Visitor
from mftgit.model.names import AccountName
from mftgit.pages import read_page_part

_FIXED: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
}
_PARTS: Final = {
    f"{OWN}files.css": ("text/css; charset=utf-8", "files.css"),
    f"{OWN}files.js": ("text/javascript; charset=utf-8", "files.js"),
}


class WebServer:
    """Speaks with clients as one service says; ``certificate`` is a chain and its private key, PEM."""

    def __init__(self, *, certificate: str, limits: ServiceLimits, passes: Passes) -> None:
        """Make ready; ``passes`` are those of browsers.

        Raises:
            ConfigError: ``certificate`` is none.
        """
        try:
            self._context = tls_context(certificate)
        except (OSError, ValueError) as error:
            raise ConfigError(
                "the certificate is not a chain of certificates and their private key, PEM, one after the other"
            ) from error
        self._limits = limits
        self._passes = passes
        self._lock = threading.Lock()
        self._connections: set[WebConnection] = set()

    def receive(
        self,
        sock: socket.socket,
        visitor: Visitor,
        *,
        doorkeeper: Callable[[], WebDoorkeeper],
        reception: Reception,
        hosting: Hosting,
    ) -> "WebConnection":
        """Begin to speak with the client at the other end of ``sock``, and return at once; ``sock`` is closed later."""
        entrance = Entrance(
            doorkeeper, self._passes, reception, hosting.clock, attempts=self._limits.attempts
        )
        connection = WebConnection(
            sock,
            visitor,
            context=self._context,
            entrance=entrance,
            reception=reception,
            hosting=hosting,
            limits=self._limits,
            forget=self._forget,
        )
        with self._lock:
            self._connections.add(connection)
        try:
            connection.begin()
        except RuntimeError:  # there are too many threads already
            self._forget(connection)
            raise
        return connection

    def close(self) -> None:
        """End all connections that it received."""
        with self._lock:
            connections = tuple(self._connections)
        for connection in connections:
            connection.end("the server stops")

    def _forget(self, connection: "WebConnection") -> None:
        with self._lock:
            self._connections.discard(connection)


class WebConnection:
    """See `mftgit.adapters.ssh_server.reception.Connection`."""

    def __init__(
        self,
        sock: socket.socket,
        visitor: Visitor,
        *,
        context: ssl.SSLContext,
        entrance: Entrance,
        reception: Reception,
        hosting: Hosting,
        limits: ServiceLimits,
        forget: Callable[["WebConnection"], None],
    ) -> None:
        self._sock = sock
        self._taking = threading.Lock()
        self._context = context
        self.visitor = visitor
        self._entrance = entrance
        self._reception = reception
        self._hosting = hosting
        self._limits = limits
        self._forget = forget
        self._login_by = hosting.clock.boottime() + limits.login_s
        self._entered = ExitStack()
        self._files: Files | None = None
        self._why = "the client left"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    @property
    def account(self) -> AccountName | None:
        """See `Connection.account`."""
        return self._entrance.account

    @property
    def sessions(self) -> int:
        """See `Connection.sessions`."""
        return 1 if self._files is not None and not self._ended.is_set() else 0

    def begin(self) -> None:
        """Speak, in a thread of its own."""
        self._thread.start()

    def end(self, reason: str) -> None:
        """See `Connection.end`; HTTP has no word for it in the middle of an answer."""
        self._why = reason
        with self._taking:
            hang_up(self._sock)

    def wait(self, timeout_s: float | None = None) -> bool:
        """See `Connection.wait`."""
        return self._ended.wait(timeout_s)

    def _patience(self) -> float:
        if self.account is not None:
            return self._limits.idle_s
        return self._login_by - self._hosting.clock.boottime()

    def _run(self) -> None:
        try:
            self._sock.settimeout(self._patience())
            with closing(self._take()) as secured:
                secured.do_handshake()
                clock = self._hosting.clock
                self._converse(Wire(secured, patience=self._patience, monotonic=clock.boottime))
        except OSError as error:
            logger.debug("a connection of HTTPS breaks off", why=error.strerror or "")
        except Exception:  # noqa: BLE001  what an outsider sends must end its connection alone
            logger.opt(exception=True).error("a connection of HTTPS fails")
        finally:
            with suppress(HomeError):
                self._entered.close()
            self._sock.close()
            self._ended.set()
            self._forget(self)
            self._reception.ended(self._why)

    def _take(self) -> ssl.SSLSocket:
        """Go on with the socket under TLS: from now on it is that one which is to be hung up on."""
        with self._taking:
            self._sock = secured = self._context.wrap_socket(
                self._sock, server_side=True, do_handshake_on_connect=False
            )
        return secured

    def _converse(self, wire: Wire) -> None:
        try:
            while (asked := wire.next_request()) is not None:
                with self._hosting.answering:
                    told = self._answer(wire, asked)
                    told = replace(told, headers={**_FIXED, **told.headers})
                    if not wire.answer(told, head_only=asked.method == "HEAD"):
                        return
        except NoRequestError as error:
            wire.refuse(said(HTTPStatus.BAD_REQUEST, str(error)))
        except (
            WireError,
            HomeError,
        ) as error:  # of a file that cannot be read on, less was sent than was told
            logger.debug("a connection of HTTPS ends", why=str(error))

    def _answer(self, wire: Wire, asked: Asked) -> Told:
        path = asked.target.partition("?")[0]
        part = _PARTS.get(path)
        if part is not None and asked.method in {"GET", "HEAD"}:
            kind, name = part
            content = read_page_part(name)
            headers = {"Content-Type": kind, "Cache-Control": "public, max-age=3600"}
            return Told(status=HTTPStatus.OK, headers=headers, body=(content,), length=len(content))
        refused = self._entrance.require(asked, wire.body)
        if refused is not None:
            return refused
        try:
            files = self._files = self._files or self._open()
        except HomeError as error:
            return said(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        return files.answer(asked, wire.body)

    def _open(self) -> Files:
        hosting, account = self._hosting, self._entrance.account
        if account is None:
            raise HomeError(Refusal.FAILED, "nobody is logged in")
        home = self._entered.enter_context(
            closing(self._entered.enter_context(hosting.enter(account)))
        )
        return Files(
            home,
            account=account,
            downloaded=hosting.downloaded,
            tally=hosting.tally,
            clock=hosting.clock,
        )
