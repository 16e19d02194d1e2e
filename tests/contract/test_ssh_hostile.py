"""Clients that mean harm, or keep to no rule, before they have logged in and after."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import argon2
import paramiko
import pytest
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_OPEN_SUCCESS,
    MSG_EXT_INFO,
    MSG_GLOBAL_REQUEST,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_SERVICE_REQUEST,
    MSG_USERAUTH_INFO_RESPONSE,
    MSG_USERAUTH_REQUEST,
)
from ssh_door import WAIT_S, Door, account, open_door, served, serving
from ssh_keys import make_key

from mftgit.adapters.ssh_server.reception import Session
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.service import ServiceLimits

pytestmark = pytest.mark.needs("ssh-keygen")

VERSION = b"SSH-2.0-hostile\r\n"
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("secret")
YES, NO = True, False
BREACH = "a breach of the protocol"


def _hold(session: Session) -> None:
    """Serve a session that reads nothing more until it ends."""
    if session.stream.receive() == b"hold":
        HELD.wait(WAIT_S)


HELD = threading.Event()


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("hostile")
    (work / "keys").mkdir()
    make_key(work / "keys" / "ann", "ed25519")
    return work


@contextmanager
def _open(work: Path, **limits: float) -> Iterator[Door]:
    line = (work / "keys" / "ann.pub").read_text("ascii")
    ann = served(account("ann", (frozenset({Factor.KEY}),), keys=(line,)), password=CHEAP)
    said = ServiceLimits(**limits)  # type: ignore[arg-type]
    with open_door(work, serving(ann), serve=_hold, limits=said) as door:
        yield door


@pytest.fixture(scope="module")
def lasting(work: Path) -> Iterator[Door]:
    with _open(work) as door:
        yield door


@pytest.fixture
def door(lasting: Door) -> Door:
    """An open door, without what a failed test has left."""
    lasting.forget()
    return lasting


def _dial(door: Door) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", door.port), timeout=WAIT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _packet(payload: bytes) -> bytes:
    """Return ``payload`` as a packet before there are keys (RFC 4253, 6)."""
    padding = 8 - (len(payload) + 5) % 8 + 4
    padding += -(len(payload) + 5 + padding) % 8
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


def _string(content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + content


def _offer(kex: bytes = b"curve25519-sha256", ciphers: bytes = b"aes128-ctr") -> bytes:
    """Return what a client offers, in its packet."""
    lists = (kex, b"ssh-ed25519", ciphers, ciphers, b"hmac-sha2-256", b"hmac-sha2-256")
    names = b"".join(map(_string, (*lists, b"none", b"none", b"", b"")))
    return _packet(bytes((MSG_KEXINIT,)) + bytes(16) + names + bytes(5))


def _is_cut_off(sock: socket.socket) -> bool:
    """Tell that the server hangs up, whatever it says before."""
    with suppress(ConnectionError):
        while sock.recv(1 << 16):
            pass
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 22\r\n" + VERSION,
        b"SSH-1.5-old\r\n",
        b"hello\r\n" + VERSION,
        b"SSH-2.0-" + b"x" * 300 + b"\r\n",
        b"\xff" * 100 + b"\n",
        VERSION + os.urandom(4096),
        VERSION + struct.pack(">II", 0xFFFFFFF4, 4),
        VERSION + struct.pack(">II", (1 << 20) + 4, 4),
        VERSION + struct.pack(">IB", 0, 4) + bytes(64),
        VERSION + struct.pack(">IB", 12, 255) + bytes(64),
        VERSION + _packet(bytes((MSG_USERAUTH_REQUEST,)) + _string(b"ann") * 3),
        VERSION + _packet(bytes((MSG_KEXINIT,))),
        VERSION + _packet(bytes((MSG_IGNORE,)) + _string(b"x")) * 200,
        VERSION + _offer(ciphers=b"aes128-cbc,3des-cbc"),
        VERSION + _offer(kex=b"diffie-hellman-group1-sha1"),
        VERSION + _offer() + _offer(),
        VERSION + _offer() + _packet(b"\x1e" + _string(bytes(32))),
        VERSION + _offer() + _packet(b"\x1e" + _string(bytes(5))),
    ],
    ids=[
        *("http", "proxy-header", "old", "words-before", "long-version", "no-text"),
        *("chance", "four-gib", "one-mib", "empty", "padding", "login-first", "cut-offer"),
        *("ignored", "old-ciphers", "old-kex", "twice", "null-point", "short-point"),
    ],
)
def test_who_keeps_to_no_rule_is_cut_off(door: Door, sent: bytes) -> None:
    with _dial(door) as sock:
        with suppress(ConnectionError):
            sock.sendall(sent)
        assert _is_cut_off(sock)
    book = door.book()
    assert book.reason in {BREACH, "no algorithm in common", "the connection was lost"}
    assert not book.failures
    assert not book.logins


def test_the_server_says_no_version_of_its_software(door: Door) -> None:
    with _dial(door) as sock, sock.makefile("rb") as lines:
        assert lines.readline() == b"SSH-2.0-mftgit\r\n"
    assert door.book().reason == "the client hung up"


@pytest.mark.parametrize(
    "sent", [b"", VERSION, VERSION + _offer()], ids=["silent", "version", "offer"]
)
def test_who_does_not_log_in_in_time_is_cut_off(work: Path, sent: bytes) -> None:
    with _open(work, login_s=0.3) as door, _dial(door) as sock:
        sock.sendall(sent)
        assert _is_cut_off(sock)
        assert door.book().reason == "no login in time"


@pytest.mark.parametrize("begun", [b"", VERSION, VERSION + struct.pack(">IB", 30_000, 4)])
def test_who_trickles_is_cut_off(work: Path, begun: bytes) -> None:
    with _open(work, login_s=0.3) as door, _dial(door) as sock:
        sock.sendall(begun)
        with suppress(ConnectionError):
            while True:
                sock.sendall(b"S")
                threading.Event().wait(0.02)
        assert door.book().reason in {"no login in time", BREACH}


class Raw(bytes):
    """Bytes that stand in a message without a length."""


class Client(paramiko.Transport):
    """A client that sends what a test wants."""

    def say(self, kind: int, *parts: str | bytes | int) -> None:
        message = paramiko.Message()
        message.add_byte(bytes((kind,)))
        for part in parts:
            if isinstance(part, bool):
                message.add_boolean(part)
            elif isinstance(part, int):
                message.add_int(part)
            elif isinstance(part, Raw):
                message.add_bytes(part)
            else:
                message.add_string(part)
        self._send_message(message)  # type: ignore[attr-defined]

    def is_dropped(self) -> bool:
        self.join(WAIT_S)
        return not self.is_alive()


@pytest.fixture
def client(door: Door) -> Iterator[Client]:
    with closing(Client(_dial(door))) as client:
        client.start_client(timeout=WAIT_S)
        yield client


@pytest.fixture
def inside(client: Client, work: Path) -> Client:
    """One that has logged in."""
    client.auth_publickey("ann", _key(work))
    return client


def _key(work: Path) -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key_file(str(work / "keys" / "ann"))


def test_extensions_of_any_count_are_passed_over(door: Door, client: Client) -> None:
    client.say(MSG_EXT_INFO, 0xFFFFFFFF)
    client.say(MSG_SERVICE_REQUEST, "ssh-connection")
    assert client.is_dropped()
    assert door.book().reason == "no such service"


def test_answers_of_any_count_are_one_wrong_answer(door: Door, client: Client) -> None:
    client.say(MSG_SERVICE_REQUEST, "ssh-userauth")
    client.say(MSG_USERAUTH_INFO_RESPONSE, 0xFFFFFFFF)  # nothing was asked
    for _ in range(6):
        client.say(MSG_USERAUTH_REQUEST, "ann", "ssh-connection", "keyboard-interactive", "", "")
        client.say(MSG_USERAUTH_INFO_RESPONSE, 0xFFFFFFFF)
    assert client.is_dropped()
    book = door.book()
    assert book.reason == "too many failed logins"
    assert len(book.failures) == 6


def test_tries_that_were_sent_ahead_are_not_looked_at(door: Door, client: Client) -> None:
    client.say(MSG_SERVICE_REQUEST, "ssh-userauth")
    with suppress(EOFError, OSError):
        for _ in range(60):
            client.say(MSG_USERAUTH_REQUEST, "ann", "ssh-connection", "password", NO, "guess")
    assert client.is_dropped()
    assert len(door.book().failures) == 6


def test_what_a_client_sent_by_a_wrong_guess_is_passed_over(door: Door) -> None:
    class Guessing(Client):
        """Sends the first message of its first choice before it knows what is chosen (RFC 4253, 7)."""

        def _send_message(self, message: paramiko.Message) -> None:
            sent = message.asbytes()
            if sent[0] != MSG_KEXINIT:
                super()._send_message(message)  # type: ignore[misc]
                return
            follows = sent[:-5] + bytes((1,)) + sent[-4:]
            self.local_kex_init = self._latest_kex_init = follows
            super()._send_message(paramiko.Message(follows))  # type: ignore[misc]
            self.say(30, b"a guess of another exchange of keys")

    with closing(Guessing(_dial(door))) as client:
        client.get_security_options().kex = ("ecdh-sha2-nistp521",)
        client.start_client(timeout=WAIT_S)
        with pytest.raises(paramiko.BadAuthenticationType):
            client.auth_none("ann")
    door.book()


def test_what_is_asked_while_keys_change_is_answered_behind_that(door: Door, work: Path) -> None:
    class Asking(Client):
        """Asks something when it knows that keys are to change, and before it says so itself."""

        asks = False

        def _negotiate_keys(self, message: paramiko.Message) -> None:
            if self.asks:
                self.say(MSG_GLOBAL_REQUEST, "anything", YES)
            super()._negotiate_keys(message)  # type: ignore[misc]

    with closing(Asking(_dial(door))) as client:
        client.start_client(timeout=WAIT_S)
        client.auth_publickey("ann", _key(work))
        served_by: Any = door.connections.get(timeout=WAIT_S)
        client.asks = True
        client.completion_event = answered = threading.Event()  # set by new keys, and by answers
        served_by._send_kex_init()
        assert answered.wait(WAIT_S)
        client.asks = False
        client.open_session(timeout=WAIT_S)
        assert served_by.session_id != served_by.H
    door.book()


@pytest.mark.parametrize(
    "said",
    [
        ("ann" * 100, "ssh-connection", "none"),
        ("ann", "ssh-userauth", "none"),
    ],
)
def test_a_login_for_something_else_is_cut_off(
    door: Door, client: Client, said: tuple[str, ...]
) -> None:
    client.say(MSG_USERAUTH_REQUEST, *said)
    assert client.is_dropped()
    assert door.book().reason == "no such service"


def test_a_name_may_be_any_bytes(door: Door, client: Client) -> None:
    client.say(MSG_SERVICE_REQUEST, "ssh-userauth")
    password = (False, b"\xff\xfe")
    client.say(MSG_USERAUTH_REQUEST, b"\xff\n", "ssh-connection", "password", *password)
    client.say(MSG_SERVICE_REQUEST, "nothing")
    assert client.is_dropped()
    assert [name for name, _ in door.book().failures] == ["\\xff\n"]


@pytest.mark.parametrize(
    "say",
    [
        lambda client: client.say(MSG_USERAUTH_REQUEST, "ann", "ssh-connection", "none"),
        lambda client: client.say(MSG_GLOBAL_REQUEST, "keepalive@openssh.com", YES),
        lambda client: client.say(MSG_IGNORE, bytes(1000)),
        lambda client: client._send_kex_init(),
    ],
    ids=["none", "keepalive", "ignore", "kex"],
)
def test_there_is_an_end_to_what_is_said_before_a_login(
    door: Door, client: Client, say: Callable[[Any], None]
) -> None:
    with suppress(EOFError, OSError):
        for _ in range(200):
            if not client.is_alive():
                break
            say(client)
    assert client.is_dropped()
    assert not door.book().logins


def test_packets_are_short_before_a_login(door: Door, client: Client) -> None:
    client.say(MSG_IGNORE, bytes(100_000))
    assert client.is_dropped()
    assert door.book().reason in {BREACH, "the connection was lost"}


def test_a_channel_needs_a_login(door: Door, client: Client) -> None:
    with pytest.raises(paramiko.ChannelException):
        client.open_session(timeout=WAIT_S)
    client.close()
    assert not door.book().logins


def test_a_message_between_others_is_seen_where_order_is_strict(door: Door) -> None:
    """The attack of CVE-2023-48795: one more message in the clear shifts the numbers."""

    class Shifted(Client):
        def _send_kex_init(self) -> None:
            self.say(MSG_IGNORE, b"")
            super()._send_kex_init()  # type: ignore[misc]

    with closing(Shifted(_dial(door))) as client:
        with suppress(
            paramiko.SSHException, EOFError, OSError
        ):  # or it returns as if all were well
            client.start_client(timeout=WAIT_S)
        assert client.is_dropped()
    assert door.book().reason == BREACH


def test_no_old_kind_of_signature_is_taken(door: Door, client: Client, tmp_path: Path) -> None:
    make_key(tmp_path / "rsa", "rsa")
    blob = paramiko.RSAKey.from_private_key_file(str(tmp_path / "rsa")).asbytes()
    client.say(MSG_SERVICE_REQUEST, "ssh-userauth")
    for algorithm in ("ssh-rsa", "ssh-dss", "ssh-ed25519"):
        said = ("ann", "ssh-connection", "publickey", True, algorithm, blob, b"")
        client.say(MSG_USERAUTH_REQUEST, *said)
    client.say(MSG_SERVICE_REQUEST, "nothing")
    assert client.is_dropped()
    assert not door.book().logins


def test_more_than_the_window_ends_the_connection(door: Door, inside: Client) -> None:
    channel = inside.open_session(timeout=WAIT_S)
    channel.invoke_subsystem("sftp")
    channel.sendall(b"hold")
    with suppress(EOFError, OSError):
        for _ in range(6):
            inside.say(MSG_CHANNEL_DATA, channel.remote_chanid, bytes(900_000))
    assert inside.is_dropped()
    HELD.set()
    assert door.book().reason in {BREACH, "the connection was lost"}
    HELD.clear()


def test_data_that_are_none_are_passed_over(door: Door, inside: Client) -> None:
    channel = inside.open_session(timeout=WAIT_S)
    channel.invoke_subsystem("sftp")
    channel.settimeout(WAIT_S)
    number = channel.remote_chanid
    for _ in range(100):
        inside.say(MSG_CHANNEL_DATA, number, b"")
        inside.say(MSG_CHANNEL_EXTENDED_DATA, number, 1, bytes(100_000))
    inside.say(MSG_CHANNEL_OPEN_SUCCESS, number, 0, 0, 0)
    inside.say(MSG_USERAUTH_REQUEST, "bob", "ssh-connection", "none")
    channel.sendall(b"end")
    assert channel.recv_exit_status() == 0
    inside.close()
    assert len(door.book().logins) == 1


def test_channels_without_end_are_forgotten(door: Door, inside: Client) -> None:
    connection: Any = door.connections.get(timeout=WAIT_S)
    for _ in range(1100):
        while True:
            with suppress(paramiko.ChannelException):
                inside.open_session(timeout=WAIT_S).close()
                break
    assert len(connection.channels_seen) <= 1024
    assert not connection.sessions
    inside.close()
    door.book()


def test_proofs_of_other_keys_than_ours_are_not_to_be_had(door: Door, inside: Client) -> None:
    kind = "hostkeys-prove-00@openssh.com"
    ours = inside.get_remote_server_key().asbytes()
    for asked in ((b"another key",), (), (ours, b"another key"), (ours,) * 17):
        assert inside.global_request(kind, asked, wait=True) is None
    inside.say(MSG_GLOBAL_REQUEST, kind, NO, Raw(b"\xff\xff\xff\xff"))
    inside.say(MSG_GLOBAL_REQUEST, kind, NO, ours)
    assert inside.global_request(kind, (ours,), wait=True) is not None
    inside.close()
    door.book()
