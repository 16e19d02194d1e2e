"""How the transfers of a member are, and their definitions, as the member's own folder has them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from config_tree import KEY, VALID
from member_folder import NODE, confirm, leave_status, make_folder, running, say, say_json
from secret_documents import make_key, sealed

from mftgit.adapters.state_folder import StateFolder
from mftgit.errors import ConfigError, TransientError
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.transfers.status import LastRun, TransferState, TransferStatus, Waiting
from mftgit.model.transfers.under_way import Side, UnderWay
from mftgit.resources import load_schemas

PLANTED = "planted-s3cret-0123456789"
NIGHTLY = (
    "source: {location: inbox, path: 'reports/{{ region }}', exclude: [draft-*], recursive: true}\n"
    "destination: {location: partner}\n"
    "trigger: {cron: {expression: 30 1 * * *, timezone: Europe/Berlin}}\n"
    "after_success: {action: archive, path: sent}\n"
    "prefer: [node-2]\n"
    "active_on: nodes\n"
)
FAILING = TransferStatus(
    name=TransferName("invoices"),
    owner=NODE,
    epoch=Epoch(3),
    state=TransferState.FAILING,
    last_run=LastRun(
        outcome="failed",
        at="2026-11-28T08:00:00.000Z",
        files=0,
        size_bytes=0,
        due_at="2026-11-28T07:58:00.000Z",
        caught_up=True,
    ),
    delivered=1234,
    reason="the server said \x1b[31m[/]no",
    retry_at="2026-11-28T08:00:10.000Z",
    waiting=Waiting(too_fresh=1, failed=2),
)
STANDBY = TransferStatus(
    name=TransferName("nightly"),
    owner=MemberName("node-2"),
    epoch=Epoch(1),
    state=TransferState.STANDBY,
    last_run=None,
    delivered=0,
)
AT = "2026-11-29T00:30:00.000Z"


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = make_folder(tmp_path)
    key = make_key(tmp_path, "node")
    made.age_key.write_bytes(key.path.read_bytes())
    partner = (
        f"type: sftp\nhost: sftp.example\nusername: acme\nhost_keys: ['{KEY}']\n"
        "auth:\n  - password: {secret: partner-password}\n  - private_key: {file: partner.key}\n"
    )
    documents = VALID | {
        "locations/partner.yaml": partner,
        "transfers/nightly.yaml": NIGHTLY,
        "transfers/off.yaml": VALID["transfers/invoices.yaml"] + "enabled: false\n",
        "transfers/other.yaml": NIGHTLY.replace("active_on: nodes", "active_on: [node-2]"),
        "secrets/partner-password.yaml": sealed("partner-password", PLANTED, key),
    }
    for name in ("node-1", "node-2"):
        documents[f"members/{name}.yaml"] += f"age_recipient: {key.public}\n"
    confirm(made, documents)
    leave_status(made, FAILING, STANDBY, nightly=AT)
    return made


def told(folder: StateFolder, *words: str) -> Any:
    found = say_json(folder, "transfer", *words)
    schema = load_schemas()[f"output-transfer-{words[0]}"]
    jsonschema.Draft202012Validator(schema).validate(found)
    return found


def test_the_list_has_owner_state_next_firing_and_what_waits(folder: StateFolder) -> None:
    with running(folder):
        found = told(folder, "list")
    assert (found["member"], found["running"]) == ("node-1", True)
    failing, standby = found["transfers"]
    assert (failing["owner"], failing["state"], failing["next_at"]) == ("node-1", "failing", None)
    assert failing["waiting"] == {"too_fresh": 1, "failed": 2}
    assert (standby["owner"], standby["next_at"]) == ("node-2", AT)


def test_people_see_why_it_fails_and_when_it_is_tried_again(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with running(folder):
        text = say(folder, "transfer", "list").stdout
    assert "does not run" not in text
    assert "2 failed" in text
    joined = " ".join(text.split())
    assert "invoices: the server said \\x1b[31m[/]no (tried again at 2026-11-28T08:00:10.000Z)" in (
        joined
    )


def test_people_see_that_a_run_was_caught_up_and_when_it_was_due(folder: StateFolder) -> None:
    run = told(folder, "show", "invoices")["status"]["last_run"]
    assert (run["due_at"], run["caught_up"]) == ("2026-11-28T07:58:00.000Z", True)
    text = say(folder, "transfer", "show", "invoices").stdout
    assert "0 files, 0 B, caught up from 2026-11-28T07:58:00.000Z" in text


def test_a_member_that_does_not_run_tells_what_it_said_last_and_no_next_firing(
    folder: StateFolder,
) -> None:
    found = told(folder, "list")
    assert (found["running"], found["transfers"][1]["next_at"]) == (False, None)
    assert (
        "node-1 does not run: this is what it said last" in say(folder, "transfer", "list").stdout
    )
    folder.status.unlink()
    assert told(folder, "list")["transfers"] == []
    assert "it has never run" in say(folder, "transfer", "list").stdout
    folder.status.write_text('{"next_firings": 3}', encoding="utf-8")
    assert told(folder, "list")["transfers"] == []


def test_a_transfer_is_shown_as_this_member_runs_it_and_without_a_secret(
    folder: StateFolder,
) -> None:
    with running(folder):
        found = told(folder, "show", "nightly")
        text = say(folder, "transfer", "show", "nightly").stdout
    definition = found["definition"]
    assert definition["source"]["path"] == "reports/emea"
    assert definition["source"]["location"] == {"name": "inbox", "type": "local", "path": "inbox"}
    assert definition["destination"]["location"]["auth"] == [
        {"password": {"secret": "partner-password"}},
        {"private_key": {"file": "partner.key"}},
    ]
    assert definition["trigger"] == {
        "cron": {
            "expression": "30 1 * * *",
            "timezone": "Europe/Berlin",
            "catch_up_s": 3600.0,
        }
    }
    assert (found["status"]["next_at"], found["status"]["owner"]) == (AT, "node-2")
    for word in (
        "reports/emea",
        "sftp://acme@sftp.example:22",
        "30 1 * * *",
        "but for draft-*",
        AT,
    ):
        assert word in text
    assert PLANTED not in text + json.dumps(found)


@pytest.mark.parametrize("trigger", ["watch: {every_s: 2}", "interval: {every_s: 90}"])
def test_every_kind_of_trigger_is_told(folder: StateFolder, trigger: str) -> None:
    confirm(
        folder,
        VALID | {"transfers/invoices.yaml": VALID["transfers/invoices.yaml"].replace("watch: {every_s: 1}", trigger)},
    )  # fmt: skip
    assert told(folder, "show", "invoices")["definition"]["trigger"] != {}
    text = say(folder, "transfer", "show", "invoices").stdout
    assert ("looking every 2 s" if "watch" in trigger else "every 90 s") in text
    assert "the server said \\x1b[31m[/]no" in text


def test_a_transfer_that_the_member_has_not_spoken_of_yet_is_shown_all_the_same(
    folder: StateFolder,
) -> None:
    leave_status(folder)
    assert told(folder, "show", "nightly")["status"] is None
    assert "not told by the member yet" in say(folder, "transfer", "show", "nightly").stdout


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("off", "is disabled"),
        ("other", "its active_on names other members"),
        ("nothing", "there is no transfer nothing on node-1 .*here run: invoices, nightly"),
    ],
)
def test_a_transfer_that_does_not_run_here_is_told_apart(
    folder: StateFolder, name: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        say(folder, "transfer", "show", name)


def test_files_that_are_on_their_way_are_shown_with_a_bar(folder: StateFolder) -> None:
    way = UnderWay(
        path="bad\x1b[31m.csv",
        side=Side.DESTINATION,
        size_bytes=4000,
        done_bytes=1000,
        elapsed_s=1.0,
        bytes_per_s=1000.0,
        remaining_s=3.0,
    )
    leave_status(folder, replace(FAILING, state=TransferState.RUNNING, under_way=(way,)), STANDBY)
    assert told(folder, "show", "invoices")["status"]["under_way"] == [way.as_json()]
    assert told(folder, "list")["transfers"][0]["under_way"] == [way.as_json()]
    for words in (("transfer", "show", "invoices"), ("status",)):
        text = say(folder, *words).stdout
        assert "[#####...............]  25 %  1.00 kB of 4.00 kB, 1.00 kB/s, 3.00 s left" in text
        assert "bad\\x1b[31m.csv" in text
    jsonschema.Draft202012Validator(load_schemas()["output-status"]).validate(
        say_json(folder, "status")
    )


def test_a_copy_that_was_edited_is_not_taken_for_the_revision(folder: StateFolder) -> None:
    edited = folder.active / "transfers" / "nightly.yaml"
    edited.chmod(0o644)
    edited.write_text("x", encoding="utf-8")
    with pytest.raises(TransientError, match=r"was changed.*puts it right"):
        say(folder, "transfer", "show", "nightly")


def test_a_member_that_has_confirmed_nothing_has_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="confirmed no revision yet"):
        say(make_folder(tmp_path), "transfer", "show", "nightly")
