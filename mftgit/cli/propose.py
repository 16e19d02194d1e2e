"""``mftgit propose``: put what is committed here up for review."""

from pathlib import Path

import click

from mftgit.cli.options import json_option, print_json
from mftgit.cli.proposals import restarts_json, sight, summary_json, tell
from mftgit.errors import ConfigError
from mftgit.model.configuration.changes_told import tell_member
from mftgit.model.names import CHANGES
from mftgit.model.revisions.push import LONGEST_CHANGE, is_change


@click.command(
    epilog="""\b
Examples:
  mftgit propose
  mftgit propose raise-poll-interval
  mftgit propose new-partner --path config --json
"""
)
@click.argument("name", required=False)
@click.option(
    "--path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    show_default="here",
    help="The clone.",
)
@json_option
def propose(name: str | None, path: Path, as_json: bool) -> None:
    """Propose the commits up to HEAD as change/NAME; without NAME, under that of the branch at hand.

    The controller validates them, and answers what they change on which member, what is stopped and started again,
    and who has to approve. Proposed again, with more commits, the proposal grows.
    """
    with sight(path, fetched=False) as seen_from:
        clone = seen_from.clone
        name = name or clone.branch()
        if name is None or name == "main":
            raise ConfigError("say what the proposal is called: mftgit propose NAME")
        ref = f"{CHANGES}{name}"
        if not is_change(ref):
            raise ConfigError(
                f"{name!r} is no name of a proposal: at most {LONGEST_CHANGE} letters, digits, - _ . and /"
            )
        pushed = clone.push(clone.resolve("HEAD"), ref)
        tell(pushed, as_json=as_json)
        if not as_json:
            if not pushed.told:
                click.echo(f"change/{name} is as it was")
            return
        clone.fetch()
        seen = seen_from.reading.see(name)
        changes = seen_from.compare(seen)
        print_json(
            {
                **summary_json(seen, seen_from.title(seen.change.tip)),
                "members": [tell_member(each) for each in changes],
                "restarts": restarts_json(changes),
            }
        )
