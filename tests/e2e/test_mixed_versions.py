"""A cluster in which one node is older than the rest: it says so, runs on, and follows once it is upgraded."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, cluster, sub

import mftgit
from mftgit.model.documents.schema_version import KNOWN
from mftgit.resources import load_schemas

SCHEMAS = Path(__file__).parents[2] / "schemas"
FIRST = {
    "cluster.yaml": "name: c\npoll_s: 1\n",
    "members/controller.yaml": "role: controller\n",
    "members/node-1.yaml": "role: node\n",
    "members/node-2.yaml": "role: node\n",
}


@pytest.fixture
def later(tmp_path: Path) -> tuple[str, str]:
    """Return the words that start the mftgit to come: its schemas know more, and it calls itself otherwise."""
    package = tmp_path / "later" / "mftgit"
    shutil.copytree(Path(mftgit.__file__).parent, package)
    for name in ("schemas", "hooks", "sample_config_repo"):
        source = SCHEMAS.parent / name.replace("_", "-")
        shutil.copytree(source, package / name, dirs_exist_ok=True)
    schema = load_schemas()["cluster"]
    schema["properties"]["motto"] = {"type": "string"}
    (package / "schemas/cluster.schema.json").write_text(json.dumps(schema), encoding="utf-8")
    for file, pattern, text in (
        ("__init__.py", r'__version__ = ".*"', '__version__ = "77.0.0"'),
        ("model/documents/schema_version.py", r"KNOWN: Final = \d+", f"KNOWN: Final = {KNOWN + 1}"),
    ):
        content = (package / file).read_text(encoding="utf-8")
        (package / file).write_text(sub(content, pattern, text), encoding="utf-8")
    return "env", f"PYTHONPATH={package.parent}"


@pytest.fixture
def mixed(tmp_path: Path, later: tuple[str, str]) -> Iterator[Cluster]:
    """Run a controller and node-2 of the mftgit to come, and node-1 of this one."""
    for path, content in FIRST.items():
        (tmp_path / "first" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "first" / path).write_text(content, encoding="utf-8")
    (tmp_path / "cluster").mkdir()
    with cluster(tmp_path / "cluster") as made:
        made.init(tmp_path / "first")
        made.start_controller(*later)
        made.join("node-1")
        made.join("node-2")
        made.start("node-1")
        made.start("node-2", *later)
        yield made


def test_an_older_node_refuses_what_is_written_for_a_later_version_until_it_is_upgraded(
    mixed: Cluster, later: tuple[str, str]
) -> None:
    clone = mixed.clone()
    first = mixed.git("rev-parse", "HEAD", cwd=clone).stdout.strip()
    mixed.until_active(first, "node-1", "node-2")
    text = f"{FIRST['cluster.yaml']}schema_version: {KNOWN + 1}\nmotto: on time\n"
    revision = mixed.push(clone, {"cluster.yaml": text})
    mixed.until_active(revision, "controller", "node-2")
    mixed.until("it refuses", lambda: mixed.member("node-1")["state"] == "refused")
    old = mixed.member("node-1")
    assert (old["active_revision"], old["attempted_revision"]) == (first, revision)
    told = f"cluster.yaml:3:17: written for schema version {KNOWN + 1}; this mftgit {mftgit.__version__} knows 1"
    assert told in old["reason"]
    assert "motto" not in old["reason"]
    assert mixed.running["node-1"].poll() is None
    assert mixed.stop("node-1") == 0
    mixed.start("node-1", *later)
    mixed.until_active(revision, "node-1")
    assert mixed.member("node-1")["reason"] is None


def test_an_older_gate_refuses_what_is_written_for_a_later_version(tmp_path: Path) -> None:
    with cluster(tmp_path) as made:
        made.init()
        made.start_controller()
        ran = made.try_push(
            made.clone(), {"cluster.yaml": "name: c\nschema_version: 99\nmoon: 1\n"}
        )
        assert ran.returncode != 0
        assert "written for schema version 99" in ran.stderr
        assert "moon" not in ran.stderr
