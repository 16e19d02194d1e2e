"""Transfers that feed each other are found by whether a file really goes round, and nothing else is refused."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from config_tree import VALID, found, only, validate
from hypothesis import example, given
from hypothesis import strategies as st

from mftgit.model.configuration.config import (
    AfterSuccess,
    Destination,
    Overwrite,
    Source,
    Transfer,
)
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import LocationName, TransferName
from mftgit.model.rules.rings import Leg, Ring, find_rings
from mftgit.model.rules.transfer import check_folders, legs_of
from mftgit.model.transfers.content import Gzip
from mftgit.model.transfers.source import Marker, Pattern, Regex
from mftgit.model.transfers.triggers import WatchTrigger

ROOT = LocalLocation(name=LocationName("root"), path=".")
MANY = 60  # deliveries of one file that never come to an end


def way(
    name: str,
    taken: str,
    given: str,
    *,
    include: tuple[Pattern, ...] = ("*",),
    marker: Marker | None = None,
    recursive: bool = False,
    after: AfterSuccess = AfterSuccess.DELETE,
    overwrite: Overwrite = Overwrite.FAIL,
    archive: str | None = None,
) -> Transfer:
    return Transfer(
        name=TransferName(name),
        source=Source(
            location=ROOT.name,
            path=taken,
            include=include,
            exclude=(),
            recursive=recursive,
            marker=marker,
        ),
        destination=Destination(location=ROOT.name, path=given, overwrite=overwrite),
        trigger=WatchTrigger(),
        after_success=AfterSuccess.ARCHIVE if archive else after,
        archive_path=archive,
    )


def legs(transfers: Iterable[Transfer]) -> list[Leg]:
    return [leg for each in transfers for leg in legs_of(each.name, each, ROOT, ROOT)]


def rings(*transfers: Transfer) -> list[Ring]:
    return list(find_rings(legs(transfers)))


def names(*transfers: Transfer) -> list[str]:
    return [" ".join(leg.name for leg in ring.legs) for ring in rings(*transfers)]


KEEP, OVERWRITE = AfterSuccess.KEEP, Overwrite.OVERWRITE


@pytest.mark.parametrize(
    ("transfers", "expected"),
    [
        ((way("a", "x", "y"), way("b", "y", "x")), ["a b"]),
        ((way("b", "x", "y"), way("a", "y", "./x/")), ["a b"]),
        ((way("a", "x", "y"), way("b", "y", "z"), way("c", "z", "x")), ["a b c"]),
        ((way("c", "x", "y"), way("a", "y", "z"), way("b", "z", "x")), ["a b c"]),
        ((way("a", "x", "y"), way("b", "y", "z")), []),
        ((way("a", "x", "y"), way("b", "y", "x", include=("*.ack",))), ["a b"]),
        ((way("a", "x", "y", include=("*.csv",)), way("b", "y", "x", include=("*.ack",))), []),
        ((way("a", "x", "y", include=("in*",)), way("b", "y", "x", include=("*.csv",))), ["a b"]),
        ((way("a", "x", "y", include=("[!a]?[bc]",)), way("b", "y", "x")), ["a b"]),
        ((way("a", "x", "y", include=("s/*",)), way("b", "y", "x", include=("s/*",))), []),
        (
            (
                way("a", "x", "y", include=("s/**/*.csv",), recursive=True),
                way("b", "y", "x", recursive=True),
            ),
            ["a b"],
        ),
        ((way("a", "x", "y", after=KEEP), way("b", "y", "x", after=KEEP)), []),
        ((way("a", "x", "y", after=KEEP), way("b", "y", "x")), []),
        (
            (way("a", "x", "y", after=KEEP, overwrite=OVERWRITE), way("b", "y", "x", after=KEEP)),
            [],
        ),
        ((way("a", "x", "y", after=KEEP), way("b", "y", "x", overwrite=OVERWRITE)), ["a b"]),
        ((way("a", "x", "y/s"), way("b", "y", "x", recursive=True)), []),
        ((way("a", "x", "y/s", recursive=True), way("b", "y", "x", recursive=True)), ["a b"]),
        ((way("a", "x", "y", recursive=True), way("b", "y/s", "x", recursive=True)), []),
        ((way("a", "x", "y", archive="k"), way("b", "k", "x")), ["a b"]),
        ((way("a", "x", "y", archive="k"), way("b", "k", "z")), []),
        ((way("a", "x", "x"),), []),
        (
            (way("a", "x", "y"), way("b", "y", "x"), way("c", "u", "v"), way("d", "v", "u")),
            ["a b", "c d"],
        ),
        ((way("a", "x", "y"), way("b", "y", "x"), way("in", "w", "x"), way("out", "y", "z")), ["a b"]),
        (
            (way("a", "x", "y"), way("b", "y", "x"), way("c", "u", "v"), way("d", "v", "u"), way("e", "u", "x")),
            ["a b", "c d"],
        ),
    ],
)  # fmt: skip
def test_a_ring_is_what_a_file_goes_round_in(
    transfers: tuple[Transfer, ...], expected: list[str]
) -> None:
    assert names(*transfers) == expected
    assert names(*reversed(transfers)) == expected


@pytest.mark.parametrize(
    "regex", [r"(?i)report-\d{8}\.(?:csv|txt)", r"^a[0-9]+\.x$", ".+", r"\w+\.csv"]
)
def test_a_ring_of_files_that_regular_expressions_take_is_found(regex: str) -> None:
    one = (Regex(regex=regex),)
    assert names(way("a", "x", "y", include=one), way("b", "y", "x")) == ["a b"]


def test_a_file_that_comes_without_its_marker_goes_round_no_ring() -> None:
    assert names(way("a", "x", "y"), way("b", "y", "x", marker=Marker(suffix=".ok"))) == []


def test_a_file_that_is_packed_on_its_way_comes_back_under_another_name() -> None:
    csv = ("*.csv",)
    there, back = way("p", "a", "b", include=csv), way("q", "b", "a", include=csv)
    assert names(there, back) == ["p q"]
    assert names(replace(there, content=(Gzip(),)), back) == []
    archived = way("p", "a", "c", include=csv, archive="b")
    assert names(replace(archived, content=(Gzip(),)), back) == ["p q"]


def test_a_ring_may_be_of_any_length() -> None:
    around = [way(f"t{n:03}", f"f{n}", f"f{(n + 1) % 300}") for n in range(300)]
    (ring,) = rings(*around)
    assert [leg.name for leg in ring.legs] == [each.name for each in around]
    assert rings(*around[1:]) == []


def test_a_ring_tells_a_file_that_goes_round() -> None:
    (ring,) = rings(way("a", "x", "y", include=("in*",)), way("b", "y", "x", include=("*.csv",)))
    assert ring.file == "inx.csv"


def feeds_itself(transfer: Transfer) -> bool:
    return bool(list(check_folders(transfer, ROOT, ROOT)))


def goes_on(transfers: Iterable[Transfer], start: str) -> bool:
    """Run ``transfers``, in turns, on one file, and tell whether they never come to an end."""
    ways = legs(transfers)
    files, done, delivered = {start: 0}, set[tuple[str, str, int]](), 0
    while delivered < MANY:
        before = delivered
        for leg in ways:
            for path in sorted(files):
                delivered += run(leg, path, files, done, delivered + 1)
        if delivered == before:
            return False
    return True


def run(
    leg: Leg, path: str, files: dict[str, int], done: set[tuple[str, str, int]], stamp: int
) -> bool:
    """Take one file the way of ``leg``; tell whether it arrived anew."""
    taken, keeps = leg.taken[1], leg.transfer.after_success is KEEP
    if path not in files or not PurePosixPath(path).is_relative_to(taken):
        return False
    below = str(PurePosixPath(path).relative_to(taken))
    if not leg.takes(below) or (leg.name, path, files[path]) in done:
        return False
    target = f"{leg.given[1]}/{below}"
    there = target in files
    if there and leg.transfer.destination.overwrite is Overwrite.FAIL:
        return False
    done.add((leg.name, path, files[path]))
    if not keeps:
        del files[path]
    if there and leg.transfer.destination.overwrite is Overwrite.SKIP:
        return False
    files[target] = stamp
    return True


FOLDERS = st.sampled_from(["x", "y", "z", "x/s", "y/s"])
TRANSFERS = st.builds(
    way,
    st.sampled_from("abcdef"),
    FOLDERS,
    FOLDERS,
    include=st.sampled_from([("*",), ("a*",), ("*b",), ("s/*",), ("c",)]),
    recursive=st.booleans(),
    after=st.sampled_from([KEEP, AfterSuccess.DELETE]),
    overwrite=st.sampled_from([Overwrite.FAIL, Overwrite.SKIP, OVERWRITE]),
)
SETS = st.lists(TRANSFERS, max_size=5, unique_by=lambda each: each.name)


@given(SETS)
def test_in_each_ring_that_is_told_its_file_never_comes_to_rest(transfers: list[Transfer]) -> None:
    for ring in rings(*transfers):
        around = [leg.transfer for leg in ring.legs]
        assert goes_on(around, f"{ring.legs[0].taken[1]}/{ring.file}")


@given(SETS, st.sampled_from(["x", "ab"]), FOLDERS)
@example([way("a", "x", "y"), way("b", "y", "z"), way("c", "z", "x")], "x", "x")
def test_among_flat_folders_no_ring_is_missed(
    transfers: list[Transfer], file: str, start: str
) -> None:
    flat = [each for each in transfers if not each.source.recursive and not feeds_itself(each)]
    if goes_on(flat, f"{start}/{file}"):
        assert rings(*flat)


# In the repository

BACK = (
    "source: {location: outbox}\ndestination: {location: inbox}\n"
    "trigger: {watch: {every_s: 1}}\nactive_on: nodes\n"
)


def test_a_ring_is_a_problem_that_names_its_transfers_and_a_file() -> None:
    problem = only({"transfers/returns.yaml": BACK})
    assert (problem.file, problem.line, problem.pointer, problem.rule) == (
        "transfers/invoices.yaml",
        2,
        "/destination",
        "ring",
    )
    assert problem.message == (
        "a file such as 'x' would go round for ever: invoices -> returns -> invoices"
    )
    assert "include" in problem.hint


def test_locations_that_are_the_same_place_close_a_ring() -> None:
    same = {"locations/again.yaml": "type: local\npath: ./inbox/\n"}
    (ring,) = found({**same, "transfers/returns.yaml": BACK.replace("inbox", "again")})
    assert ring[2] == "ring"


@pytest.mark.parametrize("text", ["enabled: false\n", "after_success: {action: keep}\n"])
def test_a_transfer_that_is_switched_off_or_keeps_its_files_closes_no_ring(text: str) -> None:
    assert found({"transfers/returns.yaml": BACK + text}) == []


def test_a_ring_that_closes_with_the_values_of_one_member_is_found() -> None:
    inbox = {"locations/third.yaml": 'type: local\npath: "{{ region }}"\n'}
    there = {"transfers/returns.yaml": BACK.replace("inbox", "third")}
    assert found({**inbox, **there}) == []
    assert [
        rule
        for _, _, rule in found(
            {**inbox, **there, "locations/inbox.yaml": "type: local\npath: apac\n"}
        )
    ] == ["ring"]


def test_of_a_long_ring_only_the_first_transfers_are_named() -> None:
    changes: dict[str, str | bytes | None] = {"transfers/invoices.yaml": None}
    for n in range(30):
        changes[f"locations/f{n}.yaml"] = f"type: local\npath: f{n}\n"
        changes[f"transfers/t{n:02}.yaml"] = BACK.replace("outbox", f"f{n}").replace(
            "inbox", f"f{(n + 1) % 30}"
        )
    (problem,) = validate(changes).problems
    assert "t00 -> t01 -> " in problem.message
    assert problem.message.endswith("t09 -> … -> t00")
    assert set(VALID) > {"transfers/invoices.yaml"}
