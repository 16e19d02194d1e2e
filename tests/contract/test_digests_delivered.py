"""Runs to real servers that tell digests, by an extension or a shell, or do not; with checksum files beside files."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from outbound_site import LARGE, TARGET, Site, site
from proftpd import Proftpd, running_proftpd
from sshd import Sshd, running_sshd

from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.adapters.sftp.endpoint import SftpEndpoint, connect
from mftgit.model.configuration.config import Overwrite, Verify
from mftgit.model.locations.location import Location
from mftgit.model.transfers.checksum import Sidecar
from mftgit.model.transfers.run import RunState

SERVERS = {
    "check-file": pytest.param("check-file", marks=pytest.mark.needs("proftpd")),
    "sha256sum": pytest.param("sha256sum", marks=pytest.mark.needs("sshd")),
    "read back": pytest.param("read back", marks=pytest.mark.needs("sshd")),
}


@pytest.fixture(scope="module", params=SERVERS.values())
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Sshd | Proftpd]]:
    work = tmp_path_factory.mktemp("server")
    if request.param == "check-file":
        with running_proftpd(work) as proftpd:
            yield request.param, proftpd
        return
    options = ["ForceCommand none"] if request.param == "sha256sum" else []
    with running_sshd(work, options=options) as sshd:
        yield request.param, sshd


def to(server: Sshd | Proftpd, folder: Path, spoil: Callable[[Path], None] | None = None) -> Site:
    """Return a site whose destination is at ``server``; ``spoil`` is done to each file after it was written there."""
    for name in ("source", "target"):
        (folder / name).mkdir(parents=True)
    there = site(folder, overwrite=Overwrite.OVERWRITE)
    rules = replace(there.transfer.destination, verify=Verify.DIGEST, checksum=Sidecar())
    there.transfer = replace(there.transfer, destination=rules)
    local = there.open

    def open_there(location: Location, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
        if location.name != TARGET:
            return local(location, make)
        endpoint = connect(server.location(path=str(there.target)), secrets_dir=server.secrets_dir)
        return endpoint if spoil is None else spoiling(endpoint, there.target, spoil)

    there.open = open_there  # type: ignore[method-assign]
    return there


def spoiling(endpoint: SftpEndpoint, root: Path, spoil: Callable[[Path], None]) -> SftpEndpoint:
    write, write_all = endpoint.write, endpoint.write_all

    def one(path: str, *given: Any, **more: Any) -> int:
        size = write(path, *given, **more)
        spoil(root / path)
        return size

    def many(files: Iterable[tuple[str, bytes]]) -> Any:
        asked = list(files)
        ended = write_all(asked)
        for path, _ in asked:
            spoil(root / path)
        return ended

    endpoint.write, endpoint.write_all = one, many  # type: ignore[method-assign]
    return endpoint


def test_files_arrive_with_checksum_files_and_are_replaced_with_them(
    server: tuple[str, Sshd | Proftpd], tmp_path: Path
) -> None:
    there = to(server[1], tmp_path)
    names = ["a.csv", "line\nbreak", "m\udcfcn", "large", "empty"]
    for content in (b"1", b"22"):
        for name in names:
            sent = {"large": LARGE, "empty": b""}.get(name, content)
            there.put(name, sent)
        assert there.run(1).files == len(names)
        for name in names:
            delivered = (there.target / name).read_bytes()
            told = (there.target / f"{name}.sha256").read_bytes()
            assert hashlib.sha256(delivered).hexdigest().encode() in told
        assert (there.target / "a.csv").read_bytes() == content
        assert len(there.left_at_target()) == 2 * len(names)
    assert there.records() == []


@pytest.mark.parametrize("content", [b"content", LARGE], ids=["small", "large"])
def test_a_content_that_is_not_what_was_sent_is_found_and_not_published(
    server: tuple[str, Sshd | Proftpd], tmp_path: Path, content: bytes
) -> None:
    def spoil(path: Path) -> None:
        with path.open("r+b") as stream:
            stream.write(b"\xff")

    there = to(server[1], tmp_path, spoil)
    there.put("a.csv", content)
    outcome = there.run(1)
    assert outcome.outcome is RunState.FAILED
    assert hashlib.sha256(content).hexdigest() in outcome.errors[0]
    assert hashlib.sha256(b"\xff" + content[1:]).hexdigest() in outcome.errors[0]
    assert there.left_at_target() == []
