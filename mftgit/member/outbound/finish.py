"""End deliveries as their records say, whatever the transfer says by now.

PUBLISHED: the one rename that counts. RECORDED: the event and the ledger. DONE: the source is dealt with, the record
dropped. Where it stops, whoever comes next goes on from what is written down (docs/adr/0005 has every step).

Every step takes files together that go from one source to one destination by one rule, and puts what became of a file
into the results, so that one that fails keeps no other back.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.endpoint import (
    EndpointLostError,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound import expected, sidecars
from mftgit.member.outbound.ahead import digest_of
from mftgit.member.outbound.by_record import ByRecord
from mftgit.member.outbound.claims import Claim, archive, delete
from mftgit.member.outbound.context import Endpoints, RunContext
from mftgit.member.outbound.fenced import FencedEndpoint
from mftgit.member.outbound.intents import Intents, StateUnavailableError
from mftgit.member.outbound.ledger import Line
from mftgit.member.outbound.own import OwnershipEndedError
from mftgit.member.outbound.parcel import (
    NOTHING,
    DeliveryFailedError,
    Outcome,
    Parcel,
    Results,
    source_path,
)
from mftgit.model.claim import ClaimId, join, unique_name
from mftgit.model.commands import When
from mftgit.model.config import AfterSuccess, Overwrite
from mftgit.model.events import EventName, Fact
from mftgit.model.intent import Intent
from mftgit.model.run import MOST_TOGETHER, DeliveryStep, advance

S = DeliveryStep

ENDS_ALL: Final = (EndpointLostError, OwnershipEndedError, StateUnavailableError)
"""Errors of a file that are of all files, and end the run."""


class NameTakenError(DeliveryFailedError):
    """The destination has a file of that name, and the transfer says not to touch it."""


class TemporaryVanishedError(TransientError):
    """Somebody removed the temporary before it was published; the file is sent again."""


class FolderGoneError(TransientError):
    """The folder of the file's name was removed after the file was sent."""


class Finish:
    """The steps after a file is whole at its destination, and those that give a file up."""

    def __init__(self, context: RunContext, *, endpoints: Endpoints, intents: Intents) -> None:
        self._context = context
        self._endpoints = endpoints
        self._intents = intents
        self._ledger = context.memory.ledger
        self._by_record = ByRecord(context, endpoints=endpoints, intents=intents)

    def write(self, parcels: Sequence[Parcel], step: DeliveryStep) -> list[Parcel]:
        """Take ``step`` with all of them, and write down where that leads."""
        (after,) = self.write_together((parcels, step))
        return after

    def write_together(self, *some: tuple[Sequence[Parcel], DeliveryStep]) -> list[list[Parcel]]:
        """Take its step with each, and write down where that leads; what has one record, all at once."""
        after = [[_after(parcel, step) for parcel in parcels] for parcels, step in some]
        intents = [parcel.intent for parcels in after for parcel in parcels]
        self._intents.write(intents)
        self._by_record.wrote(intents)
        return after

    def publish(
        self, parcels: Sequence[Parcel], results: Results, *, just_sent: bool = False
    ) -> None:
        """Rename the temporaries, which are whole; one that is gone was published. Then do what follows.

        ``just_sent``: nobody can have tried this before. Then one that is gone was published only where its file is
        there, as when the reply to the rename was lost; else somebody removed it: `TemporaryVanishedError`.
        `NameTakenError`: the name was taken meanwhile, and the rule is to fail.
        """
        if not parcels:
            return
        first = parcels[0].intent
        destination = self.destination(first)
        parcels = sidecars.make_way(parcels, destination, results, just_sent=just_sent)
        ended = destination.rename_all(
            ((each.intent.temporary, each.intent.final) for each in parcels),
            replace=first.overwrite.replaces,
        )
        published = []
        for parcel, error in zip(parcels, ended, strict=True):
            with into(results, parcel):
                if self._was_published(parcel, error, results, just_sent=just_sent):
                    published.append(parcel)
        published = sidecars.publish(published, destination, results)
        self._note(published)
        self._settle(published, results)

    def skip(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Decide not to deliver what was not sent, as if it had been done."""
        self._settle_skipped(self.write(parcels, S.SKIP), results)

    def settle_skipped(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Treat the sources as if they had been delivered; what was sent of them is removed."""
        self._settle_skipped(self._cleared(parcels, results), results)

    def _settle_skipped(self, parcels: Sequence[Parcel], results: Results) -> None:
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
        for parcel in self.settle_sources(parcels, results):
            self._end(parcel, (S.SETTLE,), NOTHING, results)

    def _cleared(self, parcels: Sequence[Parcel], results: Results) -> list[Parcel]:
        """Remove what was sent of each, and return those of which nothing is left there."""
        cleared = []
        for parcel in parcels:
            with into(results, parcel):
                self.clear_away([parcel])
                cleared.append(parcel)
        return cleared

    def leave(self, parcels: Sequence[Parcel], results: Results) -> list[Parcel]:
        """Let the files be as if they had never been taken; return those that stay claimed: their name is taken."""
        stay = []
        for parcel in parcels:
            advance(parcel.intent.state, S.LEAVE)
            left = parcel.claim is None
            with into(results, parcel):
                left = left or (
                    parcel.claim is not None and parcel.claim.put_back(parcel.intent.path)
                )
            if left:
                self._intents.drop([parcel.intent.id])
            else:
                stay.append(parcel)
        return stay

    def clear_away(
        self, parcels: Sequence[Parcel], destination: FencedEndpoint | None = None
    ) -> None:
        """Remove temporaries that no intent stands for; no other try, of whichever owner, bears their names.

        What an earlier try has left may bear the name of that one still. ``destination`` is where they are, as a thread
        of its own has it.
        """
        if not parcels:
            return
        partials = self._intents.partials
        names = [each.intent.temporary for each in parcels]
        left = [partial for each in parcels if (partial := partials.of(each.intent.id)) is not None]
        names += [each.temporary for each in left if each.temporary not in names]
        there = destination or self.destination(parcels[0].intent)
        for error in there.remove_all(names + sidecars.temporaries_of(parcels)):
            if error is not None and not isinstance(error, FileMissingError):
                raise error
        for partial in left:
            partials.drop(partial.id)

    def destination(self, intent: Intent) -> FencedEndpoint:
        """Return the endpoint of where the record says that it goes; no folder is made there by opening it."""
        location = self._endpoints.find(intent.destination, writer=intent.member)
        return self._endpoints.at(location, make=False)

    def _was_published(
        self, parcel: Parcel, error: MftgitError | None, results: Results, *, just_sent: bool
    ) -> bool:
        """Tell whether the file is at its destination, after the rename ended so; where it is not, see to it."""
        intent = parcel.intent
        match error:
            case None:
                return True
            case FileMissingError():
                self._require_gone(intent)
                if just_sent and not self._is_there(intent):
                    raise self._vanished(parcel)
                return True
            case FileExistsAtEndpointError():
                self._publish_elsewhere(parcel, results, just_sent=just_sent)
                return False
            case _:
                raise error

    def _require_gone(self, intent: Intent) -> None:
        """See that it is the temporary that is missing; a folder that is gone proves nothing."""
        destination = self.destination(intent)
        try:
            destination.stat(intent.temporary)
        except FileMissingError:
            destination.list_names(intent.destination_folder)
            self._require_temporary_folder(intent, destination)
            return
        folder = intent.final.rpartition("/")[0]
        destination.make_folder(folder)
        raise FolderGoneError(
            f"the folder {folder} at {intent.destination.location.name} was removed while {intent.path} was sent; "
            "it was made again, and the file is published by the next try"
        )

    def _require_temporary_folder(self, intent: Intent, destination: FencedEndpoint) -> None:
        """See that it is not the whole folder of temporaries that is gone, which proves nothing either."""
        folder = intent.temporary.rpartition("/")[0] or "."
        try:
            destination.list_names(folder)
        except FileMissingError:
            if not self._is_there(intent):
                raise FolderGoneError(
                    f"the folder {folder} at {intent.destination.location.name}, in which {intent.path} lay whole, is "
                    f"gone, and whether it came to be {intent.final} before cannot be told: see at the partner; make "
                    f"the folder again where it did arrive, or put the temporary {intent.temporary} back"
                ) from None

    def _is_there(self, intent: Intent) -> bool:
        """Tell whether the destination has this very file under its name."""
        destination = self.destination(intent)
        try:
            if destination.stat(intent.final).size_bytes != intent.size_bytes:
                return False
            return digest_of(destination, intent.final) == intent.sha256
        except FileMissingError:
            return False

    def _vanished(self, parcel: Parcel) -> TemporaryVanishedError:
        intent = parcel.intent
        taken = self.write([parcel], S.VANISH)
        if parcel.claim is None:
            self.leave(taken, {})
        return TemporaryVanishedError(
            f"the temporary {intent.temporary} at {intent.destination.location.name} was removed before it was "
            "renamed: see that nothing there removes hidden files; the file is sent again"
        )

    def _publish_elsewhere(self, parcel: Parcel, results: Results, *, just_sent: bool) -> None:
        """The name was taken after it was found to be free; the whole temporary stays what it is, an intent."""
        intent = parcel.intent
        place = intent.destination.location.name
        if intent.overwrite is Overwrite.SKIP:
            self.settle_skipped(self.write([parcel], S.SKIP), results)
            return
        if intent.overwrite is Overwrite.FAIL:
            raise NameTakenError(
                f"{intent.final} came to be at {place} while {intent.path} was sent: "
                "remove it there, and the file is published by the next try"
            )
        moment = self._context.clock.now()
        renamed = replace(intent, final=unique_name(intent.plain, intent.id, moment))
        if renamed.final == intent.final:
            raise NameTakenError(f"{intent.final} is at {place} already")
        again = [replace(parcel, intent=renamed)]
        destination = self.destination(intent)
        again = sidecars.write(
            again, destination, lambda each, error: results.update({each.intent.id: error})
        )
        again = self.write(again, S.INTEND)
        sidecars.clear_away([parcel], destination)
        self.publish(again, results, just_sent=just_sent)

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
        for at, parcel in enumerate(self.settle_sources(parcels, results)):
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

    def settle_sources(self, parcels: Sequence[Parcel], results: Results) -> list[Parcel]:
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

    def _settled(
        self, files: Sequence[tuple[Claim, Intent]], after: AfterSuccess
    ) -> list[MftgitError | None]:
        if after is not AfterSuccess.DELETE:
            moves = [(claim, _archived(intent)) for claim, intent in files]
            return archive(moves, replace=after is AfterSuccess.MOVE)
        if any(intent.claimed is not None for _, intent in files):
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


@contextmanager
def into(results: Results, parcel: Parcel) -> Iterator[None]:
    """Put an error of one file into the results; what ends the run is raised."""
    try:
        yield
    except ENDS_ALL:
        raise
    except MftgitError as error:
        results[parcel.intent.id] = error


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


def _after(parcel: Parcel, step: DeliveryStep) -> Parcel:
    intent = parcel.intent
    return replace(parcel, intent=replace(intent, state=advance(intent.state, step)))
