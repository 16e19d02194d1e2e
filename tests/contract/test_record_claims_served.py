"""Files that their record alone claims, at real servers of every kind: once each, and no newer one deleted."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from dav_servers import Dav, running_apache
from ftps_server import FtpsServer, running_ftps
from outbound_site import LARGE, SOURCE, Consumer, Site, site
from places import Place, ftps_place, https_place, sftp_place, smb_place
from samba import Samba, running_samba

from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.model.configuration.config import Claiming
from mftgit.model.locations.location import Client, Location

WHEN = 1_600_000_000 * 10**9


@pytest.fixture(scope="module")
def samba(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    base = tmp_path_factory.getbasetemp()
    with running_samba(tmp_path_factory.mktemp("samba"), folder=base) as server:
        yield server


@pytest.fixture(scope="module")
def ftps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpsServer]:
    with running_ftps(tmp_path_factory.mktemp("ftps")) as server:
        yield server


@pytest.fixture(scope="module")
def apache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dav]:
    base = tmp_path_factory.getbasetemp()
    with running_apache(tmp_path_factory.mktemp("apache"), folder=base) as server:
        yield server


@pytest.fixture(
    params=[
        pytest.param("smb", marks=pytest.mark.needs("smbd")),
        pytest.param("ftps", marks=pytest.mark.needs("proftpd")),
        pytest.param("apache", marks=pytest.mark.needs("apache2")),
        pytest.param("openssh", marks=pytest.mark.needs("sshd")),
    ]
)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    root = tmp_path / "source"
    root.mkdir()
    with _opened(request, root) as place:
        yield place


def _opened(request: pytest.FixtureRequest, root: Path) -> AbstractContextManager[Place]:
    match request.param:
        case "smb":
            return smb_place(root, request.getfixturevalue("samba"))
        case "ftps":
            return ftps_place(root, request.getfixturevalue("ftps"))
        case "apache":
            return https_place(root, request.getfixturevalue("apache"))
        case client:
            return sftp_place(root, request.getfixturevalue("sshd"), Client(client))


@pytest.fixture
def there(source: Place) -> Site:
    """Give a site whose source is at the server, and whose partner takes away what arrives."""
    made = site(source.root.parent)
    made.target.mkdir()
    made.transfer = replace(
        made.transfer, source=replace(made.transfer.source, claim=Claiming.RECORD)
    )
    made.consumer = Consumer(made.target)
    opening: Callable[..., Endpoint] = made.open

    def opened(location: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
        return source.another() if location.name == SOURCE else opening(location, make)

    made.open = opened  # type: ignore[method-assign]
    for name, content in FILES.items():
        made.put(name, content, mtime_ns=WHEN + 123_456_789)
    return made


FILES = {"a.csv": b"1", "b.csv": b"2", "large.csv": LARGE}
ONCE = Counter(dict.fromkeys(FILES.items(), 1))


def test_each_file_arrives_once_and_no_newer_one_in_its_place_is_deleted(there: Site) -> None:
    newer = dict(list(FILES.items())[1:])

    def put(what: str) -> None:
        if what == "rename" and there.consumer is not None:
            for name, content in list(newer.items()):
                if (name, content) in there.consumer.got:
                    there.put(name, newer.pop(name), mtime_ns=WHEN + 5 * 10**9)

    there.after = put
    assert there.run(1).files == len(FILES)
    assert there.left_at_source() == ["b.csv", "large.csv"]
    for epoch in (2, 3):
        assert there.run(epoch).errors == ()
    assert there.consumer is not None
    twice = {("b.csv", FILES["b.csv"]): 1, ("large.csv", LARGE): 1}
    assert there.consumer.got == ONCE + Counter(twice)
    assert there.left_at_source() == []
    assert there.records() == []
