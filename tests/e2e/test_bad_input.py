"""Bad input, each with a clear answer and nothing lost."""

import os
import socket
from pathlib import Path

import pytest
from cluster import Cluster, mftgit, mftgit_json

from mftgit.model.members.token import JoinToken, format_token, parse_token
from mftgit.model.names import MemberName


def refusal(made: Cluster, clone: Path, changes: dict[str, str | None]) -> str:
    """Push ``changes``, which have to be refused; return what the pusher sees and leave no trace."""
    before = made.git("ls-remote", made.url, "refs/heads/main").stdout
    done = made.try_push(clone, changes)
    assert done.returncode != 0
    assert made.git("ls-remote", made.url, "refs/heads/main").stdout == before
    made.git("reset", "--quiet", "--hard", "origin/main", cwd=clone)
    return done.stderr


@pytest.fixture
def alone(empty: Cluster) -> Cluster:
    """A controller without nodes."""
    empty.init()
    empty.start_controller()
    return empty


def test_every_kind_of_bad_document_is_refused_with_its_place(alone: Cluster) -> None:
    clone = alone.clone()
    good = "source: {location: a}\ndestination: {location: b}\ntrigger: {interval: {every_s: 5}}\n"
    seen = refusal(alone, clone, {"transfers/t.yaml": "source: {location: a\n"})
    assert "transfers/t.yaml:" in seen
    seen = refusal(alone, clone, {"transfers/t.json": '{"source": }'})
    assert "transfers/t.json:1:" in seen
    seen = refusal(alone, clone, {"cluster.yaml": "name: x\nnmae: y\n"})
    assert "cluster.yaml:2:1" in seen
    seen = refusal(alone, clone, {"transfers/t.yaml": good})
    assert "transfers/t.yaml:1:20" in seen  # both references dangle, and both are told
    assert "transfers/t.yaml:2:25" in seen
    seen = refusal(
        alone,
        clone,
        {
            "locations/a.yaml": "type: local\npath: a\n",
            "locations/A.yaml": "type: local\npath: b\n",
        },
    )
    assert "locations/A.yaml" in seen
    assert "locations/a.yaml" in seen


def test_a_push_that_removes_everything_is_refused(alone: Cluster) -> None:
    clone = alone.clone()
    seen = refusal(alone, clone, {"cluster.yaml": None, "members/controller.yaml": None})
    assert "cluster.yaml" in seen


def test_history_is_neither_rewritten_nor_deleted(alone: Cluster) -> None:
    clone = alone.clone()
    alone.push(clone, {"note.md": "one"})
    alone.git("commit", "--quiet", "--amend", "-m", "Other", cwd=clone)
    forced = alone.git("push", "--force", "origin", "HEAD:main", cwd=clone)
    assert forced.returncode != 0
    assert "non-fast-forward" in forced.stderr
    deleted = alone.git("push", "origin", ":main", cwd=clone)
    assert deleted.returncode != 0
    assert "cannot be deleted" in deleted.stderr
    other = alone.git("push", "origin", "HEAD:refs/heads/other", cwd=clone)
    assert other.returncode != 0
    assert "only main" in other.stderr


def test_a_wrong_password_and_a_removed_operator_are_let_in_nowhere(alone: Cluster) -> None:
    folder = alone.dir("controller")
    wrong = alone.git("ls-remote", alone.url, password="wrong")
    assert wrong.returncode != 0
    assert "Authentication failed" in wrong.stderr
    alice = mftgit_json("operator", "add", "alice", "--dir", folder, cwd=alone.root)
    credential = {"who": "alice", "password": alice["password"]}
    assert alone.git("ls-remote", alone.url, **credential).returncode == 0
    assert mftgit("operator", "remove", "alice", "--dir", folder, cwd=alone.root).returncode == 0
    assert alone.git("ls-remote", alone.url, **credential).returncode != 0
    assert "LoginFailed" in {each["event"] for each in alone.events()}


def join(made: Cluster, name: str, token: str) -> tuple[int, str]:
    done = mftgit(
        "join", made.dir(name), "--controller", made.access["url"], "--token", token, cwd=made.root
    )
    return done.returncode, done.stderr


def test_a_token_opens_once_and_only_for_whom_it_was_made(alone: Cluster) -> None:
    token = alone.invite("node-1")
    parsed = parse_token(token)
    guessed = JoinToken(member=parsed.member, ca_sha256=parsed.ca_sha256, secret="guessed")
    for wrong in (
        guessed,
        JoinToken(member=MemberName("node-2"), ca_sha256=parsed.ca_sha256, secret=parsed.secret),
    ):
        code, said = join(alone, "wrong", format_token(wrong))
        assert code == 1
        assert "mftgit member add" in said
    assert join(alone, "node-1", token)[0] == 0
    code, said = join(alone, "thief", token)
    assert code == 1
    assert "used already" in said
    assert not (alone.dir("thief") / "bootstrap.json").exists()


def test_a_controller_that_is_not_the_token_s_is_not_joined(alone: Cluster) -> None:
    parsed = parse_token(alone.invite("node-1"))
    other = JoinToken(member=parsed.member, ca_sha256="0" * 64, secret=parsed.secret)
    code, said = join(alone, "node-1", format_token(other))
    assert code == 2
    assert "not the controller that gave the token" in said


def test_half_a_token_is_wrong_usage(alone: Cluster) -> None:
    code, said = join(alone, "node-1", alone.invite("node-1")[:20])
    assert code == 2
    assert "not a whole join token" in said


def test_a_controller_that_does_not_answer_is_worth_another_try(alone: Cluster) -> None:
    token = alone.invite("node-1")
    alone.kill("controller")
    assert join(alone, "node-1", token)[0] == 75
    alone.start_controller()
    assert join(alone, "node-1", token)[0] == 0  # the same token, since it was not used up


def test_a_removed_member_is_cut_off(alone: Cluster) -> None:
    alone.add_node("node-1")
    alone.until("node-1 is active", lambda: alone.member("node-1")["state"] == "active")
    mftgit_json("member", "remove", "node-1", "--dir", alone.dir("controller"), cwd=alone.root)
    alone.push(alone.clone(), {"note.md": "one"})
    alone.until(
        "the removed member is refused",
        lambda: any(each["event"] == "LoginFailed" for each in alone.events()),
    )
    assert [each["name"] for each in alone.status()["members"]] == ["controller"]
    for _ in range(2):
        alone.until(
            "it says so itself",
            lambda: alone.member("node-1", seen_by="node-1")["state"] == "removed",
        )
        if "controller" in alone.running:
            alone.kill("controller")
            alone.stop("node-1")
            alone.start("node-1")


def test_a_node_whose_store_is_broken_runs_again_by_itself(alone: Cluster) -> None:
    alone.add_node("node-1")
    alone.until("node-1 is active", lambda: alone.member("node-1")["state"] == "active")
    alone.stop("node-1")
    for path in (alone.dir("node-1") / "store.git/objects/pack").iterdir():
        path.chmod(0o644)
        path.write_bytes(b"\xff" * 5000)
    alone.kill("controller")
    alone.start("node-1")
    alone.until(
        "it says what is wrong",
        lambda: "store.git" in str(alone.member("node-1", seen_by="node-1")["reason"]),
    )
    alone.start_controller()
    alone.until("node-1 is active again", lambda: alone.member("node-1")["state"] == "active")


def test_a_port_in_use_is_told_with_the_way_out(empty: Cluster) -> None:
    empty.init()
    port = int(empty.access["url"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        done = mftgit("run", empty.dir("controller"), cwd=empty.root)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--listen" in done.stderr


def test_a_state_folder_in_use_is_told_with_the_process(alone: Cluster) -> None:
    done = mftgit("run", alone.dir("controller"), cwd=alone.root)
    assert done.returncode == 1
    assert str(alone.running["controller"].pid) in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_folder_that_cannot_be_written_is_told(empty: Cluster) -> None:
    empty.init()
    empty.dir("controller").chmod(0o500)
    done = mftgit("run", empty.dir("controller"), cwd=empty.root)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_a_state_folder_below_a_file_is_told(empty: Cluster) -> None:
    (empty.root / "file").write_text("x", encoding="utf-8")
    done = mftgit("controller", "init", empty.root / "file" / "ctl", cwd=empty.root)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_a_missing_key_is_told_and_a_missing_certificate_is_made_anew(alone: Cluster) -> None:
    alone.join("node-1")
    (alone.dir("node-1") / "member.key").unlink()
    done = mftgit("run", alone.dir("node-1"), cwd=alone.root)
    assert done.returncode == 2
    assert "member.key" in done.stderr
    assert "Traceback" not in done.stderr
    alone.stop("controller")
    (alone.dir("controller") / "tls.pem").unlink()
    alone.start_controller()
    assert alone.git("ls-remote", alone.url).returncode == 0


def test_a_folder_without_a_member_is_told_with_the_way_out(empty: Cluster) -> None:
    for verb in (["run", str(empty.root)], ["status", "--dir", str(empty.root)]):
        done = mftgit(*verb, cwd=empty.root)
        assert done.returncode == 2
        assert "mftgit join" in done.stderr


def test_a_first_revision_with_problems_makes_no_controller(empty: Cluster) -> None:
    (empty.root / "documents").mkdir()
    done = mftgit(
        "controller",
        "init",
        empty.dir("controller"),
        "--from",
        empty.root / "documents",
        cwd=empty.root,
    )
    assert done.returncode == 2
    assert "cluster.yaml" in done.stderr
    assert not empty.dir("controller").exists()


def test_an_unknown_verb_and_a_bad_option_are_wrong_usage(empty: Cluster) -> None:
    assert mftgit("nonsense", cwd=empty.root).returncode == 2
    bad = mftgit("controller", "init", empty.dir("c"), "--listen", "8443", cwd=empty.root)
    assert bad.returncode == 2
    assert "HOST:PORT" in bad.stderr
