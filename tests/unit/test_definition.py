"""A definition is told in the words of the documents, and says of secrets only where they lie."""

from dataclasses import replace
from typing import Any

import pytest

from mftgit.model.config import (
    Cluster,
    CronTrigger,
    Destination,
    Generation,
    IntervalTrigger,
    KeyAuth,
    LocalLocation,
    Member,
    PasswordAuth,
    Role,
    SftpLocation,
    Source,
    Transfer,
    Trigger,
    WatchTrigger,
)
from mftgit.model.definition import describe_location, describe_trigger, tell_definition
from mftgit.model.names import LocationName, MemberName, SecretName, TransferName
from mftgit.model.secret_value import SecretValue

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
    destination=Destination(location=THERE.name),
    trigger=WatchTrigger(every_s=2),
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
        {"way": "password", "file": None, "secret": "s"},
        {"way": "private_key", "file": "k", "secret": None},
    ]
    assert told["destination"]["overwrite"] == "fail"
    assert told["after_success"] == {"action": "delete", "path": None}
    assert "planted" not in str(told)


@pytest.mark.parametrize(
    ("trigger", "told", "words"),
    [
        (WatchTrigger(every_s=2), {"watch": {"every_s": 2}}, "looking every 2 s"),
        (IntervalTrigger(every_s=90), {"interval": {"every_s": 90}}, "every 90 s"),
        (
            CronTrigger(expression="0 1 * * *"),
            {"cron": {"expression": "0 1 * * *", "timezone": "UTC"}},
            "by cron '0 1 * * *' in UTC",
        ),
    ],
)
def test_a_trigger_is_told_by_its_kind(trigger: Trigger, told: dict[str, Any], words: str) -> None:
    assert tell_definition(replace(TRANSFER, trigger=trigger), GENERATION)["trigger"] == told
    assert words in describe_trigger(trigger)


def test_a_place_is_described_for_people() -> None:
    assert describe_location(HERE) == "here (local folder in)"
    assert describe_location(THERE) == "there (sftp://u@h:22, .)"
