"""Which file system a folder is on, by what Linux tells of its mounts."""

import re
from pathlib import PurePosixPath
from typing import Final

_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_FIELDS_BEFORE_TYPE: Final = 6


def file_system_of(folder: PurePosixPath, mountinfo: str) -> str | None:
    """Return the type of the file system that ``folder``, absolute and without links, is on; None where none is told.

    ``mountinfo`` is /proc/self/mountinfo: mount point fifth, type after a lone hyphen, spaces as octal (proc(5)). Of
    mounts at one point the last one covers the others.
    """
    best: tuple[int, str] | None = None
    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if "-" not in fields[_FIELDS_BEFORE_TYPE:-1]:
            continue
        point = PurePosixPath(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), fields[4]))
        if not folder.is_relative_to(point):
            continue
        depth = len(point.parts)
        if best is None or depth >= best[0]:
            best = depth, fields[fields.index("-", _FIELDS_BEFORE_TYPE) + 1]
    return None if best is None else best[1]
