"""Files that are claimed by their record alone, and lie at their own places until they are delivered.

No rename takes them out of the source, so that somebody may put another file in their place at any time. What the
record tells, size and time, is compared when a file is read and right before its source is dealt with: another file
is left there, and is taken as a new one.
"""

from collections.abc import Sequence

from mftgit.adapters.endpoint import Endpoint, FileEntry, FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.claims import Claim
from mftgit.model.claim import ClaimId, join
from mftgit.model.intent import Intent


def is_as_claimed(intent: Intent, entry: FileEntry) -> bool:
    """Tell whether ``entry`` is the file that ``intent`` claims, as far as size and time tell; one renamed is."""
    return intent.claimed is None or intent.claimed == (entry.size_bytes, entry.mtime_ns)


def find(
    intents: Sequence[Intent], source: Endpoint, failed: dict[ClaimId, MftgitError]
) -> dict[ClaimId, Claim]:
    """Return those that are at ``source`` still, each the file that was claimed; put errors into ``failed``."""
    paths = [join(each.source_folder, each.path) for each in intents]
    claims: dict[ClaimId, Claim] = {}
    for intent, path, entry in zip(intents, paths, source.stat_all(paths), strict=True):
        if isinstance(entry, FileEntry):
            if is_as_claimed(intent, entry):
                claims[intent.id] = Claim(
                    source, claim=intent.id, path=intent.path, at=path, folder=intent.source_folder
                )
        elif not isinstance(entry, FileMissingError):
            failed[intent.id] = entry
    return claims
