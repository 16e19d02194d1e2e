"""What a member measures of itself, and what its events are counted for."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.tally import EventTally
from mftgit.model.handlers.status import EventHandlerStatus, HandlerState
from mftgit.model.inbound.service_status import (
    ServiceState,
    ServiceStatus,
    parse_service_status,
)
from mftgit.model.members.messages import Drain, Head, MemberState, MemberStatus
from mftgit.model.monitoring.metric import Sample, Spread, counter, gauge
from mftgit.model.monitoring.metrics import METRICS, measure
from mftgit.model.monitoring.overview import Heard, Overview, judge_peers
from mftgit.model.monitoring.seen import Seen, why_not_ready
from mftgit.model.names import (
    Epoch,
    EventHandlerName,
    MemberName,
    Revision,
    ServiceName,
    TransferName,
)
from mftgit.model.ownership.storage import StorageStatus
from mftgit.model.rollout.rollout import Outcome, Progress, Report
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.status import LastRun, TransferState, TransferStatus, Waiting

ME, T, S = MemberName("node-1"), TransferName("t"), ServiceName("s")
ONE, TWO = Revision("1" * 40), Revision("2" * 40)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
STATUS = MemberStatus(
    name=ME,
    role=Role.NODE,
    state=MemberState.ACTIVE,
    active_revision=ONE,
    attempted_revision=ONE,
    reason=None,
)
HEAD = Head(oid=ONE, seq=7, issued_at="2026-11-29T11:00:00.000Z")
SEEN = Seen(now=NOW, version="1", python="3", cluster="acme", status=STATUS)
TRANSFER = TransferStatus(
    name=T, owner=ME, epoch=Epoch(3), state=TransferState.RUNNING, last_run=None, delivered=9
)


def told(samples: Iterable[Sample]) -> dict[str, Any]:
    found = {}
    for each in samples:
        labels = "".join(f"/{value}" for value in each.labels)
        name = f"{each.metric.name.removeprefix('mftgit_')}{labels}"
        assert name not in found, "Prometheus takes each value once"
        found[name] = each.value
    return found


def happened(*events: tuple[EventName, dict[str, Any], float]) -> EventTally:
    tally = EventTally()
    for seq, (name, facts, now_s) in enumerate(events, 1):
        event = Event(member=ME, seq=seq, at="2026-11-29T12:00:00.000Z", event=name, facts=facts)
        tally.take(event, now_s=now_s)
    return tally


# One moment


def test_a_member_without_anything_tells_what_it_knows_and_no_more() -> None:
    found = told(measure(SEEN))
    assert found["build_info/1/3"] == found["member_info/node-1/node/acme"] == 1
    assert found["member_state/active"] == found["ready"] == 1
    assert found["member_state/silent"] == found["draining"] == found["suspended"] == 0
    assert found[f"revision_info/{ONE}"] == 1
    for unknown in ("revision_current", "head_seq", "lease_renewal_age_seconds", "members/active"):
        assert unknown not in found
    assert "storage_refused" not in found


def test_what_is_published_is_held_against_what_is_in_force() -> None:
    assert told(measure(replace(SEEN, head=HEAD)))["revision_current"] == 1
    behind = replace(SEEN, head=replace(HEAD, oid=TWO))
    assert told(measure(behind))["revision_current"] == 0
    none = replace(SEEN, status=replace(STATUS, active_revision=None))
    assert "revision_current" not in told(measure(none))
    assert not [name for name in told(measure(none)) if name.startswith("revision_info")]


def test_what_surrounds_a_member_is_measured_in_seconds_bytes_and_numbers() -> None:
    storage = StorageStatus(refused="not mounted", sees=(ME,))
    status = replace(STATUS, storage=storage, drain=Drain.DRAINED, suspended=True, pin=ONE)
    found = told(
        measure(
            replace(
                SEEN,
                status=status,
                head=HEAD,
                heard_s_ago=2.5,
                renewed_s_ago=1.5,
                unreported=4,
                free_bytes=1000,
            )
        )
    )
    assert found["head_seq"] == 7
    assert found["controller_contact_age_seconds"] == 2.5
    assert found["lease_renewal_age_seconds"] == 1.5
    assert (found["events_unreported"], found["state_folder_free_bytes"]) == (4, 1000)
    assert (found["storage_refused"], found["storage_members"]) == (1, 1)
    assert (found["draining"], found["suspended"], found["pinned"], found["ready"]) == (1, 1, 1, 0)


def test_a_transfer_is_told_once_also_where_a_former_one_of_its_name_ends() -> None:
    run = LastRun(outcome="idle", at="2026-11-29T12:00:00.000Z", files=0, size_bytes=0)
    now = replace(
        TRANSFER,
        last_run=run,
        waiting=Waiting(too_fresh=1, failed=2),
        paused=Pause(by="alice", member="node-1", at="2026-11-29T12:00:00.000Z"),
    )
    former = replace(TRANSFER, state=TransferState.ENDING, owner=None, epoch=None)
    for both in ((former, now), (now, former)):
        status = replace(STATUS, transfers=both)
        firings = {T: "2026-11-29T13:00:00.000Z"}
        found = told(measure(replace(SEEN, status=status, firings=firings)))
        assert (found["transfer_state/t/running"], found["transfer_state/t/ending"]) == (1, 0)
        assert (found["transfer_owned/t"], found["transfer_epoch/t"]) == (1, 3)
        assert (found["transfer_paused/t"], found["transfer_ledger_files/t"]) == (1, 9)
        assert found["transfer_waiting_files/t/too_fresh"] == 1
        assert found["transfer_waiting_files/t/failed"] == 2
        assert found["transfer_last_run_timestamp_seconds/t"] == NOW.timestamp()
        assert found["transfer_last_run_ok/t"] == 1
        assert found["transfer_next_firing_timestamp_seconds/t"] == NOW.timestamp() + 3600


def test_a_transfer_that_nobody_has_and_that_never_ran_tells_neither_epoch_nor_times() -> None:
    free = replace(TRANSFER, owner=None, epoch=None, state=TransferState.STANDBY)
    found = told(measure(replace(SEEN, status=replace(STATUS, transfers=(free,)))))
    assert found["transfer_owned/t"] == 0
    assert not [name for name in found if "timestamp" in name or "epoch" in name]


def test_a_service_tells_its_state_and_how_many_are_there() -> None:
    service = ServiceStatus(
        name=S,
        address="0.0.0.0:22",
        state=ServiceState.SERVING,
        connections=3,
        sessions=2,
        workers=1,
        banned=5,
    )
    found = told(measure(replace(SEEN, status=replace(STATUS, services=(service,)))))
    assert "service_certificate_expiry_timestamp_seconds/s" not in found
    assert (found["service_state/s/serving"], found["service_state/s/failing"]) == (1, 0)
    assert (found["service_connections/s"], found["service_sessions/s"]) == (3, 2)
    assert (found["service_workers/s"], found["banned_sources"]) == (1, 5)


def test_a_service_with_a_certificate_tells_until_when_that_holds() -> None:
    until = "2026-11-29T12:00:00.000Z"
    service = ServiceStatus(
        name=S, address="0.0.0.0:443", state=ServiceState.SERVING, certificate_until=until
    )
    found = told(measure(replace(SEEN, status=replace(STATUS, services=(service,)))))
    assert found["service_certificate_expiry_timestamp_seconds/s"] == NOW.timestamp()
    assert parse_service_status(service.as_json()) == service


def test_an_event_handler_tells_its_state_and_how_far_it_has_come() -> None:
    handler = EventHandlerStatus(
        name=EventHandlerName("mail"),
        type="email",
        state=HandlerState.FAILING,
        behind=3,
        handled=9,
        refused=1,
        missed=2,
    )
    status = replace(STATUS, event_handlers=(handler,), events_dropped=8)
    found = told(measure(replace(SEEN, status=status)))
    assert (found["event_handler_state/mail/failing"], found["events_dropped_total"]) == (1, 8)
    assert found["event_handler_waiting_events/mail"] == 3
    assert found["event_handler_events_total/mail/handled"] == 9
    assert found["event_handler_events_total/mail/refused"] == 1
    assert found["event_handler_missed_total/mail"] == 2


@pytest.mark.parametrize(
    ("state", "runs", "drains", "why"),
    [
        (MemberState.ACTIVE, ONE, False, None),
        (MemberState.REFUSED, ONE, False, None),
        (MemberState.WAITING, ONE, False, None),
        (MemberState.ACTIVE, ONE, True, "draining"),
        (MemberState.WAITING, None, False, "no revision runs"),
        (MemberState.SAFE_MODE, ONE, False, "safe mode"),
        (MemberState.STOPPED, ONE, False, "stopped"),
    ],
)
def test_a_member_is_ready_as_long_as_it_runs_a_good_revision_and_is_not_drained(
    state: MemberState,
    runs: Revision | None,
    drains: bool,  # noqa: FBT001  a parameter of the test
    why: str | None,
) -> None:
    assert why_not_ready(state, runs, drains=drains) == why


# The cluster


def overview(**rest: Any) -> Overview:
    other = replace(STATUS, name=MemberName("node-2"))
    never = replace(STATUS, name=MemberName("node-3"), state=MemberState.NEVER_SEEN)
    heard = [
        Heard(status=replace(STATUS, state=MemberState.SILENT), last_seen=None, cut_off=None),
        Heard(status=other, last_seen=1000.0 - 20, cut_off=1000.0 - 15),
        Heard(status=never, last_seen=None, cut_off=None),
    ]
    peers = judge_peers(heard, me=STATUS, now=1000.0)
    return Overview(**{"peers": peers, "head": HEAD, "rollout": None, **rest})


def test_the_controller_counts_members_by_state_and_tells_who_runs_what_is_published() -> None:
    found = told(measure(replace(SEEN, overview=overview())))
    assert (found["members/active"], found["members/silent"], found["members/never seen"]) == (
        1,
        1,
        1,
    )
    assert (found["peer_current/node-1"], found["peer_current/node-2"]) == (1, 0)
    assert (found["peer_contact_age_seconds/node-1"], found["peer_contact_age_seconds/node-2"]) == (
        0,
        20,
    )
    assert "peer_contact_age_seconds/node-3" not in found
    assert "rollout_members" not in found
    assert told(measure(replace(SEEN, overview=overview(head=None))))["peer_current/node-1"] == 0


def test_a_roll_out_tells_how_many_members_of_its_cohorts_are_through() -> None:
    progress = Progress(
        oid=ONE,
        base=TWO,
        cohorts=(("canary", (ME,)), ("rest", (MemberName("node-2"),))),
        reports={ME: Report(outcome=Outcome.ACTIVATED, reason=None, own=True)},
    )
    found = told(measure(replace(SEEN, overview=overview(rollout=progress))))
    assert (found["rollout_members"], found["rollout_members_through"]) == (2, 1)
    assert (found["rollout_state/running"], found["rollout_state/halted"]) == (1, 0)


# Events


def test_runs_and_deliveries_are_counted_by_transfer_and_outcome() -> None:
    tally = happened(
        (EventName.OWNERSHIP_TAKEN, {"transfer": "t"}, 0),
        (EventName.RUN_STARTED, {"transfer": "t"}, 1),
        (EventName.DELIVERY_SUCCEEDED, {"transfer": "t", "size_bytes": 100}, 2),
        (EventName.DELIVERY_SUCCEEDED, {"transfer": "t", "size_bytes": 20}, 2),
        (EventName.DELIVERY_FAILED, {"transfer": "t"}, 2),
        (EventName.DELIVERY_SKIPPED, {"transfer": "t"}, 2),
        (EventName.DELIVERY_GIVEN_UP, {"transfer": "t"}, 2),
        (EventName.RUN_FINISHED, {"transfer": "t", "outcome": "partly"}, 4),
        (EventName.RUN_FAILED, {"transfer": "t", "outcome": "of another version"}, 4),
    )
    found = told(tally.samples([T], []))
    assert {
        name: value for name, value in found.items() if name.split("/")[1:2] == ["t"] and value
    } == {
        "deliveries_total/t/succeeded": 2,
        "deliveries_total/t/failed": 1,
        "deliveries_total/t/skipped": 1,
        "deliveries_total/t/given_up": 1,
        "delivered_bytes_total/t": 120,
        "runs_total/t/partly": 1,
        "runs_total/t/failed": 1,
        "run_seconds_total/t": 3,
        "takeovers_total/t": 1,
    }
    assert found["runs_total/t/ended"] == 0
    assert found["events_total/DeliverySucceeded/transfer/info"] == 2
    assert (sum(found["run_duration_seconds"].counts), found["run_duration_seconds"].total) == (
        1,
        3,
    )


def test_what_clients_do_is_counted_by_service() -> None:
    tally = happened(
        (EventName.SESSION_OPENED, {"service": "s"}, 0),
        (EventName.UPLOAD_FINISHED, {"service": "s", "size_bytes": 5}, 0),
        (EventName.DOWNLOAD_FINISHED, {"service": "s", "size_bytes": 9, "sent_bytes": 7}, 0),
        (EventName.INBOUND_LOGIN_FAILED, {"service": "s", "untold": 3}, 0),
        (EventName.INBOUND_LOGIN_FAILED, {"service": "s", "untold": True}, 0),
        (EventName.INBOUND_LOGIN_FAILED, {"service": "s"}, 0),
        (EventName.INBOUND_LOGIN_FAILED, {"untold": 3}, 0),
        (EventName.WORKER_ENDED, {"service": "s"}, 0),
        (EventName.SOURCE_BANNED, {"service": "s"}, 0),
    )
    found = told(tally.samples([], [S]))
    assert {name: value for name, value in found.items() if "_total/s" in name} == {
        "sessions_total/s": 1,
        "uploads_total/s": 1,
        "uploaded_bytes_total/s": 5,
        "downloads_total/s": 1,
        "downloaded_bytes_total/s": 7,
        "logins_failed_total/s": 3,
        "workers_ended_total/s": 1,
    }
    assert (found["logins_failed_total/"], found["bans_total"]) == (7, 1)
    assert "uploads_total/" not in found


def test_what_is_not_configured_any_more_is_forgotten() -> None:
    tally = happened((EventName.DELIVERY_FAILED, {"transfer": "gone"}, 0))
    assert not [name for name in told(tally.samples([T], [])) if "gone" in name]
    assert told(tally.samples([TransferName("gone")], []))["deliveries_total/gone/failed"] == 0


# Metrics


def test_a_value_beyond_all_bounds_is_counted_and_one_on_a_bound_belongs_to_it() -> None:
    spread = Spread(bounds=(1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        spread.add(value)
    assert (spread.counts, spread.total) == ([2, 1, 1], 12.0)


def test_a_value_has_as_many_labels_as_its_metric() -> None:
    with pytest.raises(ValueError, match="mftgit_x has the labels"):
        gauge("mftgit_x", "", "one").of(1)


def test_names_are_as_prometheus_asks_for() -> None:
    assert len({each.name for each in METRICS}) == len(METRICS)
    for each in METRICS:
        assert each.name.startswith("mftgit_")
        assert (each.kind is counter("", "").kind) == each.name.endswith("_total"), each.name
        assert each.meaning
