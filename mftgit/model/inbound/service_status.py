"""How a service is on one member, as ``mftgit status --json`` tells it."""

from dataclasses import asdict, dataclass
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.names import ServiceName, parse_name
from mftgit.model.told_number import count_of

MAX_SERVICES: Final = 100
_MAX_REASON: Final = 2000
_MAX_ADDRESS: Final = 300
_MAX_TIME: Final = 40


@unique
class ServiceState(Enum):
    """What a service does. SERVING: it takes new clients. DRAINED: it has none and takes none."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    DRAINED = "drained"
    FAILING = "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service; ``reason`` says why it is failing.

    ``connections`` have come in, ``sessions`` are those of them that have logged in. ``workers`` are its processes that
    run. ``banned`` sources are kept out of all services of this member. ``certificate_until`` (RFC 3339) is until when
    the certificate holds that it shows to clients, None where it shows none.
    """

    name: ServiceName
    address: str
    state: ServiceState
    reason: str | None = None
    connections: int = 0
    sessions: int = 0
    workers: int = 0
    banned: int = 0
    certificate_until: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``status --json`` documents."""
        return {**asdict(self), "state": self.state.value}


def parse_service_status(value: Any) -> ServiceStatus:
    """Return the status that ``as_json`` gave ``value`` for.

    Raises:
        ValueError: it is not of that shape.
    """
    match value:
        case {
            "name": str(name),
            "address": str(address),
            "state": str(state),
            "connections": int(connections),
            "sessions": int(sessions),
            "workers": int(workers),
            "banned": int(banned),
        }:
            reason, until = value.get("reason"), value.get("certificate_until")
            return ServiceStatus(
                name=ServiceName(parse_name(name)),
                address=address[:_MAX_ADDRESS],
                state=ServiceState(state),
                reason=None if reason is None else str(reason)[:_MAX_REASON],
                connections=count_of(connections),
                sessions=count_of(sessions),
                workers=count_of(workers),
                banned=count_of(banned),
                certificate_until=None if until is None else str(until)[:_MAX_TIME],
            )
        case _:
            raise ValueError("not a service's status")
