"""Check one document by itself: syntax, secrets, schema, templates, and what follows from its own fields."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from mftgit.model.configuration.build import (
    Scope,
    build_cluster,
    build_member,
    build_scope,
    build_transfer,
)
from mftgit.model.configuration.config import (
    EVERYWHERE,
    Cluster,
    Member,
    Transfer,
)
from mftgit.model.documents.compose import MAX_PROBLEMS_PER_FILE
from mftgit.model.documents.document import Document, Kind, Reading, problem_at
from mftgit.model.documents.fault import Fault
from mftgit.model.documents.json_value import Json, Position, join_pointer
from mftgit.model.documents.plaintext import find_plaintext, find_unsealed, holds_secrets, is_secret
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_check import SchemaChecker
from mftgit.model.documents.schema_words import show
from mftgit.model.documents.templates import (
    Variable,
    fill_in,
    find_templates,
    is_well_formed,
    names_in,
)
from mftgit.model.handlers.document import build_event_handler
from mftgit.model.handlers.handler import ON_CONTROLLER, AnyEventHandler
from mftgit.model.inbound.account_document import Draft, Group, build_draft, build_group
from mftgit.model.inbound.service import AnyService
from mftgit.model.inbound.service_document import build_service
from mftgit.model.locations.document import build_location
from mftgit.model.locations.location import LocalLocation, Location, RemoteLocation
from mftgit.model.names import (
    AccountName,
    EventHandlerName,
    GroupName,
    LocationName,
    MemberName,
    SecretName,
    ServiceName,
    TransferName,
)
from mftgit.model.network import check_address
from mftgit.model.ownership.etcd import check_etcd
from mftgit.model.rules.account import check_draft, check_terms
from mftgit.model.rules.controller import check_line
from mftgit.model.rules.event_handler import check_event_handler
from mftgit.model.rules.location import check_location
from mftgit.model.rules.service import check_service
from mftgit.model.rules.transfer import check_transfer
from mftgit.model.secrets.document import Secret, build_secret, check_secret

Built = (
    Cluster | Member | Location | Transfer | Draft | Group | AnyService | AnyEventHandler | Secret
)

TEMPLATED: Final = (
    Kind.LOCATION,
    Kind.TRANSFER,
    Kind.ACCOUNT,
    Kind.GROUP,
    Kind.SERVICE,
    Kind.EVENT_HANDLER,
)
SCOPED: Final = (Kind.TRANSFER, Kind.ACCOUNT, Kind.SERVICE, Kind.EVENT_HANDLER)
_SCOPES: Final = {Kind.EVENT_HANDLER: ON_CONTROLLER}
"""Where documents of a kind are active that do not say so, other than everywhere."""

# The name is the file's, and the same content may lie under two names: `named` puts it in.
_BUILD: Final[Mapping[Kind, Callable[[Mapping[str, Any]], Built]]] = {
    Kind.CLUSTER: build_cluster,
    Kind.MEMBER: lambda value: build_member(MemberName(""), value),
    Kind.LOCATION: lambda value: build_location(LocationName(""), value),
    Kind.TRANSFER: lambda value: build_transfer(TransferName(""), value),
    Kind.ACCOUNT: lambda value: build_draft(AccountName(""), value),
    Kind.GROUP: lambda value: build_group(GroupName(""), value),
    Kind.SERVICE: lambda value: build_service(ServiceName(""), value),
    Kind.EVENT_HANDLER: lambda value: build_event_handler(EventHandlerName(""), value),
    Kind.SECRET: lambda value: build_secret(SecretName(""), value),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """A document that fits its schema.

    ``variables`` are those that its templates name, in order of the alphabet; where there are none, ``built`` is
    set, its name left empty.
    """

    document: Document
    variables: tuple[str, ...] = ()
    scope: Scope = field(default_factory=Scope)
    built: Built | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What is known of a document before any other is looked at. Problems carry no file name."""

    kind: Kind
    problems: tuple[Problem, ...] = ()
    document: Document | None = None
    sound: Sound | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A document with one member's values in the place of its templates; without problems it is built."""

    built: Built | None = None
    problems: tuple[Problem, ...] = ()


def check_reading(
    kind: Kind, reading: Reading, checker: SchemaChecker, timezones: frozenset[str]
) -> Checked:
    """Return what is to be said of a document by itself."""
    document = reading.document
    if document is None:
        return Checked(kind=kind, problems=reading.problems)
    positions = document.positions()
    find = find_unsealed if kind is Kind.SECRET else find_plaintext
    secrets = _first(find(document.value, positions))
    problems = [*secrets, *_outside(secrets, checker.check(document.value, positions))]
    templates = dict(find_templates(document.value)) if kind in TEMPLATED else {}
    problems += _first(_malformed(templates, positions))
    if problems:
        return Checked(kind=kind, document=document, problems=tuple(problems))
    variables = sorted({name for text in templates.values() for name in names_in(text)})
    filled = Filled() if variables else _build(kind, document.value, positions, timezones)
    sound = Sound(
        document=document,
        variables=tuple(variables),
        scope=build_scope(document.value, _SCOPES.get(kind, EVERYWHERE))
        if kind in SCOPED
        else Scope(),
        built=filled.built,
    )
    return Checked(kind=kind, document=document, problems=filled.problems, sound=sound)


def fill(
    kind: Kind,
    document: Document,
    variables: Mapping[str, Variable],
    checker: SchemaChecker,
    timezones: frozenset[str],
) -> Filled:
    """Return the document with ``variables``, which have to be all that it names, held against its schema again."""
    value, positions = fill_in(document.value, variables), document.positions()
    problems = checker.check(value, positions)
    return (
        Filled(problems=tuple(problems)) if problems else _build(kind, value, positions, timezones)
    )


def build_filled(kind: Kind, document: Document, variables: Mapping[str, Variable]) -> Built:
    """Return what the document says with ``variables``, which validation has found to fit.

    Raises:
        KeyError: a variable is not among ``variables``.
    """
    return _BUILD[kind](fill_in(document.value, variables))


def _first(problems: Iterator[Problem]) -> list[Problem]:
    return list(islice(problems, MAX_PROBLEMS_PER_FILE))


def _build(
    kind: Kind,
    value: Mapping[str, Json],
    positions: Mapping[str, Position],
    timezones: frozenset[str],
) -> Filled:
    built = _BUILD[kind](value)
    return Filled(
        built=built,
        problems=tuple(
            problem_at(
                positions[fault.pointer],
                fault.pointer,
                rule=fault.rule,
                message=fault.message,
                hint=fault.hint,
            )
            for fault in _faults(built, timezones)
        ),
    )


def _faults(built: Built, timezones: frozenset[str]) -> Iterator[Fault]:
    if isinstance(built, Transfer):
        yield from check_transfer(built, timezones)
    elif isinstance(built, LocalLocation | RemoteLocation):
        yield from check_location(built)
    elif isinstance(built, Secret):
        yield from check_secret(built)
    elif isinstance(built, Draft):
        yield from check_draft(built)
    elif isinstance(built, Group):
        yield from check_terms(built.terms)
    elif isinstance(built, AnyService):
        yield from check_service(built)
    elif isinstance(built, Member) and built.web is not None:
        yield from check_address(built.web.listen.address, "/web/listen/address")
    elif isinstance(built, AnyEventHandler):
        yield from check_event_handler(built)
    elif isinstance(built, Cluster):
        yield from _cluster_faults(built)


def _cluster_faults(cluster: Cluster) -> Iterator[Fault]:
    yield from check_line(cluster.controller)
    if cluster.etcd is not None:
        yield from check_etcd(cluster.etcd)


def _outside(secrets: Iterable[Problem], problems: Iterable[Problem]) -> list[Problem]:
    """Leave out what the schema says of a place where a secret was found: that one is to be mended first."""
    found = [secret.pointer for secret in secrets]
    return [
        problem
        for problem in problems
        if not any(f"{problem.pointer}/".startswith(f"{pointer}/") for pointer in found)
    ]


def _malformed(
    templates: Mapping[tuple[str, ...], str], positions: Mapping[str, Position]
) -> Iterator[Problem]:
    for parts, text in templates.items():
        if not is_well_formed(text):
            pointer = join_pointer(parts)
            found = "this" if is_secret(parts) or holds_secrets(parts) else show(text)
            yield problem_at(
                positions[pointer],
                pointer,
                rule="template",
                message=f"{found} holds a {{{{ that begins no template",
                hint="write {{ variable }} with lower-case letters, digits and underscores",
            )
