"""Buckets: what the suite of every endpoint does not ask, on moto's server, and on servers that mean no good."""

import hashlib
import json
import os
import ssl
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from clocks import SetClock
from loguru import logger
from outbound_site import Crash
from s3_store import CARELESS, S3Store, authority_of, make_certificate, running_s3
from tls_script import Answer, answer, scripted

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
    HostKeyError,
    LoginError,
    Traits,
)
from mftgit.adapters.s3 import client as s3_client
from mftgit.adapters.s3 import endpoint as s3
from mftgit.adapters.s3 import objects as s3_objects
from mftgit.adapters.s3.endpoint import S3Endpoint
from mftgit.adapters.s3.errors import SlowDownError
from mftgit.adapters.s3.transport import MOST_BYTES
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.member.outbound.trial import Step, try_destination, try_source
from mftgit.model.configuration.config import AfterSuccess, Destination, Source, Transfer
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.s3_location import Encryption, Machine, S3Keys, S3Location
from mftgit.model.names import TransferName
from mftgit.model.transfers.triggers import WatchTrigger

MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_client, "_WAIT_S", 0.0)  # between tries


class Bucket:
    """A prefix of the bucket that no other test has, and what is behind its endpoint."""

    def __init__(self, server: S3Store, prefix: str, **options: Any) -> None:
        self.server = server
        self.prefix = prefix
        self.location = server.location(path=prefix, **options)
        self.endpoint = self.another()

    def another(self) -> S3Endpoint:
        return s3.connect(self.location, secrets_dir=self.server.secrets_dir, secrets={})

    def ask(self, operation: str, path: str = "", **fields: Any) -> Any:
        key = {"Key": f"{self.prefix}/{path}"} if path else {}
        return self.server.behind.ask(operation, path, **key, **fields)

    def put(self, path: str, content: bytes = b"content") -> None:
        self.ask("put_object", path, Body=content)

    def content(self, path: str) -> bytes:
        content: bytes = self.ask("get_object", path)["Body"].read()
        return content

    def uploads(self) -> list[str]:
        told = self.ask("list_multipart_uploads", Prefix=f"{self.prefix}/")
        return [each["Key"].removeprefix(f"{self.prefix}/") for each in told.get("Uploads", ())]

    def write(self, path: str, content: bytes = b"content") -> int:
        return self.endpoint.write(path, iter([content]), on_chunk=lambda _: None)

    def listed(self, folder: str = ".") -> list[str]:
        return sorted(each.path for each in self.endpoint.list_files(folder, recursive=True))


@pytest.fixture
def bucket(server: S3Store, tmp_path: Path) -> Iterator[Bucket]:
    made = Bucket(server, tmp_path.name)
    with closing(made.endpoint):
        yield made


def pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), MIB):
        yield content[start : start + MIB]


def test_a_large_file_goes_in_parts_and_comes_back_whole(bucket: Bucket) -> None:
    content = os.urandom(17 * MIB + 3)
    told: list[int] = []
    assert bucket.endpoint.write("big", pieces(content), on_chunk=told.append) == len(content)
    assert told == [number * MIB for number in range(18)]
    head = bucket.ask("head_object", "big")
    assert head["ETag"].endswith('-3"')
    assert bucket.uploads() == []
    bucket.endpoint.rename("big", "final", replace=False)
    with bucket.endpoint.open_read("final") as stream:
        assert b"".join(iter(lambda: stream.read(MIB), b"")) == content
    assert bucket.listed() == ["final"]


@pytest.mark.parametrize("replaces", [False, True])
def test_a_large_file_is_copied_in_parts(bucket: Bucket, *, replaces: bool) -> None:
    content = os.urandom(12 * MIB)
    bucket.put("big", content)
    bucket.endpoint._rules = replace(bucket.endpoint._rules, copied_bytes=5 * MIB)
    bucket.endpoint.rename("big", "final", replace=replaces)
    assert bucket.content("final") == content
    assert bucket.ask("head_object", "final")["ETag"].endswith('-3"')
    assert (bucket.listed(), bucket.uploads()) == (["final"], [])


def test_a_copy_of_which_a_part_fails_is_given_up_at_once(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put("big", bytes(4000))
    bucket.endpoint._rules = replace(bucket.endpoint._rules, copied_bytes=10)
    real, asked = s3_client.Store.ask, []

    def ask(store: Any, operation: str, about: str, **fields: Any) -> Any:
        if operation == "upload_part_copy":
            asked.append(fields["PartNumber"])
            Event().wait(0.05)  # so long it takes at least: who gives up has to come to it
            raise EndpointLostError("gone")
        return real(store, operation, about, **fields)

    monkeypatch.setattr(s3_client.Store, "ask", ask)
    with pytest.raises(EndpointLostError):
        bucket.endpoint.rename("big", "final", replace=False)
    monkeypatch.setattr(s3_client.Store, "ask", real)
    assert 1 in asked
    assert len(asked) < 400
    assert (bucket.listed(), bucket.uploads()) == (["big"], [])


ERRORS = pytest.mark.parametrize("error", [OSError("the source went away"), Crash()])


def send_some(bucket: Bucket, path: str, content: bytes, error: BaseException) -> None:
    """Send ``content``, and fail then; parts of 8 MiB have arrived."""

    def chunks() -> Iterator[bytes]:
        yield from pieces(content)
        assert bucket.uploads() == ([path] if len(content) > 8 * MIB else [])
        raise error

    with pytest.raises(type(error)):
        bucket.endpoint.write(path, chunks(), on_chunk=lambda _: None)


@ERRORS
def test_what_was_not_sent_to_its_end_is_no_object_and_is_found(
    bucket: Bucket, error: BaseException
) -> None:
    send_some(bucket, "big", bytes(9 * MIB), error)
    assert (bucket.listed(), bucket.uploads()) == ([], ["big"])
    bucket.endpoint.find_part("big")
    bucket.endpoint.drop_part("big")
    assert bucket.uploads() == []
    for call in (bucket.endpoint.find_part, bucket.endpoint.drop_part):
        with pytest.raises(FileMissingError):
            call("big")


@ERRORS
def test_where_no_part_has_arrived_nothing_is_left(bucket: Bucket, error: BaseException) -> None:
    send_some(bucket, "big", bytes(8 * MIB - 1), error)
    assert bucket.uploads() == bucket.listed() == []


def test_what_may_not_be_listed_again_is_not_left(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = s3_client.Store.ask

    def ask(store: Any, operation: str, about: str, **fields: Any) -> Any:
        if operation == "list_multipart_uploads" and store is not bucket.server.behind:
            raise EndpointRefusedError("no right to do that")
        return real(store, operation, about, **fields)

    monkeypatch.setattr(s3_client.Store, "ask", ask)
    send_some(bucket, "big", bytes(9 * MIB), OSError("gone"))
    assert bucket.uploads() == bucket.listed() == []
    with pytest.raises(FileMissingError):
        bucket.endpoint.find_part("big")


@pytest.mark.parametrize("copied", [None, 5 * MIB], ids=["whole", "in parts"])
def test_what_has_arrived_is_taken_over_and_gone_on_with(
    bucket: Bucket, copied: int | None
) -> None:
    """Who wakes that had begun it can do nothing to it."""
    content = os.urandom(30 * MIB + 5)
    if copied:
        rules = replace(bucket.endpoint._rules, copied_bytes=copied)
        bucket.endpoint._rules = bucket.endpoint._parts._rules = rules
    woken: list[str] = []

    def chunks() -> Iterator[bytes]:
        yield from pieces(content[: 17 * MIB])
        with closing(bucket.another()) as next_owner:
            next_owner.find_part("old")
            next_owner.take_part("old", "new")
            with next_owner.open_read("new", 9 * MIB) as stream:
                assert stream.read() == content[9 * MIB : 16 * MIB]
            woken.append("taken")
        yield from pieces(content[17 * MIB :])

    with pytest.raises(TransientError):  # NoSuchUpload, for which moto has but a 500
        bucket.endpoint.write("old", chunks(), on_chunk=lambda _: None)
    assert woken
    assert (bucket.listed(), bucket.uploads()) == (["new"], [])
    at = 11 * MIB
    size = bucket.endpoint.write("new", pieces(content[at:]), on_chunk=lambda _: None, resume_at=at)
    assert size == len(content)
    assert bucket.content("new") == content
    assert bucket.uploads() == []


def test_what_is_cut_again_and_again_is_taken_over_where_it_came_to(bucket: Bucket) -> None:
    content = os.urandom(40 * MIB)
    send_some(bucket, "a", content[: 18 * MIB], OSError("cut"))
    bucket.endpoint.take_part("a", "b")

    def chunks() -> Iterator[bytes]:
        yield from pieces(content[16 * MIB : 34 * MIB])
        raise OSError("cut again")

    with pytest.raises(OSError, match="cut again"):
        bucket.endpoint.write("b", chunks(), on_chunk=lambda _: None, resume_at=16 * MIB)
    assert (bucket.listed(), bucket.uploads()) == (["b"], ["b"])
    bucket.endpoint.take_part("b", "c")
    assert (bucket.listed(), bucket.uploads()) == (["c"], [])
    assert bucket.content("c") == content[: 32 * MIB]
    send_some(bucket, "d", content[: 9 * MIB], OSError("cut"))
    bucket.put("d", content[: 10 * MIB])  # what came farther stays
    bucket.endpoint.take_part("d", "e")
    assert bucket.content("e") == content[: 10 * MIB]
    assert bucket.uploads() == []
    bucket.endpoint.drop_part("e")
    assert bucket.listed() == ["c"]


def test_an_object_that_is_another_one_by_now_is_not_gone_on_with(bucket: Bucket) -> None:
    bucket.put("a", bytes(9 * MIB))

    def chunks() -> Iterator[bytes]:
        yield b"1"
        bucket.put("a", b"another")

    with pytest.raises(EndpointBusyError):
        bucket.endpoint.write("a", chunks(), on_chunk=lambda _: None, resume_at=9 * MIB)
    assert bucket.content("a") == b"another"


def test_a_large_file_does_not_take_the_name_of_one_that_came_meanwhile(bucket: Bucket) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(9 * MIB)
        bucket.put("big", b"theirs")

    with pytest.raises(FileExistsAtEndpointError, match="'big'"):
        bucket.endpoint.write("big", chunks(), on_chunk=lambda _: None)
    assert bucket.content("big") == b"theirs"
    assert bucket.uploads() == []


def test_parts_that_a_crash_left_behind_are_removed_with_their_temporary(bucket: Bucket) -> None:
    bucket.ask("create_multipart_upload", ".a.part")
    bucket.ask("create_multipart_upload", ".a.part.of-somebody-else")
    bucket.endpoint.remove(".a.part")
    assert bucket.uploads() == [".a.part.of-somebody-else"]
    with pytest.raises(FileMissingError):
        bucket.endpoint.remove(".a.part")


def test_a_list_of_many_pages_is_whole(bucket: Bucket) -> None:
    names = [f"in/{number:02}" for number in range(23)]  # a page has five
    for name in [*names, "in/.mftgit/claims/1", "in/.mftgit-probe", "out/x"]:
        bucket.put(name)
    assert [f"in/{name}" for name in bucket.listed("in")] == names
    assert bucket.endpoint.list_names("in") == [".mftgit", ".mftgit-probe", *(n[3:] for n in names)]
    assert bucket.endpoint.list_names(".") == ["in", "out"]
    assert not bucket.endpoint.remove_folder("in")


def test_keys_that_are_no_paths_are_passed_over_and_told_once(bucket: Bucket) -> None:
    for key in ("a", "folder/", "two//slashes", "up/../a", "./b", "/c", ""):
        bucket.server.behind.ask("put_object", key, Key=f"{bucket.prefix}/{key}", Body=b"")
    told: list[str] = []
    logger.enable("mftgit")
    sink = logger.add(told.append, level="WARNING")
    try:
        assert bucket.listed() == ["a"]
        assert bucket.endpoint.list_names("two") == []
    finally:
        logger.remove(sink)
        logger.disable("mftgit")
    assert len(told) == 1


@pytest.mark.parametrize(
    "name",
    [
        "two words.csv",
        "münchen-📦",
        "a+b%20c&d=e?f#g;h",
        "<&>\"'",
        "-rf",
        "~",
        "*[a]?",
        "long" * 200,
    ],
)
def test_an_odd_name_goes_through_every_call(bucket: Bucket, name: str) -> None:
    bucket.write(name, b"odd")
    assert bucket.listed() == [name]
    assert bucket.endpoint.list_names(".") == [name]
    assert bucket.endpoint.stat(name).size_bytes == 3
    for replaces in (False, True):
        bucket.endpoint.rename(name, f"in/{name}", replace=replaces)
        with bucket.endpoint.open_read(f"in/{name}") as stream:
            assert stream.read() == b"odd"
        bucket.endpoint.rename(f"in/{name}", name, replace=False)
    bucket.endpoint.remove(name)
    assert bucket.listed() == []


def test_a_listing_and_a_look_tell_the_same_time(bucket: Bucket) -> None:
    bucket.write("a")
    (listed,) = bucket.endpoint.list_files(".", recursive=False)
    assert listed == bucket.endpoint.stat("a")
    assert listed.mtime_ns % 10**9 == 0


def killed_before_the_removal(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rename the temporary, and die when the copy is complete."""
    real = s3_client.Store.ask

    def ask(store: Any, operation: str, about: str, **fields: Any) -> Any:
        if operation == "delete_object" and ".part" in fields["Key"]:
            raise Crash
        return real(store, operation, about, **fields)

    with monkeypatch.context() as patched:
        patched.setattr(s3_client.Store, "ask", ask)
        with pytest.raises(Crash):
            bucket.endpoint.rename(".a.part", "a", replace=False)


def test_who_comes_after_a_crash_knows_its_own_copy_and_only_removes(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write("probed")  # whose conditions are tried once
    bucket.write(".a.part", b"sent")
    killed_before_the_removal(bucket, monkeypatch)
    assert bucket.listed() == [".a.part", "a", "probed"]
    written = bucket.ask("head_object", "a")["ETag"]
    with closing(bucket.another()) as successor:
        successor.rename(".a.part", "a", replace=False)
        with pytest.raises(FileMissingError):
            successor.rename(".a.part", "a", replace=False)
    assert bucket.listed() == ["a", "probed"]
    assert (bucket.ask("head_object", "a")["ETag"], bucket.content("a")) == (written, b"sent")
    assert bucket.uploads() == []


def test_a_file_of_somebody_else_is_not_taken_for_our_own_copy(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write(".a.part", b"sent")
    killed_before_the_removal(bucket, monkeypatch)
    bucket.put("a", b"sent")
    with pytest.raises(FileExistsAtEndpointError, match="'a'"):
        bucket.endpoint.rename(".a.part", "a", replace=False)
    assert bucket.listed() == [".a.part", "a"]


def test_an_owner_that_was_stopped_while_it_copied_does_not_publish_what_its_successor_did(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write(".a.part", b"sent")
    real = s3_client.Store.ask

    def ask(store: Any, operation: str, about: str, **fields: Any) -> Any:
        told = real(store, operation, about, **fields)
        if operation == "upload_part_copy":  # it stands still here
            monkeypatch.setattr(s3_client.Store, "ask", real)
            with closing(bucket.another()) as successor:
                successor.rename(".a.part", "a", replace=False)
            bucket.ask("delete_object", "a")  # and the partner takes the file
        return told

    monkeypatch.setattr(s3_client.Store, "ask", ask)
    with pytest.raises(FileMissingError):
        bucket.endpoint.rename(".a.part", "a", replace=False)
    assert bucket.listed() == bucket.uploads() == []


def test_a_store_without_conditions_is_refused(server: S3Store, tmp_path: Path) -> None:
    made = Bucket(server, tmp_path.name, bucket=CARELESS)
    with closing(made.endpoint), pytest.raises(EndpointRefusedError, match="conditional_writes"):
        made.write("a")
    with closing(server.store(made.location)) as store:
        assert not store.ask("list_objects_v2", "", Prefix=made.prefix).get("Contents")


def test_a_store_without_conditions_is_looked_at_before_where_that_is_accepted(
    server: S3Store, tmp_path: Path
) -> None:
    made = Bucket(server, tmp_path.name, bucket=CARELESS, conditional_writes=False)
    with closing(made.endpoint):
        made.write("a", b"old")
        with pytest.raises(FileExistsAtEndpointError):
            made.write("a", b"new")
        made.write("b", b"new")
        with pytest.raises(FileExistsAtEndpointError):
            made.endpoint.rename("b", "a", replace=False)
        made.endpoint.rename("b", "c", replace=False)
        assert made.listed() == ["a", "c"]


def test_nothing_of_the_environment_or_the_home_folder_counts(
    server: S3Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text("[profile evil]\n[not ini", encoding="ascii")
    hostile = {
        "HOME": str(tmp_path),
        "AWS_PROFILE": "evil",
        "AWS_ACCESS_KEY_ID": "EVIL",
        "AWS_SECRET_ACCESS_KEY": "evil",
        "AWS_SESSION_TOKEN": "evil",
        "AWS_ENDPOINT_URL": "https://evil.invalid",
        "AWS_ENDPOINT_URL_S3": "https://evil.invalid",
        "AWS_CA_BUNDLE": "/evil",
        "AWS_REGION": "evil",
        "HTTPS_PROXY": "http://evil.invalid:1",
    }
    for name, value in hostile.items():
        monkeypatch.setenv(name, value)
    made = Bucket(server, tmp_path.name)
    with closing(made.endpoint):
        made.write("a")
        assert made.listed() == ["a"]


def test_what_the_location_says_of_encryption_and_class_is_said_to_the_store(
    server: S3Store, tmp_path: Path
) -> None:
    made = Bucket(
        server,
        tmp_path.name,
        encryption=Encryption.KMS,
        kms_key="arn:aws:kms:us-east-1:123456789012:key/1",
        storage_class="STANDARD_IA",
    )
    with closing(made.endpoint):
        for name, replaces in (("a", False), ("b", True), ("empty", False)):
            made.write(f".{name}.part", b"" if name == "empty" else b"x")
            sent = made.ask("head_object", f".{name}.part")
            made.endpoint.rename(f".{name}.part", name, replace=replaces)
            kept = made.ask("head_object", name)
            assert sent["ServerSideEncryption"] == kept["ServerSideEncryption"] == "aws:kms"
            assert sent["SSEKMSKeyId"] == kept["SSEKMSKeyId"] != ""
            assert (sent.get("StorageClass"), kept["StorageClass"]) == (None, "STANDARD_IA")


def test_what_no_object_has_is_refused(bucket: Bucket) -> None:
    bucket.put("a")
    (refused, fine, gone) = bucket.endpoint.set_all(
        [("a", Traits(mode=0o600)), ("a", Traits()), ("gone", Traits())]
    )
    assert isinstance(refused, EndpointRefusedError)
    assert fine is None
    assert isinstance(gone, FileMissingError)
    assert bucket.endpoint.digest_all(["a"]) == [None]


def fingerprint(pem: str) -> str:
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 64, 2))


def test_a_server_whose_certificate_is_of_nobody_we_trust_is_not_talked_to(
    server: S3Store, tmp_path: Path
) -> None:
    with pytest.raises(HostKeyError, match="certificate"):
        Bucket(server, "x", ca=None)
    with pytest.raises(HostKeyError, match="certificate"):
        Bucket(server, "x", ca=authority_of(make_certificate(tmp_path)))
    other = "AB:" * 31 + "CD"
    with pytest.raises(HostKeyError, match="not in fingerprints"):
        Bucket(server, "x", ca=None, fingerprints=(other,))
    pinned = Bucket(server, "x", ca=None, fingerprints=(other, fingerprint(server.ca)))
    pinned.endpoint.close()
    with pytest.raises(ConfigError, match="ca of locations/bucket"):
        Bucket(server, "x", ca="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----")


def test_what_is_missing_on_this_machine_is_told_before(
    server: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = S3Keys(access_key_id="a", secret_access_key=SecretRef(file="gone"))
    with pytest.raises(ConfigError, match="gone"):
        Bucket(server, "x", auth=keys)
    token = S3Keys(
        access_key_id="a",
        secret_access_key=SecretRef(file="s3"),
        session_token=SecretRef(file="gone"),
    )
    with pytest.raises(ConfigError, match="gone"):
        Bucket(server, "x", auth=token)
    monkeypatch.setattr(s3_client, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"mftgit\[s3\]"):
        s3_client.prepare(server.location(), secrets_dir=server.secrets_dir, values={})


def test_both_sides_are_tried_without_a_trace(bucket: Bucket) -> None:
    here = bucket.location
    transfer = Transfer(
        name=TransferName("t"),
        source=Source(location=here.name, path="in"),
        destination=Destination(location=here.name, path="out/deep"),
        trigger=WatchTrigger(),
        after_success=AfterSuccess.KEEP,
    )
    bucket.put("in/a.csv")
    steps: list[Step] = []

    def open_endpoint(location: Any, passed: Any) -> S3Endpoint:
        return s3.connect(
            location, secrets_dir=bucket.server.secrets_dir, secrets={}, passed=passed
        )

    for attempt in (try_source, try_destination):
        attempt(transfer, here, open_endpoint=open_endpoint, clock=SystemClock(), tell=steps.append)
    assert [each.error for each in steps] == [None] * len(steps)
    assert {"read secrets", "look into the bucket", "list", "read", "rename", "remove"} <= {
        each.step for each in steps
    }
    assert bucket.listed() == ["in/a.csv"]


# servers that mean no good


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def asked(server: S3Store, certificate: Path) -> Any:
    """Return a location at a port of this machine, whoever is there."""

    def location(port: int, **options: Any) -> S3Location:
        return server.location(
            endpoint=f"https://127.0.0.1:{port}",
            ca=authority_of(certificate),
            **({"timeout_s": 20.0} | options),
        )

    return location


def error(status: str, code: str, message: str = "why") -> bytes:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return answer(status, body.encode())


def listing(inner: str) -> bytes:
    end = "" if "<IsTruncated>" in inner else "<IsTruncated>false</IsTruncated>"
    return answer("200 OK", f"<ListBucketResult>{inner}{end}</ListBucketResult>".encode())


@pytest.mark.parametrize(
    ("told", "kind", "match"),
    [
        (error("403 Forbidden", "InvalidAccessKeyId"), LoginError, "auth"),
        (error("403 Forbidden", "SignatureDoesNotMatch"), LoginError, "auth"),
        (error("400 Bad Request", "ExpiredToken"), LoginError, "session has ended"),
        (error("403 Forbidden", "AccessDenied"), EndpointRefusedError, "right to"),
        (error("403 Forbidden", "RequestTimeTooSkewed"), EndpointRefusedError, "clock"),
        (error("404 Not Found", "NoSuchBucket"), EndpointRefusedError, "no such bucket"),
        (error("500 Oops", "InternalError"), EndpointLostError, "InternalError"),
        (error("503 Slow", "SlowDown"), SlowDownError, "SlowDown"),
        (error("507 Full", "Whatever"), EndpointFullError, "room"),
        (error("418 Teapot", "Strange", "x" * 9999), EndpointRefusedError, "Strange"),
        (answer("200 OK", b"<html>a login page"), EndpointLostError, "500"),
        (answer("204 No Content"), EndpointLostError, "is whole"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", EndpointLostError, "does not answer"),
        (b"", EndpointLostError, "does not answer"),
    ],
    ids=lambda _: "",
)
def test_what_a_store_says_is_wrong_is_told_in_our_words(
    server: S3Store, certificate: Path, asked: Any, told: bytes, kind: type[MftgitError], match: str
) -> None:
    with scripted(certificate, told) as script, pytest.raises(kind, match=match) as caught:
        s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})
    assert len(str(caught.value)) < 1000
    assert "a secret of the store" not in str(caught.value)


def test_nobody_is_followed_to_another_region(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    with scripted(certificate, listing("")) as elsewhere:
        moved = answer(
            "301 Moved",
            b"<Error><Code>PermanentRedirect</Code>"
            b"<Endpoint>127.0.0.1:%d</Endpoint></Error>" % elsewhere.port,
            "x-amz-bucket-region: eu-evil-1",
            f"Location: https://127.0.0.1:{elsewhere.port}/",
        )
        with (
            scripted(certificate, moved) as script,
            pytest.raises(EndpointRefusedError, match="region"),
        ):
            s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})
        assert elsewhere.asked == []


def test_an_answer_without_end_is_not_read_to_it(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b"HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>"
        while True:
            yield b"<Contents/>" * 6000
            sent += 66_000

    with (
        scripted(certificate, endless) as script,
        pytest.raises(EndpointRefusedError, match=str(MOST_BYTES)),
    ):
        s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})
    assert sent < 4 * MOST_BYTES


ENOUGH_BYTES = 64 << 20


def test_a_chunk_of_less_than_no_bytes_is_not_everything_that_comes(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    sent_bytes = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent_bytes
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n"
        for _ in range(ENOUGH_BYTES >> 20):
            yield bytes(1 << 20)
            sent_bytes += 1 << 20

    with (
        scripted(certificate, endless, error("403 Forbidden", "AccessDenied")) as script,
        pytest.raises(EndpointRefusedError, match="AccessDenied"),
    ):
        s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})
    assert sent_bytes < ENOUGH_BYTES


@pytest.mark.parametrize(
    "begins", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"]
)
def test_an_answer_that_comes_byte_by_byte_comes_to_its_end_in_time(
    server: S3Store, certificate: Path, asked: Any, begins: bytes
) -> None:
    clock = SetClock()

    def drip() -> Iterator[bytes]:
        yield begins
        for _ in range(30):
            clock.pass_s(100)
            Event().wait(0.02)
            yield b"x"

    with scripted(certificate, drip) as script:
        location = asked(script.port)
        with pytest.raises(EndpointLostError, match="in time"):
            s3.connect(location, secrets_dir=server.secrets_dir, secrets={}, clock=clock)


@pytest.mark.parametrize(
    "inside",
    ['<a:b xmlns:a="' + "x'" * 2000 + '"/>', "<a:b xmlns:a = '" + "x" * 5000 + "'/>"],
    ids=range(2),
)
def test_a_short_answer_does_not_become_much_by_its_names(
    server: S3Store, certificate: Path, asked: Any, inside: str
) -> None:
    with (
        scripted(certificate, listing(inside)) as script,
        pytest.raises(EndpointLostError, match="is whole"),
    ):
        s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})


def test_names_without_end_are_not_held(
    server: S3Store, certificate: Path, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_objects, "_MOST_NAMES", 10)
    numbers = count()

    def page() -> Iterator[bytes]:
        number = next(numbers)
        more = f"<NextContinuationToken>{number}</NextContinuationToken><IsTruncated>true</IsTruncated>"
        yield listing(f"<Contents><Key>{number}</Key><Size>1</Size>{WHEN}</Contents>{more}")

    with (
        scripted(certificate, page) as script,
        closing(
            s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})
        ) as endpoint,
        pytest.raises(EndpointRefusedError, match="more than 10 names"),
    ):
        endpoint.list_names(".")


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><ListBucketResult><Name>&i;</Name></ListBucketResult>"
)
ONE = "<Contents><Key>bucket-path/{}</Key>{}</Contents>"
WHEN = "<LastModified>2026-01-01T00:00:00Z</LastModified>"


@pytest.mark.parametrize(
    "told",
    [
        listing("<IsTruncated>true</IsTruncated>"),
        listing("<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"),
        listing(ONE.format("a", f"<Size>-1</Size>{WHEN}")),
        listing(ONE.format("a", f"<Size>many</Size>{WHEN}")),
        listing(ONE.format("a", "<Size>1</Size><LastModified>yesterday</LastModified>")),
        listing(ONE.format("a", "<Size>1</Size>")),
        answer("200 OK", BOMB.encode()),
    ],
    ids=["no token", "one token", "size", "no number", "no date", "no time", "bomb"],
)
def test_a_list_that_cannot_be_is_refused(
    server: S3Store, certificate: Path, asked: Any, told: bytes
) -> None:
    with scripted(certificate, listing(""), told) as script:
        location = asked(script.port, path="bucket-path")
        with (
            closing(s3.connect(location, secrets_dir=server.secrets_dir, secrets={})) as endpoint,
            pytest.raises((EndpointRefusedError, EndpointLostError)),
        ):
            list(endpoint.list_files(".", recursive=True))


def test_keys_that_were_not_asked_for_are_passed_over(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    foreign = f"<Contents><Key>elsewhere/b</Key><Size>1</Size>{WHEN}</Contents>"
    told = listing(foreign + ONE.format("a", f"<Size>1</Size>{WHEN}"))
    with scripted(certificate, told) as script:
        location = asked(script.port, path="bucket-path")
        with closing(s3.connect(location, secrets_dir=server.secrets_dir, secrets={})) as endpoint:
            assert [each.path for each in endpoint.list_files(".", recursive=True)] == ["a"]


DATED = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT"


def read_of(
    server: S3Store, certificate: Path, asked: Any, *told: Answer
) -> tuple[bytes, list[str]]:
    with (
        scripted(certificate, listing(""), *told) as script,
        closing(
            s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})
        ) as endpoint,
        endpoint.open_read("a") as stream,
    ):
        return stream.read(), script.asked


def test_a_read_that_is_cut_short_goes_on_where_it_was(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    content, requests = read_of(
        server,
        certificate,
        asked,
        answer("200 OK", b"01234", DATED, 'ETag: "e"', length=10),
        answer("206 Partial Content", b"56789", DATED, 'ETag: "e"', "Content-Range: bytes 5-9/10"),
    )
    assert content == b"0123456789"
    assert "Range: bytes=5-" in requests[-1]
    assert 'If-Match: "e"' in requests[-1]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        (answer("200 OK", b"01234", DATED, 'ETag: "e"', length=10), EndpointLostError),
        (answer("412 Other", b"<Error><Code>PreconditionFailed</Code></Error>"), EndpointBusyError),
        (answer("404 Gone", b"<Error><Code>NoSuchKey</Code></Error>"), FileMissingError),
    ],
    ids=["from the beginning", "replaced", "gone"],
)
def test_a_read_that_cannot_go_on_is_no_whole_file(
    server: S3Store, certificate: Path, asked: Any, more: bytes, kind: type[MftgitError]
) -> None:
    first = answer("200 OK", b"01234", DATED, 'ETag: "e"', length=10)
    with pytest.raises(kind):
        read_of(server, certificate, asked, first, more)


def test_a_store_that_keeps_other_bytes_than_it_was_sent_is_found(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    taken, refused = answer("200 OK"), error("412 No", "PreconditionFailed")
    short = answer("200 OK", b"", DATED, length=3)
    told = [listing(""), taken, refused, answer("204 No Content"), taken, short]
    with (
        scripted(certificate, *told) as script,
        closing(
            s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})
        ) as endpoint,
        pytest.raises(EndpointLostError, match="3 bytes after 4"),
    ):
        endpoint.write("a", iter([b"four"]), on_chunk=lambda _: None)


def test_parts_that_were_not_put_together_are_no_file(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    """The store says 200 first, and that it failed in what follows (S3 API, CompleteMultipartUpload)."""
    begun = answer("200 OK", b"<R><UploadId>u</UploadId></R>")
    taken, refused = answer("200 OK", b"", 'ETag: "p"'), error("412 No", "PreconditionFailed")
    failed = error("200 OK", "InternalError")
    told = [listing(""), taken, refused, answer("204 x"), begun, taken, taken, failed]
    with (
        scripted(certificate, *told, answer("204 x")) as script,
        closing(
            s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})
        ) as endpoint,
    ):
        with pytest.raises(EndpointLostError, match="InternalError"):
            endpoint.write("a", iter([bytes(9 * MIB)]), on_chunk=lambda _: None)
        assert script.asked[-1].startswith("DELETE /exchange/a?uploadId=u")


def test_who_waits_for_a_silent_store_is_told_when_the_endpoint_is_closed(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    caught: list[BaseException] = []
    with scripted(certificate) as script:
        location = asked(script.port, timeout_s=600.0)
        login = s3_client.prepare(location, secrets_dir=server.secrets_dir, values={})
        endpoint = S3Endpoint(location, s3_client.Store(location, login))

        def wait() -> None:
            try:
                endpoint.stat("a")
            except MftgitError as error:
                caught.append(error)

        waiting = Thread(target=wait)
        waiting.start()
        assert script.silent.wait(60)
        endpoint.close()
        waiting.join(60)
        assert not waiting.is_alive()
    assert isinstance(caught[0], EndpointLostError)
    assert not endpoint.is_open
    assert not endpoint.is_alive()
    with suppress(EndpointLostError):
        endpoint.stat("a")
    endpoint.close()


def test_who_waits_for_the_rest_of_a_file_is_told_when_the_endpoint_is_closed(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    over, caught = Event(), list[BaseException]()

    def half() -> Iterator[bytes]:
        yield answer("200 OK", b"01234", DATED, 'ETag: "e"', length=10)
        over.wait(60)

    with scripted(certificate, listing(""), half) as script:
        location = asked(script.port, timeout_s=600.0)
        endpoint = s3.connect(location, secrets_dir=server.secrets_dir, secrets={})
        reading = Event()

        def read() -> None:
            try:
                with endpoint.open_read("a") as stream:
                    assert stream.read(5) == b"01234"
                    reading.set()
                    stream.read(5)
            except MftgitError as error:
                caught.append(error)

        thread = Thread(target=read)
        thread.start()
        assert reading.wait(60)
        Event().wait(0.2)
        endpoint.close()
        thread.join(60)
        told = list(caught)
        over.set()
        thread.join()
    assert [type(each) for each in told] == [EndpointLostError]


def test_an_object_that_changes_while_it_is_renamed_is_left_alone(
    server: S3Store, certificate: Path, asked: Any
) -> None:
    found = answer("200 OK", b"", DATED, 'ETag: "e"', length=3)
    told = [listing(""), found, error("412 No", "PreconditionFailed")]
    with (
        scripted(certificate, *told) as script,
        closing(
            s3.connect(asked(script.port), secrets_dir=server.secrets_dir, secrets={})
        ) as endpoint,
    ):
        with pytest.raises(EndpointBusyError, match="'old'"):
            endpoint.rename("old", "new", replace=True)
        assert 'x-amz-copy-source-if-match: "e"' in script.asked[-1]
        assert len(script.asked) == 3


ROLE = {
    "Code": "Success",
    "AccessKeyId": "ROLE",
    "SecretAccessKey": "secret",
    "Token": "of-the-session",
    "Expiration": "2999-01-01T00:00:00Z",
}


def test_a_machine_logs_in_by_its_role(
    server: S3Store, certificate: Path, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [answer("200 OK", b"token"), answer("200 OK", b"role")]
    monkeypatch.setattr(s3_client, "_ROLE_S", 60.0)  # the machine may be busy
    with (
        scripted(None, *told, answer("200 OK", json.dumps(ROLE).encode())) as service,
        scripted(certificate, listing("")) as store,
    ):
        monkeypatch.setattr(s3_client, "_ROLE_URL", f"http://127.0.0.1:{service.port}/")
        location = asked(store.port, auth=Machine.INSTANCE)
        s3.connect(location, secrets_dir=server.secrets_dir, secrets={}).close()
        assert service.asked[0].startswith("PUT /latest/api/token")  # version 2 only
    assert "Credential=ROLE/" in store.asked[0]
    assert "X-Amz-Security-Token: of-the-session" in store.asked[0]


def test_a_machine_asks_no_proxy_for_its_role(
    server: S3Store, certificate: Path, asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [answer("200 OK", b"token"), answer("200 OK", b"role")]
    monkeypatch.setattr(s3_client, "_ROLE_S", 60.0)  # the machine may be busy
    with (
        scripted(None, *told, answer("200 OK", json.dumps(ROLE).encode())) as service,
        scripted(None, answer("502 Bad Gateway")) as proxy,
        scripted(certificate, listing("")) as store,
    ):
        through = f"http://127.0.0.1:{proxy.port}"
        for name, value in {"http_proxy": through, "all_proxy": through, "no_proxy": ""}.items():
            monkeypatch.setenv(name, value)
            monkeypatch.setenv(name.upper(), value)
        monkeypatch.setattr(s3_client, "_ROLE_URL", f"http://127.0.0.1:{service.port}/")
        location = asked(store.port, auth=Machine.INSTANCE)
        s3.connect(location, secrets_dir=server.secrets_dir, secrets={}).close()
        assert proxy.asked == []


def test_a_machine_without_a_role_logs_in_nowhere(
    server: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted(None, answer("404 Not Found")) as service:
        monkeypatch.setattr(s3_client, "_ROLE_URL", f"http://127.0.0.1:{service.port}/")
        with pytest.raises(LoginError, match="role"):
            Bucket(server, "x", auth=Machine.INSTANCE)
        assert [each.split(" ")[0] for each in service.asked] == ["PUT"]
