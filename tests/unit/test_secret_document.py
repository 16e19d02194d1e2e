"""The document of a secret says to whom it is encrypted, and nothing else passes for one."""

import base64
import re

import pytest
from config_tree import validate
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.documents.document import Document, parse_document
from mftgit.model.names import SecretName
from mftgit.model.secrets.document import ARMOR, Secret, build_secret, check_secret, format_secret

NAME = SecretName("partner")
PATH = "secrets/partner.yaml"
KEYS = tuple(f"age1{letter * 58}" for letter in "qpzr")
PLANTED = "hunter2-hunter2"


def armored(
    *kinds: str, start: str = "age-encryption.org/v1", end: str = "--- mac", row: int = 64
) -> str:
    lines = [start, *(f"-> {kind} argument\nbody" for kind in kinds), end]
    content = base64.b64encode("\n".join(lines).encode() + b"\n\x00\xffpayload").decode()
    rows = "\n".join(content[at : at + row] for at in range(0, len(content), row))
    return f"{ARMOR}{rows}\n-----END AGE ENCRYPTED FILE-----\n"


def secret(value: str, recipients: int = 1, description: str | None = None) -> Secret:
    return Secret(
        name=NAME,
        recipients=KEYS[:recipients],
        changed="2026-11-24T15:00:00Z",
        value=value,
        description=description,
    )


SOUND = secret(armored("X25519"))


@given(
    st.integers(1, 4),
    st.none() | st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=50),
)
def test_what_is_written_says_what_was_meant(recipients: int, description: str | None) -> None:
    meant = secret(armored(*["X25519"] * recipients), recipients, description)
    document = parse_document(PATH, format_secret(meant).encode())
    assert isinstance(document, Document), document
    assert build_secret(NAME, document.value) == meant
    assert list(check_secret(meant)) == []


def test_what_pads_the_header_is_no_recipient() -> None:
    assert list(check_secret(secret(armored("X25519", "a-grease")))) == []


@pytest.mark.parametrize(("kinds", "recorded"), [(1, 2), (2, 1), (0, 1), (201, 4)])
def test_another_number_of_recipients_than_the_header_has_is_a_problem(
    kinds: int, recorded: int
) -> None:
    (fault,) = check_secret(secret(armored(*["X25519"] * kinds), recorded))
    assert (fault.pointer, fault.rule) == ("/recipients", "secret")
    assert (
        fault.message == f"the value is encrypted to {kinds} recipients, but this names {recorded}"
    )
    assert "rekey" in fault.hint


def test_a_recipient_that_is_named_twice_hides_no_other() -> None:
    document = format_secret(secret(armored("X25519", "X25519"), 2))
    twice = document.replace(KEYS[1], KEYS[0])
    (problem,) = validate({PATH: twice}).problems
    assert problem.message == "the value is encrypted to 2 recipients, but this names 1"


@pytest.mark.parametrize("kind", ["scrypt", "ssh-ed25519", "mlkem768x25519"])
def test_a_key_of_another_kind_is_a_problem(kind: str) -> None:
    (fault,) = check_secret(secret(armored("X25519", kind)))
    assert (fault.pointer, fault.message) == ("/value", f"the value is encrypted to a {kind!r}")


@pytest.mark.parametrize(
    "value",
    [
        ARMOR,
        f"{ARMOR}YWdlé\n-----END AGE ENCRYPTED FILE-----\n",
        f"{ARMOR}not base64!\n-----END AGE ENCRYPTED FILE-----\n",
        armored("X25519").replace("-----END", "-----STOP"),
        armored("X25519", row=60),
        armored("X25519", row=1000),
        armored("X25519").replace("\n", "\n\n", 1),
        armored("X25519").replace("\n-----END", "\n\n-----END"),
        armored("X25519", start="age-encryption.org/v2"),
        armored("X25519", end="no mac"),
        armored("X25519").replace("\n", "\r", 2),
        armored("X25519", *["a-grease"] * 2000),
    ],
)
def test_a_value_that_age_did_not_write_is_a_problem(value: str) -> None:
    (fault,) = check_secret(secret(value))
    assert (fault.pointer, fault.message) == ("/value", "the value is not as age writes it")


def problems(text: str) -> list[tuple[str, str]]:
    found = validate({PATH: text}).problems
    assert not any(PLANTED in str(each) for each in found)
    return [(each.pointer, each.rule) for each in found]


def test_a_document_as_it_is_written_is_valid() -> None:
    assert problems(format_secret(SOUND)) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (r"(?s)value: .*", f"value: {PLANTED}\n", [("/value", "plaintext-secret")]),
        (r"(?s)value: .*", "value: 12345\n", [("/value", "plaintext-secret")]),
        (r"(?s)value: .*", "value: ''\n", [("/value", "form")]),
        (
            r"(?s)value: .*",
            f"value: [{PLANTED}]\n",
            [("/value", "type"), ("/value/0", "plaintext-secret")],
        ),
        (r"\Z", f"password: {PLANTED}\n", [("/password", "plaintext-secret")]),
        (r"\Z", f"a: {{b: {PLANTED}}}\n", [("/a/b", "plaintext-secret")]),
        (r"- age1\S+", "- AGE-SECRET-KEY-1QQQ", [("/recipients/0", "plaintext-secret")]),
        (r"- age1\S+", "- age1qqq", [("/recipients/0", "form")]),
        (r"(?s)recipients:.*changed", "recipients: []\nchanged", [("/recipients", "size")]),
        (r"changed: .*\n", "", [("", "missing-field")]),
        (r"changed: .*", "changed: yesterday", [("/changed", "form")]),
    ],
)
def test_what_is_no_encrypted_value_is_told_and_not_repeated(
    old: str, new: str, expected: list[tuple[str, str]]
) -> None:
    text = re.sub(old, new, format_secret(SOUND), count=1)
    found = problems(text)
    assert [each for each in found if each[1] != "unknown-field"] == expected
