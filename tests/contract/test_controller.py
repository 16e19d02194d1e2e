"""The controller's doors, over real TLS: who may do what, and what a rude client costs."""

import base64
import json
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import jwt
import pytest
from controller_site import NOW, Site, controller_site
from loguru import logger
from waiting import WAIT_S, until

from mftgit.adapters.channel import (
    Channel,
    ControllerRefusedError,
    ControllerUnreachableError,
    fetch_authority,
)
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.http_server.doors import Pool
from mftgit.adapters.proof import Prover
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.tls import pki
from mftgit.controller.certificate import renew_certificate
from mftgit.controller.members import notify, presence
from mftgit.errors import ConfigError
from mftgit.member import app
from mftgit.member.counting import Counting
from mftgit.model.access import Access, OperatorRole
from mftgit.model.brake import FREE_TRIES
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.messages import MAX_REPORT_BYTES, Hint, MemberState, MemberStatus
from mftgit.model.names import MemberName, OperatorName, Revision

NODE = MemberName("node-1")
STATUS = MemberStatus(
    name=NODE,
    role=Role.NODE,
    state=MemberState.ACTIVE,
    active_revision=Revision("a" * 40),
    attempted_revision=None,
    reason=None,
)


if TYPE_CHECKING:
    from loguru import Message


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


@pytest.fixture
def key(site: Site) -> bytes:
    """The key of a member that has joined."""
    made = pki.make_identity()
    registry = Registry(site.folder.registry, now=NOW)
    registry.enrol(NODE, role=Role.NODE, public_key=pki.public_identity(made))
    registry.close()
    return made


def events_of(site: Site) -> list[Event]:
    store = EventStore(site.folder.events, member=MemberName("reader"), now=NOW)
    found = [event for _, event in store.after(0)]
    store.close()
    return found


def test_nobody_gets_in_without_a_credential(site: Site) -> None:
    for path in ("/api/head", "/config.git/info/refs?service=git-upload-pack"):
        status, answer = site.ask("GET", path)
        assert status == 401
        assert "log in" in answer["error"]
    assert site.ask("GET", "/healthz") == (200, {"healthy": True})
    assert site.ask("GET", "/nowhere")[0] == 404
    assert site.ask("DELETE", "/api/head")[0] == 405


@pytest.mark.parametrize(
    "header",
    ["Basic !!!", "Basic " + b64encode(b"admin:wrong").decode(), "Bearer x", "Digest x", "Basic"],
)
def test_a_bad_credential_is_refused_also_where_none_is_needed(site: Site, header: str) -> None:
    for path in ("/api/head", "/healthz"):
        assert site.ask("GET", path, headers={"Authorization": header})[0] == 401


def test_it_is_ready_while_what_it_hosts_can_be_had(site: Site) -> None:
    assert site.ask("GET", "/readyz") == (200, {"ready": True})
    site.folder.repository.rename(site.folder.root / "aside")
    assert site.ask("GET", "/readyz") == (503, {"ready": False})
    assert site.ask("GET", "/healthz")[0] == 200
    (site.folder.root / "aside").rename(site.folder.repository)
    assert site.ask("GET", "/readyz")[0] == 200


def test_the_log_tells_who_asked_what_and_of_polls_only_what_went_wrong(site: Site) -> None:
    told: list[dict[str, str]] = []

    def take(message: "Message") -> None:
        if message.record["message"] == "request answered":
            told.append({name: str(value) for name, value in message.record["extra"].items()})

    logger.enable("mftgit")
    sink = logger.add(take, level="DEBUG")
    try:
        site.ask("GET", "/api/head", headers=site.basic())
        site.ask("GET", "/api/head")
        path = "/config.git/info/refs"
        site.ask("GET", f"{path}?service=git-upload-pack", headers=site.basic())
        until(lambda: len(told) == 2)
    finally:
        logger.remove(sink)
        logger.disable("mftgit")
    refused, answered = told
    assert (refused["who"], refused["status"]) == ("nobody", "401")
    assert (answered["who"], answered["path"], answered["status"]) == (
        "operator admin",
        path,
        "200",
    )
    assert site.password not in str(told)


def test_a_failed_login_is_an_event_without_the_password(site: Site) -> None:
    site.ask("GET", "/api/head", headers=site.basic(password="a-wrong-password"))
    (event,) = [each for each in events_of(site) if each.event is EventName.LOGIN_FAILED]
    assert event.facts["who"] == "admin"
    assert "a-wrong-password" not in str(event)


def guesses(site: Site) -> list[tuple[int, Any]]:
    """Guess until a guess has to wait; each that a busy machine makes too late for that doubles the wait."""
    answers: list[tuple[int, Any]] = []
    while not answers or answers[-1][0] != 429:
        answers.append(site.ask("GET", "/api/head", headers=site.basic(password="guess")))
    assert [status for status, _ in answers[:-1]] == [401] * max(FREE_TRIES, len(answers) - 1)
    return answers


def test_a_name_alone_as_git_shows_it_first_is_no_guess(site: Site) -> None:
    alone = {"Authorization": f"Basic {base64.b64encode(b'admin:').decode()}"}
    for _ in range(2 * FREE_TRIES):
        assert site.ask("GET", "/api/head", headers=alone)[0] == 401
    assert site.ask("GET", "/api/head", headers=site.basic())[0] == 200
    assert not [each for each in events_of(site) if each.event is EventName.LOGIN_FAILED]


def test_guessing_becomes_slow_and_who_has_just_logged_in_notices_nothing(site: Site) -> None:
    assert site.ask("GET", "/api/head", headers=site.basic())[0] == 200
    answers = guesses(site)
    assert "try again in" in answers[-1][1]["error"]
    assert site.ask("GET", "/api/head", headers=site.basic())[0] == 200
    failed = [each for each in events_of(site) if each.event is EventName.LOGIN_FAILED]
    assert len(failed) == len(answers) - 1  # what is not looked at fills no disk


def test_a_right_password_after_wrong_ones_waits_like_any_other_try(site: Site) -> None:
    def tried() -> int:
        return site.ask("GET", "/api/head", headers=site.basic())[0]

    def waits() -> bool:
        """Guess, and tell whether a good try has to wait; where a busy machine makes it late for that, it has not."""
        guesses(site)
        return tried() == 429

    assert any(waits() for _ in range(10))
    until(lambda: tried() != 429)
    assert tried() == 200


def test_a_role_that_is_changed_counts_for_the_next_request(site: Site) -> None:
    path = "/config.git/info/refs?service=git-receive-pack"
    assert site.ask("GET", path, headers=site.basic())[0] == 200
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.give_role(OperatorName("admin"), OperatorRole.READ)
    assert site.ask("GET", path, headers=site.basic())[0] == 403
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.remove_operator(OperatorName("admin"))
    assert site.ask("GET", path, headers=site.basic())[0] == 401


def test_an_operator_may_push_and_a_member_may_not(site: Site, key: bytes) -> None:
    path = "/config.git/info/refs"
    status, _ = site.ask("GET", f"{path}?service=git-receive-pack", headers=site.basic())
    assert status == 200
    cluster_id = site.folder.read_bootstrap().cluster_id
    proof = Prover(member=NODE, cluster_id=cluster_id, key=key, now=NOW).headers("GET", path)
    assert site.ask("GET", f"{path}?service=git-upload-pack", headers=proof)[0] == 200
    status, answer = site.ask("GET", f"{path}?service=git-receive-pack", headers=proof)
    assert status == 403
    assert b"may not push" in answer


def test_an_operator_cannot_speak_for_a_member(site: Site, key: bytes) -> None:
    del key
    status, answer = site.ask(
        "POST", f"/api/members/{NODE}/status", body=b"{}", headers=site.basic()
    )
    assert status == 403
    assert "members" in answer["error"]


def test_the_head_is_told_once_and_then_as_not_modified(site: Site, key: bytes) -> None:
    channel = site.channel(key=key)
    head = channel.head(None)
    assert head is not None
    assert head.seq >= 1
    assert channel.head(head) is None
    channel.close()


def test_a_member_reports_for_itself_only(site: Site, key: bytes) -> None:
    channel = site.channel(key=key)
    channel.send_status(STATUS)
    event = Event(member=NODE, seq=1, at="x", event=EventName.RUN_STARTED)
    assert channel.send_events(NODE, [event]) == 1
    other = MemberName("node-2")
    with pytest.raises(ControllerRefusedError, match="for itself only"):
        channel.send_events(other, [event])
    with pytest.raises(ControllerRefusedError, match="own events only"):
        channel.send_events(NODE, [Event(member=other, seq=1, at="x", event=EventName.RUN_STARTED)])
    channel.close()
    assert [each.event for each in events_of(site) if each.member == NODE] == [
        EventName.RUN_STARTED
    ]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("events", b"nonsense"),
        ("events", b"[]"),
        ("events", b"{}"),
        ("events", b'{"events": []}'),
        ("events", b'{"events": [7]}'),
        ("events", b'{"events": [{"member": "node-1"}]}'),
        ("status", b"[" * 100_000),
        ("status", b'{"name": "node-1"}'),
        ("status", json.dumps(STATUS.as_json(last_seen_s=None) | {"name": "other"}).encode()),
    ],
)
def test_a_report_of_another_shape_is_refused(
    site: Site, key: bytes, kind: str, body: bytes
) -> None:
    path = f"/api/members/{NODE}/{kind}"
    cluster_id = site.folder.read_bootstrap().cluster_id
    proof = Prover(member=NODE, cluster_id=cluster_id, key=key, now=NOW).headers("POST", path)
    status, answer = site.ask("POST", path, body=body, headers=proof)
    assert status == 400
    assert answer["error"]


def test_a_body_above_the_bound_is_refused(site: Site, key: bytes) -> None:
    path = f"/api/members/{NODE}/status"
    cluster_id = site.folder.read_bootstrap().cluster_id
    proof = Prover(member=NODE, cluster_id=cluster_id, key=key, now=NOW).headers("POST", path)
    status, _ = site.ask("POST", path, body=b" " * (MAX_REPORT_BYTES + 1), headers=proof)
    assert status == 413
    assert site.ask("POST", "/api/join", body=b"{}")[0] == 400
    assert site.ask("POST", "/api/join", body=b" " * (2 << 20))[0] == 413


def test_a_question_that_carries_a_body_is_refused(site: Site) -> None:
    assert site.ask("GET", "/healthz")[0] == 200
    assert site.ask("GET", "/healthz", body=b"x")[0] == 413


def head_of(site: Site, method: str, path: str, *headers: str) -> bytes:
    """Send the head of a request whose body does not come, and return how the answer begins."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Content-Length: 60000000", *headers]
    context = ssl.create_default_context(cafile=str(site.folder.ca_file))
    host, _, port = site.url.removeprefix("https://").partition(":")
    with (
        socket.create_connection((host, int(port)), timeout=WAIT_S) as wire,
        context.wrap_socket(wire, server_hostname=host) as secure,
    ):
        secure.sendall("\r\n".join([*lines, "", ""]).encode())
        return secure.recv(12)


def test_a_body_is_not_waited_for_where_none_is_taken(site: Site) -> None:
    assert head_of(site, "GET", "/healthz") == b"HTTP/1.1 413"


def test_who_may_not_push_sends_nothing_before_hearing_it(site: Site, key: bytes) -> None:
    path = "/config.git/git-receive-pack"
    cluster_id = site.folder.read_bootstrap().cluster_id
    proof = Prover(member=NODE, cluster_id=cluster_id, key=key, now=NOW).headers("POST", path)
    shown = f"Authorization: {proof['Authorization']}"
    assert head_of(site, "POST", path, shown) == b"HTTP/1.1 403"


def test_strangers_hold_no_connection_for_long(site: Site) -> None:
    doors = [each for each in site.controller._doors() if each.access is Access.ANYONE]
    assert {each.max_body_s for each in doors if each.max_body_bytes} == {10.0}


def test_a_name_that_is_no_text_is_no_member(site: Site) -> None:
    token = jwt.encode({"iss": "\ud800"}, "x" * 32, algorithm="HS256")
    status, answer = site.ask("GET", "/api/head", headers={"Authorization": f"Bearer {token}"})
    assert (status, "names no member" in answer["error"]) == (401, True)


def test_of_many_bad_proofs_few_are_written_down(site: Site) -> None:
    for _ in range(50):
        assert site.ask("GET", "/api/head", headers={"Authorization": "Bearer x"})[0] == 401
    failed = [each for each in events_of(site) if each.event is EventName.LOGIN_FAILED]
    assert FREE_TRIES <= len(failed) < 20


@pytest.mark.parametrize("table", ["members", "head"])
def test_records_that_cannot_be_read_are_the_controller_s_fault(
    site: Site, key: bytes, table: str
) -> None:
    with closing(sqlite3.connect(site.folder.registry)) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO aside")
        with (
            closing(site.channel(key=key)) as channel,
            pytest.raises(ControllerUnreachableError, match="no such table"),
        ):
            channel.head(None)
        connection.execute(f"ALTER TABLE aside RENAME TO {table}")


def test_a_join_with_a_short_key_is_refused(site: Site) -> None:
    body = json.dumps({"member": "x", "secret": "y", "public_key": "z"}).encode()
    status, answer = site.ask("POST", "/api/join", body=body)
    assert (status, "public_key" in answer["error"]) == (400, True)


def test_every_waiting_member_is_woken_when_the_head_moves(site: Site, key: bytes) -> None:
    woken = [threading.Event() for _ in range(20)]
    listening = [threading.Event() for _ in range(20)]

    def listen(number: int) -> None:
        channel = site.channel(key=key)
        waits = cast("Generator[Hint, None, None]", channel.wait())
        assert [next(waits) for _ in Hint] == list(Hint)  # those that come with the line
        listening[number].set()
        assert next(waits) is Hint.HEAD
        woken[number].set()
        waits.close()
        channel.close()

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    assert all(each.wait(WAIT_S) for each in listening)
    site.controller._notifier.notify()
    for thread in threads:
        thread.join(WAIT_S)
    assert all(each.is_set() for each in woken)


CLIENT = """
import sys, threading
from pathlib import Path
from mftgit.adapters.channel import Channel
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.proof import Prover
from mftgit.model.names import MemberName

url, ca_file, key, cluster_id, name = sys.argv[1:]
prover = Prover(
    member=MemberName(name), cluster_id=cluster_id, key=Path(key).read_bytes(), now=SystemClock().now
)
channel = Channel(url, ca_file=Path(ca_file), headers=prover.headers)
threading.Thread(target=lambda: [None for _ in channel.wait()], daemon=True).start()
while True:
    channel.head(None)
    threading.Event().wait(0.1)
"""


@contextmanager
def client_of(site: Site, key: bytes, tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that listens, and asks for the head all the time."""
    (tmp_path / "key").write_bytes(key)
    cluster_id = site.folder.read_bootstrap().cluster_id
    words = [site.url, site.folder.ca_file, tmp_path / "key", cluster_id, NODE]
    client = subprocess.Popen([sys.executable, "-c", CLIENT, *map(str, words)])
    try:
        until(lambda: site.last_seen() and site.controller._notifier._waiting)
        yield client
    finally:
        client.kill()
        client.wait()


def cut_off(site: Site) -> float:
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        return next(each.cut_off or 0.0 for each in registry.members() if each.name == NODE)


def test_a_member_that_stands_still_is_heard_of_no_more_though_its_line_is_open(
    site: Site, key: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "SIGN_OF_LIFE_S", 0.1)
    monkeypatch.setattr(presence, "WRITE_EVERY_S", 0.1)
    site.stop()
    site.start()
    with client_of(site, key, tmp_path) as client:
        seen = site.last_seen()
        until(lambda: site.last_seen() > seen)
        client.send_signal(signal.SIGSTOP)
        until(lambda: NOW().timestamp() - site.last_seen() > 3.0)
        assert site.controller._notifier._waiting  # the line itself is as it was
        assert cut_off(site) == 0.0
        client.send_signal(signal.SIGCONT)
        seen = site.last_seen()
        until(lambda: site.last_seen() > seen)


def test_a_member_whose_process_dies_is_cut_off_until_it_listens_again(
    site: Site, key: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "WRITE_EVERY_S", 0.1)
    site.stop()
    site.start()
    with client_of(site, key, tmp_path) as client, client_of(site, key, tmp_path) as twin:
        until(lambda: len(site.controller._notifier._waiting) == 2)
        twin.kill()
        until(lambda: len(site.controller._notifier._waiting) == 1)
        for _ in range(2):  # so often it was written down since
            seen = site.last_seen()
            until(lambda seen=seen: site.last_seen() > seen)  # type: ignore[misc]
        assert cut_off(site) == 0.0  # one line is open
        client.kill()
        until(lambda: cut_off(site) >= site.last_seen())
    with client_of(site, key, tmp_path):
        until(lambda: site.last_seen() > cut_off(site))


def test_a_controller_that_stops_takes_nobody_for_cut_off(
    site: Site, key: bytes, tmp_path: Path
) -> None:
    with client_of(site, key, tmp_path):
        site.controller.stop()
        assert cut_off(site) == 0.0


def test_a_member_that_is_removed_learns_of_it_by_its_line(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "SIGN_OF_LIFE_S", 0.1)
    parts, _ = site.parts()
    with closing(EventStore(parts.folder.events, member=NODE, now=NOW)) as events:
        member = app.Member(parts, events, counting=Counting())
        member.start()
        until(lambda: member.status().state is MemberState.ACTIVE and site.last_seen())
        until(lambda: site.controller._notifier._waiting)
        site.remove()
        until(lambda: member.status().state is MemberState.REMOVED)
        member.stop()


def test_a_member_that_has_nothing_to_say_gives_signs_of_life(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(presence, "WRITE_EVERY_S", 0.1)
    site.stop()
    site.start()
    parts, _ = site.parts()
    with closing(EventStore(parts.folder.events, member=NODE, now=NOW)) as events:
        member = app.Member(parts, events, counting=Counting())
        member.start()
        for _ in range(5):
            seen = site.last_seen()
            until(lambda seen=seen: site.last_seen() > seen)  # type: ignore[misc]
        assert site.last_seen(site.folder.read_bootstrap().name) == 0.0  # no member runs there
        member.stop()


def test_clients_that_say_nothing_keep_nobody_waiting(site: Site) -> None:
    host, port = site.url.removeprefix("https://").split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(50)]
    try:
        assert site.ask("GET", "/healthz")[0] == 200
    finally:
        for each in silent:
            each.close()


def test_a_request_that_is_sent_slowly_keeps_nobody_waiting(site: Site) -> None:
    host, port = site.url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=str(site.folder.ca_file))
    slow = []
    for _ in range(30):  # more than there are threads
        wire = context.wrap_socket(
            socket.create_connection((host, int(port))), server_hostname=host
        )
        wire.sendall(b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        slow.append(wire)
    try:
        assert site.ask("GET", "/api/authority")[0] == 200
    finally:
        for each in slow:
            each.close()


def test_a_flood_of_wrong_passwords_keeps_no_member_waiting(site: Site, key: bytes) -> None:
    host, port = site.url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=str(site.folder.ca_file))
    answering = site.controller._server._answering
    waiting = answering._pools[Pool.LOGIN]._work_queue
    doorkeeper: Any = answering._doorkeeper
    flood: list[ssl.SSLSocket] = []
    try:
        with doorkeeper._lock:  # which every try at a password needs, so that none comes to its end
            for number in range(60):
                plain = socket.create_connection((host, int(port)))
                flood.append(context.wrap_socket(plain, server_hostname=host))
                word = b64encode(f"admin:wrong-{number}".encode()).decode()
                head = f"GET /api/head HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {word}\r\n\r\n"
                flood[-1].sendall(head.encode())
            until(lambda: waiting.qsize() == len(flood) - Pool.LOGIN.value)
            with closing(site.channel(key=key)) as channel:
                assert channel.head(None) is not None
    finally:
        for each in flood:
            each.close()


def test_only_a_certificate_of_this_cluster_is_trusted(
    site: Site, key: bytes, tmp_path: Path
) -> None:
    other = pki.make_authority("other", now=NOW())
    (tmp_path / "other.pem").write_bytes(other.certificate)
    channel = Channel(site.url, ca_file=tmp_path / "other.pem", headers=lambda _m, _p: {})
    with pytest.raises(ControllerUnreachableError, match="certificate of this cluster"):
        channel.head(None)
    channel.close()
    with pytest.raises(ConfigError, match="is not the controller that gave the token"):
        fetch_authority(site.url, expected_fingerprint=pki.fingerprint(other.certificate))
    mine = site.folder.ca_file.read_bytes()
    assert fetch_authority(site.url, expected_fingerprint=pki.fingerprint(mine)) == mine
    del key


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "nonsense", "https://"])
def test_what_is_no_url_of_a_controller_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match="expected https://HOST:PORT"):
        fetch_authority(url, expected_fingerprint="0")


def test_a_controller_that_is_away_is_worth_another_try(tmp_path: Path) -> None:
    authority = pki.make_authority("c", now=NOW())
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    channel = Channel("https://127.0.0.1:1", ca_file=tmp_path / "ca.pem", headers=lambda _m, _p: {})
    with pytest.raises(ControllerUnreachableError):
        channel.head(None)
    with pytest.raises(ControllerUnreachableError):
        next(channel.wait())
    with pytest.raises(ControllerUnreachableError):
        fetch_authority("https://127.0.0.1:1", expected_fingerprint="0")
    channel.close()


def test_a_certificate_near_its_end_is_renewed_under_the_same_authority(site: Site) -> None:
    before = site.folder.tls_certificate.read_bytes()
    assert not renew_certificate(site.folder, hosts=("127.0.0.1",), now=NOW())
    later = NOW() + timedelta(days=pki.SERVER_DAYS - 20)
    assert renew_certificate(site.folder, hosts=("127.0.0.1",), now=later)
    after = site.folder.tls_certificate.read_bytes()
    assert after != before
    assert after.endswith(site.folder.ca_file.read_bytes())
