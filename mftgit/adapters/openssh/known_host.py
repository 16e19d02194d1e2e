"""What ssh runs as its KnownHostsCommand (ssh_config(5)): it says of a host key whether it is pinned.

It runs in a Python of its own, without this package, and so uses nothing but the standard library. Its arguments are
ssh's tokens ``%t``, ``%f`` and ``%K``, the pinned fingerprints with commas between, and the lines of authorities.
"""

import sys
from collections.abc import Sequence

SHOWN = "mftgit-shown"
"""With what a line begins that tells of a key which is not pinned."""


def lines_for(words: Sequence[str]) -> list[str]:
    """Return what ssh is to know of hosts: the key itself, if it is pinned, and the authorities."""
    kind, fingerprint, key, pinned, *authorities = words
    known = [f"@cert-authority * {line}" for line in authorities]
    if fingerprint in pinned.split(","):
        known.append(f"* {kind} {key}")
    return known


if __name__ == "__main__":
    said = lines_for(sys.argv[1:])
    if not said or said[-1].startswith("@"):
        sys.stderr.write(f"{SHOWN} {sys.argv[1]} {sys.argv[2]}\n")
    sys.stdout.write("".join(f"{line}\n" for line in said))
