"""The passes of browsers."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.account import Account, Factor, Login, Place
from mftgit.model.inbound.serving import Served
from mftgit.model.inbound.web_pass import (
    MAX_PASS_BYTES,
    Pass,
    account_of,
    format_pass,
    key_of,
    read_pass,
)
from mftgit.model.names import AccountName, LocationName
from mftgit.model.secrets.value import SecretValue

KEY = key_of("a certificate")
PASS = Pass(
    account=AccountName("acme"), factors=frozenset({Factor.PASSWORD, Factor.TOTP}), until_s=1000
)


def _served(name: str = "acme", password: str = "a hash") -> Served:
    login = Login(require=(frozenset({Factor.PASSWORD, Factor.TOTP}),))
    account = Account(
        name=AccountName(name), home=Place(location=LocationName("inbox")), login=login
    )
    return Served(account=account, home="/home", password=SecretValue(password))


def test_a_pass_is_read_as_it_was_made_until_it_ends() -> None:
    text = format_pass(PASS, _served(), KEY)
    assert account_of(text) == "acme"
    assert read_pass(text, _served(), KEY, 999.9) == PASS
    assert read_pass(text, _served(), KEY, 1000) is None


def test_a_pass_holds_no_more_where_what_it_rests_on_is_changed() -> None:
    text, served = format_pass(PASS, _served(), KEY), _served()
    weaker = replace(served.account.login, require=(frozenset({Factor.PASSWORD}),))
    for other in (
        _served("another"),
        _served(password="another hash"),
        replace(served, account=replace(served.account, login=weaker)),
    ):
        assert read_pass(text, other, KEY, 0) is None
    assert read_pass(text, served, key_of("another certificate"), 0) is None


@given(st.text(max_size=40), st.integers(0, 200))
def test_a_pass_that_was_changed_is_none(inserted: str, at: int) -> None:
    text = format_pass(PASS, _served(), KEY)
    changed = text[:at] + inserted + text[at + len(inserted) :]
    assert read_pass(changed, _served(), KEY, 0) == (PASS if changed == text else None)


def test_what_is_no_pass_names_nobody() -> None:
    assert account_of("") is None
    assert account_of("1.NOBODY.x") is None
    assert read_pass("1" * (MAX_PASS_BYTES + 1), _served(), KEY, 0) is None
