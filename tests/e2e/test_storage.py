"""Members that do not share their storage, as their controller and an operator see them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cluster import Cluster, mftgit, mftgit_json
from odd_storage import odd_storage
from small_cluster import FIRST

from mftgit.resources import load_schemas

ONE, TWO = "node-1", "node-2"


def begin(made: Cluster) -> None:
    """Run a controller with one transfer that is for the nodes."""
    more = {
        "cluster.yaml": b"name: c\ncoordinator: {type: shared-folder, ttl_s: 2}\n",
        "members/node-2.yaml": b"role: node\n",
    }
    for path, content in (FIRST | more).items():
        place = made.root / "documents" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    made.init(made.root / "documents")
    made.start_controller()


def move_files(made: Cluster, name: str, files: Path) -> None:
    """Let a member that does not run see its files root elsewhere, as with another mount."""
    place = made.dir(name) / "bootstrap.json"
    told = json.loads(place.read_bytes())
    place.write_text(json.dumps({**told, "files_root": str(files)}), encoding="utf-8")


def storage(made: Cluster, name: str) -> dict[str, Any]:
    found: dict[str, Any] | None = made.member(name)["storage"]
    return found or {}


def test_a_member_with_storage_of_its_own_is_named_and_owns_nothing_once_it_is_moved(
    empty: Cluster,
) -> None:
    begin(empty)
    empty.add_node(ONE)
    empty.join(TWO, files=empty.root / "elsewhere")
    empty.start(TWO)
    empty.until("the controller names both", lambda: empty.status()["divided"])
    (words,) = empty.status()["divided"]
    assert words.startswith(f"{ONE} and {TWO} do not share their storage")

    former = storage(empty, TWO)["id"]
    assert empty.stop(TWO) == 0
    move_files(empty, TWO, empty.files)
    empty.start(TWO)
    empty.until("it refuses the other storage", lambda: storage(empty, TWO).get("refused"))
    refused = str(storage(empty, TWO)["refused"])
    assert f"this member knows the storage {former}" in refused
    assert all(each["owner"] != TWO for each in empty.member(TWO)["transfers"])
    assert empty.status()["divided"] == []
    told = mftgit("status", "--dir", empty.dir(TWO), cwd=empty.root).stdout
    assert f"{TWO}: owns nothing: " in told

    accepted = mftgit_json("member", "accept-storage", "--dir", empty.dir(TWO), cwd=empty.root)
    schema = load_schemas()["output-member-accept-storage"]
    jsonschema.Draft202012Validator(schema).validate(accepted)
    assert accepted == {"name": TWO, "storage": storage(empty, ONE)["id"], "former": former}
    empty.until(
        "they see each other",
        lambda: all({ONE, TWO} <= set(storage(empty, each)["sees"]) for each in (ONE, TWO)),
    )
    assert storage(empty, TWO)["refused"] is None
    assert empty.status()["divided"] == []


@pytest.mark.needs("fusermount3")
def test_a_node_whose_storage_is_slow_by_two_seconds_answers_and_ends(empty: Cluster) -> None:
    begin(empty)
    with odd_storage(empty.files, empty.root / "mounted") as mounted:
        empty.join(ONE, files=mounted.folder)
        empty.start(ONE)
        empty.until("it owns", lambda: empty.owner("one", among=[ONE]) == ONE)
        mounted.be(slow_s=2.0)
        empty.until("it owns nothing", lambda: empty.owner("one", among=[ONE]) is None)
        told = mftgit("status", "--dir", empty.dir(ONE), cwd=empty.root)
        assert (told.returncode, told.stderr) == (0, "")
        assert empty.stop(ONE) == 0
