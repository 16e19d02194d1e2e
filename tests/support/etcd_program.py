"""Where etcd is on this machine."""

import shutil


def etcd_program() -> str:
    """Return its path; tests that need it are marked, and do not run without it."""
    program = shutil.which("etcd", path="/usr/bin:/usr/local/bin:/usr/sbin")
    assert program is not None
    return program
