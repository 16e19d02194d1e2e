"""Which names a file or folder of a Windows file server can have (MS-FSCC 2.1.5, and "Naming Files" of Microsoft)."""

import re
from typing import Final

_MOST_UNITS: Final = 255  # of UTF-16, in one name
_BYTES_OF_A_UNIT: Final = 2
_CHARACTERS: Final = re.compile(r'[\x00-\x1f"*/:<>?\\|]')
_DEVICES: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.DOTALL
)


def wrong_name(name: str) -> str | None:
    """Return why nothing on the server can be called ``name``; None where it can."""
    if found := _CHARACTERS.search(name):
        return f"the character {found[0]!r} is in no name there"
    if name.endswith((".", " ")):
        return "a dot or a space at the end is lost there"
    if _DEVICES.fullmatch(name.lower()):
        return "it is the name of a device there"
    try:
        units = len(name.encode("utf-16-le")) // _BYTES_OF_A_UNIT
    except UnicodeEncodeError:
        return "it is not Unicode"
    return None if units <= _MOST_UNITS else f"it is longer than {_MOST_UNITS} characters"
