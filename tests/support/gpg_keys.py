"""Keys of real gpg, and real git that signs with them."""

import base64
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from git_cli import environment, git_ok

from mftgit.model.names import Revision

MADE = "20260101T000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpgHome:
    """A person's ~/.gnupg."""

    folder: Path

    def gpg(self, *words: str, content: bytes = b"", at: str = MADE) -> bytes:
        """Run gpg as if it were ``at``, and return what it prints.

        The clock stands still: a key that was made a second after it would be of the future for the next gpg, which
        exports it without the signature of its name.
        """
        return subprocess.run(
            ["gpg", "--homedir", str(self.folder), "--batch", "--quiet", "--no-tty", "--yes",
             "--pinentry-mode", "loopback", "--passphrase", "", "--faked-system-time", f"{at}!",
             *words],
            input=content, check=True, capture_output=True, timeout=120,
        ).stdout  # fmt: skip

    def make(
        self, name: str, *, algorithm: str = "ed25519", usage: str = "sign", expires: str = "never"
    ) -> str:
        """Make a key in 2026 and return its fingerprint."""
        self.gpg("--quick-gen-key", f"{name} <{name}@example.org>", algorithm, usage, expires)
        return self.fingerprints(name)[0]

    def fingerprints(self, name: str) -> list[str]:
        """Return the fingerprints of a key and its sub-keys."""
        listed = self.gpg(
            "--list-keys", "--with-colons", "--with-subkey-fingerprint", name
        ).decode()
        return [line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:")]

    def public(self, name: str) -> bytes:
        """Return what ``gpg --export`` writes."""
        return self.gpg("--export", "--export-options", "export-minimal", name)

    def line(self, name: str, options: str = "") -> str:
        """Return a line of ``gpg_signers``."""
        key = base64.b64encode(self.public(name)).decode()
        return " ".join(filter(None, (f"{name}@example.org", options, "openpgp", key))) + "\n"

    def revoke(self, name: str) -> None:
        """Revoke a key by the certificate that gpg has made with it."""
        fingerprint = self.fingerprints(name)[0]
        made = self.folder / "openpgp-revocs.d" / f"{fingerprint}.rev"
        text = made.read_text(encoding="utf-8").replace(":-----BEGIN", "-----BEGIN")
        self.gpg("--import", content=text.encode())

    def settings(self, who: str, at: str = "20260601T120000", *more: str) -> list[str]:
        """Return the words that make git sign as ``who``."""
        program = self.folder / f"sign-{at}-{len(more)}"
        words = " ".join(("gpg", "--homedir", str(self.folder), "--batch", "--pinentry-mode loopback",
                          "--passphrase ''", "--faked-system-time", at, *more))  # fmt: skip
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
        program.chmod(0o700)
        return [
            "-c", "gpg.format=openpgp", "-c", f"gpg.program={program}", "-c", f"user.signingKey={who}",
            "-c", "commit.gpgSign=true",
        ]  # fmt: skip

    def sign(self, content: bytes, who: str, *more: str) -> str:
        """Return the armoured signature of ``content``."""
        words = ("--armor", "--detach-sign", "--local-user", who, *more)
        return self.gpg(*words, content=content, at="20260601T120000").decode()


@contextmanager
def gpg_home() -> Iterator[GpgHome]:
    """Give a home; its agent is ended afterwards."""
    # In a short folder: the name of the agent's socket has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="gpg-", ignore_cleanup_errors=True) as folder:
        try:
            yield GpgHome(folder=Path(folder))
        finally:
            words = ["gpgconf", "--homedir", folder, "--kill", "all"]
            subprocess.run(words, check=True, capture_output=True, timeout=60)


def commit_by_gpg(
    folder: Path, home: GpgHome, who: str, when: str = "2026-06-01T12:00:00Z"
) -> Revision:
    """Make an empty commit that git signs, with the committer's time ``when``."""
    subprocess.run(
        ["git", *home.settings(who), "commit", "--quiet", "--allow-empty", "-S", "--message", "x"],
        cwd=folder, env=environment(folder) | {"GIT_COMMITTER_DATE": when}, check=True, capture_output=True,
    )  # fmt: skip
    return Revision(git_ok(folder, "rev-parse", "HEAD"))
