"""A member that lies, in its events and in what it says of itself: every page and call answers all the same."""

import json
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, Final

import pytest
from controller_site import NODE, NOW, Site, controller_site
from web_client import WebClient

from mftgit.adapters.proof import Prover
from mftgit.adapters.tls import pki
from mftgit.model.events.event import EventName

HUGE: Final = 10**400
ODD: Final[tuple[Any, ...]] = (
    HUGE,
    -HUGE,
    1e308,
    -1.5,
    True,
    "x",
    "inf",
    "nan",
    "",
    "</script><img src=x onerror=alert(1)>\u202e\x00",
    "\ud800",
    [],
    {},
    [[1], {"a": None}, "b"],
    {"a": [1], "b": "c", "": {"d": HUGE}},
)
"""What a fact may be in JSON, and no honest member writes."""

FACTS: Final = (
    *(
        "account",
        "argument",
        "bytes",
        "client",
        "destination",
        "error",
        "errors",
        "files",
        "final",
        "how",
        "kind",
    ),
    *(
        "outcome",
        "path",
        "reason",
        "role",
        "sent_bytes",
        "service",
        "size_bytes",
        "source",
        "stopped_by",
        "to",
    ),
    *(
        "transfer",
        "who",
        "by",
        "for",
        "order",
        "number",
        "seconds",
        "failures",
        "dropped",
        "operator",
        "session",
    ),
)
PAGES: Final = (
    "/cluster",
    "/transfers",
    "/transfers/one",
    "/transfers/one/history",
    "/inbound",
    "/inbound/history",
    "/inbound/history?of=download",
    "/events",
    "/events?text=x",
    "/events?severity=error",
)
CALLS: Final = (
    "/api/v1/cluster",
    "/api/v1/transfers",
    "/api/v1/transfers/one",
    "/api/v1/transfers/one/history",
    "/api/v1/transfers/one/volume",
    "/api/v1/inbound/sessions",
    "/api/v1/inbound/services",
    "/api/v1/inbound/uploads",
    "/api/v1/inbound/downloads",
    "/api/v1/inbound/uploads/volume",
    "/api/v1/events",
    "/api/v1/orders",
)
RUN: Final = {"outcome": "x", "at": "x", "files": 1, "bytes": 1}
WAY: Final = {
    "path": "p",
    "side": "source",
    "bytes": 1,
    "done_bytes": 1,
    "elapsed_s": 1.0,
    "bytes_per_s": 1.0,
    "remaining_s": 1.0,
}
TRANSFER: Final = {
    "name": "one",
    "ownership": "single",
    "owner": NODE,
    "epoch": 1,
    "state": "running",
    "last_run": RUN,
    "delivered": 1,
    "waiting": {"too_fresh": 0, "failed": 0},
    "under_way": [WAY],
}
SERVICE: Final = {
    "name": "sftp",
    "address": "a:1",
    "state": "serving",
    "connections": 1,
    "sessions": 1,
    "workers": 1,
    "banned": 1,
}
STATUS: Final = {
    "name": NODE,
    "role": "node",
    "state": "active",
    "active_revision": None,
    "attempted_revision": None,
    "reason": None,
    "transfers": [TRANSFER],
    "services": [SERVICE],
    "event_handlers": [],
}
SESSION: Final = {
    "id": 1,
    "service": "sftp",
    "account": "acme",
    "source": "192.0.2.1",
    "since": "x",
    "client": "x",
    "factors": ["password"],
    "received_bytes": 1,
    "sent_bytes": 1,
    "uploads": 1,
    "downloads": 1,
}


class Liar:
    """A member with a key of its own that says what it likes."""

    def __init__(self, site: Site) -> None:
        key = pki.make_identity()
        site.enrol(key)
        cluster_id = site.folder.read_bootstrap().cluster_id
        self._prover = Prover(member=NODE, cluster_id=cluster_id, key=key, now=NOW)
        self._site = site
        self._numbers = count(1)

    def say(self, path: str, text: str) -> int:
        headers = dict(self._prover.headers("POST", path)) | {"Content-Type": "application/json"}
        return self._site.ask("POST", path, body=text.encode(), headers=headers)[0]

    def tell(self, *events: tuple[EventName, Mapping[str, Any]]) -> int:
        at = "2026-11-29T10:00:00.000Z"
        said = [
            {"member": NODE, "seq": next(self._numbers), "at": at, "event": name.value, **facts}
            for name, facts in events
        ]
        return self.say(f"/api/members/{NODE}/events", json.dumps({"events": said}))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish({})
        yield made


@pytest.fixture(scope="module")
def liar(site: Site) -> Liar:
    made = Liar(site)
    assert made.say(f"/api/members/{NODE}/status", json.dumps(STATUS)) == 200
    return made


@pytest.fixture(scope="module")
def client(site: Site) -> WebClient:
    made = WebClient(site)
    assert made.log_in().status == 303
    return made


def refuse_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def check(client: WebClient, paths: tuple[str, ...] = (*PAGES, *CALLS)) -> None:
    """See that everything is answered, in JSON that every reader takes, and that nothing became markup."""
    assert [told for path in paths if (told := wrong(client, path))] == []


def wrong(client: WebClient, path: str) -> str | None:
    answer = client.get(path)
    if answer.status != 200:
        return f"{path}: {answer.status}"
    if ("<img" in answer.text and not path.startswith("/api/")) or "\u202e" in answer.text:
        return f"{path}: markup, or what does not print"
    if path.startswith("/api/"):
        try:
            json.loads(answer.text, parse_constant=refuse_constant)
        except ValueError as error:
            return f"{path}: {error}"
    return None


def variants(value: Any, odd: Any) -> Iterator[Any]:
    """Give ``value`` with each of its parts in turn replaced by ``odd``."""
    if isinstance(value, dict):
        for key, part in value.items():
            for other in variants(part, odd):
                yield {**value, key: other}
    elif isinstance(value, list) and value:
        for other in variants(value[0], odd):
            yield [other]
    yield odd


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_no_event_of_one_member_takes_a_page_from_everybody(
    site: Site, liar: Liar, client: WebClient, odd: Any
) -> None:
    facts = dict.fromkeys(FACTS, odd)
    named = {**facts, "transfer": "one", "account": "acme"}
    assert liar.tell(*((name, each) for name in EventName for each in (facts, named))) == 200
    site.controller.web_parts.volumes.look()
    check(client)


@pytest.mark.parametrize("odd", [HUGE, "nan", "</script><img src=x>\u202e\ud800"])
def test_nothing_that_one_member_says_of_itself_takes_a_page_from_everybody(
    liar: Liar, client: WebClient, odd: Any
) -> None:
    told = (("status", STATUS), ("sessions", {"sessions": [SESSION], "more": 0}))
    for place, honest in told:
        taken = 0
        for said in variants(honest, odd):
            answer = liar.say(f"/api/members/{NODE}/{place}", json.dumps(said))
            assert answer in {200, 400}, said
            if answer == 200:
                taken += 1
                check(client, ("/cluster", "/transfers") if place == "status" else ("/inbound",))
        assert taken or not isinstance(odd, str), place
    assert liar.say(f"/api/members/{NODE}/status", json.dumps(STATUS)) == 200


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_what_is_no_number_of_json_is_not_taken_in(liar: Liar, word: str) -> None:
    honest = {"member": NODE, "seq": 90_000, "at": "x", "event": "RunFailed", "size_bytes": 0.5}
    said = json.dumps({"events": [honest]}).replace("0.5", word)
    assert liar.say(f"/api/members/{NODE}/events", said) == 400
