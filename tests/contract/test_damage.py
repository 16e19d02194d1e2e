"""A damaged hosted repository: who asks is told whom to tell, the log says what it is, and it is not ready."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from controller_site import Site, controller_site
from git_cli import clone, commit, git, git_ok
from loguru import logger

from mftgit.adapters.git.damage import HEAD, Damage, find_damage, mend_head
from mftgit.adapters.git.fetch import RemoteUnreachableError
from mftgit.adapters.git.store import GitStore
from mftgit.errors import MftgitError
from mftgit.model.names import MAIN
from mftgit.model.revisions.push import DAMAGED

if TYPE_CHECKING:
    from loguru import Message

pytestmark = pytest.mark.needs("git")

TOLD = "the controller's repository is damaged, and what you asked for is not at fault"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as running:
        yield running


@pytest.fixture
def log() -> Iterator[list[tuple[str, str, str]]]:
    """Return level, message and what was found, of each line of the log."""
    lines: list[tuple[str, str, str]] = []

    def take(message: "Message") -> None:
        record = message.record
        lines.append(
            (record["level"].name, record["message"], str(record["extra"].get("found", "")))
        )

    logger.enable("mftgit")
    sink = logger.add(take)
    yield lines
    logger.remove(sink)
    logger.disable("mftgit")


def url(site: Site) -> str:
    return site.url.replace("https://", f"https://admin:{quote(site.password)}@") + "/config.git"


def cloned(site: Site, tmp_path: Path) -> Path:
    return clone(url(site), tmp_path / "work", "-c", f"http.sslCAInfo={site.folder.ca_file}")


def cut_off(repository: Path) -> None:
    for pack in repository.glob("objects/pack/*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes()[:40])


def flip(repository: Path) -> None:
    pack = next(repository.glob("objects/pack/*.pack"))
    content = bytearray(pack.read_bytes())
    content[len(content) // 2] ^= 0xFF
    pack.chmod(0o644)
    pack.write_bytes(content)


def spoil_main(repository: Path) -> None:
    (repository / MAIN).write_bytes(b"\xff" * 40 + b"\n")


def name_no_commit(repository: Path) -> None:
    (repository / MAIN).write_bytes(b"1" * 40 + b"\n")


def lose_packs(repository: Path) -> None:
    for pack in repository.glob("objects/pack/*.pack"):
        pack.unlink()


def lose_everything(repository: Path) -> None:
    for file in repository.glob("objects/pack/*"):
        file.unlink()


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pack is cut off": (cut_off, "does not go with its checksum"),
    "a byte of a pack is wrong": (flip, "does not go with its checksum"),
    "packs are gone": (lose_packs, "is not there"),
    "objects are gone": (lose_everything, "is missing"),
    "main is garbage": (spoil_main, f"{MAIN} is "),
    "main names nothing": (name_no_commit, f"commit {'1' * 40} is missing"),
}


def spoilt(site: Site, kind: str) -> str:
    """Damage the repository under the running controller, or what it has open still while it is stopped."""
    spoil, found = DAMAGES[kind]
    if "gone" in kind:
        site.stop()
    spoil(site.folder.repository)
    if "gone" in kind:
        site.start()
    return found


@pytest.mark.parametrize("kind", DAMAGES)
def test_who_clones_from_a_damaged_repository_is_told_whom_to_tell(
    site: Site, tmp_path: Path, log: list[tuple[str, str, str]], kind: str
) -> None:
    assert site.ask("GET", "/readyz")[0] == 200
    found = spoilt(site, kind)
    ca = f"http.sslCAInfo={site.folder.ca_file}"
    for _ in range(2):
        ran = git(tmp_path, "-c", ca, "clone", url(site), "elsewhere")
        assert ran.code != 0
        assert TOLD in ran.err
        assert "tell the controller's administrator" in ran.err
    errors = [(message, what) for level, message, what in log if level == "ERROR"]
    assert len(errors) == 1
    assert "put a clone in its place (docs/how-to/operate.md" in errors[0][0]
    assert found in errors[0][1]
    assert site.ask("GET", "/readyz") == (503, {"ready": False})
    assert site.ask("GET", "/healthz")[0] == 200


# A wrong byte may lie where a push does not look.
@pytest.mark.parametrize("kind", [each for each in DAMAGES if "byte" not in each])
def test_who_pushes_to_a_damaged_repository_is_told_that_it_is_not_their_fault(
    site: Site, tmp_path: Path, kind: str
) -> None:
    work = cloned(site, tmp_path)
    commit(work, {"a": "1"})
    git_ok(work, "push", "--quiet", "origin", "main")
    commit(work, {"members/controller.yaml": "role: controller\ndescription: new\n"})
    spoilt(site, kind)
    ran = git(work, "push", "origin", "main")
    assert ran.code != 0
    assert TOLD in ran.err
    assert "git fsck" not in ran.err


def test_a_repository_that_is_put_right_serves_again(site: Site, tmp_path: Path) -> None:
    repository = site.folder.repository
    kept = {file: file.read_bytes() for file in repository.glob("objects/pack/*.pack")}
    cut_off(repository)
    ca = f"http.sslCAInfo={site.folder.ca_file}"
    assert git(tmp_path, "-c", ca, "clone", url(site), "elsewhere").code != 0
    for file, content in kept.items():
        file.write_bytes(content)
    assert site.ask("GET", "/readyz")[0] == 200
    cloned(site, tmp_path)


def test_damage_is_told_at_the_start_before_anybody_asks(
    site: Site, log: list[tuple[str, str, str]]
) -> None:
    site.stop()
    cut_off(site.folder.repository)
    site.start()
    assert [level for level, _, what in log if "checksum" in what] == ["ERROR"]
    assert site.ask("GET", "/readyz")[0] == 503


@pytest.mark.parametrize("content", [b"", b"\xff" * 99, b"ref: refs/heads/other\n", None])
def test_a_head_that_does_not_name_main_is_written_anew_at_the_start(
    site: Site, tmp_path: Path, log: list[tuple[str, str, str]], content: bytes | None
) -> None:
    site.stop()
    head = site.folder.repository / "HEAD"
    head.unlink() if content is None else head.write_bytes(content)
    site.start()
    assert head.read_bytes() == HEAD
    assert ("WARNING", "HEAD of the repository did not name main; it was written anew", "") in log
    assert site.ask("GET", "/readyz")[0] == 200
    assert git_ok(cloned(site, tmp_path), "symbolic-ref", "HEAD") == MAIN


def test_a_good_head_is_not_written(site: Site) -> None:
    head = site.folder.repository / "HEAD"
    before = head.stat()
    assert not mend_head(site.folder.repository)
    assert head.stat() == before


def test_a_controller_does_not_start_on_a_main_that_is_garbage(site: Site) -> None:
    before = site.head()
    site.stop()
    spoil_main(site.folder.repository)
    with pytest.raises(MftgitError, match=r"repository\.git is broken.*operate\.md"):
        site.start()
    assert site.head() == before


def scramble_the_oldest(repository: Path) -> None:
    """Spoil a pack that the tip is not in, so that only the answer to the second request fails."""
    pack = min(repository.glob("objects/pack/*.pack"), key=lambda pack: pack.stat().st_mtime_ns)
    content = pack.read_bytes()
    pack.chmod(0o644)
    pack.write_bytes(content[:12] + bytes(each ^ 0x55 for each in content[12:-20]) + content[-20:])


@pytest.mark.parametrize("spoil", [cut_off, scramble_the_oldest])
def test_a_node_takes_damage_at_its_controller_for_an_outage(
    site: Site, spoil: Callable[[Path], None]
) -> None:
    site.publish({"members/node-1.yaml": b"role: node\n"})
    node = site.node()
    node.intake.resume()
    spoil(site.folder.repository)
    with pytest.raises(RemoteUnreachableError, match="damaged"):
        node.look()
    assert node.intake.runs is None


# What is looked for


def test_a_sound_repository_shows_no_damage(site: Site, tmp_path: Path) -> None:
    work = cloned(site, tmp_path)
    commit(work, {"a": "1"})
    git_ok(work, "push", "origin", "HEAD:change/a")
    assert find_damage(site.folder.repository) is None
    git_ok(site.folder.repository, "gc", "--quiet")
    assert find_damage(site.folder.repository) is None


def test_a_wrong_head_and_a_spoilt_index_are_found(site: Site) -> None:
    repository = site.folder.repository
    (repository / "HEAD").write_bytes(b"rubbish")
    assert "HEAD holds b'rubbish'" in str(find_damage(repository))
    (repository / "HEAD").write_bytes(HEAD)
    index = next(repository.glob("objects/pack/*.idx"))
    index.chmod(0o644)
    index.write_bytes(b"\0" * 50 + index.read_bytes()[50:])
    assert f"{index.name} does not go with its checksum" in str(find_damage(repository))


def test_a_repository_that_did_not_change_is_read_once_a_minute_at_most(site: Site) -> None:
    clock = [0.0]
    damage = Damage(site.folder.repository, now=lambda: clock[0])
    assert damage.look() is None
    pack = next(site.folder.repository.glob("objects/pack/*.pack"))
    content, at = bytearray(pack.read_bytes()), pack.stat().st_mtime_ns
    content[len(content) // 2] ^= 0xFF
    pack.chmod(0o644)
    pack.write_bytes(content)
    os.utime(pack, ns=(at, at))
    clock[0] = 59.0
    assert damage.look() is None
    clock[0] = 61.0
    assert "checksum" in str(damage.look())


def test_what_is_told_says_who_is_to_be_told() -> None:
    assert DAMAGED.startswith(TOLD)
    assert "\n" not in DAMAGED


def test_a_store_refuses_a_ref_that_names_no_commit(tmp_path: Path) -> None:
    with GitStore.create(tmp_path / "store.git") as store:
        spoil_main(store.path)
        with pytest.raises(MftgitError, match="refs/heads/main is damaged"):
            store.head()
