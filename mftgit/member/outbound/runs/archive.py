"""Remove from the archive what has been there for as long as the transfer says: by its owner, at most once a day.

The ledger tells what was archived when. A file in the archive is removed only where it is known by its name and its
time of change, so that another one that has come to bear the name stays. How far this has come is written down at the
end; what is cut short is done again.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import PurePosixPath

from loguru import logger

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.durable import write_file
from mftgit.adapters.endpoint.contract import Endpoint, FileEntry, FileMissingError
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.model.configuration.config import Transfer
from mftgit.model.transfers.claim import unique_name
from mftgit.model.transfers.ledger_line import Line, is_old, parse_moment
from mftgit.model.transfers.naming import fixed_folder

_TOGETHER = 500
_MARK = "archived"


def still_archived(transfer: Transfer, context: RunContext) -> Callable[[Line], bool]:
    """Return what tells of a line that its file is still to be removed from the archive; raises OSError."""
    since = _cleaned_to(context)
    if transfer.archive_days is None:
        return lambda _line: False
    return lambda line: line.archived is not None and (since is None or not _is_before(line, since))


def _cleaned_to(context: RunContext) -> datetime | None:
    try:
        return parse_moment((context.state / _MARK).read_text(encoding="ascii", errors="replace"))
    except FileNotFoundError:
        return None


def clean(transfer: Transfer, context: RunContext) -> int:
    """Remove what was archived by ``transfer`` more than its ``archive_days`` ago; return how many files that were.

    Raises:
        OwnershipEndedError: another member has taken over, and does it.
        MftgitError: the source does not answer; the next time goes on.
        OSError: the members' storage does not answer.
    """
    days = transfer.archive_days
    if days is None or transfer.archive_path is None:
        return 0
    now, since = context.clock.now(), _cleaned_to(context)
    checksum = transfer.source.checksum
    old = (
        line
        for line in context.memory.ledger.lines()
        if line.archived is not None
        and is_old(line, now, days=days)
        and (since is None or not _is_before(line, since))
    )
    removed = 0
    with Endpoints(context) as endpoints:
        source = endpoints.at(context.generation.locations[transfer.source.location], make=False)
        while some := list(islice(old, _TOGETHER)):
            removed += _remove(
                source,
                some,
                top=fixed_folder(transfer.archive_path),
                beside=None if checksum is None else checksum.suffix,
            )
    context.ownership.check()
    write_file(context.state / _MARK, rfc3339(now - timedelta(days=days)).encode())
    if removed:
        logger.info("old files of the archive were removed", transfer=transfer.name, files=removed)
    return removed


def _is_before(line: Line, moment: datetime) -> bool:
    ended = parse_moment(line.ended_at)
    return ended is not None and ended < moment


def _remove(source: Endpoint, lines: list[Line], *, top: str, beside: str | None) -> int:
    """Remove the files of ``lines``, and what was archived ``beside`` them under their name with that ending.

    That went beside its name too, by itself, where that was taken.
    """
    asked = [(name, line) for line in lines for name in reversed(line.archive_names)]
    found = source.stat_all(name for name, _ in asked)
    files: dict[
        str, str
    ] = {}  # by delivery: the one beside, if it is there, else the one of the plain name
    for (name, line), there in zip(asked, found, strict=True):
        if isinstance(there, FileEntry):
            if there.mtime_ns == line.mtime_ns:
                files.setdefault(line.id, name)
        elif not isinstance(there, FileMissingError):
            raise there
    paths = list(dict.fromkeys(files.values()))
    sums = [path + beside for path in paths] if beside else []
    if beside:
        sums += [
            unique_name(line.archived + beside, line.id)
            for line in lines
            if line.archived is not None and line.id in files
        ]
    for error in source.remove_all(sums + paths):
        if error is not None and not isinstance(error, FileMissingError):
            raise error
    for folder in _folders(paths, top=top):
        source.remove_folder(folder)
    return len(paths)


def _folders(paths: list[str], *, top: str) -> Iterator[str]:
    """Give the folders below ``top`` that may be empty now, the deepest first."""
    found = {above for path in paths for above in PurePosixPath(path).parents}
    for folder in sorted(found, key=lambda each: len(each.parts), reverse=True):
        if folder != PurePosixPath(top) and folder.is_relative_to(top):
            yield str(folder)
