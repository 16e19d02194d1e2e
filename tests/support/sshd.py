"""A real OpenSSH sshd on loopback, started by the user who runs the tests."""

import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from ports import own_port
from ssh_keys import make_key, program

from mftgit.model.locations.location import SftpLocation
from mftgit.model.locations.login import Auth, KeyAuth
from mftgit.model.names import LocationName

_START_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Sshd:
    """A running server: where it listens, what it shows, who may come in."""

    port: int
    folder: Path
    secrets_dir: Path
    host_keys: dict[str, str]  # the type of a key: its fingerprint, as ssh-keygen prints it
    log: Path
    config: Path
    processes: list[subprocess.Popen[bytes]]

    @property
    def pid(self) -> int:
        """The process that listens."""
        return self.processes[-1].pid

    def stop(self) -> None:
        """End it and all its sessions; nobody listens then."""
        _stop(self.processes[-1])

    def start(self) -> None:
        """Have it listen again, as it did before `stop`."""
        self.processes.append(_start(self.config, self.log))
        assert _wait_for_banner(self.port, self.processes[-1])

    def location(
        self,
        *,
        path: str | None = None,
        host_keys: tuple[str, ...] | None = None,
        host_ca: tuple[str, ...] = (),
        auth: tuple[Auth, ...] = (KeyAuth(file="client"),),
        username: str | None = None,
        host: str = "127.0.0.1",
        timeout_s: float = 60.0,
    ) -> SftpLocation:
        """Return a location on this server that works, but for what is asked otherwise.

        Its path is `folder` in full, so that no test depends on where a login starts.
        """
        return SftpLocation(
            name=LocationName("partner"),
            host=host,
            port=self.port,
            username=username or pwd.getpwuid(os.geteuid()).pw_name,
            path=path or str(self.folder),
            host_keys=tuple(self.host_keys.values()) if host_keys is None else host_keys,
            host_ca=host_ca,
            auth=auth,
            timeout_s=timeout_s,
        )

    def connections(self) -> int:
        """Return how many connections there were."""
        return self.log.read_text(encoding="utf-8").count("Connection from ")

    def sessions(self) -> list[int]:
        """Return the processes that serve clients now."""
        return [process for process in _descendants(self.pid) if process != self.pid]


@contextmanager
def running_sshd(work: Path, *, options: Sequence[str] = ()) -> Iterator[Sshd]:
    """Start sshd with its files in ``work``; ``options`` are lines of sshd_config that go first and so win."""
    folder, secrets_dir = work / "files", work / "secrets"
    folder.mkdir(parents=True, exist_ok=True)
    secrets_dir.mkdir(mode=0o700, exist_ok=True)
    make_key(secrets_dir / "client", "ed25519")
    shutil.copy(secrets_dir / "client.pub", work / "authorized_keys")
    host_keys = {kind: make_key(work / f"host_{kind}", kind) for kind in ("ed25519", "ecdsa")}
    log = work / "sshd.log"
    with own_port() as port:
        config = work / "sshd_config"
        config.write_text(_config(work, port, folder, options), encoding="utf-8")
        processes = [_start(config, log)]
        try:
            if not _wait_for_banner(port, processes[0]):
                raise AssertionError(f"sshd did not start; its log says:\n{log.read_text('utf-8')}")
            yield Sshd(
                port=port,
                folder=folder,
                secrets_dir=secrets_dir,
                host_keys=host_keys,
                log=log,
                config=config,
                processes=processes,
            )
        finally:
            _stop(processes[-1])


@contextmanager
def temporary_user(home: Path) -> Iterator[tuple[str, str]]:
    """Give name and password of a system user that is there only for the body; needs root."""
    name, password = f"mftgit-t-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    made = ("--system", "--no-create-home", "--home-dir", str(home), "--shell", "/bin/sh")
    subprocess.run([program("useradd"), *made, name], check=True, capture_output=True)
    try:
        line = f"{name}:{password}\n"
        subprocess.run(
            [program("chpasswd")],
            input=line,
            text=True,
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
        yield name, password
    finally:
        subprocess.run([program("userdel"), "-f", name], check=True, capture_output=True)


def _config(work: Path, port: int, folder: Path, options: Sequence[str]) -> str:
    # sshd splits this command at spaces, takes quotes as they are, and on a folder that is not there stays in
    # the user's home without a word: a test would write there.
    assert re.fullmatch(r"[\w./-]+", str(folder)), folder
    assert folder.is_dir(), folder
    lines = [
        *options,
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {work}/host_ed25519",
        f"HostKey {work}/host_ecdsa",
        f"AuthorizedKeysFile {work}/authorized_keys",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "PermitRootLogin yes",
        "StrictModes no",
        "PidFile none",
        "MaxStartups 100",
        "LogLevel VERBOSE",
        "Subsystem sftp internal-sftp",
        f"ForceCommand internal-sftp -d {folder}",
    ]
    if _version() >= (9, 8):
        lines.append("PerSourcePenalties no")  # wrong passwords in one test must not close the next
    return "\n".join(lines) + "\n"


def _start(config: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [program("sshd"), "-D", "-f", str(config), "-E", str(log)]
    if os.geteuid() == 0 and not Path("/run/sshd").is_dir():
        # Root's sshd insists on this folder; it gets one that only it sees.
        script = 'mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && exec "$@"'
        command = [program("unshare"), "-m", "sh", "-c", script, "sh", *command]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _wait_for_banner(port: int, process: subprocess.Popen[bytes]) -> bool:
    pause = Event()
    for _ in range(int(_START_S / 0.05)):
        if process.poll() is not None:
            return False
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), _START_S) as sock:
            if sock.recv(8).startswith(b"SSH-2.0"):
                return True
        pause.wait(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the sessions first, the innermost before its parent, so that each is waited for by who started it."""
    pause = Event()
    for number in reversed(_descendants(process.pid)[1:]):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
        for _ in range(100):
            if number not in _descendants(process.pid):
                break
            pause.wait(0.02)
    process.terminate()
    process.wait()


def _descendants(pid: int) -> list[int]:
    """Return ``pid`` and every process below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found = [pid]
    for known in found:
        found.extend(child for child, parent in parents.items() if parent == known)
    return found


def _version() -> tuple[int, int]:
    told = subprocess.run(
        [program("ssh"), "-V"], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", told.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)
