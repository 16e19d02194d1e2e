"""Files of events: whole lines, put aside in time, and never in the place of something else."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from handler_site import HandlerSite, handler_site
from waiting import until

from mftgit.errors import ConfigError
from mftgit.model.handlers.handler import Every, FileHandler
from mftgit.model.names import EventHandlerName

HANDLER = FileHandler(name=EventHandlerName("log"), path="events.jsonl")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HandlerSite]:
    with handler_site(tmp_path / "member") as found:
        yield found


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_file_is_put_aside_before_it_is_too_large_and_so_many_are_kept(site: HandlerSite) -> None:
    handler = replace(HANDLER, max_bytes=4096, keep=2)
    site.start(handler)
    for _ in range(100):
        site.happen(reason="x" * 100)
    site.settle(handler)
    files = sorted(site.folder.logs.iterdir())
    assert [each.name for each in files] == ["events.jsonl", "events.jsonl.1", "events.jsonl.2"]
    assert all(each.stat().st_size <= 4096 for each in files)
    left = [number for each in reversed(files) for number in numbers(each)]
    assert left == list(range(left[0], 101))
    assert left[0] > 1


def test_a_file_of_yesterday_is_put_aside(site: HandlerSite) -> None:
    path = site.folder.logs / "events.jsonl"
    path.write_text('{"seq": 0}\n', encoding="utf-8")
    long_ago = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    os.utime(path, (long_ago, long_ago))
    handler = replace(HANDLER, every=Every.DAY)
    site.start(handler)
    site.happen()
    site.settle(handler)
    assert (numbers(path), numbers(path.with_name("events.jsonl.1"))) == ([1], [0])


def test_a_line_that_a_crash_has_cut_spoils_no_other(site: HandlerSite) -> None:
    path = site.folder.logs / "events.jsonl"
    path.write_text('{"seq": 0}\n{"member": "no', encoding="utf-8")
    site.start(HANDLER)
    site.happen()
    site.settle(HANDLER)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1] == '{"member": "no'
    assert json.loads(lines[2])["seq"] == 1


def test_a_template_makes_lines_for_people(site: HandlerSite) -> None:
    handler = replace(HANDLER, template="{severity} {event} {facts.file}")
    site.start(handler)
    site.happen(file="a\nb {member}")
    site.settle(handler)
    text = (site.folder.logs / "events.jsonl").read_text(encoding="utf-8")
    assert text == "error RunFailed a\\nb {member}\n"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_nothing_is_written_through_a_link_or_into_a_pipe(
    site: HandlerSite, tmp_path: Path, kind: str
) -> None:
    path, other = site.folder.logs / "events.jsonl", tmp_path / "other"
    other.touch()
    path.symlink_to(other) if kind == "link" else os.mkfifo(path)
    running = site.start(HANDLER)
    site.happen()
    until(lambda: running.status().error)
    assert other.read_bytes() == b""


@pytest.mark.parametrize(
    "place", ["{root}/bootstrap.json", "{root}/secrets/x", "{logs}/link/x", "/nowhere/at/all/x"]
)
def test_a_file_among_those_of_the_member_is_refused(site: HandlerSite, place: str) -> None:
    (site.folder.logs / "link").symlink_to(site.root)
    path = place.format(root=site.root, logs=site.folder.logs)
    with pytest.raises(ConfigError):
        site.start(replace(HANDLER, path=path))


def test_a_file_may_lie_elsewhere(site: HandlerSite, tmp_path: Path) -> None:
    handler = replace(HANDLER, path=str(tmp_path / "events.jsonl"))
    site.start(handler)
    site.happen()
    site.settle(handler)
    assert numbers(tmp_path / "events.jsonl") == [1]
