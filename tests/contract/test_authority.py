"""The cluster's authority is changed while everybody gets in: members take both, then the controller changes over."""

import json
import multiprocessing
import os
import shutil
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from controller_line_text import section
from controller_site import NODE, NOW, Site, controller_site
from kills import die_before

from mftgit.adapters.durable import write_file
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.process_lock import BusyError, one_at_a_time
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls import pki
from mftgit.cli.main import run_verb
from mftgit.cli.rules import make_validator
from mftgit.controller.app import Controller
from mftgit.controller.authority import Rotation, Step, rotate_authority
from mftgit.controller.certificate import signing_authority
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.join import join
from mftgit.member.move import Move
from mftgit.member.upstream import RemoteUpstream
from mftgit.model.configuration.controller_line import build_line, fingerprints
from mftgit.model.events.event import EventName
from mftgit.model.members.messages import LineStatus, MemberState, MemberStatus
from mftgit.model.members.token import parse_token
from mftgit.model.names import MemberName

CONTROLLER = MemberName("controller")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


@pytest.fixture
def node(site: Site) -> StateFolder:
    return site.make_node()


def rotate(folder: StateFolder, *left: MemberName) -> Rotation:
    with (
        closing(Registry(folder.registry, now=NOW)) as registry,
        closing(EventStore(folder.events, member=CONTROLLER, now=NOW)) as events,
    ):
        return rotate_authority(
            folder, registry.members(), left=left, now=NOW(), tell=events.append
        )


def report(controller: StateFolder, folder: StateFolder) -> None:
    """Say on the controller how the member of ``folder`` reaches it, as its report does."""
    own = folder.read_bootstrap()
    taken = fingerprints(folder.ca_file.read_text(encoding="utf-8"))
    status = MemberStatus(
        name=own.name,
        role=own.role,
        state=MemberState.ACTIVE,
        active_revision=None,
        attempted_revision=None,
        reason=None,
        line=LineStatus(url=own.controller_url, ca=taken),
    )
    with closing(Registry(controller.registry, now=NOW)) as registry:
        registry.report(status)


def take(site: Site, ca_pem: str, *folders: StateFolder) -> None:
    """Publish ``ca_pem``, and let the members of ``folders`` follow and report."""
    site.publish({"cluster.yaml": section(ca=ca_pem).encode()})
    for folder in folders:
        mover = Move(
            folder,
            now=NOW,
            moved=lambda _: None,
            told=lambda *_, **__: None,
            is_behind=lambda _: False,
        )
        mover.go_over(build_line({"ca": ca_pem}), seq=1)
        report(site.folder, folder)


def gets_in(folder: StateFolder) -> bool:
    with closing(RemoteUpstream(folder, folder.read_bootstrap(), now=NOW)) as upstream:
        try:
            return upstream.head(None) is not None
        except MftgitError:
            return False


def ca_of(folder: StateFolder) -> tuple[str, ...]:
    return fingerprints(folder.ca_file.read_text(encoding="utf-8"))


def issuer(site: Site) -> str:
    """The fingerprint of the authority that issued what the controller shows."""
    port = site.folder.read_bootstrap().listen[1]  # type: ignore[misc]  # it is a controller's
    shown = ssl.get_server_certificate(("127.0.0.1", port)).encode()
    server = pki.KeyPair(certificate=shown, key=site.folder.tls_key.read_bytes())
    (found,) = (
        pki.fingerprint(each.certificate)
        for each in [signing_authority(site.folder)]
        if pki.serves(server, each, hosts=(), now=NOW())
    )
    return found


def test_the_authority_is_changed_in_steps_and_everybody_gets_in_at_each(
    site: Site, node: StateFolder
) -> None:
    (old,) = ca_of(site.folder)
    done = rotate(site.folder)
    assert (done.step, done.waits_for) == (Step.OFFERED, (CONTROLLER, NODE))
    new = done.fingerprint
    assert fingerprints(done.ca_pem) == (old, new)
    assert rotate(site.folder) == done

    take(site, done.ca_pem, site.folder)
    assert rotate(site.folder).waits_for == (NODE,)
    take(site, done.ca_pem, node)
    assert issuer(site) == old
    assert gets_in(node)

    changed = rotate(site.folder)
    assert (changed.step, changed.waits_for) == (Step.CHANGED, (CONTROLLER, NODE))
    assert fingerprints(changed.ca_pem) == (new,)
    assert rotate(site.folder) == changed
    site.controller._certificate.look()
    assert issuer(site) == new
    assert gets_in(node)

    take(site, changed.ca_pem, site.folder, node)
    last = rotate(site.folder)
    assert (last.step, last.waits_for, last.fingerprint) == (Step.DONE, (), new)
    assert ca_of(site.folder) == ca_of(node) == (new,)
    assert gets_in(node)
    assert not site.folder.old_ca.exists()
    told = [each for _, each in site.events.after(0, limit=1000)]
    assert [each.facts for each in told if each.event is EventName.AUTHORITY_CHANGED] == [
        {"fingerprint": new, "ended": old}
    ]
    assert rotate(site.folder).step is Step.OFFERED


def test_who_never_comes_back_can_be_left_behind_and_nobody_else_is(
    site: Site, node: StateFolder
) -> None:
    done = rotate(site.folder)
    take(site, done.ca_pem, site.folder)
    assert rotate(site.folder).step is Step.OFFERED
    changed = rotate(site.folder, NODE)
    assert (changed.step, changed.waits_for) == (Step.CHANGED, (CONTROLLER,))
    site.controller._certificate.look()
    assert not gets_in(node)


def test_to_take_the_old_authority_away_too_early_is_refused_by_every_member(
    site: Site, node: StateFolder
) -> None:
    done = rotate(site.folder)
    (_, following) = done.ca_pem.split("-----BEGIN", 1)[1].split("-----BEGIN")
    with pytest.raises(MftgitError, match="certificate of this cluster"):
        take(site, f"-----BEGIN{following}", node)
    assert gets_in(node)


def invited(site: Site, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run_verb(["member", "add", name, "--dir", str(site.folder.root), "--json"]) == 0
    return str(json.loads(capsys.readouterr().out)["token"])


def joins(site: Site, tmp_path: Path, token: str) -> StateFolder:
    parsed = parse_token(token)
    folder = StateFolder(tmp_path / f"joined-{parsed.member}")
    join(folder, controller_url=site.url, token=parsed, files_root=tmp_path / "files", now=NOW)
    return folder


def test_a_token_is_waited_for_and_one_from_before_the_change_is_told_so(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    early, late = invited(site, "node-2", capsys), invited(site, "node-3", capsys)
    done = rotate(site.folder)
    take(site, done.ca_pem, site.folder)
    assert rotate(site.folder).waits_for == ("node-2", "node-3")
    folder = joins(site, tmp_path, early)  # while both count
    assert gets_in(folder)
    assert len(ca_of(folder)) == 1  # of what is offered, only what the token names is taken
    take(site, done.ca_pem, folder)
    assert rotate(site.folder, MemberName("node-3")).step is Step.CHANGED
    site.controller._certificate.look()
    with pytest.raises(MftgitError, match=r"certificate of this cluster"):
        joins(site, tmp_path, late)
    again = joins(site, tmp_path, invited(site, "node-4", capsys))
    assert ca_of(again) == (done.fingerprint,)
    assert gets_in(again)
    take(site, rotate(site.folder).ca_pem, site.folder)
    with pytest.raises(ConfigError, match="or its authority was changed since"):
        joins(site, tmp_path, late)


def test_behind_a_proxy_with_a_certificate_of_its_own_a_token_names_the_proxy_s_authority(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    other = pki.make_authority("proxy", now=NOW()).certificate
    site.folder.ca_file.write_bytes(other)
    assert parse_token(invited(site, "node-2", capsys)).ca_sha256 == pki.fingerprint(other)


def test_nobody_else_s_hands_and_no_second_pair_change_the_authority(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with one_at_a_time(site.folder.root), pytest.raises(BusyError):
        rotate(site.folder)
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigError, match="belongs to the user"):
        rotate(site.folder)
    assert not site.folder.next_ca.exists()


def test_a_disk_that_takes_nothing_is_told(site: Site) -> None:
    site.folder.next_ca.with_name(f".ca-next.pem.{os.getpid()}.new").mkdir()
    with pytest.raises(ConfigError, match="see to the disk and say this again"):
        rotate(site.folder)


def test_the_verb_prints_what_to_push_and_who_is_waited_for(
    site: Site, node: StateFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["controller", "rotate-ca", "--dir", str(site.folder.root)]
    assert run_verb(words) == 0
    told = capsys.readouterr().out
    assert "is made, and issues nothing yet" in told
    assert "when these members have taken it: controller, node-1" in told
    text = told[told.index("controller:\n  ca: |\n") :].partition("\n\n")[0]
    site.publish({"cluster.yaml": b"name: c\n" + text.encode() + b"\n"})
    assert run_verb([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["step"], answer["waits_for"]) == ("offered", ["controller", "node-1"])
    take(site, answer["ca"], site.folder, node)
    assert run_verb(words) == 0
    assert "issues the controller's certificate now" in capsys.readouterr().out
    site.controller._certificate.look()
    assert run_verb([*words, "--json", "--without", NODE]) == 0
    take(site, json.loads(capsys.readouterr().out)["ca"], site.folder, node)
    assert run_verb(words) == 0
    assert "the one before counts nowhere" in capsys.readouterr().out


# Kills


def test_a_change_of_the_authority_is_told_once_also_after_a_kill_right_behind_it(
    site: Site, node: StateFolder
) -> None:
    done = rotate(site.folder)
    take(site, done.ca_pem, site.folder, node)
    old = signing_authority(site.folder)
    write_file(site.folder.old_ca, old.certificate)  # the steps up to the kill
    site.folder.write_secret(site.folder.ca_key, site.folder.read(site.folder.next_ca))
    assert rotate(site.folder).step is rotate(site.folder).step is Step.CHANGED
    told = [each for _, each in site.events.after(0, limit=1000)]
    assert [each.facts for each in told if each.event is EventName.AUTHORITY_CHANGED] == [
        {"fingerprint": done.fingerprint, "ended": pki.fingerprint(old.certificate)}
    ]


def be_the_operator(folder: StateFolder, at: int, told: Path) -> None:
    die_before(at, told)
    rotate(folder)
    os._exit(0)


def serve(folder: StateFolder) -> Site:
    """A controller that starts on ``folder``; the caller stops it."""
    own = folder.read_bootstrap()
    events = EventStore(folder.events, member=own.name, now=NOW)
    controller = Controller(folder, own, events=events, validator=make_validator())
    controller.start()
    return Site(
        folder=folder, url=own.controller_url, password="", controller=controller, events=events
    )


@pytest.mark.long
@pytest.mark.parametrize("step", list(Step))
def test_a_kill_before_any_step_of_a_change_leaves_members_that_get_in_and_it_goes_on(
    site: Site, node: StateFolder, tmp_path: Path, step: Step
) -> None:
    for known in Step:
        if known is step:
            break
        take(site, rotate(site.folder).ca_pem, site.folder, node)
        site.controller._certificate.look()
    site.stop()
    context = multiprocessing.get_context("fork")
    steps: list[str] = []
    for at in range(1, 40):
        folder = StateFolder(tmp_path / f"at-{at}")
        shutil.copytree(site.folder.root, folder.root)
        told = tmp_path / f"{at}.step"
        operator = context.Process(target=be_the_operator, args=(folder, at, told))
        operator.start()
        operator.join(60)
        if not told.exists():
            assert operator.exitcode == 0
            break
        steps.append(told.read_text(encoding="utf-8"))
        again = serve(folder)
        try:
            assert gets_in(node), steps[-1]
            goes_on = rotate(folder)
            assert goes_on.step is step or step is Step.DONE, steps[-1]
            assert goes_on.fingerprint in fingerprints(goes_on.ca_pem), steps[-1]
            again.controller._certificate.look()
            assert gets_in(node), steps[-1]
        finally:
            again.controller.stop()
            again.events.close()
            shutil.rmtree(folder.root)
    else:
        raise AssertionError("it never came to its end")
    station = {Step.OFFERED: "ca-next.pem", Step.CHANGED: "ca.key", Step.DONE: "ca-old.pem"}[step]
    assert station in "\n".join(steps)
    site.start()


def test_a_child_that_is_just_being_made_does_not_hold_the_lock_on(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    done = context.Event()
    with one_at_a_time(tmp_path):
        child = context.Process(target=done.wait)
        child.start()
    try:
        with one_at_a_time(tmp_path):
            pass
    finally:
        done.set()
        child.join()
