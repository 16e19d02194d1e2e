"""A definition is told in the words of the documents, and says of secrets only where they lie."""

from dataclasses import replace
from typing import Any

import pytest

from mftgit.model.configuration.config import (
    Batch,
    Cluster,
    Destination,
    Generation,
    Member,
    Preserve,
    Role,
    Source,
    Transfer,
)
from mftgit.model.configuration.definition import (
    describe_location,
    describe_trigger,
    tell_definition,
)
from mftgit.model.locations.location import LocalLocation, SftpLocation
from mftgit.model.locations.login import KeyAuth, PasswordAuth
from mftgit.model.names import LocationName, MemberName, SecretName, TransferName
from mftgit.model.secrets.value import SecretValue
from mftgit.model.transfers.content import Gunzip, Zip
from mftgit.model.transfers.triggers import (
    AfterTrigger,
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    Trigger,
    WatchTrigger,
)

HERE = LocalLocation(name=LocationName("here"), path="in")
THERE = SftpLocation(
    name=LocationName("there"),
    host="h",
    username="u",
    host_keys=("SHA256:x",),
    auth=(PasswordAuth(secret=SecretName("s")), KeyAuth(file="k")),
)
TRANSFER = Transfer(
    name=TransferName("t"),
    source=Source(location=HERE.name),
    destination=Destination(location=THERE.name, preserve=frozenset(Preserve)),
    trigger=WatchTrigger(every_s=2),
    content=(Gunzip(most_bytes=9), Zip()),
)
GENERATION = Generation(
    cluster=Cluster(name="c"),
    member=Member(name=MemberName("m"), role=Role.NODE),
    locations={HERE.name: HERE, THERE.name: THERE},
    secrets={SecretName("s"): SecretValue("planted")},
)


def test_a_definition_has_both_places_and_no_secret() -> None:
    told = tell_definition(TRANSFER, GENERATION)
    assert told["source"]["location"] == {"name": "here", "type": "local", "path": "in"}
    assert told["destination"]["location"]["auth"] == [
        {"password": {"secret": "s"}},
        {"private_key": {"file": "k"}},
    ]
    assert told["destination"]["overwrite"] == "fail"
    assert told["destination"]["preserve"] == ["mode", "times"]
    assert told["content"] == [{"gunzip": {"most_bytes": 9}}, {"zip": {}}]
    assert told["after_success"] == {"action": "delete", "path": None, "keep_days": None}
    assert told["batch"] is None
    assert told["deduplicate"] is None
    assert tell_definition(replace(TRANSFER, batch=Batch()), GENERATION)["batch"] == {"at_least": 1}
    assert "planted" not in str(told)


@pytest.mark.parametrize(
    ("trigger", "told", "words"),
    [
        (WatchTrigger(every_s=2), {"watch": {"every_s": 2, "by": "auto"}}, "looking every 2 s"),
        (
            IntervalTrigger(every_s=90),
            {"interval": {"every_s": 90, "catch_up_s": 3600.0}},
            "every 90 s",
        ),
        (
            CronTrigger(expression="0 1 * * *"),
            {"cron": {"expression": "0 1 * * *", "timezone": "UTC", "catch_up_s": 3600.0}},
            "by cron '0 1 * * *' in UTC",
        ),
        (
            AfterTrigger(transfer=TransferName("u"), calendar="off"),
            {"after": {"transfer": "u", "calendar": "off"}},
            "after a run of u that succeeded",
        ),
        (ManualTrigger(), {"manual": {}}, "by hand only"),
    ],
)
def test_a_trigger_is_told_by_its_kind(trigger: Trigger, told: dict[str, Any], words: str) -> None:
    assert tell_definition(replace(TRANSFER, trigger=trigger), GENERATION)["trigger"] == told
    assert words in describe_trigger(trigger)


def test_a_place_is_described_for_people() -> None:
    assert describe_location(HERE) == "here (local folder in)"
    assert describe_location(THERE) == "there (sftp://u@h:22, .)"
