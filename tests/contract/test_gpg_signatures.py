"""Who signed a commit by GPG, and may he: real git and gpg sign, and the machine's own gpg home is never looked at."""

import base64
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from config_tree import tree
from git_cli import git_ok
from gpg_keys import GpgHome, commit_by_gpg, gpg_home
from signing import keygen_sign, make_key, raw_of, with_signature, write_commit

from mftgit.adapters.git.commit_signature import Examiner
from mftgit.adapters.git.gpg import GpgError, Keyring
from mftgit.model.keys.openpgp import dearmor
from mftgit.model.names import Revision
from mftgit.model.trust.trust import Finding, Outcome, Policy, judge_commit, read_lists

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("gpg"), pytest.mark.needs("ssh-keygen")]

GPG_SIGNERS, GPG_REVOKED = "trust/gpg_signers", "trust/gpg_revoked_keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A repository, and a home of gpg with the keys of ann, bob and eve."""

    folder: Path
    home: GpgHome

    def unsigned(self) -> bytes:
        env = {"GIT_COMMITTER_DATE": "2026-06-01T12:00:00Z"}
        words = ["git", "commit", "--quiet", "--allow-empty", "--message", "x"]
        subprocess.run(
            words, cwd=self.folder, check=True, capture_output=True,
            env=os.environ | {f"GIT_{who}_{what}": "x@y.z" for who in ("AUTHOR", "COMMITTER")
                              for what in ("NAME", "EMAIL")} | env,
        )  # fmt: skip
        return raw_of(self.folder, "HEAD")

    def signed(self, who: str = "ann", when: str = "2026-06-01T12:00:00Z") -> Revision:
        return commit_by_gpg(self.folder, self.home, who, when)

    def put(self, armor: str, raw: bytes | None = None) -> Revision:
        return write_commit(self.folder, with_signature(raw or self.unsigned(), armor))

    def policy(self, *lines: str, revoked: str = "") -> Policy:
        found = read_lists(tree({GPG_SIGNERS: "".join(lines), GPG_REVOKED: revoked}))
        assert found.problems == ()
        return found

    def judged(self, revision: Revision, policy: Policy) -> Finding:
        with Examiner() as examine:
            return judge_commit(policy, examine(policy, revision, raw_of(self.folder, revision)))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("work")
    git_ok(folder, "init", "--quiet", "--initial-branch", "main")
    with gpg_home() as home:
        for name in ("ann", "bob", "eve"):
            home.make(name)
        yield Bench(folder=folder, home=home)


def test_a_commit_that_git_signs_by_gpg_is_that_of_the_principal_in_the_line_of_its_key(
    bench: Bench,
) -> None:
    found = bench.judged(
        bench.signed(), bench.policy(bench.home.line("bob"), bench.home.line("ann"))
    )
    assert (found.outcome, found.principals) == (Outcome.SIGNED, ("ann@example.org",))
    assert found.fingerprint == bench.home.fingerprints("ann")[0]


@pytest.mark.parametrize("algorithm", ["rsa2048", "rsa3072", "nistp256", "nistp384", "nistp521"])
def test_every_kind_of_key_that_is_strong_enough_signs(bench: Bench, algorithm: str) -> None:
    name = f"key-{algorithm}"
    bench.home.make(name, algorithm=algorithm)
    revision = bench.signed(name)
    found = bench.judged(revision, bench.policy(bench.home.line(name)))
    assert found.outcome is Outcome.SIGNED
    changed = write_commit(bench.folder, raw_of(bench.folder, revision) + b"and more\n")
    assert bench.judged(changed, bench.policy(bench.home.line(name))).outcome is Outcome.TAMPERED


def test_a_key_without_a_line_is_not_allowed(bench: Bench) -> None:
    revision = bench.signed("eve")
    for policy in (bench.policy(bench.home.line("ann")), Policy()):
        assert bench.judged(revision, policy).outcome is Outcome.NOT_ALLOWED


def test_a_line_for_something_else_than_git_does_not_let_a_key_sign_commits(bench: Bench) -> None:
    policy = bench.policy(bench.home.line("ann", 'namespaces="file"'))
    assert bench.judged(bench.signed(), policy).outcome is Outcome.NOT_ALLOWED


def test_a_signature_of_another_commit_is_tampered(bench: Bench) -> None:
    armor = bench.home.sign(bench.unsigned(), "ann")
    policy = bench.policy(bench.home.line("ann"))
    assert bench.judged(bench.put(armor), policy).outcome is Outcome.TAMPERED
    raw = bench.unsigned()
    good = bench.put(bench.home.sign(raw, "ann"), raw)
    assert bench.judged(good, policy).outcome is Outcome.SIGNED


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ('valid-after="20260601Z",valid-before="20260602Z"', Outcome.SIGNED),
        ('valid-after="20260602Z"', Outcome.NOT_YET_VALID),
        ('valid-before="20260601115959Z"', Outcome.EXPIRED),
    ],
)
def test_the_window_of_a_line_is_held_against_the_time_of_the_commit(
    bench: Bench, options: str, outcome: Outcome
) -> None:
    policy = bench.policy(bench.home.line("ann", options))
    assert bench.judged(bench.signed(), policy).outcome is outcome


def test_a_keys_own_date_is_held_against_the_time_of_the_commit_and_not_of_this_machine(
    bench: Bench,
) -> None:
    bench.home.make("short", expires="2026-07-01")
    policy = bench.policy(bench.home.line("short"))
    for when, outcome in (
        ("2025-12-31T12:00:00Z", Outcome.NOT_YET_VALID),
        ("2026-06-01T12:00:00Z", Outcome.SIGNED),
        ("2026-07-02T12:00:00Z", Outcome.EXPIRED),
        ("2099-07-02T12:00:00Z", Outcome.EXPIRED),
    ):
        assert bench.judged(bench.signed("short", when), policy).outcome is outcome


@pytest.mark.parametrize("second", ["0", "4294967296", "999999999999999999"])
def test_a_time_that_openpgp_cannot_tell_is_not_taken_for_now(bench: Bench, second: str) -> None:
    bench.home.make(f"expires{second}", expires="2026-07-01")
    raw = bench.unsigned()
    at = raw.index(b"> ", raw.index(b"\ncommitter ")) + 2
    raw = raw[:at] + second.encode() + raw[raw.index(b" ", at) :]
    revision = bench.put(bench.home.sign(raw, f"expires{second}"), raw)
    found = bench.judged(revision, bench.policy(bench.home.line(f"expires{second}")))
    assert found.outcome is (Outcome.NOT_YET_VALID if second == "0" else Outcome.EXPIRED)


def test_a_key_that_its_owner_revoked_counts_for_nothing(bench: Bench) -> None:
    bench.home.make("lost")
    revision, before = bench.signed("lost"), bench.policy(bench.home.line("lost"))
    assert bench.judged(revision, before).outcome is Outcome.SIGNED
    bench.home.revoke("lost")
    after = bench.policy(bench.home.line("lost"))
    assert bench.judged(revision, after).outcome is Outcome.REVOKED
    assert after != before


def test_a_key_in_the_list_of_revoked_ones_counts_for_nothing(bench: Bench) -> None:
    line = bench.home.line("ann")
    policy = bench.policy(line, revoked=line.partition(" ")[2])
    assert bench.judged(bench.signed(), policy).outcome is Outcome.REVOKED


def test_a_sub_key_signs_for_its_primary_key_until_it_is_revoked(bench: Bench) -> None:
    home = bench.home
    primary = home.make("sub", usage="cert")
    home.gpg("--quick-add-key", primary, "ed25519", "sign", "never")
    revision, policy = bench.signed("sub"), bench.policy(home.line("sub"))
    found = bench.judged(revision, policy)
    assert (found.outcome, found.fingerprint) == (Outcome.SIGNED, primary)
    commands = b"key 1\nrevkey\ny\n1\n\ny\nsave\n"
    home.gpg("--command-fd", "0", "--status-fd", "2", "--edit-key", primary, content=commands)
    assert bench.judged(revision, bench.policy(home.line("sub"))).outcome is Outcome.REVOKED


def test_a_key_that_may_not_sign_does_not(bench: Bench) -> None:
    home = bench.home
    primary = home.make("later", usage="cert")
    home.gpg("--quick-add-key", primary, "ed25519", "sign", "never")
    signing = home.fingerprints("later")[1]
    revision = bench.signed("later")
    only = home.gpg("--export", "--export-filter", f"drop-subkey=fpr={signing}", primary)
    line = f"later openpgp {base64.b64encode(only).decode()}\n"
    assert bench.judged(revision, bench.policy(line)).outcome is not Outcome.SIGNED


@pytest.mark.parametrize("digest", ["SHA1", "MD5"])
def test_a_signature_by_a_weak_digest_is_refused(bench: Bench, digest: str) -> None:
    bench.home.make(f"weak-{digest}", algorithm="rsa2048")
    raw = bench.unsigned()
    more = ("--digest-algo", digest, "--allow-weak-digest-algos")
    revision = bench.put(bench.home.sign(raw, f"weak-{digest}", *more), raw)
    found = bench.judged(revision, bench.policy(bench.home.line(f"weak-{digest}")))
    assert (found.outcome, "its digest is none of SHA256" in found.detail) == (
        Outcome.MALFORMED,
        True,
    )


def two_signatures(bench: Bench, raw: bytes) -> str:
    """Return one block in which two people sign the same."""
    return bench.home.sign(raw, "ann", "--local-user", "bob")


def two_blocks(bench: Bench, raw: bytes) -> str:
    return bench.home.sign(raw, "ann") + bench.home.sign(raw, "bob")


def both_kinds(bench: Bench, raw: bytes) -> str:
    key = make_key(bench.home.folder, f"ssh-{len(list(bench.home.folder.iterdir()))}")
    return bench.home.sign(raw, "ann") + keygen_sign(raw, key, "git")


def both_kinds_ssh_first(bench: Bench, raw: bytes) -> str:
    return "".join(reversed(both_kinds(bench, raw).partition("-----BEGIN SSH")[1:])) + (
        bench.home.sign(raw, "ann")
    )


def inline(bench: Bench, raw: bytes) -> str:
    """Return a whole signed message under the name of a signature."""
    words = ("--armor", "--sign", "--local-user", "ann")
    text = bench.home.gpg(*words, content=raw, at="20260601T120000").decode()
    return text.replace("PGP MESSAGE", "PGP SIGNATURE")


def garbage(_bench: Bench, _raw: bytes) -> str:
    return "-----BEGIN PGP SIGNATURE-----\n\niQEz\n-----END PGP SIGNATURE-----"


def a_key(bench: Bench, _raw: bytes) -> str:
    text = bench.home.gpg("--armor", "--export", "ann").decode()
    return text.replace("PUBLIC KEY BLOCK", "SIGNATURE")


def of_text(bench: Bench, raw: bytes) -> str:
    return bench.home.sign(raw, "ann", "--textmode")


@pytest.mark.parametrize(
    "make",
    [two_signatures, two_blocks, both_kinds, both_kinds_ssh_first, inline, garbage, a_key, of_text],
)
def test_anything_but_one_signature_of_the_commits_bytes_is_refused(
    bench: Bench, make: Callable[[Bench, bytes], str]
) -> None:
    raw = bench.unsigned()
    policy = bench.policy(bench.home.line("ann"), bench.home.line("bob"))
    assert bench.judged(bench.put(make(bench, raw), raw), policy).outcome in {
        Outcome.MALFORMED,
        Outcome.UNKNOWN_KIND,
    }


def test_a_commit_with_two_signatures_is_refused(bench: Bench) -> None:
    raw = raw_of(bench.folder, bench.signed())
    signature = raw[raw.index(b"gpgsig ") : raw.index(b"-----END")] + b"-----END PGP SIGNATURE-----"
    for extra in (signature, signature.replace(b"gpgsig", b"gpgsig-sha256", 1)):
        revision = write_commit(bench.folder, raw.replace(b"\n\n", b"\n" + extra + b"\n\n", 1))
        found = bench.judged(revision, bench.policy(bench.home.line("ann")))
        assert found.outcome is Outcome.MALFORMED


# gpg itself


def test_a_key_ring_is_made_once_for_all_commits_of_a_policy(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, policy = tmp_path / "calls", bench.policy(bench.home.line("ann"))
    revisions = [bench.signed(who) for who in ("ann", "ann", "ann")]
    commits = [(each, raw_of(bench.folder, each)) for each in revisions]
    put_gpg(tmp_path, f'echo "$*" >> {calls}\nexec {shutil.which("gpg")} "$@"', monkeypatch)
    with Examiner() as examine:
        found = [judge_commit(policy, examine(policy, *commit)).outcome for commit in commits]
    assert found == [Outcome.SIGNED] * 3
    asked = calls.read_text(encoding="utf-8").splitlines()
    assert [sum(word in line for line in asked) for word in ("--import", "--verify")] == [1, 3]


def test_nothing_is_left_behind_and_the_persons_own_home_is_not_touched(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch, own = tmp_path / "tmp", tmp_path / "own"
    scratch.mkdir()
    own.mkdir()
    (own / "gpg.conf").write_text("no-such-option\n", encoding="utf-8")
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setenv("GNUPGHOME", str(own))
    monkeypatch.setenv("HOME", str(own))
    revision, policy = bench.signed(), bench.policy(bench.home.line("ann"))
    with Examiner() as examine:
        evidence = examine(policy, revision, raw_of(bench.folder, revision))
        assert judge_commit(policy, evidence).outcome is Outcome.SIGNED
        (home,) = scratch.iterdir()
        assert stat.S_IMODE(home.stat().st_mode) == stat.S_IRWXU
        assert [each for each in home.iterdir() if each.is_socket()] == []
    assert list(scratch.iterdir()) == []
    assert sorted(each.name for each in own.iterdir()) == ["gpg.conf"]
    assert str(scratch) not in running()


def running() -> str:
    """Return the command lines of everything that runs."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            lines.append(file.read_bytes().decode("utf-8", "replace").replace("\0", " "))
    return "\n".join(lines)


def put_gpg(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program of the name gpg first."""
    program = folder / "bin/gpg"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


def test_where_gpg_is_missing_no_commit_passes_and_it_is_told_what_to_install(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = bench.signed()
    raw, policy = raw_of(bench.folder, revision), bench.policy(bench.home.line("ann"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with Examiner() as examine:
        found = judge_commit(policy, examine(policy, revision, raw))
    assert found.outcome is Outcome.NOT_CHECKED
    assert str(found).endswith("could not be checked here: gpg is not installed: apt install gnupg")


def test_a_gpg_that_hangs_is_ended_with_what_it_started(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = bench.home.public("ann")
    child = f"sleep 9876{os.getpid()}"
    put_gpg(tmp_path, f"{child} & wait", monkeypatch)
    with pytest.raises(GpgError, match=r"gpg gave no answer in 0\.5 s"):
        Keyring([key], limit_s=0.5)
    until = time.monotonic() + 60
    while child in running() and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert child not in running()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exec cat /dev/zero", "gpg said more than 1,048,576 bytes"),
        ("kill -9 $$", "gpg was ended by signal 9"),
        ("exit 2", "gpg did not look at the keys: it ended with 2"),
    ],
)
def test_a_gpg_that_misbehaves_is_not_believed(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    key = bench.home.public("ann")
    put_gpg(tmp_path, script, monkeypatch)
    with pytest.raises(GpgError, match=told):
        Keyring([key])


def test_a_gpg_that_cannot_be_asked_is_asked_once(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = bench.signed()
    raw, policy = raw_of(bench.folder, revision), bench.policy(bench.home.line("ann"))
    put_gpg(tmp_path, f"echo x >> {tmp_path}/calls; kill -9 $$", monkeypatch)
    with Examiner() as examine:
        found = [examine(policy, Revision(name * 40), raw).flaw for name in "abc"]
    assert found == [Outcome.NOT_CHECKED] * 3
    assert (tmp_path / "calls").read_text(encoding="utf-8") == "x\n"


def test_a_key_that_gpg_does_not_take_keeps_no_other_from_counting(bench: Bench) -> None:
    public = bench.home.public("bob")
    bare = public[
        : public.index(b"bob <bob@") - 2
    ]  # the key alone, without its name and what signs it
    line = f"bob openpgp {base64.b64encode(bare).decode()}\n"
    policy = bench.policy(line, bench.home.line("ann"))
    assert bench.judged(bench.signed("ann"), policy).outcome is Outcome.SIGNED
    assert bench.judged(bench.signed("bob"), policy).outcome is not Outcome.SIGNED
    with Keyring(policy.gpg_keys) as keyring:
        assert keyring.fingerprints == {bench.home.fingerprints("ann")[0]}


def test_a_key_whose_name_is_signed_by_a_weak_digest_is_not_taken(bench: Bench) -> None:
    home = bench.home
    more = ("--cert-digest-algo", "SHA1", "--allow-weak-digest-algos")
    home.gpg(*more, "--quick-gen-key", "old <old@example.org>", "rsa2048", "sign", "never")
    with Keyring([home.public("old")]) as keyring:
        assert keyring.fingerprints == set()
    found = bench.judged(bench.signed("old"), bench.policy(home.line("old")))
    assert found.outcome is Outcome.NOT_ALLOWED


def test_what_a_commit_shows_is_found_out_once_for_all_policies_with_the_same_keys(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.home.make("cid")
    revision, line = bench.signed("ann"), bench.home.line("ann")
    raw, real = raw_of(bench.folder, revision), shutil.which("gpg")
    policies = [
        bench.policy(line),
        bench.policy(bench.home.line("ann", 'valid-before="20260101Z"')),
        bench.policy(line, bench.home.line("cid")),
    ]
    calls = tmp_path / "calls"
    put_gpg(tmp_path, f'echo "$*" >> {calls}\nexec {real} "$@"', monkeypatch)
    with Examiner() as examine:
        found = [judge_commit(each, examine(each, revision, raw)).outcome for each in policies]
    assert found == [Outcome.SIGNED, Outcome.EXPIRED, Outcome.SIGNED]
    assert calls.read_text(encoding="utf-8").count("--verify") == 2


def test_what_gpg_armours_is_what_it_writes_without(bench: Bench) -> None:
    words = ("--export", "--export-options", "export-minimal", "ann")
    armored = bench.home.gpg("--armor", *words).decode()
    assert dearmor(armored, "PUBLIC KEY BLOCK") == bench.home.public("ann")
