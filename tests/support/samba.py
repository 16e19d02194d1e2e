"""A real Samba smbd on loopback with files, users and configuration of its own; needs root."""

import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from ports import own_port
from ssh_keys import program

from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.smb import SmbLocation
from mftgit.model.names import LocationName

PASSWORD = "correct horse"
SHARE = "exchange"
_START_S = 60.0
_FOLDERS = ("private", "lock", "state", "cache", "pid", "ncalrpc")


@dataclass(frozen=True, kw_only=True)
class Samba:
    """A running server: where it listens, and the folder that is its share."""

    port: int
    folder: Path
    secrets_dir: Path
    pid: int

    def location(
        self,
        *,
        path: str = ".",
        share: str = SHARE,
        username: str | None = None,
        domain: str | None = None,
        encrypt: bool = True,
        flush: bool = True,
        timeout_s: float = 60.0,
        port: int | None = None,
    ) -> SmbLocation:
        """Return a location on this server that works, but for what is asked otherwise."""
        return SmbLocation(
            name=LocationName("partner"),
            host="127.0.0.1",
            port=port or self.port,
            share=share,
            username=username or _user(),
            domain=domain,
            password=SecretRef(file="password"),
            path=path,
            encrypt=encrypt,
            flush=flush,
            timeout_s=timeout_s,
        )

    def kill(self) -> None:
        """Kill the processes that serve clients, and the one that would start others."""
        os.killpg(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Let all of it stand still, connections included."""
        os.killpg(self.pid, signal.SIGSTOP)


@contextmanager
def running_samba(
    work: Path,
    *,
    folder: Path | None = None,
    options: Sequence[str] = (),
    share: Sequence[str] = (),
) -> Iterator[Samba]:
    """Start smbd with its own files in ``work``; its share is ``folder``, by default one in there.

    ``options`` and ``share`` are lines of smb.conf, the last of which win.
    """
    if os.geteuid() != 0:
        pytest.skip("smbd needs root")
    folder, secrets_dir = folder or work / "files", work / "secrets"
    folder.mkdir(parents=True, exist_ok=True)
    secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets_dir / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    password.chmod(0o600)
    for name in _FOLDERS:
        (work / name).mkdir(exist_ok=True)
    with own_port() as port:
        config = work / "smb.conf"
        config.write_text(_config(work, port, folder, options, share), encoding="utf-8")
        _add_user(config)
        log = (work / "smbd.log").open("wb")
        command = [program("smbd"), "--foreground", "--no-process-group", "-s", str(config)]
        with log:
            process = subprocess.Popen(
                [*command, "--debug-stdout"], stdout=log, stderr=log, start_new_session=True
            )
        try:
            if not _wait_for(port, process):
                raise AssertionError((work / "smbd.log").read_text("utf-8", "replace"))
            yield Samba(port=port, folder=folder, secrets_dir=secrets_dir, pid=process.pid)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _config(
    work: Path, port: int, folder: Path, options: Sequence[str], share: Sequence[str]
) -> str:
    lines = [
        "[global]",
        "netbios name = MFTGIT",
        "server role = standalone server",
        f"passdb backend = tdbsam:{work}/private/passdb.tdb",
        f"private dir = {work}/private",
        f"lock directory = {work}/lock",
        f"state directory = {work}/state",
        f"cache directory = {work}/cache",
        f"pid directory = {work}/pid",
        f"ncalrpc dir = {work}/ncalrpc",
        f"smb ports = {port}",
        "interfaces = 127.0.0.1",
        "bind interfaces only = yes",
        "disable netbios = yes",
        "disable spoolss = yes",
        "load printers = no",
        "printcap name = /dev/null",
        "map to guest = never",
        "server min protocol = SMB3_00",
        *options,
        f"[{SHARE}]",
        f"path = {folder}",
        "read only = no",
        *share,
    ]
    return "\n".join(lines) + "\n"


def _add_user(config: Path) -> None:
    subprocess.run(
        [program("pdbedit"), "-s", str(config), "-a", "-t", "-u", _user()],
        input=f"{PASSWORD}\n{PASSWORD}\n",
        text=True,
        encoding="utf-8",
        check=True,
        capture_output=True,
    )


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> bool:
    pause = Event()
    for _ in range(int(_START_S / 0.05)):
        if process.poll() is not None:
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return True
        pause.wait(0.05)
    return False
