"""The durable record of what becomes of revisions here, and what is told of it: each outcome once."""

from pathlib import Path

from mftgit.member.kept import read_record, write_record
from mftgit.member.told import Told
from mftgit.model.events import EventName, Fact
from mftgit.model.names import Revision
from mftgit.model.record import Record

MAX_REASON = 2000


class Journal:
    """The record; one thread writes, others may read."""

    def __init__(self, path: Path, told: Told) -> None:
        """Read it; raises DamagedError."""
        self._path = path
        self.told = told
        self.record = read_record(path)

    def keep(self, record: Record) -> None:
        """Make ``record`` the one that counts; raises MftgitError, and then nothing has changed."""
        write_record(self._path, record)
        self.record = record

    def outcome(
        self,
        event: EventName,
        *,
        reason: str | None = None,
        problems: Fact = None,
        by: Revision | None = None,
    ) -> None:
        """Tell what became of the attempt, once: a crash between this and the record tells it no second time."""
        record = self.record
        if record.recalled:  # its outcome was told when it was confirmed
            return
        facts: dict[str, Fact] = {"head_seq": record.seq}
        if event is not EventName.REVISION_ACTIVATED:
            facts["reason"] = (reason or record.reason or "")[:MAX_REASON]
            facts["problems"] = problems or []
        if by is not None:
            facts["by"] = by
        once = f"outcome/{record.attempts}"
        self.told(event, revision=record.attempted, facts=facts, once=once)

    def step(self, event: EventName) -> None:
        """Tell that the attempt has come so far, once."""
        record = self.record
        facts: dict[str, Fact] = {"head_seq": record.seq}
        once = f"{event.value}/{record.attempts}"
        self.told(event, revision=record.attempted, facts=facts, once=once)
