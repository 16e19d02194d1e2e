"""What the controller knows of operators, members and the head survives, and is used up once."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from clocks import SetClock

from mftgit.adapters.registry.errors import JoinRefusedError, KnownAlreadyError, UnknownNameError
from mftgit.adapters.registry.members import INVITATION
from mftgit.adapters.registry.operators import Credential
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.sqlite import DatabaseError
from mftgit.model.access import OperatorRole
from mftgit.model.configuration.config import Role
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.names import MemberName, OperatorName, Revision
from mftgit.model.rollout.rollout import Progress, begin

NODE = MemberName("node-1")
KEY, OTHER_KEY = "a" * 64, "b" * 64


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def registry(tmp_path: Path, clock: SetClock) -> Iterator[Registry]:
    made = Registry(tmp_path / "registry.sqlite", now=clock.now)
    yield made
    made.close()


def test_an_operator_is_known_until_removed(registry: Registry) -> None:
    alice = OperatorName("alice")
    registry.add_operator(alice, "hash", OperatorRole.PROPOSE)
    assert registry.credential("alice") == Credential(
        password_hash="hash", role=OperatorRole.PROPOSE
    )
    with pytest.raises(KnownAlreadyError, match="alice"):
        registry.add_operator(alice, "other", OperatorRole.READ)
    registry.give_role(alice, OperatorRole.PUBLISH)
    assert [(each.name, each.role) for each in registry.operators()] == [
        ("alice", OperatorRole.PUBLISH)
    ]
    registry.remove_operator(alice)
    assert registry.credential("alice") is None
    for gone in (
        registry.remove_operator,
        lambda name: registry.give_role(name, OperatorRole.READ),
    ):
        with pytest.raises(UnknownNameError):
            gone(alice)


def test_an_invitation_lets_one_key_in(registry: Registry) -> None:
    secret = registry.invite(NODE, Role.NODE)
    assert registry.public_keys(NODE) == ()
    assert registry.join(NODE, secret=secret, public_key=KEY) is Role.NODE
    assert registry.public_keys(NODE) == (KEY,)
    with pytest.raises(JoinRefusedError, match="used already"):
        registry.join(NODE, secret=secret, public_key=OTHER_KEY)
    assert registry.public_keys(NODE) == (KEY,)


def test_the_same_key_may_join_again_when_the_answer_was_lost(registry: Registry) -> None:
    secret = registry.invite(NODE, Role.NODE)
    registry.join(NODE, secret=secret, public_key=KEY)
    assert registry.join(NODE, secret=secret, public_key=KEY) is Role.NODE


def test_a_wrong_secret_and_an_unknown_name_are_refused_alike(registry: Registry) -> None:
    registry.invite(NODE, Role.NODE)
    for name in (NODE, MemberName("node-2")):
        with pytest.raises(JoinRefusedError, match="wrong or was withdrawn"):
            registry.join(name, secret="guessed", public_key=KEY)


def test_an_invitation_ends(registry: Registry, clock: SetClock) -> None:
    secret = registry.invite(NODE, Role.NODE)
    clock.pass_s(INVITATION.total_seconds() + 1)
    with pytest.raises(JoinRefusedError, match="older than 24 hours"):
        registry.join(NODE, secret=secret, public_key=KEY)


def test_a_new_invitation_ends_the_older_one(registry: Registry) -> None:
    older = registry.invite(NODE, Role.NODE)
    newer = registry.invite(NODE, Role.NODE)
    with pytest.raises(JoinRefusedError):
        registry.join(NODE, secret=older, public_key=KEY)
    registry.join(NODE, secret=newer, public_key=KEY)
    with pytest.raises(KnownAlreadyError, match="has joined already"):
        registry.invite(NODE, Role.NODE)


def test_a_removed_member_has_no_key(registry: Registry) -> None:
    registry.enrol(NODE, role=Role.CONTROLLER, public_key=KEY)
    registry.remove_member(NODE)
    assert registry.public_keys(NODE) == ()
    with pytest.raises(UnknownNameError):
        registry.remove_member(NODE)


def test_the_next_key_stands_beside_the_present_one_until_it_takes_its_place(
    registry: Registry,
) -> None:
    registry.enrol(NODE, role=Role.NODE, public_key=KEY)
    assert registry.offer_key(NODE, OTHER_KEY)
    assert not registry.offer_key(NODE, OTHER_KEY)
    assert registry.public_keys(NODE) == (KEY, OTHER_KEY)
    assert registry.promote_key(NODE, KEY) is None
    assert registry.promote_key(NODE, "c" * 64) is None
    assert registry.public_keys(NODE) == (KEY, OTHER_KEY)
    assert registry.promote_key(NODE, OTHER_KEY) == KEY
    assert registry.promote_key(NODE, OTHER_KEY) is None
    assert registry.public_keys(NODE) == (OTHER_KEY,)
    assert not registry.offer_key(NODE, OTHER_KEY)
    assert registry.offer_key(NODE, KEY)
    assert registry.offer_key(NODE, "c" * 64)
    assert registry.public_keys(NODE) == (OTHER_KEY, "c" * 64)
    assert registry.offer_key(NODE, OTHER_KEY)  # which is the present one
    assert registry.public_keys(NODE) == (OTHER_KEY,)
    assert registry.offer_key(NODE, KEY)
    registry.remove_member(NODE)
    assert registry.public_keys(NODE) == ()


def test_who_has_not_joined_has_no_next_key(registry: Registry) -> None:
    registry.invite(NODE, Role.NODE)
    for name in (NODE, MemberName("node-2")):
        assert not registry.offer_key(name, KEY)
        assert registry.public_keys(name) == ()


BEFORE_NEXT_KEYS = """
CREATE TABLE members (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, public_key TEXT,
    token_hash TEXT, token_until REAL, added_at TEXT NOT NULL,
    status TEXT, last_seen REAL
);
INSERT INTO members (name, role, public_key, added_at) VALUES ('node-1', 'node', 'KEY', 'then');
"""


def test_records_from_before_there_were_next_keys_are_kept_and_take_them(
    tmp_path: Path, clock: SetClock
) -> None:
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(BEFORE_NEXT_KEYS.replace("KEY'", f"{KEY}'"))
    start = threading.Barrier(8)

    def open_it(_: int) -> tuple[str, ...]:
        start.wait()
        with closing(Registry(path, now=clock.now)) as registry:
            return registry.public_keys(NODE)

    with ThreadPoolExecutor(8) as pool:  # the controller and verbs beside it, say
        assert set(pool.map(open_it, range(8))) == {(KEY,)}
    with closing(Registry(path, now=clock.now)) as registry:
        assert registry.offer_key(NODE, OTHER_KEY)
        assert [each.next_key for each in registry.members()] == [OTHER_KEY]
        assert registry.promote_key(NODE, OTHER_KEY) == KEY


def test_the_head_s_number_only_rises_also_over_a_backup_that_is_put_back(
    tmp_path: Path, clock: SetClock, registry: Registry
) -> None:
    assert registry.head() is None
    a, b = Revision("a" * 40), Revision("b" * 40)
    first = registry.raise_head(a).seq
    with closing(sqlite3.connect(tmp_path / "registry.sqlite")) as live:
        backup = sqlite3.connect(tmp_path / "backup.sqlite")
        with closing(backup):
            live.backup(backup)
    seen = [registry.raise_head(oid).seq for oid in (b, a, a, b)]
    assert [first, *seen] == list(range(first, first + 5))  # the clock stands still
    clock.pass_s(1)
    with closing(Registry(tmp_path / "backup.sqlite", now=clock.now)) as restored:
        head = restored.head()
        assert head is not None
        assert head.seq == first
        assert restored.raise_head(a).seq > seen[-1]
    clock.pass_s(-3600)
    assert registry.raise_head(a).seq == seen[-1] + 1


def test_the_last_report_of_a_member_is_kept_with_its_time(
    registry: Registry, clock: SetClock
) -> None:
    status = MemberStatus(
        name=NODE,
        role=Role.NODE,
        state=MemberState.ACTIVE,
        active_revision=Revision("a" * 40),
        attempted_revision=None,
        reason=None,
    )
    registry.enrol(MemberName("controller"), role=Role.CONTROLLER, public_key=OTHER_KEY)
    registry.invite(NODE, Role.NODE)
    registry.report(status)
    clock.pass_s(5)
    first, second = registry.members()
    assert first.role is Role.CONTROLLER  # first, whatever the names
    assert second.status == status
    assert second.last_seen == clock.now().timestamp() - 5
    registry.seen({NODE: 7.0}, {})
    assert registry.members()[1].last_seen == 7.0


def test_where_the_roll_out_stands_survives_and_nobody_comes_between_two_words(
    tmp_path: Path, clock: SetClock, registry: Registry
) -> None:
    assert registry.rollout() is None
    oid, new = Revision("a" * 40), Revision("b" * 40)
    assert registry.change_rollout(lambda before: begin(before, oid)) == begin(None, oid)
    registry.change_rollout(lambda before: begin(before, new))
    start = threading.Barrier(8)

    def excuse(number: int) -> None:
        def step(before: Progress | None) -> Progress:
            assert before is not None
            return replace(before, excused=before.excused | {MemberName(f"node-{number}")})

        start.wait()
        with closing(Registry(tmp_path / "registry.sqlite", now=clock.now)) as other:
            other.change_rollout(step)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(excuse, range(8)))
    found = registry.rollout()
    assert found is not None
    assert (found.oid, found.base, len(found.excused)) == (new, oid, 8)


def test_who_has_joined_is_told_by_name(registry: Registry) -> None:
    registry.invite(NODE, Role.NODE)
    registry.enrol(MemberName("controller"), role=Role.CONTROLLER, public_key=KEY)
    assert registry.joined() == ("controller",)


def test_a_file_that_is_no_database_is_told(tmp_path: Path, clock: SetClock) -> None:
    (tmp_path / "broken").write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(DatabaseError, match="broken"):
        Registry(tmp_path / "broken", now=clock.now)
