"""A node is killed at random moments of a stream of revisions, good and bad: it ends whole, and has told all of it."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_cli import git
from node_site import PLACES, TRANSFER
from small_cluster import NODE, Small, small_cluster

from mftgit.adapters.state_folder import StateFolder
from mftgit.member.kept import read_record
from mftgit.model.events.event import EventName
from mftgit.model.members.record import Stage
from mftgit.model.names import Revision

pytestmark = pytest.mark.needs("git")

SFTP = b"""type: sftp
host: 127.0.0.1
username: a
host_keys: ["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
auth: [{password: {file: that-nobody-put-there}}]
"""
KINDS = {
    "good": (
        b"name: c\nconfirm: {within_s: 20, command: passes}\n",
        PLACES["locations/there.yaml"],
    ),
    "failing": (
        b"name: c\nconfirm: {within_s: 1, command: fails}\n",
        PLACES["locations/there.yaml"],
    ),
    "refused": (b"name: c\n", SFTP),
}


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    with small_cluster(tmp_path) as made:
        made.command("passes", "exit 0")
        made.command("fails", "exit 1")
        made.made.start(NODE)
        made.until_says("active", made.first)
        yield made


def push(small: Small, kind: str, number: int) -> Revision:
    cluster, there = KINDS[kind]
    second = TRANSFER.replace(b"location: here", b"location: here, path: n%d" % number)
    return small.push(
        {"cluster.yaml": cluster, "locations/there.yaml": there, "transfers/two.yaml": second}
    )


def kill_at_random(small: Small, times: int) -> None:
    chance = random.Random(20261124)
    pushed: dict[Revision, str] = {small.first: "good"}
    for number in range(times):
        kind = chance.choices(["good", "failing", "refused"], [5, 3, 2])[0]
        pushed[push(small, kind, number)] = kind
        threading.Event().wait(chance.choice([0.0, 0.1, 0.5, 2.0]) * chance.random())
        small.made.kill(NODE)
        small.made.start(NODE)
        threading.Event().wait(chance.uniform(0.0, 2.5))
    last = push(small, "good", times)
    pushed[last] = "good"
    small.until_says("active", last, within_s=90)
    check(small, pushed, last)


def check(small: Small, pushed: dict[Revision, str], last: Revision) -> None:
    small.delivers("after all of it")
    counts = small.check_outcomes()
    assert counts[EventName.REVISION_ACTIVATED] >= 1
    for event, kinds in {
        EventName.REVISION_ACTIVATED: {"good"},
        EventName.REVISION_REFUSED: {"refused"},
        EventName.REVISION_ROLLED_BACK: {"good", "failing"},  # good ones, where it was killed twice
    }.items():
        assert {pushed[Revision(str(each.revision))] for each in small.told(event)} <= kinds
    folder = StateFolder(small.made.dir(NODE))
    record = read_record(folder.record)
    assert (record.stage, record.active, record.anchor, record.lkg) == (
        Stage.CONFIRMED, last, last, last,
    )  # fmt: skip
    assert [each["name"] for each in small.says()["transfers"]] == ["one", "two"]
    assert git(folder.store, "fsck", "--strict", "--full").code == 0
    left = {path.name for path in (folder.store / "objects").glob("incoming-*")}
    mine = f".{small.made.running[NODE].pid}.new"
    left |= {path.name for path in folder.root.glob(".*.new") if not path.name.endswith(mine)}
    assert left == set()


@pytest.mark.long
def test_a_node_that_is_killed_again_and_again_in_a_stream_of_revisions_ends_whole(
    small: Small,
) -> None:
    kill_at_random(small, 25)


@pytest.mark.soak
@pytest.mark.timeout(4 * 3600)
def test_a_node_that_is_killed_a_thousand_times_in_a_stream_of_revisions_ends_whole(
    small: Small,
) -> None:
    kill_at_random(small, 1000)
