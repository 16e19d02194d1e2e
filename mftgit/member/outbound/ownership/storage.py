"""Own nothing on storage that is unfit, or is another than the one that this member knows."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import (
    Coordinator,
    CoordinatorUnavailableError,
    Session,
    Wish,
)
from mftgit.adapters.mounted import mount_of
from mftgit.adapters.shared.storage import StorageProbe, StorageUnfitError
from mftgit.adapters.shared.storage_id import (
    ID_FILE,
    make_storage_id,
    read_storage_id,
    remember_storage_id,
)
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.storage import Finding, StorageId, StorageStatus, judge_storage
from mftgit.model.ownership.view import Sight

STATE: Final = ".mftgit"
"""Below the files root what the members share: leases, intents and ledgers. Below a source: claims."""

AGAIN_S: Final = 2.0
"""How long what was refused is not looked at again; the leases are asked for much oftener."""


class Storage:
    """The members' storage at ``folder``, as one member knows it. ``status`` is for any thread."""

    def __init__(self, folder: Path, *, member: MemberName, known: Path, clock: Clock) -> None:
        """Look at nothing yet; ``known`` is the file in the state folder that remembers the storage's id."""
        self._clock = clock
        self._not_before = 0.0
        self._fit: set[int] = set()
        self._warned = False
        self._folder = folder
        self._known = known
        self._probe = StorageProbe(folder, member)
        self._member = member
        self.status = StorageStatus()

    def admit(self) -> None:
        """See that the storage is the known one and fit, before anything is owned on it. It may hang.

        What was refused is looked at again after `AGAIN_S`.

        Raises:
            StorageUnfitError: it is not.
            CoordinatorUnavailableError: it does not answer.
        """
        refused = self.status.refused
        if refused is not None and self._clock.boottime() < self._not_before:
            raise CoordinatorUnavailableError(refused)
        try:
            found = self._identify()
            self._probe()
        except CoordinatorUnavailableError as error:
            self.status = replace(self.status, refused=str(error))
            self._not_before = self._clock.boottime() + AGAIN_S
            raise
        self._warn_of_late()
        if refused is not None:
            logger.info("the members' storage is well again", id=found)
        self.status = replace(self.status, id=found, refused=None)

    def admit_source(self, folder: Path) -> None:
        """See that claims in ``folder``, a source on this machine, are fenced. It may hang.

        Each file system is tried once. Nothing is said of a folder that is not there.

        Raises:
            StorageUnfitError: they are not.
            CoordinatorUnavailableError: it does not answer, or takes no writes now.
        """
        try:
            device = folder.stat().st_dev
            if device in self._fit or device == self._folder.stat().st_dev:
                return
        except OSError:
            return
        StorageProbe(folder / STATE, self._member)()
        self._fit.add(device)

    def accept(self) -> tuple[StorageId | None, StorageId]:
        """Take whatever storage is there for the known one from now on; return the ids of the former and of this one.

        Raises:
            StorageUnfitError, CoordinatorUnavailableError: it is not fit, or does not answer.
            OSError: it cannot be remembered.
        """
        self._probe()
        found = make_storage_id(self._folder)
        former = read_storage_id(self._known)
        remember_storage_id(self._known, found)
        return former, found

    def _identify(self) -> StorageId:
        known, found = read_storage_id(self._known), read_storage_id(self._folder / ID_FILE)
        finding = judge_storage(found, known)
        if finding is Finding.NEW:
            found = make_storage_id(self._folder)
        if finding in {Finding.NEW, Finding.FIRST} and found is not None:
            self._remember(found)
        if found is None:
            raise StorageUnfitError(
                f"{self._folder}: there is no storage here that has an id, and this member knows the storage {known}. "
                f"Most likely it is not mounted: mount it. {_ACCEPT}"
            )
        if finding is Finding.OTHER:
            raise StorageUnfitError(
                f"{self._folder}: this is the storage {found}, and this member knows the storage {known}, where its "
                f"leases and ledgers are: mount that one. {_ACCEPT}"
            )
        return found

    def _warn_of_late(self) -> None:
        mount = mount_of(self._folder)
        if mount is not None and mount.is_late and not self._warned:
            self._warned = True
            logger.warning(
                "NFS is mounted without lookupcache=positive: pauses and what other members tell may come 30 s late"
            )

    def _remember(self, found: StorageId) -> None:
        """Remember; where that fails nothing is in the way of the transfers now, and the next start tries again."""
        try:
            remember_storage_id(self._known, found)
        except OSError as error:
            logger.warning("the storage's id was not remembered", error=str(error))


_ACCEPT: Final = (
    "If files are to be moved by what lies here from now on, say `mftgit member accept-storage` on this machine: "
    "what the former storage tells of deliveries then counts no more"
)


class Admitted:
    """`Coordinator` that begins no session on storage that is not admitted."""

    def __init__(self, coordinator: Coordinator, storage: Storage) -> None:
        self._coordinator = coordinator
        self._storage = storage

    def open(self, standing: Standing) -> Session:
        """See `Coordinator.open`; raises also what `Storage.admit` raises."""
        self._storage.admit()
        return self._coordinator.open(standing)

    def renew(self, session: Session) -> Session:
        """See `Coordinator.renew`."""
        return self._coordinator.renew(session)

    def tell(self, session: Session, standing: Standing) -> None:
        """See `Coordinator.tell`."""
        self._coordinator.tell(session, standing)

    def look(self) -> Sight:
        """See `Coordinator.look`."""
        return self._coordinator.look()

    def due_in_s(self) -> float:
        """See `Coordinator.due_in_s`."""
        return self._coordinator.due_in_s()

    def take(
        self, session: Session, wishes: Mapping[TransferName, Wish]
    ) -> Mapping[TransferName, Epoch]:
        """See `Coordinator.take`."""
        return self._coordinator.take(session, wishes)

    def give_back(self, session: Session, leases: Mapping[TransferName, Handover]) -> None:
        """See `Coordinator.give_back`."""
        self._coordinator.give_back(session, leases)

    def close(self, session: Session, why: str) -> None:
        """See `Coordinator.close`."""
        self._coordinator.close(session, why)

    def hang_up(self) -> None:
        """See `Coordinator.hang_up`."""
        self._coordinator.hang_up()
