"""A real Chromium, driven by the protocol of WebDriver (W3C)."""

import json
import subprocess
import time
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ports import own_port

WAIT_S: Final = 60.0
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"


@dataclass(frozen=True, kw_only=True)
class Browser:
    """One window; ``url`` is that of the session."""

    url: str

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask the driver, and return the value of its answer."""
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
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
        self.ask("POST", f"{self.find(css)}/value", {"text": text})

    def click(self, css: str) -> None:
        self.ask("POST", f"{self.find(css)}/click")

    @property
    def text(self) -> str:
        """What the page shows."""
        return str(self.run("return document.body.innerText"))

    def shows(self, text: str) -> None:
        """Wait until the page shows ``text``."""
        end = time.monotonic() + WAIT_S
        while text not in self.text:
            assert time.monotonic() < end, f"{text!r} is not in {self.text!r}"
            time.sleep(0.05)  # noqa: TID251

    def keep_picture(self, path: Path) -> None:
        path.write_bytes(b64decode(self.ask("GET", "/screenshot")))


@contextmanager
def browser(work: Path) -> Iterator[Browser]:
    """Start one that takes any certificate."""
    with own_port() as port, _driver(port) as server:
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options = {"args": [*words, f"--user-data-dir={work / 'profile'}"]}
        wanted = {"acceptInsecureCerts": True, "goog:chromeOptions": options}
        made = server.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        window = Browser(url=f"{server.url}/session/{made['sessionId']}")
        try:
            yield window
        finally:
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
