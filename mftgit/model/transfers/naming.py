"""Under which name a file arrives: the patterns ``{name}``, ``{date:%Y}`` and so on in a transfer's destination."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Final

from mftgit.model.configuration.config import Destination
from mftgit.model.transfers.claim import join
from mftgit.model.transfers.content import Step, renamed

_FIELD: Final = re.compile(r"\{([a-z]+)(?::([^{}]*))?\}")
_DIRECTIVE: Final = re.compile(r"%(.?)")
_DIRECTIVES: Final = "YmdHMSjyGVu"
"""Those of strftime that are numbers, and the same in every language (Python's ``datetime``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """The file at ``path`` below the source, at the ``moment`` at which its delivery begins."""

    path: PurePosixPath
    moment: datetime


_FIELDS: Final[Mapping[str, Callable[[_File, str], str]]] = {
    "name": lambda file, _: file.path.name,
    "stem": lambda file, _: file.path.stem,
    "ending": lambda file, _: file.path.suffix,
    "folder": lambda file, _: str(file.path.parent),
    "date": lambda file, form: file.moment.strftime(form),
}


def final_path(
    destination: Destination, path: str, moment: datetime, content: Sequence[Step] = ()
) -> str:
    """Return where the file ``path`` below the source goes, below the destination's location.

    ``moment`` is in the time zone of the destination. The patterns start from the name that ``content`` leaves.
    A file from a folder below the source goes to that folder below the destination's, unless ``{folder}`` says where.
    """
    if destination.name == "{name}" and "{" not in destination.path and not content:
        return join(destination.path, path)
    at = PurePosixPath(path)
    file = _File(path=at.with_name(renamed(at.name, content)), moment=moment)
    folder = _filled(destination.path, file)
    if "{folder}" not in destination.path:
        folder = join(folder, str(file.path.parent))
    return join(folder, _filled(destination.name, file))


def dated(pattern: str, moment: datetime) -> str:
    """Return ``pattern`` with the fields of the date filled in, for a path that has no others."""
    return _filled(pattern, _File(path=PurePosixPath("."), moment=moment))


def fixed_folder(pattern: str) -> str:
    """Return the folder that every path of ``pattern`` is in or below."""
    fixed, brace, _ = pattern.partition("{")
    return fixed if not brace else fixed.rpartition("/")[0] or "."


NAME_FIELDS: Final = ("name", "stem", "ending", "date")
PATH_FIELDS: Final = (*NAME_FIELDS, "folder")
ARCHIVE_FIELDS: Final = ("date",)


def wrong_pattern(pattern: str, fields: Collection[str]) -> str | None:
    """Return what is wrong with a pattern that may have ``fields``, as the end of a sentence, or None."""
    for field in _FIELD.finditer(pattern):
        if reason := _wrong_field(field[1], field[2], fields):
            return reason
    if "{" in (rest := _FIELD.sub("", pattern)) or "}" in rest:
        return "has a brace that belongs to no field"
    return None


def _wrong_field(name: str, form: str | None, fields: Collection[str]) -> str | None:
    if name not in fields:
        known = ", ".join(f"{{{each}}}" for each in fields)
        return f"has the field {{{name}}}, which there is not here: use {known}"
    if (name == "date") != (form is not None):
        return "has a date without a form, or a form without a date: write {date:%Y-%m-%d}"
    for directive in _DIRECTIVE.findall(form or ""):
        if directive not in _DIRECTIVES or not directive:
            known = " ".join(f"%{each}" for each in _DIRECTIVES)
            return f"has %{directive} in its date: use {known}"
    return None


def _filled(pattern: str, file: _File) -> str:
    if "{" not in pattern:
        return pattern
    return _FIELD.sub(lambda field: _FIELDS[field[1]](file, field[2] or ""), pattern)
