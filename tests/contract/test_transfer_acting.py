"""What an operator does with transfers on a member: run, pause, resume."""

import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from config_tree import VALID
from controller_site import controller_site
from member_folder import NODE, confirm, leave_status, make_folder, running, say, say_json
from node_site import ONE, TRANSFER, started
from waiting import until

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.orders import give_order
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.member.kept import read_orders
from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.member.outbound.records.pauses import Pauses
from mftgit.model.events.event import EventName
from mftgit.model.members.orders import Verb
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.transfers.status import TransferState, TransferStatus
from mftgit.model.transfers.under_way import Side, UnderWay
from mftgit.resources import load_schemas

INVOICES = TransferName("invoices")
OURS = TransferStatus(
    name=INVOICES,
    owner=NODE,
    epoch=Epoch(1),
    state=TransferState.IDLE,
    last_run=None,
    delivered=0,
)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = make_folder(tmp_path)
    confirm(
        made,
        VALID | {"transfers/other.yaml": VALID["transfers/invoices.yaml"].replace("nodes", "[node-2]")},
    )  # fmt: skip
    leave_status(made, OURS)
    return made


@pytest.fixture
def woken() -> Iterator[list[int]]:
    """Count the signals with which a member is woken, which is this process here."""
    got: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: got.append(number))
    yield got
    signal.signal(signal.SIGHUP, before)


def told(folder: StateFolder, *words: str) -> Any:
    found = say_json(folder, "transfer", *words)
    schema = load_schemas()[f"output-transfer-{words[0]}"]
    jsonschema.Draft202012Validator(schema).validate(found)
    return found


def events(folder: StateFolder) -> list[tuple[EventName, Any]]:
    store = EventStore(folder.events, member=NODE, now=SystemClock().now)
    with closing(store):
        return [(each.event, each.facts["transfer"]) for _, each in store.after(0)]


def pauses(folder: StateFolder) -> Pauses:
    return Pauses(folder.root.parent / "files" / ".mftgit")


def test_a_pause_lasts_until_it_is_resumed_and_is_told_once(
    folder: StateFolder, woken: list[int]
) -> None:
    with running(folder):
        assert told(folder, "pause", "invoices")["changed"]
    assert woken == [signal.SIGHUP]
    assert not told(folder, "pause", "invoices")["changed"]
    assert "paused by" in say(folder, "transfer", "pause", "invoices").stdout
    found = pauses(folder).read(INVOICES)
    assert found is not None
    assert found.member == "node-1"
    leave_status(folder, replace(OURS, paused=found))
    assert told(folder, "list")["transfers"][0]["paused"] == found.as_json()
    for verb in ("list", "show invoices"):
        text = say(folder, "transfer", *verb.split()).stdout
        assert "idle, paused" in " ".join(text.split())
        assert "on node-1 at" in " ".join(text.split())
    assert told(folder, "resume", "invoices") == {
        "transfer": "invoices",
        "paused": False,
        "changed": True,
    }
    assert pauses(folder).read(INVOICES) is None
    assert "is not paused" in say(folder, "transfer", "resume", "invoices").stdout
    say(folder, "transfer", "pause", "invoices")
    assert "goes on" in say(folder, "transfer", "resume", "invoices").stdout
    names = [EventName.TRANSFER_PAUSED, EventName.TRANSFER_RESUMED]
    assert events(folder) == [(name, "invoices") for name in names * 2]


def test_a_transfer_of_other_members_can_be_paused_here_and_one_that_is_none_cannot(
    folder: StateFolder,
) -> None:
    assert told(folder, "pause", "other")["changed"]
    for verb in ("pause", "resume"):
        with pytest.raises(ConfigError, match="there is no transfer nothing"):
            say(folder, "transfer", verb, "nothing")


def test_a_pause_of_a_transfer_that_is_gone_can_be_ended(folder: StateFolder) -> None:
    told(folder, "pause", "other")
    confirm(folder, VALID)
    assert told(folder, "resume", "other")["changed"]


def test_storage_that_does_not_take_a_pause_is_told(folder: StateFolder) -> None:
    (folder.root.parent / "files").write_text("no folder", encoding="utf-8")
    with pytest.raises(StateUnavailableError, match="members' storage is mounted"):
        say(folder, "transfer", "pause", "invoices")
    assert events(folder) == []


def test_the_owner_is_ordered_to_run_a_transfer(folder: StateFolder, woken: list[int]) -> None:
    with running(folder):
        assert told(folder, "run", "invoices") == {"member": "node-1", "transfer": "invoices"}
        assert "runs invoices now" in say(folder, "transfer", "run", "invoices").stdout
    assert len(woken) == 2
    given = read_orders(folder.orders).given
    assert {(each.verb, each.transfer) for each in given} == {(Verb.RUN_TRANSFER, INVOICES)}


def test_the_owner_is_ordered_to_end_a_run_and_it_is_told_what_that_is_at(
    folder: StateFolder, woken: list[int]
) -> None:
    way = UnderWay(
        path="big.csv",
        side=Side.SOURCE,
        size_bytes=10,
        done_bytes=5,
        elapsed_s=1.0,
        bytes_per_s=5.0,
        remaining_s=1.0,
    )
    leave_status(folder, replace(OURS, state=TransferState.RUNNING, under_way=(way,)))
    with running(folder):
        found = told(folder, "stop", "invoices")
        jsonschema.validate(found, load_schemas()["output-transfer-stop"])
        assert found["under_way"] == [way.as_json()]
        said = say(folder, "transfer", "stop", "invoices").stdout
    assert "ends the run of invoices" in said
    assert "50 %" in said
    assert len(woken) == 2
    assert {each.verb for each in read_orders(folder.orders).given} == {Verb.STOP_RUN}


def test_where_no_run_is_under_way_none_is_ended(folder: StateFolder) -> None:
    leave_status(folder, replace(OURS, state=TransferState.IDLE))
    with running(folder), pytest.raises(MftgitError, match="no run of invoices is under way"):
        say(folder, "transfer", "stop", "invoices")
    assert read_orders(folder.orders).given == ()


@pytest.mark.parametrize(
    ("status", "kind", "why"),
    [
        (replace(OURS, owner=MemberName("node-2")), MftgitError, "owned by node-2, not by node-1"),
        (replace(OURS, owner=None), TransientError, "nobody owns the transfer invoices just now"),
        (replace(OURS, state=TransferState.ENDING), ConfigError, "not configured any more"),
        (replace(OURS, name=TransferName("x")), ConfigError, "no transfer invoices; it has: x"),
    ],
)
def test_who_does_not_own_a_transfer_does_not_run_it_and_says_who_does(
    folder: StateFolder, status: TransferStatus, kind: type[MftgitError], why: str
) -> None:
    leave_status(folder, status)
    with running(folder), pytest.raises(kind, match=why):
        say(folder, "transfer", "run", "invoices")
    assert read_orders(folder.orders).given == ()


def test_a_member_that_does_not_run_and_a_transfer_that_is_paused_run_nothing(
    folder: StateFolder, woken: list[int]
) -> None:
    with pytest.raises(MftgitError, match="does not run: start it"):
        say(folder, "transfer", "run", "invoices")
    with running(folder):
        say(folder, "transfer", "pause", "invoices")
        with pytest.raises(MftgitError, match=r"paused by .* `mftgit transfer resume invoices`"):
            say(folder, "transfer", "run", "invoices")
    assert len(woken) == 1
    assert read_orders(folder.orders).given == ()


def test_a_member_carries_out_the_order_to_run_a_transfer_that_waits_for_its_time(
    tmp_path: Path,
) -> None:
    nightly = TRANSFER.replace(b"{watch: {every_s: 1}}", b"{cron: {expression: 0 0 1 1 *}}")
    with controller_site(tmp_path) as site:
        site.publish(ONE | {"transfers/one.yaml": nightly})
        node = started(site)
        until(lambda: node.outbound.status()[0].owner)
        files = site.folder.root.parent / "files"
        (files / "here").mkdir(parents=True, exist_ok=True)
        (files / "here" / "a").write_text("a", encoding="utf-8")
        give_order(node.folder, Verb.RUN_TRANSFER, transfer=TransferName("one"))
        node.look()
        until((files / "there" / "a").exists)
        (carried_out,) = node.told(EventName.ORDER_CARRIED_OUT)
        assert carried_out.facts["argument"] == "one"
        node.look()
        assert len(node.told(EventName.RUN_STARTED)) == 1  # once
        give_order(node.folder, Verb.RUN_TRANSFER, transfer=TransferName("nothing"))
        node.look()
        assert len(node.told(EventName.ORDER_CARRIED_OUT)) == 1
        (refused,) = node.told(EventName.ORDER_REFUSED)
        assert "has no transfer nothing" in str(refused.facts["reason"])
