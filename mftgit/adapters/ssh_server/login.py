"""What a client and a server say to each other for a login (RFC 4252 and RFC 4256); others decide who comes in."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

import paramiko
from loguru import logger
from paramiko.common import (
    MSG_SERVICE_REQUEST,
    MSG_USERAUTH_INFO_RESPONSE,
    MSG_USERAUTH_REQUEST,
    cMSG_SERVICE_ACCEPT,
    cMSG_USERAUTH_BANNER,
    cMSG_USERAUTH_FAILURE,
    cMSG_USERAUTH_INFO_REQUEST,
    cMSG_USERAUTH_PK_OK,
    cMSG_USERAUTH_REQUEST,
    cMSG_USERAUTH_SUCCESS,
)

from mftgit.adapters.ssh.verify import form_flaw, is_over, read_signature
from mftgit.adapters.ssh_server.reception import Answer, Doorkeeper, Question, Reception, Verdict
from mftgit.model.inbound.login_steps import Flaw, Method
from mftgit.model.keys.ssh_user_key import Shown, read_shown
from mftgit.model.printable import printable

_USERAUTH: Final = b"ssh-userauth"
_CONNECTION: Final = b"ssh-connection"
_MAX_ACCOUNT_BYTES: Final = 256
_MOST_KEYS: Final = 20
"""How many keys a client may show that are refused: an agent offers all that it has."""

_CLIENT: Final = 60  # characters
_SERVICE_NOT_AVAILABLE: Final = 7
_TOO_MANY_CONNECTIONS: Final = 12
_NO_MORE_METHODS: Final = 14
"""RFC 4253, 11.1."""


class Line(Protocol):
    """The connection that a login is for."""

    session_id: bytes
    remote_version: str

    def answer(self, message: paramiko.Message) -> None:
        """Send ``message``."""

    def pause(self, seconds: float) -> bool:
        """Wait so long, or until the connection is ended; tell whether it goes on."""

    def end(self, reason: str, code: int) -> None:
        """Tell the client ``reason`` and hang up."""

    def let_in(self) -> None:
        """Begin to serve, after the client was told that it is in."""


class LoginTalk:
    """The login of one connection; one thread uses it. paramiko knows it as its ``auth_handler``."""

    def __init__(
        self,
        line: Line,
        *,
        doorkeeper: Doorkeeper,
        reception: Reception,
        attempts: int,
        banner: str | None,
    ) -> None:
        self._line = line
        self._doorkeeper = doorkeeper
        self._reception = reception
        self._attempts_left = attempts
        self._keys_left = _MOST_KEYS
        self._banner = banner
        self._account: str | None = None
        self._refused_key: Flaw | None = None
        self._has_failed = False
        self._is_in = False
        self._handler_table: Mapping[int, Callable[[paramiko.Message], None]] = {
            MSG_SERVICE_REQUEST: partial(self._take, self._service),
            MSG_USERAUTH_REQUEST: partial(self._take, self._request),
            MSG_USERAUTH_INFO_RESPONSE: partial(self._take, self._response),
        }
        self._methods: Mapping[bytes, Callable[[str, paramiko.Message], None]] = {
            Method.KEY.value.encode(): self._key,
            Method.PASSWORD.value.encode(): self._password,
            Method.INTERACTIVE.value.encode(): self._conversation,
        }

    def is_authenticated(self) -> bool:
        """See paramiko."""
        return self._is_in

    def get_username(self) -> str | None:
        """See paramiko."""
        return self._account

    def abort(self) -> None:
        """See paramiko."""

    def leave(self) -> None:
        """Take down that a client has gone that showed nothing but keys of nobody."""
        if self._refused_key and not (self._is_in or self._has_failed):
            self._reception.failed(self._account or "", self._refused_key)

    def _take(self, take: Callable[[paramiko.Message], None], message: paramiko.Message) -> None:
        """Take a message; a defect is told, which paramiko would keep for itself."""
        try:
            take(message)
        except (paramiko.SSHException, EOFError, OSError):
            raise
        except Exception:
            logger.exception("a login ended by a defect")
            raise

    def _service(self, message: paramiko.Message) -> None:
        if message.get_string() != _USERAUTH:
            self._line.end("no such service", _SERVICE_NOT_AVAILABLE)
            return
        reply = _begin(cMSG_SERVICE_ACCEPT)
        reply.add_string(_USERAUTH)
        self._line.answer(reply)
        if self._banner:
            greeting = _begin(cMSG_USERAUTH_BANNER)
            greeting.add_string(self._banner)
            greeting.add_string("")
            self._line.answer(greeting)
            self._banner = None

    def _request(self, message: paramiko.Message) -> None:
        if self._is_in:
            return  # RFC 4252, 5.1
        name, service, method = (message.get_string() for _ in range(3))
        account = name.decode("utf-8", "backslashreplace")
        if service != _CONNECTION or len(name) > _MAX_ACCOUNT_BYTES:
            self._line.end("no such service", _SERVICE_NOT_AVAILABLE)
        elif self._account not in {None, account}:
            self._line.end("another account than before", _SERVICE_NOT_AVAILABLE)
        else:
            self._account = account
            self._methods.get(method, self._nothing)(account, message)

    def _nothing(self, _account: str, _message: paramiko.Message) -> None:
        """Answer the method ``none``, by which a client asks what there is (RFC 4252, 5.2), and unknown ones."""
        self._refuse(self._doorkeeper.offered())

    def _key(self, account: str, message: paramiko.Message) -> None:
        has_signature = message.get_boolean()
        algorithm, blob = message.get_string(), message.get_string()
        try:
            shown = read_shown(algorithm.decode("ascii", "replace"), blob)
        except ValueError:
            self._refuse_key(Flaw.KEY)
            return
        if flaw := self._doorkeeper.weigh(account, shown):
            self._refuse_key(flaw)
        elif not has_signature:
            reply = _begin(cMSG_USERAUTH_PK_OK)
            reply.add_string(algorithm)
            reply.add_string(blob)
            self._line.answer(reply)
        elif self._is_signed(account, shown, algorithm, blob, message.get_string()):
            self._conclude(account, self._doorkeeper.signed(account, shown))
        else:
            self._conclude(account, self._doorkeeper.forged(account))

    def _is_signed(
        self, account: str, shown: Shown, algorithm: bytes, blob: bytes, signature: bytes
    ) -> bool:
        """Tell whether ``signature`` is by the key, over what RFC 4252, 7 says."""
        signed = paramiko.Message()
        signed.add_string(self._line.session_id)
        signed.add_byte(cMSG_USERAUTH_REQUEST)
        for part in (account, _CONNECTION, Method.KEY.value):
            signed.add_string(part)
        signed.add_boolean(True)  # noqa: FBT003  paramiko's signature
        signed.add_string(algorithm)
        signed.add_string(blob)
        try:
            found = read_signature(signature)
        except ValueError:
            return False
        return (
            found.kind == shown.algorithm.encode()
            and form_flaw(shown.key, found) is None
            and is_over(signed.asbytes(), shown.key, found)
        )

    def _password(self, account: str, message: paramiko.Message) -> None:
        wants_another = message.get_boolean()
        password = message.get_string().decode("utf-8", "replace")
        if wants_another:  # that cannot be had
            self._refuse(self._doorkeeper.offered())
        else:
            self._conclude(account, self._doorkeeper.password(account, password))

    def _conversation(self, account: str, _message: paramiko.Message) -> None:
        self._go_on(account, self._doorkeeper.converse(account))

    def _response(self, message: paramiko.Message) -> None:
        """Take the answer to the one question that was asked (RFC 4256, 3.4)."""
        if self._is_in or self._account is None:
            return
        answer = message.get_string().decode("utf-8", "replace") if message.get_int() == 1 else ""
        self._go_on(self._account, self._doorkeeper.answered(self._account, answer))

    def _go_on(self, account: str, answer: Question | Answer) -> None:
        if isinstance(answer, Answer):
            self._conclude(account, answer)
            return
        question = _begin(cMSG_USERAUTH_INFO_REQUEST)
        for part in ("", "", ""):  # name, instruction, language
            question.add_string(part)
        question.add_int(1)
        question.add_string(answer.prompt)
        question.add_boolean(False)  # noqa: FBT003  paramiko's signature
        self._line.answer(question)

    def _conclude(self, account: str, answer: Answer) -> None:
        if answer.verdict is Verdict.IN:
            self._let_in()
        elif answer.verdict is Verdict.FURTHER:
            self._refuse(answer.next, partly=True)
        else:
            self._has_failed = True
            self._attempts_left -= 1
            delay_s = self._reception.failed(account, answer.flaw or Flaw.UNFIT)
            if delay_s is not None and not self._line.pause(delay_s):
                return
            if delay_s is None or self._attempts_left <= 0:
                self._line.end("too many failed logins", _NO_MORE_METHODS)
            else:
                self._refuse(answer.next)

    def _refuse_key(self, flaw: Flaw) -> None:
        self._refused_key = flaw
        self._keys_left -= 1
        if self._keys_left <= 0:
            self._line.end("too many failed logins", _NO_MORE_METHODS)
        else:
            self._refuse(self._doorkeeper.offered())

    def _refuse(self, offered: tuple[Method, ...], *, partly: bool = False) -> None:
        reply = _begin(cMSG_USERAUTH_FAILURE)
        reply.add_list([method.value for method in offered])
        reply.add_boolean(partly)
        self._line.answer(reply)

    def _let_in(self) -> None:
        account, factors = self._doorkeeper.account, self._doorkeeper.passed
        if account is None:
            raise AssertionError("nobody is in")
        client = printable(self._line.remote_version.removeprefix("SSH-2.0-"))[:_CLIENT]
        if not self._reception.logged_in(account, factors, client):
            self._line.end("too many connections of this account", _TOO_MANY_CONNECTIONS)
            return
        self._is_in = True
        self._line.answer(_begin(cMSG_USERAUTH_SUCCESS))
        self._line.let_in()


def _begin(kind: bytes) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(kind)
    return message
