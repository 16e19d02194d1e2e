"""Where a client of a service comes from, as rules compare it."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """A client's address, an IPv4 one never written as IPv6, and its port."""

    address: Address
    port: int

    @property
    def source(self) -> str:
        """The address as text."""
        return str(self.address)

    def is_from(self, networks: Iterable[str]) -> bool:
        """Tell whether it comes from one of ``networks`` (CIDR)."""
        return any(_holds(network, self.address) for network in networks)


def read_visitor(address: str, port: int) -> Visitor:
    """Return who comes from ``address``, as a socket tells it: ``::ffff:192.0.2.1`` is 192.0.2.1 (RFC 4291, 2.5.5.2).

    Raises:
        ValueError: it is no address.
    """
    return Visitor(address=plain(ip_address(address.partition("%")[0])), port=port)


def plain(address: Address) -> Address:
    """Return ``address``, as IPv4 where it is one that is written as IPv6."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _holds(network: str, address: Address) -> bool:
    try:
        found = ip_network(network, strict=False)
    except ValueError:
        return False  # documents are checked before; what cannot be read lets nobody in
    return address.version == found.version and address in found
