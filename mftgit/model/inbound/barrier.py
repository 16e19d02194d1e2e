"""Which sources are slowed and kept out, because they failed to log in too often. Times are seconds that never jump."""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from mftgit.model.inbound.service import Defence

MOST_SOURCES: Final = 10_000
"""So many sources are remembered, and so many kept out; the one goes that failed, or whose ban ends, first."""

_MOST_DELAYS: Final = 10
_V6_PREFIX: Final = 64

Network = IPv4Network | IPv6Network


def source_of(address: str) -> str:
    """Return the network that counts as one source: an IPv4 address, the /64 of an IPv6 one (RFC 6177, 2).

    An IPv4 address that is written as IPv6 is the IPv4 one.

    Raises:
        ValueError: it is no address.
    """
    found = _plain(address)
    prefix = found.max_prefixlen if isinstance(found, IPv4Address) else _V6_PREFIX
    return str(ip_network((found, prefix), strict=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """Who is kept out, until when, and which member says so."""

    source: str
    until: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a failed try leads to; ``ban`` is set where it was one too many. ``failures`` are those that count now."""

    delay_s: float
    failures: int
    ban: Ban | None = None


class Barrier:
    """Everything that is known of sources; one thread at a time. ``member`` bans by its own name."""

    def __init__(self, member: str, *, most: int = MOST_SOURCES) -> None:
        """Nobody is kept out yet."""
        self._member = member
        self._most = most
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._bans: dict[Network, Ban] = {}
        self._lengths: Counter[tuple[int, int]] = Counter()  # of bans, by version and prefix

    def failed(self, address: str, defence: Defence, now: float) -> Judgement:
        """Count a failed try of ``address``."""
        source = source_of(address)
        tries = self._failures.pop(source, None) or deque()
        tries.append(now)
        while len(tries) > defence.failures or tries[0] <= now - defence.within_s:
            tries.popleft()
        self._failures[source] = tries
        if len(self._failures) > self._most:
            self._failures.popitem(last=False)
        count = len(tries)
        delay_s = min(count, _MOST_DELAYS) * defence.delay_s
        if count < defence.failures or _is_in(address, defence.exempt):
            return Judgement(delay_s=delay_s, failures=count)
        del self._failures[source]
        ban = Ban(source=source, until=now + defence.ban_s, by=self._member)
        self._keep(ip_network(source), ban, now)
        return Judgement(delay_s=delay_s, failures=count, ban=ban)

    def ban(self, source: str, *, until: float, by: str, now: float) -> None:
        """Keep the network ``source`` out at least until then, because ``by`` says so.

        Raises:
            ValueError: it is no network.
        """
        self._keep(ip_network(source, strict=False), Ban(source=source, until=until, by=by), now)

    def lift(self, source: str) -> bool:
        """Let the network ``source`` in again; tell whether it was kept out.

        Raises:
            ValueError: it is no network.
        """
        self._failures.pop(source, None)
        network = ip_network(source, strict=False)
        if network not in self._bans:
            return False
        self._forget(network)
        return True

    def keeps_out(self, address: str, now: float, exempt: Iterable[str] = ()) -> Ban | None:
        """Return the ban that keeps ``address`` out, unless it is in one of the networks ``exempt``.

        Raises:
            ValueError: it is no address.
        """
        bans = (self._bans.get(each) for each in self._around(_plain(address)))
        found = next((ban for ban in bans if ban is not None and ban.until > now), None)
        return None if found is None or _is_in(address, exempt) else found

    def expire(self, now: float) -> tuple[Ban, ...]:
        """Forget the bans that are over by ``now``, and return them."""
        over = {network: ban for network, ban in self._bans.items() if ban.until <= now}
        for network in over:
            self._forget(network)
        return tuple(over.values())

    def bans(self) -> tuple[Ban, ...]:
        """Return who is kept out, whose ban ends first in front."""
        return tuple(sorted(self._bans.values(), key=lambda ban: (ban.until, ban.source)))

    def _keep(self, network: Network, ban: Ban, now: float) -> None:
        before = self._bans.get(network)
        if before is not None and before.until >= ban.until:
            return
        self._bans[network] = ban
        self._lengths[network.version, network.prefixlen] += before is None
        if len(self._bans) > self._most:
            self.expire(now)
        if len(self._bans) > self._most:
            first = min(self._bans, key=lambda each: self._bans[each].until)
            self._forget(first)

    def _forget(self, network: Network) -> None:
        del self._bans[network]
        self._lengths[network.version, network.prefixlen] -= 1

    def _around(self, address: IPv4Address | IPv6Address) -> Iterator[Network]:
        """Give the networks around ``address`` that a ban may be of."""
        return (
            ip_network((address, prefix), strict=False)
            for (version, prefix), count in self._lengths.items()
            if count and version == address.version
        )


def _plain(address: str) -> IPv4Address | IPv6Address:
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return found if mapped is None else mapped


def _is_in(address: str, networks: Iterable[str]) -> bool:
    found = _plain(address)
    return any(
        found in network
        for network in (ip_network(each, strict=False) for each in networks)
        if network.version == found.version
    )
