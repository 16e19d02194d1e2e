"""Paths as an account writes them, worked out in the text alone, and the names of its unfinished uploads."""

import hashlib
import unicodedata
from functools import lru_cache
from typing import Final

from mftgit.model.names import AccountName

RESERVED: Final = ".mftgit"
"""Names that begin so are the cluster's own: for an account they do not exist."""

TEMPORARY: Final = f"{RESERVED}-upload-"
"""How the names of unfinished uploads begin; they lie beside their destination."""

FAR_TEMPORARY: Final = ".upload-mftgit-"
"""How they are called on their way on a server, which may be a cluster of this kind that takes no `RESERVED` names."""

MAX_PATH_BYTES: Final = 4096
MAX_NAME_BYTES: Final = 255
MAX_DEPTH: Final = 100

Parts = tuple[str, ...]


@lru_cache(maxsize=4096)  # a file's path comes again with each request for it
def parts_of(path: str) -> Parts:
    """Return the names that ``path`` leads through from ``/``; ``.`` and ``..`` are worked out, the latter never above.

    Raises:
        ValueError: it is too long or too deep, or no file can have such a name; the message is for a client.
    """
    try:
        length = len(path.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise ValueError("the path has a character that no name can hold") from None
    if length > MAX_PATH_BYTES:
        raise ValueError(f"the path has {length:,} bytes; at most {MAX_PATH_BYTES:,} are taken")
    if "\0" in path:
        raise ValueError("the path holds a NUL")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    _require_bounds(parts)
    return tuple(parts)


def text_of(parts: Parts) -> str:
    """Return the absolute path that leads through ``parts``."""
    return "/" + "/".join(parts)


def is_reserved(name: str) -> bool:
    """Tell whether ``name`` is the cluster's own, also where storage tells no case or invisible signs apart."""
    return _folded_name(name).startswith(RESERVED)


def is_reserved_far(name: str) -> bool:
    """Tell whether ``name`` is the cluster's own in a folder on a server."""
    return _folded_name(name).startswith((RESERVED, FAR_TEMPORARY))


@lru_cache(maxsize=256)  # of a rule's path; signs of one client may fold to many times as many
def folded(path: str) -> str:
    """Return what all spellings of ``path`` have in common that some storage takes for one."""
    return "/".join(_folded_name(each) for each in path.split("/"))


def temporary_name(account: AccountName, name: str) -> str:
    """Return what an upload of ``account`` to ``name`` is called until it is finished: the same each time."""
    text = f"{account}\0{name}".encode("utf-8", "surrogateescape")
    return f"{TEMPORARY}{hashlib.sha256(text).hexdigest()[:32]}"


def _folded_name(name: str) -> str:
    if not name.isascii():
        plain = unicodedata.normalize("NFKD", name)
        name = "".join(each for each in plain if unicodedata.category(each) != "Cf")
    return name.casefold().rstrip(". ") or name  # Windows drops dots and blanks at the end


def _require_bounds(parts: list[str]) -> None:
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"the path is {len(parts):,} names deep; at most {MAX_DEPTH} are taken")
    for part in parts:
        length = len(part.encode("utf-8", "surrogateescape"))
        if length > MAX_NAME_BYTES:
            raise ValueError(f"a name has {length:,} bytes; at most {MAX_NAME_BYTES} are taken")
