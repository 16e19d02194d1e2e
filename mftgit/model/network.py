"""Addresses and networks (CIDR) as documents have them."""

import ipaddress
from collections.abc import Iterable, Iterator

from mftgit.model.documents.fault import Fault
from mftgit.model.documents.schema_words import show


def check_networks(texts: Iterable[str], at: str) -> Iterator[Fault]:
    """Give what is wrong with ``texts``, a list at the pointer ``at``."""
    for index, text in enumerate(texts):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            yield Fault(
                pointer=f"{at}/{index}",
                rule="network",
                message=f"{show(text)} is no address and no network",
                hint=_hint(text),
            )


def _hint(text: str) -> str:
    try:
        return f"the network is called {ipaddress.ip_network(text, strict=False)}"
    except ValueError:
        return "write 192.0.2.7, 198.51.100.0/24 or 2001:db8::/32"


def check_address(text: str, pointer: str) -> Iterator[Fault]:
    """Give what is wrong with ``text``, which has to be an address of this machine."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        yield Fault(
            pointer=pointer,
            rule="network",
            message=f"{show(text)} is no IP address",
            hint="write 192.0.2.7 or 2001:db8::7; 0.0.0.0 and :: are all of the machine",
        )
