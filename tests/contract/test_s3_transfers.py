"""Whole transfers to and from a bucket, by owners that die between the copy and the removal."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cut_line import CutLine, cut_line
from outbound_site import LARGE, SOURCE, TARGET, Crash, Site, site
from s3_store import S3Store, running_s3

from mftgit.adapters.endpoint.contract import Endpoint, FileEntry
from mftgit.adapters.s3 import endpoint as s3
from mftgit.adapters.s3.client import Store
from mftgit.adapters.s3.endpoint import S3Endpoint
from mftgit.model.configuration.config import AfterSuccess, Claiming, Generation, Overwrite, Verify
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import Location
from mftgit.model.names import LocationName, MemberName
from mftgit.model.transfers.run import RunState

MIB = 1 << 20
BIG = random.Random(20261129).randbytes(22 * MIB + 5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@dataclass
class BucketSite(Site):
    """A site of which one side is a bucket."""

    server: S3Store = field(kw_only=True)
    bucket: LocationName = field(kw_only=True)
    by: CutLine | None = field(default=None, kw_only=True)
    endpoints: list[S3Endpoint] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return self.root.name

    def open(self, location: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
        if location.name != self.bucket:
            return super().open(location, make)
        there = self.server.location(path=self.prefix)
        if self.by is not None:
            there = replace(there, endpoint=f"https://127.0.0.1:{self.by.port}")
        endpoint = s3.connect(there, secrets_dir=self.server.secrets_dir, secrets={})
        self.endpoints.append(endpoint)
        return endpoint

    def generation(self, member: MemberName) -> Generation:
        made = super().generation(member)
        bucket = self.server.location(name=self.bucket, path=self.prefix)
        return replace(made, locations={**made.locations, self.bucket: bucket})

    def objects(self) -> dict[str, bytes]:
        """Return what is in the bucket, temporaries too, by its key below the prefix."""
        told = self.server.behind.ask("list_objects_v2", "", Prefix=f"{self.prefix}/", MaxKeys=50)
        return {
            each["Key"].removeprefix(f"{self.prefix}/"): self.server.behind.ask(
                "get_object", "", Key=each["Key"]
            )["Body"].read()
            for each in told.get("Contents", ())
        }

    def put_object(self, name: str, content: bytes) -> None:
        self.server.behind.ask("put_object", name, Key=f"{self.prefix}/{name}", Body=content)

    def take_object(self, name: str) -> None:
        self.server.behind.ask("delete_object", name, Key=f"{self.prefix}/{name}")


def bucket_site(root: Path, server: S3Store, bucket: LocationName, **options: Any) -> BucketSite:
    plain = site(root, **options)
    return BucketSite(root=plain.root, transfer=plain.transfer, server=server, bucket=bucket)


@pytest.fixture
def line(server: S3Store) -> Iterator[CutLine]:
    with cut_line(int(server.url.rpartition(":")[2])) as made:
        yield made


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what lets the process die just before the next such operation on a temporary's way."""

    def arm(operation: str) -> None:
        real = Store.ask

        def ask(store: Store, asked: str, about: str, **fields: Any) -> Any:
            if asked == operation and (".part" in about or operation != "delete_object"):
                monkeypatch.setattr(Store, "ask", real)
                raise Crash
            return real(store, asked, about, **fields)

        monkeypatch.setattr(Store, "ask", ask)

    return arm


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the operations that are asked of stores, in their order."""
    operations: list[str] = []
    real = Store.ask

    def ask(store: Store, operation: str, about: str, **fields: Any) -> Any:
        operations.append(operation)
        return real(store, operation, about, **fields)

    monkeypatch.setattr(Store, "ask", ask)
    return operations


def test_files_go_to_a_bucket_and_are_removed_where_they_were(
    tmp_path: Path, server: S3Store
) -> None:
    site = bucket_site(tmp_path, server, TARGET, recursive=True)
    site.put("a.csv", b"small")
    site.put("deep/b.csv", LARGE)
    site.put("empty.csv", b"")
    assert site.run(1).files == 3
    assert site.objects() == {"a.csv": b"small", "deep/b.csv": LARGE, "empty.csv": b""}
    assert (site.delivered(), site.left_at_source(), site.records()) == (3, [], [])
    assert site.run(1).outcome is RunState.IDLE


def test_files_of_a_bucket_are_taken_once_and_kept(tmp_path: Path, server: S3Store) -> None:
    site = bucket_site(tmp_path, server, SOURCE, after=AfterSuccess.KEEP)
    site.put_object("a.csv", b"small")
    site.put_object("b.csv", LARGE)
    assert site.run(1).files == 2
    assert site.left_at_target() == ["a.csv", "b.csv"]
    assert site.run(1).outcome is RunState.IDLE
    assert site.run(2).outcome is RunState.IDLE  # another owner, who knows by the ledger
    site.put_object("a.csv", b"another size")
    assert site.run(2).files == 1 or site.happened(EventName.DELIVERY_FAILED)
    assert set(site.objects()) == {"a.csv", "b.csv"}


STEPS = [
    "put_object",
    "head_object",
    "create_multipart_upload",
    "upload_part_copy",
    "complete_multipart_upload",
    "delete_object",
]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("overwrite", [Overwrite.FAIL, Overwrite.RENAME, Overwrite.SKIP])
def test_a_file_is_delivered_once_whichever_request_its_owner_dies_before(
    tmp_path: Path, server: S3Store, dies: Callable[[str], None], step: str, overwrite: Overwrite
) -> None:
    site = bucket_site(tmp_path, server, TARGET, overwrite=overwrite)
    site.put("a.csv", b"once")
    dies(step)
    with pytest.raises(Crash):
        site.run(1)
    for endpoint in site.endpoints:
        endpoint.close()
    site.run(2)
    assert site.objects() == {"a.csv": b"once"}
    assert (site.delivered(), site.left_at_source(), site.records()) == (1, [], [])
    assert [each["path"] for each in site.happened(EventName.DELIVERY_SUCCEEDED)] == ["a.csv"]
    assert site.happened(EventName.DELIVERY_SKIPPED) == []


def test_the_one_file_that_may_come_twice_bears_the_same_mark(
    tmp_path: Path, server: S3Store, dies: Callable[[str], None]
) -> None:
    """Its owner died between the copy and the removal, and the partner was faster than whoever came next."""
    site = bucket_site(tmp_path, server, TARGET)
    site.put("a.csv", b"twice")
    dies("delete_object")
    with pytest.raises(Crash):
        site.run(1)
    key = f"{site.prefix}/a.csv"
    first = server.behind.ask("head_object", "", Key=key)["Metadata"]
    site.take_object("a.csv")
    site.run(2)
    assert site.objects() == {"a.csv": b"twice"}
    assert server.behind.ask("head_object", "", Key=key)["Metadata"] == first != {}
    assert site.delivered() == 1


def by_record(there: BucketSite) -> BucketSite:
    source = replace(there.transfer.source, claim=Claiming.RECORD)
    there.transfer = replace(there.transfer, source=source)
    return there


def test_files_of_a_bucket_are_deleted_once_they_are_delivered(
    tmp_path: Path, server: S3Store
) -> None:
    there = by_record(bucket_site(tmp_path, server, SOURCE, recursive=True))
    there.put_object("a.csv", b"small")
    there.put_object("deep/b.csv", LARGE)
    assert there.run(1).files == 2
    assert there.objects() == {}
    assert (there.target / "a.csv").read_bytes() == b"small"
    assert (there.target / "deep/b.csv").read_bytes() == LARGE
    assert there.records() == []
    assert there.run(2).outcome is RunState.IDLE


@pytest.mark.parametrize("is_done", [False, True])
def test_an_owner_that_dies_at_the_deletion_of_an_object_repeats_nothing(
    tmp_path: Path, server: S3Store, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    there = by_record(bucket_site(tmp_path, server, SOURCE))
    there.put_object("a.csv", b"small")
    real = S3Endpoint.remove_same

    def dying(endpoint: S3Endpoint, file: FileEntry) -> None:
        if is_done:
            real(endpoint, file)
        raise Crash

    monkeypatch.setattr(S3Endpoint, "remove_same", dying)
    with pytest.raises(Crash):
        there.run(1)
    monkeypatch.setattr(S3Endpoint, "remove_same", real)
    assert there.objects() == ({} if is_done else {"a.csv": b"small"})
    assert there.run(2).errors == ()
    assert there.objects() == {}
    assert (there.delivered(), there.left_at_target(), there.records()) == (1, ["a.csv"], [])


def test_an_object_that_is_put_there_between_the_look_and_the_deletion_is_not_deleted(
    tmp_path: Path, server: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = by_record(bucket_site(tmp_path, server, SOURCE, overwrite=Overwrite.OVERWRITE))
    there.put_object("a.csv", b"old")
    real = Store.ask

    def ask(store: Store, asked: str, about: str, **fields: Any) -> Any:
        if asked == "delete_object":
            monkeypatch.setattr(Store, "ask", real)
            there.put_object("a.csv", b"new")
        return real(store, asked, about, **fields)

    monkeypatch.setattr(Store, "ask", ask)
    assert there.run(1).files == 1
    assert there.objects() == {"a.csv": b"new"}
    assert there.run(1).files == 1
    assert (there.target / "a.csv").read_bytes() == b"new"
    assert there.objects() == {}


# What was cut


def resumed_from(there: BucketSite) -> int:
    (told,) = there.happened(EventName.DELIVERY_SUCCEEDED)
    at = told.get("resumed_from_bytes", 0)
    assert isinstance(at, int)
    return at


def test_a_large_file_goes_on_to_a_bucket_where_it_was_cut(
    tmp_path: Path, server: S3Store, line: CutLine
) -> None:
    there = bucket_site(tmp_path, server, TARGET)
    there.by = line
    there.put("a.bin", BIG)
    line.mend(cut_up=19 * MIB)
    assert there.run(1).files == 0
    assert there.objects() == {}
    line.mend()
    assert there.run(2).files == 1
    assert there.objects() == {"a.bin": BIG}
    assert resumed_from(there) >= 8 * MIB
    assert line.up < len(BIG) - 12 * MIB
    assert (there.delivered(), there.records()) == (1, [])


@pytest.mark.parametrize("changes", [False, True])
def test_what_has_arrived_at_a_bucket_of_another_file_is_removed(
    tmp_path: Path, server: S3Store, line: CutLine, *, changes: bool
) -> None:
    there = bucket_site(tmp_path, server, TARGET, after=AfterSuccess.KEEP)
    there.by = line
    there.put("a.bin", BIG)
    line.mend(cut_up=19 * MIB)
    there.run(1)
    if changes:
        there.put("a.bin", BIG[::-1])
    else:
        (there.source / "a.bin").unlink()
    line.mend()
    there.run(2)
    assert there.objects() == ({"a.bin": BIG[::-1]} if changes else {})
    told = server.behind.ask("list_multipart_uploads", "", Prefix=f"{there.prefix}/")
    assert not told.get("Uploads")
    assert there.records() == []


def test_a_large_file_goes_on_from_a_bucket_where_it_was_cut(
    tmp_path: Path, server: S3Store, line: CutLine
) -> None:
    there = by_record(bucket_site(tmp_path, server, SOURCE))
    there.by = line
    there.put_object("a.bin", BIG)
    line.mend(cut_down=18 * MIB)
    assert there.run(1).files == 0
    line.emptied()
    line.mend()
    assert there.run(2).files == 1
    assert (there.target / "a.bin").read_bytes() == BIG
    resumed = resumed_from(there)
    assert resumed >= 8 * MIB
    assert line.down < len(BIG) - resumed + MIB // 4


def test_a_large_object_comes_over_the_line_once(
    tmp_path: Path, server: S3Store, line: CutLine, asked: list[str]
) -> None:
    """It is asked how large it is, and not opened for that; TLS and answers to other questions are some kilobytes."""
    there = bucket_site(tmp_path, server, SOURCE, after=AfterSuccess.KEEP)
    there.by = line
    there.put_object("a.bin", BIG)
    line.mend()
    assert there.run(1).files == 1
    assert asked.count("get_object") == 1
    assert len(BIG) <= line.down < len(BIG) + MIB // 4


def test_a_large_object_comes_back_once_to_be_compared(
    tmp_path: Path, server: S3Store, line: CutLine, asked: list[str]
) -> None:
    there = bucket_site(tmp_path, server, TARGET)
    rules = replace(there.transfer.destination, verify=Verify.READ_BACK)
    there.transfer = replace(there.transfer, destination=rules)
    there.by = line
    there.put("a.bin", BIG)
    line.mend()
    assert there.run(1).files == 1
    assert asked.count("get_object") == 1
    assert len(BIG) <= line.down < len(BIG) + MIB // 4


def test_an_object_that_was_replaced_is_taken_anew(
    tmp_path: Path, server: S3Store, line: CutLine
) -> None:
    """Also within the second by which a store tells times."""
    there = bucket_site(tmp_path, server, SOURCE, after=AfterSuccess.KEEP)
    there.by = line
    there.put_object("a.bin", BIG)
    line.mend(cut_down=18 * MIB)
    there.run(1)
    there.put_object("a.bin", BIG[::-1])
    line.mend()
    assert there.run(2).files == 1
    assert (there.target / "a.bin").read_bytes() == BIG[::-1]
    assert resumed_from(there) == 0
