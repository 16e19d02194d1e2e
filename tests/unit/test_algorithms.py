"""How a location's algorithms and times are taken."""

from dataclasses import replace

from mftgit.model.keys.algorithms import HOST_KEYS, Algorithms, with_legacy
from mftgit.model.locations.hop import hops, host_key_kinds
from mftgit.model.locations.location import Jump, SftpLocation
from mftgit.model.names import LocationName

PLACE = SftpLocation(name=LocationName("p"), host="h", username="u", auth=())


def test_host_key_algorithms_go_by_the_kind_of_key_in_the_order_of_the_location() -> None:
    assert list(Algorithms().host_keys_by_kind().values())[-1] == ("rsa-sha2-512", "rsa-sha2-256")
    assert [each for names in Algorithms().host_keys_by_kind().values() for each in names] == list(
        HOST_KEYS
    )
    some = Algorithms(host_keys=("rsa-sha2-256", "ssh-ed25519", "rsa-sha2-512"))
    assert list(some.host_keys_by_kind().items()) == [
        ("ssh-rsa", ("rsa-sha2-256", "rsa-sha2-512")),
        ("ssh-ed25519", ("ssh-ed25519",)),
    ]


def test_certificates_are_asked_for_first_and_old_algorithms_last() -> None:
    (hop,) = hops(replace(PLACE, algorithms=Algorithms(host_keys=("rsa-sha2-512",))))
    assert list(host_key_kinds(hop)) == ["ssh-rsa"]
    certified = host_key_kinds(replace(hop, host_ca=("a",)), legacy=True)
    assert list(certified.items()) == [
        (
            "ssh-rsa-cert-v01@openssh.com",
            ("rsa-sha2-512-cert-v01@openssh.com", "ssh-rsa-cert-v01@openssh.com"),
        ),
        ("ssh-dss-cert-v01@openssh.com", ("ssh-dss-cert-v01@openssh.com",)),
        ("ssh-rsa", ("rsa-sha2-512", "ssh-rsa")),
        ("ssh-dss", ("ssh-dss",)),
    ]
    old = with_legacy(Algorithms(ciphers=("aes128-ctr",)))
    assert old.ciphers[:2] == ("aes128-ctr", "aes256-cbc")
    assert old.macs[-1] == "hmac-sha1"
    assert old.kex[-1] == "diffie-hellman-group1-sha1"


def test_connecting_takes_as_long_as_an_answer_unless_the_location_says_otherwise() -> None:
    assert replace(PLACE, timeout_s=7.0).connect_s == 7.0
    assert replace(PLACE, timeout_s=7.0, connect_timeout_s=2.0).connect_s == 2.0


def test_a_jump_host_comes_before_the_server_and_is_called_so() -> None:
    assert [hop.name for hop in hops(PLACE)] == ["h:22"]
    jump = Jump(host="j", port=2222, username="v", host_keys=("k",), auth=())
    first, last = hops(replace(PLACE, jump=jump, keepalive_s=7, timeout_s=9.0))
    assert (first.name, first.fields, first.document) == (
        "jump host j:2222",
        "jump.",
        "locations/p.yaml",
    )
    assert (first.username, first.host_keys, first.host_ca) == ("v", ("k",), ())
    assert (last.name, last.fields, last.username) == ("h:22", "", "u")
    assert (first.keepalive_s, first.connect_s) == (last.keepalive_s, last.connect_s) == (7, 9.0)
