"""The Web Manager in a real Chromium: log in, by mouse and by keyboard, see what one may, and watch a roll-out live."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from accessible import check_page
from browser import ENTER, TAB, Browser, browser
from controller_site import NOW, Site, controller_site
from full_site import COHORTS, Told, fill
from manager_window import log_in
from waiting import until

from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.tls import pki
from mftgit.cli.main import run_verb
from mftgit.controller.web.doors import PageDoor
from mftgit.controller.web.site import all_doors
from mftgit.model.access import OperatorRole
from mftgit.model.names import OperatorName

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.needs("chromedriver")]

MADE_OF_TEXT = """
return [...document.querySelectorAll("img, script:not([src]), [onerror]")].map((each) => each.outerHTML);
"""
FOCUSED = "return document.activeElement.textContent.trim() || document.activeElement.name"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("pages")) as made:
        made.publish({"cluster.yaml": COHORTS, "members/node-1.yaml": b"role: node\n"})
        with closing(Registry(made.folder.registry, now=NOW)) as registry:
            for name, role in (("rita", OperatorRole.READ), ("paul", OperatorRole.PROPOSE)):
                registry.add_operator(OperatorName(name), hash_password("p"), role)
        set_issuer(made)
        yield made


def set_issuer(site: Site) -> None:
    """Let a provider vouch for operators, so that the page to log in has a link to it."""
    secret = site.folder.root.parent / "issuer-secret"
    secret.touch(mode=0o600)
    secret.write_text("x", encoding="utf-8")
    words = ["--client-id", "x", "--secret-file", str(secret), "--read", "x"]
    words += ["--dir", str(site.folder.root)]
    assert run_verb(["issuer", "set", "https://provider.invalid", *words]) == 0


@pytest.fixture(scope="module")
def node(site: Site) -> Iterator[Told]:
    key = pki.make_identity()
    site.enrol(key)
    with closing(site.channel(key=key)) as channel:
        yield Told(channel)


@pytest.fixture
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("window")) as made:
        yield made


def test_who_mistypes_is_told_so_and_who_does_not_is_let_in(site: Site, window: Browser) -> None:
    window.open(f"{site.url}/account")
    window.shows("Log in by provider.invalid")
    check_page(window, "login")
    window.type("input[name=name]", "rita")
    window.type("input[name=password]", "wrong")
    window.click("main button")
    window.shows("You were not let in")
    check_page(window, "login-refused")
    window.type("input[name=password]", "p")
    window.click("main button")
    window.shows("You are rita")
    window.click("header button")
    window.shows("Password")
    window.open(f"{site.url}/cluster")
    window.shows("Password")


def test_every_page_is_for_all(site: Site, node: Told, window: Browser) -> None:
    filled = fill(site, node)
    doors = all_doors(site.controller.web_parts)
    pages = [each for each in doors if isinstance(each, PageDoor) and each.method == "GET"]
    assert sorted(filled) == sorted(each.path for each in pages)
    log_in(window, site)
    for path, (address, *words) in filled.items():
        window.open(f"{site.url}{address}")
        for each in words:
            window.shows(each)
        is_for_all(window, path)
    window.open(f"{site.url}/edit")
    window.click("form[action='/edit/bring-up'] button")
    window.shows("the same lines were changed")
    is_for_all(window, "a-conflict-of-drafts")
    window.open(f"{site.url}{filled['/edit/form'][0]}")
    window.click("button[value=check]")
    window.shows("there is no location 'nowhere'")
    is_for_all(window, "a-form-with-a-problem")


def is_for_all(window: Browser, name: str) -> None:
    """See that everybody can use the page, and that what others wrote is text there."""
    check_page(window, name.strip("/") or "start")
    assert window.run(MADE_OF_TEXT) == [], name
    assert window.run("return window.hurt === undefined"), name


def test_a_keyboard_is_enough(site: Site, window: Browser) -> None:
    window.open(f"{site.url}/login")
    until(lambda: window.run(FOCUSED) == "name")  # given as the page is drawn, which may come later
    window.press("rita", TAB, "p", ENTER)
    window.shows("Log out")
    window.press(TAB)
    assert window.run(FOCUSED) == "Skip to content"
    names = []
    for _ in range(4):
        window.press(TAB)
        names.append(window.run(FOCUSED))
    assert names[:2] == ["mftgit", "Cluster"]
    window.open(f"{site.url}/cluster")
    window.press(TAB, ENTER)
    until(lambda: window.run("return document.activeElement.id") == "content")


def test_a_role_sees_what_it_may(site: Site, window: Browser) -> None:
    log_in(window, site, "paul", "p")
    assert window.run("return document.querySelectorAll('main form').length") == 0


def test_a_roll_out_is_watched_and_steered_as_it_goes_on(
    site: Site, node: Told, window: Browser
) -> None:
    log_in(window, site)
    documents = {"cluster.yaml": COHORTS, "members/node-1.yaml": b"role: node\n"}
    made = site.publish({**documents, "note.md": b"2"})
    window.shows("node-1 due")
    window.shows("0 of 1 members have it")
    check_page(window, "cluster-rolling-out")
    window.click("form[action='/cluster/rollout/pause'] button")
    window.shows("No further member begins.")
    window.shows(f"Revision {made[:12]} is paused")
    window.click("form[action='/cluster/rollout/resume'] button")
    window.shows("The roll-out goes on.")
    window.click("#aborting summary")
    window.shows("those that have it keep it")
    node.activated(made)
    window.shows("node-1 activated")
    window.shows("1 of 1 members have it")
    window.shows("those that have it keep it")
    window.click("form[action='/cluster/rollout/abort'] button")
    window.shows(f"Revision {made[:12]} is aborted")


def test_a_page_that_is_open_ends_with_the_session(site: Site, window: Browser) -> None:
    log_in(window, site, "rita", "p")
    window.shows("Live")
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.give_role(OperatorName("rita"), OperatorRole.PROPOSE)
    window.shows("Password")
