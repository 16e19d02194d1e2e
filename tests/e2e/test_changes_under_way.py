"""The configuration changes while files are on their way: each arrives once, where a revision said so."""

import random
import signal
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest
from cluster import Cluster, sub
from sshd import Sshd

NODES = ["node-1", "node-2"]
MEMBERS = ["controller", *NODES]
FILES = 48

pytestmark = pytest.mark.needs("sshd")


def drop(made: Cluster, *names: str) -> None:
    for name in names:
        fresh = made.files / "inbox" / f".{name}.writing"
        fresh.write_bytes(name.encode() * 10_000)
        fresh.rename(made.files / "inbox" / name)


def at(partner: Sshd, *folders: str) -> list[str]:
    """Return the names that became visible in ``folders`` of the partner."""
    return sorted(
        path.name
        for folder in folders
        for path in (partner.folder / folder).iterdir()
        if not path.name.startswith(".")
    )


def document(clone: Path, path: str) -> str:
    return (clone / path).read_text(encoding="utf-8")


def test_a_transfer_that_is_renamed_while_its_partner_is_away_leaves_no_file_behind(
    running: Cluster, partner: Sshd
) -> None:
    clone = running.clone()
    location = document(clone, "locations/partner.yaml")
    away = location.replace(f"port: {partner.port}", "port: 9")
    revision = running.push(clone, {"locations/partner.yaml": away})
    running.until_active(revision, *NODES)
    drop(running, "a.csv")
    claimed = running.files / "inbox" / ".mftgit"
    running.until("the file is claimed", lambda: list(claimed.glob("invoices/claims/*/*a.csv")))
    text = document(clone, "transfers/invoices.yaml")
    revision = running.push(
        clone,
        {
            "transfers/invoices.yaml": None,
            "transfers/bills.yaml": text,
            "locations/partner.yaml": location,
        },
    )
    running.until_active(revision, *NODES)
    running.until("the file arrived", lambda: at(partner, "incoming") == ["a.csv"])
    running.until("it is archived", (running.files / "inbox" / "sent" / "a.csv").exists)
    running.until("nothing is left", lambda: not list(claimed.glob("invoices/claims/*/*")))


def test_members_that_are_killed_while_the_destination_moves_lose_and_repeat_nothing(
    running: Cluster, partner: Sshd
) -> None:
    chance = random.Random(20261124)
    (partner.folder / "second").mkdir()
    clone = running.clone()
    first = document(clone, "locations/partner.yaml")
    second = first.replace("/incoming", "/second")
    names = [f"file-{number:03d}.csv" for number in range(FILES)]
    for turn in range(8):
        drop(running, *names[turn::8])
        threading.Event().wait(chance.uniform(0.0, 1.0))
        victim = chance.choice(NODES)
        how = chance.choice(["kill", "stop"])
        if how == "kill":
            running.kill(victim)
        else:
            running.signal(victim, signal.SIGSTOP)
        running.push(clone, {"locations/partner.yaml": first if turn % 2 else second})
        threading.Event().wait(chance.uniform(0.0, 2.0))
        if how == "kill":
            running.start(victim)
        else:
            running.signal(victim, signal.SIGCONT)
    running.until(
        "every file has arrived", lambda: set(at(partner, "incoming", "second")) == set(names)
    )
    running.until(
        "nothing is left under way",
        lambda: not list((running.files / ".mftgit/transfers/invoices").glob("intents/*/*.json")),
    )
    assert Counter(at(partner, "incoming", "second")) == Counter(names)
    for folder in ("incoming", "second"):
        for path in (partner.folder / folder).glob("[!.]*"):
            assert path.read_bytes() == path.name.encode() * 10_000
    assert sorted(path.name for path in (running.files / "inbox" / "sent").iterdir()) == names


def test_a_partner_that_never_answers_does_not_keep_a_member_from_ending(running: Cluster) -> None:
    clone = running.clone()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = document(clone, "locations/partner.yaml")
        location = sub(location, r"(?m)^port: .*$", f"port: {silent.getsockname()[1]}")
        location = sub(location, r"(?m)^timeout_s: .*$", "timeout_s: 900")
        revision = running.push(clone, {"locations/partner.yaml": location})
        running.until_active(revision, *NODES)
        drop(running, "a.csv")
        claimed = running.files / "inbox" / ".mftgit"
        running.until("it is claimed", lambda: list(claimed.glob("invoices/claims/*/*a.csv")))
        owner = running.until_owner("invoices", among=NODES)
        assert running.stop(owner) == 0
