"""The file system of a folder is that of the mount that covers it."""

from pathlib import Path, PurePosixPath

import pytest

from mftgit.model.locations.mounts import Mount, find_mount, mounts_below

MOUNTS = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /srv rw shared:4 master:1 - xfs /dev/vdb rw
31 30 0:26 / /srv/files rw,relatime - nfs4 nas:/files rw,vers=4.2
32 22 0:27 / /srv/my\040files rw - cifs //nas/share rw
33 30 0:28 / /srv/files rw,relatime - tmpfs tmpfs rw
half a line
34 22 0:29 / /bad rw -
"""


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/", "ext4"),
        ("/home", "ext4"),
        ("/srv/x", "xfs"),
        ("/srv/files/.mftgit", "tmpfs"),
        ("/srv/filesystem", "xfs"),
        ("/srv/my files/x", "cifs"),
        ("/bad", "ext4"),
    ],
)
def test_the_innermost_and_last_mount_counts(folder: str, expected: str) -> None:
    found = find_mount(PurePosixPath(folder), MOUNTS)
    assert found is not None
    assert found.type == expected


@pytest.mark.parametrize(
    ("folder", "is_local"), [("/home", True), ("/srv/files", True), ("/srv/my files", False)]
)
def test_a_disk_of_this_machine_is_local(folder: str, is_local: bool) -> None:  # noqa: FBT001
    found = find_mount(PurePosixPath(folder), MOUNTS)
    assert found is not None
    assert found.is_local is is_local


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/srv", ["nfs4", "cifs", "tmpfs"]),
        ("/srv/files", []),
        ("/srv/fil", []),
        ("/", ["xfs", "nfs4", "cifs", "tmpfs"]),
    ],
)
def test_what_is_mounted_below_a_folder_is_found(folder: str, expected: list[str]) -> None:
    assert [each.type for each in mounts_below(PurePosixPath(folder), MOUNTS)] == expected


def test_nothing_is_told_of_nothing() -> None:
    assert find_mount(PurePosixPath("/srv"), "") is None


def test_what_this_machine_says_of_itself_is_read() -> None:
    told = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    found = find_mount(PurePosixPath("/proc"), told)
    assert found is not None
    assert found.type == "proc"


NFS = "31 30 0:26 / /srv rw,relatime - nfs4 nas:/files rw,vers=4.2,{},addr=10.9.0.1\n"


@pytest.mark.parametrize(
    ("option", "late"),
    [
        ("hard", True),
        ("lookupcache=pos", False),
        ("lookupcache=none", False),
        ("noac", False),
    ],
)
def test_nfs_that_keeps_in_mind_what_was_not_there_is_late(option: str, late: bool) -> None:  # noqa: FBT001
    found = find_mount(PurePosixPath("/srv"), NFS.format(option))
    assert found is not None
    assert found.is_late == late


def test_other_storage_is_not_late() -> None:
    assert not Mount(type="xfs").is_late
