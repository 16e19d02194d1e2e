"""What moved main is told: an event and a raised head, whatever is in the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_site import NOW, Site, controller_site
from waiting import until

from mftgit.adapters.git.store import GitStore


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


@pytest.mark.parametrize("table", ["head", "events"])
def test_a_publication_that_cannot_be_told_is_told_later_without_another_push(
    site: Site, table: str
) -> None:
    before = site.head()
    place = site.folder.registry if table == "head" else site.folder.events
    with site.refusing(place, table):
        revision = site.controller.store.commit_documents(
            {"a": b"1"}, message="x", author="a <a@b.invalid>", now=NOW(), parent=before
        )
        site.controller._publish.tell(revision, who="operator ann", previous=before)
        assert site.head() == before
    until(lambda: site.head() == revision)
    assert site.published(revision) == [{"who": "operator ann", "previous": before}]


def test_a_publication_that_a_crash_kept_from_being_told_is_told_at_the_next_start(
    site: Site,
) -> None:
    before = site.head()
    site.stop()
    with GitStore(site.folder.repository) as store:
        revision = store.commit_documents(
            {"a": b"1"}, message="x", author="a <a@b.invalid>", now=NOW(), parent=before
        )
    site.start()
    assert site.head() == revision
    assert site.published(revision) == [{"who": None, "previous": before}]
    site.stop()
    site.start()
    assert len(site.published(revision)) == 1
