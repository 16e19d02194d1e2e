"""From a file that is whole at its destination to its name there; or back, where it gets none.

READY: the intent is written. PUBLISHED: the one rename that counts; of one that was begun before it is decided what
became of it, as its record says, whatever the transfer says by now. Then `settle`. Where it stops, whoever comes next
goes on from what is written down (docs/adr/0005 has every step).

Every step takes files together that go from one source to one destination by one rule, and puts what became of a file
into the results, so that one that fails keeps no other back.
"""

from collections.abc import Sequence
from dataclasses import replace

from mftgit.adapters.endpoint.contract import (
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.places.ahead import digest_of
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.publishing import sidecars
from mftgit.member.outbound.publishing.settle import Settling
from mftgit.member.outbound.records.intents import Intents
from mftgit.member.outbound.taking.by_record import ByRecord
from mftgit.member.outbound.taking.parcel import (
    DeliveryFailedError,
    Parcel,
    Results,
    into,
)
from mftgit.model.configuration.config import Overwrite
from mftgit.model.transfers.claim import unique_name
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.run import DeliveryStep, advance

S = DeliveryStep


class NameTakenError(DeliveryFailedError):
    """The destination has a file of that name, and the transfer says not to touch it."""


class TemporaryVanishedError(TransientError):
    """Somebody removed the temporary before it was published; the file is sent again."""


class FolderGoneError(TransientError):
    """The folder of the file's name was removed after the file was sent."""


class Finish:
    """The steps after a file is whole at its destination, and those that give a file up."""

    def __init__(self, context: RunContext, *, endpoints: Endpoints, intents: Intents) -> None:
        self._clock = context.clock
        self._endpoints = endpoints
        self._intents = intents
        self._by_record = ByRecord(context, endpoints=endpoints, intents=intents)
        self._settling = Settling(
            context, endpoints=endpoints, intents=intents, by_record=self._by_record
        )

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
        with self._endpoints.turns.in_order():
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
        self._settling.published(published, results)

    def skip(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Decide not to deliver what was not sent, as if it had been done."""
        self._settling.skipped(self.write(parcels, S.SKIP), results)

    def settle_skipped(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Treat the sources as if they had been delivered; what was sent of them is removed."""
        self._settling.skipped(self._cleared(parcels, results), results)

    def settle_sources(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Do with claimed files, which were delivered before, what is done after a success."""
        self._settling.sources(parcels, results)

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
        there = destination or self.destination(parcels[0].intent)
        for error in there.drop_parts(self.temporaries(parcels)):
            if error is not None and not isinstance(error, FileMissingError):
                raise error
        for parcel in parcels:
            self._intents.partials.drop(parcel.intent.id)
            self._intents.sent.drop(parcel.intent.id)

    def temporaries(self, parcels: Sequence[Parcel]) -> list[str]:
        """Return under which names something may lie at the destination that no intent stands for."""
        partials = self._intents.partials
        names = [each.intent.temporary for each in parcels]
        left = [partial for each in parcels if (partial := partials.of(each.intent.id)) is not None]
        names += [each.temporary for each in left if each.temporary not in names]
        whole = [sent for each in parcels if (sent := self._intents.sent.of(each.intent.id))]
        names += [each.temporary for each in whole if each.temporary not in names]
        names += [each.before for each in parcels if each.before and each.before not in names]
        return names + sidecars.temporaries_of(parcels)

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
        moment = self._clock.now()
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


def _after(parcel: Parcel, step: DeliveryStep) -> Parcel:
    intent = parcel.intent
    return replace(parcel, intent=replace(intent, state=advance(intent.state, step)))
