"""How long a search of the event log takes, what an index costs, and how long who writes waits while old events go.

``python bench/events.py [--events N] [--folder DIR]``: a log of the controller with 20 members and 300 transfers.
"""

import argparse
import hashlib
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.events.numbers import row_of
from mftgit.adapters.events.store import EventStore
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.events.kinds import Component, Severity
from mftgit.model.events.query import EventQuery
from mftgit.model.events.retention import Sweep
from mftgit.model.names import Epoch, MemberName, Revision

MEMBERS = [MemberName(f"node-{number}") for number in range(20)]
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ME = MemberName("controller")


def main() -> None:
    """Fill a log, and tell what it costs to keep and to search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "events.sqlite"
        store = EventStore(path, member=ME, now=lambda: datetime.now(tz=UTC))  # noqa: DTZ005,RUF100,TID251
        took("fill", lambda: fill(path, arguments.events))
        before = path.stat().st_size
        took("index", lambda: index(store))
        print(f"size: {before / 1e6:.0f} MB, with the index {path.stat().st_size / 1e6:.0f} MB")
        search(store, arguments.events)
        trim(store, arguments.events)
        store.close()


def fill(path: Path, count: int) -> None:
    """Write events as a busy cluster does: deliveries, some failures, sessions, and a rare account."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    chance = random.Random(1)
    with connection:
        connection.executemany(
            "INSERT INTO events (member, seq, body) VALUES (?, ?, ?)",
            (row_of(each) for each in events(count, chance)),
        )
    connection.close()


def events(count: int, chance: random.Random) -> Iterator[Event]:
    """Give events with the mix of names and facts of a cluster that delivers files all day."""
    seqs = dict.fromkeys(MEMBERS, 0)
    for number in range(count):
        transfer = chance.randrange(300)
        member = MEMBERS[transfer % len(MEMBERS)]
        seqs[member] += 1
        name, facts = one(number, transfer, chance)
        yield Event(
            member=member,
            seq=seqs[member],
            at=rfc3339(FIRST + timedelta(seconds=number)),
            revision=revision(number // 5000),
            epoch=Epoch(1 + number // 100_000),
            event=name,
            facts=facts,
        )


def revision(number: int) -> Revision:
    """Return the commit id of one revision."""
    return Revision(hashlib.sha1(str(number).encode()).hexdigest())


def one(number: int, transfer: int, chance: random.Random) -> tuple[EventName, dict[str, Fact]]:
    """Return name and facts of one event."""
    kind = number % 20
    if kind < 14:
        digest = f"{chance.getrandbits(256):064x}"
        facts: dict[str, Fact] = {
            "transfer": f"transfer-{transfer}",
            "id": f"{chance.getrandbits(64):016x}",
            "path": f"in/invoice-{number:09}.pdf",
            "destination": "bank",
            "final": f"/upload/invoice-{number:09}.pdf",
            "size_bytes": 123_456,
            "sha256": digest,
        }
        return EventName.DELIVERY_SUCCEEDED, facts
    if kind < 18:
        facts = {"transfer": f"transfer-{transfer}", "outcome": "succeeded", "files": 7}
        return EventName.RUN_FINISHED, facts
    if number % 10_000 == 19:
        facts = {"transfer": f"transfer-{transfer}", "error": "connection refused"}
        return EventName.RUN_FAILED, facts
    name = "rare" if number % 250_000 == 18 else f"account-{number % 70}"
    return EventName.SESSION_OPENED, {"service": "sftp", "account": name}


def index(store: EventStore) -> None:
    """Index all blocks that are full."""
    while store.keeping.seal():
        pass


def search(store: EventStore, count: int) -> None:
    """Time searches of several kinds, for the newest hundred."""
    middle = FIRST + timedelta(seconds=count // 2)
    queries = {
        "the newest": EventQuery(),
        "one transfer": EventQuery(component=Component(kind="transfer", name="transfer-7")),
        "errors (1 in 10,000)": EventQuery(least=Severity.ERROR),
        "errors of one transfer": EventQuery(
            component=Component(kind="transfer", name="transfer-7"), least=Severity.ERROR
        ),
        "a rare account": EventQuery(account="rare"),
        "an account that never was": EventQuery(account="nobody"),
        "an hour in the middle": EventQuery(since=middle, until=middle + timedelta(hours=1)),
        "one revision": EventQuery(revision=revision(count // 10_000)),
        "a word of one event, old": EventQuery(text=f"invoice-{count // 10:09}.pdf"),
        "the same, an hour around": EventQuery(
            text=f"invoice-{count // 10 // 20 * 20:09}.pdf",
            since=FIRST + timedelta(seconds=count // 10 - 1800),
            until=FIRST + timedelta(seconds=count // 10 + 1800),
        ),
    }
    for what, query in queries.items():
        began = time.perf_counter()
        found = store.search(query)
        print(f"{what:28} {1000 * (time.perf_counter() - began):9.1f} ms, {len(found)} found")
    began = time.perf_counter()
    page = store.look(EventQuery(text="nowhere-at-all"), within_s=2.0)
    state = "all" if page.is_whole else f"from position {page.reached} on"
    print(
        f"{'a word, two seconds at most':28} {1000 * (time.perf_counter() - began):9.1f} ms, {state}"
    )


def trim(store: EventStore, count: int) -> None:
    """Remove the older half of what is work as usual, and tell how long others who write wait meanwhile."""
    waits: list[float] = []
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.05):
            began = time.perf_counter()
            store.append(EventName.MEMBER_STARTED)
            waits.append(time.perf_counter() - began)

    writer = threading.Thread(target=write)
    writer.start()
    sweep = Sweep(to=count // 2, severities=frozenset({Severity.INFO}))
    began, block = time.perf_counter(), 0
    while (after := store.keeping.remove(sweep, block)) is not None:
        block = after
        ended.wait(0.01)
    took_s = time.perf_counter() - began
    ended.set()
    writer.join()
    print(
        f"removed half of it in {took_s:.1f} s; meanwhile a writer waited "
        f"{1000 * statistics.median(waits):.0f} ms, at most {1000 * max(waits):.0f} ms"
    )


def took(what: str, call: Callable[[], None]) -> None:
    """Tell how long ``call`` took."""
    began = time.perf_counter()
    call()
    print(f"{what}: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
