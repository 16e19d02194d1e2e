"""A page of somebody else, in the browser of an operator who is logged in: a real second origin, on another port."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import Browser, browser
from controller_site import Site, controller_site
from manager_window import log_in

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.tls import pki
from mftgit.model.rollout.rollout import Control

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.needs("chromedriver")]

HERE = "127.0.0.1"
SENT = """<form id=f method=post action="{url}{path}" enctype="{kind}">
<input name=revision value="{revision}"><input name=name value=admin><input name=password value="{password}">
<input name=form_token value=x></form><script>document.getElementById("f").submit()</script>"""
FETCHED = """
return fetch(arguments[0], {method: arguments[1], mode: arguments[2], credentials: "include",
  ...(arguments[1] === "GET" ? {} : {headers: {"Content-Type": arguments[3]}, body: "{}"})})
  .then((answer) => answer.type + answer.status, (error) => error.name);
"""
FRAMED = '<iframe src="{url}/cluster"></iframe>'
FOLLOWED = """
return new Promise((done) => {
  const line = new EventSource(arguments[0], {withCredentials: true});
  line.onopen = () => done("open");
  line.onerror = () => done("error");
});
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("attacked")) as made:
        made.publish({})
        yield made


@pytest.fixture(scope="module")
def window(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("window")) as made:
        log_in(made, site)
        yield made


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Elsewhere"]:
    with elsewhere_at(tmp_path_factory.mktemp("elsewhere")) as made:
        yield made


class Elsewhere:
    """Another origin: ``page`` is what it shows."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.page = ""


@contextmanager
def elsewhere_at(folder: Path) -> Iterator[Elsewhere]:
    now = SystemClock().now()
    issued = pki.issue_server(pki.make_authority("x", now=now), hosts=(HERE,), now=now)
    (folder / "crt").write_bytes(issued.certificate)
    (folder / "key").write_bytes(issued.key)
    server = ThreadingHTTPServer((HERE, 0), _Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Elsewhere(f"https://{HERE}:{server.server_port}")
    server.made = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.server.made.page.encode())  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def shown(window: Browser, elsewhere: Elsewhere, page: str) -> None:
    elsewhere.page = f"<!doctype html><title>elsewhere</title><p>elsewhere</p>{page}"
    window.open(elsewhere.url)


def is_untouched(site: Site) -> bool:
    progress = site.controller.web_parts.registry.rollout()
    return progress is not None and progress.control is Control.NONE


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
@pytest.mark.parametrize(
    "path", ["/cluster/rollout/pause", "/api/v1/rollout/pause", "/login", "/logout"]
)
def test_a_form_elsewhere_does_nothing(
    site: Site, window: Browser, elsewhere: Elsewhere, path: str, kind: str
) -> None:
    filled = {"url": site.url, "path": path, "kind": kind}
    shown(window, elsewhere, SENT.format(**filled, revision=site.head(), password=site.password))
    until_there = "not from one of our own pages" if "/api/" in path else "mftgit"
    window.shows(until_there)
    assert is_untouched(site)
    window.open(f"{site.url}/account")
    window.shows("You are admin")


@pytest.mark.parametrize(
    ("method", "mode", "kind"),
    [
        ("GET", "cors", ""),
        ("GET", "no-cors", ""),
        ("POST", "cors", "application/json"),
        ("POST", "no-cors", "text/plain"),
        ("DELETE", "cors", "text/plain"),
    ],
)
def test_a_script_elsewhere_reads_and_does_nothing(
    site: Site, window: Browser, elsewhere: Elsewhere, method: str, mode: str, kind: str
) -> None:
    shown(window, elsewhere, "")
    for path in ("/api/v1/rollout/pause", "/api/v1/account", "/api/v1/account/sessions"):
        told = window.run(FETCHED, site.url + path, method, mode, kind)
        assert told in {"TypeError", "opaque0"}, (path, told)
    assert is_untouched(site)
    assert window.run(FOLLOWED, f"{site.url}/live/cluster") == "error"
    window.open(f"{site.url}/account")
    window.shows("You are admin")


def test_no_page_is_shown_in_a_frame(site: Site, window: Browser, elsewhere: Elsewhere) -> None:
    shown(window, elsewhere, FRAMED.format(url=site.url))
    window.ask("POST", "/frame", {"id": 0})
    try:
        assert "Log out" not in window.text
    finally:
        window.ask("POST", "/frame", {"id": None})
