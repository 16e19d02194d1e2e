from dataclasses import MISSING, fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.account import Account, Factor, Login, Place, Quota, VirtualFolder
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.login_steps import Flaw
from mftgit.model.inbound.messages import (
    LENGTH_BYTES,
    Admit,
    Configure,
    EndConnections,
    Ended,
    Failed,
    LoggedIn,
    Order,
    Sweep,
    Telling,
    Usage,
    Verdict,
    format_message,
    parse_order,
    parse_telling,
)
from mftgit.model.inbound.permission import READ_ONLY, Rule
from mftgit.model.inbound.service import Listen, ServiceLimits, SftpService
from mftgit.model.inbound.serving import Served, Serving
from mftgit.model.locations.far_place import FarPlace
from mftgit.model.locations.location import SftpLocation
from mftgit.model.locations.login import PasswordAuth, SecretRef
from mftgit.model.names import (
    AccountName,
    LocationName,
    MemberName,
    Revision,
    SecretName,
    ServiceName,
)
from mftgit.model.plain_value import from_plain, to_plain
from mftgit.model.secrets.value import SecretValue

ACME = AccountName("acme")
AWAY = SftpLocation(
    name=LocationName("away"),
    host="sftp.example",
    username="acme",
    host_keys=("SHA256:x",),
    auth=(PasswordAuth(secret=SecretName("away")),),
    timeout_s=5.0,
    max_connections=9,
)
SERVING = Serving(
    revision=Revision("1" * 40),
    member=MemberName("node-1"),
    service=SftpService(
        name=ServiceName("sftp"),
        listen=Listen(port=2222),
        host_keys=(SecretRef(secret=SecretName("host-key")),),
        health=Listen(address="::1", port=2223),
    ),
    keys=(SecretValue("the private key"),),
    accounts={
        ACME: Served(
            account=Account(
                name=ACME,
                home=Place(location=LocationName("in"), path="acme"),
                login=Login(
                    require=(frozenset({Factor.KEY, Factor.TOTP}), frozenset({Factor.PASSWORD})),
                    keys=("ssh-ed25519 AAAA",),
                    password=SecretRef(file="acme.hash"),
                ),
                folders=(VirtualFolder(at="/out", place=Place(location=LocationName("out"))),),
                rules=(Rule(path="/", allow=READ_ONLY),),
                services=frozenset({ServiceName("sftp")}),
                expires_at=datetime(2027, 1, 1, tzinfo=UTC),
                quota=Quota(files=3),
            ),
            home="/srv/acme",
            folders={"/out": "/srv/out"},
            far={"/away": FarPlace.of(AWAY, "orders")},
            password=SecretValue("$argon2id$"),
        )
    },
    secrets={SecretName("away"): SecretValue("of the partner")},
    secrets_dir="/var/lib/mftgit/secrets",
)

_TEXT = st.text(max_size=8)
_NUMBERS = st.integers(0, 1 << 31)
_USAGES = st.builds(Usage, **{each.name: _NUMBERS for each in fields(Usage)})


def _of(kind: type, **given_values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    by_type = {int: _NUMBERS, str: _TEXT, bool: st.booleans(), float: st.floats(0, 1e6)}
    known = {each.name: by_type[each.type] for each in fields(kind) if each.type in by_type}
    return st.builds(kind, **known | given_values)


_FACTORS = st.frozensets(st.sampled_from(Factor))
_NAMED = st.just(ACME)


def _tellings() -> st.SearchStrategy[Any]:
    own: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "Failed": {"flaw": st.sampled_from(Flaw)},
        "Redeem": {"account": _NAMED},
        "LoggedIn": {"account": _NAMED, "factors": _FACTORS},
        "Uploaded": {"finished": _of(Finished, account=_NAMED)},
        "Traffic": {"usages": st.lists(_USAGES, max_size=3).map(tuple)},
        "Ended": {"usage": _USAGES},
        "Noted": {"fields": st.dictionaries(_TEXT, _TEXT, max_size=3)},
    }
    return st.one_of([_of(each, **own.get(each.__name__, {})) for each in Telling.__args__])


def _orders() -> st.SearchStrategy[Any]:
    some = st.none() | st.lists(_NUMBERS, max_size=3).map(tuple)
    return st.one_of(
        [
            _of(Verdict, why=st.none() | _TEXT),
            _of(Configure, serving=st.just(SERVING)),
            _of(EndConnections, connections=some),
            _of(Sweep, left=st.lists(_TEXT, max_size=3).map(tuple)),
        ]
    )


@given(_tellings())
def test_what_a_process_says_comes_out_as_it_went_in(told: Telling) -> None:
    assert _sent(told, parse_telling) == told


@given(_orders())
def test_what_a_member_says_to_its_process_comes_out_as_it_went_in(order: Order) -> None:
    assert _sent(order, parse_order) == order


def test_everything_that_is_served_comes_out_as_it_went_in() -> None:
    configure = Configure(number=7, serving=SERVING, listens=True)

    found = _sent(configure, parse_order)

    assert found == configure
    assert isinstance(found, Configure)
    assert found.serving.accounts[ACME].password == SecretValue("$argon2id$")


def test_a_whole_number_of_seconds_is_a_number_of_seconds() -> None:
    limits = from_plain(ServiceLimits, {"idle_s": 5})

    assert limits.idle_s == 5.0
    assert type(limits.idle_s) is float


def test_a_field_that_is_not_known_is_passed_over() -> None:
    assert from_plain(Listen, {"port": 22, "more": 1}) == Listen(port=22)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"1",
        b"{}",
        b'{"is": []}',
        b'{"is": "Verdict"}',
        b'{"is": "Nothing"}',
        b'{"is": "Sweep"}',
        b'{"is": "Admit", "request": "1", "connection": 1, "number": 1, "source": "a"}',
        b'{"is": "Admit", "request": true, "connection": 1, "number": 1, "source": "a"}',
        b'{"is": "Failed", "request": 1, "connection": 1, "account": "a", "flaw": "smile"}',
        b'{"is": "LoggedIn", "request": 1, "connection": 1, "account": "a", "factors": "key"}',
        b'{"is": "Ended", "usage": 3, "why": ""}',
        b'{"is": "Ended", "usage": [], "why": ""}',
        b'{"is": "Ended"}',
        b"[" * 100_000,
    ],
)
def test_what_no_process_says_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_telling(content)


def test_no_refusal_holds_a_secret() -> None:
    plain = to_plain(SERVING)
    plain["keys"] = ["a secret" * 10_000]

    with pytest.raises(ValueError, match="not a secret") as caught:
        from_plain(Serving, plain)

    assert caught.value.__cause__ is None
    assert "a secret" * 2 not in str(caught.value)


def test_a_process_cannot_give_orders() -> None:
    order = format_message(Verdict(request=1, granted=True))[LENGTH_BYTES:]
    with pytest.raises(ValueError, match="not a message"):
        parse_telling(order)
    assert all(
        each.default is MISSING
        for kind in (Admit, Failed, LoggedIn, Ended)
        for each in fields(kind)
        if each.name == "connection"
    )


def _sent(message: Telling | Order, parse: Any) -> Any:
    sent = format_message(message)
    assert int.from_bytes(sent[:LENGTH_BYTES], "big") == len(sent) - LENGTH_BYTES
    return parse(sent[LENGTH_BYTES:])


def test_a_folder_on_a_server_is_told_as_it_is() -> None:
    place = FarPlace.of(AWAY, "orders")
    assert place.read() == AWAY
    assert place.written(("a", "b.csv")) == "away:orders/a/b.csv"
    assert FarPlace.of(AWAY, ".").written(("b.csv",)) == "away:b.csv"
    assert "of the partner" not in repr(SERVING)
    with pytest.raises(ValueError, match="is a folder of this machine"):
        FarPlace(location=AWAY.name, document='{"type": "local", "path": "x"}').read()
