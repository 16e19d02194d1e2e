"""What is encrypted opens with the keys that it was encrypted to, and with no other."""

import os
import re
from pathlib import Path

import pytest
from secret_documents import Key, make_key

from mftgit.adapters import age
from mftgit.errors import ConfigError
from mftgit.model.names import SecretName
from mftgit.model.secrets.document import Secret, check_secret

PLANTED = "planted-hunter2"


def secret(value: str, count: int) -> Secret:
    recipients = tuple(f"age1{number}" for number in range(count))
    return Secret(name=SecretName("x"), recipients=recipients, changed="", value=value)


@pytest.fixture
def ann(tmp_path: Path) -> Key:
    return make_key(tmp_path, "ann")


@pytest.fixture
def bob(tmp_path: Path) -> Key:
    return make_key(tmp_path, "bob")


def test_each_recipient_can_decrypt_and_nobody_else(ann: Key, bob: Key, tmp_path: Path) -> None:
    text = age.encrypt(PLANTED.encode(), [ann.public, bob.public])
    assert PLANTED not in text
    for key in (ann, bob):
        assert age.Identity(key.path).decrypt(text) == PLANTED.encode()
    with pytest.raises(age.NotForUsError):
        age.Identity(make_key(tmp_path, "eve").path).decrypt(text)


def test_a_text_that_was_changed_does_not_open(ann: Key) -> None:
    text = age.encrypt(PLANTED.encode(), [ann.public])
    lines = text.splitlines()
    lines[-2] = lines[-2].swapcase()
    for wrong in ("\n".join(lines), text[: len(text) // 2], "", PLANTED):
        with pytest.raises(age.NotForUsError) as caught:
            age.Identity(ann.path).decrypt(wrong)
        assert PLANTED not in repr(caught.value)


@pytest.mark.parametrize("count", [1, 2, 200])
def test_what_age_writes_shows_how_many_can_read_it(ann: Key, count: int) -> None:
    value = age.encrypt(b"x", [ann.public] * count)
    assert list(check_secret(secret(value, count))) == []
    assert [each.pointer for each in check_secret(secret(value, count + 1))] == ["/recipients"]


def test_a_key_is_written_for_its_owner_alone_and_read_by_nobody_else(ann: Key) -> None:
    assert ann.path.stat().st_mode & 0o777 == 0o600
    assert age.Identity(ann.path).recipients == (ann.public,)
    ann.path.chmod(0o640)
    with pytest.raises(ConfigError, match=r"has mode 640.*chmod 600"):
        age.Identity(ann.path)


def test_a_new_key_comes_before_those_that_are_there_which_open_what_they_did(ann: Key) -> None:
    old = age.encrypt(PLANTED.encode(), [ann.public])
    assert age.ensure_identity(ann.path) == ann.public
    new = age.make_identity(ann.path)
    identity = age.Identity(ann.path)
    assert identity.recipients == (new, ann.public)
    assert age.ensure_identity(ann.path) == new
    for text in (old, age.encrypt(PLANTED.encode(), [new])):
        assert identity.decrypt(text) == PLANTED.encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "holds no key of age"),
        ("# only a comment\n", "holds no key of age"),
        ("AGE-SECRET-KEY-1PLANTED\n", "no key of age: expected AGE-SECRET-KEY-1…"),
        (PLANTED, "no key of age"),
    ],
)
def test_a_file_without_a_key_is_told_and_not_repeated(
    tmp_path: Path, content: str, why: str
) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(why)) as caught:
        age.Identity(path)
    assert "PLANTED" not in str(caught.value).upper().replace(str(tmp_path).upper(), "")


def test_a_key_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        age.Identity(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        age.Identity(tmp_path / "pipe")


def test_a_recipient_that_was_mistyped_is_told(ann: Key) -> None:
    wrong = ann.public[:-1] + ("q" if ann.public[-1] != "q" else "p")
    with pytest.raises(ConfigError, match="no public key of age: it was mistyped"):
        age.encrypt(b"x", [ann.public, wrong])
