"""What no schema can express about one transfer: cron, time zones, patterns, and files that go in a circle."""

import zoneinfo
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pgp_public import PUBLIC_KEY

from mftgit.model.configuration.config import (
    AfterSuccess,
    Batch,
    Claiming,
    Deduplicate,
    Destination,
    Overwrite,
    Source,
    Transfer,
)
from mftgit.model.locations.location import LocalLocation, Location, SftpLocation
from mftgit.model.locations.login import PasswordAuth
from mftgit.model.names import LocationName, TransferName
from mftgit.model.rules.transfer import check_folders, check_transfer
from mftgit.model.transfers.checksum import Sidecar
from mftgit.model.transfers.content import Gzip, PgpEncrypt, PgpVerify
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.source import Checksum, Marker, Regex
from mftgit.model.transfers.triggers import CronTrigger, Trigger, WatchTrigger

ZONES = frozenset(zoneinfo.available_timezones())
A, B = LocationName("a"), LocationName("b")


def transfer(
    *,
    source: Source | None = None,
    to: str = ".",
    trigger: Trigger | None = None,
    archive_path: str | None = None,
) -> Transfer:
    return Transfer(
        name=TransferName("t"),
        source=source or Source(location=A),
        destination=Destination(location=B, path=to),
        trigger=trigger or WatchTrigger(),
        after_success=AfterSuccess.DELETE if archive_path is None else AfterSuccess.ARCHIVE,
        archive_path=archive_path,
    )


def local(path: str) -> LocalLocation:
    return LocalLocation(name=A, path=path)


def sftp(path: str, *, host: str = "h", port: int = 22, username: str = "u") -> SftpLocation:
    return SftpLocation(
        name=A,
        host=host,
        port=port,
        username=username,
        path=path,
        host_keys=("k",),
        auth=(PasswordAuth(file="p"),),
    )


def cron(expression: str, timezone: str = "UTC") -> list[tuple[str, str]]:
    found = check_transfer(
        transfer(trigger=CronTrigger(expression=expression, timezone=timezone)), ZONES
    )
    return [(each.rule, each.hint) for each in found]


@pytest.mark.parametrize(
    "expression", ["* * * * *", "30 1 * * 1-5", "*/5 0-6 1,15 JAN MON", "0 0 L * *", "0 0 29 2 *"]
)
def test_a_crontab_expression_is_taken(expression: str) -> None:
    assert cron(expression) == []


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "* * * *",
        "0 * * * * *",
        "60 * * * *",
        "a * * * *",
        "0 0 30 2 *",
        "@daily",
        "1-0 * * * *",
        "*/0 * * * *",
    ],
)
def test_what_is_no_crontab_expression_is_a_problem(expression: str) -> None:
    ((rule, hint),) = cron(expression)
    assert rule == "cron"
    assert "30 1 * * 1-5" in hint


@pytest.mark.parametrize("expression", ["0 0 */28 2 1#2", "0 0 */31 * 1#2", "5 4 */30 2,4 0#5"])
def test_an_expression_that_never_fires_is_a_problem(expression: str) -> None:
    trigger = CronTrigger(expression=expression)
    (fault,) = check_transfer(transfer(trigger=trigger), ZONES)
    assert fault.rule == "cron"
    assert fault.message.startswith(f"{expression!r} never fires")


def test_an_expression_may_fire_once_in_decades() -> None:
    assert cron("0 0 * 2 1#5") == []


@given(st.text(st.sampled_from("0159*/-,#LWM ONJA\u0663x"), max_size=30))
def test_no_expression_makes_the_rule_raise(expression: str) -> None:
    assert len(cron(expression)) <= 1


def test_a_time_zone_has_to_be_known() -> None:
    assert cron("* * * * *", "Europe/Berlin") == []
    assert cron("* * * * *", "Europe/Berln") == [("timezone", "did you mean 'Europe/Berlin'?")]
    assert cron("* * * * *", "Ankh-Morpork") == [
        ("timezone", "use a name of the IANA database, as Europe/Berlin")
    ]


def test_the_default_time_zone_is_known_on_a_machine_without_any() -> None:
    every_minute = transfer(trigger=CronTrigger(expression="* * * * *"))
    assert list(check_transfer(every_minute, frozenset())) == []


def test_expression_and_time_zone_can_both_be_wrong() -> None:
    assert [rule for rule, _ in cron("x", "y")] == ["cron", "timezone"]


@pytest.mark.parametrize(
    "glob",
    ["*", "*.csv", "**/*.csv", "a[0-9].txt", "[!a]*", "[]]x", "[]", "report (1)+.csv", "*.*"],
)
def test_a_pattern_of_a_shell_is_taken(glob: str) -> None:
    expected = ["glob"] if glob == "[]" else []
    found = check_transfer(transfer(source=Source(location=A, include=(glob,))), ZONES)
    assert [each.rule for each in found] == expected


@pytest.mark.parametrize("glob", ["^a", ".*$", "a|b", "[a", "a[", "[!", "[a]["])
def test_a_regular_expression_or_an_open_bracket_is_a_problem(glob: str) -> None:
    source = Source(location=A, include=("*", glob), exclude=(glob,))
    found = list(check_transfer(transfer(source=source), ZONES))
    assert [each.pointer for each in found] == ["/source/include/1", "/source/exclude/0"]


@pytest.mark.parametrize(
    ("source", "pointer", "rule"),
    [
        (
            Source(
                location=A,
                include=("*", Regex(regex="(")),
            ),
            "/source/include/1/regex",
            "regex",
        ),
        (Source(location=A, exclude=(Regex(regex="(?=a)"),)), "/source/exclude/0/regex", "regex"),
        (Source(location=A, depth=2), "/source/depth", "selection"),
        (
            Source(location=A, min_size_bytes=2, max_size_bytes=1),
            "/source/max_size_bytes",
            "selection",
        ),
        (Source(location=A, min_age_s=2.0, max_age_s=1.0), "/source/max_age_s", "selection"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_a_problem(
    source: Source, pointer: str, rule: str
) -> None:
    (found,) = check_transfer(transfer(source=source), ZONES)
    assert (found.pointer, found.rule) == (pointer, rule)


def test_a_selection_that_can_be_meant_is_none() -> None:
    source = Source(
        location=A,
        include=(Regex(regex=r"a\d+"),),
        recursive=True,
        depth=2,
        min_size_bytes=1,
        max_size_bytes=1,
        min_age_s=1.0,
        max_age_s=1.0,
    )
    assert list(check_transfer(transfer(source=source), ZONES)) == []


def feeds(found: Transfer, source: Location, destination: Location) -> list[str]:
    return [each.pointer for each in check_folders(found, source, destination)]


@pytest.mark.parametrize(
    ("path", "to", "recursive", "circle"),
    [
        (".", ".", False, True),
        ("in", "in", False, True),
        ("in", "./in/", False, True),
        ("in", "in/sub", False, False),
        ("in", "in/sub", True, True),
        ("in/sub", "in", False, False),
        ("in/sub", "in", True, True),
        ("in", "inside", True, False),
        ("in", "out", True, False),
        (".", "out", True, True),
    ],
)
def test_a_transfer_must_not_feed_itself(
    path: str, to: str, *, recursive: bool, circle: bool
) -> None:
    found = transfer(source=Source(location=A, path=path, recursive=recursive), to=to)
    assert feeds(found, local("x"), local("x")) == (["/destination"] if circle else [])
    assert feeds(found, sftp("/x"), sftp("/x")) == (["/destination"] if circle else [])
    assert feeds(found, local("x"), local("y")) == []
    assert feeds(found, local("/x"), sftp("/x")) == []


@pytest.mark.parametrize(
    ("source", "destination", "circle"),
    [
        (local("a/b"), local("a//b/."), True),
        (local("/a"), local("a"), False),
        (sftp("/a"), sftp("/a", host="H", username="other"), True),
        (sftp("a"), sftp("a", username="other"), False),
        (sftp("/a"), sftp("/a", port=23), False),
        (sftp("/a"), sftp("/a", host="other"), False),
    ],
)
def test_places_are_compared_and_not_names(
    source: Location, destination: Location, *, circle: bool
) -> None:
    assert bool(feeds(transfer(), source, destination)) is circle


@pytest.mark.parametrize(
    ("path", "archive_path", "recursive", "circle"),
    [
        ("in", "in", False, True),
        ("in", "in/sent", False, False),
        ("in", "in/sent", True, True),
        ("in", "sent", True, False),
        ("in/deep", "in", True, False),
        (".", "sent", False, False),
        (".", "sent", True, True),
    ],
)
def test_the_archive_is_not_where_files_are_taken(
    path: str, archive_path: str, *, recursive: bool, circle: bool
) -> None:
    source = Source(location=A, path=path, recursive=recursive)
    found = transfer(source=source, archive_path=archive_path)
    assert feeds(found, local("x"), local("y")) == (["/after_success/path"] if circle else [])


def test_a_pattern_of_a_name_that_is_wrong_is_told_where_it_stands() -> None:
    archived = transfer(to="in/{dat:%Y}", archive_path="old/{name}")
    wrong = replace(archived.destination, name="{folder}", timezone="Europe/Berln")
    found = check_transfer(replace(archived, destination=wrong), ZONES)
    assert [(each.pointer, each.rule) for each in found] == [
        ("/destination/path", "name-pattern"),
        ("/destination/name", "name-pattern"),
        ("/after_success/path", "name-pattern"),
        ("/destination/timezone", "timezone"),
    ]


def test_what_a_pattern_gives_counts_as_being_below_its_fixed_folder() -> None:
    looping = transfer(source=Source(location=A, path="in", recursive=True), to="in/{date:%Y}")
    (fault,) = check_folders(looping, local("x"), local("x"))
    assert fault.rule == "feeds-itself"


def test_a_batch_that_is_never_whole_is_a_problem() -> None:
    def wrong(*, at_most: int | None = None, attempts: int | None = None) -> list[str]:
        given = transfer(source=Source(location=A, at_most=at_most))
        found = replace(given, batch=Batch(at_least=3), retry=Retry(attempts=attempts))
        return [fault.pointer for fault in check_transfer(found, ZONES)]

    assert wrong() == []
    assert wrong(at_most=3) == []
    assert wrong(at_most=2) == ["/batch/at_least"]
    assert wrong(attempts=3) == ["/retry/attempts"]
    both = replace(transfer(), batch=Batch(), deduplicate=Deduplicate(within_days=9))
    assert [fault.pointer for fault in check_transfer(both, ZONES)] == ["/deduplicate"]


def test_what_is_changed_on_its_way_is_not_compared_with_what_is_there() -> None:
    plain = transfer()
    there = replace(plain.destination, overwrite=Overwrite.IF_DIFFERENT)
    other = replace(plain, destination=there)
    (fault,) = check_transfer(replace(other, content=(Gzip(),)), ZONES)
    assert (fault.pointer, fault.rule) == ("/destination/overwrite", "content")
    for good in (other, replace(plain, content=(Gzip(),))):
        assert not list(check_transfer(good, ZONES))


def test_only_an_archive_is_kept_for_so_many_days() -> None:
    archive = replace(transfer(archive_path="old"), archive_days=9)
    assert [*check_transfer(archive, ZONES)] == []
    moved = replace(archive, after_success=AfterSuccess.MOVE)
    assert [fault.pointer for fault in check_transfer(moved, ZONES)] == ["/after_success/keep_days"]


def test_a_public_key_of_a_step_has_to_be_one_that_is_taken() -> None:
    keys = (PUBLIC_KEY, "-----BEGIN PGP PUBLIC KEY BLOCK-----\nx")
    steps = (Gzip(), PgpEncrypt(recipients=keys), PgpVerify(signed_by=(PUBLIC_KEY,)))
    (fault,) = check_transfer(replace(transfer(), content=steps), ZONES)
    assert (fault.pointer, fault.rule) == ("/content/1/pgp_encrypt/recipients/1", "content")
    assert fault.message.startswith("this is no public key that is taken: ")


def test_a_quarantine_where_files_are_taken_from_is_a_problem_only_where_it_is_used() -> None:
    inside = transfer(source=Source(location=A, path="in", recursive=True))
    for attempts, expected in ((None, []), (3, ["/retry/quarantine"])):
        retry = Retry(attempts=attempts, quarantine="in/aside")
        found = check_folders(replace(inside, retry=retry), local("x"), local("y"))
        assert [fault.pointer for fault in found] == expected


@pytest.mark.parametrize(
    ("after", "faults"), [(AfterSuccess.DELETE, ["/retry/quarantine"]), (AfterSuccess.KEEP, [])]
)
@pytest.mark.parametrize("checksum", [None, Checksum()])
def test_a_quarantine_is_used_without_attempts_too(
    after: AfterSuccess, faults: list[str], checksum: Checksum | None
) -> None:
    """By a batch, and by files that are not what their checksum files say; a file that is kept stays."""
    made = transfer(source=Source(location=A, recursive=True, checksum=checksum))
    made = replace(made, after_success=after, batch=Batch() if checksum is None else None)
    found = check_folders(made, local("x"), local("y"))
    assert [fault.pointer for fault in found] == faults


def test_a_claim_is_for_files_that_do_not_stay_and_needs_no_quarantine_by_record() -> None:
    made = transfer(source=Source(location=A, recursive=True, claim=Claiming.RECORD))
    made = replace(made, retry=Retry(attempts=3), batch=None)
    assert made.claims_by_record
    assert not made.claims
    assert not list(check_transfer(made, ZONES))
    assert not list(check_folders(made, local("x"), local("y")))
    kept = replace(made, after_success=AfterSuccess.KEEP)
    assert not kept.claims
    assert not kept.claims_by_record
    assert [each.pointer for each in check_transfer(kept, ZONES)] == ["/source/claim"]


@pytest.mark.parametrize(("suffix", "faults"), [(".sha256", 0), (".part", 1), (".x.part", 1)])
def test_checksum_files_are_not_called_like_temporaries(suffix: str, faults: int) -> None:
    rules = Destination(location=B, checksum=Sidecar(suffix=suffix))
    found = list(check_transfer(replace(transfer(), destination=rules), ZONES))
    assert [each.pointer for each in found] == ["/destination/checksum"] * faults


@pytest.mark.parametrize(
    ("marker", "faults"), [(".ready", 0), (".sha256", 1), (".ok.sha256", 1), ("256", 1)]
)
def test_a_marker_is_told_from_a_checksum_file(marker: str, faults: int) -> None:
    source = Source(location=A, marker=Marker(suffix=marker), checksum=Checksum())
    found = list(check_transfer(transfer(source=source), ZONES))
    assert [each.pointer for each in found] == ["/source/checksum"] * faults
