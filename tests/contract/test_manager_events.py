"""Events by the page and the API: searched, followed as they come, and exported, each within its bounds."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote

import pytest
from controller_site import NODE, NOW, Site, controller_site
from jsonschema import Draft202012Validator
from web_client import WebClient

from mftgit.adapters.events.store import EventStore
from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.registry import Registry
from mftgit.controller.web import event_lines
from mftgit.controller.web.event_told import told_schema
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.names import Epoch, OperatorName, Revision

HOSTILE = '<script>window.hurt = 1</script>\x1b[2J"&'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish({})
        for number in range(1, 8):
            tell(made, number, transfer="invoices", path=f"in/{number}.pdf")
        tell(made, 8, EventName.RUN_FAILED, transfer="orders", errors=[HOSTILE])
        tell(made, 9, EventName.SESSION_OPENED, service="sftp", account="supplier")
        yield made


@pytest.fixture
def client(site: Site) -> WebClient:
    made = WebClient(site)
    assert made.log_in().status == 303
    return made


def store(site: Site) -> EventStore:
    return site.controller.web_parts.events


def tell(
    site: Site, seq: int, name: EventName = EventName.DELIVERY_SUCCEEDED, **facts: Fact
) -> None:
    at = f"2026-11-29T10:00:{seq % 60:02}.000Z"
    event = Event(
        member=NODE,
        seq=seq,
        at=at,
        event=name,
        revision=Revision("ab" * 20),
        epoch=Epoch(3),
        facts=facts,
    )
    assert store(site).collect([event]) == 1


def asked(site: Site, query: str = "") -> Any:
    status, answer = site.ask("GET", f"/api/v1/events{query}", headers=site.basic())
    assert status == 200, answer
    return answer


def seqs(answer: Any) -> list[int]:
    return [each["event"]["seq"] for each in answer["events"]]


def test_a_search_gives_the_newest_first_and_goes_on_from_where_it_came_to(site: Site) -> None:
    first = asked(site, "?component=transfer/invoices&limit=4")
    assert seqs(first) == [7, 6, 5, 4]
    assert not first["is_whole"]
    rest = asked(site, f"?component=transfer/invoices&limit=4&before={first['reached']}")
    assert seqs(rest) == [3, 2, 1]
    assert rest["is_whole"]
    after = first["events"][1]["position"]
    assert seqs(asked(site, f"?component=transfer/invoices&after={after}")) == [7]


def test_an_event_is_told_in_plain_words_with_what_it_is_about(site: Site) -> None:
    (told,) = asked(site, "?account=supplier&severity=info")["events"]
    Draft202012Validator(dict(told_schema())).validate(told)
    assert told["words"] == "supplier logged in at sftp from -"
    assert (told["component"], told["group"]) == ("service/sftp", "inbound")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?event=RunFaild", "did you mean 'RunFailed'?"),
        ("?memer=a", "did you mean 'member'?"),
        ("?before=x", "before is to be a whole number"),
        ("?limit=99999999999999999999", "limit is to be a whole number"),
        ("?before=1&after=2", "do not go together"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/events/live", "/api/v1/events/export"])
def test_what_cannot_be_asked_for_is_refused_by_each_call(
    site: Site, path: str, query: str, said: str
) -> None:
    status, answer = site.ask("GET", path + query, headers=site.basic())
    assert status == 400
    assert path != "/api/v1/events" or said in answer["error"]


def test_nobody_sees_events_without_logging_in(site: Site) -> None:
    for path in ("/api/v1/events", "/api/v1/events/live", "/api/v1/events/export"):
        assert site.ask("GET", path)[0] == 401
    assert WebClient(site).get("/events").status == 303


def test_an_export_has_every_event_as_the_command_line_prints_it(
    site: Site, client: WebClient
) -> None:
    answer = client.get("/api/v1/events/export?member=node-1&revision=abab")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    mine = [event for _, event in store(site).after(0) if event.member == NODE]
    assert lines == [json.loads(json.dumps(each.as_json())) for each in mine]


def test_no_more_than_a_few_exports_are_under_way_at_a_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_lines, "MOST_EXPORTS", 0)
    status, answer = site.ask("GET", "/api/v1/events/export", headers=site.basic())
    assert status == 503
    assert "ask again later" in answer["error"]


# Live


@contextmanager
def following(
    site: Site, query: str = "", *, headers: Mapping[str, str] | None = None
) -> Iterator[HTTPResponse]:
    context = ssl.create_default_context(cafile=str(site.folder.ca_file))
    host, port = site.url.removeprefix("https://").split(":")
    line = HTTPSConnection(host, int(port), context=context, timeout=60)
    try:
        line.request("GET", f"/api/v1/events/live{query}", headers=headers or site.basic())
        answer = line.getresponse()
        assert answer.status == 200
        yield answer
    finally:
        line.close()


def next_event(answer: HTTPResponse) -> tuple[int, Any]:
    """Return position and content of the next event on the line."""
    position = -1
    while True:
        line = answer.readline().decode().rstrip("\n")
        if line.startswith("id: "):
            position = int(line[4:])
        elif line.startswith("data: {"):
            return position, json.loads(line[6:])


def test_who_follows_is_told_what_is_written_from_then_on_and_asked_for(site: Site) -> None:
    with following(site, "?severity=error") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.readline() == b"retry: 3000\n"
        tell(site, 10, transfer="receipts")
        tell(site, 11, EventName.RUN_FAILED, transfer="orders")
        position, told = next_event(answer)
        assert told["event"]["seq"] == 11
        assert told["position"] == position


def test_who_comes_back_is_told_what_came_meanwhile(site: Site) -> None:
    (newest,) = asked(site, "?limit=1")["events"]
    tell(site, 12, transfer="receipts")
    tell(site, 13, transfer="receipts")
    last = {"Last-Event-ID": str(newest["position"])}
    with following(site, "?after=0", headers={**site.basic(), **last}) as answer:
        assert [next_event(answer)[1]["event"]["seq"] for _ in range(2)] == [12, 13]


def test_one_more_than_may_follow_is_to_try_again_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_lines, "MOST_OF_ONE", 0)
    with following(site) as answer:
        assert answer.read() == b"retry: 30000\n\n"


def test_a_line_ends_with_the_session(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_lines, "_SIGN_OF_LIFE_S", 0)
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.add_operator(OperatorName("rita"), hash_password("p"), OperatorRole.READ)
    client = WebClient(site)
    client.log_in("rita", "p")
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    with following(site, headers={"Cookie": cookie}) as answer:
        assert answer.readline() == b"retry: 3000\n"
        with closing(Registry(site.folder.registry, now=NOW)) as registry:
            registry.give_role(OperatorName("rita"), OperatorRole.PROPOSE)
        assert b"event: over" in answer.read()


@pytest.mark.parametrize("by", ["cookie", "password"])
def test_a_line_ends_with_its_operator_however_much_there_is_to_tell(
    site: Site, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr(event_lines, "_SIGN_OF_LIFE_S", 0.1)
    monkeypatch.setattr(event_lines, "_LOOK_EVERY_S", 0.05)
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.add_operator(OperatorName("ruth"), hash_password("p"), OperatorRole.READ)
    client = WebClient(site)
    client.log_in("ruth", "p")
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    who = {"Cookie": cookie} if by == "cookie" else site.basic("ruth", "p")
    with following(site, headers=who) as answer, always_something(site):
        next_event(answer)
        with closing(Registry(site.folder.registry, now=NOW)) as registry:
            registry.remove_operator(OperatorName("ruth"))
        assert any(answer.readline() == b"event: over\n" for _ in range(5_000))


@contextmanager
def always_something(site: Site) -> Iterator[None]:
    """Write events without a pause."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.01):
            store(site).append(EventName.MEMBER_STARTED)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


# The page


def test_the_page_shows_events_with_their_facts_and_ways_on(client: WebClient) -> None:
    page = client.get("/events?severity=error&text=window.hurt").text
    assert "a run of orders failed" in page
    assert "<script>window" not in page
    assert "\x1b" not in page
    assert 'href="/transfers/orders"' in page
    assert f'href="/history/{"ab" * 20}"' in page
    assert 'value="window.hurt"' in page


def test_a_page_of_older_events_is_a_link_away_and_not_live(
    client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mftgit.controller.web.events._AT_ONCE", 3)
    page = client.get("/events?component=transfer%2Finvoices").text
    assert "data-follow" in page
    older = page.split('rel="next"')[0].rpartition('href="')[2].partition('"')[0]
    assert older.startswith("/events?component=transfer%2Finvoices&amp;before=")
    second = client.get(older.replace("&amp;", "&")).text
    assert "data-follow" not in second
    assert ">Newest<" in second


def test_a_filter_that_cannot_be_is_told_on_the_page_with_the_form_as_it_was(
    client: WebClient,
) -> None:
    answer = client.get(f"/events?event={quote('RunFaild')}&text=abc")
    assert answer.status == 400
    assert "did you mean &#39;RunFailed&#39;?" in answer.text
    assert 'value="abc"' in answer.text
    assert 'value="RunFaild"' in answer.text
