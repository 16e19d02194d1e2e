"""Files that are claimed by their record alone, and lie at their own places until they are delivered.

No rename takes them out of the source, so that somebody may put another file in their place at any time. What the
record tells, size and time, is compared when a file is read and right before its source is dealt with: another file
is left there, and is taken as a new one. Who finds a delivery that may be over, as after a crash, compares the content
too, since then the file that was delivered may be gone, and another one have its size and time.
"""

from collections.abc import Mapping, Sequence

from mftgit.adapters.endpoint.contract import (
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.places.digests import digests_of
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.records.claims import Claim, archive
from mftgit.member.outbound.records.intents import Intents
from mftgit.member.outbound.taking.parcel import Parcel
from mftgit.model.configuration.config import AfterSuccess
from mftgit.model.transfers.claim import ClaimId, join
from mftgit.model.transfers.intent import Intent

Failed = dict[ClaimId, MftgitError]


def is_as_claimed(intent: Intent, entry: FileEntry) -> bool:
    """Tell whether ``entry`` is the file that ``intent`` claims, as far as size and time tell; one renamed is."""
    return intent.claimed is None or intent.claimed == (entry.size_bytes, entry.mtime_ns)


class ByRecord:
    """What one run does at sources whose files are claimed so, once they are delivered or skipped."""

    def __init__(self, context: RunContext, *, endpoints: Endpoints, intents: Intents) -> None:
        self._context = context
        self._endpoints = endpoints
        self._intents = intents
        self._written: set[ClaimId] = set()

    def wrote(self, intents: Sequence[Intent]) -> None:
        """Take note of records that were written by this run: no file of them has been dealt with yet."""
        self._written |= {intent.id for intent in intents}

    def ended(self, claim: ClaimId) -> None:
        """Take note of a delivery that is over."""
        self._written.discard(claim)
        self._context.memory.undeleted.discard(claim)

    def claims_of(self, parcels: Sequence[Parcel], failed: Failed) -> dict[ClaimId, Claim]:
        """Return the files that are to be dealt with, as claims; those that are others by now are not among them.

        Raises:
            OwnershipEndedError: a successor has taken over, and sees to them.
        """
        staying = [
            each.intent
            for each in parcels
            if each.claim is None and each.intent.claimed is not None
        ]
        if not staying:
            return {}
        self._intents.require_fence()
        source = self._source(staying[0])
        doubtful = [each for each in staying if self._may_be_gone(each)]
        gone = _others(doubtful, source, failed) | failed.keys()
        left = [each for each in staying if each.id not in gone]
        if staying[0].after is not AfterSuccess.DELETE:  # which looks right before it removes
            left = _same(left, source, failed)
        return {each.id: _claim_at(each, source) for each in left}

    def delete(self, intents: Sequence[Intent]) -> list[MftgitError | None]:
        """Remove the files that are there still as they were claimed; what is gone, or another one, is fine."""
        ended = self._source(intents[0]).remove_same_all(map(_entry, intents))
        self._context.memory.undeleted |= {
            intent.id
            for intent, error in zip(intents, ended, strict=True)
            if isinstance(error, EndpointRefusedError)
        }
        return [None if isinstance(each, FileMissingError) else each for each in ended]

    def archive(
        self, files: Sequence[tuple[Claim, Intent, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        """Move files as `archive` does, and look again: what was put in their place in that very moment goes back."""
        placed: dict[ClaimId, str] = {}
        ended = archive(
            [(claim, target) for claim, _, target in files], replace=replace, placed=placed
        )
        moved = [(claim, intent) for claim, intent, _ in files if claim.id in placed]
        back: Failed = {}
        if moved:
            self._put_others_back(moved, placed, back)
        return [
            back.get(claim.id, error) for (claim, _, _), error in zip(files, ended, strict=True)
        ]

    def _put_others_back(
        self, moved: Sequence[tuple[Claim, Intent]], placed: Mapping[ClaimId, str], failed: Failed
    ) -> None:
        """Give other files than those that were delivered their names again; a time alone makes none another one."""
        source = self._source(moved[0][1])
        found = source.stat_all(placed[claim.id] for claim, _ in moved)
        odd = [
            (claim, intent)
            for (claim, intent), entry in zip(moved, found, strict=True)
            if isinstance(entry, FileEntry) and not is_as_claimed(intent, entry)
        ]
        digests = digests_of(source, [placed[claim.id] for claim, _ in odd], ask=False)
        for (claim, intent), digest in zip(odd, digests, strict=True):
            if isinstance(digest, MftgitError) or digest == intent.read_sha256:
                continue
            try:
                source.rename(placed[claim.id], claim.at, replace=False)
            except FileExistsAtEndpointError:
                failed[claim.id] = FileExistsAtEndpointError(
                    f"{placed[claim.id]} at {intent.source.location.name} was put in the place of {intent.path} in "
                    "the moment in which that was archived, and was not delivered: move it back under another name"
                )

    def _source(self, intent: Intent) -> FencedEndpoint:
        return self._endpoints.at(self._endpoints.find(intent.source, writer=intent.member))

    def _may_be_gone(self, intent: Intent) -> bool:
        """Tell whether its file may have been dealt with before, and so another one be at its place."""
        settled_never = intent.id in self._written or intent.id in self._context.memory.undeleted
        return bool(intent.read_sha256) and not settled_never


def _others(intents: Sequence[Intent], source: FencedEndpoint, failed: Failed) -> set[ClaimId]:
    """Return those that are gone, or have another size, time or content than what was delivered."""
    others = {each.id for each in intents}
    intents = _same(intents, source, failed)
    digests = digests_of(source, [_path(each) for each in intents], ask=False)
    for intent, digest in zip(intents, digests, strict=True):
        if digest == intent.read_sha256:
            others.discard(intent.id)
        elif isinstance(digest, MftgitError) and not isinstance(digest, FileMissingError):
            failed[intent.id] = digest
    return others - failed.keys()


def _same(intents: Sequence[Intent], source: FencedEndpoint, failed: Failed) -> list[Intent]:
    """Return those that are there as they were claimed."""
    left = []
    found = source.stat_all(map(_path, intents))
    for intent, entry in zip(intents, found, strict=True):
        if isinstance(entry, FileEntry):
            left += [intent] if is_as_claimed(intent, entry) else []
        elif not isinstance(entry, FileMissingError):
            failed[intent.id] = entry
    return left


def _path(intent: Intent) -> str:
    return join(intent.source_folder, intent.path)


def _entry(intent: Intent) -> FileEntry:
    size_bytes, mtime_ns = intent.claimed or (0, 0)
    return FileEntry(path=_path(intent), size_bytes=size_bytes, mtime_ns=mtime_ns)


def _claim_at(intent: Intent, source: FencedEndpoint) -> Claim:
    """Return the file at its own place, as a claim is dealt with."""
    at, folder = _path(intent), intent.source_folder
    return Claim(source, claim=intent.id, path=intent.path, at=at, folder=folder)
