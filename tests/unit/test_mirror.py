"""Which forge is mirrored is read strictly; its webhooks are hints that only it can give."""

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.access import OperatorRole
from mftgit.model.names import MAIN, Revision
from mftgit.model.revisions.forge_status import (
    GATE,
    CommitStatus,
    StatusState,
    default_api,
    is_settled,
    may_pass,
    status_call,
)
from mftgit.model.revisions.mirror import (
    ForgeKind,
    HookRate,
    Mirror,
    is_from_forge,
    mirrored,
    notes,
    parse_mirror,
    read_url,
    unmirrored,
)
from mftgit.model.revisions.push import Push, RefUpdate

TIP = Revision("a" * 40)
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINqHPD5s9DAzoF9WfStHb8C+BV2oiFNN6Hwp1oAWaTtc"
WEB = {"url": "https://git.example/acme/config.git"}


def test_settings_are_what_was_written() -> None:
    for value in (
        WEB,
        {
            **WEB,
            "branch": "release/1",
            "poll_s": 5,
            "forge": "gitlab",
            "api": "https://x/api/v4/",
            "ca": "PEM",
        },
        {"url": "git@git.example:acme/config.git", "host_key": KEY},
    ):
        assert parse_mirror(parse_mirror(value).as_json()) == parse_mirror(value)
    mirror = parse_mirror({"url": "git@git.example:acme/config.git", "host_key": KEY})
    assert mirror.url == "ssh://git@git.example/acme/config.git"
    assert mirror.is_ssh
    assert mirror.project == "acme/config"
    assert mirror.ref == MAIN


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({**WEB, "branch": "-x"}, "no name of a branch"),
        ({**WEB, "branch": "a..b"}, "no name of a branch"),
        ({**WEB, "poll_s": 1}, "expected 5 to 86400"),
        ({**WEB, "poll_s": float("nan")}, "expected 5 to 86400"),
        ({**WEB, "forge": "sourceforge"}, "sourceforge"),
        ({**WEB, "api": "http://git.example/api"}, "expected https"),
        ({"url": "ssh://git@git.example/x"}, "host key"),
        ({"url": "ssh://git@git.example/x", "host_key": f"{KEY}\n@cert-authority"}, "host key"),
    ],
)
def test_settings_that_would_not_do_are_refused(value: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_mirror(value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://user:secret@git.example/x", "--token-file"),
        ("https://user@git.example/x", "--token-file"),
        ("http://git.example/x", "loopback only"),
        ("git://git.example/x", "expected https"),
        ("file:///etc", "not the URL"),
        ("https://git.example/", "not the URL"),
        ("https://git.example/x?y", "not the URL"),
        ("ssh://-oProxyCommand=x/y", "taken for an option"),
        ("ssh://-x@git.example/y", "taken for an option"),
        ("https://git.example/" + "x" * 1_000, "longer"),
        ("https://git.exämple/x", "ASCII"),
    ],
)
def test_an_address_that_is_none_or_not_safe_is_refused(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_url(url)


def test_plain_http_is_taken_on_loopback() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert read_url(f"http://{host}:80/x/") == f"http://{host}:80/x"


def sign(body: bytes, secret: bytes) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


@given(st.binary(max_size=50), st.binary(min_size=1, max_size=20))
def test_a_webhook_of_each_forge_is_known_by_the_secret(body: bytes, secret: bytes) -> None:
    digest = sign(body, secret)
    assert is_from_forge({"x-hub-signature-256": f"sha256={digest}"}, body, secret)
    assert is_from_forge({"x-gitea-signature": digest}, body, secret)
    assert is_from_forge({"x-forgejo-signature": digest}, body, secret)
    assert not is_from_forge({"x-hub-signature-256": digest}, body, secret)
    assert not is_from_forge({"x-gitea-signature": digest}, body + b"x", secret)
    assert not is_from_forge({"x-gitea-signature": sign(body, secret + b"x")}, body, secret)


def test_gitlab_shows_its_secret_and_nobody_gets_in_without_one() -> None:
    assert is_from_forge({"x-gitlab-token": "word"}, b"", b"word")
    assert not is_from_forge({"x-gitlab-token": "wörd"}, b"", b"word")
    assert not is_from_forge({}, b"", b"word")
    for nothing in ({"x-gitlab-token": ""}, {"x-gitea-signature": sign(b"", b"")}, {}):
        assert not is_from_forge(nothing, b"", b"")


def test_webhooks_are_looked_at_so_often_and_no_more() -> None:
    rate = HookRate()
    assert [rate.takes(5.0) for _ in range(51)].count(True) == 50
    assert not rate.takes(14.0)
    assert rate.takes(16.0)


def push(ref: str, new: Revision | None) -> Push:
    update = RefUpdate(ref=ref, old=TIP, new=new)
    return Push(
        who="ann", role=OperatorRole.PUBLISH, update=update, current=TIP, fault=None, is_commit=True,
        is_fast_forward=True, tree=dict, published=dict, before=tuple, commits=lambda: iter(()),
    )  # fmt: skip


def test_who_pushes_here_is_told_where_to_propose() -> None:
    mirror = parse_mirror(WEB)
    for ref in (MAIN, "refs/heads/change/x"):
        refused = mirrored(push(ref, TIP), mirror)
        assert refused is not None
        assert "https://git.example/acme/config.git" in " ".join(refused.explanation)
    assert mirrored(push("refs/heads/change/x", None), mirror) is None
    assert mirrored(push(MAIN, None), mirror) is not None


def status(text: str = "published") -> CommitStatus:
    return CommitStatus(revision=TIP, context=GATE, state=StatusState.FAILURE, description=text)


@pytest.mark.parametrize(
    ("url", "forge", "api", "at"),
    [
        (
            "https://github.com/a/b",
            ForgeKind.GITHUB,
            None,
            f"https://api.github.com/repos/a/b/statuses/{TIP}",
        ),
        (
            "https://ghe.x/a/b.git",
            ForgeKind.GITHUB,
            None,
            f"https://ghe.x/api/v3/repos/a/b/statuses/{TIP}",
        ),
        (
            "ssh://git@gitea.x:22/a/b",
            ForgeKind.GITEA,
            None,
            f"https://gitea.x/api/v1/repos/a/b/statuses/{TIP}",
        ),
        (
            "https://lab.x/g/a/b",
            ForgeKind.GITLAB,
            None,
            f"https://lab.x/api/v4/projects/g%2Fa%2Fb/statuses/{TIP}",
        ),
        (
            "https://x/a/b",
            ForgeKind.GITEA,
            "https://y/v9",
            f"https://y/v9/repos/a/b/statuses/{TIP}",
        ),
    ],
)
def test_a_status_goes_where_each_forge_takes_it(
    url: str, forge: ForgeKind, api: str | None, at: str
) -> None:
    assert status_call(Mirror(url=url, api=api), forge, status()).url == at


def test_a_status_is_short_and_in_each_forge_s_words() -> None:
    mirror = Mirror(url="https://x/a/b")
    github = status_call(mirror, ForgeKind.GITHUB, status("a\n" + "x" * 500))
    assert github.body["state"] == "failure"
    assert len(github.body["description"]) == 140
    assert (github.token_header, github.token_prefix) == ("Authorization", "Bearer ")
    gitlab = status_call(mirror, ForgeKind.GITLAB, status())
    assert (gitlab.body["state"], gitlab.body["name"]) == ("failed", GATE)
    assert (
        default_api("http://127.0.0.1:3000/a/b", ForgeKind.GITEA) == "http://127.0.0.1:3000/api/v1"
    )


def test_what_a_forge_answers_says_whether_to_ask_again() -> None:
    assert is_settled(201, "")
    assert is_settled(400, "Cannot transition status via :run from :running")
    assert not is_settled(400, "no")
    assert may_pass(503)
    assert may_pass(429)
    assert not may_pass(401)


def test_what_a_revision_says_of_review_is_noted_beside_a_forge() -> None:
    assert notes(review=False, approvals=False) == ()
    (one,) = notes(review=True, approvals=False)
    assert "protect the branch" in one
    both = notes(review=True, approvals=True)
    assert both[0] == one
    assert "nothing is published from the forge" in both[1]
    refused = unmirrored()
    assert refused.reason == "members want signed approvals"
    assert any("mirror --off" in each for each in refused.explanation)
