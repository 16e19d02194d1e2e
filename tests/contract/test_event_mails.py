"""Events reach people by mail: seldom, whole, and by a server that is the right one."""

import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from handler_site import HandlerSite, handler_site
from mail_server import PASSWORD, USERNAME, MailServer, mail_server
from waiting import until

from mftgit.model.events.event import EventName
from mftgit.model.handlers.handler import EmailHandler, MailTls
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import EventHandlerName, SecretName
from mftgit.model.secrets.value import SecretValue

NAME = EventHandlerName("oncall")
HOSTILE = "a\r\nBcc: x@y.example\r\n.\r\n\x1b[31m\u202e\udcff\0"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HandlerSite]:
    with handler_site(tmp_path / "member") as found:
        found.secrets[SecretName("smtp")] = SecretValue(PASSWORD)
        yield found


@pytest.fixture(params=[MailTls.STARTTLS, MailTls.IMPLICIT])
def tls(request: pytest.FixtureRequest) -> MailTls:
    found = request.param
    assert isinstance(found, MailTls)
    return found


@pytest.fixture
def server(tmp_path: Path, tls: MailTls) -> Iterator[MailServer]:
    with mail_server(tmp_path, implicit=tls is MailTls.IMPLICIT) as found:
        yield found


@pytest.fixture
def handler(server: MailServer, tls: MailTls) -> EmailHandler:
    return EmailHandler(
        name=NAME,
        host="127.0.0.1",
        port=server.port,
        tls=tls,
        ca=server.certificates.ca,
        username=USERNAME,
        password=SecretRef(secret=SecretName("smtp")),
        sender="mftgit@example.org",
        to=("oncall@example.org", "team@example.org"),
        settle_s=0.3,
        digest_s=3600.0,
    )


def test_a_thousand_failures_are_one_mail(
    site: HandlerSite, server: MailServer, handler: EmailHandler
) -> None:
    site.start(handler)
    site.stop(handler)
    site.log.append_each(
        EventName.DELIVERY_FAILED, [{"transfer": "invoices", "error": "gone"}] * 1000
    )
    site.happen(transfer="rates")
    site.start(handler)  # which has all of it before it at once
    site.settle(handler)
    (mail,), (text,) = server.mails(), server.texts()
    assert mail["Subject"] == "[acme] error: RunFailed transfer/rates, and 1000 more"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "warning: 1000 x DeliveryFailed transfer/invoices" in text
    assert server.envelopes == [("mftgit@example.org", ["oncall@example.org", "team@example.org"])]
    assert site.status(handler).handled == 1001


def test_a_partner_behind_many_transfers_is_one_mail_and_a_digest_that_names_them(
    site: HandlerSite, server: MailServer, handler: EmailHandler
) -> None:
    site.start(handler)
    away: Any = {"side": "destination", "location": "bank", "errors": ["it does not answer"]}
    site.happen(transfer="t0", **away)
    site.settle(handler)
    assert server.mails()[0]["Subject"] == "[acme] error: RunFailed location/bank (transfer/t0)"
    for number in (*range(1, 60), 7):
        site.happen(transfer=f"t{number}", **away)
    until(lambda: site.status(handler).behind == 60)
    assert len(server.taken) == 1
    site.happen(transfer="rates")
    site.settle(handler)
    _, digest = server.texts()
    assert "error: 60 x RunFailed location/bank\n" in digest
    assert "transfer/t7 (2)" in digest
    assert all(f"transfer/t{number} (" in digest for number in range(1, 60))
    assert "it does not answer" in digest


def test_more_of_the_same_waits_for_the_digest_and_what_is_new_takes_it_along(
    site: HandlerSite, server: MailServer, handler: EmailHandler
) -> None:
    site.start(handler)
    site.happen(transfer="invoices")
    site.settle(handler)
    for _ in range(5):
        site.happen(transfer="invoices")
    until(lambda: site.status(handler).behind == 5)
    assert len(server.taken) == 1
    site.happen(transfer="rates")
    site.settle(handler)
    assert len(server.taken) == 2
    assert "5 x RunFailed transfer/invoices" in server.texts()[1]


def test_what_was_told_is_told_seldom_also_after_a_restart(
    site: HandlerSite, server: MailServer, handler: EmailHandler
) -> None:
    site.start(handler)
    site.happen(transfer="invoices")
    site.settle(handler)
    site.start(handler)
    site.happen(transfer="invoices")
    until(lambda: site.status(handler).behind == 1)
    site.happen(transfer="rates")
    site.settle(handler)
    assert ["rates" in each for each in server.texts()] == [False, True]


def test_no_more_mails_are_sent_than_may_be(
    site: HandlerSite, server: MailServer, handler: EmailHandler
) -> None:
    site.start(replace(handler, at_most_per_hour=1))
    site.happen(transfer="invoices")
    site.settle(handler)
    for number in range(20):
        site.happen(transfer=f"t{number}")
    until(lambda: site.status(handler).behind == 20)
    site.start(replace(handler, at_most_per_hour=1))
    until(lambda: site.status(handler).behind == 20)
    assert len(server.taken) == 1


def test_nothing_in_an_event_is_a_header_or_a_line_of_smtp(
    site: HandlerSite, server: MailServer, handler: EmailHandler
) -> None:
    site.start(replace(handler, settle_s=0.0))
    site.happen(transfer=HOSTILE, file=HOSTILE)
    site.happen(EventName.DELIVERY_FAILED, transfer="x", error="y" * 10**6)
    site.settle(handler)
    for mail in server.mails():
        assert mail["Bcc"] is None
        assert {each.lower() for each in mail} >= {"from", "to", "subject", "date"}
        assert str(mail["Subject"]).isprintable()
    assert "a\\r\\nBcc: x@y.example" in "".join(server.texts())
    assert all(len(line) < 1000 for each in server.taken for line in each.split(b"\r\n"))


def test_a_recipient_that_is_refused_keeps_no_other(
    site: HandlerSite, server: MailServer, handler: EmailHandler
) -> None:
    server.refuses = frozenset({"team@example.org"})
    site.start(handler)
    site.happen(transfer="invoices")
    site.settle(handler)
    assert server.envelopes == [("mftgit@example.org", ["oncall@example.org"])]
    server.refuses = frozenset(handler.to)
    site.happen(transfer="rates")
    until(lambda: site.status(handler).error)
    assert "550 nobody of that name" in str(site.status(handler).error)


def test_a_mail_waits_for_a_server_that_is_out_of_order(
    site: HandlerSite, server: MailServer, handler: EmailHandler
) -> None:
    server.says = "451 not now\r\n"
    site.start(handler)
    site.happen(transfer="invoices")
    until(lambda: site.status(handler).error)
    assert "451 not now" in str(site.status(handler).error)
    server.says = None
    site.settle(handler)
    assert len(server.taken) == 1


def test_a_mail_that_is_refused_for_good_keeps_not_all_others(
    site: HandlerSite, server: MailServer, handler: EmailHandler
) -> None:
    server.says = "554 spam"
    site.start(handler)
    site.happen(transfer="invoices")
    until(lambda: site.status(handler).refused == 1)
    server.says = None
    site.happen(transfer="rates")
    site.settle(handler)
    (text,) = server.texts()
    assert "invoices" not in text


def test_a_server_that_never_ends_what_it_says_is_not_listened_to(site: HandlerSite) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        talker = Thread(target=_talk, args=(door,))
        talker.start()
        handler = EmailHandler(
            name=NAME,
            host="127.0.0.1",
            port=door.getsockname()[1],
            tls=MailTls.NONE,
            sender="a@b.example",
            to=("c@d.example",),
            settle_s=0.0,
        )
        site.start(handler, again_in_s=lambda _: 3600.0)
        site.happen(transfer="invoices")
        until(lambda: site.status(handler).error)
        assert "it says more than anybody needs to know" in str(site.status(handler).error)
        talker.join()


def _talk(door: socket.socket) -> None:
    """Say lines of one reply until nobody listens."""
    sock, _ = door.accept()
    with sock, suppress(OSError):
        while True:
            sock.sendall(b"220-and another thing\r\n" * 100)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"password": SecretRef(secret=SecretName("wrong"))}, "does not take the username"),
        ({"host": "localhost"}, "certificate that is not taken"),
        ({"ca": None}, "certificate that is not taken"),
    ],
)
def test_a_wrong_server_or_password_is_told_without_the_password(
    site: HandlerSite,
    server: MailServer,
    handler: EmailHandler,
    wrong: dict[str, object],
    words: str,
) -> None:
    site.secrets[SecretName("wrong")] = SecretValue("open sesame")
    site.start(replace(handler, **wrong))  # type: ignore[arg-type]
    site.happen(transfer="invoices")
    until(lambda: site.status(handler).error)
    error = str(site.status(handler).error)
    assert words in error
    assert "sesame" not in error
    assert server.taken == []
