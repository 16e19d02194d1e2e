"""Members that do not share their storage, as their controller and an operator see them."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from cluster import Cluster, mftgit, mftgit_json
from small_cluster import FIRST

from mftgit.resources import load_schemas

ONE, TWO = "node-1", "node-2"


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
    for path, content in (FIRST | {"members/node-2.yaml": b"role: node\n"}).items():
        place = empty.root / "documents" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    empty.init(empty.root / "documents")
    empty.start_controller()
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
