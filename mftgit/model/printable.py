"""How text that somebody else chose is written where people and programs read it: file names, refs, error texts."""

import json
import re
from typing import Any, Final

_BYTES: Final = range(0xDC80, 0xDD00)
"""The code points that stand for bytes of a name that is not UTF-8 (PEP 383); no encoder takes them."""
_NOT_ENCODABLE: Final = re.compile("[\ud800-\udfff]")


def printable(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with every character that is not to be printed told by its number, but for those of ``keep``.

    A byte that is not UTF-8 is told as ``\xff``, a control character as ``\n`` or ``\x1b``, any other as ``\u202e``.
    What comes out begins no line, does nothing to a terminal and can be encoded; a backslash stays one backslash.
    """
    return (
        text
        if text.isprintable()
        else "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)
    )


def json_line(value: Any) -> str:
    """Return ``value`` as JSON on one line that every program can read: what is not UTF-8 is told as by `printable`."""
    text = json.dumps(value, ensure_ascii=False)
    return _NOT_ENCODABLE.sub(lambda found: "\\" + _escape(found.group()), text)


def _escape(character: str) -> str:
    number = ord(character)
    if number in _BYTES:
        return f"\\x{number - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
