"""What a resource of the Web Manager is made of: doors of the API, pages, forms that call the API, and live topics."""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mftgit.adapters.http_server.doors import NotServedError, Pool, Response
from mftgit.model.access import OperatorRole, Principal

MAX_BODY_BYTES = 64 << 10

Schema = Mapping[str, Any]
"""A JSON schema, draft 2020-12."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of a door, by whom; ``body`` is an API call's JSON, ``form`` the fields of a form.

    ``session`` is None where a program asks with name and password.
    """

    who: Principal
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: Any = None
    form: Mapping[str, Sequence[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    session: str | None = None
    client: str = "-"

    def text(self, name: str, default: str = "") -> str:
        """Return one field of the form."""
        return next(iter(self.form.get(name, ())), default)

    def asked(self, name: str, default: str = "") -> str:
        """Return one parameter of the URL."""
        return next(iter(self.query.get(name, ())), default)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDoor:
    """One call of the API; the OpenAPI document tells of it what stands here.

    ``handle`` returns what becomes JSON, or a whole `Response` where it is something else. ``answer`` is its schema, or
    the name of one in ``schemas/``; ``body`` that of what is sent, None where that is nothing. ``query`` holds the
    schemas of the parameters in the URL by their names.
    """

    method: str
    path: str
    role: OperatorRole
    summary: str
    answer: Schema | str
    handle: Callable[[Asked], Any]
    body: Schema | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    max_body_bytes: int = MAX_BODY_BYTES
    pool: Pool = Pool.PEOPLE
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page: a template of ``mftgit/pages/manager``, what it is called, and the values that it shows.

    ``live``: the topic whose news make the browser fetch the page again (see `Topic`).
    """

    template: str
    title: str
    values: Mapping[str, Any] = field(default_factory=dict)
    live: str | None = None
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class GoTo:
    """The browser goes on to this path; ``said`` is shown there once, as what came of a form."""

    path: str
    said: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDoor:
    """One page. With POST it is a form that answers by a page of its own; `FormDoor` is for all others."""

    method: str = "GET"
    path: str
    role: OperatorRole = OperatorRole.READ
    handle: Callable[[Asked], Page | GoTo]
    max_body_bytes: int = MAX_BODY_BYTES
    pool: Pool = Pool.PEOPLE


@dataclass(frozen=True, slots=True, kw_only=True)
class FormDoor:
    """Where a form is sent: ``call`` is done with the ``body`` that is made of the form, then the browser goes ``to``.

    So whatever a form does is in the API, for the same role. ``path`` has the named parts of the call's path.
    """

    path: str
    call: ApiDoor
    to: Callable[[Asked, Any], GoTo]
    body: Callable[[Asked], Any] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDoor:
    """A call of the API whose answer is sent as it comes; ``answer`` is the schema of one piece of it.

    ``stream`` is called on the loop and returns at once; it may raise `NotServedError`. ``stop`` is called before the
    server ends, so that what it streams ends too. The rest is as in `ApiDoor`.
    """

    path: str
    role: OperatorRole
    summary: str
    answer: Schema | str
    stream: Callable[[Asked], AsyncIterator[bytes]]
    media_type: str
    query: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    stop: Callable[[], None] = lambda: None
    method: str = "GET"
    body: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """What pages can be live by: ``mark`` returns a text that is another one as soon as there is news.

    It is asked once a second in a thread, while any page is open that is live by ``name``.
    """

    name: str
    mark: Callable[[], str]
    role: OperatorRole = OperatorRole.READ


AnyDoor = ApiDoor | StreamDoor | PageDoor | FormDoor | Topic


def not_found(what: str) -> NotServedError:
    """Return the error for what is not there."""
    return NotServedError(404, f"there is no {what}")


def json_response(value: Any, *, status: int = 200) -> Response:
    """Return ``value`` as an answer of the API."""
    return Response(
        status=status,
        headers={"Content-Type": "application/json"},
        body=json.dumps(value).encode(),
    )
