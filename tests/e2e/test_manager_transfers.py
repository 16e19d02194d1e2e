"""Transfers in a real Chromium, of a real controller and a real node: watch a file move, stop a run, pause, resume."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from accessible import check_page
from browser import Browser, browser
from manager_window import log_in
from node_site import ONE
from small_cluster import FIRST, Small, small_cluster
from waiting import until

from mftgit.member.outbound.places.digests import SMALL_BYTES
from mftgit.model.events.event import EventName

pytestmark = [
    pytest.mark.needs("git"),
    pytest.mark.needs("chromium"),
    pytest.mark.needs("chromedriver"),
]

SLOW = ONE["transfers/one.yaml"].replace(
    b"{watch: {every_s: 1}}", b"{cron: {expression: 0 0 1 1 *}}\nbytes_per_s: 300000"
)
NAMES = [f"{each} <b>&amp;.bin" for each in "abcdefghi"]  # for two minutes
VALUE = "return document.querySelector('progress')?.value"
ORDERS = "return document.querySelector('#orders tbody')?.innerText"


@dataclass(frozen=True)
class Place:
    """Where the Web Manager is, and how to log in there."""

    url: str
    password: str


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    with small_cluster(tmp_path, FIRST | {"transfers/one.yaml": SLOW}) as made:
        made.start()
        made.made.until("the node owns it", lambda: made.made.owner("one", among=["node-1"]))
        yield made


@pytest.fixture
def window(small: Small, tmp_path: Path) -> Iterator[Browser]:
    access = small.made.access
    with browser(tmp_path / "window") as made:
        log_in(made, Place(url=access["url"], password=access["password"]))
        yield made


def press(window: Browser, verb: str) -> None:
    """Press the button for ``verb`` by the keyboard, once it is there."""
    button = f"form[action='/transfers/one/{verb}'] button"
    until(lambda: window.run("return document.querySelector(arguments[0]) !== null", button))
    window.type(button, "\ue007")
    window.shows("is given to")


def goes_on(window: Browser, shown: set[float]) -> bool:
    """Tell whether the bar was ``shown`` at several places by now; between two files there is none."""
    value = window.run(VALUE)
    if value is not None:
        shown.add(value)
    return len(shown) > 1


def stop_in_the_middle(small: Small, window: Browser) -> None:
    press(window, "stop")
    window.shows("its run ends in the middle of")
    until(lambda: small.told(EventName.RUN_FINISHED, at="controller"))
    (ended,) = small.told(EventName.RUN_FINISHED, at="controller")
    assert ended.facts["stopped_by"] == "operator admin"
    window.shows("stopped by operator admin")


def finds(window: Browser, name: str) -> bool:
    """Tell whether the list of deliveries has ``name`` by now."""
    window.shows("Deliveries")
    found = name in window.text
    if not found:
        window.run("location.reload()")
    return found


def test_a_run_is_begun_watched_and_stopped_and_a_transfer_paused_and_resumed(
    small: Small, window: Browser
) -> None:
    here, there = (small.made.files / each for each in ("here", "there"))
    here.mkdir(exist_ok=True)
    for name in NAMES:
        (here / name).write_bytes(bytes(SMALL_BYTES + 3_000_000))
    window.open(f"{small.made.access['url']}/transfers")
    window.shows("one")
    window.click("#transfers a")
    window.shows("by cron")
    press(window, "run")
    until(lambda: "carried out" in (window.run(ORDERS) or ""))
    until(lambda: any(name in window.text for name in NAMES))  # whichever it has come to
    shown: set[float] = set()
    until(lambda: goes_on(window, shown))
    window.shows("kB/s")
    check_page(window, "transfer-under-way")
    stop_in_the_middle(small, window)
    arrived = sorted(path.name for path in there.glob("[!.]*"))
    assert arrived == NAMES[: len(arrived)] != NAMES
    left = sorted(path.name for path in here.glob("[!.]*"))
    # The file at hand is claimed, and gone on with; the run may also have come to its end just before the next one.
    assert left in [NAMES[len(arrived) + 1 :], NAMES[len(arrived) :]]
    press(window, "pause")
    window.shows("by operator admin on node-1")
    assert window.run("return document.querySelector('form[action$=\"/run\"]') === null")
    press(window, "resume")
    until(lambda: "resume-transfer" in (window.run(ORDERS) or ""))
    until(lambda: "it goes on" in (window.run(ORDERS) or ""))
    press(window, "run")  # which goes on with the file that was cut off
    until(lambda: small.told(EventName.DELIVERY_SUCCEEDED, at="controller"))
    window.click("main a[href$='/history']")
    until(lambda: finds(window, NAMES[0]))
    until(lambda: window.run("return document.querySelectorAll('svg.chart rect.volume').length"))
    check_page(window, "transfer-history")
    window.open(f"{small.made.access['url']}/inbound")
    window.shows("No source is kept out.")
    check_page(window, "inbound")
