"""Which programs of a member are run before and after the runs and files of a transfer: ``commands`` of a transfer."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

from mftgit.model.documents.given import Value, given


@unique
class When(Enum):
    """What a program is run for."""

    BEFORE_RUN = "before_run"
    AFTER_RUN = "after_run"
    AFTER_FILE = "after_file"
    AFTER_FAILURE = "after_failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """``program`` is a file in the folder ``commands`` of a member's state folder; it is killed after ``timeout_s``."""

    program: str
    arguments: tuple[str, ...] = ()
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The command for each `When`, None for nothing."""

    before_run: Command | None = None
    after_run: Command | None = None
    after_file: Command | None = None
    after_failure: Command | None = None

    def at(self, when: When) -> Command | None:
        """Return what is run then."""
        command: Command | None = getattr(self, when.value)
        return command


def build_commands(value: Value) -> Commands:
    """Return what ``commands`` of a transfer says."""
    return Commands(**given(value, **dict.fromkeys((when.value for when in When), _command)))


def _command(value: Any) -> Command:
    return Command(**given(value, program=str, arguments=tuple, timeout_s=float))
