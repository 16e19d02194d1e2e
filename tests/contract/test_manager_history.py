"""The pages and calls about the history."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from api_answers import check_answer
from controller_site import NOW, Site, controller_site
from web_client import WebClient

from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.model.access import OperatorRole
from mftgit.model.names import CHANGES, OperatorName

EVIL = "<script>alert(1)</script>\u202e & \"quoted\" 'it'"
TRANSFER = (
    b"source: {location: a}\ndestination: {location: b}\ntrigger: {watch: {every_s: %d}}\n"
    b"active_on: controller\n"
)
PLACES = {
    "locations/a.yaml": b"type: local\npath: a\n",
    "locations/b.yaml": b"type: local\npath: b\n",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish({**PLACES, "transfers/t.yaml": TRANSFER % 1})
        made.publish({**PLACES, "transfers/t.yaml": TRANSFER % 5})
        with closing(Registry(made.folder.registry, now=NOW)) as registry:
            for name in ("read", "propose"):
                registry.add_operator(OperatorName(name), hash_password(name), OperatorRole(name))
        yield made


@pytest.fixture
def client(site: Site) -> WebClient:
    made = WebClient(site)
    assert made.log_in().status == 303
    return made


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[WebClient]:
    """Give a client of a controller of its own, whose history a test makes longer."""
    with controller_site(tmp_path) as made:
        made.publish({})
        client = WebClient(made)
        assert client.log_in().status == 303
        yield client


def test_the_history_is_told_as_the_command_tells_it(site: Site, client: WebClient) -> None:
    status, told = site.ask("GET", "/api/v1/revisions?limit=1", headers=site.basic())
    assert status == 200
    assert [each["revision"] for each in told["revisions"]] == [site.head()]
    _, rest = site.ask("GET", f"/api/v1/revisions?from={told['next']}", headers=site.basic())
    assert (len(rest["revisions"]), rest["next"]) == (2, None)
    _, one = site.ask("GET", f"/api/v1/revisions/{site.head()}", headers=site.basic())
    assert one == told["revisions"][0]
    for path, answer in (("/api/v1/revisions", rest), (f"/api/v1/revisions/{site.head()}", one)):
        check_answer(site.controller.web_parts, "GET", path, answer)
    page = client.get("/history").text
    assert f"/history/{site.head()}" in page


def test_a_revision_tells_what_it_changed(site: Site, client: WebClient) -> None:
    path = f"/api/v1/revisions/{site.head()}/difference"
    status, told = site.ask("GET", path, headers=site.basic())
    assert status == 200
    check_answer(site.controller.web_parts, "GET", path, told)
    (member,) = told["members"]
    assert member["transfers"][0]["fields"] == [
        {"field": "trigger.watch.every_s", "before": 1.0, "after": 5.0}
    ]
    assert told["files"][0]["path"] == "transfers/t.yaml"
    page = client.get(f"/history/{site.head()}").text
    assert "trigger.watch.every_s" in page
    assert '<span class="hidden"> added</span>' in page


def test_any_two_are_compared(site: Site, client: WebClient) -> None:
    _, told = site.ask("GET", "/api/v1/revisions", headers=site.basic())
    newest, _, first = (each["revision"] for each in told["revisions"])
    went = client.get(f"/history/compare?from={first}&to={newest}")
    assert went.headers["Location"] == f"/history/{newest}?from={first}"
    page = client.get(went.headers["Location"]).text
    assert "locations/a.yaml" in page
    assert "Compared with" in page
    assert client.get(f"/history/{first}").status == 200


def test_taking_back_makes_a_proposal_and_publishes_nothing(site: Site, client: WebClient) -> None:
    head = site.head()
    assert head is not None
    sent = client.send(f"/history/{head}", f"/history/{head}/revert")
    name = f"revert-{head[:12]}"
    assert (sent.status, sent.headers["Location"]) == (303, f"/proposals/{name}")
    made = site.controller.store.head(CHANGES + name)
    assert made is not None
    assert site.controller.store.tree(made)["transfers/t.yaml"].load() == TRANSFER % 1
    assert site.head() == head


def test_who_only_reads_takes_nothing_back(site: Site) -> None:
    reader = WebClient(site)
    assert reader.log_in("read", "read").status == 303
    page = reader.get(f"/history/{site.head()}")
    assert "/revert" not in page.text
    fields = {"form_token": reader.token}
    assert reader.post(f"/history/{site.head()}/revert", fields).status == 403
    status, _ = site.ask(
        "POST", f"/api/v1/revisions/{site.head()}/revert", headers=site.basic("read", "read")
    )
    assert status == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/history/xyz", 404),
        ("/history/" + "1" * 40, 404),
        ("/history?from=" + "1" * 40, 404),
        ("/history?from=../x", 404),
        ("/history?limit=0", 400),
        ("/history?limit=9999999999999999999999", 400),
        ("/history/compare?from=a&to=b", 404),
        ("/api/v1/revisions/" + "1" * 40 + "/difference", 404),
        ("/api/v1/revisions?limit=1e3", 400),
    ],
)
def test_what_is_not_there_is_said(client: WebClient, path: str, status: int) -> None:
    assert client.get(path).status == status


def test_a_message_without_end_is_cut(writing: WebClient) -> None:
    site = writing.site
    store = site.controller.store
    before = store.head()
    assert before is not None
    made = store.commit_documents(
        {path: entry.load() for path, entry in store.tree(before).items()} | {"n.md": b"n\n"},
        message="long " * 1_000_000,
        author="a <a@b.invalid>",
        now=NOW(),
        parent=before,
    )
    site.controller.catch_up()
    for path in ("/history", f"/history/{made}", f"/api/v1/revisions/{made}"):
        assert len(writing.get(path).text) < 200_000


def test_what_others_wrote_is_text(writing: WebClient) -> None:
    site = writing.site
    store = site.controller.store
    before = store.head()
    files = {path: entry.load() for path, entry in store.tree(before).items()} if before else {}
    made = store.commit_documents(
        {**files, "notes/<b>.md": EVIL.encode() + b"\n"},
        message=f"{EVIL}\n\n{EVIL}\n",
        author=f"{EVIL.replace('<', '(').replace('>', ')')} <i@x.invalid>",
        now=NOW(),
        parent=before,
    )
    site.controller.catch_up()
    for page in (writing.get("/history").text, writing.get(f"/history/{made}").text):
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
        assert "<b>" not in page
        assert "\u202e" not in page
    assert json.loads(writing.get(f"/api/v1/revisions/{made}").text)["subject"] == EVIL
