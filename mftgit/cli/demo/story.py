"""What the demo shows, step by step; each step raises when what it promises does not happen."""

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mftgit.adapters.sftp.partner import SftpPartner
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.demo.counted import Consumer, Count, count, received_names
from mftgit.cli.demo.processes import DemoFailedError, Processes, call, mftgit_command, need_git
from mftgit.cli.status import read_status
from mftgit.controller.views.cluster_status import ClusterStatus
from mftgit.model.transfers.ledger_line import parse_line
from mftgit.resources import read_sample

TRANSFER = "invoices"
NODES = ("node-1", "node-2")
PARTNER_USER = "acme"
KEY_FILE = "partner.key"

_CONVERGE_S = 60.0
_DELIVER_S = 60.0
_GIT_OVERRIDES = ("GIT_SSL_CAINFO", "GIT_SSL_NO_VERIFY", "GIT_DIR", "GIT_WORK_TREE")


class Story:
    """One run of the demo in a folder of its own."""

    def __init__(self, work: Path, processes: Processes) -> None:
        """Tell it in ``work``; nothing is started yet."""
        self._work = work
        self._processes = processes
        self._git = need_git()
        self._began = time.monotonic()
        self._dropped: dict[str, str] = {}
        self.files_root = work / "shared-files"
        self.inbox = self.files_root / "inbox"
        self.received = work / "partner" / "received"
        self.clone = work / "clone"
        incoming = work / "partner" / "incoming"
        for folder in (self.inbox, self.received, incoming, work / "logs"):
            folder.mkdir(parents=True, exist_ok=True)
        self.partner = SftpPartner(incoming.parent, username=PARTNER_USER)
        self.consumer = Consumer(incoming, self.received)
        self.controller: dict[str, str] = {}
        self.killed = ""

    def folder(self, name: str) -> StateFolder:
        """Return the state folder of a member."""
        return StateFolder(self._work / name)

    def status(self) -> ClusterStatus:
        """Return the whole cluster's status, as ``mftgit status`` on the controller does."""
        return read_status(self.folder("controller"))

    def count(self) -> Count:
        """Count on the disk what became of every file that was dropped."""
        return count(self._dropped, self.received)

    def close(self) -> None:
        """Stop what runs in this process."""
        self.partner.stop()
        self.consumer.stop()

    # The steps

    def begin(self) -> None:
        """Make a controller and two nodes, and start them all."""
        self.partner.start()
        self.consumer.start()
        self._say("a partner's SFTP server runs", f"127.0.0.1:{self.partner.port}")
        sample = self._work / "first-revision"
        for path, content in read_sample().items():
            (sample / path).parent.mkdir(parents=True, exist_ok=True)
            (sample / path).write_bytes(content)
        answer = self._mftgit(
            "controller", "init", str(self.folder("controller").root),
            "--listen", "127.0.0.1:0", "--from", str(sample),
            "--files-root", str(self.files_root), "--json",
        )  # fmt: skip
        self.controller = json.loads(answer)
        self._start("controller")
        self._until("the controller answers", self._reachable, _CONVERGE_S)
        self._say("the controller hosts the configuration", self.controller["clone_url"])
        for name in NODES:
            invited = json.loads(
                self._mftgit(
                    "member", "add", name, "--dir", str(self.folder("controller").root), "--json"
                )
            )
            self._mftgit(
                "join", str(self.folder(name).root), "--controller", self.controller["url"],
                "--token", invited["token"], "--files-root", str(self.files_root),
            )  # fmt: skip
            self._start(name)
            self._say(f"{name} has joined with a one-time token", "its key never left its folder")

    def push_change(self) -> None:
        """Clone, change one document, commit, push; wait until every member runs the new revision."""
        self._run_git(
            "clone", "--quiet", self.controller["clone_url"], str(self.clone), at=self._work
        )
        location = self.clone / "locations" / "partner.yaml"
        text = location.read_text(encoding="utf-8")
        text = re.sub(r"(?m)^port: .*$", f"port: {self.partner.port}", text)
        text = re.sub(r"SHA256:[A-Za-z0-9+/]{43}", self.partner.fingerprint, text)
        location.write_text(text, encoding="utf-8")
        self._commit("Send to the partner's new server, with its host key pinned")
        self._run_git("push", "--quiet", "origin", "HEAD:main")
        pushed = time.monotonic()
        revision = self._run_git("rev-parse", "HEAD").strip()
        self._say("pushed with stock git, accepted by the gate", f"revision {revision[:12]}")
        self._until(
            "every member runs the pushed revision",
            lambda: all(each["active_revision"] == revision for each in self.status().members),
            _CONVERGE_S,
        )
        taken_s = time.monotonic() - pushed
        self._say(
            f"all {len(self.status().members)} members run it", f"{taken_s:.1f} s after the push"
        )

    def deliver(self, names: list[str], *, told: str) -> None:
        """Drop files into the shared inbox and wait until the partner has them."""
        for name in names:
            self._drop(name)
        dropped = time.monotonic()
        self._until(f"the partner has {', '.join(names)}", self._all_received, _DELIVER_S)
        taken_s = time.monotonic() - dropped
        self._until("the owner shows in the status", self._taken_over, _DELIVER_S)
        self._say(
            f"{told}: {len(names)} files are at the partner",
            f"owner {self.owner()}, {taken_s:.1f} s after the drop",
        )

    def push_broken(self) -> None:
        """Push a document that is wrong and show the refusal as the pusher sees it."""
        document = self.clone / "transfers" / f"{TRANSFER}.yaml"
        text = document.read_text(encoding="utf-8")
        document.write_text(
            re.sub(r"location: partner\b", "location: partnr", text) + "retries: many\n",
            encoding="utf-8",
        )
        self._commit("A typo and an unknown field")
        before = self.status().revision
        pushed = call(
            self._git_words("push", "origin", "HEAD:main"), cwd=self.clone, env=self._git_env()
        )
        if pushed.returncode == 0 or "transfers/" not in pushed.stderr:
            raise DemoFailedError(f"the broken document was not refused:\n{pushed.stderr}")
        if self.status().revision != before:
            raise DemoFailedError("the refused push moved the published branch")
        self._run_git("reset", "--quiet", "--hard", "origin/main")
        self._say("a broken document is refused; the pusher sees", "")
        for line in pushed.stderr.splitlines():
            if line.startswith(("remote:", " !")):
                click.secho(f"          {line.rstrip()}", fg="yellow")

    def kill_owner(self) -> None:
        """Kill the owner as a power cut would; wait until the other node has delivered the next files."""
        self.killed = self.owner()
        pid = self._processes.kill(self.killed)
        died = time.monotonic()
        self._say(f"{self.killed} is killed with SIGKILL", f"it owned the transfer; process {pid}")
        for number in range(3):
            self._drop(f"after-the-crash-{number + 1}.csv")
        self._until("another node delivers", self._all_received, _DELIVER_S)
        self._until("the deliveries stand in the ledger", self._all_recorded, _DELIVER_S)
        self._until("the takeover shows in the status", self._taken_over, _DELIVER_S)
        self._say(
            f"{self.owner()} took over and delivered 3 files",
            f"{time.monotonic() - died:.1f} s after the kill",
        )

    def owner(self) -> str:
        """Return who owns the transfer, as its owner itself says."""
        for member in self.status().members:
            for transfer in member["transfers"]:
                mine = transfer["owner"] == member["name"]
                if transfer["name"] == TRANSFER and mine and member["name"] != self.killed:
                    return str(transfer["owner"])
        raise DemoFailedError(f"nobody owns {TRANSFER}")

    def delivered_by_ledger(self) -> int:
        """Return how many deliveries the shared ledger holds, counted in its files."""
        ledger = self.files_root / ".mftgit" / "transfers" / TRANSFER / "ledger"
        lines = [
            parse_line(content)
            for path in ledger.glob("*.jsonl")
            for content in path.read_bytes().splitlines()
        ]
        return len({line.id for line in lines if line is not None})

    # How

    def _start(self, name: str) -> None:
        folder = self.folder(name)
        self.partner.write_user_key(folder.secrets / KEY_FILE)
        self._processes.start_member(name, folder.root)

    def _drop(self, name: str) -> None:
        content = secrets.token_bytes(20_000 + secrets.randbelow(50_000))
        self._dropped[name] = hashlib.sha256(content).hexdigest()
        fresh = self.inbox / f".{name}.writing"
        fresh.write_bytes(content)
        fresh.rename(self.inbox / name)

    def _all_received(self) -> bool:
        return received_names(self.received).keys() >= self._dropped.keys()

    def _all_recorded(self) -> bool:
        return self.delivered_by_ledger() >= len(self._dropped)

    def _taken_over(self) -> bool:
        try:
            return self.owner() != self.killed
        except DemoFailedError:
            return False

    def _reachable(self) -> bool:
        answer = call(
            self._git_words("ls-remote", self.controller["clone_url"]),
            cwd=self._work,
            env=self._git_env(),
        )
        return answer.returncode == 0

    def _until(self, what: str, reached: Callable[[], bool], within_s: float) -> None:
        self._processes.wait_until(what, reached, within_s=within_s)

    def _mftgit(self, *words: str) -> str:
        done = call([*mftgit_command(), *words], cwd=self._work)
        if done.returncode != 0:
            raise DemoFailedError(f"mftgit {words[0]} failed:\n{done.stderr}")
        return done.stdout

    def _commit(self, message: str) -> None:
        who = ("-c", "user.name=Demo", "-c", "user.email=demo@example.invalid")
        self._run_git(*who, "-c", "commit.gpgSign=false", "commit", "--quiet", "-am", message)

    def _run_git(self, *words: str, at: Path | None = None) -> str:
        done = call(self._git_words(*words), cwd=at or self.clone, env=self._git_env())
        if done.returncode != 0:
            raise DemoFailedError(f"git {' '.join(words)} failed:\n{done.stderr}")
        return done.stdout

    def _git_words(self, *words: str) -> list[str]:
        helper = (
            '!f() { echo "username=$MFTGIT_DEMO_USER"; echo "password=$MFTGIT_DEMO_PASSWORD"; }; f'
        )
        return [
            self._git,
            "-c", f"http.sslCAInfo={self.controller.get('ca_file', '')}",
            "-c", "http.proxy=",
            "-c", "credential.helper=",
            "-c", f"credential.helper={helper}",
            *words,
        ]  # fmt: skip

    def _git_env(self) -> dict[str, str]:
        env = {key: value for key, value in os.environ.items() if key not in _GIT_OVERRIDES}
        return env | {
            "GIT_TERMINAL_PROMPT": "0",
            "MFTGIT_DEMO_USER": self.controller.get("username", ""),
            "MFTGIT_DEMO_PASSWORD": self.controller.get("password", ""),
        }

    def _say(self, what: str, detail: Any) -> None:
        at = f"{time.monotonic() - self._began:6.1f} s"
        click.echo(f"{click.style(at, fg='cyan')}  {what}" + (f"  ({detail})" if detail else ""))
