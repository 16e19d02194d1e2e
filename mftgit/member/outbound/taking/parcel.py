"""One file on its way, and what became of each file of those that are delivered together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.stopped import RunStoppedError
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.records.claims import Claim
from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.model.transfers.claim import ClaimId, join
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.partial import Partial


class DeliveryFailedError(MftgitError):
    """The file could not be delivered as the transfer says; the message says why and what helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A file with its record, and with its claim where it was claimed.

    ``seen_bytes`` is how large it was when it was seen, where that is known. ``partial`` is what an earlier try has
    left of it, and ``resumed_from_bytes`` where this try went on with that. ``whole`` is its record as an earlier try
    has sent it, where that may be at the destination, and ``before`` the name of a try since, which it may have there
    instead.
    """

    intent: Intent
    claim: Claim | None
    seen_bytes: int | None = None
    partial: Partial | None = None
    resumed_from_bytes: int = 0
    whole: Intent | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a delivery ended; ``delivered`` is False where there was nothing to deliver (any more).

    ``after`` is what went wrong with the program that was run for it afterwards; the file is delivered all the same.
    """

    delivered: bool
    size_bytes: int = 0
    after: MftgitError | None = None


def source_path(parcel: Parcel) -> str:
    """Return where the file is at its source now."""
    intent, claim = parcel.intent, parcel.claim
    return claim.at if claim is not None else join(intent.source_folder, intent.path)


def reworded(error: MftgitError, text: str) -> MftgitError:
    """Return an error of the same kind and place with another text."""
    other = type(error)(text)
    other.location = error.location
    return other


NOTHING: Final = Outcome(delivered=False)

Results = dict[ClaimId, Outcome | MftgitError]
"""What became of each file, as far as that is decided; one that is not there is under way."""

ENDS_ALL: Final = (EndpointLostError, OwnershipEndedError, RunStoppedError, StateUnavailableError)
"""Errors of a file that are of all files, and end the run."""


@contextmanager
def into(results: Results, parcel: Parcel) -> Iterator[None]:
    """Put an error of one file into the results; what ends the run is raised."""
    try:
        yield
    except ENDS_ALL:
        raise
    except MftgitError as error:
        results[parcel.intent.id] = error


class CannotGoBackError(DeliveryFailedError):
    """A file that is not to be sent any more cannot have its own name again."""


def cannot_go_back(intent: Intent) -> CannotGoBackError:
    """Return why a claim stays one."""
    return CannotGoBackError(
        f"{intent.path} was claimed and cannot go back to {intent.source_folder!r} of "
        f"{intent.source.location.name}: another file has its name there; move that one away"
    )
