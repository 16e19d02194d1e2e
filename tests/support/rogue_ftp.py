"""A small FTP server over TLS that does as it should, but for what a test has it do otherwise."""

import socket
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

from ftps_server import Certificates, make_certificates, write_password

from mftgit.model.locations.ftps import FtpsLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import LocationName

_REPLIES = {
    "AUTH": "234 go on",
    "USER": "331 password",
    "PASS": "230 in",
    "PBSZ": "200 fine",
    "PROT": "200 fine",
    "FEAT": "211-Features:\r\n MLST type*;size*;modify*;\r\n211 End",
    "OPTS": "200 fine",
    "TYPE": "200 fine",
    "NOOP": "200 fine",
    "RNFR": "350 go on",
    "RNTO": "250 done",
    "DELE": "250 done",
    "MKD": "257 made",
    "RMD": "250 gone",
}
_TIMEOUT_S = 60.0


@dataclass
class RogueFtp:
    """What it is told to do otherwise: raw bytes for a verb, and what happens on data connections.

    ``send`` is what RETR and MLSD do with the data connection, ``on_data`` what is shown there, and ``last`` the reply
    after it. What is stored beyond ``room_bytes`` is thrown away; beyond ``most_bytes`` the connection is closed.
    """

    shown: Certificates
    host: str
    port: int
    secrets_dir: Path
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    greeting: bytes = b"220 hello\r\n"
    send: Callable[[ssl.SSLSocket, bytes], None] | None = None
    room_bytes: int = 1 << 30
    most_bytes: int = 1 << 30
    last: str = "226 that was all"
    on_data: ssl.SSLContext | None = None
    heard: list[str] = field(default_factory=list)
    in_plain_text: list[str] = field(default_factory=list)

    def location(self) -> FtpsLocation:
        """Return a location on this server."""
        return FtpsLocation(
            name=LocationName("rogue"),
            host=self.host,
            port=self.port,
            username="acme",
            auth=TlsAuth(password=SecretRef(file="password")),
            ca=self.shown.ca,
            timeout_s=60,
        )


@contextmanager
def running_rogue(work: Path, *, host: str = "127.0.0.1") -> Iterator[RogueFtp]:
    """Serve at the address ``host`` until the block ends; the certificate is for it."""
    write_password(work / "secrets")
    shown = make_certificates(host)
    context = server_context(shown)
    with _listen(host) as listener:
        rogue = RogueFtp(
            shown=shown, host=host, port=listener.getsockname()[1], secrets_dir=work / "secrets"
        )
        accepting = Thread(target=_accept, args=(listener, rogue, context), daemon=True)
        accepting.start()
        try:
            yield rogue
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def server_context(shown: Certificates) -> ssl.SSLContext:
    """Return what shows the certificate of ``shown``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(shown.server.key + shown.server.certificate)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def _accept(listener: socket.socket, rogue: RogueFtp, context: ssl.SSLContext) -> None:
    threads = []
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            break
        threads.append(Thread(target=_serve, args=(sock, rogue, context), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(_TIMEOUT_S)


def _serve(sock: socket.socket, rogue: RogueFtp, context: ssl.SSLContext) -> None:
    sock.settimeout(_TIMEOUT_S)
    visit = _Visit(rogue, context, sock)
    with suppress(OSError, ssl.SSLError):
        sock.sendall(rogue.greeting)
        visit.serve()
    visit.close()


class _Visit:
    def __init__(self, rogue: RogueFtp, context: ssl.SSLContext, sock: socket.socket) -> None:
        self.sock = sock
        self._rogue = rogue
        self._context = context
        self._passive: socket.socket | None = None

    def close(self) -> None:
        self.sock.close()
        if self._passive is not None:
            self._passive.close()

    def serve(self) -> None:
        buffer = b""
        while True:
            while b"\n" not in buffer:
                data = self.sock.recv(4096)
                if not data:
                    return
                buffer += data
            line, _, buffer = buffer.partition(b"\n")
            said = line.decode("utf-8", "replace").strip()
            self._rogue.heard.append(said)
            if not isinstance(self.sock, ssl.SSLSocket):
                self._rogue.in_plain_text.append(said)
            verb, _, rest = said.partition(" ")
            answer = self._rogue.answers.get(verb)
            if answer is not None:
                self.sock.sendall(answer)
            else:
                self._answer(self.sock, verb, rest)
            if verb == "AUTH":
                if answer is not None and not answer.startswith(b"234"):
                    continue
                self.sock = self._context.wrap_socket(self.sock, server_side=True)

    def _answer(self, sock: socket.socket, verb: str, rest: str) -> None:
        name = rest.removeprefix("./")
        match verb:
            case "PASV":
                high, low = divmod(self._open_passive(), 256)
                _say(sock, f"227 Entering Passive Mode (10,1,2,3,{high},{low})")
            case "EPSV":
                _say(sock, f"229 Entering Extended Passive Mode (|||{self._open_passive()}|)")
            case "MLST" if name in {"", "."}:
                _say(sock, "250-Facts\r\n type=dir;modify=20240101000000; /\r\n250 End")
            case "MLST" if name in self._rogue.files:
                size = len(self._rogue.files[name])
                _say(sock, f"250-Facts\r\n {_facts(size)} {name}\r\n250 End")
            case "MLSD":
                lines = [f"{_facts(len(data))} {each}" for each, data in self._rogue.files.items()]
                self._give(sock, "".join(f"{line}\r\n" for line in lines).encode())
            case "RETR" if name in self._rogue.files:
                self._give(sock, self._rogue.files[name])
            case "STOR":
                self._take(sock, name)
            case verb if verb in _REPLIES:
                _say(sock, _REPLIES[verb])
            case _:
                _say(sock, "550 no such thing")

    def _open_passive(self) -> int:
        if self._passive is not None:
            self._passive.close()
        self._passive = _listen(self._rogue.host)
        port: int = self._passive.getsockname()[1]
        return port

    def _give(self, sock: socket.socket, content: bytes) -> None:
        _say(sock, "150 here it comes")
        try:
            with closing(self._open_data()) as data:
                if self._rogue.send is not None:
                    self._rogue.send(data, content)
                else:
                    data.sendall(content)
                    end_data(data)
        except ssl.SSLError:
            if self._rogue.last.startswith("226"):
                raise
        _say(sock, self._rogue.last)

    def _take(self, sock: socket.socket, name: str) -> None:
        _say(sock, "150 go on")
        content = bytearray()
        with closing(self._open_data()) as data:
            while chunk := data.recv(1 << 16):
                content += chunk
                if len(content) > self._rogue.most_bytes:
                    break
            self._rogue.files[name] = bytes(content[: self._rogue.room_bytes])
            if not chunk:
                end_data(data)
        _say(sock, self._rogue.last)

    def _open_data(self) -> ssl.SSLSocket:
        assert self._passive is not None
        with closing(self._passive) as listener:
            listener.settimeout(_TIMEOUT_S)
            data, _ = listener.accept()
        data.settimeout(_TIMEOUT_S)
        context = self._rogue.on_data or self._context
        return context.wrap_socket(data, server_side=True, suppress_ragged_eofs=False)


def _listen(host: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family)


def _facts(size: int) -> str:
    return f"type=file;size={size};modify=20240101000000;"


def _say(sock: socket.socket, text: str) -> None:
    sock.sendall(f"{text}\r\n".encode())


def end_data(data: ssl.SSLSocket) -> None:
    """Say on a data connection that this was all."""
    with suppress(OSError):
        data.unwrap()
