"""The rules across documents for who comes in: services, accounts, and the groups that accounts inherit from.

An account runs on the members that its ``active_on`` includes and that run a service which it may use.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mftgit.model.configuration.config import ActiveOn
from mftgit.model.configuration.grouping import Names
from mftgit.model.documents.checked import Sound
from mftgit.model.documents.document import Kind
from mftgit.model.inbound.account import Account, VirtualFolder
from mftgit.model.inbound.account_document import Draft, Group, Terms, join, lacking, services_of
from mftgit.model.inbound.service import AnyService
from mftgit.model.locations.location import LocalLocation, RemoteLocation
from mftgit.model.names import MemberName, ServiceName
from mftgit.model.rules.account import nested
from mftgit.model.rules.parts import Part, sound_parts
from mftgit.model.rules.service import Endpoint, endpoint_of, endpoints
from mftgit.model.rules.survey import Survey


class _Variant(NamedTuple):
    """What an account comes to on some members, with the groups that it is made of."""

    names: Names
    draft: Draft
    terms: tuple[Terms, ...] = ()


def check_inbound(survey: Survey) -> None:
    """See that services, accounts and groups fit to each other, and to what they name."""
    inbound = _Inbound(survey=survey)
    inbound.note_own_pages()
    for part, sound in survey.sound(Kind.SERVICE):
        inbound.check_service(part, sound)
    for part, sound in survey.sound(Kind.GROUP):
        inbound.check_group(part, sound)
    for part, sound in survey.sound(Kind.ACCOUNT):
        inbound.check_account(part, sound)


@dataclass(slots=True, kw_only=True)
class _Inbound:
    survey: Survey
    listening: dict[tuple[MemberName, int, bool], dict[str, str]] = field(default_factory=dict)
    offered: dict[ServiceName, Names] = field(init=False)
    served: dict[tuple[ActiveOn, frozenset[ServiceName] | None], Names] = field(
        default_factory=dict
    )
    placed: set[tuple[str, Names]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.offered = {
            ServiceName(part.name): self.survey.eligible(sound.scope.active_on)
            for part, sound in sound_parts(self.survey.parts, Kind.SERVICE)
            if sound.scope.enabled
        }

    def note_own_pages(self) -> None:
        """Note where members have their own pages, so that no service listens there."""
        for name, member in self.survey.members.items():
            found = (
                None if member.web is None else endpoint_of(member.web.listen, "/web/listen/port")
            )
            if found is not None:
                listening = self.listening.setdefault((name, found.port, found.is_v6), {})
                listening[found.address] = "its own page"

    def check_service(self, part: Part, sound: Sound) -> None:
        """Note what it needs, and see that nobody else listens where it does."""
        names = self.survey.eligible(sound.scope.active_on) if sound.scope.enabled else ()
        variants = [
            (group, built)
            for group, built in self.survey.variants(part, sound, names)
            if isinstance(built, AnyService)
        ]
        for group, service in variants:
            self.survey.use(part, part, service.secrets(), group)
            for endpoint in endpoints(service):
                self._listen(part, endpoint, group)

    def _listen(self, part: Part, endpoint: Endpoint, names: Names) -> None:
        for name in names:
            others = self.listening.setdefault((name, endpoint.port, endpoint.is_v6), {})
            other = endpoint.rival(others)
            if other is not None:
                self.survey.report(
                    part,
                    endpoint.pointer,
                    "address-in-use",
                    f"{other} listens on port {endpoint.port} of {name} already",
                    "choose another port or address, or let them run on different members",
                )
                return
            others[endpoint.address] = f"service {part.name!r}"

    def check_group(self, part: Part, sound: Sound) -> None:
        """See that what it names is there, whether an account is in it or not."""
        for _, terms in self._terms(part, sound, ()):
            self._check_terms(part, terms, ())

    def check_account(self, part: Part, sound: Sound) -> None:
        """See what it comes to with its groups, on each member."""
        groups, is_whole = self._groups(part, sound)
        services = services_of(each.document.value for each in (sound, *(of for _, of in groups)))
        names = self._served(sound, services) if sound.scope.enabled else ()
        if is_whole and sound.scope.enabled and not names:
            self._check_apart(part, sound, services)
        variants = [
            _Variant(group, built)
            for group, built in self.survey.variants(part, sound, names)
            if isinstance(built, Draft)
        ]
        for group, draft, _ in variants:
            self._check_terms(part, draft.terms, group)
        for other in groups:
            variants = [each for variant in variants for each in self._with_group(variant, *other)]
        for group, draft, terms in variants if is_whole else ():
            self._check_whole(part, sound, _Variant(group, draft, terms))

    def _groups(self, part: Part, sound: Sound) -> tuple[list[tuple[Part, Sound]], bool]:
        """Return the groups of an account that are sound, and whether these are all."""
        value: Any = sound.document.value
        found, is_whole = [], not part.checked.problems
        for index, name in enumerate(value.get("groups", ())):
            declared = self.survey.is_declared(part, f"/groups/{index}", Kind.GROUP, name)
            group = self.survey.parts[Kind.GROUP][name] if declared else None
            if group is None or group.checked.sound is None or group.checked.problems:
                is_whole = False
            else:
                found.append((group, group.checked.sound))
        return found, is_whole

    def _with_group(self, variant: _Variant, part: Part, sound: Sound) -> Iterator[_Variant]:
        for names, terms in self._terms(part, sound, variant.names):
            if (part.name, names) not in self.placed:
                self.placed.add((part.name, names))
                self._check_terms(part, terms, names)
            yield _Variant(names, variant.draft, (*variant.terms, terms))

    def _terms(self, part: Part, sound: Sound, names: Names) -> list[tuple[Names, Terms]]:
        """Return what a group says on the members ``names``."""
        return [
            (group, built.terms)
            for group, built in self.survey.variants(part, sound, names)
            if isinstance(built, Group)
        ]

    def _check_terms(self, part: Part, terms: Terms, names: Names) -> None:
        for index, service in enumerate(terms.services or ()):
            self.survey.is_declared(part, f"/services/{index}", Kind.SERVICE, service)
        for at, place in terms.places:
            pointer = f"{at}/location"
            found = self.survey.locations(part, pointer, place.location, names, needed=False)
            for _, location in found if at == "/home" else ():
                if not isinstance(location, LocalLocation):
                    self.survey.report(
                        part,
                        pointer,
                        "local",
                        f"the location {place.location!r} is of the type {location.KIND}: a home is a local folder",
                        "name a location of the type local, and let a folder of folders lead to this one",
                    )

    def _check_whole(self, part: Part, sound: Sound, variant: _Variant) -> None:
        names, draft, terms = variant
        try:
            account = join(draft, terms)
        except ValueError:  # told of the document that says so
            return
        if account is None:
            if sound.scope.enabled:
                self._report_homeless(part)
            return
        self.survey.use(part, part, draft.secrets(), names)
        self._need_servers(part, account, names)
        if terms:
            self._check_nested(part, account.folders)
        if sound.scope.enabled:
            self._check_login(part, draft, account)

    def _need_servers(self, part: Part, account: Account, names: Names) -> None:
        """Note the secrets that log in to the servers of its virtual folders."""
        for name in dict.fromkeys(each.place.location for each in account.folders):
            located = self.survey.parts[Kind.LOCATION].get(name)
            if located is None or located.checked.sound is None:
                continue
            variants = self.survey.variants(located, located.checked.sound, names, tell=False)
            for _, built in variants:
                if isinstance(built, RemoteLocation):
                    self.survey.need(part, located, built, names)

    def _report_homeless(self, part: Part) -> None:
        self.survey.report(
            part,
            "",
            "login",
            "neither the account nor a group of it says what its home is",
            "add home: {location: …, path: …}, or say enabled: false",
        )

    def _check_apart(
        self, part: Part, sound: Sound, services: frozenset[ServiceName] | None
    ) -> None:
        """See that an account that runs nowhere does so because none of its ``services`` does."""
        somewhere = any(self._used(services))
        if (
            somewhere
            and self.survey.eligible(sound.scope.active_on)
            and self.survey.all_members_read
        ):
            self.survey.report(
                part,
                "/active_on",
                "nobody",
                "no member would let it in: its services run on others than those of active_on",
                "change active_on or services, or say enabled: false",
            )

    def _used(self, services: frozenset[ServiceName] | None) -> Iterator[Names]:
        """Give the members of each of ``services`` that runs at all, None for any."""
        return (
            names for name, names in self.offered.items() if services is None or name in services
        )

    def _served(self, sound: Sound, services: frozenset[ServiceName] | None) -> Names:
        """Return on which members an account runs that may use ``services``."""
        key = (sound.scope.active_on, services)
        if key not in self.served:
            where = {name for names in self._used(services) for name in names}
            self.served[key] = tuple(
                name for name in self.survey.eligible(sound.scope.active_on) if name in where
            )
        return self.served[key]

    def _check_nested(self, part: Part, folders: tuple[VirtualFolder, ...]) -> None:
        for inner, outer in nested(each.at for each in folders):
            self.survey.report(
                part,
                "/groups",
                "nested",
                f"with its groups it has the folder {inner} within the folder {outer}",
                "let one of them be seen elsewhere",
            )

    def _check_login(self, part: Part, draft: Draft, account: Account) -> None:
        if not account.login.require:
            self.survey.report(
                part,
                "/login",
                "login",
                "nobody could log in: it has no key, no authority of certificates and no password",
                "add login: {keys: […]}, or say enabled: false",
            )
        own = draft.terms.require is not None
        for index, factor in lacking(account.login):
            self.survey.report(
                part,
                f"/login/require/{index}" if own else "/groups",
                "login",
                f"{factor.value} is required, and the account has none",
                f"add it to login, or have another alternative{'' if own else ' of its own'} in require",
            )
