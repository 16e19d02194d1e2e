import os
import re
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paramiko
import pytest
from inbound_site import HOMES, WAIT_S, InboundSite, inbound_site, until
from ports import own_port
from ssh_keys import program

from mftgit.adapters.clock import SystemClock
from mftgit.errors import ConfigError
from mftgit.member.inbound import desk
from mftgit.model.events.event import EventName
from mftgit.model.inbound.account_use import AccountUse
from mftgit.model.inbound.admission import Turned
from mftgit.model.inbound.service_status import ServiceState
from mftgit.model.names import AccountName

pytestmark = [pytest.mark.needs("sftp"), pytest.mark.needs("ssh-keygen")]

PIECE = b"x" * 100_000


@pytest.fixture
def site(tmp_path: Path) -> Iterator[InboundSite]:
    with inbound_site(tmp_path) as made:
        yield made


def _has_ended(client: paramiko.SFTPClient) -> bool:
    channel = client.get_channel()
    return channel is None or not channel.get_transport().is_active()


def test_an_upload_is_told_of_before_the_client_hears_that_it_is_there(site: InboundSite) -> None:
    site.apply(site.documents("acme"))
    (site.root / "report").write_text("content", encoding="utf-8")

    done = site.sftp("acme", "put report", "ls")

    assert done.returncode == 0, done.stdout
    assert "report" in done.stdout
    assert (site.home("acme") / "report").read_text(encoding="utf-8") == "content"
    (upload,) = site.events(EventName.UPLOAD_FINISHED)
    assert (upload["account"], upload["path"], upload["size_bytes"]) == ("acme", "/report", 7)
    assert upload["source"] == "127.0.0.1"
    assert [finished.path for _, finished in site.arrived] == ["/report"]
    (opened,) = site.events(EventName.SESSION_OPENED)
    until("the session is over", lambda: site.events(EventName.SESSION_CLOSED))
    (closed,) = site.events(EventName.SESSION_CLOSED)
    assert (closed["session"], closed["uploads"]) == (opened["session"], 1)


def test_openssh_is_told_that_files_are_the_account_s(site: InboundSite) -> None:
    said = subprocess.run([program("ssh"), "-V"], capture_output=True, check=True).stderr
    version = re.match(rb"OpenSSH_(\d+)\.(\d+)", said)
    if version is None or tuple(map(int, version.groups())) < (9, 1):
        pytest.skip("this sftp does not ask")
    site.apply(site.documents("acme"))
    (site.root / "report").write_text("content", encoding="utf-8")

    done = site.sftp("acme", "put report", "ls -l", "ls -lh report")

    listed = [line.split() for line in done.stdout.splitlines() if line.startswith("-")]
    assert [line[2:5] for line in listed] == [["acme", "acme", "7"], ["acme", "acme", "7B"]]


@pytest.mark.parametrize("flush", [True, False])
def test_an_event_is_flushed_as_its_file_is(site: InboundSite, flush: bool) -> None:  # noqa: FBT001
    site.apply(site.documents("acme", service=f"uploads: {{flush: {str(flush).lower()}}}\n"))
    (site.root / "report").write_text("content", encoding="utf-8")

    done = site.sftp("acme", "put report", "put report again")

    assert done.returncode == 0, done.stdout
    uploads = [facts["path"] for facts in site.events(EventName.UPLOAD_FINISHED)]
    assert uploads == ["/report", "/again"]
    assert (EventName.UPLOAD_FINISHED in site.flushed) is flush
    assert EventName.SESSION_OPENED not in site.flushed or flush


@pytest.mark.parametrize("flush", [True, False])
def test_an_upload_that_cannot_be_written_down_is_told_to_have_failed(
    site: InboundSite,
    flush: bool,  # noqa: FBT001
) -> None:
    site.apply(site.documents("acme", service=f"uploads: {{flush: {str(flush).lower()}}}\n"))
    (site.root / "report").write_text("content", encoding="utf-8")
    site.disk_is_full = True

    done = site.sftp("acme", "put report")

    assert done.returncode != 0
    assert "close remote: Failure" in done.stdout
    assert not site.arrived


def test_a_worker_that_is_killed_leaves_no_half_file_and_the_upload_goes_on_by_another(
    site: InboundSite,
) -> None:
    site.apply(site.documents("acme"))
    (site.root / "big").write_bytes(PIECE * 2)
    with site.client("acme") as client:
        file = client.open("big", "w")
        file.write(PIECE)
        file.stat()  # the piece has come
        (pid,) = site.workers()
        os.kill(pid, signal.SIGKILL)
        until("the session is over", lambda: site.events(EventName.SESSION_CLOSED))
        with suppress(OSError, EOFError):
            file.close()

    assert not (site.home("acme") / "big").exists()
    until("its end is told", lambda: site.events(EventName.WORKER_ENDED))
    (ended,) = site.events(EventName.WORKER_ENDED)
    assert (ended["pid"], ended["how"]) == (pid, "SIGKILL")
    until("another one serves", lambda: site.status().state is ServiceState.SERVING)
    done = site.sftp("acme", "reput big")
    assert done.returncode == 0, done.stdout
    assert (site.home("acme") / "big").read_bytes() == PIECE * 2
    (upload,) = site.events(EventName.UPLOAD_FINISHED)
    assert upload["resumed"] is True


def test_a_revision_ends_the_sessions_of_accounts_that_it_removes_and_no_others(
    site: InboundSite,
) -> None:
    site.apply(site.documents("acme", "other", "third"))
    with site.client("acme") as acme, site.client("other") as other, site.client("third") as third:
        file = other.open("big", "w")
        file.write(PIECE)
        changed = {"accounts/third.yaml": site.account("third", "enabled: false\n")}

        site.apply(site.documents("other") | changed)

        until("the sessions end", lambda: _has_ended(acme) and _has_ended(third))
        file.write(PIECE)
        file.close()
        assert (site.home("other") / "big").stat().st_size == 2 * len(PIECE)
    until("all are told of", lambda: len(site.events(EventName.SESSION_CLOSED)) == 3)
    whys = {each["account"]: each["why"] for each in site.events(EventName.SESSION_CLOSED)}
    assert whys["acme"] == whys["third"] == "the account was removed or disabled"
    assert len(site.workers()) == 1
    with pytest.raises(paramiko.AuthenticationException), site.client("acme"):
        pass


def test_an_account_that_expires_is_shown_out_by_the_clock(tmp_path: Path) -> None:
    class Later(SystemClock):
        by = timedelta()

        def now(self) -> datetime:
            return super().now() + self.by

    clock = Later()
    with inbound_site(tmp_path, clock=clock) as site:
        expires = f"expires: {datetime.now(tz=UTC).year + 1}-01-01\n"  # noqa: TID251
        site.apply(site.documents() | {"accounts/acme.yaml": site.account("acme", expires)})
        with site.client("acme") as client:
            clock.by = timedelta(days=400)

            until("the session ends", lambda: _has_ended(client))
        until("it is told", lambda: site.events(EventName.SESSION_CLOSED))
        (closed,) = site.events(EventName.SESSION_CLOSED)
        assert closed["why"] == "the account has expired"


def test_an_address_in_use_refuses_the_revision_and_touches_nothing(site: InboundSite) -> None:
    site.apply(site.documents("acme"))
    with own_port() as port, socket.create_server(("127.0.0.1", port)):
        taken = site.service().replace(str(site.port), str(port))

        with pytest.raises(ConfigError, match=f"service sftp: .* port {port}: .* choose another"):
            site.prepare(site.documents("acme") | {"services/sftp.yaml": taken})

        assert site.sftp("acme", "ls").returncode == 0


def test_what_has_run_before_starts_without_an_address_and_is_tried_again(
    site: InboundSite,
) -> None:
    with socket.create_server(("127.0.0.1", site.port)):
        site.apply(site.documents("acme"), fresh=False)

        assert site.status().state is ServiceState.FAILING
        assert "choose another port" in (site.status().reason or "")

    until("it serves", lambda: site.status().state is ServiceState.SERVING)
    assert site.sftp("acme", "ls").returncode == 0


def test_a_host_key_that_is_none_refuses_the_revision(site: InboundSite) -> None:
    key = site.folder.secrets / "host"
    key.write_text("no key", encoding="utf-8")
    with pytest.raises(
        ConfigError,
        match=r"service sftp: host key 1 is not .*services/sftp.yaml: /host_keys/0 is 'host'",
    ):
        site.prepare(site.documents("acme"))
    key.unlink()
    with pytest.raises(ConfigError, match=r"services/sftp.yaml at /host_keys/0: .*'?host'? "):
        site.prepare(site.documents("acme"))

    assert not site.is_open()


def test_another_address_takes_new_clients_and_lets_sessions_of_the_former_go_on(
    site: InboundSite,
) -> None:
    site.apply(site.documents("acme"))
    with own_port() as port, site.client("acme") as client:
        file = client.open("big", "w")
        elsewhere = site.service().replace(str(site.port), str(port))

        site.apply(site.documents("acme") | {"services/sftp.yaml": elsewhere})

        until("the former is closed", lambda: not site.is_open())
        file.write(PIECE)
        file.close()
        with site.client("acme", port=port) as late:
            assert late.listdir() == ["big"]


def test_an_address_is_changed_to_all_addresses_of_the_same_port(site: InboundSite) -> None:
    site.apply(site.documents("acme"))
    with site.client("acme") as client:
        everywhere = site.service().replace("127.0.0.1", "0.0.0.0")

        site.apply(site.documents("acme") | {"services/sftp.yaml": everywhere})

        assert site.sftp("acme", "ls").returncode == 0
        assert client.listdir() == []
    assert site.status().address == f"0.0.0.0:{site.port}"


def test_a_drained_service_is_unready_at_once_and_lets_sessions_end(site: InboundSite) -> None:
    with own_port() as port:
        health = f"health: {{address: 127.0.0.1, port: {port}}}\n"
        site.apply(site.documents("acme", service=health))
        until("it is ready", lambda: _health(port) == 200)
        site.inbound._grace_s = 3600.0  # as long as it takes to look at it
        with site.client("acme") as client:
            file = client.open("big", "w")
            site.inbound.drain(on=True)

            assert _health(port) == 503
            with site.client("acme"):  # until balancers have seen it
                pass
            assert not site.inbound.drained
            site.inbound._grace_s = 0.0
            until("nobody new is taken", lambda: not site.is_open())
            file.write(PIECE)
            file.close()
        until("it is drained", lambda: site.inbound.drained)
        assert site.status().state is ServiceState.DRAINED

        site.inbound.drain(on=False)

        until("it is ready again", lambda: _health(port) == 200)
        assert site.sftp("acme", "ls").returncode == 0


def test_sessions_of_a_drained_service_end_when_their_time_is_over(site: InboundSite) -> None:
    site.apply(site.documents("acme", service="drain_s: 1\n"))
    with site.client("acme") as client:
        site.inbound.drain(on=True)

        until("the session ends", lambda: _has_ended(client))
    until("it is drained", lambda: site.inbound.drained)


def test_a_source_that_fails_too_often_is_banned_by_all_workers(site: InboundSite) -> None:
    defence = "defence: {failures: 3, delay_s: 0.01}\n"
    two = site.service(defence).replace("processes: 1", "processes: 2")
    site.apply(site.documents("acme", "other") | {"services/sftp.yaml": two})
    site.keys.pop("other")
    (site.root / "other").unlink()
    site.account("other")  # another key than the service knows

    for _ in range(3):
        assert site.sftp("other", "ls").returncode != 0

    until("the ban is told", lambda: site.events(EventName.SOURCE_BANNED))
    (banned,) = site.events(EventName.SOURCE_BANNED)
    assert (banned["source"], banned["failures"]) == ("127.0.0.1/32", 3)
    failed = site.events(EventName.INBOUND_LOGIN_FAILED)
    assert [(each["account"], each["failures"]) for each in failed] == [
        ("other", 1), ("other", 2), ("other", 3),
    ]  # fmt: skip
    assert site.sftp("acme", "ls").returncode != 0
    assert site.status().banned == 1
    site.inbound.lift("127.0.0.1/32")
    assert site.sftp("acme", "ls").returncode == 0
    site.inbound.ban("127.0.0.0/24", 60.0, "node-2")
    assert site.sftp("acme", "ls").returncode != 0


def test_a_source_that_only_connects_shuts_nobody_else_out(site: InboundSite) -> None:
    site.apply(site.documents("acme", service="limits: {unauthenticated: 3, login_s: 600}\n"))
    until("it serves", lambda: site.status().state is ServiceState.SERVING)
    with ExitStack() as held:
        silent = []
        for _ in range(3):  # one after the other is let in: the oldest one goes first
            silent.append(
                held.enter_context(
                    socket.create_connection(
                        ("127.0.0.1", site.port), timeout=60, source_address=("127.0.0.2", 0)
                    )
                )
            )
            assert silent[-1].recv(4) == b"SSH-"
        assert site.sftp("acme", "ls").returncode == 0
        while silent[0].recv(4096):
            pass  # the oldest one has been hung up on
        until("nobody is left of those", lambda: site.status().sessions == 0)
        again = held.enter_context(
            socket.create_connection(
                ("127.0.0.1", site.port), timeout=60, source_address=("127.0.0.2", 0)
            )
        )
        assert again.recv(4) == b"SSH-"
        more = held.enter_context(
            socket.create_connection(
                ("127.0.0.1", site.port), timeout=60, source_address=("127.0.0.2", 0)
            )
        )
        assert more.recv(4) == b""  # its own do not go for another one of it


def test_an_account_has_no_more_sessions_than_it_may_and_one_can_be_ended(
    site: InboundSite,
) -> None:
    one = {"accounts/acme.yaml": site.account("acme", "max_sessions: 1\n")}
    site.apply(site.documents() | one)
    with site.client("acme") as client:
        (guest,) = site.inbound.sessions()
        assert site.sftp("acme", "ls").returncode != 0

        assert site.inbound.end_session(guest.session, "an operator has ended it")

        until("the session ends", lambda: _has_ended(client))
        until("it is counted out", lambda: not site.inbound.sessions())
    assert site.sftp("acme", "ls").returncode == 0


def _tell_of_others(site: InboundSite, account: str, sessions: int) -> None:
    use = AccountUse(account=AccountName(account), sessions=sessions)
    site.inbound.learn_uses([use], whole=False)


def test_sessions_at_other_members_count_and_whose_has_ended_there_is_let_in_here(
    site: InboundSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"accounts/acme.yaml": site.account("acme", "max_sessions: 1\n")}
    site.apply(site.documents() | one)
    register = site.inbound._register
    _tell_of_others(site, "acme", 1)

    with monkeypatch.context() as patch, site.start_sftp("acme", "-b", "-") as client:
        patch.setattr(desk, "_DOUBTS_S", 3600.0)  # by itself the doubt does not end
        until("it is in doubt", lambda: register._doubts)
        _tell_of_others(site, "acme", 0)
        assert client.communicate("ls\n", timeout=60)[0] is not None
        assert client.returncode == 0
    until("it is counted out", lambda: not site.inbound.sessions())
    assert [each.sessions for each in site.inbound.uses()] == []

    with site.start_sftp("acme", "-b", "-") as client:
        while client.poll() is None:  # the controller answers all the time
            _tell_of_others(site, "acme", 1)
        client.communicate()
        assert client.returncode != 0
    (refused,) = until("it is told", lambda: site.events(EventName.INBOUND_LOGIN_FAILED))
    assert refused["why"] == Turned.BUSY_ELSEWHERE.value

    assert site.sftp("acme", "ls").returncode == 0  # it does not answer any more


def _health(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=WAIT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_a_member_that_stops_waits_for_files_that_are_open_and_for_nothing_else(
    tmp_path: Path,
) -> None:
    with inbound_site(tmp_path) as site:
        site.apply(site.documents("acme"))
        with site.client("acme") as idle, site.client("acme") as busy:
            idle.listdir()
            file = busy.open("big", "w")
            stopping = threading.Thread(target=site.inbound.stop, kwargs={"within_s": WAIT_S})
            stopping.start()

            until("who is idle is shown out", lambda: _has_ended(idle))
            assert not site.is_open()
            file.write(PIECE)
            file.close()

            stopping.join()
        assert (site.home("acme") / "big").stat().st_size == len(PIECE)
        assert {each["why"] for each in site.events(EventName.SESSION_CLOSED)} == {
            "the member stops"
        }


@pytest.mark.parametrize("flush", [True, False])
def test_a_member_that_stops_has_clients_hear_of_what_they_have_sent(
    tmp_path: Path,
    flush: bool,  # noqa: FBT001
) -> None:
    with inbound_site(tmp_path) as site:
        service = f"uploads: {{flush: {str(flush).lower()}}}\n"
        site.apply(site.documents("acme", service=service))
        with site.client("acme") as idle, site.client("acme") as busy, ThreadPoolExecutor() as pool:
            idle.listdir()
            file = busy.open("report", "w")
            file.write(PIECE)
            site.may_write.clear()
            closing = pool.submit(file.close)
            until("the file is there", (site.home("acme") / "report").exists)
            stopping = pool.submit(site.inbound.stop, within_s=WAIT_S)

            until("who is idle is shown out", lambda: _has_ended(idle))

            site.may_write.set()
            closing.result(timeout=60)
            stopping.result(timeout=60)
        assert len(site.events(EventName.UPLOAD_FINISHED)) == 1


def test_an_account_whose_storage_is_away_is_turned_away_until_it_is_back(
    site: InboundSite,
) -> None:
    site.apply(site.documents("acme"))
    homes = site.home("acme").parent
    homes.rmdir()

    assert site.sftp("acme", "ls").returncode != 0

    homes.mkdir()
    assert site.sftp("acme", "mkdir in", "ls").returncode == 0
    assert (site.home("acme") / "in").is_dir()


def test_a_download_is_told_of(site: InboundSite) -> None:
    site.apply(site.documents("acme"))
    site.home("acme").mkdir()
    (site.home("acme") / "report").write_bytes(PIECE)

    assert site.sftp("acme", "get report got").returncode == 0

    assert (site.root / "got").read_bytes() == PIECE
    until("it is told", lambda: site.events(EventName.DOWNLOAD_FINISHED))
    (download,) = site.events(EventName.DOWNLOAD_FINISHED)
    assert (download["path"], download["sent_bytes"]) == ("/report", len(PIECE))


def test_a_service_that_is_removed_ends_its_sessions(site: InboundSite) -> None:
    site.apply(site.documents("acme"))
    with site.client("acme") as client:
        site.apply(HOMES)

        assert _has_ended(client) or until("the session ends", lambda: _has_ended(client))
    assert not site.is_open()
    assert site.inbound.status() == []


def test_workers_that_are_too_many_leave_when_their_last_client_has(site: InboundSite) -> None:
    two = site.service().replace("processes: 1", "processes: 2")
    site.apply(site.documents("acme") | {"services/sftp.yaml": two})
    until("both are there", lambda: site.accepting() == 2)
    before = site.workers()
    with ExitStack() as stack:
        clients = [stack.enter_context(site.client("acme")) for _ in range(4)]

        site.apply(site.documents("acme"))
        site.inbound._tick(tidies=False, sweeps=False)

        assert site.workers() == before[:1]
        assert [client.listdir() for client in clients] == [[]] * 4
    until("the other has left", lambda: not Path(f"/proc/{before[1]}").exists())
    assert not site.events(EventName.WORKER_ENDED)


def test_an_account_without_its_password_stays_out_and_others_come_in(site: InboundSite) -> None:
    lacking = "home: {location: homes, path: late}\nlogin: {password: {file: late.hash}}\n"
    documents = site.documents("acme") | {"accounts/late.yaml": lacking}
    with pytest.raises(ConfigError, match=r"account late cannot be let in: .*late.hash"):
        site.prepare(documents)

    site.apply(documents, fresh=False)

    assert site.sftp("acme", "ls").returncode == 0


def test_a_one_time_code_is_good_once_on_a_member_whichever_worker_asks(site: InboundSite) -> None:
    register = site.inbound._register
    acme, other = AccountName("acme"), AccountName("other")

    assert register.redeem(acme, 7)
    assert not register.redeem(acme, 7)
    assert not register.redeem(acme, 6)
    assert register.redeem(acme, 8)
    assert register.redeem(other, 7)


def test_a_name_that_is_no_utf_8_is_told_in_words_that_every_output_takes(
    site: InboundSite,
) -> None:
    site.apply(site.documents("acme"))
    name = b"a\xff".decode(errors="surrogateescape")
    with site.client("acme") as client:
        with client.open(name.encode(errors="surrogateescape"), "w") as file:
            file.write(b"content")
        with client.open(name.encode(errors="surrogateescape"), "r") as file:
            assert file.read() == b"content"

    (uploaded,) = site.events(EventName.UPLOAD_FINISHED)
    (downloaded,) = until("it is told", lambda: site.events(EventName.DOWNLOAD_FINISHED))
    assert uploaded["path"] == downloaded["path"] == "/a\\xff"
