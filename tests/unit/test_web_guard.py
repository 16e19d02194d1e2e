"""Whether a request comes from our own pages, and where a browser is sent on to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.web_guard import (
    form_token,
    is_form_token,
    own_path,
    read_cookie,
    why_foreign,
)


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"origin": "https://here:8443", "host": "here:8443"}, True),
        ({"origin": "https://here", "host": "here:8443"}, False),
        ({"origin": "http://here:8443", "host": "here:8443"}, False),
        ({"origin": "null", "host": "here:8443"}, False),
        ({"origin": "https://"}, True),
        ({}, False),
    ],
)
def test_a_browser_says_from_which_page_a_request_comes(
    headers: dict[str, str],
    is_taken: bool,  # noqa: FBT001
) -> None:
    assert (why_foreign(headers, needs_proof=True) is None) is is_taken


def test_a_program_says_nothing_and_is_taken_where_that_is_no_matter() -> None:
    assert why_foreign({}, needs_proof=False) is None
    assert why_foreign({"sec-fetch-site": "cross-site"}, needs_proof=False) is not None


@given(st.text(), st.text())
def test_a_token_is_of_one_secret(secret: str, other: str) -> None:
    assert is_form_token(form_token(secret), secret)
    assert is_form_token(form_token(secret), other) is (secret == other)
    assert not is_form_token(other, secret)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("a=1; b=2", "2"),
        ("b=2", "2"),
        ("xb=1;b=2=3", "2=3"),
        ("b=; b=4", "4"),
        ("B=1", None),
        ("", None),
    ],
)
def test_a_cookie_is_found_by_its_whole_name(header: str, value: str | None) -> None:
    assert read_cookie(header, "b") == value


@pytest.mark.parametrize("path", ["/", "/cluster?x=1&y=%20", "/a/b"])
def test_a_login_leads_to_the_page_that_was_asked_for(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//evil.invalid",
        "/\\evil.invalid",
        "https://evil.invalid",
        "/a\\b",
        "/\t/evil",
        "/é",
        "evil",
    ],
)
def test_a_login_leads_nowhere_else(path: str) -> None:
    assert own_path(path) == "/"
