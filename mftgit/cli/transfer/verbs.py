"""``mftgit transfer``: its verbs."""

import click

from mftgit.cli.transfer.acting import pause, resume, run, stop
from mftgit.cli.transfer.history import history
from mftgit.cli.transfer.looking import list_transfers, show
from mftgit.cli.transfer.owner import owner
from mftgit.cli.transfer.trying import test


@click.group()
def transfer() -> None:
    """Look at the transfers of this member and at what was delivered; run, stop, pause, resume, move and try them."""


for _each in (list_transfers, show, owner, history, run, stop, pause, resume, test):
    transfer.add_command(_each)
