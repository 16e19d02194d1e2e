"""The demo's processes: started, asked, killed, and none of them left behind."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mftgit.errors import MftgitError

_STOP_S = 8.0
_COMMAND_S = 60.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoFailedError(MftgitError):
    """Something that the demo promises did not happen."""


class Processes:
    """Members as real processes, each in a session of its own."""

    def __init__(self, log_folder: Path) -> None:
        """Write the members' output to ``log_folder``."""
        self._log_folder = log_folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._shielded = False
        self._interrupted = False

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Stop every process at the end, also on Ctrl-C, SIGTERM and SIGHUP."""
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C does not break this off
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def start_member(self, name: str, folder: Path) -> None:
        """Start ``mftgit run`` on ``folder``."""
        with (self._log_folder / f"{name}.log").open("ab") as log, self._shield():
            self._running[name] = subprocess.Popen(  # noqa: S603  our own program
                [*_dying_with_us(), *mftgit_command(), "run", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=folder,
            )

    def kill(self, name: str) -> int:
        """Kill a member as a power cut would, and return its process id."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return process.pid

    def check(self) -> None:
        """See that every member still runs; raises DemoFailedError."""
        for name, process in self._running.items():
            if process.poll() is not None:
                log = (self._log_folder / f"{name}.log").read_text(errors="replace")
                raise DemoFailedError(
                    f"{name} ended with {process.returncode}; its last words:\n{log[-2000:]}"
                )

    def wait_until(self, what: str, reached: Callable[[], bool], *, within_s: float) -> None:
        """Wait until ``reached``; raises DemoFailedError when it takes too long or a member ends."""
        pause = threading.Event()
        step_s = 0.1
        for _ in range(int(within_s / step_s)):
            self.check()
            if reached():
                return
            pause.wait(step_s)
        raise DemoFailedError(f"waited {within_s:.0f} s in vain: {what}")

    def _stop_all(self) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._running.clear()

    @contextmanager
    def _shield(self) -> Iterator[None]:
        """Put an interruption off until the process that is being started is known here."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
        if self._interrupted:
            raise KeyboardInterrupt

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupted = True
        if not self._shielded:
            raise KeyboardInterrupt


def mftgit_command() -> list[str]:
    """Return the words that start this very mftgit."""
    return [sys.executable, "-m", "mftgit"]


def _dying_with_us() -> list[str]:
    """Return the words that have a process end with this one, also where this one is killed; part of util-linux."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM", "--"] if setpriv else []


def call(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``command`` to its end and return what it said; its exit code is for the caller to judge."""
    return subprocess.run(  # noqa: S603  no shell
        list(command),
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=_COMMAND_S,
        check=False,
    )


def need_git() -> str:
    """Return the path of git; raises DemoFailedError when there is none."""
    git = shutil.which("git")
    if git is None:
        raise DemoFailedError(
            "git is not installed: the demo pushes with it (Debian: apt install git)"
        )
    return git
