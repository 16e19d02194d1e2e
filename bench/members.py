"""A cluster of real processes of mftgit on this machine, made quickly: all but ``mftgit run`` happens in-process."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.support import pause, say, stopwatch
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.documents_folder import importable
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls.pki import fingerprint
from mftgit.cli.demo.processes import Processes
from mftgit.cli.records import open_records
from mftgit.cli.rules import make_validator
from mftgit.controller.initialise import Initialised, initialise
from mftgit.errors import TransientError
from mftgit.member.join import join
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.token import JoinToken
from mftgit.model.names import MemberName

CONTROLLER = "controller"

_GIT_S = 120
_GIT_OVERRIDES = ("GIT_SSL_CAINFO", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
_HELPER = '!f() { echo "username=$OPERATOR"; echo "password=$OPERATOR_PASSWORD"; }; f'
_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A push: what was published, how long ``git push`` took in seconds, and when it returned."""

    revision: str
    took_s: float
    returned_at: datetime


class Cluster:
    """A controller and nodes below ``root``, which share ``files``."""

    def __init__(self, root: Path, processes: Processes, documents: Mapping[str, str]) -> None:
        """Make the controller with ``documents`` as its first revision; nothing runs yet."""
        self.root = root
        self.files = root / "files"
        self._processes = processes
        self._clock = SystemClock()
        self._clone = root / "clone"
        self.access = self._initialise(documents)
        (root / "home").mkdir()

    def folder(self, name: str) -> StateFolder:
        """Return the state folder of a member."""
        return StateFolder(self.root / name)

    def start_controller(self) -> None:
        """Start the controller, wait until it answers, and clone from it."""
        self._processes.start_member(CONTROLLER, self.folder(CONTROLLER).root)
        clone = ("clone", "--quiet", self.access.clone_url, str(self._clone))
        self._processes.wait_until(
            "the controller answers",
            lambda: self._run_git(*clone, at=self.root, check=False).returncode == 0,
            within_s=30,
        )

    def join(self, names: Sequence[str]) -> None:
        """Let nodes join, by the library functions that the commands call; they are not started."""
        for name in names:
            self._join(name)
        say(f"{len(names)} nodes have joined; starting their processes")

    def start(self, name: str) -> None:
        """Start a node that has joined."""
        self._processes.start_member(name, self.folder(name).root)

    def check(self) -> None:
        """See that every member still runs."""
        self._processes.check()

    def push(self, path: str, content: str) -> Pushed:
        """Change one document, commit, and time ``git push`` alone."""
        (self._clone / path).write_text(content, encoding="utf-8")
        self._run_git("commit", "--quiet", "--all", "--message", f"Change {path}")
        with stopwatch() as taken:
            self._run_git("push", "--quiet", "origin", "HEAD:main")
        returned_at = self._clock.now()
        revision = self._run_git("rev-parse", "HEAD").stdout.strip()
        return Pushed(revision=revision, took_s=taken[0], returned_at=returned_at)

    def revision(self) -> str:
        """Return the revision of the clone."""
        return self._run_git("rev-parse", "HEAD").stdout.strip()

    @contextmanager
    def log(self, name: str) -> Iterator["Log"]:
        """Give the event log of a member for reading."""
        with closing(
            EventStore(self.folder(name).events, member=MemberName(name), now=self._clock.now)
        ) as store:
            yield Log(store)

    def _initialise(self, documents: Mapping[str, str]) -> Initialised:
        content = {path: text.encode() for path, text in documents.items()}
        self.files.mkdir()
        return initialise(
            self.folder(CONTROLLER),
            documents=content,
            tree=importable(content),
            validator=make_validator(),
            listen=("127.0.0.1", 0),
            host="127.0.0.1",
            files_root=self.files,
            now=self._clock.now,
        )

    def _join(self, name: str) -> None:
        with open_records(self.folder(CONTROLLER)) as records:
            secret = records.registry.invite(MemberName(name), Role.NODE)
        authority = fingerprint(self.access.ca_file.read_bytes())
        for attempt in range(5):
            try:
                join(
                    self.folder(name),
                    controller_url=self.access.url,
                    token=JoinToken(member=MemberName(name), ca_sha256=authority, secret=secret),
                    files_root=self.files,
                    now=self._clock.now,
                )
            except TransientError:
                if attempt == 4:
                    raise
                pause(1.0)
            else:
                return

    def _run_git(
        self, *words: str, at: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if key not in _GIT_OVERRIDES}
        own = {
            "HOME": str(self.root / "home"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "Bench",
            "GIT_AUTHOR_EMAIL": "bench@example.invalid",
            "GIT_COMMITTER_NAME": "Bench",
            "GIT_COMMITTER_EMAIL": "bench@example.invalid",
            "OPERATOR": self.access.username,
            "OPERATOR_PASSWORD": self.access.password,
        }
        before = ("-c", f"http.sslCAInfo={self.access.ca_file}", "-c", f"credential.helper={_HELPER}")  # fmt: skip
        done = subprocess.run(
            ["git", *before, *words],
            cwd=at or self._clone,
            env=kept | own,
            capture_output=True,
            text=True,
            timeout=_GIT_S,
            check=False,
            encoding="utf-8",
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"git {words[0]} failed:\n{done.stderr}")
        return done


class Log:
    """One member's event log, read as far as it has grown since the last look."""

    def __init__(self, store: EventStore) -> None:
        """Read ``store``, beside the member that writes it."""
        self._store = store
        self._position = 0
        self._events: list[Event] = []

    def all(self, event: EventName) -> list[Event]:
        """Return every ``event`` that stands in the log now, the oldest first."""
        while page := self._store.after(self._position, limit=_PAGE):
            self._events.extend(told for _, told in page)
            self._position = page[-1][0]
        return [told for told in self._events if told.event is event]

    def at(self, event: EventName, revision: str, *, by: str) -> datetime | None:
        """Return when the member ``by`` wrote down ``event`` about ``revision``, None when it has not."""
        times = [told for told in self.all(event) if (told.revision, told.member) == (revision, by)]
        return moment(times[0]) if times else None


def moment(event: Event) -> datetime:
    """Return an event's time, which is in whole milliseconds, cut off."""
    return datetime.fromisoformat(event.at)
