"""A forge's protected branch is published by the gate's rules; a forge that is away, lies or rewrites moves nothing."""

import hashlib
import hmac
import json
import os
import pwd
import shutil
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from cluster import mftgit, mftgit_json
from controller_site import NOW, Site, controller_site
from forge_api import ForgeApi, forge_api
from git_backend import _Server, _serving
from git_cli import clone, commit, git, git_ok
from gpg_keys import commit_by_gpg, gpg_home
from jsonschema import Draft202012Validator
from loguru import logger
from sshd import running_sshd
from waiting import until

from mftgit.adapters.registry.registry import Registry
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.names import MemberName, Revision
from mftgit.resources import load_schemas

TOKEN, SECRET = "ghp_token-of-the-controller", "hook-secret"
NODE = "role: node\n"


@dataclass(kw_only=True)
class Forge:
    """A bare repository behind C git's own server, its API, and somebody's clone."""

    site: Site
    root: Path
    bare: Path
    work: Path
    server: _Server
    api: ForgeApi
    logged: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.server.url}/acme/config.git"

    def mirror(self, *words: str) -> None:
        """Say the verb beside the running controller."""
        done = mftgit("controller", "mirror", "--dir", self.site.folder.root, *words, cwd=self.root)
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr

    def follow(self, *words: str) -> None:
        """Mirror it, with a token and webhooks."""
        for name, text in (("token", TOKEN), ("secret", SECRET)):
            (self.root / name).write_text(text + "\n", encoding="utf-8")
        self.mirror(
            "--url", self.url, "--forge", "gitea", "--api", self.api.url, "--poll-s", "3600",
            "--token-file", str(self.root / "token"), "--webhook-secret-file", str(self.root / "secret"), *words,
        )  # fmt: skip

    def push(self, files: dict[str, str | bytes], *options: str) -> Revision:
        """Let main of the forge move, and tell the controller."""
        made = Revision(commit(self.work, files))
        git_ok(self.work, "push", "--quiet", *options, "origin", "HEAD:main")
        self.hook()
        return made

    def hook(self, body: bytes = b"{}", secret: str = SECRET) -> int:
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={digest}"}
        return self.site.ask("POST", "/api/forge", body=body, headers=headers)[0]

    def events(self, *names: EventName) -> list[Event]:
        found = (each for _, each in self.site.events.after(0, limit=10_000))
        return [each for each in found if each.event in names]

    def looked(self) -> str | None:
        """When the last look was."""
        state = self.site.folder.mirror_state
        if not state.exists():
            return None
        found: str | None = json.loads(state.read_text(encoding="utf-8"))["looked_at"]
        return found

    def look_again(self) -> None:
        """Have one more look, and wait for it."""
        before = self.looked()
        assert self.hook() == 202
        until(lambda: self.looked() != before)


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Forge]:
    with ExitStack() as stack:
        site = stack.enter_context(controller_site(tmp_path))
        root = tmp_path / "forge"
        bare = root / "acme" / "config.git"
        bare.parent.mkdir(parents=True)
        git_ok(tmp_path, "clone", "--quiet", "--bare", str(site.folder.repository), str(bare))
        server = stack.enter_context(_serving(root))
        api = stack.enter_context(forge_api(TOKEN))
        work = clone(str(bare), tmp_path / "work")
        made = Forge(site=site, root=root, bare=bare, work=work, server=server, api=api)
        number = logger.add(lambda text: made.logged.append(str(text)), level="TRACE")
        yield made
        logger.remove(number)
        assert not any(TOKEN in text or SECRET in text for text in made.logged)


def test_what_is_on_the_forge_s_branch_is_published_and_the_forge_is_told(forge: Forge) -> None:
    forge.follow()
    tip = forge.push({"members/node-1.yaml": NODE})
    until(lambda: forge.site.head() == tip)
    assert [each["who"] for each in forge.site.published(tip)] == ["forge"]
    until(lambda: (tip, "success", "published to the members") in forge.api.statuses())
    until(lambda: (tip, "pending", "the members take it") in forge.api.statuses())
    status = MemberStatus(
        name=MemberName("controller"), role=Role.CONTROLLER, state=MemberState.ACTIVE,
        active_revision=tip, attempted_revision=None, reason=None,
    )  # fmt: skip
    with closing(Registry(forge.site.folder.registry, now=NOW)) as registry:
        registry.report(status)
    until(lambda: (tip, "success", "all 1 members run it") in forge.api.statuses())
    shown = b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    assert {each.get("authorization") for each in forge.server.requests} == {f"Basic {shown}"}


def test_what_the_gate_refuses_is_not_published_nor_judged_again(forge: Forge) -> None:
    before = forge.site.head()
    forge.follow()
    tip = forge.push({"members/node-1.yaml": "role: clown\n"})
    until(lambda: forge.events(EventName.FORGE_REFUSED))
    until(lambda: (tip, "failure", "refused: not valid: 1 problem") in forge.api.statuses())
    forge.look_again()
    forge.site.stop()
    forge.site.start()
    forge.look_again()
    (refused,) = forge.events(EventName.FORGE_REFUSED)
    assert (refused.facts["tip"], refused.facts["published"]) == (tip, before)
    assert "members/node-1.yaml:1:7" in str(refused.facts["explanation"])
    assert len(forge.events(EventName.PUSH_RECEIVED)) == 1
    assert forge.site.head() == before
    assert git(forge.site.folder.repository, "cat-file", "-e", tip).code != 0, "it left objects"
    told = mftgit_json("controller", "mirror", "--dir", forge.site.folder.root, cwd=forge.root)
    Draft202012Validator(load_schemas()["output-controller-mirror"]).validate(told)
    assert told["refused"] == "not valid: 1 problem"
    mended = forge.push({"members/node-1.yaml": NODE})
    until(lambda: forge.site.head() == mended)


@pytest.mark.needs("gpg")
def test_what_could_not_be_judged_is_judged_again(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge.follow()
    with gpg_home() as home:
        home.make("ann")
        required = "name: c\ntrust: {require_signatures: true}\n"
        first = forge.push({"cluster.yaml": required, "trust/gpg_signers": home.line("ann")})
        until(lambda: forge.site.head() == first)
        with monkeypatch.context() as patch:
            patch.setattr("mftgit.adapters.git.gpg.shutil.which", lambda _name: None)
            tip = commit_by_gpg(forge.work, home, "ann")
            git_ok(forge.work, "push", "--quiet", "origin", "HEAD:main")
            forge.look_again()
            assert forge.site.head() == first
        forge.look_again()
        until(lambda: forge.site.head() == tip)
    assert forge.events(EventName.FORGE_REFUSED) == []


def test_a_rewritten_branch_moves_nothing(forge: Forge) -> None:
    forge.follow()
    tip = forge.push({"members/node-1.yaml": NODE})
    until(lambda: forge.site.head() == tip)
    git_ok(forge.work, "reset", "--quiet", "--hard", "HEAD~1")
    other = forge.push({"members/node-2.yaml": NODE}, "--force")
    until(lambda: forge.events(EventName.FORGE_REFUSED))
    git_ok(
        forge.work, "push", "--quiet", "--force", "origin", f"{tip}~1:refs/heads/main"
    )  # back in time
    forge.hook()
    until(lambda: len(forge.events(EventName.FORGE_REFUSED)) > 1)
    reasons = {each.facts["reason"] for each in forge.events(EventName.FORGE_REFUSED)}
    assert reasons == {"non-fast-forward"}
    assert forge.site.head() == tip
    until(lambda: (other, "failure", "refused: non-fast-forward") in forge.api.statuses())
    git_ok(forge.work, "reset", "--quiet", "--hard", tip)
    back = forge.push({"members/node-3.yaml": NODE}, "--force")
    until(lambda: forge.site.head() == back)


def test_hostile_objects_of_a_forge_stay_outside(forge: Forge) -> None:
    before = forge.site.head()
    forge.follow()
    text = git_ok(forge.work, "hash-object", "-w", "--stdin", content=b"x\n")
    raw = b"100644 .git\0" + bytes.fromhex(text)
    tree = git_ok(
        forge.work, "hash-object", "-t", "tree", "-w", "--literally", "--stdin", content=raw
    )
    bad = git_ok(forge.work, "commit-tree", tree, "-p", "HEAD", "-m", "hostile")
    git_ok(forge.work, "push", "--quiet", "--force", "origin", f"{bad}:refs/heads/main")
    forge.hook()
    until(lambda: forge.events(EventName.FORGE_REFUSED))
    (refused,) = forge.events(EventName.FORGE_REFUSED)
    assert refused.facts["reason"] == "missing or broken objects"
    assert forge.site.head() == before
    assert git(forge.site.folder.repository, "cat-file", "-e", bad).code != 0


def test_reviews_of_what_is_mirrored_are_the_forge_s_and_signed_approvals_keep_it_out(
    forge: Forge,
) -> None:
    reviewed = "name: c\nreview: {approvals: 1}\n"
    forge.follow()
    first = forge.push({"cluster.yaml": reviewed})
    until(lambda: forge.site.head() == first)
    tip = forge.push({"members/node-1.yaml": NODE})
    until(lambda: forge.site.head() == tip)  # nobody approved it here
    told = mftgit_json("controller", "mirror", "--dir", forge.site.folder.root, cwd=forge.root)
    assert [each.split(" ", 1)[0] for each in told["notes"]] == ["review"]

    forge.push({"cluster.yaml": reviewed + "trust: {version: 1, require_approvals: 1}\n"})
    until(lambda: forge.events(EventName.FORGE_REFUSED))
    (event,) = forge.events(EventName.FORGE_REFUSED)
    assert event.facts["reason"] == "members want signed approvals"
    assert "mirror --off" in str(event.facts["explanation"])
    assert forge.site.head() == tip

    forge.mirror("--off")  # and the section holds again
    url = forge.site.url.replace("https://", f"https://admin:{forge.site.password}@")
    trust = ("-c", f"http.sslCAInfo={forge.site.folder.ca_file}")
    git_ok(forge.work, "reset", "--quiet", "--hard", tip)
    commit(forge.work, {"notes/x.txt": "x"})
    refused = git(forge.work, *trust, "push", f"{url}/config.git", "HEAD:refs/heads/main")
    assert "main takes approved proposals only" in refused.err


def test_pushes_to_the_controller_are_refused_until_no_forge_is_mirrored(forge: Forge) -> None:
    forge.follow()
    site = forge.site
    url = site.url.replace("https://", f"https://admin:{site.password}@")
    trust = ("-c", f"http.sslCAInfo={site.folder.ca_file}")
    made = commit(forge.work, {"members/node-1.yaml": NODE})
    for ref in ("main", "change/x"):
        refused = git(forge.work, *trust, "push", f"{url}/config.git", f"HEAD:refs/heads/{ref}")
        assert refused.code != 0
        assert "published from a forge" in refused.err
        assert f"remote: the controller publishes the branch main of {forge.url}" in refused.err
    forge.mirror("--off")
    git_ok(forge.work, *trust, "push", "--quiet", f"{url}/config.git", "HEAD:main")
    assert site.head() == made
    assert not (site.folder.secrets / "forge-token").exists()


def test_a_forge_that_is_away_stops_nothing(forge: Forge) -> None:
    before = forge.site.head()
    moved = forge.bare.with_name("elsewhere.git")
    forge.bare.rename(moved)
    forge.follow()
    until(lambda: forge.events(EventName.FORGE_UNREACHABLE))
    forge.look_again()
    assert len(forge.events(EventName.FORGE_UNREACHABLE)) == 1
    assert forge.site.head() == before
    moved.rename(forge.bare)
    tip = forge.push({"members/node-1.yaml": NODE})
    until(lambda: forge.site.head() == tip)
    until(lambda: forge.events(EventName.FORGE_REACHED))
    git_ok(forge.bare, "update-ref", "-d", "refs/heads/main")  # nor does a branch that is gone
    forge.look_again()
    assert forge.site.head() == tip


def test_a_forge_that_hangs_keeps_the_controller_neither_from_serving_nor_from_ending(
    forge: Forge,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        forge.mirror("--url", f"http://127.0.0.1:{silent.getsockname()[1]}/acme/config")
        line, _ = silent.accept()
        with line:
            assert forge.site.ask("GET", "/readyz")[0] == 200
            forge.site.stop()
            assert forge.site.controller._mirroring._thread.is_alive(), "it did not hang"
        forge.site.controller._mirroring._thread.join()
        forge.mirror("--off")
    forge.site.start()


class Echo(BaseHTTPRequestHandler):
    """Says back what it is shown, as some proxies do in their errors."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.end_headers()
        self.wfile.write(f"no: {self.headers['Authorization']}".encode())


def test_what_a_forge_says_back_of_a_token_is_kept_nowhere(forge: Forge) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/acme/config"
        (forge.root / "token").write_text(TOKEN + "\n", encoding="utf-8")
        forge.mirror("--url", url, "--token-file", str(forge.root / "token"))
        until(lambda: forge.events(EventName.FORGE_UNREACHABLE))
        until(forge.looked)
        forge.mirror("--off")
        server.shutdown()
    (told,) = forge.events(EventName.FORGE_UNREACHABLE)
    assert "answered 403: no: Basic …" in str(told.facts["reason"])
    shown = b64encode(f"x-access-token:{TOKEN}".encode()).decode()
    assert not any(shown in text for text in forge.logged)


def test_webhooks_are_hints_of_the_forge_alone(forge: Forge) -> None:
    assert forge.hook() == 403  # nothing is mirrored
    forge.follow()
    until(forge.looked)
    looked = forge.looked()
    assert forge.hook(secret="guessed") == 403
    assert forge.site.ask("POST", "/api/forge", body=b"{}")[0] == 403
    assert forge.site.ask("POST", "/api/forge", body=b"x" * (2 << 20))[0] == 413
    assert forge.looked() == looked
    assert forge.site.ask("POST", "/api/forge", headers={"X-Gitlab-Token": SECRET})[0] == 202
    until(lambda: forge.looked() != looked)
    flood = forge.site.controller._mirroring
    until(lambda: not flood.has_room() and forge.hook() == 429)  # it costs nothing but polling
    git_ok(forge.work, "reset", "--quiet", "--hard")
    commit(forge.work, {"members/node-1.yaml": NODE})
    git_ok(forge.work, "push", "--quiet", "origin", "HEAD:main")
    forge.mirror("--poll-s", "3000")  # settings that change are looked at anew
    until(lambda: forge.site.head() == git_ok(forge.work, "rev-parse", "HEAD"))


def test_statuses_are_sent_again_and_given_up_where_the_forge_will_not_have_them(
    forge: Forge,
) -> None:
    forge.api.fails = lambda _call: 503 if len(forge.api.calls) <= 2 else 0
    forge.follow()
    tip = forge.push({"members/node-1.yaml": NODE})
    until(lambda: (tip, "success", "published to the members") in forge.api.statuses())
    until(lambda: (tip, "pending", "the members take it") in forge.api.statuses())
    assert [status for _, status in forge.api.answered[:2]] == [503, 503]
    forge.api.fails = lambda _call: 0
    forge.api.token = "another"
    other = forge.push({"members/node-2.yaml": NODE})

    def failed() -> list[Event]:  # also one of those before, which were to be sent again
        found = forge.events(EventName.FORGE_STATUS_FAILED)
        return [each for each in found if each.facts["tip"] == other]

    until(failed)
    assert "401" in str(failed()[0].facts["reason"])
    assert TOKEN not in json.dumps([dict(each.facts) for each in failed()])


@pytest.mark.needs("sshd")
def test_a_forge_is_reached_by_ssh_and_known_by_its_key_alone(forge: Forge, tmp_path: Path) -> None:
    options = ('ForceCommand eval "$SSH_ORIGINAL_COMMAND"',)
    with running_sshd(tmp_path / "sshd", options=options) as sshd:
        user = pwd.getpwuid(os.geteuid()).pw_name
        words = (
            "--url", f"ssh://{user}@127.0.0.1:{sshd.port}{forge.bare}",
            "--ssh-key-file", str(sshd.secrets_dir / "client"), "--poll-s", "3600",
        )  # fmt: skip
        (forge.root / "secret").write_text(SECRET, encoding="utf-8")
        hooks = ("--webhook-secret-file", str(forge.root / "secret"))
        wrong = (tmp_path / "sshd" / "secrets" / "client.pub").read_text(encoding="utf-8")
        forge.mirror(*words, *hooks, "--host-key", " ".join(wrong.split()[:2]))
        until(lambda: forge.events(EventName.FORGE_UNREACHABLE))
        (away,) = forge.events(EventName.FORGE_UNREACHABLE)
        assert "Host key verification failed" in str(away.facts["reason"])
        right = (tmp_path / "sshd" / "host_ed25519.pub").read_text(encoding="utf-8")
        forge.mirror("--host-key", " ".join(right.split()[:2]))
        tip = forge.push({"members/node-1.yaml": NODE})
        until(lambda: forge.site.head() == tip)
    forge.look_again()
    assert forge.site.head() == tip
    assert shutil.which("ssh")
