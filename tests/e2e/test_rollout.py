"""A roll-out on a real cluster stops by itself, and operators steer it beside the running controller."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cluster import Cluster, mftgit_json

from mftgit.resources import load_schemas

CLUSTER = "name: acme\npoll_s: 2\nrollout:\n  silence_s: 15\n  cohorts: [{name: canary, members: [node-1]}]\n"
DOCUMENTS = {
    "cluster.yaml": CLUSTER,
    "members/controller.yaml": "role: controller\n",
    "members/node-1.yaml": "role: node\n",
    "members/node-2.yaml": "role: node\n",
    "locations/here.yaml": "type: local\npath: here\n",
    "locations/there.yaml": "type: local\npath: there\n",
    "transfers/one.yaml": (
        "source: {location: here}\ndestination: {location: there}\n"
        "trigger: {watch: {every_s: 5}}\nactive_on: nodes\n"
    ),
}
WITHOUT_KEY = (
    "type: sftp\nhost: partner.invalid\nusername: acme\n"
    "host_keys: [SHA256:R2tJvYwQ0n3bXlMf8sZpKc5uHd1oEaWgT7iVyBqN4xU]\n"
    "auth: [{private_key: {file: not-there.key}}]\n"
)
EVERYBODY = ("controller", "node-1", "node-2")


def write(folder: Path) -> Path:
    for path, text in DOCUMENTS.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def made(empty: Cluster) -> Cluster:
    """A controller and two nodes that run the first revision; node-1 is the canary."""
    empty.init(write(empty.root / "documents"))
    empty.start_controller()
    for name in EVERYBODY[1:]:
        empty.add_node(name)
    empty.until_active(str(empty.status()["revision"]), *EVERYBODY)
    return empty


def rollout(made: Cluster, verb: str = "status") -> Any:
    found = mftgit_json("rollout", verb, "--dir", made.dir("controller"), cwd=made.root)
    jsonschema.Draft202012Validator(load_schemas()[f"output-rollout-{verb}"]).validate(found)
    return found


def until_it_is(made: Cluster, state: str) -> None:
    made.until(f"the roll-out is {state}", lambda: rollout(made)["state"] == state)


def active(made: Cluster, *names: str) -> set[str]:
    return {made.member(name)["active_revision"] for name in names}


def test_what_the_canary_refuses_reaches_nobody_else_and_a_push_that_mends_it_reaches_all(
    made: Cluster,
) -> None:
    clone = made.clone()
    old = made.status()["revision"]
    bad = made.push(clone, {"locations/there.yaml": WITHOUT_KEY})
    until_it_is(made, "halted")
    assert rollout(made)["revision"] == bad
    assert "not-there.key" in made.status()["rollout"]["reason"]
    made.until(
        "the others say why they wait",
        lambda: "halted: node-1" in str(made.member("node-2")["reason"]),
    )
    assert active(made, *EVERYBODY) == {old}
    assert "the roll-out is halted" in made.log("controller")
    good = made.push(clone, {"locations/there.yaml": DOCUMENTS["locations/there.yaml"]})
    made.until_active(good, *EVERYBODY)
    until_it_is(made, "done")


def test_a_canary_that_is_killed_halts_it_by_its_silence_also_over_a_kill_of_the_controller(
    made: Cluster,
) -> None:
    clone = made.clone()
    old = made.status()["revision"]
    made.kill("node-1")
    made.push(clone, {"note.md": "1\n"})
    until_it_is(made, "running")
    made.kill("controller")
    made.start_controller()
    until_it_is(made, "halted")
    assert "node-1 of the cohort canary: no outcome" in rollout(made)["reason"]
    assert active(made, "controller", "node-2") == {old}
    assert rollout(made, "abort")["state"] == "aborted"
    made.start("node-1")
    made.until(
        "the canary hears of it",
        lambda: "the roll-out is aborted" in str(made.member("node-1")["reason"]),
    )
    assert active(made, *EVERYBODY) == {old}
    made.until_active(made.push(clone, {"note.md": "2\n"}), *EVERYBODY)


def test_a_paused_roll_out_goes_on_when_it_is_resumed_and_all_take_it_when_it_is_promoted(
    made: Cluster,
) -> None:
    clone = made.clone()
    old = made.status()["revision"]
    rollout(made, "pause")
    first = made.push(clone, {"note.md": "1\n"})
    made.until(
        "everybody waits",
        lambda: all(made.member(each)["state"] == "waiting" for each in EVERYBODY),
    )
    assert active(made, *EVERYBODY) == {old}
    rollout(made, "resume")
    made.until_active(first, *EVERYBODY)
    made.kill("node-1")
    second = made.push(clone, {"note.md": "2\n"})
    until_it_is(made, "halted")
    rollout(made, "promote")
    made.until_active(second, "controller", "node-2")
