"""Whether a browser's request comes from the controller's own pages, and where it may be sent on to."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

SAME_ORIGIN: Final = "same-origin"


def why_foreign(headers: Mapping[str, str], *, needs_proof: bool) -> str | None:
    """Return why a request that changes something is not taken; None where it is no other site's.

    ``headers`` are found by their names in lower case. Browsers say whence they come (Fetch Metadata, Origin of
    RFC 6454), programs do not: without ``needs_proof`` one that says nothing is taken.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return None if site == SAME_ORIGIN else f"it comes from a page that is {site[:20]}"
    if origin is not None:
        own = f"https://{headers.get('host', '')}"
        return None if origin == own else f"it comes from {origin[:100]}, and this is {own[:100]}"
    return "it does not say from which page it comes" if needs_proof else None


def form_token(secret: str) -> str:
    """Return what a form has to hold to come from a page that was given to who has ``secret``, a cookie."""
    return hmac.digest(secret.encode(), b"mftgit form", hashlib.sha256).hex()


def is_form_token(shown: str, secret: str) -> bool:
    """Tell whether ``shown`` is the one of ``secret``."""
    return hmac.compare_digest(shown.encode(errors="replace"), form_token(secret).encode())


def read_cookie(header: str, name: str) -> str | None:
    """Return the value of the cookie ``name`` in the header ``Cookie`` (RFC 6265, 4.2); None where it is not there."""
    for pair in header.split(";"):
        key, _, value = pair.strip().partition("=")
        if key == name and value:
            return value
    return None


def own_path(text: str, default: str = "/") -> str:
    """Return the page to go to after a login: ``text`` where that is a path here, otherwise ``default``.

    A second slash or a backslash after the first makes another host of it, and browsers drop control characters.
    """
    if not text.startswith("/") or text[1:2] in {"/", "\\"} or "\\" in text:
        return default
    return text if text.isascii() and text.isprintable() and " " not in text else default
