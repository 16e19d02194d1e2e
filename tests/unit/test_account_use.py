import json
from typing import Any

import pytest

from mftgit.model.inbound import account_use
from mftgit.model.inbound.account_use import (
    AccountUse,
    UseNews,
    UseTold,
    parse_use_news,
    parse_use_told,
    tell_uses,
)
from mftgit.model.names import AccountName

ACME = AccountUse(account=AccountName("acme"), sessions=2, step=60_000_000)
OTHER = AccountUse(account=AccountName("other"), sessions=9)
THIRD = AccountUse(account=AccountName("third"), sessions=3)


def test_what_is_told_arrives_as_it_was() -> None:
    told = UseTold(after=7, accounts=(ACME, OTHER))
    news = UseNews(number=9, whole=True, more=False, accounts=(ACME, OTHER))

    assert parse_use_told(json.loads(json.dumps(told.as_json()))) == told
    assert parse_use_news(json.loads(json.dumps(news.as_json()))) == news


def test_of_too_many_those_with_codes_and_with_most_sessions_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(account_use, "MOST_TOLD", 2)

    assert tell_uses(0, [THIRD, OTHER, ACME]).accounts == (ACME, OTHER)
    with pytest.raises(ValueError, match="too many"):
        parse_use_told(UseTold(after=0, accounts=(ACME, OTHER, THIRD)).as_json())


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"after": "1", "accounts": []},
        {"after": 1, "accounts": [{}]},
        {"after": 1, "accounts": [{"account": "A b", "sessions": 1, "step": None}]},
        {"after": 1, "accounts": [{"account": "a", "sessions": "1", "step": None}]},
    ],
)
def test_what_is_of_another_shape_is_not_taken(value: Any) -> None:
    with pytest.raises(ValueError, match="not"):
        parse_use_told(value)
    with pytest.raises(ValueError, match="no news"):
        parse_use_news(value)
