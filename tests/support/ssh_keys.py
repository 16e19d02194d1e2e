"""Keys and certificates by OpenSSH's own ssh-keygen."""

import os
import shutil
import subprocess
from pathlib import Path

_SBIN = ":/usr/sbin:/usr/local/sbin:/sbin"


def program(name: str) -> str:
    """Return the whole path: sshd insists on one, and ordinary users have no sbin on their path."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + _SBIN)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


def make_key(path: Path, kind: str, *, passphrase: str = "", options: tuple[str, ...] = ()) -> str:
    """Make a key pair and return the fingerprint of its public half."""
    made = ("-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path), *options)
    subprocess.run([program("ssh-keygen"), *made], check=True)
    return key_fingerprint(path)


def key_fingerprint(path: Path) -> str:
    """Return the fingerprint of a key that was made before."""
    listed = subprocess.run(
        [program("ssh-keygen"), "-l", "-f", str(path)],
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    return listed.stdout.split()[1]


def sign_key(authority: Path, key: Path, principals: str, *options: str) -> Path:
    """Have ``authority`` sign the public half of ``key`` for ``principals`` and return the certificate's file."""
    words = ("-q", "-s", str(authority), "-I", f"id-of-{key.name}", "-n", principals, *options)
    subprocess.run([program("ssh-keygen"), *words, f"{key}.pub"], check=True)
    return key.with_name(f"{key.name}-cert.pub")
