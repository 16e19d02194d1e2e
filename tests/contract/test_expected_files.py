"""Files that come with checksum files are held to them, and these go where their files go."""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from outbound_site import LARGE, Consumer, Crash, Owner, Site, Watched, site

from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError
from mftgit.member.outbound.runs.archive import clean
from mftgit.member.outbound.taking import expected
from mftgit.model.configuration.config import AfterSuccess, Batch, Overwrite
from mftgit.model.events.event import EventName
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.run import DeliveryState, RunState
from mftgit.model.transfers.source import Checksum

SIZES = pytest.mark.parametrize("content", [b"new", LARGE], ids=["small", "large"])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return empty(tmp_path)


def empty(folder: Path) -> Path:
    for name in ("source", "target"):
        (folder / name).mkdir(parents=True)
    return folder


def held(
    folder: Path,
    after: AfterSuccess = AfterSuccess.DELETE,
    *,
    required: bool = True,
    retry: Retry | None = None,
    **options: Any,
) -> Site:
    """Return a site whose files come with checksum files; what fails is tried again at once."""
    there = site(folder, after=after, **options)
    checksum = Checksum(suffix=".sum", required=required)
    there.transfer = replace(
        there.transfer,
        source=replace(there.transfer.source, checksum=checksum),
        retry=retry or Retry(first_s=0),
        archive_path="old" if after in {AfterSuccess.ARCHIVE, AfterSuccess.MOVE} else None,
    )
    return there


def put(there: Site, name: str, content: bytes, *, says: bytes | None = None) -> None:
    """Put a file to the source, and the checksum file of what it ``says`` that the file has."""
    there.put(name, content)
    digest = hashlib.sha256(content if says is None else says).hexdigest()
    there.put(f"{name}.sum", f"{digest}  {name}\n".encode())


def memory(there: Site) -> Any:
    made = there.memory()
    made.retry = there.transfer.retry
    return made


@SIZES
@pytest.mark.parametrize("algorithm", ["md5", "sha256", "sha512"])
def test_a_file_that_is_as_it_has_to_be_is_taken_with_its_checksum_file(
    root: Path, content: bytes, algorithm: str
) -> None:
    there = held(root)
    there.put("a.csv", content)
    there.put("a.csv.sum", hashlib.new(algorithm, content).hexdigest().encode())
    assert there.run(1).files == 1
    assert there.left_at_target() == ["a.csv"]
    assert there.left_at_source() == []
    assert there.records() == []


@SIZES
def test_one_that_is_not_is_not_delivered_and_both_digests_are_told(
    root: Path, content: bytes
) -> None:
    there = held(root)
    put(there, "a.csv", content, says=b"other")
    put(there, "b.csv", content)
    outcome = there.run(1)
    assert (outcome.outcome, outcome.files) == (RunState.PARTLY, 1)
    for each in (content, b"other"):
        assert hashlib.sha256(each).hexdigest() in outcome.errors[0]
    assert there.left_at_target() == ["b.csv"]
    assert there.left_at_source() == ["a.csv", "a.csv.sum"]  # where the sender finds it
    assert there.records() == []


def test_the_sender_may_put_right_either_of_the_two(root: Path) -> None:
    there = held(root)
    remembered = memory(there)
    put(there, "a.csv", b"torn", says=b"whole")
    put(there, "b.csv", b"whole", says=b"torn")
    assert there.run(1, remembered).files == 0
    there.put("a.csv", b"whole")
    put(there, "b.csv", b"whole")
    assert there.run(1, remembered).files == 2
    assert {path.read_bytes() for path in there.target.iterdir()} == {b"whole"}
    assert there.left_at_source() == []


def test_one_that_is_never_right_is_set_aside_with_its_checksum_file(root: Path) -> None:
    there = held(root, retry=Retry(first_s=0, attempts=2))
    remembered = memory(there)
    put(there, "a.csv", b"torn", says=b"whole")
    there.put("b.csv", b"1")
    there.put("b.csv.sum", b"nonsense")
    for _ in range(3):
        assert there.run(1, remembered).files == 0
    assert len(there.happened(EventName.DELIVERY_GIVEN_UP)) == 2
    found = sorted(path.name for path in (there.source / "quarantine").iterdir())
    assert found == ["a.csv", "a.csv.sum", "b.csv", "b.csv.sum"]
    assert there.records() == []


def test_one_that_is_not_right_makes_way_for_the_next_one(root: Path) -> None:
    there = held(root)
    put(there, "a.csv", b"torn", says=b"whole")

    def come_again(call: str) -> None:
        if call == "read" and not (there.source / "a.csv").exists():
            put(there, "a.csv", b"whole")

    there.after = come_again
    assert there.run(1).files == 0
    there.after = lambda _: None
    assert there.run(2).files == 1
    assert (there.target / "a.csv").read_bytes() == b"whole"
    assert [path.name for path in (there.source / "quarantine").iterdir()] == ["a.csv"]
    assert not (there.source / "a.csv.sum").exists()


def test_a_file_waits_for_its_checksum_file_where_that_is_required(root: Path) -> None:
    there = held(root)
    there.put("a.csv", b"1")
    assert there.run(1).outcome is RunState.IDLE
    put(there, "a.csv", b"1")
    assert there.run(1).files == 1
    there = held(empty(root / "other"), required=False)
    there.put("a.csv", b"1")
    put(there, "b.csv", b"1", says=b"2")
    outcome = there.run(1)
    assert (outcome.files, len(outcome.errors)) == (1, 1)
    assert there.left_at_target() == ["a.csv"]


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", "no digest"), (b"0" * 64 + b"  b.csv", "only of 'b.csv'"), (b"0" * (1 << 19), "bytes")],
)
def test_a_checksum_file_that_tells_nothing_of_its_file_is_said(
    root: Path, content: bytes, error: str
) -> None:
    there = held(root)
    there.put("a.csv", b"1")
    there.put("a.csv.sum", content)
    outcome = there.run(1)
    assert "is no checksum file of a.csv" in outcome.errors[0]
    assert error in outcome.errors[0]
    assert there.left_at_source() == ["a.csv", "a.csv.sum"]


@pytest.mark.parametrize("required", [True, False])
def test_one_that_vanishes_or_cannot_be_read_meanwhile(
    root: Path,
    required: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = held(root, required=required)
    for name in ("a.csv", "b.csv"):
        put(there, name, b"1")

    def late(*given: Any) -> Any:
        (there.source / "a.csv.sum").unlink()
        (there.source / "b.csv.sum").unlink()
        (there.source / "b.csv.sum").mkdir()
        return expected.read_expected(*given)

    monkeypatch.setattr("mftgit.member.outbound.delivering.deliver.read_expected", late)
    outcome = there.run(1)
    assert outcome.files == (0 if required else 1)
    assert len(outcome.errors) == (2 if required else 1)
    assert there.records() == []


@pytest.mark.parametrize("after", AfterSuccess)
def test_a_checksum_file_goes_where_its_file_goes(root: Path, after: AfterSuccess) -> None:
    there = held(root, after)
    put(there, "a.csv", b"1")
    assert there.run(1).files == 1
    assert there.run(1).files == 0
    left = [str(path.relative_to(there.source)) for path in there.source.rglob("*.csv*")]
    where = {AfterSuccess.DELETE: None, AfterSuccess.KEEP: ""}.get(after, "old/")
    expected = [] if where is None else [f"{where}a.csv", f"{where}a.csv.sum"]
    assert sorted(left) == expected


def test_it_goes_also_where_its_file_is_not_to_be_delivered(root: Path) -> None:
    there = held(root, overwrite=Overwrite.SKIP)
    (there.target / "a.csv").write_bytes(b"theirs")
    put(there, "a.csv", b"1")
    there.run(1)
    assert there.left_at_source() == []


def test_that_of_a_later_file_stays(root: Path) -> None:
    there = held(root)
    put(there, "a.csv", b"1")

    def come_again(call: str) -> None:
        if call == "rename" and (there.target / "a.csv").exists():
            there.after = lambda _: None
            put(there, "a.csv", b"2")

    there.after = come_again
    assert there.run(1).files == 1
    assert there.left_at_source() == ["a.csv", "a.csv.sum"]
    (there.target / "a.csv").unlink()
    assert there.run(1).files == 1
    assert (there.target / "a.csv").read_bytes() == b"2"


def test_a_file_under_way_is_held_to_what_lay_beside_it(root: Path) -> None:
    there = held(root)
    put(there, "a.csv", b"1")
    there.broken[there.transfer.destination.location] = EndpointRefusedError("closed")
    assert there.run(1).files == 0
    put(there, "a.csv", b"2")  # while the first one waits for its partner
    there.broken.clear()
    assert there.run(2).files == 1
    assert (there.target / "a.csv").read_bytes() == b"1"
    (there.target / "a.csv").unlink()
    assert there.run(2).files == 1
    assert (there.target / "a.csv").read_bytes() == b"2"
    assert there.left_at_source() == []


def test_what_was_taken_before_checksum_files_were_asked_for_goes_back(root: Path) -> None:
    there = held(root)
    asked = there.transfer
    there.transfer = replace(asked, source=replace(asked.source, checksum=None))
    there.put("a.csv", b"1")
    there.broken[there.transfer.destination.location] = EndpointRefusedError("closed")
    assert there.run(1).files == 0
    assert not (there.source / "a.csv").exists()
    there.transfer = asked
    there.broken.clear()
    assert there.run(2).files == 0
    assert there.left_at_source() == ["a.csv"]
    put(there, "a.csv", b"1")
    assert there.run(2).files == 1


def test_the_archive_lets_go_of_both(root: Path) -> None:
    there = held(root, AfterSuccess.ARCHIVE)
    there.transfer = replace(there.transfer, archive_days=0)
    put(there, "a.csv", b"1")
    assert there.run(1).files == 1
    context = there.context(1)
    context.memory.ledger.refresh()
    assert clean(there.transfer, context) == 1
    assert there.left_at_source() == []


def crash() -> None:
    raise Crash


@pytest.mark.parametrize("after", [AfterSuccess.DELETE, AfterSuccess.ARCHIVE])
def test_a_crash_before_any_effect_leaves_no_checksum_file_behind(
    root: Path, after: AfterSuccess
) -> None:
    def fill(folder: Path) -> Site:
        there = held(empty(folder), after)
        there.consumer = Consumer(there.target)
        put(there, "a.csv", b"1")
        return there

    counted = Owner(1)
    fill(root / "count").run(counted)
    for at in range(1, counted.effects + 1):
        there = fill(root / str(at))
        with suppress(Crash):
            there.run(Owner(1, at=at, then=crash))
        there.run(2)
        assert there.consumer is not None
        assert there.consumer.got == {("a.csv", b"1"): 1}
        kept = ["a.csv", "a.csv.sum"] if after is AfterSuccess.ARCHIVE else []
        assert there.left_at_source() == kept, at
        assert there.records() == []


def test_one_that_cannot_be_removed_is_tried_again_without_a_second_delivery(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = held(root)
    put(there, "a.csv", b"1")
    with monkeypatch.context() as patched:
        patched.setattr(
            expected, "delete", lambda claims: [EndpointRefusedError("no") for _ in claims]
        )
        assert there.run(1).outcome is RunState.FAILED
    assert there.left_at_source() == ["a.csv.sum"]
    (record,) = there.records()
    assert DeliveryState.READY.value in record.read_text(encoding="utf-8")
    there.run(2)
    assert there.left_at_source() == []
    assert there.delivered() == 1


@pytest.mark.parametrize("says", [b"other", None], ids=["another", "nonsense"])
def test_a_batch_waits_for_the_one_that_is_not_right(root: Path, says: bytes | None) -> None:
    there = held(root)
    there.transfer = replace(there.transfer, batch=Batch())
    put(there, "a.csv", b"1")
    put(there, "b.csv", b"2", says=says)
    if says is None:
        there.put("b.csv.sum", b"nonsense")
    remembered = memory(there)
    assert there.run(1, remembered).files == 0
    assert there.left_at_target() == []
    assert there.left_at_source() == ["a.csv", "a.csv.sum", "b.csv", "b.csv.sum"]
    put(there, "b.csv", b"2")
    assert there.run(1, remembered).files == 2
    assert there.left_at_source() == []
    assert there.records() == []


class Breaks(Watched):
    """A partner whose line breaks once, near the end of a file."""

    broken = False

    def write(self, path: str, chunks: Any, *, on_chunk: Any, resume_at: int | None = None) -> int:
        def cut() -> Iterator[bytes]:
            for number, chunk in enumerate(chunks):
                if number == 8 and not self.broken:
                    self.broken = True
                    raise EndpointLostError("cut")
                yield chunk

        return super().write(path, cut(), on_chunk=on_chunk, resume_at=resume_at)


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize("right", [True, False])
def test_a_file_that_is_gone_on_with_is_held_to_its_checksum_as_a_whole(
    root: Path,
    algorithm: str,
    right: bool,  # noqa: FBT001
) -> None:
    there = held(root)
    content = bytes(10 << 20) + b"end"
    there.put("a.csv", content)
    said = content if right else content[1:]
    there.put("a.csv.sum", hashlib.new(algorithm, said).hexdigest().encode())
    there.partner = Breaks(there.target, None, lambda _: None)
    assert there.run(1).files == 0
    outcome = there.run(2)
    assert outcome.files == right
    assert there.left_at_target() == (["a.csv"] if right else [])
    assert there.left_at_source() == ([] if right else ["a.csv", "a.csv.sum"])
    if right:
        assert there.happened(EventName.DELIVERY_SUCCEEDED)[0]["resumed_from_bytes"]
    else:
        assert "is not what a.csv.sum says" in outcome.errors[0]
    assert there.records() == []
