"""Who signed what runs is not trusted any more: the member says so loudly, and runs on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_site import Node, Site, controller_site
from git_cli import clone, git_ok
from node_site import ONE, deliver, started
from signing import KeyPair, make_key, signing_settings

from mftgit.model.events.event import EventName
from mftgit.model.members.messages import MemberState
from mftgit.model.names import Revision

pytestmark = pytest.mark.needs("git", "ssh-keygen")
REQUIRED = b"name: c\ntrust: {require_signatures: true}\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def push(site: Site, key: KeyPair, changes: dict[str, str]) -> Revision:
    """Commit ``changes`` signed with ``key``, and publish that past the gate."""
    work = site.folder.root.parent / "work"
    if not work.exists():
        clone(site.controller.store.path.as_uri(), work)
    for path, content in changes.items():
        (work / path).parent.mkdir(exist_ok=True)
        (work / path).write_text(content, encoding="utf-8")
    git_ok(work, "add", "--all")
    git_ok(work, *signing_settings(key), "commit", "--quiet", "--allow-empty", "-m", "x")
    git_ok(work, "push", "--quiet", "origin", "HEAD:main")
    site.controller.catch_up()
    return Revision(git_ok(work, "rev-parse", "HEAD"))


def distrusted(node: Node) -> list[Revision | None]:
    return [each.revision for each in node.told(EventName.SIGNER_DISTRUSTED)]


def test_a_revoked_signer_of_what_runs_is_told_and_the_member_runs_on(
    site: Site, tmp_path: Path
) -> None:
    ann, bob = make_key(tmp_path, "ann"), make_key(tmp_path, "bob")
    signers = ann.line("ann") + bob.line("bob")
    site.publish(ONE | {"cluster.yaml": REQUIRED, "trust/allowed_signers": signers.encode()})
    by_ann = push(site, ann, {"note.md": "by ann"})
    node = started(site)
    assert node.intake.runs == by_ann
    cluster = REQUIRED.decode().replace("true", "true, version: 1")
    broken = {"transfers/two.yaml": "nonsense"}
    revoked = {"trust/revoked_keys": ann.public + "\n", "cluster.yaml": cluster}
    push(site, bob, revoked | broken)
    node.look()  # which refuses it, and so has no word about ann yet
    assert (node.intake.state(), distrusted(node)) == (MemberState.REFUSED, [])
    (site.folder.root.parent / "work" / "transfers" / "two.yaml").unlink()
    node.folder.orders.write_text(
        '{"given": [], "suspended": true, "pin": null, "draining": false}', encoding="utf-8"
    )
    push(site, bob, {"note.md": "by bob"})
    for _ in range(2):
        node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.WAITING, by_ann)
    assert distrusted(node) == [by_ann]
    (event,) = node.told(EventName.SIGNER_DISTRUSTED)
    assert "is signed with a key that is revoked" in str(event.facts["reason"])
    deliver(site, "all the same")


def test_a_change_of_other_signers_says_nothing_of_what_runs(site: Site, tmp_path: Path) -> None:
    ann, bob = make_key(tmp_path, "ann"), make_key(tmp_path, "bob")
    site.publish(
        ONE | {"cluster.yaml": REQUIRED, "trust/allowed_signers": ann.line("ann").encode()}
    )
    push(site, ann, {"note.md": "by ann"})
    node = started(site)
    cluster = REQUIRED.decode().replace("true", "true, version: 1")
    newest = push(
        site, ann, {"trust/allowed_signers": ann.line("a") + bob.line("b"), "cluster.yaml": cluster}
    )
    node.look()
    assert (node.intake.runs, distrusted(node)) == (newest, [])
