"""An S3 location as its document says it, read and written."""

from typing import Any

from mftgit.model.documents.given import Value, given, given_remote
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.s3_location import Addressing, Encryption, Machine, S3Keys, S3Location
from mftgit.model.names import LocationName, SecretName


def build_s3(name: LocationName, value: Value) -> S3Location:
    """Return what ``locations/NAME.yaml`` of the type s3 says, once its templates are replaced."""
    return S3Location(
        name=name,
        bucket=value["bucket"],
        auth=_auth(value["auth"]),
        **given_remote(value),
        **given(
            value,
            region=str,
            endpoint=str,
            addressing=Addressing,
            ca=str,
            fingerprints=tuple,
            encryption=Encryption,
            kms_key=str,
            storage_class=str,
            checksums=bool,
            conditional_writes=bool,
        ),
    )


def format_s3(location: S3Location) -> dict[str, Any]:
    """Return what ``location`` has besides the fields of every `RemoteLocation`, in the words of its document."""
    maybe = {
        "endpoint": location.endpoint,
        "ca": location.ca,
        "fingerprints": list(location.fingerprints) or None,
        "encryption": None if location.encryption is None else location.encryption.value,
        "kms_key": location.kms_key,
        "storage_class": location.storage_class,
    }
    return {
        "bucket": location.bucket,
        "auth": _format_auth(location.auth),
        "region": location.region,
        "addressing": location.addressing.value,
        "checksums": location.checksums,
        "conditional_writes": location.conditional_writes,
    } | {field: said for field, said in maybe.items() if said is not None}


def _auth(value: str | Value) -> S3Keys | Machine:
    if isinstance(value, str):
        return Machine(value)
    return S3Keys(
        access_key_id=value["access_key_id"],
        secret_access_key=_reference(value["secret_access_key"]),
        **given(value, session_token=_reference),
    )


def _reference(value: Value) -> SecretRef:
    return SecretRef(**given(value, file=str, secret=SecretName))


def _format_auth(auth: S3Keys | Machine) -> Any:
    if isinstance(auth, Machine):
        return auth.value
    value: dict[str, Any] = {
        "access_key_id": auth.access_key_id,
        "secret_access_key": _format_reference(auth.secret_access_key),
    }
    if auth.session_token is not None:
        value["session_token"] = _format_reference(auth.session_token)
    return value


def _format_reference(kept: SecretRef) -> dict[str, Any]:
    return {"file": kept.file} if kept.secret is None else {"secret": kept.secret}
