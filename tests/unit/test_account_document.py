"""What an account comes to: what it says itself, then what its groups say, then what holds by default."""

from datetime import UTC, datetime

import pytest
from yaml import safe_load

from mftgit.model.inbound.account import Account, Factor, Login, Place, Quota, VirtualFolder
from mftgit.model.inbound.account_document import (
    build_draft,
    build_group,
    join,
    lacking,
    read_expiry,
)
from mftgit.model.inbound.permission import FULL, READ_ONLY, UPLOAD_ONLY, Act, Rule, allowed
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import AccountName, GroupName, LocationName, SecretName, ServiceName

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINqHPD5s9DAzoF9WfStHb8C+BV2oiFNN6Hwp1oAWaTtc"
HOME = "home: {location: homes, path: '{account}'}\n"


def account(text: str, *groups: str) -> Account:
    draft = build_draft(AccountName("alice"), safe_load(text) or {})
    terms = [build_group(GroupName("g"), safe_load(each)).terms for each in groups]
    found = join(draft, terms)
    assert found is not None
    return found


def required(text: str, *groups: str) -> list[str]:
    """The alternatives to log in, in the words of documents."""
    found = account(HOME + text, *groups).login.require
    return ["+".join(each.value for each in Factor if each in factors) for factors in found]


def test_an_account_says_everything_itself() -> None:
    found = account(
        f"""
home: {{location: homes, path: a}}
folders: [{{at: /prices, location: shared, path: prices}}]
login:
  require: [key+totp, password]
  keys: [{KEY}]
  certificates: {{authorities: [{KEY}], principals: [al]}}
  password: {{secret: hash}}
  totp: {{file: code}}
permissions: [{{path: /, allow: read-only}}, {{path: /in, allow: [write, list]}}]
services: [sftp]
from: [10.0.0.0/8]
expires: "2027-03-31"
quota: {{size_bytes: 5, files: 6}}
max_sessions: 7
max_file_bytes: 8
"""
    )
    assert found == Account(
        name=AccountName("alice"),
        home=Place(location=LocationName("homes"), path="a"),
        login=Login(
            require=(frozenset({Factor.KEY, Factor.TOTP}), frozenset({Factor.PASSWORD})),
            keys=(KEY,),
            authorities=(KEY,),
            principals=("al",),
            password=SecretRef(secret=SecretName("hash")),
            totp=SecretRef(file="code"),
        ),
        folders=(
            VirtualFolder(
                at="/prices", place=Place(location=LocationName("shared"), path="prices")
            ),
        ),
        rules=(
            Rule(path="/", allow=READ_ONLY),
            Rule(path="/in", allow=frozenset({Act.WRITE, Act.LIST})),
        ),
        services=frozenset({ServiceName("sftp")}),
        sources=("10.0.0.0/8",),
        expires_at=datetime(2027, 4, 1, tzinfo=UTC),
        quota=Quota(size_bytes=5, files=6),
        max_sessions=7,
        max_file_bytes=8,
    )
    assert list(found.secrets()) == [("/login/password/secret", "hash")]


def test_what_nobody_says_is_as_the_types_have_it() -> None:
    found = account("home: {location: homes}")
    assert found == Account(
        name=AccountName("alice"),
        home=Place(location=LocationName("homes")),
        login=Login(require=()),
    )
    assert found.rules == (Rule(path="/", allow=FULL),)


def test_what_the_account_says_wins_and_then_what_the_first_group_says() -> None:
    first = "max_sessions: 2\nquota: {files: 3}\nservices: [a]\nhome: {location: first}"
    second = "max_sessions: 4\nquota: {files: 5, size_bytes: 6}\nexpires: 2027-01-01T00:00:00Z\n"
    found = account("max_sessions: 1", first, second)
    assert (found.max_sessions, found.quota) == (1, Quota(files=3, size_bytes=6))
    assert account("", first, second).max_sessions == 2
    assert account("", second, first).max_sessions == 4
    assert found.services == frozenset({"a"})
    assert found.home == Place(location=LocationName("first"))
    assert found.expires_at == datetime(2027, 1, 1, tzinfo=UTC)


def test_lists_are_put_one_behind_the_other_and_of_two_for_one_path_the_first_is_kept() -> None:
    found = account(
        f"{HOME}permissions: [{{path: /in, allow: upload-only}}]\nfrom: [10.0.0.1]\n"
        "folders: [{at: /x, location: mine}]",
        "permissions: [{path: /in, allow: full}, {path: /, allow: read-only}]\nfrom: [10.0.0.2, 10.0.0.1]\n"
        "folders: [{at: /x, location: theirs}, {at: /y, location: theirs, path: 'of/{account}'}]",
    )
    assert [(each.path, each.allow) for each in found.rules] == [
        ("/in", UPLOAD_ONLY),
        ("/", READ_ONLY),
    ]
    assert allowed(found.rules, "/in/a") == UPLOAD_ONLY
    assert found.sources == ("10.0.0.1", "10.0.0.2")
    assert [(each.at, each.place.location, each.place.path) for each in found.folders] == [
        ("/x", "mine", "."),
        ("/y", "theirs", "of/alice"),
    ]


def test_the_name_of_the_account_stands_in_paths_that_a_group_says() -> None:
    assert account("", HOME).home.path == "alice"
    assert account("", "home: {location: a, path: 'x/{account}/{account}'}").home.path == (
        "x/alice/alice"
    )


def test_without_a_home_there_is_no_account() -> None:
    assert join(build_draft(AccountName("alice"), {}), []) is None


@pytest.mark.parametrize(
    ("login", "alternatives"),
    [
        (f"keys: [{KEY}]", ["key"]),
        (f"certificates: {{authorities: [{KEY}]}}", ["key"]),
        (f"keys: [{KEY}], password: {{file: p}}", ["key", "password"]),
        (f"keys: [{KEY}], totp: {{file: t}}", ["key+totp"]),
        (
            f"keys: [{KEY}], password: {{file: p}}, totp: {{file: t}}",
            ["key+totp", "password+totp"],
        ),
        ("totp: {file: t}", []),
        ("", []),
        (
            f"require: [key+password], keys: [{KEY}], password: {{file: p}}, totp: {{file: t}}",
            ["key+password"],
        ),
    ],
)
def test_any_factor_will_do_and_the_one_time_code_is_always_asked_for(
    login: str, alternatives: list[str]
) -> None:
    assert required(f"login: {{{login}}}") == alternatives


def test_a_group_says_what_is_required_and_whose_certificates_are_taken() -> None:
    group = f"login: {{require: [key], certificates: {{authorities: [{KEY}]}}}}"
    assert required("", group) == ["key"]
    assert account(HOME, group).login.principals == ("alice",)
    assert account(f"{HOME}login: {{keys: [{KEY}]}}").login.principals == ()


def test_a_factor_that_is_required_and_not_there_is_found() -> None:
    login = account(
        f"{HOME}login: {{require: [key, password+totp], keys: [{KEY}], totp: {{file: t}}}}"
    ).login
    assert list(lacking(login)) == [(1, Factor.PASSWORD)]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-02-28", datetime(2027, 3, 1, tzinfo=UTC)),
        ("2027-02-28T12:00:00Z", datetime(2027, 2, 28, 12, tzinfo=UTC)),
        ("2027-02-28T12:00:00.5+02:00", datetime(2027, 2, 28, 10, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_a_day_counts_to_its_end_and_a_moment_for_itself(text: str, moment: datetime) -> None:
    assert read_expiry(text) == moment


@pytest.mark.parametrize(
    "text", ["2027-02-29", "2027-01-01T24:00:01Z", "9999-12-31", "9999-12-31T23:00:00-12:00"]
)
def test_a_day_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_expiry(text)
