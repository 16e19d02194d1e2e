"""The Web Manager in a real Chromium: log in, by mouse and by keyboard, see what one may, and watch a roll-out live."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from accessible import check_page
from browser import Browser, browser
from controller_site import NODE, NOW, Site, controller_site
from manager_window import check_pages, log_in

from mftgit.adapters import pki
from mftgit.adapters.channel import Channel
from mftgit.adapters.clock import SystemClock, rfc3339
from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry import Registry
from mftgit.controller.web.doors import PageDoor
from mftgit.controller.web.site import all_doors
from mftgit.model.access import OperatorRole
from mftgit.model.config import Role
from mftgit.model.events import Event, EventName
from mftgit.model.messages import MemberState, MemberStatus
from mftgit.model.names import OperatorName, Revision

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.needs("chromedriver")]

COHORTS = b"name: acme\nrollout: {cohorts: [{name: canary, members: [node-1], soak_s: 0}]}\n"
HOSTILE = '<img src=x onerror="window.hurt = 1"><script>window.hurt = 1</script>'
HOSTILE_TREE = {
    "cluster.yaml": COHORTS,
    "members/controller.yaml": b"role: controller\n",
    "members/node-1.yaml": f"role: node\ndescription: '{HOSTILE}'\n".encode(),
    f"{HOSTILE.replace('/', '')}.md": b"x",
}
TAB, ENTER = "\ue004", "\ue007"
MADE_OF_TEXT = """
return [...document.querySelectorAll("img, script:not([src]), [onerror]")].map((each) => each.outerHTML);
"""
FOCUSED = "return document.activeElement.textContent.trim() || document.activeElement.name"


@dataclass
class Told:
    """What a node says to the controller, by its own proof."""

    channel: Channel
    seq: int = 0
    reasons: list[str] = field(default_factory=list)

    def activated(self, revision: Revision, *, reason: str | None = None) -> None:
        self.tells(EventName.REVISION_ACTIVATED, revision, MemberState.ACTIVE, reason)

    def refused(self, revision: Revision, reason: str) -> None:
        self.tells(EventName.REVISION_REFUSED, revision, MemberState.REFUSED, reason)

    def tells(
        self, event: EventName, revision: Revision, state: MemberState, reason: str | None
    ) -> None:
        self.seq += 1
        facts = {"reason": reason} if reason else {}
        at = rfc3339(SystemClock().now())
        told = Event(member=NODE, seq=self.seq, at=at, event=event, revision=revision, facts=facts)
        self.channel.send_events(NODE, [told])
        self.channel.send_status(
            MemberStatus(
                name=NODE,
                role=Role.NODE,
                state=state,
                active_revision=revision if state is MemberState.ACTIVE else None,
                attempted_revision=revision,
                reason=reason,
            )
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("pages")) as made:
        made.publish({"cluster.yaml": COHORTS, "members/node-1.yaml": b"role: node\n"})
        with closing(Registry(made.folder.registry, now=NOW)) as registry:
            for name, role in (("rita", OperatorRole.READ), ("paul", OperatorRole.PROPOSE)):
                registry.add_operator(OperatorName(name), hash_password("p"), role)
        yield made


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
    window.shows("Log in")
    check_page(window, "login")
    window.type("input[name=name]", "rita")
    window.type("input[name=password]", "wrong")
    window.click("main button")
    window.shows("did not let you in")
    check_page(window, "login-refused")
    window.type("input[name=password]", "p")
    window.click("main button")
    window.shows("You are rita")
    window.click("header button")
    window.shows("Password")
    window.open(f"{site.url}/cluster")
    window.shows("Password")


def test_every_page_is_for_all(site: Site, node: Told, window: Browser) -> None:
    store = site.controller.store
    told = {
        "message": HOSTILE,
        "author": f"{HOSTILE.replace('<', '').replace('>', '')} <a@b.invalid>",
    }
    store.commit_documents(HOSTILE_TREE, parent=store.head(), now=NOW(), **told)
    site.controller.catch_up()
    head = site.head()
    assert head is not None
    node.refused(head, f"a.yaml:1:2: {HOSTILE}")
    log_in(window, site)
    doors = all_doors(site.controller.web_parts)
    pages = [each for each in doors if isinstance(each, PageDoor) and each.method == "GET"]
    paths = [each.path for each in pages if "{" not in each.path]
    check_pages(window, site, *paths)
    for path in paths:
        window.open(f"{site.url}{path}")
        assert window.run(MADE_OF_TEXT) == [], path
    window.open(f"{site.url}/cluster")
    window.shows(HOSTILE)
    assert window.run("return window.hurt === undefined")


def test_a_keyboard_is_enough(site: Site, window: Browser) -> None:
    window.open(f"{site.url}/login")
    assert window.run(FOCUSED) == "name"
    press(window, "rita", TAB, "p", ENTER)
    window.shows("Log out")
    press(window, TAB)
    assert window.run(FOCUSED) == "Skip to content"
    names = []
    for _ in range(4):
        press(window, TAB)
        names.append(window.run(FOCUSED))
    assert names[:2] == ["mftgit", "Cluster"]
    window.open(f"{site.url}/cluster")
    press(window, TAB, ENTER)
    assert window.run("return document.activeElement.id") == "content"


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


def press(window: Browser, *keys: str) -> None:
    """Press keys, wherever the focus is."""
    strokes = [
        {"type": kind, "value": each}
        for word in keys
        for each in word
        for kind in ("keyDown", "keyUp")
    ]
    window.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]})
