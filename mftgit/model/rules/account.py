"""Rules of one account or group by itself that no schema can express."""

from collections.abc import Iterable, Iterator, Sequence

from mftgit.model.documents.fault import Fault
from mftgit.model.documents.schema_words import show
from mftgit.model.inbound.account_document import Draft, Terms, read_expiry
from mftgit.model.keys.ssh_key import read_key_text
from mftgit.model.network import check_networks


def check_draft(draft: Draft) -> Iterator[Fault]:
    """Give what is wrong with an account by itself."""
    yield from _check_keys(draft.keys, "/login/keys")
    yield from check_terms(draft.terms)


def check_terms(terms: Terms) -> Iterator[Fault]:
    """Give what is wrong with what an account or a group says."""
    yield from _check_keys(terms.authorities or (), "/login/certificates/authorities")
    yield from check_networks(terms.sources, "/from")
    yield from _check_twice([each.at for each in terms.folders], "/folders", "at")
    yield from _check_twice([each.path for each in terms.rules], "/permissions", "path")
    yield from _check_nested([each.at for each in terms.folders])
    if terms.expires is not None:
        try:
            read_expiry(terms.expires)
        except ValueError:
            yield Fault(
                pointer="/expires",
                rule="date",
                message=f"there is no such day or time: {show(terms.expires)}",
                hint="write 2027-03-31, or 2027-03-31T18:00:00Z",
            )


def nested(paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give each path that is below another, with that; of several the topmost."""
    top = "/"
    for path in sorted(f"{each}/" for each in set(paths)):  # what is below a path follows on it
        if top != "/" and path.startswith(top):
            yield path[:-1], top[:-1]
        else:
            top = path


def _check_keys(lines: Iterable[str], at: str) -> Iterator[Fault]:
    for index, line in enumerate(lines):
        kind, _, rest = line.partition(" ")
        try:
            read_key_text(kind, rest.partition(" ")[0])
        except ValueError as error:
            yield Fault(
                pointer=f"{at}/{index}",
                rule="public-key",
                message=f"no public key: {error}",
                hint="take the line of the key's file .pub",
            )


def _check_twice(paths: Sequence[str], at: str, field: str) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, path in enumerate(paths):
        if path in seen:
            yield Fault(
                pointer=f"{at}/{index}/{field}",
                rule="twice",
                message=f"{show(path)} is here a second time",
                hint="keep one of them",
            )
        seen.add(path)


def _check_nested(paths: Sequence[str]) -> Iterator[Fault]:
    for inner, outer in nested(paths):
        yield Fault(
            pointer=f"/folders/{paths.index(inner)}/at",
            rule="nested",
            message=f"it is within the folder that is seen at {outer}",
            hint="let one of them be seen elsewhere",
        )
