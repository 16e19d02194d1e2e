"""The HTTP API: what its description says is what it does, and what pages do is in it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from controller_site import Site, controller_site
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from web_client import WebClient

from mftgit.adapters.passwords import hash_password
from mftgit.controller.web.doors import ApiDoor, FormDoor, PageDoor, StreamDoor, Topic
from mftgit.controller.web.openapi import answer_schema
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.site import all_doors
from mftgit.model.access import OperatorRole
from mftgit.model.names import OperatorName
from mftgit.pages import list_page_parts, read_page_part

HASH = hash_password("p")
ELSEWHERE = {
    "/login": "a program logs in with each request",
}
"""Where forms are sent that do nothing which the API has, and why."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish({})
        yield made


@pytest.fixture(scope="module")
def parts(site: Site) -> WebParts:
    return site.controller.web_parts


@pytest.fixture(scope="module")
def described(site: Site) -> dict[str, Any]:
    status, answer = site.ask("GET", "/api/v1/openapi.json", headers=site.basic())
    assert status == 200
    assert isinstance(answer, dict)
    return answer


def test_the_description_is_openapi_and_has_every_call(
    parts: WebParts, described: dict[str, Any]
) -> None:
    OpenAPIV31SpecValidator(described).validate()
    calls = [each for each in all_doors(parts) if isinstance(each, ApiDoor | StreamDoor)]
    told = {(method, path) for path, each in described["paths"].items() for method in each}
    meant = {(each.method.lower(), re.sub(r":\w+\}", "}", each.path)) for each in calls}
    assert told == meant
    ids = [each["operationId"] for way in described["paths"].values() for each in way.values()]
    assert len(ids) == len(set(ids))


def test_what_can_be_read_without_naming_anything_is_as_described(
    site: Site, parts: WebParts
) -> None:
    for door in all_doors(parts):
        if isinstance(door, ApiDoor) and door.method == "GET" and "{" not in door.path:
            status, answer = site.ask("GET", door.path, headers=site.basic())
            assert status == 200, (door.path, answer)
            if door.media_type == "application/json":
                Draft202012Validator(dict(answer_schema(door))).validate(answer)


def test_every_call_is_below_its_version_and_tells_what_it_is_for(parts: WebParts) -> None:
    for door in all_doors(parts):
        if isinstance(door, ApiDoor):
            assert door.path.startswith("/api/v1/")
            assert door.summary.endswith(".")
            assert (door.body is None) or door.method != "GET"


def test_what_a_form_does_is_in_the_api(parts: WebParts) -> None:
    doors = all_doors(parts)
    calls = {id(each) for each in doors if isinstance(each, ApiDoor)}
    forms = {each.path: each for each in doors if isinstance(each, FormDoor)}
    assert all(id(each.call) in calls for each in forms.values())
    own = {each.path for each in doors if isinstance(each, PageDoor) and each.method == "POST"}
    known = [re.sub(r"\{\w+(:path)?\}", "x", path) for path in (*forms, *ELSEWHERE, *own)]
    for name in list_page_parts("manager"):
        for method, action in _forms(name):
            found = any(map(_pattern(action).fullmatch, known))
            assert found or method == "get", f"{name}: a form to {action}, which is no FormDoor's"


def test_no_template_shows_what_is_not_escaped_and_every_form_has_its_token() -> None:
    for name in list_page_parts("manager"):
        if name.endswith(".html"):
            text = read_page_part(f"manager/{name}").decode()
            assert not re.search(r"\|\s*safe|autoescape|style=|\son\w+=|<script(?! type)", text), (
                name
            )
            posts = re.findall(r"<form method=\"post\".*?</form>", text, re.DOTALL)
            assert len(posts) == text.count('method="post"'), name
            assert all("token()" in each for each in posts), name


def test_nobody_unknown_passes_any_door_and_nobody_passes_one_above_the_own_role(
    site: Site, parts: WebParts
) -> None:
    clients = {}
    for role in OperatorRole:
        name = OperatorName(f"as-{role.value}")
        parts.registry.add_operator(name, HASH, role)
        clients[role] = WebClient(site)
        assert clients[role].log_in(name, "p").status == 303
    for door in all_doors(parts):
        if isinstance(door, Topic):
            continue
        wanted = door.call.role if isinstance(door, FormDoor) else door.role
        method = "POST" if isinstance(door, FormDoor) else door.method
        path = re.sub(r"\{\w+(:path)?\}", "x", door.path)
        is_call = isinstance(door, ApiDoor | StreamDoor)
        assert WebClient(site).ask(method, path).status == (401 if is_call else 303), path
        for role in OperatorRole:
            if not role.may(wanted):
                assert clients[role].ask(method, path).status == 403, (path, role)
                shown = site.basic(f"as-{role.value}", "p")
                assert site.ask(method, path, headers=shown)[0] == 403, (path, role)


def test_a_program_needs_no_token_and_a_page_elsewhere_gets_nothing(site: Site) -> None:
    kind = {"Content-Type": "application/json", **site.basic()}
    path, body = "/api/v1/rollout/pause", b"{}"
    assert site.ask("POST", path, body=body, headers=kind)[0] == 200
    for more in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.invalid"},
        {"Origin": "null"},
    ):
        assert site.ask("POST", path, body=body, headers={**kind, **more})[0] == 403
    assert site.ask("POST", path, body=body, headers=site.basic())[0] == 415
    assert site.ask("POST", path, body=b"{", headers=kind)[0] == 400
    assert site.ask("POST", "/api/v1/rollout/resume", body=body, headers=kind)[0] == 200
    status, answer = site.ask("POST", "/api/v1/rollout/resume", body=body, headers=kind)
    assert (status, "nothing to resume" in answer["error"]) == (409, True)


@pytest.mark.parametrize(
    "body", [b"[]", b'{"revision": 1}', b'{"revision": "abcdefg", "x": 1}', b'{"now": "yes"}']
)
def test_a_body_that_is_not_as_described_is_refused(site: Site, body: bytes) -> None:
    kind = {"Content-Type": "application/json", **site.basic()}
    status, answer = site.ask("POST", "/api/v1/rollout/promote", body=body, headers=kind)
    assert status == 400
    assert answer["error"]


def test_a_call_by_cookie_needs_the_token_of_the_session(site: Site) -> None:
    client = WebClient(site)
    client.log_in()
    kind, path = {"Content-Type": "application/json"}, "/api/v1/rollout/pause"
    assert client.ask("POST", path, "{}", kind).status == 403
    told = client.ask("POST", path, "{}", {**kind, "X-Form-Token": client.token})
    assert (told.status, json.loads(told.text)["paused"]) == (200, True)


def _pattern(action: str) -> re.Pattern[str]:
    parts = re.split(r"\{\{.*?\}\}", action)
    return re.compile("[^/]+".join(map(re.escape, parts)))


def _forms(name: str) -> list[tuple[str, str]]:
    if not name.endswith(".html"):
        return []
    text = read_page_part(f"manager/{name}").decode()
    found = []
    for tag in re.findall(r"<form\b.*?>", text, re.DOTALL):
        said = dict(re.findall(r'(\w+)="(.*?)"', tag))
        found.append((said.get("method", "get").lower(), said.get("action", "")))
    return found
