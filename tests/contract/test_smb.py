"""A real Samba server: what it refuses and what we refuse of it, losses, locks, names, and whole transfers."""

import io
import os
import shutil
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest
from outbound_site import LARGE, SOURCE, TARGET, Owner, Site, site
from samba import PASSWORD, SHARE, Samba, running_samba
from small_disk import small_disk
from smb_between import COMMAND, FLAGS, NEGOTIATE, SIGNED, meddler
from waiting import until

from mftgit.adapters.endpoint.contract import (
    Content,
    Endpoint,
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileMissingError,
    LoginError,
    Traits,
)
from mftgit.adapters.smb import endpoint as smb
from mftgit.adapters.smb import requests
from mftgit.adapters.smb.connect import STAGES, open_share
from mftgit.adapters.smb.endpoint import SmbEndpoint, connect
from mftgit.adapters.smb.share import Share
from mftgit.errors import MftgitError
from mftgit.model.configuration.config import AfterSuccess, Preserve, Verify
from mftgit.model.locations.location import Location
from mftgit.model.locations.smb import SmbLocation
from mftgit.model.names import LocationName

pytestmark = pytest.mark.needs("smbd")


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    with running_samba(tmp_path_factory.mktemp("samba")) as server:
        yield server


@pytest.fixture
def endpoint(samba: Samba) -> Iterator[SmbEndpoint]:
    for each in samba.folder.iterdir():
        each.unlink()
    with opened(samba) as made:
        yield made


def opened(
    server: Samba, location: SmbLocation | None = None
) -> AbstractContextManager[SmbEndpoint]:
    return closing(connect(location or server.location(), secrets_dir=server.secrets_dir))


def silent(_: int) -> None:
    pass


@contextmanager
def raw_share(server: Samba) -> Iterator[Share]:
    """Give another client's session, to ask for what an endpoint never asks for."""
    share = open_share(
        server.location(), secrets_dir=server.secrets_dir, values={}, passed=lambda _: None
    )
    with closing(share):
        yield share


def held(share: Share, name: str, *, access: int, others: int) -> None:
    share.ask(
        requests.open_(
            name,
            access=access,
            disposition=requests.OPEN,
            options=requests.FILE,
            share=others,
        )
    )


def is_free(endpoint: SmbEndpoint, path: str) -> bool:
    with suppress(EndpointBusyError), endpoint.open_read(path):
        return True
    return False


def test_each_stage_is_told_as_it_is_done(samba: Samba) -> None:
    told: list[str] = []
    endpoint = connect(samba.location(), secrets_dir=samba.secrets_dir, passed=told.append)
    assert told == list(STAGES)
    assert (endpoint.is_open, endpoint.is_alive()) == (True, True)
    endpoint.close()
    assert (endpoint.is_open, endpoint.is_alive()) == (False, False)


@pytest.mark.parametrize("wrong", ["password", "username"])
def test_a_wrong_user_or_password_is_told_without_it(
    samba: Samba, tmp_path: Path, wrong: str
) -> None:
    location, secrets = samba.location(), samba.secrets_dir
    if wrong == "password":
        secrets = tmp_path
        (secrets / "password").write_text("not this one", encoding="utf-8")
        (secrets / "password").chmod(0o600)
    else:
        location = samba.location(username="nobody-here", domain="ELSEWHERE")
    with pytest.raises(LoginError, match=r"user or password is wrong.*locations/partner") as caught:
        connect(location, secrets_dir=secrets)
    assert "not this one" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_server_that_lets_everybody_in_as_a_guest_is_refused(tmp_path: Path) -> None:
    guests = ("map to guest = bad user",)
    with (
        running_samba(tmp_path, options=guests, share=("guest ok = yes",)) as server,
        pytest.raises(LoginError, match="as a guest"),
    ):
        connect(server.location(username="nobody-here"), secrets_dir=server.secrets_dir)


def test_a_share_that_is_not_there_or_not_for_us_is_named(samba: Samba, tmp_path: Path) -> None:
    with pytest.raises(EndpointRefusedError, match="has no share 'elsewhere'"):
        connect(samba.location(share="elsewhere"), secrets_dir=samba.secrets_dir)
    with (
        running_samba(tmp_path, share=("valid users = nobody",)) as server,
        pytest.raises(EndpointRefusedError, match=r"does not let .* use the share"),
    ):
        connect(server.location(), secrets_dir=server.secrets_dir)


def test_a_share_that_may_not_be_written_to_says_so(tmp_path: Path) -> None:
    with (
        running_samba(tmp_path, share=("read only = yes",)) as server,
        opened(server) as endpoint,
    ):
        (server.folder / "a").write_bytes(b"1")
        with endpoint.open_read("a") as stream:
            assert stream.read() == b"1"
        for call in (
            lambda: endpoint.write("b", iter([b"1"]), on_chunk=silent),
            lambda: endpoint.remove("a"),
            lambda: endpoint.make_folder("folder"),
        ):
            with pytest.raises(EndpointRefusedError, match="access denied"):
                call()


def test_a_share_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    with (
        running_samba(tmp_path, share=("msdfs root = yes",)) as server,
        pytest.raises(EndpointRefusedError, match="DFS, which is not followed"),
    ):
        connect(server.location(), secrets_dir=server.secrets_dir)


def test_a_location_that_is_no_folder_of_the_share_is_missing(samba: Samba) -> None:
    with opened(samba, samba.location(path="/not/there")) as endpoint:
        with pytest.raises(FileMissingError):
            endpoint.list_names(".")
        with pytest.raises(FileMissingError):
            endpoint.write("a", iter([b"1"]), on_chunk=silent)


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        (["server min protocol = SMB2_02", "server max protocol = SMB2_10"], EndpointRefusedError),
        (["server min protocol = NT1", "server max protocol = NT1"], EndpointLostError),
    ],
    ids=["SMB 2", "SMB 1"],
)
def test_a_server_without_smb_3_is_not_talked_to(
    tmp_path: Path, options: Sequence[str], refused: type[Exception]
) -> None:
    with (
        running_samba(tmp_path, options=options) as server,
        pytest.raises(refused, match="SMB 3"),
    ):
        connect(server.location(encrypt=False), secrets_dir=server.secrets_dir)


def test_a_server_without_encryption_is_not_talked_to_unless_that_is_said(tmp_path: Path) -> None:
    with running_samba(tmp_path, options=["server smb encrypt = off"]) as server:
        with pytest.raises(EndpointRefusedError, match="has no encryption"):
            connect(server.location(), secrets_dir=server.secrets_dir)
        with opened(server, server.location(encrypt=False)) as endpoint:
            assert endpoint.write("a", iter([b"in plain"]), on_chunk=silent) == 8


@pytest.mark.parametrize("most", ["SMB3_00", "SMB3_02", "SMB3_11"])
@pytest.mark.parametrize("encrypt", [True, False])
def test_each_dialect_of_smb_3_is_spoken(tmp_path: Path, most: str, encrypt: bool) -> None:  # noqa: FBT001
    with (
        running_samba(tmp_path, options=[f"server max protocol = {most}"]) as server,
        opened(server, server.location(encrypt=encrypt)) as endpoint,
    ):
        content = os.urandom(1_000_001)
        assert endpoint.write("a", iter([content]), on_chunk=silent) == len(content)
        with endpoint.open_read("a") as stream:
            assert b"".join(iter(lambda: stream.read(1 << 20), b"")) == content


@pytest.mark.parametrize("most", [4, 16, 60])
def test_no_more_is_on_the_way_than_the_server_gives_credit_for(tmp_path: Path, most: int) -> None:
    with (
        running_samba(tmp_path, options=[f"smb2 max credits = {most}"]) as server,
        opened(server) as endpoint,
    ):
        content = os.urandom(3_000_001)
        assert endpoint.write("a", iter([content]), on_chunk=silent) == len(content)
        with endpoint.open_read("a") as stream:
            assert stream.read(10) == content[:10]
            assert endpoint.stat("a").size_bytes == len(content)
            assert b"".join(iter(lambda: stream.read(1 << 20), b"")) == content[10:]
        files = [(str(number), content[: number * 5_000]) for number in range(40)]
        assert endpoint.write_all(files) == [len(each) for _, each in files]
        found = endpoint.read_all([name for name, _ in files], most_bytes=1 << 20)
        assert [each.data for each in found if isinstance(each, Content)] == [
            each for _, each in files
        ]


def test_a_share_that_wants_encryption_gets_it(tmp_path: Path) -> None:
    seen: list[bytes] = []
    with (
        running_samba(tmp_path, share=["server smb encrypt = required"]) as server,
        meddler(server.port, lambda message: seen.append(bytes(message[:4]))) as port,
        opened(server, server.location(encrypt=False, port=port)) as endpoint,
    ):
        seen.clear()
        endpoint.write("a", iter([b"1"]), on_chunk=silent)
        assert set(seen) == {b"\xfdSMB"}


def unsigned(message: bytearray) -> None:
    message[FLAGS] &= ~SIGNED
    message[48:64] = bytes(16)


def forged(message: bytearray) -> None:
    message[-1] ^= 1


def other_command(message: bytearray) -> None:
    unsigned(message)
    message[COMMAND] = 1  # SESSION_SETUP, whose answers are not signed while there is no key


@pytest.mark.parametrize("change", [unsigned, forged, other_command])
def test_an_answer_that_somebody_changed_on_the_way_ends_the_connection(
    samba: Samba, change: Callable[[bytearray], None]
) -> None:
    on = Event()

    def meddle(message: bytearray) -> None:
        if on.is_set():
            change(message)

    with (
        meddler(samba.port, meddle) as port,
        opened(samba, samba.location(encrypt=False, port=port)) as endpoint,
    ):
        assert endpoint.list_names(".") is not None
        on.set()
        with pytest.raises(EndpointLostError, match=r"signature|was not sent"):
            endpoint.list_names(".")
        assert not endpoint.is_open


def less_capable(message: bytearray) -> None:
    if message[COMMAND] == NEGOTIATE:
        message[88] &= ~0x40  # no encryption (MS-SMB2 2.2.4)


def older(message: bytearray) -> None:
    if message[COMMAND] == NEGOTIATE:
        message[68:70] = (0x0210).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("change", "refused"),
    [(less_capable, "Secure negotiate failed"), (older, "speaks no SMB 3")],
)
def test_what_somebody_on_the_way_takes_away_of_the_agreement_is_noticed(
    tmp_path: Path, change: Callable[[bytearray], None], refused: str
) -> None:
    with (
        running_samba(tmp_path, options=["server max protocol = SMB3_00"]) as server,
        meddler(server.port, change) as port,
        pytest.raises((EndpointLostError, EndpointRefusedError), match=refused),
    ):
        connect(server.location(encrypt=False, port=port), secrets_dir=server.secrets_dir)


def in_plain_text(command: int, number: int) -> bytes:
    """Return the header of an answer that is neither encrypted nor signed (MS-SMB2 2.2.1.2)."""
    return struct.pack(
        "<4sHHIHHIIQQQ16s", b"\xfeSMB", 64, 0, 0, command, 1, 1, 0, number, 0, 0, b""
    )


def test_an_answer_in_plain_text_ends_a_connection_that_is_encrypted(samba: Samba) -> None:
    create, on = 5, Event()

    def meddle(message: bytearray) -> None:
        if on.is_set():
            answer = in_plain_text(create, number) + bytes(200)
            message[:] = answer[: len(message)]

    with (
        meddler(samba.port, meddle) as port,
        opened(samba, samba.location(port=port)) as endpoint,
    ):
        number = endpoint._share._connection.sequence_window["low"]
        on.set()
        with pytest.raises(EndpointLostError, match="in plain text"):
            endpoint.stat("a")


def test_a_server_that_is_killed_in_the_middle_of_a_file_is_lost(tmp_path: Path) -> None:
    with running_samba(tmp_path) as server, opened(server) as endpoint:

        def chunks() -> Iterator[bytes]:
            yield b"x" * 1_000_000
            server.kill()
            while True:
                yield b"x" * 1_000_000

        with pytest.raises(EndpointLostError, match=r"'a\.part'"):
            endpoint.write("a.part", chunks(), on_chunk=silent)
        with pytest.raises(EndpointLostError, match="connect again"):
            endpoint.stat("a.part")
        with pytest.raises(EndpointLostError, match="cannot be reached"):
            connect(server.location(), secrets_dir=server.secrets_dir)


def test_a_server_that_stands_still_is_lost_after_its_time(tmp_path: Path) -> None:
    with (
        running_samba(tmp_path) as server,
        opened(server, server.location(timeout_s=5)) as endpoint,
    ):
        server.stop()
        with pytest.raises(EndpointLostError, match="no answer within 5 s"):
            endpoint.stat("a")
        with pytest.raises(EndpointLostError, match="no answer within 1 s"):
            connect(server.location(timeout_s=1), secrets_dir=server.secrets_dir)


def test_closing_wakes_who_waits_for_an_answer(tmp_path: Path) -> None:
    with running_samba(tmp_path) as server, opened(server) as endpoint:
        server.stop()
        ended: list[Exception] = []

        def wait() -> None:
            try:
                endpoint.stat("a")
            except EndpointLostError as error:
                ended.append(error)

        waiting = Thread(target=wait)
        waiting.start()
        endpoint.close()
        waiting.join()
        assert "closed" in str(ended[0])


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    with (
        small_disk(folder, mib=4),
        running_samba(tmp_path / "samba", folder=folder) as server,
        opened(server) as endpoint,
    ):
        with pytest.raises(EndpointFullError, match="full"):
            endpoint.write("a", iter([bytes(500_000)] * 12), on_chunk=silent)
        endpoint.remove("a")
        ended = endpoint.write_all((f"{number}", bytes(150_000)) for number in range(30))
        assert {type(each) for each in ended} == {int, EndpointFullError}
        fine = [str(number) for number, each in enumerate(ended) if isinstance(each, int)]
        assert [each for each in endpoint.stat_all(fine) if isinstance(each, MftgitError)] == []
        assert set(endpoint.remove_all(endpoint.list_names("."))) == {None}
        assert endpoint.write("b", iter([b"fits"]), on_chunk=silent) == 4


def test_a_file_that_somebody_has_open_is_left_until_later(
    samba: Samba, endpoint: SmbEndpoint
) -> None:
    endpoint.write("a", iter([b"1"]), on_chunk=silent)
    with raw_share(samba) as other:
        held(other, "a", access=requests.READ, others=0)
        with pytest.raises(EndpointBusyError, match="'a' to 'b': somebody else has it open"):
            endpoint.rename("a", "b", replace=False)
        with (
            pytest.raises(EndpointBusyError, match="has it open"),
            endpoint.open_read("a"),
        ):
            pass
        with pytest.raises(EndpointBusyError):
            endpoint.remove("a")
        endpoint.write("b", iter([b"free"]), on_chunk=silent)
        busy, free = endpoint.read_all(["a", "b"], most_bytes=10)
        assert isinstance(busy, EndpointBusyError)
        assert isinstance(free, Content)
        assert free.data == b"free"
        endpoint.remove("b")
    until(lambda: is_free(endpoint, "a"))  # once the server has noticed that the other one left
    with raw_share(samba) as other:
        held(other, "a", access=requests.WRITE, others=requests.ANY)
        with (
            pytest.raises(EndpointBusyError, match="has it open"),
            endpoint.open_read("a"),
        ):
            pass
        endpoint.rename("a", "b", replace=False)


def test_a_file_that_is_read_may_be_read_and_renamed_by_others(
    samba: Samba, endpoint: SmbEndpoint
) -> None:
    endpoint.write("a", iter([b"content"]), on_chunk=silent)
    with endpoint.open_read("a") as stream, opened(samba) as other:
        with other.open_read("a") as too:
            assert too.read() == b"content"
        other.rename("a", "b", replace=False)
        assert stream.read() == b"content"


def test_a_file_that_is_cut_short_while_it_is_read_is_not_taken_for_whole(
    samba: Samba, endpoint: SmbEndpoint
) -> None:
    content = os.urandom(12_000_000)
    (samba.folder / "a").write_bytes(content)
    some = bytearray(1000)
    with endpoint.open_read("a") as stream:
        assert isinstance(stream, io.RawIOBase)
        assert stream.readinto(some) == 1000
        os.truncate(samba.folder / "a", 9_000_001)
        with pytest.raises(
            EndpointLostError, match="'a': the file ended after 9000001 of 12000000"
        ):
            stream.read()
    assert some == content[:1000]


def test_a_file_that_is_written_may_be_gone_on_with_by_a_successor(
    samba: Samba, endpoint: SmbEndpoint
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"12"
        with opened(samba) as successor:
            successor.write("a", iter([b"345"]), on_chunk=silent, resume_at=0)
            successor.rename("a", "b", replace=False)

    with pytest.raises(EndpointFullError):
        endpoint.write("a", chunks(), on_chunk=silent)
    assert (samba.folder / "b").is_file()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a:b", "':'"),
        ("a\\b", "character"),
        ("tab\tin", "character"),
        ("dot.", "at the end"),
        ("Con.txt", "device"),
        ("m\udcfcnchen", "not Unicode"),
        ("📦" * 128, "longer"),
    ],
)
def test_a_name_that_windows_does_not_know_is_refused(
    endpoint: SmbEndpoint, name: str, why: str
) -> None:
    with pytest.raises(EndpointRefusedError, match=why):
        endpoint.write(f"in/{name}", iter([b"1"]), on_chunk=silent)
    assert endpoint.list_names(".") == []


def test_names_of_any_script_are_kept(samba: Samba, endpoint: SmbEndpoint) -> None:
    name = "münchen 📦 'q' #1 %20 日本.csv"
    endpoint.write(name, iter([b"1"]), on_chunk=silent)
    assert os.listdir(samba.folder) == [name]  # noqa: PTH208
    assert endpoint.list_names(".") == [name]


def test_times_are_set_and_told_to_100_ns(samba: Samba, endpoint: SmbEndpoint) -> None:
    (samba.folder / "a").write_bytes(b"1")
    at = 1_700_000_000_123_456_700
    assert endpoint.set_all([("a", Traits(mtime_ns=at, mode=0o600))]) == [None]
    assert (samba.folder / "a").stat().st_mtime_ns == at
    assert endpoint.stat("a").mtime_ns == at
    assert [entry.mtime_ns for entry in endpoint.list_files(".", recursive=True)] == [at]
    assert endpoint.set_all([("a", Traits(mode=0o600))]) == [None]
    assert isinstance(endpoint.set_all([("gone", Traits(mode=0o600))])[0], FileMissingError)
    assert endpoint.digest_all(["a", "gone"]) == [None, None]


def test_a_link_leads_nowhere_outside(samba: Samba, endpoint: SmbEndpoint, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"1")
    (samba.folder / "out").symlink_to(tmp_path)
    (samba.folder / "file").symlink_to(tmp_path / "secret")
    assert list(endpoint.list_files(".", recursive=True)) == []
    with pytest.raises((EndpointRefusedError, FileMissingError)):
        endpoint.stat("out/secret")
    with pytest.raises((EndpointRefusedError, FileMissingError)):
        endpoint.stat("file")
    for name in ("out", "file"):
        (samba.folder / name).unlink()


def test_reserved_names_are_passed_over_however_they_are_written(
    samba: Samba, endpoint: SmbEndpoint
) -> None:
    claim = samba.folder / ".MFTGIT" / "claims"
    claim.mkdir(parents=True)
    (claim / "a").touch()
    found = list(endpoint.list_files(".", recursive=True))
    (claim / "a").unlink()
    claim.rmdir()
    claim.parent.rmdir()
    assert found == []


def test_a_long_list_comes_in_several_answers(tmp_path: Path) -> None:
    names = {f"{number:05d}-{'x' * 100}.csv" for number in range(1_000)}
    with running_samba(tmp_path) as server, opened(server) as endpoint:
        for name in names:
            (server.folder / name).touch()
        assert {entry.path for entry in endpoint.list_files(".", recursive=False)} == names


def test_names_without_end_are_not_listed(
    samba: Samba, endpoint: SmbEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = samba.folder / "many"
    there.mkdir()
    for number in range(10):
        (there / f"{number}").touch()
    try:
        monkeypatch.setattr(smb, "_MOST_NAMES", 11)  # with those of the folder and the one above
        with pytest.raises(EndpointRefusedError, match="more than 11 names"):
            endpoint.list_names("many")
        monkeypatch.setattr(smb, "_MOST_NAMES", 12)
        assert len(endpoint.list_names("many")) == 10
    finally:
        shutil.rmtree(there)


def test_a_listing_goes_no_deeper_than_its_limit(samba: Samba, endpoint: SmbEndpoint) -> None:
    deep = samba.folder.joinpath(*["d"] * 34)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    (deep.parents[1] / "file").touch()
    found = [entry.path for entry in endpoint.list_files(".", recursive=True)]
    for each in [deep, *deep.parents[:33]]:
        for file in each.glob("file"):
            file.unlink()
        each.rmdir()
    assert found == ["/".join(["d"] * 32) + "/file"]


@pytest.mark.parametrize(
    "answer", [b"\xff\xff\xff\xff", b"\0\0\0\x40" + b"\xfeSMB" + bytes(60), b"SSH-2.0-x\r\n"]
)
def test_a_server_that_speaks_otherwise_is_not_reached(samba: Samba, answer: bytes) -> None:
    def serve(door: socket.socket) -> None:
        connection, _ = door.accept()
        with connection, suppress(ConnectionError):  # a client that has left may reset it
            connection.recv(1 << 16)
            connection.sendall(answer)
            connection.recv(1 << 16)

    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        server = Thread(target=serve, args=(door,))
        server.start()
        location = samba.location(port=door.getsockname()[1], timeout_s=1)
        with pytest.raises(EndpointLostError, match="cannot be reached by SMB 3"):
            connect(location, secrets_dir=samba.secrets_dir)
        server.join()


@dataclass
class SmbSite(Site):
    """A site one side of which is a share."""

    there: Callable[[], Endpoint] | None = None
    side: str = TARGET

    def open(self, location: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
        if location.name == self.side and self.there is not None:
            return self.there()
        return super().open(location, make)


@pytest.mark.parametrize("side", [SOURCE, TARGET])
@pytest.mark.parametrize("after", [AfterSuccess.DELETE, AfterSuccess.KEEP])
def test_files_are_moved_to_a_share_and_from_one(
    tmp_path: Path, side: str, after: AfterSuccess
) -> None:
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    served = tmp_path / ("source" if side == SOURCE else "target")
    transfer = site(tmp_path, after=after, recursive=True).transfer
    transfer = replace(
        transfer,
        destination=replace(
            transfer.destination,
            path="in",
            preserve=frozenset({Preserve.TIMES}),
            verify=Verify.READ_BACK,
        ),
    )
    with running_samba(tmp_path / "samba", folder=served) as server:
        there = SmbSite(
            root=tmp_path,
            transfer=transfer,
            side=side,
            there=lambda: connect(server.location(), secrets_dir=server.secrets_dir),
        )
        there.put("small.csv", b"small", mtime_ns=10**18)
        there.put("deep/large ü.bin", LARGE)
        outcome = there.run(1)
        again = there.run(1)
    assert (outcome.files, outcome.errors, again.files) == (2, (), 0)
    assert there.left_at_target() == ["large ü.bin", "small.csv"]
    small = next(there.target.rglob("small.csv"))
    assert (small.read_bytes(), small.stat().st_mtime_ns) == (b"small", 10**18)
    assert next(there.target.rglob("large*")).read_bytes() == LARGE
    assert len(there.left_at_source()) == (0 if after is AfterSuccess.DELETE else 2)
    assert SHARE in str(server.location())


@pytest.mark.parametrize("side", [SOURCE, TARGET])
@pytest.mark.parametrize("at", [2, 4, 7, 9])
def test_a_server_that_is_killed_loses_and_doubles_nothing(
    tmp_path: Path, side: LocationName, at: int
) -> None:
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    there = SmbSite(root=tmp_path, transfer=site(tmp_path).transfer, side=side)
    served = there.source if side == SOURCE else there.target
    there.put("small.csv", b"small")
    there.put("large.bin", LARGE)
    effects = []
    for number in (1, 2):
        with running_samba(tmp_path / f"samba-{number}", folder=served) as server:
            there.there = partial(connect, server.location(), secrets_dir=server.secrets_dir)
            owner = Owner(number, at=at if number == 1 else 0, then=server.kill)
            with suppress(MftgitError):
                there.run(owner)
            effects.append(owner.effects)
    assert effects[0] >= at
    assert there.left_at_target() == ["large.bin", "small.csv"]
    assert (there.target / "large.bin").read_bytes() == LARGE
    assert there.left_at_source() == []
    assert there.delivered() == 2
