"""The controller is destroyed, and made anew from a node: every member follows it, and transfers never stopped."""

import json
import re
import shlex
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
from cluster import Cluster, mftgit, mftgit_json
from node_site import ONE

from mftgit.adapters.age import Identity
from mftgit.adapters.state_folder import StateFolder
from mftgit.controller.recovery.restore import open_bundle, read_member
from mftgit.model.members.recovery import EVENTS_APART
from mftgit.resources import load_schemas

NODES = ("node-1", "node-2", "node-3")
DOCUMENTS = {
    "cluster.yaml": b"name: c\n",
    "members/controller.yaml": b"role: controller\n",
    "members/node-2.yaml": b"role: node\n",
    "members/node-3.yaml": b"role: node\n",
} | ONE


def begin(made: Cluster) -> tuple[Path, Path]:
    """Start the whole cluster; return a clone, and the file with the recovery key."""
    for path, content in DOCUMENTS.items():
        place = made.root / "documents" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    made.init(made.root / "documents")
    made.start_controller()
    for name in NODES:
        made.add_node(name)
    key = made.root / "recovery.key"
    key.write_text(made.access["recovery_key"] + "\n", encoding="utf-8")
    key.chmod(0o600)
    return made.clone(), key


def kept(made: Cluster, name: str, key: Path) -> set[str]:
    """The members whose keys are in what ``name`` keeps."""
    member = read_member(StateFolder(made.dir(name)))
    if member.kept is None:
        return set()
    rows = open_bundle(member, Identity(key)).records["members"]
    return {row["name"] for row in rows if row["public_key"]}


def deliver(made: Cluster, name: str) -> None:
    (made.files / "here").mkdir(exist_ok=True)
    (made.files / "here" / name).write_text(name, encoding="utf-8")
    made.until(f"{name} arrives", (made.files / "there" / name).exists)


def push(made: Cluster, clone: Path, changes: dict[str, str | None]) -> str:
    """Push, and push again as long as the restored controller waits for members."""
    told: list[str] = []

    def done() -> bool:
        tried = made.try_push(clone, changes)
        told.append(tried.stderr)
        assert not tried.returncode or "not settled yet" in tried.stderr, tried.stderr
        return tried.returncode == 0

    made.until("it is published", done)
    return made.git("rev-parse", "HEAD", cwd=clone).stdout.strip()


def from_page(made: Cluster, key: Path) -> list[str]:
    """The words of the command that docs/how-to/recover.md tells, with the places of this cluster."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "recover.md").read_text(
        encoding="utf-8"
    )
    (line,) = re.findall(r"^ +mftgit (controller restore .*--recovery-key.*)$", page, re.MULTILINE)
    places = {
        "/var/lib/mftgit-controller": str(made.dir("controller")),
        "/var/lib/mftgit": str(made.dir("node-2")),
        "recovery.key": str(key),
    }
    return [places.get(word, word) for word in shlex.split(line)]


def check(value: Any, name: str) -> None:
    jsonschema.Draft202012Validator(load_schemas()[f"output-{name}"]).validate(value)


def test_every_member_follows_a_controller_that_was_made_anew_from_one(empty: Cluster) -> None:
    made = empty
    clone, key = begin(made)
    ctl = made.dir("controller")
    check(
        mftgit_json("controller", "recovery-key", "--dir", ctl, cwd=made.root),
        "controller-recovery-key",
    )
    first = made.push(clone, {"locations/there.yaml": "type: local\npath: there\n# 1\n"})
    made.until_active(first, "controller", *NODES)
    everybody = {"controller", *NODES}
    made.until(
        "all keep a bundle of all",
        lambda: all(kept(made, name, key) == everybody for name in NODES),
    )
    deliver(made, "before")
    made.kill("controller")
    ctl.rename(made.dir("old"))
    deliver(made, "meanwhile")
    done = mftgit_json(*from_page(made, key), cwd=made.root)
    check(done, "controller-restore")
    assert (done["revision"], done["incarnation"], done["tokens"]) == (first, 1, {})
    assert done["members"] == list(NODES)
    made.start_controller()
    made.until_active(first, "controller", *NODES)
    second = push(made, clone, {"locations/there.yaml": "type: local\npath: there\n# 2\n"})
    made.until_active(second, "controller", *NODES)
    deliver(made, "after")
    check_events(made)
    old_one_comes_back(made, clone)
    third = push(made, clone, {"locations/there.yaml": "type: local\npath: there\n# 3\n"})
    made.until_active(third, "controller", *NODES)
    check(mftgit_json("controller", "settle", "--dir", ctl, cwd=made.root), "controller-settle")


def check_events(made: Cluster) -> None:
    """Events go on, each number once, also beside those that the controller before had."""
    before = {(each["member"], each["seq"]): each for each in made.events("old")}

    def told() -> list[dict[str, Any]]:
        return [each for each in made.events() if each["event"] == "DeliverySucceeded"]

    made.until("the last delivery is told", lambda: "after" in json.dumps(told()))
    made.until("that meanwhile is told", lambda: "meanwhile" in json.dumps(told()))
    now = made.events()
    assert max(Counter((each["member"], each["seq"]) for each in now).values()) == 1
    for each in now:
        assert before.get((each["member"], each["seq"]), each) == each
    (restored,) = [each for each in now if each["event"] == "ControllerRestored"]
    assert restored["seq"] > EVENTS_APART


def old_one_comes_back(made: Cluster, clone: Path) -> None:
    """The controller before is started in the place of the new one: nobody follows it, and it learns that."""
    made.stop("controller")
    made.start("old")
    made.until(
        "it learns that it was replaced",
        lambda: any(each["event"] == "ControllerReplaced" for each in made.events("old")),
    )
    refused = made.try_push(clone, {"locations/there.yaml": "type: local\npath: there\n# old\n"})
    assert refused.returncode != 0
    assert "this controller was replaced" in refused.stderr
    made.git("reset", "--quiet", "--hard", "HEAD~1", cwd=clone)
    made.until(
        "its own member stands down",
        lambda: made.member("controller", seen_by="old")["state"] == "removed",
    )
    deliver(made, "with the old one")
    made.stop("old")
    shutil.rmtree(made.dir("old"))
    made.start_controller()


def test_without_the_recovery_key_members_join_again_and_keep_what_they_have(
    empty: Cluster,
) -> None:
    made = empty
    clone, _key = begin(made)
    first = made.push(clone, {"locations/there.yaml": "type: local\npath: there\n# 1\n"})
    made.until_active(first, "controller", *NODES)
    made.kill("controller")
    shutil.rmtree(made.dir("controller"))
    url = made.access["url"]
    done = mftgit_json(
        "controller", "restore", made.dir("controller"), "--from-member", made.dir("node-1"),
        "--listen", f"127.0.0.1:{made.port}", cwd=made.root,
    )  # fmt: skip
    check(done, "controller-restore")
    assert done["tokens"].keys() == set(NODES)
    made.access["password"] = done["password"]
    made.start_controller()
    for name, token in done["tokens"].items():
        again = mftgit(
            "join", made.dir(name), "--again", "--controller", url, "--token", token, cwd=made.root
        )
        assert again.returncode == 0, again.stderr
    second = push(made, clone, {"locations/there.yaml": "type: local\npath: there\n# 2\n"})
    made.until_active(second, "controller", *NODES)
    followed = mftgit_json(
        "member", "follow", "--dir", made.dir("node-3"), "--controller",
        f"https://localhost:{made.port}", cwd=made.root,
    )  # fmt: skip
    check(followed, "member-follow")
    third = push(made, clone, {"locations/there.yaml": "type: local\npath: there\n# 3\n"})
    made.until_active(third, "controller", *NODES)
    deliver(made, "after")
