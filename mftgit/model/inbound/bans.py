"""Sources that failed to log in too often: what a member's event says of one, and what members are told of all."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.names import MemberName, ServiceName, parse_name

MOST_BANS: Final = 10_000
"""How many are kept; where there are more, those that end first go."""

LONGEST_BAN_S: Final = 2_592_000.0
"""Thirty days, as long as a service can ask for."""

MOST_TOLD: Final = 1_000
"""How many one answer to a member tells."""

_NARROWEST: Final = {4: 24, 6: 48}
"""The shortest prefix that a ban may have, by IP version: one member cannot lock everybody out of all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ban:
    """One source that is kept out for ``left_s`` from now on; 0 where it was lifted.

    ``source`` is a network (CIDR), ``by`` the member that banned it, for ``failures`` at ``service``.
    """

    source: str
    left_s: float
    by: MemberName
    service: ServiceName
    failures: int

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire, and to people."""
        return {
            "source": self.source,
            "left_s": round(self.left_s, 3),
            "by": self.by,
            "service": self.service,
            "failures": self.failures,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported(Ban):
    """A ban as a member reported it, by its event with the number ``seq``."""

    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BanNews:
    """What has changed since a member asked last: up to ``number``, and ``more`` after that."""

    number: int
    bans: tuple[Ban, ...]
    more: bool

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire."""
        told = [each.as_json() for each in self.bans]
        return {"number": self.number, "bans": told, "more": self.more}


def network(text: str) -> IPv4Network | IPv6Network:
    """Return the network that an address or a network in CIDR notation names.

    Raises:
        ValueError: it names none.
    """
    found = ip_network(text, strict=False)
    mapped = found.network_address.ipv4_mapped if isinstance(found, IPv6Network) else None
    if mapped is not None and found.prefixlen >= 96:  # noqa: PLR2004  RFC 4291, 2.5.5.2
        return IPv4Network((mapped, found.prefixlen - 96))
    return found


def banned_source(text: str) -> str:
    """Return ``text``, an address or a network, as the source of a ban.

    Raises:
        ValueError: it is none, or so wide that whole providers are in it.
    """
    found = network(text)
    if found.prefixlen < _NARROWEST[found.version]:
        raise ValueError(f"{found} is too wide for a ban")
    return str(found)


def ban_facts(
    source: str, *, seconds: float, service: ServiceName, failures: int
) -> dict[str, Fact]:
    """Return the facts of ``SourceBanned``."""
    return {"source": source, "seconds": seconds, "service": service, "failures": failures}


def reported_bans(events: Iterable[Event], *, sent_at: str | None) -> tuple[Reported, ...]:
    """Return what of ``events`` bans a source; what is not of the agreed shape bans none.

    ``sent_at`` is when the member sent them, RFC 3339 by its own clock, which is held against their own times only: for
    those that had to wait, less is left.
    """
    found = (_reported(each, sent_at) for each in events if each.event is EventName.SOURCE_BANNED)
    return tuple(each for each in found if each is not None)


def covering(source: str, bans: Iterable[Ban]) -> list[Ban]:
    """Return those of ``bans`` that keep ``source`` out, an address or a network, or a part of it.

    Raises:
        ValueError: it is neither.
    """
    asked = network(source)
    return [each for each in bans if _meet(asked, network(each.source))]


def _meet(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def parse_ban_news(value: Any) -> BanNews:
    """Return the news that ``as_json`` gave ``value`` for.

    Raises:
        ValueError: it is not of that shape.
    """
    match value:
        case {"number": int(number), "bans": [*bans], "more": bool(more)} if (
            number >= 0 and len(bans) <= MOST_TOLD
        ):
            return BanNews(number=number, bans=tuple(map(_parse_ban, bans)), more=more)
        case _:
            raise ValueError("no news of bans")


def _parse_ban(value: Any) -> Ban:
    match value:
        case {
            "source": str(source),
            "left_s": int() | float() as left_s,
            "by": str(by),
            "service": str(service),
            "failures": int(failures),
        }:
            return Ban(
                source=banned_source(source),
                left_s=bounded_s(left_s),
                by=MemberName(parse_name(by)),
                service=ServiceName(parse_name(service)),
                failures=failures,
            )
        case _:
            raise ValueError("not a ban")


def _reported(event: Event, sent_at: str | None) -> Reported | None:
    try:
        ban = _parse_ban({**event.facts, "left_s": event.facts.get("seconds"), "by": event.member})
        waited_s = 0.0 if sent_at is None else (_time(sent_at) - _time(event.at)).total_seconds()
    except (ValueError, TypeError):
        return None
    return Reported(
        source=ban.source,
        left_s=bounded_s(ban.left_s - max(waited_s, 0.0)),
        by=ban.by,
        service=ban.service,
        failures=ban.failures,
        seq=event.seq,
    )


def bounded_s(seconds: float) -> float:
    """Return ``seconds`` as what a ban may have left."""
    return min(max(seconds, 0.0), LONGEST_BAN_S)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
