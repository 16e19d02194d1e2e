"""A transfer whose files fail, and are tried again."""

from dataclasses import replace
from pathlib import Path

from outbound_site import CLOCK, Site, site

from mftgit.adapters.endpoint.contract import EndpointRefusedError
from mftgit.member.outbound.given.context import Memory
from mftgit.member.outbound.runs.run import run_once
from mftgit.model.configuration.config import AfterSuccess
from mftgit.model.transfers.retry import Retry

RETRY = Retry(attempts=3, quarantine="aside", jitter=0)


def trying(root: Path, *, after: AfterSuccess = AfterSuccess.DELETE) -> tuple[Site, Memory]:
    there = site(root, after=after)
    there.transfer = replace(there.transfer, retry=RETRY)
    memory = there.memory()
    memory.retry = RETRY
    return there, memory


def run_when_due(there: Site, memory: Memory, times: int) -> int:
    """Run so many times, each after all waits are over; return how many files were delivered."""
    files = 0
    for _ in range(times):
        now = CLOCK.boottime()
        memory.failures = {
            what: replace(failure, until=now) for what, failure in memory.failures.items()
        }
        files += there.run(1, memory).files
    return files


def run_as_others(there: Site, epochs: range) -> None:
    """Run once as the owner of each epoch, by members that remember nothing."""
    for epoch in epochs:
        memory = there.memory()
        memory.retry = RETRY
        run_once(there.transfer, there.context(epoch, memory, member=f"m{epoch}"))


def refuse(there: Site, name: str) -> None:
    """Let the partner refuse every file that is called ``name``."""

    def look(call: str) -> None:
        if call == "write" and list(there.target.glob(f".{name}.*")):
            for path in there.target.glob(f".{name}.*"):
                path.unlink()
            raise EndpointRefusedError("not this one")

    there.after = look
