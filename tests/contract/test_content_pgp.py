"""Steps of OpenPGP against gpg's command line, both ways; what is odd is refused, and no key is left behind."""

import base64
import bz2
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from gpg_keys import GpgHome, gpg_home
from outbound_site import LARGE, Crash, Owner, Site, site
from waiting import until

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.content import pgp as content_pgp
from mftgit.adapters.content.pgp_home import PgpError, PgpHome, sweep
from mftgit.adapters.content.steps import UnfitError
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.errors import ConfigError
from mftgit.member.outbound.copying.content_keys import ContentKeysError, open_keys
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.places.digests import SMALL_BYTES
from mftgit.member.outbound.runs.run import run_once
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.configuration.config import Verify
from mftgit.model.events.event import EventName
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue
from mftgit.model.transfers.content import (
    Gzip,
    PgpDecrypt,
    PgpEncrypt,
    PgpSign,
    PgpStep,
    PgpVerify,
    Step,
    read_public_key,
)
from mftgit.model.transfers.run import RunState

CONTENT = b"payments of today\n" * 1000
MEMORY = Path("/dev/shm")
PASSPHRASE = "open sesame"
NOW = int(SystemClock().now().timestamp())
DAY = 86400
CHUNK = 7000


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Alice is we, and her key is locked; Bob is a partner; Eve is nobody; Old has a key that has expired."""

    home: GpgHome
    secrets: SecretsHere

    def public(self, name: str) -> str:
        words = ("--armor", "--export", "--export-options", "export-minimal", name)
        return self.home.gpg(*words, at=str(NOW)).decode()

    def gpg(self, *words: str, content: bytes = CONTENT) -> bytes:
        return self.home.gpg(
            "--passphrase",
            PASSPHRASE,
            "--trust-model",
            "always",
            *words,
            content=content,
            at=str(NOW),
        )


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    with gpg_home() as home:
        quick = "s2k-count 65536\n"  # a locked key is opened at once
        (home.folder / "gpg-agent.conf").write_text(quick, encoding="utf-8")
        values = {
            SecretName("pass"): SecretValue(PASSPHRASE),
            SecretName("wrong"): SecretValue("x"),
        }
        for name, passphrase in {"alice": PASSPHRASE, "bob": "", "eve": "", "old": ""}.items():
            locked = ("--passphrase", passphrase)
            made = str(NOW - 10 * DAY)  # by the machine's clock, which is the one that counts
            expires = "1d" if name == "old" else "never"
            who = f"{name} <{name}@example.org>"
            home.gpg(*locked, "--quick-gen-key", who, "ed25519", "sign", expires, at=made)
            first = home.fingerprints(name)[0]
            home.gpg(*locked, "--quick-add-key", first, "cv25519", "encr", expires, at=made)
            text = home.gpg(*locked, "--armor", "--export-secret-keys", name, at=str(NOW)).decode()
            values[SecretName(name)] = SecretValue(text)
        yield Keys(home=home, secrets=SecretsHere(folder=Path("/nowhere"), values=values))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    assert not list(MEMORY.glob(f"mftgit-pgp-{os.getpid()}-*"))


def ref(name: str) -> SecretRef:
    return SecretRef(secret=SecretName(name))


DECRYPT = PgpDecrypt(private_key=ref("alice"), passphrase=ref("pass"))
SIGN = PgpSign(signing_key=ref("alice"), passphrase=ref("pass"))


def sealing(*recipients: str, armor: bool = False) -> PgpEncrypt:
    return PgpEncrypt(
        recipients=recipients, signing_key=ref("alice"), passphrase=ref("pass"), armor=armor
    )


def through(keys: Keys, step: PgpStep, content: bytes = CONTENT) -> bytes:
    pieces = (content[at : at + CHUNK] for at in range(0, len(content), CHUNK))
    with open_keys(step, keys.secrets) as opened:
        return b"".join(opened.change(step, pieces))


def refused(keys: Keys, step: PgpStep, content: bytes) -> str:
    with pytest.raises(UnfitError) as caught:
        through(keys, step, content)
    return str(caught.value)


@pytest.mark.parametrize("armor", [False, True])
@pytest.mark.parametrize("content", [b"", CONTENT, LARGE])
def test_gpg_reads_what_is_made(keys: Keys, content: bytes, armor: bool) -> None:  # noqa: FBT001
    to = (keys.public("bob"), keys.public("alice"))
    sealed = through(keys, sealing(*to, armor=armor), content)
    assert sealed.startswith(b"-----BEGIN PGP MESSAGE-----") is armor
    assert keys.gpg("--decrypt", content=sealed) == content
    signed = through(keys, replace(SIGN, armor=armor), content)
    assert keys.gpg("--decrypt", content=signed) == content
    listed = keys.gpg("--list-packets", content=sealed).decode()
    assert 'name=""' in listed


@pytest.mark.parametrize("more", [(), ("--armor",), ("--armor", "--comment", "of bob")])
@pytest.mark.parametrize("content", [b"", CONTENT, LARGE])
def test_what_gpg_makes_is_read(keys: Keys, content: bytes, more: tuple[str, ...]) -> None:
    signed_by = (keys.public("eve"), keys.public("bob"))
    seal = ("--recipient", "alice", "--local-user", "bob", "--sign", "--encrypt")
    sealed = keys.gpg(*more, *seal, content=content)
    for step in (DECRYPT, replace(DECRYPT, signed_by=signed_by)):
        assert through(keys, step, sealed) == content
    signed = keys.gpg(*more, "--local-user", "bob", "--sign", content=content)
    assert through(keys, PgpVerify(signed_by=signed_by), signed) == content


def test_who_is_not_named_has_signed_nothing(keys: Keys) -> None:
    decrypt = replace(DECRYPT, signed_by=(keys.public("bob"),))
    verify = PgpVerify(signed_by=(keys.public("bob"),))
    for who, message in {"eve": "which the step does not name", "alice": "does not name"}.items():
        sealed = keys.gpg("--recipient", "alice", "--local-user", who, "--sign", "--encrypt")
        assert message in refused(keys, decrypt, sealed)
        assert message in refused(keys, verify, keys.gpg("--local-user", who, "--sign"))
    assert "0 signatures" in refused(keys, decrypt, keys.gpg("--recipient", "alice", "--encrypt"))
    assert "it is encrypted" in refused(keys, verify, keys.gpg("--recipient", "alice", "--encrypt"))
    twice = ("--local-user", "bob", "--local-user", "eve", "--sign")
    refused(keys, verify, keys.gpg(*twice))


@pytest.mark.parametrize("packed", ["none", "zip", "zlib"])
def test_what_stands_behind_a_signed_message_is_refused(keys: Keys, packed: str) -> None:
    verify = PgpVerify(signed_by=(keys.public("bob"),))
    signed = keys.gpg("--compress-algo", packed, "--local-user", "bob", "--sign")
    assert through(keys, verify, signed) == CONTENT
    for content in (signed + b"x", signed + signed, signed[:-1], signed[:1], b""):
        assert refused(keys, verify, content)
    bomb = keys.gpg(
        "--compress-algo", packed, "--local-user", "bob", "--sign", content=bytes(1 << 20)
    )
    assert "raise most_bytes" in refused(keys, replace(verify, most_bytes=(1 << 20) - 1), bomb)


def test_what_is_not_one_whole_message_is_refused(keys: Keys) -> None:
    decrypt = DECRYPT
    sealed = keys.gpg("--recipient", "alice", "--encrypt")
    armored = keys.gpg("--recipient", "alice", "--encrypt", "--armor")
    plain = keys.gpg("--store", "--compress-algo", "none")
    for content in (
        b"", CONTENT, sealed[:-1], sealed[:40], sealed + b"x", sealed + sealed, sealed + plain, plain + sealed, plain,
        armored + b"x", b"x" + armored, armored[:-20], armored + armored, armored.replace(b"\n\n", b"\n"),
    ):  # fmt: skip
        assert refused(keys, decrypt, content)
    assert "MDC" in refused(keys, decrypt, unprotected(keys, sealed))
    flipped = bytearray(keys.gpg("--compress-algo", "none", "--recipient", "alice", "--encrypt"))
    flipped[-30] ^= 1
    assert "changed on its way" in refused(keys, decrypt, bytes(flipped))
    to_bob = keys.gpg("--recipient", "bob", "--encrypt")
    assert "cannot be decrypted with this key" in refused(keys, decrypt, to_bob)
    old = keys.gpg("--recipient", "alice", "--encrypt", "--cipher-algo", "3DES")
    assert "old cipher 2" in refused(keys, decrypt, old)
    clear = keys.gpg("--local-user", "bob", "--clear-sign")
    assert "clear signatures" in refused(keys, PgpVerify(signed_by=(keys.public("bob"),)), clear)


def unprotected(keys: Keys, sealed: bytes) -> bytes:
    """Return the same message as it was encrypted before there was an MDC (RFC 4880, 5.7 and 13.9)."""
    words = ["gpg", "--homedir", str(keys.home.folder), "--batch", "--pinentry-mode", "loopback",
             "--passphrase", PASSPHRASE, "--show-session-key", "--decrypt"]  # fmt: skip
    told = subprocess.run(words, input=sealed, capture_output=True, check=True, timeout=60).stderr
    session = bytes.fromhex(told.split(b"session key: '9:")[1].split(b"'")[0].decode())
    head = sealed[: 2 + sealed[1]]  # the one packet with the session key
    content = b"\xcb" + bytes((len(b"b\0\0\0\0\0hello"),)) + b"b\0\0\0\0\0hello"
    first = Cipher(AES256(session), CFB(bytes(16))).encryptor()
    start = first.update(bytes(16) + bytes(2))
    rest = Cipher(AES256(session), CFB(start[2:18])).encryptor().update(content)
    body = start + rest
    return head + b"\xc9" + bytes((len(body),)) + body


def test_a_bomb_is_stopped(keys: Keys) -> None:
    packed = ("--compress-level", "9", "--compress-algo", "zlib")
    sealed = keys.gpg(*packed, "--recipient", "alice", "--encrypt", content=bytes(8 << 20))
    assert len(sealed) < 1 << 15
    step = replace(DECRYPT, most_bytes=(8 << 20) - 1)
    assert "raise most_bytes" in refused(keys, step, sealed)
    assert len(through(keys, replace(step, most_bytes=8 << 20), sealed)) == 8 << 20


@pytest.mark.parametrize(
    "step",
    [
        PgpDecrypt(private_key=ref("alice"), passphrase=ref("wrong")),
        PgpDecrypt(private_key=ref("alice")),
        PgpSign(signing_key=ref("alice"), passphrase=ref("wrong")),
        PgpSign(signing_key=ref("old")),
        PgpSign(signing_key=ref("pass")),
        PgpSign(signing_key=ref("missing")),
    ],
)
def test_a_key_that_cannot_be_used_is_found_before_any_file(keys: Keys, step: PgpStep) -> None:
    with pytest.raises(ConfigError) as caught, open_keys(step, keys.secrets):
        pass
    assert PASSPHRASE not in str(caught.value)


def test_a_recipient_whose_key_has_expired_is_told_and_an_old_key_still_decrypts(
    keys: Keys,
) -> None:
    step = PgpEncrypt(recipients=(keys.public("old"),))
    with pytest.raises(ContentKeysError, match="expired"), open_keys(step, keys.secrets):
        pass
    sealed = keys.home.gpg(
        "--trust-model",
        "always",
        "--recipient",
        "old",
        "--encrypt",
        content=CONTENT,
        at=str(NOW - 10 * DAY + 60),
    )
    assert through(keys, PgpDecrypt(private_key=ref("old")), sealed) == CONTENT


def test_a_key_is_in_memory_alone_and_for_nobody_else(keys: Keys) -> None:
    with open_keys(DECRYPT, keys.secrets) as opened:
        folder = opened.home.folder
        assert folder.parent == MEMORY
        assert folder.stat().st_mode & 0o777 == 0o700
        assert list(folder.glob("private-keys-v1.d/*.key"))
        sweep()  # of another process: this one is in use
        assert folder.exists()
    assert not folder.exists()


def gpg_that(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let the gpg of this machine be a program that does as ``script`` once it is given content."""
    fake = folder / "gpg"
    real = shutil.which("gpg")
    body = f'#!/bin/sh\ncase "$*" in *--decrypt*) {script};; *) exec {real} "$@";; esac\n'
    fake.write_text(body, encoding="utf-8")
    fake.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -9 $$", "ended by signal 9"),
        ("sleep 60", "did nothing for 0.2 s"),
    ],
)
def test_a_gpg_that_fails_is_no_fault_of_a_file(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    find = 'fd=; for w; do [ "$p" = --status-fd ] && fd=$w; p=$w; done; '
    gpg_that(tmp_path, monkeypatch, find + script)
    if script.startswith("sleep"):
        monkeypatch.setattr(content_pgp, "LIMIT_S", 0.2)
    with pytest.raises(PgpError, match=message):
        through(keys, PgpVerify(signed_by=(keys.public("bob"),)), b"x")


def test_a_message_that_makes_gpg_say_much_is_at_fault_itself(keys: Keys) -> None:
    sealed = keys.gpg("--recipient", "alice", "--encrypt")
    # To somebody else, by RSA (RFC 4880, 5.1); gpg tells of each.
    others = b"".join(
        b"\x84\x0d\x03" + number.to_bytes(8, "big") + b"\x01\x00\x08\xff"
        for number in range(1, 3000)
    )
    assert "says more than 65,536 bytes" in refused(keys, DECRYPT, others + sealed)


def test_a_message_that_unpacks_to_nothing_for_ever_is_at_fault_itself(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content_pgp, "LIMIT_S", 0.5)  # of which gpg has to get a tenth to itself
    # Packets of a kind that gpg passes over without a word (RFC 4880, 4.3), packed by bzip2.
    skipped = (b"\xfd\xff" + (1000).to_bytes(4, "big") + bytes(1000)) * 20_000
    packer = bz2.BZ2Compressor()
    packed = b"\xa3\x03" + b"".join(packer.compress(skipped) for _ in range(15)) + packer.flush()
    assert len(packed) < 1 << 16
    step = PgpVerify(signed_by=(keys.public("bob"),))
    assert "works on it for more than 0.5 s" in refused(keys, step, packed)


def test_what_is_missing_on_a_machine_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no file system in memory"):
        PgpHome([], memory=tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="apt install gnupg"):
        PgpHome([])


def test_a_gpg_that_reads_no_further_is_not_trusted(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = keys.gpg("--recipient", "alice", "--encrypt")
    whole, armed, real = tmp_path / "whole", tmp_path / "armed", shutil.which("gpg")
    whole.write_bytes(sealed)
    gpg_that(tmp_path, monkeypatch, f'[ -e {armed} ] && exec 0<{whole}; exec {real} "$@"')
    with open_keys(DECRYPT, keys.secrets) as opened:
        armed.touch()
        with pytest.raises(UnfitError, match="something behind the message"):
            list(opened.change(DECRYPT, iter([sealed + bytes(1 << 20)])))


@pytest.mark.parametrize("passphrase", ["two\nlines", "x" * 5000])
def test_a_passphrase_is_one_line_that_a_pipe_holds(keys: Keys, passphrase: str) -> None:
    values = {**keys.secrets.values, SecretName("pass"): SecretValue(passphrase)}
    secrets = replace(keys.secrets, values=values)
    with pytest.raises(ConfigError, match="one line"), open_keys(SIGN, secrets):
        pass


KILLED = """
import sys
from mftgit.adapters.content.pgp_home import PgpHome
home = PgpHome([], private=sys.stdin.read())
print(home.folder, home._agent_pid, flush=True)
sys.stdin = open("/dev/null")
import signal
signal.pause()
"""


def test_what_a_killed_process_leaves_is_removed_by_the_next_and_its_agent_ends(keys: Keys) -> None:
    words = [sys.executable, "-c", KILLED]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(keys.secrets.text(ref("bob")))
        process.stdin.close()
        folder, agent = process.stdout.readline().split()
        ended = os.pidfd_open(int(agent))
        assert list(Path(folder).glob("private-keys-v1.d/*.key"))
        process.send_signal(signal.SIGKILL)
    PgpHome([]).close()
    until(lambda: not Path(folder).exists())  # another process may be at it already
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    assert poll.poll(60_000)
    os.close(ended)


def moving(root: Path, *steps: Step) -> Site:
    for name in ("source", "target"):
        (root / name).mkdir(parents=True)
    there = site(root)
    rules = replace(there.transfer.destination, verify=Verify.READ_BACK)
    there.transfer = replace(there.transfer, content=steps, destination=rules)
    return there


def context(there: Site, keys: Keys, owner: Owner | int = 1) -> RunContext:
    return replace(there.context(owner), secrets=keys.secrets)


def run(there: Site, keys: Keys, owner: Owner | int = 1) -> RunOutcome:
    return run_once(there.transfer, context(there, keys, owner))


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_a_transfer_packs_encrypts_and_signs(tmp_path: Path, keys: Keys, content: bytes) -> None:
    seal = sealing(keys.public("bob"))
    there = moving(tmp_path, Gzip(), seal)
    there.put("a.csv", content)
    assert run(there, keys).files == 1
    assert there.left_at_target() == ["a.csv.gz.pgp"]
    back = moving(
        tmp_path / "back",
        PgpDecrypt(private_key=ref("bob"), signed_by=(keys.public("alice"),)),
    )
    back.put("a.csv.gz.pgp", (there.target / "a.csv.gz.pgp").read_bytes())
    assert run(back, keys).files == 1
    (facts,) = back.happened(EventName.DELIVERY_SUCCEEDED)
    assert facts["final"] == "a.csv.gz"


def test_files_side_by_side_share_the_keys(tmp_path: Path, keys: Keys) -> None:
    there = moving(tmp_path, sealing(keys.public("bob")))
    there.transfer = replace(there.transfer, parallel=3)
    wanted = {f"{number}": LARGE + f"{number}".encode() for number in range(4)}
    for name, content in wanted.items():
        there.put(name, content)
    assert run_once(there.transfer, replace(context(there, keys), open_more=there.open)).files == 4
    found = {
        path.stem: keys.gpg("--decrypt", content=path.read_bytes())
        for path in there.target.iterdir()
    }
    assert found == wanted


def test_a_bad_message_fails_alone_and_a_bad_key_no_file(tmp_path: Path, keys: Keys) -> None:
    there = moving(tmp_path, DECRYPT)
    good = keys.gpg("--recipient", "alice", "--encrypt")
    large = keys.gpg("--recipient", "alice", "--encrypt", content=os.urandom(2 * SMALL_BYTES))
    for name, content in {
        "a.pgp": good,
        "b.pgp": good[:-9],
        "c.gpg": large[:-9],
        "d.asc": large,
    }.items():
        there.put(name, content)
    outcome = run(there, keys)
    assert (outcome.outcome, outcome.files) == (RunState.PARTLY, 2)
    assert there.left_at_target() == ["a", "d"]
    assert all("step 1 (pgp_decrypt) of content" in error for error in outcome.errors)
    there = moving(
        tmp_path / "other", PgpDecrypt(private_key=ref("alice"), passphrase=ref("wrong"))
    )
    there.put("a.pgp", good)
    memory = there.memory()
    outcome = run_once(there.transfer, replace(context(there, keys), memory=memory))
    assert outcome.outcome is RunState.FAILED
    assert "its keys cannot be used" in outcome.errors[0]
    assert not memory.is_quiet(0)
    assert "a.pgp" not in memory.failures


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_wherever_an_owner_dies_the_partner_gets_one_message_that_opens(
    tmp_path: Path, keys: Keys, content: bytes
) -> None:
    seal = PgpEncrypt(recipients=(keys.public("bob"),))

    def die() -> None:
        raise Crash

    at, crashed = 0, True
    while crashed:
        at += 1
        there = moving(tmp_path / str(at), seal)
        there.put("a", content)
        try:
            run(there, keys, Owner(1, at=at, then=die))
            crashed = False
        except Crash:
            run(there, keys, 2)
        assert there.left_at_target() == ["a.pgp"]
        assert keys.gpg("--decrypt", content=(there.target / "a.pgp").read_bytes()) == content
        assert there.records() == []
    assert at > 5


def test_the_key_of_a_step_is_read_as_gpg_prints_it(keys: Keys) -> None:
    assert read_public_key(keys.public("bob")).fingerprint == keys.home.fingerprints("bob")[0]
    with pytest.raises(ValueError, match="not one block"):
        read_public_key(base64.b64encode(b"x").decode())
