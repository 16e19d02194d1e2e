"""A change goes its way from one person's clone through another's approval to members that check it by themselves."""

from pathlib import Path

import pytest
from cluster import Cluster, environment, mftgit, mftgit_json
from git_cli import git_ok
from signing import KeyPair, make_key

pytestmark = pytest.mark.needs("ssh-keygen")

POLICY = (
    "review: {approvals: 1, people: {ann: [ann@example.org], bob: [bob@example.org]}}\n"
    "trust: {require_signatures: true, require_approvals: 1, version: 1}\n"
)


def person(made: Cluster, name: str, key: KeyPair) -> Path:
    """Add an operator, and return a clone that logs in and signs as that one."""
    added = mftgit_json(
        "operator", "add", name, "--role", "publish", "--dir", made.dir("controller"), cwd=made.root
    )
    url = made.url.replace("https://", f"https://{name}:{added['password']}@")
    clone = made.root / f"clone-{name}"
    ca = f"http.sslCAInfo={made.access['ca_file']}"
    git_ok(made.root, "-c", ca, "clone", "--quiet", "-c", ca, url, str(clone))
    for setting, value in {
        "gpg.format": "ssh",
        "user.signingKey": str(key.file),
        "commit.gpgSign": "true",
    }.items():
        git_ok(clone, "config", setting, value)
    return clone


def as_person(made: Cluster, name: str) -> dict[str, str]:
    words = {"NAME": name, "EMAIL": f"{name}@example.org"}
    who = {f"GIT_{role}_{word}": words[word] for role in ("AUTHOR", "COMMITTER") for word in words}
    env = environment(made.home, **who)
    env.pop("GIT_SSL_CAINFO", None)
    return env


def test_a_change_is_proposed_approved_merged_and_taken_by_members_that_check_it(
    empty: Cluster, tmp_path: Path
) -> None:
    ann, bob = (make_key(tmp_path, name) for name in ("ann", "bob"))
    empty.init()
    empty.start_controller()
    empty.add_node("node-1")
    first = empty.clone()
    signers = ann.line("ann@example.org") + bob.line("bob@example.org")
    cluster = (first / "cluster.yaml").read_text(encoding="utf-8")
    policy = empty.push(first, {"cluster.yaml": cluster + POLICY, "trust/allowed_signers": signers})
    empty.until_active(policy, "controller", "node-1")
    clones = {"ann": person(empty, "ann", ann), "bob": person(empty, "bob", bob)}

    def run(who: str, *words: str, code: int = 0) -> str:
        done = mftgit(*words, cwd=clones[who], env=as_person(empty, who))
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    (clones["ann"] / "locations").mkdir(exist_ok=True)
    (clones["ann"] / "locations" / "box.yaml").write_text(
        "type: local\npath: box\n", encoding="utf-8"
    )
    git_ok(clones["ann"], "add", "--all")
    git_ok(clones["ann"], "commit", "--quiet", "--message", "Add a box")
    tip = git_ok(clones["ann"], "rev-parse", "HEAD")
    assert "main takes approved proposals only" in run("ann", "publish", code=1)
    assert "1 more approval is needed" in run("ann", "propose", "box")
    run("ann", "review", "show", "box")
    run("ann", "review", "approve", "box")  # which is his to say, and does not count
    assert "(not approved)" in run("ann", "review", "merge", "box", code=1)
    run("bob", "review", "show", "box")
    assert "signed" in run("bob", "review", "approve", "box")
    run("ann", "review", "merge", "box")
    empty.until_active(tip, "controller", "node-1")
    assert empty.status()["glass_broken"] is None
    said = [each["said"] for each in empty.events() if each["event"] == "ReviewGiven"]
    assert said == ["approve", "approve"]
