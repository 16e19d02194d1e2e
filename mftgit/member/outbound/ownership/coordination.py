"""Make the coordinator that the configuration names, and try it out before anything depends on it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import Coordinator, CoordinatorUnavailableError, Session, Wish
from mftgit.adapters.etcd.login import Login, prepare
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.shared.folder import SharedFolderCoordinator
from mftgit.errors import ConfigError
from mftgit.model.configuration.config import Cluster
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.etcd import EtcdPlace, parse_endpoint
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import Sight

if TYPE_CHECKING:
    from mftgit.adapters.etcd.calls import Access

_FOLDER: Final = "coordination"
"""Where leases are, below the members' storage, unless they are in etcd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """This member: ``shared`` is the members' storage, ``remembered`` the highest epoch that it has of a key."""

    member: MemberName
    cluster_id: str
    shared: Path
    clock: Clock
    remembered: Callable[[str], Epoch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a member coordinates with the others; between two that are equal nothing has to be given back.

    ``lacks`` tells why nobody can log in to ``etcd`` from here. ``secrets`` is where what is shown comes from.
    """

    ttl_s: float
    etcd: EtcdPlace | None = None
    login: Login | None = None
    lacks: str = ""
    secrets: SecretsHere | None = field(default=None, repr=False, compare=False)


def find_way(cluster: Cluster, secrets: SecretsHere) -> Way:
    """Return how the members of ``cluster`` coordinate."""
    ttl_s, place = cluster.lease_ttl_s, cluster.etcd
    if place is None:
        return Way(ttl_s=ttl_s)
    if find_spec("etcd3gw") is None:
        lacks = "cluster.yaml names an etcd, for which this member lacks etcd3gw: install mftgit[etcd] on it"
        return Way(ttl_s=ttl_s, etcd=place, lacks=lacks)
    try:
        return Way(ttl_s=ttl_s, etcd=place, login=prepare(place, secrets), secrets=secrets)
    except ConfigError as error:
        return Way(ttl_s=ttl_s, etcd=place, lacks=str(error), secrets=secrets)


def try_out(way: Way, here: Here) -> None:
    """See that the etcd of ``way``, if that has one, lets this member in.

    Raises:
        ConfigError: it does not, or something to log in with is not here.
        CoordinatorUnavailableError: it does not answer.
    """
    if way.etcd is None:
        return
    if way.login is None:
        raise ConfigError(way.lacks)
    from mftgit.adapters.etcd.probe import WANTED, is_old, try_etcd  # noqa: PLC0415  an extra

    access = _access(way.etcd, way.login, None)
    version = try_etcd(
        access,
        prefix=way.etcd.prefix,
        member=here.member,
        cluster_id=here.cluster_id,
        clock=here.clock,
    )
    if is_old(version):
        wanted = ".".join(map(str, WANTED))
        logger.warning("etcd is too old to be relied on", version=version, wanted=wanted)


def make(way: Way, here: Here) -> Coordinator:
    """Return the coordinator of ``way``; where it cannot be reached from here, one that never answers."""
    if way.etcd is None:
        return SharedFolderCoordinator(
            here.shared / _FOLDER,
            member=here.member,
            ttl_s=way.ttl_s,
            clock=here.clock,
            remembered=here.remembered,
        )
    if way.login is None:
        logger.error("this member owns nothing", reason=way.lacks)
        return AbsentCoordinator(way.lacks, lambda: _make_late(way, here))
    from mftgit.adapters.etcd.coordinator import EtcdCoordinator  # noqa: PLC0415  an extra

    return EtcdCoordinator(
        _access(way.etcd, way.login, way.secrets),
        prefix=way.etcd.prefix,
        member=here.member,
        ttl_s=way.ttl_s,
        clock=here.clock,
    )


def _make_late(way: Way, here: Here) -> Coordinator | None:
    """Return the coordinator of a way whose secrets have come to this member by now."""
    if way.etcd is None or way.secrets is None:
        return None
    try:
        login = prepare(way.etcd, way.secrets)
    except ConfigError:
        return None
    logger.info("this member has by now what it lacked", reason=way.lacks)
    return make(replace(way, login=login), here)


def _access(place: EtcdPlace, login: Login, secrets: SecretsHere | None) -> "Access":
    from mftgit.adapters.etcd.calls import Access  # noqa: PLC0415  an extra

    def anew() -> Access:
        return _access(place, prepare(place, secrets), secrets) if secrets else access

    access = Access(
        endpoints=tuple(map(parse_endpoint, place.endpoints)),
        context=login.context,
        username=place.username,
        password=login.password,
        anew=anew,
    )
    return access


class AbsentCoordinator:
    """`Coordinator` of a member that cannot log in to the real one: it owns nothing, and says why.

    ``late`` is asked for the real one each time that a session is to begin.
    """

    def __init__(self, why: str, late: Callable[[], Coordinator | None] = lambda: None) -> None:
        self._why = why
        self._late = late
        self._real: Coordinator | None = None

    def open(self, standing: Standing) -> Session:
        """See `Coordinator.open`."""
        self._real = self._real or self._late()
        return self._found().open(standing)

    def renew(self, session: Session) -> Session:
        """See `Coordinator.renew`."""
        return self._found().renew(session)

    def tell(self, session: Session, standing: Standing) -> None:
        """See `Coordinator.tell`."""
        self._found().tell(session, standing)

    def look(self) -> Sight:
        """See `Coordinator.look`."""
        return self._found().look()

    def due_in_s(self) -> float:
        """See `Coordinator.due_in_s`."""
        return math.inf

    def take(
        self, session: Session, wishes: Mapping[TransferName, Wish]
    ) -> Mapping[TransferName, Epoch]:
        """See `Coordinator.take`."""
        return self._found().take(session, wishes)

    def give_back(self, session: Session, leases: Mapping[TransferName, Handover]) -> None:
        """See `Coordinator.give_back`."""
        self._found().give_back(session, leases)

    def close(self, session: Session, why: str) -> None:
        """See `Coordinator.close`."""
        self._found().close(session, why)

    def hang_up(self) -> None:
        """See `Coordinator.hang_up`."""
        if self._real is not None:
            self._real.hang_up()

    def _found(self) -> Coordinator:
        if self._real is None:
            raise CoordinatorUnavailableError(self._why)
        return self._real
