"""A running member signs with the key that is in its file, and goes on with the one before while there is none."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.durable import move_file
from mftgit.adapters.member_key import FileProver
from mftgit.adapters.proof import verify_proof
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.tls import pki
from mftgit.errors import ConfigError
from mftgit.model.configuration.config import Role
from mftgit.model.names import MemberName

NODE = MemberName("node-1")
BOOTSTRAP = Bootstrap(
    name=NODE, role=Role.NODE, cluster_id="c", controller_url="https://c", files_root="/files"
)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    made = StateFolder(tmp_path / "node")
    made.prepare()
    made.write_secret(made.member_key, pki.make_identity())
    return made


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    told: list[str] = []
    logger.enable("mftgit")
    sink = logger.add(lambda message: told.append(message.record["message"]), level="WARNING")
    yield told
    logger.remove(sink)
    logger.disable("mftgit")


def prover(folder: StateFolder) -> FileProver:
    return FileProver(folder, BOOTSTRAP, now=SystemClock().now)


def signs_with(made: FileProver, key: str) -> bool:
    token = made.headers("GET", "/x")["Authorization"].removeprefix("Bearer ")
    found = verify_proof(
        token, method="GET", path="/x", cluster_id="c", public_keys=lambda _: (key,)
    )
    return found.member == NODE and made.public_key == key


def public(folder: StateFolder) -> str:
    return pki.public_identity(folder.member_key.read_bytes())


def test_a_key_that_is_put_in_place_is_used_at_the_next_request(folder: StateFolder) -> None:
    made = prover(folder)
    assert signs_with(made, public(folder))
    for _ in range(3):
        folder.write_secret(folder.next_key, pki.make_identity())
        move_file(folder.next_key, folder.member_key)
        assert signs_with(made, public(folder))


def test_a_key_is_used_only_when_a_power_cut_cannot_take_it_back(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    made = prover(folder)
    folder.write_secret(folder.next_key, pki.make_identity())
    folder.next_key.replace(folder.member_key)  # and the process that did it goes no further
    monkeypatch.setattr(os, "fsync", watch)
    made.headers("GET", "/x")
    assert flushed == [str(folder.root)]
    made.headers("GET", "/x")
    assert len(flushed) == 1
    assert signs_with(prover(folder), public(folder))
    assert len(flushed) == 2


def test_a_disk_that_cannot_be_flushed_keeps_nobody_from_signing(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    assert signs_with(prover(folder), public(folder))


def test_a_key_that_vanishes_or_is_damaged_is_used_on_and_told_once(
    folder: StateFolder, warnings: list[str]
) -> None:
    made, key = prover(folder), public(folder)
    content = folder.member_key.read_bytes()
    for harm in (folder.member_key.unlink, lambda: folder.member_key.write_bytes(b"half a k")):
        harm()
        for _ in range(3):
            assert signs_with(made, key)
    assert warnings == ["the key read before is used on"] * 2
    folder.member_key.write_bytes(content)
    assert signs_with(made, key)
    assert len(warnings) == 2


def test_a_member_without_a_key_does_not_start(folder: StateFolder) -> None:
    folder.member_key.unlink()
    with pytest.raises(ConfigError, match=r"member\.key: cannot be read"):
        prover(folder)
