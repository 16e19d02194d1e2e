"""What was begun and not ended, by this owner or by earlier ones: records, each with the claim that belongs to it."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.records.claims import Claim, Claims
from mftgit.member.outbound.records.intents import Intents
from mftgit.model.configuration.config import Transfer
from mftgit.model.locations.location import Location
from mftgit.model.transfers.claim import ClaimId, join
from mftgit.model.transfers.intent import Intent


class SourceGoneError(MftgitError):
    """The folder that a file was claimed in, under another revision, is not there."""


class Begun:
    """The records and claims of one transfer, for one run.

    ``transfer`` is None for one that is not configured any more. Claims lie where the record says that they were taken,
    which another revision may call otherwise; those at the transfer's own source are found also where that folder was
    moved by hand, or where there is no record.
    """

    def __init__(
        self, context: RunContext, endpoints: Endpoints, *, transfer: Transfer | None
    ) -> None:
        self._context = context
        self._endpoints = endpoints
        self._places: dict[tuple[Location, str], Claims] = {}
        self._held: dict[tuple[Location, str], dict[ClaimId, Claim]] = {}
        self.intents = Intents(context.state, context.ownership)
        self.source = self._location(transfer)
        self._folder = transfer.source.path if transfer is not None else ""
        self._stays = transfer is None or not transfer.claims
        self._fence = (context.ownership.epoch, self.source, self._folder, self._stays)

    def _location(self, transfer: Transfer | None) -> Location | None:
        if transfer is None:
            return None
        return self._context.generation.locations[transfer.source.location]

    @property
    def claims(self) -> Claims:
        """Return the claims at the transfer's own source, which it has to have."""
        if self.source is None:
            raise LookupError("no transfer, no source")
        return self._claims_at(self.source, self._folder)

    def is_any(self) -> bool:
        """Tell whether there is something to end now; nothing is changed."""
        if self._context.memory.adopted != self._fence:
            return self.intents.left_over(own=True) or (
                self.source is not None and self.claims.left_over()
            )
        return (
            self.intents.left_over(own=False)
            or self.intents.is_run_open()
            or any(not self.is_put_off(intent.id) for intent in self.intents.all())
            or self._is_left_due()
        )

    def _is_left_due(self) -> bool:
        """Tell whether it is time to try again to remove what was left behind, as of the last look at the records."""
        now = self._context.clock.boottime()
        return bool(self.intents.left.known) and now >= self._context.memory.left_until

    def take_over(self) -> None:
        """Fence off every lower epoch, once; whatever is found after this was written by nobody else since."""
        if self._context.memory.adopted == self._fence:
            return
        if self.source is not None and not self._stays:
            self._context.admit_source(self.source, self._folder)
        # Records first. A predecessor drops a record only after it has dealt with the claim; were claims adopted first,
        # it would find its claim gone, take that for dealt with, and the file would look like one never sent.
        self.intents.take_over()
        if self.source is not None:
            self.claims.take_over(needed=not self._stays)
        self._context.memory.adopted = self._fence

    def records(self) -> Iterator[Intent]:
        """Give the records that are not put off."""
        for intent in self.intents.all():
            if not self.is_put_off(intent.id):
                yield intent

    def claim_of(self, intent: Intent) -> Claim | None:
        """Return the claim that ``intent`` tells of, None where there is none (any more).

        Raises:
            SourceGoneError: the folder that it would lie in is not there; that proves nothing.
            PlaceUnknownError: this member cannot tell where it would lie.
        """
        if self.source is not None:
            own = self._held_at(self.source, self._folder).get(intent.id)
            if own is not None or self.is_at_home(intent):
                return own
        if intent.stays:
            return None
        source = self._endpoints.find(intent.source, writer=intent.member)
        if not self._claims_at(source, intent.source_folder).has_source():
            raise SourceGoneError(
                f"{intent.path} was claimed in the folder {intent.source_folder!r} of {intent.source.location.name}, "
                "which is gone: bring the folder back with the .mftgit in it"
            )
        return self._held_at(source, intent.source_folder).get(intent.id)

    def is_at_home(self, intent: Intent) -> bool:
        """Tell whether the file came from the transfer's own source, as it is configured now."""
        if self.source is None or intent.source_folder != self._folder:
            return False
        return intent.source.find(self._context.generation, writer=intent.member) == self.source

    def under_way(self) -> set[str]:
        """Return the paths below the transfer's own source, as it is now, of files that may lie there and are not new.

        A file that is claimed by its record lies at its place also where the source is a folder above or below by now.
        """
        return {path for each in self.intents.all() if (path := self._path_here(each)) is not None}

    def _path_here(self, intent: Intent) -> str | None:
        if self.is_at_home(intent):
            return intent.path
        there = intent.source.find(self._context.generation, writer=intent.member)
        if intent.claimed is None or self.source is None or there != self.source:
            return None
        path, folder = PurePosixPath(join(intent.source_folder, intent.path)), self._folder
        return str(path.relative_to(folder)) if path.is_relative_to(folder) else None

    def is_own(self, claim: Claim) -> bool:
        """Tell whether ``claim`` lies at the transfer's own source."""
        if self.source is None:
            return False
        return claim.id in self._held_at(self.source, self._folder)

    def unrecorded(self) -> Iterator[Claim]:
        """Give the claims at the transfer's own source that have no record."""
        if self.source is None:
            return
        known = {intent.id for intent in self.intents.all()}
        for claim in self._claims_at(self.source, self._folder).held():
            if claim.id not in known and not self.is_put_off(claim.id):
                yield claim

    def is_put_off(self, claim: ClaimId) -> bool:
        """Tell whether it failed a short while ago."""
        return self._context.memory.is_put_off(claim, None, self._context.clock.boottime())

    def _held_at(self, location: Location, folder: str) -> dict[ClaimId, Claim]:
        """Return the claims there, those of earlier owners adopted first."""
        if (location, folder) not in self._held:
            claims = self._claims_at(location, folder)
            if (location, folder) != (self.source, self._folder):
                claims.take_over(needed=False)
            self._held[location, folder] = {claim.id: claim for claim in claims.held()}
        return self._held[location, folder]

    def _claims_at(self, location: Location, folder: str) -> Claims:
        if (location, folder) not in self._places:
            self._places[location, folder] = Claims(
                self._endpoints.at(location, make=location == self.source),
                folder=folder,
                area=self._context.area,
                epoch=self._context.ownership.epoch,
            )
        return self._places[location, folder]
