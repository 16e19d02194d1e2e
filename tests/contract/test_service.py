"""A member's outbound side carries plans out: what runs, when, and what is left alone."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from loguru import logger
from lone_node import lone_node
from sshd import running_sshd
from waiting import WAIT_S, until

from mftgit.adapters.inotify import tells
from mftgit.errors import ConfigError
from mftgit.member.outbound.ordered import OrderRefusedError
from mftgit.member.outbound.places.digests import SMALL_BYTES
from mftgit.member.outbound.records.leftover import find_leftovers
from mftgit.member.outbound.records.pauses import Pauses
from mftgit.member.outbound.runs.line import Look
from mftgit.member.outbound.runs.runs import PARALLEL_RUNS
from mftgit.member.outbound.service import Outbound
from mftgit.model.configuration.config import (
    ActiveOn,
    AfterSuccess,
    Cluster,
    Destination,
    Generation,
    Member,
    Overwrite,
    Ownership,
    Role,
    Source,
    Transfer,
)
from mftgit.model.configuration.plan import plan
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import LocalLocation, Location
from mftgit.model.names import Epoch, LocationName, MemberName, Revision, TransferName
from mftgit.model.ownership.session import Told, parse_told
from mftgit.model.rollout.windows import DAYS
from mftgit.model.transfers.calendars import Calendar
from mftgit.model.transfers.claim import ClaimId, format_claim
from mftgit.model.transfers.commands import Command, Commands
from mftgit.model.transfers.intent import Intent, Place, format_intents, parse_intents
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.run import DeliveryState
from mftgit.model.transfers.status import TransferState, Waiting
from mftgit.model.transfers.triggers import (
    AfterTrigger,
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    Trigger,
    WatchBy,
    WatchTrigger,
)
from mftgit.model.transfers.under_way import Side

HERE, THERE = LocationName("here"), LocationName("there")
NEVER = CronTrigger(expression="0 0 1 1 *")
OFTEN = WatchTrigger(every_s=0.1)
REVISION = Revision("a" * 40)
TTL_S = 30.0
"""So long that no owner loses its session because the machine is busy."""


@dataclass
class Site:
    """One or more members' outbound sides over one files root."""

    root: Path
    members: list[Outbound] = field(default_factory=list)
    active: dict[int, Generation] = field(default_factory=dict)
    events: list[tuple[str, EventName, Mapping[str, Any]]] = field(default_factory=list)
    known: set[str] = field(default_factory=lambda: {REVISION})

    def add(self, name: str) -> Outbound:
        def record(event: EventName, **rest: Any) -> None:
            told = rest.get("each") or [rest.get("facts") or {}]
            self.events.extend((name, event, facts) for facts in told)

        made = lone_node(
            self.root, name, record, is_ancestor=lambda revision, _active: revision in self.known
        )
        made.start()
        self.members.append(made)
        return made

    def run(
        self,
        member: Outbound,
        *transfers: Transfer,
        ttl_s: float = TTL_S,
        there: str = "there",
    ) -> None:
        wanted = generation(*transfers, ttl_s=ttl_s, there=there)
        steps = plan(self.active.get(id(member)), wanted)
        member.apply(member.prepare(steps, wanted, fresh=True), revision=REVISION)
        self.active[id(member)] = wanted

    def named(self, event: EventName, *, by: str | None = None) -> list[Mapping[str, Any]]:
        return [facts for name, each, facts in self.events if each is event and by in {None, name}]

    def drop(self, *names: str) -> None:
        (self.root / "here").mkdir(exist_ok=True)
        for name in names:
            (self.root / "here" / name).write_text(name, encoding="utf-8")

    def arrived(self) -> list[str]:
        folder = self.root / "there"
        return sorted(path.name for path in folder.glob("[!.]*")) if folder.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(root=tmp_path)
    yield made
    for member in made.members:
        member.stop()


def transfer(
    trigger: Trigger = OFTEN,
    *,
    name: str = "t",
    ownership: Ownership = Ownership.SINGLE,
    source_path: str = ".",
    stable_s: float = 0.0,
) -> Transfer:
    return Transfer(
        name=TransferName(name),
        source=Source(location=HERE, path=source_path, stable_s=stable_s),
        destination=Destination(location=THERE, overwrite=Overwrite.OVERWRITE),
        trigger=trigger,
        after_success=AfterSuccess.DELETE,
        ownership=ownership,
    )


def generation(
    *transfers: Transfer, ttl_s: float, here: Location | None = None, there: str = "there"
) -> Generation:
    return Generation(
        cluster=Cluster(name="c", lease_ttl_s=ttl_s),
        member=Member(name=MemberName("m"), role=Role.NODE),
        locations={
            HERE: here or LocalLocation(name=HERE, path="here"),
            THERE: LocalLocation(name=THERE, path=there),
        },
        transfers={each.name: each for each in transfers},
        declared=frozenset(each.name for each in transfers),
    )


def test_a_watched_folder_is_emptied(site: Site) -> None:
    site.drop("a", "b")
    member = site.add("one")
    site.run(member, transfer())
    until(lambda: site.arrived() == ["a", "b"])
    until(lambda: member.status()[0].last_run and member.status()[0].delivered == 2)
    (status,) = member.status()
    assert (status.owner, status.epoch) == ("one", 1)


def test_after_a_run_the_ledger_is_looked_through(site: Site) -> None:
    ledger = site.root / ".mftgit" / "transfers" / "t" / "ledger"
    site.drop("a")
    site.run(site.add("one"), transfer())
    until((ledger / "tidied").exists)
    assert (ledger / "1.jsonl").exists()


def test_a_transfer_on_a_schedule_waits_for_its_time_also_when_it_is_taken_over(site: Site) -> None:
    site.drop("a")
    site.run(site.add("one"), transfer(NEVER))
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    site.run(
        site.add("two"), transfer(OFTEN, name="other")
    )  # something that shows that time passes
    until(lambda: site.arrived() == ["a"])
    assert [facts["transfer"] for facts in site.named(EventName.RUN_STARTED, by="one")] == []


def test_an_interval_fires_again_and_again(site: Site) -> None:
    site.run(site.add("one"), transfer(IntervalTrigger(every_s=0.3)))
    site.drop("a")
    until(lambda: site.arrived() == ["a"])
    site.drop("b")
    until(lambda: site.arrived() == ["a", "b"])


def test_what_is_each_member_s_own_runs_on_every_member(site: Site) -> None:
    for name in ("one", "two"):
        site.run(site.add(name), transfer(ownership=Ownership.EACH))
    until(lambda: len(site.named(EventName.OWNERSHIP_TAKEN)) == 2)
    site.drop("a", "b", "c")
    until(lambda: site.arrived() == ["a", "b", "c"])
    until(lambda: len(site.named(EventName.DELIVERY_SUCCEEDED)) >= 3)
    assert len(site.named(EventName.DELIVERY_SUCCEEDED)) == 3


def test_a_transfer_that_is_stopped_and_started_again_runs_again(site: Site) -> None:
    member = site.add("one")
    site.run(member, transfer(), transfer(name="other", source_path="elsewhere"))
    until(lambda: len(site.named(EventName.OWNERSHIP_TAKEN)) == 2)
    site.run(member, transfer(name="other", source_path="elsewhere"))
    assert [each.name for each in member.status()] == ["other"]
    site.run(member, transfer(), transfer(name="other", source_path="elsewhere"))
    site.drop("a")
    until(lambda: site.arrived() == ["a"])
    taken = [facts["transfer"] for facts in site.named(EventName.OWNERSHIP_TAKEN)]
    assert taken.count("other") == 1  # nobody touched it


@pytest.mark.parametrize("change", ["ttl", "ownership"])
def test_a_change_of_how_it_is_owned_hands_the_lease_back_and_goes_on(
    site: Site, change: str
) -> None:
    member = site.add("one")
    site.run(member, transfer(), ttl_s=2.0)  # one of which a run goes on has to run out
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    if change == "ttl":
        site.run(member, transfer(), ttl_s=3.0)
    else:
        site.run(member, transfer(ownership=Ownership.EACH), ttl_s=2.0)
    until(lambda: len(site.named(EventName.OWNERSHIP_TAKEN)) >= 2)
    site.drop("a")
    until(lambda: site.arrived() == ["a"])


def test_a_source_that_cannot_be_looked_at_is_told_by_an_event_and_not_again_at_every_look(
    site: Site,
) -> None:
    (site.root / "here").write_text("a file where a folder should be", encoding="utf-8")
    member = site.add("one")
    site.run(member, transfer())
    until(lambda: site.named(EventName.RUN_FAILED))
    threading.Event().wait(1.0)  # ten looks
    assert len(site.named(EventName.RUN_FAILED)) == 1
    until(lambda: member.status()[0].state is TransferState.FAILING)  # and not at a look just now
    (status,) = member.status()
    assert "here" in str(status.reason)
    assert status.retry_at is not None
    (site.root / "here").unlink()
    (site.root / "here").mkdir()
    site.drop("a")
    assert member.run_now(T)  # without the wait after what failed
    until(lambda: site.arrived() == ["a"])
    until(lambda: (member.status()[0].reason, member.status()[0].retry_at) == (None, None))


def test_what_waits_at_the_source_is_counted(site: Site) -> None:
    (site.root / "there" / "b").mkdir(parents=True)  # in the way of the file b
    site.drop("a", "b")
    member = site.add("one")
    site.run(member, transfer(stable_s=0.2))
    until(lambda: site.arrived() == ["a", "b"])
    until(lambda: member.status()[0].waiting == Waiting(failed=1))
    site.run(member, transfer(stable_s=999.0))
    site.drop("c")
    until(lambda: member.status()[0].waiting.too_fresh)


def test_the_next_firing_of_what_is_on_a_schedule_is_told(site: Site) -> None:
    member = site.add("one")
    site.run(member, transfer(NEVER), transfer(OFTEN, name="other", source_path="elsewhere"))
    (at,) = member.next_firings().values()
    assert at.endswith("-01-01T00:00:00.000Z")
    assert list(member.next_firings()) == ["t"]
    member.stop()
    assert member.next_firings() == {}


@pytest.mark.needs("sshd")
@pytest.mark.parametrize("after", [AfterSuccess.DELETE, AfterSuccess.ARCHIVE, AfterSuccess.KEEP])
def test_files_are_fetched_from_an_sftp_server_too(site: Site, after: AfterSuccess) -> None:
    (site.root / "partner").mkdir()
    with running_sshd(site.root / "partner") as server:
        member = site.add("one")
        shutil.copytree(server.secrets_dir, site.root / "one" / "secrets")
        for name in ("a.csv", "b.csv"):
            (server.folder / name).write_text(name, encoding="utf-8")
        archive = "done" if after is AfterSuccess.ARCHIVE else None
        fetched = replace(transfer(), after_success=after, archive_path=archive)
        wanted = generation(fetched, ttl_s=TTL_S, here=replace(server.location(), name=HERE))
        member.apply(member.prepare(plan(None, wanted), wanted, fresh=True), revision=REVISION)
        until(lambda: site.arrived() == ["a.csv", "b.csv"])
        until(lambda: member.status()[0].delivered == 2)
        member.stop()  # finishes the file at hand
        left = {
            str(path.relative_to(server.folder))
            for path in server.folder.rglob("*.csv")
            if ".mftgit" not in path.parts
        }
        member.stop()
    assert (
        left
        == {
            AfterSuccess.DELETE: set(),
            AfterSuccess.ARCHIVE: {"done/a.csv", "done/b.csv"},
            AfterSuccess.KEEP: {"a.csv", "b.csv"},
        }[after]
    )


def test_another_member_takes_over_at_once_when_one_stops(site: Site) -> None:
    first, second = site.add("one"), site.add("two")
    site.run(first, transfer())
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    site.run(second, transfer())
    first.stop()
    site.drop("a")
    until(lambda: site.arrived() == ["a"])
    assert second.status()[0].epoch == 2


def test_a_member_that_is_drained_hands_over_at_once_and_takes_part_again_when_that_ends(
    site: Site,
) -> None:
    first, second = site.add("one"), site.add("two")
    site.run(first, transfer())
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    site.run(second, transfer())
    first.drain(on=True)
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN, by="two"))
    until(lambda: first.drained)
    site.drop("a")
    until(lambda: site.arrived() == ["a"])
    assert not site.named(EventName.RUN_STARTED, by="one")
    second.drain(on=True)
    first.drain(on=False)
    site.drop("b")
    until(lambda: "b" in site.arrived())
    until(lambda: bool(site.named(EventName.RUN_STARTED, by="one")))  # told once it has delivered


def test_a_member_that_is_drained_finishes_the_run_under_way_first(site: Site) -> None:
    member = site.add("one")
    site.drop(*map(str, range(300)))
    site.run(member, transfer())
    until(site.arrived)
    member.drain(on=True)
    until(lambda: member.drained)
    assert len(site.arrived()) == 300
    assert len(site.named(EventName.RUN_FINISHED)) == 1


def test_a_transfer_that_was_asked_back_begins_no_run_before_it_is_given_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, key = site.add("one"), TransferName("t")
    site.run(member, transfer(NEVER))
    until(lambda: member._lines.get(key).runs == 1)  # type: ignore[union-attr]
    monkeypatch.setattr(
        member._owning, "give_back", lambda _key: None
    )  # its thread has not come to it
    member._owning._asked_back(key)
    site.drop("a")
    assert member.run_now(key)
    assert not site.named(EventName.RUN_STARTED)
    assert not member._lines.get(key).running  # type: ignore[union-attr]


def test_storage_that_takes_no_lease_is_told_once_as_a_warning(site: Site) -> None:
    (site.root / ".mftgit").write_text("a file where a folder should be", encoding="utf-8")
    told: list[str] = []
    logger.enable("mftgit")
    sink = logger.add(
        lambda message: told.append(str(message)), level="WARNING", format="{message} {extra}"
    )
    try:
        site.run(site.add("one"), transfer())
        until(lambda: told)
        threading.Event().wait(1.0)  # several looks
    finally:
        logger.remove(sink)
        logger.disable("mftgit")
    assert len(told) == 1
    assert "see that it is mounted here" in told[0]


def begin(
    site: Site,
    state: DeliveryState = DeliveryState.READY,
    *,
    by: str = "gone",
    ownership: Ownership = Ownership.SINGLE,
) -> None:
    """Leave behind what a member leaves that is killed with the file ``a`` on its way."""
    moved = transfer(ownership=ownership)
    wanted = generation(moved, ttl_s=TTL_S)
    key = "t" if ownership is Ownership.SINGLE else f"t.{by}"
    (site.root / "there").mkdir(exist_ok=True)
    claims = site.root / "here" / ".mftgit" / key / "claims" / "1"
    claims.mkdir(parents=True)
    (claims / format_claim(ClaimId("1-1-aa"), "a")).write_text("a", encoding="utf-8")
    (site.root / "there" / ".a.part").write_text("a", encoding="utf-8")
    records = site.root / ".mftgit" / "transfers" / key / "intents" / "1"
    records.mkdir(parents=True)
    intent = Intent(
        id=ClaimId("1-1-aa"),
        state=state,
        transfer=moved.name,
        ownership=ownership,
        active_on=moved.active_on,
        path="a",
        source=Place.of(wanted.locations[HERE], wanted),
        source_folder=".",
        destination=Place.of(wanted.locations[THERE], wanted),
        destination_folder=".",
        temporary=".a.part",
        plain="a",
        final="a",
        overwrite=Overwrite.OVERWRITE,
        after=AfterSuccess.DELETE,
        archive_path=None,
        size_bytes=1,
        member=MemberName(by),
        epoch=Epoch(1),
        revision=None,
    )
    (records / "1-1-aa.json").write_bytes(format_intents([intent]))


def left(site: Site) -> list[str]:
    """Return what is at the source, claims included."""
    return files_below(site.root / "here")


def files_below(folder: Path) -> list[str]:
    """Return the names of the files in ``folder`` and below it, while an owner removes folders there."""
    return [name for _, _, names in os.walk(folder) for name in names]


@pytest.mark.parametrize("state", [DeliveryState.READY, DeliveryState.TAKEN])
@pytest.mark.parametrize("how", ["removed", "renamed", "each"])
def test_what_a_former_transfer_has_begun_is_published_or_goes_back(
    site: Site, how: str, state: DeliveryState
) -> None:
    begin(site, state)
    now = {
        "removed": [],
        "renamed": [transfer(name="new")],
        "each": [transfer(ownership=Ownership.EACH)],
    }[how]
    member = site.add("one")
    site.run(member, *now)
    if (
        state is DeliveryState.READY or now
    ):  # what goes back is taken by the transfer that is there now
        until(lambda: site.arrived() == ["a"])
        until(lambda: left(site) == [])
    else:
        until(lambda: left(site) == ["a"])
    until(lambda: not any(map(is_record, files_below(site.root / ".mftgit/transfers/t/intents"))))


def is_record(name: str) -> bool:
    return name.endswith(".json")


def test_a_former_transfer_is_let_go_of_when_it_has_come_to_its_end(site: Site) -> None:
    begin(site)
    member = site.add("one")
    site.run(member)
    until(lambda: [each.state.value for each in member.status()] == ["ending"])
    until(lambda: site.arrived() == ["a"])

    def is_let_go_of() -> bool:
        member._former.look()  # as the scheduler does, half a minute later
        return member.status() == []

    until(is_let_go_of)
    site.run(member, transfer())
    site.drop("b")
    until(lambda: site.arrived() == ["a", "b"])


def leftovers(site: Site, wanted: Generation) -> list[tuple[str, str]]:
    folder = site.root / ".mftgit/transfers"
    return list(find_leftovers(folder, wanted, knows=lambda revision: revision in site.known))


@pytest.mark.parametrize(
    "who",
    [
        "another member's own",
        "not active here",
        "not active now",
        "disabled",
        "of a newer revision",
    ],
)
def test_what_is_not_this_member_s_to_end_is_left_alone(site: Site, who: str) -> None:
    begin(
        site,
        by="two",
        ownership=Ownership.EACH if who == "another member's own" else Ownership.SINGLE,
    )
    (record,) = (site.root / ".mftgit/transfers").glob("*/intents/1/*.json")
    wanted = generation(ttl_s=TTL_S)
    if who == "not active here":
        intent = parse_intents(record.read_bytes())[0]
        elsewhere = ActiveOn(members=frozenset({MemberName("two")}))
        record.write_bytes(format_intents([replace(intent, active_on=elsewhere)]))
    if who == "not active now":
        wanted = replace(wanted, declared=frozenset({TransferName("t")}))
    if who == "disabled":
        names = frozenset({TransferName("t")})
        wanted = replace(wanted, declared=names, disabled=names)
    if who == "of a newer revision":
        intent = parse_intents(record.read_bytes())[0]
        record.write_bytes(format_intents([replace(intent, revision=Revision("b" * 40))]))
    assert leftovers(site, wanted) == []


def test_what_cannot_be_read_is_nobody_s_to_end(site: Site) -> None:
    begin(site)
    wanted = generation(ttl_s=TTL_S)
    (record,) = (site.root / ".mftgit/transfers").glob("*/intents/1/*.json")
    assert leftovers(site, wanted) == [("t", "t")]
    folder, active = site.root / ".mftgit/transfers", {TransferName("t")}
    assert list(find_leftovers(folder, wanted, knows=lambda _: True, active=active)) == []
    record.write_bytes(b"{}")
    assert leftovers(site, wanted) == []
    assert list(find_leftovers(record / "no folder", wanted, knows=lambda _: True)) == []


def has_arrived(site: Site, count: int) -> bool:
    return len(site.arrived()) == count


def test_a_lost_folder_of_leases_is_gone_on_from_above_what_the_storage_knows(site: Site) -> None:
    for epoch, name in enumerate(("one", "two"), start=1):
        member = site.add(name)
        site.run(member, transfer())
        site.drop(name)
        until(partial(has_arrived, site, epoch))
        member.stop()
    shutil.rmtree(site.root / ".mftgit" / "coordination")
    third = site.add("three")
    site.run(third, transfer())
    site.drop("three")
    until(lambda: len(site.arrived()) == 3)
    assert third.status()[0].epoch == 3
    assert len(site.named(EventName.OWNERSHIP_TAKEN, by="three")) == 1


def test_a_folder_of_leases_that_is_lost_while_all_run_is_gone_on_from(site: Site) -> None:
    for name in ("one", "two"):
        site.run(site.add(name), transfer(), ttl_s=2.0)  # how soon they see it
    site.drop("a")
    until(lambda: site.arrived() == ["a"])
    taken = len(site.named(EventName.OWNERSHIP_TAKEN))
    (site.root / ".mftgit" / "coordination").rename(site.root / "lost")  # while they write to it
    until(lambda: len(site.named(EventName.OWNERSHIP_TAKEN)) > taken)
    site.drop("b")
    until(lambda: site.arrived() == ["a", "b"])


def test_a_destination_that_is_moved_while_files_come_in_gets_them_all(site: Site) -> None:
    member = site.add("one")
    (site.root / "there").mkdir()
    (site.root / "other").mkdir()
    site.run(member, transfer())
    for turn in range(6):
        site.drop(*(f"{turn}-{number}" for number in range(5)))
        site.run(member, transfer(), there="there" if turn % 2 else "other")
    until(lambda: left(site) == [])
    found = [path.name for folder in ("there", "other") for path in (site.root / folder).iterdir()]
    assert sorted(found) == [f"{turn}-{number}" for turn in range(6) for number in range(5)]


def test_a_scheduled_run_comes_back_for_what_was_too_fresh_and_holds_no_thread(site: Site) -> None:
    names = [f"t{number}" for number in range(PARALLEL_RUNS + 1)]
    member = site.add("one")
    slow = [transfer(NEVER, name=name, source_path=name, stable_s=8.0) for name in names]
    site.run(member, *slow, transfer(name="quick"))
    until(lambda: len(site.named(EventName.OWNERSHIP_TAKEN)) == len(slow) + 1)
    for name in names:
        (site.root / "here" / name).mkdir(parents=True)
        (site.root / "here" / name / f"file-of-{name}").write_text(name, encoding="utf-8")
        member.run_now(TransferName(name))
    site.drop("quick")
    until(site.arrived)
    assert site.arrived() == ["quick"]  # before any that has to be stable
    until(lambda: len(site.arrived()) == len(names) + 1)


def hold_first_delivery(member: Outbound) -> None:
    """Let the run that delivers first go on only once it is to end, however late that is."""
    record, held = member._equipping.record, list[EventName]()

    def hold(event: EventName, **rest: Any) -> None:
        record(event, **rest)
        if event is EventName.DELIVERY_SUCCEEDED and not held:
            held.append(event)
            member._lines[T].stopping.wait(WAIT_S)

    member._equipping.record = hold


def test_a_batch_that_a_restart_cuts_short_is_gone_on_with_at_once(site: Site) -> None:
    first = site.add("one")
    site.run(first, transfer(NEVER))
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    names = [f"{number:03d}" for number in range(200)]
    site.drop(*names)
    hold_first_delivery(first)
    first.run_now(T)
    until(site.arrived)
    first.stop()
    assert 0 < len(site.arrived()) < len(names)
    site.run(site.add("two"), transfer(NEVER))
    until(lambda: site.arrived() == names)


@pytest.mark.needs("sshd")
def test_a_partner_that_stands_still_does_not_hold_up_the_end(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mftgit.member.outbound.runs.runs.DRAIN_S", 1.0)
    (site.root / "partner").mkdir()
    with running_sshd(site.root / "partner") as server:
        member = site.add("one")
        shutil.copytree(server.secrets_dir, site.root / "one" / "secrets")
        (server.folder / "a").write_bytes(b"a" * 50_000_000)
        # Under way for longer than it takes to see that, on the busiest machine.
        slow = replace(server.location(timeout_s=600.0), name=HERE, bytes_per_s=500_000)
        wanted = generation(transfer(), ttl_s=TTL_S, here=slow)
        member.apply(member.prepare(plan(None, wanted), wanted, fresh=True), revision=REVISION)
        until(lambda: list(site.root.glob("there/.a*")))
        frozen = server.sessions()
        for process in frozen:
            os.kill(process, signal.SIGSTOP)
        try:
            member.stop()
            until(lambda: site.named(EventName.RUN_FAILED))
        finally:
            for process in frozen:
                os.kill(process, signal.SIGCONT)
    assert len(site.named(EventName.RUN_FAILED)) == 1
    assert site.arrived() == []


def test_what_is_this_member_s_own_and_not_active_here_any_more_is_brought_to_its_end(
    site: Site,
) -> None:
    begin(site, by="m", ownership=Ownership.EACH)
    wanted = replace(generation(ttl_s=TTL_S), declared=frozenset({TransferName("t")}))
    assert leftovers(site, wanted) == [("t.m", "t")]


def test_what_all_owned_and_each_owns_now_is_for_a_member_where_it_is_active(site: Site) -> None:
    begin(site)
    (record,) = (site.root / ".mftgit/transfers").glob("*/intents/1/*.json")
    intent = parse_intents(record.read_bytes())[0]
    elsewhere = ActiveOn(members=frozenset({MemberName("gone")}))
    record.write_bytes(format_intents([replace(intent, active_on=elsewhere)]))
    wanted = generation(transfer(ownership=Ownership.EACH), ttl_s=TTL_S)
    assert leftovers(site, wanted) == [("t", "t")]


def test_a_member_that_stands_down_ends_nothing_of_former_transfers(site: Site) -> None:
    begin(site)
    (record,) = (site.root / ".mftgit/transfers").glob("*/intents/1/*.json")
    waits = replace(parse_intents(record.read_bytes())[0], overwrite=Overwrite.FAIL)
    record.write_bytes(format_intents([waits]))
    (site.root / "there" / "a").write_text("in the way", encoding="utf-8")
    member = site.add("one")
    site.run(member, transfer(name="other"))
    until(lambda: "ending" in {each.state.value for each in member.status()})
    until(lambda: "other" in {each["transfer"] for each in site.named(EventName.OWNERSHIP_TAKEN)})
    member.stand_down()
    member._former.look()
    assert member.status() == []
    until(lambda: "other" in told(site, "one").standing.handovers)
    until(lambda: told(site, "one").holds == {})


def told(site: Site, member: str) -> Told:
    """Return what the only session tells, that of ``member``."""
    (session,) = (site.root / ".mftgit/coordination/sessions").iterdir()
    return parse_told((session / "told.json").read_bytes(), member=MemberName(member), ttl_s=1)


def test_a_record_says_where_the_transfer_is_active_by_the_newest_revision(site: Site) -> None:
    member = site.add("one")
    site.run(member, transfer())
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    narrowed = replace(transfer(), active_on=ActiveOn(members=frozenset({MemberName("one")})))
    assert plan(site.active[id(member)], generation(narrowed, ttl_s=TTL_S)) == plan(
        site.active[id(member)], site.active[id(member)]
    )
    site.run(member, narrowed)
    (site.root / "there").write_text("a file where a folder should be", encoding="utf-8")
    site.drop("a")
    records = site.root / ".mftgit/transfers/t/intents"
    until(lambda: list(records.glob("*/[!.]*.json")))
    (record,) = records.glob("*/[!.]*.json")
    assert parse_intents(record.read_bytes())[0].active_on == narrowed.active_on


def test_a_failure_is_told_until_its_cause_is_gone_and_not_for_longer(site: Site) -> None:
    (site.root / "here").write_text("a file where a folder should be", encoding="utf-8")
    member = site.add("one")
    site.run(member, transfer())
    until(lambda: member.status()[0].state.value == "failing")
    for _ in range(25):  # several looks
        threading.Event().wait(0.02)
        assert member.status()[0].state.value in {"failing", "running"}
    (site.root / "here").unlink()
    site.run(member, transfer(IntervalTrigger(every_s=3600)))  # a revision ends the waiting
    site.run(member, transfer())
    until(lambda: member.status()[0].state.value == "idle")


def test_who_has_lost_a_transfer_does_not_say_how_it_fails(site: Site) -> None:
    (site.root / "here").write_text("a file where a folder should be", encoding="utf-8")
    member = site.add("one")
    stood_by: list[EventName] = []
    record = member._owning._record

    def look(event: EventName, **rest: Any) -> None:
        """See how it is before it is taken again."""
        record(event, **rest)
        if event is EventName.OWNERSHIP_LOST:
            until(lambda: member.status()[0].state.value == "standby")
            stood_by.append(event)

    member._owning._record = look
    site.run(member, transfer(), ttl_s=2.0)  # how soon it sees it
    until(lambda: member.status()[0].state.value == "failing")

    def end() -> bool:
        """End its session as another member does, unless it gives a sign of life right now."""
        session = max((site.root / ".mftgit/coordination/sessions").iterdir())
        last = max(session.glob("beat-*")).name
        with suppress(FileExistsError):
            (session / f"beat-{int(last[5:]) + 1:012d}").touch(exist_ok=False)
            return True
        return False

    until(end)
    until(lambda: stood_by)


def test_a_revision_that_mends_a_transfer_ends_its_waiting(site: Site) -> None:
    (site.root / "there").write_text("a file where a folder should be", encoding="utf-8")
    site.drop("a")
    member = site.add("one")
    site.run(member, transfer())
    until(lambda: member.status()[0].state.value == "failing")
    site.run(member, transfer(), there="mended")
    assert member._lines[TransferName("t")].memory.is_quiet(0.0)
    until((site.root / "mended" / "a").exists)
    failed = len(site.named(EventName.RUN_FAILED))
    assert failed <= 2  # it did not come to the mended place by trying on


ONCE_AN_HOUR = WatchTrigger(every_s=3600)


def run_with(site: Site, member: Outbound, *transfers: Transfer, off: Calendar) -> None:
    """Run ``transfers`` in a cluster whose calendar ``off`` is this one."""
    wanted = generation(*transfers, ttl_s=TTL_S)
    wanted = replace(wanted, cluster=replace(wanted.cluster, calendars={"off": off}))
    steps = plan(site.active.get(id(member)), wanted)
    member.apply(member.prepare(steps, wanted, fresh=True), revision=REVISION)
    site.active[id(member)] = wanted


@pytest.mark.parametrize("stable_s", [0.0, 0.3])
def test_a_file_in_a_local_folder_is_taken_at_once_by_a_watch_that_rarely_looks(
    site: Site, stable_s: float
) -> None:
    (site.root / "here").mkdir()
    if not tells(site.root / "here"):
        pytest.skip("the tests' folder is on a file system that is polled")
    member = site.add("one")
    site.run(member, transfer(ONCE_AN_HOUR, stable_s=stable_s))
    until(lambda: "t" in member._notices._inotify._folders)
    for count, name in enumerate("abc", 1):  # again and again
        site.drop(name)
        until(partial(lambda count: len(site.arrived()) == count, count))
    site.drop(*"defgh")
    until(lambda: site.arrived() == list("abcdefgh"))


def test_a_watch_by_polling_listens_to_nothing(site: Site) -> None:
    member = site.add("one")
    site.run(member, transfer(WatchTrigger(every_s=0.1, by=WatchBy.POLLING)))
    site.drop("a")
    until(lambda: site.arrived() == ["a"])
    assert not member._notices._inotify._folders


def test_nothing_is_listened_to_for_a_transfer_that_was_stopped(site: Site) -> None:
    member = site.add("one")
    site.run(member, transfer())
    site.drop("a")
    until(lambda: site.arrived() == ["a"])
    site.run(member)
    until(lambda: not member._notices._inotify._folders)
    site.drop("b")
    assert site.arrived() == ["a"]


@pytest.mark.parametrize("trigger", [OFTEN, IntervalTrigger(every_s=0.1)])
def test_nothing_runs_on_a_day_of_its_calendar_until_the_calendar_says_otherwise(
    site: Site, trigger: WatchTrigger | IntervalTrigger
) -> None:
    site.drop("a")
    member = site.add("one")
    here = transfer(replace(trigger, calendar="off"))
    run_with(site, member, here, off=Calendar(days=DAYS))
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    fired: list[TransferName] = []
    fire = member._fire

    def fire_and_tell(key: TransferName) -> None:
        fire(key)
        fired.append(key)

    member._fire = fire_and_tell  # type: ignore[method-assign]
    until(lambda: len(fired) > 3)
    assert site.named(EventName.RUN_STARTED) == []
    run_with(site, member, here, off=Calendar())
    until(lambda: site.arrived() == ["a"])


def test_what_is_run_by_hand_ends_what_was_begun_and_takes_nothing_new(site: Site) -> None:
    site.drop("a")
    member = site.add("one")
    site.run(member, transfer(ManualTrigger()), transfer(name="other", source_path="elsewhere"))
    until(lambda: len(site.named(EventName.OWNERSHIP_TAKEN)) == 2)
    member.run_now(T)
    until(lambda: site.arrived() == ["a"])


AFTER = AfterTrigger(transfer=TransferName("t"))


def following(name: str = "next") -> Transfer:
    return transfer(AFTER, name=name, source_path="more")


def put_more(site: Site, name: str) -> None:
    (site.root / "here/more").mkdir(parents=True, exist_ok=True)
    (site.root / "here/more" / name).write_text(name, encoding="utf-8")


def ran(site: Site, name: str) -> int:
    return sum(facts["transfer"] == name for facts in site.named(EventName.RUN_STARTED))


def test_a_transfer_runs_after_the_success_of_one_that_another_member_owns(site: Site) -> None:
    put_more(site, "early")
    site.run(site.add("two"), following())
    until((site.root / ".mftgit/transfers/next/after.json").exists)
    assert site.arrived() == []
    site.run(site.add("one"), transfer())
    site.drop("a")
    until(lambda: site.arrived() == ["a", "early"])
    put_more(site, "late")
    site.drop("b")
    until(lambda: site.arrived() == ["a", "b", "early", "late"])
    assert ran(site, "next") == 2


def test_a_success_is_seen_by_whoever_owns_the_follower_next_and_by_nobody_twice(
    site: Site,
) -> None:
    first = site.add("one")
    site.run(first, following())
    until((site.root / ".mftgit/transfers/next/after.json").exists)
    first.stop()
    owner = site.add("two")
    site.run(owner, transfer())
    site.drop("a")
    until((site.root / ".mftgit/succeeded/t/t").exists)  # while nobody follows
    put_more(site, "b")
    third = site.add("three")
    site.run(third, following())
    until(lambda: site.arrived() == ["a", "b"])
    until(lambda: site.named(EventName.RUN_FINISHED, by="three"))
    third.stop()
    site.run(site.add("four"), following())
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN, by="four"))
    site.drop("c")
    until(lambda: ran(site, "next") == 2)
    assert site.arrived() == ["a", "b", "c"]


def test_a_success_that_its_owner_did_not_come_to_tell_is_told_by_the_next_one(
    site: Site,
) -> None:
    first = site.add("one")
    site.run(first, transfer())
    site.drop("a")
    told = site.root / ".mftgit/succeeded/t/t"
    until(told.exists)
    first.stop()
    told.unlink()  # as where the owner had died right before it
    site.run(site.add("two"), transfer())
    until(told.exists)
    assert told.read_text(encoding="utf-8") == "1"


def test_a_run_with_a_failure_is_no_success_before_the_failure_is_mended(site: Site) -> None:
    (site.root / "there/a").mkdir(parents=True)  # nothing can be renamed to it
    member = site.add("one")
    site.run(member, transfer(IntervalTrigger(every_s=0.1)))
    site.drop("a", "b")
    until(lambda: len(site.named(EventName.RUN_FINISHED)) > 2)
    assert not (site.root / ".mftgit/succeeded/t/t").exists()


def test_a_run_after_another_transfer_that_fails_as_a_whole_is_tried_again(site: Site) -> None:
    member = site.add("one")
    first = transfer()
    first = replace(first, source=replace(first.source, exclude=("more",)))
    site.run(member, first, replace(following(), retry=Retry(first_s=0.1)))
    until((site.root / ".mftgit/transfers/next/after.json").exists)
    (site.root / "here").mkdir(exist_ok=True)
    (site.root / "here/more").write_text("a file where a folder should be", encoding="utf-8")
    site.drop("a")
    until(lambda: any(facts["transfer"] == "next" for facts in site.named(EventName.RUN_FAILED)))
    (site.root / "here/more").unlink(missing_ok=True)
    put_more(site, "late")
    until(lambda: "late" in site.arrived())


def test_what_a_run_moves_is_told_by_the_status(site: Site) -> None:
    member = site.add("one")
    site.run(member, transfer())
    with member.progress.begin(T, "a.csv", side=Side.DESTINATION, size_bytes=10) as way:
        way.advance(4)
        (told,) = member.status()[0].under_way
        assert (told.path, told.done_bytes, told.size_bytes) == ("a.csv", 4, 10)
    assert member.status()[0].under_way == ()


PAUSE = Pause(by="ann", member="one", at="2026-11-28T08:00:00.000Z")
T = TransferName("t")


def pauses(site: Site) -> Pauses:
    return Pauses(site.root / ".mftgit")


def test_a_paused_transfer_begins_nothing_on_any_member_also_after_a_restart(site: Site) -> None:
    pauses(site).begin(T, PAUSE)
    site.drop("a")
    first = site.add("one")
    site.run(first, transfer(), transfer(name="other", source_path="elsewhere"))
    until(lambda: first.status()[1].owner == "one" and first.status()[1].paused == PAUSE)
    first.stop()
    second = site.add("two")
    site.run(second, transfer(), transfer(name="other", source_path="elsewhere"))
    until(lambda: all(each.owner == "two" for each in second.status()))
    (site.root / "here" / "elsewhere").mkdir(parents=True, exist_ok=True)
    (site.root / "here" / "elsewhere" / "b").write_text("b", encoding="utf-8")
    until(lambda: site.arrived() == ["b"])  # ten looks a second are taken meanwhile
    assert {facts["transfer"] for facts in site.named(EventName.RUN_STARTED)} == {"other"}
    pauses(site).end(T)
    until(lambda: second.status()[1].paused is None and site.arrived() == ["a", "b"])


@pytest.mark.parametrize("trigger", [OFTEN, NEVER])
def test_a_pause_ends_a_batch_behind_the_file_at_hand_and_resume_goes_on_with_it(
    site: Site, trigger: Trigger
) -> None:
    names = [f"{number:03}" for number in range(80)]
    site.drop(*names)
    for name in names:
        os.truncate(site.root / "here" / name, SMALL_BYTES + 1)  # each goes alone
    member = site.add("one")
    hold_first_delivery(member)
    site.run(member, transfer(trigger))
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    member.run_now(T)
    until(site.arrived)
    pauses(site).begin(T, PAUSE)
    until(lambda: member.status()[0].paused)
    until(lambda: member.status()[0].state is TransferState.IDLE)
    stopped_with = site.arrived()
    assert stopped_with == names[: len(stopped_with)] != names
    pauses(site).end(T)
    until(lambda: member.status()[0].paused is None and site.arrived() == names)
    until(lambda: len(site.named(EventName.DELIVERY_SUCCEEDED)) >= len(names))
    assert len(site.named(EventName.DELIVERY_SUCCEEDED)) == len(names)


@pytest.mark.parametrize("trigger", [OFTEN, NEVER])
def test_a_run_is_ended_and_what_is_left_is_for_the_next_one(site: Site, trigger: Trigger) -> None:
    names = [f"{number:03}" for number in range(80)]
    site.drop(*names)
    for name in names:
        os.truncate(site.root / "here" / name, SMALL_BYTES + 1)  # each goes alone
    member = site.add("one")
    hold_first_delivery(member)
    site.run(member, transfer(trigger))
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    member.run_now(T)
    until(site.arrived)
    assert member.ordered.stop(T, "operator alice").startswith("its run ends")
    until(lambda: [each for each in site.named(EventName.RUN_FINISHED) if "stopped_by" in each])
    (ended,) = (each for each in site.named(EventName.RUN_FINISHED) if "stopped_by" in each)
    assert ended["stopped_by"] == "operator alice"
    assert 0 < ended["files"] < len(names)
    if trigger is NEVER:
        until(lambda: member.status()[0].state is TransferState.IDLE)
        assert site.arrived() == names[: ended["files"]]
        left = sorted(path.name for path in (site.root / "here").glob("[!.]*"))
        begun = len(names) - len(left)
        assert (
            ended["files"] <= begun <= ended["files"] + 1
        )  # no more than the file at hand is claimed
        assert left == names[begun:]
        member._runs.submit(member._lines[T], Look.BEGUN)  # as where a member takes it over
        until(lambda: not member._lines[T].running)
        assert site.arrived() == names[:begun]  # that run is over
        member.run_now(T)
    until(lambda: site.arrived() == names)
    until(lambda: len(site.named(EventName.DELIVERY_SUCCEEDED)) >= len(names))
    assert len(site.named(EventName.DELIVERY_SUCCEEDED)) == len(names)


def test_a_run_that_is_none_is_not_ended(site: Site) -> None:
    first, second = site.add("one"), site.add("two")
    site.run(first, transfer(NEVER))
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    site.run(second, transfer(NEVER))
    until(lambda: second.status()[0].owner == "one")
    with pytest.raises(OrderRefusedError, match="no run of t is under way"):
        first.ordered.stop(T, "operator alice")
    with pytest.raises(OrderRefusedError, match="t has moved: one owns it, not two"):
        second.ordered.stop(T, "operator alice")
    with pytest.raises(OrderRefusedError, match="t has moved: one owns it, not two"):
        second.ordered.run(T)


def test_a_move_is_left_as_word_for_the_owner_by_any_member(site: Site) -> None:
    first, second = site.add("one"), site.add("two")
    site.run(first, transfer(NEVER))
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    site.run(second, transfer(NEVER))
    until(lambda: second.status()[0].owner == "one")
    until(lambda: all(len(member.standings()) == 2 for member in (first, second)))
    assert "goes to two" in second.ordered.move(T, MemberName("two"), "operator alice")
    until(lambda: [each.status()[0].owner for each in (first, second)] == ["two", "two"])
    (ordered,) = site.named(EventName.TRANSFER_MOVE_ORDERED)
    assert (ordered["to"], ordered["by"]) == ("two", "operator alice")
    with pytest.raises(OrderRefusedError, match="two owns t already"):
        first.ordered.move(T, MemberName("two"), "operator alice")
    with pytest.raises(OrderRefusedError, match="three is not there, or not at this storage"):
        first.ordered.move(T, MemberName("three"), "operator alice")


def test_where_nobody_can_tell_whether_it_is_paused_nothing_begins_and_that_is_told(
    site: Site,
) -> None:
    (site.root / ".mftgit").mkdir()
    (site.root / ".mftgit" / "paused").write_text("no folder", encoding="utf-8")
    site.drop("a")
    member = site.add("one")
    site.run(member, transfer())
    until(lambda: site.named(EventName.RUN_FAILED))
    (failed,) = site.named(EventName.RUN_FAILED)
    assert "whether the transfer is paused cannot be told" in failed["errors"][0]
    assert site.arrived() == []
    (site.root / ".mftgit" / "paused").unlink()
    assert member.run_now(T)  # what failed need not wait then
    until(lambda: site.arrived() == ["a"])


def test_a_transfer_is_run_by_hand_whatever_its_trigger_says_and_by_its_owner_only(
    site: Site,
) -> None:
    first, second = site.add("one"), site.add("two")
    site.run(first, transfer(NEVER))
    until(lambda: site.named(EventName.OWNERSHIP_TAKEN))
    site.run(second, transfer(NEVER))
    site.drop("a")
    assert not second.run_now(T)
    assert not first.run_now(TransferName("nothing"))
    assert site.arrived() == []
    assert first.run_now(T)
    until(lambda: site.arrived() == ["a"])
    first.drain(on=True)
    assert not first.run_now(T)


def test_a_change_of_anything_else_keeps_the_next_firing(site: Site) -> None:
    member = site.add("one")
    hourly = IntervalTrigger(every_s=3600)
    site.run(member, transfer(hourly))
    job = member._scheduler._scheduler.get_job("t")
    due = job.next_run_time
    site.run(member, transfer(hourly, source_path="elsewhere"))
    assert member._scheduler._scheduler.get_job("t").next_run_time == due


def test_the_status_reads_nothing_of_what_is_ours_and_has_not_run(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = site.add("one")
    site.run(member, transfer(IntervalTrigger(every_s=3600)))
    until(lambda: member.status()[0].owner == "one" and member._lines[TransferName("t")].runs)
    member.status()
    read: list[str] = []
    monkeypatch.setattr(
        "mftgit.member.outbound.status.count", lambda line, _now: read.append(line.name)
    )
    member.status()
    assert read == []
    site.drop("a")
    member.run_now(TransferName("t"))
    until(lambda: site.named(EventName.RUN_FINISHED))
    until(lambda: (member.status(), read)[1])


def test_what_is_asked_for_while_a_run_is_under_way_is_one_run_when_it_ends(site: Site) -> None:
    member, key = site.add("one"), TransferName("t")
    site.run(member, transfer(NEVER))
    until(lambda: member._lines[key].runs == 1)  # the look of a new owner
    began, go_on = threading.Event(), threading.Event()
    record = member._equipping.record

    def hold(event: EventName, **rest: Any) -> None:
        record(event, **rest)
        if event is EventName.RUN_STARTED:
            began.set()
            go_on.wait(WAIT_S)

    member._equipping.record = hold
    member.run_now(key)
    assert began.wait(WAIT_S)
    for _ in range(3):
        member.run_now(key)
    go_on.set()
    until(lambda: member._lines[key].runs == 3 and not member._lines[key].running)
    assert len(site.named(EventName.RUN_FINISHED)) == 2


def with_program(site: Site, member: str) -> Transfer:
    """Return a transfer with a program that is run after each file, and have it on ``member``."""
    folder = site.root / member / "commands"
    folder.mkdir(mode=0o700, parents=True)
    program = folder / "book"
    program.write_text('#!/bin/sh\necho "$MFTGIT_MEMBER $MFTGIT_PATH" >> "$0.told"\n', "utf-8")
    program.chmod(0o700)
    return replace(transfer(), commands=Commands(after_file=Command(program="book")))


def test_a_member_runs_the_programs_of_its_own_folder(site: Site) -> None:
    one = site.add("one")
    site.drop("a")
    site.run(one, with_program(site, "one"))
    told = site.root / "one" / "commands" / "book.told"
    until(lambda: told.exists() and told.read_text("utf-8") == "one a\n")


def test_a_revision_whose_program_is_missing_on_a_member_is_refused_there_once(site: Site) -> None:
    wanted = generation(with_program(site, "one"), ttl_s=TTL_S)
    member = site.add("two")
    with pytest.raises(ConfigError, match="two/commands"):
        member.prepare(plan(None, wanted), wanted, fresh=True)
    member.prepare(plan(None, wanted), wanted, fresh=False)  # what ran before starts without


def test_a_member_that_starts_anew_counts_on_and_a_changed_transfer_counts_anew(site: Site) -> None:
    """The destination has the name as a folder, which no rule overwrites."""
    (site.root / "there" / "a" / "b").mkdir(parents=True)
    site.drop("a")
    kept = site.root / ".mftgit" / "transfers" / "t" / "failures.json"

    def count() -> int:
        try:
            content = kept.read_bytes()
        except FileNotFoundError:
            return 0
        return max(int(each["count"]) for each in json.loads(content)["failures"])

    first = site.add("one")
    site.run(first, transfer())
    until(lambda: count() == 1)
    first.stop()
    second = site.add("two")
    site.run(second, transfer())
    until(lambda: count() == 2)
    site.run(second, replace(transfer(), retry=Retry(attempts=9)))
    until(lambda: count() == 1)
