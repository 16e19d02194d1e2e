"""Many small files go over several sessions of one connection where the server flushes them."""

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from sshd import Sshd, running_sshd

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.adapters.sftp.endpoint import SftpEndpoint, connect
from mftgit.errors import MftgitError

pytestmark = pytest.mark.needs("sshd")
FILES = [(f"{number:03}.bin", os.urandom(number)) for number in range(200)]


@pytest.fixture
def folder(sshd: Sshd, request: pytest.FixtureRequest) -> Path:
    made = sshd.folder / str(request.node.name)
    made.mkdir()
    return made


def opened(sshd: Sshd, folder: Path, *, channels: int = 8, flush: bool = True) -> SftpEndpoint:
    location = replace(sshd.location(path=str(folder)), channels=channels, flush=flush)
    return connect(location, secrets_dir=sshd.secrets_dir)


def sessions(sshd: Sshd) -> int:
    """Return how many sessions there were, over all connections."""
    return sshd.log.read_text(encoding="utf-8").count("Starting session: forced-command")


def there(folder: Path) -> list[tuple[str, bytes]]:
    return sorted((path.name, path.read_bytes()) for path in folder.iterdir())


@pytest.mark.parametrize(
    ("channels", "flush", "files", "expected"),
    [(8, True, 200, 4), (2, True, 200, 2), (1, True, 200, 1), (8, False, 200, 1), (8, True, 16, 1)],
)
def test_files_arrive_over_so_many_sessions(
    sshd: Sshd, folder: Path, *, channels: int, flush: bool, files: int, expected: int
) -> None:
    before = sessions(sshd)
    with closing(opened(sshd, folder, channels=channels, flush=flush)) as endpoint:
        for _ in range(2):  # the second time over those that are there
            assert endpoint.write_all(FILES[:files]) == list(range(files))
            assert there(folder) == FILES[:files]
            endpoint.remove_all(name for name, _ in FILES[:files])
    assert sessions(sshd) - before == expected


def test_an_error_stands_at_the_place_of_its_file(sshd: Sshd, folder: Path) -> None:
    (folder / "070.bin").mkdir()
    with closing(opened(sshd, folder)) as endpoint:
        ended = endpoint.write_all(FILES)
        assert isinstance(ended[70], MftgitError)
        assert "070.bin" in str(ended[70])
        ended[70] = 70
        assert ended == list(range(200))


def test_a_server_that_allows_one_session_gets_them_over_that(tmp_path: Path) -> None:
    with (
        running_sshd(tmp_path, options=["MaxSessions 1"]) as sshd,
        closing(opened(sshd, sshd.folder)) as endpoint,
    ):
        assert endpoint.write_all(FILES) == list(range(200))
        assert there(sshd.folder) == FILES


def test_a_connection_that_is_lost_among_several_sessions_is_told(tmp_path: Path) -> None:
    with running_sshd(tmp_path) as sshd, closing(opened(sshd, sshd.folder)) as endpoint:

        def files() -> Iterator[tuple[str, bytes]]:
            for number, file in enumerate(FILES):
                if number == 150:
                    for process in sshd.sessions():
                        with suppress(ProcessLookupError):
                            os.kill(process, 9)
                yield file

        with pytest.raises(EndpointLostError):
            endpoint.write_all(files())
        assert not endpoint.is_open
