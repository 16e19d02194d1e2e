"""Virtual folders of an account that lie on servers, of each kind: what is seen, sent, changed and refused there."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from clocks import SetClock
from cut_line import cut_line
from dav_servers import running_apache
from far_homes import AT, FarSite, far_site
from ftps_server import running_ftps
from homes import GO_ON, NEW, refused, rule, send
from places import Lack
from s3_store import running_s3
from samba import running_samba
from sshd import Sshd, running_sshd

from mftgit.adapters.home.contract import Home, HomeError, Opening, Refusal, Traits
from mftgit.model.inbound.account import Quota
from mftgit.model.inbound.permission import FULL, Act

pytestmark = pytest.mark.needs("sshd")

LEFT = ".upload-mftgit-0123456789abcdef01234567"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def smb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    base = tmp_path_factory.getbasetemp()
    with running_samba(tmp_path_factory.mktemp("samba"), folder=base) as server:
        yield server


@pytest.fixture(scope="module")
def ftps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_ftps(tmp_path_factory.mktemp("ftps")) as server:
        yield server


@pytest.fixture(scope="module")
def https(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    base = tmp_path_factory.getbasetemp()
    with running_apache(tmp_path_factory.mktemp("apache"), folder=base) as server:
        yield server


@pytest.fixture(
    params=[
        pytest.param("sftp", marks=pytest.mark.needs("sshd")),
        "s3",
        pytest.param("smb", marks=pytest.mark.needs("smbd")),
        pytest.param("ftps", marks=pytest.mark.needs("proftpd")),
        pytest.param("https", marks=pytest.mark.needs("apache2")),
    ]
)
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FarSite]:
    server = request.getfixturevalue("sshd" if request.param == "sftp" else request.param)
    with far_site(request.param, server, tmp_path) as site:
        yield site


@pytest.fixture
def away(sshd: Sshd, tmp_path: Path) -> Iterator[FarSite]:
    """Give a folder on an SFTP server, for what is alike with all of them."""
    with far_site("sftp", sshd, tmp_path) as site:
        yield site


@pytest.fixture
def home(far: FarSite) -> Iterator[Home]:
    with closing(far.open()) as home:
        yield home


@pytest.fixture
def account(away: FarSite) -> Iterator[Home]:
    with closing(away.open()) as home:
        yield home


def names(home: Home, path: str) -> list[str]:
    return sorted(name for name, _ in home.list(path))


def read(home: Home, path: str) -> bytes:
    file = home.open_read(path)
    try:
        return file.read(0, 1 << 20)
    finally:
        file.close()


# What every kind of server does


def test_what_is_there_is_listed_and_read(far: FarSite, home: Home) -> None:
    far.place.put("in/a.csv", b"content")
    far.place.put("in/deep/b.csv")
    assert names(home, "/") == ["partner"]
    assert home.stat(AT).is_folder
    assert names(home, AT) == ["in"]
    found = dict(home.list(f"{AT}/in"))
    assert (found["a.csv"].size_bytes, found["a.csv"].is_folder) == (7, False)
    assert found["deep"].is_folder
    assert home.stat(f"{AT}/in/a.csv").size_bytes == 7
    assert read(home, f"{AT}/in/a.csv") == b"content"
    assert refused(lambda: home.stat(f"{AT}/in/none")) is Refusal.MISSING
    assert refused(lambda: home.open_read(f"{AT}/in")) is Refusal.IS_FOLDER
    assert refused(lambda: home.open_read(f"{AT}/in/none")) is Refusal.MISSING


def test_a_file_is_there_once_it_is_closed_and_told_of_then(far: FarSite, home: Home) -> None:
    far.place.put("in/other.csv")
    file = home.open_write(f"{AT}/in/a.csv", NEW, Traits())
    file.write(0, b"first")
    assert not far.place.is_there("in/a.csv")
    assert far.site.finished == []
    file.write(5, b"second")
    done = file.close()
    assert far.place.content("in/a.csv") == b"firstsecond"
    assert done is not None
    assert far.site.finished == [done]
    assert (done.path, done.file) == (f"{AT}/in/a.csv", f"{far.location.name}:in/a.csv")
    assert done.digest == sha256(b"firstsecond").hexdigest()
    assert (done.size_bytes, done.overwrote) == (11, False)
    assert names(home, f"{AT}/in") == ["a.csv", "other.csv"]
    assert far.site.hidden() == []  # nothing stays behind in the home
    assert {each for each in far.place.endpoint.list_names("in") if each.startswith(".")} == set()


def test_a_file_is_replaced_by_who_may(far: FarSite, home: Home) -> None:
    far.place.put("a.csv", b"old")
    done = send(home, f"{AT}/a.csv", b"new")
    assert done is not None
    assert done.overwrote
    assert far.place.content("a.csv") == b"new"
    with closing(far.open(rule("/", Act.LIST, Act.READ, Act.WRITE))) as careful:
        assert refused(lambda: send(careful, f"{AT}/a.csv", b"mine")) is Refusal.DENIED
        send(careful, f"{AT}/b.csv", b"mine")
        race = careful.open_write(f"{AT}/c.csv", NEW, Traits())
        race.write(0, b"mine")
        far.place.put("c.csv", b"theirs")
        assert refused(race.close) is Refusal.EXISTS
    assert far.place.content("a.csv") == b"new"
    assert far.place.content("c.csv") == b"theirs"


def test_an_empty_file_is_sent(far: FarSite, home: Home) -> None:
    done = send(home, f"{AT}/empty", b"")
    assert done is not None
    assert far.place.content("empty") == b""


def test_folders_are_made_and_removed(home: Home) -> None:
    home.make_folder(f"{AT}/new", Traits())
    assert names(home, AT) == ["new"]
    assert home.stat(f"{AT}/new").is_folder
    assert refused(lambda: home.make_folder(f"{AT}/new", Traits())) is Refusal.EXISTS
    send(home, f"{AT}/new/a.csv", b"x")
    assert refused(lambda: home.remove_folder(f"{AT}/new")) is Refusal.NOT_EMPTY
    home.remove(f"{AT}/new/a.csv")
    home.remove_folder(f"{AT}/new")
    assert names(home, AT) == []
    assert refused(lambda: home.remove_folder(f"{AT}/new")) is Refusal.MISSING


def test_files_are_renamed_and_removed(far: FarSite, home: Home) -> None:
    far.place.put("in/a.csv", b"a")
    far.place.put("out/b.csv", b"b")
    home.rename(f"{AT}/in/a.csv", f"{AT}/out/a.csv", replace=False)
    assert far.place.content("out/a.csv") == b"a"
    again = f"{AT}/out/a.csv", f"{AT}/out/b.csv"
    assert refused(lambda: home.rename(*again, replace=False)) is Refusal.EXISTS
    home.rename(*again, replace=True)
    assert far.place.content("out/b.csv") == b"a"
    assert refused(lambda: home.rename(*again, replace=True)) is Refusal.MISSING
    assert refused(lambda: home.remove(f"{AT}/out")) is Refusal.IS_FOLDER
    home.remove(f"{AT}/out/b.csv")
    assert refused(lambda: home.remove(f"{AT}/out/b.csv")) is Refusal.MISSING


def test_a_folder_is_renamed_where_the_server_has_folders(far: FarSite, home: Home) -> None:
    far.place.put("in/a.csv", b"a")
    if Lack.FOLDERS in far.place.lacks:
        assert (
            refused(lambda: home.rename(f"{AT}/in", f"{AT}/out", replace=False))
            is Refusal.UNSUPPORTED
        )
        return
    home.rename(f"{AT}/in", f"{AT}/out", replace=False)
    assert far.place.content("out/a.csv") == b"a"


def test_a_file_is_read_here_and_there_and_two_at_a_time(far: FarSite, home: Home) -> None:
    content = bytes(range(256)) * 12_000  # 3 MB
    far.place.put("a.bin", content)
    far.place.put("b.bin", content[::-1])
    one, other = home.open_read(f"{AT}/a.bin"), home.open_read(f"{AT}/b.bin")
    for offset in (0, 1000, 500, 2_900_000, 3_071_999, 100):
        assert one.read(offset, 700) == content[offset : offset + 700]
        assert other.read(offset, 700) == content[::-1][offset : offset + 700]
    assert one.read(len(content), 10) == b""
    one.close()
    other.close()


def test_a_file_that_is_there_is_added_to(far: FarSite, home: Home) -> None:
    far.place.put("a.log", b"one ")
    file = home.open_write(f"{AT}/a.log", Opening(append=True), Traits())
    file.write(0, b"two")
    file.close()
    assert far.place.content("a.log") == b"one two"
    home.set(f"{AT}/a.log", Traits(size_bytes=3))
    assert far.place.content("a.log") == b"one"


# What is alike with all of them


def test_what_the_rules_say_holds_there(away: FarSite) -> None:
    away.place.put("in/a.csv")
    away.place.put("secret/a.csv")
    rules = (
        rule("/", *FULL),
        rule(AT, Act.LIST, Act.READ),
        rule(f"{AT}/secret"),
        rule(f"{AT}/drop", Act.WRITE),
    )
    with closing(away.open(*rules)) as home:
        assert names(home, AT) == ["in"]
        assert refused(lambda: home.stat(f"{AT}/secret/a.csv")) is Refusal.MISSING
        for change in (
            lambda: send(home, f"{AT}/in/b.csv", b"x"),
            lambda: home.remove(f"{AT}/in/a.csv"),
            lambda: home.rename(f"{AT}/in/a.csv", f"{AT}/in/b.csv", replace=False),
            lambda: home.make_folder(f"{AT}/new", Traits()),
            lambda: home.remove_folder(f"{AT}/in"),
            lambda: home.set(f"{AT}/in/a.csv", Traits(mtime_s=1)),
        ):
            assert refused(change) is Refusal.DENIED
        (away.place.root / "drop").mkdir()
        away.place.put("drop/theirs.csv")
        send(home, f"{AT}/drop/mine.csv", b"x")
        assert home.stat(f"{AT}/drop/mine.csv").size_bytes == 1
        assert refused(lambda: home.stat(f"{AT}/drop/theirs.csv")) is Refusal.MISSING
        assert names(home, f"{AT}/drop") == []


def test_nothing_leads_out_of_the_folder(away: FarSite, account: Home) -> None:
    outside = away.place.root.parent / "outside"
    outside.mkdir()
    (outside / "a.csv").write_bytes(b"not yours")
    away.place.put("in/a.csv")
    (away.place.root / "link").symlink_to(outside)
    (away.place.root / "in" / "link.csv").symlink_to(outside / "a.csv")
    assert names(account, AT) == ["in"]
    assert names(account, f"{AT}/in") == ["a.csv"]
    for path in (f"{AT}/link/a.csv", f"{AT}/link", f"{AT}/in/link.csv", f"{AT}/../outside/a.csv"):
        with pytest.raises(HomeError):
            account.open_read(path)
        with pytest.raises(HomeError):
            send(account, path if "outside" not in path else f"{AT}/link/b.csv", b"x")
    assert refused(lambda: account.list(f"{AT}/link")) is Refusal.MISSING
    with pytest.raises(HomeError):
        account.rename(f"{AT}/in/a.csv", f"{AT}/link/b.csv", replace=True)
    assert os.listdir(outside) == ["a.csv"]  # noqa: PTH208  the names as they are


def test_names_of_the_cluster_do_not_exist_there(away: FarSite, account: Home) -> None:
    for name in (".mftgit-claims", LEFT):
        away.place.put(name)
        assert refused(lambda name=name: account.stat(f"{AT}/{name}")) is Refusal.MISSING  # type: ignore[misc]
        with pytest.raises(HomeError):
            account.remove(f"{AT}/{name}")
    assert names(account, AT) == []
    assert away.place.is_there(LEFT)


def test_what_broke_off_long_ago_is_removed_when_the_folder_is_listed(away: FarSite) -> None:
    away.place.put(LEFT)
    os.utime(away.place.root / LEFT, (1, 1))
    with closing(away.open(rule("/", Act.LIST, Act.READ))) as reader:
        assert names(reader, AT) == []
    assert away.place.is_there(LEFT)
    with closing(away.open()) as home:
        assert names(home, AT) == []
    assert not away.place.is_there(LEFT)


def test_pieces_come_in_any_order(away: FarSite, account: Home) -> None:
    file = account.open_write(f"{AT}/a.bin", NEW, Traits())
    file.write(6, b"world")
    file.write(0, b"hello ")
    done = file.close()
    assert done is not None
    assert done.digest == sha256(b"hello world").hexdigest()
    assert away.place.content("a.bin") == b"hello world"


def test_an_upload_that_broke_off_is_gone_on_with(away: FarSite, account: Home) -> None:
    file = account.open_write(f"{AT}/a.bin", NEW, Traits())
    file.write(0, b"hello ")
    file.abandon()
    assert not away.place.is_there("a.bin")
    with closing(away.open()) as home:
        assert home.unfinished(f"{AT}/a.bin") == 6
        assert home.stat(f"{AT}/a.bin").size_bytes == 6
        again = home.open_write(f"{AT}/a.bin", GO_ON, Traits())
        again.write(0, b"world")
        done = again.close()
    assert done is not None
    assert done.resumed
    assert away.place.content("a.bin") == b"hello world"
    assert away.site.hidden() == []


def test_an_upload_that_nobody_wants_is_removed(away: FarSite, account: Home) -> None:
    file = account.open_write(f"{AT}/a.bin", NEW, Traits())
    file.write(0, b"hello")
    file.abandon()
    account.remove(f"{AT}/a.bin")
    assert away.site.hidden() == []


def test_what_is_changed_by_others_meanwhile_is_not_replaced_by_a_changed_copy(
    away: FarSite, account: Home
) -> None:
    away.place.put("a.log", b"one ")
    file = account.open_write(f"{AT}/a.log", Opening(append=True), Traits())
    file.write(0, b"two")
    away.place.put("a.log", b"something else")
    assert refused(file.close) is Refusal.BUSY
    assert away.place.content("a.log") == b"something else"
    assert away.site.hidden() == []


def test_a_file_that_is_another_one_now_is_not_read_on(away: FarSite, account: Home) -> None:
    away.place.put("a.bin", b"x" * 3_000_000)
    file = account.open_read(f"{AT}/a.bin")
    assert file.read(0, 10) == b"x" * 10
    away.place.put("a.bin", b"y" * 2_900_000)
    assert refused(lambda: file.read(2_800_000, 10)) is Refusal.BUSY


def test_times_that_clients_set_are_kept(account: Home) -> None:
    file = account.open_write(f"{AT}/a.csv", NEW, Traits())
    file.set(Traits(mtime_s=1_000_000_000))
    file.write(0, b"x")
    file.close()
    assert account.stat(f"{AT}/a.csv").mtime_s == 1_000_000_000
    account.set(f"{AT}/a.csv", Traits(mtime_s=1_100_000_000))
    assert account.stat(f"{AT}/a.csv").mtime_s == 1_100_000_000


def test_limits_of_the_account_hold_while_a_file_is_on_its_way(away: FarSite) -> None:
    with closing(away.open(max_file_bytes=4)) as home:
        assert refused(lambda: send(home, f"{AT}/a.bin", b"12345")) is Refusal.TOO_LARGE
    with closing(away.open(quota=Quota(size_bytes=10))) as home:
        assert refused(lambda: send(home, f"{AT}/a.bin", b"12345678901")) is Refusal.OVER_QUOTA
        for number in range(3):  # what has arrived counts no more
            send(home, f"{AT}/{number}.bin", b"123456789")
    assert names(away.open(), AT) == ["0.bin", "1.bin", "2.bin"]


def test_nothing_is_renamed_between_servers_and_the_home(away: FarSite, account: Home) -> None:
    send(account, "/a.csv", b"x")
    away.place.put("b.csv")
    for pair in (("/a.csv", f"{AT}/a.csv"), (f"{AT}/b.csv", "/b.csv")):
        assert refused(lambda pair=pair: account.rename(*pair, replace=False)) is Refusal.ACROSS  # type: ignore[misc]
    assert refused(lambda: account.remove_folder(AT)) is Refusal.DENIED


def test_such_a_home_is_not_near(away: FarSite, account: Home) -> None:
    assert not account.is_near
    assert account.open_write_at_once(f"{AT}/a.csv", NEW, Traits()) is None
    with closing(away.site.open()) as plain:
        assert plain.is_near


# Connections


def test_one_connection_serves_a_session_and_then_the_next(away: FarSite, sshd: Sshd) -> None:
    away.place.put("a.csv")
    before = sshd.connections()
    for _ in range(2):
        with closing(away.open()) as home:
            assert sshd.connections() <= before + 1  # none before it is needed
            assert names(home, AT) == ["a.csv"]
            assert read(home, f"{AT}/a.csv")
    assert sshd.connections() == before + 1


def test_a_session_that_rests_leaves_its_connection_to_others(away: FarSite, sshd: Sshd) -> None:
    away.place.put("a.csv")
    clock = SetClock()
    before = sshd.connections()
    with closing(away.open(clock=clock)) as first, closing(away.open(clock=clock)) as second:
        assert names(first, AT) == ["a.csv"]
        clock.pass_s(10)
        away.partners.rest()
        assert names(second, AT) == ["a.csv"]
        assert sshd.connections() == before + 1
        file = second.open_read(f"{AT}/a.csv")
        file.read(0, 1)
        clock.pass_s(10)
        away.partners.rest()  # a file is open
        assert names(first, AT) == ["a.csv"]
        assert sshd.connections() == before + 2
        file.close()


def test_who_waits_for_a_connection_gets_it_from_who_has_nothing_open(away: FarSite) -> None:
    away.location = replace(away.location, max_connections=1)
    away.place.put("a.csv")
    with closing(away.open(clock=SetClock())) as first, closing(away.open()) as second:
        for _ in range(2):
            assert names(first, AT) == ["a.csv"]
            assert names(second, AT) == ["a.csv"]


def test_a_server_that_dies_is_told_of_and_the_file_sent_when_it_is_back(
    sshd: Sshd, away: FarSite, account: Home
) -> None:
    file = account.open_write(f"{AT}/a.bin", NEW, Traits())
    file.write(0, b"hello ")
    sshd.stop()
    try:
        file.write(6, b"world")
        assert refused(file.close) is Refusal.FAILED
        assert away.site.finished == []
        assert refused(lambda: account.list(AT)) is Refusal.FAILED
    finally:
        sshd.start()
    assert account.stat(f"{AT}/a.bin").size_bytes == 11  # what was sent is still there
    again = account.open_write(f"{AT}/a.bin", GO_ON, Traits())
    done = again.close()
    assert done is not None
    assert away.place.content("a.bin") == b"hello world"
    assert done.digest == sha256(b"hello world").hexdigest()


def test_a_server_that_says_nothing_is_given_up_on(away: FarSite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        away.location = replace(away.location, port=silent.getsockname()[1], timeout_s=0.3)  # type: ignore[call-arg]
        with closing(away.open()) as home:
            assert refused(lambda: home.list(AT)) is Refusal.FAILED
            assert names(home, "/") == ["partner"]


@pytest.mark.parametrize("after", [0, 1])
def test_a_client_that_has_gone_meanwhile_gets_no_file(
    away: FarSite, account: Home, after: int
) -> None:
    waits = iter(range(after))

    def gone() -> None:
        if next(waits, None) is None:
            raise EOFError

    file = account.open_write(f"{AT}/a.bin", NEW, Traits())
    file.write(0, b"hello")
    account.while_working(gone)
    with pytest.raises(EOFError):
        file.close()
    assert away.place.names() == []
    assert away.site.finished == []
    with closing(away.open()) as home:
        assert home.unfinished(f"{AT}/a.bin") == 5


def test_a_file_that_breaks_off_on_its_way_to_the_server_is_not_there(
    sshd: Sshd, away: FarSite
) -> None:
    content = os.urandom(6_000_000)
    with cut_line(sshd.port) as line:
        away.location = replace(away.location, port=line.port)  # type: ignore[call-arg]
        with closing(away.open()) as home:
            file = home.open_write(f"{AT}/a.bin", NEW, Traits())
            for at in range(0, len(content), 1_000_000):
                file.write(at, content[at : at + 1_000_000])
            line.mend(cut_up=2_000_000)
            assert refused(file.close) is Refusal.FAILED
            assert away.site.finished == []
            assert names(home, "/") == ["partner"]
            line.mend()
            assert any(each.startswith(".upload-mftgit-") for each in away.place.names())
            assert names(home, AT) == []
            assert away.place.names() == []  # the next connection has cleared it away
            done = home.open_write(f"{AT}/a.bin", GO_ON, Traits()).close()
    assert done is not None
    assert done.resumed
    assert done.digest == sha256(content).hexdigest()
    assert away.place.content("a.bin") == content
    assert away.site.hidden() == []
