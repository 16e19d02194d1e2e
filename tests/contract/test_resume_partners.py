"""A large file goes on where it was cut, from and to real servers of other protocols than SFTP."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import pytest
from cut_line import CutLine, cut_line
from dav_servers import Dav, running_apache
from ftps_server import FtpsServer, running_ftps
from outbound_site import SOURCE, TARGET, Site, site
from rogue_ftp import running_rogue

from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.adapters.ftps import endpoint as ftps
from mftgit.adapters.ftps.endpoint import FtpsEndpoint
from mftgit.adapters.https import endpoint as https
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.model.configuration.config import AfterSuccess, Batch, Generation
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import Location
from mftgit.model.names import LocationName, MemberName

MIB = 1 << 20
SIZE = 24 * MIB + 12_345
CUT_AT = 16 * MIB
CONTENT = random.Random(20261129).randbytes(SIZE)


@dataclass
class Partner(Site):
    """A site one side of which is at a partner, at ``there_at``."""

    far: LocationName = TARGET
    there_at: Location | None = None
    connect: Callable[[Location], Endpoint] = field(kw_only=True)

    def generation(self, member: MemberName) -> Generation:
        made = super().generation(member)
        assert self.there_at is not None
        return replace(made, locations={**made.locations, self.far: self.there_at})

    def open(self, location: Location, make: bool = False) -> Endpoint:  # noqa: ARG002, FBT001, FBT002
        if location.name == self.far:
            return self.connect(location)
        return LocalEndpoint(self.root / location.path)


def require_whole(there: Site, content: bytes = CONTENT, *, left: int = 0) -> None:
    assert there.left_at_target() == ["a.bin"]
    assert (there.target / "a.bin").read_bytes() == content
    assert there.delivered() == 1
    assert there.records() == []
    assert len(there.left_at_source()) == left


def resumed_from(there: Site) -> int:
    (told,) = there.happened(EventName.DELIVERY_SUCCEEDED)
    at = told.get("resumed_from_bytes", 0)
    assert isinstance(at, int)
    return at


def partner_site(
    root: Path,
    far: LocationName,
    there_at: Location,
    connect: Callable[[Location], Endpoint],
    *,
    after: AfterSuccess = AfterSuccess.DELETE,
) -> Partner:
    """Return a site with a large file at its source."""
    for folder in ("source", "target"):
        (root / folder).mkdir()
    there = Partner(
        root=root,
        transfer=site(root, after=after).transfer,
        far=far,
        there_at=there_at,
        connect=connect,
    )
    there.put("a.bin", CONTENT)
    return there


# FTPS


@pytest.fixture(scope="module")
def proftpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpsServer]:
    with running_ftps(tmp_path_factory.mktemp("ftps")) as server:
        yield server


class _Cut(FtpsEndpoint):
    """A session whose server is killed after so many bytes of a file were given to it, or taken from it."""

    server: FtpsServer
    at: list[int]

    def write(self, path: str, chunks: Iterator[bytes], **options: object) -> int:
        return super().write(path, self._passed(chunks), **options)  # type: ignore[arg-type]

    def _passed(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        passed = 0
        for chunk in chunks:
            passed += len(chunk)
            self._look(passed)
            yield chunk

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        with super().open_read(path, offset) as stream:
            real, passed = stream.read, 0

            def read(size: int = -1) -> bytes:
                nonlocal passed
                data = real(size)
                passed += len(data)
                self._look(passed)
                return data

            stream.read = read  # type: ignore[method-assign]
            yield stream

    def _look(self, passed: int) -> None:
        if self.at and passed > self.at[0]:
            self.at.clear()
            self.server.hang_up()


def ftps_site(
    root: Path, server: FtpsServer, far: LocationName, *, after: AfterSuccess = AfterSuccess.DELETE
) -> tuple[Partner, list[int]]:
    """Return a site, and where its next file is cut."""
    at: list[int] = []
    path = str(root / ("source" if far == SOURCE else "target"))

    def connect(location: Location) -> Endpoint:
        made = ftps.connect(location, secrets_dir=server.secrets_dir)  # type: ignore[arg-type]
        made.__class__ = _Cut
        assert isinstance(made, _Cut)
        made.server, made.at = server, at
        return made

    there_at = replace(server.location(path=path), name=far)
    there = partner_site(root, far, there_at, connect, after=after)
    return there, at


@pytest.mark.needs("proftpd")
@pytest.mark.parametrize("far", [SOURCE, TARGET])
def test_a_file_goes_on_after_an_ftp_server_died(
    tmp_path: Path, proftpd: FtpsServer, far: LocationName
) -> None:
    there, cut_at = ftps_site(tmp_path, proftpd, far)
    cut_at.append(CUT_AT)
    assert there.run(1).files == 0
    assert there.run(2).files == 1
    require_whole(there)
    assert resumed_from(there) >= CUT_AT - 12 * MIB  # but for what lay in sockets, unread


@pytest.mark.needs("proftpd")
def test_a_batch_goes_on_after_an_ftp_server_died(tmp_path: Path, proftpd: FtpsServer) -> None:
    there, cut_at = ftps_site(tmp_path, proftpd, TARGET)
    other = CONTENT[::-1]
    there.put("b.bin", other)
    there.transfer = replace(there.transfer, batch=Batch(at_least=2))
    real, begun = _Cut.write, []

    def write(endpoint: _Cut, path: str, chunks: Iterator[bytes], **options: object) -> int:
        begun.append(path)
        if len(begun) == 2:
            cut_at.append(CUT_AT)
        return real(endpoint, path, chunks, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_Cut, "write", write)
        assert there.run(1).files == 0
        assert there.run(2).files == 2
    assert there.left_at_target() == ["a.bin", "b.bin"]
    assert (there.target / "a.bin").read_bytes() == CONTENT
    assert (there.target / "b.bin").read_bytes() == other
    assert [".b.bin" in path for path in begun] == [False, True, True, True]  # one write asks
    assert there.records() == []


@pytest.mark.needs("proftpd")
def test_a_file_that_changed_at_an_ftp_server_is_taken_anew(
    tmp_path: Path, proftpd: FtpsServer
) -> None:
    there, cut_at = ftps_site(tmp_path, proftpd, SOURCE, after=AfterSuccess.KEEP)
    cut_at.append(CUT_AT)
    there.run(1)
    other = CONTENT[::-1]
    (there.source / "a.bin").write_bytes(other)
    os.utime(there.source / "a.bin", (2_000_000_000, 2_000_000_000))
    assert there.run(2).files == 1
    require_whole(there, other, left=1)
    assert resumed_from(there) == 0


@pytest.mark.needs("proftpd")
def test_what_was_tampered_with_at_an_ftp_server_is_never_published(
    tmp_path: Path, proftpd: FtpsServer
) -> None:
    there, cut_at = ftps_site(tmp_path, proftpd, TARGET)
    cut_at.append(CUT_AT)
    there.run(1)
    (name,) = there.left_at_target()
    with (there.target / name).open("r+b") as file:
        file.seek(5 * MIB)
        file.write(b"wrong bytes")
    assert there.run(2).files == 1
    require_whole(there)
    assert resumed_from(there) == 5 * MIB


@pytest.mark.needs("proftpd")
def test_where_an_ftp_server_forbids_to_go_on_it_is_sent_anew_at_once(tmp_path: Path) -> None:
    """ProFTPD does so unless it is told otherwise."""
    (tmp_path / "server").mkdir()
    with running_ftps(tmp_path / "server", options="AllowStoreRestart off") as strict:
        there, cut_at = ftps_site(tmp_path, strict, TARGET)
        cut_at.append(CUT_AT)
        there.run(1)
        assert len(there.left_at_target()) == 1
        assert there.run(2).files == 1
        require_whole(there)
        assert resumed_from(there) == 0


def test_a_server_without_rest_is_read_from_the_start(tmp_path: Path) -> None:
    with running_rogue(tmp_path) as rogue:
        rogue.files["a"] = b"0123456789"
        with closing(ftps.connect(rogue.location(), secrets_dir=rogue.secrets_dir)) as endpoint:
            assert not endpoint.resumes
            with endpoint.open_read("a", 4) as stream:
                assert stream.read() == b"456789"
        assert not [line for line in rogue.heard if line.startswith("REST")]


# HTTPS


@pytest.fixture(scope="module")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dav]:
    base = tmp_path_factory.getbasetemp()
    with running_apache(tmp_path_factory.mktemp("apache"), folder=base) as server:
        yield server


@pytest.fixture
def line(apache: Dav) -> Iterator[CutLine]:
    with cut_line(apache.port) as made:
        yield made


@pytest.fixture
def taking(tmp_path: Path, apache: Dav, line: CutLine) -> Partner:
    """Return a site that takes a file, which is kept there, from Apache."""
    path = f"/{tmp_path.relative_to(apache.folder)}/source"
    location = replace(apache.location(path=path), name=SOURCE, port=line.port)
    return partner_site(
        tmp_path,
        SOURCE,
        location,
        lambda there: https.connect(there, secrets_dir=apache.secrets_dir),  # type: ignore[arg-type]
        after=AfterSuccess.KEEP,
    )


@pytest.mark.needs("apache2")
def test_a_download_goes_on_after_the_line_to_a_web_server_broke(
    taking: Partner, line: CutLine
) -> None:
    line.mend(cut_down=20 * MIB)
    assert taking.run(1).files == 0
    line.mend()
    assert taking.run(2).files == 1
    require_whole(taking, left=1)
    assert 4 * MIB < line.down < SIZE - 4 * MIB


@pytest.mark.needs("apache2")
@pytest.mark.parametrize("later_ns", [1_000_000, 1_000_000_000], ids=["a moment", "a second"])
def test_a_file_that_changed_at_a_web_server_is_taken_anew(
    taking: Partner, line: CutLine, later_ns: int
) -> None:
    """Its entity tag is another one, also where size and time, of which WebDAV tells seconds, are not."""
    file, other = taking.source / "a.bin", CONTENT[::-1]
    begun = 1_700_000_000 * 10**9
    os.utime(file, ns=(begun, begun))
    line.mend(cut_down=20 * MIB)
    taking.run(1)
    file.write_bytes(other)
    os.utime(file, ns=(begun + later_ns, begun + later_ns))
    line.mend()
    assert taking.run(2).files == 1
    require_whole(taking, other, left=1)
    assert resumed_from(taking) == 0
    assert line.down > SIZE
