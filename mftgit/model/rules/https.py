"""Rules of an HTTPS location that no schema can express."""

from collections.abc import Iterator

from mftgit.model.documents.fault import Fault
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.locations.tls import check_tls


def check_https(location: HttpsLocation) -> Iterator[Fault]:
    """Give what is wrong with ``location`` by itself."""
    auth = location.auth
    if auth.password is not None and location.username is None:
        yield _fault("/auth/password", "a password needs the name that it is of", "have username")
    if auth.password is None and location.username is not None:
        yield _fault("/username", "a name is used with a password only", "remove username")
    if auth.password is not None and auth.token is not None:
        yield _fault("/auth/token", "a password and a token cannot both be shown", "remove one")
    yield from check_tls(auth, ca=location.ca, fingerprints=location.fingerprints)
    if location.username is not None and ":" in location.username:
        yield _fault("/username", "HTTP has no names with a colon (RFC 7617)", "see its spelling")


def _fault(pointer: str, message: str, hint: str) -> Fault:
    return Fault(pointer=pointer, rule="login", message=message, hint=hint)
