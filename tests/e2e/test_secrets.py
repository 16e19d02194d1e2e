"""No secret in anything that is written."""

import re
from pathlib import Path

import pytest
from cluster import Cluster
from sshd import Sshd

pytestmark = pytest.mark.needs("sshd")

PLANTED = "planted-s3cret-" + "0123456789"


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
