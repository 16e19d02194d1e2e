"""From a push to a delivered file, on real parts."""

import signal
from pathlib import Path

import pytest
from cluster import Cluster, mftgit_json
from sshd import Sshd

NODES = ["node-1", "node-2"]

pytestmark = pytest.mark.needs("sshd")


def drop(made: Cluster, *names: str) -> None:
    for name in names:
        fresh = made.files / "inbox" / f".{name}.writing"
        fresh.write_bytes(f"content of {name}".encode() * 1000)
        fresh.rename(made.files / "inbox" / name)


def arrived(partner: Sshd) -> list[str]:
    folder = partner.folder / "incoming"
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def until_arrived(made: Cluster, partner: Sshd, *names: str) -> None:
    made.until(f"{names} are delivered", lambda: set(arrived(partner)) >= set(names))


def read(path: Path) -> bytes:
    return path.read_bytes()


def test_a_pushed_change_runs_on_every_member_and_files_move(
    running: Cluster, partner: Sshd
) -> None:
    clone = running.clone()
    text = (clone / "transfers" / "invoices.yaml").read_text(encoding="utf-8")
    revision = running.push(
        clone, {"transfers/invoices.yaml": text.replace('include: ["*.csv"]', 'include: ["*.edi"]')}
    )
    running.until_active(revision, "controller", *NODES)
    drop(running, "a.csv", "b.edi")
    until_arrived(running, partner, "b.edi")
    assert arrived(partner) == ["b.edi"]
    assert read(partner.folder / "incoming" / "b.edi") == b"content of b.edi" * 1000
    assert (running.files / "inbox" / "a.csv").exists()
    sent = running.files / "inbox" / "sent" / "b.edi"
    running.until("the file is archived, which comes after it has arrived", sent.exists)

    def counted() -> bool:
        name = running.owner("invoices", among=NODES)
        found = running.transfer("invoices", on=name) if name else None
        return bool(found and found["delivered"] == 1 and found["last_run"])

    running.until("the delivery shows in the status", counted)
    expected = {
        "PushReceived", "RevisionPublished", "RevisionFetched", "RevisionVerified",
        "RevisionActivated", "PlanApplied", "OwnershipTaken", "RunStarted", "DeliverySucceeded",
    }  # fmt: skip
    running.until(
        "all of it is told", lambda: expected <= {each["event"] for each in running.events()}
    )


def test_a_node_restarts_on_its_last_known_good_revision_without_the_controller(
    running: Cluster, partner: Sshd
) -> None:
    revision = running.status()["revision"]
    running.kill("controller")
    for name in NODES:
        running.kill(name)
    running.start("node-2")
    drop(running, "while-away.csv")
    until_arrived(running, partner, "while-away.csv")
    assert running.member("node-2", seen_by="node-2")["active_revision"] == revision
    running.start_controller()
    running.until(
        "what happened meanwhile is reported",
        lambda: any(
            each["event"] == "DeliverySucceeded" and each["member"] == "node-2"
            for each in running.events()
        ),
    )


def test_when_the_owner_is_killed_the_other_node_delivers_and_nothing_arrives_twice(
    running: Cluster, partner: Sshd
) -> None:
    drop(running, "first.csv")
    until_arrived(running, partner, "first.csv")
    owner = running.until_owner("invoices", among=NODES)
    epoch = (running.transfer("invoices", on=owner) or {})["epoch"]
    running.kill(owner)
    drop(running, *(f"after-{number}.csv" for number in range(5)))
    until_arrived(running, partner, *(f"after-{number}.csv" for number in range(5)))
    (other,) = set(NODES) - {owner}
    running.until(
        "the other node owns it", lambda: running.owner("invoices", among=[other]) == other
    )
    assert (running.transfer("invoices", on=other) or {})["epoch"] > epoch
    delivered = {  # of one that died while it told of a delivery another tells once more, by the same id
        each["id"]: each["path"]
        for name in NODES
        for each in running.events(name)
        if each["event"] == "DeliverySucceeded"
    }
    assert len(delivered) == len(set(delivered.values())) == 6


def test_an_owner_that_was_stopped_and_wakes_up_stands_back(
    running: Cluster, partner: Sshd
) -> None:
    drop(running, "first.csv")
    until_arrived(running, partner, "first.csv")
    owner = running.until_owner("invoices", among=NODES)
    (other,) = set(NODES) - {owner}
    running.signal(owner, signal.SIGSTOP)
    drop(running, "second.csv")
    until_arrived(running, partner, "second.csv")
    running.signal(owner, signal.SIGCONT)
    drop(running, "third.csv")
    until_arrived(running, partner, "third.csv")
    running.until(
        "the woken owner stands by",
        lambda: (running.transfer("invoices", on=owner) or {})["owner"] == other,
    )
    assert arrived(partner) == ["first.csv", "second.csv", "third.csv"]


def test_a_change_touches_only_the_transfers_that_it_changes(running: Cluster) -> None:
    clone = running.clone()
    text = (clone / "transfers" / "invoices.yaml").read_text(encoding="utf-8")
    revision = running.push(clone, {"transfers/invoices.yaml": "# a comment\n" + text})
    running.until_active(revision, *NODES)
    assert not [
        each
        for each in running.events()
        if each["event"] == "PlanApplied" and each["revision"] == revision
    ]
    revision = running.push(
        clone, {"transfers/invoices.yaml": text.replace("every_s: 1", "every_s: 2")}
    )
    running.until_active(revision, *NODES)
    running.until(
        "the plan is reported",
        lambda: (
            len(
                [
                    e
                    for e in running.events()
                    if e["event"] == "PlanApplied" and e["revision"] == revision
                ]
            )
            == len(NODES)
        ),
    )
    for event in running.events():
        if event["event"] == "PlanApplied" and event["revision"] == revision:
            assert (event["started"], event["changed"], event["stopped"]) == ([], ["invoices"], [])


def test_a_clean_stop_hands_the_transfer_over(running: Cluster, partner: Sshd) -> None:
    drop(running, "first.csv")
    until_arrived(running, partner, "first.csv")
    owner = running.until_owner("invoices", among=NODES)
    assert running.stop(owner) == 0
    drop(running, "second.csv")
    until_arrived(running, partner, "second.csv")
    assert running.member(owner)["state"] == "stopped"


def test_a_changed_host_key_stops_the_transfer_and_names_the_fingerprint(
    running: Cluster, partner: Sshd
) -> None:
    clone = running.clone()
    text = (clone / "locations" / "partner.yaml").read_text(encoding="utf-8")
    other = "SHA256:" + "A" * 43
    pinned = partner.host_keys["ed25519"]
    running.push(clone, {"locations/partner.yaml": text.replace(pinned, other)})
    running.until_active(running.status()["revision"], *NODES)
    drop(running, "secret.csv")
    running.until(
        "the run fails",
        lambda: any(
            pinned in str(each.get("errors")) and other in str(each.get("errors"))
            for each in running.events()
            if each["event"] == "RunFailed"
        ),
    )
    assert arrived(partner) == []


def test_a_node_follows_under_a_new_key_without_a_restart(running: Cluster) -> None:
    rotated = mftgit_json("member", "rotate-key", "--dir", running.dir("node-1"), cwd=running.root)
    revision = running.push(running.clone(), {"notes.md": "after the rotation"})
    running.until_active(revision, "controller", *NODES)
    (event,) = [each for each in running.events() if each["event"] == "MemberKeyRotated"]
    assert (event["of"], event["fingerprint"]) == ("node-1", rotated["fingerprint"])
