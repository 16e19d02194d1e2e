"""Nothing takes many documents away but a revision that says so: the gate, hook, verb and members hold it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_site import DOCUMENTS, NOW, Site, controller_site
from git_cli import clone, commit, git, git_ok

from mftgit.adapters.git.store import GitStore
from mftgit.cli.main import run_verb
from mftgit.errors import MftgitError
from mftgit.member.verify import RefusedError, check_removals
from mftgit.model.events.event import EventName
from mftgit.model.members.messages import MemberState
from mftgit.model.names import MAIN, Revision

MANY = {f"locations/l{number}.yaml": b"type: local\npath: x\n" for number in range(12)}
MEANT = {"cluster.yaml": b"name: c\nallow_removal: 12\n"}
TOLD = "cluster.yaml:1:1: this removes 12 of 13 documents, and 10 may go at once: locations/l0, "


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Path:
    """Return a clone of a configuration with many documents."""
    site.publish(MANY)
    where = site.url.replace("https://", f"https://admin:{site.password}@")
    return clone(
        f"{where}/config.git", tmp_path / "work", "-c", f"http.sslCAInfo={site.folder.ca_file}"
    )


def remove_all(work: Path, files: dict[str, str | bytes] | None = None) -> None:
    git_ok(work, "rm", "--quiet", "-r", "locations")
    commit(work, files or {})


@pytest.mark.needs("git")
def test_the_gate_refuses_a_push_that_removes_many_until_it_says_that_it_is_meant(
    site: Site, work: Path
) -> None:
    before = site.head()
    remove_all(work)
    ran = git(work, "push", "origin", "main")
    assert ran.code != 0
    assert f"remote: {TOLD}" in ran.err
    assert "write allow_removal: 12 in cluster.yaml in the same push" in ran.err
    assert site.head() == before
    commit(work, dict(MEANT))
    git_ok(work, "push", "origin", "main")
    commit(work, dict(MANY))
    git_ok(work, "push", "origin", "main")
    remove_all(work)
    assert "allow_removal: 12 stood there before, and is used up" in git(work, "push").err


@pytest.mark.needs("git")
def test_the_verb_and_the_hook_say_before_the_push_what_the_gate_will_say(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(["hooks", "install", str(work)]) == 0
    git_ok(work, "rm", "--quiet", "-r", "locations")
    capsys.readouterr()
    assert run_verb(["validate", str(work)]) == 2
    assert TOLD in capsys.readouterr().out
    commit(work, {})
    ran = git(work, "push", "origin", "main")
    assert TOLD in ran.err
    assert "remote:" not in ran.err
    git_ok(work, "checkout", "--quiet", "--orphan", "other")
    assert run_verb(["validate", str(work)]) == 0  # it did not grow from what is published


@pytest.mark.needs("git")
def test_a_proposal_may_be_any_and_is_asked_when_it_is_published(work: Path) -> None:
    remove_all(work)
    git_ok(work, "push", "origin", "HEAD:change/less")
    assert TOLD in git(work, "push", "origin", "main").err


# Members


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GitStore]:
    with GitStore.create(tmp_path / "store.git") as made:
        yield made


def put(store: GitStore, files: dict[str, bytes]) -> Revision:
    return store.commit_documents(
        DOCUMENTS | files, message="x", author="a <a@b.invalid>", now=NOW(), parent=store.head()
    )


def test_a_member_holds_what_it_fetched_against_its_anchor(store: GitStore) -> None:
    anchor, gone = put(store, MANY), put(store, {})
    with pytest.raises(RefusedError, match="this removes 12 of 13 documents") as caught:
        check_removals(store, anchor=anchor, tip=gone)
    assert [each.rule for each in caught.value.problems] == ["removal"]
    check_removals(store, anchor=None, tip=gone)
    check_removals(store, anchor=gone, tip=gone)
    meant = put(store, MEANT)
    check_removals(store, anchor=anchor, tip=meant)
    check_removals(store, anchor=anchor, tip=put(store, {}))
    check_removals(store, anchor=gone, tip=put(store, {}))


@pytest.mark.needs("git")
def test_a_member_follows_an_ordinary_merge_of_removals_that_were_published_meanwhile(
    site: Site, work: Path, tmp_path: Path
) -> None:
    site.publish(MANY | {"members/node-1.yaml": b"role: node\n"})
    git_ok(work, "pull", "--quiet")
    node = site.node()
    node.intake.resume()
    node.look()
    stale = clone(str(work), tmp_path / "stale")
    for names in (range(6), range(6, 12)):
        git_ok(work, "rm", "--quiet", *(f"locations/l{number}.yaml" for number in names))
        commit(work, {})
        git_ok(work, "push", "--quiet", "origin", "main")
    commit(stale, {"README.md": "x"})
    git_ok(stale, "pull", "--quiet", "--no-rebase", "--no-edit", str(work), "main")
    git_ok(work, "pull", "--quiet", "--ff-only", str(stale), "main")
    git_ok(work, "push", "--quiet", "origin", "main")
    node.look()
    assert (node.intake.reason(), node.intake.runs) == (None, site.head())


# What never removes anything


def running(site: Site, files: dict[str, bytes] = MANY) -> tuple[Site, Revision]:
    revision = site.publish(
        files | {"members/node-1.yaml": b"role: node\n", "transfers/t.yaml": _TRANSFER}
    )
    node = site.node()
    node.intake.resume()
    node.look()
    assert (node.intake.runs, node.transfers()) == (revision, ["t"])
    return site, revision


_TRANSFER = b"""source: {location: l0, path: in, stable_s: 0}
destination: {location: l0, path: out}
trigger: {watch: {every_s: 600}}
active_on: nodes
"""


def stays(site: Site, revision: Revision) -> None:
    """Look, which may fail; what ran runs on, also after a restart."""
    for _ in range(2):
        node = site.nodes[-1]
        with contextlib.suppress(MftgitError):
            node.intake.look()
        assert (node.intake.runs, node.transfers()) == (revision, ["t"])
        assert node.intake.record.active == revision
        node.close()
        site.nodes.remove(node)
        site.node().intake.resume()


def test_a_published_branch_that_is_gone_removes_nothing(site: Site) -> None:
    _, revision = running(site)
    (site.folder.repository / MAIN).unlink()
    stays(site, revision)


def test_a_published_revision_without_a_file_removes_nothing(site: Site) -> None:
    _, revision = running(site)
    store = site.controller.store
    store.commit_documents(
        {}, message="x", author="a <a@b.invalid>", now=NOW(), parent=store.head()
    )
    site.controller.catch_up()
    stays(site, revision)
    assert site.nodes[-1].intake.state() is MemberState.REFUSED
    assert "the repository is empty" in str(site.nodes[-1].intake.reason())


def test_a_controller_that_cannot_be_reached_removes_nothing(site: Site) -> None:
    _, revision = running(site)
    site.stop()
    stays(site, revision)
    site.start()


def test_a_repository_that_is_empty_removes_nothing(site: Site) -> None:
    _, revision = running(site)
    site.stop()
    for path in site.folder.repository.rglob("refs/heads/*"):
        path.unlink()
    for path in site.folder.repository.glob("objects/pack/*"):
        path.unlink()
    with contextlib.suppress(MftgitError):
        site.start()
    stays(site, revision)


def test_a_removal_that_a_controller_published_without_a_word_is_refused_by_the_node(
    site: Site,
) -> None:
    _, revision = running(site)
    site.publish({})  # past the gate
    stays(site, revision)
    node = site.nodes[-1]
    assert node.intake.state() is MemberState.REFUSED
    assert "removes more than it says" in str(node.intake.reason())
    (told,) = node.told(EventName.REVISION_REFUSED)
    assert "'rule': 'removal'" in str(told.facts["problems"])
    meant = site.publish({"cluster.yaml": b"name: c\nallow_removal: 14\n"})
    node.look()
    assert (node.intake.runs, node.transfers()) == (meant, [])
