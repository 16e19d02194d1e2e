"""From a location to FTP sessions: TCP, TLS, the login, and what the server can do."""

import ftplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointLostError,
    EndpointRefusedError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.ftps.login import Login
from mftgit.adapters.ftps.replies import BROKEN, REFUSED, code_of, said, trouble
from mftgit.adapters.ftps.sockets import Sockets
from mftgit.adapters.ftps.wire import Wire
from mftgit.adapters.tls.client import require_pinned
from mftgit.model.locations.ftps import FtpsLocation

STAGES: Final = ("read secrets", "connect", "log in")
"""What is done one after the other until files can be asked for. Connecting includes TLS and the certificate."""

_FACTS: Final = "type;size;modify;UNIX.mode;"


class Session(Wire):
    """A connection that is logged in. ``features`` are the first words of what FEAT told (RFC 2389), in capitals."""

    features: frozenset[str] = frozenset()


def server_name(location: FtpsLocation) -> str:
    """Return what messages call the server."""
    return f"{location.host}:{location.port}"


def open_session(
    location: FtpsLocation,
    login: Login,
    *,
    sockets: Sockets,
    clock: Clock,
    passed: Callable[[str], None],
) -> Session:
    """Connect to ``location`` and log in; ``passed`` is told of `STAGES` but the first.

    Raises:
        HostKeyError: the certificate is none that the location trusts; no credential was sent.
        LoginError: the server does not take the login.
        EndpointRefusedError: it does not encrypt, or does not tell facts of files.
        EndpointLostError: it cannot be reached, or does not answer in time.
    """
    server = server_name(location)

    def check(sock: ssl.SSLSocket) -> None:
        require_pinned(sock, location.fingerprints, server=server, name=location.name)

    session = Session(
        location.host,
        location.port,
        context=login.context,
        check=check,
        sockets=sockets,
        clock=clock,
        connect_s=location.connect_s,
        timeout_s=location.timeout_s,
        keepalive_s=location.keepalive_s,
    )
    try:
        with _telling(location):
            _begin_tls(session, location)
            passed(STAGES[1])
            _log_in(session, location, login)
            _settle(session, server)
            passed(STAGES[2])
    except BaseException:
        session.close()
        raise
    return session


@contextmanager
def _telling(location: FtpsLocation) -> Iterator[None]:
    """Turn what goes wrong while connecting into the errors of endpoints."""
    server = server_name(location)
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise HostKeyError(
            f"{server} shows a certificate that is not trusted ({error.verify_message}): have ca or fingerprints in "
            f"locations/{location.name}.yaml, or the partner renew it"
        ) from error
    except BROKEN as error:
        raise EndpointLostError(f"{server} cannot be reached by FTPS: {trouble(error)}") from error
    except REFUSED as error:
        kind = EndpointLostError if code_of(error) == "421" else EndpointBusyError
        if isinstance(error, ftplib.error_perm):
            raise EndpointRefusedError(f"{server} refused: {said(error)!r}") from error
        raise kind(f"{server} asks to come later: {said(error)!r}") from error


def _begin_tls(session: Session, location: FtpsLocation) -> None:
    try:
        session.greet(implicit=location.implicit)
    except ftplib.error_perm as error:
        raise EndpointRefusedError(
            f"{server_name(location)} does not begin TLS ({said(error)!r}), and nothing is said to it without: "
            "ask the partner for FTPS, or see whether it is implicit there"
        ) from error


def _log_in(session: Session, location: FtpsLocation, login: Login) -> None:
    """Say who we are (RFC 959, 4.1.1); a server that knows our certificate may ask for no password (RFC 4217, 4)."""
    try:
        reply = session.sendcmd(f"USER {location.username}")
        if reply[:1] == "3":
            session.hidden = login.password
            reply = session.sendcmd(f"PASS {login.password}")
            session.hidden = ""
    except ftplib.error_perm as error:
        raise LoginError(
            f"{server_name(location)} did not let {location.username!r} in: {said(error)!r}"
        ) from error
    if reply[:1] != "2":
        raise LoginError(
            f"{server_name(location)} wants more of {location.username!r} than a password: {said(Exception(reply))!r}"
        )


def _settle(session: Session, server: str) -> None:
    """Have files encrypted and unchanged on their way, and names in UTF-8; see what else the server can do."""
    session.settle()
    try:
        session.voidcmd("PBSZ 0")
        session.voidcmd("PROT P")
    except ftplib.error_perm as error:
        raise EndpointRefusedError(
            f"{server} does not encrypt what files hold ({said(error)!r}): ask the partner for PROT P (RFC 4217)"
        ) from error
    session.features = _features(session)
    if not session.features & {"MLST", "MLSD"}:
        raise EndpointRefusedError(
            f"{server} does not tell facts of files (MLST and MLSD of RFC 3659), and lists for people are not guessed "
            "at: ask the partner for a server that does, or for SFTP"
        )
    with suppress(ftplib.error_perm):
        session.voidcmd(f"OPTS MLST {_FACTS}")
    if "UTF8" in session.features:
        with suppress(ftplib.error_perm):
            session.voidcmd("OPTS UTF8 ON")
    session.voidcmd("TYPE I")


def _features(session: Session) -> frozenset[str]:
    try:
        lines = session.voidcmd("FEAT").split("\n")[1:-1]
    except ftplib.error_perm:
        return frozenset()
    return frozenset(line.split()[0].upper() for line in lines if line.strip())
