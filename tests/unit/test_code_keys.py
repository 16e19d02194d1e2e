"""The link that an authenticator app takes says whose key it is, whatever the names hold."""

from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mftgit.model.inbound.totp import key_uri

KEY = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.mark.parametrize("issuer", ["mftgit", "Acme Bank", "A&B=C/D?#:", "Bücher"])
def test_a_link_for_an_app_says_all_that_it_needs(issuer: str) -> None:
    uri = key_uri(KEY, account="alice", issuer=issuer)
    assert uri.isascii()
    parts = urlsplit(uri)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("otpauth", "totp", "")
    assert unquote(parts.path) == f"/{issuer}:alice"
    assert parse_qs(parts.query, strict_parsing=True) == {
        "secret": [KEY],
        "issuer": [issuer],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }
