"""How members reach the controller, as ``cluster.yaml`` says: its address, and the authorities of its certificate.

A certificate is told from another one by the SHA-256 of its content; what it says is looked at where it is used.
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Final
from urllib.parse import urlsplit

from mftgit.model.documents.document import Document, parse_document
from mftgit.model.documents.places import CLUSTER_FILE

BEGIN: Final = "-----BEGIN CERTIFICATE-----"

MAX_AUTHORITIES: Final = 8
"""How many a member takes at once."""

_END: Final = "-----END CERTIFICATE-----"
_SEQUENCE: Final = 0x30
_LONG_FORM: Final = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerLine:
    """``controller`` of ``cluster.yaml``; what is not set stays with each member as it is.

    ``ca`` are the SHA-256 of the authorities' certificates, in lower-case hexadecimal; ``ca_pem`` holds them.
    """

    url: str | None = None
    ca: tuple[str, ...] = ()
    ca_pem: str = field(default="", compare=False)


def build_line(value: Mapping[str, str]) -> ControllerLine:
    """Return what the section says; a certificate that is none is left out, and `rules.controller` tells of it."""
    url, pem = value.get("url"), value.get("ca", "")
    found = [der for der in _contents(pem) if der is not None]
    return ControllerLine(
        url=url.rstrip("/") if url else None,
        ca=tuple(map(_sha256, found)),
        ca_pem=pem,
    )


def host_of(url: str) -> str | None:
    """Return the host that ``url`` names, without the brackets of an IPv6 address; None where that is none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def read_host(content: bytes) -> str | None:
    """Return the host of the controller that a published ``cluster.yaml`` names; None where it names none."""
    document = parse_document(CLUSTER_FILE, content)
    section = document.value.get("controller") if isinstance(document, Document) else None
    url = section.get("url") if isinstance(section, dict) else None
    return host_of(url) if isinstance(url, str) else None


def fingerprints(pem: str) -> tuple[str, ...]:
    """Return the SHA-256 of each certificate in ``pem``; what is none is passed over."""
    return tuple(_sha256(der) for der in _contents(pem) if der is not None)


def to_pem(certificates: Iterable[bytes]) -> str:
    """Return certificates (DER) as PEM."""
    return "".join(
        "\n".join((BEGIN, *wrap(b64encode(each).decode(), 64), _END, "")) for each in certificates
    )


def together(first: str, second: str) -> str:
    """Return the certificates of both texts as one, each once."""
    found = (der for der in (*_contents(first), *_contents(second)) if der is not None)
    return to_pem(dict.fromkeys(found))


def without(pem: str, fingerprint: str) -> str:
    """Return the certificates of ``pem`` but the one with that SHA-256."""
    found = (der for der in _contents(pem) if der is not None)
    return to_pem(der for der in found if _sha256(der) != fingerprint)


def _contents(pem: str) -> Iterator[bytes | None]:
    """Give the content of each block of ``pem``, None where it cannot be that of a certificate."""
    for block in pem.split(BEGIN)[1:]:
        text, end, _ = block.partition(_END)
        try:
            der = b64decode("".join(text.split()), validate=True) if end else b""
        except ValueError:
            der = b""
        yield der if _is_whole(der) else None


def _is_whole(der: bytes) -> bool:
    """Tell whether ``der`` is one sequence of ASN.1 and nothing besides, by its tag and its length."""
    if len(der) < 2 or der[0] != _SEQUENCE:  # noqa: PLR2004  a tag and a length
        return False
    size, start = der[1], 2
    if size > _LONG_FORM:
        start += size - _LONG_FORM
        size = int.from_bytes(der[2:start])
    return len(der) == start + size


def _sha256(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()
