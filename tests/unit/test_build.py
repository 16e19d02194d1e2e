"""What a document says becomes typed configuration, with the defaults of the types where it says nothing."""

from typing import Any

import pytest

from mftgit.model.configuration.build import (
    Scope,
    build_cluster,
    build_member,
    build_scope,
    build_transfer,
)
from mftgit.model.configuration.config import (
    EVERYWHERE,
    ActiveOn,
    AfterSuccess,
    Batch,
    Claiming,
    Cluster,
    Deduplicate,
    Destination,
    Fallback,
    Member,
    Overwrite,
    Ownership,
    Preserve,
    Role,
    Source,
    Transfer,
    Verify,
)
from mftgit.model.keys.algorithms import Algorithms
from mftgit.model.locations.document import build_location
from mftgit.model.locations.location import Client, Jump, LocalLocation, SftpLocation
from mftgit.model.locations.login import KeyAuth, PasswordAuth, SecretRef
from mftgit.model.names import LocationName, MemberName, SecretName, TransferName
from mftgit.model.transfers.checksum import ChecksumFormat, Sidecar
from mftgit.model.transfers.commands import Command, Commands
from mftgit.model.transfers.content import Gunzip, Gzip, Unzip, Zip
from mftgit.model.transfers.failover import Failover
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.source import Checksum, Marker, Order, Regex
from mftgit.model.transfers.triggers import (
    AfterTrigger,
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    Trigger,
    WatchBy,
    WatchTrigger,
    calendar_of,
)

A, B, T = LocationName("a"), LocationName("b"), TransferName("t")
LEAST: dict[str, Any] = {
    "source": {"location": "a"},
    "destination": {"location": "b"},
    "trigger": {"watch": {}},
}


def test_a_cluster_has_the_defaults_of_its_type() -> None:
    assert build_cluster({"name": "c"}) == Cluster(name="c")
    assert build_cluster({"name": "c", "coordinator": {"type": "shared-folder"}}) == Cluster(
        name="c"
    )


def test_a_cluster_takes_what_the_document_says() -> None:
    value = {"name": "c", "poll_s": 7, "coordinator": {"type": "shared-folder", "ttl_s": 4}}
    assert build_cluster(value) == Cluster(name="c", lease_ttl_s=4.0, poll_s=7.0)


def test_a_member_takes_what_the_document_says() -> None:
    name = MemberName("m")
    assert build_member(name, {"role": "node"}) == Member(name=name, role=Role.NODE)
    assert build_member(
        name, {"role": "controller", "labels": {"k": "v"}, "variables": {"x": 1, "y": True}}
    ) == Member(name=name, role=Role.CONTROLLER, labels={"k": "v"}, variables={"x": 1, "y": True})


@pytest.mark.parametrize(
    ("value", "active_on"),
    [
        ("all", EVERYWHERE),
        ("controller", ActiveOn(roles=frozenset({Role.CONTROLLER}))),
        ("nodes", ActiveOn(roles=frozenset({Role.NODE}))),
        (["m", "n"], ActiveOn(members=frozenset({MemberName("m"), MemberName("n")}))),
        ({"labels": {"k": "v"}}, ActiveOn(labels=frozenset({("k", "v")}))),
    ],
)
def test_active_on_has_five_forms(value: object, active_on: ActiveOn) -> None:
    assert build_scope({"active_on": value}) == Scope(active_on=active_on)


def test_what_is_not_enabled_runs_nowhere() -> None:
    member = Member(name=MemberName("m"), role=Role.NODE)
    assert build_scope({}).runs_on(member)
    assert not build_scope({"enabled": False}).runs_on(member)
    assert not build_scope({"active_on": "controller"}).runs_on(member)


def test_a_local_location_has_a_path() -> None:
    assert build_location(A, {"type": "local", "path": "p"}) == LocalLocation(name=A, path="p")


def test_an_sftp_location_takes_what_the_document_says() -> None:
    least: dict[str, Any] = {
        "type": "sftp",
        "host": "h",
        "username": "u",
        "host_keys": ["k"],
        "auth": [
            {"password": {"file": "p"}},
            {"private_key": {"file": "q"}},
            {"password": {"secret": "r"}},
            {
                "private_key": {"secret": "s"},
                "passphrase": {"secret": "t"},
                "certificate": {"file": "c"},
            },
        ],
    }
    auth = (
        PasswordAuth(file="p"),
        KeyAuth(file="q"),
        PasswordAuth(secret=SecretName("r")),
        KeyAuth(
            secret=SecretName("s"),
            passphrase=SecretRef(secret=SecretName("t")),
            certificate=SecretRef(file="c"),
        ),
    )
    assert build_location(A, least) == SftpLocation(
        name=A, host="h", username="u", host_keys=("k",), auth=auth
    )
    by_authority = {**least, "host_ca": ["c"]}
    del by_authority["host_keys"]
    assert build_location(A, by_authority) == SftpLocation(
        name=A, host="h", username="u", host_ca=("c",), auth=auth
    )
    tuned = {
        "jump": {
            "host": "j",
            "port": 2222,
            "username": "v",
            "host_keys": ["m"],
            "auth": [{"private_key": {"file": "q"}}],
        },
        "client": "openssh",
        "legacy": True,
        "algorithms": {"kex": ["curve25519-sha256"], "host_keys": ["rsa-sha2-256", "ssh-ed25519"]},
        "connect_timeout_s": 5,
        "keepalive_s": 0,
        "flush": False,
        "idle_s": 0,
        "max_connections": 1,
    }
    assert build_location(A, least | tuned) == SftpLocation(
        name=A,
        host="h",
        username="u",
        host_keys=("k",),
        auth=auth,
        jump=Jump(host="j", port=2222, username="v", host_keys=("m",), auth=(KeyAuth(file="q"),)),
        client=Client.OPENSSH,
        legacy=True,
        algorithms=Algorithms(
            kex=("curve25519-sha256",), host_keys=("rsa-sha2-256", "ssh-ed25519")
        ),
        connect_timeout_s=5.0,
        keepalive_s=0,
        flush=False,
        idle_s=0.0,
        max_connections=1,
    )
    assert build_location(A, {**least, "port": 22.0, "path": "x", "timeout_s": 3}) == SftpLocation(
        name=A,
        host="h",
        port=22,
        username="u",
        path="x",
        host_keys=("k",),
        auth=auth,
        timeout_s=3.0,
    )


def test_a_transfer_has_the_defaults_of_its_type() -> None:
    assert build_transfer(T, LEAST) == Transfer(
        name=T,
        source=Source(location=A),
        destination=Destination(location=B),
        trigger=WatchTrigger(),
    )


def test_a_source_takes_what_the_document_says() -> None:
    said = {
        "include": ["*.csv", {"regex": "a+"}],
        "exclude": [{"regex": "b+"}],
        "recursive": True,
        "depth": 2,
        "min_size_bytes": 1,
        "max_size_bytes": 2,
        "min_age_s": 3,
        "max_age_s": 4,
        "marker": {"suffix": ".ok", "replaces": True},
        "order": "size",
        "descending": True,
        "at_most": 7,
        "claim": "record",
    }
    built = build_transfer(T, {**LEAST, "source": {"location": "a", **said}})
    assert built.source == Source(
        location=A,
        include=("*.csv", Regex(regex="a+")),
        exclude=(Regex(regex="b+"),),
        recursive=True,
        depth=2,
        min_size_bytes=1,
        max_size_bytes=2,
        min_age_s=3.0,
        max_age_s=4.0,
        marker=Marker(suffix=".ok", replaces=True),
        order=Order.SIZE,
        descending=True,
        at_most=7,
        claim=Claiming.RECORD,
    )


def test_a_transfer_takes_what_the_document_says() -> None:
    value = {
        "source": {
            "location": "a",
            "path": "p",
            "include": ["i"],
            "exclude": ["e"],
            "recursive": True,
            "stable_s": 1,
            "checksum": {"suffix": ".md5", "required": False},
        },
        "destination": {
            "location": "b",
            "path": "q",
            "name": "{stem}",
            "timezone": "Europe/Berlin",
            "temporary_prefix": "p-",
            "temporary_suffix": ".t",
            "temporary_folder": "tmp",
            "overwrite": "rename",
            "preserve": ["mode"],
            "verify": "read_back",
            "checksum": {"suffix": ".sum", "format": "bsd"},
            "resume": False,
            "fallback": {"location": "c", "path": "r", "after_failures": 2},
        },
        "trigger": {"interval": {"every_s": 9}},
        "content": [
            {"gunzip": {"most_bytes": 7}},
            {"unzip": {}},
            {"zip": {}},
            {"gzip": {"level": 9}},
        ],
        "bytes_per_s": 5000,
        "retry": {"first_s": 1, "longest_s": 9, "jitter": 0, "attempts": 3, "quarantine": "bad"},
        "batch": {"at_least": 3},
        "parallel": 4,
        "deduplicate": {"within_days": 8},
        "commands": {"after_file": {"program": "p", "arguments": ["-x"], "timeout_s": 9}},
        "after_success": {"action": "archive", "path": "s", "keep_days": 9},
        "ownership": "each",
        "prefer": ["m"],
        "failover": {"after_failures": 2, "cool_down_s": 9},
    }
    assert build_transfer(T, value) == Transfer(
        name=T,
        source=Source(
            location=A,
            path="p",
            include=("i",),
            exclude=("e",),
            recursive=True,
            stable_s=1.0,
            checksum=Checksum(suffix=".md5", required=False),
        ),
        destination=Destination(
            location=B,
            path="q",
            name="{stem}",
            timezone="Europe/Berlin",
            temporary_prefix="p-",
            temporary_suffix=".t",
            temporary_folder="tmp",
            overwrite=Overwrite.RENAME,
            preserve=frozenset({Preserve.MODE}),
            verify=Verify.READ_BACK,
            checksum=Sidecar(suffix=".sum", format=ChecksumFormat.BSD),
            resume=False,
            fallback=Fallback(location=LocationName("c"), path="r", after_failures=2),
        ),
        trigger=IntervalTrigger(every_s=9.0),
        content=(Gunzip(most_bytes=7), Unzip(), Zip(), Gzip(level=9)),
        bytes_per_s=5000,
        retry=Retry(first_s=1.0, longest_s=9.0, jitter=0.0, attempts=3, quarantine="bad"),
        batch=Batch(at_least=3),
        parallel=4,
        deduplicate=Deduplicate(within_days=8),
        commands=Commands(after_file=Command(program="p", arguments=("-x",), timeout_s=9.0)),
        after_success=AfterSuccess.ARCHIVE,
        archive_path="s",
        archive_days=9,
        ownership=Ownership.EACH,
        prefer=(MemberName("m"),),
        failover=Failover(after_failures=2, cool_down_s=9.0),
    )


@pytest.mark.parametrize(
    ("value", "trigger"),
    [
        ({"cron": {"expression": "* * * * *"}}, CronTrigger(expression="* * * * *")),
        (
            {"cron": {"expression": "1 * * * *", "timezone": "Europe/Berlin"}},
            CronTrigger(expression="1 * * * *", timezone="Europe/Berlin"),
        ),
        ({"interval": {"every_s": 2}}, IntervalTrigger(every_s=2.0)),
        (
            {"interval": {"every_s": 2, "catch_up_s": 0}},
            IntervalTrigger(every_s=2.0, catch_up_s=0.0),
        ),
        (
            {"cron": {"expression": "* * * * *", "catch_up_s": 60}},
            CronTrigger(expression="* * * * *", catch_up_s=60.0),
        ),
        ({"watch": {"every_s": 0.5}}, WatchTrigger(every_s=0.5)),
        (
            {"watch": {"by": "polling", "calendar": "off"}},
            WatchTrigger(by=WatchBy.POLLING, calendar="off"),
        ),
        (
            {"after": {"transfer": "u", "calendar": "off"}},
            AfterTrigger(transfer=TransferName("u"), calendar="off"),
        ),
        ({"manual": {}}, ManualTrigger()),
    ],
)
def test_a_trigger_has_five_forms(value: object, trigger: Trigger) -> None:
    assert build_transfer(T, {**LEAST, "trigger": value}).trigger == trigger


def test_for_how_long_the_ledger_is_kept_is_part_of_the_cluster() -> None:
    assert build_cluster({"name": "acme"}).ledger_days == 400
    assert build_cluster({"name": "acme", "retention": {}}).ledger_days == 400
    assert build_cluster({"name": "acme", "retention": {"ledger_days": 9.0}}).ledger_days == 9


def test_every_trigger_but_the_manual_one_may_have_a_calendar() -> None:
    assert calendar_of(WatchTrigger(calendar="off")) == "off"
    assert calendar_of(WatchTrigger()) is None
    assert calendar_of(ManualTrigger()) is None


def test_the_number_of_the_trust_policy_is_part_of_the_cluster() -> None:
    assert build_cluster({"name": "acme"}).policy_version == 0
    assert build_cluster({"name": "acme", "trust": {"version": 7.0}}).policy_version == 7


def test_a_transfer_goes_to_its_fallback_by_the_rules_of_its_destination() -> None:
    fallback = Fallback(location=LocationName("c"), path="r")
    rules = Destination(location=B, path="q", name="{stem}", fallback=fallback)
    made = Transfer(
        name=T, source=Source(location=A), destination=rules, trigger=IntervalTrigger(every_s=9.0)
    )
    assert made.locations == (A, B, "c")
    there = made.at_fallback()
    assert there.destination == Destination(location=LocationName("c"), path="r", name="{stem}")
    assert there.locations == (A, "c")
    with pytest.raises(LookupError):
        there.at_fallback()
