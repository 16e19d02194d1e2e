"""The sample configuration is complete, valid, and what the demonstration counts on."""

from config_tree import tree, validator

from mftgit.model.configuration.config import (
    AfterSuccess,
    Generation,
    Ownership,
    Role,
)
from mftgit.model.configuration.render import render
from mftgit.model.inbound.permission import UPLOAD_ONLY, allowed
from mftgit.model.locations.location import LocalLocation, SftpLocation
from mftgit.model.names import LocationName, MemberName, TransferName
from mftgit.model.transfers.triggers import CronTrigger, IntervalTrigger, WatchTrigger
from mftgit.resources import read_sample

INVOICES = TransferName("invoices")


def generation(member: str) -> Generation:
    validation = validator().validate(tree(read_sample()))
    assert validation.problems == ()
    return render(validation, MemberName(member), Role.NODE)


def test_the_sample_is_valid_and_small() -> None:
    assert validator().validate(tree(read_sample())).problems == ()
    sample = {path: text for path, text in read_sample().items() if not path.startswith(".")}
    assert len(sample) < 15
    assert all(len(content.splitlines()) < 60 for content in sample.values())


def test_every_document_of_the_sample_is_named_in_its_readme() -> None:
    readme = read_sample()["README.md"].decode()
    for path in read_sample():
        folder, _, rest = path.partition("/")
        assert path in readme or f"{folder}/NAME.yaml" in readme or not rest


def test_the_sample_has_a_controller_and_two_nodes() -> None:
    assert generation("controller").member.role is Role.CONTROLLER
    assert generation("node-1").member.role is Role.NODE
    assert generation("node-2").member.role is Role.NODE
    assert generation("controller").transfers == {}


def test_leases_of_the_sample_are_short_enough_for_a_demonstration() -> None:
    assert generation("node-1").cluster.lease_ttl_s == 4.0


def test_invoices_go_to_the_partner_from_one_of_the_nodes() -> None:
    for node in ("node-1", "node-2"):
        transfer = generation(node).transfers[INVOICES]
        assert transfer.trigger == WatchTrigger(every_s=1.0)
        assert transfer.source.location == "inbox"
        assert transfer.source.include == ("*.csv",)
        assert transfer.source.stable_s <= 1
        assert transfer.destination.location == "partner"
        assert transfer.after_success is AfterSuccess.ARCHIVE
        assert transfer.ownership is Ownership.SINGLE


def test_the_sample_shows_both_types_of_location() -> None:
    locations = generation("node-1").locations
    assert locations[LocationName("inbox")] == LocalLocation(
        name=LocationName("inbox"), path="inbox"
    )
    partner = locations[LocationName("partner")]
    assert isinstance(partner, SftpLocation)
    assert (partner.host, partner.port, partner.path) == ("127.0.0.1", 2222, "incoming")


def test_the_sample_shows_who_may_come_in_once_that_is_switched_on() -> None:
    files = read_sample()
    assert not generation("node-1").services
    assert not generation("node-1").accounts
    for path in ("services/sftp.yaml", "accounts/supplier.yaml"):
        files[path] = files[path].replace(b"enabled: false", b"enabled: true")
    validation = validator().validate(tree(files))
    assert validation.problems == ()
    (account,) = render(validation, MemberName("node-1"), Role.NODE).accounts.values()
    assert (account.home.location, account.home.path) == ("inbox", "from/supplier")
    assert allowed(account.rules, "/") == UPLOAD_ONLY


def test_the_sample_shows_every_trigger() -> None:
    on = generation("node-1").transfers
    assert isinstance(on[TransferName("nightly-reports")].trigger, CronTrigger)
    files = read_sample()
    files["transfers/rates.yaml"] = files["transfers/rates.yaml"].replace(
        b"enabled: false", b"enabled: true"
    )
    validation = validator().validate(tree(files))
    assert validation.problems == ()
    rates = render(validation, MemberName("node-1"), Role.NODE).transfers[TransferName("rates")]
    assert isinstance(rates.trigger, IntervalTrigger)
    assert rates.after_success is AfterSuccess.KEEP
    assert TransferName("rates") not in on
