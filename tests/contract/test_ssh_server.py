"""Real clients against our SSH server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ssh_door import Door, account, open_door, served, serving
from ssh_keys import make_key

from mftgit.model.account import Factor

pytestmark = pytest.mark.needs("sftp", "ssh-keygen", "sftp-server")

KEY, PASSWORD, TOTP = Factor.KEY, Factor.PASSWORD, Factor.TOTP


def _key(work: Path, name: str, kind: str = "ed25519", *options: str) -> str:
    (work / "keys").mkdir(exist_ok=True)
    make_key(work / "keys" / name, kind, options=options)
    return (work / "keys" / f"{name}.pub").read_text(encoding="ascii")


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    work = tmp_path_factory.mktemp("door")
    ann = account("ann", (frozenset({KEY}),), keys=(_key(work, "ann"),))
    with open_door(work, serving(served(ann))) as door:
        yield door


def test_openssh_logs_in_by_a_key(door: Door) -> None:
    (door.folder / "a").write_text("content", encoding="ascii")
    done = door.sftp("get a got\nls\n", key="ann")
    assert done.returncode == 0, done.stderr
    assert door.book().logins[0][:2] == ("ann", frozenset({KEY}))
