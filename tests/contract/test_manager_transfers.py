"""Transfers in the Web Manager: what members say of them, which is believed, and orders by buttons and calls."""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from controller_site import NODE, NOW, Node, Site, controller_site
from node_site import ONE, started
from waiting import until
from web_client import WebClient

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.tls import pki
from mftgit.model.access import OperatorRole
from mftgit.model.configuration.config import Ownership, Role
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.members.passed_orders import MOST_OPEN
from mftgit.model.names import Epoch, MemberName, OperatorName, TransferName
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.status import LastRun, TransferState, TransferStatus
from mftgit.model.transfers.under_way import Side, UnderWay

T = TransferName("one")
EVIL = '<img src=x onerror=alert(1)>"\u202egnp.exe\n'
STATUS = MemberStatus(
    name=NODE,
    role=Role.NODE,
    state=MemberState.ACTIVE,
    active_revision=None,
    attempted_revision=None,
    reason=None,
)
OURS = TransferStatus(
    name=T,
    owner=NODE,
    epoch=Epoch(3),
    state=TransferState.IDLE,
    last_run=LastRun(outcome="succeeded", at="2026-11-23T08:00:00.000Z", files=2, size_bytes=2000),
    delivered=7,
    next_at="2026-11-24T08:00:00.000Z",
    ownership=Ownership.SINGLE,
)
WAY = UnderWay(
    path="big.csv",
    side=Side.SOURCE,
    size_bytes=1000,
    done_bytes=430,
    elapsed_s=2.0,
    bytes_per_s=215.0,
    remaining_s=90.0,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish(ONE)
        yield made


@pytest.fixture(scope="module")
def node(site: Site) -> Node:
    made = started(site)
    until(lambda: made.outbound.status()[0].owner == NODE)
    return made


@pytest.fixture
def client(site: Site) -> WebClient:
    made = WebClient(site)
    assert made.log_in().status == 303
    return made


def say(node: Node, *transfers: TransferStatus) -> None:
    node.upstream.send_status(replace(STATUS, transfers=transfers))


def call(site: Site, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = site.basic() | {"Content-Type": "application/json"}
    content = b"" if body is None else json.dumps(body).encode()
    return site.ask(method, path, body=content, headers=headers)


def checked(site: Site, path: str, template: str) -> Any:
    """Ask, and hold the answer against what the description of the API says."""
    status, answer = call(site, "GET", path)
    assert status == 200, answer
    _, described = call(site, "GET", "/api/v1/openapi.json")
    content = described["paths"][template]["get"]["responses"]["200"]["content"]
    schema = {**content["application/json"]["schema"], "components": described.get("components")}
    jsonschema.validate(answer, schema)
    return answer


def test_a_transfer_is_told_as_its_owner_tells_it_with_its_schedule_in_words(
    site: Site, node: Node, client: WebClient
) -> None:
    say(node, OURS)
    answer = checked(site, "/api/v1/transfers", "/api/v1/transfers")
    (told,) = answer["transfers"]
    assert (told["owner"], told["epoch"], told["told_by"], told["heard"]) == (NODE, 3, NODE, True)
    assert told["schedule"] == "when a file is there, looking every 1 s"
    assert (told["source"], told["destination"]) == ("here: .", "there: .")
    assert told["next_at"] == OURS.next_at
    page = client.get("/transfers").text
    assert "when a file is there, looking every 1 s" in page
    assert "2 files, 2.00 kB" in page
    found = checked(site, "/api/v1/transfers/one", "/api/v1/transfers/{transfer}")
    assert found["transfers"] == [told]
    assert "node-1, epoch 3" in client.get("/transfers/one").text


def test_the_progress_of_a_file_is_a_bar_with_words_beside_it(
    node: Node, client: WebClient
) -> None:
    say(node, replace(OURS, state=TransferState.RUNNING, under_way=(WAY,)))
    page = client.get("/transfers/one").text
    assert '<progress max="1000" value="430" aria-label="big.csv">43 %</progress>' in page
    assert "43 %, 430 B of 1.00 kB, 215 B/s, 1 min 30 s left" in page
    assert "1 file under way" in client.get("/transfers").text


def test_hostile_names_and_reasons_are_text_and_nothing_else(
    site: Site, node: Node, client: WebClient
) -> None:
    evil = replace(WAY, path=EVIL, size_bytes=0, bytes_per_s=None, remaining_s=None)
    last = LastRun(outcome="partly", at=EVIL, files=1, size_bytes=1)
    paused = Pause(by=EVIL, member=EVIL, at=EVIL)
    say(
        node,
        replace(
            OURS,
            state=TransferState.FAILING,
            under_way=(evil,),
            reason=EVIL,
            last_run=last,
            paused=paused,
            moved=EVIL,
        ),
    )
    for path in ("/transfers", "/transfers/one"):
        page = client.get(path).text
        assert "<img" not in page
        assert "\u202e" not in page
    assert 'value="1"' in client.get("/transfers/one").text
    assert call(site, "GET", "/api/v1/transfers/one")[1]["transfers"][0]["reason"] == EVIL


def test_transfers_are_found_by_name_owner_and_state_page_by_page(
    site: Site, node: Node, client: WebClient
) -> None:
    many = [replace(OURS, name=TransferName(f"t-{number:03}")) for number in range(150)]
    many[140] = replace(many[140], state=TransferState.FAILING, reason="no route")
    many[141] = replace(many[141], owner=None, epoch=None)
    say(node, *many)

    def names(query: str) -> list[str]:
        _, answer = call(site, "GET", f"/api/v1/transfers?{query}")
        return [each["name"] for each in answer["transfers"]]

    assert names("limit=2") == ["t-140", "t-000"]  # what fails comes first
    assert names("limit=2&page=2") == ["t-001", "t-002"]
    assert names("text=T-14&limit=500") == [f"t-14{each}" for each in "0123456789"]
    assert names("state=nobody") == ["t-141"]
    assert len(names("text=NODE-1&limit=500")) == 149
    assert call(site, "GET", "/api/v1/transfers")[1]["states"] == {
        "failing": 1,
        "idle": 149,
        "nobody": 1,
    }
    page = client.get("/transfers").text
    assert "Page 1 of 2" in page
    assert 'href="?text=&amp;state=&amp;page=2"' in page
    for query in ("page=0", "page=x", "limit=501", "limit=-1"):
        assert call(site, "GET", f"/api/v1/transfers?{query}")[0] == 400
    assert client.get("/transfers/nothing").status == 404
    assert client.get("/transfers/%2e%2e").status == 404


def test_a_button_gives_an_order_whose_fate_is_on_the_page(
    site: Site, node: Node, client: WebClient
) -> None:
    say(node, replace(OURS, state=TransferState.RUNNING))
    page = client.get("/transfers/one").text
    assert "/transfers/one/stop" in page
    assert "/transfers/one/resume" not in page
    sent = client.send("/transfers/one", "/transfers/one/stop")
    assert (sent.status, sent.headers["Location"]) == (303, "/transfers/one")
    page = client.get("/transfers/one").text
    assert "Order stop-run is given to node-1" in page
    assert '<span class="state given">given</span>' in page
    (told, *_) = node.upstream.orders(0).orders
    assert (told.asked.transfer, told.by) == (T, "operator admin")
    node.upstream.orders(told.number)
    assert '<span class="state taken">taken</span>' in client.get("/transfers/one").text
    assert checked(site, f"/api/v1/orders/{told.number}", "/api/v1/orders/{number}")["state"] == (
        "taken"
    )
    settle(site)


def test_an_order_by_the_api_goes_to_who_can_carry_it_out(site: Site, node: Node) -> None:
    say(node, OURS)
    for word in ("run", "pause", "resume", "stop"):
        status, order = call(site, "POST", f"/api/v1/transfers/one/{word}", {})
        assert (status, order["member"], order["state"]) == (200, NODE, "given"), order
    status, order = call(site, "POST", "/api/v1/transfers/one/move", {"to": "node-2"})
    assert (order["order"], order["to"]) == ("move-transfer", "node-2")
    listed = checked(site, "/api/v1/orders?transfer=one&limit=2", "/api/v1/orders")["orders"]
    assert [each["order"] for each in listed] == ["move-transfer", "stop-run"]
    before = f"/api/v1/orders?before={order['number']}&member=node-1&limit=1"
    assert checked(site, before, "/api/v1/orders")["orders"] == listed[1:]
    settle(site)


def settle(site: Site) -> None:
    """Let nothing wait for the node any more."""
    last = max(each.number for each in site.controller.orders.newest())
    site.controller.orders.news(NODE, last)
    records = site.controller._order_records
    with records._database.write() as connection:
        connection.execute("DELETE FROM orders")


@pytest.mark.parametrize(
    ("path", "body", "status", "why"),
    [
        ("/api/v1/transfers/nothing/run", {}, 404, "no transfer nothing"),
        ("/api/v1/transfers/one/move", {}, 400, "'to' is a required"),
        ("/api/v1/transfers/one/run", {"member": "node-9"}, 409, "does not have this transfer"),
        ("/api/v1/transfers/one/run", {"member": "../x"}, 400, "member is not a name"),
        ("/api/v1/transfers/one/run", [1], 400, "not of type 'object'"),
        ("/api/v1/orders", {"member": "node-9", "order": "drain"}, 404, "there is no member"),
        ("/api/v1/orders", {"member": NODE, "order": "pin"}, 400, "'pin' is not one of"),
        ("/api/v1/orders", {"member": NODE, "order": "dance"}, 400, "'dance' is not one of"),
        ("/api/v1/orders", {"member": NODE, "order": "drain", "to": "x"}, 400, "drain has no to"),
        ("/api/v1/orders", {"member": NODE, "order": "end-session"}, 400, "needs session"),
        (
            "/api/v1/orders",
            {"member": NODE, "order": "end-session", "session": "1"},
            400,
            "not of type",
        ),
        ("/api/v1/orders", {"order": "drain"}, 400, "'member' is a required"),
        ("/api/v1/orders", "drain", 400, "not of type"),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_why(
    site: Site, node: Node, path: str, body: Any, status: int, why: str
) -> None:
    say(node, OURS)
    got, answer = call(site, "POST", path, body)
    assert (got, why in answer["error"]) == (status, True), answer
    assert site.controller.orders.newest() == []


def test_a_flood_of_orders_is_refused(site: Site, node: Node) -> None:
    say(node, OURS)
    drain = {"member": NODE, "order": "drain"}
    found = [call(site, "POST", "/api/v1/orders", drain)[0] for _ in range(MOST_OPEN + 1)]
    assert found == [200] * MOST_OPEN + [429]
    settle(site)


def test_who_may_not_publish_gives_no_order_and_sees_no_button(site: Site, node: Node) -> None:
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.add_operator(OperatorName("proposer"), hash_password("p"), OperatorRole.PROPOSE)
    say(node, OURS)
    client = WebClient(site)
    client.log_in("proposer", "p")
    assert "/transfers/one/run" not in client.get("/transfers/one").text
    fields = {"form_token": client.token}
    assert client.post("/transfers/one/run", fields).status == 403
    word = b64encode(b"proposer:p").decode()
    headers = {"Authorization": f"Basic {word}", "Content-Type": "application/json"}
    for path in ("/api/v1/transfers/one/run", "/api/v1/orders"):
        assert site.ask("POST", path, body=b"{}", headers=headers)[0] == 403
    assert site.controller.orders.newest() == []


def test_where_each_member_runs_it_the_member_is_to_be_named(
    site: Site, node: Node, client: WebClient
) -> None:
    say(node, replace(OURS, ownership=Ownership.EACH))
    status, answer = call(site, "POST", "/api/v1/transfers/one/run", {})
    assert (status, "say which of node-1" in answer["error"]) == (409, True)
    assert "<h2>On node-1</h2>" in client.get("/transfers/one").text
    assert client.send("/transfers/one", "/transfers/one/run").status == 303
    settle(site)


def test_a_transfer_of_a_member_that_is_gone_is_told_no_more(site: Site, node: Node) -> None:
    site.enrol(pki.make_identity(), MemberName("node-2"))
    gone = replace(OURS, name=TransferName("gone"))
    other = replace(STATUS, name=MemberName("node-2"), transfers=(gone,))
    site.controller._report(other)
    assert call(site, "GET", "/api/v1/transfers/gone")[0] == 200
    site.remove(MemberName("node-2"))
    until(lambda: call(site, "GET", "/api/v1/transfers/gone")[0] == 404)
    assert node.upstream.head(None) is not None


def test_the_history_of_a_transfer_is_searched_page_by_page_and_drawn(
    site: Site, node: Node, client: WebClient
) -> None:
    def event(number: int, name: EventName, **facts: Fact) -> Event:
        return Event(
            member=NODE,
            seq=5000 + number,
            at=rfc3339(NOW()),
            event=name,
            epoch=Epoch(3),
            facts={"transfer": "past", **facts},
        )

    sent = [
        event(each, EventName.DELIVERY_SUCCEEDED, path=f"f-{each}.csv", size_bytes=100)
        for each in range(60)
    ]
    sent.append(event(60, EventName.DELIVERY_FAILED, path=EVIL, error=EVIL))
    node.upstream.send_events(sent)
    path, template = "/api/v1/transfers/past/history", "/api/v1/transfers/{transfer}/history"
    until(lambda: len(checked(site, f"{path}?limit=100", template)["events"]) == 61)
    first = checked(site, path, template)
    rest = checked(site, f"{path}?before={first['before']}", template)
    assert (len(first["events"]), len(rest["events"]), rest["before"]) == (50, 11, None)
    (found,) = checked(site, f"{path}?text=f-7.csv", template)["events"]
    assert found["path"] == "f-7.csv"
    assert len(checked(site, f"{path}?outcome=failed", template)["events"]) == 1
    volume = "/api/v1/transfers/{transfer}/volume"
    for by in ("hour", "day"):
        bars = checked(site, f"/api/v1/transfers/past/volume?by={by}", volume)["bars"]
        found = [sum(bar[of] for bar in bars[-2:]) for of in ("files", "bytes", "failures")]
        assert found == [60, 6000, 1]  # in two bars, where the hour has just changed
    page = client.get("/transfers/past/history").text
    assert '<rect class="volume"' in page
    assert '<rect class="failures"' in page
    assert "6.00 kB in 60 files" in page
    assert "Older ones" in page
    assert "<img" not in page
    assert "style=" not in page
    assert "f-7.csv" in client.get("/transfers/past/history?text=f-7&outcome=delivered").text
    assert client.get("/transfers/past/history?outcome=x").status == 400


def test_last_runs_and_owners_are_told_of_a_transfer(
    site: Site, node: Node, client: WebClient
) -> None:
    facts: dict[str, Fact] = {"transfer": "one"}
    told = [
        (EventName.OWNERSHIP_TAKEN, {**facts, "reason": "node-2 was silent for 10 s"}),
        (
            EventName.RUN_FINISHED,
            {
                **facts,
                "outcome": "partly",
                "files": 3,
                "size_bytes": 3000,
                "errors": ["a: no route"],
                "stopped_by": "operator alice",
            },
        ),
    ]
    node.upstream.send_events(
        [
            Event(member=NODE, seq=6000 + at, at=rfc3339(NOW()), event=name, facts=each)
            for at, (name, each) in enumerate(told)
        ]
    )
    say(node, OURS)
    until(lambda: "a: no route" in client.get("/transfers/one").text)
    page = client.get("/transfers/one").text
    assert "stopped by operator alice" in page
    assert "took it, epoch -: node-2 was silent for 10 s" in page
    found = checked(site, "/api/v1/transfers/one", "/api/v1/transfers/{transfer}")
    assert [each["stopped_by"] for each in found["runs"]] == ["operator alice"]
    assert [each["reason"] for each in found["owners"]] == ["node-2 was silent for 10 s"]


def test_a_member_is_drained_from_the_page_of_orders(
    site: Site, node: Node, client: WebClient
) -> None:
    say(node, OURS)
    page = client.get("/orders").text
    assert "<option>node-1</option>" in page
    assert "<option>drain</option>" in page
    assert "<option>run-transfer</option>" not in page
    sent = client.send("/orders", "/orders", member=NODE, order="drain")
    assert (sent.status, sent.headers["Location"]) == (303, "/orders")
    assert "Order drain is given to node-1" in client.get("/orders").text
    for fields in ({"member": "", "order": "drain"}, {"member": NODE, "order": "pin"}):
        assert client.send("/orders", "/orders", **fields).status == 400
    settle(site)
