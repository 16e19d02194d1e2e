"""What was published, as the controller tells it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from config_tree import VALID, validator
from git_cli import clone, git_ok
from signing import make_key, signing_settings

from mftgit.adapters.git.store import GitStore
from mftgit.controller.views.history import History
from mftgit.errors import ConfigError
from mftgit.model.configuration.changes import Action
from mftgit.model.names import CHANGES, Revision
from mftgit.model.trust.trust import Outcome

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


@dataclass
class Told:
    store: GitStore
    history: History
    running: dict[str, Revision] = field(default_factory=dict)

    def publish(
        self, changes: Mapping[str, str | None], *, message: str = "Next\n", ref: str | None = None
    ) -> Revision:
        files = {k: v.encode() for k, v in {**VALID, **changes}.items() if v is not None}
        update = {"message": message, "author": "ann <ann@acme.invalid>", "now": NOW}
        before = self.store.head()
        if ref is None:
            return self.store.commit_documents(files, parent=before, **update)  # type: ignore[arg-type]
        if before is not None:
            self.store.set_ref(ref, old=None, new=before)
        return self.store.commit_documents(files, parent=before, ref=ref, **update)  # type: ignore[arg-type]


@contextmanager
def told(folder: Path) -> Iterator[Told]:
    running: dict[str, Revision] = {}
    with GitStore.create(folder / "store.git") as store:
        history = History(store, validator(), lambda: running)
        yield Told(store=store, history=history, running=running)
        history.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Told]:
    with told(tmp_path) as made:
        yield made


def test_revisions_come_page_by_page_newest_first(site: Told) -> None:
    made = [
        site.publish({"cluster.yaml": f"name: acme\n# {number}\n"}, message=f"Number {number}")
        for number in range(5)
    ]
    site.running |= {"node-2": made[3], "node-1": made[3]}
    first = site.history.page(limit=2)
    assert [row.past.subject for row in first.rows] == ["Number 4", "Number 3"]
    assert first.following == made[2]
    rest = site.history.page(start=first.following, limit=20)
    assert [row.past.revision for row in rest.rows] == made[2::-1]
    assert rest.following is None
    shown = first.as_json()["revisions"][1]
    assert shown["members"] == ["node-1", "node-2"]
    assert shown["author"] == "ann <ann@acme.invalid>"
    assert shown["signature"]["outcome"] == "unsigned"
    assert rest.as_json()["revisions"][-1]["signature"] is None
    assert first.rows[0].finding is not None
    assert first.rows[0].finding.outcome is Outcome.UNSIGNED


def test_a_page_has_an_end_whatever_is_asked(site: Told) -> None:
    for number in range(102):
        site.publish({"cluster.yaml": f"name: acme\n# {number}\n"})
    assert len(site.history.page(limit=100_000).rows) == 100


def test_two_revisions_are_compared_in_words_and_text(site: Told) -> None:
    before = site.publish({})
    after = site.publish(
        {"transfers/invoices.yaml": VALID["transfers/invoices.yaml"].replace("1", "5")}
    )
    found = site.history.compare(before, after)
    assert [each.member for each in found.members if each] == ["node-1", "node-2"]
    assert found.members[1].transfers[0].action is Action.CHANGED
    assert [each.path for each in found.text.files] == ["transfers/invoices.yaml"]
    assert site.history.compare(before, after) is found
    value = found.as_json()
    assert (value["from"], value["to"], value["invalid"]) == (before, after, None)


def test_what_is_not_valid_is_compared_in_text_alone(site: Told) -> None:
    before, after = site.publish({}), site.publish({"cluster.yaml": "name: ACME\n"})
    for old, new in ((before, after), (after, before)):
        found = site.history.compare(old, new)
        assert found.invalid == f"{after[:12]} is not valid by the rules of this version"
        assert (found.members, len(found.problems)) == ((), 1)
        assert found.text.files[0].path == "cluster.yaml"


def test_what_is_compared_does_not_reach_what_the_gate_remembers(site: Told) -> None:
    before, after = (
        site.publish({}),
        site.publish({"locations/more.yaml": "type: local\npath: x\n"}),
    )
    last = validator()._last
    site.history.compare(before, after)
    assert validator()._last is last


def test_only_what_can_be_fetched_is_shown(site: Told) -> None:
    with pytest.raises(ConfigError, match="nothing is published"):
        site.history.page()
    main = site.publish({})
    change = site.publish({"cluster.yaml": "name: other\n"}, ref=f"{CHANGES}a")
    assert site.history.known(main) == main
    assert site.history.known(change) == change
    with pytest.raises(ConfigError, match="main has no revision"):
        site.history.page(start=change)
    assert site.store.move([]) == ()
    with pytest.raises(ConfigError, match="neither main nor a proposal"):
        site.history.known(Revision("1" * 40))


@pytest.mark.needs("git")
def test_a_proposal_is_not_vouched_for_by_signers_that_it_brings_along(
    site: Told, tmp_path: Path
) -> None:
    good, evil = make_key(tmp_path, "good"), make_key(tmp_path, "evil")
    cluster = "name: acme\ntrust: {require_signatures: true, version: 1}\n"
    site.publish({"cluster.yaml": cluster, "trust/allowed_signers": good.line("good@acme")})
    work = clone(str(site.store.path), tmp_path / "work")
    git_ok(work, "switch", "--quiet", "--create", "change/a")
    for number, key in enumerate((good, evil)):
        lines = good.line("good@acme") + evil.line("evil@acme")
        (work / "trust/allowed_signers").write_text(lines, encoding="utf-8")
        (work / "note.md").write_text(f"{number}\n", encoding="utf-8")
        git_ok(work, "add", "--all")
        git_ok(work, *signing_settings(key), "commit", "--quiet", "--message", "x")
    git_ok(work, "push", "--quiet", "origin", "change/a")
    tip = site.store.head(f"{CHANGES}a")
    assert tip is not None
    found = site.history.row(tip).finding
    assert found is not None
    assert found.outcome is Outcome.NOT_ALLOWED
    parent = site.history.row(site.history.row(tip).past.parents[0]).finding
    assert parent is not None
    assert (parent.outcome, parent.principals) == (Outcome.SIGNED, ("good@acme",))
