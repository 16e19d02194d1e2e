"""A batch that was cut goes on: what is whole at the destination is not sent again, and nothing is left behind."""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from breaking_line import Line
from outbound_site import Crash, Owner, Site, consumed, site

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.member.outbound.copying import whole
from mftgit.member.outbound.delivering import send
from mftgit.member.outbound.runs.run import run_once
from mftgit.model.configuration.config import AfterSuccess, Batch, Claiming, Overwrite, Preserve
from mftgit.model.events.event import EventName
from mftgit.model.names import Revision
from mftgit.model.transfers.checksum import Sidecar
from mftgit.model.transfers.content import Gzip

MIB = 1 << 20
FILES = {f"{name}.csv": name.encode() * 10 for name in "abcde"}
TIMES = {name: (10**9 + number) * 10**9 for number, name in enumerate(FILES)}
BIG = random.Random(20261129).randbytes(10 * MIB + 7)


@pytest.fixture(autouse=True)
def _one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        send, "AT_ONCE", 1
    )  # small ones that are copied together are noted together


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return made(tmp_path)


def made(root: Path) -> Path:
    for name in ("source", "target"):
        (root / name).mkdir(parents=True)
    return root


def batched(there: Site, *, claim: Claiming = Claiming.RENAME, **rules: Any) -> Site:
    there.transfer = replace(
        there.transfer,
        batch=Batch(at_least=len(FILES)),
        source=replace(there.transfer.source, claim=claim),
        destination=replace(there.transfer.destination, **rules),
    )
    return there


def lose(there: Site, at: int, *, written: list[str] | None = None) -> None:
    """Lose the connection after so many writes."""
    writes = [] if written is None else written

    def after(what: str) -> None:
        if what == "write":
            writes.append(what)
            if len(writes) == at:
                raise EndpointLostError("gone")

    there.after = after


def cut(there: Site, *, at: int = 3) -> Site:
    """Have the first try of a batch cut, where all files but the one at hand are whole."""
    for name, content in FILES.items():
        there.put(name, content, mtime_ns=TIMES[name])
    lose(there, at)
    there.run(1)
    there.after = lambda _: None
    assert list(there.state.glob("intents/1/*.sent"))
    return there


def written(there: Site, run: Callable[[], Any]) -> int:
    writes: list[str] = []
    lose(there, -1, written=writes)
    run()
    there.after = lambda _: None
    return len(writes)


def all_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def require_whole(there: Site, files: dict[str, bytes] = FILES, *, left: int = 0) -> None:
    assert all_of(there.target) == files
    told = [each["path"] for each in there.happened(EventName.DELIVERY_SUCCEEDED)]
    assert sorted(set(map(str, told))) == sorted(FILES)
    assert there.records() == []
    assert len(there.left_at_source()) == left


@pytest.mark.parametrize("epoch", [1, 2])
@pytest.mark.parametrize(
    ("after", "claim"),
    [
        (AfterSuccess.DELETE, Claiming.RENAME),
        (AfterSuccess.DELETE, Claiming.RECORD),
        (AfterSuccess.KEEP, Claiming.RENAME),
    ],
    ids=["renamed", "by record", "kept"],
)
def test_what_is_whole_is_not_sent_again(
    root: Path, epoch: int, after: AfterSuccess, claim: Claiming
) -> None:
    there = cut(batched(site(root, after=after), claim=claim))
    assert written(there, lambda: there.run(epoch)) == 3
    require_whole(there, left=len(FILES) if after is AfterSuccess.KEEP else 0)


def test_what_is_cut_again_and_again_arrives(root: Path) -> None:
    there = cut(batched(site(root)), at=2)
    for at in (2, 2, 2):
        lose(there, at)
        assert there.run(1).files == 0
    assert written(there, lambda: there.run(2)) == 1
    require_whole(there)


def test_checksum_files_times_and_packed_content_go_along(root: Path) -> None:
    there = site(root)
    there.transfer = replace(there.transfer, content=(Gzip(),))
    batched(there, checksum=Sidecar(), preserve=frozenset({Preserve.TIMES}))
    cut(there)
    there.run(2)
    names = [f"{name}.gz{end}" for name in FILES for end in ("", ".sha256")]
    assert there.left_at_target() == sorted(names)
    times = {path.stem: path.stat().st_mtime_ns for path in there.target.glob("*.gz")}
    assert times == TIMES
    assert there.records() == []


@pytest.mark.parametrize("how", ["tampered", "cut short", "removed", "longer"])
def test_what_is_not_whole_any_more_is_sent_again(root: Path, how: str) -> None:
    there = cut(batched(site(root)))
    first = min(there.target.iterdir())
    match how:
        case "tampered":
            first.write_bytes(b"x" * len(first.read_bytes()))
        case "cut short":
            first.write_bytes(b"x")
        case "removed":
            first.unlink()
        case _:
            first.write_bytes(first.read_bytes() + b"x")
    assert written(there, lambda: there.run(2)) == 4
    require_whole(there)


def test_a_file_that_has_changed_at_the_source_is_sent_again(root: Path) -> None:
    there = cut(batched(site(root, after=AfterSuccess.KEEP)))
    there.put("a.csv", b"another one")
    assert written(there, lambda: there.run(2)) == 4
    require_whole(there, FILES | {"a.csv": b"another one"}, left=len(FILES))


def put_back(there: Site) -> None:
    """Hold that none of it is gone on with: all goes back, and is taken and sent anew."""
    assert there.run(2).files == 0 or there.left_at_target() == sorted(FILES)
    there.run(3)


def test_where_it_is_not_wanted_all_is_sent_anew(root: Path) -> None:
    there = batched(site(root), resume=False)
    for name, content in FILES.items():
        there.put(name, content)
    lose(there, 3)
    there.run(1)
    there.after = lambda _: None
    assert list(there.state.glob("intents/1/*.sent")) == []
    writes = written(there, lambda: put_back(there))
    assert writes == len(FILES)
    require_whole(there)


def test_under_another_revision_all_is_sent_anew(root: Path) -> None:
    there = cut(batched(site(root)))
    fresh = replace(there.context(2), revision=Revision("b" * 40))
    run_once(there.transfer, fresh)
    run_once(there.transfer, replace(there.context(3), revision=Revision("b" * 40)))
    require_whole(there)
    assert all(not name.startswith(".") for name in there.left_at_target())


def test_a_record_of_it_that_is_none_is_removed(root: Path) -> None:
    there = cut(batched(site(root)))
    (record,) = there.state.glob("intents/1/*.sent")
    record.write_bytes(b"nothing")
    put_back(there)
    require_whole(there)


@pytest.mark.parametrize("rule", [Overwrite.FAIL, Overwrite.SKIP])
def test_what_is_whole_of_a_name_that_was_taken_is_removed(root: Path, rule: Overwrite) -> None:
    there = cut(batched(site(root, overwrite=rule)))
    (there.target / "a.csv").write_bytes(b"theirs")
    there.run(2)
    theirs = {"a.csv": b"theirs"}
    assert all_of(there.target) == (theirs if rule is Overwrite.FAIL else FILES | theirs)
    assert there.records() == []
    assert there.left_at_source() == (sorted(FILES) if rule is Overwrite.FAIL else [])


def test_a_large_file_of_a_batch_goes_on_where_it_was_cut(root: Path) -> None:
    there = batched(site(root))
    there.transfer = replace(there.transfer, batch=Batch(at_least=2))
    there.put("a.bin", BIG)
    there.put("b.bin", BIG[::-1])
    line = Line(there, cut_at=9 * MIB)
    line.cut_at = None
    real, tries = line.carries, []

    def carries(chunks: Any, first: int) -> Any:
        tries.append(first)
        line.cut_at = 9 * MIB if len(tries) == 2 else None
        return real(chunks, first)

    line.carries = carries  # type: ignore[method-assign]
    there.run(1)
    there.run(2)
    assert all_of(there.target) == {"a.bin": BIG, "b.bin": BIG[::-1]}
    assert line.sent[0] == len(BIG)
    assert len(line.sent) == 3
    assert line.sent[2] <= len(BIG) - 2 * MIB
    assert there.records() == []


def die() -> None:
    raise Crash


def require_each_once(there: Site, at: object) -> None:
    for epoch in range(4, 7):
        there.run(epoch)
    assert there.consumer is not None
    assert there.consumer.got == dict.fromkeys(FILES.items(), 1), at
    assert there.left_at_target() == [], at
    assert there.delivered() == len(FILES), at
    assert there.records() == [], at


def test_owners_that_die_at_any_step_of_going_on_lose_and_double_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "SAVE_S", 0.0)
    for at in range(1, 200):
        there = cut(batched(consumed(made(tmp_path / str(at)))))
        owner = Owner(2, at=at, then=die)
        with suppress(Crash):
            there.run(owner)
        with suppress(Crash):
            there.run(Owner(3, at=at, then=die))
        require_each_once(there, at)
        if owner.effects < at:
            break
    assert at > 20


def test_an_owner_that_dies_after_one_that_has_renamed_some_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    """Nothing was written down of the names that the first one gave them."""
    for first in (20, 21, 23):
        for second in (17, 18, 19, 20):
            at = f"{first}-{second}"
            there = cut(batched(consumed(made(tmp_path / at))))
            for epoch, step in ((2, first), (3, second)):
                with suppress(Crash):
                    there.run(Owner(epoch, at=step, then=die))
            require_each_once(there, at)
