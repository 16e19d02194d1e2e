"""Of which transfers two lots of files may be under way together."""

from dataclasses import replace

import pytest

from mftgit.model.configuration.config import (
    AfterSuccess,
    Batch,
    Claiming,
    Deduplicate,
    Destination,
    Source,
    Transfer,
)
from mftgit.model.names import LocationName, TransferName
from mftgit.model.transfers.checksum import Sidecar
from mftgit.model.transfers.commands import Command, Commands
from mftgit.model.transfers.content import Gzip
from mftgit.model.transfers.source import Checksum
from mftgit.model.transfers.triggers import WatchTrigger

SOURCE = Source(location=LocationName("here"))
TARGET = Destination(location=LocationName("there"))
PLAIN = Transfer(name=TransferName("t"), source=SOURCE, destination=TARGET, trigger=WatchTrigger())


def test_one_that_only_moves_files_is_plain() -> None:
    assert PLAIN.is_plain
    assert replace(PLAIN, after_success=AfterSuccess.KEEP, parallel=4).is_plain


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAIN, batch=Batch()),
        replace(PLAIN, deduplicate=Deduplicate(within_days=1)),
        replace(PLAIN, content=(Gzip(),)),
        replace(PLAIN, source=replace(SOURCE, checksum=Checksum())),
        replace(PLAIN, destination=replace(TARGET, checksum=Sidecar())),
        replace(PLAIN, source=replace(SOURCE, claim=Claiming.RECORD)),
        replace(PLAIN, commands=Commands(after_file=Command(program="p"))),
    ],
)
def test_one_that_does_more_with_a_file_is_not(other: Transfer) -> None:
    assert not other.is_plain
