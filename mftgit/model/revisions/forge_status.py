"""What a forge is told of a commit: its status, in the shape of each forge's API."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import Any, Final
from urllib.parse import quote, urlsplit

from mftgit.model.names import Revision
from mftgit.model.printable import printable
from mftgit.model.revisions.mirror import ForgeKind, Mirror

_MAX_DESCRIPTION: Final = 140
"""What GitHub takes; the others take more."""


@unique
class StatusState(Enum):
    """How a commit stands."""

    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitStatus:
    """One word about ``revision``; of each ``context`` the last one counts."""

    revision: Revision
    context: str
    state: StatusState
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCall:
    """A request to the API; ``token_header`` is the header that the token goes into, after ``token_prefix``."""

    url: str
    token_header: str
    token_prefix: str
    body: dict[str, Any]


GATE: Final = "mftgit/gate"
MEMBERS: Final = "mftgit/members"


def status_call(mirror: Mirror, forge: ForgeKind, status: CommitStatus) -> StatusCall:
    """Return how ``forge`` is told of ``status``."""
    description = printable(" ".join(status.description.split()))[:_MAX_DESCRIPTION]
    api = mirror.api or default_api(mirror.url, forge)
    if forge is ForgeKind.GITLAB:
        state = "failed" if status.state is StatusState.FAILURE else status.state.value
        return StatusCall(
            url=f"{api}/projects/{quote(mirror.project, safe='')}/statuses/{status.revision}",
            token_header="PRIVATE-TOKEN",  # noqa: S106  a header's name
            token_prefix="",
            body={"state": state, "name": status.context, "description": description},
        )
    prefix = "Bearer " if forge is ForgeKind.GITHUB else "token "
    return StatusCall(
        url=f"{api}/repos/{quote(mirror.project)}/statuses/{status.revision}",
        token_header="Authorization",  # noqa: S106  a header's name
        token_prefix=prefix,
        body={"state": status.state.value, "context": status.context, "description": description},
    )


def default_api(url: str, forge: ForgeKind) -> str:
    """Return where the API of the forge that hosts ``url`` is, unless somebody says otherwise."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if forge is ForgeKind.GITHUB and host == "github.com":
        return "https://api.github.com"
    place = parts.netloc if parts.scheme in {"http", "https"} else host
    scheme = parts.scheme if parts.scheme in {"http", "https"} else "https"
    version = {ForgeKind.GITHUB: "v3", ForgeKind.GITLAB: "v4", ForgeKind.GITEA: "v1"}[forge]
    return f"{scheme}://{place}/api/{version}"


def is_settled(http_status: int, text: str) -> bool:
    """Tell whether an answer means that the forge has the status: GitLab refuses to set what is set already."""
    if 200 <= http_status < 300:  # noqa: PLR2004  success, RFC 9110
        return True
    return http_status == 400 and "Cannot transition status" in text  # noqa: PLR2004  bad request


def may_pass(http_status: int) -> bool:
    """Tell whether a failure may be over later."""
    return http_status >= 500 or http_status in {408, 425, 429}  # noqa: PLR2004  the server's own trouble
