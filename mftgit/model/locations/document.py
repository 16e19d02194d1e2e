"""Locations as their documents say them, read and written: a table by kind."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from mftgit.model.documents.given import Value, given
from mftgit.model.locations.ftps import FtpsLocation, build_ftps, format_ftps
from mftgit.model.locations.https_document import build_https, format_https
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.locations.location import LocalLocation, Location, RemoteLocation, SftpLocation
from mftgit.model.locations.s3_document import build_s3, format_s3
from mftgit.model.locations.s3_location import S3Location
from mftgit.model.locations.sftp import build_sftp, format_sftp
from mftgit.model.locations.smb import SmbLocation, build_smb, format_smb
from mftgit.model.names import LocationName


def build_location(name: LocationName, value: Value) -> Location:
    """Return what ``locations/NAME.yaml`` says, once its templates are replaced."""
    return _BUILDERS[value["type"]](name, value)


def format_location(location: Location) -> dict[str, Any]:
    """Return ``location`` in the words of its document, for `build_location`; its name is not among them."""
    own: dict[str, Any] = {"type": location.KIND, "path": location.path}
    if location.bytes_per_s is not None:
        own["bytes_per_s"] = location.bytes_per_s
    if isinstance(location, RemoteLocation):
        own |= _format_common(location) | _FORMATS[type(location)](location)
    return own


def _build_local(name: LocationName, value: Value) -> LocalLocation:
    return LocalLocation(name=name, path=value["path"], **given(value, bytes_per_s=int))


def _format_common(location: RemoteLocation) -> dict[str, Any]:
    value: dict[str, Any] = {
        "timeout_s": location.timeout_s,
        "idle_s": location.idle_s,
        "max_connections": location.max_connections,
    }
    if location.connect_timeout_s is not None:
        value["connect_timeout_s"] = location.connect_timeout_s
    return value


_BUILDERS: Final[Mapping[str, Callable[[LocationName, Value], Location]]] = {
    LocalLocation.KIND: _build_local,
    SftpLocation.KIND: build_sftp,
    HttpsLocation.KIND: build_https,
    SmbLocation.KIND: build_smb,
    S3Location.KIND: build_s3,
    FtpsLocation.KIND: build_ftps,
}
_FORMATS: Final[Mapping[type, Callable[[Any], dict[str, Any]]]] = {
    SftpLocation: format_sftp,
    HttpsLocation: format_https,
    SmbLocation: format_smb,
    S3Location: format_s3,
    FtpsLocation: format_ftps,
}
