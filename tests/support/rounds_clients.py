"""Clients that a server of ours serves in rounds."""

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import paramiko
from inbound_sftp import ACCOUNT, Inbound
from patient_ssh import transport_to
from raw_sftp import ATTRS, RawSftp, raw_session
from sftp_requests import text

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.hosting import Answering, Tally
from mftgit.adapters.sftp_server.serve import serve
from mftgit.adapters.ssh_server.reception import Session

STAT = 17


def log_in(end: socket.socket, *, window_bytes: int = 2 << 20) -> paramiko.Transport:
    """Log in over ``end``, with the cipher that OpenSSH has; others are served by a thread of their own."""
    transport = transport_to(end, window_bytes=window_bytes)
    transport.get_security_options().ciphers = ("aes128-gcm@openssh.com",)
    transport.connect(username="acme", password="any")
    return transport


@contextmanager
def session(server: Inbound, *, patience_s: float = 60.0) -> Iterator[RawSftp]:
    transport = log_in(socket.create_connection(("127.0.0.1", server.port)))
    try:
        client = raw_session(transport)
        client.channel.settimeout(patience_s)
        yield client
    finally:
        transport.close()


def is_answered(client: RawSftp) -> bool:
    return client.ask(STAT, text("/")).sort == ATTRS


def threads(name: str) -> int:
    return [each.name for each in threading.enumerate()].count(name)


def serve_from(server: Inbound, homes: "queue.Queue[Any]", **more: Any) -> None:
    """Serve each session from the next one of ``homes``; ``more`` is what else `serve` is given."""

    def one(session: Session) -> None:
        serve(
            session.stream,
            homes.get(timeout=60.0),
            account=ACCOUNT,
            downloaded=lambda _: None,
            tally=Tally(),
            answering=Answering(),
            clock=SystemClock(),
            work=session.work,
            **more,
        )

    server.serve = one  # type: ignore[method-assign]
