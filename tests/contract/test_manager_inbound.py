"""Inbound in the Web Manager: who is logged in, asked for while somebody looks; services, bans, uploads."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from clocks import SetClock
from controller_site import NODE, NOW, Node, Site, controller_site
from node_site import ONE, started
from waiting import until
from web_client import WebClient

from mftgit.adapters.channel import ControllerRefusedError
from mftgit.adapters.clock import rfc3339
from mftgit.controller.members.visits import ASK_EVERY_S, FRESH_S, Visits
from mftgit.errors import MftgitError
from mftgit.member.sessions import SessionsWatch
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.inbound.bans import ban_facts
from mftgit.model.inbound.service_status import ServiceState, ServiceStatus
from mftgit.model.inbound.sessions_told import SessionsTold
from mftgit.model.members.messages import Hint, MemberState, MemberStatus
from mftgit.model.names import MemberName, ServiceName

EVIL = '<img src=x onerror=alert(1)>\u202e"'
SESSION = {
    "id": 7,
    "service": "partners",
    "account": "acme",
    "source": "192.0.2.9",
    "since": "2026-11-23T08:00:00.000Z",
    "client": "OpenSSH_9.9",
    "factors": ["key"],
    "received_bytes": 2000,
    "sent_bytes": 5,
    "uploads": 3,
    "downloads": 1,
}
STATUS = MemberStatus(
    name=NODE,
    role=Role.NODE,
    state=MemberState.ACTIVE,
    active_revision=None,
    attempted_revision=None,
    reason=None,
    services=(
        ServiceStatus(
            name=ServiceName("partners"),
            address="0.0.0.0:2222",
            state=ServiceState.SERVING,
            connections=2,
            sessions=1,
        ),
    ),
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish(ONE)
        yield made


@pytest.fixture(scope="module")
def node(site: Site) -> Node:
    made = started(site)
    made.upstream.send_status(STATUS)
    return made


@pytest.fixture
def client(site: Site) -> WebClient:
    made = WebClient(site)
    assert made.log_in().status == 303
    return made


def checked(site: Site, path: str) -> Any:
    """Ask, and hold the answer against what the description of the API says."""
    status, answer = site.ask("GET", path, headers=site.basic())
    assert status == 200, answer
    _, described = site.ask("GET", "/api/v1/openapi.json", headers=site.basic())
    told = described["paths"][path.partition("?")[0]]["get"]["responses"]["200"]["content"]
    jsonschema.validate(
        answer,
        {**told["application/json"]["schema"], "components": described.get("components")},
    )
    return answer


def tell(node: Node, *sessions: dict[str, Any], more: int = 0) -> None:
    node.upstream.send_sessions(SessionsTold(sessions=sessions, more=more))


def test_sessions_are_shown_by_account_and_member_and_services_with_their_state(
    site: Site, node: Node, client: WebClient
) -> None:
    tell(node, SESSION, {**SESSION, "id": 8, "account": "other"}, more=4)
    page = client.get("/inbound").text
    assert "acme</a>: 1 session" in page
    assert "3 files, 2.00 kB" in page
    assert "4 more sessions are not shown" in page
    assert '<span class="state serving">serving</span>' in page
    found = checked(site, "/api/v1/inbound/sessions?account=acme")
    assert found["sessions"] == [{"member": NODE, **SESSION}]
    (service,) = checked(site, "/api/v1/inbound/services")["services"]
    assert (service["member"], service["connections"], service["heard"]) == (NODE, 2, True)
    alone = client.get("/inbound?account=other").text
    assert "OpenSSH_9.9" in alone
    assert ">7</th>" not in alone


def test_what_clients_call_themselves_is_text_and_nothing_else(
    node: Node, client: WebClient
) -> None:
    tell(node, {**SESSION, "client": EVIL, "account": EVIL, "source": EVIL})
    page = client.get("/inbound").text
    assert "<img" not in page
    assert "\u202e" not in page


def test_a_session_is_ended_by_an_order_that_names_whose_it_is(
    node: Node, client: WebClient
) -> None:
    tell(node, SESSION)
    sent = client.send("/inbound", "/orders")
    assert (sent.status, sent.headers["Location"]) == (303, "/inbound")
    page = client.get("/inbound").text
    assert "end-session 7" in page
    assert '<span class="state given">given</span>' in page
    (told,) = node.upstream.orders(0).orders
    assert (told.asked.session, told.asked.account, told.by) == (7, "acme", "operator admin")


def test_a_member_is_asked_who_is_logged_in_while_somebody_looks(site: Site, node: Node) -> None:
    watched = SessionsWatch(node.upstream.send_sessions, list)
    watched.start()
    hints = node.upstream.wait()
    assert {next(hints) for _ in Hint} == set(Hint)
    visits = site.controller.visits
    until(lambda: visits._clock.boottime() - visits._asked_at > ASK_EVERY_S)
    checked(site, "/api/v1/inbound/sessions")
    assert any(hint is Hint.SESSIONS for hint in hints)  # others may come before it
    watched.poke()
    until(lambda: checked(site, "/api/v1/inbound/sessions")["sessions"] == [])
    watched.stop()


def test_a_controller_of_an_older_version_is_told_nothing() -> None:
    def refuse(_told: SessionsTold) -> None:
        raise ControllerRefusedError("no such door", status=404)

    SessionsWatch(refuse, list).look()

    def not_proved(_told: SessionsTold) -> None:
        raise ControllerRefusedError("who?", status=401)

    with pytest.raises(ControllerRefusedError):
        SessionsWatch(not_proved, list).look()


def test_a_member_tells_its_own_sessions_and_no_nonsense(site: Site, node: Node) -> None:
    channel = node.upstream._channel
    with pytest.raises(ControllerRefusedError, match="may speak for itself only"):
        channel.send_sessions(MemberName("node-2"), SessionsTold())
    with pytest.raises(ControllerRefusedError, match="not a session"):
        channel.send_sessions(NODE, SessionsTold(sessions=({},)))
    headers = site.basic()
    assert site.ask("POST", f"/api/members/{NODE}/sessions", body=b"{}", headers=headers)[0] == 403


def test_a_source_is_let_in_again_by_who_may_publish(
    site: Site, node: Node, client: WebClient
) -> None:
    event = Event(
        member=NODE,
        seq=900,
        at=rfc3339(NOW()),
        event=EventName.SOURCE_BANNED,
        facts=ban_facts("192.0.2.7/32", seconds=900.0, service=ServiceName("partners"), failures=9),
    )
    node.upstream.send_events([event])
    until(lambda: checked(site, "/api/v1/inbound/bans"))
    assert "192.0.2.7/32" in client.get("/inbound").text
    sent = client.send("/inbound", "/inbound/bans/lift")
    assert sent.status == 303
    assert "192.0.2.7/32 may come in." in client.get("/inbound").text
    assert checked(site, "/api/v1/inbound/bans") == []
    lifted = [each for _, each in site.events.after(0) if each.event is EventName.SOURCE_UNBANNED]
    assert [each.facts["by"] for each in lifted] == ["operator admin"]
    kind = site.basic() | {"Content-Type": "application/json"}
    for source, status in (("192.0.2.7", 404), ("nonsense", 400)):
        body = json.dumps({"source": source}).encode()
        path = "/api/v1/inbound/bans/lift"
        assert site.ask("POST", path, body=body, headers=kind)[0] == status


def test_uploads_and_downloads_are_found_and_drawn(
    site: Site, node: Node, client: WebClient
) -> None:
    facts: dict[str, Fact] = {
        "session": 7,
        "service": "partners",
        "account": "acme",
        "source": "192.0.2.9",
    }
    events = [
        Event(
            member=NODE,
            seq=1000 + number,
            at=rfc3339(NOW()),
            event=name,
            facts={**facts, "path": path, "size_bytes": 500, "sent_bytes": 250},
        )
        for number, (name, path) in enumerate(
            [
                (EventName.UPLOAD_FINISHED, "in/a.csv"),
                (EventName.UPLOAD_FINISHED, EVIL),
                (EventName.DOWNLOAD_FINISHED, "out/b.csv"),
            ]
        )
    ]
    node.upstream.send_events(events)
    until(lambda: len(checked(site, "/api/v1/inbound/uploads?account=acme")["events"]) == 2)
    (down,) = checked(site, "/api/v1/inbound/downloads")["events"]
    assert down["path"] == "out/b.csv"
    assert checked(site, "/api/v1/inbound/uploads?text=a.csv")["events"][0]["path"] == "in/a.csv"
    assert checked(site, "/api/v1/inbound/uploads?account=nobody")["events"] == []
    bars = checked(site, "/api/v1/inbound/uploads/volume?account=acme")["bars"]
    # In two bars, where the hour has just changed.
    assert [sum(bar[of] for bar in bars[-2:]) for of in ("files", "bytes")] == [2, 1000]
    days = checked(site, "/api/v1/inbound/downloads/volume?by=day")["bars"]
    assert sum(day["bytes"] for day in days[-2:]) == 250
    page = client.get("/inbound/history?of=upload&account=acme").text
    assert "in/a.csv" in page
    assert "<img" not in page
    assert '<rect class="volume"' in page
    assert "1.00 kB in 2 files" in page
    assert "by=day" in page
    for query in ("of=x", "by=week", "before=x"):
        assert client.get(f"/inbound/history?{query}").status == 400


# What members say, by a clock that stands


def test_members_are_asked_so_often_and_what_they_said_long_ago_is_not_shown() -> None:
    clock, asked = SetClock(), []
    visits = Visits(ask=lambda: asked.append(1), clock=clock)
    other = MemberName("node-2")
    for _ in range(3):
        visits.watch()
    assert len(asked) == 1
    visits.take(NODE, SessionsTold(sessions=(SESSION,), more=2))
    before = visits.watch()
    visits.take(NODE, SessionsTold(sessions=(SESSION,), more=2))
    assert visits.watch() == before
    found, missing = visits.all([NODE, other])
    assert ([each.member for each in found], missing) == ([NODE], [other])
    assert visits.more([NODE, other]) == 2
    clock.pass_s(ASK_EVERY_S)
    visits.watch()
    assert len(asked) == 2
    clock.pass_s(FRESH_S)
    assert visits.all([NODE]) == ([], [NODE])
    visits.take(NODE, replace(SessionsTold(), more=1))
    assert visits.watch() > before


def test_an_upstream_that_is_no_member_any_more_tells_nothing(site: Site, node: Node) -> None:
    node.upstream._removed = True
    try:
        with pytest.raises(MftgitError, match="is not a member"):
            tell(node)
    finally:
        node.upstream._removed = False
    assert site.head() is not None
