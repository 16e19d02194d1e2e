"""A revision with another line to the controller is confirmed where that works, and the member goes over after that."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from controller_line_text import section
from controller_site import NOW, Site, controller_site
from forwarding import forwarded
from node_site import ONE, TWO, restarted, started
from ports import own_port

from mftgit.adapters.channel import check_listener
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls import pki
from mftgit.cli.rules import make_validator
from mftgit.controller.app import Controller
from mftgit.model.configuration.controller_line import fingerprints
from mftgit.model.events.event import EventName
from mftgit.model.members.messages import MemberState
from mftgit.model.members.record import Stage

PATIENT, QUICK = "confirm: {within_s: 600}\n", "confirm: {within_s: 10}\n"
"""How long a line is tried: to work on however busy a machine, or to be given up, which is waited for."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def with_line(
    url: str | None = None, ca: str | None = None, confirm: str = PATIENT
) -> dict[str, bytes]:
    return ONE | {"cluster.yaml": (section(url, ca) + confirm).encode()}


def test_a_node_goes_over_to_the_address_that_a_revision_names_and_tells_it(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    before = node.intake.line
    assert before is not None
    with forwarded(site.url, host="127.0.0.2") as url:
        revision = site.publish(with_line(url))
        node.look()
        assert (node.intake.runs, node.intake.state()) == (revision, MemberState.ACTIVE)
        (moved,) = node.told(EventName.CONTROLLER_MOVED)
        assert moved.facts == {"url": url, "ca": list(before.ca)}
        assert node.intake.line is not None
        assert node.intake.line.as_json() == moved.facts
        assert node.folder.read_bootstrap().controller_url == url
        node = restarted(site, node)
        following = site.publish(with_line(url) | TWO)
        node.look()
        assert node.intake.runs == following
        assert len(node.told(EventName.CONTROLLER_MOVED)) == 1


@pytest.mark.parametrize("wrong", ["address", "authority"])
def test_a_line_that_does_not_work_is_rolled_back_with_the_reason_and_never_used(
    site: Site, wrong: str
) -> None:
    good = site.publish(ONE)
    node = started(site)
    with forwarded(site.url) as gone:
        pass
    other = pki.make_authority("other", now=NOW())
    documents = {
        "address": with_line(gone, confirm=QUICK),
        "authority": with_line(ca=other.certificate.decode(), confirm=QUICK),
    }[wrong]
    bad = site.publish(documents)
    node.look()
    assert (node.intake.runs, node.intake.state()) == (good, MemberState.ROLLED_BACK)
    assert (gone if wrong == "address" else "certificate of this cluster") in str(
        node.intake.reason()
    )
    (told,) = node.told(EventName.REVISION_ROLLED_BACK)
    assert told.revision == bad
    assert not node.told(EventName.CONTROLLER_MOVED)
    assert node.folder.read_bootstrap().controller_url == site.url
    mended = site.publish(TWO)
    node.look()
    assert node.intake.runs == mended


def test_a_node_that_was_away_follows_at_the_old_address_when_it_comes_back(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    with forwarded(site.url, host="127.0.0.2") as url:
        site.publish(with_line(url))
        revision = site.publish(with_line(url) | TWO)
        node = restarted(site, node)
        node.look()
        assert node.intake.runs == revision
        assert node.folder.read_bootstrap().controller_url == url


def test_a_node_that_was_stopped_before_it_went_over_does_so_after_its_start(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    with forwarded(site.url, called="localhost") as url:
        revision = site.publish(with_line(url))
        blocked = node.folder.bootstrap_file.with_name(f".bootstrap.json.{os.getpid()}.new")
        blocked.mkdir()  # as a full disk, or a kill before this step
        node.look()
        assert (node.intake.runs, node.intake.record.stage) == (revision, Stage.CONFIRMED)
        assert node.folder.read_bootstrap().controller_url == site.url
        blocked.rmdir()
        node = restarted(site, node)
        assert node.folder.read_bootstrap().controller_url == url
        node.look()
        assert len(node.told(EventName.CONTROLLER_MOVED)) == 1


def test_a_confirmed_line_that_does_not_work_any_more_harms_nobody_who_has_another(
    site: Site,
) -> None:
    site.publish(ONE)
    node = started(site)
    with forwarded(site.url, called="localhost") as url:
        site.publish(with_line(url))
        blocked = node.folder.bootstrap_file.with_name(f".bootstrap.json.{os.getpid()}.new")
        blocked.mkdir()
        node.look()
        blocked.rmdir()
    node.look()
    assert (node.intake.state(), node.intake.reason()) == (MemberState.ACTIVE, None)
    revision = site.publish(TWO)
    node.look()
    assert node.intake.runs == revision


@contextmanager
def old_copy(site: Site, root: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Copy the controller as it is now; give an address, and what starts the copy there."""
    with own_port() as port, ExitStack() as at_end:
        url = f"https://localhost:{port}"
        site.stop()
        copy = StateFolder(root / "copy")
        shutil.copytree(site.folder.root, copy.root)
        site.start()

        def start() -> None:
            own = replace(copy.read_bootstrap(), controller_url=url, listen=("127.0.0.1", port))
            copy.write_bootstrap(own)
            events = at_end.enter_context(
                closing(EventStore(copy.events, member=own.name, now=NOW))
            )
            controller = Controller(copy, own, events=events, validator=make_validator())
            controller.start()
            at_end.callback(controller.stop)

        yield url, start


def test_an_old_copy_of_the_controller_that_was_started_since_is_not_gone_over_to(
    site: Site, tmp_path: Path
) -> None:
    site.publish(ONE)
    node = started(site)
    with old_copy(site, tmp_path) as (url, start):
        good = site.publish(TWO)
        node.look()
        bad = site.publish(with_line(url, confirm=QUICK))
        start()  # so that its head has a higher number than any before
        node.look()
        assert (node.intake.runs, node.intake.record.attempted) == (good, bad)
        assert node.intake.state() is MemberState.ROLLED_BACK
        assert "an old copy of it, perhaps" in str(node.intake.reason())
        assert node.folder.read_bootstrap().controller_url == site.url
    mended = site.publish(ONE)
    node.look()
    assert node.intake.runs == mended


def test_the_controller_s_own_listener_is_known_by_its_own_authority_whatever_members_take(
    site: Site,
) -> None:
    listen = site.folder.read_bootstrap().listen
    assert listen
    own = site.folder.ca_file.read_text(encoding="utf-8")
    site.folder.ca_file.write_bytes(pki.make_authority("proxy", now=NOW()).certificate)
    check_listener(listen, ca_file=site.folder.ca_key)
    assert fingerprints(own) != fingerprints(site.folder.ca_file.read_text(encoding="utf-8"))
