"""An HTTPS location as its document says it, read and written."""

from typing import Any

from mftgit.model.documents.given import Value, given, given_remote
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.locations.tls import build_tls_auth, format_tls_auth
from mftgit.model.names import LocationName


def build_https(name: LocationName, value: Value) -> HttpsLocation:
    """Return what ``locations/NAME.yaml`` of the type https says, once its templates are replaced."""
    remote = given_remote(value)
    return HttpsLocation(
        name=name,
        host=value["host"],
        auth=build_tls_auth(value["auth"]),
        **remote | {"path": _from_root(remote.get("path", "."))},
        **given(value, port=int, username=str, ca=str, fingerprints=tuple),
    )


def format_https(location: HttpsLocation) -> dict[str, Any]:
    """Return what ``location`` has besides the fields of every `RemoteLocation`, in the words of its document."""
    own: dict[str, Any] = {
        "host": location.host,
        "port": location.port,
        "auth": format_tls_auth(location.auth),
    }
    if location.username is not None:
        own["username"] = location.username
    if location.ca is not None:
        own["ca"] = location.ca
    if location.fingerprints:
        own["fingerprints"] = list(location.fingerprints)
    return own


def _from_root(path: str) -> str:
    """Return ``path`` from the server's root on: there is no home folder, so that both ways to say it are one."""
    return "/" + "/".join(part for part in path.split("/") if part not in {"", "."})
