"""Logging in to an SSH server by the ways that a location names, in their order (RFC 4252)."""

from dataclasses import dataclass
from pathlib import Path

import paramiko

from mftgit.adapters.endpoint.contract import LoginError
from mftgit.adapters.location_secrets import Values, name_of, read_password
from mftgit.adapters.openssh.command import find_ssh
from mftgit.adapters.sftp.key import read_key
from mftgit.model.locations.hop import Hop, hops
from mftgit.model.locations.location import Client, SftpLocation
from mftgit.model.locations.login import Auth, KeyAuth
from mftgit.model.secrets.value import SecretValue

_QUESTIONS = "keyboard-interactive"
_TOLD = 60  # characters of what a server asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to log in as ``username``, by a key or a password; ``name`` is for messages and holds no secret."""

    name: str
    username: str
    key: paramiko.PKey | None = None
    password: SecretValue | None = None

    def attempt(self, transport: paramiko.Transport) -> list[str]:
        """Try it, and return which ways the server wants as well.

        Raises:
            SSHException: it was not taken.
        """
        if self.key is not None:
            return transport.auth_publickey(self.username, self.key)
        assert self.password is not None  # noqa: S101  one of the two is there
        return _try_password(transport, self.username, self.password.reveal())


def prepare(location: SftpLocation, *, secrets_dir: Path, values: Values) -> dict[Hop, list[Way]]:
    """Return the servers on the way to ``location``, and the ways to log in there, with their secrets read.

    Raises:
        ConfigError: a secret is missing, empty, unreadable, or open to other users of this machine; or ssh is
            missing where the location wants that.
    """
    if location.client is Client.OPENSSH:
        find_ssh()
    return {
        hop: [_way(hop.username, auth, secrets_dir, values) for auth in hop.auth]
        for hop in hops(location)
    }


def log_in(transport: paramiko.Transport, hop: Hop, ways: list[Way]) -> None:
    """Try ``ways`` in order; a server may want several of them, one after the other (RFC 4252, 5.1).

    Raises:
        LoginError: the server took none of them, or wants more.
    """
    results: list[str] = []
    for way in ways:
        try:
            wanted = way.attempt(transport)
        except paramiko.BadAuthenticationType as error:
            results.append(f"{way.name}: the server takes only {', '.join(error.allowed_types)}")
        except (paramiko.SSHException, EOFError, OSError) as error:
            # A server that has heard enough hangs up: to come again would only lock the account.
            if not results and _went_away(transport, error):
                raise
            why = str(error) if isinstance(error, _MoreAskedError) else "refused"
            results.append(f"{way.name}: {why}")
        else:
            if transport.is_authenticated():
                return
            results.append(f"{way.name}: taken, but the server wants {', '.join(wanted)} as well")
    raise LoginError(
        f"{hop.name} does not let {hop.username!r} in ({'; '.join(results)}): "
        f"check {hop.fields}username and {hop.fields}auth of {hop.document} and the secrets that it names"
    )


def _way(username: str, auth: Auth, secrets_dir: Path, values: Values) -> Way:
    if isinstance(auth, KeyAuth):
        read = read_key(auth, secrets_dir=secrets_dir, values=values)
        return Way(
            name=f"key in {name_of(auth)} ({read.name})",
            username=username,
            key=read.key,
        )
    password = read_password(auth, secrets_dir=secrets_dir, values=values)
    return Way(
        name=f"password in {name_of(auth)}",
        username=username,
        password=SecretValue(password),
    )


def _try_password(transport: paramiko.Transport, username: str, password: str) -> list[str]:
    """Give the password, as the answer to a question where the server takes it so only (RFC 4256).

    Raises:
        SSHException: it was not taken; for a server that asks for more, with the name of what it asks for.
    """
    try:
        return transport.auth_password(username, password, fallback=False)
    except paramiko.BadAuthenticationType as error:
        if _QUESTIONS not in error.allowed_types:
            raise
    questions = _Questions(password)
    try:
        return transport.auth_interactive(username, questions.answer)
    except paramiko.AuthenticationException as error:
        if questions.beyond is None:
            raise
        raise _MoreAskedError(
            f"the server asks for more than a password: {questions.beyond}"
        ) from error


class _MoreAskedError(paramiko.AuthenticationException):
    """A server asked for something else than the password, and did not let us in."""


class _Questions:
    """Answers the first question whose answer is not to be shown with the password, once, and no other."""

    def __init__(self, password: str) -> None:
        self._password: str | None = password
        self.beyond: str | None = None

    def answer(self, _title: str, _text: str, fields: list[tuple[str, bool]]) -> list[str]:
        """Return what to say; called in the thread of the connection, where raising would end it."""
        answers = []
        for question, shown in fields:
            if shown or self._password is None:
                self.beyond = self.beyond or repr(question[:_TOLD])
                answers.append("")
            else:
                answers.append(self._password)
                self._password = None
        return answers


def _went_away(transport: paramiko.Transport, error: Exception) -> bool:
    # paramiko tells a silent server from a refusal by the text alone.
    return not transport.is_active() or "timeout" in str(error).lower()
