"""Names of files in the URLs of WebDAV, there and back (RFC 4918, 8.3; RFC 3986)."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, unquote_to_bytes, urlsplit

_UNRESERVED: Final = "~"  # `quote` leaves the other unreserved characters as they are


def quote_path(parts: Sequence[str], *, folder: bool = False) -> str:
    """Return the path of a URL that leads to ``parts``; that of a ``folder`` ends in ``/``."""
    path = "".join(f"/{_quote(part)}" for part in parts)
    return f"{path}/" if folder or not path else path


def _quote(part: str) -> str:
    return quote(part.encode("utf-8", "surrogateescape"), safe=_UNRESERVED)


def name_below(href: str, folder: Sequence[str]) -> str | None:
    """Return which name below ``folder`` an answer means by ``href``, and ``""`` where it means ``folder`` itself.

    None is for whatever else a server may say: other folders, deeper paths, and what is no name of a file.
    """
    try:
        path = urlsplit(href).path
    except ValueError:
        return None
    if not path.startswith("/"):
        return None
    parts = [_unquote(part) for part in path.split("/") if part]
    if parts == list(folder):
        return ""
    *above, name = parts or [""]
    if above != list(folder) or name in {"", ".", ".."} or "/" in name or "\0" in name:
        return None
    return name


def _unquote(part: str) -> str:
    return unquote_to_bytes(part).decode("utf-8", "surrogateescape")
