"""Where clients come from."""

import pytest

from mftgit.model.inbound.visitor import read_visitor


@pytest.mark.parametrize(
    ("address", "networks", "fits"),
    [
        ("192.0.2.7", ["192.0.2.0/24"], True),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.2.7", ["198.51.100.0/24", "192.0.2.7"], True),
        ("192.0.2.7", ["::/0"], False),
        ("192.0.2.7", ["nonsense"], False),
        ("192.0.2.7", [], False),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("fe80::1%eth0", ["fe80::/10"], True),
    ],
)
def test_a_visitor_comes_from_networks(address: str, networks: list[str], fits: bool) -> None:  # noqa: FBT001
    assert read_visitor(address, 7).is_from(networks) is fits


def test_an_address_is_told_in_its_plain_form() -> None:
    assert read_visitor("::ffff:192.0.2.7", 7).source == "192.0.2.7"
    with pytest.raises(ValueError, match="does not appear"):
        read_visitor("nowhere", 7)
