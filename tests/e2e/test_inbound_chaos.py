"""Clients upload through a real HAProxy while members and their processes are killed at random, for two minutes."""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from balanced import NODES, Balanced, balanced, digest

pytestmark = [pytest.mark.soak, pytest.mark.needs("haproxy"), pytest.mark.needs("sftp")]

SOAK_S: Final = float(os.environ.get("MFTGIT_SOAK_S", "120"))
CLIENTS: Final = 4
LARGEST_BYTES: Final = 2 << 20
SLOW: Final = ("-l", "8000")  # kbit/s: two seconds for the largest, so that some are cut short
SEED: Final = 20261129


@dataclass
class Sent:
    """What clients tried to send, and which of it was acknowledged."""

    tried: dict[str, str] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    resumed: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    failures: list[str] = field(default_factory=list)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Balanced]:
    with balanced(tmp_path, defence="failures: 1000") as made:
        yield made


def upload(site: Balanced, sent: Sent, number: int, until: float) -> None:
    """Send files until then; what broke off is gone on with, with whichever member, until it is acknowledged."""
    chance = random.Random(SEED + number)
    for count in range(100_000):
        if time.monotonic() > until:
            return
        name = f"f{number}-{count}"
        content = chance.randbytes(chance.randrange(LARGEST_BYTES))
        (site.made.root / name).write_bytes(content)
        sent.tried[name] = digest(content)
        verb, options = "put", chance.choice(((), SLOW))
        while name not in sent.acknowledged and not sent.over.is_set():
            done = site.run(f"{verb} {name}", options=options)
            if done.returncode == 0:
                sent.acknowledged.add(name)
                sent.resumed += verb == "reput"
                continue
            sent.failures.append(f"{verb} {name}: {done.stdout}")
            # As a person does: what is there decides what is done next.
            size_bytes = size_of(site, name)
            verb = "reput" if size_bytes is not None and size_bytes < len(content) else "put"
        (site.made.root / name).unlink()


def size_of(site: Balanced, name: str) -> int | None:
    """How large a client sees a file to be, or what was sent of it."""
    listed = [line.split() for line in site.run(f"ls -l {name}").stdout.splitlines()]
    return next(
        (int(words[4]) for words in listed if words[-1:] == [name] and len(words) > 8), None
    )


def workers(site: Balanced, name: str) -> list[int]:
    """The processes that serve the clients of a member."""
    member, found = site.made.running[name].pid, []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except (OSError, NotADirectoryError):
            continue
        if words[1] == str(member):
            found.append(int(entry.name))
    return found


def do_harm(site: Balanced, until: float) -> list[str]:
    """Kill members and their processes, one after the other, until then; what was killed is started again."""
    chance, done = random.Random(SEED), []
    while time.monotonic() < until:
        threading.Event().wait(chance.uniform(0.5, 3.0))
        name = chance.choice(NODES)
        deed = chance.choice(("kill the member", "kill a process", "stop for a while"))
        done.append(deed)
        if deed == "kill the member":
            site.made.kill(name)
            threading.Event().wait(chance.uniform(0.0, 2.0))
            site.start_node(name)
            continue
        found = workers(site, name)
        if not found:
            continue
        victim = chance.choice(found)
        with suppress(ProcessLookupError):  # it has ended by itself
            if deed == "kill a process":
                os.kill(victim, signal.SIGKILL)
            else:
                os.kill(victim, signal.SIGSTOP)
                threading.Event().wait(chance.uniform(0.1, 2.0))
                os.kill(victim, signal.SIGCONT)
    return done


def test_every_file_that_was_acknowledged_is_there_whole_with_its_event_and_none_is_half(
    site: Balanced,
) -> None:
    sent, until = Sent(), time.monotonic() + SOAK_S
    clients = [
        threading.Thread(target=upload, args=(site, sent, number, until))
        for number in range(CLIENTS)
    ]
    for each in clients:
        each.start()
    deeds = do_harm(site, until)
    for each in clients:
        each.join(100)
    stuck = any(each.is_alive() for each in clients)
    sent.over.set()
    assert not stuck, sent.failures[-20:]
    told = {
        (each["path"].removeprefix("/"), each["sha256"])
        for _, each in site.events("UploadFinished")
    }
    visible = {each.name: digest(each.read_bytes()) for each in site.home.glob("f*")}
    assert {name: sent.tried[name] for name in visible} == visible
    assert sent.acknowledged <= visible.keys()
    assert {(name, sent.tried[name]) for name in sent.acknowledged} <= told
    site.made.until("the controller has every event", lambda: reported(site) >= told)
    assert (len(sent.acknowledged) > 10, sent.resumed > 0, len(deeds) > 5) == (True, True, True)


def reported(site: Balanced) -> set[tuple[str, str]]:
    """What the controller was told of uploads."""
    return {
        (each["path"].removeprefix("/"), each["sha256"])
        for each in site.made.events()
        if each["event"] == "UploadFinished"
    }
