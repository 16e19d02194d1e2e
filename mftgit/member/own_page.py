"""What a member tells of itself by HTTP: its metrics, whether it is ready, and a page for people."""

import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final

from mftgit import __version__
from mftgit.adapters.clock import Clock
from mftgit.adapters.events.store import ACKNOWLEDGED, EventStore
from mftgit.adapters.own_page import POLICY, render_own_page
from mftgit.adapters.plain_http import Answer, Spot
from mftgit.adapters.prometheus_text import TEXT_FORM, MetricsText
from mftgit.member.counting import Counting
from mftgit.model.configuration.config import Generation
from mftgit.model.events.query import EventQuery
from mftgit.model.members.messages import Head, MemberStatus
from mftgit.model.monitoring.metrics import measure
from mftgit.model.monitoring.overview import Overview
from mftgit.model.monitoring.seen import Seen
from mftgit.model.names import TransferName
from mftgit.pages import read_page_part

_LAST_EVENTS: Final = 30
_PLAIN: Final = {"X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """How the member is at one moment, as far as its parts tell; ``heard_s_ago`` is None before it heard."""

    status: MemberStatus
    generation: Generation | None
    head: Head | None
    heard_s_ago: float | None
    firings: Mapping[TransferName, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPage:
    """Answers from what the member knows when it is asked.

    ``why_not_ready`` must not wait. ``overview`` has the controller alone.
    """

    now: Callable[[], Now]
    why_not_ready: Callable[[], str | None]
    events: EventStore
    counting: Counting
    state: Path
    clock: Clock
    overview: Callable[[MemberStatus], Overview] | None = None

    def spots(self) -> Mapping[str, Spot]:
        """Return what is said at which path."""
        return {
            "/": Spot(answer=self._page, waits=True),
            "/own.css": Spot(answer=_style),
            "/metrics": Spot(answer=self._metrics, waits=True),
            "/healthz": Spot(answer=lambda: Answer(body=b"OK\n")),
            "/readyz": Spot(answer=self._ready),
        }

    def _page(self) -> Answer:
        seen = self._seen()
        mine = EventQuery(members=frozenset({seen.status.name}))
        events = [event for _, event in self.events.search(mine, limit=_LAST_EVENTS)]
        headers = {**_PLAIN, "Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
        body = render_own_page(seen, events).encode()
        return Answer(body=body, kind="text/html; charset=utf-8", headers=headers)

    def _metrics(self) -> Answer:
        seen = self._seen()
        transfers = {each.name for each in seen.transfers}
        services = {each.name for each in seen.status.services}
        samples = [*measure(seen), *self.counting.samples(transfers, services)]
        return Answer(body=MetricsText().write(samples), kind=TEXT_FORM, headers=_PLAIN)

    def _ready(self) -> Answer:
        why = self.why_not_ready()
        status = HTTPStatus.OK if why is None else HTTPStatus.SERVICE_UNAVAILABLE
        return Answer(status=status, body=f"{why or 'OK'}\n".encode())

    def _seen(self) -> Seen:
        now, moment = self.now(), self.clock.now()
        generation, status = now.generation, now.status
        return Seen(
            now=moment,
            version=__version__,
            python=platform.python_version(),
            cluster=None if generation is None else generation.cluster.name,
            status=status,
            head=now.head,
            heard_s_ago=now.heard_s_ago,
            renewed_s_ago=_age_s(status.renewed_at, moment),
            unreported=self.events.count_after(self.events.progress(ACKNOWLEDGED)),
            free_bytes=self._free_bytes(),
            firings=now.firings,
            overview=None if self.overview is None else self.overview(status),
        )

    def _free_bytes(self) -> int | None:
        try:
            return shutil.disk_usage(self.state).free
        except OSError:
            return None


def _age_s(moment: str | None, now: datetime) -> float | None:
    return (
        None if moment is None else max(0.0, (now - datetime.fromisoformat(moment)).total_seconds())
    )


def _style() -> Answer:
    return Answer(body=read_page_part("own.css"), kind="text/css; charset=utf-8", headers=_PLAIN)
