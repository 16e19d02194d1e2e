"""Send mails by SMTP, with STARTTLS or TLS from the first byte."""

import base64
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from threading import Timer
from typing import BinaryIO, Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.handlers.target import TargetError, TargetRefusedError
from mftgit.model.handlers.handler import EmailHandler, MailTls
from mftgit.model.printable import printable

MAX_SUBJECT: Final = 200
_STEPS: Final = 6
"""A conversation has so many times the time of one step, however slowly its answers trickle in."""

_MAX_TOLD: Final = 300
_MAX_LINES: Final = 1000
_PERMANENT: Final = 500
_LOGGED_IN: Final = (235, 503)  # the latter: already (RFC 4954)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """What a mail says: lines of text, in which nothing is a control character."""

    subject: str
    text: str


Passed = Callable[[str], None]
"""Is told of each step of a conversation that went well."""


class Mailer:
    """Sends mails as an event handler says, each by a connection of its own."""

    def __init__(
        self,
        handler: EmailHandler,
        *,
        context: ssl.SSLContext,
        password: str | None,
        clock: Clock,
    ) -> None:
        """Nothing is connected yet."""
        self._handler = handler
        self._context = context
        self._password = password
        self._clock = clock
        self._open: smtplib.SMTP | None = None
        self._closed = False

    def send(self, mail: Mail, passed: Passed = lambda _: None) -> None:
        """Send a mail; it is the server's when this returns.

        Raises:
            TargetRefusedError: the server will not have this mail.
            TargetError: it cannot be reached, is another one, or fails.
        """
        if self._closed:
            raise TargetError("the handler was stopped")
        message = self._message(mail)
        with self._told(), self._connected(passed) as server:
            handler = self._handler
            if handler.username is not None and self._password is not None:
                _log_in(server, handler.username, self._password)
                passed("log in")
            refused = server.send_message(message, handler.sender, list(handler.to))
            passed("hand over")
        if refused:
            names = sorted(refused)
            logger.bind(event_handler=handler.name, recipients=names).warning(
                "a mail server does not take mails for some recipients"
            )

    def close(self) -> None:
        """Let who waits for the server meet a TargetError."""
        self._closed = True
        if self._open is not None:
            _shut(self._open)

    @contextmanager
    def _connected(self, passed: Passed) -> Iterator[smtplib.SMTP]:
        handler = self._handler
        implicit = handler.tls is MailTls.IMPLICIT
        server: smtplib.SMTP = (
            _BoundedTls(timeout=handler.timeout_s, context=self._context)
            if implicit
            else _Bounded(timeout=handler.timeout_s)
        )
        watch = Timer(handler.timeout_s * _STEPS, _shut, [server])
        watch.daemon = True
        watch.start()
        self._open = server
        try:
            # What a certificate is checked for; `connect` does not keep it.
            server._host = handler.host  # type: ignore[attr-defined]  # noqa: SLF001
            code, said = server.connect(handler.host, handler.port)
            if code != 220:  # noqa: PLR2004  RFC 5321, 3.1
                raise smtplib.SMTPConnectError(code, said)
            passed("connect")
            if handler.tls is MailTls.STARTTLS:
                server.starttls(context=self._context)
                passed("start TLS")
            yield server
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
        finally:
            watch.cancel()
            self._open = None
            server.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Have errors told as ours, with the server's own words; none of them holds the password."""
        at = f"{self._handler.host}:{self._handler.port}"
        try:
            yield
        except smtplib.SMTPNotSupportedError as error:
            raise TargetError(f"{at} does not offer what is asked of it: {error}") from None
        except smtplib.SMTPAuthenticationError as error:
            raise TargetError(
                f"{at} does not take the username and its password: {_words(error)}"
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            code, said = next(iter(error.recipients.values()))
            raise TargetError(
                f"{at} takes mails for none of the recipients: {code} {_text(said)}"
            ) from None
        except smtplib.SMTPDataError as error:
            kind = TargetRefusedError if error.smtp_code >= _PERMANENT else TargetError
            raise kind(f"{at} does not take this mail: {_words(error)}") from None
        except smtplib.SMTPResponseException as error:
            raise TargetError(f"{at} answers: {_words(error)}") from None
        except ssl.SSLCertVerificationError as error:
            raise TargetError(
                f"{at} shows a certificate that is not taken: {error.verify_message}"
            ) from None
        except (OSError, smtplib.SMTPException, UnicodeError) as error:
            raise TargetError(
                f"{at} cannot be spoken to: {printable(str(error))[:_MAX_TOLD]}"
            ) from None

    def _message(self, mail: Mail) -> EmailMessage:
        handler = self._handler
        message = EmailMessage(policy=SMTP)
        message["From"] = handler.sender
        message["To"] = ", ".join(handler.to)
        message["Subject"] = printable(mail.subject)[:MAX_SUBJECT]
        message["Date"] = format_datetime(self._clock.now())
        message["Message-ID"] = make_msgid(domain=handler.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's machine answers
        message.set_content(printable(mail.text, keep="\n"), cte="quoted-printable")
        return message


class _FewLines:
    """What a server says, as far as one needs to listen: smtplib reads a reply to its end, whatever its length."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left = _MAX_LINES
        self.close = stream.close

    def readline(self, size: int = -1) -> bytes:
        """See `BinaryIO.readline`; raises OSError once it was too much."""
        self._left -= 1
        if self._left < 0:
            raise OSError("it says more than anybody needs to know")
        return self._stream.readline(size)


class _Bounded(smtplib.SMTP):
    def getreply(self) -> tuple[int, bytes]:
        """See `smtplib.SMTP.getreply`."""
        if self.file is None and self.sock is not None:
            self.file = _FewLines(self.sock.makefile("rb"))
        return super().getreply()


class _BoundedTls(_Bounded, smtplib.SMTP_SSL):
    pass


def _log_in(server: smtplib.SMTP, username: str, password: str) -> None:
    """Log in by PLAIN, which takes every character (RFC 4616), else by what the server has."""
    server.ehlo_or_helo_if_needed()
    if "PLAIN" not in server.esmtp_features.get("auth", "").upper().split():
        server.login(username, password)
        return
    told = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
    code, said = server.docmd("AUTH", f"PLAIN {told}")
    if code not in _LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, said)


def _words(error: smtplib.SMTPResponseException) -> str:
    return f"{error.smtp_code} {_text(error.smtp_error)}"


def _text(said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return printable(text)[:_MAX_TOLD]


def _shut(server: smtplib.SMTP) -> None:
    sock = server.sock
    if sock is not None:
        with suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
