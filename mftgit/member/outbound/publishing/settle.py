"""What follows once a file is published, or skipped: event and ledger, then its source, then its record.

RECORDED: the event and the ledger. DONE: the source is dealt with as the record says, whatever the transfer says by
now, and the record dropped, last of all: after a crash whoever comes next does again what is not known to be done
(docs/adr/0005 has every step).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.endpoint.contract import FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.records.claims import Claim, archive, delete
from mftgit.member.outbound.records.intents import Intents
from mftgit.member.outbound.records.ledger import Line
from mftgit.member.outbound.taking import expected
from mftgit.member.outbound.taking.by_record import ByRecord
from mftgit.member.outbound.taking.parcel import (
    NOTHING,
    Outcome,
    Parcel,
    Results,
    into,
    source_path,
)
from mftgit.model.configuration.config import AfterSuccess
from mftgit.model.events.event import EventName, Fact
from mftgit.model.transfers.claim import ClaimId, join
from mftgit.model.transfers.commands import When
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.run import MOST_TOGETHER, DeliveryStep, advance

S = DeliveryStep


class Settling:
    """The steps that end the deliveries of one run."""

    def __init__(
        self,
        context: RunContext,
        *,
        endpoints: Endpoints,
        intents: Intents,
        by_record: ByRecord,
    ) -> None:
        self._context = context
        self._endpoints = endpoints
        self._intents = intents
        self._ledger = context.memory.ledger
        self._by_record = by_record

    def published(self, parcels: Sequence[Parcel], results: Results) -> None:
        """End the deliveries of files that are at their destination."""
        self._note(parcels)
        self._settle(parcels, results)

    def skipped(self, parcels: Sequence[Parcel], results: Results) -> None:
        """End the deliveries of files that are not sent, as if they had been; nothing is left there of them."""
        if not parcels:
            return
        fresh = [each for each in parcels if not self._ledger.has(each.intent.id)]
        seen = []
        for parcel in fresh:
            with into(results, parcel):
                seen.append(self._as_seen(parcel))
        parcels = [each for each in parcels if each.intent.id not in results]
        self._tell(EventName.DELIVERY_SKIPPED, seen)
        self._append(seen, skipped=True)
        for parcel in self.sources(parcels, results):
            self._end(parcel, (S.SETTLE,), NOTHING, results)

    def sources(self, parcels: Sequence[Parcel], results: Results) -> list[Parcel]:
        """Do with claimed files what is done after a success; return those that are done."""
        failed: dict[ClaimId, MftgitError] = {}
        claims = {each.intent.id: each.claim for each in parcels if each.claim is not None}
        claims |= self._by_record.claims_of(parcels, failed)
        for after in AfterSuccess:
            some = [
                (claims[each.intent.id], each.intent)
                for each in parcels
                if each.intent.id in claims and each.intent.after is after
            ]
            ended = self._settled(some, after)
            failed |= {
                intent.id: error
                for (_, intent), error in zip(some, ended, strict=True)
                if error is not None
            }
            done = [
                each.intent
                for each in parcels
                if each.intent.after is after and each.intent.id not in failed
            ]
            self._settle_checksums(done, after, failed)
        results |= failed
        return [each for each in parcels if each.intent.id not in failed]

    def _note(self, parcels: Sequence[Parcel]) -> None:
        """Tell of the deliveries and write them down; a crash between the two tells of them again, by the same ids."""
        fresh = [each for each in parcels if not self._ledger.has(each.intent.id)]
        if fresh:
            self._context.record(EventName.DELIVERY_SUCCEEDED, *map(_facts_of, fresh))
        self._append([each.intent for each in fresh], skipped=False)

    def _settle(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Deal with the sources, run what is to be run for each file, and drop the records.

        The record goes last, so that whoever takes over runs the program again where nobody knows that it ended.
        """
        for at, parcel in enumerate(self.sources(parcels, results)):
            if at and at % MOST_TOGETHER == 0:
                self._intents.tidy()  # a batch may be thousands
            size_bytes = parcel.intent.size_bytes
            after = self._run_program(parcel.intent)
            outcome = Outcome(delivered=True, size_bytes=size_bytes, after=after)
            self._end(parcel, (S.PUBLISH, S.RECORD, S.SETTLE), outcome, results)

    def _run_program(self, intent: Intent) -> MftgitError | None:
        told = dict(_facts(intent))
        told["delivery_id"] = told.pop("id")
        try:
            self._context.run_program(When.AFTER_FILE, told)
        except OwnershipEndedError:
            raise
        except MftgitError as error:
            return error
        return None

    def _end(
        self, parcel: Parcel, steps: Sequence[DeliveryStep], outcome: Outcome, results: Results
    ) -> None:
        """Drop the record; ``steps`` are those that were taken since it was written."""
        state = parcel.intent.state
        for step in steps:
            state = advance(state, step)
        self._intents.drop([parcel.intent.id])
        self._by_record.ended(parcel.intent.id)
        results[parcel.intent.id] = outcome

    def _as_seen(self, parcel: Parcel) -> Intent:
        """Return its intent; of a file that stays somewhere with size and time, by which it is known again."""
        intent = parcel.intent
        if intent.claimed is not None:
            size_bytes, mtime_ns = intent.claimed
            if intent.source_bytes is not None:
                return replace(intent, source_bytes=size_bytes, mtime_ns=mtime_ns)
            return replace(intent, size_bytes=size_bytes, mtime_ns=mtime_ns)
        if intent.after not in {AfterSuccess.KEEP, AfterSuccess.ARCHIVE}:
            return intent
        source = self._endpoints.find(intent.source, writer=intent.member)
        try:
            seen = self._endpoints.at(source).stat(source_path(parcel))
        except FileMissingError:
            return intent
        if intent.source_bytes is not None:
            return replace(intent, source_bytes=seen.size_bytes, mtime_ns=seen.mtime_ns)
        return replace(intent, size_bytes=seen.size_bytes, mtime_ns=seen.mtime_ns)

    def _settled(
        self, files: Sequence[tuple[Claim, Intent]], after: AfterSuccess
    ) -> list[MftgitError | None]:
        by_record = any(intent.claimed is not None for _, intent in files)
        if after is not AfterSuccess.DELETE:
            over = after is AfterSuccess.MOVE
            if by_record:
                moves = [(claim, intent, _archived(intent)) for claim, intent in files]
                return self._by_record.archive(moves, replace=over)
            return archive([(claim, _archived(intent)) for claim, intent in files], replace=over)
        if by_record:
            return self._by_record.delete([intent for _, intent in files])
        return delete([claim for claim, _ in files])

    def _settle_checksums(
        self, intents: Sequence[Intent], after: AfterSuccess, failed: dict[ClaimId, MftgitError]
    ) -> None:
        """Do with the checksum files of sources what was done with these; also after a crash between the two."""
        having = [each for each in intents if each.expected is not None]
        if not having or after is AfterSuccess.KEEP:
            return
        found: Results = {}
        source = self._endpoints.find(having[0].source, writer=having[0].member)
        expected.settle(
            having,
            self._endpoints.at(source),
            found,
            target=None if after is AfterSuccess.DELETE else _archived,
            over=after is AfterSuccess.MOVE,
        )
        failed |= {claim: each for claim, each in found.items() if isinstance(each, MftgitError)}

    def _append(self, intents: Sequence[Intent], *, skipped: bool) -> None:
        context = self._context
        if not intents:
            return
        context.ownership.check()
        self._ledger.append(
            [
                Line(
                    id=intent.id,
                    transfer=intent.transfer,
                    member=context.member,
                    epoch=context.ownership.epoch,
                    revision=intent.revision,
                    path=intent.path,
                    destination=intent.destination.location.name,
                    final=intent.final,
                    size_bytes=intent.size_bytes,
                    mtime_ns=intent.mtime_ns,
                    sha256=intent.sha256,
                    started_at=intent.started_at,
                    ended_at=rfc3339(context.clock.now()),
                    skipped=skipped,
                    source_bytes=intent.source_bytes,
                    source_sha256=intent.source_sha256,
                    duplicate_of=intent.duplicate_of,
                    archived=_archived(intent) if intent.after is AfterSuccess.ARCHIVE else None,
                )
                for intent in intents
            ]
        )

    def _tell(self, event: EventName, intents: Sequence[Intent]) -> None:
        if intents:
            self._context.record(event, *map(_facts, intents))


def _archived(intent: Intent) -> str:
    return join(intent.archive_path or "archive", intent.path)


def _facts_of(parcel: Parcel) -> Mapping[str, Fact]:
    facts = _facts(parcel.intent)
    at = parcel.resumed_from_bytes
    return {**facts, "resumed_from_bytes": at} if at else facts


def _facts(intent: Intent) -> Mapping[str, Fact]:
    facts: dict[str, Fact] = {
        "transfer": intent.transfer,
        "id": intent.id,
        "path": intent.path,
        "destination": intent.destination.location.name,
        "final": intent.final,
        "size_bytes": intent.size_bytes,
        "sha256": intent.sha256 or None,
    }
    if intent.source_bytes is not None:
        facts["source_bytes"] = intent.source_bytes
    if intent.duplicate_of is not None:
        facts["duplicate_of"] = intent.duplicate_of
    return facts
