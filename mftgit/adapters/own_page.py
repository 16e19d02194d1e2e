"""A member's page about itself, in HTML: it works without a script, and for reading only."""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from html import escape
from typing import Final

from mftgit.model.amounts import format_bytes, format_span
from mftgit.model.events.event import Event
from mftgit.model.events.kinds import KINDS, Severity, component
from mftgit.model.handlers.status import EventHandlerStatus, HandlerState
from mftgit.model.inbound.service_status import ServiceState, ServiceStatus
from mftgit.model.members.messages import MemberState
from mftgit.model.monitoring.overview import Overview
from mftgit.model.monitoring.seen import Seen
from mftgit.model.printable import printable
from mftgit.model.transfers.status import TransferState, TransferStatus

MAX_SHOWN: Final = 500
"""So many transfers, and so many members, are shown."""

POLICY: Final = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""What the page may do: show itself, by its own style."""

_SHORT: Final = 12
_FRAME: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="own.css">
</head>
<body>
{content}
</body>
</html>
"""
_GOOD: Final[frozenset[Enum]] = frozenset(
    {
        MemberState.ACTIVE,
        TransferState.IDLE,
        TransferState.RUNNING,
        ServiceState.SERVING,
        HandlerState.WORKING,
    }
)
_BAD: Final[frozenset[Enum]] = frozenset(
    {
        MemberState.FAILING,
        MemberState.REFUSED,
        MemberState.ROLLED_BACK,
        MemberState.DIVERGED,
        MemberState.SAFE_MODE,
        MemberState.REMOVED,
        MemberState.SILENT,
        TransferState.FAILING,
        ServiceState.FAILING,
        HandlerState.FAILING,
    }
)
_LOUD: Final = {Severity.ERROR: "bad", Severity.WARNING: "news"}

Html = str
"""Text in which everything is escaped."""


def render_own_page(seen: Seen, events: Sequence[Event]) -> Html:
    """Return the page; ``events`` are the last ones, the newest first. It names no account, file or client."""
    parts = (
        _head(seen),
        _facts(seen),
        "" if seen.overview is None else _cluster(seen.overview),
        _transfers(seen),
        _services(seen.status.services),
        _handlers(seen.status.event_handlers),
        _events(events),
    )
    name = _text(seen.status.name)
    return _FRAME.format(title=f"{name}: {seen.status.state.value}", content="\n".join(parts))


def _head(seen: Seen) -> Html:
    status = seen.status
    reason = "" if status.reason is None else f"<p>{_text(status.reason)}</p>"
    return f"""<header>
<h1>{_text(status.name)}</h1>
<p>{status.role.value} of {_text(seen.cluster or "a cluster that it does not know yet")}</p>
<p class="state">{_state(status.state)}</p>
{reason}
<nav aria-label="for programs"><a href="metrics">metrics</a> <a href="healthz">healthz</a>
<a href="readyz">readyz</a></nav>
</header>"""


def _facts(seen: Seen) -> Html:
    status, storage = seen.status, seen.status.storage
    orders = [
        each for each, given in (("suspended", status.suspended), ("pinned", status.pin)) if given
    ]
    orders += [status.drain.value] if status.drain is not None else []
    refused = None if storage is None else storage.refused
    facts = (
        ("Revision in force", _revision(status.active_revision)),
        (
            "Published",
            "not known"
            if seen.head is None
            else f"{_revision(seen.head.oid)}, number {seen.head.seq}",
        ),
        ("Last tried", _revision(status.attempted_revision)),
        ("Goes back to", _revision(status.lkg_revision)),
        ("Orders", _text(", ".join(orders)) or "none"),
        ("Controller answered", _ago(seen.heard_s_ago)),
        ("Leases renewed", _ago(seen.renewed_s_ago)),
        ("Shared storage", "not looked at" if storage is None else _text(refused or "in use")),
        ("Seen on it", "-" if storage is None else _text(", ".join(storage.sees)) or "nobody"),
        ("Events to report", f"{seen.unreported:,}, {status.events_dropped:,} lost"),
        ("Room for its state", "-" if seen.free_bytes is None else format_bytes(seen.free_bytes)),
        ("Version", _text(f"mftgit {seen.version}, Python {seen.python}")),
        ("As of", f"{seen.now:%Y-%m-%d %H:%M:%S} UTC"),
    )
    rows = "\n".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return f"<main>\n<dl>\n{rows}\n</dl>"


def _cluster(overview: Overview) -> Html:
    progress = overview.rollout
    told = (
        ""
        if progress is None
        else f"<p>Roll-out of {_revision(progress.oid)}: {progress.state.value}</p>"
    )
    heads = ("Member", "Role", "State", "Revision", "Heard of", "Why")
    rows = (
        (
            _text(each.name),
            each.status.role.value,
            _state(each.status.state),
            _revision(each.status.active_revision),
            _ago(each.heard_s_ago),
            _text(each.status.reason or ""),
        )
        for each in overview.peers
    )
    return _section("Cluster", heads, rows, len(overview.peers), told)


def _transfers(seen: Seen) -> Html:
    heads = (
        "Transfer",
        "State",
        "Owner",
        "Epoch",
        "Last run",
        "Next",
        "Delivered",
        "Waiting",
        "Why",
    )
    rows = (_transfer(each, seen) for each in seen.transfers)
    return _section("Transfers", heads, rows, len(seen.transfers))


def _transfer(each: TransferStatus, seen: Seen) -> Sequence[Html]:
    run, waiting = each.last_run, each.waiting
    paused = ", paused" if each.paused is not None else ""
    return (
        _text(each.name),
        f"{_state(each.state)}{paused}",
        _text(each.owner or "nobody"),
        "-" if each.epoch is None else f"{each.epoch}",
        "none here" if run is None else _text(f"{run.outcome}, {run.files} files, {run.at}"),
        _text(seen.firings.get(each.name, "-")),
        f"{each.delivered:,}",
        f"{waiting.too_fresh} too fresh, {waiting.failed} failed, {len(each.under_way)} under way",
        _text(each.reason or ""),
    )


def _services(services: Sequence[ServiceStatus]) -> Html:
    heads = ("Service", "State", "Address", "Sessions", "Connections", "Processes", "Banned", "Why")
    rows = (
        (
            _text(each.name),
            _state(each.state),
            _text(each.address),
            f"{each.sessions}",
            f"{each.connections}",
            f"{each.workers}",
            f"{each.banned}",
            _text(each.reason or ""),
        )
        for each in services
    )
    return _section("Services", heads, rows, len(services))


def _handlers(handlers: Sequence[EventHandlerStatus]) -> Html:
    heads = ("Event handler", "State", "Type", "Handled", "Left out", "Waiting", "Last", "Why")
    rows = (
        (
            _text(each.name),
            _state(each.state),
            _text(each.type),
            f"{each.handled:,}",
            f"{each.refused:,}",
            f"{each.behind:,}",
            _text(each.last_at or "-"),
            _text(each.error or ""),
        )
        for each in handlers
    )
    return _section("Event handlers", heads, rows, len(handlers))


def _events(events: Sequence[Event]) -> Html:
    rows = (
        (
            _text(each.at),
            f'<span class="{_LOUD.get(KINDS[each.event].severity, "")}">{each.event.value}</span>',
            _text(str(component(each) or "")),
            _revision(each.revision),
        )
        for each in events
    )
    heads = ("At", "Event", "About", "Revision")
    return _section("Last events", heads, rows, len(events)) + "\n</main>"


def _section(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[Html]], count: int, told: Html = ""
) -> Html:
    if count == 0:
        return f"<section>\n<h2>{title}</h2>\n{told}<p>none</p>\n</section>"
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    lines = "\n".join(_row(heads, each) for _, each in zip(range(MAX_SHOWN), rows, strict=False))
    more = "" if count <= MAX_SHOWN else f"<p>{count - MAX_SHOWN:,} more are not shown.</p>"
    return f"""<section>
<h2>{title}</h2>
{told}<table>
<thead><tr>{columns}</tr></thead>
<tbody>
{lines}
</tbody>
</table>
{more}
</section>"""


def _row(heads: Sequence[str], cells: Sequence[Html]) -> Html:
    def told() -> Iterator[Html]:
        for head, cell in zip(heads, cells, strict=True):
            if cell or head != "Why":
                yield f'<td data-label="{head}"><span>{cell}</span></td>'
            else:
                yield "<td></td>"

    return f"<tr>{''.join(told())}</tr>"


def _state(state: Enum) -> Html:
    kind = "good" if state in _GOOD else "bad" if state in _BAD else "news"
    return f'<span class="{kind}">{state.value}</span>'


def _revision(revision: str | None) -> Html:
    return "-" if revision is None else f"<code>{_text(revision[:_SHORT])}</code>"


def _ago(seconds: float | None) -> str:
    return "-" if seconds is None else f"{format_span(seconds)} ago"


def _text(value: str) -> Html:
    return escape(printable(value), quote=True)
