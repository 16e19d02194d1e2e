"""Rules of the section ``controller`` of ``cluster.yaml`` that no schema can express."""

from collections.abc import Iterator
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from mftgit.model.configuration.controller_line import BEGIN, MAX_AUTHORITIES, ControllerLine
from mftgit.model.documents.fault import Fault


def check_line(line: ControllerLine) -> Iterator[Fault]:
    """Give what is wrong with ``line`` beyond what its schema says."""
    if line.url is not None and not _is_address(line.url):
        yield Fault(
            pointer="/controller/url",
            rule="url",
            message=f"{line.url} names no host and port that there can be",
            hint="write https://HOST:PORT, as: https://mft.example.org:8443",
        )
    if wrong := _wrong_authorities(line):
        yield Fault(
            pointer="/controller/ca",
            rule="certificate",
            message=wrong,
            hint="copy the whole of a member's ca.pem, or of what `mftgit controller rotate-ca` prints",
        )


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        if ":" in (host := parts.hostname or ""):
            IPv6Address(host)
        port = parts.port
    except ValueError:
        return False
    return port != 0


def _wrong_authorities(line: ControllerLine) -> str | None:
    begun, read = line.ca_pem.count(BEGIN), len(line.ca)
    if begun > read:
        return f"of {begun} certificates {read} can be read: the text is not whole"
    if read > MAX_AUTHORITIES:
        return f"at most {MAX_AUTHORITIES} certificates are taken, these are {read}"
    return "a certificate stands here twice" if len(set(line.ca)) < read else None
