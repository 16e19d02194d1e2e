"""``mftgit transfer``: its verbs."""

import click

from mftgit.cli.transfer.history import history
from mftgit.cli.transfer.looking import list_transfers, show


@click.group()
def transfer() -> None:
    """Look at the transfers of this member, and at what was delivered."""


for _each in (list_transfers, show, history):
    transfer.add_command(_each)
