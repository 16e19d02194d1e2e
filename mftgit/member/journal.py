"""The durable record of what becomes of revisions here, and what is told of it: each outcome once."""

from dataclasses import replace
from pathlib import Path

from mftgit.member.kept import read_record, write_record
from mftgit.member.told import Told
from mftgit.model.events.event import EventName, Fact
from mftgit.model.members.record import Outcome, Record
from mftgit.model.names import Revision

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

    def settle(
        self,
        record: Record,
        event: EventName,
        *,
        reason: str | None = None,
        problems: Fact = None,
        by: Revision | None = None,
    ) -> None:
        """Keep ``record``, and with it what it makes of the attempt; `tell` tells that. Raises MftgitError."""
        self.tell()
        before = self.record
        if before.attempted is None or before.recalled:  # what was recalled had its outcome
            self.keep(record)
            return
        facts: dict[str, Fact] = {"head_seq": before.seq}
        if event is not EventName.REVISION_ACTIVATED:
            facts["reason"] = (reason or before.reason or "")[:MAX_REASON]
            facts["problems"] = problems or []
        if by is not None:
            facts["by"] = by
        outcome = Outcome(
            attempt=before.attempts, event=event, revision=before.attempted, facts=facts
        )
        self.keep(replace(record, untold=outcome))

    def tell(self) -> None:
        """Tell the outcome that is kept, once, also where a crash left it; raises MftgitError."""
        outcome = self.record.untold
        if outcome is None:
            return
        once = f"outcome/{outcome.attempt}"
        self.told(outcome.event, revision=outcome.revision, facts=outcome.facts, once=once)
        self.record = replace(self.record, untold=None)  # on the disk it is gone with the next move

    def step(self, event: EventName) -> None:
        """Tell that the attempt has come so far, once."""
        record = self.record
        facts: dict[str, Fact] = {"head_seq": record.seq}
        once = f"{event.value}/{record.attempts}"
        self.told(event, revision=record.attempted, facts=facts, once=once)
