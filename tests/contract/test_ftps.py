"""FTP over TLS with a real ProFTPD, beside what every endpoint promises."""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import cast

import pytest
from ftps_server import FtpsServer, issue_client, make_certificates, running_ftps
from outbound_site import SOURCE, TARGET, site
from waiting import until

from mftgit.adapters.endpoint.contract import (
    Endpoint,
    EndpointLostError,
    EndpointRefusedError,
    FileMissingError,
    HostKeyError,
    LoginError,
    Traits,
)
from mftgit.adapters.ftps.endpoint import FtpsEndpoint, connect
from mftgit.errors import ConfigError
from mftgit.member.outbound.places.opening import prepare, stages
from mftgit.model.locations.login import SecretRef
from mftgit.model.locations.tls import TlsAuth

pytestmark = pytest.mark.needs("proftpd")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FtpsServer]:
    with running_ftps(tmp_path_factory.mktemp("ftps")) as running:
        yield running


def open_at(server: FtpsServer, path: Path) -> FtpsEndpoint:
    return connect(server.location(path=str(path)), secrets_dir=server.secrets_dir)


def write(endpoint: Endpoint, path: str, content: bytes) -> int:
    return endpoint.write(path, iter([content]), on_chunk=lambda _: None)


def test_tls_from_the_first_byte(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    passed: list[str] = []
    with running_ftps(tmp_path, implicit=True) as server:
        location = server.location()
        with closing(
            connect(location, secrets_dir=server.secrets_dir, passed=passed.append)
        ) as endpoint:
            assert write(endpoint, "a", content) == len(content)
        assert (server.folder / "a").read_bytes() == content
    assert tuple(passed) == stages(location)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_data_connections_go_on_with_the_session_of_tls(tmp_path: Path, version: str) -> None:
    """ProFTPD wants that unless it is told otherwise. It waits 10 s for a client that does not end its side."""
    with running_ftps(tmp_path, options=f"TLSProtocol TLSv{version}") as server:
        location = replace(server.location(), timeout_s=8)
        with closing(connect(location, secrets_dir=server.secrets_dir)) as endpoint:
            for number in range(3):
                write(endpoint, f"{number}", b"1")
            assert sorted(endpoint.list_names(".")) == ["0", "1", "2"]
        log = server.log.read_text(encoding="utf-8", errors="replace")
    assert f"TLSv{version} connection accepted" in log
    assert log.count("client reused TLS session for data connection") == 4


def test_a_folder_is_found_from_the_home_of_the_user(server: FtpsServer) -> None:
    (server.folder / "below").mkdir()
    for path in (".", "below", "./below/"):
        with closing(open_at(server, Path(path))) as endpoint:
            write(endpoint, "a", b"1")
            endpoint.remove("a")
    location = replace(server.location(), path="./below/")
    with closing(connect(location, secrets_dir=server.secrets_dir)) as endpoint:
        write(endpoint, "b", b"1")
    assert (server.folder / "below/b").read_bytes() == b"1"


def test_a_certificate_is_pinned_instead(server: FtpsServer) -> None:
    pinned = replace(server.location(), ca=None, fingerprints=(server.fingerprint,))
    connect(pinned, secrets_dir=server.secrets_dir).close()
    with pytest.raises(HostKeyError, match="not trusted"):
        connect(replace(pinned, fingerprints=()), secrets_dir=server.secrets_dir)
    with pytest.raises(ConfigError, match=r"ca of locations/partner\.yaml"):
        connect(replace(server.location(), ca="no PEM"), secrets_dir=server.secrets_dir)


def test_a_wrong_password_is_told(server: FtpsServer, tmp_path: Path) -> None:
    secrets_dir = tmp_path / "secrets"
    secrets_dir.mkdir()
    (secrets_dir / "password").touch(mode=0o600)
    for wrong, expected in {
        "guess": LoginError,
        "two\nlines": ConfigError,
        "": ConfigError,
    }.items():
        (secrets_dir / "password").write_text(wrong, encoding="utf-8")
        with pytest.raises(expected):
            connect(server.location(), secrets_dir=secrets_dir)


def test_a_certificate_logs_in_and_its_key_is_on_no_disk(tmp_path: Path) -> None:
    options = f"""
TLSVerifyClient on
TLSCACertificateFile {tmp_path}/authority.crt
"""
    with running_ftps(tmp_path, options=options) as server:
        location = server.location()
        with pytest.raises((EndpointLostError, EndpointRefusedError)):
            connect(location, secrets_dir=server.secrets_dir)
        mine = issue_client(server.authority)
        for name, content in {"mine.key": mine.key, "mine.crt": mine.certificate}.items():
            (server.secrets_dir / name).touch(mode=0o600)
            (server.secrets_dir / name).write_bytes(content)
        auth = TlsAuth(
            password=location.auth.password,
            private_key=SecretRef(file="mine.key"),
            certificate=SecretRef(file="mine.crt"),
        )
        shown = replace(location, auth=auth)
        with closing(connect(shown, secrets_dir=server.secrets_dir)) as endpoint:
            assert write(endpoint, "a", b"1") == 1
        others = make_certificates().server.certificate.decode()
        torn = replace(location, auth=replace(auth, certificate=others))
        with pytest.raises(ConfigError, match="belong together") as caught:
            prepare(torn, secrets_dir=server.secrets_dir, secrets={})
        assert "BEGIN" not in str(caught.value)


def test_a_server_that_does_not_replace_refuses_and_keeps_both(tmp_path: Path) -> None:
    with running_ftps(tmp_path, options="AllowOverwrite off") as server:
        (server.folder / "new").write_bytes(b"new")
        (server.folder / "old").write_bytes(b"old")
        with closing(connect(server.location(), secrets_dir=server.secrets_dir)) as endpoint:
            with pytest.raises(EndpointRefusedError, match="let files be replaced"):
                endpoint.rename("new", "old", replace=True)
            assert sorted(endpoint.list_names(".")) == ["new", "old"]
        assert (server.folder / "old").read_bytes() == b"old"


def test_what_the_user_may_not_do_is_refused(tmp_path: Path) -> None:
    options = """
<Limit STOR RNTO MKD DELE SITE_CHMOD>
DenyAll
</Limit>
"""
    with running_ftps(tmp_path, options=options) as server:
        (server.folder / "a").write_bytes(b"1")
        with closing(connect(server.location(), secrets_dir=server.secrets_dir)) as endpoint:
            for call in (
                lambda: write(endpoint, "b", b"1"),
                lambda: write(endpoint, "x/b", b"1"),
                lambda: endpoint.rename("a", "b", replace=False),
                lambda: endpoint.remove("a"),
                lambda: endpoint.make_folder("x"),
                lambda: endpoint.set_traits("a", Traits(mode=0o600)),
            ):
                with pytest.raises(EndpointRefusedError, match=r"denied|permitted"):
                    call()
        assert [path.name for path in server.folder.iterdir()] == ["a"]


def test_names_that_no_command_can_hold_are_refused(server: FtpsServer, tmp_path: Path) -> None:
    with closing(open_at(server, tmp_path)) as endpoint:
        for name in ("a\r\nDELE b", "a\nb", "a\rb", "a\udcffb"):
            with pytest.raises(EndpointRefusedError, match="no command of FTP can hold"):
                write(endpoint, name, b"1")
        assert endpoint.list_names(".") == []


@pytest.mark.parametrize("far", [SOURCE, TARGET])
def test_a_transfer_runs_from_and_to_it(server: FtpsServer, tmp_path: Path, far: str) -> None:
    made = site(tmp_path)
    for folder in (made.source, made.target):
        folder.mkdir()
    made.put("small.csv", b"small")
    made.put("large.bin", os.urandom(3_000_000))
    wanted = {path.name: path.read_bytes() for path in made.source.iterdir()}
    with closing(open_at(server, made.source if far == SOURCE else made.target)) as endpoint:
        opened = made.open

        def open_either(location: object, make: bool = False) -> Endpoint:  # noqa: FBT001, FBT002
            name = getattr(location, "name", None)
            return endpoint if name == far else opened(location, make)  # type: ignore[arg-type]

        made.open = open_either  # type: ignore[method-assign]
        made.run(1)
    assert {path.name: path.read_bytes() for path in made.target.iterdir()} == wanted
    assert made.left_at_source() == []
    assert made.records() == []
    assert made.delivered() == 2


def test_a_server_that_is_gone_is_told(tmp_path: Path) -> None:
    with running_ftps(tmp_path) as server:
        endpoint = connect(server.location(), secrets_dir=server.secrets_dir)
        assert endpoint.is_alive()
    until(lambda: not endpoint.is_alive())  # its sessions come to their end after it
    assert not endpoint.is_open
    with pytest.raises(EndpointLostError, match="cannot be reached by FTPS"):
        connect(server.location(), secrets_dir=server.secrets_dir)


def test_folders_without_end_are_not_followed(server: FtpsServer, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * 34)
    deep.mkdir(parents=True)
    for place in (deep, deep.parents[1]):
        (place / "a").touch()
    with closing(open_at(server, tmp_path)) as endpoint:
        found = [each.path for each in endpoint.list_files(".", recursive=True)]
    assert found == ["/".join(["d"] * 32 + ["a"])]


def test_a_file_is_read_as_any_stream_is(server: FtpsServer, tmp_path: Path) -> None:
    content = os.urandom(700_000)
    (tmp_path / "a").write_bytes(content)
    with closing(open_at(server, tmp_path)) as endpoint:
        with endpoint.open_read("a") as stream:
            buffer = bytearray(len(content) + 1)
            with BufferedReader(cast("RawIOBase", stream)) as whole:
                assert whole.readinto(buffer) == len(content)
        assert buffer[:-1] == content
        with endpoint.open_read("a", 5) as stream:
            assert stream.read() == content[5:]


@pytest.mark.parametrize("base", ["", "."])
def test_a_name_that_sounds_like_a_refusal_is_missing_like_any(
    server: FtpsServer, tmp_path: Path, base: str
) -> None:
    name = "permission denied: not allowed.csv"
    with closing(open_at(server, Path(base) if base else tmp_path)) as endpoint:
        for call in (endpoint.stat, endpoint.remove):
            with pytest.raises(FileMissingError):
                call(name)
        assert write(endpoint, name, b"1") == 1
        endpoint.rename(name, f"{name}.old", replace=False)
        endpoint.remove(f"{name}.old")
