"""``mftgit trust``: who may sign commits, in a person's clone."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mftgit.adapters.documents_folder import read_files
from mftgit.adapters.durable import replace_file
from mftgit.adapters.operator_clone import OperatorClone
from mftgit.adapters.ssh_signature import examine
from mftgit.cli.options import json_option, print_json
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.places import REVOKED_FILE, SIGNERS_FILE
from mftgit.model.printable import printable
from mftgit.model.problem import format_problem, format_problems
from mftgit.model.signer_lines import add_signer, check_principal, remove_signer
from mftgit.model.signers import Signer, read_revoked
from mftgit.model.ssh_key import PublicKey
from mftgit.model.trust import (
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
                "revoked": [_key(each) for each in sorted(policy.revoked, key=lambda k: k.blob)],
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
Example:
  mftgit trust add alice@example.org ~/.ssh/id_ed25519.pub config
"""
)
@click.argument("principal")
@click.argument("keyfile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_PATH
def add(principal: str, keyfile: Path, path: Path) -> None:
    """Let PRINCIPAL sign with the public key in KEYFILE, by a line in PATH/trust/allowed_signers."""
    line, key = _read_key(keyfile)
    with _clone(path) as clone:
        policy, content = _lists(clone)
        known = next((each for each in policy.signers if each.key == key), None)
        if known is not None:
            who = ",".join(known.principals)
            raise SignerError(
                f"{SIGNERS_FILE}:{known.line}: the key is there already, as that of {who}"
            )
        if key in policy.revoked:
            raise SignerError(f"{REVOKED_FILE} revokes this key: make a new one with ssh-keygen")
        try:
            _write(clone, add_signer(content, check_principal(principal), line))
        except ValueError as error:
            raise BadListError(str(error)) from None
    click.echo(f"{principal} may sign with {key.fingerprint}, once this is published:")
    _tell_next(path)


@trust.command(
    epilog="""\b
Example:
  mftgit trust remove alice@example.org config
"""
)
@click.argument("principal")
@_PATH
def remove(principal: str, path: Path) -> None:
    """Take PRINCIPAL out of PATH/trust/allowed_signers, with the keys that are nobody else's."""
    with _clone(path) as clone:
        policy, content = _lists(clone)
        names = sorted({name for each in policy.signers for name in each.principals})
        if principal not in names:
            known = ", ".join(names) or "nobody"
            raise SignerError(f"{SIGNERS_FILE} does not name {principal!r}: it names {known}")
        _write(clone, remove_signer(content, policy.signers, principal))
    click.echo(printable(f"{principal} may not sign any more, once this is published:"))
    _tell_next(path)
    click.echo(f"A key that somebody else may have got hold of belongs into {REVOKED_FILE} too.")


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
        findings = [judge_commit(policy, examine(*each)) for each in clone.commits(first, last)]
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


def _lists(clone: OperatorClone) -> tuple[Policy, str]:
    """Return who may sign by the work tree, and the text that says so."""
    tree = read_files(clone.root, list(POLICY_FILES))
    policy = _sound(read_lists(tree))
    return policy, tree[SIGNERS_FILE].load().decode() if SIGNERS_FILE in tree else ""


def _write(clone: OperatorClone, content: str) -> None:
    file = clone.root / SIGNERS_FILE
    try:
        file.parent.mkdir(exist_ok=True)
        replace_file(file, content.encode())
    except OSError as error:
        raise MftgitError(f"{file}: cannot be written: {error.strerror}") from error


def _read_key(file: Path) -> tuple[str, PublicKey]:
    """Return the one line of a ``.pub`` file, and the key in it."""
    content = file.read_bytes()
    if b"PRIVATE KEY" in content:
        raise BadListError(f"{file} is a private key: give the public one, {file}.pub")
    keys, problems = read_revoked(str(file), content)
    if problems:
        raise BadListError(format_problem(problems[0]))
    if len(keys) != 1:
        raise BadListError(f"{file} holds {len(keys)} keys: expected one, as ssh-keygen writes it")
    lines = (line.strip() for line in content.decode().splitlines())
    return next(line for line in lines if line and not line.startswith("#")), keys[0]


def _tell_next(path: Path) -> None:
    click.echo(
        f"\n  git -C {path} add {SIGNERS_FILE} && git -C {path} commit -S && git -C {path} push\n"
    )


# What scripts read


def _signer(signer: Signer, policy: Policy) -> Mapping[str, Any]:
    return {
        "line": signer.line,
        "principals": list(signer.principals),
        **_key(signer.key),
        "namespaces": list(signer.namespaces),
        "valid_after": _time(signer.valid_after),
        "valid_before": _time(signer.valid_before),
        "revoked": signer.key in policy.revoked,
    }


def _key(key: PublicKey) -> Mapping[str, str]:
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
