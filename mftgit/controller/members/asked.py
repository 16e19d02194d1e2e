"""What a request to the controller says: who asks, from which number on; and what is answered as JSON."""

import json
import re
from collections.abc import Mapping
from typing import Any

from mftgit.adapters.http_server.doors import Request, Response
from mftgit.controller.members.collect import BadReportError, own_name
from mftgit.model.access import Principal
from mftgit.model.names import MemberName


def known(request: Request) -> Principal:
    """Return who asks.

    Raises:
        BadReportError: nobody knows.
    """
    if request.principal is None:
        raise BadReportError("log in first")
    return request.principal


def itself(request: Request) -> MemberName:
    """Return the member that the path names, when it is the one that asks.

    Raises:
        BadReportError: it is another one.
    """
    member = own_name(request.params)
    if known(request).name != member:
        raise BadReportError(f"{request.principal} may speak for itself only, not for {member}")
    return member


def after(request: Request) -> int:
    """Return the number that the query names, 0 where it names none.

    Raises:
        BadReportError: the query is another one.
    """
    found = re.fullmatch(r"(?:after=(\d{1,18}))?", request.query)
    if found is None:
        raise BadReportError("the query is not after=NUMBER")
    return int(found[1] or 0)


def as_json(
    value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return ``value`` as an answer."""
    return Response(
        status=status,
        headers={"Content-Type": "application/json", **(headers or {})},
        body=json.dumps(value).encode(),
    )
