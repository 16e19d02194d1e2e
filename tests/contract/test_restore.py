"""What a controller is made anew from proves itself; what does not is refused, and nothing is left of the try."""

import json
import shutil
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cluster import mftgit
from controller_site import NODE, NOW, Site, controller_site
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from git_cli import commit, git, git_ok
from node_site import ONE, damage
from waiting import until

from mftgit.adapters import age
from mftgit.adapters.registry.operator_codes import OperatorCodes
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls import pki
from mftgit.cli.restore import set_recipients
from mftgit.controller.recovery.restore import open_bundle, read_member
from mftgit.member.followed import ReplacedError
from mftgit.member.recovery import RecoveryWatch, read_kept
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import EventName
from mftgit.model.members.incarnation import HEADER, warrant_text
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.members.recovery import KeptBundle, format_bundle, parse_kept
from mftgit.model.names import MemberName, OperatorName

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.fixture
def site(tmp_path: Path) -> Any:
    with controller_site(tmp_path) as made:
        yield made


def new_key(site: Site) -> Path:
    """Make a recovery key; return the file of the private one."""
    private, public = age.new_identity()
    set_recipients(site.folder, (public,))
    key = site.folder.root.parent / "recovery.key"
    key.write_text(private, encoding="utf-8")
    key.chmod(0o600)
    return key


def keep(site: Site) -> None:
    """Have a bundle made now, and let the node keep it."""
    site.controller._recovery.look()
    node = StateFolder(site.folder.root.parent / NODE)
    shutil.copy(site.folder.recovery, node.recovery)


def lost(site: Site) -> tuple[Path, Path]:
    """A node that follows and keeps a bundle; return the recovery key, and the node's folder."""
    site.publish(ONE)
    node = site.node()
    node.intake.resume()
    node.look()
    key = new_key(site)
    keep(site)
    return key, node.folder.root


def restore(site: Site, key: Path | None, source: Path, *words: str) -> Any:
    given = () if key is None else ("--recovery-key", str(key))
    return mftgit(
        "controller", "restore", site.folder.root.parent / "new", "--from-member", source, *given, *words,
        cwd=site.folder.root.parent,
    )  # fmt: skip


def refused(site: Site, key: Path | None, source: Path, told: str) -> None:
    done = restore(site, key, source)
    assert done.returncode != 0
    assert told in done.stderr
    assert not (site.folder.root.parent / "new" / "bootstrap.json").exists()


def test_a_key_that_is_another_s_opens_nothing(site: Site) -> None:
    _, node = lost(site)
    private, _ = age.new_identity()
    wrong = site.folder.root.parent / "wrong.key"
    wrong.write_text(private, encoding="utf-8")
    wrong.chmod(0o600)
    refused(site, wrong, node, "the recovery key does not open the bundle")
    wrong.chmod(0o644)
    refused(site, wrong, node, "chmod 600")


def test_a_bundle_that_somebody_else_made_is_refused(site: Site) -> None:
    key, node = lost(site)
    folder = StateFolder(node)
    bundle = open_bundle(read_member(folder), age.Identity(key))
    other = pki.make_authority("evil", now=NOW())
    own = {"ca.key": (other.key + other.certificate).decode(), "ca.pem": other.certificate.decode()}
    forged = replace(bundle, files={**bundle.files, **own})
    write_kept(folder, forged, age.Identity(key).recipients)
    refused(site, key, node, "the bundle's authority is none that the member takes")
    write_kept(folder, replace(bundle, cluster_id="another"), age.Identity(key).recipients)
    refused(site, key, node, "another cluster's")


def test_members_take_the_bundles_of_the_next_controller_also_after_a_clock_that_was_ahead(
    site: Site,
) -> None:
    key, node = lost(site)
    folder = StateFolder(node)
    bundle = open_bundle(read_member(folder), age.Identity(key))
    ahead = 1 << 52
    write_kept(folder, bundle, age.Identity(key).recipients, number=ahead)
    done = restore(site, key, node)
    assert done.returncode == 0, done.stderr
    new = StateFolder(site.folder.root.parent / "new")
    kept = read_kept(new)
    assert kept is not None
    assert kept.number > ahead


def write_kept(
    folder: StateFolder, bundle: Any, recipients: tuple[str, ...], *, number: int = 1
) -> None:
    sealed = age.encrypt(zlib.compress(format_bundle(bundle)), recipients)
    kept = KeptBundle(number=number, sealed=sealed)
    folder.recovery.write_text(json.dumps(kept.as_json()), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda node: damage(node / "store.git", "objects/pack/*.pack", b"\xff" * 5000),
            "store.git",
        ),
        (
            lambda node: (node / "record.json").write_text("{}", encoding="utf-8"),
            "take another member",
        ),
        (
            lambda node: (node / "recovery.json").write_text("{}", encoding="utf-8"),
            "take another member",
        ),
        (lambda node: (node / "recovery.json").unlink(), "keeps no recovery bundle"),
    ],
)
def test_a_node_whose_folder_is_damaged_is_none_to_restore_from(
    site: Site, spoil: Callable[[Path], object], told: str
) -> None:
    key, node = lost(site)
    spoil(node)
    refused(site, key, node, told)


def test_a_controller_s_own_folder_and_one_that_holds_a_member_are_refused(site: Site) -> None:
    key, node = lost(site)
    refused(site, key, site.folder.root, "a controller's own folder")
    shutil.copytree(node, site.folder.root.parent / "new")
    done = restore(site, key, node)
    assert "holds a member already" in done.stderr


def test_the_newest_that_the_node_has_is_published_and_what_was_broken_off_is_said_again(
    site: Site,
) -> None:
    with closing(OperatorCodes(site.folder.registry)) as codes:
        codes.enrol(OperatorName("admin"), "sealed")
    key, node = lost(site)
    newest = site.publish(ONE | {"README.md": b"2\n"})
    again = site.nodes[0]
    again.look()
    assert again.intake.record.anchor == newest
    new = StateFolder(site.folder.root.parent / "new")
    new.prepare()
    git_ok(site.folder.root.parent, "init", "--quiet", "--bare", str(new.repository))
    shutil.rmtree(new.repository)
    done = restore(site, key, node)
    assert done.returncode == 0, done.stderr
    assert git_ok(new.repository, "rev-parse", "main") == newest
    git_ok(new.repository, "fsck", "--strict")
    assert new.ca_key.stat().st_mode & 0o077 == 0
    with closing(Registry(new.registry, now=NOW)) as registry:
        head = registry.head()
        assert head is not None
        assert head.incarnation == 1
        assert head.seq >= again.intake.record.seq
        assert registry.credential("admin") is not None
        assert registry.settles()
    with closing(OperatorCodes(new.registry)) as codes:
        assert codes.sealed("admin") == "sealed"  # nobody gets in by less than before


def test_an_older_bundle_never_takes_a_newer_one_s_place(site: Site) -> None:
    new_key(site)
    site.controller._recovery.look()
    first = parse_kept(json.loads(site.folder.recovery.read_bytes()))
    folder = site.make_node()
    sent = [replace(first, number=first.number + 5), first]
    watch = RecoveryWatch(lambda _after: sent.pop(0), folder)
    watch.look()
    watch.look()
    assert parse_kept(json.loads(folder.recovery.read_bytes())).number == first.number + 5
    assert folder.recovery.stat().st_mode & 0o077 == 0


def test_the_bundle_goes_to_members_only_and_is_made_anew_when_a_member_comes(site: Site) -> None:
    assert site.ask("GET", "/api/recovery")[0] == 401
    assert site.ask("GET", "/api/recovery", headers=site.basic())[0] == 403
    key = new_key(site)
    site.controller._recovery.look()
    newest = site.controller._recovery.after(0)
    assert newest is not None
    site.controller._recovery.look()
    assert site.controller._recovery.after(newest.number) is None
    node = site.node()
    until(lambda: site.controller._recovery.after(newest.number))
    made = node.upstream.recovery(0)
    assert made is not None
    assert node.upstream.recovery(made.number) is None
    until(lambda: NODE in members_in(site, key))


def members_in(site: Site, key: Path) -> str:
    newest = site.controller._recovery.after(0)
    assert newest is not None
    return zlib.decompress(age.Identity(key).decrypt(newest.sealed)).decode()


def test_a_controller_closes_only_for_the_authority_s_word(site: Site) -> None:
    node = site.node()
    own = site.folder.read_bootstrap()
    stranger = pki.make_authority("evil", now=NOW())
    forged = pki.sign_word(stranger, warrant_text(own.cluster_id, 9))
    proof = node.upstream._prover.headers("GET", "/api/head")
    for shown in (f"9 {forged}", "9 ab", "9", "x y", "-1 z", "9" * 400):
        site.ask("GET", "/api/head", headers={**proof, HEADER: shown})
    assert site.controller._fence.replaced_by is None
    key = site.folder.ca_key.read_bytes()
    warrant = pki.sign_word(pki.find_authority(key, key), warrant_text(own.cluster_id, 1))
    for name in (None, "admin"):  # neither a stranger's nor an operator's word
        login = site.basic() if name else {}
        site.ask("GET", "/api/head", headers={**login, HEADER: f"1 {warrant}"})
    assert site.controller._fence.replaced_by is None
    status, _ = site.ask("GET", "/api/head", headers={**proof, HEADER: f"1 {warrant}"})
    assert status == 503
    assert site.ask("GET", "/readyz")[0] == 503
    told = [each for _, each in site.events.after(0) if each.event is EventName.CONTROLLER_REPLACED]
    assert [each.facts for each in told] == [{"incarnation": 1, "told_by": NODE}]
    site.stop()
    site.start()
    assert site.ask("GET", "/api/head", headers=site.basic())[0] == 503


def test_a_member_takes_no_head_of_a_controller_that_was_replaced(site: Site) -> None:
    site.publish(ONE)
    node = site.node()
    node.intake.resume()
    node.look()
    runs, anchor = node.intake.runs, node.intake.record.anchor
    # Its warrant is of no authority, so that this controller believes nothing of it, and goes on.
    node.intake._journal.keep(replace(node.intake.record, incarnation=2, warrant="00"))
    site.publish(ONE | {"README.md": b"of the old one\n"})
    with pytest.raises(ReplacedError, match="incarnation 0, which was replaced by 2"):
        node.intake.look()
    assert (node.intake.runs, node.intake.record.anchor) == (runs, anchor)
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        head = registry.head()
        assert head is not None
        registry.begin(replace(head, incarnation=3, warrant="aa"))
    site.controller.catch_up()
    node.look()
    assert node.intake.record.anchor == site.head()
    assert (node.intake.record.incarnation, node.intake.record.warrant) == (3, "aa")


def made_anew(site: Site, incarnation: int = 1) -> str:
    """Let the controller be one that was made anew just now; return its warrant."""
    own, key = site.folder.read_bootstrap(), site.folder.ca_key.read_bytes()
    warrant = pki.sign_word(pki.find_authority(key, key), warrant_text(own.cluster_id, incarnation))
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        head = registry.head()
        assert head is not None
        registry.begin(replace(head, incarnation=incarnation, warrant=warrant))
    site.controller.catch_up()
    return warrant


def test_of_two_controllers_that_were_made_anew_at_once_a_member_stays_with_the_first(
    site: Site, tmp_path: Path
) -> None:
    site.publish(ONE)
    node = site.node()
    node.intake.resume()
    first = made_anew(site)
    node.look()
    anchor = node.intake.record.anchor
    made_anew(site)  # the other one, which is found at the same address
    with pytest.raises(ReplacedError, match="another controller of the incarnation 1"):
        node.intake.look()
    assert (node.intake.record.warrant, node.intake.record.anchor) == (first, anchor)
    told = [each for _, each in site.events.after(0) if each.event is EventName.CONTROLLER_DISPUTED]
    assert [each.facts for each in told] == [{"incarnation": 1, "told_by": NODE}]
    work = tmp_path / "work"
    git_ok(tmp_path, "clone", "--quiet", str(site.folder.repository), str(work))
    commit(work, {"README.md": "of the other one\n"})
    refused = push(site, work)
    assert "(there is another controller)" in refused.err
    assert "make one more from the member that is ahead" in refused.err
    third = made_anew(site, 2)
    node.look()
    assert node.intake.record.warrant == third


def test_a_member_that_was_let_in_again_by_another_authority_follows_that(site: Site) -> None:
    site.publish(ONE)
    node = site.node()
    node.intake.resume()
    stranger = pki.make_authority("before", now=NOW())
    cluster_id = site.folder.read_bootstrap().cluster_id
    before = pki.sign_word(stranger, warrant_text(cluster_id, 1))
    node.intake._journal.keep(replace(node.intake.record, incarnation=1, warrant=before))
    warrant = made_anew(site)
    node.look()
    assert node.intake.record.warrant == warrant
    assert site.controller._fence.disputed_by is None


def test_what_is_made_of_a_controller_s_own_warrant_is_no_other_controller(site: Site) -> None:
    node = site.node()
    warrant = made_anew(site)
    r, s = decode_dss_signature(bytes.fromhex(warrant))
    twin = encode_dss_signature(r, P256_ORDER - s).hex()
    cluster_id = site.folder.read_bootstrap().cluster_id
    pem = site.folder.ca_file.read_bytes()
    assert pki.is_signed_by(pem, warrant_text(cluster_id, 1), twin)
    stranger = pki.make_authority("evil", now=NOW())
    forged = pki.sign_word(stranger, warrant_text(cluster_id, 1))
    for shown in (warrant, warrant.upper(), twin, forged, "00", "x"):
        proof = node.upstream._prover.headers("GET", "/api/head")
        status, _ = site.ask("GET", "/api/head", headers={**proof, HEADER: f"1 {shown}"})
        assert status == 200
    assert site.controller._fence.disputed_by is None


def test_a_newer_revision_that_the_node_has_fetched_and_not_taken_in_is_kept(site: Site) -> None:
    key, node = lost(site)
    newest = site.publish(ONE | {"README.md": b"2\n"})
    site.nodes[0].upstream.fetch()
    assert site.nodes[0].intake.record.anchor != newest
    done = restore(site, key, node)
    assert done.returncode == 0, done.stderr
    repository = StateFolder(site.folder.root.parent / "new").repository
    assert git_ok(repository, "rev-parse", "main") == newest


def push(site: Site, work: Path, ref: str = "main") -> Any:
    url = site.url.replace("https://", f"https://admin:{site.password}@")
    trust = ("-c", f"http.sslCAInfo={site.folder.ca_file}")
    return git(work, *trust, "push", f"{url}/config.git", f"HEAD:refs/heads/{ref}")


def test_nothing_is_published_over_what_a_member_has(site: Site, tmp_path: Path) -> None:
    """The controller is behind: what the node runs was published by the one before, and is in a clone."""
    behind = site.controller.store.head()
    node = site.node()
    work = tmp_path / "work"
    git_ok(tmp_path, "clone", "--quiet", str(site.folder.repository), str(work))
    newer = site.publish(ONE)
    node.intake.resume()
    node.look()
    git_ok(work, "pull", "--quiet", "origin", "main")
    git_ok(site.folder.repository, "update-ref", "refs/heads/main", str(behind))
    git_ok(site.folder.repository, "reflog", "expire", "--expire=now", "--all")
    git_ok(site.folder.repository, "gc", "--quiet", "--prune=now")
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.settle(begin=True)
    site.stop()
    site.start()
    unheard = push(site, work)
    assert "members were not heard of" in unheard.err
    for name in (NODE, MemberName("controller")):
        active = newer if name == NODE else behind
        site.controller._report(status_of(name, active))
    git_ok(work, "checkout", "--quiet", "--detach", str(behind))
    other = commit(work, {"README.md": "other\n"})
    over = push(site, work)
    assert "members have a newer revision" in over.err
    assert f"{NODE} runs {newer[:12]}" in over.err
    assert site.controller.store.head() == behind
    git_ok(work, "checkout", "--quiet", "--detach", newer)
    assert push(site, work).code == 0
    assert site.controller.store.head() == newer
    assert other != newer


def status_of(name: MemberName, active: Any) -> MemberStatus:
    return MemberStatus(
        name=name, role=Role.NODE, state=MemberState.ACTIVE, active_revision=active,
        attempted_revision=None, reason=None,
    )  # fmt: skip


def test_a_member_whose_key_was_not_kept_runs_on_until_it_joins_again(site: Site) -> None:
    node = site.node()
    key = node.upstream._prover.public_key
    path = f"/api/members/{NODE}/keys/{key}"
    assert site.ask("GET", path) == (200, {"member": True})
    with closing(Registry(site.folder.registry, now=NOW)) as registry:
        registry.remove_member(NODE)
        assert site.ask("GET", path) == (200, {"member": False})
        registry.invite(NODE, Role.NODE)
        registry.lose(NODE)
    status, answer = site.ask("GET", path)
    assert status == 503
    assert "join --again" in answer["error"]
