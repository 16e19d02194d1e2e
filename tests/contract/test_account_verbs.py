"""The verbs that make what accounts log in with."""

import base64
import io
import json
import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from typing import Any

import jsonschema
import pytest
import segno

from mftgit.adapters.passwords import MAX_PASSWORD_BYTES, PasswordChecker
from mftgit.cli.main import run_verb
from mftgit.model.inbound.password_hash import cost_of
from mftgit.model.inbound.totp import read_key
from mftgit.resources import load_schemas

PASSWORD = "pässword of alice"


class Piped(io.TextIOWrapper):
    """What comes by standard input."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")


class Desk:
    """Verbs with what is piped into them, and what they print."""

    def __init__(self, patch: pytest.MonkeyPatch, told: pytest.CaptureFixture[str]) -> None:
        self._patch = patch
        self._told = told

    def run(self, *words: str, piped: bytes = b"", code: int = 0) -> tuple[str, str]:
        self._patch.setattr(sys, "stdin", Piped(piped))
        self._told.readouterr()
        assert run_verb(["account", *words]) == code
        out, err = self._told.readouterr()
        return out, err

    def json(self, *words: str, piped: bytes = b"") -> Any:
        found = json.loads(self.run(*words, "--json", piped=piped)[0])
        schema = load_schemas()[f"output-account-{words[0]}"]
        jsonschema.Draft202012Validator(schema).validate(found)
        return found


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(monkeypatch, capsys)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_the_hash_of_a_password_is_printed_and_nothing_else(desk: Desk, ending: bytes) -> None:
    out, err = desk.run("hash-password", piped=PASSWORD.encode() + ending)
    assert err == ""
    hashed = out.removesuffix("\n")
    assert cost_of(hashed).passes == 3
    assert PasswordChecker().check(PASSWORD, hashed)


def test_a_hash_for_scripts_is_of_the_documented_shape(desk: Desk) -> None:
    assert (
        cost_of(desk.json("hash-password", piped=b"x")["hash"]).passes == 3
    )  # "account-hash-password"


@pytest.mark.parametrize(
    ("piped", "why"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"a\nb", "a line break"),
        (b"a\0b", "a control character"),
        (b"\xff", "not UTF-8"),
        (b"x" * (MAX_PASSWORD_BYTES + 1), "more than 1,024 bytes"),
        ("ä".encode() * MAX_PASSWORD_BYTES, "more than 1,024 bytes"),
    ],
)
def test_what_is_no_password_is_not_taken(desk: Desk, piped: bytes, why: str) -> None:
    out, err = desk.run("hash-password", piped=piped, code=2)
    assert out == ""
    assert why in err


def test_a_password_is_typed_twice_and_only_the_hash_goes_into_a_pipe() -> None:
    terminal, other_end = pty.openpty()
    words = [sys.executable, "-m", "mftgit", "account", "hash-password"]
    with subprocess.Popen(
        words, stdin=other_end, stdout=subprocess.PIPE, stderr=other_end, start_new_session=True
    ) as typing:
        os.close(other_end)
        shown = b""
        for prompts in (1, 2):
            while shown.count(b":") < prompts:
                shown += os.read(terminal, 1024)
            os.write(terminal, b"typed-hunter2\n")
        out, _ = typing.communicate()
    os.close(terminal)
    assert typing.returncode == 0, shown
    assert b"hunter2" not in shown
    assert PasswordChecker().check("typed-hunter2", out.decode().removesuffix("\n"))


def test_a_key_of_codes_is_printed_for_a_pipe_and_its_link_beside_it(desk: Desk) -> None:
    out, err = desk.run("totp", "alice", "--issuer", "Acme & Sons")
    key = out.strip()
    assert len(base64.b32decode(key)) == 20
    assert read_key(key)
    assert f"otpauth://totp/Acme%20%26%20Sons%3Aalice?secret={key}&issuer=Acme%20%26%20Sons&" in err
    assert desk.run("totp", "alice")[0] != out


def test_a_camera_can_take_the_link_from_a_terminal() -> None:
    """Drawn by what is light, two rows to a line, with a quiet zone of four around it."""
    out, terminal = totp_at_a_terminal("utf-8")
    uri = next(line.strip() for line in terminal.splitlines() if "otpauth://" in line)
    assert f"secret={out.strip()}&" in uri
    light = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in terminal.splitlines()]
    lines = [line for line in plain if line and set(line) <= set(light)]
    drawn = [[1 - light[each][row] for each in line] for line in lines for row in (0, 1)]
    expected = segno.make_qr(uri, error="m").matrix_iter(border=4)
    assert drawn[:-1] == [list(row) for row in expected]


def test_a_terminal_that_has_no_blocks_gets_the_link_alone() -> None:
    terminal = totp_at_a_terminal("ascii")[1]
    assert terminal.rstrip().endswith("period=30")


def totp_at_a_terminal(encoding: str) -> tuple[str, str]:
    """Return what a verb prints to a pipe, and what to the terminal that its standard error is."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "mftgit", "account", "totp", "alice"]
    env = os.environ | {"PYTHONIOENCODING": encoding}
    with (
        os.fdopen(ours, "rb", buffering=0) as screen,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=theirs, env=env) as verb,
    ):
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # Linux says so where the other side is closed
            while content := screen.read(4096):
                shown += content
        assert verb.stdout is not None
        out = verb.stdout.read()
    assert verb.returncode == 0
    return out.decode(encoding), shown.decode(encoding)


def test_a_key_for_scripts_is_of_the_documented_shape(desk: Desk) -> None:
    found = desk.json("totp", "alice")  # "account-totp"
    assert found["account"] == "alice"
    assert f"secret={found['key']}&issuer=mftgit" in found["uri"]


def test_a_name_that_no_account_can_have_is_wrong_usage(desk: Desk) -> None:
    assert "is not a name" in desk.run("totp", "Alice", code=2)[1]
