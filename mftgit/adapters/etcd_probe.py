"""Try an etcd before anything depends on it."""

from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.etcd_calls import Access, Calls, RefusedError
from mftgit.adapters.etcd_wire import in_base64
from mftgit.errors import ConfigError
from mftgit.model.names import MemberName

WANTED: Final = (3, 5, 13)
"""Before this one, and before 3.4.31, a leader that was stopped may end sessions early when it wakes (etcd#15247)."""

_ATTEMPT_S: Final = 2.0
_TTL_S: Final = 10


def try_etcd(access: Access, *, prefix: str, member: MemberName, clock: Clock) -> str:
    """See that an etcd of ``access`` takes a key below ``prefix``; return its version.

    The key ends by itself, should it stay there.

    Raises:
        ConfigError: etcd refuses it, or there is another server than an etcd.
        CoordinatorUnavailableError: nobody answers, or there is no majority.
    """
    calls = Calls(access, attempt_s=_ATTEMPT_S, clock=clock)
    try:
        lease = int(calls.ask("/lease/grant", {"TTL": _TTL_S, "ID": 0}).says["ID"])
        key = in_base64(f"{prefix}/probes/{member}".encode())
        calls.ask("/kv/put", {"key": key, "value": "", "lease": lease})
        calls.ask("/lease/revoke", {"ID": lease})
    except RefusedError as error:
        raise ConfigError(
            f"{error}: see endpoints, prefix, ca, username and auth of coordinator.etcd in cluster.yaml"
        ) from error
    return _version(calls)


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
