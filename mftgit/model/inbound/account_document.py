"""Accounts and groups as their documents say them, and what an account comes to with its groups."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final, TypeVar

from mftgit.model.documents.given import Value, given
from mftgit.model.inbound.account import Account, Factor, Login, Place, Quota, VirtualFolder
from mftgit.model.inbound.permission import PRESETS, Act, Rule
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import AccountName, GroupName, LocationName, SecretName, ServiceName

NAME_FIELD: Final = "{account}"
"""What stands for the name of the account in the paths of places, so that a group can say them for many."""

_T = TypeVar("_T")
_DATE_CHARACTERS: Final = len("2027-03-31")
_WITH_TOTP: Final = frozenset({Factor.TOTP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What an account or a group says; None, or nothing in a list, where it says nothing."""

    home: Place | None = None
    folders: tuple[VirtualFolder, ...] = ()
    require: tuple[frozenset[Factor], ...] | None = None
    authorities: tuple[str, ...] | None = None
    principals: tuple[str, ...] | None = None
    rules: tuple[Rule, ...] = ()
    services: tuple[ServiceName, ...] | None = None
    sources: tuple[str, ...] = ()
    expires: str | None = None
    size_bytes: int | None = None
    files: int | None = None
    max_sessions: int | None = None
    max_file_bytes: int | None = None

    @property
    def places(self) -> Iterator[tuple[str, Place]]:
        """The places with the pointers to them."""
        if self.home is not None:
            yield "/home", self.home
        for index, folder in enumerate(self.folders):
            yield f"/folders/{index}", folder.place


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """``groups/NAME.yaml``: what the accounts have in common that name it."""

    name: GroupName
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """``accounts/NAME.yaml`` by itself, without what its groups say."""

    name: AccountName
    groups: tuple[GroupName, ...] = ()
    terms: Terms = field(default_factory=Terms)
    keys: tuple[str, ...] = ()
    password: SecretRef | None = None
    totp: SecretRef | None = None

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """Give pointer and name of every document in ``secrets/`` that is needed to let it in."""
        for key, kept in (("password", self.password), ("totp", self.totp)):
            if kept is not None and kept.secret is not None:
                yield f"/login/{key}/secret", kept.secret


def build_draft(name: AccountName, value: Value) -> Draft:
    """Return what ``accounts/NAME.yaml`` says, once its templates are replaced."""
    return Draft(
        name=name,
        terms=_terms(value),
        **given(value, groups=_names),
        **given(value.get("login", {}), keys=tuple, password=_reference, totp=_reference),
    )


def build_group(name: GroupName, value: Value) -> Group:
    """Return what ``groups/NAME.yaml`` says, once its templates are replaced."""
    return Group(name=name, terms=_terms(value))


def services_of(values: Iterable[Value]) -> frozenset[ServiceName] | None:
    """Return which services an account may use, None any; ``values`` are its document and those of its groups.

    They hold no templates, so that no variable is asked for where none of these services runs.
    """
    said = next((value["services"] for value in values if "services" in value), None)
    return None if said is None else frozenset(map(ServiceName, said))


def _terms(value: Value) -> Terms:
    login = value.get("login", {})
    return Terms(
        **given(
            value,
            home=_place,
            folders=_folders,
            services=_names,
            expires=str,
            max_sessions=int,
            max_file_bytes=int,
        ),
        rules=tuple(map(_rule, value.get("permissions", ()))),
        sources=tuple(value.get("from", ())),
        **given(login, require=_require),
        **given(login.get("certificates", {}), authorities=tuple, principals=tuple),
        **given(value.get("quota", {}), size_bytes=int, files=int),
    )


def _names(names: Iterable[str]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(names))


def _place(value: Value) -> Place:
    return Place(location=LocationName(value["location"]), **given(value, path=str))


def _folders(values: Iterable[Value]) -> tuple[VirtualFolder, ...]:
    return tuple(VirtualFolder(at=each["at"], place=_place(each)) for each in values)


def _require(alternatives: Iterable[str]) -> tuple[frozenset[Factor], ...]:
    return tuple(frozenset(map(Factor, each.split("+"))) for each in alternatives)


def _rule(value: Value) -> Rule:
    allow = value["allow"]
    acts = PRESETS[allow] if isinstance(allow, str) else frozenset(map(Act, allow))
    return Rule(path=value["path"], allow=acts)


def _reference(value: Value) -> SecretRef:
    return SecretRef(**given(value, file=str, secret=SecretName))


def read_expiry(text: str) -> datetime:
    """Return from when on an account may not come in that ``expires`` so: a day counts to its end, in UTC.

    Raises:
        ValueError: there is no such day or time of day.
    """
    moment = datetime.fromisoformat(text)
    try:
        if len(text) > _DATE_CHARACTERS:
            return moment.astimezone(UTC)
        return datetime.combine(moment, time(tzinfo=UTC)) + timedelta(days=1)
    except OverflowError:
        raise ValueError("beyond the last day that there is") from None


def join(draft: Draft, groups: Sequence[Terms]) -> Account | None:
    """Return the account with what its ``groups`` say, in their order; None where nobody says what its home is.

    What the account says wins, then what the first group says. Lists of places, permissions and sources are put one
    behind the other; of two entries for one path the first is kept.

    Raises:
        ValueError: `read_expiry` does.
    """
    every = (draft.terms, *groups)
    home = _first(every, lambda terms: terms.home)
    if home is None:
        return None
    services = _first(every, lambda terms: terms.services)
    expires = _first(every, lambda terms: terms.expires)
    said: dict[str, Any] = {
        "max_sessions": _first(every, lambda terms: terms.max_sessions),
        "max_file_bytes": _first(every, lambda terms: terms.max_file_bytes),
        "rules": tuple(_once(every, lambda terms: terms.rules, lambda rule: rule.path)) or None,
    }
    return Account(
        name=draft.name,
        home=_named(home, draft.name),
        login=_login(draft, every),
        folders=tuple(
            VirtualFolder(at=each.at, place=_named(each.place, draft.name))
            for each in _once(every, lambda terms: terms.folders, lambda folder: folder.at)
        ),
        services=None if services is None else frozenset(services),
        sources=tuple(_once(every, lambda terms: terms.sources, lambda source: source)),
        expires_at=None if expires is None else read_expiry(expires),
        quota=Quota(
            size_bytes=_first(every, lambda terms: terms.size_bytes),
            files=_first(every, lambda terms: terms.files),
        ),
        **{name: value for name, value in said.items() if value is not None},
    )


def _login(draft: Draft, every: Sequence[Terms]) -> Login:
    authorities = _first(every, lambda terms: terms.authorities) or ()
    require = _first(every, lambda terms: terms.require)
    principals = _first(every, lambda terms: terms.principals) or (str(draft.name),)
    return Login(
        require=_by_default(draft, authorities) if require is None else require,
        keys=draft.keys,
        authorities=authorities,
        principals=principals if authorities else (),
        password=draft.password,
        totp=draft.totp,
    )


def _by_default(draft: Draft, authorities: tuple[str, ...]) -> tuple[frozenset[Factor], ...]:
    """Return that any one factor will do that the account has, and always the one-time code where it has that."""
    has = {Factor.KEY: bool(draft.keys or authorities), Factor.PASSWORD: draft.password is not None}
    also = _WITH_TOTP if draft.totp is not None else frozenset[Factor]()
    return tuple(frozenset({factor}) | also for factor, there in has.items() if there)


def lacking(login: Login) -> Iterator[tuple[int, Factor]]:
    """Give each factor that ``login`` requires and does not have, with the place of the alternative."""
    has = {
        Factor.KEY: bool(login.keys or login.authorities),
        Factor.PASSWORD: login.password is not None,
        Factor.TOTP: login.totp is not None,
    }
    for index, factors in enumerate(login.require):
        for factor in Factor:
            if factor in factors and not has[factor]:
                yield index, factor


def _first(every: Iterable[Terms], of: Callable[[Terms], _T | None]) -> _T | None:
    return next((found for terms in every if (found := of(terms)) is not None), None)


def _once(
    every: Iterable[Terms], of: Callable[[Terms], Iterable[_T]], by: Callable[[_T], str]
) -> Iterator[_T]:
    found: dict[str, _T] = {}
    for each in (each for terms in every for each in of(terms)):
        found.setdefault(by(each), each)
    return iter(found.values())


def _named(place: Place, name: AccountName) -> Place:
    return Place(location=place.location, path=place.path.replace(NAME_FIELD, name))
