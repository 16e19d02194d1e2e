"""A member's key is changed without a gap, by whoever holds it alone, and also where that is cut short anywhere."""

import json
import multiprocessing
import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from typing import Any

import pytest
from controller_site import DOCUMENTS, NODE, NOW, Site, controller_site
from kills import die_before
from ports import own_port

from mftgit.adapters.channel import ControllerRefusedError
from mftgit.adapters.documents_folder import importable
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.process_lock import one_at_a_time
from mftgit.adapters.proof import Prover
from mftgit.adapters.registry.members import MemberRecord
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls import pki
from mftgit.cli.main import run_verb
from mftgit.cli.rules import make_validator
from mftgit.controller.app import Controller
from mftgit.controller.initialise import initialise
from mftgit.errors import ConfigError, MftgitError, RemovedError
from mftgit.member.rotate import KeyRefusedError, RemoteKeyLine, rotate_key
from mftgit.member.upstream import RemoteUpstream
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.names import MemberName

PATH = f"/api/members/{NODE}/key"
OFFERED, ROTATED = EventName.MEMBER_KEY_OFFERED, EventName.MEMBER_KEY_ROTATED


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


@pytest.fixture
def node(site: Site) -> StateFolder:
    return site.make_node()


def key_of(folder: StateFolder) -> bytes:
    return folder.member_key.read_bytes()


def prover(site: Site, key: bytes, *, name: MemberName = NODE, cluster_id: str = "") -> Prover:
    cluster_id = cluster_id or site.folder.read_bootstrap().cluster_id
    return Prover(member=name, cluster_id=cluster_id, key=key, now=NOW)


def offer(site: Site, by: bytes, body: Any, *, path: str = PATH) -> tuple[int, str]:
    """Offer by hand, proven by the key ``by``."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = prover(site, by).headers("POST", path)
    status, answer = site.ask("POST", path, body=content, headers=headers)
    return status, answer.get("error", "")


def good(site: Site, key: bytes) -> dict[str, str]:
    return {"public_key": pki.public_identity(key), "proof": prover(site, key).possession()}


def gets_in(site: Site, key: bytes) -> bool:
    with closing(site.channel(key=key)) as channel:
        try:
            return channel.head(None) is not None
        except ControllerRefusedError:
            return False


def record(folder: StateFolder, name: MemberName = NODE) -> MemberRecord:
    with closing(Registry(folder.registry, now=NOW)) as registry:
        return next(each for each in registry.members() if each.name == name)


def told(site: Site, *events: EventName) -> list[Event]:
    return [each for _, each in site.events.after(0, limit=10_000) if each.event in events]


def line(folder: StateFolder) -> RemoteKeyLine:
    return RemoteKeyLine(folder, folder.read_bootstrap(), now=NOW)


def test_a_key_that_could_not_be_ended_is_not_called_ended(site: Site, node: StateFolder) -> None:
    with closing(sqlite3.connect(site.folder.registry)) as connection:
        connection.execute(
            "CREATE TRIGGER fault BEFORE UPDATE OF public_key ON members "
            "BEGIN SELECT RAISE(ABORT, 'no space'); END"
        )
        connection.commit()
        assert not rotate_key(node, line(node)).previous_ended
        connection.execute("DROP TRIGGER fault")
        connection.commit()
    assert rotate_key(node, line(node)).previous_ended


def test_a_disk_that_takes_nothing_leaves_the_key_in_force(site: Site, node: StateFolder) -> None:
    present = key_of(node)
    node.next_key.mkdir()  # as unwritable for whoever as a full disk
    with pytest.raises(ConfigError, match="cannot be"):
        rotate_key(node, line(node))
    assert gets_in(site, present)


# The controller's side


def test_both_keys_open_the_door_until_the_next_one_is_used(site: Site, node: StateFolder) -> None:
    present, following = key_of(node), pki.make_identity()
    assert not gets_in(site, following)
    assert offer(site, present, good(site, following)) == (200, "")
    assert gets_in(site, present)
    assert gets_in(site, present)
    assert gets_in(site, following)
    assert not gets_in(site, present)
    assert gets_in(site, following)
    assert record(site.folder).next_key is None
    fingerprints = [
        pki.identity_fingerprint(pki.public_identity(each)) for each in (present, following)
    ]
    assert [each.facts for each in told(site, OFFERED, ROTATED)] == [
        {"of": NODE, "fingerprint": fingerprints[1]},
        {"of": NODE, "fingerprint": fingerprints[1], "ended": fingerprints[0]},
    ]


def test_an_offer_may_be_repeated_and_another_one_takes_its_place(
    site: Site, node: StateFolder
) -> None:
    present, first, second = key_of(node), pki.make_identity(), pki.make_identity()
    for _ in range(3):
        assert offer(site, present, good(site, first)) == (200, "")
    assert len(told(site, OFFERED)) == 1
    assert offer(site, present, good(site, second)) == (200, "")
    assert not gets_in(site, first)
    assert gets_in(site, present)
    assert gets_in(site, second)
    assert offer(site, second, good(site, second)) == (200, "")  # nothing follows itself
    assert record(site.folder).next_key is None
    assert len(told(site, OFFERED)) == 2


def test_nobody_can_offer_a_key_without_having_it(site: Site, node: StateFolder) -> None:
    present, mine, theirs = key_of(node), pki.make_identity(), pki.make_identity()
    their_key = pki.public_identity(theirs)
    for proof in (
        prover(site, mine).possession(),
        prover(site, theirs, name=MemberName("node-2")).possession(),
        prover(site, theirs, cluster_id="another").possession(),
        prover(site, theirs).headers("POST", PATH)["Authorization"].removeprefix("Bearer "),
        "nonsense",
    ):
        status, error = offer(site, present, {"public_key": their_key, "proof": proof})
        assert (status, "does not show that it has the key" in error) == (400, True)
    status, error = offer(site, mine, good(site, mine))
    assert (status, "not signed with the member's key" in error) == (401, True)
    assert record(site.folder).next_key is None


def test_a_proof_of_possession_opens_no_door(site: Site, node: StateFolder) -> None:
    present = key_of(node)
    shown = {"Authorization": f"Bearer {prover(site, present).possession()}"}
    for method, path in (("GET", "/api/head"), ("POST", PATH)):
        status, answer = site.ask(method, path, headers=shown)
        assert (status, "another request" in answer["error"]) == (401, True)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", {}, {"public_key": 7, "proof": "x"}, {"public_key": "A" * 64, "proof": "x"}],
)
def test_an_offer_of_another_shape_is_refused(site: Site, node: StateFolder, body: Any) -> None:
    status, error = offer(site, key_of(node), body)
    assert (status, bool(error)) == (400, True)


def test_a_member_offers_for_itself_only(site: Site, node: StateFolder) -> None:
    path = "/api/members/controller/key"
    status, error = offer(site, key_of(node), good(site, pki.make_identity()), path=path)
    assert (status, "for itself only" in error) == (400, True)
    assert site.ask("POST", PATH, body=b"{}", headers=site.basic())[0] == 403


def test_a_removal_ends_both_keys(site: Site, node: StateFolder) -> None:
    present, following = key_of(node), pki.make_identity()
    offer(site, present, good(site, following))
    keys = [pki.public_identity(each) for each in (present, following)]
    for known in (True, False):
        answers = [site.ask("GET", f"/api/members/{NODE}/keys/{key}") for key in keys]
        assert answers == [(200, {"member": known})] * 2
        if known:
            site.remove()
    assert not gets_in(site, present)
    assert not gets_in(site, following)


def test_a_rotation_that_cannot_be_written_down_locks_nobody_out(
    site: Site, node: StateFolder
) -> None:
    present, following = key_of(node), pki.make_identity()
    offer(site, present, good(site, following))
    with closing(sqlite3.connect(site.folder.registry)) as connection:
        connection.execute(
            "CREATE TRIGGER fault BEFORE UPDATE OF public_key ON members "
            "BEGIN SELECT RAISE(ABORT, 'no space'); END"
        )
        connection.commit()
        assert gets_in(site, following)
        assert gets_in(site, present)
        connection.execute("DROP TRIGGER fault")
        connection.commit()
    assert gets_in(site, following)
    assert not gets_in(site, present)


# The member's side


def test_a_running_node_is_never_refused_while_its_key_changes(
    site: Site, node: StateFolder
) -> None:
    upstream = RemoteUpstream(node, node.read_bootstrap(), now=NOW)
    done = threading.Event()

    def ask() -> int:
        asked = 0
        while not done.is_set():
            assert upstream.head(None) is not None
            asked += 1
        return asked

    before = key_of(node)
    with ThreadPoolExecutor(3) as pool, closing(upstream):
        asking = [pool.submit(ask) for _ in range(3)]
        try:
            for _ in range(5):
                assert rotate_key(node, line(node)).previous_ended
            assert upstream.fetch() == site.head()
        finally:
            done.set()
        assert all(each.result(30) for each in asking)
    assert len(told(site, ROTATED)) == 5
    assert not gets_in(site, before)


def test_a_request_that_the_change_overtakes_is_asked_again_with_the_new_key(
    site: Site, node: StateFolder
) -> None:
    due = threading.Event()

    def now() -> datetime:
        """Be asked for the time while a request is signed, with the key that was read just before."""
        if due.is_set():
            due.clear()
            assert rotate_key(node, line(node)).previous_ended
        return NOW()

    event = Event(member=NODE, seq=1, at="2026-11-23T08:00:00.000Z", event=EventName.MEMBER_STARTED)
    status = MemberStatus(
        name=NODE,
        role=Role.NODE,
        state=MemberState.STARTING,
        active_revision=None,
        attempted_revision=None,
        reason=None,
    )
    with closing(RemoteUpstream(node, node.read_bootstrap(), now=now)) as upstream:
        for ask in (
            lambda: upstream.head(None),
            lambda: upstream.send_events([event]),
            lambda: upstream.send_status(status),
        ):
            due.set()
            ask()
            assert not due.is_set()
        site.remove()
        with pytest.raises(RemovedError):
            upstream.head(None)
    assert len(told(site, ROTATED)) == 3


def present_only(site: Site, node: StateFolder) -> None:
    del site, node


def made(site: Site, node: StateFolder) -> None:
    del site
    node.write_secret(node.next_key, pki.make_identity())


def taken(site: Site, node: StateFolder) -> None:
    made(site, node)
    assert offer(site, key_of(node), good(site, node.next_key.read_bytes())) == (200, "")


def in_place(site: Site, node: StateFolder) -> None:
    taken(site, node)
    node.next_key.replace(node.member_key)


def taken_and_damaged(site: Site, node: StateFolder) -> None:
    taken(site, node)
    node.next_key.write_bytes(b"")


@pytest.mark.parametrize("asks_first", [True, False])
@pytest.mark.parametrize("state", [present_only, made, taken, in_place, taken_and_damaged])
def test_from_every_state_the_member_gets_in_and_a_rotation_comes_to_its_end(
    site: Site, node: StateFolder, state: Any, *, asks_first: bool
) -> None:
    first = key_of(node)
    state(site, node)
    before, following = key_of(node), node.next_key.exists() and node.next_key.read_bytes()
    if asks_first:
        assert gets_in(site, before)
    done = rotate_key(node, line(node))
    after = key_of(node)
    assert after not in {first, before}
    assert (after == following) is (state in {made, taken})
    assert done.fingerprint == pki.identity_fingerprint(pki.public_identity(after))
    assert done.previous_ended
    assert gets_in(site, after)
    assert not any(gets_in(site, each) for each in {first, before})
    assert not node.next_key.exists()
    assert node.member_key.stat().st_mode & 0o777 == 0o600


def test_a_controller_that_refuses_or_is_away_leaves_the_present_key(
    site: Site, node: StateFolder
) -> None:
    before = key_of(node)
    site.stop()
    with pytest.raises(MftgitError, match=r"refused|reset"):
        rotate_key(node, line(node))
    site.start()
    site.remove()
    with pytest.raises(KeyRefusedError, match=r"not a member of this cluster.*the key here stays"):
        rotate_key(node, line(node))
    assert key_of(node) == before


def test_another_user_cannot_take_the_key_away_from_the_member(
    site: Site, node: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root, say: the new file would be root's, and the member could not read it."""
    owner = node.bootstrap_file.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match=f"belongs to the user with the id {owner}.*run as that"):
        rotate_key(node, line(node))
    assert not node.next_key.exists()
    assert gets_in(site, key_of(node))


class BreaksOff(RemoteKeyLine):
    """A line that is cut when the controller has just taken the key."""

    def __init__(self, node: StateFolder, site: Site) -> None:
        super().__init__(node, node.read_bootstrap(), now=NOW)
        self.site = site

    def offer(self, key: bytes) -> None:
        super().offer(key)
        self.site.stop()


def test_a_new_key_that_could_not_be_used_yet_ends_the_one_before_at_the_next_request(
    site: Site, node: StateFolder
) -> None:
    before = key_of(node)
    assert not rotate_key(node, BreaksOff(node, site)).previous_ended
    site.start()
    assert gets_in(site, before)
    assert gets_in(site, key_of(node))
    assert not gets_in(site, before)


def test_two_rotations_at_once_do_not_cross(site: Site, node: StateFolder) -> None:
    before = key_of(node)
    with one_at_a_time(node.root), pytest.raises(MftgitError, match="try again when it has ended"):
        rotate_key(node, line(node))
    assert key_of(node) == before
    assert rotate_key(node, line(node)).previous_ended
    del site


# The verb


def test_the_verb_changes_a_node_s_key_and_the_list_shows_it(
    site: Site, node: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    before = key_of(node)
    assert run_verb(["member", "rotate-key", "--dir", str(node.root), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    fingerprint = pki.identity_fingerprint(pki.public_identity(key_of(node)))
    assert answer == {"name": NODE, "fingerprint": fingerprint, "previous_ended": True}
    assert key_of(node) != before
    taken(site, node)
    following = pki.identity_fingerprint(pki.public_identity(node.next_key.read_bytes()))
    words = ["member", "list", "--dir", str(site.folder.root)]
    assert run_verb(words) == 0
    told_lines = capsys.readouterr().out.splitlines()
    assert told_lines[1] == f"{NODE}  node  joined  {fingerprint}  (changes to {following})"
    assert run_verb([*words, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[1]
    assert (row["fingerprint"], row["next_fingerprint"]) == (fingerprint, following)
    assert run_verb(["member", "rotate-key", "--dir", str(node.root)]) == 0
    assert f"{following} now; the one before opens nothing any more" in capsys.readouterr().out


def test_the_controller_s_own_key_changes_in_place_while_it_runs(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    name, before = site.folder.read_bootstrap().name, key_of(site.folder)
    assert run_verb(["member", "rotate-key", "--dir", str(site.folder.root)]) == 0
    assert "opens nothing any more" in capsys.readouterr().out
    after = pki.public_identity(key_of(site.folder))
    found = record(site.folder, name)
    assert (found.public_key, found.next_key) == (after, None)
    assert [each.facts["of"] for each in told(site, OFFERED, ROTATED)] == [name, name]
    old = pki.public_identity(before)
    for key, known in ((old, False), (after, True)):
        assert site.ask("GET", f"/api/members/{name}/keys/{key}") == (200, {"member": known})


# Kills


class Ground:
    """A controller and a node as they are before the rotation."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        folder, node = StateFolder(root / "before/controller"), StateFolder(root / "before/node")
        initialise(
            folder,
            documents=DOCUMENTS,
            tree=importable(DOCUMENTS),
            validator=make_validator(),
            listen=("127.0.0.1", port),
            host="127.0.0.1",
            files_root=root / "files",
            now=NOW,
        )
        node.prepare()
        node.write_secret(node.member_key, pki.make_identity())
        node.ca_file.write_bytes(folder.ca_file.read_bytes())
        own = folder.read_bootstrap()
        node.write_bootstrap(replace(own, name=NODE, role=Role.NODE, listen=()))
        with closing(Registry(folder.registry, now=NOW)) as registry:
            key = pki.public_identity(key_of(node))
            registry.enrol(NODE, role=Role.NODE, public_key=key)

    @contextmanager
    def state(self, name: str) -> Iterator[tuple[StateFolder, StateFolder]]:
        """Give a copy of both state folders."""
        shutil.copytree(self.root / "before", self.root / name)
        yield StateFolder(self.root / name / "controller"), StateFolder(self.root / name / "node")
        shutil.rmtree(self.root / name)


@contextmanager
def serving(folder: StateFolder) -> Iterator[Site]:
    bootstrap = folder.read_bootstrap()
    with closing(EventStore(folder.events, member=bootstrap.name, now=NOW)) as events:
        controller = Controller(folder, bootstrap, events=events, validator=make_validator())
        controller.start()
        try:
            url = bootstrap.controller_url
            yield Site(folder=folder, url=url, password="", controller=controller, events=events)
        finally:
            controller.stop()


def be_the_controller(folder: StateFolder, ready: Flag, done: Flag, at: int, told: Path) -> None:
    with serving(folder):
        if at:
            die_before(at, told)
        ready.set()
        done.wait()


def be_the_member(node: StateFolder, at: int, told: Path) -> None:
    if at:
        die_before(at, told)
    try:
        rotate_key(node, line(node))
    except MftgitError:  # the controller was killed
        sys.exit(1)


def rotate_and_kill(
    folder: StateFolder, node: StateFolder, side: str, at: int, told: Path
) -> str | None:
    """Rotate, and kill one ``side`` before its ``at``-th step; return that step, None where it came to the end."""
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    dies = at if side == "controller" else 0
    controller = context.Process(target=be_the_controller, args=(folder, ready, done, dies, told))
    controller.start()
    assert ready.wait(60)
    dies = at if side == "member" else 0
    member = context.Process(target=be_the_member, args=(node, dies, told))
    member.start()
    member.join(120)
    controller.kill()
    controller.join()
    step = told.read_text(encoding="utf-8") if told.exists() else None
    assert step is not None or member.exitcode == 0
    return step


@pytest.fixture
def port() -> Iterator[int]:
    with own_port() as found:
        yield found


@pytest.mark.long
@pytest.mark.parametrize("asks_first", [True, False])
@pytest.mark.parametrize("side", ["member", "controller"])
def test_a_kill_before_any_step_of_either_side_leaves_a_member_that_gets_in(
    tmp_path: Path, port: int, side: str, *, asks_first: bool
) -> None:
    ground = Ground(tmp_path, port)
    first = key_of(StateFolder(tmp_path / "before/node"))
    steps: list[str] = []
    for at in range(1, 60):
        with ground.state(f"at-{at}") as (folder, node):
            step = rotate_and_kill(folder, node, side, at, tmp_path / f"{at}.step")
            with serving(folder) as site:
                before = key_of(node)
                if asks_first:
                    assert gets_in(site, before), step
                assert rotate_key(node, line(node)).previous_ended, step
                after = key_of(node)
                assert gets_in(site, after), step
                assert not any(gets_in(site, each) for each in {first, before}), step
                found = record(folder)
            assert (found.public_key, found.next_key) == (pki.public_identity(after), None), step
        if step is None:
            break
        steps.append(step)
    else:
        raise AssertionError("it never came to its end")
    text = "\n".join(steps)
    stations = {
        "member": ("open", "os.rename", "member-next.key", "socket.connect"),
        "controller": ("write registry.sqlite", "after the write registry.sqlite"),
    }[side]
    assert all(station in text for station in stations), text
