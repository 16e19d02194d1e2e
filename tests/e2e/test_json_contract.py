"""What ``--json`` prints is what its schema says."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
from cluster import Cluster, copy_sample, mftgit, mftgit_json, sub
from git_cli import commit, git_ok

from mftgit.resources import load_schemas


def check(value: Any, name: str) -> None:
    jsonschema.Draft202012Validator(load_schemas()[f"output-{name}"]).validate(value)


def test_every_schema_of_an_output_is_a_schema_and_its_examples_hold() -> None:
    outputs = {
        name: schema for name, schema in load_schemas().items() if name.startswith("output-")
    }
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].glob("*/test_*.py")
    )
    for name, schema in outputs.items():
        words = (f'"{name.removeprefix("output-")}"', f'"{name.rpartition("-")[2]}"')
        assert any(word in tests for word in words), f"nothing is held against {name}"
        jsonschema.Draft202012Validator.check_schema(schema)
        for example in schema["examples"]:
            jsonschema.Draft202012Validator(schema).validate(example)


def check_status(made: Cluster, *names: str) -> None:
    for name in names:
        check(mftgit_json("status", "--dir", made.dir(name), cwd=made.root), "status")


def has_happened(made: Cluster, event: str) -> bool:
    return any(each["event"] == event for each in printed_events(made, "node-1"))


def check_transfers(made: Cluster) -> None:
    node = made.dir("node-1")

    def has_a_firing() -> bool:
        found = mftgit_json("transfer", "list", "--dir", node, cwd=made.root)
        check(found, "transfer-list")
        assert found["running"]
        return any(each["next_at"] for each in found["transfers"])

    made.until("it says when it fires", has_a_firing)
    made.until("its copy is there", (node / "active.json").exists)
    for verb in ("show", "run", "pause", "resume"):
        told = mftgit_json("transfer", verb, "invoices", "--dir", node, cwd=made.root)
        check(told, f"transfer-{verb}")
    made.until("it ran", lambda: has_happened(made, "OrderCarriedOut"))


def printed_events(made: Cluster, name: str) -> list[dict[str, Any]]:
    done = mftgit("events", "--dir", made.dir(name), "--json", cwd=made.root)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_output_is_as_documented(empty: Cluster) -> None:
    ctl = empty.dir("controller")
    empty.init(copy_sample(empty.root / "documents"))
    check(empty.access, "controller-init")
    check_status(empty, "controller")  # before it ever ran
    empty.start_controller()
    check(mftgit_json("operator", "add", "alice", "--dir", ctl, cwd=empty.root), "operator-add")
    role = mftgit_json("operator", "role", "alice", "propose", "--dir", ctl, cwd=empty.root)
    check(role, "operator-role")
    totp = mftgit_json("operator", "totp", "alice", "--dir", ctl, cwd=empty.root)
    check(totp, "operator-totp")
    check(mftgit_json("operator", "list", "--dir", ctl, cwd=empty.root), "operator-list")
    check(
        mftgit_json("operator", "remove", "alice", "--dir", ctl, cwd=empty.root), "operator-remove"
    )
    added = mftgit_json("member", "add", "node-1", "--dir", ctl, cwd=empty.root)
    check(added, "member-add")
    check_status(empty, "controller")  # with a member that has not joined
    joined = mftgit_json(
        "join", empty.dir("node-1"), "--controller", empty.access["url"], "--token", added["token"],
        "--files-root", empty.files, cwd=empty.root,
    )  # fmt: skip
    check(joined, "join")
    key = empty.dir("node-1") / "secrets" / "partner.key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    empty.start("node-1")
    empty.until_active(empty.status()["revision"], "controller", "node-1")
    empty.until("it owns", lambda: empty.owner("invoices", among=["node-1"]))
    check_status(empty, "controller", "node-1")
    check_transfers(empty)
    rotated = mftgit_json("member", "rotate-key", "--dir", empty.dir("node-1"), cwd=empty.root)
    check(rotated, "member-rotate-key")
    for verb in ("suspend", "resume", "drain"):
        check(mftgit_json(verb, "--dir", empty.dir("node-1"), cwd=empty.root), "order")
    empty.until("it is drained", lambda: empty.member("node-1")["drain"] == "drained")
    check_status(empty, "controller")
    check(mftgit_json("drain", "--end", "--dir", empty.dir("node-1"), cwd=empty.root), "order")
    for verb in ("status", "pause", "resume", "promote"):
        check(mftgit_json("rollout", verb, "--dir", ctl, cwd=empty.root), f"rollout-{verb}")
    check(mftgit_json("member", "list", "--dir", ctl, cwd=empty.root), "member-list")
    mftgit_json("member", "add", "node-2", "--dir", ctl, cwd=empty.root)
    check(mftgit_json("member", "remove", "node-2", "--dir", ctl, cwd=empty.root), "member-remove")
    authority = mftgit_json("controller", "rotate-ca", "--dir", ctl, cwd=empty.root)
    check(authority, "controller-rotate-ca")
    events = printed_events(empty, "controller")
    assert {each["member"] for each in events} == {"controller", "node-1"}
    for each in [*events, *printed_events(empty, "node-1")]:
        check(each, "event")
    assert empty.status()["cluster"] == "acme-bank"


def test_validate_says_what_the_gate_says(empty: Cluster) -> None:
    documents = copy_sample(empty.root / "documents")
    valid = mftgit_json("validate", documents, cwd=empty.root)
    check(valid, "validate")
    assert valid == {"valid": True, "problems": []}
    text = (documents / "transfers" / "invoices.yaml").read_text(encoding="utf-8")
    broken = {"transfers/invoices.yaml": text + "retries: many\n"}
    (documents / "transfers" / "invoices.yaml").write_text(
        broken["transfers/invoices.yaml"], encoding="utf-8"
    )
    done = mftgit("validate", documents, "--json", cwd=empty.root)
    assert done.returncode == 2
    found = json.loads(done.stdout)
    check(found, "validate")
    (problem,) = found["problems"]
    assert problem["file"] == "transfers/invoices.yaml"
    empty.init(copy_sample(empty.root / "good"))
    empty.start_controller()
    refused = empty.try_push(empty.clone(), broken)
    place = f"{problem['file']}:{problem['line']}:{problem['column']}"
    assert place in refused.stderr
    assert problem["message"] in refused.stderr


def test_a_clone_is_validated_with_what_git_would_take_along(empty: Cluster) -> None:
    empty.init()
    empty.start_controller()
    clone = empty.clone()
    (clone / ".gitignore").write_text("locations/local-notes.yaml\n", encoding="utf-8")
    (clone / "locations").mkdir()
    (clone / "locations" / "local-notes.yaml").write_text("nonsense: [", encoding="utf-8")
    assert mftgit("validate", clone, cwd=empty.root).returncode == 0
    (clone / "locations" / "new.yaml").write_text("type: nonsense\n", encoding="utf-8")
    assert mftgit("validate", ".", cwd=clone).returncode == 2


def test_the_hooks_tell_what_became_of_them_as_documented(tmp_path: Path) -> None:
    git_ok(tmp_path, "init", "--quiet")
    for state in ("installed", "unchanged"):
        told = mftgit_json("hooks", "install", cwd=tmp_path)
        check(told, "hooks-install")
        assert {each["state"] for each in told["hooks"]} == {state}
    (tmp_path / ".git/hooks/pre-push").write_text("#!/bin/sh\n", encoding="utf-8")
    told = mftgit_json("hooks", "remove", cwd=tmp_path)
    check(told, "hooks-remove")
    assert [each["state"] for each in told["hooks"]] == ["removed", "foreign"]


def test_what_a_clone_tells_of_its_revisions_is_as_documented(tmp_path: Path) -> None:
    clone = copy_sample(tmp_path / "clone")
    git_ok(clone, "init", "--quiet", "--initial-branch", "main")
    commit(clone, {}, "Begin")
    git_ok(clone, "update-ref", "refs/remotes/origin/main", "HEAD")
    check(mftgit_json("log", cwd=clone), "log")  # without the members' refs
    git_ok(clone, "update-ref", "refs/members/node-1/active", "HEAD")
    told = mftgit_json("log", cwd=clone)
    check(told, "log")
    assert told["revisions"][0]["members"] == ["node-1"]
    check(mftgit_json("diff", cwd=clone), "diff")  # which changes nothing
    location = (clone / "locations" / "partner.yaml").read_text(encoding="utf-8")
    location = sub(location, r"(?m)^host: .*$", 'host: "{{ region }}.example"')
    location = sub(location, r"private_key:", "password:")
    (clone / "locations" / "partner.yaml").write_text(location, encoding="utf-8")
    (clone / "members" / "node-3.yaml").write_text(
        "role: node\nvariables: {region: eu}\n", encoding="utf-8"
    )
    told = mftgit_json("diff", "--member", "node-9", cwd=clone)
    check(told, "diff")  # with problems
    assert told["members"][0]["problems"]
    told = mftgit_json("diff", cwd=clone)
    check(told, "diff")
    assert [each["presence"] for each in told["members"]] == ["stays", "stays", "stays", "comes"]


def test_validate_tells_what_runs_on_a_member(tmp_path: Path) -> None:
    documents = copy_sample(tmp_path / "documents")
    done = mftgit("validate", documents, "--member", "node-1", cwd=tmp_path)
    assert done.returncode == 0
    assert "runs transfer invoices" in done.stdout
    done = mftgit("validate", documents, "--member", "controller", cwd=tmp_path)
    assert "invoices" not in done.stdout


def test_colours_vanish_when_the_output_is_piped(tmp_path: Path) -> None:
    done = mftgit("validate", copy_sample(tmp_path / "documents"), cwd=tmp_path)
    assert "\x1b" not in done.stdout + done.stderr
