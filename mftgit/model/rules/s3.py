"""Rules of S3 locations, and of transfers from and to them, that no schema can express."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from mftgit.model.configuration.config import AfterSuccess, Transfer
from mftgit.model.documents.fault import Fault
from mftgit.model.locations.location import Location
from mftgit.model.locations.s3_location import Addressing, Encryption, S3Location
from mftgit.model.locations.tls import TlsAuth, check_tls


def check_s3(location: S3Location) -> Iterator[Fault]:
    """Give what is wrong with ``location`` by itself."""
    yield from check_tls(TlsAuth(), ca=location.ca, fingerprints=location.fingerprints)
    if location.kms_key is not None and location.encryption is not Encryption.KMS:
        yield Fault(
            pointer="/kms_key",
            rule="encryption",
            message="a key of KMS is named, and encryption is not aws:kms",
            hint="have encryption: aws:kms as well, or remove kms_key",
        )
    # A certificate for *.HOST does not hold for a name with a dot in the place of the asterisk (RFC 6125, 6.4.3).
    if location.addressing is Addressing.VIRTUAL:
        if "." in location.bucket:
            yield _wrong_addressing("/bucket", "the bucket's name has a dot")
        elif _is_address(location.url):
            yield _wrong_addressing("/endpoint", "the endpoint is an IP address")


def check_s3_use(transfer: Transfer, source: Location, destination: Location) -> Iterator[Fault]:
    """Give what ``transfer`` asks of an object store that none can promise."""
    action = transfer.after_success
    if isinstance(source, S3Location) and action not in {AfterSuccess.KEEP, AfterSuccess.DELETE}:
        yield Fault(
            pointer="/after_success/action",
            rule="no-claims",
            message=f"files of the bucket {source.bucket} would be {action.value}d, and an object store cannot rename",
            hint="have action: delete with source.claim: record, or action: keep",
        )
    elif isinstance(source, S3Location) and transfer.claims:
        yield Fault(
            pointer="/source/location",
            rule="no-claims",
            message=f"files of the bucket {source.bucket} would be {action.value}d, and an object "
            "store cannot rename, so that two members could take one file",
            hint="have source.claim: record; or after_success: {action: keep}, and a lifecycle rule of the bucket "
            "removes what is old",
        )
    if isinstance(destination, S3Location) and transfer.destination.preserve:
        yield Fault(
            pointer="/destination/preserve",
            rule="no-traits",
            message="an object store sets the time of an object itself, and objects have no mode",
            hint="remove preserve",
        )


def _wrong_addressing(pointer: str, why: str) -> Fault:
    return Fault(
        pointer=pointer,
        rule="addressing",
        message=f"{why}, and the bucket's name would stand before the host name",
        hint="have addressing: path",
    )


def _is_address(url: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(url).hostname or "")
    except ValueError:
        return False
    return True
