"""Rules of one transfer that no schema can express; they hold for rendered transfers only."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Final

from cronsim import CronSim, CronSimError

from mftgit.model.configuration.config import AfterSuccess, Claiming, Overwrite, Transfer
from mftgit.model.documents.fault import Fault
from mftgit.model.documents.schema_words import did_you_mean, show
from mftgit.model.locations.location import Location
from mftgit.model.rules.rings import Leg, Place
from mftgit.model.rules.s3 import check_s3_use
from mftgit.model.rules.source import check_source
from mftgit.model.transfers.content import KEYS, PgpStep, key_texts, read_public_key
from mftgit.model.transfers.naming import (
    ARCHIVE_FIELDS,
    NAME_FIELDS,
    PATH_FIELDS,
    fixed_folder,
    wrong_pattern,
)
from mftgit.model.transfers.triggers import CronTrigger

_CRON_FIELDS: Final = 5
_SOME_DAY: Final = datetime(2024, 1, 1, tzinfo=UTC)


def check_transfer(transfer: Transfer, timezones: frozenset[str]) -> Iterator[Fault]:
    """Give what is wrong with ``transfer`` by itself."""
    if isinstance(transfer.trigger, CronTrigger):
        yield from _check_cron(transfer.trigger, timezones)
    yield from _check_destination(transfer, timezones)
    yield from _check_content(transfer)
    yield from _check_keys(transfer)
    yield from check_source(transfer.source)
    yield from _check_batch(transfer)
    yield from _check_claim(transfer)
    if transfer.archive_days is not None and transfer.after_success is not AfterSuccess.ARCHIVE:
        yield Fault(
            pointer="/after_success/keep_days",
            rule="archive",
            message=f"keep_days is for an archive, and the action is {transfer.after_success.value}",
            hint="have action: archive, or remove keep_days",
        )


def _check_claim(transfer: Transfer) -> Iterator[Fault]:
    by_record = transfer.source.claim is Claiming.RECORD
    if by_record and transfer.after_success is AfterSuccess.KEEP:
        yield Fault(
            pointer="/source/claim",
            rule="claim",
            message="files that are kept at their source are not claimed at all",
            hint="remove claim, or have after_success: {action: delete}",
        )


def _check_batch(transfer: Transfer) -> Iterator[Fault]:
    if transfer.batch is None:
        return
    if transfer.deduplicate is not None:
        yield Fault(
            pointer="/deduplicate",
            rule="batch",
            message="a file that is skipped for its content would tear its batch",
            hint="remove deduplicate, or batch",
        )
    if transfer.retry.attempts is not None:
        yield Fault(
            pointer="/retry/attempts",
            rule="batch",
            message="a file that is given up would tear its batch",
            hint="remove attempts, or batch: a batch is tried until it is whole",
        )
    at_most = transfer.source.at_most
    if at_most is not None and at_most < transfer.batch.at_least:
        yield Fault(
            pointer="/batch/at_least",
            rule="batch",
            message=f"no batch is ever whole: at least {transfer.batch.at_least}, at most {at_most}",
            hint="lower at_least, or raise source.at_most",
        )


def _check_destination(transfer: Transfer, timezones: frozenset[str]) -> Iterator[Fault]:
    rules = transfer.destination
    fallback = rules.fallback
    if fallback is not None and fallback.location == rules.location:
        yield Fault(
            pointer="/destination/fallback/location",
            rule="fallback",
            message=f"the fallback is at {fallback.location} too, which is away when the destination is",
            hint="name another location",
        )
    for pointer, pattern, fields in (
        ("/destination/path", rules.path, PATH_FIELDS),
        ("/destination/name", rules.name, NAME_FIELDS),
        ("/destination/fallback/path", fallback.path if fallback else "", PATH_FIELDS),
        ("/after_success/path", transfer.archive_path or "", ARCHIVE_FIELDS),
    ):
        if wrong := wrong_pattern(pattern, fields):
            yield Fault(
                pointer=pointer,
                rule="name-pattern",
                message=f"the pattern {show(pattern)} {wrong}",
                hint="fields stand in single braces, as in {stem}-{date:%Y%m%d}{ending}",
            )
    yield from _check_timezone(rules.timezone, "/destination/timezone", timezones)
    if rules.checksum is not None and rules.checksum.suffix.endswith(rules.temporary_suffix):
        yield Fault(
            pointer="/destination/checksum",
            rule="checksum",
            message=f"checksum files would end in {rules.temporary_suffix}, as what is not whole yet does",
            hint="give checksum or temporary_suffix another ending",
        )


def _check_content(transfer: Transfer) -> Iterator[Fault]:
    if transfer.content and transfer.destination.overwrite is Overwrite.IF_DIFFERENT:
        yield Fault(
            pointer="/destination/overwrite",
            rule="content",
            message="if_different compares what is sent with what is there, and content makes another file of it",
            hint="use if_newer, overwrite, rename, skip or fail",
        )


def _check_keys(transfer: Transfer) -> Iterator[Fault]:
    for place, step in enumerate(transfer.content):
        if not isinstance(step, PgpStep):
            continue
        field, texts = key_texts(step)
        for number, text in enumerate(texts):
            try:
                read_public_key(text)
            except ValueError as error:
                yield Fault(
                    pointer=f"/content/{place}/{KEYS[type(step)]}/{field}/{number}",
                    rule="content",
                    message=f"this is no public key that is taken: {error}",
                    hint="gpg --armor --export --export-options export-minimal KEY",
                )


def _check_timezone(name: str, pointer: str, timezones: frozenset[str]) -> Iterator[Fault]:
    # The default is known everywhere, and a document that leaves it out has no place to point at.
    if name != "UTC" and name not in timezones:
        yield Fault(
            pointer=pointer,
            rule="timezone",
            message=f"the time zone {show(name)} is not known",
            hint=did_you_mean(name, timezones)
            or "use a name of the IANA database, as Europe/Berlin",
        )


def _check_cron(trigger: CronTrigger, timezones: frozenset[str]) -> Iterator[Fault]:
    pointer = "/trigger/cron"
    if reason := _wrong_cron(trigger.expression):
        yield Fault(
            pointer=f"{pointer}/expression",
            rule="cron",
            message=f"{show(trigger.expression)} {reason}",
            hint="write minute, hour, day of month, month and day of week, as: 30 1 * * 1-5",
        )
    yield from _check_timezone(trigger.timezone, f"{pointer}/timezone", timezones)


def _wrong_cron(expression: str) -> str | None:
    count = len(expression.split())
    if count != _CRON_FIELDS:
        return f"is no crontab expression: it has {count} fields and not five"
    try:
        next(CronSim(expression, _SOME_DAY))
    except CronSimError as error:
        return f"is no crontab expression: {str(error).lower()}"
    except StopIteration:
        return "never fires: there is no such day within fifty years"
    return None


def check_folders(transfer: Transfer, source: Location, destination: Location) -> Iterator[Fault]:
    """Give the ways in which ``transfer`` would feed its own source, and what its places cannot promise it.

    Two location documents may stand for one place, so places are compared and not names.
    """
    yield from check_s3_use(transfer, source, destination)
    taken = _folder(source, transfer.source.path)
    given = _folder(destination, fixed_folder(transfer.destination.path))
    recursive = transfer.source.recursive
    if source.server == destination.server and _touch(taken, given, nested=recursive):
        yield Fault(
            pointer="/destination",
            rule="feeds-itself",
            message="the files would arrive where they are taken from",
            hint="use another folder"
            + (", outside of the source's, or recursive: false" if recursive else ""),
        )
    aside = {"/after_success/path": ("archive", transfer.archive_path)}
    if _sets_aside(transfer):
        aside["/retry/quarantine"] = ("quarantine", transfer.retry.quarantine)
    for pointer, (what, path) in aside.items():
        if path is None:
            continue
        kept = _folder(source, fixed_folder(path))
        if kept == taken or (recursive and kept.is_relative_to(taken)):
            yield Fault(
                pointer=pointer,
                rule="feeds-itself",
                message=f"the {what} is where the files are taken from",
                hint="use another folder"
                + (", outside of the source's, or recursive: false" if recursive else ""),
            )


def _sets_aside(transfer: Transfer) -> bool:
    """Tell whether files may come into the quarantine; without ``attempts`` those whose place a newer one has."""
    if transfer.claims_by_record:
        return False
    if transfer.retry.attempts is not None:
        return True
    return transfer.claims and (transfer.batch is not None or transfer.source.checksum is not None)


def legs_of(
    name: str, transfer: Transfer, source: Location, destination: Location
) -> Iterator[Leg]:
    """Give the ways that files go by ``transfer``, called ``name``: to the destination, and into the archive."""
    taken = _place(source, transfer.source.path)
    given = _place(destination, fixed_folder(transfer.destination.path))
    yield Leg(name=name, pointer="/destination", transfer=transfer, taken=taken, given=given)
    if transfer.archive_path is not None:
        kept = _place(source, fixed_folder(transfer.archive_path))
        yield Leg(
            name=name, pointer="/after_success/path", transfer=transfer, taken=taken, given=kept
        )


def _touch(first: PurePosixPath, second: PurePosixPath, *, nested: bool) -> bool:
    return first == second or (
        nested and (first.is_relative_to(second) or second.is_relative_to(first))
    )


def _folder(location: Location, path: str) -> PurePosixPath:
    return _join(location.path, path)


def _place(location: Location, path: str) -> Place:
    return location.server, str(_folder(location, path))


@lru_cache(maxsize=4096)
def _join(first: str, second: str) -> PurePosixPath:
    return PurePosixPath(first, second)
