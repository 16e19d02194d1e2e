"""The command line by which OpenSSH's client takes a location's word for everything, and no other configuration's."""

import math
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from mftgit.adapters.endpoint.contract import EndpointRefusedError
from mftgit.adapters.openssh import ask as ssh_ask
from mftgit.adapters.openssh import known_host as ssh_known_host
from mftgit.errors import ConfigError
from mftgit.model.keys.algorithms import Algorithms, with_legacy
from mftgit.model.keys.ssh_certificate import SUFFIX
from mftgit.model.locations.hop import Hop

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ASK_S = 10.0
_ASK_SCRIPT = '#!/bin/sh\nexec "$MFTGIT_PYTHON" -I -S "$MFTGIT_ASK" "$MFTGIT_DOOR"\n'
# ssh_config(5). What would be asked at a terminal, remembered, forwarded, or taken from elsewhere is off.
_FIXED = {
    "StrictHostKeyChecking": "yes",
    "UserKnownHostsFile": "/dev/null",
    "GlobalKnownHostsFile": "/dev/null",
    "UpdateHostKeys": "no",
    "VerifyHostKeyDNS": "no",
    "CheckHostIP": "no",
    "CanonicalizeHostname": "no",
    "IdentityFile": "none",
    "GSSAPIAuthentication": "no",
    "HostbasedAuthentication": "no",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "PermitLocalCommand": "no",
    "ControlMaster": "no",
    "ControlPath": "none",
    "ProxyCommand": "none",
    "RequestTTY": "no",
    "EscapeChar": "none",
    "LogLevel": "INFO",  # below it, ssh does not say that no algorithm fits
}


def find_ssh() -> str:
    """Return the path of ``ssh``.

    Raises:
        ConfigError: it is not installed.
    """
    found = shutil.which("ssh", path=_PATH)
    if found is None:
        raise ConfigError(
            f"the program ssh is not in {_PATH}: install OpenSSH's client, or have client: builtin"
        )
    return found


def command_line(
    hop: Hop,
    *,
    legacy: bool,
    kinds: Mapping[str, Iterable[str]],
    agent: str,
    methods: Iterable[str],
    passwords: int,
) -> list[str]:
    """Return the words that start SFTP at ``hop``, which shows a host key of ``kinds``.

    ``agent`` is the socket of an agent with the keys; ``methods`` are the ways to log in in their order (RFC 4252),
    and ``passwords`` is how many of them there are to ask for.

    Raises:
        EndpointRefusedError: the installed ssh knows no algorithm of some sort that the location names.
    """
    algorithms = with_legacy(hop.algorithms) if legacy else hop.algorithms
    names = [name for group in kinds.values() for name in group]
    options = {
        **_FIXED,
        "KnownHostsCommand": _known_hosts(hop),
        "HostKeyAlgorithms": _known(hop, "HostKeyAlgorithms", names),
        **_sorts(hop, algorithms),
        "IdentityAgent": agent,
        "PreferredAuthentications": ",".join(methods),
        "BatchMode": "no" if passwords else "yes",
        "PasswordAuthentication": "yes" if passwords else "no",
        "KbdInteractiveAuthentication": "yes" if passwords else "no",
        "NumberOfPasswordPrompts": str(max(1, passwords)),
        "ConnectTimeout": str(math.ceil(hop.connect_s)),
        "ServerAliveInterval": str(hop.keepalive_s),
        "ServerAliveCountMax": str(max(1, math.ceil(hop.timeout_s / max(1, hop.keepalive_s)))),
    }
    if legacy:
        options["PubkeyAcceptedAlgorithms"] = f"+ssh-rsa,ssh-rsa{SUFFIX}"
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    address = ("-p", str(hop.port), "-l", hop.username, "-s", "--", hop.host, "sftp")
    return [find_ssh(), "-F", "none", *words, *address]


def environment(asks: str | None, folder: Path) -> dict[str, str]:
    """Return the environment of ssh; ``asks`` is the socket that gives passwords, for a program put into ``folder``."""
    clean = {"PATH": _PATH, "LC_ALL": "C", "HOME": str(folder)}
    if asks is None:
        return clean
    program = folder / "ask"
    program.write_text(_ASK_SCRIPT, encoding="utf-8")
    program.chmod(0o700)
    return {
        **clean,
        "SSH_ASKPASS": str(program),
        "SSH_ASKPASS_REQUIRE": "force",
        "MFTGIT_PYTHON": sys.executable,
        "MFTGIT_ASK": str(Path(ssh_ask.__file__)),
        "MFTGIT_DOOR": asks,
    }


def _known_hosts(hop: Hop) -> str:
    program = (sys.executable, "-I", "-S", str(Path(ssh_known_host.__file__)))
    fixed = [_quoted(word) for word in program]
    pinned = [_quoted(word) for word in (",".join(hop.host_keys) or "-", *hop.host_ca)]
    return " ".join((*fixed, "%t", "%f", "%K", *pinned))


def _quoted(word: str) -> str:
    """Return ``word`` as ssh_config(5) takes it back, with tokens that are none."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _sorts(hop: Hop, algorithms: Algorithms) -> dict[str, str]:
    return {
        "Ciphers": _known(hop, "cipher", algorithms.ciphers),
        "MACs": _known(hop, "mac", algorithms.macs),
        "KexAlgorithms": _known(hop, "kex", algorithms.kex),
    }


def _known(hop: Hop, sort: str, names: Iterable[str]) -> str:
    """Return those of ``names`` that the installed ssh knows: it refuses a list with others."""
    wanted = tuple(names)
    known = [name for name in wanted if name in _query(find_ssh(), sort)]
    if not known:
        raise EndpointRefusedError(
            f"the ssh of this machine knows no {sort} of {', '.join(wanted)}: "
            f"look at algorithms of {hop.document}"
        )
    return ",".join(known)


@cache
def _query(ssh: str, sort: str) -> frozenset[str]:
    """Return which algorithms of ``sort`` the program has (``ssh -Q``)."""
    try:
        said = subprocess.run(  # noqa: S603  no shell, and no word from outside
            [ssh, "-Q", sort],
            check=True,
            capture_output=True,
            timeout=_ASK_S,
            text=True,
            encoding="ascii",
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{ssh} does not tell what it knows: {error}") from error
    return frozenset(said.stdout.split())
