"""The Web Manager under pressure: people who wait keep no member waiting, and what fails takes nothing else along."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Final

import pytest
from controller_site import NODE, NOW, Site, controller_site
from waiting import until
from web_client import WebClient

from mftgit.adapters.http_server.doors import NotAuthenticatedError, TooManyTriesError
from mftgit.adapters.passwords import hash_password
from mftgit.adapters.proof import Prover
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.tls import pki
from mftgit.controller.views import history
from mftgit.controller.views.editing import Editing
from mftgit.controller.views.worked_out import MAX_WAITS_OF_ONE
from mftgit.controller.web import sessions
from mftgit.model.access import OperatorRole
from mftgit.model.names import OperatorName

STATUS: Final[dict[str, object]] = {
    "name": NODE,
    "role": "node",
    "state": "active",
    "active_revision": None,
    "attempted_revision": None,
    "reason": None,
    "transfers": [],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with controller_site(tmp_path_factory.mktemp("manager")) as made:
        made.publish({})
        yield made


@pytest.fixture
def client(site: Site) -> WebClient:
    made = WebClient(site)
    assert made.log_in().status == 303
    return made


def test_people_who_wait_for_differences_keep_no_member_and_no_other_page_waiting(
    site: Site, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "WAIT_S", 3600.0)
    revision = site.publish({"locations/a.yaml": b"type: local\npath: a\n"})
    key = pki.make_identity()
    site.enrol(key)
    cluster_id = site.folder.read_bootstrap().cluster_id
    prover = Prover(member=NODE, cluster_id=cluster_id, key=key, now=NOW)
    compared = site.controller.web_parts.history._compared
    ended, answered = threading.Event(), []
    compared._pool.submit(ended.wait)

    def ask() -> None:
        path = f"/api/v1/revisions/{revision}/difference"
        answered.append(site.ask("GET", path, headers=site.basic())[0])

    threads = [threading.Thread(target=ask) for _ in range(MAX_WAITS_OF_ONE)]
    try:
        for each in threads:
            each.start()
        until(lambda: bool(compared._under_way))
        path = f"/api/members/{NODE}/status"
        said = json.dumps(STATUS).encode()
        assert site.ask("POST", path, body=said, headers=prover.headers("POST", path))[0] == 200
        assert client.get("/cluster").status == 200
        assert answered == []
    finally:
        ended.set()
        for each in threads:
            each.join()
    assert set(answered) == {200}


def test_a_disk_that_takes_nothing_takes_no_page_from_who_is_logged_in(
    site: Site, client: WebClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_NOTE_EVERY_S", -1.0)
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        with registry._database.write() as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE UPDATE ON web_sessions "
                "BEGIN SELECT RAISE(ABORT, 'no space'); END"
            )
        assert client.get("/account").status == 200
        with registry._database.write() as connection:
            connection.execute("DROP TRIGGER full")


def test_what_one_window_keeps_while_another_proposes_stays_in_the_draft(site: Site) -> None:
    parts = site.controller.web_parts
    editing: Editing = parts.editing
    proposed = editing.change("ann", "locations/one.yaml", "type: local\npath: one\n")
    editing.change("ann", "locations/two.yaml", "type: local\npath: two\n")
    editing.drop("ann", proposed)
    left = editing.draft("ann")
    assert left is not None
    assert list(left.files) == ["locations/two.yaml"]
    editing.drop("ann", left)
    assert editing.draft("ann") is None


def test_two_windows_that_keep_at_once_lose_nothing(site: Site) -> None:
    editing = site.controller.web_parts.editing
    paths = [f"locations/l{number}.yaml" for number in range(40)]
    threads = [
        threading.Thread(target=editing.change, args=("eve", path, "type: local\npath: x\n"))
        for path in paths
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    draft = editing.draft("eve")
    assert draft is not None
    assert sorted(draft.files) == sorted(paths)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/orders", {"member": "controller", "order": "end-session", "session": "9" * 5_000}),
        ("/orders", {"member": "controller", "order": "end-session", "session": "0"}),
        ("/orders", {"member": "controller", "order": "end-session", "session": "9" * 30}),
        ("/proposals/x/comments", {"text": "x", "line": "000000001" + "9" * 5_000}),
    ],
)
def test_a_number_without_end_is_refused(
    client: WebClient, path: str, fields: dict[str, str]
) -> None:
    sent = {"form_token": client.token, "account": "x", "revision": "0" * 40, **fields}
    assert client.post(path, sent).status == 400
    assert client.get("/api/v1/revisions?limit=000000001" + "9" * 5_000).status == 400


@pytest.mark.parametrize("session", [10**30, 1e300, 0, -1, "7"])
def test_an_order_names_a_session_that_can_be(site: Site, session: object) -> None:
    body = {"member": "controller", "order": "end-session", "session": session, "account": "x"}
    headers = {**site.basic(), "Content-Type": "application/json"}
    said = json.dumps(body).encode()
    assert site.ask("POST", "/api/v1/orders", body=said, headers=headers)[0] == 400


def test_who_has_a_whole_network_guesses_no_faster(site: Site) -> None:
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.add_operator(OperatorName("otto"), hash_password("p"), OperatorRole.READ)
    log_in = site.controller.web_parts.log_in
    addresses = (f"2001:db8::{number:x}" for number in count(1))

    def is_too_soon(password: str) -> bool:
        try:
            log_in("otto", password, "", next(addresses))
        except TooManyTriesError:
            return True
        except NotAuthenticatedError:
            return False
        return False

    with pytest.raises(NotAuthenticatedError, match="wrong name or password"):
        log_in("otto", "guess", "", next(addresses))
    # A slow machine guesses so slowly that it need not wait.
    until(lambda: is_too_soon("guess") and is_too_soon("p"))
    assert log_in("otto", "p", "", "2001:db8:0:1::1").name == "otto"
