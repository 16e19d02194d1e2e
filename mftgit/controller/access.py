"""Find out who is at the door: operators by name and password, members by proof of their key."""

import base64
from collections.abc import Callable, Mapping

from loguru import logger

from mftgit.adapters.http_server import NotAuthenticatedError
from mftgit.adapters.passwords import PasswordChecker
from mftgit.adapters.proof import ProofRefusedError, verify_proof
from mftgit.adapters.registry import Registry
from mftgit.model.access import Kind, Principal
from mftgit.model.events import EventName, Fact

Record = Callable[[EventName, Mapping[str, Fact]], object]


class Doorkeeper:
    """Turns an Authorization header into a principal."""

    def __init__(self, registry: Registry, *, cluster_id: str, record: Record) -> None:
        """Use ``registry`` anew for every request: a removed credential opens nothing from then on."""
        self._registry = registry
        self._cluster_id = cluster_id
        self._record = record
        self._passwords = PasswordChecker()

    def authenticate(
        self, method: str, path: str, authorization: str | None, client: str
    ) -> Principal | None:
        """See `mftgit.adapters.http_server.Authenticate`."""
        if authorization is None:
            return None
        scheme, _, credential = authorization.partition(" ")
        match scheme.lower():
            case "basic":
                return self._operator(credential, client)
            case "bearer":
                return self._member(credential, method, path, client)
            case _:
                raise NotAuthenticatedError("log in with Basic (operators) or Bearer (members)")

    def _operator(self, credential: str, client: str) -> Principal:
        try:
            decoded = base64.b64decode(credential, validate=True).decode()
        except ValueError:
            raise NotAuthenticatedError("not a name and a password") from None
        name, _, password = decoded.partition(":")
        if not self._passwords.check(password, self._registry.password_hash(name)):
            self._refuse("operator", name, client)
            raise NotAuthenticatedError(
                "wrong name or password: `mftgit operator list` on the controller shows the names"
            )
        return Principal(kind=Kind.OPERATOR, name=name)

    def _member(self, token: str, method: str, path: str, client: str) -> Principal:
        try:
            member = verify_proof(
                token,
                method=method,
                path=path,
                cluster_id=self._cluster_id,
                public_key=self._registry.public_key,
            )
        except ProofRefusedError as error:
            self._refuse("member", str(error), client)
            raise NotAuthenticatedError(str(error)) from error
        return Principal(kind=Kind.MEMBER, name=member)

    def _refuse(self, kind: str, who: str, client: str) -> None:
        logger.warning("login failed", kind=kind, who=who[:64], client=client)
        self._record(EventName.LOGIN_FAILED, {"kind": kind, "who": who[:64], "client": client})
