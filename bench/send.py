"""One run of mftgit's engine in a process of its own: ``python bench/send.py`` with the plan as JSON on standard input.

What is measured is what a running member pays: not the start of Python, but the connection, the claims, the intents,
the ledger and the event log.
"""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.coordinator import Session
from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.adapters.sftp.endpoint import connect
from mftgit.member.outbound.given.context import Memory, RunContext
from mftgit.member.outbound.ownership.own import Ownership, Term
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.member.outbound.runs.run import run_once
from mftgit.model.configuration.config import (
    Cluster,
    Destination,
    Generation,
    Member,
    Overwrite,
    Role,
    Source,
    Transfer,
)
from mftgit.model.events.event import EventName, Fact
from mftgit.model.locations.location import Client, LocalLocation, Location, SftpLocation
from mftgit.model.locations.login import KeyAuth
from mftgit.model.names import Epoch, LocationName, MemberName, TransferName
from mftgit.model.transfers.triggers import WatchTrigger

_HERE, _PARTNER = LocationName("here"), LocationName("partner")
_CLOCK = SystemClock()
_LEASE_S = 1e9  # it is not what is measured


def main() -> None:
    """Run the plan, and print seconds of wall clock and of CPU, files and bytes as JSON."""
    plan = json.load(sys.stdin)
    state = Path(plan["state"]) / "transfers" / "bench"
    ends = (_HERE, _PARTNER) if plan["up"] else (_PARTNER, _HERE)
    transfer = Transfer(
        name=TransferName("bench"),
        source=Source(location=ends[0], stable_s=0.0),
        destination=Destination(location=ends[1], overwrite=Overwrite.FAIL),
        trigger=WatchTrigger(),
        parallel=plan["parallel"],
    )
    events = EventStore(
        Path(plan["state"]) / "events.sqlite", member=MemberName("bench"), now=_CLOCK.now
    )
    with closing(events):
        context = _context(plan, state, events)
        wall, used = time.perf_counter(), time.process_time()
        outcome = run_once(transfer, context)
        taken = time.perf_counter() - wall, time.process_time() - used
    if outcome.errors:
        raise SystemExit("\n".join(outcome.errors[:5]))
    answer = {"wall_s": taken[0], "cpu_s": taken[1], "files": outcome.files}
    print(json.dumps(answer | {"size_bytes": outcome.size_bytes}))


def _context(plan: dict[str, Any], state: Path, events: EventStore) -> RunContext:
    location = SftpLocation(
        name=_PARTNER,
        host="127.0.0.1",
        port=plan["port"],
        username=plan["username"],
        path=plan["there"],
        host_keys=tuple(plan["host_keys"]),
        auth=(KeyAuth(file="client"),),
        flush=plan["flush"],
        client=Client(plan["client"]),
    )

    here = LocalLocation(name=_HERE, path=plan["here"])

    def open_endpoint(place: Location, _make: bool) -> Endpoint:  # noqa: FBT001  see OpenEndpoint
        if isinstance(place, LocalLocation):
            return LocalEndpoint(Path(place.path))
        assert isinstance(place, SftpLocation)
        return connect(place, secrets_dir=Path(plan["secrets"]))

    def record(event: EventName, /, *facts: Mapping[str, Fact]) -> None:
        events.append_each(event, facts)

    session = Session(id="bench", sent_at=_CLOCK.boottime(), ttl_s=_LEASE_S)
    return RunContext(
        ownership=Ownership(Epoch(1), Term(session, clock=_CLOCK)),
        member=MemberName("bench"),
        revision=None,
        generation=Generation(
            cluster=Cluster(name="bench"),
            member=Member(name=MemberName("bench"), role=Role.NODE),
            locations={_HERE: here, _PARTNER: location},
        ),
        state=state,
        clock=_CLOCK,
        open_endpoint=open_endpoint,
        open_more=lambda place: open_endpoint(place, _make=False),
        record=record,
        memory=Memory(ledger=Ledger(state)),
    )


if __name__ == "__main__":
    main()
