"""Which name each file gets at its destination, and which is not sent at all: the transfer's overwrite rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from mftgit.adapters.endpoint.contract import Endpoint, FileEntry, FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.places.ahead import digest_of
from mftgit.member.outbound.places.digests import digests_of
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.taking.parcel import Parcel, Results, into, source_path
from mftgit.model.configuration.config import Overwrite
from mftgit.model.transfers.claim import unique_name


@dataclass(frozen=True, slots=True)
class Named:
    """The files that are to be ``sent``, under the names that they have now; others are ``skipped`` or ``taken``."""

    sent: list[Parcel] = field(default_factory=list)
    skipped: list[Parcel] = field(default_factory=list)
    taken: list[Parcel] = field(default_factory=list)


def name(
    parcels: Sequence[Parcel],
    results: Results,
    *,
    context: RunContext,
    endpoints: Endpoints,
    destination: FencedEndpoint,
    ask: bool = False,
) -> Named:
    """Sort ``parcels``, which are of one transfer, by what is at the destination; errors go into ``results``.

    ``ask``: digests are asked of the destination where it can tell them.
    """
    if parcels[0].intent.overwrite is Overwrite.OVERWRITE:
        return Named(list(parcels))
    named = Named()
    found = destination.stat_all(each.intent.final for each in parcels)
    source = endpoints.at(parcels[0].intent.source.location)
    for parcel, there in zip(parcels, found, strict=True):
        intent = parcel.intent
        if isinstance(there, FileMissingError):
            named.sent.append(parcel)
        elif isinstance(there, MftgitError):
            results[intent.id] = there
        elif intent.overwrite is Overwrite.RENAME:
            free = unique_name(intent.final, intent.id, context.clock.now())
            named.sent.append(replace(parcel, intent=replace(intent, final=free)))
        elif intent.overwrite is Overwrite.FAIL:
            named.taken.append(parcel)
        else:
            better = partial(_is_better, source=source, destination=destination, ask=ask)
            _compare(parcel, there, named, results, better)
    return named


def _compare(
    parcel: Parcel,
    there: FileEntry,
    named: Named,
    results: Results,
    is_better: Callable[[Parcel, FileEntry], bool],
) -> None:
    """Send it, or skip it: whatever is there, what is not older, or what has this content already."""
    with into(results, parcel):
        sent = is_better(parcel, there)
        (named.sent if sent else named.skipped).append(parcel)


def _is_better(
    parcel: Parcel, there: FileEntry, *, source: Endpoint, destination: Endpoint, ask: bool
) -> bool:
    rule = parcel.intent.overwrite
    if rule is Overwrite.SKIP:
        return False
    here = source.stat(source_path(parcel))
    if rule is Overwrite.IF_NEWER:
        return here.mtime_ns > there.mtime_ns
    if here.size_bytes != there.size_bytes:
        return True
    (had,) = digests_of(destination, [parcel.intent.final], ask=ask)
    if isinstance(had, MftgitError):
        raise had
    return digest_of(source, source_path(parcel)) != had
