"""Find out who is at the door: operators by name and password, members by proof of their key."""

import base64
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.http_server.doors import NotAuthenticatedError, TooManyTriesError, Visit
from mftgit.adapters.passwords import PasswordChecker
from mftgit.adapters.proof import Proof, ProofRefusedError, verify_proof
from mftgit.adapters.registry.registry import Registry
from mftgit.controller.members.keys import MemberKeys, Record
from mftgit.controller.operators.codes import Codes
from mftgit.errors import MftgitError
from mftgit.model.access import Kind, Principal
from mftgit.model.brake import Brake
from mftgit.model.events.event import EventName
from mftgit.model.inbound.barrier import source_of

_MAX_NAME: Final = 64


class Doorkeeper:
    """Turns an Authorization header into a principal."""

    def __init__(
        self,
        registry: Registry,
        keys: MemberKeys,
        *,
        cluster_id: str,
        record: Record,
        clock: Clock,
        visitor: Callable[[str], Visit | None],
        codes: Codes,
    ) -> None:
        """Use ``registry`` anew for every request: a removed credential opens nothing from then on.

        ``visitor`` tells whose cookies are shown.
        """
        self.visitor = visitor
        self._codes = codes
        self._registry = registry
        self._keys = keys
        self._cluster_id = cluster_id
        self._record = record
        self._clock = clock
        self._passwords = PasswordChecker()
        self._brake = Brake()
        self._lock = threading.Lock()

    def recognise(self, method: str, path: str, shown: str) -> Principal | None:
        """See `mftgit.adapters.http_server.doors.Doorkeeper`."""
        with suppress(MftgitError):
            scheme, credential = _parts(shown)
            if scheme == "bearer":
                proof = self._member(credential, method, path)
                return None if proof.is_next else _principal(proof)
            if scheme == "basic":
                return self._remembered(*_name_and_password(credential))
        return None

    def authenticate(self, method: str, path: str, shown: str, client: str) -> Principal:
        """See `mftgit.adapters.http_server.doors.Doorkeeper`.

        Nobody has an empty password, so that it is no try at one: where its URL has a name, git begins with that name
        alone, before it asks for the password.
        """
        scheme, credential = _parts(shown)
        match scheme:
            case "basic":
                name, password = _name_and_password(credential)
                if not password:
                    raise NotAuthenticatedError("a password is needed")
                return self.log_in(name, password, client)
            case "bearer":
                try:
                    proof = self._member(credential, method, path)
                except ProofRefusedError as error:
                    self._refuse_proof(str(error), client)
                    raise NotAuthenticatedError(str(error)) from error
                if proof.is_next:
                    self._rotate(proof)
                return _principal(proof)
            case _:
                raise NotAuthenticatedError("log in with Basic (operators) or Bearer (members)")

    def _remembered(self, name: str, password: str) -> Principal | None:
        """Return the operator whose password was good a short while ago."""
        known = self._registry.credential(name)
        if known is None or not self._passwords.remembers(password, known.password_hash):
            return None
        return Principal(kind=Kind.OPERATOR, name=name, role=known.role)

    def log_in(self, name: str, password: str, client: str) -> Principal:
        """Return the operator of that name and password, who asks from the address ``client``; in a thread.

        Raises:
            NotAuthenticatedError: there is none, or it is too soon after wrong tries.
        """
        return self._operator(name, password, client, afresh=False)

    def _operator(self, name: str, password: str, client: str, *, afresh: bool) -> Principal:
        """Return the operator; ``afresh``: it takes as long for a password that was good a short while ago."""
        known = self._registry.credential(name)
        encoded = known.password_hash if known is not None else None
        if afresh or not self._passwords.remembers(password, encoded):
            self._try(name, password, encoded, client)
        if known is None:
            raise NotAuthenticatedError("no such operator")
        return Principal(kind=Kind.OPERATOR, name=name, role=known.role)

    def enter(self, name: str, password: str, code: str, client: str) -> Principal:
        """Return the operator as `log_in` does, who also shows a one-time ``code`` where it needs one.

        Raises:
            NotAuthenticatedError: there is none, the code does not hold, or it is too soon after wrong tries.
        """
        who = self._operator(name, password, client, afresh=True)
        if self._codes.mark(name) is None:
            return who
        # By name alone: who guesses codes has the password, and may come from anywhere.
        key, now = ("code", name), self._clock.boottime()
        with self._lock:
            waits_s = self._brake.waits_s(key, now)
            if not waits_s:
                self._brake.failed(
                    key, now
                )  # until it is known to be good: tries side by side count too
        if waits_s:
            raise TooManyTriesError(
                f"too many wrong codes: try again in {waits_s:.0f} s", waits_s=waits_s
            )
        if not self._codes.takes(name, code):
            self._refuse("operator", name, client)
            raise NotAuthenticatedError("the one-time code does not hold")
        with self._lock:
            self._brake.succeeded(key)
        return who

    def _try(self, name: str, password: str, encoded: str | None, client: str) -> None:
        """Check a password that was not good a short while ago, at the pace that its name and source may guess."""
        source = _source(client)
        keys = (("source", source), ("name", source, name[:_MAX_NAME]))
        now = self._clock.boottime()
        with self._lock:
            waits_s = max(self._brake.waits_s(key, now) for key in keys)
        if waits_s:
            raise TooManyTriesError(
                f"too many wrong passwords: try again in {waits_s:.0f} s", waits_s=waits_s
            )
        if self._passwords.check(password, encoded):
            with self._lock:
                self._brake.succeeded(keys[1])
            return
        with self._lock:
            for key in keys:
                self._brake.failed(key, now)
        self._refuse("operator", name, client)
        raise NotAuthenticatedError(
            "wrong name or password: `mftgit operator list` on the controller shows the names"
        )

    def _member(self, token: str, method: str, path: str) -> Proof:
        return verify_proof(
            token,
            method=method,
            path=path,
            cluster_id=self._cluster_id,
            public_keys=self._registry.public_keys,
        )

    def _rotate(self, proof: Proof) -> None:
        """End the key before the one of ``proof``; where that is not written down, the next request does it."""
        try:
            self._keys.rotate(proof.member, proof.public_key)
        except MftgitError as error:
            logger.warning("a key not rotated yet", member=proof.member, error=str(error))

    def _refuse_proof(self, why: str, client: str) -> None:
        """Tell of a bad proof, of which anybody can send as many as they like, ever less often."""
        key, now = ("proof", _source(client)), self._clock.boottime()
        with self._lock:
            if self._brake.waits_s(key, now):
                return
            self._brake.failed(key, now)
        self._refuse("member", why, client)

    def _refuse(self, kind: str, who: str, client: str) -> None:
        logger.warning("login failed", kind=kind, who=who[:_MAX_NAME], client=client)
        self._record(
            EventName.LOGIN_FAILED, {"kind": kind, "who": who[:_MAX_NAME], "client": client}
        )


def _source(client: str) -> str:
    """Return what counts as one source: who has an IPv6 address has as many as there are."""
    try:
        return source_of(client)
    except ValueError:
        return client


def _principal(proof: Proof) -> Principal:
    return Principal(kind=Kind.MEMBER, name=proof.member)


def _parts(shown: str) -> tuple[str, str]:
    scheme, _, credential = shown.partition(" ")
    return scheme.lower(), credential


def _name_and_password(credential: str) -> tuple[str, str]:
    try:
        decoded = base64.b64decode(credential, validate=True).decode()
    except ValueError:
        raise NotAuthenticatedError("not a name and a password") from None
    name, _, password = decoded.partition(":")
    return name, password
