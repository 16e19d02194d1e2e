"""Rules of one location that no schema can express; they hold for rendered locations only."""

from collections.abc import Iterator

from mftgit.model.documents.fault import Fault
from mftgit.model.keys.host_authority import read_authority
from mftgit.model.keys.ssh_certificate import CertifiedAs, read_certificate_line
from mftgit.model.locations.ftps import FtpsLocation, check_ftps
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.locations.location import Client, Location, SftpLocation
from mftgit.model.locations.login import Auth, KeyAuth
from mftgit.model.locations.s3_location import S3Location
from mftgit.model.locations.smb import SmbLocation, check_smb
from mftgit.model.rules.https import check_https
from mftgit.model.rules.s3 import check_s3


def check_location(location: Location) -> Iterator[Fault]:
    """Give what is wrong with ``location`` by itself."""
    if isinstance(location, SftpLocation):
        yield from _check_client(location)
        yield from _check_authorities(location.host_ca, "/host_ca")
        yield from _check_ways(location.auth, "/auth")
        if location.jump is not None:
            yield from _check_ways(location.jump.auth, "/jump/auth")
    if isinstance(location, SmbLocation):
        yield from check_smb(location)
    if isinstance(location, S3Location):
        yield from check_s3(location)
    if isinstance(location, FtpsLocation):
        yield from check_ftps(location)
    if isinstance(location, HttpsLocation):
        yield from check_https(location)


def _check_client(location: SftpLocation) -> Iterator[Fault]:
    openssh = location.client is Client.OPENSSH
    if location.legacy and not openssh:
        yield Fault(
            pointer="/legacy",
            rule="client",
            message="the builtin client knows no old algorithms",
            hint="have client: openssh as well, or remove legacy",
        )
    if location.jump is not None and openssh:
        yield Fault(
            pointer="/jump",
            rule="client",
            message="the client openssh goes through no jump host",
            hint="have client: builtin, or remove jump",
        )


def _check_authorities(lines: tuple[str, ...], pointer: str) -> Iterator[Fault]:
    for index, line in enumerate(lines):
        try:
            read_authority(line)
        except ValueError as error:
            yield Fault(
                pointer=f"{pointer}/{index}",
                rule="certificate",
                message=f"no public key of an authority: {error}",
                hint="take the line of the authority's file .pub",
            )


def _check_ways(auth: tuple[Auth, ...], pointer: str) -> Iterator[Fault]:
    for index, way in enumerate(auth):
        if isinstance(way, KeyAuth) and isinstance(way.certificate, str):
            wrong = _wrong_certificate(way.certificate)
            if wrong is not None:
                yield Fault(
                    pointer=f"{pointer}/{index}/certificate",
                    rule="certificate",
                    message=f"no certificate of a user's key: {wrong}",
                    hint="take the line of the file -cert.pub that `ssh-keygen -s` made without -h",
                )


def _wrong_certificate(line: str) -> str | None:
    try:
        certificate, _ = read_certificate_line(line)
    except ValueError as error:
        return str(error)
    return None if certificate.certified_as == CertifiedAs.USER else "it is for a host"
