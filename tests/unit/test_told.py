"""What a member tells of names that others chose can be read by people and by programs, whatever the names are."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mftgit.adapters.events.store import EventStore
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.cli.main import run_verb
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import EventName, Fact
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.names import MemberName, TransferName
from mftgit.model.transfers.status import LastRun, TransferState, TransferStatus

NODE = MemberName("node-1")
NAME = "caf\udce9\n\x1b[2Jforged\x9b"
SHOWN = r"caf\xe9\n\x1b[2Jforged\x9b"

Told = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    """Return a node's state with an event and a status that name a strange file."""
    state = StateFolder(tmp_path / "node")
    state.prepare()
    state.write_bootstrap(
        Bootstrap(
            name=NODE,
            role=Role.NODE,
            cluster_id="c",
            controller_url="https://127.0.0.1:1",
            files_root=str(tmp_path),
        )
    )
    events = EventStore(state.events, member=NODE, now=lambda: datetime(2026, 11, 24, tzinfo=UTC))
    facts: dict[str, Fact] = {"path": NAME, "errors": [f"{NAME}: no"], "files": 3, "sha256": None}
    events.append(EventName.DELIVERY_FAILED, facts=facts)
    events.close()
    run = LastRun(outcome=f"[/]{NAME}", at="[x]", files=1, size_bytes=2)
    transfer = TransferStatus(
        name=TransferName("t"),
        owner=NODE,
        epoch=None,
        state=TransferState.IDLE,
        last_run=run,
        delivered=0,
    )
    status = MemberStatus(
        name=NODE,
        role=Role.NODE,
        state=MemberState.REFUSED,
        active_revision=None,
        attempted_revision=None,
        reason=f"first\n{NAME}",
        transfers=(transfer,),
    )
    body = {"cluster": "c", "revision": None, "member": status.as_json(last_seen_s=0)}
    state.status.write_text(json.dumps(body), encoding="utf-8")
    return state


@pytest.fixture
def told(folder: StateFolder, capfd: pytest.CaptureFixture[str]) -> Told:
    """Return what a verb prints."""

    def tell(*words: str) -> str:
        assert run_verb([*words, "--dir", str(folder.root)]) == 0
        return capfd.readouterr().out

    return tell


def test_events_in_json_tell_a_byte_that_is_not_utf_8_by_its_number(told: Told) -> None:
    (line,) = told("events", "--json").splitlines()
    event = json.loads(line)
    assert event["path"] == NAME.replace("\udce9", "\\xe9")
    assert event["errors"] == [event["path"] + ": no"]


def test_events_for_people_are_one_line_each_and_do_nothing_to_a_terminal(told: Told) -> None:
    text = told("events")
    assert text.count("\n") == 1
    assert text.strip("\n").isprintable()
    assert f"path={SHOWN.replace(chr(92) + 'n', ' ')} errors=" in text
    assert text.endswith("files=3\n")
    assert "None" not in text


def test_what_a_member_told_that_does_not_run_is_marked_as_its_last_word(told: Told) -> None:
    text = told("status")
    assert "stopped" in text
    assert "was idle" in " ".join(text.split())


def test_the_status_in_json_tells_a_byte_that_is_not_utf_8_by_its_number(told: Told) -> None:
    (member,) = json.loads(told("status", "--json"))["members"]
    assert member["reason"] == "first\ncaf\\xe9\n\x1b[2Jforged\x9b"


def test_the_status_for_people_does_nothing_to_a_terminal(told: Told) -> None:
    text = told("status")
    assert text.replace("\n", "").isprintable()
    assert r"caf\xe9" in text
    assert "[/]" in text
