"""The verbs that keep secrets in a person's clone; what is typed is written nowhere but encrypted."""

import contextlib
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from config_tree import KEY, VALID
from git_cli import commit, git_ok
from secret_documents import Key, make_key

from mftgit.adapters import age
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.cli.main import run_verb
from mftgit.model.configuration.config import Role
from mftgit.model.documents.document import Document, parse_document
from mftgit.model.names import MemberName, SecretName
from mftgit.model.secrets.document import build_secret
from mftgit.model.secrets.value import MAX_VALUE_BYTES, unwrap
from mftgit.resources import load_schemas

pytestmark = pytest.mark.needs("git")

PLANTED = "planted-hunter2"
PATH = "secrets/partner.yaml"
SFTP = f"type: sftp\nhost: h.example\nusername: u\nhost_keys: [{KEY}]\nauth: [{{password: {{secret: partner}}}}]\n"


class Desk:
    """A clone in which a location names the secret "partner", the keys of two nodes and of Ann, and a keyboard."""

    def __init__(self, folder: Path, told: pytest.CaptureFixture[str]) -> None:
        self.keys = {name: make_key(folder, name) for name in ("node-1", "node-2", "ann")}
        self.clone = folder / "clone"
        self.clone.mkdir()
        self._told = told
        git_ok(self.clone, "init", "--quiet", "--initial-branch", "main")
        files: dict[str, str | bytes] = {
            **VALID,
            "locations/outbox.yaml": SFTP,
            "cluster.yaml": f"name: acme\nage: {{operators: {{ann: {self.key('ann').public}}}}}\n",
        }
        for name in ("node-1", "node-2"):
            path = f"members/{name}.yaml"
            files[path] = VALID[path] + f"age_recipient: {self.key(name).public}\n"
        commit(self.clone, files, "Begin")

    def key(self, name: str) -> Key:
        return self.keys[name]

    def write(self, path: str, text: str) -> None:
        (self.clone / path).write_text(text, encoding="utf-8")

    def run(self, *words: str, code: int = 0) -> str:
        """Run a verb in the clone; return all that it printed, which never holds the secret."""
        self._told.readouterr()
        assert run_verb(words) == code, self._told.readouterr()
        told = "".join(self._told.readouterr())
        assert PLANTED not in told
        assert PLANTED.encode() not in b"".join(
            path.read_bytes() for path in self.clone.rglob("*") if path.is_file()
        )
        return told

    def secret(self, *words: str, code: int = 0) -> str:
        return self.run("secret", *words, code=code)

    def readable(self, name: str, path: str = PATH) -> str | None:
        """Return the value of a secret as the owner of a key reads it."""
        document = parse_document(path, (self.clone / path).read_bytes())
        assert isinstance(document, Document), document
        found = build_secret(SecretName("partner"), document.value)
        try:
            return unwrap(path, age.Identity(self.key(name).path).decrypt(found.value)).reveal()
        except age.NotForUsError:
            return None


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Desk:
    made = Desk(tmp_path, capfd)
    monkeypatch.chdir(made.clone)
    return made


Types = Callable[[str | bytes], None]


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Types:
    """Give text to standard input."""

    def give(text: str | bytes) -> None:
        content = text if isinstance(text, bytes) else text.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))

    return give


@pytest.fixture
def known(desk: Desk, types: Types) -> Desk:
    """The desk, with the secret set."""
    types(PLANTED)
    desk.secret("set", "partner")
    return desk


def editor(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Let EDITOR be a shell script that is called with the file."""
    path = folder / "editor.sh"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(path))


# set and rotate


def test_a_secret_that_was_set_is_for_those_who_need_it_and_makes_the_clone_valid(
    desk: Desk, types: Types
) -> None:
    types(PLANTED)
    told = desk.secret("set", "partner")
    assert f"{PATH} is encrypted to member node-1, member node-2, operator ann" in told
    assert f"add {PATH}" in told
    assert {name: desk.readable(name) for name in desk.keys} == dict.fromkeys(desk.keys, PLANTED)
    assert "valid" in desk.run("validate", ".")


def test_a_value_that_is_typed_is_not_echoed_and_asked_for_twice(desk: Desk) -> None:
    terminal, other_end = pty.openpty()
    words = [sys.executable, "-m", "mftgit", "secret", "set", "partner"]
    with subprocess.Popen(
        words, stdin=other_end, stdout=other_end, stderr=other_end, start_new_session=True
    ) as typing:
        os.close(other_end)
        shown = b""
        for prompts in (1, 2):
            while shown.count(b":") < prompts:
                shown += os.read(terminal, 1024)
            os.write(terminal, PLANTED.encode() + b"\n")
        with contextlib.suppress(OSError):  # how a terminal says that nobody holds its other end
            while more := os.read(terminal, 1024):
                shown += more
    os.close(terminal)
    assert typing.returncode == 0, shown
    assert PLANTED.encode() not in shown
    assert desk.readable("ann") == PLANTED


def test_a_secret_is_set_once_and_rotated_after(known: Desk, types: Types) -> None:
    types("other")
    assert "mftgit secret rotate partner" in known.secret("set", "partner", code=1)
    known.write(PATH, "description: For the bank\n" + (known.clone / PATH).read_text("utf-8"))
    types("other")
    known.secret("rotate", "partner")
    assert known.readable("node-1") == "other"
    assert (known.clone / PATH).read_text("utf-8").startswith('description: "For the bank"\n')
    assert "there is no secret 'x': there is partner" in known.secret("rotate", "x", code=1)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        (b"", "is empty"),
        (b"x" * (MAX_VALUE_BYTES + 2), "at most 65,536"),
        (PLANTED.encode() + b"\xff", "not text in UTF-8"),
    ],
)
def test_what_can_be_no_secret_is_refused(desk: Desk, types: Types, typed: bytes, why: str) -> None:
    types(typed)
    assert why in desk.secret("set", "partner", code=2)
    assert not (desk.clone / PATH).exists()


def test_a_secret_that_nobody_could_read_is_not_written(desk: Desk, types: Types) -> None:
    desk.write("cluster.yaml", "name: acme\n")
    types(PLANTED)
    assert "nobody could read secrets/spare.yaml" in desk.secret("set", "spare", code=2)


def test_while_it_is_not_clear_who_may_read_nothing_is_encrypted(desk: Desk, types: Types) -> None:
    desk.write("members/node-2.yaml", "role: nod\n")
    types(PLANTED)
    told = desk.secret("set", "partner", code=2)
    assert "who may read is not clear:\nmembers/node-2.yaml:1:7:" in told.replace("mftgit: ", "")


def test_a_bare_repository_holds_no_work_tree_to_write_to(
    desk: Desk, types: Types, tmp_path: Path
) -> None:
    git_ok(tmp_path, "init", "--quiet", "--bare", "bare")
    types(PLANTED)
    assert "has no work tree" in desk.secret("set", "partner", str(tmp_path / "bare"), code=2)


def test_more_recipients_than_a_secret_takes_are_told(desk: Desk, types: Types) -> None:
    for number in range(200):
        public = make_key(desk.clone.parent, f"n{number}").public
        desk.write(f"members/n-{number}.yaml", f"role: node\nage_recipient: {public}\n")
    types(PLANTED)
    assert "203 recipients; at most 200" in desk.secret("set", "partner", code=2)


# edit


def test_an_editor_changes_a_secret_in_a_file_in_memory_that_is_gone_after(
    known: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = f'stat -c \'%n %a\' "$1" > {tmp_path}/seen; cp "$1" "$1~"; sed -i s/hunter2/hunter3/ "$1"; echo >> "$1"'
    editor(monkeypatch, tmp_path, script)
    known.secret("edit", "partner", "--identity", str(known.key("ann").path))
    assert known.readable("node-2") == "planted-hunter3"
    name, mode = (tmp_path / "seen").read_text("utf-8").split()
    assert name.startswith("/dev/shm/mftgit-")
    assert mode == "600"
    assert not Path(name).parent.exists()


def test_what_an_editor_leaves_as_it_was_is_not_encrypted_anew(
    known: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    document = (known.clone / PATH).read_bytes()
    editor(monkeypatch, tmp_path, 'echo >> "$1"')  # as vi does
    told = known.secret("edit", "partner", "--identity", str(known.key("node-1").path))
    assert f"{PATH} is as it was." in told
    assert (known.clone / PATH).read_bytes() == document


@pytest.mark.parametrize(
    ("script", "code", "why"),
    [
        ("exit 3", 1, "ended with 3: nothing is changed"),
        ('printf "\\377" > "$1"', 2, "not text in UTF-8"),
        (': > "$1"', 2, "is empty"),
        ('rm "$1"', 2, "No such file"),
    ],
)
def test_an_editor_that_fails_changes_nothing_and_leaves_nothing(
    known: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, code: int, why: str
) -> None:
    editor(monkeypatch, tmp_path, f'echo "$1" > {tmp_path}/seen; {script}')
    told = known.secret("edit", "partner", "--identity", str(known.key("ann").path), code=code)
    assert why in told
    assert known.readable("ann") == PLANTED
    name = (tmp_path / "seen").read_text("utf-8").strip()
    assert name.startswith("/dev/shm/mftgit-")
    assert not Path(name).parent.exists()


def test_an_editor_that_is_not_there_is_told(known: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "/no/such/editor")
    told = known.secret("edit", "partner", "--identity", str(known.key("ann").path), code=2)
    assert "/no/such/editor: No such file or directory: set EDITOR" in told


@pytest.mark.parametrize(("words", "why"), [('"', "cannot be read"), (" ", "names no program")])
def test_an_editor_that_is_no_command_is_told(
    known: Desk, monkeypatch: pytest.MonkeyPatch, words: str, why: str
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", words)
    told = known.secret("edit", "partner", "--identity", str(known.key("ann").path), code=2)
    assert f"the editor {words!r} {why}" in told
    assert "set EDITOR" in told


# rekey


def test_rekeying_lets_in_who_came_and_shuts_out_who_left(known: Desk, tmp_path: Path) -> None:
    known.keys["node-3"] = make_key(tmp_path, "node-3")
    known.write("members/node-3.yaml", f"role: node\nage_recipient: {known.key('node-3').public}\n")
    (known.clone / "members/node-2.yaml").unlink()
    assert "not encrypted to all members that need it: node-3" in known.run("validate", ".", code=2)
    told = known.secret("rekey", "--identity", str(known.key("ann").path))
    assert "encrypted to member node-1, member node-3, operator ann" in told
    found = {name: known.readable(name) for name in known.keys}
    assert found == {"node-1": PLANTED, "node-2": None, "node-3": PLANTED, "ann": PLANTED}
    document = (known.clone / PATH).read_bytes()
    known.secret("rekey", "--identity", str(known.key("ann").path))
    assert (known.clone / PATH).read_bytes() == document
    known.secret("rekey", "--all", "--identity", str(known.key("node-3").path))
    assert (known.clone / PATH).read_bytes() != document


def test_rekeying_with_a_key_that_opens_nothing_changes_nothing_and_says_so(
    known: Desk, tmp_path: Path
) -> None:
    document = (known.clone / PATH).read_bytes()
    eve = make_key(tmp_path, "eve")
    told = known.secret("rekey", "--all", "--identity", str(eve.path), code=1)
    assert f"{PATH} cannot be read with {eve.public}" in told
    assert (known.clone / PATH).read_bytes() == document


def test_rekeying_passes_over_what_no_location_names_while_there_is_no_operator(
    known: Desk,
) -> None:
    known.write("cluster.yaml", "name: acme\n")
    known.write("locations/outbox.yaml", SFTP.replace("secret: partner", "file: partner"))
    document = (known.clone / PATH).read_bytes()
    told = known.secret("rekey", "--identity", str(known.key("ann").path))
    assert f"{PATH} is left as it is: nothing names it" in told
    assert (known.clone / PATH).read_bytes() == document


def test_what_needs_a_key_asks_for_one_and_takes_that_of_a_member(known: Desk) -> None:
    assert "--identity FILE, or --dir DIR" in known.secret("rekey", code=2)
    folder = known.key("node-1").path.parent
    known.key("node-1").path.rename(folder / "age.key")
    known.secret("rekey", "--all", "--dir", str(folder))


def test_a_document_that_is_broken_or_json_is_told_and_left(known: Desk, types: Types) -> None:
    known.write("secrets/other.yaml", "recipients: []\n")
    before = (known.clone / PATH).read_bytes()
    told = known.secret("rekey", "--all", "--identity", str(known.key("ann").path), code=1)
    assert "secrets/other.yaml is not valid" in told
    assert (known.clone / PATH).read_bytes() != before
    broken, row = audit(known, code=1)
    assert broken["name"] == "other"
    assert "secrets/other.yaml is not valid" in broken["error"]
    assert row["missing"] == []
    assert "other: secrets/other.yaml is not valid" in known.secret("audit", code=1)
    (known.clone / "secrets/other.yaml").unlink()
    document = parse_document(PATH, (known.clone / PATH).read_bytes())
    assert isinstance(document, Document)
    known.write("secrets/partner.json", json.dumps(document.value))
    (known.clone / PATH).unlink()
    types("other")
    assert "call it secrets/partner.yaml" in known.secret("rotate", "partner", code=2)


# audit


def audit(desk: Desk, code: int = 0) -> Any:
    value = json.loads(desk.secret("audit", "--json", code=code))
    jsonschema.Draft202012Validator(load_schemas()["output-secret-audit"]).validate(value)
    return value["secrets"]


def test_an_audit_tells_who_reads_who_should_and_who_changed_it(
    known: Desk, types: Types, tmp_path: Path
) -> None:
    (row,) = audit(known)
    assert row["commit"] is None
    assert [each["who"] for each in row["readers"]] == [
        "member node-1", "member node-2", "operator ann",
    ]  # fmt: skip
    commit(known.clone, {}, "Keep the secret")
    (row,) = audit(known)
    assert row["commit"]["revision"] == git_ok(known.clone, "rev-parse", "HEAD")
    assert row["commit"]["author"] == "Ann Example <ann@example.org>"
    assert (row["used"], row["missing"]) == (True, [])
    known.keys["node-3"] = make_key(tmp_path, "node-3")
    known.write("members/node-3.yaml", f"role: node\nage_recipient: {known.key('node-3').public}\n")
    known.write("members/node-4.yaml", "role: node\n")
    (known.clone / "members/node-2.yaml").unlink()
    types("x")
    known.secret("set", "spare")
    partner, spare = audit(known, code=1)
    assert partner["missing"] == ["member node-3", "member node-4"]
    assert [(each["who"], each["needed"]) for each in partner["readers"]] == [
        ("member node-1", True),
        (None, False),
        ("operator ann", True),
    ]
    assert (spare["name"], spare["used"]) == ("spare", False)
    told = known.secret("audit", code=1)
    assert "by Ann Example" in told
    assert f"read by {known.key('node-2').public}, whom no document names" in told
    assert "cannot be read by member node-4, who needs it: rekey" in told
    assert "spare: changed" in told
    assert "not committed\n  nothing names it" in told


def test_an_audit_of_a_repository_without_a_commit_is_no_failure(
    known: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_ok(tmp_path, "init", "--quiet", "fresh")
    for folder in ("secrets", "members", "locations", "transfers"):
        (known.clone / folder).rename(tmp_path / "fresh" / folder)
    (known.clone / "cluster.yaml").rename(tmp_path / "fresh/cluster.yaml")
    monkeypatch.chdir(tmp_path / "fresh")
    known.clone = tmp_path / "fresh"
    assert audit(known)[0]["commit"] is None


# keys


def test_a_person_makes_a_key_that_no_file_gives_way_to(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "mine.key"
    told = desk.secret("keygen", str(path))
    assert f"age: {{operators: {{NAME: {age.Identity(path).recipients[0]}}}}}" in told
    assert "there already" in desk.secret("keygen", str(path), code=1)
    assert "cannot be written" in desk.secret("keygen", str(tmp_path / "no/key"), code=2)


def member_verb(desk: Desk, verb: str, folder: Path) -> Any:
    value = json.loads(desk.run("member", verb, "--dir", str(folder), "--json"))
    jsonschema.Draft202012Validator(load_schemas()[f"output-member-{verb}"]).validate(value)
    return value


def test_a_member_changes_its_key_without_a_gap(known: Desk, tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.prepare()
    folder.write_bootstrap(
        Bootstrap(
            name=MemberName("node-1"),
            role=Role.NODE,
            cluster_id="c",
            controller_url="https://127.0.0.1:1",
            files_root="/",
        )
    )
    first = member_verb(known, "recipient", folder.root)
    assert first == member_verb(known, "recipient", folder.root)
    assert f"age_recipient: {first['age_recipient']}" in known.run(
        "member", "recipient", "--dir", str(folder.root)
    )
    known.keys["node-1"] = Key(path=folder.age_key, public=first["age_recipient"])
    declare(known, first["age_recipient"])
    second = member_verb(known, "rotate-age-key", folder.root)["age_recipient"]
    assert known.readable("node-1") == PLANTED  # by the key before
    declare(known, second)
    assert age.Identity(folder.age_key).recipients == (second, first["age_recipient"])


def declare(desk: Desk, public: str) -> None:
    """Make this the key of node-1, and encrypt to it."""
    document = (desk.clone / "members/node-1.yaml").read_text("utf-8")
    desk.write("members/node-1.yaml", re.sub(r"age1\w+", public, document))
    desk.secret("rekey", "--identity", str(desk.key("ann").path))
    assert desk.readable("node-1") == PLANTED
