"""Rules of an HTTPS location that no schema can express."""

from collections.abc import Iterator

from mftgit.model.fault import Fault
from mftgit.model.https_location import HttpsAuth, HttpsLocation


def check_https(location: HttpsLocation) -> Iterator[Fault]:
    """Give what is wrong with ``location`` by itself."""
    auth = location.auth
    if auth.password is not None and location.username is None:
        yield _fault("/auth/password", "a password needs the name that it is of", "have username")
    if auth.password is None and location.username is not None:
        yield _fault("/username", "a name is used with a password only", "remove username")
    if auth.password is not None and auth.token is not None:
        yield _fault("/auth/token", "a password and a token cannot both be shown", "remove one")
    yield from _check_certificate(auth)
    if location.ca is not None and location.fingerprints:
        yield _fault(
            "/fingerprints",
            "the server's certificate is checked either by ca or by fingerprints",
            "remove one of them",
        )
    if location.username is not None and ":" in location.username:
        yield _fault("/username", "HTTP has no names with a colon (RFC 7617)", "see its spelling")


def _check_certificate(auth: HttpsAuth) -> Iterator[Fault]:
    if (auth.private_key is None) != (auth.certificate is None):
        yield _fault(
            "/auth",
            "a private_key and its certificate belong together",
            "have both of them, or neither",
        )
    if auth.passphrase is not None and auth.private_key is None:
        yield _fault("/auth/passphrase", "there is no private_key to open", "remove it")


def _fault(pointer: str, message: str, hint: str) -> Fault:
    return Fault(pointer=pointer, rule="login", message=message, hint=hint)
