"""Rules of the ``source`` of a transfer that no schema can express."""

from collections.abc import Iterator

from mftgit.model.configuration.config import Source
from mftgit.model.documents.fault import Fault
from mftgit.model.documents.schema_words import show
from mftgit.model.transfers.pattern import why_no_regex
from mftgit.model.transfers.source import Pattern, Regex


def check_source(source: Source) -> Iterator[Fault]:
    """Give what is wrong with ``source`` by itself."""
    for field, patterns in (("include", source.include), ("exclude", source.exclude)):
        for index, pattern in enumerate(patterns):
            if fault := _check_pattern(f"/source/{field}/{index}", pattern):
                yield fault
    if source.depth is not None and not source.recursive:
        yield Fault(
            pointer="/source/depth",
            rule="selection",
            message="depth is given, and folders below are not looked into",
            hint="add recursive: true, or remove depth",
        )
    marker, checksum = source.marker, source.checksum
    if marker and checksum and _one_ends_as(marker.suffix, checksum.suffix):
        yield Fault(
            pointer="/source/checksum",
            rule="selection",
            message=f"a marker ({marker.suffix}) cannot be told from a checksum file ({checksum.suffix})",
            hint="take marker out, since a required checksum file is one; or give one of them another ending",
        )
    yield from _check_bounds("size_bytes", source.min_size_bytes, source.max_size_bytes)
    yield from _check_bounds("age_s", source.min_age_s, source.max_age_s)


def _one_ends_as(first: str, second: str) -> bool:
    return first.endswith(second) or second.endswith(first)


def _check_bounds(field: str, least: float, most: float | None) -> Iterator[Fault]:
    if most is not None and least > most:
        yield Fault(
            pointer=f"/source/max_{field}",
            rule="selection",
            message=f"no file is taken: max_{field} is {most:g}, and min_{field} {least:g}",
            hint=f"raise max_{field}, or lower min_{field}",
        )


def _check_pattern(pointer: str, pattern: Pattern) -> Fault | None:
    if isinstance(pattern, Regex):
        reason = why_no_regex(pattern.regex)
        if reason is None:
            return None
        return Fault(
            pointer=f"{pointer}/regex",
            rule="regex",
            message=f"{show(pattern.regex)} is no regular expression of RE2: {reason}",
            hint=r"see https://github.com/google/re2/wiki/Syntax; an example is report-\d{8}\.csv",
        )
    wrong = _wrong_glob(pattern)
    if wrong is None:
        return None
    return Fault(
        pointer=pointer,
        rule="glob",
        message=f"the pattern {show(pattern)} {wrong}",
        hint='patterns are those of a shell: * ? [abc] and **; a regular expression is {regex: "…"}',
    )


def _wrong_glob(glob: str) -> str | None:
    if glob.startswith("^") or glob.endswith("$") or "|" in glob:
        return "looks like a regular expression"
    if "[" in glob and "]" not in glob[glob.rindex("[") + 2 :]:
        return "has a [ that is not closed"
    return None
