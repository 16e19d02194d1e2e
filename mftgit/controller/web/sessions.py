"""Who is logged in in a browser: sessions that end by time, by word, and with what opened them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.http_server.doors import Visit
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.registry.web_sessions import (
    WebSession,
    WebSessions,
    make_session_secret,
    session_id_of,
)
from mftgit.adapters.sqlite import DatabaseError
from mftgit.controller.operators.codes import Codes
from mftgit.errors import MftgitError
from mftgit.model.access import Kind, OperatorRole, Principal
from mftgit.model.names import OperatorName
from mftgit.model.web_guard import read_cookie

COOKIE = "__Host-mftgit-manager"
"""The prefix binds it to this host and TLS (RFC 6265bis, 4.1.3.2)."""

IDLE_S = 3600.0
LONGEST_S = 12 * 3600.0
"""A session ends an hour after it was last used, and after twelve in any case (NIST SP 800-63B, 4.2.3 and 7.2)."""

MOST = 20
"""So many sessions an operator has at a time; the ones used least lately end."""

_NOTE_EVERY_S = 60.0
_MAX_AGENT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session that was just opened, and the secret for its cookie, which is kept nowhere."""

    session: WebSession
    secret: str


class Sessions:
    """The sessions of all operators; usable from many threads, and on the loop where it says so."""

    def __init__(
        self,
        records: WebSessions,
        registry: Registry,
        codes: Codes,
        *,
        clock: Clock,
        issuer_mark: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Keep them in ``records``; ``issuer_mark`` tells by what those of an issuer are bound just now."""
        self._records = records
        self._registry = registry
        self._codes = codes
        self._clock = clock
        self._issuer_mark = issuer_mark

    def visitor(self, cookies: str) -> Visit | None:
        """Return who shows the cookie of an open session; on the loop, so that it only reads."""
        secret = read_cookie(cookies, COOKIE)
        if secret is None:
            return None
        found = self.find(session_id_of(secret))
        if found is None:
            return None
        who = Principal(kind=Kind.OPERATOR, name=found.operator, role=found.role)
        return Visit(principal=who, session=found.id)

    def find(self, session_id: str) -> WebSession | None:
        """Return a session that is open still."""
        found = self._records.find(session_id)
        return found if found is not None and self._is_open(found) else None

    def open(self, who: Principal, *, client: str, agent: str, by_issuer: bool = False) -> Opened:
        """Open a session for ``who`` has just logged in; always a new one, under a new secret.

        Raises:
            MftgitError: what it is bound to is gone.
        """
        name, now_s = OperatorName(who.name), self._clock.now().timestamp()
        bound = self._issuer_mark() if by_issuer else self._mark(name, who.role)
        if bound is None:
            raise MftgitError("you cannot log in this way any more: ask the administrator")
        secret = make_session_secret()
        session = WebSession(
            id=session_id_of(secret),
            operator=name,
            role=who.role,
            bound=bound,
            by_issuer=by_issuer,
            opened_at=now_s,
            seen_at=now_s,
            client=client,
            agent=agent[:_MAX_AGENT],
        )
        self._records.sweep(opened_before=now_s - LONGEST_S, seen_before=now_s - IDLE_S)
        self._records.open(session, most=MOST)
        return Opened(session=session, secret=secret)

    def used(self, session_id: str) -> None:
        """Note that somebody did something; written down once a minute at most."""
        found, now_s = self._records.find(session_id), self._clock.now().timestamp()
        if found is not None and now_s - found.seen_at > _NOTE_EVERY_S:
            try:
                self._records.used(session_id, now_s)
            except (
                DatabaseError
            ) as error:  # as on a full disk, where people want to look all the more
                logger.warning("a session is not noted as used", error=str(error))

    def of(self, operator: str) -> list[WebSession]:
        """Return the open sessions of one operator, the one used last first."""
        return [each for each in self._records.of(operator) if self._is_open(each)]

    def end(self, *session_ids: str) -> None:
        """End these sessions."""
        self._records.end(session_ids)

    def close(self) -> None:
        """Let go of the records."""
        self._records.close()

    def _is_open(self, session: WebSession) -> bool:
        now_s = self._clock.now().timestamp()
        if not 0 <= now_s - session.opened_at < LONGEST_S or now_s - session.seen_at >= IDLE_S:
            return False
        if session.by_issuer:
            # Who has a password here is somebody else, also where that came later.
            is_other = self._registry.credential(session.operator) is not None
            return not is_other and self._issuer_mark() == session.bound
        return self._mark(session.operator, session.role) == session.bound

    def _mark(self, name: OperatorName, role: OperatorRole) -> str | None:
        """Return what changes with the operator's password, codes and role; None where there is none of that role."""
        known = self._registry.credential(name)
        if known is None or known.role is not role:
            return None
        bound = "\0".join((known.password_hash, role.value, self._codes.mark(name) or ""))
        return hashlib.sha256(bound.encode()).hexdigest()


def session_cookie(secret: str) -> str:
    """Return the header that sets the cookie of a session, or without ``secret`` ends it."""
    return host_cookie(COOKIE, secret, lasts_s=LONGEST_S if secret else 0)


def host_cookie(name: str, value: str, *, lasts_s: float) -> str:
    """Return the header that sets a cookie of this host alone, which no script reads.

    Lax: who follows a link to a page is logged in there; no form of another site carries it.
    """
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={int(lasts_s)}"
