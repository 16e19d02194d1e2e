"""A member's line to the controller: HTTPS with the cluster's own authority, a proof on every request."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3

from mftgit.adapters.tls.pki import fingerprint, pick
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.model.events.event import Event
from mftgit.model.inbound.account_use import UseNews, UseTold, parse_use_news
from mftgit.model.inbound.bans import BanNews, parse_ban_news
from mftgit.model.inbound.sessions_told import SessionsTold
from mftgit.model.members.incarnation import HEADER, Shown
from mftgit.model.members.messages import (
    CONFLICT,
    MAX_REPORT_BYTES,
    TOO_LARGE,
    Head,
    Hint,
    MemberStatus,
    parse_head,
)
from mftgit.model.members.passed_orders import OrderNews, parse_order_news
from mftgit.model.members.recovery import KeptBundle, parse_kept
from mftgit.model.names import MemberName

_TIMEOUT = urllib3.Timeout(connect=5.0, read=15.0)
_WAIT_TIMEOUT = urllib3.Timeout(connect=5.0, read=30.0)
_MAX_ANSWER_BYTES = 1 << 20
_OK, _NOT_MODIFIED = 200, 304
_HINTS = {each.value.encode(): each for each in Hint}
_LOOPBACKS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where one that listens everywhere is asked

Headers = Callable[[str, str], Mapping[str, str]]
"""Gives the headers that prove a request with this method and this path."""


class ControllerUnreachableError(TransientError):
    """The controller does not answer, or not with sense."""


class ControllerRefusedError(MftgitError):
    """The controller answered no; the message is its own, ``status`` is HTTP's, ``answer`` the whole of it."""

    def __init__(self, message: str, *, status: int, answer: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.answer = answer


class NumbersTakenError(MftgitError):
    """Other events of this member have the numbers of these, but for those up to ``acknowledged``.

    Numbers above ``last_seq`` are free.
    """

    def __init__(self, message: str, *, acknowledged: int, last_seq: int) -> None:
        super().__init__(message)
        self.acknowledged = acknowledged
        self.last_seq = last_seq


class Channel:
    """Requests of one member to its controller; usable from many threads."""

    def __init__(self, url: str, *, ca_file: Path | bytes, headers: Headers) -> None:
        """Take the controller's ``url``, and its authorities from a file or as PEM; nothing is sent yet."""
        self.url = url.rstrip("/")
        self._headers = headers
        self._prefix = urlsplit(self.url).path
        # Only the cluster's authority is trusted; the environment's bundles are not looked at.
        trusted: dict[str, Any] = (
            {"ca_cert_data": ca_file.decode()}
            if isinstance(ca_file, bytes)
            else {"ca_certs": str(ca_file)}
        )
        self.connections = self._pool = urllib3.PoolManager(
            num_pools=2, maxsize=8, cert_reqs="CERT_REQUIRED", retries=False, **trusted
        )

    def head(self, known: Head | None, shown: Shown | None = None) -> Head | None:
        """Return the head pointer, or None when it is still ``known``; ``shown`` tells who was followed last.

        Raises:
            ControllerUnreachableError: try again later.
            ControllerRefusedError: the proof was not taken; `is_member` tells one reason from the others.
        """
        extra = {"If-None-Match": known.tag} if known else {}
        if shown is not None and shown.incarnation:
            extra[HEADER] = shown.header()
        answer = self._request("GET", "/api/head", headers=extra)
        if answer is None:
            return None
        try:
            return parse_head(answer)
        except ValueError as error:
            raise ControllerUnreachableError(f"{self.url}: {error}") from error

    def is_member(self, member: MemberName, public_key: str) -> bool:
        """Tell whether the controller knows ``member`` with this key; it is asked without a proof.

        False is the controller's own word, in an answer of the agreed shape over a verified connection.

        Raises:
            ControllerUnreachableError, ControllerRefusedError: it did not say either.
        """
        path = f"/api/members/{member}/keys/{public_key}"
        answer = self._request("GET", path, signed=False)
        match answer:
            case {"member": bool(known)}:
                return known
            case _:
                raise ControllerUnreachableError(
                    f"{self.url}{path}: not the answer of a controller"
                )

    def wait(self) -> Iterator[Hint]:
        """Give each of `Hint` at once, then each time the controller says that it may be news; end when cut off.

        A hint only: what is true is what ``head`` says. The controller sends a sign of life every 10 s; 30 s
        without one raise ControllerUnreachableError. ControllerRefusedError: the proof was not taken.
        """
        path = "/api/head/events"
        with self._translated(path):
            response = self._pool.request(
                "GET",
                self.url + path,
                headers=self._headers("GET", self._prefix + path),
                preload_content=False,
                redirect=False,
                timeout=_WAIT_TIMEOUT,
            )
        try:
            if response.status != _OK:
                self._parse(response.status, b"", path)
                raise ControllerUnreachableError(f"{self.url}{path}: HTTP {response.status}")
            yield from Hint
            hint = Hint.HEAD
            for line in self._lines(response, path):
                name, _, value = line.partition(b": ")
                if name == b"event":
                    hint = _HINTS.get(value.strip(), Hint.HEAD)
                elif name == b"data":
                    yield hint
        finally:
            response.close()
            response.release_conn()

    def send_events(
        self, member: MemberName, events: list[Event], *, sent_at: str | None = None
    ) -> int:
        """Report ``events`` and return the number up to which the controller has them.

        ``sent_at`` is now, RFC 3339 by the clock that the events have their times from.

        Raises:
            NumbersTakenError: they need other numbers.
            ControllerRefusedError: it does not take them; ``status`` says whether for what they hold.
            ControllerUnreachableError: try again later.
        """
        body = {"events": [each.as_json() for each in events], "sent_at": sent_at}
        try:
            answer = self._request("POST", f"/api/members/{member}/events", body=body)
        except ControllerRefusedError as error:
            match error.status, error.answer:
                case int(status), {"acknowledged": int(acknowledged), "last_seq": int(last)} if (
                    status == CONFLICT
                ):
                    raise NumbersTakenError(
                        str(error), acknowledged=acknowledged, last_seq=last
                    ) from error
                case _:
                    raise
        if not isinstance(answer, dict) or not isinstance(answer.get("acknowledged"), int):
            raise ControllerUnreachableError(f"{self.url}: no acknowledgement in the answer")
        return int(answer["acknowledged"])

    def bans(self, after: int) -> BanNews:
        """Return what bans have changed after the change with the number ``after``.

        Raises:
            ControllerUnreachableError: try again later.
            ControllerRefusedError: the proof was not taken, or the controller is of an older version.
        """
        answer = self._request("GET", "/api/bans", query=f"?after={after}")
        try:
            return parse_ban_news(answer)
        except ValueError as error:
            raise ControllerUnreachableError(f"{self.url}: {error}") from error

    def orders(self, member: MemberName, after: int) -> OrderNews:
        """Return the orders for ``member``, which asks, above the number ``after`` of the last that it has taken.

        Raises:
            ControllerUnreachableError: try again later.
            ControllerRefusedError: the proof was not taken, or the controller is of an older version.
        """
        answer = self._request("GET", "/api/orders", query=f"?after={after}")
        try:
            return parse_order_news(answer, member)
        except ValueError as error:
            raise ControllerUnreachableError(f"{self.url}: {error}") from error

    def recovery(self, after: int) -> KeptBundle | None:
        """Return what to keep for the case that the controller is lost; None where nothing is newer.

        Raises:
            ControllerUnreachableError: try again later.
            ControllerRefusedError: the proof was not taken, or the controller is of an older version.
        """
        answer = self._request("GET", "/api/recovery", query=f"?after={after}")
        try:
            return None if answer is None else parse_kept(answer)
        except ValueError as error:
            raise ControllerUnreachableError(f"{self.url}: {error}") from error

    def send_sessions(self, member: MemberName, told: SessionsTold) -> None:
        """Tell who is logged in at ``member``."""
        self._request("POST", f"/api/members/{member}/sessions", body=told.as_json())

    def send_status(self, status: MemberStatus) -> None:
        """Report how this member is."""
        self._request(
            "POST", f"/api/members/{status.name}/status", body=status.as_json(last_seen_s=None)
        )

    def exchange_uses(self, member: MemberName, told: UseTold) -> UseNews:
        """Tell how accounts are in use at ``member``, and return what it has yet to learn of the others.

        Raises:
            ControllerUnreachableError: try again later.
            ControllerRefusedError: the proof was not taken, or the controller is of an older version.
        """
        answer = self._request("POST", f"/api/members/{member}/uses", body=told.as_json())
        try:
            return parse_use_news(answer)
        except ValueError as error:
            raise ControllerUnreachableError(f"{self.url}: {error}") from error

    def offer_key(self, member: MemberName, *, public_key: str, possession: str) -> bool:
        """Let the controller know the member's next key, of which it has it; `possession` proves that.

        Return whether that key is in force, and no other.

        Raises:
            ControllerRefusedError: it is not taken.
            ControllerUnreachableError: it may have been taken; offer it again.
        """
        path = f"/api/members/{member}/key"
        body = {"public_key": public_key, "proof": possession}
        match self._request("POST", path, body=body):
            case {"public_key": str(key), "in_force": bool(in_force)} if key == public_key:
                return in_force
        raise ControllerUnreachableError(f"{self.url}{path}: not the answer of a controller")

    def join(self, *, member: MemberName, secret: str, public_key: str) -> Mapping[str, Any]:
        """Join the cluster and return the controller's answer; see ``Collect.join`` for its fields."""
        body = {"member": member, "secret": secret, "public_key": public_key}
        answer = self._request("POST", "/api/join", body=body)
        if not isinstance(answer, dict):
            raise ControllerUnreachableError(f"{self.url}: not an answer to a join")
        return answer

    def close(self) -> None:
        """Let go of connections, at once: urllib3 alone would close them when nothing refers to them any more."""
        for key in self._pool.pools.keys():  # noqa: SIM118  it is no mapping that can be iterated
            pool = self._pool.pools.get(key)
            if pool is not None:
                pool.close()
        self._pool.clear()

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        signed: bool = True,
    ) -> Any:
        content = None if body is None else json.dumps(body).encode()
        if content is not None and len(content) > MAX_REPORT_BYTES:
            raise ControllerRefusedError(
                f"{len(content)} bytes are too many for {path}: at most {MAX_REPORT_BYTES} are taken",
                status=TOO_LARGE,
            )
        proof = self._headers(method, self._prefix + path) if signed else {}
        with self._translated(path):
            response = self._pool.request(
                method,
                self.url + path + query,
                body=content,
                headers={
                    "Content-Type": "application/json",
                    **(headers or {}),
                    **proof,
                },
                redirect=False,
                timeout=_TIMEOUT,
                preload_content=False,
            )
            try:
                data = response.read(_MAX_ANSWER_BYTES + 1)
            finally:
                response.release_conn()
        return self._parse(response.status, data, path)

    def _parse(self, status: int, data: bytes, path: str) -> Any:
        if status == _NOT_MODIFIED:
            return None
        if len(data) > _MAX_ANSWER_BYTES:
            raise ControllerUnreachableError(f"{self.url}{path}: the answer is larger than 1 MiB")
        try:
            answer = json.loads(data)
        except ValueError:
            answer = None
        if 200 <= status < 300:  # noqa: PLR2004  success, RFC 9110
            return answer
        message = answer.get("error") if isinstance(answer, dict) else None
        text = f"{self.url}{path}: {message or f'HTTP {status}'}"
        if status >= 500 or status == 429:  # noqa: PLR2004  the server's own trouble
            raise ControllerUnreachableError(text)
        raise ControllerRefusedError(text, status=status, answer=answer)

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        try:
            yield
        except urllib3.exceptions.SSLError as error:
            raise ControllerUnreachableError(
                f"{self.url}{path}: the server does not show a certificate of this cluster ({error})"
            ) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ControllerUnreachableError(f"{self.url}{path}: {_plain(error)}") from error

    def _lines(self, response: urllib3.BaseHTTPResponse, path: str) -> Iterator[bytes]:
        pending = b""
        while True:
            with self._translated(path):
                chunk = response.read1(4096)
            if not chunk:
                return
            *lines, pending = (pending + chunk).split(b"\n")
            pending = pending[-4096:]
            yield from lines


def check_listener(listen: tuple[str, int], *, ca_file: Path) -> None:
    """See that the controller's own listener answers on loopback, with a certificate of the authority.

    Raises:
        ControllerUnreachableError: it does not.
    """
    host = _LOOPBACKS.get(listen[0], listen[0])
    url = f"https://{f'[{host}]' if ':' in host else host}:{listen[1]}"
    pool = urllib3.PoolManager(
        ca_certs=str(ca_file), retries=False, timeout=_TIMEOUT, assert_hostname="localhost"
    )
    try:
        answer = pool.request("GET", f"{url}/healthz")
    except urllib3.exceptions.HTTPError as error:
        raise ControllerUnreachableError(f"{url} does not answer: {_plain(error)}") from error
    finally:
        pool.clear()
    if answer.status != _OK:
        raise ControllerUnreachableError(f"{url}/healthz answers with status {answer.status}")


def fetch_authority(url: str, *, expected_fingerprint: str) -> bytes:
    """Fetch the cluster's authority certificate (PEM) that has the join token's fingerprint.

    The connection itself is not trusted, only the fingerprint is; of several authorities the others are not taken.

    Raises:
        ConfigError: ``url`` is no https URL, or the certificate is not the token's.
        ControllerUnreachableError: no answer.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ConfigError(f"{url!r} is not the URL of a controller: expected https://HOST:PORT")
    target = url.rstrip("/") + "/api/authority"
    with urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False, retries=False) as pool:
        try:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
            response = pool.request("GET", target, redirect=False, timeout=_TIMEOUT)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ControllerUnreachableError(f"{target}: {_plain(error)}") from error
    try:
        authority = pick(response.data, expected_fingerprint)
    except ValueError as error:
        raise ControllerUnreachableError(f"{target}: no certificate in the answer") from error
    if authority is None:
        raise ConfigError(
            f"{url} is not the controller that gave the token, or its authority was changed since: its fingerprint is "
            f"{fingerprint(response.data)}, the token says {expected_fingerprint}"
        )
    return authority


def _plain(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).split(">: ", 1)[-1].split("): ", 1)[-1]
