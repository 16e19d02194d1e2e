"""Proposals that the controller makes itself pass the gate as pushes do."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from git_cli import clone, commit, git, git_ok
from git_site import NOW, Site, site
from signing import make_key, signing_settings

from mftgit.adapters.git.edit import EditError
from mftgit.controller.gate.proposals import ConflictError, ProposalRefusedError, Proposals
from mftgit.errors import ConfigError
from mftgit.model.access import Kind, OperatorRole, Principal
from mftgit.model.events.event import EventName
from mftgit.model.names import CHANGES, MAIN, MemberName, Revision
from mftgit.model.revisions.limits import Limits
from mftgit.model.revisions.proposal import signing

pytestmark = pytest.mark.needs("git")

ANN = Principal(kind=Kind.OPERATOR, name="ann", role=OperatorRole.PROPOSE)
BOB = Principal(kind=Kind.OPERATOR, name="bob", role=OperatorRole.PUBLISH)
EVE = Principal(kind=Kind.OPERATOR, name="eve", role=OperatorRole.READ)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as running:
        yield running


def proposals(served: Site) -> Proposals:
    return Proposals(served.app.door, controller=MemberName("controller"), now=lambda: NOW)


def tip(served: Site, ref: str = MAIN) -> Revision:
    found = served.store.head(ref)
    assert found is not None
    return found


def publish(served: Site, files: dict[str, bytes]) -> Revision:
    """Publish ``files`` and nothing else."""
    before = served.store.head()
    return served.store.commit_documents(
        files, message="Next\n", author="a <a@b.invalid>", now=NOW, parent=before
    )


def things(served: Site) -> set[str]:
    folder = served.store.path
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def propose(served: Site, files: dict[str, bytes | None], *, name: str = "a") -> Revision:
    return proposals(served).propose(name, tip(served), files, "Try it", ANN)


# What is made


def test_a_proposal_is_a_commit_of_the_operator_on_its_base(served: Site) -> None:
    before = tip(served)
    made = propose(served, {"transfers/b.yaml": b"two\n"})
    assert (tip(served), tip(served, f"{CHANGES}a")) == (before, made)
    shown = git_ok(served.store.path, "show", "-s", "--format=%an %ae|%cn %ce|%P|%B", made)
    assert shown == f"ann ann@first.invalid|mftgit controller@first.invalid|{before}|Try it"
    assert git_ok(served.store.path, "diff", "--name-status", before, made) == "A\ttransfers/b.yaml"
    assert git(served.store.path, "fsck", "--strict", "--full").err == ""
    assert served.told() == [EventName.PUSH_RECEIVED, EventName.CHANGE_PROPOSED]
    assert served.events[1][2] == {"who": "ann", "ref": f"{CHANGES}a", "previous": None}


def test_files_change_move_and_go(served: Site) -> None:
    made = propose(
        served,
        {"transfers/a.yaml": None, "locations/a.yaml": b"one\n", "cluster.yaml": b"name: second\n"},
    )
    listed = git_ok(served.store.path, "ls-tree", "-r", "--name-only", made)
    assert listed.splitlines() == ["cluster.yaml", "locations/a.yaml"]
    assert git_ok(served.store.path, "show", f"{made}:cluster.yaml") == "name: second"


def test_a_proposal_grows_where_it_stands(served: Site) -> None:
    first = propose(served, {"transfers/b.yaml": b"two\n"})
    second = proposals(served).propose("a", first, {"transfers/b.yaml": b"three\n"}, "More", BOB)
    assert served.store.is_ancestor(first, second)
    assert tip(served, f"{CHANGES}a") == second


def test_a_clone_fetches_it_and_goes_on(served: Site, tmp_path: Path) -> None:
    propose(served, {"transfers/b.yaml": b"two\n"})
    work = clone(served.url, tmp_path / "work")
    git_ok(work, "switch", "--quiet", "change/a")
    commit(work, {"c": "1"})
    git_ok(work, "push", "--quiet", "origin", "HEAD:change/a")


# What is refused


def test_what_the_gate_refuses_leaves_nothing_behind(served: Site) -> None:
    before = things(served)
    with pytest.raises(ProposalRefusedError) as refused:
        propose(served, {"transfers/b.yaml": b"good\nit is bad\n"})
    assert refused.value.verdict.reason == "not valid: 1 problem"
    assert "transfers/b.yaml:2:7: holds the word bad" in str(refused.value)
    assert things(served) == before
    assert served.told() == [EventName.PUSH_RECEIVED, EventName.PUSH_REFUSED]


def test_who_only_reads_proposes_nothing(served: Site) -> None:
    before = things(served)
    with pytest.raises(ProposalRefusedError, match="not allowed to propose"):
        proposals(served).propose("a", tip(served), {"b": b""}, "Try it", EVE)
    assert things(served) == before


@pytest.mark.parametrize(
    "name", ["", "../main", "a/../../main", "a.lock", "-a", "a b", "a\n", "é", "a" * 101, "a//b"]
)
def test_no_name_leads_elsewhere(served: Site, name: str) -> None:
    with pytest.raises(ProposalRefusedError, match="not a name"):
        propose(served, {"b": b""}, name=name)


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "a/", "a//b", ".", "..", "../x", "a/../../x", ".git/config", ".GIT/hooks/x",
        "a/.Git/x", "git~1/x", ".g\u200cit/config", "a\x00b", "a\nb", "\udcff", "transfers\\..\\.git\\x",
    ],
)  # fmt: skip
def test_no_path_leads_elsewhere(served: Site, path: str) -> None:
    before = things(served)
    with pytest.raises(EditError, match="no path"):
        propose(served, {path: b"x"})
    assert things(served) == before


def test_a_file_cannot_be_a_folder_too(served: Site) -> None:
    with pytest.raises(EditError, match="folder in one place"):
        propose(served, {"cluster.yaml/x": b""})
    with pytest.raises(EditError, match="folder in one place"):
        propose(served, {"transfers": b""})
    with pytest.raises(EditError, match="folder in one place"):
        propose(served, {"n": b"", "n/x": b""})


def test_nothing_is_proposed_that_changes_nothing(served: Site) -> None:
    with pytest.raises(ConfigError, match="nothing would change"):
        propose(served, {"transfers/a.yaml": b"one\n"})
    with pytest.raises(ConfigError, match="it is not there"):
        propose(served, {"transfers/none.yaml": None})


def test_a_base_that_was_not_published_is_none(served: Site) -> None:
    other = propose(served, {"b": b"1"})
    with pytest.raises(ConfigError, match="no revision of main"):
        proposals(served).propose("b", other, {"c": b"1"}, "Try it", ANN)


def test_another_proposal_of_the_name_stays_as_it_is(served: Site) -> None:
    first = propose(served, {"b": b"1"})
    with pytest.raises(ProposalRefusedError, match="name is taken"):
        propose(served, {"b": b"2"})
    with pytest.raises(ProposalRefusedError, match="folder of the same name"):
        propose(served, {"b": b"2"}, name="a/b")
    assert tip(served, f"{CHANGES}a") == first


def test_limits_are_those_of_pushes(tmp_path: Path) -> None:
    with site(tmp_path, limits=Limits(max_changes=1, max_object_bytes=2_000)) as served:
        with pytest.raises(ProposalRefusedError, match="max_object_bytes"):
            propose(served, {"b": b"1" * 3_000})
        propose(served, {"b": b"1"})
        with pytest.raises(ProposalRefusedError, match="too many proposals"):
            propose(served, {"b": b"1"}, name="c")


def test_a_pack_is_no_larger_than_that_of_a_push(tmp_path: Path) -> None:
    with site(tmp_path, limits=Limits(max_pack_bytes=3_000)) as served:
        with pytest.raises(ProposalRefusedError, match="max_pack_bytes"):
            propose(served, {"b": os.urandom(4_000)})
        propose(served, {"b": b"1" * 4_000})


def test_of_two_at_once_one_is_made(served: Site) -> None:
    barrier, made, refused = threading.Barrier(4), [], []

    def run(number: int) -> None:
        barrier.wait()
        try:
            made.append(propose(served, {"b": b"%d" % number}))
        except ProposalRefusedError as error:
            refused.append(error.verdict.reason)

    threads = [threading.Thread(target=run, args=[number]) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [tip(served, f"{CHANGES}a")] == made
    assert set(refused) <= {"name is taken", "fetch first"}
    assert git(served.store.path, "fsck", "--strict", "--full").err == ""


# Taking back, and bringing up


def test_a_revision_is_taken_back_beside_what_came_later(served: Site) -> None:
    first = {"cluster.yaml": b"name: first\n", "transfers/a.yaml": b"1\n2\n3\n4\n5\n"}
    publish(served, first)
    wrong = publish(served, {**first, "transfers/a.yaml": b"one\n2\n3\n4\n5\n", "new": b"x"})
    publish(served, {**first, "transfers/a.yaml": b"one\n2\n3\n4\nfive\n", "new": b"x"})
    name, made = proposals(served).revert(wrong, ANN)
    assert name == f"revert-{wrong[:12]}"
    tree = served.store.tree(made)
    assert set(tree) == {"cluster.yaml", "transfers/a.yaml"}
    assert tree["transfers/a.yaml"].load() == b"1\n2\n3\n4\nfive\n"
    assert f"This reverts commit {wrong}." in git_ok(served.store.path, "show", "-s", made)
    again, _ = proposals(served).revert(wrong, ANN)
    assert again == f"{name}-2"


def test_a_revert_that_meets_later_changes_says_where(served: Site) -> None:
    wrong = publish(served, {"cluster.yaml": b"name: first\n", "transfers/a.yaml": b"two\n"})
    publish(served, {"cluster.yaml": b"name: first\n", "transfers/a.yaml": b"three\n"})
    with pytest.raises(ConflictError, match=r"changed again since, in transfers/a\.yaml") as error:
        proposals(served).revert(wrong, ANN)
    assert error.value.paths == ("transfers/a.yaml",)


def test_what_cannot_be_taken_back_is_said(served: Site) -> None:
    first = tip(served)
    with pytest.raises(ConfigError, match="first revision"):
        proposals(served).revert(first, ANN)
    other = propose(served, {"b": b"1"})
    with pytest.raises(ConfigError, match="main has no revision"):
        proposals(served).revert(other, ANN)
    wrong = publish(served, {"cluster.yaml": b"name: first\n"})
    publish(served, {"cluster.yaml": b"name: first\n", "transfers/a.yaml": b"one\n"})
    with pytest.raises(ConfigError, match="taken back already"):
        proposals(served).revert(wrong, ANN)


def test_who_may_sign_comes_back_under_a_number_of_its_own(served: Site, tmp_path: Path) -> None:
    ann, bob = (make_key(tmp_path, name).line(f"{name}@x") for name in ("ann", "bob"))
    text = "name: first\ntrust: {require_signatures: true, version: %d} # why\n"

    def revision(version: int, *lines: str) -> dict[str, bytes]:
        signers = "".join(lines).encode()
        return {"cluster.yaml": (text % version).encode(), "trust/allowed_signers": signers}

    publish(served, revision(1, ann))
    wrong = publish(served, revision(2, ann, bob))
    _, made = proposals(served).revert(wrong, ANN)
    tree = served.store.tree(made)
    assert tree["trust/allowed_signers"].load() == ann.encode()
    assert tree["cluster.yaml"].load() == (text % 3).encode()


def test_a_proposal_is_brought_up_to_what_was_published_meanwhile(served: Site) -> None:
    made = propose(served, {"b": b"1"})
    main = publish(served, {"cluster.yaml": b"name: first\n", "transfers/a.yaml": b"two\n"})
    up = proposals(served).bring_up("a", BOB)
    assert git_ok(served.store.path, "show", "-s", "--format=%P", up) == f"{made} {main}"
    tree = served.store.tree(up)
    assert (tree["b"].load(), tree["transfers/a.yaml"].load()) == (b"1", b"two\n")
    assert proposals(served).fork(up) == main
    with pytest.raises(ConfigError, match="has everything"):
        proposals(served).bring_up("a", BOB)


def test_a_proposal_that_main_contradicts_is_not_brought_up(served: Site) -> None:
    made = propose(served, {"transfers/a.yaml": b"two\n"})
    publish(served, {"cluster.yaml": b"name: first\n", "transfers/a.yaml": b"three\n"})
    with pytest.raises(ConflictError, match="same lines"):
        proposals(served).bring_up("a", BOB)
    assert tip(served, f"{CHANGES}a") == made


def test_who_may_sign_makes_a_proposal_signed_by_the_commands_that_are_told(
    served: Site, tmp_path: Path
) -> None:
    propose(served, {"b": b"1"}, name="raise")
    publish(served, {"cluster.yaml": b"name: first\n", "transfers/a.yaml": b"two\n"})
    work, key = clone(served.url, tmp_path / "work"), make_key(tmp_path, "ann")
    for command in signing("raise", ["raise"]):
        git_ok(work, *signing_settings(key), *command.split()[1:])
    made = tip(served, f"{CHANGES}raise-signed")
    assert served.store.is_ancestor(tip(served), made)
    assert b"gpgsig -----BEGIN SSH SIGNATURE-----" in served.store.raw_commit(made)
    assert "ann@first.invalid" in git_ok(work, "show", "-s", "--format=%ae", made)
    assert served.store.tree(made)["b"].load() == b"1"


def test_what_is_no_proposal_is_not_found(served: Site) -> None:
    for name in ("none", "../main", "a\n"):
        with pytest.raises(ConfigError, match="no proposal"):
            proposals(served).tip(name)
