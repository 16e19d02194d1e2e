"""The fields of services and accounts as their documents have them, with what an account's groups say."""

from collections.abc import Iterable, Mapping

from mftgit.model.configuration.flat import Value, flat, where
from mftgit.model.inbound.account import Account, Factor, Login
from mftgit.model.inbound.permission import PRESETS, Act
from mftgit.model.inbound.service import Service
from mftgit.model.keys.host_authority import read_authority

_RENAMED = {"proxies": "proxy_protocol.from"}
_WORDS = {acts: name for name, acts in PRESETS.items()}


def flat_service(service: Service) -> Mapping[str, Value]:
    """Return every field of ``service`` by its path; a host key is told by where it lies."""
    # What the cluster calls gate.limits is called limits here.
    told = {name.removeprefix("gate."): value for name, value in flat(service, "").items()}
    return {_RENAMED.get(name, name): value for name, value in told.items()}


def flat_account(account: Account) -> Mapping[str, Value]:
    """Return every field of ``account`` by its path; a key is told by its fingerprint and comment."""
    told: dict[str, Value] = {
        **flat(account.home, "home"),
        **flat(account.quota, "quota"),
        **_flat_login(account.login),
        "folders": tuple(
            f"{each.at}: {each.place.path} of {each.place.location}" for each in account.folders
        ),
        "permissions": tuple(f"{rule.path}: {_acts(rule.allow)}" for rule in account.rules),
        "from": account.sources,
        "max_sessions": account.max_sessions,
        "max_file_bytes": account.max_file_bytes,
        "services": None if account.services is None else tuple(sorted(account.services)),
        "expires": None if account.expires_at is None else account.expires_at.isoformat(),
    }
    return {name: value for name, value in told.items() if value is not None}


def _flat_login(login: Login) -> Mapping[str, Value]:
    return {
        "login.require": tuple(
            "+".join(factor.value for factor in Factor if factor in each) for each in login.require
        ),
        "login.keys": _keys(login.keys),
        "login.certificates.authorities": _keys(login.authorities),
        "login.certificates.principals": login.principals,
        "login.password": None if login.password is None else where(login.password),
        "login.totp": None if login.totp is None else where(login.totp),
    }


def _keys(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        " ".join((read_authority(line).fingerprint, *line.split(" ", 2)[2:])) for line in lines
    )


def _acts(allow: frozenset[Act]) -> str:
    """Return the one word for it, or each act."""
    return _WORDS.get(allow) or ", ".join(act.value for act in Act if act in allow)
