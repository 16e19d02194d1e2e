"""The controller's address and authorities follow the configuration: tried on the side, and only then in use."""

import multiprocessing
import os
import shutil
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from controller_line_text import section
from controller_site import NOW, Site, controller_site
from forwarding import forwarded
from kills import die_before

from mftgit.adapters.channel import ControllerUnreachableError
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.adapters.tls import pki
from mftgit.controller.certificate import MAX_HOSTS, renew_certificate, signing_authority
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.move import Move, MoveFailedError
from mftgit.member.upstream import RemoteUpstream
from mftgit.model.configuration.controller_line import ControllerLine, build_line, fingerprints
from mftgit.model.members.incarnation import Shown
from mftgit.model.names import Revision

OTHER = pki.make_authority("other", now=NOW())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as made:
        yield made


@pytest.fixture
def node(site: Site) -> StateFolder:
    return site.make_node()


def line(url: str | None = None, ca: bytes | None = None) -> ControllerLine:
    given = {"url": url, "ca": None if ca is None else ca.decode()}
    return build_line({name: value for name, value in given.items() if value is not None})


def untold(*_: object, **__: object) -> None:
    """Nobody writes it down."""


def nothing(_: Revision) -> bool:
    """Nothing is behind a member that runs nothing yet."""
    return False


def move(folder: StateFolder, told: list[Bootstrap] | None = None) -> Move:
    moved = (told if told is not None else []).append
    return Move(folder, now=NOW, moved=moved, told=untold, is_behind=nothing)


def own_ca(site: Site) -> bytes:
    return site.folder.ca_file.read_bytes()


def name_it(site: Site, url: str) -> None:
    site.publish({"cluster.yaml": section(url).encode()})


def in_use(folder: StateFolder) -> tuple[str, tuple[str, ...]]:
    pem = folder.ca_file.read_text(encoding="utf-8")
    return folder.read_bootstrap().controller_url, fingerprints(pem)


def gets_in(folder: StateFolder) -> bool:
    """Tell whether the node gets in by what its folder says."""
    with closing(RemoteUpstream(folder, folder.read_bootstrap(), now=NOW)) as upstream:
        try:
            return upstream.head(None) is not None
        except MftgitError:
            return False


def shown(site: Site, host: str = "127.0.0.1") -> bytes:
    """The certificate that a newcomer is shown."""
    port = site.folder.read_bootstrap().listen[1]  # type: ignore[misc]  # it is a controller's
    return ssl.get_server_certificate((host, port)).encode()


# The trial


def test_a_controller_that_was_replaced_is_not_gone_over_to(site: Site, node: StateFolder) -> None:
    with forwarded(site.url, host="127.0.0.2") as url:
        name_it(site, url)
        mover = Move(
            node,
            now=NOW,
            moved=lambda _bootstrap: None,
            told=untold,
            is_behind=nothing,
            shown=lambda: Shown(incarnation=1, warrant="00"),
        )
        with pytest.raises(MoveFailedError, match="which was replaced by 1"):
            mover.go_over(line(url), seq=1)
        assert in_use(node)[0] == site.url


def test_the_line_is_told_as_the_folder_has_it_now(site: Site, node: StateFolder) -> None:
    mover = move(node)
    before = mover.status
    assert before is not None
    node.write_bootstrap(replace(node.read_bootstrap(), controller_url="https://new.example:8443"))
    after = mover.status
    assert after is not None
    assert (before.url, after.url) == (site.url, "https://new.example:8443")


def test_an_address_that_works_is_gone_over_to_and_the_old_one_stays_open(
    site: Site, node: StateFolder
) -> None:
    with forwarded(site.url, host="127.0.0.2") as url:
        name_it(site, url)
        moved: list[Bootstrap] = []
        mover = move(node, moved)
        assert mover.wanted(line(url))
        assert mover.go_over(line(url), seq=1)
        assert in_use(node) == (url, fingerprints(own_ca(site).decode()))
        assert gets_in(node)
        assert [each.controller_url for each in moved] == [url]
        assert not mover.wanted(line(url))
        assert not mover.go_over(line(url), seq=1)
    node.write_bootstrap(replace(node.read_bootstrap(), controller_url=site.url))
    assert gets_in(node)


def test_what_says_nothing_or_what_holds_already_moves_nobody(
    site: Site, node: StateFolder
) -> None:
    mover = move(node)
    for each in (line(), line(site.url), line(site.url, own_ca(site)), line(ca=own_ca(site))):
        assert not mover.wanted(each)


@contextmanager
def proxied(site: Site, tmp_path: Path) -> Iterator[ControllerLine]:
    """Give the line through a proxy that shows its own certificate, and by which nothing else is reached."""
    shown = pki.issue_server(OTHER, hosts=("localhost",), now=NOW())
    (tmp_path / "proxy.pem").write_bytes(shown.certificate + shown.key)
    with forwarded(
        site.url, called="localhost", proxy=tmp_path / "proxy.pem", ca=site.folder.ca_file
    ) as url:
        yield line(url, OTHER.certificate)


def test_a_member_goes_over_to_a_proxy_that_shows_a_certificate_of_its_own(
    site: Site, node: StateFolder, tmp_path: Path
) -> None:
    with proxied(site, tmp_path) as wanted:
        assert move(node).go_over(wanted, seq=1)
        assert in_use(node) == (wanted.url, wanted.ca)
        assert gets_in(node)
    node.write_bootstrap(replace(node.read_bootstrap(), controller_url=site.url))
    assert not gets_in(node)


def refused(site: Site, node: StateFolder, wrong: ControllerLine, *, seq: int = 1) -> str:
    before = node.bootstrap_file.read_bytes(), node.ca_file.read_bytes()
    mover = move(node)
    assert mover.wanted(wrong)
    with pytest.raises((MoveFailedError, ConfigError)) as error:
        mover.go_over(wrong, seq=seq)
    assert (node.bootstrap_file.read_bytes(), node.ca_file.read_bytes()) == before
    assert gets_in(node)
    del site
    return str(error.value)


def test_an_address_where_nobody_answers_is_told_and_nothing_changes(
    site: Site, node: StateFolder
) -> None:
    with forwarded(site.url) as url:
        pass
    assert url in refused(site, node, line(url))
    assert "nowhere.invalid" in refused(site, node, line("https://nowhere.invalid:8443"))


def test_an_address_that_the_certificate_does_not_name_is_not_taken(
    site: Site, node: StateFolder
) -> None:
    with forwarded(site.url, host="127.0.0.2") as url:
        assert "certificate of this cluster" in refused(site, node, line(url))


@pytest.mark.parametrize("ca", [OTHER.certificate, b"", b"-----BEGIN CERTIFICATE-----\nMAA=\n"])
def test_authorities_that_are_not_the_controller_s_are_not_taken(
    site: Site, node: StateFolder, ca: bytes
) -> None:
    end = b"" if ca.endswith(b"-\n") or not ca else b"-----END CERTIFICATE-----\n"
    wrong = line(ca=ca + end) if ca else replace(line(ca=OTHER.certificate), ca_pem="")
    told = refused(site, node, wrong)
    assert "certificate" in told


def test_a_certificate_that_is_no_authority_s_is_named(site: Site, node: StateFolder) -> None:
    leaf = site.folder.tls_certificate.read_bytes()
    first = leaf[: leaf.index(b"-----BEGIN", 10)]
    told = refused(site, node, line(ca=own_ca(site) + first))
    assert f"{pki.fingerprint(leaf)} is not that of an authority" in told


def test_a_controller_of_another_cluster_is_not_taken_whatever_it_shows(
    site: Site, node: StateFolder, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    with controller_site(tmp_path / "b", number=2) as other:
        assert "certificate of this cluster" in refused(site, node, line(other.url))
        told = refused(site, node, line(other.url, own_ca(site) + own_ca(other)))
        assert "not this cluster's controller" in told
        other.enrol(node.member_key.read_bytes())  # even where it knows the key
        told = refused(site, node, line(other.url, own_ca(other)))
        assert "/api/head: " in told
        assert "does not know this member" not in told


def test_what_answers_but_is_no_controller_is_told_as_what_it_said(
    site: Site, node: StateFolder
) -> None:
    told = refused(site, node, line(f"{site.url}/mft"))
    assert told.startswith(f"{site.url}/mft/api/head: ")
    assert "does not know this member" not in told


def test_an_old_copy_of_the_controller_is_not_taken(site: Site, node: StateFolder) -> None:
    with forwarded(site.url, host="127.0.0.2") as url:
        name_it(site, url)
        head = site.controller.upstream.head(None)
        assert head is not None
        assert "behind this cluster's controller" in refused(
            site, node, line(url), seq=head.seq + 1
        )
        assert move(node).go_over(line(url), seq=head.seq)


def test_a_disk_that_takes_nothing_leaves_the_old_line(site: Site, node: StateFolder) -> None:
    with forwarded(site.url, called="localhost") as url:
        temporary = node.bootstrap_file.with_name(f".bootstrap.json.{os.getpid()}.new")
        temporary.mkdir()  # as unwritable for whoever as a full disk
        assert move(node).wanted(line(url))
        with pytest.raises(MftgitError, match="is reached as before"):
            move(node).go_over(line(url), seq=1)
        assert in_use(node)[0] == site.url
        assert gets_in(node)
        temporary.rmdir()
        assert move(node).go_over(line(url), seq=1)


def test_a_running_member_asks_and_fetches_at_the_new_address(
    site: Site, node: StateFolder
) -> None:
    with closing(RemoteUpstream(node, node.read_bootstrap(), now=NOW)) as upstream:
        hints = upstream.wait()
        next(hints)
        with forwarded(site.url, called="localhost") as url:
            mover = Move(node, now=NOW, moved=upstream.moved, told=untold, is_behind=nothing)
            assert mover.go_over(line(url), seq=1)
            assert upstream.head(None) is not None
            revision = site.publish({"notes.md": b"x"})
            assert upstream.fetch() == revision
            assert not list(hints)  # the line before is left
        with pytest.raises(ControllerUnreachableError):
            upstream.head(None)


# Kills


def be_the_member(node: StateFolder, wanted: ControllerLine, at: int, told: Path) -> None:
    die_before(at, told)
    move(node).go_over(wanted, seq=1)
    os._exit(0)


@pytest.mark.long
@pytest.mark.parametrize("what", ["address", "authorities", "a proxy"])
def test_a_kill_before_any_step_leaves_a_member_that_gets_in_and_goes_on(
    site: Site, node: StateFolder, tmp_path: Path, what: str
) -> None:
    context = multiprocessing.get_context("fork")
    steps: list[str] = []
    with forwarded(site.url, called="localhost") as url, proxied(site, tmp_path) as by_proxy:
        wanted = {
            "address": line(url),
            "authorities": line(ca=own_ca(site) + OTHER.certificate),
            "a proxy": by_proxy,
        }[what]
        for at in range(1, 30):
            folder = StateFolder(tmp_path / f"at-{at}")
            shutil.copytree(node.root, folder.root)
            told = tmp_path / f"{at}.step"
            member = context.Process(target=be_the_member, args=(folder, wanted, at, told))
            member.start()
            member.join(60)
            assert gets_in(folder), told
            move(folder).go_over(wanted, seq=1)
            assert gets_in(folder), told
            assert not move(folder).wanted(wanted)
            if not told.exists():
                break
            steps.append(told.read_text(encoding="utf-8"))
        else:
            raise AssertionError("it never came to its end")
    text = "\n".join(steps)
    assert "socket.connect" in text
    assert ("bootstrap.json" in text, "ca.pem" in text) == (
        what != "authorities",
        what != "address",
    )


# The controller's certificate


def test_the_certificate_names_the_published_address_before_anybody_is_told(site: Site) -> None:
    before = shown(site)
    name_it(site, "https://mft.example.org:8443")
    assert site.controller.upstream.head(None) is not None
    after = shown(site)
    assert after != before
    assert pki.hosts_of(after) == ("mft.example.org", "127.0.0.1", "localhost")
    name_it(site, "https://[::1]:8443")
    hosts = pki.hosts_of(shown(site))
    assert hosts == ("::1", "127.0.0.1", "localhost", "mft.example.org")
    last = shown(site)
    site.publish({"notes.md": b"x", "cluster.yaml": section("https://[0:0::1]").encode()})
    site.controller._certificate.look()
    assert shown(site) == last


def test_a_certificate_that_a_crash_left_without_its_key_is_issued_anew(site: Site) -> None:
    site.stop()
    other = pki.issue_server(signing_authority(site.folder), hosts=("x",), now=NOW())
    site.folder.write_secret(site.folder.tls_key, other.key)
    site.start()
    assert pki.hosts_of(shown(site)) == ("127.0.0.1", "localhost")


def test_a_controller_that_kept_its_authority_in_ca_pem_alone_goes_on(site: Site) -> None:
    """As versions before this one made it; members may take other authorities from now on."""
    authority = signing_authority(site.folder)
    assert authority.certificate == own_ca(site)
    key = authority.key.replace(authority.certificate, b"")
    site.folder.write_secret(site.folder.ca_key, key)
    assert signing_authority(site.folder).certificate == authority.certificate
    site.folder.ca_file.write_bytes(OTHER.certificate)
    assert signing_authority(site.folder).certificate == authority.certificate
    site.folder.write_secret(site.folder.ca_key, key)
    with pytest.raises(ConfigError, match="certificate is not there"):
        signing_authority(site.folder)


def test_a_certificate_that_cannot_be_shown_leaves_the_one_before(site: Site) -> None:
    before, certificate = shown(site), site.folder.tls_certificate.read_bytes()
    site.folder.tls_certificate.write_bytes(b"")
    with pytest.raises(ConfigError, match="not a TLS certificate"):
        site.controller._server.reload_certificate()
    assert shown(site) == before
    site.controller._certificate.look()  # which mends it
    assert site.folder.tls_certificate.read_bytes() != certificate
    assert shown(site) != before


def test_the_names_of_a_certificate_do_not_grow_for_ever(site: Site) -> None:
    for number in range(MAX_HOSTS + 3):
        renew_certificate(site.folder, hosts=(f"h{number}.example", "localhost"), now=NOW())
    hosts = pki.hosts_of(site.folder.tls_certificate.read_bytes())
    assert len(hosts) == MAX_HOSTS
    assert hosts[:3] == (f"h{MAX_HOSTS + 2}.example", "localhost", f"h{MAX_HOSTS + 1}.example")
