"""What is written down of a delivery is read by another member, under another revision, and means the same place."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.configuration.config import (
    ActiveOn,
    AfterSuccess,
    Cluster,
    Generation,
    Member,
    Overwrite,
    Ownership,
    Role,
)
from mftgit.model.keys.algorithms import Algorithms
from mftgit.model.locations.location import Client, Jump, LocalLocation, Location, SftpLocation
from mftgit.model.locations.login import KeyAuth, PasswordAuth, SecretRef
from mftgit.model.names import Epoch, LocationName, MemberName, Revision, SecretName, TransferName
from mftgit.model.transfers.checksum import ChecksumFormat, Expected, Sidecar
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.intent import Intent, Place, format_intents, parse_intents
from mftgit.model.transfers.run import DeliveryState

HERE, THERE = LocationName("here"), LocationName("there")
ONE, TWO = MemberName("one"), MemberName("two")

texts = st.text(max_size=20)
names = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
secrets = names.map(SecretName)
references = st.builds(SecretRef, file=texts) | st.builds(SecretRef, secret=secrets)
beside = {
    "passphrase": st.none() | references,
    "certificate": st.none() | texts | references,
}
auths = (
    st.builds(PasswordAuth, file=texts)
    | st.builds(KeyAuth, file=texts, **beside)
    | st.builds(PasswordAuth, secret=secrets)
    | st.builds(KeyAuth, secret=secrets, **beside)
)
locations = st.builds(LocalLocation, name=names.map(LocationName), path=texts) | st.builds(
    SftpLocation,
    name=names.map(LocationName),
    host=texts,
    port=st.integers(1, 65535),
    username=texts,
    path=texts,
    host_keys=st.lists(texts, max_size=3).map(tuple),
    host_ca=st.lists(texts, max_size=3).map(tuple),
    auth=st.lists(auths, max_size=3).map(tuple),
    jump=st.none()
    | st.builds(
        Jump,
        host=texts,
        port=st.integers(1, 65535),
        username=texts,
        host_keys=st.lists(texts, max_size=2).map(tuple),
        auth=st.lists(auths, max_size=2).map(tuple),
    ),
    client=st.sampled_from(Client),
    legacy=st.booleans(),
    algorithms=st.builds(Algorithms, ciphers=st.lists(texts, max_size=3).map(tuple)),
    timeout_s=st.floats(1, 600),
    connect_timeout_s=st.none() | st.floats(1, 600),
    keepalive_s=st.integers(0, 600),
    flush=st.booleans(),
    bytes_per_s=st.none() | st.integers(1024),
    idle_s=st.floats(0, 600),
    max_connections=st.integers(1, 64),
)
places = st.builds(Place, location=locations, alike=st.booleans())
scopes = st.builds(
    ActiveOn,
    roles=st.frozensets(st.sampled_from(Role)),
    members=st.frozensets(names.map(MemberName), max_size=3),
    labels=st.dictionaries(names, texts, max_size=3).map(lambda each: frozenset(each.items())),
)
intents = st.builds(
    Intent,
    id=texts.map(ClaimId),
    state=st.sampled_from(DeliveryState),
    transfer=names.map(TransferName),
    ownership=st.sampled_from(Ownership),
    active_on=scopes,
    path=st.text(st.characters(), max_size=20),
    source=places,
    source_folder=texts,
    destination=places,
    destination_folder=texts,
    temporary=texts,
    final=texts,
    overwrite=st.sampled_from(Overwrite),
    after=st.sampled_from(AfterSuccess),
    archive_path=st.none() | texts,
    sidecar=st.none() | st.builds(Sidecar, suffix=texts, format=st.sampled_from(ChecksumFormat)),
    expected=st.none()
    | st.builds(Expected, suffix=texts, digest=st.sampled_from(["a" * 32, "b" * 64, "c" * 128])),
    size_bytes=st.integers(0),
    mtime_ns=st.integers(),
    sha256=texts,
    source_bytes=st.none() | st.integers(0),
    claimed=st.none() | st.tuples(st.integers(0), st.integers()),
    started_at=texts,
    member=names.map(MemberName),
    epoch=st.integers(1).map(Epoch),
    revision=st.none() | st.just(Revision("a" * 40)),
)


@given(st.lists(intents, min_size=1, max_size=4))
def test_records_are_read_as_they_were_written(written: list[Intent]) -> None:
    assert parse_intents(format_intents(written)) == written


@given(intents)
def test_what_an_older_member_does_not_know_is_written_only_where_it_tells_something(
    intent: Intent,
) -> None:
    (line,) = format_intents([intent]).splitlines()
    assert ("source_bytes" in json.loads(line)) is (intent.source_bytes is not None)
    assert ("sidecar" in json.loads(line)) is (intent.sidecar is not None)
    assert ("expected" in json.loads(line)) is (intent.expected is not None)
    assert ("claimed" in json.loads(line)) is (intent.claimed is not None)


@given(intents)
def test_a_record_with_a_field_that_a_later_version_has_added_is_refused_and_not_misread(
    intent: Intent,
) -> None:
    """So a member that knows of no claims by record leaves such a record alone."""
    fields = json.loads(format_intents([intent])) | {"of_a_later_version": [1, 2]}
    with pytest.raises(ValueError, match="not a record"):
        parse_intents(json.dumps(fields).encode())


@given(intents)
def test_a_file_stays_where_it_is_kept_or_claimed_by_its_record_alone(intent: Intent) -> None:
    keeps = intent.after is AfterSuccess.KEEP
    assert intent.stays is (keeps or intent.claimed is not None)


@given(intents, st.sampled_from([[1], [1, 2, 3], ["1", 2], [1, None], "12", 3, {}]))
def test_a_record_that_claims_no_size_and_time_is_none(intent: Intent, claimed: object) -> None:
    fields = json.loads(format_intents([intent])) | {"claimed": claimed}
    with pytest.raises(ValueError):  # noqa: PT011  Python has its own texts
        parse_intents(json.dumps(fields).encode())


@given(intents)
def test_a_record_that_expects_no_digest_is_none(intent: Intent) -> None:
    wrong = dataclasses.replace(intent, expected=Expected(suffix=".x", digest="abc"))
    with pytest.raises(ValueError, match="is no digest"):
        parse_intents(format_intents([wrong]))


@given(intents, texts)
def test_of_a_further_record_only_what_differs_is_written(intent: Intent, path: str) -> None:
    other = dataclasses.replace(
        intent, path=f"{intent.path}{path}x", size_bytes=intent.size_bytes + 1
    )
    _, line = format_intents([intent, other]).splitlines()
    assert json.loads(line).keys() == {"path", "size_bytes"}


@given(intents, st.data())
def test_a_record_that_lacks_a_field_is_none(intent: Intent, data: st.DataObject) -> None:
    fields = json.loads(format_intents([intent]))
    required = [each.name for each in dataclasses.fields(Intent) if each.name not in DEFAULTED]
    del fields[data.draw(st.sampled_from(required))]
    with pytest.raises(ValueError, match="not a record"):
        parse_intents(json.dumps(fields).encode())


DEFAULTED = {
    each.name for each in dataclasses.fields(Intent) if each.default is not dataclasses.MISSING
}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b'"x"', b"{}", b"{", b"\xff", b"[" * 99999]
)
def test_what_is_no_record_is_told(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  JSON has its own texts
        parse_intents(content)


def local(path: str, *, name: LocationName = THERE) -> LocalLocation:
    return LocalLocation(name=name, path=path)


def sftp(host: str = "sftp.example", *, key: str = "SHA256:a", username: str = "u") -> SftpLocation:
    return SftpLocation(name=THERE, host=host, username=username, host_keys=(key,), auth=())


def generation(*mine: Location, me: MemberName = ONE, **elsewhere: Location) -> Generation:
    return Generation(
        cluster=Cluster(name="c"),
        member=Member(name=me, role=Role.NODE),
        locations={each.name: each for each in mine},
        elsewhere={MemberName(name): {each.name: each} for name, each in elsewhere.items()},
    )


def test_the_same_address_behind_another_jump_host_is_another_place() -> None:
    jump = Jump(host="Bastion", username="u", host_keys=(), auth=())
    behind = dataclasses.replace(sftp(), jump=jump)
    place = Place.of(behind, generation(behind))
    again = dataclasses.replace(
        sftp(), jump=dataclasses.replace(jump, host="bastion", username="v")
    )
    assert place.find(generation(again), writer=TWO) == again
    for other in (sftp(), dataclasses.replace(sftp(), jump=dataclasses.replace(jump, port=23))):
        assert place.find(generation(other), writer=TWO) == behind


def test_a_place_is_entered_by_the_keys_of_today() -> None:
    was, now = sftp(), sftp("SFTP.example", key="SHA256:b")
    place = Place.of(was, generation(was))
    assert place.find(generation(now), writer=TWO) == now


@pytest.mark.parametrize("now", [sftp("other.example"), sftp(username="v"), local("x")])
def test_a_place_that_is_not_configured_any_more_is_used_as_it_was(now: Location) -> None:
    place = Place.of(sftp(), generation(sftp()))
    assert place.find(generation(now), writer=TWO) == sftp()


def test_a_location_that_was_renamed_is_the_same_place_and_its_own_name_comes_first() -> None:
    place = Place.of(local("x"), generation(local("x")))
    renamed = local("x", name=HERE)
    assert place.find(generation(renamed), writer=TWO) == renamed
    assert place.find(generation(renamed, local("x")), writer=TWO) == local("x")


def test_what_the_writer_has_otherwise_is_found_where_this_member_has_it() -> None:
    of_one = generation(local("/mnt/one"), two=local("/mnt/two"))
    place = Place.of(local("/mnt/one"), of_one)
    assert not place.alike
    of_two = generation(local("/mnt/two"), me=TWO, one=local("/mnt/one"))
    assert place.find(of_two, writer=ONE) == local("/mnt/two")


def test_a_place_that_differs_and_is_configured_no_more_is_known_to_its_writer_alone() -> None:
    place = Place.of(local("/mnt/one"), generation(local("/mnt/one"), two=local("/mnt/two")))
    assert place.find(generation(local("/new"), me=TWO), writer=ONE) is None
    assert place.find(generation(local("/new")), writer=ONE) == local("/mnt/one")
