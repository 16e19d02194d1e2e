"""Real WebDAV servers on loopback with TLS: Apache's httpd with mod_dav, and rclone; certificates made for the test."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from ports import own_port

from mftgit.adapters.tls import pki
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import TlsAuth
from mftgit.model.names import LocationName

USER, PASSWORD = "acme", "correct horse"
MODULES = Path("/usr/lib/apache2/modules")
_START_S = 60.0
_LOADED = (
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "dir",
    "dav",
    "dav_fs",
    "ssl",
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a server shows, and who issued it."""

    authority: pki.KeyPair
    server: pki.KeyPair

    @classmethod
    def for_hosts(cls, *hosts: str) -> "Shown":
        """Make them for ``hosts``."""
        now = datetime.now(tz=UTC)  # noqa: TID251  certificates are for the real clock
        authority = pki.make_authority("test", now=now)
        return cls(authority=authority, server=pki.issue_server(authority, hosts=hosts, now=now))

    @property
    def fingerprint(self) -> str:
        """How ``openssl x509 -fingerprint -sha256`` prints it."""
        digest = pki.fingerprint(self.server.certificate).upper()
        return ":".join(digest[at : at + 2] for at in range(0, 64, 2))

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write certificate and key of the server into ``folder``."""
        paths = folder / "server.crt", folder / "server.key"
        paths[0].write_bytes(self.server.certificate)
        paths[1].write_bytes(self.server.key)
        return paths

    def context(self, folder: Path) -> ssl.SSLContext:
        """Return TLS for a server in this process."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.write(folder))
        return context


@dataclass(frozen=True, kw_only=True)
class Dav:
    """A running server of ``folder``; ``name`` is its program's."""

    name: str
    port: int
    folder: Path
    secrets_dir: Path
    shown: Shown
    log: Path
    pid: int

    def location(self, *, path: str = "/", auth: TlsAuth | None = None) -> HttpsLocation:
        """Return a location on this server that works, but for what is asked otherwise."""
        return location_at(self.port, self.shown, path=path, auth=auth)


def location_at(
    port: int, shown: Shown, *, path: str = "/", auth: TlsAuth | None = None
) -> HttpsLocation:
    """Return a location on a server of this machine."""
    return HttpsLocation(
        name=LocationName("partner"),
        host="127.0.0.1",
        port=port,
        path=path,
        username=USER if auth is None else None,
        auth=TlsAuth(password=SecretRef(file="password")) if auth is None else auth,
        ca=shown.authority.certificate.decode(),
        timeout_s=60.0,
    )


def write_password(secrets_dir: Path, password: str = PASSWORD) -> None:
    """Have the secret of `location_at`."""
    secrets_dir.mkdir(mode=0o700, exist_ok=True)
    (secrets_dir / "password").write_text(password, encoding="utf-8")
    (secrets_dir / "password").chmod(0o600)


@contextmanager
def running_apache(work: Path, *, folder: Path, options: Sequence[str] = ()) -> Iterator[Dav]:
    """Start httpd of ``folder`` with its own files in ``work``; ``options`` are more lines of its configuration."""
    shown = Shown.for_hosts("127.0.0.1")
    certificate, key = shown.write(work)
    write_password(work / "secrets")
    users = subprocess.run(
        [_program("htpasswd"), "-n", "-i", USER],
        input=PASSWORD,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    (work / "users").write_text(users.stdout, encoding="utf-8")
    with own_port() as port:
        lines = [
            f"ServerRoot {work}",
            "ServerName 127.0.0.1",
            f"PidFile {work}/pid",
            f"ErrorLog {work}/error.log",
            f"DefaultRuntimeDir {work}",
            f"Listen 127.0.0.1:{port}",
            "StartServers 1",
            "ServerLimit 1",
            "ThreadsPerChild 64",
            "MaxRequestWorkers 64",
            *(f"LoadModule {each}_module {MODULES}/mod_{each}.so" for each in _LOADED),
            "SSLEngine on",
            "SSLSessionCache none",
            f"SSLCertificateFile {certificate}",
            f"SSLCertificateKeyFile {key}",
            f"DavLockDB {work}/locks",
            f"DocumentRoot {folder}",
            f"<Directory {folder}>",
            "Options FollowSymLinks",
            "Dav On",
            "AuthType Basic",
            "AuthName files",
            f"AuthUserFile {work}/users",
            "Require valid-user",
            "</Directory>",
            *options,
        ]
        (work / "httpd.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [_program("apache2"), "-D", "FOREGROUND", "-f", str(work / "httpd.conf")]
        with _running([*_as_somebody(), *command], port, work / "error.log") as pid:
            yield Dav(
                name="apache",
                port=port,
                folder=folder,
                secrets_dir=work / "secrets",
                shown=shown,
                log=work / "error.log",
                pid=pid,
            )


@contextmanager
def running_rclone(work: Path, *, folder: Path) -> Iterator[Dav]:
    """Start ``rclone serve webdav`` of ``folder`` with its own files in ``work``."""
    shown = Shown.for_hosts("127.0.0.1")
    certificate, key = shown.write(work)
    write_password(work / "secrets")
    with own_port() as port:
        command = [
            _program("rclone"),
            "serve",
            "webdav",
            str(folder),
            f"--addr=127.0.0.1:{port}",
            f"--cert={certificate}",
            f"--key={key}",
            f"--user={USER}",
            f"--pass={PASSWORD}",
            "--dir-cache-time=0",
            "--vfs-cache-mode=off",
            f"--config={work}/none",
            f"--log-file={work}/rclone.log",
        ]
        with _running(command, port, work / "rclone.log") as pid:
            yield Dav(
                name="rclone",
                port=port,
                folder=folder,
                secrets_dir=work / "secrets",
                shown=shown,
                log=work / "rclone.log",
                pid=pid,
            )


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[int]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        if not _wait(port, process):
            told = log.read_text("utf-8") if log.exists() else "nothing"
            raise AssertionError(f"{command[0]} did not start; its log says:\n{told}")
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(port: int, process: subprocess.Popen[bytes]) -> bool:
    pause = Event()
    for _ in range(int(_START_S / 0.05)):
        if process.poll() is not None:
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
        pause.wait(0.05)
    return False


def _as_somebody() -> list[str]:
    """Return what makes a command think that it is not root, which httpd refuses to serve as."""
    if os.geteuid() != 0:
        return []
    return [_program("unshare"), "--user", "--map-user=1000", "--map-group=1000"]


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    assert found is not None, name
    return found
