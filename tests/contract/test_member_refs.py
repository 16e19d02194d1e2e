"""Where members stand is in the hosted repository, for operators to see with git."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from controller_site import NODE, NOW, Site, controller_site
from git_cli import git, git_ok

from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.tls import pki
from mftgit.controller.members.refs import MemberRefs
from mftgit.model.configuration.config import Role
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.names import MEMBERS, Revision

ACTIVE, ATTEMPTED = f"{MEMBERS}{NODE}/active", f"{MEMBERS}{NODE}/attempted"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


@pytest.fixture
def says(site: Site) -> Iterator[Callable[[str | None, str | None], dict[str, Revision]]]:
    """Let the node report, and return the refs that follow."""
    site.enrol(pki.make_identity())
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        refs = MemberRefs(registry, site.controller.store)

        def say(active: str | None, attempted: str | None = None) -> dict[str, Revision]:
            registry.report(status(active, attempted))
            refs.write()
            return dict(site.controller.store.tips(f"{MEMBERS}{NODE}"))

        yield say


def status(active: str | None, attempted: str | None = None) -> MemberStatus:
    return MemberStatus(
        name=NODE,
        role=Role.NODE,
        state=MemberState.ACTIVE,
        active_revision=Revision(active) if active else None,
        attempted_revision=Revision(attempted) if attempted else None,
        reason=None,
    )


Says = Callable[[str | None, str | None], dict[str, Revision]]


def test_refs_follow_what_a_member_says(site: Site, says: Says) -> None:
    first, second = site.publish({}), site.publish({"locations/a.yaml": b"x"})
    assert says(first, None) == {ACTIVE: first}
    assert says(first, second) == {ACTIVE: first, ATTEMPTED: second}
    assert says(second, None) == {ACTIVE: second}
    assert says(None, None) == {}


def test_what_main_does_not_have_becomes_no_ref(site: Site, says: Says) -> None:
    first, blob = site.publish({}), git_ok(site.folder.repository, "rev-parse", "main:cluster.yaml")
    aside = git_ok(site.folder.repository, "commit-tree", "-m", "x", "main^{tree}")
    for other in ("f" * 40, blob, aside):
        assert says(other, first) == {ATTEMPTED: first}
    assert git(site.folder.repository, "fsck", "--strict").code == 0


def test_a_member_that_was_removed_loses_its_refs(site: Site, says: Says) -> None:
    first = site.publish({})
    assert says(first, first)
    site.remove()
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        MemberRefs(registry, site.controller.store).write()
    assert site.controller.store.tips(f"{MEMBERS}{NODE}") == {}


def test_an_operator_fetches_them_and_nobody_pushes_them(site: Site, tmp_path: Path) -> None:
    node = site.node()
    revision = site.publish({})
    node.look()
    node.upstream.send_status(status(revision))
    access = b64encode(f"admin:{site.password}".encode()).decode()
    with_access = (
        *("-c", f"http.sslCAInfo={site.folder.ca_file}"),
        *("-c", f"http.extraHeader=Authorization: Basic {access}"),
    )
    url = f"{site.url}/config.git"
    while ACTIVE not in git_ok(tmp_path, *with_access, "ls-remote", url):
        Event().wait(0.1)
    work = tmp_path / "work"
    git_ok(tmp_path, *with_access, "clone", "--quiet", url, str(work))
    git_ok(work, *with_access, "fetch", "--quiet", "origin", f"+{MEMBERS}*:{MEMBERS}*")
    log = ("log", "-1", "--clear-decorations", "--decorate=full", "--format=%D", "main")
    assert ACTIVE in git_ok(work, *log)
    for to in (f"main:{MEMBERS}node-2/active", f":{ACTIVE}"):
        refused = git(work, *with_access, "push", url, to)
        assert refused.code != 0
        assert "expected refs/heads/main or refs/heads/change/NAME" in refused.err
