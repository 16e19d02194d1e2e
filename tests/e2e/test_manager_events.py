"""The page of events in a real Chromium: searched by keyboard, live with a pause, and readable on a phone."""

from collections.abc import Iterator

import pytest
from accessible import check_page
from browser import Browser, browser
from controller_site import NODE, Site, controller_site
from manager_window import check_pages, log_in
from waiting import until

from mftgit.adapters.clock import SystemClock, rfc3339
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.names import Revision

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.needs("chromedriver")]

HOSTILE = '<img src=x onerror="window.hurt = 1">\u202e'
ENTER = "\ue007"
SHOWN = "return [...document.querySelectorAll('#events .words > span:last-child')].map((each) => each.textContent)"
FACTS = "return [...document.querySelectorAll('#events li:first-child dd')].map((each) => each.textContent)"


class Writer:
    """Has events come in, as a node's report does."""

    def __init__(self, site: Site) -> None:
        self._events = site.controller.web_parts.events
        self._seq = 0

    def write(self, name: EventName, **facts: Fact) -> None:
        self._seq += 1
        event = Event(
            member=NODE,
            seq=self._seq,
            at=rfc3339(SystemClock().now()),
            event=name,
            revision=Revision("ab" * 20),
            facts=facts,
        )
        assert self._events.collect([event]) == 1

    def failed(self, transfer: str, *errors: str) -> None:
        self.write(EventName.RUN_FAILED, transfer=transfer, errors=list(errors))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("pages")) as made:
        made.publish({})
        yield made


@pytest.fixture(scope="module")
def writer(site: Site) -> Writer:
    made = Writer(site)
    made.write(EventName.SESSION_OPENED, service="sftp", account="supplier", source="192.0.2.7")
    made.failed("invoices", HOSTILE)
    made.failed("orders", "the partner is away")
    return made


@pytest.fixture
def window(
    site: Site, writer: Writer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    del writer
    with browser(tmp_path_factory.mktemp("window")) as made:
        log_in(made, site)
        yield made


def test_events_are_searched_by_keyboard_and_shown_with_their_facts(
    site: Site, window: Browser
) -> None:
    window.open(f"{site.url}/events")
    window.shows("supplier logged in at sftp from 192.0.2.7")
    window.type("input[name=text]", f"invoices onerror{ENTER}")
    until(lambda: len(window.run(SHOWN)) == 1)
    assert window.run("return document.activeElement.closest('form') === null")
    window.click("#events summary")
    window.shows("window.hurt")
    assert window.run("return window.hurt === undefined")
    check_page(window, "events-found")
    window.open(f"{site.url}/events?event=RunFaild")
    window.shows("did you mean 'RunFailed'?")
    check_pages(window, site, "/event-handlers", "/events")


def test_events_come_as_they_are_written_and_wait_while_it_pauses(
    site: Site, window: Browser, writer: Writer
) -> None:
    window.open(f"{site.url}/events?severity=error")
    window.shows("Live")
    writer.write(EventName.SESSION_CLOSED, service="sftp", account="supplier", why="bye")
    writer.failed("fresh", HOSTILE)
    until(lambda: window.run(SHOWN)[0].startswith("a run of fresh failed"))
    assert not [each for each in window.run(SHOWN) if "session" in each]
    assert '<img src=x onerror=\\"window.hurt = 1\\">\\u202e' in " ".join(window.run(FACTS))
    assert window.run("return window.hurt === undefined")
    window.click("#pause")
    window.shows("Paused")
    count = len(window.run(SHOWN))
    writer.failed("later", "x")
    writer.failed("last", "x")
    window.shows("Paused")
    assert len(window.run(SHOWN)) == count
    window.click("#pause")
    until(lambda: len(window.run(SHOWN)) == count + 2)
    assert [each.split()[3] for each in window.run(SHOWN)[:3]] == ["last", "later", "fresh"]
    check_page(window, "events-live")
