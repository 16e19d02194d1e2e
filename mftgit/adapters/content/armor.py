"""Take the armour off an OpenPGP message (RFC 4880, 6.2), a piece at a time, and nothing beside it."""

import base64
import binascii
import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

from mftgit.adapters.content.steps import UnfitError

_HEAD: Final = re.compile(
    rb"-----BEGIN PGP MESSAGE-----[ \t]*\r?\n(?:[A-Za-z]+: [^\r\n]*\r?\n)*[ \t]*\r?\n"
)
_TAIL: Final = re.compile(
    rb"([A-Za-z0-9+/]{0,3}={0,2})(?:=[A-Za-z0-9+/]{4})?-----ENDPGPMESSAGE-----"
)  # without its spaces, which mean nothing
_ENDS: Final = re.compile(rb"[=-]")
_SPACES: Final = b" \t\r\n"
_MOST_BYTES: Final = 4096
"""So long the head may be, and what follows the content."""


def bare(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give the message in ``chunks`` without armour; one that has none, as it is.

    Raises:
        UnfitError: it begins as armour and is not one block of it, with nothing before or behind.
    """
    begun = b""
    for chunk in chunks:
        begun += chunk
        if len(begun) >= _MOST_BYTES:
            break
    if not begun.startswith(b"-----"):
        yield from chain([begun] if begun else [], chunks)
        return
    head = _HEAD.match(begun)
    if head is None:
        raise UnfitError(
            "it is not armoured as PGP MESSAGE; other kinds, as clear signatures, are not taken"
        )
    yield from _decoded(chain([begun[head.end() :]], chunks))


def _decoded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Give what is in base64; it ends where a padding, a checksum or the last line begins."""
    left, tail = b"", b""
    for chunk in chunks:
        text = left + chunk.translate(None, _SPACES)
        ends = _ENDS.search(text)
        if tail or ends is not None:
            whole = 0 if tail or ends is None else ends.start() // 4 * 4
            yield _decode(text[:whole])
            left, tail = b"", tail + text[whole:]
            if len(tail) > _MOST_BYTES:
                raise UnfitError("there is something behind the message")
            continue
        whole = len(text) // 4 * 4
        yield _decode(text[:whole])
        left = text[whole:]
    found = _TAIL.fullmatch(tail)
    if found is None:
        raise UnfitError("it is cut off, or there is something behind the message")
    yield _decode(found[1])


def _decode(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UnfitError("it is damaged: what is in its armour is not base64") from None
