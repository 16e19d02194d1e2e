"""Names that a Windows file server can have, and those that it cannot."""

import pytest

from mftgit.model.locations.smb_names import wrong_name


@pytest.mark.parametrize(
    "name",
    [
        *("a.csv", ".hidden", "a b", "console", "com10", "nul-1", "x.con", "a'b#%&{}[]=+,;"),
        *("münchen 日本", "📦" * 127, "x" * 255),
    ],
)
def test_what_can_be_called_so(name: str) -> None:
    assert wrong_name(name) is None


@pytest.mark.parametrize(
    ("name", "why"),
    [
        *((f"a{each}b", f"the character {each!r} ") for each in '\x00\x1f\n"*/:<>?|\\'),
        *((name, "at the end") for name in ("a.", "a ", ".", "..", " ")),
        *((name, "device") for name in ("nul", "CON", "Aux.txt", "com1", "LPT9.a.b", "prn .x")),
        *((name, "device") for name in ("CONIN$", "conout$.log", "com¹")),
        *((name, "not Unicode") for name in ("m\udcfc", "\ud83d")),
        *((name, "longer than 255") for name in ("x" * 256, "📦" * 128)),
    ],
)
def test_what_cannot_be_called_so(name: str, why: str) -> None:
    assert why in (wrong_name(name) or "")
