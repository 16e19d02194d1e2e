"""Questions to an etcd of several members, of which any may be away: who does not answer is asked last."""

import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import requests
from etcd3gw.exceptions import Etcd3Exception

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import CoordinatorUnavailableError
from mftgit.adapters.etcd.line import Line, NoEtcdError, NotTakenError
from mftgit.errors import ConfigError
from mftgit.model.ownership.etcd import Endpoint

NOT_FOUND: Final = 5
_EXHAUSTED: Final = 8
_UNAUTHENTICATED: Final = 16
_OLD_TOKEN: Final = ("invalid auth token", "auth store is old", "user name is empty")
"""With these words etcd refuses a token that it does not know, or not any more; some come with other codes."""

_REFUSALS: Final = frozenset({3, 7, 9, _UNAUTHENTICATED})
"""INVALID_ARGUMENT (as a wrong password), PERMISSION_DENIED, FAILED_PRECONDITION (as users that are off)."""

_NO_ETCD: Final = (
    NotTakenError,
    NoEtcdError,
    requests.exceptions.JSONDecodeError,
    requests.exceptions.TooManyRedirects,
)
_LEAST_S: Final = 0.05
_READ_EVERY_S: Final = 1.0


class NotFoundError(CoordinatorUnavailableError):
    """There is no such lease of etcd's, and nothing was done."""


class FullError(CoordinatorUnavailableError):
    """Etcd has no space left, or too much to do: it grants nothing, and puts nothing by itself."""


class RefusedError(CoordinatorUnavailableError):
    """Somebody answers, and whoever does refuses us, or is no etcd: as long as nothing is changed it stays so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How an etcd is reached. ``context`` is there where an endpoint is spoken to by TLS.

    ``anew`` reads from this machine what is shown to log in, once more; it raises ConfigError where that cannot be.
    """

    endpoints: tuple[Endpoint, ...]
    context: ssl.SSLContext | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    anew: "Callable[[], Access] | None" = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an etcd said, and the `Clock.boottime` just before it was asked."""

    sent_at: float
    says: Any

    @property
    def term(self) -> int:
        """The term of raft in which it was said: another one means another leader."""
        header = self.says.get("result", self.says).get("header", {})
        return int(header.get("raft_term", 0))

    @property
    def revision(self) -> int:
        """How often etcd had been changed."""
        return int(self.says.get("header", {}).get("revision", 0))


class Calls:
    """Asks on behalf of one thread. ``attempt_s``: after so many seconds the next endpoint is asked."""

    def __init__(self, access: Access, *, attempt_s: float, clock: Clock) -> None:
        self._attempt_s = attempt_s
        self._clock = clock
        self._read_at = clock.boottime()
        self._reach(access)

    def ask(self, path: str, question: Any, *, until: float | None = None) -> Answer:
        """Return what the first endpoint says that answers; ``until`` is when nobody needs it any more.

        A question may have been answered before, by one whose answer did not arrive: it may be put twice.

        Raises:
            NotFoundError: etcd says that there is no such lease.
            CoordinatorUnavailableError: nobody answers, or only that it cannot.
            RefusedError: one of them refuses it, and none of them answers.
            FullError: one of them has no space, and none of them does it.
        """
        why: list[str] = []
        refused = full = False
        for line in list(self._lines):
            within_s = self._attempt_s
            if until is not None:
                within_s = min(within_s, until - self._clock.boottime())
            if within_s < _LEAST_S:
                why.append("there is no time left")
                break
            try:
                return self._ask(line, path, question, within_s)
            except (Etcd3Exception, requests.RequestException) as error:
                if _code(error) == NOT_FOUND:
                    raise NotFoundError(f"{line.name}: {_told(error)}") from error
                refused |= _is_refusal(error)
                full |= _code(error) == _EXHAUSTED
                why.append(f"{line.name}: {_told(error)}")
                self._lines.append(self._lines.pop(self._lines.index(line)))
        self._read_anew()
        if refused:
            raise RefusedError(f"no etcd takes our questions: {'; '.join(why)}")
        kind = FullError if full else CoordinatorUnavailableError
        raise kind(f"no etcd answers: {'; '.join(why)}")

    def close(self) -> None:
        """Close all connections; for any thread, once nobody asks any more."""
        for line in tuple(self._lines):
            line.close()

    def _reach(self, access: Access) -> None:
        self._access = access
        self._lines = [
            Line(
                each,
                context=access.context if each.scheme == "https" else None,
                clock=self._clock,
            )
            for each in access.endpoints
        ]
        self._known: set[str] = set()  # names of the lines that show a token

    def _read_anew(self) -> None:
        """Show next time what is on this machine by then: a certificate is renewed there before it ends."""
        now = self._clock.boottime()
        if self._access.anew is None or now - self._read_at < _READ_EVERY_S:
            return
        self._read_at = now
        order = [line.name for line in self._lines]
        with suppress(ConfigError):  # it may be half written
            before = self._lines
            self._reach(self._access.anew())
            for line in before:
                line.close()
            self._lines.sort(key=lambda line: order.index(line.name))

    def _ask(self, line: Line, path: str, question: Any, within_s: float) -> Answer:
        if self._access.username is not None and line.name not in self._known:
            self._log_in(line, within_s)
        try:
            return self._put(line, path, question, within_s)
        except Etcd3Exception as error:
            if self._access.username is None or not _is_old_token(error):
                raise
        self._log_in(line, within_s)
        return self._put(line, path, question, within_s)

    def _put(self, line: Line, path: str, question: Any, within_s: float) -> Answer:
        sent_at = self._clock.boottime()
        return Answer(sent_at=sent_at, says=line.ask(path, question, within_s=within_s))

    def _log_in(self, line: Line, within_s: float) -> None:
        """Have ``line`` show a token; a token ends after some minutes, or with a change of etcd's users."""
        self._known.discard(line.name)
        line.show_token(None)
        name = {"name": self._access.username, "password": self._access.password}
        line.show_token(str(line.ask("/auth/authenticate", name, within_s=within_s)["token"]))
        self._known.add(line.name)


def _is_refusal(error: Exception) -> bool:
    if type(error) is Etcd3Exception and _code(error) == 0:
        return True  # as a page that tells that there is no such page
    return isinstance(error, _NO_ETCD) or _code(error) in _REFUSALS


def _is_old_token(error: Etcd3Exception) -> bool:
    return _code(error) == _UNAUTHENTICATED or any(each in _told(error) for each in _OLD_TOKEN)


def _code(error: Exception) -> int:
    """Return the code of gRPC that etcd's answer has; 0 where it has none."""
    try:
        return int(json.loads(_text(error))["code"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0


def _told(error: Exception) -> str:
    """Return what etcd says is wrong, or what kept it from saying anything."""
    text = _text(error)
    try:
        body = json.loads(text)
        said = body.get("error") or body["message"]  # the latter alone since etcd 3.6
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        said = text
    return str(said).replace("\n", " ")[:300] or type(error).__name__


def _text(error: Exception) -> str:
    detail = error.detail_text if isinstance(error, Etcd3Exception) else None
    return detail or str(error)
