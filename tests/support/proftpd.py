"""A real ProFTPD with mod_sftp on loopback, started by the user who runs the tests: it works digests out itself."""

import grp
import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from ports import own_port
from ssh_keys import make_key, program

from mftgit.model.locations.location import SftpLocation
from mftgit.model.locations.login import KeyAuth
from mftgit.model.names import LocationName

_START_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Proftpd:
    """A running server: where it listens, what it shows, and the folder it serves."""

    port: int
    folder: Path
    secrets_dir: Path
    host_key: str
    log: Path

    def location(self, *, path: str | None = None) -> SftpLocation:
        """Return a location on this server, its path `folder` in full."""
        return SftpLocation(
            name=LocationName("partner"),
            host="127.0.0.1",
            port=self.port,
            username=pwd.getpwuid(os.geteuid()).pw_name,
            path=path or str(self.folder),
            host_keys=(self.host_key,),
            auth=(KeyAuth(file="client"),),
        )


@contextmanager
def running_proftpd(work: Path, *, options: str = "") -> Iterator[Proftpd]:
    """Start ProFTPD with its files in ``work``; ``options`` are further lines of its configuration."""
    folder, secrets_dir = work / "files", work / "secrets"
    folder.mkdir(parents=True, exist_ok=True)
    secrets_dir.mkdir(mode=0o700, exist_ok=True)
    make_key(secrets_dir / "client", "ed25519")
    host_key = make_key(work / "host", "ecdsa")
    public = subprocess.run(
        [program("ssh-keygen"), "-e", "-f", str(secrets_dir / "client.pub")],
        check=True,
        capture_output=True,
    ).stdout
    (work / "client.rfc4716").write_bytes(public)
    me = pwd.getpwuid(os.geteuid())
    users = work / "users"
    users.touch(mode=0o600)
    users.write_text(
        f"{me.pw_name}:x:{me.pw_uid}:{me.pw_gid}::{folder}:/bin/sh\n", encoding="utf-8"
    )
    log = work / "proftpd.log"
    with own_port() as port:
        config = work / "proftpd.conf"
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
            if not _wait_for_banner(port, process):
                raise AssertionError(f"proftpd did not start: {log.read_text('utf-8', 'replace')}")
            yield Proftpd(
                port=port, folder=folder, secrets_dir=secrets_dir, host_key=host_key, log=log
            )
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()


def _config(work: Path, port: int, options: str) -> str:
    me = pwd.getpwuid(os.geteuid())
    return f"""
LoadModule mod_sftp.c
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
ScoreboardFile {work}/scoreboard
DelayTable none
User {me.pw_name}
Group {grp.getgrgid(me.pw_gid).gr_name}
RootLogin on
RequireValidShell off
UseFtpUsers off
AuthUserFile {work}/users
AuthOrder mod_auth_file.c
Umask 022
SFTPEngine on
SFTPLog {work}/proftpd.log
SFTPHostKey {work}/host
SFTPAuthMethods publickey
SFTPAuthorizedUserKeys file:{work}/client.rfc4716
AllowOverwrite on
{options}
"""


def _wait_for_banner(port: int, process: subprocess.Popen[bytes]) -> bool:
    pause = Event()
    for _ in range(int(_START_S / 0.05)):
        if process.poll() is not None:
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            return sock.recv(8).startswith(b"SSH-2.0")
        pause.wait(0.05)
    return False
