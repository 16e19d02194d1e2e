"""Webhooks: who sent it can be checked, nobody waits for a receiver that misbehaves, and no wrong one gets anything."""

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Condition, Lock
from threading import Event as Flag

import pytest
from dav_servers import Shown
from handler_site import HandlerSite, handler_site
from rogue_https import Asked, HangUpError, Reply, Rogue, answer, rogue_server
from waiting import WAIT_S, until

from mftgit.errors import ConfigError
from mftgit.model.handlers.handler import FileHandler, WebhookHandler
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import EventHandlerName, SecretName
from mftgit.model.secrets.value import SecretValue

NAME = EventHandlerName("alerts")
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SENT = SecretRef(secret=SecretName("key"))
OK = answer(204)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HandlerSite]:
    with handler_site(tmp_path / "member") as found:
        found.secrets[SecretName("key")] = SecretValue(KEY)
        yield found


def hook(server: Rogue, *, timeout_s: float = WAIT_S) -> WebhookHandler:
    return WebhookHandler(
        name=NAME,
        url=f"https://127.0.0.1:{server.port}/in?team=mft",
        ca=server.shown.authority.certificate.decode(),
        timeout_s=timeout_s,
    )


def ids(server: Rogue) -> list[str]:
    return [json.loads(each.body)["id"] for each in server.asked]


def error_with(
    site: HandlerSite, work: Path, reply: Reply, *, timeout_s: float = WAIT_S
) -> tuple[str, Rogue]:
    """Return what is told of a server that answers with ``reply``."""
    with rogue_server(work, reply) as server:
        handler = hook(server, timeout_s=timeout_s)
        site.start(handler)
        site.happen(transfer="invoices")
        until(lambda: site.status(handler).error)
        told = str(site.status(handler).error)
        site.stop(handler)
    return told, server


def test_a_receiver_can_check_who_sent_it(site: HandlerSite, tmp_path: Path) -> None:
    site.secrets[SecretName("token")] = SecretValue("open sesame")
    with rogue_server(tmp_path, lambda _: [OK]) as server:
        token = SecretRef(secret=SecretName("token"))
        handler = replace(hook(server), signing_secret=SENT, token=token)
        site.start(handler)
        site.happen(transfer="invoices", file="größer")
        site.settle(handler)
    (asked,) = server.asked
    headers = asked.headers
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + asked.body
    key = base64.b64decode(KEY.removeprefix("whsec_"))
    right = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{right}"
    assert headers["authorization"] == "Bearer open sesame"
    assert (asked.method, asked.path) == ("POST", "/in?team=mft")


def test_what_is_sent_again_has_the_same_id(site: HandlerSite, tmp_path: Path) -> None:
    answers = iter([answer(500, b"oops"), answer(429), OK])
    with rogue_server(tmp_path, lambda _: [next(answers)]) as server:
        handler = hook(server)
        site.start(handler)
        site.happen(transfer="invoices")
        site.settle(handler)
    assert [each.headers["webhook-id"] for each in server.asked] == ["node-1/1"] * 3


def test_a_component_that_hangs_keeps_no_other_and_its_order(
    site: HandlerSite, tmp_path: Path
) -> None:
    hangs, lock = Flag(), Lock()
    arrived: list[tuple[str, int]] = []

    def reply(asked: Asked) -> Iterable[bytes]:
        data = json.loads(asked.body)["data"]
        if data["transfer"] == "hangs":
            hangs.wait(WAIT_S)
        with lock:
            arrived.append((data["transfer"], data["number"]))
        return [OK]

    with rogue_server(tmp_path, reply) as server:
        handler = hook(server)
        site.start(handler)
        for number in range(12):
            site.happen(transfer=["hangs", "a", "b"][number % 3], number=number)
        until(lambda: len(arrived) == 8)
        until(lambda: site.status(handler).behind == 4)  # once it has heard of what arrived
        hangs.set()
        site.settle(handler)
    for name in ("hangs", "a", "b"):
        mine = [number for transfer, number in arrived if transfer == name]
        assert mine == sorted(mine)
        assert len(mine) == 4


@dataclass(kw_only=True)
class Disorderly:
    """A receiver that takes everything at once, and answers late, in another order than it was asked, or not well.

    What it answers is ``answered``, in that order: which event, and with what.
    """

    came: list[tuple[str, int]] = field(default_factory=list)
    answered: list[tuple[tuple[str, int], int]] = field(default_factory=list)
    moved: Condition = field(default_factory=Condition)

    def reply(self, asked: Asked) -> Iterable[bytes]:
        data = json.loads(asked.body)["data"]
        event = (data["transfer"], data["number"])
        with self.moved:
            self.came.append(event)
            tried = self.came.count(event)
            self.moved.notify_all()
            status = 204
            if data["number"] % 3 == 0 and tried == 1:  # later than anybody waits for it
                self._wait(lambda: self.came.count(event) > 1)
            elif data["number"] % 3 == 0 and tried == 2:
                status = 503
            elif event[0] == "overtaken":
                self._wait(lambda: (("overtakes", event[1]), 204) in self.answered)
            self.answered.append((event, status))
            self.moved.notify_all()
        return [answer(status)]

    def _wait(self, reached: Callable[[], bool]) -> None:
        assert self.moved.wait_for(reached, WAIT_S)

    def each_of(self, component: str) -> list[int]:
        """Return what came of a component, in the order in which it came."""
        return [number for name, number in self.came if name == component]


def test_answers_that_come_late_and_in_another_order_cost_no_event_and_no_order(
    site: HandlerSite, tmp_path: Path
) -> None:
    receiver = Disorderly()
    names, numbers = ("overtaken", "a", "overtakes"), range(1, 7)
    with rogue_server(tmp_path, receiver.reply) as server:
        handler = hook(server, timeout_s=0.5)
        site.start(handler)
        for number, name in itertools.product(numbers, names):
            site.happen(transfer=name, number=number)
            until(lambda: receiver.came)
        site.settle(handler)
        assert site.status(handler).handled == len(names) * len(numbers)
        keys = [(each.headers["webhook-id"], json.loads(each.body)["id"]) for each in server.asked]
    for name in names:
        # Each as often as it took, and the next one only then: who passes over ids that it has had has each once.
        assert receiver.each_of(name) == sorted(receiver.each_of(name))
        assert list(dict.fromkeys(receiver.each_of(name))) == list(numbers)
        assert all(receiver.each_of(name).count(number) >= 3 for number in (3, 6))
    assert all(header == body for header, body in keys)
    assert len({header for header, _ in keys}) == len(names) * len(numbers)
    done = [event for event, status in receiver.answered if status == 204]
    first, second = ("overtaken", 1), ("overtakes", 1)
    assert receiver.came.index(first) < receiver.came.index(second)
    assert done.index(second) < done.index(first)


def test_an_answer_that_nobody_asked_for_is_not_taken_for_that_of_the_next_event(
    site: HandlerSite, tmp_path: Path
) -> None:
    answers, all_sent = iter([[OK, OK, OK], [answer(503)], [OK]]), Flag()

    def reply(_: Asked) -> Iterable[bytes]:
        yield from next(answers)
        all_sent.set()

    with rogue_server(tmp_path, reply) as server:
        handler = hook(server)
        site.start(handler)
        for _ in range(2):
            site.happen(transfer="invoices")
            site.settle(handler)
            until(all_sent.is_set)
    assert ids(server) == ["node-1/1", "node-1/2", "node-1/2"]


def test_what_is_refused_for_what_it_is_is_left_out(site: HandlerSite, tmp_path: Path) -> None:
    def reply(asked: Asked) -> list[bytes]:
        is_bad = json.loads(asked.body)["data"]["number"] == 1
        return [answer(422, b"no such field") if is_bad else OK]

    with rogue_server(tmp_path, reply) as server:
        handler = hook(server)
        site.start(handler)
        site.happen_together(*({"transfer": "invoices", "number": number} for number in range(3)))
        site.settle(handler)
        assert site.status(handler).refused == 1
    assert ids(server) == ["node-1/1", *["node-1/2"] * 5, "node-1/3"]


def test_a_handler_that_becomes_of_another_type_loses_nothing(
    site: HandlerSite, tmp_path: Path
) -> None:
    (site.folder.logs / "x").mkdir()
    log = FileHandler(name=NAME, path="x")
    site.start(log)
    site.happen_together(*({"transfer": name} for name in ("a", "b", "c")))
    until(lambda: site.status(log).error)
    with rogue_server(tmp_path, lambda _: [OK]) as server:
        handler = hook(server)
        site.start(handler)
        site.settle(handler)
    assert {"node-1/1", "node-1/2", "node-1/3"} <= set(ids(server))


def test_a_redirect_is_not_followed(site: HandlerSite, tmp_path: Path) -> None:
    with rogue_server(tmp_path, lambda _: [OK]) as elsewhere:
        url = f"https://127.0.0.1:{elsewhere.port}/"
        error, _ = error_with(site, tmp_path, lambda _: [answer(307, Location=url)])
        assert "a redirect, which is not followed" in error
        assert elsewhere.asked == []


def test_an_answer_that_never_ends_is_not_read_to_its_end(
    site: HandlerSite, tmp_path: Path
) -> None:
    sent = itertools.count()

    def reply(_: Asked) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 so\r\nContent-Length: 10737418240\r\n\r\n"
        while True:
            next(sent)
            yield b"x" * 65_536

    with rogue_server(tmp_path, reply) as server:
        handler = hook(server)
        site.start(handler)
        site.happen(transfer="invoices")
        site.settle(handler)
        assert site.status(handler).error is None
    assert next(sent) < 1000


@pytest.mark.parametrize(
    "trickle", [b"HTTP/1.1 200 so\r\nX: ", b"HTTP/1.1 200 so\r\nContent-Length: 99\r\n\r\n"]
)
def test_an_answer_that_trickles_is_not_waited_for(
    site: HandlerSite, tmp_path: Path, trickle: bytes
) -> None:
    over = Flag()

    def reply(_: Asked) -> Iterable[bytes]:
        yield trickle
        while not over.wait(0.05):
            yield b"x"

    with rogue_server(tmp_path, reply) as server:
        handler = hook(server, timeout_s=0.4)
        site.start(handler)
        site.happen(transfer="invoices")
        until(lambda: site.status(handler).error)
        assert "timed out" in str(site.status(handler).error)
        site.stop(handler)
        over.set()


def hang_up(_: Asked) -> Iterable[bytes]:
    raise HangUpError


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (lambda _: [answer(500, b"oops\r\n\x1b[31m")], "status 500: oops\\r\\n\\x1b[31m"),
        (lambda _: [b"SSH-2.0-OpenSSH\r\n\r\n"], "does not answer as HTTP does"),
        (lambda _: [b"HTTP/1.1 200 so\r\n", b"X: y\r\n" * 10_000], "does not answer as HTTP does"),
        (hang_up, "does not answer as HTTP does"),
    ],
)
def test_an_answer_that_is_none_is_told_in_one_line(
    site: HandlerSite, tmp_path: Path, reply: Reply, words: str
) -> None:
    error, _ = error_with(site, tmp_path, reply)
    assert words in error
    assert error.isprintable()


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_a_wrong_server_gets_nothing(site: HandlerSite, tmp_path: Path, wrong: str) -> None:
    shown = Shown.for_hosts("other.example" if wrong == "name" else "127.0.0.1")
    with rogue_server(tmp_path, lambda _: [OK], shown=shown) as server:
        other = Shown.for_hosts("127.0.0.1").authority.certificate.decode()
        handler = hook(server) if wrong == "name" else replace(hook(server), ca=other)
        site.start(handler)
        site.happen(transfer="invoices")
        until(lambda: site.status(handler).error)
        assert "certificate that is not taken" in str(site.status(handler).error)
        assert server.asked == []


def test_a_key_that_is_too_short_is_told_before_anything_is_sent(site: HandlerSite) -> None:
    site.secrets[SecretName("key")] = SecretValue("too short")
    handler = WebhookHandler(name=NAME, url="https://127.0.0.1/", signing_secret=SENT)
    with pytest.raises(ConfigError, match=r"secrets/key.yaml is no key to sign with") as caught:
        site.start(handler)
    assert "too short" not in str(caught.value)
