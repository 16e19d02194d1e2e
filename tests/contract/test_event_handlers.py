"""Event handlers of every type bring each event to a real receiver, in order, whatever happens to either side."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from handler_site import HandlerSite, handler_site
from rogue_https import Asked, answer, rogue_server
from syslog_server import syslog_server
from waiting import until, whole_lines

from mftgit.model.events.event import EventName
from mftgit.model.events.kinds import Severity
from mftgit.model.handlers.handler import (
    AnyEventHandler,
    CommandHandler,
    EventFilter,
    FileHandler,
    SyslogHandler,
    WebhookHandler,
)
from mftgit.model.names import EventHandlerName

NAME = EventHandlerName("watch")
HOSTILE = 'a\r\nX: y\n<13>1 - - ] "\\ \x1b[31m {seq} \u202e \udcff \0'
PROGRAM = """#!/bin/sh
if [ -e "{folder}/broken" ]; then echo "out of order"; exit 1; fi
cat >> "{folder}/arrived"
"""


@dataclass(kw_only=True)
class Receiver:
    """Where events go: what has arrived there, and how to break and mend it."""

    handler: AnyEventHandler
    arrived: Callable[[], list[str]]
    break_: Callable[[], None]
    mend: Callable[[], None]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HandlerSite]:
    with handler_site(tmp_path / "member") as found:
        yield found


@pytest.fixture(
    params=[
        "file",
        "command",
        "webhook",
        pytest.param("syslog", marks=pytest.mark.needs("rsyslogd")),
        pytest.param("syslog-tls", marks=pytest.mark.needs("rsyslogd")),
    ]
)
def receiver(
    request: pytest.FixtureRequest, site: HandlerSite, tmp_path: Path
) -> Iterator[Receiver]:
    with ExitStack() as stack:
        kind = request.param.partition("-")[0]
        make = {"file": _file, "command": _command, "webhook": _webhook, "syslog": _syslog}[kind]
        yield make(site, tmp_path, stack, request.param)


def _file(site: HandlerSite, _work: Path, _stack: ExitStack, _kind: str) -> Receiver:
    path = site.folder.logs / "events.jsonl"
    aside = path.with_suffix(".aside")

    def break_() -> None:
        path.rename(aside)
        path.symlink_to("nowhere")

    def mend() -> None:
        aside.replace(path)  # at once: the handler may be about to write

    return Receiver(
        handler=FileHandler(name=NAME, path="events.jsonl"),
        arrived=lambda: _ids(path),
        break_=break_,
        mend=mend,
    )


def _command(site: HandlerSite, work: Path, _stack: ExitStack, _kind: str) -> Receiver:
    program = site.folder.commands / "take"
    program.write_text(PROGRAM.format(folder=work), encoding="utf-8")
    program.chmod(0o700)
    return Receiver(
        handler=CommandHandler(name=NAME, program="take"),
        arrived=lambda: _ids(work / "arrived"),
        break_=(work / "broken").touch,
        mend=(work / "broken").unlink,
    )


def _webhook(_site: HandlerSite, work: Path, stack: ExitStack, _kind: str) -> Receiver:
    broken, taken = list[bool](), list[str]()

    def reply(asked: Asked) -> list[bytes]:
        if broken:
            return [answer(503, b"later")]
        taken.append(json.loads(asked.body)["id"])
        return [answer(204)]

    server = stack.enter_context(rogue_server(work, reply))
    ca = server.shown.authority.certificate.decode()
    return Receiver(
        handler=WebhookHandler(name=NAME, url=f"https://127.0.0.1:{server.port}/in", ca=ca),
        arrived=lambda: taken,
        break_=lambda: broken.append(True),
        mend=broken.clear,
    )


def _syslog(_site: HandlerSite, work: Path, stack: ExitStack, kind: str) -> Receiver:
    server = stack.enter_context(syslog_server(work))
    tls = kind == "syslog-tls"
    return Receiver(
        handler=SyslogHandler(
            name=NAME,
            host="127.0.0.1",
            port=server.tls if tls else server.tcp,
            tls=tls,
            ca=server.certificates.ca if tls else None,
        ),
        arrived=lambda: [
            re.findall(r' id="([^"]+)"', each["data"].replace('\\"', '"'))[0]
            for each in server.messages()
        ],
        break_=server.stop,
        mend=server.start,
    )


def _ids(path: Path) -> list[str]:
    if not path.is_file():
        return []
    lines = whole_lines(path.read_text(encoding="utf-8", errors="replace"))
    return [f"{each['member']}/{each['seq']}" for each in map(json.loads, lines)]


def ids(*numbers: int) -> list[str]:
    return [f"node-1/{number}" for number in numbers]


def test_each_event_arrives_in_order_from_the_start_of_the_handler_on(
    site: HandlerSite, receiver: Receiver
) -> None:
    site.happen(reason="before there was a handler")
    site.start(receiver.handler)
    for number in range(20):
        site.happen(transfer="invoices", number=number)
    site.settle(receiver.handler)
    until(lambda: len(receiver.arrived()) >= 20)
    assert receiver.arrived() == ids(*range(2, 22))
    status = site.status(receiver.handler)
    assert (status.handled, status.last, status.error) == (20, "node-1/21", None)


def test_only_events_that_fit_arrive(site: HandlerSite, receiver: Receiver) -> None:
    include = EventFilter(least=Severity.WARNING, components=("transfer/invoices",))
    exclude = EventFilter(events=("DeliveryFailed",))
    site.start(replace(receiver.handler, include=include, exclude=exclude))
    site.happen(transfer="invoices")
    site.happen(transfer="rates")
    site.happen(EventName.DELIVERY_FAILED, transfer="invoices")
    site.happen(EventName.RUN_STARTED, transfer="invoices")
    site.happen(transfer="invoices")
    site.settle(receiver.handler)
    until(lambda: len(receiver.arrived()) >= 2)
    assert receiver.arrived() == ids(1, 5)


def test_a_hostile_and_a_giant_event_arrive_as_one_each(
    site: HandlerSite, receiver: Receiver
) -> None:
    site.start(receiver.handler)
    site.happen(transfer="invoices", file=HOSTILE, reason=HOSTILE)
    site.happen(transfer="invoices", reason="x" * 10**6, problems=[{"y": "z" * 1000}] * 1000)
    site.happen(transfer="invoices")
    site.settle(receiver.handler)
    until(lambda: len(receiver.arrived()) >= 3)
    assert receiver.arrived() == ids(1, 2, 3)


def test_what_happens_while_the_receiver_is_away_arrives_when_it_is_back(
    site: HandlerSite, receiver: Receiver
) -> None:
    handler = receiver.handler
    site.start(handler)
    site.happen(transfer="invoices")
    site.settle(handler)
    until(receiver.arrived)
    receiver.break_()
    site.happen_together(*[{"transfer": "invoices"}] * 3)
    until(lambda: site.status(handler).error is not None)
    until(lambda: [each for each, _ in site.told] == [EventName.EVENT_HANDLER_FAILING])
    assert site.status(handler).behind == 3
    receiver.mend()
    until(lambda: [each for each, _ in site.told][1:] == [EventName.EVENT_HANDLER_RECOVERED])
    until(lambda: receiver.arrived()[-1] == "node-1/4")
    assert list(dict.fromkeys(receiver.arrived())) == ids(1, 2, 3, 4)
    assert site.status(handler).error is None
    assert site.told[0][1]["event_handler"] == NAME


def test_a_handler_goes_on_where_it_was_also_with_other_filters(
    site: HandlerSite, receiver: Receiver
) -> None:
    handler = receiver.handler
    site.start(
        handler, again_in_s=lambda _: 3600.0
    )  # so that it is stopped before it says that it fails
    site.happen(transfer="invoices")
    site.settle(handler)
    until(receiver.arrived)
    receiver.break_()
    site.happen(transfer="invoices")
    until(lambda: site.status(handler).behind)
    site.stop(handler)
    site.happen(transfer="rates")
    site.happen(transfer="invoices")
    receiver.mend()
    site.start(replace(handler, include=EventFilter(components=("transfer/invoices",))))
    site.settle(handler)
    until(lambda: receiver.arrived()[-1] == "node-1/4")
    assert list(dict.fromkeys(receiver.arrived())) == ids(1, 2, 4)
