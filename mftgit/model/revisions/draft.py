"""What somebody is editing: files that shall be different from a revision, before they are proposed."""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from mftgit.model.documents.document import MAX_SIZE_BYTES
from mftgit.model.names import Revision, parse_revision
from mftgit.model.revisions.safe_names import unsafe_name
from mftgit.model.rules.tree import Entry, Tree

MAX_FILES: Final = 200
MAX_BYTES: Final = 4 * MAX_SIZE_BYTES
"""Of one draft in all; more comes by git push."""

MAX_KEPT_BYTES: Final = 4 * MAX_BYTES
"""Of a draft as it is kept: base64, and the names of its files."""

_PLAIN_FILE: Final = 0o100644


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """``files`` on top of ``base``; None for one that goes. ``proposal`` is the one that it goes on with."""

    base: Revision
    proposal: str | None = None
    files: Mapping[str, bytes | None] = field(default_factory=dict)

    def with_file(self, path: str, content: bytes | None, before: Tree) -> "Draft":
        """Return it with ``path`` as well; what is as in ``before``, the files of the base, is no change.

        Raises:
            ValueError: it would be too large, or the path is none.
        """
        check_path(path)
        files = {name: each for name, each in self.files.items() if name != path}
        entry = before.get(path)
        same = entry is None if content is None else entry and entry.oid == blob_id(content)
        if not same:
            files[path] = content
        size_bytes = sum(len(each) for each in files.values() if each is not None)
        if len(files) > MAX_FILES or size_bytes > MAX_BYTES:
            raise ValueError(
                f"a draft has at most {MAX_FILES} files and {MAX_BYTES:,} bytes, and this has {len(files)} and "
                f"{size_bytes:,}: propose what there is, or push it from a clone"
            )
        return replace(self, files=files)

    def as_json(self) -> dict[str, Any]:
        """Return what is kept, for `parse_draft`."""
        files = {
            path: None if content is None else b64encode(content).decode()
            for path, content in self.files.items()
        }
        return {"base": self.base, "proposal": self.proposal, "files": files}


def parse_draft(value: Any) -> Draft:
    """Return what `Draft.as_json` gave ``value`` for.

    Raises:
        ValueError: it is not of that shape.
    """
    match value:
        case {"base": str(base), "proposal": str() | None as proposal, "files": dict(files)}:
            for path in files:
                check_path(path)
            read = {
                path: None if text is None else b64decode(str(text), validate=True)
                for path, text in files.items()
            }
            return Draft(base=parse_revision(base), proposal=proposal, files=read)
        case _:
            raise ValueError("not a draft")


def check_path(path: str) -> None:
    """Raise ValueError where no file of a revision can have ``path``."""
    for name in path.split("/"):
        if wrong := (unsafe_name(name) if name else "a name is empty"):
            raise ValueError(f"{path[:200]!r} is no path of a file in the repository: {wrong}")


def overlay(tree: Tree, files: Mapping[str, bytes | None]) -> Tree:
    """Return ``tree`` with ``files`` in the stead of what is there."""
    changed = dict(tree)
    for path, content in files.items():
        changed.pop(path, None)
        if content is not None:
            changed[path] = Entry(
                mode=_PLAIN_FILE,
                oid=blob_id(content),
                size_bytes=len(content),
                load=partial(bytes, content),
            )
    return changed


def blob_id(content: bytes) -> str:
    """Return what git calls a file with ``content``."""
    head = b"blob %d\0" % len(content)
    return hashlib.sha1(head + content, usedforsecurity=False).hexdigest()


def content_of(text: str, before: bytes | None) -> bytes:
    r"""Return the file that a browser's text is: it sends every line with ``\r\n``, whatever they ended with.

    Raises:
        ValueError: it cannot be written.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    if lines and not lines.endswith("\n") and not (before and not before.endswith(b"\n")):
        lines += "\n"
    if before and b"\r\n" in before:
        lines = lines.replace("\n", "\r\n")
    try:
        return lines.encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half a character, and cannot be written") from None


def text_of(content: bytes) -> str | None:
    """Return a file as text to edit; None where it is none."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.replace("\r\n", "\n")
