"""The programs that `transfer` measures, each taking a folder of files to one sshd."""

import getpass
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sshd import Sshd

from bench.support import stopwatch

CIPHER: Final = "aes128-gcm@openssh.com"
SSHD_OPTIONS: Final = (f"Ciphers {CIPHER}", "ForceCommand none")
"""One cipher for all; a shell, because rclone has the server work its hashes out by commands."""

_LONGEST_S = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Take the files in ``source`` to ``target``; ``scratch`` is an empty folder.

    ``up``: the target is on the server, which this machine is too; otherwise the source is.
    """

    server: Sshd
    source: Path
    target: Path
    scratch: Path
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds of wall clock, and of CPU on the client's side."""

    wall_s: float
    cpu_s: float


def _run(command: list[str], *, given: str = "", env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
        env=env,
        encoding="utf-8",
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def _measured(command: list[str], *, given: str = "") -> Cost:
    """Run a program from its start to its end; CPU is its own and that of its children, as ssh is of sftp."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with stopwatch() as taken:
        _run(command, given=given, env=os.environ | {"RCLONE_CONFIG": ""})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s=taken[0], cpu_s=cpu_s)


def _mftgit(job: Job, *, flush: bool = True, parallel: int = 1, client: str = "builtin") -> Cost:
    plan = {
        "flush": flush,
        "parallel": parallel,
        "client": client,
        "port": job.server.port,
        "username": getpass.getuser(),
        "up": job.up,
        "here": str(job.source if job.up else job.target),
        "there": str(job.target if job.up else job.source),
        "host_keys": list(job.server.host_keys.values()),
        "secrets": str(job.server.secrets_dir),
        "state": str(job.scratch),
    }
    send = Path(__file__).with_name("send.py")
    answer = json.loads(_run([sys.executable, str(send)], given=json.dumps(plan)))
    return Cost(wall_s=answer["wall_s"], cpu_s=answer["cpu_s"])


def _sftp(job: Job, *, option: str = "") -> Cost:
    verb = "put" if job.up else "get"
    return _measured(_sftp_command(job), given=f"{verb} {option} {job.source}/* {job.target}/\n")


def _sftp_side_by_side(job: Job) -> Cost:
    """Have a process for each file, all at once."""
    verb = "put" if job.up else "get"
    files = sorted(path.name for path in job.source.iterdir())
    given = [f"{verb} {job.source}/{name} {job.target}/\n" for name in files]
    with ThreadPoolExecutor(len(files)) as pool, stopwatch() as taken:
        costs = list(pool.map(lambda each: _measured(_sftp_command(job), given=each), given))
    return Cost(wall_s=taken[0], cpu_s=costs[0].cpu_s)


def _sftp_command(job: Job) -> list[str]:
    return [
        "sftp", "-q", "-F", "none", "-P", str(job.server.port),
        "-i", str(job.server.secrets_dir / "client"),
        "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
        "-o", f"UserKnownHostsFile={os.devnull}", "-o", f"Ciphers={CIPHER}",
        "-b", "-", f"{getpass.getuser()}@127.0.0.1",
    ]  # fmt: skip


def _rclone(job: Job, *options: str) -> Cost:
    server = (
        f":sftp,host=127.0.0.1,port={job.server.port},user={getpass.getuser()},"
        f"key_file={job.server.secrets_dir}/client:"
    )
    ends = [str(job.source), str(job.target)]
    ends[job.up] = server + ends[job.up]
    return _measured(["rclone", "copy", *options, *ends])


def _lftp(job: Job) -> Cost:
    verb = "mirror -R" if job.up else "mirror"
    ssh = (
        f"ssh -a -x -F none -i {job.server.secrets_dir}/client -o IdentitiesOnly=yes"
        f" -o StrictHostKeyChecking=no -o UserKnownHostsFile={os.devnull} -o LogLevel=ERROR"
        f" -o Ciphers={CIPHER}"
    )
    script = (
        f'set sftp:connect-program "{ssh}"; '
        f"open -u {getpass.getuser()}, -p {job.server.port} sftp://127.0.0.1; "
        f"{verb} {job.source}/ {job.target}/; exit"
    )
    return _measured(["lftp", "--norc", "-c", script])


Clients = Mapping[str, Callable[[Job], Cost]]
"""What takes a job, by its name in the table."""

CLIENTS: Final[Clients] = {
    "sftp": _sftp,
    "sftp, fsync": lambda job: _sftp(job, option="-f"),
    "mftgit": _mftgit,
    "mftgit, flush: false": lambda job: _mftgit(job, flush=False),
    "mftgit, parallel: 4": lambda job: _mftgit(job, parallel=4),
    "lftp": _lftp,
    "rclone": _rclone,
    "rclone, no hash": lambda job: _rclone(job, "--ignore-checksum", "--sftp-disable-hashcheck"),
}
"""The first is what the others are compared with."""

SIDE_BY_SIDE: Final[Clients] = {
    "four sftp at once": _sftp_side_by_side,
    "mftgit, parallel: 4": lambda job: _mftgit(job, parallel=4),
    "mftgit, parallel: 4, client: openssh": lambda job: _mftgit(job, parallel=4, client="openssh"),
    "sftp": _sftp,
}
"""Those for some large files at once."""
