"""Many files of a local folder are flushed side by side, and one that cannot be is told of by itself."""

import errno
import os
from pathlib import Path

import pytest

from mftgit.adapters.endpoint.contract import EndpointFullError, EndpointLostError
from mftgit.adapters.local.endpoint import LocalEndpoint

COUNT = 70  # more than are open at a time


@pytest.mark.parametrize("count", [3, COUNT])
def test_a_file_that_cannot_be_flushed_keeps_no_other_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    real = os.fsync
    flushed: list[str] = []

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        flushed.append(name)
        if name == "2":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    files = [(f"{number}", b"content") for number in range(count)]
    ended = LocalEndpoint(tmp_path).write_all(files)
    assert isinstance(ended.pop(2), EndpointFullError)
    assert ended == [len(b"content")] * (count - 1)
    assert sorted(flushed) == sorted([*(name for name, _ in files), tmp_path.name])


def test_a_storage_that_does_not_answer_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(EndpointLostError):
        LocalEndpoint(tmp_path).write_all([(f"{number}", b"1") for number in range(COUNT)])
