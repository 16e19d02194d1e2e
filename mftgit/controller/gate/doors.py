"""The doors to the hosted repository: git's smart HTTP protocol (gitprotocol-http(5))."""

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO, Final, cast

from mftgit.adapters.git.http import MAX_QUESTION_BYTES, GitHttp, GitRequest, GitResponse
from mftgit.adapters.http_server.doors import Door, Pool, Request, Response
from mftgit.controller.gate.limits import PublishedLimits
from mftgit.controller.members.asked import known
from mftgit.model.access import Access, OperatorRole
from mftgit.model.documents.places import CLUSTER_FILE

_REPOSITORY: Final = "/config.git"
_BOUNDED_BY: Final = (
    f"; gate.limits in the published {CLUSTER_FILE} says so (max_pack_bytes, max_request_s)"
)


def git_doors(git: GitHttp, limits: PublishedLimits) -> Sequence[Door]:
    """Return the doors behind which ``git`` answers; a push may be as large as ``limits`` say."""
    doors = (
        Door(method="GET", path="/info/refs", access=Access.KNOWN),
        Door(
            method="POST",
            path="/git-upload-pack",
            access=Access.KNOWN,
            max_body_bytes=MAX_QUESTION_BYTES,
        ),
        Door(
            method="POST",
            path="/git-receive-pack",
            access=Access.KNOWN,
            role=OperatorRole.PROPOSE,
            max_body_bytes=lambda: limits.last.body_bytes,
            max_body_s=lambda: limits.last.max_request_s,
            bounded_by=_BOUNDED_BY,
        ),
    )

    def fetched_before(request: Request) -> Response | None:
        answer = git.at_once(_to_git(request))
        return None if answer is None else _from_git(answer)

    return [
        replace(
            door,
            path=_REPOSITORY + door.path,
            handle=lambda request: _from_git(git.handle(_to_git(request))),
            at_once=fetched_before,
            pool=Pool.GIT,
        )
        for door in doors
    ]


def _to_git(request: Request) -> GitRequest:
    principal = known(request)
    return GitRequest(
        method=request.method,
        path=request.path.removeprefix(_REPOSITORY),
        query=request.query,
        headers=request.headers,
        body=cast("BinaryIO", request.body),
        who=str(principal),
        kind=principal.kind,
        role=principal.role,
    )


def _from_git(answer: GitResponse) -> Response:
    return Response(status=answer.status, headers=answer.headers, body=answer.body)
