"""Try an etcd before anything depends on it."""

from contextlib import closing
from dataclasses import replace
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import CoordinatorUnavailableError
from mftgit.adapters.etcd.calls import Access, Calls, RefusedError
from mftgit.adapters.etcd.wire import created_at, entries, in_base64, put, read, transaction
from mftgit.errors import ConfigError
from mftgit.model.names import MemberName
from mftgit.model.ownership.etcd import Endpoint
from mftgit.model.ownership.etcd_values import Keys

WANTED: Final = (3, 5, 13)
"""Before this one, and before 3.4.31, a leader that was stopped may end sessions early when it wakes (etcd#15247)."""

_ATTEMPT_S: Final = 2.0
_TTL_S: Final = 10
_MOST_ID: Final = 100


def try_etcd(
    access: Access, *, prefix: str, member: MemberName, cluster_id: str, clock: Clock
) -> str:
    """See that an etcd of ``access`` takes a key below ``prefix``; return its version.

    The key ends by itself, should it stay there. Each other endpoint that answers has to know of it: two etcds that
    know nothing of each other would each give one transfer to somebody. Another key stays, and says which cluster all
    of them are of: transfers of one name in two clusters would have one owner.

    Raises:
        ConfigError: etcd refuses it, the endpoints are not of one etcd, there is another server than an etcd, or the
            prefix is another cluster's.
        CoordinatorUnavailableError: nobody answers, or there is no majority.
    """
    with closing(Calls(access, attempt_s=_ATTEMPT_S, clock=clock)) as calls:
        _require_one_of_ours(calls, access, Keys(prefix=f"{prefix}/"), member, cluster_id, clock)
        return _version(calls)


def _require_one_of_ours(
    calls: Calls, access: Access, keys: Keys, member: MemberName, cluster_id: str, clock: Clock
) -> None:
    try:
        lease = int(calls.ask("/lease/grant", {"TTL": _TTL_S, "ID": 0}).says["ID"])
        key = in_base64(f"{keys.prefix}probes/{member}".encode())
        calls.ask("/kv/put", {"key": key, "value": "", "lease": lease})
        for endpoint in access.endpoints:
            only = replace(access, endpoints=(endpoint,))
            with closing(Calls(only, attempt_s=_ATTEMPT_S, clock=clock)) as alone:
                _require_known(alone, key, lease, endpoint)
        calls.ask("/lease/revoke", {"ID": lease})
        _require_ours(calls, keys.cluster, cluster_id)
    except RefusedError as error:
        raise ConfigError(
            f"{error}: see endpoints, prefix, ca, username and auth of coordinator.etcd in cluster.yaml"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            "what answers is no etcd: see endpoints of coordinator.etcd in cluster.yaml"
        ) from error


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


def _require_ours(calls: Calls, key: bytes, cluster_id: str) -> None:
    """See that ``key`` says our cluster, which it says from now on where it was not there."""
    ours = transaction([created_at(key, 0)], [put(key, cluster_id.encode())], [read(key)])
    answer = calls.ask("/kv/txn", ours).says
    if answer.get("succeeded"):
        return
    found = [each.value for each in entries(answer["responses"][0]["response_range"], "")]
    if found == [cluster_id.encode()]:
        return
    other = found[0][:_MOST_ID].decode(errors="replace") if found else ""
    raise ConfigError(
        f"the keys in etcd are of another cluster, {other!r}, as {key.decode()} says: give this one a prefix of its "
        "own in coordinator.etcd of cluster.yaml. Where that cluster is no more, remove that key by "
        f"`etcdctl del {key.decode()}`"
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
