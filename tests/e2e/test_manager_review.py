"""From an edit in a real Chromium to a member that runs it, and back: two people, and no clone."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from accessible import check_page
from browser import BACKSPACE, DOWN, END, ENTER, LEFT, WAIT_S, Browser, browser
from cluster import mftgit_json
from node_site import ONE
from small_cluster import NODE, Small, small_cluster

from mftgit.model.names import Revision

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.needs("git"),
    pytest.mark.needs("chromium"),
    pytest.mark.needs("chromedriver"),
]

DOCUMENTS = {
    "cluster.yaml": b"name: acme\nreview: {approvals: 1}\n",
    "members/controller.yaml": b"role: controller\n",
    **ONE,
}
EDITOR = "/edit/document?path=transfers/one.yaml"
SHOWN_PARTS = """
return [...document.querySelectorAll("fieldset.one-of [data-part]:not([hidden])")].map((each) => each.dataset.part);
"""
REASONS = """
const field = document.querySelector(`input[name='${arguments[0]}']`);
const told = field.closest("[data-field]").querySelectorAll(":scope > .reason");
return field.getAttribute("aria-invalid") === "true" ? [...told].map((each) => each.textContent) : [];
"""
DESTINATION = "field/destination/location"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with small_cluster(tmp_path_factory.mktemp("review"), DOCUMENTS) as made:
        made.start()
        made.until_says("active", made.first)
        yield made


@contextmanager
def opened(small: Small, work: Path, name: str, role: str) -> Iterator[Browser]:
    """A browser in which ``name`` is logged in."""
    said = mftgit_json(
        "operator", "add", name, "--role", role, "--dir", small.made.dir("controller"), cwd=work
    )
    (work / name).mkdir()
    with browser(work / name) as window:
        window.open(f"{small.made.access['url']}/login")
        window.type("input[name=name]", name)
        window.type("input[name=password]", said["password"])
        window.click("main button")
        window.shows("Log out")
        yield window


def at(window: Browser, small: Small, path: str) -> None:
    window.open(small.made.access["url"] + path)


def location(window: Browser) -> str:
    return str(window.run("return location.pathname"))


def until_at(window: Browser, path: str) -> None:
    """Wait until the browser is at a path that begins with ``path``."""
    end = time.monotonic() + WAIT_S
    while not location(window).startswith(path):
        assert time.monotonic() < end, f"at {location(window)}, not {path}: {window.text}"
        time.sleep(0.05)  # noqa: TID251


def told_at(window: Browser, field: str) -> list[str]:
    """Return what is told of a field of the form, as long as the field says itself that something is wrong."""
    told: list[str] = window.run(REASONS, field)
    return told


def edits(ann: Browser, small: Small) -> str:
    """By keyboard: make something that cannot be, see it at its line, mend it, propose it; return where that is."""
    at(ann, small, EDITOR.replace("document", "form"))
    ann.shows("Keep in my draft")
    check_page(ann, "edit-form")
    assert ann.run(SHOWN_PARTS) == ["watch"]
    assert told_at(ann, DESTINATION) == []
    ann.type(f"input[name='{DESTINATION}']", "x")  # behind what is there
    ann.shows("1 problem.")
    (told,) = told_at(ann, DESTINATION)
    assert told == "there is no location 'therex'; did you mean 'there'?"
    check_page(ann, "edit-form-with-a-problem")
    ann.type(f"input[name='{DESTINATION}']", BACKSPACE)
    ann.shows("No problem was found.")
    assert told_at(ann, DESTINATION) == []
    presses(ann, "a[href^='/edit/document']", ENTER)
    ann.shows("No problem was found.")
    presses(ann, "#text", DOWN, END, LEFT, BACKSPACE * 2, "ir")  # of "location: there}"
    ann.shows("1 problem; line 2: there is no location 'their'")
    ann.shows("▸ 2")
    check_page(ann, "editor-with-a-problem")
    presses(ann, "button[value=keep]", ENTER)
    ann.shows("Keep with its problems")
    presses(ann, "#text", DOWN, END, LEFT, BACKSPACE * 2, "re")
    ann.press(DOWN, END, LEFT * 2, BACKSPACE, "2")  # of "every_s: 1}}"
    ann.shows("No problem was found.")
    presses(ann, "button[value=keep]", ENTER)
    ann.shows("is kept in your draft")
    check_page(ann, "edit-draft")
    presses(ann, "form[action='/edit/propose'] input[name=name]", END, "-slower")
    presses(ann, "textarea[name=message]", "Look less often")
    presses(ann, "form[action='/edit/propose'] button", ENTER)
    ann.shows("Nothing is published until it is merged.")
    ann.shows("It cannot be merged yet")
    ann.shows("transfer one on node-1")
    return location(ann)


def presses(window: Browser, css: str, *keys: str) -> None:
    """Go to what ``css`` finds by the Tab key, and press keys there."""
    window.tab_to(css)
    window.press(*keys)


def remarks_and_approves(bob: Browser, small: Small, path: str) -> None:
    at(bob, small, "/proposals")
    bob.shows("Look less often")
    check_page(bob, "proposals")
    presses(bob, f"a[href='{path}']", ENTER)
    bob.shows("trigger.watch.every_s")
    bob.run("document.querySelector('tr.added td.number:nth-child(2)').click()")
    assert bob.run("return document.activeElement.name") == "text"
    bob.press("Is 2 s enough?")
    presses(bob, "#remark button", ENTER)
    bob.shows("Said.")
    check_page(bob, "proposal-with-a-remark")
    presses(bob, "#opinion button", ENTER)
    bob.shows("Approved.")


def merges(bob: Browser, small: Small) -> Revision:
    """Merge the proposal that is shown, and wait until the node runs it."""
    bob.shows("It can be merged")
    bob.click("form[action$='/merge'] button")
    until_at(bob, "/history/")
    bob.shows("members take it now")
    revision = Revision(location(bob).removeprefix("/history/"))
    small.until_says("active", revision)
    return revision


def test_an_edit_becomes_what_members_run_and_is_taken_back(small: Small, tmp_path: Path) -> None:
    with ExitStack() as stack:
        ann = stack.enter_context(opened(small, tmp_path, "ann", "propose"))
        bob = stack.enter_context(opened(small, tmp_path, "bob", "publish"))
        path = edits(ann, small)
        assert path == "/proposals/ann-1-slower"
        remarks_and_approves(bob, small, path)
        ann.shows("It can be merged (fast-forward).")  # by itself
        ann.shows("Is 2 s enough?")

        at(ann, small, "/cluster")
        revision = merges(bob, small)
        ann.shows(f"published revision {revision[:12]}")
        bob.shows(f"Run by\ncontroller, {NODE}")
        check_page(bob, "revision")

        at(bob, small, "/history")
        bob.shows(revision[:12])
        check_page(bob, "history")
        bob.click(f"a[href='/history/{revision}']")
        bob.shows("Revert this")
        bob.click("form[action$='/revert'] button")
        bob.shows("Nothing is published until it is merged.")
        at(ann, small, location(bob))
        ann.click("#opinion button")
        ann.shows("Approved.")
        back = merges(bob, small)
        at(bob, small, f"/history/{back}?from={small.first}")
        bob.shows("No file differs.")


def test_who_reads_a_proposal_is_told_of_a_new_commit(small: Small, tmp_path: Path) -> None:
    made = small.made
    made.git("fetch", "origin", cwd=small.clone)
    made.git("switch", "--quiet", "--detach", "origin/main", cwd=small.clone)
    for number in (1, 2):
        (small.clone / "note.md").write_text(f"{number}\n", encoding="utf-8")
        made.git("add", "--all", cwd=small.clone)
        made.git("commit", "--quiet", "-m", f"Note {number}", cwd=small.clone)
        if number == 1:
            assert (
                made.git(
                    "push", "origin", "HEAD:refs/heads/change/note", cwd=small.clone
                ).returncode
                == 0
            )
    with opened(small, tmp_path, "carl", "propose") as window:
        at(window, small, "/proposals/note")
        window.shows("Note 1")
        window.shows("Live")
        window.type("#opinion textarea", "half a sen")
        assert (
            made.git("push", "origin", "HEAD:refs/heads/change/note", cwd=small.clone).returncode
            == 0
        )
        window.shows("It has a new commit since you opened this page.")
        assert (
            window.run("return document.querySelector('#opinion textarea').value") == "half a sen"
        )
        window.click("#opinion button")
        window.shows("it has moved on")
