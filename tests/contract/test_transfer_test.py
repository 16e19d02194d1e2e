"""Both sides of a transfer are tried against real servers, some of which misbehave, and nothing is left there."""

import getpass
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import paramiko
import pytest
from config_tree import VALID
from dav_servers import USER as WEBDAV_USER
from dav_servers import running_apache
from ftps_server import running_ftps
from inbound_site import inbound_site, until
from member_folder import confirm, make_folder
from paramiko.sftp import CMD_EXTENDED, CMD_EXTENDED_REPLY, SFTP_PERMISSION_DENIED
from pgp_public import as_list
from samba import SHARE, running_samba
from secret_documents import make_key, sealed
from sftp_server import (
    PASSWORD,
    USER,
    Folder,
    LiesAboutSize,
    NoSftp,
    RefusesRename,
    Served,
    sftp_server,
)
from ssh_keys import key_fingerprint
from sshd import running_sshd

from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.main import run_verb
from mftgit.resources import load_schemas

OTHER_KEY = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
PROBED = ["list", "write", "read back", "rename", "remove"]
CONNECTED = ["read secrets", "connect", "log in", "start SFTP"]


class Garbles(Folder):
    """Gives other bytes than it took."""

    def give(self, descriptor: int, offset: int, length: int) -> bytes | int:
        found = super().give(descriptor, offset, length)
        return found if isinstance(found, int) else bytes(byte ^ 1 for byte in found)


class MayNotBeRead(Folder):
    """Takes files, and gives none."""

    def give(self, descriptor: int, offset: int, length: int) -> bytes | int:
        del descriptor, offset, length
        return SFTP_PERMISSION_DENIED


class KeepsAll(Folder):
    """Removes nothing."""

    def remove(self, path: str) -> int:
        del path
        return SFTP_PERMISSION_DENIED


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = make_folder(tmp_path)
    for name in ("inbox", "outbox", "partner"):
        (tmp_path / "files" / name).mkdir(parents=True)
    confirm(made, VALID)
    return made


@pytest.fixture
def run(folder: StateFolder, capfd: pytest.CaptureFixture[str]) -> Any:
    """Return what the verb tells, held against its schema."""

    def call(*, code: int = 0) -> Any:
        capfd.readouterr()
        words = ("transfer", "test", "invoices", "--dir", str(folder.root))
        found_code = run_verb((*words, "--json"))
        said = capfd.readouterr()
        assert said.out, said.err
        told = json.loads(said.out)
        assert found_code == code, [each for each in told["steps"] if not each["ok"]]
        jsonschema.Draft202012Validator(load_schemas()["output-transfer-test"]).validate(told)
        assert told["ok"] is (code == 0)
        return told["steps"]

    return call


def confirm_both_at(folder: StateFolder, location: str) -> None:
    """Have the location ``partner`` be the source of the transfer, and a folder of it the destination."""
    both = VALID["transfers/invoices.yaml"].replace("inbox", "partner")
    both = both.replace("location: outbox", "location: partner, path: in, overwrite: overwrite")
    confirm(folder, VALID | {"locations/partner.yaml": location, "transfers/invoices.yaml": both})


def steps(told: Any, side: str = "destination") -> list[str]:
    return [each["step"] for each in told if each["side"] == side]


def failed(told: Any) -> Any:
    (one,) = [each for each in told if not each["ok"]]
    assert one["way_out"]
    return one


def files(folder: StateFolder, *names: str) -> dict[str, tuple[str, int]]:
    """Return what lies in the places of files: content and time of change."""
    root = folder.root.parent / "files"
    return {
        str(path.relative_to(root)): (path.read_bytes().hex(), path.stat().st_mtime_ns)
        for name in names or ("inbox", "outbox", "partner")
        for path in (root / name).rglob("*")
        if path.is_file()
    }


def put(folder: StateFolder, *paths: str) -> None:
    for path in paths:
        (folder.root.parent / "files" / path).write_text(path, encoding="utf-8")


def use_partner(folder: StateFolder, partner: Served, **changes: str) -> None:
    """Let the transfer go to ``partner``; ``changes`` are lines of the location, and ``path`` of the destination."""
    path = changes.pop("path", ".")
    lines = {
        "host": "127.0.0.1",
        "port": str(partner.port),
        "username": USER,
        "host_keys": f"['{partner.host_key.fingerprint}']",
        "auth": "[{password: {file: password}}]",
        "timeout_s": "60",
    } | changes
    text = "type: sftp\n" + "".join(f"{key}: {value}\n" for key, value in lines.items())
    transfer = VALID["transfers/invoices.yaml"].replace(
        "{location: outbox}", f"{{location: partner, path: {path}}}"
    )
    documents = {"locations/partner.yaml": text, "transfers/invoices.yaml": transfer}
    confirm(folder, VALID | documents)
    password = folder.secrets / "password"
    if not password.exists():
        password.touch(mode=0o600)
        password.write_text(PASSWORD, encoding="utf-8")


@pytest.fixture
def partner(folder: StateFolder) -> Iterator[Served]:
    with sftp_server(folder.root.parent / "files" / "partner") as served:
        yield served


def test_two_folders_of_this_machine_are_tried_without_touching_what_is_there(
    folder: StateFolder, run: Any
) -> None:
    put(folder, "inbox/a.csv", "inbox/.hidden", "outbox/a.csv")
    before = files(folder)
    told = run()
    assert steps(told, "source") == ["open", "list", "read"]
    assert steps(told) == ["open", *PROBED]
    assert told[1]["note"] == "first file: a.csv"
    assert all(each["ms"] >= 0 for each in told)
    assert files(folder) == before


def test_a_source_without_a_file_and_a_destination_without_its_folder_are_no_failures(
    folder: StateFolder, run: Any
) -> None:
    elsewhere = VALID["transfers/invoices.yaml"].replace("outbox", "outbox, path: in/of/today")
    confirm(folder, VALID | {"transfers/invoices.yaml": elsewhere})
    told = run()
    assert told[1]["note"] == "no file that would be taken"
    (listed,) = [each for each in told if each["side"] == "destination" and each["step"] == "list"]
    assert listed["note"] == "in/of/today is not there yet, and the first file makes it; tried in ."
    assert list((folder.root.parent / "files" / "outbox").iterdir()) == []


@pytest.mark.needs("sshd")
def test_openssh_passes_in_all_steps_on_both_sides(
    folder: StateFolder, run: Any, tmp_path: Path
) -> None:
    (tmp_path / "partner").mkdir()
    with running_sshd(tmp_path / "partner") as server:
        shutil.copytree(server.secrets_dir, folder.secrets, dirs_exist_ok=True)
        keys = json.dumps(list(server.host_keys.values()))
        location = (
            f"type: sftp\nhost: 127.0.0.1\nport: {server.port}\nusername: {getpass.getuser()}\n"
            f"path: {server.folder}\nhost_keys: {keys}\nauth: [{{private_key: {{file: client}}}}]\n"
        )
        confirm_both_at(folder, location)
        (server.folder / "a.csv").write_text("a", encoding="utf-8")
        told = run()
        assert steps(told, "source") == [*CONNECTED, "list", "read"]
        assert steps(told) == [*CONNECTED, *PROBED]
        assert [path.name for path in server.folder.iterdir()] == ["a.csv"]


@pytest.mark.needs("sftp")
def test_a_service_of_another_cluster_passes_in_all_steps_on_both_sides(
    folder: StateFolder, run: Any, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    with inbound_site(tmp_path / "there") as there:
        there.apply(there.documents("acme"))
        until("it serves", there.accepting)
        shutil.copy(there.root / "acme", folder.secrets)
        shown = key_fingerprint(there.folder.secrets / "host")
        location = (
            f"type: sftp\nhost: 127.0.0.1\nport: {there.port}\nusername: acme\npath: /\n"
            f"host_keys: ['{shown}']\nauth: [{{private_key: {{file: acme}}}}]\n"
        )
        confirm_both_at(folder, location)
        there.home("acme").mkdir()
        (there.home("acme") / "a.csv").write_text("a", encoding="utf-8")
        told = run()
        assert steps(told, "source") == [*CONNECTED, "list", "read"]
        assert steps(told) == [*CONNECTED, *PROBED]
        assert [path.name for path in there.home("acme").iterdir()] == ["a.csv"]


@pytest.mark.needs("smbd")
def test_a_share_passes_in_all_steps_on_both_sides(
    folder: StateFolder, run: Any, tmp_path: Path
) -> None:
    with running_samba(tmp_path / "samba") as server:
        shutil.copytree(server.secrets_dir, folder.secrets, dirs_exist_ok=True)
        location = (
            f"type: smb\nhost: 127.0.0.1\nport: {server.port}\nshare: {SHARE}\n"
            f"username: {getpass.getuser()}\npassword: {{file: password}}\n"
        )
        confirm_both_at(folder, location)
        (server.folder / "a.csv").write_text("a", encoding="utf-8")
        told = run()
        connected = ["read secrets", "connect", "log in", "open the share"]
        assert steps(told, "source") == [*connected, "list", "read"]
        assert steps(told) == [*connected, *PROBED]
        assert [path.name for path in server.folder.iterdir()] == ["a.csv"]
        wrong = location.replace(SHARE, "elsewhere")
        confirm_both_at(folder, wrong)
        found = [each for each in run(code=1) if not each["ok"]]
        assert [each["step"] for each in found] == ["open the share"] * 2
        assert "has no share 'elsewhere'" in found[0]["error"]


@pytest.mark.needs("apache2")
def test_webdav_passes_in_all_steps_on_both_sides(
    folder: StateFolder, run: Any, tmp_path: Path
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (tmp_path / "apache").mkdir()
    with running_apache(tmp_path / "apache", folder=served) as server:
        shutil.copytree(server.secrets_dir, folder.secrets, dirs_exist_ok=True)
        location = (
            f"type: https\nhost: 127.0.0.1\nport: {server.port}\nusername: {WEBDAV_USER}\n"
            f"auth: {{password: {{file: password}}}}\nfingerprints: ['{server.shown.fingerprint}']\n"
        )
        confirm_both_at(folder, location)
        (served / "a.csv").write_text("a", encoding="utf-8")
        told = run()
        connected = ["read secrets", "connect", "log in"]
        assert steps(told, "source") == [*connected, "list", "read"]
        assert steps(told) == [*connected, *PROBED]
        assert [path.name for path in served.iterdir()] == ["a.csv"]
        stranger = location.replace(WEBDAV_USER, "stranger")
        confirm_both_at(folder, stranger)
        found = [each for each in run(code=1) if not each["ok"]]
        assert [each["step"] for each in found] == ["log in"] * 2
        assert "does not let us in" in found[0]["error"]


@pytest.mark.needs("proftpd")
def test_ftps_passes_in_all_steps_on_both_sides(
    folder: StateFolder, run: Any, tmp_path: Path
) -> None:
    with running_ftps(tmp_path / "ftps") as server:
        shutil.copytree(server.secrets_dir, folder.secrets, dirs_exist_ok=True)
        location = (
            f"type: ftps\nhost: 127.0.0.1\nport: {server.port}\nusername: {getpass.getuser()}\n"
            f"auth: {{password: {{file: password}}}}\nfingerprints: ['{server.fingerprint}']\n"
        )
        confirm_both_at(folder, location)
        (server.folder / "a.csv").write_text("a", encoding="utf-8")
        told = run()
        connected = ["read secrets", "connect", "log in"]
        assert steps(told, "source") == [*connected, "list", "read"]
        assert steps(told) == [*connected, *PROBED]
        assert [path.name for path in server.folder.iterdir()] == ["a.csv"]
        wrong = location.replace(
            server.fingerprint[-2:], f"{255 - int(server.fingerprint[-2:], 16):02X}"
        )
        confirm_both_at(folder, wrong)
        found = [each for each in run(code=1) if not each["ok"]]
        assert [each["step"] for each in found] == ["connect"] * 2
        assert server.fingerprint in found[0]["error"]
        assert "fingerprint" in found[0]["way_out"]


def test_a_location_whose_folder_is_missing_fails_with_a_way_out(
    folder: StateFolder, run: Any
) -> None:
    (folder.root.parent / "files" / "outbox").rmdir()
    found = failed(run(code=1))
    assert (found["side"], found["step"]) == ("destination", "list")
    assert "outbox is gone" in found["error"]


@pytest.mark.parametrize(
    ("changes", "step", "error"),
    [
        ({"auth": "[{password: {file: missing}}]"}, "read secrets", "missing"),
        ({"port": "1"}, "connect", "cannot be reached"),
        ({"host_keys": f"['{OTHER_KEY}']"}, "connect", OTHER_KEY),
        ({"auth": "[{password: {file: wrong}}]"}, "log in", USER),
    ],
)
def test_the_step_that_fails_on_the_way_in_is_named_with_the_side_and_what_helps(
    folder: StateFolder, run: Any, partner: Served, changes: dict[str, str], step: str, error: str
) -> None:
    wrong = folder.secrets / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("s3cret-that-is-wrong", encoding="utf-8")
    use_partner(folder, partner, **changes)
    told = run(code=1)
    found = failed(told)
    assert (found["side"], found["step"]) == ("destination", step)
    assert error in found["error"]
    assert steps(told) == CONNECTED[: CONNECTED.index(step) + 1]
    assert "s3cret" not in json.dumps(told)
    assert PASSWORD not in json.dumps(told)


def test_a_server_without_sftp_fails_at_the_last_stage(folder: StateFolder, run: Any) -> None:
    with sftp_server(folder.root.parent / "files" / "partner", door=NoSftp) as served:
        use_partner(folder, served)
        assert failed(run(code=1))["step"] == "start SFTP"


@pytest.mark.parametrize(
    ("behaviour", "step"),
    [
        (RefusesRename, "rename"),
        (LiesAboutSize, "write"),
        (Garbles, "read back"),
        (MayNotBeRead, "read back"),
    ],
)
def test_a_step_that_the_server_fails_at_is_told_and_nothing_is_left(
    folder: StateFolder, run: Any, behaviour: type[Folder], step: str
) -> None:
    put(folder, "partner/theirs.csv")
    before = files(folder)
    with sftp_server(folder.root.parent / "files" / "partner", behaviour) as served:
        use_partner(folder, served)
        told = run(code=1)
    assert failed(told)["step"] == step
    after_it = [] if step == "write" else PROBED[PROBED.index(step) + 1 :]
    assert steps(told)[-len(after_it) - 1 :] == [step, *after_it]
    assert files(folder) == before


def test_by_what_digests_are_compared_is_told(
    folder: StateFolder, run: Any, partner: Served
) -> None:
    use_partner(folder, partner, path="., verify: digest")
    told = run()
    assert steps(told) == [*CONNECTED, *PROBED[:3], "digest", *PROBED[3:]]
    assert [each["note"] for each in told if each["step"] == "digest"] == ["digest by read back"]


@pytest.mark.parametrize("wrong", [False, True])
def test_a_partner_that_works_digests_out_is_held_to_them(
    folder: StateFolder,
    run: Any,
    wrong: bool,  # noqa: FBT001
) -> None:
    class WorksOut(paramiko.SFTPServer):
        """Has the extension check-file, and perhaps gets it wrong."""

        def _process(self, t: int, request_number: int, msg: paramiko.Message) -> None:
            if t != CMD_EXTENDED:
                super()._process(t, request_number, msg)  # type: ignore[misc]
                return
            (probe,) = (folder.root.parent / "files" / "partner").iterdir()
            content = probe.read_bytes() + b"!" * wrong
            reply = paramiko.Message()
            reply.add_int(request_number)
            reply.add_string(b"sha256")
            reply.add_bytes(hashlib.sha256(content).digest())
            self._send_packet(CMD_EXTENDED_REPLY, reply)  # type: ignore[attr-defined]

    with sftp_server(folder.root.parent / "files" / "partner", handler=WorksOut) as served:
        use_partner(folder, served, path="., verify: digest")
        told = run(code=int(wrong))
    (step,) = [each for each in told if each["step"] == "digest"]
    assert step["note"] == (None if wrong else "digest by check-file")
    assert steps(told)[-2:] == PROBED[3:]
    assert files(folder, "partner") == {}


def test_what_cannot_be_removed_is_named(folder: StateFolder, run: Any) -> None:
    with sftp_server(folder.root.parent / "files" / "partner", KeepsAll) as served:
        use_partner(folder, served)
        told = run(code=1)
    at_fault = [each for each in told if not each["ok"]]
    assert [each["step"] for each in at_fault] == ["remove", "clear away"]
    (left,) = files(folder, "partner")
    assert left.removeprefix("partner/") in at_fault[-1]["note"]


def test_a_secret_of_the_repository_is_decrypted_with_the_member_s_own_key(
    folder: StateFolder, run: Any, partner: Served, tmp_path: Path
) -> None:
    key, other = make_key(tmp_path, "node"), make_key(tmp_path, "other")
    folder.age_key.write_bytes(key.path.read_bytes())
    folder.age_key.chmod(0o600)
    use_partner(folder, partner)
    documents = {
        path: (folder.active / path).read_text(encoding="utf-8")
        for path in (*VALID, "locations/partner.yaml")
    }
    documents["locations/partner.yaml"] = documents["locations/partner.yaml"].replace(
        "{file: password}", "{secret: partner-password}"
    )
    for name in ("node-1", "node-2"):
        documents[f"members/{name}.yaml"] += f"age_recipient: {key.public}\n"
    secret = "secrets/partner-password.yaml"
    confirm(folder, documents | {secret: sealed("partner-password", PASSWORD, key)})
    assert PASSWORD not in json.dumps(run())
    confirm(
        folder,
        documents | {secret: sealed("partner-password", PASSWORD, other, recorded=(key,))},
    )
    found = failed(run(code=1))
    assert found["step"] == "read secrets"
    assert "cannot read the secret 'partner-password'" in found["error"]


def test_people_see_each_step_with_its_time_and_the_error_with_what_helps(
    folder: StateFolder, partner: Served, capfd: pytest.CaptureFixture[str]
) -> None:
    use_partner(folder, partner, host_keys=f"['{OTHER_KEY}']")
    assert run_verb(("transfer", "test", "invoices", "--dir", str(folder.root))) == 1
    text = capfd.readouterr().out
    assert "read secrets   ok" in text
    assert "connect        FAILED" in text
    assert "way out: compare the fingerprint" in text
    assert " ms" in text
    assert "\x1b" not in text


def test_the_keys_of_content_are_tried_without_a_file(
    folder: StateFolder, run: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    path = "transfers/invoices.yaml"
    verify = f"content:\n  - pgp_verify:\n      signed_by:\n{as_list(8)}"
    confirm(folder, VALID | {path: VALID[path] + verify})
    first, *_ = run()
    assert (first["side"], first["step"], first["ok"]) == ("content", "keys", True)
    sign = "content: [{pgp_sign: {signing_key: {file: key.asc}}}]\n"
    confirm(folder, VALID | {path: VALID[path] + sign})
    found = failed(run(code=1))
    assert (found["side"], found["step"]) == ("content", "keys")
    assert "step 1 (pgp_sign) of content in transfers/invoices.yaml: secret " in found["error"]
    assert run_verb(("transfer", "test", "invoices", "--dir", str(folder.root))) == 1
    assert "keys           FAILED" in capfd.readouterr().out


def test_a_fallback_is_tried_as_a_destination_is(folder: StateFolder, run: Any) -> None:
    path = "transfers/invoices.yaml"
    told = VALID[path].replace(
        "{location: outbox}", "{location: outbox, fallback: {location: inbox, path: kept}}"
    )
    assert told != VALID[path]
    confirm(folder, VALID | {path: told})
    before = files(folder)
    found = run()
    assert steps(found, "fallback") == ["open", *PROBED]
    assert files(folder) == before


def test_the_programs_of_commands_are_looked_for_and_not_run(folder: StateFolder, run: Any) -> None:
    path = "transfers/invoices.yaml"
    confirm(folder, VALID | {path: VALID[path] + "commands: {after_file: {program: book}}\n"})
    found = failed(run(code=1))
    assert (found["side"], found["step"]) == ("commands", "programs")
    assert "administrator of this machine" in found["error"]
    folder.commands.mkdir(mode=0o700, exist_ok=True)
    program = folder.commands / "book"
    program.write_text(f"#!/bin/sh\ntouch {program}.ran\n", encoding="utf-8")
    program.chmod(0o700)
    assert steps(run(), "commands") == ["programs"]
    assert not program.with_name("book.ran").exists()
