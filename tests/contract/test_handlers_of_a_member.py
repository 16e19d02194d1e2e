"""Event handlers come, change and go with revisions, and none of them waits for another."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from config_tree import validate
from handler_site import HandlerSite, handler_site
from waiting import until

from mftgit.adapters.state_folder import Bootstrap
from mftgit.errors import ConfigError
from mftgit.member.handlers.handlers import TRY_EVERY_S, Handlers
from mftgit.model.configuration.config import Generation, Role
from mftgit.model.configuration.render import render
from mftgit.model.events.event import EventName
from mftgit.model.handlers.status import HandlerState
from mftgit.model.names import MemberName

ME = MemberName("node-1")
FILE = "event-handlers/log.yaml"
LOG = "type: file\npath: events.jsonl\nactive_on: nodes\n"
HANGS = "type: command\nprogram: hang\nactive_on: nodes\ntimeout_s: 600\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HandlerSite]:
    with handler_site(tmp_path / "node-1") as found:
        yield found


@pytest.fixture
def handlers(site: HandlerSite) -> Iterator[Handlers]:
    found = open_handlers(site)
    yield found
    found.stop()


def open_handlers(site: HandlerSite, *, try_every_s: float = TRY_EVERY_S) -> Handlers:
    bootstrap = Bootstrap(
        name=ME, role=Role.NODE, cluster_id="x", controller_url="", files_root=str(site.root)
    )

    def told(event: EventName, **rest: Any) -> None:
        site.log.append(event, facts=rest["facts"])

    found = Handlers(
        folder=site.folder,
        bootstrap=bootstrap,
        log=site.log,
        told=told,
        try_every_s=try_every_s,
    )
    found.start()
    return found


def generation(files: Mapping[str, str]) -> Generation:
    found = validate(files)
    assert found.problems == ()
    return render(found, ME, Role.NODE)


def apply(handlers: Handlers, files: Mapping[str, str]) -> None:
    handlers.apply(handlers.prepare(generation(files), fresh=True))


def numbers(site: HandlerSite, name: str = "events.jsonl") -> list[int]:
    path = site.folder.logs / name
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [number for line in lines if (number := _seq(line)) is not None]


def _seq(line: str) -> int | None:
    """Return the number of an event, None where a kill has cut the line."""
    try:
        found: int = json.loads(line)["seq"]
    except ValueError:
        return None
    return found


def program(site: HandlerSite, name: str, text: str) -> None:
    path = site.folder.commands / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o700)


def test_a_handler_that_comes_begins_with_what_happens_from_then_on(
    site: HandlerSite, handlers: Handlers
) -> None:
    site.happen()
    apply(handlers, {FILE: LOG})
    site.happen()
    until(lambda: numbers(site) == [2])
    apply(handlers, {})
    assert handlers.status() == []


def test_one_that_is_as_it_was_is_left_alone_and_one_that_changed_goes_on(
    site: HandlerSite, handlers: Handlers
) -> None:
    apply(handlers, {FILE: LOG})
    assert handlers.prepare(generation({FILE: f"{LOG}description: x\n"}), fresh=True).works == {}
    site.happen()
    until(lambda: numbers(site) == [1])
    apply(handlers, {FILE: f"{LOG}include: {{events: [RunFailed]}}\n"})
    site.happen(EventName.RUN_STARTED)
    site.happen()
    until(lambda: numbers(site) == [1, 3])


def test_one_that_is_gone_for_a_moment_goes_on_where_it_was(
    site: HandlerSite, handlers: Handlers
) -> None:
    apply(handlers, {FILE: LOG})
    site.happen()
    until(lambda: numbers(site) == [1])
    apply(handlers, {})
    site.happen()
    apply(handlers, {FILE: LOG})
    until(lambda: numbers(site) == [1, 2])


def test_one_that_was_gone_for_long_begins_anew(site: HandlerSite, handlers: Handlers) -> None:
    apply(handlers, {FILE: LOG})
    site.happen()
    until(lambda: numbers(site) == [1])
    apply(handlers, {})
    name = next(iter(site.records.names()))
    site.records.keep(name, {**site.records.read(name), "gone_at": 1.0})
    site.happen()
    apply(handlers, {FILE: LOG})
    site.happen()
    until(lambda: numbers(site)[-1:] == [3])
    assert numbers(site) == [1, 3]
    site.records.keep(name, {**site.records.read(name), "gone_at": 1.0})
    apply(handlers, {})
    site.records.keep(name, {**site.records.read(name), "gone_at": 1.0})
    apply(handlers, {})
    assert site.records.names() == set()


def test_what_a_new_handler_lacks_refuses_the_revision(handlers: Handlers) -> None:
    wanted = generation({"event-handlers/page.yaml": HANGS})
    with pytest.raises(ConfigError, match=r"event handler page: .*hang"):
        handlers.prepare(wanted, fresh=True)


def test_what_has_run_before_starts_without_and_tells(
    site: HandlerSite, handlers: Handlers
) -> None:
    wanted = generation({"event-handlers/page.yaml": HANGS, FILE: LOG})
    handlers.apply(handlers.prepare(wanted, fresh=False))
    log, page = handlers.status()
    assert (log.state, page.state) == (HandlerState.WAITING, HandlerState.FAILING)
    assert "hang" in str(page.error)
    site.happen()
    until(lambda: numbers(site) == [1])


def test_what_lacked_something_works_once_it_is_there(site: HandlerSite, tmp_path: Path) -> None:
    handlers = open_handlers(site, try_every_s=0.0)
    try:
        wanted = generation({"event-handlers/page.yaml": HANGS})
        handlers.apply(handlers.prepare(wanted, fresh=False))
        program(site, "hang", f'cat > "{tmp_path}/paged"')
        until(lambda: handlers.status()[0].error is None)
        site.happen()
        until((tmp_path / "paged").exists)
    finally:
        handlers.stop()


def test_a_handler_that_hangs_keeps_no_other_and_ends_with_its_member(
    site: HandlerSite, tmp_path: Path
) -> None:
    program(site, "hang", f'echo $$ > "{tmp_path}/pid"; sleep 600')
    handlers = open_handlers(site)
    try:
        apply(handlers, {"event-handlers/page.yaml": HANGS, FILE: LOG})
        for _ in range(5):
            site.happen()
        until(lambda: numbers(site) == [1, 2, 3, 4, 5])
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_bytes())
        until(lambda: [each.behind for each in handlers.status()] == [0, 5])
    finally:
        handlers.stop()
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    until(lambda: not Path(f"/proc/{pid}/cmdline").exists())


def test_two_handlers_that_fail_at_each_others_events_come_to_rest(
    site: HandlerSite, handlers: Handlers
) -> None:
    for name in ("one", "two"):
        program(site, name, "exit 1")
    documents = {
        f"event-handlers/{name}.yaml": f"type: command\nprogram: {name}\nactive_on: nodes\n"
        for name in ("one", "two")
    }
    apply(handlers, documents)
    site.happen()
    until(lambda: site.log.last_position() == 3)
    told = [event.event for _, event in site.log.after(0)]
    assert told[1:] == [EventName.EVENT_HANDLER_FAILING] * 2
    until(lambda: [each.behind for each in handlers.status()] == [2, 2])
    assert site.log.last_position() == 3


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from handler_site import handler_site
from mftgit.model.handlers.handler import FileHandler
from mftgit.model.names import EventHandlerName
with handler_site(Path(sys.argv[1])) as site:
    site.start(FileHandler(name=EventHandlerName("log"), path="events.jsonl"))
    print("started", flush=True)
    while True:
        site.happen()
"""


def test_nothing_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    root, support = tmp_path / "node-1", Path(__file__).parents[1] / "support"
    for _ in range(4):
        command = [sys.executable, "-c", CHILD, str(root), str(support)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            path = root / "logs" / "events.jsonl"
            before = path.stat().st_size if path.exists() else 0
            until(lambda path=path, before=before: path.exists() and path.stat().st_size > before)  # type: ignore[misc]
            os.kill(child.pid, signal.SIGKILL)
    with handler_site(root) as site:
        handlers = open_handlers(site)
        apply(handlers, {FILE: LOG})
        newest = site.happen().seq
        until(lambda: numbers(site)[-1] == newest)
        handlers.stop()
        assert list(dict.fromkeys(numbers(site))) == list(range(1, newest + 1))
