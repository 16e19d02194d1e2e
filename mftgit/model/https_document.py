"""An HTTPS location as its document says it, read and written."""

from typing import Any

from mftgit.model.given import Value, given, given_remote
from mftgit.model.https_location import HttpsAuth, HttpsLocation
from mftgit.model.login import SecretRef
from mftgit.model.names import LocationName, SecretName


def build_https(name: LocationName, value: Value) -> HttpsLocation:
    """Return what ``locations/NAME.yaml`` of the type https says, once its templates are replaced."""
    remote = given_remote(value)
    return HttpsLocation(
        name=name,
        host=value["host"],
        auth=_auth(value["auth"]),
        **remote | {"path": _from_root(remote.get("path", "."))},
        **given(value, port=int, username=str, ca=str, fingerprints=tuple),
    )


def format_https(location: HttpsLocation) -> dict[str, Any]:
    """Return what ``location`` has besides the fields of every `RemoteLocation`, in the words of its document."""
    own: dict[str, Any] = {
        "host": location.host,
        "port": location.port,
        "auth": _format_auth(location.auth),
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


def _auth(value: Value) -> HttpsAuth:
    return HttpsAuth(
        **given(
            value,
            password=_kept,
            token=_kept,
            private_key=_kept,
            passphrase=_kept,
            certificate=lambda found: found if isinstance(found, str) else _kept(found),
        )
    )


def _kept(value: Value) -> SecretRef:
    return SecretRef(**given(value, file=str, secret=SecretName))


def _format_auth(auth: HttpsAuth) -> dict[str, Any]:
    found = {
        "password": auth.password,
        "token": auth.token,
        "private_key": auth.private_key,
        "passphrase": auth.passphrase,
        "certificate": auth.certificate,
    }
    return {key: _format_kept(kept) for key, kept in found.items() if kept is not None}


def _format_kept(kept: str | SecretRef) -> Any:
    if isinstance(kept, str):
        return kept
    return {"file": kept.file} if kept.secret is None else {"secret": kept.secret}
