"""``mftgit transfer history``: what was delivered, out of the ledger that the members share."""

from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import click

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import Name, dir_option, json_option, print_json
from mftgit.cli.transfer.patience import Patience
from mftgit.errors import ConfigError
from mftgit.member.outbound.ownership.storage import STATE
from mftgit.member.outbound.records.history import ledgers, newest_first
from mftgit.model.amounts import format_bytes, format_rate, format_span
from mftgit.model.names import TransferName
from mftgit.model.printable import printable
from mftgit.model.transfers.history import Asked, parse_when, tell_line
from mftgit.model.transfers.ledger_line import Line

_SHORT: Final = 8
_HEAD: Final = (
    f"{'ended':24}  {'transfer':16}  {'size':>8}  {'rate':>10}  {'took':>12}  {'member':12} {'epoch':>5}  "
    f"{'revision':8}  {'sha-256':8}  path"
)


class When(click.ParamType[datetime]):
    """A point in time, or how long ago it was."""

    name = "time"

    def convert(
        self, value: str | datetime, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment; what is none is a usage error."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_when(value, SystemClock().now())
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    epilog="""\b
Examples:
  mftgit transfer history --dir /var/lib/mftgit --limit 20
  mftgit transfer history invoices --since 7d --path '2026/**/*.csv' --dir /var/lib/mftgit
  mftgit transfer history --since 2026-11-01 --until 2026-12-01 --dir /var/lib/mftgit --json
"""
)
@click.argument("name", required=False, metavar="[NAME]", type=Name())
@click.option(
    "--since", type=When(), help="From this time on: 2026-11-28T08:00 (UTC), or 90m, 12h, 7d ago."
)
@click.option("--until", type=When(), help="Before this time.")
@click.option("--path", "glob", metavar="GLOB", help="Files below the source that this matches.")
@click.option("--skipped", is_flag=True, help="Only what the destination had already.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="No more than the newest N.")
@dir_option
@json_option
def history(
    *,
    name: TransferName | None,
    since: datetime | None,
    until: datetime | None,
    glob: str | None,
    skipped: bool,
    limit: int | None,
    folder: StateFolder,
    as_json: bool,
) -> None:
    """Print what was delivered by whichever member, the newest first; of transfer NAME or of all.

    It is read from the ledger on the members' storage, also while the member does not run, and goes back for
    `retention.ledger_days`. What failed is no delivery: `mftgit events` tells of it.
    """
    asked = Asked(since=since, until=until, glob=glob, skipped=skipped)
    transfers = Path(folder.read_bootstrap().files_root) / STATE / "transfers"
    found = ledgers(transfers, name)
    if name is not None and not found:
        raise ConfigError(
            f"{transfers} has no transfer {name}: look at `mftgit transfer history` without a name; one that has "
            "delivered nothing yet is not there"
        )
    with Patience("deliveries looked through", clock=SystemClock()) as patience:
        lines = newest_first(found, asked, passed=patience.step)
        for place, line in enumerate(islice(lines, limit)):
            if place == 0 and not as_json:
                patience.aside(lambda: click.secho(_HEAD, bold=True))
            patience.aside(partial(_print, line, as_json=as_json))


def _print(line: Line, *, as_json: bool) -> None:
    if as_json:
        print_json(tell_line(line))
        return
    rate = "skipped" if line.skipped else format_rate(line.bytes_per_s)
    to = printable(f"{line.destination or '?'}:{line.final}")
    click.echo(
        f"{printable(line.ended_at):24}  {click.style(f'{printable(line.transfer):16}', fg='cyan')}  "
        f"{format_bytes(line.size_bytes):>8}  {rate:>10}  {format_span(line.took_s):>12}  "
        f"{printable(line.member):12} {line.epoch:>5}  {printable((line.revision or '-')[:_SHORT]):8}  "
        f"{printable((line.sha256 or '-')[:_SHORT]):8}  {click.style(printable(line.path), bold=True)} -> {to}"
    )
