"""Let an OpenID Connect provider vouch for who logs in (authorization code flow with PKCE), by PyJWT over urllib3.

What comes from the provider is bounded; its certificate is always checked, no redirect is followed, and no algorithm
counts but those with a public key.
"""

import base64
import hashlib
import json
import secrets
import ssl
import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import jwt
import urllib3

from mftgit.adapters.clock import Clock
from mftgit.adapters.tls.client import client_context
from mftgit.errors import TransientError
from mftgit.model.issuer import Issuer, NotVouchedError

ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "EdDSA",
)
SCOPE: Final = "openid profile email"

_MAX_ANSWER_BYTES: Final = 256 << 10
_TIMEOUT: Final = urllib3.Timeout(connect=5, read=10)
_LEEWAY_S: Final = 60
_KEPT_S: Final = 300.0
_LOOPBACK: Final = {"127.0.0.1", "::1", "localhost"}


class IssuerAwayError(TransientError):
    """The provider does not answer, or not as one does."""


class OpenId:
    """One provider; what it says of itself is kept for five minutes. Usable from many threads."""

    def __init__(self, issuer: Issuer, secret: str, *, clock: Clock) -> None:
        """Log in there as the application that ``issuer`` names, whose password is ``secret``.

        Raises:
            ConfigError: a certificate of an authority is none.
        """
        self._issuer, self._secret, self._clock = issuer, secret, clock
        self._web = urllib3.PoolManager(ssl_context=_context(issuer), retries=False, maxsize=4)
        self._kept: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._lock = threading.Lock()

    def where_to_go(self, *, state: str, nonce: str, verifier: str) -> str:
        """Return the URL where a browser is vouched for; raises IssuerAwayError."""
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._issuer.client_id,
            "redirect_uri": self._issuer.redirect_uri,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        there = self._endpoint("authorization_endpoint")
        return f"{there}{'&' if '?' in there else '?'}{urlencode(asked)}"

    def claims(self, code: str, *, verifier: str) -> Mapping[str, Any]:
        """Return what the provider says of whoever came back with ``code``; the caller checks the nonce.

        Raises:
            IssuerAwayError: it does not answer.
            NotVouchedError: it does not take the code, or what it says is not signed by it, for us, for now.
        """
        answer = self._exchange(code, verifier)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotVouchedError("the issuer vouches for nobody: it gave no id_token")
        try:
            key = self._key(jwt.get_unverified_header(token).get("kid"))
            told: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._issuer.client_id,
                issuer=self._issuer.url,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise NotVouchedError(f"what the issuer says does not hold: {error}") from error
        return told

    def close(self) -> None:
        """Let go of its connections."""
        self._web.clear()

    def _exchange(self, code: str, verifier: str) -> Mapping[str, Any]:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._issuer.redirect_uri,
            "code_verifier": verifier,
        }
        ways = self._described().get("token_endpoint_auth_methods_supported")
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if isinstance(ways, list) and "client_secret_basic" not in ways:
            fields |= {"client_id": self._issuer.client_id, "client_secret": self._secret}
        else:  # RFC 6749, 2.3.1: both are encoded before they are put together
            pair = f"{quote(self._issuer.client_id, safe='')}:{quote(self._secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        body = urlencode(fields)
        status, answer = self._ask("POST", self._endpoint("token_endpoint"), body, headers)
        if status != 200:  # noqa: PLR2004
            raise NotVouchedError(f"the issuer does not take its own code: {answer.get('error')}")
        return answer

    def _key(self, kid: str | None) -> jwt.PyJWK:
        """Return the provider's key of that id, looking anew where it is not among those that are kept."""
        where = self._endpoint("jwks_uri")
        for is_last in (False, True):
            found = jwt.PyJWKSet.from_dict(dict(self._get(where, anew=is_last)))
            keys = [each for each in found.keys if kid is None or each.key_id == kid]
            if keys and (kid is not None or len(keys) == 1):
                return keys[0]
        raise NotVouchedError("what the issuer says is signed by none of its keys")

    def _described(self) -> Mapping[str, Any]:
        url = f"{self._issuer.url.rstrip('/')}/.well-known/openid-configuration"
        found = self._get(url)
        if found.get("issuer") != self._issuer.url:
            raise IssuerAwayError(
                f"{url} is of the issuer {str(found.get('issuer'))[:200]}, not of {self._issuer.url}"
            )
        return found

    def _endpoint(self, name: str) -> str:
        url = self._described().get(name)
        if not isinstance(url, str) or not is_guarded(url):
            raise IssuerAwayError(f"{self._issuer.url} has no {name} that begins with https://")
        return url

    def _get(self, url: str, *, anew: bool = False) -> Mapping[str, Any]:
        now_s = self._clock.boottime()
        with self._lock:
            known = self._kept.get(url)
        if known is not None and not anew and now_s - known[0] < _KEPT_S:
            return known[1]
        status, answer = self._ask("GET", url)
        if status != 200:  # noqa: PLR2004
            raise IssuerAwayError(f"{url}: answers with {status}")
        with self._lock:
            self._kept[url] = (now_s, answer)
        return answer

    def _ask(
        self,
        method: str,
        url: str,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, Any]]:
        try:
            answer = self._web.request(
                method,
                url,
                body=body,
                headers={"Accept": "application/json", **(headers or {})},
                timeout=_TIMEOUT,
                preload_content=False,
                redirect=False,
            )
            content = answer.read(_MAX_ANSWER_BYTES + 1)
            answer.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise IssuerAwayError(f"{url}: {type(error).__name__}") from error
        if len(content) > _MAX_ANSWER_BYTES:
            raise IssuerAwayError(f"{url}: answers with more than {_MAX_ANSWER_BYTES} bytes")
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise IssuerAwayError(f"{url}: answers with {answer.status} and no JSON object")
        return answer.status, value


def make_verifier() -> str:
    """Return a new secret for state, nonce or PKCE (RFC 7636, 4.1), of 256 random bits."""
    return secrets.token_urlsafe(32)


def is_guarded(url: str) -> bool:
    """Tell whether nobody can listen in on what goes to ``url``: by TLS, or on this machine."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)


def _context(issuer: Issuer) -> ssl.SSLContext:
    return client_context("the issuer", ca=issuer.ca, fingerprints=())
