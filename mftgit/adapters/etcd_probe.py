"""Try an etcd before anything depends on it."""

from dataclasses import replace
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import CoordinatorUnavailableError
from mftgit.adapters.etcd_calls import Access, Calls, RefusedError
from mftgit.adapters.etcd_wire import in_base64
from mftgit.errors import ConfigError
from mftgit.model.etcd import Endpoint
from mftgit.model.names import MemberName

WANTED: Final = (3, 5, 13)
"""Before this one, and before 3.4.31, a leader that was stopped may end sessions early when it wakes (etcd#15247)."""

_ATTEMPT_S: Final = 2.0
_TTL_S: Final = 10


def try_etcd(access: Access, *, prefix: str, member: MemberName, clock: Clock) -> str:
    """See that an etcd of ``access`` takes a key below ``prefix``; return its version.

    The key ends by itself, should it stay there. Each other endpoint that answers has to know of it: two etcds that
    know nothing of each other would each give one transfer to somebody.

    Raises:
        ConfigError: etcd refuses it, the endpoints are not of one etcd, or there is another server than an etcd.
        CoordinatorUnavailableError: nobody answers, or there is no majority.
    """
    calls = Calls(access, attempt_s=_ATTEMPT_S, clock=clock)
    try:
        lease = int(calls.ask("/lease/grant", {"TTL": _TTL_S, "ID": 0}).says["ID"])
        key = in_base64(f"{prefix}/probes/{member}".encode())
        calls.ask("/kv/put", {"key": key, "value": "", "lease": lease})
        for endpoint in access.endpoints:
            alone = Calls(replace(access, endpoints=(endpoint,)), attempt_s=_ATTEMPT_S, clock=clock)
            _require_known(alone, key, lease, endpoint)
        calls.ask("/lease/revoke", {"ID": lease})
    except RefusedError as error:
        raise ConfigError(
            f"{error}: see endpoints, prefix, ca, username and auth of coordinator.etcd in cluster.yaml"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            "what answers is no etcd: see endpoints of coordinator.etcd in cluster.yaml"
        ) from error
    return _version(calls)


def _require_known(alone: Calls, key: str, lease: int, endpoint: Endpoint) -> None:
    """See that whoever answers ``alone`` has ``key``, which was put by another one, perhaps, with ``lease``."""
    try:
        found = alone.ask("/kv/range", {"key": key}).says.get("kvs", [])
    except CoordinatorUnavailableError:
        return  # one may be away
    if [int(each.get("lease", 0)) for each in found] != [lease]:
        raise ConfigError(
            f"{endpoint} is of another etcd than the others: a key that one of them took is not there. "
            "See initial-cluster of each server, and endpoints of coordinator.etcd in cluster.yaml"
        )


def _version(calls: Calls) -> str:
    """Return what is told of the version, if that is told to us."""
    try:
        return str(calls.ask("/maintenance/status", {}).says.get("version", ""))
    except RefusedError:
        return ""


def is_old(version: str) -> bool:
    """Tell whether ``version`` is one before `WANTED`, as far as it can be read."""
    parts = version.partition("-")[0].split(".")
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) < WANTED
