"""Who can read each secret, and who should: ``mftgit secret audit``."""

from pathlib import Path
from typing import Any

import click

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.git.commit import LogEntry
from mftgit.cli.options import json_option, path_argument, print_json
from mftgit.cli.secret.documents import Documents, open_documents
from mftgit.errors import MftgitError
from mftgit.model.documents.document import Kind
from mftgit.model.names import SecretName
from mftgit.model.printable import printable
from mftgit.model.rules.parts import Part, declared_members
from mftgit.model.rules.secret import names_of_recipients

NOT_AS_IT_SHOULD_BE = 1


@click.command(
    epilog="""\b
Examples:
  mftgit secret audit
  mftgit secret audit config --json
"""
)
@path_argument
@json_option
def audit(path: Path, as_json: bool) -> int:
    """List who can read each secret in PATH, who should, and when it was changed; exits with 1 where these differ."""
    with open_documents(path) as documents:
        parts = documents.validation.parts[Kind.SECRET]
        rows = [_row_or_error(documents, name, parts[name]) for name in sorted(parts)]
    if as_json:
        print_json({"secrets": rows})
    else:
        for row in rows:
            _tell_row(row)
    wrong = any(
        "error" in row or row["missing"] or not all(each["needed"] for each in row["readers"])
        for row in rows
    )
    return NOT_AS_IT_SHOULD_BE if wrong else 0


def _row_or_error(documents: Documents, name: str, part: Part) -> dict[str, Any]:
    try:
        return _row(documents, name)
    except MftgitError as error:
        return {"name": name, "file": part.path, "error": str(error)}


def _row(documents: Documents, name: str) -> dict[str, Any]:
    part, known = documents.secret(name)
    names = names_of_recipients(documents.validation.parts)
    wanted = documents.recipients(name)
    needing = documents.validation.readers.get(SecretName(name), ())
    members = declared_members(documents.validation.parts)
    keyless = [
        f"member {each}"
        for each in needing
        if each not in members or members[each].age_recipient is None
    ]
    last = documents.clone.last_change(part.path)
    return {
        "name": name,
        "file": part.path,
        "used": SecretName(name) in documents.validation.readers,
        "changed": known.changed,
        "commit": last and _commit(last),
        "readers": [
            {"recipient": each, "who": names.get(each), "needed": each in wanted}
            for each in known.recipients
        ],
        "missing": [*(names[each] for each in wanted if each not in known.recipients), *keyless],
    }


def _commit(entry: LogEntry) -> dict[str, str]:
    return {"revision": entry.revision, "at": rfc3339(entry.at), "author": entry.author}


def _tell_row(row: dict[str, Any]) -> None:
    if "error" in row:
        click.secho(printable(f"{row['name']}: {row['error']}"), fg="red")
        return
    commit = row["commit"]
    by = (
        f"last commit {commit['revision'][:12]} by {commit['author']}"
        if commit
        else "not committed"
    )
    click.echo(printable(f"{row['name']}: changed {row['changed']}, {by}"))
    if not row["used"]:
        click.echo("  nothing names it")
    for reader in row["readers"]:
        who = reader["who"] or f"{reader['recipient']}, whom no document names"
        needs = "" if reader["needed"] else "  (does not need it: rekey, and rotate)"
        click.echo(f"  read by {who}{needs}")
    for who in row["missing"]:
        click.secho(f"  cannot be read by {who}, who needs it: rekey", fg="red")
