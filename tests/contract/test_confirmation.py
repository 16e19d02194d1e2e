"""A revision has to prove itself, on a real node; where it does not, the node goes back and does not try it again."""

import itertools
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clocks import SetClock
from controller_site import Node, Site, controller_site
from gpg_keys import gpg_home
from node_site import ONE, TRANSFER, TWO, deliver, restarted, started
from waiting import WAIT_S, until

from mftgit.errors import MftgitError
from mftgit.member import intake as intake_module
from mftgit.member.confirm import Confirmation, Time
from mftgit.member.kept import write_record
from mftgit.model.events.event import EventName
from mftgit.model.members.messages import MemberState
from mftgit.model.members.record import Stage
from mftgit.model.names import Revision

WITHIN_S = 60
CHECKED = {"cluster.yaml": b"name: c\nconfirm: {within_s: %d, command: check}\n" % WITHIN_S}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


def command(site: Site, script: str, *, mode: int = 0o755) -> Path:
    """Put the program ``check`` where a node's administrator does."""
    path = site.folder.root.parent / "node-1" / "commands" / "check"
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name("new")  # one that is just begun could not be written to
    new.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    new.chmod(mode)
    return new.replace(path)


def has_failed(node: Node) -> bool:
    """Tell whether the check has come to its own end once, and all else has passed."""
    confirmation = node.intake._activation._confirmation
    if confirmation is None or list(confirmation._missing) != ["command"]:
        return False
    return confirmation._missing["command"] != "no answer yet"


def give_up(site: Site, node: Node) -> None:
    """Look at what is published, have its check fail, and then its time be over."""
    node.intake.look()
    until(lambda: has_failed(node))
    site.clock.pass_s(WITHIN_S)
    node.look()


def rolled_back(site: Site) -> tuple[Node, Revision, Revision]:
    """A node that went back from a revision whose check fails: the node, the good one, the bad one."""
    good = site.publish(ONE)
    node = started(site)
    command(site, "echo partner is down >&2; exit 3")
    bad = site.publish(TWO | CHECKED)
    give_up(site, node)
    assert node.intake.runs == good
    return node, good, bad


def told(node: Node, event: EventName) -> list[Revision | None]:
    return [each.revision for each in node.told(event)]


def test_what_does_not_prove_itself_is_rolled_back_and_the_reason_is_told_once(site: Site) -> None:
    node, good, bad = rolled_back(site)
    assert (node.intake.state(), node.transfers()) == (MemberState.ROLLED_BACK, ["one"])
    assert f"not confirmed within {WITHIN_S} s: command: " in str(node.intake.reason())
    assert "status 3: partner is down" in str(node.intake.reason())
    record = node.intake.record
    assert (record.anchor, record.lkg, record.active, record.attempted) == (good, good, good, bad)
    (event,) = node.told(EventName.REVISION_ROLLED_BACK)
    assert event.revision == bad
    assert "partner is down" in str(event.facts["reason"])
    assert event.facts["head_seq"] == record.seq
    deliver(site, "after")
    node = restarted(site, node)
    node.look()
    assert len(node.told(EventName.REVISION_ROLLED_BACK)) == 1
    assert told(node, EventName.REVISION_ACTIVATED) == [good]


def test_a_try_that_the_end_of_the_time_cuts_off_hides_nothing_that_was_said_before() -> None:
    clock = SetClock()
    tries, over, hold = itertools.count(1), threading.Event(), threading.Event()

    def probe() -> None:
        match next(tries):
            case 1:
                raise MftgitError("the partner is down")
            case 2:
                clock.pass_s(20)
                raise MftgitError("it did not end in time")
            case _:
                over.set()
                hold.wait(WAIT_S)

    within = Time(until=clock.boottime() + 10, clock=clock)
    confirmation = Confirmation({"command": probe}, time=within, passed=hold.set)
    assert over.wait(WAIT_S)
    assert str(confirmation.look()) == "command: the partner is down"
    confirmation.end()
    hold.set()


def test_what_was_rolled_back_is_tried_again_when_a_key_changes(site: Site) -> None:
    node, _, bad = rolled_back(site)
    command(site, "exit 0")
    node.look()
    assert node.intake.state() is MemberState.ROLLED_BACK
    (node.folder.secrets / "partner").write_text("x", encoding="utf-8")
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, bad)
    assert told(node, EventName.REVISION_ACTIVATED)[-1] == bad


def test_a_newer_revision_is_taken_after_a_roll_back(site: Site) -> None:
    node, _, _ = rolled_back(site)
    newer = site.publish(TWO)
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, newer)


def test_the_first_revision_of_all_goes_back_to_nothing(site: Site) -> None:
    command(site, "exit 1")
    site.publish(ONE | CHECKED)
    node = site.node()
    node.intake.resume()
    give_up(site, node)
    assert (node.intake.state(), node.intake.runs, node.transfers()) == (
        MemberState.ROLLED_BACK, None, [],
    )  # fmt: skip
    good = site.publish(ONE)
    node.look()
    assert node.intake.runs == good


def test_a_check_that_hangs_is_killed_with_what_it_started_and_counts_as_failed(
    site: Site, tmp_path: Path
) -> None:
    site.publish(ONE)
    node = started(site)
    told = tmp_path / "child"
    command(site, f"sleep 300 & echo $! > {told}.new; mv {told}.new {told}; wait")
    site.publish(TWO | CHECKED)
    node.intake.look()
    until(told.exists)
    site.clock.pass_s(WITHIN_S)
    node.look()
    assert node.intake.state() is MemberState.ROLLED_BACK
    child = int(told.read_text(encoding="utf-8"))
    until(lambda: _has_ended(child))


def _has_ended(process: int) -> bool:
    """Tell whether it has, waited for or not."""
    try:
        return ") Z " in Path(f"/proc/{process}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("trouble", ["missing", "writable by others", "folder writable"])
def test_only_a_program_of_the_machine_s_administrator_is_run(
    site: Site, tmp_path: Path, trouble: str
) -> None:
    site.publish(ONE)
    node = started(site)
    path = command(site, f"touch {tmp_path}/ran", mode=0o777 if "by others" in trouble else 0o755)
    if trouble == "missing":
        path.unlink()
    if trouble == "folder writable":
        path.parent.chmod(0o777)
    site.publish(TWO | CHECKED)
    give_up(site, node)
    assert node.intake.state() is MemberState.ROLLED_BACK
    assert str(path.parent) in str(node.intake.reason())
    assert not (tmp_path / "ran").exists()


def test_a_check_is_told_what_it_checks_and_nothing_of_this_process(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "secret")
    site.publish(ONE)
    node = started(site)
    command(site, f"env > {tmp_path}/env; pwd >> {tmp_path}/env")
    new = site.publish(TWO | CHECKED)
    node.look()
    assert node.intake.runs == new
    lines = (tmp_path / "env").read_text(encoding="utf-8").splitlines()
    assert {"MFTGIT_MEMBER=node-1", f"MFTGIT_REVISION={new}", "/"} <= set(lines)
    assert not any("PLANTED" in line for line in lines)


def test_a_newer_revision_ends_a_wait_that_lasts(site: Site) -> None:
    good = site.publish(ONE)
    node = started(site)
    command(site, "sleep 60")
    slow = site.publish(TWO | CHECKED)
    node.intake.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.CONFIRMING, slow)
    broken = site.publish({"transfers/one.yaml": b"nonsense"})
    site.clock.pass_s(2 * intake_module.SUPERSEDE_AFTER_S)
    node.intake.look()
    assert node.intake.record.attempted == slow  # one that is no better does not end it
    assert told(node, EventName.REVISION_REFUSED) == []
    newer = site.publish(ONE)
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, newer)
    assert told(node, EventName.REVISION_SUPERSEDED) == [slow]
    assert told(node, EventName.REVISION_ACTIVATED) == [good, newer]
    assert broken != newer


def test_a_stream_of_revisions_does_not_keep_one_that_is_well_from_being_confirmed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "SUPERSEDE_AFTER_S", WAIT_S)  # also on a busy machine
    site.publish(ONE)
    node = started(site)
    for number in range(5):
        site.publish(ONE | {"note.md": str(number).encode()})
        node.intake.look()
        if node.intake.record.stage is Stage.CONFIRMING:
            node.woken.wait(WAIT_S)
    newest = site.publish(TWO)
    node.look()
    assert node.intake.runs == newest
    assert told(node, EventName.REVISION_SUPERSEDED) == []


def test_a_stream_of_revisions_does_not_keep_one_from_being_confirmed_whose_check_takes_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "SUPERSEDE_AFTER_S", 0.0625)
    site.publish(ONE)
    node = started(site)
    numbers = itertools.count()

    def push_and_look() -> None:
        site.publish(ONE | CHECKED | {"note.md": str(next(numbers)).encode()})
        node.intake.look()

    command(site, "sleep 60")
    while not node.told(EventName.REVISION_SUPERSEDED):
        push_and_look()
    command(site, "sleep 1")
    while len(node.told(EventName.REVISION_ACTIVATED)) == 1:
        push_and_look()


# Starts under what is not confirmed


def unconfirmed(site: Site) -> tuple[Node, Revision, Revision]:
    """A node that is proving a revision whose check takes for ever."""
    good = site.publish(ONE)
    node = started(site)
    command(site, "sleep 60")
    slow = site.publish(TWO | CHECKED)
    node.intake.look()
    assert node.intake.record.stage is Stage.CONFIRMING
    return node, good, slow


def test_a_revision_under_which_the_process_ends_twice_is_rolled_back_before_anything_of_it_runs(
    site: Site,
) -> None:
    node, good, slow = unconfirmed(site)
    node = restarted(site, node)
    assert node.intake.runs == slow
    node = restarted(site, node)
    assert (node.intake.state(), node.intake.runs) == (MemberState.ROLLED_BACK, good)
    assert "ended 2 times before it was confirmed" in str(node.intake.reason())
    assert node.told(EventName.PLAN_APPLIED)[-1].facts["started"] == ["one"]
    assert told(node, EventName.REVISION_ROLLED_BACK) == [slow]


def test_a_process_that_ends_in_order_is_not_held_against_a_revision(site: Site) -> None:
    node, _, slow = unconfirmed(site)
    for _ in range(3):
        node.intake.stop()
        node = restarted(site, node)
        assert node.intake.runs == slow


def test_the_time_to_confirm_goes_on_over_a_restart_and_is_over_when_it_is_over(site: Site) -> None:
    node, good, slow = unconfirmed(site)
    node.close()
    site.nodes.remove(node)
    site.clock.pass_s(WITHIN_S)
    node = site.node()
    node.intake.resume()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ROLLED_BACK, good)
    assert told(node, EventName.REVISION_ROLLED_BACK) == [slow]


def test_after_a_boot_the_time_to_confirm_begins_anew(site: Site) -> None:
    node, _, slow = unconfirmed(site)
    node.close()
    site.nodes.remove(node)
    past = replace(node.intake.record, until=1.0, boot_id="another")
    write_record(node.folder.record, past)
    node = site.node()
    node.intake.resume()
    assert (node.intake.state(), node.intake.runs) == (MemberState.CONFIRMING, slow)


# Safe mode


def test_a_member_whose_last_known_good_revision_does_not_answer_either_says_so_and_recovers(
    site: Site,
) -> None:
    site.publish(ONE | CHECKED | {"members/node-1.yaml": b"role: node\nlabels: {a: b}\n"})
    path = command(site, "exit 0")
    node = started(site)
    path.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    bad = site.publish(TWO | CHECKED)
    give_up(site, node)
    while node.intake.state() is not MemberState.SAFE_MODE:
        site.clock.pass_s(WITHIN_S)
        node.intake.look()
    assert "the last known good revision fails too" in str(node.intake.reason())
    assert node.transfers() == ["one"]
    deliver(site, "in safe mode")
    path.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    until(lambda: _looked(node) and node.intake.state() is MemberState.ROLLED_BACK)
    assert told(node, EventName.REVISION_ROLLED_BACK) == [bad]


def test_what_runs_is_kept_running_when_there_is_nothing_to_go_back_to(site: Site) -> None:
    node, good, slow = unconfirmed(site)
    node = restarted(site, node)  # the last known good generation is not in memory any more
    site.stop()
    (node.folder.store / "config").write_bytes(b"\xff")
    node.upstream.store.packs_replaced()
    site.clock.pass_s(WITHIN_S)
    until(lambda: _looked(node) and node.intake.state() is MemberState.SAFE_MODE)
    assert node.intake.runs == slow
    deliver(site, "kept")
    site.start()
    until(lambda: _looked(node) and node.intake.state() is MemberState.ROLLED_BACK)
    assert node.intake.runs == good


def test_a_last_known_good_revision_that_fails_while_another_is_refused_takes_nothing_from_its_outcome(
    site: Site,
) -> None:
    site.publish(ONE | CHECKED)
    path = command(site, "exit 0")
    node = started(site)
    path.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    bad = site.publish(TWO | CHECKED)
    give_up(site, node)
    broken = site.publish({"transfers/one.yaml": b"nonsense"})
    node.intake.look()
    site.clock.pass_s(WITHIN_S)
    node.intake.look()
    assert (node.intake.state(), node.intake.due_in_s) == (MemberState.REFUSED, None)
    assert told(node, EventName.REVISION_ROLLED_BACK) == [bad]
    assert told(node, EventName.REVISION_REFUSED) == [broken]


def test_what_was_rolled_back_is_not_tried_again_because_the_keys_cannot_be_looked_at(
    site: Site,
) -> None:
    node, _, _ = rolled_back(site)
    attempts = node.intake.record.attempts
    node.folder.secrets.rmdir()
    node.folder.secrets.touch()
    node.look()
    assert (node.intake.state(), node.intake.record.attempts) == (
        MemberState.ROLLED_BACK, attempts,
    )  # fmt: skip


def _looked(node: Node) -> bool:
    try:
        node.intake.look()
    except Exception:  # noqa: BLE001  whatever it is, the state tells it
        return True
    return True


# Prepare


SFTP = {
    "locations/there.yaml": b"""type: sftp
host: 127.0.0.1
username: a
host_keys: ["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
auth: [{password: {file: partner}}]
"""
}


def test_a_secret_that_is_missing_refuses_a_revision_before_anything_is_touched_and_admits_it_once_it_is_there(
    site: Site,
) -> None:
    old = site.publish(ONE)
    node = started(site)
    new = site.publish(ONE | SFTP)
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.REFUSED, old)
    assert "partner cannot be read" in str(node.intake.reason())
    assert len(node.told(EventName.PLAN_APPLIED)) == 1
    secret = node.folder.secrets / "partner"
    secret.touch(mode=0o600)
    secret.write_text("x", encoding="utf-8")
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, new)


def test_a_key_of_content_that_gpg_does_not_take_refuses_a_revision_and_a_good_one_does_not(
    site: Site,
) -> None:
    old = site.publish(ONE)
    node = started(site)
    secret = node.folder.secrets / "key.asc"
    secret.touch(mode=0o600)
    secret.write_text("no key", encoding="utf-8")
    step = b"content: [{pgp_sign: {signing_key: {file: key.asc}}}]\n"
    new = site.publish(ONE | {"transfers/one.yaml": TRANSFER + step})
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.REFUSED, old)
    assert "step 1 (pgp_sign) of content in transfers/one.yaml: " in str(node.intake.reason())
    with gpg_home() as home:
        home.make("alice")
        secret.write_bytes(home.gpg("--armor", "--export-secret-keys", "alice"))
    node.look()
    assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, new)


def test_a_secret_that_is_lost_later_stops_no_restart(site: Site) -> None:
    secret = site.node().folder.secrets / "partner"
    site.nodes.pop().close()
    os.close(os.open(secret, os.O_CREAT | os.O_WRONLY, 0o600))
    secret.write_text("x", encoding="utf-8")
    revision = site.publish(ONE | SFTP)
    node = started(site)
    secret.unlink()
    assert restarted(site, node).intake.runs == revision


def test_comments_and_the_order_of_keys_restart_nothing(site: Site) -> None:
    site.publish(ONE)
    node = started(site)
    (line,) = node.outbound._lines.values()
    before = (line.memory, len(node.told(EventName.PLAN_APPLIED)))
    lines = TRANSFER.splitlines()
    reordered = b"# the same\n" + b"\n".join(reversed(lines)) + b"\n"
    revision = site.publish(ONE | {"transfers/one.yaml": reordered})
    node.look()
    assert node.intake.runs == revision
    assert (line.memory, len(node.told(EventName.PLAN_APPLIED))) == before
    assert list(node.outbound._lines.values()) == [line]
