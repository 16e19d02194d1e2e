"""Our own SFTP loop over a real home, behind a plain transport that lets everybody in."""
# ruff: noqa: ARG002  the signatures are paramiko's

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import paramiko
from homes import HomeSite
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.home import Home
from mftgit.adapters.sftp_packets import packetizer_class
from mftgit.adapters.sftp_serve import serve
from mftgit.adapters.sftp_serve_requests import Download, Tally
from mftgit.adapters.sftp_stream import ChannelStream
from mftgit.model.names import AccountName

_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com")
ACCOUNT = AccountName("acme")


@dataclass(kw_only=True)
class Inbound:
    """A running server over ``site``, and what its sessions have done."""

    port: int
    site: HomeSite
    idle_s: float = 60.0
    downloads: list[Download] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    transports: list[paramiko.Transport] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)

    def home(self) -> Home:
        return self.site.open(name=ACCOUNT)

    def begin(self, channel: paramiko.Channel) -> None:
        stream, tally = ChannelStream(channel), Tally()
        self.tallies.append(tally)

        def run() -> None:
            why = serve(
                stream,
                self.home(),
                account=ACCOUNT,
                downloaded=self.downloads.append,
                tally=tally,
                clock=SystemClock(),
                idle_s=self.idle_s,
            )
            self.ended.append(why)
            with suppress(paramiko.SSHException, OSError, EOFError):  # the client has gone
                channel.send_exit_status(0)  # without it scp says that it failed
                channel.close()

        thread = Thread(target=run, name="session")
        thread.start()
        self.threads.append(thread)


class _Door(paramiko.ServerInterface):
    """Lets everybody in, and serves nothing but sftp."""

    def __init__(self, inbound: Inbound) -> None:
        self.inbound = inbound

    def get_allowed_auths(self, username: str) -> str:
        return "none,publickey,password"

    def check_auth_none(self, username: str) -> int:
        return AUTH_SUCCESSFUL

    def check_auth_password(self, username: str, password: str) -> int:
        return AUTH_SUCCESSFUL

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        if name != "sftp":
            return False
        self.inbound.begin(channel)
        return True


@contextmanager
def inbound_sftp(root: Path, *, window_bytes: int = 512 << 10) -> Iterator[Inbound]:
    """Serve ``root`` on loopback."""
    root.mkdir(exist_ok=True)
    host_key = paramiko.ECDSAKey.generate(bits=256)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        inbound = Inbound(port=listener.getsockname()[1], site=HomeSite(root))

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.settimeout(3)
                transport = paramiko.Transport(
                    sock,
                    default_window_size=window_bytes,
                    default_max_packet_size=64 << 10,
                    packetizer_class=packetizer_class(),
                )
                transport.get_security_options().ciphers = _CIPHERS
                inbound.transports.append(transport)
                transport.add_server_key(host_key)
                transport.start_server(event=Event(), server=_Door(inbound))

        thread = Thread(target=accept)
        thread.start()
        try:
            yield inbound
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for transport in inbound.transports:
                transport.close()
                transport.join()
            for session in inbound.threads:
                session.join()
