"""Each alert fires when it should, says what it is about, and fires neither before nor where all is well."""

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from ssh_keys import program

pytestmark = pytest.mark.needs("prometheus")

RULES = Path(__file__).parents[2] / "deploy" / "monitoring" / "mftgit-alerts.yml"
RULE = re.compile(
    r"- alert: (?P<name>\w+)\n +expr: .*\n(?: +for: (?P<minutes>\d+)m\n)? +labels: \{severity: (?P<severity>\w+)\}\n"
    r" +annotations:\n +summary: .*\n +description: (?P<description>.*)\n"
)
INFO = 'mftgit_member_info{instance="a",member="node-1"}'
MEMBER: Final = {"instance": "a", "member": "node-1"}
JUMPS_AT = 10
"""In which minute a counter of `jump` rises."""

Series = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Series, with their values minute by minute, by which an alert fires, and others by which it does not.

    It has ``labels`` and a ``summary`` then. What is wrong is so from the minute ``since`` on.
    """

    fires: Series
    quiet: Series
    labels: Mapping[str, str]
    summary: str
    since: int = 0


def always(**values: float) -> Series:
    """Give metrics of the member that stand still."""
    return {f'{name}{{instance="a"}}': f"{value}x90" for name, value in values.items()}


def state(metric: str, label: str, value: int, **labels: str) -> Series:
    """Give one state of a member, or of something on it."""
    more = "".join(f',{name}="{text}"' for name, text in labels.items())
    return {f'{metric}{{instance="a"{more},state="{label}"}}': f"{value}x90"}


def jump(series: str, by: int = 1) -> Series:
    """Give a counter that rises once."""
    return {series: f"0x{JUMPS_AT - 1} {by}x80"}


def owned(a: int, b: int) -> Series:
    """Give who of two members owns a transfer."""
    return {
        f'mftgit_transfer_owned{{instance="{name}",transfer="t"}}': f"{value}x90"
        for name, value in {"a": a, "b": b}.items()
    }


def deliveries(outcome: str) -> Series:
    """Give the tries to deliver that ended so, one of them in the end."""
    return jump(f'mftgit_deliveries_total{{instance="a",transfer="t",outcome="{outcome}"}}')


def happened(event: str) -> Series:
    """Give how often something happened, once in the end."""
    return jump(
        f'mftgit_events_total{{instance="a",event="{event}",group="change",severity="error"}}'
    )


def logins(each_minute: int) -> Series:
    """Give clients that were not let in, so many in each minute."""
    return {'mftgit_logins_failed_total{instance="a",service="sftp"}': f"0+{each_minute}x90"}


def certificate(until: int) -> Series:
    """Give the certificate of a service; a test begins at 0."""
    metric = "mftgit_service_certificate_expiry_timestamp_seconds"
    return {f'{metric}{{instance="a",service="web"}}': f"{until}x90"}


def open_files(count: int) -> Series:
    """Give how many of a hundred files are open."""
    return always(process_open_fds=count, process_max_fds=100)


UP, HANDLER = 'up{instance="a",job="mftgit"}', 'instance="a",handler="siem"'
WORKERS = 'mftgit_workers_ended_total{instance="a",service="sftp"}'
DROPPED, MISSED = "mftgit_events_dropped_total", f"mftgit_event_handler_missed_total{{{HANDLER}}}"

CASES: Final[Mapping[str, Case]] = {
    "MftgitMemberDown": Case(
        fires={UP: "0x90"},
        quiet={UP: "1x90"},
        labels={"instance": "a", "job": "mftgit"},
        summary="a does not answer",
    ),
    "MftgitMemberNotReady": Case(
        fires=always(mftgit_ready=0, mftgit_draining=0),
        quiet=always(mftgit_ready=0, mftgit_draining=1),
        labels=MEMBER,
        summary="node-1 is not ready",
    ),
    "MftgitMemberSilent": Case(
        fires=state("mftgit_members", "silent", 1),
        quiet=state("mftgit_members", "silent", 0) | state("mftgit_members", "active", 3),
        labels={"instance": "a", "state": "silent"},
        summary="1 member(s) do not report to the controller",
    ),
    "MftgitSafeMode": Case(
        fires=state("mftgit_member_state", "safe mode", 1),
        quiet=state("mftgit_member_state", "active", 1),
        labels={**MEMBER, "state": "safe mode"},
        summary="node-1 is in safe mode",
    ),
    "MftgitControllerUnreachable": Case(
        fires=always(mftgit_controller_contact_age_seconds=301),
        quiet=always(mftgit_controller_contact_age_seconds=300),
        labels=MEMBER,
        summary="node-1 has not heard from the controller for 5m 1s",
    ),
    "MftgitEventsNotReported": Case(
        fires=always(mftgit_events_unreported=1001),
        quiet=always(mftgit_events_unreported=1000),
        labels=MEMBER,
        summary="node-1 has 1001 events that the controller does not have",
    ),
    "MftgitEventsLost": Case(
        fires=jump(f'{DROPPED}{{instance="a"}}'),
        quiet=always(mftgit_events_dropped_total=7),
        labels=MEMBER,
        summary="node-1 has lost events",
        since=JUMPS_AT,
    ),
    "MftgitEventsMissed": Case(
        fires=jump(MISSED),
        quiet={MISSED: "7x90"},
        labels={**MEMBER, "handler": "siem"},
        summary="The event handler siem missed events on node-1",
        since=JUMPS_AT,
    ),
    "MftgitEventHandlerFailing": Case(
        fires=state("mftgit_event_handler_state", "failing", 1, handler="siem"),
        quiet=state("mftgit_event_handler_state", "failing", 0, handler="siem"),
        labels={**MEMBER, "handler": "siem", "state": "failing"},
        summary="The event handler siem fails on node-1",
    ),
    "MftgitStateFolderFull": Case(
        fires=always(mftgit_state_folder_free_bytes=512 * 1024**2),
        quiet=always(mftgit_state_folder_free_bytes=10**9),
        labels=MEMBER,
        summary="node-1 has 512MiB left for its state",
    ),
    "MftgitOpenFiles": Case(
        fires=open_files(90),
        quiet=open_files(79),
        labels=MEMBER,
        summary="node-1 has 90% of its open files in use",
    ),
    "MftgitRevisionNotTaken": Case(
        fires=state("mftgit_member_state", "refused", 1),
        quiet=state("mftgit_member_state", "refused", 0)
        | state("mftgit_member_state", "active", 1),
        labels={**MEMBER, "state": "refused"},
        summary="node-1 does not run what is published: refused",
    ),
    "MftgitRevisionBehind": Case(
        fires=always(mftgit_revision_current=0),
        quiet=always(mftgit_revision_current=1),
        labels=MEMBER,
        summary="node-1 has not run what is published for half an hour",
    ),
    "MftgitRolloutHalted": Case(
        fires=state("mftgit_rollout_state", "halted", 1),
        quiet=state("mftgit_rollout_state", "halted", 0),
        labels={"instance": "a", "state": "halted"},
        summary="The roll-out is halted",
    ),
    "MftgitGlassBroken": Case(
        fires=happened("GlassBroken"),
        quiet=happened("ForgeRefused"),
        labels={**MEMBER, "event": "GlassBroken", "group": "change"},
        summary="Something was published without the approvals that it needs",
        since=JUMPS_AT,
    ),
    "MftgitTransferFailing": Case(
        fires=state("mftgit_transfer_state", "failing", 1, transfer="t"),
        quiet=state("mftgit_transfer_state", "failing", 0, transfer="t"),
        labels={"transfer": "t"},
        summary="The transfer t fails",
    ),
    "MftgitDeliveryGivenUp": Case(
        fires=deliveries("given_up"),
        quiet=deliveries("failed"),
        labels={"transfer": "t"},
        summary="t has given up files",
        since=JUMPS_AT,
    ),
    "MftgitTransferWithoutOwner": Case(
        fires=owned(0, 0),
        quiet=owned(0, 1),
        labels={"transfer": "t"},
        summary="Nobody owns the transfer t",
    ),
    "MftgitLeasesNotRenewed": Case(
        fires=always(mftgit_lease_renewal_age_seconds=121),
        quiet=always(mftgit_lease_renewal_age_seconds=120),
        labels=MEMBER,
        summary="node-1 has not renewed its leases for 2m 1s",
    ),
    "MftgitStorageRefused": Case(
        fires=always(mftgit_storage_refused=1),
        quiet=always(mftgit_storage_refused=0),
        labels=MEMBER,
        summary="node-1 refuses the members' storage",
    ),
    "MftgitServiceFailing": Case(
        fires=state("mftgit_service_state", "failing", 1, service="sftp"),
        quiet=state("mftgit_service_state", "failing", 0, service="sftp"),
        labels={**MEMBER, "service": "sftp", "state": "failing"},
        summary="The service sftp does not run on node-1",
    ),
    "MftgitCertificateExpires": Case(
        fires=certificate(14 * 86400 + 30),
        quiet=certificate(15 * 86400),
        labels={**MEMBER, "service": "web"},
        summary="The certificate of the service web on node-1 ends in 13d 23h 58m 30s",
        since=1,
    ),
    "MftgitManyFailedLogins": Case(
        fires=logins(120),
        quiet=logins(30),
        labels={},
        summary="2 logins a second fail",
        since=3,  # before that it is less than one a second of the last five minutes
    ),
    "MftgitWorkersDie": Case(
        fires=jump(WORKERS, 9),
        quiet=jump(WORKERS, 2),
        labels={"service": "sftp"},
        summary="Processes of the service sftp keep dying",
        since=JUMPS_AT,
    ),
}


def rules() -> dict[str, re.Match[str]]:
    """Return what each rule says."""
    return {found["name"]: found for found in RULE.finditer(RULES.read_text(encoding="utf-8"))}


def asked(rule: re.Match[str], case: Case) -> list[dict[str, Any]]:
    """Return what promtool is to see to: the alert, before it is due, when it is, and where nothing is wrong."""
    name, minutes = rule["name"], int(rule["minutes"] or 0)
    alert = {
        "exp_labels": {**case.labels, "severity": rule["severity"]},
        "exp_annotations": {"summary": case.summary, "description": rule["description"].strip('"')},
    }
    due = case.since + minutes
    before = [_at(due - 2, name)] if due > 1 else []
    return [
        _series(case.fires, [*before, _at(due + 1, name, alert)]),
        _series(case.quiet, [_at(each, name) for each in (due + 1, 60)]),
    ]


def _at(minute: int, name: str, *alerts: dict[str, Any]) -> dict[str, Any]:
    return {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": list(alerts)}


def _series(series: Series, tests: list[dict[str, Any]]) -> dict[str, Any]:
    values = {INFO: "1x90", **series}
    return {
        "interval": "1m",
        "input_series": [{"series": each, "values": text} for each, text in values.items()],
        "alert_rule_test": tests,
    }


def test_there_is_a_case_for_every_rule() -> None:
    text = RULES.read_text(encoding="utf-8")
    assert list(rules()) == re.findall(r"- alert: (\w+)", text)
    assert set(rules()) == set(CASES)


def test_every_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    cases = tmp_path / "cases.yml"
    tests = [each for name, rule in rules().items() for each in asked(rule, CASES[name])]
    asks = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    cases.write_text(json.dumps(asks), encoding="utf-8")
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(cases)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
