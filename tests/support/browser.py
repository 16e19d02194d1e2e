"""A real Chromium, driven by the protocol of WebDriver (W3C)."""

import json
import os
import re
import subprocess
import time
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError

from ports import own_port

PICTURES: Final = "MFTGIT_PICTURES"
"""Names the folder where pictures of the pages are kept; without it none is taken."""

TAB, ENTER, END, LEFT, DOWN, BACKSPACE = "\ue004\ue007\ue010\ue012\ue015\ue003"

WAIT_S: Final = 60.0
_SCRIPT_S: Final = 120.0  # axe-core looks for long where others compute
_ANSWER_S: Final = 150.0
_MOST_TABS: Final = 100
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"

_open: list["Browser"] = []
_pictures: set[str] = set()


@dataclass(frozen=True, kw_only=True)
class Browser:
    """One window; ``url`` is that of the session."""

    url: str

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask the driver, and return the value of its answer."""
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self.ask("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        """Run ``script`` in the page, and return what it returns."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def find(self, css: str) -> str:
        """Return the path of the element."""
        found = self.ask("POST", "/element", {"using": "css selector", "value": css})
        return f"/element/{found[_ELEMENT]}"

    def type(self, css: str, text: str) -> None:
        """Type into a field, or choose the file whose path ``text`` is."""
        self._act(css, "value", {"text": text})

    def click(self, css: str) -> None:
        self._act(css, "click")

    def _act(self, css: str, what: str, body: object = None) -> None:
        """Do something to an element; a page that keeps itself fresh may put another in its place meanwhile."""
        end = time.monotonic() + WAIT_S
        while True:
            try:
                self.ask("POST", f"{self.find(css)}/{what}", body)
            except HTTPError as error:
                with error:
                    told = json.load(error)["value"]
                is_gone = error.code < 500 or "does not belong to the document" in told["message"]
                assert is_gone, told
                assert time.monotonic() < end, f"{what} {css}: {told}"
            else:
                return
            time.sleep(0.05)  # noqa: TID251

    def press(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        strokes = [
            {"type": kind, "value": each}
            for word in keys
            for each in word
            for kind in ("keyDown", "keyUp")
        ]
        pressed = {"type": "key", "id": "keys", "actions": strokes}
        self.ask("POST", "/actions", {"actions": [pressed]})

    def tab_to(self, css: str) -> None:
        """Press the Tab key until what ``css`` finds has the focus."""
        for _ in range(_MOST_TABS):
            if self.run("return document.activeElement.matches(arguments[0])", css):
                return
            self.press(TAB)
        raise AssertionError(f"no Tab leads to {css} in {self.text!r}")

    @property
    def text(self) -> str:
        """What the page shows."""
        return str(self.run("return document.body?.innerText ?? ''"))  # none of a page yet to come

    def shows(self, text: str) -> None:
        """Wait until the page shows ``text``."""
        end = time.monotonic() + WAIT_S
        while text not in self.text:
            assert time.monotonic() < end, f"{text!r} is not in {self.text!r}"
            time.sleep(0.05)  # noqa: TID251

    def keep_picture(self, name: str) -> None:
        """Keep a picture of what the page shows, where the environment says so; ``name`` is one of this test alone."""
        file = _picture_file(name)
        assert file not in _pictures, f"there are two pictures {file}"
        _pictures.add(file)
        folder = os.environ.get(PICTURES)
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            (Path(folder) / file).write_bytes(b64decode(self.ask("GET", "/screenshot")))

    def keep_failure(self) -> None:
        """Keep a picture of the window in which a test failed, if it still shows something."""
        with suppress(OSError, HTTPException):
            self.keep_picture(f"failed-{_open.index(self)}")


def keep_failures() -> None:
    """Keep a picture of each window that is open while a test fails."""
    for window in _open:
        window.keep_failure()


def _picture_file(name: str) -> str:
    """Return the name of a picture that the test that runs now keeps as ``name``."""
    path, _, test = os.environ["PYTEST_CURRENT_TEST"].rpartition(" ")[0].partition("::")
    words = f"{Path(path).stem}-{test.removeprefix('test_')}-{name}"
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', words)}.png"


@contextmanager
def browser(work: Path) -> Iterator[Browser]:
    """Start one that takes any certificate."""
    with own_port() as port, _driver(port) as server:
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options = {"args": [*words, f"--user-data-dir={work / 'profile'}"]}
        wanted = {
            "acceptInsecureCerts": True,
            "goog:chromeOptions": options,
            "timeouts": {"script": int(_SCRIPT_S * 1000)},
        }
        made = server.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        window = Browser(url=f"{server.url}/session/{made['sessionId']}")
        _open.append(window)
        try:
            yield window
        except BaseException:
            window.keep_failure()
            raise
        finally:
            _open.remove(window)
            window.ask("DELETE", "")


@contextmanager
def _driver(port: int) -> Iterator[Browser]:
    with subprocess.Popen(
        ["chromedriver", f"--port={port}", "--log-level=OFF"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as driver:
        server = Browser(url=f"http://127.0.0.1:{port}")
        try:
            _until_ready(server)
            yield server
        finally:
            driver.terminate()


def _until_ready(server: Browser) -> None:
    end = time.monotonic() + WAIT_S
    while True:
        try:
            if server.ask("GET", "/status")["ready"]:
                return
        except OSError:
            assert time.monotonic() < end, "chromedriver does not answer"
        time.sleep(0.05)  # noqa: TID251
