"""What an object store says is wrong, in the words of `Endpoint`."""

from collections.abc import Mapping
from typing import Any, Final

from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
    LoginError,
)
from mftgit.errors import MftgitError


class SlowDownError(EndpointLostError):
    """The store asks to be asked less, or is not able to answer just now; nothing was done."""


_KEYS: Final = "check auth of the location, and the secrets that it names"
_ROOM: Final = "see how much room there is, and whether there is a quota"
_MEANING: Final[Mapping[str, tuple[type[MftgitError], str]]] = {
    "NoSuchKey": (FileMissingError, ""),
    "404": (FileMissingError, ""),
    "NoSuchUpload": (EndpointBusyError, "see that no lifecycle rule removes uploads that are under way"),
    "PreconditionFailed": (FileExistsAtEndpointError, ""),
    "412": (FileExistsAtEndpointError, ""),
    "ConditionalRequestConflict": (EndpointBusyError, ""),
    "OperationAborted": (EndpointBusyError, ""),
    "NoSuchBucket": (EndpointRefusedError, "there is no such bucket: check bucket, region and endpoint"),
    "AccessDenied": (EndpointRefusedError, "have the user given the right to do this"),
    "403": (EndpointRefusedError, "have the user given the right to do this, and to list the bucket"),
    "NotImplemented": (EndpointRefusedError, "the store cannot do this: see its documentation"),
    "EntityTooLarge": (EndpointRefusedError, "the store takes no object as large as this"),
    "KeyTooLongError": (EndpointRefusedError, "keys may have 1,024 bytes"),
    "PermanentRedirect": (EndpointRefusedError, "the bucket is in another region: put region right"),
    "301": (EndpointRefusedError, "the bucket is in another region: put region right"),
    "307": (EndpointRefusedError, "the bucket is in another region: put region right"),
    "AuthorizationHeaderMalformed": (EndpointRefusedError, "the bucket is in another region: put region right"),
    "IllegalLocationConstraintException": (EndpointRefusedError, "put region right"),
    "RequestTimeTooSkewed": (EndpointRefusedError, "put the clock of this machine right"),
    "InvalidObjectState": (EndpointRefusedError, "it is archived: restore it first"),
    "InvalidAccessKeyId": (LoginError, _KEYS),
    "SignatureDoesNotMatch": (LoginError, _KEYS),
    "InvalidToken": (LoginError, _KEYS),
    "ExpiredToken": (LoginError, "the session has ended: " + _KEYS),
    "TokenRefreshRequired": (LoginError, _KEYS),
    "InvalidSecurity": (LoginError, _KEYS),
    "AccountProblem": (LoginError, _KEYS),
    "SlowDown": (SlowDownError, ""),
    "ServiceUnavailable": (SlowDownError, ""),
    "TooManyRequests": (SlowDownError, ""),
    "503": (SlowDownError, ""),
    "QuotaExceeded": (EndpointFullError, _ROOM),
    "InsufficientStorage": (EndpointFullError, _ROOM),
    "XMinioStorageFull": (EndpointFullError, _ROOM),
    "507": (EndpointFullError, _ROOM),
    "BadDigest": (EndpointLostError, "it was damaged on its way"),
    "XAmzContentSHA256Mismatch": (EndpointLostError, "it was damaged on its way"),
    "IncompleteBody": (EndpointLostError, "it was cut short on its way"),
    "RequestTimeout": (EndpointLostError, ""),
    "InternalError": (EndpointLostError, ""),
}  # fmt: skip
"""By the code of the answer (S3 API, "Error responses"), or its status where a HEAD has no body to say more."""

_TOLD: Final = 200


def meaning(response: Mapping[str, Any], what: str) -> MftgitError:
    """Return the error for what a store answered; ``what`` tells of which server and file."""
    error = response.get("Error") or {}
    code = str(error.get("Code") or "")
    status = int((response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0)
    kind, way_out = _MEANING.get(code) or _MEANING.get(str(status)) or _by_status(status)
    said = str(error.get("Message") or "")[:_TOLD]
    shown = f"{code[:_TOLD]!r}" + (f" ({said!r})" if said else "")
    if kind is FileMissingError:
        return FileMissingError(f"{what} is not there")
    if kind is FileExistsAtEndpointError:
        return FileExistsAtEndpointError(f"{what} is there already")
    return kind(f"{what}: the store answers {shown}" + (f": {way_out}" if way_out else ""))


def _by_status(status: int) -> tuple[type[MftgitError], str]:
    lost = status >= 500 or status == 0  # noqa: PLR2004  RFC 9110, 15.6
    return (EndpointLostError if lost else EndpointRefusedError), ""
