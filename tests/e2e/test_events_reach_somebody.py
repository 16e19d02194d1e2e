"""Events of every member reach the handlers of the controller: each once, and all of them where it is killed."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_cluster import FIRST, NODE, Small, small_cluster

from mftgit.model.events.event import EventName

pytestmark = pytest.mark.e2e

HANDLERS = {
    "event-handlers/seen.yaml": b"type: file\npath: seen.jsonl\n",
    "event-handlers/own.yaml": b"type: file\npath: own.jsonl\nactive_on: all\n",
    "event-handlers/page.yaml": b"type: command\nprogram: page\ninclude: {groups: [revision]}\n",
}


def lines(small: Small, member: str, name: str) -> list[dict[str, Any]]:
    path = small.made.dir(member) / "logs" / name
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def ids(found: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(each["member"], each["seq"]) for each in found]


def arrived(small: Small, event: EventName) -> bool:
    found = lines(small, "controller", "seen.jsonl")
    return any(each["member"] == NODE and each["event"] == event.value for each in found)


def test_events_reach_the_handlers_that_are_to_handle_them(tmp_path: Path) -> None:
    with small_cluster(tmp_path, FIRST) as small:
        small.command("page", "cat >> $(dirname $0)/../paged")
        small.start()
        small.until_says("active")
        revision = small.push(HANDLERS)
        small.until_says("active", revision)
        small.made.until("it is seen", lambda: arrived(small, EventName.REVISION_ACTIVATED))

        # What a member handles itself, the controller leaves to it.
        small.made.until("its own", lambda: bool(lines(small, NODE, "own.jsonl")))
        assert {each["member"] for each in lines(small, NODE, "own.jsonl")} == {NODE}
        small.made.until("the controller's own", lambda: lines(small, "controller", "own.jsonl"))
        assert {each["member"] for each in lines(small, "controller", "own.jsonl")} == {
            "controller"
        }
        paged = small.made.dir("controller") / "paged"
        small.made.until("a program was run", paged.exists)

        def told() -> list[list[str]]:
            members = small.made.status("controller")["members"]
            return [[each["name"] for each in member["event_handlers"]] for member in members]

        small.made.until(
            "the node has told of its own", lambda: told() == [["own", "page", "seen"], ["own"]]
        )
        # A controller that is killed loses nothing.
        small.made.kill("controller")
        small.delivers("file.txt")
        small.made.start_controller()
        small.made.until("it is seen", lambda: arrived(small, EventName.DELIVERY_SUCCEEDED))
        small.until_reported()
        found = ids(lines(small, "controller", "seen.jsonl"))
        of_node = [seq for member, seq in dict.fromkeys(found) if member == NODE]
        assert of_node == list(range(of_node[0], of_node[-1] + 1))
