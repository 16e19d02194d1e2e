"""What the published revision says of its transfers, in words."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_site import Site, controller_site
from node_site import ONE, PLACES, TRANSFER

from mftgit.cli.rules import make_validator
from mftgit.controller.views.definitions import Definition, Definitions


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def told(site: Site) -> dict[str, Definition]:
    found = Definitions(site.controller.store, make_validator()).all()
    return {str(name): each for name, each in found.items()}


def test_a_transfer_is_told_in_words(site: Site) -> None:
    site.publish(ONE)
    assert told(site) == {
        "one": Definition(
            schedule="when a file is there, looking every 1 s",
            source="here: .",
            destination="there: .",
        )
    }


def test_what_members_have_each_otherwise_is_told_as_it_stands(site: Site) -> None:
    varied = TRANSFER.replace(b"location: there", b"location: there, path: '{{ region }}'")
    assert varied != TRANSFER
    site.publish(PLACES | {"transfers/one.yaml": varied})
    assert told(site)["one"].destination == "there: {{ region }}"
    assert told(site)["one"].schedule == "when a file is there, looking every 1 s"


def test_a_trigger_that_members_have_each_otherwise_is_told_as_such(site: Site) -> None:
    varied = TRANSFER.replace(b"every_s: 1", b"every_s: '{{ pace }}'")
    assert varied != TRANSFER
    site.publish(PLACES | {"transfers/one.yaml": varied})
    assert told(site)["one"].schedule == "by a variable of each member"


def test_a_revision_without_transfers_has_none(site: Site) -> None:
    site.publish(PLACES)
    assert told(site) == {}
