"""A file whose content was delivered before is not delivered again, where a transfer says so."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from outbound_site import CLOCK, LARGE, Crash, Owner, Site, consumed, site

from mftgit.adapters.endpoint.contract import EndpointRefusedError
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.member.outbound.runs.run import run_once
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.configuration.config import AfterSuccess, Deduplicate, Overwrite
from mftgit.model.events.event import EventName
from mftgit.model.transfers.checksum import Sidecar
from mftgit.model.transfers.content import Gzip


def comparing(there: Site, *, days: int = 30) -> Site:
    there.transfer = replace(there.transfer, deduplicate=Deduplicate(within_days=days))
    return there


def run(there: Site, *, days: float = 0, epoch: int = 1) -> RunOutcome:
    class Later:
        def boottime(self) -> float:
            return CLOCK.boottime() + days * 86_400

        def now(self) -> datetime:
            return CLOCK.now() + timedelta(days=days)

    return run_once(there.transfer, replace(there.context(epoch), clock=Later()))


@pytest.mark.parametrize("content", [b"small", LARGE])
@pytest.mark.parametrize("after", [AfterSuccess.DELETE, AfterSuccess.KEEP, AfterSuccess.ARCHIVE])
def test_the_same_content_under_another_name_is_skipped(
    root: Path, after: AfterSuccess, content: bytes
) -> None:
    there = comparing(site(root, after=after))
    there.put("a", content)
    run(there)
    there.put("b", content)
    there.put("c", content + b"more")
    run(there)
    assert there.left_at_target() == ["a", "c"]
    (skipped,) = there.happened(EventName.DELIVERY_SKIPPED)
    first = there.happened(EventName.DELIVERY_SUCCEEDED)[0]
    assert (skipped["path"], skipped["duplicate_of"]) == ("b", first["id"])
    assert run(there).files == 0
    assert there.records() == []
    assert there.delivered() == 2
    (line,) = [each for each in Ledger(there.state).lines() if each.skipped]
    assert line.duplicate_of == first["id"]


def test_a_delivery_counts_for_so_many_days(root: Path) -> None:
    there = comparing(site(root), days=30)
    for day, name in ((0, "a"), (29, "b"), (31, "c"), (60, "d")):
        there.put(name, b"same")
        run(there, days=day)
    assert there.left_at_target() == ["a", "c"]  # what was skipped on day 29 is no delivery


def test_of_two_that_are_taken_together_one_is_delivered(root: Path) -> None:
    there = comparing(site(root))
    for name in ("a", "b"):
        there.put(name, b"same")
    run(there)
    assert len(there.left_at_target()) == 1


def test_a_duplicate_of_what_did_not_arrive_is_delivered(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = comparing(site(root))
    rules = replace(there.transfer.destination, checksum=Sidecar())
    there.transfer = replace(there.transfer, destination=rules)
    for day, name in enumerate(("a", "b")):
        there.put(name, b"same", mtime_ns=day * 10**9)
    real = LocalEndpoint.write

    def write(self: LocalEndpoint, path: str, chunks: Iterator[bytes], **more: Any) -> int:
        content = b"".join(chunks)
        if content.endswith(b"  a\n"):
            raise EndpointRefusedError("no checksum file here")
        return real(self, path, iter([content]), **more)

    with monkeypatch.context() as patched:
        patched.setattr(LocalEndpoint, "write", write)
        run(there)
    assert there.left_at_target() == ["b", "b.sha256"]
    run(there)
    assert (there.left_at_target(), there.records()) == (["b", "b.sha256"], [])


def test_a_duplicate_of_what_is_skipped_for_its_name_is_delivered(root: Path) -> None:
    """A name that is taken between the look and the rename."""
    there = comparing(site(root, overwrite=Overwrite.SKIP))
    for day, name in enumerate(("a", "b")):
        there.put(name, b"same", mtime_ns=day * 10**9)

    def take(call: str) -> None:
        if call == "write":
            (there.target / "a").write_bytes(b"somebody's")

    there.after = take
    run(there)
    assert (there.target / "b").read_bytes() == b"same"
    assert (there.left_at_source(), there.records()) == ([], [])


def test_a_duplicate_of_what_waits_for_its_name_is_not_settled_by_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``overwrite: skip`` it comes to nothing where somebody takes the name meanwhile."""
    there = comparing(site(root, overwrite=Overwrite.SKIP))
    real = LocalEndpoint.rename

    def rename(self: LocalEndpoint, old: str, new: str, *, replace: bool) -> None:
        if new == "a":
            raise EndpointRefusedError("not now")
        real(self, old, new, replace=replace)

    with monkeypatch.context() as patched:
        patched.setattr(LocalEndpoint, "rename", rename)
        there.put("a", b"same")
        run(there)
        there.put("b", b"same")
        outcome = run(there)
    assert any("b has the content of a" in error for error in outcome.errors)
    (there.target / "a").write_bytes(b"somebody's")
    for _ in range(2):
        run(there)
    assert (there.target / "b").read_bytes() == b"same"
    assert (there.left_at_source(), there.records()) == ([], [])


def test_without_being_asked_for_the_same_content_is_delivered_again(root: Path) -> None:
    there = site(root)
    for name in ("a", "b"):
        there.put(name, b"same")
        run(there)
    assert there.left_at_target() == ["a", "b"]


def test_what_is_compared_is_the_content_at_the_source(root: Path) -> None:
    there = comparing(site(root))
    there.transfer = replace(there.transfer, content=(Gzip(),))
    for name, size in (("a", 9), ("b", 9), ("c", len(LARGE)), ("d", len(LARGE))):
        there.put(name, b"x" * size, mtime_ns=ord(name) * 10**16)  # which gzip writes down
        run(there)
    assert there.left_at_target() == ["a.gz", "c.gz"]


def die() -> None:
    raise Crash


def test_a_duplicate_survives_an_owner_that_dies_before_any_step(tmp_path: Path) -> None:
    for at in range(1, 26):
        root = tmp_path / str(at)
        for name in ("source", "target"):
            (root / name).mkdir(parents=True)
        there = comparing(consumed(root, overwrite=Overwrite.OVERWRITE))
        there.put("a", b"same")
        there.run(1)
        there.put("b", b"same")
        with suppress(Crash):
            there.run(Owner(2, at=at, then=die))
        there.run(3)
        assert there.consumer is not None
        assert there.consumer.got == {("a", b"same"): 1}, at
        assert (there.left_at_source(), there.left_at_target(), there.records()) == ([], [], [])
