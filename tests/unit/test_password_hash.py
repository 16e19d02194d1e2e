"""What a password hash may cost."""

import re

import pytest

from mftgit.adapters.passwords import PasswordChecker, hash_password
from mftgit.model.inbound.password_hash import Cost, cost_of, decoy

TAIL = "$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"


def _hash(figures: str, kind: str = "argon2id", version: str = "19") -> str:
    return f"${kind}$v={version}${figures}{TAIL}"


def test_what_is_made_here_is_taken() -> None:
    encoded = hash_password("secret")
    assert cost_of(encoded) == Cost(work_kib=3 * 65_536, memory_kib=65_536, passes=3, lanes=4)
    assert cost_of(_hash("m=262144,t=4,p=16")).memory_kib == 262_144


@pytest.mark.parametrize(
    ("encoded", "wrong"),
    [
        ("", "no hash by argon2id"),
        ("secret", "no hash by argon2id"),
        (_hash("m=65536,t=3,p=4", kind="argon2i"), "no hash by argon2id"),
        (_hash("m=65536,t=3,p=4", version="16"), "no hash by argon2id"),
        (_hash("m=65536,t=3,p=4") + "\n", "no hash by argon2id"),
        (_hash("m=65536,t=3,p=4") + "A" * 500, "no hash by argon2id"),
        (_hash("m=4194304,t=1,p=4"), "4,194,304 KiB of memory"),
        (_hash("m=1024,t=3,p=4"), "1,024 KiB of memory"),
        (_hash("m=262144,t=5,p=4"), "5 times through 262,144 KiB; expected 1 to 4"),
        (_hash("m=8192,t=0,p=4"), "0 times"),
        (_hash("m=8192,t=1,p=0"), "0 lanes"),
        (_hash("m=8192,t=1,p=17"), "17 lanes"),
    ],
)
def test_a_hash_that_takes_too_much_or_too_little_is_refused(encoded: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)) as told:
        cost_of(encoded)
    assert "secret" not in str(told.value)


def test_a_decoy_costs_the_same_and_is_nobodys() -> None:
    cost = Cost(work_kib=8192, memory_kib=8192, passes=1, lanes=1)
    encoded = decoy(cost, salt=bytes(16), digest=bytes(32))
    assert cost_of(encoded) == cost
    assert not PasswordChecker().check("secret", encoded)
