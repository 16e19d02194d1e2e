"""Proposals on pages and in the API: who may say what, and what becomes of it."""

import html
import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from api_answers import check_answer
from controller_site import NOW, Site, controller_site
from web_client import Answer, WebClient, form_fields

from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.model.access import OperatorRole
from mftgit.model.names import CHANGES, OperatorName, Revision

EVIL = "<script>alert(1)</script>\u202e"
REVIEWED = b"name: c\nreview: {approvals: 1}\n"
PLACE = b"type: local\npath: a\n"
TRANSFER = b"source: {location: a}\ndestination: {location: z}\ntrigger: {manual: {}}\n"
FILES = {
    "cluster.yaml": REVIEWED,
    "locations/a.yaml": PLACE,
    "locations/z.yaml": b"type: local\npath: z\n",
    "transfers/t.yaml": TRANSFER,
}
ROLES = {"paula": "propose", "peter": "propose", "mary": "publish", "rita": "read"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        with closing(Registry(made.folder.registry, now=NOW)) as registry:
            for name, role in ROLES.items():
                registry.add_operator(OperatorName(name), hash_password("p"), OperatorRole(role))
        yield made


@pytest.fixture
def base(site: Site) -> Revision:
    return site.publish(FILES)


def api(site: Site, path: str, body: Any = None, *, who: str = "paula") -> tuple[int, Any]:
    headers = {**site.basic(who, "p"), "Content-Type": "application/json"}
    method = "GET" if body is None else "POST"
    data = b"" if body is None else json.dumps(body).encode()
    status, answer = site.ask(method, f"/api/v1/proposals{path}", body=data, headers=headers)
    if status == 200:
        check_answer(site.controller.web_parts, method, f"/api/v1/proposals{path}", answer)
    return status, answer


def propose(
    site: Site, name: str, base: Revision, text: str = "type: local\npath: b\n", **rest: Any
) -> Revision:
    body = {"name": name, "base": base, "files": {"locations/a.yaml": text}, "message": "Move it"}
    status, told = api(site, "", {**body, **rest})
    assert status == 200, told
    return Revision(told["revision"])


def opened(site: Site, who: str) -> WebClient:
    made = WebClient(site)
    assert made.log_in(who, "p").status == 303
    return made


def request_changes(client: WebClient, page: str, comment: str) -> Answer:
    """Press the second button of the form."""
    fields = form_fields(client.get(page).text, f"{page}/approve")
    return client.post(f"{page}/request-changes", {**fields, "comment": comment})


def words(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def test_a_proposal_is_approved_by_another_and_merged(site: Site, base: Revision) -> None:
    tip = propose(site, "dance/one", base)
    _, listed = api(site, "")
    (found,) = (each for each in listed["proposals"] if each["name"] == "dance/one")
    assert (found["state"], found["needed"], found["given"], found["by"]) == ("open", 1, 0, "paula")
    page = "/proposals/dance/one"
    mine = opened(site, "paula").get(page)
    assert 'action="/proposals/dance/one/approve"' in mine.text
    assert "<button>Approve</button>" not in mine.text
    peter = opened(site, "peter")
    shown = words(peter.get(page).text)
    assert "It cannot be merged yet" in shown
    assert "Members controller Restarts transfer t on controller" in shown
    mary = opened(site, "mary")
    before = mary.get(page).text
    assert '<button disabled aria-describedby="lacking">Merge</button>' in before
    assert re.search(r'<ul id="lacking">\s*<li>1 more approval is needed', before)
    assert peter.send(page, f"{page}/approve", comment="Good").status == 303
    assert "It can be merged" in words(peter.get(page).text)
    assert "<button>Merge</button>" in mary.get(page).text
    assert peter.post(f"{page}/merge", {"form_token": peter.token, "revision": tip}).status == 403
    merged = mary.send(page, f"{page}/merge")
    assert (merged.status, merged.headers["Location"]) == (303, f"/history/{tip}")
    assert site.head() == tip
    assert mary.get(page).status == 404


def test_who_proposed_cannot_approve_and_nothing_is_merged_without(
    site: Site, base: Revision
) -> None:
    tip = propose(site, "own", base)
    assert api(site, "/own/approve", {"revision": tip})[0] == 200
    _, view = api(site, "/own")
    assert view["given"] == 0
    assert view["opinions"][0]["discounted"]
    status, told = api(site, "/own/merge", {"revision": tip}, who="mary")
    assert (status, "not approved" in told["error"]) == (409, True)
    assert api(site, "/own/close", {"revision": tip})[0] == 200
    assert site.head() == base


def test_changes_are_requested_and_lines_are_commented(site: Site, base: Revision) -> None:
    tip = propose(site, "lines", base)
    peter = opened(site, "peter")
    page = "/proposals/lines"
    said = peter.send(
        page, f"{page}/comments", path="locations/a.yaml", line="2", text=f"Why?\n{EVIL}"
    )
    assert said.status == 303
    assert request_changes(peter, page, "No").status == 303
    assert request_changes(peter, page, "").status == 400
    assert peter.send(page, f"{page}/comments", line="x", text="y").status == 400
    _, view = api(site, "/lines")
    assert view["state"] == "changes-requested"
    assert [each["said"] for each in view["said"]] == ["propose", "comment", "request-changes"]
    assert (view["said"][1]["path"], view["said"][1]["line"]) == ("locations/a.yaml", 2)
    text = peter.get(page).text
    assert '<tr class="remark">' in text
    assert "<script>alert" not in text
    assert "\u202e" not in text
    more = propose(site, "lines", tip, "type: local\npath: c\n")
    assert "on an earlier state" in peter.get(page).text
    assert api(site, "/lines")[1]["revision"] == more
    assert api(site, "/lines/close", {"revision": more}, who="mary")[0] == 200


def test_nothing_is_said_of_what_was_not_looked_at(site: Site, base: Revision) -> None:
    seen = propose(site, "moving", base)
    tip = propose(site, "moving", seen, "type: local\npath: c\n")
    for word, body in (
        ("approve", {}), ("request-changes", {"comment": "x"}), ("comments", {"text": "x"}),
        ("merge", {}), ("close", {}), ("bring-up", {}),
    ):  # fmt: skip
        status, told = api(site, f"/moving/{word}", {"revision": seen, **body}, who="mary")
        assert (status, "moved on" in told["error"]) == (409, True), word
    assert api(site, "/moving")[1]["revision"] == tip
    assert api(site, "/moving/close", {"revision": tip}, who="mary")[0] == 200


def test_a_proposal_that_main_has_left_behind_is_brought_up(site: Site, base: Revision) -> None:
    tip = propose(site, "behind", base)
    assert api(site, "/behind/approve", {"revision": tip}, who="peter")[0] == 200
    main = site.publish({**FILES, "locations/b.yaml": PLACE})
    _, view = api(site, "/behind")
    assert (view["behind"], view["merges_by"]) == (True, "rebase")
    mary = opened(site, "mary")
    assert mary.send("/proposals/behind", "/proposals/behind/bring-up").status == 303
    _, view = api(site, "/behind")
    assert (view["behind"], view["merges_by"], view["given"]) == (False, "fast-forward", 1)
    assert api(site, "/behind/merge", {"revision": view["revision"]}, who="mary")[0] == 200
    head = site.head()
    assert head is not None
    assert site.controller.store.is_ancestor(main, head)


def test_of_many_who_merge_at_once_one_publishes(site: Site, base: Revision) -> None:
    tip = propose(site, "race", base)
    assert api(site, "/race/approve", {"revision": tip}, who="peter")[0] == 200
    found: list[int] = []
    barrier = threading.Barrier(4)

    def merge() -> None:
        barrier.wait()
        found.append(api(site, "/race/merge", {"revision": tip}, who="mary")[0])

    threads = [threading.Thread(target=merge) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found.count(200) == 1
    assert len(site.published(tip)) == 1


def test_who_only_reads_looks_and_says_nothing(site: Site, base: Revision) -> None:
    tip = propose(site, "read", base)
    rita = opened(site, "rita")
    page = rita.get("/proposals/read")
    assert page.status == 200
    assert "/approve" not in page.text
    for word, body in (("approve", {}), ("comments", {"text": "x"}), ("merge", {}), ("close", {})):
        assert api(site, f"/read/{word}", {"revision": tip, **body}, who="rita")[0] == 403
    assert api(site, "/read/close", {"revision": tip}, who="peter")[0] == 409
    assert api(site, "/read/close", {"revision": tip}, who="mary")[0] == 200


@pytest.mark.parametrize("name", ["none", "..%2fmain", "a%00b", "%f0%9f", "a" * 5_000])
def test_what_is_no_proposal_is_not_found(site: Site, name: str) -> None:
    reader = site.basic("rita", "p")
    assert site.ask("GET", f"/api/v1/proposals/{name}", headers=reader)[0] in {400, 404, 414}


def test_a_subject_of_others_is_text(site: Site, base: Revision) -> None:
    tip = propose(site, "evil", base, message=EVIL.replace("\u202e", ""))
    client = opened(site, "rita")
    for page in (client.get("/proposals").text, client.get("/proposals/evil").text):
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
    assert api(site, "/evil/close", {"revision": tip}, who="mary")[0] == 200
    assert site.controller.store.head(f"{CHANGES}evil") is None
