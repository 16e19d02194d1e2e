"""No secret in anything that is written."""

import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cluster import MFTGIT, Cluster, mftgit_json
from secret_documents import Key, make_key, sealed
from sshd import Sshd

from mftgit.resources import load_schemas

pytestmark = pytest.mark.needs("sshd")

PLANTED = "planted-s3cret-" + "0123456789"
NODES = ("node-1", "node-2")
EACH_RUN_LOGS_IN = "idle_s: 0\n"
"""A connection that was kept would go on when its login is not let in any more."""


def check(value: Any, name: str) -> None:
    jsonschema.Draft202012Validator(load_schemas()[f"output-{name}"]).validate(value)


def files_with(root: Path, secret: bytes) -> set[str]:
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and secret in path.read_bytes()
    }


def has_failed_run(made: Cluster) -> bool:
    return any(each["event"] == "RunFailed" for each in made.events())


def test_a_planted_password_is_found_only_where_it_was_planted(
    running: Cluster, partner: Sshd
) -> None:
    # The password is tried first and refused by the partner; then the key opens.
    for name in ("node-1", "node-2"):
        planted = running.dir(name) / "secrets" / "partner.password"
        planted.touch(mode=0o600)
        planted.write_text(PLANTED + "\n", encoding="utf-8")
    clone = running.clone()
    location = (clone / "locations" / "partner.yaml").read_text(encoding="utf-8")
    both = "auth:\n  - password: {file: partner.password}\n  - private_key: {file: partner.key}\n"
    both += EACH_RUN_LOGS_IN
    changed = re.sub(r"(?s)auth:\n.*", both, location)
    running.push(clone, {"locations/partner.yaml": changed})
    running.until_active(running.status()["revision"], "node-1", "node-2")
    (running.files / "inbox" / "a.csv").write_text("x", encoding="utf-8")
    running.until("it is delivered", (partner.folder / "incoming" / "a.csv").exists)
    # And a run in which every way of logging in fails.
    (partner.secrets_dir.parent / "authorized_keys").write_text("", encoding="utf-8")
    (running.files / "inbox" / "b.csv").write_text("x", encoding="utf-8")
    running.until("a run fails", lambda: has_failed_run(running))
    # An operator's password, right and wrong; a join token; a plaintext secret in a document.
    running.git("ls-remote", running.url, password=PLANTED)
    refused = running.try_push(
        clone, {"locations/partner.yaml": changed.replace("{file: partner.password}", PLANTED)}
    )
    assert refused.returncode != 0
    assert "plaintext" in refused.stderr
    assert PLANTED not in refused.stderr
    running.status()
    for name in ("controller", "node-1", "node-2"):
        running.stop(name)

    places = files_with(running.root, PLANTED.encode())
    allowed = {"node-1/secrets/partner.password", "node-2/secrets/partner.password"}
    assert {each for each in places if not each.startswith("clone/")} == allowed
    password = running.access["password"].encode()
    assert files_with(running.root, password) == set()
    private = re.findall(rb"-----\n(.+?)\n", (running.dir("node-1") / "member.key").read_bytes())[0]
    assert files_with(running.root, private) == {"node-1/member.key"}


def say(*words: str | Path, cwd: Path, typed: str = "") -> None:
    """Run a verb with ``typed`` on its standard input."""
    subprocess.run(
        [*MFTGIT, *map(str, words)],
        cwd=cwd,
        input=typed,
        encoding="utf-8",
        capture_output=True,
        timeout=60,
        check=True,
    )


def encrypt_what_opens_the_partner(made: Cluster, clone: Path, key: str) -> str:
    """Let the nodes log in with a password that is refused and then a key, both in the repository; return its revision.

    No file of theirs opens anything any more.
    """
    changes: dict[str, str] = {}
    for name in NODES:
        told = mftgit_json("member", "recipient", "--dir", made.dir(name), cwd=made.root)
        check(told, "member-recipient")
        path = f"members/{name}.yaml"
        text = (clone / path).read_text(encoding="utf-8")
        changes[path] = f"{text}age_recipient: {told['age_recipient']}\n"
    for name in ("controller", *NODES):
        (made.dir(name) / "secrets" / "partner.key").unlink()
    location = (clone / "locations" / "partner.yaml").read_text(encoding="utf-8")
    ways = (
        "auth:\n  - password: {secret: partner-password}\n  - private_key: {secret: partner-key}\n"
        + EACH_RUN_LOGS_IN
    )
    changes["locations/partner.yaml"] = re.sub(r"(?s)auth:\n.*", ways, location)
    for path, changed in changes.items():
        (clone / path).write_text(changed, encoding="utf-8")
    say("secret", "set", "partner-password", clone, cwd=made.root, typed=PLANTED)
    say("secret", "set", "partner-key", clone, cwd=made.root, typed=key)
    return made.push(clone, {})


def delivered(made: Cluster, partner: Sshd, name: str) -> None:
    (made.files / "inbox" / name).write_text("x", encoding="utf-8")
    made.until(f"{name} is delivered", (partner.folder / "incoming" / name).exists)


def test_what_is_encrypted_in_the_repository_opens_a_server_and_is_written_nowhere(
    running: Cluster, partner: Sshd
) -> None:
    clone = running.clone()
    key = (partner.secrets_dir / "client").read_text(encoding="utf-8")
    revision = encrypt_what_opens_the_partner(running, clone, key)
    running.until_active(revision, "controller", *NODES)
    delivered(running, partner, "a.csv")
    for process in running.running.values():
        limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="utf-8")
        assert re.search(r"(?m)^Max core file size +0 +0 ", limits)

    # Encrypted anew, it restarts nothing.
    say("secret", "rekey", "--all", clone, "--dir", running.dir("node-1"), cwd=running.root)
    revision = running.push(clone, {})
    running.until_active(revision, "controller", *NODES)
    delivered(running, partner, "b.csv")
    events = [each for name in NODES for each in running.events(name)]
    assert {each["event"] for each in events if each["revision"] == revision} & {
        "RevisionActivated", "PlanApplied",
    } == {"RevisionActivated"}  # fmt: skip

    # What says to be for the nodes and is not passes the gate; the nodes refuse it, and run on.
    document = (clone / "secrets/partner-password.yaml").read_text(encoding="utf-8")
    own = [Key(path=clone, public=each) for each in re.findall(r"- (age1\S+)", document)]
    eve = make_key(running.root, "eve")
    lie = sealed("partner-password", PLANTED, *[eve] * len(own), recorded=tuple(own))
    refused = running.push(clone, {"secrets/partner-password.yaml": lie})
    running.until(
        "the nodes refuse it",
        lambda: all(running.member(each)["state"] == "refused" for each in NODES),
    )
    for name in NODES:
        member = running.member(name)
        assert (member["state"], member["active_revision"]) == ("refused", revision)
        assert "secrets/partner-password.yaml:5:8: this member cannot read" in member["reason"]
    assert refused != revision
    delivered(running, partner, "c.csv")

    # And a run in which every way of logging in fails.
    (partner.secrets_dir.parent / "authorized_keys").write_text("", encoding="utf-8")
    (running.files / "inbox" / "d.csv").write_text("x", encoding="utf-8")
    running.until("a run fails", lambda: has_failed_run(running))
    for name in ("controller", *NODES):
        running.stop(name)
    history = running.git("log", "--all", "-p", cwd=running.dir("controller") / "repository.git")
    assert "AGE ENCRYPTED FILE" in history.stdout
    assert PLANTED not in history.stdout
    assert files_with(running.root, PLANTED.encode()) == set()
    inside = key.splitlines()[3].encode()  # the first lines are those of any key
    partners = str(partner.secrets_dir.relative_to(running.root))
    assert files_with(running.root, inside) == {f"{partners}/client"}
    for name in NODES:
        age_key = private_half(running, name)
        assert files_with(running.root, age_key.encode()) == {f"{name}/age.key"}
    restarts_without_its_key(running, revision)


def private_half(made: Cluster, name: str) -> str:
    line = (made.dir(name) / "age.key").read_text(encoding="utf-8").splitlines()[-1]
    assert line.startswith("AGE-SECRET-KEY-1")
    return line


def restarts_without_its_key(made: Cluster, revision: str) -> None:
    """A member that lost its key makes another one, and runs what needs none."""
    before, file = private_half(made, "node-2"), made.dir("node-2") / "age.key"
    file.unlink()
    made.start("node-2")
    made.until("it runs", lambda: made.member("node-2", seen_by="node-2")["state"] != "stopped")
    made.until(
        "it runs all transfers",
        lambda: made.transfer("nightly-reports", on="node-2", seen_by="node-2"),
    )
    assert made.member("node-2", seen_by="node-2")["active_revision"] == revision
    assert file.stat().st_mode & 0o777 == 0o600
    assert private_half(made, "node-2") != before
