"""A forge's protected branch that the controller publishes: where it is, and what a look at it found."""

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum, unique
from typing import Any, Final
from urllib.parse import urlsplit

from mftgit.model.names import MAIN, Revision
from mftgit.model.revisions.push import Push, Verdict

WHO: Final = "forge"
"""Who has pushed what came from the forge, in events."""

MIN_POLL_S: Final = 5.0
MAX_POLL_S: Final = 86_400.0
MAX_HOOK_BYTES: Final = 1 << 20
"""Of a webhook: a forge tells some hundred bytes of each of at most 2,048 commits. A larger one is left to polling."""

_HOOKS: Final = 50
_HOOKS_S: Final = 10.0
_BRANCH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_SCP: Final = re.compile(r"(?P<user>[\w.-]+)@(?P<host>[\w.-]+):(?P<path>[^/].*)")
_HOST_KEY: Final = re.compile(
    r"(ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)|ssh-rsa) [A-Za-z0-9+/]+={0,2}"
)
_LONGEST: Final = 1_000


@unique
class ForgeKind(Enum):
    """Whose API takes the statuses; Forgejo speaks Gitea's."""

    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """``branch`` of the repository at ``url``, which is looked at every ``poll_s`` seconds, and after a webhook.

    ``host_key`` is the one line by which the server of an ssh URL is known. ``forge`` and ``api`` say where statuses
    go to, where a token is given. ``ca`` is PEM, for a server that shows a certificate of a company's own.
    """

    url: str
    branch: str = "main"
    poll_s: float = 60.0
    forge: ForgeKind | None = None
    api: str | None = None
    host_key: str | None = None
    ca: str | None = None

    @property
    def is_ssh(self) -> bool:
        """Tell whether it is reached by ssh."""
        return self.url.startswith("ssh://")

    @property
    def ref(self) -> str:
        """The branch's whole name there."""
        return f"refs/heads/{self.branch}"

    @property
    def project(self) -> str:
        """The repository's path at the forge, as ``acme/config``."""
        return urlsplit(self.url).path.strip("/").removesuffix(".git")

    def as_json(self) -> dict[str, Any]:
        """Return what `parse_mirror` reads."""
        return {**asdict(self), "forge": None if self.forge is None else self.forge.value}


def parse_mirror(value: Mapping[str, Any]) -> Mirror:
    """Return the settings that ``value`` holds; raises ValueError with what is wrong and what is expected."""
    url, forge = read_url(str(value["url"])), value.get("forge")
    branch, poll_s = str(value.get("branch") or "main"), float(value.get("poll_s") or 60.0)
    host_key, api, ca = (value.get(each) for each in ("host_key", "api", "ca"))
    if not _BRANCH.fullmatch(branch) or ".." in branch or len(branch) > _LONGEST:
        raise ValueError(f"{branch!r} is no name of a branch")
    if not MIN_POLL_S <= poll_s <= MAX_POLL_S:
        raise ValueError(f"poll_s is {poll_s:g}: expected {MIN_POLL_S:g} to {MAX_POLL_S:g} seconds")
    if url.startswith("ssh://") and not (
        isinstance(host_key, str) and _HOST_KEY.fullmatch(host_key)
    ):
        raise ValueError(
            "an ssh URL needs the host key by which the server is known, as ssh-keyscan prints it: "
            "ssh-ed25519 AAAAC3Nz…"
        )
    if api is not None:
        _check_https(str(api))
    kind = None if forge is None else ForgeKind(forge)
    return Mirror(
        url=url,
        branch=branch,
        poll_s=poll_s,
        forge=kind,
        api=None if api is None else str(api).rstrip("/"),
        host_key=host_key if url.startswith("ssh://") else None,
        ca=None if ca is None else str(ca),
    )


def read_url(text: str) -> str:
    """Return the URL of a repository, ``git@host:path`` as an ssh URL; raises ValueError."""
    found = _SCP.fullmatch(text)
    url = f"ssh://{found['user']}@{found['host']}/{found['path']}" if found else text
    if len(url) > _LONGEST or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the URL is longer than 1,000 characters, or holds others than ASCII")
    parts = urlsplit(url)
    if parts.password is not None or (parts.scheme != "ssh" and parts.username is not None):
        raise ValueError("the URL holds a user or a password: give a token by --token-file")
    if not parts.hostname or not parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            f"{text!r} is not the URL of a repository: https://HOST/PATH, or ssh://git@HOST/PATH"
        )
    if parts.hostname.startswith("-") or (parts.username or "").startswith("-"):
        raise ValueError(f"{text!r}: a name that begins with - is taken for an option")
    if parts.scheme == "ssh":
        return url
    _check_https(url)
    return url.rstrip("/")


def _check_https(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname and _is_loopback(parts.hostname):
        return
    raise ValueError(f"{url!r}: expected https:// (http:// is taken on loopback only), or ssh://")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_from_forge(headers: Mapping[str, str], body: bytes, secret: bytes) -> bool:
    """Tell whether a webhook shows that its sender knows ``secret``; names of ``headers`` are in lower case.

    GitHub, Gitea and Forgejo sign the body (HMAC-SHA-256), GitLab shows the secret itself. What is compared is compared
    in constant time. Nothing keeps a webhook from being sent again: it is a hint, and costs one look.
    """
    if not secret:
        return False
    digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
    github = headers.get("x-hub-signature-256", "")
    shown = (
        github.removeprefix("sha256=") if github.startswith("sha256=") else "",
        headers.get("x-gitea-signature", ""),
        headers.get("x-forgejo-signature", ""),
    )
    by_token = hmac.compare_digest(headers.get("x-gitlab-token", "").encode(), secret)
    signed = [hmac.compare_digest(each.encode(), digest.encode()) for each in shown]
    return by_token or any(signed)


class HookRate:
    """How many webhooks are looked at: `_HOOKS` in `_HOOKS_S` seconds, whoever sends them; polling sees the rest."""

    def __init__(self) -> None:
        self._since_s = -_HOOKS_S
        self._count = 0

    def takes(self, now_s: float) -> bool:
        """Tell whether one more is looked at."""
        if now_s - self._since_s >= _HOOKS_S:
            self._since_s, self._count = now_s, 0
        self._count += 1
        return self._count <= _HOOKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What was refused, on top of which published revision and by which version, so that it is not judged again."""

    tip: Revision
    main: Revision | None
    version: str
    reason: str


def unmirrored() -> Verdict:
    """Return the refusal of a forge's branch where members want to see approvals signed, which no forge brings."""
    return Verdict(
        reason="members want signed approvals",
        explanation=(
            "trust.require_approvals of cluster.yaml has members take what was approved by mftgit review alone",
            "a forge's approvals are not signed: members would refuse this revision",
            "either leave trust.require_approvals out on that branch; where it is published already, say",
            "mftgit controller mirror --off, have a proposal without it approved here, and push main to the forge",
            "or let reviews be here, and mirror no forge: mftgit controller mirror --off",
        ),
    )


def notes(*, review: bool, approvals: bool) -> tuple[str, ...]:
    """Return what somebody should know of a published revision while a forge is mirrored.

    ``review``: its cluster.yaml has that section. ``approvals``: members want approvals signed.
    """
    found = []
    if review:
        found.append(
            "review of cluster.yaml does not hold for what comes from the forge: protect the branch there"
        )
    if approvals:
        found.append(
            "trust.require_approvals of cluster.yaml: nothing is published from the forge, "
            "because members take what was approved by mftgit review alone"
        )
    return tuple(found)


def mirrored(push: Push, mirror: Mirror) -> Verdict | None:
    """Return the refusal of a push to this repository while a forge's branch is published; None where it is taken."""
    if push.update.ref != MAIN and push.update.new is None:
        return None  # what was proposed before may go
    return Verdict(
        reason="published from a forge",
        explanation=(
            f"the controller publishes the branch {mirror.branch} of {mirror.url}, and nothing that is pushed here",
            f"propose it there; what is on that branch is published within {mirror.poll_s:g} seconds",
            "where the forge is gone for good: mftgit controller mirror --off, on the controller's machine",
        ),
    )
