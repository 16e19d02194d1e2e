"""Transfers that change content on its way: what arrives, what is written down, and what a crash leaves."""

import gzip
import hashlib
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from outbound_site import LARGE, Crash, Owner, Site, site

from mftgit.member.outbound.places.digests import SMALL_BYTES
from mftgit.member.outbound.records.history import newest_first
from mftgit.model.configuration.config import AfterSuccess, Verify
from mftgit.model.events.event import EventName
from mftgit.model.transfers.content import Gunzip, Gzip, Step, Unzip, Zip
from mftgit.model.transfers.history import Asked
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.run import RunState

SIZES = pytest.mark.parametrize("content", [b"small", b"", LARGE], ids=["small", "empty", "large"])


def through(there: Site, *steps: Step, verify: Verify = Verify.SIZE) -> Site:
    destination = replace(there.transfer.destination, verify=verify)
    there.transfer = replace(there.transfer, content=steps, destination=destination)
    return there


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.csv", content)
    return out.getvalue()


@SIZES
@pytest.mark.parametrize("verify", Verify)
def test_what_arrives_is_what_is_written_down_and_verified(
    root: Path, content: bytes, verify: Verify
) -> None:
    there = through(site(root), Gzip(level=1), verify=verify)
    there.put("a.csv", content)
    outcome = there.run(1)
    found = (there.target / "a.csv.gz").read_bytes()
    assert (outcome.files, outcome.size_bytes) == (1, len(found))
    assert gzip.decompress(found) == content
    (facts,) = there.happened(EventName.DELIVERY_SUCCEEDED)
    digest = hashlib.sha256(found).hexdigest()
    assert (
        facts | {"size_bytes": len(found), "source_bytes": len(content), "sha256": digest} == facts
    )
    (line,) = newest_first([there.state / "ledger"], Asked())
    assert (line.size_bytes, line.source_bytes, line.sha256) == (len(found), len(content), digest)
    assert there.left_at_source() == []
    assert there.left_at_target() == ["a.csv.gz"]


@SIZES
def test_steps_are_taken_in_their_order(root: Path, content: bytes) -> None:
    there = through(site(root), Unzip(), Gzip(), Gunzip(), Zip())
    there.put("a.csv.zip", zipped(content))
    assert there.run(1).files == 1
    with zipfile.ZipFile(there.target / "a.csv.zip") as archive:
        assert archive.read("a.csv") == content


def test_a_small_file_that_becomes_large_is_sent_all_the_same(root: Path) -> None:
    there = through(site(root), Gunzip(), verify=Verify.READ_BACK)
    content = bytes(5 * SMALL_BYTES)
    for name in "abc":
        there.put(f"{name}.gz", gzip.compress(content if name == "b" else name.encode()))
    assert there.run(1).files == 3
    assert (there.target / "b").read_bytes() == content
    assert (there.target / "c").read_bytes() == b"c"


@SIZES
def test_a_kept_file_is_delivered_once(root: Path, content: bytes) -> None:
    there = through(site(root, after=AfterSuccess.KEEP), Gzip())
    there.put("a.csv", content)
    assert there.run(1).files == 1
    assert there.run(1).outcome is RunState.IDLE
    assert there.run(2).outcome is RunState.IDLE


def test_a_file_that_no_step_can_take_fails_alone_and_is_set_aside(root: Path) -> None:
    there = through(site(root), Gunzip())
    retry = Retry(attempts=1, quarantine="bad")
    there.transfer = replace(there.transfer, retry=retry)
    there.put("a.gz", gzip.compress(b"good"))
    there.put("b.gz", b"no gzip file")
    there.put("c.gz", gzip.compress(bytes(2 * SMALL_BYTES))[:-1])
    memory = there.memory()
    memory.retry = replace(retry, first_s=0.0)
    outcome = there.run(1, memory)
    assert (outcome.outcome, outcome.files) == (RunState.PARTLY, 1)
    assert there.left_at_target() == ["a"]
    told = " ".join(outcome.errors)
    assert "b.gz cannot be delivered: step 1 (gunzip) of content in transfers/t.yaml says: " in told
    assert "it is cut off" in told
    failed = there.happened(EventName.DELIVERY_FAILED)
    assert {(each["side"], each["location"]) for each in failed} == {("source", "here")}
    there.run(1, memory)
    assert sorted(path.name for path in (there.source / "bad").iterdir()) == ["b.gz", "c.gz"]
    assert there.left_at_target() == ["a"]


@pytest.mark.parametrize("size", [SMALL_BYTES // 2, 2 * SMALL_BYTES])
def test_a_bomb_does_not_come_to_have_a_name(root: Path, size: int) -> None:
    there = through(site(root), Gunzip(most_bytes=size - 1))
    there.put("a.gz", gzip.compress(bytes(size)))
    outcome = there.run(1)
    assert "raise most_bytes" in outcome.errors[0]
    assert there.left_at_target() == []


def test_a_file_that_changes_while_it_is_read_is_tried_again_and_not_called_bad(
    root: Path,
) -> None:
    there = through(site(root, after=AfterSuccess.KEEP), Gunzip(most_bytes=2 * SMALL_BYTES))
    there.put("a.gz", gzip.compress(bytes(3 * SMALL_BYTES)))

    def change(call: str) -> None:
        if call == "read":
            there.put("a.gz", gzip.compress(b"other"))

    there.after = change
    assert "changed while it was sent" in there.run(1).errors[0]


@SIZES
@pytest.mark.parametrize("steps", [(Gzip(),), (Zip(), Unzip())], ids=["gzip", "there and back"])
def test_wherever_an_owner_dies_the_next_one_delivers_the_same_once(
    tmp_path: Path, content: bytes, steps: tuple[Step, ...]
) -> None:
    arrived: set[tuple[str, bytes]] = set()
    at, crashed = 0, True
    while crashed:
        at += 1
        root = tmp_path / str(at)
        for name in ("source", "target"):
            (root / name).mkdir(parents=True)
        there = through(site(root), *steps)
        there.put("a.csv", content, mtime_ns=10**18)

        def die() -> None:
            raise Crash

        try:
            there.run(Owner(1, at=at, then=die))
            crashed = False
        except Crash:
            there.run(2)
        (path,) = [each for each in there.target.rglob("*") if each.is_file()]
        arrived.add((path.name, path.read_bytes()))
        assert there.left_at_source() == []
        assert there.records() == []
        assert there.delivered() == 1
    assert at > 5
    assert len(arrived) == 1
