"""Services of real members: pushed, served, refused, stopped and killed."""

import itertools
import socket
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path

import jsonschema
import paramiko
import pytest
from cluster import Cluster, cluster, mftgit_json
from paramiko.sftp import CMD_CLOSE
from patient_ssh import transport_to
from ports import own_port
from ssh_keys import make_key, program

from mftgit.resources import load_schemas

pytestmark = [pytest.mark.e2e, pytest.mark.needs("sftp"), pytest.mark.needs("ssh-keygen")]


_CONTENT = b"x" * 50_000
_AT_LEAST = 20
WORKER = "mftgit.member.inbound.worker"


class _Sender(threading.Thread):
    """Sends one file after the other, and notes those that the server said it has, until there is no server."""

    def __init__(self, transport: paramiko.Transport) -> None:
        super().__init__()
        self._client = paramiko.SFTPClient.from_transport(transport)
        self.acknowledged: list[str] = []

    def run(self) -> None:
        assert self._client is not None
        with suppress(OSError, EOFError, paramiko.SSHException):
            for number in itertools.count():
                path = f"/f{number}"
                file = self._client.open(path, "w")
                file.write(_CONTENT)
                # Its own close hides an error.
                getattr(self._client, "_request")(CMD_CLOSE, file.handle)  # noqa: B009
                self.acknowledged.append(path)


def _documents(root: Path, port: int) -> dict[str, str]:
    key = (root / "acme.pub").read_text(encoding="ascii").strip()
    return {
        "cluster.yaml": "name: c\nconfirm: {within_s: 300}\n",  # a worker may take long to begin
        "members/controller.yaml": "role: controller\n",
        "locations/homes.yaml": "type: local\npath: .\n",
        "services/sftp.yaml": f"type: sftp\nlisten: {{address: 127.0.0.1, port: {port}}}\n"
        "host_keys: [{file: host}]\nprocesses: 2\n",
        "accounts/acme.yaml": f'home: {{location: homes, path: acme}}\nlogin: {{keys: ["{key}"]}}\n',
    }


def _service(made: Cluster) -> dict[str, object]:
    services = made.member("controller")["services"]
    return services[0] if services else {}


def _workers(made: Cluster) -> list[int]:
    """Return the processes that serve this cluster's member, and no other that it runs for a moment."""
    parent = made.running["controller"].pid
    children = Path(f"/proc/{parent}/task").glob("*/children")
    found = [int(pid) for each in children for pid in each.read_text(encoding="ascii").split()]
    return [pid for pid in found if WORKER in _words(pid)]


def _words(pid: int) -> str:
    with suppress(OSError):  # it has ended meanwhile
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    return ""


def _runs(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False


def test_a_service_is_pushed_and_served_and_ends_with_its_member_however_that_ends(
    tmp_path: Path,
) -> None:
    make_key(tmp_path / "acme", "ed25519")
    with cluster(tmp_path) as made, own_port() as port, own_port() as taken:
        for path, text in _documents(tmp_path, port).items():
            (tmp_path / "documents" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "documents" / path).write_text(text, encoding="utf-8")
        made.init(tmp_path / "documents")
        make_key(made.dir("controller") / "secrets" / "host", "ed25519")
        made.start_controller()
        made.until("it serves", lambda: _service(made).get("state") == "serving")

        _put(tmp_path, port)

        assert (made.files / "acme" / "report").read_text(encoding="utf-8") == "content"
        uploads = [each for each in made.events() if each["event"] == "UploadFinished"]
        assert [each["path"] for each in uploads] == ["/report"]

        clone = made.clone()
        with socket.create_server(("127.0.0.1", taken)):
            service = _documents(tmp_path, taken)["services/sftp.yaml"]
            refused = made.push(clone, {"services/sftp.yaml": service})
            made.until("it is refused", lambda: made.member("controller")["state"] == "refused")
        assert "choose another port" in made.member("controller")["reason"]
        assert made.member("controller")["attempted_revision"] == refused
        _put(tmp_path, port)
        made.until("its session is over", lambda: _service(made).get("sessions") == 0)

        with closing(_session(tmp_path, port)):
            workers = _workers(made)
            assert len(workers) == 2
            _end_session(made)
        with closing(_session(tmp_path, port)):
            assert made.stop("controller") == 0
            assert not any(map(_runs, workers))
        made.start_controller()
        made.until("it serves again", lambda: _service(made).get("state") == "serving")
        _kill_while_files_come(made, port)


def _kill_while_files_come(made: Cluster, port: int) -> None:
    """Kill the member: every file that it said it has is there and told of, and no worker stays."""
    workers = _workers(made)
    with closing(_session(made.root, port)) as transport:
        sender = _Sender(transport)
        sender.start()
        made.until("files are sent", lambda: len(sender.acknowledged) > _AT_LEAST)
        made.kill("controller")
        made.until("the workers are gone", lambda: not any(map(_runs, workers)))
        sender.join()
    told = {each["path"] for each in made.events() if each["event"] == "UploadFinished"}
    assert set(sender.acknowledged) <= told
    files = list((made.files / "acme").glob("f*"))
    assert len(files) >= len(sender.acknowledged)
    assert {file.stat().st_size for file in files} == {len(_CONTENT)}


def _end_session(made: Cluster) -> None:
    """End the session that is listed."""
    folder = made.dir("controller")
    sessions: list[dict[str, object]] = []

    def listed() -> bool:
        sessions[:] = mftgit_json("session", "list", "--dir", folder, cwd=made.root)
        return bool(sessions)

    made.until("a session is listed", listed)
    assert [each["account"] for each in sessions] == ["acme"]
    number = str(sessions[0]["id"])
    ended = mftgit_json("session", "end", number, "--dir", folder, cwd=made.root)
    for told, name in ((sessions, "list"), (ended, "end")):
        schema = load_schemas()[f"output-session-{name}"]
        jsonschema.Draft202012Validator(schema).validate(told)
    made.until("it is over", lambda: _service(made).get("sessions") == 0)
    made.until("it is told of", lambda: _last_why(made).startswith("ended by "))


def _last_why(made: Cluster) -> str:
    """Return why the last session ended; events that nobody waits for are written together."""
    closed = [str(each["why"]) for each in made.events() if each["event"] == "SessionClosed"]
    return closed[-1] if closed else ""


def _put(root: Path, port: int) -> None:
    (root / "report").write_text("content", encoding="utf-8")
    done = subprocess.run(
        [
            program("sftp"), "-q", "-b", "-", "-F", "none", "-i", str(root / "acme"), "-P", str(port),
            "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
            "-o", f"UserKnownHostsFile={root / 'known'}", "acme@127.0.0.1",
        ],
        input="put report\n",
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=root,
        check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _session(root: Path, port: int) -> paramiko.Transport:
    transport = transport_to(port)
    key = paramiko.Ed25519Key.from_private_key_file(str(root / "acme"))
    transport.connect(username="acme", pkey=key)
    return transport
