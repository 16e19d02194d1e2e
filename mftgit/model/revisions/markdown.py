"""Text that others chose, in Markdown for a forge's comment: it is shown as it is, and does nothing there."""

import re
from collections.abc import Iterable
from typing import Final

from mftgit.model.printable import printable

MAX_BODY_BYTES: Final = 60_000
"""Of one comment: GitHub takes 65,536 characters, Gitea 64 KiB, GitLab a million."""

_MAX_CODE: Final = 300
_BACKTICKS: Final = re.compile("`+")


def code(text: str) -> str:
    """Return ``text`` as a code span: no mention, link, HTML, reference or other markup in it is followed.

    It is on one line, and cut where it is long.
    """
    line = printable(text)
    if len(line) > _MAX_CODE:
        line = line[: _MAX_CODE - 1] + "…"
    if not line.strip(" "):
        line = f'"{line}"'
    fence = "`" * (max(map(len, _BACKTICKS.findall(line)), default=0) + 1)
    # One space is taken off both ends by the reader (CommonMark 6.1), and keeps backticks apart from the fence.
    room = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{fence}{room}{line}{room}{fence}"


def body(lines: Iterable[str]) -> str:
    """Return ``lines`` as the body of a comment, as many as a forge takes; says how many are left out."""
    kept: list[str] = []
    size_bytes, left_out = 0, 0
    for line in lines:
        size_bytes += len(line.encode()) + 1
        if size_bytes > MAX_BODY_BYTES:
            left_out += 1
        else:
            kept.append(line)
    if left_out:
        kept += [
            "",
            f"… and {left_out:,} more lines: the job's log, or the command itself, tells them.",
        ]
    return "\n".join(kept) + "\n"
