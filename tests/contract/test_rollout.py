"""The controller leads a revision through its members: it tells each its turn, and goes on by what they report."""

import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner
from controller_site import NOW, Node, Site, controller_site
from node_site import restarted, started
from waiting import until

from mftgit.adapters.channel import Channel
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.tls import pki
from mftgit.cli.main import mftgit
from mftgit.errors import MftgitError
from mftgit.member.app import WINDOW_POLL_S, Member
from mftgit.member.counting import Counting
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.messages import (
    Head,
    Hint,
    MemberState,
    MemberStatus,
    RolloutState,
    Turn,
)
from mftgit.model.members.record import Wait
from mftgit.model.names import MemberName, Revision
from mftgit.model.rollout.advance import LINE_DOWN_S
from mftgit.model.rollout.rollout import Progress

ONE, TWO, THREE = (MemberName(f"node-{number}") for number in (1, 2, 3))
NODES = (ONE, TWO, THREE)
DOCUMENTS = {f"members/{name}.yaml": b"role: node\n" for name in NODES}
COHORTS = (
    b"name: c\nrollout:\n  silence_s: 60\n  cohorts:\n  - {name: canary, members: [node-1]}\n"
    b"  - {name: rest, max_unavailable: 5}\n"
)
BY_COHORTS = DOCUMENTS | {"cluster.yaml": COHORTS}


class Peer:
    """A member as the controller knows it: its key, its line, the numbers of its events."""

    def __init__(self, site: Site, name: MemberName) -> None:
        key = pki.make_identity()
        site.enrol(key, name)
        self.name = name
        self.channel = site.channel(name, key=key)
        self._seq = 0

    def head(self) -> Head:
        head = self.channel.head(None)
        assert head is not None
        return head

    def turn(self) -> Turn:
        turn = self.head().turn
        assert turn is not None
        assert turn.member == self.name
        return turn

    def report(self, event: EventName, revision: Revision, **facts: Any) -> None:
        self._seq += 1
        told = Event(
            member=self.name, seq=self._seq, at="then", event=event, revision=revision, facts=facts
        )
        self.channel.send_events(self.name, [told])

    def tell(self, state: MemberState, revision: Revision) -> None:
        status = MemberStatus(
            name=self.name,
            role=Role.NODE,
            state=state,
            active_revision=revision,
            attempted_revision=revision,
            reason=None,
        )
        self.channel.send_status(status)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


@pytest.fixture
def peers(site: Site) -> Iterator[list[Peer]]:
    """Three nodes of a cluster whose published revision has cohorts."""
    made = [Peer(site, name) for name in NODES]
    site.publish(BY_COHORTS)
    yield made
    for each in made:
        each.channel.close()


def progress(site: Site) -> Progress:
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        found = registry.rollout()
    assert found is not None
    return found


def told(site: Site, event: EventName) -> list[Event]:
    return [each for _, each in site.events.after(0, limit=10_000) if each.event is event]


def say(site: Site, *words: str) -> str:
    done = CliRunner().invoke(mftgit, ["rollout", *words, "--dir", str(site.folder.root)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return str(done.exception)
    return done.output


def due(peers: list[Peer]) -> list[MemberName]:
    return [each.name for each in peers if each.turn().due]


def test_what_brings_the_first_cohorts_is_taken_by_all_and_what_follows_by_their_order(
    site: Site, peers: list[Peer]
) -> None:
    assert due(peers) == list(NODES)
    assert progress(site).state is RolloutState.DONE
    revision = site.publish(BY_COHORTS | {"note.md": b"x"})
    until(lambda: due(peers) == [ONE])
    assert peers[1].turn().cohort == "rest"
    assert "it is the turn of the cohort canary" in str(peers[1].turn().reason)
    peers[0].report(EventName.REVISION_ACTIVATED, revision, head_seq=1)
    until(lambda: due(peers) == list(NODES))
    for each in peers[1:]:
        each.report(EventName.REVISION_ACTIVATED, revision)
    # The controller's own member reports into the same log.
    site.events.append(EventName.REVISION_ACTIVATED, revision=revision)
    until(lambda: progress(site).state is RolloutState.DONE)
    assert [each.revision for each in told(site, EventName.ROLLOUT_STARTED)] == [revision]
    assert [each.revision for each in told(site, EventName.ROLLOUT_FINISHED)] == [revision]


def test_a_push_does_not_loosen_its_own_roll_out(site: Site, peers: list[Peer]) -> None:
    site.publish(DOCUMENTS | {"cluster.yaml": b"name: c\n"})
    until(lambda: due(peers) == [ONE])
    site.publish(DOCUMENTS | {"cluster.yaml": b"name: c\npoll_s: 9\n"})
    until(lambda: due(peers) == [ONE])  # nor does one after it, as long as it was not rolled out


def test_a_refusal_halts_it_everywhere_and_a_newer_revision_starts_anew(
    site: Site, peers: list[Peer]
) -> None:
    bad = site.publish(BY_COHORTS | {"note.md": b"x"})
    peers[0].report(EventName.REVISION_REFUSED, bad, reason="no such host", problems=[])
    until(lambda: progress(site).state is RolloutState.HALTED)
    until(
        lambda: "is halted: node-1 of the cohort canary: refused: no such" in str(peers[1].turn())
    )
    (halted,) = told(site, EventName.ROLLOUT_HALTED)
    assert (halted.revision, halted.facts["of"], halted.facts["cohort"]) == (bad, ONE, "canary")
    assert "halted" in say(site, "status")
    status = CliRunner().invoke(mftgit, ["status", "--dir", str(site.folder.root)])
    assert "node-1 of the cohort canary: refused: no such host" in " ".join(status.output.split())
    assert due(peers) == []
    good = site.publish(BY_COHORTS | {"note.md": b"y"})
    until(lambda: due(peers) == [ONE])
    peers[0].report(EventName.REVISION_ACTIVATED, good)
    until(lambda: due(peers) == list(NODES))


def test_a_canary_that_leaves_the_revision_while_it_soaks_halts_it(site: Site) -> None:
    soaking = COHORTS.replace(b"members: [node-1]", b"members: [node-1], soak_s: 604800")
    peer = Peer(site, ONE)
    old = site.publish(DOCUMENTS | {"cluster.yaml": soaking})
    peer.report(EventName.REVISION_ACTIVATED, old)
    new = site.publish(DOCUMENTS | {"cluster.yaml": soaking, "note.md": b"x"})
    peer.report(EventName.REVISION_ACTIVATED, new)
    until(lambda: progress(site).state is RolloutState.SOAKING)
    peer.report(EventName.REVISION_ACTIVATED, old)  # an operator pinned it
    until(lambda: progress(site).state is RolloutState.HALTED)
    assert f"went on to {old[:12]}" in str(progress(site).halt)
    peer.channel.close()


@pytest.mark.long
def test_a_canary_whose_line_ends_without_a_word_halts_it_and_one_that_stops_does_not(
    site: Site,
) -> None:
    soaking = COHORTS.replace(b"members: [node-1]", b"members: [node-1, node-2], soak_s: 604800")
    peers = [Peer(site, name) for name in (ONE, TWO)]
    lines = [each.channel.wait() for each in peers]
    for line in lines:
        next(line)
    site.publish(DOCUMENTS | {"cluster.yaml": soaking})
    new = site.publish(DOCUMENTS | {"cluster.yaml": soaking, "note.md": b"x"})
    for each in peers:
        each.report(EventName.REVISION_ACTIVATED, new)
    until(lambda: progress(site).state is RolloutState.SOAKING)
    peers[1].tell(MemberState.STOPPED, new)
    cast("Generator[None]", lines[1]).close()
    threading.Event().wait(LINE_DOWN_S / 2)
    cast("Generator[None]", lines[0]).close()
    until(lambda: progress(site).state is RolloutState.HALTED)
    halt = progress(site).halt
    assert halt is not None
    assert (
        halt.reason == "node-1 of the cohort canary: took it, and its line has been down for 45 s"
    )
    for each in peers:
        each.channel.close()


def test_a_member_that_listens_again_is_not_cut_off(site: Site) -> None:
    peer = Peer(site, ONE)
    cut_off = site.controller._leader._cut_off
    line = peer.channel.wait()
    next(line)
    cast("Generator[None]", line).close()
    until(lambda: ONE in cut_off)
    again = peer.channel.wait()  # a line that nobody holds is closed
    next(again)
    until(lambda: ONE not in cut_off)
    cut_off[THREE] = 0.0  # which is no member
    site.publish({"note.md": b"x"})
    until(lambda: THREE not in cut_off)
    cast("Generator[None]", again).close()
    peer.channel.close()


def test_a_machine_that_joins_under_the_name_of_a_removed_canary_is_another_one(
    site: Site,
) -> None:
    soaking = COHORTS.replace(b"members: [node-1]", b"members: [node-1], soak_s: 604800")
    peers = [Peer(site, name) for name in NODES]
    site.publish(DOCUMENTS | {"cluster.yaml": soaking})
    new = site.publish(DOCUMENTS | {"cluster.yaml": soaking, "note.md": b"x"})
    peers[0].report(EventName.REVISION_ACTIVATED, new)
    until(lambda: progress(site).state is RolloutState.SOAKING)
    site.remove(ONE)
    until(lambda: ONE not in progress(site).reports)
    assert progress(site).state is RolloutState.SOAKING
    assert due(peers[1:]) == []
    peers.append(Peer(site, ONE))
    until(lambda: list(progress(site).due) == [ONE])
    assert progress(site).state is RolloutState.RUNNING
    for each in peers:
        each.channel.close()


def test_a_turn_that_comes_changes_the_answer_and_wakes_only_those_whose_it_is(
    site: Site, peers: list[Peer]
) -> None:
    revision = site.publish(BY_COHORTS | {"note.md": b"x"})
    until(lambda: due(peers) == [ONE])
    known = [each.head() for each in peers]
    assert [each.channel.head(head) for each, head in zip(peers, known, strict=True)] == [None] * 3
    waits = [cast("Generator[Hint, None, None]", each.channel.wait()) for each in peers]
    for wait in waits:
        assert [next(wait) for _ in Hint] == list(Hint)  # those that come with the line
    woken: list[MemberName] = []

    def listen(peer: Peer, wait: Generator[Hint, None, None]) -> None:
        next(wait)
        woken.append(peer.name)

    threads = [
        threading.Thread(target=listen, args=each, daemon=True)
        for each in zip(peers, waits, strict=True)
    ]
    for thread in threads:
        thread.start()
    until(lambda: len(site.controller._notifier._waiting) == 3)
    peers[0].report(EventName.REVISION_ACTIVATED, revision)
    until(lambda: set(woken) == {TWO, THREE})
    moved = peers[1].channel.head(known[1])
    assert moved is not None
    assert (moved.seq, moved.turn and moved.turn.due) == (known[1].seq, True)
    assert ONE not in woken
    site.controller._notifier.notify()
    for thread in threads:
        thread.join(30)
    for wait in waits:
        wait.close()


def test_an_operator_who_asks_for_the_head_has_no_turn(site: Site, peers: list[Peer]) -> None:
    del peers
    status, answer = site.ask("GET", "/api/head", headers=site.basic())
    assert (status, "turn" in answer) == (200, False)


def test_a_restart_goes_on_where_it_was_and_begins_the_soak_anew(site: Site) -> None:
    peers = [Peer(site, name) for name in NODES]
    soaking = COHORTS.replace(b"members: [node-1]", b"members: [node-1], soak_s: 604800")
    site.publish(DOCUMENTS | {"cluster.yaml": soaking})
    revision = site.publish(DOCUMENTS | {"cluster.yaml": soaking, "note.md": b"x"})
    peers[0].report(EventName.REVISION_ACTIVATED, revision)
    until(lambda: progress(site).state is RolloutState.SOAKING)
    before = progress(site)
    for each in peers:
        each.channel.close()
    site.stop()
    assert progress(site) == before
    site.start()
    after = progress(site)
    assert (after.state, after.oid) == (RolloutState.SOAKING, revision)
    assert before.soaks_since is not None
    assert after.soaks_since is not None
    assert after.soaks_since > before.soaks_since
    assert due(peers) == [ONE]
    for each in peers:
        each.channel.close()


def test_an_outcome_that_came_before_a_crash_is_taken_in_after_it(
    site: Site, peers: list[Peer]
) -> None:
    revision = site.publish(BY_COHORTS | {"note.md": b"x"})
    until(lambda: due(peers) == [ONE])
    for each in peers:
        each.channel.close()
    site.stop()
    told_late = Event(
        member=ONE, seq=1, at="then", event=EventName.REVISION_ACTIVATED, revision=revision
    )
    site.events.collect([told_late])
    site.start()
    until(lambda: due(peers) == list(NODES))


def test_operators_pause_resume_promote_and_abort_beside_the_running_controller(
    site: Site, peers: list[Peer]
) -> None:
    assert "nothing to abort" in say(site, "abort")
    site.publish(BY_COHORTS | {"note.md": b"1"})
    until(lambda: due(peers) == [ONE])
    assert "paused" in say(site, "pause")
    until(lambda: due(peers) == [])
    assert peers[0].turn().reason == "the roll-out is paused"
    assert "running" in say(site, "resume")
    until(lambda: due(peers) == [ONE])
    say(site, "abort")
    until(lambda: peers[0].turn().state is RolloutState.ABORTED)
    assert "was aborted" in say(site, "resume")
    say(site, "promote", "--now")
    until(lambda: due(peers) == list(NODES))
    assert peers[2].turn().regardless
    assert told(site, EventName.ROLLOUT_PROMOTED)[0].facts == {"now": True}
    for event in (EventName.ROLLOUT_PAUSED, EventName.ROLLOUT_RESUMED, EventName.ROLLOUT_ABORTED):
        assert len(told(site, event)) == 1


@pytest.mark.parametrize("verb", ["resume", "promote", "abort"])
def test_a_verb_for_a_revision_that_is_not_the_newest_any_more_is_refused(
    site: Site, peers: list[Peer], verb: str
) -> None:
    looked_at = site.publish(BY_COHORTS | {"note.md": b"1"})
    newest = site.publish(BY_COHORTS | {"note.md": b"2"})
    until(lambda: due(peers) == [ONE])
    say(site, "pause")
    before = progress(site)
    for wrong in (looked_at, looked_at[:9], newest[:6]):
        assert f"the newest revision is {newest[:12]}" in say(site, verb, wrong)
    assert progress(site).control is before.control
    assert newest[:12] in say(site, verb, newest[:7])
    assert progress(site).control is not before.control


def test_what_an_operator_says_is_in_the_event_log_also_if_it_could_not_be_kept(
    site: Site, peers: list[Peer]
) -> None:
    del peers
    revision = site.publish(BY_COHORTS | {"note.md": b"1"})
    with site.refusing(site.folder.registry, "rollout"):
        assert "no space" in say(site, "promote")
    assert [each.revision for each in told(site, EventName.ROLLOUT_PROMOTED)] == [revision]


def test_while_a_window_is_shut_nobody_is_due_and_everybody_hears_why(
    site: Site, peers: list[Peer]
) -> None:
    shut = BY_COHORTS | {"cluster.yaml": COHORTS + b"windows: {deny: [{from: '00:00'}]}\n"}
    revision = site.publish(shut)
    until(lambda: due(peers) == [ONE])
    say(site, "promote")  # all of them have it now, and its windows count
    site.publish(shut | {"note.md": b"x"})
    until(lambda: "windows.deny" in str(peers[0].turn().reason))
    assert (due(peers), progress(site).state) == ([], RolloutState.WAITING)
    assert progress(site).base == revision


@pytest.mark.parametrize("trouble", ["another version", "a repository without it"])
def test_settings_that_cannot_be_read_let_nobody_begin_until_it_is_promoted(
    site: Site, peers: list[Peer], trouble: str
) -> None:
    if trouble == "another version":
        site.publish(DOCUMENTS | {"cluster.yaml": b"name: c\nnot_known: 1\n"})
        say(site, "promote")
    else:
        with closing(Registry(site.folder.registry, now=NOW)) as registry:
            registry.change_rollout(lambda found: found and replace(found, base=Revision("9" * 40)))
    site.publish(BY_COHORTS | {"note.md": b"x"})
    until(lambda: "cannot be read" in str(peers[0].turn().reason))
    assert (due(peers), progress(site).state) == ([], RolloutState.WAITING)
    say(site, "promote")
    until(lambda: due(peers) == list(NODES))


def test_a_look_that_fails_is_made_again(site: Site, peers: list[Peer]) -> None:
    site.publish(BY_COHORTS | {"note.md": b"x"})
    with site.refusing(site.folder.registry, "rollout"):
        peers[0].report(EventName.REVISION_REFUSED, progress(site).oid, reason="x")
        until(lambda: told(site, EventName.ROLLOUT_HALTED))
        assert progress(site).state is RolloutState.RUNNING
    until(lambda: progress(site).state is RolloutState.HALTED)


def test_before_the_controller_ran_there_is_no_roll_out(site: Site) -> None:
    site.stop()
    with (
        closing(Registry(site.folder.registry, now=NOW)) as registry,
        registry._database.write() as connection,
    ):
        connection.execute("DELETE FROM rollout")
    assert "there is no roll-out yet" in say(site, "status")
    site.start()
    assert "done, but controller" in say(site, "status")


def test_a_roll_out_that_is_done_says_who_was_not_seen_on_it(site: Site, peers: list[Peer]) -> None:
    until(lambda: progress(site).done)
    published = progress(site).oid
    for each in peers[:2]:
        each.tell(MemberState.ACTIVE, published)
    words = "done, but controller, node-3 have not been seen on it"
    assert words in " ".join(say(site, "status").split())
    status = CliRunner().invoke(mftgit, ["status", "--dir", str(site.folder.root)])
    assert words in " ".join(status.output.split())


def test_who_knows_the_head_without_a_turn_is_told_it(peers: list[Peer]) -> None:
    head = peers[0].head()
    bare = Head(oid=head.oid, seq=head.seq, issued_at=head.issued_at)
    channel: Channel = peers[0].channel
    assert channel.head(bare) == head


# A real node


@pytest.fixture
def canary(site: Site) -> Iterator[Peer]:
    made = Peer(site, TWO)
    yield made
    made.channel.close()


LATER = DOCUMENTS | {"cluster.yaml": COHORTS.replace(b"node-1]", b"node-2]")}
"""The node that is tried, node-1, is in the rest; node-2 is the canary."""


def state(node: Node) -> MemberState:
    node.look()
    return node.intake.state()


def running(site: Site, documents: Mapping[str, bytes]) -> Node:
    """The node node-1, which runs ``documents``."""
    site.publish(documents)
    return started(site)


def test_a_node_checks_a_revision_and_waits_with_the_reason_until_it_is_its_turn(
    site: Site, canary: Peer
) -> None:
    node = running(site, LATER)
    before = node.intake.runs
    revision = site.publish(LATER | {"note.md": b"x"})
    assert state(node) is MemberState.WAITING
    assert "it is the turn of the cohort canary" in str(node.intake.reason())
    assert (node.intake.runs, node.intake.record.wait) == (before, Wait.TURN)
    assert node.told(EventName.REVISION_VERIFIED)[-1].revision == revision
    canary.report(EventName.REVISION_ACTIVATED, revision)
    until(lambda: state(node) is MemberState.ACTIVE and node.intake.runs == revision)


def test_a_node_holds_what_it_has_while_it_is_halted_and_takes_the_revision_that_mends_it(
    site: Site, canary: Peer
) -> None:
    node = running(site, LATER)
    before = node.intake.runs
    bad = site.publish(LATER | {"note.md": b"bad"})
    canary.report(EventName.REVISION_ROLLED_BACK, bad, reason="does not answer", problems=[])
    until(lambda: (state(node), "halted: node-2 of the cohort" in str(node.intake.reason()))[1])
    assert (node.intake.state(), node.intake.runs) == (MemberState.WAITING, before)
    good = site.publish(LATER | {"note.md": b"good"})
    assert state(node) is MemberState.WAITING
    assert [each.revision for each in node.told(EventName.REVISION_SUPERSEDED)] == [bad]
    canary.report(EventName.REVISION_ACTIVATED, good)
    until(lambda: state(node) is MemberState.ACTIVE and node.intake.runs == good)


def test_a_node_without_its_controller_holds_what_it_has_also_over_a_restart(
    site: Site, canary: Peer
) -> None:
    del canary
    node = running(site, LATER)
    before = node.intake.runs
    site.publish(LATER | {"note.md": b"x"})
    assert state(node) is MemberState.WAITING
    site.stop()
    again = restarted(site, node)
    with pytest.raises(MftgitError):
        again.intake.look()
    assert again.intake.runs == before


def test_a_node_keeps_to_the_windows_of_what_it_runs_until_it_is_told_that_it_need_not(
    site: Site,
) -> None:
    shut = DOCUMENTS | {"cluster.yaml": b"name: c\nwindows: {deny: [{from: '00:00'}]}\n"}
    node = running(site, shut)
    before = node.intake.runs
    revision = site.publish(DOCUMENTS | {"cluster.yaml": b"name: c\n"})
    assert state(node) is MemberState.WAITING
    assert "windows.deny" in str(node.intake.reason())
    assert (node.intake.runs, node.intake.record.wait) == (before, Wait.WINDOW)
    say(site, "promote")
    assert state(node) is MemberState.WAITING
    say(site, "promote", "--now")
    until(lambda: state(node) is MemberState.ACTIVE and node.intake.runs == revision)


def test_a_member_that_waits_for_a_window_looks_often_enough_to_be_in_time_for_it(
    site: Site,
) -> None:
    shut = b"name: c\npoll_s: 3600\nwindows: {deny: [{from: '00:00'}]}\n"
    site.publish(DOCUMENTS | {"cluster.yaml": shut})
    parts, upstream = site.parts()
    with (
        closing(upstream),
        closing(EventStore(parts.folder.events, member=ONE, now=NOW)) as events,
    ):
        member = Member(parts, events, counting=Counting())
        member._outbound.start()  # the looks are the test's
        member._intake.resume()
        until(lambda: member._look() >= 3600)
        site.publish(DOCUMENTS | {"cluster.yaml": shut, "note.md": b"x"})
        assert member._look() <= 1.2 * WINDOW_POLL_S
        assert member.status().state is MemberState.WAITING
        member._outbound.stop()
        member._handlers.stop()


def test_a_node_goes_to_the_revision_that_it_is_pinned_to_whosever_turn_it_is(
    site: Site, canary: Peer
) -> None:
    del canary
    node = running(site, LATER)
    revision = site.publish(LATER | {"note.md": b"x"})
    assert state(node) is MemberState.WAITING
    done = CliRunner().invoke(mftgit, ["pin", revision, "--dir", str(node.folder.root)])
    assert done.exit_code == 0, done.output
    until(lambda: state(node) is MemberState.ACTIVE and node.intake.runs == revision)
