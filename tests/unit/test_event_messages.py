"""What leaves the cluster about an event, and that nothing in an event makes it anything else."""

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.events.bounds import MOST_BYTES, bounded
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.template import LONGEST_FACT, PLAIN, fill_template, wrong_template
from mftgit.model.handlers.handler import Every
from mftgit.model.handlers.mail_digest import (
    MOST_COMPONENTS,
    MOST_MEMBERS,
    MOST_SORTS,
    Digest,
    fill_subject,
    sort_of,
)
from mftgit.model.handlers.rotation import is_due, moves
from mftgit.model.handlers.syslog_message import MOST_BYTES as MOST_SYSLOG_BYTES
from mftgit.model.handlers.syslog_message import syslog_frame
from mftgit.model.handlers.webhook_message import read_signing_key, webhook_body, webhook_headers
from mftgit.model.names import Epoch, MemberName

AT = "2026-11-29T10:00:00.000Z"
HOSTILE = 'a\r\nBcc: x@y.example\n<13>1 - - ] "\\ \x1b[31m {seq} \u202e \udcff \0'
LF, NUL = 10, 0


def event(name: EventName = EventName.RUN_FAILED, member: str = "node-1", **facts: Any) -> Event:
    return Event(member=MemberName(member), seq=7, at=AT, event=name, epoch=Epoch(3), facts=facts)


# Templates


def test_a_template_is_filled_with_what_the_event_says() -> None:
    failed = event(transfer="invoices", reason="no route", files=3, ok=True, account="bob")
    text = fill_template(
        "{severity} {event} {component} {facts.reason} {facts.files} {facts.ok}", failed
    )
    assert text == "error RunFailed transfer/invoices no route 3 true"
    assert fill_template("{id} {at} {group} {epoch} {account}{revision}", failed) == (
        f"node-1/7 {AT} transfer 3 bob"
    )
    assert fill_template("<{facts.missing}>", failed) == "<>"
    assert fill_template(PLAIN, event(reason="x")) == "error RunFailed  on node-1: reason=x"


def test_what_stands_in_an_event_is_never_a_template() -> None:
    assert (
        fill_template("{facts.file}", event(file="{member}{facts.file}")) == "{member}{facts.file}"
    )


@given(st.text() | st.just(HOSTILE))
def test_a_filled_template_is_one_line_that_can_be_shown(text: str) -> None:
    line = fill_template("{facts.file} {facts}", event(file=text, more=[text]))
    assert line.isprintable()
    line.encode()


def test_a_long_fact_is_cut() -> None:
    assert len(fill_template("{facts.file}", event(file="a" * 10**6))) == LONGEST_FACT + 1


@pytest.mark.parametrize("template", ["{member} is {facts.x_1}", "plain", "", "{facts}"])
def test_a_good_template_is_taken(template: str) -> None:
    assert wrong_template(template) is None


@pytest.mark.parametrize(
    "template", ["{nothing}", "{member.x}", "{", "a}", "{Facts.x}", "{{member}}", "{facts.}"]
)
def test_a_wrong_template_is_told(template: str) -> None:
    assert wrong_template(template) is not None


# Syslog


def frame(it: Event, **options: Any) -> tuple[int, str]:
    options = {"facility": "local3", "cluster": "acme", "template": None, **options}
    length, _, rest = syslog_frame(it, **options).partition(b" ")
    assert int(length) == len(rest)
    return len(rest), rest.decode()


def test_a_message_of_syslog_is_as_the_rfc_has_it() -> None:
    _, text = frame(
        event(transfer="invoices", reason='a "b" ] \\'), template="{event}: {facts.reason}"
    )
    assert text == (
        f"<155>1 {AT} node-1 mftgit - RunFailed "
        '[mftgit@32473 cluster="acme" id="node-1/7" group="transfer" severity="error" '
        'component="transfer/invoices" epoch="3" fact_transfer="invoices" fact_reason="a \\"b\\" \\] \\\\"] '
        'RunFailed: a "b" ] \\'
    )


def test_text_that_is_not_ascii_begins_with_its_mark() -> None:
    _, text = frame(event(reason="größer"), template="{facts.reason}")
    assert text.endswith("] \ufeffgrößer")


@given(st.text() | st.just(HOSTILE), st.text(max_size=80))
def test_a_message_of_syslog_is_one_whatever_stands_in_the_event(text: str, name: str) -> None:
    size, found = frame(event(**dict[str, Any]({f"x{name}": text, "list": [text, True]})))
    assert size <= MOST_SYSLOG_BYTES
    assert LF not in found.encode()
    assert NUL not in found.encode()
    assert re.fullmatch(
        r'<\d+>1 \S+ node-1 mftgit - RunFailed \[mftgit@32473(?: [!-<>-~]+="(?:[^"\\\]]|\\["\\\]])*")*\] .*',
        found,
    )


def test_a_giant_event_is_a_message_that_receivers_take() -> None:
    facts: dict[str, Any] = {f"fact_{number}": "ö" * 5000 for number in range(500)}
    size, _ = frame(event(**facts), template="{facts.fact_1}" * 100)
    assert size <= MOST_SYSLOG_BYTES


# Webhooks


def test_a_body_tells_the_event_and_what_it_is() -> None:
    body = json.loads(webhook_body(event(transfer="invoices"), cluster="acme", text=None))
    assert (body["type"], body["id"], body["cluster"]) == ("RunFailed", "node-1/7", "acme")
    assert (body["group"], body["severity"]) == ("transfer", "error")
    assert (body["component"], body["data"]["transfer"]) == ("transfer/invoices", "invoices")
    assert json.loads(webhook_body(event(), cluster="a", text=None))["component"] is None


def test_for_a_chat_there_is_a_text_alone() -> None:
    text = webhook_body(event(file=HOSTILE), cluster="acme", text="{event} {facts.file}")
    (value,) = json.loads(text).values()
    assert value.startswith("RunFailed a\\r\\nBcc")


def test_a_request_is_signed_as_standard_webhooks_say() -> None:
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert read_signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == key
    headers = webhook_headers(event(), b"{}", sent_at_s=1700000000, key=key, token="t")
    signed = hmac.new(key, b"node-1/7.1700000000.{}", hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
    assert headers["webhook-id"] == "node-1/7"
    assert headers["Authorization"] == "Bearer t"
    plain = webhook_headers(event(), b"{}", sent_at_s=1, key=None, token=None)
    assert plain.keys().isdisjoint({"webhook-signature", "Authorization"})


@pytest.mark.parametrize("text", ["short", "whsec_c2hvcnQ=", "whsec_!!!"])
def test_a_key_that_is_none_is_refused_and_not_told(text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  what it does not say counts
        read_signing_key(text)
    assert text.removeprefix("whsec_") not in str(caught.value)
    assert read_signing_key("x" * 24) == b"x" * 24


def test_an_event_that_fits_is_left_alone_and_a_giant_one_is_cut() -> None:
    small = event(reason="x" * 2000)
    assert bounded(small) is small
    giant = event(reason="x" * 10**6, problems=[{"m": "y" * 10**4}] * 1000, count=3)
    short = bounded(giant)
    assert len(json.dumps(short.as_json())) <= MOST_BYTES
    assert (short.facts["count"], short.facts["shortened"]) == (3, True)
    assert len(str(short.facts["reason"])) == 1001
    tiny = bounded(giant, 400)
    assert tiny.facts == {"count": 3, "shortened": True}


# Mails


def test_a_digest_tells_each_sort_once_the_worst_first() -> None:
    digest = Digest()
    for member in ("node-1", "node-2"):
        digest.add(
            event(EventName.DELIVERY_FAILED, member=member, transfer="invoices", reason="gone")
        )
    digest.add(event(EventName.RUN_FAILED, transfer="rates"))
    digest.add(event(EventName.MEMBER_STARTED))
    assert digest.summary() == "error: RunFailed transfer/rates, and 3 more"
    text = digest.text("acme")
    assert text.startswith("4 events of the cluster acme\n")
    assert "warning: 2 x DeliveryFailed transfer/invoices\n" in text
    assert "node-1, node-2" in text
    assert "MemberStarted on node-1" in text
    assert text.index("RunFailed") < text.index("DeliveryFailed")
    assert digest.sorts == (
        "DeliveryFailed transfer/invoices",
        "RunFailed transfer/rates",
        "MemberStarted on node-1",
    )


def test_a_location_is_one_sort_that_names_what_goes_there() -> None:
    digest = Digest()
    for transfer in ("invoices", "rates", "rates"):
        digest.add(event(transfer=transfer, side="destination", location="partner"))
    assert digest.sorts == ("RunFailed location/partner",)
    assert digest.summary() == "error: 3 x RunFailed location/partner"
    assert "  transfer/rates (2), transfer/invoices (1)\n" in digest.text("acme")


def test_of_a_location_with_one_transfer_the_subject_names_both() -> None:
    digest = Digest()
    for _ in range(2):
        digest.add(event(transfer="rates", location="partner"))
    assert digest.summary() == "error: 2 x RunFailed location/partner (transfer/rates)"
    nothing = Digest()
    nothing.add(event(location="partner"))
    assert nothing.summary() == "error: RunFailed location/partner"
    unknown = Digest()
    unknown.add(event(transfer="rates", location=None))
    assert unknown.sorts == ("RunFailed transfer/rates",)


def test_a_location_that_very_many_transfers_go_to_is_told_in_bounded_room() -> None:
    digest = Digest()
    for number in range(MOST_COMPONENTS + 50):
        digest.add(event(transfer=f"t{number}" + "x" * 10**4, location="partner"))
    text = digest.text("acme")
    assert f"error: {MOST_COMPONENTS + 50} x RunFailed" in text
    assert f"t{MOST_COMPONENTS - 1}" in text
    assert f"t{MOST_COMPONENTS}x" not in text
    assert len(text) < MOST_COMPONENTS * 200


def test_one_event_is_told_in_few_words() -> None:
    digest = Digest()
    digest.add(event(transfer="rates"))
    values = {"cluster": "acme", "summary": digest.summary(), "handler": "x", "count": 1}
    assert (
        fill_subject("[{cluster}] {count} {summary}", values)
        == "[acme] 1 error: RunFailed transfer/rates"
    )
    assert digest.text("acme").startswith("1 event of the cluster acme\n")


def test_a_digest_of_very_many_is_bounded() -> None:
    digest = Digest()
    for number in range(MOST_SORTS + 50):
        digest.add(event(transfer=f"t{number}", reason="x" * 10**4))
    for number in range(MOST_MEMBERS + 5):
        digest.add(event(member=f"m{number}", transfer="t0"))
    text = digest.text("acme")
    assert "and 50 more of other sorts" in text
    assert "m9" not in text
    assert ", …" in text
    assert len(text) < MOST_SORTS * 1500
    assert digest.count == MOST_SORTS + 50 + MOST_MEMBERS + 5


@given(st.text() | st.just(HOSTILE))
def test_a_digest_has_no_line_that_is_not_its_own(text: str) -> None:
    digest = Digest()
    digest.add(event(file=text, transfer=text))
    for transfer in (text, f"{text}2"):
        digest.add(event(file=text, transfer=transfer, location=text))
    assert all(line.isprintable() for line in digest.text("acme").split("\n"))
    assert len(digest.text("acme").split("\n")) <= 13
    assert digest.summary().isprintable()
    assert sort_of(event(transfer=text)).isprintable()


# Files


def due(size: int = 10, more: int = 5, every: Every | None = None, *, later_s: float = 0.0) -> bool:
    return is_due(
        size_bytes=size, more_bytes=more, max_bytes=100, every=every, written=1e9, now=1e9 + later_s
    )


def test_another_file_is_begun_where_this_one_would_become_too_large() -> None:
    assert not due(95, 5)
    assert due(96, 5)
    assert not due(0, 500)


def test_another_file_is_begun_with_the_hour_and_the_day() -> None:
    assert not due(every=Every.DAY, later_s=60)
    assert due(every=Every.DAY, later_s=86_400)
    assert due(every=Every.HOUR, later_s=3600)
    assert not due(later_s=10**6)
    assert not due(0, every=Every.DAY, later_s=86_400)


def test_files_make_room_from_the_oldest_on() -> None:
    assert list(moves("x", 3)) == [("x.2", "x.3"), ("x.1", "x.2"), ("x", "x.1")]
    assert list(moves("x", 1)) == [("x", "x.1")]
