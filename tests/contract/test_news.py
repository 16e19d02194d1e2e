"""A file that a client uploads is taken on at once, whichever member it reached and whichever owns the transfer."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lone_node import lone_node
from waiting import until

from mftgit.member.outbound.service import Outbound
from mftgit.model.configuration.config import (
    AfterSuccess,
    Cluster,
    Destination,
    Generation,
    Member,
    Ownership,
    Role,
    Source,
    Transfer,
)
from mftgit.model.configuration.plan import plan
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import LocationName, MemberName, Revision, TransferName
from mftgit.model.transfers.triggers import Trigger, WatchBy, WatchTrigger

HERE, THERE, T, GONE = (
    LocationName("here"),
    LocationName("there"),
    *map(TransferName, ("t", "gone")),
)
SELDOM = WatchTrigger(every_s=86_400.0, by=WatchBy.POLLING)
BOTH = ("one", "two")


def generation(
    *,
    trigger: Trigger = SELDOM,
    stable_s: float = 0.0,
    ownership: Ownership = Ownership.SINGLE,
    recursive: bool = False,
) -> Generation:
    transfer = Transfer(
        name=T,
        source=Source(location=HERE, path="in", stable_s=stable_s, recursive=recursive),
        destination=Destination(location=THERE),
        trigger=trigger,
        ownership=ownership,
        after_success=AfterSuccess.DELETE,
    )
    return Generation(
        cluster=Cluster(name="c", lease_ttl_s=2.0),
        member=Member(name=MemberName("m"), role=Role.NODE),
        locations={
            HERE: LocalLocation(name=HERE, path="here"),
            THERE: LocalLocation(name=THERE, path="there"),
        },
        transfers={T: transfer},
        declared=frozenset({T}),
    )


@dataclass
class Site:
    """Members over one files root."""

    root: Path
    members: dict[str, Outbound] = field(default_factory=dict)

    @property
    def news(self) -> Path:
        return self.root / ".mftgit" / "news"

    def add(self, name: str, wanted: Generation) -> Outbound:
        def record(_event: EventName, **_rest: Any) -> None:
            pass

        made = lone_node(self.root, name, record)
        made.start()
        self.members[name] = made
        made.apply(
            made.prepare(plan(None, wanted), wanted, fresh=True), revision=Revision("a" * 40)
        )
        made._news.follow(expects=True)  # clients may upload to this member
        return made

    def owner(self) -> str:
        """Wait until the transfer has an owner that has looked at it, and return who that is."""
        for each in self.members.values():
            until(lambda each=each: each.status()[0].owner)  # type: ignore[misc]
        found = next(iter(self.members.values())).status()[0].owner
        assert found is not None
        until(
            lambda: not self.members[found]._lines[T].running and self.members[found]._lines[T].runs
        )
        return found

    def upload(self, name: str, by: str) -> None:
        """Put a file there as a member does that serves a client."""
        file = self.root / "here" / "in" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        hidden = file.with_name(".mftgit-upload-x")
        hidden.write_text(name, encoding="utf-8")
        hidden.rename(file)
        self.members[by].noticed(str(file))

    def words(self) -> list[Path]:
        """Return what is left for owners."""
        return list(self.news.glob("*"))

    def arrived(self, name: str) -> bool:
        return (self.root / "there" / name).exists()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(root=tmp_path)
    (tmp_path / "here" / "in").mkdir(parents=True)
    yield made
    for member in made.members.values():
        member.stop()


def test_an_upload_is_taken_on_at_once_by_whoever_owns_the_transfer(site: Site) -> None:
    for name in BOTH:
        site.add(name, generation())
    owner = site.owner()
    (other,) = set(BOTH) - {owner}
    for name, by in (("a", owner), ("b", other), ("c", other)):
        site.upload(name, by)
        until(lambda name=name: site.arrived(name))  # type: ignore[misc]
    until(lambda: not site.words())


def test_an_upload_that_ends_while_its_member_stops_is_told_to_the_next_owner(site: Site) -> None:
    one = site.add("one", generation())
    site.owner()
    one.stop()
    two = site.add("two", generation())
    until(lambda: two._lines[T].runs)
    runs = two._lines[T].runs
    site.upload("a", "one")
    until(lambda: site.arrived("a"))
    until(lambda: two._lines[T].runs > runs)


def test_a_file_that_has_to_be_stable_is_looked_at_again_once_it_is(site: Site) -> None:
    site.add("one", generation(stable_s=0.5))
    site.owner()
    site.upload("a", "one")
    until(lambda: site.arrived("a"))


def test_what_no_transfer_watches_and_what_was_removed_is_no_news(site: Site) -> None:
    for name in BOTH:
        site.add(name, generation())
    owner = site.owner()
    (other,) = set(BOTH) - {owner}
    (site.root / "here" / "in" / "below").mkdir()
    site.upload("below/a", other)  # no folder below is taken from
    site.upload("../a", other)
    site.upload("b", other)
    until(lambda: site.arrived("b"))
    (site.news / GONE).touch()
    (site.news / "..x").touch()
    site.upload("c", other)
    until(lambda: site.arrived("c") and not site.words())


def test_of_a_transfer_that_each_member_has_for_itself_nobody_else_is_told(site: Site) -> None:
    one = site.add("one", generation(ownership=Ownership.EACH))
    until(lambda: one.status()[0].owner)
    one.drain(on=True)
    until(lambda: one.drained)
    site.upload("a", "one")
    until(lambda: not one._news._folders_with_news)
    threading.Event().wait(0.2)
    assert not site.words()


def test_a_word_waits_for_an_owner_and_storage_that_is_away_ends_nothing(site: Site) -> None:
    one = site.add("one", generation())
    site.owner()
    one.drain(on=True)
    until(lambda: one.drained)
    site.upload("a", "one")
    until(site.news.exists)
    until((site.news / T).exists)
    shared, aside = site.root / ".mftgit", site.root / "aside"
    shared.rename(aside)
    site.upload("b", "one")
    until(lambda: not one._news._folders_with_news)
    assert not shared.exists()
    aside.rename(shared)
    one.drain(on=False)
    until(lambda: site.arrived("a") and site.arrived("b"))
    until(lambda: not site.words())
