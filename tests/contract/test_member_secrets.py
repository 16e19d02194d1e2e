"""A member decrypts what it needs before it runs it, and says where and why it cannot."""

import base64
from pathlib import Path
from typing import Any

import pytest
from config_tree import KEY, VALID, validate
from controller_site import controller_site
from secret_documents import Key, make_key, sealed

from mftgit.adapters import age
from mftgit.member.secrets import Unsealer
from mftgit.model.configuration.config import Generation, Role
from mftgit.model.configuration.plan import plan
from mftgit.model.configuration.render import render
from mftgit.model.configuration.rendered import InvalidConfigError
from mftgit.model.events.event import EventName
from mftgit.model.members.messages import MemberState
from mftgit.model.names import MemberName, SecretName
from mftgit.model.secrets.document import ARMOR

ONE = MemberName("node-1")
PARTNER = SecretName("partner")
PATH = "secrets/partner.yaml"
PLANTED = "planted-hunter2"
SFTP = f"type: sftp\nhost: h.example\nusername: u\nhost_keys: [{KEY}]\nauth: [{{password: {{secret: partner}}}}]\n"


class Member:
    """Node-1 of two, with its key, and what it makes of revisions."""

    def __init__(self, folder: Path) -> None:
        self.own, self.other = make_key(folder, "own"), make_key(folder, "other")
        self.unsealer = Unsealer(self.own.path)
        self.files: dict[str, str | bytes | None] = {
            "locations/outbox.yaml": SFTP,
            "members/node-1.yaml": f"role: node\nvariables: {{region: emea}}\nage_recipient: {self.own.public}\n",
            "members/node-2.yaml": f"role: node\nvariables: {{region: apac}}\nage_recipient: {self.other.public}\n",
        }

    def take_in(self, secret: str, *, fresh: bool = True, **others: str) -> Generation:
        """Return what the member runs with this document of the secret; the gate has to take it."""
        validation = validate({**self.files, PATH: secret, **others})
        assert validation.problems == ()
        generation = render(validation, ONE, Role.NODE)
        return self.unsealer.unseal(generation, validation.parts, fresh=fresh)

    def refusal(self, secret: str) -> str:
        with pytest.raises(InvalidConfigError) as caught:
            self.take_in(secret)
        (problem,) = caught.value.problems
        assert (problem.file, problem.pointer, problem.rule) == (PATH, "/value", "secret")
        assert problem.line > 1
        assert problem.hint
        assert PLANTED not in repr(caught.value) + repr(problem)
        return problem.message.removeprefix("this member cannot read the secret 'partner': ")


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path)


def both(member: Member) -> tuple[Key, Key]:
    return member.own, member.other


def test_a_member_has_the_value_in_memory_and_shows_it_to_nobody(member: Member) -> None:
    generation = member.take_in(sealed("partner", PLANTED, *both(member)))
    assert generation.secrets[PARTNER].reveal() == PLANTED
    assert PLANTED not in repr(generation)


def test_a_member_has_the_secrets_of_what_it_does_to_content(member: Member) -> None:
    path = "transfers/invoices.yaml"
    member.files |= {
        "locations/outbox.yaml": VALID["locations/outbox.yaml"],
        path: VALID[path] + "content: [{pgp_decrypt: {private_key: {secret: partner}}}]\n",
    }
    generation = member.take_in(sealed("partner", PLANTED, *both(member)))
    assert generation.secrets[PARTNER].reveal() == PLANTED
    lie = sealed("partner", PLANTED, member.other, member.other, recorded=both(member))
    assert "the value is not encrypted to it" in member.refusal(lie)


@pytest.mark.parametrize("named_by", ["service", "account"])
def test_a_member_has_the_secrets_of_services_and_of_accounts_that_may_use_them(
    member: Member, named_by: str
) -> None:
    secret = "{secret: partner}"
    host_key = secret if named_by == "service" else "{file: k}"
    password = secret if named_by == "account" else "{file: p}"
    member.files |= {
        "locations/outbox.yaml": VALID["locations/outbox.yaml"],
        "services/s.yaml": f"type: sftp\nactive_on: nodes\nlisten: {{port: 2022}}\nhost_keys: [{host_key}]\n",
        "accounts/a.yaml": f"home: {{location: inbox}}\nlogin: {{password: {password}}}\n",
    }
    generation = member.take_in(sealed("partner", PLANTED, *both(member)))
    assert generation.secrets[PARTNER].reveal() == PLANTED
    lie = sealed("partner", PLANTED, member.other, member.other, recorded=both(member))
    assert "the value is not encrypted to it" in member.refusal(lie)


def test_what_was_encrypted_anew_restarts_nothing_and_another_value_does(member: Member) -> None:
    before = member.take_in(sealed("partner", PLANTED, *both(member)))
    again = member.take_in(sealed("partner", PLANTED, *both(member)))
    assert not plan(before, again)
    other = member.take_in(sealed("partner", "another", *both(member)))
    assert [job.transfer.name for job in plan(before, other).change] == ["invoices"]


def test_a_document_that_has_not_changed_is_not_decrypted_again(member: Member) -> None:
    document = sealed("partner", PLANTED, *both(member))
    before = member.take_in(document)
    member.own.path.unlink()
    assert member.take_in(document) == before
    assert "cannot be read: No such file" in member.refusal(sealed("partner", "x", *both(member)))


def test_a_value_that_is_not_for_this_member_is_refused_whoever_the_document_names(
    member: Member,
) -> None:
    lie = sealed("partner", PLANTED, member.other, member.other, recorded=both(member))
    assert member.refusal(lie).startswith(
        f"{member.own.public} is among the recipients, but the value is not encrypted to it"
    )


def test_a_member_whose_key_is_not_the_declared_one_is_told_which_it_has(member: Member) -> None:
    member.own.path.unlink()
    fresh = age.make_identity(member.own.path)
    why = member.refusal(sealed("partner", PLANTED, *both(member)))
    assert why == f"it is not encrypted to {fresh}, the key of this member"


def test_what_was_run_before_starts_without_a_secret_that_does_not_open_any_more(
    member: Member,
) -> None:
    member.own.path.unlink()
    assert member.take_in(sealed("partner", PLANTED, *both(member)), fresh=False).secrets == {}


def test_a_value_that_was_moved_to_another_document_is_refused(member: Member) -> None:
    moved = sealed("partner", PLANTED, *both(member), path="secrets/other.yaml")
    assert "moved or copied here" in member.refusal(moved)


def test_a_key_that_others_can_read_is_not_used(member: Member) -> None:
    member.own.path.chmod(0o644)
    assert "chmod 600" in member.refusal(sealed("partner", PLANTED, *both(member)))


def test_the_secret_of_another_member_is_left_out_where_it_does_not_open(member: Member) -> None:
    member.files["locations/outbox.yaml"] = SFTP.replace("partner}", "'{{ region }}'}")
    # As after a change of key that not every secret has seen: the gate cannot tell.
    lie = sealed("apac", "x", member.other, member.other, recorded=both(member))
    documents: dict[str, Any] = {
        "secrets/emea.yaml": sealed("emea", PLANTED, *both(member)),
        "secrets/apac.yaml": lie,
    }
    generation = member.take_in(sealed("partner", "x", *both(member)), **documents)
    assert list(generation.secrets) == ["emea"]


def test_a_member_that_needs_no_secret_needs_no_key(member: Member) -> None:
    member.own.path.unlink()
    member.files["locations/outbox.yaml"] = VALID["locations/outbox.yaml"]
    assert member.take_in(sealed("partner", PLANTED, member.other)).secrets == {}


def test_a_node_that_refused_what_it_cannot_read_takes_it_once_its_key_is_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "keys").mkdir()
    key = make_key(tmp_path / "keys", "node-1")
    with controller_site(tmp_path) as site:
        node = site.node()
        node.folder.age_key.unlink(missing_ok=True)
        before = site.publish({})
        node.intake.resume()
        node.intake.look()
        assert node.intake.runs == before
        files = {
            **{path: VALID[path] for path in VALID if path.startswith(("loc", "tra"))},
            "locations/outbox.yaml": SFTP,
            "members/node-1.yaml": f"role: node\nage_recipient: {key.public}\n",
            PATH: sealed("partner", PLANTED, key),
        }
        revision = site.publish({path: text.encode() for path, text in files.items()})
        for _ in range(2):
            node.intake.look()
            assert (node.intake.state(), node.intake.runs) == (MemberState.REFUSED, before)
        assert f"{PATH}:4:8: this member cannot read" in str(node.intake.reason())
        key.path.rename(node.folder.age_key)
        node.intake.look()
        assert node.intake.runs == revision, node.intake.reason()
        generation = node.intake.generation
        assert generation is not None
        assert generation.secrets[PARTNER].reveal() == PLANTED
        for path in node.folder.root.rglob("*"):
            assert not path.is_file() or PLANTED.encode() not in path.read_bytes(), path


BROKEN = f"{ARMOR}YWdl\n-----END AGE ENCRYPTED FILE-----"


def test_a_revision_that_a_fault_of_mftgit_keeps_from_being_judged_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, decode = make_key(tmp_path, "key"), base64.b64decode

    def fail(text: str | bytes, *_: Any, **options: Any) -> bytes:
        if text == "YWdl":
            raise RuntimeError(PLANTED)
        return decode(text, **options)

    with controller_site(tmp_path) as site:
        good = site.publish({"members/node-1.yaml": b"role: node\n"})
        node = site.node()
        node.intake.resume()
        node.look()
        lines = (f"recipients: [{key.public}]", "changed: 2026-11-24T15:00:00Z", "value: |")
        text = "\n".join((*lines, *(f"  {each}" for each in BROKEN.splitlines())))
        site.publish({"members/node-1.yaml": b"role: node\n", "secrets/x.yaml": text.encode()})
        monkeypatch.setattr(base64, "b64decode", fail)
        for _ in range(2):
            node.look()
        assert (node.intake.state(), node.intake.runs) == (MemberState.REFUSED, good)
        assert "cannot be judged by this version of mftgit (RuntimeError; its log has more)" in str(
            node.intake.reason()
        )
        assert PLANTED not in str(node.intake.reason())
        assert len(node.told(EventName.REVISION_REFUSED)) == 1
