"""``mftgit transfer owner``: who owns a transfer and who else could, and moving it by a word on the storage."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any

import jsonschema
import pytest
from config_tree import VALID
from lone_node import lone_node
from member_folder import NODE, confirm, leave_status, make_folder, running, say, say_json
from waiting import until

from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.transfer.acting import NotHereError
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.member.outbound.records.moves import Moves
from mftgit.member.outbound.service import Outbound
from mftgit.model.configuration.config import (
    ActiveOn,
    Cluster,
    Destination,
    Generation,
    Member,
    Role,
    Source,
    Transfer,
)
from mftgit.model.configuration.plan import plan
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import Epoch, LocationName, MemberName, Revision, TransferName
from mftgit.model.transfers.move import Move
from mftgit.model.transfers.status import TransferState, TransferStatus
from mftgit.model.transfers.triggers import CronTrigger, Trigger, WatchTrigger
from mftgit.resources import load_schemas

INVOICES, T, U = map(TransferName, ("invoices", "t", "u"))
ONE, TWO = MemberName("one"), MemberName("two")
OURS = TransferStatus(
    name=INVOICES,
    owner=NODE,
    epoch=Epoch(3),
    since="2026-11-23T07:12:09.000Z",
    moved="node-2 was drained",
    state=TransferState.IDLE,
    last_run=None,
    delivered=0,
)
WELL: dict[str, Any] = {"draining": False, "aside": []}


@pytest.fixture(autouse=True)
def woken() -> Iterator[None]:
    """Take the signal with which a member is woken, which is this process here."""
    before = signal.signal(signal.SIGHUP, lambda _number, _frame: None)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = make_folder(tmp_path)
    confirm(made, VALID)
    leave_status(made, OURS, members={"node-1": WELL, "node-2": WELL})
    return made


def moves(folder: StateFolder) -> Moves:
    return Moves(folder.root.parent / "files" / ".mftgit")


def told(folder: StateFolder, *words: str) -> Any:
    found = say_json(folder, "transfer", "owner", "invoices", *words)
    schema = load_schemas()["output-transfer-owner"]
    jsonschema.Draft202012Validator(schema).validate(found)
    return found


def test_it_is_told_who_owns_it_since_when_and_why_and_who_else_could(folder: StateFolder) -> None:
    found = told(folder)
    assert (found["owner"], found["epoch"], found["since"]) == ("node-1", 3, OURS.since)
    assert (found["moved"], found["running"]) == ("node-2 was drained", False)
    assert found["renewed_at"] == "2026-11-23T08:00:03.000Z"
    able = {each["name"]: each["able"] for each in found["members"]}
    assert able["node-1"]
    assert able["node-2"]
    text = " ".join(say(folder, "transfer", "owner", "invoices").stdout.split())
    assert "node-1, epoch 3, since 2026-11-23T07:12:09.000Z, node-2 was drained" in text
    assert "node-2 could own it" in text
    leave_status(folder, replace(OURS, owner=MemberName("node-2")))
    assert told(folder)["renewed_at"] is None  # it is that member's to tell
    leave_status(folder)
    assert told(folder)["owner"] is None
    assert "not told by the member yet" in say(folder, "transfer", "owner", "invoices").stdout


@pytest.mark.parametrize(
    ("two", "why"),
    [
        (None, "is not there"),
        ({"draining": True}, "is drained"),
        ({"aside": ["invoices"]}, "could not do it a while ago"),
    ],
)
def test_who_could_not_own_it_is_told_with_the_reason(
    folder: StateFolder, two: dict[str, Any] | None, why: str
) -> None:
    leave_status(folder, OURS, members={"node-1": WELL} | ({"node-2": two} if two else {}))
    found = {each["name"]: each["why_not"] for each in told(folder)["members"]}
    assert found["node-2"].startswith(why)


def test_a_move_leaves_word_for_the_owner_and_waits_until_it_has_moved(folder: StateFolder) -> None:
    def carry_out() -> None:
        until(lambda: moves(folder).take(INVOICES))
        there = replace(OURS, owner=MemberName("node-2"), epoch=Epoch(4))
        leave_status(folder, there, members={"node-1": WELL, "node-2": WELL})

    owner = Thread(target=carry_out)
    with running(folder):
        owner.start()
        found = told(folder, "--move-to", "node-2")
        owner.join()
        assert (found["owner"], found["epoch"]) == ("node-2", 4)
        told(folder, "--move-to", "node-2")  # it is there already
    assert moves(folder).all() == {}


@pytest.mark.parametrize("taken", [True, False])
def test_what_has_not_moved_in_time_is_told_and_a_word_that_nobody_took_is_taken_back(
    folder: StateFolder, taken: bool  # noqa: FBT001
) -> None:  # fmt: skip
    owner = Thread(target=lambda: until(lambda: moves(folder).take(INVOICES)))
    if taken:
        owner.start()
    why = "ends the run under way first" if taken else "it was taken back"
    wait_s = "5" if taken else "0.3"  # the owner may need a moment on a busy machine
    with running(folder), pytest.raises(TransientError, match=f"node-1 has it, and .*{why}"):
        say(folder, "transfer", "owner", "invoices", "--move-to", "node-2", "--wait-s", wait_s)
    if taken:
        owner.join()
    assert moves(folder).all() == {}


@pytest.mark.parametrize(
    ("to", "two", "kind", "why"),
    [
        ("nothing", WELL, ConfigError, "there is no member nothing; there are: .*node-1, node-2"),
        (
            "controller",
            WELL,
            ConfigError,
            "controller may not own invoices: its active_on leaves it out",
        ),
        ("node-2", {"draining": True}, TransientError, "node-2 is drained: `mftgit drain --end`"),
        ("node-2", None, TransientError, "node-2 is not there: it does not run"),
    ],
)
def test_where_it_cannot_go_is_told_and_no_word_is_left(
    folder: StateFolder, to: str, two: dict[str, Any] | None, kind: type[MftgitError], why: str
) -> None:
    leave_status(folder, OURS, members={"node-1": WELL} | ({"node-2": two} if two else {}))
    with running(folder), pytest.raises(kind, match=why):
        say(folder, "transfer", "owner", "invoices", "--move-to", to)
    assert moves(folder).all() == {}


def test_a_member_that_does_not_run_and_a_transfer_of_each_move_nothing(
    folder: StateFolder,
) -> None:
    with pytest.raises(NotHereError, match="does not run: start it"):
        say(folder, "transfer", "owner", "invoices", "--move-to", "node-2")
    each = VALID["transfers/invoices.yaml"] + "ownership: each\n"
    confirm(folder, VALID | {"transfers/invoices.yaml": each})
    with running(folder), pytest.raises(ConfigError, match="runs invoices for itself"):
        say(folder, "transfer", "owner", "invoices", "--move-to", "node-2")
    assert moves(folder).all() == {}


def test_a_damaged_word_is_taken_away_and_storage_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "moves").mkdir()
    (tmp_path / "moves" / "t.json").write_text("{", encoding="utf-8")
    (tmp_path / "moves" / ".t.json.tmp").write_text("{", encoding="utf-8")
    assert Moves(tmp_path).all() == {}
    assert not (tmp_path / "moves" / "t.json").exists()
    assert not Moves(tmp_path).take(T)
    (tmp_path / "file").write_text("", encoding="utf-8")
    broken = Moves(tmp_path / "file")
    word = Move(to=TWO, by="b", member="m", at="now")
    for call in (
        broken.all,
        lambda: broken.read(T),
        lambda: broken.take(T),
        lambda: broken.leave(T, word),
    ):
        with pytest.raises(StateUnavailableError, match="members' storage is mounted"):
            call()


# With real members


@dataclass
class Site:
    """Members over one files root."""

    root: Path
    ttl_s: float = 300.0  # so that nothing waits for its end
    members: dict[str, Outbound] = field(default_factory=dict)
    active: dict[str, Generation] = field(default_factory=dict)
    events: list[tuple[str, EventName, Any]] = field(default_factory=list)

    def add(self, name: str, *transfers: Transfer) -> Outbound:
        def record(event: EventName, **rest: Any) -> None:
            told = rest.get("each") or [rest.get("facts") or {}]
            self.events.extend((name, event, facts) for facts in told)

        made = lone_node(self.root, name, record)
        made.start()
        self.members[name] = made
        self.apply(name, *transfers)
        return made

    def apply(self, name: str, *transfers: Transfer) -> None:
        here, there = LocationName("here"), LocationName("there")
        wanted = Generation(
            cluster=Cluster(name="c", lease_ttl_s=self.ttl_s),
            member=Member(name=MemberName(name), role=Role.NODE),
            members={each: Member(name=each, role=Role.NODE) for each in (ONE, TWO)},
            locations={
                here: LocalLocation(name=here, path="here"),
                there: LocalLocation(name=there, path="there"),
            },
            transfers={each.name: each for each in transfers},
            declared=frozenset({T, U}),
        )
        steps = plan(self.active.get(name), wanted)
        self.members[name].apply(
            self.members[name].prepare(steps, wanted, fresh=True), revision=Revision("a" * 40)
        )
        self.active[name] = wanted

    def two(self, *, trigger: Trigger | None = None) -> Transfer:
        """Start two members, of which the first owns the transfer, and both see each other.

        Each wants one that it does not own: so each looks often, however long the ttl is.
        """
        made = transfer(trigger)
        self.add("one", made)
        self.add("two", OTHER)
        until(lambda: self.owners() == ["one"] and self.owners(U) == ["two"])
        self.apply("one", made, OTHER)
        self.apply("two", made, OTHER)
        until(lambda: all(len(each.standings()) == 2 for each in self.members.values()))
        return made

    def owners(self, name: TransferName = T) -> list[str]:
        taken = self.told(EventName.OWNERSHIP_TAKEN)
        return [by for by, facts in taken if facts["transfer"] == name]

    def told(self, event: EventName) -> list[tuple[str, Any]]:
        return [(by, facts) for by, each, facts in self.events if each is event]

    def until_owners(self, *names: str) -> None:
        def look() -> bool:
            for member in self.members.values():
                member.status()
            return self.owners() == list(names)

        until(look)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(root=tmp_path)
    yield made
    for member in made.members.values():
        member.stop()


def transfer(trigger: Trigger | None = None) -> Transfer:
    return Transfer(
        name=T,
        source=Source(location=LocationName("here"), stable_s=0.0),
        destination=Destination(location=LocationName("there")),
        trigger=trigger or CronTrigger(expression="0 0 1 1 *"),
        prefer=(ONE,),
    )


OTHER = replace(transfer(), name=U, prefer=(TWO,))


def test_the_owner_takes_the_word_and_the_transfer_stays_where_it_was_moved_to(site: Site) -> None:
    site.two()
    Moves(site.root / ".mftgit").leave(T, Move(to=TWO, by="ann", member="two", at="now"))
    site.until_owners("one", "two")
    words = "an operator moved it to two"
    until(lambda: site.told(EventName.OWNERSHIP_LOST))  # the lease was given back before
    assert [facts["reason"] for _, facts in site.told(EventName.OWNERSHIP_LOST)] == [words]
    assert site.told(EventName.OWNERSHIP_TAKEN)[-1][1]["reason"] == words
    assert Moves(site.root / ".mftgit").all() == {}
    seen, _ = site.members["two"].status()
    assert (seen.owner, seen.moved) == ("two", "an operator moved it to two")
    assert seen.since is not None
    assert site.members["two"].renewed_at is not None
    until(lambda: site.members["one"].status()[0].owner == "two")
    seen, _ = site.members["one"].status()
    assert (seen.moved, seen.since is not None) == ("an operator moved it to two", True)
    Moves(site.root / ".mftgit").leave(T, Move(to=ONE, by="ann", member="two", at="now"))
    site.until_owners("one", "two", "one")


def test_a_word_for_who_gave_it_up_brings_it_back_before_its_time(site: Site) -> None:
    site.ttl_s = 10.0
    site.two()
    keeper = site.members["one"]._owning.keeper
    assert keeper is not None
    keeper.failed(T, "no route", cool_down_s=3600)
    site.until_owners("one", "two")
    until(lambda: T in site.members["two"].standings()[ONE].aside)
    Moves(site.root / ".mftgit").leave(T, Move(to=ONE, by="ann", member="two", at="now"))
    site.until_owners("one", "two", "one")


def test_a_word_about_a_member_that_is_not_there_is_dropped(site: Site) -> None:
    site.two()
    words = Moves(site.root / ".mftgit")
    words.leave(T, Move(to=MemberName("three"), by="ann", member="two", at="now"))
    site.until_owners("one")
    until(lambda: not words.all() or not site.members["one"].status())
    assert site.owners() == ["one"]


def test_a_drained_member_hands_over_without_waiting_for_a_session_to_end(site: Site) -> None:
    site.two()
    site.members["one"].drain(on=True)
    site.until_owners("one", "two")  # with a ttl of 300 s
    until(lambda: site.told(EventName.OWNERSHIP_LOST))  # the lease was given back before
    assert site.members["one"].drained
    ((_, lost),) = site.told(EventName.OWNERSHIP_LOST)
    assert lost["reason"] == "one was drained"


def test_a_member_that_active_on_leaves_out_releases_at_once(site: Site) -> None:
    made = site.two()
    elsewhere = replace(made, active_on=ActiveOn(members=frozenset({TWO})), prefer=())
    site.apply("two", elsewhere, OTHER)
    site.apply("one", OTHER)
    site.until_owners("one", "two")


def test_it_is_the_same_where_the_owner_learns_of_it_first(site: Site) -> None:
    made = site.two(trigger=WatchTrigger(every_s=0.2))
    site.apply("one", OTHER)
    elsewhere = replace(made, active_on=ActiveOn(members=frozenset({TWO})), prefer=())
    site.apply("two", elsewhere, OTHER)
    site.until_owners("one", "two")


def test_a_member_that_was_removed_releases_at_once(site: Site) -> None:
    site.two()
    site.members["one"].stand_down()
    site.until_owners("one", "two")
