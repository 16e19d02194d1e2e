"""What is written down of a file before it is taken: from where to where, and under which names."""

from zoneinfo import ZoneInfo

from mftgit.adapters.clock import rfc3339
from mftgit.member.outbound.given.context import RunContext
from mftgit.model.configuration.config import Transfer
from mftgit.model.names import LocationName
from mftgit.model.transfers.claim import ClaimId, temporary_name
from mftgit.model.transfers.failures import Mark
from mftgit.model.transfers.intent import Intent, Place
from mftgit.model.transfers.naming import dated, final_path, fixed_folder
from mftgit.model.transfers.run import DeliveryState


class Describing:
    """The records of one run, as they begin."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._places: dict[LocationName, Place] = {}

    def describe(
        self, transfer: Transfer, claim: ClaimId, path: str, *, mark: Mark | None = None
    ) -> Intent:
        """Return the record of a try to deliver the file ``path``, under a temporary name that no other try bears.

        ``mark`` are size and time of a file at its own place; None: it was claimed by a rename.
        """
        context, rules = self._context, transfer.destination
        zone = ZoneInfo(rules.timezone)
        moment = context.clock.now().astimezone(zone)
        final = final_path(rules, path, moment, transfer.content)
        attempt = f"{context.ownership.epoch}-{context.nonce()}"
        return Intent(
            id=claim,
            state=DeliveryState.SEEN,
            transfer=transfer.name,
            ownership=transfer.ownership,
            active_on=transfer.active_on,
            path=path,
            source=self._place(transfer.source.location),
            source_folder=transfer.source.path,
            destination=self._place(transfer.destination.location),
            destination_folder=fixed_folder(rules.path),
            temporary=temporary_name(
                final,
                claim,
                attempt,
                rules.temporary_suffix,
                prefix=rules.temporary_prefix,
                folder=rules.temporary_folder,
            ),
            plain=final,
            final=final,
            overwrite=rules.overwrite,
            after=transfer.after_success,
            claimed=mark if transfer.claims_by_record else None,
            sidecar=rules.checksum,
            archive_path=dated(transfer.archive_path, moment) if transfer.archive_path else None,
            started_at=rfc3339(context.clock.now()),
            member=context.member,
            epoch=context.ownership.epoch,
            revision=context.revision,
        )

    def _place(self, name: LocationName) -> Place:
        if name not in self._places:
            generation = self._context.generation
            self._places[name] = Place.of(generation.locations[name], generation)
        return self._places[name]
