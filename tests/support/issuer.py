"""A small OpenID Connect provider over real TLS that vouches for one person, and lies where a test says how."""

import base64
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.tls import pki

CLIENT, SECRET = "mftgit/web", "p:ss wörd"
HERE = "127.0.0.1"


@dataclass
class Provider:
    """``claims`` are what it says of the person; ``lie`` changes the token's claims, ``sign`` makes the token."""

    url: str
    ca: str
    claims: dict[str, Any]
    redirect_uri: str = ""
    lie: Callable[[dict[str, Any]], object] = lambda _: None
    sign: Callable[["Provider", dict[str, Any]], str] = lambda self, told: jwt.encode(
        told, self.key, "RS256", {"kid": self.kid}
    )
    described: dict[str, Any] = field(default_factory=dict)
    kid: str = "one"
    key: rsa.RSAPrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def keys(self) -> dict[str, Any]:
        made = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**made, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?tenant=1",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            **self.described,
        }

    def authorize(self, query: str) -> str:
        """Return where the browser goes: everybody is known here."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["redirect_uri"] == self.redirect_uri
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(8)
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], "iss": self.url}
        return f"{self.redirect_uri}?{urlencode(answer)}"

    def token(self, body: str, authorization: str) -> tuple[int, dict[str, Any]]:
        fields = {name: values[0] for name, values in parse_qs(body).items()}
        pair = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        asked = self.codes.pop(fields["code"], None)
        digest = hashlib.sha256(fields["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if [unquote(each) for each in pair] != [CLIENT, SECRET]:
            return 401, {"error": "invalid_client"}
        if asked is None or asked["code_challenge"] != challenge:
            return 400, {"error": "invalid_grant"}
        now_s = int(time.time())  # noqa: TID251  the provider's own clock
        told = {"iss": self.url, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "sub": "1"}
        told |= {"nonce": asked["nonce"], **self.claims}
        self.lie(told)
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": self.sign(self, told)}


@contextmanager
def provider(folder: Path) -> Iterator[Provider]:
    """Run one for the time of the block."""
    now = SystemClock().now()
    authority = pki.make_authority("issuer", now=now)
    issued = pki.issue_server(authority, hosts=(HERE,), now=now)
    (folder / "issuer.crt").write_bytes(issued.certificate)
    (folder / "issuer.key").write_bytes(issued.key)
    server = ThreadingHTTPServer((HERE, 0), _Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "issuer.crt", folder / "issuer.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Provider(
        url=f"https://{HERE}:{server.server_port}",
        ca=authority.certificate.decode(),
        claims={"preferred_username": "Olga", "groups": ["staff", "mft"]},
    )
    server.provider = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    @property
    def _provider(self) -> Provider:
        found: Provider = self.server.provider  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        parts, its = urlsplit(self.path), self._provider
        its.asked.append(parts.path)
        match parts.path:
            case "/.well-known/openid-configuration":
                self._say(200, its.discovery())
            case "/keys":
                self._say(200, its.keys())
            case "/authorize":
                self.send_response(302)
                self.send_header("Location", its.authorize(parts.query))
                self.end_headers()
            case _:
                self._say(404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._say(*self._provider.token(body, self.headers["Authorization"]))

    def _say(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
