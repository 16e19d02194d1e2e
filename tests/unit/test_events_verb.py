"""``mftgit events`` prints what was asked for, the newest last, and goes on where it is told to."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mftgit.adapters.events.store import EventStore
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.cli.events import find_events
from mftgit.cli.main import run_verb
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.query import EventQuery
from mftgit.model.names import Epoch, MemberName, Revision

ME, OTHER = MemberName("controller"), MemberName("node-1")

Printed = Callable[..., list[int]]


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    state = StateFolder(tmp_path / "state")
    state.prepare()
    state.write_bootstrap(
        Bootstrap(
            name=ME,
            role=Role.CONTROLLER,
            cluster_id="c",
            controller_url="https://127.0.0.1:1",
            files_root=str(tmp_path),
        )
    )
    return state


@pytest.fixture
def store(folder: StateFolder) -> Iterator[EventStore]:
    made = EventStore(folder.events, member=ME, now=lambda: datetime(2026, 11, 29, tzinfo=UTC))
    with closing(made):
        yield made


EVENTS: Sequence[tuple[EventName, dict[str, str], MemberName]] = (
    (EventName.RUN_STARTED, {"transfer": "invoices"}, ME),
    (EventName.RUN_FAILED, {"transfer": "invoices", "why": "Partner away"}, ME),
    (EventName.DELIVERY_FAILED, {"transfer": "orders"}, OTHER),
    (EventName.SESSION_OPENED, {"service": "sftp", "account": "supplier"}, OTHER),
    (EventName.RUN_STARTED, {"transfer": "orders"}, OTHER),
)


@pytest.fixture(autouse=True)
def written(store: EventStore) -> None:
    store.collect(
        [
            Event(
                member=member,
                seq=seq,
                at=f"2026-11-29T0{seq}:00:00.000Z",
                event=name,
                revision=Revision(f"{seq}" * 40),
                epoch=Epoch(seq),
                facts=dict(facts),
            )
            for seq, (name, facts, member) in enumerate(EVENTS, 1)
        ]
    )


@pytest.fixture
def printed(folder: StateFolder, capfd: pytest.CaptureFixture[str]) -> Printed:
    def read(*words: str) -> list[int]:
        assert run_verb(["events", "--dir", str(folder.root), "--json", *words]) == 0
        return [json.loads(line)["seq"] for line in capfd.readouterr().out.splitlines()]

    return read


@pytest.mark.parametrize(
    ("words", "seqs"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("--limit 2", [4, 5]),
        ("--severity warning", [2, 3]),
        ("--severity warning --limit 1", [3]),
        ("--member controller", [1, 2]),
        ("--member controller --member node-1 --group inbound", [4]),
        ("--event RunStarted --event runfailed", [1, 2, 5]),
        ("--component transfer/orders", [3, 5]),
        ("--account supplier", [4]),
        ("--revision 33333", [3]),
        ("--epoch 5", [5]),
        ("--text partner", [2]),
        ("--since 2026-11-29T03:00 --until 2026-11-29T05:00Z", [3, 4]),
        ("--since 2026-11-29T05:00:00.001Z", []),
    ],
)
def test_filters_leave_what_was_asked_for_with_the_newest_last(
    printed: Printed, words: str, seqs: list[int]
) -> None:
    assert printed(*words.split()) == seqs


def test_a_filter_that_cannot_be_is_refused_with_a_way_out(
    folder: StateFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(["events", "--dir", str(folder.root), "--event", "RunFaild"]) == 2
    assert "did you mean 'RunFailed'?" in capfd.readouterr().err


def test_following_goes_on_with_what_is_written_later(store: EventStore) -> None:
    query = EventQuery(events=frozenset({EventName.RUN_STARTED}))
    found = find_events(store, query, limit=1, follow=True)
    assert next(found).seq == 5
    store.append(EventName.RUN_FAILED)
    store.append(EventName.RUN_STARTED, facts={"transfer": "new"})
    assert next(found).facts == {"transfer": "new"}
    found.close()  # type: ignore[attr-defined]
