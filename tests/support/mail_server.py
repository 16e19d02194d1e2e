"""A real SMTP server (aiosmtpd) on loopback, with STARTTLS or TLS from the first byte, and a log-in."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from ftps_server import Certificates, make_certificates
from ports import own_port

USERNAME, PASSWORD = "mftgit@example.org", "s3cret öffne"


@dataclass(kw_only=True)
class MailServer:
    """A running server: what it has taken, and what it says to the next mails instead, if anything."""

    port: int
    certificates: Certificates = field(default_factory=make_certificates)
    taken: list[bytes] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    says: str | None = None
    refuses: frozenset[str] = frozenset()

    def mails(self) -> list[EmailMessage]:
        """Return the mails that it has taken."""
        return [message_from_bytes(each, policy=default) for each in self.taken]

    def texts(self) -> list[str]:
        """Return their texts."""
        return [each.get_content().replace("\r\n", "\n") for each in self.mails()]

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        """Take a recipient."""
        if address in self.refuses:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 taken"

    async def handle_DATA(  # noqa: N802  as aiosmtpd calls it
        self, _server: Any, _session: Session, envelope: Envelope
    ) -> str:
        """Take a mail."""
        if self.says is not None:
            return self.says
        content = envelope.content
        assert isinstance(content, bytes)
        self.envelopes.append((envelope.mail_from or "", list(envelope.rcpt_tos)))
        self.taken.append(content)
        return "250 taken"


@contextmanager
def mail_server(work: Path, *, implicit: bool = False) -> Iterator[MailServer]:
    """Run one."""
    with own_port() as port:
        server = MailServer(port=port)
        context = _context(work, server.certificates)
        controller = Controller(
            server,
            hostname="127.0.0.1",
            port=port,
            ssl_context=context if implicit else None,
            tls_context=None if implicit else context,
            require_starttls=not implicit,
            auth_required=not implicit,
            auth_require_tls=not implicit,
            authenticator=_authenticate,
            ready_timeout=60.0,
        )
        controller.start()
        try:
            yield server
        finally:
            controller.stop()


def _context(work: Path, shown: Certificates) -> ssl.SSLContext:
    paths = work / "mail.crt", work / "mail.key"
    paths[0].write_bytes(shown.server.certificate)
    paths[1].write_bytes(shown.server.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*paths)
    return context


def _authenticate(
    _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (
        USERNAME.encode(),
        PASSWORD.encode(),
    )
    return AuthResult(success=good, handled=good)
