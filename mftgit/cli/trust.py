"""``mftgit trust``: who may sign commits, in a person's clone."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mftgit.adapters.documents_folder import read_files
from mftgit.adapters.durable import replace_file
from mftgit.adapters.git.commit_signature import Examiner
from mftgit.adapters.git.gpg import Keyring
from mftgit.adapters.git.operator_clone import OperatorClone
from mftgit.cli.options import json_option, print_json
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.documents.places import (
    CLUSTER_FILE,
    GPG_REVOKED_FILE,
    GPG_SIGNERS_FILE,
    REVOKED_FILE,
    SIGNERS_FILE,
)
from mftgit.model.documents.problem import format_problem, format_problems
from mftgit.model.keys.openpgp import GpgKey, dearmor, read_gpg_key
from mftgit.model.printable import printable
from mftgit.model.trust.policy_version import set_version
from mftgit.model.trust.signer_lines import (
    add_signer,
    check_principal,
    gpg_key_line,
    remove_signer,
)
from mftgit.model.trust.signers import Key, Signer, read_revoked
from mftgit.model.trust.trust import (
    POLICY_FILES,
    Finding,
    Outcome,
    Policy,
    explain,
    judge_commit,
    read_lists,
    read_policy,
)

REFUSED = 1

_LISTS = (SIGNERS_FILE, GPG_SIGNERS_FILE)
_ARMORED = b"-----BEGIN PGP "
_PACKET = b"\x80"  # no text begins with such a byte

_PATH = click.argument(
    "path", type=click.Path(exists=True, file_okay=False, path_type=Path), default="."
)


class BadListError(ConfigError):
    """A file in ``trust/`` cannot be relied on, or what shall be written into it is not of its form."""


class SignerError(MftgitError):
    """The list says something else than was expected of it."""


@click.group()
def trust() -> None:
    """Say who may sign commits, in a clone; what is changed counts once it is committed, signed and pushed."""


@trust.command(
    "list",
    epilog="""\b
Examples:
  mftgit trust list
  mftgit trust list config --json
""",
)
@_PATH
@json_option
def list_signers(path: Path, as_json: bool) -> None:
    """List who may sign by the files in PATH, a clone, and whether anybody has to."""
    with _clone(path) as clone:
        policy = _sound(read_policy(read_files(clone.root, list(POLICY_FILES))))
    if as_json:
        print_json(
            {
                "required": policy.required,
                "signers": [_signer(each, policy) for each in policy.signers],
                "revoked": [
                    _key(each) for each in sorted(policy.revoked, key=lambda k: k.fingerprint)
                ],
            }
        )
        return
    click.echo(f"signatures are {'' if policy.required else 'not '}required")
    for each in policy.signers:
        revoked = "  revoked" if each.key in policy.revoked else ""
        who = ",".join(each.principals)
        click.echo(
            printable(f"{who}  {each.key.kind}  {each.key.fingerprint}{_window(each)}{revoked}")
        )


@trust.command(
    epilog="""\b
Examples:
  mftgit trust add alice@example.org ~/.ssh/id_ed25519.pub config
  gpg --export --export-options export-minimal bob > bob.gpg
  mftgit trust add bob@example.org bob.gpg config
"""
)
@click.argument("principal")
@click.argument("keyfile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_PATH
def add(principal: str, keyfile: Path, path: Path) -> None:
    """Let PRINCIPAL sign with the public key in KEYFILE: a line in PATH/trust.

    An SSH key gets a line in trust/allowed_signers. A GPG key, as gpg --export writes it, with --armor or without,
    gets one in trust/gpg_signers.
    """
    line, key = _read_key(keyfile)
    file = _signers_file(key)
    with _clone(path) as clone:
        policy, contents = _lists(clone)
        known = next((each for each in policy.signers if each.key == key), None)
        if known is not None:
            who = ",".join(known.principals)
            raise SignerError(
                f"{file}:{known.line}: the key is there already, as that of {who}"
                + ("; to replace it, mftgit trust remove first" if file == GPG_SIGNERS_FILE else "")
            )
        if key in policy.revoked:
            where = GPG_REVOKED_FILE if isinstance(key, GpgKey) else REVOKED_FILE
            raise SignerError(f"{where} revokes this key: make a new one")
        try:
            content = add_signer(contents[file], check_principal(principal), line)
        except ValueError as error:
            raise BadListError(str(error)) from None
        raised = _raise_version(clone)
        _write(clone, file, content)
    click.echo(f"{principal} may sign with {key.fingerprint}, once this is published:")
    _tell_next(path, file, *raised)


@trust.command(
    epilog="""\b
Example:
  mftgit trust remove alice@example.org config
"""
)
@click.argument("principal")
@_PATH
def remove(principal: str, path: Path) -> None:
    """Take PRINCIPAL out of the lists in PATH/trust, with the keys that are nobody else's."""
    with _clone(path) as clone:
        policy, contents = _lists(clone)
        names = sorted({name for each in policy.signers for name in each.principals})
        if principal not in names:
            known = ", ".join(names) or "nobody"
            raise SignerError(
                f"{' and '.join(_LISTS)} do not name {principal!r}: they name {known}"
            )
        raised, changed = _raise_version(clone), []
        for file, content in contents.items():
            signers = tuple(each for each in policy.signers if _signers_file(each.key) == file)
            left = remove_signer(content, signers, principal)
            if left != content:
                _write(clone, file, left)
                changed.append(file)
    click.echo(printable(f"{principal} may not sign any more, once this is published:"))
    _tell_next(path, *changed, *raised)
    click.echo(
        "A key that somebody else may have got hold of belongs into "
        f"{REVOKED_FILE} too, one of GPG into {GPG_REVOKED_FILE}."
    )


@trust.command(
    epilog="""\b
Examples:
  mftgit trust verify origin/main..HEAD
  mftgit trust verify 4f2a91c..main config --json
"""
)
@click.argument("range_", metavar="A..B")
@_PATH
@json_option
def verify(range_: str, path: Path, as_json: bool) -> int:
    """Judge the commits that B has and A has not as the gate does when A is published, by what A says; offline."""
    old, dots, new = range_.partition("..")
    if not (dots and old and new) or new.startswith("."):
        raise ConfigError(f"{range_!r} is not A..B: for example origin/main..HEAD")
    with _clone(path) as clone:
        first, last = clone.resolve(old), clone.resolve(new)
        policy = read_policy(clone.pick(first, POLICY_FILES))
        with Examiner() as examine:
            commits = clone.commits(first, last)
            findings = [judge_commit(policy, examine(policy, *each)) for each in commits]
    wrong = [each for each in findings if each.outcome is not Outcome.SIGNED]
    refused = policy.required and bool(wrong)
    if as_json:
        print_json(
            {
                "from": first,
                "to": last,
                "required": policy.required,
                "accepted": not refused,
                "commits": [_finding(each) for each in findings],
            }
        )
    else:
        _tell(range_, policy, findings, wrong)
    return REFUSED if refused else 0


def _tell(range_: str, policy: Policy, findings: list[Finding], wrong: list[Finding]) -> None:
    for each in findings:
        if each.outcome is Outcome.SIGNED:
            click.echo(printable(f"{each} by {','.join(each.principals)}"))
        elif not policy.required:
            click.echo(printable(str(each)))
    if not policy.required:
        click.echo(f"{range_}: signatures are not required")
    elif not wrong:
        click.secho(f"{range_}: signed as required", fg="green")
    else:
        click.echo(printable("\n".join(explain(policy, wrong)), keep="\n"))
        click.secho(f"{range_}: the gate would refuse this", fg="red")


@contextmanager
def _clone(path: Path) -> Iterator[OperatorClone]:
    with closing(OperatorClone(path)) as clone:
        yield clone


def _sound(policy: Policy) -> Policy:
    if policy.problems:
        raise BadListError(f"nobody may sign while this is so:\n{format_problems(policy.problems)}")
    return policy


def _lists(clone: OperatorClone) -> tuple[Policy, Mapping[str, str]]:
    """Return who may sign by the work tree, and the texts that say so, by file."""
    tree = read_files(clone.root, list(POLICY_FILES))
    policy = _sound(read_lists(tree))
    return policy, {file: tree[file].load().decode() if file in tree else "" for file in _LISTS}


def _raise_version(clone: OperatorClone) -> list[str]:
    """Number the policy anew where signatures are required by what is committed; return the file that changed."""
    head = clone.head("HEAD")
    before = read_policy(clone.pick(head, POLICY_FILES)) if head else Policy()
    there = read_files(clone.root, [CLUSTER_FILE])
    if not before.required or not there or read_policy(there).version > before.version:
        return []
    try:
        content = set_version(there[CLUSTER_FILE].load(), before.version + 1)
    except ValueError as error:
        raise BadListError(str(error)) from None
    _write(clone, CLUSTER_FILE, content)
    return [CLUSTER_FILE]


def _signers_file(key: Key) -> str:
    return GPG_SIGNERS_FILE if isinstance(key, GpgKey) else SIGNERS_FILE


def _write(clone: OperatorClone, name: str, content: str) -> None:
    file = clone.root / name
    try:
        file.parent.mkdir(exist_ok=True)
        replace_file(file, content.encode())
    except OSError as error:
        raise MftgitError(f"{file}: cannot be written: {error.strerror}") from error


def _read_key(file: Path) -> tuple[str, Key]:
    """Return the key in a file, and how it stands in a line."""
    content = file.read_bytes()
    if content.lstrip().startswith(_ARMORED) or content[:1] >= _PACKET:
        return _read_gpg_key(file, content)
    if b"PRIVATE KEY" in content:
        raise BadListError(f"{file} is a private key: give the public one, {file}.pub")
    keys, problems = read_revoked(str(file), content)
    if problems:
        raise BadListError(format_problem(problems[0]))
    if len(keys) != 1:
        raise BadListError(f"{file} holds {len(keys)} keys: expected one, as ssh-keygen writes it")
    lines = (line.strip() for line in content.decode().splitlines())
    return next(line for line in lines if line and not line.startswith("#")), keys[0]


def _read_gpg_key(file: Path, content: bytes) -> tuple[str, GpgKey]:
    try:
        armored = content[:1] < _PACKET
        packets = dearmor(content.decode(), "PUBLIC KEY BLOCK") if armored else content
        key = read_gpg_key(packets)
    except ValueError as error:
        raise BadListError(f"{file}: {error}") from None
    with Keyring([packets]) as keyring:
        if key.fingerprint not in keyring.fingerprints:
            raise BadListError(
                f"{file}: gpg does not take this key: it has no name that is signed, or only by a weak digest"
            )
    return gpg_key_line(key), key


def _tell_next(path: Path, *files: str) -> None:
    what = " ".join(files)
    click.echo(f"\n  git -C {path} add {what} && git -C {path} commit -S && git -C {path} push\n")


# What scripts read


def _signer(signer: Signer, policy: Policy) -> Mapping[str, Any]:
    return {
        "file": _signers_file(signer.key),
        "line": signer.line,
        "principals": list(signer.principals),
        **_key(signer.key),
        "namespaces": list(signer.namespaces),
        "valid_after": _time(signer.valid_after),
        "valid_before": _time(signer.valid_before),
        "revoked": signer.key in policy.revoked,
    }


def _key(key: Key) -> Mapping[str, str]:
    return {"kind": key.kind, "fingerprint": key.fingerprint}


def _finding(finding: Finding) -> Mapping[str, Any]:
    return {
        "commit": finding.revision,
        "outcome": finding.outcome.value,
        "principals": list(finding.principals),
        "fingerprint": finding.fingerprint or None,
        "text": str(finding),
    }


def _window(signer: Signer) -> str:
    after, before = _time(signer.valid_after), _time(signer.valid_before)
    return (f"  from {after}" if after else "") + (f"  until {before}" if before else "")


def _time(seconds: int | None) -> str | None:
    return (
        None if seconds is None else f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"
    )
