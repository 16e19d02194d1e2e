"""How a service speaks with the clients that are let on: a server by the type of the service."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from socket import socket

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import HomeError
from mftgit.adapters.hosting import Hosting
from mftgit.adapters.sftp_server.serve import serve
from mftgit.adapters.ssh_server.reception import Connection, Reception, Session
from mftgit.adapters.ssh_server.server import SshServer
from mftgit.adapters.web.login import Passes
from mftgit.adapters.web.server import WebServer
from mftgit.member.inbound.login import Logins
from mftgit.model.inbound.service import HttpsService, SftpService
from mftgit.model.inbound.serving import Serving
from mftgit.model.inbound.visitor import Visitor

Greet = Callable[[socket, Visitor, Logins, Reception, Hosting], Connection]
"""Begins to speak with a client, and returns at once; the socket is closed later."""


def make_greeting(serving: Serving, clock: Clock) -> Greet:
    """Return how clients of ``serving`` are spoken with.

    Raises:
        ConfigError: a key or certificate is none.
    """
    service = serving.service
    if isinstance(service, HttpsService):
        return _speak_https(serving, service)
    return _speak_sftp(serving, service, clock)


def _speak_sftp(serving: Serving, service: SftpService, clock: Clock) -> Greet:
    server = SshServer(
        host_keys=[each.reveal() for each in serving.keys],
        algorithms=service.algorithms,
        limits=service.limits,
        banner=service.banner,
        monotonic=clock.boottime,
    )

    def greet(
        sock: socket, visitor: Visitor, logins: Logins, reception: Reception, hosting: Hosting
    ) -> Connection:
        return server.receive(
            sock,
            visitor,
            doorkeeper=logins.doorkeeper(visitor),
            reception=reception,
            serve=partial(_serve_session, hosting),
        )

    return greet


def _serve_session(hosting: Hosting, session: Session) -> None:
    with suppress(HomeError), hosting.enter(session.account) as home:
        serve(
            session.stream,
            home,
            account=session.account,
            tell_upload=hosting.tell_upload,
            downloaded=hosting.downloaded,
            tally=hosting.tally,
            answering=hosting.answering,
            clock=hosting.clock,
            work=session.work,
        )


def _speak_https(serving: Serving, service: HttpsService) -> Greet:
    (certificate,) = (each.reveal() for each in serving.keys)
    passes = Passes(certificate, serving.accounts, lasts_s=service.session_s)
    server = WebServer(certificate=certificate, limits=service.limits, passes=passes)

    def greet(
        sock: socket, visitor: Visitor, logins: Logins, reception: Reception, hosting: Hosting
    ) -> Connection:
        return server.receive(
            sock,
            visitor,
            doorkeeper=partial(logins.doorkeeper, visitor),
            reception=reception,
            hosting=hosting,
        )

    return greet
