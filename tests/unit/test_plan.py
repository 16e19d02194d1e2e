"""What a member changes follows from the two generations alone."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.configuration.config import (
    Cluster,
    Destination,
    Fallback,
    Generation,
    Member,
    Role,
    Source,
    Transfer,
)
from mftgit.model.configuration.plan import jobs, plan
from mftgit.model.inbound.account import Account, Factor, Login, Place
from mftgit.model.inbound.service import Listen, SftpService
from mftgit.model.locations.location import LocalLocation, SftpLocation
from mftgit.model.locations.login import PasswordAuth, SecretRef
from mftgit.model.names import (
    AccountName,
    LocationName,
    MemberName,
    SecretName,
    ServiceName,
    TransferName,
)
from mftgit.model.secrets.value import SecretValue
from mftgit.model.transfers.content import PgpDecrypt
from mftgit.model.transfers.triggers import WatchTrigger

HERE, THERE = LocationName("here"), LocationName("there")


def transfer(name: str, *, every_s: float = 5.0) -> Transfer:
    return Transfer(
        name=TransferName(name),
        source=Source(location=HERE),
        destination=Destination(location=THERE),
        trigger=WatchTrigger(every_s=every_s),
    )


def generation(*transfers: Transfer, there: str = "there") -> Generation:
    return Generation(
        cluster=Cluster(name="c"),
        member=Member(name=MemberName("m"), role=Role.NODE),
        locations={
            HERE: LocalLocation(name=HERE, path="here"),
            THERE: LocalLocation(name=THERE, path=there),
        },
        transfers={each.name: each for each in transfers},
    )


generations = st.builds(
    lambda transfers, there: generation(*transfers, there=there),
    st.lists(st.builds(transfer, st.sampled_from("abcde"), every_s=st.sampled_from([1.0, 2.0]))),
    st.sampled_from(["there", "elsewhere"]),
)


@given(generations)
def test_a_generation_needs_no_plan_to_reach_itself(one: Generation) -> None:
    assert not plan(one, one)


@given(st.none() | generations, generations)
def test_a_plan_reaches_what_is_wanted(active: Generation | None, wanted: Generation) -> None:
    steps = plan(active, wanted)
    reached = dict(jobs(active)) if active else {}
    for name in steps.stop:
        del reached[name]
    for job in (*steps.start, *steps.change):
        assert reached.get(job.transfer.name) != job  # nothing is touched without a reason
        reached[job.transfer.name] = job
    assert reached == jobs(wanted)


def test_a_location_that_changes_changes_the_transfers_that_use_it() -> None:
    steps = plan(generation(transfer("a")), generation(transfer("a"), there="elsewhere"))
    assert [job.transfer.name for job in steps.change] == ["a"]
    assert not steps.start
    assert not steps.stop


def with_secret(value: str) -> Generation:
    """A generation whose transfer "one" logs in with a secret, and "two" with none."""
    partner = SftpLocation(
        name=THERE,
        host="h",
        username="u",
        host_keys=("k",),
        auth=(PasswordAuth(file="f"), PasswordAuth(secret=SecretName("s"))),
    )
    one, two = transfer("one"), replace(transfer("two"), destination=Destination(location=HERE))
    made = generation(one, two)
    return replace(
        made,
        locations={**made.locations, THERE: partner},
        secrets={SecretName("s"): SecretValue(value), SecretName("other"): SecretValue("x")},
    )


def with_key(value: str) -> Generation:
    """A generation whose transfer "one" decrypts by a secret, and "two" by none."""
    step = PgpDecrypt(private_key=SecretRef(secret=SecretName("s")))
    made = generation(replace(transfer("one"), content=(step,)), transfer("two"))
    return replace(made, secrets={SecretName("s"): SecretValue(value)})


def test_another_value_of_a_key_changes_what_decrypts_by_it_and_nothing_else() -> None:
    assert not plan(with_key("a"), with_key("a"))
    steps = plan(with_key("a"), with_key("b"))
    assert [job.transfer.name for job in steps.change] == ["one"]
    assert [name for name, _ in steps.change[0].secrets] == ["s"]


def test_a_secret_that_was_encrypted_anew_restarts_nothing() -> None:
    assert not plan(with_secret("a"), with_secret("a"))


def test_another_value_of_a_secret_changes_what_logs_in_with_it_and_nothing_else() -> None:
    steps = plan(with_secret("a"), with_secret("b"))
    assert [job.transfer.name for job in steps.change] == ["one"]
    assert not steps.start
    assert not steps.stop
    assert "b" not in repr(steps.change[0].secrets[0][1])


def test_a_fallback_that_changes_changes_the_transfers_that_may_go_there() -> None:
    name = LocationName("other")
    fallback = Fallback(location=name)

    def made(path: str) -> Generation:
        one = transfer("one")
        one = replace(one, destination=replace(one.destination, fallback=fallback))
        found = generation(one, transfer("two"))
        other = LocalLocation(name=name, path=path)
        return replace(found, locations={**found.locations, name: other})

    (job,) = plan(made("a"), made("b")).change
    assert (job.transfer.name, job.fallback) == ("one", LocalLocation(name=name, path="b"))


HOST, HASH = SecretName("host"), SecretName("hash")
SERVICE = SftpService(
    name=ServiceName("sftp"), listen=Listen(port=22), host_keys=(SecretRef(secret=HOST),)
)
ACCOUNT = Account(
    name=AccountName("acme"),
    home=Place(location=HERE),
    login=Login(require=(frozenset({Factor.PASSWORD}),), password=SecretRef(secret=HASH)),
)


def served(**changes: Any) -> Generation:
    made = replace(
        generation(),
        services={SERVICE.name: SERVICE},
        accounts={ACCOUNT.name: ACCOUNT},
        secrets={HOST: SecretValue("a"), HASH: SecretValue("b")},
    )
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("changes", "services", "accounts"),
    [
        ({}, (), ()),
        ({"services": {}}, ("sftp",), ()),
        ({"accounts": {}}, (), ("acme",)),
        ({"services": {SERVICE.name: replace(SERVICE, banner="hello")}}, ("sftp",), ()),
        ({"accounts": {ACCOUNT.name: replace(ACCOUNT, max_sessions=1)}}, (), ("acme",)),
        ({"secrets": {HOST: SecretValue("c"), HASH: SecretValue("b")}}, ("sftp",), ()),
        ({"secrets": {HOST: SecretValue("a"), HASH: SecretValue("c")}}, (), ("acme",)),
        ({"locations": {HERE: LocalLocation(name=HERE, path="moved")}}, (), ("acme",)),
    ],
)
def test_services_and_accounts_differ_by_their_documents_secrets_and_folders(
    changes: dict[str, Any], services: tuple[str, ...], accounts: tuple[str, ...]
) -> None:
    steps = plan(served(), served(**changes))

    assert (steps.services, steps.accounts) == (services, accounts)
    assert bool(steps) == bool(services or accounts)


def test_where_nothing_runs_all_services_and_accounts_are_new() -> None:
    steps = plan(None, served())

    assert (steps.services, steps.accounts) == (("sftp",), ("acme",))
