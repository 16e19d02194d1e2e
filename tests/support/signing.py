"""Commits that real git and real ssh-keygen sign, and some that they would never make."""

import base64
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from git_cli import environment, git_ok

from mftgit.model.names import Revision

BEGIN, END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A private key in a file, and the public one beside it."""

    file: Path

    @property
    def public(self) -> str:
        """Kind and key, as a line of ``allowed_signers`` ends."""
        text = self.file.with_suffix(".pub").read_text(encoding="utf-8")
        return " ".join(text.split()[:2])

    def line(self, principals: str = "ann@example.org", options: str = "") -> str:
        """Return a line of ``allowed_signers``."""
        return " ".join(filter(None, (principals, options, self.public))) + "\n"


def make_key(folder: Path, name: str, *options: str) -> KeyPair:
    """Make a key by ssh-keygen; ed25519 unless ``options`` say otherwise."""
    file = folder / name
    words = ["ssh-keygen", "-q", "-N", "", "-C", name, "-f", str(file)]
    subprocess.run([*words, *(options or ("-t", "ed25519"))], check=True, capture_output=True)
    return KeyPair(file=file)


def signing_settings(key: KeyPair) -> list[str]:
    """Return the words that make git sign with ``key``."""
    return [
        "-c", "gpg.format=ssh", "-c", f"user.signingKey={key.file}", "-c", "commit.gpgSign=true",
    ]  # fmt: skip


def commit_at(folder: Path, when: str, key: KeyPair) -> Revision:
    """Make an empty signed commit with the committer's time ``when``."""
    subprocess.run(
        ["git", *signing_settings(key), "commit", "--quiet", "--allow-empty", "--message", "x"],
        cwd=folder,
        env=environment(folder) | {"GIT_COMMITTER_DATE": when},
        check=True,
        capture_output=True,
    )
    return Revision(git_ok(folder, "rev-parse", "HEAD"))


def raw_of(folder: Path, revision: str) -> bytes:
    """Return a commit's bytes."""
    return subprocess.run(
        ["git", "cat-file", "commit", revision],
        cwd=folder, env=environment(folder), check=True, capture_output=True,
    ).stdout  # fmt: skip


def write_commit(folder: Path, raw: bytes) -> Revision:
    """Put a commit into the repository as it is."""
    words = ("hash-object", "-t", "commit", "-w", "--stdin", "--literally")
    return Revision(git_ok(folder, *words, content=raw))


def with_signature(raw: bytes, armor: str) -> bytes:
    """Return an unsigned commit with a signature in its head."""
    head, _, message = raw.partition(b"\n\n")
    header = "gpgsig " + "\n ".join(armor.strip().split("\n"))
    return head + b"\n" + header.encode() + b"\n\n" + message


def keygen_sign(raw: bytes, key: KeyPair, namespace: str) -> str:
    """Return ssh-keygen's signature of ``raw`` for ``namespace``."""
    words = ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", str(key.file)]
    return subprocess.run(words, input=raw, check=True, capture_output=True).stdout.decode()


def ssh(*values: bytes) -> bytes:
    """Return strings as the SSH protocol writes them."""
    return b"".join(len(value).to_bytes(4) + value for value in values)


def sshsig(
    public: bytes,
    sign: Callable[[bytes], bytes],
    digest: bytes,
    *,
    hashed: str = "sha512",
    namespace: bytes = b"git",
    version: int = 1,
) -> str:
    """Return the armored signature that ``sign`` makes of what an SSHSIG of ``digest`` is over."""
    fields = (namespace, b"", hashed.encode())
    value = sign(b"SSHSIG" + ssh(*fields, digest))
    blob = b"SSHSIG" + version.to_bytes(4) + ssh(public, *fields, value)
    return armored(blob)


def armored(blob: bytes) -> str:
    """Return ``blob`` between the lines that begin and end a signature."""
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join((BEGIN, *lines, END))
