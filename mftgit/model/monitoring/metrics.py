"""The metrics of a member: what it measures at one moment, besides what its events are counted for."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from mftgit.model.events.tally import EVENT_METRICS
from mftgit.model.inbound.service_status import ServiceState, ServiceStatus
from mftgit.model.members.messages import MemberState, RolloutState
from mftgit.model.monitoring.event_metrics import WAY_METRICS, measure_ways
from mftgit.model.monitoring.metric import Metric, Sample, gauge, one_of
from mftgit.model.monitoring.overview import Overview
from mftgit.model.monitoring.seen import Seen, why_not_ready
from mftgit.model.transfers.status import TransferState, TransferStatus

BUILD: Final = gauge("mftgit_build_info", "always 1; what runs", "version", "python")
MEMBER: Final = gauge("mftgit_member_info", "always 1; who this is", "member", "role", "cluster")
STATE: Final = gauge(
    "mftgit_member_state", "1 for the state that the member is in, 0 for the others", "state"
)
READY: Final = gauge("mftgit_ready", "1 as long as `/readyz` answers 200")
REVISION: Final = gauge("mftgit_revision_info", "always 1; the commit that is in force", "revision")
CURRENT: Final = gauge(
    "mftgit_revision_current", "1 where what is published is in force, as far as is known here"
)
HEAD_SEQ: Final = gauge("mftgit_head_seq", "number of the head pointer; it only rises")
DRAIN: Final = gauge("mftgit_draining", "1 while an operator has drained the member")
SUSPENDED: Final = gauge("mftgit_suspended", "1 while an operator has it take no revision in")
PINNED: Final = gauge("mftgit_pinned", "1 while an operator keeps it on one revision")
HEARD: Final = gauge("mftgit_controller_contact_age_seconds", "since the controller last answered")
RENEWED: Final = gauge(
    "mftgit_lease_renewal_age_seconds",
    "since the session was renewed by which the member holds its leases; missing without one",
)
REFUSED: Final = gauge(
    "mftgit_storage_refused", "1 where nothing is owned because the members' storage is refused"
)
SEES: Final = gauge(
    "mftgit_storage_members", "members whose sign of life is seen through the members' storage"
)
FREE: Final = gauge("mftgit_state_folder_free_bytes", "room left where the state folder is")
BANNED: Final = gauge("mftgit_banned_sources", "sources that are kept out just now")

_TRANSFER: Final = "transfer"
TRANSFER_STATE: Final = gauge(
    "mftgit_transfer_state",
    "1 for the state of the transfer here, 0 for the others",
    _TRANSFER,
    "state",
)
OWNED: Final = gauge("mftgit_transfer_owned", "1 where this member is the owner", _TRANSFER)
EPOCH: Final = gauge("mftgit_transfer_epoch", "its epoch, as seen here; missing before", _TRANSFER)
PAUSED: Final = gauge("mftgit_transfer_paused", "1 while an operator has paused it", _TRANSFER)
WAITING: Final = gauge(
    "mftgit_transfer_waiting_files",
    "files that waited at the last look of this member: `too_fresh`, or `failed` before",
    _TRANSFER,
    "why",
)
LEDGER: Final = gauge(
    "mftgit_transfer_ledger_files", "files in the ledger, which all members share", _TRANSFER
)
LAST_RUN: Final = gauge(
    "mftgit_transfer_last_run_timestamp_seconds",
    "when the last run of this member ended",
    _TRANSFER,
)
LAST_OK: Final = gauge(
    "mftgit_transfer_last_run_ok", "1 where that succeeded, or had nothing to do", _TRANSFER
)
NEXT: Final = gauge(
    "mftgit_transfer_next_firing_timestamp_seconds",
    "when it is due next; missing where it is on no schedule",
    _TRANSFER,
)
UNDER_WAY: Final = gauge("mftgit_transfer_under_way_files", "files on their way here", _TRANSFER)

_SERVICE: Final = "service"
SERVICE_STATE: Final = gauge(
    "mftgit_service_state",
    "1 for the state of the service here, 0 for the others",
    _SERVICE,
    "state",
)
CONNECTIONS: Final = gauge("mftgit_service_connections", "connections of clients", _SERVICE)
SESSIONS_NOW: Final = gauge(
    "mftgit_service_sessions", "those of them that have logged in", _SERVICE
)
WORKERS: Final = gauge("mftgit_service_workers", "processes that serve clients", _SERVICE)

CERTIFICATE: Final = gauge(
    "mftgit_service_certificate_expiry_timestamp_seconds",
    "until when the certificate holds that the service shows to clients; missing where it shows none",
    _SERVICE,
)


def _cluster(metric: Metric) -> Metric:
    return replace(metric, only_on_controller=True)


MEMBERS: Final = _cluster(gauge("mftgit_members", "members by state", "state"))
PEER_AGE: Final = _cluster(
    gauge(
        "mftgit_peer_contact_age_seconds",
        "since a member was last heard of; missing for one that never was",
        "peer",
    )
)
PEER_CURRENT: Final = _cluster(
    gauge("mftgit_peer_current", "1 where a member runs what is published, and says so", "peer")
)
ROLLOUT: Final = _cluster(
    gauge(
        "mftgit_rollout_state",
        "1 for the state of the roll-out, 0 for the others; missing before the first one",
        "state",
    )
)
ROLLOUT_HAVE: Final = _cluster(
    gauge("mftgit_rollout_members_through", "members of its cohorts that have it, or are excused")
)
ROLLOUT_ALL: Final = _cluster(gauge("mftgit_rollout_members", "members of its cohorts"))

METRICS: Final[tuple[Metric, ...]] = (
    BUILD, MEMBER, STATE, READY, REVISION, CURRENT, HEAD_SEQ, DRAIN, SUSPENDED, PINNED, HEARD, RENEWED, REFUSED,
    SEES, FREE, BANNED, TRANSFER_STATE, OWNED, EPOCH, PAUSED, WAITING, LEDGER, LAST_RUN, LAST_OK, NEXT,
    UNDER_WAY, SERVICE_STATE, CONNECTIONS, SESSIONS_NOW, WORKERS, CERTIFICATE, *WAY_METRICS, *EVENT_METRICS, MEMBERS,
    PEER_AGE, PEER_CURRENT, ROLLOUT, ROLLOUT_HAVE, ROLLOUT_ALL,
)  # fmt: skip
"""Every metric there is, but for those of the process, which Prometheus' own library tells."""

_GOOD: Final = frozenset({"succeeded", "idle"})


def measure(seen: Seen) -> Iterator[Sample]:
    """Give every value of ``seen``; what is not known has none."""
    yield from _of_member(seen)
    yield from _of_surroundings(seen)
    yield from measure_ways(seen)
    for transfer in seen.transfers:
        yield from _of_transfer(transfer, seen)
    for service in seen.status.services:
        yield from _of_service(service)
    if seen.overview is not None:
        yield from _of_cluster(seen.overview)


def _of_member(seen: Seen) -> Iterator[Sample]:
    status = seen.status
    yield BUILD.of(1.0, seen.version, seen.python)
    yield MEMBER.of(1.0, status.name, status.role.value, seen.cluster or "")
    yield from one_of(STATE, MemberState, status.state)
    drains = status.drain is not None
    yield READY.of(
        float(why_not_ready(status.state, status.active_revision, drains=drains) is None)
    )
    if status.active_revision is not None:
        yield REVISION.of(1.0, status.active_revision)
    if seen.is_current is not None:
        yield CURRENT.of(float(seen.is_current))
    yield DRAIN.of(float(drains))
    yield SUSPENDED.of(float(status.suspended))
    yield PINNED.of(float(status.pin is not None))


def _of_surroundings(seen: Seen) -> Iterator[Sample]:
    storage = seen.status.storage
    banned = max((each.banned for each in seen.status.services), default=0)
    known = (
        (HEAD_SEQ, None if seen.head is None else seen.head.seq),
        (HEARD, seen.heard_s_ago),
        (RENEWED, seen.renewed_s_ago),
        (REFUSED, None if storage is None else storage.refused is not None),
        (SEES, None if storage is None else len(storage.sees)),
        (FREE, seen.free_bytes),
        (BANNED, banned),
    )
    for metric, value in known:
        if value is not None:
            yield metric.of(float(value))


def _of_transfer(transfer: TransferStatus, seen: Seen) -> Iterator[Sample]:
    name = transfer.name
    yield from one_of(TRANSFER_STATE, TransferState, transfer.state, name)
    yield OWNED.of(float(transfer.owner == seen.status.name), name)
    yield PAUSED.of(float(transfer.paused is not None), name)
    yield WAITING.of(float(transfer.waiting.too_fresh), name, "too_fresh")
    yield WAITING.of(float(transfer.waiting.failed), name, "failed")
    yield LEDGER.of(float(transfer.delivered), name)
    yield UNDER_WAY.of(float(len(transfer.under_way)), name)
    if transfer.epoch is not None:
        yield EPOCH.of(float(transfer.epoch), name)
    if transfer.last_run is not None:
        yield LAST_RUN.of(_posix(transfer.last_run.at), name)
        yield LAST_OK.of(float(transfer.last_run.outcome in _GOOD), name)
    if (due_at := seen.firings.get(name)) is not None:
        yield NEXT.of(_posix(due_at), name)


def _of_service(service: ServiceStatus) -> Iterator[Sample]:
    yield from one_of(SERVICE_STATE, ServiceState, service.state, service.name)
    yield CONNECTIONS.of(float(service.connections), service.name)
    yield SESSIONS_NOW.of(float(service.sessions), service.name)
    yield WORKERS.of(float(service.workers), service.name)
    if service.certificate_until is not None:
        yield CERTIFICATE.of(_posix(service.certificate_until), service.name)


def _of_cluster(overview: Overview) -> Iterator[Sample]:
    for state, count in overview.by_state.items():
        yield MEMBERS.of(float(count), state.value)
    for peer in overview.peers:
        yield PEER_CURRENT.of(float(peer.is_current(overview.head)), peer.name)
        if peer.heard_s_ago is not None:
            yield PEER_AGE.of(peer.heard_s_ago, peer.name)
    progress = overview.rollout
    if progress is None:
        return
    yield from one_of(ROLLOUT, RolloutState, progress.state)
    led = {name for _, names in progress.cohorts for name in names}
    yield ROLLOUT_ALL.of(float(len(led)))
    yield ROLLOUT_HAVE.of(float(sum(progress.is_through(name) for name in led)))


def _posix(moment: str) -> float:
    """Return an RFC 3339 time as seconds of POSIX time."""
    return datetime.fromisoformat(moment).timestamp()
