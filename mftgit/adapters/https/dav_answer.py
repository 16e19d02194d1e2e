"""The XML in which a WebDAV server tells of files (RFC 4918, 13), read piece by piece and without trust."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from xml.parsers import expat

ASKED: Final = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>"
)
"""What is asked of each file."""

ASKED_OF_ONE: Final = ASKED.replace(b"<getlastmodified/>", b"<getlastmodified/><getetag/>")
"""What is asked of one alone."""

_DAV: Final = "DAV: "
_OK: Final = 200
_DEPTH: Final = 64  # of elements in each other
_TEXT: Final = 16_384  # characters of one text that is looked at
_TOKEN_BYTES: Final = 1 << 20  # of one tag, which the parser holds as a whole
_NAMESPACE: Final = 1000  # characters; the parser puts it before each name that is of it
_PIECE: Final = 8192  # after so much it is seen what a handler has refused
_ENTRIES: Final = 1_000_000
_TAG: Final = 200  # characters; a longer one is as none


class NotDavError(Exception):
    """It is not what RFC 4918 says, or too much of it."""


@dataclass(slots=True)
class Told:
    """What an answer tells of one thing: its ``href``, and its properties where it has them.

    ``status`` is that of the thing itself (a number of HTTP), where the answer gives one.
    """

    href: str = ""
    status: int | None = None
    is_folder: bool = False
    size: str | None = None
    changed: str | None = None
    etag: str | None = None

    @property
    def tag(self) -> str | None:
        """Its entity tag (RFC 9110, 8.8.3), None where it has none; a weak one begins with ``W/``."""
        text = (self.etag or "").strip()
        return text if text.isascii() and text.isprintable() and 0 < len(text) <= _TAG else None

    @property
    def size_bytes(self) -> int:
        """Its size.

        Raises:
            NotDavError: it has none, or it is no number.
        """
        text = (self.size or "").strip()
        if not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004  below 2^63
            raise NotDavError(f"it tells no size of a file (getcontentlength is {self.size!r:.80})")
        return int(text)

    @property
    def mtime_ns(self) -> int:
        """When it was changed last (RFC 9110, 5.6.7), in nanoseconds since 1970.

        Raises:
            NotDavError: that is not told, or no date.
        """
        try:
            moment = parsedate_to_datetime((self.changed or "").strip())
            return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()) * 10**9
        except (ValueError, OverflowError) as error:
            raise NotDavError(
                f"it does not tell when a file was changed (getlastmodified is {self.changed!r:.80})"
            ) from error


@dataclass(slots=True)
class _Group:
    """A ``propstat``: properties, of which only those count whose status is 200."""

    told: Told = field(default_factory=Told)
    status: int | None = None


class Multistatus:
    """Reads one answer; give its bytes to `feed`, which gives what they tell, and call `end` after the last."""

    def __init__(self) -> None:
        # intern: names are kept by nobody, however many there are.
        self._parser = expat.ParserCreate(namespace_separator=" ", intern=None)
        self._parser.StartNamespaceDeclHandler = self._look_at_namespace
        self._parser.StartDoctypeDeclHandler = self._refuse  # no entities, and so none that grow
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._path: list[str] = []
        self._words: list[str] = []
        self._length = 0
        self._current = Told()
        self._group = _Group()
        self._found: list[Told] = []
        self._fed = 0
        self._count = 0

    def feed(self, data: bytes) -> Iterator[Told]:
        """Read on, and give what came to its end.

        Raises:
            NotDavError: it is no such XML, or more than is taken.
        """
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            self._parse(piece, last=False)
            self._fed += len(piece)
            if self._fed - self._parser.CurrentByteIndex > _TOKEN_BYTES:
                raise NotDavError("a tag of it is larger than 1 MiB")
        yield from self._found
        self._found = []

    def end(self) -> None:
        """See that it is whole.

        Raises:
            NotDavError: it is not.
        """
        self._parse(b"", last=True)

    def _parse(self, data: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            raise NotDavError(f"it is no XML: {error}") from error
        except (ValueError, LookupError) as error:  # its encoding
            raise NotDavError(f"it is no XML that is understood: {error}") from error

    def _refuse(self, *_declared: object) -> None:
        raise NotDavError("it declares a document type, which none of WebDAV has")

    def _look_at_namespace(self, _prefix: object, uri: str | None) -> None:
        if uri is not None and len(uri) > _NAMESPACE:
            raise NotDavError(f"a namespace of it has more than {_NAMESPACE} characters")

    def _start(self, name: str, _attributes: object) -> None:
        if not self._path and name != f"{_DAV}multistatus":
            raise NotDavError(f"it is no multistatus of WebDAV, but {name!r:.80}")
        self._path.append(name)
        if len(self._path) > _DEPTH:
            raise NotDavError(f"its elements are more than {_DEPTH} deep in each other")
        self._words, self._length = [], 0
        match self._here():
            case ("response",):
                self._current = Told()
            case ("response", "propstat"):
                self._group = _Group()
            case ("response", "propstat", "prop", "resourcetype", "collection"):
                self._group.told.is_folder = True
            case _:
                pass

    def _text(self, text: str) -> None:
        self._length += len(text)
        if self._length <= _TEXT:
            self._words.append(text)

    def _end(self, _name: str) -> None:
        text, here = "".join(self._words), self._here()
        self._words = []
        self._path.pop()
        match here:
            case ("response", "href"):
                self._current.href = text.strip() if self._length <= _TEXT else ""
            case ("response", "status"):
                self._current.status = status_of(text)
            case ("response", "propstat", "status"):
                self._group.status = status_of(text)
            case ("response", "propstat", "prop", "getcontentlength"):
                self._group.told.size = text
            case ("response", "propstat", "prop", "getlastmodified"):
                self._group.told.changed = text
            case ("response", "propstat", "prop", "getetag"):
                self._group.told.etag = text
            case ("response", "propstat"):
                self._take_group()
            case ("response",):
                self._take_response()
            case _:
                pass

    def _take_group(self) -> None:
        if self._group.status == _OK:
            told = self._group.told
            self._current.is_folder |= told.is_folder
            self._current.size = self._current.size or told.size
            self._current.changed = self._current.changed or told.changed
            self._current.etag = self._current.etag or told.etag

    def _take_response(self) -> None:
        self._count += 1
        if self._count > _ENTRIES:
            raise NotDavError(f"it tells of more than {_ENTRIES:,} files")
        self._found.append(self._current)

    def _here(self) -> tuple[str, ...]:
        """Return the names of the elements below ``multistatus``; what is not of ``DAV:`` has none."""
        if len(self._path) > 6:  # noqa: PLR2004  nothing that is looked at is as deep
            return ()
        return tuple(
            each.removeprefix(_DAV) if each.startswith(_DAV) else "" for each in self._path[1:]
        )


def status_of(line: str) -> int | None:
    """Return the number of a status line as ``HTTP/1.1 200 OK``, None where it is none."""
    words = line.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith("HTTP/"):  # noqa: PLR2004  version and number
        return None
    return int(words[1]) if words[1].isascii() and words[1].isdigit() else None
