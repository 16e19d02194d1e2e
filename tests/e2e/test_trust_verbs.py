"""The verbs that say who may sign, in a clone, and what they tell scripts."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cluster import mftgit
from git_cli import commit, git_ok
from gpg_keys import GpgHome, commit_by_gpg, gpg_home
from signing import KeyPair, make_key, signing_settings

from mftgit.model.trust.trust import Outcome
from mftgit.resources import load_schemas

pytestmark = pytest.mark.needs("ssh-keygen")

REQUIRED = "name: acme\ntrust:\n  require_signatures: true\n"


def said(*words: str | Path, cwd: Path, name: str) -> Any:
    """Return what a verb prints for scripts, which has to be as documented; it may refuse."""
    done = mftgit("trust", *words, "--json", cwd=cwd)
    assert done.returncode in {0, 1}, done.stderr
    value = json.loads(done.stdout)
    schema = load_schemas()[f"output-trust-{name}"]
    jsonschema.Draft202012Validator(schema).validate(value)
    return value


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    git_ok(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, {"cluster.yaml": "name: acme\n"})
    return folder


@pytest.fixture
def ann(tmp_path: Path) -> KeyPair:
    return make_key(tmp_path, "ann")


def pub(key: KeyPair) -> Path:
    return key.file.with_suffix(".pub")


def signers(work: Path) -> str:
    return (work / "trust/allowed_signers").read_text(encoding="utf-8")


def test_a_signer_that_was_added_is_listed_and_git_takes_its_signature(
    work: Path, ann: KeyPair
) -> None:
    assert said("list", ".", cwd=work, name="list") == {
        "required": False,
        "signers": [],
        "revoked": [],
    }
    done = mftgit("trust", "add", "ann@example.org", pub(ann), cwd=work)
    assert done.returncode == 0, done.stderr
    commit(work, {"cluster.yaml": REQUIRED})
    (listed,) = said("list", work, cwd=work.parent, name="list")["signers"]
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", pub(ann)], capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout  # fmt: skip
    assert listed["fingerprint"] == shown.split()[1]
    assert (listed["principals"], listed["namespaces"], listed["line"]) == (
        ["ann@example.org"],
        ["git"],
        1,
    )
    told = mftgit("trust", "list", cwd=work).stdout
    assert told.startswith("signatures are required\nann@example.org  ssh-ed25519  SHA256:")
    assert mftgit("validate", ".", cwd=work).returncode == 0
    git_ok(work, *signing_settings(ann), "commit", "--quiet", "--allow-empty", "-S", "-m", "x")
    git_ok(work, "-c", "gpg.ssh.allowedSignersFile=trust/allowed_signers", "verify-commit", "HEAD")


def test_a_key_is_added_once_and_only_when_it_is_a_good_public_one(
    work: Path, ann: KeyPair, tmp_path: Path
) -> None:
    def add(principal: str, file: Path) -> tuple[int, str]:
        done = mftgit("trust", "add", principal, file, ".", cwd=work)
        return done.returncode, done.stderr

    code, told = add("ann", ann.file)
    assert (code, f"{ann.file} is a private key" in told, f"{pub(ann)}" in told) == (2, True, True)
    for principal in ("an n", "", "a,b", '"ann"', "#ann", "!ann", "a\u202eb"):
        code, told = add(principal, pub(ann))
        assert (code, "does not name a signer" in told) == (2, True)
    (tmp_path / "two").write_text(f"{ann.public}\n{ann.public}\n", encoding="utf-8")
    code, told = add("ann", tmp_path / "two")
    assert (code, f"{tmp_path / 'two'} holds 2 keys: expected one" in told) == (2, True)
    (tmp_path / "none").write_text("ssh-ed25519 nonsense\n", encoding="utf-8")
    code, told = add("ann", tmp_path / "none")
    assert (code, f"{tmp_path / 'none'}:1:1: this is no public key" in told) == (2, True)
    assert add("ann", tmp_path / "missing")[0] == 2
    assert not (work / "trust").exists()
    assert add("ann", pub(ann))[0] == 0
    code, told = add("bob", pub(ann))
    assert (code, told) == (
        1,
        "mftgit: trust/allowed_signers:1: the key is there already, as that of ann\n",
    )
    eve = make_key(tmp_path, "eve")
    (work / "trust/revoked_keys").write_text(eve.public, encoding="utf-8")
    code, told = add("eve", pub(eve))
    assert (code, "trust/revoked_keys revokes this key" in told) == (1, True)
    assert signers(work).count("\n") == 1


def test_who_is_removed_leaves_the_others_as_they_were(
    work: Path, ann: KeyPair, tmp_path: Path
) -> None:
    bob, cid = make_key(tmp_path, "bob"), make_key(tmp_path, "cid")
    before = (
        "# the team\n"
        + ann.line("ann")
        + bob.line("ann,bob,!x", 'namespaces="git"')
        + cid.line('"ann,Cid C"')
        + ann.line("ann,!eve")
        + bob.line("annie")[:-1]
    )
    commit(work, {"trust/allowed_signers": before})
    assert mftgit("trust", "remove", "ann", cwd=work).returncode == 0
    assert signers(work) == (
        "# the team\n"
        + bob.line("bob,!x", 'namespaces="git"')
        + cid.line('"Cid C"')
        + bob.line("annie")[:-1]
    )
    done = mftgit("trust", "remove", "ann", ".", cwd=work)
    lists = "trust/allowed_signers and trust/gpg_signers"
    assert (done.returncode, done.stderr) == (
        1,
        f"mftgit: {lists} do not name 'ann': they name !x, Cid C, annie, bob\n",
    )


def test_a_list_that_cannot_be_relied_on_is_told_and_not_touched(work: Path, ann: KeyPair) -> None:
    commit(work, {"trust/allowed_signers": "ann\n"})
    for words in (("list",), ("add", "ann", pub(ann)), ("remove", "ann")):
        done = mftgit("trust", *words, cwd=work)
        assert done.returncode == 2
        assert "trust/allowed_signers:1:1: the line is not whole" in done.stderr
    assert signers(work) == "ann\n"


@pytest.fixture(scope="module")
def gpg() -> Iterator[GpgHome]:
    with gpg_home() as home:
        home.make("bob")
        yield home


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("options", [(), ("--armor",)])
def test_a_gpg_key_is_added_listed_counts_and_is_removed(
    work: Path, ann: KeyPair, gpg: GpgHome, tmp_path: Path, options: tuple[str, ...]
) -> None:
    file = tmp_path / "bob.gpg"
    file.write_bytes(gpg.gpg("--export", *options, "bob"))
    for principal, key, list_ in (
        ("ann", pub(ann), "allowed_signers"),
        ("bob", file, "gpg_signers"),
        ("both", pub(make_key(tmp_path, "both")), "allowed_signers"),
    ):
        done = mftgit("trust", "add", principal, key, cwd=work)
        assert done.returncode == 0, done.stderr
        assert f"git -C . add trust/{list_} &&" in done.stdout
    listed = said("list", work, cwd=work, name="list")["signers"]
    assert [(each["file"], each["line"], each["principals"]) for each in listed] == [
        ("trust/allowed_signers", 1, ["ann"]),
        ("trust/allowed_signers", 2, ["both"]),
        ("trust/gpg_signers", 1, ["bob"]),
    ]
    fingerprint = gpg.fingerprints("bob")[0]
    assert (listed[2]["kind"], listed[2]["fingerprint"]) == ("openpgp", fingerprint)
    assert f"\nbob  openpgp  {fingerprint}\n" in mftgit("trust", "list", cwd=work).stdout
    commit(work, {"cluster.yaml": REQUIRED})
    assert mftgit("validate", ".", cwd=work).returncode == 0
    git_ok(work, "tag", "published")
    commit_by_gpg(work, gpg, "bob")
    (one,) = said("verify", "published..HEAD", cwd=work, name="verify")["commits"]
    assert (one["outcome"], one["principals"], one["fingerprint"]) == (
        "signed",
        ["bob"],
        fingerprint,
    )
    done = mftgit("trust", "remove", "bob", cwd=work)
    assert "git -C . add trust/gpg_signers cluster.yaml &&" in done.stdout
    assert (work / "trust/gpg_signers").read_text(encoding="utf-8") == ""
    assert signers(work).count("\n") == 2


@pytest.mark.needs("gpg")
def test_a_gpg_key_is_added_once_and_only_when_it_is_a_good_public_one(
    work: Path, gpg: GpgHome, tmp_path: Path
) -> None:
    def add(content: bytes) -> tuple[int, str]:
        file = tmp_path / "key"
        file.write_bytes(content)
        done = mftgit("trust", "add", "bob", file, cwd=work)
        return done.returncode, done.stderr

    public = gpg.public("bob")
    bare = public[: public.index(b"bob <bob@") - 2]
    for content, told in (
        (gpg.gpg("--export-secret-keys", "bob"), "secret key"),
        (gpg.gpg("--armor", "--export-secret-keys", "bob"), "BEGIN PGP PUBLIC KEY BLOCK"),
        (public + public, "expected one OpenPGP public key"),
        (public[:-1], "cut off"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\xff", "utf-8"),
        (bare, "gpg does not take this key"),
    ):
        code, text = add(content)
        assert (code, told in text, str(tmp_path / "key") in text) == (2, True, True), text
    assert not (work / "trust").exists()
    assert add(public)[0] == 0
    code, text = add(public)
    assert (code, "trust/gpg_signers:1: the key is there already" in text) == (1, True)
    line = (work / "trust/gpg_signers").read_text(encoding="utf-8")
    commit(work, {"trust/gpg_signers": "", "trust/gpg_revoked_keys": line.split(" ", 2)[2]})
    code, text = add(public)
    assert (code, "trust/gpg_revoked_keys revokes this key" in text) == (1, True)


def test_a_folder_that_is_no_clone_is_refused(tmp_path: Path) -> None:
    done = mftgit("trust", "list", tmp_path, cwd=tmp_path)
    assert (done.returncode, "is not the top of a git repository" in done.stderr) == (2, True)


def test_a_range_is_judged_as_the_gate_judges_a_push(
    work: Path, ann: KeyPair, tmp_path: Path
) -> None:
    def sign(key: KeyPair, files: dict[str, str | bytes]) -> None:
        commit(work, files)
        amend = ("commit", "--quiet", "--amend", "--no-edit", "-S")
        git_ok(work, *signing_settings(key), *amend)

    eve = make_key(tmp_path, "eve")
    commit(work, {"cluster.yaml": REQUIRED, "trust/allowed_signers": ann.line()})
    git_ok(work, "tag", "published")
    sign(ann, {"a": "1"})
    assert said("verify", "HEAD~2..published", cwd=work, name="verify")["required"] is False
    told = mftgit("trust", "verify", "HEAD~2..HEAD~1", cwd=work)
    assert (told.returncode, "signatures are not required" in told.stdout) == (0, True)
    good = said("verify", "published..HEAD", cwd=work, name="verify")
    assert (good["accepted"], [each["outcome"] for each in good["commits"]]) == (True, ["signed"])
    told = mftgit("trust", "verify", "published..HEAD", ".", cwd=work)
    assert told.returncode == 0
    assert "is signed (SHA256:" in told.stdout
    assert ") by ann@example.org\npublished..HEAD: signed as required\n" in told.stdout
    commit(work, {"b": "1"})
    sign(eve, {"trust/allowed_signers": ann.line() + eve.line()})
    bad = said("verify", "published..HEAD", cwd=work, name="verify")
    assert bad["accepted"] is False
    assert [each["outcome"] for each in bad["commits"]] == ["not-allowed", "unsigned", "signed"]
    told = mftgit("trust", "verify", "published..main", cwd=work)
    assert told.returncode == 1
    assert "is not signed\n" in told.stdout
    assert "published..main: the gate would refuse this" in told.stdout


@pytest.mark.parametrize(
    "range_",
    ["HEAD", "..HEAD", "HEAD..", "HEAD...HEAD", "nope..HEAD", "HEAD..--all", "--all..HEAD"],
)
def test_what_is_no_range_of_commits_is_wrong_usage(work: Path, range_: str) -> None:
    done = mftgit("trust", "verify", "--", range_, cwd=work)
    assert done.returncode == 2
    assert "A..B" in done.stderr or "there is no commit" in done.stderr


def test_the_outcomes_that_scripts_read_are_those_that_there_are() -> None:
    commits = load_schemas()["output-trust-verify"]["properties"]["commits"]
    known = commits["items"]["properties"]["outcome"]["enum"]
    assert known == [each.value for each in Outcome]


def test_while_signatures_are_required_the_verbs_number_the_list_anew(
    work: Path, ann: KeyPair, tmp_path: Path
) -> None:
    commit(work, {"cluster.yaml": f"{REQUIRED}# end\n", "trust/allowed_signers": ann.line("ann")})
    bob = make_key(tmp_path, "bob")
    done = mftgit("trust", "add", "bob", pub(bob), cwd=work)
    assert "git -C . add trust/allowed_signers cluster.yaml &&" in done.stdout
    numbered = "name: acme\ntrust:\n  version: {}\n  require_signatures: true\n# end\n"
    assert (work / "cluster.yaml").read_text(encoding="utf-8") == numbered.format(1)
    done = mftgit("trust", "remove", "bob", cwd=work)
    assert done.returncode == 0, done.stderr
    assert (work / "cluster.yaml").read_text(encoding="utf-8") == numbered.format(1)  # one push
    commit(work, {})
    done = mftgit("trust", "remove", "ann", cwd=work)
    assert "cluster.yaml" in done.stdout
    assert (work / "cluster.yaml").read_text(encoding="utf-8") == numbered.format(2)
    (work / "cluster.yaml").write_text("name: acme\ntrust: {}\n", encoding="utf-8")
    done = mftgit("trust", "add", "ann", pub(ann), cwd=work)
    assert done.returncode == 2
    assert "cluster.yaml: write trust.version: 2 there by hand" in done.stderr
