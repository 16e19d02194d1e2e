"""A controller's git side with a rule of its own, small enough to see through."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from git_server import Served, serving

from mftgit.adapters.git.http import GitHttp
from mftgit.adapters.git.store import GitStore
from mftgit.controller.gate.publish import Publish
from mftgit.controller.gate.receive import Receive
from mftgit.model.documents.problem import Problem
from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import Revision
from mftgit.model.revisions.limits import Limits
from mftgit.model.rules.tree import Tree

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
FIRST = {"cluster.yaml": b"name: first\n", "transfers/a.yaml": b"one\n"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The problems of one tree."""

    problems: tuple[Problem, ...]


class NoBadWords:
    """The rule of these tests: files are plain and do not hold the word ``bad``."""

    def validate(self, tree: Tree) -> Found:
        """Return a problem for each line that breaks the rule."""
        return Found(problems=tuple(self._problems(tree)))

    def _problems(self, tree: Tree) -> Iterator[Problem]:
        for path, entry in tree.items():
            if entry.mode != 0o100644:
                yield Problem(file=path, rule="plain", message=f"has the mode {entry.mode:o}")
            elif entry.size_bytes < 1000:
                for number, line in enumerate(entry.load().splitlines(), 1):
                    if b"bad" in line:
                        yield Problem(
                            file=path,
                            line=number,
                            column=1 + line.index(b"bad"),
                            rule="word",
                            message="holds the word bad",
                            hint="write good",
                        )


@dataclass(slots=True, kw_only=True)
class Site:
    """A store, a server before it, and what was told."""

    store: GitStore
    app: GitHttp
    served: Served
    events: list[tuple[EventName, Revision | None, Mapping[str, Fact]]] = field(
        default_factory=list
    )
    published: list[Revision] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where to clone from."""
        return self.served.url

    def told(self) -> list[EventName]:
        """Return the names of the events so far."""
        return [name for name, _, _ in self.events]


@contextmanager
def site(
    folder: Path,
    *,
    limits: Limits | None = None,
    listeners: Sequence[Callable[[Revision], None]] = (),
) -> Iterator[Site]:
    """Serve a repository with a first revision for the time of the block."""
    events: list[tuple[EventName, Revision | None, Mapping[str, Fact]]] = []
    published: list[Revision] = []

    def record(name: EventName, revision: Revision | None, facts: Mapping[str, Fact]) -> None:
        events.append((name, revision, facts))

    with GitStore.create(folder / "store.git") as store:
        store.commit_documents(
            FIRST, message="Begin", author="mftgit <mftgit@example.org>", now=NOW, parent=None
        )
        gate = Receive(NoBadWords(), record, Publish(record, [*listeners, published.append]))
        app = GitHttp(
            store, gate=gate.decide, settled=gate.settle, limits=lambda: limits or Limits()
        )
        with serving(app) as served:
            yield Site(store=store, app=app, served=served, events=events, published=published)
