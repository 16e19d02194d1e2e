"""Disks that are full, for real: nothing is lost, and everything goes on when there is room again."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, cluster
from small_disk import fill, small_disk
from sshd import Sshd, running_sshd

pytestmark = [
    pytest.mark.needs("sshd"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system"),
]

CONTENT = b"0123456789abcdef" * 20_000


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Cluster]:
    """A place for a cluster whose shared storage is small."""
    with cluster(tmp_path) as made, small_disk(made.files, mib=4):
        yield made
        made.close()


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[Sshd]:
    """The partner's server on a small disk, mounted before sshd makes a namespace of its own."""
    (tmp_path / "partner" / "files").mkdir(parents=True)
    with (
        small_disk(tmp_path / "partner" / "files", mib=1),
        running_sshd(tmp_path / "partner") as server,
    ):
        (server.folder / "incoming").mkdir()
        yield server


def drop(made: Cluster, name: str) -> None:
    fresh = made.files / "inbox" / f".{name}.writing"
    fresh.write_bytes(CONTENT)
    fresh.rename(made.files / "inbox" / name)


def failures(made: Cluster) -> str:
    """Return what the runs that failed said."""
    return str([each["errors"] for each in made.events() if each["event"] == "RunFailed"])


def logs(made: Cluster) -> list[str]:
    return [made.log(name) for name in made.running]


def test_a_partner_without_room_is_told_and_gets_the_file_when_there_is_room(
    running: Cluster, partner: Sshd
) -> None:
    incoming = partner.folder / "incoming"
    filler = fill(partner.folder)
    drop(running, "a.csv")
    running.until("the run fails", lambda: "a.csv" in failures(running))
    running.until("nothing half stays there", lambda: not list(incoming.iterdir()))  # it tries on
    filler.unlink()
    running.until("it arrived", (incoming / "a.csv").exists)
    assert (incoming / "a.csv").read_bytes() == CONTENT
    running.until("it is archived", (running.files / "inbox" / "sent" / "a.csv").exists)
    assert [path.name for path in incoming.iterdir()] == ["a.csv"]


def test_shared_storage_without_room_loses_nothing_and_goes_on_when_there_is_room(
    running: Cluster, partner: Sshd
) -> None:
    fresh = running.files / "inbox" / ".a.csv.writing"
    fresh.write_bytes(CONTENT)
    filler = fill(running.files)
    fresh.rename(running.files / "inbox" / "a.csv")
    # A run tells it, or the members, where the lease ended before one could begin.
    running.until(
        "somebody says so",
        lambda: any("No space left" in said for said in (failures(running), *logs(running))),
    )
    assert not (partner.folder / "incoming" / "a.csv").exists()
    filler.unlink()
    drop(running, "b.csv")
    for name in ("a.csv", "b.csv"):
        running.until("it arrived", (partner.folder / "incoming" / name).exists)
        assert (partner.folder / "incoming" / name).read_bytes() == CONTENT
        running.until("it is archived", (running.files / "inbox" / "sent" / name).exists)
