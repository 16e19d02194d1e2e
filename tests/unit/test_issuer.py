"""Whom an issuer's claims let in."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.access import OperatorRole
from mftgit.model.issuer import (
    Issuer,
    NotVouchedError,
    format_issuer,
    operator_of,
    parse_issuer,
)
from mftgit.model.names import is_name

ROLES = {"read": ["staff"], "propose": [], "publish": ["mft"]}
ISSUER = Issuer(
    url="https://i.invalid",
    client_id="us",
    at="https://here:1/",
    name_claim="email",
    role_claim="groups",
    roles=ROLES,
    domain="Acme.invalid",
)
CLAIMS = {
    "nonce": "n",
    "aud": "us",
    "email": "Olga@acme.invalid",
    "email_verified": True,
    "groups": ["staff", "mft"],
}


def test_the_highest_role_of_a_claim_counts() -> None:
    who = operator_of(ISSUER, CLAIMS, nonce="n")
    assert (who.name, who.role) == ("olga", OperatorRole.PUBLISH)
    assert operator_of(ISSUER, {**CLAIMS, "groups": "staff"}, nonce="n").role is OperatorRole.READ


def test_without_a_domain_the_claim_is_the_name() -> None:
    anybody = replace(ISSUER, name_claim="preferred_username", domain=None)
    assert operator_of(anybody, {**CLAIMS, "preferred_username": "Olga"}, nonce="n").name == "olga"


@pytest.mark.parametrize(
    "wrong",
    [
        {"nonce": "x"},
        {"nonce": None},
        {"azp": "them"},
        {"aud": ["us", "them"]},
        {"email": None},
        {"email": "olga@evil.invalid"},
        {"email": "olga@evil.invalid@acme.invalid"},
        {"email": "@acme.invalid"},
        {"email_verified": False},
        {"email_verified": "true"},
        {"groups": None},
        {"groups": ["other"]},
        {"groups": {"mft": 1}},
    ],
)
def test_claims_that_do_not_hold_let_nobody_in(wrong: dict[str, Any]) -> None:
    with pytest.raises(NotVouchedError):
        operator_of(ISSUER, {**CLAIMS, **wrong}, nonce="n")


def test_several_audiences_hold_where_the_token_was_made_for_us() -> None:
    claims = {**CLAIMS, "aud": ["us", "them"], "azp": "us"}
    assert operator_of(ISSUER, claims, nonce="n").name == "olga"


@given(st.dictionaries(st.sampled_from(sorted(CLAIMS)), st.none() | st.text() | st.integers()))
def test_whoever_comes_in_has_a_name(changed: dict[str, Any]) -> None:
    try:
        who = operator_of(ISSUER, {**CLAIMS, **changed}, nonce="n")
    except NotVouchedError:
        return
    assert is_name(who.name)


def test_it_is_kept_as_it_is() -> None:
    assert parse_issuer(format_issuer(ISSUER)) == ISSUER
    assert ISSUER.redirect_uri == "https://here:1/login/issuer/callback"
