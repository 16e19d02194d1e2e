"""``mftgit publish``: move main to what is committed here, in an emergency without the approvals it takes."""

from pathlib import Path

import click

from mftgit.cli.options import json_option, path_argument, print_json
from mftgit.cli.proposals import sight, tell
from mftgit.model.names import MAIN, REVIEWS
from mftgit.model.review.record import Record, Said, Via


@click.command(
    epilog="""\b
Examples:
  mftgit publish
  mftgit publish --break-glass "the bank's host key changed, payments are stuck"
  mftgit publish --json config
"""
)
@path_argument
@click.option(
    "--break-glass",
    "reason",
    metavar="REASON",
    help="Do without the approvals that are asked for. The reason is shown to everybody, for ever.",
)
@json_option
def publish(path: Path, reason: str | None, as_json: bool) -> None:
    """Publish the commits up to HEAD of the clone PATH (here, when left out): git push origin HEAD:main.

    Where review is asked for, that takes a proposal; --break-glass takes a reason instead, which is written to the log
    of reviews first, signed where git has a key. Nothing else is passed over: neither signatures nor validation. The
    policy can forbid it (review.break_glass), and members that check approvals take it only as trust.break_glass says.
    """
    if reason is not None and not reason.strip():
        raise click.UsageError("--break-glass takes a reason")
    with sight(path) as seen_from:
        clone = seen_from.clone
        head = clone.resolve("HEAD")
        if reason is not None:
            record = Record(
                said=Said.BREAK_GLASS,
                change="",
                commit=head,
                by=clone.operator(),
                via=Via.GIT,
                base=seen_from.reading.rules().main,
                text=reason,
            )
            written = clone.write_record(record, clone.log_tip(), sign=clone.signs())
            tell(clone.push(written, REVIEWS), as_json=as_json)
        tell(clone.push(head, MAIN), as_json=as_json)
        clone.fetch()
    if as_json:
        print_json({"revision": head, "glass_broken": reason is not None})
    elif reason is None:
        click.echo(f"{head[:12]} is published")
    else:
        click.secho(f"{head[:12]} is published by a broken glass: {reason}", fg="red", bold=True)
