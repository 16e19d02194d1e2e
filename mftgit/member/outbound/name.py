"""Which name each file gets at its destination, and which is not sent at all: the transfer's overwrite rule."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mftgit.adapters.endpoint import Endpoint, FileEntry, FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.ahead import digest_of
from mftgit.member.outbound.context import Endpoints, RunContext
from mftgit.member.outbound.fenced import FencedEndpoint
from mftgit.member.outbound.finish import into
from mftgit.member.outbound.parcel import Parcel, Results, source_path
from mftgit.model.claim import unique_name
from mftgit.model.config import Overwrite


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
) -> Named:
    """Sort ``parcels``, which are of one transfer, by what is at the destination; errors go into ``results``."""
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
            _compare(parcel, there, named, results, source=source, destination=destination)
    return named


def _compare(
    parcel: Parcel,
    there: FileEntry,
    named: Named,
    results: Results,
    *,
    source: Endpoint,
    destination: Endpoint,
) -> None:
    """Send it, or skip it: whatever is there, what is not older, or what has this content already."""
    with into(results, parcel):
        sent = _is_better(parcel, there, source=source, destination=destination)
        (named.sent if sent else named.skipped).append(parcel)


def _is_better(
    parcel: Parcel, there: FileEntry, *, source: Endpoint, destination: Endpoint
) -> bool:
    rule = parcel.intent.overwrite
    if rule is Overwrite.SKIP:
        return False
    here = source.stat(source_path(parcel))
    if rule is Overwrite.IF_NEWER:
        return here.mtime_ns > there.mtime_ns
    if here.size_bytes != there.size_bytes:
        return True
    return digest_of(source, source_path(parcel)) != digest_of(destination, parcel.intent.final)
