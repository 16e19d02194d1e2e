"""A real cluster for end-to-end tests: real processes of the installed mftgit, real git, real files."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ports import own_port

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.status import read_status
from mftgit.model.printable import json_line

MFTGIT = [sys.executable, "-m", "mftgit"]
WAIT_S = 150.0  # on a busy machine a process may take a minute to begin

_ALL = 1_000_000

_GIT_OVERRIDES = ("GIT_SSL_CAINFO", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def environment(home: Path, **extra: str) -> dict[str, str]:
    """The environment of a person whose own settings play no part."""
    kept = {key: value for key, value in os.environ.items() if key not in _GIT_OVERRIDES}
    return kept | {
        "HOME": str(home),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_AUTHOR_NAME": "Alice",
        "GIT_AUTHOR_EMAIL": "alice@example.invalid",
        "GIT_COMMITTER_NAME": "Alice",
        "GIT_COMMITTER_EMAIL": "alice@example.invalid",
        **extra,
    }


def mftgit(
    *words: str | Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the installed mftgit to its end."""
    return subprocess.run(
        [*MFTGIT, *map(str, words)],
        cwd=cwd,
        env=None if env is None else dict(env),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def mftgit_json(*words: str | Path, cwd: Path) -> Any:
    """Run a verb with ``--json`` and return what it printed; it has to succeed."""
    done = mftgit(*words, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass
class Cluster:
    """One controller and any number of nodes below ``root``, sharing ``files``; the controller has ``port``."""

    root: Path
    port: int
    host: str = "127.0.0.1"
    access: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def home(self) -> Path:
        (self.root / "home").mkdir(exist_ok=True)
        return self.root / "home"

    def dir(self, name: str) -> Path:
        return self.root / name

    # Members

    def init(self, documents: Path | None = None) -> None:
        """Make the controller; ``documents`` is the folder of the first revision."""
        words: list[str | Path] = [
            "controller", "init", self.dir("controller"), "--listen", f"{self.host}:{self.port}",
            "--files-root", self.files,
        ]  # fmt: skip
        if documents is not None:
            words += ["--from", documents]
        self.access = mftgit_json(*words, cwd=self.root)

    def invite(self, name: str) -> str:
        answer = mftgit_json("member", "add", name, "--dir", self.dir("controller"), cwd=self.root)
        return str(answer["token"])

    def join(self, name: str, *, files: Path | None = None) -> None:
        mftgit_json(
            "join", self.dir(name), "--controller", self.access["url"],
            "--token", self.invite(name), "--files-root", files or self.files, cwd=self.root,
        )  # fmt: skip

    def start(self, name: str, *before: str) -> None:
        """Start a member; ``before`` are words in front of the command, such as those of prlimit."""
        log = (self.root / f"{name}.log").open("ab")
        with log:
            self.running[name] = subprocess.Popen(
                [*before, *MFTGIT, "run", str(self.dir(name)), "--log-level", "DEBUG"],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start_controller(self, *before: str) -> None:
        self.start("controller", *before)
        self.until(
            "the controller answers",
            lambda: self._listens() and self.git("ls-remote", self.url).returncode == 0,
        )

    def add_node(self, name: str) -> None:
        self.join(name)
        self.start(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.running[name].send_signal(number)

    def kill(self, name: str) -> None:
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> int:
        process = self.running.pop(name)
        process.terminate()
        return process.wait(85)  # before a service manager would kill it

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()
        self.running.clear()

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text(encoding="utf-8")

    # Looking

    def _listens(self) -> bool:
        """Tell whether something listens on the controller's port; to ask costs less than to let git ask."""
        with socket.socket() as wire:
            return wire.connect_ex((self.host, self.port)) == 0

    def status(self, name: str = "controller") -> dict[str, Any]:
        """What ``mftgit status --json`` prints; no process is started, because `until` asks over and over."""
        answer: dict[str, Any] = _as_printed(read_status(StateFolder(self.dir(name))).as_json())
        return answer

    def member(self, name: str, *, seen_by: str = "controller") -> dict[str, Any]:
        members = self.status(seen_by)["members"]
        found: dict[str, Any] = next(each for each in members if each["name"] == name)
        return found

    def transfer(self, name: str, *, on: str, seen_by: str = "controller") -> dict[str, Any] | None:
        transfers = self.member(on, seen_by=seen_by)["transfers"]
        return next((each for each in transfers if each["name"] == name), None)

    def owner(self, transfer: str, *, among: list[str]) -> str | None:
        """The member that says of itself that it owns ``transfer``."""
        for name in among:
            found = self.transfer(transfer, on=name)
            if found is not None and found["owner"] == name and name in self.running:
                return name
        return None

    def until_owner(self, transfer: str, *, among: list[str]) -> str:
        """Wait for an `owner`, and return its name; a node that owns a transfer tells the controller later."""
        found: list[str] = []

        def is_known() -> bool:
            name = self.owner(transfer, among=among)
            found.extend([name] if name else [])
            return bool(found)

        self.until(f"one of {among} owns {transfer}", is_known)
        return found[0]

    def events(self, name: str = "controller") -> list[dict[str, Any]]:
        """What ``mftgit events --json`` prints; no process is started, either."""
        folder = StateFolder(self.dir(name))
        own = folder.read_bootstrap().name
        with closing(EventStore(folder.events, member=own, now=SystemClock().now)) as store:
            return [_as_printed(event.as_json()) for _, event in store.after(0, limit=_ALL)]

    def until(self, what: str, reached: Callable[[], object], *, within_s: float = WAIT_S) -> None:
        """Wait for ``reached``; no test times anything by this."""
        end = time.monotonic() + within_s
        while not reached():
            for name, process in self.running.items():
                assert process.poll() is None, f"{name} ended:\n{self.log(name)[-3000:]}"
            assert time.monotonic() < end, f"in vain: {what}\n{self._logs()}"
            time.sleep(0.1)  # noqa: TID251

    def until_active(self, revision: str, *names: str) -> None:
        self.until(
            f"{names} run {revision}",
            lambda: all(self.member(each)["active_revision"] == revision for each in names),
        )

    def _logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(encoding='utf-8')[-1500:]}"
            for path in self.root.glob("*.log")
        )

    # Git

    @property
    def url(self) -> str:
        return self.access["clone_url"]

    def git(
        self, *words: str | Path, cwd: Path | None = None, who: str = "", password: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run stock git as an operator: the first one, unless another is named."""
        helper = '!f() { echo "username=$OPERATOR"; echo "password=$OPERATOR_PASSWORD"; }; f'
        return subprocess.run(
            [
                "git", "-c", f"http.sslCAInfo={self.access['ca_file']}",
                "-c", f"credential.helper={helper}", *map(str, words),
            ],
            cwd=cwd or self.root,
            env=environment(
                self.home,
                OPERATOR=who or self.access["username"],
                OPERATOR_PASSWORD=password or self.access["password"],
            ),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )  # fmt: skip

    def clone(self, name: str = "clone") -> Path:
        done = self.git("clone", "--quiet", self.url, self.root / name)
        assert done.returncode == 0, done.stderr
        return self.root / name

    def push(
        self, clone: Path, changes: Mapping[str, str | None], *, message: str = "Change"
    ) -> str:
        """Write (or, with None, remove) files, commit, push; return the new revision."""
        done = self.try_push(clone, changes, message=message)
        assert done.returncode == 0, done.stderr
        return self.git("rev-parse", "HEAD", cwd=clone).stdout.strip()

    def try_push(
        self, clone: Path, changes: Mapping[str, str | None], *, message: str = "Change"
    ) -> subprocess.CompletedProcess[str]:
        for path, content in changes.items():
            if content is None:
                (clone / path).unlink()
            else:
                (clone / path).parent.mkdir(parents=True, exist_ok=True)
                (clone / path).write_text(content, encoding="utf-8")
        self.git("add", "--all", cwd=clone)
        self.git("commit", "--quiet", "--allow-empty", "-m", message, cwd=clone)
        return self.git("push", "origin", "HEAD:main", cwd=clone)


def _as_printed(value: Any) -> Any:
    return json.loads(json_line(value))


@contextmanager
def cluster(root: Path) -> Iterator[Cluster]:
    with own_port() as port:
        made = Cluster(root=root, port=port)
        made.files.mkdir()
        try:
            yield made
        finally:
            made.close()


def copy_sample(to: Path, *, changes: Mapping[str, str | None] | None = None) -> Path:
    """Copy the sample configuration and change documents of it."""
    sample = Path(__file__).parents[2] / "sample-config-repo"
    shutil.copytree(sample, to, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
    for path, content in (changes or {}).items():
        if content is None:
            (to / path).unlink()
        else:
            (to / path).write_text(content, encoding="utf-8")
    return to


def sub(text: str, pattern: str, replacement: str) -> str:
    """Replace exactly what ``pattern`` finds; it has to find something."""
    changed, times = re.subn(pattern, replacement, text)
    assert times, f"{pattern!r} is not in the text"
    return changed
