"""Editing in a browser without scripts, and the calls that its scripts make."""

import html
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from api_answers import check_answer
from controller_site import NOW, Site, controller_site
from web_client import WebClient

from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.controller.views import editing as editing_view
from mftgit.model.access import OperatorRole
from mftgit.model.names import CHANGES, OperatorName, Revision
from mftgit.model.revisions.draft import Draft

PLACES = {
    "locations/a.yaml": b"type: local\npath: a\n",
    "locations/b.yaml": b"type: local\npath: b\n",
}
TRANSFER = (
    "# Why: because\nsource: {location: a}\ndestination: {location: b}\ntrigger: {manual: {}}\n"
)
FILES = {**PLACES, "transfers/t.yaml": TRANSFER.encode()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        with closing(Registry(made.folder.registry, now=NOW)) as registry:
            for name in ("read", "propose"):
                registry.add_operator(OperatorName(name), hash_password(name), OperatorRole(name))
        yield made


@pytest.fixture
def head(site: Site) -> Revision:
    return site.publish(FILES)


@pytest.fixture
def client(site: Site) -> WebClient:
    site.publish(FILES)
    made = WebClient(site)
    assert made.log_in("propose", "propose").status == 303
    made.post("/edit/discard", {"form_token": made.token})
    return made


def call(site: Site, path: str, body: Any, name: str = "propose") -> tuple[int, Any]:
    headers = {**site.basic(name, name), "Content-Type": "application/json"}
    status, answer = site.ask("POST", path, body=json.dumps(body).encode(), headers=headers)
    if status == 200:
        check_answer(site.controller.web_parts, "POST", path, answer)
    return status, answer


def words(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def edit(client: WebClient, path: str, text: str, do: str = "keep", **fields: str) -> Any:
    page = f"/edit/document?path={path}"
    return client.send(page, "/edit/document", **{"name": path, "text": text, "do": do, **fields})


# The calls


def test_changed_documents_are_judged_as_the_gate_would(site: Site, head: Revision) -> None:
    bad = TRANSFER.replace("location: b", "location: c")
    status, told = call(
        site, "/api/v1/validate", {"base": head, "files": {"transfers/t.yaml": bad}}
    )
    assert status == 200
    assert not told["valid"]
    (problem,) = told["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("transfers/t.yaml", 3, 25)
    ok = {
        "base": head,
        "files": {
            "transfers/t.yaml": TRANSFER + "# more\n",
            "locations/c.yaml": "type: local\npath: c\n",
        },
    }
    assert call(site, "/api/v1/validate", ok) == (200, {"valid": True, "problems": []})
    gone = {"base": head, "files": {"locations/a.yaml": None}}
    assert not call(site, "/api/v1/validate", gone)[1]["valid"]


@pytest.mark.parametrize(
    "files",
    [
        {"../x": ""}, {".git/config": ""}, {"": ""}, {"a//b": ""}, {"a\x00": ""}, {"a": 1}, [], None,
        {f"f{n}": "" for n in range(201)}, {"a": "\ud800"}, {"\ud800": ""},
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/api/v1/validate", "/api/v1/proposals"])
def test_what_is_no_change_is_refused(site: Site, head: Revision, files: Any, path: str) -> None:
    body = {"base": head, "files": files, "name": "x", "message": "x"}
    assert call(site, path, body)[0] in {400, 413}
    assert site.controller.store.head(f"{CHANGES}x") is None


def test_documents_are_listed_and_read_of_what_can_be_fetched(site: Site, head: Revision) -> None:
    reader = site.basic("read", "read")
    _, listed = site.ask("GET", "/api/v1/documents", headers=reader)
    assert listed["revision"] == head
    assert "transfers/t.yaml" in [each["path"] for each in listed["documents"]]
    _, one = site.ask("GET", "/api/v1/documents/transfers/t.yaml", headers=reader)
    assert one["text"] == TRANSFER
    parts = site.controller.web_parts
    check_answer(parts, "GET", "/api/v1/documents", listed)
    check_answer(parts, "GET", "/api/v1/documents/transfers/t.yaml", one)
    for path, status in (("x", 404), ("../cluster.yaml", 404), ("x?revision=" + "1" * 40, 404)):
        assert site.ask("GET", f"/api/v1/documents/{path}", headers=reader)[0] == status


def test_a_program_proposes(site: Site, head: Revision) -> None:
    body = {
        "name": "by-program",
        "base": head,
        "files": {"transfers/t.yaml": None},
        "message": "Out",
    }
    status, told = call(site, "/api/v1/proposals", body)
    assert (status, told["name"]) == (200, "by-program")
    assert site.controller.store.head(f"{CHANGES}by-program") == told["revision"]
    bad = {**body, "name": "by-bad", "files": {"locations/a.yaml": None}}
    status, told = call(site, "/api/v1/proposals", bad)
    assert status == 422
    assert "transfers/t.yaml:2:20" in told["error"]
    assert call(site, "/api/v1/proposals", {**body, "name": "by-reader"}, "read")[0] == 403
    assert call(site, "/api/v1/proposals", {**body, "name": "../main"})[0] == 422
    assert call(site, "/api/v1/proposals", {**body, "name": 5})[0] == 400
    assert call(site, "/api/v1/proposals", {**body, "base": "x"})[0] == 400


# The pages


def test_an_edit_is_refused_with_its_line_mended_and_proposed(
    site: Site, client: WebClient
) -> None:
    head = site.head()
    bad = edit(client, "transfers/t.yaml", TRANSFER.replace("location: b", "location: c"))
    assert bad.status == 422
    assert "3:25 there is no location 'c'" in words(bad.text)
    assert "# Why: because" in bad.text
    assert "Not kept in your draft yet: 1 problem," in words(bad.text)
    good = edit(client, "transfers/t.yaml", TRANSFER.replace("manual: {}", "watch: {every_s: 5}"))
    assert (good.status, good.headers["Location"]) == (303, "/edit")
    sent = client.send("/edit", "/edit/propose", name="from-page", message="Watch it")
    assert (sent.status, sent.headers["Location"]) == (303, "/proposals/from-page")
    made = site.controller.store.head(f"{CHANGES}from-page")
    assert made is not None
    text = site.controller.store.tree(made)["transfers/t.yaml"].load().decode()
    assert text == TRANSFER.replace("manual: {}", "watch: {every_s: 5}")
    assert site.head() == head
    assert "Your draft" not in client.get("/edit").text


def test_several_documents_are_proposed_together(site: Site, client: WebClient) -> None:
    began = client.send("/edit", "/edit/new", folder="locations", name="c")
    assert began.status == 200
    assert "New: locations/c.yaml" in began.text
    fields = {"form_token": client.token, "path": "locations/c.yaml", "is_new": "yes"}
    kept = client.post(
        "/edit/document",
        {**fields, "name": "locations/c.yaml", "text": "type: local\r\npath: c", "do": "keep"},
    )
    assert kept.status == 303
    assert (
        edit(client, "transfers/t.yaml", TRANSFER.replace("location: b", "location: c")).status
        == 303
    )
    assert edit(client, "locations/b.yaml", "", "remove").status == 303
    page = words(client.get("/edit").text)
    assert "refuse" not in page
    assert client.send("/edit", "/edit/propose", name="several", message="Move").status == 303
    made = site.controller.store.head(f"{CHANGES}several")
    assert made is not None
    tree = site.controller.store.tree(made)
    assert tree["locations/c.yaml"].load() == b"type: local\npath: c\n"
    assert "locations/b.yaml" not in tree


def test_a_document_is_renamed(client: WebClient) -> None:
    assert edit(client, "transfers/t.yaml", TRANSFER, name="transfers/u.yaml").status == 303
    page = words(client.get("/edit").text)
    assert "removed transfers/t.yaml" in page
    assert "added transfers/u.yaml" in page
    taken = edit(
        client, "locations/a.yaml", "type: local\npath: a\n", "keep-anyway", name="locations/b.yaml"
    )
    assert "is there already" in words(taken.text)
    wrong = edit(
        client, "locations/a.yaml", "type: local\npath: a\n", "keep-anyway", name="../x.yaml"
    )
    assert (wrong.status, "no path" in words(wrong.text)) == (400, True)


def test_what_has_problems_can_be_kept_and_is_not_taken_by_the_gate(
    site: Site, client: WebClient
) -> None:
    bad = TRANSFER.replace("location: b", "location: c")
    assert edit(client, "transfers/t.yaml", bad, "keep-anyway").status == 303
    page = client.get("/edit")
    assert "The gate would refuse this" in page.text
    sent = client.send("/edit", "/edit/propose", name="bad", message="Try")
    assert sent.status == 422
    assert "not valid: 1 problem" in sent.text
    assert "transfers/t.yaml:3:25" in words(sent.text)
    assert site.controller.store.head(f"{CHANGES}bad") is None
    assert client.send("/edit", "/edit/discard", path="transfers/t.yaml").status == 303
    assert "Your draft" not in client.get("/edit").text


def test_whoever_published_meanwhile_is_told_and_the_draft_goes_on_top(
    site: Site, client: WebClient
) -> None:
    assert edit(client, "locations/a.yaml", "type: local\npath: a2\n").status == 303
    newest = site.publish({**FILES, "transfers/t.yaml": TRANSFER.encode() + b"# later\n"})
    assert "Main has moved on" in client.get("/edit").text
    assert client.send("/edit", "/edit/bring-up").status == 303
    assert newest[:12] in client.get("/edit").text
    assert client.send("/edit", "/edit/propose", name="on-top", message="x").status == 303
    made = site.controller.store.head(f"{CHANGES}on-top")
    assert made is not None
    assert site.controller.store.tree(made)["transfers/t.yaml"].load().endswith(b"# later\n")


def test_two_who_change_the_same_line_are_told(site: Site, client: WebClient) -> None:
    assert edit(client, "locations/a.yaml", "type: local\npath: mine\n").status == 303
    site.publish({**FILES, "locations/a.yaml": b"type: local\npath: theirs\n"})
    told = client.send("/edit", "/edit/bring-up")
    assert told.status == 409
    assert "locations/a.yaml" in told.text
    assert "path: mine" in client.get("/edit/document?path=locations/a.yaml").text


def test_a_proposal_is_gone_on_with(site: Site, client: WebClient, head: Revision) -> None:
    body = {
        "name": "go-on",
        "base": head,
        "files": {"locations/a.yaml": "type: local\npath: x\n"},
        "message": "One",
    }
    _, first = call(site, "/api/v1/proposals", body)
    began = client.post("/edit/begin", {"form_token": client.token, "proposal": "go-on"})
    assert began.status == 303
    assert "path: x" in client.get("/edit/document?path=locations/a.yaml").text
    assert edit(client, "locations/a.yaml", "type: local\npath: y\n").status == 303
    assert client.send("/edit", "/edit/propose", message="Two").status == 303
    made = site.controller.store.head(f"{CHANGES}go-on")
    assert made is not None
    assert site.controller.store.is_ancestor(first["revision"], made)


def test_a_draft_of_which_the_base_is_gone_does_not_stand_in_the_way(
    site: Site, client: WebClient
) -> None:
    gone = Draft(base=Revision("1" * 40), proposal="gone", files={"x": b""})
    site.controller.web_parts.editing.keep("propose", gone)
    assert client.get("/edit").status == 303
    assert "is gone from the repository" in client.get("/edit").text


def test_a_draft_outlives_a_restart_and_not_its_operator(site: Site, client: WebClient) -> None:
    assert edit(client, "locations/a.yaml", "type: local\npath: kept\n").status == 303
    editing = site.controller.web_parts.editing
    before = editing.draft("propose")
    editing.keep("gone", Draft(base=Revision("1" * 40)))
    (kept, gone) = (site.folder.drafts / f"{each}.json" for each in ("propose", "gone"))
    assert kept.stat().st_mode & 0o777 == 0o600
    site.stop()
    (site.folder.drafts / "read.json").write_text("{}", encoding="utf-8")
    site.start()
    editing = site.controller.web_parts.editing
    assert editing.draft("propose") == before
    assert editing.draft("read") is None
    assert not gone.exists()
    assert "path: kept" in client.get("/edit/document?path=locations/a.yaml").text
    assert client.send("/edit", "/edit/propose", name="kept", message="x").status == 303
    assert not kept.exists()


def test_a_draft_goes_on_in_memory_where_the_disk_takes_none(site: Site, client: WebClient) -> None:
    folder = site.folder.drafts
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("in the way", encoding="utf-8")
    assert edit(client, "locations/a.yaml", "type: local\npath: here\n").status == 303
    assert "path: here" in client.get("/edit/document?path=locations/a.yaml").text
    folder.unlink()
    assert client.send("/edit", "/edit/discard").status == 303


def test_the_draft_that_was_not_touched_longest_makes_way(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing_view, "MOST_DRAFTS", 2)
    editing = site.controller.web_parts.editing
    for name in ("a", "b", "a", "c"):
        editing.keep(name, Draft(base=Revision("1" * 40)))
    assert editing.draft("b") is None
    assert {"a.json", "c.json"} <= {path.name for path in site.folder.drafts.iterdir()}
    assert not (site.folder.drafts / "b.json").exists()
    for name in "ac":
        editing.drop(name)


def test_who_only_reads_does_not_edit(site: Site, head: Revision) -> None:
    reader = WebClient(site)
    reader.log_in("read", "read")
    assert reader.get("/edit").status == 403
    assert reader.post("/edit/propose", {"form_token": reader.token}).status == 403
    assert call(site, "/api/v1/validate", {"base": head, "files": {}}, "read")[0] == 403


def test_what_others_wrote_is_text(site: Site, client: WebClient) -> None:
    evil = "</textarea><script>alert(1)</script>\n"
    site.publish({**FILES, "notes/<i>.md": evil.encode()})
    client.post("/edit/discard", {"form_token": client.token})
    page = client.get("/edit/document?path=notes/%3Ci%3E.md").text
    assert "<script>alert" not in page
    assert "&lt;/textarea&gt;" in page
    assert "<i>" not in client.get("/edit").text


def test_what_is_larger_than_any_document_is_not_shown(site: Site, client: WebClient) -> None:
    site.publish({**FILES, "notes/large.md": b"x" * (1 << 20) + b"x"})
    client.post("/edit/discard", {"form_token": client.token})
    assert client.get("/edit/document?path=notes/large.md").status == 413
    assert client.get("/api/v1/documents/notes/large.md").status == 413


def test_what_is_no_text_is_not_edited(site: Site, client: WebClient) -> None:
    site.publish({**FILES, "notes/x.bin": b"\xff\x00"})
    client.post("/edit/discard", {"form_token": client.token})
    assert client.get("/edit/document?path=notes/x.bin").status == 415
    assert client.get("/edit/document?path=none").status == 404


# The form


def fill(client: WebClient, path: str, do: str = "keep", **fields: str) -> Any:
    page = client.get(f"/edit/form?path={path}")
    assert page.status == 200
    sent = {**filled_fields(page.text), "do": do}
    sent |= {f"field/{name.replace('__', '/')}": text for name, text in fields.items()}
    return client.post("/edit/form", {**sent, "form_token": client.token})


def filled_fields(page: str) -> dict[str, str]:
    """Return what a browser would send of the form as it is."""
    form = page[page.index('id="form"') :]
    found = {
        html.unescape(name): html.unescape(value)
        for name, value in re.findall(r'<input name="(field[^"]*)" value="([^"]*)"', form)
    }
    for name, options in re.findall(
        r'<select name="(field[^"]*)".*?>(.*?)</select>', form, re.DOTALL
    ):
        chosen = re.search(r"<option selected>([^<]*)<", options)
        found[html.unescape(name)] = html.unescape(chosen[1]) if chosen else ""
    for name, text in re.findall(
        r'<textarea class="code" name="(field[^"]*)"[^>]*>\n(.*?)</textarea>', form, re.DOTALL
    ):
        found[html.unescape(name)] = html.unescape(text).replace("\n", "\r\n")
    hidden = re.search(r'name="path" value="([^"]*)"', form)
    return {**found, "path": html.unescape(hidden[1]) if hidden else ""}


def test_a_form_changes_what_is_filled_in_and_keeps_comments(client: WebClient) -> None:
    kept = fill(
        client,
        "transfers/t.yaml",
        source__stable_s="9",
        trigger="watch",
        trigger__watch__every_s="3",
    )
    assert (kept.status, kept.headers["Location"]) == (303, "/edit")
    page = client.get("/edit/document?path=transfers/t.yaml").text
    text = html.unescape(page[page.index("<textarea") : page.index("</textarea>")])
    assert text.endswith(
        "# Why: because\nsource: {location: a, stable_s: 9}\ndestination: {location: b}\n"
        "trigger: {watch: {every_s: 3}}\n"
    )


def test_a_form_shows_what_is_filled_and_keeps_the_rest_folded(client: WebClient) -> None:
    client.send("/edit", "/edit/new", folder="locations", name="n", do="form")
    shown = folded(client.get("/edit/form?path=transfers/t.yaml").text)
    assert shown["retry"] is True
    assert "source" not in shown  # it is needed
    assert shown["watch"] is True
    filled = fill(client, "transfers/t.yaml", retry__attempts="0")
    assert filled.status == 422
    assert folded(filled.text)["retry"] is False
    filled = fill(client, "transfers/t.yaml", trigger="watch", trigger__watch__every_s="3")
    assert filled.status == 303
    assert folded(client.get("/edit/form?path=transfers/t.yaml").text)["watch"] is False


def folded(page: str) -> dict[str, bool]:
    """Return of each group that nobody has to fill in whether it is folded."""
    found = re.findall(r'<details class="group"( open)?><summary>([\w-]+)', page)
    return {name: not is_open for is_open, name in found}


def test_a_form_tells_problems_at_their_fields(client: WebClient) -> None:
    told = fill(client, "transfers/t.yaml", source__location="nowhere")
    assert told.status == 422
    assert 'value="nowhere"' in told.text
    assert re.search(r'name="field/source/location" value="nowhere"[^>]*aria-invalid', told.text)
    assert "there is no location" in words(told.text)
    checked = fill(client, "transfers/t.yaml", "check", source__location="nowhere")
    assert "1 problem." in words(checked.text)
    assert "Not kept" not in words(checked.text)
    wrong = fill(client, "transfers/t.yaml", source__stable_s="soon")
    assert wrong.status == 422
    assert 'value="soon"' in wrong.text
    assert "is no number" in words(wrong.text)
    assert "Not kept in your draft yet: 1 problem," in words(wrong.text)
    for page in (told, wrong):
        assert "/source/location" not in words(page.text)
        assert '<a href="/edit" aria-current="page">' in page.text
    assert "No problem was found." in words(fill(client, "transfers/t.yaml", "check").text)


def test_a_comment_that_would_go_is_told_before_anything_is_kept(
    site: Site, client: WebClient
) -> None:
    text = (
        "source: {location: a}\n# where it goes\ndestination: # that\n  location: b # why\n"
        "  path: x # and\ntrigger: {manual: {}}\n"
    )
    site.publish({**FILES, "transfers/t.yaml": text.encode()})
    client.post("/edit/discard", {"form_token": client.token})
    told = fill(client, "transfers/t.yaml", destination__path="")
    assert told.status == 200
    assert "would be lost" in told.text
    assert '<textarea id="text"' in told.text
    assert "Your draft" not in client.get("/edit").text


def test_a_new_document_begins_in_a_form(client: WebClient) -> None:
    began = client.send("/edit", "/edit/new", folder="locations", name="n", do="form")
    assert began.headers["Location"] == "/edit/form?path=locations%2Fn.yaml"
    page = client.get(began.headers["Location"])
    assert 'name="field/type"' in page.text
    assert fill(client, "locations/n.yaml", "check").status == 200
    assert fill(client, "locations/n.yaml", "text").status == 200


def test_what_has_no_form_is_edited_as_text(site: Site, client: WebClient) -> None:
    site.publish({**FILES, "README.md": b"# x\n"})
    client.post("/edit/discard", {"form_token": client.token})
    sent = client.get("/edit/form?path=README.md")
    assert (sent.status, sent.headers["Location"]) == (303, "/edit/document?path=README.md")
    assert client.get("/edit/form?path=none.yaml").status == 404
