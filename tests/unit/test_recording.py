"""What happens at the services is written down together where nobody waits for it, and at once where somebody does."""

from collections.abc import Iterator, Sequence
from queue import Queue

import pytest

from mftgit.errors import MftgitError
from mftgit.member.inbound import recording
from mftgit.member.inbound.recording import Facts, Recorder
from mftgit.model.events.event import EventName

WAIT_S = 60.0
DOWNLOAD, UPLOAD = EventName.DOWNLOAD_FINISHED, EventName.UPLOAD_FINISHED


class Log:
    """What was written, one entry for each time."""

    def __init__(self) -> None:
        self.writes: Queue[tuple[list[EventName], bool]] = Queue()
        self.is_full = False

    def __call__(self, facts: Sequence[tuple[EventName, Facts]], *, flush: bool) -> None:
        if self.is_full:
            raise MftgitError("no room")
        self.writes.put(([event for event, _ in facts], flush))


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def recorder(log: Log, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.setattr(recording, "_GATHER_S", WAIT_S)
    made = Recorder(log)
    made.start()
    yield made
    made.stop()


def test_what_nobody_waits_for_goes_with_what_somebody_does(recorder: Recorder, log: Log) -> None:
    written: Queue[bool] = Queue()
    recorder.put(DOWNLOAD, {}, flush=False)
    recorder.put(DOWNLOAD, {}, flush=False)
    recorder.put(UPLOAD, {}, written.put, flush=False)
    assert written.get(timeout=WAIT_S / 2)
    assert log.writes.get_nowait() == ([DOWNLOAD, DOWNLOAD, UPLOAD], False)


def test_one_that_is_to_be_flushed_has_all_flushed(recorder: Recorder, log: Log) -> None:
    written: Queue[bool] = Queue()
    recorder.put(DOWNLOAD, {}, flush=False)
    recorder.put(UPLOAD, {}, written.put)
    assert written.get(timeout=WAIT_S / 2)
    assert log.writes.get_nowait() == ([DOWNLOAD, UPLOAD], True)


def test_what_is_gathered_is_written_at_the_end(recorder: Recorder, log: Log) -> None:
    recorder.put(DOWNLOAD, {}, flush=False)
    recorder.stop()
    assert log.writes.get_nowait() == ([DOWNLOAD], False)


def test_who_waits_hears_that_it_could_not_be_written(recorder: Recorder, log: Log) -> None:
    log.is_full = True
    written: Queue[bool] = Queue()
    recorder.put(UPLOAD, {}, written.put)
    assert not written.get(timeout=WAIT_S / 2)
