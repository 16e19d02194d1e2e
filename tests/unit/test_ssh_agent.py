"""What the agent, the pin of host keys and the reading of complaints say to OpenSSH's client."""

import base64

import paramiko
import pytest
from certificate_lines import AUTHORITY_LINE
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from mftgit.adapters.endpoint.contract import (
    EndpointLostError,
    EndpointRefusedError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.openssh.agent import Agent
from mftgit.adapters.openssh.known_host import SHOWN, lines_for
from mftgit.adapters.openssh.verdict import failure_of, shown_keys
from mftgit.adapters.ssh.fields import text, u32
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.locations.hop import hops
from mftgit.model.locations.location import SftpLocation
from mftgit.model.names import LocationName

RSA = paramiko.RSAKey.generate(2048)
ECDSA = paramiko.ECDSAKey.generate()
DATA = b"what is to be signed"
FAILURE = bytes((5,))
PINNED = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"


def sign(key: paramiko.PKey, flags: int = 0) -> bytes:
    return bytes((13,)) + text(key.asbytes()) + text(DATA) + u32(flags)


def test_an_agent_lists_its_keys_in_their_order() -> None:
    listed = Agent([ECDSA, RSA], sha1=False).answer(bytes((11,)))
    message = paramiko.Message(listed[1:])
    assert (listed[0], message.get_int()) == (12, 2)
    blobs = []
    for _ in range(2):
        blobs.append(message.get_string())
        assert message.get_string() == b""
    assert blobs == [ECDSA.asbytes(), RSA.asbytes()]


@pytest.mark.parametrize(
    ("key", "flags", "algorithm"),
    [(ECDSA, 0, "ecdsa-sha2-nistp256"), (RSA, 2, "rsa-sha2-256"), (RSA, 4, "rsa-sha2-512")],
)
def test_an_agent_signs_as_it_is_asked(key: paramiko.PKey, flags: int, algorithm: str) -> None:
    answer = Agent([RSA, ECDSA], sha1=False).answer(sign(key, flags))
    signature = paramiko.Message(answer[1:]).get_string()
    assert answer[0] == 14
    assert paramiko.Message(signature).get_text() == algorithm
    assert key.verify_ssh_sig(DATA, paramiko.Message(signature))


def test_an_agent_signs_with_sha1_only_where_that_is_wanted() -> None:
    assert Agent([RSA], sha1=False).answer(sign(RSA)) == FAILURE
    signature = paramiko.Message(Agent([RSA], sha1=True).answer(sign(RSA))[1:]).get_string()
    message = paramiko.Message(signature)
    assert message.get_text() == "ssh-rsa"
    assert isinstance(RSA.key, rsa.RSAPrivateKey)
    public = RSA.key.public_key()
    public.verify(message.get_string(), DATA, padding.PKCS1v15(), hashes.SHA1())


@pytest.mark.parametrize(
    "request_", [bytes((27,)), bytes((13,)), sign(paramiko.ECDSAKey.generate())]
)
def test_an_agent_refuses_everything_else(request_: bytes) -> None:
    assert Agent([RSA, ECDSA], sha1=True).answer(request_) == FAILURE


def test_only_a_pinned_key_is_known_and_authorities_always_are() -> None:
    words = ("ssh-rsa", PINNED, "AAAA", f"SHA256:x,{PINNED}")
    assert lines_for(words) == ["* ssh-rsa AAAA"]
    assert lines_for((*words[:3], "-")) == []
    assert lines_for((*words[:3], PINNED[:-1])) == []
    assert lines_for((*words[:3], "-", AUTHORITY_LINE)) == [f"@cert-authority * {AUTHORITY_LINE}"]
    assert base64.b64decode(AUTHORITY_LINE.split()[1])


@pytest.mark.parametrize(
    ("told", "error", "said"),
    [
        ("Host key verification failed.\r\n", HostKeyError, "verification failed"),
        (
            "Unable to negotiate with 1.2.3.4 port 22: no matching cipher found. Their offer: x\n",
            EndpointRefusedError,
            "Their offer: x: ask the partner",
        ),
        ("u@h: Permission denied (publickey,password).\n", LoginError, "(a key; a password): u@h"),
        (
            "Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures\n",
            LoginError,
            "Too many",
        ),
        ("subsystem request failed on channel 0\n", EndpointRefusedError, "not to SFTP"),
        ("command-line: line 0: Bad configuration option: knownhostscommand\n", ConfigError, "8.5"),
        ("ssh: connect to host h port 22: Connection refused\n", EndpointLostError, "refused"),
        ("", EndpointLostError, "the connection was closed"),
        (
            "Received disconnect from 1.2.3.4 port 22:11: u@h: Permission denied (\x1b[2J\n",
            EndpointLostError,
            r"denied (\x1b[2J",
        ),
    ],
)
def test_what_ssh_complains_of_has_the_error_that_fits(
    told: str, error: type[MftgitError], said: str
) -> None:
    location = SftpLocation(name=LocationName("p"), host="h", username="u", auth=())
    found = failure_of(f"{SHOWN} ssh-rsa SHA256:x\n{told}").as_error(
        hops(location)[0], ["a key", "a password"]
    )
    assert type(found) is error
    assert said in str(found)
    assert SHOWN not in str(found)


def test_keys_that_were_shown_are_read_out_of_what_ssh_says() -> None:
    told = f"x\n{SHOWN} ssh-rsa SHA256:x\nno {SHOWN} a b\n{SHOWN} too many words\n"
    assert shown_keys(told) == [("ssh-rsa", "SHA256:x")]
