"""``mftgit transfer``: its verbs."""

import click

from mftgit.cli.transfer.history import history


@click.group()
def transfer() -> None:
    """Look at the transfers of this member, and at what was delivered."""


transfer.add_command(history)
