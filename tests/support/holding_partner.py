"""A partner with a real sshd, and between that and the real sftp-server what holds a rename back: held_sftp.py."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netns import Part
from sshd import Sshd, running_sshd


class Holding:
    """The partner holds a rename back; see held_sftp.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def next_rename(self, what: str) -> None:
        """Hold back the ``request`` or the ``reply`` of the next rename."""
        self._write("hold", what)

    @property
    def is_idle(self) -> bool:
        return not any(self.folder.iterdir())

    @property
    def held_for(self) -> str | None:
        """The address of the client whose rename is held back by now."""
        path = self.folder / "held"
        return path.read_text(encoding="ascii") if path.exists() else None

    def let_go(self) -> None:
        self._write("go", "")

    @property
    def outcome(self) -> int | None:
        """The status of the rename that was held back: 0 is well."""
        path = self.folder / "outcome"
        return int(path.read_text(encoding="ascii")) if path.exists() else None

    def slow(self, most_ms: float) -> None:
        self._write("slow", str(most_ms))

    def _write(self, name: str, text: str) -> None:
        fresh = self.folder / f".{name}"
        fresh.write_text(text, encoding="ascii")
        fresh.rename(self.folder / name)

    def forget(self) -> None:
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)  # a session that ends may be writing there


@contextmanager
def holding_partner(work: Path, part: Part, hold: Holding) -> Iterator[Sshd]:
    """Start sshd where this thread is, which is in ``part``; whoever logs in has held_sftp.py before the server."""
    server = shutil.which("sftp-server", path="/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh")
    assert server is not None, "sftp-server is not installed"
    work.mkdir()
    relay = [
        sys.executable,
        "-S",
        "-E",
        str(Path(__file__).with_name("held_sftp.py")),
        str(hold.folder),
        server,
    ]
    options = [f"ListenAddress {part.address}", f"ForceCommand {' '.join(relay)}"]
    with running_sshd(work, options=options) as running:
        yield running
