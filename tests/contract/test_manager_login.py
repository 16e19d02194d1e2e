"""Logging in to the Web Manager: sessions and when they end, one-time codes, and what guessing and forging come to."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from clocks import SetClock
from controller_site import NOW, Site, controller_site
from waiting import until
from web_client import WebClient

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.passwords import hash_password
from mftgit.adapters.registry.operator_codes import OperatorCodes
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.registry.web_sessions import WebSessions
from mftgit.cli.main import run_verb
from mftgit.controller.operators.codes import Codes
from mftgit.controller.web.sessions import COOKIE, IDLE_S, LONGEST_S, MOST, Sessions
from mftgit.model.access import Kind, OperatorRole, Principal
from mftgit.model.events.event import EventName
from mftgit.model.inbound.totp import STEP_S, code_at, read_key
from mftgit.model.names import OperatorName

HASH = hash_password("p")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish({})
        yield made


@pytest.fixture
def registry(site: Site) -> Iterator[Registry]:
    with closing(Registry(site.folder.registry, now=NOW)) as made:
        yield made


def add(registry: Registry, name: str, role: OperatorRole = OperatorRole.PUBLISH) -> OperatorName:
    registry.add_operator(OperatorName(name), HASH, role)
    return OperatorName(name)


def is_in(client: WebClient) -> bool:
    return client.get("/account").status == 200


def last(site: Site, event: EventName) -> dict[str, object]:
    found = [each for _, each in site.events.after(0, limit=10_000) if each.event is event]
    return dict(found[-1].facts)


def test_the_cookie_is_for_this_host_alone_and_for_no_script(site: Site) -> None:
    client = WebClient(site)
    cookies = [client.get("/login"), client.log_in()]
    for each in cookies:
        said = each.headers["Set-Cookie"]
        assert said.startswith("__Host-")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(said.split("; "))
    assert len(client.cookies[COOKIE]) >= 43


def test_a_session_is_new_with_each_login_and_none_is_taken_over(site: Site) -> None:
    client = WebClient(site, cookies={COOKIE: "planted"})
    assert not is_in(client)
    client.log_in()
    first = client.cookies[COOKIE]
    assert first != "planted"
    client.log_in()
    assert client.cookies[COOKIE] != first


def test_no_secret_of_a_session_lies_in_the_records(site: Site) -> None:
    client = WebClient(site)
    client.log_in()
    files = [*site.folder.root.glob("registry*"), *site.folder.root.glob("events*")]
    assert all(client.cookies[COOKIE].encode() not in each.read_bytes() for each in files)


def test_a_session_outlives_a_restart(tmp_path: Path) -> None:
    with controller_site(tmp_path) as site:
        client = WebClient(site)
        client.log_in()
        site.stop()
        site.start()
        assert is_in(client)


@pytest.mark.parametrize("how", ["role", "removed", "password", "codes"])
def test_a_session_ends_with_what_opened_it(site: Site, registry: Registry, how: str) -> None:
    name = add(registry, f"end-{how}")
    client = WebClient(site)
    client.log_in(name, "p")
    assert is_in(client)
    if how == "role":
        registry.give_role(name, OperatorRole.READ)
    elif how == "codes":
        assert run_verb(["operator", "totp", name, "--dir", str(site.folder.root)]) == 0
    else:
        registry.remove_operator(name)
    if how == "password":
        registry.add_operator(name, hash_password("p"), OperatorRole.PUBLISH)
    assert not is_in(client)


def test_who_logs_out_is_out_with_that_session_only(site: Site, registry: Registry) -> None:
    name = add(registry, "outgoing")
    one, two = WebClient(site), WebClient(site)
    one.log_in(name, "p")
    two.log_in(name, "p")
    kept = dict(one.cookies)
    assert last(site, EventName.OPERATOR_LOGGED_IN)["operator"] == name
    assert one.send("/account", "/logout").headers["Location"] == "/login"
    assert COOKIE not in one.cookies
    one.cookies = kept
    assert not is_in(one)
    assert is_in(two)
    assert last(site, EventName.OPERATOR_LOGGED_OUT)["sessions"] == 1


def test_one_ends_ones_other_sessions_and_those_of_nobody_else(
    site: Site, registry: Registry
) -> None:
    name = add(registry, "several")
    here, there, other = WebClient(site), WebClient(site), WebClient(site)
    here.log_in(name, "p")
    there.log_in(name, "p")
    other.log_in()
    mine = json.loads(here.get("/api/v1/account").text)["sessions"]
    assert sorted(each["is_this"] for each in mine) == [False, True]
    foreign = json.loads(other.get("/api/v1/account").text)["sessions"][0]["id"]
    token = {"X-Form-Token": here.token}
    assert here.ask("DELETE", f"/api/v1/account/sessions/{foreign}", headers=token).status == 404
    ended = next(each["id"] for each in mine if not each["is_this"])
    assert here.send("/account", f"/account/sessions/{ended}/end").status == 303
    assert "The session is ended." in here.get("/account").text
    assert "The session is ended." not in here.get("/account").text
    assert (is_in(here), is_in(there), is_in(other)) == (True, False, True)
    there.log_in(name, "p")
    assert here.send("/account", "/account/log-out-everywhere").status == 303
    assert (is_in(here), is_in(there), is_in(other)) == (False, False, True)


def test_a_session_ends_by_time_and_there_are_only_so_many(tmp_path: Path) -> None:
    clock, path = SetClock(), tmp_path / "r.sqlite"
    with (
        closing(Registry(path, now=clock.now)) as registry,
        closing(OperatorCodes(path)) as kept,
        closing(WebSessions(path)) as records,
    ):
        name = add(registry, "alice")
        codes = Codes(kept, tmp_path / "age.key", clock=clock)
        sessions = Sessions(records, registry, codes, clock=clock)
        who = Principal(kind=Kind.OPERATOR, name=name, role=OperatorRole.PUBLISH)

        def opened() -> str:
            return sessions.open(who, client="here", agent="x").session.id

        idle = opened()
        clock.pass_s(IDLE_S - 1)
        assert sessions.find(idle) is not None
        clock.pass_s(1)
        assert sessions.find(idle) is None
        used = opened()
        for _ in range(int(LONGEST_S // (IDLE_S / 2))):
            assert sessions.find(used) is not None
            clock.pass_s(IDLE_S / 2)
            sessions.used(used)
        assert sessions.find(used) is None
        many = []
        for _ in range(MOST + 1):
            many.append(opened())
            clock.pass_s(1)
        assert sessions.find(many[0]) is None
        assert [each.id for each in sessions.of(name)] == many[:0:-1]


def test_a_login_needs_the_form_that_was_given_to_this_browser(site: Site) -> None:
    fields = {"name": "admin", "password": site.password}
    client, other = WebClient(site), WebClient(site)
    assert COOKIE not in client.cookies
    client.post("/login", fields)
    other.get("/login")
    client.send("/login", "/login", **fields, form_token="0" * 64)
    assert client.post("/login", fields, {"Sec-Fetch-Site": "cross-site"}).status == 403
    assert COOKIE not in client.cookies


@pytest.mark.parametrize("to", ["//evil.invalid", "https://evil.invalid", "/\\evil.invalid"])
def test_a_login_leads_to_no_other_host(site: Site, to: str) -> None:
    assert WebClient(site).log_in(to=to).headers["Location"] == "/"


def test_who_guesses_is_slowed_down_and_told_nothing_of_names(tmp_path: Path) -> None:
    with controller_site(tmp_path) as site:
        client = WebClient(site)
        known = client.log_in("admin", "wrong")
        unknown = client.log_in("nobody", "wrong")
        assert (known.status, unknown.status) == (403, 403)
        assert known.text.replace("admin", "") == unknown.text.replace("nobody", "")
        until(
            lambda: (client.log_in("admin", "wrong").status, client.log_in().status) == (429, 429)
        )


def test_an_operator_with_codes_logs_in_with_each_once(
    site: Site, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    name, folder = add(registry, "coded"), str(site.folder.root)
    capsys.readouterr()
    assert run_verb(["operator", "totp", name, "--dir", folder, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["uri"].startswith("otpauth://totp/")
    assert told["key"].encode() not in site.folder.registry.read_bytes()

    def code() -> str:
        now = int(SystemClock().now().timestamp()) // STEP_S
        return code_at(read_key(told["key"]), now)

    def enter(shown: str) -> int:
        return client.send("/login", "/login", name=name, password="p", code=shown).status

    client = WebClient(site)
    assert enter("") == 403
    assert enter("000000") == 403
    first = code()
    assert enter(first) == 303
    assert is_in(client)
    assert enter(first) == 403
    for path in ("/api/v1/cluster", "/api/v1/events/export", "/api/v1/openapi.json"):
        assert site.ask("GET", path, headers=site.basic(name, "p"))[0] == 403
    assert site.ask("GET", "/api/head", headers=site.basic(name, "p"))[0] == 200
    until(lambda: enter("000000") == 429)  # a slow machine guesses so slowly that it need not wait
    assert run_verb(["operator", "totp", name, "--remove", "--dir", folder]) == 0
    assert last(site, EventName.OPERATOR_CHANGED) == {"operator": name, "totp": False}
    assert enter("") == 303
    assert run_verb(["operator", "totp", "nobody", "--dir", folder]) == 1


def test_codes_end_with_their_operator(site: Site, registry: Registry) -> None:
    name = add(registry, "leaves")
    assert run_verb(["operator", "totp", name, "--dir", str(site.folder.root)]) == 0
    registry.remove_operator(name)
    add(registry, "leaves")
    client = WebClient(site)
    assert client.log_in(name, "p").status == 303
