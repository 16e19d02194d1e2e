"""Checksum files beside files, as sha256sum(1) and its kin write and check them, and as openssl(1) does."""

from dataclasses import dataclass
from enum import Enum, unique
from pathlib import PurePosixPath
from zlib import crc32

from mftgit.model.claim import LONGEST_NAME_BYTES, ClaimId, shorten


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


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
