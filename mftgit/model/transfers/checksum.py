"""Checksum files beside files, as sha256sum(1) and its kin write and check them, and as openssl(1) does."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from pathlib import PurePosixPath
from typing import Final
from zlib import crc32

from mftgit.model.transfers.claim import LONGEST_NAME_BYTES, ClaimId, shorten

ALGORITHMS: Final[Mapping[int, str]] = {32: "md5", 64: "sha256", 128: "sha512"}
"""The algorithm of a digest by how many hexadecimal digits it has, as `hashlib` calls it."""

_TAGS: Final[Mapping[str, int]] = {
    "MD5": 32,
    "SHA256": 64,
    "SHA2-256": 64,
    "SHA512": 128,
    "SHA2-512": 128,
}
_LINE: Final = re.compile(
    r"(?P<mark>\\?)(?P<digest>[0-9a-f]+)(?: [ *]?(?P<name>.+))?", re.IGNORECASE
)
_TAGGED: Final = re.compile(
    r"(?P<mark>\\?)(?P<tag>[A-Z0-9-]+) ?\((?P<name>.*)\) ?= (?P<digest>[0-9a-f]+)", re.IGNORECASE
)
_ESCAPED: Final = re.compile(r"\\(.?)")
_NO_NAMES: Final = frozenset({"", "-"})
"""What tells of no file: a digest alone, and that of standard input."""


@unique
class ChecksumFormat(Enum):
    """How the line is written: ``DIGEST  NAME``, or ``SHA256 (NAME) = DIGEST``."""

    SHA256SUM = "sha256sum"
    BSD = "bsd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A file beside each delivered one, called as that with ``suffix``, with its SHA-256."""

    suffix: str = ".sha256"
    format: ChecksumFormat = ChecksumFormat.SHA256SUM

    def of(self, final: str) -> str:
        """Return the path of the sidecar of the file ``final``."""
        return final + self.suffix

    def content(self, final: str, sha256: str) -> bytes:
        """Return what stands in the sidecar of the file ``final``, which has this digest in hexadecimal."""
        return format_checksum(PurePosixPath(final).name, sha256, self.format)

    def flaw(self, final: str) -> str | None:
        """Return why the file ``final`` cannot have a sidecar; None where it can."""
        name = PurePosixPath(self.of(final)).name
        if final.endswith(self.suffix):
            return f"its name ends in {self.suffix}, as those of checksum files do"
        if len(_bytes(name)) > LONGEST_NAME_BYTES:
            return f"the name of its checksum file would be longer than {LONGEST_NAME_BYTES} bytes"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a file of a source has to be: ``digest`` was read beside it, under its name and ``suffix``.

    It is in hexadecimal, lower case; see `ALGORITHMS`.
    """

    suffix: str
    digest: str

    @property
    def algorithm(self) -> str:
        """Return what it is a digest by, as `hashlib` calls it."""
        return ALGORITHMS[len(self.digest)]


def sidecar_temporary(temporary: str, claim: ClaimId, final: str) -> str:
    """Return the name under which the sidecar of ``final`` is sent, whose file is sent as ``temporary``.

    It is another one for each name that the file may come to have, since the content is; and unique as ``temporary``
    is, so that a late owner publishes nothing that its successor has published or cleared away.
    """
    path = PurePosixPath(temporary)
    head, mark, tail = path.name.rpartition(f".{claim}.")
    end = f".{crc32(_bytes(final)):08x}{mark}{tail}"
    return str(path.with_name(shorten(head, LONGEST_NAME_BYTES - len(_bytes(end))) + end))


def format_checksum(name: str, digest: str, form: ChecksumFormat) -> bytes:
    """Return the line of ``name``; where that has a backslash or a line break, they are escaped, and the line says so.

    (GNU coreutils, "cksum common options"; ``digest`` is a SHA-256 in hexadecimal.)
    """
    name = "./-" if name == "-" else name  # that alone is standard input
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == name else "\\"
    if form is ChecksumFormat.BSD:
        return _bytes(f"{mark}SHA256 ({escaped}) = {digest}\n")
    return _bytes(f"{mark}{digest}  {escaped}\n")


def parse_checksum(content: bytes, name: str) -> str:
    """Return the digest, in lower case, that a checksum file tells of the file ``name``.

    It is what sha256sum and its kin write, plain or tagged, what openssl dgst writes, or a digest alone; for several
    files too, of which names are compared without their folders. Of several digests the longest counts.

    Raises:
        ValueError: it tells none, or more than one of the same kind; the message says what it does tell.
    """
    lines = list(_lines(content.decode("utf-8", "surrogateescape")))
    fitting = {digest for told, digest in lines if PurePosixPath(told).name == name}
    if not fitting and len(lines) == 1 and lines[0][0] in _NO_NAMES:
        fitting = {lines[0][1]}
    if not fitting:
        others = ", ".join(sorted({repr(told) for told, _ in lines})[:3])
        raise ValueError(f"it tells only of {others}" if others else "no digest is in it")
    longest = max(map(len, fitting))
    best = [digest for digest in fitting if len(digest) == longest]
    if len(best) > 1:
        raise ValueError(f"it tells several digests of {name!r}")
    return best[0]


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Give the name and the digest of each line that has one."""
    for whole in text.removeprefix("\ufeff").split("\n"):
        line = whole.removesuffix("\r")
        found = _TAGGED.fullmatch(line) or _LINE.fullmatch(line)
        if found is None:
            continue
        parts = found.groupdict()
        digest, name = parts["digest"].lower(), parts["name"] or ""
        tag = parts.get("tag")
        digits = len(digest) if tag is None else _TAGS.get(tag.upper())
        if len(digest) in ALGORITHMS and digits == len(digest):
            yield (_ESCAPED.sub(_unescaped, name) if parts["mark"] else name), digest


def _unescaped(escape: re.Match[str]) -> str:
    return {"n": "\n", "r": "\r"}.get(escape[1], escape[1])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
