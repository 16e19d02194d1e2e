"""Signed commits on a real cluster: what the gate refuses, and what members take and refuse by themselves."""

import subprocess
from functools import partial
from pathlib import Path

import pytest
from cluster import Cluster, mftgit
from signing import KeyPair, make_key, signing_settings

pytestmark = pytest.mark.needs("ssh-keygen")

NODES = ["node-1", "node-2"]
SIGNERS = "trust/allowed_signers"


@pytest.fixture
def ann(tmp_path: Path) -> KeyPair:
    return make_key(tmp_path, "ann")


@pytest.fixture
def signing(empty: Cluster, ann: KeyPair) -> tuple[Cluster, Path]:
    """A cluster of three members that requires ann's signature, and a clone."""
    empty.init()
    empty.start_controller()
    for name in NODES:
        empty.add_node(name)
    clone = empty.clone()
    cluster = (clone / "cluster.yaml").read_text(encoding="utf-8")
    done = mftgit("trust", "add", "ann@example.org", ann.file.with_suffix(".pub"), cwd=clone)
    assert done.returncode == 0, done.stderr
    revision = empty.push(
        clone, {"cluster.yaml": f"{cluster}trust: {{require_signatures: true}}\n"}
    )
    empty.until_active(revision, "controller", *NODES)
    return empty, clone


def admitting(clone: Path, lines: str) -> dict[str, str]:
    """Return the files that admit others, under the next number."""
    cluster = (clone / "cluster.yaml").read_text(encoding="utf-8")
    number = cluster.replace("signatures: true}", "signatures: true, version: 1}")
    return {SIGNERS: lines, "cluster.yaml": number}


def is_refused(made: Cluster, name: str) -> bool:
    return bool(made.member(name)["state"] == "refused")


def sign(made: Cluster, clone: Path, key: KeyPair, changes: dict[str, str]) -> str:
    """Commit ``changes``, signed; return the revision."""
    for path, content in changes.items():
        (clone / path).write_text(content, encoding="utf-8")
    made.git("add", "--all", cwd=clone)
    done = made.git(
        *signing_settings(key), "commit", "--quiet", "--allow-empty", "-S", "-m", "x", cwd=clone
    )
    assert done.returncode == 0, done.stderr
    return made.git("rev-parse", "HEAD", cwd=clone).stdout.strip()


def test_only_signed_commits_reach_the_members_and_nobody_admits_himself(
    signing: tuple[Cluster, Path], ann: KeyPair, tmp_path: Path
) -> None:
    made, clone = signing
    eve = make_key(tmp_path, "eve")
    before = made.status()["revision"]
    refused = made.try_push(clone, {"note.md": "unsigned"})
    assert refused.returncode != 0
    assert "[remote rejected] HEAD -> main (not signed as required)" in refused.stderr
    assert "is not signed" in refused.stderr
    assert "remote: to sign: git config gpg.format ssh" in refused.stderr
    assert mftgit("trust", "verify", "origin/main..HEAD", cwd=clone).returncode == 1

    made.git("reset", "--quiet", "--hard", "origin/main", cwd=clone)
    sign(made, clone, eve, admitting(clone, ann.line() + eve.line("eve@example.org")))
    refused = made.git("push", "origin", "HEAD:main", cwd=clone)
    assert refused.returncode != 0
    assert "is signed with a key that is not allowed by trust/allowed_signers" in refused.stderr
    assert made.status()["revision"] == before
    reasons = [each["reason"] for each in made.events() if each["event"] == "PushRefused"]
    assert reasons == ["not signed as required"] * 2

    made.git("reset", "--quiet", "--hard", "origin/main", cwd=clone)
    sign(made, clone, ann, admitting(clone, ann.line() + eve.line("eve@example.org")))
    assert made.git("push", "origin", "HEAD:main", cwd=clone).returncode == 0
    revision = sign(made, clone, eve, {"note.md": "signed"})
    assert made.git("push", "origin", "HEAD:main", cwd=clone).returncode == 0
    made.until_active(revision, "controller", *NODES)


def test_a_member_refuses_what_a_controller_published_without_a_signature_and_runs_on(
    signing: tuple[Cluster, Path], ann: KeyPair
) -> None:
    made, clone = signing
    before = made.status()["revision"]
    made.stop("controller")
    (clone / "note.md").write_text("smuggled", encoding="utf-8")
    made.git("add", "--all", cwd=clone)
    made.git("commit", "--quiet", "-m", "Smuggled", cwd=clone)
    hosted = made.dir("controller") / "repository.git"
    done = made.git("push", "--quiet", hosted, "HEAD:main", cwd=clone)  # past the gate
    assert done.returncode == 0, done.stderr
    smuggled = made.git("rev-parse", "HEAD", cwd=clone).stdout.strip()
    made.start_controller()
    for name in ("controller", *NODES):
        made.until("it is refused", partial(is_refused, made, name))
        member = made.member(name)
        assert member["active_revision"] == before
        assert f"revision {smuggled[:12]} is not signed as required" in member["reason"]
    signed = sign(made, clone, ann, {"note.md": "signed"})
    made.git("push", "origin", "HEAD:main", cwd=clone)
    made.until(
        "it is refused again",
        lambda: (
            made.member("node-1")["attempted_revision"] == signed and is_refused(made, "node-1")
        ),
    )
    assert "is not signed" in made.member("node-1")["reason"]  # the smuggled one still lies between


def test_a_member_that_was_away_follows_signers_who_were_admitted_meanwhile(
    signing: tuple[Cluster, Path], ann: KeyPair, tmp_path: Path
) -> None:
    made, clone = signing
    bob = make_key(tmp_path, "bob")
    made.kill("node-2")
    sign(made, clone, ann, admitting(clone, ann.line() + bob.line("bob@example.org")))
    assert made.git("push", "origin", "HEAD:main", cwd=clone).returncode == 0
    revision = sign(made, clone, bob, {"note.md": "by bob"})
    assert made.git("push", "origin", "HEAD:main", cwd=clone).returncode == 0
    made.start("node-2")
    made.until_active(revision, "controller", *NODES)


def test_whoever_administers_the_machines_can_begin_again_when_every_key_is_lost(
    signing: tuple[Cluster, Path], tmp_path: Path
) -> None:
    made, clone = signing
    fresh = make_key(tmp_path, "fresh")
    members = ["controller", *NODES]
    for name in members:
        made.stop(name)
    revision = sign(made, clone, fresh, admitting(clone, fresh.line()))
    subprocess.run(
        ["git", "push", "--quiet", made.dir("controller") / "repository.git", "HEAD:main"],
        cwd=clone,
        check=True,
    )
    for name in members:
        (made.dir(name) / "record.json").unlink()
    made.start_controller()
    for name in NODES:
        made.start(name)
    made.until_active(revision, *members)
    revision = sign(made, clone, fresh, {"note.md": "x"})
    assert made.git("push", "origin", "HEAD:main", cwd=clone).returncode == 0
    made.until_active(revision, *members)
