"""Run the programs that a transfer names, of those that the administrator of this member has put there.

They are told what happened by variables of their environment (``MFTGIT_…``) alone, and never by a shell. Where the
ownership ends they are killed: what they do is an effect as any other.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.command import require_program, run_command
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.model.configuration.config import Transfer
from mftgit.model.events.event import Fact
from mftgit.model.names import MemberName, Revision
from mftgit.model.transfers.commands import When

RunProgram = Callable[[When, Mapping[str, Fact]], None]
"""(when, facts): run what is to be run then, if anything; raises MftgitError where it does not end well."""

MAX_FACT: Final = 4000
"""How many characters a fact may have; a system takes 128 KiB."""


def no_program(_when: When, _facts: Mapping[str, Fact]) -> None:
    """Run nothing."""


def check_programs(transfer: Transfer, *, folder: Path) -> None:
    """See that every program is there that ``transfer`` names; raises ConfigError."""
    for when in When:
        command = transfer.commands.at(when)
        if command is not None:
            require_program(folder, command.program)


def programs(
    transfer: Transfer | None,
    *,
    folder: Path,
    member: MemberName,
    revision: Revision,
    ownership: Ownership,
    clock: Clock,
) -> RunProgram:
    """Return what runs the commands of ``transfer``, whose programs lie in ``folder``; a former one has none."""
    if transfer is None:
        return no_program
    commands = transfer.commands
    facts: dict[str, Fact] = {
        "transfer": transfer.name,
        "member": member,
        "revision": revision,
        "epoch": ownership.epoch,
    }

    def run(when: When, more: Mapping[str, Fact]) -> None:
        command = commands.at(when)
        if command is None:
            return
        ownership.check()
        until = clock.boottime() + command.timeout_s

        def left_s() -> float:
            return max(0.0, until - clock.boottime()) if ownership.valid() else 0.0

        try:
            run_command(
                folder,
                command.program,
                arguments=command.arguments,
                facts=_variables({"when": when.value, **facts, **more}),
                left_s=left_s,
            )
        finally:
            ownership.check()  # what was killed for that has not failed

    return run


def _variables(facts: Mapping[str, Fact]) -> dict[str, str]:
    """Return facts as variables; what is not known is left empty, and no text can end one early."""
    return {
        f"MFTGIT_{name.upper()}": ("" if fact is None else str(fact)).replace("\0", "")[:MAX_FACT]
        for name, fact in facts.items()
    }
