"""``event-handler test`` says of each step whether it works, against real receivers."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from config_tree import VALID
from mail_server import PASSWORD, USERNAME, mail_server
from member_folder import confirm, make_folder
from rogue_https import answer, rogue_server
from secret_documents import Key, sealed

from mftgit.adapters import age
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.main import run_verb
from mftgit.resources import load_schemas

PATH = "event-handlers/oncall.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = make_folder(tmp_path)
    made.commands.mkdir()
    return made


@pytest.fixture
def run(folder: StateFolder, capfd: pytest.CaptureFixture[str]) -> Any:
    """Return the steps that the verb tells of a document, held against its schema."""

    def call(document: str, *, code: int = 0) -> Any:
        confirm(folder, VALID | {PATH: f"{document}active_on: all\n"})
        capfd.readouterr()
        words = ("event-handler", "test", "oncall", "--dir", str(folder.root))
        found_code = run_verb((*words, "--json"))
        told = json.loads(capfd.readouterr().out)
        assert found_code == code, told
        jsonschema.Draft202012Validator(load_schemas()["output-event-handler-test"]).validate(told)
        assert told["ok"] is (code == 0)
        assert run_verb(words) == code
        lines = capfd.readouterr().out.splitlines()
        assert [each for each in lines if " ms" in each]
        return [(each["step"], each["error"]) for each in told["steps"]]

    return call


def pem(text: bytes) -> str:
    return "".join(f"  {line}\n" for line in text.decode().splitlines())


def test_a_file_gets_one_line(run: Any, folder: StateFolder) -> None:
    assert run("type: file\npath: x.log\n") == [("prepare", None), ("hand over", None)]
    first, second = (folder.logs / "x.log").read_text(encoding="utf-8").splitlines()
    assert json.loads(first)["event"] == "EventHandlerTested"
    assert json.loads(first)["seq"] < json.loads(second)["seq"]


def test_a_program_that_is_not_there_is_told(run: Any) -> None:
    ((step, error),) = run("type: command\nprogram: page\n", code=1)
    assert step == "prepare"
    assert "page cannot be used" in error


def test_a_mail_is_sent_step_by_step(run: Any, folder: StateFolder, tmp_path: Path) -> None:
    folder.write_secret(folder.secrets / "smtp", PASSWORD.encode())
    with mail_server(tmp_path) as server:
        mail = (
            f"type: email\nhost: 127.0.0.1\nport: {server.port}\nfrom: a@b.example\nto: [c@d.example]\n"
            f"username: {USERNAME}\npassword: {{file: smtp}}\nca: |\n{pem(server.certificates.authority.certificate)}"
        )
        steps = ["prepare", "connect", "start TLS", "log in", "hand over"]
        assert run(mail) == [(step, None) for step in steps]
        folder.write_secret(folder.secrets / "smtp", b"wrong")
        *good, (step, error) = run(mail, code=1)
    assert [each for each, _ in good] == steps[:3]
    assert step == "log in"
    assert "does not take the username" in error
    assert "EventHandlerTested event-handler/oncall" in server.texts()[0]


def test_a_secret_of_the_repository_is_opened_with_the_key_of_the_member(
    folder: StateFolder, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    key = Key(path=folder.age_key, public=age.make_identity(folder.age_key))
    documents = {
        **VALID,
        "members/node-1.yaml": f"{VALID['members/node-1.yaml']}age_recipient: {key.public}\n",
        "secrets/token.yaml": sealed("token", "open sesame", key),
    }
    with rogue_server(tmp_path, lambda _: [answer(204)]) as server:
        ca = pem(server.shown.authority.certificate)
        documents[PATH] = (
            f"type: webhook\nurl: https://127.0.0.1:{server.port}/\ntoken: {{secret: token}}\n"
            f"active_on: [node-1]\nca: |\n{ca}"
        )
        confirm(folder, documents)
        assert run_verb(("event-handler", "test", "oncall", "--dir", str(folder.root))) == 0
    assert server.asked[0].headers["authorization"] == "Bearer open sesame"
    assert "sesame" not in "".join(capfd.readouterr())


def test_a_webhook_that_answers_no_is_told_with_its_words(run: Any, tmp_path: Path) -> None:
    with rogue_server(tmp_path, lambda _: [answer(403, b"who are you")]) as server:
        ca = pem(server.shown.authority.certificate)
        hook = f"type: webhook\nurl: https://127.0.0.1:{server.port}/\nca: |\n{ca}"
        *good, (step, error) = run(hook, code=1)
    assert [each for each, _ in good] == ["prepare", "connect"]
    assert step == "hand over"
    assert "403: who are you" in error


def test_a_server_that_is_not_there_is_told(run: Any) -> None:
    log = "type: syslog\nhost: 127.0.0.1\nport: 1\ntls: false\n"
    assert [step for step, error in run(log, code=1) if error] == ["connect"]


def test_a_handler_that_is_not_active_here_is_told(
    folder: StateFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    confirm(folder, VALID | {PATH: "type: file\npath: x\nactive_on: controller\n"})
    assert run_verb(("event-handler", "test", "oncall", "--dir", str(folder.root))) == 2
    assert "is not active on" in capfd.readouterr().err
