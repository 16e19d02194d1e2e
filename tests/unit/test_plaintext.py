"""A secret in plain text is found whatever its key looks like, and is never repeated."""

import pytest
from config_tree import KEY, validate

from mftgit.model.documents.document import Document, parse_document
from mftgit.model.documents.plaintext import find_plaintext, is_secret
from mftgit.model.documents.problem import format_problem

PLANTED = "hunter2Xy"

SECRET = "hunter2-hunter2"


def pointers(text: str) -> list[str]:
    document = parse_document("x.yaml", text.encode())
    assert isinstance(document, Document), document
    found = list(find_plaintext(document.value, document.positions()))
    assert not any(SECRET in str(problem) for problem in found)
    return [problem.pointer for problem in found]


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "PASSWORD",
        "Passphrase",
        "pass-phrase",
        "secret",
        "client_secret",
        "client-secret",
        "clientSecret",
        "token",
        "tokens",
        "api_key",
        "api-key",
        "APIKEY",
        "private_key",
        "Private-Key",
        "partner_password",
        "totp",
    ],
)
def test_a_text_under_a_password_like_key_is_a_secret(key: str) -> None:
    assert pointers(f"{key}: {SECRET}") == [f"/{key}"]
    assert pointers(f"a: [{{{key}: [x: {SECRET}]}}]") == [f"/a/0/{key}/0/x"]
    assert pointers(f"{key}: 12345") == [f"/{key}"]
    assert is_secret(["a", key, "b"])


@pytest.mark.parametrize(
    "key", ["password_file", "tokenizer", "secretary", "keys", "key", "passwords_are_here"]
)
def test_a_key_that_only_sounds_alike_is_none(key: str) -> None:
    assert pointers(f"{key}: x") == []


@pytest.mark.parametrize("value", ["", "~", "true", "[]", "{}", '""'])
def test_nothing_under_a_password_like_key_is_no_secret(value: str) -> None:
    assert pointers(f"password: {value}") == []


def test_a_reference_to_a_file_or_a_document_is_no_secret() -> None:
    assert pointers("auth: [{password: {file: partner.password}}]") == []
    assert pointers("auth: [{password: {secret: partner-password}}]") == []
    assert pointers("auth: [{private_key: {file: k}, passphrase: {secret: p}}]") == []
    assert pointers("auth: [{private_key: {file: k}, certificate: {secret: c}}]") == []
    assert pointers("auth: [{private_key: {file: k}, certificate: ssh-rsa-cert AAAA}]") == []
    assert pointers(f"auth: [{{certificate: {{secret: {SECRET}, file: x}}}}]") == [
        "/auth/0/certificate/secret"
    ]
    assert pointers("login: {password: {secret: p}, totp: {secret: t}}") == []
    assert pointers("host_keys: [{secret: k}, {file: k}]") == []
    assert pointers(f"host_keys: [{{secret: {SECRET}, file: x}}]") == ["/host_keys/0/secret"]
    assert pointers(f"host_keys: {{a: {{secret: {SECRET}}}}}") == ["/host_keys/a/secret"]
    assert pointers(f"a: {{secret: {SECRET}}}") == ["/a/secret"]
    assert pointers(f"password: {{secret: x, value: {SECRET}}}") == [
        "/password/secret",
        "/password/value",
    ]


def test_only_a_reference_and_nothing_beside_it_passes() -> None:
    assert pointers(f"password: {{file: x, value: {SECRET}}}") == [
        "/password/file",
        "/password/value",
    ]
    assert pointers(f"token: {{password: {{file: {SECRET}}}}}") == ["/token/password/file"]
    assert pointers(f"token: [{{file: {SECRET}}}]") == ["/token/0/file"]
    assert pointers(f"token: {{a: {{file: {SECRET}}}}}") == ["/token/a/file"]


def test_a_private_key_is_found_anywhere() -> None:
    assert pointers("a: AGE-SECRET-KEY-1QQQ") == ["/a"]
    assert pointers("a: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  x\n") == ["/a"]
    assert pointers('private_key: {file: "-----BEGIN RSA PRIVATE KEY-----"}') == [
        "/private_key/file"
    ]


@pytest.mark.parametrize(
    "auth",
    [
        PLANTED,
        f"[{PLANTED}]",
        f"[{{passwort: {PLANTED}}}]",
        f"[{{password: {{file: '{PLANTED} {{{{ x'}}}}]",
        f"[{{password: {{secret: '{PLANTED} !'}}}}]",
    ],
)
def test_what_stands_below_auth_by_mistake_is_told_and_not_repeated(auth: str) -> None:
    location = f"type: sftp\nhost: h.example\nusername: u\nhost_keys: [{KEY}]\nauth: {auth}\n"
    problems = validate({"locations/outbox.yaml": location}).problems
    assert problems
    assert PLANTED not in "\n".join(map(format_problem, problems))


@pytest.mark.parametrize(
    "text",
    [f"changed: {PLANTED}", f"recipients: {PLANTED}", f"recipients: [{PLANTED}]",
     f"description: [{PLANTED}]", f"value: {{a: {PLANTED}}}", f"- {PLANTED}", PLANTED],
)  # fmt: skip
def test_what_stands_in_a_secret_by_mistake_is_told_and_not_repeated(text: str) -> None:
    problems = validate({"secrets/x.yaml": f"{text}\n"}).problems
    assert problems
    assert PLANTED not in "\n".join(map(format_problem, problems))
