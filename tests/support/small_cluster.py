"""A controller and one node as processes, with small documents; what the node says is read from the disk."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from cluster import Cluster, cluster
from controller_site import NOW
from node_site import ONE

from mftgit.adapters.events.store import EventStore
from mftgit.model.events.event import Event, EventName
from mftgit.model.names import MemberName, Revision

NODE: Final = MemberName("node-1")
FIRST: Final = {
    "cluster.yaml": b"name: c\n",
    "members/controller.yaml": b"role: controller\n",
} | ONE
OUTCOMES: Final = {
    EventName.REVISION_ACTIVATED,
    EventName.REVISION_REFUSED,
    EventName.REVISION_ROLLED_BACK,
    EventName.REVISION_SUPERSEDED,
}


class Small:
    """The cluster, and a clone that pushes."""

    def __init__(self, made: Cluster, documents: Mapping[str, bytes]) -> None:
        self.made = made
        for path, content in documents.items():
            place = made.root / "documents" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        made.init(made.root / "documents")
        made.start_controller()
        self.clone = made.clone()
        self.first = Revision(made.git("rev-parse", "HEAD", cwd=self.clone).stdout.strip())
        made.join(NODE)

    def start(self, *before: str) -> None:
        """Start the node, and wait until it has said something of itself; see `Cluster.start`."""
        (self.made.dir(NODE) / "status.json").unlink(missing_ok=True)
        self.made.start(NODE, *before)
        self.made.until("the node runs", lambda: self.says()["state"] is not None)

    def command(self, name: str, script: str) -> None:
        """Put a program where the administrators of both machines do."""
        for member in ("controller", NODE):
            path = self.made.dir(member) / "commands" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
            path.chmod(0o755)

    def push(self, changes: Mapping[str, bytes]) -> Revision:
        texts = {path: content.decode() for path, content in changes.items()}
        return Revision(self.made.push(self.clone, texts))

    def says(self) -> dict[str, Any]:
        """What the node last said of itself."""
        try:
            content = (self.made.dir(NODE) / "status.json").read_bytes()
        except FileNotFoundError:
            return {"state": None, "active_revision": None, "reason": None, "transfers": []}
        said: dict[str, Any] = json.loads(content)["member"]
        return said

    def told(self, *events: EventName, at: str = NODE) -> list[Event]:
        """The node's events in the log of the member ``at``; all of them, where none is named."""
        path = self.made.dir(at) / "events.sqlite"
        with closing(EventStore(path, member=NODE, now=NOW)) as log:
            found = [each for _, each in log.after(0, limit=1_000_000) if each.member == NODE]
        return [each for each in found if not events or each.event in events]

    def until_says(self, state: str, revision: Revision | None = None, **rest: Any) -> None:
        def reached() -> bool:
            said = self.says()
            return said["state"] == state and revision in {None, said["active_revision"]}

        self.made.until(f"the node says {state} {revision or ''}", reached, **rest)

    def delivers(self, name: str) -> None:
        """See that a file that is dropped for the node's first transfer arrives."""
        (self.made.files / "here").mkdir(exist_ok=True)
        (self.made.files / "here" / name).write_text(name, encoding="utf-8")
        self.made.until(f"{name} arrives", (self.made.files / "there" / name).exists)

    def until_reported(self) -> None:
        """Wait until the controller has all that the node has told."""
        self.made.until(
            "the controller has every event", lambda: self.told() == self.told(at="controller")
        )

    def check_outcomes(self) -> Counter[EventName]:
        """See that each attempt has one outcome at the controller, and return how many there are of each."""
        self.until_reported()
        told = self.told(*OUTCOMES, at="controller")
        ended = Counter((each.facts["head_seq"], each.revision) for each in told)
        assert {key: count for key, count in ended.items() if count != 1} == {}
        begun = {
            (each.facts["head_seq"], each.revision)
            for each in self.told(EventName.REVISION_FETCHED, at="controller")
        }
        assert begun <= ended.keys()
        return Counter(each.event for each in told)


@contextmanager
def small_cluster(root: Path, documents: Mapping[str, bytes] = FIRST) -> Iterator[Small]:
    """Run a controller for the time of the block; the node has joined, and is started by the test."""
    with cluster(root) as made:
        yield Small(made, documents)
