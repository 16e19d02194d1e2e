"""Event handlers in the Web Manager: each on each member, with what waits, what was missed and what fails."""

import json
from collections.abc import Iterator
from dataclasses import replace

import jsonschema
import pytest
from controller_site import NODE, Node, Site, controller_site
from node_site import ONE, started
from web_client import WebClient

from mftgit.model.configuration.config import Role
from mftgit.model.handlers.status import EventHandlerStatus, HandlerState
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.names import EventHandlerName

EVIL = "<img src=x onerror=alert(1)>\u202e"
MAIL = EventHandlerStatus(
    name=EventHandlerName("oncall"),
    type="email",
    state=HandlerState.FAILING,
    behind=3,
    last="node-1/17",
    last_at="2026-11-23T08:00:00.000Z",
    error=f"refused {EVIL}",
    failing_since="2026-11-23T08:01:00.000Z",
    handled=900,
    refused=41,
    missed=77,
)
STATUS = MemberStatus(
    name=NODE,
    role=Role.NODE,
    state=MemberState.ACTIVE,
    active_revision=None,
    attempted_revision=None,
    reason=None,
    event_handlers=(MAIL,),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish(ONE)
        yield made


@pytest.fixture(scope="module")
def node(site: Site) -> Node:
    return started(site)


@pytest.fixture
def client(site: Site) -> WebClient:
    made = WebClient(site)
    assert made.log_in().status == 303
    return made


def test_each_handler_is_shown_with_what_waits_and_what_was_lost(
    node: Node, client: WebClient
) -> None:
    node.upstream.send_status(replace(STATUS, event_handlers=()))
    assert "No event handler is active" in client.get("/event-handlers").text
    node.upstream.send_status(STATUS)

    page = client.get("/event-handlers").text
    for words in ("oncall", "email", "failing", "node-1/17", "2026-11-23T08:01:00.000Z"):
        assert words in page
    for number in (3, 900, 41, 77):
        assert f"<td>{number}</td>" in page
    assert "<img" not in page
    assert "\u202e" not in page

    node.upstream.send_status(replace(STATUS, event_handlers=()))
    assert "oncall" not in client.get("/event-handlers").text


def test_the_api_tells_what_status_tells_by_its_own_description(
    node: Node, client: WebClient
) -> None:
    node.upstream.send_status(STATUS)
    answer = json.loads(client.get("/api/v1/event-handlers").text)
    assert answer == {"event_handlers": [{"member": "node-1", "heard": True, **MAIL.as_json()}]}
    described = json.loads(client.get("/api/v1/openapi.json").text)
    told = described["paths"]["/api/v1/event-handlers"]["get"]["responses"]["200"]["content"]
    schema = told["application/json"]["schema"]
    jsonschema.validate(answer, {**schema, "components": described.get("components")})
