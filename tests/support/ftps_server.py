"""A real ProFTPD with mod_tls on loopback, started by the user who runs the tests."""

import grp
import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from ports import own_port
from ssh_keys import program

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.tls import pki
from mftgit.model.locations.ftps import FtpsLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import LocationName

PASSWORD = "s3cret öffne"
_CRYPTED = "$6$mftgit$qCpe76TqaaXxXf0Y1LaCXcb7PdZNaizCpReyEZyue3ky5csHCE0XtoQn00H0Q73OgdzR5NZRfmhevIYvdGBmP1"
_START_S = 60.0


@dataclass(frozen=True, kw_only=True)
class FtpsServer:
    """A running server: where it listens, what it shows, and the folder it serves."""

    port: int
    folder: Path
    secrets_dir: Path
    authority: pki.KeyPair
    fingerprint: str
    log: Path
    implicit: bool
    pid: int

    def hang_up(self) -> None:
        """Kill every process that serves a session, whatever it is at."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            for child in (task / "children").read_text(encoding="ascii").split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)

    def location(self, *, path: str | None = None) -> FtpsLocation:
        """Return a location on this server, its path `folder` in full."""
        return FtpsLocation(
            name=LocationName("partner"),
            host="127.0.0.1",
            port=self.port,
            username=pwd.getpwuid(os.geteuid()).pw_name,
            path=path or str(self.folder),
            auth=TlsAuth(password=SecretRef(file="password")),
            implicit=self.implicit,
            ca=self.authority.certificate.decode(),
        )


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """What servers show, and what clients check it by."""

    authority: pki.KeyPair
    server: pki.KeyPair

    @property
    def ca(self) -> str:
        """Return what a location has as ca."""
        return self.authority.certificate.decode()

    @property
    def fingerprint(self) -> str:
        """Return the server's, as openssl prints it."""
        found = pki.fingerprint(self.server.certificate).upper()
        return ":".join(found[at : at + 2] for at in range(0, 64, 2))


def make_certificates(*hosts: str) -> Certificates:
    """Return a fresh authority, and a certificate of it for ``hosts``, or 127.0.0.1."""
    now = SystemClock().now()
    authority = pki.make_authority("partner", now=now)
    server = pki.issue_server(authority, hosts=hosts or ("127.0.0.1",), now=now)
    return Certificates(authority=authority, server=server)


def issue_client(authority: pki.KeyPair) -> pki.KeyPair:
    """Issue a certificate that is for anything, clients too."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, password=None)
    assert isinstance(issuer_key, ec.EllipticCurvePrivateKey)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "acme")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(issuer.not_valid_before_utc)
        .not_valid_after(issuer.not_valid_after_utc)
        .sign(issuer_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pki.KeyPair(certificate=certificate.public_bytes(pem), key=private)


def write_password(secrets_dir: Path, password: str = PASSWORD) -> None:
    """Put what `FtpsServer.location` logs in with where it looks for it."""
    secrets_dir.mkdir(mode=0o700, exist_ok=True)
    file = secrets_dir / "password"
    file.touch(mode=0o600)
    file.write_text(password, encoding="utf-8")


@contextmanager
def running_ftps(work: Path, *, options: str = "", implicit: bool = False) -> Iterator[FtpsServer]:
    """Start ProFTPD with its files in ``work``; ``options`` are further lines of its configuration."""
    folder, secrets_dir = work / "files", work / "secrets"
    folder.mkdir(parents=True, exist_ok=True)
    write_password(secrets_dir)
    shown = make_certificates()
    for name, pair in (("server", shown.server), ("authority", shown.authority)):
        key = work / f"{name}.key"
        key.touch(mode=0o600)
        key.write_bytes(pair.key)
        (work / f"{name}.crt").write_bytes(pair.certificate)
    me = pwd.getpwuid(os.geteuid())
    users = work / "users"
    users.touch(mode=0o600)
    users.write_text(
        f"{me.pw_name}:{_CRYPTED}:{me.pw_uid}:{me.pw_gid}::{folder}:/bin/sh\n", encoding="utf-8"
    )
    log = work / "proftpd.log"
    with ExitStack() as ports:
        port = ports.enter_context(own_port())
        config = work / "proftpd.conf"
        for usual in ("AllowOverwrite on", "AllowStoreRestart on", "TLSProtocol TLSv1.2 TLSv1.3"):
            if usual.split()[0] not in options:
                options += f"\n{usual}"
        if implicit:
            options += "\nTLSOptions UseImplicitSSL"
        config.write_text(_config(work, port, options), encoding="utf-8")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [program("proftpd"), "--nodaemon", "--quiet", "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            if not _listens(port, process):
                raise AssertionError(f"proftpd did not start: {log.read_text('utf-8', 'replace')}")
            yield FtpsServer(
                port=port,
                folder=folder,
                secrets_dir=secrets_dir,
                authority=shown.authority,
                fingerprint=shown.fingerprint,
                log=log,
                implicit=implicit,
                pid=process.pid,
            )
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _config(work: Path, port: int, options: str) -> str:
    me = pwd.getpwuid(os.geteuid())
    return f"""
LoadModule mod_tls.c
ServerType standalone
ServerName partner
DefaultAddress 127.0.0.1
SocketBindTight on
Port {port}
UseIPv6 off
UseReverseDNS off
WtmpLog off
TransferLog none
PidFile {work}/proftpd.pid
ScoreboardFile none
DelayTable none
MaxInstances 100
User {me.pw_name}
Group {grp.getgrgid(me.pw_gid).gr_name}
RootLogin on
RequireValidShell off
UseFtpUsers off
AuthUserFile {work}/users
AuthOrder mod_auth_file.c
Umask 022
TLSEngine on
TLSLog {work}/proftpd.log
TLSRequired on
TLSECCertificateFile {work}/server.crt
TLSECCertificateKeyFile {work}/server.key
{options}
"""


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    pause = Event()
    for _ in range(int(_START_S / 0.05)):
        if process.poll() is not None:
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
        pause.wait(0.05)
    return False
