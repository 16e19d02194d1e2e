"""The page of an account's files in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import argon2
import pytest
from accessible import check_page
from browser import Browser, browser
from cut_line import CutLine, cut_line
from inbound_site import until
from inbound_web import WebDoor, open_web
from ssh_door import account, served, serving

from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.serving import Served

pytestmark = [
    pytest.mark.needs("chromium"),
    pytest.mark.needs("chromedriver"),
    pytest.mark.long,  # runs once, and where axe-core is
]

SECRET = "correct horse"
HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(SECRET)
LISTED = "return document.querySelector('tbody').innerText"
DROP = """
const size = arguments[1], data = new DataTransfer();
data.items.add(new File([new Uint8Array(size).fill(65)], arguments[0]));
document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
"""


@pytest.fixture
def door(tmp_path: Path) -> Iterator[WebDoor]:
    (tmp_path / "home").mkdir()
    made = served(account("acme", (frozenset({Factor.PASSWORD}),)), password=HASHED)
    with open_web(
        tmp_path,
        serving(Served(account=made.account, home=str(tmp_path / "home"), password=made.password)),
    ) as door:
        yield door


@pytest.fixture
def line(door: WebDoor) -> Iterator[CutLine]:
    with cut_line(door.port) as line:
        yield line


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Browser]:
    with browser(tmp_path) as window:
        yield window


def test_somebody_logs_in_and_sends_files_by_choosing_and_by_dropping_them(
    door: WebDoor, line: CutLine, window: Browser, tmp_path: Path
) -> None:
    (tmp_path / "home" / "there.txt").write_text("content", encoding="utf-8")
    (tmp_path / "a b.txt").write_text("chosen", encoding="utf-8")
    window.open(f"https://127.0.0.1:{line.port}/")
    window.shows("Log in")
    window.type("input[name=name]", "acme")
    window.type("input[name=password]", "wrong")
    window.click("main button")
    window.shows("did not let you in")
    check_page(window, "login-refused")
    window.type("input[name=name]", "acme")
    window.type("input[name=password]", SECRET)
    window.click("main button")
    window.shows("there.txt")

    window.type("#choose", str(tmp_path / "a b.txt"))
    until("it is listed", lambda: "a b.txt" in window.run(LISTED))
    until("it was sent", lambda: [each.path for each in door.finished] == ["/a b.txt"])
    assert (tmp_path / "home" / "a b.txt").read_text(encoding="utf-8") == "chosen"

    size_bytes = 12_000_000
    line.mend(cut_up=3_000_000)
    window.run(DROP, "large.bin", size_bytes)
    window.shows("trying again")
    assert list((tmp_path / "home").glob("large*")) == []
    line.mend()
    until("it was sent", lambda: [each.path for each in door.finished][1:] == ["/large.bin"])
    assert (door.finished[1].size_bytes, door.finished[1].resumed) == (size_bytes, True)
    assert (tmp_path / "home" / "large.bin").stat().st_size == size_bytes

    until("it is listed", lambda: "large.bin" in window.run(LISTED))
    (tmp_path / "home" / f"{'long' * 50}.txt").touch()
    window.run("location.reload()")
    until("it is listed", lambda: "longlong" in window.run(LISTED))
    check_page(window, "folder")
    window.click("header button")
    window.shows("Log in")
