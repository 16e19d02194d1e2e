"""A program of the machine's administrator is run whatever else the process has open."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from mftgit.adapters.command import CommandFailedError, run_command


@pytest.fixture
def many_open() -> Iterator[None]:
    """More open files than select(2) knows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 2048), before[1]))
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    yield
    for each in held:
        os.close(each)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("many_open")
def test_a_command_is_heard_by_a_process_with_a_thousand_open_files(tmp_path: Path) -> None:
    path = tmp_path / "check"
    path.write_text('#!/bin/sh\necho "partner is down" >&2; exit 3\n', encoding="ascii")
    path.chmod(0o700)
    with pytest.raises(CommandFailedError, match="status 3: partner is down"):
        run_command(tmp_path, "check", facts={}, left_s=lambda: 60.0)
