"""What all pages have in common: the frame with its navigation, styles and scripts, and how values are shown."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, urlencode

from mftgit.adapters.http_server.doors import Door, NotServedError, Request, Response
from mftgit.adapters.page_templates import PageTemplates
from mftgit.controller.web.doors import Page
from mftgit.model.access import Access, OperatorRole, Principal
from mftgit.model.amounts import format_bytes, format_rate, format_span
from mftgit.model.printable import printable
from mftgit.model.web_guard import form_token
from mftgit.pages import list_page_parts, read_page_part

_FOLDER: Final = "manager"
_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_TOO_MANY: Final = 10**18
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class Layout:
    """Renders pages, and serves what they load, whose URL holds a digest of it and so may be kept for ever."""

    def __init__(self, guarded: Mapping[str, str], navigation: Sequence[tuple[str, str]]) -> None:
        """Show ``navigation``, titles with paths; answer what pages load with the headers ``guarded``."""
        self._navigation = navigation
        self._guarded = guarded
        self._loaded = {
            name: read_page_part(f"{_FOLDER}/{name}")
            for name in list_page_parts(_FOLDER)
            if _kind_of(name) is not None
        }
        whole = b"\0".join(
            each for pair in sorted(self._loaded.items()) for each in (pair[0].encode(), pair[1])
        )
        self._digest = hashlib.sha256(whole).hexdigest()[:16]
        self._templates = PageTemplates(_FOLDER, _FILTERS)

    def render(
        self,
        page: Page,
        who: Principal | None,
        secret: str | None,
        *,
        path: str,
        said: str = "",
    ) -> bytes:
        """Return ``page`` as ``who`` sees it, whose cookie holds ``secret``; ``said`` is what came of a form before.

        Raises ValueError where a value of the page has a name of the frame's: it would show in that one's place.
        """
        frame: dict[str, Any] = {
            "title": page.title,
            "live": page.live,
            "loads": f"/loads/{self._digest}",
            "navigation": self._navigation if who is not None else (),
            "path": path,
            "who": who,
            "may_propose": _may(who, OperatorRole.PROPOSE),
            "may_publish": _may(who, OperatorRole.PUBLISH),
            "form_token": form_token(secret) if secret else "",
            "said": said,
        }
        if both := frame.keys() & page.values.keys():
            raise ValueError(f"{page.template} takes the frame's {', '.join(sorted(both))}")
        return self._templates.render(page.template, {**frame, **page.values})

    def refusal(self, status: int, why: str) -> Page:
        """Return the page that tells why something is not given."""
        try:
            words = HTTPStatus(status).phrase
        except ValueError:
            words = str(status)
        return Page(template="refused.html", title=words, values={"why": why}, status=status)

    def door(self) -> Door:
        """Return the door to what pages load; it holds no secret and is anyone's."""
        return Door(
            method="GET",
            path="/loads/{digest}/{name}",
            access=Access.ANYONE,
            handle=self._load,
            at_once=self._load,
            polled=True,
        )

    def _load(self, request: Request) -> Response:
        name = request.params.get("name", "")
        content, kind = self._loaded.get(name), _kind_of(name)
        if content is None or kind is None:
            raise NotServedError(404, "there is no such file")
        kept = _FOR_EVER if request.params.get("digest") == self._digest else "no-cache"
        headers = {**self._guarded, "Content-Type": kind, "Cache-Control": kept}
        return Response(headers=headers, body=content)


def _may(who: Principal | None, role: OperatorRole) -> bool:
    return who is not None and who.role.may(role)


def _kind_of(name: str) -> str | None:
    return next((kind for ending, kind in _KINDS.items() if name.endswith(ending)), None)


def _ago(seconds: float | None) -> str:
    """Return how long ago that was, in the largest unit that fits."""
    if seconds is None:
        return "never"
    for unit, size_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _short(revision: str | None) -> str:
    return revision[:12] if revision else "-"


def _share(way: Mapping[str, Any]) -> int:
    """Return how much of a file under way is done, in percent."""
    size, done = way["bytes"], way["done_bytes"]
    return 100 if size <= 0 else max(0, min(100, int(100 * done // size)))


def _amount(words: Callable[[float], str]) -> Callable[[object], str]:
    """Return ``words`` for what a member tells, which may be anything: `-` for what is no number that people read."""

    def told(value: object) -> str:
        is_number = isinstance(value, int | float) and abs(value) < _TOO_MANY  # not so with NaN
        return words(value) if is_number else "-"  # type: ignore[arg-type]

    return told


def _some(value: object, most: int) -> list[object]:
    """Return the first things of a list; what is no list is the only one."""
    return value[:most] if isinstance(value, list) else [] if value is None else [value]


_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "ago": _ago,
    "short": _short,
    "printable": lambda text: printable(str(text)),
    "lines": lambda text: printable(str(text), keep="\n"),
    "size": _amount(format_bytes),
    "rate": _amount(format_rate),
    "span": _amount(format_span),
    "some": _some,
    "share": _share,
    "query": urlencode,
    "urlencode": lambda text: quote(str(text), errors="replace"),
}
