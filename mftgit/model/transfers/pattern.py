"""Patterns of file names: globs as in a shell, and regular expressions of RE2.

RE2 takes time that is linear in the name whatever the expression is (https://github.com/google/re2), which
Python's own ``re`` does not: ``(a+)+b`` would stop a member for good, and a rule by which ``re`` could be trusted
would refuse much of what is harmless. It has no look-around and no back-references.
"""

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

import re2

from mftgit.model.transfers.source import Pattern, Regex

MEMORY_BYTES: Final = 256 * 1024
"""What one compiled expression may take; RE2 refuses what needs more."""

_COMPILED: Final = 1024  # of them are remembered


def matches(path: str, pattern: Pattern, *, hidden: bool) -> bool:
    """Tell whether ``pattern`` matches ``path``, upper and lower case told apart.

    In a glob, ``*`` and ``?`` stay within one part of the path, ``[…]`` is one of these characters, ``[!…]`` none of
    them, and ``**`` as a whole part is any number of parts. As in a ``.gitignore``, a pattern without ``/`` is for the
    file's own name in whatever folder, and one with ``/`` for the whole path. A regular expression has to match all of
    that.

    Args:
        path: parts with ``/`` between them.
        pattern: a glob or a regular expression.
        hidden: whether a wildcard matches a dot at the beginning of a part, as it does not in a shell; for a regular
            expression, whether it matches hidden names without naming a dot at such a beginning.
    """
    if isinstance(pattern, Regex):
        return _regex_matches(path, pattern.regex, hidden=hidden)
    parts = pattern.strip("/").split("/") if "/" in pattern else ["**", pattern]
    return _parts_match(path.split("/"), parts, hidden=hidden)


def ends_in(pattern: Pattern, suffix: str) -> bool:
    """Tell whether ``pattern`` names the ending ``suffix``."""
    if isinstance(pattern, Regex):
        return pattern.regex.removesuffix("$").replace("\\", "").endswith(suffix)
    return pattern.endswith(suffix)


def why_no_regex(regex: str) -> str | None:
    """Return why ``regex`` is no regular expression of RE2, None where it is one."""
    try:
        _compiled(regex)
    except re2.error as error:
        return _reason(error)
    return None


def _reason(error: re2.error) -> str:
    told = error.args[0] if error.args else b""
    return told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)


def _regex_matches(path: str, regex: str, *, hidden: bool) -> bool:
    *above, name = path.split("/")
    whole = "/" in regex
    if not hidden and not _names_hidden(regex):
        if name.startswith(".") or any(part.startswith(".") for part in above):
            return False
    elif not hidden and not whole and any(part.startswith(".") for part in above):
        return False
    # A name that is not UTF-8 (PEP 383) has a question mark for what is not.
    told = (path if whole else name).encode("utf-8", "replace")
    return _compiled(regex).fullmatch(told) is not None


def _names_hidden(regex: str) -> bool:
    """Tell whether ``regex`` asks for a dot at the beginning of a name."""
    bare = regex.lstrip("^(")
    return bare.startswith(("\\.", "[.]")) or "/\\." in regex or "/[.]" in regex


@lru_cache(maxsize=_COMPILED)
def _compiled(regex: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = MEMORY_BYTES
    return re2.compile(regex, options)


def _parts_match(names: list[str], globs: list[str], *, hidden: bool) -> bool:
    """Match part by part; only the last ``**`` is ever reconsidered, so that no pattern is slow."""
    at, glob_at = 0, 0
    retry: tuple[int, int] | None = None
    while at < len(names):
        if glob_at < len(globs) and globs[glob_at] == "**":
            retry = (at, glob_at)
            glob_at += 1
        elif glob_at < len(globs) and _part_matches(names[at], globs[glob_at], hidden=hidden):
            at, glob_at = at + 1, glob_at + 1
        elif retry is not None and (hidden or not names[retry[0]].startswith(".")):
            retry = (retry[0] + 1, retry[1])
            at, glob_at = retry[0], retry[1] + 1
        else:
            return False
    return all(glob == "**" for glob in globs[glob_at:])


def _part_matches(name: str, glob: str, *, hidden: bool) -> bool:
    if name.startswith(".") and not hidden and not glob.startswith("."):
        return False
    return fnmatchcase(name, glob)
