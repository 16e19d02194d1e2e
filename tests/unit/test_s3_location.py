"""Buckets as documents say them: what is taken, what is refused, and what a transfer may ask of them."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

from mftgit.model.configuration.config import (
    AfterSuccess,
    Claiming,
    Destination,
    Preserve,
    Source,
    Transfer,
)
from mftgit.model.documents.document import Document, parse_document
from mftgit.model.documents.plaintext import find_plaintext
from mftgit.model.documents.schema_check import SchemaChecker
from mftgit.model.locations.document import build_location, format_location
from mftgit.model.locations.location import LocalLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.s3_location import Addressing, Encryption, Machine, S3Keys, S3Location
from mftgit.model.names import LocationName, SecretName, TransferName
from mftgit.model.rules.location import check_location
from mftgit.model.rules.transfer import check_folders
from mftgit.model.transfers.triggers import WatchTrigger
from mftgit.resources import load_schemas

CHECKER = SchemaChecker(load_schemas()["location"])
NAME = LocationName("bucket")
KEYS = S3Keys(access_key_id="AKIA", secret_access_key=SecretRef(secret=SecretName("key")))
PLAIN = S3Location(name=NAME, bucket="acme", auth=KEYS)
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
FULL = replace(
    PLAIN,
    auth=replace(KEYS, session_token=SecretRef(file="token")),
    path="in/x",
    region="eu-central-1",
    endpoint="https://s3.example:9000/",
    addressing=Addressing.PATH,
    ca=PEM,
    encryption=Encryption.KMS,
    kms_key="arn:aws:kms:eu:1:key/2",
    storage_class="STANDARD_IA",
    checksums=False,
    conditional_writes=False,
)

PINNED = replace(PLAIN, auth=Machine.INSTANCE, fingerprints=(":".join(["AB"] * 32),))


def problems(**fields: Any) -> list[str]:
    """Return the pointers of what the schema says to a document of a bucket with these fields."""
    value = {"type": "s3", "bucket": "acme", "auth": "instance"} | fields
    document = parse_document("x.yaml", yaml.safe_dump(value).encode())
    assert isinstance(document, Document), document
    return [each.pointer for each in CHECKER.check(document.value, document.positions())]


@pytest.mark.parametrize("location", [PLAIN, FULL, PINNED])
def test_a_bucket_is_written_down_and_read_again(location: S3Location) -> None:
    value = format_location(location)
    assert build_location(NAME, value) == location
    assert problems(**value) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"endpoint": "http://s3.example"},
        {"endpoint": "https://user@s3.example"},
        {"endpoint": "https://s3.example/path"},
        {"endpoint": "s3.example"},
        {"bucket": "Acme"},
        {"bucket": "a/b"},
        {"region": "eu central"},
        {"region": "eu.evil.example/"},
        {"addressing": "somehow"},
        {"encryption": "rot13"},
        {"storage_class": "cold\nX-Evil: 1"},
        {"ca": "/etc/ssl/ca.pem"},
        {"auth": "environment"},
        {"host": "h"},
    ],
)
def test_what_no_bucket_can_be_is_refused(fields: dict[str, Any]) -> None:
    (field,) = fields
    assert f"/{field}" in problems(**fields)


def test_keys_come_from_secrets_and_stand_in_no_document() -> None:
    auth = {"access_key_id": "AKIA", "secret_access_key": {"secret": "key"}}
    assert problems(auth=auth) == []
    assert "/auth" in problems(auth={"access_key_id": "AKIA"})
    for field in ("secret_access_key", "session_token"):
        text = yaml.safe_dump({"type": "s3", "auth": auth | {field: "wJalrXUtnFEMI"}})
        document = parse_document("x.yaml", text.encode())
        assert isinstance(document, Document)
        assert [each.pointer for each in find_plaintext(document.value, document.positions())] == [
            f"/auth/{field}"
        ]


def test_the_secrets_of_a_bucket_are_named() -> None:
    token = replace(KEYS, session_token=SecretRef(secret=SecretName("token")))
    assert list(replace(PLAIN, auth=token).secrets()) == [
        ("/auth/secret_access_key/secret", "key"),
        ("/auth/session_token/secret", "token"),
    ]
    assert list(FULL.secrets()) == [("/auth/secret_access_key/secret", "key")]
    assert list(replace(PLAIN, auth=Machine.INSTANCE).secrets()) == []


def test_amazon_is_where_no_endpoint_is_said() -> None:
    assert PLAIN.url == "https://s3.us-east-1.amazonaws.com"
    assert replace(PLAIN, region="cn-north-1").url == "https://s3.cn-north-1.amazonaws.com.cn"
    assert FULL.url == "https://s3.example:9000"
    assert str(PLAIN) == "bucket acme at https://s3.us-east-1.amazonaws.com, ."


def test_two_users_of_a_bucket_see_one_place() -> None:
    other = replace(PLAIN, auth=Machine.INSTANCE, region="eu-west-1")
    assert other.place == PLAIN.place
    assert replace(PLAIN, path="x").place != PLAIN.place
    assert replace(PLAIN, path="x").server == PLAIN.server
    assert replace(PLAIN, bucket="other").server != PLAIN.server


def test_what_does_not_fit_together_is_told() -> None:
    def told(location: S3Location) -> list[tuple[str, str]]:
        return [(each.pointer, each.rule) for each in check_location(location)]

    assert told(PLAIN) == told(FULL) == []
    assert told(replace(FULL, fingerprints=("AB",))) == [("/fingerprints", "login")]
    assert told(replace(PLAIN, kms_key="k")) == [("/kms_key", "encryption")]
    assert told(replace(PLAIN, bucket="a.b")) == [("/bucket", "addressing")]
    assert told(replace(PLAIN, bucket="a.b", addressing=Addressing.PATH)) == []
    assert told(replace(PLAIN, endpoint="https://10.0.0.1")) == [("/endpoint", "addressing")]
    assert told(replace(PLAIN, endpoint="https://[::1]:9000")) == [("/endpoint", "addressing")]


@pytest.mark.parametrize("claim", Claiming)
@pytest.mark.parametrize("after", AfterSuccess)
def test_files_of_a_bucket_are_kept_or_claimed_by_record_because_nothing_there_can_be_renamed(
    after: AfterSuccess, claim: Claiming
) -> None:
    local = LocalLocation(name=LocationName("here"), path="x")
    transfer = Transfer(
        name=TransferName("t"),
        source=Source(location=NAME, claim=claim),
        destination=Destination(location=LocationName("here")),
        trigger=WatchTrigger(),
        after_success=after,
        archive_path="old" if after is AfterSuccess.ARCHIVE else None,
    )
    found = [(each.pointer, each.rule) for each in check_folders(transfer, PLAIN, local)]
    wrong = {
        AfterSuccess.ARCHIVE: "/after_success/action",
        AfterSuccess.MOVE: "/after_success/action",
    }
    if claim is Claiming.RENAME:
        wrong[AfterSuccess.DELETE] = "/source/location"
    assert found == ([(wrong[after], "no-claims")] if after in wrong else [])
    assert list(check_folders(transfer, local, PLAIN)) == []


def test_times_and_modes_are_not_asked_of_a_bucket() -> None:
    local = LocalLocation(name=LocationName("here"), path="x")
    transfer = Transfer(
        name=TransferName("t"),
        source=Source(location=LocationName("here")),
        destination=Destination(location=NAME, preserve=frozenset({Preserve.TIMES})),
        trigger=WatchTrigger(),
    )
    (found,) = check_folders(transfer, local, PLAIN)
    assert (found.pointer, found.rule) == ("/destination/preserve", "no-traits")
