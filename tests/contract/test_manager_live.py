"""Pages that are live: who is told of news, for how long, and how many of them there may be."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from controller_site import NOW, Site, controller_site
from waiting import until
from web_client import WebClient

from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.controller.web import live
from mftgit.model.access import OperatorRole
from mftgit.model.names import OperatorName

NEWS, OVER = b"event: news\n", b"event: over\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish({})
        with closing(Registry(made.folder.registry, now=NOW)) as registry:
            for name in ("leaves", "loses", "many"):
                registry.add_operator(OperatorName(name), hash_password("p"), OperatorRole.PUBLISH)
        yield made


@contextmanager
def line(client: WebClient, path: str = "/live/cluster") -> Iterator[http.client.HTTPResponse]:
    """Hold a line open, as a page does."""
    context = ssl.create_default_context(cafile=str(client.site.folder.ca_file))
    host, port = client.site.url.removeprefix("https://").split(":")
    held = http.client.HTTPSConnection(host, int(port), context=context, timeout=60)
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    try:
        held.request("GET", path, headers={"Cookie": cookie})
        yield held.getresponse()
    finally:
        held.close()


def entered(site: Site, name: str = "admin") -> WebClient:
    client = WebClient(site)
    assert client.log_in(name, None if name == "admin" else "p").status == 303
    return client


def until_told(told: http.client.HTTPResponse, wanted: bytes) -> None:
    for got in iter(told.readline, b""):
        if got == wanted:
            return
    pytest.fail(f"the line ended without {wanted!r}")


def test_who_looks_is_told_of_news_and_of_what_came_before_the_line(site: Site) -> None:
    with line(entered(site)) as told:
        assert told.status == 200
        assert told.headers["Content-Type"].startswith("text/event-stream")
        until_told(told, NEWS)
        site.publish({"note.md": b"news"})
        until_told(told, NEWS)


@pytest.mark.parametrize("how", ["leaves", "loses"])
def test_a_line_ends_with_its_session(site: Site, how: str) -> None:
    client = entered(site, how)
    with line(client) as told:
        until_told(told, NEWS)
        if how == "leaves":
            client.send("/account", "/logout")
        else:
            with closing(Registry(site.folder.registry, now=NOW)) as registry:
                registry.give_role(OperatorName(how), OperatorRole.READ)
        until_told(told, OVER)
        assert told.read().strip() == b"data:"


def test_a_line_is_for_sessions_only(site: Site) -> None:
    refused = WebClient(site).get("/live/cluster")
    assert refused.status == 401
    assert "WWW-Authenticate" not in refused.headers  # a browser would ask for a password by itself
    told = WebClient(site).get("/live/cluster", site.basic())
    assert (told.status, told.text) == (200, "retry: 30000\n\n")
    assert WebClient(site).get("/live/nothing", site.basic()).status == 404


def test_one_operator_has_so_many_lines_and_gets_another_when_one_ends(site: Site) -> None:
    client, full = entered(site, "many"), b"retry: 30000\n"
    with ExitStack() as held:
        first = held.enter_context(ExitStack())
        for number in range(live.MOST_OF_ONE):
            told = (held if number else first).enter_context(line(client))
            assert told.readline() == b"retry: 3000\n"
        with line(client) as told:
            assert told.readline() == full
            assert told.read().strip() == b""
        first.close()

        def gets_one() -> bool:
            with line(client) as told:
                return told.readline() != full

        until(gets_one)
        assert client.get("/cluster").status == 200


def test_what_pages_load_is_found_by_its_name_alone(site: Site) -> None:
    client = entered(site)
    page = client.get("/cluster").text
    path = next(each for each in page.split('"') if each.endswith("manager.css"))
    style = WebClient(site).get(path)
    assert (style.status, "immutable" in style.headers["Cache-Control"]) == (200, True)
    assert style.headers["X-Content-Type-Options"] == "nosniff"
    old = WebClient(site).get("/loads/0123456789abcdef/manager.css")
    assert (old.text, old.headers["Cache-Control"]) == (style.text, "no-cache")
    for name in (
        "layout.html",
        "../__init__.py",
        "..%2f__init__.py",
        "%2e%2e/files.js",
        "/etc/passwd",
        "manager.css%00",
        ".",
    ):
        assert WebClient(site).get(f"/loads/x/{name}").status == 404
