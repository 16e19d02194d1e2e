"""Rules of one service by itself that no schema can express, and where it listens."""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mftgit.model.documents.fault import Fault
from mftgit.model.inbound.service import Listen, Service
from mftgit.model.network import check_address, check_networks

_ALL: Final = ("0.0.0.0", "::")  # noqa: S104  compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a service listens, and which field says so; ``address`` is written in its shortest form."""

    pointer: str
    address: str
    port: int
    is_v6: bool

    def rival(self, listening: Mapping[str, str]) -> str | None:
        """Return who keeps it from being listened on; ``listening`` are those on this port, of this version of IP."""
        if self.address in _ALL:
            return next(iter(listening.values()), None)
        every = _ALL[self.is_v6]
        return listening.get(self.address) or listening.get(every)


def check_service(service: Service) -> Iterator[Fault]:
    """Give what is wrong with ``service`` by itself."""
    yield from check_address(service.listen.address, "/listen/address")
    if service.health is not None:
        yield from check_address(service.health.address, "/health/address")
    yield from check_networks(service.proxies, "/proxy_protocol/from")
    yield from check_networks(service.defence.exempt, "/defence/exempt")
    for index, text in enumerate(service.proxies):
        if text.endswith("/0"):
            yield Fault(
                pointer=f"/proxy_protocol/from/{index}",
                rule="network",
                message="anybody could say to come from any address",
                hint="name the addresses of the load balancers alone",
            )


def endpoints(service: Service) -> Iterator[Endpoint]:
    """Give where ``service`` listens; an address that is none is left out."""
    for pointer, listen in (("/listen", service.listen), ("/health", service.health)):
        if listen is not None and (found := endpoint_of(listen, f"{pointer}/port")) is not None:
            yield found


def endpoint_of(listen: Listen, pointer: str) -> Endpoint | None:
    """Return ``listen`` with the field that says its port; None where its address is none."""
    try:
        address = ipaddress.ip_address(listen.address)
    except ValueError:
        return None
    return Endpoint(
        pointer=pointer,
        address=str(address),
        port=listen.port,
        is_v6=address.version == 6,  # noqa: PLR2004  IPv6
    )
